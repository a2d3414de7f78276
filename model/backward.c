// backward.c: the gradient of a loss over log-probs, for every parameter, by hand.
//
// For y = x W^T:       dx = dy W,  dW += dy^T x
// For the head:        dlogits = dL/dlogp * (onehot(target) - softmax(logits / T)) / T
// Residual branches:   x_out = x + f(x)  =>  dx = dx_out + f'(x)^T dx_out; the sum is left standing
//                      in dx, and each branch adds to it, through its norm or behind it.
//
// In:  weights as rounded for this version (the same panels that forward used; W^T is turned from
//      them into scratch right before the product that reads it), the activations of
//      model.c's struct layer_acts; norm outputs and SwiGLU products are computed again. Forward
//      and head run chunk by chunk: a chunk of logits becomes its own gradient in place and is gone
//      before the next. With limits.recompute the layers share one set of activations, and each
//      is run again from its input.
// Out: grads +=, flat in table order. q, k, v (and gate, up) lie side by side there as they do in
//      the weights, so one product fills all three. A tied embedding gathers both uses: head chunks
//      first, then the rows it fed.
//
// The order of additions is fixed by the batch alone, so gradients are bit-equal run to run on one
// instruction set. A cancelled pass leaves part of its sums in grads: the caller zeroes or drops
// them.

#include <math.h>

#include "model/internal.h"

// Where a parameter's gradient starts.
static float *grad_of(const struct model *m, float *grads, enum param_kind kind, size_t layer)
{
    const struct param *p = param_table_at(&m->params, kind, layer);
    CHECK(p != NULL);
    return grads + p->offset;
}

// dx (R, cols) =, or +=, dy (R, rows) W, a block of W's rows at a time: its part of dy comes from
// cache, and its W^T is small, also that of the head.
static void product_back(struct model *m, const struct weights *w, enum gemm_mode mode, size_t R,
                         const float *dy, const struct matrix *a, float *dx)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    for (size_t first = 0; first < a->rows; first += TURN_ROWS) {
        size_t n = MIN((size_t)TURN_ROWS, a->rows - first);
        const char *panels = (const char *)a->packed + op->packed_bytes(w->t, first, a->cols);
        op->transpose(d, w->t, n, a->cols, panels, m->wt);
        op->gemm(d, w->t, first == 0 ? mode : GEMM_ADD, R, a->cols, n, dy + first, a->rows, m->wt,
                 dx, a->cols);
    }
}

// The gradient at the last product of a branch: dx itself, or, where a norm stands behind the
// branch, what comes back through it, in m->dxn; dnorm +=
static const float *enter_branch(struct model *m, size_t R, const float *y, const float *norm,
                                 const float *rstd, float *dnorm)
{
    size_t C = m->dim.C;
    const struct device_ops *op = m->d->ops;
    if (!m->family->norm_after) {
        return m->dx;
    }
    op->zero(m->d, m->dxn, R * C * sizeof(float));
    op->rmsnorm_backward(m->d, R, C, y, C, norm, rstd, m->dx, C, m->dxn, C, dnorm);
    return m->dxn;
}

// dx += dy (R, N) Wfirst, through the norm where it stands before the branch; dnorm +=
static void leave_branch(struct model *m, const struct weights *w, size_t R, const float *dy,
                         const struct matrix *first, const float *x, const float *norm,
                         const float *rstd, float *dnorm)
{
    size_t C = m->dim.C;
    if (m->family->norm_after) {
        product_back(m, w, GEMM_ADD, R, dy, first, m->dx);
        return;
    }
    product_back(m, w, GEMM_SET, R, dy, first, m->dxn);
    m->d->ops->rmsnorm_backward(m->d, R, C, x, C, norm, rstd, m->dxn, C, m->dx, C, dnorm);
}

