/*
** What serve.c (the daemon) and serve_exchange.c (one request and its answer) share.
*/
#ifndef HKRUN_SERVE_H
#define HKRUN_SERVE_H

#include "host.h"

#include <microhttpd.h>

#include "buffer.h"

#define SERVER "hkrun.serve.server"
#define EXCHANGE "hkrun.serve.exchange"

typedef struct Server {
  struct MHD_Daemon *daemon;           /* NULL when closed */
  uv_loop_t *loop;
  uv_poll_t *poll;                     /* these two are on the heap: libuv closes them later */
  uv_timer_t *timer;
  struct Exchange *open;               /* every request that MHD knows */
  struct Exchange *first, *last;       /* complete ones that nobody took yet */
  lua_Integer acceptor;                /* the id of who waits for one, or 0 */
  size_t memory_limit, size_limit;     /* of a request's body: beyond the first it goes to a file, the second is refused */
  char *tmpdir;
  int port;
  bool is_closing;
} Server;

/* Shared by MHD's connection and the handler's userdata; freed when both let go. The connection is suspended while the
   handler works, so MHD does not touch it then. */
typedef struct Exchange {
  int refs;
  Server *server;                      /* NULL once the connection is over */
  struct MHD_Connection *connection;   /* the same */
  struct Exchange *prev, *next;        /* in server->open */
  struct Exchange *queued;             /* the next in server->first */
  bool is_suspended, is_taken, is_replied, is_dropped;
  char *method, *target;
  char peer[64];
  Buffer headers;                      /* name 0 value 0 name 0 value 0 ... */
  Buffer body;
  char *body_path;
  int body_fd;
  size_t body_size;
  bool is_too_large;
  unsigned status;
  struct MHD_Response *response;
  Buffer out;                          /* of a streamed answer: what was written and is not sent */
  bool is_ended, is_cut;
  lua_Integer writer;                  /* the id of who waits for room in it, or 0 */
} Exchange;

void host_server_soon (Server *s);                      /* lets MHD run at the next turn of the loop */
void host_exchange_unref (Exchange *e);
void host_exchange_over (Exchange *e);                  /* MHD is done with it */
void host_exchange_resume (Exchange *e);
void host_exchange_push (lua_State *L, Exchange *e);    /* takes a reference */
void host_exchange_types (lua_State *L);

#endif
