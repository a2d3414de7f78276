// jinja_value.c: making values, and the questions Python asks them: truth, equality, order,
// membership, length, iteration.
//
// Dicts are searched from the front: the dicts of chat templates have a handful of keys, and the
// step limit bounds those that have more.

#include "model/jinja_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/jinja_text.h"

// ---- making ----

struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.kind = JINJA_NONE};
}

struct jinja_value jinja_bool(bool truth)
{
    return (struct jinja_value){.kind = JINJA_BOOL, .truth = truth};
}

struct jinja_value jinja_int(int64_t integer)
{
    return (struct jinja_value){.kind = JINJA_INT, .integer = integer};
}

struct jinja_value jinja_float(double real)
{
    return (struct jinja_value){.kind = JINJA_FLOAT, .real = real};
}

struct jinja_value jinja_from_text(const struct jinja_text *text)
{
    return (struct jinja_value){.kind = JINJA_TEXT, .text = text};
}

struct jinja_value jinja_borrow(struct jinja_work *w, const char *bytes, size_t len)
{
    struct jinja_text *t = jinja_alloc(w, sizeof *t);
    *t = (struct jinja_text){len == 0 ? "" : bytes, len};
    return jinja_from_text(t);
}

struct jinja_value jinja_copy(struct jinja_work *w, const char *bytes, size_t len)
{
    char *copy = jinja_alloc(w, len);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    return jinja_borrow(w, copy, len);
}

struct jinja_value jinja_undefined(struct jinja_work *w, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct jinja_value v = jinja_copy(w, text, MIN((size_t)MAX(n, 0), sizeof text - 1));
    v.kind = JINJA_UNDEFINED;
    return v;
}

struct jinja_list *jinja_list_make(struct jinja_work *w, size_t cap)
{
    struct jinja_list *list = jinja_zeroed(w, sizeof *list);
    list->items = jinja_array(w, cap, sizeof *list->items);
    list->cap = cap;
    return list;
}

void jinja_list_push(struct jinja_work *w, struct jinja_list *list, struct jinja_value v)
{
    list->items = jinja_grow(w, list->items, list->n, &list->cap, sizeof *list->items);
    list->items[list->n++] = v;
}

struct jinja_value jinja_from_list(enum jinja_kind kind, struct jinja_list *list)
{
    return (struct jinja_value){.kind = kind, .list = list};
}

struct jinja_value jinja_pair(struct jinja_work *w, struct jinja_value a, struct jinja_value b)
{
    struct jinja_list *pair = jinja_list_make(w, 2);
    jinja_list_push(w, pair, a);
    jinja_list_push(w, pair, b);
    return jinja_from_list(JINJA_TUPLE, pair);
}

struct jinja_dict *jinja_dict_make(struct jinja_work *w)
{
    return jinja_zeroed(w, sizeof(struct jinja_dict));
}

static void check_key(struct jinja_work *w, struct jinja_value key)
{
    if (key.kind == JINJA_LIST || key.kind == JINJA_DICT || key.kind == JINJA_VIEW) {
        jinja_fail(w, ERR_INVALID, "a %s as the key of a dict", jinja_type(key));
    }
    jinja_enter(w);
    for (size_t i = 0; key.kind == JINJA_TUPLE && i < key.list->n; i++) {
        check_key(w, key.list->items[i]);
    }
    jinja_leave(w);
}

const struct jinja_value *jinja_dict_get(struct jinja_work *w, const struct jinja_dict *dict,
                                         struct jinja_value key)
{
    check_key(w, key);
    for (size_t i = 0; i < dict->n; i++) {
        if (jinja_equal(w, dict->entries[i].key, key)) {
            return &dict->entries[i].value;
        }
    }
    return NULL;
}

const struct jinja_value *jinja_dict_named(struct jinja_work *w, const struct jinja_dict *dict,
                                           const struct jinja_text *key)
{
    jinja_step(w, dict->n);
    for (size_t i = 0; i < dict->n; i++) {
        const struct jinja_value *k = &dict->entries[i].key;
        if (k->kind == JINJA_TEXT && jinja_text_equal(k->text, key)) {
            return &dict->entries[i].value;
        }
    }
    return NULL;
}

void jinja_dict_set(struct jinja_work *w, struct jinja_dict *dict, struct jinja_value key,
                    struct jinja_value value)
{
    const struct jinja_value *old = jinja_dict_get(w, dict, key);
    if (old != NULL) {
        size_t offset = (size_t)((const char *)old - (const char *)dict->entries);
        dict->entries[offset / sizeof *dict->entries].value = value;
        return;
    }
    dict->entries = jinja_grow(w, dict->entries, dict->n, &dict->cap, sizeof *dict->entries);
    dict->entries[dict->n++] = (struct jinja_entry){key, value};
}

