/* Archives (zip and tar.gz) and gzip, on libarchive. All functions answer a job (see codec.h): the work is done on a
   worker thread, from copies of the arguments. Wrong arguments raise; results are values or nil, err. */
#include "zip.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int zip_fail (Zip *z, const char *kind, const char *fmt, ...) {
  va_list arguments;
  if (z->kind != NULL) return 0;                    /* the first reason is the reason */
  va_start(arguments, fmt);
  vsnprintf(z->message, sizeof z->message, fmt, arguments);
  va_end(arguments);
  z->kind = kind;
  return 0;
}

ZipEntry *zip_add (Zip *z) {
  if (z->count == z->room) {
    size_t room = z->room == 0 ? 64 : z->room * 2;
    ZipEntry *entries = realloc(z->entries, room * sizeof *entries);
    if (entries == NULL) {
      zip_fail(z, "limit", "out of memory");
      return NULL;
    }
    z->entries = entries;
    z->room = room;
  }
  ZipEntry *e = &z->entries[z->count++];
  memset(e, 0, sizeof *e);
  return e;
}

int zip_out (Zip *z, const void *bytes, size_t length) {
  if (z->out_room - z->out_length < length) {
    size_t room = z->out_room == 0 ? 65536 : z->out_room;
    while (room - z->out_length < length) room *= 2;
    char *out = realloc(z->out, room);
    if (out == NULL) return zip_fail(z, "limit", "out of memory");
    z->out = out;
    z->out_room = room;
  }
  if (length > 0) memcpy(z->out + z->out_length, bytes, length);
  z->out_length += length;
  return 1;
}

/* Whether a link at `path` leads out of the archive's root. ".." may stand only at its start: behind a name it could
   undo another link rather than a folder. */
int zip_link_escapes (const char *path, const char *target) {
  int depth = 0, named = 0;
  if (*target == '/' || *target == '\0') return 1;
  for (const char *p = path; *p != '\0'; p++)
    if (*p == '/' && p[1] != '\0') depth++;
  while (*target != '\0') {
    size_t n = strcspn(target, "/");
    if (n == 2 && target[0] == '.' && target[1] == '.') {
      if (named || --depth < 0) return 1;
    } else if (n > 0 && !(n == 1 && *target == '.')) named = 1;
    target += n;
    while (*target == '/') target++;
  }
  return 0;
}

/* ---- results ---- */

static void zip_release (void *context) {
  Zip *z = context;
  for (size_t i = 0; i < z->count; i++) {
    ZipEntry *e = &z->entries[i];
    free(e->path);
    free(e->file);
    free(e->data);
    free(e->link);
  }
  for (size_t i = 0; i < z->ignores; i++) free(z->ignore[i]);
  free(z->entries);
  free(z->ignore);
  free(z->folder);
  free(z->from);
  free(z->to);
  free(z->bytes);
  free(z->out);
}

static int fail_result (lua_State *L, const Zip *z) { return host_fail(L, z->kind, NULL, 0, "%s", z->message); }

static int bytes_result (lua_State *L, void *context) {       /* -> bytes, or their number when they went to a file */
  Zip *z = context;
  if (z->kind != NULL) return fail_result(L, z);
  if (z->to != NULL) lua_pushinteger(L, z->total);
  else lua_pushlstring(L, z->out_length > 0 ? z->out : "", z->out_length);
  return 1;
}

