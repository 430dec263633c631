/*
** stream.h - a byte stream over TCP, plain or TLS, that never waits. redis.c steps it on the loop; rediscopy.c drives
** it from a worker thread with poll. It knows nothing of Lua. A failure is described in the stream itself, in the
** words of host_fail.
*/
#ifndef HKRUN_STREAM_H
#define HKRUN_STREAM_H

#include <stddef.h>
#include <openssl/ssl.h>

#define STREAM_PIN 32                        /* bytes of a SHA-256 */

typedef struct StreamTls {
  const char *name;                          /* the host name, or address, that the certificate must carry */
  const char *ca;                            /* file of trusted certificates; NULL: the system's, or SSL_CERT_FILE */
  const unsigned char *pin;                  /* SHA-256 of the one certificate that is accepted; NULL: check by ca */
  int insecure;                              /* 1: any certificate will do */
} StreamTls;

typedef struct HostStream {
  int fd;                                    /* -1: closed */
  int open;                                  /* 1: connected, and the TLS session is up and checked */
  int connected;                             /* 1: TCP is up */
  int want;                                  /* POLLIN, POLLOUT: what the last call waits for */
  int has_pin, insecure;
  SSL *ssl;
  SSL_CTX *ctx;
  unsigned char pin[STREAM_PIN];
  const char *kind;                          /* after a failure */
  int retry;
  char code[40], message[256];
} HostStream;

/* All of them: -1 is a failure, told in s->kind, code, message, retry. */
void host_stream_init (HostStream *s);
int host_stream_dial (HostStream *s, const char *address, int port, const StreamTls *tls);   /* tls NULL: plain */
int host_stream_step (HostStream *s);                                /* 1: open; 0: wait for s->want */
long host_stream_read (HostStream *s, void *to, size_t n);           /* > 0: bytes; 0: wait for s->want */
long host_stream_write (HostStream *s, const void *from, size_t n);  /* > 0: bytes; 0: wait for s->want */
void host_stream_close (HostStream *s);                              /* safe twice */
int host_stream_fingerprint (const HostStream *s, unsigned char to[STREAM_PIN]);

#endif
