// rows.c: the ops that walk rows: embedding, RMSNorm, RoPE, SwiGLU, biases, sums, moving rows;
// forward and backward.
//
// Each is a pass over memory with a few operations per element, so nothing here is clever. Elements
// are taken 16 at a time; the last group of a row is loaded with zeros behind it, which changes no
// sum. What each computes, per row:
//   rmsnorm            rstd = 1 / sqrt(sum x^2 / C + eps);  out = (x * rstd) * w
//   rmsnorm_backward   n = x * rstd, g = dy * w:  dx += rstd * (g - n * sum(g n) / C)
//                      dw += dy * n, rows ascending
//   rope               (a, b) -> (a cos - b sin, b cos + a sin)
//   swiglu             s = 1 / (1 + e^-gate);  out = gate * s * up
//   swiglu_backward    dup = dout * gate * s;  dgate = dout * up * s * (1 + gate * (1 - s))
//   bias, add          x + bias, out + x
// dw, db and scatter_add sum over rows: there a thread owns columns and walks all rows, so that the
// order of additions is that of the rows.

#include "kernels/cpu/mathfun.h"
#include "kernels/cpu/ops.h"

struct rows_args {
    size_t R, C, ldx, ldo, grain;
    const float *x, *w;
    const int32_t *row;
    float *out, *rstd;
    float eps;
};

static size_t lanes_at(size_t i, size_t n)
{
    return n - i < LANES ? n - i : LANES;
}

// ---- embed
struct embed_args {
    enum dtype t;
    size_t C, R, grain, panel_bytes;
    const char *packed;
    const int32_t *ids;
    float *out;
};

static void embed_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct embed_args *a = arg;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        size_t id = (size_t)a->ids[r];
        const char *panel = a->packed + id / LANES * a->panel_bytes;
        float *out = a->out + r * a->C;
        if (a->t == DTYPE_F32) {
            const float *p = (const float *)(const void *)panel + id % LANES;
            for (size_t k = 0; k < a->C; k++) {
                out[k] = p[k * LANES];
            }
            continue;
        }
        const uint16_t *p = (const uint16_t *)(const void *)panel;
        for (size_t k = 0; k < a->C; k++) {
            out[k] = vec_from_bits((uint32_t)p[cpu_bf16_at(k, id % LANES)] << 16);
        }
    }
}

void OP(embed)(struct device *d, enum dtype t, size_t R, size_t V, size_t C, const void *packed,
               const int32_t *ids, float *out)
{
    for (size_t r = 0; r < R; r++) {
        CHECK(ids[r] >= 0 && (size_t)ids[r] < V);
    }
    struct embed_args a = {t,      C,   R,  cpu_grain(R, 4 * C), cpu_packed_bytes(t, LANES, C),
                           packed, ids, out};
    cpu_run(d, cpu_div_up(R, a.grain), embed_chunk, &a);
}

// ---- rmsnorm
static float norm_rstd(const float *x, size_t C, float eps)
{
    v16 acc = v16_zero();
    size_t i = 0;
    for (; i + LANES <= C; i += LANES) {
        v16 v = v16_load(x + i);
        acc = v16_fma(v, v, acc);
    }
    if (i < C) {
        v16 v = v16_load_n(x + i, C - i);
        acc = v16_fma(v, v, acc);
    }
    return 1.0f / sqrtf(v16_sum(acc) / (float)C + eps);
}

static void rmsnorm_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct rows_args *a = arg;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        const float *x = a->x + r * a->ldx;
        float *out = a->out + r * a->ldo;
        float rstd = norm_rstd(x, a->C, a->eps);
        for (size_t i = 0; i < a->C; i += LANES) {
            size_t n = lanes_at(i, a->C);
            v16 v = v16_mul(v16_load_n(x + i, n), v16_set1(rstd));
            v16_store_n(out + i, v16_mul(v, v16_load_n(a->w + i, n)), n);
        }
        if (a->rstd != NULL) {
            a->rstd[r] = rstd;
        }
    }
}

