// exact_func.c: roots, powers and functions of exact values, where they have exact values.
//
// What has none becomes an indeterminate, in one form for all spellings: bases are split into
// primes, contents are taken out of roots, signs out of even and odd functions. NULL: not exact,
// or too large.
#include "verifier/math/exact_internal.h"

#include <flint/arith.h>
#include <flint/fmpz_factor.h>

#define ROOT_MAX 64
#define FACTORIAL_MAX 1000
#define FACTOR_BITS 100    // larger composites stay whole

// ---- primes ----

// Factors of n > 1; what is too large to split counts as a prime, and no independence is claimed.
static void factor(struct exact_engine *e, fmpz_factor_t out, const fmpz_t n)
{
    if (fmpz_bits(n) <= FACTOR_BITS && math_spend(e->f, 200)) {
        fmpz_factor(out, n);
        return;
    }
    fmpz_factor_trial_range(out, n, 0, 1000);
    e->unfactored = true;
}

// base^(num/den) for a prime base, 0 < num < den.
static exact_ref prime_root(struct exact_engine *e, const fmpz_t base, ulong num, ulong den)
{
    ulong g = n_gcd(num, den);
    exact_ref gen = exact_gen_prime(e, EXACT_PRIME_ROOT, base, (uint32_t)(den / g));
    return gen ? exact_power_si(e, gen, (long)(num / g)) : NULL;
}

// The n-th root of an integer > 0.
static exact_ref integer_root(struct exact_engine *e, const fmpz_t a, ulong n)
{
    exact_ref out = exact_si(e, 1, 1);
    if (fmpz_is_one(a)) {
        return out;
    }
    fmpz_factor_t primes;
    fmpz_factor_init(primes);
    factor(e, primes, a);
    for (slong i = 0; out && i < primes->num; i++) {
        struct exact_value *whole = exact_new(e);
        ulong k = primes->exp[i];
        fmpz_pow_ui(fmpq_numref(whole->q), &primes->p[i], k / n);
        out = exact_mul(e, out, whole);
        if (out && k % n > 0) {
            exact_ref root = prime_root(e, &primes->p[i], k % n, n);
            out = root ? exact_mul(e, out, root) : NULL;
        }
    }
    fmpz_factor_clear(primes);
    return out;
}

static exact_ref positive_root(struct exact_engine *e, const fmpq_t q, ulong n)
{
    exact_ref num = integer_root(e, fmpq_numref(q), n);
    exact_ref den = num ? integer_root(e, fmpq_denref(q), n) : NULL;
    if (!den) {
        return NULL;
    }
    if (den->rational) {
        return exact_div(e, num, den);
    }
    // 1/r = r^(n-1) / r^n: roots stay above.
    exact_ref rest = exact_power_si(e, den, (long)n - 1);
    exact_ref whole = rest ? exact_mul(e, rest, den) : NULL;
    exact_ref above = whole ? exact_mul(e, num, rest) : NULL;
    return above ? exact_div(e, above, whole) : NULL;
}

static exact_ref rational_root(struct exact_engine *e, exact_ref a, ulong n)
{
    int sign = fmpq_sgn(a->q);
    if (sign >= 0) {
        return sign == 0 ? a : positive_root(e, a->q, n);
    }
    exact_ref positive = exact_neg(e, a);
    exact_ref root = positive ? positive_root(e, positive->q, n) : NULL;
    if (!root || (n % 2 == 0 && n != 2)) {
        return NULL;
    }
    if (n % 2 == 1) {
        return exact_neg(e, root);
    }
    exact_ref i = exact_gen_plain(e, EXACT_I, 0);
    return i ? exact_mul(e, i, root) : NULL;
}

// The rational content of a polynomial fraction, positive.
static exact_ref content(struct exact_engine *e, exact_ref a)
{
    fmpz_t n, d;
    fmpz_init(n);
    fmpz_init(d);
    _fmpz_vec_content(n, a->num->coeffs, a->num->length);
    _fmpz_vec_content(d, a->den->coeffs, a->den->length);
    struct exact_value *v = exact_new(e);
    fmpq_set_fmpz_frac(v->q, n, d);
    fmpz_clear(n);
    fmpz_clear(d);
    return v;
}

