/*
** process.c: child processes. Own fork and exec rather than uv_spawn, because
** a child must die with its runner, also when that is killed: PR_SET_PDEATHSIG
** has to be set in the child, after it became its user.
**
** Handle: running -> exited. spawn raises for wrong arguments and returns
** `nil, err` when the program cannot be started. close() kills a child that is
** still running and reaps it.
*/
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESS "hkrun.process"
#define REAPER "hkrun.process.reaper"

typedef struct Process {
  pid_t pid;                            /* 0 when reaped or never started */
  int status;
  int exited;
  int terminal;                         /* it has the terminal, while it runs */
  int fds[3];                           /* our ends of the pipes, or -1 */
  lua_Integer id;
  uv_loop_t *loop;
  struct Process *next;                 /* in the reaper's list */
} Process;

typedef struct Reaper {                 /* one SIGCHLD handler for all */
  uv_signal_t signal;
  Process *first;
} Reaper;

static Reaper *volatile the_reaper;

static Process *check (lua_State *L) { return luaL_checkudata(L, 1, PROCESS); }

/* The terminal for a process group; one without it would be stopped for asking. */
static void give_terminal (pid_t group) {
  void (*before)(int) = signal(SIGTTOU, SIG_IGN);
  (void)tcsetpgrp(0, group);
  signal(SIGTTOU, before);
}

static void reap (Process *p) {
  int status;
  if (p->pid == 0 || waitpid(p->pid, &status, WNOHANG) != p->pid) return;
  p->pid = 0;
  p->status = status;
  p->exited = 1;
  if (p->terminal) give_terminal(getpgrp());
  host_ready_loop(p->loop, p->id);
}

void host_kill_children (void) {
  for (const Process *p = the_reaper != NULL ? the_reaper->first : NULL; p != NULL; p = p->next)
    if (p->pid > 0) kill(-p->pid, SIGKILL);
}

static void on_child (uv_signal_t *h, int number) {
  (void)number;
  for (Process *p = ((Reaper *)h->data)->first; p != NULL; p = p->next)
    reap(p);
}

static Reaper *reaper (lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, REAPER);
  Reaper *r = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (r != NULL) return r;
  uv_loop_t *loop = host_loop(L);       /* made first, so closed last */
  r = lua_newuserdatauv(L, sizeof *r, 0);
  memset(r, 0, sizeof *r);
  uv_signal_init(loop, &r->signal);
  r->signal.data = r;
  uv_signal_start(&r->signal, on_child, SIGCHLD);
  uv_unref((uv_handle_t *)&r->signal);
  lua_setfield(L, LUA_REGISTRYINDEX, REAPER);
  the_reaper = r;
  return r;
}

static void close_fd (Process *p, int which) {
  if (p->fds[which] >= 0) close(p->fds[which]);
  p->fds[which] = -1;
}

/* --- starting ------------------------------------------------------------ */

typedef struct Identity { uid_t uid; gid_t gid; gid_t groups[64]; int count; } Identity;

/* Looks the user up before the fork: what follows it must be async-safe. */
static int identity_of (const char *name, Identity *who) {
  struct passwd *pw = getpwnam(name);
  if (pw == NULL) return -1;
  who->uid = pw->pw_uid;
  who->gid = pw->pw_gid;
  who->count = 64;
  getgrouplist(name, pw->pw_gid, who->groups, &who->count);
  return 0;
}

/* In the child. Reports a failure through `report` and leaves. */
static void become (char **argv, char **env, const char *cwd,
                    const Identity *who, const int fds[3], int terminal,
                    pid_t parent, int report) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setpgid(0, 0);
  if (terminal) give_terminal(getpid());
  int ok = 1;
  if (who != NULL)
    ok = setgroups((size_t)who->count, who->groups) == 0
         && setgid(who->gid) == 0 && setuid(who->uid) == 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);     /* after setuid, which clears it */
  if (getppid() != parent) _exit(127);  /* the runner died in between */
  for (int i = 0; ok && i < 3; i++) ok = dup2(fds[i], i) >= 0;
  if (ok && cwd != NULL) ok = chdir(cwd) == 0;
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);     /* libcurl's sockets, and the like */
  if (ok) execve(argv[0], argv, env);
  int err = errno;
  _exit(write(report, &err, sizeof err) < 0 ? 126 : 127);
}

/* Strings of the list at `index` as a NULL-ended array, valid while the list
   and the array (pushed on the stack) live. Anyone on the machine can read the
   arguments of a process, so secrets are for its environment only. */
