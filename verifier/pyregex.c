// pyregex.c: patterns are rewritten for PCRE2, one construct at a time, and what is not known is
// refused.
//
// Handing a Python pattern to PCRE2 unread would be right for most words and quietly wrong for
// some: \Z, \v, {,3}, [[:alpha:]], \s (PCRE2 adds U+180E and lacks U+001C..1F), a**, \Q. So the
// pattern is parsed, and each piece is written out in a form with one meaning: literals as \x{..},
// classes with explicit ranges, \d \w \b under PCRE2_UCP, where they have Python's meaning (10.42:
// \w = L, N, '_').
//
// Ignore-case: PCRE2 folds by Unicode's simple case folding, Python by lower() plus a table of
// extra pairs. They differ in four sets only: i I U+0130 U+0131; U+0390 U+1FD3; U+03B0 U+1FE3;
// U+FB05 U+FB06. So these are mapped to one member of their set in the subject and in the pattern
// before PCRE2 sees either. No JIT: the sandbox forbids executable memory. PCRE2's match limit
// counts backtracking steps per start offset; the job's wall deadline bounds the sum. No start
// optimisation to ignore case: looking for a first letter in either case, PCRE2 reads to the end of
// the subject for the case that does not occur, once for every place where the other does.
//
// Plain text is left to pyregex_literal.c.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "verifier/pyregex.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "verifier/pyregex_literal.h"

#define MATCH_STEPS_MAX 500000u
#define MATCH_HEAP_KIB 65536u
#define PATTERN_BYTES_MAX (1u << 20)

#define SPACE_SET                                                                                  \
    "\\x{9}-\\x{d}\\x{1c}-\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{" \
    "202f}\\x{205f}\\x{3000}"
#define NOT_SPACE_SET                                                                              \
    "\\x{0}-\\x{8}\\x{e}-\\x{1b}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{"     \
    "1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-"                                        \
    "\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"

// What stands before the place where a repeat might come.
enum last { LAST_NOTHING, LAST_ATOM, LAST_REPEAT };

struct rewriter {
    struct pyspan p;
    size_t at;
    unsigned flags;
    size_t open_groups;
    enum last last;
    struct buf out;
    struct why *why;
};

static enum err refuse(struct rewriter *r, const char *what)
{
    return why_set(r->why, ERR_INVALID, "regular expression: %s at character %zu", what, r->at);
}

static bool more(const struct rewriter *r)
{
    return r->at < r->p.n;
}

static bool next_is(const struct rewriter *r, size_t ahead, uint32_t c)
{
    return r->at + ahead < r->p.n && r->p.cp[r->at + ahead] == c;
}

static bool take(struct rewriter *r, uint32_t c)
{
    if (next_is(r, 0, c)) {
        r->at++;
        return true;
    }
    return false;
}

static enum err put(struct rewriter *r, const char *text)
{
    return buf_append(&r->out, text, strlen(text));
}

static enum err put_char(struct rewriter *r, uint32_t c)
{
    if (c >= 0xD800 && c <= 0xDFFF) {
        return refuse(r, "a surrogate");
    }
    if (r->flags & PYREGEX_IGNORECASE) {
        c = pyregex_literal_join(c);
    }
    return buf_printf(&r->out, "\\x{%x}", (unsigned)c);
}

static int hex_value(uint32_t c)
{
    if (c >= '0' && c <= '9') {
        return (int)c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return (int)c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return (int)c - 'A' + 10;
    }
    return -1;
}

// The digits of \x, \u and \U.
static enum err read_hex(struct rewriter *r, int digits, uint32_t *out)
{
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) {
        int d = more(r) ? hex_value(r->p.cp[r->at]) : -1;
        if (d < 0) {
            return refuse(r, "incomplete hexadecimal escape");
        }
        value = value * 16 + (unsigned)d;
        r->at++;
    }
    if (value > 0x10FFFF) {
        return refuse(r, "escape over U+10FFFF");
    }
    *out = (uint32_t)value;
    return ERR_OK;
}

