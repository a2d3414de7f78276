// jinja_value.h: the values of a template: Python's, as far as chat templates meet them.
//
// A value is 16 bytes, passed around by copy; what it points to lies in the arena of the rendering
// or, for constants, of the template. All of it is immutable once made, except namespaces, loops
// and iterators, which nothing outside one rendering can hold.
//
// Integers are 64 bits wide (Python's have no bound): a result that does not fit is an error. Texts
// are bytes, counted and cut by character; a byte that is no UTF-8 is a character of its own.
#ifndef CARAVAN_MODEL_JINJA_VALUE_H
#define CARAVAN_MODEL_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/jinja_work.h"

enum jinja_kind {
    JINJA_ABSENT,       // an argument that was not given; templates never see it
    JINJA_UNDEFINED,    // .text says what is undefined
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_TEXT,
    JINJA_LIST,    // these five have .list
    JINJA_TUPLE,
    JINJA_RANGE,    // of range(): start, stop, step
    JINJA_VIEW,     // of dict.keys(), values(), items()
    JINJA_ITER,     // what a generator would be: gone through once
    JINJA_DICT,     // these two have .dict
    JINJA_NAMESPACE,
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_METHOD,      // a function and the value it was taken from
    JINJA_FUNCTION,    // of the environment: range, namespace …
};

struct jinja_text {
    const char *bytes;
    size_t len;
};

struct jinja_value {
    enum jinja_kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        const struct jinja_text *text;
        struct jinja_list *list;
        struct jinja_dict *dict;
        struct jinja_loop *loop;              // jinja_run.h
        const struct jinja_macro *macro;      // jinja_run.h
        const struct jinja_method *method;    // jinja_run.h
        const struct jinja_builtin *function;
    };
};

struct jinja_list {
    struct jinja_value *items;
    size_t n, cap;
    int64_t start, stop, step;    // RANGE
    const char *type;             // VIEW and ITER: "dict_keys", "generator"
    bool spent;                   // ITER
};

struct jinja_entry {
    struct jinja_value key, value;
};

struct jinja_dict {
    struct jinja_entry *entries;    // in order of insertion
    size_t n, cap;
};

// ---- making ----
struct jinja_value jinja_none(void);
struct jinja_value jinja_bool(bool truth);
struct jinja_value jinja_int(int64_t integer);
struct jinja_value jinja_float(double real);
struct jinja_value jinja_from_text(const struct jinja_text *text);
struct jinja_value jinja_borrow(struct jinja_work *w, const char *bytes, size_t len);    // no copy
struct jinja_value jinja_copy(struct jinja_work *w, const char *bytes, size_t len);
struct jinja_value jinja_undefined(struct jinja_work *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct jinja_list *jinja_list_make(struct jinja_work *w, size_t cap);
void jinja_list_push(struct jinja_work *w, struct jinja_list *list, struct jinja_value v);
struct jinja_value jinja_from_list(enum jinja_kind kind, struct jinja_list *list);
struct jinja_value jinja_pair(struct jinja_work *w, struct jinja_value a, struct jinja_value b);
struct jinja_dict *jinja_dict_make(struct jinja_work *w);
// Replaces the value of an equal key, which keeps its place. A key that is a list or dict fails.
void jinja_dict_set(struct jinja_work *w, struct jinja_dict *dict, struct jinja_value key,
                    struct jinja_value value);
// NULL when there is none.
const struct jinja_value *jinja_dict_get(struct jinja_work *w, const struct jinja_dict *dict,
                                         struct jinja_value key);
const struct jinja_value *jinja_dict_named(struct jinja_work *w, const struct jinja_dict *dict,
                                           const struct jinja_text *key);

// ---- asking ----
bool jinja_is_number(struct jinja_value v);                 // int, float or bool
bool jinja_is_whole(struct jinja_value v, int64_t *out);    // int or bool
double jinja_as_real(struct jinja_value v);                 // of a number
bool jinja_is_row(struct jinja_value v);                    // has .list
const char *jinja_type(struct jinja_value v);               // "str", as Python calls it
bool jinja_true(struct jinja_value v);
bool jinja_equal(struct jinja_work *w, struct jinja_value a, struct jinja_value b);
bool jinja_same(struct jinja_value a, struct jinja_value b);    // Python's `is`
// -1, 0, 1, or 2 where one is NaN; fails for values that have no order.
int jinja_compare(struct jinja_work *w, struct jinja_value a, struct jinja_value b);
bool jinja_contains(struct jinja_work *w, struct jinja_value within, struct jinja_value v);
// False for what has no length; of a text in characters.
bool jinja_length(struct jinja_work *w, struct jinja_value v, size_t *out);
// The items of what can be iterated (characters, keys …); NULL for what cannot. Read only.
struct jinja_list *jinja_iterate_maybe(struct jinja_work *w, struct jinja_value v);
struct jinja_list *jinja_iterate(struct jinja_work *w, struct jinja_value v);    // fails instead
// Use of an undefined value where Python needs one.
_Noreturn void jinja_fail_undefined(struct jinja_work *w, struct jinja_value v);

#endif
