// minerva.c: the candidates and their normalisation.
//
// The order of the replacements is part of the rule, and so are their side effects: "a " goes
// wherever it stands, also at the end of a word, and "sue" inside "issue". A pattern of the
// original that looks for the nearest or the last '}' of a line is one pass here that remembers
// where that brace is, so that a thousand openings without an end do not cost a thousand looks.
#include "verifier/minerva.h"

#include <string.h>

#include "verifier/textedit.h"

// ---- candidates ----

// What follows the last "\boxed " up to a dollar.
static bool spaced_box(struct pyspan s, struct pyspan *out)
{
    static const char mark[] = "\\boxed ";
    size_t from = PYSPAN_NONE;
    for (size_t at = 0; (at = pyspan_search_for(s, mark, at)) != PYSPAN_NONE;) {
        from = at += strlen(mark);
    }
    if (from == PYSPAN_NONE) {
        return false;
    }
    *out = pyspan_slice(s, from, pyspan_find(s, '$', from));
    return true;
}

static size_t last_of(struct pyspan s, const char *ascii)
{
    size_t last = PYSPAN_NONE;
    for (size_t at = 0; (at = pyspan_search_for(s, ascii, at)) != PYSPAN_NONE; at++) {
        last = at;
    }
    return last;
}

// The original counts braces from the command on, so one that closes before any opens is counted
// as well. A box that ends by "}" but did not begin by "\boxed{" gives nothing, nor does \fbox.
bool minerva_last_box(struct pyspan s, struct pyspan *out)
{
    if (spaced_box(s, out)) {
        return true;
    }
    size_t from = last_of(s, "\\boxed");
    if (from == PYSPAN_NONE || !pyspan_starts_with(pyspan_slice(s, from, s.n), "\\boxed{")) {
        return false;
    }
    from += strlen("\\boxed{");
    size_t depth = 1;
    for (size_t i = from; i < s.n; i++) {
        depth += s.cp[i] == '{';
        depth -= s.cp[i] == '}';
        if (depth == 0) {
            *out = pyspan_slice(s, from, i);
            return true;
        }
    }
    return false;
}

// The shortest X of "… is" X any-character " I hope it is correct" any-character, on one line. The
// original glues one more "I hope it is correct." to the text first, so an answer may end before a
// space that ends the text.
static bool final_sentence(struct scratch *a, struct pyspan text, struct pyspan *out)
{
    static const char before[] = "Final Answer: The final answer is";
    static const char after[] = " I hope it is correct";
    size_t from = pyspan_search_for(text, before, 0);
    if (from == PYSPAN_NONE) {
        return false;
    }
    struct pyspan s = pytext_concat(a, text, pytext_literal(a, "I hope it is correct."));
    // The next line end and the next `after`, of the place that is looked at; both only move on.
    size_t line = 0, end = 0;
    for (; from != PYSPAN_NONE; from = pyspan_search_for(s, before, from + 1)) {
        size_t start = from + strlen(before);
        line = line < start ? pyspan_find(s, '\n', start) : line;
        end = end < start + 1 ? pyspan_search_for(s, after, start + 1) : end;
        if (end == PYSPAN_NONE) {
            return false;
        }
        if (end + strlen(after) < line) {
            *out = pyspan_strip(pyspan_slice(s, start, end - 1));
            return true;
        }
    }
    return false;
}

static bool last_dollars(struct pyspan s, struct pyspan *out)
{
    size_t close = s.n;
    while (close > 0 && s.cp[close - 1] != '$') {
        close--;
    }
    size_t open = close > 0 ? close - 1 : 0;
    while (open > 0 && s.cp[open - 1] != '$') {
        open--;
    }
    if (open == 0) {
        return false;
    }
    *out = pyspan_slice(s, open, close - 1);
    return true;
}

struct minerva_answers minerva_extract(struct scratch *a, struct pyspan response)
{
    struct minerva_answers r = {0};
    struct pyspan found;
    if (minerva_last_box(response, &found)) {
        r.v[r.n++] = found;
    }
    if (final_sentence(a, response, &found)) {
        r.v[r.n++] = minerva_normalize(a, found);
    }
    if (r.n == 0) {
        r.whole = !last_dollars(response, &found);
        r.v[r.n++] = minerva_normalize(a, r.whole ? response : found);
    }
    return r;
}

// ---- normalisation ----

