// tokenizer.c: text to ids and back.
//
//   text ─ added tokens (longest match) ─ runs of well-formed UTF-8 ─ NFC
//        ─ words (pretokenize.c) ─ merges (bpe.c) ─ ids
//
// A word that is itself a token is by far the most common case. Whether merging would arrive at
// that token is a property of the vocabulary, so it is worked out once per token at creation and
// kept in an index: such words cost one lookup and no merging, with nothing cached at run time and
// therefore nothing to lock.
//
// Bytes that are not UTF-8 cannot be split by a regex over characters: each run of them is a word
// of its own, so arbitrary bytes survive a round trip as far as the vocabulary has tokens for them.

#include "model/tokenizer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/bpe.h"
#include "model/chat.h"
#include "model/pretokenize.h"
#include "model/token_index.h"
#include "model/tokenizer_spec.h"
#include "model/utf8.h"

#define MAX_TEXT_BYTES ((size_t)256 << 20)    // of one call
#define NO_NODE UINT32_MAX

// Added tokens as a trie of bytes; node 0 is the root.
struct node {
    uint32_t child, sibling;    // NO_NODE = none
    int32_t id;                 // token that ends here, or -1
    uint8_t byte;
};

struct tokenizer {
    uint8_t *bytes;    // all tokens, one after the other
    struct spec_token *tokens;
    size_t n_tokens;
    struct token_index *words;    // words that become one token
    struct bpe *bpe;
    struct pretokenizer *pre;
    struct node *nodes;
    size_t n_nodes, cap_nodes;
    bool first[256];    // bytes that an added token can start with
    bool nfc;
    struct chat_template *chat;    // NULL: chat_err and chat_why say why
    enum err chat_err;
    struct why chat_why;
    uint32_t stop[SPEC_MAX_STOP];
    size_t n_stop;
};

void token_ids_fini(struct token_ids *t)
{
    free(t->ids);
    *t = (struct token_ids){0};
}

// ---- added tokens ----

static enum err add_node(struct tokenizer *t, uint8_t byte, uint32_t *out)
{
    if (t->n_nodes == t->cap_nodes) {
        size_t cap = t->cap_nodes == 0 ? 256 : t->cap_nodes * 2;
        struct node *nodes = realloc(t->nodes, cap * sizeof *nodes);
        if (nodes == NULL) {
            return ERR_NOMEM;
        }
        t->nodes = nodes;
        t->cap_nodes = cap;
    }
    *out = (uint32_t)t->n_nodes;
    t->nodes[t->n_nodes++] = (struct node){NO_NODE, NO_NODE, -1, byte};
    return ERR_OK;
}

static uint32_t find_child(const struct tokenizer *t, uint32_t node, uint8_t byte)
{
    uint32_t child = t->nodes[node].child;
    while (child != NO_NODE && t->nodes[child].byte != byte) {
        child = t->nodes[child].sibling;
    }
    return child;
}

static enum err add_added(struct tokenizer *t, uint32_t id)
{
    uint32_t node = 0;
    const uint8_t *bytes = t->bytes + t->tokens[id].off;
    for (uint32_t i = 0; i < t->tokens[id].len; i++) {
        uint32_t child = find_child(t, node, bytes[i]);
        if (child == NO_NODE) {
            enum err e = add_node(t, bytes[i], &child);
            if (e != ERR_OK) {
                return e;
            }
            t->nodes[child].sibling = t->nodes[node].child;
            t->nodes[node].child = child;
        }
        node = child;
    }
    t->first[bytes[0]] = true;
    t->nodes[node].id = (int32_t)id;
    return ERR_OK;
}

// The longest added token at p, or -1.
static int32_t match_added(const struct tokenizer *t, const uint8_t *p, size_t n, bool special)
{
    int32_t best = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = find_child(t, node, p[i]);
        if (node == NO_NODE) {
            break;
        }
        int32_t id = t->nodes[node].id;
        if (id >= 0 && (special || (t->tokens[id].flags & SPEC_SPECIAL) == 0)) {
            best = id;
        }
    }
    return best;
}

// ---- creation ----

static enum err copy_tokens(struct tokenizer *t, const struct tokenizer_spec *s)
{
    t->bytes = malloc(s->text.len + 1);
    t->tokens = malloc((s->n_tokens + 1) * sizeof *t->tokens);
    if (t->bytes == NULL || t->tokens == NULL) {
        return ERR_NOMEM;
    }
    if (s->n_tokens > 0 && s->text.len > 0) {
        memcpy(t->bytes, s->text.data, s->text.len);
        memcpy(t->tokens, s->tokens, s->n_tokens * sizeof *t->tokens);
        t->n_tokens = s->n_tokens;
    }
    t->nfc = s->nfc;
    memcpy(t->stop, s->stop, sizeof t->stop);
    t->n_stop = s->n_stop;
    return ERR_OK;
}

