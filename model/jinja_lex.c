// jinja_lex.c: where text ends and tags begin, and what stands in a tag.
//
// The rules of blanks, since prompts depend on them to the character:
//   {%- and {{-   remove all blanks before; -%} and -}} all blanks behind
//   {% and {#     remove blanks from the start of their line, unless {%+ (lstrip_blocks)
//   %} and #}     remove one newline behind, unless +%} (trim_blocks)
//   {{ and }}     remove nothing
// A closing tag inside brackets, as in {{ {'a': {}} }}, is no closing tag.

#include "model/jinja_lex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/jinja_text.h"

void jinja_lex_init(struct jinja_lexer *x, struct jinja_work *w, const char *source, size_t len)
{
    char *copy = jinja_alloc(w, len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (source[i] == '\r') {
            copy[n++] = '\n';
            i += i + 1 < len && source[i + 1] == '\n';
        } else {
            copy[n++] = source[i];
        }
    }
    n -= n > 0 && copy[n - 1] == '\n';
    copy[n] = '\0';
    *x = (struct jinja_lexer){
        .w = w, .p = copy, .end = copy + n, .line = 1, .within = JINJA_T_DATA, .line_start = true};
}

static bool at(const struct jinja_lexer *x, const char *p, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(x->end - p) >= n && memcmp(p, what, n) == 0;
}

static void advance(struct jinja_lexer *x, const char *to)
{
    for (; x->p < to; x->p++) {
        x->line += *x->p == '\n';
    }
}

static const char *skip_blanks(const struct jinja_lexer *x, const char *p)
{
    while (p < x->end) {
        uint32_t cp;
        size_t n = jinja_char(p, (size_t)(x->end - p), &cp);
        if (!jinja_is_space(cp)) {
            break;
        }
        p += n;
    }
    return p;
}

// ---- text ----

// The end of the text [from, to) before a tag, sign being the character behind the tag's opening.
static const char *cut_before(const struct jinja_lexer *x, const char *from, const char *to,
                              char sign, bool line)
{
    struct jinja_text t = {from, (size_t)(to - from)};
    if (sign == '-') {
        t = jinja_strip(x->w, t, NULL, false, true);
        return from + t.len;
    }
    const char *start = t.len == 0 ? NULL : memrchr(from, '\n', t.len);
    if (sign == '+' || !line || (start == NULL && !x->line_start)) {
        return to;
    }
    start = start == NULL ? from : start + 1;
    return skip_blanks(x, start) >= to ? start : to;
}

// The end of "-%}", "+%}" or "%}" at p with the blanks that go with it; NULL when there is none.
// close: "%}", "#}" or "}}".
static const char *match_close(const struct jinja_lexer *x, const char *p, const char *close)
{
    bool print = close[0] == '}';
    if (at(x, p, close)) {
        p += 2;
        return !print && p < x->end && *p == '\n' ? p + 1 : p;
    }
    if (p < x->end && *p == '-' && at(x, p + 1, close)) {
        return skip_blanks(x, p + 3);
    }
    if (p < x->end && *p == '+' && !print && at(x, p + 1, close)) {
        return p + 3;
    }
    return NULL;
}

static void queue(struct jinja_lexer *x, enum jinja_token_kind kind, const char *from,
                  const char *to)
{
    if (kind == JINJA_T_DATA && from == to) {
        return;
    }
    struct jinja_token *t = &x->queue[x->n_queue++];
    *t = (struct jinja_token){.kind = kind, .line = x->line};
    t->value = kind == JINJA_T_DATA ? jinja_borrow(x->w, from, (size_t)(to - from)) : jinja_none();
}

static void end_tag(struct jinja_lexer *x, const char *end)
{
    advance(x, end);
    x->line_start = end[-1] == '\n';
    x->within = JINJA_T_DATA;
}

static void skip_comment(struct jinja_lexer *x)
{
    for (const char *p = x->p + 2; p < x->end; p++) {
        const char *end = match_close(x, p, "#}");
        if (end != NULL) {
            end_tag(x, end);
            return;
        }
    }
    x->w->line = x->line;
    jinja_fail(x->w, ERR_INVALID, "a comment without #}");
}

