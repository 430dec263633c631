/*
** redisend.c - one connection to a Redis server for a worker thread (redisend.h).
*/
#include "host.h"
#include "redisend.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READ_SIZE ((size_t)64 * 1024)
#define READ_MOST ((size_t)256 * 1024)       /* of one call, so that both ends get their turn */
#define MAX_LINE 65536                       /* a reply line longer than this is no Redis protocol */

int host_redis_fail (RedisFail *f, const char *kind, const char *code, int retry, const char *fmt, ...) {
  va_list ap;
  if (f->kind[0] != '\0') return -1;
  va_start(ap, fmt);
  vsnprintf(f->message, sizeof f->message, fmt, ap);
  va_end(ap);
  snprintf(f->kind, sizeof f->kind, "%s", kind);
  snprintf(f->code, sizeof f->code, "%s", code);
  f->retry = retry;
  return -1;
}

static int end_failed (RedisEnd *e) {
  return host_redis_fail(e->fail, e->s.kind, e->s.code, e->s.retry, "%s: %s", e->side->name, e->s.message);
}

size_t host_redis_said (const char *line, size_t n) {
  const char *arguments = memmem(line, n, ", with args", 11);
  return arguments != NULL ? (size_t)(arguments - line) : n;
}

/* What a server says that is not ready yet, or will be again. */
static int is_passing (const char *code) {
  return strcmp(code, "LOADING") == 0 || strcmp(code, "BUSY") == 0 || strcmp(code, "MASTERDOWN") == 0 || strcmp(code, "TRYAGAIN") == 0;
}

int host_redis_remote (RedisEnd *e, const char *what, const char *line, size_t n) {
  char code[40];
  size_t k = 0;
  if (n > 0 && line[0] == '-') line++, n--;
  n = host_redis_said(line, n);
  while (k < n && k < sizeof code - 1 && line[k] != ' ') k++;
  memcpy(code, line, k);
  code[k] = '\0';
  return host_redis_fail(e->fail, "remote", code, is_passing(code), "%s: %s: %.*s", e->side->name, what, (int)n, line);
}

/* --- buffers --------------------------------------------------------------------------------------------------- */

int host_redis_room (RedisFail *f, RedisBuf *b, size_t k) {
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
  if (p == NULL) return host_redis_fail(f, "limit", "memory", 0, "no memory for the copy's buffers");
  b->p = p;
  b->cap = cap;
  return 0;
}

int host_redis_put (RedisFail *f, RedisBuf *b, const void *bytes, size_t n) {
  if (host_redis_room(f, b, n) != 0) return -1;
  memcpy(b->p + b->n, bytes, n);
  b->n += n;
  return 0;
}

int host_redis_text (RedisFail *f, RedisBuf *b, const char *text) {
  return host_redis_put(f, b, text, strlen(text));
}

/* The digits of v, right-aligned at `end`; their first. */
static char *digits (char *end, size_t v) {
  do *--end = (char)('0' + v % 10); while ((v /= 10) > 0);
  return end;
}

int host_redis_word (RedisFail *f, RedisBuf *b, const void *bytes, size_t n) {
  char head[24], *at = digits(head + sizeof head - 2, n);
  size_t k;
  *--at = '$';
  memcpy(head + sizeof head - 2, "\r\n", 2);
  k = (size_t)(head + sizeof head - at);
  if (host_redis_room(f, b, k + n + 2) != 0) return -1;
  memcpy(b->p + b->n, at, k);
  memcpy(b->p + b->n + k, bytes, n);
  memcpy(b->p + b->n + k + n, "\r\n", 2);
  b->n += k + n + 2;
  return 0;
}

void host_redis_wipe (RedisBuf *b) {
  if (b->p != NULL) explicit_bzero(b->p, b->cap);
  free(b->p);
  memset(b, 0, sizeof *b);
}

/* --- moving bytes ---------------------------------------------------------------------------------------------- */

