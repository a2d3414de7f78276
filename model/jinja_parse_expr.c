// jinja_parse_expr.c: expressions, from the loosest operator to the tightest:
//
//   a if b else c │ or │ and │ not │ < <= == in … │ + - │ ~ │ * / // % │ ** │ unary + - │ filters
//   and tests │ .name [item] (arguments)
//
// A filter binds tighter than any operator: -1|abs is -(1|abs), 'a' + b|trim is 'a' + (b|trim).

#include <string.h>

#include "model/jinja_parse.h"
#include "model/jinja_run.h"
#include "model/jinja_text.h"

enum { MAX_DEPTH = 300 };    // of an expression's tree; evaluation recurses over it

static int deeper(struct jinja_parser *p, int depth, const struct jinja_expr *e)
{
    int below = e == NULL ? 0 : e->depth + 1;
    if (below > MAX_DEPTH) {
        jinja_fail(p->w, ERR_LIMIT, "an expression nested more than %d deep", MAX_DEPTH);
    }
    return MAX(depth, below);
}

struct jinja_expr *jinja_make_expr(struct jinja_parser *p, enum jinja_expr_kind kind,
                                   struct jinja_expr *a, struct jinja_expr *b)
{
    struct jinja_expr *e = jinja_zeroed(p->w, sizeof *e);
    e->kind = kind;
    e->line = a != NULL ? a->line : p->now.line;
    e->a = a;
    e->b = b;
    e->depth = deeper(p, deeper(p, 0, a), b);
    return e;
}

void jinja_push_expr(struct jinja_parser *p, struct jinja_exprs *list, struct jinja_expr *e)
{
    list->at = jinja_grow(p->w, list->at, list->n, &list->cap, sizeof(struct jinja_expr *));
    list->at[list->n++] = e;
}

static void push_item(struct jinja_parser *p, struct jinja_expr *row, struct jinja_expr *item)
{
    jinja_push_expr(p, &row->items, item);
    row->depth = deeper(p, row->depth, item);
}

// ---- constants, names, displays ----

// Names that Jinja has and that mean nothing here: better refused than quietly undefined.
static const char *const unknown_functions[] = {"cycler", "joiner", "lipsum"};

static struct jinja_expr *parse_name(struct jinja_parser *p)
{
    struct jinja_expr *e = jinja_make_expr(p, JINJA_E_NAME, NULL, NULL);
    const struct jinja_text *name = p->now.value.text;
    bool yes = jinja_text_is(name, "true") || jinja_text_is(name, "True");
    e->name = name;
    if (yes || jinja_text_is(name, "false") || jinja_text_is(name, "False")) {
        e->kind = JINJA_E_CONSTANT;
        e->value = jinja_bool(yes);
    } else if (jinja_text_is(name, "none") || jinja_text_is(name, "None")) {
        e->kind = JINJA_E_CONSTANT;
        e->value = jinja_none();
    }
    for (size_t i = 0; i < ARRAY_LEN(unknown_functions); i++) {
        if (jinja_text_is(name, unknown_functions[i]) && p->next.kind == JINJA_T_OPERATOR &&
            p->next.op == '(') {
            jinja_fail(p->w, ERR_UNSUPPORTED, "the function %s is not supported",
                       unknown_functions[i]);
        }
    }
    for (struct jinja_enclosing *m = p->enclosing; m != NULL; m = m->outer) {
        m->macro->takes_caller |= jinja_text_is(name, "caller");
        m->macro->takes_varargs |= jinja_text_is(name, "varargs");
        m->macro->takes_kwargs |= jinja_text_is(name, "kwargs");
    }
    jinja_advance(p);
    return e;
}

