// ifbench_sentences_test.c: what IFBench accepts where it looks at sentences, tokens, syllables or
// emoji. Sentences are plain ones: where sentences end is sentences_test.c's subject.
#include "tests/verifier/instruction.h"

static void two_statements_a_question(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("ratio:sentence_type", {"{}", "We ran. It rained. Did you?", true},
                      {"{}", "We ran. Did you?", false}, {"{}", "Stop! Go", true},
                      {"{}", "We ran. It rained. \"Did you?\"", false});
}

static void all_types_of_sentences_are_equally_many(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("ratio:sentence_balance", {"{}", "We ran. Did you? Stop!", true},
                      {"{}", "We ran. Did you?", false}, {"{}", "no mark at all", true});
}

// The instruction asks for different words, too, but nobody checks them.
static void three_sentences_are_equally_long(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("ratio:sentence_words", {"{}", "We ran. We ran.\n\n We ran. ", true},
                      {"{}", "We ran. We ate. We slept.", false}, {"{}", "We ran. We ate.", false},
                      {"{}", "We r\xc3\xa4n. We ate. We sat.", true});
}

static void alliterations_grow(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("sentence:alliteration_increment",
                      {"{}", "One dog ran. Two dogs dig. Big bears buy apples.", true},
                      {"{}", "Two dogs dig. One \"Old owl sat.", true},
                      {"{}", "Two dogs dig. Cats can purr.", false},
                      {"{}", "Two dogs dig. Cats can purr patiently.", true},
                      {"{}", "One dog ran.", true}, {"{}", "One dog ran. Two men sat.", false},
                      {"{}", "Two dogs dig. Cats - can come now.", true});
}

static void each_sentence_has_so_many_more_words(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE(
        "sentence:increment", {"{\"small_n\":2}", "We ran. They ate - some bread.", true},
        {"{\"small_n\":1}", "We ran. They ate some bread.", false},
        {"{\"small_n\":0.0}", "We ran. They ate.", true}, {"{\"small_n\":9}", "We ran.", true},
        {"{\"small_n\":1}", "We don't. They do not!", true});
}

static void a_keyword_is_in_its_sentence(void **state)
{
    (void)state;
#define WORD(w, n) "{\"word\":\"" w "\",\"N\":" n "}"
    INSTRUCTION_JUDGE("sentence:keyword", {WORD("dog", "2"), "We ran. A DOG barked.", true},
                      {WORD("dog", "1"), "We ran. A dog barked.", false},
                      {WORD("dog", "3"), "We ran. A dog barked.", false},
                      {WORD("dog", "2"), "We ran. Dogs barked.", false},
                      {WORD("dog", "1.0"), "A dog-like cat.", true},
                      {WORD("c++", "1"), "We use c++ here.", false},
                      {WORD("c++", "1"), "We use c++11 here.", true},
                      {WORD("a.b", "1"), "We use axb here.", false},
                      {WORD("dog", "0"), "We ran. A dog barked.", true});
    instruction_refuses("sentence:keyword", WORD("", "1"), "word: empty");
}

static void the_last_word_begins_the_next_sentence(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("words:last_first", {"{}", "We saw dogs. Dogs saw us! \"Us they saw.", true},
                      {"{}", "Dogs saw us! \"Us\" they saw.", false},
                      {"{}", "We saw dogs. Cats saw us.", false}, {"{}", "We saw dogs.", true},
                      {"{}", "We saw dogs. Dogs, too.", false});
}

static void a_keyword_has_its_place_in_its_sentence(void **state)
{
    (void)state;
#define PLACE(n, m) "{\"keyword\":\" Dogs \",\"n\":" n ",\"m\":" m "}"
    INSTRUCTION_JUDGE("words:keywords_specific_position",
                      {PLACE("2", "3"), "We ran. We (saw) dogs.", true},
                      {PLACE("2", "2"), "We ran. We (saw) dogs.", false},
                      {PLACE("2", "3"), "We ran. It's dogs.", true},
                      {PLACE("1", "3"), "We saw dogs-like animals.", false},
                      {PLACE("3", "1"), "We ran. We saw dogs.", false},
                      {PLACE("2", "9"), "We ran. We saw dogs.", false});
    instruction_refuses("words:keywords_specific_position", PLACE("0", "1"), "n: 0");
    instruction_refuses("words:keywords_specific_position", PLACE("1", "0"), "m: 0");
}

static void a_keyword_is_second_and_last_but_one(void **state)
{
    (void)state;
#define BOTH "{\"keyword\":\"dogs\"}"
    INSTRUCTION_JUDGE(
        "words:words_position", {BOTH, "Big dogs like dogs much.", true},
        {BOTH, "Big Dogs like dogs much", true}, {BOTH, "Big dogs like dogs.", false},
        {BOTH, "Big dogs like dogs ...", true}, {BOTH, "Big dogs like dogs much!!", false},
        {BOTH, "Dogs, dogs like dogs much", false}, {BOTH, "dogs", false},
        {BOTH, "Dogs dogs", true}, {BOTH, "Cats dogs", false}, {BOTH, "Big dogs much.", true});
}

