/* The cyclic redundancy checks that S3 takes beside zlib's CRC-32: CRC-32C (Castagnoli) and CRC-64/NVME. Both read
   bits from the lowest, start from all ones and end inverted. */
#include "codec.h"

typedef struct Crc {
  uint64_t polynomial, ones;                        /* reflected; all bits of its width */
  uint64_t table[256];
} Crc;

static Crc crc32c = {.polynomial = 0x82F63B78, .ones = 0xFFFFFFFF};
static Crc crc64nvme = {.polynomial = 0x9A6C9329AC4BC9B5, .ones = UINT64_MAX};

static void crc_fill (Crc *crc) {
  for (uint64_t i = 0; i < 256; i++) {
    uint64_t value = i;
    for (int k = 0; k < 8; k++) value = value & 1 ? crc->polynomial ^ value >> 1 : value >> 1;
    crc->table[i] = value;
  }
}

void host_crc_open (void) {                         /* before any of the functions below */
  crc_fill(&crc32c);
  crc_fill(&crc64nvme);
}

static uint64_t crc_add (const Crc *crc, uint64_t value, const void *bytes, size_t length) {
  const unsigned char *s = bytes;
  value ^= crc->ones;
  for (size_t i = 0; i < length; i++) value = crc->table[(value ^ s[i]) & 0xFF] ^ value >> 8;
  return value ^ crc->ones;
}

/* The check of what was before, 0 for nothing, and of more bytes. */
uint64_t host_crc32c (uint64_t value, const void *bytes, size_t length) { return crc_add(&crc32c, value, bytes, length); }
uint64_t host_crc64nvme (uint64_t value, const void *bytes, size_t length) { return crc_add(&crc64nvme, value, bytes, length); }
