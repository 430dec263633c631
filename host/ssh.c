/*
** ssh.c: host.ssh over libssh 0.10: sessions and commands on the loop, keys.
**
** A session and a command are driven inside the loop (many commands share one
** connection, so no task may read for itself): await id(), then ask result().
** session: connecting -> ready -> closed, or failed; result() is true or
** nil, err. command: queued -> open -> exec -> run -> done; result() is
** true, code|nil, signal|nil, stdout, stderr or nil, err. Wrong arguments
** raise. Tunnels (sshtunnel.c) and file transfers (sshfile.c) are threads with
** a connection of their own, logged in by the session's parameters.
*/
#include "host.h"
#include "sshconn.h"

#include <errno.h>
#include <fcntl.h>
#include <libssh/callbacks.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSION "hkrun.ssh.session"
#define COMMAND "hkrun.ssh.command"
#define MAX_ACTIVE 8                    /* sshd's MaxSessions is 10 by default */
#define MAX_TRIES 5                     /* to open a channel, nothing else on */
#define ROUNDS 64                       /* reads in a row before others' turn */

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

typedef struct Poller {                 /* outlives its session until closed */
  uv_poll_t poll;
  int fd;
  struct Session *session;
} Poller;

typedef struct Session {
  SshParams *params;                    /* NULL when closed */
  SshConn conn;
  ssh_event event;
  Poller *poller;
  int polled_address;                   /* the connect try that is watched */
  Command *commands;
  uv_loop_t *loop;
  lua_Integer id;
} Session;

static void wipe (char **p, size_t len) {
  if (*p != NULL) explicit_bzero(*p, len);
  free(*p);
  *p = NULL;
}

int ssh_push_error (lua_State *L, const SshError *e) {
  return host_fail(L, e->kind != NULL ? e->kind : "io", e->code, e->retry,
                   "%s", e->message);
}

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
  wipe(&c->line, c->line != NULL ? strlen(c->line) : 0);
  wipe(&c->input, c->input_len);
}

static void command_done (Command *c) {
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
  command_done(c);
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

static void command_advance (Command *c) {
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
    command_done(c);
  }
  else if (c->remote_closed) command_done(c);
}

/* --- the session on the loop --------------------------------------------- */

static void poller_freed (uv_handle_t *h) { free(h->data); }

static void poller_drop (Session *s) {
  Poller *p = s->poller;
  s->poller = NULL;
  if (p == NULL) return;
  p->session = NULL;
  uv_close((uv_handle_t *)&p->poll, poller_freed);
  close(p->fd);                         /* allowed at once after uv_close */
}

static void on_poll (uv_poll_t *h, int status, int events);

/* Watches the connection's descriptor for what it waits for now. */
static void session_watch (Session *s) {
  if (s->poller != NULL && s->polled_address != s->conn.address) poller_drop(s);
  if (s->poller == NULL) {
    Poller *p = calloc(1, sizeof *p);
    if (p == NULL) return;
    p->fd = fcntl(s->conn.fd, F_DUPFD_CLOEXEC, 0);
    if (p->fd < 0 || uv_poll_init(s->loop, &p->poll, p->fd) != 0) {
      if (p->fd >= 0) close(p->fd);
      free(p);
      return;
    }
    p->poll.data = p;
    p->session = s;
    s->poller = p;
    s->polled_address = s->conn.address;
  }
  short e = ssh_conn_events(&s->conn);
  uv_poll_start(&s->poller->poll, (e & POLLIN ? UV_READABLE : 0)
                | (e & POLLOUT ? UV_WRITABLE : 0), on_poll);
}

static void session_broken (Session *s) {
  ssh_conn_broken(&s->conn, &s->conn.err);
  s->conn.state = CONN_FAILED;
  poller_drop(s);
  for (Command *c = s->commands; c != NULL; c = c->next)
    if (c->stage != DONE) {
      c->err = s->conn.err;
      command_done(c);
    }
}

static void session_pump (Session *s) {
  int rounds = 0;
  while (rounds++ < ROUNDS && ssh_event_dopoll(s->event, 0) == SSH_OK) { }
  for (Command *c = s->commands; c != NULL; c = c->next)
    if (c->stage != DONE) command_advance(c);
  ssh_conn_ack(&s->conn);
  if (ssh_is_connected(s->conn.session)) session_watch(s);
  else session_broken(s);
}

