// pyliteral.h: reads what Python's ast.literal_eval reads, as far as labels of data sets use it.
//
// Training sets made with Python keep structured labels as repr() text: single-quoted strings,
// None, True, tuples. In: such a text, untrusted. Out: the same value as JSON. Strings with any
// prefix of r, u, b and every escape, numbers, None, True, False, lists, tuples, dicts with string
// keys; not sets, complex numbers or expressions. Depth at most JSON_MAX_DEPTH; time O(n).
#ifndef CARAVAN_VERIFIER_PYLITERAL_H
#define CARAVAN_VERIFIER_PYLITERAL_H

#include <jansson.h>

#include "verifier/scratch.h"

// The value lives as long as the scratch. Leaves through scratch_fail with ERR_INVALID or
// ERR_LIMIT; the text begins with `where` and names the byte.
const json_t *pyliteral_parse(struct scratch *a, const char *text, size_t len, const char *where);

#endif
