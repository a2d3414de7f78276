// gguf_tokenizer.c: the vocabulary in a GGUF file's metadata as a tokenizer's description.
//
// tokenizer.ggml.model says which kind it is: "gpt2" is byte-level BPE with a list of merges, and
// tokenizer.ggml.pre names its split; "llama" is SentencePiece's BPE with scores in the place of
// merges. GGUF leaves out what its own programs do not do, so the names below stand for all that
// the tokenisers of those models do in their tokenizer.json: Qwen's brings text to NFC, Llama 3's
// takes a word that is a token without merging.
//
// Types of tokens: control and unknown ones are special, user-defined ones are matched as a whole
// in any text.

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/gguf_vocab.h"
#include "model/source_impl.h"
#include "model/token_index.h"
#include "model/utf8.h"

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

static bool text_is(struct gguf_text t, const char *s)
{
    return t.len == strlen(s) && memcmp(t.ptr, s, t.len) == 0;
}

static int shown(struct gguf_text t)
{
    return (int)MIN(t.len, (size_t)60);
}

static enum err opt_bool(const struct gguf *g, const char *key, bool *out, struct why *why)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v == NULL) {
        return ERR_OK;
    }
    if (v->is_array || v->type != GGUF_BOOL || v->bytes != 1) {
        return why_set(why, ERR_CORRUPT, "%s: key %s: expected a boolean", gguf_where(g), key);
    }
    *out = v->data[0] != 0;
    return ERR_OK;
}

// ---- splits by name ----

// What a model without a name, or one named "default", is split by: four passes.
#define DEFAULT_PUNCTUATION "[\\p{P}\\$\\+<=>\\^~\\|]+"

static const struct pre {
    const char *name;
    const char *patterns[4];
    bool digits;    // every digit alone, before the patterns
    bool nfc, ignore_merges;
    bool bos;    // before every text, if the file does not say otherwise
} pres[] = {
    {.name = "default",
     .patterns = {DEFAULT_PUNCTUATION, SPEC_GPT2_PATTERN, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {.name = "gpt-2", .patterns = {SPEC_GPT2_PATTERN}},
    {.name = "phi-2", .patterns = {SPEC_GPT2_PATTERN}},
    {.name = "olmo", .patterns = {SPEC_GPT2_PATTERN}, .nfc = true},
    {.name = "smollm", .patterns = {SPEC_GPT2_PATTERN}, .digits = true},
    {.name = "starcoder", .patterns = {SPEC_GPT2_PATTERN}, .digits = true},
    {.name = "refact", .patterns = {SPEC_GPT2_PATTERN}, .digits = true},
    {.name = "llama-bpe", .patterns = {SPEC_LLAMA3_PATTERN}, .ignore_merges = true, .bos = true},
    {.name = "llama3", .patterns = {SPEC_LLAMA3_PATTERN}, .ignore_merges = true, .bos = true},
    {.name = "llama-v3", .patterns = {SPEC_LLAMA3_PATTERN}, .ignore_merges = true, .bos = true},
    {.name = "dbrx", .patterns = {SPEC_LLAMA3_PATTERN}},    // OLMo 2, too
    {.name = "smaug-bpe", .patterns = {SPEC_LLAMA3_PATTERN}},
    {.name = "qwen2", .patterns = {SPEC_QWEN2_PATTERN}, .nfc = true},    // and Qwen 3
    {.name = "deepseek-r1-qwen", .patterns = {SPEC_QWEN2_PATTERN}, .nfc = true},
    {.name = "gpt-4o", .patterns = {SPEC_O200K_PATTERN}},
    {.name = "llama4", .patterns = {SPEC_O200K_PATTERN}},
};

static enum err find_pre(const struct gguf *g, const struct pre **out, struct why *why)
{
    struct gguf_text name = {"default", 7};
    enum err e = gguf_opt_text(g, "tokenizer.ggml.pre", &name, why);
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(pres); i++) {
        if (text_is(name, pres[i].name)) {
            *out = &pres[i];
            return ERR_OK;
        }
    }
    if (e != ERR_OK) {
        return e;
    }
    struct buf names;
    buf_init(&names, 1024);
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(pres); i++) {
        e = buf_printf(&names, "%s%s", i == 0 ? "" : ", ", pres[i].name);
    }
    (void)why_set(why, ERR_UNSUPPORTED,
                  "%s: key tokenizer.ggml.pre: \"%.*s\" is not supported, expected one of %s",
                  gguf_where(g), shown(name), name.ptr,
                  names.data == NULL ? "" : (const char *)names.data);
    buf_fini(&names);
    return ERR_UNSUPPORTED;
}

