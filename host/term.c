/*
** term.c: the terminal. Its size, hidden input, and the other ways in which a
** secret reaches a run without being a Lua string. Line editing: editor.c.
**
** Lua: size(), is_tty(fd), hidden(), env(name), from_fd(fd). Hidden input is a
** handle with fd() and a step that never waits: `true, line`, `true` at the end
** of input, or `false, "read"`. Its states: open, closed; closing gives the
** terminal its old settings back.
*/
#include "host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define HIDDEN "hkrun.term.hidden"

/* size() -> columns, rows | nil when neither standard output nor standard error
   is a terminal that says its size */
static int term_size (lua_State *L) {
  struct winsize w = { 0 };
  if ((ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
      && (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)) return 0;
  lua_pushinteger(L, w.ws_col);
  lua_pushinteger(L, w.ws_row);
  return 2;
}

static int term_is_tty (lua_State *L) {         /* is_tty(fd: integer) -> boolean */
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* --- hidden input -------------------------------------------------------- */

typedef struct Hidden {
  int open;
  struct termios old;
} Hidden;

static int hidden_open (lua_State *L) {         /* hidden() -> handle | nil, err */
  Hidden *h = lua_newuserdatauv(L, sizeof *h, 0);
  memset(h, 0, sizeof *h);
  luaL_setmetatable(L, HIDDEN);
  struct termios now;
  if (tcgetattr(STDIN_FILENO, &h->old) != 0)
    return host_fail(L, "io", NULL, 0, "standard input is not a terminal");
  now = h->old;
  now.c_lflag = (now.c_lflag & ~(tcflag_t)ECHO) | ICANON | ECHONL;
  if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &now) != 0)
    return host_fail(L, "io", NULL, 0, "cannot hide what is typed: %s", strerror(errno));
  h->open = 1;
  return 1;
}

static int hidden_close (lua_State *L) {        /* close, __gc and __close; safe twice */
  Hidden *h = luaL_checkudata(L, 1, HIDDEN);
  int was = h->open;
  h->open = 0;
  if (was) tcsetattr(STDIN_FILENO, TCSANOW, &h->old);
  return 0;
}

static int hidden_fd (lua_State *L) {
  const Hidden *h = luaL_checkudata(L, 1, HIDDEN);
  luaL_argcheck(L, h->open, 1, "the input is closed");
  lua_pushinteger(L, STDIN_FILENO);
  return 1;
}

/* Pushes a secret without its last line end, and wipes the buffer. */
static void push_line (lua_State *L, char *buf, size_t size, size_t len) {
  while (len > 0 && (buf[len - 1] == '\n' || buf[len - 1] == '\r')) len--;
  host_push_secret(L, buf, len);
  explicit_bzero(buf, size);
}

/* line() -> true, secret | true at the end of input | nil, err. Called when the
   descriptor is readable: the terminal hands out whole lines. */
static int hidden_line (lua_State *L) {
  const Hidden *h = luaL_checkudata(L, 1, HIDDEN);
  luaL_argcheck(L, h->open, 1, "the input is closed");
  char buf[4096];
  ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return host_wait(L, "read");
  if (n < 0) return host_fail(L, "io", NULL, 0, "cannot read the terminal: %s", strerror(errno));
  lua_pushboolean(L, 1);
  if (n == 0) return 1;
  push_line(L, buf, sizeof buf, (size_t)n);
  return 2;
}

/* --- secrets from outside ------------------------------------------------ */

static int term_env (lua_State *L) {            /* env(name: string) -> secret | nil */
  const char *v = getenv(luaL_checkstring(L, 1));
  if (v == NULL) return 0;
  host_push_secret(L, v, strlen(v));
  return 1;
}

/* from_fd(fd: integer) -> secret | nil, err; reads to the end, 64 KiB at most */
static int term_from_fd (lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  enum { SIZE = 65536 };
  char *buf = lua_newuserdatauv(L, SIZE, 0);
  size_t len = 0;
  for (;;) {
    ssize_t n = read(fd, buf + len, SIZE - len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      explicit_bzero(buf, SIZE);
      return host_fail(L, "io", NULL, 0, "cannot read descriptor %d: %s", fd, strerror(errno));
    }
    if (n == 0) break;
    len += (size_t)n;
    if (len == SIZE) {
      explicit_bzero(buf, SIZE);
      return host_fail(L, "limit", NULL, 0, "more than 64 KiB on descriptor %d", fd);
    }
  }
  push_line(L, buf, SIZE, len);
  return 1;
}

static void new_type (lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *meta) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int luaopen_host_term (lua_State *L) {
  static const luaL_Reg hidden[] = {
    { "fd", hidden_fd }, { "line", hidden_line }, { "close", hidden_close }, { NULL, NULL }
  };
  static const luaL_Reg hidden_meta[] = {
    { "__gc", hidden_close }, { "__close", hidden_close }, { NULL, NULL }
  };
  static const luaL_Reg functions[] = {
    { "size", term_size }, { "is_tty", term_is_tty }, { "hidden", hidden_open }, { "env", term_env }, { "from_fd", term_from_fd },
    { NULL, NULL }
  };
  new_type(L, HIDDEN, hidden, hidden_meta);
  luaL_newlib(L, functions);
  return 1;
}