static void session_connect (Session *s) {
  int rc = ssh_conn_step(&s->conn);
  if (rc == 0) {
    session_watch(s);
    if (s->poller != NULL) return;
    ssh_error_set(&s->conn.err, "io", NULL, 0, "cannot watch the connection");
    s->conn.state = CONN_FAILED;
    rc = -1;
  }
  if (rc == 1) {
    s->event = ssh_event_new();
    if (s->event != NULL) ssh_event_add_session(s->event, s->conn.session);
    else s->conn.state = CONN_FAILED;
    session_watch(s);
  }
  if (rc < 0) poller_drop(s);
  host_ready_loop(s->loop, s->id);
}

static void on_poll (uv_poll_t *h, int status, int events) {
  Session *s = ((Poller *)h->data)->session;
  (void)status; (void)events;           /* errors are told by the next read */
  if (s == NULL) return;
  if (s->conn.state == CONN_READY) session_pump(s);
  else if (s->conn.state != CONN_FAILED) session_connect(s);
}

/* --- Lua: sessions ------------------------------------------------------- */

static Session *check_session (lua_State *L) {
  return luaL_checkudata(L, 1, SESSION);
}

static Session *check_open (lua_State *L, int arg) {
  Session *s = luaL_checkudata(L, arg, SESSION);
  luaL_argcheck(L, s->params != NULL, arg, "the session is closed");
  return s;
}

const SshParams *ssh_check_params (lua_State *L, int arg) {
  return check_open(L, arg)->params;
}

static int session_close (lua_State *L) {       /* close, __gc, __close */
  Session *s = check_session(L);
  SshParams *p = s->params;
  if (p == NULL) return 0;
  poller_drop(s);
  for (Command *c = s->commands; c != NULL; c = c->next)
    if (c->stage != DONE) {
      ssh_error_set(&c->err, "closed", NULL, 0, "the session was closed");
      command_done(c);
    }
  while (s->commands != NULL) {
    Command *c = s->commands;
    s->commands = c->next;
    c->session = NULL;
  }
  if (s->event != NULL) {
    if (s->conn.session != NULL)
      ssh_event_remove_session(s->event, s->conn.session);
    ssh_event_free(s->event);
    s->event = NULL;
  }
  ssh_conn_close(&s->conn);
  s->params = NULL;
  ssh_params_free(p);
  return 0;
}

static char *text_copy (lua_State *L, const char *text) {
  char *copy = strdup(text);
  if (copy == NULL) luaL_error(L, "not enough memory");
  return copy;
}

static void read_list (lua_State *L, int arg, char **to, int max) {
  lua_Integer n = luaL_len(L, arg);
  luaL_argcheck(L, n <= max, arg, "too many entries");
  for (int i = 0; i < (int)n; i++) {
    lua_rawgeti(L, arg, i + 1);
    to[i] = text_copy(L, luaL_checkstring(L, -1));
    lua_pop(L, 1);
  }
}

/* Imports keys: a secret, or a string that looks so, is a private key in PEM;
   any other string is a path. */
static int read_keys (lua_State *L, int arg, SshParams *p) {
  lua_Integer n = luaL_len(L, arg);
  luaL_argcheck(L, n <= SSH_MAX_KEYS, arg, "too many keys");
  for (int i = 0; i < (int)n; i++) {
    int rc;
    lua_rawgeti(L, arg, i + 1);
    size_t len;
    const char *text = host_bytes(L, lua_gettop(L), &len);
    if (host_is_secret(L, -1) || strncmp(text, "-----BEGIN ", 11) == 0) {
      char *copy = malloc(len + 1);
      if (copy == NULL) return luaL_error(L, "not enough memory");
      memcpy(copy, text, len);
      copy[len] = '\0';
      rc = ssh_pki_import_privkey_base64(copy, NULL, NULL, NULL, &p->keys[i]);
      wipe(&copy, len);
      if (rc != SSH_OK)
        return host_fail(L, "invalid", "key", 0, "the key in memory is not a "
                         "private key in PEM form without a passphrase");
    }
    else {
      const char *path = text;
      rc = ssh_pki_import_privkey_file(path, NULL, NULL, NULL, &p->keys[i]);
      if (rc == SSH_EOF)
        return host_fail(L, "not_found", "key", 0, "cannot read the key %s",
                         path);
      if (rc != SSH_OK)
        return host_fail(L, "invalid", "key", 0, "the key %s is not a private "
                         "key without a passphrase (load it into ssh-agent?)",
                         path);
    }
    lua_pop(L, 1);
  }
  return 0;
}

