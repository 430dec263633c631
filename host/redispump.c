/*
** redispump.c - a worker's bytes (redisworker.h): one poll loop over both streams, the target's answers counted, the
** source's values passed on as they come.
*/
#include "host.h"
#include "redisworker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_LINE 65536                       /* a reply line longer than this is no Redis protocol */
#define HASHED 16                            /* bytes that the hash takes at a time: pieces of a value are cut there */

long long host_work_now (void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* --- the target's answers -------------------------------------------------------------------------------------- */

int host_work_refuse (Worker *w, const MoveRound *r, size_t i, RedisEnd *e, const char *what, const char *line, size_t n) {
  char told[REDIS_NAME_SHOWN + 32];
  const char *key;
  size_t k = host_plan_name(&r->names, r->ends, i, &key);
  RedisFail why = { .kind = "" };
  RedisFail *kept = e->fail;
  snprintf(told, sizeof told, "%s of key \"%.*s\"", what, (int)(k < REDIS_NAME_SHOWN ? k : REDIS_NAME_SHOWN), key);
  if (!w->m->lenient) return host_redis_remote(e, told, line, n);
  e->fail = &why;
  (void)host_redis_remote(e, told, line, n);
  e->fail = kept;
  if (strcmp(why.code, "OOM") == 0 || strcmp(why.code, "READONLY") == 0 || strcmp(why.code, "MISCONF") == 0 || why.retry)
    return host_redis_remote(e, told, line, n);          /* not this key's fault */
  if (host_plan_refuse(w->m, r, i, why.code, line + 1, host_redis_said(line + 1, n - 1)) != 0)
    return host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the copy's buffers");
  return 0;
}

/* An answer to the command that is first in `asked`. */
static int take_answer (Worker *w, const char *line, size_t n) {
  MoveRound *r = w->last_asked > 0 ? w->last : w->r;
  uint32_t i;
  if (w->asked.n - w->asked.at < sizeof i)
    return host_redis_fail(&w->fail, "protocol", "protocol", 0, "target: an answer to no question");
  memcpy(&i, w->asked.p + w->asked.at, sizeof i);
  w->asked.at += sizeof i;
  if (w->last_asked > 0) w->last_asked--;
  if (*line == ':') r->deleted += line[1] == '1';
  else if (*line == '+') r->taken += i != WORK_SELECTED;
  else if (i == WORK_SELECTED) return host_redis_remote(&w->to, "SELECT", line, n);
  else return host_work_refuse(w, r, i & ~WORK_STRING, &w->to, i & WORK_STRING ? "SET" : "RESTORE", line, n);
  return 0;
}

static int drain_target (Worker *w) {
  RedisBuf *b = &w->to.in;
  while (b->at < b->n) {
    char *line = b->p + b->at, *end = memchr(line, '\n', b->n - b->at);
    if (end == NULL) {
      if (b->n - b->at > MAX_LINE) return host_redis_fail(&w->fail, "protocol", "protocol", 0, "target: an endless line");
      break;
    }
    if (take_answer(w, line, (size_t)(end - line) - (end > line && end[-1] == '\r')) != 0) return -1;
    b->at += (size_t)(end - line) + 1;
  }
  if (b->at == b->n) b->at = b->n = 0;
  return 0;
}

int host_work_asked (Worker *w, uint32_t i) {
  return host_redis_put(&w->fail, &w->asked, &i, sizeof i);
}

/* Waits until something moved, and moves it. Reads the source only when asked to and the window has room. */
int host_work_pump (Worker *w, int from_too) {
  RedisEnd *f = &w->from, *t = &w->to;
  int reading = from_too && t->out.n - t->out.at < w->m->window, n;
  struct pollfd q[3] = {
    { .fd = f->s.fd, .events = 0, .revents = 0 }, { .fd = t->s.fd, .events = 0, .revents = 0 },
    { .fd = w->m->cancel_fd, .events = POLLIN, .revents = 0 } };
  q[0].events = (short)((reading ? f->read_want : 0) | (f->out.at < f->out.n ? f->write_want : 0));
  q[1].events = (short)(t->read_want | (t->out.at < t->out.n ? t->write_want : 0));
  if (q[0].events == 0) q[0].fd = -1;        /* else a closed source would wake us for ever */
  do n = poll(q, 3, w->m->stall); while (n < 0 && errno == EINTR);
  if (n < 0) return host_redis_fail(&w->fail, "io", "poll", 0, "cannot wait: %s", strerror(errno));
  if (n == 0)
    return host_redis_fail(&w->fail, "timeout", "stalled", 1, "no byte moved for %d seconds", w->m->stall / 1000);
  if (q[2].revents != 0) return host_redis_fail(&w->fail, "cancelled", "cancelled", 0, "the copy was cancelled");
  if (q[0].revents != 0 && f->out.at < f->out.n && host_end_write(f) != 0) return -1;
  if (q[1].revents != 0 && t->out.at < t->out.n && host_end_write(t) != 0) return -1;
  if (q[0].revents != 0 && reading && host_end_read(f) != 0) return -1;
  if (q[1].revents != 0 && (host_end_read(t) != 0 || drain_target(w) != 0)) return -1;
  return 0;
}

/* --- the source's answers -------------------------------------------------------------------------------------- */

int host_work_pump_source (RedisEnd *e) {
  return host_work_pump(e->owner, 1);
}

/* Two numbers of 64 bits become one that depends on all their bits. */
static uint64_t fold (uint64_t a, uint64_t b) {
  unsigned __int128 both = (unsigned __int128)a * b;
  return (uint64_t)both ^ (uint64_t)(both >> 64);
}

uint64_t host_work_hash (uint64_t h, const char *p, size_t n) {
  uint64_t word[HASHED / sizeof (uint64_t)];
  for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
    memcpy(word, p, sizeof word);
    h = fold(word[0] ^ 0xa0761d6478bd642fu ^ h, word[1] ^ 0xe7037ed1a0b428dbu);
  }
  if (n == 0) return h;
  memset(word, 0, sizeof word);
  memcpy(word, p, n);
  return fold(word[0] ^ 0xa0761d6478bd642fu ^ h, word[1] ^ 0xe7037ed1a0b428dbu);
}

