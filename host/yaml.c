/* YAML: reads with libyaml, types by the core schema of YAML 1.2, plus `<<` merges, which compose files use. Each alias
   becomes a copy, and all copies together are limited. decode answers nil, err with line and column. The writer is in
   yamlwrite.c. Decoded maps remember the order of their keys (in a weak table), which encode follows. */
#include "codec.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define READER "hkrun.yaml.reader"
#define COPIES 100000                               /* nodes that aliases may add to a document */
#define TAG "tag:yaml.org,2002:"

typedef struct Reader {
  yaml_parser_t parser;
  yaml_event_t event;
  int has_parser, has_event;
  int anchors, orders, places;                      /* stack indexes; places is nil where nobody asked */
  size_t copies;
} Reader;

static int reader_close (lua_State *L) {            /* __gc and __close; safe twice */
  Reader *r = luaL_checkudata(L, 1, READER);
  if (r->has_event) yaml_event_delete(&r->event);
  if (r->has_parser) yaml_parser_delete(&r->parser);
  r->has_event = r->has_parser = 0;
  return 0;
}

/* raises an error table; decode turns it into nil, err */
static int fail_at (lua_State *L, const char *kind, yaml_mark_t at, const char *what) {
  const char *message = lua_pushfstring(L, "not usable YAML at line %d, column %d: %s", (int)at.line + 1, (int)at.column + 1, what);
  host_push_error(L, kind, NULL, 0, message);
  return lua_error(L);
}

static void next_event (lua_State *L, Reader *r) {
  if (r->has_event) yaml_event_delete(&r->event);
  r->has_event = 0;
  if (!yaml_parser_parse(&r->parser, &r->event)) {
    const char *what = r->parser.problem != NULL ? r->parser.problem : "it cannot be read";
    yaml_mark_t at = r->parser.problem_mark;
    if (r->parser.error == YAML_READER_ERROR) {     /* not UTF-8: known by its offset only */
      at.line = at.column = 0;
      what = lua_pushfstring(L, "%s at byte %d", what, (int)r->parser.problem_offset + 1);
    }
    fail_at(L, "invalid", at, what);
  }
  r->has_event = 1;
}

/* ---- scalars: the core schema ---- */

static int one_of (const char *s, const char *const *words) {
  for (; *words != NULL; words++)
    if (strcmp(s, *words) == 0) return 1;
  return 0;
}

static int all_in (const char *s, const char *set) {
  return *s != '\0' && strspn(s, set) == strlen(s);
}

/* 1: pushed an integer; 0: not one; -1: too large */
static int push_integer (lua_State *L, const char *s) {
  const char *digits = *s == '-' || *s == '+' ? s + 1 : s;
  int base = 0;
  if (all_in(digits, "0123456789")) base = 10;
  else if (strncmp(s, "0o", 2) == 0 && all_in(s + 2, "01234567")) base = 8;
  else if (strncmp(s, "0x", 2) == 0 && all_in(s + 2, "0123456789abcdefABCDEF")) base = 16;
  if (base == 0) return 0;
  errno = 0;
  long long n = strtoll(base == 10 ? s : s + 2, NULL, base);
  if (errno == ERANGE) return -1;
  lua_pushinteger(L, n);
  return 1;
}

static int push_float (lua_State *L, const char *s) {
  static const char *const infinite[] = {".inf", ".Inf", ".INF", NULL};
  static const char *const not_a_number[] = {".nan", ".NaN", ".NAN", NULL};
  const char *p = *s == '-' || *s == '+' ? s + 1 : s;
  if (one_of(p, infinite)) {
    lua_pushnumber(L, *s == '-' ? -HUGE_VAL : HUGE_VAL);
    return 1;
  }
  if (one_of(s, not_a_number)) {
    lua_pushnumber(L, (lua_Number)NAN);
    return 1;
  }
  size_t whole = strspn(p, "0123456789"), fraction = 0;
  p += whole;
  if (*p == '.') {
    fraction = strspn(p + 1, "0123456789");
    p += 1 + fraction;
  }
  if (whole + fraction == 0) return 0;
  if (*p == 'e' || *p == 'E') {
    p += p[1] == '-' || p[1] == '+' ? 2 : 1;
    size_t exponent = strspn(p, "0123456789");
    if (exponent == 0) return 0;
    p += exponent;
  }
  if (*p != '\0') return 0;
  lua_pushnumber(L, strtod(s, NULL));
  return 1;
}