// ---- kinds ----

bool jinja_is_number(struct jinja_value v)
{
    return v.kind == JINJA_INT || v.kind == JINJA_FLOAT || v.kind == JINJA_BOOL;
}

bool jinja_is_whole(struct jinja_value v, int64_t *out)
{
    if (v.kind != JINJA_INT && v.kind != JINJA_BOOL) {
        return false;
    }
    *out = v.kind == JINJA_INT ? v.integer : v.truth;
    return true;
}

double jinja_as_real(struct jinja_value v)
{
    return v.kind == JINJA_FLOAT ? v.real : v.kind == JINJA_INT ? (double)v.integer : v.truth;
}

bool jinja_is_row(struct jinja_value v)
{
    return v.kind >= JINJA_LIST && v.kind <= JINJA_ITER;
}

const char *jinja_type(struct jinja_value v)
{
    static const char *const names[] = {
        [JINJA_ABSENT] = "Undefined", [JINJA_UNDEFINED] = "Undefined",
        [JINJA_NONE] = "NoneType",    [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",          [JINJA_FLOAT] = "float",
        [JINJA_TEXT] = "str",         [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",      [JINJA_RANGE] = "range",
        [JINJA_VIEW] = "dict view",   [JINJA_ITER] = "generator",
        [JINJA_DICT] = "dict",        [JINJA_NAMESPACE] = "namespace",
        [JINJA_LOOP] = "loop",        [JINJA_MACRO] = "macro",
        [JINJA_METHOD] = "method",    [JINJA_FUNCTION] = "function",
    };
    return names[v.kind];
}

void jinja_fail_undefined(struct jinja_work *w, struct jinja_value v)
{
    jinja_fail(w, ERR_INVALID, "%.*s", (int)MIN(v.text->len, (size_t)256), v.text->bytes);
}

bool jinja_true(struct jinja_value v)
{
    switch (v.kind) {
    case JINJA_ABSENT:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return v.truth;
    case JINJA_INT:
        return v.integer != 0;
    case JINJA_FLOAT:
        return v.real != 0;
    case JINJA_TEXT:
        return v.text->len > 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW:
        return v.list->n > 0;
    case JINJA_DICT:
        return v.dict->n > 0;
    default:
        return true;
    }
}

// ---- equality and order ----

// -1, 0, 1, or 2 where one is NaN.
static int compare_numbers(struct jinja_value a, struct jinja_value b)
{
    int64_t i, k;
    if (jinja_is_whole(a, &i) && jinja_is_whole(b, &k)) {
        return (i > k) - (i < k);
    }
    double x = jinja_as_real(a), y = jinja_as_real(b);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

static bool equal_dicts(struct jinja_work *w, const struct jinja_dict *a,
                        const struct jinja_dict *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        const struct jinja_value *other = jinja_dict_get(w, b, a->entries[i].key);
        if (other == NULL || !jinja_equal(w, a->entries[i].value, *other)) {
            return false;
        }
    }
    return true;
}

static bool equal_rows(struct jinja_work *w, const struct jinja_list *a, const struct jinja_list *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (!jinja_equal(w, a->items[i], b->items[i])) {
            return false;
        }
    }
    return true;
}

static bool equal_kinds(struct jinja_work *w, struct jinja_value a, struct jinja_value b)
{
    switch (a.kind) {
    case JINJA_ABSENT:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return true;
    case JINJA_TEXT:
        jinja_scan(w, a.text->len == b.text->len ? a.text->len : 0);
        return jinja_text_equal(a.text, b.text);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
        return equal_rows(w, a.list, b.list);
    case JINJA_DICT:
        return equal_dicts(w, a.dict, b.dict);
    default:
        return jinja_same(a, b);
    }
}

bool jinja_equal(struct jinja_work *w, struct jinja_value a, struct jinja_value b)
{
    jinja_step(w, 1);
    if (jinja_is_number(a) && jinja_is_number(b)) {
        return compare_numbers(a, b) == 0;
    }
    if (a.kind != b.kind) {
        return false;
    }
    jinja_enter(w);
    bool equal = equal_kinds(w, a, b);
    jinja_leave(w);
    return equal;
}

bool jinja_same(struct jinja_value a, struct jinja_value b)
{
    if (a.kind != b.kind) {
        return false;
    }
    switch (a.kind) {
    case JINJA_NONE:
        return true;
    case JINJA_BOOL:
        return a.truth == b.truth;
    case JINJA_INT:
        return a.integer == b.integer;
    case JINJA_FLOAT:
        return false;
    case JINJA_TEXT:
        return jinja_text_equal(a.text, b.text);    // Python shares equal constants
    case JINJA_NAMESPACE:
    case JINJA_DICT:
        return a.dict == b.dict;
    case JINJA_LOOP:
        return a.loop == b.loop;
    case JINJA_MACRO:
        return a.macro == b.macro;
    case JINJA_METHOD:
        return a.method == b.method;
    case JINJA_FUNCTION:
        return a.function == b.function;
    case JINJA_ABSENT:
    case JINJA_UNDEFINED:
        return a.text == b.text;
    default:
        return a.list == b.list;
    }
}

static int compare_rows(struct jinja_work *w, const struct jinja_list *a,
                        const struct jinja_list *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        if (!jinja_equal(w, a->items[i], b->items[i])) {
            return jinja_compare(w, a->items[i], b->items[i]);
        }
    }
    return (a->n > b->n) - (a->n < b->n);
}

