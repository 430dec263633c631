/* Checksums of files, read in blocks on a worker thread (a job: see codec.h), and the redundancy checks of strings:
   CRC-32 by zlib, the others by crc.c. */
#include "codec.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { BLOCK = 256 * 1024, KINDS = 3, CHECKS = 3 };

static const char *const names[KINDS] = { "sha256", "sha1", "md5" };

static uint64_t crc32_of (uint64_t value, const void *bytes, size_t length) { return crc32_z((uLong)value, bytes, length); }

static const struct {
  const char *name;
  uint64_t (*add) (uint64_t value, const void *bytes, size_t length);
} checks[CHECKS] = { { "crc32", crc32_of }, { "crc32c", host_crc32c }, { "crc64nvme", host_crc64nvme } };

typedef struct FileDigest {
  char *path;
  long long offset, length;                         /* length < 0: to the end */
  long long size;                                   /* what was read */
  int failure;                                      /* errno */
  bool wants[KINDS], wants_check[CHECKS];
  unsigned char digest[KINDS][EVP_MAX_MD_SIZE];
  unsigned count[KINDS];
  uint64_t check[CHECKS];
} FileDigest;

static ssize_t read_all (HostJob *job, FileDigest *f, int fd, unsigned char *block, EVP_MD_CTX *const *md) {
  ssize_t n = 0;
  while (f->length < 0 || f->size < f->length) {
    size_t want = f->length < 0 || f->length - f->size > BLOCK ? BLOCK : (size_t)(f->length - f->size);
    n = pread(fd, block, want, (off_t)(f->offset + f->size));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n;
    if (host_job_cancelled(job)) {
      errno = ECANCELED;
      return -1;
    }
    for (int i = 0; i < CHECKS; i++)
      if (f->wants_check[i]) f->check[i] = checks[i].add(f->check[i], block, (size_t)n);
    for (int i = 0; i < KINDS; i++)
      if (f->wants[i]) EVP_DigestUpdate(md[i], block, (size_t)n);
    f->size += n;
  }
  return 0;
}

static void file_run (HostJob *job, void *context) {
  FileDigest *f = context;
  const EVP_MD *kinds[KINDS] = { EVP_sha256(), EVP_sha1(), EVP_md5() };
  EVP_MD_CTX *md[KINDS] = { NULL };
  unsigned char *block = malloc(BLOCK);
  int fd = open(f->path, O_RDONLY | O_CLOEXEC);
  bool ready = fd >= 0 && block != NULL;
  for (int i = 0; ready && i < KINDS; i++)
    if (f->wants[i]) ready = (md[i] = EVP_MD_CTX_new()) != NULL && EVP_DigestInit_ex(md[i], kinds[i], NULL) == 1;
  if (!ready || read_all(job, f, fd, block, md) < 0) f->failure = errno != 0 ? errno : ENOMEM;
  else
    for (int i = 0; i < KINDS; i++)
      if (f->wants[i]) EVP_DigestFinal_ex(md[i], f->digest[i], &f->count[i]);
  if (fd >= 0) close(fd);
  for (int i = 0; i < KINDS; i++) EVP_MD_CTX_free(md[i]);
  free(block);
}

static int file_result (lua_State *L, void *context) {   /* -> { size=, crc32=, sha256=hex, ... } | nil, err */
  FileDigest *f = context;
  if (f->failure != 0)
    return host_fail(L, f->failure == ENOENT ? "not_found" : "io", NULL, 0, "%s: %s", f->path, strerror(f->failure));
  lua_newtable(L);
  lua_pushinteger(L, f->size);
  lua_setfield(L, -2, "size");
  for (int i = 0; i < CHECKS; i++)
    if (f->wants_check[i]) {
      lua_pushinteger(L, (lua_Integer)f->check[i]);
      lua_setfield(L, -2, checks[i].name);
    }
  for (int i = 0; i < KINDS; i++)
    if (f->wants[i]) {
      char hex[2 * EVP_MAX_MD_SIZE + 1];
      for (unsigned k = 0; k < f->count[i]; k++) snprintf(hex + 2 * k, 3, "%02x", f->digest[i][k]);
      lua_pushstring(L, hex);
      lua_setfield(L, -2, names[i]);
    }
  return 1;
}

static void file_release (void *context) { free(((FileDigest *)context)->path); }

int host_digest_file (lua_State *L) {               /* digest_file(path, { names }, offset, length | nil) -> job */
  static const HostJobKind kind = { sizeof(FileDigest), file_run, file_result, file_release };
  const char *path = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer offset = luaL_optinteger(L, 3, 0), length = luaL_optinteger(L, 4, -1);
  luaL_argcheck(L, offset >= 0, 3, "not an offset");
  HostJob *job = host_job_new(L, &kind);
  FileDigest *f = host_job_context(job);
  f->offset = offset;
  f->length = length;
  for (lua_Integer n = 1; lua_geti(L, 2, n) != LUA_TNIL; n++, lua_pop(L, 1)) {
    const char *name = luaL_checkstring(L, -1);
    bool known = false;
    for (int i = 0; i < CHECKS; i++)
      if (strcmp(name, checks[i].name) == 0) known = f->wants_check[i] = true;
    for (int i = 0; i < KINDS; i++)
      if (strcmp(name, names[i]) == 0) known = f->wants[i] = true;
    if (!known) return luaL_error(L, "%s is not a checksum of ours", name);
  }
  lua_pop(L, 1);
  f->path = strdup(path);
  if (f->path == NULL) return luaL_error(L, "out of memory");
  return host_job_start(L, job);
}

static int check_of (lua_State *L, int i) {
  size_t length;
  const char *s = host_bytes(L, 1, &length);
  lua_pushinteger(L, (lua_Integer)checks[i].add(0, s, length));
  return 1;
}

/* crc32(value), as zip and S3 use it; crc32c(value); crc64nvme(value), which may be negative -> integer */
int host_digest_crc32 (lua_State *L) { return check_of(L, 0); }
int host_digest_crc32c (lua_State *L) { return check_of(L, 1); }
int host_digest_crc64nvme (lua_State *L) { return check_of(L, 2); }

int host_digest_crc32_join (lua_State *L) {         /* crc32_join(first, second, length of the second) -> CRC-32 of both */
  lua_Integer first = luaL_checkinteger(L, 1), second = luaL_checkinteger(L, 2), length = luaL_checkinteger(L, 3);
  luaL_argcheck(L, length >= 0, 3, "not a length");
  lua_pushinteger(L, (lua_Integer)crc32_combine64((uLong)first, (uLong)second, (z_off64_t)length));
  return 1;
}
