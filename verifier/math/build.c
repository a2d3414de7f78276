// build.c: nodes from the operators, commands and brackets that parse.c finds.
//
// Types are checked here: arithmetic takes scalars, a relation takes anything. What is no
// mathematics at all fails in silence, what only is not computed here leaves a note.
#include "verifier/math/parse_internal.h"

#define TERMS_MAX 200    // of a sum or product that is written out

static const struct math_node *node(const struct math_parser *p, uint32_t i)
{
    return math_at(p->f, i);
}

static uint32_t pop(struct math_parser *p)
{
    return p->operand[--p->n_operands];
}

static bool is_integer(const struct math_parser *p, uint32_t i)
{
    const struct math_node *v = node(p, i);
    return v->kind == MATH_NUMBER && fmpz_is_one(fmpq_denref(&v->number));
}

// May the node be a part of arithmetic?
static bool arithmetic(struct math_parser *p, uint32_t i)
{
    switch (node(p, i)->kind) {
    case MATH_UNIT:
        math_note(p->f, "arithmetic with units is not carried out");
        return false;
    case MATH_RATIO:
    case MATH_TEXT:
    case MATH_RELATION:
        return false;
    default:
        if (!math_is_scalar(p->f, i)) {
            math_note(p->f, "arithmetic with matrices, lists and sets is not carried out");
            return false;
        }
        return true;
    }
}

static bool all_arithmetic(struct math_parser *p, size_t from)
{
    for (size_t i = from; i < p->n_operands; i++) {
        if (!arithmetic(p, p->operand[i])) {
            return false;
        }
    }
    return true;
}

static bool put(struct math_parser *p, uint32_t made)
{
    math_operand(p, made);
    return true;
}

// A(3,4): a point and its name
static bool names_point(const struct math_parser *p, uint32_t a, uint32_t b)
{
    const struct math_node *name = node(p, a);
    if (name->kind != MATH_SYMBOL || node(p, b)->kind != MATH_BRACKET) {
        return false;
    }
    struct pyspan letters = p->f->symbols.v[name->id];
    return letters.n == 1 && letters.cp[0] >= 'A' && letters.cp[0] <= 'Z';
}

static bool build_ratio(struct math_parser *p, uint32_t a, uint32_t b)
{
    struct math_forest *f = p->f;
    if (node(p, a)->kind == MATH_TEXT) {
        return put(p, b);    // "Answer: 5"
    }
    bool longer = node(p, a)->kind == MATH_RATIO;
    if (!(longer || arithmetic(p, a)) || !arithmetic(p, b)) {
        return false;
    }
    uint32_t n = longer ? node(p, a)->n : 1;
    uint32_t *arg = scratch_array(f->scratch, (size_t)n + 1, sizeof *arg);
    for (uint32_t i = 0; i < n; i++) {
        arg[i] = longer ? node(p, a)->arg[i] : a;
    }
    arg[n] = b;
    return put(p, math_make(f, MATH_RATIO, 0, n + 1, arg));
}

static bool build_binary(struct math_parser *p, const struct math_entry *e)
{
    struct math_forest *f = p->f;
    uint32_t b = pop(p), a = pop(p);
    uint32_t both[] = {a, b};
    switch (e->op) {
    case MATH_TOK_RELATION:
        return put(p, math_make(f, MATH_RELATION, e->number, 2, both));
    case MATH_TOK_UNION:
        return put(p, math_binary(f, MATH_UNION, a, b));
    case MATH_TOK_INTERSECTION:
        return put(p, math_binary(f, MATH_INTERSECTION, a, b));
    case MATH_TOK_SETMINUS:
        return put(p, math_binary(f, MATH_DIFFERENCE, a, b));
    case MATH_TOK_COLON:
        return build_ratio(p, a, b);
    case MATH_TOK_TIMES:
        if (names_point(p, a, b)) {
            return put(p, b);
        }
        break;
    default:
        break;
    }
    if (!arithmetic(p, a) || !arithmetic(p, b)) {
        return false;
    }
    switch (e->op) {
    case MATH_TOK_PLUS:
        return put(p, math_binary(f, MATH_ADD, a, b));
    case MATH_TOK_MINUS:
        return put(p, math_binary(f, MATH_SUB, a, b));
    case MATH_TOK_PM:
        return put(p, math_make(f, MATH_PM, e->number, 2, both));
    case MATH_TOK_TIMES:
        return put(p, math_binary(f, MATH_MUL, a, b));
    case MATH_TOK_DIVIDE:
        return put(p, math_binary(f, MATH_DIV, a, b));
    case MATH_TOK_POWER:
        return put(p, math_binary(f, MATH_POW, a, b));
    case MATH_TOK_CHOOSE:
        return put(p, math_func2(f, MATH_BINOMIAL, a, b));
    case MATH_TOK_FRAC: {    // 1\frac12 is a sum, 2\frac{x}{2} a product
        const struct math_node v = *node(p, b);
        bool mixed = v.kind == MATH_DIV && is_integer(p, v.arg[0]) && is_integer(p, v.arg[1]);
        return put(p, math_binary(f, mixed ? MATH_ADD : MATH_MUL, a, b));
    }
    default:
        return false;
    }
}

