/*
** pgwork.c: a worker thread of the copy engine: takes the best job that may run, streams its rows or runs its
** statement, puts it away. No Lua here. Waits only in poll() and on the engine's condition, and a cancel ends both.
*/
#include <stdlib.h>
#include <string.h>

#include "pgcopy.h"

typedef HostPgJob Job;
typedef HostPgEngine Engine;
typedef HostPgWorker Worker;

/* ---- the queue ---- */

static int may_lock (const Engine *e, const Job *j) {
  int i;
  for (i = 0; i < j->nlocks; i++) {
    int n = j->locks[i], h = e->held[n < 0 ? -n : n];
    if (n < 0 ? h < 0 : h != 0) return 0;
  }
  return 1;
}

static void lock_things (Engine *e, const Job *j, int on) {
  int i;
  for (i = 0; i < j->nlocks; i++) {
    int n = j->locks[i], *h = &e->held[n < 0 ? -n : n];
    if (n < 0) *h += on ? 1 : -1;
    else *h = on ? -1 : 0;
  }
}

/* 1 = may run, 0 = not yet, -1 = something it needs failed */
static int ready (const Engine *e, const Job *j) {
  int i, r = 1;
  for (i = 0; i < j->nafter; i++) {
    int st = e->jobs[j->after_jobs[i]]->state;
    if (st == JOB_FAILED || st == JOB_SKIPPED) return -1;
    if (st != JOB_DONE) r = 0;
  }
  return r;
}

/* of two jobs that may run: rows where none are on their way, so that the network is not idle; else the heavier one */
static int is_better (const Engine *e, const Job *a, const Job *b) {
  if (b == NULL) return 1;
  if (e->streaming == 0 && (a->source == NULL) != (b->source == NULL)) return a->source != NULL;
  return a->weight > b->weight;
}

/* takes the best job that may run; NULL = none will come (mutex held) */
static Job *take (Engine *e) {
  for (;;) {
    Job *best = NULL;
    int i, left = 0, able = 0, changed = 0;
    if (host_pg_stopped(e) || e->fatal.kind != NULL) return NULL;
    for (i = 0; i < e->njobs; i++) {
      Job *j = e->jobs[i];
      int r;
      if (j->state != JOB_WAITING) continue;
      left = 1;
      r = ready(e, j);
      if (r < 0) {
        j->state = JOB_SKIPPED;
        changed = 1;
      }
      else if (r > 0 && may_lock(e, j)) {
        able++;
        if (is_better(e, j, best)) best = j;
      }
    }
    if (best != NULL) {
      int idle = e->live - e->running - able;        /* workers for whom there is nothing: the server's own may help */
      best->helpers = idle > 0 ? idle : 0;
      best->state = JOB_RUNNING;
      lock_things(e, best, 1);
      e->running++;
      e->streaming += best->source != NULL;
      return best;
    }
    if (changed) continue;
    if (!left || e->running == 0) return NULL;
    pthread_cond_wait(&e->cond, &e->mutex);
  }
}

/* ---- one job ---- */

/* a statement with what says how many workers of the server may take part */
static int state (Worker *w, Job *j) {
  char *sql;
  size_t size = strlen(j->target) + 64;
  int ok;
  if (!j->builds) return host_pg_run(w, w->target, j->target, &j->error);
  sql = malloc(size);
  if (sql == NULL) {
    host_pg_error_text(&j->error, "limit", 0, "not enough memory for a statement");
    return 0;
  }
  snprintf(sql, size, "SET LOCAL max_parallel_maintenance_workers = %d; %s", j->helpers, j->target);
  ok = host_pg_run(w, w->target, sql, &j->error);
  free(sql);
  return ok;
}

/* `after` with its :rows and :bytes, and the commit */
static int commit (Worker *w, Job *j, long long rows) {
  const char *s = j->after != NULL ? j->after : "";
  size_t n = 0, size = strlen(s) * 5 + 64;           /* a number is at most 20 digits in the place of 5 letters */
  char *sql = malloc(size);
  int ok;
  if (sql == NULL) {
    host_pg_error_text(&j->error, "limit", 0, "not enough memory for a statement");
    return 0;
  }
  while (*s != '\0') {
    int is_rows = strncmp(s, ":rows", 5) == 0, is_bytes = strncmp(s, ":bytes", 6) == 0;
    if (!is_rows && !is_bytes) {
      sql[n++] = *s++;
      continue;
    }
    n += (size_t)snprintf(sql + n, size - n, "%lld", is_rows ? rows : (long long)atomic_load(&j->bytes));
    s += is_rows ? 5 : 6;
  }
  snprintf(sql + n, size - n, "; COMMIT");
  ok = host_pg_run(w, w->target, sql, &j->error);
  free(sql);
  return ok;
}

static int perform (Worker *w, Job *j, int *connected) {
  long long rows = 0;
  *connected = host_pg_connect(w, j->source != NULL, &j->error);
  if (!*connected) return 0;
  if (j->source == NULL) return state(w, j);
  if (!host_pg_relay(w, j, &rows) || !commit(w, j, rows)) return 0;
  atomic_store(&j->rows, rows);
  atomic_fetch_add(&w->e->rows, rows);
  return 1;
}

