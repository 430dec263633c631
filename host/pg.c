/*
** pg.c: one PostgreSQL connection (libpq, never blocking), driven by steps.
** Raises: a wrong argument. Returns nil, err: everything that the server or the network does.
** States: closed (pg == NULL) -> connecting -> idle <-> busy (a query runs until next() gave nil) -> closed.
** A cancel request needs a connection of its own and libpq makes it blocking: it runs on libuv's thread pool.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "pg.h"

#define PG_CONN "hkrun.pg.conn"
#define NOTICE_MAX 50
#define COPY_CHUNK 65536

typedef struct Conn {
  PGconn *pg;
  PGresult *held;                    /* a result in work: freed by close if Lua raises in between */
  char *copied;                      /* the same for a COPY row */
  char *notices[NOTICE_MAX];
  int nnotices;
  int copy_over;                     /* get() gave the last rows together with the end */
  int started;                       /* has connect() been called once? */
  int named;                         /* user value 1 holds the column names of the running result */
  HostPgError error;
} Conn;

static Conn *check_conn (lua_State *L) {
  return luaL_checkudata(L, 1, PG_CONN);
}

static int closed (lua_State *L) {
  return host_fail(L, "closed", NULL, 0, "the connection is closed");
}

static void release (Conn *c) {
  PGresult *res = c->held;
  char *copied = c->copied;
  c->held = NULL;
  c->copied = NULL;
  PQclear(res);
  if (copied != NULL) PQfreemem(copied);
}

static void drop_notices (Conn *c) {
  while (c->nnotices > 0) free(c->notices[--c->nnotices]);
}

static int conn_close (lua_State *L) {               /* close, __gc and __close; safe twice */
  Conn *c = check_conn(L);
  PGconn *pg = c->pg;
  c->pg = NULL;                                      /* cleared before it is released */
  release(c);
  drop_notices(c);
  host_pg_error_free(&c->error);
  if (pg != NULL) PQfinish(pg);
  return 0;
}

static void on_notice (void *arg, const PGresult *res) {
  Conn *c = arg;
  const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  if (text != NULL && c->nnotices < NOTICE_MAX) {
    char *copy = strdup(text);
    if (copy != NULL) c->notices[c->nnotices++] = copy;
  }
}

static int fail_conn (lua_State *L, Conn *c) {       /* nil, err of a lost or refused connection */
  host_pg_error_conn(&c->error, c->pg);
  lua_pushnil(L);
  host_pg_error_table(L, &c->error);
  return 2;
}

/* pg.open(params) -> conn | nil, err   params: strings and secrets under libpq's names; connect() finishes it */
static int pg_open (lua_State *L) {
  HostPgParams p;
  Conn *c = lua_newuserdatauv(L, sizeof *c, 1);
  memset(c, 0, sizeof *c);
  luaL_setmetatable(L, PG_CONN);
  host_pg_params(L, 1, &p);
  c->pg = PQconnectStartParams(p.keys, p.values, 0);
  host_pg_params_free(&p);
  if (c->pg == NULL) return host_fail(L, "limit", NULL, 0, "not enough memory for a connection");
  if (PQstatus(c->pg) == CONNECTION_BAD) return fail_conn(L, c);
  PQsetNoticeReceiver(c->pg, on_notice, c);
  return 1;
}

/* conn:connect() step -> true */
static int conn_connect (lua_State *L) {
  Conn *c = check_conn(L);
  if (c->pg == NULL) return closed(L);
  if (!c->started) {                                 /* libpq: behave as if it had asked to write */
    c->started = 1;
    return host_wait(L, "write");
  }
  switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING: return host_wait(L, "read");
    case PGRES_POLLING_WRITING: return host_wait(L, "write");
    case PGRES_POLLING_OK:
      if (PQsetnonblocking(c->pg, 1) != 0) return fail_conn(L, c);
      lua_pushboolean(L, 1);
      return 1;
    default: return fail_conn(L, c);
  }
}

