/* Unpacking and listing, on a worker thread. An archive is the work of a stranger: no absolute path, no "..", no link
   that leads out of the folder, no device, no set-user-id, and a limit on what it may grow to. */
#include "zip.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRIES 1000000                             /* more than any real bundle has */

static int read_failed (Zip *z, struct archive *a) {
  const char *why = archive_error_string(a);
  return zip_fail(z, "invalid", "not a readable archive: %s", why != NULL ? why : "libarchive failed");
}

static struct archive *open_source (Zip *z) {
  struct archive *a = archive_read_new();
  if (a == NULL) {
    zip_fail(z, "limit", "out of memory");
    return NULL;
  }
  archive_read_support_filter_gzip(a);
  archive_read_support_format_zip(a);
  archive_read_support_format_tar(a);
  int code = z->from != NULL ? archive_read_open_filename(a, z->from, 65536) : archive_read_open_memory(a, z->bytes, z->length);
  if (code == ARCHIVE_OK) return a;
  if (z->from != NULL && archive_errno(a) == ENOENT) zip_fail(z, "not_found", "%s: no such file", z->from);
  else read_failed(z, a);
  archive_read_free(a);
  return NULL;
}

/* Writes the path below the folder into out, without "." and the first `strip` names.
   1: use it; 0: nothing is left of it; -1: it is not safe. */
static int clean_path (const char *path, lua_Integer strip, char *out, size_t room) {
  size_t used = 0;
  if (*path == '/') return -1;
  while (*path != '\0') {
    size_t n = strcspn(path, "/");
    if (n == 2 && path[0] == '.' && path[1] == '.') return -1;
    if (n > 0 && !(n == 1 && *path == '.') && strip-- <= 0) {
      if (used + n + 2 > room) return -1;
      if (used > 0) out[used++] = '/';
      memcpy(out + used, path, n);
      used += n;
    }
    path += n;
    while (*path == '/') path++;
  }
  out[used] = '\0';
  return used > 0;
}

static const char *entry_path (struct archive_entry *entry) {
  const char *path = archive_entry_pathname(entry);
  return path != NULL ? path : archive_entry_pathname_utf8(entry);
}

static ZipEntry *note (Zip *z, struct archive_entry *entry, const char *path) {
  ZipEntry *e = zip_add(z);
  const char *link = archive_entry_symlink(entry);
  if (link == NULL) link = archive_entry_hardlink(entry);
  if (e == NULL) return NULL;
  unsigned kind = archive_entry_filetype(entry);
  e->type = link != NULL ? 'l' : kind == AE_IFDIR ? 'd' : kind == AE_IFREG ? 'f' : 'o';
  e->size = archive_entry_size(entry) > 0 ? (size_t)archive_entry_size(entry) : 0;
  e->mode = archive_entry_perm(entry) & 07777;
  e->path = strdup(path);
  if (link != NULL) e->link = strdup(link);
  if (e->path == NULL || (link != NULL && e->link == NULL)) zip_fail(z, "limit", "out of memory");
  return e;
}

static int copy_data (HostJob *job, Zip *z, struct archive *a, struct archive *disk) {
  const void *block;
  size_t n;
  la_int64_t offset;
  for (;;) {
    int code = archive_read_data_block(a, &block, &n, &offset);
    if (code == ARCHIVE_EOF) return 1;
    if (code != ARCHIVE_OK) return read_failed(z, a);
    if (host_job_cancelled(job)) return zip_fail(z, "cancelled", "cancelled");
    z->total += (lua_Integer)n;
    if (z->total > z->limit || offset > z->limit) return zip_fail(z, "limit", "the archive unpacks to more than %lld bytes", z->limit);
    if (archive_write_data_block(disk, block, n, offset) != ARCHIVE_OK) return zip_fail(z, "io", "%s", archive_error_string(disk));
  }
}

/* Fills in where a link of the archive leads; 1: write it; 0: skip it, or failed. */
static int check_link (Zip *z, struct archive_entry *entry, const char *root, const char *path) {
  const char *symlink = archive_entry_symlink(entry), *hard = archive_entry_hardlink(entry);
  char inside[PATH_MAX], full[PATH_MAX];
  int safe = 1;
  if (symlink != NULL) safe = !zip_link_escapes(path, symlink);
  if (hard != NULL) {
    safe = clean_path(hard, z->strip, inside, sizeof inside) > 0 && snprintf(full, sizeof full, "%s/%s", root, inside) < (int)sizeof full;
    if (safe) archive_entry_set_hardlink(entry, full);
  }
  if (safe) return 1;
  if (!z->skip_links) return zip_fail(z, "invalid", "the link %s leads out of the folder: %s", path, symlink != NULL ? symlink : hard);
  note(z, entry, path);
  return 0;
}