static bool small(const struct math_parser *p, uint32_t i, long *out)
{
    const struct math_node *v = node(p, i);
    bool negative = v->kind == MATH_NEG;
    uint32_t inner = negative ? v->arg[0] : i;
    if (!is_integer(p, inner) ||
        fmpz_cmpabs(fmpq_numref(&node(p, inner)->number), (const fmpz[]){1000000000}) > 0) {
        return false;
    }
    long n = fmpz_get_si(fmpq_numref(&node(p, inner)->number));
    *out = negative ? -n : n;
    return true;
}

// \sum_{i=1}^{3} i^2, written out.
static bool build_sum(struct math_parser *p, bool product)
{
    struct math_forest *f = p->f;
    uint32_t body = pop(p), upper = pop(p), start = pop(p);
    const struct math_node from = *node(p, start);
    long lo, hi;
    bool counts = from.kind == MATH_RELATION && from.op == MATH_EQ && small(p, from.arg[1], &lo) &&
                  small(p, upper, &hi) && hi < lo + TERMS_MAX;
    if (!counts || !arithmetic(p, body)) {
        math_note(f, "sums and products are written out up to 200 terms");
        return false;
    }
    uint32_t total = math_integer(f, product);
    for (long i = lo; i <= hi && math_spend(f, 1000); i++) {
        uint32_t term = math_substitute(f, body, from.arg[0], math_integer(f, i));
        total = math_binary(f, product ? MATH_MUL : MATH_ADD, total, term);
    }
    return put(p, total);
}

static bool inverse_of(enum math_func fn, enum math_func *inverse)
{
    switch (fn) {
    case MATH_SIN:
        *inverse = MATH_ASIN;
        return true;
    case MATH_COS:
        *inverse = MATH_ACOS;
        return true;
    case MATH_TAN:
        *inverse = MATH_ATAN;
        return true;
    default:
        return false;
    }
}

bool math_takes_several(const struct math_entry *command)
{
    if (command->op == MATH_TOK_ATOM) {
        return true;
    }
    return command->op == MATH_TOK_FUNC &&
           (command->number == MATH_GCD || command->number == MATH_LCM ||
            command->number == MATH_MAX || command->number == MATH_MIN ||
            command->number == MATH_BINOMIAL || command->number == MATH_LOG);
}

static uint32_t apply(struct math_parser *p, enum math_func fn, uint32_t n, const uint32_t *arg,
                      uint32_t base)
{
    struct math_forest *f = p->f;
    if (fn == MATH_EXP) {
        return math_binary(f, MATH_POW, math_make(f, MATH_E, 0, 0, NULL), arg[0]);
    }
    if (fn == MATH_LOG) {
        return math_func2(f, fn, arg[0], n > 1 ? arg[1] : base);
    }
    return math_make(f, MATH_FUNC, fn, n, arg);
}

static bool build_function(struct math_parser *p, const struct math_entry *e)
{
    struct math_forest *f = p->f;
    enum math_func fn = e->number, inverse;
    size_t first = e->base + (e->has_base ? 1 : 0) + (e->has_power ? 1 : 0);
    uint32_t n = (uint32_t)(p->n_operands - first);
    if (!all_arithmetic(p, e->base) || n == 0 || (fn == MATH_BINOMIAL && n != 2) ||
        (n > 1 && !math_takes_several(e)) || (fn == MATH_LOG && n > 2)) {
        return false;
    }
    if (fn == MATH_LOG && !e->has_base && n == 1 && (p->tokens->reading & MATH_NATURAL_LOG)) {
        fn = MATH_LN;
    }
    uint32_t base = e->has_base ? p->operand[e->base] : math_integer(f, 10);
    uint32_t power = e->has_power ? p->operand[first - 1] : 0;
    uint32_t *arg = scratch_array(f->scratch, n, sizeof *arg);
    for (uint32_t i = 0; i < n; i++) {
        arg[i] = p->operand[first + i];
    }
    p->n_operands = e->base;
    long k = 0;
    if (e->has_power && small(p, power, &k) && k == -1 && inverse_of(fn, &inverse)) {
        return put(p, apply(p, inverse, n, arg, base));
    }
    uint32_t value = apply(p, fn, n, arg, base);
    return put(p, e->has_power ? math_binary(f, MATH_POW, value, power) : value);
}

static bool build_prefix(struct math_parser *p, const struct math_entry *e)
{
    struct math_forest *f = p->f;
    if (e->op == MATH_TOK_FUNC) {
        return build_function(p, e);
    }
    if (e->op == MATH_TOK_SUM) {
        return build_sum(p, e->number == 1);
    }
    uint32_t a = pop(p);
    const struct math_node v = *node(p, a);
    if (e->op == MATH_TOK_DOLLAR) {
        return math_is_scalar(f, a) &&
               put(p, math_texted(f, MATH_UNIT, pytext_literal(f->scratch, "$"), 1, a));
    }
    if (v.kind == MATH_UNIT && e->op == MATH_TOK_MINUS) {    // -$5
        return put(p, math_texted(f, MATH_UNIT, v.text, v.id, math_unary(f, MATH_NEG, v.arg[0])));
    }
    if (!arithmetic(p, a)) {
        return false;
    }
    return put(p, e->op == MATH_TOK_PM ? math_make(f, MATH_PM, e->number, 1, &a)
                                       : math_unary(f, MATH_NEG, a));
}

