// device.cu: a GPU as a device: opening it, its scratch memory, and the table of ops.
//
// Forward ops give the bits of the CPU back end, log-probs included; that is tested op by op but not
// promised across back ends: runs that mix them are refused by the id.
//
// Ops only queue work on the device's stream. What reads or writes host memory (upload, download,
// pack, sample, score, sum_squares) has happened at return, and so has everything queued before it
// (device.h).

#include "kernels/cuda/ops.h"

#include <stdlib.h>

// In the order of struct device_ops.
static const struct device_ops cuda_table = {
    .numerics_id = "cuda-f32-1",
    .unified = false,
    .alloc = cuda_alloc,
    .release = cuda_release,
    .upload = cuda_upload,
    .download = cuda_download,
    .copy = cuda_copy,
    .zero = cuda_zero,
    .packed_bytes = cuda_packed_bytes,
    .pack = cuda_pack,
    .transpose = cuda_transpose,
    .embed = cuda_embed,
    .rmsnorm = cuda_rmsnorm,
    .norm_heads = cuda_norm_heads,
    .bias = cuda_bias,
    .add = cuda_add,
    .gemm = cuda_gemm,
    .rope = cuda_rope,
    .attention = cuda_attention,
    .scatter_rows = cuda_scatter_rows,
    .gather_rows = cuda_gather_rows,
    .swiglu = cuda_swiglu,
    .sample = cuda_sample,
    .head_sample = cuda_head_sample,
    .gemm_dw = cuda_gemm_dw,
    .rmsnorm_backward = cuda_rmsnorm_backward,
    .norm_heads_backward = cuda_norm_heads_backward,
    .bias_backward = cuda_bias_backward,
    .attention_backward = cuda_attention_backward,
    .swiglu_backward = cuda_swiglu_backward,
    .scatter_add_rows = cuda_scatter_add_rows,
    .score = cuda_score,
    .score_backward = cuda_score_backward,
    .sum_squares = cuda_sum_squares,
    .adamw = cuda_adamw,
};

enum err cuda_open(struct pool *pool, struct device **out, struct why *why)
{
    struct cuda_device *c = (struct cuda_device *)calloc(1, sizeof *c);
    if (c == NULL) {
        return why_set(why, ERR_NOMEM, "device cuda: out of memory");
    }
    c->base.ops = &cuda_table;
    c->base.pool = pool;
    c->base.state = c;
    c->last = "opening";
    enum err e = rt_start(c, why);
    if (e != ERR_OK) {
        free(c);
        return e;
    }
    *out = &c->base;
    return ERR_OK;
}

void cuda_close(struct device *d)
{
    struct cuda_device *c = cuda_of(d);
    if (c->scratch != NULL) {
        rt_free(c, c->scratch);
    }
    rt_stop(c);
    free(c);
}

const char *cuda_isa(const struct device *d)
{
    return ((const struct cuda_device *)d->state)->name;
}

void *cuda_scratch(struct cuda_device *c, size_t bytes)
{
    if (bytes <= c->scratch_bytes) {
        return c->scratch;
    }
    if (c->scratch != NULL) {
        rt_free(c, c->scratch);
    }
    const size_t step = (size_t)16 << 20;
    struct why why;
    c->scratch_bytes = div_up(bytes, step) * step;
    if (rt_alloc(c, c->scratch_bytes, &c->scratch, &why) != ERR_OK) {
        rt_fail(c, why.text);
    }
    return c->scratch;
}
