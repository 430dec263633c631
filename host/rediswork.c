/*
** rediswork.c - what a job of the keyspace copier is given, and what it tells of what is done: the methods segment, give,
** slices and refused of rediscopy.c.
*/
#include "host.h"
#include "rediscopy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what there is to do --------------------------------------------------------------------------------------- */

static const char *cursor_field (lua_State *L, const char *name) {
  size_t n;
  const char *s;
  lua_getfield(L, 2, name);
  s = luaL_optlstring(L, -1, "0", &n);
  if (n >= MOVE_CURSOR) luaL_error(L, "%s is a cursor of SCAN", name);
  return s;                                  /* stays on the stack */
}

/* job:segment{ db=, cursor=, stop=, expires=, digest= } -> true | nil, err */
int host_copy_segment (lua_State *L) {
  Job *j = host_copy_job(L);
  MoveSegment *s;
  const char *cursor, *stop, *digest;
  char *end = NULL;
  int db, expires;
  uint64_t want = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (j->move == NULL) return host_copy_closed(L);
  luaL_argcheck(L, !j->started, 1, "the job was started before");
  db = (int)host_copy_field(L, "db", 0, 0, 1 << 20);
  expires = (int)host_copy_field(L, "expires", 1, 0, 1);
  cursor = cursor_field(L, "cursor");
  stop = cursor_field(L, "stop");
  lua_getfield(L, 2, "digest");
  digest = luaL_optstring(L, -1, NULL);
  if (digest != NULL) want = strtoull(digest, &end, 16);
  luaL_argcheck(L, digest == NULL || (*digest != '\0' && *end == '\0'), 2, "a digest is hex digits");
  s = host_plan_segment(j->move, db, cursor, stop);
  if (s == NULL) return host_fail(L, "limit", "memory", 0, "no memory for a copy job");
  s->expires = expires;
  s->check = digest != NULL;
  s->want = want;
  lua_pushboolean(L, 1);
  return 1;
}

/* The bytes of all strings of the list at the stack's top; raises for anything else in it. */
static size_t list_bytes (lua_State *L, lua_Integer count) {
  size_t bytes = 0, n;
  for (lua_Integer i = 1; i <= count; i++) {
    lua_geti(L, -1, i);
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "keys are strings");
    (void)lua_tolstring(L, -1, &n);
    bytes += n;
    lua_pop(L, 1);
  }
  return bytes;
}

/* The strings of the list at the stack's top, one behind the other. There is room for them, and nothing here raises. */
static void take_names (lua_State *L, lua_Integer count, RedisBuf *names, size_t *ends) {
  for (lua_Integer i = 1; i <= count; i++) {
    size_t n;
    const char *s;
    lua_geti(L, -1, i);
    s = lua_tolstring(L, -1, &n);
    memcpy(names->p + names->n, s, n);
    names->n += n;
    ends[i - 1] = names->n;
    lua_pop(L, 1);
  }
}

