// forward.c: the transformer, row by row of `struct batch`, and its language-model head.
//
//   x = embedding[token]
//   per layer:  x += attention(rope(norm(x) Wqkv^T)) Wo^T
//               x += (silu(norm(x) Wgate^T) * norm(x) Wup^T) Wdown^T
//   logits = norm(x[out_row]) Whead^T
//
// What families do differently (family.h): norms behind the two branches, x += norm(branch(x)),
// instead of before; biases of q, k, v; norms of q and k before RoPE; layers whose attention sees a
// window of keys only.
//
// One function runs a layer for every purpose. What differs is where things lie: inference runs in
// place and reads keys from a cache, scoring reads them from the pass's own q|k|v rows, training
// keeps what backward needs in memory of its own. The ops give each row the same bits in all of
// these places (kernels/device.h), so an actor's log-probs and a learner's are equal, not close.
//
// Only rows that are asked for pass the head, HEAD_ROWS at a time, so no more logits than one chunk
// ever exist.

#include <math.h>

#include "model/internal.h"

static enum err check_counts(const struct model *m, const struct weights *w, const struct batch *b,
                             size_t max_rows, struct why *why)
{
    const struct dims *n = &m->dim, *o = &w->dim;
    if (m->family != w->family || n->V != o->V || n->C != o->C || n->F != o->F || n->H != o->H ||
        n->G != o->G || n->D != o->D || n->L != o->L || m->config.tied != w->config.tied) {
        return why_set(why, ERR_INVALID, "weights and model have different configs");
    }
    if (b->n_rows == 0 || b->n_rows > max_rows) {
        return why_set(why, ERR_LIMIT, "batch: %zu rows is not in 1..%zu", b->n_rows, max_rows);
    }
    if (b->n_index > m->limits.max_index) {
        return why_set(why, ERR_LIMIT, "batch: %zu key index entries, at most %zu", b->n_index,
                       m->limits.max_index);
    }
    return ERR_OK;
}

static enum err check_row(const struct model *m, const struct batch *b, size_t r, size_t kv_rows,
                          struct why *why)
{
    if (b->token[r] < 0 || b->token[r] >= m->config.vocab) {
        return why_set(why, ERR_INVALID, "batch row %zu: token %d is not in 0..%d", r, b->token[r],
                       m->config.vocab - 1);
    }
    if (b->pos[r] < 0 || (size_t)b->pos[r] >= m->limits.max_context) {
        return why_set(why, ERR_LIMIT, "batch row %zu: position %d is not in 0..%zu", r, b->pos[r],
                       m->limits.max_context - 1);
    }
    if (b->kv_row[r] < 0 || (size_t)b->kv_row[r] >= kv_rows) {
        return why_set(why, ERR_INVALID, "batch row %zu: kv_row %d is not in 0..%zu", r,
                       b->kv_row[r], kv_rows - 1);
    }
    if (b->kv_off[r] < 0 || b->kv_len[r] < 1 ||
        (size_t)b->kv_off[r] + (size_t)b->kv_len[r] > b->n_index) {
        return why_set(why, ERR_INVALID, "batch row %zu: keys %d+%d are not in a list of %zu", r,
                       b->kv_off[r], b->kv_len[r], b->n_index);
    }
    return ERR_OK;
}

// Everything the ops take for granted. kv_rows: rows of the cache, or of the batch where there is
// none.
enum err forward_check(const struct model *m, const struct weights *w, const struct batch *b,
                       size_t max_rows, size_t kv_rows, bool scored, struct why *why)
{
    enum err e = check_counts(m, w, b, max_rows, why);
    for (size_t r = 0; e == ERR_OK && r < b->n_rows; r++) {
        e = check_row(m, b, r, kv_rows, why);
    }
    for (size_t i = 0; e == ERR_OK && i < b->n_index; i++) {
        if (b->kv_index[i] < 0 || (size_t)b->kv_index[i] >= kv_rows) {
            e = why_set(why, ERR_INVALID, "batch: key index %zu names row %d, not in 0..%zu", i,
                        b->kv_index[i], kv_rows - 1);
        }
    }
    for (size_t i = 0; e == ERR_OK && i < b->n_out; i++) {
        if (b->out_row[i] < 0 || (size_t)b->out_row[i] >= b->n_rows ||
            b->target[i] < (scored ? 0 : -1) || b->target[i] >= m->config.vocab) {
            e = why_set(why, ERR_INVALID,
                        "batch out %zu: row %d, target %d; rows are 0..%zu, tokens 0..%d", i,
                        b->out_row[i], b->target[i], b->n_rows - 1, m->config.vocab - 1);
        }
    }
    return e;
}