static bool is_negative_first(struct exact_engine *e, exact_ref a)
{
    (void)e;
    return a->rational ? fmpq_sgn(a->q) < 0 : fmpz_sgn(a->num->coeffs) < 0;
}

// x^(n m) for a term of one factor with coefficient 1: x^m, or |x^m| for an even n.
static exact_ref term_root(struct exact_engine *e, exact_ref a, ulong n)
{
    if (fmpz_mpoly_length(a->num, e->ctx) != 1 || !fmpz_mpoly_is_one(a->den, e->ctx) ||
        !fmpz_is_one(a->num->coeffs)) {
        return NULL;
    }
    ulong exp[EXACT_GENS_MAX];
    fmpz_mpoly_get_term_exp_ui(exp, a->num, 0, e->ctx);
    for (size_t i = 0; i < e->cap_gens; i++) {
        if (exp[i] % n != 0 || (exp[i] > 0 && e->gen[i].kind != EXACT_SYMBOL)) {
            return NULL;
        }
        exp[i] /= n;
    }
    struct exact_value *v = exact_new(e);
    v->rational = false;
    fmpz_mpoly_init(v->num, e->ctx);
    fmpz_mpoly_init(v->den, e->ctx);
    fmpz_mpoly_push_term_ui_ui(v->num, 1, exp, e->ctx);
    fmpz_mpoly_one(v->den, e->ctx);
    exact_ref root = v;
    return n % 2 == 1 ? root : exact_function(e, MATH_ABS, 1, &root);
}

exact_ref exact_root(struct exact_engine *e, exact_ref a, exact_ref index)
{
    if (!index->rational || !fmpz_is_one(fmpq_denref(index->q)) ||
        fmpz_cmp_si(fmpq_numref(index->q), 1) < 0 ||
        fmpz_cmp_si(fmpq_numref(index->q), ROOT_MAX) > 0) {
        return NULL;
    }
    ulong n = fmpz_get_ui(fmpq_numref(index->q));
    if (n == 1 || exact_is_si(a, 0)) {
        return a;
    }
    if (a->rational) {
        return rational_root(e, a, n);
    }
    exact_ref c = content(e, a), rest = exact_div(e, a, c);
    exact_ref outer = rational_root(e, c, n);
    if (!outer || !rest) {
        return NULL;
    }
    exact_ref inner = term_root(e, rest, n);
    inner = inner ? inner : exact_gen_of(e, EXACT_ROOT, (uint32_t)n, 1, &rest);
    return inner ? exact_mul(e, outer, inner) : NULL;
}

// ---- powers ----

// Splits a polynomial exponent: *whole, its integer constant, and *rest = k * *unit with an integer
// k, the unit's first coefficient positive.
static bool split_exponent(struct exact_engine *e, exact_ref b, long *whole, exact_ref *unit,
                           long *k)
{
    if (b->rational || !fmpz_mpoly_is_fmpz(b->den, e->ctx)) {
        return false;
    }
    ulong zero[EXACT_GENS_MAX] = {0};
    struct exact_value *constant = exact_new(e);
    fmpz_t n, d;
    fmpz_init(n);
    fmpz_init(d);
    fmpz_mpoly_get_coeff_fmpz_ui(n, b->num, zero, e->ctx);
    fmpz_mpoly_get_fmpz(d, b->den, e->ctx);
    fmpq_set_fmpz_frac(constant->q, n, d);
    fmpz_clear(n);
    fmpz_clear(d);
    bool integer =
        fmpz_is_one(fmpq_denref(constant->q)) && fmpz_bits(fmpq_numref(constant->q)) < 10;
    *whole = integer ? fmpz_get_si(fmpq_numref(constant->q)) : 0;
    exact_ref rest = exact_sub(e, b, exact_si(e, *whole, 1));
    if (!rest || rest->rational) {
        return false;
    }
    exact_ref c = content(e, rest);
    bool small = fmpz_is_one(fmpq_denref(c->q)) && fmpz_bits(fmpq_numref(c->q)) < 10;
    *k = small ? fmpz_get_si(fmpq_numref(c->q)) : 1;
    *k = is_negative_first(e, rest) ? -*k : *k;
    *unit = exact_div(e, rest, exact_si(e, *k, 1));
    return *unit != NULL;
}

