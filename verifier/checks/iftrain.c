// iftrain.c: the functions of Tülu 3's RLVR-IF training set (Lambert et al., "Tülu 3", 2024).
//
// A label of dataset "ifeval" names one of them with its arguments. They are cousins of IFEval's
// instructions, but stricter in some places (exact counts, exact case) and laxer in others (no word
// boundaries); rewards of published runs rest on these rules, so they are kept, oddities included.
// Where the later code changed a rule, NAME is the later one and NAME@tulu3 the release's. What
// raises an error in the original does not hold here. The text comes prepared (rubric_suite.c), so
// blanks at its ends never reach a function from a data row.
#include "verifier/checks/checktext.h"
#include "verifier/checks/tables.h"
#include "verifier/langid.h"
#include "verifier/pyjson.h"

#include <math.h>

static bool contains_lower(const struct check *c, struct pyspan word, struct pyspan lower)
{
    return pyspan_search(lower, pytext_lower(c->scratch, word), 0) != PYSPAN_NONE;
}

static bool keywords(const struct check *c)
{
    struct pyspan lower = pytext_lower(c->scratch, c->response);
    bool all = true;
    for (size_t i = 0; i < c->args[0].list.n && all; i++) {
        all = contains_lower(c, c->args[0].list.v[i], lower);
    }
    return all;
}

static bool forbidden_words(const struct check *c)
{
    struct pyspan lower = pytext_lower(c->scratch, c->response);
    bool any = false;
    for (size_t i = 0; i < c->args[0].list.n && !any; i++) {
        any = contains_lower(c, c->args[0].list.v[i], lower);
    }
    return !any;
}

static bool is_count(const struct check *c, size_t n, size_t arg)
{
    return (int64_t)n == c->args[arg].integer;
}

static bool keyword_frequency(const struct check *c)
{
    struct pylist words = pytext_words(c->scratch, pytext_lower(c->scratch, c->response));
    struct pyspan word = pytext_lower(c->scratch, c->args[0].text);
    size_t n = 0;
    for (size_t i = 0; i < words.n; i++) {
        n += pyspan_equal(words.v[i], word);
    }
    return is_count(c, n, 1);
}

static bool letter_frequency(const struct check *c)
{
    struct pyspan letter = c->args[0].text;
    return letter.n == 1 && is_count(c, pyspan_count(c->response, letter), 1);
}

// A text that tells no language is an error upstream.
static bool response_language(const struct check *c)
{
    const char *found = langid_detect(c->response);
    return found && pyspan_is(c->args[0].text, found);
}

// Lines are stripped before the split, so a mark may stand anywhere on its line.
static bool paragraph_count(const struct check *c)
{
    struct pylist lines = pytext_splitlines(c->scratch, c->response);
    for (size_t i = 0; i < lines.n; i++) {
        lines.v[i] = pyspan_strip(lines.v[i]);
    }
    struct pyspan text = pytext_join(c->scratch, lines, pytext_literal(c->scratch, "\n"));
    struct pylist parts = pytext_split_by(c->scratch, pyspan_strip(text), "* * *");
    bool filled = true;
    for (size_t i = 0; i < parts.n; i++) {
        filled = filled && !pyspan_blank(parts.v[i]);
    }
    return filled && is_count(c, parts.n, 0);
}

// "around" allows a tenth of N, rounded half to even, and 1 at least.
static bool quantified(const struct check *c, size_t n, double slack)
{
    double actual = (double)n, limit = (double)c->args[0].integer;
    struct pyspan quantifier = c->args[1].text;
    if (pyspan_is(quantifier, "at least")) {
        return actual >= limit;
    }
    if (pyspan_is(quantifier, "at most")) {
        return actual <= limit;
    }
    return pyspan_is(quantifier, "around") && fabs(actual - limit) <= slack;
}

static double tenth(const struct check *c)
{
    return MAX(nearbyint((double)c->args[0].integer / 10), 1.0);
}

static bool word_constraint(const struct check *c)
{
    return quantified(c, pytext_split(c->scratch, c->response).n, tenth(c));
}

