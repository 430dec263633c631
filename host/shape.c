/* host.shape: the shapes of a service model, for reading answers. shape.graph(describe) -> graph; describe(name) is
   asked once for each shape that a document holds, and answers { kind =, members = { { name =, wire =, shape =, ... } },
   item =, key = }; describe(name, member, values) says whether a member is secret that depends on its neighbours.
   graph:xml(name, body) and graph:json(name, body) read a body; they answer nil, err of kind "protocol" or "limit" when it
   is not what the shape says. graph:reader(name) makes a reader of XML that is still to come; it may then stand for the
   body. Shapes live as long as their graph. */
#include "shape.h"

#include <string.h>

#define GRAPH "hkrun.shape.graph"

enum { SHAPES = 1, KEYS, DESCRIBE };                /* user values of a graph */

static const char *const KINDS[] = {"struct", "list", "map", "document", "string", "blob", "bool", "integer", "number",
                                    "timestamp", NULL};

const char *shape_kind_name (ShapeKind kind) { return KINDS[kind]; }

/* pushes the string and keeps it alive; answers its bytes */
static const char *keep (lua_State *L, const Shapes *g, int index, lua_Integer *key, size_t *length) {
  index = lua_absindex(L, index);
  lua_Integer at = (lua_Integer)lua_rawlen(L, g->keys) + 1;
  const char *s = luaL_checklstring(L, index, length);
  lua_pushvalue(L, index);
  lua_rawseti(L, g->keys, at);
  if (key != NULL) *key = at;
  return s;
}

/* the shape of that name, whose facts may not be known yet */
static Shape *shape_named (lua_State *L, const Shapes *g, int name) {
  name = lua_absindex(L, name);
  lua_getiuservalue(L, g->graph, SHAPES);
  lua_pushvalue(L, name);
  lua_rawget(L, -2);
  Shape *shape = lua_touserdata(L, -1);
  if (shape == NULL) {
    lua_pop(L, 1);
    shape = lua_newuserdatauv(L, sizeof *shape, 2);
    memset(shape, 0, sizeof *shape);
    shape->name = keep(L, g, name, NULL, NULL);
    lua_pushvalue(L, name);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
  }
  lua_pop(L, 2);
  return shape;
}

static int flag (lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  int set = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return set;
}

static void fill_member (lua_State *L, const Shapes *g, int index, Member *m) {      /* its description is at index */
  index = lua_absindex(L, index);
  lua_getfield(L, index, "name");
  keep(L, g, -1, &m->key, NULL);
  lua_getfield(L, index, "wire");
  m->wire = keep(L, g, -1, NULL, &m->length);
  lua_getfield(L, index, "shape");
  m->shape = shape_named(L, g, -1);
  lua_pop(L, 3);
  m->secret = (unsigned char)flag(L, index, "secret");
  m->late = (unsigned char)flag(L, index, "late");
  m->flat = (unsigned char)flag(L, index, "flat");
  m->attribute = (unsigned char)flag(L, index, "attribute");
}

/* names differ in length and in a few letters; all of them would be read again by the comparison */
static size_t hash (const char *s, size_t length) {
  if (length == 0) return 0;
  size_t h = length * 31 + (unsigned char)s[0];
  h = h * 31 + (unsigned char)s[length / 2];
  h = h * 31 + (unsigned char)s[length - 1];
  return h * 31 + (unsigned char)s[length / 4];
}

Member *shape_member (const Shape *shape, const char *wire, size_t length) {
  for (size_t at = hash(wire, length) & shape->mask; shape->slots[at] != NULL; at = (at + 1) & shape->mask) {
    Member *m = shape->slots[at];
    if (m->length == length && memcmp(m->wire, wire, length) == 0) return m;
  }
  return NULL;
}

static void fill_struct (lua_State *L, const Shapes *g, int index, int anchor, Shape *shape) {
  lua_getfield(L, index, "members");
  luaL_checktype(L, -1, LUA_TTABLE);
  size_t count = (size_t)lua_rawlen(L, -1), room = 4;
  while (room < count * 2) room *= 2;
  shape->members = lua_newuserdatauv(L, (count + 1) * sizeof(Member), 0);
  lua_setiuservalue(L, anchor, 1);
  shape->slots = lua_newuserdatauv(L, room * sizeof(Member *), 0);
  lua_setiuservalue(L, anchor, 2);
  memset(shape->members, 0, (count + 1) * sizeof(Member));
  memset(shape->slots, 0, room * sizeof(Member *));
  shape->mask = room - 1;
  for (size_t i = 0; i < count; i++) {
    Member *m = &shape->members[i];
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    fill_member(L, g, -1, m);
    lua_pop(L, 1);
    shape->has_late |= m->late;
    shape->has_attributes |= m->attribute;
    Member *other = m->attribute ? NULL : shape_member(shape, m->wire, m->length);
    if (other != NULL) {
      m->twin = other->twin;
      other->twin = m;
    } else if (!m->attribute) {
      size_t at = hash(m->wire, m->length) & shape->mask;
      while (shape->slots[at] != NULL) at = (at + 1) & shape->mask;
      shape->slots[at] = m;
    }
  }
  shape->count = count;
  lua_pop(L, 1);
}

