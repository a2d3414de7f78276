// equiv.c: readings of both texts, compared until one pair agrees.
//
// Most texts have one reading. Where notation is ambiguous (lex.h) each reading is tried, the usual
// one first: equal in any reading is equal. A text that is no mathematics is compared as words.
#include "verifier/math/equiv.h"

#include <string.h>

#include "verifier/math/compare.h"
#include "verifier/math/parse.h"

struct reading {
    uint32_t node;    // MATH_NONE: cannot be read
    bool noted;       // for a reason, rather than being malformed
    unsigned others;
};

static struct reading read_text(struct math_forest *f, struct pyspan text, unsigned reading)
{
    struct math_tokens tokens = {0};
    struct reading r = {.node = MATH_NONE};
    const char *before = f->why;
    f->why = NULL;
    if (math_lex(f, text, reading, &tokens)) {
        r.node = math_parse(f, &tokens);
    }
    r.others = tokens.readings;
    r.noted = f->why != NULL;
    f->why = f->why ? f->why : before;
    return r;
}

// The usual reading, or the first that can be read: "[55,136)" is an interval and no number.
static struct reading read_any(struct math_forest *f, struct pyspan text, unsigned usual)
{
    struct reading r = read_text(f, text, usual);
    for (unsigned i = 1; i < MATH_READINGS && r.node == MATH_NONE && !r.noted && !f->broken; i++) {
        if ((i & ~r.others) == 0) {
            r.node = read_text(f, text, i | usual).node;
        }
    }
    return r;
}

static bool is_letter(struct pyspan s, size_t i)
{
    return i < s.n && py_isalpha(s.cp[i]);
}

static size_t word_end(struct pyspan s, size_t i)
{
    while (is_letter(s, i)) {
        i++;
    }
    return i;
}

static bool is_end(uint32_t c)
{
    return c == '.' || c == ',';
}

// Do the letters of a that stand alone or in pairs keep their case in b?
static bool keeps_symbols(struct pyspan a, struct pyspan b)
{
    for (size_t i = 0, from = 0, end = 0; i < MIN(a.n, b.n); i++) {
        if (i >= end) {
            from = i;
            end = word_end(a, i);
        }
        bool word = end - from > 2 || end - from == a.n;
        if (a.cp[i] != b.cp[i] && is_letter(a, i) && !word) {
            return false;
        }
    }
    return true;
}

// The same text but for spaces, dots at the end and the case of words; a word is a text of letters
// alone, or three letters in a row; in symbolic style other letters keep their case.
static bool same_text(struct scratch *s, struct pyspan a, struct pyspan b, enum math_style style)
{
    if (!pyspan_equal(math_words(s, a), math_words(s, b))) {
        return false;
    }
    a = pyspan_rstrip_class(pytext_without_class(s, a, py_isspace), is_end);
    b = pyspan_rstrip_class(pytext_without_class(s, b, py_isspace), is_end);
    return style == MATH_EVERYDAY || (keeps_symbols(a, b) && keeps_symbols(b, a));
}

// \text{yes} → yes, where there is nothing but that group.
static struct pyspan bare_words(struct pyspan s)
{
    static const char *const groups[] = {"\\text{", "\\textbf{", "\\mathrm{", "\\mbox{"};
    s = pyspan_strip(s);
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        if (pyspan_starts_with(s, groups[i]) && pyspan_find(s, '}', 0) + 1 == s.n) {
            return pyspan_strip(pyspan_slice(s, strlen(groups[i]), s.n - 1));
        }
    }
    return s;
}

// "B)" is the choice B.
static struct pyspan without_mark(struct pyspan s)
{
    s = pyspan_strip(s);
    return s.n == 2 && is_letter(s, 0) && s.cp[1] == ')' ? pyspan_slice(s, 0, 1) : s;
}

static enum math_verdict compare_readings(struct math_forest *f, struct pyspan truth,
                                          struct pyspan answer, unsigned usual)
{
    enum math_verdict best = MATH_DIFFERENT;
    struct reading t0 = read_any(f, truth, usual), a0 = read_any(f, answer, usual);
    if (a0.node == MATH_NONE && t0.node != MATH_NONE) {
        return a0.noted || f->broken ? MATH_UNDECIDED : MATH_DIFFERENT;
    }
    if (t0.node == MATH_NONE) {
        math_note(f, "the ground truth is no mathematics that is understood here");
        return MATH_UNDECIDED;
    }
    for (unsigned t = 0; t < MATH_READINGS && best != MATH_EQUAL; t++) {
        if ((t & ~t0.others) != 0) {
            continue;
        }
        uint32_t x = t == 0 ? t0.node : read_text(f, truth, t | usual).node;
        for (unsigned a = 0; a < MATH_READINGS && best != MATH_EQUAL && x != MATH_NONE; a++) {
            if ((a & ~a0.others) != 0) {
                continue;
            }
            uint32_t y = a == 0 ? a0.node : read_text(f, answer, a | usual).node;
            enum math_verdict v = y == MATH_NONE ? MATH_DIFFERENT : compare_answers(f, x, y);
            best = v == MATH_DIFFERENT ? best : v;
        }
    }
    return best;
}

enum math_verdict math_equiv(struct scratch *s, struct pyspan truth, struct pyspan answer,
                             enum math_style style, const char **why)
{
    *why = NULL;
    if (same_text(s, bare_words(truth), bare_words(answer), style)) {
        return MATH_EQUAL;
    }
    struct math_forest *f = math_forest_create(s);
    enum math_verdict v = compare_readings(f, without_mark(truth), without_mark(answer),
                                           style == MATH_SYMBOLIC ? MATH_NATURAL_LOG : MATH_USUAL);
    if (v == MATH_UNDECIDED) {
        *why = f->why ? f->why : "undecided";
    }
    math_forest_fini(f);
    return v;
}

bool math_parses(struct scratch *s, struct pyspan text)
{
    struct math_forest *f = math_forest_create(s);
    bool parses = read_any(f, text, MATH_USUAL).node != MATH_NONE;
    math_forest_fini(f);
    return parses;
}