static void syllables_alternate(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("words:odd_even_syllables", {"{}", "the water is happy", true},
                      {"{}", "the water happy", false}, {"{}", "dog", true},
                      {"{}", "the dog", false}, {"{}", "-- the -- water", true});
}

static void pronouns_are_tokens_of_the_list(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("count:pronouns", {"{\"N\":2}", "She/her pronouns", true},
                      {"{\"N\":1}", "It's fine.", true}, {"{\"N\":2}", "It's fine.", false},
                      {"{\"N\":2}", "I'm what?", true}, {"{\"N\":1}", "Us.", true},
                      {"{\"N\":1}", "one other dog", false}, {"{\"N\":0}", "no dog", true},
                      {"{\"N\":2}", "That THAT", true}, {"{\"N\":1}", "whichever", true});
}

static void an_emoji_ends_every_sentence(void **state)
{
    (void)state;
#define SMILE "\xf0\x9f\x98\x80"
#define HEART "\xe2\x9d\xa4"
#define VS16 "\xef\xb8\x8f"
    INSTRUCTION_JUDGE("format:emoji", {"{}", "We ran " SMILE, true},
                      {"{}", "We ran. " SMILE " We ate! " SMILE, true},
                      {"{}", "We ran. We ate! " SMILE, false},
                      {"{}", "We ran " HEART VS16 ".", true}, {"{}", "We ran " SMILE " !", true},
                      {"{}", "We ran", false}, {"{}", "We " SMILE " ran", false},
                      {"{}", "We ran " SMILE "x", true}, {"{}", "We ran :)", false});
}

static void sentences_come_before_bullets(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:no_bullets_bullets", {"{}", "We ran. We ate.\n* a\n * b", true},
                      {"{}", "We ran.\nWe ate.\n* a\n* b", true},
                      {"{}", "We ran.\n* a\n* b", false}, {"{}", "We ran. We ate.\n* a", false},
                      {"{}", "We ran. We ate.\n* a\n- b\n* c", false},
                      {"{}", "We ran. We ate.\n\n* a\n* b", true},
                      {"{}", "We ran. We ate.\n\nWe sat.\n* a\n* b", false},
                      {"{}", "We ran. We ate.\n\n\n* a\n* b", false},
                      {"{}", "We ran. We ate.\n* a\n* b\n", false});
}

static void words_are_in_title_case(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE(
        "format:title_case", {"{}", "The Big Dog: A Story", true}, {"{}", "The big Dog", false},
        {"{}", "A Dog a Cat", false}, {"{}", "NASA And McDonald", true}, {"{}", "iPhone", true},
        {"{}", "dOG", false}, {"{}", "Dogs Don't Run", false}, {"{}", "1st 2nd \"3rd\"", true},
        {"{}", "Well-known Dogs", true}, {"{}", "\xc3\xa9t\xc3\xa9", false});
}

static void sentences_follow_the_alphabet(void **state)
{
    (void)state;
#define A_TO_M                                                                                     \
    "Ants ran. Bees ran. Cats ran. Dogs ran. Elks ran. Fish ran. Gnus ran. Hens ran. Ibex ran. "   \
    "Jays ran. Kids ran. Lions ran. Mice ran. "
#define N_TO_Y                                                                                     \
    "Newts ran. Owls ran. Pigs ran. Quails ran. Rats ran. Seals ran. Toads ran. Urchins ran. "     \
    "Voles ran. Wolves ran. Xerus ran. Yaks ran. "
    INSTRUCTION_JUDGE("custom:sentence_alphabet", {"{}", A_TO_M N_TO_Y "Zebras ran.", true},
                      {"{}", A_TO_M N_TO_Y, false}, {"{}", A_TO_M N_TO_Y "Ants ran.", false},
                      {"{}", A_TO_M N_TO_Y "Zebras ran. Ants ran.", false},
                      {"{}", A_TO_M N_TO_Y "'Zebras' ran.", false},
                      {"{}", A_TO_M N_TO_Y "Zebras ran!", true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_statements_a_question),
        cmocka_unit_test(all_types_of_sentences_are_equally_many),
        cmocka_unit_test(three_sentences_are_equally_long),
        cmocka_unit_test(alliterations_grow),
        cmocka_unit_test(each_sentence_has_so_many_more_words),
        cmocka_unit_test(a_keyword_is_in_its_sentence),
        cmocka_unit_test(the_last_word_begins_the_next_sentence),
        cmocka_unit_test(a_keyword_has_its_place_in_its_sentence),
        cmocka_unit_test(a_keyword_is_second_and_last_but_one),
        cmocka_unit_test(syllables_alternate),
        cmocka_unit_test(pronouns_are_tokens_of_the_list),
        cmocka_unit_test(an_emoji_ends_every_sentence),
        cmocka_unit_test(sentences_come_before_bullets),
        cmocka_unit_test(words_are_in_title_case),
        cmocka_unit_test(sentences_follow_the_alphabet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
