/*
** pgrelay.c: the rows of a table from one server to the other. libpq has connected, authenticated and set both
** sessions up, and both are idle; here the two COPYs are spoken on its sockets: CopyData is framed alike in both
** directions, so what the source sends goes on to the target unparsed, and no row is ever copied in memory. When it has
** ended well libpq has missed nothing that it must know (it keeps count of no transaction that it did not begin
** itself: the next statement tells it); when it has not, the caller closes both connections.
** Messages: https://www.postgresql.org/docs/15/protocol-message-formats.html
*/
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "pgcopy.h"

#define BLOCK (1024 * 1024)                          /* the larger, the less often a server is woken up */
#define SMALL_BLOCK 65536                            /* where a rate is to be kept; no notice or refusal is longer */
#define HEAD 5                                       /* type, length */

typedef HostPgEngine Engine;

typedef struct Side {
  Engine *e;
  HostPgError *error;
  int fd;
  SSL *ssl;
  char *buf;                                         /* what was read and not used yet */
  size_t have, size;
  short want;                                        /* what a read or a write that would block waits for */
  long long rows;                                    /* of its last COPY */
} Side;

static size_t length_of (const char *message) {      /* with its type, as it stands on the wire */
  uint32_t n;
  memcpy(&n, message + 1, sizeof n);
  return (size_t)ntohl(n) + 1;
}

static int side_lost (Side *s, const char *text) {
  host_pg_error_text(s->error, "network", 1, text);
  return 0;
}

static int protocol (Side *s, const char *text) {
  host_pg_error_text(s->error, "protocol", 0, text);
  return 0;
}

/* ---- bytes ---- */

/* > 0 = bytes, 0 = would block, -1 = the connection is gone */
static ssize_t tls_result (Side *s, int r) {
  if (r > 0) return r;
  switch (SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_READ: s->want = POLLIN; return 0;
    case SSL_ERROR_WANT_WRITE: s->want = POLLOUT; return 0;
    default: return -1;
  }
}

static ssize_t socket_result (Side *s, ssize_t r, short want) {
  if (r > 0) return r;
  s->want = want;
  return r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? 0 : -1;
}

static ssize_t side_read (Side *s) {                 /* appends to the buffer */
  char *at = s->buf + s->have;
  size_t room = s->size - s->have;
  ssize_t n;
  if (s->ssl != NULL) {
    ERR_clear_error();
    n = tls_result(s, SSL_read(s->ssl, at, (int)room));
  }
  else n = socket_result(s, recv(s->fd, at, room, 0), POLLIN);
  if (n > 0) s->have += (size_t)n;
  return n;
}

static ssize_t side_write (Side *s, const char *bytes, size_t n) {
  if (s->ssl != NULL) {
    ERR_clear_error();
    return tls_result(s, SSL_write(s->ssl, bytes, (int)(n < BLOCK ? n : BLOCK)));
  }
  return socket_result(s, send(s->fd, bytes, n, MSG_NOSIGNAL), POLLOUT);
}

/* waits for what the last call wants, and for `also`; 0 = cancelled */
static int side_wait (Side *s, short also, short *got) {
  struct pollfd p[2] = { { s->e->event, POLLIN, 0 }, { s->fd, (short)(s->want | also), 0 } };
  while (poll(p, 2, -1) < 0 && errno == EINTR) { }
  if (got != NULL) *got = p[1].revents;
  return host_pg_stopped(s->e) ? host_pg_cancelled(s->error) : 1;
}

static int side_read_some (Side *s) {
  for (;;) {
    ssize_t n = side_read(s);
    if (n > 0) return 1;
    if (n < 0) return side_lost(s, "the server closed the connection");
    if (!side_wait(s, 0, NULL)) return 0;
  }
}

static void side_used (Side *s, size_t n) {
  s->have -= n;
  memmove(s->buf, s->buf + n, s->have);
}

/* ---- messages ---- */

