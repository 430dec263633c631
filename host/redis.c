/*
** redis.c - a connection to a Redis or Valkey server: hiredis's command formatter and reply reader over stream.c.
**
**   redis.open(address, port [, tls_name, ca, pin, insecure]) -> conn | nil, err     numeric address; tls_name: TLS
**   conn:connect()    step: true when the stream is up and the certificate accepted
**   conn:queue(list)  puts one command, a list of strings, numbers and secrets, into the output -> true | nil, err
**   conn:reply()      step: sends what is queued, then true, value of the next reply
**   conn:replies(n)   step: true, list of the next n replies; an error among them is a table with kind "remote"
**   conn:deadline([t]) -> t, in seconds of loop.now(): when task.step gives up; 0 or none: never
**   conn:fd()  conn:close()  conn:fingerprint() -> sha256 in hex | nil     conn:open() -> boolean
**
** Replies: a string or status is a string, an integer an integer, nothing is nil (false inside a list, so that the list
** keeps its length), an array a list. An error reply is nil, err of kind "remote" with its first word as code.
** States: closed -> connecting -> open -> closed. After a failure every step repeats it until the close.
** A wrong argument raises; everything else is nil, err.
*/
#include "codec.h"
#include "redismove.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <hiredis/hiredis.h>

#define REDIS_CONN "hkrun.redis.conn"
#define REDIS_CHUNK (64 * 1024)              /* read at once; more than a TLS record, so that none stays behind */
#define REDIS_TURNS 64                       /* reads in one step, before others get the loop */

typedef struct Conn {
  HostStream s;
  redisReader *reader;                       /* NULL: closed */
  redisReply *reply;                         /* the one being turned into Lua values */
  char *out;                                 /* out_at .. out_n waits to be sent */
  size_t out_at, out_n, out_cap;
  int out_secret;                            /* the output holds a secret: wiped once sent */
  lua_Number deadline;                       /* 0: none */
  int list_n;                                /* replies(): how many are in the list (user value 1) */
} Conn;

static Conn *check_conn (lua_State *L) {
  return luaL_checkudata(L, 1, REDIS_CONN);
}

static int fail_closed (lua_State *L) {
  return host_fail(L, "closed", "closed", 0, "the Redis connection is closed");
}

static int fail_stream (lua_State *L, const HostStream *s) {
  return host_fail(L, s->kind, s->code, s->retry, "%s", s->message);
}

static void wipe_output (Conn *c) {
  if (c->out_secret && c->out != NULL) explicit_bzero(c->out, c->out_cap);
  c->out_at = c->out_n = 0;
  c->out_secret = 0;
}

/* close, __gc and __close; safe twice */
static int conn_close (lua_State *L) {
  Conn *c = check_conn(L);
  redisReader *reader = c->reader;
  redisReply *reply = c->reply;
  char *out;
  c->reader = NULL;
  c->reply = NULL;
  wipe_output(c);
  out = c->out;
  c->out = NULL;
  c->out_cap = 0;
  host_stream_close(&c->s);
  if (reply != NULL) freeReplyObject(reply);
  if (reader != NULL) redisReaderFree(reader);
  free(out);
  return 0;
}

static int hex_digit (int ch) {
  if (ch >= '0' && ch <= '9') return ch - '0';
  if (ch >= 'a' && ch <= 'f') return ch - 'a' + 10;
  return -1;
}

/* 64 hex digits -> 32 bytes; raises otherwise */
static void check_pin (lua_State *L, int arg, unsigned char pin[STREAM_PIN]) {
  size_t n, i;
  const char *s = luaL_checklstring(L, arg, &n);
  luaL_argcheck(L, n == 2 * STREAM_PIN, arg, "64 hex digits expected");
  for (i = 0; i < STREAM_PIN; i++) {
    int hi = hex_digit(s[2 * i]), lo = hex_digit(s[2 * i + 1]);
    luaL_argcheck(L, hi >= 0 && lo >= 0, arg, "64 hex digits expected");
    pin[i] = (unsigned char)(hi * 16 + lo);
  }
}

