/*
** pgcopy.c: the parallel copy engine. Jobs are given from Lua before start(); n worker threads, each with at most
** one source and one target connection, do them in order of weight as soon as what they depend on is done.
** A job is either a stream (COPY ... TO STDOUT on the source, COPY ... FROM STDIN on the target, in one target
** transaction) or a statement on the target. CopyData passes through unparsed (pgrelay.c).
** Raises: a wrong argument, a call out of order. Returns nil, err: what a job or a connection met (in result()).
** States: building -> running -> finished (its id is ready) -> closed. Worker threads never touch Lua.
*/
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pgcopy.h"

#define PG_COPY "hkrun.pg.copy"

typedef HostPgJob Job;
typedef HostPgEngine Engine;

static const char *const state_names[] = { "waiting", "running", "done", "failed", "skipped" };

static Engine *check_engine (lua_State *L) {
  return luaL_checkudata(L, 1, PG_COPY);
}

static int closed (lua_State *L) {
  return host_fail(L, "closed", NULL, 0, "the copy engine is closed");
}

static void stop (Engine *e) {
  const uint64_t one = 1;
  atomic_store(&e->cancelled, 1);
  while (write(e->event, &one, sizeof one) < 0 && errno == EINTR) { }
  pthread_mutex_lock(&e->mutex);
  pthread_cond_broadcast(&e->cond);
  pthread_mutex_unlock(&e->mutex);
}

static void free_job (Job *j) {
  if (j == NULL) return;
  free(j->source);
  free(j->target);
  free(j->after);
  free(j->after_jobs);
  free(j->locks);
  host_pg_error_free(&j->error);
  free(j);
}

static int engine_close (lua_State *L) {             /* close, __gc and __close; safe twice; ends the workers first */
  Engine *e = check_engine(L);
  int i;
  if (!e->open) return 0;
  e->open = 0;
  if (e->nthreads > 0) stop(e);
  for (i = 0; i < e->nthreads; i++) pthread_join(e->threads[i], NULL);
  for (i = 0; i < e->njobs; i++) free_job(e->jobs[i]);
  free_job(e->draft);
  free(e->jobs);
  free(e->held);
  free(e->snapshot);
  free(e->source_setup);
  free(e->target_setup);
  free(e->source_pin);
  free(e->target_pin);
  free(e->ledger);
  host_pg_params_free(&e->source);
  host_pg_params_free(&e->target);
  host_pg_error_free(&e->fatal);
  if (e->wake != NULL) host_wake_free(e->wake);
  if (e->event >= 0) close(e->event);
  pthread_cond_destroy(&e->cond);
  pthread_mutex_destroy(&e->mutex);
  return 0;
}

static char *field_copy (lua_State *L, int table, const char *name, int required) {
  char *copy = NULL;
  lua_getfield(L, table, name);
  if (!lua_isnil(L, -1)) {
    const char *s = luaL_checkstring(L, -1);
    copy = strdup(s);
    if (copy == NULL) luaL_error(L, "not enough memory");
  }
  else if (required) luaL_error(L, "a copy job needs the field '%s'", name);
  lua_pop(L, 1);
  return copy;
}

static double field_number (lua_State *L, int table, const char *name) {
  double n;
  lua_getfield(L, table, name);
  n = luaL_optnumber(L, -1, 0);
  lua_pop(L, 1);
  return n;
}

/*
** pgcopy.new(source, target, workers, {snapshot =, source_setup =, target_setup =, source_pin =, target_pin =,
**   ledger =, patience =, rate =}) -> engine
** ledger: the schema whose unique key says that a job was done already. patience: seconds for which a lost connection
** is made again. rate: bytes a second, of all workers together.
*/
static int engine_new (lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 3);
  Engine *e;
  luaL_checktype(L, 4, LUA_TTABLE);
  luaL_argcheck(L, n >= 1 && n <= HOST_PG_WORKERS, 3, "between 1 and 64 workers");
  e = lua_newuserdatauv(L, sizeof *e, 0);
  memset(e, 0, sizeof *e);
  e->event = -1;
  luaL_setmetatable(L, PG_COPY);
  pthread_mutex_init(&e->mutex, NULL);
  pthread_cond_init(&e->cond, NULL);
  e->open = 1;
  e->nworkers = (int)n;
  e->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (e->event < 0) return host_fail(L, "limit", NULL, 0, "no descriptor for the copy engine: %s", strerror(errno));
  host_pg_params(L, 1, &e->source);
  host_pg_params(L, 2, &e->target);
  e->snapshot = field_copy(L, 4, "snapshot", 0);
  e->source_setup = field_copy(L, 4, "source_setup", 0);
  e->target_setup = field_copy(L, 4, "target_setup", 0);
  e->source_pin = field_copy(L, 4, "source_pin", 0);
  e->target_pin = field_copy(L, 4, "target_pin", 0);
  e->ledger = field_copy(L, 4, "ledger", 0);
  e->patience = field_number(L, 4, "patience");
  e->rate = field_number(L, 4, "rate");
  e->wake = host_wake_new(L);
  return 1;
}

