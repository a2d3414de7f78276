// sha256.h: SHA-256 (FIPS 180-4), to compare tensors with published digests. Test code only.
#ifndef CARAVAN_TESTS_MODEL_SHA256_H
#define CARAVAN_TESTS_MODEL_SHA256_H

#include <stddef.h>

void sha256_hex(const void *data, size_t len, char out[65]);

#endif
