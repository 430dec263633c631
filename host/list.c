/* Lists and answers. A list carries the array mark, which tells it from a map when it is empty: every list that JSON,
   YAML or a service answers has one and the same metatable. The whole answer of a call carries another. The __index of
   both brings public helpers (:where, :select, :save, ...) of lua/stdlib/list.lua, which is loaded when the first of them
   is named. Lua: mark(table), answer(table) -> the same table; is(value), is_answer(value) -> boolean. */
#include "codec.h"

#define ARRAY "hkrun.array"
#define ANSWER "hkrun.answer"

/* __index of a marked table, until the helpers are loaded; from then on it is the table of them. Its upvalues are the
   metatable's name and the helpers' in list.lua. */
static int load_helpers (lua_State *L) {
  lua_settop(L, 2);
  if (lua_type(L, 2) != LUA_TSTRING) return 0;      /* what lies behind a list's end is nil, as ever */
  lua_getglobal(L, "require");
  lua_pushliteral(L, "list");
  lua_call(L, 1, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_gettable(L, -2);
  luaL_getmetatable(L, lua_tostring(L, lua_upvalueindex(1)));
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

static void mark (lua_State *L, const char *name, const char *helpers) {
  if (luaL_newmetatable(L, name)) {                 /* its identity is the mark */
    lua_pushstring(L, name);
    lua_pushstring(L, helpers);
    lua_pushcclosure(L, load_helpers, 2);
    lua_setfield(L, -2, "__index");
  }
  lua_setmetatable(L, -2);
}

static int is_marked (lua_State *L, int index, const char *name) {
  if (!lua_getmetatable(L, index)) return 0;
  luaL_getmetatable(L, name);
  int same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

void host_mark_array (lua_State *L) { mark(L, ARRAY, "methods"); }

int host_is_array (lua_State *L, int index) { return is_marked(L, index, ARRAY); }

static int list_mark (lua_State *L) {               /* mark(table) -> the same table, a list */
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  host_mark_array(L);
  return 1;
}

static int list_answer (lua_State *L) {             /* answer(table) -> the same table, the answer of a call */
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  mark(L, ANSWER, "answer_methods");
  return 1;
}

static int list_is (lua_State *L) {
  lua_pushboolean(L, lua_istable(L, 1) && host_is_array(L, 1));
  return 1;
}

static int list_is_answer (lua_State *L) {
  lua_pushboolean(L, lua_istable(L, 1) && is_marked(L, 1, ANSWER));
  return 1;
}

int luaopen_host_list (lua_State *L) {
  static const luaL_Reg functions[] = {
    {"mark", list_mark}, {"is", list_is}, {"answer", list_answer}, {"is_answer", list_is_answer}, {NULL, NULL}
  };
  luaL_newlib(L, functions);
  return 1;
}
