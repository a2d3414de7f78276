// weights.c: one version of the weights, packed for the device as its bytes arrive.
//
// In:  the flat blob (all parameters in table order, bf16 or f32) in pieces of any size, from a
//      file, a message or the optimiser's own array.
// Out: packed panels and norm vectors in one slab.
//
// The blob is a sequence of units: vectors, and matrices where q, k, v (and gate, up) count as one
// taller matrix, since their rows follow each other in the blob; so do their biases. Which there
// are, and in which order, is the family's row. A unit is packed in blocks of
// BLOCK_ROWS, because panels of 16 outputs are independent: a reload needs little memory beside the
// versions, and a block that the optimiser has just rounded is packed while it is in cache. A block
// that lies complete and aligned in the caller's piece is packed from there, anything else goes
// through a staging buffer of one block.
//
// The slab may stand in memory of the caller's that other processes see (weightslab.h). Its
// bytes then get a checksum on the way. Units stand in the slab in the order in which they come, so
// everything below the block that was packed last is final: it is summed in pieces of SUM_PIECE,
// beside the blob's own hash, which has one order and therefore one thread.

#include "model/internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_ROWS = 1024, PANEL = 16, SUM_PIECE = 1 << 16 };

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
    const struct family *f = family_find(c->family);
    CHECK(f != NULL);
    const struct family_param *q = family_layer_param(f, PARAM_Q_NORM);
    const struct family_param *k = family_layer_param(f, PARAM_K_NORM);
    n.HN = q != NULL ? n.Q / family_dim(c, q->cols) : 0;
    n.GN = k != NULL ? n.KV / family_dim(c, k->cols) : 0;
    return n;
}

size_t panel_bytes(const struct device *d, enum dtype t, size_t rows, size_t cols)
{
    if (d != NULL) {
        return d->ops->packed_bytes(t, rows, cols);
    }
    return (rows + PANEL - 1) / PANEL * PANEL * (cols + cols % 2) * dtype_size(t);
}

// Where in struct layer_weights the parameters of a layer go. Those that follow one another in the
// table and have one place are one taller matrix or longer vector.
static const size_t places[PARAM_KINDS] = {
    [PARAM_ATTN_NORM] = offsetof(struct layer_weights, attn_norm),
    [PARAM_Q] = offsetof(struct layer_weights, qkv),
    [PARAM_K] = offsetof(struct layer_weights, qkv),
    [PARAM_V] = offsetof(struct layer_weights, qkv),
    [PARAM_Q_BIAS] = offsetof(struct layer_weights, qkv_bias),
    [PARAM_K_BIAS] = offsetof(struct layer_weights, qkv_bias),
    [PARAM_V_BIAS] = offsetof(struct layer_weights, qkv_bias),
    [PARAM_Q_NORM] = offsetof(struct layer_weights, q_norm),
    [PARAM_K_NORM] = offsetof(struct layer_weights, k_norm),
    [PARAM_O] = offsetof(struct layer_weights, o),
    [PARAM_FFN_NORM] = offsetof(struct layer_weights, ffn_norm),
    [PARAM_GATE] = offsetof(struct layer_weights, gate_up),
    [PARAM_UP] = offsetof(struct layer_weights, gate_up),
    [PARAM_DOWN] = offsetof(struct layer_weights, down),
};

static struct unit *add_unit(struct weights *w, const struct family_param *p, void *place)
{
    struct unit *u = &w->units[w->n_units++];
    *u = (struct unit){.rows = family_dim(&w->config, p->rows),
                       .cols = family_dim(&w->config, p->cols)};
    if (p->rows == DIM_ONE) {
        u->vector = place;
    } else {
        u->matrix = place;
    }
    return u;
}

