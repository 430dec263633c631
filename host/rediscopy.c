/*
** rediscopy.c - the Lua side of the keyspace copier: one job, its worker threads, atomic counters (engine: redismove.h).
**
**   rediscopy.new() -> job
**   job:source(address, port [, user, password, tls_name, ca, pin, insecure, run_id])   numeric address; strings or secrets
**   job:target(...)                                                              the same
**   job:segment{ db=, cursor=, stop=, expires=, digest= } -> true | nil, err     a scan to make; with a digest: to check
**   job:give{ db=, keys=, to_db=, names=, expiry= } -> true | nil, err           keys to copy, what they are called there, when they expire
**   job:start{ ... } -> true | nil, err       the fields: job_start; open = true: more will be given, until job:enough()
**   job:id() -> the id to await               ready when all is done; with open also whenever all that was given is
**   job:limit(share, rate)                    of the source's time, keys a second; 0: none
**   job:progress() -> { keys=, bytes=, gone=, deleted=, asked=, checked=, expiry_bound=, idle= }
**   job:slices() -> { { db=, start=, stop=, keys=, digest= }, ... }              that are in the target, since the last call
**   job:refused() -> { { db=, key=, to_db=, name=, code=, message= }, ... }      keys that cannot go by DUMP and RESTORE
**   job:cancel()    job:enough()
**   job:result() -> the same as progress | nil, err     once the job has ended; a job still running is "limit"
**   job:close()     stops the threads and waits for them, which is at once: they poll the cancel descriptor
**
** States: new -> running -> ended -> closed. A wrong argument raises; everything else is nil, err.
*/
#include "host.h"
#include "redismove.h"
#include "redisside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDISCOPY_JOB "hkrun.rediscopy.job"
#define MOST_WORKERS 64

typedef struct Job {
  Move *move;                                /* NULL: closed */
  HostWake *wake;
  pthread_t threads[MOST_WORKERS];
  int count;                                 /* threads to be joined */
  int started;
  atomic_int running;
} Job;

static Job *check_job (lua_State *L) {
  return luaL_checkudata(L, 1, REDISCOPY_JOB);
}

static int fail_closed (lua_State *L) {
  return host_fail(L, "closed", "closed", 0, "the copy job is closed");
}

/* close, __gc and __close; safe twice */
static int job_close (lua_State *L) {
  Job *j = check_job(L);
  Move *m = j->move;
  HostWake *wake = j->wake;
  int i;
  if (m == NULL) return 0;
  if (j->count > 0) host_plan_stop(m, NULL);
  for (i = 0; i < j->count; i++) (void)pthread_join(j->threads[i], NULL);
  j->count = 0;
  j->move = NULL;
  j->wake = NULL;
  if (wake != NULL) host_wake_free(wake);
  host_plan_free(m);
  free(m);
  return 0;
}

static void job_idle (void *arg) {
  host_wake_send(((Job *)arg)->wake);
}

/* rediscopy.new() -> job */
static int job_new (lua_State *L) {
  Job *j = lua_newuserdatauv(L, sizeof *j, 0);
  Move *m;
  int rc;
  memset(j, 0, sizeof *j);
  luaL_setmetatable(L, REDISCOPY_JOB);
  m = calloc(1, sizeof *m);
  if (m == NULL) return host_fail(L, "limit", "memory", 0, "no memory for a copy job");
  rc = host_plan_init(m);
  if (rc != 0) {
    host_plan_free(m);
    free(m);
    return host_fail(L, "limit", "descriptors", 0, "no copy job: %s", strerror(rc));
  }
  m->idle = job_idle;
  m->idle_arg = j;
  j->move = m;
  j->wake = host_wake_new(L);
  return 1;
}

/* job:source(address, port [, user, password, tls_name, ca, pin, insecure, run_id]) -> true | nil, err */
static int job_source (lua_State *L) {
  Job *j = check_job(L);
  return j->move == NULL ? fail_closed(L) : host_side_set(L, &j->move->from);
}

