// jinja_ast.h: a parsed template: statements and expressions, immutable after parsing.
//
// Every node knows its line, for messages, and expressions the depth of the tree below them, which
// the parser bounds: evaluation recurses over it. Filters, tests and tags are resolved while
// parsing, so what is in the tree can be evaluated.
#ifndef CARAVAN_MODEL_JINJA_AST_H
#define CARAVAN_MODEL_JINJA_AST_H

#include "model/jinja_value.h"

struct jinja_builtin;    // jinja_run.h

enum jinja_expr_kind {
    JINJA_E_CONSTANT,
    JINJA_E_NAME,
    JINJA_E_ATTRIBUTE,    // of.name
    JINJA_E_ITEM,         // of[at]
    JINJA_E_SLICE,        // of[from:to:by]
    JINJA_E_CALL,
    JINJA_E_FILTER,
    JINJA_E_TEST,
    JINJA_E_NOT,
    JINJA_E_NEGATIVE,
    JINJA_E_POSITIVE,
    JINJA_E_BINARY,     // arithmetic, op as in a token
    JINJA_E_COMPARE,    // a < b <= c …
    JINJA_E_AND,
    JINJA_E_OR,
    JINJA_E_CONCAT,    // a ~ b
    JINJA_E_IF,        // a if test else b
    JINJA_E_LIST,
    JINJA_E_TUPLE,
    JINJA_E_DICT,
};

struct jinja_exprs {
    struct jinja_expr **at;
    size_t n, cap;
};

struct jinja_argument {
    const struct jinja_text *name;
    struct jinja_expr *value;
};

struct jinja_arguments {
    struct jinja_exprs positional;
    struct jinja_argument *named;
    size_t n_named, cap_named;
    struct jinja_expr *star, *star_star;    // *args, **kwargs; NULL = none
};

// An operator is its character, or two of them; and there are two words.
#define JINJA_OP2(a, b) ((a) << 8 | (b))    // '*' '*' …
enum { JINJA_OP_IN = 0x10000, JINJA_OP_NOT_IN };

struct jinja_comparison {
    int op;
    struct jinja_expr *with;
};

struct jinja_expr {
    enum jinja_expr_kind kind;
    int line, depth;
    int op;                              // BINARY
    struct jinja_value value;            // CONSTANT
    const struct jinja_text *name;       // NAME, ATTRIBUTE
    struct jinja_expr *a, *b, *c, *d;    // operands in the order of the source; the test of IF is c
    const struct jinja_builtin *builtin;    // FILTER, TEST
    struct jinja_arguments *arguments;      // CALL, FILTER, TEST
    struct jinja_exprs items;               // LIST, TUPLE; DICT: key, value, key, value …
    struct jinja_comparison *comparisons;
    size_t n_comparisons, cap_comparisons;
};

enum jinja_statement_kind {
    JINJA_S_DATA,
    JINJA_S_PRINT,
    JINJA_S_IF,           // a: test, body, otherwise (elif is an IF of its own in branches)
    JINJA_S_FOR,          // target, a: items, b: condition or NULL, body, otherwise
    JINJA_S_SET,          // target, a
    JINJA_S_SET_BLOCK,    // target, body, a: filters over the captured text, or NULL
    JINJA_S_MACRO,
    JINJA_S_CALL,      // macro: the caller; a: the call
    JINJA_S_FILTER,    // body, a: filters over the captured text
    JINJA_S_WITH,      // targets[i] = values.at[i], body
    JINJA_S_SCOPE,     // {% generation %}
    JINJA_S_BREAK,
    JINJA_S_CONTINUE,
};

// What `set` and `for` assign to: a name, an attribute of a namespace, or a tuple of such.
struct jinja_target {
    const struct jinja_text *name, *attribute;    // attribute NULL: the name itself
    struct jinja_target *parts;                   // n_parts > 0: a tuple
    size_t n_parts, cap_parts;
};

struct jinja_body {
    struct jinja_statement **at;
    size_t n, cap;
};

struct jinja_branch {
    struct jinja_expr *test;    // NULL: else
    struct jinja_body body;
};

struct jinja_parameter {
    const struct jinja_text *name;
    struct jinja_expr *standard;    // NULL: none
};

struct jinja_macro_code {
    const struct jinja_text *name;
    struct jinja_parameter *parameters;
    size_t n_parameters, cap_parameters;
    bool takes_varargs, takes_kwargs, takes_caller;    // the body names them
    struct jinja_body body;
};

struct jinja_statement {
    enum jinja_statement_kind kind;
    int line;
    const struct jinja_text *text;    // DATA
    struct jinja_expr *a, *b;
    struct jinja_target target;
    struct jinja_body body, otherwise;
    struct jinja_branch *branches;    // IF: if, elif …, else
    size_t n_branches, cap_branches;
    struct jinja_target *targets;    // WITH
    struct jinja_exprs values;
    struct jinja_macro_code *macro;
};

// Stands for the captured text in the filters of SET_BLOCK and FILTER: a constant of kind ABSENT.
#define JINJA_CAPTURED JINJA_ABSENT

struct jinja_template {
    struct jinja_work work;    // holds the tree's memory
    char *name;
    struct jinja_body body;
};

#endif