static void list_layer(struct weights *w, struct layer_weights *lw)
{
    struct unit *u = NULL;
    size_t place = SIZE_MAX;
    for (const struct family_param *p = w->family->layer; p->name != NULL; p++) {
        if (places[p->kind] != place) {
            place = places[p->kind];
            u = add_unit(w, p, (char *)lw + place);
        } else if (u->vector != NULL) {
            u->cols += family_dim(&w->config, p->cols);
        } else {
            u->rows += family_dim(&w->config, p->rows);
        }
    }
}

static void list_units(struct weights *w)
{
    w->n_units = 0;
    add_unit(w, &w->family->before, &w->embed);
    for (size_t l = 0; l < w->dim.L; l++) {
        list_layer(w, &w->layers[l]);
    }
    add_unit(w, &w->family->after, &w->final_norm);
    if (!w->config.tied) {
        add_unit(w, &w->family->head, &w->head);
    }
    w->blob_bytes = 0;
    w->stage_bytes = 0;
    for (size_t i = 0; i < w->n_units; i++) {
        const struct unit *u = &w->units[i];
        w->blob_bytes += u->rows * u->cols * dtype_size(w->t);
        w->stage_bytes = MAX(w->stage_bytes, MIN(u->rows, BLOCK_ROWS) * u->cols * dtype_size(w->t));
    }
}

// Points every unit into s; run with a base of NULL it only counts.
static void layout(struct weights *w, struct slab *s)
{
    for (size_t i = 0; i < w->n_units; i++) {
        const struct unit *u = &w->units[i];
        if (u->vector != NULL) {
            *u->vector = slab_take(s, u->cols * sizeof(float));
        } else {
            void *packed = slab_take(s, panel_bytes(w->d, w->t, u->rows, u->cols));
            *u->matrix = (struct matrix){u->rows, u->cols, packed};
        }
    }
    if (w->config.tied) {
        w->head = w->embed;
    }
}

struct sizes {
    size_t panels, stage;
};

// Without allocating anything: the ends of the model and one layer are counted.
static struct sizes count_sizes(const struct device *d, const struct model_config *c, enum dtype t)
{
    struct layer_weights layer;
    struct unit units[FAMILY_LAYER_PARAMS + 3];
    struct weights w = {.t = t, .config = *c, .units = units};
    struct slab counted[2] = {0};           // without layers, with one
    w.d = (struct device *)(uintptr_t)d;    // only asked for sizes
    w.family = family_find(c->family);
    w.layers = &layer;
    for (size_t i = 0; i < 2; i++) {
        w.dim.L = i;
        list_units(&w);
        layout(&w, &counted[i]);
    }
    size_t ends = counted[0].used, each = counted[1].used - ends;
    return (struct sizes){.panels = ends + (size_t)c->layers * each, .stage = w.stage_bytes};
}

// ---- where the panels stand

size_t weights_panel_bytes(const struct device *d, const struct model_config *c, enum dtype t)
{
    return count_sizes(d, c, t).panels;
}

static void point_views(struct weights *w, void *panels)
{
    struct slab s = {.base = panels};
    w->panels = panels;
    layout(w, &s);
}

enum err weights_place(struct weights *w, void *panels, struct why *why)
{
    if (panels == NULL && w->own == NULL) {
        enum err e = w->d->ops->alloc(w->d, w->panel_bytes, &w->own, why);
        if (e != ERR_OK) {
            return why_prefix(why, e, "weights");
        }
    } else if (panels != NULL) {
        w->d->ops->release(w->d, w->own);
        w->own = NULL;
    }
    point_views(w, panels != NULL ? panels : w->own);
    return ERR_OK;
}

