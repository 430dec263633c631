/* What the codecs share; see codec.h. Nothing here is a module of its own. */
#include "codec.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define BUF "hkrun.buffer"
#define JOB "hkrun.job"
#define NIL "hkrun.null"

/* ---- buffer ---- */

static void buf_free (HostBuf *b) {
  char *bytes = b->bytes;
  size_t room = b->room;
  b->bytes = NULL;
  b->length = b->room = 0;
  if (bytes != NULL && b->secret) explicit_bzero(bytes, room);
  free(bytes);
}

static int buf_close (lua_State *L) {               /* __gc and __close; safe twice */
  buf_free(luaL_checkudata(L, 1, BUF));
  return 0;
}

HostBuf *host_buf_new (lua_State *L) {
  HostBuf *b = lua_newuserdatauv(L, sizeof *b, 0);
  memset(b, 0, sizeof *b);
  if (luaL_newmetatable(L, BUF)) {
    static const luaL_Reg meta[] = {{"__gc", buf_close}, {"__close", buf_close}, {NULL, NULL}};
    luaL_setfuncs(L, meta, 0);
  }
  lua_setmetatable(L, -2);
  return b;
}

static void buf_grow (lua_State *L, HostBuf *b, size_t more) {
  if (more > SIZE_MAX / 4 || b->length > SIZE_MAX / 4) luaL_error(L, "out of memory");
  size_t room = b->room < 128 ? 128 : b->room;
  while (room - b->length < more) room *= 2;
  char *bytes = malloc(room);                       /* not realloc: the old bytes must be wiped */
  if (bytes == NULL) luaL_error(L, "out of memory");
  if (b->length > 0) memcpy(bytes, b->bytes, b->length);
  if (b->bytes != NULL && b->secret) explicit_bzero(b->bytes, b->room);
  free(b->bytes);
  b->bytes = bytes;
  b->room = room;
}

void host_buf_add (lua_State *L, HostBuf *b, const char *bytes, size_t length) {
  if (length == 0) return;
  if (b->room - b->length < length) buf_grow(L, b, length);
  memcpy(b->bytes + b->length, bytes, length);
  b->length += length;
}

void host_buf_text (lua_State *L, HostBuf *b, const char *text) {
  host_buf_add(L, b, text, strlen(text));
}

void host_buf_char (lua_State *L, HostBuf *b, char c) {
  if (b->room == b->length) buf_grow(L, b, 1);
  b->bytes[b->length++] = c;
}

void host_buf_clear (HostBuf *b) {
  if (b->secret && b->length > 0) explicit_bzero(b->bytes, b->length);
  b->length = 0;
}

void host_buf_push (lua_State *L, HostBuf *b) {
  const char *bytes = b->length > 0 ? b->bytes : "";
  if (b->secret) host_push_secret(L, bytes, b->length);
  else lua_pushlstring(L, bytes, b->length);
  buf_free(b);
}

/* ---- memory of libraries that read secrets ---- */

void host_wipe_free (void *memory) {
  if (memory == NULL) return;
  explicit_bzero(memory, malloc_usable_size(memory));
  free(memory);
}

void *host_wipe_realloc (void *memory, size_t size) {
  void *bigger = malloc(size);
  if (bigger == NULL || memory == NULL) return bigger;
  size_t old = malloc_usable_size(memory);
  memcpy(bigger, memory, old < size ? old : size);
  host_wipe_free(memory);
  return bigger;
}

/* ---- null, unknowns, the shape of tables ---- */

static int null_tostring (lua_State *L) {
  lua_pushliteral(L, "null");
  return 1;
}

void host_push_null (lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, NIL ".value") != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_newuserdatauv(L, 0, 0);
  if (luaL_newmetatable(L, NIL)) {
    lua_pushcfunction(L, null_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "null");
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, NIL ".value");
}

int host_is_null (lua_State *L, int index) {
  return luaL_testudata(L, index, NIL) != NULL;
}

