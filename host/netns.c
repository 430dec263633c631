/*
** netns.c: the network namespace in which this process makes its sockets (Linux, setns(2)). A socket stays in the
** namespace in which it was made. Only the loop's thread changes; it needs CAP_SYS_ADMIN.
**
** Lua: enter(path) -> true | nil, err; path is /proc/PID/ns/net.
*/
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static int netns_enter (lua_State *L) {               /* enter(path) -> true | nil, err */
  const char *path = luaL_checkstring(L, 1);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return host_fail(L, "io", NULL, 0, "cannot open the network namespace %s: %s", path, strerror(errno));
  int failed = setns(fd, CLONE_NEWNET) != 0 ? errno : 0;
  close(fd);
  if (failed) return host_fail(L, "io", NULL, 0, "cannot enter the network namespace %s: %s", path, strerror(failed));
  lua_pushboolean(L, 1);
  return 1;
}

int luaopen_host_netns (lua_State *L) {
  static const luaL_Reg functions[] = { { "enter", netns_enter }, { NULL, NULL } };
  luaL_newlib(L, functions);
  return 1;
}
