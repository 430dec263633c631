/*
** redis.c - a connection to a Redis or Valkey server: commands out, replies in (resp.c), over stream.c.
**
**   redis.open(address, port [, tls_name, ca, pin, insecure]) -> conn | nil, err     numeric address; tls_name: TLS
**   conn:connect()    step: true when the stream is up and the certificate accepted
**   conn:queue(list)  puts one command, a list of strings, numbers and secrets, into the output -> true | nil, err
**   conn:reply([secret])       step: sends what is queued, then true, value of the next reply; its strings as secrets
**   conn:replies(n [, secrets])  step: true, list of the next n replies; an error among them is a table with kind
**                     "remote"; secrets: true, or { [i] = true } for the i-th reply
**   conn:pushes() -> list | nil   what the server sent unasked (RESP3) since the last call
**   conn:alive() -> true | nil, err   takes in what is there without waiting: was the connection closed meanwhile?
**   conn:deadline([t]) -> t, in seconds of loop.now(): when task.step gives up; 0 or none: never
**   conn:fd()  conn:close()  conn:fingerprint() -> sha256 in hex | nil     conn:open() -> boolean
**
** Replies: see resp.h. An error reply is nil, err of kind "remote" with its first word as code.
** States: closed -> connecting -> open -> closed. After a failure every step repeats it until the close.
** A wrong argument raises; everything else is nil, err.
*/
#include "host.h"
#include "resp.h"
#include "stream.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIS_CONN "hkrun.redis.conn"
#define REDIS_TURNS 64                       /* reads in one step, before others get the loop */
#define REDIS_KEEP (1024 * 1024)             /* an output buffer above this is given back once it is sent */

typedef struct Conn {
  HostStream s;
  int live;                                  /* 0: closed */
  Resp in;
  Buffer out;                                /* out_at .. out.len waits to be sent */
  size_t out_at;
  int out_secret;                            /* the output holds a secret: wiped once sent */
  lua_Number deadline;                       /* 0: none */
  int list_n;                                /* replies(): how many are in the list (user value 1) */
} Conn;                                      /* user value 2: the list of pushes */

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
  if (c->out.cap > REDIS_KEEP) buffer_free(&c->out);
  else if (c->out_secret) explicit_bzero(c->out.data, c->out.len);
  c->out.len = c->out_at = 0;
  c->out_secret = 0;
}

/* close, __gc and __close; safe twice */
static int conn_close (lua_State *L) {
  Conn *c = check_conn(L);
  c->live = 0;
  host_resp_free(&c->in);
  buffer_free(&c->out);
  c->out_at = 0;
  host_stream_close(&c->s);
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
  c = lua_newuserdatauv(L, sizeof *c, 2);
  memset(c, 0, sizeof *c);
  host_stream_init(&c->s);
  luaL_setmetatable(L, REDIS_CONN);
  c->live = 1;
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
  if (!c->live) return fail_closed(L);
  rc = host_stream_step(&c->s);
  if (rc < 0) return fail_stream(L, &c->s);
  if (rc == 0) return push_wait(L, c->s.want);
  lua_pushboolean(L, 1);
  return 1;
}

/* Writes the float on top with the fewest digits that mean it. */
static void spell_float (lua_State *L) {
  lua_Number v = lua_tonumber(L, -1);
  char digits[40];
  int precision = 15;
  do snprintf(digits, sizeof digits, "%.*g", precision, v);
  while (precision++ < 17 && strtod(digits, NULL) != v);
  lua_pop(L, 1);
  lua_pushstring(L, digits);
}

/* The bytes of word i of the list at 2, which stays on the stack. */
static const char *push_word (lua_State *L, lua_Integer i, size_t *n) {
  lua_geti(L, 2, i);
  if (lua_type(L, -1) == LUA_TNUMBER && !lua_isinteger(L, -1)) spell_float(L);
  if (lua_isstring(L, -1)) return lua_tolstring(L, -1, n);
  if (!host_is_secret(L, -1))
    luaL_argerror(L, 2, lua_pushfstring(L, "word %d of the command is a %s, not a string or a number", (int)i, luaL_typename(L, -1)));
  return host_bytes(L, lua_gettop(L), n);
}

static void put_head (Conn *c, char kind, size_t n) {          /* there is room */
  c->out.len += (size_t)sprintf(c->out.data + c->out.len, "%c%zu\r\n", kind, n);
}

