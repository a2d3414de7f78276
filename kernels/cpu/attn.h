// attn.h: the two inner products of attention, over rows that are found through pointers. Private
// to attention.c and attention_backward.c.
//
// In: one query row and 16 pointers to key (or value) rows, which index lists chose and which need
// not lie side by side. The order of operations is the normative one of device.h: 16 lanes over D,
// then the fixed tree. D may be any size; 64 has a path of its own because most models have it.
//
// Compiled once for each instruction set, as everything that includes vec.h.
#ifndef CARAVAN_KERNELS_CPU_ATTN_H
#define CARAVAN_KERNELS_CPU_ATTN_H

#include "kernels/cpu/mathfun.h"
#include "kernels/cpu/ops.h"

enum {
    KEY_BLOCK = 64,       // keys per softmax block (normative, device.h)
    TILE_QUERIES = 48,    // (row, head) pairs that go through a key block together
    TILE_ROWS = 16,
};

// s[j] = q . k[j], j = 0..15: per key 16 lanes over D, then the tree.
static inline v16 attn_dots16(const float *q, const float *const k[16], size_t D)
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
static inline void attn_weighted_sum(float *acc, size_t n, const float *coef,
                                     const float *const *row, size_t D)
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

static inline void attn_scale(float *acc, float factor, size_t D)
{
    v16 f = v16_set1(factor);
    for (size_t i = 0; i < D; i += LANES) {
        size_t m = D - i < LANES ? D - i : LANES;
        v16_store_n(acc + i, v16_mul(v16_load_n(acc + i, m), f), m);
    }
}

// Rows first..*end-1 (at most TILE_ROWS, before limit) share one key list; returns their longest
// kv_len.
static inline size_t attn_run(const struct attn_keys *keys, size_t first, size_t limit, size_t *end)
{
    size_t longest = 0, r = first;
    for (; r < limit && r < first + TILE_ROWS && keys->kv_off[r] == keys->kv_off[first]; r++) {
        CHECK(keys->kv_len[r] >= 1);
        longest = MAX(longest, (size_t)keys->kv_len[r]);
    }
    *end = r;
    return longest;
}

// The first key that a row with len keys sees.
static inline size_t attn_first(const struct attn_keys *keys, size_t len)
{
    size_t window = (size_t)keys->window;
    return window > 0 && len > window ? len - window : 0;
}

// The first position of the key block that position p lies in.
static inline size_t attn_block(size_t p)
{
    return p / KEY_BLOCK * KEY_BLOCK;
}

// Where the n keys from position `first` of a list start in k or v. Up to a multiple of 16 the last
// one is repeated, so that blocks of 16 may be read.
static inline void attn_rows(const float **p, const float *base, size_t ld, const int32_t *list,
                             size_t first, size_t n)
{
    for (size_t j = 0; j < (n + LANES - 1) / LANES * LANES; j++) {
        p[j] = base + (size_t)list[first + MIN(j, n - 1)] * ld;
    }
}

#endif
