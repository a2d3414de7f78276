// parse.c: an operator-precedence parser with its stack in the open.
//
// Two stacks: operands (nodes), and entries: operators that wait for their right side, brackets
// that wait to be closed, commands that wait for arguments. What a token means depends on whether
// an operand is wanted or just ended (| opens or closes, - is a sign or a difference), nothing else
// looks back. An operand right after an operand is a product, except where notation says otherwise:
// 1\frac12 is a mixed number, 5 cm a quantity, f(x) a function's value.
//
// How tightly things bind is enum binding; \sin 2x takes the product, \sin(x) y only the bracket.
// build.c makes the nodes.
#include "verifier/math/parse_internal.h"

#include <string.h>

static const struct math_token *peek(const struct math_parser *p, size_t ahead)
{
    size_t at = MIN(p->at + ahead, p->tokens->n - 1);
    return &p->tokens->v[at];
}

static bool next_is(const struct math_parser *p, size_t ahead, enum math_token_kind kind)
{
    return peek(p, ahead)->kind == kind;
}

static bool opens(const struct math_token *t, enum math_fence fence)
{
    return t->kind == MATH_TOK_OPEN && t->op == fence;
}

static bool closes(const struct math_token *t, enum math_fence fence)
{
    return t->kind == MATH_TOK_CLOSE && t->op == fence;
}

static bool is_plain(const struct math_token *t)
{
    return t->kind == MATH_TOK_NUMBER && t->op == 0 && t->text.n > 0;
}

struct math_entry *math_push(struct math_parser *p, enum math_entry_kind kind, uint32_t op,
                             int binding)
{
    p->entry = scratch_grow(p->f->scratch, p->entry, p->n_entries, p->n_entries + 1,
                            &p->cap_entries, sizeof *p->entry);
    struct math_entry *e = &p->entry[p->n_entries++];
    *e = (struct math_entry){
        .kind = kind, .op = op, .binding = binding, .base = p->n_operands, .token = p->at};
    return e;
}

void math_operand(struct math_parser *p, uint32_t node)
{
    p->operand = scratch_grow(p->f->scratch, p->operand, p->n_operands, p->n_operands + 1,
                              &p->cap_operands, sizeof *p->operand);
    p->operand[p->n_operands++] = node;
}

static struct math_entry *top(struct math_parser *p)
{
    return &p->entry[p->n_entries - 1];
}

// Builds every waiting operator that binds at least as tightly.
static bool reduce(struct math_parser *p, int binding)
{
    while (top(p)->kind <= MATH_ENTRY_PREFIX && top(p)->binding >= binding) {
        struct math_entry e = *top(p);
        p->n_entries--;
        if (!math_build(p, &e)) {
            return false;
        }
    }
    return true;
}

// ---- arguments of commands ----

static bool settle(struct math_parser *p);
static bool continue_function(struct math_parser *p);

static bool continue_sum(struct math_parser *p)
{
    struct math_entry *e = top(p);
    size_t got = p->n_operands - e->base;
    enum math_token_kind wanted = got == 0 ? MATH_TOK_SUBSCRIPT : MATH_TOK_POWER;
    if (got < 2) {
        if (!next_is(p, 0, wanted)) {
            return false;
        }
        p->at++;
        return math_argument(p);
    }
    struct math_entry body = *e;
    body.kind = MATH_ENTRY_PREFIX;
    body.binding = MATH_BIND_SUM;
    *e = body;
    p->wanting = true;
    return true;
}

