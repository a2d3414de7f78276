// enclose.c: a loop over the forest's nodes in complex balls.
//
// What cannot be evaluated (an unknown function, a value that would need more bits than its
// magnitude deserves, a point where something is undefined) becomes an indeterminate ball, which
// decides nothing. Powers and exponentials are measured before they are made: towers of exponents
// never reach Arb.
#include "verifier/math/enclose.h"

#include <acb.h>

#define MAGNITUDE_MAX 40    // bits of an exponent
#define TRIES 24            // points, defined or not
#define STEPS_PER_NODE 40

struct evaluation {
    struct math_forest *f;
    uint32_t last;
    const bool *in_a, *in_b;
    uint32_t a, b;
    acb_ptr value;
    slong prec;
    unsigned point;
};

static bool is_huge(const acb_t x)
{
    return !acb_is_finite(x) || arf_cmpabs_2exp_si(arb_midref(acb_realref(x)), MAGNITUDE_MAX) > 0 ||
           arf_cmpabs_2exp_si(arb_midref(acb_imagref(x)), MAGNITUDE_MAX) > 0;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

// The value of a symbol at a point: k/997, 0.1 … 3.1; at every third point some are negative.
static void set_symbol(acb_t out, uint32_t id, unsigned point, slong prec)
{
    uint64_t r = mix(((uint64_t)id + 1) * 0x9E3779B97F4A7C15u + point);
    slong k = 100 + (slong)(r % 3000);
    bool negative = point % 3 == 2 && (r >> 40 & 1) == (id == 0);
    acb_set_si(out, negative ? -k : k);
    acb_div_si(out, out, 997, prec);
}

static void real_root(acb_t out, const acb_t x, ulong n, slong prec)
{
    bool negative = acb_is_real(x) && arb_is_negative(acb_realref(x));
    if (n == 2) {
        acb_sqrt(out, x, prec);
    } else if (negative && n % 2 == 1) {
        acb_neg(out, x);
        acb_root_ui(out, out, n, prec);
        acb_neg(out, out);
    } else {
        acb_root_ui(out, x, n, prec);
    }
}

static void root(struct evaluation *v, acb_t out, const struct math_node *node)
{
    fmpq_t n;
    fmpq_init(n);
    if (exact_rational(v->f, node->arg[1], n) && fmpz_is_one(fmpq_denref(n)) &&
        fmpz_cmp_si(fmpq_numref(n), 1) >= 0 && fmpz_cmp_si(fmpq_numref(n), 64) <= 0) {
        real_root(out, v->value + node->arg[0], fmpz_get_ui(fmpq_numref(n)), v->prec);
    } else {
        acb_indeterminate(out);
    }
    fmpq_clear(n);
}

static void power(struct evaluation *v, acb_t out, const struct math_node *node)
{
    acb_srcptr x = v->value + node->arg[0], y = v->value + node->arg[1];
    fmpq_t q;
    acb_t size;
    fmpq_init(q);
    acb_init(size);
    acb_log(size, x, 64);
    acb_mul(size, size, y, 64);
    bool zero = acb_is_zero(x);
    bool rational = exact_rational(v->f, node->arg[1], q);
    if ((!zero && is_huge(size)) || is_huge(y)) {
        acb_indeterminate(out);
    } else if (rational && fmpz_is_one(fmpq_denref(q))) {
        acb_pow_fmpz(out, x, fmpq_numref(q), v->prec);
    } else if (rational && fmpz_cmp_si(fmpq_denref(q), 64) <= 0) {
        real_root(out, x, fmpz_get_ui(fmpq_denref(q)), v->prec);
        acb_pow_fmpz(out, out, fmpq_numref(q), v->prec);
    } else {
        acb_pow(out, x, y, v->prec);
    }
    fmpq_clear(q);
    acb_clear(size);
}

static void logarithm(acb_t out, acb_srcptr x, acb_srcptr base, slong prec)
{
    acb_t below;
    acb_init(below);
    if (base) {
        acb_log(below, base, prec);
    } else {
        acb_set_ui(below, 10);
        acb_log(below, below, prec);
    }
    acb_log(out, x, prec);
    acb_div(out, out, below, prec);
    acb_clear(below);
}

static void whole_part(acb_t out, acb_srcptr x, enum math_func fn, slong prec)
{
    acb_zero(out);
    if (!acb_is_real(x) || is_huge(x)) {
        acb_indeterminate(out);
    } else if (fn == MATH_FLOOR) {
        arb_floor(acb_realref(out), acb_realref(x), prec);
    } else {
        arb_ceil(acb_realref(out), acb_realref(x), prec);
    }
}

static void larger(acb_t out, acb_srcptr x, acb_srcptr y, bool max, slong prec)
{
    acb_zero(out);
    if (!acb_is_real(x) || !acb_is_real(y)) {
        acb_indeterminate(out);
    } else if (max) {
        arb_max(acb_realref(out), acb_realref(x), acb_realref(y), prec);
    } else {
        arb_min(acb_realref(out), acb_realref(x), acb_realref(y), prec);
    }
}

static void function(struct evaluation *v, acb_t out, const struct math_node *node)
{
    acb_srcptr x = v->value + node->arg[0], y = node->n > 1 ? v->value + node->arg[1] : NULL;
    slong prec = v->prec;
    if (is_huge(x) || (y && is_huge(y))) {
        acb_indeterminate(out);
        return;
    }
    switch ((enum math_func)node->op) {
    case MATH_SIN:
        acb_sin(out, x, prec);
        break;
    case MATH_COS:
        acb_cos(out, x, prec);
        break;
    case MATH_TAN:
        acb_tan(out, x, prec);
        break;
    case MATH_COT:
        acb_cot(out, x, prec);
        break;
    case MATH_SEC:
        acb_sec(out, x, prec);
        break;
    case MATH_CSC:
        acb_csc(out, x, prec);
        break;
    case MATH_ASIN:
        acb_asin(out, x, prec);
        break;
    case MATH_ACOS:
        acb_acos(out, x, prec);
        break;
    case MATH_ATAN:
        acb_atan(out, x, prec);
        break;
    case MATH_SINH:
        acb_sinh(out, x, prec);
        break;
    case MATH_COSH:
        acb_cosh(out, x, prec);
        break;
    case MATH_TANH:
        acb_tanh(out, x, prec);
        break;
    case MATH_LN:
        acb_log(out, x, prec);
        break;
    case MATH_LOG:
        logarithm(out, x, y, prec);
        break;
    case MATH_EXP:
        acb_exp(out, x, prec);
        break;
    case MATH_ABS:
        acb_zero(out);
        acb_abs(acb_realref(out), x, prec);
        break;
    case MATH_FLOOR:
    case MATH_CEIL:
        whole_part(out, x, node->op, prec);
        break;
    case MATH_MAX:
    case MATH_MIN:
        if (y) {
            larger(out, x, y, node->op == MATH_MAX, prec);
        } else {
            acb_set(out, x);
        }
        break;
    default:
        acb_indeterminate(out);
    }
}

// Rational parts (numbers, factorials, other bases) come from the exact side.
static void constant(struct evaluation *v, acb_t out, uint32_t node)
{
    fmpq_t q;
    fmpq_init(q);
    if (exact_rational(v->f, node, q)) {
        acb_zero(out);
        arb_set_fmpq(acb_realref(out), q, v->prec);
    } else {
        acb_indeterminate(out);
    }
    fmpq_clear(q);
}

static void evaluate_node(struct evaluation *v, uint32_t i)
{
    const struct math_node *node = math_at(v->f, i);
    acb_ptr out = v->value + i;
    acb_srcptr x = node->n > 0 ? v->value + node->arg[0] : NULL;
    acb_srcptr y = node->n > 1 ? v->value + node->arg[1] : NULL;
    switch (node->kind) {
    case MATH_SYMBOL:
        set_symbol(out, node->id, v->point, v->prec);
        break;
    case MATH_PI:
        acb_const_pi(out, v->prec);
        break;
    case MATH_E:
        acb_set_ui(out, 1);
        acb_exp(out, out, v->prec);
        break;
    case MATH_I:
        acb_onei(out);
        break;
    case MATH_ADD:
        acb_add(out, x, y, v->prec);
        break;
    case MATH_SUB:
        acb_sub(out, x, y, v->prec);
        break;
    case MATH_MUL:
        acb_mul(out, x, y, v->prec);
        break;
    case MATH_RATIO:
        if (node->n != 2) {
            acb_indeterminate(out);
            break;
        }
        acb_div(out, x, y, v->prec);
        break;
    case MATH_DIV:
        acb_div(out, x, y, v->prec);
        break;
    case MATH_NEG:
        acb_neg(out, x);
        break;
    case MATH_POW:
        power(v, out, node);
        break;
    case MATH_ROOT:
        root(v, out, node);
        break;
    case MATH_PERCENT:
        acb_div_si(out, x, 100, v->prec);
        break;
    case MATH_DEGREE:
        acb_const_pi(out, v->prec);
        acb_mul(out, out, x, v->prec);
        acb_div_si(out, out, 180, v->prec);
        break;
    case MATH_FUNC:
        if (node->op == MATH_FACTORIAL || node->op == MATH_BINOMIAL || node->op == MATH_GCD ||
            node->op == MATH_LCM) {
            constant(v, out, i);
        } else {
            function(v, out, node);
        }
        break;
    case MATH_NUMBER:
    case MATH_BASED:
        constant(v, out, i);
        break;
    default:
        acb_indeterminate(out);
    }
}

// The difference at v's point and precision; false when the work is used up.
static bool difference(struct evaluation *v, acb_t out)
{
    long parts = 0;
    for (uint32_t i = 0; i <= v->last; i++) {
        if ((i <= v->a && v->in_a[i]) || (i <= v->b && v->in_b[i])) {
            if (!math_spend(v->f, STEPS_PER_NODE * (1 + v->prec / 128))) {
                return false;
            }
            evaluate_node(v, i);
            parts++;
        }
    }
    acb_sub(out, v->value + v->a, v->value + v->b, v->prec);
    return parts > 0;
}

// Is the ball around zero and narrower than 2^-bits times what was subtracted?
static bool agrees(const struct evaluation *v, const acb_t d, slong bits)
{
    if (!acb_is_finite(d) || !acb_contains_zero(d)) {
        return false;
    }
    mag_t size, radius;
    mag_init(size);
    mag_init(radius);
    acb_get_mag(radius, d);
    acb_get_mag(size, v->value + v->a);
    if (mag_cmp_2exp_si(size, 0) < 0) {
        mag_one(size);
    }
    mag_mul_2exp_si(size, size, -bits);
    bool close = mag_cmp(radius, size) <= 0;
    mag_clear(size);
    mag_clear(radius);
    return close;
}

// One point, precision rising until the balls part or agree. UNSURE: undefined there.
static enum exact_result at_point(struct evaluation *v, slong bits)
{
    acb_t d;
    acb_init(d);
    enum exact_result result = EXACT_UNSURE;
    for (v->prec = 64; v->prec <= 4 * bits && result == EXACT_UNSURE; v->prec *= 2) {
        if (!difference(v, d)) {
            break;
        }
        if (acb_is_finite(d) && !acb_contains_zero(d)) {
            result = EXACT_DIFFERENT;
        } else if (agrees(v, d, bits)) {
            result = EXACT_EQUAL;
        }
    }
    acb_clear(d);
    return result;
}

static bool has_symbols(struct math_forest *f, uint32_t a, uint32_t b)
{
    return math_contains(f, a, MATH_SYMBOL) || math_contains(f, b, MATH_SYMBOL);
}

struct balls {
    acb_ptr v;
    slong n;
};

static void clear_balls(void *arg)
{
    struct balls *b = arg;
    if (b->v) {
        _acb_vec_clear(b->v, b->n);
        b->v = NULL;
    }
}

enum exact_result enclose_compare(struct math_forest *f, uint32_t a, uint32_t b)
{
    struct evaluation v = {.f = f, .a = a, .b = b, .last = MAX(a, b)};
    struct balls *balls = scratch_zeroed(f->scratch, sizeof *balls);
    scratch_defer(f->scratch, clear_balls, balls);
    balls->n = (slong)v.last + 1;
    balls->v = v.value = _acb_vec_init(balls->n);
    v.in_a = math_parts(f, a);
    v.in_b = math_parts(f, b);
    enum exact_result result = EXACT_UNSURE;
    if (!has_symbols(f, a, b)) {
        result = at_point(&v, ENCLOSE_CONSTANT_BITS);
    } else {
        unsigned agreed = 0;
        for (v.point = 0; v.point < TRIES && agreed < ENCLOSE_POINTS && result != EXACT_DIFFERENT;
             v.point++) {
            result = at_point(&v, ENCLOSE_POINT_BITS);
            agreed += result == EXACT_EQUAL;
        }
        result = result == EXACT_DIFFERENT  ? EXACT_DIFFERENT
                 : agreed >= ENCLOSE_POINTS ? EXACT_EQUAL
                                            : EXACT_UNSURE;
    }
    clear_balls(balls);
    return result;
}
