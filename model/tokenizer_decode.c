// tokenizer_decode.c: from ids to text, one id at a time. Decoding a list is pushing its ids and
// finishing, so a text that grows and a text that is there at once cannot differ.
//
// What may not be shown yet waits in `pending`. Byte-level tokens: the first bytes of a character,
// at most three. Byte tokens of SentencePiece ("<0xE2>"): all of their run, since the original
// tokeniser looks at the run as a whole, and one wrong byte makes all of it U+FFFD.

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/bytetoken.h"
#include "model/tokenizer_impl.h"
#include "model/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD"

struct token_stream {
    const struct tokenizer *t;
    bool skip_special;
    bool raw;          // bytes as they are, nothing repaired
    bool begun;        // a token has been
    uint32_t strip;    // blanks still to be taken from the start
    struct buf pending;
};

static void stream_init(struct token_stream *s, const struct tokenizer *t, bool skip_special,
                        bool raw)
{
    *s = (struct token_stream){
        .t = t, .skip_special = skip_special, .raw = raw, .strip = t->decoder.strip};
    buf_init(&s->pending, TOKENIZER_MAX_TEXT);
}

// ---- byte-level tokens ----

// Hands on what is complete in `pending`; all of it, repaired, when nothing more will come.
static enum err flush_chars(struct token_stream *s, bool all, struct buf *out)
{
    const uint8_t *p = s->pending.data;
    size_t n = s->pending.len, i = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && i < n) {
        size_t valid = s->raw ? n - i : utf8_valid_prefix(p + i, n - i), bad = 0;
        e = buf_append(out, p + i, valid);
        i += valid;
        if (e != ERR_OK || i == n || (!all && utf8_is_cut(p + i, n - i))) {
            break;
        }
        uint32_t cp;
        (void)utf8_next(p + i, n - i, &cp, &bad);
        e = buf_append(out, REPLACEMENT, sizeof REPLACEMENT - 1);
        i += bad;
    }
    if (e == ERR_OK && i > 0) {
        memmove(s->pending.data, p + i, n - i);
        s->pending.len = n - i;
    }
    return e;
}

// ---- tokens of characters ----

// Text behind all repairs: blanks at its start may have to go.
static enum err put_text(struct token_stream *s, const void *text, size_t len, struct buf *out)
{
    const uint8_t *p = text;
    while (s->strip > 0 && len > 0) {
        if (*p != ' ') {
            s->strip = 0;
            break;
        }
        s->strip--;
        p++;
        len--;
    }
    return buf_append(out, p, len);
}

// A run of byte tokens is over.
static enum err flush_bytes(struct token_stream *s, struct buf *out)
{
    size_t n = s->pending.len;
    enum err e = ERR_OK;
    if (n == 0) {
        return ERR_OK;
    }
    if (s->raw || utf8_valid_prefix(s->pending.data, n) == n) {
        e = put_text(s, s->pending.data, n, out);
    } else {
        for (size_t i = 0; e == ERR_OK && i < n; i++) {
            e = put_text(s, REPLACEMENT, sizeof REPLACEMENT - 1, out);
        }
    }
    buf_clear(&s->pending);
    return e;
}

// The token's text, with `from` replaced.
static enum err put_token(struct token_stream *s, const uint8_t *text, size_t len, bool first,
                          struct buf *out)
{
    const struct spec_decoder *d = &s->t->decoder;
    size_t from = strlen(d->from), to = first && d->first_bare ? 0 : strlen(d->to);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < len;) {
        const uint8_t *hit = from == 0 ? NULL : memmem(text + i, len - i, d->from, from);
        size_t end = hit == NULL ? len : (size_t)(hit - text);
        e = put_text(s, text + i, end - i, out);
        if (e == ERR_OK && hit != NULL) {
            e = put_text(s, d->to, to, out);
        }
        i = end + (hit == NULL ? 0 : from);
    }
    return e;
}