static bool is_ascii_upper(uint32_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_ascii_lower(uint32_t c)
{
    return c >= 'a' && c <= 'z';
}

// A whitespace character ends a sentence when an end mark stands before it, unless the four
// characters before it look like "w.w." or the three like "Mr.".
static bool ends_sentence(struct pyspan s, size_t at, bool exclamation)
{
    uint32_t mark = at > 0 ? s.cp[at - 1] : 0;
    if (!py_isspace(s.cp[at]) || !(mark == '.' || mark == '?' || (exclamation && mark == '!'))) {
        return false;
    }
    bool initials =
        at >= 4 && py_isword(s.cp[at - 4]) && s.cp[at - 3] == '.' && py_isword(s.cp[at - 2]);
    bool title =
        at >= 3 && mark == '.' && is_ascii_upper(s.cp[at - 3]) && is_ascii_lower(s.cp[at - 2]);
    return !initials && !title;
}

static bool sentences(const struct check *c, bool exclamation)
{
    size_t n = 1;
    for (size_t i = 0; i < c->response.n; i++) {
        n += ends_sentence(c->response, i, exclamation);
    }
    return quantified(c, n, 1);
}

static bool sentence_constraint(const struct check *c)
{
    return sentences(c, true);
}

static bool sentence_constraint_release(const struct check *c)
{
    return sentences(c, false);
}

// i counts from 1; 0 reads the last paragraph, as index -1 does in Python.
static bool paragraphs(const struct check *c)
{
    struct pylist parts = pytext_split_by(c->scratch, c->response, "\n\n");
    int64_t i = c->args[2].integer;
    if (!is_count(c, parts.n, 0) || i > (int64_t)parts.n) {
        return false;
    }
    struct pyspan part = parts.v[i == 0 ? parts.n - 1 : (size_t)i - 1];
    return pyspan_starts(pyspan_strip(part), c->args[1].text);
}

static bool postscript(const struct check *c)
{
    struct pyspan marker = c->args[0].text;
    size_t at = pyspan_search(c->response, marker, 0);
    return at != PYSPAN_NONE &&
           pyspan_strip(pyspan_slice(c->response, at, c->response.n)).n > marker.n;
}

static bool placeholders(const struct check *c)
{
    return (int64_t)checktext_count_enclosed(c->response, '[', ']') >= c->args[0].integer;
}

static bool always(const struct check *c)
{
    (void)c;
    return true;
}

static bool bullet_points(const struct check *c)
{
    struct pylist lines = pytext_split_by(c->scratch, c->response, "\n");
    size_t n = 0;
    for (size_t i = 0; i < lines.n; i++) {
        struct pyspan line = pyspan_strip(lines.v[i]);
        n += line.n > 0 && (line.cp[0] == '*' || line.cp[0] == '-');
    }
    return is_count(c, n, 0);
}

static bool title(const struct check *c)
{
    struct pylist lines = pytext_split_by(c->scratch, c->response, "\n");
    bool found = false;
    for (size_t i = 0; i < lines.n && !found; i++) {
        size_t open = pyspan_search_for(lines.v[i], "<<", 0);
        found = open != PYSPAN_NONE && pyspan_search_for(lines.v[i], ">>", open + 2) != PYSPAN_NONE;
    }
    return found;
}

static bool choice(const struct check *c)
{
    bool found = false;
    for (size_t i = 0; i < c->args[0].list.n && !found; i++) {
        found = pyspan_search(c->response, c->args[0].list.v[i], 0) != PYSPAN_NONE;
    }
    return found;
}

static bool choice_release(const struct check *c)
{
    bool found = false;
    for (size_t i = 0; i < c->args[0].list.n && !found; i++) {
        found = pyspan_search(c->args[0].list.v[i], c->response, 0) != PYSPAN_NONE;
    }
    return found;
}

static bool highlighted_sections(const struct check *c)
{
    return (int64_t)checktext_count_enclosed(c->response, '*', '*') >= c->args[0].integer;
}

static bool sections(const struct check *c)
{
    struct pyspan splitter = c->args[1].text;
    if (splitter.n == 0) {
        return false;
    }
    struct pylist parts = pytext_split_at(c->scratch, c->response, splitter);
    return is_count(c, parts.n - (parts.v[0].n == 0), 0);
}

static bool json_format(const struct check *c)
{
    return pyjson_valid(c->response);
}

static bool repeat_prompt(const struct check *c)
{
    return pyspan_starts(c->response, c->args[0].text);
}

static bool two_responses(const struct check *c)
{
    struct pylist parts = pytext_split_by(c->scratch, c->response, "******");
    return parts.n == 2 && !pyspan_equal(pyspan_strip(parts.v[0]), pyspan_strip(parts.v[1]));
}

static bool uppercase(const struct check *c)
{
    return pyspan_equal(c->response, pytext_upper(c->scratch, c->response));
}

static bool lowercase(const struct check *c)
{
    return pyspan_equal(c->response, pytext_lower(c->scratch, c->response));
}

// \b[A-Z]+\b: a run of word characters that are all capitals.
static size_t capital_words(const struct check *c)
{
    struct pylist words = pytext_words(c->scratch, c->response);
    size_t n = 0;
    for (size_t i = 0; i < words.n; i++) {
        n += pyspan_lstrip_class(words.v[i], is_ascii_upper).n == 0;
    }
    return n;
}

static bool frequency_capital_words(const struct check *c)
{
    return quantified(c, capital_words(c), tenth(c));
}

static bool frequency_capital_words_release(const struct check *c)
{
    return quantified(c, capital_words(c), 0);
}

static bool end(const struct check *c)
{
    return pyspan_ends(c->response, c->args[0].text);
}

static bool quotation(const struct check *c)
{
    return pyspan_starts_with(c->response, "\"") && pyspan_ends_with(c->response, "\"");
}

static bool no_commas(const struct check *c)
{
    return pyspan_find(c->response, ',', 0) == c->response.n;
}

const struct check_row checks_iftrain[] = {
    CHECK_FUNCTION_ROW("verify_keywords", "1", keywords, "every keyword occurs, whatever its case",
                       CHECK_LIST("keyword_list")),
    CHECK_FUNCTION_ROW("verify_keyword_frequency", "1", keyword_frequency,
                       "exactly N of the words (runs of \\w) are `word`, whatever its case",
                       CHECK_STR("word"), CHECK_INT("N")),
    CHECK_FUNCTION_ROW("validate_forbidden_words", "1", forbidden_words,
                       "none of the words occurs, not even inside another",
                       CHECK_LIST("forbidden_words")),
    CHECK_FUNCTION_ROW("verify_letter_frequency", "1", letter_frequency,
                       "the letter occurs exactly N times", CHECK_STR("letter"), CHECK_INT("N")),
    CHECK_FUNCTION_ROW("validate_response_language", "1", response_language,
                       "the text is in the language of this code", CHECK_STR("language")),
    CHECK_FUNCTION_ROW("verify_paragraph_count", "1", paragraph_count,
                       "\"* * *\" separates exactly N paragraphs, none blank", CHECK_INT("N")),
    CHECK_FUNCTION_ROW("validate_word_constraint", "1", word_constraint,
                       "at least, at most or around N words between blanks", CHECK_INT("N"),
                       CHECK_STR("quantifier")),
    CHECK_FUNCTION_ROW("verify_sentence_constraint", "1", sentence_constraint,
                       "at least, at most or around N sentences", CHECK_INT("N"),
                       CHECK_STR("quantifier")),
    CHECK_FUNCTION_ROW("verify_sentence_constraint@tulu3", "1", sentence_constraint_release,
                       "the same; an exclamation mark ends no sentence", CHECK_INT("N"),
                       CHECK_STR("quantifier")),
    CHECK_FUNCTION_ROW("validate_paragraphs", "1", paragraphs,
                       "blank lines separate exactly N paragraphs, the i-th begins with first_word",
                       CHECK_INT("N"), CHECK_STR("first_word"), CHECK_INT("i")),
    CHECK_FUNCTION_ROW("verify_postscript", "1", postscript,
                       "something follows the postscript marker", CHECK_STR("postscript_marker")),
    CHECK_FUNCTION_ROW("validate_placeholders", "1", placeholders,
                       "at least N placeholders in square brackets", CHECK_INT("N")),
    CHECK_FUNCTION_ROW("validate_placeholders@tulu3", "1", always, "always holds, as released",
                       CHECK_INT("N")),
    CHECK_FUNCTION_ROW("verify_bullet_points", "1", bullet_points,
                       "exactly N lines begin with * or -", CHECK_INT("N")),
    CHECK_FUNCTION_ROW("validate_title", "1", title, "one line holds <<…>>", CHECK_NO_ARGS),
    CHECK_FUNCTION_ROW("validate_choice", "1", choice, "one of the options occurs",
                       CHECK_LIST("options")),
    CHECK_FUNCTION_ROW("validate_choice@tulu3", "1", choice_release,
                       "the text occurs in one of the options", CHECK_LIST("options")),
    CHECK_FUNCTION_ROW("validate_highlighted_sections", "1", highlighted_sections,
                       "at least N spans between single asterisks", CHECK_INT("N")),
    CHECK_FUNCTION_ROW("validate_sections", "1", sections,
                       "the splitter separates exactly N sections", CHECK_INT("N"),
                       CHECK_STR("section_splitter")),
    CHECK_FUNCTION_ROW("validate_json_format", "1", json_format,
                       "the text is JSON as Python reads it", CHECK_NO_ARGS),
    CHECK_FUNCTION_ROW("validate_repeat_prompt", "1", repeat_prompt,
                       "the text begins with original_prompt", CHECK_STR("original_prompt")),
    CHECK_FUNCTION_ROW("validate_two_responses", "1", two_responses,
                       "\"******\" separates two different texts", CHECK_NO_ARGS),
    CHECK_FUNCTION_ROW("validate_uppercase", "1", uppercase, "upper-casing changes nothing",
                       CHECK_NO_ARGS),
    CHECK_FUNCTION_ROW("validate_lowercase", "1", lowercase, "lower-casing changes nothing",
                       CHECK_NO_ARGS),
    CHECK_FUNCTION_ROW("validate_frequency_capital_words", "1", frequency_capital_words,
                       "at least, at most or around N words in capitals", CHECK_INT("N"),
                       CHECK_STR("quantifier")),
    CHECK_FUNCTION_ROW("validate_frequency_capital_words@tulu3", "1",
                       frequency_capital_words_release, "the same; around means exactly",
                       CHECK_INT("N"), CHECK_STR("quantifier")),
    CHECK_FUNCTION_ROW("validate_end", "1", end, "the text ends with end_phrase",
                       CHECK_STR("end_phrase")),
    CHECK_FUNCTION_ROW("validate_quotation", "1", quotation,
                       "the text begins and ends with a double quote", CHECK_NO_ARGS),
    CHECK_FUNCTION_ROW("validate_no_commas", "1", no_commas, "no U+002C comma", CHECK_NO_ARGS),
    {0},
};
