/*
** pg_link.c: a slow link on loopback: what comes in on one port goes out to another, each byte 10 ms later, and no more
** than so many bytes a second in each direction, all connections together. Kernels without netem need it.
**   pg_link LISTEN_PORT TO_PORT BYTES_A_SECOND
** At SIGTERM it prints, of the busier direction, the bytes and the seconds between its first and its last megabyte.
*/
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DELAY 0.010
#define PIECE 16384
#define PIECES 64                                    /* 1 MB is on its way at most */

typedef struct Line {                                /* one direction of the link */
  pthread_mutex_t mutex;
  double free_at, began, ended;
  long bytes;
} Line;

typedef struct Way {                                 /* one direction of a connection */
  int from, to;
  Line *line;
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  struct { double due; ssize_t n; char bytes[PIECE]; } ring[PIECES];
  int head, count;
} Way;

static Line up = { .mutex = PTHREAD_MUTEX_INITIALIZER }, down = { .mutex = PTHREAD_MUTEX_INITIALIZER };
static double rate;

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_until (double t) {
  double left = t - now();
  struct timespec s;
  if (left <= 0) return;
  s.tv_sec = (time_t)left;
  s.tv_nsec = (long)((left - (double)s.tv_sec) * 1e9);
  nanosleep(&s, NULL);
}

/* when a piece has passed the line */
static double pass (Line *l, ssize_t n) {
  double t = now();
  pthread_mutex_lock(&l->mutex);
  l->free_at = (l->free_at > t ? l->free_at : t) + (double)n / rate;
  t = l->free_at;
  l->bytes += n;
  if (l->bytes >= 1 << 20 && l->began == 0) l->began = t;
  if (n >= PIECE / 2) l->ended = t;                 /* not what is said after the rows */
  pthread_mutex_unlock(&l->mutex);
  return t;
}

static void *deliver (void *arg) {
  Way *w = arg;
  for (;;) {
    ssize_t n, at = 0;
    int i;
    pthread_mutex_lock(&w->mutex);
    while (w->count == 0) pthread_cond_wait(&w->cond, &w->mutex);
    i = w->head;
    pthread_mutex_unlock(&w->mutex);
    n = w->ring[i].n;
    sleep_until(w->ring[i].due);
    while (at < n) {
      ssize_t r = send(w->to, w->ring[i].bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
      if (r <= 0) break;
      at += r;
    }
    pthread_mutex_lock(&w->mutex);
    w->head = (w->head + 1) % PIECES;
    w->count--;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    if (n <= 0 || at < n) {
      shutdown(w->to, SHUT_WR);
      return NULL;
    }
  }
}

static void *take (void *arg) {
  Way *w = arg;
  pthread_t thread;
  ssize_t n;
  pthread_create(&thread, NULL, deliver, w);
  pthread_detach(thread);
  do {
    int i;
    double sent;
    pthread_mutex_lock(&w->mutex);
    while (w->count == PIECES) pthread_cond_wait(&w->cond, &w->mutex);
    i = (w->head + w->count) % PIECES;
    pthread_mutex_unlock(&w->mutex);
    n = recv(w->from, w->ring[i].bytes, PIECE, 0);
    w->ring[i].n = n;
    sent = pass(w->line, n > 0 ? n : 0);
    w->ring[i].due = sent + DELAY;
    pthread_mutex_lock(&w->mutex);
    w->count++;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    sleep_until(sent - 0.005);                       /* what waits for the line stays with the sender */
  } while (n > 0);
  return NULL;
}

static void join (int from, int to, Line *line) {
  Way *w = calloc(1, sizeof *w);
  pthread_t thread;
  int on = 1;
  w->from = from;
  w->to = to;
  w->line = line;
  pthread_mutex_init(&w->mutex, NULL);
  pthread_cond_init(&w->cond, NULL);
  setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  pthread_create(&thread, NULL, take, w);
  pthread_detach(thread);
}

static void report (int number) {
  Line *l = up.bytes > down.bytes ? &up : &down;
  char text[80];
  int n = snprintf(text, sizeof text, "%ld %.3f\n", l->bytes - (1 << 20), l->ended - l->began);
  (void)number;
  if (write(1, text, (size_t)n) < 0) _exit(1);
  _exit(0);
}

int main (int c, char **v) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  if (c != 4) return 2;
  rate = atof(v[3]);
  signal(SIGTERM, report);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  a.sin_port = htons((uint16_t)atoi(v[1]));
  if (bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 64) != 0) return 1;
  a.sin_port = htons((uint16_t)atoi(v[2]));
  for (;;) {
    int in = accept(listener, NULL, NULL), out = socket(AF_INET, SOCK_STREAM, 0);
    if (in < 0 || connect(out, (struct sockaddr *)&a, sizeof a) != 0) {
      close(in);
      close(out);
      continue;
    }
    join(in, out, &up);
    join(out, in, &down);
  }
}
