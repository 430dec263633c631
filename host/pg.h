/*
** pg.h: what pg.c (a connection for one task) and pgcopy.c (the copy engine) share: connection
** parameters taken from Lua, result values given to Lua, and one reading of libpq's errors.
*/
#ifndef HKRUN_PG_H
#define HKRUN_PG_H

#include <libpq-fe.h>
#include "host.h"

#define HOST_PG_PARAMS 40

/* Connection parameters in libpq's form. The strings lie in one block of locked memory. */
typedef struct HostPgParams {
  const char *keys[HOST_PG_PARAMS + 1];
  const char *values[HOST_PG_PARAMS + 1];
  char *mem;
  size_t size;
} HostPgParams;

/* One failure in plain C, so that a worker thread can keep it until Lua asks. */
typedef struct HostPgError {
  const char *kind;                                  /* static string, NULL = no failure */
  int retry;                                         /* may the same thing work if done again? */
  char code[6];                                      /* SQLSTATE, "" where the server gave none */
  char *message, *detail, *hint, *context;           /* malloc'ed or NULL */
  char *schema, *table, *column, *constraint;        /* the same: what it is about */
  long position;                                     /* in the statement, 1-based, 0 = unknown */
} HostPgError;

void host_pg_params(lua_State *L, int arg, HostPgParams *p);     /* raises on a bad table */
void host_pg_params_free(HostPgParams *p);

void host_pg_values_open(lua_State *L);                          /* once, before the first host_pg_push */
void host_pg_push(lua_State *L, const PGresult *res, int row, int col);
void host_pg_push_text(lua_State *L, Oid type, const char *s, size_t len);   /* s ends in a zero byte */
int host_pg_push_array(lua_State *L, Oid type, const char *s, size_t len);   /* 0 = not an array that is known */

int host_pg_fingerprint(PGconn *pg, char out[65]);

void host_pg_error_result(HostPgError *e, const PGconn *pg, const PGresult *res);
void host_pg_error_fields(HostPgError *e, const char *(*get)(const void *report, int field), const void *report);
void host_pg_error_conn(HostPgError *e, const PGconn *pg);       /* a failed connect or a lost connection */
void host_pg_error_text(HostPgError *e, const char *kind, int retry, const char *text);
void host_pg_error_free(HostPgError *e);
void host_pg_error_table(lua_State *L, const HostPgError *e);    /* pushes the error table */

#endif
