// ngrams.h: which rows of one set (the eval side) a text of another (the training side) covers.
//
// A gram is n words in a row within one text; a text shorter than n words is one gram as a whole,
// which only another text of the same words equals. A word of a row is covered by a text when it
// lies in a gram of the row that occurs in that text as well. The share of a row is its covered
// words over all its words; a row is hit by a text when the share is above the threshold.
//
// Grams are compared by a 64-bit hash (XXH3 over the hashes of the words) without a look at the
// words: with E grams in the index and T in all texts, E * T / 2^64 of them are expected to be taken
// for others (10 million and 1 billion: 0.0005), each of which covers n words of one row at most.
//
// Memory is that of the rows: about 70 bytes a word at its peak. Texts leave nothing behind but
// which grams have occurred. Time of a match: its text, and the length of each row that shares one
// of its rarer grams. One thread.
#ifndef CARAVAN_CLI_NGRAMS_H
#define CARAVAN_CLI_NGRAMS_H

#include "cli/wordhash.h"

enum { NGRAMS_N_MAX = 64 };

struct ngrams;

// n in 1..NGRAMS_N_MAX, threshold in 0..1.
MUST_CHECK enum err ngrams_create(size_t n, double threshold, struct ngrams **out);
void ngrams_destroy(struct ngrams *x);    // NULL is fine
// The next row. ERR_LIMIT: more than 2^32 - 2 rows or words.
MUST_CHECK enum err ngrams_add(struct ngrams *x, const struct wordhash *row);
// After the last row, before the first match.
MUST_CHECK enum err ngrams_seal(struct ngrams *x);

typedef enum err ngrams_hit_fn(void *arg, size_t row, double share);
// Calls fn for every row that the texts of w, taken together as one, hit. Stops at fn's first error
// and returns it.
MUST_CHECK enum err ngrams_match(struct ngrams *x, const struct wordhash *w, ngrams_hit_fn *fn,
                                 void *arg);

size_t ngrams_rows(const struct ngrams *x);
size_t ngrams_words(const struct ngrams *x, size_t row);
// The share that all texts matched so far cover together; 0 for a row without words.
double ngrams_share(const struct ngrams *x, size_t row);

#endif
