// jinja_sequences.c: filters over lists, dicts and whatever else has items.
//
// What Jinja makes a generator (map, select, unique …) is worked out at once here, and remembers
// that it can be gone through once.

#include <stdlib.h>
#include <string.h>

#include "model/jinja_run.h"

static struct jinja_value generator(struct jinja_list *list)
{
    list->type = "generator";
    return jinja_from_list(JINJA_ITER, list);
}

static bool is_given(struct jinja_value v)
{
    return v.kind != JINJA_ABSENT && v.kind != JINJA_NONE;
}

// ---- attributes by name: "a.b.0" ----

static struct jinja_value by_part(struct jinja_run *r, struct jinja_value v, const char *p,
                                  size_t len)
{
    struct jinja_value key = jinja_borrow(r->w, p, len);
    bool digits = len > 0 && len < 10;
    for (size_t i = 0; i < len; i++) {
        digits = digits && p[i] >= '0' && p[i] <= '9';
    }
    return jinja_item(r, v, digits ? jinja_int(strtol(p, NULL, 10)) : key);
}

static struct jinja_value or_standard(struct jinja_value v, const struct jinja_value *standard)
{
    return v.kind == JINJA_UNDEFINED && standard != NULL ? *standard : v;
}

// The attribute of v that a filter's argument names; ABSENT or none: v itself. standard: what
// stands for a part that is undefined, or NULL.
static struct jinja_value by_path(struct jinja_run *r, struct jinja_value v,
                                  struct jinja_value name, const struct jinja_value *standard)
{
    if (name.kind == JINJA_INT) {
        return or_standard(jinja_item(r, v, name), standard);
    }
    if (!is_given(name)) {
        return v;
    }
    const struct jinja_text *t = jinja_str(r->w, name);
    char *path = jinja_alloc(r->w, t->len + 1);    // strtol needs an end
    memcpy(path, t->bytes, t->len);
    path[t->len] = '\0';
    for (size_t i = 0; i <= t->len;) {
        const char *dot = memchr(path + i, '.', t->len - i);
        size_t n = dot == NULL ? t->len - i : (size_t)(dot - (path + i));
        v = or_standard(by_part(r, v, path + i, n), standard);
        i += n + 1;
    }
    return v;
}

static struct jinja_value by_name(struct jinja_run *r, struct jinja_value v,
                                  struct jinja_value name)
{
    return by_path(r, v, name, NULL);
}

// Texts compare without regard to case unless case_sensitive is given.
static struct jinja_value sort_key(struct jinja_run *r, struct jinja_value v, bool sensitive)
{
    if (v.kind != JINJA_TEXT || sensitive) {
        return v;
    }
    struct jinja_out out = {.w = r->w};
    jinja_put_case(&out, *v.text, JINJA_LOWER);
    return jinja_out_take(&out);
}

// ---- order ----

struct keyed {
    struct jinja_value key, value;
};

// Merges the sorted halves of from[0 … n) into `to`; stable, also when reversed.
static void merge(struct jinja_work *w, const struct keyed *from, struct keyed *to, size_t half,
                  size_t n, bool reverse)
{
    size_t i = 0, k = half, at = 0;
    while (i < half || k < n) {
        bool second = i == half;
        if (!second && k < n) {
            second = reverse ? jinja_compare(w, from[i].key, from[k].key) == -1
                             : jinja_compare(w, from[k].key, from[i].key) == -1;
        }
        to[at++] = second ? from[k++] : from[i++];
    }
}

static void sort(struct jinja_work *w, struct keyed *items, struct keyed *room, size_t n,
                 bool reverse)
{
    if (n < 2) {
        return;
    }
    size_t half = n / 2;    // depth: 20 for a million
    sort(w, items, room, half, reverse);
    sort(w, items + half, room, n - half, reverse);
    merge(w, items, room, half, n, reverse);
    memcpy(items, room, n * sizeof *items);
}

static struct jinja_list *sorted(struct jinja_run *r, const struct jinja_list *list,
                                 const struct jinja_value *keys, bool reverse)
{
    struct keyed *items = jinja_array(r->w, list->n, 2 * sizeof *items);
    struct jinja_list *out = jinja_list_make(r->w, list->n);
    for (size_t i = 0; i < list->n; i++) {
        items[i] = (struct keyed){keys[i], list->items[i]};
    }
    sort(r->w, items, items + list->n, list->n, reverse);
    for (size_t i = 0; i < list->n; i++) {
        jinja_list_push(r->w, out, items[i].value);
    }
    return out;
}

