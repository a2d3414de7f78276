// rows.cu: the ops that walk rows: embedding, RMSNorm, RoPE, SwiGLU, biases, sums, moving rows;
// forward and backward. The formulas are those of kernels/cpu/rows.c.
//
// Element-wise ops have a thread per element. A norm has a block per row: 16 lanes of its first warp
// add the squares in the order that device.h demands, then all threads scale. Sums over rows (dw,
// db, scatter_add) have one owner per element, who takes the rows in ascending order.

#include "kernels/cuda/math.h"
#include "kernels/cuda/ops.h"

enum { THREADS = 256, NORM_THREADS = 128, ADD_THREADS = 128 };

// ---- embed
struct embed_args {
    size_t R, C, panel_bytes;
    bool bf16;
    const char *packed;
    const int32_t *ids;
    float *out;
};

KERNEL(embed, struct embed_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i >= a->R * a->C) {
        return;
    }
    size_t id = (size_t)a->ids[i / a->C], k = i % a->C;
    const char *panel = a->packed + id / PANEL * a->panel_bytes;
    if (a->bf16) {
        uint32_t pair = ((const uint32_t *)(const void *)panel)[k / 2 * PANEL + id % PANEL];
        a->out[i] = k % 2 == 0 ? bf16_low(pair) : bf16_high(pair);
    } else {
        a->out[i] = ((const float *)(const void *)panel)[k * PANEL + id % PANEL];
    }
}

void cuda_embed(struct device *d, enum dtype t, size_t R, size_t V, size_t C, const void *packed,
                const int32_t *ids, float *out)
{
    (void)V;    // ids were checked where they still lay on the host
    struct embed_args a = {
        R, C, cuda_packed_bytes(t, PANEL, C), t == DTYPE_BF16, (const char *)packed, ids, out};
    LAUNCH(cuda_of(d), embed, div_up(R * C, THREADS), THREADS, 0, a);
}

// ---- rmsnorm
struct norm_args {
    size_t C, ldx, ldo;
    float eps;
    const float *x, *w;
    float *out, *rstd;
};

KERNEL(rmsnorm, struct norm_args, NORM_THREADS)
{
    SHARED float shared_rstd;
    size_t r = block_index(), tid = thread_index();
    const float *x = a->x + r * a->ldx;
    if (tid < WARP) {    // both halves of the warp compute the same
        float sum = lanes_sum(lane_dot(x, x, a->C, tid % LANES));
        if (tid == 0) {
            shared_rstd = 1.0f / sqrtf(sum / (float)a->C + a->eps);
            if (a->rstd != NULL) {
                a->rstd[r] = shared_rstd;
            }
        }
    }
    sync_block();
    for (size_t i = tid; i < a->C; i += NORM_THREADS) {
        a->out[r * a->ldo + i] = x[i] * shared_rstd * a->w[i];
    }
}

void cuda_rmsnorm(struct device *d, size_t R, size_t C, const float *x, size_t ldx, const float *w,
                  float eps, float *out, size_t ldo, float *rstd)
{
    struct norm_args a = {C, ldx, ldo, eps, x, w, out, rstd};
    LAUNCH(cuda_of(d), rmsnorm, R, NORM_THREADS, 0, a);
}

struct norm_back_args {
    size_t R, C, ldx, ldy, lddx;
    const float *x, *w, *rstd, *dy;
    float *dx, *dw;
};

KERNEL(rmsnorm_dx, struct norm_back_args, NORM_THREADS)
{
    SHARED float shared_mean;
    size_t r = block_index(), tid = thread_index();
    const float *x = a->x + r * a->ldx, *dy = a->dy + r * a->ldy;
    float *dx = a->dx + r * a->lddx, rstd = a->rstd[r];
    if (tid < WARP) {
        float acc = 0.0f;
        UNROLL
        for (size_t i = tid % LANES; i < a->C; i += LANES) {
            acc = fmaf(dy[i] * a->w[i], x[i] * rstd, acc);
        }
        acc = lanes_sum(acc);
        if (tid == 0) {
            shared_mean = acc / (float)a->C;
        }
    }
    sync_block();
    for (size_t i = tid; i < a->C; i += NORM_THREADS) {
        float e = fmaf(-(x[i] * rstd), shared_mean, dy[i] * a->w[i]);
        dx[i] = fmaf(rstd, e, dx[i]);
    }
}

