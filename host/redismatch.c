/*
** redismatch.c - compares the keys of two servers (redismatch.h). SCAN at the first gives names; both are asked when they
** expire, for their values as strings, many at a time (MGET), and for the DUMPs of what is no string. Equal payloads are
** equal values, and they are compared as they arrive, so that memory does not depend on their size. Other payloads may
** still hold equal values (another order in a hash table, another encoding): those keys are suspects, and compared by value
** now and then. Once a payload has another version at its end, or is refused, no more are asked for, and all are suspects.
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

#define MAX_KEYS 10000000                    /* of one answer to SCAN; COUNT is 100,000 at most */
#define FIRST_ROUND 16
#define ROUND_BYTES (4LL << 20)              /* that a round should ask for, by the size of the last one's values */
#define SUSPECTS 1000

/* --- questions ------------------------------------------------------------------------------------------------- */

static int ask (RedisEnd *e, const char *head, const char *word, size_t n) {
  return host_redis_text(e->fail, &e->out, head) != 0 || host_redis_word(e->fail, &e->out, word, n) != 0 ? -1 : 0;
}

static int ask_scan (Matcher *w, RedisEnd *e, const char *cursor) {
  char number[16];
  snprintf(number, sizeof number, "%d", w->round);
  return ask(e, "*4\r\n$4\r\nSCAN\r\n", cursor, strlen(cursor)) != 0 || ask(e, "$5\r\nCOUNT\r\n", number, strlen(number)) != 0 ? -1 : 0;
}

/* One question for each key. */
static int ask_each (RedisEnd *e, const char *head, const MatchNames *names) {
  const char *key;
  size_t i;
  for (i = 0; i < names->count; i++) {
    size_t n = host_match_key(names, i, &key);
    if (ask(e, head, key, n) != 0) return -1;
  }
  return 0;
}

static int ask_strings (RedisEnd *e, const MatchNames *names) {
  char head[40];
  const char *key;
  size_t i;
  snprintf(head, sizeof head, "*%zu\r\n$4\r\nMGET\r\n", names->count + 1);
  if (host_redis_text(e->fail, &e->out, head) != 0) return -1;
  for (i = 0; i < names->count; i++) {
    size_t n = host_match_key(names, i, &key);
    if (host_redis_word(e->fail, &e->out, key, n) != 0) return -1;
  }
  return 0;
}

static int ask_keys (const Match *m, RedisEnd *e, const MatchNames *names, int strings) {
  if (names->expires && ((!m->exact && host_redis_text(e->fail, &e->out, "*1\r\n$4\r\nTIME\r\n") != 0)
      || ask_each(e, m->exact ? "*2\r\n$11\r\nPEXPIRETIME\r\n" : "*2\r\n$4\r\nPTTL\r\n", names) != 0)) return -1;
  if (strings && ask_strings(e, names) != 0) return -1;
  if (names->dumps && ask_each(e, "*2\r\n$4\r\nDUMP\r\n", names) != 0) return -1;
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
    if ((text = host_end_string(e, "SCAN", MATCH_MAX_KEY, &k)) == NULL) return -1;
    if (names == NULL) w->sum_b += host_match_hash(w->m, 0, text, k);
    else if (host_match_add(w, names, text, k) != 0) return -1;
  }
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

/* The keys of a turn: those asked for as strings, and those asked for by DUMP: all others, or what was no string. */
typedef struct Turn {
  MatchNames gets, dumps;
} Turn;

static MatchNames *first_list (Matcher *w, Turn *t) {
  return w->m->strings ? &t->gets : &t->dumps;
}

static int ask_names (Matcher *w, MatchNames *names, int strings) {
  int by_value = atomic_load(&w->m->by_value);
  if (names->count == 0) return 0;
  names->dumps = !strings && !by_value;
  names->expires = !names->timed && (w->db->expires || by_value);      /* without payloads it tells whether the key is there */
  return ask_keys(w->m, &w->a, names, strings) != 0 || ask_keys(w->m, &w->b, names, strings) != 0 ? -1 : 0;
}

static int ask_turn (Matcher *w, Turn *t) {
  return ask_names(w, &t->dumps, 0) != 0 || ask_names(w, &t->gets, 1) != 0 ? -1 : 0;
}

/* Its answers; what was no string is in t->dumps then. */
static int read_turn (Matcher *w, Turn *t) {
  long long before = atomic_load(&w->m->bytes), count = (long long)first_list(w, t)->count, each, most;
  if (host_match_names(w, &t->dumps) != 0 || host_match_strings(w, &t->gets, &t->dumps) != 0) return -1;
  if (count == 0) return 0;
  each = (atomic_load(&w->m->bytes) - before) / count + 1;
  most = w->m->batch < 4 * w->round ? w->m->batch : 4 * w->round;
  w->round = (int)(ROUND_BYTES / each < 1 ? 1 : ROUND_BYTES / each > most ? most : ROUND_BYTES / each);
  return 0;
}

/* Reads the values of the suspects, when no other answer is under way. */
static int match_suspects (Matcher *w, Turn *asked) {
  return read_turn(w, asked) != 0 || ask_names(w, &asked->dumps, 0) != 0 || host_match_names(w, &asked->dumps) != 0
      || host_match_values(w) != 0 ? -1 : 0;
}

static int is_open (const Turn *t) {
  return t->gets.count > 0 || t->dumps.count > 0;
}

/* While answers are read the next questions are already with the servers: a SCAN before the keys of the last one. */
static int match_db (Matcher *w, Turn *next, Turn *asked) {
  char cursor_a[24] = "0", cursor_b[24] = "0";
  int more_a = !w->m->has_given, more_b = more_a, rc = select_db(w);
  Turn kept;
  w->sum_a = w->sum_b = 0;
  if (w->m->has_given) host_match_swap(first_list(w, next), &w->m->given);
  while (rc == 0 && (more_a || more_b || is_open(next) || is_open(asked))) {
    if (w->suspects.count >= SUSPECTS && (rc = match_suspects(w, asked)) != 0) break;
    if ((more_a && ask_scan(w, &w->a, cursor_a) != 0) || (more_b && ask_scan(w, &w->b, cursor_b) != 0) || ask_turn(w, next) != 0
        || read_turn(w, asked) != 0 || (more_a && read_scan(w, &w->a, cursor_a, first_list(w, asked)) != 0)
        || (more_b && read_scan(w, &w->b, cursor_b, NULL) != 0)) rc = -1;
    more_a = more_a && strcmp(cursor_a, "0") != 0;
    more_b = more_b && strcmp(cursor_b, "0") != 0;
    kept = *next;                            /* what was asked is under way, what was found is to be asked */
    *next = *asked;
    *asked = kept;
  }
  if (rc == 0) rc = host_match_values(w);
  if (rc == 0 && !w->m->has_given && w->sum_a != w->sum_b) rc = host_match_tell(w, MATCH_NAMES, "", 0, MATCH_NEVER, MATCH_NEVER);
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
  Turn next = { .gets = { .count = 0 } }, asked = next;
  int i, rc;
  end_init(&w, &w.a, &m->a);
  end_init(&w, &w.b, &m->b);
  rc = host_end_open(&w.a) != 0 || host_end_open(&w.b) != 0 ? -1 : 0;
  for (i = 0; rc == 0 && i < m->db_count; i++) {
    w.db = &m->dbs[i];
    rc = match_db(&w, &next, &asked);
  }
  m->fail = w.fail;
  host_match_free_names(&next.gets);
  host_match_free_names(&next.dumps);
  host_match_free_names(&asked.gets);
  host_match_free_names(&asked.dumps);
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