static struct jinja_expr *parse_constant(struct jinja_parser *p)
{
    struct jinja_expr *e = jinja_make_expr(p, JINJA_E_CONSTANT, NULL, NULL);
    e->value = p->now.value;
    jinja_advance(p);
    if (e->value.kind == JINJA_TEXT && p->now.kind == JINJA_T_CONSTANT &&
        p->now.value.kind == JINJA_TEXT) {    // 'a' 'b' is 'ab'
        struct jinja_out text = {.w = p->w};
        jinja_put_value(&text, e->value);
        for (; p->now.kind == JINJA_T_CONSTANT && p->now.value.kind == JINJA_TEXT;
             jinja_advance(p)) {
            jinja_put_value(&text, p->now.value);
        }
        e->value = jinja_out_take(&text);
    }
    return e;
}

static struct jinja_expr *parse_list(struct jinja_parser *p)
{
    struct jinja_expr *e = jinja_make_expr(p, JINJA_E_LIST, NULL, NULL);
    jinja_expect_op(p, '[');
    while (!jinja_at_op(p, ']')) {
        push_item(p, e, jinja_parse_expr(p, true));
        if (!jinja_at_op(p, ']')) {
            jinja_expect_op(p, ',');
        }
    }
    jinja_expect_op(p, ']');
    return e;
}

static struct jinja_expr *parse_dict(struct jinja_parser *p)
{
    struct jinja_expr *e = jinja_make_expr(p, JINJA_E_DICT, NULL, NULL);
    jinja_expect_op(p, '{');
    while (!jinja_at_op(p, '}')) {
        push_item(p, e, jinja_parse_expr(p, true));
        jinja_expect_op(p, ':');
        push_item(p, e, jinja_parse_expr(p, true));
        if (!jinja_at_op(p, '}')) {
            jinja_expect_op(p, ',');
        }
    }
    jinja_expect_op(p, '}');
    return e;
}

static struct jinja_expr *parse_primary(struct jinja_parser *p)
{
    if (p->now.kind == JINJA_T_NAME) {
        return parse_name(p);
    }
    if (p->now.kind == JINJA_T_CONSTANT) {
        return parse_constant(p);
    }
    if (jinja_at_op(p, '[')) {
        return parse_list(p);
    }
    if (jinja_at_op(p, '{')) {
        return parse_dict(p);
    }
    if (!jinja_take_op(p, '(')) {
        jinja_unexpected(p, "an expression");
    }
    struct jinja_expr *e = jinja_at_op(p, ')') ? jinja_make_expr(p, JINJA_E_TUPLE, NULL, NULL)
                                               : jinja_parse_tuple(p, true, NULL);
    jinja_expect_op(p, ')');
    return e;
}

struct jinja_expr *jinja_parse_tuple(struct jinja_parser *p, bool conditional, const char *stop)
{
    struct jinja_expr *first = jinja_parse_expr(p, conditional);
    if (!jinja_at_op(p, ',')) {
        return first;
    }
    struct jinja_expr *row = jinja_make_expr(p, JINJA_E_TUPLE, NULL, NULL);
    push_item(p, row, first);
    while (jinja_take_op(p, ',')) {
        bool end = jinja_at_op(p, ')') || p->now.kind == JINJA_T_PRINT_END ||
                   p->now.kind == JINJA_T_BLOCK_END || (stop != NULL && jinja_at_name(p, stop));
        if (end) {
            break;
        }
        push_item(p, row, jinja_parse_expr(p, conditional));
    }
    return row;
}

// ---- what follows a value: items, calls, filters, tests ----

