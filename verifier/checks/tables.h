// tables.h: the tables of checks, one per file in this folder; each ends with a zeroed row.
//
// A check is a row: id, version, arguments, function (check.h). Adding one is a row in the file of
// its family; registry.c finds it by name and hello announces it. Constant data.
#ifndef CARAVAN_VERIFIER_CHECKS_TABLES_H
#define CARAVAN_VERIFIER_CHECKS_TABLES_H

#include "verifier/check.h"

extern const struct check_row checks_answers[];    // answers.c: against the row's ground truth
extern const struct check_row checks_ifeval[];     // ifeval.c: verifiable instructions

#endif
