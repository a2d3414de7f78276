// tokenizer_spec.c: filling and checking the plain description of a tokenizer.
//
// Every token is kept as the text that the file has, in one pool; what bytes it stands for is the
// tokenizer's affair. Merges are kept as ids, so a merge of texts that are no tokens, or whose
// concatenation is none, is refused when it is read and not discovered when somebody types the
// wrong word.
//
// The hash is taken over this description and not over a file, so a GGUF file and the folder
// exported from it have the same one: the learner may be given either.

#include "model/tokenizer_spec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/token_index.h"

#define MAX_TEXT ((size_t)256 << 20)

enum err tokenizer_spec_create(struct tokenizer_spec **out)
{
    struct tokenizer_spec *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return ERR_NOMEM;
    }
    buf_init(&s->text, MAX_TEXT);
    s->bos_id = s->eos_id = s->pad_id = s->unk_id = s->model_unk = -1;
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

const char *tokenizer_spec_text(const struct tokenizer_spec *s, size_t id, size_t *len)
{
    *len = s->tokens[id].len;
    return *len == 0 ? "" : (const char *)s->text.data + s->tokens[id].off;
}

// ---- what is done to text ----

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

enum err tokenizer_spec_metaspace(struct tokenizer_spec *s, const char *mark,
                                  enum spec_prepend prepend, bool split, const char *where,
                                  struct why *why)
{
    enum err e = tokenizer_spec_step(s, SPEC_METASPACE, mark, where, why);
    if (e == ERR_OK) {
        s->steps[s->n_steps - 1].prepend = prepend;
        s->steps[s->n_steps - 1].split = split;
    }
    return e;
}

enum err tokenizer_spec_norm(struct tokenizer_spec *s, enum spec_norm_kind kind, const char *from,
                             const char *to, const char *where, struct why *why)
{
    if (s->n_norms == SPEC_MAX_NORMS) {
        return why_set(why, ERR_UNSUPPORTED, "%s: more than %d normalizers", where, SPEC_MAX_NORMS);
    }
    struct spec_norm *norm = &s->norms[s->n_norms];
    from = from == NULL ? "" : from;
    to = to == NULL ? "" : to;
    if (strlen(from) >= sizeof norm->from || strlen(to) >= sizeof norm->to) {
        return why_set(why, ERR_LIMIT,
                       "%s: a normalizer that puts \"%.60s\" for \"%.60s\": at most %zu bytes each",
                       where, to, from, sizeof norm->to - 1);
    }
    *norm = (struct spec_norm){.kind = kind};
    memcpy(norm->from, from, strlen(from));
    memcpy(norm->to, to, strlen(to));
    s->n_norms++;
    return ERR_OK;
}

enum err tokenizer_spec_sentencepiece(struct tokenizer_spec *s, bool add_space, const char *where,
                                      struct why *why)
{
    enum err e = ERR_OK;
    if (add_space) {
        e = tokenizer_spec_norm(s, SPEC_PREPEND, NULL, SPEC_SPACE_MARK, where, why);
    }
    if (e == ERR_OK) {
        e = tokenizer_spec_norm(s, SPEC_REPLACE, " ", SPEC_SPACE_MARK, where, why);
    }
    s->alphabet = SPEC_CHARS;
    s->byte_fallback = s->fuse_unk = true;
    s->decoder = (struct spec_decoder){
        .from = SPEC_SPACE_MARK, .to = " ", .byte_fallback = true, .strip = add_space ? 1 : 0};
    return e;
}

enum err tokenizer_spec_affix(struct tokenizer_spec *s, bool after, int64_t id, const char *where,
                              struct why *why)
{
    size_t *n = after ? &s->n_suffix : &s->n_prefix;
    if (id < 0 || (size_t)id >= s->n_tokens || s->tokens[id].flags == 0) {
        return why_set(why, ERR_CORRUPT,
                       "%s: id %" PRId64 ", which belongs %s a text, is not in the vocabulary",
                       where, id, after ? "after" : "before");
    }
    if (*n == SPEC_MAX_AFFIX) {
        return why_set(why, ERR_UNSUPPORTED, "%s: more than %d tokens %s a text", where,
                       SPEC_MAX_AFFIX, after ? "after" : "before");
    }
    (after ? s->suffix : s->prefix)[(*n)++] = (uint32_t)id;
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
    for (size_t id = 0; id < s->n_tokens; id++) {
        const struct spec_token *t = &s->tokens[id];
        if ((t->flags & SPEC_VOCAB) == 0) {
            continue;
        }
        int32_t had = token_index_add(x, s->text.data + t->off, t->len, (uint32_t)id);
        if (had >= 0) {
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

enum err tokenizer_spec_merge(struct tokenizer_spec *s, const struct token_index *x,
                              const char *left, size_t left_len, const char *right,
                              size_t right_len, const char *where, struct why *why)
{
    uint8_t bytes[SPEC_MAX_TOKEN_BYTES];
    int32_t a = token_index_find(x, (const uint8_t *)left, left_len);
    int32_t b = token_index_find(x, (const uint8_t *)right, right_len), both = -1;
    if (left_len <= sizeof bytes && right_len <= sizeof bytes - left_len) {
        memcpy(bytes, left, left_len);
        memcpy(bytes + left_len, right, right_len);
        both = token_index_find(x, bytes, left_len + right_len);
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

static void hash_text(struct hash_state *h, const char *text)
{
    hash_u32(h, (uint32_t)strlen(text));
    hash_update(h, text, strlen(text));
}

static void hash_ids(struct hash_state *h, const uint32_t *ids, size_t n)
{
    hash_u32(h, (uint32_t)n);
    hash_update(h, ids, n * sizeof *ids);
}

static void hash_text_steps(struct hash_state *h, const struct tokenizer_spec *s)
{
    for (size_t i = 0; i < s->n_norms; i++) {
        hash_u32(h, (uint32_t)s->norms[i].kind);
        hash_text(h, s->norms[i].from);
        hash_text(h, s->norms[i].to);
    }
    for (size_t i = 0; i < s->n_steps; i++) {
        hash_u32(h, (uint32_t)s->steps[i].kind);
        hash_text(h, s->steps[i].pattern);
        hash_u32(h, (uint32_t)s->steps[i].prepend << 1 | s->steps[i].split);
    }
    hash_text(h, s->decoder.from);
    hash_text(h, s->decoder.to);
    hash_u32(h, s->decoder.strip << 2 | s->decoder.first_bare * 2u | s->decoder.byte_fallback);
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
    hash_text_steps(h, s);
    hash_u32(h, (uint32_t)s->alphabet);
    hash_u32(h, s->ignore_merges * 4u | s->byte_fallback * 2u | s->fuse_unk);
    hash_u32(h, (uint32_t)s->model_unk);
    hash_ids(h, s->prefix, s->n_prefix);
    hash_ids(h, s->suffix, s->n_suffix);
    hash_ids(h, s->stop, s->n_stop);
    if (s->chat_template != NULL) {
        hash_update(h, s->chat_template, s->chat_template_len);
    }
    result = hash_final(h);
    hash_destroy(h);
    return result;
}
