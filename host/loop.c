/*
** loop.c: libuv. The only place that waits.
**
** Everything that can be waited for has an id, a number. What happens makes its
** id ready; loop.poll() waits until some are and returns them; task.lua resumes
** whoever awaits them. Callbacks record and never run Lua.
**
** Lua (host.loop): timer, watch, cancel, poll, signal, resolve, resolved, now.
** Nothing here raises but for wrong arguments.
*/
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS 256
#define STATE "hkrun.loop"

typedef enum { TIMER, WATCH, SIGNAL, RESOLVE } Kind;

/* One thing that is waited for, found by its id. */
typedef struct Wait {
  struct Wait *next;                    /* in its bucket */
  lua_Integer id;
  Kind kind;
  struct Loop *loop;
  union { uv_timer_t timer; uv_poll_t poll; uv_signal_t signal;
          uv_getaddrinfo_t resolve; } h;
  int events;                           /* WATCH: what is waited for */
  int fd;                               /* WATCH: a duplicate of the caller's */
  int status;                           /* RESOLVE */
  int done;
  int dropped;                          /* RESOLVE: nobody wants the answer */
  struct addrinfo *found;
} Wait;

typedef struct Loop {
  uv_loop_t uv;
  int open;
  int polling;                          /* inside uv_run */
  lua_Integer last_id;
  lua_Integer *ready;                   /* ids that became ready, in order */
  size_t count, size;
  Wait *buckets[BUCKETS];
  uv_prepare_t before;                  /* the poll */
  uv_async_t async;                     /* sends from other threads */
  uv_mutex_t lock;
  struct HostWake *pending;
} Loop;

struct HostWake {
  Loop *loop;
  lua_Integer id;
  int queued;
  HostWake *next;
};

static void push_ready (Loop *l, lua_Integer id) {
  if (!l->open) return;                 /* the state is closing */
  if (l->count == l->size) {
    size_t size = l->size == 0 ? 64 : l->size * 2;
    lua_Integer *ready = realloc(l->ready, size * sizeof *ready);
    if (ready == NULL) abort();         /* a lost wake-up would hang a run */
    l->ready = ready;
    l->size = size;
  }
  l->ready[l->count++] = id;
  if (l->polling) uv_stop(&l->uv);      /* timers run before the wait: no wait */
}

static void on_async (uv_async_t *h) {
  Loop *l = h->data;
  uv_mutex_lock(&l->lock);
  for (HostWake *w = l->pending; w != NULL; w = w->next) {
    w->queued = 0;
    push_ready(l, w->id);
  }
  l->pending = NULL;
  uv_mutex_unlock(&l->lock);
}

static void wait_close (Wait *w);

/* Closing a state closes every handle and drains the loop. */
static void close_any (uv_handle_t *h, void *arg) {
  (void)arg;
  if (!uv_is_closing(h)) uv_close(h, NULL);
}

static int state_gc (lua_State *L) {
  Loop *l = luaL_checkudata(L, 1, STATE);
  if (!l->open) return 0;
  for (size_t i = 0; i < BUCKETS; i++)
    while (l->buckets[i] != NULL) wait_close(l->buckets[i]);
  l->open = 0;
  uv_walk(&l->uv, close_any, NULL);
  while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0) { }
  uv_loop_close(&l->uv);
  uv_mutex_destroy(&l->lock);
  free(l->ready);
  return 0;
}

static void before_poll (uv_prepare_t *h) {
  (void)h;
  host_registers_clear();
}

