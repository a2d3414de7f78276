// tokenizer_encode.c: from text to ids.
//
//   text ─ added tokens ─ runs of well-formed UTF-8 ─ normalised ─ added tokens that are sought
//   there ─ words (pretokenize.c) ─ one lookup, or symbols and merges (symbols.c, bpe.c) ─ ids
//
// Bytes that are not UTF-8 cannot be split by a regex over characters: each run of them is a word
// of its own, so arbitrary bytes survive a round trip as far as the vocabulary has tokens for them.

#include <string.h>

#include "model/normalize.h"
#include "model/tokenizer_impl.h"
#include "model/utf8.h"

struct encoder {
    const struct tokenizer *t;
    struct token_ids *out;
    struct normalize_room room;
    bool special;    // are special tokens recognised
    struct why *why;
};

// A word that is not one token.
static enum err merge_word(struct encoder *c, const uint8_t *word, size_t len)
{
    enum err e = token_ids_reserve(c->out, len);
    if (e == ERR_OK) {
        uint32_t *ids = c->out->ids + c->out->n;
        size_t n = symbols_of(c->t->symbols, word, len, ids);
        e = bpe_merge(c->t->bpe, ids, &n);
        c->out->n += e == ERR_OK ? n : 0;
    }
    return e;
}

static enum err encode_word(struct encoder *c, const uint8_t *word, size_t len)
{
    int32_t id = token_index_find(c->t->words, word, len);
    enum err e = id >= 0 ? token_ids_push(c->out, (uint32_t)id) : merge_word(c, word, len);
    return e == ERR_OK ? e
                       : why_set(c->why, e, "encoding a word of %zu bytes: %s", len, err_text(e));
}

// Where the next word begins: at a "▁" behind another character.
static size_t next_break(const uint8_t *text, size_t len, size_t start)
{
    static const uint8_t mark[] = SPEC_SPACE_MARK;
    const size_t n = sizeof mark - 1;
    bool other = false;
    for (size_t i = start; i < len;) {
        bool here = text[i] == mark[0] && len - i >= n && memcmp(text + i, mark, n) == 0;
        if (here && other) {
            return i;
        }
        other = other || !here;
        i += here ? n : 1;
    }
    return len;
}

static enum err encode_piece(void *arg, const uint8_t *text, size_t len)
{
    struct encoder *c = arg;
    if (!c->t->breaks) {
        return encode_word(c, text, len);
    }
    enum err e = ERR_OK;
    for (size_t start = 0; e == ERR_OK && start < len;) {
        size_t end = next_break(text, len, start);
        e = encode_word(c, text + start, end - start);
        start = end;
    }
    return e;
}

static enum err put_token(struct encoder *c, uint32_t id)
{
    enum err e = token_ids_push(c->out, id);
    return e == ERR_OK ? e : why_set(c->why, e, "encoding text: %s", err_text(e));
}

static enum err split(struct encoder *c, const uint8_t *text, size_t len, bool at_start)
{
    return pretokenizer_split(c->t->pre, text, len, at_start, encode_piece, c, c->why);
}

// Well-formed text. begin: nothing of its piece comes before it; at_start: nothing at all does.
static enum err encode_run(struct encoder *c, const uint8_t *text, size_t len, bool begin,
                           bool at_start)
{
    const struct tokenizer *t = c->t;
    enum err e = normalize(t->norms, t->n_norms, begin, text, len, &c->room, &text, &len, c->why);
    struct added_walk walk = {.text = text, .len = len};
    struct added_match match;
    size_t start = 0;
    while (e == ERR_OK && t->added_normal != NULL &&
           added_next(t->added_normal, &walk, c->special, &match)) {
        if (match.start > start) {
            e = split(c, text + start, match.start - start, at_start && start == 0);
        }
        e = e == ERR_OK ? put_token(c, match.id) : e;
        start = match.end;
    }
    return e == ERR_OK && start < len ? split(c, text + start, len - start, at_start && start == 0)
                                      : e;
}

// Bytes at the start of text that are no UTF-8.
static size_t malformed_run(const uint8_t *text, size_t len)
{
    size_t n = 0, part = 0;
    for (uint32_t cp; n < len && utf8_next(text + n, len - n, &cp, &part) == 0;) {
        n += part;
    }
    return n;
}

// A piece between added tokens: runs of UTF-8 and, between them, runs of bytes that are none.
static enum err encode_plain(struct encoder *c, const uint8_t *text, size_t len, bool at_start)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < len;) {
        size_t n = utf8_valid_prefix(text + i, len - i);
        if (n > 0) {
            e = encode_run(c, text + i, n, i == 0, at_start && i == 0);
        } else {
            n = malformed_run(text + i, len - i);
            e = encode_word(c, text + i, n);
        }
        i += n;
    }
    return e;
}

static enum err encode_text(struct encoder *c, const uint8_t *text, size_t len)
{
    struct added_walk walk = {.text = text, .len = len};
    struct added_match match;
    enum err e = ERR_OK;
    size_t start = 0;
    while (e == ERR_OK && added_next(c->t->added, &walk, c->special, &match)) {
        if (match.start > start) {
            e = encode_plain(c, text + start, match.start - start, start == 0);
        }
        e = e == ERR_OK ? put_token(c, match.id) : e;
        start = match.end;
    }
    return e == ERR_OK && start < len ? encode_plain(c, text + start, len - start, start == 0) : e;
}

enum err tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                          bool parse_special, struct token_ids *out, struct why *why)
{
    if (len > TOKENIZER_MAX_TEXT) {
        return why_set(why, ERR_LIMIT, "text of %zu bytes, at most %zu", len, TOKENIZER_MAX_TEXT);
    }
    size_t before = out->n;
    struct encoder c = {.t = t, .out = out, .special = parse_special, .why = why};
    normalize_room_init(&c.room);
    enum err e = encode_text(&c, (const uint8_t *)text, len);
    normalize_room_fini(&c.room);
    if (e != ERR_OK) {
        out->n = before;
    }
    return e;
}

static enum err push_all(struct token_ids *out, const uint32_t *ids, size_t n, struct why *why)
{
    enum err e = token_ids_reserve(out, n);
    if (e != ERR_OK) {
        return why_set(why, e, "encoding text: %s", err_text(e));
    }
    if (n > 0) {
        memcpy(out->ids + out->n, ids, n * sizeof *ids);
        out->n += n;
    }
    return ERR_OK;
}

enum err tokenizer_encode_alone(const struct tokenizer *t, const char *text, size_t len,
                                bool parse_special, struct token_ids *out, struct why *why)
{
    size_t before = out->n;
    enum err e = push_all(out, t->prefix, t->n_prefix, why);
    if (e == ERR_OK) {
        e = tokenizer_encode(t, text, len, parse_special, out, why);
    }
    if (e == ERR_OK) {
        e = push_all(out, t->suffix, t->n_suffix, why);
    }
    if (e != ERR_OK) {
        out->n = before;
    }
    return e;
}
