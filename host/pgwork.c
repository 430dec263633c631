/*
** pgwork.c: a worker thread of the copy engine: takes the heaviest job that may run, streams its rows or runs its
** statement, puts it away. No Lua here. Waits only in poll() and on the engine's condition, and a cancel ends both.
*/
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pgcopy.h"

#define BLOCK 65536
#define CONNECT_SECONDS 15                           /* where connect_timeout says nothing */
#define STOPPED "hkrun ends this COPY"

typedef HostPgJob Job;
typedef HostPgEngine Engine;

typedef struct Worker {
  Engine *e;
  PGconn *source, *target;
  int notices;
} Worker;

/* ---- waiting, in a worker thread ---- */

static int stopped (Engine *e) {
  return atomic_load(&e->cancelled);
}

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* waits until a connection is readable (want POLLIN) or writable, or the engine is cancelled (returns 0) */
static int wait_on (Engine *e, PGconn *a, short want_a, PGconn *b, short want_b, short *got_b) {
  struct pollfd p[3] = { { e->event, POLLIN, 0 }, { -1, 0, 0 }, { -1, 0, 0 } };
  if (a != NULL) { p[1].fd = PQsocket(a); p[1].events = want_a; }
  if (b != NULL) { p[2].fd = PQsocket(b); p[2].events = want_b; }
  while (poll(p, 3, -1) < 0 && errno == EINTR) { }
  if (got_b != NULL) *got_b = p[2].revents;
  return !stopped(e);
}

static void ask_to_stop (PGconn *pg) {
  char buf[256];
  PGcancel *c = pg != NULL && PQtransactionStatus(pg) == PQTRANS_ACTIVE ? PQgetCancel(pg) : NULL;
  if (c != NULL) {
    PQcancel(c, buf, sizeof buf);
    PQfreeCancel(c);
  }
}

/* next result of pg, or NULL when there is none or the engine is cancelled */
static PGresult *result_of (Engine *e, PGconn *pg) {
  for (;;) {
    int r = PQflush(pg);
    if (!PQisBusy(pg)) return PQgetResult(pg);
    if (!wait_on(e, pg, (short)(POLLIN | (r == 1 ? POLLOUT : 0)), NULL, 0, NULL)) return NULL;
    if (!PQconsumeInput(pg)) return PQgetResult(pg);
  }
}

/* runs statements to the end, or to the begin of a COPY if that is expected; keeps the first error */
static int run (Worker *w, PGconn *pg, const char *sql, HostPgError *error, ExecStatusType expect) {
  PGresult *res;
  int ok = 1;
  if (!PQsendQuery(pg, sql)) {
    host_pg_error_conn(error, pg);
    return 0;
  }
  while ((res = result_of(w->e, pg)) != NULL) {
    ExecStatusType st = PQresultStatus(res);
    if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK && st != PGRES_EMPTY_QUERY && st != expect) {
      if (ok) host_pg_error_result(error, pg, res);
      ok = 0;
    }
    PQclear(res);
    if (ok && st == expect && (st == PGRES_COPY_IN || st == PGRES_COPY_OUT)) return 1;
    if (st == PGRES_COPY_IN || st == PGRES_COPY_OUT) {   /* a statement job that is a COPY: refuse it */
      host_pg_error_text(error, "invalid", 0, "a COPY cannot be a statement of its own here");
      return 0;
    }
  }
  if (stopped(w->e)) {
    if (ok) host_pg_error_text(error, "cancelled", 0, "the copy was cancelled");
    return 0;
  }
  if (ok && expect != PGRES_COMMAND_OK) {
    host_pg_error_text(error, "protocol", 0, "the server did not begin a COPY");
    return 0;
  }
  return ok;
}

static void count_notice (void *arg, const PGresult *res) {
  (void)res;
  ((Worker *)arg)->notices++;
}

/* ---- connections of a worker ---- */

/* libpq heeds connect_timeout only where it waits itself */
static double connect_seconds (const HostPgParams *p) {
  int i, n = 0;
  for (i = 0; p->keys[i] != NULL; i++)
    if (strcmp(p->keys[i], "connect_timeout") == 0) n = atoi(p->values[i]);
  return n > 0 ? n : CONNECT_SECONDS;
}

/* waits for a connection that is being made; 0 = cancelled, -1 = too late (error is set) */
static int wait_dial (Worker *w, PGconn *pg, PostgresPollingStatusType st, double end, HostPgError *error) {
  struct pollfd p[2] = { { w->e->event, POLLIN, 0 }, { PQsocket(pg), st == PGRES_POLLING_READING ? POLLIN : POLLOUT, 0 } };
  double left;
  int n = 0;
  while ((left = end - now()) > 0 && (n = poll(p, 2, (int)(left * 1000) + 1)) < 0 && errno == EINTR) { }
  if (stopped(w->e)) return 0;
  if (n != 0) return 1;
  host_pg_error_text(error, "timeout", 1, "the server did not answer in time");
  return -1;
}