// An argument: a group in braces, or the next thing.
bool math_argument(struct math_parser *p)
{
    p->wanting = true;
    if (opens(peek(p, 0), MATH_BRACE)) {
        p->at++;
        math_push(p, MATH_ENTRY_FENCE, MATH_BRACE, 0)->argument = true;
        return true;
    }
    enum math_entry_kind owner = top(p)->kind;
    struct math_token *t = &p->tokens->v[p->at];
    if (owner == MATH_ENTRY_COMMAND && is_plain(t) && t->text.n > 1 &&
        (top(p)->op == MATH_TOK_FRAC || top(p)->op == MATH_TOK_BINOM)) {
        // \frac12: one digit each.
        uint32_t digit = math_integer(p->f, (long)t->text.cp[0] - '0');
        t->text = pyspan_slice(t->text, 1, t->text.n);
        fmpz_t rest;
        fmpz_init(rest);
        fmpz_zero(rest);
        for (size_t i = 0; i < t->text.n && t->text.n <= 18; i++) {
            fmpz_mul_ui(rest, rest, 10);
            fmpz_add_ui(rest, rest, math_is_digit(t->text.cp[i]) ? t->text.cp[i] - '0' : 0);
        }
        long value = fmpz_get_si(rest);
        fmpz_clear(rest);
        if (t->text.n > 18) {
            return false;
        }
        t->node = math_integer(p->f, value);
        math_operand(p, digit);
        math_push(p, MATH_ENTRY_SINGLE, 0, 0);
        return settle(p);
    }
    math_push(p, MATH_ENTRY_SINGLE, 0, 0);
    return true;
}

static bool command_done(struct math_parser *p)
{
    struct math_entry e = *top(p);
    size_t got = p->n_operands - e.base;
    switch (e.op) {
    case MATH_TOK_FUNC:
        return continue_function(p);
    case MATH_TOK_SUM:
        return continue_sum(p);
    case MATH_TOK_FRAC:
    case MATH_TOK_BINOM:
        if (got < 2) {
            return math_argument(p);
        }
        break;
    default:
        break;
    }
    p->n_entries--;
    return math_build_command(p, &e);
}

// An operand is complete: hand it to the command that asked for a single one, as far as that goes.
static bool settle(struct math_parser *p)
{
    p->wanting = false;
    while (!p->wanting && top(p)->kind == MATH_ENTRY_SINGLE) {
        p->n_entries--;
        if (!command_done(p)) {
            return false;
        }
    }
    return true;
}

// A function's base and exponent, then its argument.
static bool continue_function(struct math_parser *p)
{
    struct math_entry *e = top(p);
    size_t got = p->n_operands - e->base;
    size_t parts = (e->has_base ? 1u : 0u) + (e->has_power ? 1u : 0u);
    if (got > parts) {
        struct math_entry done = *e;
        p->n_entries--;
        return math_build_command(p, &done);
    }
    if (next_is(p, 0, MATH_TOK_SUBSCRIPT) && e->number == MATH_LOG && !e->has_base &&
        !e->has_power) {
        e->has_base = true;
        p->at++;
        return math_argument(p);
    }
    if (next_is(p, 0, MATH_TOK_POWER) && !e->has_power) {
        e->has_power = true;
        p->at++;
        if (next_is(p, 0, MATH_TOK_MINUS) && next_is(p, 1, MATH_TOK_NUMBER)) {
            math_operand(p, math_unary(p->f, MATH_NEG, peek(p, 1)->node));
            p->at += 2;
            return continue_function(p);
        }
        return math_argument(p);
    }
    p->wanting = true;
    if (opens(peek(p, 0), MATH_BRACE) || opens(peek(p, 0), MATH_ROUND)) {
        uint32_t fence = peek(p, 0)->op;
        p->at++;
        math_push(p, MATH_ENTRY_FENCE, fence, 0)->argument = true;
        return true;
    }
    e->kind = MATH_ENTRY_PREFIX;
    e->binding = MATH_BIND_FUNCTION;
    return true;
}

// ---- where an operand is wanted ----

// 1 1/2, with nothing but digits
static bool is_mixed_fraction(const struct math_parser *p)
{
    return is_plain(peek(p, 0)) && is_plain(peek(p, 1)) && peek(p, 1)->spaced &&
           next_is(p, 2, MATH_TOK_DIVIDE) && is_plain(peek(p, 3));
}

