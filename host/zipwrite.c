/* Packing, on a worker thread: entries sorted by path, no owner, no time of day, so equal content gives equal bytes. */
#include "zip.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EPOCH 315532800                             /* 1980-01-01, the first day that zip knows */

/* ---- a folder's files ---- */

/* Patterns are as in .gitignore: the last that matches decides, "!" takes back, a "/" at the end means folders, one
   elsewhere ties the pattern to the root, "**" crosses folders. */
static int is_ignored (const Zip *z, const char *path, int folder) {
  const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
  int ignored = 0;
  for (size_t i = 0; i < z->ignores; i++) {
    char pattern[PATH_MAX];
    const char *p = z->ignore[i];
    int keep = *p == '!';
    size_t n = strlen(p += keep);
    if (n == 0 || n >= sizeof pattern) continue;
    memcpy(pattern, p, n + 1);
    if (pattern[n - 1] == '/') {
      if (!folder) continue;
      pattern[n - 1] = '\0';
    }
    int tied = strchr(pattern, '/') != NULL, deep = strstr(pattern, "**") != NULL;
    const char *glob = *pattern == '/' ? pattern + 1 : pattern;
    int matches = fnmatch(glob, tied ? path : name, tied && !deep ? FNM_PATHNAME : 0) == 0;
    if (!matches && strncmp(glob, "**/", 3) == 0) matches = fnmatch(glob + 3, path, 0) == 0;
    if (matches) ignored = !keep;
  }
  return ignored;
}

static int take_link (Zip *z, ZipEntry *e, const char *full, const char *path) {
  char target[PATH_MAX];
  ssize_t n = readlink(full, target, sizeof target - 1);
  if (n < 0) return zip_fail(z, "io", "%s: %s", full, strerror(errno));
  target[n] = '\0';
  if (zip_link_escapes(path, target)) return zip_fail(z, "invalid", "the link %s points out of the folder: %s", path, target);
  e->link = strdup(target);
  return e->link != NULL || zip_fail(z, "limit", "out of memory");
}

static int walk (HostJob *job, Zip *z, const char *below, int depth) {
  char full[PATH_MAX], path[PATH_MAX];
  if (depth > 128) return zip_fail(z, "limit", "%s: folders nested deeper than 128 levels", below);
  if (snprintf(full, sizeof full, "%s/%s", z->folder, below) >= (int)sizeof full) return zip_fail(z, "limit", "%s: too long a path", below);
  DIR *dir = opendir(full);
  if (dir == NULL) return zip_fail(z, errno == ENOENT ? "not_found" : "io", "%s: %s", *below != '\0' ? full : z->folder, strerror(errno));
  int fine = 1, empty = 1;
  for (struct dirent *d; fine && (d = readdir(dir)) != NULL;) {
    struct stat st;
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
    empty = 0;
    if (snprintf(path, sizeof path, "%s%s%s", below, *below != '\0' ? "/" : "", d->d_name) >= (int)sizeof path ||
        snprintf(full, sizeof full, "%s/%s", z->folder, path) >= (int)sizeof full)
      fine = zip_fail(z, "limit", "%s: too long a path", d->d_name);
    else if (lstat(full, &st) != 0) fine = zip_fail(z, "io", "%s: %s", full, strerror(errno));
    else if (is_ignored(z, path, S_ISDIR(st.st_mode))) continue;
    else if (host_job_cancelled(job)) fine = zip_fail(z, "cancelled", "cancelled");
    else if (S_ISDIR(st.st_mode)) fine = walk(job, z, path, depth + 1);
    else {
      ZipEntry *e = zip_add(z);
      if (e == NULL) fine = 0;
      else {
        e->type = S_ISLNK(st.st_mode) ? 'l' : 'f';
        e->mode = st.st_mode & 0111 ? 0755 : 0644;
        e->path = strdup(path);
        if (S_ISREG(st.st_mode)) e->file = strdup(full);
        if (e->path == NULL || (S_ISREG(st.st_mode) && e->file == NULL)) fine = zip_fail(z, "limit", "out of memory");
        else if (S_ISLNK(st.st_mode)) fine = take_link(z, e, full, path);
        else if (!S_ISREG(st.st_mode)) fine = zip_fail(z, "invalid", "%s is neither file, folder nor link; ignore it", path);
      }
    }
  }
  closedir(dir);
  if (fine && empty && *below != '\0') {             /* a folder is written only if nothing in it says that it exists */
    ZipEntry *e = zip_add(z);
    if (e == NULL || (e->path = strdup(below)) == NULL) return zip_fail(z, "limit", "out of memory");
    e->type = 'd';
    e->mode = 0755;
  }
  return fine;
}

