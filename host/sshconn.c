/*
** sshconn.c: one authenticated ssh connection, made in steps that never block:
** TCP, key exchange, host key, login. Used by the loop and by threads alike.
**
** Our own socket: TCP_NODELAY at once and TCP_QUICKACK after each step, which
** saves the two waits of 40 ms that a plain libssh connect has. libssh gets a
** duplicate, so that whoever polls never holds a descriptor that libssh closed.
*/
#include "host.h"
#include "sshconn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEX "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256," \
  "ecdh-sha2-nistp384,diffie-hellman-group16-sha512,diffie-hellman-group14-sha256"
#define GCM "aes128-gcm@openssh.com,aes256-gcm@openssh.com"
#define CHACHA "chacha20-poly1305@openssh.com"
#define CTR "aes128-ctr,aes256-ctr"

int ssh_error_set (SshError *e, const char *kind, const char *code, int retry,
                   const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(e->message, sizeof e->message, fmt, ap);
  va_end(ap);
  e->kind = kind;
  e->code = code;
  e->retry = retry;
  return -1;
}

/* --- parameters ---------------------------------------------------------- */

static int copy_text (char **to, const char *from) {
  *to = from != NULL ? strdup(from) : NULL;
  return from == NULL || *to != NULL;
}

SshParams *ssh_params_copy (const SshParams *p) {
  SshParams *n = calloc(1, sizeof *n);
  if (n == NULL) return NULL;
  n->port = p->port;
  n->agent = p->agent;
  int ok = copy_text(&n->host, p->host) && copy_text(&n->user, p->user)
    && copy_text(&n->known_hosts, p->known_hosts)
    && copy_text(&n->host_key_types, p->host_key_types);
  for (int i = 0; ok && i < SSH_MAX_ADDRESSES; i++)
    ok = copy_text(&n->addresses[i], p->addresses[i]);
  for (int i = 0; ok && i < SSH_MAX_HOST_KEYS; i++)
    ok = copy_text(&n->host_keys[i], p->host_keys[i]);
  for (int i = 0; ok && i < SSH_MAX_KEYS && p->keys[i] != NULL; i++)
    ok = (n->keys[i] = ssh_key_dup(p->keys[i])) != NULL;
  if (ok) return n;
  ssh_params_free(n);
  return NULL;
}

void ssh_params_free (SshParams *p) {
  if (p == NULL) return;
  free(p->host);
  free(p->user);
  free(p->known_hosts);
  free(p->host_key_types);
  for (int i = 0; i < SSH_MAX_ADDRESSES; i++) free(p->addresses[i]);
  for (int i = 0; i < SSH_MAX_HOST_KEYS; i++) free(p->host_keys[i]);
  for (int i = 0; i < SSH_MAX_KEYS; i++)
    if (p->keys[i] != NULL) ssh_key_free(p->keys[i]);
  free(p);
}

/* --- TCP ----------------------------------------------------------------- */

static socklen_t parse_address (const char *text, int port,
                                struct sockaddr_storage *to) {
  struct sockaddr_in *four = (struct sockaddr_in *)to;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
  memset(to, 0, sizeof *to);
  if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons((uint16_t)port);
    return sizeof *four;
  }
  if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    return sizeof *six;
  }
  return 0;
}

static void set_option (int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

/* No small packet waits; a peer that vanished is noticed within two minutes. */
static void tune (int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 90000);
}

void ssh_conn_ack (const SshConn *c) {
  if (c->fd >= 0) set_option(c->fd, IPPROTO_TCP, TCP_QUICKACK, 1);
}

static int tcp_failed (SshConn *c, int err) {
  const char *code = err == ECONNREFUSED ? "refused"
    : err == ETIMEDOUT ? "timeout" : "unreachable";
  return ssh_error_set(&c->err, "network", code, 1, "%s", strerror(err));
}

/* Starts a connect to the next address; -1 when none is left. */
static int tcp_start (SshConn *c) {
  while (c->address < SSH_MAX_ADDRESSES
         && c->params->addresses[c->address] != NULL) {
    struct sockaddr_storage to;
    const char *text = c->params->addresses[c->address++];
    socklen_t len = parse_address(text, c->params->port, &to);
    if (len == 0) {
      ssh_error_set(&c->err, "invalid", NULL, 0, "%s is no address", text);
      continue;
    }
    if (c->fd >= 0) close(c->fd);
    c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
      tcp_failed(c, errno);
      continue;
    }
    tune(c->fd);
    if (connect(c->fd, (struct sockaddr *)&to, len) == 0
        || errno == EINPROGRESS) return 0;
    tcp_failed(c, errno);
  }
  if (c->err.kind == NULL)
    ssh_error_set(&c->err, "network", NULL, 0, "the name has no address");
  return -1;
}