void shape_describe (lua_State *L, const Shapes *g, Shape *shape) {
  luaL_checkstack(L, 16, "shapes");
  lua_getiuservalue(L, g->graph, SHAPES);
  lua_getfield(L, -1, shape->name);
  lua_remove(L, -2);
  int anchor = lua_gettop(L);
  lua_getiuservalue(L, g->graph, DESCRIBE);
  lua_pushstring(L, shape->name);
  lua_call(L, 1, 1);
  luaL_checktype(L, -1, LUA_TTABLE);
  int index = lua_gettop(L);
  lua_getfield(L, index, "kind");
  const char *kind = luaL_checkstring(L, -1);
  int found = 0;
  while (KINDS[found] != NULL && strcmp(KINDS[found], kind) != 0) found++;
  if (KINDS[found] == NULL) luaL_error(L, "%s is not a kind of shape", kind);
  shape->kind = (ShapeKind)found;
  lua_pop(L, 1);
  shape->is_union = flag(L, index, "union");
  if (shape->kind == SHAPE_STRUCT) fill_struct(L, g, index, anchor, shape);
  if (lua_getfield(L, index, "item") == LUA_TTABLE) fill_member(L, g, -1, &shape->item);
  if (lua_getfield(L, index, "key") == LUA_TTABLE) fill_member(L, g, -1, &shape->key);
  lua_settop(L, anchor - 1);
  shape->known = 1;
}

/* ---- what both readers do with a struct ---- */

void shape_set (lua_State *L, const Shapes *g, int slot, const Member *member) {
  lua_rawgeti(L, g->keys, member->key);
  lua_insert(L, -2);
  lua_rawset(L, slot);
}

const char *shape_member_name (lua_State *L, const Shapes *g, const Member *member) {
  lua_rawgeti(L, g->keys, member->key);
  const char *name = lua_tostring(L, -1);           /* the graph keeps it */
  lua_pop(L, 1);
  return name;
}

/* A late value was read as a secret; its rule sees the whole struct. */
static void reveal (lua_State *L, const Shapes *g, int slot, const Shape *shape, const Member *member) {
  size_t length;
  lua_rawgeti(L, g->keys, member->key);
  lua_rawget(L, slot);
  if (host_is_secret(L, -1)) {
    lua_getiuservalue(L, g->graph, DESCRIBE);
    lua_pushstring(L, shape->name);
    lua_rawgeti(L, g->keys, member->key);
    lua_pushvalue(L, slot);
    lua_call(L, 3, 1);                              /* describe(shape, member, values) -> whether it is secret */
    int hidden = lua_toboolean(L, -1);
    lua_pop(L, 1);
    if (!hidden) {
      const char *s = host_bytes(L, -1, &length);
      lua_pushlstring(L, s, length);
      shape_set(L, g, slot, member);
    }
  }
  lua_pop(L, 1);
}

void shape_reveal (lua_State *L, const Shapes *g, const Shape *shape) {
  int slot = lua_gettop(L);
  for (size_t i = 0; i < shape->count; i++)
    if (shape->members[i].late) reveal(L, g, slot, shape, &shape->members[i]);
}

void shape_push_unknown (lua_State *L, const char *wire, size_t length) {   /* as boto3 has it */
  lua_createtable(L, 0, 1);
  lua_createtable(L, 0, 1);
  lua_pushlstring(L, wire, length);
  lua_setfield(L, -2, "name");
  lua_setfield(L, -2, "SDK_UNKNOWN_MEMBER");
}

/* ---- the collector ---- */

enum { CREDIT = 1 << 20 };                          /* kilobytes that a reader may make without a step of the collector */

int shape_hold_collector (lua_State *L) {
  if (!lua_gc(L, LUA_GCISRUNNING)) return -1;
  lua_gc(L, LUA_GCSTEP, -CREDIT);                   /* as if so much less had been allocated; to stop it would be to forget what was */
  return lua_gc(L, LUA_GCCOUNT);
}

void shape_release_collector (lua_State *L, int held, int before) {
  if (held < 0) return;
  int now = lua_gc(L, LUA_GCCOUNT), has_doubled = now - before > before;
  lua_gc(L, LUA_GCSTEP, CREDIT - (has_doubled ? now - held : 0));
}

/* ---- the graph ---- */

static int shape_graph (lua_State *L) {             /* graph(describe) -> graph */
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_newuserdatauv(L, 0, 3);
  lua_newtable(L);
  lua_setiuservalue(L, -2, SHAPES);
  lua_newtable(L);
  lua_setiuservalue(L, -2, KEYS);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, DESCRIBE);
  luaL_setmetatable(L, GRAPH);
  return 1;
}

/* The shape that a method names. Leaves (graph, name, body, keys) on the stack. */
static Shape *asked (lua_State *L) {
  luaL_checkudata(L, 1, GRAPH);
  luaL_checkstring(L, 2);
  lua_settop(L, 3);
  lua_getiuservalue(L, 1, KEYS);
  return shape_named(L, &(Shapes){1, 4}, 2);
}

static int graph_reader (lua_State *L) { return shape_reader(L, asked(L)); }          /* (name) -> reader */

static int graph_xml (lua_State *L) { return shape_xml(L, asked(L)); }    /* (name, body) -> result, root | nil, err */

static int graph_json (lua_State *L) {              /* (name, body) -> value | nil, err */
  lua_pushlightuserdata(L, asked(L));
  lua_pushcfunction(L, shape_json);
  lua_insert(L, 1);                                 /* shape_json(graph, name, body, keys, shape) */
  int held = shape_hold_collector(L), status = lua_pcall(L, 5, 2, 0);
  shape_release_collector(L, held, held);
  return status == LUA_OK ? 2 : lua_error(L);
}

static int shape_time (lua_State *L) {              /* time(text) -> seconds since 1970, or nil */
  size_t length;
  const char *s = luaL_checklstring(L, 1, &length);
  if (!shape_push_time(L, s, length)) lua_pushnil(L);
  return 1;
}

int luaopen_host_shape (lua_State *L) {
  static const luaL_Reg functions[] = {{"graph", shape_graph}, {"time", shape_time}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"reader", graph_reader}, {"xml", graph_xml}, {"json", graph_json}, {NULL, NULL}};
  luaL_newmetatable(L, GRAPH);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
