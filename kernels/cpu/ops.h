// ops.h: what the op files share. Private to kernels/.
//
// Each op file is compiled once per instruction set; OP(gemm) is cpu_avx2_gemm in one of them. The
// functions have the signatures of `struct device_ops` and are gathered in one const table per set
// (table.c). Rules that every op keeps: a result element has one owner and one order of additions,
// so how work is cut into chunks can follow the number of threads without showing in the bits.
#ifndef CARAVAN_KERNELS_CPU_OPS_H
#define CARAVAN_KERNELS_CPU_OPS_H

#include "kernels/device.h"

#if defined(CPU_ISA_AVX512)
#define OP(name) cpu_avx512_##name
#elif defined(CPU_ISA_AVX2)
#define OP(name) cpu_avx2_##name
#else
#define OP(name) cpu_portable_##name
#endif

extern const struct device_ops cpu_portable_table;
#ifdef CARAVAN_X86
extern const struct device_ops cpu_avx2_table;
extern const struct device_ops cpu_avx512_table;
#endif

enum {
    DW_ROWS = 1024,    // gemm_dw: rows of a pass, columns of x in it,
    DW_COLS = 768,
    DW_TASK = 48,    // and rows of dw in a task: a multiple of every tile height
    VOCAB_BLOCK = 1024,
    VOCAB_PIECE = 64,
    VOCAB_PIECES = VOCAB_BLOCK / VOCAB_PIECE,
    HEAD_TASK_ROWS = 64,    // head_sample: rows of a task, whose logits of one block stay in L2
    STATS_MAX = 8192,       // vocabulary blocks in flight in sample and score: DEVICE_MAX_VOCAB /
                            // VOCAB_BLOCK at least
    PARTIALS_MAX = 8192,    // sum_squares: blocks per pass
};

struct vocab_stats {    // of one block of logits x
    float max;          // block max; -inf: the block has no weight
    float sum;          // of exp(d), d = (x - max) / T
    float dot;          // of exp(d) d
};

// One device: the public part first, then scratch memory that ops use while they run (one op at a
// time).
struct cpu_device {
    struct device base;
    const char *isa;
    float *dw_panels;             // (DW_ROWS + 1) * DW_COLS
    float *dw_blocks;             // threads * DW_ROWS * DW_TASK
    struct vocab_stats *stats;    // STATS_MAX
    float *pieces;                // STATS_MAX * VOCAB_PIECES
    float *logits;                // threads * HEAD_TASK_ROWS * VOCAB_BLOCK
    float *at_target;             // STATS_MAX
    double *partials;             // PARTIALS_MAX
};

// A data-parallel loop of an op. The calling thread's floating-point state is set here too, so that
// no caller can forget.
static inline void cpu_run(struct device *d, size_t n_chunks, pool_fn *fn, void *arg)
{
    pool_set_fpu();
    pool_run(d->pool, n_chunks, fn, arg);
}

static inline size_t cpu_div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

// Cuts n items of `cost` element operations each into equal chunks, each worth waking a thread for:
// items per chunk.
static inline size_t cpu_grain(size_t n, size_t cost)
{
    const size_t worth = 32768;
    size_t chunks = cost < worth ? n * cost / worth : n;
    return MAX(cpu_div_up(n, MAX(chunks, (size_t)1)), (size_t)1);
}

// Work of `all` units cut into tasks that shrink towards the end, so that all threads end together
// however fast each was: a task takes its share of what is left (guided self-scheduling,
// Polychronopoulos and Kuck 1987), at most `most` and, while there is as much, at least `least`.
struct cpu_cut {
    size_t all, share, least, most;
    size_t full, tasks;    // tasks of `most`, the first ones; all tasks
};

static inline size_t cpu_cut_next(const struct cpu_cut *c, size_t left)
{
    return MIN(left, MAX(left / c->share, c->least));
}

static inline struct cpu_cut cpu_cut_plan(const struct device *d, size_t all, size_t least,
                                          size_t most)
{
    struct cpu_cut c = {.all = all, .least = least, .most = MAX(least, most)};
    c.share = 2 * (size_t)pool_threads(d->pool);
    size_t tapered = c.share * c.most, left = all;
    c.full = left > tapered ? cpu_div_up(left - tapered, c.most) : 0;
    left -= c.full * c.most;
    for (c.tasks = c.full; left > 0; c.tasks++) {
        left -= cpu_cut_next(&c, left);
    }
    return c;
}

// Where a task starts; the last one ends where the next would start.
static inline size_t cpu_cut_start(const struct cpu_cut *c, size_t task)
{
    size_t full = MIN(task, c->full), left = c->all - full * c->most;
    for (size_t i = full; i < task; i++) {
        left -= cpu_cut_next(c, left);
    }
    return c->all - left;
}