static Loop *get (lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, STATE ".state");
  Loop *l = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (l != NULL) return l;
  l = lua_newuserdatauv(L, sizeof *l, 0);
  memset(l, 0, sizeof *l);
  if (luaL_newmetatable(L, STATE)) {
    lua_pushcfunction(L, state_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  if (uv_loop_init(&l->uv) != 0 || uv_mutex_init(&l->lock) != 0
      || uv_async_init(&l->uv, &l->async, on_async) != 0
      || uv_prepare_init(&l->uv, &l->before) != 0)
    luaL_error(L, "cannot start the event loop");
  l->uv.data = l;
  l->async.data = l;
  uv_prepare_start(&l->before, before_poll);
  uv_unref((uv_handle_t *)&l->before);
  l->open = 1;
  lua_setfield(L, LUA_REGISTRYINDEX, STATE ".state");
  return l;
}

uv_loop_t *host_loop (lua_State *L) { return &get(L)->uv; }
lua_Integer host_id_new (lua_State *L) { return ++get(L)->last_id; }
void host_ready (lua_State *L, lua_Integer id) { push_ready(get(L), id); }
void host_ready_loop (uv_loop_t *uv, lua_Integer id) {
  push_ready(uv->data, id);
}

HostWake *host_wake_new (lua_State *L) {
  Loop *l = get(L);
  HostWake *w = calloc(1, sizeof *w);
  if (w == NULL) luaL_error(L, "not enough memory");
  else {
    w->loop = l;
    w->id = ++l->last_id;
  }
  return w;
}

lua_Integer host_wake_id (const HostWake *w) { return w->id; }

void host_wake_send (HostWake *w) {
  Loop *l = w->loop;
  uv_mutex_lock(&l->lock);
  if (!w->queued) {
    w->queued = 1;
    w->next = l->pending;
    l->pending = w;
  }
  uv_async_send(&l->async);             /* inside: the loop cannot close first */
  uv_mutex_unlock(&l->lock);
}

void host_wake_free (HostWake *w) {
  if (w == NULL) return;
  Loop *l = w->loop;
  if (l->open) {
    uv_mutex_lock(&l->lock);
    for (HostWake **p = &l->pending; *p != NULL; p = &(*p)->next)
      if (*p == w) {
        *p = w->next;
        break;
      }
    uv_mutex_unlock(&l->lock);
  }
  free(w);
}

/* --- waits --------------------------------------------------------------- */

static Wait *wait_new (lua_State *L, Loop *l, Kind kind) {
  Wait *w = calloc(1, sizeof *w);
  if (w == NULL) luaL_error(L, "not enough memory");
  w->id = ++l->last_id;
  w->kind = kind;
  w->loop = l;
  w->fd = -1;
  Wait **bucket = &l->buckets[w->id % BUCKETS];
  w->next = *bucket;
  *bucket = w;
  return w;
}

static Wait *wait_find (Loop *l, lua_Integer id) {
  if (id <= 0) return NULL;
  Wait *w = l->buckets[id % BUCKETS];
  while (w != NULL && w->id != id) w = w->next;
  return w;
}

static void wait_unlink (Wait *w) {
  Wait **p = &w->loop->buckets[w->id % BUCKETS];
  while (*p != w) p = &(*p)->next;
  *p = w->next;
}

static void free_wait (Wait *w) {
  if (w->fd >= 0) close(w->fd);
  if (w->found != NULL) uv_freeaddrinfo(w->found);
  free(w);
}

static void on_closed (uv_handle_t *h) { free_wait(h->data); }

/* Stops and frees a timer, watch or signal; its id is forgotten at once. */
static void wait_close (Wait *w) {
  wait_unlink(w);
  switch (w->kind) {
    case TIMER: uv_close((uv_handle_t *)&w->h.timer, on_closed); break;
    case WATCH: uv_close((uv_handle_t *)&w->h.poll, on_closed); break;
    case SIGNAL: uv_close((uv_handle_t *)&w->h.signal, on_closed); break;
    case RESOLVE:
      if (w->done) free_wait(w);
      else {
        w->dropped = 1;
        uv_cancel((uv_req_t *)&w->h.resolve);
      }
      break;
  }
}

static void on_timer (uv_timer_t *h) {
  Wait *w = h->data;
  push_ready(w->loop, w->id);
  wait_close(w);
}

/* timer(seconds: number) -> id, ready once */
static int loop_timer (lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  Loop *l = get(L);
  if (seconds < 0) seconds = 0;
  luaL_argcheck(L, seconds < 1e9, 1, "longer than thirty years");
  Wait *w = wait_new(L, l, TIMER);
  uv_timer_init(&l->uv, &w->h.timer);
  w->h.timer.data = w;
  uv_update_time(&l->uv);
  uv_timer_start(&w->h.timer, on_timer, (uint64_t)(seconds * 1000 + 0.5), 0);
  lua_pushinteger(L, w->id);
  return 1;
}

static void on_poll (uv_poll_t *h, int status, int events) {
  Wait *w = h->data;
  (void)status; (void)events;           /* an error is the next step's to tell */
  push_ready(w->loop, w->id);
  wait_close(w);
}

/* watch(fd: integer, mode: "read"|"write"|"readwrite") -> id, ready once.
   A duplicate is watched, so that several tasks may wait for one descriptor
   and it may be closed meanwhile. */
static int loop_watch (lua_State *L) {
  static const char *const names[] = { "read", "write", "readwrite", NULL };
  static const int modes[] = { UV_READABLE, UV_WRITABLE,
                               UV_READABLE | UV_WRITABLE };
  lua_Integer fd = luaL_checkinteger(L, 1);
  int events = modes[luaL_checkoption(L, 2, "read", names)];
  Loop *l = get(L);
  int copy = fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0)
    return host_fail(L, "io", NULL, 0, "cannot watch descriptor %d: %s",
                     (int)fd, strerror(errno));
  Wait *w = wait_new(L, l, WATCH);
  int flags = fcntl(copy, F_GETFL);
  int err = uv_poll_init(&l->uv, &w->h.poll, copy);
  if (isatty(copy)) fcntl(copy, F_SETFL, flags);  /* not O_NONBLOCK: output and the shell share a terminal's */
  if (err != 0) {                       /* a plain file: always ready */
    wait_unlink(w);
    push_ready(l, w->id);
    lua_pushinteger(L, w->id);
    w->fd = copy;
    free_wait(w);
    return 1;
  }
  w->fd = copy;
  w->h.poll.data = w;
  uv_poll_start(&w->h.poll, events | UV_DISCONNECT, on_poll);
  lua_pushinteger(L, w->id);
  return 1;
}

