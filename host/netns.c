/*
** netns.c: the network namespace in which this process makes its sockets (Linux, setns(2)). A socket stays in the
** namespace in which it was made. Only the loop's thread changes; it needs CAP_SYS_ADMIN.
**
** Lua: enter(path) -> true | nil, err; path is /proc/PID/ns/net.
**      inside(path, fn, ...) -> what fn answers | nil, err: in that one, and back again before it returns; fn must not wait
*/
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static int fail_namespace (lua_State *L, const char *what, const char *path, int e) {
  return host_fail(L, "io", NULL, 0, "cannot %s the network namespace %s: %s", what, path, strerror(e));
}

static int enter (lua_State *L, const char *path) {   /* 0, or pushes nil, err */
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_namespace(L, "open", path, errno);
  int failed = setns(fd, CLONE_NEWNET) != 0 ? errno : 0;
  close(fd);
  return failed ? fail_namespace(L, "enter", path, failed) : 0;
}

static int netns_enter (lua_State *L) {               /* enter(path) -> true | nil, err */
  int results = enter(L, luaL_checkstring(L, 1));
  if (results > 0) return results;
  lua_pushboolean(L, 1);
  return 1;
}

static int netns_inside (lua_State *L) {              /* inside(path, fn, ...) -> results of fn | nil, err; raises what fn raises */
  const char *path = luaL_checkstring(L, 1), *mine = "/proc/thread-self/ns/net";
  luaL_checktype(L, 2, LUA_TFUNCTION);
  int home = open(mine, O_RDONLY | O_CLOEXEC);
  if (home < 0) return fail_namespace(L, "open", mine, errno);
  int results = enter(L, path);
  if (results > 0) {
    close(home);
    return results;
  }
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  int failed = setns(home, CLONE_NEWNET) != 0 ? errno : 0;
  close(home);
  if (status != LUA_OK) return lua_error(L);
  return failed ? fail_namespace(L, "leave", path, failed) : lua_gettop(L) - 1;
}

int luaopen_host_netns (lua_State *L) {
  static const luaL_Reg functions[] = { { "enter", netns_enter }, { "inside", netns_inside }, { NULL, NULL } };
  luaL_newlib(L, functions);
  return 1;
}
