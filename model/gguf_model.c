// gguf_model.c: a GGUF file as a model: metadata to configuration, tensors to parameters.
// gguf_tokenizer.c reads the vocabulary.
//
// GGUF names differ from Hugging Face's and so does one layout: the converter stores the rows of q
// and k of the llama architecture with the two halves of a head interleaved (row 2j is j of the
// first half, row 2j + 1 is j of the second), since its rotary embedding turns neighbours. The
// views say so and source_read puts the rows back.
//
// What changes the maths and is not computed here is refused by key: scaled rotary positions,
// experts, sliding windows, per-layer head counts. A tensor that no parameter asks for is refused
// as well: a bias that is silently left out gives a model that is silently wrong.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/source_impl.h"

static const char *const tensor_names[] = {
    [PARAM_EMBED] = "token_embd.weight",         [PARAM_ATTN_NORM] = "blk.%d.attn_norm.weight",
    [PARAM_Q] = "blk.%d.attn_q.weight",          [PARAM_K] = "blk.%d.attn_k.weight",
    [PARAM_V] = "blk.%d.attn_v.weight",          [PARAM_O] = "blk.%d.attn_output.weight",
    [PARAM_FFN_NORM] = "blk.%d.ffn_norm.weight", [PARAM_GATE] = "blk.%d.ffn_gate.weight",
    [PARAM_UP] = "blk.%d.ffn_up.weight",         [PARAM_DOWN] = "blk.%d.ffn_down.weight",
    [PARAM_FINAL_NORM] = "output_norm.weight",   [PARAM_HEAD] = "output.weight",
};

static bool text_is(struct gguf_text t, const char *s)
{
    return t.len == strlen(s) && memcmp(t.ptr, s, t.len) == 0;
}

static int shown(struct gguf_text t)
{
    return (int)MIN(t.len, (size_t)60);
}

// ---- configuration ----

static enum err read_sizes(const struct gguf *g, struct model_config *c, struct why *why)
{
    const struct {
        const char *key;
        int32_t *out;
    } sizes[] = {
        {"llama.block_count", &c->layers},         {"llama.context_length", &c->max_positions},
        {"llama.embedding_length", &c->hidden},    {"llama.feed_forward_length", &c->ffn},
        {"llama.attention.head_count", &c->heads},
    };
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        int64_t value;
        enum err e = gguf_get_int(g, sizes[i].key, 1, INT32_MAX, &value, why);
        if (e != ERR_OK) {
            return e;
        }
        *sizes[i].out = (int32_t)value;
    }
    return ERR_OK;
}

static enum err read_heads(const struct gguf *g, struct model_config *c, struct why *why)
{
    int64_t kv = c->heads, dim = c->hidden / c->heads;
    enum err e = gguf_opt_int(g, "llama.attention.head_count_kv", 1, INT32_MAX, &kv, why);
    if (e == ERR_OK && gguf_find(g, "llama.attention.key_length") == NULL &&
        c->hidden % c->heads != 0) {
        e = why_set(why, ERR_CORRUPT,
                    "%s: llama.embedding_length %" PRId32
                    " is not a multiple of llama.attention.head_count "
                    "%" PRId32,
                    gguf_where(g), c->hidden, c->heads);
    }
    if (e == ERR_OK) {
        e = gguf_opt_int(g, "llama.attention.key_length", 1, INT32_MAX, &dim, why);
    }
    int64_t value_dim = dim, rope_dim = dim;
    if (e == ERR_OK) {
        e = gguf_opt_int(g, "llama.attention.value_length", dim, dim, &value_dim, why);
    }
    if (e == ERR_OK) {
        e = gguf_opt_int(g, "llama.rope.dimension_count", dim, dim, &rope_dim, why);
    }
    c->kv_heads = (int32_t)kv;
    c->head_dim = (int32_t)dim;
    return e;
}

