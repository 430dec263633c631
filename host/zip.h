/* What zip.c (Lua), zipwrite.c and zipread.c (libarchive, on worker threads) share. */
#ifndef HKRUN_ZIP_H
#define HKRUN_ZIP_H

#include "codec.h"

typedef struct ZipEntry {
  char *path;                                 /* inside of the archive */
  char *file, *data, *link;                   /* its content: a file's, these bytes, or a link's target */
  size_t size;
  unsigned mode;
  char type;                                  /* 'f' file, 'd' folder, 'l' link */
} ZipEntry;

typedef struct Zip {
  ZipEntry *entries;                          /* to pack; found by list; skipped by unpack */
  size_t count, room;
  char *folder;                               /* packed, or unpacked into */
  char **ignore;
  size_t ignores;
  int tar;                                    /* tar.gz, else zip */
  char *from, *to;                            /* archive files */
  int fd;                                     /* of `to`, while it is written */
  char *bytes;                                /* an archive in memory */
  size_t length;
  char *out;                                  /* what was written to memory */
  size_t out_length, out_room;
  lua_Integer strip, limit, total, files;
  int skip_links;
  const char *kind;                           /* of the failure, or NULL */
  char message[512];
} Zip;

int zip_fail (Zip *z, const char *kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));  /* returns 0 */
ZipEntry *zip_add (Zip *z);                   /* a new empty entry, or NULL after zip_fail */
int zip_out (Zip *z, const void *bytes, size_t length);
int zip_link_escapes (const char *path, const char *target);

void zip_run_pack (HostJob *job, void *context);
void zip_run_deflate (HostJob *job, void *context);
void zip_run_unpack (HostJob *job, void *context);
void zip_run_list (HostJob *job, void *context);
void zip_run_inflate (HostJob *job, void *context);

#endif
