// gguf_vocab.c: see gguf_vocab.h.
//
// GGUF names a way to split text ("tokenizer.ggml.pre") where tokenizer.json spells it out, so only
// splits that have a name can be written; a file with the wrong name would load everywhere and
// tokenise wrongly. SentencePiece vocabularies have scores in the place of merges: a token's score is
// the negated rank of its first merge. Whether that says the same is tried: the merges that a reader
// makes of the scores must be the ones that were there.
//
// SentencePiece in GGUF files puts its blank in front of every text and behind every special token;
// tokenizers with a Metaspace step do so at the start only, and not where there is a blank. Files of
// such models are made all the same, by everyone.
//
// Ids without a token, which models have to round their vocabulary up, become unused ones.

#include "model/gguf_vocab.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

// ---- tokens ----

static bool is_byte_token(const char *text, size_t len)
{
    return len == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>';
}

static int32_t type_of(const struct tokenizer_spec *s, size_t id)
{
    uint32_t flags = s->tokens[id].flags;
    size_t len = 0;
    const char *text = tokenizer_spec_text(s, id, &len);
    if (flags == 0) {
        return TYPE_UNUSED;
    }
    if ((int64_t)id == s->model_unk) {
        return TYPE_UNKNOWN;
    }
    if ((flags & SPEC_ADDED) != 0) {
        return (flags & SPEC_SPECIAL) != 0 ? TYPE_CONTROL : TYPE_USER;
    }
    return s->byte_fallback && is_byte_token(text, len) ? TYPE_BYTE : TYPE_NORMAL;
}

// Added tokens that take the blanks around them along, are no parts of words, or are sought in text
// that has been normalised: none of it has a place in the format. (A special token that stands for
// itself after normalisation, too, is found in both.)
static enum err check_added(const struct tokenizer_spec *s, const char *where, struct why *why)
{
    for (size_t id = 0; id < s->n_tokens; id++) {
        uint32_t flags = s->tokens[id].flags;
        bool normalized =
            s->n_norms > 0 && (flags & (SPEC_NORMALIZED | SPEC_SPECIAL)) == SPEC_NORMALIZED;
        if (normalized || (flags & (SPEC_LSTRIP | SPEC_RSTRIP | SPEC_SINGLE_WORD)) != 0) {
            size_t len = 0;
            const char *text = tokenizer_spec_text(s, id, &len);
            return why_set(why, ERR_UNSUPPORTED,
                           "%s: added token %zu (%.*s) has lstrip, rstrip, single_word or "
                           "normalized, which GGUF files cannot say",
                           where, id, (int)MIN(len, (size_t)60), text);
        }
    }
    return ERR_OK;
}

static void put_tokens(struct gguf_writer *w, const struct tokenizer_spec *s)
{
    gguf_writer_array(w, "tokenizer.ggml.tokens", GGUF_STRING, s->n_tokens);
    for (size_t id = 0; id < s->n_tokens; id++) {
        char unused[32];
        size_t len = 0;
        const char *text = tokenizer_spec_text(s, id, &len);
        if (s->tokens[id].flags == 0) {
            len = (size_t)snprintf(unused, sizeof unused, "[PAD%zu]", id);
            text = unused;
        }
        gguf_writer_add_text(w, text, len);
    }
    gguf_writer_array(w, "tokenizer.ggml.token_type", GGUF_I32, s->n_tokens);
    for (size_t id = 0; id < s->n_tokens; id++) {
        int32_t type = type_of(s, id);
        gguf_writer_add(w, &type, sizeof type);
    }
}

// ---- byte-level BPE ----

static void put_merges(struct gguf_writer *w, const struct tokenizer_spec *s)
{
    char text[2 * SPEC_MAX_TOKEN_BYTES + 1];
    gguf_writer_array(w, "tokenizer.ggml.merges", GGUF_STRING, s->n_merges);
    for (size_t i = 0; i < s->n_merges; i++) {
        size_t left_len = 0, right_len = 0;
        const char *left = tokenizer_spec_text(s, s->merges[i].left, &left_len);
        const char *right = tokenizer_spec_text(s, s->merges[i].right, &right_len);
        memcpy(text, left, left_len);
        text[left_len] = ' ';
        memcpy(text + left_len + 1, right, right_len);
        gguf_writer_add_text(w, text, left_len + 1 + right_len);
    }
}