typedef struct Report { const char *at, *end; } Report;

static const char *report_field (const void *report, int name) {
  const Report *r = report;
  const char *p = r->at;
  while (p < r->end && *p != '\0' && *p != name) p += strlen(p + 1) + 2;
  return p < r->end && *p == name ? p + 1 : NULL;
}

/* Whatever is no CopyData: 1 = go on, 0 = the error is set. *type is 0 where it is for nobody. */
static int take_message (Side *s, char *type) {
  size_t n = length_of(s->buf);
  Report report = { s->buf + HEAD, s->buf + n - 1 };
  const char *count;
  *type = s->buf[0];
  switch (*type) {
    case 'E':
      if (n > HEAD && s->buf[n - 1] == '\0') host_pg_error_fields(s->error, report_field, &report);
      else protocol(s, "an error report that cannot be read");
      return 0;
    case 'C':                                        /* "COPY 17" */
      s->buf[n - 1] = '\0';
      count = strncmp(s->buf + HEAD, "COPY ", 5) == 0 ? s->buf + HEAD + 5 : NULL;
      if (count != NULL) s->rows = strtoll(count, NULL, 10);
      break;
    case 'N': case 'S': case 'A': *type = 0; break;
    default: break;
  }
  side_used(s, n);
  return 1;
}

/* a whole message stands at the begin of the buffer; -1 = it never will */
static int is_whole (const Side *s) {
  if (s->have < HEAD) return 0;
  if (length_of(s->buf) < HEAD || length_of(s->buf) > s->size) return -1;
  return s->have >= length_of(s->buf);
}

/* reads on until a message of that type was taken */
static int side_expect (Side *s, char wanted) {
  char type = 0;
  while (type != wanted) {
    int whole = is_whole(s);
    if (whole < 0) return protocol(s, "a message of the server is too long");
    if (whole ? !take_message(s, &type) : !side_read_some(s)) return 0;
    if (whole && type == 'Z' && wanted != 'Z') return protocol(s, "the server did not begin a COPY");
  }
  return 1;
}

/* What the target says while rows flow is a notice, or its refusal. */
static int side_listen (Side *s) {
  ssize_t n = side_read(s);
  int whole;
  char type;
  if (n < 0) return side_lost(s, "the server closed the connection");
  while ((whole = is_whole(s)) > 0)
    if (!take_message(s, &type)) return 0;
  return whole < 0 ? protocol(s, "a message of the server is too long") : 1;
}

static int side_send (Side *s, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t r = side_write(s, bytes, n);
    short got = 0;
    if (r < 0) {                                     /* perhaps it said why before it left */
      while (side_listen(s) && s->want == POLLIN && side_wait(s, POLLIN, NULL)) { }
      return 0;
    }
    bytes += r;
    n -= (size_t)r;
    if (r > 0) continue;
    if (!side_wait(s, POLLIN, &got)) return 0;
    if ((got & (POLLIN | POLLHUP | POLLERR)) != 0 && !side_listen(s)) return 0;
  }
  return 1;
}

static int send_query (Side *s, const char *begin, const char *sql) {
  size_t first = strlen(begin), n = first + strlen(sql) + 1;
  uint32_t length = htonl((uint32_t)(n + 4));
  char *message = malloc(n + HEAD);
  int ok;
  if (message == NULL) {
    host_pg_error_text(s->error, "limit", 0, "not enough memory for a statement");
    return 0;
  }
  message[0] = 'Q';
  memcpy(message + 1, &length, 4);
  memcpy(message + HEAD, begin, first);
  memcpy(message + HEAD + first, sql, n - first);
  ok = side_send(s, message, n + HEAD);
  free(message);
  return ok;
}

/* ---- the stream ---- */

