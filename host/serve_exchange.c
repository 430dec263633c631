/*
** One request and its answer, as a handler sees them: method(), target(), headers(), body(), and one of reply(),
** reply_file(), reply_stream(), drop(). A second answer raises; an answer to a client that went away is nil, err.
** A streamed answer is fed with write(), which says false and an id when the client is slower than the writer.
*/
#include "serve.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STREAM_BUFFER = 256 * 1024, FILE_BLOCK = 256 * 1024 };

void host_exchange_unref (Exchange *e) {
  if (--e->refs > 0) return;
  if (e->response != NULL) MHD_destroy_response(e->response);
  if (e->body_fd >= 0) close(e->body_fd);
  if (e->body_path != NULL) unlink(e->body_path);
  buffer_free(&e->headers);
  buffer_free(&e->body);
  buffer_free(&e->out);
  free(e->body_path);
  free(e->method);
  free(e->target);
  free(e);
}

static void wake_writer (Exchange *e) {
  if (e->writer != 0 && e->server != NULL) host_ready_loop(e->server->loop, e->writer);
  e->writer = 0;
}

void host_exchange_over (Exchange *e) {
  wake_writer(e);
  if (e->prev != NULL) e->prev->next = e->next;
  else e->server->open = e->next;
  if (e->next != NULL) e->next->prev = e->prev;
  e->prev = e->next = NULL;
  e->server = NULL;
  e->connection = NULL;
  host_exchange_unref(e);
}

void host_exchange_resume (Exchange *e) {
  if (!e->is_suspended) return;
  e->is_suspended = false;
  MHD_resume_connection(e->connection);
  host_server_soon(e->server);
}

void host_exchange_push (lua_State *L, Exchange *e) {
  Exchange **u = lua_newuserdatauv(L, sizeof *u, 0);
  *u = NULL;
  luaL_setmetatable(L, EXCHANGE);
  *u = e;
  e->refs++;
}

static int exchange_close (lua_State *L) {       /* close, __gc and __close; an unanswered request is cut */
  Exchange **u = luaL_checkudata(L, 1, EXCHANGE), *e = *u;
  *u = NULL;
  if (e == NULL) return 0;
  if (!e->is_replied) e->is_dropped = true;
  if (e->is_replied && !e->is_ended) e->is_cut = true;
  host_exchange_resume(e);
  host_exchange_unref(e);
  return 0;
}

static Exchange *check (lua_State *L) {
  Exchange **u = luaL_checkudata(L, 1, EXCHANGE);
  if (*u == NULL) luaL_error(L, "this exchange is closed");
  return *u;
}

/* ---- the request ----------------------------------------------------------------------------------------------------- */

static int exchange_method (lua_State *L) {      /* e:method() -> "GET" */
  lua_pushstring(L, check(L)->method);
  return 1;
}

static int exchange_target (lua_State *L) {      /* e:target() -> "/path?query", as it was sent */
  lua_pushstring(L, check(L)->target);
  return 1;
}

static int exchange_peer (lua_State *L) {        /* e:peer() -> "127.0.0.1:40000" */
  lua_pushstring(L, check(L)->peer);
  return 1;
}

static int exchange_headers (lua_State *L) {     /* e:headers() -> { { "name", "value" }, ... } lower-case names, in order */
  Exchange *e = check(L);
  lua_newtable(L);
  for (size_t at = 0; at < e->headers.len;) {
    const char *name = e->headers.data + at, *value = name + strlen(name) + 1;
    at += strlen(name) + strlen(value) + 2;
    lua_createtable(L, 2, 0);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (const char *p = name; *p != '\0'; p++) luaL_addchar(&b, (char)tolower((unsigned char)*p));
    luaL_pushresult(&b);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, value);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  return 1;
}

static int exchange_body (lua_State *L) {        /* e:body([as_secret]) -> string | secret, or nil when it is in body_file() */
  Exchange *e = check(L);
  const char *bytes = e->body.len > 0 ? e->body.data : "";
  if (e->body_path != NULL) lua_pushnil(L);
  else if (lua_toboolean(L, 2)) host_push_secret(L, bytes, e->body.len);
  else lua_pushlstring(L, bytes, e->body.len);
  return 1;
}

