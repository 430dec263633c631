/*
** effects.c: a library for LD_PRELOAD that stops hkrun at one effect on a database, a Redis or a file, exactly and
** repeatably, without a line for it in hkrun.
**
**   EFFECTS_LOG=FILE   appends the name of each effect, a line each: "sql CREATE TABLE", "redis RESTORE", "journal write";
**                      and "cut" when a connection was lost
**   EFFECTS_AT=NAME|N|HOW   at the N-th effect of that name: HOW is "before" or "after" (SIGKILL before the message is
**                      sent, or when its answer is there and hkrun has not seen it), "cut" (the connection is lost then)
**                      or "pause" (SIGSTOP before it)
**
** Effects are statements that are not plain reads, the end of a COPY, Redis commands that write, and writes, syncs,
** renames, removals and new folders on the disk. hkrun finds the functions of libpq and OpenSSL with dlsym, so
** this library answers there; the calls of the C library it takes over by name. Children are left alone.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME = 64, OPEN = 64 };

static struct { char name[NAME]; long n, seen; char how[8]; } at;
static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* connections whose answer to an effect is awaited; `chosen`: it is the one at which to stop */
static struct { const void *who; int chosen; } open_effects[OPEN];

static void stop (void) { syscall(SYS_kill, getpid(), SIGKILL); }

static void note (const char *name) {
  char line[NAME + 1];
  if (log_fd < 0) return;
  int n = snprintf(line, sizeof line, "%s\n", name);
  syscall(SYS_write, log_fd, line, (size_t)n);
}

/* notes an effect; true when it is the chosen one. Kills at once if that is to be before it. */
static int effect (const char *name) {
  int chosen = 0;
  pthread_mutex_lock(&lock);
  note(name);
  if (at.n > 0 && strcmp(name, at.name) == 0) chosen = ++at.seen == at.n;
  pthread_mutex_unlock(&lock);
  if (chosen && strcmp(at.how, "before") == 0) stop();
  if (chosen && strcmp(at.how, "pause") == 0) syscall(SYS_kill, getpid(), SIGSTOP);
  return chosen && strcmp(at.how, "pause") != 0;
}

static void await_answer (const void *who, int chosen) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < OPEN; i++) {
    if (open_effects[i].who != NULL && open_effects[i].who != who) continue;
    open_effects[i].chosen = chosen || (open_effects[i].who == who && open_effects[i].chosen);   /* several may be on their way */
    open_effects[i].who = who;
    break;
  }
  pthread_mutex_unlock(&lock);
}

/* whether the chosen effect's answer is awaited there; it is not any more if `done` */
static int is_awaited (const void *who, int done) {
  int chosen = 0;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < OPEN; i++) {
    if (open_effects[i].who != who) continue;
    chosen = open_effects[i].chosen;
    if (done) open_effects[i].who = NULL;
  }
  pthread_mutex_unlock(&lock);
  return chosen;
}

/* an answer was read: kills if it is that of the chosen effect */
static void answered (const void *who) {
  if (is_awaited(who, 1)) stop();
}

