// ifbench_sentences.c: IFBench (Pyatkin et al., "Generalizing Verifiable Instruction Following",
// 2025): what needs sentences, word tokens, syllables, verbs or emoji (text/).
//
// Sentences are punkt's throughout, tokens the Treebank's. Each function decides as the original
// checker does, oddities included: a token that ends the text is skipped when it is part of the row
// of punctuation characters, clitics are tokens that must be in title case, too.
#include "verifier/checks/ifbench_lists.h"
#include "verifier/checks/ifbench_text.h"
#include "verifier/checks/tables.h"
#include "verifier/pyregex.h"
#include "verifier/text/emoji.h"
#include "verifier/text/sentences.h"
#include "verifier/text/syllables.h"
#include "verifier/text/treebank.h"
#include "verifier/text/verbs.h"

static struct pylist sentences(const struct check *c)
{
    return sentences_punkt(c->scratch, c->response);
}

static size_t count_ending(struct pylist list, const char *mark)
{
    size_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        n += pyspan_ends_with(list.v[i], mark);
    }
    return n;
}

static bool sentence_type(const struct check *c)
{
    struct pylist list = sentences(c);
    return count_ending(list, ".") == 2 * count_ending(list, "?");
}

static bool sentence_balance(const struct check *c)
{
    struct pylist list = sentences(c);
    size_t n = count_ending(list, ".");
    return n == count_ending(list, "?") && n == count_ending(list, "!");
}

// That the words differ is not checked.
static bool sentence_words(const struct check *c)
{
    struct pylist list = sentences(c);
    if (list.n != 3) {
        return false;
    }
    size_t length = pyspan_strip(list.v[0]).n;
    return length == pyspan_strip(list.v[1]).n && length == pyspan_strip(list.v[2]).n;
}

// Words in runs of two or more with the same first letter.
static size_t count_alliterative(struct scratch *a, struct pyspan sentence)
{
    struct pylist words = pytext_split(a, pytext_lower(a, sentence));
    size_t n = 0, run = 0;
    uint32_t letter = 0;
    for (size_t i = 0; i < words.n; i++) {
        struct pyspan word = pyspan_lstrip_class(words.v[i], ifbench_is_edge);
        if (word.n > 0) {
            run = run > 0 && word.cp[0] == letter ? run + 1 : 1;
            n += run == 2 ? 2 : run > 2;
            letter = word.cp[0];
        }
    }
    return n;
}

static bool alliteration_increment(const struct check *c)
{
    struct pylist list = sentences(c);
    bool grows = true;
    size_t last = 0;
    for (size_t i = 0; i < list.n && grows; i++) {
        size_t n = count_alliterative(c->scratch, list.v[i]);
        grows = i == 0 || n > last;
        last = n;
    }
    return grows;
}

static bool increment(const struct check *c)
{
    struct pylist list = sentences(c);
    bool grows = true;
    size_t last = 0;
    for (size_t i = 0; i < list.n && grows; i++) {
        size_t n = ifbench_bare_words(c->scratch, list.v[i]).n;
        grows = i == 0 || (int64_t)n == (int64_t)last + c->args[0].integer;
        last = n;
    }
    return grows;
}

// The word as an expression, every mark escaped.
static struct pyspan whole_word_pattern(struct scratch *a, struct pyspan word)
{
    uint32_t *cp = scratch_array(a, 2 * word.n + 4, sizeof *cp);
    size_t n = 0;
    cp[n++] = '\\';
    cp[n++] = 'b';
    for (size_t i = 0; i < word.n; i++) {
        if (py_ispunct(word.cp[i])) {
            cp[n++] = '\\';
        }
        cp[n++] = word.cp[i];
    }
    cp[n++] = '\\';
    cp[n++] = 'b';
    return (struct pyspan){cp, n};
}

// Sentence 0 is the last one, as an index of -1 is.
static bool keyword(const struct check *c)
{
    struct pyspan word = ifbench_filled(c, 0, "word");
    size_t nth = (size_t)c->args[1].integer;
    struct pylist list = sentences(c);
    if (list.n == 0 || list.n < nth) {
        return false;
    }
    struct pyspan sentence = list.v[nth > 0 ? nth - 1 : list.n - 1];
    return pyregex_search(c->scratch, whole_word_pattern(c->scratch, word), PYREGEX_IGNORECASE,
                          sentence);
}

