/*
** pg_relay.c: what a copy of one table costs at least: CopyData of one server sent on to another as it comes, by one
** process a stream. PostgreSQL's protocol 3 over plain sockets, trust authentication; no more than a yardstick.
**   pg_relay SOURCE_PORT TARGET_PORT USER DATABASE TABLE BLOCKS STREAMS     prints the bytes that were moved
*/
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char buf[1 << 18];

static void fail (const char *what) {
  fprintf(stderr, "pg_relay: %s\n", what);
  exit(1);
}

static void send_all (int fd, const char *p, size_t n) {
  while (n > 0) {
    ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
    if (r <= 0) fail("the connection is gone");
    p += r;
    n -= (size_t)r;
  }
}

static void read_all (int fd, char *p, size_t n) {
  while (n > 0) {
    ssize_t r = recv(fd, p, n, 0);
    if (r <= 0) fail("the server has closed the connection");
    p += r;
    n -= (size_t)r;
  }
}

static size_t number (const char *p) {
  uint32_t n;
  memcpy(&n, p, 4);
  return ntohl(n);
}

static void put_number (char *p, size_t n) {
  uint32_t v = htonl((uint32_t)n);
  memcpy(p, &v, 4);
}

/* reads messages until one of that type */
static void expect (int fd, char type) {
  for (;;) {
    char head[5];
    size_t n;
    read_all(fd, head, 5);
    n = number(head + 1) - 4;
    if (n > sizeof buf) fail("a message is too long");
    read_all(fd, buf, n);
    if (head[0] == 'E') fail(buf);
    if (head[0] == type) return;
  }
}

static int dial (const char *port, const char *user, const char *database) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  char m[512];
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  size_t n = 8 + (size_t)snprintf(m + 8, sizeof m - 8, "user%c%s%cdatabase%c%s%c", 0, user, 0, 0, database, 0) + 1;
  if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) fail("no server there");
  put_number(m, n);
  put_number(m + 4, 196608);
  m[n - 1] = '\0';
  send_all(fd, m, n);
  expect(fd, 'Z');
  return fd;
}

static void ask (int fd, const char *sql) {
  char head[5] = "Q";
  put_number(head + 1, strlen(sql) + 5);
  send_all(fd, head, 5);
  send_all(fd, sql, strlen(sql) + 1);
}

/* passes on until CopyDone; returns the bytes */
static long move (int from, int to) {
  size_t have = 0, rest = 0;
  long total = 0;
  for (;;) {
    ssize_t r = recv(from, buf + have, sizeof buf - have, 0);
    size_t at = 0;
    if (r <= 0) fail("the source is gone");
    have += (size_t)r;
    for (;;) {
      size_t step = rest < have - at ? rest : have - at;
      at += step;
      rest -= step;
      if (rest > 0 || have - at < 5 || buf[at] != 'd') break;
      rest = 1 + number(buf + at + 1);
    }
    send_all(to, buf, at);
    total += (long)at;
    if (rest == 0 && have - at >= 5 && buf[at] == 'c') return total;
    have -= at;
    memmove(buf, buf + at, have);
  }
}

static void stream (char **v, int i, int n) {
  long blocks = atol(v[6]);
  char sql[600], done[5] = "c";
  int from = dial(v[1], v[3], v[4]), to = dial(v[2], v[3], v[4]);
  snprintf(sql, sizeof sql, "COPY (SELECT * FROM ONLY %s WHERE ctid >= '(%ld,0)' AND ctid < '(%ld,0)') TO STDOUT (FORMAT binary)", v[5],
           blocks * i / n, i == n - 1 ? 4000000000L : blocks * (i + 1) / n);
  ask(from, sql);
  expect(from, 'H');
  ask(to, "SET synchronous_commit = off");
  expect(to, 'Z');
  snprintf(sql, sizeof sql, "COPY %s FROM STDIN (FORMAT binary)", v[5]);
  ask(to, sql);
  expect(to, 'G');
  printf("%ld\n", move(from, to));
  put_number(done + 1, 4);
  send_all(to, done, 5);
  expect(to, 'Z');
}

int main (int c, char **v) {
  int i, n, status, bad = 0;
  if (c != 8) return 2;
  n = atoi(v[7]);
  for (i = 0; i < n; i++)
    if (fork() == 0) {
      stream(v, i, n);
      exit(0);
    }
  for (i = 0; i < n; i++) {
    wait(&status);
    bad |= status != 0;
  }
  return bad;
}
