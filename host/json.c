/* JSON: reads with jansson (RFC 8259, strict: UTF-8, no duplicate member, integers of 64 bits), writes by itself.
   decode answers nil, err with line and column; encode raises, for the value is the caller's. A string that is a
   secret goes in and out without becoming a Lua string. */
#include "codec.h"

#include <jansson.h>
#include <math.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TREE "hkrun.json.tree"

/* ---- memory: while a document with secrets is read, whatever jansson frees is wiped ---- */

static int wiping;                                  /* the loop's thread only */

static void *json_take (size_t size) { return malloc(size); }

static void json_give (void *memory) {
  if (wiping && memory != NULL) explicit_bzero(memory, malloc_usable_size(memory));
  free(memory);
}

typedef struct Tree { json_t *root; int careful; } Tree;

static int tree_close (lua_State *L) {              /* __gc and __close; safe twice */
  Tree *t = luaL_checkudata(L, 1, TREE);
  json_t *root = t->root;
  t->root = NULL;
  if (root == NULL) return 0;
  wiping = t->careful;
  json_decref(root);
  wiping = 0;
  return 0;
}

/* ---- decode ---- */

static void push_leaf (lua_State *L, const char *s, size_t length, int secret) {
  if (secret) host_push_secret(L, s, length);
  else lua_pushlstring(L, s, length);
}

static void push_number (lua_State *L, const json_t *value, int secret) {
  if (!secret) {
    if (json_is_integer(value)) lua_pushinteger(L, json_integer_value(value));
    else lua_pushnumber(L, json_real_value(value));
    return;
  }
  char digits[64];
  if (json_is_integer(value)) snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  else snprintf(digits, sizeof digits, "%.17g", json_real_value(value));
  host_push_secret(L, digits, strlen(digits));
  explicit_bzero(digits, sizeof digits);
}

/* name: of the nearest member around the value; below: a member around it was named as secret; body: the whole
   document is a secret, so that its numbers are secrets too */
typedef struct Reader {
  const HostLeaves *leaves;
  int body;
  int orders;                                       /* stack index of the orders of keys that are kept, or 0 */
} Reader;

/* remembers the order of the keys of the table on top; jansson iterates in it */
static void push_order (lua_State *L, const Reader *r, json_t *object) {
  const char *key;
  json_t *member;
  lua_Integer n = 0;
  lua_pushvalue(L, -1);
  lua_newtable(L);
  json_object_foreach(object, key, member) {
    lua_pushstring(L, key);
    lua_rawseti(L, -2, ++n);
  }
  lua_rawset(L, r->orders);
}

static void push_value (lua_State *L, const Reader *r, json_t *value, const char *name, int below) {
  luaL_checkstack(L, 8, "JSON");
  switch (json_typeof(value)) {
    case JSON_OBJECT: {
      const char *key;
      json_t *member;
      size_t count = json_object_size(value);
      lua_createtable(L, 0, count < 1 << 20 ? (int)count : 1 << 20);
      if (r->orders != 0) push_order(L, r, value);
      json_object_foreach(value, key, member) {
        lua_pushstring(L, key);
        int named = r->leaves->set != 0 && (json_is_object(member) || json_is_array(member)) &&
                    !r->body && host_leaf_secret(L, r->leaves, key);
        push_value(L, r, member, key, below || named);
        lua_rawset(L, -3);
      }
      break;
    }
    case JSON_ARRAY: {
      size_t count = json_array_size(value);
      lua_createtable(L, count < 1 << 20 ? (int)count : 1 << 20, 0);
      host_mark_array(L);
      for (size_t i = 0; i < count; i++) {
        push_value(L, r, json_array_get(value, i), name, below);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
      }
      break;
    }
    case JSON_STRING:
      push_leaf(L, json_string_value(value), json_string_length(value), below || host_leaf_secret(L, r->leaves, name));
      break;
    case JSON_INTEGER: case JSON_REAL:
      push_number(L, value, r->body && host_leaf_secret(L, r->leaves, name));
      break;
    case JSON_TRUE: lua_pushboolean(L, 1); break;
    case JSON_FALSE: lua_pushboolean(L, 0); break;
    default: host_push_null(L);
  }
}

