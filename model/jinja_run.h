// jinja_run.h: inside of one rendering: scopes, calls, and the tables of what can be called.
//
// A filter, a test, a method and a function of the environment are the same thing here: a row with
// a name, parameters and a C function over values. Filters, tests and methods have a subject, the
// value in front of them.
#ifndef CARAVAN_MODEL_JINJA_RUN_H
#define CARAVAN_MODEL_JINJA_RUN_H

#include <time.h>

#include "model/jinja_ast.h"
#include "model/jinja_text.h"

struct jinja_binding {
    const struct jinja_text *name;
    struct jinja_value value;
    struct jinja_binding *next;
};

// Assignments go to the innermost scope; look-ups go outwards.
struct jinja_scope {
    struct jinja_scope *outer;
    struct jinja_binding *bindings;
};

struct jinja_run {
    struct jinja_work *w;
    struct jinja_scope *scope;
    struct jinja_out *out;
    struct jinja_value captured;    // what JINJA_CAPTURED stands for
    const struct tm *now;
};

struct jinja_loop {
    const struct jinja_list *items;
    size_t at;
    struct jinja_value changed;    // what loop.changed saw last; ABSENT = nothing yet
};

struct jinja_macro {
    const struct jinja_macro_code *code;
    struct jinja_scope *scope;    // where it was defined
};

struct jinja_method {
    const struct jinja_builtin *function;
    struct jinja_value of;
};

struct jinja_actuals {
    struct jinja_list *positional;
    struct jinja_dict *named;    // keys are texts
};

enum { JINJA_MAX_PARAMETERS = 6 };

// a[0] is the subject (ABSENT for functions), then one value for each parameter, ABSENT where none
// was given.
typedef struct jinja_value jinja_bound_fn(struct jinja_run *r, const struct jinja_value *a);
typedef struct jinja_value jinja_any_fn(struct jinja_run *r, struct jinja_value subject,
                                        const struct jinja_actuals *args);

struct jinja_builtin {
    const char *name;
    const char *parameters;    // names with blanks between, at most JINJA_MAX_PARAMETERS
    size_t n_required;
    jinja_bound_fn *bound;
    jinja_any_fn *any;    // instead of `bound`: sees the arguments as they came
};

struct jinja_builtins {
    const struct jinja_builtin *at;
    size_t n;
};

// ---- the tables; NULL for an unknown name ----
const struct jinja_builtin *jinja_find_filter(const struct jinja_text *name);
const struct jinja_builtin *jinja_find_test(const struct jinja_text *name);
const struct jinja_builtin *jinja_find_function(const struct jinja_text *name);
const struct jinja_builtin *jinja_find_method(struct jinja_value of, const struct jinja_text *name);
const struct jinja_builtin *jinja_find_in(struct jinja_builtins table,
                                          const struct jinja_text *name);
extern const struct jinja_builtins jinja_text_filters;        // jinja_filters.c
extern const struct jinja_builtins jinja_sequence_filters;    // jinja_sequences.c
extern const struct jinja_builtins jinja_text_methods;        // jinja_strings.c
// Does Python have this method on the value, as one that changes it?
bool jinja_is_mutator(struct jinja_value of, const struct jinja_text *name);

// ---- calling (jinja_call.c) ----
struct jinja_value jinja_apply(struct jinja_run *r, const struct jinja_builtin *b,
                               struct jinja_value subject, const struct jinja_actuals *args);
struct jinja_value jinja_call(struct jinja_run *r, struct jinja_value callee,
                              const struct jinja_actuals *args);
struct jinja_value jinja_bind_method(struct jinja_run *r, const struct jinja_builtin *b,
                                     struct jinja_value of);

// ---- evaluating ----
enum jinja_flow { JINJA_ON, JINJA_BREAK, JINJA_CONTINUE };
struct jinja_value jinja_eval(struct jinja_run *r, const struct jinja_expr *e);    // jinja_eval.c
struct jinja_actuals jinja_eval_arguments(struct jinja_run *r, const struct jinja_arguments *a);
enum jinja_flow jinja_exec(struct jinja_run *r, const struct jinja_body *body);    // jinja_exec.c
void jinja_set(struct jinja_run *r, const struct jinja_text *name, struct jinja_value v);
struct jinja_scope *jinja_scope_make(struct jinja_run *r, struct jinja_scope *outer);
// The body's output as a text, its assignments going to `scope`.
struct jinja_value jinja_capture(struct jinja_run *r, const struct jinja_body *body,
                                 struct jinja_scope *scope, enum jinja_flow *flow);

// ---- operators (jinja_ops.c) ----
struct jinja_value jinja_binary(struct jinja_work *w, int op, struct jinja_value a,
                                struct jinja_value b);
struct jinja_value jinja_sign(struct jinja_work *w, bool negative, struct jinja_value v);
bool jinja_compares(struct jinja_work *w, int op, struct jinja_value a, struct jinja_value b);
// from, to, by: ABSENT or none where not given.
struct jinja_value jinja_slice(struct jinja_work *w, struct jinja_value v, struct jinja_value from,
                               struct jinja_value to, struct jinja_value by);
struct jinja_value jinja_attribute(struct jinja_run *r, struct jinja_value of,
                                   const struct jinja_text *name);
struct jinja_value jinja_item(struct jinja_run *r, struct jinja_value of, struct jinja_value at);
// "%s" and its kin (jinja_format.c); args: a tuple, a dict or one value.
struct jinja_value jinja_format(struct jinja_work *w, const struct jinja_text *pattern,
                                struct jinja_value args);

#endif