// base^unit raised to k, primes apart.
static exact_ref integer_power(struct exact_engine *e, const fmpz_t base, exact_ref unit, long k)
{
    fmpz_factor_t primes;
    fmpz_factor_init(primes);
    factor(e, primes, base);
    exact_ref out = exact_si(e, 1, 1);
    for (slong i = 0; out && i < primes->num; i++) {
        exact_ref gen = exact_gen_power(e, &primes->p[i], unit);
        gen = gen ? exact_power_si(e, gen, k * (long)primes->exp[i]) : NULL;
        out = gen ? exact_mul(e, out, gen) : NULL;
    }
    fmpz_factor_clear(primes);
    return out;
}

static exact_ref rational_base(struct exact_engine *e, exact_ref a, exact_ref unit, long k)
{
    exact_ref num = exact_si(e, 1, 1), den = num;
    if (!fmpz_is_one(fmpq_numref(a->q))) {
        num = integer_power(e, fmpq_numref(a->q), unit, k);
    }
    if (num && !fmpz_is_one(fmpq_denref(a->q))) {
        den = integer_power(e, fmpq_denref(a->q), unit, k);
    }
    return num && den ? exact_div(e, num, den) : NULL;
}

static bool is_e(struct exact_engine *e, exact_ref a)
{
    exact_ref euler = NULL;
    for (size_t i = 0; i < e->n_gens && !euler; i++) {
        if (e->gen[i].kind == EXACT_E) {
            euler = exact_gen_plain(e, EXACT_E, 0);
        }
    }
    return euler && exact_same(e, a, euler);
}

static exact_ref fractional_power(struct exact_engine *e, exact_ref a, exact_ref b)
{
    if (fmpz_bits(fmpq_numref(b->q)) > 20 || fmpz_cmp_si(fmpq_denref(b->q), ROOT_MAX) > 0) {
        return NULL;
    }
    struct exact_value *index = exact_new(e);
    fmpz_set(fmpq_numref(index->q), fmpq_denref(b->q));
    exact_ref root = exact_root(e, a, index);
    return root ? exact_power_si(e, root, fmpz_get_si(fmpq_numref(b->q))) : NULL;
}

exact_ref exact_power(struct exact_engine *e, exact_ref a, exact_ref b)
{
    if (b->rational) {
        if (!fmpz_is_one(fmpq_denref(b->q))) {
            return fractional_power(e, a, b);
        }
        return fmpz_bits(fmpq_numref(b->q)) <= 30
                   ? exact_power_si(e, a, fmpz_get_si(fmpq_numref(b->q)))
                   : NULL;
    }
    if (exact_is_si(a, 1)) {
        return a;
    }
    long whole = 0, k = 1;
    exact_ref unit = b;
    if (!split_exponent(e, b, &whole, &unit, &k)) {
        whole = 0;
        k = 1;
        unit = b;
    }
    exact_ref out;
    if (a->rational && fmpq_sgn(a->q) > 0) {
        out = rational_base(e, a, unit, k);
    } else if (a->rational) {
        return NULL;
    } else {
        bool euler = is_e(e, a);
        const exact_ref pair[] = {a, unit};
        exact_ref gen = euler ? exact_gen_of(e, EXACT_FUNCTION, MATH_EXP, 1, &unit)
                              : exact_gen_of(e, EXACT_POWER, 0, 2, pair);
        out = gen ? exact_power_si(e, gen, k) : NULL;
    }
    exact_ref factor_out = out && whole != 0 ? exact_power_si(e, a, whole) : NULL;
    return out && whole != 0 ? (factor_out ? exact_mul(e, out, factor_out) : NULL) : out;
}

// ---- circular functions ----

