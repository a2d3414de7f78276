// tokenizer_spec.c: filling and checking the plain description of a tokenizer.
//
// Every token is kept as the bytes that it stands for, in one pool; the byte-level alphabet exists
// only in files. Merges are kept as ids, so a merge of texts that are no tokens, or whose
// concatenation is none, is refused when it is read and not discovered when somebody types the
// wrong word.
//
// The hash is taken over this description and not over a file, so a GGUF file and the folder
// exported from it have the same one: the learner may be given either.

#include "model/tokenizer_spec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/bytelevel.h"
#include "model/token_index.h"

#define MAX_TEXT ((size_t)256 << 20)

enum err tokenizer_spec_create(struct tokenizer_spec **out)
{
    struct tokenizer_spec *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return ERR_NOMEM;
    }
    buf_init(&s->text, MAX_TEXT);
    s->bos_id = s->eos_id = s->pad_id = s->unk_id = -1;
    *out = s;
    return ERR_OK;
}

void tokenizer_spec_destroy(struct tokenizer_spec *s)
{
    if (s == NULL) {
        return;
    }
    buf_fini(&s->text);
    free(s->tokens);
    free(s->merges);
    free(s->chat_template);
    free(s);
}

// ---- tokens ----

static enum err grow(struct tokenizer_spec *s, size_t n)
{
    if (n > s->cap_tokens) {
        size_t cap = MAX(n, s->cap_tokens * 2);
        struct spec_token *tokens = realloc(s->tokens, cap * sizeof *tokens);
        if (tokens == NULL) {
            return ERR_NOMEM;
        }
        s->tokens = tokens;
        s->cap_tokens = cap;
    }
    while (s->n_tokens < n) {
        s->tokens[s->n_tokens++] = (struct spec_token){0};
    }
    return ERR_OK;
}

static int shown(size_t len)
{
    return (int)MIN(len, (size_t)60);
}

static enum err check_token(int64_t id, const char *text, size_t len, uint32_t flags,
                            const char *where, struct why *why)
{
    size_t max = (flags & SPEC_ADDED) != 0 ? SPEC_MAX_ADDED_BYTES : SPEC_MAX_TOKEN_BYTES;
    if (id < 0 || id >= SPEC_MAX_TOKENS) {
        return why_set(why, ERR_LIMIT, "%s: token \"%.*s\": id %" PRId64 " is not in 0..%d", where,
                       shown(len), text, id, SPEC_MAX_TOKENS - 1);
    }
    if (len == 0 || len > max) {
        return why_set(why, ERR_CORRUPT, "%s: token %" PRId64 " has %zu bytes, expected 1..%zu",
                       where, id, len, max);
    }
    return ERR_OK;
}

enum err tokenizer_spec_set(struct tokenizer_spec *s, int64_t id, const char *text, size_t len,
                            uint32_t flags, const char *where, struct why *why)
{
    enum err e = check_token(id, text, len, flags, where, why);
    if (e != ERR_OK) {
        return e;
    }
    if ((size_t)id < s->n_tokens && s->tokens[id].flags != 0) {
        struct spec_token *t = &s->tokens[id];
        const char *had = (const char *)s->text.data + t->off;
        bool same = t->len == len && memcmp(had, text, len) == 0;
        if (!same || (flags & SPEC_ADDED) == 0 || (t->flags & SPEC_ADDED) != 0) {
            return why_set(why, ERR_CORRUPT,
                           "%s: id %" PRId64 " belongs to two tokens, \"%.*s\" and \"%.*s\"", where,
                           id, shown(t->len), had, shown(len), text);
        }
        t->flags |= flags;
        return ERR_OK;
    }
    e = grow(s, (size_t)id + 1);
    if (e == ERR_OK) {
        s->tokens[id] =
            (struct spec_token){(uint32_t)s->text.len, (uint32_t)len, flags | SPEC_PRESENT};
        e = buf_append(&s->text, text, len);
        if (e != ERR_OK) {
            s->tokens[id] = (struct spec_token){0};
        }
    }
    return e == ERR_OK ? e : why_set(why, e, "%s: token %" PRId64 ": %s", where, id, err_text(e));
}

