// tokenizer.c: making a tokenizer of its description, and what goes through the chat template.
//
// A word that is itself a token is by far the most common case. Whether merging would arrive at
// that token is a property of the vocabulary, so it is worked out once per token here and kept in
// an index: such words cost one lookup and no merging, with nothing cached at run time and
// therefore nothing to lock.
//
// Merges that arrive at a special token are left out: in a text that may contain such tokens they
// have been cut out before, and in one that may not, merging must not make them.
//
// SentencePiece models have no splits: a text of a megabyte is one word. But where no token has a
// "▁" behind another character, no merge crosses that place, and words may end there as well.

#include "model/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

#include "model/bytelevel.h"
#include "model/normalize.h"

// What a token stands for: the bytes that it spells, or its own where it has other characters.
static size_t spelled(const struct tokenizer_spec *s, size_t id, uint8_t *out)
{
    size_t len, n;
    const char *text = tokenizer_spec_text(s, id, &len);
    if (s->alphabet == SPEC_BYTES && bytelevel_decode(text, len, out, &n)) {
        return n;
    }
    memcpy(out, text, len);
    return len;
}

static enum err copy_tokens(struct tokenizer *t, const struct tokenizer_spec *s)
{
    t->bytes = malloc(s->text.len + 1);
    t->tokens = calloc(s->n_tokens + 1, sizeof *t->tokens);
    if (t->bytes == NULL || t->tokens == NULL) {
        return ERR_NOMEM;
    }
    size_t used = 0;
    for (size_t id = 0; id < s->n_tokens; id++) {
        size_t len = spelled(s, id, t->bytes + used);
        t->tokens[id] = (struct spec_token){(uint32_t)used, (uint32_t)len, s->tokens[id].flags};
        used += len;
    }
    t->n_tokens = s->n_tokens;
    t->alphabet = s->alphabet;
    t->decoder = s->decoder;
    t->n_norms = s->n_norms;
    memcpy(t->norms, s->norms, sizeof t->norms);
    memcpy(t->prefix, s->prefix, sizeof t->prefix);
    memcpy(t->suffix, s->suffix, sizeof t->suffix);
    t->n_prefix = s->n_prefix;
    t->n_suffix = s->n_suffix;
    memcpy(t->stop, s->stop, sizeof t->stop);
    t->n_stop = s->n_stop;
    return ERR_OK;
}

static enum err create_bpe(struct tokenizer *t, const struct tokenizer_spec *s)
{
    bool *use = malloc((s->n_tokens + 1) * sizeof *use);
    enum err e = use == NULL ? ERR_NOMEM : symbols_create(s, &t->symbols);
    for (size_t id = 0; e == ERR_OK && id < s->n_tokens; id++) {
        use[id] = (s->tokens[id].flags & SPEC_SPECIAL) == 0;
    }
    if (e == ERR_OK) {
        e = bpe_create(s->merges, s->n_merges, use, &t->bpe);
    }
    free(use);
    return e;
}

// Can a word be this token? Special ones are never made of words.
static bool is_word_token(const struct tokenizer_spec *s, uint32_t id)
{
    size_t len, n;
    uint8_t bytes[SPEC_MAX_TOKEN_BYTES];
    const char *text = tokenizer_spec_text(s, id, &len);
    return (s->tokens[id].flags & (SPEC_VOCAB | SPEC_SPECIAL)) == SPEC_VOCAB &&
           (s->alphabet == SPEC_CHARS || bytelevel_decode(text, len, bytes, &n));
}

// Is the word of this token's bytes that one token?
static enum err becomes_itself(const struct tokenizer *t, uint32_t id, bool *yes)
{
    uint32_t ids[SPEC_MAX_TOKEN_BYTES];
    const struct spec_token *k = &t->tokens[id];
    size_t n = symbols_of(t->symbols, t->bytes + k->off, k->len, ids);
    enum err e = bpe_merge(t->bpe, ids, &n);
    *yes = n == 1 && ids[0] == id;
    return e;
}

static enum err create_words(struct tokenizer *t, const struct tokenizer_spec *s)
{
    enum err e = token_index_create(t->n_tokens, &t->words);
    for (uint32_t id = 0; e == ERR_OK && id < t->n_tokens; id++) {
        const struct spec_token *k = &t->tokens[id];
        bool one = s->ignore_merges;
        if (!is_word_token(s, id)) {
            continue;
        }
        if (!one) {
            e = becomes_itself(t, id, &one);
        }
        if (one) {
            (void)token_index_add(t->words, t->bytes + k->off, k->len, id);
        }
    }
    return e;
}