static int unpack_entry (HostJob *job, Zip *z, struct archive *a, struct archive *disk, struct archive_entry *entry, const char *root) {
  char inside[PATH_MAX], full[PATH_MAX];
  const char *path = entry_path(entry);
  if (path == NULL) return zip_fail(z, "invalid", "an entry has no readable name");
  int use = clean_path(path, z->strip, inside, sizeof inside);
  if (use < 0) return zip_fail(z, "invalid", "the entry %s leads out of the folder", path);
  if (use == 0) return 1;
  if (snprintf(full, sizeof full, "%s/%s", root, inside) >= (int)sizeof full) return zip_fail(z, "limit", "the entry %s is too long a path", path);
  unsigned kind = archive_entry_filetype(entry);
  int link = archive_entry_symlink(entry) != NULL || archive_entry_hardlink(entry) != NULL;
  if (kind != AE_IFREG && kind != AE_IFDIR && !link) return zip_fail(z, "invalid", "the entry %s is a device or the like", path);
  if (link && !check_link(z, entry, root, inside)) return z->kind == NULL;
  unsigned mode = archive_entry_perm(entry) & 0777;
  if (kind == AE_IFDIR) mode = mode == 0 ? 0755 : mode | 0700;
  else if (kind == AE_IFREG) mode = mode == 0 ? 0644 : mode | 0600;
  archive_entry_set_pathname(entry, full);
  archive_entry_set_perm(entry, (mode_t)mode);
  if (archive_write_header(disk, entry) < ARCHIVE_WARN) return zip_fail(z, "io", "%s: %s", inside, archive_error_string(disk));
  if (!link && kind == AE_IFREG && !copy_data(job, z, a, disk)) return 0;
  if (archive_write_finish_entry(disk) < ARCHIVE_WARN) return zip_fail(z, "io", "%s: %s", inside, archive_error_string(disk));
  if (kind != AE_IFDIR) z->files++;
  return 1;
}

/* unpacks all entries, or notes them when there is no disk to write to; 0 when it fails */
static int for_entries (HostJob *job, Zip *z, struct archive *a, struct archive *disk, const char *root) {
  struct archive_entry *entry;
  for (size_t count = 0;; count++) {
    int code = archive_read_next_header(a, &entry);
    if (code == ARCHIVE_EOF) return 1;
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return read_failed(z, a);
    if (count == ENTRIES) return zip_fail(z, "limit", "the archive has more than %d entries", ENTRIES);
    if (host_job_cancelled(job)) return zip_fail(z, "cancelled", "cancelled");
    if (disk != NULL) {
      if (!unpack_entry(job, z, a, disk, entry, root)) return 0;
    } else {
      const char *path = entry_path(entry);
      if (path == NULL) return zip_fail(z, "invalid", "an entry has no readable name");
      if (note(z, entry, path) == NULL || z->kind != NULL) return 0;
    }
  }
}

/* names that are not ASCII need a UTF-8 locale, for this thread only */
static void with_names (HostJob *job, Zip *z, struct archive *a, struct archive *disk, const char *root) {
  locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = (locale_t)0;
  if (locale != (locale_t)0) before = uselocale(locale);
  for_entries(job, z, a, disk, root);
  if (locale == (locale_t)0) return;
  uselocale(before);
  freelocale(locale);
}

void zip_run_unpack (HostJob *job, void *context) {
  Zip *z = context;
  char root[PATH_MAX];
  if (realpath(z->folder, root) == NULL) {
    zip_fail(z, errno == ENOENT ? "not_found" : "io", "%s: %s", z->folder, strerror(errno));
    return;
  }
  struct archive *a = open_source(z), *disk = a != NULL ? archive_write_disk_new() : NULL;
  if (disk != NULL) {
    archive_write_disk_set_options(disk, ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT);
    with_names(job, z, a, disk, root);
    if (archive_write_close(disk) != ARCHIVE_OK) zip_fail(z, "io", "%s", archive_error_string(disk));
  } else if (a != NULL) zip_fail(z, "limit", "out of memory");
  archive_write_free(disk);
  archive_read_free(a);
}

void zip_run_list (HostJob *job, void *context) {
  Zip *z = context;
  struct archive *a = open_source(z);
  if (a == NULL) return;
  with_names(job, z, a, NULL, NULL);
  archive_read_free(a);
}

void zip_run_inflate (HostJob *job, void *context) {
  Zip *z = context;
  struct archive *a = archive_read_new();
  struct archive_entry *entry;
  char block[16384];
  la_ssize_t n = 0;
  if (a == NULL) {
    zip_fail(z, "limit", "out of memory");
    return;
  }
  archive_read_support_filter_gzip(a);
  archive_read_support_format_raw(a);
  archive_read_support_format_empty(a);             /* what gzip makes of nothing */
  if (archive_read_open_memory(a, z->bytes, z->length) != ARCHIVE_OK) read_failed(z, a);
  else if (archive_filter_code(a, 0) != ARCHIVE_FILTER_GZIP) zip_fail(z, "invalid", "not gzip data");
  else {
    int code = archive_read_next_header(a, &entry);
    if (code == ARCHIVE_OK)
      while ((n = archive_read_data(a, block, sizeof block)) > 0 && !host_job_cancelled(job)) {
        if ((lua_Integer)z->out_length + (lua_Integer)n > z->limit) {
          zip_fail(z, "limit", "it inflates to more than %lld bytes", z->limit);
          break;
        }
        if (!zip_out(z, block, (size_t)n)) break;
      }
    if (n < 0 || (code != ARCHIVE_OK && code != ARCHIVE_EOF)) read_failed(z, a);
  }
  archive_read_free(a);
}