void forward_upload(struct model *m, const struct batch *b)
{
    const struct device_ops *op = m->d->ops;
    size_t bytes = b->n_rows * sizeof(int32_t);
    op->upload(m->d, m->token, b->token, bytes);
    op->upload(m->d, m->pos, b->pos, bytes);
    op->upload(m->d, m->kv_row, b->kv_row, bytes);
    op->upload(m->d, m->kv_off, b->kv_off, bytes);
    op->upload(m->d, m->kv_len, b->kv_len, bytes);
    op->upload(m->d, m->kv_index, b->kv_index, b->n_index * sizeof(int32_t));
}

enum err forward_cancelled(const atomic_bool *cancel, struct why *why)
{
    if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed)) {
        return why_set(why, ERR_CANCELLED, "pass cancelled");
    }
    return ERR_OK;
}

const float *forward_branch_input(struct model *m, size_t R, const float *x, const float *norm,
                                  float *rstd)
{
    size_t C = m->dim.C;
    if (m->family->norm_after) {
        return x;
    }
    m->d->ops->rmsnorm(m->d, R, C, x, C, norm, m->config.rms_eps, m->xn, C, rstd);
    return m->xn;
}

struct attn_keys forward_keys(const struct model *m, size_t layer)
{
    bool windowed = layer >= (size_t)m->config.window_from;
    return (struct attn_keys){m->kv_index, m->kv_off, m->kv_len, windowed ? m->config.window : 0};
}

// The end of a branch: x_out (R, C) = x + z Wlast^T, or x + norm(z Wlast^T) with the product in y.
struct branch_end {
    const struct matrix *last;
    const float *norm;
    float *y, *rstd;
};

static void add_branch(struct model *m, const struct weights *w, size_t R, const float *z,
                       const struct branch_end *b, const float *x, float *x_out)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    size_t C = m->dim.C, K = b->last->cols;
    if (x_out != x) {
        op->copy(d, x_out, x, R * C * sizeof(float));
    }
    if (!m->family->norm_after) {
        op->gemm(d, w->t, GEMM_ADD, R, C, K, z, K, b->last->packed, x_out, C);
        return;
    }
    op->gemm(d, w->t, GEMM_SET, R, C, K, z, K, b->last->packed, b->y, C);
    op->rmsnorm(d, R, C, b->y, C, b->norm, m->config.rms_eps, m->xn, C, b->rstd);
    op->add(d, R * C, m->xn, x_out);
}

// From the product of q, k, v to what attention takes: biases, norms, RoPE, in place.
static void finish_qkv(struct model *m, const struct layer_weights *lw, size_t R,
                       const struct layer_acts *a)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    const struct dims *n = &m->dim;
    size_t Q = n->Q, KV = n->KV, W = n->W;
    float eps = m->config.rms_eps, *k = a->qkv + Q;
    if (lw->qkv_bias != NULL) {
        op->bias(d, R, W, lw->qkv_bias, a->qkv, W);
    }
    if (n->HN > 0) {
        float *kept_k = a->qk != NULL ? a->qk + Q : NULL;
        op->norm_heads(d, R, n->HN, Q / n->HN, a->qkv, W, lw->q_norm, eps, a->qk, Q + KV,
                       a->rstd_q);
        op->norm_heads(d, R, n->GN, KV / n->GN, k, W, lw->k_norm, eps, kept_k, Q + KV, a->rstd_k);
    }
    op->rope(d, R, n->H + n->G, n->D, a->qkv, W, m->pos, m->rope, 0);    // q and k heads
}

// x_mid and what leads to it.
static void forward_attention(struct model *m, const struct weights *w, size_t layer, size_t R,
                              const struct layer_acts *a, const struct kv_view *kv)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    const struct dims *n = &m->dim;
    const struct layer_weights *lw = &w->layers[layer];
    size_t C = n->C, Q = n->Q, KV = n->KV, W = n->W;
    const struct attn_keys keys = forward_keys(m, layer);

    // x_mid (R, C) = x + att Wo^T
    const float *in = forward_branch_input(m, R, a->x, lw->attn_norm, a->rstd_attn);
    op->gemm(d, w->t, GEMM_SET, R, W, C, in, C, lw->qkv.packed, a->qkv, W);
    finish_qkv(m, lw, R, a);
    if (kv->cached) {
        op->scatter_rows(d, R, 2 * KV, a->qkv + Q, W, m->kv_row, kv->k, kv->ld);
    }
    op->attention(d, R, n->H, n->G, n->D, m->scale, a->qkv, W, kv->k, kv->v, kv->ld, &keys, a->att,
                  Q, a->lse);
    const struct branch_end attn = {&lw->o, lw->attn_norm, a->y_attn, a->rstd_attn};
    add_branch(m, w, R, a->att, &attn, a->x, a->x_mid);
}

