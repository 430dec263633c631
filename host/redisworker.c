/*
** redisworker.c - a worker of the keyspace copier, on a thread of its own with one connection to either side: it scans, or
** takes a round of keys, and copies it. A round whose connection breaks is done again on a new one, as long as the
** patience lasts: whatever of it was written is written once more.
*/
#include "host.h"
#include "redisworker.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEYS 10000000                    /* of one answer to SCAN; COUNT is 100,000 at most */
#define FEW_KEYS 64                          /* a round while the source is spared, and at least */
#define ROUND_BYTES (16 << 20)               /* a round is smaller than told if its values, by the size of the last ones, come to more */

/* --- scanning -------------------------------------------------------------------------------------------------- */

/* The answer to SCAN as a round; NULL: failed. */
static MoveRound *read_scan (Worker *w) {
  MoveRound *r;
  long long n;
  size_t k;
  char *text, cursor[MOVE_CURSOR];
  if (host_end_number(&w->from, '*', "SCAN", &n) != 0 || (text = host_end_string(&w->from, "SCAN", MOVE_CURSOR - 1, &k)) == NULL) return NULL;
  snprintf(cursor, sizeof cursor, "%.*s", (int)k, text);
  if (host_end_number(&w->from, '*', "SCAN", &n) != 0) return NULL;
  if (n < 0 || n > MAX_KEYS) {
    host_end_nonsense(&w->from, "SCAN");
    return NULL;
  }
  if ((r = host_plan_round((size_t)n, (size_t)n * 32)) == NULL) {
    host_redis_fail(&w->fail, "limit", "memory", 0, "no memory for the copy's buffers");
    return NULL;
  }
  memcpy(r->after, cursor, sizeof cursor);
  for (; r->count < (size_t)n; r->count++) {
    if ((text = host_end_string(&w->from, "SCAN", WORK_MAX_KEY, &k)) == NULL || host_redis_put(&w->fail, &r->names, text, k) != 0) {
      host_plan_free_round(r);
      return NULL;
    }
    r->ends[r->count] = r->names.n;
  }
  return r;
}

/* How many keys the next round should have: what a kill in the middle of it costs is bounded by their bytes. */
static int round_keys (const Worker *w) {
  long long most = w->mean > 0 ? ROUND_BYTES / w->mean : w->m->batch;
  if (most < FEW_KEYS || atomic_load(&w->m->share) > 0 || atomic_load(&w->m->rate) > 0) most = FEW_KEYS;
  return most < w->m->batch ? (int)most : w->m->batch;
}

static MoveRound *scan (Worker *w, const MoveSegment *s) {
  char number[16];
  snprintf(number, sizeof number, "%d", round_keys(w));
  if (host_work_source(w, s->db) != 0 || host_work_ask(w, "*4\r\n$4\r\nSCAN\r\n", s->cursor, strlen(s->cursor)) != 0
      || host_work_ask(w, "$5\r\nCOUNT\r\n", number, strlen(number)) != 0 || host_end_write(&w->from) != 0) return NULL;
  atomic_fetch_add(&w->m->asked, 1);
  return read_scan(w);
}

/* --- a worker -------------------------------------------------------------------------------------------------- */

/* On new connections: what the target had not answered is read and written again. */
static int redo_last (Worker *w) {
  MoveRound *r = w->r, *last = w->last;
  int rc;
  if (last == NULL) return 0;
  w->r = last;
  w->last = NULL;
  rc = host_work_round(w);
  if (w->r != NULL) w->last = last;          /* it was not read to its end */
  w->r = r;
  return rc;
}

static int open_ends (Worker *w) {
  if (w->open) return 0;
  w->from_db = w->to_db = -1;
  w->asked.at = w->asked.n = w->last_asked = 0;
  if (host_end_open(&w->from) != 0 || host_end_open(&w->to) != 0) return -1;
  w->open = 1;
  return redo_last(w);
}

static void drop_ends (Worker *w) {
  host_end_close(&w->from);
  host_end_close(&w->to);
  w->open = 0;
}

/* After a failure: 1 when it is to be tried again, after a pause. */
static int again (Worker *w, long long *lost, int *pause) {
  struct pollfd q = { .fd = w->m->cancel_fd, .events = POLLIN, .revents = 0 };
  long long now = host_work_now(), left;
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

static int try_it (Worker *w, MoveSegment *s) {
  if (open_ends(w) != 0) return -1;
  if (s != NULL) return (w->r = scan(w, s)) != NULL ? 0 : -1;
  return w->r != NULL ? host_work_round(w) : host_work_finish(w);
}

/* Scans, or copies the round in hand, or without one sees the last to its end, as often as it takes. */
static int do_it (Worker *w, MoveSegment *s) {
  long long lost = 0;
  int pause = 50;
  while (try_it(w, s) != 0)
    if (!again(w, &lost, &pause)) return -1;
  return 0;
}

static int next_thing (Worker *w) {
  MoveSegment *s;
  int what = host_plan_next(w->m, &w->r, &s, w->last == NULL);
  if (what == 0) return 0;
  if (what < 0) return do_it(w, NULL) == 0 ? 1 : -1;
  if (what == 2) {
    if (do_it(w, s) != 0) {
      w->r = NULL;
      host_plan_scanned(w->m, s, NULL);
      return -1;
    }
    host_plan_scanned(w->m, s, w->r);
  }
  return do_it(w, NULL) == 0 ? 1 : -1;
}

/* A round of a segment is the segment's. */
static void free_given (MoveRound *r) {
  if (r != NULL && r->segment == NULL) host_plan_free_round(r);
}

void host_move_work (Move *m) {
  Worker w = { .m = m };
  int rc;
  w.from = (RedisEnd){ .side = &m->from, .fail = &w.fail, .cancel_fd = m->cancel_fd, .stall = m->stall,
                       .pump = host_work_pump_source, .owner = &w };
  w.to = (RedisEnd){ .side = &m->to, .fail = &w.fail, .cancel_fd = m->cancel_fd, .stall = m->stall };
  host_stream_init(&w.from.s);
  host_stream_init(&w.to.s);
  while ((rc = next_thing(&w)) > 0) { }
  if (rc < 0) host_plan_stop(m, &w.fail);
  free_given(w.r);
  free_given(w.last);
  host_end_free(&w.from);
  host_end_free(&w.to);
  free(w.asked.p);
  free(w.expiry);
  free(w.dumps);
}
