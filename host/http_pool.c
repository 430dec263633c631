/*
** curl's multi interface on the libuv loop: its sockets are watched, its timer is a timer of the loop, and what it
** delivers goes into the request's buffers and files.
*/
#include "http.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int libssh2_init (int flags);
int libssh2_init (int flags) { (void)flags; return 0; }   /* curl begins with it; we speak no SSH through curl */

enum { HOST_CONNECTIONS = 64, IDLE_CONNECTIONS = 64, HEAD_BYTES = 1024 * 1024 };

typedef struct Sock {
  uv_poll_t poll;
  Pool *pool;
  curl_socket_t fd;
} Sock;

static void handle_free (uv_handle_t *handle) { free(handle); }        /* a Sock begins with its handle */

static void pool_collect (Pool *pool) {
  CURLMsg *msg;
  int left;
  while ((msg = curl_multi_info_read(pool->multi, &left)) != NULL) {
    if (msg->msg != CURLMSG_DONE) continue;
    char *request = NULL;
    CURLcode code = msg->data.result;
    curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &request);
    host_http_finish((Request *)(void *)request, code, true);
  }
}

static void on_socket (uv_poll_t *poll, int status, int events) {
  Sock *sock = poll->data;
  Pool *pool = sock->pool;
  int flags = status < 0 ? CURL_CSELECT_ERR : 0, left;
  if (events & UV_READABLE) flags |= CURL_CSELECT_IN;
  if (events & UV_WRITABLE) flags |= CURL_CSELECT_OUT;
  curl_multi_socket_action(pool->multi, sock->fd, flags, &left);      /* may close the sock */
  pool_collect(pool);
}

static void on_timer (uv_timer_t *timer) {
  Pool *pool = timer->data;
  int left;
  pool->in_timer = true;
  curl_multi_socket_action(pool->multi, CURL_SOCKET_TIMEOUT, 0, &left);
  pool_collect(pool);
  pool->in_timer = false;
}

static int want_timer (CURLM *multi, long ms, void *arg) {
  Pool *pool = arg;
  (void)multi;
  if (ms == 0 && pool->in_timer) ms = 1;         /* libuv would run it again before it looks at any descriptor */
  if (ms < 0) uv_timer_stop(pool->timer);
  else uv_timer_start(pool->timer, on_timer, (uint64_t)ms, 0);
  return 0;
}

static int want_socket (CURL *easy, curl_socket_t fd, int what, void *arg, void *known) {
  Pool *pool = arg;
  Sock *sock = known;
  (void)easy;
  if (what == CURL_POLL_REMOVE) {
    if (sock == NULL) return 0;
    uv_poll_stop(&sock->poll);
    uv_close((uv_handle_t *)&sock->poll, handle_free);
    curl_multi_assign(pool->multi, fd, NULL);
    return 0;
  }
  if (sock == NULL) {
    sock = calloc(1, sizeof *sock);
    if (sock == NULL) return -1;
    sock->pool = pool;
    sock->fd = fd;
    if (uv_poll_init(pool->loop, &sock->poll, fd) != 0) {
      free(sock);
      return -1;
    }
    sock->poll.data = sock;
    curl_multi_assign(pool->multi, fd, sock);
  }
  int events = 0;
  if (what & CURL_POLL_IN) events |= UV_READABLE;
  if (what & CURL_POLL_OUT) events |= UV_WRITABLE;
  return uv_poll_start(&sock->poll, events, on_socket) == 0 ? 0 : -1;
}

bool host_http_open (Pool *pool) {
  if (pool->multi != NULL) return true;
  pool->timer = calloc(1, sizeof *pool->timer);
  if (pool->timer == NULL) return false;
  if ((pool->multi = curl_multi_init()) == NULL) {
    free(pool->timer);
    pool->timer = NULL;
    return false;
  }
  uv_timer_init(pool->loop, pool->timer);
  pool->timer->data = pool;
  curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
  curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
  curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, want_timer);
  curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
  curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
  curl_multi_setopt(pool->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HOST_CONNECTIONS);
  curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
  return true;
}

void host_http_shut (Pool *pool) {
  CURLM *multi = pool->multi;
  if (multi == NULL) return;
  curl_multi_cleanup(multi);                 /* calls want_socket: the timer must still be there */
  pool->multi = NULL;
  uv_timer_stop(pool->timer);
  uv_close((uv_handle_t *)pool->timer, handle_free);
  pool->timer = NULL;
}

/* ---- one request ------------------------------------------------------------------------------------------------ */

static void tell (Request *r) {
  if (!r->is_told) host_ready_loop(r->pool->loop, r->id);
  r->is_told = true;
}