/* redis.open(address, port [, tls_name, ca, pin, insecure]) */
static int redis_open (lua_State *L) {
  const char *address = luaL_checkstring(L, 1);
  lua_Integer port = luaL_checkinteger(L, 2);
  unsigned char pin[STREAM_PIN];
  StreamTls tls;
  Conn *c;
  luaL_argcheck(L, port > 0 && port < 65536, 2, "a port is 1 to 65535");
  tls.name = luaL_optstring(L, 3, NULL);
  tls.ca = luaL_optstring(L, 4, NULL);
  tls.pin = NULL;
  if (!lua_isnoneornil(L, 5)) {
    check_pin(L, 5, pin);
    tls.pin = pin;
  }
  tls.insecure = lua_toboolean(L, 6);
  lua_settop(L, 6);
  c = lua_newuserdatauv(L, sizeof *c, 1);
  memset(c, 0, sizeof *c);
  host_stream_init(&c->s);
  luaL_setmetatable(L, REDIS_CONN);
  c->reader = redisReaderCreate();
  if (c->reader == NULL) return host_fail(L, "limit", "memory", 0, "no memory for a Redis connection");
  if (host_stream_dial(&c->s, address, (int)port, tls.name != NULL ? &tls : NULL) != 0) return fail_stream(L, &c->s);
  return 1;
}

static int push_wait (lua_State *L, int want) {
  return host_wait(L, (want & POLLIN) && (want & POLLOUT) ? "readwrite" : (want & POLLOUT) ? "write" : "read");
}

/* conn:connect() -> true | false, wait | nil, err */
static int conn_connect (lua_State *L) {
  Conn *c = check_conn(L);
  int rc;
  if (c->reader == NULL) return fail_closed(L);
  rc = host_stream_step(&c->s);
  if (rc < 0) return fail_stream(L, &c->s);
  if (rc == 0) return push_wait(L, c->s.want);
  lua_pushboolean(L, 1);
  return 1;
}

static int out_append (Conn *c, const char *bytes, size_t n) {
  if (c->out_at > 0 && c->out_at == c->out_n) wipe_output(c);
  if (c->out_n + n > c->out_cap) {
    size_t cap = (c->out_n + n) * 2;
    char *p = malloc(cap);                   /* not realloc: the old copy is wiped when it holds a secret */
    if (p == NULL) return 0;
    if (c->out_n > 0) memcpy(p, c->out, c->out_n);
    if (c->out_secret) explicit_bzero(c->out, c->out_cap);
    free(c->out);
    c->out = p;
    c->out_cap = cap;
  }
  memcpy(c->out + c->out_n, bytes, n);
  c->out_n += n;
  return 1;
}

/* conn:queue(list) -> true | nil, err */
static int conn_queue (lua_State *L) {
  Conn *c = check_conn(L);
  lua_Integer n, i;
  const char **argv;
  size_t *lens, total = 0;
  char *cmd = NULL;
  int size, secrets = 0, ok;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (c->reader == NULL) return fail_closed(L);
  n = luaL_len(L, 2);
  luaL_argcheck(L, n >= 1 && n <= 1000000, 2, "a command has 1 to 1,000,000 words");
  lua_settop(L, 2);
  lua_createtable(L, (int)n, 0);             /* 3: keeps the words alive */
  argv = lua_newuserdatauv(L, (size_t)n * sizeof *argv, 0);
  lens = lua_newuserdatauv(L, (size_t)n * sizeof *lens, 0);
  for (i = 0; i < n; i++) {
    lua_geti(L, 2, i + 1);
    if (!lua_isstring(L, 6) && !host_is_secret(L, 6))
      return luaL_argerror(L, 2, lua_pushfstring(L, "word %d of the command is a %s, not a string or a number",
                                                 (int)i + 1, luaL_typename(L, 6)));
    argv[i] = lua_isstring(L, 6) ? lua_tolstring(L, 6, &lens[i]) : host_bytes(L, 6, &lens[i]);
    total += lens[i] + 32;                   /* "$", the digits, two line ends */
    secrets |= host_is_secret(L, 6);
    lua_rawseti(L, 3, i + 1);
  }
  if (total > INT_MAX - 32)                  /* hiredis counts in int */
    return host_fail(L, "limit", "size", 0, "a Redis command of more than 2 GiB");
  size = redisFormatCommandArgv(&cmd, (int)n, argv, lens);
  if (size < 0) return host_fail(L, "limit", "memory", 0, "no memory for a Redis command");
  ok = out_append(c, cmd, (size_t)size);
  if (secrets) explicit_bzero(cmd, (size_t)size);
  c->out_secret |= secrets;
  redisFreeCommand(cmd);
  if (!ok) return host_fail(L, "limit", "memory", 0, "no memory for a Redis command");
  lua_pushboolean(L, 1);
  return 1;
}

