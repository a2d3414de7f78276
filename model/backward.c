// backward.c: the gradient of a loss over log-probs, for every parameter, by hand.
//
// For y = x W^T:       dx = dy W,  dW += dy^T x
// For the head:        dlogits = dL/dlogp * (onehot(target) - softmax(logits / T)) / T
// Residual branches:   x_out = x + f(x)  =>  dx = dx_out + f'(x)^T dx_out; the sum is left standing
//                      in dx, and each norm's backward adds its branch to it.
//
// In:  weights as rounded for this version (the same panels that forward used), the activations of
//      model.c's struct layer_acts; norm outputs and SwiGLU products are computed again. Forward
//      and head run chunk by chunk: a chunk of logits becomes its own gradient in place and is gone
//      before the next.
// Out: grads +=, flat in table order. q, k, v (and gate, up) lie side by side there as they do in
//      the weights, so one product fills all three. A tied embedding gathers both uses: head chunks
//      first, then the rows it fed.
//
// The order of additions is fixed by the batch alone, so gradients are bit-equal run to run on one
// instruction set. A cancelled pass leaves part of its sums in grads: the caller zeroes or drops
// them.

#include <math.h>

#include "model/internal.h"

// Where a parameter's gradient starts. Kinds are numbered in table order.
static float *grad_of(const struct model *m, float *grads, enum param_kind kind, size_t layer)
{
    size_t per_layer = PARAM_DOWN - PARAM_ATTN_NORM + 1;
    size_t index = 0;
    if (kind >= PARAM_FINAL_NORM) {
        index = 1 + m->dim.L * per_layer + (size_t)(kind - PARAM_FINAL_NORM);
    } else if (kind > PARAM_EMBED) {
        index = 1 + layer * per_layer + (size_t)(kind - PARAM_ATTN_NORM);
    }
    const struct param *p = &m->params.params[index];
    CHECK(index < m->params.n && p->kind == kind);
    return grads + p->offset;
}

// dact (R, F) = dx Wdown, through SwiGLU in place into gate_up, through the norm; dx +=
static void backward_ffn(struct model *m, const struct weights *w, size_t layer, size_t R,
                         struct layer_acts *a, float *grads)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    const struct layer_weights *lw = &w->layers[layer];
    size_t C = m->dim.C, F = m->dim.F;
    float *gate = a->gate_up, *up = a->gate_up + F;    // (R, F) each, rows 2F apart

    op->swiglu(d, R, F, gate, up, 2 * F, m->act, F);    // again: act (R, F)
    op->gemm_dw(d, R, C, F, m->dx, C, m->act, F, grad_of(m, grads, PARAM_DOWN, layer));    // +=
    op->gemm(d, w->t, GEMM_SET, R, F, C, m->dx, C, lw->down.packed_t, m->dact, F);
    op->swiglu_backward(d, R, F, gate, up, 2 * F, m->dact, F, gate, up, 2 * F);    // in place

    op->rmsnorm(d, R, C, a->x_mid, C, lw->ffn_norm, m->config.rms_eps, m->xn, C, NULL);    // again
    // Gate, up +=
    op->gemm_dw(d, R, 2 * F, C, a->gate_up, 2 * F, m->xn, C, grad_of(m, grads, PARAM_GATE, layer));
    op->gemm(d, w->t, GEMM_SET, R, C, 2 * F, a->gate_up, 2 * F, lw->gate_up.packed_t, m->dxn, C);
    // dx +=, dw +=
    op->rmsnorm_backward(d, R, C, a->x_mid, C, lw->ffn_norm, a->rstd_ffn, m->dxn, C, m->dx, C,
                         grad_of(m, grads, PARAM_FFN_NORM, layer));
}

// datt (R, Q) = dx Wo, through attention and RoPE into dqkv, through the norm; dx +=
static void backward_attention(struct model *m, const struct weights *w, size_t layer, size_t R,
                               const struct layer_acts *a, float *grads)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    const struct layer_weights *lw = &w->layers[layer];
    const struct dims *n = &m->dim;
    size_t C = n->C, Q = n->Q, W = n->W;
    const float *k = a->qkv + Q, *v = k + n->KV;
    float *dk = m->dqkv + Q, *dv = dk + n->KV;
    struct attn_keys keys = {m->kv_index, m->kv_off, m->kv_len};

    op->gemm_dw(d, R, C, Q, m->dx, C, a->att, Q, grad_of(m, grads, PARAM_O, layer));    // +=
    op->gemm(d, w->t, GEMM_SET, R, Q, C, m->dx, C, lw->o.packed_t, m->datt, Q);
    op->zero(d, m->dqkv, R * W * sizeof(float));
    // Dq =, dk +=, dv +=
    op->attention_backward(d, R, n->H, n->G, n->D, m->scale, a->qkv, W, k, v, W, &keys, a->att,
                           m->datt, Q, a->lse, m->dqkv, W, dk, dv, W);
    op->rope(d, R, n->H + n->G, n->D, m->dqkv, W, m->pos, m->rope, 1);    // turned back

    op->rmsnorm(d, R, C, a->x, C, lw->attn_norm, m->config.rms_eps, m->xn, C, NULL);    // again
    // q, k, v +=
    op->gemm_dw(d, R, W, C, m->dqkv, W, m->xn, C, grad_of(m, grads, PARAM_Q, layer));
    op->gemm(d, w->t, GEMM_SET, R, C, W, m->dqkv, W, lw->qkv.packed_t, m->dxn, C);
    // dx +=, dw +=
    op->rmsnorm_backward(d, R, C, a->x, C, lw->attn_norm, a->rstd_attn, m->dxn, C, m->dx, C,
                         grad_of(m, grads, PARAM_ATTN_NORM, layer));
}

