// symbols.c: a table for bytes, and for characters of more than one byte an index of the tokens
// that are a single character.
//
// A subtlety kept from the original tokeniser: an unknown token that waits for its run to end is
// not ended by a character that falls back to bytes, only by one that has a token. Both can happen
// in one word when the vocabulary has tokens for some bytes only.

#include "model/symbols.h"

#include <stdlib.h>
#include <string.h>

#include "model/bytelevel.h"
#include "model/bytetoken.h"
#include "model/token_index.h"
#include "model/utf8.h"

struct symbols {
    enum spec_alphabet alphabet;
    int32_t one[256];      // token of a byte (SPEC_BYTES) or of an ASCII character; -1: none
    int32_t bytes[256];    // "<0x00>" … "<0xFF>"; all -1 without fallback
    int32_t unk;
    bool fuse_unk;
    uint8_t *text;               // what `wide` has its keys in
    struct token_index *wide;    // characters of more than one byte
};

static bool is_single(const uint8_t *text, size_t len)
{
    uint32_t cp;
    size_t bad;
    return utf8_next(text, len, &cp, &bad) == len;
}

static void add_char(struct symbols *s, const struct spec_token *t, uint32_t id)
{
    const uint8_t *text = s->text + t->off;
    if (t->len == 1) {
        s->one[text[0]] = (int32_t)id;
    } else if (is_single(text, t->len)) {
        (void)token_index_add(s->wide, text, t->len, id);
    }
}

static void add_token(struct symbols *s, const struct tokenizer_spec *spec, uint32_t id)
{
    const struct spec_token *t = &spec->tokens[id];
    uint8_t byte[BYTELEVEL_MAX_CHAR];
    size_t n = 0;
    if ((t->flags & SPEC_VOCAB) == 0) {
        return;
    }
    if (s->alphabet == SPEC_CHARS) {
        add_char(s, t, id);
        int value =
            spec->byte_fallback ? bytetoken_value((const char *)s->text + t->off, t->len) : -1;
        if (value >= 0) {
            s->bytes[value] = (int32_t)id;
        }
    } else if (t->len <= sizeof byte &&
               bytelevel_decode((const char *)s->text + t->off, t->len, byte, &n) && n == 1) {
        s->one[byte[0]] = (int32_t)id;
    }
}

enum err symbols_create(const struct tokenizer_spec *spec, struct symbols **out)
{
    struct symbols *s = calloc(1, sizeof *s);
    size_t wide = spec->alphabet == SPEC_CHARS ? spec->n_tokens : 0;
    if (s == NULL || (s->text = malloc(spec->text.len + 1)) == NULL ||
        token_index_create(wide, &s->wide) != ERR_OK) {
        symbols_destroy(s);
        return ERR_NOMEM;
    }
    if (spec->text.len > 0) {
        memcpy(s->text, spec->text.data, spec->text.len);
    }
    s->alphabet = spec->alphabet;
    s->unk = spec->model_unk;
    s->fuse_unk = spec->fuse_unk;
    for (size_t i = 0; i < 256; i++) {
        s->one[i] = s->bytes[i] = -1;
    }
    for (uint32_t id = 0; id < spec->n_tokens; id++) {
        add_token(s, spec, id);
    }
    *out = s;
    return ERR_OK;
}

void symbols_destroy(struct symbols *s)
{
    if (s != NULL) {
        token_index_destroy(s->wide);
        free(s->text);
        free(s);
    }
}

// Bytes of the character at p, and its token or -1.
static size_t next_char(const struct symbols *s, const uint8_t *p, size_t n, int32_t *id)
{
    if (s->alphabet == SPEC_BYTES || p[0] < 0x80) {
        *id = s->one[p[0]];
        return 1;
    }
    uint32_t cp;
    size_t bad, len = utf8_next(p, n, &cp, &bad);
    if (len == 0) {
        *id = -1;
        return 1;
    }
    *id = token_index_find(s->wide, p, len);
    return len;
}

// Tokens of all bytes of a character, if all have one.
static bool fall_back(const struct symbols *s, const uint8_t *p, size_t len, uint32_t *out)
{
    for (size_t i = 0; i < len; i++) {
        if (s->bytes[p[i]] < 0) {
            return false;
        }
        out[i] = (uint32_t)s->bytes[p[i]];
    }
    return true;
}

size_t symbols_of(const struct symbols *s, const uint8_t *word, size_t len, uint32_t *out)
{
    size_t n = 0;
    bool waiting = false;    // an unknown token
    for (size_t i = 0, step; i < len; i += step) {
        int32_t id;
        step = next_char(s, word + i, len - i, &id);
        if (id >= 0) {
            if (waiting) {
                out[n++] = (uint32_t)s->unk;
                waiting = false;
            }
            out[n++] = (uint32_t)id;
        } else if (fall_back(s, word + i, step, out + n)) {
            n += step;
        } else if (s->unk >= 0) {
            if (waiting && !s->fuse_unk) {
                out[n++] = (uint32_t)s->unk;
            }
            waiting = true;
        }
    }
    if (waiting) {
        out[n++] = (uint32_t)s->unk;
    }
    return n;
}
