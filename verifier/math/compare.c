// compare.c: what each kind of answer may be compared with.
//
// Structures are compared by their parts, to a depth of DEPTH_MAX; deeper ones are undecided, so
// the recursion here is bounded by a constant and not by the input. A pair of scalars goes to
// exact.h, and where that is unsure to enclose.h.
#include "verifier/math/compare.h"

#include "verifier/math/enclose.h"
#include "verifier/math/lex.h"
#include "verifier/math/quantity.h"

#define DEPTH_MAX 6
#define PARTS_MAX 200

static enum math_verdict compare(struct math_forest *f, uint32_t a, uint32_t b, unsigned depth);

static enum math_verdict undecided(struct math_forest *f, const char *why)
{
    math_note(f, why);
    return MATH_UNDECIDED;
}

static enum math_verdict both(enum math_verdict x, enum math_verdict y)
{
    if (x == MATH_DIFFERENT || y == MATH_DIFFERENT) {
        return MATH_DIFFERENT;
    }
    return x == MATH_EQUAL && y == MATH_EQUAL ? MATH_EQUAL : MATH_UNDECIDED;
}

// ---- scalars ----

static enum math_verdict scalars(struct math_forest *f, uint32_t a, uint32_t b)
{
    if (a == b) {
        return MATH_EQUAL;
    }
    if (math_contains(f, a, MATH_ABOUT) || math_contains(f, b, MATH_ABOUT)) {
        return undecided(f, "a decimal that goes on has no exact value");
    }
    if (math_contains(f, a, MATH_INFINITY) || math_contains(f, b, MATH_INFINITY)) {
        return MATH_DIFFERENT;    // equal ones are one node
    }
    enum exact_result r = exact_compare(f, a, b);
    r = r == EXACT_UNSURE && !f->broken ? enclose_compare(f, a, b) : r;
    switch (r) {
    case EXACT_EQUAL:
        return MATH_EQUAL;
    case EXACT_DIFFERENT:
        return MATH_DIFFERENT;
    case EXACT_UNSURE:
        break;
    }
    return undecided(f, "neither exact comparison nor enclosure decides");
}

// 50% is 0.5 and also, as people write it, 50; 30° is 30 and also pi/6.
static enum math_verdict scalars_loosely(struct math_forest *f, uint32_t a, uint32_t b)
{
    enum math_verdict v = scalars(f, a, b);
    enum math_kind ka = math_at(f, a)->kind, kb = math_at(f, b)->kind;
    bool marked_a = ka == MATH_PERCENT || ka == MATH_DEGREE,
         marked_b = kb == MATH_PERCENT || kb == MATH_DEGREE;
    if (v == MATH_EQUAL || marked_a == marked_b) {
        return v;
    }
    enum math_verdict plain =
        scalars(f, marked_a ? math_at(f, a)->arg[0] : a, marked_b ? math_at(f, b)->arg[0] : b);
    return plain == MATH_DIFFERENT ? v : plain;
}

// ---- words ----

static struct pyspan letters_of(struct math_forest *f, uint32_t i)
{
    const struct math_node *n = math_at(f, i);
    return n->kind == MATH_TEXT     ? math_words(f->scratch, n->text)
           : n->kind == MATH_SYMBOL ? math_words(f->scratch, f->symbols.v[n->id])
                                    : (struct pyspan){0};
}

static bool is_wordlike(const struct math_forest *f, uint32_t i)
{
    return math_at(f, i)->kind == MATH_TEXT || math_at(f, i)->kind == MATH_SYMBOL;
}

// ---- numerals ----

static bool is_numeral_of_its_base(const struct math_node *n)
{
    for (size_t i = 0; i < n->text.n; i++) {
        uint32_t c = n->text.cp[i];
        if ((c <= '9' ? c - '0' : c - 'A' + 10) >= n->id) {
            return false;
        }
    }
    return true;
}

// 1201 to the base 16 is a number like any other; 777 to the base 2 is none, and is only itself.
static bool is_no_number(const struct math_forest *f, uint32_t i)
{
    return math_at(f, i)->kind == MATH_BASED && !is_numeral_of_its_base(math_at(f, i));
}

// ---- parts of structures ----

struct parts {
    const uint32_t *v;
    uint32_t n;
};

static struct parts parts_of(const struct math_forest *f, uint32_t i)
{
    const struct math_node *n = math_at(f, i);
    return (struct parts){n->arg, n->n};
}

