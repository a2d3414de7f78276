// mathscope.h: does a text stand for one number or one expression?
//
// The check "math" follows the MATH verifier of Tülu 3, which compares numbers and expressions by
// mathematics and everything else (sets, tuples, intervals, matrices, relations, percentages) as
// text. This is where it draws the line: numbers with thousands separators, mixed numbers, digits
// in a base; letters, at most two in a row, or the one letter of a choice ("B." "B)"); operators,
// fractions, roots, powers, the usual functions, sums, binomials, absolute values, floors, ratios
// a:b. Braces need not balance: reading is the parser's business. A unit, "\text{…}" at the end,
// does not count. Forms that can be taken in two ways stay text: "2e-1", "7th", "an 8".
//
// Linear time, no memory.
#ifndef CARAVAN_VERIFIER_MATHSCOPE_H
#define CARAVAN_VERIFIER_MATHSCOPE_H

#include "verifier/pytext.h"

bool mathscope_is_expression(struct pyspan s);
// "\text{…}" and nothing else, with a letter in it: words.
bool mathscope_is_words(struct pyspan s);
// "777" where the truth is "777_8": the digits of the truth, whose base the question has named.
bool mathscope_leaves_out_base(struct pyspan truth, struct pyspan answer);

#endif