/* one Lua value as a text parameter, kept alive by the stack; NULL is SQL's NULL */
static const char *param_text (lua_State *L, int list, int i) {
  size_t len;
  const char *s;
  lua_rawgeti(L, list, i);
  switch (lua_type(L, -1)) {
    case LUA_TNIL: return NULL;
    case LUA_TBOOLEAN: return lua_toboolean(L, -1) ? "t" : "f";
    case LUA_TNUMBER:
      if (!lua_isinteger(L, -1)) {
        char buf[40];
        lua_Number n = lua_tonumber(L, -1);
        if (isnan(n)) return "NaN";
        if (isinf(n)) return n > 0 ? "Infinity" : "-Infinity";
        snprintf(buf, sizeof buf, "%.17g", (double)n);
        return lua_pushstring(L, buf);
      }
      return luaL_tolstring(L, -1, NULL);
    default: break;
  }
  if (lua_type(L, -1) != LUA_TSTRING && !host_is_secret(L, -1))
    luaL_error(L, "parameter $%d is a %s; give a string, number, boolean, nil or secret", i, luaL_typename(L, -1));
  s = host_bytes(L, lua_gettop(L), &len);
  if (memchr(s, 0, len) != NULL)
    luaL_error(L, "parameter $%d holds a zero byte, which no PostgreSQL text can; wrap bytes in pg.bytea()", i);
  return s;                                          /* secrets end in a zero byte too */
}

/* conn:send(sql, params | nil, n, how) -> true   how: "simple" (many statements, no parameters) or "extended" */
static int conn_send (lua_State *L) {
  Conn *c = check_conn(L);
  size_t len;
  const char *sql = host_bytes(L, 2, &len);
  int n = (int)luaL_optinteger(L, 4, 0), i, ok;
  int simple = strcmp(luaL_optstring(L, 5, "extended"), "simple") == 0;
  luaL_argcheck(L, n >= 0 && n <= 65535, 4, "between 0 and 65535 parameters");
  luaL_argcheck(L, memchr(sql, 0, len) == NULL, 2, "SQL text with a zero byte");
  if (c->pg == NULL) return closed(L);
  if (PQtransactionStatus(c->pg) == PQTRANS_ACTIVE)
    return host_fail(L, "invalid", NULL, 0, "another statement is still running on this connection");
  release(c);
  c->named = c->copy_over = 0;
  if (simple) ok = PQsendQuery(c->pg, sql);
  else {
    const char **values = lua_newuserdatauv(L, sizeof *values * (size_t)(n + 1), 0);
    if (n > 0) luaL_checktype(L, 3, LUA_TTABLE);
    luaL_checkstack(L, 2 * n + 10, "too many parameters");
    for (i = 0; i < n; i++) values[i] = param_text(L, 3, i + 1);
    ok = PQsendQueryParams(c->pg, sql, n, NULL, values, NULL, NULL, 0);
  }
  if (!ok) return fail_conn(L, c);
  PQsetSingleRowMode(c->pg);
  lua_pushboolean(L, 1);
  return 1;
}

static void push_names (lua_State *L, Conn *c, const PGresult *res) {   /* leaves the names table on the stack */
  if (!c->named) {
    int i, n = PQnfields(res);
    lua_createtable(L, n, 0);
    for (i = 0; i < n; i++) {
      lua_pushstring(L, PQfname(res, i));
      lua_rawseti(L, -2, i + 1);
    }
    lua_setiuservalue(L, 1, 1);
    c->named = 1;
  }
  lua_getiuservalue(L, 1, 1);
}

static void push_row (lua_State *L, const PGresult *res, int names, int list) {
  int i, n = PQnfields(res);
  lua_createtable(L, list ? n : 0, list ? 0 : n);
  for (i = 0; i < n; i++) {
    if (!list) lua_rawgeti(L, names, i + 1);
    host_pg_push(L, res, 0, i);
    if (list) lua_rawseti(L, -2, i + 1);
    else lua_rawset(L, -3);
  }
}

