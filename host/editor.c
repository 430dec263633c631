/*
** editor.c: line editing (libedit). The keys are read here and handed to
** libedit one by one, so that nothing waits: what libedit cannot do without
** waiting (completion, search, a pasted text) is told to the caller instead.
**
** Lua (host.editor): open() -> handle. States: open, closed; closing gives the
** terminal its old settings back, as does the end of a line.
*/
#include "host.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EDITOR "hkrun.editor"
#define PASTE_BEGINS "\033[200~"
#define PASTE_ENDS "\033[201~"

enum { SEQUENCE_MS = 50, LONGEST_KEY = 32 };

typedef struct Editor {
  EditLine *el;
  History *history;
  char prompt[256];
  char key[LONGEST_KEY];                /* the bytes of one key */
  size_t size, taken;
  int bracketed;                        /* the terminal marks pasted text */
  char *pasted;                         /* a paste that has begun */
  size_t pasted_size, pasted_room;
} Editor;

/* The keys that send an escape sequence. Others are ignored: what libedit does
   not know of one, it would put into the line ("~" of Page Up). */
static const char *const SEQUENCES[][2] = {
  { "\033[A", "ed-prev-history" }, { "\033OA", "ed-prev-history" }, { "\033[B", "ed-next-history" },
  { "\033OB", "ed-next-history" }, { "\033[C", "ed-next-char" }, { "\033OC", "ed-next-char" },
  { "\033[D", "ed-prev-char" }, { "\033OD", "ed-prev-char" }, { "\033[1;5C", "em-next-word" },
  { "\033[1;5D", "ed-prev-word" }, { "\033[H", "ed-move-to-beg" }, { "\033OH", "ed-move-to-beg" },
  { "\033[1~", "ed-move-to-beg" }, { "\033[7~", "ed-move-to-beg" }, { "\033[F", "ed-move-to-end" },
  { "\033OF", "ed-move-to-end" }, { "\033[4~", "ed-move-to-end" }, { "\033[8~", "ed-move-to-end" },
  { "\033[3~", "ed-delete-next-char" }, { NULL, NULL }
};

static Editor *client (EditLine *el) {
  Editor *e = NULL;
  el_get(el, EL_CLIENTDATA, &e);
  return e;
}

static char *editor_prompt (EditLine *el) { return client(el)->prompt; }

/* What libedit reads: the rest of the key, never more. */
static int next_char (EditLine *el, wchar_t *c) {
  Editor *e = client(el);
  if (e->taken >= e->size) return 0;
  mbstate_t state;
  memset(&state, 0, sizeof state);
  size_t n = mbrtowc(c, e->key + e->taken, e->size - e->taken, &state);
  int is_char = n > 0 && n <= MB_LEN_MAX;
  if (!is_char) *c = (unsigned char)e->key[e->taken];
  e->taken += is_char ? n : 1;
  return 1;
}

static Editor *open_editor (lua_State *L) {
  Editor *e = luaL_checkudata(L, 1, EDITOR);
  luaL_argcheck(L, e->el != NULL, 1, "the editor is closed");
  return e;
}

static int editor_open (lua_State *L) {         /* open() -> handle | nil, err */
  host_need(L, "edit");
  HistEvent ev;
  setlocale(LC_CTYPE, "");
  if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
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
  el_set(e->el, EL_SETTY, "-d", "-isig", NULL); /* Ctrl-C is a key: in order with the others */
  el_source(e->el, NULL);
  el_wset(e->el, EL_GETCFN, next_char);
  el_set(e->el, EL_BIND, "^R", "ed-redisplay", NULL);
  for (size_t i = 0; SEQUENCES[i][0] != NULL; i++)
    el_set(e->el, EL_BIND, SEQUENCES[i][0], SEQUENCES[i][1], NULL);
  el_set(e->el, EL_BIND, "-r", "^[x", NULL);    /* these read on: quoting, a command line */
  el_set(e->el, EL_BIND, "-r", "^[X", NULL);
  el_set(e->el, EL_BIND, "^V", "ed-ignore", NULL);
  el_set(e->el, EL_BIND, "^X", "ed-ignore", NULL);
  return 1;
}

