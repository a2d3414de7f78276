// compare.h: two parsed answers, structure by structure.
//
// Numbers by value; solutions, lists and sets without regard to order; points and vectors with it;
// intervals with their ends; equations up to a factor; inequalities as the interval they describe;
// words as words. Units, money signs and names in front ("x =") do not count.
#ifndef CARAVAN_VERIFIER_MATH_COMPARE_H
#define CARAVAN_VERIFIER_MATH_COMPARE_H

#include "verifier/math/equiv.h"
#include "verifier/math/tree.h"

enum math_verdict compare_answers(struct math_forest *f, uint32_t truth, uint32_t answer);

#endif
