/*
** redisround.c - copies a round of keys (redisworker.h), all pipelined: the source is asked for their expiry and, many at a
** time, for their values as strings, which become SETs; what is no string is asked for by DUMP and becomes RESTORE ...
** REPLACE ABSTTL. Strings go this way because it is less than half the work for both servers, which else pack and unpack
** them; where a server is too old for it, or does not let us, all goes by DUMP.
**
** A value goes from the source's input straight into the target's output as it arrives, so memory is bounded by the
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
#define ASK_KEYS 512
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

static int read_expiry (Worker *w) {
  const MoveRound *r = w->r;
  long long before = 0, after;
  size_t i;
  if (!w->m->exact && host_end_clock(&w->from, &before) != 0) return -1;
  for (i = 0; i < r->count; i++) {
    if (host_end_number(&w->from, ':', w->m->exact ? "PEXPIRETIME" : "PTTL", &w->expiry[i]) != 0) return -1;
    if (w->expiry[i] >= 0) w->expiry[i] += before;
  }
  if (w->m->exact) return 0;
  if (host_end_clock(&w->from, &after) != 0) return -1;
  if (after - before > atomic_load(&w->m->expiry_bound)) atomic_store(&w->m->expiry_bound, (int)(after - before));
  return 0;
}

static long long expiry_of (const Worker *w, uint32_t i) {
  const MoveRound *r = w->r;
  return r->expiry != NULL ? r->expiry[i] : r->expires ? w->expiry[i] : -1;
}

/* --- what the target gets -------------------------------------------------------------------------------------- */

/* The name of a key there. */
static int put_name (Worker *w, uint32_t i) {
  const MoveRound *r = w->r;
  const char *key;
  size_t n = host_plan_name(r->to_ends != NULL ? &r->to_names : &r->names, r->to_ends != NULL ? r->to_ends : r->ends, i, &key);
  return host_redis_word(&w->fail, &w->to.out, key, n);
}

static int put_number (Worker *w, const char *format, long long v) {
  char number[32];
  snprintf(number, sizeof number, format, v);
  return host_redis_text(&w->fail, &w->to.out, number);
}

/* A time in the past deletes the key, as it should; 0 would be none. */
static int put_expiry (Worker *w, long long expiry) {
  char number[24];
  snprintf(number, sizeof number, "%lld", expiry > 0 ? expiry : 1);
  return host_redis_word(&w->fail, &w->to.out, number, strlen(number));
}

static int delete_key (Worker *w, uint32_t i) {
  return host_redis_text(&w->fail, &w->to.out, "*2\r\n$3\r\nDEL\r\n") != 0 || put_name(w, i) != 0 || host_work_asked(w, i) != 0 ? -1 : 0;
}

/* The head of one SET, up to the value; and what comes behind it. */
static int begin_set (Worker *w, uint32_t i, long long expiry, long long size) {
  return host_redis_text(&w->fail, &w->to.out, expiry >= 0 ? "*5\r\n$3\r\nSET\r\n" : "*3\r\n$3\r\nSET\r\n") != 0 || put_name(w, i) != 0
      || put_number(w, "$%lld\r\n", size) != 0 || host_work_asked(w, i | WORK_STRING) != 0 ? -1 : 0;
}

static int end_set (Worker *w, long long expiry) {
  return host_redis_text(&w->fail, &w->to.out, expiry >= 0 ? "\r\n$4\r\nPXAT\r\n" : "\r\n") != 0
      || (expiry >= 0 && put_expiry(w, expiry) != 0) ? -1 : 0;
}

static int begin_restore (Worker *w, uint32_t i, long long expiry, long long size) {
  return host_redis_text(&w->fail, &w->to.out, expiry >= 0 ? "*6\r\n$7\r\nRESTORE\r\n" : "*5\r\n$7\r\nRESTORE\r\n") != 0
      || put_name(w, i) != 0 || (expiry >= 0 ? put_expiry(w, expiry) : host_redis_text(&w->fail, &w->to.out, "$1\r\n0\r\n")) != 0
      || put_number(w, "$%lld\r\n", size) != 0 || host_work_asked(w, i) != 0 ? -1 : 0;
}