// cos(pi n/d) for the angles with square roots; NULL for others.
static exact_ref special_cosine(struct exact_engine *e, const fmpq_t turn)
{
    fmpq_t c, two;
    fmpq_init(c);
    fmpq_init(two);
    fmpq_abs(c, turn);
    // Into [0, 2), then [0, 1] by symmetry.
    fmpz_t period;
    fmpz_init(period);
    fmpz_mul_2exp(period, fmpq_denref(c), 1);
    fmpz_mod(fmpq_numref(c), fmpq_numref(c), period);
    fmpq_canonicalise(c);
    fmpq_set_si(two, 2, 1);
    if (fmpq_cmp_ui(c, 1) > 0) {
        fmpq_sub(c, two, c);
    }
    static const struct {
        long n;
        ulong d;
        long sign, root;    // sign * sqrt(root) / 2
    } table[] = {{0, 1, 1, 4},  {1, 6, 1, 3},  {1, 4, 1, 2},  {1, 3, 1, 1}, {1, 2, 1, 0},
                 {2, 3, -1, 1}, {3, 4, -1, 2}, {5, 6, -1, 3}, {1, 1, -1, 4}};
    exact_ref out = NULL;
    for (size_t i = 0; i < ARRAY_LEN(table) && !out; i++) {
        fmpq_set_si(two, table[i].n, table[i].d);
        if (fmpq_equal(c, two)) {
            exact_ref root = exact_root(e, exact_si(e, table[i].root, 1), exact_si(e, 2, 1));
            out = root ? exact_mul(e, root, exact_si(e, table[i].sign, 2)) : NULL;
        }
    }
    fmpz_clear(period);
    fmpq_clear(c);
    fmpq_clear(two);
    return out;
}

static exact_ref cosine(struct exact_engine *e, exact_ref u)
{
    fmpq_t c;
    fmpq_init(c);
    exact_ref out = exact_is_si(u, 0)                      ? exact_si(e, 1, 1)
                    : exact_multiple_of(e, u, EXACT_PI, c) ? special_cosine(e, c)
                                                           : NULL;
    fmpq_clear(c);
    if (!out) {
        exact_ref v = is_negative_first(e, u) ? exact_neg(e, u) : u;
        out = v ? exact_gen_of(e, EXACT_FUNCTION, MATH_COS, 1, &v) : NULL;
    }
    return out;
}

static exact_ref sine(struct exact_engine *e, exact_ref u)
{
    fmpq_t c, half;
    fmpq_init(c);
    fmpq_init(half);
    fmpq_set_si(half, 1, 2);
    exact_ref out = exact_is_si(u, 0) ? u : NULL;
    if (!out && exact_multiple_of(e, u, EXACT_PI, c)) {
        fmpq_sub(c, half, c);
        out = special_cosine(e, c);
    }
    fmpq_clear(c);
    fmpq_clear(half);
    if (!out) {
        bool negative = is_negative_first(e, u);
        exact_ref v = negative ? exact_neg(e, u) : u;
        out = v ? exact_gen_of(e, EXACT_FUNCTION, MATH_SIN, 1, &v) : NULL;
        out = out && negative ? exact_neg(e, out) : out;
    }
    return out;
}

static exact_ref circular(struct exact_engine *e, enum math_func fn, exact_ref u)
{
    exact_ref s = fn == MATH_COS || fn == MATH_SEC ? NULL : sine(e, u);
    exact_ref c = fn == MATH_SIN || fn == MATH_CSC ? NULL : cosine(e, u);
    switch (fn) {
    case MATH_SIN:
        return s;
    case MATH_COS:
        return c;
    case MATH_TAN:
        return s && c ? exact_div(e, s, c) : NULL;
    case MATH_COT:
        return s && c ? exact_div(e, c, s) : NULL;
    case MATH_SEC:
        return c ? exact_div(e, exact_si(e, 1, 1), c) : NULL;
    case MATH_CSC:
        return s ? exact_div(e, exact_si(e, 1, 1), s) : NULL;
    default:
        return NULL;
    }
}

// The special angle whose function is u, if there is one.
static exact_ref inverse(struct exact_engine *e, enum math_func fn, exact_ref u)
{
    static const struct {
        long n;
        ulong d;
    } angles[] = {{0, 1}, {1, 6}, {1, 4}, {1, 3}, {1, 2}, {2, 3}, {3, 4}, {5, 6}, {1, 1}};
    enum math_func direct = fn == MATH_ASIN ? MATH_SIN : fn == MATH_ACOS ? MATH_COS : MATH_TAN;
    size_t n = fn == MATH_ACOS ? 9 : fn == MATH_ATAN ? 4 : 5;
    for (size_t i = 0; i < n; i++) {
        for (long sign = 1; sign >= (fn == MATH_ACOS ? 1 : -1); sign -= 2) {
            exact_ref pi = exact_gen_plain(e, EXACT_PI, 0);
            exact_ref angle =
                pi ? exact_mul(e, pi, exact_si(e, sign * angles[i].n, angles[i].d)) : NULL;
            exact_ref value = angle ? circular(e, direct, angle) : NULL;
            if (value && exact_same(e, value, u)) {
                return angle;
            }
        }
    }
    return exact_gen_of(e, EXACT_FUNCTION, fn, 1, &u);
}

