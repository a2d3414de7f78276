// tiny.c: see tiny.h. Clarity before speed: this is what the real model is measured against.

#include "tests/model/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"

void tiny_init(struct tiny *t, bool tied, enum dtype dt, uint64_t seed)
{
    *t = (struct tiny){.t = dt};
    t->config = (struct model_config){
        .family = "llama",
        .vocab = 37,
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
    };
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

struct weights *tiny_weights(const struct tiny *t, struct device *d, bool for_training)
{
    struct why why = {""};
    struct weights *w = NULL;
    struct hash128 hash;
    assert_int_equal(weights_create(d, &t->config, t->t, for_training, &w, &why), ERR_OK);
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

static void rotate(double *head, size_t D, double pos, double theta)
{
    for (size_t i = 0; i < D / 2; i++) {
        double angle = pos * pow(theta, -2.0 * (double)i / (double)D);
        double a = head[i], b = head[i + D / 2];
        head[i] = a * cos(angle) - b * sin(angle);
        head[i + D / 2] = b * cos(angle) + a * sin(angle);
    }
}

// out (D) = softmax(q k^T / sqrt(D)) v over keys 0..pos; k and v are rows of width KV.
static void attend(const double *q, const double *k, const double *v, size_t pos, size_t D,
                   size_t KV, double *out)
{
    double *score = calloc(pos + 1, sizeof *score);
    assert_non_null(score);
    double max = -INFINITY, sum = 0;
    for (size_t j = 0; j <= pos; j++) {
        for (size_t d = 0; d < D; d++) {
            score[j] += q[d] * k[j * KV + d];
        }
        score[j] /= sqrt((double)D);
        max = fmax(max, score[j]);
    }
    for (size_t j = 0; j <= pos; j++) {
        sum += exp(score[j] - max);
    }
    for (size_t d = 0; d < D; d++) {
        out[d] = 0;
        for (size_t j = 0; j <= pos; j++) {
            out[d] += exp(score[j] - max) / sum * v[j * KV + d];
        }
    }
    free(score);
}

static void naive_layer(const struct model_config *c, const struct param_table *p,
                        const double *params, int32_t l, size_t n, double *x, double *k, double *v)
{
    size_t C = (size_t)c->hidden, F = (size_t)c->ffn, D = (size_t)c->head_dim;
    size_t H = (size_t)c->heads, G = (size_t)c->kv_heads;
    double *xn = calloc(C, sizeof *xn), *q = calloc(H * D, sizeof *q);
    double *att = calloc(H * D, sizeof *att), *y = calloc(C, sizeof *y);
    double *gate = calloc(F, sizeof *gate), *up = calloc(F, sizeof *up);
    assert_true(xn && q && att && y && gate && up);
    for (size_t t = 0; t < n; t++) {
        norm(x + t * C, param(p, params, PARAM_ATTN_NORM, l), C, (double)c->rms_eps, xn);
        matvec(param(p, params, PARAM_Q, l), H * D, C, xn, q);
        matvec(param(p, params, PARAM_K, l), G * D, C, xn, k + t * G * D);
        matvec(param(p, params, PARAM_V, l), G * D, C, xn, v + t * G * D);
        for (size_t h = 0; h < H; h++) {
            rotate(q + h * D, D, (double)t, (double)c->rope_theta);
        }
        for (size_t g = 0; g < G; g++) {
            rotate(k + t * G * D + g * D, D, (double)t, (double)c->rope_theta);
        }
        for (size_t h = 0; h < H; h++) {
            size_t g = h / (H / G);
            attend(q + h * D, k + g * D, v + g * D, t, D, G * D, att + h * D);
        }
        matvec(param(p, params, PARAM_O, l), C, H * D, att, y);
        for (size_t i = 0; i < C; i++) {
            x[t * C + i] += y[i];
        }
        norm(x + t * C, param(p, params, PARAM_FFN_NORM, l), C, (double)c->rms_eps, xn);
        matvec(param(p, params, PARAM_GATE, l), F, C, xn, gate);
        matvec(param(p, params, PARAM_UP, l), F, C, xn, up);
        for (size_t i = 0; i < F; i++) {
            gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
        }
        matvec(param(p, params, PARAM_DOWN, l), C, F, gate, y);
        for (size_t i = 0; i < C; i++) {
            x[t * C + i] += y[i];
        }
    }
    free(xn);
    free(q);
    free(att);
    free(y);
    free(gate);
    free(up);
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
    for (int32_t l = 0; l < c->layers; l++) {
        naive_layer(c, p, params, l, n, x, k, v);
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
