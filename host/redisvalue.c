/*
** redisvalue.c - compares the suspects of redismatch.c by value: each side's value is read in slices, several keys at a
** time, and becomes a digest of 64 bits under the job's secret. What has an order (strings, lists, streams) is a chain of
** digests; sets, hashes and sorted sets are a sum, for SCAN gives their members in any order. Scores are compared as
** numbers: servers write them with more or fewer digits.
**
** Different values have the same digest once in 2^64.
*/
#include "host.h"
#include "redismatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 64                           /* keys of which slices are under way */
#define SLICE_BYTES 262144                   /* of a string */
#define SLICE 500                            /* elements */
#define ID_SIZE 48                           /* a stream's id, or a cursor, and a bracket */
#define MAX_DEPTH 4

typedef struct Side {                        /* one side's value */
  uint64_t digest;
  long long count;                           /* bytes or elements so far */
  char at[ID_SIZE];                          /* the next cursor, or the id that the next slice begins behind */
  char type;
  int done, lost;                            /* 1: its type has changed meanwhile */
} Side;

typedef struct Value {
  const char *key;
  size_t n;
  Side a, b;
} Value;

/* --- questions ------------------------------------------------------------------------------------------------- */

/* NAME key rest... */
static int put_command (RedisEnd *e, const char *name, const Value *v, const char *const *rest, int count) {
  char head[16];
  int i;
  snprintf(head, sizeof head, "*%d\r\n", count + 2);
  if (host_redis_text(e->fail, &e->out, head) != 0 || host_redis_word(e->fail, &e->out, name, strlen(name)) != 0
      || host_redis_word(e->fail, &e->out, v->key, v->n) != 0) return -1;
  for (i = 0; i < count; i++)
    if (host_redis_word(e->fail, &e->out, rest[i], strlen(rest[i])) != 0) return -1;
  return 0;
}

static int ask_slice (RedisEnd *e, const Value *v, const Side *s) {
  char first[24], last[24], slice[24];
  const char *range[3] = { first, last, "WITHSCORES" }, *scan[3] = { s->at, "COUNT", slice },
             *entries[4] = { s->at, "+", "COUNT", slice };
  long long size = s->type == 's' ? SLICE_BYTES : SLICE;
  snprintf(first, sizeof first, "%lld", s->count);
  snprintf(last, sizeof last, "%lld", s->count + size - 1);
  snprintf(slice, sizeof slice, "%d", SLICE);
  switch (s->type) {
    case 's': return put_command(e, "GETRANGE", v, range, 2);
    case 'l': return put_command(e, "LRANGE", v, range, 2);
    case 'z': return put_command(e, "ZRANGE", v, range, 3);
    case 'S': return put_command(e, "SSCAN", v, scan, 3);
    case 'h': return put_command(e, "HSCAN", v, scan, 3);
    default: return put_command(e, "XRANGE", v, entries, 4);
  }
}

/* --- answers --------------------------------------------------------------------------------------------------- */

/* The digest of a bulk string of n bytes, which goes into *h; its first bytes into `text`. */
static int read_string (Matcher *w, RedisEnd *e, long long n, uint64_t *h, char *text, size_t size) {
  size_t k, kept = 0;
  char *p;
  if (n < 0) return host_end_nonsense(e, "a value");
  if (text != NULL) text[0] = '\0';
  do {
    k = (unsigned long long)n < MATCH_PIECE ? (size_t)n : MATCH_PIECE;
    if ((p = host_end_bytes(e, k)) == NULL) return -1;
    *h = host_match_hash(w->m, *h, p, k);
    if (text != NULL && kept == 0) {
      kept = k < size - 1 ? k : size - 1;
      memcpy(text, p, kept);
      text[kept] = '\0';
    }
    n -= (long long)k;
  } while (n > 0);
  return host_end_bytes(e, 2) == NULL ? -1 : 0;
}

static int read_head (RedisEnd *e, char mark, long long *n) {
  return host_end_number(e, mark, "a value", n);
}

/* Any reply, as a chain of digests; the first string at the second level is the id of an entry. */
static int read_chain (Matcher *w, RedisEnd *e, uint64_t *h, char *id, int depth) {
  char *line = host_end_line(e), mark;
  long long n, i;
  if (line == NULL) return -1;
  mark = line[0];
  n = strtoll(line + 1, NULL, 10);
  if ((mark != '$' && mark != '*') || depth > MAX_DEPTH) return host_end_nonsense(e, "a value");
  if (mark == '$') return read_string(w, e, n, h, id, ID_SIZE - 1);
  *h = host_match_hash(w->m, *h, (const char *)&n, sizeof n);
  for (i = 0; i < n; i++)
    if (read_chain(w, e, h, depth == 1 && i == 0 ? id : NULL, depth + 1) != 0) return -1;
  return 0;
}

/* Elements in any order, `width` strings each: the sum of their digests. */
static int read_elements (Matcher *w, RedisEnd *e, Side *s, long long n, int width) {
  char score[64];
  long long size, i;
  int k;
  for (i = 0; i < n / width; i++) {
    uint64_t h = 0;
    for (k = 0; k < width; k++) {
      if (read_head(e, '$', &size) != 0) return -1;
      if (s->type == 'z' && k == 1) {
        uint64_t none = 0;
        double number;
        if (read_string(w, e, size, &none, score, sizeof score) != 0) return -1;
        number = strtod(score, NULL) + 0.0;  /* -0 is 0: where sorted sets are small, Redis keeps no sign of it */
        h = host_match_hash(w->m, h, (const char *)&number, sizeof number);
      } else if (read_string(w, e, size, &h, NULL, 0) != 0) return -1;
    }
    s->digest += h;
  }
  s->count += n / width;
  return 0;
}