static void parse_argument(struct jinja_parser *p, struct jinja_arguments *a)
{
    bool named =
        p->now.kind == JINJA_T_NAME && p->next.kind == JINJA_T_OPERATOR && p->next.op == '=';
    if (a->star_star != NULL ||
        (a->star != NULL && !named && !jinja_at_op(p, JINJA_OP2('*', '*')))) {
        jinja_fail(p->w, ERR_INVALID, "an argument behind *args or **kwargs");
    }
    if (jinja_take_op(p, '*')) {
        a->star = jinja_parse_expr(p, true);
    } else if (jinja_take_op(p, JINJA_OP2('*', '*'))) {
        a->star_star = jinja_parse_expr(p, true);
    } else if (named) {
        a->named =
            jinja_grow(p->w, a->named, a->n_named, &a->cap_named, sizeof(struct jinja_argument));
        struct jinja_argument *to = &a->named[a->n_named++];
        to->name = jinja_expect_name(p);
        jinja_expect_op(p, '=');
        to->value = jinja_parse_expr(p, true);
    } else if (a->n_named > 0) {
        jinja_fail(p->w, ERR_INVALID, "an argument without a name behind one with a name");
    } else {
        jinja_push_expr(p, &a->positional, jinja_parse_expr(p, true));
    }
}

static int arguments_depth(struct jinja_parser *p, const struct jinja_arguments *a)
{
    int depth = deeper(p, deeper(p, 0, a->star), a->star_star);
    for (size_t i = 0; i < a->positional.n; i++) {
        depth = deeper(p, depth, a->positional.at[i]);
    }
    for (size_t i = 0; i < a->n_named; i++) {
        depth = deeper(p, depth, a->named[i].value);
    }
    return depth;
}

// Arguments in brackets, if there are any.
static void parse_arguments(struct jinja_parser *p, struct jinja_expr *e)
{
    e->arguments = jinja_zeroed(p->w, sizeof *e->arguments);
    if (!jinja_take_op(p, '(')) {
        return;
    }
    while (!jinja_at_op(p, ')')) {
        parse_argument(p, e->arguments);
        if (!jinja_at_op(p, ')')) {
            jinja_expect_op(p, ',');
        }
    }
    jinja_expect_op(p, ')');
    e->depth = MAX(e->depth, arguments_depth(p, e->arguments));
}

static struct jinja_expr *parse_slice_part(struct jinja_parser *p)
{
    bool none = jinja_at_op(p, ':') || jinja_at_op(p, ']') || jinja_at_op(p, ',');
    return none ? NULL : jinja_parse_expr(p, true);
}

static struct jinja_expr *parse_item(struct jinja_parser *p, struct jinja_expr *of)
{
    jinja_expect_op(p, '[');
    struct jinja_expr *from = jinja_at_op(p, ':') ? NULL : jinja_parse_expr(p, true), *e;
    if (!jinja_take_op(p, ':')) {
        e = jinja_make_expr(p, JINJA_E_ITEM, of, from);
    } else {
        e = jinja_make_expr(p, JINJA_E_SLICE, of, from);
        e->c = parse_slice_part(p);
        e->d = jinja_take_op(p, ':') ? parse_slice_part(p) : NULL;
        e->depth = deeper(p, deeper(p, e->depth, e->c), e->d);
    }
    if (jinja_at_op(p, ',')) {
        jinja_fail(p->w, ERR_UNSUPPORTED, "several items in [] are not supported");
    }
    jinja_expect_op(p, ']');
    return e;
}

static struct jinja_expr *parse_attribute(struct jinja_parser *p, struct jinja_expr *of)
{
    jinja_expect_op(p, '.');
    struct jinja_expr *e;
    if (p->now.kind == JINJA_T_CONSTANT && p->now.value.kind == JINJA_INT) {
        e = jinja_make_expr(p, JINJA_E_ITEM, of, parse_constant(p));
    } else {
        e = jinja_make_expr(p, JINJA_E_ATTRIBUTE, of, NULL);
        e->name = jinja_expect_name(p);
    }
    return e;
}

static struct jinja_expr *parse_call(struct jinja_parser *p, struct jinja_expr *of)
{
    struct jinja_expr *e = jinja_make_expr(p, JINJA_E_CALL, of, NULL);
    parse_arguments(p, e);
    return e;
}

static struct jinja_expr *parse_postfix(struct jinja_parser *p, struct jinja_expr *e)
{
    for (;;) {
        if (jinja_at_op(p, '.')) {
            e = parse_attribute(p, e);
        } else if (jinja_at_op(p, '[')) {
            e = parse_item(p, e);
        } else if (jinja_at_op(p, '(')) {
            e = parse_call(p, e);
        } else {
            return e;
        }
    }
}

