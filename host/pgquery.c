/*
** pgquery.c: statements on one connection, and their rows, one at a time as they arrive (single-row mode): a result of any
** size takes the memory of one batch.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgconn.h"

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

/* can a statement be sent? else what to return, with nil, err on the stack */
static int not_free (lua_State *L, HostPgConn *c) {
  if (c->pg == NULL) return host_pg_closed(L);
  if (PQtransactionStatus(c->pg) == PQTRANS_ACTIVE)
    return host_fail(L, "invalid", NULL, 0, "another statement is still running on this connection");
  host_pg_release(c);
  c->named = c->copy_over = 0;
  return 0;
}

static const char *check_sql (lua_State *L, int arg) {
  size_t len;
  const char *sql = host_bytes(L, arg, &len);
  luaL_argcheck(L, memchr(sql, 0, len) == NULL, arg, "SQL text with a zero byte");
  return sql;
}

/*
** conn:send(sql, params | nil, n, how) -> true   how: "simple" (many statements, no parameters), "extended", or
** "prepared" (sql is the name of a prepared one)
*/
int host_pg_send (lua_State *L) {
  static const char *const ways[] = { "simple", "extended", "prepared", NULL };
  HostPgConn *c = host_pg_conn(L);
  const char *sql = check_sql(L, 2);
  int n = (int)luaL_optinteger(L, 4, 0), how = luaL_checkoption(L, 5, "extended", ways), i, ok;
  luaL_argcheck(L, n >= 0 && n <= 65535, 4, "between 0 and 65535 parameters");
  if ((i = not_free(L, c)) != 0) return i;
  if (how == 0) ok = PQsendQuery(c->pg, sql);
  else {
    const char **values = lua_newuserdatauv(L, sizeof *values * (size_t)(n + 1), 0);
    if (n > 0) luaL_checktype(L, 3, LUA_TTABLE);
    luaL_checkstack(L, 2 * n + 10, "too many parameters");
    for (i = 0; i < n; i++) values[i] = param_text(L, 3, i + 1);
    ok = how == 1 ? PQsendQueryParams(c->pg, sql, n, NULL, values, NULL, NULL, 0)
                  : PQsendQueryPrepared(c->pg, sql, n, values, NULL, NULL, 0);
  }
  if (!ok) return host_pg_fail(L, c);
  PQsetSingleRowMode(c->pg);
  lua_pushboolean(L, 1);
  return 1;
}

/* conn:prepare(name, sql) -> true   next() gives the outcome */
int host_pg_prepare (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
  const char *name = luaL_checkstring(L, 2), *sql = check_sql(L, 3);
  int r = not_free(L, c);
  if (r != 0) return r;
  if (!PQsendPrepare(c->pg, name, sql, 0, NULL)) return host_pg_fail(L, c);
  lua_pushboolean(L, 1);
  return 1;
}

static void push_names (lua_State *L, HostPgConn *c, const PGresult *res) {   /* leaves the names table on the stack */
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
int host_pg_next (lua_State *L) {
  HostPgConn *c = host_pg_conn(L);
  lua_Integer max = luaL_optinteger(L, 2, 1000), n = 0;
  int list = lua_toboolean(L, 3), rows = 0, names = 0;
  if (c->pg == NULL) return host_pg_closed(L);
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
    host_pg_release(c);
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
      host_pg_release(c);
      c->named = 0;
      return 4;
    }
    case PGRES_COPY_IN: lua_pushliteral(L, "copy_in"); host_pg_release(c); return 2;
    case PGRES_COPY_OUT: lua_pushliteral(L, "copy_out"); host_pg_release(c); return 2;
    default: break;
  }
  host_pg_error_result(&c->error, c->pg, c->held);
  if (PQstatus(c->pg) == CONNECTION_BAD && c->error.code[0] == '\0') c->error.kind = "network";
  host_pg_release(c);
  lua_pushnil(L);
  host_pg_error_table(L, &c->error);
  return 2;
}

/* conn:columns() -> {"name", ...} of the last rows */
int host_pg_columns (lua_State *L) {
  host_pg_conn(L);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