KERNEL(rmsnorm_dw, struct norm_back_args, NORM_THREADS)
{
    size_t i = global_index(NORM_THREADS);
    if (i >= a->C) {
        return;
    }
    float acc = a->dw[i];
    UNROLL
    for (size_t r = 0; r < a->R; r++) {
        acc = fmaf(a->dy[r * a->ldy + i], a->x[r * a->ldx + i] * a->rstd[r], acc);
    }
    a->dw[i] = acc;
}

void cuda_rmsnorm_backward(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                           const float *w, const float *rstd, const float *dy, size_t ldy,
                           float *dx, size_t lddx, float *dw)
{
    struct norm_back_args a = {R, C, ldx, ldy, lddx, x, w, rstd, dy, dx, dw};
    LAUNCH(cuda_of(d), rmsnorm_dw, div_up(C, NORM_THREADS), NORM_THREADS, 0, a);
    LAUNCH(cuda_of(d), rmsnorm_dx, R, NORM_THREADS, 0, a);
}

// ---- rope
struct rope_args {
    size_t R, heads, half, ldx;
    float sign;
    float *x;
    const int32_t *pos;
    const float *table;
};

KERNEL(rope, struct rope_args, THREADS)
{
    size_t i = global_index(THREADS), per_row = a->heads * a->half;
    if (i >= a->R * per_row) {
        return;
    }
    size_t r = i / per_row, h = i % per_row / a->half, e = i % a->half;
    const float *turn = a->table + ((size_t)a->pos[r] * a->half + e) * 2;
    float c = turn[0], s = a->sign * turn[1];
    float *lo = a->x + r * a->ldx + 2 * h * a->half + e, *hi = lo + a->half;
    float p = *lo, q = *hi;
    *lo = fmaf(-q, s, p * c);
    *hi = fmaf(p, s, q * c);
}

void cuda_rope(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
               const int32_t *pos, const float *table, int inverse)
{
    CHECK(D % 2 == 0);
    struct rope_args a = {R, heads, D / 2, ldx, inverse != 0 ? -1.0f : 1.0f, x, pos, table};
    LAUNCH(cuda_of(d), rope, div_up(R * heads * a.half, THREADS), THREADS, 0, a);
}

// ---- swiglu
struct swiglu_args {
    size_t R, F, ld, ldo, lddg;
    const float *gate, *up;
    float *out, *dgate, *dup;
};

DEVICE float sigmoid(float g)
{
    return 1.0f / (1.0f + exp_f32(0.0f - g));
}

KERNEL(swiglu, struct swiglu_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i < a->R * a->F) {
        size_t r = i / a->F, e = i % a->F;
        float g = a->gate[r * a->ld + e];
        a->out[r * a->ldo + e] = g * sigmoid(g) * a->up[r * a->ld + e];
    }
}

void cuda_swiglu(struct device *d, size_t R, size_t F, const float *gate, const float *up,
                 size_t ld, float *out, size_t ldo)
{
    struct swiglu_args a = {R, F, ld, ldo, 0, gate, up, out, NULL, NULL};
    LAUNCH(cuda_of(d), swiglu, div_up(R * F, THREADS), THREADS, 0, a);
}

KERNEL(swiglu_backward, struct swiglu_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i < a->R * a->F) {
        size_t r = i / a->F, e = i % a->F;
        float g = a->gate[r * a->ld + e], u = a->up[r * a->ld + e];
        float *out = &a->out[r * a->ldo + e];    // dout until now
        float dy = *out, s = sigmoid(g);
        a->dgate[r * a->lddg + e] = dy * u * (s * fmaf(g, 1.0f - s, 1.0f));
        a->dup[r * a->lddg + e] = dy * (g * s);
        *out = g * s * u;
    }
}

void cuda_swiglu_backward(struct device *d, size_t R, size_t F, const float *gate, const float *up,
                          size_t ld, float *dout, size_t lddo, float *dgate, float *dup,
                          size_t lddg)
{
    struct swiglu_args a = {R, F, ld, lddo, lddg, gate, up, dout, dgate, dup};
    LAUNCH(cuda_of(d), swiglu_backward, div_up(R * F, THREADS), THREADS, 0, a);
}

