/*
** redis_link.c - the yardstick of redis.copy: SCAN, PEXPIRETIME and DUMP of one server become RESTOREs of another, pipelined
** over two bare sockets in one poll loop. It knows no password, no TLS, no old server, no other format; whatever goes wrong
** ends it. What it takes is what such a copy costs at least, one connection to either side.
**
**   redis_link SOURCE_PORT TARGET_PORT [KEYS_A_ROUND] [DATABASES]
*/
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WINDOW ((size_t)4 << 20)             /* bytes that may wait for the target */
#define ROOM ((size_t)256 << 10)

typedef struct Buf { char *p; size_t at, n, cap; } Buf;
typedef struct End { int fd; Buf in, out; } End;

static End from, to;
static long unanswered;

static void die (const char *what) {
  fprintf(stderr, "redis_link: %s\n", what);
  exit(1);
}

static char *room (Buf *b, size_t n) {
  if (b->n + n > b->cap && b->at > 0) {
    memmove(b->p, b->p + b->at, b->n - b->at);
    b->n -= b->at;
    b->at = 0;
  }
  if (b->n + n > b->cap) {
    b->cap = (b->n + n) * 2;
    b->p = realloc(b->p, b->cap);
    if (b->p == NULL) die("no memory");
  }
  return b->p + b->n;
}

static void put (Buf *b, const char *s, size_t n) {
  memcpy(room(b, n), s, n);
  b->n += n;
}

static void word (Buf *b, const char *s, size_t n) {
  b->n += (size_t)sprintf(room(b, n + 32), "$%zu\r\n", n);
  put(b, s, n);
  put(b, "\r\n", 2);
}

static void dial (End *e, int port) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  int on = 1;
  e->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (e->fd < 0 || connect(e->fd, (struct sockaddr *)&a, sizeof a) != 0) die("cannot connect");
  (void)setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)fcntl(e->fd, F_SETFL, O_NONBLOCK);
}

static void send_some (End *e) {
  while (e->out.at < e->out.n) {
    ssize_t n = write(e->fd, e->out.p + e->out.at, e->out.n - e->out.at);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("cannot write");
    e->out.at += (size_t)n;
  }
  e->out.at = e->out.n = 0;
}

static void read_some (End *e) {
  for (int i = 0; i < 4; i++) {
    char *at = room(&e->in, ROOM);
    ssize_t n = read(e->fd, at, e->in.cap - e->in.n);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("cannot read");
    e->in.n += (size_t)n;
  }
}

/* The target answers each command with one line. */
static void count_answers (void) {
  Buf *b = &to.in;
  char *end;
  while (b->at < b->n && (end = memchr(b->p + b->at, '\n', b->n - b->at)) != NULL) {
    if (b->p[b->at] != '+') die("the target refuses");
    unanswered--;
    b->at = (size_t)(end - b->p) + 1;
  }
}

static void turn (int reading) {
  struct pollfd q[2] = { { .fd = from.fd, .events = 0, .revents = 0 }, { .fd = to.fd, .events = POLLIN, .revents = 0 } };
  if (reading && to.out.n - to.out.at < WINDOW) q[0].events |= POLLIN;
  if (from.out.at < from.out.n) q[0].events |= POLLOUT;
  if (to.out.at < to.out.n) q[1].events |= POLLOUT;
  if (poll(q, 2, -1) < 0) die("cannot poll");
  if (q[0].revents & POLLOUT) send_some(&from);
  if (q[1].revents & POLLOUT) send_some(&to);
  if (q[0].revents & (POLLIN | POLLHUP)) read_some(&from);
  if (q[1].revents & (POLLIN | POLLHUP)) {
    read_some(&to);
    count_answers();
  }
}

