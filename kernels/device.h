// device.h: the one door to the arithmetic: a device is a const table of ops over its own memory.
//
// Model code holds device pointers, passes them to ops and reads back with `download`; it never
// dereferences them. That is what makes cuda/ an addition and not a rewrite. All sizes are checked
// by the caller (model code): ops only CHECK. Ops may be queued: they run in the order of the calls,
// and what they read on the host has been read at return. Whatever hands something to the host or
// takes it from there (upload, download, pack, sample, score, sum_squares …) returns when it and
// all before it is done; so what one device filled in last by upload or pack, another of the same
// kind in this process may read. One thread at a time drives a device; the CPU's ops leave
// flush-to-zero set on it, as on the pool's threads.
//
// The forward ops are *canonical*: for one numerics_id, a result's bits depend on its mathematical
// inputs alone, never on the number of rows beside it, thread count, page placement, or instruction
// set. The rules:
//   gemm        each output element is one chain acc = fmaf(x[k], w[k], acc), k ascending from
//               acc = 0; ADD mode then does out = out + acc
//   sums        (norms, dot products of q and k) 16 lanes, lane i takes elements i, i+16, …, fmaf
//               where products are summed; then the fixed tree 8, 4, 2, 1 (lane[i] + lane[i+8], …)
//   attention   key blocks of 64 anchored at absolute position 0 of the row's key list; per block:
//               scores, block max, exp, sum; running max, sum and output are rescaled once per
//               block; output element d accumulates by fmaf over the keys in order. A window leaves the
//               blocks where they are: keys before it have no weight and blocks before it no part
//   log-sum-exp vocabulary blocks of 1024: block max, then sum of exp((x - block max) / T) by 16
//               lanes; blocks are combined in order, in double
//   exp, log    our own polynomials (kernels/cpu/mathfun.h), the same on every path; divisions are
//               divisions, never products with a reciprocal
// Backward ops are bit-equal run to run and for every thread count on one instruction set, not
// across sets.
//
// Letters: R rows (tokens), C hidden, N output columns, K input columns, V vocabulary, H query
// heads, G key/value heads, D head size, F feed-forward size. `=` or `+=` is said for every output.
// ld* = distance between rows in elements.
#ifndef CARAVAN_KERNELS_DEVICE_H
#define CARAVAN_KERNELS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/pool.h"

enum dtype { DTYPE_BF16, DTYPE_F32 };     // of packed weights; activations are always f32
enum gemm_mode { GEMM_SET, GEMM_ADD };    // out = x W^T, out += x W^T

size_t dtype_size(enum dtype t);
uint16_t bf16_from_f32(float x);    // round to nearest even; NaN stays NaN
void bf16_from_floats(const float *x, size_t n, uint16_t *out);
float bf16_to_f32(uint16_t x);

// Which keys each row sees. Row r attends to K/V rows kv_index[kv_off[r] + j], j = 0 ..
// kv_len[r]-1, where j is the key's absolute position (so the causal mask is kv_len[r] = position +
// 1). Paged caches, shared prompts and packed training batches are all just index lists. Device
// memory. With a window w > 0 (sliding-window attention) only the row's last w keys, j >= kv_len[r]
// - w, are visited.
struct attn_keys {
    const int32_t *kv_index;
    const int32_t *kv_off;    // (R)
    const int32_t *kv_len;    // (R), >= 1
    int32_t window;           // 0 = all
};

// How to draw one token from one row of logits. target >= 0: no draw, that token is scored.
// Top-k is taken first, then top-p of what it leaves, renormalised; ties at either boundary keep
// the lowest indices. Then min-p (Nguyen et al. 2024): of what is left, the tokens at least min_p
// times as probable as the most likely one.
struct sample_spec {
    float temperature;    // > 0; 0 = greedy (lowest index wins ties), scored at temperature 1
    float top_p;          // 1 = off
    float min_p;          // 0 = off, at most 1
    int32_t top_k;        // 0 = off
    int32_t target;       // -1 = draw
    float u;              // uniform in [0, 1): inverse CDF in vocabulary order over the kept tokens
};

