/* XML: read with expat straight into Lua tables, written by itself.
   A node is {name=, attrs={}, text=, children={}}. decode answers nil, err with line and column; encode raises.
   Declarations of entities are refused, so nothing can expand; nothing outside the document is ever read. */
#include "codec.h"
#include "shapetape.h"

#include <stdlib.h>
#include <string.h>

#define READER "hkrun.xml.reader"
#define EMPTY "hkrun.xml.empty"

/* ---- decode ----
   The document is recorded (shapetape.h) and played into Lua here. On the Lua stack, for each open element:
   its node, and its children or nil. The text of all open elements stands in one buffer, that of the innermost last. */

typedef struct Level {
  size_t text;                                      /* where this element's text begins */
  int secret;                                       /* its text is a secret */
  int below;                                        /* everything below is */
  int has_child;
} Level;

typedef struct Reader {
  Tape tape;
  HostBuf *text;
  const HostLeaves *leaves;
  int careful;                                      /* something in the document may be a secret */
  int depth;
  int empty;                                        /* stack index of the shared empty table */
  Level levels[CODEC_DEPTH + 1];
} Reader;

static int reader_close (lua_State *L) {            /* __gc and __close; safe twice */
  tape_close(&((Reader *)luaL_checkudata(L, 1, READER))->tape);
  return 0;
}

static void begin_node (lua_State *L, Reader *r, const char *name, size_t length) {
  luaL_checkstack(L, 8, "XML");
  Level *parent = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
  Level *level = &r->levels[r->depth++];
  if (parent != NULL) parent->has_child = 1;
  lua_createtable(L, 0, 4);
  lua_pushlstring(L, name, length);
  level->below = parent != NULL && parent->below;
  level->secret = level->below || host_leaf_secret(L, r->leaves, lua_tostring(L, -1));
  if (level->secret && r->careful && !host_is_secret(L, 1)) level->below = 1;
  level->text = r->text->length;
  level->has_child = 0;
  lua_setfield(L, -2, "name");
  lua_pushvalue(L, r->empty);
  lua_setfield(L, -2, "attrs");
  lua_pushnil(L);                                   /* becomes the list of children with the first one */
}

/* sets an attribute of the node that begins; `name` is not terminated */
static void set_attribute (lua_State *L, const Reader *r, const char *name, size_t name_length, const char *s, size_t length) {
  lua_getfield(L, -2, "attrs");
  if (lua_rawequal(L, -1, r->empty)) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "attrs");
  }
  lua_pushlstring(L, name, name_length);
  if (r->careful && host_leaf_secret(L, r->leaves, lua_tostring(L, -1))) host_push_secret(L, s, length);
  else lua_pushlstring(L, s, length);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static void set_text (lua_State *L, const Reader *r, const Level *level) {   /* the node is at -1 */
  const char *s = r->text->bytes + level->text;
  size_t length = r->text->length - level->text, at = 0;
  if (level->has_child)                             /* white space between elements is layout */
    while (at < length && (s[at] == ' ' || s[at] == '\n' || s[at] == '\t' || s[at] == '\r')) at++;
  if (at == length) lua_pushliteral(L, "");
  else if (level->secret) host_push_secret(L, s, length);
  else lua_pushlstring(L, s, length);
  lua_setfield(L, -2, "text");
}

static void end_node (lua_State *L, Reader *r) {
  Level *level = &r->levels[--r->depth];
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_pushvalue(L, r->empty);
  }
  lua_setfield(L, -2, "children");
  set_text(L, r, level);
  if (level->secret && r->text->length > level->text)
    explicit_bzero(r->text->bytes + level->text, r->text->length - level->text);
  r->text->length = level->text;
  if (r->depth == 0) return;                        /* the root stays on the stack */
  if (lua_isnil(L, -2)) {                           /* stack: parent, its children or nil, this node */
    lua_newtable(L);
    lua_replace(L, -3);
  }
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void play (lua_State *L, Reader *r, const Reel *reel) {
  size_t name_length = 0;
  const char *name = NULL;
  for (size_t at = 0; at < reel->ready;) {
    Note head;
    memcpy(&head, reel->bytes + at, sizeof head);
    const char *s = reel->bytes + at + sizeof head;
    at += sizeof head + head.length;
    switch (head.what) {
      case START: begin_node(L, r, s, head.length); break;
      case ATTRIBUTE: name = s; name_length = head.length; break;
      case VALUE: set_attribute(L, r, name, name_length, s, head.length); break;
      case TEXT: host_buf_add(L, r->text, s, head.length); break;
      default: end_node(L, r);
    }
  }
}

static int frozen (lua_State *L) {
  return luaL_error(L, "this node has no attributes or children of its own; give it a table first");
}

/* one table for all nodes without attributes or children: half of the tables of a usual document */
static void push_empty (lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, EMPTY) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, frozen);
  lua_setfield(L, -2, "__newindex");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, EMPTY);
}

static Reader *reader_new (lua_State *L, const HostLeaves *leaves) {
  Reader *r = lua_newuserdatauv(L, sizeof *r, 0);
  memset(&r->tape, 0, sizeof r->tape);
  luaL_setmetatable(L, READER);
  lua_toclose(L, -1);
  r->leaves = leaves;
  r->careful = host_leaves_careful(leaves);
  r->depth = 0;
  r->text = host_buf_new(L);
  r->text->secret = r->careful;
  push_empty(L);
  r->empty = lua_gettop(L);
  if (!tape_open(&r->tape)) luaL_error(L, "not enough memory");
  return r;
}