// table.c's members. The memory ops are common to all sets (device.c).
enum err cpu_alloc(struct device *d, size_t bytes, void **out, struct why *why);
void cpu_release(struct device *d, void *p);
void cpu_upload(struct device *d, void *dst, const void *host, size_t bytes);
void cpu_download(struct device *d, void *host, const void *src, size_t bytes);
void cpu_copy(struct device *d, void *dst, const void *src, size_t bytes);
void cpu_zero(struct device *d, void *dst, size_t bytes);
size_t cpu_packed_bytes(enum dtype t, size_t N, size_t K);
// Where in a panel of bf16 column `lane` has step k, in elements.
static inline size_t cpu_bf16_at(size_t k, size_t lane)
{
    return k / 2 * 32 + lane / 4 * 8 + k % 2 * 4 + lane % 4;
}
void cpu_pack(struct device *d, enum dtype t, size_t N, size_t K, const void *w, void *packed);
void cpu_transpose(struct device *d, enum dtype t, size_t N, size_t K, const void *packed,
                   void *packed_t);

void OP(embed)(struct device *d, enum dtype t, size_t R, size_t V, size_t C, const void *packed,
               const int32_t *ids, float *out);
void OP(rmsnorm)(struct device *d, size_t R, size_t C, const float *x, size_t ldx, const float *w,
                 float eps, float *out, size_t ldo, float *rstd);
void OP(norm_heads)(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
                    const float *w, float eps, float *kept, size_t ldk, float *rstd);
void OP(bias)(struct device *d, size_t R, size_t N, const float *bias, float *x, size_t ldx);
void OP(add)(struct device *d, size_t n, const float *x, float *out);
void OP(gemm)(struct device *d, enum dtype t, enum gemm_mode mode, size_t R, size_t N, size_t K,
              const float *x, size_t ldx, const void *packed, float *out, size_t ldo);
// One thread's share of gemm: N columns from the start of `packed`, all R rows.
void OP(gemm_columns)(enum dtype t, size_t R, size_t N, size_t K, const float *x, size_t ldx,
                      const void *packed, float *out, size_t ldo);
void OP(rope)(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
              const int32_t *pos, const float *table, int inverse);
void OP(attention)(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                   const float *q, size_t ldq, const float *k, const float *v, size_t ldkv,
                   const struct attn_keys *keys, float *out, size_t ldo, float *lse);
void OP(scatter_rows)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                      const int32_t *row, float *out, size_t ldo);
void OP(gather_rows)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                     const int32_t *row, float *out, size_t ldo);
void OP(swiglu)(struct device *d, size_t R, size_t F, const float *gate, const float *up, size_t ld,
                float *out, size_t ldo);
void OP(sample)(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
                const struct sample_spec *spec, struct sample_out *out);
void OP(head_sample)(struct device *d, enum dtype t, size_t R, size_t V, size_t C, const float *x,
                     size_t ldx, const void *packed, float *logits, const struct sample_spec *spec,
                     struct sample_out *out);
void OP(gemm_dw)(struct device *d, size_t R, size_t N, size_t K, const float *dy, size_t ldy,
                 const float *x, size_t ldx, float *dw);
void OP(rmsnorm_backward)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                          const float *w, const float *rstd, const float *dy, size_t ldy, float *dx,
                          size_t lddx, float *dw);
void OP(norm_heads_backward)(struct device *d, size_t R, size_t heads, size_t D, const float *kept,
                             size_t ldk, const float *w, const float *rstd, float *dx, size_t lddx,
                             float *dw);
void OP(bias_backward)(struct device *d, size_t R, size_t N, const float *dy, size_t ldy,
                       float *db);
void OP(attention_backward)(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                            const float *q, size_t ldq, const float *k, const float *v, size_t ldkv,
                            const struct attn_keys *keys, const float *out, const float *dout,
                            size_t ldo, const float *lse, float *dq, size_t lddq, float *dk,
                            float *dv, size_t lddkv);
void OP(swiglu_backward)(struct device *d, size_t R, size_t F, const float *gate, const float *up,
                         size_t ld, float *dout, size_t lddo, float *dgate, float *dup,
                         size_t lddg);
void OP(scatter_add_rows)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                          const int32_t *row, float *out, size_t ldo);
void OP(score)(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
               float temperature, const int32_t *target, float *logp, float *entropy, float *lse);
void OP(score_backward)(struct device *d, size_t R, size_t V, float *logits, size_t ldl,
                        float temperature, const int32_t *target, const float *lse,
                        const float *coef);
double OP(sum_squares)(struct device *d, size_t n, const float *x);
void OP(adamw)(struct device *d, size_t n, const struct adamw *a, float *p, float *m, float *v,
               const float *grad, enum dtype t, void *rounded);

#endif
