// sentences_punkt.c: the splitter of Kiss and Strunk as NLTK runs it for English.
//
// A mark ('.', '?', '!') may end a sentence when whitespace and a word, or certain punctuation,
// follow. Its context (the word it stands in, the mark, the next word) is cut into tokens; the
// first token that ends a sentence with another behind it makes a break. Dots behind abbreviations,
// initials, numbers and in ellipses are judged by the next word: does it look like the first word of
// a sentence? The published model answers that with counts from newspaper text; here a list of
// everyday words answers (punkt_lists.c). Finally closing quotes and brackets behind a break move
// to the sentence they close.
//
// Contexts overlap by one word at most, so the whole is linear.
#include "verifier/text/sentences.h"

#include <string.h>

#include "verifier/text/punkt_lists.h"

#define WORD_MAX 48    // longer tokens are in no list

struct token {
    struct pyspan text;
    bool breaks, abbreviation, ellipsis;
};

static bool is_one_of(uint32_t c, const char *ascii)
{
    return c > 0 && c < 0x80 && strchr(ascii, (int)c);
}

static uint32_t at(struct pyspan s, size_t i)
{
    return i < s.n ? s.cp[i] : 0;
}

static bool is_mark(uint32_t c)
{
    return c == '.' || c == '?' || c == '!';
}

// Punctuation that is no part of a word.
static bool is_non_word(uint32_t c)
{
    return is_one_of(c, ")\";}]*:@'({[!?");
}

// ---- tokens of a context ----

// Two dashes, two dots, or three spaced dots begin at i.
static bool multi_char_at(struct pyspan s, size_t i)
{
    uint32_t c = at(s, i);
    if ((c == '-' || c == '.') && at(s, i + 1) == c) {
        return true;
    }
    return c == '.' && i + 4 < s.n && py_isspace(s.cp[i + 1]) && s.cp[i + 2] == '.' &&
           py_isspace(s.cp[i + 3]) && s.cp[i + 4] == '.';
}

static size_t multi_char_end(struct pyspan s, size_t i)
{
    uint32_t c = at(s, i);
    size_t end = i + 1;
    if (at(s, end) == c) {
        while (at(s, end) == c) {
            end++;
        }
        return end;
    }
    while (end + 1 < s.n && py_isspace(s.cp[end]) && s.cp[end + 1] == '.') {
        end += 2;
    }
    return end;
}

static bool word_ends_at(struct pyspan s, size_t i)
{
    return i >= s.n || py_isspace(s.cp[i]) || is_non_word(s.cp[i]) || multi_char_at(s, i);
}

static size_t token_end(struct pyspan s, size_t i)
{
    if (multi_char_at(s, i)) {
        return multi_char_end(s, i);
    }
    if (is_one_of(s.cp[i], "(\"`{[:;&#*@)}]-,")) {
        return i + 1;
    }
    size_t end = i + 1;
    while (!word_ends_at(s, end) && !(s.cp[end] == ',' && word_ends_at(s, end + 1))) {
        end++;
    }
    return end;
}

// ---- words ----

struct word {
    char text[WORD_MAX];
    size_t n;
};

// Lower-case ASCII; empty when the token is too long or not ASCII.
static struct word lower_word(struct pyspan s)
{
    struct word w = {.n = 0};
    if (s.n >= WORD_MAX) {
        return w;
    }
    for (size_t i = 0; i < s.n; i++) {
        uint32_t c = py_tolower(s.cp[i]);
        if (c == 0 || c >= 0x80) {
            return (struct word){.n = 0};
        }
        w.text[w.n++] = (char)c;
    }
    return w;
}

static struct pyspan without_dot(struct pyspan s)
{
    return s.n > 1 && s.cp[s.n - 1] == '.' ? pyspan_slice(s, 0, s.n - 1) : s;
}

// -1,234.5 or 3. or .5
static bool is_number(struct pyspan s)
{
    size_t i = at(s, 0) == '-';
    i += at(s, i) == '.' || at(s, i) == ',';
    if (i >= s.n || !py_isdecimal(s.cp[i])) {
        return false;
    }
    while (i < s.n && (py_isdecimal(s.cp[i]) || is_one_of(s.cp[i], ",.-"))) {
        i++;
    }
    return i == s.n;
}

static bool is_initial(struct pyspan s)
{
    return s.n == 2 && s.cp[1] == '.' && py_isword(s.cp[0]) && s.cp[0] != '_' &&
           !py_isdecimal(s.cp[0]);
}

static bool is_abbreviation(struct pyspan s)
{
    struct word w = lower_word(without_dot(s));
    const char *dash = memrchr(w.text, '-', w.n);
    size_t from = dash ? (size_t)(dash - w.text) + 1 : 0;
    return punkt_is_abbreviation(w.text, w.n) || punkt_is_abbreviation(w.text + from, w.n - from);
}

static void judge_alone(struct token *t)
{
    struct pyspan s = t->text;
    bool dot = s.cp[s.n - 1] == '.';
    if (s.n == 1 && is_mark(s.cp[0])) {
        t->breaks = true;
    } else if (dot && s.n >= 2 && s.cp[s.n - 2] == '.') {
        t->ellipsis = pyspan_strip_char(s, '.').n == 0;
    } else if (dot) {
        t->abbreviation = is_abbreviation(s);
        t->breaks = !t->abbreviation;
    }
}

