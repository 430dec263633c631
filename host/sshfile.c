/*
** sshfile.c: one file over sftp, in a thread with its own logged-in connection
** (libssh's sftp blocks). The file is streamed; get writes PATH.part and renames
** it when all is there. Handle: running -> done; id() is awaited, progress()
** can be asked at any time, result() is true, bytes or nil, err. close stops
** and joins the thread.
*/
#include "host.h"
#include "sshconn.h"

#include <errno.h>
#include <fcntl.h>
#include <libssh/sftp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRANSFER "hkrun.ssh.transfer"
#define READ_CHUNK 32768
#define READS 32                        /* requests on their way at once */
#define WRITE_CHUNK 261120              /* what OpenSSH's sftp-server takes */
#define CONNECT_SECONDS 30

typedef struct Transfer {
  SshParams *params;                    /* NULL when closed */
  int put, stop, started;
  char *local, *remote;
  pthread_t thread;
  HostWake *wake;
  atomic_llong done, total;
  atomic_int finished;
  SshError err;                         /* written before finished is set */
  pthread_mutex_t lock;                 /* of live_fd */
  int live_fd;                          /* logged in: close may shut it down */
  atomic_int stopping;
  /* the thread's own */
  SshConn conn;
  char *buffer;
} Transfer;

/* --- the thread ---------------------------------------------------------- */

static int sftp_failed (Transfer *t, sftp_session sftp, const char *what) {
  static const char *const reasons[] = { "", "end of file", "no such file",
    "permission denied", "failure", "bad message", "no connection",
    "connection lost", "not supported" };
  int code = sftp != NULL ? sftp_get_error(sftp) : 0;
  if (atomic_load(&t->stopping))
    return ssh_error_set(&t->err, "cancelled", NULL, 0, "cancelled");
  if (!ssh_is_connected(t->conn.session) || code == SSH_FX_CONNECTION_LOST
      || code == SSH_FX_NO_CONNECTION)
    return ssh_conn_broken(&t->conn, &t->err);
  if (code > 0 && code < (int)(sizeof reasons / sizeof *reasons))
    return ssh_error_set(&t->err, code == SSH_FX_NO_SUCH_FILE ? "not_found"
                         : "remote", NULL, 0, "%s %s: %s", what, t->remote,
                         reasons[code]);
  return ssh_error_set(&t->err, "remote", NULL, 0, "%s %s: %s", what, t->remote,
                       ssh_get_error(t->conn.session));
}

static int local_failed (Transfer *t, const char *what) {
  return ssh_error_set(&t->err, errno == ENOENT ? "not_found" : "io", NULL, 0,
                       "%s %s: %s", what, t->local, strerror(errno));
}

static int put_bytes (Transfer *t, sftp_session sftp, sftp_file to, int from) {
  for (;;) {
    ssize_t n = read(from, t->buffer, WRITE_CHUNK);
    if (n < 0) return local_failed(t, "cannot read");
    if (n == 0) return 0;
    if (sftp_write(to, t->buffer, (size_t)n) != n)
      return sftp_failed(t, sftp, "cannot write");
    atomic_fetch_add(&t->done, (long long)n);
  }
}

static int put (Transfer *t, sftp_session sftp) {
  struct stat st;
  int from = open(t->local, O_RDONLY | O_CLOEXEC);
  if (from < 0) return local_failed(t, "cannot read");
  if (fstat(from, &st) != 0 || !S_ISREG(st.st_mode)) {
    close(from);
    return ssh_error_set(&t->err, "invalid", NULL, 0, "%s is not a plain file",
                         t->local);
  }
  atomic_store(&t->total, (long long)st.st_size);
  sftp_file to = sftp_open(sftp, t->remote, O_WRONLY | O_CREAT | O_TRUNC,
                           st.st_mode & 0777);
  int rc = to == NULL ? sftp_failed(t, sftp, "cannot write")
                      : put_bytes(t, sftp, to, from);
  close(from);
  if (to != NULL && sftp_close(to) != SSH_OK && rc == 0)
    rc = sftp_failed(t, sftp, "cannot finish");
  return rc;
}