// The end of `{% raw %}` at p (any signs), or NULL.
static const char *match_raw(const struct jinja_lexer *x, const char *p, const char *word,
                             bool newline)
{
    if (!at(x, p, "{%")) {
        return NULL;
    }
    p += 2;
    p += p < x->end && (*p == '-' || *p == '+');
    p = skip_blanks(x, p);
    if (!at(x, p, word)) {
        return NULL;
    }
    p = skip_blanks(x, p + strlen(word));
    const char *end = match_close(x, p, "%}");
    if (end == NULL || newline) {
        return end;
    }
    return *p == '+' ? NULL : *p == '-' ? end : p + 2;    // {% raw %} keeps its newline
}

// From the text behind {% raw %} to {% endraw %}.
static void take_raw(struct jinja_lexer *x, const char *from)
{
    int line = x->line;
    advance(x, from);
    x->line_start = from[-1] == '\n';
    for (const char *p = from; p < x->end; p++) {
        const char *end = match_raw(x, p, "endraw", true);
        if (end != NULL) {
            queue(x, JINJA_T_DATA, from, cut_before(x, from, p, p[2], true));
            end_tag(x, end);
            return;
        }
    }
    x->w->line = line;
    jinja_fail(x->w, ERR_INVALID, "{%% raw %%} without {%% endraw %%}");
}

static const char *find_tag(const struct jinja_lexer *x)
{
    const char *p = x->p;
    while ((p = memchr(p, '{', (size_t)(x->end - p))) != NULL) {
        if (x->end - p >= 2 && (p[1] == '%' || p[1] == '{' || p[1] == '#')) {
            return p;
        }
        p++;
    }
    return x->end;
}

// Queues the text up to the next tag and the tag's opening.
static void lex_data(struct jinja_lexer *x)
{
    const char *tag = find_tag(x);
    if (tag == x->end) {
        queue(x, JINJA_T_DATA, x->p, x->end);
        queue(x, JINJA_T_END, NULL, NULL);
        advance(x, x->end);
        return;
    }
    char sign = x->end - tag > 2 ? tag[2] : ' ';
    queue(x, JINJA_T_DATA, x->p, cut_before(x, x->p, tag, sign, tag[1] != '{'));
    advance(x, tag);
    const char *raw = match_raw(x, tag, "raw", false);
    if (tag[1] == '#') {
        skip_comment(x);
    } else if (raw != NULL) {
        take_raw(x, raw);
    } else {
        x->within = tag[1] == '{' ? JINJA_T_PRINT : JINJA_T_BLOCK;
        queue(x, x->within, NULL, NULL);
        x->p += 2 + (sign == '-' || sign == '+');
    }
}

// ---- tags ----

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c & 0x80) != 0;
}

static const char *skip_digits(const struct jinja_lexer *x, const char *p)
{
    while (p < x->end && (is_digit(*p) || (*p == '_' && p + 1 < x->end && is_digit(p[1])))) {
        p++;
    }
    return p;
}

// The end of the number at p; whether it has a fraction or an exponent.
static const char *skip_number(const struct jinja_lexer *x, const char *p, bool *real)
{
    bool attribute = p[-1] == '.';    // as in a.1.2: no fraction
    p = skip_digits(x, p);
    *real = false;
    if (attribute) {
        return p;
    }
    if (x->end - p >= 2 && p[0] == '.' && is_digit(p[1])) {
        p = skip_digits(x, p + 1);
        *real = true;
    }
    const char *e = p;
    if (x->end - e >= 2 && (*e == 'e' || *e == 'E')) {
        e += e[1] == '+' || e[1] == '-' ? 2 : 1;
        if (e < x->end && is_digit(*e)) {
            p = skip_digits(x, e);
            *real = true;
        }
    }
    return p;
}

