// config.c: config.json of a supported family, strictly, and the ranges of what it says.
//
// In:  the text of config.json, written by any transformers release: "rope_theta" at the top (old)
//      or inside "rope_parameters" (new), "head_dim" given or implied, one EOS id or a list.
// Out: struct model_config, checked so far that sizes computed from it cannot overflow and every op
//      can run it.
//
// What a family's fields mean, and what silence means, is in its row (family.c). What we do not
// compute is refused here, by field and value, rather than run wrongly: rotary scalings other than
// llama3, biases that the family's row does not list, windows in the lower layers, other
// activations, quantised tensors. Fields that do not change the maths (dropout, initialiser range,
// use_cache …) are passed over.

#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "model/family.h"

enum {
    MAX_VOCAB = 1 << 20,
    MAX_HIDDEN = 1 << 16,
    MAX_FFN = 1 << 18,
    MAX_HEADS = 1 << 10,
    MAX_HEAD_DIM = 512,
    MAX_POSITIONS = 1 << 24
};

#define MAX_PARAMS ((size_t)1 << 40)    // elements; far above any machine, far below overflow

static enum err get_size(const json_t *o, const char *key, int64_t max, const char *where,
                         int32_t *out, struct why *why)
{
    int64_t v = 0;
    enum err e = json_get_int(o, key, 1, max, where, &v, why);
    if (e == ERR_OK) {
        *out = (int32_t)v;
    }
    return e;
}

// A token id that may be absent, null or -1, all of which mean "none".
static enum err get_id(const json_t *o, const char *key, int32_t vocab, const char *where,
                       int32_t *out, struct why *why)
{
    int64_t v = -1;
    enum err e = json_opt_int(o, key, -1, vocab - 1, where, &v, why);
    if (e == ERR_OK) {
        *out = (int32_t)v;
    }
    return e;
}

static enum err get_eos(const json_t *o, const char *where, struct model_config *c, struct why *why)
{
    const json_t *v = json_object_get(o, "eos_token_id");
    if (!json_is_array(v)) {
        int32_t id = -1;
        enum err e = get_id(o, "eos_token_id", c->vocab, where, &id, why);
        if (id >= 0) {
            c->eos_ids[c->n_eos++] = id;
        }
        return e;
    }
    size_t n = json_array_size(v);
    if (n > MODEL_MAX_EOS) {
        return why_set(why, ERR_LIMIT, "%s: eos_token_id: %zu ids, at most %d", where, n,
                       MODEL_MAX_EOS);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(v, i);
        json_int_t x = json_is_integer(id) ? json_integer_value(id) : -1;
        if (x < 0 || x >= c->vocab) {
            return why_set(why, ERR_INVALID, "%s: eos_token_id[%zu] is not an integer in 0..%d",
                           where, i, c->vocab - 1);
        }
        c->eos_ids[i] = (int32_t)x;
    }
    c->n_eos = (int32_t)n;
    return ERR_OK;
}

// ---- rotary embedding ----

static enum err parse_llama3(const json_t *o, const char *where, struct rope_scaling *s,
                             struct why *why)
{
    double factor = 0, low = 0, high = 0;
    int64_t original = 0;
    enum err e = json_get_num(o, "factor", 1, 1e6, where, &factor, why);
    if (e == ERR_OK) {
        e = json_get_num(o, "low_freq_factor", 0, 1e6, where, &low, why);
    }
    if (e == ERR_OK) {
        e = json_get_num(o, "high_freq_factor", 0, 1e6, where, &high, why);
    }
    if (e == ERR_OK) {
        e = json_get_int(o, "original_max_position_embeddings", 1, MAX_POSITIONS, where, &original,
                         why);
    }
    *s = (struct rope_scaling){ROPE_LLAMA3, (float)factor, (float)low, (float)high,
                               (int32_t)original};
    return e;
}

