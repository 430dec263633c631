/*
** interrupt.c: Ctrl-C where the loop cannot help. Its handler of SIGINT stands before the loop's.
**
** Code that computes and never waits: the handler has the watched coroutine call a function before its next
** instruction; nothing is paid until then. A second Ctrl-C of somebody who was told that the first is being obeyed:
** the handler ends the process itself, whatever it does and whichever threads it has. No exit handler runs, no stream
** is flushed: what counts is on disk already. Children go along, the terminal is as it was, and what was drawn at its
** bottom line is cleared by the bytes that were left here for that. So it is for Ctrl-Z: the shell gets a clean terminal,
** and what was drawn is drawn again some time after the process goes on.
**
** Lua (host.interrupt): watch(fn), for the coroutine that runs; unwatch(); leave(on); asked(); clears(bytes).
*/
#include "host.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_CODE = 130, ONE_PRESS = 50 };       /* ms: a terminal and a wrapper may both hand on the same Ctrl-C */

static lua_State *volatile watched;
static struct sigaction loops;          /* libuv's handler */
static const char key;                  /* of the function, in the registry */
static volatile sig_atomic_t leaves;    /* a second Ctrl-C ends the process */
static volatile long long asked_at;     /* ms, when it was first asked to end; 0 */
static pthread_t loop_thread;
static struct termios terminal;         /* as it was found */
static int has_terminal;
static char clearing[32];               /* what clears the bottom of the terminal */
static volatile size_t clearing_size;

static long long now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void clear_bottom (void) {
  ssize_t written = clearing_size > 0 ? write(STDERR_FILENO, clearing, clearing_size) : 0;
  (void)written;
}

static void leave (void) {
  host_kill_children();
  if (has_terminal && tcgetpgrp(STDIN_FILENO) == getpgrp())     /* else it would stop us */
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
  clear_bottom();
  _exit(EXIT_CODE);
}

/* Stops as if there were no handler, and is one again when the process goes on. */
static void on_suspend (int number) {
  int err = errno;
  clear_bottom();
  struct sigaction plain = { .sa_handler = SIG_DFL }, ours;
  sigaction(number, &plain, &ours);
  sigset_t one, before;
  sigemptyset(&one);
  sigaddset(&one, number);
  raise(number);
  pthread_sigmask(SIG_UNBLOCK, &one, &before);                  /* here it stops */
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  sigaction(number, &ours, NULL);
  errno = err;
}

/* Has on_suspend called, where a Ctrl-Z is not ignored. */
static void suspend_cleanly (void) {
  struct sigaction action;
  sigaction(SIGTSTP, NULL, &action);
  if (action.sa_handler != SIG_DFL) return;
  action = (struct sigaction){ .sa_handler = on_suspend, .sa_flags = SA_RESTART };
  sigaction(SIGTSTP, &action, NULL);
}

static void on_hook (lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (watched == NULL) return;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
  lua_call(L, 0, 0);
}

static void on_signal (int number) {
  if (!pthread_equal(pthread_self(), loop_thread)) {            /* a thread that copies: not its affair */
    pthread_kill(loop_thread, number);
    return;
  }
  int err = errno;
  if (leaves) {
    if (asked_at != 0 && now() - asked_at > ONE_PRESS) leave();
    if (asked_at == 0) asked_at = now();
  }
  lua_State *L = watched;
  if (L != NULL) lua_sethook(L, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
  if (loops.sa_handler != SIG_DFL && loops.sa_handler != SIG_IGN) loops.sa_handler(number);
  errno = err;
}

/* Puts the handler before the loop's, which must be there. */
static void stand_before (void) {
  struct sigaction before;
  sigaction(SIGINT, NULL, &before);
  if (before.sa_handler == on_signal) return;
  loops = before;
  loop_thread = pthread_self();
  before.sa_handler = on_signal;
  sigaction(SIGINT, &before, NULL);
}

/* watch(fn): fn is called in this coroutine after a Ctrl-C; it may raise */
static int interrupt_watch (lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
  stand_before();
  watched = L;
  return 0;
}

/* unwatch(): a Ctrl-C is the loop's alone again */
static int interrupt_unwatch (lua_State *L) {
  (void)L;
  watched = NULL;
  return 0;
}

/* leave(on: boolean): whether the second Ctrl-C ends the process at once. The terminal of now is what it gets back. */
static int interrupt_leave (lua_State *L) {
  leaves = lua_toboolean(L, 1);
  if (!leaves) return 0;
  has_terminal = has_terminal || tcgetattr(STDIN_FILENO, &terminal) == 0;
  stand_before();
  suspend_cleanly();
  return 0;
}

/* asked(): it was asked to end in another way; the next Ctrl-C is the second */
static int interrupt_asked (lua_State *L) {
  (void)L;
  if (asked_at == 0) asked_at = now();
  return 0;
}

/* clears(bytes: string): what is written to standard error when the process is left; "" for nothing */
static int interrupt_clears (lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  luaL_argcheck(L, size <= sizeof clearing, 1, "too long");
  clearing_size = 0;
  memcpy(clearing, bytes, size);
  clearing_size = size;
  return 0;
}

int luaopen_host_interrupt (lua_State *L) {
  static const luaL_Reg functions[] = {
    { "watch", interrupt_watch }, { "unwatch", interrupt_unwatch }, { "leave", interrupt_leave }, { "asked", interrupt_asked },
    { "clears", interrupt_clears },
    { NULL, NULL }
  };
  luaL_newlib(L, functions);
  return 1;
}