/* Asks the terminal to mark pasted text, or no more. */
static void mark_pastes (Editor *e, int wanted) {
  if (wanted != e->bracketed) fputs(wanted ? "\033[?2004h" : "\033[?2004l", stdout);
  e->bracketed = wanted;
  fflush(stdout);
}

static void leave (Editor *e) {
  mark_pastes(e, 0);
  el_set(e->el, EL_UNBUFFERED, 0);
}

static int editor_close (lua_State *L) {        /* close, __gc and __close; safe twice */
  Editor *e = luaL_checkudata(L, 1, EDITOR);
  if (e->el != NULL) {
    leave(e);
    el_end(e->el);
  }
  if (e->history != NULL) history_end(e->history);
  free(e->pasted);
  memset(e, 0, sizeof *e);
  return 0;
}

static int editor_fd (lua_State *L) {
  lua_pushinteger(L, STDIN_FILENO);
  return 1;
}

/* begin(prompt: string, paste: boolean?): shows the prompt; line() then reads.
   With `paste` the terminal is asked to mark pasted text. */
static int editor_begin (lua_State *L) {
  Editor *e = open_editor(L);
  snprintf(e->prompt, sizeof e->prompt, "%s", luaL_checkstring(L, 2));
  e->size = e->taken = 0;
  mark_pastes(e, lua_toboolean(L, 3));
  el_set(e->el, EL_UNBUFFERED, 1);              /* draws it, too */
  return 0;
}

/* pause(): the line is given up; the terminal is as it was */
static int editor_pause (lua_State *L) {
  leave(open_editor(L));
  return 0;
}

/* --- keys ---------------------------------------------------------------- */

/* Reads one byte if there is one within `ms`: 1, 0 none, -1 the end. */
static int read_byte (char *c, int ms) {
  struct pollfd typed = { STDIN_FILENO, POLLIN, 0 };
  if (poll(&typed, 1, ms) <= 0) return 0;
  ssize_t n = read(STDIN_FILENO, c, 1);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return 0;
  return n == 1 ? 1 : -1;
}

/* Whether the bytes are all of a key: a character, or an escape sequence. */
static int is_whole (const char *key, size_t size) {
  unsigned char first = (unsigned char)key[0];
  if (first >= 0xf0) return size >= 4;
  if (first >= 0xe0) return size >= 3;
  if (first >= 0xc2) return size >= 2;
  if (first != 033) return 1;
  if (size < 2) return 0;
  if (key[1] == 'O') return size >= 3;
  if (key[1] != '[') return 1;
  return size >= 3 && key[size - 1] >= '@' && key[size - 1] <= '~';
}

/* Reads one key: 1, 0 none yet, -1 the end. The bytes of a key come together. */
static int read_key (Editor *e) {
  e->size = e->taken = 0;
  int n = read_byte(e->key, 0);
  if (n <= 0) return n;
  e->size = 1;
  while (e->size < LONGEST_KEY && !is_whole(e->key, e->size)
         && read_byte(e->key + e->size, SEQUENCE_MS) == 1) e->size++;
  return 1;
}

static int is_key (const Editor *e, const char *bytes) {
  size_t size = strlen(bytes);
  return e->size == size && memcmp(e->key, bytes, size) == 0;
}

/* Whether libedit knows what to do with it. */
static int is_bound (const Editor *e) {
  if (e->size < 3 || e->key[0] != '\033' || (e->key[1] != '[' && e->key[1] != 'O')) return 1;
  for (size_t i = 0; SEQUENCES[i][0] != NULL; i++) if (is_key(e, SEQUENCES[i][0])) return 1;
  return 0;
}

