/*
** sshcommand.c: commands on a session of ssh.c, many at once.
**
** command: queued -> opening -> starting -> running -> done. It is driven by
** the session's pump; await id(), then result() is true, code|nil, signal|nil,
** stdout, stderr or nil, err. close drops it, also while it runs.
*/
#include "sshsession.h"

#include <stdlib.h>
#include <string.h>

#define COMMAND "hkrun.ssh.command"
#define MAX_ACTIVE 8                    /* sshd's MaxSessions is 10 by default */
#define MAX_TRIES 5                     /* to open a channel, nothing else on */

/* --- commands ------------------------------------------------------------ */

static int append (Buf *b, const void *data, size_t len) {
  if (b->size - b->len < len) {
    size_t size = b->size == 0 ? 4096 : b->size;
    while (size - b->len < len) size *= 2;
    char *to = realloc(b->data, size);
    if (to == NULL) return 0;
    b->data = to;
    b->size = size;
  }
  memcpy(b->data + b->len, data, len);
  b->len += len;
  return 1;
}

static int on_data (ssh_session s, ssh_channel ch, void *data, uint32_t len,
                    int is_stderr, void *user) {
  Command *c = user;
  (void)s; (void)ch;
  if (c->out.len + c->err_out.len + len > c->limit
      || !append(is_stderr ? &c->err_out : &c->out, data, len)) c->too_long = 1;
  return (int)len;
}

static void on_exit_status (ssh_session s, ssh_channel ch, int code, void *user) {
  (void)s; (void)ch;
  ((Command *)user)->code = code;
}

static void on_exit_signal (ssh_session s, ssh_channel ch, const char *signal,
                            int core, const char *text, const char *lang,
                            void *user) {
  Command *c = user;
  (void)s; (void)ch; (void)core; (void)text; (void)lang;
  strncpy(c->signal, signal, sizeof c->signal - 1);
}

static void on_channel_close (ssh_session s, ssh_channel ch, void *user) {
  (void)s; (void)ch;
  ((Command *)user)->remote_closed = 1;
}

static void channel_release (Command *c) {
  if (c->channel != NULL && c->session != NULL
      && c->session->conn.session != NULL) {
    ssh_remove_channel_callbacks(c->channel, &c->callbacks);
    if (c->opened) ssh_channel_close(c->channel); /* its place in MaxSessions */
    ssh_channel_free(c->channel);
  }
  c->channel = NULL;
}

static void command_release (Command *c) {
  channel_release(c);
  ssh_wipe(&c->line, c->line != NULL ? strlen(c->line) : 0);
  ssh_wipe(&c->input, c->input_len);
}

void ssh_command_done (Command *c) {
  c->stage = DONE;
  command_release(c);
  host_ready_loop(c->session->loop, c->id);
}

static void command_failed (Command *c, const char *kind, const char *what) {
  Session *s = c->session;
  if (!ssh_is_connected(s->conn.session)) ssh_conn_broken(&s->conn, &c->err);
  else
    ssh_error_set(&c->err, kind, NULL, 0, "%s: %s", what,
                  ssh_get_error(s->conn.session));
  ssh_command_done(c);
}

static int count_active (const Session *s) {
  int n = 0;
  for (const Command *c = s->commands; c != NULL; c = c->next)
    n += c->stage > QUEUED && c->stage < DONE;
  return n;
}

static void command_begin (Command *c) {
  c->channel = ssh_channel_new(c->session->conn.session);
  if (c->channel == NULL) {
    command_failed(c, "io", "cannot make a channel");
    return;
  }
  c->callbacks.userdata = c;
  c->callbacks.channel_data_function = on_data;
  c->callbacks.channel_close_function = on_channel_close;
  c->callbacks.channel_exit_status_function = on_exit_status;
  c->callbacks.channel_exit_signal_function = on_exit_signal;
  ssh_callbacks_init(&c->callbacks);
  ssh_set_channel_callbacks(c->channel, &c->callbacks);
  c->stage = OPENING;
}

/* No channel: sshd is at its MaxSessions, where commands that have just ended
   still count until it has tidied up. So it is tried again when others end. */
static void command_refused (Command *c) {
  channel_release(c);
  c->stage = QUEUED;
  int alone = count_active(c->session) == 0;
  if (!ssh_is_connected(c->session->conn.session)
      || (alone && ++c->tries >= MAX_TRIES)) {
    command_failed(c, "remote", "the server opens no channel");
    return;
  }
  if (!alone) return;
  command_begin(c);
  if (c->stage == OPENING) ssh_channel_open_session(c->channel);
}

/* Sends what the peer's window takes of the input, then its end. */
static void command_feed (Command *c) {
  while (c->input_pos < c->input_len) {
    size_t left = c->input_len - c->input_pos;
    uint32_t part = left > 65536 ? 65536 : (uint32_t)left;
    int n = ssh_channel_write(c->channel, c->input + c->input_pos, part);
    if (n <= 0) {
      if (n != SSH_AGAIN && n < 0) c->input_pos = c->input_len; /* not read */
      return;
    }
    c->input_pos += (size_t)n;
  }
  if (!c->eof_sent) {
    c->eof_sent = 1;
    ssh_channel_send_eof(c->channel);
  }
}

