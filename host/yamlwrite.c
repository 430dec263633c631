/* The writer of YAML, on libyaml's emitter: block style, two spaces, text that any YAML reader takes for text.
   Raises; the value is the caller's. Secrets are refused: libyaml's memory is not wiped, and YAML goes to files. */
#include "codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define WRITER "hkrun.yaml.writer"

typedef struct Writer {
  yaml_emitter_t emitter;
  int open;
  lua_State *L;
  HostBuf *b;
  int orders;                                       /* stack index */
} Writer;

static int writer_close (lua_State *L) {            /* __gc; safe twice */
  Writer *w = luaL_checkudata(L, 1, WRITER);
  if (w->open) yaml_emitter_delete(&w->emitter);
  w->open = 0;
  return 0;
}

static int on_write (void *data, unsigned char *bytes, size_t length) {
  Writer *w = data;
  host_buf_add(w->L, w->b, (const char *)bytes, length);
  return 1;
}

static void emit (Writer *w, yaml_event_t *event, int made) {
  if (!made) luaL_error(w->L, "out of memory");
  if (!yaml_emitter_emit(&w->emitter, event))
    luaL_error(w->L, "cannot write YAML: %s", w->emitter.problem != NULL ? w->emitter.problem : "out of memory");
}

/* ---- scalars ---- */

/* what some YAML 1.1 reader takes for a boolean, a number, a time or a merge */
static int looks_typed (const char *s) {
  static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "<<", "=", NULL};
  for (const char *const *word = words; *word != NULL; word++)
    if (strcasecmp(s, *word) == 0) return 1;
  return 0;
}

static int looks_like_number (const char *s) {
  return strchr("0123456789+-.", *s) != NULL && strpbrk(s, "0123456789") != NULL &&
         strspn(s, "0123456789abcdefABCDEFxXoO_:.+-TtZz ") == strlen(s);
}

/* a block scalar says the same after reading only if its lines have no odd ends */
static int fits_literal (const char *s, size_t length) {
  if (strchr(" \t\n", s[0]) != NULL || strlen(s) != length) return 0;
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)s[i];
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) return 0;
    if (c == '\n' && (s[i - 1] == ' ' || s[i - 1] == '\t')) return 0;
    if (c == 0xC2 && s[i + 1] == (char)0x85) return 0;   /* other line breaks of YAML 1.1 */
    if (c == 0xE2 && s[i + 1] == (char)0x80 && (s[i + 2] == (char)0xA8 || s[i + 2] == (char)0xA9)) return 0;
  }
  return s[length - 1] != ' ' && s[length - 1] != '\t';
}

static yaml_scalar_style_t style_of (lua_State *L, const char *s, size_t length, int key) {
  int top = lua_gettop(L);
  int typed = host_yaml_resolve(L, s, length) != 0 || looks_like_number(s) || (!key && looks_typed(s)) || strcmp(s, "<<") == 0;
  lua_settop(L, top);
  if (typed) return YAML_SINGLE_QUOTED_SCALAR_STYLE;
  if (memchr(s, '\n', length) == NULL) return YAML_ANY_SCALAR_STYLE;
  return !key && fits_literal(s, length) ? YAML_LITERAL_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

static void put_scalar (Writer *w, const char *s, size_t length, yaml_scalar_style_t style) {
  yaml_event_t event;
  if (length > INT_MAX) luaL_error(w->L, "cannot write YAML: a text is too long");
  emit(w, &event, yaml_scalar_event_initialize(&event, NULL, NULL, (const unsigned char *)s, (int)length, 1, 1, style));
}

static void put_string (Writer *w, int index, int key) {
  size_t length;
  const char *s = lua_tolstring(w->L, index, &length);
  if (!host_utf8_valid(s, length)) luaL_error(w->L, "cannot write YAML: a text is not UTF-8");
  put_scalar(w, s, length, style_of(w->L, s, length, key));
}

static void put_number (Writer *w, int index) {
  char digits[48];
  double n = lua_tonumber(w->L, index);
  if (lua_isinteger(w->L, index)) snprintf(digits, sizeof digits, LUA_INTEGER_FMT, lua_tointeger(w->L, index));
  else if (isnan(n)) strcpy(digits, ".nan");
  else if (isinf(n)) strcpy(digits, n < 0 ? "-.inf" : ".inf");
  else {
    for (int precision = 15; precision <= 17; precision++) {
      snprintf(digits, sizeof digits, "%.*g", precision, n);
      if (!(strtod(digits, NULL) < n) && !(strtod(digits, NULL) > n)) break;
    }
    if (strpbrk(digits, ".e") == NULL) strcat(digits, ".0");
  }
  put_scalar(w, digits, strlen(digits), YAML_PLAIN_SCALAR_STYLE);
}

/* ---- maps and lists ---- */

static void put_value (Writer *w, int index, int depth);

static void put_member (Writer *w, int map, int depth) {   /* the key is on top; pops it; absent members are left out */
  lua_State *L = w->L;
  lua_pushvalue(L, -1);
  if (lua_rawget(L, map) != LUA_TNIL) {
    put_string(w, lua_gettop(L) - 1, 1);
    put_value(w, lua_gettop(L), depth + 1);
  }
  lua_pop(L, 2);
}

static int by_text (const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* first the keys whose order is known, then the others, sorted */
static void put_map (Writer *w, int map, size_t count, int depth) {
  lua_State *L = w->L;
  yaml_event_t event;
  int top = lua_gettop(L);
  yaml_mapping_style_t style = count == 0 ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
  emit(w, &event, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style));
  lua_newtable(L);                                  /* keys that are written */
  lua_pushvalue(L, map);
  if (lua_rawget(L, w->orders) == LUA_TTABLE)
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, top + 2); i++) {
      lua_rawgeti(L, top + 2, i);
      lua_pushvalue(L, -1);
      int again = lua_rawget(L, top + 1) != LUA_TNIL;
      lua_pop(L, 1);
      if (again || lua_type(L, -1) != LUA_TSTRING) {
        lua_pop(L, 1);
        continue;
      }
      lua_pushvalue(L, -1);
      lua_pushboolean(L, 1);
      lua_rawset(L, top + 1);
      put_member(w, map, depth);
    }
  const char **keys = lua_newuserdatauv(L, (count + 1) * sizeof *keys, 0);
  size_t rest = 0;
  for (lua_pushnil(L); lua_next(L, map); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "cannot write YAML: a key is a %s", luaL_typename(L, -2));
    if (strlen(lua_tostring(L, -2)) != lua_rawlen(L, -2)) luaL_error(L, "cannot write YAML: a key holds a NUL byte");
    lua_pushvalue(L, -2);
    if (lua_rawget(L, top + 1) == LUA_TNIL) keys[rest++] = lua_tostring(L, -3);
    lua_pop(L, 1);
  }
  qsort(keys, rest, sizeof *keys, by_text);
  for (size_t i = 0; i < rest; i++) {
    lua_pushstring(L, keys[i]);
    put_member(w, map, depth);
  }
  lua_settop(L, top);
  emit(w, &event, yaml_mapping_end_event_initialize(&event));
}

