// weights.c: one version of the weights, packed for the device as its bytes arrive.
//
// In:  the flat blob (all parameters in table order, bf16 or f32) in pieces of any size, from a
//      file, a message or the optimiser's own array.
// Out: packed panels and norm vectors in one slab.
//
// The blob is a sequence of units: norm vectors, and matrices where q, k, v (and gate, up) count as
// one taller matrix, since their rows follow each other in the blob. A unit is packed in blocks of
// rows: for inference blocks of BLOCK_ROWS, because panels of 16 outputs are independent, so that a
// reload needs little memory beside the two versions; for training whole units, because W^T mixes
// all rows. A block that lies complete and aligned in the caller's piece is packed from there,
// anything else goes through a staging buffer of one block.

#include "model/internal.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_ROWS = 1024, PANEL = 16, UNITS_PER_LAYER = 6 };

void *slab_take(struct slab *s, size_t bytes)
{
    void *p = s->base == NULL ? NULL : s->base + s->used;
    s->used += (bytes + 63) / 64 * 64;
    return p;
}

struct dims dims_of(const struct model_config *c)
{
    struct dims n = {
        .V = (size_t)c->vocab,
        .C = (size_t)c->hidden,
        .F = (size_t)c->ffn,
        .H = (size_t)c->heads,
        .G = (size_t)c->kv_heads,
        .D = (size_t)c->head_dim,
        .L = (size_t)c->layers,
    };
    n.Q = n.H * n.D;
    n.KV = n.G * n.D;
    n.W = n.Q + 2 * n.KV;
    return n;
}

// Of packed panels. Memory plans come before there is a device: they count panels of 16 with an
// even depth.
static size_t panel_bytes(const struct device *d, enum dtype t, size_t rows, size_t cols)
{
    if (d != NULL) {
        return d->ops->packed_bytes(t, rows, cols);
    }
    return (rows + PANEL - 1) / PANEL * PANEL * (cols + cols % 2) * dtype_size(t);
}

static struct matrix take_matrix(const struct weights *w, struct slab *s, size_t rows, size_t cols,
                                 bool transposed)
{
    struct matrix m = {.rows = rows, .cols = cols};
    m.packed = slab_take(s, panel_bytes(w->d, w->t, rows, cols));
    if (transposed) {
        m.packed_t = slab_take(s, panel_bytes(w->d, w->t, cols, rows));
    }
    return m;
}

// Points every view into s; run with s->base NULL it only counts.
static void layout(struct weights *w, struct slab *s, bool tied)
{
    const struct dims *n = &w->dim;
    bool back = w->for_training;
    w->embed = take_matrix(w, s, n->V, n->C, back && tied);
    for (size_t l = 0; l < n->L; l++) {
        w->layers[l] = (struct layer_weights){
            .attn_norm = slab_take(s, n->C * sizeof(float)),
            .qkv = take_matrix(w, s, n->W, n->C, back),
            .o = take_matrix(w, s, n->C, n->Q, back),
            .ffn_norm = slab_take(s, n->C * sizeof(float)),
            .gate_up = take_matrix(w, s, 2 * n->F, n->C, back),
            .down = take_matrix(w, s, n->C, n->F, back),
        };
    }
    w->final_norm = slab_take(s, n->C * sizeof(float));
    w->head = tied ? w->embed : take_matrix(w, s, n->V, n->C, back);
}

static void add_vector(struct weights *w, float *v)
{
    w->units[w->n_units++] = (struct unit){.rows = 1, .cols = w->dim.C, .vector = v};
}

static void add_matrix(struct weights *w, struct matrix *m)
{
    w->units[w->n_units++] = (struct unit){.rows = m->rows, .cols = m->cols, .matrix = m};
}

static size_t block_rows(const struct weights *w, const struct unit *u)
{
    return w->for_training ? u->rows : MIN(u->rows, BLOCK_ROWS);
}

static void list_units(struct weights *w, bool tied)
{
    w->n_units = 0;
    add_matrix(w, &w->embed);
    for (size_t l = 0; l < w->dim.L; l++) {
        struct layer_weights *lw = &w->layers[l];
        add_vector(w, lw->attn_norm);
        add_matrix(w, &lw->qkv);
        add_matrix(w, &lw->o);
        add_vector(w, lw->ffn_norm);
        add_matrix(w, &lw->gate_up);
        add_matrix(w, &lw->down);
    }
    add_vector(w, w->final_norm);
    if (!tied) {
        add_matrix(w, &w->head);
    }
    w->blob_bytes = 0;
    w->stage_bytes = 0;
    for (size_t i = 0; i < w->n_units; i++) {
        const struct unit *u = &w->units[i];
        w->blob_bytes += u->rows * u->cols * dtype_size(w->t);
        w->stage_bytes = MAX(w->stage_bytes, block_rows(w, u) * u->cols * dtype_size(w->t));
    }
}

enum err weights_create(struct device *d, const struct model_config *c, enum dtype t,
                        bool for_training, struct weights **out, struct why *why)
{
    enum err e = model_config_check(c, "model config", why);
    if (e != ERR_OK) {
        return e;
    }
    struct weights *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return why_set(why, ERR_NOMEM, "weights: out of memory");
    }
    *w = (struct weights){.d = d, .t = t, .for_training = for_training, .dim = dims_of(c)};
    w->layers = calloc(w->dim.L, sizeof *w->layers);
    w->units = calloc(w->dim.L * UNITS_PER_LAYER + 3, sizeof *w->units);
    w->vector_host = calloc(w->dim.C, sizeof *w->vector_host);
    w->hash = hash_create();
    if (w->layers == NULL || w->units == NULL || w->vector_host == NULL || w->hash == NULL) {
        weights_destroy(w);
        return why_set(why, ERR_NOMEM, "weights: out of memory");
    }
    struct slab s = {0};
    layout(w, &s, c->tied);
    e = d->ops->alloc(d, s.used, &w->slab, why);
    if (e != ERR_OK) {
        weights_destroy(w);
        return why_prefix(why, e, "weights");
    }
    s = (struct slab){.base = w->slab};
    layout(w, &s, c->tied);
    list_units(w, c->tied);
    *out = w;
    return ERR_OK;
}

