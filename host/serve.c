/*
** host.serve: an HTTP/1.1 server. libmicrohttpd without threads; its epoll descriptor is watched by the libuv loop.
**
** open(...) listens; accept() gives the next complete request (an exchange: serve_exchange.c) or false and the id to
** await. Small bodies are held in memory, larger ones in a temporary file. A connection waits, suspended, until its
** exchange is answered; closing the server cuts what is open.
*/
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 1000, HEAD_BYTES = 128 * 1024, IDLE_SECONDS = 120, TURNS = 16 };

static void handle_free (uv_handle_t *handle) { free(handle); }

/* ---- the loop drives MHD ------------------------------------------------------------------------------------------ */

static void server_run (Server *s);

static void on_ready (uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  server_run(poll->data);
}

static void on_timer (uv_timer_t *timer) { server_run(timer->data); }

/* MHD asks for 0 ms while it has more to send, and as long as a TLS handshake lasts: it gets some turns, then others
   have theirs. libuv runs a timer that its own callback sets to 0 again and again without looking at any descriptor,
   hence 1. */
static void server_run (Server *s) {
  MHD_UNSIGNED_LONG_LONG ms = 0;
  bool wants = true;
  for (int turn = 0; s->daemon != NULL && wants && ms == 0 && turn < TURNS; turn++) {
    MHD_run(s->daemon);
    wants = s->daemon != NULL && MHD_get_timeout(s->daemon, &ms) == MHD_YES;
  }
  if (s->daemon == NULL) return;
  if (wants) uv_timer_start(s->timer, on_timer, ms > 0 ? ms : 1, 0);
  else uv_timer_stop(s->timer);
}

/* A resumed connection is not an event that MHD's epoll descriptor shows when MHD has no thread of its own. */
void host_server_soon (Server *s) {
  if (s->timer != NULL) uv_timer_start(s->timer, on_timer, 0, 0);
}

/* ---- what MHD tells ----------------------------------------------------------------------------------------------- */

/* the request line was read: the raw target is to be had only here */
static void *on_target (void *arg, const char *target, struct MHD_Connection *connection) {
  Server *s = arg;
  Exchange *e = calloc(1, sizeof *e);
  if (e == NULL) return NULL;
  e->refs = 1;
  e->server = s;
  e->connection = connection;
  e->body_fd = -1;
  e->target = strdup(target);
  e->next = s->open;
  if (e->next != NULL) e->next->prev = e;
  s->open = e;
  return e;
}

static size_t no_unescape (void *arg, struct MHD_Connection *connection, char *text) {
  (void)arg;
  (void)connection;
  return strlen(text);
}

static enum MHD_Result on_header (void *arg, enum MHD_ValueKind kind, const char *name, const char *value) {
  Exchange *e = arg;
  (void)kind;
  if (value == NULL) value = "";
  return buffer_add(&e->headers, name, strlen(name) + 1) && buffer_add(&e->headers, value, strlen(value) + 1) ? MHD_YES : MHD_NO;
}

static void read_peer (Exchange *e) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(e->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  char address[INET6_ADDRSTRLEN] = "";
  if (info == NULL || info->client_addr == NULL) return;
  if (info->client_addr->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const void *)info->client_addr;
    inet_ntop(AF_INET, &in->sin_addr, address, sizeof address);
    snprintf(e->peer, sizeof e->peer, "%s:%d", address, ntohs(in->sin_port));
  } else if (info->client_addr->sa_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const void *)info->client_addr;
    inet_ntop(AF_INET6, &in6->sin6_addr, address, sizeof address);
    snprintf(e->peer, sizeof e->peer, "[%s]:%d", address, ntohs(in6->sin6_port));
  }
}

static bool spill (Exchange *e, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t wrote = write(e->body_fd, bytes, n);
    if (wrote < 0 && errno != EINTR) return false;
    if (wrote > 0) {
      bytes += wrote;
      n -= (size_t)wrote;
    }
  }
  return true;
}

/* more of the request's body; false closes the connection */
static bool take_body (Server *s, Exchange *e, const char *bytes, size_t n) {
  e->body_size += n;
  if (e->body_size > s->size_limit) e->is_too_large = true;
  if (e->is_too_large) return e->body_size < s->size_limit + 16 * 1024 * 1024;    /* lets a client read the 413 */
  if (e->body_fd < 0 && e->body.len + n <= s->memory_limit) return buffer_add(&e->body, bytes, n);
  if (e->body_fd < 0) {
    size_t size = strlen(s->tmpdir) + 32;
    if ((e->body_path = malloc(size)) == NULL) return false;
    snprintf(e->body_path, size, "%s/hkrun-body-XXXXXX", s->tmpdir);
    if ((e->body_fd = mkostemp(e->body_path, O_CLOEXEC)) < 0) {
      free(e->body_path);
      e->body_path = NULL;
      return false;
    }
    if (!spill(e, e->body.data, e->body.len)) return false;
    buffer_free(&e->body);
  }
  return spill(e, bytes, n);
}

