// tiny.c: see tiny.h. Clarity before speed: this is what the real model is measured against.

#include "tests/model/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"

enum { NAIVE_WIDTH = 64, NAIVE_LENGTH = 512 };    // bounds of the naive model, so that it is quick

const struct tiny_variant tiny_variants[TINY_VARIANTS] = {
    {.label = "llama", .family = "llama"},
    {.label = "llama with scaled positions", .family = "llama", .scaled = true},
    {.label = "mistral", .family = "mistral", .window = 4},
    {.label = "qwen2", .family = "qwen2"},
    {.label = "qwen2 with a window in layer 1", .family = "qwen2", .window = 4, .window_from = 1},
    {.label = "qwen3", .family = "qwen3"},
    {.label = "olmo2", .family = "olmo2"},
};

void tiny_init(struct tiny *t, bool tied, enum dtype dt, uint64_t seed)
{
    tiny_init_as(t, &tiny_variants[0], tied, dt, seed);
}

void tiny_init_as(struct tiny *t, const struct tiny_variant *v, bool tied, enum dtype dt,
                  uint64_t seed)
{
    *t = (struct tiny){.t = dt};
    t->config = (struct model_config){
        .vocab = v->vocab > 0 ? v->vocab : 37,
        .hidden = 20,
        .ffn = 24,
        .layers = 2,
        .heads = 3,
        .kv_heads = 1,
        .head_dim = 6,
        .max_positions = 512,
        .rope_theta = 1000,
        .rms_eps = 1e-5f,
        .tied = tied,
        .bos_id = -1,
        .pad_id = -1,
        .window = v->window,
        .window_from = v->window_from,
    };
    snprintf(t->config.family, sizeof t->config.family, "%s", v->family);
    if (v->scaled) {    // wavelengths are 6, 63 and 628 positions
        t->config.rope = (struct rope_scaling){ROPE_LLAMA3, 8, 1, 4, 64};
    }
    struct why why = {""};
    assert_int_equal(param_table_create(&t->config, &t->params, &why), ERR_OK);
    t->masters = calloc(t->params.total, sizeof *t->masters);
    t->rounded = calloc(t->params.total, sizeof *t->rounded);
    t->blob = calloc(t->params.total, dtype_size(dt));
    assert_true(t->masters != NULL && t->rounded != NULL && t->blob != NULL);
    struct rng r = rng_make(seed, 0);
    for (size_t i = 0; i < t->params.n; i++) {
        const struct param *p = &t->params.params[i];
        for (size_t j = p->offset; j < p->offset + p->count; j++) {
            double u = 2 * rng_f64(&r) - 1;
            double x = p->rows == 1 ? 1 + 0.5 * u : 0.6 * u;    // norms around 1
            t->masters[j] = (float)x;
            uint16_t bits = bf16_from_f32(t->masters[j]);
            if (dt == DTYPE_BF16) {
                ((uint16_t *)t->blob)[j] = bits;
                t->rounded[j] = (double)bf16_to_f32(bits);
            } else {
                ((float *)t->blob)[j] = t->masters[j];
                t->rounded[j] = (double)t->masters[j];
            }
        }
    }
}

void tiny_fini(struct tiny *t)
{
    param_table_destroy(&t->params);
    free(t->masters);
    free(t->rounded);
    free(t->blob);
}

struct weights *tiny_weights(const struct tiny *t, struct device *d)
{
    struct why why = {""};
    struct weights *w = NULL;
    struct hash128 hash;
    assert_int_equal(weights_create(d, &t->config, t->t, &w, &why), ERR_OK);
    weights_begin(w);
    assert_int_equal(weights_feed(w, t->blob, t->params.total * dtype_size(t->t), &why), ERR_OK);
    assert_int_equal(weights_end(w, &hash, &why), ERR_OK);
    return w;
}

void tiny_tokens(const struct tiny *t, uint64_t seed, uint32_t *out, size_t n)
{
    struct rng r = rng_make(seed, 1);
    for (size_t i = 0; i < n; i++) {
        out[i] = rng_below(&r, (uint32_t)t->config.vocab);
    }
}

static const double *param(const struct param_table *p, const double *params, enum param_kind kind,
                           int32_t layer)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->params[i].kind == kind && p->params[i].layer == layer) {
            return params + p->params[i].offset;
        }
    }
    fail_msg("no parameter of kind %d in layer %d", (int)kind, layer);
    return NULL;
}

static void norm(const double *x, const double *w, size_t C, double eps, double *out)
{
    double sum = 0;
    for (size_t i = 0; i < C; i++) {
        sum += x[i] * x[i];
    }
    for (size_t i = 0; i < C; i++) {
        out[i] = x[i] / sqrt(sum / (double)C + eps) * w[i];
    }
}

static void matvec(const double *w, size_t rows, size_t cols, const double *x, double *out)
{
    for (size_t i = 0; i < rows; i++) {
        out[i] = 0;
        for (size_t j = 0; j < cols; j++) {
            out[i] += w[i * cols + j] * x[j];
        }
    }
}

