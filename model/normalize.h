// normalize.h: what a tokenizer does to text before it is split: Unicode NFC, a text in front, one
// text for another.
//
// Pure functions, any thread.
#ifndef CARAVAN_MODEL_NORMALIZE_H
#define CARAVAN_MODEL_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "model/tokenizer_spec.h"

// Room for results; zeroed before first use, used again by the next call.
struct normalize_room {
    struct buf a, b;
};
void normalize_room_init(struct normalize_room *r);
void normalize_room_fini(struct normalize_room *r);

// Applies the steps to text, well-formed UTF-8. begin: it is the beginning of a piece, so that
// SPEC_PREPEND applies. *out is text itself if nothing changes it, or lies in `room`.
MUST_CHECK enum err normalize(const struct spec_norm *norms, size_t n_norms, bool begin,
                              const uint8_t *text, size_t len, struct normalize_room *room,
                              const uint8_t **out, size_t *out_len, struct why *why);

#endif