void weights_destroy(struct weights *w)
{
    if (w == NULL) {
        return;
    }
    w->d->ops->release(w->d, w->slab);
    hash_destroy(w->hash);
    free(w->stage);
    free(w->vector_host);
    free(w->units);
    free(w->layers);
    free(w);
}

void weights_begin(struct weights *w)
{
    hash_destroy(w->hash);
    w->hash = hash_create();
    w->fed = 0;
    w->unit = 0;
    w->row = 0;
    w->staged = 0;
}

// Packs one complete block, `rows` rows of the current unit, and steps past it.
static void pack_block(struct weights *w, const void *block, size_t rows)
{
    const struct unit *u = &w->units[w->unit];
    const struct device_ops *op = w->d->ops;
    if (u->vector != NULL) {
        const void *src = block;
        if (w->t == DTYPE_BF16) {
            const uint16_t *bits = block;
            for (size_t i = 0; i < u->cols; i++) {
                w->vector_host[i] = bf16_to_f32(bits[i]);
            }
            src = w->vector_host;
        }
        op->upload(w->d, u->vector, src, u->cols * sizeof(float));
    } else {
        // rows is a multiple of 16 in every block but a unit's last, so blocks start on a panel
        char *panels = (char *)u->matrix->packed + panel_bytes(w->d, w->t, w->row, u->cols);
        op->pack(w->d, w->t, rows, u->cols, block, panels);
        if (u->matrix->packed_t != NULL) {
            CHECK(rows == u->rows);
            op->pack_transposed(w->d, w->t, rows, u->cols, block, u->matrix->packed_t);
        }
    }
    w->row += rows;
    if (w->row == u->rows) {
        w->unit++;
        w->row = 0;
    }
}

// Adds bytes to the staging buffer, at most up to the block's end; returns how many it took.
static size_t stage_bytes(struct weights *w, const uint8_t *bytes, size_t len, size_t block_bytes,
                          size_t rows)
{
    size_t take = MIN(len, block_bytes - w->staged);
    memcpy(w->stage + w->staged, bytes, take);
    w->staged += take;
    if (w->staged == block_bytes) {
        w->staged = 0;
        pack_block(w, w->stage, rows);
    }
    return take;
}

enum err weights_feed(struct weights *w, const void *bytes, size_t len, struct why *why)
{
    if (len > w->blob_bytes - w->fed) {
        return why_set(why, ERR_LIMIT, "weights: %zu bytes after %zu, but the blob has %zu", len,
                       w->fed, w->blob_bytes);
    }
    if (w->hash == NULL) {
        return why_set(why, ERR_NOMEM, "weights: out of memory");
    }
    const uint8_t *p = bytes;
    size_t left = len;
    while (left > 0) {
        const struct unit *u = &w->units[w->unit];
        size_t rows = MIN(block_rows(w, u), u->rows - w->row);
        size_t block_bytes = rows * u->cols * dtype_size(w->t);
        size_t took = block_bytes;
        if (w->staged == 0 && left >= block_bytes && (uintptr_t)p % sizeof(float) == 0) {
            pack_block(w, p, rows);
        } else {
            if (w->stage == NULL && (w->stage = malloc(w->stage_bytes)) == NULL) {
                return why_set(why, ERR_NOMEM, "weights: no memory for a block of %zu bytes",
                               w->stage_bytes);
            }
            took = stage_bytes(w, p, left, block_bytes, rows);
        }
        p += took;
        left -= took;
    }
    if (len > 0) {
        hash_update(w->hash, bytes, len);
    }
    w->fed += len;
    return ERR_OK;
}

enum err weights_end(struct weights *w, struct hash128 *hash, struct why *why)
{
    if (w->fed != w->blob_bytes) {
        return why_set(why, ERR_CORRUPT, "weights: %zu of %zu bytes came", w->fed, w->blob_bytes);
    }
    if (w->hash == NULL) {
        return why_set(why, ERR_NOMEM, "weights: out of memory");
    }
    *hash = hash_final(w->hash);
    free(w->stage);
    w->stage = NULL;
    return ERR_OK;
}

size_t weights_blob_bytes(const struct model_config *c, enum dtype t)
{
    struct dims n = dims_of(c);
    size_t layer = 2 * n.C + n.W * n.C + n.C * n.Q + 3 * n.F * n.C;
    return (n.V * n.C * (c->tied ? 1 : 2) + n.L * layer + n.C) * dtype_size(t);
}

size_t weights_memory(const struct model_config *c, enum dtype t, bool for_training)
{
    struct dims n = dims_of(c);
    struct layer_weights layers[1];
    struct weights w = {.t = t, .for_training = for_training, .dim = n, .layers = layers};
    w.dim.L = 0;
    struct slab ends = {0};
    layout(&w, &ends, c->tied);
    w.dim.L = 1;
    struct slab one = {0};
    layout(&w, &one, c->tied);
    size_t widest = MAX(MAX(n.V, 2 * n.F), n.W);
    size_t stage = MAX((for_training ? widest : MIN(widest, BLOCK_ROWS)) * n.C,
                       (for_training ? n.C : MIN(n.C, BLOCK_ROWS)) * MAX(n.F, n.Q));
    return sizeof w + ends.used + n.L * (one.used - ends.used) + stage * dtype_size(t);
}
