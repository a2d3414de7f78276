// mathstring.c: the string rule, step by step in the order of the original, since later steps see
// what earlier ones left (" ." becomes " 0." before spaces go).
#include "verifier/mathstring.h"

#include <string.h>

#include "verifier/textedit.h"

#define INT_DIGITS_MAX 4300    // longer integers are no integers to Python's int()

// Everything from "\text{ " on is a unit; two of them cannot be read.
static bool cut_unit(struct textedit *e)
{
    static const char mark[] = "\\text{ ";
    if (!textedit_may_hold(e, mark)) {
        return true;
    }
    struct pyspan s = textedit_span(e);
    size_t at = pyspan_search_for(s, mark, 0);
    if (at == PYSPAN_NONE) {
        return true;
    }
    e->n = at;
    return pyspan_search_for(s, mark, at + strlen(mark)) == PYSPAN_NONE;
}

// "x = 5" → "5", for names of one character and a space, or two characters.
static void cut_name(struct textedit *e)
{
    struct pyspan s = textedit_span(e);
    size_t at = pyspan_find(s, '=', 0);
    if (at <= 2 && at < s.n && pyspan_find(s, '=', at + 1) == s.n) {
        textedit_set(e, pyspan_slice(s, at + 1, s.n));
    }
}

static size_t put(uint32_t *out, size_t n, struct pyspan s)
{
    memcpy(out + n, s.cp, s.n * sizeof *out);
    return n + s.n;
}

static size_t put_ascii(uint32_t *out, size_t n, const char *text)
{
    for (; *text; text++) {
        out[n++] = (unsigned char)*text;
    }
    return n;
}

static size_t put_braced(uint32_t *out, size_t n, uint32_t c)
{
    out[n++] = '{';
    out[n++] = c;
    out[n++] = '}';
    return n;
}

// \sqrt3 → \sqrt{3}; false when nothing follows, before the next \sqrt or the end.
static bool brace_roots(struct textedit *e)
{
    if (!textedit_may_hold(e, "\\sqrt")) {
        return true;
    }
    struct pylist pieces = pytext_split_by(e->scratch, textedit_span(e), "\\sqrt");
    uint32_t *out = scratch_array(e->scratch, 2 * e->n + 1, sizeof *out);
    size_t n = put(out, 0, pieces.v[0]);
    for (size_t i = 1; i < pieces.n; i++) {
        struct pyspan p = pieces.v[i];
        if (p.n == 0) {
            return false;
        }
        n = put_ascii(out, n, "\\sqrt");
        if (p.cp[0] != '{') {
            n = put_braced(out, n, p.cp[0]);
            p = pyspan_slice(p, 1, p.n);
        }
        n = put(out, n, p);
    }
    textedit_set(e, (struct pyspan){out, n});
    return true;
}

// \frac12 → \frac{1}{2}, \frac1{23} → \frac{1}{23}. False when nothing follows a \frac; nothing
// changes when one of them has a single character before the next or the end.
static bool brace_fractions(struct textedit *e)
{
    if (!textedit_may_hold(e, "\\frac")) {
        return true;
    }
    struct pylist pieces = pytext_split_by(e->scratch, textedit_span(e), "\\frac");
    uint32_t *out = scratch_array(e->scratch, 2 * e->n + 1, sizeof *out);
    size_t n = put(out, 0, pieces.v[0]);
    for (size_t i = 1; i < pieces.n; i++) {
        struct pyspan p = pieces.v[i];
        if (p.n == 0) {
            return false;
        }
        n = put_ascii(out, n, "\\frac");
        if (p.cp[0] != '{') {
            if (p.n < 2) {
                return true;
            }
            n = put_braced(out, n, p.cp[0]);
            if (p.cp[1] != '{') {
                n = put_braced(out, n, p.cp[1]);
                p = pyspan_slice(p, 1, p.n);
            }
            p = pyspan_slice(p, 1, p.n);
        }
        n = put(out, n, p);
    }
    textedit_set(e, (struct pyspan){out, n});
    return true;
}