static int exchange_body_file (lua_State *L) {   /* e:body_file() -> path, removed with the exchange | nil; size */
  Exchange *e = check(L);
  lua_pushstring(L, e->body_path);
  lua_pushinteger(L, (lua_Integer)e->body_size);
  return 2;
}

/* ---- the answer ------------------------------------------------------------------------------------------------------ */

static void add_header (lua_State *L, Exchange *e, const char *name, int value) {
  size_t size;
  const char *bytes = host_bytes(L, value, &size);
  if (strcasecmp(name, "content-length") == 0) return;                 /* MHD knows it */
  if (strlen(bytes) != size || MHD_add_response_header(e->response, name, bytes) != MHD_YES)
    luaL_error(L, "the header %s cannot be sent", name);
}

/* { name = value | { value, ... } } at index `headers`; the response belongs to the exchange, so raising loses nothing */
static void add_headers (lua_State *L, Exchange *e, int headers) {
  luaL_checktype(L, headers, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, headers) != 0) {
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "the name of a header is not a string");
    const char *name = lua_tostring(L, -2);
    if (lua_type(L, -1) == LUA_TTABLE) {
      for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
        add_header(L, e, name, lua_gettop(L));
        lua_pop(L, 1);
      }
      lua_pop(L, 1);
    } else
      add_header(L, e, name, lua_gettop(L));
    lua_pop(L, 1);
  }
}

static int gone (lua_State *L) { return host_fail(L, "network", "cut", 0, "the client has closed the connection"); }

/* what all answers begin with: the exchange, still open, its earlier attempt forgotten; NULL when the client is gone */
static Exchange *answering (lua_State *L) {
  Exchange *e = check(L);
  lua_Integer status = luaL_checkinteger(L, 2);
  luaL_argcheck(L, status >= 200 && status <= 599, 2, "not a final status");
  if (e->is_replied || e->is_dropped) luaL_error(L, "this request was answered before");
  if (e->response != NULL) MHD_destroy_response(e->response);
  e->response = NULL;
  e->status = (unsigned)status;
  return e->connection != NULL ? e : NULL;
}

static int answer (lua_State *L, Exchange *e) {
  if (e->response == NULL) return luaL_error(L, "not enough memory");
  add_headers(L, e, 3);
  e->is_replied = true;
  host_exchange_resume(e);
  lua_pushboolean(L, 1);
  return 1;
}

static void body_free (void *arg) {
  Buffer *b = arg;
  buffer_free(b);
  free(b);
}

static int exchange_reply (lua_State *L) {       /* e:reply(status, headers, string | secret) -> true | nil, err */
  Exchange *e = answering(L);
  size_t size;
  const char *bytes = host_bytes(L, 4, &size);
  if (e == NULL) return gone(L);
  Buffer *b = calloc(1, sizeof *b);
  if (b == NULL || !buffer_add(b, bytes, size)) {
    free(b);
    return luaL_error(L, "not enough memory");
  }
  e->response = MHD_create_response_from_buffer_with_free_callback_cls(size, b->data, body_free, b);
  if (e->response == NULL) body_free(b);
  e->is_ended = true;
  return answer(L, e);
}

/* A file in large blocks: MHD itself would read 4 KiB at a time, and each would take a turn of the loop. */
typedef struct FilePart {
  int fd;
  off_t offset;
} FilePart;

static ssize_t file_read (void *arg, uint64_t at, char *bytes, size_t max) {
  FilePart *file = arg;
  ssize_t n = pread(file->fd, bytes, max, file->offset + (off_t)at);
  return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;               /* it became shorter under our hands */
}

static void file_free (void *arg) {
  FilePart *file = arg;
  close(file->fd);
  free(file);
}