static struct jinja_value filter_sort(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_list *list = jinja_iterate(r->w, a[0]);
    struct jinja_value *keys = jinja_array(r->w, list->n, sizeof *keys);
    if (a[3].kind == JINJA_TEXT && memchr(a[3].text->bytes, ',', a[3].text->len) != NULL) {
        jinja_fail(r->w, ERR_UNSUPPORTED, "sort: several attributes are not supported");
    }
    for (size_t i = 0; i < list->n; i++) {
        keys[i] = sort_key(r, by_name(r, list->items[i], a[3]), jinja_true(a[2]));
    }
    return jinja_from_list(JINJA_LIST, sorted(r, list, keys, jinja_true(a[1])));
}

static const struct jinja_dict *need_dict(struct jinja_run *r, struct jinja_value v,
                                          const char *filter)
{
    if (v.kind == JINJA_UNDEFINED) {
        jinja_fail_undefined(r->w, v);
    }
    if (v.kind != JINJA_DICT) {
        jinja_fail(r->w, ERR_INVALID, "%s: a %s, expected a dict", filter, jinja_type(v));
    }
    return v.dict;
}

static struct jinja_list *pairs(struct jinja_run *r, const struct jinja_dict *dict)
{
    struct jinja_list *out = jinja_list_make(r->w, dict->n);
    jinja_step(r->w, dict->n);
    for (size_t i = 0; i < dict->n; i++) {
        jinja_list_push(r->w, out, jinja_pair(r->w, dict->entries[i].key, dict->entries[i].value));
    }
    return out;
}

static struct jinja_value filter_dictsort(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_dict *dict = need_dict(r, a[0], "dictsort");
    struct jinja_value *keys = jinja_array(r->w, dict->n, sizeof *keys);
    bool by_value = a[2].kind == JINJA_TEXT && jinja_text_is(a[2].text, "value");
    if (!by_value && a[2].kind != JINJA_ABSENT &&
        !(a[2].kind == JINJA_TEXT && jinja_text_is(a[2].text, "key"))) {
        jinja_fail(r->w, ERR_INVALID, "dictsort: by is not key or value");
    }
    for (size_t i = 0; i < dict->n; i++) {
        const struct jinja_entry *e = &dict->entries[i];
        keys[i] = sort_key(r, by_value ? e->value : e->key, jinja_true(a[1]));
    }
    return jinja_from_list(JINJA_LIST, sorted(r, pairs(r, dict), keys, jinja_true(a[3])));
}

static struct jinja_value extreme(struct jinja_run *r, const struct jinja_value *a, int sign,
                                  const char *name)
{
    const struct jinja_list *list = jinja_iterate(r->w, a[0]);
    if (list->n == 0) {
        return jinja_undefined(r->w, "%s of no items", name);
    }
    size_t best = 0;
    struct jinja_value best_key = sort_key(r, by_name(r, list->items[0], a[2]), jinja_true(a[1]));
    for (size_t i = 1; i < list->n; i++) {
        struct jinja_value key = sort_key(r, by_name(r, list->items[i], a[2]), jinja_true(a[1]));
        if (jinja_compare(r->w, key, best_key) == sign) {
            best = i;
            best_key = key;
        }
    }
    return list->items[best];
}

static struct jinja_value filter_min(struct jinja_run *r, const struct jinja_value *a)
{
    return extreme(r, a, -1, "min");
}

static struct jinja_value filter_max(struct jinja_run *r, const struct jinja_value *a)
{
    return extreme(r, a, 1, "max");
}

static struct jinja_value filter_reverse(struct jinja_run *r, const struct jinja_value *a)
{
    struct jinja_value none = {.kind = JINJA_ABSENT};
    if (a[0].kind == JINJA_TEXT) {
        return jinja_slice(r->w, a[0], none, none, jinja_int(-1));
    }
    const struct jinja_list *list = jinja_iterate(r->w, a[0]);
    struct jinja_list *out = jinja_list_make(r->w, list->n);
    jinja_step(r->w, list->n);
    for (size_t i = list->n; i > 0; i--) {
        jinja_list_push(r->w, out, list->items[i - 1]);
    }
    out->type = "reversed list";
    return jinja_from_list(JINJA_ITER, out);
}

static struct jinja_value filter_unique(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_list *list = jinja_iterate(r->w, a[0]);
    struct jinja_list *seen = jinja_list_make(r->w, 0), *out = jinja_list_make(r->w, 0);
    for (size_t i = 0; i < list->n; i++) {
        struct jinja_value key = sort_key(r, by_name(r, list->items[i], a[2]), jinja_true(a[1]));
        if (!jinja_contains(r->w, jinja_from_list(JINJA_LIST, seen), key)) {
            jinja_list_push(r->w, seen, key);
            jinja_list_push(r->w, out, list->items[i]);
        }
    }
    return generator(out);
}