// What is in a rope_parameters object beside the type and would change the maths.
static enum err refuse_rope_members(const json_t *rope, const char *where, struct why *why)
{
    double partial = 1;
    enum err e = json_opt_num(rope, "partial_rotary_factor", 0, 1, where, &partial, why);
    if (e == ERR_OK && partial != 1) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "%s: partial_rotary_factor: %g is not supported; only 1 is", where, partial);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)rope, key, value)
    {
        if (e == ERR_OK && json_is_object(value)) {
            e = why_set(why, ERR_UNSUPPORTED,
                        "%s: %.60s: parameters for one kind of layer are not supported; only one "
                        "set for all layers is",
                        where, key);
        }
    }
    return e;
}

// A rope_scaling or rope_parameters object. "type" is what older files call "rope_type".
static enum err parse_scaling(const json_t *rope, const char *where, struct rope_scaling *out,
                              struct why *why)
{
    if (!json_is_object(rope)) {
        return why_set(why, ERR_INVALID, "%s: not an object", where);
    }
    const char *type = "default";
    enum err e = json_opt_str(rope, "type", where, &type, why);
    if (e == ERR_OK) {
        e = json_opt_str(rope, "rope_type", where, &type, why);
    }
    if (e == ERR_OK && strcmp(type, "llama3") == 0) {
        e = parse_llama3(rope, where, out, why);
    } else if (e == ERR_OK && strcmp(type, "default") != 0) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "%s: rope_type: \"%.40s\" is not supported; \"default\" and \"llama3\" are",
                    where, type);
    }
    return e == ERR_OK ? refuse_rope_members(rope, where, why) : e;
}

static bool same_scaling(const struct rope_scaling *a, const struct rope_scaling *b)
{
    return a->type == b->type && a->factor == b->factor && a->low == b->low && a->high == b->high &&
           a->original_positions == b->original_positions;
}

static enum err get_rope(const json_t *o, const char *where, struct model_config *c,
                         struct why *why)
{
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    struct rope_scaling said[2] = {0};
    int n = 0;
    double theta = 10000;    // what every architecture means when a config is silent
    enum err e = json_opt_num(o, "rope_theta", 1, 1e12, where, &theta, why);
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(keys); i++) {
        const json_t *rope = json_object_get(o, keys[i]);
        if (rope == NULL || json_is_null(rope)) {
            continue;
        }
        char inside[256];
        snprintf(inside, sizeof inside, "%.200s: %s", where, keys[i]);
        e = parse_scaling(rope, inside, &said[n++], why);
        if (e == ERR_OK) {
            e = json_opt_num(rope, "rope_theta", 1, 1e12, inside, &theta, why);
        }
    }
    if (e == ERR_OK && n == 2 && !same_scaling(&said[0], &said[1])) {
        e = why_set(why, ERR_INVALID, "%s: rope_scaling and rope_parameters differ", where);
    }
    c->rope = said[0];
    c->rope_theta = (float)theta;
    return e;
}

// ---- sliding windows ----

// "layer_types" as the number of the first layer with a window; *from is untouched when there is no
// such field.
static enum err get_layer_types(const json_t *o, const char *where, int32_t layers, int64_t *from,
                                struct why *why)
{
    const json_t *types = json_object_get(o, "layer_types");
    if (types == NULL || json_is_null(types)) {
        return ERR_OK;
    }
    if (!json_is_array(types) || json_array_size(types) != (size_t)layers) {
        return why_set(why, ERR_INVALID, "%s: layer_types: expected a list of %d texts", where,
                       layers);
    }
    *from = layers;
    for (int32_t l = 0; l < layers; l++) {
        const char *type = json_string_value(json_array_get(types, (size_t)l));
        bool full = type != NULL && strcmp(type, "full_attention") == 0;
        if (!full && (type == NULL || strcmp(type, "sliding_attention") != 0)) {
            return why_set(why, ERR_UNSUPPORTED,
                           "%s: layer_types[%d]: \"%.40s\" is not supported; \"full_attention\" "
                           "and \"sliding_attention\" are",
                           where, l, type == NULL ? "" : type);
        }
        if (full && *from < l) {
            return why_set(why, ERR_UNSUPPORTED,
                           "%s: layer_types[%d]: \"full_attention\" above \"sliding_attention\" "
                           "is not supported; windows must be in the upper layers",
                           where, l);
        }
        if (!full) {
            *from = MIN(*from, (int64_t)l);
        }
    }
    return ERR_OK;
}