static char *line (void) {
  Buf *b = &from.in;
  size_t seen = 0;
  for (;;) {
    char *s = b->p + b->at, *end = b->n - b->at > seen ? memchr(s + seen, '\n', b->n - b->at - seen) : NULL;
    if (end != NULL) {
      end[-1] = '\0';
      b->at += (size_t)(end - s) + 1;
      if (s[0] == '-') die(s);
      return s;
    }
    seen = b->n - b->at;
    turn(1);
  }
}

static char *bytes (size_t n) {
  while (from.in.n - from.in.at < n + 2) turn(1);
  from.in.at += n + 2;
  return from.in.p + from.in.at - n - 2;
}

typedef struct Round { Buf names; size_t *ends, count; } Round;

static void ask (const Round *r) {
  for (size_t i = 0, at = 0; i < r->count; at = r->ends[i++]) {
    put(&from.out, "*2\r\n$11\r\nPEXPIRETIME\r\n", 22);
    word(&from.out, r->names.p + at, r->ends[i] - at);
    put(&from.out, "*2\r\n$4\r\nDUMP\r\n", 14);
    word(&from.out, r->names.p + at, r->ends[i] - at);
  }
}

static long copy (const Round *r) {
  long copied = 0;
  char number[24];
  for (size_t i = 0, at = 0; i < r->count; at = r->ends[i++]) {
    long long expiry = atoll(line() + 1), size = atoll(line() + 1);
    char *payload;
    if (size < 0) continue;
    payload = bytes((size_t)size);
    put(&to.out, expiry > 0 ? "*6\r\n$7\r\nRESTORE\r\n" : "*5\r\n$7\r\nRESTORE\r\n", 17);
    word(&to.out, r->names.p + at, r->ends[i] - at);
    word(&to.out, number, (size_t)sprintf(number, "%lld", expiry > 0 ? expiry : 0));
    word(&to.out, payload, (size_t)size);
    put(&to.out, "$7\r\nREPLACE\r\n", 13);
    if (expiry > 0) put(&to.out, "$6\r\nABSTTL\r\n", 12);
    unanswered++;
    copied++;
  }
  return copied;
}

static void scan (Round *r, char cursor[32]) {
  size_t n;
  char *text;
  (void)line();
  n = strtoul(line() + 1, NULL, 10);
  text = bytes(n);
  memcpy(cursor, text, n);
  cursor[n] = '\0';
  r->count = strtoul(line() + 1, NULL, 10);
  r->ends = malloc((r->count + 1) * sizeof *r->ends);
  if (r->ends == NULL) die("no memory");
  for (size_t i = 0; i < r->count; i++) {
    n = strtoul(line() + 1, NULL, 10);
    put(&r->names, bytes(n), n);
    r->ends[i] = r->names.n;
  }
}

int main (int argc, char **argv) {
  int batch = argc > 3 ? atoi(argv[3]) : 500, databases = argc > 4 ? atoi(argv[4]) : 2;
  long copied = 0;
  char text[64];
  if (argc < 3) die("SOURCE_PORT TARGET_PORT [KEYS_A_ROUND] [DATABASES]");
  dial(&from, atoi(argv[1]));
  dial(&to, atoi(argv[2]));
  for (int db = 0; db < databases; db++) {
    Round now = { { NULL, 0, 0, 0 }, NULL, 0 }, next = now;
    char cursor[32] = "0";
    int n = sprintf(text, "SELECT %d\r\n", db), more = 1;
    put(&from.out, text, (size_t)n);
    put(&to.out, text, (size_t)n);
    unanswered++;
    (void)line();
    while (more || now.count > 0) {          /* the next SCAN is on its way behind the questions of this round */
      ask(&now);
      if (more) put(&from.out, text, (size_t)sprintf(text, "SCAN %s COUNT %d\r\n", cursor, batch));
      copied += copy(&now);
      free(now.names.p);
      free(now.ends);
      memset(&next, 0, sizeof next);
      if (more) scan(&next, cursor);
      more = more && strcmp(cursor, "0") != 0;
      now = next;
    }
    while (unanswered > 0) turn(0);
  }
  printf("%ld\n", copied);
  return 0;
}
