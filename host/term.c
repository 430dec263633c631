/*
** term.c: the terminal. Its size, line editing (libedit), hidden input, and
** the other ways in which a secret reaches a run without being a Lua string.
**
** Lua: size(), is_tty(fd), editor(), hidden(), env(name), from_fd(fd).
** Editor and hidden input are handles with fd() and a step that never waits:
** `true, line`, `true` at the end of input, or `false, "read"`. Their states:
** open, closed; closing gives the terminal its old settings back.
*/
#include "host.h"

#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <openssl/crypto.h>

#define EDITOR "hkrun.term.editor"
#define HIDDEN "hkrun.term.hidden"

/* size() -> columns, rows | nil when standard error is not a terminal */
static int term_size (lua_State *L) {
  struct winsize w;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0) return 0;
  lua_pushinteger(L, w.ws_col);
  lua_pushinteger(L, w.ws_row);
  return 2;
}

static int term_is_tty (lua_State *L) {         /* is_tty(fd: integer) -> boolean */
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* --- line editing -------------------------------------------------------- */

typedef struct Editor {
  EditLine *el;
  History *history;
  char prompt[128];
} Editor;

static char *editor_prompt (EditLine *el) {
  Editor *e = NULL;
  el_get(el, EL_CLIENTDATA, &e);
  return e->prompt;
}

static Editor *open_editor (lua_State *L) {
  Editor *e = luaL_checkudata(L, 1, EDITOR);
  luaL_argcheck(L, e->el != NULL, 1, "the editor is closed");
  return e;
}

static int editor_open (lua_State *L) {         /* editor() -> handle | nil, err */
  host_need(L, "edit");
  HistEvent ev;
  Editor *e = lua_newuserdatauv(L, sizeof *e, 0);
  memset(e, 0, sizeof *e);
  luaL_setmetatable(L, EDITOR);
  e->history = history_init();
  e->el = el_init("hkrun", stdin, stdout, stderr);
  if (e->history == NULL || e->el == NULL)
    return host_fail(L, "io", NULL, 0, "cannot use this terminal for line editing");
  history(e->history, &ev, H_SETSIZE, 1000);
  history(e->history, &ev, H_SETUNIQUE, 1);
  el_set(e->el, EL_CLIENTDATA, e);
  el_set(e->el, EL_PROMPT, editor_prompt);
  el_set(e->el, EL_EDITOR, "emacs");
  el_set(e->el, EL_HIST, history, e->history);
  el_set(e->el, EL_SIGNAL, 0);
  el_source(e->el, NULL);
  return 1;
}

static int editor_close (lua_State *L) {        /* close, __gc and __close; safe twice */
  Editor *e = luaL_checkudata(L, 1, EDITOR);
  EditLine *el = e->el;
  History *h = e->history;
  e->el = NULL;
  e->history = NULL;
  if (el != NULL) {
    el_set(el, EL_UNBUFFERED, 0);
    el_end(el);
  }
  if (h != NULL) history_end(h);
  return 0;
}

static int editor_fd (lua_State *L) {
  open_editor(L);
  lua_pushinteger(L, STDIN_FILENO);
  return 1;
}

/* begin(prompt: string): shows the prompt; line() then reads */
static int editor_begin (lua_State *L) {
  Editor *e = open_editor(L);
  snprintf(e->prompt, sizeof e->prompt, "%s", luaL_checkstring(L, 2));
  el_set(e->el, EL_UNBUFFERED, 1);              /* draws it, too */
  return 0;
}

/* line() -> true, line | true at the end of input | false, "read" */
static int editor_line (lua_State *L) {
  Editor *e = open_editor(L);
  struct pollfd typed = { STDIN_FILENO, POLLIN, 0 };
  if (poll(&typed, 1, 0) == 0) return host_wait(L, "read");
  int n = 0;
  const char *s = el_gets(e->el, &n);
  if (s != NULL && n > 0) {
    int end = s[n - 1] == '\n' || s[n - 1] == '\r';
    if (!end && !(n == 1 && s[0] == 4)) return host_wait(L, "read");
    el_set(e->el, EL_UNBUFFERED, 0);
    lua_pushboolean(L, 1);
    if (!end) return 1;
    lua_pushlstring(L, s, (size_t)(n - 1));
    return 2;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return host_wait(L, "read");
  el_set(e->el, EL_UNBUFFERED, 0);
  lua_pushboolean(L, 1);
  return 1;
}

static int editor_remember (lua_State *L) {     /* remember(line): adds it to the history */
  Editor *e = open_editor(L);
  HistEvent ev;
  history(e->history, &ev, H_ENTER, luaL_checkstring(L, 2));
  return 0;
}

static int editor_load (lua_State *L) {         /* load(path): reads a history file, if there is one */
  Editor *e = open_editor(L);
  HistEvent ev;
  history(e->history, &ev, H_LOAD, luaL_checkstring(L, 2));
  return 0;
}

static int editor_save (lua_State *L) {         /* save(path) -> true | nil, err */
  Editor *e = open_editor(L);
  HistEvent ev;
  if (history(e->history, &ev, H_SAVE, luaL_checkstring(L, 2)) < 0)
    return host_fail(L, "io", NULL, 0, "cannot write the history to %s", lua_tostring(L, 2));
  lua_pushboolean(L, 1);
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
  OPENSSL_cleanse(buf, size);
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
      OPENSSL_cleanse(buf, SIZE);
      return host_fail(L, "io", NULL, 0, "cannot read descriptor %d: %s", fd, strerror(errno));
    }
    if (n == 0) break;
    len += (size_t)n;
    if (len == SIZE) {
      OPENSSL_cleanse(buf, SIZE);
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
  static const luaL_Reg editor[] = {
    { "fd", editor_fd }, { "begin", editor_begin }, { "line", editor_line },
    { "remember", editor_remember }, { "load", editor_load },
    { "save", editor_save }, { "close", editor_close }, { NULL, NULL }
  };
  static const luaL_Reg editor_meta[] = {
    { "__gc", editor_close }, { "__close", editor_close }, { NULL, NULL }
  };
  static const luaL_Reg hidden[] = {
    { "fd", hidden_fd }, { "line", hidden_line }, { "close", hidden_close }, { NULL, NULL }
  };
  static const luaL_Reg hidden_meta[] = {
    { "__gc", hidden_close }, { "__close", hidden_close }, { NULL, NULL }
  };
  static const luaL_Reg functions[] = {
    { "size", term_size }, { "is_tty", term_is_tty }, { "editor", editor_open },
    { "hidden", hidden_open }, { "env", term_env }, { "from_fd", term_from_fd },
    { NULL, NULL }
  };
  new_type(L, EDITOR, editor, editor_meta);
  new_type(L, HIDDEN, hidden, hidden_meta);
  luaL_newlib(L, functions);
  return 1;
}
