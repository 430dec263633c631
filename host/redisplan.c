/*
** redisplan.c - what a copy of a keyspace has to do, and what is done: segments, rounds, slices (redismove.h). All
** workers share it under one lock, which nobody holds while he talks to a server.
*/
#include "host.h"
#include "redismove.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SLICE_BYTES (16 << 20)               /* a slice may end here, however few its keys */

int host_plan_init (Move *m) {
  int rc = pthread_mutex_init(&m->lock, NULL);
  if (rc != 0) return rc;
  rc = pthread_cond_init(&m->changed, NULL);
  if (rc != 0) {
    (void)pthread_mutex_destroy(&m->lock);
    return rc;
  }
  m->from.name = "source";
  m->to.name = "target";
  m->given_last = &m->given;
  m->slices_last = &m->slices;
  m->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return m->cancel_fd < 0 ? errno : 0;
}

static void free_rounds (MoveRound *r) {
  while (r != NULL) {
    MoveRound *next = r->next;
    host_plan_free_round(r);
    r = next;
  }
}

#define FREE_LIST(type, list) \
  for (type *at = (list), *next; at != NULL; at = next) { next = at->next; free(at); }

void host_plan_free (Move *m) {
  host_side_free(&m->from);
  host_side_free(&m->to);
  for (MoveSegment *s = m->segments; s != NULL; s = s->next) free_rounds(s->first);
  free_rounds(m->given);
  FREE_LIST(MoveSegment, m->segments)
  FREE_LIST(MoveSlice, m->slices)
  FREE_LIST(MoveRefused, m->refused)
  if (m->cancel_fd >= 0) (void)close(m->cancel_fd);
  (void)pthread_cond_destroy(&m->changed);
  (void)pthread_mutex_destroy(&m->lock);
}

static MoveSegment *add_segment (Move *m, int db, const char *cursor, const char *stop) {
  MoveSegment *s = calloc(1, sizeof *s), **at = &m->segments;
  if (s == NULL) return NULL;
  s->db = db;
  s->expires = 1;
  s->last = &s->first;
  snprintf(s->cursor, sizeof s->cursor, "%s", cursor);
  snprintf(s->start, sizeof s->start, "%s", cursor);
  snprintf(s->stop, sizeof s->stop, "%s", stop);
  while (*at != NULL) at = &(*at)->next;
  *at = s;
  return s;
}

MoveSegment *host_plan_segment (Move *m, int db, const char *cursor, const char *stop) {
  MoveSegment *s;
  (void)pthread_mutex_lock(&m->lock);
  s = add_segment(m, db, cursor, stop);
  (void)pthread_mutex_unlock(&m->lock);
  return s;
}

MoveRound *host_plan_round (size_t count, size_t bytes) {
  MoveRound *r = calloc(1, sizeof *r);
  if (r == NULL) return NULL;
  r->ends = malloc((count + 1) * sizeof *r->ends);
  r->names.cap = bytes + 1;                  /* a key may be the empty string */
  r->names.p = malloc(r->names.cap);
  if (r->ends != NULL && r->names.p != NULL) return r;
  host_plan_free_round(r);
  return NULL;
}

void host_plan_free_round (MoveRound *r) {
  free(r->names.p);
  free(r->to_names.p);
  free(r->ends);
  free(r->to_ends);
  free(r->expiry);
  free(r);
}

void host_plan_give (Move *m, MoveRound *r) {
  (void)pthread_mutex_lock(&m->lock);
  *m->given_last = r;
  m->given_last = &r->next;
  (void)pthread_cond_broadcast(&m->changed);
  (void)pthread_mutex_unlock(&m->lock);
}

void host_plan_enough (Move *m) {
  (void)pthread_mutex_lock(&m->lock);
  m->open = 0;
  (void)pthread_cond_broadcast(&m->changed);
  (void)pthread_mutex_unlock(&m->lock);
}

void host_plan_stop (Move *m, const RedisFail *why) {
  const uint64_t one = 1;
  ssize_t n;
  (void)pthread_mutex_lock(&m->lock);
  if (why != NULL && m->fail.kind[0] == '\0') m->fail = *why;
  m->stopped = 1;
  (void)pthread_cond_broadcast(&m->changed);
  (void)pthread_mutex_unlock(&m->lock);
  n = write(m->cancel_fd, &one, sizeof one);
  (void)n;                                   /* the counter is full only when it is already set */
}

size_t host_plan_name (const RedisBuf *names, const size_t *ends, size_t i, const char **at) {
  size_t from = i > 0 ? ends[i - 1] : 0;
  *at = names->p + from;
  return ends[i] - from;
}

int host_plan_refuse (Move *m, const MoveRound *r, size_t i, const char *code, const char *line, size_t n) {
  const char *key, *to;
  size_t key_n = host_plan_name(&r->names, r->ends, i, &key), to_n = key_n;
  MoveRefused *f;
  to = key;
  if (r->to_ends != NULL) to_n = host_plan_name(&r->to_names, r->to_ends, i, &to);
  f = calloc(1, sizeof *f + key_n + to_n);
  if (f == NULL) return -1;
  f->db = r->db;
  f->to_db = r->to_db;
  f->key_n = key_n;
  f->to_n = to_n;
  memcpy(f->names, key, key_n);
  memcpy(f->names + key_n, to, to_n);
  snprintf(f->code, sizeof f->code, "%s", code);
  snprintf(f->message, sizeof f->message, "%.*s", (int)n, line);
  (void)pthread_mutex_lock(&m->lock);
  f->next = m->refused;
  m->refused = f;
  (void)pthread_mutex_unlock(&m->lock);
  return 0;
}

