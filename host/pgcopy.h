/*
** pgcopy.h: the copy engine's state, shared by pgcopy.c (Lua's side, the loop's thread) and the workers: pgwork.c
** (the queue), pgdial.c (their connections), pgrelay.c (a table's bytes from one server to the other).
** What is not atomic belongs to the mutex once the threads run; a job that is running belongs to its worker.
*/
#ifndef HKRUN_PGCOPY_H
#define HKRUN_PGCOPY_H

#include <pthread.h>
#include <stdatomic.h>

#include "pg.h"

#define HOST_PG_WORKERS 64

enum { JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_SKIPPED };

typedef struct HostPgJob {
  char *source, *target, *after;                     /* SQL; source NULL = a statement job */
  int *after_jobs, nafter;                           /* indexes of the jobs this one waits for */
  int *locks, nlocks;                                /* n = holds thing n alone, -n = shares it */
  double weight;
  int builds, helpers;                               /* builds an index: that many parallel workers may help */
  int state;                                         /* under the mutex */
  double seconds;
  atomic_llong bytes, rows;
  HostPgError error;
} HostPgJob;

typedef struct HostPgEngine {
  HostPgParams source, target;
  char *snapshot, *source_setup, *target_setup, *source_pin, *target_pin;
  char *ledger;                                      /* schema of the table of marks, NULL = there is none */
  HostPgJob **jobs, *draft;                          /* draft: a job in the making, kept for close if Lua raises */
  int njobs, size, nworkers, nthreads, left, running, streaming, live;
  int nlocks;
  int *held;                                         /* per lock: -1 alone, n > 0 shared by n */
  double patience, rate;                             /* seconds to try again after a lost connection; bytes a second, 0 = all */
  double paid_until;                                 /* when the bytes that were taken are paid for (under the mutex) */
  pthread_t threads[HOST_PG_WORKERS];
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int event;                                         /* readable once cancelled */
  atomic_int cancelled;
  atomic_llong bytes, rows, done, failed;
  HostPgError fatal;                                 /* no worker could go on */
  HostWake *wake;
  int open;
} HostPgEngine;

typedef struct HostPgWorker {
  HostPgEngine *e;
  PGconn *source, *target;
  int streams;                                       /* a COPY is under way on both, of which libpq knows nothing */
  int source_pid, target_pid;                        /* of their last sessions on the servers, 0 = there was none */
} HostPgWorker;

void *host_pg_work(void *engine);                    /* the body of a worker thread */

/* pgdial.c; 1 = done, 0 = the error is set */
int host_pg_stopped(HostPgEngine *e);
double host_pg_clock(void);
int host_pg_pause(HostPgEngine *e, double seconds);  /* 0 = cancelled meanwhile */
int host_pg_cancelled(HostPgError *error);           /* sets it; always 0 */
int host_pg_run(HostPgWorker *w, PGconn *pg, const char *sql, HostPgError *error);
int host_pg_connect(HostPgWorker *w, int with_source, HostPgError *error);
void host_pg_drop(HostPgWorker *w, PGconn **pg, int ask_to_stop);

/* pgrelay.c: both COPYs at once, their bytes unparsed; 1 = both ended well, and the rows */
int host_pg_relay(HostPgWorker *w, HostPgJob *j, long long *rows);

#endif
