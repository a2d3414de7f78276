// quantity.h: two numbers with units, put on a common footing before they are compared.
//
// Only units of names.h are known: lengths, masses, times, money, volumes, the two halves of a day.
// Any other unit, a missing one and units of different exponents say nothing; then only the numbers
// count, as people leave units out. Constant time, except for the search of a table.
#ifndef CARAVAN_VERIFIER_MATH_QUANTITY_H
#define CARAVAN_VERIFIER_MATH_QUANTITY_H

#include "verifier/math/tree.h"

// False: the units say nothing. True: *differ tells that they measure different things; if not, *a
// and *b are the values in the same unit.
bool quantity_convert(struct math_forest *f, uint32_t *a, uint32_t *b, bool *differ);

#endif