/* connect(host: string, addresses: {string}, port: integer, user: string,
   keys: {secret|path}, agent: boolean, host_keys: {string}, key_types: string?,
   known_hosts: string?) -> session | nil, err */
static int ssh_lua_connect (lua_State *L) {
  const char *host = luaL_checkstring(L, 1);
  lua_Integer port = luaL_checkinteger(L, 3);
  const char *user = luaL_checkstring(L, 4);
  const char *types = luaL_optstring(L, 8, NULL);
  const char *known = luaL_optstring(L, 9, NULL);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 5, LUA_TTABLE);
  luaL_checktype(L, 7, LUA_TTABLE);
  luaL_argcheck(L, port > 0 && port < 65536, 3, "not a port");
  lua_settop(L, 9);
  uv_loop_t *loop = host_loop(L);
  Session *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  s->conn.fd = -1;
  luaL_setmetatable(L, SESSION);
  s->loop = loop;
  s->params = calloc(1, sizeof *s->params);
  if (s->params == NULL) return luaL_error(L, "not enough memory");
  s->params->port = (int)port;
  s->params->agent = lua_toboolean(L, 6);
  s->params->host = text_copy(L, host);
  s->params->user = text_copy(L, user);
  if (types != NULL) s->params->host_key_types = text_copy(L, types);
  if (known != NULL) s->params->known_hosts = text_copy(L, known);
  read_list(L, 2, s->params->addresses, SSH_MAX_ADDRESSES);
  read_list(L, 7, s->params->host_keys, SSH_MAX_HOST_KEYS);
  int failed = read_keys(L, 5, s->params);
  if (failed) return failed;
  s->id = host_id_new(L);
  ssh_conn_init(&s->conn, s->params);
  session_connect(s);
  lua_settop(L, 10);
  return 1;
}

static int session_id (lua_State *L) {
  lua_pushinteger(L, check_session(L)->id);
  return 1;
}

/* result() -> true | false while connecting | nil, err */
static int session_result (lua_State *L) {
  Session *s = check_session(L);
  if (s->params == NULL)
    return host_fail(L, "closed", NULL, 0, "the session is closed");
  if (s->conn.state == CONN_FAILED) return ssh_push_error(L, &s->conn.err);
  lua_pushboolean(L, s->conn.state == CONN_READY);
  return 1;
}

/* cipher() -> string: what was agreed on */
static int session_cipher (lua_State *L) {
  Session *s = check_open(L, 1);
  const char *name = s->conn.session != NULL
    ? ssh_get_cipher_out(s->conn.session) : NULL;
  lua_pushstring(L, name != NULL ? name : "none");
  return 1;
}

/* exec(line: string|secret, input: string|secret?, limit: integer)
   -> command | nil, err */
static int session_exec (lua_State *L) {
  Session *s = check_session(L);
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
  session_pump(s);
  return 1;
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
    if (s->conn.state == CONN_READY && s->poller != NULL) session_watch(s);
  }
  wipe(&c->out.data, c->out.len);
  wipe(&c->err_out.data, c->err_out.len);
  c->out.len = c->err_out.len = 0;
  return 0;
}

/* --- modules ------------------------------------------------------------- */

void ssh_new_class (lua_State *L, const char *name, const luaL_Reg *methods,
                    lua_CFunction close_it) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_pushcfunction(L, close_it);
  lua_setfield(L, -2, "close");
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, close_it);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, close_it);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
}

int luaopen_host_ssh (lua_State *L) {
  static const luaL_Reg functions[] = {
    { "connect", ssh_lua_connect }, { NULL, NULL }
  };
  static const luaL_Reg session_methods[] = {
    { "id", session_id }, { "result", session_result },
    { "cipher", session_cipher }, { "exec", session_exec },
    { "tunnel", ssh_tunnel_new }, { "transfer", ssh_transfer_new },
    { NULL, NULL }
  };
  static const luaL_Reg command_methods[] = {
    { "id", command_id }, { "result", command_result }, { NULL, NULL }
  };
  ssh_new_class(L, SESSION, session_methods, session_close);
  ssh_new_class(L, COMMAND, command_methods, command_close);
  ssh_open_tunnel(L);
  ssh_open_transfer(L);
  luaL_newlib(L, functions);
  ssh_open_keys(L);
  return 1;
}
