/*
** launch.c: bin/hkrun of the tarball. Starts libexec/hkrun with the libraries beside it, its own C library included, so
** that it runs whatever a Linux has. Linked statically.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where systems keep the certificate authorities that they trust: Debian and Arch, Fedora, SUSE, Alpine; else ours. */
static const char *const ROOTS[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem", NULL };

static char *join (const char *folder, const char *name) {
  char *path;
  if (asprintf(&path, "%s/%s", folder, name) < 0) { perror("hkrun"); exit(1); }
  return path;
}

int main (int argc, char **argv) {
  char self[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n < 0) { fprintf(stderr, "hkrun: /proc is not there: mount it (mount -t proc proc /proc)\n"); return 1; }
  self[n] = '\0';
  setenv("HKRUN_PROGRAM", self, 1);              /* process.program(): what it starts again */
  char *root = strdup(self);
  for (int up = 0; root != NULL && up < 2; up++) {
    char *slash = strrchr(root, '/');
    if (slash != NULL) *slash = '\0';
  }
  if (root == NULL) { perror("hkrun"); return 1; }
  if (getenv("SSL_CERT_FILE") == NULL && getenv("SSL_CERT_DIR") == NULL) {
    const char *const *path = ROOTS;
    while (*path != NULL && access(*path, R_OK) != 0) path++;
    setenv("SSL_CERT_FILE", *path != NULL ? *path : join(root, "share/hkrun/ca-certificates.crt"), 1);
  }
  char **words = calloc((size_t)argc + 6, sizeof *words);
  if (words == NULL) { perror("hkrun"); return 1; }
  char *lib = join(root, "lib");
  int k = 0;
  words[k++] = join(lib, "ld.so");
  words[k++] = (char *)"--argv0";
  words[k++] = argc > 0 ? argv[0] : self;
  words[k++] = (char *)"--library-path";
  words[k++] = lib;
  words[k++] = join(root, "libexec/hkrun");
  for (int i = 1; i < argc; i++) words[k++] = argv[i];
  execv(words[0], words);
  fprintf(stderr, "hkrun: cannot start %s: %s\n", words[0], strerror(errno));
  return 1;
}
