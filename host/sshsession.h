/*
** sshsession.h: what ssh.c (sessions) and sshcommand.c (the commands that share
** one) know of each other.
*/
#ifndef HKRUN_SSHSESSION_H
#define HKRUN_SSHSESSION_H

#include "host.h"
#include "sshconn.h"

#include <libssh/callbacks.h>

#define SSH_SESSION "hkrun.ssh.session"

typedef struct Buf { char *data; size_t len, size; } Buf;

typedef enum { QUEUED, OPENING, STARTING, RUNNING, DONE } Stage;

struct Session;

typedef struct Command {
  struct Session *session;              /* NULL when closed */
  struct Command *next;
  ssh_channel channel;
  struct ssh_channel_callbacks_struct callbacks;
  Stage stage;
  char *line, *input;
  size_t input_len, input_pos, limit;
  int opened, eof_sent, remote_closed, code, too_long, tries;
  char signal[32];
  Buf out, err_out;
  SshError err;
  lua_Integer id;
} Command;

typedef struct Session {
  SshParams *params;                    /* NULL when closed */
  SshConn conn;
  ssh_event event;
  struct Poller *poller;
  int polled_address;                   /* the connect try that is watched */
  Command *commands;
  uv_loop_t *loop;
  lua_Integer id;
} Session;

/* sshcommand.c */
int ssh_command_new (lua_State *L);             /* session:exec */
void ssh_command_advance (Command *c);
void ssh_command_done (Command *c);
void ssh_open_command (lua_State *L);

/* ssh.c */
void ssh_session_watch (Session *s);
void ssh_session_pump (Session *s);
void ssh_wipe (char **p, size_t len);           /* overwrites and frees */

#endif
