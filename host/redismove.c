/*
** redismove.c - a worker of the keyspace copier (redismove.h): it scans or takes a round of keys, asks the source for
** their expiry and their DUMPs, and gives the target a RESTORE ... REPLACE ABSTTL for each, all pipelined over two
** non-blocking streams in one poll loop.
**
** A payload goes from the source's input straight into the target's output as it arrives, so memory is bounded by the
** window, whatever the largest value is. Expiry is the source's own absolute time in milliseconds; servers before 7.0
** lack PEXPIRETIME, there it is PTTL between two TIMEs, exact where both show the same millisecond. A round whose
** connection breaks is done again on a new one: whatever of it was written is written once more.
*/
#include "host.h"
#include "redismove.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_LINE 65536                       /* a reply line longer than this is no Redis protocol */
#define MAX_KEY ((size_t)512 << 20)          /* Redis's own limit of a string */
#define MAX_KEYS 10000000                    /* of one answer to SCAN; COUNT is 100,000 at most */
#define FOOT 8                               /* a DUMP ends with the CRC-64 of all before it */
#define ASK_BYTES (4 << 20)                  /* that may wait at the source, by the size of the last values */
#define ASK_KEYS 256
#define LIMITED_KEYS 64                      /* keys a round while the source is spared */
#define SELECTED UINT32_MAX                  /* in `asked`: not a key's RESTORE but a SELECT */

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