static int end_restore (Worker *w, long long expiry) {
  return host_redis_text(&w->fail, &w->to.out, expiry >= 0 ? "\r\n$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n" : "\r\n$7\r\nREPLACE\r\n");
}

/* --- what the source answers ----------------------------------------------------------------------------------- */

/* A value of so many bytes follows, which becomes one command of the target; in a round that checks only its digest is
   taken. The digest is of the key, its value and its expiry. */
static int take_value (Worker *w, uint32_t i, long long size, int is_string) {
  MoveRound *r = w->r;
  long long expiry = expiry_of(w, i);
  const char *key;
  size_t n = host_plan_name(&r->names, r->ends, i, &key);
  uint64_t parts[3] = { host_work_hash(n, key, n), 0, (uint64_t)expiry };
  if (!r->check && (is_string ? begin_set(w, i, expiry, size) : begin_restore(w, i, expiry, size)) != 0) return -1;
  if (host_work_move(w, (size_t)size, &parts[1]) != 0) return -1;
  if (!r->check && (is_string ? end_set(w, expiry) : end_restore(w, expiry)) != 0) return -1;
  r->digest += host_work_hash(0, (const char *)parts, sizeof parts);
  r->keys++;
  r->bytes += size;
  w->mean += (size - w->mean) / 8;           /* a sliding mean: few questions at once where values are large */
  return 0;
}

/* One element of MGET's answer; what is no string, or is not there, is left to DUMP. */
static int take_string (Worker *w, uint32_t i) {
  long long size;
  if (host_end_number(&w->from, '$', "MGET", &size) != 0) return -1;
  if (size > WORK_MAX_KEY * 2) return host_end_nonsense(&w->from, "MGET");
  if (size >= 0) return take_value(w, i, size, 1);
  w->dumps[w->dump_count++] = i;
  return 0;
}

static int take_dump (Worker *w, uint32_t i) {
  char *line = host_end_line(&w->from);
  long long size;
  if (line == NULL) return -1;
  if (line[0] == '-') return host_work_refuse(w, w->r, i, &w->from, "DUMP", line, strlen(line));
  size = strtoll(line + 1, NULL, 10);
  if (line[0] != '$' || (size >= 0 && size < FOOT) || size > WORK_MAX_KEY * 2) return host_end_nonsense(&w->from, "DUMP");
  if (size >= 0) return take_value(w, i, size, 0);
  w->r->gone++;                               /* expired or deleted meanwhile */
  return w->m->deletes && !w->r->check ? delete_key(w, i) : 0;
}

/* --- questions ------------------------------------------------------------------------------------------------- */

static int ask_strings (Worker *w, size_t n) {
  const MoveRound *r = w->r;
  const char *key;
  char head[40];
  snprintf(head, sizeof head, "*%zu\r\n$4\r\nMGET\r\n", n + 1);
  if (host_redis_text(&w->fail, &w->from.out, head) != 0) return -1;
  for (; n > 0; n--) {
    size_t k = host_plan_name(&r->names, r->ends, w->gets++, &key);
    if (host_redis_word(&w->fail, &w->from.out, key, k) != 0) return -1;
  }
  atomic_fetch_add(&w->m->asked, 1);
  return 0;
}

static int ask_dumps (Worker *w, size_t n) {
  const char *key;
  atomic_fetch_add(&w->m->asked, (long long)n);
  for (; n > 0; n--) {
    size_t k = host_plan_name(&w->r->names, w->r->ends, w->dumps[w->dumps_asked++], &key);
    if (host_work_ask(w, "*2\r\n$4\r\nDUMP\r\n", key, k) != 0) return -1;
  }
  return 0;
}

/* Keeps the source busy: asks for more values, in halves of what may be under way, and sends what can be sent now. */
static int ask_more (Worker *w) {
  size_t half = w->mean * ASK_KEYS > ASK_BYTES ? (size_t)(ASK_BYTES / 2 / w->mean) + 1 : ASK_KEYS / 2, left;
  int asked = 0;
  while (w->gets - w->got + w->dumps_asked - w->dumped <= half) {
    if ((left = w->r->count - w->gets) > 0) { if (ask_strings(w, left < half ? left : half) != 0) return -1; }
    else if ((left = w->dump_count - w->dumps_asked) > 0) { if (ask_dumps(w, left < half ? left : half) != 0) return -1; }
    else break;
    asked = 1;
  }
  return asked ? host_end_write(&w->from) : 0;
}