// "sliding_window": *out = 0 for null, the family's default where it is absent.
static enum err get_window_size(const json_t *o, const struct family *f, const char *where,
                                int64_t *out, struct why *why)
{
    *out = json_is_null(json_object_get(o, "sliding_window")) ? 0 : f->default_window;
    return json_opt_int(o, "sliding_window", 1, MAX_POSITIONS, where, out, why);
}

static enum err get_window(const json_t *o, const struct family *f, const char *where,
                           struct model_config *c, struct why *why)
{
    enum { MAX_WINDOW_LAYERS = 28 };    // what silence means
    int64_t window = 0, from = 0, listed = -1;
    bool on = f->window == WINDOW_ALL;
    enum err e = get_layer_types(o, where, c->layers, &listed, why);
    if (e == ERR_OK && f->window == WINDOW_UPPER) {
        from = MAX_WINDOW_LAYERS;
        e = json_opt_bool(o, "use_sliding_window", where, &on, why);
        if (e == ERR_OK && on) {
            e = json_opt_int(o, "max_window_layers", 0, INT32_MAX, where, &from, why);
        }
    }
    if (e == ERR_OK && on) {
        e = get_window_size(o, f, where, &window, why);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (listed >= 0 && f->window == WINDOW_UPPER && window > 0) {
        from = listed;
    }
    int64_t meant = window > 0 ? MIN(from, (int64_t)c->layers) : c->layers;
    if (listed >= 0 && listed != meant) {
        return why_set(why, ERR_INVALID,
                       "%s: layer_types: \"sliding_attention\" from layer %d on, but the other "
                       "fields mean %d (of %d) for model_type %s",
                       where, (int)listed, (int)meant, c->layers, f->name);
    }
    c->window = meant < c->layers ? (int32_t)window : 0;
    c->window_from = meant < c->layers ? (int32_t)meant : 0;
    return ERR_OK;
}

// ---- the rest ----

static enum err refuse_true(const json_t *o, const char *key, const char *where, struct why *why)
{
    bool on = false;
    enum err e = json_opt_bool(o, key, where, &on, why);
    if (e == ERR_OK && on) {
        return why_set(why, ERR_UNSUPPORTED, "%s: %s: true is not supported; only false is", where,
                       key);
    }
    return e;
}

static enum err get_family(const json_t *o, const char *where, const struct family **out,
                           struct why *why)
{
    const char *type = NULL;
    enum err e = json_get_str(o, "model_type", where, &type, why);
    if (e != ERR_OK) {
        return e;
    }
    const struct family *f = family_find(type);
    if (f == NULL) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: model_type: \"%.40s\" is not supported; supported: %s", where, type,
                       family_names());
    }
    const json_t *archs = json_object_get(o, "architectures");
    const char *arch = json_string_value(json_array_get(archs, 0));
    if (arch != NULL && strcmp(arch, f->architecture) != 0) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: architectures: \"%.60s\" is not supported; for model_type %s it is %s",
                       where, arch, f->name, f->architecture);
    }
    const char *act = f->hidden_act;
    e = json_opt_str(o, "hidden_act", where, &act, why);
    if (e == ERR_OK && strcmp(act, f->hidden_act) != 0) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: hidden_act: \"%.40s\" is not supported; only \"%s\" is", where, act,
                       f->hidden_act);
    }
    *out = f;
    return e;
}

static enum err refuse_unsupported(const json_t *o, const struct family *f, const char *where,
                                   struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < FAMILY_FALSE_FIELDS && f->false_fields[i] != NULL; i++) {
        e = refuse_true(o, f->false_fields[i], where, why);
    }
    const json_t *quant = json_object_get(o, "quantization_config");
    if (e == ERR_OK && quant != NULL && !json_is_null(quant)) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: quantization_config: quantised tensors are not supported in a folder; "
                       "use f32, f16 or bf16",
                       where);
    }
    return e;
}