static bool same_lower(struct scratch *a, struct pyspan s, struct pyspan t)
{
    return pyspan_equal(pytext_lower(a, s), pytext_lower(a, t));
}

// A sentence is stripped at the end that meets its neighbour only, before it is cut into words.
static bool last_first(const struct check *c)
{
    struct pylist list = sentences(c);
    bool all = true;
    for (size_t i = 1; i < list.n && all; i++) {
        struct pylist before =
            pytext_split(c->scratch, pyspan_rstrip_class(list.v[i - 1], ifbench_is_edge));
        struct pylist after =
            pytext_split(c->scratch, pyspan_lstrip_class(list.v[i], ifbench_is_edge));
        all = before.n > 0 && after.n > 0 &&
              same_lower(c->scratch, before.v[before.n - 1], after.v[0]);
    }
    return all;
}

static bool has_alnum(struct pyspan s)
{
    size_t i = 0;
    while (i < s.n && !py_isalnum(s.cp[i])) {
        i++;
    }
    return i < s.n;
}

static bool keywords_specific_position(const struct check *c)
{
    struct pyspan word = pyspan_strip(ifbench_filled(c, 0, "keyword"));
    size_t nth = ifbench_ordinal(c, 1, "n"), mth = ifbench_ordinal(c, 2, "m"), n = 0;
    struct pylist list = sentences(c);
    if (list.n < nth) {
        return false;
    }
    struct pylist tokens = treebank_tokens(c->scratch, list.v[nth - 1]);
    for (size_t i = 0; i < tokens.n; i++) {
        n += has_alnum(tokens.v[i]);
        if (n == mth) {
            return same_lower(c->scratch, tokens.v[i], word);
        }
    }
    return false;
}

// A mark at the end does not count, if it is a piece of the 32 characters in their order.
static bool words_position(const struct check *c)
{
    static const char marks[] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    struct pyspan word = pyspan_strip(c->args[0].text);
    struct pylist tokens = treebank_tokens(c->scratch, c->response);
    size_t n = tokens.n;
    if (n >= 2 &&
        pyspan_search(pytext_literal(c->scratch, marks), tokens.v[n - 1], 0) != PYSPAN_NONE) {
        n--;
    }
    return n >= 2 && same_lower(c->scratch, tokens.v[1], word) &&
           same_lower(c->scratch, tokens.v[n - 2], word);
}

static bool start_verb(const struct check *c)
{
    return verbs_starts_with_verb(c->scratch, c->response);
}

static bool odd_even_syllables(const struct check *c)
{
    struct pylist words = pytext_split(
        c->scratch, pytext_lower(c->scratch, ifbench_depunct(c->scratch, c->response)));
    bool alternates = true;
    int last = 0;
    for (size_t i = 0; i < words.n && alternates; i++) {
        int parity = syllables_count(c->scratch, words.v[i]) % 2;
        alternates = i == 0 || parity != last;
        last = parity;
    }
    return alternates;
}

// "she/her" are two.
static bool pronouns(const struct check *c)
{
    struct pyspan s = pytext_replace(c->scratch, c->response, pytext_literal(c->scratch, "/"),
                                     pytext_literal(c->scratch, " "));
    struct pylist tokens = treebank_tokens(c->scratch, pytext_lower(c->scratch, s));
    int64_t n = 0;
    for (size_t i = 0; i < tokens.n; i++) {
        n += ifbench_is_pronoun(tokens.v[i]);
    }
    return n >= c->args[0].integer;
}

static struct pyspan bare(const struct check *c, struct pyspan sentence)
{
    return pyspan_strip(ifbench_depunct(c->scratch, sentence));
}

// The emoji is the last character or, for one with a modifier, the one before; or the next sentence
// begins with it, as a splitter leaves an emoji behind the full stop there.
static bool emoji(const struct check *c)
{
    struct pylist list = sentences(c);
    bool all = true;
    for (size_t i = 0; i < list.n && all; i++) {
        struct pyspan s = bare(c, list.v[i]);
        all = s.n > 0 &&
              (emoji_is_single(s.cp[s.n - 1]) || (s.n > 1 && emoji_is_single(s.cp[s.n - 2])));
        if (!all && s.n > 0 && i + 1 < list.n) {
            struct pyspan next = bare(c, list.v[i + 1]);
            all = next.n > 0 && emoji_is_single(next.cp[0]);
        }
    }
    return all;
}

