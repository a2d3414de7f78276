// exact.c: arithmetic with fractions of polynomials, and the walk over an expression.
//
// FLINT aborts when it runs out of memory or exponents, so every product is measured before it is
// made. Most answers are rational throughout and never leave the first lines of each function.
#include "verifier/math/exact_internal.h"

#include <math.h>

static void fini(void *arg)
{
    struct exact_engine *e = arg;
    if (!e->live) {
        return;
    }
    e->live = false;
    for (size_t i = 0; i < e->n_values; i++) {
        struct exact_value *v = e->values[i];
        fmpq_clear(v->q);
        if (!v->rational) {
            fmpz_mpoly_clear(v->num, e->ctx);
            fmpz_mpoly_clear(v->den, e->ctx);
        }
    }
    for (size_t i = 0; i < e->n_gens; i++) {
        fmpz_clear(e->gen[i].base);
        fmpz_mpoly_clear(e->gen[i].relation, e->ctx);
    }
    fmpz_mpoly_ctx_clear(e->ctx);
}

static struct exact_engine *start(struct math_forest *f, size_t gens)
{
    struct exact_engine *e = scratch_zeroed(f->scratch, sizeof *e);
    scratch_defer(f->scratch, fini, e);
    e->f = f;
    e->cap_gens = gens;
    fmpz_mpoly_ctx_init(e->ctx, (slong)gens, ORD_DEGREVLEX);
    e->live = true;
    return e;
}

struct exact_value *exact_new(struct exact_engine *e)
{
    struct scratch *s = e->f->scratch;
    e->values = scratch_grow(s, e->values, e->n_values, e->n_values + 1, &e->cap_values,
                             sizeof(struct exact_value *));
    struct exact_value *v = scratch_alloc(s, sizeof *v);
    v->rational = true;
    fmpq_init(v->q);
    e->values[e->n_values++] = v;
    return v;
}

exact_ref exact_undefined(struct exact_engine *e)
{
    math_note(e->f, "a division by zero");
    e->undefined = true;
    return NULL;
}

exact_ref exact_q(struct exact_engine *e, const fmpq_t q)
{
    struct exact_value *v = exact_new(e);
    fmpq_set(v->q, q);
    return v;
}

exact_ref exact_si(struct exact_engine *e, long n, ulong d)
{
    struct exact_value *v = exact_new(e);
    fmpq_set_si(v->q, n, d);
    return v;
}

bool exact_is_si(exact_ref a, long n)
{
    return a->rational && fmpz_equal_si(fmpq_numref(a->q), n) && fmpz_is_one(fmpq_denref(a->q));
}

static bool fits(const fmpq_t q)
{
    return fmpz_bits(fmpq_numref(q)) <= EXACT_BITS_MAX &&
           fmpz_bits(fmpq_denref(q)) <= EXACT_BITS_MAX;
}

// ---- polynomials ----

static slong height(struct exact_engine *e, const fmpz_mpoly_t p)
{
    slong bits = fmpz_mpoly_max_bits(p);
    (void)e;
    return bits < 0 ? -bits : bits;
}

bool exact_poly_mul(struct exact_engine *e, fmpz_mpoly_t out, const fmpz_mpoly_t a,
                    const fmpz_mpoly_t b)
{
    if (fmpz_mpoly_is_zero(a, e->ctx) || fmpz_mpoly_is_zero(b, e->ctx)) {
        fmpz_mpoly_zero(out, e->ctx);
        return true;
    }
    slong terms = fmpz_mpoly_length(a, e->ctx) * fmpz_mpoly_length(b, e->ctx);
    slong degree = fmpz_mpoly_total_degree_si(a, e->ctx) + fmpz_mpoly_total_degree_si(b, e->ctx);
    slong bits = height(e, a) + height(e, b);
    if (terms > 50 * EXACT_TERMS_MAX || degree > EXACT_DEGREE_MAX || bits > EXACT_BITS_MAX ||
        !math_spend(e->f, terms * (1 + bits / 256) + 20)) {
        return false;
    }
    fmpz_mpoly_mul(out, a, b, e->ctx);
    return fmpz_mpoly_length(out, e->ctx) <= EXACT_TERMS_MAX;
}

