// draw.h: drawing one token from a row, by all threads of its block. Private to score.cu.
//
// Without truncation the CDF is inverted as on the CPU, addition by addition: a vocabulary block, one
// of its pieces of 64, a token (kernels/cpu/vocab.h). Top-k and top-p find
// their threshold by bisection over the order-preserving integer image of x, 32 sums over the row,
// each in one fixed order; such a sum never decreases when the threshold falls, so bisection is
// exact for it. What is kept is a `cut`: every x above the threshold, and those equal to it up to an
// index. The additions are in another order than the CPU's, which can show only where the mass at a
// boundary agrees with the goal to 15 digits.
#ifndef CARAVAN_KERNELS_CUDA_DRAW_H
#define CARAVAN_KERNELS_CUDA_DRAW_H

#include "kernels/cuda/vocab.h"

struct cut {
    uint32_t key;    // tokens with a larger image are kept
    size_t end;      // and those equal to it before this index
};

enum goal { GOAL_COUNT, GOAL_MASS };

// Integers that order like floats; both zeros give the same, NaN sorts below everything.
DEVICE uint32_t order_image(float x)
{
    float y = x + 0.0f;
    if (!(y == y)) {
        return 0;
    }
    uint32_t u = bits_of(y);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

DEVICE bool inside(const struct cut *c, uint32_t key, size_t i)
{
    return key > c->key || (key == c->key && i < c->end);
}

// exp((x - m) / T)
DEVICE double weight_of(const struct row_view *r, size_t i)
{
    const struct vocab_stats *s = &r->m->stats[i / VOCAB_BLOCK];
    if (!(s->max > -INFINITY)) {
        return 0.0;
    }
    double e = (double)exp_f32(vocab_distance(r->x[i], s->max, r->T));
    return r->m->factor[i / VOCAB_BLOCK] * e;
}

// Count or mass of the tokens inside `c` whose image is at least `key`.
DEVICE double measure(const struct row_view *r, const struct cut *c, enum goal kind, uint32_t key)
{
    double sum = 0.0;
    for (size_t i = thread_index(); i < r->V; i += ROW_THREADS) {
        uint32_t k = order_image(r->x[i]);
        if (k >= key && inside(c, k, i)) {
            sum += kind == GOAL_COUNT ? 1.0 : weight_of(r, i);
        }
    }
    return block_sum(r->m, sum);
}

// A thread's share of the vocabulary where order matters.
struct span {
    size_t from, to;
};

DEVICE struct span own_span(const struct row_view *r, size_t thread)
{
    const size_t n = (r->V + ROW_THREADS - 1) / ROW_THREADS;
    struct span s = {thread * n, (thread + 1) * n};
    s.from = s.from < r->V ? s.from : r->V;
    s.to = s.to < r->V ? s.to : r->V;
    return s;
}

// The index of the n-th token (n >= 1) inside `c` whose image is `key`, or of the last one.
DEVICE size_t nth_tie(const struct row_view *r, const struct cut *c, uint32_t key, double n)
{
    const struct span own = own_span(r, thread_index());
    double count = 0.0, before = 0.0;
    for (size_t i = own.from; i < own.to; i++) {
        count += order_image(r->x[i]) == key && inside(c, key, i) ? 1.0 : 0.0;
    }
    sync_block();
    r->m->sum[thread_index()] = count;
    sync_block();
    double all = 0.0;
    for (size_t t = 0; t < ROW_THREADS; t++) {
        before += t < thread_index() ? r->m->sum[t] : 0.0;
        all += r->m->sum[t];
    }
    n = n < all ? n : all;
    if (before < n && n <= before + count) {
        for (size_t i = own.from; i < own.to && before < n; i++) {
            if (order_image(r->x[i]) == key && inside(c, key, i)) {
                before += 1.0;
                r->m->found = i;
            }
        }
    }
    sync_block();
    return r->m->found;
}

// The smallest set of best tokens within `old` whose count or mass reaches the goal (mass: a share
// of what `old` keeps). At least one token.
DEVICE struct cut select_cut(const struct row_view *r, const struct cut *old, enum goal kind,
                             double goal)
{
    const double total = measure(r, old, kind, 0);
    if (!(total > 0.0)) {
        return *old;    // no weight at all: nothing to choose by
    }
    goal = kind == GOAL_MASS ? goal * total : goal;
    goal = goal < total ? goal : total;
    struct cut c = {0, 0};
    for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
        if (measure(r, old, kind, c.key | bit) >= goal) {
            c.key |= bit;
        }
    }
    const double missing = goal - measure(r, old, kind, c.key + 1);
    double ties = missing;
    if (kind == GOAL_MASS) {
        const double each = weight_of(r, nth_tie(r, old, c.key, 1.0));
        ties = each > 0.0 ? ceil(missing / each) : 1.0;
    }
    c.end = nth_tie(r, old, c.key, ties > 1.0 ? ties : 1.0) + 1;
    return c;
}

