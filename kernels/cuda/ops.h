// ops.h: what the op files of the CUDA back end share. Private to kernels/cuda/.
//
// An op has the signature of its member in `struct device_ops`, checks its sizes, fills the struct
// of a kernel and launches it; device.cu gathers them in one table. To add one: kernel and op in the
// file of its kind, a prototype here, a line in the table.
//
// Memory layout of packed weights: panels of 16 columns; f32: (K, 16); bf16: words of two steps,
// (K / 2, 16), the even one in the low half, an odd K ending with a zero. A panel's next steps are
// always the next bytes.
#ifndef CARAVAN_KERNELS_CUDA_OPS_H
#define CARAVAN_KERNELS_CUDA_OPS_H

#include "kernels/cuda/rt.h"

enum { PANEL = 16, VOCAB_BLOCK = 1024 };

// One device: the public part first. Scratch memory belongs to the op that runs; it grows when an
// op needs more and is given back at close.
struct cuda_device {
    struct device base;
    void *rt;            // of the runtime: stream, cuBLAS
    const char *last;    // the kernel launched last, for messages
    size_t multiprocessors;
    char name[64];    // of the chip
    void *scratch;
    size_t scratch_bytes;
};

static inline struct cuda_device *cuda_of(struct device *d)
{
    return (struct cuda_device *)d->state;
}

static inline size_t div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

// At least `bytes` of device memory until the next op; 256-byte aligned. Running out is fatal.
void *cuda_scratch(struct cuda_device *d, size_t bytes);
// Cuts scratch memory: a piece of n bytes at *at, which moves on by a multiple of 256.
static inline void *cuda_piece(char **at, size_t bytes)
{
    void *p = *at;
    *at += div_up(bytes, 256) * 256;
    return p;
}

enum err cuda_open(struct pool *pool, struct device **out, struct why *why);
void cuda_close(struct device *d);
const char *cuda_isa(const struct device *d);

// ---- pack.cu
enum err cuda_alloc(struct device *d, size_t bytes, void **out, struct why *why);
void cuda_release(struct device *d, void *p);
void cuda_upload(struct device *d, void *dst, const void *host, size_t bytes);
void cuda_download(struct device *d, void *host, const void *src, size_t bytes);
void cuda_copy(struct device *d, void *dst, const void *src, size_t bytes);
void cuda_zero(struct device *d, void *dst, size_t bytes);
size_t cuda_packed_bytes(enum dtype t, size_t N, size_t K);
void cuda_pack(struct device *d, enum dtype t, size_t N, size_t K, const void *w, void *packed);
void cuda_transpose(struct device *d, enum dtype t, size_t N, size_t K, const void *packed,
                    void *packed_t);
// ---- gemm.cu
void cuda_gemm(struct device *d, enum dtype t, enum gemm_mode mode, size_t R, size_t N, size_t K,
               const float *x, size_t ldx, const void *packed, float *out, size_t ldo);
void cuda_gemm_dw(struct device *d, size_t R, size_t N, size_t K, const float *dy, size_t ldy,
                  const float *x, size_t ldx, float *dw);
// ---- rows.cu
void cuda_embed(struct device *d, enum dtype t, size_t R, size_t V, size_t C, const void *packed,
                const int32_t *ids, float *out);
void cuda_rmsnorm(struct device *d, size_t R, size_t C, const float *x, size_t ldx, const float *w,
                  float eps, float *out, size_t ldo, float *rstd);
void cuda_norm_heads(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
                     const float *w, float eps, float *kept, size_t ldk, float *rstd);
void cuda_bias(struct device *d, size_t R, size_t N, const float *bias, float *x, size_t ldx);
void cuda_add(struct device *d, size_t n, const float *x, float *out);
void cuda_rope(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
               const int32_t *pos, const float *table, int inverse);
void cuda_scatter_rows(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                       const int32_t *row, float *out, size_t ldo);
void cuda_gather_rows(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                      const int32_t *row, float *out, size_t ldo);
void cuda_swiglu(struct device *d, size_t R, size_t F, const float *gate, const float *up,
                 size_t ld, float *out, size_t ldo);
void cuda_rmsnorm_backward(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                           const float *w, const float *rstd, const float *dy, size_t ldy,
                           float *dx, size_t lddx, float *dw);
void cuda_norm_heads_backward(struct device *d, size_t R, size_t heads, size_t D, const float *kept,
                              size_t ldk, const float *w, const float *rstd, float *dx, size_t lddx,
                              float *dw);
void cuda_bias_backward(struct device *d, size_t R, size_t N, const float *dy, size_t ldy,
                        float *db);
void cuda_swiglu_backward(struct device *d, size_t R, size_t F, const float *gate, const float *up,
                          size_t ld, float *dout, size_t lddo, float *dgate, float *dup,
                          size_t lddg);
void cuda_scatter_add_rows(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                           const int32_t *row, float *out, size_t ldo);
// ---- attention.cu, attention_backward.cu
void cuda_attention(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                    const float *q, size_t ldq, const float *k, const float *v, size_t ldkv,
                    const struct attn_keys *keys, float *out, size_t ldo, float *lse);
void cuda_attention_backward(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                             const float *q, size_t ldq, const float *k, const float *v,
                             size_t ldkv, const struct attn_keys *keys, const float *out,
                             const float *dout, size_t ldo, const float *lse, float *dq,
                             size_t lddq, float *dk, float *dv, size_t lddkv);
// ---- score.cu, sample.cu
void cuda_sample(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
                 const struct sample_spec *spec, struct sample_out *out);
void cuda_head_sample(struct device *d, enum dtype t, size_t R, size_t V, size_t C, const float *x,
                      size_t ldx, const void *packed, float *logits, const struct sample_spec *spec,
                      struct sample_out *out);
void cuda_score(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
                float temperature, const int32_t *target, float *logp, float *entropy, float *lse);
void cuda_score_backward(struct device *d, size_t R, size_t V, float *logits, size_t ldl,
                         float temperature, const int32_t *target, const float *lse,
                         const float *coef);
// ---- optim.cu
double cuda_sum_squares(struct device *d, size_t n, const float *x);
void cuda_adamw(struct device *d, size_t n, const struct adamw *a, float *p, float *m, float *v,
                const float *grad, enum dtype t, void *rounded);

#endif