/* what became of a job: full: there is no place for this worker's connections, and others have theirs */
typedef struct Outcome { int ok, connected, full; } Outcome;

/* puts a job away; 0 = this worker should leave */
static int settle (const Worker *w, Job *j, Outcome was, double seconds) {
  Engine *e = w->e;
  int go_on = 1;
  pthread_mutex_lock(&e->mutex);
  lock_things(e, j, 0);
  e->running--;
  e->streaming -= j->source != NULL;
  j->seconds = seconds;
  if (was.ok) {
    j->state = JOB_DONE;
    atomic_fetch_add(&e->done, 1);
  }
  else if (was.full) {
    host_pg_error_free(&j->error);                   /* the other workers do it, unless they have left meanwhile */
    j->state = JOB_WAITING;
    go_on = e->live == 1;
  }
  else {
    j->state = JOB_FAILED;
    atomic_fetch_add(&e->failed, 1);
    if (!was.connected && e->fatal.kind == NULL) {
      e->fatal.kind = j->error.kind;
      e->fatal.retry = j->error.retry;
      memcpy(e->fatal.code, j->error.code, sizeof e->fatal.code);
      e->fatal.message = j->error.message != NULL ? strdup(j->error.message) : NULL;
      go_on = 0;
    }
  }
  if (!go_on) e->live--;
  pthread_cond_broadcast(&e->cond);
  pthread_mutex_unlock(&e->mutex);
  return go_on;
}

/* a failure of our own making, like a stop, may have no kind */
static int is_kind (const HostPgError *error, const char *kind) { return error->kind != NULL && strcmp(error->kind, kind) == 0; }

/* after a failure: no half-done transaction, no broken connection */
static void tidy (Worker *w, const HostPgError *error) {
  int ask = host_pg_stopped(w->e) || (w->streams && !is_kind(error, "network"));
  if (w->target != NULL && (ask || w->streams || PQstatus(w->target) != CONNECTION_OK || PQtransactionStatus(w->target) != PQTRANS_IDLE))
    host_pg_drop(w, &w->target, ask);
  if (w->source != NULL && (ask || w->streams || PQstatus(w->source) != CONNECTION_OK || PQtransactionStatus(w->source) != PQTRANS_INTRANS))
    host_pg_drop(w, &w->source, ask);
  w->streams = 0;
}

/* The mark of this job is in the target's ledger already: it was committed, and only the word of it was lost. */
static int is_marked (const Engine *e, const HostPgError *error) {
  return e->ledger != NULL && strcmp(error->code, "23505") == 0 && error->schema != NULL && strcmp(error->schema, e->ledger) == 0;
}

/* waits a little if what failed may work in a moment: a deadlock, a lost connection, a server that starts */
static int try_again (Engine *e, const HostPgError *error, int tries, double since) {
  double pause = tries < 6 ? 0.1 * (double)(1 << tries) : 5;
  int locked = strcmp(error->code, "40P01") == 0 || strcmp(error->code, "55P03") == 0 || strcmp(error->code, "40001") == 0;
  if (locked && tries < 3) return host_pg_pause(e, 0.1);
  if (!error->retry || locked || host_pg_clock() - since + pause > e->patience) return 0;
  return host_pg_pause(e, pause);
}

static int is_alone (Engine *e) {
  int alone;
  pthread_mutex_lock(&e->mutex);
  alone = e->live == 1;
  pthread_mutex_unlock(&e->mutex);
  return alone;
}

static Outcome attempt (Worker *w, Job *j) {
  Engine *e = w->e;
  Outcome was = { 0, 0, 0 };
  double since = 0;
  int tries;
  for (tries = 0; !perform(w, j, &was.connected); tries++) {
    int marked = is_marked(e, &j->error);
    tidy(w, &j->error);
    if (since == 0) since = host_pg_clock();
    was.full = !was.connected && is_kind(&j->error, "limit") && !is_alone(e);
    if (was.full || (!marked && !try_again(e, &j->error, tries, since))) return was;
    atomic_fetch_sub(&e->bytes, atomic_exchange(&j->bytes, 0));
    host_pg_error_free(&j->error);
    if (marked) break;
  }
  was.ok = 1;
  return was;
}

void *host_pg_work (void *arg) {
  Engine *e = arg;
  Worker w = { e, NULL, NULL, 0, 0, 0 };
  int last, stay = 1;
  while (stay) {
    Job *j;
    double t = host_pg_clock();
    pthread_mutex_lock(&e->mutex);
    j = take(e);
    pthread_mutex_unlock(&e->mutex);
    if (j == NULL) break;
    stay = settle(&w, j, attempt(&w, j), host_pg_clock() - t);
  }
  host_pg_drop(&w, &w.source, host_pg_stopped(e));
  host_pg_drop(&w, &w.target, host_pg_stopped(e));
  pthread_mutex_lock(&e->mutex);
  if (stay) e->live--;
  last = --e->left == 0;
  pthread_cond_broadcast(&e->cond);
  pthread_mutex_unlock(&e->mutex);
  if (last) host_wake_send(e->wake);
  return NULL;
}