// The number of terms of a power: n things chosen of `terms` with repetition, or more.
static bool power_is_small(slong terms, ulong n)
{
    double count = 1;
    for (slong k = 1; k < terms && count <= EXACT_TERMS_MAX; k++) {
        count *= ((double)n + (double)k) / (double)k;
    }
    return count <= EXACT_TERMS_MAX;
}

bool exact_poly_pow(struct exact_engine *e, fmpz_mpoly_t out, const fmpz_mpoly_t a, ulong n)
{
    slong terms = fmpz_mpoly_length(a, e->ctx);
    double bits = (double)height(e, a) + log2((double)terms + 1);
    if (n > EXACT_DEGREE_MAX || bits * (double)n > EXACT_BITS_MAX || !power_is_small(terms, n) ||
        fmpz_mpoly_total_degree_si(a, e->ctx) * (slong)n > EXACT_DEGREE_MAX ||
        !math_spend(e->f, terms * (long)n * (1 + (long)(bits * (double)n / 256)) * 10)) {
        return false;
    }
    return fmpz_mpoly_pow_ui(out, a, n, e->ctx) != 0;
}

static void remove_content(struct exact_engine *e, fmpz_mpoly_t num, fmpz_mpoly_t den)
{
    fmpz_t c, d;
    fmpz_init(c);
    fmpz_init(d);
    _fmpz_vec_content(c, num->coeffs, num->length);
    _fmpz_vec_content(d, den->coeffs, den->length);
    fmpz_gcd(c, c, d);
    if (fmpz_sgn(den->coeffs) < 0) {
        fmpz_neg(c, c);
    }
    if (!fmpz_is_one(c)) {
        fmpz_mpoly_scalar_divexact_fmpz(num, num, c, e->ctx);
        fmpz_mpoly_scalar_divexact_fmpz(den, den, c, e->ctx);
    }
    fmpz_clear(c);
    fmpz_clear(d);
}

exact_ref exact_fraction(struct exact_engine *e, fmpz_mpoly_t num, fmpz_mpoly_t den)
{
    bool fine = exact_reduce(e, num) && exact_reduce(e, den);
    if (!fine || fmpz_mpoly_is_zero(den, e->ctx)) {
        fmpz_mpoly_clear(num, e->ctx);
        fmpz_mpoly_clear(den, e->ctx);
        return fine ? exact_undefined(e) : NULL;
    }
    struct exact_value *v = exact_new(e);
    if (!fmpz_mpoly_is_zero(num, e->ctx)) {
        remove_content(e, num, den);
    }
    if (fmpz_mpoly_is_fmpz(num, e->ctx) && fmpz_mpoly_is_fmpz(den, e->ctx)) {
        fmpz_mpoly_get_fmpz(fmpq_numref(v->q), num, e->ctx);
        fmpz_mpoly_get_fmpz(fmpq_denref(v->q), den, e->ctx);
        fmpq_canonicalise(v->q);
    } else if (fmpz_mpoly_is_zero(num, e->ctx)) {
        fmpq_zero(v->q);
    } else {
        v->rational = false;
        *v->num = *num;
        *v->den = *den;
        return v;
    }
    fmpz_mpoly_clear(num, e->ctx);
    fmpz_mpoly_clear(den, e->ctx);
    return v;
}

static void load(struct exact_engine *e, exact_ref a, fmpz_mpoly_t num, fmpz_mpoly_t den)
{
    fmpz_mpoly_init(num, e->ctx);
    fmpz_mpoly_init(den, e->ctx);
    if (a->rational) {
        fmpz_mpoly_set_fmpz(num, fmpq_numref(a->q), e->ctx);
        fmpz_mpoly_set_fmpz(den, fmpq_denref(a->q), e->ctx);
    } else {
        fmpz_mpoly_set(num, a->num, e->ctx);
        fmpz_mpoly_set(den, a->den, e->ctx);
    }
}

