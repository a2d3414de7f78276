// jinja_call.c: from arguments to a call: rows of the tables, and macros.

#include <string.h>

#include "model/jinja_run.h"

const struct jinja_builtin *jinja_find_in(struct jinja_builtins table,
                                          const struct jinja_text *name)
{
    for (size_t i = 0; i < table.n; i++) {
        if (jinja_text_is(name, table.at[i].name)) {
            return &table.at[i];
        }
    }
    return NULL;
}

const struct jinja_builtin *jinja_find_filter(const struct jinja_text *name)
{
    const struct jinja_builtin *b = jinja_find_in(jinja_text_filters, name);
    return b != NULL ? b : jinja_find_in(jinja_sequence_filters, name);
}

struct jinja_value jinja_bind_method(struct jinja_run *r, const struct jinja_builtin *b,
                                     struct jinja_value of)
{
    struct jinja_method *m = jinja_alloc(r->w, sizeof *m);
    *m = (struct jinja_method){b, of};
    return (struct jinja_value){.kind = JINJA_METHOD, .method = m};
}

// ---- rows of the tables ----

// The place of a parameter's name among those of b; JINJA_MAX_PARAMETERS when it has none.
static size_t parameter(const struct jinja_builtin *b, const struct jinja_text *name)
{
    size_t at = 0;
    for (const char *p = b->parameters; *p != '\0'; at++) {
        size_t len = strcspn(p, " ");
        if (len == name->len && memcmp(p, name->bytes, len) == 0) {
            return at;
        }
        p += len;
        p += *p == ' ';
    }
    return JINJA_MAX_PARAMETERS;
}

static size_t count_parameters(const struct jinja_builtin *b)
{
    size_t n = *b->parameters != '\0';
    for (const char *p = b->parameters; *p != '\0'; p++) {
        n += *p == ' ';
    }
    return n;
}

struct jinja_value jinja_apply(struct jinja_run *r, const struct jinja_builtin *b,
                               struct jinja_value subject, const struct jinja_actuals *args)
{
    if (b->any != NULL) {
        return b->any(r, subject, args);
    }
    struct jinja_value a[JINJA_MAX_PARAMETERS + 1] = {subject};
    size_t n = count_parameters(b), given = args->positional->n;
    if (given > n) {
        jinja_fail(r->w, ERR_INVALID, "%s: %zu arguments, at most %zu", b->name, given, n);
    }
    for (size_t i = 0; i < given; i++) {
        a[i + 1] = args->positional->items[i];
    }
    for (size_t i = 0; i < args->named->n; i++) {
        const struct jinja_text *name = args->named->entries[i].key.text;
        size_t at = parameter(b, name);
        if (at == JINJA_MAX_PARAMETERS || a[at + 1].kind != JINJA_ABSENT) {
            jinja_fail(r->w, ERR_INVALID, "%s: the argument %.*s is %s", b->name,
                       (int)MIN(name->len, (size_t)80), name->bytes,
                       at == JINJA_MAX_PARAMETERS ? "unknown" : "given twice");
        }
        a[at + 1] = args->named->entries[i].value;
    }
    for (size_t i = 0; i < b->n_required; i++) {
        if (a[i + 1].kind == JINJA_ABSENT) {
            jinja_fail(r->w, ERR_INVALID, "%s: argument %zu of (%s) is missing", b->name, i + 1,
                       b->parameters);
        }
    }
    return b->bound(r, a);
}

// ---- macros ----

static const struct jinja_value *take_named(struct jinja_run *r, const struct jinja_dict *named,
                                            const struct jinja_text *name, bool *used)
{
    const struct jinja_value *v = jinja_dict_named(r->w, named, name);
    if (v != NULL) {
        size_t offset = (size_t)((const char *)v - (const char *)named->entries);
        used[offset / sizeof *named->entries] = true;
    }
    return v;
}

