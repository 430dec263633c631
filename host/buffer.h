/*
** A growable run of bytes that may hold secrets: what it lets go of, it wipes first.
*/
#ifndef HKRUN_BUFFER_H
#define HKRUN_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Buffer {
  char *data;
  size_t len, cap;
} Buffer;

static inline void buffer_free (Buffer *b) {
  if (b->data != NULL) {
    explicit_bzero(b->data, b->cap);
    free(b->data);
  }
  b->data = NULL;
  b->len = b->cap = 0;
}

/* room for cap bytes in all; false when memory ran out; the buffer is then unchanged */
static inline bool buffer_reserve (Buffer *b, size_t cap) {
  if (cap <= b->cap) return true;
  char *data = malloc(cap);
  if (data == NULL) return false;
  size_t len = b->len;
  if (len > 0) memcpy(data, b->data, len);
  buffer_free(b);
  b->data = data;
  b->len = len;
  b->cap = cap;
  return true;
}

/* false when memory ran out; the buffer is then unchanged */
static inline bool buffer_add (Buffer *b, const void *bytes, size_t n) {
  if (n > b->cap - b->len) {
    size_t cap = b->cap < 512 ? 1024 : b->cap * 2;
    if (n > SIZE_MAX / 2 - b->len) return false;
    if (!buffer_reserve(b, cap < b->len + n ? b->len + n : cap)) return false;
  }
  if (n > 0) memcpy(b->data + b->len, bytes, n);
  b->len += n;
  return true;
}

/* forgets the first n bytes */
static inline void buffer_drop (Buffer *b, size_t n) {
  memmove(b->data, b->data + n, b->len - n);
  b->len -= n;
}

#endif
