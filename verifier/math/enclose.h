// enclose.h: expressions compared by rigorous enclosure, where no exact form decides.
//
// Both are evaluated in ball arithmetic (Arb) with rising precision. Balls of the difference that
// exclude zero prove the two different. Equality is never proved this way, but accepted, under
// stated rules: constants must agree to ENCLOSE_CONSTANT_BITS bits; expressions with symbols must
// agree to ENCLOSE_POINT_BITS bits at ENCLOSE_POINTS points, positive and negative ones. Two
// different answers that people write do not come that close.
#ifndef CARAVAN_VERIFIER_MATH_ENCLOSE_H
#define CARAVAN_VERIFIER_MATH_ENCLOSE_H

#include "verifier/math/exact.h"

#define ENCLOSE_CONSTANT_BITS 900
#define ENCLOSE_POINT_BITS 200
#define ENCLOSE_POINTS 8

enum exact_result enclose_compare(struct math_forest *f, uint32_t a, uint32_t b);

#endif