/* before an answer is read: loses the connection if it is that of the chosen effect */
static void cut (const void *who, int fd) {
  if (strcmp(at.how, "cut") != 0 || !is_awaited(who, 0)) return;
  struct pollfd poll_fd = { fd, POLLIN, 0 };
  int ends[2], is_blocking = (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
  if (poll(&poll_fd, 1, is_blocking ? -1 : 0) != 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  is_awaited(who, 1);
  note("cut");
  dup2(ends[0], fd);                    /* what is there is not read any more, unlike after shutdown() */
  close(ends[0]);
  close(ends[1]);
}

static void *real (const char *symbol) {
  static void *(*find) (void *, const char *);
  if (find == NULL) {
    const char *const versions[] = { "GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5" };
    for (size_t i = 0; i < 3 && find == NULL; i++) {
      void *p = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
      memcpy(&find, &p, sizeof p);
    }
    if (find == NULL) abort();
  }
  return symbol == NULL ? (void *)(uintptr_t)find : find(RTLD_NEXT, symbol);
}

/* ---- SQL ---- */

static int (*send_query) (PGconn *, const char *);
static int (*send_params) (PGconn *, const char *, int, const Oid *, const char *const *, const int *, const int *, int);
static int (*copy_end) (PGconn *, const char *);
static int (*consume) (PGconn *);
static PGresult *(*get_result) (PGconn *);
static ExecStatusType (*result_status) (const PGresult *);
static int (*pg_socket) (const PGconn *);

static int begins (const char *sql, const char *word) { return strncasecmp(sql, word, strlen(word)) == 0; }

static int is_read (const char *sql) {
  if (begins(sql, "SELECT")) return strstr(sql, "setval(") == NULL && strstr(sql, "lo_") == NULL;
  if (begins(sql, "COPY")) return strstr(sql, "TO STDOUT") != NULL;
  if (begins(sql, "BEGIN")) return strchr(sql, ';') == NULL;
  if (begins(sql, "SET ")) return !begins(sql, "SET LOCAL");      /* before an index that is built */
  return begins(sql, "SHOW") || begins(sql, "WITH") || begins(sql, "EXPLAIN") || begins(sql, "SAVEPOINT");
}

/* "sql CREATE TABLE": the first two words */
static void sql_name (char *name, const char *sql) {
  size_t n = (size_t)snprintf(name, NAME, "sql ");
  for (int words = 0; *sql != '\0' && n < 40; sql++) {
    if (strchr(" ;(\n\t", *sql) != NULL) {
      if (name[n - 1] == ' ') continue;
      if (++words == 2) break;
      name[n++] = ' ';
    } else name[n++] = *sql;
  }
  while (name[n - 1] == ' ') n--;
  name[n] = '\0';
}

static void statement (const void *who, const char *sql) {
  char name[NAME];
  if (is_read(sql)) return;
  sql_name(name, sql);
  await_answer(who, effect(name));
}

static int my_send_query (PGconn *pg, const char *sql) {
  statement(pg, sql);
  return send_query(pg, sql);
}

static int my_send_params (PGconn *pg, const char *sql, int n, const Oid *types, const char *const *values,
                           const int *lengths, const int *formats, int result) {
  statement(pg, sql);
  return send_params(pg, sql, n, types, values, lengths, formats, result);
}

static void end_of_copy (const void *who) { await_answer(who, effect("sql end of COPY")); }

static int my_copy_end (PGconn *pg, const char *reason) {
  end_of_copy(pg);
  return copy_end(pg, reason);
}

static int my_consume (PGconn *pg) {
  cut(pg, pg_socket(pg));
  return consume(pg);
}

static PGresult *my_get_result (PGconn *pg) {
  PGresult *res = get_result(pg);
  if (res != NULL && result_status(res) != PGRES_SINGLE_TUPLE) answered(pg);
  return res;
}

/* ---- Redis ---- */

static int (*ssl_write) (SSL *, const void *, int);
static int (*ssl_read) (SSL *, void *, int);
static int (*ssl_fd) (const SSL *);

static const char *const writing[] = { "RESTORE", "SET", "DEL", "UNLINK", "FLUSHALL", "FLUSHDB", "FUNCTION", "EVAL", "RPUSH", "HSET",
                                       "SADD", "ZADD", "XADD", "XGROUP", "PEXPIREAT", "CONFIG", NULL };

/* the first writing command among those of a message, or NULL */
static const char *writes (const char *s, const char *end) {
  while (s < end && *s == '*') {
    long parts = strtol(s + 1, NULL, 10);
    for (long i = 0; i < parts; i++) {
      s = memchr(s, '\n', (size_t)(end - s));
      if (s == NULL || ++s >= end || *s != '$') return NULL;
      long size = strtol(s + 1, NULL, 10);
      const char *word = memchr(s, '\n', (size_t)(end - s));
      if (word == NULL || size < 0 || end - word - 1 < size) return NULL;
      for (int w = 0; i == 0 && writing[w] != NULL; w++)
        if ((size_t)size == strlen(writing[w]) && strncasecmp(word + 1, writing[w], (size_t)size) == 0) return writing[w];
      s = word + 1 + size;
    }
    s += 2;
  }
  return NULL;
}

/* what the copy says past libpq, each in a write of its own: a query, and that all rows were sent */
static void relayed (SSL *ssl, const char *message, int n) {
  if (n == 5 && memcmp(message, "c\0\0\0\4", 5) == 0) end_of_copy(ssl);
  else if (n > 5 && message[0] == 'Q' && message[n - 1] == '\0') statement(ssl, message + 5);
}

static int my_ssl_write (SSL *ssl, const void *bytes, int n) {
  const char *command = writes(bytes, (const char *)bytes + n);
  if (command == NULL) relayed(ssl, bytes, n);
  else {
    char name[NAME];
    snprintf(name, sizeof name, "redis %s", command);
    await_answer(ssl, effect(name));
  }
  return ssl_write(ssl, bytes, n);
}

static int my_ssl_read (SSL *ssl, void *bytes, int n) {
  cut(ssl, ssl_fd(ssl));
  int got = ssl_read(ssl, bytes, n);
  if (got > 0) answered(ssl);
  return got;
}

/* ---- what dlsym answers ---- */

static const struct { const char *name; void *mine; void *theirs; } taken[] = {
#define TAKE(name, mine, theirs) { name, (void *)(uintptr_t)mine, (void *)&theirs }
  TAKE("PQsendQuery", my_send_query, send_query), TAKE("PQsendQueryParams", my_send_params, send_params),
  TAKE("PQputCopyEnd", my_copy_end, copy_end), TAKE("PQgetResult", my_get_result, get_result),
  TAKE("PQconsumeInput", my_consume, consume),
  TAKE("SSL_write", my_ssl_write, ssl_write), TAKE("SSL_read", my_ssl_read, ssl_read),
};

static void lookup (void *handle, const char *name, void *slot) {
  void *(*find) (void *, const char *);
  void *p = real(NULL);
  memcpy(&find, &p, sizeof p);
  p = find(handle, name);
  memcpy(slot, &p, sizeof p);
}

void *dlsym (void *restrict handle, const char *restrict name) {
  void *found;
  lookup(handle, name, &found);
  if (at.n == 0 && log_fd < 0) return found;
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
    if (strcmp(name, taken[i].name) != 0 || found == NULL || handle == RTLD_NEXT || handle == RTLD_DEFAULT) continue;
    memcpy(taken[i].theirs, &found, sizeof found);
    if (strncmp(name, "PQ", 2) == 0) {
      lookup(handle, "PQresultStatus", &result_status);
      lookup(handle, "PQsocket", &pg_socket);
    }
    if (strncmp(name, "SSL_", 4) == 0) lookup(handle, "SSL_get_fd", &ssl_fd);
    return taken[i].mine;
  }
  return found;
}

/* ---- files ---- */

static int is_file (int fd) {
  struct stat st;
  return fd > 2 && fd != log_fd && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* "journal write", "lock write" or "file write" */
static int disk (const char *path, const char *verb) {
  char name[NAME];
  const char *dot = path != NULL ? strrchr(path, '.') : NULL;
  snprintf(name, sizeof name, "%s %s", dot != NULL && strcmp(dot, ".journal") == 0 ? "journal" :
           dot != NULL && strcmp(dot, ".lock") == 0 ? "lock" : "file", verb);
  return effect(name);
}

static int disk_fd (int fd, const char *verb) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  path[n < 0 ? 0 : n] = '\0';
  return disk(path, verb);
}

/* runs a call on the disk, and kills after it where that is chosen */
#define AROUND(type, chosen, call) do { \
    int here = (chosen); \
    type result = (call); \
    int saved = errno; \
    if (here) stop(); \
    errno = saved; \
    return result; \
  } while (0)