void OP(rmsnorm)(struct device *d, size_t R, size_t C, const float *x, size_t ldx, const float *w,
                 float eps, float *out, size_t ldo, float *rstd)
{
    struct rows_args a = {.R = R, .C = C, .ldx = ldx, .ldo = ldo, .grain = cpu_grain(R, C)};
    a.x = x;
    a.w = w;
    a.eps = eps;
    a.out = out;
    a.rstd = rstd;
    cpu_run(d, cpu_div_up(R, a.grain), rmsnorm_chunk, &a);
}

struct norm_back_args {
    size_t R, C, ldx, ldy, lddx, grain, col_grain;
    const float *x, *w, *rstd, *dy;
    float *dx, *dw;
};

static void norm_dx_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct norm_back_args *a = arg;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        const float *x = a->x + r * a->ldx, *dy = a->dy + r * a->ldy;
        float *dx = a->dx + r * a->lddx;
        v16 rstd = v16_set1(a->rstd[r]);
        v16 acc = v16_zero();
        for (size_t i = 0; i < a->C; i += LANES) {
            size_t n = lanes_at(i, a->C);
            v16 g = v16_mul(v16_load_n(dy + i, n), v16_load_n(a->w + i, n));
            acc = v16_fma(g, v16_mul(v16_load_n(x + i, n), rstd), acc);
        }
        v16 c = v16_set1(v16_sum(acc) / (float)a->C);
        for (size_t i = 0; i < a->C; i += LANES) {
            size_t n = lanes_at(i, a->C);
            v16 g = v16_mul(v16_load_n(dy + i, n), v16_load_n(a->w + i, n));
            v16 e = v16_fnma(v16_mul(v16_load_n(x + i, n), rstd), c, g);
            v16_store_n(dx + i, v16_fma(rstd, e, v16_load_n(dx + i, n)), n);
        }
    }
}

static void norm_dw_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct norm_back_args *a = arg;
    size_t end = MIN(a->C, (chunk + 1) * a->col_grain);
    for (size_t i = chunk * a->col_grain; i < end; i += LANES) {
        size_t n = lanes_at(i, end);
        v16 acc = v16_load_n(a->dw + i, n);
        for (size_t r = 0; r < a->R; r++) {
            v16 nx = v16_mul(v16_load_n(a->x + r * a->ldx + i, n), v16_set1(a->rstd[r]));
            acc = v16_fma(v16_load_n(a->dy + r * a->ldy + i, n), nx, acc);
        }
        v16_store_n(a->dw + i, acc, n);
    }
}

void OP(rmsnorm_backward)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                          const float *w, const float *rstd, const float *dy, size_t ldy, float *dx,
                          size_t lddx, float *dw)
{
    struct norm_back_args a = {.R = R, .C = C, .ldx = ldx, .ldy = ldy, .lddx = lddx};
    a.grain = cpu_grain(R, 2 * C);
    a.col_grain = 64;
    a.x = x;
    a.w = w;
    a.rstd = rstd;
    a.dy = dy;
    a.dx = dx;
    a.dw = dw;
    cpu_run(d, cpu_div_up(C, a.col_grain), norm_dw_chunk, &a);
    cpu_run(d, cpu_div_up(R, a.grain), norm_dx_chunk, &a);
}

// ---- rope
struct rope_args {
    size_t R, heads, D, ldx, grain;
    float *x;
    const int32_t *pos;
    const float *table;
    float sign;
};

static void rope_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct rope_args *a = arg;
    size_t half = a->D / 2;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        const float *row = a->table + (size_t)a->pos[r] * a->D;
        for (size_t i = 0; i < half; i += LANES) {
            size_t n = lanes_at(i, half);
            float c[LANES] = {0}, s[LANES] = {0};
            for (size_t j = 0; j < n; j++) {
                c[j] = row[2 * (i + j)];
                s[j] = a->sign * row[2 * (i + j) + 1];
            }
            v16 vc = v16_load(c), vs = v16_load(s);
            for (size_t h = 0; h < a->heads; h++) {
                float *lo = a->x + r * a->ldx + h * a->D + i, *hi = lo + half;
                v16 p = v16_load_n(lo, n), q = v16_load_n(hi, n);
                v16_store_n(lo, v16_fnma(q, vs, v16_mul(p, vc)), n);
                v16_store_n(hi, v16_fma(p, vs, v16_mul(q, vc)), n);
            }
        }
    }
}

