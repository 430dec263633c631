/*
** redismove.h - the engine of the keyspace copier, without Lua: what there is to copy (redisplan.c), and the workers that
** copy it (redisworker.c, redisround.c, redispump.c). rediscopy.c and rediswork.c are its Lua side.
*/
#ifndef HKRUN_REDISMOVE_H
#define HKRUN_REDISMOVE_H

#include "redisend.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define MOVE_CURSOR 24                       /* an unsigned number of 64 bits, in digits */

/* A way through a database: SCAN from a cursor to another. Its rounds may end in any order; what is told of it, the
   slices, are those that ended before every later one. */
typedef struct MoveSegment {
  struct MoveSegment *next;
  int db, expires;                           /* 0: no key of the database expires, so none is asked */
  int check;                                 /* 1: read only, to see whether the digest is still `want`; if not it is copied */
  uint64_t want;
  char cursor[MOVE_CURSOR], stop[MOVE_CURSOR];           /* where SCAN goes on, and where it ends; "0" is the end */
  int scanning, scanned;                     /* a worker is about it; there is nothing left to scan */
  struct MoveRound *first, **last;           /* under way, in the order of the scan */
  char start[MOVE_CURSOR];                   /* the slice: where it began, its keys, their bytes and digest */
  long long keys, bytes;
  uint64_t digest;
} MoveSegment;

/* Keys that are copied together: an answer to SCAN, or a list that was given. */
typedef struct MoveRound {
  struct MoveRound *next;
  MoveSegment *segment;                      /* NULL: given */
  int db, to_db, expires, check, done;
  char after[MOVE_CURSOR];                   /* the cursor behind it */
  RedisBuf names, to_names;                  /* one behind the other; to_names empty: they keep theirs */
  size_t *ends, *to_ends, count;
  long long *expiry;                         /* given: milliseconds since 1970, -1 never; NULL: the source is asked */
  long long keys, bytes;                     /* that were there, their payloads and digest */
  uint64_t digest;
  long long taken, gone, deleted;            /* taken by the target, gone at the source, deleted */
} MoveRound;

typedef struct MoveSlice {                   /* a part of a scan that is in the target */
  struct MoveSlice *next;
  int db;
  char start[MOVE_CURSOR], stop[MOVE_CURSOR];
  long long keys;
  uint64_t digest;
} MoveSlice;

typedef struct MoveRefused {                 /* a key that the target does not take by RESTORE, or the source not give by DUMP */
  struct MoveRefused *next;
  int db, to_db;
  size_t key_n, to_n;
  char code[40], message[200];
  char names[];                              /* the source's name, then the target's */
} MoveRefused;

typedef struct Move {
  RedisSide from, to;
  int batch, exact;                          /* keys a round; 1: PEXPIRETIME is there */
  int strings;                               /* 1: strings go by MGET and SET */
  int stall, patience;                       /* milliseconds without a byte; for trying again */
  int lenient, deletes;                      /* 1: refused keys are told, not an error; keys that have gone are deleted */
  int in_turn;                               /* 1: one database after the other */
  int slice;                                 /* keys in a slice, at least */
  size_t window;                             /* bytes that may wait for the target, a worker */
  int cancel_fd;                             /* readable: stop */
  atomic_int share, rate;                    /* of the source's time, in thousandths; keys a second; 0: no limit */
  atomic_llong keys, bytes, gone, deleted, asked, checked;       /* commands that the source was sent; keys found as they were */
  atomic_llong gets;                         /* MGETs that the source has answered */
  atomic_int expiry_bound;                   /* milliseconds that an expiry may be off */

  pthread_mutex_t lock;                      /* over all that follows */
  pthread_cond_t changed;
  MoveSegment *segments;
  MoveRound *given, **given_last;
  int open, busy, stopped;                   /* more may be given; rounds under way; a worker failed or it was cancelled */
  MoveSlice *slices, **slices_last;
  MoveRefused *refused;
  long long free_at;                         /* nanoseconds: when the next round may begin, under a limit */
  RedisFail fail;
  void (*idle) (void *);                     /* called with idle_arg when all that was given is done */
  void *idle_arg;
} Move;

/* redisplan.c; the lock is not held by the caller */
int host_plan_init (Move *m);                /* 0, or an errno */
void host_plan_free (Move *m);
MoveSegment *host_plan_segment (Move *m, int db, const char *cursor, const char *stop);     /* added; NULL: no memory */
MoveRound *host_plan_round (size_t count, size_t bytes);         /* room for so many names; NULL: no memory */
void host_plan_free_round (MoveRound *r);
void host_plan_give (Move *m, MoveRound *r);
void host_plan_enough (Move *m);             /* no more will be given */
void host_plan_stop (Move *m, const RedisFail *why);             /* wakes all; NULL: it was cancelled */
int host_plan_refuse (Move *m, const MoveRound *r, size_t i, const char *code, const char *line, size_t n);

size_t host_plan_name (const RedisBuf *names, const size_t *ends, size_t i, const char **key);   /* its length */

/* What to do next. 1: *round is to be copied; 2: *segment is to be scanned, then host_plan_scanned; 0: nothing more;
   -1, unless it waits: nothing until a round has ended. */
int host_plan_next (Move *m, MoveRound **round, MoveSegment **segment, int wait);
void host_plan_scanned (Move *m, MoveSegment *s, MoveRound *r);  /* r->after is the new cursor; r NULL: it failed */
int host_plan_done (Move *m, MoveRound *r);  /* frees the round; -1: no memory */
int host_plan_pace (Move *m, long long took, long long keys);    /* milliseconds to wait before the next round */

void host_move_work (Move *m);               /* a worker, until there is nothing left; the outcome is in m->fail */

#endif
