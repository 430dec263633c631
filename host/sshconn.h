/*
** sshconn.h: what ssh.c, sshtunnel.c and sshfile.c share: where and how to log
** in, and a connection that is made step by step. No Lua below this line but
** for ssh_check_params, so that threads may use it.
*/
#ifndef HKRUN_SSHCONN_H
#define HKRUN_SSHCONN_H

#include <libssh/libssh.h>
#include <lua.h>
#include <lauxlib.h>

#define SSH_MAX_ADDRESSES 8
#define SSH_MAX_KEYS 8
#define SSH_MAX_HOST_KEYS 16

/* How to log in. Owned; copied for each further connection. */
typedef struct SshParams {
  char *host, *user, *known_hosts;
  int port, agent;
  char *addresses[SSH_MAX_ADDRESSES];           /* numeric */
  ssh_key keys[SSH_MAX_KEYS];
  char *host_keys[SSH_MAX_HOST_KEYS];           /* base64 or SHA256:... */
  char *host_key_types;                         /* comma list, or NULL */
} SshParams;

typedef struct SshError {
  const char *kind, *code;                      /* static strings; code or NULL */
  int retry;
  char message[512];
} SshError;

typedef enum { CONN_CLOSED, CONN_TCP, CONN_KEX, CONN_AUTH, CONN_READY,
               CONN_FAILED } ConnState;

typedef struct SshConn {
  const SshParams *params;
  ConnState state;
  int fd;                               /* ours; libssh has a duplicate */
  int address, key;                     /* the next to be tried */
  int agent_tried;
  ssh_session session;
  SshError err;
} SshConn;

SshParams *ssh_params_copy (const SshParams *p);
void ssh_params_free (SshParams *p);

/* printf into an error; returns -1. */
int ssh_error_set (SshError *e, const char *kind, const char *code, int retry,
                   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

void ssh_conn_init (SshConn *c, const SshParams *p);
/* 1 ready, 0 wait for ssh_conn_events, -1 failed (c->err). */
int ssh_conn_step (SshConn *c);
/* POLLIN | POLLOUT, whatever the connection waits for. */
short ssh_conn_events (const SshConn *c);
/* Sends the acknowledgements that the kernel would hold back for 40 ms. */
void ssh_conn_ack (const SshConn *c);
/* For threads: steps to the end; -1 also when `stop_fd` becomes readable. */
int ssh_conn_run (SshConn *c, int stop_fd, int seconds);
/* Describes a session that broke. */
int ssh_conn_broken (SshConn *c, SshError *e);
void ssh_conn_close (SshConn *c);

/* ssh.c: the open session at `arg` and its parameters; raises otherwise. */
const SshParams *ssh_check_params (lua_State *L, int arg);
int ssh_push_error (lua_State *L, const SshError *e);   /* nil, err */
void ssh_open_tunnel (lua_State *L);                    /* sshtunnel.c */
void ssh_open_transfer (lua_State *L);                  /* sshfile.c */
void ssh_open_keys (lua_State *L);                      /* sshkeys.c */
void ssh_new_class (lua_State *L, const char *name, const luaL_Reg *methods,
                    lua_CFunction close_it);
int ssh_tunnel_new (lua_State *L);
int ssh_transfer_new (lua_State *L);

#endif
