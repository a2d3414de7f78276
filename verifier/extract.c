// extract.c: the places in order.
#include "verifier/extract.h"

#include <string.h>

#include "verifier/mathmarks.h"
#include "verifier/mathrun.h"

#define WORDS_MAX 6       // longest answer in words alone
#define NOUN_LETTERS 6    // "answer", "option", "choice"

// ---- what is said ----

static struct pyspan after_last(struct pyspan s, const char *mark)
{
    size_t from = 0;
    for (size_t at = 0; (at = pyspan_search_for(s, mark, at)) != PYSPAN_NONE;) {
        from = at += strlen(mark);
    }
    return pyspan_slice(s, from, s.n);
}

static struct pyspan spoken_part(struct pyspan s)
{
    if (pyspan_find(s, '<', 0) == s.n) {
        return s;
    }
    s = after_last(after_last(s, "<|assistant|>"), "</think>");
    if (pyspan_search_for(s, "<think>", 0) != PYSPAN_NONE) {
        return pyspan_slice(s, 0, 0);
    }
    s = after_last(s, "<answer>");
    size_t end = pyspan_search_for(s, "</answer>", 0);
    return end == PYSPAN_NONE ? s : pyspan_slice(s, 0, end);
}

// ---- the words before an answer ----

enum lead { LEAD_NONE, LEAD_ANSWER, LEAD_FINAL };

static bool same_letters(struct pyspan s, size_t at, const char *lower)
{
    size_t n = strlen(lower);
    if (at + n > s.n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t c = s.cp[at + i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != (unsigned char)lower[i]) {
            return false;
        }
    }
    return true;
}

static bool is_markup(uint32_t c)
{
    return c == '*' || c == '_' || c == '#' || py_isspace(c);
}

static size_t skip_markup(struct pyspan s, size_t at)
{
    while (at < s.n && is_markup(s.cp[at])) {
        at++;
    }
    return at;
}

// At a noun of six letters: is it one of the phrases, and where does what it announces begin?
static enum lead lead_at(struct pyspan s, size_t at, size_t *from)
{
    static const char *const links[] = {"is:", "is", "are:", "are", ":", "=", "would be", "to be"};
    size_t end = skip_markup(s, at + NOUN_LETTERS);
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_LEN(links) && len == 0; i++) {
        len = same_letters(s, end, links[i]) ? strlen(links[i]) : 0;
    }
    bool letter = len > 0 && py_isalpha(s.cp[end]) && end + len < s.n &&
                  py_isalpha(s.cp[end + len]) && py_isalpha(s.cp[end + len - 1]);
    size_t before = at;
    while (before > 0 && is_markup(s.cp[before - 1])) {
        before--;
    }
    bool final = before >= 5 && same_letters(s, before - 5, "final");
    bool heading = final && end < s.n && pyspan_find(pyspan_slice(s, at, end), '\n', 0) < end - at;
    if (letter || (len == 0 && !heading)) {
        return LEAD_NONE;
    }
    *from = end + len;
    return final ? LEAD_FINAL : LEAD_ANSWER;
}

// The last phrase of each kind, [0] LEAD_ANSWER or "####", [1] LEAD_FINAL.
static void find_leads(struct pyspan s, size_t from[2])
{
    from[0] = from[1] = PYSPAN_NONE;
    for (size_t i = 0; i < s.n; i++) {
        size_t next = 0;
        enum lead lead = LEAD_NONE;
        uint32_t c = s.cp[i] | 0x20;
        if ((c == 'a' && same_letters(s, i, "answer")) ||
            (c == 'o' && same_letters(s, i, "option")) ||
            (c == 'c' && same_letters(s, i, "choice"))) {
            lead = lead_at(s, i, &next);
        } else if (s.cp[i] == '#' && same_letters(s, i, "#### ")) {
            lead = LEAD_ANSWER;
            next = i + 5;
        }
        if (lead != LEAD_NONE) {
            from[lead == LEAD_FINAL] = next;
        }
    }
}

// ---- after such words ----

