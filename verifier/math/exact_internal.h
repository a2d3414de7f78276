// exact_internal.h: what exact.c (arithmetic, walk), exact_gen.c (indeterminates) and exact_func.c
// (roots, powers, functions) share.
//
// A value is owned by its engine and never changed once made; exact_* functions that return one
// return NULL when it cannot be had, which spreads upwards.
#ifndef CARAVAN_VERIFIER_MATH_EXACT_INTERNAL_H
#define CARAVAN_VERIFIER_MATH_EXACT_INTERNAL_H

#include <flint/fmpz_mpoly.h>

#include "verifier/math/exact.h"

#define EXACT_GENS_MAX 24
#define EXACT_TERMS_MAX 3000
#define EXACT_DEGREE_MAX 20000
#define EXACT_BITS_MAX 40000    // of a coefficient
#define EXACT_ARGS_MAX 2

struct exact_value {
    bool rational;    // q; otherwise num / den, neither 0
    fmpq_t q;
    fmpz_mpoly_t num, den;
};

enum exact_gen_kind {
    EXACT_SYMBOL,    // id
    EXACT_PI,
    EXACT_E,
    EXACT_I,
    EXACT_PRIME_ROOT,        // base, id: index
    EXACT_PRIME_LOG,         // base
    EXACT_ROOT,              // arg, id: index
    EXACT_POWER,             // arg[0] to the arg[1]
    EXACT_RATIONAL_POWER,    // base to the arg[0]
    EXACT_FUNCTION,          // id: enum math_func
    EXACT_CALL,              // id: letter
};

struct exact_gen {
    enum exact_gen_kind kind;
    uint32_t id;
    fmpz_t base;
    const struct exact_value *arg[EXACT_ARGS_MAX];
    ulong power;    // gen^power = relation; 0: no such
    fmpz_mpoly_t relation;
};

struct exact_engine {
    struct math_forest *f;
    fmpz_mpoly_ctx_t ctx;
    size_t cap_gens, n_gens;
    struct exact_gen gen[EXACT_GENS_MAX];
    struct exact_value **values;
    size_t n_values, cap_values;
    bool crowded;       // more indeterminates were needed
    bool unfactored;    // a base may not be prime
    bool undefined;     // a division by zero
    bool live;
};

typedef const struct exact_value *exact_ref;

// ---- arithmetic (exact.c) ----
struct exact_value *exact_new(struct exact_engine *e);    // the rational 0
exact_ref exact_undefined(struct exact_engine *e);        // NULL
exact_ref exact_q(struct exact_engine *e, const fmpq_t q);
exact_ref exact_si(struct exact_engine *e, long n, ulong d);
exact_ref exact_add(struct exact_engine *e, exact_ref a, exact_ref b);
exact_ref exact_sub(struct exact_engine *e, exact_ref a, exact_ref b);
exact_ref exact_mul(struct exact_engine *e, exact_ref a, exact_ref b);
exact_ref exact_div(struct exact_engine *e, exact_ref a, exact_ref b);
exact_ref exact_neg(struct exact_engine *e, exact_ref a);
exact_ref exact_power_si(struct exact_engine *e, exact_ref a, long n);
// num / den of polynomials, which are consumed (left empty).
exact_ref exact_fraction(struct exact_engine *e, fmpz_mpoly_t num, fmpz_mpoly_t den);
bool exact_same(struct exact_engine *e, exact_ref a, exact_ref b);
bool exact_is_si(exact_ref a, long n);
// out = a b; false when that would be too large. out may be a.
bool exact_poly_mul(struct exact_engine *e, fmpz_mpoly_t out, const fmpz_mpoly_t a,
                    const fmpz_mpoly_t b);
bool exact_poly_pow(struct exact_engine *e, fmpz_mpoly_t out, const fmpz_mpoly_t a, ulong n);

// ---- indeterminates (exact_gen.c) ----
// Each returns the value that is this indeterminate.
exact_ref exact_gen_plain(struct exact_engine *e, enum exact_gen_kind kind, uint32_t id);
exact_ref exact_gen_prime(struct exact_engine *e, enum exact_gen_kind kind, const fmpz_t base,
                          uint32_t index);
exact_ref exact_gen_of(struct exact_engine *e, enum exact_gen_kind kind, uint32_t id, size_t n,
                       const exact_ref *arg);
exact_ref exact_gen_power(struct exact_engine *e, const fmpz_t base, exact_ref exponent);
// Puts the relations to use; false when that grows too large.
bool exact_reduce(struct exact_engine *e, fmpz_mpoly_t p);
bool exact_independent(const struct exact_engine *e);
// The value is c times one indeterminate of that kind (to the first power): c.
bool exact_multiple_of(struct exact_engine *e, exact_ref a, enum exact_gen_kind kind, fmpq_t c);
// Does the polynomial hold an indeterminate that is no known positive constant?
bool exact_has_free(const struct exact_engine *e, const fmpz_mpoly_t p);
bool exact_is_positive_term(const struct exact_engine *e, exact_ref a);

// ---- functions (exact_func.c) ----
exact_ref exact_root(struct exact_engine *e, exact_ref a, exact_ref index);
exact_ref exact_power(struct exact_engine *e, exact_ref a, exact_ref b);
exact_ref exact_function(struct exact_engine *e, enum math_func fn, size_t n, const exact_ref *arg);

#endif