/* The rest of a slice's answer, whose first line said n. */
static int read_slice (Matcher *w, RedisEnd *e, Side *s, long long n) {
  uint64_t none = 0;
  long long i;
  switch (s->type) {
    case 's':
      s->count += n;
      s->done = n < SLICE_BYTES;
      return read_string(w, e, n, &s->digest, NULL, 0);
    case 'z':
      s->done = n < 2 * SLICE;
      return read_elements(w, e, s, n, 2);
    case 'S': case 'h':
      if (read_head(e, '$', &n) != 0 || read_string(w, e, n, &none, s->at, ID_SIZE) != 0 || read_head(e, '*', &n) != 0) return -1;
      s->done = strcmp(s->at, "0") == 0;
      return read_elements(w, e, s, n, s->type == 'h' ? 2 : 1);
    default:                                 /* lists and streams */
      s->count += n;
      s->done = n < SLICE;
      s->at[0] = '(';
      for (i = 0; i < n; i++)
        if (read_chain(w, e, &s->digest, s->at + 1, 1) != 0) return -1;
      return 0;
  }
}

/* A slice's answer. A key that has another type by now is looked at again. */
static int read_answer (Matcher *w, RedisEnd *e, Side *s) {
  char *line = host_end_line(e);
  if (line == NULL) return -1;
  if (strncmp(line, "-WRONGTYPE", 10) == 0) {
    s->lost = s->done = 1;
    return 0;
  }
  if (line[0] == '-') return host_redis_remote(e, "a value", line, strlen(line));
  return line[0] != (s->type == 's' ? '$' : '*') ? host_end_nonsense(e, "a value") : read_slice(w, e, s, strtoll(line + 1, NULL, 10));
}

/* --- keys ------------------------------------------------------------------------------------------------------ */

static char type_of (const char *line) {
  static const struct { const char *name; char type; } known[] = {
    { "+string", 's' }, { "+list", 'l' }, { "+set", 'S' }, { "+zset", 'z' }, { "+hash", 'h' }, { "+stream", 'x' } };
  size_t i;
  for (i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(line, known[i].name) == 0) return known[i].type;
  return '?';                                /* of a module, or the key has gone */
}

static int read_type (RedisEnd *e, Side *s) {
  char *line = host_end_line(e);
  if (line == NULL) return -1;
  if (line[0] == '-') return host_redis_remote(e, "TYPE", line, strlen(line));
  s->type = type_of(line);
  snprintf(s->at, sizeof s->at, "%s", s->type == 'x' ? "-" : "0");
  return 0;
}

/* What is told of a key whose values were read, or need not be. */
static int judge (Matcher *w, const Value *v) {
  char what;
  if (v->a.type == '?' || v->b.type == '?' || v->a.lost || v->b.lost) what = MATCH_LOOK;
  else if (v->a.type != v->b.type) what = MATCH_TYPE;
  else if (v->a.count != v->b.count || v->a.digest != v->b.digest) what = MATCH_VALUE;
  else if (v->a.type == 'x') what = MATCH_STATE;
  else if (v->a.type == 'h' && w->db->fields) what = MATCH_FIELDS;
  else return 0;
  return host_match_tell(w, what, v->key, v->n, -1, -1);
}

/* Reads the values of some keys, a slice of each at a time, until all are read. */
static int match_values (Matcher *w, Value *values, size_t count) {
  RedisEnd *ends[2] = { &w->a, &w->b };
  size_t i, left;
  int k;
  do {
    left = 0;
    for (i = 0; i < count; i++)
      for (k = 0; k < 2; k++) {
        const Side *s = k == 0 ? &values[i].a : &values[i].b;
        if (s->done) continue;
        if (ask_slice(ends[k], &values[i], s) != 0) return -1;
        left++;
      }
    for (k = 0; k < 2; k++) if (host_end_write(ends[k]) != 0) return -1;
    for (i = 0; i < count && left > 0; i++)
      for (k = 0; k < 2; k++) {
        Side *s = k == 0 ? &values[i].a : &values[i].b;
        if (!s->done && read_answer(w, ends[k], s) != 0) return -1;
      }
  } while (left > 0);
  for (i = 0; i < count; i++)
    if (judge(w, &values[i]) != 0) return -1;
  return 0;
}

/* Asks for the types of some keys; values of one type on both sides are to be read. */
static int read_types (Matcher *w, Value *values, size_t from, size_t count) {
  RedisEnd *ends[2] = { &w->a, &w->b };
  size_t i;
  int k;
  for (k = 0; k < 2; k++) {
    for (i = 0; i < count; i++) {
      values[i].n = host_match_key(&w->suspects, from + i, &values[i].key);
      if (host_redis_text(&w->fail, &ends[k]->out, "*2\r\n$4\r\nTYPE\r\n") != 0
          || host_redis_word(&w->fail, &ends[k]->out, values[i].key, values[i].n) != 0) return -1;
    }
    if (host_end_write(ends[k]) != 0) return -1;
  }
  for (k = 0; k < 2; k++)
    for (i = 0; i < count; i++)
      if (read_type(ends[k], k == 0 ? &values[i].a : &values[i].b) != 0) return -1;
  for (i = 0; i < count; i++)
    values[i].a.done = values[i].b.done = values[i].a.type != values[i].b.type || values[i].a.type == '?';
  return 0;
}

int host_match_values (Matcher *w) {
  Value values[AT_ONCE];
  size_t from, count;
  for (from = 0; from < w->suspects.count; from += count) {
    count = w->suspects.count - from < AT_ONCE ? w->suspects.count - from : AT_ONCE;
    memset(values, 0, sizeof values);
    if (read_types(w, values, from, count) != 0 || match_values(w, values, count) != 0) return -1;
  }
  host_match_clear(&w->suspects);
  return 0;
}