static void on_signal (uv_signal_t *h, int number) {
  (void)number;
  Wait *w = h->data;
  push_ready(w->loop, w->id);
}

/* signal(name: "int"|"term"|"hup"|"winch"|"chld") -> id, ready at each one | nil: a hang-up that nohup had us ignore */
static int loop_signal (lua_State *L) {
  static const char *const names[] = { "int", "term", "hup", "winch", "chld",
                                       NULL };
  static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCHLD };
  int number = numbers[luaL_checkoption(L, 1, NULL, names)];
  struct sigaction before;
  sigaction(number, NULL, &before);
  if (number == SIGHUP && before.sa_handler == SIG_IGN) return 0;
  Loop *l = get(L);
  Wait *w = wait_new(L, l, SIGNAL);
  uv_signal_init(&l->uv, &w->h.signal);
  w->h.signal.data = w;
  uv_signal_start(&w->h.signal, on_signal, number);
  lua_pushinteger(L, w->id);
  return 1;
}

static void on_resolved (uv_getaddrinfo_t *h, int status,
                         struct addrinfo *found) {
  Wait *w = h->data;
  w->done = 1;
  w->status = status;
  w->found = found;
  if (w->dropped) free_wait(w);
  else push_ready(w->loop, w->id);
}

/* resolve(host: string) -> id | nil, err; see resolved */
static int loop_resolve (lua_State *L) {
  const char *host = luaL_checkstring(L, 1);
  Loop *l = get(L);
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  Wait *w = wait_new(L, l, RESOLVE);
  w->h.resolve.data = w;
  host_registers_clear();
  int err = uv_getaddrinfo(&l->uv, &w->h.resolve, on_resolved, host, NULL,
                           &hints);
  if (err != 0) {
    wait_unlink(w);
    free_wait(w);
    return host_fail(L, "network", uv_err_name(err), 0,
                     "cannot look up %s: %s", host, uv_strerror(err));
  }
  lua_pushinteger(L, w->id);
  return 1;
}

