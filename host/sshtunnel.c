/*
** sshtunnel.c: a listening socket on loopback, or a door of this process
** (door.c), whose connections come out at a host and port beyond the ssh
** server, as `ssh -L` does.
**
** A thread of its own, with its own logged-in connection, polls the listener,
** the local sockets and the ssh socket. What it may hold is bounded: a local
** socket is read only as far as the channel's window and the ssh socket take
** it; what a slow local reader leaves stays in the channel's window.
** States: starting -> open -> ended; id() is awaited for open (or failed),
** result() is port or nil, err. last_error() is why the far end refused, or
** why the tunnel ended. close stops and joins the thread.
*/
#include "host.h"
#include "sshconn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libssh/callbacks.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TUNNEL "hkrun.ssh.tunnel"
#define MAX_PIPES 128                   /* further ones wait in the backlog */
#define CHUNK 65536
#define CONNECT_SECONDS 30
#define ROUNDS 64

typedef struct Pipe {                   /* one local connection */
  int fd;                               /* -1: a free place */
  int peer_port;
  ssh_channel channel;
  struct ssh_channel_callbacks_struct callbacks;
  int open;                             /* the far end has accepted */
  int local_eof, remote_eof, remote_closed, dead, blocked;
  char *rest;                           /* to the local socket, not yet taken */
  size_t rest_len, rest_pos, rest_size;
} Pipe;

typedef struct Tunnel {
  SshParams *params;                    /* NULL when closed */
  char *host;
  int port, local_port, door, listener, stop;
  pthread_t thread;
  int started;
  HostWake *wake;
  atomic_int state;                     /* 0 starting, 1 open, 2 ended */
  atomic_llong up, down;
  atomic_int pipes_open, total;
  pthread_mutex_t lock;                 /* of last_error */
  SshError last_error, fatal;
  /* the thread's own */
  SshConn conn;
  ssh_event event;
  Pipe *pipes;
  char *scratch;
} Tunnel;

/* --- the thread ---------------------------------------------------------- */

static void note_error (Tunnel *t, const SshError *e) {
  pthread_mutex_lock(&t->lock);
  t->last_error = *e;
  pthread_mutex_unlock(&t->lock);
}

/* What is sent to the local socket: all, a part, or nothing when it is full. */
static size_t push_local (Tunnel *t, Pipe *p, const char *data, size_t len) {
  size_t done = 0;
  while (done < len) {
    ssize_t n = send(p->fd, data + done, len - done, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      p->blocked = 1;
      break;
    }
    if (n < 0) {
      p->dead = 1;
      return len;
    }
    done += (size_t)n;
  }
  atomic_fetch_add(&t->down, (long long)done);
  return done;
}

static _Thread_local Tunnel *current;   /* the tunnel of this thread */

static int on_data (ssh_session s, ssh_channel ch, void *data, uint32_t len,
                    int is_stderr, void *user) {
  Pipe *p = user;
  (void)s; (void)ch;
  if (is_stderr || p->dead) return (int)len;
  if (p->blocked || p->rest_len > 0) return 0;
  return (int)push_local(current, p, data, len);
}

static void on_eof (ssh_session s, ssh_channel ch, void *user) {
  (void)s; (void)ch;
  ((Pipe *)user)->remote_eof = 1;
}

static void on_close (ssh_session s, ssh_channel ch, void *user) {
  (void)s; (void)ch;
  ((Pipe *)user)->remote_closed = 1;
}

/* The other user of this machine that a connection comes from, or -1 when it
   is ours, root's, or not to be told. */
static long foreign_user (int peer_port, int local_port) {
  FILE *f = fopen("/proc/self/net/tcp", "re");
  char line[512];
  long found = -1;
  if (f == NULL) return -1;
  while (fgets(line, sizeof line, f) != NULL) {
    unsigned int from_ip, from, to_ip, to;
    unsigned long uid;
    if (sscanf(line, " %*d: %8X:%4X %8X:%4X %*X %*X:%*X %*X:%*X %*X %lu",
               &from_ip, &from, &to_ip, &to, &uid) != 5) continue;
    if ((int)from != peer_port || (int)to != local_port
        || to_ip != htonl(INADDR_LOOPBACK)) continue;
    if (uid != 0 && uid != geteuid()) found = (long)uid;
    break;
  }
  fclose(f);
  return found;
}

static void pipe_close (Tunnel *t, Pipe *p) {
  if (p->channel != NULL) {
    ssh_remove_channel_callbacks(p->channel, &p->callbacks);
    if (p->open) ssh_channel_close(p->channel);
    ssh_channel_free(p->channel);
  }
  close(p->fd);
  free(p->rest);
  memset(p, 0, sizeof *p);
  p->fd = -1;
  atomic_fetch_sub(&t->pipes_open, 1);
}