/* conn:queue(list) -> true | nil, err */
static int conn_queue (lua_State *L) {
  Conn *c = check_conn(L);
  lua_Integer n, i;
  size_t total = 32, len;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (!c->live) return fail_closed(L);
  n = luaL_len(L, 2);
  luaL_argcheck(L, n >= 1 && n <= 1000000, 2, "a command has 1 to 1,000,000 words");
  lua_settop(L, 2);
  for (i = 1; i <= n; i++) {                 /* nothing is put before all words are looked at */
    push_word(L, i, &len);
    if (host_is_secret(L, -1)) c->out_secret = 1;
    lua_pop(L, 1);
    total += len + 32;                       /* "$", the digits, two line ends */
    if (total > INT_MAX) return host_fail(L, "limit", "size", 0, "a Redis command of more than 2 GiB");
  }
  if (c->out_at > 0 && c->out_at == c->out.len) c->out_at = c->out.len = 0;
  if (c->out.cap - c->out.len < total && !buffer_reserve(&c->out, 2 * (c->out.len + total)))
    return host_fail(L, "limit", "memory", 0, "no memory for a Redis command");
  put_head(c, '*', (size_t)n);
  for (i = 1; i <= n; i++) {
    const char *word = push_word(L, i, &len);
    put_head(c, '$', len);
    memcpy(c->out.data + c->out.len, word, len);
    c->out.len += len;
    memcpy(c->out.data + c->out.len, "\r\n", 2);
    c->out.len += 2;
    lua_pop(L, 1);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* Sends what it can: 1 all sent, 0 wait for s.want, -1 failure. */
static int out_send (Conn *c) {
  while (c->out_at < c->out.len) {
    long n = host_stream_write(&c->s, c->out.data + c->out_at, c->out.len - c->out_at);
    if (n <= 0) return (int)n;
    c->out_at += (size_t)n;
  }
  if (c->out.len > 0) wipe_output(c);
  return 1;
}

/* Reads once: 1 something came, 0 wait for s.want, -1 stream failed, -3 no memory. */
static int in_read (Conn *c) {
  size_t room = 0;
  char *to = host_resp_room(&c->in, &room);
  long n = to != NULL ? host_stream_read(&c->s, to, room) : -3;
  if (n <= 0) return (int)n;
  host_resp_fed(&c->in, (size_t)n);
  return 1;
}

static int reply_failed (lua_State *L, Conn *c, int rc) {
  if (rc == -1) return fail_stream(L, &c->s);
  if (rc == -3) return host_fail(L, "limit", "memory", 0, "no memory for a Redis reply");
  return host_fail(L, "protocol", "protocol", 0, "the server's answer is not the Redis protocol: %s", c->in.said);
}

/* Puts a push among those that wait: 1, or -2 not the protocol. */
static int set_aside (lua_State *L, Conn *c) {
  if (lua_getiuservalue(L, 1, 2) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, 2);
  }
  if (!host_resp_push(L, &c->in, 0)) return -2;
  lua_rawseti(L, -2, luaL_len(L, -2) + 1);
  lua_pop(L, 1);
  return 1;
}

/* Gets one whole reply: 1 there, 0 wait (*want), -1 stream failed, -2 not the protocol, -3 no memory. */
static int reply_next (lua_State *L, Conn *c, int *want) {
  int turn, rc, sent;
  for (turn = 0;; turn++) {
    while ((rc = host_resp_whole(&c->in)) > 0 && host_resp_kind(&c->in) == '>')
      if (set_aside(L, c) < 0) return -2;
    if (rc != 0) return rc < 0 ? -2 : 1;
    if (turn == REDIS_TURNS) break;          /* after the look: what the last read brought may be the whole rest */
    sent = out_send(c);
    if (sent < 0) return -1;
    *want = sent == 0 ? c->s.want : 0;
    rc = in_read(c);
    if (rc < 0) return rc;
    if (rc == 0) {
      *want |= c->s.want;
      return 0;
    }
  }
  *want = POLLIN;
  return 0;
}

/* conn:reply([secret]) -> true, value | false, wait | nil, err */
static int conn_reply (lua_State *L) {
  Conn *c = check_conn(L);
  int want = 0, rc;
  char kind;
  if (!c->live) return fail_closed(L);
  lua_settop(L, 2);
  rc = reply_next(L, c, &want);
  if (rc < 0) return reply_failed(L, c, rc);
  if (rc == 0) return push_wait(L, want);
  kind = host_resp_kind(&c->in);
  if (kind == '-' || kind == '!') lua_pushnil(L);
  else lua_pushboolean(L, 1);
  if (!host_resp_push(L, &c->in, lua_toboolean(L, 2))) return reply_failed(L, c, -2);
  return 2;
}

/* conn:replies(n [, secrets]) -> true, list | false, wait | nil, err; called again with the same n until it is done */
static int conn_replies (lua_State *L) {
  Conn *c = check_conn(L);
  lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n >= 0 && n <= INT_MAX, 2, "a count expected");
  if (!c->live) return fail_closed(L);
  lua_settop(L, 3);
  if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_createtable(L, (int)n, 0);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, 1);
    c->list_n = 0;
  }
  while (c->list_n < n) {
    int want = 0, secret = lua_toboolean(L, 3), rc = reply_next(L, c, &want);
    if (rc < 0) return reply_failed(L, c, rc);
    if (rc == 0) return push_wait(L, want);
    if (lua_istable(L, 3)) {
      secret = lua_geti(L, 3, c->list_n + 1) == LUA_TBOOLEAN && lua_toboolean(L, -1);
      lua_pop(L, 1);
    }
    if (!host_resp_push(L, &c->in, secret)) return reply_failed(L, c, -2);
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_pushboolean(L, 0);
    }
    lua_rawseti(L, 4, ++c->list_n);
  }
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 4);
  return 2;
}

/* conn:pushes() -> list | nil */
static int conn_pushes (lua_State *L) {
  check_conn(L);
  lua_getiuservalue(L, 1, 2);
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 2);
  return 1;
}

/* conn:alive() -> true | nil, err */
static int conn_alive (lua_State *L) {
  Conn *c = check_conn(L);
  int rc, want = 0;
  if (!c->live) return fail_closed(L);
  rc = c->out_at < c->out.len ? 0 : reply_next(L, c, &want);
  if (rc < 0) return reply_failed(L, c, rc);
  if (rc > 0) return host_fail(L, "protocol", "protocol", 0, "the server answered what nobody asked");
  lua_pushboolean(L, 1);
  return 1;
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
  { "pushes", conn_pushes }, { "alive", conn_alive },
  { "fd", conn_fd }, { "deadline", conn_deadline }, { "open", conn_is_open }, { "fingerprint", conn_fingerprint }, { "close", conn_close },
  { NULL, NULL }
};

static const luaL_Reg metamethods[] = { { "__gc", conn_close }, { "__close", conn_close }, { NULL, NULL } };

int luaopen_host_redis (lua_State *L) {
  host_need(L, "crypto");
  host_need(L, "ssl");
  luaL_newmetatable(L, REDIS_CONN);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
