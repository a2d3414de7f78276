// exact.h: expressions as fractions of polynomials, compared exactly.
//
// The indeterminates are the symbols and whatever arithmetic cannot see through: pi, e, i, roots
// and logarithms of primes, functions of anything. Roots obey r^n = radicand, i^2 = -1,
// sin^2 = 1 - cos^2, |u|^2 = u^2. A difference that is the zero polynomial is zero: that proves
// equality. A difference that is not proves the contrary only where the indeterminates are known
// to be independent (symbols, i, roots of primes and one of pi, e, log p); elsewhere the answer is
// EXACT_UNSURE and enclose.h has the word.
//
// Symbols stand for real numbers, an odd root of a negative number is the real one, log is to the
// base 10. Where a fraction of polynomials is undefined at single points it is not pursued there.
#ifndef CARAVAN_VERIFIER_MATH_EXACT_H
#define CARAVAN_VERIFIER_MATH_EXACT_H

#include "verifier/math/tree.h"

enum exact_result { EXACT_EQUAL, EXACT_DIFFERENT, EXACT_UNSURE };

enum exact_result exact_compare(struct math_forest *f, uint32_t a, uint32_t b);
// Is a = c b with a constant c that is not 0? *sign: of c, or 0 if not known.
enum exact_result exact_proportional(struct math_forest *f, uint32_t a, uint32_t b, int *sign);
// The rational number a, if it is seen to be one. *out is set up by the caller.
bool exact_rational(struct math_forest *f, uint32_t a, fmpq_t out);

#endif
