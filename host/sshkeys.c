/*
** sshkeys.c: host.ssh's functions without a connection: key pairs,
** fingerprints, and what an ssh_config file says of a host. Nothing here waits.
*/
#include "host.h"
#include "sshconn.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Pushes "TYPE BASE64" of a key; 0 when libssh cannot. */
static int push_public (lua_State *L, const ssh_key key) {
  char *text = NULL;
  if (ssh_pki_export_pubkey_base64(key, &text) != SSH_OK) return 0;
  const char *type = ssh_key_type_to_char(ssh_key_type(key));
  lua_pushfstring(L, "%s %s", type, text);
  ssh_string_free_char(text);
  return 1;
}

/* keygen() -> secret (OpenSSH private key), "ssh-ed25519 AAAA..." | nil, err */
static int keys_generate (lua_State *L) {
  ssh_key key = NULL;
  char *pem = NULL;
  if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK)
    return host_fail(L, "io", NULL, 0, "cannot make a key");
  int ok = ssh_pki_export_privkey_base64(key, NULL, NULL, NULL, &pem) == SSH_OK;
  if (ok) {
    host_push_secret(L, pem, strlen(pem));
    explicit_bzero(pem, strlen(pem));
    ok = push_public(L, key);
  }
  ssh_string_free_char(pem);
  ssh_key_free(key);
  return ok ? 2 : host_fail(L, "io", NULL, 0, "cannot write the key");
}

/* public(private: secret) -> "ssh-ed25519 AAAA..." | nil, err */
static int keys_public (lua_State *L) {
  size_t len;
  const char *pem = host_bytes(L, 1, &len);
  ssh_key key = NULL;
  char *copy = strndup(pem, len);
  if (copy == NULL) return luaL_error(L, "not enough memory");
  int rc = ssh_pki_import_privkey_base64(copy, NULL, NULL, NULL, &key);
  explicit_bzero(copy, strlen(copy));
  free(copy);
  int ok = rc == SSH_OK && push_public(L, key);
  ssh_key_free(key);
  return ok ? 1 : host_fail(L, "invalid", "key", 0, "not a private key in PEM "
                            "form without a passphrase");
}

/* fingerprint(line: string) -> "SHA256:..." | nil, err */
static int keys_fingerprint (lua_State *L) {
  const char *line = luaL_checkstring(L, 1);
  const char *space = strchr(line, ' ');
  char type[64];
  ssh_key key = NULL;
  unsigned char *hash = NULL;
  size_t len = 0;
  if (space == NULL || (size_t)(space - line) >= sizeof type)
    return host_fail(L, "invalid", "key", 0,
                     "a public key looks like \"ssh-ed25519 AAAA...\"");
  memcpy(type, line, (size_t)(space - line));
  type[space - line] = '\0';
  while (*space == ' ') space++;
  const char *base64 = lua_pushlstring(L, space, strcspn(space, " \t\r\n"));
  if (ssh_pki_import_pubkey_base64(base64, ssh_key_type_from_name(type), &key)
        != SSH_OK
      || ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &len)
        != 0) {
    ssh_key_free(key);
    return host_fail(L, "invalid", "key", 0, "not a public key: %.40s", line);
  }
  ssh_key_free(key);
  char *text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, len);
  lua_pushstring(L, text);
  ssh_string_free_char(text);
  ssh_clean_pubkey_hash(&hash);
  return 1;
}

static void get_option (lua_State *L, ssh_session s, enum ssh_options_e option,
                        const char *name) {
  char *value = NULL;
  if (ssh_options_get(s, option, &value) != SSH_OK || value == NULL) return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
  ssh_string_free_char(value);
}

/* config(host: string, path: string) -> { host=, port=, user=, identity=,
   known_hosts=, proxy= } | nil, err: what the file says, else absent */
static int keys_config (lua_State *L) {
  static const char unset[] = "/";      /* no default may look like an answer */
  const char *host = luaL_checkstring(L, 1);
  const char *path = luaL_checkstring(L, 2);
  bool no = false;
  unsigned int port = 0;
  ssh_session s = ssh_new();
  if (s == NULL) return luaL_error(L, "not enough memory");
  ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no);
  if (ssh_options_set(s, SSH_OPTIONS_HOST, host) != 0
      || ssh_options_set(s, SSH_OPTIONS_IDENTITY, unset) != 0
      || ssh_options_parse_config(s, path) != 0) {
    host_fail(L, "invalid", "ssh_config", 0, "cannot use %s: %s", path,
              ssh_get_error(s));
    ssh_free(s);
    return 2;
  }
  lua_newtable(L);
  get_option(L, s, SSH_OPTIONS_HOST, "host");
  get_option(L, s, SSH_OPTIONS_USER, "user");
  get_option(L, s, SSH_OPTIONS_IDENTITY, "identity");
  get_option(L, s, SSH_OPTIONS_KNOWNHOSTS, "known_hosts");
  get_option(L, s, SSH_OPTIONS_PROXYCOMMAND, "proxy");
  if (ssh_options_get_port(s, &port) == SSH_OK && port != 0) {
    lua_pushinteger(L, (lua_Integer)port);
    lua_setfield(L, -2, "port");
  }
  ssh_free(s);
  lua_getfield(L, -1, "identity");
  const char *identity = lua_tostring(L, -1);
  if (identity != NULL && strcmp(identity, unset) == 0) {
    lua_pushnil(L);
    lua_setfield(L, -3, "identity");
  }
  lua_pop(L, 1);
  return 1;
}

void ssh_open_keys (lua_State *L) {
  static const luaL_Reg functions[] = {
    { "keygen", keys_generate }, { "public", keys_public },
    { "fingerprint", keys_fingerprint }, { "config", keys_config },
    { NULL, NULL }
  };
  luaL_setfuncs(L, functions, 0);
}
