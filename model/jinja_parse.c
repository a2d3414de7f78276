// jinja_parse.c: statements, and the template as a whole.
//
// The nesting of blocks and brackets is bounded by jinja_enter (200; a bracket takes two), since the parser recurses
// over it; a chain of operators or elifs is a loop and may be as long as the expression's depth
// allows.

#include "model/jinja_parse.h"

#include <stdlib.h>
#include <string.h>

#include "model/jinja.h"
#include "model/jinja_run.h"
#include "model/jinja_text.h"

#define MAX_SOURCE_BYTES ((size_t)4 << 20)
#define MAX_TREE_BYTES ((size_t)256 << 20)
#define MAX_NESTING 200

// ---- tokens ----

void jinja_advance(struct jinja_parser *p)
{
    p->now = p->next;
    if (p->now.kind != JINJA_T_END) {
        jinja_lex(&p->lexer, &p->next);
    }
    p->w->line = p->now.line;
}

bool jinja_at_op(const struct jinja_parser *p, int op)
{
    return p->now.kind == JINJA_T_OPERATOR && p->now.op == op;
}

bool jinja_at_name(const struct jinja_parser *p, const char *name)
{
    return p->now.kind == JINJA_T_NAME && jinja_text_is(p->now.value.text, name);
}

bool jinja_take_op(struct jinja_parser *p, int op)
{
    bool there = jinja_at_op(p, op);
    if (there) {
        jinja_advance(p);
    }
    return there;
}

bool jinja_take_name(struct jinja_parser *p, const char *name)
{
    bool there = jinja_at_name(p, name);
    if (there) {
        jinja_advance(p);
    }
    return there;
}

void jinja_unexpected(struct jinja_parser *p, const char *expected)
{
    char got[64];
    jinja_fail(p->w, ERR_INVALID, "expected %s, found %s", expected,
               jinja_token_name(&p->now, got));
}

void jinja_expect_op(struct jinja_parser *p, int op)
{
    if (!jinja_take_op(p, op)) {
        char expected[64];
        struct jinja_token t = {.kind = JINJA_T_OPERATOR, .op = op};
        jinja_unexpected(p, jinja_token_name(&t, expected));
    }
}

void jinja_expect(struct jinja_parser *p, enum jinja_token_kind kind)
{
    if (p->now.kind != kind) {
        char expected[64];
        struct jinja_token t = {.kind = kind};
        jinja_unexpected(p, jinja_token_name(&t, expected));
    }
    jinja_advance(p);
}

const struct jinja_text *jinja_expect_name(struct jinja_parser *p)
{
    if (p->now.kind != JINJA_T_NAME) {
        jinja_unexpected(p, "a name");
    }
    const struct jinja_text *name = p->now.value.text;
    jinja_advance(p);
    return name;
}

// ---- targets ----

static bool is_constant_name(const struct jinja_text *t)
{
    static const char *const names[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (jinja_text_is(t, names[i])) {
            return true;
        }
    }
    return false;
}

static void parse_target(struct jinja_parser *p, bool attributes, struct jinja_target *out);

static void parse_target_part(struct jinja_parser *p, bool attributes, struct jinja_target *out)
{
    *out = (struct jinja_target){0};
    if (jinja_take_op(p, '(')) {
        parse_target(p, attributes, out);
        jinja_expect_op(p, ')');
        return;
    }
    out->name = jinja_expect_name(p);
    if (is_constant_name(out->name)) {
        jinja_fail(p->w, ERR_INVALID, "cannot assign to %.*s", (int)out->name->len,
                   out->name->bytes);
    }
    if (attributes && jinja_take_op(p, '.')) {
        out->attribute = jinja_expect_name(p);
    }
}

// One name, or several with commas between.
static void parse_target(struct jinja_parser *p, bool attributes, struct jinja_target *out)
{
    struct jinja_target first;
    jinja_enter(p->w);
    parse_target_part(p, attributes, &first);
    if (!jinja_at_op(p, ',')) {
        *out = first;
        jinja_leave(p->w);
        return;
    }
    struct jinja_target row = {0};
    row.parts = jinja_grow(p->w, NULL, 0, &row.cap_parts, sizeof first);
    row.parts[row.n_parts++] = first;
    while (jinja_take_op(p, ',') && (p->now.kind == JINJA_T_NAME || jinja_at_op(p, '(')) &&
           !jinja_at_name(p, "in")) {
        row.parts = jinja_grow(p->w, row.parts, row.n_parts, &row.cap_parts, sizeof first);
        parse_target_part(p, attributes, &row.parts[row.n_parts]);
        row.n_parts++;
    }
    *out = row;
    jinja_leave(p->w);
}

