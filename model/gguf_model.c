// gguf_model.c: a GGUF file as a model: tensors to parameters, vocabulary to tokenizer.
// gguf_config.c reads the configuration.
//
// GGUF names differ from Hugging Face's (family.c has both) and so does one layout: the converter
// stores the rows of q and k of the llama architecture with the two halves of a head interleaved
// (row 2j is j of the first half, row 2j + 1 is j of the second), since its rotary embedding turns
// neighbours. The views say so and source_read puts the rows back. The other architectures keep the
// order.
//
// A tensor that no parameter asks for is refused: a bias that is silently left out gives a model
// that is silently wrong.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/family.h"
#include "model/source_impl.h"
#include "model/token_index.h"
#include "model/utf8.h"

static bool text_is(struct gguf_text t, const char *s)
{
    return t.len == strlen(s) && memcmp(t.ptr, s, t.len) == 0;
}

static int shown(struct gguf_text t)
{
    return (int)MIN(t.len, (size_t)60);
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

bool gguf_model_name(const struct param *p, char name[GGUF_MAX_NAME + 1])
{
    (void)snprintf(name, GGUF_MAX_NAME + 1, "%s", p->gguf);
    return p->gguf[0] != '\0';
}

bool gguf_model_interleaves(const struct model_config *c, const struct param *p)
{
    return family_find(c->family)->gguf_interleaved && (p->kind == PARAM_Q || p->kind == PARAM_K);
}

// *out is set as soon as there is a tensor of the name, even one of a wrong shape.
static enum err find_tensor(const struct source *s, const struct param *p,
                            const struct gguf_tensor **out, struct why *why)
{
    char name[GGUF_MAX_NAME + 1];
    if (!gguf_model_name(p, name)) {
        return why_set(why, ERR_UNSUPPORTED, "%s: parameter %s has no name in GGUF files", s->path,
                       p->name);
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
        enum err found = find_tensor(s, p, &t, why);
        if (t != NULL) {
            used[t - gguf_tensor_at(s->gguf, 0)] = true;
        }
        if (found == ERR_OK) {
            s->views[i] =
                (struct source_view){t->data, t->type, gguf_model_interleaves(&s->config, p)};
        }
        e = source_found(s, found, why);
    }
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        const char *name = gguf_tensor_at(s->gguf, i)->name;
        if (!used[i] && strcmp(name, GGUF_ROPE_FREQS) != 0) {    // those are in the config
            e = source_found(s,
                             why_set(why, ERR_UNSUPPORTED,
                                     "%s: tensor %s is not part of a %s model as computed here",
                                     s->path, name, s->config.family),
                             why);
        }
    }
    free(used);
    return e;
}

enum err gguf_model_open(struct source *s, struct why *why)
{
    enum err e = gguf_open(s->path, &s->gguf, why);
    if (e == ERR_OK) {
        e = gguf_model_config(s->gguf, &s->config, why);
    }
    if (e == ERR_OK) {
        e = source_make_table(s, why);
    }
    return e == ERR_OK ? map_tensors(s, why) : e;
}

// ---- tokenizer ----

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

static enum err read_pre(const struct gguf *g, struct tokenizer_spec *spec, struct why *why)
{
    struct gguf_text model, pre = {"gpt-2", 5};
    enum err e = gguf_get_text(g, "tokenizer.ggml.model", &model, why);
    if (e == ERR_OK && !text_is(model, "gpt2")) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: key tokenizer.ggml.model: \"%.*s\" is not supported, only \"gpt2\" "
                       "(byte-level BPE) "
                       "is",
                       gguf_where(g), shown(model), model.ptr);
    }
    if (e == ERR_OK) {
        e = gguf_opt_text(g, "tokenizer.ggml.pre", &pre, why);
    }
    if (e == ERR_OK && !text_is(pre, "smollm") && !text_is(pre, "gpt-2")) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: key tokenizer.ggml.pre: \"%.*s\" is not supported, only \"smollm\" and "
                       "\"gpt-2\" are",
                       gguf_where(g), shown(pre), pre.ptr);
    }
    if (e == ERR_OK && text_is(pre, "smollm")) {
        e = tokenizer_spec_step(spec, SPEC_DIGITS, NULL, gguf_where(g), why);
    }
    return e == ERR_OK
               ? tokenizer_spec_step(spec, SPEC_REGEX, SPEC_GPT2_PATTERN, gguf_where(g), why)
               : e;
}

