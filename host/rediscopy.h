/*
** rediscopy.h - the job of the keyspace copier, which rediscopy.c starts and ends and rediswork.c gives work.
*/
#ifndef HKRUN_REDISCOPY_H
#define HKRUN_REDISCOPY_H

#include "redismove.h"

#include <lua.h>

#define MOST_WORKERS 64

typedef struct Job {
  Move *move;                                /* NULL: closed */
  HostWake *wake;
  pthread_t threads[MOST_WORKERS];
  int count;                                 /* threads to be joined */
  int started;
  atomic_int running;
} Job;

Job *host_copy_job (lua_State *L);           /* the first argument */
int host_copy_closed (lua_State *L);         /* the answer of a closed job */
lua_Integer host_copy_field (lua_State *L, const char *name, lua_Integer otherwise, lua_Integer least, lua_Integer most);   /* of argument 2 */

int host_copy_segment (lua_State *L);        /* methods of the job: rediscopy.c says what they do */
int host_copy_give (lua_State *L);
int host_copy_slices (lua_State *L);
int host_copy_refused (lua_State *L);

#endif
