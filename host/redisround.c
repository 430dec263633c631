/*
** redisround.c - copies a round of keys (redisworker.h): asks the source for their expiry and their DUMPs, and gives the
** target a RESTORE ... REPLACE ABSTTL for each, all pipelined.
**
** A payload goes from the source's input straight into the target's output as it arrives, so memory is bounded by the
** window, whatever the largest value is. Expiry is the source's own absolute time in milliseconds; servers before 7.0
** lack PEXPIRETIME, there it is PTTL between two TIMEs, exact where both show the same millisecond.
*/
#include "host.h"
#include "redisworker.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOOT 8                               /* a DUMP ends with the CRC-64 of all before it */
#define ASK_BYTES (4 << 20)                  /* that may wait at the source, by the size of the last values */
#define ASK_KEYS 256
#define KEY_NS 2000                          /* what a server takes at least for a key, and for a byte of it */
#define BYTE_NS 5

/* --- when keys expire ------------------------------------------------------------------------------------------ */

static int ask_expiry (Worker *w) {
  const MoveRound *r = w->r;
  const char *key, *head = w->m->exact ? "*2\r\n$11\r\nPEXPIRETIME\r\n" : "*2\r\n$4\r\nPTTL\r\n", *clock = "*1\r\n$4\r\nTIME\r\n";
  size_t i;
  if (!w->m->exact && host_redis_text(&w->fail, &w->from.out, clock) != 0) return -1;
  for (i = 0; i < r->count; i++) {
    size_t n = host_plan_name(&r->names, r->ends, i, &key);
    if (host_work_ask(w, head, key, n) != 0) return -1;
  }
  atomic_fetch_add(&w->m->asked, (long long)r->count);
  return w->m->exact ? 0 : host_redis_text(&w->fail, &w->from.out, clock);
}

/* The source's clock, in milliseconds. */
static int read_clock (Worker *w, long long *ms) {
  long long n, part[2];
  int i;
  if (host_work_number(w, '*', "TIME", &n) != 0) return -1;
  for (i = 0; i < 2; i++) {
    char *text;
    if (host_work_number(w, '$', "TIME", &n) != 0 || (text = host_work_bytes(w, (size_t)n)) == NULL) return -1;
    part[i] = strtoll(text, NULL, 10);
  }
  *ms = part[0] * 1000 + part[1] / 1000;
  return 0;
}

static int read_expiry (Worker *w) {
  const MoveRound *r = w->r;
  long long before = 0, after;
  size_t i;
  if (!w->m->exact && read_clock(w, &before) != 0) return -1;
  for (i = 0; i < r->count; i++) {
    if (host_work_number(w, ':', w->m->exact ? "PEXPIRETIME" : "PTTL", &w->expiry[i]) != 0) return -1;
    if (w->expiry[i] >= 0) w->expiry[i] += before;
  }
  if (w->m->exact) return 0;
  if (read_clock(w, &after) != 0) return -1;
  if (after - before > atomic_load(&w->m->expiry_bound)) atomic_store(&w->m->expiry_bound, (int)(after - before));
  return 0;
}

/* --- one round ------------------------------------------------------------------------------------------------- */

static uint64_t mix (uint64_t h) {
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
  return h ^ (h >> 31);
}

/* Of a key, its value by the checksum that ends its DUMP, and its expiry. */
static uint64_t digest_of (const char *key, size_t n, const char *foot, long long expiry) {
  uint64_t h = n, word;
  for (; n >= sizeof word; n -= sizeof word, key += sizeof word) {
    memcpy(&word, key, sizeof word);
    h = mix(h ^ word);
  }
  word = 0;
  memcpy(&word, key, n);
  h = mix(h ^ word);
  memcpy(&word, foot, FOOT);
  return mix(mix(h + word) + (uint64_t)expiry);
}

static int delete_key (Worker *w, uint32_t i) {
  const char *key;
  size_t n = host_plan_name(w->r->to_ends != NULL ? &w->r->to_names : &w->r->names, w->r->to_ends != NULL ? w->r->to_ends : w->r->ends, i, &key);
  return host_redis_text(&w->fail, &w->to.out, "*2\r\n$3\r\nDEL\r\n") != 0 || host_redis_word(&w->fail, &w->to.out, key, n) != 0
      || host_work_asked(w, i) != 0 ? -1 : 0;
}

/* The head of one RESTORE, up to the payload. */
static int put_restore (Worker *w, uint32_t i, long long expiry, long long size) {
  MoveRound *r = w->r;
  RedisBuf *out = &w->to.out;
  const char *key;
  size_t n = host_plan_name(r->to_ends != NULL ? &r->to_names : &r->names, r->to_ends != NULL ? r->to_ends : r->ends, i, &key);
  char number[24];
  if (host_redis_text(&w->fail, out, expiry >= 0 ? "*6\r\n$7\r\nRESTORE\r\n" : "*5\r\n$7\r\nRESTORE\r\n") != 0
      || host_redis_word(&w->fail, out, key, n) != 0) return -1;
  if (expiry < 0) {
    if (host_redis_text(&w->fail, out, "$1\r\n0\r\n") != 0) return -1;
  } else {
    snprintf(number, sizeof number, "%lld", expiry > 0 ? expiry : 1);
    if (host_redis_word(&w->fail, out, number, strlen(number)) != 0) return -1;
  }
  snprintf(number, sizeof number, "$%lld\r\n", size);
  return host_redis_text(&w->fail, out, number) != 0 || host_work_asked(w, i) != 0 ? -1 : 0;
}