static enum err push_chars(struct token_stream *s, const struct spec_token *k, struct buf *out)
{
    const uint8_t *text = s->t->bytes + k->off;
    int byte = s->t->decoder.byte_fallback ? bytetoken_value((const char *)text, k->len) : -1;
    bool first = !s->begun;
    s->begun = true;
    if (byte >= 0) {
        return buf_append(&s->pending, &(uint8_t){(uint8_t)byte}, 1);
    }
    enum err e = flush_bytes(s, out);
    return e == ERR_OK ? put_token(s, text, k->len, first, out) : e;
}

// ---- both ----

static enum err push_bytes(struct token_stream *s, const struct spec_token *k, struct buf *out)
{
    enum err e = buf_append(&s->pending, s->t->bytes + k->off, k->len);
    return e == ERR_OK ? flush_chars(s, false, out) : e;
}

enum err token_stream_push(struct token_stream *s, uint32_t id, struct buf *out, struct why *why)
{
    if (id >= s->t->n_tokens) {
        return why_set(why, ERR_INVALID, "token id %" PRIu32 " is not in 0..%zu", id,
                       s->t->n_tokens - 1);
    }
    const struct spec_token *k = &s->t->tokens[id];
    if ((k->flags & SPEC_PRESENT) == 0 || (s->skip_special && (k->flags & SPEC_SPECIAL) != 0)) {
        return ERR_OK;
    }
    size_t before = out->len;
    enum err e = s->t->alphabet == SPEC_BYTES ? push_bytes(s, k, out) : push_chars(s, k, out);
    if (e != ERR_OK) {
        out->len = before;
        return why_set(why, e, "decoding token id %" PRIu32 ": %s", id, err_text(e));
    }
    return ERR_OK;
}

enum err token_stream_finish(struct token_stream *s, struct buf *out, struct why *why)
{
    size_t before = out->len;
    enum err e = s->t->alphabet == SPEC_BYTES ? flush_chars(s, true, out) : flush_bytes(s, out);
    buf_clear(&s->pending);
    s->begun = false;
    s->strip = s->t->decoder.strip;
    if (e != ERR_OK) {
        out->len = before;
        return why_set(why, e, "decoding the last tokens: %s", err_text(e));
    }
    return ERR_OK;
}

enum err token_stream_create(const struct tokenizer *t, bool skip_special,
                             struct token_stream **out)
{
    struct token_stream *s = malloc(sizeof *s);
    if (s == NULL) {
        return ERR_NOMEM;
    }
    stream_init(s, t, skip_special, false);
    *out = s;
    return ERR_OK;
}

void token_stream_destroy(struct token_stream *s)
{
    if (s != NULL) {
        buf_fini(&s->pending);
        free(s);
    }
}

static enum err decode_all(struct token_stream *s, const uint32_t *ids, size_t n, struct buf *out,
                           struct why *why)
{
    size_t before = out->len;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        e = token_stream_push(s, ids[i], out, why);
        if (e == ERR_INVALID) {
            e = why_set(why, e, "token id %" PRIu32 " (number %zu) is not in 0..%zu", ids[i], i,
                        s->t->n_tokens - 1);
        }
    }
    if (e == ERR_OK) {
        e = token_stream_finish(s, out, why);
    }
    if (e != ERR_OK) {
        out->len = before;
    }
    buf_fini(&s->pending);
    return e;
}

enum err tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t n,
                          bool skip_special, struct buf *out, struct why *why)
{
    struct token_stream s;
    stream_init(&s, t, skip_special, false);
    return decode_all(&s, ids, n, out, why);
}

enum err tokenizer_decode_bytes(const struct tokenizer *t, const uint32_t *ids, size_t n,
                                bool skip_special, struct buf *out, struct why *why)
{
    struct token_stream s;
    stream_init(&s, t, skip_special, true);
    return decode_all(&s, ids, n, out, why);
}
