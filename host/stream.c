/*
** stream.c - see stream.h. TLS by OpenSSL: 1.2 or later, the certificate checked against the host's name and the
** trusted ones, or against a pinned fingerprint; the check is done before the first byte of the caller's is sent.
*/
#include "stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

void host_stream_init (HostStream *s) {
  memset(s, 0, sizeof *s);
  s->fd = -1;
}

__attribute__((format(printf, 5, 6)))
static int stream_fail (HostStream *s, const char *kind, const char *code, int retry, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(s->message, sizeof s->message, fmt, ap);
  va_end(ap);
  snprintf(s->code, sizeof s->code, "%s", code);
  s->kind = kind;
  s->retry = retry;
  s->open = 0;
  return -1;
}

static int stream_errno (HostStream *s, const char *what, int e) {
  return stream_fail(s, "network", strerrorname_np(e) != NULL ? strerrorname_np(e) : "errno", 1, "%s: %s", what, strerror(e));
}

/* The newest reason that OpenSSL gave; "" when it gave none. */
static const char *tls_reason (void) {
  unsigned long e = ERR_peek_last_error();
  const char *text = e != 0 ? ERR_reason_error_string(e) : NULL;
  return text != NULL ? text : "";
}

static int tls_refused (HostStream *s, long verdict) {
  return stream_fail(s, "tls", "certificate", 0, "the server's certificate is refused: %s",
                     X509_verify_cert_error_string(verdict));
}

static int tls_setup (HostStream *s, const StreamTls *tls) {
  struct in6_addr ip;
  int is_ip = inet_pton(AF_INET, tls->name, &ip) == 1 || inet_pton(AF_INET6, tls->name, &ip) == 1;
  ERR_clear_error();
  s->insecure = tls->insecure;
  if (tls->pin != NULL) {
    memcpy(s->pin, tls->pin, STREAM_PIN);
    s->has_pin = 1;
  }
  s->ctx = SSL_CTX_new(TLS_client_method());
  if (s->ctx == NULL || SSL_CTX_set_min_proto_version(s->ctx, TLS1_2_VERSION) != 1)
    return stream_fail(s, "tls", "setup", 0, "TLS cannot be set up: %s", tls_reason());
  if (!s->insecure && !s->has_pin) {
    int ok = tls->ca != NULL ? SSL_CTX_load_verify_locations(s->ctx, tls->ca, NULL)
                             : SSL_CTX_set_default_verify_paths(s->ctx);
    if (ok != 1)
      return stream_fail(s, "tls", "ca", 0, "the trusted certificates in %s cannot be read: %s",
                         tls->ca != NULL ? tls->ca : "the system's store", tls_reason());
    SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, NULL);
  }
  SSL_CTX_set_mode(s->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  s->ssl = SSL_new(s->ctx);
  if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1)
    return stream_fail(s, "tls", "setup", 0, "TLS cannot be set up: %s", tls_reason());
  if (is_ip) {
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), tls->name) != 1)
      return stream_fail(s, "tls", "setup", 0, "TLS cannot be set up for address %s", tls->name);
  } else {
    if (SSL_set_tlsext_host_name(s->ssl, tls->name) != 1 || SSL_set1_host(s->ssl, tls->name) != 1)
      return stream_fail(s, "tls", "setup", 0, "TLS cannot be set up for host %s", tls->name);
  }
  SSL_set_connect_state(s->ssl);
  return 0;
}

/* A peer that is gone is noticed within a minute and a half, also by those who wait for ever. */
static void stay_alive (int fd) {
  int on = 1, idle = 30, interval = 10, count = 6, unanswered = 90000;
  (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered, sizeof unanswered);
}

int host_stream_dial (HostStream *s, const char *address, int port, const StreamTls *tls) {
  struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
  struct addrinfo *ai = NULL;
  char service[16];
  int on = 1, rc;
  snprintf(service, sizeof service, "%d", port);
  if (getaddrinfo(address, service, &hints, &ai) != 0 || ai == NULL)
    return stream_fail(s, "invalid", "address", 0, "\"%s\" is not a numeric address", address);
  s->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (s->fd < 0) {
    freeaddrinfo(ai);
    return stream_errno(s, "no socket", errno);
  }
  (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  stay_alive(s->fd);
  rc = connect(s->fd, ai->ai_addr, ai->ai_addrlen);
  freeaddrinfo(ai);
  if (rc != 0 && errno != EINPROGRESS) return stream_errno(s, "cannot connect", errno);
  s->want = POLLOUT;
  return tls != NULL ? tls_setup(s, tls) : 0;
}

/* Is the certificate the pinned one, and of today? Asked after the handshake, which proved that the peer has its key. */
static int tls_check_pin (HostStream *s) {
  unsigned char got[STREAM_PIN];
  X509 *cert = SSL_get0_peer_certificate(s->ssl);
  if (!host_stream_fingerprint(s, got) || CRYPTO_memcmp(got, s->pin, STREAM_PIN) != 0)
    return stream_fail(s, "tls", "pin", 0, "the server's certificate is not the pinned one");
  if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0) return tls_refused(s, X509_V_ERR_CERT_NOT_YET_VALID);
  if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0) return tls_refused(s, X509_V_ERR_CERT_HAS_EXPIRED);
  return 0;
}

