// check.h: what one check is: a row in a table under checks/, with its arguments declared beside
// its function.
//
// To add a check: write a check_fn in a file under checks/, give it a row in that file's table, and
// (for a new file) name the table in registry.c. Arguments are parsed and type-checked before the
// function runs, so it reads in->args[i] in the order of its argument table and nothing else.
#ifndef CARAVAN_VERIFIER_CHECK_H
#define CARAVAN_VERIFIER_CHECK_H

#include "verifier/pytext.h"

#define CHECK_MAX_ARGS 6
#define CHECK_MAX_LIST 256    // strings in one list argument

enum check_arg_type {
    CHECK_ARG_END,         // ends a table
    CHECK_ARG_INT,         // JSON integer (or a real with an integral value), 0 or more
    CHECK_ARG_STR,         // JSON string
    CHECK_ARG_STR_LIST,    // JSON list of strings, not empty
    CHECK_ARG_RELATION,    // "less than" or "at least"
};

struct check_arg_spec {
    const char *name;
    enum check_arg_type type;
    const char *fallback;    // default as JSON text; NULL: the argument is required
};

enum check_relation { CHECK_LESS_THAN, CHECK_AT_LEAST };

// A parsed argument; the member follows the type in the table.
struct check_arg {
    int64_t integer;
    enum check_relation relation;
    struct pytext text;
    struct pytext *list;
    size_t n_list;
};

struct check_input {
    struct pyspan response;          // what is judged (in loose mode: one variant of it)
    struct pyspan truth;             // CHECK_TRUTH rows: the ground-truth string
    const struct check_arg *args;    // in the order of the row's table
};

// ERR_OK sets *pass. Any error means that the check could not decide; the verdict is then unscored
// with why's text.
typedef enum err check_fn(const struct check_input *in, bool *pass, struct why *why);

enum check_kind {
    CHECK_INSTRUCTION,    // judges the response by its arguments; a blank response fails; has a
                          // loose mode
    CHECK_TRUTH,          // compares the response with the row's ground truth; takes no arguments
    CHECK_SUITE,    // a dataset name whose ground truth lists instructions; no function of its own
};

struct check_row {
    const char *id;
    const char *version;    // raised whenever a verdict can change
    enum check_kind kind;
    check_fn *run;
    struct check_arg_spec args[CHECK_MAX_ARGS + 1];
    const char *doc;    // one line for people
};

#endif
