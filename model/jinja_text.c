// jinja_text.c: texts cut and searched, and values written as Python's str() and repr() write them.

#include "model/jinja_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/jinja_run.h"

// ---- cutting and searching ----

static bool is_stripped(struct jinja_work *w, const struct jinja_text *chars, const char *p,
                        size_t n, uint32_t cp)
{
    if (chars == NULL) {
        return jinja_is_space(cp);
    }
    jinja_scan(w, chars->len);
    for (size_t i = 0; i < chars->len;) {
        uint32_t each;
        size_t len = jinja_char(chars->bytes + i, chars->len - i, &each);
        if (len == n && memcmp(chars->bytes + i, p, n) == 0) {
            return true;
        }
        i += len;
    }
    return false;
}

struct jinja_text jinja_strip(struct jinja_work *w, struct jinja_text t,
                              const struct jinja_text *chars, bool left, bool right)
{
    uint32_t cp;
    jinja_scan(w, t.len);
    while (left && t.len > 0) {
        size_t n = jinja_char(t.bytes, t.len, &cp);
        if (!is_stripped(w, chars, t.bytes, n, cp)) {
            break;
        }
        jinja_step(w, chars != NULL);
        t.bytes += n;
        t.len -= n;
    }
    while (right && t.len > 0) {
        size_t n = jinja_char_before(t.bytes, t.len, &cp);
        if (!is_stripped(w, chars, t.bytes + t.len - n, n, cp)) {
            break;
        }
        jinja_step(w, chars != NULL);
        t.len -= n;
    }
    return t;
}