/* how much of the buffer is CopyData; *rest = what of its last message is still to come */
static size_t copy_data (const char *buf, size_t have, size_t *rest) {
  size_t at = *rest;
  if (at >= have) {
    *rest -= have;
    return have;
  }
  *rest = 0;
  while (have - at >= HEAD && buf[at] == 'd') {
    size_t n = length_of(buf + at);
    if (n < HEAD) break;
    if (n > have - at) {
      *rest = n - (have - at);
      return have;
    }
    at += n;
  }
  return at;
}

/* waits until so many bytes may go, where a rate was asked for */
static int pay (Engine *e, size_t n) {
  double now, from;
  if (e->rate <= 0) return 1;
  now = host_pg_clock();
  pthread_mutex_lock(&e->mutex);
  from = e->paid_until > now ? e->paid_until : now;
  e->paid_until = from + (double)n / e->rate;
  pthread_mutex_unlock(&e->mutex);
  return from <= now || host_pg_pause(e, from - now);
}

/* passes rows on until the source has said how many there were */
static int stream (Side *from, Side *to, HostPgJob *j) {
  size_t rest = 0;
  char type = 0;
  while (type != 'Z') {
    size_t n = type == 0 ? copy_data(from->buf, from->have, &rest) : 0;
    if (n > 0) {
      if (!pay(from->e, n)) return host_pg_cancelled(to->error);
      if (!side_send(to, from->buf, n)) return 0;
      atomic_fetch_add_explicit(&j->bytes, (long long)n, memory_order_relaxed);
      atomic_fetch_add_explicit(&from->e->bytes, (long long)n, memory_order_relaxed);
      side_used(from, n);
    }
    if (from->have >= HEAD && rest == 0 && (type != 0 || from->buf[0] != 'd')) {
      int whole = is_whole(from);
      char last = type;
      if (whole < 0) return protocol(from, "a message of the server is too long");
      if (whole > 0) {
        if (!take_message(from, &type)) return 0;
        if (type == 0) type = last;
        continue;
      }
    }
    if (!side_read_some(from)) return 0;
  }
  return 1;
}

static int side_open (Side *s, Engine *e, PGconn *pg, size_t size, HostPgError *error) {
  memset(s, 0, sizeof *s);
  s->e = e;
  s->error = error;
  s->fd = PQsocket(pg);
  s->ssl = PQsslInUse(pg) ? PQsslStruct(pg, "OpenSSL") : NULL;
  s->size = size;
  s->rows = -1;
  s->buf = malloc(size);
  if (s->buf == NULL) host_pg_error_text(error, "limit", 0, "not enough memory for a copy block");
  return s->buf != NULL;
}

/* the begin of both COPYs, the rows, the end of both */
static int relay (Side *from, Side *to, HostPgJob *j) {
  static const char copy_done[] = { 'c', 0, 0, 0, 4 };
  char text[128];
  if (!send_query(to, "BEGIN; ", j->target) || !send_query(from, "", j->source)) return 0;
  if (!side_expect(to, 'G') || !side_expect(from, 'H')) return 0;
  if (!stream(from, to, j)) return 0;
  if (from->rows < 0) return protocol(from, "the source did not say how many rows it sent");
  if (!side_send(to, copy_done, sizeof copy_done) || !side_expect(to, 'Z')) return 0;
  if (from->rows == to->rows) return 1;
  snprintf(text, sizeof text, "the source sent %lld rows and the target took %lld", from->rows, to->rows);
  return protocol(to, text);
}

int host_pg_relay (HostPgWorker *w, HostPgJob *j, long long *rows) {
  Side from, to;
  int ok;
  w->streams = 1;
  ok = side_open(&from, w->e, w->source, w->e->rate > 0 ? SMALL_BLOCK : BLOCK, &j->error);
  if (ok) {
    ok = side_open(&to, w->e, w->target, SMALL_BLOCK, &j->error) && relay(&from, &to, j);
    *rows = to.rows;
    free(to.buf);
  }
  free(from.buf);
  if (ok) w->streams = 0;
  return ok;
}