bool math_build(struct math_parser *p, const struct math_entry *e)
{
    return e->kind == MATH_ENTRY_BINARY ? build_binary(p, e) : build_prefix(p, e);
}

bool math_build_command(struct math_parser *p, const struct math_entry *e)
{
    struct math_forest *f = p->f;
    uint32_t n = (uint32_t)(p->n_operands - e->base);
    if (e->op == MATH_TOK_FUNC) {
        return build_function(p, e);
    }
    if (!all_arithmetic(p, e->base) || n == 0) {
        return false;
    }
    const uint32_t *arg = p->operand + e->base;
    uint32_t made = 0;
    switch (e->op) {
    case MATH_TOK_FRAC:
        made = math_binary(f, MATH_DIV, arg[0], arg[1]);
        break;
    case MATH_TOK_BINOM:
        made = math_func2(f, MATH_BINOMIAL, arg[0], arg[1]);
        break;
    case MATH_TOK_CBRT:
        made = math_binary(f, MATH_ROOT, arg[0], math_integer(f, 3));
        break;
    case MATH_TOK_SQRT: {
        uint32_t index = n > 1 ? arg[0] : math_integer(f, 2);
        made = math_binary(f, MATH_ROOT, arg[n - 1], index);
        break;
    }
    case MATH_TOK_ATOM:
        if (e->number == 'C' && n == 2) {
            made = math_func2(f, MATH_BINOMIAL, arg[0], arg[1]);
        } else {
            made = math_make(f, MATH_CALL, e->number, n, arg);
        }
        break;
    default:
        return false;
    }
    p->n_operands = e->base;
    return put(p, made);
}

static bool absolute(struct math_parser *p, size_t base, enum math_func fn)
{
    if (p->n_operands - base != 1 || !arithmetic(p, p->operand[base])) {
        return false;
    }
    return put(p, math_func(p->f, fn, pop(p)));
}

bool math_build_fence(struct math_parser *p, const struct math_entry *e, enum math_fence closer)
{
    struct math_forest *f = p->f;
    uint32_t n = (uint32_t)(p->n_operands - e->base);
    const uint32_t *arg = p->operand + e->base;
    uint32_t sides = (e->op == MATH_SQUARE ? MATH_LEFT_CLOSED : 0u) |
                     (closer == MATH_SQUARE ? MATH_RIGHT_CLOSED : 0u);
    uint32_t made;
    switch (e->op) {
    case MATH_BRACE:
        if (n == 1) {
            return true;
        }
        made = math_make(f, MATH_LIST, 0, n, arg);
        break;
    case MATH_ROUND:
    case MATH_SQUARE:
        if (n == 1) {
            return (e->op == MATH_ROUND) == (closer == MATH_ROUND);
        }
        made = math_make(f, MATH_BRACKET, sides, n, arg);
        break;
    case MATH_CURLY:
        made = math_make(f, MATH_SET, 0, n, arg);
        break;
    case MATH_ANGLE:
        made = math_make(f, MATH_ANGLED, 0, n, arg);
        break;
    case MATH_FLOORS:
        return absolute(p, e->base, MATH_FLOOR);
    case MATH_CEILS:
        return absolute(p, e->base, MATH_CEIL);
    default:
        return absolute(p, e->base, MATH_ABS);
    }
    if (n == 0) {
        return false;
    }
    p->n_operands = e->base;
    return put(p, made);
}

// ---- matrices ----

static struct math_entry *matrix(struct math_parser *p)
{
    struct math_entry *e = &p->entry[p->n_entries - 1];
    return e->kind == MATH_ENTRY_MATRIX ? e : NULL;
}

bool math_end_cell(struct math_parser *p, bool row)
{
    struct math_entry *e = matrix(p);
    if (!e) {
        return false;
    }
    bool finish = p->tokens->v[p->at].kind == MATH_TOK_FINISH;
    e->row++;
    if (row) {
        if (e->columns != 0 && e->columns != e->row) {
            return false;
        }
        e->columns = e->row;
        e->row = 0;
    }
    p->at += !finish;
    p->wanting = !finish;
    return true;
}

bool math_finish_matrix(struct math_parser *p)
{
    struct math_entry *e = matrix(p);
    uint32_t n = e ? (uint32_t)(p->n_operands - e->base) : 0;
    if (!e || e->row != 0 || n == 0 || n % e->columns != 0) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!math_is_scalar(p->f, p->operand[e->base + i])) {
            return false;
        }
    }
    uint32_t made = math_matrix(p->f, e->columns, n, p->operand + e->base);
    p->n_operands = e->base;
    p->n_entries--;
    p->at++;
    return put(p, made);
}
