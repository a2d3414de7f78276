// ifeval.c: verifiable instructions of IFEval (Zhou et al., "Instruction-Following Evaluation for
// Large Language Models", 2023).
//
// Each function decides as the original checker does on the same text, oddities included, because
// published scores and training recipes rest on these verdicts: a keyword is a regular expression,
// "P.P.S." satisfies "P.S.", a title needs no space around it. All work is on code points under
// Python's rules (pytext.h). That a blank response fails every instruction, and the loose mode, are
// the caller's business (score.c).
#include "verifier/checks/checktext.h"
#include "verifier/checks/tables.h"
#include "verifier/pyjson.h"
#include "verifier/pyregex.h"

#include <string.h>

static bool no_comma(const struct check *c)
{
    return pyspan_find(c->response, ',', 0) == c->response.n;
}

// Words are maximal runs of \w: "state-of-the" is three, "don't" two, unspaced Japanese one.
static bool number_words(const struct check *c)
{
    return check_related(pytext_words(c->scratch, c->response).n, &c->args[0], &c->args[1]);
}

static bool existence(const struct check *c)
{
    bool all = true;
    for (size_t i = 0; i < c->args[0].list.n && all; i++) {
        all = pyregex_search(c->scratch, c->args[0].list.v[i], PYREGEX_IGNORECASE, c->response);
    }
    return all;
}

static bool quotation(const struct check *c)
{
    struct pyspan s = pyspan_strip(c->response);
    return s.n > 1 && s.cp[0] == '"' && s.cp[s.n - 1] == '"';
}

// Quotes are stripped from the response only, so a phrase that ends in one is never found.
static bool end_checker(const struct check *c)
{
    struct pyspan reply = pyspan_strip_char(pyspan_strip(c->response), '"');
    struct pyspan phrase = pyspan_strip(c->args[0].text);
    return pyspan_ends(pytext_lower(c->scratch, reply), pytext_lower(c->scratch, phrase));
}

static bool json_format(const struct check *c)
{
    static const char *const fences[] = {"```json", "```Json", "```JSON", "```"};
    struct pyspan s = pyspan_strip(c->response);
    for (size_t i = 0; i < ARRAY_LEN(fences); i++) {
        if (pyspan_starts_with(s, fences[i])) {
            s = pyspan_slice(s, strlen(fences[i]), s.n);
        }
    }
    if (pyspan_ends_with(s, "```")) {
        s = pyspan_slice(s, 0, s.n - 3);
    }
    return pyjson_valid(pyspan_strip(s));
}

// The pattern of a marker: two markers have their own, any other is a pattern itself. Case is
// removed by lower() on both sides. Upstream puts \s* in front of each; it may match nothing, so it
// is left out (a long run of blanks would cost quadratic time), except where the marker begins with
// a repeat sign and would change its meaning.
static struct pyspan postscript_pattern(struct scratch *a, struct pyspan marker)
{
    if (pyspan_is(marker, "P.S.")) {
        return pytext_literal(a, "p\\.\\s?s\\.");
    }
    if (pyspan_is(marker, "P.P.S")) {
        return pytext_literal(a, "p\\.\\s?p\\.\\s?s");
    }
    struct pyspan lower = pytext_lower(a, marker);
    bool repeat = lower.n > 0 && lower.cp[0] < 0x80 && strchr("*+?{", (int)lower.cp[0]);
    struct pyspan head = pytext_literal(a, repeat ? "\\s*" : "");
    return pytext_concat(a, pytext_concat(a, head, lower), pytext_literal(a, ".*$"));
}

static bool postscript(const struct check *c)
{
    struct pyspan pattern = postscript_pattern(c->scratch, pyspan_strip(c->args[0].text));
    return pyregex_search(c->scratch, pattern, PYREGEX_MULTILINE,
                          pytext_lower(c->scratch, c->response));
}

