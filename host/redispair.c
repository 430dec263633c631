/*
** redispair.c - what two servers answered of the same keys (redismatch.h): when they expire, strings and DUMPs, which are
** compared as they arrive.
*/
#include "host.h"
#include "redismatch.h"

#include <stdlib.h>
#include <string.h>

#define FOOT 10                              /* a DUMP ends with its version, 2 bytes, and a CRC-64 of all before it */
#define VERSION 2

/* --- when they expire ------------------------------------------------------------------------------------------ */

static int read_expiry (Matcher *w, MatchNames *names) {
  RedisEnd *ends[2] = { &w->a, &w->b };
  long long clock = 0;
  size_t i;
  int k;
  for (k = 0; names->expires && k < 2; k++) {
    if (!w->m->exact && host_end_clock(ends[k], &clock) != 0) return -1;
    for (i = 0; i < names->count; i++) {
      if (host_end_number(ends[k], ':', "PEXPIRETIME", &names->at[i][k]) != 0) return -1;
      if (names->at[i][k] >= 0) names->at[i][k] += clock;
    }
  }
  if (names->expires) names->timed = 1;
  return 0;
}

/* --- values ---------------------------------------------------------------------------------------------------- */

/* Drops n bytes and the CRLF behind them, but keeps the last FOOT. */
static int skip (RedisEnd *e, long long n, char foot[FOOT]) {
  char *p;
  while (n > FOOT) {
    size_t k = e->in.n - e->in.at, most = (size_t)(n - FOOT);
    if (k == 0 && host_match_pump(e) != 0) return -1;
    if (k > most) k = most;
    e->in.at += k;
    n -= (long long)k;
  }
  if ((p = host_end_bytes(e, (size_t)n + 2)) == NULL) return -1;
  memcpy(foot, p, (size_t)n);
  return 0;
}

/* The head of a DUMP's answer: its size, MATCH_GONE, or 0 where the server gives no payload. */
static int read_dump (Matcher *w, RedisEnd *e, long long *size) {
  char *line = host_end_line(e);
  if (line == NULL) return -1;
  *size = 0;
  if (line[0] == '-') {
    atomic_store(&w->m->by_value, 1);
    return 0;
  }
  *size = strtoll(line + 1, NULL, 10);
  if (line[0] != '$' || *size < -1 || (*size >= 0 && *size <= FOOT))
    return host_end_nonsense(e, "DUMP");
  if (*size < 0) *size = MATCH_GONE;
  return 0;
}

/* Reads `left` bytes of both sides as long as they are equal; what is left then, or -1. */
static long long same_bytes (Matcher *w, long long left) {
  while (left > 0) {
    size_t k = w->a.in.n - w->a.in.at, other = w->b.in.n - w->b.in.at;
    if (k == 0 || other == 0) {
      if (host_match_pump(k == 0 ? &w->a : &w->b) != 0) return -1;
      continue;
    }
    if (k > other) k = other;
    if (k > (size_t)left) k = (size_t)left;
    if (memcmp(w->a.in.p + w->a.in.at, w->b.in.p + w->b.in.at, k) != 0) break;
    w->a.in.at += k;
    w->b.in.at += k;
    left -= (long long)k;
  }
  return left;
}

/* The type that begins a payload, which stays to be read; -1: failed. */
static int next_type (RedisEnd *e) {
  while (e->in.at == e->in.n)
    if (host_match_pump(e) != 0) return -1;
  return (unsigned char)e->in.p[e->in.at];
}

/* Reads two payloads of na and nb bytes; 1: equal, 0: not, -1: failed. */
static int same_payload (Matcher *w, long long na, long long nb) {
  char foot_a[FOOT] = "", foot_b[FOOT] = "";
  int same = 0;
  if (na > 0 && na == nb) {
    int type = next_type(&w->a), other = type < 0 ? -1 : next_type(&w->b);
    long long left = 0;
    if (other < 0) return -1;
    if (type == other && host_match_is_table(type)) {
      if ((same = host_match_tables(w, na - FOOT)) < 0) return -1;
    } else {
      if ((left = same_bytes(w, na - FOOT)) < 0) return -1;
      same = left == 0;
    }
    na = nb = left + FOOT;                   /* what is still to be read of either */
  }
  if (na > 0 && skip(&w->a, na, foot_a) != 0) return -1;
  if (nb > 0 && skip(&w->b, nb, foot_b) != 0) return -1;
  if (na > 0 && nb > 0 && memcmp(foot_a, foot_b, VERSION) != 0) {
    atomic_store(&w->m->by_value, 1);
    return 0;
  }
  return same;
}

