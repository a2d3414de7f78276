// symbols.h: from the bytes of a word to the ids that merging starts from: one for each byte
// (SPEC_BYTES) or character (SPEC_CHARS).
//
// What has no token becomes, in this order: tokens of its bytes ("<0x0A>", if the model falls back
// to them), the unknown token (one for a run, if the model fuses them), nothing. Bytes that are no
// UTF-8 are characters without a token.
//
// Immutable after creation: any thread.
#ifndef CARAVAN_MODEL_SYMBOLS_H
#define CARAVAN_MODEL_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "model/tokenizer_spec.h"

struct symbols;

// Copies what it needs of the spec.
MUST_CHECK enum err symbols_create(const struct tokenizer_spec *s, struct symbols **out);
void symbols_destroy(struct symbols *s);    // NULL is fine
// out has room for len ids. Returns how many there are.
size_t symbols_of(const struct symbols *s, const uint8_t *word, size_t len, uint32_t *out);

#endif
