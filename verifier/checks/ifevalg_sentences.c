// ifevalg_sentences.c: the later training suite's instructions on sentences and word tokens.
//
// Sentences are cut by rules here (sentences_rules), not by the splitter of IFEval, and may be
// empty; tokens are the Treebank's, so a final dot is one. The others are in ifevalg.c.
#include "verifier/checks/checktext.h"
#include "verifier/checks/ifbench_text.h"
#include "verifier/checks/tables.h"
#include "verifier/text/sentences.h"
#include "verifier/text/treebank.h"
#include "verifier/textbag.h"

static struct pylist sentences(const struct check *c)
{
    return sentences_rules(c->scratch, c->response);
}

// The pieces between hyphens are the sentences of the text with blanks for hyphens, as far as both
// go.
static bool sentence_hyphens(const struct check *c)
{
    struct pyspan hyphen = pytext_literal(c->scratch, "-"), space = pytext_literal(c->scratch, " ");
    struct pylist pieces = pytext_split_at(c->scratch, c->response, hyphen);
    struct pylist gold =
        sentences_rules(c->scratch, pytext_replace(c->scratch, c->response, hyphen, space));
    bool same = true;
    for (size_t i = 0; i < pieces.n && i < gold.n && same; i++) {
        same = pyspan_strip(pieces.v[i]).n == pieces.v[i].n && pyspan_equal(pieces.v[i], gold.v[i]);
    }
    return same;
}

static bool keyword_position(const struct check *c)
{
    struct pyspan keyword = pyspan_strip(ifbench_filled(c, 0, "keyword"));
    size_t n = ifbench_ordinal(c, 1, "n"), m = ifbench_ordinal(c, 2, "m");
    struct pylist list = sentences(c);
    if (list.n < n) {
        return false;
    }
    struct pylist tokens = treebank_tokens(c->scratch, list.v[n - 1]);
    return tokens.n >= m && pyspan_equal(tokens.v[m - 1], keyword);
}

static bool start_end(const struct check *c)
{
    struct pylist tokens = treebank_tokens(c->scratch, c->response);
    return tokens.n >= 2 && pyspan_equal(pytext_lower(c->scratch, tokens.v[0]),
                                         pytext_lower(c->scratch, tokens.v[tokens.n - 1]));
}

static bool first_words(const struct check *c)
{
    struct pyspan want = ifbench_filled(c, 0, "first_word");
    struct pylist list = sentences(c);
    bool all = true;
    for (size_t i = 0; i < list.n && all; i++) {
        struct pylist words = pytext_split(c->scratch, list.v[i]);
        all = words.n > 0 && checktext_same_stripped_lower(c->scratch, words.v[0], want);
    }
    return all;
}

static bool last_words(const struct check *c)
{
    struct pyspan want = ifbench_filled(c, 0, "last_word");
    struct pylist list = sentences(c);
    bool all = true;
    for (size_t i = 0; i < list.n && all; i++) {
        struct pylist words = pytext_split(c->scratch, list.v[i]);
        all = words.n > 0 &&
              checktext_same_stripped_lower(
                  c->scratch, checktext_only_word(c->scratch, words.v[words.n - 1]), want);
    }
    return all;
}

static bool is_composed(const struct check *c, struct pyspan paragraph, size_t n_sentences,
                        size_t n_words)
{
    struct pylist list = sentences_rules(c->scratch, paragraph);
    bool all = list.n == n_sentences;
    for (size_t i = 0; i < list.n && all; i++) {
        all = treebank_tokens(c->scratch, list.v[i]).n == n_words;
    }
    return all;
}

// A blank paragraph has no sentences, so it fails even where it would not be counted.
static bool counting_composition(const struct check *c)
{
    size_t n_sentences = ifbench_ordinal(c, 0, "n_sent"),
           n_words = ifbench_ordinal(c, 1, "n_words");
    struct pylist parts = checktext_split_stars(c->scratch, c->response);
    bool all = parts.n == 3;
    for (size_t i = 0; i < parts.n && all; i++) {
        all = is_composed(c, parts.v[i], n_sentences, n_words);
    }
    return all;
}

static bool count_unique(const struct check *c)
{
    struct pylist tokens = treebank_tokens(c->scratch, c->response);
    struct textbag seen = {.scratch = c->scratch};
    bool unique = true;
    for (size_t i = 0; i < tokens.n && unique; i++) {
        unique = (*textbag_at(&seen, tokens.v[i]))++ == 0;
    }
    return unique;
}

const struct check_row checks_ifevalg_sentences[] = {
    CHECK_INSTRUCTION_ROW("detectable_format:sentence_hyphens", "1", sentence_hyphens,
                          "hyphens without blanks join the sentences", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("keywords:keyword_specific_position", "1", keyword_position,
                          "the m-th token of the n-th sentence is the keyword",
                          CHECK_STR("keyword"), CHECK_INT("n"), CHECK_INT("m")),
    CHECK_INSTRUCTION_ROW("keywords:start_end", "1", start_end,
                          "the first token is the last, whatever its case", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("first_word:first_word_sent", "1", first_words,
                          "every sentence begins with first_word, whatever its case",
                          CHECK_STR("first_word")),
    CHECK_INSTRUCTION_ROW("last_word:last_word_sent", "1", last_words,
                          "every sentence ends with last_word, marks and case aside",
                          CHECK_STR("last_word")),
    CHECK_INSTRUCTION_ROW(
        "count:counting_composition", "1", counting_composition,
        "three paragraphs between \"***\" of n_sent sentences with n_words tokens",
        CHECK_INT("n_sent"), CHECK_INT("n_words")),
    CHECK_INSTRUCTION_ROW("count:count_unique", "1", count_unique, "no token occurs twice",
                          CHECK_NO_ARGS),
    {0},
};