static PGconn *dial (Worker *w, const HostPgParams *p, const char *setup, const char *pin, HostPgError *error) {
  char hex[65];
  double end = now() + connect_seconds(p);
  int r = 1;
  PGconn *pg = PQconnectStartParams(p->keys, p->values, 0);
  PostgresPollingStatusType st = PGRES_POLLING_WRITING;
  while (pg != NULL && PQstatus(pg) != CONNECTION_BAD && st != PGRES_POLLING_OK) {
    host_registers_clear();                          /* of the password */
    if ((r = wait_dial(w, pg, st, end, error)) != 1) break;
    st = PQconnectPoll(pg);
    if (st == PGRES_POLLING_FAILED) break;
  }
  if (pg == NULL || st != PGRES_POLLING_OK) {
    if (stopped(w->e)) host_pg_error_text(error, "cancelled", 0, "the copy was cancelled");
    else if (r == 1) host_pg_error_conn(error, pg);
    PQfinish(pg);
    return NULL;
  }
  if (pin != NULL && (!host_pg_fingerprint(pg, hex) || strcmp(pin, hex) != 0)) {
    host_pg_error_text(error, "tls", 0, "the server's certificate is not the pinned one");
    PQfinish(pg);
    return NULL;
  }
  PQsetnonblocking(pg, 1);
  PQsetNoticeReceiver(pg, count_notice, w);
  if (setup != NULL && !run(w, pg, setup, error, PGRES_COMMAND_OK)) {
    PQfinish(pg);
    return NULL;
  }
  return pg;
}

static int join_snapshot (Worker *w, HostPgError *error) {
  char sql[256];
  if (w->e->snapshot == NULL) return run(w, w->source, "BEGIN READ ONLY", error, PGRES_COMMAND_OK);
  snprintf(sql, sizeof sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '%s'",
           w->e->snapshot);
  return run(w, w->source, sql, error, PGRES_COMMAND_OK);
}

static int connect_once (Worker *w, const Job *j, HostPgError *error) {
  if (w->target == NULL && (w->target = dial(w, &w->e->target, w->e->target_setup, w->e->target_pin, error)) == NULL) return 0;
  if (j->source == NULL) return 1;
  if (w->source == NULL && (w->source = dial(w, &w->e->source, w->e->source_setup, w->e->source_pin, error)) == NULL) return 0;
  if (PQtransactionStatus(w->source) == PQTRANS_INERROR &&
      !run(w, w->source, "ROLLBACK", error, PGRES_COMMAND_OK)) return 0;
  return PQtransactionStatus(w->source) == PQTRANS_INTRANS || join_snapshot(w, error);
}

/* A full server: the last worker waits for a place, the others leave (settle) and make room. */
static int connect_for (Worker *w, const Job *j, HostPgError *error) {
  Engine *e = w->e;
  int tries;
  for (tries = 0; !connect_once(w, j, error); tries++) {
    struct pollfd p = { e->event, POLLIN, 0 };
    int alone;
    pthread_mutex_lock(&e->mutex);
    alone = e->live == 1;
    pthread_mutex_unlock(&e->mutex);
    if (!alone || tries == 100 || strcmp(error->kind, "limit") != 0) return 0;
    if (poll(&p, 1, 200) > 0) return 0;
    host_pg_error_free(error);
  }
  return 1;
}

/* ---- one stream ---- */

/* What the target says while rows flow is a notice, or its refusal: libpq keeps the latter unread until the end. */
static int spoke_up (Worker *w, int before) {
  if (!PQconsumeInput(w->target)) return 1;
  (void)PQisBusy(w->target);                         /* parses: notices are counted and taken out */
  return w->notices == before;
}

/* sends a block; 1 = sent, 0 = the target spoke up, -1 = cancelled or lost (error is set) */
static int send_block (Worker *w, Job *j, const char *block, int len, HostPgError *error) {
  int before = w->notices;
  struct pollfd p = { PQsocket(w->target), POLLIN, 0 };
  atomic_fetch_add_explicit(&j->bytes, len, memory_order_relaxed);
  atomic_fetch_add_explicit(&w->e->bytes, len, memory_order_relaxed);
  if (PQputCopyData(w->target, block, len) != 1) return 0;
  for (;;) {
    int r = PQflush(w->target);
    short got = 0;
    if (r < 0) return 0;
    if (r == 0) {                                    /* libpq calls a failed write done: look for the reason */
      if (poll(&p, 1, 0) > 0 && spoke_up(w, before)) return 0;
      return 1;
    }
    if (!wait_on(w->e, NULL, 0, w->target, POLLIN | POLLOUT, &got)) {
      host_pg_error_text(error, "cancelled", 0, "the copy was cancelled");
      return -1;
    }
    if ((got & (POLLIN | POLLHUP | POLLERR)) != 0 && spoke_up(w, before)) return 0;
    before = w->notices;
  }
}