// The end of the line that begins at `at`; marks that open on it are followed to their close.
static size_t line_end(struct pyspan s, size_t at)
{
    static const char *const pairs[][2] = {
        {"$$", "$$"}, {"\\[", "\\]"}, {"\\begin{", "\\end{"}, {"$", "$"}, {"\\(", "\\)"}};
    struct pyspan rest = pyspan_slice(s, at, s.n);
    size_t from = 0;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (pyspan_starts_with(rest, pairs[i][0])) {
            size_t open = strlen(pairs[i][0]), close = pyspan_search_for(rest, pairs[i][1], open);
            from = close == PYSPAN_NONE ? 0 : close + strlen(pairs[i][1]);
            break;
        }
    }
    return at + pyspan_find(rest, '\n', from);
}

// Up to a full stop that is followed by a blank.
static struct pyspan first_sentence(struct pyspan s)
{
    for (size_t i = 0; i + 1 < s.n; i++) {
        if (s.cp[i] == '.' && py_isspace(s.cp[i + 1])) {
            return pyspan_slice(s, 0, i);
        }
    }
    return s;
}

static bool has_digit(struct pyspan s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (py_isdecimal(s.cp[i])) {
            return true;
        }
    }
    return false;
}

static bool few_words(struct pyspan s, struct pyspan *out)
{
    *out = mathrun_trim(s);
    size_t words = 0;
    for (size_t i = 0; i < out->n && words <= WORDS_MAX; i++) {
        words += !py_isspace(out->cp[i]) && (i == 0 || py_isspace(out->cp[i - 1]));
    }
    return words > 0 && words <= WORDS_MAX;
}

// *words: nothing but words was found.
static bool announced(struct scratch *a, struct pyspan s, size_t from, struct pyspan *out,
                      bool *words)
{
    *words = false;
    while (from < s.n && (is_markup(s.cp[from]) || s.cp[from] == ':' || s.cp[from] == '=')) {
        from++;
    }
    struct pyspan line = pyspan_slice(s, from, line_end(s, from));
    struct pyspan sentence = first_sentence(line), box;
    size_t at = 0;
    if (mathmarks_first(a, line, out, &at) && !has_digit(pyspan_slice(line, 0, at))) {
        *out = mathmarks_boxed(a, *out, &box) ? box : *out;
        return true;
    }
    if (mathmarks_boxed(a, sentence, out) || mathrun_first(sentence, out)) {
        return true;
    }
    *words = true;
    return few_words(sentence, out);
}

// ---- all together ----

static bool is_loose_end(uint32_t c)
{
    return py_isspace(c) || c == '.' || c == ',' || c == ';' || c == ':' || c == '$';
}

// Of rows that are aligned at their signs, what the last one says.
static struct pyspan last_row(struct pyspan s)
{
    struct pyspan row = after_last(s, "&=");
    if (row.n == s.n) {
        return s;
    }
    size_t end = pyspan_search_for(row, "\\end{", 0), next = pyspan_search_for(row, "\\\\", 0);
    return pyspan_slice(row, 0, MIN(MIN(end, next), row.n));
}

static struct pyspan tidy(struct pyspan s)
{
    s = last_row(s);
    struct pyspan whole = pyspan_strip(s);
    s = pyspan_strip(pyspan_rstrip_class(s, is_loose_end));
    if (pyspan_ends_with(s, "\\right") || pyspan_ends_with(s, "\\") || mathrun_goes_on(whole)) {
        s = whole;    // "\\right." is a delimiter, "\\," a space
    }
    while (s.n > 0 && (s.cp[0] == '=' || s.cp[0] == '$')) {
        s = pyspan_strip(pyspan_slice(s, 1, s.n));
    }
    return s;
}

static bool find_answer(struct scratch *a, struct pyspan s, struct pyspan *out)
{
    size_t from[2];
    struct pyspan words_of_final = {0};
    bool words = false;
    find_leads(s, from);
    if (from[1] != PYSPAN_NONE && announced(a, s, from[1], out, &words)) {
        if (!words) {
            return true;
        }
        words_of_final = *out;
    }
    if (mathmarks_boxed(a, s, out)) {
        return true;
    }
    if (words_of_final.n > 0) {
        *out = words_of_final;
        return true;
    }
    return (from[0] != PYSPAN_NONE && announced(a, s, from[0], out, &words)) ||
           mathmarks_last(a, s, out) || mathrun_last(s, out) || few_words(s, out);
}

bool extract_answer(struct scratch *a, struct pyspan response, struct pyspan *out)
{
    struct pyspan found;
    if (!find_answer(a, pyspan_strip(spoken_part(response)), &found)) {
        return false;
    }
    *out = tidy(found);
    return out->n > 0;
}