int jinja_compare(struct jinja_work *w, struct jinja_value a, struct jinja_value b)
{
    jinja_step(w, 1);
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(w, a.kind == JINJA_UNDEFINED ? a : b);
    }
    if (jinja_is_number(a) && jinja_is_number(b)) {
        return compare_numbers(a, b);
    }
    if (a.kind == JINJA_TEXT && b.kind == JINJA_TEXT) {
        jinja_scan(w, MIN(a.text->len, b.text->len));
        return jinja_text_compare(a.text, b.text);
    }
    if (a.kind != b.kind || (a.kind != JINJA_LIST && a.kind != JINJA_TUPLE)) {
        jinja_fail(w, ERR_INVALID, "%s and %s have no order", jinja_type(a), jinja_type(b));
    }
    jinja_enter(w);
    int order = compare_rows(w, a.list, b.list);
    jinja_leave(w);
    return order;
}

// ---- items ----

bool jinja_length(struct jinja_work *w, struct jinja_value v, size_t *out)
{
    switch (v.kind) {
    case JINJA_UNDEFINED:
        *out = 0;
        return true;
    case JINJA_TEXT:
        jinja_scan(w, v.text->len);
        *out = jinja_char_count(v.text->bytes, v.text->len);
        return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW:
        *out = v.list->n;
        return true;
    case JINJA_DICT:
        *out = v.dict->n;
        return true;
    default:
        return false;
    }
}

static struct jinja_list *characters(struct jinja_work *w, const struct jinja_text *t)
{
    struct jinja_list *list = jinja_list_make(w, t->len);
    for (size_t i = 0; i < t->len;) {
        uint32_t cp;
        size_t n = jinja_char(t->bytes + i, t->len - i, &cp);
        jinja_step(w, 1);
        jinja_list_push(w, list, jinja_borrow(w, t->bytes + i, n));
        i += n;
    }
    return list;
}

static struct jinja_list *keys(struct jinja_work *w, const struct jinja_dict *dict)
{
    struct jinja_list *list = jinja_list_make(w, dict->n);
    jinja_step(w, dict->n);
    for (size_t i = 0; i < dict->n; i++) {
        jinja_list_push(w, list, dict->entries[i].key);
    }
    return list;
}

struct jinja_list *jinja_iterate_maybe(struct jinja_work *w, struct jinja_value v)
{
    switch (v.kind) {
    case JINJA_UNDEFINED:
        return jinja_list_make(w, 0);
    case JINJA_TEXT:
        return characters(w, v.text);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW:
        return v.list;
    case JINJA_ITER:
        if (v.list->spent) {
            return jinja_list_make(w, 0);
        }
        v.list->spent = true;
        return v.list;
    case JINJA_DICT:
        return keys(w, v.dict);
    default:
        return NULL;
    }
}

struct jinja_list *jinja_iterate(struct jinja_work *w, struct jinja_value v)
{
    struct jinja_list *list = jinja_iterate_maybe(w, v);
    if (list == NULL) {
        jinja_fail(w, ERR_INVALID, "a %s has no items to go through", jinja_type(v));
    }
    return list;
}

bool jinja_contains(struct jinja_work *w, struct jinja_value within, struct jinja_value v)
{
    if (within.kind == JINJA_TEXT) {
        if (v.kind != JINJA_TEXT) {
            jinja_fail(w, ERR_INVALID, "a %s is sought in a str", jinja_type(v));
        }
        return jinja_text_find(w, within.text, v.text, 0) <= within.text->len;
    }
    if (within.kind == JINJA_DICT) {
        return jinja_dict_get(w, within.dict, v) != NULL;
    }
    const struct jinja_list *list = jinja_iterate(w, within);
    for (size_t i = 0; i < list->n; i++) {
        if (jinja_equal(w, list->items[i], v)) {
            return true;
        }
    }
    return false;
}