int host_end_write (RedisEnd *e) {
  while (e->out.at < e->out.n) {
    long n = host_stream_write(&e->s, e->out.p + e->out.at, e->out.n - e->out.at);
    if (n < 0) return end_failed(e);
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

int host_end_read (RedisEnd *e) {
  size_t got = 0;
  e->read_want = POLLIN;
  if (e->in.at == e->in.n) e->in.at = e->in.n = 0;
  while (got < READ_MOST || (e->s.ssl != NULL && SSL_pending(e->s.ssl) > 0)) {      /* poll does not know of bytes in TLS's buffer */
    size_t room;
    long n;
    if (host_redis_room(e->fail, &e->in, READ_SIZE) != 0) return -1;
    room = e->in.cap - e->in.n;
    n = host_stream_read(&e->s, e->in.p + e->in.n, room);
    if (n < 0) return end_failed(e);
    if (n == 0) {
      e->read_want = e->s.want;
      return 0;
    }
    e->in.n += (size_t)n;
    got += (size_t)n;
    if (e->s.ssl == NULL && (size_t)n < room) return 0;          /* that was all; poll asks cheaper than read does */
  }
  return 0;
}

static int wait_for (RedisEnd *e, int events) {
  struct pollfd q[2] = { { .fd = e->s.fd, .events = (short)events, .revents = 0 },
                         { .fd = e->cancel_fd, .events = POLLIN, .revents = 0 } };
  int n;
  do n = poll(q, 2, e->stall); while (n < 0 && errno == EINTR);
  if (n == 0)
    return host_redis_fail(e->fail, "timeout", "stalled", 1, "%s: no answer within %d seconds", e->side->name, e->stall / 1000);
  if (n < 0) return host_redis_fail(e->fail, "io", "poll", 0, "cannot wait: %s", strerror(errno));
  if (q[1].revents != 0) return host_redis_fail(e->fail, "cancelled", "cancelled", 0, "the copy was cancelled");
  return 0;
}

/* --- answers --------------------------------------------------------------------------------------------------- */

int host_end_nonsense (RedisEnd *e, const char *what) {
  return host_redis_fail(e->fail, "protocol", "protocol", 0, "%s: %s: unexpected answer", e->side->name, what);
}

static int endless (RedisEnd *e) {
  return host_redis_fail(e->fail, "protocol", "protocol", 0, "%s: an endless line", e->side->name);
}

char *host_end_line (RedisEnd *e) {
  RedisBuf *b = &e->in;
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
      endless(e);
      return NULL;
    }
    if (e->pump(e) != 0) return NULL;
  }
}

char *host_end_bytes (RedisEnd *e, size_t n) {
  while (e->in.n - e->in.at < n)
    if (e->pump(e) != 0) return NULL;
  e->in.at += n;
  return e->in.p + e->in.at - n;
}

int host_end_number (RedisEnd *e, char mark, const char *what, long long *v) {
  char *line = host_end_line(e);
  if (line == NULL) return -1;
  if (line[0] == '-') return host_redis_remote(e, what, line, strlen(line));
  if (line[0] != mark) return host_end_nonsense(e, what);
  *v = strtoll(line + 1, NULL, 10);
  return 0;
}

char *host_end_string (RedisEnd *e, const char *what, long long most, size_t *n) {
  long long k;
  if (host_end_number(e, '$', what, &k) != 0) return NULL;
  if (k < 0 || k > most) {
    host_redis_fail(e->fail, "protocol", "protocol", 0, "%s: %s: a string of impossible length", e->side->name, what);
    return NULL;
  }
  *n = (size_t)k;
  return host_end_bytes(e, (size_t)k + 2);
}