// num / den if the steps before went well.
static exact_ref finish(struct exact_engine *e, bool fine, fmpz_mpoly_t num, fmpz_mpoly_t den)
{
    if (fine) {
        return exact_fraction(e, num, den);
    }
    fmpz_mpoly_clear(num, e->ctx);
    fmpz_mpoly_clear(den, e->ctx);
    return NULL;
}

// ---- arithmetic ----

static exact_ref add_or_sub(struct exact_engine *e, exact_ref a, exact_ref b, bool minus)
{
    if (a->rational && b->rational) {
        struct exact_value *v = exact_new(e);
        (minus ? fmpq_sub : fmpq_add)(v->q, a->q, b->q);
        return fits(v->q) ? v : NULL;
    }
    fmpz_mpoly_t an, ad, bn, bd;
    load(e, a, an, ad);
    load(e, b, bn, bd);
    bool fine = true;
    if (!fmpz_mpoly_equal(ad, bd, e->ctx)) {
        fine = exact_poly_mul(e, an, an, bd) && exact_poly_mul(e, bn, bn, ad) &&
               exact_poly_mul(e, ad, ad, bd);
    }
    if (fine) {
        (minus ? fmpz_mpoly_sub : fmpz_mpoly_add)(an, an, bn, e->ctx);
    }
    fmpz_mpoly_clear(bn, e->ctx);
    fmpz_mpoly_clear(bd, e->ctx);
    return finish(e, fine, an, ad);
}

exact_ref exact_add(struct exact_engine *e, exact_ref a, exact_ref b)
{
    return add_or_sub(e, a, b, false);
}

exact_ref exact_sub(struct exact_engine *e, exact_ref a, exact_ref b)
{
    return add_or_sub(e, a, b, true);
}

static exact_ref mul_or_div(struct exact_engine *e, exact_ref a, exact_ref b, bool over)
{
    if (over && exact_is_si(b, 0)) {
        return exact_undefined(e);
    }
    if (a->rational && b->rational) {
        struct exact_value *v = exact_new(e);
        (over ? fmpq_div : fmpq_mul)(v->q, a->q, b->q);
        return fits(v->q) ? v : NULL;
    }
    fmpz_mpoly_t an, ad, bn, bd;
    load(e, a, an, ad);
    load(e, b, bn, bd);
    bool fine =
        exact_poly_mul(e, an, an, over ? bd : bn) && exact_poly_mul(e, ad, ad, over ? bn : bd);
    fmpz_mpoly_clear(bn, e->ctx);
    fmpz_mpoly_clear(bd, e->ctx);
    return finish(e, fine, an, ad);
}

exact_ref exact_mul(struct exact_engine *e, exact_ref a, exact_ref b)
{
    return mul_or_div(e, a, b, false);
}

exact_ref exact_div(struct exact_engine *e, exact_ref a, exact_ref b)
{
    return mul_or_div(e, a, b, true);
}

exact_ref exact_neg(struct exact_engine *e, exact_ref a)
{
    return exact_mul(e, a, exact_si(e, -1, 1));
}

