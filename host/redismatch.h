/*
** redismatch.h - the engine of redis.same, without Lua: one thread that reads two servers side by side, round by round
** (redismatch.c, redispair.c), and where payloads differ the values, slice by slice, as digests (redisvalue.c). What it
** finds it tells; what a difference is in words is found out in Lua. redissame.c is its Lua side.
*/
#ifndef HKRUN_REDISMATCH_H
#define HKRUN_REDISMATCH_H

#include "redisend.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* What is told of a key, by these letters; of a whole database: its names do not add up. */
#define MATCH_MISSING 'm'
#define MATCH_EXTRA 'e'
#define MATCH_TYPE 't'
#define MATCH_VALUE 'v'
#define MATCH_TTL 'x'
#define MATCH_LOOK 'l'                       /* nothing is known: a type that this engine cannot read */
#define MATCH_STATE 's'                      /* a stream with equal entries: its groups are to be compared */
#define MATCH_FIELDS 'f'                     /* a hash with equal fields: when they expire is to be compared */
#define MATCH_NAMES 'n'

typedef struct MatchFound {                  /* then key_n bytes of the key */
  long long a, b;                            /* when it expires on either side; -1: never, or not asked */
  size_t key_n;
  int db;
  char what;
} MatchFound;

typedef struct MatchDb {
  int db, expires, fields;                   /* 1: a key, a field of a hash may expire */
} MatchDb;

typedef struct MatchNames {                  /* keys, one behind the other */
  RedisBuf bytes;
  size_t *ends, count, cap;
  long long (*at)[2];                        /* when they expire on either side, where `timed` */
  int expires, dumps, timed;                 /* what was asked of them; expiry is known */
} MatchNames;

typedef struct Match {
  RedisSide a, b;
  MatchDb *dbs;
  int db_count;
  int batch, exact, stall;                   /* keys a round; 1: both have PEXPIRETIME; milliseconds without a byte */
  int strings;                               /* 1: both have MGET */
  long long tolerance;                       /* milliseconds that expiry times may differ */
  MatchNames given;                          /* keys of the one database to compare; without any: all */
  int has_given;
  uint64_t secret[2];                        /* of this job's digests */
  int cancel_fd;                             /* readable: stop */
  atomic_llong keys, bytes;                  /* that both sides have; of the first side's strings and payloads */
  atomic_llong gets;                         /* MGETs that each side has answered */
  atomic_int by_value;                       /* 1: the payloads' formats differ, or a side gives none */
  pthread_mutex_t lock;                      /* over found, stopped */
  pthread_cond_t room;
  RedisBuf found;                            /* MatchFound, key, ... */
  int stopped;
  RedisFail fail;
  void (*told) (void *);                     /* called with told_arg when there is something in `found` */
  void *told_arg;
} Match;

/* The thread's own state. */
typedef struct Matcher {
  Match *m;
  RedisEnd a, b;
  RedisFail fail;
  const MatchDb *db;
  int round;                                 /* keys that the next SCAN asks for: fewer where values are large */
  uint64_t sum_a, sum_b;                     /* of the names that both have, and of all that b has */
  MatchNames suspects;                       /* keys whose payloads differ */
} Matcher;

int host_match_init (Match *m);              /* 0, or an errno */
void host_match_free (Match *m);
void host_match_stop (Match *m);
void host_match_run (Match *m);              /* on the thread; the outcome is in m->fail */

/* redisnames.c */
int host_match_pump (RedisEnd *e);           /* the pump of both ends */
int host_match_tell (Matcher *w, char what, const char *key, size_t n, long long a, long long b);
int host_match_add (Matcher *w, MatchNames *names, const char *key, size_t n);
size_t host_match_key (const MatchNames *names, size_t i, const char **key);
void host_match_clear (MatchNames *names);
void host_match_free_names (MatchNames *names);
void host_match_swap (MatchNames *a, MatchNames *b);
uint64_t host_match_hash (const Match *m, uint64_t h, const char *p, size_t n);

/* redispair.c: reads what both sides answered of these keys, and empties the list. Keys that are no string on both sides
   are left for later. */
int host_match_names (Matcher *w, MatchNames *names);
int host_match_strings (Matcher *w, MatchNames *names, MatchNames *left);

/* redistable.c: reads two payloads of n bytes, without their ends; 1: the same elements, 0: perhaps not, -1: failed */
int host_match_is_table (int type);
int host_match_tables (Matcher *w, long long n);

#define MATCH_MAX_KEY (512LL << 20)          /* Redis's own limit of a string */
#define MATCH_NEVER (-1)
#define MATCH_GONE (-2)                      /* PEXPIRETIME and PTTL of a key that is not there */
#define MATCH_PIECE ((size_t)64 * 1024)      /* bytes that are looked at together */

/* redisvalue.c: compares the suspects by value and empties their list; no answer may be under way. */
int host_match_values (Matcher *w);

#endif
