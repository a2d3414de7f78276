// norm_heads.c: RMSNorm of every head by itself, in place, and its gradient.
//
// The arithmetic is that of rmsnorm (rows.c) with a head in the place of a row:
//   norm_heads            rstd = 1 / sqrt(sum x^2 / D + eps);  x = (x * rstd) * w
//   norm_heads_backward   n = x * rstd, g = dy * w:  dx = rstd * (g - n * sum(g n) / D)
//                         dw += dy * n, rows ascending, heads ascending within a row
// One head as wide as the row is the norm of a whole projection. A head of 64 to 128 elements is
// short beside the cost of waking a thread, so chunks are runs of rows and go through all heads of
// each; dw is summed by threads that own columns, so that the order of additions is that of the
// rows.

#include "kernels/cpu/mathfun.h"
#include "kernels/cpu/ops.h"

enum { COLUMNS = 64 };    // that one chunk of a column sum owns

static size_t lanes_at(size_t i, size_t n)
{
    return n - i < LANES ? n - i : LANES;
}

struct heads_args {
    size_t R, heads, D, ldx, ldk, grain;
    float *x, *kept, *rstd, *dw;
    const float *w, *kept_in, *rstd_in;
    float eps;
};

static void norm_head(const struct heads_args *a, float *x, float *kept, float *rstd)
{
    v16 acc = v16_zero();
    for (size_t i = 0; i < a->D; i += LANES) {
        v16 v = v16_load_n(x + i, lanes_at(i, a->D));
        acc = v16_fma(v, v, acc);
    }
    float scale = 1.0f / sqrtf(v16_sum(acc) / (float)a->D + a->eps);
    if (kept != NULL) {
        memcpy(kept, x, a->D * sizeof *x);
    }
    if (rstd != NULL) {
        *rstd = scale;
    }
    for (size_t i = 0; i < a->D; i += LANES) {
        size_t n = lanes_at(i, a->D);
        v16 v = v16_mul(v16_load_n(x + i, n), v16_set1(scale));
        v16_store_n(x + i, v16_mul(v, v16_load_n(a->w + i, n)), n);
    }
}

static void norm_heads_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct heads_args *a = arg;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        for (size_t h = 0; h < a->heads; h++) {
            norm_head(a, a->x + r * a->ldx + h * a->D,
                      a->kept != NULL ? a->kept + r * a->ldk + h * a->D : NULL,
                      a->rstd != NULL ? a->rstd + r * a->heads + h : NULL);
        }
    }
}

void OP(norm_heads)(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
                    const float *w, float eps, float *kept, size_t ldk, float *rstd)
{
    struct heads_args a = {.R = R, .heads = heads, .D = D, .ldx = ldx, .ldk = ldk};
    a.grain = cpu_grain(R, 2 * heads * D);
    a.x = x;
    a.w = w;
    a.eps = eps;
    a.kept = kept;
    a.rstd = rstd;
    cpu_run(d, cpu_div_up(R, a.grain), norm_heads_chunk, &a);
}

// dx (D): dL/dout becomes dL/dx.
static void head_dx(const struct heads_args *a, const float *x, float scale, float *dx)
{
    v16 rstd = v16_set1(scale), acc = v16_zero();
    for (size_t i = 0; i < a->D; i += LANES) {
        size_t n = lanes_at(i, a->D);
        v16 g = v16_mul(v16_load_n(dx + i, n), v16_load_n(a->w + i, n));
        acc = v16_fma(g, v16_mul(v16_load_n(x + i, n), rstd), acc);
    }
    v16 c = v16_set1(v16_sum(acc) / (float)a->D);
    for (size_t i = 0; i < a->D; i += LANES) {
        size_t n = lanes_at(i, a->D);
        v16 g = v16_mul(v16_load_n(dx + i, n), v16_load_n(a->w + i, n));
        v16 e = v16_fnma(v16_mul(v16_load_n(x + i, n), rstd), c, g);
        v16_store_n(dx + i, v16_mul(rstd, e), n);
    }
}

static void heads_dx_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct heads_args *a = arg;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        for (size_t h = 0; h < a->heads; h++) {
            head_dx(a, a->kept_in + r * a->ldk + h * a->D, a->rstd_in[r * a->heads + h],
                    a->x + r * a->ldx + h * a->D);
        }
    }
}

static void heads_dw_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct heads_args *a = arg;
    size_t end = MIN(a->D, (chunk + 1) * COLUMNS);
    for (size_t i = chunk * COLUMNS; i < end; i += LANES) {
        size_t n = lanes_at(i, end);
        v16 acc = v16_load_n(a->dw + i, n);
        for (size_t r = 0; r < a->R; r++) {
            for (size_t h = 0; h < a->heads; h++) {
                v16 x = v16_load_n(a->kept_in + r * a->ldk + h * a->D + i, n);
                v16 dy = v16_load_n(a->x + r * a->ldx + h * a->D + i, n);
                acc = v16_fma(dy, v16_mul(x, v16_set1(a->rstd_in[r * a->heads + h])), acc);
            }
        }
        v16_store_n(a->dw + i, acc, n);
    }
}

void OP(norm_heads_backward)(struct device *d, size_t R, size_t heads, size_t D, const float *kept,
                             size_t ldk, const float *w, const float *rstd, float *dx, size_t lddx,
                             float *dw)
{
    struct heads_args a = {.R = R, .heads = heads, .D = D, .ldx = lddx, .ldk = ldk};
    a.grain = cpu_grain(R, 3 * heads * D);
    a.kept_in = kept;
    a.w = w;
    a.rstd_in = rstd;
    a.x = dx;
    a.dw = dw;
    cpu_run(d, cpu_div_up(D, COLUMNS), heads_dw_chunk, &a);    // before dx is overwritten
    cpu_run(d, cpu_div_up(R, a.grain), heads_dx_chunk, &a);
}
