/*
** resp.c - see resp.h. Protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/
*/
#include "resp.h"
#include "codec.h"
#include "redismove.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define RESP_ROOM (64 * 1024)                /* read at once; more than a TLS record, so that none stays behind */
#define RESP_KEEP (1024 * 1024)              /* an empty buffer above this is given back */
#define RESP_DEPTH 100

void host_resp_free (Resp *r) {
  buffer_free(&r->in);
  r->at = r->seen = 0;
  r->begun = 0;
}

char *host_resp_room (Resp *r, size_t *n) {
  Buffer *b = &r->in;
  if (r->at > 0 && b->cap - b->len < RESP_ROOM) {            /* what was taken makes room */
    buffer_drop(b, r->at);
    r->seen -= r->at;
    r->at = 0;
  }
  if (b->cap - b->len < RESP_ROOM && !buffer_reserve(b, b->cap < RESP_ROOM ? RESP_ROOM : 2 * b->cap)) return NULL;
  *n = b->cap - b->len;
  return b->data + b->len;
}

void host_resp_fed (Resp *r, size_t n) { r->in.len += n; }

static int resp_fail (Resp *r, const char *what, char byte) {
  snprintf(r->said, sizeof r->said, byte >= ' ' && byte < 127 ? "%s \"%c\"" : "%s \\%d", what, byte >= ' ' ? byte : (unsigned char)byte);
  return -1;
}

/* One line: from, after its first byte; the number of its bytes without CR LF; and where the next begins. 0: not all there. */
typedef struct Line { char kind; const char *from; size_t n, next; } Line;

static int line_at (const Resp *r, size_t at, Line *line) {
  const char *start = r->in.data + at, *end;
  if (r->in.len - at < 2) return 0;
  end = memchr(start + 1, '\n', r->in.len - at - 1);
  if (end == NULL) return 0;
  line->kind = *start;
  line->from = start + 1;
  line->n = (size_t)(end - line->from);
  if (line->n > 0 && end[-1] == '\r') line->n--;
  line->next = (size_t)(end + 1 - r->in.data);
  return 1;
}

/* the number of a line, which may be negative; 0: it is none */
static int line_integer (const Line *line, long long *value) {
  size_t i = line->n > 0 && (line->from[0] == '-' || line->from[0] == '+');
  unsigned long long v = 0, most = line->n > 0 && line->from[0] == '-' ? (unsigned long long)LLONG_MAX + 1 : LLONG_MAX;
  if (i == line->n) return 0;
  for (; i < line->n; i++) {
    unsigned digit = (unsigned)line->from[i] - '0';
    if (digit > 9 || v > (most - digit) / 10) return 0;
    v = v * 10 + digit;
  }
  *value = line->from[0] == '-' ? (long long)(0 - v) : (long long)v;
  return 1;
}

/* Looks at one value without what is inside it: 1 passed over, 0 not all there, -1 not the protocol. */
static int pass_one (Resp *r) {
  Line line;
  long long n = 0;
  if (!line_at(r, r->seen, &line)) {
    if (r->seen < r->in.len && strchr("+-:,#_($=!*~>%|", r->in.data[r->seen]) == NULL)
      return resp_fail(r, "a value begins with", r->in.data[r->seen]);
    return 0;
  }
  switch (line.kind) {
    case '+': case '-': case ',': case '#': case '_': case '(': break;
    case ':':
      if (!line_integer(&line, &n)) return resp_fail(r, "no number after", ':');
      break;
    case '$': case '=': case '!': case '*': case '~': case '>': case '%': case '|':
      if (!line_integer(&line, &n) || n < -1) return resp_fail(r, "no size after", line.kind);
      if (n < 0) break;
      if (strchr("$=!", line.kind) != NULL) {
        if (r->in.len - line.next < (unsigned long long)n + 2) return 0;
        line.next += (size_t)n + 2;
        if (memcmp(r->in.data + line.next - 2, "\r\n", 2) != 0) return resp_fail(r, "no end after", line.kind);
      } else {
        if (n > INT_MAX) return resp_fail(r, "no size after", line.kind);
        r->missing += (unsigned long long)n * (line.kind == '%' || line.kind == '|' ? 2 : 1);
        if (line.kind == '|') r->missing++;                    /* an attribute is in front of a value, and is none */
      }
      break;
    default: return resp_fail(r, "a value begins with", line.kind);
  }
  r->missing--;
  r->seen = line.next;
  return 1;
}

int host_resp_whole (Resp *r) {
  if (!r->begun) {
    r->begun = 1;
    r->missing = 1;
    r->seen = r->at;
  }
  while (r->missing > 0) {
    int rc = pass_one(r);
    if (rc <= 0) return rc;
  }
  return 1;
}

char host_resp_kind (const Resp *r) {
  Line line = { 0 };
  line_at(r, r->at, &line);
  return line.n == 2 && memcmp(line.from, "-1", 2) == 0 && strchr("$*", line.kind) != NULL ? '_' : line.kind;
}

/* Was nothing done, and may it be otherwise soon: at a server that starts, or after a failover? */
static int is_passing (const char *code) {
  static const char *const codes[] = { "LOADING", "TRYAGAIN", "READONLY", "MASTERDOWN", "CLUSTERDOWN" };
  size_t i;
  for (i = 0; i < sizeof codes / sizeof *codes; i++)
    if (strcmp(code, codes[i]) == 0) return 1;
  return 0;
}

