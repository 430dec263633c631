/*
** redisworker.h - what the files of a worker of the keyspace copier share: redisworker.c scans and tries again,
** redisround.c copies a round of keys, redispump.c moves the bytes.
*/
#ifndef HKRUN_REDISWORKER_H
#define HKRUN_REDISWORKER_H

#include "redismove.h"

#define WORK_SELECTED UINT32_MAX             /* in `asked`: not a key's RESTORE but a SELECT */
#define WORK_MAX_KEY ((size_t)512 << 20)     /* Redis's own limit of a string */

typedef struct Worker {
  Move *m;
  RedisEnd from, to;
  RedisFail fail;
  MoveRound *r;                              /* in hand */
  RedisBuf asked;                            /* uint32_t: the keys whose RESTORE is not answered yet, by place in the round */
  long long *expiry;
  size_t expiry_cap;
  int from_db, to_db, open;                  /* selected, -1: not known; 1: both ends are connected */
  long long keys, gone, deleted;             /* of the round: taken by the target, gone at the source, deleted */
} Worker;

long long host_work_now (void);              /* nanoseconds */

/* -1, NULL: failed, told in w->fail */
int host_work_nonsense (Worker *w, const char *what);
int host_work_pump (Worker *w, int from_too);            /* waits until something moved, and moves it */
char *host_work_line (Worker *w);                        /* the source's next line, without CRLF, NUL-ended */
int host_work_number (Worker *w, char mark, const char *what, long long *v);
char *host_work_bytes (Worker *w, size_t n);             /* n bytes and CRLF; these three valid until the next read */
int host_work_move (Worker *w, size_t n);                /* from the source's input to the target's output */
int host_work_ask (Worker *w, const char *head, const char *word, size_t n);
int host_work_asked (Worker *w, uint32_t i);             /* the target will answer for this key */
int host_work_source (Worker *w, int db);                /* selected */
int host_work_target (Worker *w, int db);
int host_work_refuse (Worker *w, size_t i, RedisEnd *e, const char *what, const char *line, size_t n);
int host_work_round (Worker *w);                         /* copies the round in hand */

#endif