/* jansson itself stops at 2,048 levels; this is the lower limit that encode has too */
static int too_deep (const char *s, size_t length) {
  int depth = 0, quoted = 0;
  for (size_t i = 0; i < length; i++) {
    if (quoted) {
      if (s[i] == '\\') i++;
      else if (s[i] == '"') quoted = 0;
    } else if (s[i] == '"') quoted = 1;
    else if (s[i] == '[' || s[i] == '{') {
      if (++depth > CODEC_DEPTH) return 1;
    } else if (s[i] == ']' || s[i] == '}') depth--;
  }
  return 0;
}

/* decode(string | secret [, true | set of names [, keep the order of keys]]) -> value | nil, err */
static int json_decode (lua_State *L) {
  size_t length;
  json_error_t error;
  HostLeaves leaves;
  const char *text = host_bytes(L, 1, &length);
  lua_settop(L, 3);
  host_leaves(L, &leaves, 1, 2);
  if (too_deep(text, length)) return host_fail(L, "limit", NULL, 0, "JSON nested deeper than %d levels", CODEC_DEPTH);
  Tree *t = lua_newuserdatauv(L, sizeof *t, 0);
  t->root = NULL;
  t->careful = host_leaves_careful(&leaves);
  luaL_setmetatable(L, TREE);
  wiping = t->careful;
  t->root = json_loadb(text, length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
  wiping = 0;
  if (t->root == NULL) {
    char *near = t->careful ? strstr(error.text, " near '") : NULL;   /* it would quote the secret */
    if (near != NULL) *near = '\0';
    const char *message = t->careful && strchr(error.text, '\'') != NULL ? "invalid token" : error.text;
    return host_fail(L, "invalid", NULL, 0, "not valid JSON at line %d, column %d: %s", error.line, error.column, message);
  }
  Reader r = {&leaves, host_is_secret(L, 1), 0};
  if (lua_toboolean(L, 3)) {
    host_orders(L);
    r.orders = lua_gettop(L);
  }
  push_value(L, &r, t->root, NULL, 0);
  lua_pushcfunction(L, tree_close);                 /* now, not when the collector comes by */
  lua_pushvalue(L, 4);
  lua_call(L, 1, 0);
  return 1;
}

/* ---- encode ---- */

typedef struct Writer {
  lua_State *L;
  HostBuf *b;
  int pretty, sort, depth;
} Writer;

static void put_value (Writer *w, int index);

/* The error names the place as a path; it is built from the keys that are still on the stack. */
static void put_error (Writer *w, const char *what) {
  luaL_error(w->L, "cannot write JSON: %s", what);
}

static void put_line (Writer *w) {
  if (!w->pretty) return;
  host_buf_char(w->L, w->b, '\n');
  for (int i = 0; i < w->depth; i++) host_buf_text(w->L, w->b, "  ");
}

static void put_string (Writer *w, int index) {
  size_t length;
  const char *s = host_bytes(w->L, index, &length);
  if (!host_utf8_valid(s, length)) put_error(w, "a string is not UTF-8; encode bytes as base64 first");
  if (host_is_secret(w->L, index)) w->b->secret = 1;
  host_encode_json(w->L, w->b, s, length);
}

static void put_number (Writer *w, int index) {
  char digits[40];
  if (lua_isinteger(w->L, index)) snprintf(digits, sizeof digits, LUA_INTEGER_FMT, lua_tointeger(w->L, index));
  else {
    double n = lua_tonumber(w->L, index);
    if (!isfinite(n)) put_error(w, "a number is infinite or not a number");
    for (int precision = 15; precision <= 17; precision++) {   /* the shortest that reads back as the same */
      snprintf(digits, sizeof digits, "%.*g", precision, n);
      if (!(strtod(digits, NULL) < n) && !(strtod(digits, NULL) > n)) break;
    }
    if (strpbrk(digits, ".e") == NULL) strcat(digits, ".0");
  }
  host_buf_text(w->L, w->b, digits);
}

typedef struct Key { const char *s; size_t length; } Key;

static int key_compare (const void *a, const void *b) {
  const Key *x = a, *y = b;
  size_t least = x->length < y->length ? x->length : y->length;
  int order = memcmp(x->s, y->s, least);
  if (order != 0) return order;
  return x->length < y->length ? -1 : x->length > y->length;
}

static void put_member (Writer *w, int first) {     /* key and value are on top of the stack */
  if (!first) host_buf_char(w->L, w->b, ',');
  put_line(w);
  put_string(w, -2);
  host_buf_text(w->L, w->b, w->pretty ? ": " : ":");
  put_value(w, lua_gettop(w->L));
  lua_pop(w->L, 1);
}

static void put_object (Writer *w, int index, size_t count) {
  lua_State *L = w->L;
  size_t done = 0;
  host_buf_char(L, w->b, '{');
  w->depth++;
  Key *keys = w->sort && count > 0 ? lua_newuserdatauv(L, count * sizeof *keys, 0) : NULL;
  for (lua_pushnil(L); lua_next(L, index); done++) {
    if (lua_type(L, -2) != LUA_TSTRING) put_error(w, "a member's name is not a string");
    if (keys == NULL) put_member(w, done == 0);
    else {
      keys[done].s = lua_tolstring(L, -2, &keys[done].length);
      lua_pop(L, 1);
    }
  }
  if (keys != NULL) {
    qsort(keys, count, sizeof *keys, key_compare);
    for (done = 0; done < count; done++) {
      lua_pushlstring(L, keys[done].s, keys[done].length);
      lua_pushvalue(L, -1);
      lua_rawget(L, index);
      put_member(w, done == 0);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  w->depth--;
  if (count > 0) put_line(w);
  host_buf_char(L, w->b, '}');
}

static void put_array (Writer *w, int index, size_t count) {
  lua_State *L = w->L;
  host_buf_char(L, w->b, '[');
  w->depth++;
  for (size_t i = 1; i <= count; i++) {
    if (i > 1) host_buf_char(L, w->b, ',');
    put_line(w);
    lua_rawgeti(L, index, (lua_Integer)i);
    put_value(w, lua_gettop(L));
    lua_pop(L, 1);
  }
  w->depth--;
  if (count > 0) put_line(w);
  host_buf_char(L, w->b, ']');
}

static void put_value (Writer *w, int index) {
  lua_State *L = w->L;
  size_t count;
  luaL_checkstack(L, 12, "JSON");
  if (w->depth > CODEC_DEPTH) put_error(w, "a table is nested deeper than 256 levels; does it hold itself?");
  if (host_is_secret(L, index)) put_string(w, index);
  else if (host_is_null(L, index)) host_buf_text(L, w->b, "null");
  else switch (lua_type(L, index)) {
    case LUA_TSTRING: put_string(w, index); break;
    case LUA_TNUMBER: put_number(w, index); break;
    case LUA_TBOOLEAN: host_buf_text(L, w->b, lua_toboolean(L, index) ? "true" : "false"); break;
    case LUA_TTABLE: {
      int shape = host_table_shape(L, index, &count);
      if (shape < 0) put_error(w, "a table mixes list and named members, or its list has a hole");
      if (shape > 0) put_array(w, index, count);
      else put_object(w, index, count);
      break;
    }
    default:
      lua_pushfstring(L, "a %s has no form in JSON", luaL_typename(L, index));
      put_error(w, lua_tostring(L, -1));
  }
}

/* finds an unknown anywhere in the value and pushes it */
static int find_unknown (lua_State *L, int index, int depth) {
  if (host_is_unknown(L, index)) {
    lua_pushvalue(L, index);
    return 1;
  }
  if (!lua_istable(L, index) || depth > CODEC_DEPTH) return 0;
  luaL_checkstack(L, 8, "JSON");
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
    if (find_unknown(L, lua_gettop(L), depth + 1)) return 1;
  return 0;
}

/* encode(value, pretty, sort) -> string, or secret if the value holds one, or the unknown that it holds */
static int json_encode (lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 3);
  if (find_unknown(L, 1, 0)) return 1;
  Writer w = {L, host_buf_new(L), lua_toboolean(L, 2), lua_toboolean(L, 3), 0};
  put_value(&w, 1);
  host_buf_push(L, w.b);
  return 1;
}

int luaopen_host_json (lua_State *L) {
  host_need(L, "jansson");
  static const luaL_Reg functions[] = {
    {"decode", json_decode}, {"encode", json_encode}, {NULL, NULL}
  };
  static const luaL_Reg meta[] = {{"__gc", tree_close}, {"__close", tree_close}, {NULL, NULL}};
  json_set_alloc_funcs(json_take, json_give);
  luaL_newmetatable(L, TREE);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, functions);
  host_push_null(L);
  lua_setfield(L, -2, "null");
  host_orders(L);
  lua_setfield(L, -2, "orders");
  return 1;
}
