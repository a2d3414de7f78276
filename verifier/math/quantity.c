// quantity.c: kinds of quantity first, then factors.
//
// A ratio is a time of day here (4:15 p.m.), of which nothing can be converted.
#include "verifier/math/quantity.h"

#include <string.h>

#include "verifier/math/names.h"

// The value in the unit that its kind of quantity is counted in.
static uint32_t in_base_units(struct math_forest *f, uint32_t i, const struct math_unit *unit)
{
    const struct math_node n = *math_at(f, i);
    uint32_t one = math_binary(f, MATH_DIV, math_integer(f, unit->num), math_integer(f, unit->den)),
             value = n.arg[0];
    for (uint32_t k = 0; k < n.id; k++) {
        value = math_binary(f, MATH_MUL, value, one);
    }
    return value;
}

bool quantity_convert(struct math_forest *f, uint32_t *a, uint32_t *b, bool *differ)
{
    const struct math_node x = *math_at(f, *a), y = *math_at(f, *b);
    if (x.kind != MATH_UNIT || y.kind != MATH_UNIT || x.id != y.id || x.id < 1 || x.id > 3) {
        return false;
    }
    const struct math_unit *u = math_name_unit(x.text), *w = math_name_unit(y.text);
    if (!u || !w || u->quantity[0] == 0 || w->quantity[0] == 0) {
        return false;
    }
    *differ = strcmp(u->quantity, w->quantity) != 0;
    if (*differ || u->num * w->den == w->num * u->den || math_contains(f, *a, MATH_RATIO) ||
        math_contains(f, *b, MATH_RATIO)) {
        return *differ;
    }
    *a = in_base_units(f, *a, u);
    *b = in_base_units(f, *b, w);
    return true;
}
