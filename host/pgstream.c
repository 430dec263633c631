/*
** pgstream.c: what a connection carries besides rows: the bytes of a COPY, notifications, and the request to cancel. That
** one needs a connection of its own, and libpq makes it blocking: it runs on libuv's thread pool.
*/
#include <stdlib.h>
#include <uv.h>

#include "pgconn.h"

#define COPY_CHUNK 65536

/* conn:put(bytes) step -> true   takes the bytes once the earlier ones have left */
int host_pg_put (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
  size_t len;
  const char *s = host_bytes(L, 2, &len);
  int r;
  if (c->pg == NULL) return host_pg_closed(L);
  r = PQflush(c->pg);
  if (r == 1) {
    PQconsumeInput(c->pg);
    return host_wait(L, "readwrite");
  }
  luaL_argcheck(L, len <= 0x3fffffff, 2, "at most 1 GiB at once");
  if (r < 0 || PQputCopyData(c->pg, s, (int)len) != 1) return host_pg_fail(L, c);
  lua_pushboolean(L, 1);
  return 1;
}

/* conn:put_end([reason]) -> true   ends COPY IN; with a reason the server undoes it. next() gives the outcome */
int host_pg_put_end (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
  const char *reason = luaL_optstring(L, 2, NULL);
  if (c->pg == NULL) return host_pg_closed(L);
  if (PQputCopyEnd(c->pg, reason) != 1) return host_pg_fail(L, c);
  lua_pushboolean(L, 1);
  return 1;
}

/* conn:get() step -> true, bytes (whole rows, about 64 KiB) | true at the end */
int host_pg_get (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
  luaL_Buffer b;
  size_t total = 0;
  int r = 0, tries = 0;
  if (c->pg == NULL) return host_pg_closed(L);
  if (c->copy_over) {
    c->copy_over = 0;
    lua_pushboolean(L, 1);
    return 1;
  }
  luaL_buffinit(L, &b);
  while (total < COPY_CHUNK) {
    r = PQgetCopyData(c->pg, &c->copied, 1);
    if (r > 0) {
      luaL_addlstring(&b, c->copied, (size_t)r);
      total += (size_t)r;
      PQfreemem(c->copied);
      c->copied = NULL;
    }
    else if (r == 0 && total == 0 && tries++ == 0) { if (!PQconsumeInput(c->pg)) break; }
    else break;
  }
  luaL_pushresult(&b);
  if (total > 0) {
    c->copy_over = r == -1;
    lua_pushboolean(L, 1);
    lua_insert(L, -2);
    return 2;
  }
  if (r == 0 && PQstatus(c->pg) == CONNECTION_OK) return host_wait(L, "read");
  if (r != -1) return host_pg_fail(L, c);
  lua_pushboolean(L, 1);                             /* the end; next() gives the outcome */
  return 1;
}

/* conn:notification() step -> true, {channel, payload, pid}   one that came; other statements may run meanwhile */
int host_pg_notification (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
  if (c->pg == NULL) return host_pg_closed(L);
  if (c->heard == NULL) c->heard = PQnotifies(c->pg);
  if (c->heard == NULL) {
    int alive = PQconsumeInput(c->pg);
    c->heard = PQnotifies(c->pg);
    if (c->heard == NULL) return alive && PQstatus(c->pg) == CONNECTION_OK ? host_wait(L, "read") : host_pg_fail(L, c);
  }
  lua_pushboolean(L, 1);
  lua_createtable(L, 0, 3);
  lua_pushstring(L, c->heard->relname);  lua_setfield(L, -2, "channel");
  lua_pushstring(L, c->heard->extra);    lua_setfield(L, -2, "payload");
  lua_pushinteger(L, c->heard->be_pid);  lua_setfield(L, -2, "pid");
  PQfreemem(c->heard);
  c->heard = NULL;
  return 2;
}

/* ---- cancel: a request on a connection of its own ---- */

typedef struct Cancel {
  uv_work_t work;
  PGcancel *request;
  uv_loop_t *loop;
  lua_Integer id;
} Cancel;

static void cancel_work (uv_work_t *w) {
  char buf[256];
  Cancel *k = w->data;
  PQcancel(k->request, buf, sizeof buf);             /* its failure shows as a statement that goes on */
}

static void cancel_done (uv_work_t *w, int status) {
  Cancel *k = w->data;
  (void)status;
  PQfreeCancel(k->request);
  host_ready_loop(k->loop, k->id);
  free(k);
}

/* conn:cancel() -> id   asks the server to stop the running statement; await the id, then go on with next() */
int host_pg_cancel (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
  Cancel *k;
  if (c->pg == NULL) return host_pg_closed(L);
  k = calloc(1, sizeof *k);
  if (k == NULL) return host_fail(L, "limit", NULL, 0, "not enough memory");
  k->loop = host_loop(L);
  k->work.data = k;
  k->request = PQgetCancel(c->pg);
  if (k->request == NULL) {
    free(k);
    return host_fail(L, "network", NULL, 0, "nothing to cancel: the connection is not up");
  }
  k->id = host_id_new(L);
  host_registers_clear();
  if (uv_queue_work(k->loop, &k->work, cancel_work, cancel_done) != 0) {
    PQfreeCancel(k->request);
    free(k);
    return host_fail(L, "io", NULL, 0, "no thread for the cancel request");
  }
  lua_pushinteger(L, k->id);
  return 1;
}
