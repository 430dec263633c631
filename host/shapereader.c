/* graph:reader(name) -> reader: reads XML with expat into the tables of a shape, as it comes. Who has the bytes adds them
   (host_reader_add); reader:play() makes the tables of what has come so far, and finish() the rest -> result, local name of
   the root | nil, err. graph:xml(name, body) does it at once. Declarations of entities are refused.
   A coroutine plays, and yields where no more has come: the tables of the open elements stay on its stack. */
#include "shapexml.h"

#include <string.h>

#define READER "hkrun.shape.xml"

static int reader_close (lua_State *L) {            /* __gc and __close; safe twice */
  tape_close(&((Reader *)luaL_checkudata(L, 1, READER))->tape);
  return 0;
}

/* Plays what has come; yields until more has. */
static int run (lua_State *L, int status, lua_KContext reader) {
  Reader *r = (Reader *)reader;
  unsigned long line, column;
  (void)status;
  for (const Reel *reel; (reel = tape_next(&r->tape)) != NULL;) {
    int failed = shape_play(L, r, reel);
    if (failed) return failed;
  }
  if (!r->tape.is_ended) return lua_yieldk(L, 0, reader, run);
  const char *fault = tape_fault(&r->tape, &line, &column);
  if (fault != NULL)
    return host_fail(L, r->tape.refused != NULL ? "limit" : "protocol", NULL, 0,
                     "the answer is not usable XML at line %lu, column %lu: %s", line, column, fault);
  lua_pushstring(L, r->root);                       /* below it only the root's table is left */
  return 2;
}

static int begin_run (lua_State *L) {               /* (reader, graph, keys) */
  Reader *r = lua_touserdata(L, 1);
  luaL_checkstack(L, 2 * CODEC_DEPTH + 32, "XML");
  shape_need(L, &r->g, r->shape);
  return run(L, LUA_OK, (lua_KContext)r);
}

/* Goes on with the coroutine. */
static void resume (lua_State *L, Reader *r, lua_State *co) {
  if (r->results > 0) return;
  if (r->tape.parser == NULL) luaL_error(L, "this reader is closed");
  int given = lua_status(co) == LUA_YIELD ? 0 : 3, held = shape_hold_collector(L);
  if (given > 0) r->before = held;
  int status = lua_resume(co, L, given, &r->results);
  shape_release_collector(L, held, r->before);
  if (status <= LUA_YIELD) return;
  tape_close(&r->tape);
  lua_xmove(co, L, 1);
  lua_error(L);
}

static lua_State *coroutine (lua_State *L, int reader) {
  lua_getiuservalue(L, reader, 1);
  lua_State *co = lua_tothread(L, -1);
  lua_pop(L, 1);                                    /* the reader keeps it */
  return co;
}

HostReader *host_reader (lua_State *L, int arg) { return luaL_checkudata(L, arg, READER); }

int host_reader_add (HostReader *r, const char *bytes, size_t length) {
  size_t before = r->tape.length;
  if (r->tape.parser == NULL || r->results > 0) return 1;          /* it needs no more */
  if (!tape_add(&r->tape, bytes, length)) return 0;
  return r->tape.length > before ? 2 : 1;
}

static int reader_add (lua_State *L) {              /* reader:add(bytes) */
  size_t length;
  const char *bytes = luaL_checklstring(L, 2, &length);
  return host_reader_add(host_reader(L, 1), bytes, length) ? 0 : luaL_error(L, "not enough memory");
}

static int reader_play (lua_State *L) {             /* reader:play() */
  resume(L, luaL_checkudata(L, 1, READER), coroutine(L, 1));
  return 0;
}

static int finish (lua_State *L, int reader) {
  Reader *r = luaL_checkudata(L, reader, READER);
  lua_State *co = coroutine(L, reader);
  if (r->is_taken) luaL_error(L, "this reader has nothing more");
  if (r->tape.parser != NULL) tape_end(&r->tape);
  resume(L, r, co);
  r->is_taken = 1;
  tape_close(&r->tape);
  lua_xmove(co, L, r->results);
  return r->results;
}

static int reader_finish (lua_State *L) { return finish(L, 1); }            /* reader:finish() -> result, root | nil, err */

/* Pushes a reader; on the stack are (graph, name, body, keys). */
static Reader *reader_new (lua_State *L, Shape *shape) {
  static const luaL_Reg meta[] = {{"__gc", reader_close}, {"__close", reader_close}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"add", reader_add}, {"play", reader_play}, {"finish", reader_finish}, {NULL, NULL}};
  host_need(L, "expat");
  Reader *r = lua_newuserdatauv(L, sizeof *r, 1);
  memset(r, 0, offsetof(Reader, frames));
  r->shape = shape;
  r->g = (Shapes){2, 3};
  if (luaL_newmetatable(L, READER)) {
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_setmetatable(L, -2);
  lua_State *co = lua_newthread(L);
  lua_pushcfunction(co, begin_run);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 4);
  lua_xmove(L, co, 3);
  lua_setiuservalue(L, -2, 1);
  if (!tape_open(&r->tape)) luaL_error(L, "not enough memory");
  return r;
}

int shape_reader (lua_State *L, Shape *shape) {
  reader_new(L, shape);
  return 1;
}

int shape_xml (lua_State *L, Shape *shape) {        /* body: also a reader that was given it */
  size_t length;
  if (luaL_testudata(L, 3, READER) != NULL) return finish(L, 3);
  const char *body = host_bytes(L, 3, &length);
  Reader *r = reader_new(L, shape);
  r->hidden = host_is_secret(L, 3);
  if (!tape_lend(&r->tape, body, length)) return luaL_error(L, "not enough memory");
  return finish(L, lua_gettop(L));
}
