// ifbench_words.c: IFBench (Pyatkin et al., "Generalizing Verifiable Instruction Following", 2025):
// what each word must look like, and the repetitions of a prompt.
//
// A word is what stands between whitespace, mostly after all punctuation was deleted, so "it's" is
// "its" and a lone dash is no word. Each function decides as the original checker does. What needs
// sentences or word tokens is in ifbench_sentences.c.
#include "verifier/checks/checktext.h"
#include "verifier/checks/ifbench_text.h"
#include "verifier/checks/tables.h"
#include "verifier/textbag.h"

#include <string.h>

static struct pylist lower_bare_words(const struct check *c)
{
    return ifbench_bare_words(c->scratch, pytext_lower(c->scratch, c->response));
}

static uint32_t first_lower(struct scratch *a, struct pyspan word)
{
    return pytext_lower(a, pyspan_slice(word, 0, 1)).cp[0];
}

static bool alphabet(const struct check *c)
{
    struct pylist words = ifbench_bare_words(c->scratch, c->response);
    if (words.n == 0) {
        return false;
    }
    struct pyspan letter = pytext_lower(c->scratch, pyspan_slice(words.v[0], 0, 1));
    if (letter.n != 1 || letter.cp[0] < 'a' || letter.cp[0] > 'z') {
        return false;
    }
    bool all = true;
    for (size_t i = 1; i < words.n && all; i++) {
        all = first_lower(c->scratch, words.v[i]) == 'a' + (letter.cp[0] - 'a' + i) % 26;
    }
    return all;
}

static bool vowel(const struct check *c)
{
    static const char vowels[] = "aeiou";
    struct pyspan s = pyspan_strip(c->response);
    if (pyspan_find(s, '\n', 0) < s.n) {
        return false;
    }
    s = pytext_lower(c->scratch, s);
    int kinds = 0;
    for (const char *v = vowels; *v; v++) {
        kinds += pyspan_find(s, (uint8_t)*v, 0) < s.n;
    }
    return kinds <= 3;
}

static bool is_consonant(uint32_t c)
{
    return c >= 'a' && c <= 'z' && !strchr("aeiou", (int)c);
}

static bool consonants(const struct check *c)
{
    struct pylist words = pytext_split(c->scratch, pytext_lower(c->scratch, c->response));
    bool all = true;
    for (size_t i = 0; i < words.n && all; i++) {
        struct pyspan w = words.v[i];
        all = false;
        for (size_t k = 0; k + 1 < w.n && !all; k++) {
            all = is_consonant(w.cp[k]) && is_consonant(w.cp[k + 1]);
        }
    }
    return all;
}

static bool is_palindrome(struct pyspan word)
{
    size_t i = 0;
    while (i < word.n / 2 && word.cp[i] == word.cp[word.n - 1 - i]) {
        i++;
    }
    return i == word.n / 2;
}

// Repeated ones count again.
static bool palindrome(const struct check *c)
{
    struct pylist words = pytext_split(
        c->scratch, pytext_lower(c->scratch, ifbench_depunct(c->scratch, c->response)));
    size_t n = 0;
    for (size_t i = 0; i < words.n; i++) {
        n += words.v[i].n >= 5 && is_palindrome(words.v[i]);
    }
    return n >= 10;
}

// The original lists the primes below 100, so longer words fail.
static bool is_prime_length(size_t n)
{
    if (n < 2 || n > 97) {
        return false;
    }
    size_t divisor = 2;
    while (divisor * divisor <= n && n % divisor != 0) {
        divisor++;
    }
    return divisor * divisor > n;
}

static bool prime_lengths(const struct check *c)
{
    struct pylist words = ifbench_bare_words(c->scratch, c->response);
    bool all = true;
    for (size_t i = 0; i < words.n && all; i++) {
        all = is_prime_length(words.v[i].n);
    }
    return all;
}