static enum err put_bytelevel(struct gguf_writer *w, const struct tokenizer_spec *s,
                              const char *where, struct why *why)
{
    const char *pre = gguf_pre_name(s);
    if (pre == NULL) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: the tokenizer's way to split text has no name in GGUF files; those of "
                       "GPT-2, SmolLM, Llama 3, OLMo 2, Qwen 2 and GPT-4o have",
                       where);
    }
    gguf_writer_text(w, "tokenizer.ggml.model", "gpt2", strlen("gpt2"));
    gguf_writer_text(w, "tokenizer.ggml.pre", pre, strlen(pre));
    put_tokens(w, s);
    put_merges(w, s);
    return ERR_OK;
}

// ---- SentencePiece ----

// Whether text gets a blank in front, by either of the two ways that tokenizer.json has to say so.
static bool adds_space(const struct tokenizer_spec *s)
{
    bool adds = false;
    for (size_t i = 0; i < s->n_norms; i++) {
        adds = adds || s->norms[i].kind == SPEC_PREPEND;
    }
    for (size_t i = 0; i < s->n_steps; i++) {
        adds = adds || (s->steps[i].kind == SPEC_METASPACE && s->steps[i].prepend != SPEC_NEVER);
    }
    return adds;
}

// Blanks become marks and nothing else happens to a text.
static bool is_sentencepiece(const struct tokenizer_spec *s)
{
    bool plain = s->byte_fallback;
    size_t marks = 0;
    for (size_t i = 0; i < s->n_norms; i++) {
        marks += s->norms[i].kind == SPEC_REPLACE && strcmp(s->norms[i].from, " ") == 0;
        plain =
            plain && s->norms[i].kind != SPEC_NFC && strcmp(s->norms[i].to, SPEC_SPACE_MARK) == 0;
    }
    for (size_t i = 0; i < s->n_steps; i++) {
        marks += s->steps[i].kind == SPEC_METASPACE;
        plain = plain && s->steps[i].kind == SPEC_METASPACE && !s->steps[i].split &&
                strcmp(s->steps[i].pattern, SPEC_SPACE_MARK) == 0;
    }
    return plain && marks == 1;
}

// (n_tokens) scores whose order is that of the merges (free()); NULL when out of memory.
static float *scores_of(const struct tokenizer_spec *s)
{
    float *scores = malloc(MAX(s->n_tokens, (size_t)1) * sizeof *scores);
    for (size_t id = 0; scores != NULL && id < s->n_tokens; id++) {
        scores[id] = 0;
    }
    for (size_t i = s->n_merges; scores != NULL && i > 0; i--) {
        scores[s->merges[i - 1].result] = -(float)i;    // exact: ranks are below 2^24
    }
    return scores;
}

// Reads the scores as a reader of the file will, and compares.
static enum err try_scores(const struct tokenizer_spec *s, const float *scores, const char *where,
                           struct why *why)
{
    struct tokenizer_spec *back = NULL;
    enum err e = tokenizer_spec_create(&back);
    if (e != ERR_OK) {
        return why_set(why, e, "%s: out of memory", where);
    }
    for (size_t id = 0; e == ERR_OK && id < s->n_tokens; id++) {
        size_t len = 0;
        const char *text = tokenizer_spec_text(s, id, &len);
        if (s->tokens[id].flags != 0) {
            uint32_t flags = s->tokens[id].flags | SPEC_VOCAB;
            e = tokenizer_spec_set(back, (int64_t)id, text, len, flags, where, why);
        }
    }
    e = e ? e : tokenizer_spec_merges_by_score(back, scores, where, why);
    if (e == ERR_OK && (back->n_merges != s->n_merges ||
                        memcmp(back->merges, s->merges, s->n_merges * sizeof *s->merges) != 0)) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "%s: the tokenizer's %zu merges are not those of a SentencePiece vocabulary "
                    "(which has %zu), and GGUF files have no other form for them",
                    where, s->n_merges, back->n_merges);
    }
    tokenizer_spec_destroy(back);
    return e;
}

