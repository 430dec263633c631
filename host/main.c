/*
** main.c: argv -> a Lua state -> lua/boot.lua -> the exit code.
*/
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <lualib.h>

/* Whether all that was printed was taken. The reader of a pipe may leave early. */
static int is_printed (void) {
  struct pollfd out = { STDOUT_FILENO, 0, 0 };
  int failed = ferror(stdout), reason = fflush(stdout) == 0 ? 0 : errno;
  if (!failed && reason == 0) return 1;
  if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR)) return 1;
  fprintf(stderr, "hkrun: cannot write to standard output%s%s\n", reason != 0 ? ": " : "", reason != 0 ? strerror(reason) : "");
  return 0;
}

/* ---- the end: the finalizers run, and memory goes back as a whole ---- */

static int code = -1;                            /* of the exit, once it is known */

static _Noreturn void leave (void) { exit(code == 0 && !is_printed() ? 1 : code); }

static int last_finalizer (lua_State *L) {
  (void)L;
#ifndef __SANITIZE_ADDRESS__                      /* whose leak check looks at all memory */
  if (code >= 0) leave();
#endif
  return 0;
}

/* Makes the first object with a finalizer. lua_close calls them from the youngest to the oldest, and then frees what
   there is object by object: the oldest leaves before that. */
static void first_object (lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, last_finalizer);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  luaL_ref(L, LUA_REGISTRYINDEX);
}

/* boot(argv) -> exit code; runs protected so that no error prints a trace. */
static int run (lua_State *L) {
  char **argv = lua_touserdata(L, 1);
  first_object(L);
  luaL_openlibs(L);
  host_open(L);
  lua_newtable(L);
  for (int i = 0; argv[i] != NULL; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_setglobal(L, "arg");
  lua_getglobal(L, "require");
  lua_pushliteral(L, "boot");
  lua_call(L, 1, 1);
  lua_call(L, 0, 1);
  return 1;
}

/* Gives each of the three standard descriptors that is closed a place holder:
   else the next file to be opened would be it, and be written into. What is
   written to the place holder fails, as it would have. */
static void hold_standard (void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) < 0) _exit(1);
}

int main (int argc, char **argv) {
  (void)argc;
  hold_standard();
  signal(SIGPIPE, SIG_IGN);
  host_locked_start();
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    fputs("hkrun: not enough memory to start\n", stderr);
    return 1;
  }
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, argv);
  int found = 1;
  if (lua_pcall(L, 1, 1, 0) == LUA_OK)
    found = (int)lua_tointeger(L, -1);
  else
    fprintf(stderr, "hkrun: %s\n", luaL_tolstring(L, -1, NULL));
  code = found;
  lua_close(L);
  leave();
}