DEVICE size_t greedy(const struct row_view *r)
{
    uint32_t first = UINT32_MAX;
    for (size_t i = thread_index(); i < r->V && first == UINT32_MAX; i += ROW_THREADS) {
        first = r->x[i] == r->m->max ? (uint32_t)i : first;
    }
    first = block_least(r->m, first);
    return first == UINT32_MAX ? 0 : first;
}

// Narrows a cut to the tokens with x >= m + T log min_p. All ties at the threshold stay.
DEVICE struct cut min_p_cut(const struct row_view *r, struct cut old, float min_p)
{
    const double least = (double)r->m->max + (double)r->T * log_f64((double)min_p);
    uint32_t key = order_image((float)least);
    if ((double)(float)least >= least && key > 0) {
        key--;    // not rounded down below the threshold: a logit equal to it stays
    }
    struct cut c = {key, 0};
    return key >= old.key ? c : old;
}

// Where a draw stands: the weight before the current place, and the one that it looks for. Rounding
// may keep the goal out of reach (beyond): then the last place with weight is taken.
struct mark {
    double sum, goal;
    bool beyond;
};

// The first of n places at which sum + weight passes the goal; SIZE_MAX when none has any weight.
// Place i weighs by[i] times x[i * step], by NULL standing for `factor`.
DEVICE size_t find_place(struct mark *m, size_t n, const double *by, double factor, const float *x,
                         size_t step)
{
    size_t last = SIZE_MAX, i = 0;
    for (; i < n; i++) {
        const float value = x[i * step];
        const double weight = value != 0.0f ? (by != NULL ? by[i] : factor) * (double)value : 0.0;
        if (weight > 0.0) {
            last = i;
            if (!m->beyond && m->sum + weight > m->goal) {
                break;
            }
            m->sum += weight;
        }
    }
    m->beyond = m->beyond || i == n;
    return last;
}

// Sums of the 16 pieces of a block's exponentials, half a warp each.
DEVICE void sum_pieces(struct row_memory *m)
{
    const unsigned piece = thread_index() / LANES, lane = thread_index() % LANES;
    float sum = 0.0f;
    for (unsigned i = lane; i < VOCAB_PIECE; i += LANES) {
        sum += m->e[piece * VOCAB_PIECE + i];
    }
    sum = lanes_sum(sum);
    if (lane == 0) {
        m->piece[piece] = sum;
    }
}

