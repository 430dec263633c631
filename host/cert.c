/* sign.make_ca and sign.issue_cert: certificates for servers of one's own, such as those of tests and rehearsals.
   Keys are P-256; a private key comes back as a secret. Wrong names raise; what OpenSSL refuses is nil, err. */
#include "codec.h"

#include <openssl/bio.h>
#include <openssl/buffer.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define BIO_TYPE "hkrun.cert.bio"

/* ---- the output, owned by Lua, so that nothing leaks when a push raises ---- */

static int bio_close (lua_State *L) {
  BIO **box = luaL_checkudata(L, 1, BIO_TYPE);
  BIO *bio = *box;
  BUF_MEM *memory = NULL;
  *box = NULL;
  if (bio == NULL) return 0;
  BIO_get_mem_ptr(bio, &memory);
  if (memory != NULL && memory->data != NULL) explicit_bzero(memory->data, memory->max);
  BIO_free(bio);
  return 0;
}

static BIO *bio_new (lua_State *L) {
  BIO **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  if (luaL_newmetatable(L, BIO_TYPE)) {
    lua_pushcfunction(L, bio_close);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  *box = BIO_new(BIO_s_mem());
  if (*box == NULL) luaL_error(L, "out of memory");
  return *box;
}

/* ---- making certificates; no call into Lua below, until they are written ---- */

typedef struct Request {
  const char *name;                                 /* common name */
  const char *alternatives;                         /* "DNS:a,IP:b", or NULL for a CA */
  long days;
} Request;

static int add_extension (X509 *cert, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  int fine = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return fine;
}

static int set_serial (X509 *cert) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return 0;
  bytes[0] = (unsigned char)((bytes[0] & 0x7F) | 0x40);   /* positive, and of full length */
  BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
  int fine = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
  BN_free(number);
  return fine;
}

static int fill (X509 *cert, const Request *r, EVP_PKEY *key, X509 *issuer) {
  X509_NAME *name = X509_get_subject_name(cert);
  if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert)) return 0;
  if (X509_gmtime_adj(X509_getm_notBefore(cert), -86400L) == NULL) return 0;
  if (X509_time_adj_ex(X509_getm_notAfter(cert), (int)r->days, 0, NULL) == NULL) return 0;
  if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)r->name, -1, -1, 0) != 1) return 0;
  if (X509_set_issuer_name(cert, X509_get_subject_name(issuer)) != 1 || X509_set_pubkey(cert, key) != 1) return 0;
  if (!add_extension(cert, issuer, NID_subject_key_identifier, "hash")) return 0;
  if (r->alternatives == NULL)
    return add_extension(cert, issuer, NID_basic_constraints, "critical,CA:TRUE") &&
           add_extension(cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
  return add_extension(cert, issuer, NID_authority_key_identifier, "keyid") &&
         add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
         add_extension(cert, issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
         add_extension(cert, issuer, NID_subject_alt_name, r->alternatives);
}

static int make (const Request *r, X509 *ca, EVP_PKEY *ca_key, BIO *cert_out, BIO *key_out) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = X509_new();
  int fine = key != NULL && cert != NULL && fill(cert, r, key, ca != NULL ? ca : cert) &&
             X509_sign(cert, ca_key != NULL ? ca_key : key, EVP_sha256()) > 0 &&
             PEM_write_bio_X509(cert_out, cert) == 1 &&
             PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1;
  X509_free(cert);
  EVP_PKEY_free(key);
  return fine;
}

static int no_password (char *out, int size, int writing, void *data) {
  (void)out; (void)size; (void)writing; (void)data;
  return 0;                                         /* else OpenSSL would ask at the terminal */
}

/* 1: made; 0: OpenSSL refuses; -1: ca_pem or ca_key does not parse or they do not belong together */
static int issue (const Request *r, const char *ca_pem, size_t pem_length, const char *ca_key, size_t key_length,
                  BIO *cert_out, BIO *key_out) {
  BIO *in = BIO_new_mem_buf(ca_pem, (int)pem_length), *key_in = BIO_new_mem_buf(ca_key, (int)key_length);
  X509 *ca = in != NULL ? PEM_read_bio_X509(in, NULL, no_password, NULL) : NULL;
  EVP_PKEY *key = key_in != NULL ? PEM_read_bio_PrivateKey(key_in, NULL, no_password, NULL) : NULL;
  int result = -1;
  if (ca != NULL && key != NULL && X509_check_private_key(ca, key) == 1) result = make(r, ca, key, cert_out, key_out);
  X509_free(ca);
  EVP_PKEY_free(key);
  BIO_free(in);
  BIO_free(key_in);
  ERR_clear_error();
  return result;
}

static int push_pair (lua_State *L, BIO *cert, BIO *key) {
  char *bytes;
  long length = BIO_get_mem_data(cert, &bytes);
  lua_pushlstring(L, bytes, (size_t)length);
  length = BIO_get_mem_data(key, &bytes);
  host_push_secret(L, bytes, (size_t)length);
  return 2;
}

static const char *check_name (lua_State *L, int index) {
  const char *name = luaL_checkstring(L, index);
  luaL_argcheck(L, *name != '\0' && strlen(name) <= 64, index, "a common name has 1 to 64 characters");
  return name;
}

static long check_days (lua_State *L, int index) {
  lua_Integer days = luaL_optinteger(L, index, 397);
  luaL_argcheck(L, days >= 1 && days <= 36500, index, "between 1 and 36500 days");
  return (long)days;
}

int host_sign_make_ca (lua_State *L) {              /* make_ca(name [, days]) -> certificate PEM, key as a secret */
  Request r = {check_name(L, 1), NULL, check_days(L, 2)};
  BIO *cert = bio_new(L), *key = bio_new(L);
  if (!make(&r, NULL, NULL, cert, key)) {
    ERR_clear_error();
    return host_fail(L, "invalid", NULL, 0, "OpenSSL cannot make the certificate");
  }
  return push_pair(L, cert, key);
}

/* issue_cert(ca_pem, ca_key, name, alternatives [, days]) -> certificate PEM, key as a secret | nil, err */
int host_sign_issue_cert (lua_State *L) {
  size_t pem_length, key_length;
  const char *ca_pem = luaL_checklstring(L, 1, &pem_length), *ca_key = host_bytes(L, 2, &key_length);
  Request r = {check_name(L, 3), luaL_checkstring(L, 4), check_days(L, 5)};
  luaL_argcheck(L, pem_length < 1 << 20, 1, "too long");
  luaL_argcheck(L, key_length < 1 << 20, 2, "too long");
  BIO *cert = bio_new(L), *key = bio_new(L);
  int result = issue(&r, ca_pem, pem_length, ca_key, key_length, cert, key);
  if (result < 0) return host_fail(L, "invalid", NULL, 0, "the CA's certificate and key do not parse or do not match");
  if (result == 0) return host_fail(L, "invalid", NULL, 0, "OpenSSL cannot make the certificate; are the names right?");
  return push_pair(L, cert, key);
}