static long long now_ns (void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static size_t key_at (const RedisBuf *names, const size_t *ends, size_t i, const char **key) {
  size_t from = i > 0 ? ends[i - 1] : 0;
  *key = names->p + from;
  return ends[i] - from;
}

static int nonsense (Worker *w, const char *what) {
  return host_redis_fail(&w->fail, "protocol", "protocol", 0, "source: %s: unexpected answer", what);
}

/* --- the target's answers -------------------------------------------------------------------------------------- */

static int refuse (Worker *w, size_t i, RedisEnd *e, const char *what, const char *line, size_t n) {
  char told[REDIS_NAME_SHOWN + 32];
  const char *key;
  size_t k = key_at(&w->r->names, w->r->ends, i, &key);
  RedisFail why = { .kind = "" };
  RedisFail *kept = e->fail;
  snprintf(told, sizeof told, "%s of key \"%.*s\"", what, (int)(k < REDIS_NAME_SHOWN ? k : REDIS_NAME_SHOWN), key);
  if (!w->m->lenient) return host_redis_remote(e, told, line, n);
  e->fail = &why;
  (void)host_redis_remote(e, told, line, n);
  e->fail = kept;
  if (strcmp(why.code, "OOM") == 0 || strcmp(why.code, "READONLY") == 0 || strcmp(why.code, "MISCONF") == 0 || why.retry)
    return host_redis_remote(e, told, line, n);          /* not this key's fault */
  if (host_plan_refuse(w->m, w->r, i, why.code, line + 1, host_redis_said(line + 1, n - 1)) != 0)
    return host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the copy's buffers");
  return 0;
}

/* One line for each command in `asked`. */
static int drain_target (Worker *w) {
  RedisBuf *b = &w->to.in;
  while (b->at < b->n) {
    char *line = b->p + b->at, *end = memchr(line, '\n', b->n - b->at);
    size_t n;
    uint32_t i;
    if (end == NULL) {
      if (b->n - b->at > MAX_LINE) return host_redis_fail(&w->fail, "protocol", "protocol", 0, "target: an endless line");
      break;
    }
    if (w->asked.n - w->asked.at < sizeof i)
      return host_redis_fail(&w->fail, "protocol", "protocol", 0, "target: an answer to no question");
    memcpy(&i, w->asked.p + w->asked.at, sizeof i);
    n = (size_t)(end - line) - (end > line && end[-1] == '\r');
    if (*line == ':') w->deleted += line[1] == '1';
    else if (*line == '+') w->keys += i != SELECTED;
    else if (i == SELECTED) return host_redis_remote(&w->to, "SELECT", line, n);
    else if (refuse(w, i, &w->to, "RESTORE", line, n) != 0) return -1;
    w->asked.at += sizeof i;
    b->at += (size_t)(end - line) + 1;
  }
  if (b->at == b->n) b->at = b->n = 0;
  return 0;
}

static int asked_put (Worker *w, uint32_t i) {
  return host_redis_put(&w->fail, &w->asked, &i, sizeof i);
}

/* Waits until something moved, and moves it. Reads the source only when asked to and the window has room. */
static int pump (Worker *w, int from_too) {
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

/* The next line, without its CRLF, NUL-ended; valid until the next read. NULL: failed. */
static char *next_line (Worker *w) {
  RedisBuf *b = &w->from.in;
  size_t from = 0;
  for (;;) {
    char *s = b->p + b->at, *end = b->n - b->at > from ? memchr(s + from, '\n', b->n - b->at - from) : NULL;
    if (end != NULL) {
      if (end > s && end[-1] == '\r') end[-1] = '\0';
      *end = '\0';
      b->at += (size_t)(end - s) + 1;
      return s;
    }
    from = b->n - b->at;
    if (from > MAX_LINE) {
      host_redis_fail(&w->fail, "protocol", "protocol", 0, "source: an endless line");
      return NULL;
    }
    if (pump(w, 1) != 0) return NULL;
  }
}

/* A line that starts with `mark`, as a number. */
static int next_number (Worker *w, char mark, const char *what, long long *v) {
  char *line = next_line(w);
  if (line == NULL) return -1;
  if (line[0] == '-') return host_redis_remote(&w->from, what, line, strlen(line));
  if (line[0] != mark) return nonsense(w, what);
  *v = strtoll(line + 1, NULL, 10);
  return 0;
}

/* A bulk string of n bytes and its CRLF; NULL: failed. Valid until the next read. */
static char *next_bytes (Worker *w, size_t n) {
  RedisBuf *b = &w->from.in;
  if (n > MAX_KEY) {                         /* a negative length, too */
    host_redis_fail(&w->fail, "protocol", "protocol", 0, "source: a string of impossible length");
    return NULL;
  }
  while (b->n - b->at < n + 2)
    if (pump(w, 1) != 0) return NULL;
  b->at += n + 2;
  return b->p + b->at - n - 2;
}

/* Moves n bytes of the source's input into the target's output, a window at a time; drops them in a round that checks. */
static int move_bytes (Worker *w, size_t n) {
  RedisBuf *b = &w->from.in;
  while (n > 0) {
    size_t k = b->n - b->at < n ? b->n - b->at : n;
    if (k == 0 || w->to.out.n - w->to.out.at >= w->m->window) {
      if (pump(w, 1) != 0) return -1;
      continue;
    }
    if (!w->r->check && host_redis_put(&w->fail, &w->to.out, b->p + b->at, k) != 0) return -1;
    b->at += k;
    n -= k;
  }
  return 0;
}

static int ask (Worker *w, const char *head, const char *word, size_t n) {
  return host_redis_text(&w->fail, &w->from.out, head) != 0 || host_redis_word(&w->fail, &w->from.out, word, n) != 0 ? -1 : 0;
}

static int select_source (Worker *w, int db) {
  char number[16];
  char *line;
  if (w->from_db == db) return 0;
  snprintf(number, sizeof number, "%d", db);
  if (ask(w, "*2\r\n$6\r\nSELECT\r\n", number, strlen(number)) != 0 || (line = next_line(w)) == NULL) return -1;
  if (line[0] != '+') return host_redis_remote(&w->from, "SELECT", line, strlen(line));
  w->from_db = db;
  return 0;
}

static int select_target (Worker *w, int db) {
  char text[32];
  if (w->to_db == db) return 0;
  snprintf(text, sizeof text, "SELECT %d\r\n", db);
  w->to_db = db;
  return host_redis_text(&w->fail, &w->to.out, text) != 0 || asked_put(w, SELECTED) != 0 ? -1 : 0;
}

/* --- when keys expire ------------------------------------------------------------------------------------------ */

static int ask_expiry (Worker *w) {
  const MoveRound *r = w->r;
  const char *key, *head = w->m->exact ? "*2\r\n$11\r\nPEXPIRETIME\r\n" : "*2\r\n$4\r\nPTTL\r\n", *clock = "*1\r\n$4\r\nTIME\r\n";
  size_t i;
  if (!w->m->exact && host_redis_text(&w->fail, &w->from.out, clock) != 0) return -1;
  for (i = 0; i < r->count; i++) {
    size_t n = key_at(&r->names, r->ends, i, &key);
    if (ask(w, head, key, n) != 0) return -1;
  }
  atomic_fetch_add(&w->m->asked, (long long)r->count);
  return w->m->exact ? 0 : host_redis_text(&w->fail, &w->from.out, clock);
}

/* The source's clock, in milliseconds. */
static int read_clock (Worker *w, long long *ms) {
  long long n, part[2];
  int i;
  if (next_number(w, '*', "TIME", &n) != 0) return -1;
  for (i = 0; i < 2; i++) {
    char *text;
    if (next_number(w, '$', "TIME", &n) != 0 || (text = next_bytes(w, (size_t)n)) == NULL) return -1;
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
    if (next_number(w, ':', w->m->exact ? "PEXPIRETIME" : "PTTL", &w->expiry[i]) != 0) return -1;
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
  size_t n = key_at(w->r->to_ends != NULL ? &w->r->to_names : &w->r->names, w->r->to_ends != NULL ? w->r->to_ends : w->r->ends, i, &key);
  return host_redis_text(&w->fail, &w->to.out, "*2\r\n$3\r\nDEL\r\n") != 0 || host_redis_word(&w->fail, &w->to.out, key, n) != 0
      || asked_put(w, i) != 0 ? -1 : 0;
}

/* The head of one RESTORE, up to the payload. */
static int put_restore (Worker *w, uint32_t i, long long expiry, long long size) {
  MoveRound *r = w->r;
  RedisBuf *out = &w->to.out;
  const char *key;
  size_t n = key_at(r->to_ends != NULL ? &r->to_names : &r->names, r->to_ends != NULL ? r->to_ends : r->ends, i, &key);
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
  return host_redis_text(&w->fail, out, number) != 0 || asked_put(w, i) != 0 ? -1 : 0;
}

/* The answer to one key's DUMP becomes one RESTORE; in a round that checks only its digest is taken. */
static int move_key (Worker *w, uint32_t i, long long *size) {
  MoveRound *r = w->r;
  long long expiry = r->expiry != NULL ? r->expiry[i] : r->expires ? w->expiry[i] : -1;
  const char *key;
  size_t n = key_at(&r->names, r->ends, i, &key);
  char *line = next_line(w), *foot;
  *size = 0;
  if (line == NULL) return -1;
  if (line[0] == '-') return refuse(w, i, &w->from, "DUMP", line, strlen(line));
  if (line[0] != '$') return nonsense(w, "DUMP");
  *size = strtoll(line + 1, NULL, 10);
  if (*size < 0) {                           /* expired or deleted meanwhile */
    w->gone++;
    return w->m->deletes && !r->check ? delete_key(w, i) : 0;
  }
  if (*size < FOOT || (unsigned long long)*size > MAX_KEY * 2) return nonsense(w, "DUMP");
  if (!r->check && put_restore(w, i, expiry, *size) != 0) return -1;
  if (move_bytes(w, (size_t)*size - FOOT) != 0 || (foot = next_bytes(w, FOOT)) == NULL) return -1;
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
    size_t n = key_at(&r->names, r->ends, *asked, &key);
    if (ask(w, "*2\r\n$4\r\nDUMP\r\n", key, n) != 0) return -1;
  }
  atomic_fetch_add(&w->m->asked, (long long)(*asked - from));
  return host_end_write(&w->from);
}

static int move_round (Worker *w) {
  MoveRound *r = w->r;
  size_t asked = 0, ahead = ASK_KEYS, i;
  int asks = r->count > 0 && r->expires && r->expiry == NULL;
  long long began = now_ns(), size, large = 0;
  if (r->count > w->expiry_cap) {
    long long *p = realloc(w->expiry, r->count * sizeof *p);
    if (p == NULL) return host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the copy's buffers");
    w->expiry = p;
    w->expiry_cap = r->count;
  }
  r->keys = r->bytes = 0;
  r->digest = 0;
  w->keys = w->gone = w->deleted = 0;
  if (select_source(w, r->db) != 0 || (!r->check && select_target(w, r->to_db) != 0)) return -1;
  if (asks && ask_expiry(w) != 0) return -1;
  if (ask_dumps(w, &asked, ahead) != 0) return -1;
  if (asks && read_expiry(w) != 0) return -1;
  for (i = 0; i < r->count; i++) {
    if (asked - i <= ahead / 2 && asked < r->count && ask_dumps(w, &asked, ahead) != 0) return -1;
    if (move_key(w, (uint32_t)i, &size) != 0) return -1;
    large += (size - large) / 8;             /* a sliding mean: few questions at once where values are large */
    ahead = large * ASK_KEYS > ASK_BYTES ? (size_t)(ASK_BYTES / large) + 1 : ASK_KEYS;
  }
  began = now_ns() - began;
  while (w->asked.at < w->asked.n)
    if (pump(w, 0) != 0) return -1;
  w->asked.at = w->asked.n = 0;
  atomic_fetch_add(r->check ? &w->m->checked : &w->m->keys, r->check ? r->keys : w->keys);
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

/* --- scanning -------------------------------------------------------------------------------------------------- */

/* The answer to SCAN as a round; NULL: failed. */
static MoveRound *read_scan (Worker *w) {
  MoveRound *r;
  long long n, k;
  char *text, cursor[MOVE_CURSOR];
  if (next_number(w, '*', "SCAN", &n) != 0 || next_number(w, '$', "SCAN", &k) != 0) return NULL;
  if ((text = next_bytes(w, (size_t)k)) == NULL) return NULL;
  snprintf(cursor, sizeof cursor, "%.*s", (int)(k < MOVE_CURSOR ? k : MOVE_CURSOR - 1), text);
  if (next_number(w, '*', "SCAN", &n) != 0) return NULL;
  if (n < 0 || n > MAX_KEYS) {
    nonsense(w, "SCAN");
    return NULL;
  }
  if ((r = host_plan_round((size_t)n, (size_t)n * 32)) == NULL) {
    host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the copy's buffers");
    return NULL;
  }
  memcpy(r->after, cursor, sizeof cursor);
  for (; r->count < (size_t)n; r->count++) {
    if (next_number(w, '$', "SCAN", &k) != 0 || (text = next_bytes(w, (size_t)k)) == NULL
        || host_redis_put(&w->fail, &r->names, text, (size_t)k) != 0) {
      host_plan_free_round(r);
      return NULL;
    }
    r->ends[r->count] = r->names.n;
  }
  return r;
}

static MoveRound *scan (Worker *w, const MoveSegment *s) {
  char number[16];
  int limited = atomic_load(&w->m->share) > 0 || atomic_load(&w->m->rate) > 0;
  snprintf(number, sizeof number, "%d", limited && w->m->batch > LIMITED_KEYS ? LIMITED_KEYS : w->m->batch);
  if (select_source(w, s->db) != 0 || ask(w, "*4\r\n$4\r\nSCAN\r\n", s->cursor, strlen(s->cursor)) != 0
      || ask(w, "$5\r\nCOUNT\r\n", number, strlen(number)) != 0 || host_end_write(&w->from) != 0) return NULL;
  atomic_fetch_add(&w->m->asked, 1);
  return read_scan(w);
}

/* --- a worker -------------------------------------------------------------------------------------------------- */

static int open_ends (Worker *w) {
  if (w->open) return 0;
  w->from_db = w->to_db = -1;
  w->asked.at = w->asked.n = 0;
  if (host_end_open(&w->from) != 0 || host_end_open(&w->to) != 0) return -1;
  w->open = 1;
  return 0;
}

static void drop_ends (Worker *w) {
  host_end_close(&w->from);
  host_end_close(&w->to);
  w->open = 0;
}

/* After a failure: 1 when it is to be tried again, after a pause. */
static int again (Worker *w, long long *lost, int *pause) {
  struct pollfd q = { .fd = w->m->cancel_fd, .events = POLLIN, .revents = 0 };
  long long now = now_ns(), left;
  drop_ends(w);
  if (!w->fail.retry) return 0;
  if (*lost == 0) *lost = now;
  left = w->m->patience - (now - *lost) / 1000000;
  if (left <= 0) return 0;
  memset(&w->fail, 0, sizeof w->fail);
  if (poll(&q, 1, (int)(*pause < left ? *pause : left)) != 0) {
    host_redis_fail(&w->fail, "cancelled", "cancelled", 0, "the copy was cancelled");
    return 0;
  }
  *pause = *pause < 1000 ? *pause * 2 : 2000;
  return 1;
}

/* Scans, or copies the round in hand, as often as it takes. */
static int do_it (Worker *w, MoveSegment *s) {
  long long lost = 0;
  int pause = 50;
  for (;;) {
    if (open_ends(w) == 0) {
      if (s != NULL && (w->r = scan(w, s)) != NULL) return 0;
      if (s == NULL && move_round(w) == 0) return 0;
    }
    if (!again(w, &lost, &pause)) return -1;
  }
}

static int next_thing (Worker *w) {
  MoveSegment *s;
  int what = host_plan_next(w->m, &w->r, &s);
  if (what == 0) return 0;
  if (what == 2) {
    if (do_it(w, s) != 0) {
      w->r = NULL;
      host_plan_scanned(w->m, s, NULL);
      return -1;
    }
    host_plan_scanned(w->m, s, w->r);
  }
  if (do_it(w, NULL) != 0) {
    if (w->r->segment == NULL) host_plan_free_round(w->r);
    return -1;
  }
  return host_plan_done(w->m, w->r) == 0 ? 1 : host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the copy's slices");
}

void host_move_work (Move *m) {
  Worker w = { .m = m };
  int rc;
  w.from = (RedisEnd){ .side = &m->from, .fail = &w.fail, .cancel_fd = m->cancel_fd, .stall = m->stall };
  w.to = (RedisEnd){ .side = &m->to, .fail = &w.fail, .cancel_fd = m->cancel_fd, .stall = m->stall };
  host_stream_init(&w.from.s);
  host_stream_init(&w.to.s);
  while ((rc = next_thing(&w)) > 0) { }
  if (rc < 0) host_plan_stop(m, &w.fail);
  host_end_free(&w.from);
  host_end_free(&w.to);
  free(w.asked.p);
  free(w.expiry);
}
