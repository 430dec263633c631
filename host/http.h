/*
** What http.c (requests), http_pool.c (curl on the loop) and http_answer.c (results) share.
*/
#ifndef HKRUN_HTTP_H
#define HKRUN_HTTP_H

#include "host.h"

#include <curl/curl.h>

#include "buffer.h"

typedef enum { CLOSED, NEW, RUNNING, DONE } State;
typedef enum { FINE, TOO_LARGE, TOO_LONG, NO_MEMORY, CANNOT_WRITE, CANNOT_READ } Fault;

typedef struct Pool {
  CURLM *multi;
  uv_timer_t *timer;             /* on the heap: libuv closes it after the pool is gone */
  uv_loop_t *loop;
  bool in_timer;
  struct Request *running;
} Pool;

typedef struct Request {
  Pool *pool;
  struct Request *prev, *next;   /* in pool->running */
  State state;
  CURL *easy;
  struct curl_slist *headers, *place;
  char *label;                   /* "GET https://host/path": all of the URL that a message may show */
  char *path, *part;             /* the file to write and its name until it is complete; no part: a range of the file */
  curl_off_t to_start, to_size;  /* the range */
  Buffer out;                    /* request body in memory */
  int in_fd, to_fd;
  curl_off_t in_start, in_size, in_pos;
  Buffer head, body;             /* the answer */
  HostReader *reader;            /* of a successful one, instead of the body */
  size_t limit;
  curl_off_t received;
  bool has_type, is_secret;
  lua_Integer id;
  bool is_told;                  /* that id is ready, and nobody has looked since */
  CURLcode code;
  Fault fault;
  int fault_errno;
  char detail[CURL_ERROR_SIZE];
} Request;

bool host_http_open (Pool *pool);                               /* false when memory ran out */
void host_http_shut (Pool *pool);                               /* closes the idle connections, too */
void host_http_callbacks (Request *r);                          /* says where the answer goes and a file comes from */
void host_http_finish (Request *r, CURLcode code, bool wake);   /* takes it out of curl's hands, if it is running */
bool host_http_is_kept (const Request *r);                      /* whether the body of this status stays in memory */
int host_http_answer (lua_State *L, const Request *r);          /* pushes status, headers, body, size | nil, err */
int host_http_resolve (lua_State *L);

#endif