static void bind_parameters(struct jinja_run *r, const struct jinja_macro_code *code,
                            const struct jinja_actuals *args, bool *used)
{
    for (size_t i = 0; i < code->n_parameters; i++) {
        const struct jinja_parameter *p = &code->parameters[i];
        struct jinja_value v;
        const struct jinja_value *named = NULL;
        if (i < args->positional->n) {
            v = args->positional->items[i];
        } else if ((named = take_named(r, args->named, p->name, used)) != NULL) {
            v = *named;
        } else if (p->standard != NULL) {
            v = jinja_eval(r, p->standard);
        } else {
            v = jinja_undefined(r->w, "parameter '%.*s' was not provided",
                                (int)MIN(p->name->len, (size_t)80), p->name->bytes);
        }
        jinja_set(r, p->name, v);
    }
}

// varargs, kwargs and caller: what is left over, where the body names it, and an error elsewhere.
static void bind_rest(struct jinja_run *r, const struct jinja_macro_code *code,
                      const struct jinja_actuals *args, bool *used)
{
    static const struct jinja_text varargs = {"varargs", 7}, kwargs = {"kwargs", 6},
                                   caller = {"caller", 6};
    struct jinja_list *rest = jinja_list_make(r->w, 0);
    struct jinja_dict *others = jinja_dict_make(r->w);
    if (code->takes_caller) {
        const struct jinja_value *v = take_named(r, args->named, &caller, used);
        jinja_set(r, &caller, v != NULL ? *v : jinja_undefined(r->w, "No caller defined"));
    }
    for (size_t i = code->n_parameters; i < args->positional->n; i++) {
        jinja_list_push(r->w, rest, args->positional->items[i]);
    }
    for (size_t i = 0; i < args->named->n; i++) {
        if (!used[i]) {
            jinja_dict_set(r->w, others, args->named->entries[i].key,
                           args->named->entries[i].value);
        }
    }
    int len = (int)MIN(code->name->len, (size_t)80);
    if (rest->n > 0 && !code->takes_varargs) {
        jinja_fail(r->w, ERR_INVALID, "macro %.*s takes at most %zu arguments", len,
                   code->name->bytes, code->n_parameters);
    }
    if (others->n > 0 && !code->takes_kwargs) {
        const struct jinja_text *name = others->entries[0].key.text;
        jinja_fail(r->w, ERR_INVALID, "macro %.*s takes no argument %.*s", len, code->name->bytes,
                   (int)MIN(name->len, (size_t)80), name->bytes);
    }
    if (code->takes_varargs) {
        jinja_set(r, &varargs, jinja_from_list(JINJA_TUPLE, rest));
    }
    if (code->takes_kwargs) {
        jinja_set(r, &kwargs, (struct jinja_value){.kind = JINJA_DICT, .dict = others});
    }
}

static struct jinja_value call_macro(struct jinja_run *r, const struct jinja_macro *m,
                                     const struct jinja_actuals *args)
{
    struct jinja_scope *caller = r->scope;
    enum jinja_flow flow;
    bool *used = jinja_zeroed(r->w, args->named->n);
    r->scope = jinja_scope_make(r, m->scope);
    bind_parameters(r, m->code, args, used);
    bind_rest(r, m->code, args, used);
    struct jinja_value text = jinja_capture(r, &m->code->body, r->scope, &flow);
    r->scope = caller;
    return text;
}

struct jinja_value jinja_call(struct jinja_run *r, struct jinja_value callee,
                              const struct jinja_actuals *args)
{
    switch (callee.kind) {
    case JINJA_METHOD:
        return jinja_apply(r, callee.method->function, callee.method->of, args);
    case JINJA_FUNCTION:
        return jinja_apply(r, callee.function, (struct jinja_value){.kind = JINJA_ABSENT}, args);
    case JINJA_MACRO:
        return call_macro(r, callee.macro, args);
    case JINJA_UNDEFINED:
        jinja_fail_undefined(r->w, callee);
    default:
        jinja_fail(r->w, ERR_INVALID, "a %s cannot be called", jinja_type(callee));
    }
}
