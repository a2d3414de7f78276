// config.c: config.json of a supported family, strictly, and the table of parameters that follows
// from it.
//
// In:  the text of config.json, written by any transformers release: "rope_theta" at the top (old)
//      or inside "rope_parameters" (new), "head_dim" given or implied, one EOS id or a list.
// Out: struct model_config, checked so far that sizes computed from it cannot overflow and every op
//      can run it.
//
// What we do not compute is refused here, by field and value, rather than run wrongly: rotary
// scaling other than the default, biases, other activations, quantised tensors. Fields that do not
// change the maths (dropout, initialiser range, use_cache …) are passed over. The printer writes
// the old rotary style, which every release reads.

#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
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
        c->n_eos = id >= 0;
        c->eos_ids[0] = id;
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

// The rope_type of a rope_scaling or rope_parameters object must be the unscaled one.
static enum err check_rope_type(const json_t *rope, const char *key, const char *where,
                                struct why *why)
{
    if (!json_is_object(rope)) {
        return why_set(why, ERR_INVALID, "%s: %s is not an object", where, key);
    }
    static const char *const names[] = {"rope_type", "type"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *type = "default";
        enum err e = json_opt_str(rope, names[i], where, &type, why);
        if (e != ERR_OK) {
            return why_prefix(why, e, "%s", key);
        }
        if (strcmp(type, "default") != 0) {
            return why_set(why, ERR_UNSUPPORTED,
                           "%s: %s.%s: \"%.40s\" is not supported; only \"default\" is", where, key,
                           names[i], type);
        }
    }
    double partial = 1;
    enum err e = json_opt_num(rope, "partial_rotary_factor", 0, 1, where, &partial, why);
    if (e == ERR_OK && partial != 1) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: %s.partial_rotary_factor: %g is not supported; only 1 is", where, key,
                       partial);
    }
    return e;
}

static enum err get_rope(const json_t *o, const char *where, float *theta, struct why *why)
{
    double t = 10000;    // what the architecture means when a config is silent
    enum err e = json_opt_num(o, "rope_theta", 1, 1e12, where, &t, why);
    const json_t *scaling = json_object_get(o, "rope_scaling");
    if (e == ERR_OK && scaling != NULL && !json_is_null(scaling)) {
        e = check_rope_type(scaling, "rope_scaling", where, why);
    }
    const json_t *params = json_object_get(o, "rope_parameters");
    if (e == ERR_OK && params != NULL && !json_is_null(params)) {
        e = check_rope_type(params, "rope_parameters", where, why);
        if (e == ERR_OK) {
            e = json_opt_num(params, "rope_theta", 1, 1e12, where, &t, why);
        }
    }
    if (e == ERR_OK) {
        *theta = (float)t;
    }
    return e;
}

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

