/*
** host.c: the list of bindings, the searcher of embedded Lua modules, and the
** few helpers that every binding uses.
**
** Lua: host.resource.read(name) -> bytes | nil, err; host.resource.list(prefix)
** The environment variable HKRUN_LIB=DIR reads DIR/NAME from disk instead.
*/
#include "host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <lualib.h>
#include <zlib.h>

#define ENTRY(name) { "host." #name, luaopen_host_##name },
static const luaL_Reg bindings[] = { HOST_BINDINGS(ENTRY) { NULL, NULL } };

void host_push_error (lua_State *L, const char *kind, const char *code,
                      int retry, const char *message) {
  lua_createtable(L, 0, 4);
  lua_pushstring(L, kind);
  lua_setfield(L, -2, "kind");
  lua_pushstring(L, message);
  lua_setfield(L, -2, "message");
  if (code != NULL) {
    lua_pushstring(L, code);
    lua_setfield(L, -2, "code");
  }
  lua_pushboolean(L, retry);
  lua_setfield(L, -2, "retry");
}

int host_fail (lua_State *L, const char *kind, const char *code, int retry,
               const char *fmt, ...) {
  char message[1024];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(message, sizeof message, fmt, ap);
  va_end(ap);
  lua_pushnil(L);
  host_push_error(L, kind, code, retry, message);
  return 2;
}

int host_wait (lua_State *L, const char *mode) {
  lua_pushboolean(L, 0);
  lua_pushstring(L, mode);
  return 2;
}

/* --- embedded files ------------------------------------------------------ */

static const char *embedded_at (int32_t offset) {
  return (const char *)host_embedded + offset;
}

static int by_name (const void *key, const void *entry) {
  return strcmp(key, embedded_at(((const HostEmbedded *)entry)->name));
}

/* Pushes what a gzip file of our own build holds. Its head is ten bytes, its last four are the size of what it holds; the
   sum before them is not looked at: who can change a byte of the binary can change the sum. */
static void push_inflated (lua_State *L, const char *bytes, size_t size) {
  enum { HEAD = 10, TAIL = 8 };
  const unsigned char *end = (const unsigned char *)bytes + size;
  size_t room = end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 | (size_t)end[-1] << 24;
  luaL_Buffer b;
  z_stream z = {0};
  z.next_out = (Bytef *)luaL_buffinitsize(L, &b, room);
  z.avail_out = (uInt)room;
  z.next_in = (z_const Bytef *)bytes + HEAD;
  z.avail_in = (uInt)(size - HEAD - TAIL);
  host_need(L, "z");
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) luaL_error(L, "out of memory");
  int end_of_stream = inflate(&z, Z_FINISH) == Z_STREAM_END;
  inflateEnd(&z);
  if (!end_of_stream) luaL_error(L, "an embedded file is damaged");
  luaL_pushresultsize(&b, room);
}

/* The folder that stands for what is embedded; NULL for none. */
static const char *folder (void) {
  const char *lib = getenv("HKRUN_LIB");
  return lib != NULL && *lib != '\0' ? lib : NULL;
}

/* Pushes the bytes of the file on disk; 0 if there is none. */
static int push_file (lua_State *L, const char *name) {
  const char *path = lua_pushfstring(L, "%s/%s", folder(), name);
  FILE *f = fopen(path, "rb");
  lua_pop(L, 1);
  if (f == NULL) return 0;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  size_t n;
  do {
    char *p = luaL_prepbuffer(&b);
    n = fread(p, 1, LUAL_BUFFERSIZE, f);
    luaL_addsize(&b, n);
  } while (n == LUAL_BUFFERSIZE);
  fclose(f);
  luaL_pushresult(&b);
  return 1;
}

/* The bytes of an embedded file; NULL if there is none. */
static const char *embedded (const char *name, size_t *size) {
  const HostEmbedded *e = bsearch(name, host_embedded, host_embedded_count,
                                  sizeof *host_embedded, by_name);
  if (e == NULL) return NULL;
  *size = (size_t)(e->end - e->start);
  return embedded_at(e->start);
}

/* Gives back the memory of what was read of the embedded files, and of what the kernel mapped along with it: more than is
   read. They are a file's pages, there again when they are needed. The few modules of a start are not worth it. */
static void give_back (size_t size) {
  static size_t total;                  /* read so far */
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = ((uintptr_t)host_embedded_bytes + page - 1) & ~(page - 1), to = (uintptr_t)host_embedded_end & ~(page - 1);
  total += size;
  if (total > 128 * 1024) (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

/* Pushes the bytes of an embedded file, or of the one on disk; 0 if none. */
static int push_resource (lua_State *L, const char *name) {
  if (folder() != NULL) return push_file(L, name);
  size_t size;
  const char *bytes = embedded(name, &size);
  if (bytes == NULL) return 0;
  if (size > 18 && memcmp(bytes, "\x1f\x8b", 2) == 0) push_inflated(L, bytes, size);
  else lua_pushlstring(L, bytes, size);
  give_back(size);
  return 1;
}

/* read(name: string) -> string | nil, err */
static int resource_read (lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (push_resource(L, name)) return 1;
  return host_fail(L, "not_found", NULL, 0, "no embedded file %s", name);
}

/* list(prefix: string) -> { names }, those embedded in the binary */
static int resource_list (lua_State *L) {
  size_t len;
  const char *prefix = luaL_checklstring(L, 1, &len);
  lua_Integer n = 0;
  lua_newtable(L);
  for (size_t i = 0; i < host_embedded_count; i++) {
    const char *name = embedded_at(host_embedded[i].name);
    if (strncmp(name, prefix, len) != 0) continue;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

int luaopen_host_resource (lua_State *L) {
  static const luaL_Reg functions[] = {
    { "read", resource_read }, { "list", resource_list }, { NULL, NULL }
  };
  luaL_newlib(L, functions);
  return 1;
}

/* The searcher: require "aws.vpc" -> stdlib/aws/vpc.luac, which is compiled, or stdlib/aws/vpc.lua on disk */
static int search_embedded (lua_State *L) {
  const char *module = luaL_checkstring(L, 1);
  const char *path = luaL_gsub(L, module, ".", "/");
  const char *name = lua_pushfstring(L, "stdlib/%s.lua", path);
  size_t size;
  const char *code = NULL;
  if (folder() == NULL) code = embedded(lua_pushfstring(L, "%sc", name), &size);
  else if (push_file(L, name)) code = lua_tolstring(L, -1, &size);
  if (code == NULL) {
    lua_pushfstring(L, "no module '%s' in hkrun's standard library", module);
    return 1;
  }
  if (luaL_loadbufferx(L, code, size, lua_pushfstring(L, "@%s", name), "bt") != LUA_OK) return lua_error(L);
  if (folder() == NULL) give_back(size);
  lua_pushstring(L, name);
  return 2;
}

void host_open (lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  luaL_setfuncs(L, bindings, 0);
  lua_pop(L, 1);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");     /* preload, embedded, recipe's path */
  lua_rawgeti(L, -1, 2);
  lua_rawseti(L, -2, 3);
  lua_pushcfunction(L, search_embedded);
  lua_rawseti(L, -2, 2);
  lua_pushnil(L);
  lua_rawseti(L, -2, 4);
  lua_pop(L, 1);
  lua_pushliteral(L, "");
  lua_setfield(L, -2, "path");
  lua_pushliteral(L, "");
  lua_setfield(L, -2, "cpath");
  lua_pop(L, 1);
}