// Digits, _ and a base: true if read.
static bool based(struct math_parser *p, size_t digits, size_t subscript)
{
    if (!next_is(p, subscript, MATH_TOK_SUBSCRIPT) || peek(p, digits)->text.n == 0) {
        return false;
    }
    size_t at = subscript + 1;
    bool braced = opens(peek(p, at), MATH_BRACE);
    at += braced;
    if (!is_plain(peek(p, at)) || peek(p, at)->text.n > 2 ||
        (braced && !closes(peek(p, at + 1), MATH_BRACE))) {
        return false;
    }
    uint32_t base = 0;
    for (size_t i = 0; i < peek(p, at)->text.n; i++) {
        base = 10 * base + (peek(p, at)->text.cp[i] - '0');
    }
    if (base < 2) {
        return false;
    }
    math_operand(p, math_texted(p->f, MATH_BASED, peek(p, digits)->text, base, 0));
    p->at += at + 1 + braced;
    return true;
}

static bool want_number(struct math_parser *p)
{
    if (based(p, 0, 1)) {
        return settle(p);
    }
    const struct math_token *t = peek(p, 0);
    if (t->op == 2) {
        return false;    // letters among the digits, but no base
    }
    if (is_mixed_fraction(p) && top(p)->kind != MATH_ENTRY_SINGLE) {
        uint32_t part = math_binary(p->f, MATH_DIV, peek(p, 1)->node, peek(p, 3)->node);
        math_operand(p, math_binary(p->f, MATH_ADD, t->node, part));
        p->at += 4;
        return settle(p);
    }
    math_operand(p, t->node);
    p->at++;
    return settle(p);
}

static bool want_open(struct math_parser *p)
{
    const struct math_token *t = peek(p, 0);
    if (t->op == MATH_ROUND && next_is(p, 1, MATH_TOK_NUMBER) && closes(peek(p, 2), MATH_ROUND) &&
        based(p, 1, 3)) {
        return settle(p);
    }
    p->at++;
    if (t->op == MATH_BRACE && closes(peek(p, 0), MATH_BRACE)) {
        p->at++;    // {} is nothing
        return true;
    }
    math_push(p, MATH_ENTRY_FENCE, t->op, 0);
    return true;
}

static bool want_prefix(struct math_parser *p, const struct math_token *t)
{
    p->at++;
    switch (t->kind) {
    case MATH_TOK_PLUS:
        return true;
    case MATH_TOK_DOLLAR:
        math_push(p, MATH_ENTRY_PREFIX, MATH_TOK_DOLLAR, MATH_BIND_SIGN);
        return true;
    case MATH_TOK_RELATION:    // "= 5"
        return t->op == MATH_EQ && p->at == 1;
    default:
        math_push(p, MATH_ENTRY_PREFIX, t->kind, MATH_BIND_SIGN)->number = t->op;
        return true;
    }
}

static bool want_command(struct math_parser *p, const struct math_token *t)
{
    p->at++;
    struct math_entry *e = math_push(p, MATH_ENTRY_COMMAND, t->kind, 0);
    e->number = t->op;
    switch (t->kind) {
    case MATH_TOK_FUNC:
        return continue_function(p);
    case MATH_TOK_SUM:
        return continue_sum(p);
    case MATH_TOK_SQRT:
        if (opens(peek(p, 0), MATH_SQUARE)) {
            p->at++;
            p->wanting = true;
            e->has_base = true;
            math_push(p, MATH_ENTRY_FENCE, MATH_SQUARE, 0)->argument = true;
            return true;
        }
        break;
    default:
        break;
    }
    if (opens(peek(p, 0), MATH_ROUND) && t->kind != MATH_TOK_FRAC && t->kind != MATH_TOK_BINOM) {
        p->at++;
        math_push(p, MATH_ENTRY_FENCE, MATH_ROUND, 0)->argument = true;
        return true;
    }
    return math_argument(p);
}

// f(x): a value of an unknown function; C(n,k) a number of choices.
static bool is_call(const struct math_parser *p)
{
    const struct math_token *t = peek(p, 0);
    return t->text.n == 1 && t->text.cp[0] < 128 && strchr("fghFGC", (int)t->text.cp[0]) &&
           opens(peek(p, 1), MATH_ROUND);
}