// A scalar is a list of itself.
static struct parts as_list(const struct math_forest *f, const uint32_t *i)
{
    enum math_kind k = math_at(f, *i)->kind;
    return k == MATH_LIST || k == MATH_SET ? parts_of(f, *i) : (struct parts){i, 1};
}

static enum math_verdict in_order(struct math_forest *f, struct parts a, struct parts b,
                                  unsigned depth)
{
    if (a.n != b.n) {
        return MATH_DIFFERENT;
    }
    enum math_verdict v = MATH_EQUAL;
    for (uint32_t i = 0; i < a.n && v != MATH_DIFFERENT; i++) {
        v = both(v, compare(f, a.v[i], b.v[i], depth));
    }
    return v;
}

// Does every part of a have an equal in b?
static enum math_verdict covered(struct math_forest *f, struct parts a, struct parts b,
                                 unsigned depth)
{
    enum math_verdict all = MATH_EQUAL;
    for (uint32_t i = 0; i < a.n && all != MATH_DIFFERENT; i++) {
        enum math_verdict found = MATH_DIFFERENT;
        for (uint32_t k = 0; k < b.n && found != MATH_EQUAL; k++) {
            enum math_verdict v = compare(f, a.v[i], b.v[k], depth);
            found = v == MATH_DIFFERENT ? found : v;
        }
        all = both(all, found);
    }
    return all;
}

static enum math_verdict in_any_order(struct math_forest *f, struct parts a, struct parts b,
                                      unsigned depth)
{
    if (a.n > PARTS_MAX || b.n > PARTS_MAX) {
        return undecided(f, "too many elements");
    }
    enum math_verdict v = covered(f, a, b, depth);
    return v == MATH_DIFFERENT ? v : both(v, covered(f, b, a, depth));
}

// ---- rows: points, vectors, matrices ----

static bool is_vector(const struct math_forest *f, uint32_t i)
{
    const struct math_node *n = math_at(f, i);
    return n->kind == MATH_BRACKET || n->kind == MATH_ANGLED ||
           (n->kind == MATH_MATRIX && (n->id == 1 || n->id == n->n));
}

// Coordinates that may stand without their brackets: not an interval with a closed end.
static bool is_row(const struct math_forest *f, uint32_t i)
{
    const struct math_node *n = math_at(f, i);
    return is_vector(f, i) && !(n->kind == MATH_BRACKET && n->n == 2 && n->op != 0);
}

static enum math_verdict matrices(struct math_forest *f, uint32_t a, uint32_t b, unsigned depth)
{
    const struct math_node *x = math_at(f, a), *y = math_at(f, b);
    if (x->kind == MATH_MATRIX && y->kind == MATH_MATRIX && x->id != y->id) {
        return MATH_DIFFERENT;
    }
    if (x->kind == MATH_BRACKET && y->kind == MATH_BRACKET && x->n == 2 && y->n == 2 &&
        x->op != y->op) {
        return MATH_DIFFERENT;    // intervals with other ends
    }
    return in_order(f, parts_of(f, a), parts_of(f, b), depth);
}

// ---- relations ----

// x, f(x), AB, m∠A, (x, y): what stands in front of a value.
static bool is_name(struct math_forest *f, uint32_t i)
{
    if (math_at(f, i)->kind == MATH_CALL) {
        return true;
    }
    const bool *in = math_parts(f, i);
    for (uint32_t k = 0; k <= i; k++) {
        enum math_kind kind = math_at(f, k)->kind;
        bool named = kind == MATH_SYMBOL || kind == MATH_TEXT || kind == MATH_MUL ||
                     kind == MATH_BRACKET || kind == MATH_LIST;
        if (in[k] && !named) {
            return false;
        }
    }
    return true;
}

static bool is_constant(struct math_forest *f, uint32_t i)
{
    return math_is_scalar(f, i) && !math_contains(f, i, MATH_SYMBOL);
}

static uint32_t minus_infinity(struct math_forest *f)
{
    return math_unary(f, MATH_NEG, math_make(f, MATH_INFINITY, 0, 0, NULL));
}

static bool is_order(uint32_t op)
{
    return op == MATH_LT || op == MATH_LE || op == MATH_GT || op == MATH_GE;
}

static uint32_t turned(uint32_t op)
{
    return op == MATH_LT   ? MATH_GT
           : op == MATH_GT ? MATH_LT
           : op == MATH_LE ? MATH_GE
           : op == MATH_GE ? MATH_LE
                           : op;
}