// ---- bodies ----

struct opening {
    const char *tag;
    int line;
    const char *ends[4];    // tags that end the body, NULL-terminated
};

static void parse_statement(struct jinja_parser *p, struct jinja_body *body);

static struct jinja_statement *push_statement(struct jinja_parser *p, struct jinja_body *body,
                                              enum jinja_statement_kind kind)
{
    struct jinja_statement *s = jinja_zeroed(p->w, sizeof *s);
    body->at = jinja_grow(p->w, body->at, body->n, &body->cap, sizeof(struct jinja_statement *));
    body->at[body->n++] = s;
    s->kind = kind;
    s->line = p->now.line;
    return s;
}

static bool at_end(const struct jinja_parser *p, const struct opening *o)
{
    for (size_t i = 0; o != NULL && o->ends[i] != NULL; i++) {
        if (jinja_at_name(p, o->ends[i])) {
            return true;
        }
    }
    return false;
}

// Up to the name of the tag that ends it, which is not passed; o NULL: to the end of the template.
static void parse_body(struct jinja_parser *p, const struct opening *o, struct jinja_body *body)
{
    jinja_enter(p->w);
    for (;;) {
        if (p->now.kind == JINJA_T_DATA) {
            push_statement(p, body, JINJA_S_DATA)->text = p->now.value.text;
            jinja_advance(p);
        } else if (p->now.kind == JINJA_T_PRINT) {
            struct jinja_statement *s = push_statement(p, body, JINJA_S_PRINT);
            jinja_advance(p);
            s->a = jinja_parse_tuple(p, true, NULL);
            jinja_expect(p, JINJA_T_PRINT_END);
        } else if (p->now.kind == JINJA_T_BLOCK) {
            jinja_advance(p);
            if (at_end(p, o)) {
                break;
            }
            parse_statement(p, body);
        } else if (o != NULL) {
            jinja_fail(p->w, ERR_INVALID, "{%% %s %%} of line %d without {%% %s %%}", o->tag,
                       o->line, o->ends[0]);
        } else {
            break;
        }
    }
    jinja_leave(p->w);
}

// The body and its closing tag.
static void parse_whole_body(struct jinja_parser *p, const char *tag, const char *end, int line,
                             struct jinja_body *body)
{
    const struct opening o = {tag, line, {end}};
    jinja_expect(p, JINJA_T_BLOCK_END);
    parse_body(p, &o, body);
    jinja_advance(p);
    jinja_expect(p, JINJA_T_BLOCK_END);
}

// ---- tags ----

static void parse_if(struct jinja_parser *p, struct jinja_body *body)
{
    struct jinja_statement *s = push_statement(p, body, JINJA_S_IF);
    const struct opening with_else = {"if", s->line, {"endif", "elif", "else"}};
    const struct opening last = {"if", s->line, {"endif"}};
    for (bool more = true, otherwise = false; more;) {
        s->branches = jinja_grow(p->w, s->branches, s->n_branches, &s->cap_branches,
                                 sizeof(struct jinja_branch));
        struct jinja_branch b = {.test = otherwise ? NULL : jinja_parse_tuple(p, false, NULL)};
        jinja_expect(p, JINJA_T_BLOCK_END);
        parse_body(p, otherwise ? &last : &with_else, &b.body);
        s->branches[s->n_branches++] = b;
        otherwise = jinja_at_name(p, "else");
        more = !jinja_at_name(p, "endif");
        jinja_advance(p);
    }
    jinja_expect(p, JINJA_T_BLOCK_END);
}

static void parse_for(struct jinja_parser *p, struct jinja_body *body)
{
    struct jinja_statement *s = push_statement(p, body, JINJA_S_FOR);
    const struct opening with_else = {"for", s->line, {"endfor", "else"}};
    const struct opening last = {"for", s->line, {"endfor"}};
    parse_target(p, false, &s->target);
    if (!jinja_take_name(p, "in")) {
        jinja_unexpected(p, "'in'");
    }
    s->a = jinja_parse_tuple(p, false, "recursive");
    s->b = jinja_take_name(p, "if") ? jinja_parse_expr(p, true) : NULL;
    if (jinja_at_name(p, "recursive")) {
        jinja_fail(p->w, ERR_UNSUPPORTED, "recursive loops are not supported");
    }
    jinja_expect(p, JINJA_T_BLOCK_END);
    p->loops++;
    parse_body(p, &with_else, &s->body);
    p->loops--;
    bool otherwise = jinja_at_name(p, "else");
    jinja_advance(p);
    if (otherwise) {
        jinja_expect(p, JINJA_T_BLOCK_END);
        parse_body(p, &last, &s->otherwise);
        jinja_advance(p);
    }
    jinja_expect(p, JINJA_T_BLOCK_END);
}