static bool want(struct math_parser *p)
{
    const struct math_token *t = peek(p, 0);
    switch (t->kind) {
    case MATH_TOK_NUMBER:
        return want_number(p);
    case MATH_TOK_ATOM:
        if (is_call(p)) {
            p->at += 2;
            struct math_entry *e = math_push(p, MATH_ENTRY_COMMAND, MATH_TOK_ATOM, 0);
            e->number = t->text.cp[0];
            math_push(p, MATH_ENTRY_FENCE, MATH_ROUND, 0)->argument = true;
            return true;
        }
        p->at++;
        math_operand(p, t->node);
        return settle(p);
    case MATH_TOK_WORDS:
        p->at++;
        math_operand(p, math_texted(p->f, MATH_TEXT, t->text, 0, 0));
        return settle(p);
    case MATH_TOK_OPEN:
        return want_open(p);
    case MATH_TOK_BAR:
        p->at++;
        math_push(p, MATH_ENTRY_FENCE, MATH_BARS, 0);
        return true;
    case MATH_TOK_FUNC:
    case MATH_TOK_SQRT:
    case MATH_TOK_CBRT:
    case MATH_TOK_FRAC:
    case MATH_TOK_BINOM:
    case MATH_TOK_SUM:
        return want_command(p, t);
    case MATH_TOK_PLUS:
    case MATH_TOK_MINUS:
    case MATH_TOK_PM:
    case MATH_TOK_DOLLAR:
    case MATH_TOK_RELATION:
        return want_prefix(p, t);
    case MATH_TOK_BEGIN:
        p->at++;
        if (t->op) {
            math_note(p->f, "determinants are not computed");
            return false;
        }
        math_push(p, MATH_ENTRY_MATRIX, 0, 0);
        return true;
    case MATH_TOK_CLOSE:
        // \{\} is the empty set
        p->at++;
        if (t->op == MATH_CURLY && top(p)->kind == MATH_ENTRY_FENCE && top(p)->op == MATH_CURLY &&
            top(p)->base == p->n_operands) {
            p->n_entries--;
            math_operand(p, math_make(p->f, MATH_EMPTY, 0, 0, NULL));
            return settle(p);
        }
        return false;
    case MATH_TOK_FINISH:    // a row was ended, and nothing follows
        return math_finish_matrix(p) && settle(p);
    default:
        return false;
    }
}

// ---- where an operand ended ----

static bool close_fence(struct math_parser *p, enum math_fence fence)
{
    if (!reduce(p, MATH_BIND_ANY) || top(p)->kind != MATH_ENTRY_FENCE || p->n_entries == 1) {
        return false;    // the first entry is the text itself, which no bracket closes
    }
    struct math_entry e = *top(p);
    bool round = (e.op == MATH_ROUND || e.op == MATH_SQUARE) &&
                 (fence == MATH_ROUND || fence == MATH_SQUARE);
    if (e.op != fence && !round) {
        return false;
    }
    p->at++;
    p->n_entries--;
    if (e.argument && top(p)->kind == MATH_ENTRY_COMMAND) {
        p->wanting = false;
        if (p->n_operands - e.base > 1 && !math_takes_several(top(p))) {
            return false;
        }
        bool index = top(p)->op == MATH_TOK_SQRT && e.op == MATH_SQUARE;
        if (index) {
            return math_argument(p);
        }
        return command_done(p) && (p->wanting || settle(p));
    }
    return math_build_fence(p, &e, fence) && settle(p);
}

// Is the | that stands here the end of a |x| that began?
static bool bar_closes(struct math_parser *p)
{
    for (size_t i = p->n_entries; i-- > 0;) {
        if (p->entry[i].kind == MATH_ENTRY_FENCE || p->entry[i].kind == MATH_ENTRY_MATRIX) {
            return p->entry[i].kind == MATH_ENTRY_FENCE && p->entry[i].op == MATH_BARS;
        }
    }
    return false;
}