// x_out and what leads to it from x_mid; up_to_gate: no further than gate and up.
static void forward_ffn(struct model *m, const struct weights *w, size_t layer, size_t R,
                        const struct layer_acts *a, bool up_to_gate)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    const struct layer_weights *lw = &w->layers[layer];
    size_t C = m->dim.C, F = m->dim.F;

    // x_out (R, C) = x_mid + (silu(gate) * up) Wdown^T
    const float *in = forward_branch_input(m, R, a->x_mid, lw->ffn_norm, a->rstd_ffn);
    op->gemm(d, w->t, GEMM_SET, R, 2 * F, C, in, C, lw->gate_up.packed, a->gate_up, 2 * F);
    if (up_to_gate) {
        return;
    }
    op->swiglu(d, R, F, a->gate_up, a->gate_up + F, 2 * F, m->act, F);
    const struct branch_end ffn = {&lw->down, lw->ffn_norm, a->y_ffn, a->rstd_ffn};
    add_branch(m, w, R, m->act, &ffn, a->x_mid, a->x_out);
}

static struct kv_view view_keys(const struct model *m, const struct kv_cache *kv, size_t layer,
                                const struct layer_acts *a)
{
    const struct dims *n = &m->dim;
    if (kv == NULL) {
        float *k = a->qkv + n->Q;
        return (struct kv_view){.k = k, .v = k + n->KV, .ld = n->W};
    }
    float *k = kv->rows + layer * kv->layer_floats;
    return (struct kv_view){.k = k, .v = k + n->KV, .ld = 2 * n->KV, .cached = true};
}

void forward_again(struct model *m, const struct weights *w, size_t layer, size_t R,
                   const struct layer_acts *a)
{
    const struct kv_view keys = view_keys(m, NULL, layer, a);
    forward_attention(m, w, layer, R, a, &keys);
    // Backward asks for the last product only where a norm stands behind it.
    forward_ffn(m, w, layer, R, a, !m->family->norm_after);
}

enum err forward_layers(struct model *m, const struct weights *w, struct kv_cache *kv, size_t R,
                        struct layer_acts *acts, const atomic_bool *cancel, float **x,
                        struct why *why)
{
    const struct layer_acts *a = acts != NULL ? &acts[0] : &m->infer;
    m->d->ops->embed(m->d, w->t, R, m->dim.V, m->dim.C, w->embed.packed, m->token, a->x);
    for (size_t l = 0; l < m->dim.L; l++) {
        enum err e = forward_cancelled(cancel, why);
        if (e != ERR_OK) {
            return e;
        }
        a = acts != NULL ? &acts[l] : &m->infer;
        struct kv_view keys = view_keys(m, kv, l, a);
        forward_attention(m, w, l, R, a, &keys);
        forward_ffn(m, w, l, R, a, false);
    }
    *x = a->x_out;
    return forward_cancelled(cancel, why);
}

// xn_out = the normed rows of outs first .. first + n - 1 (n <= head_rows).
static void forward_outs(struct model *m, const struct weights *w, const struct batch *b,
                         const float *x, size_t first, size_t n)
{
    struct device *d = m->d;
    const struct device_ops *op = d->ops;
    size_t C = m->dim.C;
    op->upload(d, m->out_row, b->out_row + first, n * sizeof(int32_t));
    op->gather_rows(d, n, C, x, C, m->out_row, m->x_out, C);
    op->rmsnorm(d, n, C, m->x_out, C, w->final_norm, m->config.rms_eps, m->xn_out, C, m->rstd_out);
}

void forward_head(struct model *m, const struct weights *w, const struct batch *b, const float *x,
                  size_t first, size_t n)
{
    size_t C = m->dim.C, V = m->dim.V;
    forward_outs(m, w, b, x, first, n);
    m->d->ops->gemm(m->d, w->t, GEMM_SET, n, V, C, m->xn_out, C, w->head.packed, m->logits, V);
}

// The same without keeping the logits, but for draws that truncate.
static void forward_sample(struct model *m, const struct weights *w, const struct batch *b,
                           const float *x, size_t first, size_t n, const struct sample_spec *spec,
                           struct sample_out *out)
{
    size_t C = m->dim.C, V = m->dim.V;
    forward_outs(m, w, b, x, first, n);
    m->d->ops->head_sample(m->d, w->t, n, V, C, m->xn_out, C, w->head.packed, m->logits, spec, out);
}

