// hash.h: XXH3-128 (xxHash library) as the project's content hash: weights, payloads, files. Not
// cryptographic.
//
// One-shot and streaming form give the same value for the same bytes. The hex form is 32 lower-case
// digits, most significant byte first, and is what ledger, logs and file headers show. Any thread;
// a hash_state belongs to one at a time.
#ifndef CARAVAN_COMMON_HASH_H
#define CARAVAN_COMMON_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_HEX_LEN 32    // characters, without the NUL

struct hash128 {
    uint8_t bytes[16];    // canonical (big-endian) XXH3-128
};

struct hash128 hash_bytes(const void *data, size_t len);
bool hash_equal(struct hash128 a, struct hash128 b);
void hash_hex(struct hash128 h, char out[HASH_HEX_LEN + 1]);
bool hash_from_hex(const char *hex, struct hash128 *out);    // exactly 32 lower-case digits

struct hash_state;                       // streaming form
struct hash_state *hash_create(void);    // NULL when out of memory
void hash_update(struct hash_state *s, const void *data, size_t len);
struct hash128 hash_final(const struct hash_state *s);
void hash_destroy(struct hash_state *s);

#endif