/* What an SSL call that did not succeed means: 0 wait, -1 failure. */
static int tls_outcome (HostStream *s, int rc, const char *what) {
  int saved = errno;
  long verdict;
  switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_WANT_READ: s->want = POLLIN; return 0;
    case SSL_ERROR_WANT_WRITE: s->want = POLLOUT; return 0;
    case SSL_ERROR_ZERO_RETURN: return stream_fail(s, "network", "EOF", 1, "the server closed the connection");
    case SSL_ERROR_SYSCALL:
      if (saved != 0 && ERR_peek_error() == 0) return stream_errno(s, what, saved);
      return stream_fail(s, "network", "EOF", 1, "the server closed the connection");
    default:
      verdict = SSL_get_verify_result(s->ssl);
      if (!s->insecure && !s->has_pin && verdict != X509_V_OK) return tls_refused(s, verdict);
      if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return stream_fail(s, "network", "EOF", 1, "the server closed the connection");
      if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_WRONG_VERSION_NUMBER)
        return stream_fail(s, "tls", "not_tls", 0, "the server does not speak TLS on that port");
      return stream_fail(s, "tls", "handshake", 0, "%s: %s", what, tls_reason());
  }
}

int host_stream_step (HostStream *s) {
  int rc;
  if (s->fd < 0) return stream_fail(s, "closed", "closed", 0, "the connection is closed");
  if (s->open) return 1;
  if (!s->connected) {
    struct pollfd q = { .fd = s->fd, .events = POLLOUT, .revents = 0 };
    int e = 0;
    socklen_t size = sizeof e;
    s->want = POLLOUT;
    if (poll(&q, 1, 0) == 0) return 0;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &size) != 0) e = errno;
    if (e != 0) return stream_errno(s, "cannot connect", e);
    s->connected = 1;
  }
  if (s->ssl != NULL) {
    ERR_clear_error();
    errno = 0;
    rc = SSL_do_handshake(s->ssl);
    if (rc != 1) return tls_outcome(s, rc, "no TLS session");
    if (s->has_pin && tls_check_pin(s) != 0) return -1;
    if (!s->insecure && !s->has_pin && SSL_get_verify_result(s->ssl) != X509_V_OK)
      return tls_refused(s, SSL_get_verify_result(s->ssl));
  }
  s->open = 1;
  return 1;
}

static long stream_not_open (HostStream *s) {
  if (s->fd < 0) return stream_fail(s, "closed", "closed", 0, "the connection is closed");
  if (s->kind != NULL) return -1;                                /* it failed before: the same words again */
  return stream_fail(s, "closed", "not_open", 0, "the connection is not open yet");
}

long host_stream_read (HostStream *s, void *to, size_t n) {
  if (!s->open) return stream_not_open(s);
  if (s->ssl != NULL) {
    int rc;
    ERR_clear_error();
    errno = 0;
    rc = SSL_read(s->ssl, to, n > 1 << 30 ? 1 << 30 : (int)n);
    return rc > 0 ? rc : tls_outcome(s, rc, "cannot read");
  }
  for (;;) {
    ssize_t rc = recv(s->fd, to, n, 0);
    if (rc > 0) return rc;
    if (rc == 0) return stream_fail(s, "network", "EOF", 1, "the server closed the connection");
    if (errno == EINTR) continue;
    s->want = POLLIN;
    return errno == EAGAIN ? 0 : stream_errno(s, "cannot read", errno);
  }
}

long host_stream_write (HostStream *s, const void *from, size_t n) {
  if (!s->open) return stream_not_open(s);
  if (s->ssl != NULL) {
    int rc;
    ERR_clear_error();
    errno = 0;
    rc = SSL_write(s->ssl, from, n > 1 << 30 ? 1 << 30 : (int)n);
    return rc > 0 ? rc : tls_outcome(s, rc, "cannot write");
  }
  for (;;) {
    ssize_t rc = send(s->fd, from, n, MSG_NOSIGNAL);
    if (rc >= 0) return rc;
    if (errno == EINTR) continue;
    s->want = POLLOUT;
    return errno == EAGAIN ? 0 : stream_errno(s, "cannot write", errno);
  }
}

void host_stream_close (HostStream *s) {
  SSL *ssl = s->ssl;
  SSL_CTX *ctx = s->ctx;
  int fd = s->fd;
  s->ssl = NULL;
  s->ctx = NULL;
  s->fd = -1;
  if (ssl != NULL && s->open) {                                  /* say goodbye, wait for nothing */
    ERR_clear_error();
    (void)SSL_shutdown(ssl);
  }
  s->open = s->connected = 0;
  SSL_free(ssl);
  SSL_CTX_free(ctx);
  if (fd >= 0) (void)close(fd);
}

int host_stream_fingerprint (const HostStream *s, unsigned char to[STREAM_PIN]) {
  unsigned int n = 0;
  X509 *cert = s->ssl != NULL ? SSL_get0_peer_certificate(s->ssl) : NULL;
  return cert != NULL && X509_digest(cert, EVP_sha256(), to, &n) == 1 && n == STREAM_PIN;
}
