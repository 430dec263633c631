/*
** pgconn.h: what the parts of a connection share: pg.c (it is made and closed), pgquery.c (statements and their rows),
** pgstream.c (COPY, notifications, cancel).
*/
#ifndef HKRUN_PGCONN_H
#define HKRUN_PGCONN_H

#include "pg.h"

#define HOST_PG_NOTICES 50

typedef struct HostPgConn {
  PGconn *pg;
  PGresult *held;                    /* a result in work: freed by close if Lua raises in between */
  char *copied;                      /* the same for a COPY row */
  PGnotify *heard;                   /* and for a notification */
  char *notices[HOST_PG_NOTICES];
  int nnotices;
  int copy_over;                     /* get() gave the last rows together with the end */
  int started;                       /* has connect() been called once? */
  int named;                         /* user value 1 holds the column names of the running result */
  HostPgError error;
} HostPgConn;

HostPgConn *host_pg_conn(lua_State *L);              /* argument 1, or raises */
int host_pg_closed(lua_State *L);                    /* nil, err of a closed connection */
int host_pg_fail(lua_State *L, HostPgConn *c);       /* nil, err of a lost or refused connection */
void host_pg_release(HostPgConn *c);                 /* what is in work */

/* methods, each described where it is defined */
int host_pg_send(lua_State *L);                      /* pgquery.c */
int host_pg_prepare(lua_State *L);
int host_pg_next(lua_State *L);
int host_pg_columns(lua_State *L);
int host_pg_put(lua_State *L);                       /* pgstream.c */
int host_pg_put_end(lua_State *L);
int host_pg_get(lua_State *L);
int host_pg_notification(lua_State *L);
int host_pg_cancel(lua_State *L);

#endif
