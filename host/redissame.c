/*
** redissame.c - the Lua side of redis.same: one job, its thread, what it has found (engine: redismatch.h).
**
**   redissame.new() -> job
**   job:first(address, port [, user, password, tls_name, ca, pin, insecure])      numeric address; strings or secrets
**   job:second(...)                                                              the same
**   job:start(dbs, batch, exact, tolerance, stall [, strings [, keys]]) -> true | nil, err
**                       dbs: { { db=, expires=, fields= }, ... }: whether keys and fields of hashes may expire; keys a
**                       round; whether both sides have PEXPIRETIME; milliseconds; seconds without a byte; whether both
**                       have MGET; keys: a list of those of the one database to compare
**   job:id() -> the id to await               ready when something was found, and at the end
**   job:take() -> { { db=, what=, key=, a=, b= }, ... }     found since the last call; what: redismatch.h's letters
**   job:progress() -> keys, bytes, by_value, gets         job:cancel()
**   job:result() -> true | nil, err           once it has ended; a job still running is "limit"
**   job:close()         stops the thread and waits for it, which is at once: it polls the cancel descriptor
**
** States: new -> running -> ended -> closed. A wrong argument raises; everything else is nil, err.
*/
#include "host.h"
#include "redismatch.h"
#include "redisside.h"

#include <stdlib.h>
#include <string.h>

#define REDISSAME_JOB "hkrun.redissame.job"

typedef struct Job {
  Match *match;                              /* NULL: closed */
  HostWake *wake;
  pthread_t thread;
  int started;                               /* 1: the thread is to be joined */
  atomic_int ended;
} Job;

static Job *check_job (lua_State *L) {
  return luaL_checkudata(L, 1, REDISSAME_JOB);
}

static int fail_closed (lua_State *L) {
  return host_fail(L, "closed", "closed", 0, "the comparison is closed");
}

/* close, __gc and __close; safe twice */
static int job_close (lua_State *L) {
  Job *j = check_job(L);
  Match *m = j->match;
  HostWake *wake = j->wake;
  if (m == NULL) return 0;
  if (j->started) {
    host_match_stop(m);
    (void)pthread_join(j->thread, NULL);
  }
  j->started = 0;
  j->match = NULL;
  j->wake = NULL;
  if (wake != NULL) host_wake_free(wake);
  host_match_free(m);
  free(m);
  return 0;
}

static void job_told (void *arg) {
  host_wake_send(((Job *)arg)->wake);
}

/* redissame.new() -> job */
static int job_new (lua_State *L) {
  Job *j = lua_newuserdatauv(L, sizeof *j, 0);
  Match *m;
  int rc;
  memset(j, 0, sizeof *j);
  luaL_setmetatable(L, REDISSAME_JOB);
  m = calloc(1, sizeof *m);
  if (m == NULL) return host_fail(L, "limit", "memory", 0, "no memory for a comparison");
  rc = host_match_init(m);
  if (rc != 0) {
    host_match_free(m);
    free(m);
    return host_fail(L, "limit", "descriptors", 0, "no comparison: %s", strerror(rc));
  }
  m->told = job_told;
  m->told_arg = j;
  j->match = m;
  j->wake = host_wake_new(L);
  return 1;
}

/* job:first(address, port [, user, password, tls_name, ca, pin, insecure]) -> true | nil, err */
static int job_first (lua_State *L) {
  Job *j = check_job(L);
  return j->match == NULL ? fail_closed(L) : host_side_set(L, &j->match->a);
}

/* job:second(...) -> true | nil, err */
static int job_second (lua_State *L) {
  Job *j = check_job(L);
  return j->match == NULL ? fail_closed(L) : host_side_set(L, &j->match->b);
}

static int flag (lua_State *L, const char *name) {
  int v;
  lua_getfield(L, -1, name);
  v = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return v;
}

static void set_dbs (lua_State *L, Match *m) {
  lua_Integer n = luaL_len(L, 2), i;
  luaL_argcheck(L, n >= 1 && n < 65536, 2, "a list of databases expected");
  m->dbs = calloc((size_t)n, sizeof *m->dbs);
  if (m->dbs == NULL) luaL_error(L, "not enough memory");
  m->db_count = (int)n;
  for (i = 0; i < n; i++) {
    luaL_argcheck(L, lua_geti(L, 2, i + 1) == LUA_TTABLE, 2, "a list of databases expected");
    lua_getfield(L, -1, "db");
    m->dbs[i].db = (int)luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    m->dbs[i].expires = flag(L, "expires");
    m->dbs[i].fields = flag(L, "fields");
    lua_pop(L, 1);
  }
}

static void set_given (lua_State *L, Match *m) {
  Matcher w = { .m = m };                    /* for its failures, of which there is only one: no memory */
  lua_Integer n, i;
  if (lua_isnoneornil(L, 8)) return;
  luaL_checktype(L, 8, LUA_TTABLE);
  luaL_argcheck(L, m->db_count == 1, 8, "keys are those of one database");
  m->has_given = 1;
  n = luaL_len(L, 8);
  for (i = 1; i <= n; i++) {
    size_t size;
    const char *key;
    lua_geti(L, 8, i);
    key = luaL_checklstring(L, -1, &size);
    if (host_match_add(&w, &m->given, key, size) != 0) luaL_error(L, "not enough memory");
    lua_pop(L, 1);
  }
}