struct jinja_expr *jinja_parse_filters(struct jinja_parser *p, struct jinja_expr *of)
{
    do {
        struct jinja_expr *e = jinja_make_expr(p, JINJA_E_FILTER, of, NULL);
        e->line = p->now.line;
        e->name = jinja_expect_name(p);
        e->builtin = jinja_find_filter(e->name);
        if (e->builtin == NULL) {
            p->w->line = e->line;
            jinja_fail(p->w, ERR_UNSUPPORTED, "the filter '%.*s' is not supported",
                       (int)MIN(e->name->len, (size_t)80), e->name->bytes);
        }
        parse_arguments(p, e);
        of = e;
    } while (jinja_take_op(p, '|'));
    return of;
}

// Does a test's single argument follow without brackets, as in "is divisibleby 3"?
static bool at_bare_argument(const struct jinja_parser *p)
{
    if (p->now.kind == JINJA_T_NAME) {
        return !jinja_at_name(p, "else") && !jinja_at_name(p, "or") && !jinja_at_name(p, "and");
    }
    return p->now.kind == JINJA_T_CONSTANT || jinja_at_op(p, '[') || jinja_at_op(p, '{');
}

static struct jinja_expr *parse_test(struct jinja_parser *p, struct jinja_expr *of)
{
    bool negated = jinja_take_name(p, "not");
    struct jinja_expr *e = jinja_make_expr(p, JINJA_E_TEST, of, NULL);
    e->line = p->now.line;
    e->name = jinja_expect_name(p);
    e->builtin = jinja_find_test(e->name);
    if (e->builtin == NULL) {
        p->w->line = e->line;
        jinja_fail(p->w, ERR_UNSUPPORTED, "the test '%.*s' is not supported",
                   (int)MIN(e->name->len, (size_t)80), e->name->bytes);
    }
    parse_arguments(p, e);
    if (e->arguments->positional.n == 0 && at_bare_argument(p)) {
        if (jinja_at_name(p, "is")) {
            jinja_fail(p->w, ERR_INVALID, "two tests in a row: expected 'and' between them");
        }
        jinja_push_expr(p, &e->arguments->positional, parse_postfix(p, parse_primary(p)));
        e->depth = MAX(e->depth, arguments_depth(p, e->arguments));
    }
    return negated ? jinja_make_expr(p, JINJA_E_NOT, e, NULL) : e;
}

static struct jinja_expr *parse_filters_and_tests(struct jinja_parser *p, struct jinja_expr *e)
{
    for (;;) {
        if (jinja_take_op(p, '|')) {
            e = jinja_parse_filters(p, e);
        } else if (jinja_take_name(p, "is")) {
            e = parse_test(p, e);
        } else if (jinja_at_op(p, '(')) {
            e = parse_call(p, e);
        } else {
            return e;
        }
    }
}

// ---- operators ----

static struct jinja_expr *parse_unary(struct jinja_parser *p, bool filters)
{
    struct jinja_expr *e;
    jinja_enter(p->w);
    if (jinja_take_op(p, '-')) {
        e = jinja_make_expr(p, JINJA_E_NEGATIVE, parse_unary(p, false), NULL);
    } else if (jinja_take_op(p, '+')) {
        e = jinja_make_expr(p, JINJA_E_POSITIVE, parse_unary(p, false), NULL);
    } else {
        e = parse_primary(p);
    }
    e = parse_postfix(p, e);
    e = filters ? parse_filters_and_tests(p, e) : e;
    jinja_leave(p->w);
    return e;
}

// The levels of binary arithmetic, loosest first; all group to the left.
static const int levels[][5] = {
    {'+', '-'},
    {'~'},
    {'*', '/', JINJA_OP2('/', '/'), '%'},
    {JINJA_OP2('*', '*')},
};

