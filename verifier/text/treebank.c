// treebank.c: the cascade of rules, one pass over the text each.
//
// Each pass writes a new text with blanks put around what becomes a token; the last splits at
// whitespace. Passes that touch different characters are joined where the order between them cannot
// be seen in the result, and passes whose characters do not occur are skipped. What a rule consumes
// matters as in the original: in ",," the second comma is the neighbour of the first and stays.
#include "verifier/text/treebank.h"

#include <string.h>

#include "verifier/text/sentences.h"

struct text {
    struct scratch *scratch;
    uint32_t *cp, *spare;
    size_t n, cap, spare_cap;
};

// The output of a pass is `spare`; it becomes the text at the end of the pass.
static void put(struct text *t, size_t *n, uint32_t c)
{
    t->spare = scratch_grow(t->scratch, t->spare, *n, *n + 1, &t->spare_cap, sizeof *t->spare);
    t->spare[(*n)++] = c;
}

static void put_padded(struct text *t, size_t *n, uint32_t c, size_t times)
{
    put(t, n, ' ');
    for (size_t i = 0; i < times; i++) {
        put(t, n, c);
    }
    put(t, n, ' ');
}

static void swap(struct text *t, size_t n)
{
    uint32_t *cp = t->cp;
    size_t cap = t->cap;
    t->cp = t->spare;
    t->cap = t->spare_cap;
    t->n = n;
    t->spare = cp;
    t->spare_cap = cap;
}

static uint32_t at(const struct text *t, size_t i)
{
    return i < t->n ? t->cp[i] : 0;
}

static size_t run(const struct text *t, size_t i, uint32_t c)
{
    size_t n = 0;
    while (at(t, i + n) == c && i + n < t->n) {
        n++;
    }
    return n;
}

// Two of c in a row: asked at every character, so it must not walk along a run.
static bool is_pair(const struct text *t, size_t i, uint32_t c)
{
    return at(t, i) == c && at(t, i + 1) == c;
}

static bool is_one_of(uint32_t c, const char *ascii)
{
    return c > 0 && c < 0x80 && strchr(ascii, (int)c);
}

// ---- quotes that open ----

static void pad_opening_quotes(struct text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t c = t->cp[i];
        size_t ticks = run(t, i, '`');
        if (ticks > 0) {
            put_padded(t, &n, '`', ticks);
            i += ticks - 1;
        } else if (c == 0xAB || c == 0x201C || c == 0x2018 || c == 0x201E) {
            put_padded(t, &n, c, 1);
        } else {
            put(t, &n, c);
        }
    }
    swap(t, n);
}

// A double quote at the start, or behind a blank or bracket, becomes two backticks.
static void rewrite_opening_quotes(struct text *t)
{
    size_t n = 0;
    if (at(t, 0) == '"') {
        put(t, &n, '`');
        put(t, &n, '`');
    }
    for (size_t i = n / 2; i < t->n; i++) {
        put(t, &n, t->cp[i]);
    }
    swap(t, n);
    n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (is_pair(t, i, '`')) {
            put_padded(t, &n, '`', 2);
            i++;
        } else {
            put(t, &n, t->cp[i]);
        }
    }
    swap(t, n);
    n = 0;
    for (size_t i = 0; i < t->n; i++) {
        put(t, &n, t->cp[i]);
        if (is_one_of(t->cp[i], " ([{<") && (at(t, i + 1) == '"' || is_pair(t, i + 1, '\''))) {
            i += at(t, i + 1) == '"' ? 1 : 2;
            put_padded(t, &n, '`', 2);
        }
    }
    swap(t, n);
}

// An apostrophe before a single letter that is no clitic: 'a' opens a quotation.
static void part_opening_apostrophes(struct text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        put(t, &n, t->cp[i]);
        uint32_t c = at(t, i + 1);
        if (t->cp[i] == '\'' && py_isword(c) && !py_isword(at(t, i + 2)) &&
            !is_one_of(c, "mtsdnMTSDN") && c != 0x17F) {
            put(t, &n, ' ');
            put(t, &n, c);
            i++;
        }
    }
    swap(t, n);
}

// ---- punctuation ----

static bool closes(uint32_t c)
{
    return is_one_of(c, "])}>\"' ") || c == 0xBB || c == 0x201D || c == 0x2019;
}