static void put_list (Writer *w, int list, size_t count, int depth) {
  yaml_event_t event;
  yaml_sequence_style_t style = count == 0 ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
  emit(w, &event, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style));
  for (size_t i = 1; i <= count; i++) {
    lua_rawgeti(w->L, list, (lua_Integer)i);
    put_value(w, lua_gettop(w->L), depth + 1);
    lua_pop(w->L, 1);
  }
  emit(w, &event, yaml_sequence_end_event_initialize(&event));
}

static void put_value (Writer *w, int index, int depth) {
  lua_State *L = w->L;
  size_t count;
  luaL_checkstack(L, 16, "YAML");
  if (depth > CODEC_DEPTH) luaL_error(L, "cannot write YAML: nested deeper than %d levels; does a table hold itself?", CODEC_DEPTH);
  if (host_is_secret(L, index)) luaL_error(L, "a secret is not written to YAML, which ends up in files");
  if (host_is_null(L, index)) put_scalar(w, "null", 4, YAML_PLAIN_SCALAR_STYLE);
  else switch (lua_type(L, index)) {
    case LUA_TSTRING: put_string(w, index, 0); break;
    case LUA_TNUMBER: put_number(w, index); break;
    case LUA_TBOOLEAN:
      put_scalar(w, lua_toboolean(L, index) ? "true" : "false", lua_toboolean(L, index) ? 4 : 5, YAML_PLAIN_SCALAR_STYLE);
      break;
    case LUA_TTABLE: {
      if (host_is_unknown(L, index)) luaL_error(L, "cannot write YAML: a value is known only after apply");
      int shape = host_table_shape(L, index, &count);
      if (shape < 0) luaL_error(L, "cannot write YAML: a table mixes list and named members, or its list has a hole");
      if (shape > 0) put_list(w, index, count, depth);
      else put_map(w, index, count, depth);
      break;
    }
    default: luaL_error(L, "cannot write YAML: a %s has no form in it", luaL_typename(L, index));
  }
}

int host_yaml_encode (lua_State *L) {               /* encode(value) -> string */
  yaml_event_t event;
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  Writer *w = lua_newuserdatauv(L, sizeof *w, 0);
  w->open = 0;
  if (luaL_newmetatable(L, WRITER)) {
    lua_pushcfunction(L, writer_close);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  w->L = L;
  w->b = host_buf_new(L);
  host_orders(L);
  w->orders = lua_gettop(L);
  if (!yaml_emitter_initialize(&w->emitter)) return luaL_error(L, "out of memory");
  w->open = 1;
  yaml_emitter_set_output(&w->emitter, on_write, w);
  yaml_emitter_set_unicode(&w->emitter, 1);
  yaml_emitter_set_width(&w->emitter, -1);
  yaml_emitter_set_indent(&w->emitter, 2);
  emit(w, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
  emit(w, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
  put_value(w, 1, 1);
  emit(w, &event, yaml_document_end_event_initialize(&event, 1));
  emit(w, &event, yaml_stream_end_event_initialize(&event));
  lua_pushcfunction(L, writer_close);
  lua_pushvalue(L, 2);
  lua_call(L, 1, 0);
  host_buf_push(L, w->b);
  return 1;
}
