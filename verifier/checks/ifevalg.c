// ifevalg.c: the instructions that open-instruct's later suite of several constraints per row adds
// to IFEval's, but for those on sentences and word tokens (ifevalg_sentences.c).
//
// Labels of dataset "ifeval" list them beside IFEval's own (rubric_suite.c). Each function decides
// as the original checker does, oddities included: an excluded word is only seen between two
// spaces, one letter is a palindrome. Where the original puts a random value in place of 0 or "",
// the argument is refused.
#include "verifier/checks/checktext.h"
#include "verifier/checks/ifbench_text.h"
#include "verifier/checks/tables.h"

#include <string.h>

static bool repeats_prompt(const struct check *c, struct pyspan part)
{
    return checktext_same_stripped_lower(c->scratch, part, c->args[0].text);
}

static bool copy(const struct check *c)
{
    return repeats_prompt(c, c->response);
}

static bool copying_multiple(const struct check *c)
{
    struct pylist parts = pytext_split_by(c->scratch, c->response, "******");
    bool all = parts.n == ifbench_ordinal(c, 1, "N");
    for (size_t i = 0; i < parts.n && all; i++) {
        all = repeats_prompt(c, parts.v[i]);
    }
    return all;
}

// Character indices; n_end itself is left out.
static bool copy_span(const struct check *c)
{
    struct pyspan part = pyspan_slice(c->args[0].text, ifbench_ordinal(c, 1, "n_start"),
                                      ifbench_ordinal(c, 2, "n_end"));
    return checktext_same_stripped_lower(c->scratch, c->response, part);
}

// ---- variants of a phrase ----

static void refuse_pattern(const struct check *c, struct pyspan word)
{
    for (size_t i = 0; i < word.n; i++) {
        if (word.cp[i] < 0x80 && strchr(".^$*+?{}[]\\|()", (int)word.cp[i])) {
            scratch_fail(c->scratch, ERR_INVALID,
                         "phrase: a sign of regular expressions in its first or last word");
        }
    }
}

static size_t count_changed(struct pylist words, struct pylist original)
{
    if (words.n != original.n) {
        return SIZE_MAX;
    }
    size_t n = 0;
    for (size_t i = 0; i < words.n; i++) {
        n += !pyspan_equal(words.v[i], original.v[i]);
    }
    return n;
}

// Matches of "FIRST .*? LAST", cut from *rest one by one; an empty span when there are no more.
// `end` and `newline` are the next of their kind at or behind the place looked at, kept between
// calls so that the scan takes linear time.
struct phrase_scan {
    struct pyspan text, first, last;
    size_t at, end, newline;
};

static struct pyspan next_phrase(struct phrase_scan *s)
{
    for (;;) {
        size_t start = pyspan_search(s->text, s->first, s->at);
        if (start == PYSPAN_NONE) {
            return (struct pyspan){0};
        }
        size_t inside = start + s->first.n;
        if (s->end < inside) {
            s->end = pyspan_search(s->text, s->last, inside);
        }
        if (s->end == PYSPAN_NONE) {
            return (struct pyspan){0};
        }
        if (s->newline < inside) {
            s->newline = pyspan_find(s->text, '\n', inside);
        }
        if (s->end < s->newline) {
            s->at = s->end + s->last.n;
            return pyspan_slice(s->text, start, s->at);
        }
        s->at = start + 1;
    }
}

// No variant may change more than one word, but only the last one found must change any.
static bool repeat_phrase(const struct check *c)
{
    struct pylist words = pytext_split(c->scratch, c->args[0].text);
    size_t want = ifbench_ordinal(c, 1, "small_n"), n = 0, changed = 0;
    if (words.n == 0) {
        scratch_fail(c->scratch, ERR_INVALID, "phrase: blank");
    }
    struct pyspan first = words.v[0], last = words.v[words.n - 1];
    refuse_pattern(c, first);
    refuse_pattern(c, last);
    struct pyspan space = pytext_literal(c->scratch, " ");
    struct phrase_scan scan = {.text = c->response,
                               .first = pytext_concat(c->scratch, first, space),
                               .last = pytext_concat(c->scratch, space, last)};
    bool close = true;
    for (struct pyspan part; (part = next_phrase(&scan)).n > 0 && close;) {
        changed = count_changed(pytext_split(c->scratch, part), words);
        close = changed <= 1;
        n++;
    }
    return close && n == want && changed == 1;
}

// ---- words between whitespace ----

static bool square_brackets(const struct check *c)
{
    struct pylist words = pytext_split(c->scratch, c->response);
    bool all = true;
    for (size_t i = 0; i < words.n && all; i++) {
        all = pyspan_starts_with(words.v[i], "[") && pyspan_ends_with(words.v[i], "]");
    }
    return all;
}