int host_work_move (Worker *w, size_t n, uint64_t *hash) {
  RedisBuf *b = &w->from.in;
  *hash = fold(n ^ 0x8ebc6af09c88c6e3u, 0x589965cc75374cc3u);
  while (n > 0) {
    size_t k = b->n - b->at < n ? (b->n - b->at) / HASHED * HASHED : n;
    if (k == 0 || w->to.out.n - w->to.out.at >= w->m->window) {
      if (host_work_pump(w, 1) != 0) return -1;
      continue;
    }
    *hash = host_work_hash(*hash, b->p + b->at, k);
    if (!w->r->check && host_redis_put(&w->fail, &w->to.out, b->p + b->at, k) != 0) return -1;
    b->at += k;
    n -= k;
  }
  return host_end_bytes(&w->from, 2) == NULL ? -1 : 0;
}

int host_work_ask (Worker *w, const char *head, const char *word, size_t n) {
  return host_redis_text(&w->fail, &w->from.out, head) != 0 || host_redis_word(&w->fail, &w->from.out, word, n) != 0 ? -1 : 0;
}

int host_work_source (Worker *w, int db) {
  char number[16];
  char *line;
  if (w->from_db == db) return 0;
  snprintf(number, sizeof number, "%d", db);
  if (host_work_ask(w, "*2\r\n$6\r\nSELECT\r\n", number, strlen(number)) != 0 || (line = host_end_line(&w->from)) == NULL) return -1;
  if (line[0] != '+') return host_redis_remote(&w->from, "SELECT", line, strlen(line));
  w->from_db = db;
  return 0;
}

int host_work_target (Worker *w, int db) {
  char text[32];
  if (w->to_db == db) return 0;
  snprintf(text, sizeof text, "SELECT %d\r\n", db);
  w->to_db = db;
  return host_redis_text(&w->fail, &w->to.out, text) != 0 || host_work_asked(w, WORK_SELECTED) != 0 ? -1 : 0;
}
