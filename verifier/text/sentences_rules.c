// sentences_rules.c: the splitter by rules.
//
// The original protects dots by putting a word in their place, one substitution after the other,
// and cuts at the dots that are left. Here a protected dot is one private code point, so that most
// rules replace a character in place; where a rule ends a sentence without eating a character, a
// flag beside the character says so. The order of the rules matters and is kept, and so is what
// each consumes: two matches never share a character.
#include "verifier/text/sentences.h"

#include <string.h>

enum {
    DOT = 0x110000,    // a protected '.'
    CUT,               // a '.' that ends a sentence and is dropped
};

struct work {
    uint32_t *cp;
    bool *ends;    // a sentence ends behind this character
    size_t n;
};

// Length of the first of `words` that stands at `at`, or 0. A blank at a word's end stands for any
// whitespace character.
static size_t match(const struct work *w, size_t at, const char *const *words)
{
    for (; *words; words++) {
        size_t len = strlen(*words), i = 0;
        while (i < len && at + i < w->n &&
               (w->cp[at + i] == (uint8_t)(*words)[i] ||
                ((*words)[i] == ' ' && py_isspace(w->cp[at + i])))) {
            i++;
        }
        if (i == len) {
            return len;
        }
    }
    return 0;
}

static const char *const STARTERS[] = {"Mr",     "Mrs",      "Ms",  "Dr",   "Prof",     "Capt",
                                       "Cpt",    "Lt",       "He ", "She ", "It ",      "They ",
                                       "Their ", "Our ",     "We ", "But ", "However ", "That ",
                                       "This ",  "Wherever", NULL};
static const char *const TITLES[] = {"Mr.", "St.", "Mrs.", "Ms.", "Dr.", NULL};
static const char *const SITES[] = {".com", ".net", ".org", ".io", ".gov", ".edu", ".me", NULL};
static const char *const COMPANIES[] = {"Inc", "Ltd", "Jr", "Sr", "Co", NULL};
static const char *const DOCTORATE[] = {"Ph.D.", NULL};

static uint32_t at(const struct work *w, size_t i)
{
    return i < w->n ? w->cp[i] : 0;
}

static bool is_letter(uint32_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_capital(uint32_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static void protect_titles(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        size_t len = match(w, i, TITLES);
        if (len > 0) {
            i += len - 1;
            w->cp[i] = DOT;
        }
    }
}

static void protect_sites_and_decimals(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        w->cp[i] = match(w, i, SITES) > 0 ? (uint32_t)DOT : w->cp[i];
    }
    for (size_t i = 0; i < w->n; i++) {
        if (is_digit(w->cp[i]) && at(w, i + 1) == '.' && is_digit(at(w, i + 2))) {
            w->cp[i + 1] = DOT;
            i += 2;
        }
    }
}

static void end_at_ellipses(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        size_t end = i;
        while (at(w, end) == '.') {
            end++;
        }
        for (size_t k = i; end - i >= 2 && k < end; k++) {
            w->cp[k] = DOT;
            w->ends[k] = k + 1 == end;
        }
        i = end > i ? end - 1 : i;
    }
}

static void protect_doctorates(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (match(w, i, DOCTORATE) > 0) {
            w->cp[i + 2] = w->cp[i + 4] = DOT;
            i += 4;
        }
    }
}

// A letter alone between blanks: " J. "
static void protect_lone_letters(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (py_isspace(w->cp[i]) && is_letter(at(w, i + 1)) && at(w, i + 2) == '.' &&
            at(w, i + 3) == ' ') {
            w->cp[i] = ' ';
            w->cp[i + 2] = DOT;
            i += 3;
        }
    }
}

// "U.S. He": the acronym ends a sentence before a word that starts one.
static void end_at_acronyms(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        size_t n = 0;
        while (n < 3 && is_capital(at(w, i + 2 * n)) && at(w, i + 2 * n + 1) == '.') {
            n++;
        }
        size_t end = i + 2 * n, len = n >= 2 && at(w, end) == ' ' ? match(w, end + 1, STARTERS) : 0;
        if (len > 0) {
            w->ends[end - 1] = true;
            i = end + len;
        }
    }
}

static void protect_initials(struct work *w, size_t n)
{
    for (size_t i = 0; i < w->n; i++) {
        size_t k = 0;
        while (k < n && is_letter(at(w, i + 2 * k)) && at(w, i + 2 * k + 1) == '.') {
            k++;
        }
        if (k == n) {
            for (k = 0; k < n; k++) {
                w->cp[i + 2 * k + 1] = DOT;
            }
            i += 2 * n - 1;
        }
    }
}

