/*
** redismove.c - copies the keyspace of one Redis server to another: SCAN, then for each key PEXPIRETIME and DUMP at the
** source, RESTORE ... REPLACE ABSTTL at the target, both pipelined, over two non-blocking streams in one poll loop.
**
** A payload goes from the source's input straight into the target's output as it arrives, so memory is bounded by the
** window, whatever the largest value is. While one round's payloads are read the next SCAN is already on its way.
** Expiry is the source's own absolute time in milliseconds; servers before 7.0 lack PEXPIRETIME, there it is TIME +
** PTTL, which may be off by the length of a round.
*/
#include "host.h"
#include "redismove.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE ((size_t)256 * 1024)
#define SHOWN_KEY 63                         /* bytes of a key that an error shows */
#define MAX_LINE 65536                       /* a reply line longer than this is no Redis protocol */
#define MAX_KEY ((size_t)512 << 20)          /* Redis's own limit of a string */
#define MAX_KEYS 10000000                    /* of one answer to SCAN; COUNT is 100,000 at most */

typedef struct Waiting { unsigned char n; char key[SHOWN_KEY]; } Waiting;

__attribute__((format(printf, 5, 6)))
static int move_fail (Move *m, const char *kind, const char *code, int retry, const char *fmt, ...) {
  va_list ap;
  if (m->kind[0] != '\0') return -1;         /* the first failure is the cause */
  va_start(ap, fmt);
  vsnprintf(m->message, sizeof m->message, fmt, ap);
  va_end(ap);
  snprintf(m->kind, sizeof m->kind, "%s", kind);
  snprintf(m->code, sizeof m->code, "%s", code);
  m->retry = retry;
  return -1;
}

static const char *end_name (const Move *m, const MoveEnd *e) {
  return e == &m->from ? "source" : "target";
}

static int fail_end (Move *m, MoveEnd *e) {
  return move_fail(m, e->s.kind, e->s.code, e->s.retry, "%s: %s", end_name(m, e), e->s.message);
}

/* An error line "-CODE text" from one end. */
size_t host_redis_said (const char *line, size_t n) {
  const char *arguments = memmem(line, n, ", with args", 11);
  return arguments != NULL ? (size_t)(arguments - line) : n;
}

static int fail_remote (Move *m, MoveEnd *e, const char *what, const char *line, size_t n) {
  char code[40];
  size_t k = 0;
  if (n > 0 && line[0] == '-') line++, n--;
  n = host_redis_said(line, n);
  while (k < n && k < sizeof code - 1 && line[k] != ' ') k++;
  memcpy(code, line, k);
  code[k] = '\0';
  return move_fail(m, "remote", code, 0, "%s: %s: %.*s", end_name(m, e), what, (int)n, line);
}

/* --- buffers --------------------------------------------------------------------------------------------------- */

static int buf_room (Move *m, MoveBuf *b, size_t k) {
  char *p;
  size_t cap;
  if (b->at > 0 && b->n + k > b->cap) {
    memmove(b->p, b->p + b->at, b->n - b->at);
    b->n -= b->at;
    b->at = 0;
  }
  if (b->n + k <= b->cap) return 0;
  cap = b->n + k + (b->n + k) / 2;
  p = realloc(b->p, cap);
  if (p == NULL) return move_fail(m, "limit", "memory", 0, "no memory for the copy's buffers");
  b->p = p;
  b->cap = cap;
  return 0;
}

static int buf_put (Move *m, MoveBuf *b, const void *bytes, size_t n) {
  if (buf_room(m, b, n) != 0) return -1;
  memcpy(b->p + b->n, bytes, n);
  b->n += n;
  return 0;
}

static int buf_text (Move *m, MoveBuf *b, const char *text) {
  return buf_put(m, b, text, strlen(text));
}

/* One word of a command: $n CRLF bytes CRLF. */
static int buf_word (Move *m, MoveBuf *b, const void *bytes, size_t n) {
  char head[32];
  int k = snprintf(head, sizeof head, "$%zu\r\n", n);
  if (buf_room(m, b, (size_t)k + n + 2) != 0) return -1;
  memcpy(b->p + b->n, head, (size_t)k);
  memcpy(b->p + b->n + k, bytes, n);
  memcpy(b->p + b->n + (size_t)k + n, "\r\n", 2);
  b->n += (size_t)k + n + 2;
  return 0;
}