// ---- one of many, many to one ----

static struct jinja_value filter_first(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_list *list = jinja_iterate(r->w, a[0]);
    return list->n > 0 ? list->items[0]
                       : jinja_undefined(r->w, "no first item: the sequence is empty");
}

static struct jinja_value filter_last(struct jinja_run *r, const struct jinja_value *a)
{
    if (a[0].kind == JINJA_ITER) {
        jinja_fail(r->w, ERR_INVALID, "last: a %s has no end to begin with; make it a list first",
                   a[0].list->type);
    }
    const struct jinja_list *list = jinja_iterate(r->w, a[0]);
    return list->n > 0 ? list->items[list->n - 1]
                       : jinja_undefined(r->w, "no last item: the sequence is empty");
}

static struct jinja_value filter_length(struct jinja_run *r, const struct jinja_value *a)
{
    size_t n;
    if (!jinja_length(r->w, a[0], &n)) {
        jinja_fail(r->w, ERR_INVALID, "length: a %s has none", jinja_type(a[0]));
    }
    return jinja_int((int64_t)n);
}

static struct jinja_value filter_list(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_list *list = jinja_iterate(r->w, a[0]);
    struct jinja_list *out = jinja_list_make(r->w, list->n);
    jinja_step(r->w, list->n);
    for (size_t i = 0; i < list->n; i++) {
        jinja_list_push(r->w, out, list->items[i]);
    }
    return jinja_from_list(JINJA_LIST, out);
}

static struct jinja_value filter_items(struct jinja_run *r, const struct jinja_value *a)
{
    if (a[0].kind == JINJA_UNDEFINED) {
        return generator(jinja_list_make(r->w, 0));
    }
    return generator(pairs(r, need_dict(r, a[0], "items")));
}

static struct jinja_value filter_join(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_list *list = jinja_iterate(r->w, a[0]);
    struct jinja_out out = {.w = r->w};
    for (size_t i = 0; i < list->n; i++) {
        jinja_step(r->w, 1);
        if (i > 0 && a[1].kind != JINJA_ABSENT) {
            jinja_put_value(&out, a[1]);
        }
        jinja_put_value(&out, by_name(r, list->items[i], a[2]));
    }
    return jinja_out_take(&out);
}

static struct jinja_value filter_sum(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_list *list = jinja_iterate(r->w, a[0]);
    struct jinja_value total = a[2].kind == JINJA_ABSENT ? jinja_int(0) : a[2];
    if (total.kind == JINJA_TEXT) {
        jinja_fail(r->w, ERR_INVALID, "sum: cannot sum strings, use join");
    }
    for (size_t i = 0; i < list->n; i++) {
        total = jinja_binary(r->w, '+', total, by_name(r, list->items[i], a[1]));
    }
    return total;
}

// ---- by function ----

// The filter's or test's own arguments: those from `skip` on.
static struct jinja_actuals rest_of(struct jinja_run *r, const struct jinja_actuals *args,
                                    size_t skip)
{
    struct jinja_actuals rest = {jinja_list_make(r->w, args->positional->n), args->named};
    for (size_t i = skip; i < args->positional->n; i++) {
        jinja_list_push(r->w, rest.positional, args->positional->items[i]);
    }
    return rest;
}

static struct jinja_value map_attribute(struct jinja_run *r, const struct jinja_list *list,
                                        const struct jinja_dict *named, struct jinja_value name)
{
    static const struct jinja_text standard = {"default", 7};
    const struct jinja_value *otherwise = jinja_dict_named(r->w, named, &standard);
    struct jinja_list *out = jinja_list_make(r->w, list->n);
    if (named->n > 1 + (otherwise != NULL)) {
        jinja_fail(r->w, ERR_INVALID, "map: an argument besides attribute and default");
    }
    for (size_t i = 0; i < list->n; i++) {
        jinja_list_push(r->w, out, by_path(r, list->items[i], name, otherwise));
    }
    return generator(out);
}

