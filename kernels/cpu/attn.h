// attn.h: which keys a row sees, as both passes of attention walk them. Private to attention.c and
// attention_backward.c.
//
// Keys come through index lists and need not lie side by side; they are taken in blocks of 64
// positions of a list, from position 0 on.
#ifndef CARAVAN_KERNELS_CPU_ATTN_H
#define CARAVAN_KERNELS_CPU_ATTN_H

#include "kernels/cpu/mathfun.h"
#include "kernels/cpu/ops.h"

enum {
    KEY_BLOCK = 64,       // keys per softmax block (normative, device.h)
    TILE_QUERIES = 48,    // (row, head) pairs that go through a key block together
    TILE_ROWS = 16,
};

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