// The last dot of the sentence, behind which only closing marks and blanks may stand.
static void part_final_dot(struct text *t)
{
    size_t dot = t->n;
    while (dot > 0 && t->cp[dot - 1] != '.') {
        dot--;
    }
    if (dot < 2 || t->cp[dot - 2] == '.') {
        return;
    }
    size_t end = dot, rest;
    while (end < t->n && closes(t->cp[end])) {
        end++;
    }
    for (rest = end; rest < t->n && py_isspace(t->cp[rest]); rest++) {
    }
    if (rest < t->n) {
        return;
    }
    size_t n = 0;
    for (size_t i = 0; i + 1 < dot; i++) {
        put(t, &n, t->cp[i]);
    }
    put_padded(t, &n, '.', 1);
    for (size_t i = dot; i < end; i++) {
        put(t, &n, t->cp[i]);
    }
    put(t, &n, ' ');
    swap(t, n);
}

static void part_commas_and_colons(struct text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t c = t->cp[i];
        if (c != ',' && c != ':') {
            put(t, &n, c);
        } else if (i + 1 == t->n) {
            put_padded(t, &n, c, 1);
        } else if (py_isdecimal(t->cp[i + 1])) {
            put(t, &n, c);
        } else {
            put_padded(t, &n, c, 1);
            put(t, &n, t->cp[++i]);
        }
    }
    // A mark that was only a neighbour still ends the text.
    if (n >= 1 && t->n >= 2 && (t->spare[n - 1] == ',' || t->spare[n - 1] == ':')) {
        uint32_t c = t->spare[--n];
        put_padded(t, &n, c, 1);
    }
    swap(t, n);
}

static bool stands_alone(uint32_t c)
{
    return is_one_of(c, ";@#$%&?!*[](){}<>") || c == 0xBB || c == 0x201D || c == 0x2019;
}

static void pad_marks(struct text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t dots = run(t, i, '.');
        if (dots >= 2) {
            put_padded(t, &n, '.', dots);
            i += dots - 1;
        } else if (stands_alone(t->cp[i])) {
            put_padded(t, &n, t->cp[i], 1);
        } else {
            put(t, &n, t->cp[i]);
        }
    }
    swap(t, n);
}

// An apostrophe at the end of a word.
static void part_closing_apostrophes(struct text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        put(t, &n, t->cp[i]);
        if (t->cp[i] != '\'' && at(t, i + 1) == '\'' && at(t, i + 2) == ' ') {
            put_padded(t, &n, '\'', 1);
            i += 2;
        }
    }
    swap(t, n);
}

// Dashes and closing quotes become tokens, every run of whitespace one blank; blanks at both ends.
static void pad_dashes_and_quotes(struct text *t)
{
    size_t n = 0;
    put(t, &n, ' ');
    for (size_t i = 0; i <= t->n; i++) {
        size_t start = n;
        uint32_t c = i < t->n ? t->cp[i] : ' ';
        if (is_pair(t, i, '-')) {
            put_padded(t, &n, '-', 2);
            i++;
        } else if (c == '"' || is_pair(t, i, '\'')) {
            put_padded(t, &n, '\'', 2);
            i += c != '"';
        } else {
            put(t, &n, py_isspace(c) ? ' ' : c);
        }
        if (t->spare[start] == ' ' && t->spare[start - 1] == ' ') {
            memmove(t->spare + start, t->spare + start + 1, (n - start - 1) * sizeof *t->spare);
            n--;
        }
    }
    swap(t, n);
}

// ---- clitics and contractions ----

static bool has_word(const struct text *t, size_t i, const char *word, bool any_case)
{
    for (size_t k = 0; word[k]; k++) {
        uint32_t c = at(t, i + k);
        if (any_case ? py_tolower(c) != (uint8_t)word[k] : c != (uint8_t)word[k]) {
            return false;
        }
    }
    return true;
}

static size_t match_any(const struct text *t, size_t i, const char *const *words)
{
    for (; *words; words++) {
        size_t len = strlen(*words);
        if (has_word(t, i, *words, false) && at(t, i + len) == ' ') {
            return len;
        }
    }
    return 0;
}