// Has the text a "▁" behind another character?
static bool mark_inside(const char *text, size_t len)
{
    static const char mark[] = SPEC_SPACE_MARK;
    const size_t n = sizeof mark - 1;
    bool other = false;
    for (size_t i = 0; i < len;) {
        bool here = len - i >= n && memcmp(text + i, mark, n) == 0;
        if (here && other) {
            return true;
        }
        other = other || !here;
        i += here ? n : 1;
    }
    return false;
}

static void find_breaks(struct tokenizer *t, const struct tokenizer_spec *s)
{
    uint32_t ids[4];
    const char *mark = SPEC_SPACE_MARK;
    size_t n = symbols_of(t->symbols, (const uint8_t *)mark, strlen(mark), ids), len;
    // The mark must be a token: an unknown one could be fused with its neighbour.
    bool marked = n == 1 && s->alphabet == SPEC_CHARS && (int32_t)ids[0] != s->model_unk;
    t->breaks = marked && !s->ignore_merges;
    for (size_t i = 0; t->breaks && i < s->n_merges; i++) {
        const char *text = tokenizer_spec_text(s, s->merges[i].result, &len);
        t->breaks = !mark_inside(text, len);
    }
}

static enum err add_added(struct tokenizer *t, const struct tokenizer_spec *s, uint32_t id,
                          struct normalize_room *room, struct why *why)
{
    size_t len;
    const uint8_t *text = (const uint8_t *)tokenizer_spec_text(s, id, &len);
    uint32_t flags = s->tokens[id].flags;
    if ((flags & SPEC_NORMALIZED) == 0) {
        return added_insert(t->added, text, len, id, flags);
    }
    enum err e = t->added_normal == NULL ? added_create(&t->added_normal) : ERR_OK;
    if (e == ERR_OK) {
        e = normalize(s->norms, s->n_norms, true, text, len, room, &text, &len, why);
    }
    return e == ERR_OK && len > 0 ? added_insert(t->added_normal, text, len, id, flags) : e;
}

static enum err create_added(struct tokenizer *t, const struct tokenizer_spec *s, struct why *why)
{
    struct normalize_room room;
    normalize_room_init(&room);
    enum err e = added_create(&t->added);
    for (uint32_t id = 0; e == ERR_OK && id < t->n_tokens; id++) {
        if ((t->tokens[id].flags & SPEC_ADDED) != 0) {
            e = add_added(t, s, id, &room, why);
        }
    }
    normalize_room_fini(&room);
    return e;
}

static int32_t find_added(const struct tokenizer *t, const char *text)
{
    struct added_walk walk = {.text = (const uint8_t *)text, .len = strlen(text)};
    struct added_match match;
    return added_next(t->added, &walk, true, &match) && match.start == 0 ? (int32_t)match.id : -1;
}

// NULL for a token that there is not.
static const char *token_text(const struct tokenizer_spec *s, int32_t id,
                              char out[SPEC_MAX_TOKEN_BYTES + 1])
{
    if (id < 0 || (size_t)id >= s->n_tokens) {
        return NULL;
    }
    size_t len;
    const char *text = tokenizer_spec_text(s, (size_t)id, &len);
    memcpy(out, text, len);
    out[len] = '\0';
    return out;
}

static enum err create_chat(struct tokenizer *t, const struct tokenizer_spec *s, struct why *why)
{
    if (s->chat_template == NULL) {
        t->chat_err = why_set(&t->chat_why, ERR_UNSUPPORTED, "the model has no chat template");
        return ERR_OK;
    }
    char texts[4][SPEC_MAX_TOKEN_BYTES + 1];
    const struct chat_tokens tokens = {
        token_text(s, s->bos_id, texts[0]), token_text(s, s->eos_id, texts[1]),
        token_text(s, s->pad_id, texts[2]), token_text(s, s->unk_id, texts[3])};
    t->chat_err = chat_template_create(s->chat_template, s->chat_template_len, "chat template",
                                       &tokens, &t->chat, &t->chat_why);
    if (t->chat_err != ERR_OK) {
        return t->chat_err == ERR_NOMEM ? why_set(why, ERR_NOMEM, "%s", t->chat_why.text) : ERR_OK;
    }
    const char *end = chat_template_end_of_turn(t->chat);
    int32_t id = end == NULL ? -1 : find_added(t, end);
    bool known = id < 0 || (s->tokens[id].flags & SPEC_SPECIAL) == 0;
    for (size_t i = 0; i < t->n_stop; i++) {
        known = known || t->stop[i] == (uint32_t)id;
    }
    if (!known && t->n_stop < SPEC_MAX_STOP) {
        t->stop[t->n_stop++] = (uint32_t)id;
    }
    return ERR_OK;
}

