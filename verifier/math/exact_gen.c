// exact_gen.c: the indeterminates of exact values and the relations between them.
#include "verifier/math/exact_internal.h"

static exact_ref value_of(struct exact_engine *e, size_t index)
{
    struct exact_value *v = exact_new(e);
    v->rational = false;
    fmpz_mpoly_init(v->num, e->ctx);
    fmpz_mpoly_init(v->den, e->ctx);
    fmpz_mpoly_gen(v->num, (slong)index, e->ctx);
    fmpz_mpoly_one(v->den, e->ctx);
    return v;
}

static struct exact_gen *fresh(struct exact_engine *e, enum exact_gen_kind kind, uint32_t id)
{
    if (e->n_gens == e->cap_gens) {
        e->crowded = true;
        return NULL;
    }
    struct exact_gen *g = &e->gen[e->n_gens++];
    *g = (struct exact_gen){.kind = kind, .id = id};
    fmpz_init(g->base);
    fmpz_mpoly_init(g->relation, e->ctx);
    return g;
}

static exact_ref newest(struct exact_engine *e)
{
    return value_of(e, e->n_gens - 1);
}

exact_ref exact_gen_plain(struct exact_engine *e, enum exact_gen_kind kind, uint32_t id)
{
    for (size_t i = 0; i < e->n_gens; i++) {
        if (e->gen[i].kind == kind && e->gen[i].id == id) {
            return value_of(e, i);
        }
    }
    struct exact_gen *g = fresh(e, kind, id);
    if (!g) {
        return NULL;
    }
    if (kind == EXACT_I) {
        g->power = 2;
        fmpz_mpoly_set_si(g->relation, -1, e->ctx);
    }
    return newest(e);
}

exact_ref exact_gen_prime(struct exact_engine *e, enum exact_gen_kind kind, const fmpz_t base,
                          uint32_t index)
{
    for (size_t i = 0; i < e->n_gens; i++) {
        const struct exact_gen *g = &e->gen[i];
        if (g->kind == kind && g->id == index && fmpz_equal(g->base, base)) {
            return value_of(e, i);
        }
    }
    struct exact_gen *g = fresh(e, kind, index);
    if (!g) {
        return NULL;
    }
    fmpz_set(g->base, base);
    if (kind == EXACT_PRIME_ROOT) {
        g->power = index;
        fmpz_mpoly_set_fmpz(g->relation, base, e->ctx);
    }
    return newest(e);
}

exact_ref exact_gen_power(struct exact_engine *e, const fmpz_t base, exact_ref exponent)
{
    for (size_t i = 0; i < e->n_gens; i++) {
        const struct exact_gen *g = &e->gen[i];
        if (g->kind == EXACT_RATIONAL_POWER && fmpz_equal(g->base, base) &&
            exact_same(e, g->arg[0], exponent)) {
            return value_of(e, i);
        }
    }
    struct exact_gen *g = fresh(e, EXACT_RATIONAL_POWER, 0);
    if (!g) {
        return NULL;
    }
    fmpz_set(g->base, base);
    g->arg[0] = exponent;
    return newest(e);
}

// sin u: cos u comes first, and sin^2 = 1 - cos^2.
static void relate_sine(struct exact_engine *e, struct exact_gen *g, exact_ref cosine)
{
    fmpz_mpoly_t one;
    fmpz_mpoly_init(one, e->ctx);
    fmpz_mpoly_one(one, e->ctx);
    fmpz_mpoly_mul(g->relation, cosine->num, cosine->num, e->ctx);
    fmpz_mpoly_sub(g->relation, one, g->relation, e->ctx);
    fmpz_mpoly_clear(one, e->ctx);
    g->power = 2;
}

exact_ref exact_gen_of(struct exact_engine *e, enum exact_gen_kind kind, uint32_t id, size_t n,
                       const exact_ref *arg)
{
    for (size_t i = 0; i < e->n_gens; i++) {
        const struct exact_gen *g = &e->gen[i];
        bool same = g->kind == kind && g->id == id;
        for (size_t k = 0; same && k < n; k++) {
            same = g->arg[k] && exact_same(e, g->arg[k], arg[k]);
        }
        if (same && (n == EXACT_ARGS_MAX || !g->arg[n])) {
            return value_of(e, i);
        }
    }
    exact_ref cosine = NULL;
    if (kind == EXACT_FUNCTION && id == MATH_SIN) {
        cosine = exact_gen_of(e, kind, MATH_COS, n, arg);
        if (!cosine) {
            return NULL;
        }
    }
    struct exact_gen *g = fresh(e, kind, id);
    if (!g) {
        return NULL;
    }
    for (size_t k = 0; k < n; k++) {
        g->arg[k] = arg[k];
    }
    bool whole = n > 0 && !arg[0]->rational && fmpz_mpoly_is_one(arg[0]->den, e->ctx);
    if (cosine) {
        relate_sine(e, g, cosine);
    } else if (kind == EXACT_ROOT && whole) {
        g->power = id;
        fmpz_mpoly_set(g->relation, arg[0]->num, e->ctx);
    } else if (kind == EXACT_FUNCTION && id == MATH_ABS && whole &&
               exact_poly_mul(e, g->relation, arg[0]->num, arg[0]->num)) {
        g->power = 2;
    }
    return newest(e);
}

// ---- relations ----

