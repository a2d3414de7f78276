// internal.h: what weights.c, model.c, forward.c and backward.c share; nobody else includes it.
//
// Letters, here and in those files: R rows, V vocabulary, C hidden, F feed-forward, H query heads,
// G key heads, D head size, Q = H*D, KV = G*D, W = Q + 2*KV (the width of q, k, v side by side).
// Everything that a struct here calls `float *` or `void *` is device memory unless it says host.
#ifndef CARAVAN_MODEL_INTERNAL_H
#define CARAVAN_MODEL_INTERNAL_H

#include "model/family.h"
#include "model/model.h"

enum {
    HEAD_ROWS = 256,     // outs per chunk of logits, at most: 256 * 49152 * 4 B = 50 MB
    TURN_ROWS = 1536,    // of a matrix W whose W^T is there at a time: whole panels
};

// One allocation and its views: the same layout function runs with base NULL to count and with
// memory to point.
struct slab {
    char *base;
    size_t used;
};
void *slab_take(struct slab *s, size_t bytes);    // NULL while base is NULL; 64-byte steps
// Of packed panels. Memory plans come before there is a device: for d NULL they count panels of 16
// with an even depth.
size_t panel_bytes(const struct device *d, enum dtype t, size_t rows, size_t cols);

struct dims {
    size_t V, C, F, H, G, D, Q, KV, W, L;
    // Heads that the norms of q and k take one by one: H and G, or 1 and 1 where a norm spans the
    // whole projection; 0 = the family has no such norms.
    size_t HN, GN;
};
struct dims dims_of(const struct model_config *c);

// ---- weights ----
struct matrix {
    size_t rows, cols;    // out = x (R, cols) W^T -> (R, rows)
    void *packed;
};

struct layer_weights {
    float *attn_norm;          // (C)
    struct matrix qkv;         // (W, C): the rows of q, k, v
    float *qkv_bias;           // (W); NULL: the family has none
    float *q_norm, *k_norm;    // (Q / HN), (KV / GN); NULL: the family has none
    struct matrix o;           // (C, Q)
    float *ffn_norm;           // (C)
    struct matrix gate_up;     // (2F, C): the rows of gate, then up
    struct matrix down;        // (C, F)
};

// What the blob consists of, in order: a vector or a matrix (never both).
struct unit {
    size_t rows, cols;
    float **vector;
    struct matrix *matrix;
};

struct weights {
    struct device *d;
    enum dtype t;
    struct model_config config;
    const struct family *family;
    struct dims dim;
    struct matrix embed;    // (V, C)
    struct matrix head;     // (V, C); the embedding's own when tied
    float *final_norm;      // (C)
    struct layer_weights *layers;

    void *panels;    // panels and vectors; `own`, or memory of the caller's
    size_t panel_bytes;
    void *own;    // NULL where there is none
    struct unit *units;
    size_t n_units;
    size_t blob_bytes;

    // where the feed stands
    size_t fed;            // bytes since weights_begin
    size_t unit, row;      // the next row to pack is row `row` of units[unit]
    size_t staged;         // bytes in stage
    size_t stage_bytes;    // size of the largest block
    uint8_t *stage;        // host; allocated by the first piece that needs it
    float *vector_host;    // the longest vector; host
    struct hash_state *hash;
    struct weights_sums sums;    // of the first `summed` pieces of the caller's panels
    size_t summed;
};

// ---- model ----
// What one layer keeps. Inference reuses one set for all layers, in place: x = x_mid = x_out, no
// rstd, no lse, no qk.
struct layer_acts {
    float *x;            // (R, C) layer input
    float *rstd_attn;    // (R)
    float *qkv;          // (R, W) after RoPE
    float *qk;           // (R, Q + KV) q and k before their norms; NULL without such norms
    float *rstd_q;       // (R, HN)
    float *rstd_k;       // (R, GN)
    float *att;          // (R, Q)
    float *lse;          // (R, H)
    float *x_mid;        // (R, C) after attention
    float *rstd_ffn;     // (R)
    float *gate_up;      // (R, 2F)
    float *y_attn;       // (R, C) what attention and MLP give, where norms stand behind them;
    float *y_ffn;        // NULL where they stand before
    float *x_out;        // (R, C) = the next layer's x
};

// The key and value rows that one layer's attention reads.
struct kv_view {
    float *k, *v;
    size_t ld;
    bool cached;    // rows are copied from qkv into k, v first (v = k + KV, so one copy moves both)
};

struct kv_cache {
    struct device *d;
    size_t n_rows;
    size_t layer_floats;    // n_rows * 2 * KV
    float *rows;            // (L, n_rows, 2 * KV)
};

struct model {
    struct device *d;
    struct model_config config;
    const struct family *family;
    struct model_limits limits;
    struct param_table params;
    struct dims dim;
    float scale;        // of attention scores, 1 / sqrt(D)
    size_t rows_cap;    // max(max_rows, train_rows)
    size_t head_rows;
    void *slab;
    float *rope;    // (max_context, D/2, 2)

    // the batch on the device
    int32_t *token, *pos, *kv_row;    // (rows_cap)
    int32_t *kv_off, *kv_len;         // (rows_cap)
    int32_t *kv_index;                // (max_index)
    int32_t *out_row;                 // (head_rows)

    struct layer_acts infer;
    float *xn;     // (rows_cap, C) a norm's output
    float *act;    // (rows_cap, F) swiglu's output, in training its gradient first

    float *x_out, *xn_out;    // (head_rows, C)
    float *rstd_out;          // (head_rows)
    float *logits;            // (head_rows, V)

    // training only
    struct layer_acts *train;    // host array (L)
    float *dx;                   // (train_rows, C)
    float *dxn;                  // (train_rows, C)
    float *datt;                 // (train_rows, Q)
    float *dqkv;                 // (train_rows, W)
    float *dx_out, *dxn_out;     // (head_rows, C)
    // Panels of one W^T, which dx = dy W reads, of TURN_ROWS rows of W at most.
    void *wt;
};

// ---- forward.c, used by backward.c ----
enum err forward_check(const struct model *m, const struct weights *w, const struct batch *b,
                       size_t max_rows, size_t kv_rows, bool scored, struct why *why);
void forward_upload(struct model *m, const struct batch *b);
// All layers over the uploaded batch; acts (L) or NULL for inference; kv NULL = rows see each other
// only. *x: the residual stream after the last layer (R, C).
enum err forward_layers(struct model *m, const struct weights *w, struct kv_cache *kv, size_t R,
                        struct layer_acts *acts, const atomic_bool *cancel, float **x,
                        struct why *why);
// Fills a layer's activations from its input a->x once more, with the bits of the first time.
void forward_again(struct model *m, const struct weights *w, size_t layer, size_t R,
                   const struct layer_acts *a);
// logits of outs first .. first + n - 1 (n <= head_rows) from x.
void forward_head(struct model *m, const struct weights *w, const struct batch *b, const float *x,
                  size_t first, size_t n);
// What the first product of a branch reads: norm(x), in m->xn, or x itself where norms stand behind
// the branch. rstd may be NULL.
const float *forward_branch_input(struct model *m, size_t R, const float *x, const float *norm,
                                  float *rstd);
// The keys that rows see in a layer.
struct attn_keys forward_keys(const struct model *m, size_t layer);
enum err forward_cancelled(const atomic_bool *cancel, struct why *why);

#endif
