// config.h: what a transformer is, read from config.json or GGUF metadata, and the table of its
// parameters.
//
// The parameter table is the canonical order of everything flat: the weights blob (hashing,
// publication, checkpoints), gradients and optimiser moments. Families are rows of a table
// (family.c): a new one is data plus, where the maths differ, one op. docs/models.md lists them.
#ifndef CARAVAN_MODEL_CONFIG_H
#define CARAVAN_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "kernels/device.h"
#include "model/rope.h"

enum { MODEL_MAX_EOS = 8, MODEL_MAX_LAYERS = 512 };

struct model_config {
    char family[32];    // "llama", "qwen3" …: a row of family.c
    int32_t vocab, hidden, ffn, layers, heads, kv_heads, head_dim;
    int32_t max_positions;
    float rope_theta, rms_eps;
    struct rope_scaling rope;
    // Sliding window: in layers window_from and up a position sees itself and window - 1 before it.
    // 0 = all layers see everything (and window_from is 0).
    int32_t window, window_from;
    bool tied;                 // lm_head is the embedding
    int32_t bos_id, pad_id;    // -1 = none
    int32_t eos_ids[MODEL_MAX_EOS];
    int32_t n_eos;
};

enum param_kind {
    PARAM_EMBED,
    PARAM_ATTN_NORM,
    PARAM_Q,
    PARAM_K,
    PARAM_V,
    PARAM_Q_BIAS,
    PARAM_K_BIAS,
    PARAM_V_BIAS,
    PARAM_Q_NORM,
    PARAM_K_NORM,
    PARAM_O,
    PARAM_FFN_NORM,
    PARAM_GATE,
    PARAM_UP,
    PARAM_DOWN,
    PARAM_FINAL_NORM,
    PARAM_HEAD,
    PARAM_KINDS
};

struct param {
    char name[96];    // Hugging Face name, "model.layers.3.mlp.up_proj.weight"
    char gguf[64];    // name in GGUF files, "blk.3.ffn_up.weight"
    enum param_kind kind;
    bool vector;          // stored with one dimension
    int32_t layer;        // -1 = not in a layer
    size_t rows, cols;    // matrix (rows = outputs, cols = inputs); vectors are (1, n)
    size_t offset;        // first element in the flat order
    size_t count;         // rows * cols
};

struct param_table {
    struct param *params;    // owned
    size_t n;
    size_t total;    // elements
    // Where a kind stands: at first[kind] in layer 0 (or at all), then every per_layer; -1 = absent.
    int first[PARAM_KINDS];
    size_t per_layer;
};

// Strict: unknown architecture, a missing or out-of-range field, a scaling or activation we do not
// compute are errors naming the field. where: for messages.
MUST_CHECK enum err model_config_parse(const char *json, size_t len, const char *where,
                                       struct model_config *out, struct why *why);
// config.json text that transformers reads and model_config_parse reads back equal (free()). dtype
// names torch_dtype.
char *model_config_print(const struct model_config *c, enum dtype t);
// Ranges and divisibility.
MUST_CHECK enum err model_config_check(const struct model_config *c, const char *where,
                                       struct why *why);
MUST_CHECK enum err param_table_create(const struct model_config *c, struct param_table *out,
                                       struct why *why);
void param_table_destroy(struct param_table *t);
// Index of a Hugging Face tensor name, or -1.
int param_table_find(const struct param_table *t, const char *name);
// The parameter of a kind, or NULL; layer is 0 for those outside of layers.
const struct param *param_table_at(const struct param_table *t, enum param_kind kind, size_t layer);
// Elements of all parameters, without a table; c need not be checked yet beyond its ranges.
size_t param_total(const struct model_config *c);

#endif
