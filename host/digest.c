/* Checksums of files, read in blocks on a worker thread (a job: see codec.h), and CRC-32 by zlib. */
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

enum { BLOCK = 256 * 1024, KINDS = 3 };

static const char *const names[KINDS] = { "sha256", "sha1", "md5" };

typedef struct FileDigest {
  char *path;
  long long offset, length;                         /* length < 0: to the end */
  long long size;                                   /* what was read */
  int failure;                                      /* errno */
  bool wants[KINDS], wants_crc;
  unsigned char digest[KINDS][EVP_MAX_MD_SIZE];
  unsigned count[KINDS];
  uLong crc;
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
    if (f->wants_crc) f->crc = crc32_z(f->crc, block, (z_size_t)n);
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
  if (f->wants_crc) {
    lua_pushinteger(L, (lua_Integer)f->crc);
    lua_setfield(L, -2, "crc32");
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
    bool known = strcmp(name, "crc32") == 0;
    f->wants_crc = f->wants_crc || known;
    for (int i = 0; i < KINDS; i++)
      if (strcmp(name, names[i]) == 0) known = f->wants[i] = true;
    if (!known) return luaL_error(L, "%s is not a checksum of ours", name);
  }
  lua_pop(L, 1);
  f->path = strdup(path);
  if (f->path == NULL) return luaL_error(L, "out of memory");
  return host_job_start(L, job);
}

int host_digest_crc32 (lua_State *L) {              /* crc32(value) -> integer, as zip and S3 use it */
  size_t length;
  const char *s = host_bytes(L, 1, &length);
  lua_pushinteger(L, (lua_Integer)crc32_z(0, (const Bytef *)s, length));
  return 1;
}

int host_digest_crc32_join (lua_State *L) {         /* crc32_join(first, second, length of the second) -> CRC-32 of both */
  lua_Integer first = luaL_checkinteger(L, 1), second = luaL_checkinteger(L, 2), length = luaL_checkinteger(L, 3);
  luaL_argcheck(L, length >= 0, 3, "not a length");
  lua_pushinteger(L, (lua_Integer)crc32_combine64((uLong)first, (uLong)second, (z_off64_t)length));
  return 1;
}