/* --- moving bytes ---------------------------------------------------------------------------------------------- */

static int end_write (Move *m, MoveEnd *e) {
  while (e->out.at < e->out.n) {
    long n = host_stream_write(&e->s, e->out.p + e->out.at, e->out.n - e->out.at);
    if (n < 0) return fail_end(m, e);
    if (n == 0) {
      e->write_want = e->s.want;
      return 0;
    }
    e->out.at += (size_t)n;
  }
  e->out.at = e->out.n = 0;
  e->write_want = POLLOUT;
  return 0;
}

static int end_read (Move *m, MoveEnd *e) {
  size_t got = 0;
  e->read_want = POLLIN;
  while (got < 2 * READ_SIZE) {
    long n;
    if (buf_room(m, &e->in, READ_SIZE) != 0) return -1;
    n = host_stream_read(&e->s, e->in.p + e->in.n, e->in.cap - e->in.n);
    if (n < 0) return fail_end(m, e);
    if (n == 0) {
      e->read_want = e->s.want;
      return 0;
    }
    e->in.n += (size_t)n;
    got += (size_t)n;
  }
  return 0;
}

/* The target's answers: one line for each command in `waiting`. */
static int drain_target (Move *m) {
  MoveBuf *b = &m->to.in;
  while (b->at < b->n) {
    char *line = b->p + b->at, *end = memchr(line, '\n', b->n - b->at);
    Waiting w;
    if (end == NULL) {
      if (b->n - b->at > MAX_LINE) return move_fail(m, "protocol", "protocol", 0, "target: an endless line");
      break;
    }
    if (m->waiting.n - m->waiting.at < sizeof w)
      return move_fail(m, "protocol", "protocol", 0, "target: an answer to no question");
    memcpy(&w, m->waiting.p + m->waiting.at, sizeof w);
    if (*line != '+') {
      char what[SHOWN_KEY + 32];
      if (w.n > 0) snprintf(what, sizeof what, "RESTORE of key \"%.*s\"", (int)w.n, w.key);
      else snprintf(what, sizeof what, "SELECT");
      return fail_remote(m, &m->to, what, line, (size_t)(end - line) - (end > line && end[-1] == '\r'));
    }
    m->waiting.at += sizeof w;
    b->at += (size_t)(end - line) + 1;
  }
  if (b->at == b->n) b->at = b->n = 0;
  return 0;
}

static int waiting_put (Move *m, const char *key, size_t n) {
  Waiting w;
  memset(&w, 0, sizeof w);
  w.n = (unsigned char)(n < SHOWN_KEY ? n : SHOWN_KEY);
  memcpy(w.key, key, w.n);
  return buf_put(m, &m->waiting, &w, sizeof w);
}

/* Waits until something moved, and moves it. Reads the source only when asked to and the window has room. */
static int pump (Move *m, int from_too) {
  MoveEnd *f = &m->from, *t = &m->to;
  int reading = from_too && t->out.n - t->out.at < m->window;
  struct pollfd q[3] = {
    { .fd = f->s.fd, .events = 0, .revents = 0 }, { .fd = t->s.fd, .events = 0, .revents = 0 },
    { .fd = m->cancel_fd, .events = POLLIN, .revents = 0 } };
  int n;
  q[0].events = (short)((reading ? f->read_want : 0) | (f->out.at < f->out.n ? f->write_want : 0));
  q[1].events = (short)(t->read_want | (t->out.at < t->out.n ? t->write_want : 0));
  if (q[0].events == 0) q[0].fd = -1;        /* else a closed source would wake us for ever */
  do n = poll(q, 3, m->stall); while (n < 0 && errno == EINTR);
  if (n < 0) return move_fail(m, "io", "poll", 0, "cannot wait: %s", strerror(errno));
  if (n == 0) return move_fail(m, "timeout", "stalled", 1, "no byte moved for %d seconds", m->stall / 1000);
  if (q[2].revents != 0) return move_fail(m, "cancelled", "cancelled", 0, "the copy was cancelled");
  if (q[0].revents != 0 && f->out.at < f->out.n && end_write(m, f) != 0) return -1;
  if (q[1].revents != 0 && t->out.at < t->out.n && end_write(m, t) != 0) return -1;
  if (q[0].revents != 0 && reading && end_read(m, f) != 0) return -1;
  if (q[1].revents != 0 && (end_read(m, t) != 0 || drain_target(m) != 0)) return -1;
  return 0;
}

