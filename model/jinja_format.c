// jinja_format.c: "%s of %05.2f" % (a, b), the printf-style formatting of Python.
//
// A specification is rebuilt from its checked parts before the C library sees it, with width and
// precision bounded, so no text of a template reaches printf.

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "model/jinja_run.h"

enum { MAX_WIDTH = 1000, MAX_PRECISION = 100 };

struct formatter {
    struct jinja_work *w;
    struct jinja_out out;
    const struct jinja_text *pattern;
    size_t at;
    struct jinja_value args;
    size_t used;    // of a tuple
    bool named;
};

struct spec {
    bool left, zero, plus, blank, alternate;
    int width, precision;    // precision -1: none
    char conversion;
};

static struct jinja_value next_argument(struct formatter *f)
{
    bool tuple = f->args.kind == JINJA_TUPLE;
    if (f->used >= (tuple ? f->args.list->n : 1)) {
        jinja_fail(f->w, ERR_INVALID, "%%: fewer values than the format asks for");
    }
    f->used++;
    return tuple ? f->args.list->items[f->used - 1] : f->args;
}

static char peek(const struct formatter *f)
{
    if (f->at >= f->pattern->len) {
        jinja_fail(f->w, ERR_INVALID, "%%: the format ends inside a conversion");
    }
    return f->pattern->bytes[f->at];
}

static int read_number(struct formatter *f, int max)
{
    int n = 0;
    for (; peek(f) >= '0' && peek(f) <= '9'; f->at++) {
        n = MIN(n * 10 + (peek(f) - '0'), max + 1);
    }
    if (n > max) {
        jinja_fail(f->w, ERR_LIMIT, "%%: a width or precision over %d", max);
    }
    return n;
}

// (name) picks from a dict.
static bool read_name(struct formatter *f, struct jinja_value *out)
{
    if (peek(f) != '(') {
        return false;
    }
    size_t from = ++f->at;
    while (peek(f) != ')') {
        f->at++;
    }
    const struct jinja_text name = {f->pattern->bytes + from, f->at++ - from};
    const struct jinja_value *v =
        f->args.kind == JINJA_DICT ? jinja_dict_named(f->w, f->args.dict, &name) : NULL;
    if (v == NULL) {
        jinja_fail(f->w, ERR_INVALID, "%%: no value named '%.*s'", (int)MIN(name.len, (size_t)80),
                   name.bytes);
    }
    *out = *v;
    f->named = true;
    return true;
}

static void read_spec(struct formatter *f, struct spec *s)
{
    *s = (struct spec){.precision = -1};
    for (bool more = true; more; f->at += more) {
        char c = peek(f);
        s->left = s->left || c == '-';
        s->zero = s->zero || c == '0';
        s->plus = s->plus || c == '+';
        s->blank = s->blank || c == ' ';
        s->alternate = s->alternate || c == '#';
        more = strchr("-0+ #", c) != NULL && c != '\0';
    }
    s->width = read_number(f, MAX_WIDTH);
    if (peek(f) == '.') {
        f->at++;
        s->precision = read_number(f, MAX_PRECISION);
    }
    s->conversion = peek(f);
    f->at++;
}

static void put_text(struct formatter *f, const struct spec *s, struct jinja_text t)
{
    size_t n = jinja_char_count(t.bytes, t.len);
    if (s->precision >= 0 && n > (size_t)s->precision) {
        t.len = jinja_text_offset(f->w, &t, (size_t)s->precision);
        n = (size_t)s->precision;
    }
    size_t pad = (size_t)s->width > n ? (size_t)s->width - n : 0;
    jinja_put(&f->out, t.bytes, s->left ? t.len : 0);
    for (; pad > 0; pad--) {
        jinja_puts(&f->out, " ");
    }
    jinja_put(&f->out, t.bytes, s->left ? 0 : t.len);
}

static void put_number(struct formatter *f, const struct spec *s, struct jinja_value v)
{
    char format[32], text[MAX_WIDTH + MAX_PRECISION + 400];
    bool whole = strchr("dixXo", s->conversion) != NULL;
    int64_t x = 0;
    if (!jinja_is_number(v) || (whole && v.kind == JINJA_FLOAT && strchr("xXo", s->conversion))) {
        jinja_fail(f->w, ERR_INVALID, "%%%c of a %s", s->conversion, jinja_type(v));
    }
    if (whole && !jinja_is_whole(v, &x)) {
        if (!(v.real > -0x1p63 && v.real < 0x1p63)) {
            jinja_fail(f->w, ERR_INVALID, "%%%c of a float that is no integer", s->conversion);
        }
        x = (int64_t)v.real;
    }
    if (strchr("xXo", s->conversion) != NULL && (x < 0 || s->alternate)) {
        jinja_fail(f->w, ERR_UNSUPPORTED, "%%%c of a negative number, or with #, is not supported",
                   s->conversion);
    }
    (void)snprintf(format, sizeof format, "%%%s%s%s%s%s*.*%s%c", s->left ? "-" : "",
                   s->zero ? "0" : "", s->plus ? "+" : "", s->blank ? " " : "",
                   s->alternate ? "#" : "", whole ? "j" : "", s->conversion);
    int n = whole ? snprintf(text, sizeof text, format, s->width, s->precision, (intmax_t)x)
                  : snprintf(text, sizeof text, format, s->width, s->precision, jinja_as_real(v));
    jinja_put(&f->out, text, MIN((size_t)MAX(n, 0), sizeof text - 1));
}

static void put_conversion(struct formatter *f)
{
    struct spec s;
    struct jinja_value v = jinja_none();
    bool named = read_name(f, &v);
    read_spec(f, &s);
    if (s.conversion == '%') {
        jinja_puts(&f->out, "%");
        return;
    }
    v = named ? v : next_argument(f);
    if (s.conversion == 's') {
        put_text(f, &s, *jinja_str(f->w, v));
    } else if (s.conversion == 'r') {
        struct jinja_out repr = {.w = f->w};
        jinja_put_repr(&repr, v);
        put_text(f, &s, *jinja_out_take(&repr).text);
    } else if (strchr("dixXofFeEgG", s.conversion) != NULL && s.conversion != '\0') {
        put_number(f, &s, v);
    } else {
        jinja_fail(f->w, ERR_UNSUPPORTED, "the conversion %%%c is not supported", s.conversion);
    }
}

struct jinja_value jinja_format(struct jinja_work *w, const struct jinja_text *pattern,
                                struct jinja_value args)
{
    struct formatter f = {.w = w, .out = {.w = w}, .pattern = pattern, .args = args};
    while (f.at < pattern->len) {
        const char *p = memchr(pattern->bytes + f.at, '%', pattern->len - f.at);
        size_t to = p == NULL ? pattern->len : (size_t)(p - pattern->bytes);
        jinja_put(&f.out, pattern->bytes + f.at, to - f.at);
        f.at = to;
        if (p != NULL) {
            f.at++;
            put_conversion(&f);
        }
    }
    bool over = args.kind == JINJA_TUPLE ? f.used < args.list->n
                                         : f.used == 0 && !f.named && args.kind != JINJA_DICT &&
                                               args.kind != JINJA_LIST && args.kind != JINJA_RANGE;
    if (over) {
        jinja_fail(w, ERR_INVALID, "%%: more values than the format asks for");
    }
    return jinja_out_take(&f.out);
}