static void *job_thread (void *arg) {
  Job *j = arg;
  host_match_run(j->match);
  atomic_store(&j->ended, 1);
  host_wake_send(j->wake);
  return NULL;
}

/* job:start(dbs, batch, exact, tolerance, stall [, strings [, keys]]) -> true | nil, err */
static int job_start (lua_State *L) {
  Job *j = check_job(L);
  lua_Integer batch = luaL_checkinteger(L, 3), tolerance = luaL_checkinteger(L, 5);
  lua_Number stall = luaL_checknumber(L, 6);
  Match *m = j->match;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (m == NULL) return fail_closed(L);
  luaL_argcheck(L, batch > 0 && batch <= 100000, 3, "1 to 100,000 keys a round");
  luaL_argcheck(L, tolerance >= 0, 5, "milliseconds expected");
  luaL_argcheck(L, stall > 0 && stall < 1e6, 6, "seconds expected");
  luaL_argcheck(L, m->a.address != NULL && m->b.address != NULL, 1, "the two servers are not set");
  luaL_argcheck(L, !j->started && m->dbs == NULL, 1, "the job was started before");
  set_dbs(L, m);
  set_given(L, m);
  m->batch = (int)batch;
  m->exact = lua_toboolean(L, 4);
  m->strings = lua_toboolean(L, 7);
  m->tolerance = tolerance;
  m->stall = (int)(stall * 1000);
  if (host_thread(&j->thread, job_thread, j) != 0) return host_fail(L, "limit", "threads", 1, "no thread for a comparison");
  j->started = 1;
  lua_pushboolean(L, 1);
  return 1;
}

/* job:id() -> integer | nil, err */
static int job_id (lua_State *L) {
  Job *j = check_job(L);
  if (j->wake == NULL) return fail_closed(L);
  lua_pushinteger(L, host_wake_id(j->wake));
  return 1;
}

static void push_found (lua_State *L, const MatchFound *found, const char *key) {
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, found->db);
  lua_setfield(L, -2, "db");
  lua_pushlstring(L, &found->what, 1);
  lua_setfield(L, -2, "what");
  lua_pushlstring(L, key, found->key_n);
  lua_setfield(L, -2, "key");
  lua_pushinteger(L, found->a);
  lua_setfield(L, -2, "a");
  lua_pushinteger(L, found->b);
  lua_setfield(L, -2, "b");
}

/* job:take() -> list | nil, err. The bytes are taken under the lock and turned into values, which may raise, outside. */
static int job_take (lua_State *L) {
  Job *j = check_job(L);
  Match *m = j->match;
  size_t at = 0, n;
  lua_Integer i = 1;
  char *bytes;
  if (m == NULL) return fail_closed(L);
  pthread_mutex_lock(&m->lock);
  n = m->found.n;
  pthread_mutex_unlock(&m->lock);
  bytes = lua_newuserdatauv(L, n + 1, 0);
  pthread_mutex_lock(&m->lock);              /* only more can have come meanwhile, and that stays */
  if (n > 0) {
    memcpy(bytes, m->found.p, n);
    memmove(m->found.p, m->found.p + n, m->found.n - n);
    m->found.n -= n;
  }
  pthread_cond_signal(&m->room);
  pthread_mutex_unlock(&m->lock);
  lua_newtable(L);
  while (at < n) {
    MatchFound found;
    memcpy(&found, bytes + at, sizeof found);
    at += sizeof found;
    push_found(L, &found, bytes + at);
    lua_seti(L, -2, i++);
    at += found.key_n;
  }
  return 1;
}

/* job:progress() -> keys, bytes, by_value, gets | nil, err */
static int job_progress (lua_State *L) {
  Job *j = check_job(L);
  Match *m = j->match;
  if (m == NULL) return fail_closed(L);
  lua_pushinteger(L, atomic_load(&m->keys));
  lua_pushinteger(L, atomic_load(&m->bytes));
  lua_pushboolean(L, atomic_load(&m->by_value));
  lua_pushinteger(L, atomic_load(&m->gets));
  return 4;
}

/* job:cancel() */
static int job_cancel (lua_State *L) {
  Job *j = check_job(L);
  if (j->match != NULL) host_match_stop(j->match);
  return 0;
}

/* job:result() -> true | nil, err */
static int job_result (lua_State *L) {
  Job *j = check_job(L);
  const RedisFail *f;
  if (j->match == NULL) return fail_closed(L);
  if (!atomic_load(&j->ended)) return host_fail(L, "limit", "running", 1, "the comparison is not done yet");
  f = &j->match->fail;
  if (f->kind[0] != '\0') return host_fail(L, f->kind, f->code, f->retry, "%s", f->message);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg functions[] = { { "new", job_new }, { NULL, NULL } };

static const luaL_Reg methods[] = {
  { "first", job_first }, { "second", job_second }, { "start", job_start }, { "id", job_id }, { "take", job_take },
  { "progress", job_progress }, { "cancel", job_cancel }, { "result", job_result }, { "close", job_close },
  { NULL, NULL }
};

static const luaL_Reg metamethods[] = { { "__gc", job_close }, { "__close", job_close }, { NULL, NULL } };

int luaopen_host_redissame (lua_State *L) {
  host_need(L, "crypto");
  host_need(L, "ssl");
  luaL_newmetatable(L, REDISSAME_JOB);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
