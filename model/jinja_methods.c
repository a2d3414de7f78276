// jinja_methods.c: the methods of lists, dicts and loops that change nothing, and which value has
// which.

#include "model/jinja_run.h"

// ---- lists and tuples ----

static struct jinja_value list_index(struct jinja_run *r, const struct jinja_value *a)
{
    for (size_t i = 0; i < a[0].list->n; i++) {
        if (jinja_equal(r->w, a[0].list->items[i], a[1])) {
            return jinja_int((int64_t)i);
        }
    }
    jinja_fail(r->w, ERR_INVALID, "index: the item is not in the %s", jinja_type(a[0]));
}

static struct jinja_value list_count(struct jinja_run *r, const struct jinja_value *a)
{
    int64_t n = 0;
    for (size_t i = 0; i < a[0].list->n; i++) {
        n += jinja_equal(r->w, a[0].list->items[i], a[1]);
    }
    return jinja_int(n);
}

static struct jinja_value same_value(struct jinja_run *r, const struct jinja_value *a)
{
    (void)r;
    return a[0];    // nothing can change it, so a copy is itself
}

static const struct jinja_builtin list_rows[] = {
    {"copy", "", 0, same_value, NULL},
    {"count", "value", 1, list_count, NULL},
    {"index", "value", 1, list_index, NULL},
};

// ---- dicts ----

static struct jinja_value dict_get(struct jinja_run *r, const struct jinja_value *a)
{
    const struct jinja_value *v = jinja_dict_get(r->w, a[0].dict, a[1]);
    return v != NULL ? *v : a[2].kind == JINJA_ABSENT ? jinja_none() : a[2];
}

static struct jinja_value view(struct jinja_run *r, const struct jinja_dict *dict, const char *type,
                               bool keys, bool values)
{
    struct jinja_list *list = jinja_list_make(r->w, dict->n);
    jinja_step(r->w, dict->n);
    for (size_t i = 0; i < dict->n; i++) {
        const struct jinja_entry *e = &dict->entries[i];
        jinja_list_push(r->w, list,
                        keys && values ? jinja_pair(r->w, e->key, e->value)
                        : keys         ? e->key
                                       : e->value);
    }
    list->type = type;
    return jinja_from_list(JINJA_VIEW, list);
}

static struct jinja_value dict_items(struct jinja_run *r, const struct jinja_value *a)
{
    return view(r, a[0].dict, "dict_items", true, true);
}

static struct jinja_value dict_keys(struct jinja_run *r, const struct jinja_value *a)
{
    return view(r, a[0].dict, "dict_keys", true, false);
}

static struct jinja_value dict_values(struct jinja_run *r, const struct jinja_value *a)
{
    return view(r, a[0].dict, "dict_values", false, true);
}

static const struct jinja_builtin dict_rows[] = {
    {"copy", "", 0, same_value, NULL},    {"get", "key default", 1, dict_get, NULL},
    {"items", "", 0, dict_items, NULL},   {"keys", "", 0, dict_keys, NULL},
    {"values", "", 0, dict_values, NULL},
};

// ---- loops ----

static struct jinja_value loop_cycle(struct jinja_run *r, struct jinja_value subject,
                                     const struct jinja_actuals *args)
{
    if (args->positional->n == 0) {
        jinja_fail(r->w, ERR_INVALID, "loop.cycle: nothing to choose from");
    }
    return args->positional->items[subject.loop->at % args->positional->n];
}

static struct jinja_value loop_changed(struct jinja_run *r, struct jinja_value subject,
                                       const struct jinja_actuals *args)
{
    struct jinja_value now = jinja_from_list(JINJA_TUPLE, args->positional);
    bool same =
        subject.loop->changed.kind != JINJA_ABSENT && jinja_equal(r->w, subject.loop->changed, now);
    subject.loop->changed = now;
    return jinja_bool(!same);
}

static const struct jinja_builtin loop_rows[] = {
    {"changed", "", 0, NULL, loop_changed},
    {"cycle", "", 0, NULL, loop_cycle},
};

// ---- the tables ----

static struct jinja_builtins table_of(struct jinja_value of)
{
    switch (of.kind) {
    case JINJA_TEXT:
        return jinja_text_methods;
    case JINJA_LIST:
        return (struct jinja_builtins){list_rows, ARRAY_LEN(list_rows)};
    case JINJA_TUPLE:    // no copy
    case JINJA_RANGE:
        return (struct jinja_builtins){list_rows + 1, ARRAY_LEN(list_rows) - 1};
    case JINJA_DICT:
        return (struct jinja_builtins){dict_rows, ARRAY_LEN(dict_rows)};
    case JINJA_LOOP:
        return (struct jinja_builtins){loop_rows, ARRAY_LEN(loop_rows)};
    default:
        return (struct jinja_builtins){NULL, 0};
    }
}

const struct jinja_builtin *jinja_find_method(struct jinja_value of, const struct jinja_text *name)
{
    return jinja_find_in(table_of(of), name);
}

bool jinja_is_mutator(struct jinja_value of, const struct jinja_text *name)
{
    static const char *const of_lists[] = {"append", "clear", "pop",    "reverse",
                                           "insert", "sort",  "extend", "remove"};
    static const char *const of_dicts[] = {"clear", "pop", "popitem", "setdefault", "update"};
    for (size_t i = 0; of.kind == JINJA_LIST && i < ARRAY_LEN(of_lists); i++) {
        if (jinja_text_is(name, of_lists[i])) {
            return true;
        }
    }
    for (size_t i = 0; of.kind == JINJA_DICT && i < ARRAY_LEN(of_dicts); i++) {
        if (jinja_text_is(name, of_dicts[i])) {
            return true;
        }
    }
    return false;
}
