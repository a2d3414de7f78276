// attention.c: softmax(q K^T) V over index lists, one pass over the keys.
//
// The definition, per row and head, that fixes the bits (device.h): keys in blocks of 64 from
// position 0 of the row's list;
//     s_j = scale * (q . k_j);  m' = max(m, max_j s_j);  a = exp(m - m');  p_j = exp(s_j - m')
//     l = fmaf(l, a, sum_j p_j), that sum in 16 lanes
//     o = o * a, then for j in order o = fmaf(p_j, v_j, o)
// and at the end out = o / l, lse = m + log(l). `out` itself is the accumulator.
//
// Speed comes from reading a block of keys for as many queries as possible: rows that share a list
// (a prefill, a training sequence) and the H / G heads that share a key head go through it
// together, up to 48 at a time, while its 16 + 16 KB (D = 64) stay in L1. A task is a run of rows
// with all key heads, whose keys lie side by side in memory, or, of few rows, with one of them.

#include "kernels/cpu/attn.h"

struct attn_args {
    size_t R, H, G, D, ldq, ldkv, ldo;
    size_t split;    // a task: some rows, and all key heads (split 1) or one (split G)
    struct cpu_cut rows;
    float scale;
    const float *q, *k, *v;
    const struct attn_keys *keys;
    float *out, *lse;
};

struct query {
    const float *q;
    float *out;
    float *lse;
    size_t first, len;    // it sees keys first .. len - 1
    float max, sum;
};

// ---- inner products over rows that are found through pointers
//
// D may be any size; 64 has a path of its own because most models have it.

// s[j] = q . k[j], j = 0..15: per key 16 lanes over D, then the tree.
static inline v16 dots16(const float *q, const float *const k[16], size_t D)
{
    v16 acc[16];
    if (D == 64) {
        const v16 q0 = v16_load(q), q1 = v16_load(q + 16);
        const v16 q2 = v16_load(q + 32), q3 = v16_load(q + 48);
        for (size_t j = 0; j < 16; j++) {
            v16 a = v16_fma(q0, v16_load(k[j]), v16_zero());
            a = v16_fma(q1, v16_load(k[j] + 16), a);
            a = v16_fma(q2, v16_load(k[j] + 32), a);
            acc[j] = v16_fma(q3, v16_load(k[j] + 48), a);
        }
        return v16_sum16(acc);
    }
    for (size_t j = 0; j < 16; j++) {
        v16 a = v16_zero();
        size_t i = 0;
        for (; i + LANES <= D; i += LANES) {
            a = v16_fma(v16_load(q + i), v16_load(k[j] + i), a);
        }
        if (i < D) {
            a = v16_fma(v16_load_n(q + i, D - i), v16_load_n(k[j] + i, D - i), a);
        }
        acc[j] = a;
    }
    return v16_sum16(acc);
}

// acc[d] = fmaf(coef[j], row[j][d], acc[d]) for j = 0..n-1 in order.
static void weighted_sum(float *acc, size_t n, const float *coef, const float *const *row, size_t D)
{
    size_t i = 0;
    for (; i + 64 <= D; i += 64) {
        v16 a0 = v16_load(acc + i), a1 = v16_load(acc + i + 16);
        v16 a2 = v16_load(acc + i + 32), a3 = v16_load(acc + i + 48);
        for (size_t j = 0; j < n; j++) {
            const v16 c = v16_set1(coef[j]);
            const float *p = row[j] + i;
            a0 = v16_fma(c, v16_load(p), a0);
            a1 = v16_fma(c, v16_load(p + 16), a1);
            a2 = v16_fma(c, v16_load(p + 32), a2);
            a3 = v16_fma(c, v16_load(p + 48), a3);
        }
        v16_store(acc + i, a0);
        v16_store(acc + i + 16, a1);
        v16_store(acc + i + 32, a2);
        v16_store(acc + i + 48, a3);
    }
    for (; i < D; i += LANES) {
        size_t m = D - i < LANES ? D - i : LANES;
        v16 a = v16_load_n(acc + i, m);
        for (size_t j = 0; j < n; j++) {
            a = v16_fma(v16_set1(coef[j]), v16_load_n(row[j] + i, m), a);
        }
        v16_store_n(acc + i, a, m);
    }
}

static void scale_by(float *acc, float factor, size_t D)
{
    v16 f = v16_set1(factor);
    for (size_t i = 0; i < D; i += LANES) {
        size_t m = D - i < LANES ? D - i : LANES;
        v16_store_n(acc + i, v16_mul(v16_load_n(acc + i, m), f), m);
    }
}

// ---- a query and a block of keys

// Scores of keys skip .. n - 1 of a block (n <= 64), in place of s, from the 16 that skip lies in;
// the others there become -inf. Returns their maximum.
static float block_scores(const struct attn_args *a, const float *q, const float **k, size_t skip,
                          size_t n, float *s)
{
    v16 scale = v16_set1(a->scale);
    v16 max = v16_set1(-INFINITY);
    for (size_t j = skip / LANES * LANES; j < n; j += LANES) {
        v16 t = v16_mul(dots16(q, k + j, a->D), scale);
        if (n - j < LANES) {
            v16_store(s + j, t);
            t = v16_load_fill(s + j, n - j, -INFINITY);
        }
        v16_store(s + j, t);
        if (skip > j) {
            for (size_t i = j; i < skip; i++) {
                s[i] = -INFINITY;
            }
            t = v16_load(s + j);
        }
        max = v16_max(max, t);
    }
    return v16_hmax(max);
}

