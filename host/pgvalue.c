/*
** pgvalue.c: PostgreSQL's values, parameters and errors as Lua and plain C see them.
** int2/int4/int8/oid -> integer, float4/float8 -> float, bool -> boolean, bytea -> bytes, json -> its value, arrays ->
** lists (pgarray.c), NULL -> nil; all else, numeric included, is the server's own text: exact, and the caller decides.
*/
#include <stdlib.h>
#include <string.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "pg.h"

enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_OID = 26,
       OID_JSON = 114, OID_FLOAT4 = 700, OID_FLOAT8 = 701, OID_JSONB = 3802 };

#define JSON_DECODE "hkrun.pg.json"                  /* in the registry: host.json's decode */
#define FLOAT_DIGITS 17                              /* a double is written with no more */

/* {host = "h", password = <secret>, ...} at `arg` -> libpq's two arrays */
void host_pg_params (lua_State *L, int arg, HostPgParams *p) {
  size_t size = 0;
  int n = 0;
  memset(p, 0, sizeof *p);
  arg = lua_absindex(L, arg);
  luaL_checktype(L, arg, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, arg) != 0; lua_pop(L, 1)) {   /* first pass: may raise, holds nothing */
    size_t len;
    const char *s;
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "connection parameters must have names");
    if (n++ == HOST_PG_PARAMS) luaL_error(L, "too many connection parameters");
    if (!host_is_secret(L, -1) && lua_type(L, -1) != LUA_TSTRING)
      luaL_error(L, "connection parameter '%s' must be a string or a secret", lua_tostring(L, -2));
    s = host_bytes(L, lua_gettop(L), &len);
    if (memchr(s, 0, len) != NULL) luaL_error(L, "connection parameter '%s' holds a zero byte", lua_tostring(L, -2));
    size += len + 1 + lua_rawlen(L, -2) + 1;
  }
  p->mem = host_locked_take(size + 1);
  if (p->mem == NULL) luaL_error(L, "not enough memory");
  p->size = size;
  size = 0;
  n = 0;
  for (lua_pushnil(L); lua_next(L, arg) != 0; lua_pop(L, 1)) {
    size_t klen, vlen;
    const char *k = lua_tolstring(L, -2, &klen), *v = host_bytes(L, lua_gettop(L), &vlen);
    p->keys[n] = memcpy(p->mem + size, k, klen + 1);
    size += klen + 1;
    p->values[n] = memcpy(p->mem + size, v, vlen);
    p->mem[size + vlen] = '\0';
    size += vlen + 1;
    n++;
  }
}

void host_pg_params_free (HostPgParams *p) {
  char *mem = p->mem;
  p->mem = NULL;
  if (mem != NULL) host_locked_give(mem, p->size + 1);
}

static int hex_digit (int c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c - 'A' + 10;
}

static void push_bytea (lua_State *L, const char *s, size_t len) {
  luaL_Buffer b;
  size_t i;
  if (len < 2 || s[0] != '\\' || s[1] != 'x') {      /* bytea_output = escape: octal triples */
    luaL_buffinit(L, &b);
    for (i = 0; i < len; i++) {
      if (s[i] != '\\' || i + 1 >= len) luaL_addchar(&b, s[i]);
      else if (s[i + 1] == '\\' || i + 3 >= len) { luaL_addchar(&b, s[i + 1]); i++; }
      else { luaL_addchar(&b, (char)(((s[i + 1] - '0') << 6) | ((s[i + 2] - '0') << 3) | (s[i + 3] - '0'))); i += 3; }
    }
    luaL_pushresult(&b);
    return;
  }
  char *out = luaL_buffinitsize(L, &b, len / 2);
  for (i = 2; i + 1 < len; i += 2)
    out[i / 2 - 1] = (char)((hex_digit((unsigned char)s[i]) << 4) | hex_digit((unsigned char)s[i + 1]));
  luaL_pushresultsize(&b, (len - 2) / 2);
}

void host_pg_values_open (lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "host.json");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "decode");
  lua_setfield(L, LUA_REGISTRYINDEX, JSON_DECODE);
  lua_pop(L, 1);
}

