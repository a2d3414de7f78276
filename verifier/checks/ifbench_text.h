// ifbench_text.h: how IFBench's instructions see words: with their edges stripped, or without any
// punctuation at all.
//
// Only the 32 ASCII punctuation characters count as such; typographic quotes and dashes are letters
// like any other here.
#ifndef CARAVAN_VERIFIER_CHECKS_IFBENCH_TEXT_H
#define CARAVAN_VERIFIER_CHECKS_IFBENCH_TEXT_H

#include "verifier/check.h"

// Punctuation or U+0020: what an edge is stripped of. Other whitespace stays.
bool ifbench_is_edge(uint32_t c);
struct pyspan ifbench_strip_edges(struct pyspan s);
// The text with every punctuation character deleted, and the pieces between its whitespace.
struct pyspan ifbench_depunct(struct scratch *a, struct pyspan s);
struct pylist ifbench_bare_words(struct scratch *a, struct pyspan s);
// An argument that must not be empty; leaves through scratch_fail with ERR_INVALID otherwise.
struct pyspan ifbench_filled(const struct check *c, size_t arg, const char *name);
// An argument that counts from 1.
size_t ifbench_ordinal(const struct check *c, size_t arg, const char *name);

#endif
