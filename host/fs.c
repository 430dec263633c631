/*
** fs.c: the file system calls that Lua's io library lacks.
** Failures return `nil, err` (kind "io" or "not_found") and name the path.
*/
#include "codec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed (lua_State *L, const char *what, const char *path) {
  int err = errno;
  return host_fail(L, err == ENOENT ? "not_found" : "io", uv_err_name(-err), 0,
                   "cannot %s %s: %s", what, path, strerror(err));
}

static int succeeded (lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static int write_all (int fd, const char *s, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, s, len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    s += n;
    len -= (size_t)n;
  }
  return 0;
}

/* read(path) -> bytes | nil, err */
static int fs_read (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed(L, "read", path);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  ssize_t n;
  while ((n = read(fd, luaL_prepbuffer(&b), LUAL_BUFFERSIZE)) > 0)
    luaL_addsize(&b, (size_t)n);
  int err = errno;
  close(fd);
  luaL_pushresult(&b);
  if (n == 0) return 1;
  errno = err;
  return failed(L, "read", path);
}

/* write(path, bytes|secret, mode: integer, append: boolean, sync: boolean)
   -> true | nil, err; creates the file with `mode` */
static int fs_write (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  size_t len;
  const char *s = host_bytes(L, 2, &len);
  mode_t mode = (mode_t)luaL_optinteger(L, 3, 0644);
  int flags = lua_toboolean(L, 4) ? O_APPEND : O_TRUNC;
  int sync = lua_toboolean(L, 5);
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode);
  if (fd < 0) return failed(L, "write", path);
  int bad = write_all(fd, s, len) != 0 || (sync && fsync(fd) != 0);
  int err = errno;
  if (close(fd) != 0 && !bad) {
    bad = 1;
    err = errno;
  }
  errno = err;
  return bad ? failed(L, "write", path) : succeeded(L);
}

/* print(bytes|secret) -> true | nil, err: to standard output, after what was printed before */
static int fs_print (lua_State *L) {
  size_t len;
  const char *s = host_bytes(L, 1, &len);
  fflush(stdout);
  return write_all(STDOUT_FILENO, s, len) == 0 ? succeeded(L) : failed(L, "write", "standard output");
}

