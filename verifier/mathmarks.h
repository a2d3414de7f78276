// mathmarks.h: the mathematics that a response marks as such: boxes, dollars, \( \), \[ \]
// and displays (\begin{align} and its like).
//
// Models mark carelessly: boxes in boxes, a box that never closes, "$5" for money beside "$x$",
// a stray dollar at the end. So nothing is refused here; each function says what it takes.
//
// Linear time. Results point into the text, or into the scratch where pieces are put together.
#ifndef CARAVAN_VERIFIER_MATHMARKS_H
#define CARAVAN_VERIFIER_MATHMARKS_H

#include "verifier/pytext.h"

// What the last \boxed, \fbox or \framebox holds. Boxes joined by a comma, "and" or "or" are one
// answer: "\boxed{2} and \boxed{3}" gives "2,3". A box in a box is part of it. A box that does not
// close counts when no other does, up to the end of its line.
bool mathmarks_boxed(struct scratch *a, struct pyspan s, struct pyspan *out);

// The first pair of marks, and those joined to it as above; *at: where it begins, with the mark.
bool mathmarks_first(struct scratch *a, struct pyspan s, struct pyspan *out, size_t *at);
// The last pair of marks, and those joined to it that name the same: "$x = 1$ or $x = 2$".
bool mathmarks_last(struct scratch *a, struct pyspan s, struct pyspan *out);

#endif