static char **strings (lua_State *L, int index, int secrets) {
  lua_Integer n = luaL_len(L, index);
  char **list = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *list, 0);
  for (lua_Integer i = 0; i < n; i++) {
    lua_rawgeti(L, index, i + 1);
    size_t len;
    const char *s = host_bytes(L, lua_gettop(L), &len);
    if (!secrets && host_is_secret(L, -1))
      luaL_error(L, "word %d of the command is a secret, which all users could"
                 " read; pass it in env or stdin", (int)i + 1);
    luaL_argcheck(L, memchr(s, 0, len) == NULL, index, "holds a zero byte");
    list[i] = (char *)(uintptr_t)s;
    lua_pop(L, 1);                      /* the list keeps it alive */
  }
  list[n] = NULL;
  return list;
}

/* Opens one standard stream: "pipe", "null", "inherit" or a path to append. */
static int open_stream (lua_State *L, int arg, int which, int *child,
                        int *ours) {
  const char *how = luaL_checkstring(L, arg);
  int fds[2];
  *ours = -1;
  if (strcmp(how, "pipe") == 0) {
    if (pipe2(fds, O_CLOEXEC) != 0) return -1;
    *child = fds[which == 0 ? 0 : 1];
    *ours = fds[which == 0 ? 1 : 0];
    fcntl(*ours, F_SETFL, O_NONBLOCK);
  }
  else if (strcmp(how, "inherit") == 0)
    *child = fcntl(which, F_DUPFD_CLOEXEC, 3);
  else if (strcmp(how, "null") == 0)
    *child = open("/dev/null", O_RDWR | O_CLOEXEC);
  else
    *child = open(how, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  return *child < 0 ? -1 : 0;
}

/* spawn(argv, env, cwd|nil, user|nil, stdin, stdout, stderr) -> process
   argv[1] is the program's path; env is a list of NAME=value (secrets too). */
static int process_spawn (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  const char *cwd = luaL_optstring(L, 3, NULL);
  const char *user = luaL_optstring(L, 4, NULL);
  lua_settop(L, 7);
  Reaper *r = reaper(L);
  Process *p = lua_newuserdatauv(L, sizeof *p, 0);
  memset(p, 0, sizeof *p);
  p->fds[0] = p->fds[1] = p->fds[2] = -1;
  luaL_setmetatable(L, PROCESS);
  p->id = host_id_new(L);
  p->loop = host_loop(L);
  char **argv = strings(L, 1, 0), **env = strings(L, 2, 1);
  luaL_argcheck(L, argv[0] != NULL, 1, "no program");
  Identity who;
  if (user != NULL && identity_of(user, &who) != 0)
    return host_fail(L, "not_found", NULL, 0, "no user %s", user);
  p->terminal = strcmp(luaL_checkstring(L, 5), "inherit") == 0 && isatty(0)
                && tcgetpgrp(0) == getpgrp();   /* without it, reading stops it */
  int child[3] = { -1, -1, -1 }, report[2], err = 0;
  for (int i = 0; i < 3 && err == 0; i++)
    if (open_stream(L, 5 + i, i, &child[i], &p->fds[i]) != 0) err = errno;
  if (err == 0 && pipe2(report, O_CLOEXEC) != 0) err = errno;
  if (err == 0) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
      become(argv, env, cwd, user != NULL ? &who : NULL, child, p->terminal,
             parent, report[1]);
    close(report[1]);
    if (pid < 0) err = errno;
    else if (read(report[0], &err, sizeof err) == (ssize_t)sizeof err) {
      waitpid(pid, NULL, 0);
      if (p->terminal) give_terminal(getpgrp());
    }
    else {
      err = 0;
      p->pid = pid;
      p->next = r->first;
      r->first = p;
    }
    close(report[0]);
  }
  for (int i = 0; i < 3; i++)
    if (child[i] >= 0) close(child[i]);
  if (err != 0) {
    for (int i = 0; i < 3; i++) close_fd(p, i);
    return host_fail(L, err == ENOENT ? "not_found" : "io", NULL, 0,
                     "cannot start %s: %s", argv[0], strerror(err));
  }
  lua_pushvalue(L, 8);
  return 1;
}

/* --- the handle ---------------------------------------------------------- */