static bool has_param(const struct param_table *p, enum param_kind kind)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->params[i].kind == kind) {
            return true;
        }
    }
    return false;
}

// x (n) += the bias of this kind, if the model has one.
static void add_bias(const struct param_table *p, const double *params, enum param_kind kind,
                     int32_t layer, double *x, size_t n)
{
    if (has_param(p, kind)) {
        const double *bias = param(p, params, kind, layer);
        for (size_t i = 0; i < n; i++) {
            x[i] += bias[i];
        }
    }
}

// Norms x (n) piece by piece, as wide as the norm of this kind, if the model has one.
static void norm_pieces(const struct model_config *c, const struct param_table *p,
                        const double *params, enum param_kind kind, int32_t layer, double *x,
                        size_t n)
{
    if (has_param(p, kind)) {
        size_t width = strcmp(c->family, "qwen3") == 0 ? (size_t)c->head_dim : n;
        for (size_t i = 0; i < n; i += width) {
            norm(x + i, param(p, params, kind, layer), width, (double)c->rms_eps, x + i);
        }
    }
}

// The factor on a frequency, by Llama 3.1's rule for wavelengths.
static double stretch(const struct model_config *c, double freq)
{
    double length = 2 * acos(-1) / freq, pretrained = (double)c->rope.original_positions;
    double low = (double)c->rope.low, high = (double)c->rope.high, f = (double)c->rope.factor;
    if (c->rope.type == ROPE_DEFAULT || length < pretrained / high) {
        return 1;
    }
    if (length > pretrained / low) {
        return 1 / f;
    }
    double smooth = (pretrained / length - low) / (high - low);
    return (1 - smooth) / f + smooth;
}

static void rotate(const struct model_config *c, double *head, double pos)
{
    size_t D = (size_t)c->head_dim;
    for (size_t i = 0; i < D / 2; i++) {
        double freq = pow((double)c->rope_theta, -2.0 * (double)i / (double)D);
        double angle = pos * freq * stretch(c, freq);
        double a = head[i], b = head[i + D / 2];
        head[i] = a * cos(angle) - b * sin(angle);
        head[i + D / 2] = b * cos(angle) + a * sin(angle);
    }
}

// out (D) = softmax(q k^T / sqrt(D)) v over keys from..pos; k and v are rows of width KV.
static void attend(const double *q, const double *k, const double *v, size_t from, size_t pos,
                   size_t D, size_t KV, double *out)
{
    double score[NAIVE_LENGTH];
    assert_true(pos < NAIVE_LENGTH);
    double max = -INFINITY, sum = 0;
    for (size_t j = from; j <= pos; j++) {
        score[j] = 0;
        for (size_t d = 0; d < D; d++) {
            score[j] += q[d] * k[j * KV + d];
        }
        score[j] /= sqrt((double)D);
        max = fmax(max, score[j]);
    }
    for (size_t j = from; j <= pos; j++) {
        sum += exp(score[j] - max);
    }
    for (size_t d = 0; d < D; d++) {
        out[d] = 0;
        for (size_t j = from; j <= pos; j++) {
            out[d] += exp(score[j] - max) / sum * v[j * KV + d];
        }
    }
}

// The first key that position t sees in a layer.
static size_t first_key(const struct model_config *c, int32_t layer, size_t t)
{
    size_t window = (size_t)c->window;
    return window == 0 || layer < c->window_from || t < window ? 0 : t - window + 1;
}

// out (C) = what a branch reads, and x (C) += what it gives: norms before the branch, or behind it.
static void branch_input(const struct model_config *c, const double *x, const double *w,
                         double *out)
{
    size_t C = (size_t)c->hidden;
    if (strcmp(c->family, "olmo2") == 0) {
        memcpy(out, x, C * sizeof *x);
    } else {
        norm(x, w, C, (double)c->rms_eps, out);
    }
}

static void branch_output(const struct model_config *c, double *y, const double *w, double *x)
{
    size_t C = (size_t)c->hidden;
    if (strcmp(c->family, "olmo2") == 0) {
        norm(y, w, C, (double)c->rms_eps, y);
    }
    for (size_t i = 0; i < C; i++) {
        x[i] += y[i];
    }
}

struct naive {
    const struct model_config *c;
    const struct param_table *p;
    const double *params;
    double *k, *v;    // (n, KV) of the layer at hand
};