// The text that a block captured, as the operand of filters.
static struct jinja_expr *captured(struct jinja_parser *p)
{
    struct jinja_expr *e = jinja_make_expr(p, JINJA_E_CONSTANT, NULL, NULL);
    e->value = (struct jinja_value){.kind = JINJA_CAPTURED};
    return e;
}

static void parse_set(struct jinja_parser *p, struct jinja_body *body)
{
    struct jinja_statement *s = push_statement(p, body, JINJA_S_SET);
    parse_target(p, true, &s->target);
    if (jinja_take_op(p, '=')) {
        s->a = jinja_parse_tuple(p, true, NULL);
        jinja_expect(p, JINJA_T_BLOCK_END);
        return;
    }
    s->kind = JINJA_S_SET_BLOCK;
    s->a = jinja_take_op(p, '|') ? jinja_parse_filters(p, captured(p)) : NULL;
    parse_whole_body(p, "set", "endset", s->line, &s->body);
}

// A body that is called: macro or call block. Loops around it are out of reach.
static void parse_code(struct jinja_parser *p, const char *tag, const char *end, int line,
                       struct jinja_macro_code *code)
{
    struct jinja_enclosing here = {code, p->enclosing};
    int loops = p->loops;
    p->enclosing = &here;
    p->loops = 0;
    parse_whole_body(p, tag, end, line, &code->body);
    p->enclosing = here.outer;
    p->loops = loops;
}

static void parse_parameters(struct jinja_parser *p, struct jinja_macro_code *code)
{
    jinja_expect_op(p, '(');
    while (!jinja_at_op(p, ')')) {
        code->parameters = jinja_grow(p->w, code->parameters, code->n_parameters,
                                      &code->cap_parameters, sizeof(struct jinja_parameter));
        struct jinja_parameter *to = &code->parameters[code->n_parameters++];
        *to = (struct jinja_parameter){.name = jinja_expect_name(p)};
        if (is_constant_name(to->name)) {
            jinja_fail(p->w, ERR_INVALID, "a constant as a parameter's name");
        }
        if (jinja_take_op(p, '=')) {
            to->standard = jinja_parse_expr(p, true);
        } else if (code->n_parameters > 1 && to[-1].standard != NULL) {
            jinja_fail(p->w, ERR_INVALID,
                       "a parameter without a default behind one with a default");
        }
        if (!jinja_at_op(p, ')')) {
            jinja_expect_op(p, ',');
        }
    }
    jinja_expect_op(p, ')');
}

static void parse_macro(struct jinja_parser *p, struct jinja_body *body)
{
    struct jinja_statement *s = push_statement(p, body, JINJA_S_MACRO);
    s->macro = jinja_zeroed(p->w, sizeof *s->macro);
    s->macro->name = jinja_expect_name(p);
    parse_parameters(p, s->macro);
    parse_code(p, "macro", "endmacro", s->line, s->macro);
}

static void parse_call_block(struct jinja_parser *p, struct jinja_body *body)
{
    static const struct jinja_text caller = {"caller", 6};
    struct jinja_statement *s = push_statement(p, body, JINJA_S_CALL);
    s->macro = jinja_zeroed(p->w, sizeof *s->macro);
    s->macro->name = &caller;
    if (jinja_at_op(p, '(')) {
        parse_parameters(p, s->macro);
    }
    s->a = jinja_parse_expr(p, true);
    if (s->a->kind != JINJA_E_CALL) {
        jinja_fail(p->w, ERR_INVALID, "{%% call %%} without a call");
    }
    parse_code(p, "call", "endcall", s->line, s->macro);
}

static void parse_filter_block(struct jinja_parser *p, struct jinja_body *body)
{
    struct jinja_statement *s = push_statement(p, body, JINJA_S_FILTER);
    s->a = jinja_parse_filters(p, captured(p));
    parse_whole_body(p, "filter", "endfilter", s->line, &s->body);
}

static void parse_with(struct jinja_parser *p, struct jinja_body *body)
{
    struct jinja_statement *s = push_statement(p, body, JINJA_S_WITH);
    size_t n = 0, cap = 0;
    while (p->now.kind != JINJA_T_BLOCK_END) {
        if (n > 0) {
            jinja_expect_op(p, ',');
        }
        s->targets = jinja_grow(p->w, s->targets, n, &cap, sizeof(struct jinja_target));
        parse_target_part(p, false, &s->targets[n++]);
        jinja_expect_op(p, '=');
        jinja_push_expr(p, &s->values, jinja_parse_expr(p, true));
    }
    parse_whole_body(p, "with", "endwith", s->line, &s->body);
}

