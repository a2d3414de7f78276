// pyjson.h: does Python's json.loads accept this text?
//
// Some instructions ask for an answer in JSON, and the reference decides with Python's parser,
// which accepts more than the standard and gives up where the standard does not. Only the question
// is answered; no value is built. In: the characters of a response. Pure function, runs in the
// worker.
#ifndef CARAVAN_VERIFIER_PYJSON_H
#define CARAVAN_VERIFIER_PYJSON_H

#include "verifier/pytext.h"

#define PYJSON_DEPTH_MAX 990      // nesting at which CPython's recursion limit of 1000 ends a parse
#define PYJSON_INT_DIGITS 4300    // longer integers are refused by int() since CPython 3.11

// True when json.loads(s) of CPython 3.11 would return a value: RFC 8259 with NaN, Infinity,
// -Infinity and lone surrogate escapes allowed, any value at the top, duplicate keys and
// overflowing numbers accepted. Time O(n), stack O(1).
bool pyjson_valid(struct pyspan s);

#endif