/* "WRONGTYPE Operation against ..." has the code WRONGTYPE. */
static void push_remote (lua_State *L, const char *s, size_t n) {
  const char *space = memchr(s, ' ', n);
  size_t code = space != NULL ? (size_t)(space - s) : n;
  lua_createtable(L, 0, 4);
  lua_pushliteral(L, "remote");
  lua_setfield(L, -2, "kind");
  lua_pushlstring(L, s, code);
  lua_pushboolean(L, is_passing(lua_tostring(L, -1)));
  lua_setfield(L, -3, "retry");
  lua_setfield(L, -2, "code");
  lua_pushlstring(L, s, host_redis_said(s, n));
  lua_setfield(L, -2, "message");
}

static void push_double (lua_State *L, const char *s, size_t n) {
  char digits[64];
  size_t k = n < sizeof digits ? n : sizeof digits - 1;
  memcpy(digits, s, k);
  digits[k] = '\0';
  lua_pushnumber(L, strtod(digits, NULL));                     /* inf, -inf and nan too */
}

static void push_string (lua_State *L, const char *s, size_t n, int secret) {
  if (secret) host_push_secret(L, s, n);
  else lua_pushlstring(L, s, n);
}

static size_t push_value (lua_State *L, const Resp *r, size_t at, int secret, int depth);

/* n values as a list */
static size_t push_list (lua_State *L, const Resp *r, size_t at, long long n, int secret, int depth) {
  long long i;
  lua_createtable(L, (int)n, 0);
  for (i = 1; i <= n; i++) {
    at = push_value(L, r, at, secret, depth);
    if (at == 0) return 0;
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_pushboolean(L, 0);
    }
    lua_rawseti(L, -2, (lua_Integer)i);
  }
  host_mark_array(L);
  return at;
}

/* n pairs as a table; a key that is nothing or no number is false */
static size_t push_map (lua_State *L, const Resp *r, size_t at, long long n, int secret, int depth) {
  long long i;
  lua_createtable(L, 0, (int)n);
  for (i = 0; i < n; i++) {
    at = push_value(L, r, at, 0, depth);
    if (at == 0) return 0;
    if (lua_isnil(L, -1) || (lua_type(L, -1) == LUA_TNUMBER && isnan(lua_tonumber(L, -1)))) {
      lua_pop(L, 1);
      lua_pushboolean(L, 0);
    }
    at = push_value(L, r, at, secret, depth);
    if (at == 0) return 0;
    lua_rawset(L, -3);
  }
  return at;
}

/* Pushes the value at a place where a whole one is; answers where the next begins, 0 when it is nested too deep. */
static size_t push_value (lua_State *L, const Resp *r, size_t at, int secret, int depth) {
  Line line;
  long long n = 0;
  if (depth > RESP_DEPTH) return 0;
  luaL_checkstack(L, 6, "Redis reply");
  line_at(r, at, &line);
  switch (line.kind) {
    case '+': case '(': lua_pushlstring(L, line.from, line.n); return line.next;     /* OK, QUEUED, ...: no value is a status */
    case '-': push_remote(L, line.from, line.n); return line.next;
    case ',': push_double(L, line.from, line.n); return line.next;
    case '#': lua_pushboolean(L, line.n == 1 && line.from[0] == 't'); return line.next;
    case ':':
      line_integer(&line, &n);
      lua_pushinteger(L, (lua_Integer)n);
      return line.next;
    case '_': lua_pushnil(L); return line.next;
    default: break;
  }
  line_integer(&line, &n);
  if (n < 0) {
    lua_pushnil(L);
    return line.next;
  }
  switch (line.kind) {
    case '$': push_string(L, r->in.data + line.next, (size_t)n, secret); return line.next + (size_t)n + 2;
    case '=':                                                  /* "txt:" or "mkd:" is in front */
      push_string(L, r->in.data + line.next + (n < 4 ? n : 4), (size_t)(n < 4 ? 0 : n - 4), secret);
      return line.next + (size_t)n + 2;
    case '!': push_remote(L, r->in.data + line.next, (size_t)n); return line.next + (size_t)n + 2;
    case '%': return push_map(L, r, line.next, n, secret, depth + 1);
    case '|':                                                  /* nobody asked for it */
      at = push_map(L, r, line.next, n, 0, depth + 1);
      if (at == 0) return 0;
      lua_pop(L, 1);
      return push_value(L, r, at, secret, depth + 1);
    default: return push_list(L, r, line.next, n, secret, depth + 1);
  }
}

int host_resp_push (lua_State *L, Resp *r, int secret) {
  if (push_value(L, r, r->at, secret, 0) == 0) {
    snprintf(r->said, sizeof r->said, "values are nested more than %d deep", RESP_DEPTH);
    return 0;
  }
  r->at = r->seen;
  r->begun = 0;
  if (r->at == r->in.len) {
    if (r->in.cap > RESP_KEEP) buffer_free(&r->in);
    r->in.len = r->at = r->seen = 0;
  }
  return 1;
}
