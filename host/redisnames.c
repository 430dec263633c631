/*
** redisnames.c - what redismatch.c and redisvalue.c share: telling what was found, lists of names, digests, and reading the
** answers of two servers, of which one is waited for while both are sent what they are asked.
*/
#include "host.h"
#include "redismatch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define FOUND_BYTES ((size_t)1 << 20)        /* that may wait to be taken */

/* --- what is told ---------------------------------------------------------------------------------------------- */

int host_match_tell (Matcher *w, char what, const char *key, size_t n, long long a, long long b) {
  Match *m = w->m;
  MatchFound found = { .a = a, .b = b, .key_n = n, .db = w->db->db, .what = what };
  int rc = 0;
  pthread_mutex_lock(&m->lock);
  while (m->found.n - m->found.at > FOUND_BYTES && !m->stopped) pthread_cond_wait(&m->room, &m->lock);
  if (host_redis_put(&w->fail, &m->found, &found, sizeof found) != 0 || host_redis_put(&w->fail, &m->found, key, n) != 0) rc = -1;
  pthread_mutex_unlock(&m->lock);
  m->told(m->told_arg);
  return rc;
}

/* --- names ----------------------------------------------------------------------------------------------------- */

int host_match_add (Matcher *w, MatchNames *names, const char *key, size_t n) {
  if (names->count == names->cap) {
    size_t cap = names->cap > 0 ? 2 * names->cap : 256, *ends = realloc(names->ends, cap * sizeof *ends);
    long long (*at)[2] = ends != NULL ? realloc(names->at, cap * sizeof *at) : NULL;
    if (ends != NULL) names->ends = ends;
    if (at == NULL) return host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the names of keys");
    names->at = at;
    names->cap = cap;
  }
  if (host_redis_room(&w->fail, &names->bytes, n + 1) != 0) return -1;           /* a key may be the empty string */
  (void)host_redis_put(&w->fail, &names->bytes, key, n);
  names->ends[names->count++] = names->bytes.n;
  return 0;
}

size_t host_match_key (const MatchNames *names, size_t i, const char **key) {
  size_t from = i > 0 ? names->ends[i - 1] : 0;
  *key = names->bytes.p + from;
  return names->ends[i] - from;
}

void host_match_clear (MatchNames *names) {
  names->bytes.at = names->bytes.n = names->count = 0;
  names->timed = 0;
}

void host_match_free_names (MatchNames *names) {
  host_redis_wipe(&names->bytes);
  free(names->ends);
  free(names->at);
  memset(names, 0, sizeof *names);
}

void host_match_swap (MatchNames *a, MatchNames *b) {
  MatchNames kept = *a;
  *a = *b;
  *b = kept;
}

/* Two numbers of 64 bits become one that depends on all their bits. */
static uint64_t fold (uint64_t a, uint64_t b) {
  unsigned __int128 both = (unsigned __int128)a * b;
  return (uint64_t)both ^ (uint64_t)(both >> 64);
}

uint64_t host_match_hash (const Match *m, uint64_t h, const char *p, size_t n) {
  uint64_t word[2] = { 0, n };
  h = fold(h ^ m->secret[1], n ^ m->secret[0]);
  for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
    memcpy(word, p, sizeof word);
    h = fold(word[0] ^ m->secret[0] ^ h, word[1] ^ m->secret[1]);
  }
  memset(word, 0, sizeof word);
  memcpy(word, p, n);
  h = fold(word[0] ^ m->secret[0] ^ h, word[1] ^ m->secret[1]);
  return fold(h ^ m->secret[0], m->secret[1]);
}

/* --- reading --------------------------------------------------------------------------------------------------- */

/* Sends meanwhile what both sides are asked. */
int host_match_pump (RedisEnd *e) {
  Matcher *w = e->owner;
  RedisEnd *other = e == &w->a ? &w->b : &w->a;
  struct pollfd q[3] = {
    { .fd = e->s.fd, .events = (short)(e->read_want | (e->out.at < e->out.n ? e->write_want : 0)), .revents = 0 },
    { .fd = other->out.at < other->out.n ? other->s.fd : -1, .events = (short)other->write_want, .revents = 0 },
    { .fd = w->m->cancel_fd, .events = POLLIN, .revents = 0 } };
  int n;
  do n = poll(q, 3, w->m->stall); while (n < 0 && errno == EINTR);
  if (n < 0) return host_redis_fail(&w->fail, "io", "poll", 0, "cannot wait: %s", strerror(errno));
  if (n == 0) return host_redis_fail(&w->fail, "timeout", "stalled", 1, "%s: no byte for %d seconds", e->side->name, w->m->stall / 1000);
  if (q[2].revents != 0) return host_redis_fail(&w->fail, "cancelled", "cancelled", 0, "the comparison was cancelled");
  if (q[1].revents != 0 && host_end_write(other) != 0) return -1;
  if (q[0].revents == 0) return 0;
  if (e->out.at < e->out.n && host_end_write(e) != 0) return -1;
  return host_end_read(e);
}