/* The same of two strings; -1: there is none. */
static int same_string (Matcher *w, long long na, long long nb) {
  char end[FOOT];
  int whole = na >= 0 && na == nb;
  if (whole && (na = nb = same_bytes(w, na)) < 0) return -1;
  if ((na >= 0 && skip(&w->a, na, end) != 0) || (nb >= 0 && skip(&w->b, nb, end) != 0)) return -1;
  return whole && na == 0;
}

/* A key that both sides have. */
static int match_pair (Matcher *w, const MatchNames *names, size_t i, int same) {
  const char *key;
  size_t n = host_match_key(names, i, &key);
  long long at_a = names->timed ? names->at[i][0] : MATCH_NEVER, at_b = names->timed ? names->at[i][1] : MATCH_NEVER, apart;
  atomic_fetch_add_explicit(&w->m->keys, 1, memory_order_relaxed);
  w->sum_a += host_match_hash(w->m, 0, key, n);
  apart = at_a > at_b ? at_a - at_b : at_b - at_a;
  if (at_a != MATCH_GONE && at_b != MATCH_GONE && apart > 0 && (at_a < 0 || at_b < 0 || apart > w->m->tolerance)
      && host_match_tell(w, MATCH_TTL, key, n, at_a, at_b) != 0) return -1;
  return same ? 0 : host_match_add(w, &w->suspects, key, n);
}

/* What both sides answered of one key. */
static int match_key (Matcher *w, const MatchNames *names, size_t i) {
  const char *key;
  size_t n = host_match_key(names, i, &key);
  long long at_a = names->timed ? names->at[i][0] : MATCH_NEVER, at_b = names->timed ? names->at[i][1] : MATCH_NEVER, dump_a = at_a, dump_b = at_b;
  int same = 0;
  if (names->dumps) {
    if (read_dump(w, &w->a, &dump_a) != 0 || read_dump(w, &w->b, &dump_b) != 0) return -1;
    if (dump_a > 0) atomic_fetch_add_explicit(&w->m->bytes, dump_a, memory_order_relaxed);
    if ((same = same_payload(w, dump_a, dump_b)) < 0) return -1;
  }
  if (dump_a == MATCH_GONE && dump_b == MATCH_GONE) return 0;
  if (dump_b == MATCH_GONE) return host_match_tell(w, MATCH_MISSING, key, n, at_a, MATCH_NEVER);
  if (dump_a == MATCH_GONE)                        /* one that went since the SCAN makes another sum */
    return w->m->has_given ? host_match_tell(w, MATCH_EXTRA, key, n, MATCH_NEVER, at_b) : 0;
  return match_pair(w, names, i, same);
}

int host_match_names (Matcher *w, MatchNames *names) {
  size_t i;
  if (names->count == 0) return 0;
  if (read_expiry(w, names) != 0) return -1;
  for (i = 0; i < names->count; i++)
    if (match_key(w, names, i) != 0) return -1;
  host_match_clear(names);
  return 0;
}

int host_match_strings (Matcher *w, MatchNames *names, MatchNames *left) {
  RedisEnd *ends[2] = { &w->a, &w->b };
  const char *key;
  long long size[2];
  size_t i, n;
  int k, same;
  if (names->count == 0) return 0;
  if (read_expiry(w, names) != 0) return -1;
  for (k = 0; k < 2; k++) {
    if (host_end_number(ends[k], '*', "MGET", &size[k]) != 0) return -1;
    if (size[k] != (long long)names->count) return host_end_nonsense(ends[k], "MGET");
  }
  for (i = 0; i < names->count; i++) {
    for (k = 0; k < 2; k++) {
      if (host_end_number(ends[k], '$', "MGET", &size[k]) != 0) return -1;
      if (size[k] < -1 || size[k] > MATCH_MAX_KEY * 2) return host_end_nonsense(ends[k], "MGET");
    }
    if ((same = same_string(w, size[0], size[1])) < 0) return -1;
    if (size[0] > 0) atomic_fetch_add_explicit(&w->m->bytes, size[0], memory_order_relaxed);
    if (size[0] >= 0 && size[1] >= 0) {
      if (match_pair(w, names, i, same) != 0) return -1;
      continue;
    }
    n = host_match_key(names, i, &key);
    if (host_match_add(w, left, key, n) != 0) return -1;
    if (names->timed) memcpy(left->at[left->count - 1], names->at[i], sizeof *names->at);
  }
  left->timed = names->timed;
  atomic_fetch_add(&w->m->gets, 1);
  host_match_clear(names);
  return 0;
}
