/*
** rediscopy.c - the Lua side of the keyspace copier: one job, one worker thread, atomic counters (engine: redismove.c).
**
**   rediscopy.new() -> job
**   job:source(address, port [, user, password, tls_name, ca, pin, insecure])     numeric address; strings or secrets
**   job:target(...)                                                              the same
**   job:start(dbs, batch, exact, window, stall) -> true | nil, err   list of database numbers, keys a round, whether
**                       the source has PEXPIRETIME, bytes waiting for the target, seconds without a byte
**   job:id() -> the id to await     job:progress() -> keys, bytes, gone     job:cancel()
**   job:result() -> { keys=, bytes=, gone= } | nil, err              once the id is ready; a job still running is "limit"
**   job:close()         stops the thread and waits for it, which is at once: the thread polls the cancel descriptor
**
** States: new -> running -> ended -> closed. A wrong argument raises; everything else is nil, err.
*/
#include "host.h"
#include "redismove.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REDISCOPY_JOB "hkrun.rediscopy.job"

typedef struct Job {
  Move *move;                                /* NULL: closed */
  HostWake *wake;
  pthread_t thread;
  int started;                               /* 1: the thread is to be joined */
  atomic_int ended;
} Job;

static Job *check_job (lua_State *L) {
  return luaL_checkudata(L, 1, REDISCOPY_JOB);
}

static int fail_closed (lua_State *L) {
  return host_fail(L, "closed", "closed", 0, "the copy job is closed");
}

static void job_stop (const Move *m) {
  const uint64_t one = 1;
  ssize_t n = write(m->cancel_fd, &one, sizeof one);
  (void)n;                                   /* the counter is full only when it is already set */
}

/* close, __gc and __close; safe twice */
static int job_close (lua_State *L) {
  Job *j = check_job(L);
  Move *m = j->move;
  HostWake *wake = j->wake;
  if (m == NULL) return 0;
  if (j->started) {
    job_stop(m);
    (void)pthread_join(j->thread, NULL);
  }
  j->started = 0;
  j->move = NULL;
  j->wake = NULL;
  if (wake != NULL) host_wake_free(wake);
  if (m->cancel_fd >= 0) (void)close(m->cancel_fd);
  host_move_free(m);
  free(m);
  return 0;
}

/* rediscopy.new() -> job */
static int job_new (lua_State *L) {
  Job *j = lua_newuserdatauv(L, sizeof *j, 0);
  memset(j, 0, sizeof *j);
  luaL_setmetatable(L, REDISCOPY_JOB);
  j->move = calloc(1, sizeof *j->move);
  if (j->move == NULL) return host_fail(L, "limit", "memory", 0, "no memory for a copy job");
  host_stream_init(&j->move->from.s);
  host_stream_init(&j->move->to.s);
  j->move->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (j->move->cancel_fd < 0) return host_fail(L, "limit", "descriptors", 0, "no descriptor for a copy job");
  j->wake = host_wake_new(L);
  return 1;
}

/* A copy of a string or secret, NUL-ended; NULL for nil. Raises when there is no memory: what it copied so far is in
   the job, which frees it. */
static char *copy_arg (lua_State *L, int arg, size_t *len) {
  size_t n;
  const char *s;
  char *p;
  if (lua_isnoneornil(L, arg)) return NULL;
  s = host_bytes(L, arg, &n);
  p = malloc(n + 1);
  if (p == NULL) luaL_error(L, "not enough memory");
  else {
    memcpy(p, s, n);
    p[n] = '\0';
    if (len != NULL) *len = n;
  }
  return p;
}

static int hex_value (int ch) {
  const char *digits = "0123456789abcdef", *at = ch != '\0' ? strchr(digits, ch) : NULL;
  return at != NULL ? (int)(at - digits) : -1;
}