static enum err refuse_key(const struct gguf *g, const char *key, double neutral, struct why *why)
{
    const struct gguf_value *v = gguf_find(g, key);
    double value = neutral;
    if (v != NULL) {
        int64_t integer = 0;
        if (gguf_get_int(g, key, INT64_MIN, INT64_MAX, &integer, NULL) == ERR_OK) {
            value = (double)integer;
        } else {
            enum err e = gguf_get_num(g, key, &value, why);
            if (e != ERR_OK) {
                return e;
            }
        }
    }
    return value == neutral
               ? ERR_OK
               : why_set(why, ERR_UNSUPPORTED, "%s: key %s: %g is not supported, only %g is",
                         gguf_where(g), key, value, neutral);
}

static enum err refuse_variants(const struct gguf *g, struct why *why)
{
    struct gguf_text scaling = {"none", 4};
    enum err e = gguf_opt_text(g, "llama.rope.scaling.type", &scaling, why);
    if (e == ERR_OK && !text_is(scaling, "none")) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "%s: key llama.rope.scaling.type: \"%.*s\" is not supported, only "
                    "\"none\" is",
                    gguf_where(g), shown(scaling), scaling.ptr);
    }
    static const struct {
        const char *key;
        double neutral;
    } refused[] = {
        {"llama.rope.scale_linear", 1},
        {"llama.rope.scaling.factor", 1},
        {"llama.expert_count", 0},
        {"llama.attention.sliding_window", 0},
    };
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(refused); i++) {
        e = refuse_key(g, refused[i].key, refused[i].neutral, why);
    }
    return e;
}

static enum err read_vocab_size(const struct gguf *g, struct model_config *c, struct why *why)
{
    const struct gguf_tensor *embed = gguf_tensor_find(g, tensor_names[PARAM_EMBED]);
    if (embed == NULL) {
        return why_set(why, ERR_CORRUPT, "%s: tensor %s is missing", gguf_where(g),
                       tensor_names[PARAM_EMBED]);
    }
    int64_t rows = (int64_t)MIN(embed->dims[1], (uint64_t)INT32_MAX), said = rows;
    enum err e = gguf_opt_int(g, "llama.vocab_size", rows, rows, &said, why);
    c->vocab = (int32_t)rows;
    c->tied = gguf_tensor_find(g, tensor_names[PARAM_HEAD]) == NULL;
    return e;
}

static enum err read_id(const struct gguf *g, const char *key, int32_t vocab, int32_t *out,
                        struct why *why)
{
    int64_t id = -1;
    enum err e = gguf_opt_int(g, key, 0, vocab - 1, &id, why);
    *out = (int32_t)id;
    return e;
}

static enum err read_special_ids(const struct gguf *g, struct model_config *c, struct why *why)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    enum err e = read_id(g, "tokenizer.ggml.bos_token_id", c->vocab, &c->bos_id, why);
    if (e == ERR_OK) {
        e = read_id(g, "tokenizer.ggml.padding_token_id", c->vocab, &c->pad_id, why);
    }
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(ends); i++) {
        int32_t id = -1;
        e = read_id(g, ends[i], c->vocab, &id, why);
        bool known = id < 0;
        for (int32_t k = 0; k < c->n_eos; k++) {
            known = known || c->eos_ids[k] == id;
        }
        if (!known) {
            c->eos_ids[c->n_eos++] = id;
        }
    }
    return e;
}