/* pushes what a plain scalar means; 1: not a string, 0: nothing pushed, -1: an integer too large */
int host_yaml_resolve (lua_State *L, const char *s, size_t length) {
  static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
  static const char *const truths[] = {"true", "True", "TRUE", NULL};
  static const char *const lies[] = {"false", "False", "FALSE", NULL};
  if (strlen(s) != length) return 0;
  if (one_of(s, nulls)) host_push_null(L);
  else if (one_of(s, truths)) lua_pushboolean(L, 1);
  else if (one_of(s, lies)) lua_pushboolean(L, 0);
  else {
    int integer = push_integer(L, s);
    return integer != 0 ? integer : push_float(L, s);
  }
  return 1;
}

static const char *core_tag (lua_State *L, const yaml_event_t *e, const char *tag) {   /* "str", or NULL for no tag */
  if (tag == NULL || strcmp(tag, "!") == 0) return tag == NULL ? NULL : "str";
  static const char *const known[] = {"str", "int", "float", "bool", "null", "map", "seq", NULL};
  if (strncmp(tag, TAG, strlen(TAG)) == 0 && one_of(tag + strlen(TAG), known)) return tag + strlen(TAG);
  fail_at(L, "invalid", e->start_mark, lua_pushfstring(L, "the tag %s is not one of the core schema", tag));
  return NULL;
}

static void push_scalar (lua_State *L, const yaml_event_t *e) {
  const char *s = (const char *)e->data.scalar.value;
  size_t length = e->data.scalar.length;
  const char *tag = core_tag(L, e, (const char *)e->data.scalar.tag);
  int plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  int resolved = (tag == NULL && plain) || (tag != NULL && strcmp(tag, "str") != 0) ? host_yaml_resolve(L, s, length) : 0;
  if (resolved < 0) fail_at(L, "limit", e->start_mark, "an integer beyond 64 bits; quote it to keep it as text");
  if (tag != NULL && strcmp(tag, "str") != 0) {
    if (strcmp(tag, "float") == 0 && resolved && lua_isinteger(L, -1)) {
      lua_pushnumber(L, lua_tonumber(L, -1));
      lua_remove(L, -2);
    }
    int fits = resolved && ((strcmp(tag, "int") == 0 && lua_isinteger(L, -1)) || (strcmp(tag, "bool") == 0 && lua_isboolean(L, -1)) ||
                            (strcmp(tag, "float") == 0 && lua_type(L, -1) == LUA_TNUMBER) ||
                            (strcmp(tag, "null") == 0 && host_is_null(L, -1)));
    if (!fits) fail_at(L, "invalid", e->start_mark, lua_pushfstring(L, "the value does not fit its tag !!%s", tag));
    return;
  }
  if (!resolved) lua_pushlstring(L, s, length);
}

/* ---- aliases and merges ---- */

/* copies the value at index, with the order of its keys; every node counts */
static void push_copy (lua_State *L, Reader *r, int index) {
  if (++r->copies > COPIES) fail_at(L, "limit", r->event.start_mark, "its aliases stand for more than 100000 values");
  if (!lua_istable(L, index)) {
    lua_pushvalue(L, index);
    return;
  }
  luaL_checkstack(L, 10, "YAML");
  lua_newtable(L);
  int copy = lua_gettop(L);
  if (host_is_array(L, index)) host_mark_array(L);
  for (lua_pushnil(L); lua_next(L, index);) {
    lua_pushvalue(L, -2);
    push_copy(L, r, lua_gettop(L) - 1);
    lua_rawset(L, copy);
    lua_pop(L, 1);
  }
  lua_pushvalue(L, index);
  if (lua_rawget(L, r->orders) == LUA_TTABLE) {     /* the list itself is copied: the maps part from here */
    size_t count = lua_rawlen(L, -1);
    lua_pushvalue(L, copy);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 1; i <= count; i++) {
      lua_rawgeti(L, -3, (lua_Integer)i);
      lua_rawseti(L, -2, (lua_Integer)i);
    }
    lua_rawset(L, r->orders);
  }
  lua_settop(L, copy);
}