// The side of `symbol op value` as an interval.
static uint32_t half_line(struct math_forest *f, uint32_t op, uint32_t value)
{
    bool above = op == MATH_GT || op == MATH_GE, closed = op == MATH_LE || op == MATH_GE;
    uint32_t ends[2] = {above ? value : minus_infinity(f),
                        above ? math_make(f, MATH_INFINITY, 0, 0, NULL) : value};
    uint32_t side = !closed ? 0u : above ? (uint32_t)MATH_LEFT_CLOSED : (uint32_t)MATH_RIGHT_CLOSED;
    return math_make(f, MATH_BRACKET, side, 2, ends);
}

// x < 3, 1 < x <= 3, x in S, x = 5: the set or value of x, or the node itself.
static uint32_t value_of(struct math_forest *f, uint32_t i)
{
    const struct math_node n = *math_at(f, i);
    if (n.kind != MATH_RELATION) {
        return i;
    }
    const struct math_node left = *math_at(f, n.arg[0]);
    if (left.kind == MATH_RELATION && is_order(left.op) && is_order(n.op) &&
        math_at(f, left.arg[1])->kind == MATH_SYMBOL) {
        bool up = left.op == MATH_LT || left.op == MATH_LE;
        bool same = up == (n.op == MATH_LT || n.op == MATH_LE);
        uint32_t ends[2] = {up ? left.arg[0] : n.arg[1], up ? n.arg[1] : left.arg[0]};
        bool first = left.op == MATH_LE || left.op == MATH_GE,
             second = n.op == MATH_LE || n.op == MATH_GE;
        uint32_t side = ((up ? first : second) ? (uint32_t)MATH_LEFT_CLOSED : 0u) |
                        ((up ? second : first) ? (uint32_t)MATH_RIGHT_CLOSED : 0u);
        return same ? math_make(f, MATH_BRACKET, side, 2, ends) : i;
    }
    if (left.kind == MATH_RELATION && left.op == MATH_EQ && n.op == MATH_EQ) {
        return n.arg[1];    // a = b = c: what it comes to
    }
    bool named = is_name(f, n.arg[0]), mirrored = is_name(f, n.arg[1]);
    if ((n.op == MATH_IN || n.op == MATH_EQ) && named) {
        return n.arg[1];
    }
    if (n.op == MATH_EQ && is_constant(f, n.arg[0]) && (mirrored || is_constant(f, n.arg[1]))) {
        return mirrored ? n.arg[0] : n.arg[1];    // 5 = x; 3 + 2 = 5
    }
    if (is_order(n.op) && left.kind == MATH_SYMBOL && math_is_scalar(f, n.arg[1])) {
        return half_line(f, n.op, n.arg[1]);
    }
    if (is_order(n.op) && math_at(f, n.arg[1])->kind == MATH_SYMBOL &&
        math_is_scalar(f, n.arg[0])) {
        return half_line(f, turned(n.op), n.arg[0]);
    }
    return i;
}

static enum math_verdict relations(struct math_forest *f, uint32_t a, uint32_t b)
{
    const struct math_node x = *math_at(f, a), y = *math_at(f, b);
    for (uint32_t k = 0; k < 2; k++) {
        if (!math_is_scalar(f, x.arg[k]) || !math_is_scalar(f, y.arg[k])) {
            return undecided(f, "relations between structures are not compared");
        }
    }
    if (x.op != y.op && !(is_order(x.op) && is_order(y.op))) {
        return MATH_DIFFERENT;
    }
    uint32_t dx = math_binary(f, MATH_SUB, x.arg[0], x.arg[1]),
             dy = math_binary(f, MATH_SUB, y.arg[0], y.arg[1]);
    int sign = 0;
    enum exact_result r = exact_proportional(f, dx, dy, &sign);
    if (r == EXACT_UNSURE) {
        return undecided(f, "the two relations are not seen to agree");
    }
    if (r == EXACT_DIFFERENT || (!is_order(x.op) && x.op != y.op)) {
        return MATH_DIFFERENT;
    }
    if (!is_order(x.op)) {
        return MATH_EQUAL;
    }
    if (sign == 0) {
        return undecided(f, "the sign of a factor is not known");
    }
    return (sign > 0 ? x.op : turned(x.op)) == y.op ? MATH_EQUAL : MATH_DIFFERENT;
}