static enum err refuse_unsupported(const json_t *o, const char *where, struct why *why)
{
    enum err e = refuse_true(o, "attention_bias", where, why);
    if (e == ERR_OK) {
        e = refuse_true(o, "mlp_bias", where, why);
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

static enum err get_sizes(const json_t *o, const char *where, struct model_config *c,
                          struct why *why)
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
    int64_t kv_heads = c->heads;
    int64_t head_dim = c->hidden / c->heads;
    bool implied =
        json_is_null(json_object_get(o, "head_dim")) || json_object_get(o, "head_dim") == NULL;
    if (implied && c->hidden % c->heads != 0) {
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

static enum err parse_object(const json_t *o, const char *where, struct model_config *c,
                             struct why *why)
{
    const struct family *f = NULL;
    double eps = 0;
    enum err e = get_family(o, where, &f, why);
    if (e == ERR_OK) {
        snprintf(c->family, sizeof c->family, "%s", f->name);
        e = refuse_unsupported(o, where, why);
    }
    if (e == ERR_OK) {
        e = get_sizes(o, where, c, why);
    }
    if (e == ERR_OK) {
        e = json_get_num(o, "rms_norm_eps", 0, 1, where, &eps, why);
        c->rms_eps = (float)eps;
    }
    if (e == ERR_OK) {
        e = get_rope(o, where, &c->rope_theta, why);
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

static size_t count_params(const struct model_config *c)
{
    size_t C = (size_t)c->hidden, F = (size_t)c->ffn, V = (size_t)c->vocab;
    size_t Q = (size_t)c->heads * (size_t)c->head_dim;
    size_t KV = (size_t)c->kv_heads * (size_t)c->head_dim;
    size_t layer = 2 * C + 2 * Q * C + 2 * KV * C + 3 * F * C;
    return V * C * (c->tied ? 1 : 2) + (size_t)c->layers * layer + C;
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
    if (count_params(c) > MAX_PARAMS) {
        return why_set(why, ERR_LIMIT, "%s: %zu parameters, at most %zu", where, count_params(c),
                       MAX_PARAMS);
    }
    return ERR_OK;
}

// The shortest decimal that reads back as the same float, always with a '.' or an exponent (a JSON
// real).
static void float_text(float x, char out[32])
{
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(out, 32, "%.*g", digits, (double)x);
        if (strtof(out, NULL) == x) {
            break;
        }
    }
    if (strpbrk(out, ".e") == NULL) {
        strncat(out, ".0", 31 - strlen(out));
    }
}

static enum err print_ids(struct buf *b, const struct model_config *c)
{
    enum err e = ERR_OK;
    if (c->bos_id >= 0) {
        e = buf_printf(b, "  \"bos_token_id\": %d,\n", c->bos_id);
    }
    if (e == ERR_OK && c->pad_id >= 0) {
        e = buf_printf(b, "  \"pad_token_id\": %d,\n", c->pad_id);
    }
    if (e == ERR_OK && c->n_eos == 1) {
        return buf_printf(b, "  \"eos_token_id\": %d,\n", c->eos_ids[0]);
    }
    for (int32_t i = 0; e == ERR_OK && i < c->n_eos; i++) {
        e = buf_printf(b, "%s%d%s", i == 0 ? "  \"eos_token_id\": [" : ", ", c->eos_ids[i],
                       i + 1 == c->n_eos ? "],\n" : "");
    }
    return e;
}

char *model_config_print(const struct model_config *c, enum dtype t)
{
    const struct family *f = family_find(c->family);
    CHECK(f != NULL);
    char theta[32], eps[32];
    float_text(c->rope_theta, theta);
    float_text(c->rms_eps, eps);
    struct buf b;
    buf_init(&b, 0);
    enum err e = buf_printf(
        &b,
        "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n  \"hidden_act\": \"%s\",\n"
        "  \"vocab_size\": %d,\n  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n"
        "  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n"
        "  \"num_key_value_heads\": %d,\n  \"head_dim\": %d,\n"
        "  \"max_position_embeddings\": %d,\n  \"rope_theta\": %s,\n  \"rope_scaling\": null,\n"
        "  \"rms_norm_eps\": %s,\n  \"attention_bias\": false,\n  \"mlp_bias\": false,\n"
        "  \"tie_word_embeddings\": %s,\n",
        f->architecture, f->name, f->hidden_act, c->vocab, c->hidden, c->ffn, c->layers, c->heads,
        c->kv_heads, c->head_dim, c->max_positions, theta, eps, c->tied ? "true" : "false");
    if (e == ERR_OK) {
        e = print_ids(&b, c);
    }
    if (e == ERR_OK) {
        e = buf_printf(&b, "  \"torch_dtype\": \"%s\"\n}\n",
                       t == DTYPE_BF16 ? "bfloat16" : "float32");
    }
    char *text = e == ERR_OK ? buf_take(&b) : NULL;
    buf_fini(&b);
    return text;
}

// Appends one row; names come from the family table, so the format is ours, not the caller's.
static void add_param(struct param_table *t, const struct model_config *c,
                      const struct family_param *fp, int32_t layer)
{
    struct param *p = &t->params[t->n++];
    const char *mark = strstr(fp->name, "%d");
    if (mark == NULL) {
        snprintf(p->name, sizeof p->name, "%s", fp->name);
    } else {
        snprintf(p->name, sizeof p->name, "%.*s%d%s", (int)(mark - fp->name), fp->name, layer,
                 mark + 2);
    }
    p->kind = fp->kind;
    p->layer = layer;
    p->rows = family_dim(c, fp->rows);
    p->cols = family_dim(c, fp->cols);
    p->count = p->rows * p->cols;
    p->offset = t->total;
    t->total += p->count;
}

enum err param_table_create(const struct model_config *c, struct param_table *out, struct why *why)
{
    enum err e = model_config_check(c, "model config", why);
    if (e != ERR_OK) {
        return e;
    }
    const struct family *f = family_find(c->family);
    size_t per_layer = ARRAY_LEN(f->layer);
    size_t n = 2 + (size_t)c->layers * per_layer + (c->tied ? 0 : 1);
    struct param_table t = {.params = calloc(n, sizeof *t.params)};
    if (t.params == NULL) {
        return why_set(why, ERR_NOMEM, "parameter table of %zu entries: out of memory", n);
    }
    add_param(&t, c, &f->before, -1);
    for (int32_t l = 0; l < c->layers; l++) {
        for (size_t i = 0; i < per_layer; i++) {
            add_param(&t, c, &f->layer[i], l);
        }
    }
    add_param(&t, c, &f->after, -1);
    if (!c->tied) {
        add_param(&t, c, &f->head, -1);
    }
    CHECK(t.n == n);
    *out = t;
    return ERR_OK;
}

void param_table_destroy(struct param_table *t)
{
    free(t->params);
    *t = (struct param_table){0};
}

int param_table_find(const struct param_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->params[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}