bool jinja_text_equal(const struct jinja_text *a, const struct jinja_text *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

bool jinja_text_is(const struct jinja_text *t, const char *s)
{
    return t->len == strlen(s) && memcmp(t->bytes, s, t->len) == 0;
}

int jinja_text_compare(const struct jinja_text *a, const struct jinja_text *b)
{
    size_t n = MIN(a->len, b->len);
    int c = n == 0 ? 0 : memcmp(a->bytes, b->bytes, n);
    return c != 0 ? (c > 0) - (c < 0) : (a->len > b->len) - (a->len < b->len);
}

size_t jinja_text_find(struct jinja_work *w, const struct jinja_text *t,
                       const struct jinja_text *what, size_t from)
{
    if (what->len > t->len || from > t->len - what->len) {
        return t->len + 1;
    }
    if (what->len == 0) {
        return from;
    }
    const char *p = memmem(t->bytes + from, t->len - from, what->bytes, what->len);
    size_t at = p == NULL ? t->len + 1 : (size_t)(p - t->bytes);
    jinja_scan(w, what->len + MIN(at, t->len) - from);
    return at;
}

size_t jinja_text_offset(struct jinja_work *w, const struct jinja_text *t, size_t index)
{
    size_t at = 0;
    uint32_t cp;
    for (; index > 0 && at < t->len; index--) {
        at += jinja_char(t->bytes + at, t->len - at, &cp);
    }
    jinja_scan(w, at);
    return at;
}

// ---- building ----

void jinja_put(struct jinja_out *out, const char *bytes, size_t len)
{
    if (out->max > 0 && len > out->max - out->len) {
        jinja_fail(out->w, ERR_LIMIT, "more than %zu bytes of output", out->max);
    }
    if (len > out->cap - out->len) {
        size_t cap = MAX(MAX(2 * out->cap, out->len + len), (size_t)64);
        char *grown = jinja_alloc(out->w, cap);
        if (out->len > 0) {
            memcpy(grown, out->bytes, out->len);
        }
        out->bytes = grown;
        out->cap = cap;
    }
    if (len > 0) {
        memcpy(out->bytes + out->len, bytes, len);
    }
    out->len += len;
    jinja_scan(out->w, len);
}

void jinja_puts(struct jinja_out *out, const char *s)
{
    jinja_put(out, s, strlen(s));
}

void jinja_putf(struct jinja_out *out, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    jinja_put(out, text, MIN((size_t)MAX(n, 0), sizeof text - 1));
}

void jinja_put_char(struct jinja_out *out, uint32_t cp)
{
    utf8proc_uint8_t bytes[4];
    if (cp >= JINJA_RAW) {
        bytes[0] = (utf8proc_uint8_t)(cp - JINJA_RAW);
        jinja_put(out, (const char *)bytes, 1);
    } else {
        utf8proc_ssize_t n = utf8proc_encode_char((utf8proc_int32_t)cp, bytes);
        jinja_put(out, (const char *)bytes, (size_t)n);
    }
}

struct jinja_value jinja_out_take(struct jinja_out *out)
{
    struct jinja_value v = jinja_borrow(out->w, out->bytes, out->len);
    *out = (struct jinja_out){.w = out->w, .max = out->max};
    return v;
}

// ---- str and repr ----

// The fewest digits that read back to x; exponents from 1e16 and below 1e-4, as Python has it.
void jinja_put_float(struct jinja_out *out, double x)
{
    char digits[40], number[64];
    if (!isfinite(x)) {
        jinja_puts(out, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 0;
    do {
        (void)snprintf(digits, sizeof digits, "%.*e", precision, x);
    } while (strtod(digits, NULL) != x && ++precision < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        jinja_puts(out, digits);    // two digits of exponent at least, as in C
    } else {
        (void)snprintf(number, sizeof number, "%.*f", MAX(precision - exponent, 1), x);
        jinja_puts(out, number);
    }
}

static void put_text_repr(struct jinja_out *out, const struct jinja_text *t)
{
    bool single = t->len > 0 && memchr(t->bytes, '\'', t->len) != NULL;
    bool twice = t->len > 0 && memchr(t->bytes, '"', t->len) != NULL;
    char quote = single && !twice ? '"' : '\'';
    jinja_put(out, &quote, 1);
    for (size_t i = 0; i < t->len;) {
        uint32_t cp;
        size_t n = jinja_char(t->bytes + i, t->len - i, &cp);
        if (cp == (uint32_t)quote || cp == '\\') {
            jinja_putf(out, "\\%c", (int)cp);
        } else if (cp == '\n' || cp == '\r' || cp == '\t') {
            jinja_puts(out, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
        } else if (jinja_is_printable(cp)) {
            jinja_put(out, t->bytes + i, n);
        } else if (cp >= JINJA_RAW) {
            jinja_putf(out, "\\udc%02x", cp - JINJA_RAW);    // as surrogateescape decodes it
        } else {
            jinja_putf(out,
                       cp < 0x100     ? "\\x%02" PRIx32
                       : cp < 0x10000 ? "\\u%04" PRIx32
                                      : "\\U%08" PRIx32,
                       cp);
        }
        i += n;
    }
    jinja_put(out, &quote, 1);
}

static void put_items(struct jinja_out *out, const struct jinja_list *list, const char *open,
                      const char *close)
{
    jinja_puts(out, open);
    for (size_t i = 0; i < list->n; i++) {
        jinja_puts(out, i == 0 ? "" : ", ");
        jinja_put_repr(out, list->items[i]);
    }
    jinja_puts(out, close);
}

static void put_entries(struct jinja_out *out, const struct jinja_dict *dict)
{
    jinja_puts(out, "{");
    for (size_t i = 0; i < dict->n; i++) {
        jinja_puts(out, i == 0 ? "" : ", ");
        jinja_put_repr(out, dict->entries[i].key);
        jinja_puts(out, ": ");
        jinja_put_repr(out, dict->entries[i].value);
    }
    jinja_puts(out, "}");
}

static void put_row(struct jinja_out *out, struct jinja_value v)
{
    switch (v.kind) {
    case JINJA_RANGE:
        jinja_putf(out,
                   v.list->step == 1 ? "range(%" PRId64 ", %" PRId64 ")"
                                     : "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")",
                   v.list->start, v.list->stop, v.list->step);
        break;
    case JINJA_TUPLE:
        put_items(out, v.list, "(", v.list->n == 1 ? ",)" : ")");
        break;
    case JINJA_VIEW:
        jinja_puts(out, v.list->type);
        put_items(out, v.list, "([", "])");
        break;
    case JINJA_LIST:
        put_items(out, v.list, "[", "]");
        break;
    default:
        jinja_fail(out->w, ERR_UNSUPPORTED,
                   "a %s as text is not supported: it would print an address; make it a list first",
                   v.list->type);
    }
}

void jinja_put_repr(struct jinja_out *out, struct jinja_value v)
{
    jinja_enter(out->w);
    jinja_step(out->w, 1);
    switch (v.kind) {
    case JINJA_ABSENT:
    case JINJA_UNDEFINED:
        jinja_puts(out, "Undefined");
        break;
    case JINJA_NONE:
        jinja_puts(out, "None");
        break;
    case JINJA_BOOL:
        jinja_puts(out, v.truth ? "True" : "False");
        break;
    case JINJA_INT:
        jinja_putf(out, "%" PRId64, v.integer);
        break;
    case JINJA_FLOAT:
        jinja_put_float(out, v.real);
        break;
    case JINJA_TEXT:
        put_text_repr(out, v.text);
        break;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW:
    case JINJA_ITER:
        put_row(out, v);
        break;
    case JINJA_DICT:
        put_entries(out, v.dict);
        break;
    case JINJA_NAMESPACE:
        jinja_puts(out, "<Namespace ");
        put_entries(out, v.dict);
        jinja_puts(out, ">");
        break;
    case JINJA_LOOP:
        jinja_putf(out, "<LoopContext %zu/%zu>", v.loop->at + 1, v.loop->items->n);
        break;
    case JINJA_MACRO:
    case JINJA_METHOD:
    case JINJA_FUNCTION:
        jinja_fail(out->w, ERR_UNSUPPORTED, "a %s as text is not supported", jinja_type(v));
    }
    jinja_leave(out->w);
}

void jinja_put_value(struct jinja_out *out, struct jinja_value v)
{
    if (v.kind == JINJA_TEXT) {
        jinja_put(out, v.text->bytes, v.text->len);
    } else if (v.kind != JINJA_UNDEFINED) {
        jinja_put_repr(out, v);
    }
}

const struct jinja_text *jinja_str(struct jinja_work *w, struct jinja_value v)
{
    if (v.kind == JINJA_TEXT) {
        return v.text;
    }
    struct jinja_out out = {.w = w};
    jinja_put_value(&out, v);
    return jinja_out_take(&out).text;
}