// An odd last word needs no brackets.
static bool bigram_wrapping(const struct check *c)
{
    struct pylist words = pytext_split(c->scratch, c->response);
    bool all = true;
    for (size_t i = 0; i + 1 < words.n && all; i += 2) {
        all = pyspan_starts_with(words.v[i], "<<") && pyspan_ends_with(words.v[i + 1], ">>");
    }
    return all;
}

// A first letter that lowers to two characters belongs to no alphabet here.
static bool no_adjacent_consecutive(const struct check *c)
{
    struct pylist words = pytext_split(c->scratch, c->response);
    bool none = true;
    struct pyspan before = {0};
    for (size_t i = 0; i < words.n && none; i++) {
        struct pyspan letter = pytext_lower(c->scratch, pyspan_slice(words.v[i], 0, 1));
        if (i > 0) {
            none = before.n == 1 && letter.n == 1 && letter.cp[0] != before.cp[0] + 1;
        }
        before = letter;
    }
    return none;
}

static bool is_palindrome(struct pyspan word)
{
    size_t i = 0;
    while (i < word.n / 2 && word.cp[i] == word.cp[word.n - 1 - i]) {
        i++;
    }
    return i == word.n / 2;
}

static bool palindrome(const struct check *c)
{
    struct pylist words = pytext_split(c->scratch, c->response);
    bool found = false;
    for (size_t i = 0; i < words.n && !found; i++) {
        found = is_palindrome(words.v[i]);
    }
    return found;
}

static bool first_word(const struct check *c)
{
    struct pyspan want = ifbench_filled(c, 0, "first_word");
    struct pyspan word = pytext_split(c->scratch, c->response).v[0];
    return checktext_same_stripped_lower(c->scratch, word, want);
}

static bool last_word(const struct check *c)
{
    struct pyspan want = ifbench_filled(c, 0, "last_word");
    struct pylist words = pytext_split(c->scratch, c->response);
    return checktext_same_stripped_lower(
        c->scratch, checktext_only_word(c->scratch, words.v[words.n - 1]), want);
}

// ---- keywords ----

static size_t count_keyword(const struct check *c, size_t arg, const char *name)
{
    return checktext_count_pattern(c->scratch, ifbench_filled(c, arg, name), c->response);
}

static bool word_once(const struct check *c)
{
    return count_keyword(c, 0, "keyword") == 1;
}

static bool word_count(const struct check *c)
{
    return check_related(count_keyword(c, 0, "keyword"), &c->args[1], &c->args[2]);
}

static bool increment_word(const struct check *c)
{
    return count_keyword(c, 0, "keyword1") == 1 && count_keyword(c, 1, "keyword2") == 2;
}

static bool exclude_word(const struct check *c)
{
    struct pyspan space = pytext_literal(c->scratch, " ");
    struct pyspan word = pyspan_strip(ifbench_filled(c, 0, "keyword"));
    struct pyspan spaced = pytext_concat(c->scratch, pytext_concat(c->scratch, space, word), space);
    return pyspan_search(c->response, spaced, 0) == PYSPAN_NONE;
}

// ---- paragraphs, marks, letters ----

static bool paragraphs_by_stars(const struct check *c)
{
    return checktext_count_filled(checktext_split_stars(c->scratch, c->response)) == 2;
}

static bool paragraphs_by_lines(const struct check *c)
{
    return checktext_count_filled(pytext_split_by(c->scratch, c->response, "\n\n")) == 2;
}

static bool no_dot(const struct check *c)
{
    return pyspan_find(c->response, '.', 0) == c->response.n;
}

static bool no_exclamation(const struct check *c)
{
    return pyspan_find(c->response, '!', 0) == c->response.n;
}

static bool is_ascii_lower(uint32_t c)
{
    return c >= 'a' && c <= 'z';
}

// \b[a-z]+\b: a run of word characters that are all small letters.
static bool lowercase_counting(const struct check *c)
{
    size_t most = ifbench_ordinal(c, 0, "N"), n = 0;
    struct pylist words = pytext_words(c->scratch, c->response);
    for (size_t i = 0; i < words.n; i++) {
        n += pyspan_lstrip_class(words.v[i], is_ascii_lower).n == 0;
    }
    return n <= most;
}

static bool letter_counting(const struct check *c)
{
    (void)ifbench_ordinal(c, 0, "N");
    size_t n = 0;
    for (size_t i = 0; i < c->response.n; i++) {
        n += is_ascii_lower(c->response.cp[i]) || is_ascii_lower(c->response.cp[i] + 0x20);
    }
    return check_related(n, &c->args[0], &c->args[1]);
}