static enum err set_pre(const struct gguf *g, const struct pre *pre, struct tokenizer_spec *spec,
                        struct why *why)
{
    enum err e = ERR_OK;
    spec->ignore_merges = pre->ignore_merges;
    if (pre->nfc) {
        e = tokenizer_spec_norm(spec, SPEC_NFC, NULL, NULL, gguf_where(g), why);
    }
    if (e == ERR_OK && pre->digits) {
        e = tokenizer_spec_step(spec, SPEC_DIGITS, NULL, gguf_where(g), why);
    }
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(pre->patterns); i++) {
        if (pre->patterns[i] != NULL) {
            e = tokenizer_spec_step(spec, SPEC_REGEX, pre->patterns[i], gguf_where(g), why);
        }
    }
    return e;
}

// The steps that set_pre would have made. A published pattern leaves nothing between its matches, so
// that keeping the matches only is the same.
static bool splits_alike(const struct tokenizer_spec *s, const struct pre *pre)
{
    size_t n = 0;
    if (pre->digits && (n == s->n_steps || s->steps[n++].kind != SPEC_DIGITS)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(pre->patterns) && pre->patterns[i] != NULL; i++, n++) {
        if (n == s->n_steps ||
            (s->steps[n].kind != SPEC_REGEX && s->steps[n].kind != SPEC_MATCHES) ||
            strcmp(s->steps[n].pattern, pre->patterns[i]) != 0) {
            return false;
        }
    }
    return n == s->n_steps;
}

const char *gguf_pre_name(const struct tokenizer_spec *s)
{
    bool nfc = s->n_norms == 1 && s->norms[0].kind == SPEC_NFC;
    for (size_t i = 0; i < ARRAY_LEN(pres) && (nfc || s->n_norms == 0); i++) {
        if (pres[i].nfc == nfc && pres[i].ignore_merges == s->ignore_merges &&
            splits_alike(s, &pres[i])) {
            return pres[i].name;
        }
    }
    return NULL;
}

// ---- tokens and merges ----

static enum err add_token(const struct gguf *g, struct tokenizer_spec *spec, int64_t id,
                          struct gguf_text t, int32_t type, struct why *why)
{
    if (type < TYPE_NORMAL || type > TYPE_BYTE) {
        return why_set(why, ERR_CORRUPT, "%s: token %" PRId64 ": type %" PRId32 " is not in 1..6",
                       gguf_where(g), id, type);
    }
    if (utf8_valid_prefix((const uint8_t *)t.ptr, t.len) != t.len) {
        return why_set(why, ERR_CORRUPT, "%s: token %" PRId64 " is not UTF-8", gguf_where(g), id);
    }
    bool unknown = type == TYPE_UNKNOWN;
    uint32_t flags = SPEC_VOCAB;
    if (unknown || type == TYPE_CONTROL || type == TYPE_USER) {
        flags |= SPEC_ADDED | (type == TYPE_USER ? 0u : SPEC_SPECIAL);
    }
    if (unknown && spec->alphabet == SPEC_CHARS) {
        spec->model_unk = (int32_t)id;
    }
    return tokenizer_spec_set(spec, id, t.ptr, t.len, flags, gguf_where(g), why);
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

static enum err read_scores(const struct gguf *g, struct tokenizer_spec *spec, struct why *why)
{
    const struct gguf_value *v = NULL;
    enum err e = gguf_get_array(g, "tokenizer.ggml.scores", GGUF_F32, &v, why);
    if (e == ERR_OK && v->count != spec->n_tokens) {
        e = why_set(why, ERR_CORRUPT, "%s: %" PRIu64 " scores for %zu tokens", gguf_where(g),
                    v->count, spec->n_tokens);
    }
    if (e != ERR_OK) {
        return e;
    }
    float *scores = malloc(spec->n_tokens * sizeof *scores);    // aligned, unlike the file
    if (scores == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory for %zu scores", gguf_where(g),
                       spec->n_tokens);
    }
    memcpy(scores, v->data, spec->n_tokens * sizeof *scores);
    e = tokenizer_spec_merges_by_score(spec, scores, gguf_where(g), why);
    free(scores);
    return e;
}

