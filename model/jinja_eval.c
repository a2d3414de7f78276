// jinja_eval.c: the value of an expression.

#include <string.h>

#include "model/jinja_run.h"

static struct jinja_value eval_name(struct jinja_run *r, const struct jinja_text *name)
{
    for (const struct jinja_scope *s = r->scope; s != NULL; s = s->outer) {
        for (const struct jinja_binding *b = s->bindings; b != NULL; b = b->next) {
            jinja_step(r->w, 1);
            if (jinja_text_equal(b->name, name)) {
                return b->value;
            }
        }
    }
    const struct jinja_builtin *function = jinja_find_function(name);
    if (function != NULL) {
        return (struct jinja_value){.kind = JINJA_FUNCTION, .function = function};
    }
    return jinja_undefined(r->w, "'%.*s' is undefined", (int)MIN(name->len, (size_t)80),
                           name->bytes);
}

static struct jinja_value maybe(struct jinja_run *r, const struct jinja_expr *e)
{
    return e == NULL ? (struct jinja_value){.kind = JINJA_ABSENT} : jinja_eval(r, e);
}

static void add_star_star(struct jinja_run *r, const struct jinja_expr *e, struct jinja_dict *named)
{
    struct jinja_value v = jinja_eval(r, e);
    if (v.kind != JINJA_DICT) {
        jinja_fail(r->w, ERR_INVALID, "a %s behind **, expected a dict", jinja_type(v));
    }
    for (size_t i = 0; i < v.dict->n; i++) {
        if (v.dict->entries[i].key.kind != JINJA_TEXT) {
            jinja_fail(r->w, ERR_INVALID, "a %s as an argument's name",
                       jinja_type(v.dict->entries[i].key));
        }
        jinja_dict_set(r->w, named, v.dict->entries[i].key, v.dict->entries[i].value);
    }
}

struct jinja_actuals jinja_eval_arguments(struct jinja_run *r, const struct jinja_arguments *a)
{
    struct jinja_actuals out = {jinja_list_make(r->w, a->positional.n), jinja_dict_make(r->w)};
    for (size_t i = 0; i < a->positional.n; i++) {
        jinja_list_push(r->w, out.positional, jinja_eval(r, a->positional.at[i]));
    }
    if (a->star != NULL) {
        const struct jinja_list *more = jinja_iterate(r->w, jinja_eval(r, a->star));
        jinja_step(r->w, more->n);
        for (size_t i = 0; i < more->n; i++) {
            jinja_list_push(r->w, out.positional, more->items[i]);
        }
    }
    for (size_t i = 0; i < a->n_named; i++) {
        jinja_dict_set(r->w, out.named, jinja_from_text(a->named[i].name),
                       jinja_eval(r, a->named[i].value));
    }
    if (a->star_star != NULL) {
        add_star_star(r, a->star_star, out.named);
    }
    return out;
}

static struct jinja_value eval_applied(struct jinja_run *r, const struct jinja_expr *e)
{
    struct jinja_value subject = jinja_eval(r, e->a);
    struct jinja_actuals args = jinja_eval_arguments(r, e->arguments);
    r->w->line = e->line;
    return e->kind == JINJA_E_CALL ? jinja_call(r, subject, &args)
                                   : jinja_apply(r, e->builtin, subject, &args);
}

static struct jinja_value eval_compare(struct jinja_run *r, const struct jinja_expr *e)
{
    struct jinja_value left = jinja_eval(r, e->a);
    bool holds = true;
    for (size_t i = 0; holds && i < e->n_comparisons; i++) {
        struct jinja_value right = jinja_eval(r, e->comparisons[i].with);
        holds = jinja_compares(r->w, e->comparisons[i].op, left, right);
        left = right;
    }
    return jinja_bool(holds);
}

static struct jinja_value eval_concat(struct jinja_run *r, const struct jinja_expr *e)
{
    struct jinja_out out = {.w = r->w};
    jinja_put_value(&out, jinja_eval(r, e->a));
    jinja_put_value(&out, jinja_eval(r, e->b));
    return jinja_out_take(&out);
}