/* The answer to one key's DUMP becomes one RESTORE; in a round that checks only its digest is taken. */
static int move_key (Worker *w, uint32_t i, long long *size) {
  MoveRound *r = w->r;
  long long expiry = r->expiry != NULL ? r->expiry[i] : r->expires ? w->expiry[i] : -1;
  const char *key;
  size_t n = host_plan_name(&r->names, r->ends, i, &key);
  char *line = host_work_line(w), *foot;
  *size = 0;
  if (line == NULL) return -1;
  if (line[0] == '-') return host_work_refuse(w, i, &w->from, "DUMP", line, strlen(line));
  if (line[0] != '$') return host_work_nonsense(w, "DUMP");
  *size = strtoll(line + 1, NULL, 10);
  if (*size < 0) {                           /* expired or deleted meanwhile */
    w->gone++;
    return w->m->deletes && !r->check ? delete_key(w, i) : 0;
  }
  if (*size < FOOT || (unsigned long long)*size > WORK_MAX_KEY * 2) return host_work_nonsense(w, "DUMP");
  if (!r->check && put_restore(w, i, expiry, *size) != 0) return -1;
  if (host_work_move(w, (size_t)*size - FOOT) != 0 || (foot = host_work_bytes(w, FOOT)) == NULL) return -1;
  r->digest += digest_of(key, n, foot, expiry);
  r->keys++;
  r->bytes += *size;
  if (r->check) return 0;
  return host_redis_put(&w->fail, &w->to.out, foot, FOOT + 2) != 0
      || host_redis_text(&w->fail, &w->to.out, expiry >= 0 ? "$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n" : "$7\r\nREPLACE\r\n") != 0 ? -1 : 0;
}

/* Asks for so many of the round's DUMPs more, and sends what can be sent now. */
static int ask_dumps (Worker *w, size_t *asked, size_t more) {
  const MoveRound *r = w->r;
  const char *key;
  size_t from = *asked;
  for (; more > 0 && *asked < r->count; more--, ++*asked) {
    size_t n = host_plan_name(&r->names, r->ends, *asked, &key);
    if (host_work_ask(w, "*2\r\n$4\r\nDUMP\r\n", key, n) != 0) return -1;
  }
  atomic_fetch_add(&w->m->asked, (long long)(*asked - from));
  return host_end_write(&w->from);
}

int host_work_round (Worker *w) {
  MoveRound *r = w->r;
  size_t asked = 0, ahead = ASK_KEYS, i;
  int asks = r->count > 0 && r->expires && r->expiry == NULL;
  long long began = host_work_now(), size, large = 0;
  if (r->count > w->expiry_cap) {
    long long *p = realloc(w->expiry, r->count * sizeof *p);
    if (p == NULL) return host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the copy's buffers");
    w->expiry = p;
    w->expiry_cap = r->count;
  }
  r->keys = r->bytes = 0;
  r->digest = 0;
  w->keys = w->gone = w->deleted = 0;
  if (host_work_source(w, r->db) != 0 || (!r->check && host_work_target(w, r->to_db) != 0)) return -1;
  if (asks && ask_expiry(w) != 0) return -1;
  if (ask_dumps(w, &asked, ahead) != 0) return -1;
  if (asks && read_expiry(w) != 0) return -1;
  for (i = 0; i < r->count; i++) {
    if (asked - i <= ahead / 2 && asked < r->count && ask_dumps(w, &asked, ahead) != 0) return -1;
    if (move_key(w, (uint32_t)i, &size) != 0) return -1;
    large += (size - large) / 8;             /* a sliding mean: few questions at once where values are large */
    ahead = large * ASK_KEYS > ASK_BYTES ? (size_t)(ASK_BYTES / large) + 1 : ASK_KEYS;
  }
  began = host_work_now() - began - w->from.trip;
  size = (long long)r->count * KEY_NS + r->bytes * BYTE_NS;
  if (began < size) began = size;
  while (w->asked.at < w->asked.n)
    if (host_work_pump(w, 0) != 0) return -1;
  w->asked.at = w->asked.n = 0;
  atomic_fetch_add(&w->m->keys, w->keys);
  atomic_fetch_add(&w->m->bytes, r->check ? 0 : r->bytes);
  atomic_fetch_add(&w->m->gone, w->gone);
  atomic_fetch_add(&w->m->deleted, w->deleted);
  i = (size_t)host_plan_pace(w->m, began, (long long)r->count);
  if (i > 0) {
    struct pollfd q = { .fd = w->m->cancel_fd, .events = POLLIN, .revents = 0 };
    (void)poll(&q, 1, (int)i);
  }
  return 0;
}