static struct pyspan strip_title(struct pyspan s)
{
    size_t from = 0, to = s.n;
    while (from < to && s.cp[from] == '<') {
        from++;
    }
    while (to > from && s.cp[to - 1] == '>') {
        to--;
    }
    return pyspan_slice(s, from, to);
}

// On one line: from the first "<<" to the last ">>" with at least one character between them.
static bool line_has_title(struct pyspan line)
{
    size_t open = 0;
    while (open + 1 < line.n && !(line.cp[open] == '<' && line.cp[open + 1] == '<')) {
        open++;
    }
    for (size_t close = line.n; close >= open + 5; close--) {
        if (line.cp[close - 1] == '>' && line.cp[close - 2] == '>') {
            return !pyspan_blank(strip_title(pyspan_slice(line, open, close)));
        }
    }
    return false;
}

static bool title(const struct check *c)
{
    bool found = false;
    for (size_t at = 0; at <= c->response.n && !found;) {
        size_t end = pyspan_find(c->response, '\n', at);
        found = line_has_title(pyspan_slice(c->response, at, end));
        at = end + 1;
    }
    return found;
}

static bool keyword_frequency(const struct check *c)
{
    size_t n = checktext_count_pattern(c->scratch, c->args[0].text, c->response);
    return check_related(n, &c->args[1], &c->args[2]);
}

static bool forbidden_words(const struct check *c)
{
    struct pyspan edge = pytext_literal(c->scratch, "\\b");
    bool found = false;
    for (size_t i = 0; i < c->args[0].list.n && !found; i++) {
        struct pyspan head = pytext_concat(c->scratch, edge, c->args[0].list.v[i]);
        found = pyregex_search(c->scratch, pytext_concat(c->scratch, head, edge),
                               PYREGEX_IGNORECASE, c->response);
    }
    return !found;
}

static bool letter_frequency(const struct check *c)
{
    struct pyspan letter = c->args[0].text;
    if (letter.n != 1) {
        scratch_fail(c->scratch, ERR_INVALID, "letter: %zu characters, expected one", letter.n);
    }
    letter = pytext_lower(c->scratch, letter);
    size_t n = letter.n == 1 ? pyspan_count(pytext_lower(c->scratch, c->response), letter) : 0;
    return check_related(n, &c->args[1], &c->args[2]);
}

static bool is_count(const struct check *c, size_t n)
{
    return (int64_t)n == c->args[0].integer;
}

static bool number_paragraphs(const struct check *c)
{
    return is_count(c, checktext_count_filled(checktext_split_stars(c->scratch, c->response)));
}

// The first word of a paragraph: quotes in front go, then it ends at a punctuation mark. Characters
// are lowered one by one, so a sigma is never a final one.
static struct pyspan first_word(struct scratch *a, struct pyspan paragraph)
{
    struct pyspan word = pytext_split(a, paragraph).v[0];
    size_t from = 0, to;
    while (from < word.n && word.cp[from] == '\'') {
        from++;
    }
    while (from < word.n && word.cp[from] == '"') {
        from++;
    }
    for (to = from; to < word.n; to++) {
        if (word.cp[to] < 0x80 && strchr(".,?!'\"", (int)word.cp[to])) {
            break;
        }
    }
    struct pylist_builder lower = {.scratch = a};
    for (size_t i = from; i < to; i++) {
        pylist_add(&lower, pytext_lower(a, pyspan_slice(word, i, i + 1)));
    }
    return pytext_join(a, lower.list, (struct pyspan){0});
}

// Blank paragraphs do not count, but keep their place in the numbering.
static bool nth_paragraph_first_word(const struct check *c)
{
    struct pylist parts = pytext_split_by(c->scratch, c->response, "\n\n");
    int64_t nth = c->args[1].integer, n = 0;
    if (nth == 0) {
        scratch_fail(c->scratch, ERR_INVALID, "nth_paragraph: 0, expected 1 or more");
    }
    for (size_t i = 0; i < parts.n; i++) {
        n += !pyspan_blank(parts.v[i]);
    }
    if (nth > n || n != c->args[0].integer || pyspan_blank(parts.v[nth - 1])) {
        return false;
    }
    return pyspan_equal(first_word(c->scratch, parts.v[nth - 1]),
                        pytext_lower(c->scratch, c->args[2].text));
}

