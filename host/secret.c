/* Secrets: bytes that Lua can pass on, join, encode and compare, but never read back.
   They live in locked pages (locked.c) and are wiped when the value is closed or collected. Misuse raises; parse_url
   returns nil, err. All of it belongs to the loop's thread.
   States: open, wiped. A wiped secret raises wherever its bytes are asked for. */
#include "codec.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define SECRET "hkrun.secret"

typedef struct Secret {
  char *bytes;                                      /* NULL when wiped; else ends in a NUL beyond length */
  size_t length;
} Secret;

/* ---- the value ---- */

static int secret_close (lua_State *L) {            /* wipe, __gc and __close; safe twice */
  Secret *s = luaL_checkudata(L, 1, SECRET);
  char *bytes = s->bytes;
  s->bytes = NULL;
  if (bytes != NULL) host_locked_give(bytes, s->length + 1);
  s->length = 0;
  return 0;
}

static void secret_metatable (lua_State *L);

/* pushes a secret of `length` bytes for the caller to fill */
static char *secret_push (lua_State *L, size_t length) {
  Secret *s = lua_newuserdatauv(L, sizeof *s, 0);
  s->bytes = NULL;
  s->length = 0;
  secret_metatable(L);
  lua_setmetatable(L, -2);
  if (length >= SIZE_MAX / 2) luaL_error(L, "out of memory");
  char *bytes = host_locked_take(length + 1);
  if (bytes == NULL) luaL_error(L, "out of memory");
  bytes[length] = '\0';
  s->bytes = bytes;
  s->length = length;
  return bytes;
}

void host_push_secret (lua_State *L, const char *bytes, size_t length) {
  char *copy = secret_push(L, length);
  if (length > 0) memcpy(copy, bytes, length);
}

int host_is_secret (lua_State *L, int index) {
  return luaL_testudata(L, index, SECRET) != NULL;
}

const char *host_bytes (lua_State *L, int index, size_t *length) {
  size_t unused;
  Secret *s = luaL_testudata(L, index, SECRET);
  if (length == NULL) length = &unused;
  if (s != NULL) {
    if (s->bytes == NULL) luaL_error(L, "the secret is wiped");
    *length = s->length;
    return s->bytes;
  }
  if (lua_type(L, index) == LUA_TSTRING) return lua_tolstring(L, index, length);
  luaL_typeerror(L, index, "string or secret");
  return NULL;
}

/* pushes bytes as the kind that argument `like` is */
static void push_like (lua_State *L, int like, HostBuf *b) {
  b->secret = b->secret || host_is_secret(L, like);
  host_buf_push(L, b);
}

static int secret_tostring (lua_State *L) {
  lua_pushliteral(L, "(secret)");
  return 1;
}

static int secret_no_concat (lua_State *L) {
  return luaL_error(L, "a secret cannot be joined with '..'; use text(\"...%%s...\", value), which answers a secret");
}

static int secret_no_len (lua_State *L) {
  return luaL_error(L, "a secret does not answer '#'; use secret.size(value)");
}

static int secret_eq (lua_State *L) {               /* constant time in the content, not in the length */
  size_t la, lb;
  const char *a = host_bytes(L, 1, &la), *b = host_bytes(L, 2, &lb);
  host_need(L, "crypto");
  lua_pushboolean(L, la == lb && CRYPTO_memcmp(a, b, la) == 0);
  return 1;
}

static int secret_same (lua_State *L) {             /* ==; another userdata, such as json.null, is not equal */
  if (host_is_secret(L, 1) && host_is_secret(L, 2)) return secret_eq(L);
  lua_pushboolean(L, 0);
  return 1;
}

/* ---- functions ---- */

static int secret_new (lua_State *L) {              /* new(string) -> secret */
  size_t length;
  const char *bytes = host_bytes(L, 1, &length);
  host_push_secret(L, bytes, length);
  return 1;
}

static int secret_is (lua_State *L) {               /* is(value) -> boolean */
  lua_pushboolean(L, host_is_secret(L, 1));
  return 1;
}

static int secret_size (lua_State *L) {             /* size(value) -> bytes */
  size_t length;
  host_bytes(L, 1, &length);
  lua_pushinteger(L, (lua_Integer)length);
  return 1;
}

