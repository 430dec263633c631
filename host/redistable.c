/*
** redistable.c - compares the DUMPs of two sets or hashes that are hash tables (redismatch.h). Such a one tells its elements
** in the table's order, which is another in each server; but an element looks the same in both. So the digests of the
** elements, as they are packed, are summed up. Two that are packed otherwise may still be equal: redisvalue.c finds out.
**
** The format: rdb.c of Redis, rdbSaveObject and rdbSaveRawString. A length is 1, 2, 5 or 9 bytes; or it says that what
** follows is a number, or compressed.
*/
#include "host.h"
#include "redismatch.h"

#define SET 2
#define HASH 4

typedef struct Body {                        /* what is left of one side's payload */
  RedisEnd *e;
  const Match *m;
  long long left;
  int odd;                                   /* 1: it is not what we know */
} Body;

/* n bytes, which go into the digest; NULL: failed, or odd. */
static const unsigned char *take (Body *b, size_t n, uint64_t *h) {
  const char *p;
  b->odd = b->odd || (long long)n > b->left;
  if (b->odd || (p = host_end_bytes(b->e, n)) == NULL) return NULL;
  b->left -= (long long)n;
  *h = host_match_hash(b->m, *h, p, n);
  return (const unsigned char *)p;
}

/* A length. *packed: 0, or 1 more than the kind of what follows in its place. */
static int take_length (Body *b, uint64_t *n, int *packed, uint64_t *h) {
  const unsigned char *p = take(b, 1, h);
  int first, more;
  if (p == NULL) return -1;
  first = p[0];
  *packed = first >> 6 == 3 ? (first & 63) + 1 : 0;
  *n = first & 63;
  if (*packed > 0 || first >> 6 == 0) return 0;
  more = first >> 6 == 1 ? 1 : first == 0x80 ? 4 : 8;
  if (first >> 6 == 2) *n = 0;
  if (first > 0x81) b->odd = 1;
  if ((p = take(b, (size_t)more, h)) == NULL) return -1;
  for (int i = 0; i < more; i++) *n = *n << 8 | p[i];
  return 0;
}

/* One string as it is packed. */
static int take_string (Body *b, uint64_t *h) {
  uint64_t n, whole;
  int packed, none;
  if (take_length(b, &n, &packed, h) != 0) return -1;
  if (packed == 4) {                         /* compressed: its size, and what it was */
    if (take_length(b, &n, &none, h) != 0 || take_length(b, &whole, &none, h) != 0) return -1;
  } else if (packed > 0) {                   /* a number of 1, 2, 4 bytes */
    if (packed > 4) b->odd = 1;
    n = (uint64_t)1 << (packed - 1);
  }
  if (b->left < 0 || n > (uint64_t)b->left) b->odd = 1;
  while (n > 0) {
    size_t k = n < MATCH_PIECE ? (size_t)n : MATCH_PIECE;
    if (take(b, k, h) == NULL) return -1;
    n -= k;
  }
  return b->odd ? -1 : 0;
}

/* The sum of one side's elements. */
static int take_table (Body *b, uint64_t *sum) {
  uint64_t n, i, h = 0;
  int packed, width;
  const unsigned char *type = take(b, 1, &h);
  *sum = 0;
  if (type == NULL) return -1;
  width = *type == HASH ? 2 : 1;
  if (take_length(b, &n, &packed, &h) != 0) return -1;
  for (i = 0; i < n && packed == 0; i++) {
    uint64_t each = h;                       /* of type and count, too */
    if (take_string(b, &each) != 0 || (width == 2 && take_string(b, &each) != 0)) return -1;
    *sum += each;
  }
  return 0;
}

int host_match_is_table (int type) {
  return type == SET || type == HASH;
}

int host_match_tables (Matcher *w, long long n) {
  Body bodies[2] = { { .e = &w->a, .m = w->m, .left = n }, { .e = &w->b, .m = w->m, .left = n } };
  uint64_t sums[2], none = 0;
  int i, odd = 0;
  for (i = 0; i < 2; i++) {
    Body *b = &bodies[i];
    if (take_table(b, &sums[i]) != 0 && !b->odd) return -1;
    odd = odd || b->odd || b->left > 0;
    b->odd = 0;
    while (b->left > 0)
      if (take(b, (unsigned long long)b->left < MATCH_PIECE ? (size_t)b->left : MATCH_PIECE, &none) == NULL) return -1;
  }
  return !odd && sums[0] == sums[1];
}
