// bpe.h: byte-pair merging of one word: lowest rank first, leftmost first among equals (Sennrich et
// al., 2016).
//
// Works on ids and knows neither bytes nor characters: symbols.h makes the ids that it starts from.
// Immutable after creation: any thread. O(n log n) in the length of the word, whatever it is.
#ifndef CARAVAN_MODEL_BPE_H
#define CARAVAN_MODEL_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "model/tokenizer_spec.h"

// Words of up to this many symbols are merged by scanning, longer ones with a heap.
enum { BPE_SMALL = 32 };

struct bpe;

// Of two merges of one pair the later counts. use (n_tokens; NULL: all): merges whose result it
// says false for are left out, without a change of rank of the others.
MUST_CHECK enum err bpe_create(const struct spec_merge *merges, size_t n_merges, const bool *use,
                               struct bpe **out);
void bpe_destroy(struct bpe *b);    // NULL is fine
// Merges ids[0..*n) in place. ERR_NOMEM, or ERR_LIMIT past 2^31 symbols; ids are then undefined.
MUST_CHECK enum err bpe_merge(const struct bpe *b, uint32_t *ids, size_t *n);
// The same, always with the heap: for tests, which compare the two.
MUST_CHECK enum err bpe_merge_heap(const struct bpe *b, uint32_t *ids, size_t *n);

#endif