static void end_or_protect_companies(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        size_t len = w->cp[i] == ' ' ? match(w, i + 1, COMPANIES) : 0, dot = i + 1 + len;
        size_t next =
            len > 0 && at(w, dot) == '.' && at(w, dot + 1) == ' ' ? match(w, dot + 2, STARTERS) : 0;
        if (next > 0) {
            w->cp[dot] = CUT;
            i = dot + 1 + next;
        }
    }
    for (size_t i = 0; i < w->n; i++) {
        size_t len = w->cp[i] == ' ' ? match(w, i + 1, COMPANIES) : 0;
        if (len > 0 && at(w, i + 1 + len) == '.') {
            w->cp[i + 1 + len] = DOT;
        }
    }
    for (size_t i = 0; i < w->n; i++) {
        if (w->cp[i] == ' ' && is_letter(at(w, i + 1)) && at(w, i + 2) == '.') {
            w->cp[i + 2] = DOT;
        }
    }
}

// An end mark in front of a closing quote changes places with it.
static void move_quotes_inside(struct work *w, uint32_t mark, uint32_t quote)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->cp[i] == mark && at(w, i + 1) == quote) {
            w->cp[i] = quote;
            w->cp[i + 1] = mark;
            w->ends[i + 1] = w->ends[i];
            w->ends[i] = false;
            i++;
        }
    }
}

// The original marks with these words; in a response they act as marks.
static struct pylist cut_at_literal_marks(struct scratch *a, struct pylist pieces)
{
    struct pylist_builder out = {.scratch = a};
    struct pyspan dot = pytext_literal(a, "<prd>"), point = pytext_literal(a, ".");
    for (size_t i = 0; i < pieces.n; i++) {
        struct pyspan piece = pyspan_search(pieces.v[i], dot, 0) == PYSPAN_NONE
                                  ? pieces.v[i]
                                  : pytext_replace(a, pieces.v[i], dot, point);
        struct pylist parts = pytext_split_by(a, piece, "<stop>");
        for (size_t k = 0; k < parts.n; k++) {
            pylist_add(&out, parts.v[k]);
        }
    }
    return out.list;
}

static struct pylist cut(struct scratch *a, struct work *w)
{
    struct pylist_builder b = {.scratch = a};
    size_t from = 0;
    for (size_t i = 0; i < w->n; i++) {
        uint32_t c = w->cp[i];
        bool mark = c == '.' || c == '?' || c == '!';
        if (c == CUT || w->ends[i] || mark) {
            pylist_add(&b, (struct pyspan){w->cp + from, i + (c != CUT) - from});
            // Both ends at once leave an empty sentence between them.
            if (w->ends[i] && mark) {
                pylist_add(&b, (struct pyspan){w->cp + i, 0});
            }
            from = i + 1;
        }
        w->cp[i] = c == DOT ? '.' : c;
    }
    pylist_add(&b, (struct pyspan){w->cp + from, w->n - from});
    struct pylist all =
        pyspan_search_for((struct pyspan){w->cp, w->n}, "<stop>", 0) != PYSPAN_NONE ||
                pyspan_search_for((struct pyspan){w->cp, w->n}, "<prd>", 0) != PYSPAN_NONE
            ? cut_at_literal_marks(a, b.list)
            : b.list;
    for (size_t i = 0; i < all.n; i++) {
        all.v[i] = pyspan_strip(all.v[i]);
    }
    all.n -= all.n > 0 && all.v[all.n - 1].n == 0;
    return all;
}

struct pylist sentences_rules(struct scratch *a, struct pyspan s)
{
    struct work w = {.cp = scratch_array(a, s.n + 3, sizeof *w.cp), .n = s.n + 3};
    w.ends = scratch_zeroed(a, w.n * sizeof *w.ends);
    w.cp[0] = w.cp[s.n + 1] = w.cp[s.n + 2] = ' ';
    for (size_t i = 0; i < s.n; i++) {
        w.cp[i + 1] = s.cp[i] == '\n' ? ' ' : s.cp[i];
    }
    protect_titles(&w);
    protect_sites_and_decimals(&w);
    end_at_ellipses(&w);
    protect_doctorates(&w);
    protect_lone_letters(&w);
    end_at_acronyms(&w);
    protect_initials(&w, 3);
    protect_initials(&w, 2);
    end_or_protect_companies(&w);
    move_quotes_inside(&w, '.', 0x201D);
    move_quotes_inside(&w, '.', '"');
    move_quotes_inside(&w, '!', '"');
    move_quotes_inside(&w, '?', '"');
    return cut(a, &w);
}