exact_ref exact_power_si(struct exact_engine *e, exact_ref a, long n)
{
    ulong k = (ulong)labs(n);
    if (n < 0 && exact_is_si(a, 0)) {
        return exact_undefined(e);
    }
    if (a->rational) {
        double bits = (double)MAX(fmpz_bits(fmpq_numref(a->q)), fmpz_bits(fmpq_denref(a->q)));
        bool unit = exact_is_si(a, 0) || exact_is_si(a, 1) || exact_is_si(a, -1);
        if (!unit && bits * (double)k > EXACT_BITS_MAX) {
            return NULL;
        }
        struct exact_value *v = exact_new(e);
        fmpq_pow_si(v->q, a->q, unit ? (exact_is_si(a, -1) ? n & 1 : n != 0) : n);
        if (n == 0) {
            fmpq_one(v->q);
        }
        return v;
    }
    fmpz_mpoly_t num, den;
    fmpz_mpoly_init(num, e->ctx);
    fmpz_mpoly_init(den, e->ctx);
    bool fine = exact_poly_pow(e, num, n < 0 ? a->den : a->num, k) &&
                exact_poly_pow(e, den, n < 0 ? a->num : a->den, k);
    return finish(e, fine, num, den);
}

bool exact_same(struct exact_engine *e, exact_ref a, exact_ref b)
{
    if (a == b || (a->rational && b->rational)) {
        return a == b || fmpq_equal(a->q, b->q);
    }
    if (a->rational != b->rational) {
        return false;    // both are reduced as far as they ever will be
    }
    exact_ref d = exact_sub(e, a, b);
    return d && exact_is_si(d, 0);
}

// ---- the walk ----

static exact_ref based(struct exact_engine *e, const struct math_node *v)
{
    struct exact_value *out = exact_new(e);
    for (size_t i = 0; i < v->text.n && i < 2000; i++) {
        uint32_t c = v->text.cp[i];
        uint32_t digit = c <= '9' ? c - '0' : c - 'A' + 10;
        if (digit >= v->id) {
            return NULL;    // no numeral of this base
        }
        fmpz_mul_ui(fmpq_numref(out->q), fmpq_numref(out->q), v->id);
        fmpz_add_ui(fmpq_numref(out->q), fmpq_numref(out->q), digit);
    }
    return v->text.n < 2000 ? out : NULL;
}

static exact_ref evaluate_node(struct exact_engine *e, const struct math_node *v,
                               const exact_ref *arg)
{
    switch (v->kind) {
    case MATH_NUMBER:
        return fits(&v->number) ? exact_q(e, &v->number) : NULL;
    case MATH_SYMBOL:
        return exact_gen_plain(e, EXACT_SYMBOL, v->id);
    case MATH_PI:
        return exact_gen_plain(e, EXACT_PI, 0);
    case MATH_E:
        return exact_gen_plain(e, EXACT_E, 0);
    case MATH_I:
        return exact_gen_plain(e, EXACT_I, 0);
    case MATH_ADD:
        return exact_add(e, arg[0], arg[1]);
    case MATH_SUB:
        return exact_sub(e, arg[0], arg[1]);
    case MATH_MUL:
        return exact_mul(e, arg[0], arg[1]);
    case MATH_DIV:
        return exact_div(e, arg[0], arg[1]);
    case MATH_RATIO:
        return v->n == 2 ? exact_div(e, arg[0], arg[1]) : NULL;
    case MATH_NEG:
        return exact_neg(e, arg[0]);
    case MATH_POW:
        return exact_power(e, arg[0], arg[1]);
    case MATH_ROOT:
        return exact_root(e, arg[0], arg[1]);
    case MATH_FUNC:
        return v->n <= EXACT_ARGS_MAX ? exact_function(e, v->op, v->n, arg) : NULL;
    case MATH_CALL:
        return v->n <= EXACT_ARGS_MAX ? exact_gen_of(e, EXACT_CALL, v->op, v->n, arg) : NULL;
    case MATH_PERCENT:
        return exact_div(e, arg[0], exact_si(e, 100, 1));
    case MATH_DEGREE: {
        exact_ref pi = exact_gen_plain(e, EXACT_PI, 0);
        exact_ref turn = pi ? exact_div(e, pi, exact_si(e, 180, 1)) : NULL;
        return turn ? exact_mul(e, arg[0], turn) : NULL;
    }
    case MATH_BASED:
        return based(e, v);
    default:
        return NULL;
    }
}