// ---- logarithms ----

static exact_ref integer_log(struct exact_engine *e, const fmpz_t a)
{
    exact_ref out = exact_si(e, 0, 1);
    if (fmpz_is_one(a)) {
        return out;
    }
    fmpz_factor_t primes;
    fmpz_factor_init(primes);
    factor(e, primes, a);
    for (slong i = 0; out && i < primes->num; i++) {
        exact_ref gen = exact_gen_prime(e, EXACT_PRIME_LOG, &primes->p[i], 0);
        gen = gen ? exact_mul(e, gen, exact_si(e, (long)primes->exp[i], 1)) : NULL;
        out = gen ? exact_add(e, out, gen) : NULL;
    }
    fmpz_factor_clear(primes);
    return out;
}

// c p^(1/n) … e^k as one term: the sum of its logarithms. NULL for anything else.
static exact_ref term_log(struct exact_engine *e, exact_ref a)
{
    if (!exact_is_positive_term(e, a) || !fmpz_mpoly_is_fmpz(a->den, e->ctx)) {
        return NULL;
    }
    ulong exp[EXACT_GENS_MAX];
    fmpz_t den;
    fmpz_init(den);
    fmpz_mpoly_get_fmpz(den, a->den, e->ctx);
    exact_ref out = integer_log(e, a->num->coeffs), below = out ? integer_log(e, den) : NULL;
    fmpz_clear(den);
    out = below ? exact_sub(e, out, below) : NULL;
    fmpz_mpoly_get_term_exp_ui(exp, a->num, 0, e->ctx);
    size_t n = e->n_gens;
    for (size_t i = 0; out && i < n; i++) {
        struct exact_gen *g = &e->gen[i];
        exact_ref log = NULL;
        if (exp[i] == 0) {
            continue;
        }
        if (g->kind == EXACT_E) {
            log = exact_si(e, (long)exp[i], 1);
        } else if (g->kind == EXACT_PRIME_ROOT) {
            exact_ref prime = exact_gen_prime(e, EXACT_PRIME_LOG, g->base, 0);
            log = prime ? exact_mul(e, prime, exact_si(e, (long)exp[i], g->id)) : NULL;
        }
        out = log ? exact_add(e, out, log) : NULL;
    }
    return out;
}

static exact_ref natural_log(struct exact_engine *e, exact_ref a)
{
    if (a->rational) {
        if (fmpq_sgn(a->q) <= 0) {
            return NULL;
        }
        exact_ref num = integer_log(e, fmpq_numref(a->q));
        exact_ref den = num ? integer_log(e, fmpq_denref(a->q)) : NULL;
        return den ? exact_sub(e, num, den) : NULL;
    }
    exact_ref term = term_log(e, a);
    return term ? term : exact_gen_of(e, EXACT_FUNCTION, MATH_LN, 1, &a);
}

// ---- integers ----

static bool small_integer(exact_ref a, long max, long *out)
{
    if (!a->rational || !fmpz_is_one(fmpq_denref(a->q)) ||
        fmpz_cmpabs(fmpq_numref(a->q), fmpq_denref(a->q)) < 0) {
        *out = 0;
        return a->rational && fmpq_is_zero(a->q);
    }
    if (fmpz_bits(fmpq_numref(a->q)) > 60) {
        return false;
    }
    *out = fmpz_get_si(fmpq_numref(a->q));
    return *out >= -max && *out <= max;
}

