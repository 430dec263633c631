/*
** lazy.c: libraries that are loaded when the first module that needs them is.
** tools/lazy.sh makes a jump through a slot of each function that we call;
** host_need fills a library's slots; each luaopen that calls a library begins
** with it. A library that is missing raises.
*/
#include "host.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Library {
  const char *name, *soname;            /* "curl", "libcurl.so.4" */
  const char *const *symbols;
  void **slots;
  size_t count;
} Library;

extern const Library host_libraries[];  /* the last one has no name */

void host_not_loaded (void);

/* What a slot holds at first: a luaopen forgot host_need. */
void host_not_loaded (void) {
  fputs("hkrun: a library was called before it was loaded\n", stderr);
  abort();
}

void host_need (lua_State *L, const char *name) {
  const Library *lib = host_libraries;
  while (lib->name != NULL && strcmp(lib->name, name) != 0) lib++;
  if (lib->name == NULL) luaL_error(L, "%s is not a library of ours", name);
  if (lib->count == 0) return;
  union { void (*function)(void); void *address; } none = { host_not_loaded };
  if (lib->slots[lib->count - 1] != none.address) return;
  void *handle = dlopen(lib->soname, RTLD_NOW | RTLD_GLOBAL);
  if (handle == NULL) luaL_error(L, "%s cannot be loaded: %s", name, dlerror());
  for (size_t i = 0; i < lib->count; i++) {
    void *address = dlsym(handle, lib->symbols[i]);
    if (address == NULL)
      luaL_error(L, "%s has no %s", lib->soname, lib->symbols[i]);
    lib->slots[i] = address;
  }
}