static struct jinja_value eval_row(struct jinja_run *r, const struct jinja_expr *e)
{
    struct jinja_list *list = jinja_list_make(r->w, e->items.n);
    for (size_t i = 0; i < e->items.n; i++) {
        jinja_list_push(r->w, list, jinja_eval(r, e->items.at[i]));
    }
    return jinja_from_list(e->kind == JINJA_E_LIST ? JINJA_LIST : JINJA_TUPLE, list);
}

static struct jinja_value eval_dict(struct jinja_run *r, const struct jinja_expr *e)
{
    struct jinja_dict *dict = jinja_dict_make(r->w);
    for (size_t i = 0; i < e->items.n; i += 2) {
        struct jinja_value key = jinja_eval(r, e->items.at[i]);
        jinja_dict_set(r->w, dict, key, jinja_eval(r, e->items.at[i + 1]));
    }
    return (struct jinja_value){.kind = JINJA_DICT, .dict = dict};
}

static struct jinja_value eval_if(struct jinja_run *r, const struct jinja_expr *e)
{
    if (jinja_true(jinja_eval(r, e->c))) {
        return jinja_eval(r, e->a);
    }
    return e->b != NULL ? jinja_eval(r, e->b)
                        : jinja_undefined(
                              r->w, "the inline if of line %d was false and has no else", e->line);
}

static struct jinja_value eval_slice(struct jinja_run *r, const struct jinja_expr *e)
{
    struct jinja_value of = jinja_eval(r, e->a), from = maybe(r, e->b), to = maybe(r, e->c);
    return jinja_slice(r->w, of, from, to, maybe(r, e->d));
}

static struct jinja_value eval_operands(struct jinja_run *r, const struct jinja_expr *e)
{
    struct jinja_value a = jinja_eval(r, e->a);
    switch (e->kind) {
    case JINJA_E_NOT:
        return jinja_bool(!jinja_true(a));
    case JINJA_E_NEGATIVE:
    case JINJA_E_POSITIVE:
        return jinja_sign(r->w, e->kind == JINJA_E_NEGATIVE, a);
    case JINJA_E_ATTRIBUTE:
        return jinja_attribute(r, a, e->name);
    case JINJA_E_ITEM:
        return jinja_item(r, a, jinja_eval(r, e->b));
    case JINJA_E_AND:
        return jinja_true(a) ? jinja_eval(r, e->b) : a;
    case JINJA_E_OR:
        return jinja_true(a) ? a : jinja_eval(r, e->b);
    default:
        return jinja_binary(r->w, e->op, a, jinja_eval(r, e->b));
    }
}

static struct jinja_value eval(struct jinja_run *r, const struct jinja_expr *e)
{
    switch (e->kind) {
    case JINJA_E_CONSTANT:
        return e->value.kind == JINJA_CAPTURED ? r->captured : e->value;
    case JINJA_E_NAME:
        return eval_name(r, e->name);
    case JINJA_E_SLICE:
        return eval_slice(r, e);
    case JINJA_E_CALL:
    case JINJA_E_FILTER:
    case JINJA_E_TEST:
        return eval_applied(r, e);
    case JINJA_E_COMPARE:
        return eval_compare(r, e);
    case JINJA_E_CONCAT:
        return eval_concat(r, e);
    case JINJA_E_IF:
        return eval_if(r, e);
    case JINJA_E_LIST:
    case JINJA_E_TUPLE:
        return eval_row(r, e);
    case JINJA_E_DICT:
        return eval_dict(r, e);
    default:
        return eval_operands(r, e);
    }
}

struct jinja_value jinja_eval(struct jinja_run *r, const struct jinja_expr *e)
{
    jinja_enter(r->w);
    jinja_step(r->w, 1);
    r->w->line = e->line;
    struct jinja_value v = eval(r, e);
    jinja_leave(r->w);
    return v;
}