// An equation against the same without its name: y = 2x + 1 and 2x + 1.
static bool is_named_equation(struct math_forest *f, uint32_t i)
{
    const struct math_node *n = math_at(f, i);
    return n->kind == MATH_RELATION && n->op == MATH_EQ && is_name(f, n->arg[0]);
}

// ---- unions ----

static void flatten(struct math_forest *f, uint32_t i, uint32_t *out, uint32_t *n)
{
    const bool *in = math_parts(f, i);
    if (math_at(f, i)->kind != MATH_UNION) {
        out[(*n)++] = i;
    }
    for (uint32_t k = 0; k <= i && *n < PARTS_MAX; k++) {
        if (in[k] && math_at(f, k)->kind == MATH_UNION) {
            for (uint32_t j = 0; j < math_at(f, k)->n && *n < PARTS_MAX; j++) {
                uint32_t part = math_at(f, k)->arg[j];
                if (math_at(f, part)->kind != MATH_UNION) {
                    out[(*n)++] = part;
                }
            }
        }
    }
}

// An end of an interval: its sign if infinite, else its value; false when that is not rational.
static bool end_of(struct math_forest *f, uint32_t i, int *infinite, fmpq_t value)
{
    const struct math_node *n = math_at(f, i);
    bool negative = n->kind == MATH_NEG && math_at(f, n->arg[0])->kind == MATH_INFINITY;
    *infinite = negative ? -1 : n->kind == MATH_INFINITY;
    return *infinite != 0 || (math_is_scalar(f, i) && exact_rational(f, i, value));
}

// Does interval a end before interval b begins, with room between?
static bool ends_before(struct math_forest *f, const struct math_node *a, const struct math_node *b)
{
    fmpq_t end, start;
    fmpq_init(end);
    fmpq_init(start);
    int x = 0, y = 0;
    bool before = end_of(f, a->arg[1], &x, end) && end_of(f, b->arg[0], &y, start) && x == 0 &&
                  y == 0 && fmpq_cmp(end, start) < 0;
    fmpq_clear(end);
    fmpq_clear(start);
    return before;
}

// Two ends: -1, 0 or 1 as for their values; false when one is not known.
static bool compare_ends(struct math_forest *f, uint32_t a, uint32_t b, int *order)
{
    fmpq_t p, q;
    fmpq_init(p);
    fmpq_init(q);
    int x = 0, y = 0;
    bool known = end_of(f, a, &x, p) && end_of(f, b, &y, q);
    int values = x == 0 && y == 0 && known ? fmpq_cmp(p, q) : 0;
    *order = x != y ? (x > y) - (x < y) : (values > 0) - (values < 0);
    fmpq_clear(p);
    fmpq_clear(q);
    return known;
}

// What two intervals have in common, or the node itself.
static uint32_t intersection_of(struct math_forest *f, uint32_t i)
{
    const struct math_node n = *math_at(f, i);
    const struct math_node x = *math_at(f, n.arg[0]), y = *math_at(f, n.arg[1]);
    int low, high, room;
    if (x.kind != MATH_BRACKET || y.kind != MATH_BRACKET || x.n != 2 || y.n != 2 ||
        !compare_ends(f, x.arg[0], y.arg[0], &low) || !compare_ends(f, x.arg[1], y.arg[1], &high)) {
        return i;
    }
    uint32_t ends[2] = {low > 0 ? x.arg[0] : y.arg[0], high < 0 ? x.arg[1] : y.arg[1]};
    uint32_t lows = low > 0   ? x.op
                    : low < 0 ? y.op
                              : x.op & y.op,
             highs = high < 0   ? x.op
                     : high > 0 ? y.op
                                : x.op & y.op,
             sides = (lows & MATH_LEFT_CLOSED) | (highs & MATH_RIGHT_CLOSED);
    if (!compare_ends(f, ends[0], ends[1], &room)) {
        return i;
    }
    bool point = room == 0 && sides == (MATH_LEFT_CLOSED | MATH_RIGHT_CLOSED);
    return room < 0 ? math_make(f, MATH_BRACKET, sides, 2, ends)
           : point  ? math_make(f, MATH_SET, 0, 1, ends)
                    : math_make(f, MATH_EMPTY, 0, 0, NULL);
}