/* ---- the archive ---- */

static int by_path (const void *a, const void *b) { return strcmp(((const ZipEntry *)a)->path, ((const ZipEntry *)b)->path); }

static int bad_path (const char *path) {            /* the same rule that unpack has */
  if (*path == '/' || *path == '\0' || path[strlen(path) - 1] == '/') return 1;
  for (const char *p = path; *p != '\0'; p++) {
    size_t n = strcspn(p, "/");
    if (n == 0 || (n <= 2 && strncmp(p, "..", n) == 0)) return 1;
    p += n;
    if (*p == '\0') break;
  }
  return 0;
}

static int archive_failed (Zip *z, struct archive *a) {
  const char *why = archive_error_string(a);
  return zip_fail(z, "io", "%s", why != NULL ? why : "libarchive failed");
}

/* Never fails towards libarchive 3.6, which would leak its zlib stream: after a failure it throws away what comes, and
   the writers below stop. */
static la_ssize_t on_write (struct archive *a, void *context, const void *bytes, size_t length) {
  Zip *z = context;
  (void)a;
  if (z->kind != NULL) return (la_ssize_t)length;
  if (z->to == NULL) {
    zip_out(z, bytes, length);
    return (la_ssize_t)length;
  }
  for (size_t done = 0; done < length;) {
    ssize_t n = write(z->fd, (const char *)bytes + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      zip_fail(z, "io", "%s: %s", z->to, strerror(errno));
      break;
    }
    done += (size_t)n;
  }
  return (la_ssize_t)length;
}

static int write_file (HostJob *job, Zip *z, struct archive *a, const ZipEntry *e, int fd, size_t size) {
  char block[65536];
  size_t done = 0;
  ssize_t n;
  while ((n = read(fd, block, sizeof block)) > 0 && done + (size_t)n <= size) {
    if (host_job_cancelled(job)) return zip_fail(z, "cancelled", "cancelled");
    if (z->kind != NULL) return 0;
    if (archive_write_data(a, block, (size_t)n) != n) return archive_failed(z, a);
    done += (size_t)n;
  }
  if (n < 0) return zip_fail(z, "io", "%s: %s", e->file, strerror(errno));
  return done == size || zip_fail(z, "io", "%s changed while it was read", e->file);
}

static int write_entry (HostJob *job, Zip *z, struct archive *a, struct archive_entry *entry, const ZipEntry *e) {
  struct stat st = {0};
  int fd = -1, fine;
  unsigned mode = e->mode;
  size_t size = e->size;
  if (e->file != NULL) {
    fd = open(e->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
      zip_fail(z, errno == ENOENT ? "not_found" : "io", "%s: %s", e->file, fd >= 0 ? "not a file" : strerror(errno));
      if (fd >= 0) close(fd);
      return 0;
    }
    size = (size_t)st.st_size;
    if (mode == 0) mode = st.st_mode & 0111 ? 0755 : 0644;
  }
  archive_entry_clear(entry);
  archive_entry_set_pathname(entry, e->path);
  archive_entry_set_filetype(entry, e->type == 'd' ? AE_IFDIR : e->type == 'l' ? AE_IFLNK : AE_IFREG);
  archive_entry_set_perm(entry, e->type == 'l' ? 0777 : mode != 0 ? mode : 0644);
  if (e->type == 'f') archive_entry_set_size(entry, (la_int64_t)size);
  if (e->link != NULL) archive_entry_set_symlink(entry, e->link);
  if (z->tar) archive_entry_set_mtime(entry, EPOCH, 0);  /* zip: none is that day, whatever the time zone */
  fine = archive_write_header(a, entry) == ARCHIVE_OK || archive_failed(z, a);
  if (fine && e->data != NULL && size > 0)
    fine = archive_write_data(a, e->data, size) == (la_ssize_t)size || archive_failed(z, a);
  if (fine && fd >= 0) fine = write_file(job, z, a, e, fd, size);
  if (fd >= 0) close(fd);
  return fine;
}