struct loss_call {
    float temperature;
    model_loss_fn *fn;
    void *arg;
};

// Outs first .. first + n - 1: score them, ask for the loss, and send its gradient into the head
// and dx (+=).
static void backward_head_chunk(struct model *m, const struct weights *w, const struct batch *b,
                                const struct loss_call *loss, const float *x, size_t first,
                                size_t n, float *grads)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    size_t C = m->dim.C, V = m->dim.V;
    const int32_t *target = b->target + first;
    float logp[HEAD_ROWS], entropy[HEAD_ROWS], lse[HEAD_ROWS], coef[HEAD_ROWS] = {0};

    forward_head(m, w, b, x, first, n);
    op->score(d, n, V, m->logits, V, loss->temperature, target, logp, entropy, lse);
    loss->fn(loss->arg, first, n, logp, entropy, coef);
    op->score_backward(d, n, V, m->logits, V, loss->temperature, target, lse, coef);    // dlogits =

    enum param_kind head = m->config.tied ? PARAM_EMBED : PARAM_HEAD;
    op->gemm_dw(d, n, V, C, m->logits, V, m->xn_out, C, grad_of(m, grads, head, 0));    // +=
    op->gemm(d, w->t, GEMM_SET, n, C, V, m->logits, V, w->head.packed_t, m->dxn_out, C);
    op->zero(d, m->dx_out, n * C * sizeof(float));
    // +=
    op->rmsnorm_backward(d, n, C, m->x_out, C, w->final_norm, m->rstd_out, m->dxn_out, C, m->dx_out,
                         C, grad_of(m, grads, PARAM_FINAL_NORM, 0));
    // A row may have many outs.
    op->scatter_add_rows(d, n, C, m->dx_out, C, m->out_row, m->dx, C);
}

static enum err check_train(const struct model *m, const struct weights *w, const struct batch *b,
                            float temperature, struct why *why)
{
    if (m->limits.train_rows == 0 || !w->for_training || !w->transposed) {
        return why_set(why, ERR_INVALID, "model or weights were not made for training");
    }
    if (!(temperature > 0 && isfinite(temperature))) {
        return why_set(why, ERR_INVALID, "temperature %g is not a finite number > 0",
                       (double)temperature);
    }
    return forward_check(m, w, b, m->limits.train_rows, b->n_rows, true, why);
}

enum err model_train(struct model *m, const struct weights *w, const struct batch *b,
                     float temperature, model_loss_fn *loss, void *arg, float *grads,
                     const atomic_bool *cancel, struct why *why)
{
    enum err e = check_train(m, w, b, temperature, why);
    if (e != ERR_OK) {
        return e;
    }
    size_t R = b->n_rows, C = m->dim.C;
    const struct device_ops *op = m->d->ops;
    float *x = NULL;
    forward_upload(m, b);
    e = forward_layers(m, w, NULL, R, m->train, cancel, &x, why);
    if (e != ERR_OK) {
        return e;
    }
    struct loss_call call = {temperature, loss, arg};
    op->zero(m->d, m->dx, R * C * sizeof(float));
    for (size_t first = 0; e == ERR_OK && first < b->n_out; first += HEAD_ROWS) {
        backward_head_chunk(m, w, b, &call, x, first, MIN(HEAD_ROWS, b->n_out - first), grads);
        e = forward_cancelled(cancel, why);
    }
    for (size_t l = m->dim.L; e == ERR_OK && l-- > 0;) {
        backward_ffn(m, w, l, R, &m->train[l], grads);
        backward_attention(m, w, l, R, &m->train[l], grads);
        e = forward_cancelled(cancel, why);
    }
    if (e == ERR_OK) {
        // Rows of equal tokens add up.
        op->scatter_add_rows(m->d, R, C, m->dx, C, m->token, grad_of(m, grads, PARAM_EMBED, 0), C);
    }
    return e;
}