void ssh_command_advance (Command *c) {
  int rc;
  if (c->stage == QUEUED) {
    if (count_active(c->session) >= MAX_ACTIVE) return;
    command_begin(c);
  }
  if (c->stage == OPENING) {
    if ((rc = ssh_channel_open_session(c->channel)) == SSH_AGAIN) return;
    if (rc != SSH_OK) {
      command_refused(c);
      return;
    }
    c->opened = 1;
    c->stage = STARTING;
  }
  if (c->stage == STARTING) {
    if ((rc = ssh_channel_request_exec(c->channel, c->line)) == SSH_AGAIN)
      return;
    if (rc != SSH_OK) {
      command_failed(c, "remote", "the server refuses to run the command");
      return;
    }
    c->stage = RUNNING;
  }
  if (c->stage == RUNNING && !c->remote_closed && !c->too_long)
    command_feed(c);
  if (c->stage != RUNNING) return;
  if (c->too_long) {
    ssh_error_set(&c->err, "limit", NULL, 0,
                  "the command printed more than %zu bytes", c->limit);
    ssh_command_done(c);
  }
  else if (c->remote_closed) ssh_command_done(c);
}

/* --- Lua: commands ------------------------------------------------------- */

static Command *check_command (lua_State *L) {
  return luaL_checkudata(L, 1, COMMAND);
}

static int command_id (lua_State *L) {
  lua_pushinteger(L, check_command(L)->id);
  return 1;
}

static int command_result (lua_State *L) {
  Command *c = check_command(L);
  if (c->err.kind != NULL) return ssh_push_error(L, &c->err);
  if (c->id == 0) return host_fail(L, "closed", NULL, 0, "the command is closed");
  if (c->stage != DONE) {
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_pushboolean(L, 1);
  if (c->code >= 0 && c->signal[0] == '\0') lua_pushinteger(L, c->code);
  else lua_pushnil(L);
  if (c->signal[0] != '\0') lua_pushstring(L, c->signal);
  else lua_pushnil(L);
  lua_pushlstring(L, c->out.data != NULL ? c->out.data : "", c->out.len);
  lua_pushlstring(L, c->err_out.data != NULL ? c->err_out.data : "",
                  c->err_out.len);
  return 5;
}

static int command_close (lua_State *L) {       /* close, __gc, __close */
  Command *c = check_command(L);
  Session *s = c->session;
  command_release(c);
  c->session = NULL;
  c->id = 0;
  if (s != NULL) {
    Command **p = &s->commands;
    while (*p != NULL && *p != c) p = &(*p)->next;
    if (*p != NULL) *p = c->next;
    if (s->conn.state == CONN_READY && s->poller != NULL) ssh_session_watch(s);
  }
  ssh_wipe(&c->out.data, c->out.len);
  ssh_wipe(&c->err_out.data, c->err_out.len);
  c->out.len = c->err_out.len = 0;
  return 0;
}

/* exec(line: string|secret, input: string|secret?, limit: integer)
   -> command | nil, err */
int ssh_command_new (lua_State *L) {
  Session *s = luaL_checkudata(L, 1, SSH_SESSION);
  size_t line_len, input_len = 0;
  const char *line = host_bytes(L, 2, &line_len);
  const char *input = lua_isnoneornil(L, 3) ? NULL : host_bytes(L, 3, &input_len);
  lua_Integer limit = luaL_checkinteger(L, 4);
  if (s->params == NULL)
    return host_fail(L, "closed", NULL, 0, "the session is closed");
  if (s->conn.state == CONN_FAILED) return ssh_push_error(L, &s->conn.err);
  luaL_argcheck(L, s->conn.state == CONN_READY, 1, "still connecting");
  luaL_argcheck(L, memchr(line, 0, line_len) == NULL, 2, "holds a zero byte");
  Command *c = lua_newuserdatauv(L, sizeof *c, 1);
  memset(c, 0, sizeof *c);
  luaL_setmetatable(L, COMMAND);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);          /* keeps the session */
  c->line = strndup(line, line_len);
  c->input = input != NULL ? malloc(input_len + 1) : NULL;
  if (c->line == NULL || (input != NULL && c->input == NULL))
    return luaL_error(L, "not enough memory");
  if (input != NULL) memcpy(c->input, input, input_len);
  c->input_len = input_len;
  c->limit = (size_t)limit;
  c->code = -1;
  c->id = host_id_new(L);
  c->session = s;
  c->next = s->commands;
  s->commands = c;
  ssh_session_pump(s);
  return 1;
}

void ssh_open_command (lua_State *L) {
  static const luaL_Reg methods[] = {
    { "id", command_id }, { "result", command_result }, { NULL, NULL }
  };
  ssh_new_class(L, COMMAND, methods, command_close);
}