// Values of all parts of both expressions; false when one of the two cannot be had.
static bool evaluate(struct exact_engine *e, uint32_t a, uint32_t b, exact_ref out[2])
{
    struct math_forest *f = e->f;
    uint32_t last = MAX(a, b);
    const bool *in_a = math_parts(f, a), *in_b = math_parts(f, b);
    exact_ref *value = scratch_zeroed(f->scratch, ((size_t)last + 1) * sizeof(exact_ref));
    for (uint32_t i = 0; i <= last; i++) {
        if (!((i <= a && in_a[i]) || (i <= b && in_b[i]))) {
            continue;
        }
        const struct math_node *v = math_at(f, i);
        exact_ref arg[EXACT_ARGS_MAX] = {0};
        for (uint32_t k = 0; k < v->n; k++) {
            exact_ref x = value[v->arg[k]];
            if (!x) {
                return false;
            }
            if (k < EXACT_ARGS_MAX) {
                arg[k] = x;
            }
        }
        value[i] = math_spend(f, 10) ? evaluate_node(e, v, arg) : NULL;
        if (!value[i]) {
            return false;
        }
    }
    out[0] = value[a];
    out[1] = value[b];
    return true;
}

// Engines with room for more and more indeterminates, until one can evaluate both. NULL: none can;
// *undefined (may be NULL) tells if that is because of a division by zero.
static struct exact_engine *evaluated(struct math_forest *f, uint32_t a, uint32_t b,
                                      exact_ref out[2], bool *undefined)
{
    for (size_t gens = 3; gens <= EXACT_GENS_MAX; gens *= 2) {
        struct exact_engine *e = start(f, gens);
        bool fine = evaluate(e, a, b, out);
        if (fine) {
            return e;
        }
        bool again = e->crowded && !f->broken;
        if (undefined) {
            *undefined = e->undefined;
        }
        fini(e);
        if (!again) {
            return NULL;
        }
    }
    return NULL;
}

static bool is_undefined(struct math_forest *f, uint32_t a)
{
    exact_ref value[2];
    bool undefined = false;
    struct exact_engine *e = evaluated(f, a, a, value, &undefined);
    if (e) {
        fini(e);
    }
    return !e && undefined;
}

enum exact_result exact_compare(struct math_forest *f, uint32_t a, uint32_t b)
{
    exact_ref value[2];
    bool undefined = false;
    struct exact_engine *e = evaluated(f, a, b, value, &undefined);
    if (!e) {
        return undefined && is_undefined(f, a) != is_undefined(f, b) ? EXACT_DIFFERENT
                                                                     : EXACT_UNSURE;
    }
    enum exact_result result = EXACT_UNSURE;
    exact_ref d = exact_sub(e, value[0], value[1]);
    if (d) {
        result = exact_is_si(d, 0)                     ? EXACT_EQUAL
                 : d->rational || exact_independent(e) ? EXACT_DIFFERENT
                                                       : EXACT_UNSURE;
    }
    fini(e);
    return result;
}

// Constants by themselves; anything else may stand for an unknown.
static bool is_constant_gen(const struct exact_gen *g)
{
    return g->kind == EXACT_PI || g->kind == EXACT_E || g->kind == EXACT_I ||
           g->kind == EXACT_PRIME_ROOT || g->kind == EXACT_PRIME_LOG;
}