static void push_alias (lua_State *L, Reader *r) {
  lua_getfield(L, r->anchors, (const char *)r->event.data.alias.anchor);
  if (lua_isnil(L, -1)) fail_at(L, "invalid", r->event.start_mark, "an alias of what is not defined");
  if (lua_islightuserdata(L, -1)) fail_at(L, "invalid", r->event.start_mark, "an alias inside of what it stands for");
  push_copy(L, r, lua_gettop(L));
  lua_remove(L, -2);
}

static void remember (lua_State *L, const Reader *r, const char *anchor) {   /* the value is on top */
  if (anchor == NULL) return;
  lua_pushvalue(L, -1);
  lua_setfield(L, r->anchors, anchor);
}

/* copies the members of the map on top that the map at `map` does not have; pops it */
static void merge (lua_State *L, Reader *r, int map, int order, yaml_mark_t at) {
  int from = lua_gettop(L);
  if (!lua_istable(L, from) || host_is_array(L, from)) fail_at(L, "invalid", at, "'<<' can merge only maps");
  lua_pushvalue(L, from);
  if (lua_rawget(L, r->orders) == LUA_TTABLE) {
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, from + 1); i++) {
      lua_rawgeti(L, from + 1, i);
      lua_pushvalue(L, -1);
      if (lua_rawget(L, map) == LUA_TNIL) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -1);
        lua_rawget(L, from);
        lua_rawset(L, map);
        lua_pushvalue(L, -2);
        lua_rawseti(L, order, (lua_Integer)lua_rawlen(L, order) + 1);
      }
      lua_settop(L, from + 1);
    }
  }
  lua_settop(L, from - 1);
}

/* ---- nodes ---- */

static void push_node (lua_State *L, Reader *r, int depth);

/* notes where the member or item begins whose name is on top, of the table at index: "line:column" */
static void note_place (lua_State *L, const Reader *r, int index, yaml_mark_t at) {
  if (lua_isnil(L, r->places)) return;
  lua_pushvalue(L, index);
  if (lua_rawget(L, r->places) == LUA_TNIL) {
    lua_newtable(L);
    lua_replace(L, -2);
    lua_pushvalue(L, index);
    lua_pushvalue(L, -2);
    lua_rawset(L, r->places);
  }
  lua_pushvalue(L, -2);
  lua_pushfstring(L, "%d:%d", (int)at.line + 1, (int)at.column + 1);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static void push_sequence (lua_State *L, Reader *r, int depth) {
  lua_newtable(L);
  host_mark_array(L);
  for (lua_Integer i = 1;; i++) {
    next_event(L, r);
    if (r->event.type == YAML_SEQUENCE_END_EVENT) return;
    lua_pushinteger(L, i);
    note_place(L, r, lua_gettop(L) - 1, r->event.start_mark);
    lua_pop(L, 1);
    push_node(L, r, depth + 1);
    lua_rawseti(L, -2, i);
  }
}

static void push_mapping (lua_State *L, Reader *r, int depth) {
  lua_newtable(L);
  lua_newtable(L);                                  /* the order of its keys */
  lua_pushnil(L);                                   /* what '<<' merges, as a list */
  int map = lua_gettop(L) - 2, order = map + 1, merges = map + 2;
  for (;;) {
    next_event(L, r);
    if (r->event.type == YAML_MAPPING_END_EVENT) break;
    yaml_mark_t at = r->event.start_mark;
    if (r->event.type != YAML_SCALAR_EVENT) fail_at(L, "invalid", at, "a key that is not a scalar");
    if (r->event.data.scalar.anchor != NULL) fail_at(L, "invalid", at, "an anchor on a key");
    core_tag(L, &r->event, (const char *)r->event.data.scalar.tag);
    lua_pushlstring(L, (const char *)r->event.data.scalar.value, r->event.data.scalar.length);
    int merging = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(lua_tostring(L, -1), "<<") == 0;
    lua_pushvalue(L, -1);
    if (!merging && lua_rawget(L, map) != LUA_TNIL)
      fail_at(L, "invalid", at, lua_pushfstring(L, "the key %s stands twice in one map", lua_tostring(L, map + 3)));
    lua_settop(L, map + 3);
    note_place(L, r, map, at);
    next_event(L, r);
    push_node(L, r, depth + 1);
    if (merging) {
      if (!lua_isnil(L, merges)) fail_at(L, "invalid", at, "'<<' stands twice in one map");
      if (!host_is_array(L, -1)) {                  /* one map stands for a list of one */
        lua_newtable(L);
        lua_insert(L, -2);
        lua_rawseti(L, -2, 1);
      }
      lua_replace(L, merges);
      lua_settop(L, merges);
      continue;
    }
    lua_pushvalue(L, map + 3);
    lua_rawseti(L, order, (lua_Integer)lua_rawlen(L, order) + 1);
    lua_rawset(L, map);
  }
  if (lua_istable(L, merges))
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, merges); i++) {
      lua_rawgeti(L, merges, i);
      merge(L, r, map, order, r->event.start_mark);
    }
  lua_pushvalue(L, map);
  lua_pushvalue(L, order);
  lua_rawset(L, r->orders);
  lua_settop(L, map);
}