/* --- reading the source's replies ------------------------------------------------------------------------------ */

/* The next line, without its CRLF, NUL-ended; valid until the next read. NULL: failed. */
static char *next_line (Move *m) {
  MoveBuf *b = &m->from.in;
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
      move_fail(m, "protocol", "protocol", 0, "source: an endless line");
      return NULL;
    }
    if (pump(m, 1) != 0) return NULL;
  }
}

/* A line that starts with `mark`, as a number. */
static int next_number (Move *m, char mark, const char *what, long long *v) {
  char *line = next_line(m);
  if (line == NULL) return -1;
  if (line[0] == '-') return fail_remote(m, &m->from, what, line, strlen(line));
  if (line[0] != mark) return move_fail(m, "protocol", "protocol", 0, "source: %s: unexpected answer", what);
  *v = strtoll(line + 1, NULL, 10);
  return 0;
}

/* A bulk string of n bytes and its CRLF; NULL: failed. Valid until the next read. */
static char *next_bytes (Move *m, size_t n) {
  MoveBuf *b = &m->from.in;
  if (n > MAX_KEY) {                         /* a negative length, too */
    move_fail(m, "protocol", "protocol", 0, "source: a string of impossible length");
    return NULL;
  }
  while (b->n - b->at < n + 2)
    if (pump(m, 1) != 0) return NULL;
  b->at += n + 2;
  return b->p + b->at - n - 2;
}

/* Moves n bytes of the source's input into the target's output, a window at a time. */
static int move_bytes (Move *m, size_t n) {
  MoveBuf *b = &m->from.in;
  while (n > 0) {
    size_t k = b->n - b->at < n ? b->n - b->at : n;
    if (k == 0 || m->to.out.n - m->to.out.at >= m->window) {
      if (pump(m, 1) != 0) return -1;
      continue;
    }
    if (buf_put(m, &m->to.out, b->p + b->at, k) != 0) return -1;
    b->at += k;
    n -= k;
  }
  return 0;
}

/* --- one round ------------------------------------------------------------------------------------------------- */

static int ask_keys (Move *m, const size_t *ends, size_t count) {
  MoveBuf *out = &m->from.out;
  size_t i, at = 0;
  if (count > 0 && !m->exact && buf_text(m, out, "*1\r\n$4\r\nTIME\r\n") != 0) return -1;
  for (i = 0; i < count; i++) {
    const char *key = m->names.p + at;
    size_t n = ends[i] - at;
    if (buf_text(m, out, m->exact ? "*2\r\n$11\r\nPEXPIRETIME\r\n" : "*2\r\n$4\r\nPTTL\r\n") != 0
        || buf_word(m, out, key, n) != 0 || buf_text(m, out, "*2\r\n$4\r\nDUMP\r\n") != 0
        || buf_word(m, out, key, n) != 0) return -1;
    at = ends[i];
  }
  return 0;
}

/* The source's clock, in milliseconds. */
static int source_time (Move *m, long long *ms) {
  long long n, part[2];
  int i;
  if (next_number(m, '*', "TIME", &n) != 0) return -1;
  for (i = 0; i < 2; i++) {
    char *text;
    if (next_number(m, '$', "TIME", &n) != 0 || (text = next_bytes(m, (size_t)n)) == NULL) return -1;
    part[i] = strtoll(text, NULL, 10);
  }
  *ms = part[0] * 1000 + part[1] / 1000;
  return 0;
}

/* The reply of one key's questions becomes one RESTORE. */
static int move_key (Move *m, const char *key, size_t key_n, long long base) {
  MoveBuf *out = &m->to.out;
  long long ttl, size;
  char number[32];
  if (next_number(m, ':', m->exact ? "PEXPIRETIME" : "PTTL", &ttl) != 0) return -1;
  if (next_number(m, '$', "DUMP", &size) != 0) return -1;
  if (size < 0) {                            /* expired or deleted since the SCAN */
    atomic_fetch_add(&m->gone, 1);
    return 0;
  }
  if (ttl >= 0) ttl += base;
  if (buf_text(m, out, ttl >= 0 ? "*6\r\n$7\r\nRESTORE\r\n" : "*5\r\n$7\r\nRESTORE\r\n") != 0
      || buf_word(m, out, key, key_n) != 0) return -1;
  snprintf(number, sizeof number, "%lld", ttl > 0 ? ttl : ttl == 0 ? 1 : 0);
  if (buf_word(m, out, number, strlen(number)) != 0) return -1;
  snprintf(number, sizeof number, "$%lld\r\n", size);
  if (buf_text(m, out, number) != 0 || waiting_put(m, key, key_n) != 0 || move_bytes(m, (size_t)size + 2) != 0
      || buf_text(m, out, ttl >= 0 ? "$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n" : "$7\r\nREPLACE\r\n") != 0) return -1;
  atomic_fetch_add(&m->keys, 1);
  atomic_fetch_add(&m->bytes, size);
  return 0;
}

