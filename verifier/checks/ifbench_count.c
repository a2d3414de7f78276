// ifbench_count.c: IFBench (Pyatkin et al., "Generalizing Verifiable Instruction Following", 2025):
// what counts words, numbers and marks, and the ratios that need no sentences.
//
// Each function decides as the original checker does, oddities included: "And" and "and" are two
// conjunctions, 3.14 is one number because the dot is deleted first, a word that is all punctuation
// is a unique word. Blank responses and the loose mode are the caller's business (score.c).
#include "verifier/checks/ifbench_lists.h"
#include "verifier/checks/ifbench_text.h"
#include "verifier/checks/tables.h"
#include "verifier/textbag.h"

#include <string.h>

static bool word_count_range(const struct check *c)
{
    int64_t n = (int64_t)pytext_words(c->scratch, c->response).n;
    return c->args[0].integer <= n && n <= c->args[1].integer;
}

static bool at_least(const struct check *c, size_t n)
{
    return (int64_t)n >= c->args[0].integer;
}

static bool unique_word_count(const struct check *c)
{
    struct pylist words = pytext_split(c->scratch, pytext_lower(c->scratch, c->response));
    struct textbag seen = {.scratch = c->scratch};
    for (size_t i = 0; i < words.n; i++) {
        textbag_at(&seen, ifbench_strip_edges(words.v[i]));
    }
    return at_least(c, seen.n);
}

static bool is_conjunction(struct scratch *a, struct pyspan word)
{
    static const char *const list[] = {"and", "but", "for", "nor", "or", "so", "yet"};
    struct pyspan lower = pytext_lower(a, ifbench_strip_edges(word));
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        found = found || pyspan_is(lower, list[i]);
    }
    return found;
}

// Distinct as they are written, marks and capitals included.
static bool conjunctions(const struct check *c)
{
    struct pylist words = pytext_split(c->scratch, c->response);
    struct textbag seen = {.scratch = c->scratch};
    for (size_t i = 0; i < words.n; i++) {
        if (is_conjunction(c->scratch, words.v[i])) {
            textbag_at(&seen, words.v[i]);
        }
    }
    return at_least(c, seen.n);
}

// A name between word boundaries is a whole run of \w, as it has no other characters.
static bool person_names(const struct check *c)
{
    struct pylist words = pytext_words(c->scratch, c->response);
    struct textbag seen = {.scratch = c->scratch};
    for (size_t i = 0; i < words.n; i++) {
        if (ifbench_is_name(words.v[i])) {
            textbag_at(&seen, words.v[i]);
        }
    }
    return at_least(c, seen.n);
}

static bool numbers(const struct check *c)
{
    struct pyspan s = ifbench_depunct(c->scratch, c->response);
    int64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += py_isdecimal(s.cp[i]) && (i == 0 || !py_isdecimal(s.cp[i - 1]));
    }
    return n == c->args[0].integer;
}

// One interrobang, and the six marks outside of it. U+203D is an interrobang but gives no marks.
static bool punctuation(const struct check *c)
{
    static const char marks[] = ".,!?;:";
    struct pyspan s = c->response;
    size_t at = pyspan_search_for(s, "?!", 0);
    at = at != PYSPAN_NONE ? at : pyspan_search_for(s, "!?", 0);
    if (at == PYSPAN_NONE && pyspan_find(s, 0x203D, 0) == s.n) {
        return false;
    }
    unsigned seen = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool inside = at != PYSPAN_NONE && i >= at && i < at + 2;
        const char *hit = s.cp[i] > 0 && s.cp[i] < 0x80 ? strchr(marks, (int)s.cp[i]) : NULL;
        seen |= hit && !inside ? 1u << (hit - marks) : 0;
    }
    return seen == (1u << strlen(marks)) - 1;
}

// str.isdigit of a character: decimal digits, and the superscripts, circled and other digits that
// Unicode 14 gives the numeric type Digit.
static bool is_digit(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
        {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
        {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
        {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
        {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A},
    };
    bool found = py_isdecimal(c);
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        found = found || (c >= ranges[i][0] && c <= ranges[i][1]);
    }
    return found;
}

// Kana and the first block of Han; half-width kana are not among them.
static bool is_japanese(uint32_t c)
{
    return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x4E00 && c <= 0x9FFF);
}

static bool words_japanese(const struct check *c)
{
    size_t cycle = ifbench_ordinal(c, 0, "N");
    struct pylist words = pytext_split(c->scratch, c->response);
    for (size_t i = cycle; i <= words.n; i += cycle) {
        struct pyspan word = ifbench_strip_edges(words.v[i - 1]);
        bool digits = true, japanese = false;
        for (size_t k = 0; k < word.n; k++) {
            digits = digits && is_digit(word.cp[k]);
            japanese = japanese || is_japanese(word.cp[k]);
        }
        if (!digits && !japanese) {
            return false;
        }
    }
    return true;
}