static void query_block(const struct attn_args *a, struct query *q, const float **k,
                        const float **v, size_t skip, size_t n)
{
    float p[KEY_BLOCK];
    float m = block_scores(a, q->q, k, skip, n, p);
    m = q->max > m ? q->max : m;
    float factor = mathfun_exp(q->max - m);
    v16 vm = v16_set1(m), sum = v16_zero();
    for (size_t j = skip / LANES * LANES; j < n; j += LANES) {
        v16 e = v16_exp(v16_sub(v16_load(p + j), vm));
        v16_store(p + j, e);
        sum = v16_add(sum, e);
    }
    q->sum = fmaf(q->sum, factor, v16_sum(sum));
    q->max = m;
    scale_by(q->out, factor, a->D);
    weighted_sum(q->out, n - skip, p + skip, v + skip, a->D);
}

static void tile(const struct attn_args *a, struct query *q, size_t n_queries, size_t g,
                 const int32_t *list, size_t longest)
{
    const float *k[KEY_BLOCK], *v[KEY_BLOCK];
    size_t start = attn_block(longest);
    for (size_t i = 0; i < n_queries; i++) {
        start = MIN(start, attn_block(q[i].first));
    }
    for (size_t first = start; first < longest; first += KEY_BLOCK) {
        size_t n = MIN(longest - first, (size_t)KEY_BLOCK);
        attn_rows(k, a->k + g * a->D, a->ldkv, list, first, n);
        attn_rows(v, a->v + g * a->D, a->ldkv, list, first, n);
        for (size_t i = 0; i < n_queries; i++) {
            if (q[i].len > first && q[i].first < first + n) {
                size_t skip = q[i].first > first ? q[i].first - first : 0;
                query_block(a, &q[i], k, v, skip, MIN(n, q[i].len - first));
            }
        }
    }
    for (size_t i = 0; i < n_queries; i++) {
        v16 l = v16_set1(q[i].sum);
        for (size_t d = 0; d < a->D; d += LANES) {
            size_t m = MIN(a->D - d, (size_t)LANES);
            v16_store_n(q[i].out + d, v16_div(v16_load_n(q[i].out + d, m), l), m);
        }
        if (q[i].lse != NULL) {
            *q[i].lse = (float)((double)q[i].max + mathfun_log((double)q[i].sum));
        }
    }
}

// Rows first .. end - 1, which share a list, for key head g.
static void run(const struct attn_args *a, size_t first, size_t end, size_t longest, size_t g)
{
    struct query q[TILE_QUERIES];
    const int32_t *list = a->keys->kv_index + a->keys->kv_off[first];
    size_t n = 0, share = a->H / a->G;
    for (size_t i = 0; i < (end - first) * share; i++) {
        size_t r = first + i / share, h = g * share + i % share;
        float *out = a->out + r * a->ldo + h * a->D;
        memset(out, 0, a->D * sizeof *out);
        q[n++] = (struct query){.q = a->q + r * a->ldq + h * a->D,
                                .out = out,
                                .lse = a->lse != NULL ? a->lse + r * a->H + h : NULL,
                                .first = attn_first(a->keys, (size_t)a->keys->kv_len[r]),
                                .len = (size_t)a->keys->kv_len[r],
                                .max = -INFINITY};
        if (n == TILE_QUERIES || i + 1 == (end - first) * share) {
            tile(a, q, n, g, list, longest);
            n = 0;
        }
    }
}

static void task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct attn_args *a = arg;
    size_t heads = a->G / a->split, begin = chunk % a->split * heads;
    size_t first = cpu_cut_start(&a->rows, chunk / a->split);
    size_t limit = cpu_cut_start(&a->rows, chunk / a->split + 1);
    while (first < limit) {
        size_t end, longest = attn_run(a->keys, first, limit, &end);
        for (size_t g = begin; g < begin + heads; g++) {
            run(a, first, end, longest, g);
        }
        first = end;
    }
}

void OP(attention)(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                   const float *q, size_t ldq, const float *k, const float *v, size_t ldkv,
                   const struct attn_keys *keys, float *out, size_t ldo, float *lse)
{
    CHECK(G > 0 && H % G == 0);
    struct attn_args a = {.R = R, .H = H, .G = G, .D = D, .ldq = ldq, .ldkv = ldkv, .ldo = ldo};
    a.scale = scale;
    a.q = q;
    a.k = k;
    a.v = v;
    a.keys = keys;
    a.out = out;
    a.lse = lse;
    size_t tasks = 4 * (size_t)pool_threads(d->pool);
    a.split = R >= tasks ? 1 : G;
    size_t most = MIN(MAX(R * a.split / tasks, (size_t)1), (size_t)TILE_ROWS);
    a.rows = cpu_cut_plan(d, R, most == TILE_ROWS ? most : 1, most);
    cpu_run(d, a.rows.tasks * a.split, task, &a);
}
