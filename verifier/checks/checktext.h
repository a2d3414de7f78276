// checktext.h: readings of a text that several families of checks share.
//
// Each stands for a regular expression or a loop of the original checkers, written out so that it
// takes linear time. Pure functions; pieces point into the text.
#ifndef CARAVAN_VERIFIER_CHECKS_CHECKTEXT_H
#define CARAVAN_VERIFIER_CHECKS_CHECKTEXT_H

#include "verifier/check.h"

// Non-overlapping matches of OPEN, the shortest run without a newline, CLOSE.
size_t checktext_count_enclosed(struct pyspan s, uint32_t open, uint32_t close);
// The pieces between "***", each eaten with one optional whitespace character on either side.
struct pylist checktext_split_stars(struct scratch *a, struct pyspan s);
// Pieces that are not blank; a blank one is forgiven at either end, and makes it SIZE_MAX inside.
size_t checktext_count_filled(struct pylist pieces);
// s.lower() == t.lower() after stripping both: what repeat and copy instructions compare.
bool checktext_same_stripped_lower(struct scratch *a, struct pyspan s, struct pyspan t);
// Non-overlapping matches of the stripped pattern, a regular expression, whatever its case.
size_t checktext_count_pattern(struct scratch *a, struct pyspan pattern, struct pyspan s);
// The word characters of s.
struct pyspan checktext_only_word(struct scratch *a, struct pyspan s);
// What the code released with Tülu 3 looks at: the text after the last "<|assistant|>\n", stripped.
struct pyspan checktext_after_assistant(struct pyspan s);

#endif