/* is there a number with a fraction that a double cannot hold? (Integers that are too large the decoder refuses.) */
static int loses_digits (const char *s) {
  int quoted = 0;
  for (; *s != '\0'; s++) {
    int digits = 0, fraction = 0;
    if (*s == '"') quoted = !quoted;
    else if (quoted && *s == '\\') s++;
    if (quoted || *s < '0' || *s > '9') continue;
    for (; (*s >= '0' && *s <= '9') || *s == '.'; s++) {
      if (*s == '.') fraction = 1;
      else if (*s != '0' || digits > 0) digits++;
    }
    if (digits > FLOAT_DIGITS && (fraction || *s == 'e' || *s == 'E')) return 1;
    while ((*s >= '0' && *s <= '9') || *s == 'e' || *s == 'E' || *s == '+' || *s == '-') s++;
    s--;
  }
  return 0;
}

/* the document's value; the text itself where Lua cannot hold all of it */
static void push_json (lua_State *L, const char *s, size_t len) {
  lua_pushlstring(L, s, len);
  if (loses_digits(s)) return;
  lua_getfield(L, LUA_REGISTRYINDEX, JSON_DECODE);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  if (lua_isnil(L, -1)) lua_pop(L, 1);
  else lua_remove(L, -2);
}

void host_pg_push_text (lua_State *L, Oid type, const char *s, size_t len) {
  switch (type) {
    case OID_BOOL: lua_pushboolean(L, s[0] == 't'); break;
    case OID_INT8: case OID_INT2: case OID_INT4: case OID_OID:
      lua_pushinteger(L, (lua_Integer)strtoll(s, NULL, 10)); break;
    case OID_FLOAT4: case OID_FLOAT8: lua_pushnumber(L, strtod(s, NULL)); break;   /* reads NaN and Infinity too */
    case OID_BYTEA: push_bytea(L, s, len); break;
    case OID_JSON: case OID_JSONB: push_json(L, s, len); break;
    default: if (!host_pg_push_array(L, type, s, len)) lua_pushlstring(L, s, len);
  }
}

/* pushes one field of a text-format result */
void host_pg_push (lua_State *L, const PGresult *res, int row, int col) {
  if (PQgetisnull(res, row, col)) lua_pushnil(L);
  else host_pg_push_text(L, PQftype(res, col), PQgetvalue(res, row, col), (size_t)PQgetlength(res, row, col));
}

/* the SHA-256 of the server's certificate in hex, 64 digits and a zero; 0 = no TLS */
int host_pg_fingerprint (PGconn *pg, char out[65]) {
  static const char digits[] = "0123456789abcdef";
  unsigned char md[EVP_MAX_MD_SIZE];
  unsigned int i, n = 0;
  SSL *ssl = PQsslInUse(pg) ? PQsslStruct(pg, "OpenSSL") : NULL;
  X509 *cert = ssl != NULL ? SSL_get1_peer_certificate(ssl) : NULL;
  int ok = cert != NULL && X509_digest(cert, EVP_sha256(), md, &n) == 1 && n == 32;
  X509_free(cert);
  for (i = 0; ok && i < n; i++) {
    out[2 * i] = digits[md[i] >> 4];
    out[2 * i + 1] = digits[md[i] & 15];
  }
  out[ok ? 64 : 0] = '\0';
  return ok;
}

/* ---- errors ---- */

static char *copy_text (const char *s) {             /* without the newline that libpq ends its texts with */
  size_t n;
  char *r;
  if (s == NULL) return NULL;
  n = strlen(s);
  while (n > 0 && (s[n - 1] == '\n' || s[n - 1] == ' ')) n--;
  r = malloc(n + 1);
  if (r != NULL) {
    memcpy(r, s, n);
    r[n] = '\0';
  }
  return r;
}

void host_pg_error_free (HostPgError *e) {
  free(e->message);
  free(e->detail);
  free(e->hint);
  free(e->context);
  free(e->schema);
  free(e->table);
  free(e->column);
  free(e->constraint);
  memset(e, 0, sizeof *e);
}

void host_pg_error_text (HostPgError *e, const char *kind, int retry, const char *text) {
  host_pg_error_free(e);
  e->kind = kind;
  e->retry = retry;
  e->message = copy_text(text);
}

static int one_of (const char *code, const char *list) {   /* is the 5-letter code, or its class, in the list? */
  return strstr(list, code) != NULL;
}

