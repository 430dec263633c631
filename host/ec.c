/* Keys of the curve P-256 as `aws login` keeps them, and signatures with them (ES256, RFC 7518 3.4). Raises for wrong
   arguments; a key that cannot be read is nil, err of kind "invalid". Keys may be secrets and stay in memory no longer
   than a call. */
#include "host.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

enum { COORDINATE = 32 };

static int no_password (char *buf, int size, int rwflag, void *u) {
  (void)buf; (void)size; (void)rwflag; (void)u;
  return 0;
}

/* The P-256 key in PEM of argument 1, or NULL. */
static EVP_PKEY *read_key (lua_State *L) {
  size_t length;
  const char *pem = host_bytes(L, 1, &length);
  luaL_argcheck(L, length <= 65536, 1, "too long for a key");
  BIO *in = BIO_new_mem_buf(pem, (int)length);
  if (in == NULL) return NULL;
  EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
  BIO_free(in);
  char group[32];
  size_t written;
  if (key != NULL && (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group, sizeof group, &written) != 1 ||
                      strcmp(group, "prime256v1") != 0)) {
    EVP_PKEY_free(key);
    key = NULL;
  }
  return key;
}

static int no_key (lua_State *L) {
  ERR_clear_error();
  return host_fail(L, "invalid", NULL, 0, "it holds no P-256 key in PEM");
}

/* Writes a number as 32 bytes. */
static int write_number (const BIGNUM *n, unsigned char *out) {
  return n != NULL && BN_bn2binpad(n, out, COORDINATE) == COORDINATE;
}

static int ec_point (lua_State *L) {                /* point(pem) -> x, y: 32 bytes each | nil, err */
  EVP_PKEY *key = read_key(L);
  unsigned char out[2 * COORDINATE];
  BIGNUM *x = NULL, *y = NULL;
  if (key == NULL) return no_key(L);
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x);
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y);
  int ok = write_number(x, out) && write_number(y, out + COORDINATE);
  BN_free(x);
  BN_free(y);
  EVP_PKEY_free(key);
  if (!ok) return no_key(L);
  lua_pushlstring(L, (const char *)out, COORDINATE);
  lua_pushlstring(L, (const char *)out + COORDINATE, COORDINATE);
  return 2;
}

/* The signature in DER; 0 when OpenSSL refuses. */
static size_t der_signature (EVP_PKEY *key, const char *bytes, size_t length, unsigned char *out, size_t size) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  int ok = context != NULL && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestSign(context, out, &size, (const unsigned char *)bytes, length) == 1;
  EVP_MD_CTX_free(context);
  return ok ? size : 0;
}

static int ec_sign (lua_State *L) {                 /* sign(pem, bytes) -> the 64 bytes of r and s | nil, err */
  size_t length;
  const char *bytes = host_bytes(L, 2, &length);
  EVP_PKEY *key = read_key(L);
  if (key == NULL) return no_key(L);
  unsigned char der[128], out[2 * COORDINATE];
  const unsigned char *at = der;
  size_t size = der_signature(key, bytes, length, der, sizeof der);
  EVP_PKEY_free(key);
  ECDSA_SIG *signature = size > 0 ? d2i_ECDSA_SIG(NULL, &at, (long)size) : NULL;
  int ok = signature != NULL && write_number(ECDSA_SIG_get0_r(signature), out) &&
           write_number(ECDSA_SIG_get0_s(signature), out + COORDINATE);
  ECDSA_SIG_free(signature);
  if (!ok) return host_fail(L, "invalid", NULL, 0, "OpenSSL does not sign with this key");
  lua_pushlstring(L, (const char *)out, sizeof out);
  return 1;
}

int luaopen_host_ec (lua_State *L) {
  host_need(L, "crypto");
  static const luaL_Reg functions[] = { {"point", ec_point}, {"sign", ec_sign}, {NULL, NULL} };
  luaL_newlib(L, functions);
  return 1;
}
