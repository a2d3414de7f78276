// vocab.h: from logits to probabilities: what sample.c and head.c, which form the logits in
// different ways, do to them. Private to kernels/cpu.
//
// In vocabulary blocks of 1024: block max of the logits, then with d = (x - max) / T the sums of
// exp(d) and of exp(d) d in 16 lanes; then, in double and in the order of the blocks, everything
// relative to the row's max m:
//     S = sum exp((x - m) / T);  A = sum exp((x - m) / T) (x - m) / T
//     lse = m / T + log S;  logp = (x[token] - m) / T - log S;  entropy = log S - A / S
// The subtraction comes before the division because it is exact where it matters: adding a constant
// to all logits then costs no accuracy.
//
// A draw inverts the CDF in vocabulary order, in three steps: a block by the blocks' sums, one of
// its pieces of 64 by the pieces' sums, a token of the piece. Whoever does not keep the logits needs
// only the sums and, at the end, the 64 logits of one piece again.
//
// Logits that are NaN leave no weight anywhere; then token 0 is taken, with a log-prob of NaN.
#ifndef CARAVAN_KERNELS_CPU_VOCAB_H
#define CARAVAN_KERNELS_CPU_VOCAB_H

#include "kernels/cpu/mathfun.h"
#include "kernels/cpu/ops.h"

struct vocab_row {
    size_t V, n_blocks;
    float T;
    const struct vocab_stats *stats;    // (n_blocks)
    float max;
    double S, A;
};

static inline size_t vocab_block_len(size_t V, size_t b)
{
    return MIN(V - b * VOCAB_BLOCK, (size_t)VOCAB_BLOCK);
}

// t = x for n <= 1024 elements, padded with -inf to a multiple of 16. Returns the largest.
static inline float vocab_load(const float *x, size_t n, float *t)
{
    v16 max = v16_set1(-INFINITY);
    for (size_t i = 0; i < n; i += LANES) {
        v16 v = v16_load_fill(x + i, MIN(n - i, (size_t)LANES), -INFINITY);
        v16_store(t + i, v);
        max = v16_max(max, v);
    }
    return v16_hmax(max);
}

// exp(d) in place, d = (t - s->max) / T; d is kept away from -inf so that 0 * d stays 0. Sets the
// two sums of s, and those of the pieces unless pieces is NULL.
static inline void vocab_exp(float *t, size_t n, float T, struct vocab_stats *s, float *pieces)
{
    v16 max = v16_set1(s->max), far = v16_set1(-200.0f), vT = v16_set1(T);
    v16 sum = v16_zero(), dot = v16_zero();
    for (size_t first = 0; first < n; first += VOCAB_PIECE) {
        v16 piece = v16_zero();
        for (size_t i = first; i < MIN(n, first + VOCAB_PIECE); i += LANES) {
            v16 d = v16_max(far, v16_div(v16_sub(v16_load(t + i), max), vT));
            v16 e = v16_exp(d);
            v16_store(t + i, e);
            sum = v16_add(sum, e);
            piece = v16_add(piece, e);
            dot = v16_fma(e, d, dot);
        }
        if (pieces != NULL) {
            pieces[first / VOCAB_PIECE] = v16_sum(piece);
        }
    }
    s->sum = v16_sum(sum);
    s->dot = v16_sum(dot);
}

// Of the n logits x of one block; t (1024) = exp(d) where there is weight. pieces as above.
static inline struct vocab_stats vocab_block_stats(const float *x, size_t n, float T, float *t,
                                                   float *pieces)
{
    struct vocab_stats s = {.max = vocab_load(x, n, t)};
    if (s.max > -INFINITY) {
        vocab_exp(t, n, T, &s, pieces);
    } else if (s.max != -INFINITY) {
        s.sum = s.dot = NAN;
    }
    return s;
}

// The weight of block b's elements in terms of the row's max.
static inline double vocab_factor(const struct vocab_row *r, size_t b)
{
    return (double)mathfun_exp((r->stats[b].max - r->max) / r->T);
}

// Combines the blocks' statistics.
static inline struct vocab_row vocab_row(size_t V, float T, const struct vocab_stats *stats)
{
    struct vocab_row r = {.V = V, .n_blocks = cpu_div_up(V, VOCAB_BLOCK), .T = T, .stats = stats};
    r.max = -INFINITY;
    for (size_t b = 0; b < r.n_blocks; b++) {
        r.max = stats[b].max > r.max ? stats[b].max : r.max;
    }
    for (size_t b = 0; b < r.n_blocks; b++) {
        const struct vocab_stats *s = &stats[b];
        if (s->sum != 0.0f) {
            double f = vocab_factor(&r, b);
            r.S += f * (double)s->sum;
            r.A += f * ((double)s->dot + (double)s->sum * (double)((s->max - r.max) / r.T));
        }
    }
    return r;
}

static inline double vocab_lse(const struct vocab_row *r)
{
    return (double)r->max / (double)r->T + mathfun_log(r->S);
}

// Of a token with logit x.
static inline float vocab_logp(const struct vocab_row *r, float x)
{
    double d = ((double)x - (double)r->max) / (double)r->T;
    return (float)(d - mathfun_log(r->S));
}

static inline float vocab_entropy(const struct vocab_row *r)
{
    double h = mathfun_log(r->S) - r->A / r->S;
    return h < 0.0 ? 0.0f : (float)h;
}

// ---- drawing
// Where the draw stands: the weight before the current place, and the one that it looks for.
// Rounding may keep the goal out of reach (`beyond`): then the last place with weight is taken.
struct vocab_mark {
    size_t block, piece;
    double sum, goal;
    bool beyond;
};

// The first of n places at which sum + weight passes the goal; SIZE_MAX when none has any weight.
#define VOCAB_FIND(mark, n, WEIGHT)                                                                \
    size_t last = SIZE_MAX, i = 0;                                                                 \
    for (; i < (n); i++) {                                                                         \
        double weight = (WEIGHT);                                                                  \
        if (weight > 0.0) {                                                                        \
            last = i;                                                                              \
            if (!(mark)->beyond && (mark)->sum + weight > (mark)->goal) {                          \
                break;                                                                             \
            }                                                                                      \
            (mark)->sum += weight;                                                                 \
        }                                                                                          \
    }                                                                                              \
    (mark)->beyond = (mark)->beyond || i == (n)

// False: no block has any weight.
static inline bool vocab_find_block(const struct vocab_row *r, float u, struct vocab_mark *m)
{
    *m = (struct vocab_mark){.goal = (double)u * r->S};
    VOCAB_FIND(m, r->n_blocks,
               r->stats[i].sum != 0.0f ? vocab_factor(r, i) * (double)r->stats[i].sum : 0.0);
    m->block = last;
    return last != SIZE_MAX;
}

// pieces: the sums of the marked block.
static inline void vocab_find_piece(const struct vocab_row *r, const float *pieces,
                                    struct vocab_mark *m)
{
    double factor = vocab_factor(r, m->block);
    size_t n = cpu_div_up(vocab_block_len(r->V, m->block), VOCAB_PIECE);
    VOCAB_FIND(m, n, factor * (double)pieces[i]);
    m->piece = last != SIZE_MAX ? last : 0;
}

// e: exp(d) of the n tokens of the marked piece. Returns the token's index in it.
static inline size_t vocab_find_token(const struct vocab_row *r, const float *e, size_t n,
                                      struct vocab_mark *m)
{
    double factor = vocab_factor(r, m->block);
    VOCAB_FIND(m, n, factor * (double)e[i]);
    return last != SIZE_MAX ? last : 0;
}

#undef VOCAB_FIND

#endif