/*
** conn:next(max, list) step ->
**   true, "rows", {row...}          up to max rows that are here; rows keyed by name, or by place if list
**   true, "end", command, affected  one statement is done
**   true, "copy_in" | "copy_out"    use put/put_end or get
**   true                            nothing is running any more
**   nil, err                        the statement failed; go on calling until "true" to reach idle
*/
static int conn_next (lua_State *L) {
  Conn *c = check_conn(L);
  lua_Integer max = luaL_optinteger(L, 2, 1000), n = 0;
  int list = lua_toboolean(L, 3), rows = 0, names = 0;
  if (c->pg == NULL) return closed(L);
  if (c->held == NULL) {
    int r = PQflush(c->pg);
    if (r == 1) {                                    /* while sending, drain what the server says */
      PQconsumeInput(c->pg);
      return host_wait(L, "readwrite");
    }
  }
  for (;;) {
    if (c->held == NULL) {
      if (PQisBusy(c->pg)) {
        int alive;
        if (n > 0) break;
        alive = PQconsumeInput(c->pg);
        if (alive && PQisBusy(c->pg)) return host_wait(L, "read");
      }
      c->held = PQgetResult(c->pg);
    }
    if (c->held == NULL || PQresultStatus(c->held) != PGRES_SINGLE_TUPLE) break;
    if (n == max) break;
    if (rows == 0) {
      push_names(L, c, c->held);
      names = lua_gettop(L);
      lua_newtable(L);
      rows = lua_gettop(L);
    }
    push_row(L, c->held, names, list);
    lua_rawseti(L, rows, ++n);
    release(c);
  }
  lua_pushboolean(L, 1);
  if (n > 0) {
    lua_pushliteral(L, "rows");
    lua_pushvalue(L, rows);
    return 3;
  }
  if (c->held == NULL) return 1;
  switch (PQresultStatus(c->held)) {
    case PGRES_TUPLES_OK: case PGRES_COMMAND_OK: case PGRES_EMPTY_QUERY: {
      const char *affected = PQcmdTuples(c->held);
      push_names(L, c, c->held);
      lua_pop(L, 1);
      lua_pushliteral(L, "end");
      lua_pushstring(L, PQcmdStatus(c->held));
      if (*affected != '\0') lua_pushinteger(L, (lua_Integer)strtoll(affected, NULL, 10));
      else lua_pushnil(L);
      release(c);
      c->named = 0;
      return 4;
    }
    case PGRES_COPY_IN: lua_pushliteral(L, "copy_in"); release(c); return 2;
    case PGRES_COPY_OUT: lua_pushliteral(L, "copy_out"); release(c); return 2;
    default: break;
  }
  host_pg_error_result(&c->error, c->pg, c->held);
  if (PQstatus(c->pg) == CONNECTION_BAD && c->error.code[0] == '\0') c->error.kind = "network";
  release(c);
  lua_pushnil(L);
  host_pg_error_table(L, &c->error);
  return 2;
}