void OP(rope)(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
              const int32_t *pos, const float *table, int inverse)
{
    CHECK(D % 2 == 0);
    struct rope_args a = {
        R, heads, D, ldx, cpu_grain(R, heads * D), x, pos, table, inverse != 0 ? -1.0f : 1.0f};
    cpu_run(d, cpu_div_up(R, a.grain), rope_chunk, &a);
}

// ---- swiglu
struct swiglu_args {
    size_t R, F, ld, ldo, lddg, grain;
    const float *gate, *up;
    float *out, *dgate, *dup;
};

static v16 sigmoid(v16 g)
{
    v16 one = v16_set1(1.0f);
    return v16_div(one, v16_add(one, v16_exp(v16_sub(v16_zero(), g))));
}

static void swiglu_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct swiglu_args *a = arg;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        const float *gate = a->gate + r * a->ld, *up = a->up + r * a->ld;
        float *out = a->out + r * a->ldo;
        for (size_t i = 0; i < a->F; i += LANES) {
            size_t n = lanes_at(i, a->F);
            v16 g = v16_load_n(gate + i, n);
            v16 s = v16_mul(g, sigmoid(g));
            v16_store_n(out + i, v16_mul(s, v16_load_n(up + i, n)), n);
        }
    }
}

void OP(swiglu)(struct device *d, size_t R, size_t F, const float *gate, const float *up, size_t ld,
                float *out, size_t ldo)
{
    struct swiglu_args a = {.R = R, .F = F, .ld = ld, .ldo = ldo, .grain = cpu_grain(R, 4 * F)};
    a.gate = gate;
    a.up = up;
    a.out = out;
    cpu_run(d, cpu_div_up(R, a.grain), swiglu_chunk, &a);
}

static void swiglu_back_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct swiglu_args *a = arg;
    const v16 one = v16_set1(1.0f);
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        const float *gate = a->gate + r * a->ld, *up = a->up + r * a->ld;
        float *out = a->out + r * a->ldo;    // dout until now
        for (size_t i = 0; i < a->F; i += LANES) {
            size_t n = lanes_at(i, a->F);
            v16 g = v16_load_n(gate + i, n), u = v16_load_n(up + i, n);
            v16 dy = v16_load_n(out + i, n);
            v16 s = sigmoid(g), silu = v16_mul(g, s);
            v16 slope = v16_mul(s, v16_fma(g, v16_sub(one, s), one));
            v16_store_n(a->dgate + r * a->lddg + i, v16_mul(v16_mul(dy, u), slope), n);
            v16_store_n(a->dup + r * a->lddg + i, v16_mul(dy, silu), n);
            v16_store_n(out + i, v16_mul(silu, u), n);
        }
    }
}

void OP(swiglu_backward)(struct device *d, size_t R, size_t F, const float *gate, const float *up,
                         size_t ld, float *dout, size_t lddo, float *dgate, float *dup, size_t lddg)
{
    struct swiglu_args a = {.R = R, .F = F, .ld = ld, .ldo = lddo, .lddg = lddg};
    a.grain = cpu_grain(R, 6 * F);
    a.gate = gate;
    a.up = up;
    a.out = dout;
    a.dgate = dgate;
    a.dup = dup;
    cpu_run(d, cpu_div_up(R, a.grain), swiglu_back_chunk, &a);
}

// ---- bias
enum { BIAS_COLUMNS = 64 };    // that one chunk of a gradient owns

struct bias_args {
    size_t R, N, ld, grain;
    const float *bias, *dy;
    float *x, *db;
};

static void bias_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct bias_args *a = arg;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        float *x = a->x + r * a->ld;
        for (size_t i = 0; i < a->N; i += LANES) {
            size_t n = lanes_at(i, a->N);
            v16_store_n(x + i, v16_add(v16_load_n(x + i, n), v16_load_n(a->bias + i, n)), n);
        }
    }
}

