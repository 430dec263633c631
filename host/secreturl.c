/* secret.parse_url and secret.build_url: URLs of databases and the like, whose password stays a secret.
   parse_url answers nil, err for what is not a URL; the error never quotes it. */
#include "codec.h"

#include <stdio.h>
#include <string.h>

static int hex_digit (char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* sets field `name` of the table on top to the decoded bytes; 0 when a % is not followed by two digits */
static int set_decoded (lua_State *L, const char *name, const char *s, size_t length, int secret) {
  HostBuf *b = host_buf_new(L);
  b->secret = secret;
  for (size_t i = 0; i < length; i++) {
    int high = s[i] == '%' && i + 2 < length ? hex_digit(s[i + 1]) : -1;
    int low = high >= 0 ? hex_digit(s[i + 2]) : -1;
    if (s[i] != '%') host_buf_char(L, b, s[i]);
    else if (low < 0) {
      lua_pop(L, 1);
      return 0;
    } else {
      host_buf_char(L, b, (char)(high * 16 + low));
      i += 2;
    }
  }
  host_buf_push(L, b);
  lua_setfield(L, -3, name);
  lua_pop(L, 1);
  return 1;
}

static const char *find_any (const char *s, const char *end, const char *set) {
  while (s < end && (*s == '\0' || strchr(set, *s) == NULL)) s++;
  return s;
}

static const char *find_last (const char *s, const char *end, char c) {
  for (const char *p = end; p > s; p--)
    if (p[-1] == c) return p - 1;
  return NULL;
}

static int bad_url (lua_State *L, const char *why) {
  return host_fail(L, "invalid", NULL, 0, "not a usable URL: %s", why);
}

/* the query can carry a password too (libpq allows ?password=); then it stays a secret */
static int query_has_secret (const char *s, size_t length) {
  static const char *const names[] = {"password", "passwd", "passfile", "token", "secret", "key", "signature"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    size_t n = strlen(names[i]);
    for (size_t at = 0; at + n <= length; at++) {
      size_t same = 0;
      while (same < n && ((unsigned char)s[at + same] | 0x20) == (unsigned char)names[i][same]) same++;
      int is_path = at >= 3 && at + 4 <= length && memcmp(s + at - 3, "sslkey=", 7) == 0;   /* libpq's: a file */
      if (same == n && !is_path) return 1;
    }
  }
  return 0;
}

/* parse_url(string | secret) -> {scheme, user, password, host, port, path, query} | nil, err */
int host_secret_parse_url (lua_State *L) {
  size_t length;
  const char *url = host_bytes(L, 1, &length), *end = url + length;
  const char *s = url;
  while (s < end && ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z' ? 1 : s > url && ((*s >= '0' && *s <= '9') ||
         *s == '+' || *s == '-' || *s == '.'))) s++;
  if (s == url || end - s < 3 || memcmp(s, "://", 3) != 0) return bad_url(L, "it does not start with a scheme such as postgres://");
  for (const char *p = s; p < end; p++)
    if ((unsigned char)*p <= ' ' || *p == 0x7F) return bad_url(L, "it holds a space or a control character");
  lua_createtable(L, 0, 7);
  lua_pushlstring(L, url, (size_t)(s - url));
  lua_setfield(L, -2, "scheme");
  s += 3;

  const char *authority = find_any(s, end, "/?#");
  const char *at = find_last(s, authority, '@');
  if (at != NULL) {
    const char *colon = find_any(s, at, ":");
    if (colon > s && !set_decoded(L, "user", s, (size_t)(colon - s), 0)) return bad_url(L, "a % in the user is not followed by two digits");
    if (colon < at && !set_decoded(L, "password", colon + 1, (size_t)(at - colon - 1), 1))
      return bad_url(L, "a % in the password is not followed by two digits");
    s = at + 1;
  }

  const char *host_end;
  if (s < authority && *s == '[') {
    host_end = find_any(++s, authority, "]");
    if (host_end == authority) return bad_url(L, "the bracket of an IPv6 address is not closed");
  } else host_end = find_any(s, authority, ":");
  lua_pushlstring(L, s, (size_t)(host_end - s));
  lua_setfield(L, -2, "host");
  s = host_end;
  if (s < authority && *s == ']') s++;
  if (s < authority) {
    long port = 0;
    if (*s != ':') return bad_url(L, "only a port can follow the host");
    for (s++; s < authority; s++) {
      if (*s < '0' || *s > '9' || (port = port * 10 + (*s - '0')) > 65535) return bad_url(L, "the port is not a number up to 65535");
    }
    if (port > 0) {
      lua_pushinteger(L, port);
      lua_setfield(L, -2, "port");
    }
  }

  const char *path_end = find_any(authority, end, "?#");
  lua_pushlstring(L, authority, (size_t)(path_end - authority));
  lua_setfield(L, -2, "path");
  if (path_end < end && *path_end == '?') {
    const char *query_end = find_any(++path_end, end, "#");
    size_t n = (size_t)(query_end - path_end);
    if (query_has_secret(path_end, n)) host_push_secret(L, path_end, n);
    else lua_pushlstring(L, path_end, n);
    lua_setfield(L, -2, "query");
  }
  return 1;
}

/* adds field `name` of the table at 1; 0 when it is absent */
static int add_field (lua_State *L, HostBuf *b, const char *name, const char *before, int encode) {
  size_t length;
  if (lua_getfield(L, 1, name) == LUA_TNIL) {
    lua_pop(L, 1);
    return 0;
  }
  if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER && !host_is_secret(L, -1))
    return luaL_error(L, "field '%s' of the URL is a %s", name, luaL_typename(L, -1));
  b->secret = b->secret || host_is_secret(L, -1);
  const char *s = lua_type(L, -1) == LUA_TNUMBER ? lua_tolstring(L, -1, &length) : host_bytes(L, -1, &length);
  host_buf_text(L, b, before);
  if (encode) host_encode_url(L, b, s, length);
  else host_buf_add(L, b, s, length);
  lua_pop(L, 1);
  return 1;
}

/* build_url{scheme, user, password, host, port, path, query} -> string, or secret if a part is one, or unknown */
int host_secret_build_url (lua_State *L) {
  static const char *const names[] = {"scheme", "user", "password", "host", "port", "path", "query"};
  luaL_checktype(L, 1, LUA_TTABLE);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    lua_getfield(L, 1, names[i]);
    if (host_is_unknown(L, -1)) return 1;
    lua_pop(L, 1);
  }
  lua_getfield(L, 1, "host");
  const char *host = luaL_checkstring(L, -1);
  int ipv6 = strchr(host, ':') != NULL;
  HostBuf *b = host_buf_new(L);
  if (!add_field(L, b, "scheme", "", 0)) return luaL_error(L, "the URL needs a scheme");
  host_buf_text(L, b, "://");
  int user = add_field(L, b, "user", "", 1), password = add_field(L, b, "password", ":", 1);
  if (user || password) host_buf_char(L, b, '@');
  host_buf_text(L, b, ipv6 ? "[" : "");
  host_buf_text(L, b, host);
  host_buf_text(L, b, ipv6 ? "]" : "");
  add_field(L, b, "port", ":", 0);
  add_field(L, b, "path", "", 0);
  add_field(L, b, "query", "?", 0);
  host_buf_push(L, b);
  return 1;
}