static void drop_all(struct textedit *e)
{
    static const char *const first[][2] = {
        {"an ", ""},          {"a ", ""},
        {".$", "$"},          {"\\$", ""},
        {"\\ ", ""},          {" ", ""},
        {"mbox", "text"},     {",\\text{and}", ","},
        {"\\text{and}", ","}, {"\\text{m}", "\\text{}"},
    };
    static const char *const dropped[] = {
        "square",       "ways",
        "integers",     "dollars",
        "mph",          "inches",
        "ft",           "hours",
        "km",           "units",
        "\\ldots",      "sue",
        "points",       "feet",
        "minutes",      "digits",
        "cents",        "degrees",
        "cm",           "gm",
        "pounds",       "meters",
        "meals",        "edges",
        "students",     "childrentickets",
        "multiples",    "\\text{s}",
        "\\text{.}",    "\\text{\ns}",
        "\\text{}^2",   "\\text{}^3",
        "\\text{\n}",   "\\text{}",
        "\\mathrm{th}", "^\\circ",
        "^{\\circ}",    "\\;",
        ",\\!",         "{,}",
        "\"",           "\\dots",
    };
    for (size_t i = 0; i < ARRAY_LEN(first); i++) {
        textedit_replace(e, first[i][0], first[i][1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(dropped); i++) {
        textedit_drop(e, dropped[i]);
    }
}

// Of a line with two dollars or more only the first two and what is between them stay.
static void keep_first_dollars(struct textedit *e)
{
    size_t n = 0;
    for (size_t from = 0; from <= e->n;) {
        size_t end = pyspan_find(textedit_span(e), '\n', from);
        struct pyspan line = pyspan_slice(textedit_span(e), from, end);
        size_t open = pyspan_find(line, '$', 0), close = pyspan_find(line, '$', open + 1);
        if (close < line.n) {
            line = pyspan_slice(line, open, close + 1);
        }
        memmove(e->cp + n, line.cp, line.n * sizeof *e->cp);
        n += line.n;
        if (end < e->n) {
            e->cp[n++] = '\n';
        }
        from = end + 1;
    }
    e->n = n;
}

// Where on the rest of the line the first '}' is (`last`: the last one); s.n when there is none.
static size_t line_brace(struct pyspan s, size_t from, bool last)
{
    size_t found = s.n;
    for (size_t i = from; i < s.n && s.cp[i] != '\n' && (last || found == s.n); i++) {
        if (s.cp[i] == '}') {
            found = i;
        }
    }
    return found;
}

// "\command{X}" → X, up to the first '}' of the line, or the last. `open` is "\command{".
static void unwrap(struct textedit *e, const char *open, bool last)
{
    if (!textedit_may_hold(e, open)) {
        return;
    }
    struct pyspan s = textedit_span(e);
    size_t len = strlen(open), n = 0, done = 0, line_without = 0;
    for (size_t at = 0; (at = pyspan_search_for(s, open, at)) != PYSPAN_NONE;) {
        // No brace was found from a place on this line: there is none further on either.
        size_t brace = at < line_without ? s.n : line_brace(s, at + len, last);
        if (brace == s.n) {
            line_without = at < line_without ? line_without : pyspan_find(s, '\n', at + len);
            at++;
            continue;
        }
        memmove(e->cp + n, s.cp + done, (at - done) * sizeof *s.cp);
        n += at - done;
        memmove(e->cp + n, s.cp + at + len, (brace - at - len) * sizeof *s.cp);
        n += brace - at - len;
        done = at = brace + 1;
    }
    memmove(e->cp + n, s.cp + done, (s.n - done) * sizeof *s.cp);
    e->n = n + s.n - done;
}

// WORD x y → WORD{x}{y} (n_args 2) or WORD x → WORD{x}, unless a brace follows the word. Of two
// arguments the second is not a newline.
static void brace_arguments(struct textedit *e, const char *word, size_t n_args)
{
    if (!textedit_may_hold(e, word)) {
        return;
    }
    struct pyspan s = textedit_span(e);
    size_t len = strlen(word), n = 0, done = 0;
    uint32_t *out = scratch_array(e->scratch, 2 * s.n + 1, sizeof *out);
    for (size_t at = 0; (at = pyspan_search_for(s, word, at)) != PYSPAN_NONE;) {
        size_t arg = at + len;
        if (arg + n_args > s.n || s.cp[arg] == '{' || (n_args == 2 && s.cp[arg + 1] == '\n')) {
            at++;
            continue;
        }
        memcpy(out + n, s.cp + done, (arg - done) * sizeof *out);
        n += arg - done;
        for (size_t i = 0; i < n_args; i++) {
            out[n++] = '{';
            out[n++] = s.cp[arg + i];
            out[n++] = '}';
        }
        done = at = arg + n_args;
    }
    memcpy(out + n, s.cp + done, (s.n - done) * sizeof *out);
    textedit_set(e, (struct pyspan){out, n + s.n - done});
}

// str.isdigit: decimal digits and those raised or lowered.
static bool is_digit(uint32_t c)
{
    return py_isdecimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 ||
           (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089);
}

static bool only_digits_and_commas(struct pyspan s)
{
    bool digit = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.cp[i] != ',' && !is_digit(s.cp[i])) {
            return false;
        }
        digit = digit || s.cp[i] != ',';
    }
    return digit;
}

struct pyspan minerva_normalize(struct scratch *a, struct pyspan s)
{
    size_t from = s.n;
    while (from > 0 && s.cp[from - 1] != '=') {
        from--;
    }
    struct textedit e = textedit_start(a, pyspan_slice(s, from, s.n));
    drop_all(&e);
    if (textedit_may_hold(&e, "$")) {
        keep_first_dollars(&e);
    }
    unwrap(&e, "\\text{", false);
    unwrap(&e, "\\textbf{", false);
    unwrap(&e, "\\overline{", false);
    unwrap(&e, "\\boxed{", true);
    brace_arguments(&e, "frac", 2);
    brace_arguments(&e, "sqrt", 1);
    textedit_drop(&e, "$");
    if (only_digits_and_commas(textedit_span(&e))) {
        textedit_drop(&e, ",");
    }
    return textedit_span(&e);
}
