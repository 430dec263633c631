/*
** redisside.c - where a Redis server is, as Lua says it to the jobs of redis.copy and redis.same.
*/
#include "redisside.h"

#include <stdlib.h>
#include <string.h>

/* A copy of a string or secret, NUL-ended; NULL for nil. Raises when there is no memory: what it copied so far is in
   the job, which frees it. */
static char *copy_arg (lua_State *L, int arg, size_t *len) {
  size_t n;
  const char *s;
  char *p;
  if (lua_isnoneornil(L, arg)) return NULL;
  s = host_bytes(L, arg, &n);
  p = malloc(n + 1);
  if (p == NULL) luaL_error(L, "not enough memory");
  else {
    memcpy(p, s, n);
    p[n] = '\0';
    if (len != NULL) *len = n;
  }
  return p;
}

static int hex_value (int ch) {
  const char *digits = "0123456789abcdef", *at = ch != '\0' ? strchr(digits, ch) : NULL;
  return at != NULL ? (int)(at - digits) : -1;
}

int host_side_set (lua_State *L, RedisSide *s) {
  lua_Integer port = luaL_checkinteger(L, 3);
  size_t n, i;
  const char *pin = luaL_optlstring(L, 8, NULL, &n);
  luaL_checkstring(L, 2);
  luaL_argcheck(L, s->address == NULL, 1, "this end is already set");
  luaL_argcheck(L, port > 0 && port < 65536, 3, "a port is 1 to 65535");
  luaL_argcheck(L, pin == NULL || n == 2 * STREAM_PIN, 8, "64 hex digits expected");
  for (i = 0; pin != NULL && i < STREAM_PIN; i++) {
    int hi = hex_value(pin[2 * i]), lo = hex_value(pin[2 * i + 1]);
    luaL_argcheck(L, hi >= 0 && lo >= 0, 8, "64 hex digits expected");
    s->pin[i] = (unsigned char)(hi * 16 + lo);
  }
  s->has_pin = pin != NULL;
  s->port = (int)port;
  s->insecure = lua_toboolean(L, 9);
  s->address = copy_arg(L, 2, NULL);
  s->user = copy_arg(L, 4, &s->user_n);
  s->password = copy_arg(L, 5, &s->password_n);
  s->tls_name = copy_arg(L, 6, NULL);
  s->ca = copy_arg(L, 7, NULL);
  s->run_id = copy_arg(L, 10, NULL);
  lua_pushboolean(L, 1);
  return 1;
}
