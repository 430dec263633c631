/* Digests, signatures and random numbers on OpenSSL. Each function takes strings or secrets; what only rewrites its
   input (hex, base64, unbase64) answers the kind it was given. Misuse raises. Checksums of files are in
   digest.c, certificates in cert.c. */
#include "codec.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void to_hex (char *out, const unsigned char *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static int push_digest (lua_State *L, const unsigned char *digest, size_t count, int raw) {
  char hex[2 * EVP_MAX_MD_SIZE + 1];
  if (raw) lua_pushlstring(L, (const char *)digest, count);
  else {
    to_hex(hex, digest, count);
    lua_pushlstring(L, hex, 2 * count);
  }
  return 1;
}

static int digest_of (lua_State *L, const EVP_MD *kind) {
  size_t length;
  const char *bytes = host_bytes(L, 1, &length);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned count;
  if (EVP_Digest(bytes, length, digest, &count, kind, NULL) != 1) return luaL_error(L, "OpenSSL refuses the digest");
  return push_digest(L, digest, count, lua_toboolean(L, 2));
}

/* sha256(value [, raw]), sha512, sha1, md5 -> hexadecimal, or the bytes */
static int sign_sha256 (lua_State *L) { return digest_of(L, EVP_sha256()); }
static int sign_sha512 (lua_State *L) { return digest_of(L, EVP_sha512()); }
static int sign_sha1 (lua_State *L) { return digest_of(L, EVP_sha1()); }
static int sign_md5 (lua_State *L) { return digest_of(L, EVP_md5()); }

static int hmac_sha256 (const void *key, size_t key_length, const void *bytes, size_t length, unsigned char *out) {
  unsigned count = 32;
  return HMAC(EVP_sha256(), key, (int)key_length, bytes, length, out, &count) != NULL;
}

static int sign_hmac (lua_State *L) {               /* hmac(key, value [, hex]) -> the 32 bytes, or hexadecimal */
  size_t key_length, length;
  const char *key = host_bytes(L, 1, &key_length), *bytes = host_bytes(L, 2, &length);
  unsigned char digest[32];
  luaL_argcheck(L, key_length <= INT_MAX, 1, "too long for a key");
  if (!hmac_sha256(key, key_length, bytes, length, digest)) return luaL_error(L, "OpenSSL refuses the key");
  return push_digest(L, digest, sizeof digest, !lua_toboolean(L, 3));
}

/* sigv4(secret_key, date, region, service, string_to_sign) -> hexadecimal signature. The keys derived on the way never
   leave this function. */
static int sign_sigv4 (lua_State *L) {
  size_t length[5];
  const char *part[5];
  for (int i = 0; i < 5; i++) part[i] = host_bytes(L, i + 1, &length[i]);
  unsigned char key[256], next[32];
  luaL_argcheck(L, length[0] <= sizeof key - 4, 1, "too long for a secret access key");
  memcpy(key, "AWS4", 4);
  memcpy(key + 4, part[0], length[0]);
  size_t key_length = length[0] + 4;
  int fine = 1;
  for (int i = 1; i <= 5 && fine; i++) {            /* date, region, service, "aws4_request", the string */
    const char *bytes = i == 4 ? "aws4_request" : i == 5 ? part[4] : part[i];
    size_t count = i == 4 ? strlen(bytes) : i == 5 ? length[4] : length[i];
    fine = hmac_sha256(key, key_length, bytes, count, next);
    memcpy(key, next, sizeof next);
    key_length = sizeof next;
  }
  explicit_bzero(key, sizeof key);
  if (!fine) return luaL_error(L, "OpenSSL refuses the key");
  return push_digest(L, next, sizeof next, 0);
}

static int sign_unhex (lua_State *L) {              /* unhex(value) -> bytes | nil, err */
  size_t length;
  const char *s = host_bytes(L, 1, &length);
  HostBuf *b = host_buf_new(L);
  b->secret = host_is_secret(L, 1);
  if (length % 2 != 0) return host_fail(L, "invalid", NULL, 0, "not hexadecimal: an odd number of digits");
  for (size_t i = 0; i < length; i += 2) {
    int byte = 0;
    for (size_t k = i; k < i + 2; k++) {
      int c = s[k], low = c | 0x20;
      if (c >= '0' && c <= '9') byte = byte * 16 + c - '0';
      else if (low >= 'a' && low <= 'f') byte = byte * 16 + low - 'a' + 10;
      else return host_fail(L, "invalid", NULL, 0, "not hexadecimal at character %zu", k + 1);
    }
    host_buf_char(L, b, (char)byte);
  }
  host_buf_push(L, b);
  return 1;
}

