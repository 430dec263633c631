/*
** locked.c: where secrets lie. Slots in pages that are never swapped and that no core dump has, as far as the system
** allows it. At the start of the process: no cores of it or of its children at all, and the environment, in which
** credentials are given to us, moves into such pages.
*/
#include "host.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- four sizes of slots in chunks; what is larger gets pages of its own --- */

enum { CHUNK = 65536, CLASSES = 4 };
static const size_t SLOT[CLASSES] = { 64, 256, 1024, 4096 };
typedef union Slot { union Slot *next; char byte; } Slot;
static Slot *free_slots[CLASSES];

static char *pages_new (size_t size) {
  char *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return NULL;
  (void)mlock(pages, size);             /* both as far as the system's limits go */
  (void)madvise(pages, size, MADV_DONTDUMP);
  return pages;
}

static size_t whole_pages (size_t size) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return (size + page - 1) / page * page;
}

static int class_of (size_t size) {
  int class = 0;
  while (class < CLASSES && size > SLOT[class]) class++;
  return class;
}

char *host_locked_take (size_t size) {
  int class = class_of(size);
  if (class == CLASSES) return pages_new(whole_pages(size));
  if (free_slots[class] == NULL) {
    char *chunk = pages_new(CHUNK);
    if (chunk == NULL) return NULL;
    for (size_t at = 0; at < CHUNK; at += SLOT[class]) {
      Slot *slot = (Slot *)(void *)(chunk + at);
      slot->next = free_slots[class];
      free_slots[class] = slot;
    }
  }
  Slot *slot = free_slots[class];
  free_slots[class] = slot->next;
  return &slot->byte;
}

void host_locked_give (char *bytes, size_t size) {
  int class = class_of(size);
  explicit_bzero(bytes, size);
  if (class == CLASSES) {
    munmap(bytes, whole_pages(size));
    return;
  }
  Slot *slot = (Slot *)(void *)bytes;
  slot->next = free_slots[class];
  free_slots[class] = slot;
}

/* --- the process ----------------------------------------------------------- */

/* Copies the variables into locked pages and wipes where they were: what reads /proc/PID/environ finds nothing. */
static void move_environment (void) {
  size_t size = 0;
  for (char **name = environ; *name != NULL; name++) size += strlen(*name) + 1;
  char *to = size > 0 ? pages_new(whole_pages(size)) : NULL;
  if (to == NULL) return;
  for (char **name = environ; *name != NULL; name++) {
    size_t length = strlen(*name) + 1;
    memcpy(to, *name, length);
    explicit_bzero(*name, length);
    *name = to;
    to += length;
  }
}

/* Libraries keep copies of what they are given, so a core must not hold any of our memory. The filter is for who asks for
   a core from outside (gdb's gcore); children keep it and the limit. It comes first: who is not dumpable is not let in. */
void host_locked_start (void) {
  int filter = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
  if (filter >= 0) {
    ssize_t n = write(filter, "0", 1);
    (void)n;
    close(filter);
  }
  struct rlimit none = { 0, 0 };
  setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__            /* whose leak check traces us */
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
  move_environment();
}
