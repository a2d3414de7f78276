// gguf_config.c: the metadata of a GGUF file as a configuration.
//
// Keys begin with the architecture ("qwen3.block_count"), which names a family (family.c); one
// architecture may stand for two: llama with a sliding window is what Hugging Face calls mistral.
// Rotary scaling of the llama3 kind is not a key but a tensor of divisors, rope_freqs.weight. Its
// parameters are found again and held against every divisor, so that config.json can be written
// and means the same.
//
// What changes the maths and is not computed here is refused by key: other rotary scalings, experts,
// windows of other architectures, per-layer head counts.

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/family.h"
#include "model/source_impl.h"

struct reader {
    const struct gguf *g;
    const struct family *family;
    char key[96];
};

// "block_count" -> "llama.block_count", good until the next call.
static const char *key_of(struct reader *r, const char *name)
{
    (void)snprintf(r->key, sizeof r->key, "%s.%s", r->family->gguf, name);
    return r->key;
}

static enum err read_family(struct reader *r, struct why *why)
{
    struct gguf_text text;
    enum err e = gguf_get_text(r->g, "general.architecture", &text, why);
    if (e != ERR_OK) {
        return e;
    }
    int shown = (int)MIN(text.len, (size_t)60);
    char name[61];
    (void)snprintf(name, sizeof name, "%.*s", shown, text.ptr);
    r->family = strlen(name) == text.len ? family_find_gguf(name) : NULL;
    return r->family != NULL
               ? ERR_OK
               : why_set(why, ERR_UNSUPPORTED,
                         "%s: key general.architecture: \"%.*s\" is not supported; supported: %s",
                         gguf_where(r->g), shown, text.ptr, family_gguf_names());
}

static enum err read_sizes(struct reader *r, struct model_config *c, struct why *why)
{
    const struct {
        const char *name;
        int32_t *out;
    } sizes[] = {
        {"block_count", &c->layers},         {"context_length", &c->max_positions},
        {"embedding_length", &c->hidden},    {"feed_forward_length", &c->ffn},
        {"attention.head_count", &c->heads},
    };
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        int64_t value;
        enum err e = gguf_get_int(r->g, key_of(r, sizes[i].name), 1, INT32_MAX, &value, why);
        if (e != ERR_OK) {
            return e;
        }
        *sizes[i].out = (int32_t)value;
    }
    return ERR_OK;
}

static enum err read_heads(struct reader *r, struct model_config *c, struct why *why)
{
    int64_t kv = c->heads, dim = c->hidden / c->heads;
    enum err e = gguf_opt_int(r->g, key_of(r, "attention.head_count_kv"), 1, INT32_MAX, &kv, why);
    const char *length = key_of(r, "attention.key_length");
    if (e == ERR_OK && gguf_find(r->g, length) == NULL && c->hidden % c->heads != 0) {
        const char *arch = r->family->gguf;
        e = why_set(why, ERR_CORRUPT,
                    "%s: %s.embedding_length %" PRId32
                    " is not a multiple of %s.attention.head_count %" PRId32,
                    gguf_where(r->g), arch, c->hidden, arch, c->heads);
    }
    if (e == ERR_OK) {
        e = gguf_opt_int(r->g, length, 1, INT32_MAX, &dim, why);
    }
    int64_t value_dim = dim, rope_dim = dim;
    if (e == ERR_OK) {
        e = gguf_opt_int(r->g, key_of(r, "attention.value_length"), dim, dim, &value_dim, why);
    }
    if (e == ERR_OK) {
        e = gguf_opt_int(r->g, key_of(r, "rope.dimension_count"), dim, dim, &rope_dim, why);
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

static enum err refuse_variants(struct reader *r, struct why *why)
{
    struct gguf_text scaling = {"none", 4};
    const char *type = key_of(r, "rope.scaling.type");
    enum err e = gguf_opt_text(r->g, type, &scaling, why);
    if (e == ERR_OK && (scaling.len != 4 || memcmp(scaling.ptr, "none", 4) != 0)) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "%s: key %s: \"%.*s\" is not supported, only \"none\" and the tensor %s are",
                    gguf_where(r->g), type, (int)MIN(scaling.len, (size_t)60), scaling.ptr,
                    GGUF_ROPE_FREQS);
    }
    static const struct {
        const char *name;
        double neutral;
    } refused[] = {
        {"rope.scale_linear", 1},
        {"rope.scaling.factor", 1},
        {"expert_count", 0},
    };
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(refused); i++) {
        e = refuse_key(r->g, key_of(r, refused[i].name), refused[i].neutral, why);
    }
    return e;
}

// The window of a llama file makes it a mistral; the files of other architectures do not say which
// layers are meant.
static enum err read_window(struct reader *r, struct model_config *c, struct why *why)
{
    const char *key = key_of(r, "attention.sliding_window");
    int64_t window = 0;
    if (strcmp(r->family->gguf, "llama") != 0) {
        return refuse_key(r->g, key, 0, why);
    }
    enum err e = gguf_opt_int(r->g, key, 0, INT32_MAX, &window, why);
    if (e == ERR_OK && window > 0) {
        c->window = (int32_t)window;
        (void)snprintf(c->family, sizeof c->family, "mistral");
    }
    return e;
}

// ---- rotary embedding ----