static int lost (PGconn *pg, HostPgError *error) {
  host_pg_error_conn(error, pg);
  return -1;
}

/* moves rows until the source ends; 1 = all sent, 0 = the target spoke up, -1 = error is set */
static int pump (Worker *w, Job *j, HostPgError *error) {
  char *block = malloc(BLOCK);
  int used = 0, r = 1, tried = 0;
  if (block == NULL) {
    host_pg_error_text(error, "limit", 0, "not enough memory for a copy block");
    return -1;
  }
  while (r == 1) {
    char *row = NULL;
    int n = PQgetCopyData(w->source, &row, 1);
    if (n == 0 && used < BLOCK - 8192 && !tried) {   /* perhaps more is here already: fill the block */
      tried = 1;
      if (!PQconsumeInput(w->source)) r = lost(w->source, error);
      continue;
    }
    if (n > 0) tried = 0;
    if (n > 0 && used + n <= BLOCK) {
      memcpy(block + used, row, (size_t)n);
      used += n;
    }
    else if (n != 0 || used > 0) {                   /* full, at the end, or nothing more to read just now */
      if (used > 0) r = send_block(w, j, block, used, error);
      used = 0;
      if (r == 1 && n > BLOCK) r = send_block(w, j, row, n, error);
      else if (r == 1 && n > 0) {
        memcpy(block, row, (size_t)n);
        used = n;
      }
    }
    else if (!wait_on(w->e, w->source, POLLIN, NULL, 0, NULL)) {
      host_pg_error_text(error, "cancelled", 0, "the copy was cancelled");
      r = -1;
    }
    else tried = 0;
    if (n > 0) PQfreemem(row);
    if (n < 0) break;                                /* -1 the end, -2 failed: the result says which */
  }
  free(block);
  return r;
}

/* the outcome of a COPY: its row count, or -1 with the error */
static long long outcome (Worker *w, PGconn *pg, HostPgError *error) {
  long long rows = -1;
  PGresult *res;
  int bad = 0;
  while ((res = result_of(w->e, pg)) != NULL) {
    if (PQresultStatus(res) == PGRES_COMMAND_OK) rows = strtoll(PQcmdTuples(res), NULL, 10);
    else if (!bad) {
      host_pg_error_result(error, pg, res);
      bad = 1;
    }
    PQclear(res);
    if (bad && PQstatus(pg) != CONNECTION_OK) break;
  }
  if (!bad && rows < 0) host_pg_error_text(error, "cancelled", 0, "the copy was cancelled");
  return bad ? -1 : rows;
}

static int stream (Worker *w, Job *j) {
  HostPgError from = { 0 }, to = { 0 };
  long long sent = -1, taken = -1;
  int r = -1;
  if (!run(w, w->target, j->before, &j->error, PGRES_COMMAND_OK)) return 0;
  if (!run(w, w->source, j->source, &j->error, PGRES_COPY_OUT)) return 0;
  if (!run(w, w->target, j->target, &j->error, PGRES_COPY_IN)) {
    PQfinish(w->source);                             /* it streams into nothing: begin anew for the next job */
    w->source = NULL;
    return 0;
  }
  r = pump(w, j, &j->error);
  if (r == 1) {
    sent = outcome(w, w->source, &from);
    PQputCopyEnd(w->target, sent < 0 ? "the source failed" : NULL);
    taken = outcome(w, w->target, &to);
  }
  else if (r == 0) {                                 /* the target's own reason is the one that helps */
    PQputCopyEnd(w->target, STOPPED);
    taken = outcome(w, w->target, &to);
    if (taken >= 0) host_pg_error_text(&to, "network", 1, "the target ended the COPY early");
    taken = -1;
  }
  if (r == 1 && sent < 0) j->error = from;
  else if (r != -1 && taken < 0) { j->error = to; host_pg_error_free(&from); }
  else if (r == 1 && sent != taken) {
    char text[128];
    snprintf(text, sizeof text, "the source sent %lld rows and the target took %lld", sent, taken);
    host_pg_error_text(&j->error, "protocol", 0, text);
  }
  if (r == 1 && sent < 0) host_pg_error_free(&to);
  if (j->error.kind != NULL) {
    if (r != 1) {
      PQfinish(w->source);
      w->source = NULL;
    }
    return 0;
  }
  if (j->after != NULL && !run(w, w->target, j->after, &j->error, PGRES_COMMAND_OK)) return 0;
  if (!run(w, w->target, "COMMIT", &j->error, PGRES_COMMAND_OK)) return 0;
  atomic_store(&j->rows, taken);
  atomic_fetch_add(&w->e->rows, taken);
  return 1;
}

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

