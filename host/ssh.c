/*
** ssh.c: host.ssh over libssh 0.10: sessions on the loop.
**
** A session is driven inside the loop, as many commands (sshcommand.c) share
** its connection and no task may read for itself: await id(), then ask
** result(), which is true or nil, err. connecting -> ready -> closed, or
** failed. Wrong arguments raise. Tunnels (sshtunnel.c) and file transfers
** (sshfile.c) are threads with a connection of their own, logged in by the
** session's parameters.
*/
#include "sshsession.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 64                       /* reads in a row before others' turn */

typedef struct Poller {                 /* outlives its session until closed */
  uv_poll_t poll;
  int fd;
  struct Session *session;
} Poller;

void ssh_wipe (char **p, size_t len) {
  if (*p != NULL) explicit_bzero(*p, len);
  free(*p);
  *p = NULL;
}

int ssh_push_error (lua_State *L, const SshError *e) {
  return host_fail(L, e->kind != NULL ? e->kind : "io", e->code, e->retry,
                   "%s", e->message);
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

/* Watches the connection's descriptor for what the connection waits for. */
void ssh_session_watch (Session *s) {
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
      ssh_command_done(c);
    }
}

void ssh_session_pump (Session *s) {
  int rounds = 0;
  while (rounds++ < ROUNDS && ssh_event_dopoll(s->event, 0) == SSH_OK) { }
  for (Command *c = s->commands; c != NULL; c = c->next)
    if (c->stage != DONE) ssh_command_advance(c);
  ssh_conn_ack(&s->conn);
  if (ssh_is_connected(s->conn.session)) ssh_session_watch(s);
  else session_broken(s);
}

static void session_connect (Session *s) {
  int rc = ssh_conn_step(&s->conn);
  if (rc == 0) {
    ssh_session_watch(s);
    if (s->poller != NULL) return;
    ssh_error_set(&s->conn.err, "io", NULL, 0, "cannot watch the connection");
    s->conn.state = CONN_FAILED;
    rc = -1;
  }
  if (rc == 1) {
    s->event = ssh_event_new();
    if (s->event != NULL) ssh_event_add_session(s->event, s->conn.session);
    else s->conn.state = CONN_FAILED;
    ssh_session_watch(s);
  }
  if (rc < 0) poller_drop(s);
  host_ready_loop(s->loop, s->id);
}

static void on_poll (uv_poll_t *h, int status, int events) {
  Session *s = ((Poller *)h->data)->session;
  (void)status; (void)events;           /* errors are told by the next read */
  if (s == NULL) return;
  if (s->conn.state == CONN_READY) ssh_session_pump(s);
  else if (s->conn.state != CONN_FAILED) session_connect(s);
}

/* --- Lua: sessions ------------------------------------------------------- */

static Session *check_session (lua_State *L) {
  return luaL_checkudata(L, 1, SSH_SESSION);
}

static Session *check_open (lua_State *L, int arg) {
  Session *s = luaL_checkudata(L, arg, SSH_SESSION);
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
      ssh_command_done(c);
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
      ssh_wipe(&copy, len);
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
  luaL_setmetatable(L, SSH_SESSION);
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
  host_need(L, "ssh");
  static const luaL_Reg functions[] = {
    { "connect", ssh_lua_connect }, { NULL, NULL }
  };
  static const luaL_Reg session_methods[] = {
    { "id", session_id }, { "result", session_result },
    { "cipher", session_cipher }, { "exec", ssh_command_new },
    { "tunnel", ssh_tunnel_new }, { "transfer", ssh_transfer_new },
    { NULL, NULL }
  };
  ssh_new_class(L, SSH_SESSION, session_methods, session_close);
  ssh_open_command(L);
  ssh_open_tunnel(L);
  ssh_open_transfer(L);
  luaL_newlib(L, functions);
  ssh_open_keys(L);
  return 1;
}
