// ifeval_language_test.c: IFEval's instructions on sentences, word tokens and languages, and the
// training set's function on languages.
#include "tests/verifier/instruction.h"

static void sentences_are_counted(void **state)
{
    (void)state;
#define SENTENCES(n, rel) "{\"num_sentences\":" #n ",\"relation\":\"" rel "\"}"
    INSTRUCTION_JUDGE("length_constraints:number_sentences",
                      {SENTENCES(2, "at least"), "We left. It rained", true},
                      {SENTENCES(3, "at least"), "We left. It rained", false},
                      {SENTENCES(2, "less than"), "Dr. Moss left at 5 p.m. sharp", true},
                      {SENTENCES(2, "less than"), "one line\n\nand another", true},
                      {SENTENCES(2, "less than"), "Really?! Yes", false});
    instruction_refuses("length_constraints:number_sentences", SENTENCES(2, "around"), "relation");
}

static void a_nul_is_a_character_like_any_other(void **state)
{
    (void)state;
    static const char text[] = "We saw Dr\0. Moss. Then vs\0s. Dr.\0 it rained.";
    struct score_result r;
    struct score_text response = {text, sizeof text - 1};
    assert_int_equal(instruction_outcome("length_constraints:number_sentences",
                                         SENTENCES(2, "at least"), response, &r),
                     SCORE_SCORED);
    score_result_fini(&r);
}

// Clitics are tokens of their own, hyphens stay inside.
static void words_in_capitals_are_tokens(void **state)
{
    (void)state;
#define CAPITALS(n, rel) "{\"capital_frequency\":" #n ",\"capital_relation\":\"" rel "\"}"
#define CAPITAL_WORDS "change_case:capital_word_frequency"
    INSTRUCTION_JUDGE(
        CAPITAL_WORDS, {CAPITALS(2, "at least"), "NO, I go", true},
        {CAPITALS(2, "at least"), "WON'T", true}, {CAPITALS(2, "at least"), "UP-DOWN", false},
        {CAPITALS(1, "at least"), "B2 b2", true}, {CAPITALS(2, "less than"), "NO way", true},
        {CAPITALS(1, "less than"), "NO way", false}, {CAPITALS(1, "at least"), "No 123 ?!", false});
}

static void english_is_told_from_its_letters(void **state)
{
    (void)state;
#define PLAIN "the children are walking home through the quiet evening streets"
#define LOUD "WE WALKED ALONG THE RIVER UNTIL THE SUN WENT DOWN AND THE BIRDS BECAME QUIET"
#define GERMAN                                                                                     \
    "die kinder gehen am abend durch die stillen stra\xc3\x9f"                                     \
    "en nach hause"
    INSTRUCTION_JUDGE("change_case:english_lowercase", {"{}", PLAIN, true},
                      {"{}", PLAIN " Now", false}, {"{}", GERMAN, false}, {"{}", "1, 2", false});
    INSTRUCTION_JUDGE("change_case:english_capital", {"{}", LOUD, true}, {"{}", LOUD " now", false},
                      {"{}", "1, 2", false});
}

// A text without letters is in every language, but not in one that the instruction does not know.
static void a_response_is_in_one_language(void **state)
{
    (void)state;
#define IN(code) "{\"language\":\"" code "\"}"
#define LANGUAGE "language:response_language"
    INSTRUCTION_JUDGE(LANGUAGE, {IN("en"), PLAIN, true}, {IN("de"), PLAIN, false},
                      {IN("de"), GERMAN, true},
                      {IN("ko"),
                       "\xec\x98\xa4\xeb\x8a\x98\xec\x9d\x80 \xeb\x82\xa0\xec\x94\xa8\xea"
                       "\xb0\x80 \xec\xa2\x8b\xeb\x8b\xa4",
                       true},
                      {IN("hi"), "1, 2, 3!", true}, {IN("zh"), "1, 2, 3!", false},
                      {IN("EN"), PLAIN, false}, {IN(""), "1", false});
    instruction_refuses(LANGUAGE, "{}", "language: missing");
}

static void the_training_function_wants_letters(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("validate_response_language", {IN("en"), PLAIN, true},
                      {IN("de"), PLAIN, false}, {IN("en"), "1, 2, 3!", false},
                      {IN("en"), "", false});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_are_counted),
        cmocka_unit_test(a_nul_is_a_character_like_any_other),
        cmocka_unit_test(words_in_capitals_are_tokens),
        cmocka_unit_test(english_is_told_from_its_letters),
        cmocka_unit_test(a_response_is_in_one_language),
        cmocka_unit_test(the_training_function_wants_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
