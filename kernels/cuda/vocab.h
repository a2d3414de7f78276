// vocab.h: what score.cu and sample.cu share: the state of one row of logits in its block, sums over
// a block's threads, and the entry to drawing. Private to kernels/cuda/.
//
// A block of ROW_THREADS threads owns a row. Its shared memory holds the statistics of the row's
// vocabulary blocks (kernels/cpu/vocab.h explains them) and, while a token is drawn, the
// exponentials of one vocabulary block.
#ifndef CARAVAN_KERNELS_CUDA_VOCAB_H
#define CARAVAN_KERNELS_CUDA_VOCAB_H

#include "kernels/cuda/math.h"
#include "kernels/cuda/ops.h"

enum { VOCAB_PIECE = 64, VOCAB_PIECES = 16 };    // VOCAB_BLOCK / VOCAB_PIECE
enum { ROW_THREADS = 256, MAX_BLOCKS = 1024 /* DEVICE_MAX_VOCAB / VOCAB_BLOCK */ };

struct vocab_stats {    // of one block of logits x
    float max;          // block max; -inf: the block has no weight
    float sum;          // of exp(d), d = (x - max) / T
    float dot;          // of exp(d) d
};

struct row_memory {
    struct vocab_stats stats[MAX_BLOCKS];
    double factor[MAX_BLOCKS];    // exp((block max - row max) / T)
    double sum[ROW_THREADS];      // of reductions
    uint32_t least[ROW_THREADS];
    float e[VOCAB_BLOCK], piece[VOCAB_PIECES];
    // the row
    float max;
    double S, A;
    // what one thread found for all
    size_t found;
    double total, kept;
};

struct row_view {
    const float *x;    // logits (V)
    size_t V, n_blocks;
    float T;
    struct row_memory *m;
};

// d = (x - max) / T, kept away from -inf so that 0 * d stays 0.
DEVICE float vocab_distance(float x, float max, float T)
{
    return larger(-200.0f, (x - max) / T);
}

// Sum over the threads of a block, in one fixed tree; the same for all of them.
DEVICE double block_sum(struct row_memory *m, double v)
{
    const unsigned tid = thread_index();
    sync_block();
    m->sum[tid] = v;
    for (unsigned n = ROW_THREADS / 2; n > 0; n /= 2) {
        sync_block();
        if (tid < n) {
            m->sum[tid] += m->sum[tid + n];
        }
    }
    sync_block();
    return m->sum[0];
}

DEVICE uint32_t block_least(struct row_memory *m, uint32_t v)
{
    const unsigned tid = thread_index();
    sync_block();
    m->least[tid] = v;
    for (unsigned n = ROW_THREADS / 2; n > 0; n /= 2) {
        sync_block();
        if (tid < n && m->least[tid + n] < m->least[tid]) {
            m->least[tid] = m->least[tid + n];
        }
    }
    sync_block();
    return m->least[0];
}

#endif