static enum err create_bpe(struct tokenizer *t, const struct tokenizer_spec *s)
{
    int32_t byte_ids[256];
    for (int i = 0; i < 256; i++) {
        byte_ids[i] = -1;
    }
    for (size_t id = 0; id < t->n_tokens; id++) {
        const struct spec_token *k = &t->tokens[id];
        if (k->len == 1 && (k->flags & (SPEC_VOCAB | SPEC_LITERAL)) == SPEC_VOCAB) {
            byte_ids[t->bytes[k->off]] = (int32_t)id;
        }
    }
    return bpe_create(s->merges, s->n_merges, byte_ids, &t->bpe);
}

// Is the word of this token's bytes that one token?
static enum err becomes_itself(const struct tokenizer *t, uint32_t id, struct token_ids *scratch,
                               bool *yes)
{
    scratch->n = 0;
    enum err e = bpe_encode(t->bpe, t->bytes + t->tokens[id].off, t->tokens[id].len, scratch);
    *yes = scratch->n == 1 && scratch->ids[0] == id;
    return e;
}

static enum err create_words(struct tokenizer *t, const struct tokenizer_spec *s)
{
    enum err e = token_index_create(t->n_tokens, &t->words);
    struct token_ids scratch = {0};
    for (uint32_t id = 0; e == ERR_OK && id < t->n_tokens; id++) {
        const struct spec_token *k = &t->tokens[id];
        bool one = s->ignore_merges;
        if ((k->flags & (SPEC_VOCAB | SPEC_LITERAL)) != SPEC_VOCAB) {
            continue;
        }
        if (!one) {
            e = becomes_itself(t, id, &scratch, &one);
        }
        if (one) {
            (void)token_index_add(t->words, t->bytes + k->off, k->len, id);
        }
    }
    token_ids_fini(&scratch);
    return e;
}

static enum err create_trie(struct tokenizer *t)
{
    uint32_t root;
    enum err e = add_node(t, 0, &root);
    for (uint32_t id = 0; e == ERR_OK && id < t->n_tokens; id++) {
        if ((t->tokens[id].flags & SPEC_ADDED) != 0) {
            e = add_added(t, id);
        }
    }
    return e;
}

// NULL for a token that there is not.
static const char *token_text(const struct tokenizer *t, int32_t id,
                              char out[SPEC_MAX_TOKEN_BYTES + 1])
{
    if (id < 0 || (size_t)id >= t->n_tokens) {
        return NULL;
    }
    const struct spec_token *k = &t->tokens[id];
    memcpy(out, t->bytes + k->off, k->len);
    out[k->len] = '\0';
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
        token_text(t, s->bos_id, texts[0]), token_text(t, s->eos_id, texts[1]),
        token_text(t, s->pad_id, texts[2]), token_text(t, s->unk_id, texts[3])};
    t->chat_err = chat_template_create(s->chat_template, s->chat_template_len, "chat template",
                                       &tokens, &t->chat, &t->chat_why);
    if (t->chat_err != ERR_OK) {
        return t->chat_err == ERR_NOMEM ? why_set(why, ERR_NOMEM, "%s", t->chat_why.text) : ERR_OK;
    }
    const char *end = chat_template_end_of_turn(t->chat);
    int32_t id = end == NULL ? -1 : match_added(t, (const uint8_t *)end, strlen(end), true);
    bool known = id < 0 || (t->tokens[id].flags & SPEC_SPECIAL) == 0;
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
        e = create_words(t, s);
    }
    if (e == ERR_OK) {
        e = create_trie(t);
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
    free(t->nodes);
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

// ---- encoding ----

struct encoder {
    const struct tokenizer *t;
    struct token_ids *out;
    struct why *why;
};

static enum err encode_word(void *arg, const uint8_t *word, size_t len)
{
    struct encoder *c = arg;
    int32_t id = token_index_find(c->t->words, word, len);
    enum err e =
        id >= 0 ? token_ids_push(c->out, (uint32_t)id) : bpe_encode(c->t->bpe, word, len, c->out);
    return e == ERR_OK ? e
                       : why_set(c->why, e, "encoding a word of %zu bytes: %s", len, err_text(e));
}

static enum err encode_run(struct encoder *c, const uint8_t *text, size_t len)
{
    size_t ascii = 0;
    while (ascii < len && text[ascii] < 0x80) {
        ascii++;
    }
    if (!c->t->nfc || ascii == len) {
        return pretokenizer_split(c->t->pre, text, len, encode_word, c, c->why);
    }
    utf8proc_uint8_t *normal = NULL;
    utf8proc_ssize_t n = utf8proc_map(text, (utf8proc_ssize_t)len, &normal,
                                      (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (n < 0) {
        return why_set(c->why, ERR_NOMEM, "normalising %zu bytes of text: %s", len,
                       utf8proc_errmsg(n));
    }
    enum err e = pretokenizer_split(c->t->pre, normal, (size_t)n, encode_word, c, c->why);
    free(normal);
    return e;
}

// Text without added tokens: runs of UTF-8 and, between them, runs of bytes that are none.
static enum err encode_plain(struct encoder *c, const uint8_t *text, size_t len)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < len;) {
        size_t valid = utf8_valid_prefix(text + i, len - i), bad = 0;
        if (valid > 0) {
            e = encode_run(c, text + i, valid);
            i += valid;
            continue;
        }
        for (uint32_t cp; i + bad < len;) {
            size_t part = 0;
            if (utf8_next(text + i + bad, len - i - bad, &cp, &part) > 0) {
                break;
            }
            bad += part;
        }
        e = encode_word(c, text + i, bad);
        i += bad;
    }
    return e;
}

static enum err encode_text(struct encoder *c, const uint8_t *text, size_t len, bool special)
{
    size_t start = 0;
    for (size_t i = 0; i < len;) {
        int32_t id = c->t->first[text[i]] ? match_added(c->t, text + i, len - i, special) : -1;
        if (id < 0) {
            i++;
            continue;
        }
        enum err e = encode_plain(c, text + start, i - start);
        if (e == ERR_OK && (e = token_ids_push(c->out, (uint32_t)id)) != ERR_OK) {
            e = why_set(c->why, e, "encoding %zu bytes of text: %s", len, err_text(e));
        }
        if (e != ERR_OK) {
            return e;
        }
        i += c->t->tokens[id].len;
        start = i;
    }
    return encode_plain(c, text + start, len - start);
}

enum err tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                          bool parse_special, struct token_ids *out, struct why *why)
{
    if (len > MAX_TEXT_BYTES) {
        return why_set(why, ERR_LIMIT, "text of %zu bytes, at most %zu", len, MAX_TEXT_BYTES);
    }
    size_t before = out->n;
    struct encoder c = {t, out, why};
    enum err e = encode_text(&c, (const uint8_t *)text, len, parse_special);
    if (e != ERR_OK) {
        out->n = before;
    }
    return e;
}