static void parse_generation(struct jinja_parser *p, struct jinja_body *body)
{
    struct jinja_statement *s = push_statement(p, body, JINJA_S_SCOPE);
    int loops = p->loops;
    p->loops = 0;
    parse_whole_body(p, "generation", "endgeneration", s->line, &s->body);
    p->loops = loops;
}

static void parse_jump(struct jinja_parser *p, struct jinja_body *body,
                       enum jinja_statement_kind kind)
{
    if (p->loops == 0) {
        jinja_fail(p->w, ERR_INVALID, "{%% %s %%} outside of a loop",
                   kind == JINJA_S_BREAK ? "break" : "continue");
    }
    push_statement(p, body, kind);
    jinja_expect(p, JINJA_T_BLOCK_END);
}

static void parse_break(struct jinja_parser *p, struct jinja_body *body)
{
    parse_jump(p, body, JINJA_S_BREAK);
}

static void parse_continue(struct jinja_parser *p, struct jinja_body *body)
{
    parse_jump(p, body, JINJA_S_CONTINUE);
}

static void parse_print(struct jinja_parser *p, struct jinja_body *body)
{
    do {
        struct jinja_statement *s = push_statement(p, body, JINJA_S_PRINT);
        s->a = jinja_parse_expr(p, true);
    } while (jinja_take_op(p, ','));
    jinja_expect(p, JINJA_T_BLOCK_END);
}

static const struct {
    const char *name;
    void (*parse)(struct jinja_parser *p, struct jinja_body *body);
} tags[] = {
    {"if", parse_if},           {"for", parse_for},
    {"set", parse_set},         {"macro", parse_macro},
    {"call", parse_call_block}, {"filter", parse_filter_block},
    {"with", parse_with},       {"generation", parse_generation},
    {"break", parse_break},     {"continue", parse_continue},
    {"print", parse_print},
};

static void parse_statement(struct jinja_parser *p, struct jinja_body *body)
{
    for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
        if (jinja_take_name(p, tags[i].name)) {
            tags[i].parse(p, body);
            return;
        }
    }
    if (p->now.kind != JINJA_T_NAME) {
        jinja_unexpected(p, "the name of a tag");
    }
    const struct jinja_text *name = p->now.value.text;
    bool end = name->len > 3 && memcmp(name->bytes, "end", 3) == 0;
    if (end || jinja_text_is(name, "else") || jinja_text_is(name, "elif")) {
        jinja_fail(p->w, ERR_INVALID, "unexpected {%% %.*s %%}", (int)MIN(name->len, (size_t)80),
                   name->bytes);
    }
    jinja_fail(p->w, ERR_UNSUPPORTED, "the tag {%% %.*s %%} is not supported",
               (int)MIN(name->len, (size_t)80), name->bytes);
}

// ---- the template ----

struct parse_job {
    struct jinja_template *t;
    const char *source;
    size_t len;
};

static void parse_template(void *arg)
{
    struct parse_job *job = arg;
    struct jinja_parser p = {.w = &job->t->work};
    if (job->len > MAX_SOURCE_BYTES) {
        jinja_fail(p.w, ERR_LIMIT, "%zu bytes, at most %zu", job->len, MAX_SOURCE_BYTES);
    }
    jinja_lex_init(&p.lexer, p.w, job->source, job->len);
    jinja_lex(&p.lexer, &p.next);
    jinja_advance(&p);
    parse_body(&p, NULL, &job->t->body);
}

enum err jinja_parse(const char *source, size_t len, const char *name, struct jinja_template **out,
                     struct why *why)
{
    struct jinja_template *t = calloc(1, sizeof *t);
    if (t == NULL || (t->name = strdup(name)) == NULL) {
        free(t);
        return why_set(why, ERR_NOMEM, "%s: out of memory", name);
    }
    t->work = (struct jinja_work){.name = t->name,
                                  .max_bytes = MAX_TREE_BYTES,
                                  .max_steps = UINT64_MAX,
                                  .max_depth = MAX_NESTING};
    struct parse_job job = {t, source, len};
    enum err e = jinja_work_run(&t->work, parse_template, &job, why);
    if (e != ERR_OK) {
        jinja_destroy(t);
        return e;
    }
    *out = t;
    return ERR_OK;
}

void jinja_destroy(struct jinja_template *t)
{
    if (t != NULL) {
        jinja_work_fini(&t->work);
        free(t->name);
        free(t);
    }
}
