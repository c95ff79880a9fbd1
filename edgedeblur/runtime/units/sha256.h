/* sha256.h: the digest of bytes in memory. */
#ifndef EDGEDEBLUR_SHA256_H
#define EDGEDEBLUR_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { ED_SHA256_BYTES = 32 };

void ed_sha256(const uint8_t *bytes, size_t count, uint8_t digest[ED_SHA256_BYTES]);

#endif
