/*
** redismatch.c - compares the keys of two servers (redismatch.h). SCAN at the first gives names; both are asked for each
** one's expiry and DUMP. Equal payloads are equal values, and they are compared as they arrive, so that memory does not
** depend on their size. Other payloads may still hold equal values (another order in a hash table, another encoding):
** those keys are suspects, and compared by value now and then. Once a payload has another version at its end, or is
** refused, no more are asked for, and all keys are suspects.
**
** Keys that only the second server has are not looked for one by one: while it is asked for values it is scanned, too, and
** the sum of the digests of all its names must be that of the names found on both sides. A name that SCAN gave twice makes
** another sum as well; then the names are compared exactly, in Lua.
*/
#include "host.h"
#include "redismatch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_KEY (512LL << 20)                /* Redis's own limit of a string */
#define MAX_KEYS 10000000                    /* of one answer to SCAN; COUNT is 100,000 at most */
#define FOOT 10                              /* a DUMP ends with its version, 2 bytes, and a CRC-64 of all before it */
#define VERSION 2
#define FIRST_ROUND 16
#define ROUND_BYTES (4LL << 20)              /* that a round should ask for, by the size of the last one's values */
#define SUSPECTS 1000
#define NEVER (-1)
#define GONE (-2)                            /* PEXPIRETIME and PTTL of a key that is not there */

/* --- reading --------------------------------------------------------------------------------------------------- */

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

/* --- questions ------------------------------------------------------------------------------------------------- */

static int ask (RedisEnd *e, const char *head, const char *word, size_t n) {
  return host_redis_text(e->fail, &e->out, head) != 0 || host_redis_word(e->fail, &e->out, word, n) != 0 ? -1 : 0;
}

static int ask_scan (Matcher *w, RedisEnd *e, const char *cursor) {
  char number[16];
  snprintf(number, sizeof number, "%d", w->round);
  return ask(e, "*4\r\n$4\r\nSCAN\r\n", cursor, strlen(cursor)) != 0 || ask(e, "$5\r\nCOUNT\r\n", number, strlen(number)) != 0 ? -1 : 0;
}

static int ask_keys (Matcher *w, RedisEnd *e, const MatchNames *names) {
  const char *key, *expiry = w->m->exact ? "*2\r\n$11\r\nPEXPIRETIME\r\n" : "*2\r\n$4\r\nPTTL\r\n";
  size_t i;
  if (names->expires && !w->m->exact && host_redis_text(&w->fail, &e->out, "*1\r\n$4\r\nTIME\r\n") != 0) return -1;
  for (i = 0; i < names->count; i++) {
    size_t n = host_match_key(names, i, &key);
    if (names->expires && ask(e, expiry, key, n) != 0) return -1;
    if (names->dumps && ask(e, "*2\r\n$4\r\nDUMP\r\n", key, n) != 0) return -1;
  }
  return host_end_write(e);
}

/* The answer to SCAN: its names, or (names NULL) the sum of their digests. */
static int read_scan (Matcher *w, RedisEnd *e, char cursor[24], MatchNames *names) {
  long long n, i;
  size_t k;
  char *text;
  if (host_end_number(e, '*', "SCAN", &n) != 0 || (text = host_end_string(e, "SCAN", 23, &k)) == NULL) return -1;
  memcpy(cursor, text, k);
  cursor[k] = '\0';
  if (host_end_number(e, '*', "SCAN", &n) != 0) return -1;
  if (n < 0 || n > MAX_KEYS) return host_end_nonsense(e, "SCAN");
  for (i = 0; i < n; i++) {
    if ((text = host_end_string(e, "SCAN", MAX_KEY, &k)) == NULL) return -1;
    if (names == NULL) w->sum_b += host_match_hash(w->m, 0, text, k);
    else if (host_match_add(w, names, text, k) != 0) return -1;
  }
  return 0;
}

static int read_clock (RedisEnd *e, long long *ms) {
  long long n, part[2];
  size_t k;
  int i;
  if (host_end_number(e, '*', "TIME", &n) != 0) return -1;
  for (i = 0; i < 2; i++) {
    char *text = host_end_string(e, "TIME", 32, &k);
    if (text == NULL) return -1;
    part[i] = strtoll(text, NULL, 10);
  }
  *ms = part[0] * 1000 + part[1] / 1000;
  return 0;
}

/* --- answers --------------------------------------------------------------------------------------------------- */

/* The head of a DUMP's answer: its size, GONE, or 0 where the server gives no payload. */
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
  if (*size < 0) *size = GONE;
  return 0;
}

