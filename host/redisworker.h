/*
** redisworker.h - what the files of a worker of the keyspace copier share: redisworker.c scans and tries again,
** redisround.c copies a round of keys, redispump.c moves the bytes.
*/
#ifndef HKRUN_REDISWORKER_H
#define HKRUN_REDISWORKER_H

#include "redismove.h"

#define WORK_SELECTED UINT32_MAX             /* in `asked`: no key but a SELECT */
#define WORK_STRING ((uint32_t)1 << 31)      /* in `asked`, besides the place: by SET */
#define WORK_MAX_KEY (512LL << 20)           /* Redis's own limit of a string */

typedef struct Worker {
  Move *m;
  RedisEnd from, to;
  RedisFail fail;
  MoveRound *r;                              /* in hand: the source is asked for it */
  MoveRound *last;                           /* read, but not all answered by the target; NULL: none */
  RedisBuf asked;                            /* uint32_t: the keys that the target has not answered yet, by place in their round */
  size_t last_asked;                         /* the first so many of them are of `last` */
  long long *expiry;                         /* of each key of the round */
  uint32_t *dumps;                           /* the places of those that go by DUMP and RESTORE */
  size_t cap;                                /* of both lists */
  size_t gets, got;                          /* keys asked for by MGET, and answered */
  size_t dump_count, dumps_asked, dumped;
  long long mean;                            /* bytes of a value lately */
  int from_db, to_db, open;                  /* selected, -1: not known; 1: both ends are connected */
} Worker;

long long host_work_now (void);              /* nanoseconds */

/* -1, NULL: failed, told in w->fail */
int host_work_pump (Worker *w, int from_too);            /* waits until something moved, and moves it */
int host_work_pump_source (RedisEnd *e);                 /* the pump of `from` */
uint64_t host_work_hash (uint64_t h, const char *p, size_t n);
int host_work_move (Worker *w, size_t n, uint64_t *hash);        /* a string of n bytes, from the source's input to the
                                                target's output, as it comes; only hashed in a round that checks */
int host_work_ask (Worker *w, const char *head, const char *word, size_t n);
int host_work_asked (Worker *w, uint32_t i);             /* the target will answer for this key */
int host_work_source (Worker *w, int db);                /* selected */
int host_work_target (Worker *w, int db);
int host_work_refuse (Worker *w, const MoveRound *r, size_t i, RedisEnd *e, const char *what, const char *line, size_t n);
int host_work_round (Worker *w);                         /* reads the round in hand, which becomes the last one */
int host_work_finish (Worker *w);                        /* waits until the target has answered for the last one */

#endif