enum err tokenizer_spec_set_vocab(struct tokenizer_spec *s, int64_t id, const char *text,
                                  size_t len, const char *where, struct why *why)
{
    uint8_t bytes[SPEC_MAX_TOKEN_BYTES];
    size_t n;
    if (len <= sizeof bytes && bytelevel_decode(text, len, bytes, &n)) {
        return tokenizer_spec_set(s, id, (const char *)bytes, n, SPEC_VOCAB, where, why);
    }
    return tokenizer_spec_set(s, id, text, len, SPEC_VOCAB | SPEC_LITERAL, where, why);
}

enum err tokenizer_spec_step(struct tokenizer_spec *s, enum spec_split kind, const char *pattern,
                             const char *where, struct why *why)
{
    if (s->n_steps == SPEC_MAX_STEPS) {
        return why_set(why, ERR_UNSUPPORTED, "%s: more than %d pre-tokenisation steps", where,
                       SPEC_MAX_STEPS);
    }
    struct spec_step *step = &s->steps[s->n_steps];
    size_t len = pattern == NULL ? 0 : strlen(pattern);
    if (len >= sizeof step->pattern) {
        return why_set(why, ERR_LIMIT, "%s: a split pattern of %zu bytes, at most %zu", where, len,
                       sizeof step->pattern - 1);
    }
    *step = (struct spec_step){.kind = kind};
    memcpy(step->pattern, len == 0 ? "" : pattern, len);
    s->n_steps++;
    return ERR_OK;
}