static enum err check_spec(const struct sample_spec *s, size_t i, struct why *why)
{
    if (!(s->temperature >= 0 && isfinite(s->temperature))) {
        return why_set(why, ERR_INVALID, "out %zu: temperature %g is not a finite number >= 0", i,
                       (double)s->temperature);
    }
    if (!(s->top_p > 0 && s->top_p <= 1) || s->top_k < 0 || !(s->min_p >= 0 && s->min_p <= 1) ||
        !(s->u >= 0 && s->u < 1)) {
        return why_set(why, ERR_INVALID,
                       "out %zu: top_p %g, top_k %d, min_p %g, u %g; expected (0, 1], >= 0, "
                       "[0, 1], [0, 1)",
                       i, (double)s->top_p, s->top_k, (double)s->min_p, (double)s->u);
    }
    return ERR_OK;
}

enum err model_forward(struct model *m, const struct weights *w, struct kv_cache *kv,
                       const struct batch *b, const struct sample_spec *spec,
                       struct sample_out *results, const atomic_bool *cancel, struct why *why)
{
    enum err e = forward_check(m, w, b, m->limits.max_rows, kv->n_rows, false, why);
    if (e == ERR_OK && b->n_out > m->limits.max_outs) {
        e = why_set(why, ERR_LIMIT, "batch: %zu outs, at most %zu", b->n_out, m->limits.max_outs);
    }
    for (size_t i = 0; e == ERR_OK && i < b->n_out; i++) {
        e = check_spec(&spec[i], i, why);
    }
    if (e != ERR_OK) {
        return e;
    }
    float *x = NULL;
    forward_upload(m, b);
    e = forward_layers(m, w, kv, b->n_rows, NULL, cancel, &x, why);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t first = 0; first < b->n_out; first += m->head_rows) {
        size_t n = MIN(m->head_rows, b->n_out - first);
        struct sample_spec chunk[HEAD_ROWS];
        for (size_t i = 0; i < n; i++) {
            chunk[i] = spec[first + i];
            chunk[i].target = b->target[first + i];
        }
        forward_sample(m, w, b, x, first, n, chunk, results + first);
    }
    return ERR_OK;
}

enum err model_score(struct model *m, const struct weights *w, const struct batch *b,
                     float temperature, float *logp, float *entropy, const atomic_bool *cancel,
                     struct why *why)
{
    if (!(temperature > 0 && isfinite(temperature))) {
        return why_set(why, ERR_INVALID, "temperature %g is not a finite number > 0",
                       (double)temperature);
    }
    float *x = NULL;
    enum err e = forward_check(m, w, b, m->rows_cap, b->n_rows, true, why);
    if (e == ERR_OK) {
        forward_upload(m, b);
        e = forward_layers(m, w, NULL, b->n_rows, NULL, cancel, &x, why);
    }
    for (size_t first = 0; e == ERR_OK && first < b->n_out; first += m->head_rows) {
        size_t n = MIN(m->head_rows, b->n_out - first);
        struct sample_spec spec[HEAD_ROWS];
        struct sample_out out[HEAD_ROWS];
        for (size_t i = 0; i < n; i++) {
            spec[i] = (struct sample_spec){.temperature = temperature, .top_p = 1};
            spec[i].target = b->target[first + i];
        }
        forward_sample(m, w, b, x, first, n, spec, out);
        for (size_t i = 0; i < n; i++) {
            logp[first + i] = out[i].logp;
            if (entropy != NULL) {
                entropy[first + i] = out[i].entropy;
            }
        }
        e = forward_cancelled(cancel, why);
    }
    return e;
}

enum err model_logits(struct model *m, const struct weights *w, const struct batch *b,
                      size_t out_index, float *logits, struct why *why)
{
    float *x = NULL;
    enum err e = forward_check(m, w, b, m->rows_cap, b->n_rows, false, why);
    if (e == ERR_OK && out_index >= b->n_out) {
        e = why_set(why, ERR_INVALID, "out %zu is not in a batch of %zu outs", out_index, b->n_out);
    }
    if (e == ERR_OK) {
        forward_upload(m, b);
        e = forward_layers(m, w, NULL, b->n_rows, NULL, NULL, &x, why);
    }
    if (e == ERR_OK) {
        forward_head(m, w, b, x, out_index, 1);
        m->d->ops->download(m->d, logits, m->logits, m->dim.V * sizeof(float));
    }
    return e;
}