static enum err read_config(const struct gguf *g, struct model_config *out, struct why *why)
{
    struct model_config c = {.family = "llama"};
    struct gguf_text architecture;
    double theta = 10000, eps = 0;    // theta: what the format means when the key is absent
    enum err e = gguf_get_text(g, "general.architecture", &architecture, why);
    if (e == ERR_OK && !text_is(architecture, "llama")) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "%s: key general.architecture: \"%.*s\" is not supported, only \"llama\" is",
                    gguf_where(g), shown(architecture), architecture.ptr);
    }
    if (e == ERR_OK) {
        e = read_sizes(g, &c, why);
    }
    if (e == ERR_OK) {
        e = read_heads(g, &c, why);
    }
    if (e == ERR_OK) {
        e = refuse_variants(g, why);
    }
    if (e == ERR_OK) {
        e = gguf_opt_num(g, "llama.rope.freq_base", &theta, why);
    }
    if (e == ERR_OK) {
        e = gguf_get_num(g, "llama.attention.layer_norm_rms_epsilon", &eps, why);
    }
    if (e == ERR_OK) {
        e = read_vocab_size(g, &c, why);
    }
    if (e == ERR_OK) {
        e = read_special_ids(g, &c, why);
    }
    if (e == ERR_OK) {
        c.rope_theta = (float)theta;
        c.rms_eps = (float)eps;
        e = model_config_check(&c, gguf_where(g), why);
    }
    if (e == ERR_OK) {
        *out = c;
    }
    return e;
}

// ---- tensors ----

static enum err check_dims(const struct gguf *g, const struct gguf_tensor *t, const struct param *p,
                           struct why *why)
{
    bool same =
        t->dims[0] == p->cols && t->dims[1] == p->rows && t->dims[2] == 1 && t->dims[3] == 1;
    if (same) {
        return ERR_OK;
    }
    return why_set(why, ERR_CORRUPT,
                   "%s: tensor %s: dimensions [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
                   "], expected [%zu, %zu, 1, 1]",
                   gguf_where(g), t->name, t->dims[0], t->dims[1], t->dims[2], t->dims[3], p->cols,
                   p->rows);
}

static enum err find_tensor(const struct source *s, const struct param *p,
                            const struct gguf_tensor **out, struct why *why)
{
    const char *format = (size_t)p->kind < ARRAY_LEN(tensor_names) ? tensor_names[p->kind] : NULL;
    if (format == NULL) {
        return why_set(why, ERR_UNSUPPORTED, "%s: parameter %s has no name in GGUF files", s->path,
                       p->name);
    }
    char name[GGUF_MAX_NAME + 1];
    const char *number = strstr(format, "%d");
    if (number == NULL) {
        (void)snprintf(name, sizeof name, "%s", format);
    } else {
        (void)snprintf(name, sizeof name, "%.*s%" PRId32 "%s", (int)(number - format), format,
                       p->layer, number + 2);
    }
    const struct gguf_tensor *t = gguf_tensor_find(s->gguf, name);
    if (t == NULL) {
        return why_set(why, ERR_CORRUPT, "%s: tensor %s is missing", s->path, name);
    }
    *out = t;
    return check_dims(s->gguf, t, p, why);
}

static enum err map_tensors(struct source *s, struct why *why)
{
    size_t n = gguf_n_tensors(s->gguf);
    bool *used = calloc(n + 1, sizeof *used);
    if (used == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory for %zu tensors", s->path, n);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->params.n; i++) {
        const struct param *p = &s->params.params[i];
        const struct gguf_tensor *t = NULL;
        e = find_tensor(s, p, &t, why);
        if (e == ERR_OK) {
            used[t - gguf_tensor_at(s->gguf, 0)] = true;
            s->views[i] =
                (struct source_view){t->data, t->type, p->kind == PARAM_Q || p->kind == PARAM_K};
        }
    }
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        if (!used[i]) {
            e = why_set(why, ERR_UNSUPPORTED,
                        "%s: tensor %s is not part of a %s model as computed here", s->path,
                        gguf_tensor_at(s->gguf, i)->name, s->config.family);
        }
    }
    free(used);
    return e;
}

enum err gguf_model_open(struct source *s, struct why *why)
{
    enum err e = gguf_open(s->path, &s->gguf, why);
    if (e == ERR_OK) {
        e = read_config(s->gguf, &s->config, why);
    }
    if (e == ERR_OK) {
        e = source_make_table(s, why);
    }
    return e == ERR_OK ? map_tensors(s, why) : e;
}
