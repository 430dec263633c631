/*
** pgdial.c: the connections of a worker of the copy engine: made, given their settings, joined to the snapshot, and
** the statements that run on them. Waits only in poll(), which a cancel of the engine ends.
*/
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pgcopy.h"

#define CONNECT_SECONDS 15                           /* where connect_timeout says nothing */

typedef HostPgEngine Engine;
typedef HostPgWorker Worker;

int host_pg_stopped (Engine *e) {
  return atomic_load(&e->cancelled);
}

double host_pg_clock (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int host_pg_pause (Engine *e, double seconds) {
  struct pollfd p = { e->event, POLLIN, 0 };
  double end = host_pg_clock() + seconds, left;
  while (!host_pg_stopped(e) && (left = end - host_pg_clock()) > 0) poll(&p, 1, (int)(left * 1000) + 1);
  return !host_pg_stopped(e);
}

int host_pg_cancelled (HostPgError *error) {
  host_pg_error_text(error, "cancelled", 0, "the copy was cancelled");
  return 0;
}

/* ---- statements ---- */

/* next result of pg, or NULL when there is none or the engine is cancelled */
static PGresult *result_of (Engine *e, PGconn *pg) {
  for (;;) {
    int r = PQflush(pg);
    struct pollfd p[2] = { { e->event, POLLIN, 0 }, { PQsocket(pg), (short)(POLLIN | (r == 1 ? POLLOUT : 0)), 0 } };
    if (!PQisBusy(pg)) return PQgetResult(pg);
    while (poll(p, 2, -1) < 0 && errno == EINTR) { }
    if (host_pg_stopped(e)) return NULL;
    if (!PQconsumeInput(pg)) return PQgetResult(pg);
  }
}

/* runs statements to the end; keeps the first error */
int host_pg_run (Worker *w, PGconn *pg, const char *sql, HostPgError *error) {
  PGresult *res;
  int ok = 1;
  if (!PQsendQuery(pg, sql)) {
    host_pg_error_conn(error, pg);
    return 0;
  }
  while ((res = result_of(w->e, pg)) != NULL) {
    ExecStatusType st = PQresultStatus(res);
    int is_copy = st == PGRES_COPY_IN || st == PGRES_COPY_OUT;
    if (is_copy) host_pg_error_text(error, "invalid", 0, "a COPY cannot be a statement of its own here");
    else if (ok && st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK && st != PGRES_EMPTY_QUERY) {
      host_pg_error_result(error, pg, res);
      ok = 0;
    }
    PQclear(res);
    if (is_copy) return 0;
  }
  if (ok && host_pg_stopped(w->e)) return host_pg_cancelled(error);
  return ok;
}

/* ---- connecting ---- */

static void drop_notice (void *arg, const PGresult *res) {
  (void)arg;
  (void)res;
}

/* libpq heeds connect_timeout only where it waits itself */
static double connect_seconds (const HostPgParams *p) {
  int i, n = 0;
  for (i = 0; p->keys[i] != NULL; i++)
    if (strcmp(p->keys[i], "connect_timeout") == 0) n = atoi(p->values[i]);
  return n > 0 ? n : CONNECT_SECONDS;
}

/* waits for a connection that is being made; 0 = cancelled, -1 = too late (error is set) */
static int wait_dial (Engine *e, PGconn *pg, PostgresPollingStatusType st, double end, HostPgError *error) {
  struct pollfd p[2] = { { e->event, POLLIN, 0 }, { PQsocket(pg), st == PGRES_POLLING_READING ? POLLIN : POLLOUT, 0 } };
  double left;
  int n = 0;
  while ((left = end - host_pg_clock()) > 0 && (n = poll(p, 2, (int)(left * 1000) + 1)) < 0 && errno == EINTR) { }
  if (host_pg_stopped(e)) return 0;
  if (n != 0) return 1;
  host_pg_error_text(error, "timeout", 1, "the server did not answer in time");
  return -1;
}

static PGconn *dial (Worker *w, const HostPgParams *p, const char *setup, const char *pin, HostPgError *error) {
  char hex[65];
  double end = host_pg_clock() + connect_seconds(p);
  int r = 1;
  PGconn *pg = PQconnectStartParams(p->keys, p->values, 0);
  PostgresPollingStatusType st = PGRES_POLLING_WRITING;
  while (pg != NULL && PQstatus(pg) != CONNECTION_BAD && st != PGRES_POLLING_OK) {
    host_registers_clear();                          /* of the password */
    if ((r = wait_dial(w->e, pg, st, end, error)) != 1) break;
    st = PQconnectPoll(pg);
    if (st == PGRES_POLLING_FAILED) break;
  }
  if (pg == NULL || st != PGRES_POLLING_OK) {
    if (host_pg_stopped(w->e)) host_pg_cancelled(error);
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
  PQsetNoticeReceiver(pg, drop_notice, NULL);
  if (setup != NULL && !host_pg_run(w, pg, setup, error)) {
    PQfinish(pg);
    return NULL;
  }
  return pg;
}

static int join_snapshot (Worker *w, HostPgError *error) {
  char sql[256];
  if (w->e->snapshot == NULL) return host_pg_run(w, w->source, "BEGIN READ ONLY", error);
  snprintf(sql, sizeof sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '%s'",
           w->e->snapshot);
  return host_pg_run(w, w->source, sql, error);
}

/*
** Where the network was lost the server may not know it for hours: the session before this one would keep its locks, and its
** mark, for which this one would wait.
*/
static int end_last (Worker *w, PGconn *pg, int *pid, HostPgError *error) {
  char sql[256];
  int last = *pid;
  *pid = PQbackendPID(pg);
  if (last == 0) return 1;
  snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %d AND pid <> pg_backend_pid() "
           "AND usename = current_user AND application_name = current_setting('application_name')", last);
  return host_pg_run(w, pg, sql, error);
}

static int connect_once (Worker *w, int with_source, HostPgError *error) {
  Engine *e = w->e;
  if (w->target == NULL && ((w->target = dial(w, &e->target, e->target_setup, e->target_pin, error)) == NULL ||
                            !end_last(w, w->target, &w->target_pid, error))) return 0;
  if (!with_source) return 1;
  if (w->source == NULL && ((w->source = dial(w, &e->source, e->source_setup, e->source_pin, error)) == NULL ||
                            !end_last(w, w->source, &w->source_pid, error))) return 0;
  return PQtransactionStatus(w->source) == PQTRANS_INTRANS || join_snapshot(w, error);
}

/* A full server: the last worker waits for a place, the others leave (settle in pgwork.c) and make room. */
int host_pg_connect (Worker *w, int with_source, HostPgError *error) {
  Engine *e = w->e;
  int tries;
  for (tries = 0; !connect_once(w, with_source, error); tries++) {
    int alone;
    pthread_mutex_lock(&e->mutex);
    alone = e->live == 1;
    pthread_mutex_unlock(&e->mutex);
    if (!alone || tries == 100 || strcmp(error->kind, "limit") != 0 || !host_pg_pause(e, 0.2)) return 0;
    host_pg_error_free(error);
  }
  return 1;
}

/* closes a connection; a statement that libpq knows of, or a COPY that it does not, is stopped on the server first */
void host_pg_drop (Worker *w, PGconn **pg, int ask_to_stop) {
  char buf[256];
  PGconn *c = *pg;
  *pg = NULL;
  if (c == NULL) return;
  if (ask_to_stop && (w->streams || PQtransactionStatus(c) == PQTRANS_ACTIVE)) {
    PGcancel *k = PQgetCancel(c);
    if (k != NULL) {
      PQcancel(k, buf, sizeof buf);
      PQfreeCancel(k);
    }
  }
  PQfinish(c);
}
