/*
** interrupt.c: Ctrl-C for code that computes and never waits. The handler of
** SIGINT, besides the loop's, has the watched coroutine call a function before
** its next instruction: nothing is paid until then.
**
** Lua (host.interrupt): watch(fn), for the coroutine that runs; unwatch().
*/
#include "host.h"

#include <signal.h>

static lua_State *volatile watched;
static struct sigaction loops;          /* libuv's handler */
static const char key;                  /* of the function, in the registry */

static void on_hook (lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (watched == NULL) return;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
  lua_call(L, 0, 0);
}

static void on_signal (int number) {
  lua_State *L = watched;
  if (L != NULL) lua_sethook(L, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
  if (loops.sa_handler != SIG_DFL && loops.sa_handler != SIG_IGN) loops.sa_handler(number);
}

/* watch(fn): fn is called in this coroutine after a Ctrl-C; it may raise */
static int interrupt_watch (lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
  struct sigaction now;
  sigaction(SIGINT, NULL, &now);
  if (now.sa_handler != on_signal) {
    loops = now;
    now.sa_handler = on_signal;
    sigaction(SIGINT, &now, NULL);
  }
  watched = L;
  return 0;
}

/* unwatch(): a Ctrl-C is the loop's alone again */
static int interrupt_unwatch (lua_State *L) {
  (void)L;
  watched = NULL;
  return 0;
}

int luaopen_host_interrupt (lua_State *L) {
  static const luaL_Reg functions[] = {
    { "watch", interrupt_watch }, { "unwatch", interrupt_unwatch }, { NULL, NULL }
  };
  luaL_newlib(L, functions);
  return 1;
}
