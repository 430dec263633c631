/* XML: read with expat straight into Lua tables, written by itself.
   A node is {name=, attrs={}, text=, children={}}. decode answers nil, err with line and column; encode raises.
   Declarations of entities are refused, so nothing can expand; nothing outside the document is ever read. */
#include "codec.h"

#include <expat.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define READER "hkrun.xml.reader"
#define EMPTY "hkrun.xml.empty"

/* ---- decode ----
   On the Lua stack, for each open element: its node, and its children or nil. The text of all open elements stands in
   one buffer, that of the innermost last. */

typedef struct Level {
  size_t text;                                      /* where this element's text begins */
  int secret;                                       /* its text is a secret */
  int below;                                        /* everything below is */
  int has_child;
} Level;

typedef struct Reader {
  XML_Parser parser;
  lua_State *L;
  HostBuf *text;
  const HostLeaves *leaves;
  const char *refused;                              /* why we stopped */
  int base, depth;                                  /* base: stack index below the first node */
  int empty;                                        /* stack index of the shared empty table */
  Level levels[CODEC_DEPTH + 1];
} Reader;

static int reader_close (lua_State *L) {            /* __gc; safe twice */
  Reader *r = luaL_checkudata(L, 1, READER);
  XML_Parser parser = r->parser;
  r->parser = NULL;
  if (parser != NULL) XML_ParserFree(parser);
  return 0;
}

static void refuse (Reader *r, const char *why) {
  r->refused = why;
  XML_StopParser(r->parser, XML_FALSE);
}

static void push_attributes (Reader *r, const char **attributes, int careful) {
  lua_State *L = r->L;
  if (attributes[0] == NULL) {
    lua_pushvalue(L, r->empty);
    return;
  }
  lua_newtable(L);
  for (; attributes[0] != NULL; attributes += 2) {
    lua_pushstring(L, attributes[0]);
    if (careful && host_leaf_secret(L, r->leaves, attributes[0])) host_push_secret(L, attributes[1], strlen(attributes[1]));
    else lua_pushstring(L, attributes[1]);
    lua_rawset(L, -3);
  }
}

static void on_start (void *data, const char *name, const char **attributes) {
  Reader *r = data;
  lua_State *L = r->L;
  if (r->refused != NULL) return;
  if (r->depth == CODEC_DEPTH) {
    refuse(r, "nested deeper than 256 levels");
    return;
  }
  luaL_checkstack(L, 8, "XML");
  Level *parent = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
  Level *level = &r->levels[r->depth++];
  if (parent != NULL) parent->has_child = 1;
  level->below = parent != NULL && parent->below;
  level->secret = level->below || host_leaf_secret(L, r->leaves, name);
  if (level->secret && host_leaves_careful(r->leaves) && !host_is_secret(L, 1)) level->below = 1;
  level->text = r->text->length;
  level->has_child = 0;
  lua_createtable(L, 0, 4);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "name");
  push_attributes(r, attributes, host_leaves_careful(r->leaves));
  lua_setfield(L, -2, "attrs");
  lua_pushnil(L);                                   /* becomes the list of children with the first one */
}

static void set_text (Reader *r, const Level *level) {   /* the node is at -1 */
  const char *s = r->text->bytes + level->text;
  size_t length = r->text->length - level->text, at = 0;
  if (level->has_child)                             /* white space between elements is layout */
    while (at < length && (s[at] == ' ' || s[at] == '\n' || s[at] == '\t' || s[at] == '\r')) at++;
  if (at == length) lua_pushliteral(r->L, "");
  else if (level->secret) host_push_secret(r->L, s, length);
  else lua_pushlstring(r->L, s, length);
  lua_setfield(r->L, -2, "text");
}

static void on_end (void *data, const char *name) {
  Reader *r = data;
  lua_State *L = r->L;
  (void)name;
  if (r->refused != NULL) return;
  Level *level = &r->levels[--r->depth];
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_pushvalue(L, r->empty);
  }
  lua_setfield(L, -2, "children");
  set_text(r, level);
  if (level->secret && r->text->length > level->text)
    OPENSSL_cleanse(r->text->bytes + level->text, r->text->length - level->text);
  r->text->length = level->text;
  if (r->depth == 0) return;                        /* the root stays on the stack */
  if (lua_isnil(L, -2)) {                           /* stack: parent, its children or nil, this node */
    lua_newtable(L);
    lua_replace(L, -3);
  }
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void on_text (void *data, const char *s, int length) {
  Reader *r = data;
  if (r->refused == NULL && r->depth > 0) host_buf_add(r->L, r->text, s, (size_t)length);
}

static void on_entity (void *data, const char *name, int parameter, const char *value, int length, const char *base,
                       const char *system, const char *public, const char *notation) {
  (void)name; (void)parameter; (void)value; (void)length; (void)base; (void)system; (void)public; (void)notation;
  refuse(data, "declarations of entities are not accepted");
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
  static const XML_Memory_Handling_Suite wiping = {malloc, host_wipe_realloc, host_wipe_free};
  Reader *r = lua_newuserdatauv(L, sizeof *r, 0);
  r->parser = NULL;
  luaL_setmetatable(L, READER);
  r->L = L;
  r->leaves = leaves;
  r->refused = NULL;
  r->depth = 0;
  r->text = host_buf_new(L);
  r->text->secret = host_leaves_careful(leaves);
  push_empty(L);
  r->empty = r->base = lua_gettop(L);
  r->parser = XML_ParserCreate_MM(NULL, host_leaves_careful(leaves) ? &wiping : NULL, NULL);
  if (r->parser == NULL) luaL_error(L, "out of memory");
  XML_SetUserData(r->parser, r);
  XML_SetElementHandler(r->parser, on_start, on_end);
  XML_SetCharacterDataHandler(r->parser, on_text);
  XML_SetEntityDeclHandler(r->parser, on_entity);
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
  enum XML_Status status = XML_STATUS_OK;
  for (size_t at = 0; status == XML_STATUS_OK;) {   /* expat counts in int, and copies the tail of each part */
    size_t part = length - at < 1 << 20 ? length - at : 1 << 20;
    status = XML_Parse(r->parser, text + at, (int)part, at + part == length);
    at += part;
    if (at == length) break;
  }
  unsigned long line = XML_GetCurrentLineNumber(r->parser), column = XML_GetCurrentColumnNumber(r->parser) + 1;
  enum XML_Error code = XML_GetErrorCode(r->parser);
  lua_pushcfunction(L, reader_close);               /* now, not when the collector comes by */
  lua_pushvalue(L, 3);
  lua_call(L, 1, 0);
  if (status == XML_STATUS_OK) {
    lua_settop(L, r->base + 1);
    return 1;
  }
  return host_fail(L, r->refused != NULL ? "limit" : "invalid", NULL, 0, "not usable XML at line %lu, column %lu: %s", line,
                   column, r->refused != NULL ? r->refused : XML_ErrorString(code));
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
  luaL_newmetatable(L, READER);
  lua_pushcfunction(L, reader_close);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, functions);
  return 1;
}
