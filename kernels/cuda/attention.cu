// attention.cu: softmax(q K^T) V over index lists, one pass over the keys. The definition that fixes
// the bits is that of kernels/cpu/attention.c and device.h.
//
// A block owns one row and up to HEADS query heads that share a key head, and walks the row's keys
// 64 at a time:
//   scores    half a warp per key: lane i sums elements i, i + 16, …, then the tree
//   softmax   a warp per head: maximum, exponentials, their sum in 16 lanes
//   output    a thread per (head, element): o = o * a, then o = fmaf(p_j, v_j, o) for j in order
// q, o and the probabilities lie in shared memory; K and V are read where they are.

#include "kernels/cuda/attn.h"

struct attn_args {
    struct attn_shape n;
    size_t ldq, ldkv, ldo;
    float scale;
    const float *q, *k, *v;
    struct attn_keys keys;
    float *out, *lse;
};

struct attn_memory {              // of a block, in the dynamic shared memory
    float *q, *o;                 // (heads, D)
    float *p;                     // (heads, 64)
    float *max, *sum, *factor;    // (heads)
};

DEVICE struct attn_memory divide(size_t heads, size_t D)
{
    struct attn_memory m;
    m.q = shared_memory();
    m.o = m.q + heads * D;
    m.p = m.o + heads * D;
    m.max = m.p + heads * KEY_BLOCK;
    m.sum = m.max + heads;
    m.factor = m.sum + heads;
    return m;
}

DEVICE void scores(const struct attn_args *a, const struct attn_block *b,
                   const struct attn_memory *m, const size_t *row, size_t n)
{
    const size_t half = thread_index() / LANES, lane = thread_index() % LANES;
    for (size_t j = half; j < (n + ATTN_HALVES - 1) / ATTN_HALVES * ATTN_HALVES; j += ATTN_HALVES) {
        const float *k = a->k + row[j] * a->ldkv + b->g * a->n.D;
        for (size_t h = 0; h < b->heads; h++) {
            float s = lanes_sum(lane_dot(m->q + h * a->n.D, k, a->n.D, lane)) * a->scale;
            if (lane == 0) {
                m->p[h * KEY_BLOCK + j] = s;
            }
        }
    }
}

// Keys skip..n-1 of the block have weight.
DEVICE void softmax(const struct attn_block *b, const struct attn_memory *m, size_t skip, size_t n)
{
    const size_t lane = thread_index() % WARP;
    for (size_t h = thread_index() / WARP; h < b->heads; h += ATTN_THREADS / WARP) {
        float *p = m->p + h * KEY_BLOCK;
        float s0 = lane >= skip && lane < n ? p[lane] : -INFINITY;
        float s1 = lane + WARP >= skip && lane + WARP < n ? p[lane + WARP] : -INFINITY;
        float top = warp_max(larger(s0, s1));
        top = m->max[h] > top ? m->max[h] : top;
        float factor = exp_f32(m->max[h] - top);
        float e0 = exp_f32(s0 - top), e1 = exp_f32(s1 - top);
        // lane i of the first half: keys i, i + 16, i + 32, i + 48
        float sum = 0.0f + e0;
        sum += shuffle_xor(e0, LANES);
        sum += e1;
        sum += shuffle_xor(e1, LANES);
        sum = lanes_sum(sum);
        p[lane] = e0;
        p[lane + WARP] = e1;
        sync_warp();    // all have read max
        if (lane == 0) {
            m->sum[h] = fmaf(m->sum[h], factor, sum);
            m->max[h] = top;
            m->factor[h] = factor;
        }
    }
}

DEVICE void accumulate(const struct attn_args *a, const struct attn_block *b,
                       const struct attn_memory *m, const size_t *row, size_t skip, size_t n)
{
    const size_t D = a->n.D;
    for (size_t i = thread_index(); i < b->heads * D; i += ATTN_THREADS) {
        const float *p = m->p + i / D * KEY_BLOCK, *v = a->v + b->g * D + i % D;
        float o = m->o[i] * m->factor[i / D];
        UNROLL
        for (size_t j = skip; j < n; j++) {
            o = fmaf(p[j], v[row[j] * a->ldkv], o);
        }
        m->o[i] = o;
    }
}

KERNEL(attention, struct attn_args, ATTN_THREADS)
{
    SHARED size_t row[KEY_BLOCK];
    const struct attn_block b = attn_block(&a->n, block_index());
    const struct attn_memory m = divide(b.heads, a->n.D);
    const size_t D = a->n.D, tid = thread_index(), at = b.h * D;
    const int32_t *list = a->keys.kv_index + a->keys.kv_off[b.r];
    const size_t len = (size_t)a->keys.kv_len[b.r];
    for (size_t i = tid; i < b.heads * D; i += ATTN_THREADS) {
        m.q[i] = a->q[b.r * a->ldq + at + i];
        m.o[i] = 0.0f;
    }
    if (tid < b.heads) {
        m.max[tid] = -INFINITY;
        m.sum[tid] = 0.0f;
    }
    const size_t seen = attn_first(&a->keys, len);
    for (size_t first = seen / KEY_BLOCK * KEY_BLOCK; first < len; first += KEY_BLOCK) {
        const size_t n = attn_load_rows(list, first, len, row);
        const size_t skip = seen > first ? seen - first : 0;
        scores(a, &b, &m, row, n);
        sync_block();
        softmax(&b, &m, skip, n);
        sync_block();
        accumulate(a, &b, &m, row, skip, n);
        sync_block();
    }
    for (size_t i = tid; i < b.heads * D; i += ATTN_THREADS) {
        a->out[b.r * a->ldo + at + i] = m.o[i] / m.sum[i / D];
    }
    if (a->lse != NULL && tid < b.heads) {
        a->lse[b.r * a->n.H + b.h + tid] =
            (float)((double)m.max[tid] + log_f64((double)m.sum[tid]));
    }
}

void cuda_attention(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                    const float *q, size_t ldq, const float *k, const float *v, size_t ldkv,
                    const struct attn_keys *keys, float *out, size_t ldo, float *lse)
{
    struct attn_args a = {attn_shape(H, G, D), ldq, ldkv, ldo, scale, q, k, v, *keys, out, lse};
    size_t shared = a.n.most * (2 * D + KEY_BLOCK + 3) * sizeof(float);
    LAUNCH(cuda_of(d), attention, R * G * a.n.parts, ATTN_THREADS, shared, a);
}