// Are all pieces intervals with room between any two?
static bool are_apart(struct math_forest *f, struct parts p)
{
    for (uint32_t i = 0; i < p.n; i++) {
        const struct math_node x = *math_at(f, p.v[i]);
        if (x.kind != MATH_BRACKET || x.n != 2) {
            return false;
        }
        for (uint32_t k = i + 1; k < p.n; k++) {
            const struct math_node y = *math_at(f, p.v[k]);
            if (y.kind != MATH_BRACKET || y.n != 2 ||
                !(ends_before(f, &x, &y) || ends_before(f, &y, &x))) {
                return false;
            }
        }
    }
    return true;
}

static enum math_verdict unions(struct math_forest *f, uint32_t a, uint32_t b, unsigned depth)
{
    uint32_t *v = scratch_array(f->scratch, 2 * PARTS_MAX, sizeof *v);
    uint32_t na = 0, nb = 0;
    flatten(f, a, v, &na);
    flatten(f, b, v + PARTS_MAX, &nb);
    struct parts x = {v, na}, y = {v + PARTS_MAX, nb};
    enum math_verdict r = in_any_order(f, x, y, depth);
    // Pieces that touch can be cut in more than one way.
    bool unique = are_apart(f, x) && are_apart(f, y);
    return r == MATH_DIFFERENT && !unique ? undecided(f, "unions are compared piece by piece") : r;
}

// Is a piece of the union an interval with room between its ends?
static bool holds_interval(struct math_forest *f, uint32_t i)
{
    uint32_t *v = scratch_array(f->scratch, PARTS_MAX, sizeof *v);
    uint32_t n = 0;
    flatten(f, i, v, &n);
    for (uint32_t k = 0; k < n; k++) {
        const struct math_node x = *math_at(f, v[k]);
        int room = 0;
        if (x.kind == MATH_BRACKET && x.n == 2 && compare_ends(f, x.arg[0], x.arg[1], &room) &&
            room < 0) {
            return true;
        }
    }
    return false;
}

// ---- everything ----

static uint32_t without_dress(struct math_forest *f, uint32_t i)
{
    while (math_at(f, i)->kind == MATH_UNIT) {
        i = math_at(f, i)->arg[0];
    }
    if (math_is_scalar(f, i) && math_contains(f, i, MATH_PM)) {
        uint32_t signs[2] = {math_choose_sign(f, i, true), math_choose_sign(f, i, false)};
        return math_make(f, MATH_SET, 0, 2, signs);
    }
    if (math_at(f, i)->kind == MATH_REALS) {
        uint32_t ends[2] = {minus_infinity(f), math_make(f, MATH_INFINITY, 0, 0, NULL)};
        return math_make(f, MATH_BRACKET, 0, 2, ends);
    }
    return math_at(f, i)->kind == MATH_INTERSECTION ? intersection_of(f, i) : i;
}

static bool is_chain(const struct math_forest *f, uint32_t i)
{
    const struct math_node *n = math_at(f, i);
    return n->kind == MATH_RELATION && math_at(f, n->arg[0])->kind == MATH_RELATION;
}

// x = y = 5 says nothing of k; 2 + 3 = 4 + 1 = 5 names nobody.
static bool names_others(struct math_forest *f, uint32_t chain, uint32_t name)
{
    uint32_t i = chain;
    for (; math_at(f, i)->kind == MATH_RELATION; i = math_at(f, i)->arg[0]) {
        if (math_at(f, i)->arg[1] == name) {
            return false;
        }
    }
    return i != name && is_name(f, i);
}

static enum math_verdict ratios(struct math_forest *f, uint32_t a, uint32_t b, unsigned depth)
{
    struct parts x = parts_of(f, a), y = parts_of(f, b);
    if (x.n != y.n) {
        return MATH_DIFFERENT;
    }
    enum math_verdict v = MATH_EQUAL;
    for (uint32_t i = 1; i < x.n && v != MATH_DIFFERENT; i++) {
        v = both(v, compare(f, math_binary(f, MATH_MUL, x.v[i], y.v[0]),
                            math_binary(f, MATH_MUL, y.v[i], x.v[0]), depth));
    }
    return v;
}

