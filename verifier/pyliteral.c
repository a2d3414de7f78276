// pyliteral.c: one pass, with the open containers on a stack of fixed depth.
//
// A container is attached to its parent when it opens, so the root owns everything at every moment
// and one cleanup frees it whatever happens. Lone surrogates (which JSON text cannot hold) become
// U+FFFD. Integers beyond 64 bits become reals.
#include "verifier/pyliteral.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "common/json.h"

struct frame {
    json_t *container;
    char close;
    bool is_dict, has_comma;
    size_t n;           // members so far
    const char *key;    // of the value that comes next; NULL: a key comes next
};

struct reader {
    struct scratch *scratch;
    const char *s, *where;
    size_t at, len;
    json_t *root;
    struct frame stack[JSON_MAX_DEPTH];
    size_t depth;
};

static _Noreturn void refuse(const struct reader *r, const char *what)
{
    scratch_fail(r->scratch, ERR_INVALID, "%s: neither JSON nor a Python literal: %s at byte %zu",
                 r->where, what, r->at);
}

static int peek(const struct reader *r, size_t ahead)
{
    return r->at + ahead < r->len ? (unsigned char)r->s[r->at + ahead] : -1;
}

static void skip_blanks(struct reader *r)
{
    while (peek(r, 0) == ' ' || (peek(r, 0) >= '\t' && peek(r, 0) <= '\r')) {
        r->at++;
    }
}

static void free_root(void *arg)
{
    json_decref(((struct reader *)arg)->root);
}

static void attach(struct reader *r, json_t *v)
{
    int rc = v ? 0 : -1;
    if (r->depth == 0) {
        r->root = v;
    } else if (v) {
        struct frame *f = &r->stack[r->depth - 1];
        rc = f->is_dict ? json_object_set_new(f->container, f->key, v)
                        : json_array_append_new(f->container, v);
        f->key = NULL;
        f->n++;
    }
    if (rc != 0) {
        scratch_fail(r->scratch, ERR_NOMEM, "%s: out of memory", r->where);
    }
}

// ---- strings ----

struct text {
    char *bytes;
    size_t n, cap;
};

static void put(struct reader *r, struct text *t, uint32_t c)
{
    uint8_t utf8[4];
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) {
        c = 0xFFFD;
    }
    size_t n = (size_t)utf8proc_encode_char((utf8proc_int32_t)c, utf8);
    t->bytes = scratch_grow(r->scratch, t->bytes, t->n, t->n + n, &t->cap, 1);
    memcpy(t->bytes + t->n, utf8, n);
    t->n += n;
}

static uint32_t digits(struct reader *r, int base, size_t min, size_t max)
{
    uint32_t value = 0;
    size_t n = 0;
    for (; n < max; n++) {
        int c = peek(r, 0), d = c >= '0' && c <= '9'   ? c - '0'
                                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                       : 99;
        if (d >= base) {
            break;
        }
        value = value * (uint32_t)base + (uint32_t)d;
        r->at++;
    }
    if (n < min) {
        refuse(r, "incomplete escape");
    }
    return value;
}

// After the backslash.
static void read_escape(struct reader *r, struct text *t)
{
    static const char letters[] = "abfnrtv\\'\"";
    static const char values[] = "\a\b\f\n\r\t\v\\'\"";
    int c = peek(r, 0);
    const char *hit = c > 0 ? strchr(letters, c) : NULL;
    if (hit) {
        r->at++;
        put(r, t, (uint32_t)(unsigned char)values[hit - letters]);
    } else if (c == '\n') {
        r->at++;
    } else if (c >= '0' && c <= '7') {
        put(r, t, digits(r, 8, 1, 3));
    } else if (c == 'x' || c == 'u' || c == 'U') {
        r->at++;
        size_t n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        put(r, t, digits(r, 16, n, n));
    } else {
        put(r, t, '\\');    // an unknown escape stands for itself
    }
}

// One code point of the source; malformed bytes count as U+FFFD.
static uint32_t next_char(struct reader *r)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)r->s + r->at,
                                          (utf8proc_ssize_t)(r->len - r->at), &c);
    r->at += n > 0 ? (size_t)n : 1;
    return n > 0 ? (uint32_t)c : 0xFFFD;
}

static void read_quoted(struct reader *r, bool raw, struct text *t)
{
    int quote = peek(r, 0);
    size_t marks = peek(r, 1) == quote && peek(r, 2) == quote ? 3 : 1;
    r->at += marks;
    for (;;) {
        int c = peek(r, 0);
        if (c < 0 || (c == '\n' && marks == 1)) {
            refuse(r, "unfinished string");
        }
        if (c == quote && (marks == 1 || (peek(r, 1) == quote && peek(r, 2) == quote))) {
            r->at += marks;
            return;
        }
        if (c == '\\' && !raw) {
            r->at++;
            read_escape(r, t);
        } else if (c == '\\') {
            put(r, t, next_char(r));
            if (peek(r, 0) >= 0) {
                put(r, t, next_char(r));
            }
        } else {
            put(r, t, next_char(r));
        }
    }
}