static void push_node (lua_State *L, Reader *r, int depth) {
  luaL_checkstack(L, 16, "YAML");
  yaml_mark_t at = r->event.start_mark;
  if (depth > CODEC_DEPTH) fail_at(L, "limit", at, "nested deeper than 256 levels");
  if (r->event.type == YAML_ALIAS_EVENT) {
    push_alias(L, r);
    return;
  }
  int sequence = r->event.type == YAML_SEQUENCE_START_EVENT;
  if (r->event.type == YAML_SCALAR_EVENT) {
    push_scalar(L, &r->event);
    remember(L, r, (const char *)r->event.data.scalar.anchor);
    return;
  }
  const char *tag = (const char *)(sequence ? r->event.data.sequence_start.tag : r->event.data.mapping_start.tag);
  const char *anchor = (const char *)(sequence ? r->event.data.sequence_start.anchor : r->event.data.mapping_start.anchor);
  tag = core_tag(L, &r->event, tag);
  if (tag != NULL && strcmp(tag, sequence ? "seq" : "map") != 0) fail_at(L, "invalid", at, "the value does not fit its tag");
  if (anchor != NULL) {                             /* kept on the stack: the event goes */
    lua_pushstring(L, anchor);
    lua_pushlightuserdata(L, r);                    /* not finished yet */
    lua_setfield(L, r->anchors, anchor);
  } else lua_pushnil(L);
  if (sequence) push_sequence(L, r, depth);
  else push_mapping(L, r, depth);
  remember(L, r, lua_tostring(L, -2));
  lua_remove(L, -2);
}

static int decode_body (lua_State *L) {             /* (text, reader, places) -> value; raises error tables */
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  Reader *r = lua_touserdata(L, 2);
  r->places = 3;
  lua_newtable(L);
  r->anchors = lua_gettop(L);
  host_orders(L);
  r->orders = lua_gettop(L);
  if (!yaml_parser_initialize(&r->parser)) return luaL_error(L, "out of memory");
  r->has_parser = 1;
  yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, length);
  next_event(L, r);                                 /* the stream */
  next_event(L, r);
  if (r->event.type == YAML_STREAM_END_EVENT) {     /* nothing but comments */
    host_push_null(L);
    return 1;
  }
  next_event(L, r);
  push_node(L, r, 1);
  next_event(L, r);                                 /* the end of the document */
  next_event(L, r);
  if (r->event.type != YAML_STREAM_END_EVENT) fail_at(L, "invalid", r->event.start_mark, "a second document");
  return 1;
}

static int yaml_decode (lua_State *L) {             /* decode(string [, places]) -> value | nil, err */
  luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "string");
  luaL_argexpected(L, lua_isnoneornil(L, 2) || lua_istable(L, 2), 2, "table");
  lua_settop(L, 2);
  Reader *r = lua_newuserdatauv(L, sizeof *r, 0);
  memset(r, 0, sizeof *r);
  luaL_setmetatable(L, READER);
  lua_pushcfunction(L, decode_body);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 3);
  lua_pushvalue(L, 2);
  int code = lua_pcall(L, 3, 1, 0);
  lua_pushcfunction(L, reader_close);
  lua_pushvalue(L, 3);
  lua_call(L, 1, 0);
  if (code == LUA_OK) return 1;
  if (!lua_istable(L, -1)) return lua_error(L);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

int luaopen_host_yaml (lua_State *L) {
  host_need(L, "yaml");
  static const luaL_Reg functions[] = {{"decode", yaml_decode}, {"encode", host_yaml_encode}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", reader_close}, {"__close", reader_close}, {NULL, NULL}};
  luaL_newmetatable(L, READER);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, functions);
  host_orders(L);
  lua_setfield(L, -2, "orders");
  return 1;
}