static void lex_number(struct jinja_lexer *x, struct jinja_token *out)
{
    char digits[64];
    size_t n = 0;
    bool real;
    const char *end = skip_number(x, x->p, &real), *from = x->p;
    for (const char *p = from; p < end && n < sizeof digits; p++) {
        if (*p != '_') {
            digits[n++] = *p;
        }
    }
    bool fits = n < sizeof digits;
    digits[fits ? n : 0] = '\0';
    bool octal = !real && fits && digits[0] == '0' && strspn(digits, "0") < n;    // 010
    if (!fits || octal || (end < x->end && is_word(*end))) {
        jinja_fail(x->w, ERR_UNSUPPORTED, "the number %.*s is not supported",
                   (int)MIN(end - from + 1, 40), from);
    }
    errno = 0;
    out->kind = JINJA_T_CONSTANT;
    out->value = real ? jinja_float(strtod(digits, NULL)) : jinja_int(strtoll(digits, NULL, 10));
    if (!real && errno != 0) {
        jinja_fail(x->w, ERR_UNSUPPORTED, "the number %s does not fit 64 bits", digits);
    }
    x->p = end;
}

// A \x, \u or \U escape of so many digits; returns what stands behind.
static const char *put_code(struct jinja_lexer *x, struct jinja_out *out, const char *p, int digits)
{
    uint32_t cp = 0;
    for (int i = 0; i < digits; i++, p++) {
        const char *hex = "0123456789abcdef";
        const char *d = *p == '\0' ? NULL : strchr(hex, *p >= 'A' && *p <= 'F' ? *p + 32 : *p);
        if (d == NULL || cp > 0x10ffff) {
            jinja_fail(x->w, ERR_INVALID, "an escape in a string that is no character");
        }
        cp = cp << 4 | (uint32_t)(d - hex);
    }
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) {
        jinja_fail(x->w, ERR_INVALID, "an escape in a string that is no character");
    }
    jinja_put_char(out, cp);
    return p;
}