static void push_entries (lua_State *L, const Zip *z) {
  lua_createtable(L, (int)z->count, 0);
  for (size_t i = 0; i < z->count; i++) {
    const ZipEntry *e = &z->entries[i];
    lua_createtable(L, 0, 5);
    lua_pushstring(L, e->path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, e->type == 'd' ? "folder" : e->type == 'l' ? "link" : e->type == 'f' ? "file" : "other");
    lua_setfield(L, -2, "type");
    lua_pushinteger(L, (lua_Integer)e->size);
    lua_setfield(L, -2, "size");
    lua_pushinteger(L, e->mode);
    lua_setfield(L, -2, "mode");
    if (e->link != NULL) {
      lua_pushstring(L, e->link);
      lua_setfield(L, -2, "link");
    }
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static int list_result (lua_State *L, void *context) {        /* -> entries */
  Zip *z = context;
  if (z->kind != NULL) return fail_result(L, z);
  push_entries(L, z);
  return 1;
}

static int unpack_result (lua_State *L, void *context) {      /* -> files, bytes, entries that were skipped */
  Zip *z = context;
  if (z->kind != NULL) return fail_result(L, z);
  lua_pushinteger(L, z->files);
  lua_pushinteger(L, z->total);
  push_entries(L, z);
  return 3;
}

/* ---- arguments; each copy is owned by the context at once, so that an error cannot leak it ---- */

static void copy_bytes (lua_State *L, int index, char **out, size_t *length) {
  size_t n;
  const char *s = luaL_checklstring(L, index, &n);
  *out = malloc(n + 1);
  if (*out == NULL) luaL_error(L, "out of memory");
  memcpy(*out, s, n + 1);
  if (length != NULL) *length = n;
}

static void copy_path (lua_State *L, int index, char **out) {
  size_t n;
  const char *s = luaL_checklstring(L, index, &n);
  luaL_argcheck(L, strlen(s) == n, index, "a path holds a NUL byte");
  copy_bytes(L, index, out, NULL);
}

/* a path or the archive's bytes: the caller says which */
static void copy_source (lua_State *L, Zip *z, int path, int bytes) {
  if (lua_isnil(L, path)) copy_bytes(L, bytes, &z->bytes, &z->length);
  else copy_path(L, path, &z->from);
}

static void copy_entry (lua_State *L, Zip *z, lua_Integer number) {   /* the entry's table is on top */
  int top = lua_gettop(L);
  if (!lua_istable(L, top)) luaL_error(L, "entry %I is a %s, not a table", number, luaL_typename(L, top));
  ZipEntry *e = zip_add(z);
  if (e == NULL) luaL_error(L, "out of memory");
  lua_getfield(L, top, "path");
  lua_getfield(L, top, "data");
  lua_getfield(L, top, "file");
  lua_getfield(L, top, "mode");
  if (lua_type(L, top + 1) != LUA_TSTRING) luaL_error(L, "entry %I has no path", number);
  if (host_is_secret(L, top + 2)) luaL_error(L, "entry %s: a secret does not go into an archive", lua_tostring(L, top + 1));
  if (lua_isnil(L, top + 2) == lua_isnil(L, top + 3)) luaL_error(L, "entry %s needs data or file", lua_tostring(L, top + 1));
  copy_path(L, top + 1, &e->path);
  if (lua_isnil(L, top + 3)) copy_bytes(L, top + 2, &e->data, &e->size);
  else copy_path(L, top + 3, &e->file);
  e->mode = (unsigned)luaL_optinteger(L, top + 4, 0) & 0777;
  e->type = 'f';
  lua_settop(L, top - 1);
}

/* pack(entries | folder, format, to | nil, ignore | nil) -> job: bytes, or their number */
static int zip_pack (lua_State *L) {
  host_need(L, "archive");
  static const HostJobKind kind = {sizeof(Zip), zip_run_pack, bytes_result, zip_release};
  static const char *const formats[] = {"zip", "tar.gz", NULL};
  lua_settop(L, 4);
  int tar = luaL_checkoption(L, 2, NULL, formats);
  HostJob *job = host_job_new(L, &kind);
  Zip *z = host_job_context(job);
  z->tar = tar;
  if (!lua_isnil(L, 3)) copy_path(L, 3, &z->to);
  if (lua_istable(L, 1)) {
    for (lua_Integer i = 1; lua_rawgeti(L, 1, i) != LUA_TNIL; i++) copy_entry(L, z, i);
    lua_pop(L, 1);
  } else copy_path(L, 1, &z->folder);
  if (!lua_isnil(L, 4)) {
    luaL_checktype(L, 4, LUA_TTABLE);
    size_t count = lua_rawlen(L, 4);
    z->ignore = calloc(count + 1, sizeof *z->ignore);
    if (z->ignore == NULL) return luaL_error(L, "out of memory");
    for (; z->ignores < count; z->ignores++) {
      lua_rawgeti(L, 4, (lua_Integer)z->ignores + 1);
      copy_path(L, lua_gettop(L), &z->ignore[z->ignores]);
      lua_pop(L, 1);
    }
  }
  return host_job_start(L, job);
}

/* unpack(path | nil, bytes | nil, folder, strip, limit, skip_links) -> job: files, bytes, skipped */
static int zip_unpack (lua_State *L) {
  host_need(L, "archive");
  static const HostJobKind kind = {sizeof(Zip), zip_run_unpack, unpack_result, zip_release};
  lua_settop(L, 6);
  HostJob *job = host_job_new(L, &kind);
  Zip *z = host_job_context(job);
  copy_source(L, z, 1, 2);
  copy_path(L, 3, &z->folder);
  z->strip = luaL_checkinteger(L, 4);
  z->limit = luaL_checkinteger(L, 5);
  z->skip_links = lua_toboolean(L, 6);
  return host_job_start(L, job);
}

static int zip_list (lua_State *L) {                /* list(path | nil, bytes | nil) -> job: entries */
  host_need(L, "archive");
  static const HostJobKind kind = {sizeof(Zip), zip_run_list, list_result, zip_release};
  lua_settop(L, 2);
  HostJob *job = host_job_new(L, &kind);
  copy_source(L, host_job_context(job), 1, 2);
  return host_job_start(L, job);
}

static int zip_deflate (lua_State *L) {             /* deflate(bytes) -> job: gzip bytes */
  host_need(L, "archive");
  static const HostJobKind kind = {sizeof(Zip), zip_run_deflate, bytes_result, zip_release};
  lua_settop(L, 1);
  HostJob *job = host_job_new(L, &kind);
  Zip *z = host_job_context(job);
  copy_bytes(L, 1, &z->bytes, &z->length);
  return host_job_start(L, job);
}

static int zip_inflate (lua_State *L) {             /* inflate(gzip bytes, limit) -> job: bytes */
  host_need(L, "archive");
  static const HostJobKind kind = {sizeof(Zip), zip_run_inflate, bytes_result, zip_release};
  lua_settop(L, 2);
  HostJob *job = host_job_new(L, &kind);
  Zip *z = host_job_context(job);
  copy_bytes(L, 1, &z->bytes, &z->length);
  z->limit = luaL_checkinteger(L, 2);
  return host_job_start(L, job);
}

int luaopen_host_zip (lua_State *L) {              /* libarchive brings ICU along: it waits for its first use */
  static const luaL_Reg functions[] = {
    {"pack", zip_pack}, {"unpack", zip_unpack}, {"list", zip_list}, {"deflate", zip_deflate}, {"inflate", zip_inflate},
    {NULL, NULL}
  };
  luaL_newlib(L, functions);
  return 1;
}