static int tcp_step (SshConn *c) {
  for (;;) {
    struct pollfd p = { c->fd, POLLOUT, 0 };
    if (poll(&p, 1, 0) == 0) return 0;
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err == 0) return 1;
    tcp_failed(c, err);
    if (tcp_start(c) != 0) return -1;
  }
}

/* --- key exchange and host key ------------------------------------------- */

static int has_aes (void) {
#if defined(__x86_64__) || defined(__i386__)
  return __builtin_cpu_supports("aes");
#else
  return 1;
#endif
}

int ssh_conn_broken (SshConn *c, SshError *e) {
  const char *why = c->session != NULL ? ssh_get_error(c->session) : "";
  if (why == NULL || *why == '\0') why = "the connection was closed";
  return ssh_error_set(e, "network", "closed", 1, "%s", why);
}

static int kex_start (SshConn *c) {
  const SshParams *p = c->params;
  const char *ciphers = has_aes() ? GCM "," CHACHA "," CTR
                                  : CHACHA "," GCM "," CTR;
  unsigned int port = (unsigned int)p->port;
  long timeout = 60;                    /* only blocking calls (sftp) use it */
  bool no = false;
  int copy = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
  ssh_session s = copy >= 0 ? ssh_new() : NULL;
  if (s == NULL) {
    if (copy >= 0) close(copy);
    return ssh_error_set(&c->err, "io", NULL, 0, "cannot make a session: %s",
                         strerror(errno));
  }
  c->session = s;
  ssh_set_blocking(s, 0);
  ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no);
  if (ssh_options_set(s, SSH_OPTIONS_HOST, p->host) != 0
      || ssh_options_set(s, SSH_OPTIONS_PORT, &port) != 0
      || ssh_options_set(s, SSH_OPTIONS_USER, p->user) != 0
      || ssh_options_set(s, SSH_OPTIONS_TIMEOUT, &timeout) != 0
      || ssh_options_set(s, SSH_OPTIONS_CIPHERS_C_S, ciphers) != 0
      || ssh_options_set(s, SSH_OPTIONS_CIPHERS_S_C, ciphers) != 0
      || ssh_options_set(s, SSH_OPTIONS_KEY_EXCHANGE, KEX) != 0
      || (p->known_hosts != NULL
          && (ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, p->known_hosts) != 0
              || ssh_options_set(s, SSH_OPTIONS_GLOBAL_KNOWNHOSTS,
                                 p->known_hosts) != 0))
      || (p->host_key_types != NULL
          && ssh_options_set(s, SSH_OPTIONS_HOSTKEYS, p->host_key_types) != 0)
      || ssh_options_set(s, SSH_OPTIONS_FD, &copy) != 0) {
    close(copy);
    return ssh_error_set(&c->err, "invalid", NULL, 0, "%s", ssh_get_error(s));
  }
  return 0;
}

/* One call of ssh_connect; libssh makes the socket blocking, we do not want it. */
static int kex_step (SshConn *c) {
  int rc = ssh_connect(c->session);
  fcntl(c->fd, F_SETFL, O_NONBLOCK | O_RDWR);
  if (rc == SSH_AGAIN) return 0;
  if (rc == SSH_OK) return 1;
  const char *why = ssh_get_error(c->session);
  if (strstr(why, "host key algo") != NULL)
    return ssh_error_set(&c->err, "auth", "host_key_changed", 0,
      "the server offers none of the expected kinds of host key (%s)", why);
  if (strstr(why, "no match") != NULL)
    return ssh_error_set(&c->err, "protocol", NULL, 0, "%s", why);
  return ssh_conn_broken(c, &c->err);
}

static int in_known_hosts (SshConn *c, const char *print) {
  switch (ssh_session_is_known_server(c->session)) {
    case SSH_KNOWN_HOSTS_OK: return 1;
    case SSH_KNOWN_HOSTS_CHANGED: case SSH_KNOWN_HOSTS_OTHER:
      return ssh_error_set(&c->err, "auth", "host_key_changed", 0,
        "its host key is %s, not the one in %s", print, c->params->known_hosts);
    case SSH_KNOWN_HOSTS_UNKNOWN: case SSH_KNOWN_HOSTS_NOT_FOUND:
      return ssh_error_set(&c->err, "auth", "host_key_unknown", 0,
        "its host key %s is not in %s", print, c->params->known_hosts);
    case SSH_KNOWN_HOSTS_ERROR: default:
      return ssh_error_set(&c->err, "auth", "host_key_unknown", 0,
        "cannot check the host key %s: %s", print, ssh_get_error(c->session));
  }
}

