// pack_table.h: the shape of every message, described once. Internal to proto: pack.c walks these
// tables to encode, decode and check.
//
// A row says the key, the type, where the member and its count lie in the struct, and the limit.
// Encoder, decoder and checks walk the same rows, so a field cannot be written in one form and read
// in another. Adding a field is one row at the end, with a new key.
#ifndef CARAVAN_PROTO_PACK_TABLE_H
#define CARAVAN_PROTO_PACK_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/msg.h"

enum pack_kind {
    PACK_U32,
    PACK_U64,
    PACK_F32,
    PACK_F64,
    PACK_BOOL,
    PACK_TEXT,       // struct msg_text as str
    PACK_BLOB,       // struct msg_text as bin
    PACK_BYTES16,    // 16 bytes as bin: hashes, incarnations
    PACK_U32S,       // pointer + size_t count, as bin of little-endian values
    PACK_U64S,
    PACK_F32S,
    PACK_STRUCT,     // embedded struct, as a map
    PACK_STRUCTS,    // pointer + size_t count, as an array of maps
};

enum pack_rule {
    PACK_ANY,
    PACK_SOME,            // at least 1 (integers), at least one element (arrays)
    PACK_NO_NUL,          // text that others will use as a C string
    PACK_FINITE,          // floats: neither infinite nor NaN
    PACK_NOT_NEGATIVE,    // finite and >= 0
    PACK_UNIT,            // 0 … 1
    PACK_PROBABILITY,     // above 0, at most 1
};

struct pack_table;

struct pack_field {
    const char *name;
    uint8_t key;
    uint8_t kind;         // enum pack_kind
    uint8_t rule;         // enum pack_rule
    uint16_t at;          // offset of the value, text or pointer
    uint16_t count_at;    // offset of the count
    // Bytes of a text, elements of an array, largest value of an integer (0 = its type's).
    uint32_t limit;
    const struct pack_table *sub;
};

struct pack_table {
    size_t size;                        // of the struct
    const struct pack_field *fields;    // keys ascend
    size_t n_fields;
    // What no single field shows; NULL = nothing.
    enum err (*check)(const void *s, struct why *why);
};

// The table of a message's struct; NULL for MSG_NONE and unknown types. Keys begin at 3.
const struct pack_table *pack_table_of(uint32_t type);

#endif