// After a backslash: an escape that stands for one character. *is_char is false for letters that
// mean something else.
static enum err read_char_escape(struct rewriter *r, uint32_t *out, bool *is_char)
{
    uint32_t c = r->p.cp[r->at];
    *is_char = true;
    static const char letters[] = "afnrtv";
    static const char values[] = "\a\f\n\r\t\v";
    const char *hit = c && c < 0x80 ? strchr(letters, (int)c) : NULL;
    if (hit) {
        r->at++;
        *out = (uint32_t)values[hit - letters];
        return ERR_OK;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        r->at++;
        return read_hex(r, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
    }
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool digit = c >= '0' && c <= '9';
    if (letter || digit) {
        *is_char = false;
        return ERR_OK;
    }
    r->at++;
    *out = c;
    return ERR_OK;
}

// \d \D \w \W \s \S inside a class; NULL for any other letter.
static const char *class_escape(uint32_t c)
{
    switch (c) {
    case 'd':
        return "\\d";
    case 'D':
        return "\\D";
    case 'w':
        return "\\w";
    case 'W':
        return "\\W";
    case 's':
        return SPACE_SET;
    case 'S':
        return NOT_SPACE_SET;
    default:
        return NULL;
    }
}

// One member of a class: a character (*set stays NULL) or a set.
static enum err read_class_member(struct rewriter *r, uint32_t *c, const char **set)
{
    *set = NULL;
    if (!more(r)) {
        return refuse(r, "unterminated character set");
    }
    if (!take(r, '\\')) {
        *c = r->p.cp[r->at++];
        return ERR_OK;
    }
    if (!more(r)) {
        return refuse(r, "a backslash at the end");
    }
    if (take(r, 'b')) {
        *c = '\b';
        return ERR_OK;
    }
    *set = class_escape(r->p.cp[r->at]);
    if (*set) {
        r->at++;
        return ERR_OK;
    }
    bool is_char;
    enum err e = read_char_escape(r, c, &is_char);
    if (!e && !is_char) {
        e = refuse(r, "unknown or unsupported escape");
    }
    return e;
}

static enum err put_range(struct rewriter *r, uint32_t first, uint32_t last)
{
    if (first > last) {
        return refuse(r, "bad character range");
    }
    // PCRE2 refuses surrogates as ends; text holds none, so clipping them away changes nothing.
    first = first >= 0xD800 && first <= 0xDFFF ? 0xE000 : first;
    last = last >= 0xD800 && last <= 0xDFFF ? 0xD7FF : last;
    enum err e = first <= last
                     ? buf_printf(&r->out, "\\x{%x}-\\x{%x}", (unsigned)first, (unsigned)last)
                     : ERR_OK;
    static const uint32_t special[] = {0x130, 0x131, 0x1FD3, 0x1FE3, 0xFB06};
    for (size_t i = 0; i < ARRAY_LEN(special) && !e && (r->flags & PYREGEX_IGNORECASE); i++) {
        if (special[i] >= first && special[i] <= last) {
            e = put_char(r, special[i]);
        }
    }
    return e;
}

static enum err rewrite_class(struct rewriter *r)
{
    enum err e = put(r, take(r, '^') ? "[^" : "[");
    for (bool first = true; !e; first = false) {
        if (!first && take(r, ']')) {
            break;
        }
        uint32_t from = 0, to = 0;
        const char *set, *set_to;
        e = read_class_member(r, &from, &set);
        bool range = !e && next_is(r, 0, '-') && !next_is(r, 1, ']') && r->at + 1 < r->p.n;
        if (range) {
            r->at++;
            e = read_class_member(r, &to, &set_to);
            if (!e && (set || set_to)) {
                e = refuse(r, "bad character range");
            }
            e = e ? e : put_range(r, from, to);
        } else if (!e) {
            e = set ? put(r, set) : put_char(r, from);
        }
    }
    r->last = LAST_ATOM;
    return e ? e : put(r, "]");
}

static enum err rewrite_group(struct rewriter *r)
{
    static const char *const forms[] = {"?:", "?=", "?!", "?<=", "?<!"};
    const char *form = "";
    if (next_is(r, 0, '?')) {
        for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
            size_t n = strlen(forms[i]), same = 0;
            while (same < n && next_is(r, same, (uint8_t)forms[i][same])) {
                same++;
            }
            form = same == n ? forms[i] : form;
        }
        if (!*form) {
            return refuse(r, "unsupported group syntax");
        }
        r->at += strlen(form);
    }
    r->open_groups++;
    r->last = LAST_NOTHING;
    enum err e = put(r, "(");
    return e ? e : put(r, form);
}

static size_t read_number(struct rewriter *r, uint64_t *value)
{
    size_t n = 0;
    *value = 0;
    while (more(r) && r->p.cp[r->at] >= '0' && r->p.cp[r->at] <= '9') {
        *value = MIN(*value * 10 + (r->p.cp[r->at] - '0'), UINT32_MAX);
        r->at++;
        n++;
    }
    return n;
}

// Behind '{': a repeat if the form is right, else *literal (Python takes the brace as itself).
static enum err read_braces(struct rewriter *r, uint64_t *low, uint64_t *high, bool *unbounded,
                            bool *literal)
{
    size_t back = r->at;
    *literal = false;
    if (next_is(r, 0, '}')) {
        *literal = true;
        return ERR_OK;
    }
    size_t n_low = read_number(r, low);
    size_t n_high = n_low;
    *high = *low;
    if (take(r, ',')) {
        n_high = read_number(r, high);
    }
    if (!take(r, '}')) {
        r->at = back;
        *literal = true;
        return ERR_OK;
    }
    *unbounded = n_high == 0;
    if (!*unbounded && *low > *high) {
        return refuse(r, "minimum repeat greater than maximum");
    }
    if (MAX(*low, *unbounded ? 0 : *high) > 65535) {
        return refuse(r, "repeat count over 65535");
    }
    return ERR_OK;
}

