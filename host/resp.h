/*
** resp.h - the reader of the Redis protocol: bytes in, Lua values out. RESP2, and what RESP3 added to it; the peer decides
** which (HELLO). A value is made when all of it is there, so nothing is kept half made.
**
** Lua: strings and statuses are strings, integers integers, doubles floats, booleans booleans, big numbers strings of their
** digits, verbatim strings what they say. Arrays and sets are lists, with the mark; maps are tables. Nothing is nil; inside a
** list false, so that the list keeps its length. An error is a table { kind = "remote", code =, message =, retry = }.
*/
#ifndef HKRUN_RESP_H
#define HKRUN_RESP_H

#include "buffer.h"

#include <lua.h>

typedef struct Resp {
  Buffer in;
  size_t at;                                 /* where the next value begins */
  size_t seen;                               /* up to here it was looked at */
  unsigned long long missing;                /* values that still belong to it; 0: it is whole, and ends at seen */
  int begun;                                 /* missing counts */
  char said[80];                             /* after a failure: what is wrong */
} Resp;

void host_resp_free (Resp *r);                                 /* safe twice */
char *host_resp_room (Resp *r, size_t *n);                     /* where to read to, and how much; NULL: no memory */
void host_resp_fed (Resp *r, size_t n);                        /* so much was read to there */
int host_resp_whole (Resp *r);                                 /* 1: a value is there; 0: not all of it; -1: see said */
char host_resp_kind (const Resp *r);                           /* its first byte: '-' and '!' errors, '>' a push, '_' nothing */
int host_resp_push (lua_State *L, Resp *r, int secret);        /* pushes and takes it; secret: strings as secrets; 0: too deep */

#endif