static bool keywords_multiple(const struct check *c)
{
    static const char *const names[] = {"keyword1", "keyword2", "keyword3", "keyword4", "keyword5"};
    static const size_t wanted[] = {1, 2, 3, 5, 7};
    struct pyspan reply = pytext_lower(c->scratch, c->response);
    bool all = true;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        struct pyspan keyword = pyspan_strip(ifbench_filled(c, i, names[i]));
        if (keyword.n == 0) {
            scratch_fail(c->scratch, ERR_INVALID, "%s: blank", names[i]);
        }
        all = all && pyspan_count(reply, pytext_lower(c->scratch, keyword)) == wanted[i];
    }
    return all;
}

static double percentage(const struct check *c, size_t arg)
{
    double p = c->args[arg].number;
    if (p < 0) {
        scratch_fail(c->scratch, ERR_INVALID, "percentage: %g, expected 0 or more", p);
    }
    return p;
}

static bool stop_words(const struct check *c)
{
    double limit = percentage(c, 0);
    struct pylist words = pytext_words(c->scratch, c->response);
    size_t n = 0;
    for (size_t i = 0; i < words.n; i++) {
        n += ifbench_is_stop_word(pytext_lower(c->scratch, words.v[i]));
    }
    return words.n > 0 && (double)n / (double)words.n * 100 <= limit;
}

// Distinct runs of three characters: the share of the response's that the reference has too.
static bool overlap(const struct check *c)
{
    enum { IN_REFERENCE = 1, IN_RESPONSE = 2 };
    double want = percentage(c, 1);
    struct pyspan texts[] = {c->args[0].text, c->response};
    static const size_t bits[] = {IN_REFERENCE, IN_RESPONSE};
    struct textbag trigrams = {.scratch = c->scratch};
    size_t n = 0, common = 0;
    for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
        for (size_t i = 0; i + 3 <= texts[t].n; i++) {
            size_t *seen = textbag_at(&trigrams, pyspan_slice(texts[t], i, i + 3));
            bool first = t == 1 && !(*seen & IN_RESPONSE);
            n += first;
            common += first && (*seen & IN_REFERENCE);
            *seen |= bits[t];
        }
    }
    if (n == 0) {
        return false;
    }
    double share = (double)common / (double)n * 100;
    return want - 2 <= share && share <= want + 2;
}

const struct check_row checks_ifbench_count[] = {
    CHECK_INSTRUCTION_ROW("count:word_count_range", "1", word_count_range,
                          "the number of words (runs of \\w) lies in min_words..max_words",
                          CHECK_INT("min_words"), CHECK_INT("max_words")),
    CHECK_INSTRUCTION_ROW("count:unique_word_count", "1", unique_word_count,
                          "at least N different words, whatever their case and outer punctuation",
                          CHECK_INT("N")),
    CHECK_INSTRUCTION_ROW("count:conjunctions", "1", conjunctions,
                          "at least small_n different coordinating conjunctions",
                          CHECK_INT("small_n")),
    CHECK_INSTRUCTION_ROW("count:person_names", "1", person_names,
                          "at least N different names of the 50 that the instruction lists",
                          CHECK_INT("N")),
    CHECK_INSTRUCTION_ROW("count:numbers", "1", numbers,
                          "exactly N runs of digits, once punctuation is deleted", CHECK_INT("N")),
    CHECK_INSTRUCTION_ROW("count:punctuation", "1", punctuation,
                          "an interrobang, and each of . , ! ? ; : besides", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("count:words_japanese", "1", words_japanese,
                          "every N-th word has a kana or Han character, or is a number",
                          CHECK_INT("N")),
    CHECK_INSTRUCTION_ROW(
        "count:keywords_multiple", "1", keywords_multiple,
        "the five keywords occur exactly 1, 2, 3, 5 and 7 times, whatever their case",
        CHECK_STR("keyword1"), CHECK_STR("keyword2"), CHECK_STR("keyword3"), CHECK_STR("keyword4"),
        CHECK_STR("keyword5")),
    CHECK_INSTRUCTION_ROW("ratio:stop_words", "1", stop_words,
                          "at most so many percent of the words are English stop words",
                          CHECK_NUMBER("percentage")),
    CHECK_INSTRUCTION_ROW("ratio:overlap", "1", overlap,
                          "percentage, give or take 2, of the different character trigrams occur "
                          "in reference_text",
                          CHECK_STR("reference_text"), CHECK_NUMBER("percentage")),
    {0},
};