/* a list of integers under `name` -> malloc'ed array at *out */
static int field_list (lua_State *L, int table, const char *name, int **out) {
  int i, n = 0;
  if (lua_getfield(L, table, name) == LUA_TTABLE && (n = (int)lua_rawlen(L, -1)) > 0) {
    *out = calloc((size_t)n, sizeof **out);
    if (*out == NULL) luaL_error(L, "not enough memory");
    for (i = 0; i < n; i++) {
      int ok;
      lua_rawgeti(L, -1, i + 1);
      (*out)[i] = (int)lua_tointegerx(L, -1, &ok);
      if (!ok) luaL_error(L, "'%s' must be a list of integers", name);
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
  return n;
}

/*
** engine:add{source =, target =, after =, needs = {index...}, locks = {n | -n...}, weight =, builds =} -> index
** source: a COPY TO STDOUT; target: statements that end in its COPY FROM STDIN, or statements alone if there is no
** source. A stream is a transaction, which ends with `after`; in that :rows and :bytes are the numbers of this COPY.
** locks: n (1...) is held alone, -n is shared. builds: idle workers let the server's parallel workers help.
*/
static int engine_add (lua_State *L) {
  Engine *e = check_engine(L);
  Job *j;
  int i;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (!e->open) return closed(L);
  if (e->nthreads > 0) luaL_error(L, "the engine has started: no more jobs can be added");
  if (e->njobs == e->size) {
    int size = e->size == 0 ? 64 : e->size * 2;
    Job **jobs = realloc(e->jobs, (size_t)size * sizeof *jobs);
    if (jobs == NULL) luaL_error(L, "not enough memory");
    e->jobs = jobs;
    e->size = size;
  }
  free_job(e->draft);
  j = e->draft = calloc(1, sizeof *j);
  if (j == NULL) luaL_error(L, "not enough memory");
  j->target = field_copy(L, 2, "target", 1);
  j->source = field_copy(L, 2, "source", 0);
  j->after = field_copy(L, 2, "after", 0);
  j->nafter = field_list(L, 2, "needs", &j->after_jobs);
  j->nlocks = field_list(L, 2, "locks", &j->locks);
  for (i = 0; i < j->nafter; i++)
    if (--j->after_jobs[i] < 0 || j->after_jobs[i] >= e->njobs) luaL_error(L, "a job can need only earlier jobs");
  for (i = 0; i < j->nlocks; i++) {
    int n = j->locks[i] < 0 ? -j->locks[i] : j->locks[i];
    if (n < 1 || n > 10000000) luaL_error(L, "a lock is a number from 1 on");
    if (n > e->nlocks) e->nlocks = n;
  }
  j->weight = field_number(L, 2, "weight");
  lua_getfield(L, 2, "builds");
  j->builds = lua_toboolean(L, -1);
  e->jobs[e->njobs++] = j;
  e->draft = NULL;
  lua_pushinteger(L, e->njobs);
  return 1;
}

/* engine:start() -> true; await engine:id() */
static int engine_start (lua_State *L) {
  Engine *e = check_engine(L);
  int i, n;
  if (!e->open) return closed(L);
  if (e->nthreads > 0) luaL_error(L, "the engine has started already");
  e->held = calloc((size_t)e->nlocks + 1, sizeof *e->held);
  if (e->held == NULL) return host_fail(L, "limit", NULL, 0, "not enough memory");
  pthread_mutex_lock(&e->mutex);
  n = e->live = e->left = e->nworkers;
  for (i = 0; i < n; i++) {
    if (host_thread(&e->threads[i], host_pg_work, e) != 0) break;
    e->nthreads++;
  }
  e->live = e->left = e->nthreads;
  pthread_mutex_unlock(&e->mutex);
  if (e->nthreads == 0) return host_fail(L, "limit", NULL, 1, "no thread for the copy engine");
  lua_pushboolean(L, 1);
  return 1;
}

/* engine:id() -> the id that is ready once all workers have left */
static int engine_id (lua_State *L) {
  Engine *e = check_engine(L);
  if (!e->open) return closed(L);
  lua_pushinteger(L, host_wake_id(e->wake));
  return 1;
}

/* engine:progress() -> bytes, rows, jobs done, jobs failed */
static int engine_progress (lua_State *L) {
  Engine *e = check_engine(L);
  if (!e->open) return closed(L);
  lua_pushinteger(L, atomic_load(&e->bytes));
  lua_pushinteger(L, atomic_load(&e->rows));
  lua_pushinteger(L, atomic_load(&e->done));
  lua_pushinteger(L, atomic_load(&e->failed));
  return 4;
}

/* engine:job(index) -> {state =, bytes =, rows =, seconds =, error = {...} | nil} */
static int engine_job (lua_State *L) {
  Engine *e = check_engine(L);
  lua_Integer i = luaL_checkinteger(L, 2);
  Job *j;
  int state;
  double seconds;
  if (!e->open) return closed(L);
  luaL_argcheck(L, i >= 1 && i <= e->njobs, 2, "no such job");
  j = e->jobs[i - 1];
  pthread_mutex_lock(&e->mutex);
  state = j->state;
  seconds = j->seconds;
  pthread_mutex_unlock(&e->mutex);
  lua_createtable(L, 0, 5);
  lua_pushstring(L, state_names[state]);              lua_setfield(L, -2, "state");
  lua_pushinteger(L, atomic_load(&j->bytes));         lua_setfield(L, -2, "bytes");
  lua_pushinteger(L, atomic_load(&j->rows));          lua_setfield(L, -2, "rows");
  lua_pushnumber(L, seconds);                         lua_setfield(L, -2, "seconds");
  if (state == JOB_FAILED) {                              /* settled: its worker touches it no more */
    host_pg_error_table(L, &j->error);
    lua_setfield(L, -2, "error");
  }
  return 1;
}

/* engine:cancel()   asks the workers to stop; the id is ready once they have */
static int engine_cancel (lua_State *L) {
  Engine *e = check_engine(L);
  if (e->open) stop(e);
  return 0;
}

/* engine:result() -> true | nil, err   err of kind "cancelled", of the connection, or of the first job that failed */
static int engine_result (lua_State *L) {
  Engine *e = check_engine(L);
  const HostPgError *found = NULL;
  int i, left;
  if (!e->open) return closed(L);
  pthread_mutex_lock(&e->mutex);
  left = e->left;
  pthread_mutex_unlock(&e->mutex);
  if (e->nthreads == 0 || left > 0) return host_fail(L, "invalid", NULL, 0, "the copy has not ended");
  if (atomic_load(&e->cancelled)) return host_fail(L, "cancelled", NULL, 1, "the copy was cancelled");
  if (e->fatal.kind != NULL) found = &e->fatal;
  for (i = 0; found == NULL && i < e->njobs; i++)
    if (e->jobs[i]->state == JOB_FAILED) found = &e->jobs[i]->error;
  if (found == NULL) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  host_pg_error_table(L, found);
  return 2;
}

static const luaL_Reg methods[] = {
  { "close", engine_close }, { "add", engine_add }, { "start", engine_start }, { "id", engine_id },
  { "progress", engine_progress }, { "job", engine_job }, { "cancel", engine_cancel },
  { "result", engine_result }, { NULL, NULL }
};

static const luaL_Reg meta[] = { { "__gc", engine_close }, { "__close", engine_close }, { NULL, NULL } };

static const luaL_Reg functions[] = { { "new", engine_new }, { NULL, NULL } };

int luaopen_host_pgcopy (lua_State *L) {
  host_need(L, "pq");
  host_need(L, "crypto");
  host_need(L, "ssl");
  luaL_newmetatable(L, PG_COPY);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