// The coefficient, a polynomial in the constants, of the first term's symbols.
static void leading(struct exact_engine *e, fmpz_mpoly_t out, const fmpz_mpoly_t p,
                    const ulong *symbols, ulong *found)
{
    ulong exp[EXACT_GENS_MAX];
    fmpz_t c;
    fmpz_init(c);
    fmpz_mpoly_zero(out, e->ctx);
    for (slong i = 0; i < fmpz_mpoly_length(p, e->ctx); i++) {
        fmpz_mpoly_get_term_exp_ui(exp, p, i, e->ctx);
        bool same = true;
        for (size_t g = 0; g < e->cap_gens; g++) {
            bool symbol = g < e->n_gens && !is_constant_gen(&e->gen[g]);
            if (symbol && i == 0 && !symbols) {
                found[g] = exp[g];
            }
            same &= !symbol || exp[g] == (symbols ? symbols : found)[g];
            exp[g] = symbol ? 0 : exp[g];
        }
        if (same) {
            fmpz_mpoly_get_term_coeff_fmpz(c, p, i, e->ctx);
            fmpz_mpoly_push_term_fmpz_ui(out, c, exp, e->ctx);
        }
    }
    fmpz_clear(c);
    fmpz_mpoly_sort_terms(out, e->ctx);
    fmpz_mpoly_combine_like_terms(out, e->ctx);
}

static enum exact_result proportional(struct exact_engine *e, exact_ref a, exact_ref b, int *sign)
{
    ulong symbols[EXACT_GENS_MAX] = {0};
    fmpz_mpoly_t ca, cb, x, y;
    fmpz_mpoly_init(ca, e->ctx);
    fmpz_mpoly_init(cb, e->ctx);
    fmpz_mpoly_init(x, e->ctx);
    fmpz_mpoly_init(y, e->ctx);
    leading(e, ca, a->num, NULL, symbols);
    leading(e, cb, b->num, symbols, NULL);
    enum exact_result result = EXACT_UNSURE;
    bool plain = fmpz_mpoly_is_fmpz(a->den, e->ctx) && fmpz_mpoly_is_fmpz(b->den, e->ctx);
    if (exact_poly_mul(e, x, a->num, cb) && exact_poly_mul(e, y, b->num, ca)) {
        fmpz_mpoly_sub(x, x, y, e->ctx);
        bool same =
            exact_reduce(e, x) && fmpz_mpoly_is_zero(x, e->ctx) && !fmpz_mpoly_is_zero(cb, e->ctx);
        result = same ? EXACT_EQUAL : exact_independent(e) ? EXACT_DIFFERENT : EXACT_UNSURE;
        if (same && plain && fmpz_mpoly_is_fmpz(ca, e->ctx) && fmpz_mpoly_is_fmpz(cb, e->ctx)) {
            *sign = fmpz_sgn(ca->coeffs) * fmpz_sgn(cb->coeffs);
        }
    }
    fmpz_mpoly_clear(ca, e->ctx);
    fmpz_mpoly_clear(cb, e->ctx);
    fmpz_mpoly_clear(x, e->ctx);
    fmpz_mpoly_clear(y, e->ctx);
    return result;
}

enum exact_result exact_proportional(struct math_forest *f, uint32_t a, uint32_t b, int *sign)
{
    exact_ref value[2];
    *sign = 0;
    struct exact_engine *e = evaluated(f, a, b, value, NULL);
    if (!e) {
        return EXACT_UNSURE;
    }
    enum exact_result result = EXACT_DIFFERENT;
    if (value[0]->rational && value[1]->rational) {
        int sa = fmpq_sgn(value[0]->q), sb = fmpq_sgn(value[1]->q);
        *sign = sa * sb;
        result = (sa != 0) == (sb != 0) ? EXACT_EQUAL : EXACT_DIFFERENT;
    } else if (!value[0]->rational && !value[1]->rational) {
        result = proportional(e, value[0], value[1], sign);
    }
    fini(e);
    return result;
}

bool exact_rational(struct math_forest *f, uint32_t a, fmpq_t out)
{
    if (math_at(f, a)->kind == MATH_NUMBER) {
        fmpq_set(out, &math_at(f, a)->number);
        return true;
    }
    exact_ref value[2];
    struct exact_engine *e = evaluated(f, a, a, value, NULL);
    if (!e) {
        return false;
    }
    bool rational = value[0]->rational;
    if (rational) {
        fmpq_set(out, value[0]->q);
    }
    fini(e);
    return rational;
}
