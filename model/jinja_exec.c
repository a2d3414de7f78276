// jinja_exec.c: statements, scopes, and a rendering from beginning to end.
//
// Who has a scope: the template, each turn of a loop, a macro's call, with, generation, and the
// bodies of set, filter and call blocks. `if` has none.

#include <string.h>

#include "model/jinja.h"
#include "model/jinja_run.h"

#define MAX_RUN_DEPTH 600

const struct jinja_limits jinja_limits_default = {
    .steps = 10 * 1000 * 1000, .memory_bytes = (size_t)256 << 20, .output_bytes = (size_t)64 << 20};

// ---- scopes ----

struct jinja_scope *jinja_scope_make(struct jinja_run *r, struct jinja_scope *outer)
{
    struct jinja_scope *s = jinja_alloc(r->w, sizeof *s);
    *s = (struct jinja_scope){.outer = outer};
    return s;
}

void jinja_set(struct jinja_run *r, const struct jinja_text *name, struct jinja_value v)
{
    struct jinja_binding *b = r->scope->bindings;
    while (b != NULL && !jinja_text_equal(b->name, name)) {
        jinja_step(r->w, 1);
        b = b->next;
    }
    if (b == NULL) {
        b = jinja_alloc(r->w, sizeof *b);
        *b = (struct jinja_binding){.name = name, .next = r->scope->bindings};
        r->scope->bindings = b;
    }
    b->value = v;
}

static void set_attribute(struct jinja_run *r, const struct jinja_target *t, struct jinja_value v)
{
    const struct jinja_expr name = {.kind = JINJA_E_NAME, .line = r->w->line, .name = t->name};
    struct jinja_value of = jinja_eval(r, &name);
    if (of.kind != JINJA_NAMESPACE) {
        jinja_fail(r->w, ERR_INVALID, "set %.*s.%.*s: %.*s is no namespace", (int)t->name->len,
                   t->name->bytes, (int)t->attribute->len, t->attribute->bytes, (int)t->name->len,
                   t->name->bytes);
    }
    if (t->attribute->bytes[0] == '_') {
        jinja_fail(r->w, ERR_INVALID, "a namespace has no attributes that begin with _");
    }
    jinja_dict_set(r->w, of.dict, jinja_from_text(t->attribute), v);
}

static void assign(struct jinja_run *r, const struct jinja_target *t, struct jinja_value v)
{
    if (t->n_parts == 0 && t->attribute != NULL) {
        set_attribute(r, t, v);
    } else if (t->n_parts == 0) {
        jinja_set(r, t->name, v);
    } else {
        const struct jinja_list *items = jinja_iterate(r->w, v);
        if (items->n != t->n_parts) {
            jinja_fail(r->w, ERR_INVALID, "%zu values for %zu names", items->n, t->n_parts);
        }
        for (size_t i = 0; i < t->n_parts; i++) {
            assign(r, &t->parts[i], items->items[i]);
        }
    }
}

// ---- bodies ----

struct jinja_value jinja_capture(struct jinja_run *r, const struct jinja_body *body,
                                 struct jinja_scope *scope, enum jinja_flow *flow)
{
    struct jinja_scope *outer = r->scope;
    struct jinja_out *before = r->out, text = {.w = r->w};
    r->scope = scope;
    r->out = &text;
    *flow = jinja_exec(r, body);
    r->out = before;
    r->scope = outer;
    return jinja_out_take(&text);
}

static struct jinja_value filtered(struct jinja_run *r, const struct jinja_expr *filters,
                                   struct jinja_value text)
{
    struct jinja_value before = r->captured;
    r->captured = text;
    struct jinja_value v = filters == NULL ? text : jinja_eval(r, filters);
    r->captured = before;
    return v;
}

static enum jinja_flow exec_scoped(struct jinja_run *r, const struct jinja_statement *s)
{
    struct jinja_scope *outer = r->scope, *inner = jinja_scope_make(r, outer);
    for (size_t i = 0; i < s->values.n; i++) {    // of with: each sees the outer names only
        struct jinja_value v = jinja_eval(r, s->values.at[i]);
        r->scope = inner;
        assign(r, &s->targets[i], v);
        r->scope = outer;
    }
    r->scope = inner;
    enum jinja_flow flow = jinja_exec(r, &s->body);
    r->scope = outer;
    return flow;
}

static enum jinja_flow exec_captured(struct jinja_run *r, const struct jinja_statement *s)
{
    enum jinja_flow flow;
    struct jinja_value v = jinja_capture(r, &s->body, jinja_scope_make(r, r->scope), &flow);
    if (flow != JINJA_ON) {
        return flow;
    }
    v = filtered(r, s->a, v);
    if (s->kind == JINJA_S_SET_BLOCK) {
        assign(r, &s->target, v);
    } else {
        jinja_put_value(r->out, v);
    }
    return JINJA_ON;
}

static enum jinja_flow exec_if(struct jinja_run *r, const struct jinja_statement *s)
{
    for (size_t i = 0; i < s->n_branches; i++) {
        const struct jinja_branch *b = &s->branches[i];
        if (b->test == NULL || jinja_true(jinja_eval(r, b->test))) {
            return jinja_exec(r, &b->body);
        }
    }
    return JINJA_ON;
}

// The items that a loop goes through: those for which its condition holds.
static const struct jinja_list *loop_items(struct jinja_run *r, const struct jinja_statement *s)
{
    const struct jinja_list *all = jinja_iterate(r->w, jinja_eval(r, s->a));
    if (s->b == NULL) {
        return all;
    }
    struct jinja_list *kept = jinja_list_make(r->w, 0);
    struct jinja_scope *outer = r->scope;
    for (size_t i = 0; i < all->n; i++) {
        r->scope = jinja_scope_make(r, outer);
        assign(r, &s->target, all->items[i]);
        if (jinja_true(jinja_eval(r, s->b))) {
            jinja_list_push(r->w, kept, all->items[i]);
        }
    }
    r->scope = outer;
    return kept;
}