static enum err allocate_parts(struct weights *w, const struct model_config *c, void *panels,
                               struct why *why)
{
    w->layers = calloc(w->dim.L, sizeof *w->layers);
    w->units = calloc(w->dim.L * FAMILY_LAYER_PARAMS + 3, sizeof *w->units);
    w->hash = hash_create();
    if (w->layers == NULL || w->units == NULL || w->hash == NULL) {
        return why_set(why, ERR_NOMEM, "weights: out of memory");
    }
    size_t longest = 0;
    list_units(w);
    for (size_t i = 0; i < w->n_units; i++) {
        longest = MAX(longest, w->units[i].vector != NULL ? w->units[i].cols : 0);
    }
    w->vector_host = calloc(longest, sizeof *w->vector_host);
    if (w->vector_host == NULL) {
        return why_set(why, ERR_NOMEM, "weights: out of memory");
    }
    struct slab s = {0};
    layout(w, &s);
    w->panel_bytes = s.used;
    CHECK(w->panel_bytes == weights_panel_bytes(w->d, c, w->t));
    return weights_place(w, panels, why);
}

enum err weights_create_in(struct device *d, const struct model_config *c, enum dtype t,
                           void *panels, struct weights **out, struct why *why)
{
    enum err e = model_config_check(c, "model config", why);
    if (e != ERR_OK) {
        return e;
    }
    CHECK(panels == NULL || d->ops->unified);
    struct weights *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return why_set(why, ERR_NOMEM, "weights: out of memory");
    }
    *w = (struct weights){.d = d, .t = t, .config = *c, .dim = dims_of(c)};
    w->family = family_find(c->family);
    e = allocate_parts(w, c, panels, why);
    if (e != ERR_OK) {
        weights_destroy(w);
        return e;
    }
    *out = w;
    return ERR_OK;
}

enum err weights_create(struct device *d, const struct model_config *c, enum dtype t,
                        struct weights **out, struct why *why)
{
    return weights_create_in(d, c, t, NULL, out, why);
}

void weights_destroy(struct weights *w)
{
    if (w == NULL) {
        return;
    }
    w->d->ops->release(w->d, w->own);
    hash_destroy(w->hash);
    free(w->stage);
    free(w->vector_host);
    free(w->units);
    free(w->layers);
    free(w);
}

// ---- checksum and hash

// Of one piece: its place counts, and pieces may be added in any order.
static uint64_t piece_sum(const char *panels, size_t bytes, size_t piece)
{
    size_t at = piece * SUM_PIECE;
    struct hash128 h = hash_bytes(panels + at, MIN(bytes - at, (size_t)SUM_PIECE));
    uint64_t low;
    memcpy(&low, h.bytes, sizeof low);
    return low * (2 * (uint64_t)piece + 1);
}

struct digest {
    const struct weights *w;
    const void *blob;    // NULL: only sums
    size_t len;
    size_t first, stride;    // pieces first, first + stride, …
    atomic_uint_fast64_t sum[WEIGHTS_STRIPES];
};

static void digest_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    struct digest *g = arg;
    if (g->blob != NULL && chunk == 0) {
        hash_update(g->w->hash, g->blob, g->len);
        return;
    }
    size_t piece = g->first + (chunk - (g->blob != NULL ? 1 : 0)) * g->stride;
    uint64_t sum = piece_sum(g->w->panels, g->w->panel_bytes, piece);
    atomic_fetch_add(&g->sum[piece % WEIGHTS_STRIPES], sum);
}

// The pieces below byte `ready` of the panels that are not in the sums yet; *blob is hashed beside.
static void digest_more(struct weights *w, const void *blob, size_t len, size_t ready)
{
    size_t whole =
        ready == w->panel_bytes ? (ready + SUM_PIECE - 1) / SUM_PIECE : ready / SUM_PIECE;
    struct digest g = {.w = w, .blob = blob, .len = len, .first = w->summed, .stride = 1};
    size_t pieces = w->panels == w->own || whole < w->summed ? 0 : whole - w->summed;
    pool_run(w->d->pool, pieces + (blob != NULL ? 1 : 0), digest_task, &g);
    for (size_t i = 0; i < WEIGHTS_STRIPES; i++) {
        w->sums.stripe[i] += atomic_load(&g.sum[i]);
    }
    w->summed += pieces;
}