struct sample_out {
    int32_t token;
    float logp;       // log_softmax(logits / T)[token] before truncation; T = 1 for temperature 0
    float entropy;    // of softmax(logits / T), nats
    float kept;       // probability mass left by top-k, top-p, min-p (1 when off)
};

struct adamw {
    float lr, beta1, beta2, eps, weight_decay;
    float bias1, bias2;    // 1 - beta^t
    float grad_scale;      // clipping factor, applied to the gradient first
};

enum {
    DEVICE_MAX_VOCAB = 1 << 20,    // V of sample and score
};

struct device;

struct device_ops {
    const char *numerics_id;    // e.g. "cpu-f32-1": equal ids promise equal forward bits
    // Device memory is the process's own: any mapping of it, files and shared memory included, may
    // stand where device memory is asked for.
    bool unified;
    // memory: 64-byte aligned, zeroed
    enum err (*alloc)(struct device *d, size_t bytes, void **out, struct why *why);
    void (*release)(struct device *d, void *p);    // NULL is fine
    void (*upload)(struct device *d, void *dst, const void *host, size_t bytes);
    void (*download)(struct device *d, void *host, const void *src, size_t bytes);
    void (*copy)(struct device *d, void *dst, const void *src, size_t bytes);
    void (*zero)(struct device *d, void *dst, size_t bytes);

    // weights: W (N, K) row-major on the host -> panels of 16 output columns, each (K, 16); N is
    // padded with zeros to a multiple of 16
    size_t (*packed_bytes)(enum dtype t, size_t N, size_t K);
    void (*pack)(struct device *d, enum dtype t, size_t N, size_t K, const void *w, void *packed);
    // packed (N, K) -> packed_t, the panels of W^T (K, N).
    void (*transpose)(struct device *d, enum dtype t, size_t N, size_t K, const void *packed,
                      void *packed_t);

