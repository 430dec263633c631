/*
** host.http: an HTTP client. libcurl's multi interface, driven by the libuv loop; connections are kept and shared.
**
** open(method, url) gives a request in its "new" state, which takes headers, a body and limits; start() hands it to
** curl ("running"); when it is over ("done") the task that awaits id() runs again, and result() answers. A mistake of
** the caller (a line break in a header, a call in the wrong state) raises; what the world does wrong comes back as
** nil, err. Neither an error nor label() shows the query or the user part of a URL, or a header.
*/
#include "http.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST "hkrun.http.request"
#define POOL "hkrun.http.pool"

static const long BULK_BYTES = 256 * 1024;       /* curl's buffer for files; its own, for the rest, are 16 and 64 KiB */

static void fd_close (int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static Request *request_check (lua_State *L, State wanted) {
  Request *r = luaL_checkudata(L, 1, REQUEST);
  if (r->state != wanted) {
    static const char *const names[] = { "closed", "new", "running", "done" };
    luaL_error(L, "this request is %s, not %s", names[r->state], names[wanted]);
  }
  return r;
}

static int request_close (lua_State *L) {        /* close, __gc and __close; a running request is cancelled */
  Request *r = luaL_checkudata(L, 1, REQUEST);
  CURL *easy = r->easy;
  host_http_finish(r, CURLE_ABORTED_BY_CALLBACK, false);               /* nobody awaits what its owner closes */
  r->state = CLOSED;
  r->easy = NULL;
  if (easy != NULL) curl_easy_cleanup(easy);
  for (struct curl_slist *h = r->headers; h != NULL; h = h->next) explicit_bzero(h->data, strlen(h->data));
  curl_slist_free_all(r->headers);
  curl_slist_free_all(r->place);
  r->headers = r->place = NULL;
  buffer_free(&r->out);
  buffer_free(&r->head);
  buffer_free(&r->body);
  fd_close(&r->in_fd);
  if (r->part != NULL && r->to_fd >= 0) unlink(r->part);               /* it was never started */
  fd_close(&r->to_fd);
  free(r->label);
  free(r->path);
  free(r->part);
  r->label = r->path = r->part = NULL;
  return 0;
}

static bool is_loopback (const char *host) {
  return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0;
}

/* Reads what the messages may show of the URL. NULL, or why the URL is refused. */
static const char *request_url (Request *r, const char *method, const char *url, bool is_hidden, bool *loopback) {
  char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
  const char *why = NULL;
  CURLU *u = curl_url();
  if (u == NULL) return "not enough memory";
  if (curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS) != CURLUE_OK ||
      curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
    why = "is not a URL";
  else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
    why = "is not an http or https URL";
  else {
    size_t size = strlen(method) + strlen(scheme) + strlen(host) + 32;
    curl_url_get(u, CURLUPART_PORT, &port, 0);
    curl_url_get(u, CURLUPART_PATH, &path, 0);
    if (path != NULL) size += strlen(path);
    r->label = malloc(size);
    if (r->label == NULL) why = "not enough memory";
    else
      snprintf(r->label, size, "%s %s://%s%s%s%s", method, scheme, host, port != NULL ? ":" : "", port != NULL ? port : "",
               is_hidden || path == NULL ? "" : path);
    *loopback = is_loopback(host);
  }
  curl_free(scheme);
  curl_free(host);
  curl_free(port);
  curl_free(path);
  curl_url_cleanup(u);
  return why;
}

static int http_open (lua_State *L) {            /* open(method, url) -> request | nil, err */
  Pool *pool = lua_touserdata(L, lua_upvalueindex(1));
  size_t size;
  const char *method = luaL_checkstring(L, 1), *url = host_bytes(L, 2, &size);
  for (const char *m = method; *m != '\0' || m == method; m++) luaL_argcheck(L, isupper((unsigned char)*m), 1, "not a method");
  luaL_argcheck(L, strlen(url) == size, 2, "a URL cannot hold a zero byte");
  if (strncasecmp(url, "https:", 6) == 0) host_need(L, "nghttp2");
  for (size_t i = 0; i < size; i++) if ((unsigned char)url[i] >= 0x80) host_need(L, "idn2");
  Request *r = lua_newuserdatauv(L, sizeof *r, 2);
  memset(r, 0, sizeof *r);
  r->pool = pool;
  r->in_fd = r->to_fd = -1;
  r->limit = 64 * 1024 * 1024;
  luaL_setmetatable(L, REQUEST);
  lua_pushvalue(L, lua_upvalueindex(1));         /* keeps the pool alive as long as the request */
  lua_setiuservalue(L, -2, 1);
  bool loopback = false;
  const char *why = request_url(r, method, url, host_is_secret(L, 2), &loopback);
  if (why != NULL) return host_fail(L, "invalid", NULL, 0, "its address %s", why);
  if ((r->easy = curl_easy_init()) == NULL) return host_fail(L, "limit", NULL, 0, "not enough memory");
  r->state = NEW;
  CURL *e = r->easy;
  curl_easy_setopt(e, CURLOPT_URL, url);
  curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  if (strcmp(method, "HEAD") == 0) curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
  else curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);                /* GET, too: with a body it is a POST to curl */
  if (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0) {
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);   /* says Content-Length: 0 until there is a body */
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
  }
  /* curl reads the other variables of proxies itself, and not this one, which a CGI program must not trust */
  const char *proxy = strncmp(url, "http:", 5) == 0 && getenv("http_proxy") == NULL ? getenv("HTTP_PROXY") : NULL;
  if (proxy != NULL) curl_easy_setopt(e, CURLOPT_PROXY, proxy);
  if (loopback) curl_easy_setopt(e, CURLOPT_PROXY, "");
  curl_easy_setopt(e, CURLOPT_SOCKS5_AUTH, CURLAUTH_BASIC);            /* no Kerberos */
  const char *ca = getenv("SSL_CERT_FILE"), *ca_dir = getenv("SSL_CERT_DIR");
  if (ca != NULL && *ca != '\0') {
    curl_easy_setopt(e, CURLOPT_CAINFO, ca);
    curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, ca);
  }
  if (ca_dir != NULL && *ca_dir != '\0') {
    curl_easy_setopt(e, CURLOPT_CAPATH, ca_dir);
    curl_easy_setopt(e, CURLOPT_PROXY_CAPATH, ca_dir);
  }
  curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
  curl_easy_setopt(e, CURLOPT_USERAGENT, "hkrun");
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);   /* a cancel does not wait for a name look-up */
  curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->detail);
  curl_easy_setopt(e, CURLOPT_PRIVATE, (void *)r);
  host_http_callbacks(r);
  return 1;
}

