// gguf_export.c: a model as one GGUF v3 file for llama.cpp: configuration and tensors here, the
// tokenizer in gguf_vocab.c.
//
// What has one dimension (norms, biases) is F32, as llama.cpp's graphs want it; matrices are of the
// type asked for. Names and row order of tensors come from the one table that reading uses. Every
// size is written, the implied ones too, so that no reader has to guess. Rotary scaling of the llama3
// kind is a tensor, rope_freqs.weight: what each frequency is divided by.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/export_impl.h"
#include "model/family.h"
#include "model/gguf_vocab.h"
#include "model/gguf_write.h"

// general.file_type: what most of the tensors are.
static uint32_t file_type(const struct quant *type)
{
    return type->ggml_id == 0 ? 0 : type->ggml_id == 1 ? 1 : 32;
}

static void put_config(struct gguf_writer *w, const struct model_config *c, const char *arch)
{
    const struct {
        const char *key;
        int32_t value;
    } sizes[] = {
        {"block_count", c->layers},
        {"context_length", c->max_positions},
        {"embedding_length", c->hidden},
        {"feed_forward_length", c->ffn},
        {"attention.head_count", c->heads},
        {"attention.head_count_kv", c->kv_heads},
        {"attention.key_length", c->head_dim},
        {"attention.value_length", c->head_dim},
        {"rope.dimension_count", c->head_dim},
        {"vocab_size", c->vocab},
    };
    char key[96];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        (void)snprintf(key, sizeof key, "%s.%s", arch, sizes[i].key);
        gguf_writer_u32(w, key, (uint32_t)sizes[i].value);
    }
    if (c->window > 0) {
        (void)snprintf(key, sizeof key, "%s.attention.sliding_window", arch);
        gguf_writer_u32(w, key, (uint32_t)c->window);
    }
    if (c->rope.type == ROPE_LLAMA3) {
        (void)snprintf(key, sizeof key, "%s.rope.scaling.original_context_length", arch);
        gguf_writer_u32(w, key, (uint32_t)c->rope.original_positions);
    }
    (void)snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    gguf_writer_f32(w, key, c->rope_theta);
    (void)snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    gguf_writer_f32(w, key, c->rms_eps);
}

// The last part of the model's path: what people call it.
static void put_name(struct gguf_writer *w, const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    if (end > begin) {
        gguf_writer_text(w, "general.name", path + begin, end - begin);
    }
}

static const struct quant *tensor_type(const struct export *x, const struct param *p)
{
    return param_is_vector(p) ? source_quant(DTYPE_F32) : x->type;
}

static enum err put_head(struct gguf_writer *w, const struct export *x, const char *path,
                         struct why *why)
{
    const struct source *s = x->s;
    const char *arch = family_find(s->config.family)->gguf;
    if (s->config.window > 0 && strcmp(arch, "llama") != 0) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: %s files have no key for a sliding window in some of the layers", path,
                       arch);
    }
    gguf_writer_text(w, "general.architecture", arch, strlen(arch));
    gguf_writer_text(w, "general.type", "model", strlen("model"));
    put_name(w, s->path);
    gguf_writer_u32(w, "general.file_type", file_type(x->type));
    put_config(w, &s->config, arch);
    enum err e = gguf_vocab_put(w, s->spec, &s->config, path, why);
    if (s->config.rope.type == ROPE_LLAMA3) {
        gguf_writer_tensor(w, GGUF_ROPE_FREQS, source_quant(DTYPE_F32), 1,
                           (uint64_t)s->config.head_dim / 2);
    }
    for (size_t i = 0; e == ERR_OK && i < s->params.n; i++) {
        const struct param *p = &s->params.params[i];
        char name[GGUF_MAX_NAME + 1];
        if (!gguf_model_name(p, name)) {
            return why_set(why, ERR_UNSUPPORTED, "%s: parameter %s has no name in GGUF files", path,
                           p->name);
        }
        gguf_writer_tensor(w, name, tensor_type(x, p), p->rows, p->cols);
    }
    return e;
}

static enum err put_rope_freqs(const struct model_config *c, struct fs_writer *f, struct why *why)
{
    enum { MAX_PAIRS = 256 };    // config.c allows heads of 512
    double divisors[MAX_PAIRS];
    float values[MAX_PAIRS];
    size_t n = (size_t)c->head_dim / 2;
    CHECK(n <= MAX_PAIRS);
    rope_divisors((size_t)c->head_dim, (double)c->rope_theta, &c->rope, divisors);
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)divisors[i];
    }
    enum err e = fs_writer_write(f, values, n * sizeof *values, why);
    return e ? e : gguf_writer_pad(f, n * sizeof *values, why);
}

static enum err put_tensors(const struct export *x, struct fs_writer *f, struct why *why)
{
    const struct model_config *c = &x->s->config;
    enum err e = c->rope.type == ROPE_LLAMA3 ? put_rope_freqs(c, f, why) : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < x->s->params.n; i++) {
        const struct param *p = &x->s->params.params[i];
        const struct quant *type = tensor_type(x, p);
        e = export_tensor(x, i, type, gguf_model_interleaves(c, p), f, why);
        e = e ? e : gguf_writer_pad(f, (uint64_t)p->count * type->block_bytes, why);
    }
    return e;
}

enum err export_gguf(const struct export *x, const char *path, struct why *why)
{
    struct gguf_writer w;
    struct fs_writer *f = NULL;
    gguf_writer_init(&w);
    enum err e = put_head(&w, x, path, why);
    e = e ? e : fs_writer_open(path, &f, why);
    e = e ? e : gguf_writer_begin(&w, f, why);
    e = e ? e : put_tensors(x, f, why);
    gguf_writer_fini(&w);
    if (e == ERR_OK) {
        return fs_writer_commit(f, why);
    }
    fs_writer_abort(f);
    return e;
}
