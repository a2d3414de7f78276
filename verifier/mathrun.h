// mathrun.h: mathematics that stands in prose without any mark: "So we get 1/4 as the result".
//
// Text is cut at blanks into tokens (blanks inside braces do not cut). A token is prose when it has
// a word in it, that is two letters or more that are no command's, no function's name and no
// common pair of variables; the longest rows of other tokens are runs. Which run is the answer
// depends on the place: the first after "the answer is", the last in a solution.
//
// Of a computation, "3 + 4 = 7", a run is its result. Linear time; results point into the text.
#ifndef CARAVAN_VERIFIER_MATHRUN_H
#define CARAVAN_VERIFIER_MATHRUN_H

#include "verifier/pytext.h"

// Reads as words rather than as a formula: what stands between two formulas.
bool mathrun_is_prose(struct pyspan s);
bool mathrun_has_words(struct pyspan s);    // at least one

// The first run of a sentence with a digit or a command in it. "and" and "or" between runs are part
// of the run, a sentence without any word is a run as a whole.
bool mathrun_first(struct pyspan sentence, struct pyspan *out);
// The last run of a text with a digit or a command in it; it ends at a line end, at a comma or at
// the end of a sentence, and two whole numbers side by side are two runs ("9 250" is one number).
bool mathrun_last(struct pyspan s, struct pyspan *out);
// Without the punctuation, emphasis and quotes of prose around it.
struct pyspan mathrun_trim(struct pyspan s);
// Ends in a number that goes on: "0.333...".
bool mathrun_goes_on(struct pyspan s);

#endif