static enum math_verdict structures(struct math_forest *f, uint32_t a, uint32_t b, unsigned depth)
{
    enum math_kind ka = math_at(f, a)->kind, kb = math_at(f, b)->kind;
    if (is_vector(f, a) && is_vector(f, b)) {
        return matrices(f, a, b, depth);
    }
    if (ka == MATH_MATRIX && kb == MATH_MATRIX) {
        return matrices(f, a, b, depth);
    }
    bool list_a = ka == MATH_LIST || ka == MATH_SET, list_b = kb == MATH_LIST || kb == MATH_SET;
    if ((is_row(f, a) && kb == MATH_LIST) || (ka == MATH_LIST && is_row(f, b))) {
        return in_order(f, parts_of(f, a), parts_of(f, b), depth);
    }
    if (list_a || list_b) {
        return in_any_order(f, as_list(f, &a), as_list(f, &b), depth);
    }
    if ((ka == MATH_UNION && (kb == MATH_UNION || kb == MATH_BRACKET)) ||
        (ka == MATH_BRACKET && kb == MATH_UNION)) {
        return unions(f, a, b, depth);
    }
    if ((ka == MATH_UNION && kb == MATH_EMPTY) || (ka == MATH_EMPTY && kb == MATH_UNION)) {
        return holds_interval(f, ka == MATH_UNION ? a : b)
                   ? MATH_DIFFERENT
                   : undecided(f, "unions are compared piece by piece");
    }
    if (ka == MATH_RELATION && kb == MATH_RELATION) {
        return relations(f, a, b);
    }
    if ((ka == MATH_RELATION && math_is_scalar(f, b)) ||
        (kb == MATH_RELATION && math_is_scalar(f, a))) {
        return MATH_DIFFERENT;    // a condition is no value
    }
    bool sets = (ka == MATH_UNION || ka == MATH_INTERSECTION || ka == MATH_DIFFERENCE ||
                 kb == MATH_UNION || kb == MATH_INTERSECTION || kb == MATH_DIFFERENCE) &&
                !math_is_scalar(f, a) && !math_is_scalar(f, b);
    return sets || ka == MATH_RELATION || kb == MATH_RELATION
               ? undecided(f, "sets of different forms are not compared")
               : MATH_DIFFERENT;
}

static enum math_verdict compare(struct math_forest *f, uint32_t a, uint32_t b, unsigned depth)
{
    bool differ = false;
    if (quantity_convert(f, &a, &b, &differ) && differ) {
        return MATH_DIFFERENT;
    }
    a = without_dress(f, a);
    b = without_dress(f, b);
    if (a == b) {
        return MATH_EQUAL;
    }
    if (depth == DEPTH_MAX || f->broken) {
        return undecided(f, "the answer is nested too deep");
    }
    if (is_no_number(f, a) || is_no_number(f, b)) {
        return MATH_DIFFERENT;    // equal ones are one node
    }
    if (is_wordlike(f, a) && is_wordlike(f, b)) {
        return pyspan_equal(letters_of(f, a), letters_of(f, b)) ? MATH_EQUAL : MATH_DIFFERENT;
    }
    if (is_named_equation(f, a) && is_named_equation(f, b) &&
        math_at(f, a)->arg[0] == math_at(f, b)->arg[0]) {
        return compare(f, math_at(f, a)->arg[1], math_at(f, b)->arg[1], depth + 1);
    }
    if ((is_chain(f, a) && is_named_equation(f, b) && names_others(f, a, math_at(f, b)->arg[0])) ||
        (is_chain(f, b) && is_named_equation(f, a) && names_others(f, b, math_at(f, a)->arg[0]))) {
        return MATH_DIFFERENT;
    }
    bool relation_a = math_at(f, a)->kind == MATH_RELATION,
         relation_b = math_at(f, b)->kind == MATH_RELATION;
    if (relation_a != relation_b || (relation_a && math_at(f, a)->op != math_at(f, b)->op) ||
        is_chain(f, a) || is_chain(f, b)) {
        uint32_t va = value_of(f, a), vb = value_of(f, b);
        bool found = relation_a && relation_b ? va != a && vb != b : va != a || vb != b;
        if (found) {
            return compare(f, va, vb, depth + 1);
        }
    }
    if (math_at(f, a)->kind == MATH_RATIO && math_at(f, b)->kind == MATH_RATIO) {
        return ratios(f, a, b, depth + 1);
    }
    return math_is_scalar(f, a) && math_is_scalar(f, b) ? scalars_loosely(f, a, b)
                                                        : structures(f, a, b, depth + 1);
}

enum math_verdict compare_answers(struct math_forest *f, uint32_t truth, uint32_t answer)
{
    enum math_verdict v = compare(f, truth, answer, 0);
    return f->broken && v != MATH_EQUAL ? MATH_UNDECIDED : v;
}
