// equiv.h: is an answer the same mathematical object as the ground truth?
//
// Both are LaTeX or plain text, without the surrounding prose. Scalars are compared exactly where
// an exact form exists (exact.h), otherwise by rigorous enclosure (enclose.h); what neither settles
// within the limits is undecided, never guessed. docs/maths-equivalence.md says by example what
// counts as the same.
//
// Bounded by the text's length (lex.h), the forest's nodes and its steps (tree.h).
#ifndef CARAVAN_VERIFIER_MATH_EQUIV_H
#define CARAVAN_VERIFIER_MATH_EQUIV_H

#include "verifier/pytext.h"

enum math_verdict { MATH_DIFFERENT, MATH_EQUAL, MATH_UNDECIDED };
// How notation is taken that readers disagree about.
enum math_style {
    MATH_EVERYDAY,    // \log is to the base 10; texts that differ only in case are the same
    MATH_SYMBOLIC     // \log is \ln; x and X are two symbols
};

// *why: the reason when undecided (static text).
enum math_verdict math_equiv(struct scratch *s, struct pyspan truth, struct pyspan answer,
                             enum math_style style, const char **why);
// Is the text as a whole a mathematical answer?
bool math_parses(struct scratch *s, struct pyspan text);

#endif
