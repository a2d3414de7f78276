// pretokenize.h: cutting text into words, which merges never cross.
//
// Immutable after creation: any thread. The published patterns are written out (splitter.h); other
// regexes run on PCRE2 (compiled to machine code where the
// platform allows), with a bound on backtracking. `\s` is Unicode White_Space, as in the tokenisers
// that wrote the patterns; PCRE2's own has U+180E besides.
#ifndef CARAVAN_MODEL_PRETOKENIZE_H
#define CARAVAN_MODEL_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "model/tokenizer_spec.h"

struct pretokenizer;
// An error stops the split and is returned.
typedef enum err pretokenize_word_fn(void *arg, const uint8_t *word, size_t len);

MUST_CHECK enum err pretokenizer_create(const struct spec_step *steps, size_t n_steps,
                                        struct pretokenizer **out, struct why *why);
void pretokenizer_destroy(struct pretokenizer *p);    // NULL is fine
// text is well-formed UTF-8; at_start: it is the beginning of the whole text (SPEC_AT_START). Calls
// fn for the words in order; none is empty, and they live until fn returns. A pattern that
// backtracks without end is ERR_LIMIT.
MUST_CHECK enum err pretokenizer_split(const struct pretokenizer *p, const uint8_t *text,
                                       size_t len, bool at_start, pretokenize_word_fn *fn,
                                       void *arg, struct why *why);
// Turns the written-out patterns off or on again: for tests, which compare the two.
void pretokenizer_use_regex(struct pretokenizer *p, bool regex);

#endif