/* rename(from, to) -> true | nil, err; durable: the folder is synced too */
static int fs_rename (lua_State *L) {
  const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
  if (rename(from, to) != 0) return failed(L, "rename", from);
  const char *slash = strrchr(to, '/');
  lua_pushlstring(L, slash ? to : ".", slash ? (size_t)(slash - to) + 1 : 1);
  int fd = open(lua_tostring(L, -1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
  return succeeded(L);
}

static int fs_mkdir (lua_State *L) {            /* mkdir(path, mode) */
  const char *path = luaL_checkstring(L, 1);
  mode_t mode = (mode_t)luaL_optinteger(L, 2, 0755);
  if (mkdir(path, mode) != 0 && errno != EEXIST)
    return failed(L, "create the folder", path);
  return succeeded(L);
}

static int fs_mkdtemp (lua_State *L) {          /* mkdtemp(prefix) -> path */
  const char *prefix = luaL_checkstring(L, 1);
  char path[4096];
  if (snprintf(path, sizeof path, "%sXXXXXX", prefix) >= (int)sizeof path) {
    errno = ENAMETOOLONG;
    return failed(L, "create a folder", prefix);
  }
  if (mkdtemp(path) == NULL) return failed(L, "create the folder", path);
  lua_pushstring(L, path);
  return 1;
}

static int fs_remove (lua_State *L) {           /* remove(path): file or empty folder */
  const char *path = luaL_checkstring(L, 1);
  if (remove(path) != 0 && errno != ENOENT) return failed(L, "remove", path);
  return succeeded(L);
}

/* list(dir) -> { names } without . and .., sorted by the caller */
static int fs_list (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  DIR *dir = opendir(path);
  if (dir == NULL) return failed(L, "list", path);
  lua_Integer n = 0;
  lua_newtable(L);
  struct dirent *e;
  while ((e = readdir(dir)) != NULL) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    lua_pushstring(L, e->d_name);
    lua_rawseti(L, -2, ++n);
  }
  closedir(dir);
  return 1;
}

/* stat(path) -> { type=, size=, mode=, mtime=, uid= } | nil, err; links are not followed */
static int fs_stat (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat st;
  if (lstat(path, &st) != 0) return failed(L, "look at", path);
  lua_createtable(L, 0, 5);
  lua_pushstring(L, S_ISDIR(st.st_mode) ? "dir" : S_ISREG(st.st_mode) ? "file"
                    : S_ISLNK(st.st_mode) ? "link" : "other");
  lua_setfield(L, -2, "type");
  lua_pushinteger(L, st.st_size);
  lua_setfield(L, -2, "size");
  lua_pushinteger(L, st.st_mode & 07777);
  lua_setfield(L, -2, "mode");
  lua_pushnumber(L, (lua_Number)st.st_mtim.tv_sec + (lua_Number)st.st_mtim.tv_nsec / 1e9);
  lua_setfield(L, -2, "mtime");
  lua_pushinteger(L, st.st_uid);
  lua_setfield(L, -2, "uid");
  return 1;
}

static int fs_chmod (lua_State *L) {            /* chmod(path, mode) */
  const char *path = luaL_checkstring(L, 1);
  if (chmod(path, (mode_t)luaL_checkinteger(L, 2)) != 0)
    return failed(L, "change the mode of", path);
  return succeeded(L);
}

static int fs_chown (lua_State *L) {            /* chown(path, user name) */
  const char *path = luaL_checkstring(L, 1), *user = luaL_checkstring(L, 2);
  struct passwd *pw = getpwnam(user);
  if (pw == NULL) return host_fail(L, "not_found", NULL, 0, "no user %s", user);
  if (lchown(path, pw->pw_uid, pw->pw_gid) != 0)
    return failed(L, "change the owner of", path);
  return succeeded(L);
}

static int fs_symlink (lua_State *L) {          /* symlink(target, path) */
  const char *path = luaL_checkstring(L, 2);
  if (symlink(luaL_checkstring(L, 1), path) != 0)
    return failed(L, "create the link", path);
  return succeeded(L);
}

static int fs_cwd (lua_State *L) {              /* cwd() -> path */
  char path[4096];
  if (getcwd(path, sizeof path) == NULL) return failed(L, "find", "the working folder");
  lua_pushstring(L, path);
  return 1;
}

static int fs_realpath (lua_State *L) {         /* realpath(path) -> path */
  const char *path = luaL_checkstring(L, 1);
  char *real = realpath(path, NULL);
  if (real == NULL) return failed(L, "find", path);
  lua_pushstring(L, real);
  free(real);
  return 1;
}

/* lock(path) -> descriptor | false if another process holds it | nil, err.
   Let go by unlock(descriptor) or by the end of the process. */
static int fs_lock (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return failed(L, "lock", path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    int err = errno;
    close(fd);
    errno = err;
    if (err != EWOULDBLOCK) return failed(L, "lock", path);
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_pushinteger(L, fd);
  return 1;
}

static int fs_unlock (lua_State *L) {           /* unlock(descriptor) */
  close((int)luaL_checkinteger(L, 1));
  return 0;
}

/* ---- a file reaches the disk, on a worker thread ---- */

typedef struct Sync {
  char *path;
  int failure;                                  /* errno */
} Sync;

static void sync_run (HostJob *job, void *context) {
  Sync *s = context;
  (void)job;
  int fd = open(s->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fsync(fd) != 0) s->failure = errno;
  if (fd >= 0) close(fd);
}

static int sync_result (lua_State *L, void *context) {
  Sync *s = context;
  errno = s->failure;
  return s->failure != 0 ? failed(L, "write", s->path) : succeeded(L);
}

static void sync_release (void *context) { free(((Sync *)context)->path); }

static int fs_sync (lua_State *L) {             /* sync(path) -> job: true | nil, err */
  static const HostJobKind kind = { sizeof(Sync), sync_run, sync_result, sync_release };
  const char *path = luaL_checkstring(L, 1);
  HostJob *job = host_job_new(L, &kind);
  Sync *s = host_job_context(job);
  if ((s->path = strdup(path)) == NULL) return luaL_error(L, "out of memory");
  return host_job_start(L, job);
}

static int fs_uid (lua_State *L) {              /* uid() -> user id, name */
  struct passwd *pw = getpwuid(geteuid());
  lua_pushinteger(L, geteuid());
  lua_pushstring(L, pw != NULL ? pw->pw_name : NULL);
  return 2;
}

static int fs_has_user (lua_State *L) {         /* has_user(name) -> boolean */
  lua_pushboolean(L, getpwnam(luaL_checkstring(L, 1)) != NULL);
  return 1;
}

/* Connects to the port that listener has and ends that at the listener's side, where the port then rests for a minute: the kernel
   gives it to nobody who asks for any port, while a server that asks for this one gets it, as after a restart (SO_REUSEADDR). */
static void rest (int listener, const struct sockaddr *address, socklen_t len) {
  const struct timeval most = { .tv_sec = 1 };
  int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer = -1;
  if (client >= 0 && listen(listener, 1) == 0 && setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) == 0
      && setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) == 0 && connect(client, address, len) == 0)
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (peer >= 0) close(peer);
  if (client >= 0) close(client);
}

/* free_port(address, plain) -> a TCP port that nobody listens on there */
static int fs_free_port (lua_State *L) {
  struct sockaddr_in a;
  socklen_t len = sizeof a;
  const int yes = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int ok = fd >= 0 && uv_ip4_addr(luaL_optstring(L, 1, "127.0.0.1"), 0, &a) == 0
           && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0
           && bind(fd, (struct sockaddr *)&a, sizeof a) == 0
           && getsockname(fd, (struct sockaddr *)&a, &len) == 0;
  if (ok && !lua_toboolean(L, 2)) rest(fd, (struct sockaddr *)&a, len);
  if (fd >= 0) close(fd);
  if (!ok) return failed(L, "find a free port on", luaL_optstring(L, 1, "127.0.0.1"));
  lua_pushinteger(L, ntohs(a.sin_port));
  return 1;
}

int luaopen_host_fs (lua_State *L) {
  static const luaL_Reg functions[] = {
    { "read", fs_read }, { "write", fs_write }, { "print", fs_print }, { "rename", fs_rename },
    { "mkdir", fs_mkdir }, { "mkdtemp", fs_mkdtemp }, { "remove", fs_remove },
    { "list", fs_list }, { "stat", fs_stat }, { "chmod", fs_chmod },
    { "chown", fs_chown }, { "symlink", fs_symlink }, { "cwd", fs_cwd },
    { "realpath", fs_realpath }, { "sync", fs_sync }, { "lock", fs_lock }, { "unlock", fs_unlock },
    { "uid", fs_uid }, { "has_user", fs_has_user }, { "free_port", fs_free_port },
    { NULL, NULL }
  };
  luaL_newlib(L, functions);
  return 1;
}
