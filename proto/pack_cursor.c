// pack_cursor.c: heads of msgpack values (specification: github.com/msgpack/msgpack, spec.md).
//
// A head is one byte and up to eight that follow; a table gives class and width for 0xc0 … 0xdf,
// the rest are the "fix" forms with the number in the byte itself. Every length is compared with
// the bytes that are left right here, before anyone sees it: dd ff ff ff ff claims 2^32 elements
// with no byte behind it and is refused in the same call. Recursion happens only in pack_skip and
// is cut at LIMIT_DEPTH.
#include "proto/pack_cursor.h"

#include "proto/limits.h"

static const char *class_name(enum pack_class k)
{
    static const char *const names[] = {
        [PACK_IS_UINT] = "a non-negative integer",
        [PACK_IS_INT] = "a signed integer",
        [PACK_IS_NIL] = "nil",
        [PACK_IS_BOOL] = "a bool",
        [PACK_IS_F32] = "a 32-bit float",
        [PACK_IS_F64] = "a 64-bit float",
        [PACK_IS_STR] = "text",
        [PACK_IS_BIN] = "bytes",
        [PACK_IS_EXT] = "an extension",
        [PACK_IS_ARRAY] = "an array",
        [PACK_IS_MAP] = "a map",
    };
    return names[k];
}

// Class and number of following bytes of the first bytes 0xc0 … 0xdf. c1 is never used by msgpack.
static const struct {
    uint8_t class, width;
} heads[32] = {
    {PACK_IS_NIL, 0},  {PACK_IS_NIL, 0}, {PACK_IS_BOOL, 0}, {PACK_IS_BOOL, 0},  {PACK_IS_BIN, 1},
    {PACK_IS_BIN, 2},  {PACK_IS_BIN, 4}, {PACK_IS_EXT, 1},  {PACK_IS_EXT, 2},   {PACK_IS_EXT, 4},
    {PACK_IS_F32, 4},  {PACK_IS_F64, 8}, {PACK_IS_UINT, 1}, {PACK_IS_UINT, 2},  {PACK_IS_UINT, 4},
    {PACK_IS_UINT, 8}, {PACK_IS_INT, 1}, {PACK_IS_INT, 2},  {PACK_IS_INT, 4},   {PACK_IS_INT, 8},
    {PACK_IS_EXT, 0},  {PACK_IS_EXT, 0}, {PACK_IS_EXT, 0},  {PACK_IS_EXT, 0},   {PACK_IS_EXT, 0},
    {PACK_IS_STR, 1},  {PACK_IS_STR, 2}, {PACK_IS_STR, 4},  {PACK_IS_ARRAY, 2}, {PACK_IS_ARRAY, 4},
    {PACK_IS_MAP, 2},  {PACK_IS_MAP, 4},
};

static enum err parse_head(struct pack_cursor *c, struct pack_head *h, struct why *why)
{
    if (c->p == c->end) {
        return why_set(why, ERR_CORRUPT, "the message ends too early");
    }
    uint8_t b = *c->p++;
    if (b < 0x80) {
        *h = (struct pack_head){PACK_IS_UINT, b};
    } else if (b < 0x90) {
        *h = (struct pack_head){PACK_IS_MAP, b & 0x0f};
    } else if (b < 0xa0) {
        *h = (struct pack_head){PACK_IS_ARRAY, b & 0x0f};
    } else if (b < 0xc0) {
        *h = (struct pack_head){PACK_IS_STR, b & 0x1f};
    } else if (b >= 0xe0) {
        *h = (struct pack_head){PACK_IS_INT, b};
    } else if (b == 0xc1) {
        return why_set(why, ERR_CORRUPT, "byte 0xc1 is not msgpack");
    } else {
        size_t width = heads[b & 31].width;
        if ((size_t)(c->end - c->p) < width) {
            return why_set(why, ERR_CORRUPT, "the message ends too early");
        }
        uint64_t v = 0;
        for (size_t i = 0; i < width; i++) {
            v = v << 8 | *c->p++;
        }
        *h = (struct pack_head){heads[b & 31].class, v};
        if (h->class == PACK_IS_BOOL) {
            h->value = b & 1;
        } else if (h->class == PACK_IS_EXT) {    // a type byte comes before the payload
            h->value = (width == 0 ? 1u << (b - 0xd4) : v) + 1;
        }
    }
    return ERR_OK;
}

enum err pack_take_head(struct pack_cursor *c, struct pack_head *out, struct why *why)
{
    struct pack_head h = {PACK_IS_NIL, 0};
    enum err e = parse_head(c, &h, why);
    if (e != ERR_OK) {
        return e;
    }
    uint64_t left = (uint64_t)(c->end - c->p), need = 0;
    switch (h.class) {
    case PACK_IS_STR:
    case PACK_IS_BIN:
    case PACK_IS_EXT:
    case PACK_IS_ARRAY:
        need = h.value;
        break;
    case PACK_IS_MAP:
        need = 2 * h.value;
        break;
    default:
        break;
    }
    if (need > left) {
        return why_set(why, ERR_CORRUPT, "%s of length %llu with %llu bytes left",
                       class_name(h.class), (unsigned long long)h.value, (unsigned long long)left);
    }
    *out = h;
    return ERR_OK;
}

enum err pack_take(struct pack_cursor *c, enum pack_class want, uint64_t *value, struct why *why)
{
    struct pack_head h = {PACK_IS_NIL, 0};
    enum err e = pack_take_head(c, &h, why);
    if (e != ERR_OK) {
        return e;
    }
    if (h.class != want) {
        return why_set(why, ERR_CORRUPT, "is %s, expected %s", class_name(h.class),
                       class_name(want));
    }
    *value = h.value;
    return ERR_OK;
}

const uint8_t *pack_take_bytes(struct pack_cursor *c, size_t n)
{
    CHECK((size_t)(c->end - c->p) >= n);
    const uint8_t *p = c->p;
    c->p += n;
    return p;
}

enum err pack_skip(struct pack_cursor *c, unsigned depth, struct why *why)
{
    struct pack_head h = {PACK_IS_NIL, 0};
    enum err e = pack_take_head(c, &h, why);
    if (e != ERR_OK) {
        return e;
    }
    uint64_t values = 0;
    switch (h.class) {
    case PACK_IS_STR:
    case PACK_IS_BIN:
    case PACK_IS_EXT:
        pack_take_bytes(c, (size_t)h.value);
        break;
    case PACK_IS_ARRAY:
        values = h.value;
        break;
    case PACK_IS_MAP:
        values = 2 * h.value;
        break;
    default:
        break;
    }
    if ((h.class == PACK_IS_ARRAY || h.class == PACK_IS_MAP) && depth >= LIMIT_DEPTH) {
        return why_set(why, ERR_LIMIT, "nested deeper than %d", LIMIT_DEPTH);
    }
    for (uint64_t i = 0; i < values; i++) {
        if ((e = pack_skip(c, depth + 1, why)) != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}
