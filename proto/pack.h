// pack.h: msgpack encoding of msg.h and a decoder for hostile bytes.
//
// The decoder is a cursor of our own over the input: no length is believed before it is compared with proto/limits.h and with the bytes that are left,
// so five bytes can never make it allocate gigabytes. Encoding uses msgpack-c's packer. Golden bytes of every message stand in tests/data/proto.
#ifndef CARAVAN_PROTO_PACK_H
#define CARAVAN_PROTO_PACK_H

#include "common/buf.h"
#include "proto/msg.h"

// Appends the encoding of *m to out. ERR_LIMIT when a field is over its limit (the peer would refuse it).
MUST_CHECK enum err pack_encode(const struct msg *m, struct buf *out, struct why *why);
// Decodes exactly len bytes. On ERR_OK the caller owns *out (msg_free). ERR_VERSION: another wire version (text says both);
// ERR_CORRUPT: not a message, a wrong type, a missing field, bytes left over; ERR_LIMIT: a length over its limit. `why` names message and field.
MUST_CHECK enum err pack_decode(const void *data, size_t len, struct msg *out, struct why *why);

#endif
