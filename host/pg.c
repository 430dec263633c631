/*
** pg.c: one PostgreSQL connection (libpq, never blocking), driven by steps.
** Raises: a wrong argument. Returns nil, err: everything that the server or the network does.
** States: closed (pg == NULL) -> connecting -> idle <-> busy (a query runs until next() gave nil) -> closed.
** Statements are in pgquery.c; COPY, notifications and cancel in pgstream.c.
*/
#include <stdlib.h>
#include <string.h>

#include "pgconn.h"

#define PG_CONN "hkrun.pg.conn"

HostPgConn *host_pg_conn (lua_State *L) {
  return luaL_checkudata(L, 1, PG_CONN);
}

int host_pg_closed (lua_State *L) {
  return host_fail(L, "closed", NULL, 0, "the connection is closed");
}

int host_pg_fail (lua_State *L, HostPgConn *c) {
  host_pg_error_conn(&c->error, c->pg);
  lua_pushnil(L);
  host_pg_error_table(L, &c->error);
  return 2;
}

void host_pg_release (HostPgConn *c) {
  PGresult *res = c->held;
  char *copied = c->copied;
  PGnotify *heard = c->heard;
  c->held = NULL;
  c->copied = NULL;
  c->heard = NULL;
  PQclear(res);
  if (copied != NULL) PQfreemem(copied);
  if (heard != NULL) PQfreemem(heard);
}

static void drop_notices (HostPgConn *c) {
  while (c->nnotices > 0) free(c->notices[--c->nnotices]);
}

static int conn_close (lua_State *L) {               /* close, __gc and __close; safe twice */
  HostPgConn *c = host_pg_conn(L);
  PGconn *pg = c->pg;
  c->pg = NULL;                                      /* cleared before it is released */
  host_pg_release(c);
  drop_notices(c);
  host_pg_error_free(&c->error);
  if (pg != NULL) PQfinish(pg);
  return 0;
}

static void on_notice (void *arg, const PGresult *res) {
  HostPgConn *c = arg;
  const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  if (text != NULL && c->nnotices < HOST_PG_NOTICES) {
    char *copy = strdup(text);
    if (copy != NULL) c->notices[c->nnotices++] = copy;
  }
}

/* pg.open(params) -> conn | nil, err   params: strings and secrets under libpq's names; connect() finishes it */
static int pg_open (lua_State *L) {
  HostPgParams p;
  HostPgConn *c = lua_newuserdatauv(L, sizeof *c, 1);
  memset(c, 0, sizeof *c);
  luaL_setmetatable(L, PG_CONN);
  host_pg_params(L, 1, &p);
  c->pg = PQconnectStartParams(p.keys, p.values, 0);
  host_pg_params_free(&p);
  if (c->pg == NULL) return host_fail(L, "limit", NULL, 0, "not enough memory for a connection");
  if (PQstatus(c->pg) == CONNECTION_BAD) return host_pg_fail(L, c);
  PQsetNoticeReceiver(c->pg, on_notice, c);
  return 1;
}

/* conn:connect() step -> true */
static int conn_connect (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
  if (c->pg == NULL) return host_pg_closed(L);
  if (!c->started) {                                 /* libpq: behave as if it had asked to write */
    c->started = 1;
    return host_wait(L, "write");
  }
  switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING: return host_wait(L, "read");
    case PGRES_POLLING_WRITING: return host_wait(L, "write");
    case PGRES_POLLING_OK:
      if (PQsetnonblocking(c->pg, 1) != 0) return host_pg_fail(L, c);
      lua_pushboolean(L, 1);
      return 1;
    default: return host_pg_fail(L, c);
  }
}

/* conn:fd() -> integer | nil, err */
static int conn_fd (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
  if (c->pg == NULL) return host_pg_closed(L);
  lua_pushinteger(L, PQsocket(c->pg));
  return 1;
}

/* conn:status() -> "closed" | "bad" | "idle" | "active" | "transaction" | "failed" */
static int conn_status (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
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
  HostPgConn *c = host_pg_conn(L);
  if (c->pg == NULL) return host_pg_closed(L);
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
  HostPgConn *c = host_pg_conn(L);
  char hex[65];
  if (c->pg == NULL) return host_pg_closed(L);
  if (host_pg_fingerprint(c->pg, hex)) lua_pushstring(L, hex);
  else lua_pushnil(L);
  return 1;
}

/* conn:notices() -> {text, ...}   what the server remarked since the last call */
static int conn_notices (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
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
  { "close", conn_close }, { "connect", conn_connect }, { "send", host_pg_send }, { "prepare", host_pg_prepare },
  { "next", host_pg_next }, { "columns", host_pg_columns }, { "put", host_pg_put }, { "put_end", host_pg_put_end },
  { "get", host_pg_get }, { "notification", host_pg_notification }, { "cancel", host_pg_cancel }, { "fd", conn_fd },
  { "status", conn_status }, { "info", conn_info }, { "notices", conn_notices },
  { "fingerprint", conn_fingerprint }, { NULL, NULL }
};

static const luaL_Reg meta[] = { { "__gc", conn_close }, { "__close", conn_close }, { NULL, NULL } };

static const luaL_Reg functions[] = { { "open", pg_open }, { NULL, NULL } };

int luaopen_host_pg (lua_State *L) {
  host_need(L, "pq");
  host_need(L, "crypto");
  host_need(L, "ssl");
  host_pg_values_open(L);
  luaL_newmetatable(L, PG_CONN);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