static enum MHD_Result refuse (struct MHD_Connection *connection, unsigned status) {
  struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
  if (response == NULL) return MHD_NO;
  enum MHD_Result ok = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return ok;
}

static enum MHD_Result hand_over (Server *s, Exchange *e) {
  if (e->body_fd >= 0) {
    int fd = e->body_fd;
    e->body_fd = -1;
    if (close(fd) != 0) return MHD_NO;
  }
  MHD_get_connection_values(e->connection, MHD_HEADER_KIND, on_header, e);
  read_peer(e);
  e->is_suspended = true;
  MHD_suspend_connection(e->connection);
  if (s->last != NULL) s->last->queued = e;
  else s->first = e;
  s->last = e;
  if (s->acceptor != 0) host_ready_loop(s->loop, s->acceptor);
  s->acceptor = 0;
  return MHD_YES;
}

/* MHD calls it first with the head, then for each piece of the body, then at the end, and again after a resume */
static enum MHD_Result on_request (void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                   const char *version, const char *bytes, size_t *n, void **context) {
  Server *s = arg;
  Exchange *e = *context;
  (void)url;
  (void)version;
  if (e == NULL || e->target == NULL || e->is_dropped || s->is_closing) return MHD_NO;
  if (e->method == NULL) {
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    if ((e->method = strdup(method)) == NULL) return MHD_NO;
    if (length != NULL && strtoull(length, NULL, 10) > s->size_limit) return refuse(connection, 413);
    return MHD_YES;
  }
  if (*n > 0) {
    size_t size = *n;
    *n = 0;
    return take_body(s, e, bytes, size) ? MHD_YES : MHD_NO;
  }
  if (e->is_too_large) return refuse(connection, 413);
  if (e->is_replied) {
    struct MHD_Response *response = e->response;
    e->response = NULL;
    if (response == NULL) return MHD_YES;
    enum MHD_Result ok = MHD_queue_response(connection, e->status, response);
    MHD_destroy_response(response);
    return ok;
  }
  if (e->is_taken) return MHD_YES;
  e->is_taken = true;
  return hand_over(s, e);
}

static void on_completed (void *arg, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code) {
  (void)arg;
  (void)connection;
  Exchange *e = *context;
  *context = NULL;
  if (e == NULL) return;
  if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK) e->is_cut = true;
  host_exchange_over(e);
}

/* ---- Lua ------------------------------------------------------------------------------------------------------------ */

/* a listening socket, or -1 and errno */
static int listen_on (const char *host, int port, int *chosen) {
  union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; struct sockaddr_storage size; } a;
  memset(&a, 0, sizeof a);
  socklen_t len;
  if (inet_pton(AF_INET, host, &a.v4.sin_addr) == 1) {
    a.v4.sin_family = AF_INET;
    a.v4.sin_port = htons((uint16_t)port);
    len = sizeof a.v4;
  } else if (inet_pton(AF_INET6, host, &a.v6.sin6_addr) == 1) {
    a.v6.sin6_family = AF_INET6;
    a.v6.sin6_port = htons((uint16_t)port);
    len = sizeof a.v6;
  } else {
    errno = EADDRNOTAVAIL;
    return -1;
  }
  int on = 1, fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, &a.any, len) == 0 && listen(fd, 1024) == 0 && getsockname(fd, &a.any, &len) == 0) {
    *chosen = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    return fd;
  }
  int err = errno;
  close(fd);
  errno = err;
  return -1;
}

static int server_close (lua_State *L) {         /* close, __gc and __close; cuts what is open */
  Server *s = luaL_checkudata(L, 1, SERVER);
  struct MHD_Daemon *daemon = s->daemon;
  if (daemon != NULL) {
    s->is_closing = true;
    s->first = s->last = NULL;
    for (Exchange *e = s->open; e != NULL; e = e->next) host_exchange_resume(e);
    MHD_run(daemon);                             /* MHD must not be stopped with suspended connections */
    s->daemon = NULL;
    if (s->poll != NULL) {
      uv_poll_stop(s->poll);
      uv_close((uv_handle_t *)s->poll, handle_free);
    }
    uv_timer_stop(s->timer);
    uv_close((uv_handle_t *)s->timer, handle_free);
    s->poll = NULL;
    s->timer = NULL;
    MHD_stop_daemon(daemon);
    if (s->acceptor != 0) host_ready_loop(s->loop, s->acceptor);
    s->acceptor = 0;
  }
  free(s->tmpdir);
  s->tmpdir = NULL;
  return 0;
}