static bool letter_frequency(const struct check *c)
{
    struct pyspan letter = pytext_lower(c->scratch, c->args[0].text);
    if (letter.n != 1 || !is_ascii_lower(letter.cp[0])) {
        scratch_fail(c->scratch, ERR_INVALID, "letter: expected one of a to z");
    }
    return check_related(pyspan_count(pytext_lower(c->scratch, c->response), letter), &c->args[1],
                         &c->args[2]);
}

const struct check_row checks_ifevalg[] = {
    CHECK_INSTRUCTION_ROW("copy:copy", "1", copy,
                          "the response is prompt_to_repeat, whatever its case",
                          CHECK_STR("prompt_to_repeat")),
    CHECK_INSTRUCTION_ROW("copy:copying_simple", "1", copy,
                          "the response is prompt_to_repeat, whatever its case",
                          CHECK_STR("prompt_to_repeat")),
    CHECK_INSTRUCTION_ROW("copy:copying_multiple", "1", copying_multiple,
                          "\"******\" separates N copies of prompt_to_repeat",
                          CHECK_STR("prompt_to_repeat"), CHECK_INT("N")),
    CHECK_INSTRUCTION_ROW("new:copy_span_idx", "1", copy_span,
                          "the response is prompt_to_repeat from character n_start up to n_end",
                          CHECK_STR("prompt_to_repeat"), CHECK_INT("n_start"), CHECK_INT("n_end")),
    CHECK_INSTRUCTION_ROW("copy:repeat_phrase", "1", repeat_phrase,
                          "the phrase occurs small_n times, one inner word changed",
                          CHECK_STR("phrase"), CHECK_INT("small_n")),
    CHECK_INSTRUCTION_ROW("detectable_format:square_brackets", "1", square_brackets,
                          "every word stands in square brackets", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("detectable_format:bigram_wrapping", "1", bigram_wrapping,
                          "every pair of words stands in <<double angular brackets>>",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("keywords:no_adjacent_consecutive", "1", no_adjacent_consecutive,
                          "no word begins with the letter after that of the word before it",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("keywords:palindrome", "1", palindrome,
                          "some word reads the same backwards", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("first_word:first_word_answer", "1", first_word,
                          "the first word is first_word, whatever its case",
                          CHECK_STR("first_word")),
    CHECK_INSTRUCTION_ROW("last_word:last_word_answer", "1", last_word,
                          "the last word, without marks, is last_word, whatever its case",
                          CHECK_STR("last_word")),
    CHECK_INSTRUCTION_ROW("keywords:word_once", "1", word_once,
                          "the keyword, a regular expression, matches once", CHECK_STR("keyword")),
    CHECK_INSTRUCTION_ROW("keywords:word_count_different_numbers", "1", word_count,
                          "the keyword, a regular expression, matches less than, or at least, so "
                          "often",
                          CHECK_STR("keyword"), CHECK_INT("frequency"), CHECK_RELATION("relation")),
    CHECK_INSTRUCTION_ROW("count:count_increment_word", "1", increment_word,
                          "keyword1 matches once and keyword2 twice, both regular expressions",
                          CHECK_STR("keyword1"), CHECK_STR("keyword2")),
    CHECK_INSTRUCTION_ROW("keywords:exclude_word_harder", "1", exclude_word,
                          "the keyword does not stand between two spaces", CHECK_STR("keyword")),
    CHECK_INSTRUCTION_ROW("paragraphs:paragraphs", "1", paragraphs_by_stars,
                          "\"***\" separates two paragraphs", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("paragraphs:paragraphs2", "1", paragraphs_by_lines,
                          "a blank line separates two paragraphs", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("punctuation:punctuation_dot", "1", no_dot,
                          "the response has no U+002E full stop", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("punctuation:punctuation_exclamation", "1", no_exclamation,
                          "the response has no U+0021 exclamation mark", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("count:lowercase_counting", "1", lowercase_counting,
                          "at most N words are all small letters", CHECK_INT("N")),
    CHECK_INSTRUCTION_ROW("letters:letter_counting", "1", letter_counting,
                          "the number of letters a to z is less than, or at least, N",
                          CHECK_INT("N"), CHECK_RELATION("relation")),
    CHECK_INSTRUCTION_ROW("letters:letter_counting2", "1", letter_frequency,
                          "the letter, whatever its case, occurs less than, or at least, so often",
                          CHECK_STR("letter"), CHECK_INT("let_frequency"),
                          CHECK_RELATION("let_relation")),
    {0},
};
