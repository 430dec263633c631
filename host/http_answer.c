/*
** What a request that is done answers: status, headers and body, or the error that explains why there are none; and
** where a redirect leads.
*/
#include "http.h"

#include <ctype.h>
#include <errno.h>
#include <strings.h>

/* adds a field to all[name], the list of its values; name is in lower case there. The next index has it as it came. */
static void add_field (lua_State *L, int all, const char *name, size_t name_len, const char *value, size_t len) {
  luaL_Buffer low;
  char *out = luaL_buffinitsize(L, &low, name_len);
  for (size_t i = 0; i < name_len; i++) out[i] = (char)tolower((unsigned char)name[i]);
  luaL_pushresultsize(&low, name_len);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, all) != LUA_TTABLE) {                              /* name nil */
    lua_pop(L, 1);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, all);                                                /* name list */
    lua_pushvalue(L, -2);
    lua_pushlstring(L, name, name_len);
    lua_rawset(L, all + 1);
  }
  lua_pushlstring(L, value, len);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 2);
}

/* pushes the values of the list on top, joined with ", " */
static void push_joined (lua_State *L) {
  int list = lua_gettop(L);
  lua_Integer n = (lua_Integer)lua_rawlen(L, list);
  luaL_Buffer joined;
  luaL_buffinit(L, &joined);
  for (lua_Integer i = 1; i <= n; i++) {
    if (i > 1) luaL_addstring(&joined, ", ");
    lua_rawgeti(L, list, i);
    luaL_addvalue(&joined);
  }
  luaL_pushresult(&joined);
}

/* pushes { name = "value, value" } with lower-case names; its index "all" gives { name = { value, value } },
   "spelling" { name = "Name" } */
static void push_headers (lua_State *L, const Buffer *head) {
  const char *at = head->data, *end = head->data + head->len;
  lua_newtable(L);
  int all = lua_gettop(L);
  lua_newtable(L);                                                     /* all spelling */
  while (at < end) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (stop == NULL) stop = end;
    const char *colon = memchr(at, ':', (size_t)(stop - at));
    if (colon != NULL) {
      const char *value = colon + 1, *last = stop;
      while (value < last && isspace((unsigned char)*value)) value++;
      while (last > value && isspace((unsigned char)last[-1])) last--;
      add_field(L, all, at, (size_t)(colon - at), value, (size_t)(last - value));
    }
    at = stop + 1;
  }
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, all) != 0; lua_pop(L, 1)) {         /* all spelling joined name list */
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    push_joined(L);                                                    /* .. name list name list text */
    lua_remove(L, -2);
    lua_rawset(L, all + 2);
  }
  lua_createtable(L, 0, 1);
  lua_createtable(L, 0, 2);
  lua_pushvalue(L, all);
  lua_setfield(L, -2, "all");
  lua_pushvalue(L, all + 1);
  lua_setfield(L, -2, "spelling");
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  lua_replace(L, all);
  lua_settop(L, all);
}

/* nil, err: what a proxy answered instead of a way to the server */
static int refused_by_proxy (lua_State *L, long status) {
  if (status == 407) return host_fail(L, "auth", "proxy", 0, "the proxy wants another user and password (407)");
  return host_fail(L, "network", "proxy", status >= 500, "the proxy does not lead there: it answers %ld", status);
}