static bool number_placeholders(const struct check *c)
{
    return (int64_t)checktext_count_enclosed(c->response, '[', ']') >= c->args[0].integer;
}

// Lines whose first character behind any whitespace is `mark`. The whitespace may span blank lines;
// a star needs a further character that is no star, and a newline will do, which takes the next
// line along.
static size_t count_bullets(struct pyspan s, uint32_t mark)
{
    size_t n = 0;
    for (size_t at = 0; at < s.n;) {
        size_t first = at;
        while (first < s.n && py_isspace(s.cp[first])) {
            first++;
        }
        size_t next = first + 1;
        if (first < s.n && s.cp[first] == mark && mark == '*') {
            bool more = next < s.n && s.cp[next] != '*';
            n += more;
            next += more;
        } else {
            n += first < s.n && s.cp[first] == mark;
        }
        at = pyspan_find(s, '\n', MIN(next, s.n)) + 1;
    }
    return n;
}

static bool number_bullet_lists(const struct check *c)
{
    return is_count(c, count_bullets(c->response, '*') + count_bullets(c->response, '-'));
}

static bool constrained_response(const struct check *c)
{
    static const char *const options[] = {"My answer is yes.", "My answer is no.",
                                          "My answer is maybe."};
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        found = found || pyspan_search_for(c->response, options[i], 0) != PYSPAN_NONE;
    }
    return found;
}

static bool stars_at(struct pyspan s, size_t at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (at + i >= s.n || s.cp[at + i] != '*') {
            return false;
        }
    }
    return true;
}

// Spans between `width` stars on one line, without a star inside and not blank.
static size_t count_highlights(struct pyspan s, size_t width)
{
    size_t n = 0;
    for (size_t at = pyspan_find(s, '*', 0); at < s.n;) {
        size_t end = at + width;
        while (end < s.n && s.cp[end] != '*' && s.cp[end] != '\n') {
            end++;
        }
        bool closed = stars_at(s, at, width) && stars_at(s, end, width);
        n += closed && !pyspan_blank(pyspan_slice(s, at + width, end));
        at = pyspan_find(s, '*', closed ? end + width : at + 1);
    }
    return n;
}

static bool number_highlighted_sections(const struct check *c)
{
    size_t n = count_highlights(c->response, 1) + count_highlights(c->response, 2);
    return (int64_t)n >= c->args[0].integer;
}

static bool multiple_sections(const struct check *c)
{
    struct pyspan head = pytext_literal(c->scratch, "\\s?");
    struct pyspan tail = pytext_literal(c->scratch, "\\s?\\d+\\s?");
    struct pyspan pattern = pytext_concat(
        c->scratch, pytext_concat(c->scratch, head, pyspan_strip(c->args[0].text)), tail);
    const struct pyregex *re = pyregex_compile(c->scratch, pattern, 0);
    return (int64_t)pyregex_count(c->scratch, re, c->response) >= c->args[1].integer;
}

static bool two_responses(const struct check *c)
{
    struct pylist parts = pytext_split_by(c->scratch, c->response, "******");
    if (checktext_count_filled(parts) != 2) {
        return false;
    }
    size_t first = pyspan_blank(parts.v[0]);
    return !pyspan_equal(pyspan_strip(parts.v[first]), pyspan_strip(parts.v[first + 1]));
}

static bool repeat_prompt(const struct check *c)
{
    return pyspan_starts(pytext_lower(c->scratch, pyspan_strip(c->response)),
                         pytext_lower(c->scratch, pyspan_strip(c->args[0].text)));
}