ssize_t write (int fd, const void *s, size_t n) {
  if (!is_file(fd)) return syscall(SYS_write, fd, s, n);
  AROUND(ssize_t, disk_fd(fd, "write"), syscall(SYS_write, fd, s, n));
}

ssize_t pwrite (int fd, const void *s, size_t n, off_t offset) {
  AROUND(ssize_t, disk_fd(fd, "write"), syscall(SYS_pwrite64, fd, s, n, offset));
}

int fsync (int fd) { AROUND(int, disk_fd(fd, "sync"), (int)syscall(SYS_fsync, fd)); }
int fdatasync (int fd) { AROUND(int, disk_fd(fd, "sync"), (int)syscall(SYS_fdatasync, fd)); }
int ftruncate (int fd, off_t size) { AROUND(int, disk_fd(fd, "truncate"), (int)syscall(SYS_ftruncate, fd, size)); }
int rename (const char *from, const char *to) {
  AROUND(int, disk(to, "rename"), (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int unlink (const char *path) { AROUND(int, disk(path, "remove"), (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0)); }
int rmdir (const char *path) { AROUND(int, disk(path, "remove"), (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR)); }
int mkdir (const char *path, mode_t mode) { AROUND(int, disk(path, "mkdir"), (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode)); }

__attribute__((constructor)) static void begin (void) {
  const char *plan = getenv("EFFECTS_AT"), *log = getenv("EFFECTS_LOG");
  if (strcmp(program_invocation_short_name, "hkrun") != 0) return;   /* the shell that starts it */
  unsetenv("LD_PRELOAD");
  if (log != NULL) log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (plan != NULL && sscanf(plan, "%63[^|]|%ld|%7s", at.name, &at.n, at.how) != 3) {
    fprintf(stderr, "EFFECTS_AT is NAME|N|HOW, not %s\n", plan);
    _exit(2);
  }
}