// What Python's int() reads: outer blanks, a sign, digits, single underscores between them.
// *plain: it is written as str() writes it.
static bool is_integer(struct pyspan text, bool *plain)
{
    struct pyspan s = pyspan_strip(text);
    size_t sign = s.n > 0 && (s.cp[0] == '-' || s.cp[0] == '+');
    bool ascii = s.n == text.n && !(sign && s.cp[0] == '+');
    size_t digits = 0;
    for (size_t i = sign; i < s.n; i++) {
        bool joined = s.cp[i] == '_' && i > sign && s.cp[i - 1] != '_' && i + 1 < s.n;
        if (!joined && !py_isdecimal(s.cp[i])) {
            return false;
        }
        digits += !joined;
        ascii = ascii && s.cp[i] >= '0' && s.cp[i] <= '9';
    }
    bool padded = digits > 0 && s.cp[sign] == '0' && (digits > 1 || sign);
    *plain = ascii && !padded;
    return digits > 0 && digits <= INT_DIGITS_MAX;
}

// 3/4 → \frac{3}{4}; false when one slash stands between anything but integers.
static bool write_fraction(struct textedit *e)
{
    struct pyspan s = textedit_span(e);
    size_t at = pyspan_find(s, '/', 0);
    if (at == s.n || pyspan_find(s, '/', at + 1) < s.n) {
        return true;
    }
    struct pyspan over = pyspan_slice(s, 0, at), under = pyspan_slice(s, at + 1, s.n);
    bool over_plain, under_plain;
    if (!is_integer(over, &over_plain) || !is_integer(under, &under_plain)) {
        return false;
    }
    if (over_plain && under_plain) {
        uint32_t *out = scratch_array(e->scratch, s.n + 16, sizeof *out);
        size_t n = put(out, put_ascii(out, 0, "\\frac{"), over);
        n = put(out, put_ascii(out, n, "}{"), under);
        n = put_ascii(out, n, "}");
        textedit_set(e, (struct pyspan){out, n});
    }
    return true;
}

static bool rewrite(struct textedit *e)
{
    static const char *const first[][2] = {
        {"\n", ""},     {"\\!", ""},     {"\\\\", "\\"},    {"tfrac", "frac"}, {"dfrac", "frac"},
        {"\\left", ""}, {"\\right", ""}, {"^{\\circ}", ""}, {"^\\circ", ""},   {"\\$", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(first); i++) {
        textedit_replace(e, first[i][0], first[i][1]);
    }
    if (!cut_unit(e)) {
        return false;
    }
    textedit_drop(e, "\\%");
    textedit_replace(e, " .", " 0.");
    textedit_replace(e, "{.", "{0.");
    if (e->n == 0) {
        return true;
    }
    if (e->cp[0] == '.') {
        textedit_set(e,
                     pytext_concat(e->scratch, pytext_literal(e->scratch, "0"), textedit_span(e)));
    }
    cut_name(e);
    if (!brace_roots(e)) {
        return false;
    }
    textedit_drop(e, " ");
    if (!brace_fractions(e)) {
        return false;
    }
    if (pyspan_is(textedit_span(e), "0.5")) {
        textedit_set(e, pytext_literal(e->scratch, "\\frac{1}{2}"));
    }
    return write_fraction(e);
}

bool mathstring_plain(struct scratch *a, struct pyspan s, struct pyspan *out)
{
    struct textedit e = textedit_start(a, s);
    if (!rewrite(&e)) {
        return false;
    }
    *out = textedit_span(&e);
    return true;
}

bool mathstring_equal(struct scratch *a, struct pyspan x, struct pyspan y)
{
    struct pyspan px, py;
    if (pyspan_equal(x, y)) {
        return true;
    }
    return mathstring_plain(a, x, &px) && mathstring_plain(a, y, &py) && pyspan_equal(px, py);
}