/* job:target(...) -> true | nil, err */
static int job_target (lua_State *L) {
  Job *j = check_job(L);
  return j->move == NULL ? fail_closed(L) : host_side_set(L, &j->move->to);
}

/* --- what there is to do --------------------------------------------------------------------------------------- */

static lua_Integer field (lua_State *L, const char *name, lua_Integer otherwise, lua_Integer least, lua_Integer most) {
  lua_Integer v;
  lua_getfield(L, 2, name);
  v = lua_isnil(L, -1) ? otherwise : lua_isboolean(L, -1) ? lua_toboolean(L, -1) : luaL_checkinteger(L, -1);
  if (v < least || v > most) luaL_error(L, "%s is %I to %I, not %I", name, least, most, v);
  lua_pop(L, 1);
  return v;
}

static const char *cursor_field (lua_State *L, const char *name) {
  size_t n;
  const char *s;
  lua_getfield(L, 2, name);
  s = luaL_optlstring(L, -1, "0", &n);
  if (n >= MOVE_CURSOR) luaL_error(L, "%s is a cursor of SCAN", name);
  return s;                                  /* stays on the stack */
}

/* job:segment{ db=, cursor=, stop=, expires=, digest= } -> true | nil, err */
static int job_segment (lua_State *L) {
  Job *j = check_job(L);
  MoveSegment *s;
  const char *cursor, *stop, *digest;
  char *end = NULL;
  int db, expires;
  uint64_t want = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (j->move == NULL) return fail_closed(L);
  luaL_argcheck(L, !j->started, 1, "the job was started before");
  db = (int)field(L, "db", 0, 0, 1 << 20);
  expires = (int)field(L, "expires", 1, 0, 1);
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
static int job_give (lua_State *L) {
  Job *j = check_job(L);
  MoveRound *r;
  lua_Integer count;
  size_t bytes, to_bytes = 0;
  int db, to_db, renamed, timed;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (j->move == NULL) return fail_closed(L);
  db = (int)field(L, "db", 0, 0, 1 << 20);
  to_db = (int)field(L, "to_db", db, 0, 1 << 20);
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

static void *job_thread (void *arg) {
  Job *j = arg;
  host_move_work(j->move);
  if (atomic_fetch_sub(&j->running, 1) == 1) host_wake_send(j->wake);
  return NULL;
}

/* job:start{ connections=, batch=, exact=, window=, stall=, patience=, lenient=, deletes=, in_turn=, slice=, open= } -> true | nil, err
   keys a round; whether the source has PEXPIRETIME; bytes that wait for the target; milliseconds without a byte and for
   trying again; whether keys that are refused are told, or an error; whether those that have gone are deleted; one
   database after the other; keys of a slice at least; whether more will be given */
static int job_start (lua_State *L) {
  Job *j = check_job(L);
  Move *m = j->move;
  int connections, rc = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (m == NULL) return fail_closed(L);
  luaL_argcheck(L, m->from.address != NULL && m->to.address != NULL, 1, "source and target are not set");
  luaL_argcheck(L, !j->started, 1, "the job was started before");
  connections = (int)field(L, "connections", 2, 1, MOST_WORKERS);
  m->batch = (int)field(L, "batch", 500, 1, 100000);
  m->exact = (int)field(L, "exact", 1, 0, 1);
  m->window = (size_t)field(L, "window", 512 * 1024, 4096, 1 << 30);
  m->stall = (int)field(L, "stall", 60000, 1, 1 << 30);
  m->patience = (int)field(L, "patience", 0, 0, 1 << 30);
  m->lenient = (int)field(L, "lenient", 0, 0, 1);
  m->deletes = (int)field(L, "deletes", 0, 0, 1);
  m->in_turn = (int)field(L, "in_turn", 0, 0, 1);
  m->slice = (int)field(L, "slice", 1000, 1, 1 << 30);
  m->open = (int)field(L, "open", 0, 0, 1);
  j->started = 1;
  atomic_store(&j->running, connections);
  while (j->count < connections && rc == 0) {
    rc = host_thread(&j->threads[j->count], job_thread, j);
    if (rc == 0) j->count++;
  }
  if (rc != 0) {                             /* those that run end with the job */
    host_plan_stop(m, NULL);
    return host_fail(L, "limit", "threads", 1, "no threads for a copy job");
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* --- how it goes ----------------------------------------------------------------------------------------------- */

/* job:limit(share, rate) */
static int job_limit (lua_State *L) {
  Job *j = check_job(L);
  lua_Number share = luaL_checknumber(L, 2);
  lua_Integer rate = luaL_checkinteger(L, 3);
  luaL_argcheck(L, share >= 0 && share <= 1, 2, "a share is 0 to 1");
  luaL_argcheck(L, rate >= 0 && rate <= 1 << 30, 3, "keys a second expected");
  if (j->move == NULL) return fail_closed(L);
  atomic_store(&j->move->share, share > 0 && share < 0.001 ? 1 : (int)(share * 1000));
  atomic_store(&j->move->rate, (int)rate);
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

static void push_counters (lua_State *L, Move *m) {
  int idle;
  (void)pthread_mutex_lock(&m->lock);
  idle = m->busy == 0 && m->given == NULL;
  (void)pthread_mutex_unlock(&m->lock);
  lua_createtable(L, 0, 8);
#define COUNTER(name) lua_pushinteger(L, atomic_load(&m->name)); lua_setfield(L, -2, #name);
  COUNTER(keys)
  COUNTER(bytes)
  COUNTER(gone)
  COUNTER(deleted)
  COUNTER(asked)
  COUNTER(checked)
  COUNTER(expiry_bound)
#undef COUNTER
  lua_pushboolean(L, idle);
  lua_setfield(L, -2, "idle");
}

/* job:progress() -> counters | nil, err */
static int job_progress (lua_State *L) {
  Job *j = check_job(L);
  if (j->move == NULL) return fail_closed(L);
  push_counters(L, j->move);
  return 1;
}

/* job:slices() -> list | nil, err */
static int job_slices (lua_State *L) {
  Job *j = check_job(L);
  Move *m = j->move;
  char digest[24];
  lua_newtable(L);
  if (m == NULL) return fail_closed(L);
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
static int job_refused (lua_State *L) {
  Job *j = check_job(L);
  Move *m = j->move;
  lua_newtable(L);
  if (m == NULL) return fail_closed(L);
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

/* job:cancel() */
static int job_cancel (lua_State *L) {
  Job *j = check_job(L);
  if (j->move != NULL) host_plan_stop(j->move, NULL);
  return 0;
}

/* job:enough() */
static int job_enough (lua_State *L) {
  Job *j = check_job(L);
  if (j->move != NULL) host_plan_enough(j->move);
  return 0;
}

/* job:result() -> counters | nil, err */
static int job_result (lua_State *L) {
  Job *j = check_job(L);
  Move *m = j->move;
  if (m == NULL) return fail_closed(L);
  if (!j->started || atomic_load(&j->running) > 0) return host_fail(L, "limit", "running", 1, "the copy is not done yet");
  if (m->fail.kind[0] != '\0') return host_fail(L, m->fail.kind, m->fail.code, m->fail.retry, "%s", m->fail.message);
  if (m->stopped) return host_fail(L, "cancelled", "cancelled", 0, "the copy was cancelled");
  push_counters(L, m);
  return 1;
}

static const luaL_Reg functions[] = { { "new", job_new }, { NULL, NULL } };

static const luaL_Reg methods[] = {
  { "source", job_source }, { "target", job_target }, { "segment", job_segment }, { "give", job_give }, { "start", job_start },
  { "id", job_id }, { "limit", job_limit }, { "progress", job_progress }, { "slices", job_slices }, { "refused", job_refused },
  { "cancel", job_cancel }, { "enough", job_enough }, { "result", job_result }, { "close", job_close }, { NULL, NULL }
};

static const luaL_Reg metamethods[] = { { "__gc", job_close }, { "__close", job_close }, { NULL, NULL } };

int luaopen_host_rediscopy (lua_State *L) {
  host_need(L, "crypto");
  host_need(L, "ssl");
  luaL_newmetatable(L, REDISCOPY_JOB);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
