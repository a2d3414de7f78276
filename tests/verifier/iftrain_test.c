// iftrain_test.c: what the functions of the RLVR-IF training set accept, where they are cousins of
// IFEval's instructions and where they differ.
#include "tests/verifier/instruction.h"

static void keywords_are_plain_text_of_any_case(void **state)
{
    (void)state;
#define WORDS(key, list) "{\"" key "\":[" list "]}"
    INSTRUCTION_JUDGE("verify_keywords",
                      {WORDS("keyword_list", "\"Sun\",\"a.c\""), "SUNNY A.C", true},
                      {WORDS("keyword_list", "\"a.c\""), "abc", false},
                      {WORDS("keyword_list", "\"sun\",\"sea\""), "sun", false});
    INSTRUCTION_JUDGE("validate_forbidden_words",
                      {WORDS("forbidden_words", "\"red\""), "a fox", true},
                      {WORDS("forbidden_words", "\"Red\""), "hundredth", false},
                      {WORDS("forbidden_words", "\"blue\",\"red\""), "reD", false});
#define EXACTLY(word, n) "{\"word\":\"" word "\",\"N\":" #n "}"
    INSTRUCTION_JUDGE("verify_keyword_frequency", {EXACTLY("Sun", 2), "sun, SUN sunny", true},
                      {EXACTLY("sun", 1), "sun sun", false},
                      {EXACTLY("red fox", 1), "red fox", false}, {EXACTLY("sun", 0), "moon", true});
}

static void a_letter_occurs_exactly_so_often_in_its_case(void **state)
{
    (void)state;
#define LETTER(c, n) "{\"letter\":\"" c "\",\"N\":" #n "}"
    INSTRUCTION_JUDGE("verify_letter_frequency", {LETTER("a", 2), "a A a", true},
                      {LETTER("a", 3), "a A a", false}, {LETTER("A", 1), "a A a", true},
                      {LETTER("ab", 1), "ab", false}, {LETTER("", 0), "ab", false});
}

static void spaced_stars_separate_paragraphs(void **state)
{
    (void)state;
#define N(n) "{\"N\":" #n "}"
    INSTRUCTION_JUDGE("verify_paragraph_count", {N(2), "one\n* * *\ntwo", true},
                      {N(2), "one\r\n  * * *  \r\ntwo", true}, {N(2), "one***two", false},
                      {N(2), "one* * *two", true}, {N(2), "one* * *", false}, {N(1), "", false},
                      {N(2), "one\x1c* * *\x1ctwo", true}, {N(1), "one* * *two", false});
}

// A tenth is rounded half to even, and at least one.
static void words_are_counted_about(void **state)
{
    (void)state;
#define Q(n, q) "{\"N\":" #n ",\"quantifier\":\"" q "\"}"
    INSTRUCTION_JUDGE(
        "validate_word_constraint", {Q(3, "at least"), "a b-c d", true},
        {Q(2, "at most"), "a b c", false}, {Q(3, "around"), "a b", true},
        {Q(3, "around"), "a", false},
        {Q(25, "around"), "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23", true},
        {Q(25, "around"), "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22", false},
        {Q(3, "exactly"), "a b c", false}, {Q(0, "at most"), "", true});
}

static void a_sentence_ends_at_a_blank_behind_a_mark(void **state)
{
    (void)state;
#define SENTENCES "verify_sentence_constraint"
    INSTRUCTION_JUDGE(SENTENCES, {Q(2, "at least"), "One. Two", true},
                      {Q(2, "at least"), "One.Two", false}, {Q(3, "at least"), "One.  Two. ", true},
                      {Q(2, "at least"), "Mr. Fox", false}, {Q(2, "at least"), "MR. Fox", true},
                      {Q(2, "at least"), "see e.g. this", false},
                      {Q(2, "at least"), "Go! Now", true}, {Q(2, "at least"), "Why?\nSo", true},
                      {Q(1, "at most"), "", true}, {Q(3, "around"), "One. Two", true},
                      {Q(4, "around"), "One. Two", false});
    INSTRUCTION_JUDGE(SENTENCES "@tulu3", {Q(2, "at least"), "Go! Now", false},
                      {Q(2, "at least"), "Stay. Now", true});
}

static void paragraphs_are_numbered_from_one(void **state)
{
    (void)state;
#define NTH(n, word, i) "{\"N\":" #n ",\"first_word\":\"" word "\",\"i\":" #i "}"
    INSTRUCTION_JUDGE("validate_paragraphs", {NTH(2, "Ho", 2), "a\n\n Home", true},
                      {NTH(2, "ho", 2), "a\n\nHome", false}, {NTH(2, "Ho", 0), "a\n\nHome", true},
                      {NTH(2, "Ho", 3), "a\n\nHome", false}, {NTH(3, "b", 3), "a\n\n\n\nb", true},
                      {NTH(2, "b", 2), "a\n\n\n\nb", false});
}

static void something_follows_a_postscript(void **state)
{
    (void)state;
#define PS "{\"postscript_marker\":\"P.S.\"}"
    INSTRUCTION_JUDGE("verify_postscript", {PS, "x P.S. y", true}, {PS, "x P.S. ", false},
                      {PS, "x p.s. y", false}, {PS, "P.S.P.S.", true});
}

