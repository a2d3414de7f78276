// model.c: what a model needs besides weights: tables, scratch memory planned once, KV caches.
//
// All device memory of a model is one slab whose layout follows from the limits; passes allocate
// nothing, so a daemon that started has the memory it will ever need. The same layout function
// counts the bytes for memory plans. Training keeps the activations that backward reads (struct
// layer_acts, per layer); outputs of norms and of SwiGLU are recomputed instead. For SmolLM2-135M
// and 512 rows that is 12 MB a layer rather than 17.

#include "model/model.h"

#include <math.h>
#include <stdlib.h>

#include "model/internal.h"
#include "model/rope.h"

enum { MAX_PASS_ROWS = 1 << 20 };

static float *take_floats(struct slab *s, size_t n)
{
    return slab_take(s, n * sizeof(float));
}

static int32_t *take_ids(struct slab *s, size_t n)
{
    return slab_take(s, n * sizeof(int32_t));
}

static void layout_batch(struct model *m, struct slab *s)
{
    m->token = take_ids(s, m->rows_cap);
    m->pos = take_ids(s, m->rows_cap);
    m->kv_row = take_ids(s, m->rows_cap);
    m->kv_off = take_ids(s, m->rows_cap);
    m->kv_len = take_ids(s, m->rows_cap);
    m->kv_index = take_ids(s, m->limits.max_index);
    m->out_row = take_ids(s, m->head_rows);
}

static void layout_inference(struct model *m, struct slab *s)
{
    const struct dims *n = &m->dim;
    size_t R = m->rows_cap;
    float *x = take_floats(s, R * n->C);
    m->infer = (struct layer_acts){
        .x = x,
        .qkv = take_floats(s, R * n->W),
        .att = take_floats(s, R * n->Q),
        .x_mid = x,
        .gate_up = take_floats(s, R * 2 * n->F),
        .x_out = x,
    };
    m->xn = take_floats(s, R * n->C);
    m->infer.y_attn = m->infer.y_ffn = m->xn;    // normed in place
    m->act = take_floats(s, R * n->F);
    m->x_out = take_floats(s, m->head_rows * n->C);
    m->xn_out = take_floats(s, m->head_rows * n->C);
    m->rstd_out = take_floats(s, m->head_rows);
    m->logits = take_floats(s, m->head_rows * n->V);
}

static float *take_if(bool needed, struct slab *s, size_t n)
{
    return needed ? take_floats(s, n) : NULL;
}

static struct layer_acts layout_layer(const struct model *m, size_t R, float *x, struct slab *s)
{
    const struct dims *n = &m->dim;
    bool qk_norm = n->HN > 0, after = m->family->norm_after;
    return (struct layer_acts){
        .x = x,
        .rstd_attn = take_floats(s, R),
        .qkv = take_floats(s, R * n->W),
        .qk = take_if(qk_norm, s, R * (n->Q + n->KV)),
        .rstd_q = take_if(qk_norm, s, R * n->HN),
        .rstd_k = take_if(qk_norm, s, R * n->GN),
        .att = take_floats(s, R * n->Q),
        .lse = take_floats(s, R * n->H),
        .x_mid = take_floats(s, R * n->C),
        .rstd_ffn = take_floats(s, R),
        .gate_up = take_floats(s, R * 2 * n->F),
        .y_attn = take_if(after, s, R * n->C),
        .y_ffn = take_if(after, s, R * n->C),
        .x_out = take_floats(s, R * n->C),
    };
}

// Panels of the largest W^T.
static size_t wt_bytes(const struct model *m)
{
    const struct dims *n = &m->dim;
    const size_t sizes[][2] = {
        {n->W, n->C}, {n->C, n->Q}, {2 * n->F, n->C}, {n->C, n->F}, {n->V, n->C}};
    size_t most = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        most = MAX(most, panel_bytes(m->d, m->limits.weights, sizes[i][1],
                                     MIN(sizes[i][0], (size_t)TURN_ROWS)));
    }
    return most;
}

static void layout_training(struct model *m, struct slab *s)
{
    const struct dims *n = &m->dim;
    size_t R = m->limits.train_rows;
    if (R == 0) {
        return;
    }
    float *x = take_floats(s, R * n->C);
    struct layer_acts a = {0};
    for (size_t l = 0; l < n->L; l++) {
        if (l == 0 || !m->limits.recompute) {
            a = layout_layer(m, R, x, s);
        } else {    // one set for all layers, but for their inputs
            a.x = x;
            a.x_out = take_floats(s, R * n->C);
        }
        if (m->train != NULL) {
            m->train[l] = a;
        }
        x = a.x_out;
    }
    m->dx = take_floats(s, R * n->C);
    m->dxn = take_floats(s, R * n->C);
    m->datt = take_floats(s, R * n->Q);
    m->dqkv = take_floats(s, R * n->W);
    m->dx_out = take_floats(s, m->head_rows * n->C);
    m->dxn_out = take_floats(s, m->head_rows * n->C);
    m->wt = slab_take(s, wt_bytes(m));
}

static void layout(struct model *m, struct slab *s)
{
    m->rope = take_floats(s, m->limits.max_context * m->dim.D);
    layout_batch(m, s);
    layout_inference(m, s);
    layout_training(m, s);
}