/* nil, err */
static int failure (lua_State *L, const Request *r) {
  static const char unusable[] = "Unsupported proxy";                  /* what curl says goes on with its URL and password */
  const char *why = r->detail[0] != '\0' ? r->detail : curl_easy_strerror(r->code);
  const char *kind = "protocol", *code = NULL;
  int retry = 0;
  switch (r->fault) {
    case TOO_LARGE: return host_fail(L, "limit", NULL, 0, "the answer is larger than %zu bytes", r->limit);
    case TOO_LONG: return host_fail(L, "protocol", NULL, 0, "the answer is longer than the %lld bytes of its place in %s", (long long)r->to_size, r->path);
    case NO_MEMORY: return host_fail(L, "limit", NULL, 0, "not enough memory for the answer");
    case CANNOT_WRITE: return host_fail(L, "io", NULL, 0, "cannot write %s: %s", r->path, strerror(r->fault_errno));
    case CANNOT_READ: return host_fail(L, "io", NULL, 0, "cannot read the file to send: %s", strerror(r->fault_errno));
    default: break;
  }
  long status = 0;
  curl_easy_getinfo(r->easy, CURLINFO_HTTP_CONNECTCODE, &status);
  if (status >= 300) return refused_by_proxy(L, status);
  if (strncmp(why, unusable, sizeof unusable - 1) == 0)
    return host_fail(L, "invalid", "proxy", 0, "the proxy that the environment names has no usable URL");
  switch (r->code) {
    case CURLE_ABORTED_BY_CALLBACK: kind = "cancelled"; why = "cancelled"; break;
    case CURLE_OPERATION_TIMEDOUT: kind = "timeout"; retry = 1; break;
    case CURLE_COULDNT_RESOLVE_HOST: case CURLE_COULDNT_RESOLVE_PROXY: kind = "network"; code = "resolve"; retry = 1; break;
    case CURLE_COULDNT_CONNECT: case CURLE_PROXY: kind = "network"; code = "connect"; retry = 1; break;
    case CURLE_SEND_ERROR: case CURLE_RECV_ERROR: case CURLE_GOT_NOTHING: case CURLE_PARTIAL_FILE: case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM: case CURLE_SEND_FAIL_REWIND: kind = "network"; code = "cut"; retry = 1; break;
    case CURLE_SSL_CONNECT_ERROR: kind = "tls"; retry = 1; break;
    case CURLE_PEER_FAILED_VERIFICATION: kind = "tls"; code = "unverified"; break;
    case CURLE_SSL_CACERT_BADFILE: case CURLE_SSL_CERTPROBLEM: case CURLE_SSL_CIPHER: case CURLE_SSL_ISSUER_ERROR: kind = "tls"; break;
    case CURLE_URL_MALFORMAT: kind = "invalid"; why = "not a valid URL"; break;
    case CURLE_UNSUPPORTED_PROTOCOL: why = "the answer is not HTTP"; break;   /* the URL's own is one: see http_open */
    case CURLE_OUT_OF_MEMORY: kind = "limit"; break;
    default: break;
  }
  return host_fail(L, kind, code, retry, "%s", why);
}

int host_http_answer (lua_State *L, const Request *r) {
  if (r->code != CURLE_OK) {
    failure(L, r);
    if (r->head.len > 0) {                                             /* of an answer that broke off */
      push_headers(L, &r->head);
      lua_setfield(L, -2, "headers");
    }
    return 2;
  }
  long status = 0;
  curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
  if (status == 407) return refused_by_proxy(L, status);
  lua_pushinteger(L, status);
  push_headers(L, &r->head);
  if (!host_http_is_kept(r)) lua_pushnil(L);
  else if (r->is_secret) host_push_secret(L, r->body.len > 0 ? r->body.data : "", r->body.len);
  else lua_pushlstring(L, r->body.len > 0 ? r->body.data : "", r->body.len);
  lua_pushinteger(L, (lua_Integer)r->received);
  return 4;
}

int host_http_resolve (lua_State *L) {           /* resolve(base, location) -> url, same origin | nil, err */
  size_t size;
  const char *base = host_bytes(L, 1, &size), *location = luaL_checkstring(L, 2);
  CURLU *u = curl_url();
  char *parts[6] = { NULL }, *url = NULL;
  static const CURLUPart origin[3] = { CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT };
  bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, base, CURLU_PATH_AS_IS) == CURLUE_OK;
  for (int i = 0; ok && i < 3; i++) curl_url_get(u, origin[i], &parts[i], CURLU_DEFAULT_PORT);
  ok = ok && curl_url_set(u, CURLUPART_URL, location, CURLU_PATH_AS_IS) == CURLUE_OK && curl_url_get(u, CURLUPART_URL, &url, 0) == CURLUE_OK;
  for (int i = 0; ok && i < 3; i++) curl_url_get(u, origin[i], &parts[i + 3], CURLU_DEFAULT_PORT);
  bool same = ok;
  for (int i = 0; i < 3; i++) same = same && parts[i] != NULL && parts[i + 3] != NULL && strcasecmp(parts[i], parts[i + 3]) == 0;
  if (ok) lua_pushstring(L, url);
  for (int i = 0; i < 6; i++) curl_free(parts[i]);
  curl_free(url);
  if (u != NULL) curl_url_cleanup(u);
  if (!ok) return host_fail(L, "protocol", NULL, 0, "the redirect does not lead to a valid URL");
  lua_pushboolean(L, same);
  return 2;
}