// ---- decoding ----

enum err tokenizer_decode_bytes(const struct tokenizer *t, const uint32_t *ids, size_t n,
                                bool skip_special, struct buf *out, struct why *why)
{
    size_t before = out->len;
    for (size_t i = 0; i < n; i++) {
        enum err e;
        if (ids[i] >= t->n_tokens) {
            e = why_set(why, ERR_INVALID, "token id %" PRIu32 " (number %zu) is not in 0..%zu",
                        ids[i], i, t->n_tokens - 1);
        } else if (skip_special && (t->tokens[ids[i]].flags & SPEC_SPECIAL) != 0) {
            continue;
        } else {
            const struct spec_token *k = &t->tokens[ids[i]];
            e = buf_append(out, t->bytes + k->off, k->len);
            if (e != ERR_OK) {
                e = why_set(why, e, "decoding %zu tokens: %s", n, err_text(e));
            }
        }
        if (e != ERR_OK) {
            out->len = before;
            return e;
        }
    }
    return ERR_OK;
}

enum err tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t n,
                          bool skip_special, struct buf *out, struct why *why)
{
    struct buf raw;
    buf_init(&raw, out->max);
    enum err e = tokenizer_decode_bytes(t, ids, n, skip_special, &raw, why);
    size_t before = out->len;
    for (size_t i = 0; e == ERR_OK && i < raw.len;) {
        size_t valid = utf8_valid_prefix(raw.data + i, raw.len - i), bad = 0;
        e = buf_append(out, raw.data + i, valid);
        i += valid;
        if (e == ERR_OK && i < raw.len) {
            uint32_t cp;
            (void)utf8_next(raw.data + i, raw.len - i, &cp, &bad);
            e = buf_append(out, "\xEF\xBF\xBD", 3);
            i += bad;
        }
        if (e != ERR_OK) {
            e = why_set(why, e, "decoding %zu tokens: %s", n, err_text(e));
        }
    }
    if (e != ERR_OK) {
        out->len = before;
    }
    buf_fini(&raw);
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
    buf_init(&text, MAX_TEXT_BYTES);
    enum err e = tokenizer_chat_text(t, m, n, add_generation_prompt, &text, why);
    if (e == ERR_OK) {
        e = tokenizer_encode(t, text.data == NULL ? "" : (const char *)text.data, text.len, true,
                             out, why);
    }
    buf_fini(&text);
    return e;
}