static int set_end (lua_State *L, MoveEnd *e) {
  lua_Integer port = luaL_checkinteger(L, 3);
  size_t n, i;
  const char *pin = luaL_optlstring(L, 8, NULL, &n);
  luaL_checkstring(L, 2);
  luaL_argcheck(L, e->address == NULL, 1, "this end is already set");
  luaL_argcheck(L, port > 0 && port < 65536, 3, "a port is 1 to 65535");
  luaL_argcheck(L, pin == NULL || n == 2 * STREAM_PIN, 8, "64 hex digits expected");
  for (i = 0; pin != NULL && i < STREAM_PIN; i++) {
    int hi = hex_value(pin[2 * i]), lo = hex_value(pin[2 * i + 1]);
    luaL_argcheck(L, hi >= 0 && lo >= 0, 8, "64 hex digits expected");
    e->pin[i] = (unsigned char)(hi * 16 + lo);
  }
  e->has_pin = pin != NULL;
  e->port = (int)port;
  e->insecure = lua_toboolean(L, 9);
  e->address = copy_arg(L, 2, NULL);
  e->user = copy_arg(L, 4, &e->user_n);
  e->password = copy_arg(L, 5, &e->password_n);
  e->tls_name = copy_arg(L, 6, NULL);
  e->ca = copy_arg(L, 7, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

/* job:source(address, port [, user, password, tls_name, ca, pin, insecure]) -> true | nil, err */
static int job_source (lua_State *L) {
  Job *j = check_job(L);
  return j->move == NULL ? fail_closed(L) : set_end(L, &j->move->from);
}

/* job:target(...) -> true | nil, err */
static int job_target (lua_State *L) {
  Job *j = check_job(L);
  return j->move == NULL ? fail_closed(L) : set_end(L, &j->move->to);
}

static void *job_thread (void *arg) {
  Job *j = arg;
  host_move_run(j->move);
  atomic_store(&j->ended, 1);
  host_wake_send(j->wake);
  return NULL;
}

/* job:start(dbs, batch, exact, window, stall) -> true | nil, err */
static int job_start (lua_State *L) {
  Job *j = check_job(L);
  lua_Integer batch = luaL_checkinteger(L, 3), window = luaL_checkinteger(L, 5), n, i;
  lua_Number stall = luaL_checknumber(L, 6);
  Move *m = j->move;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (m == NULL) return fail_closed(L);
  n = luaL_len(L, 2);
  luaL_argcheck(L, n >= 1 && n < 65536, 2, "a list of database numbers expected");
  luaL_argcheck(L, batch > 0 && batch <= 100000, 3, "1 to 100,000 keys a round");
  luaL_argcheck(L, window >= 4096 && window <= 1 << 30, 5, "a window is 4 KiB to 1 GiB");
  luaL_argcheck(L, stall > 0 && stall < 1e6, 6, "seconds expected");
  luaL_argcheck(L, m->from.address != NULL && m->to.address != NULL, 1, "source and target are not set");
  luaL_argcheck(L, !j->started && m->dbs == NULL, 1, "the job was started before");
  m->dbs = calloc((size_t)n, sizeof *m->dbs);
  if (m->dbs == NULL) return host_fail(L, "limit", "memory", 0, "no memory for a copy job");
  for (i = 0; i < n; i++) {
    lua_geti(L, 2, i + 1);
    m->dbs[i] = (int)luaL_checkinteger(L, -1);
    lua_pop(L, 1);
  }
  m->db_count = (int)n;
  m->batch = (int)batch;
  m->exact = lua_toboolean(L, 4);
  m->window = (size_t)window;
  m->stall = (int)(stall * 1000);
  if (host_thread(&j->thread, job_thread, j) != 0) return host_fail(L, "limit", "threads", 1, "no thread for a copy job");
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

static void push_counters (lua_State *L, Move *m) {
  lua_pushinteger(L, atomic_load(&m->keys));
  lua_pushinteger(L, atomic_load(&m->bytes));
  lua_pushinteger(L, atomic_load(&m->gone));
}

/* job:progress() -> keys, bytes, gone | nil, err */
static int job_progress (lua_State *L) {
  Job *j = check_job(L);
  if (j->move == NULL) return fail_closed(L);
  push_counters(L, j->move);
  return 3;
}

/* job:cancel() */
static int job_cancel (lua_State *L) {
  Job *j = check_job(L);
  if (j->move != NULL) job_stop(j->move);
  return 0;
}

/* job:result() -> { keys=, bytes=, gone= } | nil, err */
static int job_result (lua_State *L) {
  Job *j = check_job(L);
  Move *m = j->move;
  if (m == NULL) return fail_closed(L);
  if (!atomic_load(&j->ended)) return host_fail(L, "limit", "running", 1, "the copy is not done yet");
  if (m->kind[0] != '\0') return host_fail(L, m->kind, m->code, m->retry, "%s", m->message);
  lua_createtable(L, 0, 3);
  push_counters(L, m);
  lua_setfield(L, -4, "gone");
  lua_setfield(L, -3, "bytes");
  lua_setfield(L, -2, "keys");
  return 1;
}

static const luaL_Reg functions[] = { { "new", job_new }, { NULL, NULL } };

static const luaL_Reg methods[] = {
  { "source", job_source }, { "target", job_target }, { "start", job_start }, { "id", job_id },
  { "progress", job_progress }, { "cancel", job_cancel }, { "result", job_result }, { "close", job_close },
  { NULL, NULL }
};

static const luaL_Reg metamethods[] = { { "__gc", job_close }, { "__close", job_close }, { NULL, NULL } };

int luaopen_host_rediscopy (lua_State *L) {
  host_need(L, "crypto");
  host_need(L, "ssl");
  host_need(L, "hiredis");
  luaL_newmetatable(L, REDISCOPY_JOB);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