/* --- one round ------------------------------------------------------------------------------------------------- */

static int begin_round (Worker *w) {
  MoveRound *r = w->r;
  if (r->count > w->cap) {
    long long *expiry = realloc(w->expiry, r->count * sizeof *expiry);
    uint32_t *dumps;
    if (expiry != NULL) w->expiry = expiry;
    dumps = realloc(w->dumps, r->count * sizeof *dumps);
    if (dumps != NULL) w->dumps = dumps;
    if (expiry == NULL || dumps == NULL) return host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the copy's buffers");
    w->cap = r->count;
  }
  r->keys = r->bytes = r->taken = r->gone = r->deleted = 0;
  r->digest = 0;
  w->gets = w->got = w->dump_count = w->dumps_asked = w->dumped = 0;
  if (w->m->strings) return 0;
  for (; w->got < r->count; w->got++) w->dumps[w->got] = (uint32_t)w->got;
  w->gets = w->dump_count = w->got;
  return 0;
}

static int take_answers (Worker *w) {
  long long n;
  while (w->got < w->r->count) {
    if (ask_more(w) != 0 || host_end_number(&w->from, '*', "MGET", &n) != 0) return -1;
    if (n < 1 || (unsigned long long)n > w->gets - w->got) return host_end_nonsense(&w->from, "MGET");
    for (; n > 0; n--, w->got++)
      if (take_string(w, (uint32_t)w->got) != 0) return -1;
    atomic_fetch_add(&w->m->gets, 1);
  }
  for (; w->dumped < w->dump_count; w->dumped++)
    if (ask_more(w) != 0 || take_dump(w, w->dumps[w->dumped]) != 0) return -1;
  return 0;
}

int host_work_finish (Worker *w) {
  MoveRound *r = w->last;
  while (w->last_asked > 0)
    if (host_work_pump(w, 0) != 0) return -1;
  if (r == NULL) return 0;
  w->last = NULL;
  atomic_fetch_add(&w->m->keys, r->taken);
  atomic_fetch_add(&w->m->bytes, r->check ? 0 : r->bytes);
  atomic_fetch_add(&w->m->gone, r->gone);
  atomic_fetch_add(&w->m->deleted, r->deleted);
  return host_plan_done(w->m, r) == 0 ? 0 : host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the copy's slices");
}

/* The pause that the limit demands after the source was busy for so long; nothing is left half said meanwhile. */
static int pause_after (Worker *w, long long took, long long keys, long long bytes) {
  struct pollfd q = { .fd = w->m->cancel_fd, .events = POLLIN, .revents = 0 };
  long long least = keys * KEY_NS + bytes * BYTE_NS;
  int pause = host_plan_pace(w->m, took > least ? took : least, keys);
  if (pause <= 0) return 0;
  if (host_work_finish(w) != 0) return -1;
  (void)poll(&q, 1, pause);
  return 0;
}

/* The source goes on with the next round while the target answers for this one. */
int host_work_round (Worker *w) {
  MoveRound *r = w->r;
  int asks = r->count > 0 && r->expires && r->expiry == NULL;
  long long took = host_work_now();
  if (begin_round(w) != 0 || host_work_source(w, r->db) != 0 || (!r->check && host_work_target(w, r->to_db) != 0)) return -1;
  if (asks && ask_expiry(w) != 0) return -1;
  if (ask_more(w) != 0 || (asks && read_expiry(w) != 0) || take_answers(w) != 0) return -1;
  took = host_work_now() - took - w->from.trip;
  if (host_work_finish(w) != 0) return -1;
  w->last = r;
  w->last_asked = (w->asked.n - w->asked.at) / sizeof (uint32_t);
  w->r = NULL;
  return pause_after(w, took, (long long)r->count, r->bytes);
}