/* The reply of SCAN: the next cursor, and the keys into `names` and `ends` (grown as needed). */
static int read_scan (Move *m, char cursor[32], size_t **ends, size_t *cap, size_t *count) {
  long long n, i, k;
  char *text;
  if (next_number(m, '*', "SCAN", &n) != 0 || next_number(m, '$', "SCAN", &k) != 0) return -1;
  if ((text = next_bytes(m, (size_t)k)) == NULL) return -1;
  snprintf(cursor, 32, "%.*s", (int)(k < 31 ? k : 31), text);
  if (next_number(m, '*', "SCAN", &n) != 0) return -1;
  if (n < 0 || n > MAX_KEYS) return move_fail(m, "protocol", "protocol", 0, "source: SCAN: unexpected answer");
  if ((size_t)n > *cap) {
    size_t *p = realloc(*ends, (size_t)n * sizeof *p);
    if (p == NULL) return move_fail(m, "limit", "memory", 0, "no memory for the copy's buffers");
    *ends = p;
    *cap = (size_t)n;
  }
  m->names.at = m->names.n = 0;
  if (buf_room(m, &m->names, 1) != 0) return -1;         /* a key may be the empty string */
  for (i = 0; i < n; i++) {
    if (next_number(m, '$', "SCAN", &k) != 0 || (text = next_bytes(m, (size_t)k)) == NULL) return -1;
    if (buf_put(m, &m->names, text, (size_t)k) != 0) return -1;
    (*ends)[i] = m->names.n;
  }
  *count = (size_t)n;
  return 0;
}

static int ask_scan (Move *m, const char *cursor) {
  char number[16];
  snprintf(number, sizeof number, "%d", m->batch);
  return buf_text(m, &m->from.out, "*4\r\n$4\r\nSCAN\r\n") != 0 || buf_word(m, &m->from.out, cursor, strlen(cursor)) != 0
      || buf_text(m, &m->from.out, "$5\r\nCOUNT\r\n") != 0 || buf_word(m, &m->from.out, number, strlen(number)) != 0 ? -1 : 0;
}

static int select_db (Move *m, int db) {
  char text[64];
  char *line;
  snprintf(text, sizeof text, "SELECT %d\r\n", db);
  if (buf_text(m, &m->from.out, text) != 0 || buf_text(m, &m->to.out, text) != 0 || waiting_put(m, "", 0) != 0) return -1;
  if ((line = next_line(m)) == NULL) return -1;
  return line[0] == '+' ? 0 : fail_remote(m, &m->from, "SELECT", line, strlen(line));
}

static int move_rounds (Move *m, size_t **ends, size_t *cap) {
  char cursor[32] = "0";
  int more = 1;
  size_t count = 0, i;
  while (more || count > 0) {
    MoveBuf round = m->names;                /* this round's keys; `names` is free for the SCAN that is under way */
    size_t *mine = *ends, at = 0, n = count;
    long long base = 0;
    int rc = ask_keys(m, mine, n);
    if (rc == 0 && more) rc = ask_scan(m, cursor);
    memset(&m->names, 0, sizeof m->names);
    *ends = NULL;
    *cap = count = 0;
    if (rc == 0 && n > 0 && !m->exact) rc = source_time(m, &base);
    for (i = 0; rc == 0 && i < n; i++) {
      rc = move_key(m, round.p + at, mine[i] - at, base);
      at = mine[i];
    }
    free(round.p);
    free(mine);
    if (rc == 0 && more) {
      rc = read_scan(m, cursor, ends, cap, &count);
      more = strcmp(cursor, "0") != 0;
    }
    if (rc != 0) return -1;
  }
  while (m->waiting.at < m->waiting.n)
    if (pump(m, 0) != 0) return -1;
  m->waiting.at = m->waiting.n = 0;
  return 0;
}

