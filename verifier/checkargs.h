// checkargs.h: kwargs of a check from JSON, against the row's argument table.
//
// A check's row declares its arguments; this is the only reader of them, so every check refuses the
// same mistakes in the same words. Arguments come from data rows: they are untrusted and bounded by
// the request's own limits. Runs in the worker.
#ifndef CARAVAN_VERIFIER_CHECKARGS_H
#define CARAVAN_VERIFIER_CHECKARGS_H

#include <jansson.h>

#include "verifier/check.h"

// CHECK_MAX_ARGS arguments in table order, in the scratch, from `kwargs` (an object, null or NULL).
// Members with the value null count as absent. Missing, unknown or ill-typed arguments leave
// through scratch_fail with ERR_INVALID; the text names argument, value and expectation.
struct check_arg *checkargs_parse(struct scratch *a, const struct check_row *row,
                                  const json_t *kwargs);
// "integer", "text", …: for people.
const char *checkargs_type_name(enum check_arg_type type);

#endif
