// hash.c: XXH3-128 behind a value type of ours.
//
// The canonical (big-endian) bytes are what is stored and compared, so a hash written on one
// machine reads the same on another. XXH3 runs at memory speed, which is why every published
// version and every payload can be hashed; it protects against accidents, not against an adversary.

#include "common/hash.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/base.h"

struct hash_state {
    XXH3_state_t *xxh;    // from XXH3_createState: it needs 64-byte alignment
};

static struct hash128 canonical(XXH128_hash_t h)
{
    XXH128_canonical_t c;
    struct hash128 out;
    XXH128_canonicalFromHash(&c, h);
    memcpy(out.bytes, c.digest, sizeof out.bytes);
    return out;
}

struct hash128 hash_bytes(const void *data, size_t len)
{
    return canonical(XXH3_128bits(data, len));
}

bool hash_equal(struct hash128 a, struct hash128 b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

void hash_hex(struct hash128 h, char out[HASH_HEX_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof h.bytes; i++) {
        out[2 * i] = digits[h.bytes[i] >> 4];
        out[2 * i + 1] = digits[h.bytes[i] & 15];
    }
    out[HASH_HEX_LEN] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hash_from_hex(const char *hex, struct hash128 *out)
{
    struct hash128 h;
    for (size_t i = 0; i < sizeof h.bytes; i++) {
        int hi = hex_value(hex[2 * i]);
        int lo = hi < 0 ? -1 : hex_value(hex[2 * i + 1]);    // never reads past a NUL
        if (lo < 0) {
            return false;
        }
        h.bytes[i] = (uint8_t)(hi * 16 + lo);
    }
    if (hex[HASH_HEX_LEN] != '\0') {
        return false;
    }
    *out = h;
    return true;
}

struct hash_state *hash_create(void)
{
    struct hash_state *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->xxh = XXH3_createState();
    if (s->xxh == NULL) {
        free(s);
        return NULL;
    }
    CHECK(XXH3_128bits_reset(s->xxh) == XXH_OK);
    return s;
}

void hash_update(struct hash_state *s, const void *data, size_t len)
{
    if (len > 0) {
        CHECK(XXH3_128bits_update(s->xxh, data, len) == XXH_OK);
    }
}

struct hash128 hash_final(const struct hash_state *s)
{
    return canonical(XXH3_128bits_digest(s->xxh));
}

void hash_destroy(struct hash_state *s)
{
    if (s != NULL) {
        XXH3_freeState(s->xxh);
        free(s);
    }
}
