/* What the codecs share: a growing buffer that Lua owns, the rule which leaves of a document become secrets, and
   jobs on libuv's worker threads. */
#ifndef HKRUN_CODEC_H
#define HKRUN_CODEC_H

#include "host.h"

#define CODEC_DEPTH 256                       /* deepest document that is read or written */

/* -- buffer: a userdata, so an error cannot leak it; wiped when it held a secret -- */
typedef struct HostBuf {
  char *bytes;
  size_t length, room;
  int secret;                                 /* set before the first secret byte is added */
} HostBuf;

HostBuf *host_buf_new (lua_State *L);         /* pushes the buffer */
void host_buf_add (lua_State *L, HostBuf *b, const char *bytes, size_t length);
void host_buf_text (lua_State *L, HostBuf *b, const char *text);
void host_buf_char (lua_State *L, HostBuf *b, char c);
void host_buf_clear (HostBuf *b);             /* empties and wipes, keeps the room */
void host_buf_push (lua_State *L, HostBuf *b); /* pushes its content, a string or a secret, and frees it */

/* -- values with a meaning of their own -- */
void host_push_null (lua_State *L);           /* json.null, shared by JSON and YAML */
int host_is_null (lua_State *L, int index);
void host_mark_array (lua_State *L);          /* gives the table on top the array mark; list.c */
int host_is_array (lua_State *L, int index);  /* has the mark */
int host_is_unknown (lua_State *L, int index);
int host_utf8_valid (const char *bytes, size_t length);

void host_orders (lua_State *L);              /* pushes the table map -> list of its keys, of decoders that keep it */

/* 1: the table at index is a list of `*length` values; 0: a map; -1: neither, keys are mixed */
int host_table_shape (lua_State *L, int index, size_t *length);

/* -- one string written for another format; see secret.c -- */
void host_encode_url (lua_State *L, HostBuf *b, const char *s, size_t length);
void host_encode_json (lua_State *L, HostBuf *b, const char *s, size_t length);   /* s is UTF-8 */
int host_encode_xml (lua_State *L, HostBuf *b, const char *s, size_t length, int attribute); /* 0: cannot be written */

/* appends the bytes; 0, or the place of the first character that is not base64, length + 1 when the last are missing */
size_t host_unbase64 (lua_State *L, HostBuf *b, const char *s, size_t length);

int host_secret_parse_url (lua_State *L);     /* functions of host.secret that live in secreturl.c */
int host_secret_build_url (lua_State *L);

int host_sign_make_ca (lua_State *L);         /* functions of host.sign that live in cert.c */
int host_sign_issue_cert (lua_State *L);
int host_digest_file (lua_State *L);          /* and in digest.c */
int host_digest_crc32 (lua_State *L);
int host_digest_crc32_join (lua_State *L);
int host_digest_crc32c (lua_State *L);
int host_digest_crc64nvme (lua_State *L);

void host_crc_open (void);                    /* crc.c: makes the tables of the two checks */
uint64_t host_crc32c (uint64_t value, const void *bytes, size_t length);
uint64_t host_crc64nvme (uint64_t value, const void *bytes, size_t length);

/* -- yaml.c and yamlwrite.c -- */
int host_yaml_resolve (lua_State *L, const char *s, size_t length);
int host_yaml_encode (lua_State *L);

/* -- memory of libraries that read secrets: wiped when it is given back -- */
void *host_wipe_realloc (void *memory, size_t size);
void host_wipe_free (void *memory);

/* -- which leaves become secrets -- */
typedef struct HostLeaves {
  int mode;                                   /* see codec.c */
  int set;                                    /* stack index of the set of names, or 0 */
} HostLeaves;

void host_leaves (lua_State *L, HostLeaves *leaves, int body, int option);
int host_leaf_secret (lua_State *L, const HostLeaves *leaves, const char *name);
int host_leaves_careful (const HostLeaves *leaves);  /* anything secret: wipe memory, quote nothing in errors */

/* -- jobs: run() on a worker thread, then result() on the loop's -- */
typedef struct HostJob HostJob;
typedef struct HostJobKind {
  size_t size;                                /* of the context, which starts zeroed */
  void (*run) (HostJob *job, void *context);
  int (*result) (lua_State *L, void *context);
  void (*release) (void *context);
} HostJobKind;

HostJob *host_job_new (lua_State *L, const HostJobKind *kind);  /* pushes the handle */
void *host_job_context (HostJob *job);
int host_job_cancelled (HostJob *job);        /* any thread */
int host_job_start (lua_State *L, HostJob *job); /* the handle is on top; returns 1, or 2 with nil, err */

#endif