/* Reads two payloads of na and nb bytes; 1: equal, 0: not, -1: failed. */
static int same_payload (Matcher *w, long long na, long long nb) {
  char foot_a[FOOT] = "", foot_b[FOOT] = "";
  long long left = na > 0 && na == nb ? na : 0;
  while (left > FOOT) {
    size_t k = w->a.in.n - w->a.in.at, other = w->b.in.n - w->b.in.at, most = (size_t)(left - FOOT);
    if (k == 0 || other == 0) {
      if (host_match_pump(k == 0 ? &w->a : &w->b) != 0) return -1;
      continue;
    }
    if (k > other) k = other;
    if (k > most) k = most;
    if (memcmp(w->a.in.p + w->a.in.at, w->b.in.p + w->b.in.at, k) != 0) break;
    w->a.in.at += k;
    w->b.in.at += k;
    left -= (long long)k;
  }
  if (left > 0) na = nb = left;              /* what is still to be read of either */
  if (na > 0 && skip(&w->a, na, foot_a) != 0) return -1;
  if (nb > 0 && skip(&w->b, nb, foot_b) != 0) return -1;
  if (left == FOOT && memcmp(foot_a, foot_b, FOOT) == 0) return 1;
  if (na > 0 && nb > 0 && memcmp(foot_a, foot_b, VERSION) != 0) atomic_store(&w->m->by_value, 1);
  return 0;
}

/* What both sides answered of one key. */
static int match_key (Matcher *w, const MatchNames *names, size_t i, long long clock_a, long long clock_b) {
  const char *key;
  size_t n = host_match_key(names, i, &key);
  long long at_a = NEVER, at_b = NEVER, dump_a, dump_b, apart;
  int same = 0;
  if (names->expires && (host_end_number(&w->a, ':', "PEXPIRETIME", &at_a) != 0
      || host_end_number(&w->b, ':', "PEXPIRETIME", &at_b) != 0)) return -1;
  dump_a = at_a;
  dump_b = at_b;
  if (at_a >= 0) at_a += clock_a;
  if (at_b >= 0) at_b += clock_b;
  if (names->dumps) {
    if (read_dump(w, &w->a, &dump_a) != 0 || read_dump(w, &w->b, &dump_b) != 0) return -1;
    if (dump_a > 0) atomic_fetch_add_explicit(&w->m->bytes, dump_a, memory_order_relaxed);
    if ((same = same_payload(w, dump_a, dump_b)) < 0) return -1;
  }
  if (dump_a == GONE && dump_b == GONE) return 0;
  if (dump_b == GONE) return host_match_tell(w, MATCH_MISSING, key, n, at_a, NEVER);
  if (dump_a == GONE)                        /* one that went since the SCAN makes another sum */
    return w->m->has_given ? host_match_tell(w, MATCH_EXTRA, key, n, NEVER, at_b) : 0;
  atomic_fetch_add_explicit(&w->m->keys, 1, memory_order_relaxed);
  w->sum_a += host_match_hash(w->m, 0, key, n);
  apart = at_a > at_b ? at_a - at_b : at_b - at_a;
  if (at_a != GONE && at_b != GONE && apart > 0 && (at_a < 0 || at_b < 0 || apart > w->m->tolerance)
      && host_match_tell(w, MATCH_TTL, key, n, at_a, at_b) != 0) return -1;
  return same ? 0 : host_match_add(w, &w->suspects, key, n);
}

static int match_names (Matcher *w, const MatchNames *names) {
  long long clock_a = 0, clock_b = 0, before = atomic_load(&w->m->bytes), each, most;
  size_t i;
  if (names->count == 0) return 0;
  if (names->expires && !w->m->exact && (read_clock(&w->a, &clock_a) != 0 || read_clock(&w->b, &clock_b) != 0)) return -1;
  for (i = 0; i < names->count; i++)
    if (match_key(w, names, i, clock_a, clock_b) != 0) return -1;
  each = (atomic_load(&w->m->bytes) - before) / (long long)names->count + 1;
  most = w->m->batch < 4 * w->round ? w->m->batch : 4 * w->round;
  w->round = (int)(ROUND_BYTES / each < 1 ? 1 : ROUND_BYTES / each > most ? most : ROUND_BYTES / each);
  return 0;
}

/* --- rounds ---------------------------------------------------------------------------------------------------- */

static int select_db (Matcher *w) {
  RedisEnd *ends[2] = { &w->a, &w->b };
  char number[16], *line;
  int i;
  snprintf(number, sizeof number, "%d", w->db->db);
  for (i = 0; i < 2; i++)
    if (ask(ends[i], "*2\r\n$6\r\nSELECT\r\n", number, strlen(number)) != 0) return -1;
  for (i = 0; i < 2; i++) {
    if ((line = host_end_line(ends[i])) == NULL) return -1;
    if (line[0] == '-') return host_redis_remote(ends[i], "SELECT", line, strlen(line));
    if (line[0] != '+') return host_end_nonsense(ends[i], "SELECT");
  }
  return 0;
}

