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
**   job:progress() -> { keys=, bytes=, gone=, deleted=, asked=, gets=, checked=, expiry_bound=, idle= }
**   job:slices() -> { { db=, start=, stop=, keys=, digest= }, ... }              that are in the target, since the last call
**   job:refused() -> { { db=, key=, to_db=, name=, code=, message= }, ... }      keys that cannot go by DUMP and RESTORE
**   job:cancel()    job:enough()
**   job:result() -> the same as progress | nil, err     once the job has ended; a job still running is "limit"
**   job:close()     stops the threads and waits for them, which is at once: they poll the cancel descriptor
**
** States: new -> running -> ended -> closed. A wrong argument raises; everything else is nil, err.
*/
#include "host.h"
#include "rediscopy.h"
#include "redisside.h"

#include <stdlib.h>
#include <string.h>

#define REDISCOPY_JOB "hkrun.rediscopy.job"

Job *host_copy_job (lua_State *L) {
  return luaL_checkudata(L, 1, REDISCOPY_JOB);
}

int host_copy_closed (lua_State *L) {
  return host_fail(L, "closed", "closed", 0, "the copy job is closed");
}

lua_Integer host_copy_field (lua_State *L, const char *name, lua_Integer otherwise, lua_Integer least, lua_Integer most) {
  lua_Integer v;
  lua_getfield(L, 2, name);
  v = lua_isnil(L, -1) ? otherwise : lua_isboolean(L, -1) ? lua_toboolean(L, -1) : luaL_checkinteger(L, -1);
  if (v < least || v > most) luaL_error(L, "%s is %I to %I, not %I", name, least, most, v);
  lua_pop(L, 1);
  return v;
}

/* close, __gc and __close; safe twice */
static int job_close (lua_State *L) {
  Job *j = host_copy_job(L);
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
  Job *j = host_copy_job(L);
  return j->move == NULL ? host_copy_closed(L) : host_side_set(L, &j->move->from);
}

/* job:target(...) -> true | nil, err */
static int job_target (lua_State *L) {
  Job *j = host_copy_job(L);
  return j->move == NULL ? host_copy_closed(L) : host_side_set(L, &j->move->to);
}

/* --- starting --------------------------------------------------------------------------------------------------- */

static void *job_thread (void *arg) {
  Job *j = arg;
  host_move_work(j->move);
  if (atomic_fetch_sub(&j->running, 1) == 1) host_wake_send(j->wake);
  return NULL;
}

/* job:start{ connections=, batch=, exact=, strings=, window=, stall=, patience=, lenient=, deletes=, in_turn=, slice=, open= } -> true | nil, err
   keys a round; whether the source has PEXPIRETIME; whether strings go by MGET and SET ... PXAT; bytes that wait for the
   target; milliseconds without a byte and for trying again; whether keys that are refused are told, or an error; whether
   those that have gone are deleted; one database after the other; keys of a slice at least; whether more will be given */
static int job_start (lua_State *L) {
  Job *j = host_copy_job(L);
  Move *m = j->move;
  int connections, rc = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (m == NULL) return host_copy_closed(L);
  luaL_argcheck(L, m->from.address != NULL && m->to.address != NULL, 1, "source and target are not set");
  luaL_argcheck(L, !j->started, 1, "the job was started before");
  connections = (int)host_copy_field(L, "connections", 2, 1, MOST_WORKERS);
  m->batch = (int)host_copy_field(L, "batch", 500, 1, 100000);
  m->exact = (int)host_copy_field(L, "exact", 1, 0, 1);
  m->strings = (int)host_copy_field(L, "strings", 0, 0, 1);
  m->window = (size_t)host_copy_field(L, "window", 512 * 1024, 4096, 1 << 30);
  m->stall = (int)host_copy_field(L, "stall", 60000, 1, 1 << 30);
  m->patience = (int)host_copy_field(L, "patience", 0, 0, 1 << 30);
  m->lenient = (int)host_copy_field(L, "lenient", 0, 0, 1);
  m->deletes = (int)host_copy_field(L, "deletes", 0, 0, 1);
  m->in_turn = (int)host_copy_field(L, "in_turn", 0, 0, 1);
  m->slice = (int)host_copy_field(L, "slice", 1000, 1, 1 << 30);
  m->open = (int)host_copy_field(L, "open", 0, 0, 1);
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
  Job *j = host_copy_job(L);
  lua_Number share = luaL_checknumber(L, 2);
  lua_Integer rate = luaL_checkinteger(L, 3);
  luaL_argcheck(L, share >= 0 && share <= 1, 2, "a share is 0 to 1");
  luaL_argcheck(L, rate >= 0 && rate <= 1 << 30, 3, "keys a second expected");
  if (j->move == NULL) return host_copy_closed(L);
  atomic_store(&j->move->share, share > 0 && share < 0.001 ? 1 : (int)(share * 1000));
  atomic_store(&j->move->rate, (int)rate);
  lua_pushboolean(L, 1);
  return 1;
}

/* job:id() -> integer | nil, err */
static int job_id (lua_State *L) {
  Job *j = host_copy_job(L);
  if (j->wake == NULL) return host_copy_closed(L);
  lua_pushinteger(L, host_wake_id(j->wake));
  return 1;
}

static void push_counters (lua_State *L, Move *m) {
  int idle;
  (void)pthread_mutex_lock(&m->lock);
  idle = m->busy == 0 && m->given == NULL;
  (void)pthread_mutex_unlock(&m->lock);
  lua_createtable(L, 0, 9);
#define COUNTER(name) lua_pushinteger(L, atomic_load(&m->name)); lua_setfield(L, -2, #name);
  COUNTER(keys)
  COUNTER(bytes)
  COUNTER(gone)
  COUNTER(deleted)
  COUNTER(asked)
  COUNTER(gets)
  COUNTER(checked)
  COUNTER(expiry_bound)
#undef COUNTER
  lua_pushboolean(L, idle);
  lua_setfield(L, -2, "idle");
}

/* job:progress() -> counters | nil, err */
static int job_progress (lua_State *L) {
  Job *j = host_copy_job(L);
  if (j->move == NULL) return host_copy_closed(L);
  push_counters(L, j->move);
  return 1;
}

/* job:cancel() */
static int job_cancel (lua_State *L) {
  Job *j = host_copy_job(L);
  if (j->move != NULL) host_plan_stop(j->move, NULL);
  return 0;
}

/* job:enough() */
static int job_enough (lua_State *L) {
  Job *j = host_copy_job(L);
  if (j->move != NULL) host_plan_enough(j->move);
  return 0;
}

/* job:result() -> counters | nil, err */
static int job_result (lua_State *L) {
  Job *j = host_copy_job(L);
  Move *m = j->move;
  if (m == NULL) return host_copy_closed(L);
  if (!j->started || atomic_load(&j->running) > 0) return host_fail(L, "limit", "running", 1, "the copy is not done yet");
  if (m->fail.kind[0] != '\0') return host_fail(L, m->fail.kind, m->fail.code, m->fail.retry, "%s", m->fail.message);
  if (m->stopped) return host_fail(L, "cancelled", "cancelled", 0, "the copy was cancelled");
  push_counters(L, m);
  return 1;
}

static const luaL_Reg functions[] = { { "new", job_new }, { NULL, NULL } };

static const luaL_Reg methods[] = {
  { "source", job_source }, { "target", job_target }, { "segment", host_copy_segment }, { "give", host_copy_give }, { "start", job_start },
  { "id", job_id }, { "limit", job_limit }, { "progress", job_progress }, { "slices", host_copy_slices }, { "refused", host_copy_refused },
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
