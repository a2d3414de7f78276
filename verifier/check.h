// check.h: what one check is: a row in a table under checks/, with its arguments declared beside
// its function.
//
// To add a check: write a check_fn in a file under checks/, give it a row in that file's table, and
// (for a new file) name the table in registry.c. Arguments are parsed and type-checked before the
// function runs, so it reads c->args[i] in the order of its argument table and nothing else. It
// takes memory from c->scratch and gives none back; what it cannot decide it leaves through
// scratch_fail, and the verdict is then unscored with that text.
#ifndef CARAVAN_VERIFIER_CHECK_H
#define CARAVAN_VERIFIER_CHECK_H

#include "verifier/pytext.h"

#define CHECK_MAX_ARGS 6
#define CHECK_MAX_LIST 256    // strings in one list argument

enum check_arg_type {
    CHECK_ARG_END,         // ends a table
    CHECK_ARG_INT,         // JSON integer (or a real with an integral value), 0 or more
    CHECK_ARG_NUMBER,      // JSON number
    CHECK_ARG_BOOL,        // true or false
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
    int64_t integer;    // CHECK_ARG_BOOL: 0 or 1
    double number;
    enum check_relation relation;
    struct pyspan text;
    struct pylist list;
};

// What a check looks at.
struct check {
    struct scratch *scratch;
    struct pyspan response;          // what is judged (in loose mode: one variant of it)
    struct pyspan truth;             // CHECK_TRUTH rows: the ground-truth string
    const struct check_arg *args;    // in the order of the row's table
    bool stopped;                    // the response ended by itself, not at the length limit
};

typedef bool check_fn(const struct check *c);
typedef double check_measure_fn(const struct check *c);    // 0 … 1

enum check_kind {
    CHECK_INSTRUCTION,    // judges the response by its arguments; a blank response fails; has a
                          // loose mode
    CHECK_FUNCTION,       // judges the response by its arguments, blank or not; no loose mode
    CHECK_TRUTH,          // compares the response with the row's ground truth; takes no arguments
    CHECK_SUITE,    // a dataset name whose ground truth lists instructions; no function of its own
};

struct check_row {
    const char *id;
    const char *version;    // raised whenever a verdict can change
    enum check_kind kind;
    check_fn *holds;
    struct check_arg_spec args[CHECK_MAX_ARGS + 1];
    const char *doc;              // one line for people
    check_measure_fn *measure;    // instead of holds: a value between 0 and 1
};

// Rows of a table.
#define CHECK_INSTRUCTION_ROW(name, revision, fn, text, ...)                                       \
    {                                                                                              \
        .id = name, .version = revision, .kind = CHECK_INSTRUCTION, .holds = fn,                   \
        .args = {__VA_ARGS__}, .doc = text                                                         \
    }
#define CHECK_FUNCTION_ROW(name, revision, fn, text, ...)                                          \
    {                                                                                              \
        .id = name, .version = revision, .kind = CHECK_FUNCTION, .holds = fn,                      \
        .args = {__VA_ARGS__}, .doc = text                                                         \
    }
#define CHECK_REQUIRED(name, type)                                                                 \
    {                                                                                              \
        name, type, NULL                                                                           \
    }
#define CHECK_INT(name) CHECK_REQUIRED(name, CHECK_ARG_INT)
#define CHECK_NUMBER(name) CHECK_REQUIRED(name, CHECK_ARG_NUMBER)
#define CHECK_STR(name) CHECK_REQUIRED(name, CHECK_ARG_STR)
#define CHECK_LIST(name) CHECK_REQUIRED(name, CHECK_ARG_STR_LIST)
#define CHECK_RELATION(name) CHECK_REQUIRED(name, CHECK_ARG_RELATION)
#define CHECK_NO_ARGS                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

// n compared with an INT and a RELATION argument, as most counting checks end.
static inline bool check_related(size_t n, const struct check_arg *limit,
                                 const struct check_arg *relation)
{
    return relation->relation == CHECK_LESS_THAN ? (int64_t)n < limit->integer
                                                 : (int64_t)n >= limit->integer;
}

#endif