static int base64_digit (unsigned char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;              /* RFC 4648's two alphabets */
  if (c == '/' || c == '_') return 63;
  return -1;
}

size_t host_unbase64 (lua_State *L, HostBuf *b, const char *s, size_t length) {
  unsigned bits = 0, digits = 0, padding = 0;
  for (size_t i = 0; i < length; i++) {
    if (s[i] == '\r' || s[i] == '\n') continue;
    int digit = base64_digit((unsigned char)s[i]);
    if (s[i] == '=' && digits % 4 >= 2 && padding < 4 - digits % 4) {
      padding++;
      continue;
    }
    if (digit < 0 || padding > 0) return i + 1;
    bits = bits << 6 | (unsigned)digit;
    if (++digits % 4 != 1) host_buf_char(L, b, (char)(bits >> (8 - digits % 4 * 2) % 8 & 0xFF));
  }
  return digits % 4 == 1 || (padding > 0 && (digits + padding) % 4 != 0) ? length + 1 : 0;
}

/* unbase64(value) -> bytes | nil, err; takes line breaks, both alphabets, and text without its padding */
static int sign_unbase64 (lua_State *L) {
  size_t length;
  const char *s = host_bytes(L, 1, &length);
  HostBuf *b = host_buf_new(L);
  b->secret = host_is_secret(L, 1);
  size_t wrong = host_unbase64(L, b, s, length);
  if (wrong > length) return host_fail(L, "invalid", NULL, 0, "not base64: the last characters are missing");
  if (wrong > 0) return host_fail(L, "invalid", NULL, 0, "not base64 at character %zu", wrong);
  host_buf_push(L, b);
  return 1;
}

static int sign_random (lua_State *L) {             /* random(n) -> n bytes */
  lua_Integer count = luaL_checkinteger(L, 1);
  luaL_argcheck(L, count >= 0 && count <= 1 << 20, 1, "between 0 and 1048576 bytes");
  luaL_Buffer b;
  char *out = luaL_buffinitsize(L, &b, (size_t)count);
  if (RAND_bytes((unsigned char *)out, (int)count) != 1) return luaL_error(L, "no random numbers from the system");
  luaL_pushresultsize(&b, (size_t)count);
  return 1;
}

static int sign_uuid (lua_State *L) {               /* uuid() -> a random one: version 4 of RFC 9562 */
  unsigned char r[16];
  char hex[33], out[37];
  if (RAND_bytes(r, sizeof r) != 1) return luaL_error(L, "no random numbers from the system");
  r[6] = (unsigned char)((r[6] & 0x0F) | 0x40);
  r[8] = (unsigned char)((r[8] & 0x3F) | 0x80);
  to_hex(hex, r, sizeof r);
  snprintf(out, sizeof out, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
  lua_pushstring(L, out);
  return 1;
}

int luaopen_host_sign (lua_State *L) {
  host_need(L, "crypto");
  static const luaL_Reg functions[] = {
    {"sha256", sign_sha256}, {"sha512", sign_sha512}, {"sha1", sign_sha1}, {"md5", sign_md5},
    {"hmac", sign_hmac}, {"sigv4", sign_sigv4}, {"unhex", sign_unhex},
    {"unbase64", sign_unbase64}, {"crc32", host_digest_crc32}, {"crc32_join", host_digest_crc32_join},
    {"crc32c", host_digest_crc32c}, {"crc64nvme", host_digest_crc64nvme}, {"random", sign_random}, {"uuid", sign_uuid},
    {"digest_file", host_digest_file}, {"make_ca", host_sign_make_ca}, {"issue_cert", host_sign_issue_cert},
    {NULL, NULL}
  };
  host_need(L, "z");
  host_crc_open();
  luaL_newlib(L, functions);
  return 1;
}
