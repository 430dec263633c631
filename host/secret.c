/* secret.c: secrets; strings only until the binding is here. */
#include "host.h"

const char *host_bytes (lua_State *L, int arg, size_t *len) {
  return luaL_checklstring(L, arg, len);
}
int host_is_secret (lua_State *L, int arg) { (void)L; (void)arg; return 0; }
void host_push_secret (lua_State *L, const char *s, size_t len) {
  lua_pushlstring(L, s, len);
}
