/*
** journal.c: a file that is only appended to, and is on disk when append
** returns; optionally locked against other processes.
**
** Lua: open(path) -> handle; handle:append(bytes), :truncate(size),
** :lock(["shared"]), :close(); private(dir); whoami(). The caller's mistakes
** raise; what the system refuses returns `nil, err`. States: open, closed.
*/
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL "hkrun.journal"

typedef struct Journal {
  int fd;
} Journal;

static int failed (lua_State *L, const char *what, int err) {
  return host_fail(L, "io", uv_err_name(-err), 0, "cannot %s: %s", what, strerror(err));
}

static int succeeded (lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static int open_fd (lua_State *L) {
  const Journal *j = luaL_checkudata(L, 1, JOURNAL);
  luaL_argcheck(L, j->fd >= 0, 1, "the file is closed");
  return j->fd;
}

/* A new file is durable only when its folder is. */
static int sync_folder (const char *path) {
  char dir[4096];
  const char *slash = strrchr(path, '/');
  size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
  if (len >= sizeof dir) return ENAMETOOLONG;
  memcpy(dir, slash == NULL ? "." : path, len);
  dir[len] = '\0';
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  int err = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return err;
}

/* open(path: string) -> handle | nil, err; creates the file for its owner only */
static int journal_open (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  Journal *j = lua_newuserdatauv(L, sizeof *j, 0);
  j->fd = -1;
  luaL_setmetatable(L, JOURNAL);
  int made = 1;
  j->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (j->fd < 0 && errno == EEXIST) {
    made = 0;
    j->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  }
  if (j->fd < 0) return failed(L, "open it", errno);
  if (made) {
    int err = sync_folder(path);
    if (err != 0) return failed(L, "sync its folder", err);
  }
  return 1;
}

static int journal_close (lua_State *L) {       /* close, __gc and __close; safe twice */
  Journal *j = luaL_checkudata(L, 1, JOURNAL);
  int fd = j->fd;
  j->fd = -1;
  if (fd >= 0) close(fd);
  return 0;
}

/* append(bytes: string) -> true | nil, err; on disk when it returns */
static int journal_append (lua_State *L) {
  int fd = open_fd(L);
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);
  while (len > 0) {
    ssize_t n = write(fd, s, len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(L, "write to it", errno);
    s += n;
    len -= (size_t)n;
  }
  if (fdatasync(fd) != 0) return failed(L, "sync it", errno);
  return succeeded(L);
}

/* truncate(size: integer) -> true | nil, err */
static int journal_truncate (lua_State *L) {
  int fd = open_fd(L);
  if (ftruncate(fd, (off_t)luaL_checkinteger(L, 2)) != 0)
    return failed(L, "cut it", errno);
  return succeeded(L);
}

/* lock(["shared"]) -> true | false when another process holds it | nil, err */
static int journal_lock (lua_State *L) {
  static const char *const names[] = { "exclusive", "shared", NULL };
  static const int modes[] = { LOCK_EX, LOCK_SH };
  int fd = open_fd(L);
  int mode = modes[luaL_checkoption(L, 2, "exclusive", names)];
  if (flock(fd, mode | LOCK_NB) == 0) return succeeded(L);
  if (errno != EWOULDBLOCK) return failed(L, "lock it", errno);
  lua_pushboolean(L, 0);
  return 1;
}

/* private(dir: string) -> true | nil, err; nobody else may look into it */
static int journal_private (lua_State *L) {
  if (chmod(luaL_checkstring(L, 1), 0700) != 0) return failed(L, "protect it", errno);
  return succeeded(L);
}

/* whoami() -> { pid=, user=, host= } */
static int journal_whoami (lua_State *L) {
  char name[256] = "";
  const struct passwd *pw = getpwuid(geteuid());
  gethostname(name, sizeof name - 1);
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, getpid());
  lua_setfield(L, -2, "pid");
  lua_pushstring(L, pw != NULL ? pw->pw_name : "unknown");
  lua_setfield(L, -2, "user");
  lua_pushstring(L, name);
  lua_setfield(L, -2, "host");
  return 1;
}

int luaopen_host_journal (lua_State *L) {
  static const luaL_Reg methods[] = {
    { "append", journal_append }, { "truncate", journal_truncate },
    { "lock", journal_lock }, { "close", journal_close }, { NULL, NULL }
  };
  static const luaL_Reg meta[] = {
    { "__gc", journal_close }, { "__close", journal_close }, { NULL, NULL }
  };
  static const luaL_Reg functions[] = {
    { "open", journal_open }, { "private", journal_private },
    { "whoami", journal_whoami }, { NULL, NULL }
  };
  luaL_newmetatable(L, JOURNAL);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
