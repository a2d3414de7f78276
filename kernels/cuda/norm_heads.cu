// norm_heads.cu: RMSNorm of every head by itself, in place, and its gradient: the formulas and the
// order of additions of kernels/cpu/norm_heads.c.
//
// Half a warp has a head: its 16 lanes are those of the sum. dw has a thread per element, who takes
// rows and heads in order.

#include "kernels/cuda/math.h"
#include "kernels/cuda/ops.h"

enum { THREADS = 128 };

struct heads_args {
    size_t R, heads, D, ldx, ldk;
    float eps;
    float *x;    // forward: normed in place; backward: dL/dout becomes dL/dx
    const float *w;
    float *kept, *rstd;    // backward reads them
    float *dw;
};

// Where a half warp's head lies. Past the last one it has no elements, but its lanes go along.
struct head {
    size_t lane, n;
    float *x, *kept, *rstd;
};

DEVICE struct head own_head(const struct heads_args *a)
{
    struct head h;
    size_t at = global_index(THREADS) / LANES;
    const bool mine = at < a->R * a->heads;
    at = mine ? at : 0;
    h.lane = thread_index() % LANES;
    h.n = mine ? a->D : 0;
    h.x = a->x + at / a->heads * a->ldx + at % a->heads * a->D;
    h.kept = a->kept != NULL ? a->kept + at / a->heads * a->ldk + at % a->heads * a->D : NULL;
    h.rstd = a->rstd != NULL ? a->rstd + at : NULL;
    return h;
}

KERNEL(norm_heads, struct heads_args, THREADS)
{
    const struct head h = own_head(a);
    const float sum = lanes_sum(lane_dot(h.x, h.x, h.n, h.lane));
    const float scale = 1.0f / sqrtf(sum / (float)a->D + a->eps);
    if (h.rstd != NULL && h.n > 0 && h.lane == 0) {
        *h.rstd = scale;
    }
    for (size_t i = h.lane; i < h.n; i += LANES) {
        const float x = h.x[i];
        if (h.kept != NULL) {
            h.kept[i] = x;
        }
        h.x[i] = x * scale * a->w[i];
    }
}

KERNEL(norm_heads_dx, struct heads_args, THREADS)
{
    const struct head h = own_head(a);
    const float rstd = *h.rstd;
    float acc = 0.0f;
    for (size_t i = h.lane; i < h.n; i += LANES) {
        acc = fmaf(h.x[i] * a->w[i], h.kept[i] * rstd, acc);
    }
    const float mean = lanes_sum(acc) / (float)a->D;
    for (size_t i = h.lane; i < h.n; i += LANES) {
        h.x[i] = rstd * fmaf(-(h.kept[i] * rstd), mean, h.x[i] * a->w[i]);
    }
}

KERNEL(norm_heads_dw, struct heads_args, THREADS)
{
    const size_t i = global_index(THREADS);
    if (i >= a->D) {
        return;
    }
    float acc = a->dw[i];
    for (size_t r = 0; r < a->R; r++) {
        const float *dy = a->x + r * a->ldx + i, *x = a->kept + r * a->ldk + i;
        UNROLL
        for (size_t h = 0; h < a->heads; h++) {
            acc = fmaf(dy[h * a->D], x[h * a->D] * a->rstd[r * a->heads + h], acc);
        }
    }
    a->dw[i] = acc;
}

void cuda_norm_heads(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
                     const float *w, float eps, float *kept, size_t ldk, float *rstd)
{
    struct heads_args a = {R, heads, D, ldx, ldk, eps, x, w, kept, rstd, NULL};
    LAUNCH(cuda_of(d), norm_heads, div_up(R * heads * LANES, THREADS), THREADS, 0, a);
}

void cuda_norm_heads_backward(struct device *d, size_t R, size_t heads, size_t D, const float *kept,
                              size_t ldk, const float *w, const float *rstd, float *dx, size_t lddx,
                              float *dw)
{
    struct heads_args a = {
        R, heads, D, lddx, ldk, 0.0f, dx, w, (float *)(uintptr_t)kept, (float *)(uintptr_t)rstd,
        dw};
    LAUNCH(cuda_of(d), norm_heads_dw, div_up(D, THREADS), THREADS, 0, a);    // before dx changes
    LAUNCH(cuda_of(d), norm_heads_dx, div_up(R * heads * LANES, THREADS), THREADS, 0, a);
}