    // forward
    // out (R, C) =
    void (*embed)(struct device *d, enum dtype t, size_t R, size_t V, size_t C, const void *packed,
                  const int32_t *ids, float *out);
    // out =, may be in place of x; rstd (R) = or NULL.
    void (*rmsnorm)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                    const float *w, float eps, float *out, size_t ldo, float *rstd);
    // RMSNorm of every head by itself, in place: x (R, heads, D), w (D) the same for all heads.
    // Backward needs kept (R, heads, D) = x as it came and rstd (R, heads) =; both may be NULL.
    void (*norm_heads)(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
                       const float *w, float eps, float *kept, size_t ldk, float *rstd);
    // x (R, N) += bias (N) in every row.
    void (*bias)(struct device *d, size_t R, size_t N, const float *bias, float *x, size_t ldx);
    // out (n) += x.
    void (*add)(struct device *d, size_t n, const float *x, float *out);
    void (*gemm)(struct device *d, enum dtype t, enum gemm_mode mode, size_t R, size_t N, size_t K,
                 const float *x, size_t ldx, const void *packed, float *out, size_t ldo);
    // rotates pairs (i, i + D/2) of every head by angle pos * inv_freq[i]; table (positions, D/2,
    // 2) = cos, sin; inverse != 0 turns back (backward)
    void (*rope)(struct device *d, size_t R, size_t heads, size_t D, float *x, size_t ldx,
                 const int32_t *pos, const float *table, int inverse);
    // q (R, H, D), k and v (rows, G, D) of one layer, out (R, H, D) =; scale multiplies the scores;
    // lse (R, H) = or NULL. Head h reads key head h / (H / G).
    void (*attention)(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                      const float *q, size_t ldq, const float *k, const float *v, size_t ldkv,
                      const struct attn_keys *keys, float *out, size_t ldo, float *lse);
    // out[row[r]] = x[r].
    void (*scatter_rows)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                         const int32_t *row, float *out, size_t ldo);
    // out[r] = x[row[r]].
    void (*gather_rows)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                        const int32_t *row, float *out, size_t ldo);
    // out = silu(gate) * up.
    void (*swiglu)(struct device *d, size_t R, size_t F, const float *gate, const float *up,
                   size_t ld, float *out, size_t ldo);
    // one row of logits each (R, V) -> a token and its score; spec and out are host arrays
    void (*sample)(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
                   const struct sample_spec *spec, struct sample_out *out);
    // The head and `sample` in one, with the bits of gemm and sample: row r of x (R, C) times W^T
    // has V logits, and these give a token and its score. Logits are never stored as a whole,
    // except for draws that truncate (top-k, top-p, min-p): theirs pass through `logits` (R, V),
    // scratch.
    void (*head_sample)(struct device *d, enum dtype t, size_t R, size_t V, size_t C,
                        const float *x, size_t ldx, const void *packed, float *logits,
                        const struct sample_spec *spec, struct sample_out *out);

    // backward
    // dw (N, K) += dy^T x.
    void (*gemm_dw)(struct device *d, size_t R, size_t N, size_t K, const float *dy, size_t ldy,
                    const float *x, size_t ldx, float *dw);
    // dx +=, dw (C) +=
    void (*rmsnorm_backward)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                             const float *w, const float *rstd, const float *dy, size_t ldy,
                             float *dx, size_t lddx, float *dw);
    // Gradient of norm_heads: dx holds dL/dout and becomes dL/dx in place; dw (D) +=
    void (*norm_heads_backward)(struct device *d, size_t R, size_t heads, size_t D,
                                const float *kept, size_t ldk, const float *w, const float *rstd,
                                float *dx, size_t lddx, float *dw);
    // db (N) += the rows of dy, r ascending.
    void (*bias_backward)(struct device *d, size_t R, size_t N, const float *dy, size_t ldy,
                          float *db);
    // dq =, dk += and dv += (rows as in kv_index).
    void (*attention_backward)(struct device *d, size_t R, size_t H, size_t G, size_t D,
                               float scale, const float *q, size_t ldq, const float *k,
                               const float *v, size_t ldkv, const struct attn_keys *keys,
                               const float *out, const float *dout, size_t ldo, const float *lse,
                               float *dq, size_t lddq, float *dk, float *dv, size_t lddkv);
    // dgate =, dup =; may be in place of gate and up. dout becomes out again, as swiglu makes it.
    void (*swiglu_backward)(struct device *d, size_t R, size_t F, const float *gate,
                            const float *up, size_t ld, float *dout, size_t lddo, float *dgate,
                            float *dup, size_t lddg);
    // out[row[r]] += x[r], r ascending.
    void (*scatter_add_rows)(struct device *d, size_t R, size_t C, const float *x, size_t ldx,
                             const int32_t *row, float *out, size_t ldo);
    // Token scores with what backward needs. logits (R, V) in; logp, entropy (or NULL), lse (R)
    // host arrays =. target (R) host. The same arithmetic as `sample`, temperature 0 included.
    void (*score)(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
                  float temperature, const int32_t *target, float *logp, float *entropy,
                  float *lse);
    // logits (R, V) become dL/dlogits = coef[r] * (onehot(target) - softmax(logits / T)) / T, in
    // place; coef (host) = dL/dlogp
    void (*score_backward)(struct device *d, size_t R, size_t V, float *logits, size_t ldl,
                           float temperature, const int32_t *target, const float *lse,
                           const float *coef);

    // optimiser
    // Fixed blocks of 4096, summed in order in double.
    double (*sum_squares)(struct device *d, size_t n, const float *x);
    // p, m, v (n) updated from grad; decoupled weight decay (Loshchilov & Hutter 2019) on elements
    // of this call; rounded (n) = bf16/f32 copy of p for publication, or NULL
    void (*adamw)(struct device *d, size_t n, const struct adamw *a, float *p, float *m, float *v,
                  const float *grad, enum dtype t, void *rounded);
};

struct device {
    const struct device_ops *ops;
    struct pool *pool;    // borrowed; NULL = single-threaded
    void *state;
};

// kind: "cpu" (best path of this CPU), "cpu-portable", "cpu-avx2", "cpu-avx512" (ERR_UNSUPPORTED
// where the CPU lacks it), "cuda" (ERR_UNSUPPORTED with the reason where build or machine has none;
// docs/cuda.md).
MUST_CHECK enum err device_open(const char *kind, struct pool *pool, struct device **out,
                                struct why *why);
void device_close(struct device *d);               // NULL is fine
const char *device_isa(const struct device *d);    // "avx2": for people, not for decisions

#endif