// Whole heads: the numbers that are implied where they are absent, which families do differently.
static enum err get_heads(const json_t *o, const struct family *f, const char *where,
                          struct model_config *c, struct why *why)
{
    const json_t *given_kv = json_object_get(o, "num_key_value_heads");
    const json_t *given_dim = json_object_get(o, "head_dim");
    int64_t kv_heads = c->heads, head_dim = c->hidden / c->heads;
    if (given_kv == NULL && f->default_kv_heads > 0) {
        kv_heads = f->default_kv_heads;
    }
    if (given_dim == NULL && f->default_head_dim > 0) {
        head_dim = f->default_head_dim;
    } else if ((given_dim == NULL || json_is_null(given_dim)) && c->hidden % c->heads != 0) {
        return why_set(why, ERR_INVALID,
                       "%s: head_dim is absent and hidden_size %d is not a multiple of "
                       "num_attention_heads %d",
                       where, c->hidden, c->heads);
    }
    enum err e = json_opt_int(o, "num_key_value_heads", 1, MAX_HEADS, where, &kv_heads, why);
    if (e == ERR_OK) {
        e = json_opt_int(o, "head_dim", 1, MAX_HEAD_DIM, where, &head_dim, why);
    }
    c->kv_heads = (int32_t)kv_heads;
    c->head_dim = (int32_t)head_dim;
    return e;
}