enum err tokenizer_spec_template(struct tokenizer_spec *s, const char *text, size_t len,
                                 const char *where, struct why *why)
{
    if (len > SPEC_MAX_TEMPLATE) {
        return why_set(why, ERR_LIMIT, "%s: a chat template of %zu bytes, at most %d", where, len,
                       SPEC_MAX_TEMPLATE);
    }
    char *copy = malloc(len + 1);
    if (copy == NULL) {
        return why_set(why, ERR_NOMEM, "%s: out of memory for the chat template", where);
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    free(s->chat_template);
    s->chat_template = copy;
    s->chat_template_len = len;
    return ERR_OK;
}

// ---- merges ----

enum err tokenizer_spec_index(const struct tokenizer_spec *s, struct token_index **out,
                              const char *where, struct why *why)
{
    struct token_index *x;
    enum err e = token_index_create(s->n_tokens, &x);
    if (e != ERR_OK) {
        return why_set(why, e, "%s: out of memory for the vocabulary", where);
    }
    // Literal tokens come second: where one has the bytes of a token in the alphabet, merges mean
    // the latter.
    for (size_t i = 0; i < 2 * s->n_tokens; i++) {
        size_t id = i % s->n_tokens;
        const struct spec_token *t = &s->tokens[id];
        if ((t->flags & SPEC_VOCAB) == 0 ||
            ((t->flags & SPEC_LITERAL) != 0) != (i >= s->n_tokens)) {
            continue;
        }
        int32_t had = token_index_add(x, s->text.data + t->off, t->len, (uint32_t)id);
        if (had >= 0 && ((s->tokens[had].flags ^ t->flags) & SPEC_LITERAL) == 0) {
            token_index_destroy(x);
            return why_set(why, ERR_CORRUPT,
                           "%s: ids %" PRId32 " and %zu are both the token \"%.*s\"", where, had,
                           id, shown(t->len), (const char *)s->text.data + t->off);
        }
    }
    *out = x;
    return ERR_OK;
}

enum err tokenizer_spec_reserve_merges(struct tokenizer_spec *s, size_t n, const char *where,
                                       struct why *why)
{
    if (n > SPEC_MAX_MERGES) {
        return why_set(why, ERR_LIMIT, "%s: %zu merges, at most %d", where, n, SPEC_MAX_MERGES);
    }
    s->merges = calloc(n == 0 ? 1 : n, sizeof *s->merges);
    return s->merges != NULL
               ? ERR_OK
               : why_set(why, ERR_NOMEM, "%s: out of memory for %zu merges", where, n);
}

// Bytes of a part; false when it is too long to be part of a token.
static bool merge_part(const char *text, size_t len, uint8_t *out, size_t *n)
{
    if (len > SPEC_MAX_TOKEN_BYTES) {
        return false;
    }
    if (!bytelevel_decode(text, len, out, n)) {
        memcpy(out, text, len);
        *n = len;
    }
    return true;
}

enum err tokenizer_spec_merge(struct tokenizer_spec *s, const struct token_index *x,
                              const char *left, size_t left_len, const char *right,
                              size_t right_len, const char *where, struct why *why)
{
    uint8_t bytes[2 * SPEC_MAX_TOKEN_BYTES];
    size_t n_left = 0, n_right = 0;
    int32_t a = -1, b = -1, both = -1;
    if (merge_part(left, left_len, bytes, &n_left) &&
        merge_part(right, right_len, bytes + n_left, &n_right)) {
        a = token_index_find(x, bytes, n_left);
        b = token_index_find(x, bytes + n_left, n_right);
        both = token_index_find(x, bytes, n_left + n_right);
    }
    if (a < 0 || b < 0 || both < 0) {
        return why_set(why, ERR_CORRUPT,
                       "%s: merge %zu (\"%.*s\" \"%.*s\"): the %s is not in the vocabulary", where,
                       s->n_merges, shown(left_len), left, shown(right_len), right,
                       a < 0   ? "left part"
                       : b < 0 ? "right part"
                               : "result");
    }
    s->merges[s->n_merges++] = (struct spec_merge){(uint32_t)a, (uint32_t)b, (uint32_t)both};
    return ERR_OK;
}

// ---- fitting and hashing ----

static void add_stop(struct tokenizer_spec *s, int32_t id)
{
    for (size_t i = 0; i < s->n_stop; i++) {
        if (s->stop[i] == (uint32_t)id) {
            return;
        }
    }
    if (id >= 0 && s->n_stop < SPEC_MAX_STOP) {
        s->stop[s->n_stop++] = (uint32_t)id;
    }
}

enum err tokenizer_spec_finish(struct tokenizer_spec *s, const struct model_config *c,
                               const char *where, struct why *why)
{
    if (s->n_tokens > (size_t)c->vocab) {
        const struct spec_token *t = &s->tokens[s->n_tokens - 1];
        return why_set(why, ERR_CORRUPT,
                       "%s: token \"%.*s\" has id %zu, but the model's vocabulary ends at %" PRId32,
                       where, shown(t->len), (const char *)s->text.data + t->off, s->n_tokens - 1,
                       c->vocab - 1);
    }
    enum err e = grow(s, (size_t)c->vocab);
    if (e != ERR_OK) {
        return why_set(why, e, "%s: out of memory for %" PRId32 " tokens", where, c->vocab);
    }
    for (int32_t i = 0; i < c->n_eos; i++) {
        add_stop(s, c->eos_ids[i]);
    }
    add_stop(s, s->eos_id);
    return ERR_OK;
}

static void hash_u32(struct hash_state *h, uint32_t value)
{
    hash_update(h, &value, sizeof value);
}

struct hash128 tokenizer_spec_hash(const struct tokenizer_spec *s)
{
    struct hash128 result = {{0}};
    struct hash_state *h = hash_create();
    if (h == NULL) {
        return result;
    }
    for (size_t i = 0; i < s->n_tokens; i++) {
        hash_u32(h, s->tokens[i].flags);
        hash_u32(h, s->tokens[i].len);
        hash_update(h, s->text.data + s->tokens[i].off, s->tokens[i].len);
    }
    hash_update(h, s->merges, s->n_merges * sizeof *s->merges);
    for (size_t i = 0; i < s->n_steps; i++) {
        hash_u32(h, (uint32_t)s->steps[i].kind);
        hash_update(h, s->steps[i].pattern, strlen(s->steps[i].pattern));
    }
    hash_u32(h, (s->nfc ? 1u : 0u) | (s->ignore_merges ? 2u : 0u));
    hash_update(h, s->stop, s->n_stop * sizeof *s->stop);
    if (s->chat_template != NULL) {
        hash_update(h, s->chat_template, s->chat_template_len);
    }
    result = hash_final(h);
    hash_destroy(h);
    return result;
}
