// checkargs.h: kwargs of a check from JSON, against the row's argument table.
//
// A check's row declares its arguments; this is the only reader of them, so every check refuses the
// same mistakes in the same words. Arguments come from data rows: they are untrusted and bounded by
// the request's own limits. Runs in the worker. Texts are owned by args until checkargs_fini.
#ifndef CARAVAN_VERIFIER_CHECKARGS_H
#define CARAVAN_VERIFIER_CHECKARGS_H

#include <jansson.h>

#include "verifier/check.h"

// Fills args[0..CHECK_MAX_ARGS) in table order from `kwargs` (an object, null or NULL). Members
// with the value null count as absent. Missing, unknown or ill-typed arguments are ERR_INVALID;
// `why` names argument, value and expectation. On failure args is zeroed.
MUST_CHECK enum err checkargs_parse(const struct check_row *row, const json_t *kwargs,
                                    struct check_arg args[CHECK_MAX_ARGS], struct why *why);
void checkargs_fini(struct check_arg args[CHECK_MAX_ARGS]);

#endif