static int write_all (int fd, const char *data, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, data, len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    data += n;
    len -= (size_t)n;
  }
  return 0;
}

/* Keeps READS requests on their way. After a short answer the later ones are
   at wrong places: they are thrown away and asked again. */
static int get_bytes (Transfer *t, sftp_session sftp, sftp_file from, int to) {
  uint32_t ids[READS];
  int head = 0, count = 0, ended = 0, skip = 0;
  uint64_t offset = 0;
  for (;;) {
    while (!ended && skip == 0 && count < READS) {
      int id = sftp_async_read_begin(from, READ_CHUNK);
      if (id < 0) return sftp_failed(t, sftp, "cannot read");
      ids[(head + count++) % READS] = (uint32_t)id;
    }
    if (count == 0) return 0;
    int n = sftp_async_read(from, t->buffer, READ_CHUNK, ids[head]);
    head = (head + 1) % READS;
    count--;
    if (n < 0) return sftp_failed(t, sftp, "cannot read");
    if (skip > 0) {                     /* asked for the wrong place */
      if (--skip == 0) sftp_seek64(from, offset);
      continue;
    }
    if (n == 0) {
      ended = 1;
      continue;
    }
    if (write_all(to, t->buffer, (size_t)n) != 0)
      return local_failed(t, "cannot write");
    offset += (uint64_t)n;
    atomic_fetch_add(&t->done, (long long)n);
    if (n < READ_CHUNK && !ended) {
      skip = count;
      if (skip == 0) sftp_seek64(from, offset);
    }
  }
}

static int get (Transfer *t, sftp_session sftp) {
  char part[4096 + 8];
  sftp_file from = sftp_open(sftp, t->remote, O_RDONLY, 0);
  if (from == NULL) return sftp_failed(t, sftp, "cannot read");
  sftp_attributes a = sftp_fstat(from);
  mode_t mode = a != NULL ? a->permissions & 0777 : 0600;
  if (a != NULL) atomic_store(&t->total, (long long)a->size);
  sftp_attributes_free(a);
  snprintf(part, sizeof part, "%s.part", t->local);
  int to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode | 0600);
  int rc = to < 0 ? local_failed(t, "cannot write")
                  : get_bytes(t, sftp, from, to);
  if (to >= 0 && close(to) != 0 && rc == 0) rc = local_failed(t, "cannot write");
  if (rc == 0 && rename(part, t->local) != 0)
    rc = local_failed(t, "cannot write");
  if (rc != 0 && to >= 0) unlink(part);
  sftp_close(from);
  return rc;
}

static void transfer (Transfer *t) {
  if (ssh_conn_run(&t->conn, t->stop, CONNECT_SECONDS) != 1) {
    t->err = t->conn.err;
    return;
  }
  pthread_mutex_lock(&t->lock);
  t->live_fd = t->conn.fd;
  pthread_mutex_unlock(&t->lock);
  ssh_set_blocking(t->conn.session, 1);
  sftp_session sftp = sftp_new(t->conn.session);
  if (sftp == NULL || sftp_init(sftp) != SSH_OK)
    sftp_failed(t, sftp, "the server has no sftp for");
  else if (t->put) put(t, sftp);
  else get(t, sftp);
  if (sftp != NULL) sftp_free(sftp);
}

static void *run (void *arg) {
  Transfer *t = arg;
  transfer(t);
  pthread_mutex_lock(&t->lock);
  t->live_fd = -1;
  pthread_mutex_unlock(&t->lock);
  ssh_conn_close(&t->conn);
  atomic_store(&t->finished, 1);
  host_wake_send(t->wake);
  return NULL;
}

/* --- Lua ----------------------------------------------------------------- */

