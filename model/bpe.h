// bpe.h: byte-pair merging of one word: lowest rank first, leftmost first among equals (Sennrich et
// al., 2016; byte-level as in GPT-2).
//
// Immutable after creation: any thread. O(n log n) in the length of the word, whatever its bytes.
#ifndef CARAVAN_MODEL_BPE_H
#define CARAVAN_MODEL_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "model/tokenizer.h"
#include "model/tokenizer_spec.h"

// Words up to this many bytes are merged by scanning, longer ones with a heap.
enum { BPE_SMALL = 32 };

struct bpe;

// byte_ids[b] = id of the token of that single byte, or -1: such bytes vanish, and their neighbours
// become adjacent. Of two merges of one pair the later counts.
MUST_CHECK enum err bpe_create(const struct spec_merge *merges, size_t n_merges,
                               const int32_t byte_ids[256], struct bpe **out);
void bpe_destroy(struct bpe *b);    // NULL is fine
// Appends the ids of the word. ERR_NOMEM, or ERR_LIMIT past 2^31 bytes; out keeps what it had.
MUST_CHECK enum err bpe_encode(const struct bpe *b, const uint8_t *word, size_t len,
                               struct token_ids *out);
// The same, always with the heap: for tests, which compare the two.
MUST_CHECK enum err bpe_encode_heap(const struct bpe *b, const uint8_t *word, size_t len,
                                    struct token_ids *out);

// Appends one id.
MUST_CHECK enum err token_ids_push(struct token_ids *t, uint32_t id);

#endif
