// attention_backward.c: gradients of attention, probabilities recomputed block by block from the
// saved log-sum-exp.
//
//     p_j = exp(s_j - lse);  dp_j = dout . v_j;  ds_j = p_j * (dp_j - dout . out) * scale
//     dq = sum_j ds_j k_j;   dk_j += sum over queries ds_j q;   dv_j += sum over queries p_j dout
//
// dk and dv rows are shared between queries, so a task must own the rows it adds to: it owns one
// key head of one *component*, a run of rows whose lists touch no key row of the others (in a
// training batch: one group of completions with its prompt). Inside, queries are taken in the order
// of rows, then heads, so an element's additions come in one order however the batch falls into
// components, and no T x T matrix is ever held.

#include "kernels/cpu/attn.h"

enum { COMPONENTS_MAX = 256 };

struct component {
    size_t first, end;    // batch rows
    int32_t low, high;    // key rows they touch lie in low..high
};

struct back_args {
    size_t R, H, G, D, ldq, ldkv, ldo, lddq, lddkv;
    float scale;
    const float *q, *k, *v, *out, *dout, *lse;
    const struct attn_keys *keys;
    float *dq, *dk, *dv;
    size_t n_components;
    struct component component[COMPONENTS_MAX];
};

struct back_tile {
    size_t n;    // queries
    const float *q[TILE_QUERIES], *dout[TILE_QUERIES];
    float *dq[TILE_QUERIES];
    float lse[TILE_QUERIES], delta[TILE_QUERIES];
    size_t seen[TILE_QUERIES], len[TILE_QUERIES];    // keys seen .. len - 1
    // by key, then query: the coefficients that dv and dk sum over
    float p[KEY_BLOCK][TILE_QUERIES], ds[KEY_BLOCK][TILE_QUERIES];
};

static float dot(const float *x, const float *y, size_t D)
{
    v16 acc = v16_zero();
    for (size_t i = 0; i < D; i += LANES) {
        size_t n = MIN(D - i, (size_t)LANES);
        acc = v16_fma(v16_load_n(x + i, n), v16_load_n(y + i, n), acc);
    }
    return v16_sum(acc);
}

// Query i against n keys: fills column i of p and ds (zeros for keys it does not see) and adds to
// its dq.
static void query_block(const struct back_args *a, struct back_tile *t, size_t i, const float **k,
                        const float **v, size_t first, size_t n)
{
    float p[KEY_BLOCK], ds[KEY_BLOCK];
    size_t own = t->len[i] > first ? MIN(n, t->len[i] - first) : 0;
    size_t skip = t->seen[i] > first ? MIN(own, t->seen[i] - first) : 0;
    v16 scale = v16_set1(a->scale), lse = v16_set1(t->lse[i]), delta = v16_set1(t->delta[i]);
    for (size_t j = skip / LANES * LANES; j < own; j += LANES) {
        v16 s = v16_mul(attn_dots16(t->q[i], k + j, a->D), scale);
        v16 e = v16_exp(v16_sub(s, lse));
        v16 dp = attn_dots16(t->dout[i], v + j, a->D);
        v16_store(p + j, e);
        v16_store(ds + j, v16_mul(v16_mul(e, v16_sub(dp, delta)), scale));
    }
    attn_weighted_sum(t->dq[i], own - skip, ds + skip, k + skip, a->D);
    for (size_t j = 0; j < n; j++) {
        bool seen = j >= skip && j < own;
        t->p[j][i] = seen ? p[j] : 0.0f;
        t->ds[j][i] = seen ? ds[j] : 0.0f;
    }
}

static void run_tile(const struct back_args *a, struct back_tile *t, size_t g, const int32_t *list,
                     size_t longest)
{
    const float *k[KEY_BLOCK], *v[KEY_BLOCK];
    size_t start = attn_block(longest);
    for (size_t i = 0; i < t->n; i++) {
        start = MIN(start, attn_block(t->seen[i]));
    }
    for (size_t first = start; first < longest; first += KEY_BLOCK) {
        size_t n = MIN(longest - first, (size_t)KEY_BLOCK);
        attn_rows(k, a->k + g * a->D, a->ldkv, list, first, n);
        attn_rows(v, a->v + g * a->D, a->ldkv, list, first, n);
        for (size_t i = 0; i < t->n; i++) {
            query_block(a, t, i, k, v, first, n);
        }
        for (size_t j = 0; j < n; j++) {
            size_t row = (size_t)list[first + j] * a->lddkv + g * a->D;
            attn_weighted_sum(a->dk + row, t->n, t->ds[j], t->q, a->D);
            attn_weighted_sum(a->dv + row, t->n, t->p[j], t->dout, a->D);
        }
    }
    t->n = 0;
}

