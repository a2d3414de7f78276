// mathstring.h: are two LaTeX answers the same text, once habits of writing are taken away?
//
// The string rule of the MATH data set (Hendrycks et al. 2021): \dfrac is \frac, \left( is (,
// spaces and a unit after "\text{ " do not count, \frac12 is \frac{1}{2}, 0.5 and 1/2 are
// \frac{1}{2}, and so on. Some texts it cannot read (a "/" between anything but two integers, an
// empty argument at the end); then the two are compared as they stand. No mathematics: 0.50 is not
// 0.5.
//
// Linear time, memory from the scratch.
#ifndef CARAVAN_VERIFIER_MATHSTRING_H
#define CARAVAN_VERIFIER_MATHSTRING_H

#include "verifier/pytext.h"

bool mathstring_equal(struct scratch *a, struct pyspan x, struct pyspan y);
// The plain form that is compared; false when the rule cannot read s.
bool mathstring_plain(struct scratch *a, struct pyspan s, struct pyspan *out);

#endif