// Inverse CDF over all tokens, by every thread alike; together they form the exponentials.
DEVICE size_t draw_all(const struct row_view *r, float u)
{
    struct row_memory *m = r->m;
    struct mark mark = {0.0, (double)u * m->S, false};
    const size_t step = sizeof *m->stats / sizeof(float);
    const size_t b = find_place(&mark, r->n_blocks, m->factor, 0.0, &m->stats[0].sum, step);
    if (b == SIZE_MAX) {
        return 0;    // NaN logits
    }
    const size_t first = b * VOCAB_BLOCK, left = r->V - first;
    for (size_t i = thread_index(); i < VOCAB_BLOCK; i += ROW_THREADS) {
        const float x = i < left ? r->x[first + i] : -INFINITY;
        m->e[i] = exp_f32(vocab_distance(x, m->stats[b].max, r->T));
    }
    sync_block();
    sum_pieces(m);
    sync_block();
    const double factor = m->factor[b];
    size_t piece = find_place(&mark, VOCAB_PIECES, NULL, factor, m->piece, 1);
    piece = piece != SIZE_MAX ? piece : 0;
    const float *e = m->e + piece * VOCAB_PIECE;
    const size_t i = find_place(&mark, VOCAB_PIECE, NULL, factor, e, 1);
    return first + piece * VOCAB_PIECE + (i != SIZE_MAX ? i : 0);
}

// The token inside `c` at which the sum passes u * total, by one thread. SIZE_MAX: no mass.
DEVICE size_t walk_cut(const struct row_view *r, const struct cut *c, float u)
{
    struct row_memory *m = r->m;
    double total = 0.0, before = 0.0;
    for (size_t t = 0; t < ROW_THREADS; t++) {
        total += m->sum[t];
    }
    m->total = total;
    const double goal = (double)u * total;
    size_t at = SIZE_MAX, token = SIZE_MAX;
    for (size_t t = 0; t < ROW_THREADS && at == SIZE_MAX; t++) {
        at = before + m->sum[t] > goal ? t : SIZE_MAX;
        before += at == SIZE_MAX ? m->sum[t] : 0.0;
    }
    for (size_t t = ROW_THREADS; at == SIZE_MAX && t-- > 0;) {    // rounding: the last with mass
        at = m->sum[t] > 0.0 ? t : SIZE_MAX;
        before -= at == SIZE_MAX ? 0.0 : m->sum[t];
    }
    const struct span s = at == SIZE_MAX ? (struct span){0, 0} : own_span(r, at);
    for (size_t i = s.from; i < s.to; i++) {
        const double w = inside(c, order_image(r->x[i]), i) ? weight_of(r, i) : 0.0;
        if (w > 0.0) {
            token = i;
            before += w;
            if (before > goal) {
                break;
            }
        }
    }
    return token;
}

DEVICE size_t draw_cut(const struct row_view *r, const struct cut *c, float u, float *kept)
{
    struct row_memory *m = r->m;
    const struct span own = own_span(r, thread_index());
    double sum = 0.0;
    for (size_t i = own.from; i < own.to; i++) {
        sum += inside(c, order_image(r->x[i]), i) ? weight_of(r, i) : 0.0;
    }
    sync_block();
    m->sum[thread_index()] = sum;
    sync_block();
    if (thread_index() == 0) {
        m->found = walk_cut(r, c, u);
    }
    sync_block();
    const double share = m->total / m->S;
    *kept = share < 1.0 ? (float)share : 1.0f;
    const size_t token = m->found;
    return token != SIZE_MAX ? token : 0;
}

// The token of one row; *kept: the mass left by truncation. The same for all threads of the block.
DEVICE size_t draw_token(const struct row_view *r, const struct sample_spec *s, float *kept)
{
    *kept = 1.0f;
    if (s->target >= 0) {
        return (size_t)s->target;
    }
    if (s->temperature == 0.0f) {
        return greedy(r);
    }
    struct cut c = {0, SIZE_MAX};
    if (s->top_k > 0 && (size_t)s->top_k < r->V) {
        c = select_cut(r, &c, GOAL_COUNT, (double)s->top_k);
    }
    if (s->top_p < 1.0f) {
        c = select_cut(r, &c, GOAL_MASS, (double)s->top_p);
    }
    if (s->min_p > 0.0f) {
        c = min_p_cut(r, c, s->min_p);
    }
    return c.end == SIZE_MAX ? draw_all(r, s->u) : draw_cut(r, &c, s->u, kept);
}

#endif