// p = sum over k of part_k relation^k, with the exponents of `g` in every part below its power.
static bool reduce_by(struct exact_engine *e, fmpz_mpoly_t p, size_t index)
{
    const struct exact_gen *g = &e->gen[index];
    slong degree = fmpz_mpoly_degree_si(p, (slong)index, e->ctx);
    ulong parts = (ulong)degree / g->power;
    if (degree < 0 || parts == 0) {
        return true;
    }
    bool constant = fmpz_mpoly_is_fmpz(g->relation, e->ctx);
    if (parts > (constant ? EXACT_BITS_MAX / 8u : 40u) ||
        !math_spend(e->f, (long)parts * (1 + fmpz_mpoly_length(p, e->ctx)) * 4)) {
        return false;
    }
    ulong exp[EXACT_GENS_MAX];
    fmpz_t c;
    fmpz_mpoly_t out, part;
    fmpz_init(c);
    fmpz_mpoly_init(out, e->ctx);
    fmpz_mpoly_init(part, e->ctx);
    bool fine = true;
    for (ulong k = parts + 1; fine && k-- > 0;) {    // Horner
        fmpz_mpoly_zero(part, e->ctx);
        for (slong i = 0; i < fmpz_mpoly_length(p, e->ctx); i++) {
            fmpz_mpoly_get_term_exp_ui(exp, p, i, e->ctx);
            if (exp[index] / g->power == k) {
                exp[index] %= g->power;
                fmpz_mpoly_get_term_coeff_fmpz(c, p, i, e->ctx);
                fmpz_mpoly_push_term_fmpz_ui(part, c, exp, e->ctx);
            }
        }
        fmpz_mpoly_sort_terms(part, e->ctx);
        fmpz_mpoly_combine_like_terms(part, e->ctx);
        fine = exact_poly_mul(e, out, out, g->relation);
        fmpz_mpoly_add(out, out, part, e->ctx);
    }
    if (fine) {
        fmpz_mpoly_swap(p, out, e->ctx);
    }
    fmpz_clear(c);
    fmpz_mpoly_clear(out, e->ctx);
    fmpz_mpoly_clear(part, e->ctx);
    return fine;
}

bool exact_reduce(struct exact_engine *e, fmpz_mpoly_t p)
{
    // A relation speaks of earlier indeterminates only, so one pass from the newest suffices.
    for (size_t i = e->n_gens; i-- > 0;) {
        if (e->gen[i].power > 0 && !reduce_by(e, p, i)) {
            return false;
        }
    }
    return true;
}

bool exact_independent(const struct exact_engine *e)
{
    size_t transcendental = 0;
    for (size_t i = 0; i < e->n_gens; i++) {
        const struct exact_gen *g = &e->gen[i];
        switch (g->kind) {
        case EXACT_PI:
        case EXACT_E:
        case EXACT_PRIME_LOG:
            transcendental++;
            break;
        case EXACT_SYMBOL:
        case EXACT_I:
            break;
        case EXACT_PRIME_ROOT:
            for (size_t k = 0; k < i; k++) {
                if (e->gen[k].kind == EXACT_PRIME_ROOT && fmpz_equal(e->gen[k].base, g->base)) {
                    return false;
                }
            }
            break;
        default:
            return false;
        }
    }
    return transcendental <= 1 && !e->unfactored;
}

bool exact_multiple_of(struct exact_engine *e, exact_ref a, enum exact_gen_kind kind, fmpq_t c)
{
    if (a->rational || fmpz_mpoly_length(a->num, e->ctx) != 1 ||
        !fmpz_mpoly_is_fmpz(a->den, e->ctx)) {
        return false;
    }
    ulong exp[EXACT_GENS_MAX], total = 0;
    bool seen = false;
    fmpz_mpoly_get_term_exp_ui(exp, a->num, 0, e->ctx);
    for (size_t i = 0; i < e->n_gens; i++) {
        total += exp[i];
        seen |= exp[i] == 1 && e->gen[i].kind == kind;
    }
    if (!seen || total != 1) {
        return false;
    }
    fmpz_mpoly_get_term_coeff_fmpz(fmpq_numref(c), a->num, 0, e->ctx);
    fmpz_mpoly_get_fmpz(fmpq_denref(c), a->den, e->ctx);
    fmpq_canonicalise(c);
    return true;
}

static bool is_positive_constant(const struct exact_gen *g)
{
    return g->kind == EXACT_PI || g->kind == EXACT_E || g->kind == EXACT_PRIME_ROOT ||
           g->kind == EXACT_PRIME_LOG;
}

bool exact_has_free(const struct exact_engine *e, const fmpz_mpoly_t p)
{
    for (size_t i = 0; i < e->n_gens; i++) {
        if (!is_positive_constant(&e->gen[i]) && fmpz_mpoly_degree_si(p, (slong)i, e->ctx) > 0) {
            return true;
        }
    }
    return false;
}

bool exact_is_positive_term(const struct exact_engine *e, exact_ref a)
{
    if (a->rational) {
        return fmpq_sgn(a->q) > 0;
    }
    fmpz_t n, d;
    fmpz_init(n);
    fmpz_init(d);
    bool single = fmpz_mpoly_length(a->num, e->ctx) == 1 && fmpz_mpoly_length(a->den, e->ctx) == 1;
    if (single) {
        fmpz_mpoly_get_term_coeff_fmpz(n, a->num, 0, e->ctx);
        fmpz_mpoly_get_term_coeff_fmpz(d, a->den, 0, e->ctx);
    }
    bool positive = single && fmpz_sgn(n) == fmpz_sgn(d) && !exact_has_free(e, a->num) &&
                    !exact_has_free(e, a->den);
    fmpz_clear(n);
    fmpz_clear(d);
    return positive;
}