static int ask_round (Matcher *w, MatchNames *names) {
  if (names->count == 0) return 0;
  names->dumps = !atomic_load(&w->m->by_value);
  names->expires = w->db->expires || !names->dumps;      /* without payloads it tells whether the key is there */
  return ask_keys(w, &w->a, names) != 0 || ask_keys(w, &w->b, names) != 0 ? -1 : 0;
}

/* While answers are read the next questions are already with the servers: a SCAN before the keys of the last one. */
static int match_db (Matcher *w, MatchNames *now, MatchNames *asked) {
  char cursor_a[24] = "0", cursor_b[24] = "0";
  int more_a = !w->m->has_given, more_b = more_a;
  MatchNames next = { .count = 0 };
  int rc = select_db(w);
  host_match_clear(now);
  host_match_clear(asked);
  w->sum_a = w->sum_b = 0;
  if (w->m->has_given) host_match_swap(now, &w->m->given);
  while (rc == 0 && (more_a || more_b || now->count > 0 || asked->count > 0)) {
    if (w->suspects.count >= SUSPECTS) {
      rc = match_names(w, asked);
      host_match_clear(asked);
      if (rc != 0 || (rc = host_match_values(w)) != 0) break;
    }
    if ((more_a && ask_scan(w, &w->a, cursor_a) != 0) || (more_b && ask_scan(w, &w->b, cursor_b) != 0) || ask_round(w, now) != 0
        || match_names(w, asked) != 0 || (more_a && read_scan(w, &w->a, cursor_a, &next) != 0)
        || (more_b && read_scan(w, &w->b, cursor_b, NULL) != 0)) rc = -1;
    more_a = more_a && strcmp(cursor_a, "0") != 0;
    more_b = more_b && strcmp(cursor_b, "0") != 0;
    host_match_swap(asked, now);
    host_match_swap(now, &next);
    host_match_clear(&next);
  }
  host_match_free_names(&next);
  if (rc == 0) rc = host_match_values(w);
  if (rc == 0 && !w->m->has_given && w->sum_a != w->sum_b) rc = host_match_tell(w, MATCH_NAMES, "", 0, NEVER, NEVER);
  return rc;
}

static void end_init (Matcher *w, RedisEnd *e, const RedisSide *side) {
  e->side = side;
  e->fail = &w->fail;
  e->pump = host_match_pump;
  e->owner = w;
  e->cancel_fd = w->m->cancel_fd;
  e->stall = w->m->stall;
  host_stream_init(&e->s);
}

void host_match_run (Match *m) {
  Matcher w = { .m = m, .round = FIRST_ROUND < m->batch ? FIRST_ROUND : m->batch };
  MatchNames now = { .count = 0 }, asked = { .count = 0 };
  int i, rc;
  end_init(&w, &w.a, &m->a);
  end_init(&w, &w.b, &m->b);
  rc = host_end_open(&w.a) != 0 || host_end_open(&w.b) != 0 ? -1 : 0;
  for (i = 0; rc == 0 && i < m->db_count; i++) {
    w.db = &m->dbs[i];
    rc = match_db(&w, &now, &asked);
  }
  m->fail = w.fail;
  host_match_free_names(&now);
  host_match_free_names(&asked);
  host_match_free_names(&w.suspects);
  host_end_free(&w.a);
  host_end_free(&w.b);
}

int host_match_init (Match *m) {
  m->a.name = "the first server";
  m->b.name = "the second server";
  m->cancel_fd = -1;
  pthread_mutex_init(&m->lock, NULL);
  pthread_cond_init(&m->room, NULL);
  if (getentropy(m->secret, sizeof m->secret) != 0) return errno;
  m->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return m->cancel_fd < 0 ? errno : 0;
}

void host_match_stop (Match *m) {
  const uint64_t one = 1;
  ssize_t n = write(m->cancel_fd, &one, sizeof one);
  (void)n;                                   /* the counter is full only when it is already set */
  pthread_mutex_lock(&m->lock);
  m->stopped = 1;
  pthread_cond_broadcast(&m->room);
  pthread_mutex_unlock(&m->lock);
}

void host_match_free (Match *m) {
  if (m->cancel_fd >= 0) (void)close(m->cancel_fd);
  pthread_mutex_destroy(&m->lock);
  pthread_cond_destroy(&m->room);
  host_side_free(&m->a);
  host_side_free(&m->b);
  host_redis_wipe(&m->found);
  host_match_free_names(&m->given);
  free(m->dbs);
  m->dbs = NULL;
}