static bool headers_add (Request *r, const char *line) {
  struct curl_slist *list = curl_slist_append(r->headers, line);
  if (list != NULL) r->headers = list;
  return list != NULL;
}

static int request_header (lua_State *L) {       /* r:header(name, value): the value may be a secret */
  Request *r = request_check(L, NEW);
  size_t name_len, size;
  const char *name = luaL_checklstring(L, 2, &name_len), *value = host_bytes(L, 3, &size);
  luaL_argcheck(L, name_len > 0 && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~") == name_len, 2,
                "not a header name");
  for (size_t i = 0; i < size; i++) luaL_argcheck(L, value[i] != '\r' && value[i] != '\n' && value[i] != '\0', 3, "a line break in a header");
  if (strcasecmp(name, "content-type") == 0) r->has_type = true;
  Buffer line = { NULL, 0, 0 };                  /* nothing below raises before it is freed */
  bool ok = buffer_add(&line, name, name_len) && (size > 0 ? buffer_add(&line, ": ", 2) && buffer_add(&line, value, size) : buffer_add(&line, ";", 1)) &&
            buffer_add(&line, "", 1) && headers_add(r, line.data);
  buffer_free(&line);
  return ok ? 0 : luaL_error(L, "not enough memory");
}

static int request_body (lua_State *L) {         /* r:body(string | secret) */
  Request *r = request_check(L, NEW);
  size_t size;
  const char *bytes = host_bytes(L, 2, &size);
  buffer_free(&r->out);
  if (!buffer_add(&r->out, bytes, size)) return luaL_error(L, "not enough memory");
  curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
  curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, size > 0 ? r->out.data : "");
  return 0;
}