/* weak, so a list lives no longer than its map */
void host_orders (lua_State *L) {
  if (!luaL_getsubtable(L, LUA_REGISTRYINDEX, "hkrun.orders")) {
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
  }
}

int host_is_unknown (lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return 0;
  lua_pushliteral(L, "__hkrun_unknown");
  lua_rawget(L, -2);
  int unknown = lua_toboolean(L, -1);
  lua_pop(L, 2);
  return unknown;
}

int host_table_shape (lua_State *L, int index, size_t *length) {
  index = lua_absindex(L, index);
  int marked = host_is_array(L, index);
  size_t count = 0, integers = 0;
  lua_Integer highest = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    count++;
    if (!lua_isinteger(L, -2)) continue;
    lua_Integer key = lua_tointeger(L, -2);
    if (key < 1) continue;
    integers++;
    if (key > highest) highest = key;
  }
  *length = count;
  if (count == 0) return marked;
  if (integers == count && (size_t)highest == count) return 1;
  return integers == 0 && !marked ? 0 : -1;
}

/* RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF */
int host_utf8_valid (const char *bytes, size_t length) {
  const unsigned char *s = (const unsigned char *)bytes, *end = s + length;
  while (s < end) {
    unsigned c = *s++;
    if (c < 0x80) continue;
    if (c < 0xC2 || c > 0xF4) return 0;
    int more = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    if (end - s < more) return 0;
    if ((c == 0xE0 && s[0] < 0xA0) || (c == 0xED && s[0] > 0x9F) || (c == 0xF0 && s[0] < 0x90) ||
        (c == 0xF4 && s[0] > 0x8F)) return 0;
    for (; more > 0; more--, s++)
      if ((*s & 0xC0) != 0x80) return 0;
  }
  return 1;
}

/* ---- which leaves become secrets ---- */

enum {
  LEAVES_PLAIN,                                     /* none */
  LEAVES_ALL,                                       /* secrets = true */
  LEAVES_SET,                                       /* those below the named members */
  LEAVES_BODY                                       /* the document is itself a secret: all but PLAIN_NAMES */
};

/* Members that a secret document may show: identifiers, dates and states, never a credential. Fixed here, so that a
   script cannot choose a name and read a secret back. */
static const char *const PLAIN_NAMES[] = {
  "ARN", "AccessKeyId", "AccountId", "Arn", "Code", "CreateDate", "CreatedDate", "Expiration", "LastUpdated",
  "Message", "Name", "RequestId", "RoleArn", "Status", "Type", "UserName", "Version", "VersionId", "VersionStages",
  "__type", "accountId", "clientIdIssuedAt", "clientSecretExpiresAt", "created_at", "expiration", "expiresAt",
  "expiresIn", "expires_in", "id", "message", "region", "startUrl", "tokenType", "token_type", "updated_at", NULL
};

void host_leaves (lua_State *L, HostLeaves *leaves, int body, int option) {
  leaves->set = 0;
  if (lua_istable(L, option)) leaves->set = lua_absindex(L, option);
  else if (!lua_isnoneornil(L, option)) luaL_checktype(L, option, LUA_TBOOLEAN);
  if (host_is_secret(L, body)) leaves->mode = LEAVES_BODY;
  else if (leaves->set != 0) leaves->mode = LEAVES_SET;
  else leaves->mode = lua_toboolean(L, option) ? LEAVES_ALL : LEAVES_PLAIN;
}

static int leaf_named (lua_State *L, const HostLeaves *leaves, const char *name) {
  if (leaves->set == 0 || name == NULL) return 0;
  lua_pushstring(L, name);
  lua_rawget(L, leaves->set);
  int named = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return named;
}