static enum err read_divisors(struct reader *r, const struct model_config *c, float *out,
                              double *largest, struct why *why)
{
    const struct gguf_tensor *t = gguf_tensor_find(r->g, GGUF_ROPE_FREQS);
    size_t n = (size_t)c->head_dim / 2;
    if (t->type->ggml_id != 0 || t->dims[0] != n || t->dims[1] != 1 || t->dims[2] != 1 ||
        t->dims[3] != 1) {
        return why_set(why, ERR_CORRUPT,
                       "%s: tensor %s: type %s, dimensions [%" PRIu64 ", %" PRIu64
                       ", …], expected F32 [%zu]",
                       gguf_where(r->g), t->name, t->type->name, t->dims[0], t->dims[1], n);
    }
    memcpy(out, t->data, n * sizeof *out);
    *largest = 1;
    for (size_t i = 0; i < n; i++) {
        if (!(out[i] >= 1 && out[i] <= 1e6f)) {
            return why_set(why, ERR_CORRUPT, "%s: tensor %s: element %zu is %g, expected 1..1e+06",
                           gguf_where(r->g), t->name, i, (double)out[i]);
        }
        *largest = fmax(*largest, (double)out[i]);
    }
    return ERR_OK;
}

static enum err read_scaling(struct reader *r, struct model_config *c, struct why *why)
{
    enum { PRETRAINED = 8192, MAX_PAIRS = 1 << 10 };
    float got[MAX_PAIRS];
    double want[MAX_PAIRS], largest = 1;
    int64_t original = PRETRAINED;
    if (gguf_tensor_find(r->g, GGUF_ROPE_FREQS) == NULL) {
        return ERR_OK;
    }
    if (c->head_dim / 2 > MAX_PAIRS) {
        return why_set(why, ERR_LIMIT, "%s: head size %" PRId32 ", at most %d", gguf_where(r->g),
                       c->head_dim, 2 * MAX_PAIRS);
    }
    enum err e = gguf_opt_int(r->g, key_of(r, "rope.scaling.original_context_length"), 1, INT32_MAX,
                              &original, why);
    if (e == ERR_OK) {
        e = read_divisors(r, c, got, &largest, why);
    }
    if (e != ERR_OK || largest == 1) {
        return e;
    }
    const struct rope_scaling s = {ROPE_LLAMA3, (float)largest, 1, 4, (int32_t)original};
    rope_divisors((size_t)c->head_dim, (double)c->rope_theta, &s, want);
    for (int32_t i = 0; i < c->head_dim / 2; i++) {
        if (fabs((double)got[i] - want[i]) > 1e-5 * want[i]) {
            return why_set(
                why, ERR_UNSUPPORTED,
                "%s: tensor %s: element %" PRId32 " is %g; supported are the divisors "
                "of llama3 scaling (factor %g, low 1, high 4, %" PRId64 " positions), there %g",
                gguf_where(r->g), GGUF_ROPE_FREQS, i, (double)got[i], largest, original, want[i]);
        }
    }
    c->rope = s;
    return ERR_OK;
}

static enum err read_rope(struct reader *r, struct model_config *c, struct why *why)
{
    double theta = 10000;    // what the format means when the key is absent
    const char *key = key_of(r, "rope.freq_base");
    enum err e = gguf_opt_num(r->g, key, &theta, why);
    if (e == ERR_OK && !(theta >= 1 && theta <= 1e12)) {
        e = why_set(why, ERR_INVALID, "%s: key %s: %g is not in 1..1e+12", gguf_where(r->g), key,
                    theta);
    }
    c->rope_theta = (float)theta;
    return e == ERR_OK ? read_scaling(r, c, why) : e;
}

// ---- vocabulary ----

static enum err read_vocab_size(struct reader *r, struct model_config *c, struct why *why)
{
    const char *name = r->family->before.gguf;
    const struct gguf_tensor *embed = gguf_tensor_find(r->g, name);
    if (embed == NULL) {
        return why_set(why, ERR_CORRUPT, "%s: tensor %s is missing", gguf_where(r->g), name);
    }
    int64_t rows = (int64_t)MIN(embed->dims[1], (uint64_t)INT32_MAX), said = rows;
    enum err e = gguf_opt_int(r->g, key_of(r, "vocab_size"), rows, rows, &said, why);
    c->vocab = (int32_t)rows;
    c->tied = gguf_tensor_find(r->g, r->family->head.gguf) == NULL;
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

static enum err read_norms(struct reader *r, struct model_config *c, struct why *why)
{
    double eps = 0;
    enum err e = gguf_get_num(r->g, key_of(r, "attention.layer_norm_rms_epsilon"), &eps, why);
    c->rms_eps = (float)eps;
    return e;
}

enum err gguf_model_config(const struct gguf *g, struct model_config *out, struct why *why)
{
    struct model_config c = {0};
    struct reader r = {.g = g};
    enum err e = read_family(&r, why);
    if (e == ERR_OK) {
        (void)snprintf(c.family, sizeof c.family, "%s", r.family->name);
    }
    static enum err (*const parts[])(struct reader *, struct model_config *, struct why *) = {
        read_sizes, read_heads, read_window, read_rope, read_norms, read_vocab_size};
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(parts); i++) {
        e = parts[i](&r, &c, why);
    }
    if (e == ERR_OK) {
        e = refuse_variants(&r, why);
    }
    if (e == ERR_OK) {
        e = read_special_ids(g, &c, why);
    }
    if (e == ERR_OK) {
        e = model_config_check(&c, gguf_where(g), why);
    }
    if (e == ERR_OK) {
        *out = c;
    }
    return e;
}
