// table.c: the ops of one instruction set as the const table that devices hand out. Compiled once
// per set.
//
// The numerics_id names the arithmetic, not the instruction set: all tables of this back end carry
// the same one, because all give the same forward bits.

#include "kernels/cpu/ops.h"

const struct device_ops OP(table) = {
    .numerics_id = "cpu-f32-1",
    .unified = true,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .upload = cpu_upload,
    .download = cpu_download,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .packed_bytes = cpu_packed_bytes,
    .pack = cpu_pack,
    .transpose = cpu_transpose,
    .embed = OP(embed),
    .rmsnorm = OP(rmsnorm),
    .norm_heads = OP(norm_heads),
    .bias = OP(bias),
    .add = OP(add),
    .gemm = OP(gemm),
    .rope = OP(rope),
    .attention = OP(attention),
    .scatter_rows = OP(scatter_rows),
    .gather_rows = OP(gather_rows),
    .swiglu = OP(swiglu),
    .sample = OP(sample),
    .head_sample = OP(head_sample),
    .gemm_dw = OP(gemm_dw),
    .rmsnorm_backward = OP(rmsnorm_backward),
    .norm_heads_backward = OP(norm_heads_backward),
    .bias_backward = OP(bias_backward),
    .attention_backward = OP(attention_backward),
    .swiglu_backward = OP(swiglu_backward),
    .scatter_add_rows = OP(scatter_add_rows),
    .score = OP(score),
    .score_backward = OP(score_backward),
    .sum_squares = OP(sum_squares),
    .adamw = OP(adamw),
};
