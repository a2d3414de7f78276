// attn.h: how attention is cut into blocks, forward and backward. Private to kernels/cuda/.
//
// A block takes one row (or key row) and some of the query heads that share a key head: all of them
// where they are few, parts of at most HEADS where they are many, so that shared memory has a bound.
#ifndef CARAVAN_KERNELS_CUDA_ATTN_H
#define CARAVAN_KERNELS_CUDA_ATTN_H

#include "kernels/cuda/math.h"
#include "kernels/cuda/ops.h"

enum {
    KEY_BLOCK = 64,    // keys per softmax block (normative, device.h)
    ATTN_THREADS = 128,
    ATTN_HALVES = ATTN_THREADS / LANES,
    ATTN_HEADS = 8,      // query heads of a block, at most
    ATTN_MAX_D = 512,    // 8 heads * (3 * 512 + 2 * 64) floats stay under 64 KB … see attn_shape
};

struct attn_shape {
    size_t H, G, D;
    size_t share;    // query heads per key head
    size_t parts;    // blocks that a key head's query heads are cut into
    size_t most;     // heads of a block
};

static inline struct attn_shape attn_shape(size_t H, size_t G, size_t D)
{
    CHECK(G > 0 && H % G == 0 && D > 0 && D <= ATTN_MAX_D);
    struct attn_shape n = {H, G, D, H / G, 0, 0};
    size_t room = 12000 / (3 * D + 2 * KEY_BLOCK + 3);    // floats: under 48 KB in every kernel
    n.most = room < ATTN_HEADS ? room : ATTN_HEADS;
    n.parts = div_up(n.share, n.most);
    n.most = div_up(n.share, n.parts);
    return n;
}

struct attn_block {
    size_t r, g, h, heads;    // row, key head, first query head and how many
};

DEVICE struct attn_block attn_block(const struct attn_shape *n, size_t block)
{
    struct attn_block b;
    size_t part = block % n->parts, left = n->share - part * n->most;
    b.g = block / n->parts % n->G;
    b.r = block / n->parts / n->G;
    b.h = b.g * n->share + part * n->most;
    b.heads = left < n->most ? left : n->most;
    return b;
}

// The first key that a row with len keys sees.
DEVICE size_t attn_first(const struct attn_keys *keys, size_t len)
{
    const size_t window = (size_t)keys->window;
    return window > 0 && len > window ? len - window : 0;
}

// The key rows of a list from `first` on, up to 64, into shared memory; past the end the last one is
// repeated. Returns how many there are. All threads of a block.
DEVICE size_t attn_load_rows(const int32_t *list, size_t first, size_t len, size_t *row)
{
    const size_t n = len - first < KEY_BLOCK ? len - first : KEY_BLOCK, j = thread_index();
    if (j < KEY_BLOCK) {
        row[j] = (size_t)list[first + (j < n ? j : n - 1)];
    }
    sync_block();
    return n;
}

#endif