/* takes the heaviest job that may run; NULL = none will come (mutex held) */
static Job *take (Engine *e) {
  for (;;) {
    Job *best = NULL;
    int i, left = 0, changed = 0;
    if (stopped(e) || e->fatal.kind != NULL || (e->stop_on_error && atomic_load(&e->failed) > 0)) return NULL;
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
      else if (r > 0 && (best == NULL || j->weight > best->weight) && may_lock(e, j)) best = j;
    }
    if (best != NULL) {
      best->state = JOB_RUNNING;
      lock_things(e, best, 1);
      e->running++;
      return best;
    }
    if (changed) continue;
    if (!left || e->running == 0) return NULL;
    pthread_cond_wait(&e->cond, &e->mutex);
  }
}

static int perform (Worker *w, Job *j, int *connected) {
  *connected = connect_for(w, j, &j->error);
  if (!*connected) return 0;
  if (j->source != NULL) return stream(w, j);
  return run(w, w->target, j->target, &j->error, PGRES_COMMAND_OK);
}

/* puts a finished job away; 0 = this worker should leave */
static int settle (const Worker *w, Job *j, int ok, int connected, double seconds) {
  Engine *e = w->e;
  int go_on = 1;
  pthread_mutex_lock(&e->mutex);
  lock_things(e, j, 0);
  e->running--;
  j->seconds = seconds;
  if (ok) {
    j->state = JOB_DONE;
    atomic_fetch_add(&e->done, 1);
  }
  else if (!connected && e->live > 1 && strcmp(j->error.kind, "limit") == 0) {
    host_pg_error_free(&j->error);                   /* the server is full: the other workers do it */
    j->state = JOB_WAITING;
    go_on = 0;
  }
  else {
    j->state = JOB_FAILED;
    atomic_fetch_add(&e->failed, 1);
    if (!connected && e->fatal.kind == NULL) {
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

static void drop (PGconn **pg, int is_stopped) {
  PGconn *c = *pg;
  *pg = NULL;
  if (is_stopped) ask_to_stop(c);
  PQfinish(c);
}

/* after a failure: no half-done transaction, no broken connection */
static void tidy (Worker *w) {
  int s = stopped(w->e);
  if (w->target != NULL && (s || PQstatus(w->target) != CONNECTION_OK || PQtransactionStatus(w->target) != PQTRANS_IDLE))
    drop(&w->target, s);
  if (w->source != NULL && (s || PQstatus(w->source) != CONNECTION_OK || PQtransactionStatus(w->source) == PQTRANS_ACTIVE))
    drop(&w->source, s);
}

/* a deadlock, or a COPY that we ended for a message that was no refusal: worth another try */
static int worth_a_retry (const HostPgError *error) {
  return strcmp(error->code, "40P01") == 0
      || (strcmp(error->code, "57014") == 0 && error->message != NULL && strstr(error->message, STOPPED) != NULL);
}

void *host_pg_work (void *arg) {
  Engine *e = arg;
  Worker w = { e, NULL, NULL, 0 };
  int last, stay = 1;
  while (stay) {
    Job *j;
    double t = now();
    int ok, connected = 0, tries = 0;
    pthread_mutex_lock(&e->mutex);
    j = take(e);
    pthread_mutex_unlock(&e->mutex);
    if (j == NULL) break;
    while (!(ok = perform(&w, j, &connected))) {
      tidy(&w);
      if (++tries == 3 || !worth_a_retry(&j->error) || stopped(e)) break;
      atomic_store(&j->bytes, 0);
      host_pg_error_free(&j->error);
    }
    stay = settle(&w, j, ok, connected, now() - t);
  }
  if (w.source != NULL) drop(&w.source, stopped(e));
  if (w.target != NULL) drop(&w.target, stopped(e));
  pthread_mutex_lock(&e->mutex);
  if (stay) e->live--;
  last = --e->left == 0;
  pthread_cond_broadcast(&e->cond);
  pthread_mutex_unlock(&e->mutex);
  if (last) host_wake_send(e->wake);
  return NULL;
}
