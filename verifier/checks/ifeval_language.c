// ifeval_language.c: IFEval's instructions on sentences, word tokens and languages.
//
// Sentences and tokens are NLTK's (text/), languages langdetect's (langid.h) without its dice: the
// same text always gets the same answer. A text that tells no language satisfies every language, as
// upstream.
#include "verifier/checks/checktext.h"
#include "verifier/checks/tables.h"
#include "verifier/langid.h"
#include "verifier/text/sentences.h"
#include "verifier/text/treebank.h"

#include <string.h>

static bool number_sentences(const struct check *c)
{
    return check_related(sentences_punkt(c->scratch, c->response).n, &c->args[0], &c->args[1]);
}

static bool capital_word_frequency(const struct check *c)
{
    struct pylist tokens = treebank_tokens(c->scratch, c->response);
    size_t n = 0;
    for (size_t i = 0; i < tokens.n; i++) {
        n += pyspan_isupper(tokens.v[i]);
    }
    return check_related(n, &c->args[0], &c->args[1]);
}

static bool may_be(const struct check *c, const char *code)
{
    const char *found = langid_detect(c->response);
    return !found || strcmp(found, code) == 0;
}

static bool english_capital(const struct check *c)
{
    return pyspan_isupper(c->response) && may_be(c, "en");
}

static bool english_lowercase(const struct check *c)
{
    return pyspan_islower(c->response) && may_be(c, "en");
}

// Upstream raises an error for a language outside its list, whatever the text: not satisfied.
static bool response_language(const struct check *c)
{
    static const char *const codes[] = {
        "ar", "bg", "bn", "de", "en", "es", "fa", "fi", "fr", "gu", "he", "hi", "it", "ja", "kn",
        "ko", "ml", "mr", "ne", "pa", "pl", "pt", "ru", "sw", "ta", "te", "th", "uk", "ur", "vi",
    };
    bool holds = false;
    for (size_t i = 0; i < ARRAY_LEN(codes) && !holds; i++) {
        holds = pyspan_is(c->args[0].text, codes[i]) && may_be(c, codes[i]);
    }
    return holds;
}

const struct check_row checks_ifeval_language[] = {
    CHECK_INSTRUCTION_ROW("length_constraints:number_sentences", "1", number_sentences,
                          "the number of sentences is less than, or at least, num_sentences",
                          CHECK_INT("num_sentences"), CHECK_RELATION("relation")),
    CHECK_INSTRUCTION_ROW("change_case:capital_word_frequency", "1", capital_word_frequency,
                          "words in capitals occur less than, or at least, so often",
                          CHECK_INT("capital_frequency"), CHECK_RELATION("capital_relation")),
    CHECK_INSTRUCTION_ROW("change_case:english_capital", "1", english_capital,
                          "the response is English in capitals", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("change_case:english_lowercase", "1", english_lowercase,
                          "the response is English in small letters", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("language:response_language", "1", response_language,
                          "the response is in the language of this two-letter code",
                          CHECK_STR("language")),
    {0},
};