/* The key must be one that the caller names or that known_hosts holds. */
static int check_host_key (SshConn *c) {
  const SshParams *p = c->params;
  ssh_key key = NULL;
  unsigned char *hash = NULL;
  size_t len = 0;
  char *text = NULL, *print = NULL;
  int result = -1;
  if (ssh_get_server_publickey(c->session, &key) != SSH_OK
      || ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &len) != 0
      || (print = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash,
                                           len)) == NULL
      || ssh_pki_export_pubkey_base64(key, &text) != SSH_OK)
    ssh_error_set(&c->err, "protocol", NULL, 0, "cannot read the host key");
  else if (p->host_keys[0] != NULL) {
    for (int i = 0; i < SSH_MAX_HOST_KEYS && p->host_keys[i] != NULL; i++)
      if (strcmp(p->host_keys[i], text) == 0
          || strcmp(p->host_keys[i], print) == 0) result = 1;
    if (result < 0)
      ssh_error_set(&c->err, "auth", "host_key_changed", 0,
                    "its host key is %s, not the expected one", print);
  }
  else if (p->known_hosts != NULL) result = in_known_hosts(c, print);
  else
    ssh_error_set(&c->err, "auth", "host_key_unknown", 0,
                  "nothing says which host key to expect; it has %s", print);
  ssh_key_free(key);
  ssh_clean_pubkey_hash(&hash);
  ssh_string_free_char(text);
  ssh_string_free_char(print);
  return result;
}

/* --- login --------------------------------------------------------------- */

static int auth_step (SshConn *c) {
  for (;;) {
    int rc;
    ssh_key key = c->key < SSH_MAX_KEYS ? c->params->keys[c->key] : NULL;
    if (key != NULL) rc = ssh_userauth_publickey(c->session, NULL, key);
    else if (c->params->agent && !c->agent_tried)
      rc = ssh_userauth_agent(c->session, NULL);
    else
      return ssh_error_set(&c->err, "auth", "key_refused", 0,
        "user %s is not let in by %d key%s%s", c->params->user, c->key,
        c->key == 1 ? "" : "s", c->params->agent ? " and the agent" : "");
    switch (rc) {
      case SSH_AUTH_SUCCESS: return 1;
      case SSH_AUTH_AGAIN: return 0;
      case SSH_AUTH_ERROR:
        if (!ssh_is_connected(c->session)) return ssh_conn_broken(c, &c->err);
        break;
      default: break;                   /* denied: the next key */
    }
    if (key != NULL) c->key++;
    else c->agent_tried = 1;
  }
}

/* --- the whole ----------------------------------------------------------- */

void ssh_conn_init (SshConn *c, const SshParams *p) {
  memset(c, 0, sizeof *c);
  c->fd = -1;
  c->params = p;
}

static int conn_advance (SshConn *c) {
  int rc;
  switch (c->state) {
    case CONN_CLOSED:
      if (tcp_start(c) != 0) return -1;
      c->state = CONN_TCP;
      /* fall through */
    case CONN_TCP:
      if ((rc = tcp_step(c)) != 1) return rc;
      if (kex_start(c) != 0) return -1;
      c->state = CONN_KEX;
      /* fall through */
    case CONN_KEX:
      if ((rc = kex_step(c)) != 1) return rc;
      if (check_host_key(c) != 1) return -1;
      c->state = CONN_AUTH;
      /* fall through */
    case CONN_AUTH:
      if ((rc = auth_step(c)) != 1) return rc;
      c->state = CONN_READY;
      /* fall through */
    case CONN_READY: return 1;
    case CONN_FAILED: default: return -1;
  }
}

int ssh_conn_step (SshConn *c) {
  int rc = conn_advance(c);
  ssh_conn_ack(c);
  if (rc < 0) c->state = CONN_FAILED;
  return rc;
}

short ssh_conn_events (const SshConn *c) {
  if (c->session == NULL) return POLLOUT;
  return ssh_get_poll_flags(c->session) & SSH_WRITE_PENDING
    ? POLLIN | POLLOUT : POLLIN;
}

static long long now_ms (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int ssh_conn_run (SshConn *c, int stop_fd, int seconds) {
  long long end = now_ms() + seconds * 1000LL;
  for (;;) {
    int rc = ssh_conn_step(c);
    host_registers_clear();             /* of keys */
    if (rc != 0) return rc;
    long long left = end - now_ms();
    if (left <= 0)
      return ssh_error_set(&c->err, "timeout", "timeout", 1,
                           "no answer in %d s", seconds);
    struct pollfd p[2] = { { c->fd, ssh_conn_events(c), 0 },
                           { stop_fd, POLLIN, 0 } };
    poll(p, 2, (int)left);
    if (p[1].revents != 0)
      return ssh_error_set(&c->err, "cancelled", NULL, 0, "cancelled");
  }
}

void ssh_conn_close (SshConn *c) {
  ssh_session s = c->session;
  int fd = c->fd;
  c->session = NULL;
  c->fd = -1;
  c->state = CONN_CLOSED;
  if (s != NULL) {
    ssh_options_set(s, SSH_OPTIONS_FD, NULL);   /* else it keeps the socket */
    if (ssh_is_connected(s)) ssh_disconnect(s);
    ssh_free(s);
  }
  if (fd >= 0) close(fd);
}