/* --- both ends ------------------------------------------------------------------------------------------------- */

static int wait_end (Move *m, MoveEnd *e, int events) {
  struct pollfd q[2] = { { .fd = e->s.fd, .events = (short)events, .revents = 0 },
                         { .fd = m->cancel_fd, .events = POLLIN, .revents = 0 } };
  int n;
  do n = poll(q, 2, m->stall); while (n < 0 && errno == EINTR);
  if (n == 0) return move_fail(m, "timeout", "stalled", 1, "%s: no answer within %d seconds", end_name(m, e), m->stall / 1000);
  if (n < 0) return move_fail(m, "io", "poll", 0, "cannot wait: %s", strerror(errno));
  if (q[1].revents != 0) return move_fail(m, "cancelled", "cancelled", 0, "the copy was cancelled");
  return 0;
}

static int sign_in (Move *m, MoveEnd *e) {
  MoveBuf *b = &e->in;
  char *end;
  if (e->password == NULL) return 0;
  if (buf_text(m, &e->out, e->user != NULL ? "*3\r\n$4\r\nAUTH\r\n" : "*2\r\n$4\r\nAUTH\r\n") != 0
      || (e->user != NULL && buf_word(m, &e->out, e->user, e->user_n) != 0)
      || buf_word(m, &e->out, e->password, e->password_n) != 0) return -1;
  while (e->out.at < e->out.n) {
    if (end_write(m, e) != 0 || (e->out.at < e->out.n && wait_end(m, e, e->write_want) != 0)) return -1;
  }
  explicit_bzero(e->out.p, e->out.cap);
  host_registers_clear();
  while ((end = memchr(b->p, '\n', b->n)) == NULL) {
    if (b->n > MAX_LINE) return move_fail(m, "protocol", "protocol", 0, "%s: an endless line", end_name(m, e));
    if (wait_end(m, e, e->read_want) != 0 || end_read(m, e) != 0) return -1;
  }
  if (b->p[0] != '+') {
    fail_remote(m, e, "AUTH", b->p, (size_t)(end - b->p) - (end > b->p && end[-1] == '\r'));
    snprintf(m->kind, sizeof m->kind, "auth");
    return -1;
  }
  b->at = b->n = 0;
  return 0;
}

static int end_open (Move *m, MoveEnd *e) {
  StreamTls tls = { .name = e->tls_name, .ca = e->ca, .pin = e->has_pin ? e->pin : NULL, .insecure = e->insecure };
  int rc;
  e->read_want = POLLIN;
  e->write_want = POLLOUT;
  if (buf_room(m, &e->in, READ_SIZE) != 0 || buf_room(m, &e->out, READ_SIZE) != 0) return -1;
  if (host_stream_dial(&e->s, e->address, e->port, e->tls_name != NULL ? &tls : NULL) != 0) return fail_end(m, e);
  while ((rc = host_stream_step(&e->s)) == 0)
    if (wait_end(m, e, e->s.want) != 0) return -1;
  return rc < 0 ? fail_end(m, e) : sign_in(m, e);
}

void host_move_run (Move *m) {
  size_t *ends = NULL, cap = 0;
  int i, rc = end_open(m, &m->from);
  if (rc == 0) rc = end_open(m, &m->to);
  for (i = 0; rc == 0 && i < m->db_count; i++) {
    rc = select_db(m, m->dbs[i]);
    if (rc == 0) rc = move_rounds(m, &ends, &cap);
  }
  free(ends);
}

static void wipe (char **p, size_t n) {
  if (*p != NULL) explicit_bzero(*p, n);
  free(*p);
  *p = NULL;
}

static void end_free (MoveEnd *e) {
  host_stream_close(&e->s);
  wipe(&e->password, e->password_n);
  wipe(&e->user, e->user_n);
  wipe(&e->in.p, e->in.cap);
  wipe(&e->out.p, e->out.cap);
  free(e->address);
  free(e->tls_name);
  free(e->ca);
  e->address = e->tls_name = e->ca = NULL;
}

void host_move_free (Move *m) {
  end_free(&m->from);
  end_free(&m->to);
  free(m->dbs);
  free(m->names.p);
  free(m->waiting.p);
  m->dbs = NULL;
  m->names.p = m->waiting.p = NULL;
}