// dact (R, F) = dy Wdown, through SwiGLU in place into gate_up, while act comes again; dx +=
static void backward_ffn(struct model *m, const struct weights *w, size_t layer, size_t R,
                         struct layer_acts *a, float *grads)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    const struct layer_weights *lw = &w->layers[layer];
    size_t C = m->dim.C, F = m->dim.F;
    float *gate = a->gate_up, *up = a->gate_up + F;    // (R, F) each, rows 2F apart
    float *dnorm = grad_of(m, grads, PARAM_FFN_NORM, layer);

    const float *dy = enter_branch(m, R, a->y_ffn, lw->ffn_norm, a->rstd_ffn, dnorm);
    product_back(m, w, GEMM_SET, R, dy, &lw->down, m->act);
    op->swiglu_backward(d, R, F, gate, up, 2 * F, m->act, F, gate, up, 2 * F);    // all in place
    op->gemm_dw(d, R, C, F, dy, C, m->act, F, grad_of(m, grads, PARAM_DOWN, layer));    // +=

    const float *in = forward_branch_input(m, R, a->x_mid, lw->ffn_norm, NULL);    // again
    // Gate, up +=
    op->gemm_dw(d, R, 2 * F, C, a->gate_up, 2 * F, in, C, grad_of(m, grads, PARAM_GATE, layer));
    leave_branch(m, w, R, a->gate_up, &lw->gate_up, a->x_mid, lw->ffn_norm, a->rstd_ffn, dnorm);
}

// dqkv from what attention takes back to the product of q, k, v: RoPE, norms, biases, in place.
static void backward_qkv(struct model *m, const struct layer_weights *lw, size_t layer, size_t R,
                         const struct layer_acts *a, float *grads)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    const struct dims *n = &m->dim;
    size_t Q = n->Q, KV = n->KV, W = n->W;
    op->rope(d, R, n->H + n->G, n->D, m->dqkv, W, m->pos, m->rope, 1);    // turned back
    if (n->HN > 0) {
        op->norm_heads_backward(d, R, n->HN, Q / n->HN, a->qk, Q + KV, lw->q_norm, a->rstd_q,
                                m->dqkv, W, grad_of(m, grads, PARAM_Q_NORM, layer));
        op->norm_heads_backward(d, R, n->GN, KV / n->GN, a->qk + Q, Q + KV, lw->k_norm, a->rstd_k,
                                m->dqkv + Q, W, grad_of(m, grads, PARAM_K_NORM, layer));
    }
    if (lw->qkv_bias != NULL) {    // q, k, v side by side
        op->bias_backward(d, R, W, m->dqkv, W, grad_of(m, grads, PARAM_Q_BIAS, layer));
    }
}

// datt (R, Q) = dy Wo, through attention into dqkv; dx +=
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
    const struct attn_keys keys = forward_keys(m, layer);
    float *dnorm = grad_of(m, grads, PARAM_ATTN_NORM, layer);

    const float *dy = enter_branch(m, R, a->y_attn, lw->attn_norm, a->rstd_attn, dnorm);
    op->gemm_dw(d, R, C, Q, dy, C, a->att, Q, grad_of(m, grads, PARAM_O, layer));    // +=
    product_back(m, w, GEMM_SET, R, dy, &lw->o, m->datt);
    op->zero(d, m->dqkv, R * W * sizeof(float));
    // Dq =, dk +=, dv +=
    op->attention_backward(d, R, n->H, n->G, n->D, m->scale, a->qkv, W, k, v, W, &keys, a->att,
                           m->datt, Q, a->lse, m->dqkv, W, dk, dv, W);
    backward_qkv(m, lw, layer, R, a, grads);

    const float *in = forward_branch_input(m, R, a->x, lw->attn_norm, NULL);    // again
    // q, k, v +=
    op->gemm_dw(d, R, W, C, m->dqkv, W, in, C, grad_of(m, grads, PARAM_Q, layer));
    leave_branch(m, w, R, m->dqkv, &lw->qkv, a->x, lw->attn_norm, a->rstd_attn, dnorm);
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
    product_back(m, w, GEMM_SET, n, m->logits, &w->head, m->dxn_out);
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
    if (m->limits.train_rows == 0) {
        return why_set(why, ERR_INVALID, "the model was not made for training");
    }
    if (dtype_size(w->t) > dtype_size(m->limits.weights)) {
        return why_set(why, ERR_INVALID,
                       "weights of %zu bytes a value do not train: the model was made for %zu",
                       dtype_size(w->t), dtype_size(m->limits.weights));
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
    size_t chunks = (b->n_out + HEAD_ROWS - 1) / HEAD_ROWS, first = 0;
    for (size_t i = 0; e == ERR_OK && i < chunks; i++) {    // of one length
        size_t n = (b->n_out - first) / (chunks - i);
        backward_head_chunk(m, w, b, &call, x, first, n, grads);
        first += n;
        e = forward_cancelled(cancel, why);
    }
    for (size_t l = m->dim.L; e == ERR_OK && l-- > 0;) {
        if (m->limits.recompute && l + 1 < m->dim.L) {    // the last layer's are still there
            forward_again(m, w, l, R, &m->train[l]);
        }
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
