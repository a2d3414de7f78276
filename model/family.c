// family.c: the table of families.
//
// The order of parameters is part of the file formats (flat weights, gradients, moments, hashes),
// so rows may be added but never re-ordered. Within a layer q, k, v stand side by side, and so do
// their biases, and gate and up: their rows form one taller matrix (longer vector) each, which lets
// the model run them as one product without ever copying a gradient together.

#include "model/family.h"

#include <string.h>

#define LAYER(name) "model.layers.%d." name
#define BLOCK(name) "blk.%d." name

// clang-format off
#define EMBED      {PARAM_EMBED, "model.embed_tokens.weight", "token_embd.weight", DIM_VOCAB, DIM_HIDDEN}
#define FINAL_NORM {PARAM_FINAL_NORM, "model.norm.weight", "output_norm.weight", DIM_ONE, DIM_HIDDEN}
#define HEAD       {PARAM_HEAD, "lm_head.weight", "output.weight", DIM_VOCAB, DIM_HIDDEN}

#define ATTN_NORM  {PARAM_ATTN_NORM, LAYER("input_layernorm.weight"), BLOCK("attn_norm.weight"), DIM_ONE, DIM_HIDDEN}
#define QKV        {PARAM_Q, LAYER("self_attn.q_proj.weight"), BLOCK("attn_q.weight"), DIM_QUERY, DIM_HIDDEN}, \
                   {PARAM_K, LAYER("self_attn.k_proj.weight"), BLOCK("attn_k.weight"), DIM_KEY, DIM_HIDDEN}, \
                   {PARAM_V, LAYER("self_attn.v_proj.weight"), BLOCK("attn_v.weight"), DIM_KEY, DIM_HIDDEN}
#define QKV_BIAS   {PARAM_Q_BIAS, LAYER("self_attn.q_proj.bias"), BLOCK("attn_q.bias"), DIM_ONE, DIM_QUERY}, \
                   {PARAM_K_BIAS, LAYER("self_attn.k_proj.bias"), BLOCK("attn_k.bias"), DIM_ONE, DIM_KEY}, \
                   {PARAM_V_BIAS, LAYER("self_attn.v_proj.bias"), BLOCK("attn_v.bias"), DIM_ONE, DIM_KEY}
#define QK_NORM(q, k) \
                   {PARAM_Q_NORM, LAYER("self_attn.q_norm.weight"), BLOCK("attn_q_norm.weight"), DIM_ONE, q}, \
                   {PARAM_K_NORM, LAYER("self_attn.k_norm.weight"), BLOCK("attn_k_norm.weight"), DIM_ONE, k}
#define OUT        {PARAM_O, LAYER("self_attn.o_proj.weight"), BLOCK("attn_output.weight"), DIM_HIDDEN, DIM_QUERY}
#define FFN_NORM   {PARAM_FFN_NORM, LAYER("post_attention_layernorm.weight"), BLOCK("ffn_norm.weight"), DIM_ONE, DIM_HIDDEN}
#define MLP        {PARAM_GATE, LAYER("mlp.gate_proj.weight"), BLOCK("ffn_gate.weight"), DIM_FFN, DIM_HIDDEN}, \
                   {PARAM_UP, LAYER("mlp.up_proj.weight"), BLOCK("ffn_up.weight"), DIM_FFN, DIM_HIDDEN}, \
                   {PARAM_DOWN, LAYER("mlp.down_proj.weight"), BLOCK("ffn_down.weight"), DIM_HIDDEN, DIM_FFN}

// Norms of what attention and MLP give, where they stand behind them.
#define NORM_OF_ATTN {PARAM_ATTN_NORM, LAYER("post_attention_layernorm.weight"), BLOCK("post_attention_norm.weight"), DIM_ONE, DIM_HIDDEN}
#define NORM_OF_MLP  {PARAM_FFN_NORM, LAYER("post_feedforward_layernorm.weight"), BLOCK("post_ffw_norm.weight"), DIM_ONE, DIM_HIDDEN}
// clang-format on

static const struct family families[] = {
    {
        .name = "llama",
        .architecture = "LlamaForCausalLM",
        .gguf = "llama",
        .hidden_act = "silu",
        .false_fields = {"attention_bias", "mlp_bias"},
        .gguf_interleaved = true,
        .before = EMBED,
        .layer = {ATTN_NORM, QKV, OUT, FFN_NORM, MLP},
        .after = FINAL_NORM,
        .head = HEAD,
    },
    {
        .name = "mistral",
        .architecture = "MistralForCausalLM",
        .gguf = "llama",    // with llama.attention.sliding_window
        .hidden_act = "silu",
        .window = WINDOW_ALL,
        .default_window = 4096,
        .default_kv_heads = 8,
        .gguf_interleaved = true,
        .before = EMBED,
        .layer = {ATTN_NORM, QKV, OUT, FFN_NORM, MLP},
        .after = FINAL_NORM,
        .head = HEAD,
    },
    {
        .name = "qwen2",
        .architecture = "Qwen2ForCausalLM",
        .gguf = "qwen2",
        .hidden_act = "silu",
        .window = WINDOW_UPPER,
        .default_window = 4096,
        .default_kv_heads = 32,
        .before = EMBED,
        .layer = {ATTN_NORM, QKV, QKV_BIAS, OUT, FFN_NORM, MLP},
        .after = FINAL_NORM,
        .head = HEAD,
    },
    {
        .name = "qwen3",
        .architecture = "Qwen3ForCausalLM",
        .gguf = "qwen3",
        .hidden_act = "silu",
        .false_fields = {"attention_bias"},
        .window = WINDOW_UPPER,
        .default_window = 4096,
        .default_kv_heads = 32,
        .default_head_dim = 128,
        .before = EMBED,
        .layer = {ATTN_NORM, QKV, QK_NORM(DIM_HEAD, DIM_HEAD), OUT, FFN_NORM, MLP},
        .after = FINAL_NORM,
        .head = HEAD,
    },
    {
        .name = "olmo2",
        .architecture = "Olmo2ForCausalLM",
        .gguf = "olmo2",
        .hidden_act = "silu",
        .false_fields = {"attention_bias"},
        .norm_after = true,
        .before = EMBED,
        .layer = {QKV, QK_NORM(DIM_QUERY, DIM_KEY), OUT, NORM_OF_ATTN, MLP, NORM_OF_MLP},
        .after = FINAL_NORM,
        .head = HEAD,
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

const struct family *family_find_gguf(const char *architecture)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        if (strcmp(families[i].gguf, architecture) == 0) {
            return &families[i];
        }
    }
    return NULL;
}

const char *family_names(void)
{
    return "llama, mistral, qwen2, qwen3, olmo2";
}

const char *family_gguf_names(void)
{
    return "llama, qwen2, qwen3, olmo2";
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
    case DIM_HEAD:
        return (size_t)c->head_dim;
    case DIM_FFN:
        return (size_t)c->ffn;
    }
    return 0;
}

const struct family_param *family_layer_param(const struct family *f, enum param_kind kind)
{
    for (const struct family_param *p = f->layer; p->name != NULL; p++) {
        if (p->kind == kind) {
            return p;
        }
    }
    return NULL;
}

size_t family_layer_count(const struct family *f)
{
    size_t n = 0;
    while (f->layer[n].name != NULL) {
        n++;
    }
    return n;
}