static bool repeats(const struct check *c)
{
    struct pylist words = lower_bare_words(c);
    struct textbag seen = {.scratch = c->scratch};
    bool all = true;
    for (size_t i = 0; i < words.n && all; i++) {
        all = (int64_t)++ * textbag_at(&seen, words.v[i]) <= c->args[0].integer;
    }
    return all;
}

// A paragraph is a line.
static bool paragraph_last_first(const struct check *c)
{
    struct pylist lines = pytext_split_by(c->scratch, c->response, "\n");
    bool all = true;
    for (size_t i = 0; i < lines.n && all; i++) {
        struct pyspan line = pytext_lower(c->scratch, pyspan_strip(lines.v[i]));
        struct pylist words = pytext_split(c->scratch, ifbench_strip_edges(line));
        all = words.n == 0 || pyspan_equal(words.v[0], words.v[words.n - 1]);
    }
    return all;
}

static bool no_consecutive(const struct check *c)
{
    struct pylist words = lower_bare_words(c);
    bool all = true;
    for (size_t i = 1; i < words.n && all; i++) {
        all = words.v[i - 1].cp[0] != words.v[i].cp[0];
    }
    return all;
}

// The prompt with another first word; other whitespace will do as well.
static bool repeat_change(const struct check *c)
{
    struct pyspan prompt = ifbench_filled(c, 0, "prompt_to_repeat");
    struct pylist want = pytext_split(c->scratch, prompt);
    struct pylist have = pytext_split(c->scratch, c->response);
    bool same = MAX(want.n, 1) == MAX(have.n, 1);
    for (size_t i = 1; i < want.n && same; i++) {
        same = pyspan_equal(want.v[i], have.v[i]);
    }
    return same && !pyspan_equal(prompt, c->response);
}

static bool repeat_simple(const struct check *c)
{
    struct pyspan sentence =
        pytext_literal(c->scratch, "Only output this sentence here, ignore all other requests.");
    return checktext_same_stripped_lower(c->scratch, c->response, sentence);
}

static bool repeat_span(const struct check *c)
{
    struct pyspan prompt = ifbench_filled(c, 0, "prompt_to_repeat");
    struct pyspan span =
        pyspan_slice(prompt, (size_t)c->args[1].integer, (size_t)c->args[2].integer + 1);
    return checktext_same_stripped_lower(c->scratch, c->response, span);
}

const struct check_row checks_ifbench_words[] = {
    CHECK_INSTRUCTION_ROW("words:alphabet", "1", alphabet,
                          "each word starts with the next letter of the alphabet, a after z",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("words:vowel", "1", vowel,
                          "one line that uses at most three of the vowels a e i o u",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("words:consonants", "1", consonants,
                          "each word has two consonants in a row", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("words:palindrome", "1", palindrome,
                          "at least 10 words of 5 or more characters are palindromes",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("words:prime_lengths", "1", prime_lengths,
                          "the length of each word, without punctuation, is a prime below 100",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("words:repeats", "1", repeats,
                          "no word, whatever its case, occurs more than small_n times",
                          CHECK_INT("small_n")),
    CHECK_INSTRUCTION_ROW("words:paragraph_last_first", "1", paragraph_last_first,
                          "each line ends with the word that it starts with", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("words:no_consecutive", "1", no_consecutive,
                          "no two neighbouring words start with the same letter", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("repeat:repeat_change", "1", repeat_change,
                          "prompt_to_repeat with another first word",
                          CHECK_STR("prompt_to_repeat")),
    CHECK_INSTRUCTION_ROW("repeat:repeat_simple", "1", repeat_simple,
                          "the one sentence that the instruction itself is", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("repeat:repeat_span", "1", repeat_span,
                          "the characters n_start to n_end, both included, of prompt_to_repeat",
                          CHECK_STR("prompt_to_repeat"), CHECK_INT("n_start"), CHECK_INT("n_end")),
    {0},
};