static enum err put_sentencepiece(struct gguf_writer *w, const struct tokenizer_spec *s,
                                  const char *where, struct why *why)
{
    if (!is_sentencepiece(s)) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: the tokenizer does more to a text than SentencePiece in GGUF files: "
                       "expected blanks that become \"\u2581\", and byte fallback",
                       where);
    }
    float *scores = scores_of(s);
    enum err e = scores == NULL ? why_set(why, ERR_NOMEM, "%s: out of memory", where)
                                : try_scores(s, scores, where, why);
    if (e == ERR_OK) {
        gguf_writer_text(w, "tokenizer.ggml.model", "llama", strlen("llama"));
        gguf_writer_text(w, "tokenizer.ggml.pre", "default", strlen("default"));
        gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", adds_space(s));
        put_tokens(w, s);
        gguf_writer_array(w, "tokenizer.ggml.scores", GGUF_F32, s->n_tokens);
        gguf_writer_add(w, scores, s->n_tokens * sizeof *scores);
    }
    free(scores);
    return e;
}

// ---- ids ----

static void put_id(struct gguf_writer *w, const char *key, int32_t id)
{
    if (id >= 0) {
        gguf_writer_u32(w, key, (uint32_t)id);
    }
}

// GGUF has three keys for what ends an answer; the tokenizer's own comes first. Returns it.
static int32_t put_ends(struct gguf_writer *w, const struct tokenizer_spec *s,
                        const struct model_config *c)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    int32_t first = s->eos_id >= 0 ? s->eos_id : c->n_eos > 0 ? c->eos_ids[0] : -1;
    size_t used = 0;
    put_id(w, keys[used++], first);
    for (int32_t i = 0; i < c->n_eos && used < ARRAY_LEN(keys); i++) {
        if (c->eos_ids[i] != first) {
            put_id(w, keys[used++], c->eos_ids[i]);
        }
    }
    return first;
}

// Before and after a text that stands alone the format knows BOS and EOS, or nothing.
static enum err put_affixes(struct gguf_writer *w, const struct tokenizer_spec *s, int32_t bos,
                            int32_t eos, const char *where, struct why *why)
{
    bool known = (s->n_prefix == 0 || (s->n_prefix == 1 && (int64_t)s->prefix[0] == bos)) &&
                 (s->n_suffix == 0 || (s->n_suffix == 1 && (int64_t)s->suffix[0] == eos));
    if (!known) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: the tokenizer puts other tokens than BOS and EOS around a text, which "
                       "GGUF files cannot say",
                       where);
    }
    gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", s->n_prefix == 1);
    gguf_writer_bool(w, "tokenizer.ggml.add_eos_token", s->n_suffix == 1);
    return ERR_OK;
}

enum err gguf_vocab_put(struct gguf_writer *w, const struct tokenizer_spec *s,
                        const struct model_config *c, const char *where, struct why *why)
{
    enum err e = check_added(s, where, why);
    if (e == ERR_OK) {
        e = s->alphabet == SPEC_BYTES ? put_bytelevel(w, s, where, why)
                                      : put_sentencepiece(w, s, where, why);
    }
    if (e != ERR_OK) {
        return e;
    }
    int32_t bos = s->bos_id >= 0 ? s->bos_id : c->bos_id;
    put_id(w, "tokenizer.ggml.bos_token_id", bos);
    int32_t eos = put_ends(w, s, c);
    put_id(w, "tokenizer.ggml.padding_token_id", s->pad_id >= 0 ? s->pad_id : c->pad_id);
    put_id(w, "tokenizer.ggml.unknown_token_id", s->unk_id);
    e = put_affixes(w, s, bos, eos, where, why);
    if (e == ERR_OK && s->chat_template != NULL) {
        gguf_writer_text(w, "tokenizer.chat_template", s->chat_template, s->chat_template_len);
    }
    return e;
}