static int request_body_file (lua_State *L) {    /* r:body_file(path [, offset [, length]]) -> true | nil, err */
  Request *r = request_check(L, NEW);
  const char *path = luaL_checkstring(L, 2);
  lua_Integer offset = luaL_optinteger(L, 3, 0);
  struct stat st;
  fd_close(&r->in_fd);
  r->in_fd = open(path, O_RDONLY | O_CLOEXEC);
  if (r->in_fd < 0 || fstat(r->in_fd, &st) != 0) return host_fail(L, "io", NULL, 0, "cannot read %s: %s", path, strerror(errno));
  if (!S_ISREG(st.st_mode)) return host_fail(L, "io", NULL, 0, "cannot send %s: it is not a regular file", path);
  lua_Integer length = luaL_optinteger(L, 4, (lua_Integer)st.st_size - offset);
  if (offset < 0 || length < 0 || offset > st.st_size - length)
    return host_fail(L, "io", NULL, 0, "cannot send %s: it has only %lld bytes", path, (long long)st.st_size);
  r->in_start = offset;
  r->in_size = length;
  curl_easy_setopt(r->easy, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(r->easy, CURLOPT_INFILESIZE_LARGE, r->in_size);
  curl_easy_setopt(r->easy, CURLOPT_UPLOAD_BUFFERSIZE, BULK_BYTES);
  lua_pushboolean(L, 1);
  return 1;
}

static int request_to_file (lua_State *L) {      /* r:to_file(path) -> true | nil, err: a 2xx body appears there, complete */
  Request *r = request_check(L, NEW);
  const char *path = luaL_checkstring(L, 2);
  size_t size = strlen(path) + 16;
  if (r->path != NULL) return luaL_error(L, "the body goes to a file already");
  r->path = strdup(path);
  r->part = malloc(size);
  if (r->path == NULL || r->part == NULL) return luaL_error(L, "not enough memory");
  snprintf(r->part, size, "%s.part-XXXXXX", path);
  if ((r->to_fd = mkostemp(r->part, O_CLOEXEC)) < 0) return host_fail(L, "io", NULL, 0, "cannot write %s: %s", path, strerror(errno));
  curl_easy_setopt(r->easy, CURLOPT_BUFFERSIZE, BULK_BYTES);
  lua_pushboolean(L, 1);
  return 1;
}

static int request_to_range (lua_State *L) {     /* r:to_range(path, offset, length) -> true | nil, err: a 2xx body is written there */
  Request *r = request_check(L, NEW);
  const char *path = luaL_checkstring(L, 2);
  lua_Integer offset = luaL_checkinteger(L, 3), length = luaL_checkinteger(L, 4);
  luaL_argcheck(L, offset >= 0, 3, "not an offset");
  luaL_argcheck(L, length >= 0, 4, "not a length");
  if (r->path != NULL) return luaL_error(L, "the body goes to a file already");
  if ((r->path = strdup(path)) == NULL) return luaL_error(L, "not enough memory");
  r->to_start = offset;
  r->to_size = length;
  if ((r->to_fd = open(path, O_WRONLY | O_CLOEXEC)) < 0) return host_fail(L, "io", NULL, 0, "cannot write %s: %s", path, strerror(errno));
  curl_easy_setopt(r->easy, CURLOPT_BUFFERSIZE, BULK_BYTES);
  lua_pushboolean(L, 1);
  return 1;
}

static int request_to_reader (lua_State *L) {    /* r:to_reader(reader): a 2xx body goes there as it arrives, and id() is ready */
  Request *r = request_check(L, NEW);
  r->reader = host_reader(L, 2);
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, 2);                    /* keeps it */
  return 0;
}

static int request_ca (lua_State *L) {           /* r:ca(path): trust only what is in this PEM file */
  Request *r = request_check(L, NEW);
  curl_easy_setopt(r->easy, CURLOPT_CAINFO, luaL_checkstring(L, 2));
  curl_easy_setopt(r->easy, CURLOPT_CAPATH, NULL);
  return 0;
}

static int request_fresh (lua_State *L) {        /* r:fresh(): a new connection, on which curl sends nothing a second time */
  Request *r = request_check(L, NEW);
  curl_easy_setopt(r->easy, CURLOPT_FRESH_CONNECT, 1L);
  return 0;
}

static int request_connect_to (lua_State *L) {   /* r:connect_to("::address:port"): there, whatever the DNS says of the URL's host */
  Request *r = request_check(L, NEW);
  curl_slist_free_all(r->place);
  if ((r->place = curl_slist_append(NULL, luaL_checkstring(L, 2))) == NULL) return luaL_error(L, "not enough memory");
  curl_easy_setopt(r->easy, CURLOPT_CONNECT_TO, r->place);
  return 0;
}

static long seconds_to_ms (lua_State *L, int arg) {
  lua_Number s = luaL_checknumber(L, arg);
  luaL_argcheck(L, s >= 0 && s < 1e6, arg, "not a number of seconds");
  return s > 0 && s < 0.001 ? 1 : (long)(s * 1000);
}

static int request_limits (lua_State *L) {       /* r:limits(connect_s, total_s, stall_s, bytes): 0 s = none */
  Request *r = request_check(L, NEW);
  long stall = (seconds_to_ms(L, 4) + 999) / 1000;
  lua_Integer bytes = luaL_checkinteger(L, 5);
  luaL_argcheck(L, bytes >= 0, 5, "not a size");
  curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT_MS, seconds_to_ms(L, 2));
  curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, seconds_to_ms(L, 3));
  curl_easy_setopt(r->easy, CURLOPT_LOW_SPEED_LIMIT, stall > 0 ? 1L : 0L);
  curl_easy_setopt(r->easy, CURLOPT_LOW_SPEED_TIME, stall);
  r->limit = (size_t)bytes;
  return 0;
}

static int request_secret (lua_State *L) {       /* r:secret(): result() gives the body as a secret */
  request_check(L, NEW)->is_secret = true;
  return 0;
}

