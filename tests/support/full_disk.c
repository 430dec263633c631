/*
** full_disk.c: a library for LD_PRELOAD that gives a program a disk of a size. HKRUN_DISK names a file with eight bytes: how
** many bytes are left, a number of this machine. What makes a file longer takes from them; where they do not suffice the
** call fails with ENOSPC. Whoever writes another number there has changed the disk. What is deleted gives nothing back.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic long long *left;

__attribute__((constructor)) static void begin (void) {
  const char *path = getenv("HKRUN_DISK");
  int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
  void *map = fd >= 0 ? mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (map != MAP_FAILED) left = map;
  if (fd >= 0) close(fd);
}

/* 1 = a file may become so long */
static int may_grow (int fd, off_t end) {
  struct stat st;
  long long more;
  if (left == NULL || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || end <= st.st_size) return 1;
  more = end - st.st_size;
  if (atomic_fetch_sub(left, more) >= more) return 1;
  atomic_fetch_add(left, more);
  errno = ENOSPC;
  return 0;
}

static size_t total (const struct iovec *v, int n) {
  size_t sum = 0;
  while (n-- > 0) sum += v[n].iov_len;
  return sum;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite (int fd, const void *buf, size_t n, off_t at) {
  return may_grow(fd, at + (off_t)n) ? REAL(pwrite)(fd, buf, n, at) : -1;
}

ssize_t pwrite64 (int fd, const void *buf, size_t n, off64_t at) {
  return may_grow(fd, at + (off_t)n) ? REAL(pwrite64)(fd, buf, n, at) : -1;
}

ssize_t pwritev (int fd, const struct iovec *v, int n, off_t at) {
  return may_grow(fd, at + (off_t)total(v, n)) ? REAL(pwritev)(fd, v, n, at) : -1;
}

ssize_t pwritev64 (int fd, const struct iovec *v, int n, off64_t at) {
  return may_grow(fd, at + (off_t)total(v, n)) ? REAL(pwritev64)(fd, v, n, at) : -1;
}

int posix_fallocate (int fd, off_t at, off_t n) {
  return may_grow(fd, at + n) ? REAL(posix_fallocate)(fd, at, n) : ENOSPC;
}

int posix_fallocate64 (int fd, off64_t at, off64_t n) {
  return may_grow(fd, at + n) ? REAL(posix_fallocate64)(fd, at, n) : ENOSPC;
}