/* conn:columns() -> {"name", ...} of the last rows */
static int conn_columns (lua_State *L) {
  check_conn(L);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

/* conn:put(bytes) step -> true   takes the bytes once the earlier ones have left */
static int conn_put (lua_State *L) {
  Conn *c = check_conn(L);
  size_t len;
  const char *s = host_bytes(L, 2, &len);
  int r;
  if (c->pg == NULL) return closed(L);
  r = PQflush(c->pg);
  if (r == 1) {
    PQconsumeInput(c->pg);
    return host_wait(L, "readwrite");
  }
  luaL_argcheck(L, len <= 0x3fffffff, 2, "at most 1 GiB at once");
  if (r < 0 || PQputCopyData(c->pg, s, (int)len) != 1) return fail_conn(L, c);
  lua_pushboolean(L, 1);
  return 1;
}

/* conn:put_end([reason]) -> true   ends COPY IN; with a reason the server undoes it. next() gives the outcome */
static int conn_put_end (lua_State *L) {
  Conn *c = check_conn(L);
  const char *reason = luaL_optstring(L, 2, NULL);
  if (c->pg == NULL) return closed(L);
  if (PQputCopyEnd(c->pg, reason) != 1) return fail_conn(L, c);
  lua_pushboolean(L, 1);
  return 1;
}

/* conn:get() step -> true, bytes (whole rows, about 64 KiB) | true at the end */
static int conn_get (lua_State *L) {
  Conn *c = check_conn(L);
  luaL_Buffer b;
  size_t total = 0;
  int r = 0, tries = 0;
  if (c->pg == NULL) return closed(L);
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
  if (r != -1) return fail_conn(L, c);
  lua_pushboolean(L, 1);                             /* the end; next() gives the outcome */
  return 1;
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
static int conn_cancel (lua_State *L) {
  Conn *c = check_conn(L);
  Cancel *k;
  if (c->pg == NULL) return closed(L);
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

/* ---- accessors ---- */

/* conn:fd() -> integer | nil, err */
static int conn_fd (lua_State *L) {
  Conn *c = check_conn(L);
  if (c->pg == NULL) return closed(L);
  lua_pushinteger(L, PQsocket(c->pg));
  return 1;
}

/* conn:status() -> "closed" | "bad" | "idle" | "active" | "transaction" | "failed" */
static int conn_status (lua_State *L) {
  Conn *c = check_conn(L);
  const char *s = "bad";
  if (c->pg == NULL) s = "closed";
  else if (PQstatus(c->pg) == CONNECTION_OK)
    switch (PQtransactionStatus(c->pg)) {
      case PQTRANS_IDLE: s = "idle"; break;
      case PQTRANS_ACTIVE: s = "active"; break;
      case PQTRANS_INTRANS: s = "transaction"; break;
      case PQTRANS_INERROR: s = "failed"; break;
      default: break;
    }
  lua_pushstring(L, s);
  return 1;
}

/* conn:info() -> {version = 150020, pid = , user = , database = , tls = {protocol, cipher} | nil} */
static int conn_info (lua_State *L) {
  Conn *c = check_conn(L);
  if (c->pg == NULL) return closed(L);
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, PQserverVersion(c->pg)); lua_setfield(L, -2, "version");
  lua_pushinteger(L, PQbackendPID(c->pg));    lua_setfield(L, -2, "pid");
  lua_pushstring(L, PQuser(c->pg));           lua_setfield(L, -2, "user");
  lua_pushstring(L, PQdb(c->pg));             lua_setfield(L, -2, "database");
  if (PQsslInUse(c->pg)) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, PQsslAttribute(c->pg, "protocol")); lua_setfield(L, -2, "protocol");
    lua_pushstring(L, PQsslAttribute(c->pg, "cipher"));   lua_setfield(L, -2, "cipher");
    lua_setfield(L, -2, "tls");
  }
  return 1;
}

/* conn:fingerprint() -> "hex" | nil without TLS */
static int conn_fingerprint (lua_State *L) {
  Conn *c = check_conn(L);
  char hex[65];
  if (c->pg == NULL) return closed(L);
  if (host_pg_fingerprint(c->pg, hex)) lua_pushstring(L, hex);
  else lua_pushnil(L);
  return 1;
}

/* conn:notices() -> {text, ...}   what the server remarked since the last call */
static int conn_notices (lua_State *L) {
  Conn *c = check_conn(L);
  int i;
  lua_createtable(L, c->nnotices, 0);
  for (i = 0; i < c->nnotices; i++) {
    lua_pushstring(L, c->notices[i]);
    lua_rawseti(L, -2, i + 1);
  }
  drop_notices(c);
  return 1;
}

static const luaL_Reg methods[] = {
  { "close", conn_close }, { "connect", conn_connect }, { "send", conn_send }, { "next", conn_next },
  { "columns", conn_columns }, { "put", conn_put }, { "put_end", conn_put_end }, { "get", conn_get },
  { "cancel", conn_cancel }, { "fd", conn_fd }, { "status", conn_status }, { "info", conn_info },
  { "notices", conn_notices }, { "fingerprint", conn_fingerprint }, { NULL, NULL }
};

static const luaL_Reg meta[] = { { "__gc", conn_close }, { "__close", conn_close }, { NULL, NULL } };

static const luaL_Reg functions[] = { { "open", pg_open }, { NULL, NULL } };

int luaopen_host_pg (lua_State *L) {
  host_need(L, "pq");
  host_need(L, "crypto");
  host_need(L, "ssl");
  luaL_newmetatable(L, PG_CONN);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