/* --- what is next ---------------------------------------------------------------------------------------------- */

/* The first segment that a worker may scan now. *waits: there is one, but another worker is about it. */
static MoveSegment *free_segment (Move *m, int *waits) {
  MoveSegment *s;
  for (s = m->segments; s != NULL; s = s->next) {
    if (!s->scanned && !s->scanning) return s;
    if (!s->scanned) *waits = 1;
    if (m->in_turn && (!s->scanned || s->first != NULL)) {
      *waits = 1;
      return NULL;
    }
  }
  return NULL;
}

int host_plan_next (Move *m, MoveRound **round, MoveSegment **segment, int wait) {
  int what = 0;
  (void)pthread_mutex_lock(&m->lock);
  for (;;) {
    int waits = 0;
    if (m->stopped) break;
    if ((*round = m->given) != NULL) {
      m->given = (*round)->next;
      if (m->given == NULL) m->given_last = &m->given;
      (*round)->next = NULL;
      what = 1;
    } else if ((*segment = free_segment(m, &waits)) != NULL) {
      (*segment)->scanning = 1;
      what = 2;
    }
    if (what != 0) {
      m->busy++;
      break;
    }
    if (!waits && m->busy == 0 && !m->open) break;       /* rounds under way may yet add a segment */
    if (!wait) {
      what = -1;
      break;
    }
    (void)pthread_cond_wait(&m->changed, &m->lock);
  }
  if (what == 0) (void)pthread_cond_broadcast(&m->changed);
  (void)pthread_mutex_unlock(&m->lock);
  return what;
}

void host_plan_scanned (Move *m, MoveSegment *s, MoveRound *r) {
  (void)pthread_mutex_lock(&m->lock);
  s->scanning = 0;
  if (r != NULL) {
    r->segment = s;
    r->db = r->to_db = s->db;
    r->expires = s->expires;
    r->check = s->check;
    memcpy(s->cursor, r->after, sizeof s->cursor);
    s->scanned = strcmp(s->cursor, s->stop) == 0 || strcmp(s->cursor, "0") == 0;
    *s->last = r;
    s->last = &r->next;
  } else {
    m->busy--;
  }
  (void)pthread_cond_broadcast(&m->changed);
  (void)pthread_mutex_unlock(&m->lock);
}

/* --- what is done ---------------------------------------------------------------------------------------------- */

static int end_slice (Move *m, MoveSegment *s, const char *stop) {
  MoveSlice *slice = calloc(1, sizeof *slice);
  if (slice == NULL) return -1;
  slice->db = s->db;
  memcpy(slice->start, s->start, sizeof slice->start);
  memcpy(slice->stop, stop, sizeof slice->stop);
  slice->keys = s->keys;
  slice->digest = s->digest;
  *m->slices_last = slice;
  m->slices_last = &slice->next;
  memcpy(s->start, stop, sizeof s->start);
  s->keys = s->bytes = 0;
  s->digest = 0;
  return 0;
}

/* A segment whose digest is not what it was, or whose scan did not come by its end, is copied. */
static int end_check (Move *m, MoveSegment *s) {
  MoveSegment *again;
  if (strcmp(s->cursor, s->stop) == 0 && s->digest == s->want) {
    atomic_fetch_add(&m->checked, s->keys);
    return end_slice(m, s, s->stop);
  }
  again = add_segment(m, s->db, s->start, s->stop);
  if (again == NULL) return -1;
  again->expires = s->expires;
  return 0;
}

/* Takes the rounds from the segment's head that have ended. */
static int take_ended (Move *m, MoveSegment *s) {
  int rc = 0;
  MoveRound *r;
  while (rc == 0 && (r = s->first) != NULL && r->done) {
    int end = s->scanned && r->next == NULL;
    s->keys += r->keys;
    s->bytes += r->bytes;
    s->digest += r->digest;
    s->first = r->next;
    if (s->first == NULL) s->last = &s->first;
    if (s->check) { if (end) rc = end_check(m, s); }
    else if (end || s->keys >= m->slice || s->bytes >= SLICE_BYTES) rc = end_slice(m, s, r->after);
    host_plan_free_round(r);
  }
  return rc;
}

int host_plan_done (Move *m, MoveRound *r) {
  MoveSegment *s = r->segment;
  int rc = 0, idle;
  (void)pthread_mutex_lock(&m->lock);
  r->done = 1;
  m->busy--;
  if (s != NULL) rc = take_ended(m, s);
  else host_plan_free_round(r);
  idle = m->open && m->busy == 0 && m->given == NULL;
  (void)pthread_cond_broadcast(&m->changed);
  (void)pthread_mutex_unlock(&m->lock);
  if (idle) m->idle(m->idle_arg);
  return rc;
}

/* --- the limit ------------------------------------------------------------------------------------------------- */

/* A round that took the source so long is followed by a pause as long as the share of the others demands. */
int host_plan_pace (Move *m, long long took, long long keys) {
  int share = atomic_load(&m->share), rate = atomic_load(&m->rate);
  long long now, pause = 0;
  struct timespec t;
  if (share <= 0 && rate <= 0) return 0;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  now = t.tv_sec * 1000000000LL + t.tv_nsec;
  if (share > 0 && share < 1000) pause = took * (1000 - share) / share;
  if (rate > 0 && keys * 1000000000LL / rate - took > pause) pause = keys * 1000000000LL / rate - took;
  (void)pthread_mutex_lock(&m->lock);
  m->free_at = (m->free_at > now ? m->free_at : now) + pause;
  pause = m->free_at - now;
  (void)pthread_mutex_unlock(&m->lock);
  return (int)((pause + 500000) / 1000000);
}
