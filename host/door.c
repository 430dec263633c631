/*
** door.c: a way into a tunnel for libraries that make their connections themselves (libpq), without a TCP port that
** listens. A door is an address of 240.0.0.0/4, which no network has (RFC 1112, section 4), and leads to a listening socket
** of the family AF_UNIX. Of this process only: connect() is ours, for every library in it, and puts a connection to that
** socket in the place of the one that was to go to a door. What the library has set on its socket for TCP is lost with it.
** Any thread may come through; doors are opened and closed by the loop's.
*/
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define DOORS 1024
#define FIRST 0xf0000000u                            /* 240.0.0.0 */

static struct { struct sockaddr_un at; socklen_t length; } doors[DOORS];   /* length 0: a free place */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* a listening socket without a name in any file system; -1 and errno */
int host_door_listen (void) {
  struct sockaddr_un at = { .sun_family = AF_UNIX };
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (bind(fd, (struct sockaddr *)&at, sizeof at.sun_family) == 0 && listen(fd, 128) == 0) return fd;   /* the kernel finds a name */
  int e = errno;
  close(fd);
  errno = e;
  return -1;
}

/* is it this user, or root, who came in? */
int host_door_is_ours (int fd) {
  struct ucred peer;
  socklen_t n = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

/* the number of a new door to the socket, 1 to DOORS - 1; 0 when there is none left */
int host_door_open (int listener) {
  int i = 1;
  pthread_mutex_lock(&lock);
  while (i < DOORS && doors[i].length != 0) i++;
  if (i < DOORS) {
    doors[i].length = sizeof doors[i].at;
    if (getsockname(listener, (struct sockaddr *)&doors[i].at, &doors[i].length) != 0) doors[i].length = 0;
  }
  pthread_mutex_unlock(&lock);
  return i < DOORS ? i : 0;
}

void host_door_close (int door) {
  if (door <= 0) return;
  pthread_mutex_lock(&lock);
  doors[door].length = 0;
  pthread_mutex_unlock(&lock);
}

/* where the door at an address leads to; 0 for any other address */
static socklen_t behind (const struct sockaddr *address, socklen_t length, struct sockaddr_un *at) {
  struct sockaddr_in in;
  socklen_t n = 0;
  if (length < sizeof in || address->sa_family != AF_INET) return 0;
  memcpy(&in, address, sizeof in);
  uint32_t door = ntohl(in.sin_addr.s_addr) - FIRST;
  if (door == 0 || door >= DOORS) return 0;
  pthread_mutex_lock(&lock);
  n = doors[door].length;
  *at = doors[door].at;
  pthread_mutex_unlock(&lock);
  return n;
}

/* fd becomes a connection to the socket, with the flags that it had */
static int pass (int fd, const struct sockaddr_un *at, socklen_t length) {
  int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD), e;
  int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (s < 0) return -1;
  if (syscall(SYS_connect, s, at, length) == 0 && fcntl(s, F_SETFL, status) == 0
      && dup3(s, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) == fd) {
    close(s);
    return 0;
  }
  e = errno == EAGAIN ? ECONNREFUSED : errno;        /* more wait already than the socket holds */
  close(s);
  errno = e;
  return -1;
}

int connect (int fd, __CONST_SOCKADDR_ARG address, socklen_t length) {
  struct sockaddr_un at;
  socklen_t n = behind(address.__sockaddr__, length, &at);
  return n != 0 ? pass(fd, &at, n) : (int)syscall(SYS_connect, fd, address.__sockaddr__, length);
}