static int write_all (HostJob *job, Zip *z, struct archive *a, struct archive_entry *entry) {
  if (z->tar) {
    archive_write_set_format_pax_restricted(a);
    archive_write_add_filter_gzip(a);
    archive_write_set_filter_option(a, "gzip", "timestamp", NULL);
  } else archive_write_set_format_zip(a);
  archive_write_set_bytes_in_last_block(a, 1);
  if (archive_write_open(a, z, NULL, on_write, NULL) != ARCHIVE_OK) return archive_failed(z, a);
  for (size_t i = 0; i < z->count; i++)
    if (!write_entry(job, z, a, entry, &z->entries[i]) || z->kind != NULL) return 0;
  if (archive_write_close(a) != ARCHIVE_OK) return archive_failed(z, a);
  z->total = archive_filter_bytes(a, -1);
  return z->kind == NULL;
}

/* names that are not ASCII need a UTF-8 locale, for this thread only */
static locale_t utf8_names (locale_t *before) {
  locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  if (locale != (locale_t)0) *before = uselocale(locale);
  return locale;
}

void zip_run_pack (HostJob *job, void *context) {
  Zip *z = context;
  char part[PATH_MAX] = "";
  if (z->folder != NULL && !walk(job, z, "", 0)) return;
  if (z->count > 0) qsort(z->entries, z->count, sizeof *z->entries, by_path);
  for (size_t i = 0; i < z->count; i++) {
    if (bad_path(z->entries[i].path)) {
      zip_fail(z, "invalid", "%s is not a path inside of an archive", z->entries[i].path);
      return;
    }
    if (i > 0 && strcmp(z->entries[i].path, z->entries[i - 1].path) == 0) {
      zip_fail(z, "invalid", "the path %s stands twice", z->entries[i].path);
      return;
    }
  }
  if (z->to != NULL && snprintf(part, sizeof part, "%s.part", z->to) >= (int)sizeof part) {
    zip_fail(z, "limit", "too long a path");
    return;
  }
  if (z->to != NULL && (z->fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) < 0) {
    zip_fail(z, "io", "%s: %s", z->to, strerror(errno));
    return;
  }
  locale_t before = (locale_t)0, locale = utf8_names(&before);
  struct archive *a = archive_write_new();
  struct archive_entry *entry = archive_entry_new();
  int fine = a != NULL && entry != NULL ? write_all(job, z, a, entry) : zip_fail(z, "limit", "out of memory");
  archive_entry_free(entry);
  archive_write_free(a);
  if (z->to != NULL) {
    if (close(z->fd) != 0 || (fine && rename(part, z->to) != 0)) fine = zip_fail(z, "io", "%s: %s", z->to, strerror(errno));
    if (!fine) unlink(part);
  }
  if (locale != (locale_t)0) {
    uselocale(before);
    freelocale(locale);
  }
}

void zip_run_deflate (HostJob *job, void *context) {
  Zip *z = context;
  (void)job;
  struct archive *a = archive_write_new();
  struct archive_entry *entry = archive_entry_new();
  if (a == NULL || entry == NULL) zip_fail(z, "limit", "out of memory");
  else {
    archive_write_set_format_raw(a);
    archive_write_add_filter_gzip(a);
    archive_write_set_filter_option(a, "gzip", "timestamp", NULL);
    archive_write_set_bytes_in_last_block(a, 1);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_pathname(entry, "data");
    if (archive_write_open(a, z, NULL, on_write, NULL) != ARCHIVE_OK || archive_write_header(a, entry) != ARCHIVE_OK ||
        archive_write_data(a, z->bytes, z->length) != (la_ssize_t)z->length || archive_write_close(a) != ARCHIVE_OK)
      archive_failed(z, a);
  }
  archive_entry_free(entry);
  archive_write_free(a);
}