const struct check_row checks_ifeval[] = {
    CHECK_INSTRUCTION_ROW("keywords:existence", "1", existence,
                          "every keyword, a regular expression, is found anywhere, whatever its "
                          "case",
                          CHECK_LIST("keywords")),
    CHECK_INSTRUCTION_ROW("keywords:frequency", "1", keyword_frequency,
                          "the keyword, a regular expression, matches less than, or at least, so "
                          "often",
                          CHECK_STR("keyword"), CHECK_INT("frequency"), CHECK_RELATION("relation")),
    CHECK_INSTRUCTION_ROW("keywords:forbidden_words", "1", forbidden_words,
                          "none of the words, regular expressions, is found as a whole word",
                          CHECK_LIST("forbidden_words")),
    CHECK_INSTRUCTION_ROW("keywords:letter_frequency", "1", letter_frequency,
                          "the letter, whatever its case, occurs less than, or at least, so often",
                          CHECK_STR("letter"), CHECK_INT("let_frequency"),
                          CHECK_RELATION("let_relation")),
    CHECK_INSTRUCTION_ROW("length_constraints:number_words", "1", number_words,
                          "the number of words (runs of \\w) is less than, or at least, num_words",
                          CHECK_INT("num_words"), CHECK_RELATION("relation")),
    CHECK_INSTRUCTION_ROW("length_constraints:number_paragraphs", "1", number_paragraphs,
                          "\"***\" separates exactly so many paragraphs",
                          CHECK_INT("num_paragraphs")),
    CHECK_INSTRUCTION_ROW(
        "length_constraints:nth_paragraph_first_word", "1", nth_paragraph_first_word,
        "blank lines separate exactly num_paragraphs, and that paragraph begins "
        "with first_word",
        CHECK_INT("num_paragraphs"), CHECK_INT("nth_paragraph"), CHECK_STR("first_word")),
    CHECK_INSTRUCTION_ROW("detectable_content:number_placeholders", "1", number_placeholders,
                          "at least so many placeholders in square brackets",
                          CHECK_INT("num_placeholders")),
    CHECK_INSTRUCTION_ROW("detectable_content:postscript", "1", postscript,
                          "the response holds the postscript marker",
                          CHECK_STR("postscript_marker")),
    CHECK_INSTRUCTION_ROW("detectable_format:number_bullet_lists", "1", number_bullet_lists,
                          "exactly so many lines are bullets, with * or -",
                          CHECK_INT("num_bullets")),
    CHECK_INSTRUCTION_ROW("detectable_format:constrained_response", "1", constrained_response,
                          "\"My answer is yes.\", \"… no.\" or \"… maybe.\" occurs", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW(
        "detectable_format:number_highlighted_sections", "1", number_highlighted_sections,
        "at least so many spans are highlighted with stars", CHECK_INT("num_highlights")),
    CHECK_INSTRUCTION_ROW("detectable_format:multiple_sections", "1", multiple_sections,
                          "at least so many sections are headed by the splitter and a number",
                          CHECK_STR("section_spliter"), CHECK_INT("num_sections")),
    CHECK_INSTRUCTION_ROW("detectable_format:json_format", "1", json_format,
                          "the response, without a code fence, is JSON as Python reads it",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("detectable_format:title", "1", title,
                          "one line holds a title in <<double angular brackets>>", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("combination:two_responses", "1", two_responses,
                          "\"******\" separates two different responses", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("combination:repeat_prompt", "1", repeat_prompt,
                          "the response begins with prompt_to_repeat, whatever its case",
                          CHECK_STR("prompt_to_repeat")),
    CHECK_INSTRUCTION_ROW("startend:end_checker", "1", end_checker,
                          "the response ends with end_phrase, whatever its case and outer quotes",
                          CHECK_STR("end_phrase")),
    CHECK_INSTRUCTION_ROW("startend:quotation", "1", quotation,
                          "the stripped response begins and ends with a double quote",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("punctuation:no_comma", "1", no_comma, "the response has no U+002C comma",
                          CHECK_NO_ARGS),
    {0},
};
