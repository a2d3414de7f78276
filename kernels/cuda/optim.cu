// optim.cu: the optimiser's element-wise work: the gradient's norm and AdamW, in the order of
// operations of kernels/cpu/optim.c.
//
// Both are bound by memory. The sum of squares takes blocks of 4096 elements, half a warp each; what
// they sum to comes to the host and is added there in order, in double.

#include <stdlib.h>

#include "kernels/cuda/math.h"
#include "kernels/cuda/ops.h"

enum { SUM_BLOCK = 4096, SUM_THREADS = 128, SUM_PASS = 1 << 15, ADAMW_THREADS = 256 };

struct sum_args {
    size_t n, blocks;
    const float *x;
    float *partial;
};

KERNEL(sum_squares, struct sum_args, SUM_THREADS)
{
    size_t block = global_index(SUM_THREADS) / LANES, lane = thread_index() % LANES;
    bool mine = block < a->blocks;
    size_t first = mine ? block * SUM_BLOCK : 0;
    size_t n = !mine ? 0 : a->n - first < SUM_BLOCK ? a->n - first : SUM_BLOCK;
    const float *x = a->x + first;
    float sum = lanes_sum(lane_dot(x, x, n, lane));
    if (mine && lane == 0) {
        a->partial[block] = sum;
    }
}

double cuda_sum_squares(struct device *d, size_t n, const float *x)
{
    struct cuda_device *c = cuda_of(d);
    const size_t pass = (size_t)SUM_PASS * SUM_BLOCK;
    size_t most = div_up(n < pass ? n : pass, SUM_BLOCK);
    float *partial = (float *)cuda_scratch(c, SUM_PASS * sizeof *partial);
    float *host = (float *)malloc((most + 1) * sizeof *host);
    CHECK(host != NULL);
    double sum = 0.0;
    for (size_t i = 0; i < n; i += pass) {
        size_t left = n - i < pass ? n - i : pass;
        struct sum_args a = {left, div_up(left, SUM_BLOCK), x + i, partial};
        LAUNCH(c, sum_squares, div_up(a.blocks * LANES, SUM_THREADS), SUM_THREADS, 0, a);
        rt_get(c, host, partial, a.blocks * sizeof *host);
        for (size_t b = 0; b < a.blocks; b++) {
            sum += (double)host[b];
        }
    }
    free(host);
    return sum;
}

struct adamw_args {
    size_t n;
    float scale, decay, beta1, keep1, beta2, keep2, rate, root2, eps;
    float *p, *m, *v;
    const float *grad;
    uint16_t *bf16;    // or NULL
    float *f32;        // or NULL
};

DEVICE uint16_t round_bf16(float x)
{
    uint32_t u = bits_of(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(u >> 16 | 0x40u);
    }
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

KERNEL(adamw, struct adamw_args, ADAMW_THREADS)
{
    size_t i = global_index(ADAMW_THREADS);
    if (i >= a->n) {
        return;
    }
    float g = a->grad[i] * a->scale;
    float m = fmaf(a->m[i], a->beta1, a->keep1 * g);
    float v = fmaf(a->v[i], a->beta2, a->keep2 * g * g);
    float bottom = sqrtf(v) / a->root2 + a->eps;
    float p = fmaf(-a->rate, m / bottom, a->p[i] * a->decay);
    a->m[i] = m;
    a->v[i] = v;
    a->p[i] = p;
    if (a->bf16 != NULL) {
        a->bf16[i] = round_bf16(p);
    } else if (a->f32 != NULL) {
        a->f32[i] = p;
    }
}

void cuda_adamw(struct device *d, size_t n, const struct adamw *s, float *p, float *m, float *v,
                const float *grad, enum dtype t, void *rounded)
{
    struct adamw_args a = {n,
                           s->grad_scale,
                           1.0f - s->lr * s->weight_decay,
                           s->beta1,
                           1.0f - s->beta1,
                           s->beta2,
                           1.0f - s->beta2,
                           s->lr / s->bias1,
                           sqrtf(s->bias2),
                           s->eps,
                           p,
                           m,
                           v,
                           grad,
                           t == DTYPE_BF16 ? (uint16_t *)rounded : NULL,
                           t == DTYPE_F32 ? (float *)rounded : NULL};
    LAUNCH(cuda_of(d), adamw, div_up(n, ADAMW_THREADS), ADAMW_THREADS, 0, a);
}