// ---- bias, add
struct bias_args {
    size_t R, N, ld;
    const float *bias, *dy;
    float *x, *db;
};

KERNEL(bias, struct bias_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i < a->R * a->N) {
        a->x[i / a->N * a->ld + i % a->N] += a->bias[i % a->N];
    }
}

void cuda_bias(struct device *d, size_t R, size_t N, const float *bias_of, float *x, size_t ldx)
{
    struct bias_args a = {R, N, ldx, bias_of, NULL, x, NULL};
    LAUNCH(cuda_of(d), bias, div_up(R * N, THREADS), THREADS, 0, a);
}

KERNEL(bias_backward, struct bias_args, NORM_THREADS)
{
    size_t i = global_index(NORM_THREADS);
    if (i >= a->N) {
        return;
    }
    float acc = a->db[i];
    UNROLL
    for (size_t r = 0; r < a->R; r++) {
        acc += a->dy[r * a->ld + i];
    }
    a->db[i] = acc;
}

void cuda_bias_backward(struct device *d, size_t R, size_t N, const float *dy, size_t ldy,
                        float *db)
{
    struct bias_args a = {R, N, ldy, NULL, dy, NULL, db};
    LAUNCH(cuda_of(d), bias_backward, div_up(N, NORM_THREADS), NORM_THREADS, 0, a);
}

struct add_args {
    size_t n;
    const float *x;
    float *out;
};

KERNEL(add, struct add_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i < a->n) {
        a->out[i] += a->x[i];
    }
}

void cuda_add(struct device *d, size_t n, const float *x, float *out)
{
    struct add_args a = {n, x, out};
    LAUNCH(cuda_of(d), add, div_up(n, THREADS), THREADS, 0, a);
}

// ---- moving rows
struct move_args {
    size_t R, C, ldx, ldo;
    const float *x;
    const int32_t *row;
    float *out;
};

KERNEL(scatter_rows, struct move_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i < a->R * a->C) {
        size_t r = i / a->C, c = i % a->C;
        a->out[(size_t)a->row[r] * a->ldo + c] = a->x[r * a->ldx + c];
    }
}

KERNEL(gather_rows, struct move_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i < a->R * a->C) {
        size_t r = i / a->C, c = i % a->C;
        a->out[r * a->ldo + c] = a->x[(size_t)a->row[r] * a->ldx + c];
    }
}

void cuda_scatter_rows(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                       const int32_t *row, float *out, size_t ldo)
{
    struct move_args a = {R, C, ldx, ldo, x, row, out};
    LAUNCH(cuda_of(d), scatter_rows, div_up(R * C, THREADS), THREADS, 0, a);
}

void cuda_gather_rows(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                      const int32_t *row, float *out, size_t ldo)
{
    struct move_args a = {R, C, ldx, ldo, x, row, out};
    LAUNCH(cuda_of(d), gather_rows, div_up(R * C, THREADS), THREADS, 0, a);
}

// The block of the first row that names a target adds all rows that do; the others have nothing to
// do. Rows are looked at ADD_THREADS at a time.
KERNEL(scatter_add_rows, struct move_args, ADD_THREADS)
{
    SHARED int named[ADD_THREADS];
    size_t own = block_index(), tid = thread_index();
    int32_t target = a->row[own];
    bool first = true;
    for (size_t r = 0; r < a->R; r += ADD_THREADS) {
        size_t n = a->R - r < ADD_THREADS ? a->R - r : ADD_THREADS;
        sync_block();
        named[tid] = tid < n && a->row[r + tid] == target;
        sync_block();
        for (size_t i = 0; i < n && first; i++) {
            if (r + i < own) {
                first = !named[i];
                continue;
            }
            if (!named[i]) {
                continue;
            }
            for (size_t c = tid; c < a->C; c += ADD_THREADS) {
                a->out[(size_t)target * a->ldo + c] += a->x[(r + i) * a->ldx + c];
            }
        }
    }
}

void cuda_scatter_add_rows(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                           const int32_t *row, float *out, size_t ldo)
{
    struct move_args a = {R, C, ldx, ldo, x, row, out};
    LAUNCH(cuda_of(d), scatter_add_rows, R, ADD_THREADS, 0, a);
}
