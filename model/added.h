// added.h: finding added tokens ("<|im_end|>") in text, before anything else is done to it.
//
// The leftmost match counts, and of those the longest. A match may then be refused (a special token
// in untrusted text, a whole word that is none here), and the search goes on behind it; or it may
// take the white space around it along, as the token's flags say (tokenizer_spec.h).
//
// Immutable after filling: any thread. Linear in the length of the text, times the longest token.
#ifndef CARAVAN_MODEL_ADDED_H
#define CARAVAN_MODEL_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct added;

MUST_CHECK enum err added_create(struct added **out);
void added_destroy(struct added *a);    // NULL is fine
// len >= 1. flags: enum spec_flag. Of two tokens with the same bytes the first stays.
MUST_CHECK enum err added_insert(struct added *a, const uint8_t *bytes, size_t len, uint32_t id,
                                 uint32_t flags);

struct added_match {
    size_t start, end;    // white space that goes with the token included
    uint32_t id;
};

// A walk over one text; start zeroed but for the text.
struct added_walk {
    const uint8_t *text;
    size_t len;
    size_t at;       // where the search goes on
    size_t taken;    // end of the last match: white space before it belongs to it
};
// The next match; false: none. special: special tokens count. start < taken only where a token
// begins with white space that the one before took.
bool added_next(const struct added *a, struct added_walk *w, bool special, struct added_match *out);

#endif
