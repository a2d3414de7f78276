// model.h: the transformer itself: weights of one version on a device, forward passes over rows,
// gradients.
//
// Used by one compute thread at a time (it drives the device's pool). Actor decode, learner
// scoring, training and audit all run the same forward ops over `struct batch`, which is why their
// log-probs agree bit for bit.
#ifndef CARAVAN_MODEL_MODEL_H
#define CARAVAN_MODEL_MODEL_H

#include <stdatomic.h>

#include "common/hash.h"
#include "model/batch.h"
#include "model/config.h"

// ---- weights of one version, packed for the device ----
struct weights;

// Contents are undefined until every parameter has been fed.
MUST_CHECK enum err weights_create(struct device *d, const struct model_config *c, enum dtype t,
                                   struct weights **out, struct why *why);
void weights_destroy(struct weights *w);    // NULL is fine
// The same with the panels in memory of the caller's, 64-byte aligned, that outlives w: a
// slab that several processes share (weightslab.h). For unified devices only. What stands there
// counts as fed, so a reader needs no feeding and may map it read-only. panels NULL: w's own memory.
MUST_CHECK enum err weights_create_in(struct device *d, const struct model_config *c, enum dtype t,
                                      void *panels, struct weights **out, struct why *why);
// Moves the panels to other memory of the caller's, or to w's own (NULL), which is given
// back when it is not used. Contents do not move along: feed anew.
MUST_CHECK enum err weights_place(struct weights *w, void *panels, struct why *why);
size_t weights_panel_bytes(const struct device *d, const struct model_config *c, enum dtype t);
// Streams the flat blob (all parameters in table order, dtype t) in pieces, from offset 0 upwards;
// a finished block of rows is packed at once, so that no second copy of the model exists. begin
// resets the position; end checks that all bytes came and gives the XXH3-128 of the blob.
void weights_begin(struct weights *w);
MUST_CHECK enum err weights_feed(struct weights *w, const void *bytes, size_t len, struct why *why);
MUST_CHECK enum err weights_end(struct weights *w, struct hash128 *hash, struct why *why);
// Bytes to the end of the next block: a piece of this size, 4-byte aligned, is packed where it
// stands and is not copied. 0 = the blob is complete.
size_t weights_wants(const struct weights *w);
// Checksums of the panels. Pieces of 64 KiB take turns between the stripes, so one stripe
// reads a sixteenth of the bytes and meets every MiB.
enum { WEIGHTS_STRIPES = 16 };
struct weights_sums {
    uint64_t stripe[WEIGHTS_STRIPES];
};
// Of what was fed to the caller's memory; taken on the way, while it was in cache.
const struct weights_sums *weights_fed_sums(const struct weights *w);
// Of what stands in memory now.
uint64_t weights_sum(const struct weights *w, size_t stripe);
size_t weights_blob_bytes(const struct model_config *c, enum dtype t);    // size of the flat blob
// Bytes of a struct weights.
size_t weights_memory(const struct model_config *c, enum dtype t);

// ---- model: config, tables and planned scratch memory ----
struct model;
struct model_limits {
    size_t max_rows;       // rows of one inference pass (model_forward)
    size_t max_index;      // kv_index entries of one pass
    size_t max_outs;       // outs of one inference pass
    size_t train_rows;     // rows of one training pass; 0 = inference only
    enum dtype weights;    // of weights that train: scratch for W^T; f32 has room for bf16
    size_t max_context;    // positions (RoPE table), at most config.max_positions
    // Training keeps each layer's input alone and runs the layer again for its backward: the same
    // gradients to the bit, a small part of the memory, about a quarter more time.
    bool recompute;
};
MUST_CHECK enum err model_create(struct device *d, const struct model_config *c,
                                 const struct model_limits *l, struct model **out, struct why *why);
void model_destroy(struct model *m);
// Planned bytes, printed in memory plans.
size_t model_memory(const struct model_config *c, const struct model_limits *l);
const struct model_config *model_get_config(const struct model *m);
const struct param_table *model_params(const struct model *m);

// ---- KV cache ----
// n_rows rows per layer of (kv_heads * head_dim) f32 keys and values; who owns which row is the
// caller's business.
struct kv_cache;
MUST_CHECK enum err kv_cache_create(struct model *m, size_t n_rows, struct kv_cache **out,
                                    struct why *why);
void kv_cache_destroy(struct kv_cache *kv);
size_t kv_cache_row_bytes(const struct model_config *c);

// ---- inference ----
// Runs all rows of b (their K/V are written to kv_row of the cache; a row may see rows of the same
// batch) and for each out scores b->target or draws a token: spec (n_out) gives temperature,
// top-k/p, u; its target is taken from the batch. results (n_out) =. cancel (may be NULL) is looked
// at between layers: ERR_CANCELLED leaves the cache rows of this batch undefined.
MUST_CHECK enum err model_forward(struct model *m, const struct weights *w, struct kv_cache *kv,
                                  const struct batch *b, const struct sample_spec *spec,
                                  struct sample_out *results, const atomic_bool *cancel,
                                  struct why *why);
// Log-probs and entropies of all outs (targets) of a batch built with batch_add_group, at one
// temperature, without gradients and without a caller's cache. logp, entropy (n_out) =; entropy may
// be NULL. n_rows <= max(max_rows, train_rows); any number of outs.
MUST_CHECK enum err model_score(struct model *m, const struct weights *w, const struct batch *b,
                                float temperature, float *logp, float *entropy,
                                const atomic_bool *cancel, struct why *why);
// The raw logits of out row i (V floats, host) for tests and tools.
MUST_CHECK enum err model_logits(struct model *m, const struct weights *w, const struct batch *b,
                                 size_t out_index, float *logits, struct why *why);

// ---- training ----
// Called for consecutive ranges of outs, in order: from log-probs (and entropies) to coef[i] =
// dL/dlogp[i].
typedef void model_loss_fn(void *arg, size_t first, size_t n, const float *logp,
                           const float *entropy, float *coef);
// One forward and backward pass: grads (flat, table order, device memory, params->total floats) +=.
// Needs weights of limits.weights or a smaller dtype and n_rows <= train_rows. On any error
// (ERR_CANCELLED included) grads may hold part of the sums: zero them before the next step. The bits
// of grads depend on the batch and on the instruction set, not on threads.
MUST_CHECK enum err model_train(struct model *m, const struct weights *w, const struct batch *b,
                                float temperature, model_loss_fn *loss, void *arg, float *grads,
                                const atomic_bool *cancel, struct why *why);

#endif