static enum err get_sizes(const json_t *o, const struct family *f, const char *where,
                          struct model_config *c, struct why *why)
{
    const struct {
        const char *key;
        int64_t max;
        int32_t *out;
    } sizes[] = {
        {"vocab_size", MAX_VOCAB, &c->vocab},
        {"hidden_size", MAX_HIDDEN, &c->hidden},
        {"intermediate_size", MAX_FFN, &c->ffn},
        {"num_hidden_layers", MODEL_MAX_LAYERS, &c->layers},
        {"num_attention_heads", MAX_HEADS, &c->heads},
        {"max_position_embeddings", MAX_POSITIONS, &c->max_positions},
    };
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        enum err e = get_size(o, sizes[i].key, sizes[i].max, where, sizes[i].out, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    return get_heads(o, f, where, c, why);
}

static enum err parse_object(const json_t *o, const char *where, struct model_config *c,
                             struct why *why)
{
    const struct family *f = NULL;
    double eps = 0;
    enum err e = get_family(o, where, &f, why);
    if (e == ERR_OK) {
        snprintf(c->family, sizeof c->family, "%s", f->name);
        e = refuse_unsupported(o, f, where, why);
    }
    if (e == ERR_OK) {
        e = get_sizes(o, f, where, c, why);
    }
    if (e == ERR_OK) {
        e = json_get_num(o, "rms_norm_eps", 0, 1, where, &eps, why);
        c->rms_eps = (float)eps;
    }
    if (e == ERR_OK) {
        e = get_rope(o, where, c, why);
    }
    if (e == ERR_OK) {
        e = get_window(o, f, where, c, why);
    }
    if (e == ERR_OK) {
        e = json_opt_bool(o, "tie_word_embeddings", where, &c->tied, why);
    }
    if (e == ERR_OK) {
        e = get_id(o, "bos_token_id", c->vocab, where, &c->bos_id, why);
    }
    if (e == ERR_OK) {
        e = get_id(o, "pad_token_id", c->vocab, where, &c->pad_id, why);
    }
    if (e == ERR_OK) {
        e = get_eos(o, where, c, why);
    }
    return e;
}

enum err model_config_parse(const char *json, size_t len, const char *where,
                            struct model_config *out, struct why *why)
{
    json_t *o = NULL;
    enum err e = json_parse(json, len, where, &o, why);
    if (e != ERR_OK) {
        return e;
    }
    struct model_config c = {0};
    if (!json_is_object(o)) {
        e = why_set(why, ERR_INVALID, "%s: not a JSON object", where);
    } else {
        e = parse_object(o, where, &c, why);
    }
    json_decref(o);
    if (e == ERR_OK) {
        e = model_config_check(&c, where, why);
    }
    if (e == ERR_OK) {
        *out = c;
    }
    return e;
}

static enum err check_range(const char *where, const char *key, int32_t v, int32_t min, int32_t max,
                            struct why *why)
{
    if (v < min || v > max) {
        return why_set(why, ERR_INVALID, "%s: %s: %d is not in %d..%d", where, key, v, min, max);
    }
    return ERR_OK;
}

static enum err check_ranges(const struct model_config *c, const char *where, struct why *why)
{
    const struct {
        const char *key;
        int32_t v, min, max;
    } ranges[] = {
        {"vocab_size", c->vocab, 1, MAX_VOCAB},
        {"hidden_size", c->hidden, 1, MAX_HIDDEN},
        {"intermediate_size", c->ffn, 1, MAX_FFN},
        {"num_hidden_layers", c->layers, 1, MODEL_MAX_LAYERS},
        {"num_attention_heads", c->heads, 1, MAX_HEADS},
        {"num_key_value_heads", c->kv_heads, 1, MAX_HEADS},
        {"head_dim", c->head_dim, 2, MAX_HEAD_DIM},
        {"max_position_embeddings", c->max_positions, 1, MAX_POSITIONS},
        {"number of eos ids", c->n_eos, 0, MODEL_MAX_EOS},
        {"bos_token_id", c->bos_id, -1, c->vocab - 1},
        {"pad_token_id", c->pad_id, -1, c->vocab - 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        enum err e =
            check_range(where, ranges[i].key, ranges[i].v, ranges[i].min, ranges[i].max, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    for (int32_t i = 0; i < c->n_eos; i++) {
        enum err e = check_range(where, "eos_token_id", c->eos_ids[i], 0, c->vocab - 1, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

// Scaled positions and windows.
static enum err check_variants(const struct model_config *c, const char *where, struct why *why)
{
    const struct rope_scaling *s = &c->rope;
    if (s->type == ROPE_LLAMA3 &&
        !(s->factor >= 1 && isfinite(s->factor) && s->low > 0 && s->low < s->high &&
          isfinite(s->high) && s->original_positions > 0)) {
        return why_set(why, ERR_INVALID,
                       "%s: rope_scaling: factor %g, low_freq_factor %g, high_freq_factor %g, "
                       "original_max_position_embeddings %d; expected >= 1, > 0, greater, > 0",
                       where, (double)s->factor, (double)s->low, (double)s->high,
                       s->original_positions);
    }
    const struct family *f = family_find(c->family);
    if (c->window != 0 && f->window == WINDOW_NONE) {
        return why_set(why, ERR_UNSUPPORTED, "%s: sliding_window: %d is not part of a %s model",
                       where, c->window, f->name);
    }
    enum err e = check_range(where, "sliding_window", c->window, 0, MAX_POSITIONS, why);
    if (e == ERR_OK) {
        int32_t max = f->window == WINDOW_UPPER && c->window > 0 ? c->layers - 1 : 0;
        e = check_range(where, "max_window_layers", c->window_from, 0, max, why);
    }
    return e;
}

enum err model_config_check(const struct model_config *c, const char *where, struct why *why)
{
    if (memchr(c->family, 0, sizeof c->family) == NULL || family_find(c->family) == NULL) {
        return why_set(why, ERR_UNSUPPORTED, "%s: family \"%.31s\" is not supported; supported: %s",
                       where, c->family, family_names());
    }
    enum err e = check_ranges(c, where, why);
    if (e != ERR_OK) {
        return e;
    }
    if (c->heads % c->kv_heads != 0) {
        return why_set(why, ERR_INVALID,
                       "%s: num_attention_heads: %d is not a multiple of num_key_value_heads %d",
                       where, c->heads, c->kv_heads);
    }
    if (c->head_dim % 2 != 0) {
        return why_set(why, ERR_INVALID, "%s: head_dim: %d is odd; rotary embedding turns pairs",
                       where, c->head_dim);
    }
    if (!(c->rope_theta >= 1 && isfinite(c->rope_theta))) {
        return why_set(why, ERR_INVALID, "%s: rope_theta: %g is not a finite number >= 1", where,
                       (double)c->rope_theta);
    }
    if (!(c->rms_eps > 0 && c->rms_eps <= 1)) {
        return why_set(why, ERR_INVALID, "%s: rms_norm_eps: %g is not in (0, 1]", where,
                       (double)c->rms_eps);
    }
    if (param_total(c) > MAX_PARAMS) {
        return why_set(why, ERR_LIMIT, "%s: %zu parameters, at most %zu", where, param_total(c),
                       MAX_PARAMS);
    }
    return check_variants(c, where, why);
}