static int secret_sha256 (lua_State *L) {           /* sha256(value) -> hexadecimal string */
  size_t length;
  const char *bytes = host_bytes(L, 1, &length);
  unsigned char digest[32];
  char hex[65];
  host_need(L, "crypto");
  if (EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL) != 1) return luaL_error(L, "SHA-256 failed");
  for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  lua_pushlstring(L, hex, 64);
  return 1;
}

static int secret_concat (lua_State *L) {           /* concat{...} -> string, or secret if a part is one, or unknown */
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer count = (lua_Integer)lua_rawlen(L, 1);
  HostBuf *b = host_buf_new(L);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, 1, i);
    if (host_is_unknown(L, -1)) return 1;
    b->secret = b->secret || host_is_secret(L, -1);
    lua_pop(L, 1);
  }
  for (lua_Integer i = 1; i <= count; i++) {
    size_t length;
    lua_rawgeti(L, 1, i);
    if (lua_type(L, -1) != LUA_TNUMBER && lua_type(L, -1) != LUA_TSTRING && !host_is_secret(L, -1))
      return luaL_error(L, "part %I is a %s; strings, numbers and secrets can be joined", i, luaL_typename(L, -1));
    const char *bytes = lua_type(L, -1) == LUA_TNUMBER ? lua_tolstring(L, -1, &length) : host_bytes(L, -1, &length);
    host_buf_add(L, b, bytes, length);
    lua_pop(L, 1);
  }
  host_buf_push(L, b);
  return 1;
}

void host_encode_url (lua_State *L, HostBuf *b, const char *s, size_t length) {   /* RFC 3986 unreserved stay */
  static const char hex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)s[i];
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c != 0 && strchr("-._~", c)))
      host_buf_char(L, b, s[i]);
    else {
      const char code[3] = {'%', hex[c >> 4], hex[c & 15]};
      host_buf_add(L, b, code, 3);
    }
  }
}

void host_encode_json (lua_State *L, HostBuf *b, const char *s, size_t length) {
  static const char *const named = "\"\"\\\\\bb\ff\nn\rr\tt";
  char code[8];
  host_buf_char(L, b, '"');
  for (size_t start = 0, i = 0; i <= length; i++) {
    unsigned char c = i < length ? (unsigned char)s[i] : 0;
    if (i < length && c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) continue;
    host_buf_add(L, b, s + start, i - start);
    start = i + 1;
    if (i == length) break;
    const char *name = NULL;
    for (const char *p = named; *p != '\0'; p += 2)
      if (c == (unsigned char)*p) name = p + 1;
    if (name != NULL) snprintf(code, sizeof code, "\\%c", *name);
    else snprintf(code, sizeof code, "\\u%04x", c);
    host_buf_text(L, b, code);
  }
  host_buf_char(L, b, '"');
}

int host_encode_xml (lua_State *L, HostBuf *b, const char *s, size_t length, int attribute) {
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)s[i];
    switch (c) {
      case '&': host_buf_text(L, b, "&amp;"); break;
      case '<': host_buf_text(L, b, "&lt;"); break;
      case '>': host_buf_text(L, b, "&gt;"); break;
      case '"': host_buf_text(L, b, "&quot;"); break;
      case '\'': host_buf_text(L, b, "&apos;"); break;
      case '\r': host_buf_text(L, b, "&#13;"); break;  /* a reader would turn it into a line feed */
      case '\n': case '\t':                           /* or these into spaces, in an attribute */
        if (attribute) host_buf_text(L, b, c == '\n' ? "&#10;" : "&#9;");
        else host_buf_char(L, b, s[i]);
        break;
      default:
        if (c < 0x20) return 0;                     /* XML 1.0 has no way to write these */
        host_buf_char(L, b, s[i]);
    }
  }
  return 1;
}

static void encode_base64 (lua_State *L, HostBuf *b, const char *s, size_t length) {
  unsigned char out[65];
  host_need(L, "crypto");
  for (size_t at = 0; at < length; at += 48) {
    size_t part = length - at < 48 ? length - at : 48;
    int n = EVP_EncodeBlock(out, (const unsigned char *)s + at, (int)part);
    host_buf_add(L, b, (const char *)out, (size_t)n);
  }
  explicit_bzero(out, sizeof out);
}