// Bytes of prefix letters in front of a quote, or SIZE_MAX when no string starts here.
static size_t string_prefix(const struct reader *r)
{
    size_t n = 0;
    while (n < 2 && peek(r, n) > 0 && strchr("rRuUbB", peek(r, n))) {
        n++;
    }
    return peek(r, n) == '\'' || peek(r, n) == '"' ? n : SIZE_MAX;
}

// Adjacent strings are one.
static struct text read_string(struct reader *r)
{
    struct text t = {0};
    for (size_t prefix; (prefix = string_prefix(r)) != SIZE_MAX; skip_blanks(r)) {
        bool raw = false;
        for (size_t i = 0; i < prefix; i++) {
            raw = raw || peek(r, i) == 'r' || peek(r, i) == 'R';
        }
        r->at += prefix;
        read_quoted(r, raw, &t);
    }
    return t;
}

// ---- other scalars ----

static json_t *read_number(struct reader *r)
{
    char digits_only[64];
    size_t n = 0;
    bool real = false;
    for (int c; (c = peek(r, 0)) > 0 && strchr("+-.0123456789eE_", c); r->at++) {
        real = real || c == '.' || c == 'e' || c == 'E';
        if (c != '_' && n < sizeof digits_only - 1) {
            digits_only[n++] = (char)c;
        }
    }
    digits_only[n] = 0;
    char *end = digits_only;
    errno = 0;
    long long whole = strtoll(digits_only, &end, 10);
    if (!real && errno == 0 && n > 0 && *end == 0) {
        return json_integer(whole);
    }
    double value = n > 0 ? strtod(digits_only, &end) : 0;
    if (n == 0 || *end || !(value - value == 0)) {
        refuse(r, "unexpected text");
    }
    return json_real(value);
}

static bool take_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if (r->len - r->at < n || memcmp(r->s + r->at, word, n) != 0) {
        return false;
    }
    r->at += n;
    return true;
}

static json_t *read_scalar(struct reader *r)
{
    if (string_prefix(r) != SIZE_MAX) {
        struct text t = read_string(r);
        return json_stringn(t.bytes ? t.bytes : "", t.n);
    }
    if (take_word(r, "None")) {
        return json_null();
    }
    if (take_word(r, "True")) {
        return json_true();
    }
    return take_word(r, "False") ? json_false() : read_number(r);
}

// ---- containers ----

static void open_container(struct reader *r, int c)
{
    if (r->depth == JSON_MAX_DEPTH) {
        scratch_fail(r->scratch, ERR_LIMIT, "%s: nested deeper than %d", r->where, JSON_MAX_DEPTH);
    }
    json_t *v = c == '{' ? json_object() : json_array();
    attach(r, v);
    r->stack[r->depth++] = (struct frame){.container = v,
                                          .is_dict = c == '{',
                                          .close = c == '{'   ? '}'
                                                   : c == '[' ? ']'
                                                              : ')'};
    r->at++;
}

static void close_container(struct reader *r)
{
    const struct frame *f = &r->stack[r->depth - 1];
    if (f->close == ')' && f->n == 1 && !f->has_comma) {
        refuse(r, "expected a comma in a tuple of one");
    }
    r->depth--;
    r->at++;
}

static void read_key(struct reader *r, struct frame *f)
{
    if (string_prefix(r) == SIZE_MAX) {
        refuse(r, "expected a string as key");
    }
    struct text t = read_string(r);
    put(r, &t, 0);
    if (strlen(t.bytes) != t.n - 1) {
        refuse(r, "NUL in a key");
    }
    f->key = t.bytes;
    skip_blanks(r);
    if (peek(r, 0) != ':') {
        refuse(r, "expected ':'");
    }
    r->at++;
    skip_blanks(r);
}

// Closers and the comma behind a value. True when another member may come.
static bool goes_on(struct reader *r)
{
    for (;; close_container(r)) {
        skip_blanks(r);
        if (r->depth == 0) {
            return false;
        }
        struct frame *f = &r->stack[r->depth - 1];
        if (peek(r, 0) == ',') {
            f->has_comma = true;
            r->at++;
            skip_blanks(r);
            if (peek(r, 0) != f->close) {
                return true;
            }
        } else if (peek(r, 0) != f->close) {
            refuse(r, "expected ',' or a closing bracket");
        }
    }
}

const json_t *pyliteral_parse(struct scratch *a, const char *text, size_t len, const char *where)
{
    struct reader *r = scratch_zeroed(a, sizeof *r);
    r->scratch = a;
    r->s = text;
    r->len = len;
    r->where = where;
    scratch_defer(a, free_root, r);
    bool more = true;
    while (more) {
        skip_blanks(r);
        struct frame *f = r->depth > 0 ? &r->stack[r->depth - 1] : NULL;
        if (f && f->n == 0 && !f->key && peek(r, 0) == f->close) {
            close_container(r);
            more = goes_on(r);
            continue;
        }
        if (f && f->is_dict) {
            read_key(r, f);
        }
        int c = peek(r, 0);
        if (c == '[' || c == '{' || c == '(') {
            open_container(r, c);
        } else {
            attach(r, read_scalar(r));
            more = goes_on(r);
        }
    }
    if (r->at < r->len) {
        refuse(r, "text after the value");
    }
    return r->root;
}
