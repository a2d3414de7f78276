// normalize.c: each step writes the buffer that the one before did not; a step that would change
// nothing writes none. NFC leaves ASCII alone, which is nearly all text.

#include "model/normalize.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void normalize_room_init(struct normalize_room *r)
{
    buf_init(&r->a, 0);
    buf_init(&r->b, 0);
}

void normalize_room_fini(struct normalize_room *r)
{
    buf_fini(&r->a);
    buf_fini(&r->b);
}

static bool is_ascii(const uint8_t *text, size_t len)
{
    size_t i = 0;
    while (i < len && text[i] < 0x80) {
        i++;
    }
    return i == len;
}

static enum err nfc(const uint8_t *text, size_t len, struct buf *out, struct why *why)
{
    utf8proc_uint8_t *normal = NULL;
    utf8proc_ssize_t n = utf8proc_map(text, (utf8proc_ssize_t)len, &normal,
                                      (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (n < 0) {
        return why_set(why, ERR_NOMEM, "normalising %zu bytes of text: %s", len,
                       utf8proc_errmsg(n));
    }
    enum err e = buf_append(out, normal, (size_t)n);
    free(normal);
    return e;
}

static enum err prepend(const struct spec_norm *s, const uint8_t *text, size_t len, struct buf *out)
{
    enum err e = buf_append(out, s->to, strlen(s->to));
    return e == ERR_OK ? buf_append(out, text, len) : e;
}

static enum err replace(const struct spec_norm *s, const uint8_t *text, size_t len, struct buf *out)
{
    size_t from_len = strlen(s->from), to_len = strlen(s->to);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < len;) {
        const uint8_t *hit = memmem(text + i, len - i, s->from, from_len);
        size_t end = hit == NULL ? len : (size_t)(hit - text);
        e = buf_append(out, text + i, end - i);
        if (e == ERR_OK && hit != NULL) {
            e = buf_append(out, s->to, to_len);
        }
        i = end + (hit == NULL ? 0 : from_len);
    }
    return e;
}

// Would the step leave the text as it is?
static bool idle(const struct spec_norm *s, bool begin, const uint8_t *text, size_t len)
{
    switch (s->kind) {
    case SPEC_NFC:
        return is_ascii(text, len);
    case SPEC_PREPEND:
        return !begin || len == 0;
    case SPEC_REPLACE:
        break;
    }
    return memmem(text, len, s->from, strlen(s->from)) == NULL;
}

enum err normalize(const struct spec_norm *norms, size_t n_norms, bool begin, const uint8_t *text,
                   size_t len, struct normalize_room *room, const uint8_t **out, size_t *out_len,
                   struct why *why)
{
    struct buf *to = &room->a, *other = &room->b;
    for (size_t i = 0; i < n_norms; i++) {
        const struct spec_norm *s = &norms[i];
        if (idle(s, begin, text, len)) {
            continue;
        }
        buf_clear(to);
        enum err e = s->kind == SPEC_NFC       ? nfc(text, len, to, why)
                     : s->kind == SPEC_PREPEND ? prepend(s, text, len, to)
                                               : replace(s, text, len, to);
        if (e != ERR_OK) {
            return why_set(why, e, "normalising %zu bytes of text: %s", len, err_text(e));
        }
        text = to->data;
        len = to->len;
        struct buf *last = to;
        to = other;
        other = last;
    }
    *out = text;
    *out_len = len;
    return ERR_OK;
}