const struct weights_sums *weights_fed_sums(const struct weights *w)
{
    return &w->sums;
}

uint64_t weights_sum(const struct weights *w, size_t stripe)
{
    size_t all = (w->panel_bytes + SUM_PIECE - 1) / SUM_PIECE;
    size_t pieces = all > stripe ? (all - stripe + WEIGHTS_STRIPES - 1) / WEIGHTS_STRIPES : 0;
    struct digest g = {.w = w, .first = stripe, .stride = WEIGHTS_STRIPES};
    CHECK(stripe < WEIGHTS_STRIPES);
    pool_run(w->d->pool, pieces, digest_task, &g);
    return atomic_load(&g.sum[stripe]);
}

// ---- the blob

void weights_begin(struct weights *w)
{
    hash_destroy(w->hash);
    w->hash = hash_create();
    w->fed = 0;
    w->unit = 0;
    w->row = 0;
    w->staged = 0;
    w->sums = (struct weights_sums){{0}};
    w->summed = 0;
}

static size_t next_block_rows(const struct weights *w)
{
    const struct unit *u = &w->units[w->unit];
    return MIN((size_t)BLOCK_ROWS, u->rows - w->row);
}

size_t weights_wants(const struct weights *w)
{
    if (w->unit == w->n_units) {
        return 0;
    }
    return next_block_rows(w) * w->units[w->unit].cols * dtype_size(w->t) - w->staged;
}

// Packs one complete block, `rows` rows of the current unit, and steps past it.
static void pack_block(struct weights *w, const void *block)
{
    size_t rows = next_block_rows(w);
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
        op->upload(w->d, *u->vector, src, u->cols * sizeof(float));
    } else {
        // rows is a multiple of 16 in every block but a unit's last, so blocks start on a panel
        char *panels = (char *)u->matrix->packed + panel_bytes(w->d, w->t, w->row, u->cols);
        op->pack(w->d, w->t, rows, u->cols, block, panels);
    }
    w->row += rows;
    if (w->row == u->rows) {
        w->unit++;
        w->row = 0;
    }
}

// Where in the panels the next block will stand: all bytes below are final.
static size_t packed_so_far(const struct weights *w)
{
    if (w->unit == w->n_units) {
        return w->panel_bytes;
    }
    const struct unit *u = &w->units[w->unit];
    const char *at = u->vector != NULL ? (const char *)*u->vector : u->matrix->packed;
    size_t inside = w->row > 0 ? panel_bytes(w->d, w->t, w->row, u->cols) : 0;
    return (size_t)(at - (const char *)w->panels) + inside;
}

// Adds bytes to the staging buffer, at most up to the block's end; returns how many it took.
static size_t stage_bytes(struct weights *w, const uint8_t *bytes, size_t len, size_t wanted)
{
    size_t take = MIN(len, wanted);
    memcpy(w->stage + w->staged, bytes, take);
    w->staged += take;
    if (take == wanted) {
        w->staged = 0;
        pack_block(w, w->stage);
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
    for (size_t left = len; left > 0;) {
        size_t took = weights_wants(w);
        if (w->staged == 0 && left >= took && (uintptr_t)p % sizeof(float) == 0) {
            pack_block(w, p);
        } else {
            if (w->stage == NULL && (w->stage = malloc(w->stage_bytes)) == NULL) {
                return why_set(why, ERR_NOMEM, "weights: no memory for a block of %zu bytes",
                               w->stage_bytes);
            }
            took = stage_bytes(w, p, left, took);
        }
        digest_more(w, p, took, packed_so_far(w));
        p += took;
        left -= took;
        w->fed += took;
    }
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
    return param_total(c) * dtype_size(t);
}

size_t weights_memory(const struct model_config *c, enum dtype t)
{
    struct sizes n = count_sizes(NULL, c, t);
    return sizeof(struct weights) + n.panels + n.stage;
}
