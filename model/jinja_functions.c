// jinja_functions.c: the functions of the environment: range, dict, namespace, raise_exception and
// strftime_now.

#include <stdio.h>
#include <string.h>

#include "model/jinja_run.h"

enum { MAX_RANGE = 100000, MAX_DATE_BYTES = 1024 };

static struct jinja_value function_range(struct jinja_run *r, const struct jinja_value *a)
{
    int64_t x[3] = {0, 0, 1};
    bool one = a[2].kind == JINJA_ABSENT;
    for (size_t i = 0; i < 3; i++) {
        size_t to = one ? 1 : i;
        if (a[i + 1].kind != JINJA_ABSENT && !jinja_is_whole(a[i + 1], &x[to])) {
            jinja_fail(r->w, ERR_INVALID, "range: a %s, expected an integer", jinja_type(a[i + 1]));
        }
        if (one) {
            break;
        }
    }
    if (x[2] == 0) {
        jinja_fail(r->w, ERR_INVALID, "range: a step of 0");
    }
    struct jinja_list *list = jinja_list_make(r->w, 0);
    list->start = x[0];
    list->stop = x[1];
    list->step = x[2];
    for (int64_t i = x[0]; x[2] > 0 ? i < x[1] : i > x[1];) {
        if (list->n == MAX_RANGE) {
            jinja_fail(r->w, ERR_LIMIT, "range: more than %d items", MAX_RANGE);
        }
        jinja_step(r->w, 1);
        jinja_list_push(r->w, list, jinja_int(i));
        if (__builtin_add_overflow(i, x[2], &i)) {
            break;
        }
    }
    return jinja_from_list(JINJA_RANGE, list);
}

static void add_pairs(struct jinja_run *r, struct jinja_dict *to, struct jinja_value from)
{
    if (from.kind == JINJA_DICT) {
        for (size_t i = 0; i < from.dict->n; i++) {
            jinja_dict_set(r->w, to, from.dict->entries[i].key, from.dict->entries[i].value);
        }
        return;
    }
    const struct jinja_list *list = jinja_iterate(r->w, from);
    for (size_t i = 0; i < list->n; i++) {
        const struct jinja_list *pair = jinja_iterate(r->w, list->items[i]);
        if (pair->n != 2) {
            jinja_fail(r->w, ERR_INVALID, "dict: item %zu has %zu parts, expected key and value", i,
                       pair->n);
        }
        jinja_dict_set(r->w, to, pair->items[0], pair->items[1]);
    }
}

// One mapping or list of pairs, then names.
static struct jinja_dict *make_dict(struct jinja_run *r, const struct jinja_actuals *args)
{
    struct jinja_dict *dict = jinja_dict_make(r->w);
    if (args->positional->n > 1) {
        jinja_fail(r->w, ERR_INVALID, "dict: %zu arguments without a name, at most 1",
                   args->positional->n);
    }
    if (args->positional->n == 1) {
        add_pairs(r, dict, args->positional->items[0]);
    }
    add_pairs(r, dict, (struct jinja_value){.kind = JINJA_DICT, .dict = args->named});
    return dict;
}

static struct jinja_value function_dict(struct jinja_run *r, struct jinja_value subject,
                                        const struct jinja_actuals *args)
{
    (void)subject;
    return (struct jinja_value){.kind = JINJA_DICT, .dict = make_dict(r, args)};
}

static struct jinja_value function_namespace(struct jinja_run *r, struct jinja_value subject,
                                             const struct jinja_actuals *args)
{
    (void)subject;
    struct jinja_dict *dict = make_dict(r, args);
    for (size_t i = 0; i < dict->n; i++) {
        const struct jinja_value *key = &dict->entries[i].key;
        if (key->kind == JINJA_TEXT && key->text->len > 0 && key->text->bytes[0] == '_') {
            jinja_fail(r->w, ERR_INVALID, "a namespace has no attributes that begin with _");
        }
    }
    return (struct jinja_value){.kind = JINJA_NAMESPACE, .dict = dict};
}

static _Noreturn struct jinja_value function_raise(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_text *t = jinja_str(r->w, a[1]);
    jinja_fail(r->w, ERR_INVALID, "%.*s", (int)MIN(t->len, (size_t)1024), t->bytes);
}

static struct jinja_value function_strftime(struct jinja_run *r, const struct jinja_value *a)
{
    char format[128], text[MAX_DATE_BYTES];
    const struct jinja_text *t = jinja_str(r->w, a[1]);
    if (t->len >= sizeof format || (t->len > 0 && memchr(t->bytes, '\0', t->len) != NULL)) {
        jinja_fail(r->w, ERR_INVALID, "strftime_now: a format of %zu bytes, at most %zu", t->len,
                   sizeof format - 1);
    }
    memcpy(format, t->bytes, t->len);
    format[t->len] = '\0';
    size_t n = strftime(text, sizeof text, format, r->now);
    return jinja_copy(r->w, text, n);
}

static const struct jinja_builtin rows[] = {
    {"dict", "", 0, NULL, function_dict},
    {"namespace", "", 0, NULL, function_namespace},
    {"raise_exception", "message", 1, function_raise, NULL},
    {"range", "start stop step", 1, function_range, NULL},
    {"strftime_now", "format", 1, function_strftime, NULL},
};

const struct jinja_builtin *jinja_find_function(const struct jinja_text *name)
{
    return jinja_find_in((struct jinja_builtins){rows, ARRAY_LEN(rows)}, name);
}