/* process:read("stdout"|"stderr") -> step: bytes, or "" at the end */
static int process_read (lua_State *L) {
  static const char *const names[] = { "stdin", "stdout", "stderr", NULL };
  Process *p = check(L);
  int which = luaL_checkoption(L, 2, "stdout", names);
  if (p->fds[which] < 0)
    return host_fail(L, "closed", NULL, 0, "the child's %s is not a pipe or is closed", names[which]);
  char buffer[65536];
  ssize_t n = read(p->fds[which], buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return host_wait(L, "read");
  if (n < 0)
    return host_fail(L, "io", NULL, 0, "cannot read from the child: %s", strerror(errno));
  if (n == 0) close_fd(p, which);
  lua_pushboolean(L, 1);
  lua_pushlstring(L, buffer, (size_t)n);
  return 2;
}

/* process:write(bytes|secret, offset) -> step: the offset reached */
static int process_write (lua_State *L) {
  Process *p = check(L);
  size_t len;
  const char *s = host_bytes(L, 2, &len);
  size_t offset = (size_t)luaL_optinteger(L, 3, 0);
  if (p->fds[0] < 0)
    return host_fail(L, "closed", NULL, 0, "the child's stdin is not a pipe or is closed");
  luaL_argcheck(L, offset <= len, 3, "beyond the end");
  ssize_t n = write(p->fds[0], s + offset, len - offset);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return host_wait(L, "write");
  if (n < 0)
    return host_fail(L, "io", NULL, 0, "cannot write to the child: %s", strerror(errno));
  lua_pushboolean(L, 1);
  lua_pushinteger(L, (lua_Integer)(offset + (size_t)n));
  return 2;
}

/* process:close_stdin() */
static int process_close_stdin (lua_State *L) {
  close_fd(check(L), 0);
  return 0;
}

/* process:fd("stdin"|"stdout"|"stderr") -> descriptor | nil */
static int process_fd (lua_State *L) {
  static const char *const names[] = { "stdin", "stdout", "stderr", NULL };
  Process *p = check(L);
  int fd = p->fds[luaL_checkoption(L, 2, "stdout", names)];
  if (fd < 0) return 0;
  lua_pushinteger(L, fd);
  return 1;
}

/* process:kill("TERM"|"KILL"|...): to its whole group; gone is no error */
static int process_kill (lua_State *L) {
  static const char *const names[] = { "TERM", "KILL", "INT", "HUP", "QUIT",
                                       "USR1", "STOP", "CONT", NULL };
  static const int numbers[] = { SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT,
                                 SIGUSR1, SIGSTOP, SIGCONT };
  Process *p = check(L);
  int number = numbers[luaL_checkoption(L, 2, "TERM", names)];
  if (p->pid != 0) kill(-p->pid, number);
  return 0;
}

/* process:status() -> code | nil while running; a signal n is 128 + n */
static int process_status (lua_State *L) {
  Process *p = check(L);
  reap(p);
  if (!p->exited) return 0;
  lua_pushinteger(L, WIFEXITED(p->status) ? WEXITSTATUS(p->status)
                                          : 128 + WTERMSIG(p->status));
  return 1;
}

static int process_pid (lua_State *L) {
  lua_pushinteger(L, check(L)->pid);
  return 1;
}

static int process_id (lua_State *L) {
  lua_pushinteger(L, check(L)->id);
  return 1;
}

static int process_close (lua_State *L) {
  Process *p = check(L);
  for (int i = 0; i < 3; i++) close_fd(p, i);
  if (p->pid != 0) {
    kill(-p->pid, SIGKILL);
    kill(p->pid, SIGKILL);              /* it may have left its group */
    waitpid(p->pid, &p->status, 0);
    p->pid = 0;
    p->exited = 1;
    if (p->terminal) give_terminal(getpgrp());
  }
  lua_getfield(L, LUA_REGISTRYINDEX, REAPER);
  Reaper *r = lua_touserdata(L, -1);
  for (Process **q = r != NULL ? &r->first : NULL; q != NULL && *q != NULL;
       q = &(*q)->next)
    if (*q == p) {
      *q = p->next;
      break;
    }
  return 0;
}

/* self() -> the pid of hkrun */
static int process_self (lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

/* environment() -> the names of hkrun's own environment variables */
static int process_environment (lua_State *L) {
  lua_newtable(L);
  for (int i = 0; environ != NULL && environ[i] != NULL; i++) {
    lua_pushlstring(L, environ[i], strcspn(environ[i], "="));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* setenv(name: string, value: string|secret|nil): nil takes it away */
static int process_setenv (lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (lua_isnoneornil(L, 2)) {
    unsetenv(name);
    return 0;
  }
  size_t len;
  const char *bytes = host_bytes(L, 2, &len);
  char *value = malloc(len + 1);                /* no call raises until free */
  if (value == NULL) return luaL_error(L, "not enough memory");
  memcpy(value, bytes, len);
  value[len] = '\0';
  setenv(name, value, 1);
  explicit_bzero(value, len);
  free(value);
  return 0;
}

int luaopen_host_process (lua_State *L) {
  static const luaL_Reg functions[] = { { "spawn", process_spawn },
                                        { "self", process_self },
                                        { "environment", process_environment },
                                        { "setenv", process_setenv },
                                        { NULL, NULL } };
  static const luaL_Reg methods[] = {
    { "read", process_read }, { "write", process_write },
    { "close_stdin", process_close_stdin }, { "fd", process_fd },
    { "kill", process_kill }, { "status", process_status },
    { "pid", process_pid }, { "id", process_id }, { "close", process_close },
    { NULL, NULL }
  };
  static const luaL_Reg meta[] = {
    { "__gc", process_close }, { "__close", process_close }, { NULL, NULL }
  };
  luaL_newmetatable(L, PROCESS);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