static enum err add_token(const struct gguf *g, struct tokenizer_spec *spec, int64_t id,
                          struct gguf_text t, int32_t type, struct why *why)
{
    if (type < TYPE_NORMAL || type > TYPE_BYTE) {
        return why_set(why, ERR_CORRUPT, "%s: token %" PRId64 ": type %" PRId32 " is not in 1..6",
                       gguf_where(g), id, type);
    }
    if (type == TYPE_UNUSED) {
        return ERR_OK;    // what fills a vocabulary up to a round number has no text
    }
    if (utf8_valid_prefix((const uint8_t *)t.ptr, t.len) != t.len) {
        return why_set(why, ERR_CORRUPT, "%s: token %" PRId64 " is not UTF-8", gguf_where(g), id);
    }
    enum err e = tokenizer_spec_set_vocab(spec, id, t.ptr, t.len, gguf_where(g), why);
    if (e == ERR_OK && (type == TYPE_CONTROL || type == TYPE_UNKNOWN || type == TYPE_USER)) {
        uint32_t flags = SPEC_ADDED | (type == TYPE_USER ? 0u : SPEC_SPECIAL);
        e = tokenizer_spec_set(spec, id, t.ptr, t.len, flags, gguf_where(g), why);
    }
    return e;
}

static enum err read_tokens(const struct gguf *g, struct tokenizer_spec *spec, struct why *why)
{
    const struct gguf_value *tokens = NULL, *kinds = NULL;
    enum err e = gguf_get_array(g, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, why);
    if (e == ERR_OK && gguf_find(g, "tokenizer.ggml.token_type") != NULL) {
        e = gguf_get_array(g, "tokenizer.ggml.token_type", GGUF_I32, &kinds, why);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (tokens->count == 0 || tokens->count > SPEC_MAX_TOKENS ||
        (kinds != NULL && kinds->count != tokens->count)) {
        return why_set(why, ERR_CORRUPT,
                       "%s: %" PRIu64 " tokens and %" PRIu64 " token types, expected 1..%d of both",
                       gguf_where(g), tokens->count, kinds == NULL ? 0 : kinds->count,
                       SPEC_MAX_TOKENS);
    }
    size_t pos = 0;
    for (uint64_t id = 0; e == ERR_OK && id < tokens->count; id++) {
        int32_t type = TYPE_NORMAL;
        if (kinds != NULL) {
            memcpy(&type, kinds->data + id * sizeof type, sizeof type);
        }
        e = add_token(g, spec, (int64_t)id, gguf_next_text(tokens, &pos), type, why);
    }
    return e;
}

static enum err read_merges(const struct gguf *g, struct tokenizer_spec *spec, struct why *why)
{
    const struct gguf_value *merges = NULL;
    struct token_index *x = NULL;
    enum err e = gguf_get_array(g, "tokenizer.ggml.merges", GGUF_STRING, &merges, why);
    if (e == ERR_OK) {
        e = tokenizer_spec_reserve_merges(spec, (size_t)merges->count, gguf_where(g), why);
    }
    if (e == ERR_OK) {
        e = tokenizer_spec_index(spec, &x, gguf_where(g), why);
    }
    size_t pos = 0;
    for (uint64_t i = 0; e == ERR_OK && i < merges->count; i++) {
        struct gguf_text t = gguf_next_text(merges, &pos);
        const char *blank = memchr(t.ptr, ' ', t.len);
        if (blank == NULL) {
            e = why_set(why, ERR_CORRUPT,
                        "%s: merge %" PRIu64 " (\"%.*s\"): expected two parts and a blank",
                        gguf_where(g), i, shown(t), t.ptr);
        } else {
            size_t left = (size_t)(blank - t.ptr);
            e = tokenizer_spec_merge(spec, x, t.ptr, left, blank + 1, t.len - left - 1,
                                     gguf_where(g), why);
        }
    }
    token_index_destroy(x);
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

static enum err read_spec(const struct source *s, struct tokenizer_spec *spec, struct why *why)
{
    const struct gguf *g = s->gguf;
    struct gguf_text text = {NULL, 0};
    enum err e = read_pre(g, spec, why);
    if (e == ERR_OK) {
        e = read_tokens(g, spec, why);
    }
    if (e == ERR_OK) {
        e = read_merges(g, spec, why);
    }
    if (e == ERR_OK) {
        e = gguf_opt_text(g, "tokenizer.chat_template", &text, why);
    }
    if (e == ERR_OK && text.ptr != NULL) {
        e = tokenizer_spec_template(spec, text.ptr, text.len, gguf_where(g), why);
    }
    if (e == ERR_OK) {
        e = read_id(g, "tokenizer.ggml.unknown_token_id", s->config.vocab, &spec->unk_id, why);
    }
    spec->bos_id = s->config.bos_id;
    spec->pad_id = s->config.pad_id;
    spec->eos_id = s->config.n_eos > 0 ? s->config.eos_ids[0] : -1;
    return e;
}

enum err gguf_model_spec(const struct source *s, struct tokenizer_spec **out, struct why *why)
{
    struct tokenizer_spec *spec = NULL;
    enum err e = tokenizer_spec_create(&spec);
    e = e == ERR_OK ? read_spec(s, spec, why) : why_set(why, e, "%s: out of memory", s->path);
    if (e != ERR_OK) {
        tokenizer_spec_destroy(spec);
        return e;
    }
    *out = spec;
    return ERR_OK;
}