static enum jinja_flow exec_for(struct jinja_run *r, const struct jinja_statement *s)
{
    static const struct jinja_text name = {"loop", 4};
    struct jinja_scope *outer = r->scope;
    struct jinja_loop *loop = jinja_zeroed(r->w, sizeof *loop);
    loop->items = loop_items(r, s);
    for (; loop->at < loop->items->n; loop->at++) {
        jinja_step(r->w, 1);
        r->scope = jinja_scope_make(r, outer);
        jinja_set(r, &name, (struct jinja_value){.kind = JINJA_LOOP, .loop = loop});
        assign(r, &s->target, loop->items->items[loop->at]);
        enum jinja_flow flow = jinja_exec(r, &s->body);
        r->scope = outer;
        if (flow == JINJA_BREAK) {
            break;
        }
    }
    return loop->items->n == 0 ? jinja_exec(r, &s->otherwise) : JINJA_ON;
}

static struct jinja_value make_macro(struct jinja_run *r, const struct jinja_macro_code *code)
{
    struct jinja_macro *m = jinja_alloc(r->w, sizeof *m);
    *m = (struct jinja_macro){code, r->scope};
    return (struct jinja_value){.kind = JINJA_MACRO, .macro = m};
}

static void exec_call_block(struct jinja_run *r, const struct jinja_statement *s)
{
    static const struct jinja_text name = {"caller", 6};
    struct jinja_value callee = jinja_eval(r, s->a->a);
    struct jinja_actuals args = jinja_eval_arguments(r, s->a->arguments);
    jinja_dict_set(r->w, args.named, jinja_from_text(&name), make_macro(r, s->macro));
    jinja_put_value(r->out, jinja_call(r, callee, &args));
}

static enum jinja_flow exec_statement(struct jinja_run *r, const struct jinja_statement *s)
{
    r->w->line = s->line;
    switch (s->kind) {
    case JINJA_S_DATA:
        jinja_put(r->out, s->text->bytes, s->text->len);
        break;
    case JINJA_S_PRINT:
        jinja_put_value(r->out, jinja_eval(r, s->a));
        break;
    case JINJA_S_IF:
        return exec_if(r, s);
    case JINJA_S_FOR:
        return exec_for(r, s);
    case JINJA_S_SET:
        assign(r, &s->target, jinja_eval(r, s->a));
        break;
    case JINJA_S_SET_BLOCK:
    case JINJA_S_FILTER:
        return exec_captured(r, s);
    case JINJA_S_MACRO:
        jinja_set(r, s->macro->name, make_macro(r, s->macro));
        break;
    case JINJA_S_CALL:
        exec_call_block(r, s);
        break;
    case JINJA_S_WITH:
    case JINJA_S_SCOPE:
        return exec_scoped(r, s);
    case JINJA_S_BREAK:
        return JINJA_BREAK;
    case JINJA_S_CONTINUE:
        return JINJA_CONTINUE;
    }
    return JINJA_ON;
}

enum jinja_flow jinja_exec(struct jinja_run *r, const struct jinja_body *body)
{
    enum jinja_flow flow = JINJA_ON;
    jinja_enter(r->w);
    for (size_t i = 0; flow == JINJA_ON && i < body->n; i++) {
        jinja_step(r->w, 1);
        flow = exec_statement(r, body->at[i]);
    }
    jinja_leave(r->w);
    return flow;
}

// ---- a rendering ----

struct render_job {
    const struct jinja_template *t;
    const json_t *vars;
    const struct tm *now;
    struct jinja_work *w;
    struct jinja_out out;
};

static void render(void *arg)
{
    static const struct jinja_text self = {"self", 4};
    struct render_job *job = arg;
    struct jinja_run r = {.w = job->w, .out = &job->out, .now = job->now};
    struct jinja_value vars = jinja_from_json(job->w, job->vars);
    CHECK(vars.kind == JINJA_DICT);
    r.scope = jinja_scope_make(&r, NULL);
    // the template itself: it is there, and without blocks it has no attributes
    jinja_set(&r, &self,
              (struct jinja_value){.kind = JINJA_NAMESPACE, .dict = jinja_dict_make(job->w)});
    for (size_t i = 0; i < vars.dict->n; i++) {
        jinja_set(&r, vars.dict->entries[i].key.text, vars.dict->entries[i].value);
    }
    r.scope = jinja_scope_make(&r, r.scope);
    (void)jinja_exec(&r, &job->t->body);
}

enum err jinja_render(const struct jinja_template *t, const json_t *vars, const struct tm *now,
                      const struct jinja_limits *limits, struct buf *out, struct why *why)
{
    struct jinja_work w = {.name = t->name,
                           .max_bytes = limits->memory_bytes,
                           .max_steps = limits->steps,
                           .max_depth = MAX_RUN_DEPTH};
    struct render_job job = {t, vars, now, &w, {.w = &w, .max = limits->output_bytes}};
    enum err e = jinja_work_run(&w, render, &job, why);
    if (e == ERR_OK) {
        e = buf_append(out, job.out.len == 0 ? "" : job.out.bytes, job.out.len);
        e = e == ERR_OK
                ? e
                : why_set(why, e, "%s: %zu bytes of output: %s", t->name, job.out.len, err_text(e));
    }
    jinja_work_fini(&w);
    return e;
}
