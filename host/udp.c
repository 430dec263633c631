/*
** host.udp: datagrams. A socket is either a server's, bound to an address, or a client's, connected to one peer, so that
** the kernel drops what others send and tells of a port where nobody listens.
**
** bind(address, port) and connect(address, port) take numeric addresses and answer the socket or nil, err. send and receive
** are steps: true, results... | false, "read" or "write" | nil, err. A closed socket answers kind "closed".
*/
#include "host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP "hkrun.udp.socket"
#define LARGEST 65535                                /* bytes of a datagram */

typedef struct Udp { int fd; } Udp;                  /* -1: closed */

static Udp *udp_check (lua_State *L) { return luaL_checkudata(L, 1, UDP); }

static int udp_errno (lua_State *L, const char *what, int e) {
  return host_fail(L, "network", strerrorname_np(e), e != EACCES && e != EADDRNOTAVAIL, "%s: %s", what, strerror(e));
}

/* the numeric address at arg and the port behind it; NULL and an error on the stack */
static struct addrinfo *address_at (lua_State *L, int arg, int *results) {
  struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
  struct addrinfo *ai = NULL;
  const char *address = luaL_checkstring(L, arg);
  lua_Integer port = luaL_checkinteger(L, arg + 1);
  char service[16];
  luaL_argcheck(L, port >= 0 && port <= 65535, arg + 1, "a port is 0 to 65535");
  snprintf(service, sizeof service, "%d", (int)port);
  if (getaddrinfo(address, service, &hints, &ai) == 0 && ai != NULL) return ai;
  *results = host_fail(L, "invalid", "address", 0, "\"%s\" is not a numeric address", address);
  return NULL;
}

static int udp_open (lua_State *L, int (*place) (int, const struct sockaddr *, socklen_t), const char *what) {
  int results = 0, e = 0;
  struct addrinfo *ai = address_at(L, 1, &results);
  if (ai == NULL) return results;
  Udp *u = lua_newuserdatauv(L, sizeof *u, 0);
  u->fd = -1;
  luaL_setmetatable(L, UDP);
  u->fd = socket(ai->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (u->fd < 0 || place(u->fd, ai->ai_addr, ai->ai_addrlen) != 0) e = errno;
  freeaddrinfo(ai);
  return e == 0 ? 1 : udp_errno(L, what, e);
}

static int bind_fd (int fd, const struct sockaddr *at, socklen_t n) { return bind(fd, at, n); }
static int connect_fd (int fd, const struct sockaddr *at, socklen_t n) { return connect(fd, at, n); }

/* bind(address: string, port: integer) -> socket | nil, err; port 0 takes a free one */
static int udp_bind (lua_State *L) { return udp_open(L, bind_fd, "cannot bind"); }

/* connect(address: string, port: integer) -> socket | nil, err */
static int udp_connect (lua_State *L) { return udp_open(L, connect_fd, "cannot connect"); }

static int udp_closed (lua_State *L) { return host_fail(L, "closed", "closed", 0, "the socket is closed"); }

/* close(): also __gc and __close; safe twice */
static int udp_close (lua_State *L) {
  Udp *u = udp_check(L);
  int fd = u->fd;
  u->fd = -1;
  if (fd >= 0) (void)close(fd);
  return 0;
}

/* fd() -> integer, -1 when it is closed */
static int udp_fd (lua_State *L) {
  lua_pushinteger(L, udp_check(L)->fd);
  return 1;
}

static int push_address (lua_State *L, const struct sockaddr_storage *at, socklen_t n) {
  char address[NI_MAXHOST], service[16];
  if (getnameinfo((const struct sockaddr *)at, n, address, sizeof address, service, sizeof service,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return host_fail(L, "network", "address", 0, "the address cannot be read");
  lua_pushstring(L, address);
  lua_pushinteger(L, (lua_Integer)strtol(service, NULL, 10));
  return 2;
}

/* address() -> address: string, port: integer; its own */
static int udp_address (lua_State *L) {
  Udp *u = udp_check(L);
  struct sockaddr_storage at;
  socklen_t n = sizeof at;
  if (u->fd < 0) return udp_closed(L);
  if (getsockname(u->fd, (struct sockaddr *)&at, &n) != 0) return udp_errno(L, "no address", errno);
  return push_address(L, &at, n);
}

/* send(bytes: string [, address: string, port: integer]) -> true | false, "write" | nil, err */
static int udp_send (lua_State *L) {
  Udp *u = udp_check(L);
  size_t n;
  const char *bytes = luaL_checklstring(L, 2, &n);
  struct addrinfo *to = NULL;
  ssize_t rc;
  int results = 0;
  if (u->fd < 0) return udp_closed(L);
  if (!lua_isnoneornil(L, 3) && (to = address_at(L, 3, &results)) == NULL) return results;
  do rc = sendto(u->fd, bytes, n, MSG_NOSIGNAL, to != NULL ? to->ai_addr : NULL, to != NULL ? to->ai_addrlen : 0);
  while (rc < 0 && errno == EINTR);
  int e = errno;
  if (to != NULL) freeaddrinfo(to);
  if (rc < 0 && e == EAGAIN) return host_wait(L, "write");
  if (rc < 0) return udp_errno(L, "cannot send", e);
  lua_pushboolean(L, 1);
  return 1;
}

/* receive() -> true, bytes: string, address: string, port: integer | false, "read" | nil, err */
static int udp_receive (lua_State *L) {
  Udp *u = udp_check(L);
  struct sockaddr_storage from;
  socklen_t n = sizeof from;
  ssize_t rc;
  if (u->fd < 0) return udp_closed(L);
  lua_pushboolean(L, 1);
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, LARGEST);
  do rc = recvfrom(u->fd, to, LARGEST, 0, (struct sockaddr *)&from, &n);
  while (rc < 0 && errno == EINTR);
  int e = errno;
  luaL_pushresultsize(&b, rc > 0 ? (size_t)rc : 0);
  if (rc < 0 && e == EAGAIN) return host_wait(L, "read");
  if (rc < 0) return udp_errno(L, "cannot receive", e);
  int pushed = push_address(L, &from, n);
  return lua_isnil(L, -2) ? pushed : 4;
}

static const luaL_Reg functions[] = { { "bind", udp_bind }, { "connect", udp_connect }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "close", udp_close }, { "fd", udp_fd }, { "address", udp_address },
  { "send", udp_send }, { "receive", udp_receive }, { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", udp_close }, { "__close", udp_close }, { NULL, NULL } };

int luaopen_host_udp (lua_State *L) {
  luaL_newmetatable(L, UDP);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
