/*
** host.h: the one contract that the bindings in this folder share.
**
** A binding is one file with one luaopen_host_NAME, listed below. It never
** blocks the loop, never yields and never calls Lua from a libuv callback. A
** caller's mistake raises; the world's failure returns `nil, err`, err being
** {kind=, message=, code=, retry=} as made by host_fail.
*/
#ifndef HKRUN_HOST_H
#define HKRUN_HOST_H

#include <pthread.h>
#include <stddef.h>
#include <lua.h>
#include <lauxlib.h>
#include <uv.h>

/* --- failures ------------------------------------------------------------ */

/* Pushes nil and an error table; returns 2. `code` may be NULL. */
int host_fail (lua_State *L, const char *kind, const char *code, int retry,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Pushes only the error table. */
void host_push_error (lua_State *L, const char *kind, const char *code,
                      int retry, const char *message);

/* --- steps: what a handle with a descriptor answers ---------------------- */

/* Pushes false and "read", "write" or "readwrite"; returns 2. */
int host_wait (lua_State *L, const char *mode);

/* --- the loop and its ids ------------------------------------------------ */

/* The loop of this state, made on first use. */
uv_loop_t *host_loop (lua_State *L);

/* A number that a task can await. */
lua_Integer host_id_new (lua_State *L);

/* Lets whoever awaits `id` run again; loop thread only. */
void host_ready (lua_State *L, lua_Integer id);

/* The same for libuv callbacks, which have the loop and no Lua state. */
void host_ready_loop (uv_loop_t *loop, lua_Integer id);

/* A wake-up that any thread may send. Sends before the next poll are one. */
typedef struct HostWake HostWake;
HostWake *host_wake_new (lua_State *L);
lua_Integer host_wake_id (const HostWake *w);
void host_wake_send (HostWake *w);
void host_wake_free (HostWake *w);      /* loop thread; after the last send */

/* --- secrets (secret.c) -------------------------------------------------- */

/* The bytes of a string or of a secret at `arg`; raises for anything else. */
const char *host_bytes (lua_State *L, int arg, size_t *len);
int host_is_secret (lua_State *L, int arg);
void host_push_secret (lua_State *L, const char *s, size_t len);

/* Memory for them (locked.c); loop thread only. take: NULL when there is none. */
char *host_locked_take (size_t size);
void host_locked_give (char *bytes, size_t size);       /* wipes it */
void host_locked_start (void);          /* at the head of main */

/* --- readers of XML that take it as it arrives (shapereader.c) ----------- */

typedef struct HostReader HostReader;
HostReader *host_reader (lua_State *L, int arg);        /* raises for anything else */

/* 0: not enough memory; 1: taken; 2: its play() has something to do now */
int host_reader_add (HostReader *r, const char *bytes, size_t length);

/* --- doors: addresses whose connections lead into a tunnel of ours (door.c) --- */

int host_door_listen (void);            /* a socket to lead to; -1 and errno */
int host_door_open (int listener);      /* the number N of 240.0.0.0 + N, or 0 */
void host_door_close (int door);
int host_door_is_ours (int fd);         /* of what came in there */

/* --- threads (thread.c) -------------------------------------------------- */

/* Starts one that takes no signals, which are the loop's; returns 0 or an errno. */
int host_thread (pthread_t *thread, void *(*run) (void *), void *arg);

/* Clears what copies of secrets may have left in vector registers. */
void host_registers_clear (void);

/* --- child processes (process.c) ----------------------------------------- */

/* Kills them all with their groups; may be called in a signal handler. */
void host_kill_children (void);

/* --- files embedded in the binary (build/.../embed.S) -------------------- */

typedef struct HostEmbedded {           /* offsets from host_embedded: nothing to relocate */
  int32_t name;                         /* "stdlib/task.lua" */
  int32_t start, end;
} HostEmbedded;
extern const HostEmbedded host_embedded[];      /* sorted by name */
extern const size_t host_embedded_count;
extern const char host_embedded_bytes[], host_embedded_end[];   /* where the files are */

/* --- the list of bindings: one line each --------------------------------- */

#define HOST_BINDINGS(X) \
  X(resource) \
  X(list) \
  X(width) \
  X(loop) \
  X(ec) \
  X(fs) \
  X(process) \
  X(netns) \
  X(http) \
  X(serve) \
  X(udp) \
  X(tcp) \
  X(secret) \
  X(json) \
  X(pg) \
  X(pgcopy) \
  X(journal) \
  X(term) \
  X(editor) \
  X(interrupt) \
  X(sign) \
  X(ssh) \
  X(xml) \
  X(redis) \
  X(rediscopy) \
  X(redissame) \
  X(yaml) \
  X(shape) \
  X(zip)

#define HOST_DECLARE(name) int luaopen_host_##name (lua_State *L);
HOST_BINDINGS(HOST_DECLARE)

/* Loads a library that is not linked (lazy.c): "curl", "pq", "ssh", ... */
void host_need (lua_State *L, const char *library);

/* Adds the preloaded host.* modules and the searcher of embedded modules. */
void host_open (lua_State *L);

#endif
