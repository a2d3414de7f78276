// pack_cursor.h: reading msgpack from hostile bytes, one head at a time. Internal to proto.
//
// In: bytes from the network. Out: heads (class and size) and pieces of the input itself: nothing
// is copied or allocated here. Every length is compared with the bytes that are left before it is
// believed. All forms of msgpack are accepted, also longer ones than needed.
#ifndef CARAVAN_PROTO_PACK_CURSOR_H
#define CARAVAN_PROTO_PACK_CURSOR_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum pack_class {
    PACK_IS_UINT,
    PACK_IS_INT,    // signed forms; we never send them
    PACK_IS_NIL,
    PACK_IS_BOOL,
    PACK_IS_F32,
    PACK_IS_F64,
    PACK_IS_STR,
    PACK_IS_BIN,
    PACK_IS_EXT,
    PACK_IS_ARRAY,
    PACK_IS_MAP,
};

struct pack_cursor {
    const uint8_t *p, *end;
};

// The first byte of a value and what follows it directly. value: the integer, the bits of a float,
// 0/1 for a bool, the number of payload bytes (str, bin, ext with its type byte), elements (array)
// or pairs (map).
struct pack_head {
    enum pack_class class;
    uint64_t value;
};

// Takes a head. ERR_CORRUPT when the bytes end inside it or a length claims more than the bytes
// left (one byte at least per element, two per pair): whatever is allocated after a good head is in
// proportion to bytes that exist.
MUST_CHECK enum err pack_take_head(struct pack_cursor *c, struct pack_head *out, struct why *why);
// The same and checks the class.
MUST_CHECK enum err pack_take(struct pack_cursor *c, enum pack_class want, uint64_t *value,
                              struct why *why);
// The next n bytes; n was checked by the head.
const uint8_t *pack_take_bytes(struct pack_cursor *c, size_t n);
// Passes over one value of any kind. depth: maps and arrays around it; past LIMIT_DEPTH is
// ERR_LIMIT.
MUST_CHECK enum err pack_skip(struct pack_cursor *c, unsigned depth, struct why *why);

#endif