static enum err rewrite_repeat(struct rewriter *r, uint32_t c)
{
    uint64_t low = 0, high = 0;
    bool unbounded = false, literal = false;
    enum err e = ERR_OK;
    if (c == '{') {
        e = read_braces(r, &low, &high, &unbounded, &literal);
    }
    if (e || literal) {
        r->last = LAST_ATOM;
        return e ? e : put_char(r, c);
    }
    if (r->last != LAST_ATOM) {
        return refuse(r, r->last == LAST_REPEAT ? "multiple repeat" : "nothing to repeat");
    }
    r->last = LAST_REPEAT;
    if (c != '{') {
        e = buf_printf(&r->out, "%c", (char)c);
    } else if (unbounded) {
        e = buf_printf(&r->out, "{%u,}", (unsigned)low);
    } else {
        e = buf_printf(&r->out, "{%u,%u}", (unsigned)low, (unsigned)high);
    }
    if (!e && take(r, '?')) {
        e = put(r, "?");
    } else if (!e && take(r, '+')) {
        e = put(r, "+");
    }
    return e;
}

static enum err rewrite_escape(struct rewriter *r)
{
    if (!more(r)) {
        return refuse(r, "a backslash at the end");
    }
    uint32_t c = r->p.cp[r->at];
    const char *anchor = c == 'A'   ? "\\A"
                         : c == 'Z' ? "\\z"
                         : c == 'b' ? "\\b"
                         : c == 'B' ? "\\B"
                                    : NULL;
    if (anchor) {
        r->at++;
        r->last = LAST_NOTHING;
        return put(r, anchor);
    }
    r->last = LAST_ATOM;
    const char *set = class_escape(c);
    if (set) {
        r->at++;
        enum err e = put(r, "[");
        e = e ? e : put(r, set);
        return e ? e : put(r, "]");
    }
    bool is_char;
    uint32_t value = 0;
    enum err e = read_char_escape(r, &value, &is_char);
    if (!e && !is_char) {
        e = refuse(r, "unknown or unsupported escape");
    }
    return e ? e : put_char(r, value);
}

static enum err rewrite_one(struct rewriter *r)
{
    uint32_t c = r->p.cp[r->at++];
    switch (c) {
    case '\\':
        return rewrite_escape(r);
    case '[':
        return rewrite_class(r);
    case '(':
        return rewrite_group(r);
    case ')':
        if (r->open_groups == 0) {
            return refuse(r, "unbalanced parenthesis");
        }
        r->open_groups--;
        r->last = LAST_ATOM;
        return put(r, ")");
    case '|':
        r->last = LAST_NOTHING;
        return put(r, "|");
    case '^':
    case '$':
        r->last = LAST_NOTHING;
        return put(r, c == '^' ? "^" : "$");
    case '.':
        r->last = LAST_ATOM;
        return put(r, ".");
    case '*':
    case '+':
    case '?':
    case '{':
        return rewrite_repeat(r, c);
    default:
        r->last = LAST_ATOM;
        return put_char(r, c);
    }
}

static enum err rewrite(struct rewriter *r)
{
    enum err e = ERR_OK;
    while (!e && more(r)) {
        e = rewrite_one(r);
    }
    if (!e && r->open_groups > 0) {
        e = refuse(r, "missing )");
    }
    return e == ERR_LIMIT ? why_set(r->why, ERR_LIMIT, "regular expression: longer than %u bytes",
                                    PATTERN_BYTES_MAX)
                          : e;
}

static void free_code(void *code)
{
    pcre2_code_free(code);
}

static void free_context(void *context)
{
    pcre2_compile_context_free(context);
}

static _Noreturn void fail_with(struct scratch *a, enum err e, int code)
{
    char text[128];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
    scratch_fail(a, code == PCRE2_ERROR_NOMEMORY ? ERR_NOMEM : e, "regular expression: %s", text);
}