// A line without sentences ends the counting of sentences, so that only bullets may follow it.
static bool no_bullets_bullets(const struct check *c)
{
    struct pylist lines = pytext_split_by(c->scratch, c->response, "\n");
    size_t n_sentences = 0, n_bullets = 0;
    bool prose = true;
    for (size_t i = 0; i < lines.n; i++) {
        struct pyspan line = pyspan_strip(lines.v[i]);
        if (pyspan_starts_with(line, "*")) {
            if (n_sentences < 2) {
                return false;
            }
            prose = false;
            n_bullets++;
        } else if (prose) {
            size_t n = sentences_punkt(c->scratch, line).n;
            prose = n > 0;
            n_sentences += n;
        } else {
            return false;
        }
    }
    return n_bullets >= 2;
}

static bool title_case(const struct check *c)
{
    struct pylist tokens = treebank_tokens(c->scratch, c->response);
    bool all = true;
    for (size_t i = 0; i < tokens.n && all; i++) {
        struct pyspan token = tokens.v[i], rest = pyspan_slice(token, 1, token.n);
        if (token.n > 0 && py_isalpha(token.cp[0]) && pyspan_islower(pyspan_slice(token, 0, 1))) {
            all = token.n > 1 && !pyspan_islower(rest) && !pyspan_isupper(rest);
        }
    }
    return all;
}

static bool sentence_alphabet(const struct check *c)
{
    struct pylist list = sentences(c);
    bool all = list.n == 26;
    for (size_t i = 0; i < list.n && all; i++) {
        struct pyspan s = pyspan_lstrip_class(list.v[i], py_isspace);
        all = s.n > 0 && pytext_lower(c->scratch, pyspan_slice(s, 0, 1)).cp[0] == 'a' + i;
    }
    return all;
}

const struct check_row checks_ifbench_sentences[] = {
    CHECK_INSTRUCTION_ROW("ratio:sentence_type", "1", sentence_type,
                          "twice as many sentences end with . as with ?", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("ratio:sentence_balance", "1", sentence_balance,
                          "equally many sentences end with ., ? and !", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("ratio:sentence_words", "1", sentence_words,
                          "three sentences of the same length in characters", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("sentence:alliteration_increment", "1", alliteration_increment,
                          "each sentence has more alliterative words than the one before",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("sentence:increment", "1", increment,
                          "each sentence has small_n words more than the one before",
                          CHECK_INT("small_n")),
    CHECK_INSTRUCTION_ROW("sentence:keyword", "1", keyword,
                          "the N-th sentence has the word, whatever its case", CHECK_STR("word"),
                          CHECK_INT("N")),
    CHECK_INSTRUCTION_ROW("words:last_first", "1", last_first,
                          "each sentence begins with the last word of the one before",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("words:keywords_specific_position", "1", keywords_specific_position,
                          "keyword is the m-th word of the n-th sentence", CHECK_STR("keyword"),
                          CHECK_INT("n"), CHECK_INT("m")),
    CHECK_INSTRUCTION_ROW("words:words_position", "1", words_position,
                          "keyword is the second word and the last but one", CHECK_STR("keyword")),
    CHECK_INSTRUCTION_ROW("words:start_verb", "1", start_verb, "the first word is a verb",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("words:odd_even_syllables", "1", odd_even_syllables,
                          "words with odd and even numbers of syllables alternate", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("count:pronouns", "1", pronouns, "at least N pronouns", CHECK_INT("N")),
    CHECK_INSTRUCTION_ROW("format:emoji", "1", emoji, "an emoji ends every sentence",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:no_bullets_bullets", "1", no_bullets_bullets,
                          "at least two sentences, then at least two bullets with *",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:title_case", "1", title_case,
                          "no word starts with a small letter and goes on in one case",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:sentence_alphabet", "1", sentence_alphabet,
                          "26 sentences that start with the letters a to z", CHECK_NO_ARGS),
    {0},
};