static const char *put_escape(struct jinja_lexer *x, struct jinja_out *out, const char *p)
{
    static const char letters[] = "\\'\"abfnrtv", meant[] = "\\'\"\a\b\f\n\r\t\v";
    char c = *p;
    const char *known = c == '\0' ? NULL : strchr(letters, c);
    if (known != NULL) {
        jinja_put(out, &meant[known - letters], 1);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        return put_code(x, out, p + 1, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else if (c >= '0' && c <= '7') {
        uint32_t cp = 0;
        for (int i = 0; i < 3 && *p >= '0' && *p <= '7'; i++, p++) {
            cp = cp << 3 | (uint32_t)(*p - '0');
        }
        jinja_put_char(out, cp);
        return p;
    } else if (c == 'N') {
        jinja_fail(x->w, ERR_UNSUPPORTED, "the escape \\N is not supported");
    } else if (c != '\n') {    // which continues the line
        jinja_put(out, p - 1, 2);
    }
    return p + 1;
}

static void lex_string(struct jinja_lexer *x, struct jinja_token *out)
{
    char quote = *x->p;
    const char *end = x->p + 1;
    while (end < x->end && *end != quote) {
        end += *end == '\\' && end + 1 < x->end ? 2 : 1;
    }
    if (end >= x->end) {
        jinja_fail(x->w, ERR_INVALID, "a string without its closing %c", quote);
    }
    struct jinja_out text = {.w = x->w};
    for (const char *p = x->p + 1; p < end;) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        jinja_put(&text, p, (size_t)((escape == NULL ? end : escape) - p));
        p = escape == NULL ? end : put_escape(x, &text, escape + 1);
        if (p > end) {
            jinja_fail(x->w, ERR_INVALID, "an escape in a string that is no character");
        }
    }
    out->kind = JINJA_T_CONSTANT;
    out->value = jinja_out_take(&text);
    advance(x, end + 1);
}

static void lex_operator(struct jinja_lexer *x, struct jinja_token *out)
{
    static const char singles[] = "+-*/%~[](){}<>=.:|,;", doubled[] = "**//==!=<=>=";
    char c = *x->p, next = x->end - x->p > 1 ? x->p[1] : '\0';
    out->kind = JINJA_T_OPERATOR;
    for (const char *d = doubled; *d != '\0'; d += 2) {
        if (c == d[0] && next == d[1]) {
            out->op = JINJA_OP2(c, next);
            x->p += 2;
            return;
        }
    }
    if (c == '\0' || strchr(singles, c) == NULL) {
        jinja_fail(x->w, ERR_INVALID,
                   c > ' ' && c < 0x7f ? "unexpected '%c'" : "unexpected byte %d", c);
    }
    out->op = c;
    x->p++;
    if (strchr("([{", c) != NULL) {
        if (x->n_open == JINJA_MAX_OPEN) {
            jinja_fail(x->w, ERR_LIMIT, "more than %d open brackets", JINJA_MAX_OPEN);
        }
        x->open[x->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c) != NULL) {
        if (x->n_open == 0 || x->open[--x->n_open] != c) {
            jinja_fail(x->w, ERR_INVALID, "unexpected '%c'", c);
        }
    }
}

static void lex_tag(struct jinja_lexer *x, struct jinja_token *out)
{
    bool print = x->within == JINJA_T_PRINT;
    advance(x, skip_blanks(x, x->p));
    *out = (struct jinja_token){.line = x->line, .value = jinja_none()};
    x->w->line = x->line;
    if (x->p >= x->end) {
        jinja_fail(x->w, ERR_INVALID, "the template ends inside a tag, expected %s",
                   print ? "}}" : "%}");
    }
    const char *end = x->n_open > 0 ? NULL : match_close(x, x->p, print ? "}}" : "%}");
    if (end != NULL) {
        out->kind = print ? JINJA_T_PRINT_END : JINJA_T_BLOCK_END;
        end_tag(x, end);
    } else if (is_digit(*x->p)) {
        lex_number(x, out);
    } else if (is_word(*x->p)) {
        const char *from = x->p;
        while (x->p < x->end && is_word(*x->p)) {
            x->p++;
        }
        out->kind = JINJA_T_NAME;
        out->value = jinja_borrow(x->w, from, (size_t)(x->p - from));
    } else if (*x->p == '\'' || *x->p == '"') {
        lex_string(x, out);
    } else {
        lex_operator(x, out);
    }
}

void jinja_lex(struct jinja_lexer *x, struct jinja_token *out)
{
    while (x->n_queue == 0 && x->within == JINJA_T_DATA) {
        lex_data(x);
    }
    if (x->n_queue > 0) {
        *out = x->queue[0];
        x->queue[0] = x->queue[1];
        x->n_queue--;
    } else {
        lex_tag(x, out);
    }
}

const char *jinja_token_name(const struct jinja_token *t, char out[64])
{
    static const char *const names[] = {
        [JINJA_T_END] = "the end of the template",
        [JINJA_T_DATA] = "text",
        [JINJA_T_PRINT] = "'{{'",
        [JINJA_T_PRINT_END] = "'}}'",
        [JINJA_T_BLOCK] = "'{%'",
        [JINJA_T_BLOCK_END] = "'%}'",
    };
    if (t->kind == JINJA_T_NAME) {
        (void)snprintf(out, 64, "'%.*s'", (int)MIN(t->value.text->len, (size_t)40),
                       t->value.text->bytes);
    } else if (t->kind == JINJA_T_CONSTANT) {
        (void)snprintf(out, 64, "a %s", t->value.kind == JINJA_TEXT ? "string" : "number");
    } else if (t->kind == JINJA_T_OPERATOR && t->op > 0xff) {
        (void)snprintf(out, 64, "'%c%c'", t->op >> 8, t->op & 0xff);
    } else if (t->kind == JINJA_T_OPERATOR) {
        (void)snprintf(out, 64, "'%c'", t->op);
    } else {
        (void)snprintf(out, 64, "%s", names[t->kind]);
    }
    return out;
}