int host_leaf_secret (lua_State *L, const HostLeaves *leaves, const char *name) {
  if (leaves->mode == LEAVES_PLAIN) return 0;
  if (leaves->mode == LEAVES_ALL || leaf_named(L, leaves, name)) return 1;
  if (leaves->mode == LEAVES_SET) return 0;
  if (name != NULL)
    for (const char *const *plain = PLAIN_NAMES; *plain != NULL; plain++)
      if (strcmp(*plain, name) == 0) return 0;
  return 1;
}

int host_leaves_careful (const HostLeaves *leaves) {
  return leaves->mode != LEAVES_PLAIN;
}

/* ---- jobs ----
   States: made -> running -> done; closed at any time. The context outlives a handle that is closed while the worker
   still runs: then the worker's end releases it. */

struct HostJob {
  uv_work_t work;
  const HostJobKind *kind;
  lua_State *L;                                     /* the main state, for host_ready */
  lua_Integer id;
  int running, done, closed;
  atomic_int cancelled;
  max_align_t context[];
};

typedef struct Handle { HostJob *job; } Handle;

static void job_release (HostJob *job) {
  job->kind->release(job->context);
  free(job);
}

static int job_close (lua_State *L) {               /* close, __gc and __close; safe twice */
  Handle *h = luaL_checkudata(L, 1, JOB);
  HostJob *job = h->job;
  h->job = NULL;
  if (job == NULL) return 0;
  atomic_store(&job->cancelled, 1);
  job->closed = 1;
  if (job->running) uv_cancel((uv_req_t *)&job->work);
  else job_release(job);
  return 0;
}

static HostJob *job_check (lua_State *L) {
  return ((Handle *)luaL_checkudata(L, 1, JOB))->job;
}

static int job_id (lua_State *L) {                  /* job:id() -> the id to await */
  HostJob *job = job_check(L);
  if (job == NULL) return host_fail(L, "closed", NULL, 0, "the job is closed");
  lua_pushinteger(L, job->id);
  return 1;
}

static int job_result (lua_State *L) {              /* job:result() -> results | nil, err */
  HostJob *job = job_check(L);
  if (job == NULL) return host_fail(L, "closed", NULL, 0, "the job is closed");
  if (!job->done) return host_fail(L, "invalid", NULL, 0, "the job still runs");
  return job->kind->result(L, job->context);
}

HostJob *host_job_new (lua_State *L, const HostJobKind *kind) {
  Handle *h = lua_newuserdatauv(L, sizeof *h, 0);
  h->job = NULL;
  if (luaL_newmetatable(L, JOB)) {
    static const luaL_Reg methods[] = {{"id", job_id}, {"result", job_result}, {"close", job_close}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", job_close}, {"__close", job_close}, {NULL, NULL}};
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_setmetatable(L, -2);
  HostJob *job = calloc(1, sizeof *job + kind->size);
  if (job == NULL) luaL_error(L, "out of memory");
  job->kind = kind;
  atomic_init(&job->cancelled, 0);
  h->job = job;
  return job;
}

void *host_job_context (HostJob *job) { return job->context; }

int host_job_cancelled (HostJob *job) { return atomic_load(&job->cancelled); }

static void job_run (uv_work_t *work) {
  HostJob *job = work->data;
  job->kind->run(job, job->context);
  host_registers_clear();
}

static void job_after (uv_work_t *work, int status) {
  HostJob *job = work->data;
  (void)status;                                     /* cancelled only through close */
  job->running = 0;
  job->done = 1;
  if (job->closed) job_release(job);
  else host_ready(job->L, job->id);
}

int host_job_start (lua_State *L, HostJob *job) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  job->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  job->id = host_id_new(L);
  job->work.data = job;
  host_registers_clear();                           /* the first one starts the threads */
  int code = uv_queue_work(host_loop(L), &job->work, job_run, job_after);
  if (code != 0) return host_fail(L, "io", uv_err_name(code), 0, "cannot start a worker: %s", uv_strerror(code));
  job->running = 1;
  return 1;
}
