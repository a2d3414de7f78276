// registry.h: all checks by name, across the tables of checks/.
//
// An id may name a check or a whole verifier of a data set. The rows are constant, so pointers stay
// valid for ever and any thread may ask. What the daemon offers to the learner is exactly this
// list.
#ifndef CARAVAN_VERIFIER_REGISTRY_H
#define CARAVAN_VERIFIER_REGISTRY_H

#include "verifier/check.h"

// The row of an id ("gsm8k", "keywords:existence", "ifeval"), or NULL. id need not be
// NUL-terminated.
const struct check_row *registry_find(const char *id, size_t len);
// Row i in table order, NULL past the end: for hello, help texts and tests.
const struct check_row *registry_at(size_t i);
size_t registry_count(void);

#endif