static bool infix(struct math_parser *p, uint32_t op, uint32_t number, int binding, bool right)
{
    if (!reduce(p, binding + right)) {
        return false;
    }
    math_push(p, MATH_ENTRY_BINARY, op, binding)->number = number;
    p->wanting = true;
    return true;
}

static bool adjacent(struct math_parser *p)
{
    const struct math_token *t = peek(p, 0);
    const struct math_token *before = &p->tokens->v[p->at - 1];
    if (is_plain(before) && (t->kind == MATH_TOK_FRAC || (t->kind == MATH_TOK_NUMBER && t->op))) {
        return infix(p, MATH_TOK_FRAC, 0, MATH_BIND_MIXED, false);
    }
    if (t->kind == MATH_TOK_NUMBER && before->kind == MATH_TOK_NUMBER) {
        return false;
    }
    if (t->kind == MATH_TOK_ATOM && !math_is_scalar(p->f, t->node) &&
        !math_is_scalar(p->f, p->operand[p->n_operands - 1])) {
        return false;    // two sets side by side mean nothing
    }
    if (t->kind == MATH_TOK_FUNC && !reduce(p, MATH_BIND_FUNCTION)) {
        return false;    // \sin x \cos x: the first function ends here
    }
    const struct math_entry *waiting = top(p);
    if (waiting->kind == MATH_ENTRY_BINARY && waiting->op == MATH_TOK_DIVIDE) {
        p->tokens->readings |= MATH_LEFT_SLASH;
    }
    bool left = (p->tokens->reading & MATH_LEFT_SLASH) != 0;
    return infix(p, MATH_TOK_TIMES, 0, left ? MATH_BIND_PRODUCT : MATH_BIND_ADJACENT, false);
}

static uint32_t digit_of(const struct math_token *t)
{
    return t->text.n == 1 ? t->text.cp[0] - '0' : 0;
}

// A quantity's unit: all since the last relation or comma is its number.
static bool unit(struct math_parser *p, struct pyspan words)
{
    p->at++;
    if (!reduce(p, MATH_BIND_RATIO)) {
        return false;
    }
    bool power = next_is(p, 0, MATH_TOK_POWER);
    uint32_t exponent = 1;
    if (power && next_is(p, 1, MATH_TOK_NUMBER)) {
        exponent = digit_of(peek(p, 1));
        p->at += 2;
    } else if (power && opens(peek(p, 1), MATH_BRACE) && next_is(p, 2, MATH_TOK_NUMBER) &&
               closes(peek(p, 3), MATH_BRACE)) {
        exponent = digit_of(peek(p, 2));
        p->at += 4;
    }
    uint32_t a = p->operand[p->n_operands - 1];
    if (!math_is_scalar(p->f, a)) {
        return math_at(p->f, a)->kind != MATH_TEXT;    // words after a point or a list say nothing
    }
    p->operand[p->n_operands - 1] = math_texted(p->f, MATH_UNIT, words, exponent, a);
    return true;
}

static bool postfix(struct math_parser *p, const struct math_token *t)
{
    p->at++;
    if (t->kind != MATH_TOK_FACTORIAL) {
        // 2\pi^\circ, 3\sqrt2\%: of the product, but not of the whole of a sum or a function
        while (top(p)->kind == MATH_ENTRY_BINARY && top(p)->binding >= MATH_BIND_PRODUCT) {
            struct math_entry e = *top(p);
            p->n_entries--;
            if (!math_build(p, &e)) {
                return false;
            }
        }
    }
    uint32_t *a = &p->operand[p->n_operands - 1];
    if (!math_is_scalar(p->f, *a)) {
        return false;
    }
    *a = t->kind == MATH_TOK_FACTORIAL ? math_func(p->f, MATH_FACTORIAL, *a)
         : t->kind == MATH_TOK_PERCENT ? math_unary(p->f, MATH_PERCENT, *a)
                                       : math_unary(p->f, MATH_DEGREE, *a);
    return true;
}