static int exchange_reply_file (lua_State *L) {  /* e:reply_file(status, headers, path [, offset [, length]]) -> true | nil, err */
  Exchange *e = answering(L);
  const char *path = luaL_checkstring(L, 4);
  lua_Integer offset = luaL_optinteger(L, 5, 0);
  struct stat st;
  if (e == NULL) return gone(L);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return host_fail(L, "io", NULL, 0, "cannot read %s: %s", path, strerror(errno));
  int ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
  lua_Integer length = lua_isnoneornil(L, 6) ? (lua_Integer)st.st_size - offset : lua_tointeger(L, 6);
  if (!ok || offset < 0 || length < 0 || offset > (lua_Integer)st.st_size - length) {
    close(fd);
    return host_fail(L, "io", NULL, 0, "cannot send %s: not a file of that size", path);
  }
  FilePart *file = malloc(sizeof *file);
  if (file != NULL) {
    file->fd = fd;
    file->offset = offset;
    e->response = MHD_create_response_from_callback((uint64_t)length, FILE_BLOCK, file_read, file, file_free);
    if (e->response == NULL) file_free(file);
  } else close(fd);
  e->is_ended = true;
  return answer(L, e);
}

static ssize_t stream_read (void *arg, uint64_t at, char *bytes, size_t max) {
  Exchange *e = arg;
  (void)at;
  size_t n = e->out.len < max ? e->out.len : max;
  if (n > 0) {
    memcpy(bytes, e->out.data, n);
    buffer_drop(&e->out, n);
    if (e->out.len < STREAM_BUFFER) wake_writer(e);
    return (ssize_t)n;
  }
  if (e->is_cut || e->server == NULL || e->server->is_closing) return MHD_CONTENT_READER_END_WITH_ERROR;
  if (e->is_ended) return MHD_CONTENT_READER_END_OF_STREAM;
  e->is_suspended = true;
  MHD_suspend_connection(e->connection);
  return 0;
}

static void stream_free (void *arg) { host_exchange_unref(arg); }

static int exchange_reply_stream (lua_State *L) { /* e:reply_stream(status, headers [, size]) -> true | nil, err; then write, finish */
  Exchange *e = answering(L);
  lua_Integer size = luaL_optinteger(L, 4, -1);
  if (e == NULL) return gone(L);
  e->response = MHD_create_response_from_callback(size < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)size, 32 * 1024, stream_read, e, stream_free);
  if (e->response != NULL) e->refs++;
  return answer(L, e);
}

static int exchange_write (lua_State *L) {       /* e:write(bytes) -> true, or false, id when it is to wait for room | nil, err */
  Exchange *e = check(L);
  size_t size;
  const char *bytes = host_bytes(L, 2, &size);
  if (e->connection == NULL) return gone(L);
  if (!e->is_replied || e->is_ended || e->is_cut) return luaL_error(L, "this answer is not being streamed");
  if (!buffer_add(&e->out, bytes, size)) return host_fail(L, "limit", NULL, 0, "not enough memory");
  host_exchange_resume(e);
  if (e->out.len < STREAM_BUFFER) {
    lua_pushboolean(L, 1);
    return 1;
  }
  e->writer = host_id_new(L);
  lua_pushboolean(L, 0);
  lua_pushinteger(L, e->writer);
  return 2;
}

static int exchange_finish (lua_State *L) {      /* e:finish([cut]): ends a streamed answer, or cuts the connection there */
  Exchange *e = check(L);
  if (!e->is_replied) return luaL_error(L, "this answer is not being streamed");
  if (lua_toboolean(L, 2)) e->is_cut = true;
  e->is_ended = true;
  host_exchange_resume(e);
  return 0;
}

static int exchange_drop (lua_State *L) {        /* e:drop(): closes the connection without an answer */
  Exchange *e = check(L);
  if (e->is_replied) return luaL_error(L, "this request was answered before");
  e->is_dropped = true;
  host_exchange_resume(e);
  return 0;
}

static const luaL_Reg methods[] = {
  { "method", exchange_method }, { "target", exchange_target }, { "peer", exchange_peer }, { "headers", exchange_headers },
  { "body", exchange_body }, { "body_file", exchange_body_file }, { "reply", exchange_reply }, { "reply_file", exchange_reply_file },
  { "reply_stream", exchange_reply_stream }, { "write", exchange_write }, { "finish", exchange_finish }, { "drop", exchange_drop },
  { "close", exchange_close }, { NULL, NULL }
};

static const luaL_Reg metamethods[] = { { "__gc", exchange_close }, { "__close", exchange_close }, { NULL, NULL } };

void host_exchange_types (lua_State *L) {
  luaL_newmetatable(L, EXCHANGE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