static struct jinja_value filter_map(struct jinja_run *r, struct jinja_value subject,
                                     const struct jinja_actuals *args)
{
    static const struct jinja_text attribute = {"attribute", 9};
    const struct jinja_value *name = jinja_dict_named(r->w, args->named, &attribute);
    const struct jinja_list *list = jinja_iterate(r->w, subject);
    if (name != NULL && args->positional->n == 0) {
        return map_attribute(r, list, args->named, *name);
    }
    if (args->positional->n == 0 || args->positional->items[0].kind != JINJA_TEXT) {
        jinja_fail(r->w, ERR_INVALID, "map: expected a filter's name or attribute=");
    }
    const struct jinja_text *filter = args->positional->items[0].text;
    const struct jinja_builtin *b = jinja_find_filter(filter);
    if (b == NULL) {
        jinja_fail(r->w, ERR_UNSUPPORTED, "the filter '%.*s' is not supported",
                   (int)MIN(filter->len, (size_t)80), filter->bytes);
    }
    struct jinja_actuals rest = rest_of(r, args, 1);
    struct jinja_list *out = jinja_list_make(r->w, list->n);
    for (size_t i = 0; i < list->n; i++) {
        jinja_step(r->w, 1);
        jinja_list_push(r->w, out, jinja_apply(r, b, list->items[i], &rest));
    }
    return generator(out);
}

// The items whose test (or, without one, whose truth) is `wanted`; by_attribute: of the attribute
// that the first argument names.
static struct jinja_value choose(struct jinja_run *r, struct jinja_value subject,
                                 const struct jinja_actuals *args, bool by_attribute, bool wanted)
{
    const struct jinja_list *list = jinja_iterate(r->w, subject);
    struct jinja_list *out = jinja_list_make(r->w, 0);
    struct jinja_value name = {.kind = JINJA_ABSENT};
    size_t skip = by_attribute;
    if (args->positional->n < skip) {
        jinja_fail(r->w, ERR_INVALID, "the name of an attribute is missing");
    }
    name = by_attribute ? args->positional->items[0] : name;
    const struct jinja_builtin *test = NULL;
    if (args->positional->n > skip) {
        const struct jinja_text *t = jinja_str(r->w, args->positional->items[skip]);
        test = jinja_find_test(t);
        if (test == NULL) {
            jinja_fail(r->w, ERR_UNSUPPORTED, "the test '%.*s' is not supported",
                       (int)MIN(t->len, (size_t)80), t->bytes);
        }
    }
    struct jinja_actuals rest = rest_of(r, args, skip + 1);
    for (size_t i = 0; i < list->n; i++) {
        jinja_step(r->w, 1);
        struct jinja_value v = by_name(r, list->items[i], name);
        v = test == NULL ? v : jinja_apply(r, test, v, &rest);
        if (jinja_true(v) == wanted) {
            jinja_list_push(r->w, out, list->items[i]);
        }
    }
    return generator(out);
}

static struct jinja_value filter_select(struct jinja_run *r, struct jinja_value subject,
                                        const struct jinja_actuals *args)
{
    return choose(r, subject, args, false, true);
}

static struct jinja_value filter_reject(struct jinja_run *r, struct jinja_value subject,
                                        const struct jinja_actuals *args)
{
    return choose(r, subject, args, false, false);
}

static struct jinja_value filter_selectattr(struct jinja_run *r, struct jinja_value subject,
                                            const struct jinja_actuals *args)
{
    return choose(r, subject, args, true, true);
}

static struct jinja_value filter_rejectattr(struct jinja_run *r, struct jinja_value subject,
                                            const struct jinja_actuals *args)
{
    return choose(r, subject, args, true, false);
}

static const struct jinja_builtin rows[] = {
    {"count", "", 0, filter_length, NULL},
    {"dictsort", "case_sensitive by reverse", 0, filter_dictsort, NULL},
    {"first", "", 0, filter_first, NULL},
    {"items", "", 0, filter_items, NULL},
    {"join", "d attribute", 0, filter_join, NULL},
    {"last", "", 0, filter_last, NULL},
    {"length", "", 0, filter_length, NULL},
    {"list", "", 0, filter_list, NULL},
    {"map", "", 0, NULL, filter_map},
    {"max", "case_sensitive attribute", 0, filter_max, NULL},
    {"min", "case_sensitive attribute", 0, filter_min, NULL},
    {"reject", "", 0, NULL, filter_reject},
    {"rejectattr", "", 0, NULL, filter_rejectattr},
    {"reverse", "", 0, filter_reverse, NULL},
    {"select", "", 0, NULL, filter_select},
    {"selectattr", "", 0, NULL, filter_selectattr},
    {"sort", "reverse case_sensitive attribute", 0, filter_sort, NULL},
    {"sum", "attribute start", 0, filter_sum, NULL},
    {"unique", "case_sensitive attribute", 0, filter_unique, NULL},
};
const struct jinja_builtins jinja_sequence_filters = {rows, ARRAY_LEN(rows)};
