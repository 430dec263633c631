/*
** redismove.h - the engine of the keyspace copier: two streams, one thread, no Lua. rediscopy.c starts it on a worker
** thread and reads its counters while it runs.
*/
#ifndef HKRUN_REDISMOVE_H
#define HKRUN_REDISMOVE_H

#include "stream.h"

#include <stdatomic.h>

typedef struct MoveBuf {                     /* bytes at .. n are live */
  char *p;
  size_t at, n, cap;
} MoveBuf;

typedef struct MoveEnd {                     /* the source or the target */
  HostStream s;
  char *address, *user, *password, *tls_name, *ca;       /* owned; wiped and freed by move_free */
  size_t user_n, password_n;
  unsigned char pin[STREAM_PIN];
  int port, has_pin, insecure;
  int read_want, write_want;                 /* what poll has to wait for before the next read, write */
  MoveBuf in, out;
} MoveEnd;

typedef struct Move {
  MoveEnd from, to;
  int *dbs, db_count;                        /* the databases to copy, by number */
  int batch, exact, stall;                   /* keys a round; 1: PEXPIRETIME is there; milliseconds without a byte */
  size_t window;                             /* bytes that may wait for the target */
  int cancel_fd;                             /* readable: stop */
  atomic_llong keys, bytes, gone;            /* restored, their payload, expired or deleted meanwhile */
  MoveBuf names, waiting;                    /* keys of the round; keys whose RESTORE is not answered yet */
  char kind[16], code[40], message[512];     /* kind[0] == 0: all went well */
  int retry;
} Move;

void host_move_run (Move *m);                /* on the worker thread; the outcome is in kind */
void host_move_free (Move *m);               /* the streams, buffers and strings; safe twice */

/* How much of an error reply may be shown: a server that does not know a command repeats its arguments, secrets too. */
size_t host_redis_said (const char *line, size_t n);

#endif