/* Sends what it can: 1 all sent, 0 wait for s.want, -1 failure. */
static int out_send (Conn *c) {
  while (c->out_at < c->out_n) {
    long n = host_stream_write(&c->s, c->out + c->out_at, c->out_n - c->out_at);
    if (n <= 0) return (int)n;
    c->out_at += (size_t)n;
  }
  if (c->out_n > 0) wipe_output(c);
  return 1;
}

/* An error reply as a table {kind=, code=, message=}: "WRONGTYPE Operation against ..." has the code WRONGTYPE. */
static void push_remote (lua_State *L, const redisReply *r) {
  size_t n = strcspn(r->str, " ");
  lua_createtable(L, 0, 4);
  lua_pushliteral(L, "remote");
  lua_setfield(L, -2, "kind");
  lua_pushlstring(L, r->str, n);
  lua_setfield(L, -2, "code");
  lua_pushlstring(L, r->str, host_redis_said(r->str, r->len));
  lua_setfield(L, -2, "message");
  lua_pushboolean(L, strncmp(r->str, "LOADING", 7) == 0 || strncmp(r->str, "TRYAGAIN", 8) == 0);
  lua_setfield(L, -2, "retry");
}

static void push_value (lua_State *L, const redisReply *r) {
  size_t i;
  luaL_checkstack(L, 4, "Redis reply");
  switch (r->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS: lua_pushlstring(L, r->str, r->len); break;
    case REDIS_REPLY_INTEGER: lua_pushinteger(L, (lua_Integer)r->integer); break;
    case REDIS_REPLY_ERROR: push_remote(L, r); break;
    case REDIS_REPLY_ARRAY:
      lua_createtable(L, r->elements < INT_MAX ? (int)r->elements : 0, 0);
      for (i = 0; i < r->elements; i++) {
        if (r->element[i]->type == REDIS_REPLY_NIL) lua_pushboolean(L, 0);
        else push_value(L, r->element[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
      }
      host_mark_array(L);
      break;
    default: lua_pushnil(L);
  }
}

/* Gets one whole reply into c->reply: 1 there, 0 wait (*want), -1 stream failed, -2 not the protocol. */
static int reply_next (Conn *c, int *want) {
  int turn;
  if (c->reply != NULL) {
    freeReplyObject(c->reply);
    c->reply = NULL;
  }
  for (turn = 0; turn < REDIS_TURNS; turn++) {
    char chunk[REDIS_CHUNK];
    void *reply = NULL;
    int sent;
    long n;
    if (redisReaderGetReply(c->reader, &reply) != REDIS_OK) return -2;
    if (reply != NULL) {
      c->reply = reply;
      return 1;
    }
    sent = out_send(c);
    if (sent < 0) return -1;
    *want = sent == 0 ? c->s.want : 0;
    n = host_stream_read(&c->s, chunk, sizeof chunk);
    if (n < 0) return -1;
    if (n == 0) {
      *want |= c->s.want;
      return 0;
    }
    if (redisReaderFeed(c->reader, chunk, (size_t)n) != REDIS_OK) return -2;
  }
  *want = POLLIN;
  return 0;
}

static int reply_failed (lua_State *L, Conn *c, int rc) {
  if (rc == -1) return fail_stream(L, &c->s);
  return host_fail(L, "protocol", "protocol", 0, "the server's answer is not the Redis protocol: %s",
                   redisReaderGetError(c->reader));
}

/* conn:reply() -> true, value | false, wait | nil, err */
static int conn_reply (lua_State *L) {
  Conn *c = check_conn(L);
  int want = 0, rc;
  if (c->reader == NULL) return fail_closed(L);
  rc = reply_next(c, &want);
  if (rc < 0) return reply_failed(L, c, rc);
  if (rc == 0) return push_wait(L, want);
  if (c->reply->type == REDIS_REPLY_ERROR) {
    lua_pushnil(L);
    push_remote(L, c->reply);
    return 2;
  }
  lua_pushboolean(L, 1);
  push_value(L, c->reply);
  return 2;
}

/* conn:replies(n) -> true, list | false, wait | nil, err; called again with the same n until it is done */
static int conn_replies (lua_State *L) {
  Conn *c = check_conn(L);
  lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n >= 0 && n <= INT_MAX, 2, "a count expected");
  if (c->reader == NULL) return fail_closed(L);
  lua_settop(L, 2);
  if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_createtable(L, (int)n, 0);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, 1);
    c->list_n = 0;
  }
  while (c->list_n < n) {
    int want = 0, rc = reply_next(c, &want);
    if (rc < 0) return reply_failed(L, c, rc);
    if (rc == 0) return push_wait(L, want);
    if (c->reply->type == REDIS_REPLY_NIL) lua_pushboolean(L, 0);
    else push_value(L, c->reply);
    lua_rawseti(L, 3, ++c->list_n);
  }
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 3);
  return 2;
}

