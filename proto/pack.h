// pack.h: msgpack encoding of msg.h and a decoder for hostile bytes.
//
// The decoder is a cursor of our own over the input: no length is believed before it is compared
// with proto/limits.h and with the bytes that are left, so five bytes can never make it allocate
// gigabytes. Encoding uses msgpack-c's packer. Golden bytes of every message stand in
// tests/data/proto.
#ifndef CARAVAN_PROTO_PACK_H
#define CARAVAN_PROTO_PACK_H

#include "common/buf.h"
#include "proto/msg.h"

// On the wire: keys ascend in every map; text is str (any bytes), weights and 128-bit names are
// bin, arrays of numbers are one bin of little-endian values (float bits preserved), structs are
// maps with keys from 0. The same table checks values on both sides.

// Appends the encoding of *m to out; out is unchanged on failure. ERR_LIMIT when a length is over
// its limit, ERR_INVALID when a value is outside its range (the peer would refuse both). `why`
// names message and field.
MUST_CHECK enum err pack_encode(const struct msg *m, struct buf *out, struct why *why);
// Decodes exactly len bytes. On ERR_OK the caller owns *out (msg_free). ERR_VERSION: another wire
// version (text says both); ERR_CORRUPT: not a message, a wrong type, a missing field, bytes left
// over; ERR_LIMIT: a length over its limit; ERR_INVALID: a value outside its range. `why` names
// message and field. *out is untouched on failure.
MUST_CHECK enum err pack_decode(const void *data, size_t len, struct msg *out, struct why *why);

#endif