/* What a connection failure is can be read only in libpq's text: it gives no SQLSTATE for it. */
void host_pg_error_conn (HostPgError *e, const PGconn *pg) {
  static const struct { const char *part, *kind; int retry; } table[] = {
    { "no encryption", "tls", 0 }, { "SSL", "tls", 0 }, { "certificate", "tls", 0 },
    { "does not match host name", "tls", 0 },
    { "authentication failed", "auth", 0 }, { "no password supplied", "auth", 0 }, { "pg_hba.conf", "auth", 0 },
    { "is not permitted to log in", "auth", 0 }, { "permission denied for database", "auth", 0 },
    { "too many", "limit", 1 }, { "remaining connection slots", "limit", 1 },
    { "database \"", "not_found", 0 }, { "role \"", "auth", 0 },
    { "invalid connection option", "invalid", 0 }, { "invalid sslmode", "invalid", 0 },
  };
  const char *text = pg != NULL ? PQerrorMessage(pg) : "not enough memory for a connection";
  size_t i;
  host_pg_error_text(e, "network", 1, text);
  if (strstr(text, "SSL connection has been closed unexpectedly") != NULL || strstr(text, "SSL SYSCALL") != NULL) return;
  for (i = 0; i < sizeof table / sizeof table[0]; i++)
    if (strstr(text, table[i].part) != NULL) {
      e->kind = table[i].kind;
      e->retry = table[i].retry;
      return;
    }
}

/* reads one field of an error report: PG_DIAG_MESSAGE_PRIMARY and its kin */
void host_pg_error_fields (HostPgError *e, const char *(*get)(const void *report, int field), const void *report) {
  const char *code = get(report, PG_DIAG_SQLSTATE), *at = get(report, PG_DIAG_STATEMENT_POSITION);
  const char *text = get(report, PG_DIAG_MESSAGE_PRIMARY);
  host_pg_error_text(e, "remote", 0, text != NULL ? text : "unknown error");
  e->detail = copy_text(get(report, PG_DIAG_MESSAGE_DETAIL));
  e->hint = copy_text(get(report, PG_DIAG_MESSAGE_HINT));
  e->context = copy_text(get(report, PG_DIAG_CONTEXT));
  e->schema = copy_text(get(report, PG_DIAG_SCHEMA_NAME));
  e->table = copy_text(get(report, PG_DIAG_TABLE_NAME));
  e->column = copy_text(get(report, PG_DIAG_COLUMN_NAME));
  e->constraint = copy_text(get(report, PG_DIAG_CONSTRAINT_NAME));
  e->position = at != NULL ? strtol(at, NULL, 10) : 0;
  if (code == NULL) {                                /* libpq's own: the connection is gone */
    e->kind = "network";
    e->retry = 1;
    return;
  }
  memcpy(e->code, code, strlen(code) < 6 ? strlen(code) + 1 : 5);
  if (strncmp(code, "08", 2) == 0 || one_of(code, "57P01 57P02 57P03")) {   /* the server ended the session */
    e->kind = "network";
    e->retry = 1;
  }
  else if (strncmp(code, "40", 2) == 0 || one_of(code, "55P03 53300")) e->retry = 1;
}

static const char *result_field (const void *report, int name) {
  return PQresultErrorField(report, name);
}

void host_pg_error_result (HostPgError *e, const PGconn *pg, const PGresult *res) {
  host_pg_error_fields(e, result_field, res);
  if (PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) == NULL) {
    const char *text = PQresultErrorMessage(res);
    if (text == NULL || *text == '\0') text = pg != NULL ? PQerrorMessage(pg) : "unknown error";
    free(e->message);
    e->message = copy_text(text);
  }
}

static void field (lua_State *L, const char *name, const char *value) {
  if (value == NULL || *value == '\0') return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

/* pushes {kind, message, code, retry, detail, hint, context, schema, table, column, constraint, position} */
void host_pg_error_table (lua_State *L, const HostPgError *e) {
  host_fail(L, e->kind != NULL ? e->kind : "io", e->code[0] != '\0' ? e->code : NULL, e->retry,
            "%s", e->message != NULL ? e->message : "not enough memory");
  lua_remove(L, -2);                                 /* the nil below the table */
  field(L, "detail", e->detail);
  field(L, "hint", e->hint);
  field(L, "context", e->context);
  field(L, "schema", e->schema);
  field(L, "table", e->table);
  field(L, "column", e->column);
  field(L, "constraint", e->constraint);
  if (e->position > 0) {
    lua_pushinteger(L, e->position);
    lua_setfield(L, -2, "position");
  }
}