// ---- the whole ----

static enum err read_bytelevel(const struct gguf *g, struct tokenizer_spec *spec, bool *bos,
                               struct why *why)
{
    const struct pre *pre = NULL;
    enum err e = find_pre(g, &pre, why);
    if (e == ERR_OK) {
        *bos = pre->bos;
        e = set_pre(g, pre, spec, why);
    }
    if (e == ERR_OK) {
        e = read_tokens(g, spec, why);
    }
    return e == ERR_OK ? read_merges(g, spec, why) : e;
}

static enum err read_sentencepiece(const struct gguf *g, struct tokenizer_spec *spec, bool *bos,
                                   struct why *why)
{
    bool space = true;
    enum err e = opt_bool(g, "tokenizer.ggml.add_space_prefix", &space, why);
    *bos = true;
    if (e == ERR_OK) {
        e = tokenizer_spec_sentencepiece(spec, space, gguf_where(g), why);
    }
    if (e == ERR_OK) {
        e = read_tokens(g, spec, why);
    }
    return e == ERR_OK ? read_scores(g, spec, why) : e;
}

static enum err read_model(const struct gguf *g, struct tokenizer_spec *spec, bool *bos,
                           struct why *why)
{
    struct gguf_text model;
    enum err e = gguf_get_text(g, "tokenizer.ggml.model", &model, why);
    if (e != ERR_OK) {
        return e;
    }
    if (text_is(model, "gpt2")) {
        return read_bytelevel(g, spec, bos, why);
    }
    if (text_is(model, "llama")) {
        return read_sentencepiece(g, spec, bos, why);
    }
    return why_set(why, ERR_UNSUPPORTED,
                   "%s: key tokenizer.ggml.model: \"%.*s\" is not supported, expected \"gpt2\" "
                   "(byte-level BPE) or \"llama\" (SentencePiece BPE)",
                   gguf_where(g), shown(model), model.ptr);
}

static enum err read_named(const struct source *s, struct tokenizer_spec *spec, struct why *why)
{
    const struct gguf *g = s->gguf;
    int64_t unk = -1;
    struct gguf_text text = {NULL, 0};
    enum err e =
        gguf_opt_int(g, "tokenizer.ggml.unknown_token_id", 0, s->config.vocab - 1, &unk, why);
    spec->unk_id = (int32_t)unk;
    spec->bos_id = s->config.bos_id;
    spec->pad_id = s->config.pad_id;
    spec->eos_id = s->config.n_eos > 0 ? s->config.eos_ids[0] : -1;
    if (e == ERR_OK) {
        e = gguf_opt_text(g, "tokenizer.chat_template", &text, why);
    }
    if (e == ERR_OK && text.ptr != NULL) {
        e = tokenizer_spec_template(spec, text.ptr, text.len, gguf_where(g), why);
    }
    return e;
}

// bos: what this kind of model does if the file does not say.
static enum err read_affixes(const struct gguf *g, struct tokenizer_spec *spec, bool bos,
                             struct why *why)
{
    bool eos = false;
    enum err e = opt_bool(g, "tokenizer.ggml.add_bos_token", &bos, why);
    if (e == ERR_OK) {
        e = opt_bool(g, "tokenizer.ggml.add_eos_token", &eos, why);
    }
    if (e == ERR_OK && bos && spec->bos_id >= 0) {
        e = tokenizer_spec_affix(spec, false, spec->bos_id, gguf_where(g), why);
    }
    if (e == ERR_OK && eos && spec->eos_id >= 0) {
        e = tokenizer_spec_affix(spec, true, spec->eos_id, gguf_where(g), why);
    }
    return e;
}

enum err gguf_model_spec(const struct source *s, struct tokenizer_spec **out, struct why *why)
{
    struct tokenizer_spec *spec = NULL;
    bool bos = false;
    enum err e = tokenizer_spec_create(&spec);
    e = e == ERR_OK ? read_model(s->gguf, spec, &bos, why)
                    : why_set(why, e, "%s: out of memory", s->path);
    if (e == ERR_OK) {
        e = read_named(s, spec, why);
    }
    if (e == ERR_OK) {
        e = read_affixes(s->gguf, spec, bos, why);
    }
    if (e != ERR_OK) {
        tokenizer_spec_destroy(spec);
        return e;
    }
    *out = spec;
    return ERR_OK;
}