static void add_query(const struct back_args *a, struct back_tile *t, size_t r, size_t h)
{
    size_t i = t->n++;
    const float *out = a->out + r * a->ldo + h * a->D;
    t->q[i] = a->q + r * a->ldq + h * a->D;
    t->dout[i] = a->dout + r * a->ldo + h * a->D;
    t->dq[i] = a->dq + r * a->lddq + h * a->D;
    t->lse[i] = a->lse[r * a->H + h];
    t->delta[i] = dot(t->dout[i], out, a->D);
    t->len[i] = (size_t)a->keys->kv_len[r];
    t->seen[i] = attn_first(a->keys, t->len[i]);
    memset(t->dq[i], 0, a->D * sizeof(float));
}

static void task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct back_args *a = arg;
    const struct component *c = &a->component[chunk / a->G];
    size_t g = chunk % a->G, share = a->H / a->G;
    struct back_tile t;
    t.n = 0;
    for (size_t first = c->first, end; first < c->end; first = end) {
        size_t longest = attn_run(a->keys, first, c->end, &end);
        const int32_t *list = a->keys->kv_index + a->keys->kv_off[first];
        for (size_t i = 0; i < (end - first) * share; i++) {
            add_query(a, &t, first + i / share, g * share + i % share);
            if (t.n == TILE_QUERIES) {
                run_tile(a, &t, g, list, longest);
            }
        }
        if (t.n > 0) {
            run_tile(a, &t, g, list, longest);
        }
    }
}

// Cuts the rows into components: a run of rows joins every earlier one whose range of key rows it
// meets, and all between.
static void find_components(struct back_args *a)
{
    const struct attn_keys *keys = a->keys;
    size_t n = 0;
    for (size_t first = 0, end; first < a->R; first = end) {
        size_t longest = attn_run(keys, first, a->R, &end);
        const int32_t *list = keys->kv_index + keys->kv_off[first];
        struct component c = {first, end, list[0], list[0]};
        for (size_t j = 1; j < longest; j++) {
            c.low = MIN(c.low, list[j]);
            c.high = MAX(c.high, list[j]);
        }
        size_t keep = 0;
        while (keep < n && (a->component[keep].high < c.low || a->component[keep].low > c.high)) {
            keep++;
        }
        if (keep == COMPONENTS_MAX) {
            keep--;    // full: the last one takes the rest
        }
        for (size_t i = keep; i < n; i++) {
            c.first = MIN(c.first, a->component[i].first);
            c.low = MIN(c.low, a->component[i].low);
            c.high = MAX(c.high, a->component[i].high);
        }
        a->component[keep] = c;
        n = keep + 1;
    }
    a->n_components = n;
}

void OP(attention_backward)(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                            const float *q, size_t ldq, const float *k, const float *v, size_t ldkv,
                            const struct attn_keys *keys, const float *out, const float *dout,
                            size_t ldo, const float *lse, float *dq, size_t lddq, float *dk,
                            float *dv, size_t lddkv)
{
    CHECK(G > 0 && H % G == 0);
    struct back_args a = {.R = R, .H = H, .G = G, .D = D, .ldq = ldq, .ldkv = ldkv, .ldo = ldo};
    a.lddq = lddq;
    a.lddkv = lddkv;
    a.scale = scale;
    a.q = q;
    a.k = k;
    a.v = v;
    a.out = out;
    a.dout = dout;
    a.lse = lse;
    a.keys = keys;
    a.dq = dq;
    a.dk = dk;
    a.dv = dv;
    find_components(&a);
    cpu_run(d, a.n_components * G, task, &a);
}