/* job:give{ db=, keys=, to_db=, names=, expiry= } -> true | nil, err */
int host_copy_give (lua_State *L) {
  Job *j = host_copy_job(L);
  MoveRound *r;
  lua_Integer count;
  size_t bytes, to_bytes = 0;
  int db, to_db, renamed, timed;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (j->move == NULL) return host_copy_closed(L);
  db = (int)host_copy_field(L, "db", 0, 0, 1 << 20);
  to_db = (int)host_copy_field(L, "to_db", db, 0, 1 << 20);
  timed = lua_getfield(L, 2, "expiry") == LUA_TTABLE;
  renamed = lua_getfield(L, 2, "names") == LUA_TTABLE;
  luaL_argcheck(L, lua_getfield(L, 2, "keys") == LUA_TTABLE, 2, "a list of keys expected");
  count = luaL_len(L, -1);
  bytes = list_bytes(L, count);
  if (renamed) {
    lua_pushvalue(L, -2);
    luaL_argcheck(L, luaL_len(L, -1) == count, 2, "as many names as keys expected");
    to_bytes = list_bytes(L, count);
    lua_pop(L, 1);
  }
  r = host_plan_round((size_t)count, bytes);
  if (r != NULL && renamed) {
    r->to_ends = malloc(((size_t)count + 1) * sizeof *r->to_ends);
    r->to_names.p = malloc(to_bytes + 1);
  }
  if (r != NULL && timed) r->expiry = malloc(((size_t)count + 1) * sizeof *r->expiry);
  if (r == NULL || (renamed && (r->to_ends == NULL || r->to_names.p == NULL)) || (timed && r->expiry == NULL)) {
    if (r != NULL) host_plan_free_round(r);
    return host_fail(L, "limit", "memory", 0, "no memory for a copy job");
  }
  r->count = (size_t)count;
  r->db = db;
  r->to_db = to_db;
  r->expires = 1;
  take_names(L, count, &r->names, r->ends);
  lua_pop(L, 1);
  if (renamed) take_names(L, count, &r->to_names, r->to_ends);
  lua_pop(L, 1);
  for (lua_Integer i = 1; timed && i <= count; i++) {
    lua_rawgeti(L, -1, i);
    r->expiry[i - 1] = lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  host_plan_give(j->move, r);
  lua_pushboolean(L, 1);
  return 1;
}

/* --- what is done ----------------------------------------------------------------------------------------------- */

/* job:slices() -> list | nil, err */
int host_copy_slices (lua_State *L) {
  Job *j = host_copy_job(L);
  Move *m = j->move;
  char digest[24];
  lua_newtable(L);
  if (m == NULL) return host_copy_closed(L);
  for (lua_Integer i = 1; ; i++) {
    MoveSlice *s;
    (void)pthread_mutex_lock(&m->lock);
    s = m->slices;
    if (s != NULL && (m->slices = s->next) == NULL) m->slices_last = &m->slices;
    (void)pthread_mutex_unlock(&m->lock);
    if (s == NULL) return 1;
    MoveSlice got = *s;
    free(s);
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)got.digest);
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, got.db);
    lua_setfield(L, -2, "db");
    lua_pushstring(L, got.start);
    lua_setfield(L, -2, "start");
    lua_pushstring(L, got.stop);
    lua_setfield(L, -2, "stop");
    lua_pushinteger(L, got.keys);
    lua_setfield(L, -2, "keys");
    lua_pushstring(L, digest);
    lua_setfield(L, -2, "digest");
    lua_seti(L, -2, i);
  }
}

/* job:refused() -> list | nil, err */
int host_copy_refused (lua_State *L) {
  Job *j = host_copy_job(L);
  Move *m = j->move;
  lua_newtable(L);
  if (m == NULL) return host_copy_closed(L);
  for (lua_Integer i = 1; ; i++) {
    MoveRefused *f;
    (void)pthread_mutex_lock(&m->lock);
    f = m->refused;
    (void)pthread_mutex_unlock(&m->lock);
    if (f == NULL) return 1;
    lua_createtable(L, 0, 6);
    lua_pushinteger(L, f->db);
    lua_setfield(L, -2, "db");
    lua_pushinteger(L, f->to_db);
    lua_setfield(L, -2, "to_db");
    lua_pushlstring(L, f->names, f->key_n);
    lua_setfield(L, -2, "key");
    lua_pushlstring(L, f->names + f->key_n, f->to_n);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, f->code);
    lua_setfield(L, -2, "code");
    lua_pushstring(L, f->message);
    lua_setfield(L, -2, "message");
    lua_seti(L, -2, i);
    (void)pthread_mutex_lock(&m->lock);      /* workers add at the head: f may not be the first any more */
    for (MoveRefused **at = &m->refused; *at != NULL; at = &(*at)->next)
      if (*at == f) {
        *at = f->next;
        break;
      }
    (void)pthread_mutex_unlock(&m->lock);
    free(f);
  }
}