static int secret_encode (lua_State *L) {           /* encode(value, kind) -> the same kind of value */
  static const char *const kinds[] = {"url", "json", "base64", "xml", "hex", NULL};
  if (host_is_unknown(L, 1)) {
    lua_settop(L, 1);
    return 1;
  }
  size_t length;
  const char *bytes = host_bytes(L, 1, &length);
  int kind = luaL_checkoption(L, 2, NULL, kinds);
  HostBuf *b = host_buf_new(L);
  b->secret = host_is_secret(L, 1);
  if ((kind == 1 || kind == 3) && !host_utf8_valid(bytes, length))
    return luaL_error(L, "the value is not UTF-8, so it cannot be put into %s", kinds[kind]);
  switch (kind) {
    case 0: host_encode_url(L, b, bytes, length); break;
    case 1: host_encode_json(L, b, bytes, length); break;
    case 2: encode_base64(L, b, bytes, length); break;
    case 3:
      if (!host_encode_xml(L, b, bytes, length, 1)) return luaL_error(L, "XML cannot hold this control character");
      break;
    default:
      for (size_t i = 0; i < length; i++) {
        char code[3];
        snprintf(code, sizeof code, "%02x", (unsigned char)bytes[i]);
        host_buf_add(L, b, code, 2);
      }
  }
  push_like(L, 1, b);
  return 1;
}

static int secret_hide (lua_State *L) {             /* hide(text, secret) -> text with (secret) in its place */
  size_t left, length;
  const char *text = luaL_checklstring(L, 1, &left), *found;
  luaL_checkudata(L, 2, SECRET);
  const char *bytes = host_bytes(L, 2, &length);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  while (length > 0 && (found = memmem(text, left, bytes, length)) != NULL) {
    luaL_addlstring(&b, text, (size_t)(found - text));
    luaL_addstring(&b, "(secret)");
    left -= (size_t)(found - text) + length;
    text = found + length;
  }
  luaL_addlstring(&b, text, left);
  luaL_pushresult(&b);
  return 1;
}

static int secret_random (lua_State *L) {           /* random(n [, alphabet]) -> secret of n characters */
  lua_Integer count = luaL_checkinteger(L, 1);
  size_t letters;
  const char *alphabet =
    luaL_optlstring(L, 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", &letters);
  luaL_argcheck(L, count >= 1 && count <= 1 << 20, 1, "between 1 and 1048576 characters");
  luaL_argcheck(L, letters >= 2 && letters <= 256, 2, "an alphabet has 2 to 256 letters");
  host_need(L, "crypto");
  char *out = secret_push(L, (size_t)count);
  unsigned limit = 256 - 256 % (unsigned)letters;   /* bytes above it would favour the first letters */
  for (lua_Integer done = 0; done < count;) {
    unsigned char bytes[64];
    if (RAND_bytes(bytes, sizeof bytes) != 1) return luaL_error(L, "no random numbers from the system");
    for (size_t i = 0; i < sizeof bytes && done < count; i++)
      if (bytes[i] < limit) out[done++] = alphabet[bytes[i] % letters];
    explicit_bzero(bytes, sizeof bytes);
  }
  return 1;
}

static void secret_metatable (lua_State *L) {       /* pushes it; other bindings may make the first secret */
  static const luaL_Reg meta[] = {
    {"__gc", secret_close}, {"__close", secret_close}, {"__tostring", secret_tostring}, {"__eq", secret_same},
    {"__concat", secret_no_concat}, {"__len", secret_no_len}, {NULL, NULL}
  };
  if (!luaL_newmetatable(L, SECRET)) return;
  luaL_setfuncs(L, meta, 0);
  lua_pushliteral(L, "secret");
  lua_setfield(L, -2, "__metatable");               /* scripts neither see nor change it */
}

int luaopen_host_secret (lua_State *L) {
  static const luaL_Reg functions[] = {
    {"new", secret_new}, {"is", secret_is}, {"size", secret_size}, {"sha256", secret_sha256},
    {"concat", secret_concat}, {"encode", secret_encode}, {"random", secret_random}, {"equal", secret_eq}, {"hide", secret_hide},
    {"wipe", secret_close}, {"parse_url", host_secret_parse_url}, {"build_url", host_secret_build_url}, {NULL, NULL}
  };
  luaL_newlib(L, functions);
  return 1;
}