static int at_level(const struct jinja_parser *p, size_t level)
{
    for (size_t i = 0; levels[level][i] != 0; i++) {
        if (jinja_at_op(p, levels[level][i])) {
            return levels[level][i];
        }
    }
    return 0;
}

static struct jinja_expr *parse_binary(struct jinja_parser *p, size_t level)
{
    if (level == ARRAY_LEN(levels)) {
        return parse_unary(p, true);
    }
    struct jinja_expr *e = parse_binary(p, level + 1);
    for (int op; (op = at_level(p, level)) != 0;) {
        jinja_advance(p);
        struct jinja_expr *right = parse_binary(p, level + 1);
        e = jinja_make_expr(p, op == '~' ? JINJA_E_CONCAT : JINJA_E_BINARY, e, right);
        e->op = op;
    }
    return e;
}

static int take_comparison(struct jinja_parser *p)
{
    static const int ops[] = {
        JINJA_OP2('=', '='), JINJA_OP2('!', '='), '<', JINJA_OP2('<', '='), '>',
        JINJA_OP2('>', '=')};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (jinja_take_op(p, ops[i])) {
            return ops[i];
        }
    }
    if (jinja_take_name(p, "in")) {
        return JINJA_OP_IN;
    }
    if (jinja_at_name(p, "not") && p->next.kind == JINJA_T_NAME &&
        jinja_text_is(p->next.value.text, "in")) {
        jinja_advance(p);
        jinja_advance(p);
        return JINJA_OP_NOT_IN;
    }
    return 0;
}

static struct jinja_expr *parse_compare(struct jinja_parser *p)
{
    struct jinja_expr *first = parse_binary(p, 0), *e = NULL;
    for (int op; (op = take_comparison(p)) != 0;) {
        e = e == NULL ? jinja_make_expr(p, JINJA_E_COMPARE, first, NULL) : e;
        e->comparisons = jinja_grow(p->w, e->comparisons, e->n_comparisons, &e->cap_comparisons,
                                    sizeof *e->comparisons);
        struct jinja_expr *with = parse_binary(p, 0);
        e->comparisons[e->n_comparisons++] = (struct jinja_comparison){op, with};
        e->depth = deeper(p, e->depth, with);
    }
    return e == NULL ? first : e;
}

static struct jinja_expr *parse_not(struct jinja_parser *p)
{
    int negations = 0;
    while (jinja_take_name(p, "not")) {
        negations++;
    }
    struct jinja_expr *e = parse_compare(p);
    for (; negations > 0; negations--) {
        e = jinja_make_expr(p, JINJA_E_NOT, e, NULL);
    }
    return e;
}

static struct jinja_expr *parse_and(struct jinja_parser *p)
{
    struct jinja_expr *e = parse_not(p);
    while (jinja_take_name(p, "and")) {
        struct jinja_expr *right = parse_not(p);
        e = jinja_make_expr(p, JINJA_E_AND, e, right);
    }
    return e;
}

static struct jinja_expr *parse_or(struct jinja_parser *p)
{
    struct jinja_expr *e = parse_and(p);
    while (jinja_take_name(p, "or")) {
        struct jinja_expr *right = parse_and(p);
        e = jinja_make_expr(p, JINJA_E_OR, e, right);
    }
    return e;
}

struct jinja_expr *jinja_parse_expr(struct jinja_parser *p, bool conditional)
{
    jinja_enter(p->w);
    struct jinja_expr *e = parse_or(p);
    while (conditional && jinja_take_name(p, "if")) {
        struct jinja_expr *test = parse_or(p);
        e = jinja_make_expr(p, JINJA_E_IF, e,
                            jinja_take_name(p, "else") ? jinja_parse_expr(p, true) : NULL);
        e->c = test;
        e->depth = deeper(p, e->depth, test);
    }
    jinja_leave(p->w);
    return e;
}
