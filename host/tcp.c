/*
** host.tcp: byte streams of TCP without any protocol: a server that listens, and connections, its own or to others.
**
** listen(address, port) and connect(address, port) take numeric addresses and answer a socket or nil, err; connect does not
** wait. accept, established, read and write are steps: true, results... | false, "read" or "write" | nil, err. A closed socket
** answers kind "closed".
*/
#include "host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP "hkrun.tcp.socket"
#define PIECE 65536                                  /* bytes that are read at once, at most */
#define BACKLOG 64

typedef struct Tcp { int fd; } Tcp;                  /* -1: closed */

static Tcp *tcp_check (lua_State *L) { return luaL_checkudata(L, 1, TCP); }

static int tcp_errno (lua_State *L, const char *what, int e) {
  return host_fail(L, "network", strerrorname_np(e), e != EACCES && e != EADDRNOTAVAIL, "%s: %s", what, strerror(e));
}

static int tcp_closed (lua_State *L) { return host_fail(L, "closed", "closed", 0, "the connection is closed"); }

static Tcp *tcp_new (lua_State *L) {                 /* pushes a closed one */
  Tcp *t = lua_newuserdatauv(L, sizeof *t, 0);
  t->fd = -1;
  luaL_setmetatable(L, TCP);
  return t;
}

static void tcp_shut (Tcp *t) {                      /* safe twice */
  int fd = t->fd;
  t->fd = -1;
  if (fd >= 0) (void)close(fd);
}

static int listen_fd (int fd, const struct sockaddr *at, socklen_t n) {
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 || bind(fd, at, n) != 0) return -1;
  return listen(fd, BACKLOG);
}

static int connect_fd (int fd, const struct sockaddr *at, socklen_t n) {
  return connect(fd, at, n) == 0 || errno == EINPROGRESS ? 0 : -1;
}

static int tcp_open (lua_State *L, int (*place) (int, const struct sockaddr *, socklen_t), const char *what) {
  struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
  struct addrinfo *ai = NULL;
  const char *address = luaL_checkstring(L, 1);
  lua_Integer port = luaL_checkinteger(L, 2);
  char service[16];
  int e = 0;
  luaL_argcheck(L, port >= 0 && port <= 65535, 2, "a port is 0 to 65535");
  snprintf(service, sizeof service, "%d", (int)port);
  Tcp *t = tcp_new(L);
  if (getaddrinfo(address, service, &hints, &ai) != 0 || ai == NULL)
    return host_fail(L, "invalid", "address", 0, "\"%s\" is not a numeric address", address);
  t->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (t->fd < 0 || place(t->fd, ai->ai_addr, ai->ai_addrlen) != 0) e = errno;
  freeaddrinfo(ai);
  if (e == 0) return 1;
  tcp_shut(t);
  return tcp_errno(L, what, e);
}

/* listen(address: string, port: integer) -> socket | nil, err; port 0 takes a free one */
static int tcp_listen (lua_State *L) { return tcp_open(L, listen_fd, "cannot listen"); }

/* connect(address: string, port: integer) -> socket | nil, err; wait for established() */
static int tcp_connect (lua_State *L) { return tcp_open(L, connect_fd, "cannot connect"); }

/* close(): also __gc and __close; safe twice */
static int tcp_close (lua_State *L) {
  tcp_shut(tcp_check(L));
  return 0;
}

/* fd() -> integer, -1 when it is closed */
static int tcp_fd (lua_State *L) {
  lua_pushinteger(L, tcp_check(L)->fd);
  return 1;
}

/* port() -> integer: its own */
static int tcp_port (lua_State *L) {
  Tcp *t = tcp_check(L);
  struct sockaddr_storage at;
  socklen_t n = sizeof at;
  if (t->fd < 0) return tcp_closed(L);
  if (getsockname(t->fd, (struct sockaddr *)&at, &n) != 0) return tcp_errno(L, "no address", errno);
  in_port_t port = at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port : ((struct sockaddr_in *)&at)->sin_port;
  lua_pushinteger(L, ntohs(port));
  return 1;
}

/* accept() -> true, socket | false, "read" | nil, err */
static int tcp_accept (lua_State *L) {
  Tcp *t = tcp_check(L);
  if (t->fd < 0) return tcp_closed(L);
  lua_pushboolean(L, 1);
  Tcp *other = tcp_new(L);
  do other->fd = accept4(t->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  while (other->fd < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (other->fd >= 0) return 2;
  return errno == EAGAIN ? host_wait(L, "read") : tcp_errno(L, "cannot accept", errno);
}

/* established() -> true | false, "write" | nil, err: whether connect has come to its end */
static int tcp_established (lua_State *L) {
  Tcp *t = tcp_check(L);
  const int on = 1;
  int e = 0;
  socklen_t n = sizeof e;
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  if (t->fd < 0) return tcp_closed(L);
  if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0) e = errno;
  if (e != 0) return tcp_errno(L, "cannot connect", e);
  if (getpeername(t->fd, (struct sockaddr *)&peer, &length) != 0)
    return errno == ENOTCONN ? host_wait(L, "write") : tcp_errno(L, "cannot connect", errno);
  (void)setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  lua_pushboolean(L, 1);
  return 1;
}

/* read() -> true, bytes: string ("" at the end) | false, "read" | nil, err */
static int tcp_read (lua_State *L) {
  Tcp *t = tcp_check(L);
  ssize_t rc;
  if (t->fd < 0) return tcp_closed(L);
  lua_pushboolean(L, 1);
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, PIECE);
  do rc = recv(t->fd, to, PIECE, 0);
  while (rc < 0 && errno == EINTR);
  int e = errno;
  luaL_pushresultsize(&b, rc > 0 ? (size_t)rc : 0);
  if (rc >= 0) return 2;
  return e == EAGAIN ? host_wait(L, "read") : tcp_errno(L, "cannot read", e);
}

/* write(bytes: string, from: integer) -> true, next: integer | false, "write" | nil, err: those from a position on; some of
** them may be left */
static int tcp_write (lua_State *L) {
  Tcp *t = tcp_check(L);
  size_t n;
  const char *bytes = luaL_checklstring(L, 2, &n);
  lua_Integer from = luaL_checkinteger(L, 3);
  ssize_t rc;
  luaL_argcheck(L, from >= 1 && (size_t)from <= n, 3, "it is not in the bytes");
  if (t->fd < 0) return tcp_closed(L);
  do rc = send(t->fd, bytes + from - 1, n - (size_t)(from - 1), MSG_NOSIGNAL);
  while (rc < 0 && errno == EINTR);
  if (rc < 0) return errno == EAGAIN ? host_wait(L, "write") : tcp_errno(L, "cannot write", errno);
  lua_pushboolean(L, 1);
  lua_pushinteger(L, from + (lua_Integer)rc);
  return 2;
}

static const luaL_Reg functions[] = { { "listen", tcp_listen }, { "connect", tcp_connect }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "close", tcp_close }, { "fd", tcp_fd }, { "port", tcp_port }, { "accept", tcp_accept },
  { "established", tcp_established }, { "read", tcp_read }, { "write", tcp_write }, { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", tcp_close }, { "__close", tcp_close }, { NULL, NULL } };

int luaopen_host_tcp (lua_State *L) {
  luaL_newmetatable(L, TCP);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
