// family.c: the table of families.
//
// The order of parameters is part of the file formats (flat weights, gradients, moments, hashes),
// so rows may be added but never re-ordered. Within a layer q, k, v stand side by side, and so do
// gate and up: their rows form one taller matrix each, which lets the model run them as one product
// without ever copying a gradient together.

#include "model/family.h"

#include <string.h>

static const struct family families[] = {
    {
        .name = "llama",
        .architecture = "LlamaForCausalLM",
        .hidden_act = "silu",
        .before = {PARAM_EMBED, "model.embed_tokens.weight", DIM_VOCAB, DIM_HIDDEN},
        .layer =
            {
                {PARAM_ATTN_NORM, "model.layers.%d.input_layernorm.weight", DIM_ONE, DIM_HIDDEN},
                {PARAM_Q, "model.layers.%d.self_attn.q_proj.weight", DIM_QUERY, DIM_HIDDEN},
                {PARAM_K, "model.layers.%d.self_attn.k_proj.weight", DIM_KEY, DIM_HIDDEN},
                {PARAM_V, "model.layers.%d.self_attn.v_proj.weight", DIM_KEY, DIM_HIDDEN},
                {PARAM_O, "model.layers.%d.self_attn.o_proj.weight", DIM_HIDDEN, DIM_QUERY},
                {PARAM_FFN_NORM, "model.layers.%d.post_attention_layernorm.weight", DIM_ONE,
                 DIM_HIDDEN},
                {PARAM_GATE, "model.layers.%d.mlp.gate_proj.weight", DIM_FFN, DIM_HIDDEN},
                {PARAM_UP, "model.layers.%d.mlp.up_proj.weight", DIM_FFN, DIM_HIDDEN},
                {PARAM_DOWN, "model.layers.%d.mlp.down_proj.weight", DIM_HIDDEN, DIM_FFN},
            },
        .after = {PARAM_FINAL_NORM, "model.norm.weight", DIM_ONE, DIM_HIDDEN},
        .head = {PARAM_HEAD, "lm_head.weight", DIM_VOCAB, DIM_HIDDEN},
    },
};

const struct family *family_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        if (strcmp(families[i].name, name) == 0) {
            return &families[i];
        }
    }
    return NULL;
}

const char *family_names(void)
{
    return "llama";
}

size_t family_dim(const struct model_config *c, enum family_dim d)
{
    switch (d) {
    case DIM_ONE:
        return 1;
    case DIM_VOCAB:
        return (size_t)c->vocab;
    case DIM_HIDDEN:
        return (size_t)c->hidden;
    case DIM_QUERY:
        return (size_t)c->heads * (size_t)c->head_dim;
    case DIM_KEY:
        return (size_t)c->kv_heads * (size_t)c->head_dim;
    case DIM_FFN:
        return (size_t)c->ffn;
    }
    return 0;
}