static Transfer *check (lua_State *L) { return luaL_checkudata(L, 1, TRANSFER); }

static int transfer_close (lua_State *L) {      /* close, __gc, __close */
  Transfer *t = check(L);
  SshParams *params = t->params;
  if (params == NULL) return 0;
  t->params = NULL;
  if (t->started) {
    uint64_t one = 1;
    atomic_store(&t->stopping, 1);
    while (write(t->stop, &one, sizeof one) < 0 && errno == EINTR) { }
    pthread_mutex_lock(&t->lock);
    if (t->live_fd >= 0) shutdown(t->live_fd, SHUT_RDWR); /* ends its reads */
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
  }
  host_wake_free(t->wake);
  if (t->stop >= 0) close(t->stop);
  pthread_mutex_destroy(&t->lock);
  free(t->local);
  free(t->remote);
  free(t->buffer);
  ssh_params_free(params);
  return 0;
}

/* session:transfer("put"|"get", local: string, remote: string)
   -> transfer | nil, err */
int ssh_transfer_new (lua_State *L) {
  static const char *const names[] = { "get", "put", NULL };
  const SshParams *params = ssh_check_params(L, 1);
  int is_put = luaL_checkoption(L, 2, NULL, names);
  size_t len;
  const char *local = luaL_checklstring(L, 3, &len);
  const char *remote = luaL_checkstring(L, 4);
  luaL_argcheck(L, len < 4096, 3, "too long a path");
  Transfer *t = lua_newuserdatauv(L, sizeof *t, 0);
  memset(t, 0, sizeof *t);
  t->stop = t->live_fd = t->conn.fd = -1;
  luaL_setmetatable(L, TRANSFER);
  t->wake = host_wake_new(L);
  t->params = ssh_params_copy(params);
  if (t->params == NULL) {
    host_wake_free(t->wake);
    return luaL_error(L, "not enough memory");
  }
  pthread_mutex_init(&t->lock, NULL);
  ssh_conn_init(&t->conn, t->params);
  t->put = is_put;
  t->local = strdup(local);
  t->remote = strdup(remote);
  t->buffer = malloc(WRITE_CHUNK);
  if (t->local == NULL || t->remote == NULL || t->buffer == NULL)
    return luaL_error(L, "not enough memory");
  t->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int ok = t->stop >= 0;
  if (ok) {
    ok = (errno = host_thread(&t->thread, run, t)) == 0;
    t->started = ok;
  }
  if (!ok)
    return host_fail(L, "io", NULL, 0, "cannot start a transfer: %s",
                     strerror(errno));
  return 1;
}

static int transfer_id (lua_State *L) {
  Transfer *t = check(L);
  luaL_argcheck(L, t->params != NULL, 1, "the transfer is closed");
  lua_pushinteger(L, host_wake_id(t->wake));
  return 1;
}

/* progress() -> bytes done, bytes in all */
static int transfer_progress (lua_State *L) {
  Transfer *t = check(L);
  lua_pushinteger(L, atomic_load(&t->done));
  lua_pushinteger(L, atomic_load(&t->total));
  return 2;
}

/* result() -> true, bytes | false while it runs | nil, err */
static int transfer_result (lua_State *L) {
  Transfer *t = check(L);
  if (t->params == NULL)
    return host_fail(L, "closed", NULL, 0, "the transfer is closed");
  if (!atomic_load(&t->finished)) {
    lua_pushboolean(L, 0);
    return 1;
  }
  if (t->err.kind != NULL) return ssh_push_error(L, &t->err);
  lua_pushboolean(L, 1);
  lua_pushinteger(L, atomic_load(&t->done));
  return 2;
}

void ssh_open_transfer (lua_State *L) {
  static const luaL_Reg methods[] = {
    { "id", transfer_id }, { "progress", transfer_progress },
    { "result", transfer_result }, { NULL, NULL }
  };
  ssh_new_class(L, TRANSFER, methods, transfer_close);
}
