/*
** redisend.h - one connection to a Redis server for a worker thread: a stream, its buffers, and waiting with poll. It
** knows the protocol's lines and strings, nothing of what is copied, and nothing of Lua.
*/
#ifndef HKRUN_REDISEND_H
#define HKRUN_REDISEND_H

#include "stream.h"

#define REDIS_NAME_SHOWN 63                  /* bytes of a key that an error shows */

typedef struct RedisBuf {                    /* bytes at .. n are live */
  char *p;
  size_t at, n, cap;
} RedisBuf;

typedef struct RedisFail {                   /* kind[0] == 0: all went well; in the words of host_fail */
  char kind[16], code[40], message[512];
  int retry;                                 /* 1: a new connection may do better */
} RedisFail;

typedef struct RedisSide {                   /* where a server is, and who asks; all its connections share it */
  const char *name;                          /* "source", "target" */
  char *address, *user, *password, *tls_name, *ca;       /* owned; wiped and freed by host_side_free */
  char *run_id;                              /* that the server must have; NULL: any */
  size_t user_n, password_n;
  unsigned char pin[STREAM_PIN];
  int port, has_pin, insecure;
} RedisSide;

typedef struct RedisEnd {
  const RedisSide *side;
  RedisFail *fail;                           /* where every failure is told */
  HostStream s;
  int cancel_fd, stall;                      /* readable: stop; milliseconds without a byte */
  long long trip;                            /* nanoseconds that a question and its answer took when it was opened */
  int read_want, write_want;                 /* what poll has to wait for before the next read, write */
  RedisBuf in, out;
  int (*pump) (struct RedisEnd *e);          /* waits until more has come in */
  void *owner;                               /* for it */
} RedisEnd;

/* -1 is a failure, told in `fail`: the first one stays, for it is the cause. */
int host_redis_fail (RedisFail *f, const char *kind, const char *code, int retry, const char *fmt, ...)
  __attribute__((format(printf, 5, 6)));
int host_redis_remote (RedisEnd *e, const char *what, const char *line, size_t n);      /* an error reply, "-CODE text" */

/* How much of an error reply may be shown: a server that does not know a command repeats its arguments, secrets too. */
size_t host_redis_said (const char *line, size_t n);

int host_redis_room (RedisFail *f, RedisBuf *b, size_t n);
int host_redis_put (RedisFail *f, RedisBuf *b, const void *bytes, size_t n);
int host_redis_text (RedisFail *f, RedisBuf *b, const char *text);
int host_redis_word (RedisFail *f, RedisBuf *b, const void *bytes, size_t n);     /* $n CRLF bytes CRLF */
void host_redis_wipe (RedisBuf *b);            /* wiped */

int host_end_open (RedisEnd *e);             /* connects, signs in, checks the run_id */
void host_end_close (RedisEnd *e);           /* safe twice; the buffers stay */
void host_end_free (RedisEnd *e);
int host_end_write (RedisEnd *e);            /* what can be written now */
int host_end_read (RedisEnd *e);             /* what is there */

/* Answers, waited for by pump. -1, NULL: failed. What a pointer points to is valid until the next read. */
char *host_end_line (RedisEnd *e);           /* without CRLF, NUL-ended */
char *host_end_bytes (RedisEnd *e, size_t n);
int host_end_number (RedisEnd *e, char mark, const char *what, long long *v);    /* a line that starts with `mark` */
char *host_end_string (RedisEnd *e, const char *what, long long most, size_t *n);        /* "$n" and its bytes, at most so many */
int host_end_clock (RedisEnd *e, long long *ms);          /* the answer to TIME */
int host_end_nonsense (RedisEnd *e, const char *what);
void host_side_free (RedisSide *s);

#endif
