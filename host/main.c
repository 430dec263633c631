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

/* boot(argv) -> exit code; runs protected so that no error prints a trace. */
static int run (lua_State *L) {
  char **argv = lua_touserdata(L, 1);
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

/* Whether all that was printed was taken. The reader of a pipe may leave early. */
static int is_printed (void) {
  struct pollfd out = { STDOUT_FILENO, 0, 0 };
  int failed = ferror(stdout), reason = fflush(stdout) == 0 ? 0 : errno;
  if (!failed && reason == 0) return 1;
  if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR)) return 1;
  fprintf(stderr, "hkrun: cannot write to standard output%s%s\n", reason != 0 ? ": " : "", reason != 0 ? strerror(reason) : "");
  return 0;
}

#ifndef __SANITIZE_ADDRESS__                    /* whose leak check looks at it all */
/* At the end the finalizers run, and memory goes back as a whole. */
static void *keep (void *ud, void *p, size_t before, size_t size) {
  (void)ud;
  (void)before;
  return size > 0 ? realloc(p, size) : NULL;
}
#endif

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
  int code = 1;
  if (lua_pcall(L, 1, 1, 0) == LUA_OK)
    code = (int)lua_tointeger(L, -1);
  else
    fprintf(stderr, "hkrun: %s\n", luaL_tolstring(L, -1, NULL));
#ifndef __SANITIZE_ADDRESS__
  lua_setallocf(L, keep, NULL);
#endif
  lua_close(L);
  return code == 0 && !is_printed() ? 1 : code;
}