/* Has libedit act on a key. Returns its line, of *n bytes. */
static const char *feed (Editor *e, const char *key, int *n) {
  if (key != e->key) {
    e->size = strlen(key);
    memcpy(e->key, key, e->size);
  }
  e->taken = 0;
  const char *line = el_gets(e->el, n);
  e->size = e->taken = 0;
  return line;
}

static void redraw (Editor *e) {
  int n = 0;
  feed(e, "\022", &n);
}

/* key() -> true, bytes | true at the end of input | false, "read" */
static int editor_key (lua_State *L) {
  Editor *e = open_editor(L);
  int n = read_key(e);
  if (n == 0) return host_wait(L, "read");
  lua_pushboolean(L, 1);
  if (n < 0) return 1;
  lua_pushlstring(L, e->key, e->size);
  return 2;
}

/* --- pasted text --------------------------------------------------------- */

static int add_pasted (Editor *e, char c) {
  if (e->pasted_size + 1 >= e->pasted_room) {
    size_t room = e->pasted_room == 0 ? 1024 : e->pasted_room * 2;
    char *bytes = realloc(e->pasted, room);
    if (bytes == NULL) return 0;
    e->pasted = bytes;
    e->pasted_room = room;
  }
  e->pasted[e->pasted_size++] = c;
  e->pasted[e->pasted_size] = '\0';
  return 1;
}

/* Puts the text into the line: line ends stay, other control characters go. */
static void insert_pasted (Editor *e) {
  size_t n = 0;
  for (size_t i = 0; i < e->pasted_size; i++) {
    char c = e->pasted[i];
    if (c == '\r') c = '\n';
    if (c == '\t') c = ' ';
    if ((unsigned char)c >= ' ' || c == '\n') e->pasted[n++] = c;
  }
  while (n > 0 && e->pasted[n - 1] == '\n') n--;
  e->pasted[n] = '\0';
  el_insertstr(e->el, e->pasted);
  redraw(e);
}

/* Reads what is there of a paste: 1 it is whole, 0 more will come, -1 the end. */
static int read_pasted (Editor *e) {
  const size_t mark = strlen(PASTE_ENDS);
  char c;
  int n;
  while ((n = read_byte(&c, 0)) == 1) {
    if (!add_pasted(e, c)) n = -1;
    if (n < 0 || (e->pasted_size >= mark
        && memcmp(e->pasted + e->pasted_size - mark, PASTE_ENDS, mark) == 0)) break;
  }
  if (n == 0) return 0;
  if (n == 1) {
    e->pasted_size -= mark;
    insert_pasted(e);
  }
  free(e->pasted);
  e->pasted = NULL;
  e->pasted_size = e->pasted_room = 0;
  return n;
}

/* --- the line ------------------------------------------------------------ */

/* Ctrl-Z: stops, and shows the line again when it goes on. */
static void stop (Editor *e) {
  int bracketed = e->bracketed, n = 0;
  const LineInfo *line = el_line(e->el);
  size_t size = (size_t)(line->lastchar - line->buffer);
  char *text = malloc(size + 1);
  if (text == NULL) return;
  memcpy(text, line->buffer, size);
  text[size] = '\0';
  feed(e, "\005", &n);
  leave(e);
  raise(SIGTSTP);
  mark_pastes(e, bracketed);
  el_set(e->el, EL_UNBUFFERED, 1);
  el_insertstr(e->el, text);
  free(text);
  redraw(e);
}

/* line() -> true, line | true at the end of input | false, "read"
   | nil, err of the kind "cancelled" after Ctrl-C
   | true, nil, "complete" or "search": the caller acts, then calls again */