void OP(bias)(struct device *d, size_t R, size_t N, const float *bias, float *x, size_t ldx)
{
    struct bias_args a = {.R = R, .N = N, .ld = ldx, .grain = cpu_grain(R, N)};
    a.bias = bias;
    a.x = x;
    cpu_run(d, cpu_div_up(R, a.grain), bias_chunk, &a);
}

static void bias_back_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct bias_args *a = arg;
    size_t end = MIN(a->N, (chunk + 1) * BIAS_COLUMNS);
    for (size_t i = chunk * BIAS_COLUMNS; i < end; i += LANES) {
        size_t n = lanes_at(i, end);
        v16 acc = v16_load_n(a->db + i, n);
        for (size_t r = 0; r < a->R; r++) {
            acc = v16_add(acc, v16_load_n(a->dy + r * a->ld + i, n));
        }
        v16_store_n(a->db + i, acc, n);
    }
}

void OP(bias_backward)(struct device *d, size_t R, size_t N, const float *dy, size_t ldy, float *db)
{
    struct bias_args a = {.R = R, .N = N, .ld = ldy, .dy = dy, .db = db};
    cpu_run(d, cpu_div_up(N, BIAS_COLUMNS), bias_back_chunk, &a);
}

// ---- add
struct add_args {
    size_t n, grain;
    const float *x;
    float *out;
};

static void add_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct add_args *a = arg;
    size_t end = MIN(a->n, (chunk + 1) * a->grain);
    for (size_t i = chunk * a->grain; i < end; i += LANES) {
        size_t n = lanes_at(i, end);
        v16_store_n(a->out + i, v16_add(v16_load_n(a->out + i, n), v16_load_n(a->x + i, n)), n);
    }
}

void OP(add)(struct device *d, size_t n, const float *x, float *out)
{
    struct add_args a = {.n = n, .grain = cpu_grain(n, 1), .x = x, .out = out};
    cpu_run(d, cpu_div_up(n, a.grain), add_chunk, &a);
}

// ---- moving rows
static void scatter_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct rows_args *a = arg;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        memcpy(a->out + (size_t)a->row[r] * a->ldo, a->x + r * a->ldx, a->C * sizeof(float));
    }
}

static void gather_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct rows_args *a = arg;
    size_t end = MIN(a->R, (chunk + 1) * a->grain);
    for (size_t r = chunk * a->grain; r < end; r++) {
        memcpy(a->out + r * a->ldo, a->x + (size_t)a->row[r] * a->ldx, a->C * sizeof(float));
    }
}

static struct rows_args move_args(size_t R, size_t C, const float *x, size_t ldx,
                                  const int32_t *row, float *out, size_t ldo)
{
    struct rows_args a = {.R = R, .C = C, .ldx = ldx, .ldo = ldo, .grain = cpu_grain(R, C)};
    a.x = x;
    a.row = row;
    a.out = out;
    return a;
}

void OP(scatter_rows)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                      const int32_t *row, float *out, size_t ldo)
{
    struct rows_args a = move_args(R, C, x, ldx, row, out, ldo);
    cpu_run(d, cpu_div_up(R, a.grain), scatter_chunk, &a);
}

void OP(gather_rows)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                     const int32_t *row, float *out, size_t ldo)
{
    struct rows_args a = move_args(R, C, x, ldx, row, out, ldo);
    cpu_run(d, cpu_div_up(R, a.grain), gather_chunk, &a);
}

static void scatter_add_chunk(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct rows_args *a = arg;
    size_t first = chunk * a->grain, end = MIN(a->C, first + a->grain);
    for (size_t r = 0; r < a->R; r++) {
        const float *x = a->x + r * a->ldx;
        float *out = a->out + (size_t)a->row[r] * a->ldo;
        for (size_t i = first; i < end; i++) {
            out[i] += x[i];
        }
    }
}

void OP(scatter_add_rows)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                          const int32_t *row, float *out, size_t ldo)
{
    struct rows_args a = move_args(R, C, x, ldx, row, out, ldo);
    a.grain = MAX(64, cpu_grain(C, R));
    cpu_run(d, cpu_div_up(C, a.grain), scatter_add_chunk, &a);
}