static exact_ref of_integers(struct exact_engine *e, enum math_func fn, size_t n,
                             const exact_ref *arg)
{
    long x = 0, y = 0;
    if (!small_integer(arg[0], FACTORIAL_MAX, &x) || x < 0 ||
        (n > 1 && (!small_integer(arg[1], FACTORIAL_MAX, &y) || y < 0)) || !math_spend(e->f, 500)) {
        return NULL;
    }
    struct exact_value *v = exact_new(e);
    if (fn == MATH_FACTORIAL) {
        fmpz_fac_ui(fmpq_numref(v->q), (ulong)x);
    } else {
        fmpz_bin_uiui(fmpq_numref(v->q), (ulong)x, (ulong)y);
    }
    return v;
}

static exact_ref of_rationals(struct exact_engine *e, enum math_func fn, size_t n,
                              const exact_ref *arg)
{
    if (!arg[0]->rational || (n > 1 && !arg[1]->rational)) {
        return NULL;
    }
    struct exact_value *v = exact_new(e);
    const fmpz *num = fmpq_numref(arg[0]->q), *den = fmpq_denref(arg[0]->q);
    switch (fn) {
    case MATH_FLOOR:
        fmpz_fdiv_q(fmpq_numref(v->q), num, den);
        return v;
    case MATH_CEIL:
        fmpz_cdiv_q(fmpq_numref(v->q), num, den);
        return v;
    case MATH_MAX:
    case MATH_MIN: {
        bool first = n == 1 || (fmpq_cmp(arg[0]->q, arg[1]->q) > 0) == (fn == MATH_MAX);
        return first ? arg[0] : arg[1];
    }
    default:
        break;
    }
    if (n != 2 || !fmpz_is_one(den) || !fmpz_is_one(fmpq_denref(arg[1]->q))) {
        return NULL;
    }
    (fn == MATH_GCD ? fmpz_gcd : fmpz_lcm)(fmpq_numref(v->q), num, fmpq_numref(arg[1]->q));
    return v;
}

static exact_ref absolute(struct exact_engine *e, exact_ref a)
{
    if (a->rational || exact_is_positive_term(e, a)) {
        return a->rational && fmpq_sgn(a->q) < 0 ? exact_neg(e, a) : a;
    }
    exact_ref minus = exact_neg(e, a);
    if (!minus || exact_is_positive_term(e, minus)) {
        return minus;
    }
    for (size_t i = 0; i < e->n_gens; i++) {
        if (e->gen[i].kind == EXACT_I) {
            return NULL;    // of a complex number: enclose.h
        }
    }
    exact_ref c = content(e, a), rest = exact_div(e, is_negative_first(e, a) ? minus : a, c);
    exact_ref gen = rest ? exact_gen_of(e, EXACT_FUNCTION, MATH_ABS, 1, &rest) : NULL;
    return gen ? exact_mul(e, c, gen) : NULL;
}

exact_ref exact_function(struct exact_engine *e, enum math_func fn, size_t n, const exact_ref *arg)
{
    exact_ref u = arg[0];
    switch (fn) {
    case MATH_SIN:
    case MATH_COS:
    case MATH_TAN:
    case MATH_COT:
    case MATH_SEC:
    case MATH_CSC:
        return circular(e, fn, u);
    case MATH_ASIN:
    case MATH_ACOS:
    case MATH_ATAN:
        return inverse(e, fn, u);
    case MATH_LN:
        return natural_log(e, u);
    case MATH_LOG: {
        exact_ref above = natural_log(e, u),
                  below = above ? natural_log(e, n > 1 ? arg[1] : exact_si(e, 10, 1)) : NULL;
        return below ? exact_div(e, above, below) : NULL;
    }
    case MATH_EXP: {
        exact_ref euler = exact_gen_plain(e, EXACT_E, 0);
        return euler ? exact_power(e, euler, u) : NULL;
    }
    case MATH_ABS:
        return absolute(e, u);
    case MATH_FACTORIAL:
    case MATH_BINOMIAL:
        return of_integers(e, fn, n, arg);
    case MATH_FLOOR:
    case MATH_CEIL:
    case MATH_GCD:
    case MATH_LCM:
    case MATH_MAX:
    case MATH_MIN:
        return of_rationals(e, fn, n, arg);
    default:
        return n == 1 ? exact_gen_of(e, EXACT_FUNCTION, fn, 1, &u) : NULL;
    }
}