/* open(host, port, tmpdir, memory_limit, size_limit [, cert, key]) -> server | nil, err; cert and key are PEM texts */
static int serve_open (lua_State *L) {
  const char *host = luaL_checkstring(L, 1), *tmpdir = luaL_checkstring(L, 3);
  lua_Integer port = luaL_checkinteger(L, 2), memory_limit = luaL_checkinteger(L, 4), size_limit = luaL_checkinteger(L, 5);
  size_t size;
  const char *cert = lua_isnoneornil(L, 6) ? NULL : host_bytes(L, 6, &size), *key = cert == NULL ? NULL : host_bytes(L, 7, &size);
  luaL_argcheck(L, port >= 0 && port < 65536, 2, "not a port");
  luaL_argcheck(L, memory_limit >= 0, 4, "not a size");
  luaL_argcheck(L, size_limit >= 0, 5, "not a size");
  uv_loop_t *loop = host_loop(L);
  Server *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  luaL_setmetatable(L, SERVER);
  s->loop = loop;
  s->memory_limit = (size_t)memory_limit;
  s->size_limit = (size_t)size_limit;
  if ((s->tmpdir = strdup(tmpdir)) == NULL) return luaL_error(L, "not enough memory");
  int fd = listen_on(host, (int)port, &s->port);
  if (fd < 0) return host_fail(L, "network", NULL, 0, "cannot listen on %s port %d: %s", host, (int)port, strerror(errno));
  struct MHD_OptionItem tls[] = {
    { MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)cert }, { MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key }, { MHD_OPTION_END, 0, NULL }
  };
  if (cert == NULL) tls[0].option = MHD_OPTION_END;
  unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (cert != NULL ? MHD_USE_TLS : 0U);
  s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, s,
                               MHD_OPTION_LISTEN_SOCKET, fd,
                               MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
                               MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, NULL,
                               MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
                               MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
                               MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES,
                               MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
                               MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
  if (s->daemon == NULL) {
    close(fd);
    return host_fail(L, cert != NULL ? "tls" : "limit", NULL, 0, "cannot start a server on %s port %d%s", host, (int)port,
                     cert != NULL ? ": the certificate and the key do not fit" : "");
  }
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  s->timer = calloc(1, sizeof *s->timer);
  s->poll = calloc(1, sizeof *s->poll);
  if (s->timer == NULL || s->poll == NULL) abort();      /* a few hundred bytes at start */
  uv_timer_init(loop, s->timer);
  s->timer->data = s;
  if (info == NULL || uv_poll_init(loop, s->poll, info->epoll_fd) != 0) {
    free(s->poll);
    s->poll = NULL;
    return host_fail(L, "limit", NULL, 0, "cannot watch the server on %s port %d", host, (int)port);
  }
  s->poll->data = s;
  uv_poll_start(s->poll, UV_READABLE, on_ready);
  return 1;
}

static int server_accept (lua_State *L) {        /* s:accept() -> exchange | false, id to await | nil, err when closed */
  Server *s = luaL_checkudata(L, 1, SERVER);
  Exchange *e = s->first;
  if (s->daemon == NULL) return host_fail(L, "closed", NULL, 0, "this server is closed");
  if (e == NULL) {
    s->acceptor = host_id_new(L);
    lua_pushboolean(L, 0);
    lua_pushinteger(L, s->acceptor);
    return 2;
  }
  host_exchange_push(L, e);
  s->first = e->queued;
  if (s->first == NULL) s->last = NULL;
  e->queued = NULL;
  return 1;
}

static int server_port (lua_State *L) {          /* s:port() -> port it listens on */
  Server *s = luaL_checkudata(L, 1, SERVER);
  lua_pushinteger(L, s->port);
  return 1;
}

static const luaL_Reg functions[] = { { "open", serve_open }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "accept", server_accept }, { "port", server_port }, { "close", server_close }, { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", server_close }, { "__close", server_close }, { NULL, NULL } };

int luaopen_host_serve (lua_State *L) {
  host_need(L, "microhttpd");
  host_loop(L);                                  /* the loop is older than any server, so it is closed after them */
  luaL_newmetatable(L, SERVER);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  host_exchange_types(L);
  luaL_newlib(L, functions);
  return 1;
}