/* resolved(id) -> { "192.0.2.1", ... } | nil, err; once the id was ready */
static int loop_resolved (lua_State *L) {
  Loop *l = get(L);
  Wait *w = wait_find(l, luaL_checkinteger(L, 1));
  luaL_argcheck(L, w != NULL && w->kind == RESOLVE && w->done, 1,
                "not a finished look-up");
  int status = w->status;
  if (status == 0) {
    lua_Integer n = 0;
    lua_newtable(L);
    for (struct addrinfo *a = w->found; a != NULL; a = a->ai_next) {
      char text[64];
      if (a->ai_family == AF_INET)
        uv_ip4_name((struct sockaddr_in *)(void *)a->ai_addr, text, sizeof text);
      else if (a->ai_family == AF_INET6)
        uv_ip6_name((struct sockaddr_in6 *)(void *)a->ai_addr, text, sizeof text);
      else continue;
      lua_pushstring(L, text);
      lua_rawseti(L, -2, ++n);
    }
  }
  wait_close(w);
  if (status == 0) return 1;
  return host_fail(L, "network", uv_err_name(status), status == UV_EAI_AGAIN,
                   "the name was not found: %s", uv_strerror(status));
}

/* cancel(id): forgets a timer, watch, signal or look-up, and that an id of any
   kind became ready since the last poll; others are no error */
static int loop_cancel (lua_State *L) {
  lua_Integer id = luaL_checkinteger(L, 1);
  Loop *l = get(L);
  Wait *w = wait_find(l, id);
  if (w != NULL) wait_close(w);
  size_t kept = 0;
  for (size_t i = 0; i < l->count; i++)
    if (l->ready[i] != id) l->ready[kept++] = l->ready[i];
  l->count = kept;
  return 0;
}

/* poll(block: boolean) -> { ids }, those that became ready */
static int loop_poll (lua_State *L) {
  int block = lua_toboolean(L, 1);
  Loop *l = get(L);
  l->polling = 1;
  do
    uv_run(&l->uv, block && l->count == 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  while (block && l->count == 0);
  l->polling = 0;
  size_t count = l->count;
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    lua_pushinteger(L, l->ready[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  l->count = 0;
  return 1;
}

/* now() -> seconds on a clock that only goes forward */
/* ready(id)   wakes whoever waits for it, before what it stands for has happened */
static int loop_ready (lua_State *L) {
  host_ready(L, luaL_checkinteger(L, 1));
  return 0;
}

static int loop_now (lua_State *L) {
  lua_pushnumber(L, (lua_Number)uv_hrtime() / 1e9);
  return 1;
}

/* time() -> seconds since 1970, with fractions */
static int loop_time (lua_State *L) {
  uv_timeval64_t t;
  uv_gettimeofday(&t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_usec / 1e6);
  return 1;
}

int luaopen_host_loop (lua_State *L) {
  static const luaL_Reg functions[] = {
    { "timer", loop_timer }, { "watch", loop_watch },
    { "signal", loop_signal }, { "resolve", loop_resolve },
    { "resolved", loop_resolved }, { "cancel", loop_cancel },
    { "ready", loop_ready }, { "poll", loop_poll }, { "now", loop_now }, { "time", loop_time },
    { NULL, NULL }
  };
  luaL_newlib(L, functions);
  return 1;
}