static void part_clitics(struct text *t, const char *const *clitics)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        put(t, &n, t->cp[i]);
        size_t len = t->cp[i] != '\'' && t->cp[i] != ' ' ? match_any(t, i + 1, clitics) : 0;
        if (len > 0) {
            put(t, &n, ' ');
            for (size_t k = 1; k <= len + 1; k++) {
                put(t, &n, t->cp[i + k]);
            }
            i += len + 1;
        }
    }
    swap(t, n);
}

// Words of two halves; the second begins at `cut`. `before`: what must stand in front.
static const struct contraction {
    const char *word;
    size_t cut;
    char before;    // ' ': a blank; 0: a word boundary
    bool blank_follows;
} CONTRACTIONS[] = {
    {"cannot", 3, 0, false},  {"d'ye", 1, 0, false},  {"gimme", 3, 0, false},
    {"gonna", 3, 0, false},   {"gotta", 3, 0, false}, {"lemme", 3, 0, false},
    {"more'n", 4, 0, false},  {"wanna", 3, 0, true},  {"'tis", 2, ' ', false},
    {"'twas", 2, ' ', false},
};

static const struct contraction *contraction_at(const struct text *t, size_t i)
{
    uint32_t previous = i > 0 ? t->cp[i - 1] : 0;
    for (size_t k = 0; k < ARRAY_LEN(CONTRACTIONS); k++) {
        const struct contraction *c = &CONTRACTIONS[k];
        uint32_t next = at(t, i + strlen(c->word));
        bool front = c->before ? previous == (uint8_t)c->before : !py_isword(previous);
        bool back = c->blank_follows ? py_isspace(next) : !py_isword(next);
        if (front && back && has_word(t, i, c->word, true)) {
            return c;
        }
    }
    return NULL;
}

static void part_contractions(struct text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        bool may_begin =
            is_one_of(t->cp[i], "cdglmw'CDGLMW") && (i == 0 || !py_isword(t->cp[i - 1]));
        const struct contraction *c = may_begin ? contraction_at(t, i) : NULL;
        if (!c) {
            put(t, &n, t->cp[i]);
            continue;
        }
        size_t len = strlen(c->word);
        put(t, &n, ' ');
        for (size_t k = 0; k < len; k++) {
            if (k == c->cut) {
                put(t, &n, ' ');
            }
            put(t, &n, t->cp[i + k]);
        }
        put(t, &n, ' ');
        i += len - 1;
    }
    swap(t, n);
}

struct pylist treebank_sentence_tokens(struct scratch *a, struct pyspan s)
{
    static const char *const single[] = {"'s", "'S", "'m", "'M", "'d", "'D", "'", NULL};
    static const char *const doubles[] = {"'ll", "'LL", "'re", "'RE", "'ve",
                                          "'VE", "n't", "N'T", NULL};
    struct text t = {.scratch = a, .cap = s.n + 16};
    t.cp = scratch_array(a, t.cap, sizeof *t.cp);
    t.n = s.n;
    bool quotes = false, apostrophes = false, opening = false;
    for (size_t i = 0; i < s.n; i++) {
        uint32_t c = t.cp[i] = s.cp[i];
        quotes = quotes || c == '"' || c == '\'' || c == '`';
        apostrophes = apostrophes || c == '\'';
        opening = opening || c == '`' || c == 0xAB || (c >= 0x2018 && c <= 0x201E);
    }
    if (opening) {
        pad_opening_quotes(&t);
    }
    if (quotes) {
        rewrite_opening_quotes(&t);
    }
    if (apostrophes) {
        part_opening_apostrophes(&t);
    }
    part_final_dot(&t);
    part_commas_and_colons(&t);
    pad_marks(&t);
    if (apostrophes) {
        part_closing_apostrophes(&t);
    }
    pad_dashes_and_quotes(&t);
    if (apostrophes) {
        part_clitics(&t, single);
        part_clitics(&t, doubles);
    }
    part_contractions(&t);
    return pytext_split(a, (struct pyspan){t.cp, t.n});
}

struct pylist treebank_tokens(struct scratch *a, struct pyspan s)
{
    struct pylist sentences = sentences_punkt(a, s);
    struct pylist_builder b = {.scratch = a};
    for (size_t i = 0; i < sentences.n; i++) {
        struct pylist tokens = treebank_sentence_tokens(a, sentences.v[i]);
        for (size_t k = 0; k < tokens.n; k++) {
            pylist_add(&b, tokens.v[k]);
        }
    }
    return b.list;
}