/* conn:fd() -> integer | nil, err */
static int conn_fd (lua_State *L) {
  Conn *c = check_conn(L);
  if (c->s.fd < 0) return fail_closed(L);
  lua_pushinteger(L, c->s.fd);
  return 1;
}

/* conn:deadline([t]) -> t | nil */
static int conn_deadline (lua_State *L) {
  Conn *c = check_conn(L);
  if (!lua_isnoneornil(L, 2)) c->deadline = luaL_checknumber(L, 2);
  if (c->deadline > 0) lua_pushnumber(L, c->deadline);
  else lua_pushnil(L);
  return 1;
}

/* conn:open() -> boolean */
static int conn_is_open (lua_State *L) {
  lua_pushboolean(L, check_conn(L)->s.open);
  return 1;
}

/* conn:fingerprint() -> hex | nil */
static int conn_fingerprint (lua_State *L) {
  Conn *c = check_conn(L);
  unsigned char sum[STREAM_PIN];
  char hex[2 * STREAM_PIN];
  int i;
  if (!host_stream_fingerprint(&c->s, sum)) {
    lua_pushnil(L);
    return 1;
  }
  for (i = 0; i < STREAM_PIN; i++) {
    hex[2 * i] = "0123456789abcdef"[sum[i] >> 4];
    hex[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
  }
  lua_pushlstring(L, hex, sizeof hex);
  return 1;
}

static const luaL_Reg functions[] = { { "open", redis_open }, { NULL, NULL } };

static const luaL_Reg methods[] = {
  { "connect", conn_connect }, { "queue", conn_queue }, { "reply", conn_reply }, { "replies", conn_replies },
  { "fd", conn_fd }, { "deadline", conn_deadline }, { "open", conn_is_open }, { "fingerprint", conn_fingerprint }, { "close", conn_close },
  { NULL, NULL }
};

static const luaL_Reg metamethods[] = { { "__gc", conn_close }, { "__close", conn_close }, { NULL, NULL } };

int luaopen_host_redis (lua_State *L) {
  host_need(L, "crypto");
  host_need(L, "ssl");
  host_need(L, "hiredis");
  luaL_newmetatable(L, REDIS_CONN);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
