/*
** pgcopy.h: the copy engine's state, shared by pgcopy.c (Lua's side, the loop's thread) and pgwork.c (the workers).
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
  char *source, *before, *target, *after;            /* SQL; source NULL = a statement job */
  int *after_jobs, nafter;                           /* indexes of the jobs this one waits for */
  int *locks, nlocks;                                /* n = holds thing n alone, -n = shares it */
  double weight;
  int state;                                         /* under the mutex */
  double seconds;
  atomic_llong bytes, rows;
  HostPgError error;
} HostPgJob;

typedef struct HostPgEngine {
  HostPgParams source, target;
  char *snapshot, *source_setup, *target_setup, *source_pin, *target_pin;
  HostPgJob **jobs, *draft;                                /* draft: a job in the making, kept for close if Lua raises */
  int njobs, size, nworkers, nthreads, left, running, live, stop_on_error;
  int nlocks;
  int *held;                                         /* per lock: -1 alone, n > 0 shared by n */
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

void *host_pg_work(void *engine);                    /* the body of a worker thread */

#endif