static pcre2_code *compile(struct scratch *a, const struct buf *pattern, unsigned flags)
{
    pcre2_compile_context *ctx = pcre2_compile_context_create(NULL);
    if (!ctx) {
        scratch_fail(a, ERR_NOMEM, "regular expression: out of memory");
    }
    scratch_defer(a, free_context, ctx);
    pcre2_set_newline(ctx, PCRE2_NEWLINE_LF);
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_ALT_CIRCUMFLEX;
    options |= flags & PYREGEX_IGNORECASE ? PCRE2_CASELESS | PCRE2_NO_START_OPTIMIZE : 0;
    options |= flags & PYREGEX_MULTILINE ? PCRE2_MULTILINE : 0;
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code *out = pcre2_compile(pattern->len ? pattern->data : (PCRE2_SPTR) "", pattern->len,
                                    options, &code, &offset, ctx);
    if (!out) {
        fail_with(a, ERR_INVALID, code);
    }
    scratch_defer(a, free_code, out);
    return out;
}

static void free_pattern(void *pattern)
{
    buf_fini(pattern);
}

struct pyregex {
    pcre2_code *code;    // NULL: the literal
    struct pyregex_literal literal;
    unsigned flags;
};

static pcre2_code *translate(struct scratch *a, struct pyspan pattern, unsigned flags)
{
    struct rewriter *r = scratch_zeroed(a, sizeof *r);
    *r = (struct rewriter){.p = pattern, .flags = flags, .why = &a->why};
    buf_init(&r->out, PATTERN_BYTES_MAX);
    scratch_defer(a, free_pattern, &r->out);
    enum err e = rewrite(r);
    if (e == ERR_NOMEM) {
        scratch_fail(a, e, "regular expression: out of memory");
    } else if (e) {
        struct why why = a->why;
        scratch_fail(a, e, "%s", why.text);
    }
    return compile(a, &r->out, flags);
}

const struct pyregex *pyregex_compile(struct scratch *a, struct pyspan pattern, unsigned flags)
{
    struct pyregex *out = scratch_zeroed(a, sizeof *out);
    out->flags = flags;
    if (!pyregex_literal_read(a, pattern, flags & PYREGEX_IGNORECASE, &out->literal)) {
        out->code = translate(a, pattern, flags);
    }
    return out;
}

struct matcher {
    pcre2_match_context *ctx;
    pcre2_match_data *data;
};

static void free_matcher(void *arg)
{
    struct matcher *m = arg;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->ctx);
}

static struct matcher *make_matcher(struct scratch *a)
{
    struct matcher *m = scratch_zeroed(a, sizeof *m);
    scratch_defer(a, free_matcher, m);
    m->ctx = pcre2_match_context_create(NULL);
    m->data = pcre2_match_data_create(1, NULL);
    if (!m->ctx || !m->data) {
        scratch_fail(a, ERR_NOMEM, "regular expression: out of memory");
    }
    pcre2_set_match_limit(m->ctx, MATCH_STEPS_MAX);
    pcre2_set_heap_limit(m->ctx, MATCH_HEAP_KIB);
    return m;
}

static const char *encode_subject(struct scratch *a, struct pyspan s, unsigned flags, size_t *len)
{
    if (flags & PYREGEX_IGNORECASE) {
        uint32_t *joined = scratch_array(a, s.n + 1, sizeof *joined);
        for (size_t i = 0; i < s.n; i++) {
            joined[i] = pyregex_literal_join(s.cp[i]);
        }
        s.cp = joined;
    }
    return pytext_encode(a, s, len);
}

// Counts at most `most` matches. After an empty match the next one may begin at the same place but
// not be empty there, as in Python since 3.7.
static size_t count_matches(struct scratch *a, const struct pyregex *re, struct pyspan subject,
                            size_t most)
{
    if (!re->code) {
        return pyregex_literal_count(a, &re->literal, subject, most);
    }
    size_t len, at = 0, n = 0;
    const char *bytes = encode_subject(a, subject, re->flags, &len);
    const struct matcher *m = make_matcher(a);
    uint32_t options = PCRE2_NO_UTF_CHECK;
    while (n < most && at <= len) {
        int rc = pcre2_match(re->code, (PCRE2_SPTR)bytes, len, at, options, m->data, m->ctx);
        if (rc == PCRE2_ERROR_NOMATCH) {
            break;
        }
        if (rc < 0) {
            fail_with(a, ERR_LIMIT, rc);
        }
        const PCRE2_SIZE *where = pcre2_get_ovector_pointer(m->data);
        options = PCRE2_NO_UTF_CHECK | (where[0] >= where[1] ? PCRE2_NOTEMPTY_ATSTART : 0u);
        at = where[1];
        n++;
    }
    return n;
}

bool pyregex_found(struct scratch *a, const struct pyregex *re, struct pyspan subject)
{
    return count_matches(a, re, subject, 1) > 0;
}

size_t pyregex_count(struct scratch *a, const struct pyregex *re, struct pyspan subject)
{
    return count_matches(a, re, subject, SIZE_MAX);
}

bool pyregex_search(struct scratch *a, struct pyspan pattern, unsigned flags, struct pyspan subject)
{
    return pyregex_found(a, pyregex_compile(a, pattern, flags), subject);
}
