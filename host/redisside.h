/*
** redisside.h - where a Redis server is, as Lua says it: redisend.h's RedisSide from the arguments of a method.
*/
#ifndef HKRUN_REDISSIDE_H
#define HKRUN_REDISSIDE_H

#include "host.h"
#include "redisend.h"

/* job:side(address, port [, user, password, tls_name, ca, pin, insecure, run_id]) -> true; raises for a wrong argument. */
int host_side_set (lua_State *L, RedisSide *s);

#endif