static int request_start (lua_State *L) {        /* r:start() -> true | nil, err */
  Request *r = request_check(L, NEW);
  Pool *pool = r->pool;
  if (!r->has_type && !headers_add(r, "Content-Type:")) return luaL_error(L, "not enough memory");     /* curl would say "form" */
  curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
  if (!host_http_open(pool)) return host_fail(L, "limit", NULL, 0, "cannot start an HTTP client");
  r->id = host_id_new(L);
  r->next = pool->running;
  if (r->next != NULL) r->next->prev = r;
  pool->running = r;
  r->state = RUNNING;
  CURLMcode code = curl_multi_add_handle(pool->multi, r->easy);
  if (code != CURLM_OK) {
    host_http_finish(r, CURLE_FAILED_INIT, false);
    return host_fail(L, "limit", NULL, 0, "%s", curl_multi_strerror(code));
  }
  lua_pushboolean(L, 1);
  return 1;
}

static int request_cancel (lua_State *L) {       /* r:cancel(): whoever waits for it gets an error "cancelled" */
  Request *r = luaL_checkudata(L, 1, REQUEST);
  host_http_finish(r, CURLE_ABORTED_BY_CALLBACK, true);
  return 0;
}

static int request_id (lua_State *L) {           /* r:id() -> id to await */
  Request *r = luaL_checkudata(L, 1, REQUEST);
  lua_pushinteger(L, r->id);
  return 1;
}

static int request_is_done (lua_State *L) {      /* r:is_done(): else id() was ready for the reader, and will be again */
  Request *r = luaL_checkudata(L, 1, REQUEST);
  r->is_told = false;
  lua_pushboolean(L, r->state == DONE);
  return 1;
}

static int request_label (lua_State *L) {        /* r:label() -> "GET https://host/path", fit for a message */
  lua_pushstring(L, request_check(L, NEW)->label);
  return 1;
}

static int request_progress (lua_State *L) {     /* r:progress() -> bytes sent, bytes received */
  Request *r = luaL_checkudata(L, 1, REQUEST);
  curl_off_t sent = 0;
  if (r->easy != NULL) curl_easy_getinfo(r->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
  lua_pushinteger(L, (lua_Integer)sent);
  lua_pushinteger(L, (lua_Integer)r->received);
  return 2;
}

static int request_result (lua_State *L) {       /* r:result() -> status, headers, body | nil when in the file, size | nil, err */
  Request *r = luaL_checkudata(L, 1, REQUEST);
  if (r->state == CLOSED) return host_fail(L, "closed", NULL, 0, "this request is closed");
  return host_http_answer(L, request_check(L, DONE));
}

static int http_close_idle (lua_State *L) {      /* close_idle() -> true, or false while requests run */
  Pool *pool = lua_touserdata(L, lua_upvalueindex(1));
  bool idle = pool->running == NULL;
  if (idle) host_http_shut(pool);
  lua_pushboolean(L, idle);
  return 1;
}

static int pool_gc (lua_State *L) {
  Pool *pool = luaL_checkudata(L, 1, POOL);
  while (pool->running != NULL) host_http_finish(pool->running, CURLE_ABORTED_BY_CALLBACK, false);
  host_http_shut(pool);
  return 0;
}

static const luaL_Reg functions[] = {
  { "open", http_open }, { "close_idle", http_close_idle }, { "resolve", host_http_resolve }, { NULL, NULL }
};

static const luaL_Reg methods[] = {
  { "header", request_header }, { "body", request_body }, { "body_file", request_body_file }, { "to_file", request_to_file },
  { "to_range", request_to_range }, { "to_reader", request_to_reader }, { "is_done", request_is_done }, { "ca", request_ca }, { "limits", request_limits }, { "secret", request_secret }, { "fresh", request_fresh }, { "connect_to", request_connect_to }, { "start", request_start },
  { "cancel", request_cancel }, { "id", request_id }, { "label", request_label }, { "progress", request_progress }, { "result", request_result },
  { "close", request_close }, { NULL, NULL }
};

static const luaL_Reg metamethods[] = {
  { "__gc", request_close }, { "__close", request_close }, { NULL, NULL }
};

int luaopen_host_http (lua_State *L) {
  host_need(L, "crypto");                        /* what curl calls of its libraries for plain HTTP */
  host_need(L, "ssl");
  host_need(L, "z");
  uv_loop_t *loop = host_loop(L);                /* made before the pool, so closed after it */
  curl_global_init(CURL_GLOBAL_DEFAULT);
  luaL_newmetatable(L, REQUEST);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlibtable(L, functions);
  Pool *pool = lua_newuserdatauv(L, sizeof *pool, 0);
  memset(pool, 0, sizeof *pool);
  pool->loop = loop;
  if (luaL_newmetatable(L, POOL)) {
    lua_pushcfunction(L, pool_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  luaL_setfuncs(L, functions, 1);
  return 1;
}