/* decode(string | secret [, true | set of names]) -> node | nil, err */
static int xml_decode (lua_State *L) {
  size_t length;
  HostLeaves leaves;
  const char *text = host_bytes(L, 1, &length);
  lua_settop(L, 2);
  host_leaves(L, &leaves, 1, 2);
  Reader *r = reader_new(L, &leaves);
  if (!tape_lend(&r->tape, text, length)) return luaL_error(L, "not enough memory");
  tape_end(&r->tape);
  for (const Reel *reel; (reel = tape_next(&r->tape)) != NULL;) play(L, r, reel);
  unsigned long line, column;
  const char *fault = tape_fault(&r->tape, &line, &column);
  if (fault == NULL) return 1;                      /* the root, the last on the stack */
  return host_fail(L, r->tape.refused != NULL ? "limit" : "invalid", NULL, 0, "not usable XML at line %lu, column %lu: %s",
                   line, column, fault);
}

/* ---- encode ---- */

static void put_escaped (lua_State *L, HostBuf *b, int index, int attribute) {
  size_t length;
  if (lua_type(L, index) == LUA_TNUMBER || lua_type(L, index) == LUA_TBOOLEAN) {
    luaL_tolstring(L, index, NULL);                 /* of a copy: lua_next must not see its key change */
    put_escaped(L, b, lua_gettop(L), attribute);
    lua_pop(L, 1);
    return;
  }
  if (lua_type(L, index) != LUA_TSTRING && !host_is_secret(L, index))
    luaL_error(L, "cannot write XML: a %s is neither text nor a number", luaL_typename(L, index));
  const char *s = host_bytes(L, index, &length);
  if (host_is_secret(L, index)) b->secret = 1;
  if (!host_utf8_valid(s, length)) luaL_error(L, "cannot write XML: a text is not UTF-8");
  if (!host_encode_xml(L, b, s, length, attribute)) luaL_error(L, "cannot write XML: it has no way to write a control character");
}

static void put_name (lua_State *L, HostBuf *b, int index) {
  size_t length;
  if (lua_type(L, index) != LUA_TSTRING) luaL_error(L, "cannot write XML: a name is a %s", luaL_typename(L, index));
  const char *s = lua_tolstring(L, index, &length);
  int fine = length > 0 && strlen(s) == length && host_utf8_valid(s, length) && strchr("-.0123456789", *s) == NULL;
  for (size_t i = 0; i < length; i++)
    fine = fine && ((unsigned char)s[i] >= 0x80 || ((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'z') || strchr("_:-.0123456789", s[i]) != NULL);
  if (!fine) luaL_error(L, "cannot write XML: %s is not a name", s);
  host_buf_add(L, b, s, length);
}

static int by_text (const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void put_attributes (lua_State *L, HostBuf *b, int index) {   /* sorted by name */
  size_t count = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) count++;
  if (count == 0) return;
  const char **names = lua_newuserdatauv(L, count * sizeof *names, 0);
  count = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "cannot write XML: an attribute's name is a %s", luaL_typename(L, -2));
    names[count++] = lua_tostring(L, -2);
  }
  qsort(names, count, sizeof *names, by_text);
  for (size_t i = 0; i < count; i++) {
    host_buf_char(L, b, ' ');
    lua_pushstring(L, names[i]);
    put_name(L, b, lua_gettop(L));
    host_buf_text(L, b, "=\"");
    lua_getfield(L, index, names[i]);
    put_escaped(L, b, lua_gettop(L), 1);
    host_buf_char(L, b, '"');
    lua_pop(L, 2);
  }
  lua_pop(L, 1);
}

static void put_node (lua_State *L, HostBuf *b, int depth) {         /* the node is on top of the stack */
  int node = lua_gettop(L);
  luaL_checkstack(L, 12, "XML");
  if (depth > CODEC_DEPTH) luaL_error(L, "cannot write XML: nested deeper than %d levels; does a node hold itself?", CODEC_DEPTH);
  if (!lua_istable(L, node)) luaL_error(L, "cannot write XML: a node is a %s, not a table", luaL_typename(L, node));
  host_buf_char(L, b, '<');
  lua_getfield(L, node, "name");
  put_name(L, b, node + 1);
  if (lua_getfield(L, node, "attrs") == LUA_TTABLE) put_attributes(L, b, node + 2);
  lua_getfield(L, node, "text");
  lua_getfield(L, node, "children");
  lua_Integer count = lua_istable(L, node + 4) ? (lua_Integer)lua_rawlen(L, node + 4) : 0;
  size_t before = b->length;
  host_buf_char(L, b, '>');
  if (!lua_isnil(L, node + 3)) put_escaped(L, b, node + 3, 0);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, node + 4, i);
    put_node(L, b, depth + 1);
    lua_pop(L, 1);
  }
  if (b->length == before + 1) {                    /* nothing inside */
    b->length = before;
    host_buf_text(L, b, "/>");
  } else {
    host_buf_text(L, b, "</");
    put_name(L, b, node + 1);
    host_buf_char(L, b, '>');
  }
  lua_settop(L, node);
}

static int xml_encode (lua_State *L) {              /* encode(node, declaration) -> string, or secret if it holds one */
  lua_settop(L, 2);
  HostBuf *b = host_buf_new(L);
  if (lua_toboolean(L, 2)) host_buf_text(L, b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
  lua_pushvalue(L, 1);
  put_node(L, b, 1);
  host_buf_push(L, b);
  return 1;
}

int luaopen_host_xml (lua_State *L) {
  host_need(L, "expat");
  static const luaL_Reg functions[] = {{"decode", xml_decode}, {"encode", xml_encode}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", reader_close}, {"__close", reader_close}, {NULL, NULL}};
  luaL_newmetatable(L, READER);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, functions);
  return 1;
}