// q (Q), and row t of k and v, from xn (C)
static void naive_qkv(const struct naive *m, int32_t l, size_t t, const double *xn, double *q)
{
    const struct model_config *c = m->c;
    size_t C = (size_t)c->hidden, D = (size_t)c->head_dim;
    size_t Q = (size_t)c->heads * D, KV = (size_t)c->kv_heads * D;
    double *k = m->k + t * KV, *v = m->v + t * KV;
    matvec(param(m->p, m->params, PARAM_Q, l), Q, C, xn, q);
    matvec(param(m->p, m->params, PARAM_K, l), KV, C, xn, k);
    matvec(param(m->p, m->params, PARAM_V, l), KV, C, xn, v);
    add_bias(m->p, m->params, PARAM_Q_BIAS, l, q, Q);
    add_bias(m->p, m->params, PARAM_K_BIAS, l, k, KV);
    add_bias(m->p, m->params, PARAM_V_BIAS, l, v, KV);
    norm_pieces(c, m->p, m->params, PARAM_Q_NORM, l, q, Q);
    norm_pieces(c, m->p, m->params, PARAM_K_NORM, l, k, KV);
    for (size_t i = 0; i < Q; i += D) {
        rotate(c, q + i, (double)t);
    }
    for (size_t i = 0; i < KV; i += D) {
        rotate(c, k + i, (double)t);
    }
}

// y (C) = (silu(xn Wgate^T) * xn Wup^T) Wdown^T
static void naive_ffn(const struct naive *m, int32_t l, const double *xn, double *y)
{
    size_t C = (size_t)m->c->hidden, F = (size_t)m->c->ffn;
    double gate[NAIVE_WIDTH], up[NAIVE_WIDTH];
    assert_true(F <= NAIVE_WIDTH);
    matvec(param(m->p, m->params, PARAM_GATE, l), F, C, xn, gate);
    matvec(param(m->p, m->params, PARAM_UP, l), F, C, xn, up);
    for (size_t i = 0; i < F; i++) {
        gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    }
    matvec(param(m->p, m->params, PARAM_DOWN, l), C, F, gate, y);
}

static void naive_layer(const struct naive *m, int32_t l, size_t n, double *x)
{
    const struct model_config *c = m->c;
    size_t C = (size_t)c->hidden, D = (size_t)c->head_dim;
    size_t H = (size_t)c->heads, G = (size_t)c->kv_heads;
    const double *attn_norm = param(m->p, m->params, PARAM_ATTN_NORM, l);
    const double *ffn_norm = param(m->p, m->params, PARAM_FFN_NORM, l);
    double xn[NAIVE_WIDTH], q[NAIVE_WIDTH], att[NAIVE_WIDTH], y[NAIVE_WIDTH];
    assert_true(C <= NAIVE_WIDTH && H * D <= NAIVE_WIDTH);
    for (size_t t = 0; t < n; t++, x += C) {
        branch_input(c, x, attn_norm, xn);
        naive_qkv(m, l, t, xn, q);
        for (size_t h = 0; h < H; h++) {
            size_t g = h / (H / G);
            attend(q + h * D, m->k + g * D, m->v + g * D, first_key(c, l, t), t, D, G * D,
                   att + h * D);
        }
        matvec(param(m->p, m->params, PARAM_O, l), C, H * D, att, y);
        branch_output(c, y, attn_norm, x);
        branch_input(c, x, ffn_norm, xn);
        naive_ffn(m, l, xn, y);
        branch_output(c, y, ffn_norm, x);
    }
}

void naive_logits(const struct model_config *c, const struct param_table *p, const double *params,
                  const uint32_t *tokens, size_t n, double *logits)
{
    size_t C = (size_t)c->hidden, V = (size_t)c->vocab;
    size_t KV = (size_t)c->kv_heads * (size_t)c->head_dim;
    double *x = calloc(n * C, sizeof *x), *xn = calloc(C, sizeof *xn);
    double *k = calloc(n * KV, sizeof *k), *v = calloc(n * KV, sizeof *v);
    assert_true(x && xn && k && v);
    const double *embed = param(p, params, PARAM_EMBED, -1);
    for (size_t t = 0; t < n; t++) {
        memcpy(x + t * C, embed + tokens[t] * C, C * sizeof *x);
    }
    const struct naive m = {c, p, params, k, v};
    for (int32_t l = 0; l < c->layers; l++) {
        naive_layer(&m, l, n, x);
    }
    for (size_t t = 0; t < n; t++) {
        norm(x + t * C, param(p, params, PARAM_FINAL_NORM, -1), C, (double)c->rms_eps, xn);
        matvec(c->tied ? embed : param(p, params, PARAM_HEAD, -1), V, C, xn, logits + t * V);
    }
    free(x);
    free(xn);
    free(k);
    free(v);
}

double naive_logp(const double *logits, size_t V, double temperature, uint32_t token,
                  double *entropy)
{
    double max = -INFINITY, sum = 0, mean = 0;
    for (size_t i = 0; i < V; i++) {
        max = fmax(max, logits[i] / temperature);
    }
    for (size_t i = 0; i < V; i++) {
        sum += exp(logits[i] / temperature - max);
    }
    for (size_t i = 0; i < V; i++) {
        mean += exp(logits[i] / temperature - max) / sum * (logits[i] / temperature);
    }
    double lse = max + log(sum);
    if (entropy != NULL) {
        *entropy = lse - mean;
    }
    return logits[token] / temperature - lse;
}