static void forms_are_counted(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("validate_placeholders", {N(2), "[a] []", true}, {N(2), "[a\n] [b]", false});
    INSTRUCTION_JUDGE("validate_placeholders@tulu3", {N(2), "none", true});
    INSTRUCTION_JUDGE("verify_bullet_points", {N(3), "* a\n - b\n**c**\nd", true},
                      {N(1), "a * b\n---", true}, {N(2), "* a", false});
    INSTRUCTION_JUDGE("validate_title", {"{}", "a <<>> b", true}, {"{}", "<<a\n>>", false},
                      {"{}", "<a>", false}, {"{}", ">> <<", false});
    INSTRUCTION_JUDGE("validate_highlighted_sections", {N(2), "**a**", true},
                      {N(1), "*a\nb*", false}, {N(1), "*a*b", true}, {N(2), "*a*b*", false});
#define SPLIT(n, word) "{\"N\":" #n ",\"section_splitter\":\"" word "\"}"
    INSTRUCTION_JUDGE("validate_sections", {SPLIT(2, "Part"), "Part 1 Part 2", true},
                      {SPLIT(2, "Part"), "x Part 1", true}, {SPLIT(2, "."), "abc", false},
                      {SPLIT(1, ""), "abc", false}, {SPLIT(1, "Part"), "part", true});
    INSTRUCTION_JUDGE("validate_two_responses", {"{}", "a******b", true},
                      {"{}", "a****** a", false}, {"{}", "******b", true},
                      {"{}", "a******b******c", false}, {"{}", "a", false});
}

// The released code looks for the text in the options.
static void a_choice_is_made(void **state)
{
    (void)state;
#define YES_NO "{\"options\":[\"yes\",\"no\"]}"
    INSTRUCTION_JUDGE("validate_choice", {YES_NO, "so yes it is", true}, {YES_NO, "Yes", false},
                      {YES_NO, "", false});
    INSTRUCTION_JUDGE("validate_choice@tulu3", {YES_NO, "so yes it is", false},
                      {YES_NO, "ye", true}, {YES_NO, "", true});
}

static void the_whole_text_has_a_form(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("validate_json_format", {"{}", "{\"a\":[NaN]}", true},
                      {"{}", "```json\n{}\n```", false}, {"{}", "", false});
    INSTRUCTION_JUDGE("validate_uppercase", {"{}", "ALL, 1", true}, {"{}", "All", false},
                      {"{}", "", true},
                      {"{}",
                       "STRA\xc3\x9f"
                       "E",
                       false});
    INSTRUCTION_JUDGE("validate_lowercase", {"{}", "all, 1", true}, {"{}", "All", false},
                      {"{}",
                       "stra\xc3\x9f"
                       "e",
                       true});
    INSTRUCTION_JUDGE("validate_quotation", {"{}", "\"a\"", true}, {"{}", "\"", true},
                      {"{}", "\"a", false}, {"{}", "", false});
    INSTRUCTION_JUDGE("validate_no_commas", {"{}", "a\xef\xbc\x8c", true}, {"{}", "a,", false},
                      {"{}", "", true});
    INSTRUCTION_JUDGE("validate_end", {"{\"end_phrase\":\"the end\"}", "this is the end", true},
                      {"{\"end_phrase\":\"The end\"}", "this is the end", false},
                      {"{\"end_phrase\":\"end\"}", "the end.", false});
    INSTRUCTION_JUDGE("validate_repeat_prompt",
                      {"{\"original_prompt\":\"Say hi\"}", "Say hi: hi", true},
                      {"{\"original_prompt\":\"Say hi\"}", "say hi: hi", false});
}

static void words_in_capitals_are_ascii(void **state)
{
    (void)state;
#define CAPITALS "validate_frequency_capital_words"
    INSTRUCTION_JUDGE(CAPITALS, {Q(2, "at least"), "NO, I won't", true},
                      {Q(1, "at least"), "A1 X_Y Abc \xc3\x89T\xc3\x89", false},
                      {Q(1, "at most"), "DON'T", false}, {Q(3, "around"), "AB CD", true},
                      {Q(3, "around"), "AB", false});
    INSTRUCTION_JUDGE(CAPITALS "@tulu3", {Q(3, "around"), "AB CD", false},
                      {Q(2, "around"), "AB CD", true}, {Q(1, "at least"), "AB CD", true});
}

static void missing_arguments_are_refused(void **state)
{
    (void)state;
    instruction_refuses("verify_keywords", "{}", "keyword_list");
    instruction_refuses("validate_word_constraint", "{\"N\":3}", "quantifier");
    instruction_refuses("validate_paragraphs", "{\"N\":3,\"first_word\":\"a\"}", "i: missing");
    instruction_refuses("validate_end", "{\"end_phrase\":\"a\",\"N\":1}", "N: unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keywords_are_plain_text_of_any_case),
        cmocka_unit_test(a_letter_occurs_exactly_so_often_in_its_case),
        cmocka_unit_test(spaced_stars_separate_paragraphs),
        cmocka_unit_test(words_are_counted_about),
        cmocka_unit_test(a_sentence_ends_at_a_blank_behind_a_mark),
        cmocka_unit_test(paragraphs_are_numbered_from_one),
        cmocka_unit_test(something_follows_a_postscript),
        cmocka_unit_test(forms_are_counted),
        cmocka_unit_test(a_choice_is_made),
        cmocka_unit_test(the_whole_text_has_a_form),
        cmocka_unit_test(words_in_capitals_are_ascii),
        cmocka_unit_test(missing_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
