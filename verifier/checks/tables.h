// tables.h: the tables of checks, one per file in this folder; each ends with a zeroed row.
//
// A check is a row: id, version, arguments, function (check.h). Adding one is a row in the file of
// its family; registry.c finds it by name and hello announces it. Constant data.
#ifndef CARAVAN_VERIFIER_CHECKS_TABLES_H
#define CARAVAN_VERIFIER_CHECKS_TABLES_H

#include "verifier/check.h"

extern const struct check_row checks_answers[];              // against the row's ground truth
extern const struct check_row checks_ifeval[];               // IFEval: 20 of 25 instructions
extern const struct check_row checks_ifeval_language[];      // sentences, tokens, languages: 5
extern const struct check_row checks_iftrain[];              // functions of RLVR-IF's training set
extern const struct check_row checks_ifevalg[];              // later training suite: 22 of 29
extern const struct check_row checks_ifevalg_sentences[];    // on sentences or word tokens: 7
extern const struct check_row checks_ifbench_count[];        // IFBench: count:*, ratio:*
extern const struct check_row checks_ifbench_words[];        // words:*, repeat:*
extern const struct check_row checks_ifbench_format[];       // format:*
extern const struct check_row checks_ifbench_custom[];       // custom:*
extern const struct check_row checks_ifbench_sentences[];    // those on sentences or word tokens
extern const struct check_row checks_math[];                 // mathematical answers
extern const struct check_row checks_shaping[];              // forms and lengths for shaping

#endif