/* out of curl's hands; the file, if there is one, gets its name or disappears */
void host_http_finish (Request *r, CURLcode code, bool wake) {
  if (r->state != RUNNING) return;
  curl_multi_remove_handle(r->pool->multi, r->easy);
  if (r->prev != NULL) r->prev->next = r->next;
  else r->pool->running = r->next;
  if (r->next != NULL) r->next->prev = r->prev;
  r->prev = r->next = NULL;
  r->state = DONE;
  r->code = code;
  if (r->in_fd >= 0) close(r->in_fd);
  r->in_fd = -1;
  if (r->to_fd >= 0) {
    if (close(r->to_fd) != 0 && r->code == CURLE_OK) {
      r->code = CURLE_WRITE_ERROR;
      r->fault = CANNOT_WRITE;
      r->fault_errno = errno;
    }
    r->to_fd = -1;
    long status = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    bool complete = r->code == CURLE_OK && status / 100 == 2;
    if (complete && r->part != NULL && rename(r->part, r->path) != 0) {
      complete = false;
      r->code = CURLE_WRITE_ERROR;
      r->fault = CANNOT_WRITE;
      r->fault_errno = errno;
    }
    if (!complete && r->part != NULL) unlink(r->part);
  }
  if (wake) tell(r);
}

static size_t on_head (char *bytes, size_t one, size_t n, void *arg) {
  Request *r = arg;
  n *= one;
  if (n >= 5 && memcmp(bytes, "HTTP/", 5) == 0) r->head.len = 0;      /* after a 100 the real head follows */
  if (r->head.len + n > HEAD_BYTES || !buffer_add(&r->head, bytes, n)) {
    r->fault = TOO_LARGE;
    return 0;
  }
  return n;
}

static size_t write_fault (Request *r, Fault fault, int err) {
  r->fault = fault;
  r->fault_errno = err;
  return 0;
}

bool host_http_is_kept (const Request *r) {
  long status = 0;
  curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
  return status / 100 != 2 || (r->path == NULL && r->reader == NULL);
}

/* A successful body goes to the file or the reader where one is asked for; what an error says stays in memory. Writing to
   a local file from the loop is a copy into the page cache. */
static size_t on_body (char *bytes, size_t one, size_t n, void *arg) {
  Request *r = arg;
  n *= one;
  r->received += (curl_off_t)n;
  if (host_http_is_kept(r)) {
    curl_off_t said = -1;
    if (r->body.len + n > r->limit) return write_fault(r, TOO_LARGE, 0);
    if (r->body.len == 0) curl_easy_getinfo(r->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &said);
    if (said > 0 && (size_t)said <= r->limit) (void)buffer_reserve(&r->body, (size_t)said);   /* else it grows */
    return buffer_add(&r->body, bytes, n) ? n : write_fault(r, NO_MEMORY, 0);
  }
  if (r->reader != NULL) {
    if ((size_t)r->received > r->limit) return write_fault(r, TOO_LARGE, 0);
    int taken = host_reader_add(r->reader, bytes, n);
    if (taken == 2) tell(r);
    return taken > 0 ? n : write_fault(r, NO_MEMORY, 0);
  }
  curl_off_t start = r->received - (curl_off_t)n;
  if (r->part == NULL && r->received > r->to_size) return write_fault(r, TOO_LONG, 0);
  for (size_t at = 0; at < n;) {
    ssize_t wrote = pwrite(r->to_fd, bytes + at, n - at, (off_t)(r->to_start + start + (curl_off_t)at));
    if (wrote >= 0) at += (size_t)wrote;
    else if (errno != EINTR) return write_fault(r, CANNOT_WRITE, errno);
  }
  return n;
}

static size_t on_read (char *bytes, size_t one, size_t n, void *arg) {
  Request *r = arg;
  curl_off_t left = r->in_size - r->in_pos;
  n *= one;
  if ((curl_off_t)n > left) n = (size_t)left;
  if (n == 0) return 0;
  ssize_t got = pread(r->in_fd, bytes, n, (off_t)(r->in_start + r->in_pos));
  if (got <= 0) {                                 /* an error, or a file that became shorter under our hands */
    r->fault = CANNOT_READ;
    r->fault_errno = got < 0 ? errno : EIO;
    return CURL_READFUNC_ABORT;
  }
  r->in_pos += got;
  return (size_t)got;
}

static int on_seek (void *arg, curl_off_t offset, int origin) {
  Request *r = arg;
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  r->in_pos = offset;
  return CURL_SEEKFUNC_OK;
}

void host_http_callbacks (Request *r) {
  curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, on_head);
  curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, (void *)r);
  curl_easy_setopt(r->easy, CURLOPT_BUFFERSIZE, 131072L);   /* for large answers: a quarter of the calls */
  curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, (void *)r);
  curl_easy_setopt(r->easy, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt(r->easy, CURLOPT_READDATA, (void *)r);
  curl_easy_setopt(r->easy, CURLOPT_SEEKFUNCTION, on_seek);
  curl_easy_setopt(r->easy, CURLOPT_SEEKDATA, (void *)r);
}