static void plan(struct model *m, const struct model_config *c, const struct model_limits *l)
{
    m->config = *c;
    m->limits = *l;
    m->family = family_find(c->family);
    m->dim = dims_of(c);
    m->rows_cap = MAX(l->max_rows, l->train_rows);
    m->head_rows = l->train_rows > 0 ? HEAD_ROWS : MIN(HEAD_ROWS, MAX(l->max_outs, 1));
}

static enum err check_limits(const struct model_config *c, const struct model_limits *l,
                             struct why *why)
{
    size_t rows = MAX(l->max_rows, l->train_rows);
    if (rows == 0 || rows > MAX_PASS_ROWS) {
        return why_set(why, ERR_INVALID, "model: %zu rows a pass is not in 1..%d", rows,
                       MAX_PASS_ROWS);
    }
    if (l->max_context == 0 || l->max_context > (size_t)c->max_positions) {
        return why_set(why, ERR_INVALID, "model: a context of %zu positions is not in 1..%d",
                       l->max_context, c->max_positions);
    }
    if (l->max_index == 0 || l->max_index > INT32_MAX) {
        return why_set(why, ERR_INVALID, "model: %zu key index entries is not in 1..%d",
                       l->max_index, INT32_MAX);
    }
    return ERR_OK;
}

static enum err upload_rope(struct model *m, struct why *why)
{
    size_t n = m->limits.max_context * m->dim.D;
    float *host = malloc(n * sizeof *host);
    if (host == NULL) {
        return why_set(why, ERR_NOMEM, "model: no memory for a RoPE table of %zu floats", n);
    }
    rope_table(m->limits.max_context, m->dim.D, (double)m->config.rope_theta, &m->config.rope,
               host);
    m->d->ops->upload(m->d, m->rope, host, n * sizeof *host);
    free(host);
    return ERR_OK;
}

enum err model_create(struct device *d, const struct model_config *c, const struct model_limits *l,
                      struct model **out, struct why *why)
{
    struct model *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return why_set(why, ERR_NOMEM, "model: out of memory");
    }
    m->d = d;
    enum err e = param_table_create(c, &m->params, why);
    if (e == ERR_OK) {
        e = check_limits(c, l, why);
    }
    if (e != ERR_OK) {
        model_destroy(m);
        return e;
    }
    plan(m, c, l);
    m->scale = 1.0f / sqrtf((float)m->dim.D);
    struct slab s = {0};
    layout(m, &s);
    m->train = calloc(m->dim.L, sizeof *m->train);
    e = m->train == NULL ? why_set(why, ERR_NOMEM, "out of memory")
                         : d->ops->alloc(d, s.used, &m->slab, why);
    if (e != ERR_OK) {
        model_destroy(m);
        return why_prefix(why, e, "model scratch");
    }
    s = (struct slab){.base = m->slab};
    layout(m, &s);
    e = upload_rope(m, why);
    if (e != ERR_OK) {
        model_destroy(m);
        return e;
    }
    *out = m;
    return ERR_OK;
}

void model_destroy(struct model *m)
{
    if (m == NULL) {
        return;
    }
    m->d->ops->release(m->d, m->slab);
    free(m->train);
    param_table_destroy(&m->params);
    free(m);
}

size_t model_memory(const struct model_config *c, const struct model_limits *l)
{
    struct model m = {0};
    plan(&m, c, l);
    struct slab s = {0};
    layout(&m, &s);
    return s.used + sizeof m + m.dim.L * sizeof(struct layer_acts);
}

const struct model_config *model_get_config(const struct model *m)
{
    return &m->config;
}

const struct param_table *model_params(const struct model *m)
{
    return &m->params;
}

enum err kv_cache_create(struct model *m, size_t n_rows, struct kv_cache **out, struct why *why)
{
    size_t row_bytes = kv_cache_row_bytes(&m->config);
    if (n_rows == 0 || n_rows > INT32_MAX) {
        return why_set(why, ERR_INVALID, "KV cache: %zu rows is not in 1..%d", n_rows, INT32_MAX);
    }
    struct kv_cache *kv = calloc(1, sizeof *kv);
    if (kv == NULL) {
        return why_set(why, ERR_NOMEM, "KV cache: out of memory");
    }
    *kv = (struct kv_cache){.d = m->d, .n_rows = n_rows, .layer_floats = n_rows * 2 * m->dim.KV};
    void *rows = NULL;
    enum err e = m->d->ops->alloc(m->d, n_rows * row_bytes, &rows, why);
    if (e != ERR_OK) {
        free(kv);
        return why_prefix(why, e, "KV cache of %zu rows", n_rows);
    }
    kv->rows = rows;
    *out = kv;
    return ERR_OK;
}

void kv_cache_destroy(struct kv_cache *kv)
{
    if (kv == NULL) {
        return;
    }
    kv->d->ops->release(kv->d, kv->rows);
    free(kv);
}

size_t kv_cache_row_bytes(const struct model_config *c)
{
    struct dims n = dims_of(c);
    return n.L * 2 * n.KV * sizeof(float);
}