int host_end_clock (RedisEnd *e, long long *ms) {
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

/* --- opening --------------------------------------------------------------------------------------------------- */

/* Sends what is in `out` and waits for one line; it stays in `in`. The line's length without CRLF, or -1. */
static long ask_line (RedisEnd *e) {
  char *end;
  while (e->out.at < e->out.n) {
    if (host_end_write(e) != 0 || (e->out.at < e->out.n && wait_for(e, e->write_want) != 0)) return -1;
  }
  while ((end = e->in.n > 0 ? memchr(e->in.p, '\n', e->in.n) : NULL) == NULL) {
    if (e->in.n > MAX_LINE) return endless(e);
    if (wait_for(e, e->read_want) != 0 || host_end_read(e) != 0) return -1;
  }
  return end - e->in.p - (end > e->in.p && end[-1] == '\r');
}

static int sign_in (RedisEnd *e) {
  const RedisSide *s = e->side;
  long n;
  if (s->password == NULL) return 0;
  if (host_redis_text(e->fail, &e->out, s->user != NULL ? "*3\r\n$4\r\nAUTH\r\n" : "*2\r\n$4\r\nAUTH\r\n") != 0
      || (s->user != NULL && host_redis_word(e->fail, &e->out, s->user, s->user_n) != 0)
      || host_redis_word(e->fail, &e->out, s->password, s->password_n) != 0) return -1;
  n = ask_line(e);
  explicit_bzero(e->out.p, e->out.cap);
  host_registers_clear();
  if (n < 0) return -1;
  if (e->in.p[0] != '+') {
    host_redis_remote(e, "AUTH", e->in.p, (size_t)n);
    if (!e->fail->retry) snprintf(e->fail->kind, sizeof e->fail->kind, "auth");
    return -1;
  }
  e->in.at = e->in.n = 0;
  return 0;
}

static long long now_ns (void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* A server that was started again, or another one in its place, has not the keys and cursors that we know. */
static int check_run_id (RedisEnd *e) {
  size_t size;
  long n;
  char *at;
  long long began = now_ns();
  e->trip = 0;
  if (e->side->run_id == NULL) return 0;
  if (host_redis_text(e->fail, &e->out, "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n") != 0 || (n = ask_line(e)) < 0) return -1;
  if (e->in.p[0] != '$') return host_redis_remote(e, "INFO", e->in.p, (size_t)n);
  size = strtoul(e->in.p + 1, NULL, 10) + (size_t)n + 4;
  if (size > MAX_LINE) return host_end_nonsense(e, "INFO");
  while (e->in.n < size) if (wait_for(e, e->read_want) != 0 || host_end_read(e) != 0) return -1;
  e->trip = now_ns() - began;
  at = memmem(e->in.p, size, "run_id:", 7);
  n = (long)strlen(e->side->run_id);
  if (at == NULL || e->in.p + size - at < 7 + n || memcmp(at + 7, e->side->run_id, (size_t)n) != 0)
    return host_redis_fail(e->fail, "stopped", "restarted", 0, "%s: the server was restarted, or another took its place", e->side->name);
  e->in.at = e->in.n = 0;
  return 0;
}

int host_end_open (RedisEnd *e) {
  const RedisSide *s = e->side;
  StreamTls tls = { .name = s->tls_name, .ca = s->ca, .pin = s->has_pin ? s->pin : NULL, .insecure = s->insecure };
  int rc;
  host_end_close(e);
  host_stream_init(&e->s);
  e->read_want = POLLIN;
  e->write_want = POLLOUT;
  e->in.at = e->in.n = e->out.at = e->out.n = 0;
  if (host_stream_dial(&e->s, s->address, s->port, s->tls_name != NULL ? &tls : NULL) != 0) return end_failed(e);
  while ((rc = host_stream_step(&e->s)) == 0)
    if (wait_for(e, e->s.want) != 0) return -1;
  return rc < 0 ? end_failed(e) : sign_in(e) != 0 ? -1 : check_run_id(e);
}

void host_end_close (RedisEnd *e) {
  host_stream_close(&e->s);
}

void host_end_free (RedisEnd *e) {
  host_end_close(e);
  host_redis_wipe(&e->in);
  host_redis_wipe(&e->out);
}

static void wipe (char **p, size_t n) {
  if (*p != NULL) explicit_bzero(*p, n);
  free(*p);
  *p = NULL;
}

void host_side_free (RedisSide *s) {
  wipe(&s->password, s->password_n);
  wipe(&s->user, s->user_n);
  free(s->address);
  free(s->tls_name);
  free(s->ca);
  free(s->run_id);
  s->address = s->tls_name = s->ca = s->run_id = NULL;
}