static int editor_line (lua_State *L) {
  Editor *e = open_editor(L);
  for (;;) {
    int n = e->pasted != NULL ? read_pasted(e) : read_key(e);
    if (n == 0) return host_wait(L, "read");
    const LineInfo *line = el_line(e->el);
    int ends = n < 0 || (is_key(e, "\004") && line->buffer == line->lastchar);
    if (ends || is_key(e, "\r") || is_key(e, "\n")) {
      mark_pastes(e, 0);
      const char *s = ends ? NULL : feed(e, "\n", &n);
      lua_pushboolean(L, 1);
      if (s != NULL && n > 0) lua_pushlstring(L, s, (size_t)(n - 1));
      leave(e);
      return s != NULL && n > 0 ? 2 : 1;
    }
    if (is_key(e, "\003")) {
      leave(e);
      return host_fail(L, "cancelled", NULL, 0, "cancelled");
    }
    if (is_key(e, "\t") || is_key(e, "\022")) {
      lua_pushboolean(L, 1);
      lua_pushnil(L);
      lua_pushstring(L, e->key[0] == '\t' ? "complete" : "search");
      return 3;
    }
    if (is_key(e, PASTE_BEGINS)) {
      if (!add_pasted(e, ' ')) return luaL_error(L, "not enough memory");
      e->pasted_size = 0;
    } else if (is_key(e, "\032")) stop(e);
    else if (e->size > 0 && is_bound(e)) feed(e, e->key, &n);
  }
}

static int editor_text (lua_State *L) {         /* text() -> before the cursor, after it */
  Editor *e = open_editor(L);
  const LineInfo *line = el_line(e->el);
  lua_pushlstring(L, line->buffer, (size_t)(line->cursor - line->buffer));
  lua_pushlstring(L, line->cursor, (size_t)(line->lastchar - line->cursor));
  return 2;
}

/* replace(count, text): puts text in place of so many characters before the cursor */
static int editor_replace (lua_State *L) {
  Editor *e = open_editor(L);
  el_deletestr(e->el, (int)luaL_checkinteger(L, 2));
  el_insertstr(e->el, luaL_checkstring(L, 3));
  redraw(e);
  return 0;
}

/* set(prompt, text): shows another line under another prompt */
static int editor_set (lua_State *L) {
  Editor *e = open_editor(L);
  const char *text = luaL_checkstring(L, 3);
  el_cursor(e->el, 1 << 20);
  el_deletestr(e->el, el_cursor(e->el, 0));
  el_insertstr(e->el, text);
  snprintf(e->prompt, sizeof e->prompt, "%s", luaL_checkstring(L, 2));
  redraw(e);
  return 0;
}

/* print(text): shows text below the line, and the line again below that */
static int editor_print (lua_State *L) {
  Editor *e = open_editor(L);
  const char *text = luaL_checkstring(L, 2);
  int n = 0, before = el_cursor(e->el, 0);
  feed(e, "\005", &n);                          /* to its end, on the screen too */
  fprintf(stdout, "\r\n%s\r\n", text);
  el_cursor(e->el, before - el_cursor(e->el, 0));
  el_set(e->el, EL_REFRESH);
  return 0;
}

/* resize(): the terminal has another size */
static int editor_resize (lua_State *L) {
  Editor *e = open_editor(L);
  el_resize(e->el);
  fputs("\r\033[J", stdout);
  el_set(e->el, EL_REFRESH);
  return 0;
}

static int editor_remember (lua_State *L) {     /* remember(line): the arrow keys find it */
  Editor *e = open_editor(L);
  HistEvent ev;
  history(e->history, &ev, H_ENTER, luaL_checkstring(L, 2));
  return 0;
}

int luaopen_host_editor (lua_State *L) {
  static const luaL_Reg methods[] = {
    { "fd", editor_fd }, { "begin", editor_begin }, { "pause", editor_pause },
    { "line", editor_line }, { "key", editor_key }, { "text", editor_text },
    { "replace", editor_replace }, { "set", editor_set }, { "print", editor_print },
    { "resize", editor_resize }, { "remember", editor_remember },
    { "close", editor_close }, { NULL, NULL }
  };
  static const luaL_Reg meta[] = {
    { "__gc", editor_close }, { "__close", editor_close }, { NULL, NULL }
  };
  static const luaL_Reg functions[] = { { "open", editor_open }, { NULL, NULL } };
  luaL_newmetatable(L, EDITOR);
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