// ---- pairs ----

enum starts { STARTS_NO, STARTS_YES, STARTS_UNKNOWN };

// Does the token look like the first word of a sentence?
static enum starts looks_like_start(const struct token *t)
{
    if (t->text.n == 1 && is_one_of(t->text.cp[0], ";:,.!?")) {
        return STARTS_NO;
    }
    if (py_islower(t->text.cp[0])) {
        return STARTS_NO;
    }
    struct word w = lower_word(t->breaks ? without_dot(t->text) : t->text);
    return py_isupper(t->text.cp[0]) && punkt_is_common(w.text, w.n) ? STARTS_YES : STARTS_UNKNOWN;
}

static void judge_pair(struct token *t, const struct token *next)
{
    if (t->text.cp[t->text.n - 1] != '.') {
        return;
    }
    bool initial = is_initial(t->text);
    bool upper = py_isupper(next->text.cp[0]);
    enum starts start = looks_like_start(next);
    if ((t->abbreviation || t->ellipsis) && !initial) {
        struct word w = lower_word(next->breaks ? without_dot(next->text) : next->text);
        t->breaks = t->breaks || start == STARTS_YES || (upper && punkt_is_starter(w.text, w.n));
        if (t->breaks) {
            return;
        }
    }
    if (initial || is_number(without_dot(t->text))) {
        t->breaks = t->breaks && start != STARTS_NO;
    }
}

static bool has_break(struct pyspan context)
{
    struct token previous = {0};
    bool any = false;
    for (size_t i = 0; i < context.n;) {
        if (py_isspace(context.cp[i])) {
            i++;
            continue;
        }
        size_t end = token_end(context, i);
        struct token t = {.text = pyspan_slice(context, i, end)};
        judge_alone(&t);
        if (any) {
            judge_pair(&previous, &t);
            if (previous.breaks) {
                return true;
            }
        }
        previous = t;
        any = true;
        i = end;
    }
    return false;
}

// ---- the text ----

// What may follow a mark that ends a sentence. *after: end of the mark's context; *next: where the
// next word starts, or the mark's own end.
static bool may_end(struct pyspan s, size_t mark, size_t *after, size_t *next)
{
    size_t i = mark + 1;
    *next = i;
    if (!is_mark(s.cp[mark]) || i >= s.n) {
        return false;
    }
    if (is_non_word(s.cp[i])) {
        *after = i + 1;
        return true;
    }
    while (i < s.n && py_isspace(s.cp[i])) {
        i++;
    }
    if (i == mark + 1 || i == s.n) {
        return false;
    }
    *next = i;
    while (i < s.n && !py_isspace(s.cp[i])) {
        i++;
    }
    *after = i;
    return true;
}

// Closing quotes and brackets at the start of a piece, when blanks, a dash or a line's end follow.
static size_t closers_end(struct pyspan s)
{
    size_t end = 0;
    while (end < s.n && is_one_of(s.cp[end], "\"')]}")) {
        end++;
        if (end == s.n || py_isspace(s.cp[end]) || (s.cp[end] == '-' && at(s, end + 1) == '-')) {
            return end;
        }
    }
    return 0;
}

struct splitter {
    struct pylist_builder out;
    struct pyspan s;
    size_t open;       // start of the piece under way
    bool has_piece;    // a finished piece waits for closers of the next
    size_t from, to;
};

static void add_piece(struct splitter *p, size_t from, size_t to)
{
    if (p->has_piece) {
        size_t closers = closers_end(pyspan_slice(p->s, from, to));
        size_t end = closers > 0 ? from + closers : p->to;
        if (end > p->from) {
            pylist_add(&p->out, pyspan_slice(p->s, p->from, end));
        }
        from += closers;
        while (closers > 0 && from < to && py_isspace(p->s.cp[from])) {
            from++;
        }
    }
    p->has_piece = true;
    p->from = from;
    p->to = to;
}

struct pylist sentences_punkt(struct scratch *a, struct pyspan s)
{
    struct splitter p = {.out = {.scratch = a}, .s = pyspan_rstrip_class(s, py_isspace)};
    size_t word = 0;         // start of the word that the mark at hand stands in
    bool waiting = false;    // the last mark of a word has not been judged yet
    size_t mark = 0, mark_word = 0, mark_after = 0, mark_next = 0;
    s = p.s;
    for (size_t i = 0; i <= s.n; i++) {
        bool blank = i == s.n || is_one_of(s.cp[i], " \t\n\r\v\f");
        if (blank && waiting) {
            if (has_break(pyspan_slice(s, mark_word, mark_after))) {
                add_piece(&p, p.open, mark + 1);
                p.open = mark_next;
            }
            waiting = false;
        }
        if (blank) {
            word = i + 1;
            continue;
        }
        size_t after = 0, next = 0;
        if (may_end(s, i, &after, &next)) {
            waiting = true;
            mark = i;
            mark_word = word;
            mark_after = after;
            mark_next = next;
        }
    }
    add_piece(&p, p.open, s.n);
    if (p.to > p.from) {
        pylist_add(&p.out, pyspan_slice(s, p.from, p.to));
    }
    return p.out.list;
}
