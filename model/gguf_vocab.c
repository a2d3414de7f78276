// gguf_vocab.c: see gguf_vocab.h.
//
// GGUF names a way to split text ("tokenizer.ggml.pre") where tokenizer.json spells it out, so only
// splits that have a name can be written; a file with the wrong name would load everywhere and
// tokenise wrongly. Vocabulary tokens are written in the byte-level alphabet, added tokens as they
// stand. Ids without a token, which models have to round their vocabulary up, become unused ones.

#include "model/gguf_vocab.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/bytelevel.h"

enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5 };

// ---- the split ----

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define CL100K(numbers)                                                                            \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers                                         \
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    const char *pre;
    bool digits;    // SPEC_DIGITS stands before the pattern
    const char *pattern;
} splits[] = {
    {"smollm", true, SPEC_GPT2_PATTERN},
    {"gpt-2", false, SPEC_GPT2_PATTERN},
    {"llama-bpe", false, CL100K("\\p{N}{1,3}")},
    {"qwen2", false, CL100K("\\p{N}")},
};

static const char *name_of_split(const struct tokenizer_spec *s)
{
    for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
        size_t n = splits[i].digits ? 2 : 1;
        if (s->n_steps == n && (n == 1 || s->steps[0].kind == SPEC_DIGITS) &&
            s->steps[n - 1].kind == SPEC_REGEX &&
            strcmp(s->steps[n - 1].pattern, splits[i].pattern) == 0) {
            return splits[i].pre;
        }
    }
    return NULL;
}

static enum err put_split(struct gguf_writer *w, const struct tokenizer_spec *s, const char *where,
                          struct why *why)
{
    const char *pre = name_of_split(s);
    if (pre == NULL) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: the tokenizer's way to split text has no name in GGUF files; those of "
                       "SmolLM, GPT-2, Llama 3 and Qwen 2 have",
                       where);
    }
    gguf_writer_text(w, "tokenizer.ggml.model", "gpt2", strlen("gpt2"));
    gguf_writer_text(w, "tokenizer.ggml.pre", pre, strlen(pre));
    return ERR_OK;
}

// ---- tokens and merges ----

// The text of a token as a vocabulary file spells it: at most 2 bytes for each of its own.
static size_t spell(const struct tokenizer_spec *s, size_t id, char out[2 * SPEC_MAX_TOKEN_BYTES])
{
    const struct spec_token *t = &s->tokens[id];
    const char *text = (const char *)s->text.data + t->off;
    if ((t->flags & SPEC_VOCAB) == 0 || (t->flags & (SPEC_ADDED | SPEC_LITERAL)) != 0) {
        memcpy(out, text, t->len);
        return t->len;
    }
    return bytelevel_encode((const uint8_t *)text, t->len, out);
}

static int32_t type_of(const struct spec_token *t)
{
    return (t->flags & SPEC_PRESENT) == 0   ? TYPE_UNUSED
           : (t->flags & SPEC_SPECIAL) != 0 ? TYPE_CONTROL
           : (t->flags & SPEC_ADDED) != 0   ? TYPE_USER
                                            : TYPE_NORMAL;
}

static void put_tokens(struct gguf_writer *w, const struct tokenizer_spec *s)
{
    char text[2 * SPEC_MAX_TOKEN_BYTES];
    gguf_writer_array(w, "tokenizer.ggml.tokens", GGUF_STRING, s->n_tokens);
    for (size_t id = 0; id < s->n_tokens; id++) {
        size_t len = (s->tokens[id].flags & SPEC_PRESENT) != 0
                         ? spell(s, id, text)
                         : (size_t)snprintf(text, sizeof text, "[PAD%zu]", id);
        gguf_writer_add_text(w, text, len);
    }
    gguf_writer_array(w, "tokenizer.ggml.token_type", GGUF_I32, s->n_tokens);
    for (size_t id = 0; id < s->n_tokens; id++) {
        int32_t type = type_of(&s->tokens[id]);
        gguf_writer_add(w, &type, sizeof type);
    }
}

static void put_merges(struct gguf_writer *w, const struct tokenizer_spec *s)
{
    char text[4 * SPEC_MAX_TOKEN_BYTES + 1];
    gguf_writer_array(w, "tokenizer.ggml.merges", GGUF_STRING, s->n_merges);
    for (size_t i = 0; i < s->n_merges; i++) {
        size_t len = spell(s, s->merges[i].left, text);
        text[len++] = ' ';
        len += spell(s, s->merges[i].right, text + len);
        gguf_writer_add_text(w, text, len);
    }
}

// ---- ids ----

static void put_id(struct gguf_writer *w, const char *key, int32_t id)
{
    if (id >= 0) {
        gguf_writer_u32(w, key, (uint32_t)id);
    }
}

// GGUF has three keys for what ends an answer; the tokenizer's own comes first.
static void put_ends(struct gguf_writer *w, const struct tokenizer_spec *s,
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
}

enum err gguf_vocab_put(struct gguf_writer *w, const struct tokenizer_spec *s,
                        const struct model_config *c, const char *where, struct why *why)
{
    enum err e = put_split(w, s, where, why);
    if (e != ERR_OK) {
        return e;
    }
    put_tokens(w, s);
    put_merges(w, s);
    put_id(w, "tokenizer.ggml.bos_token_id", s->bos_id >= 0 ? s->bos_id : c->bos_id);
    put_ends(w, s, c);
    put_id(w, "tokenizer.ggml.padding_token_id", s->pad_id >= 0 ? s->pad_id : c->pad_id);
    put_id(w, "tokenizer.ggml.unknown_token_id", s->unk_id);
    gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", false);
    gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", false);
    if (s->chat_template != NULL) {
        gguf_writer_text(w, "tokenizer.chat_template", s->chat_template, s->chat_template_len);
    }
    return ERR_OK;
}