static bool comma(struct math_parser *p)
{
    p->at++;
    if (!reduce(p, MATH_BIND_ANY) || top(p)->kind != MATH_ENTRY_FENCE) {
        return false;
    }
    // "a, and b" is one comma
    while (next_is(p, 0, MATH_TOK_COMMA)) {
        p->at++;
    }
    p->wanting = true;
    return true;
}

static bool ended(struct math_parser *p)
{
    const struct math_token *t = peek(p, 0);
    switch (t->kind) {
    case MATH_TOK_PLUS:
    case MATH_TOK_MINUS:
    case MATH_TOK_PM:
        p->at++;
        return infix(p, t->kind, t->op, MATH_BIND_SUM_OF_TERMS, false);
    case MATH_TOK_TIMES:
    case MATH_TOK_DIVIDE:
        p->at++;
        return infix(p, t->kind, 0, MATH_BIND_PRODUCT, false);
    case MATH_TOK_POWER:
        p->at++;
        return infix(p, t->kind, 0, MATH_BIND_POWER, true);
    case MATH_TOK_COLON:
        p->at++;
        return infix(p, t->kind, 0, MATH_BIND_RATIO, false);
    case MATH_TOK_CHOOSE:
        p->at++;
        return infix(p, t->kind, 0, MATH_BIND_CHOOSE, false);
    case MATH_TOK_RELATION:
        p->at++;
        return infix(p, t->kind, t->op, MATH_BIND_RELATION, false);
    case MATH_TOK_UNION:
    case MATH_TOK_INTERSECTION:
    case MATH_TOK_SETMINUS:
        p->at++;
        return infix(p, t->kind, 0, MATH_BIND_UNION, false);
    case MATH_TOK_FACTORIAL:
    case MATH_TOK_PERCENT:
    case MATH_TOK_DEGREE:
        return postfix(p, t);
    case MATH_TOK_COMMA:
        return comma(p);
    case MATH_TOK_CLOSE:
        return close_fence(p, t->op);
    case MATH_TOK_BAR:
        return bar_closes(p) ? close_fence(p, MATH_BARS) : adjacent(p);
    case MATH_TOK_WORDS:
        return unit(p, t->text);
    case MATH_TOK_DOLLAR:
        return unit(p, pytext_literal(p->f->scratch, "$"));
    case MATH_TOK_CELL:
    case MATH_TOK_ROW:
        return reduce(p, MATH_BIND_ANY) && math_end_cell(p, t->kind == MATH_TOK_ROW);
    case MATH_TOK_FINISH:
        return reduce(p, MATH_BIND_ANY) && math_end_cell(p, true) && math_finish_matrix(p) &&
               settle(p);
    case MATH_TOK_ELLIPSIS:    // "11…"
        p->at++;
        return next_is(p, 0, MATH_TOK_END);
    case MATH_TOK_SUBSCRIPT:
        return false;
    default:
        return adjacent(p);
    }
}

uint32_t math_parse(struct math_forest *f, struct math_tokens *tokens)
{
    struct math_parser parser = {.f = f, .tokens = tokens, .wanting = true}, *p = &parser;
    math_push(p, MATH_ENTRY_FENCE, MATH_BRACE, 0);
    while (!next_is(p, 0, MATH_TOK_END) || p->wanting) {
        if (next_is(p, 0, MATH_TOK_END) || !(p->wanting ? want(p) : ended(p))) {
            if (tokens->n > 2 && next_is(p, 0, MATH_TOK_ELLIPSIS)) {
                math_note(f, "what an ellipsis leaves out is not guessed");
            }
            return MATH_NONE;
        }
        if (f->broken || !math_spend(f, 10)) {
            return MATH_NONE;
        }
    }
    if (!reduce(p, MATH_BIND_ANY) || p->n_entries != 1) {
        return MATH_NONE;
    }
    struct math_entry e = *top(p);
    if (!math_build_fence(p, &e, MATH_BRACE) || f->broken) {
        return MATH_NONE;
    }
    return p->operand[0];
}