static void refuse (Tunnel *t, int fd, const char *kind, const char *message) {
  SshError e;
  ssh_error_set(&e, kind, NULL, 0, "%s", message);
  note_error(t, &e);
  close(fd);
}

static void accept_local (Tunnel *t) {
  struct sockaddr_in from = { 0 };
  socklen_t len = sizeof from;
  Pipe *p = t->pipes;
  int fd = accept4(t->listener, t->door ? NULL : (struct sockaddr *)&from,
                   t->door ? NULL : &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  if (t->door && !host_door_is_ours(fd)) {
    refuse(t, fd, "auth", "another user of this machine may not use it");
    return;
  }
  long uid = t->door ? -1 : foreign_user(ntohs(from.sin_port), t->local_port);
  if (uid >= 0) {
    char text[96];
    snprintf(text, sizeof text, "user %ld of this machine may not use it", uid);
    refuse(t, fd, "auth", text);
    return;
  }
  while (p->fd >= 0) p++;               /* the caller knows that one is free */
  int one = 1;
  if (!t->door) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ssh_channel ch = ssh_channel_new(t->conn.session);
  if (ch == NULL) {
    refuse(t, fd, "io", "not enough memory");
    return;
  }
  p->fd = fd;
  p->peer_port = ntohs(from.sin_port);
  p->channel = ch;
  p->callbacks.userdata = p;
  p->callbacks.channel_data_function = on_data;
  p->callbacks.channel_eof_function = on_eof;
  p->callbacks.channel_close_function = on_close;
  ssh_callbacks_init(&p->callbacks);
  ssh_set_channel_callbacks(ch, &p->callbacks);
  atomic_fetch_add(&t->pipes_open, 1);
  atomic_fetch_add(&t->total, 1);
}

/* Asks for the far end until it answers. */
static void pipe_open (Tunnel *t, Pipe *p) {
  int rc = ssh_channel_open_forward(p->channel, t->host, t->port, "127.0.0.1",
                                    p->peer_port);
  if (rc == SSH_OK) p->open = 1;
  else if (rc != SSH_AGAIN) {
    SshError e;
    ssh_error_set(&e, "network", "refused", 1, "%s:%d: %s", t->host, t->port,
                  ssh_get_error(t->conn.session));
    note_error(t, &e);
    p->dead = 1;
  }
}

/* From the channel's buffer to the local socket, when that can take more. All
   of the buffer is taken at once: libssh moves what stays in it at each packet
   that comes, which took half of the time. */
static void pipe_drain (Tunnel *t, Pipe *p) {
  p->blocked = 0;
  while (!p->dead && !p->blocked) {
    if (p->rest_len == 0) {
      int n = ssh_channel_poll(p->channel, 0);
      if (n <= 0) return;
      if ((size_t)n > p->rest_size) {
        char *to = realloc(p->rest, (size_t)n);
        if (to == NULL) {
          p->dead = 1;
          return;
        }
        p->rest = to;
        p->rest_size = (size_t)n;
      }
      n = ssh_channel_read_nonblocking(p->channel, p->rest, (uint32_t)n, 0);
      if (n <= 0) return;
      p->rest_len = (size_t)n;
      p->rest_pos = 0;
    }
    size_t n = push_local(t, p, p->rest + p->rest_pos, p->rest_len);
    p->rest_pos += n;
    p->rest_len -= n;
  }
}

/* From the local socket to the channel, as far as its window goes. */
static void pipe_fill (Tunnel *t, Pipe *p) {
  uint32_t window = ssh_channel_window_size(p->channel);
  if (window == 0) return;
  ssize_t n = recv(p->fd, t->scratch, window < CHUNK ? window : CHUNK, 0);
  if (n < 0) {
    if (errno != EAGAIN && errno != EINTR) p->dead = 1;
    return;
  }
  if (n == 0) {
    p->local_eof = 1;
    ssh_channel_send_eof(p->channel);
    return;
  }
  for (uint32_t done = 0; done < (uint32_t)n; ) {
    int w = ssh_channel_write(p->channel, t->scratch + done, (uint32_t)n - done);
    if (w <= 0) {                       /* the window had room: it is broken */
      p->dead = 1;
      return;
    }
    done += (uint32_t)w;
  }
  atomic_fetch_add(&t->up, (long long)n);
}

/* Ends a direction, or the whole, when nothing more can come. */
static void pipe_settle (Tunnel *t, Pipe *p) {
  int drained = p->rest_len == 0
    && (p->remote_closed || ssh_channel_is_eof(p->channel))
    && ssh_channel_poll(p->channel, 0) <= 0;
  if (!p->dead && drained && (p->remote_eof || p->remote_closed)) {
    if (p->remote_eof == 1) {
      shutdown(p->fd, SHUT_WR);
      p->remote_eof = 2;                /* told */
    }
    if (p->remote_closed || p->local_eof) p->dead = 1;
  }
  if (p->dead) pipe_close(t, p);
}

static short pipe_events (Tunnel *t, const Pipe *p, int ssh_full) {
  short e = 0;
  if (p->open && !p->local_eof && !p->remote_closed && !ssh_full
      && ssh_channel_window_size(p->channel) > 0) e |= POLLIN;
  if (p->blocked) e |= POLLOUT;
  (void)t;
  return e;
}

static void serve (Tunnel *t) {
  struct pollfd *set = calloc(MAX_PIPES + 3, sizeof *set);
  int *which = calloc(MAX_PIPES + 3, sizeof *which);
  while (set != NULL && which != NULL && ssh_is_connected(t->conn.session)) {
    short ssh_events = ssh_conn_events(&t->conn);
    int ssh_full = (ssh_events & POLLOUT) != 0, n = 3, busy = 0;
    set[0] = (struct pollfd){ t->stop, POLLIN, 0 };
    set[1] = (struct pollfd){ t->conn.fd, ssh_events, 0 };
    for (int i = 0; i < MAX_PIPES; i++) {
      Pipe *p = &t->pipes[i];
      if (p->fd < 0) continue;
      busy++;
      short e = pipe_events(t, p, ssh_full);
      set[n] = (struct pollfd){ e != 0 ? p->fd : -1, e, 0 };
      which[n++] = i;
    }
    set[2] = (struct pollfd){ busy < MAX_PIPES ? t->listener : -1, POLLIN, 0 };
    if (poll(set, (nfds_t)n, -1) < 0 && errno != EINTR) break;
    if (set[0].revents != 0) break;
    for (int i = 3; i < n; i++) {
      Pipe *p = &t->pipes[which[i]];
      if (set[i].revents & POLLOUT) pipe_drain(t, p);
      if (set[i].revents & (POLLIN | POLLHUP | POLLERR)) {
        if (set[i].events & POLLIN) pipe_fill(t, p);
        else p->dead = 1;
      }
    }
    int rounds = 0;
    while (rounds++ < ROUNDS && ssh_event_dopoll(t->event, 0) == SSH_OK) { }
    if (set[2].revents != 0) accept_local(t);
    for (int i = 0; i < MAX_PIPES; i++) {
      Pipe *p = &t->pipes[i];
      if (p->fd < 0) continue;
      if (!p->open && !p->dead) pipe_open(t, p);
      pipe_settle(t, p);
    }
    if (rounds < ROUNDS / 4) ssh_conn_ack(&t->conn);    /* not amid bulk */
  }
  free(set);
  free(which);
}

static void *run (void *arg) {
  Tunnel *t = arg;
  current = t;
  ssh_conn_init(&t->conn, t->params);
  if (ssh_conn_run(&t->conn, t->stop, CONNECT_SECONDS) != 1)
    t->fatal = t->conn.err;
  else if ((t->event = ssh_event_new()) == NULL
           || ssh_event_add_session(t->event, t->conn.session) != SSH_OK)
    ssh_error_set(&t->fatal, "io", NULL, 0, "not enough memory");
  else {
    atomic_store(&t->state, 1);
    host_wake_send(t->wake);
    serve(t);
    for (int i = 0; i < MAX_PIPES; i++)
      if (t->pipes[i].fd >= 0) pipe_close(t, &t->pipes[i]);
    if (!ssh_is_connected(t->conn.session)) {
      ssh_conn_broken(&t->conn, &t->fatal);
      note_error(t, &t->fatal);
    }
    ssh_event_remove_session(t->event, t->conn.session);
  }
  if (t->event != NULL) ssh_event_free(t->event);
  t->event = NULL;
  ssh_conn_close(&t->conn);
  shutdown(t->listener, SHUT_RDWR);     /* refuses from now on */
  atomic_store(&t->state, 2);
  host_wake_send(t->wake);
  return NULL;
}

/* --- Lua ----------------------------------------------------------------- */

static Tunnel *check (lua_State *L) { return luaL_checkudata(L, 1, TUNNEL); }

static int tunnel_close (lua_State *L) {        /* close, __gc, __close */
  Tunnel *t = check(L);
  SshParams *params = t->params;
  if (params == NULL) return 0;
  t->params = NULL;
  if (t->started) {
    uint64_t one = 1;
    while (write(t->stop, &one, sizeof one) < 0 && errno == EINTR) { }
    pthread_join(t->thread, NULL);
  }
  host_wake_free(t->wake);
  host_door_close(t->door);
  if (t->listener >= 0) close(t->listener);
  if (t->stop >= 0) close(t->stop);
  pthread_mutex_destroy(&t->lock);
  free(t->host);
  free(t->pipes);
  free(t->scratch);
  ssh_params_free(params);
  return 0;
}

static int listen_local (Tunnel *t) {
  struct sockaddr_in at = { .sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t len = sizeof at;
  t->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (t->listener < 0 || bind(t->listener, (struct sockaddr *)&at, len) != 0
      || listen(t->listener, 128) != 0
      || getsockname(t->listener, (struct sockaddr *)&at, &len) != 0) return 0;
  t->local_port = ntohs(at.sin_port);
  return 1;
}

static int make_door (Tunnel *t) {
  t->listener = host_door_listen();
  t->door = t->listener >= 0 ? host_door_open(t->listener) : 0;
  return t->door != 0;
}

/* session:tunnel(host: string, port: integer, door: boolean) -> tunnel | nil, err */
int ssh_tunnel_new (lua_State *L) {
  const SshParams *params = ssh_check_params(L, 1);
  const char *host = luaL_checkstring(L, 2);
  lua_Integer port = luaL_checkinteger(L, 3);
  luaL_argcheck(L, port > 0 && port < 65536, 3, "not a port");
  Tunnel *t = lua_newuserdatauv(L, sizeof *t, 0);
  memset(t, 0, sizeof *t);
  t->listener = t->stop = t->conn.fd = -1;
  luaL_setmetatable(L, TUNNEL);
  t->wake = host_wake_new(L);
  t->params = ssh_params_copy(params);
  if (t->params == NULL) {
    host_wake_free(t->wake);
    return luaL_error(L, "not enough memory");
  }
  pthread_mutex_init(&t->lock, NULL);
  t->port = (int)port;
  t->host = strdup(host);
  t->pipes = calloc(MAX_PIPES, sizeof *t->pipes);
  t->scratch = malloc(CHUNK);
  if (t->host == NULL || t->pipes == NULL || t->scratch == NULL)
    return luaL_error(L, "not enough memory");
  for (int i = 0; i < MAX_PIPES; i++) t->pipes[i].fd = -1;
  t->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int ok = t->stop >= 0 && (lua_toboolean(L, 4) ? make_door(t) : listen_local(t));
  if (ok) {
    ok = (errno = host_thread(&t->thread, run, t)) == 0;
    t->started = ok;
  }
  if (!ok)
    return host_fail(L, "io", NULL, 0, "cannot start a tunnel: %s",
                     strerror(errno));
  return 1;
}

static int tunnel_id (lua_State *L) {
  Tunnel *t = check(L);
  luaL_argcheck(L, t->params != NULL, 1, "the tunnel is closed");
  lua_pushinteger(L, host_wake_id(t->wake));
  return 1;
}

/* result() -> port or door | false while starting | nil, err when ended */
static int tunnel_result (lua_State *L) {
  Tunnel *t = check(L);
  if (t->params == NULL)
    return host_fail(L, "closed", NULL, 0, "the tunnel is closed");
  switch (atomic_load(&t->state)) {
    case 0: lua_pushboolean(L, 0); return 1;
    case 1: lua_pushinteger(L, t->door ? t->door : t->local_port); return 1;
    default: return ssh_push_error(L, &t->fatal);
  }
}

/* last_error() -> string | nil: why the last connection was not carried */
static int tunnel_last_error (lua_State *L) {
  Tunnel *t = check(L);
  SshError e = { 0 };
  if (t->params != NULL) {
    pthread_mutex_lock(&t->lock);
    e = t->last_error;
    pthread_mutex_unlock(&t->lock);
  }
  if (e.kind != NULL) lua_pushstring(L, e.message);
  else lua_pushnil(L);
  return 1;
}

/* counts() -> bytes up, bytes down, connections open, connections in all */
static int tunnel_counts (lua_State *L) {
  Tunnel *t = check(L);
  lua_pushinteger(L, atomic_load(&t->up));
  lua_pushinteger(L, atomic_load(&t->down));
  lua_pushinteger(L, atomic_load(&t->pipes_open));
  lua_pushinteger(L, atomic_load(&t->total));
  return 4;
}

void ssh_open_tunnel (lua_State *L) {
  static const luaL_Reg methods[] = {
    { "id", tunnel_id }, { "result", tunnel_result },
    { "last_error", tunnel_last_error }, { "counts", tunnel_counts },
    { NULL, NULL }
  };
  ssh_new_class(L, TUNNEL, methods, tunnel_close);
}