enum err tokenizer_create(const struct tokenizer_spec *s, struct tokenizer **out, struct why *why)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    enum err e = t == NULL ? ERR_NOMEM : copy_tokens(t, s);
    if (e == ERR_OK) {
        e = create_bpe(t, s);
    }
    if (e == ERR_OK) {
        find_breaks(t, s);
        e = create_words(t, s);
    }
    if (e == ERR_OK) {
        e = create_added(t, s, why);
    }
    if (e != ERR_OK) {
        e = why_set(why, e, "tokenizer: %s", err_text(e));
    }
    if (e == ERR_OK) {
        e = create_chat(t, s, why);
    }
    if (e == ERR_OK) {
        e = pretokenizer_create(s->steps, s->n_steps, &t->pre, why);
    }
    if (e != ERR_OK) {
        tokenizer_destroy(t);
        return e;
    }
    *out = t;
    return ERR_OK;
}

void tokenizer_destroy(struct tokenizer *t)
{
    if (t == NULL) {
        return;
    }
    free(t->bytes);
    free(t->tokens);
    token_index_destroy(t->words);
    bpe_destroy(t->bpe);
    pretokenizer_destroy(t->pre);
    added_destroy(t->added);
    added_destroy(t->added_normal);
    symbols_destroy(t->symbols);
    chat_template_destroy(t->chat);
    free(t);
}

size_t tokenizer_vocab(const struct tokenizer *t)
{
    return t->n_tokens;
}

size_t tokenizer_stop_ids(const struct tokenizer *t, uint32_t *out, size_t cap)
{
    size_t n = MIN(cap, t->n_stop);
    memcpy(out, t->stop, n * sizeof *out);
    return n;
}

// ---- ids ----

void token_ids_fini(struct token_ids *t)
{
    free(t->ids);
    *t = (struct token_ids){0};
}

enum err token_ids_reserve(struct token_ids *t, size_t extra)
{
    if (t->cap - t->n >= extra) {
        return ERR_OK;
    }
    if (extra > SIZE_MAX / sizeof *t->ids / 2 - t->n) {
        return ERR_LIMIT;
    }
    size_t cap = MAX(MAX(t->cap * 2, t->n + extra), (size_t)64);
    uint32_t *ids = realloc(t->ids, cap * sizeof *ids);
    if (ids == NULL) {
        return ERR_NOMEM;
    }
    t->ids = ids;
    t->cap = cap;
    return ERR_OK;
}

enum err token_ids_push(struct token_ids *t, uint32_t id)
{
    enum err e = token_ids_reserve(t, 1);
    if (e == ERR_OK) {
        t->ids[t->n++] = id;
    }
    return e;
}

// ---- chat ----

enum err tokenizer_chat_text(const struct tokenizer *t, const struct chat_message *m, size_t n,
                             bool add_generation_prompt, struct buf *out, struct why *why)
{
    if (t->chat == NULL) {
        return why_set(why, t->chat_err, "%s", t->chat_why.text);
    }
    return chat_template_render(t->chat, m, n, add_generation_prompt, out, why);
}

enum err tokenizer_chat_ids(const struct tokenizer *t, const struct chat_message *m, size_t n,
                            bool add_generation_prompt, struct token_ids *out, struct why *why)
{
    struct buf text;
    buf_init(&text, TOKENIZER_MAX_TEXT);
    enum err e = tokenizer_chat_text(t, m, n, add_generation_prompt, &text, why);
    if (e == ERR_OK) {
        e = tokenizer_encode(t, text.data == NULL ? "" : (const char *)text.data, text.len, true,
                             out, why);
    }
    buf_fini(&text);
    return e;
}
