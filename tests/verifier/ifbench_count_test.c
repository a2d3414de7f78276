// ifbench_count_test.c: what IFBench's count:* and ratio:* instructions accept.
#include "tests/verifier/instruction.h"

static void a_range_includes_both_ends(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("count:word_count_range",
                      {"{\"min_words\":3,\"max_words\":4}", "one two three", true},
                      {"{\"min_words\":3,\"max_words\":4}", "don't go now", true},
                      {"{\"min_words\":3,\"max_words\":4.0}", "one two", false},
                      {"{\"min_words\":3,\"max_words\":4}", "a b c d e", false},
                      {"{\"min_words\":0,\"max_words\":9}", "?", true});
    instruction_refuses("count:word_count_range", "{\"min_words\":3}", "max_words: missing");
}

static void unique_words_ignore_case_and_edges(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("count:unique_word_count", {"{\"N\":2}", "Go go, GO! (go)", false},
                      {"{\"N\":1}", "Go go, GO! (go)", true}, {"{\"N\":2}", "go gone", true},
                      {"{\"N\":2}", "go g-o", true}, {"{\"N\":2}", "go \xe2\x80\x9cgo", true},
                      {"{\"N\":2.0}", "go ...", true});
}

// Distinct as written: the original puts the words themselves into a set.
static void conjunctions_differ_by_their_spelling(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("count:conjunctions", {"{\"small_n\":2}", "red and blue or green", true},
                      {"{\"small_n\":2}", "red and blue and green", false},
                      {"{\"small_n\":2}", "And then and there", true},
                      {"{\"small_n\":2}", "this or, that or", true},
                      {"{\"small_n\":7}", "and but for nor or so yet", true},
                      {"{\"small_n\":1}", "although andy because", false});
}

static void names_are_whole_words_of_the_list(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("count:person_names", {"{\"N\":2}", "Emma met Liam.", true},
                      {"{\"N\":2}", "Emma met Emma.", false}, {"{\"N\":1}", "emma EMMA", false},
                      {"{\"N\":1}", "Emma's", true}, {"{\"N\":1}", "Emma_2 Emmanuel", false},
                      {"{\"N\":1}", "Ava-Marie", true}, {"{\"N\":1}", "Boris", false},
                      {"{\"N\":1}", "Christopher", true}, {"{\"N\":1}", "Zoe", true},
                      {"{\"N\":1}", "Abigail", true});
}

// Punctuation goes first, so that a decimal number is one.
static void numbers_are_runs_of_digits_without_punctuation(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE(
        "count:numbers", {"{\"N\":1}", "3.14", true}, {"{\"N\":1}", "1,000,000", true},
        {"{\"N\":1}", "12:30", true}, {"{\"N\":2}", "12 30", true},
        {"{\"N\":2}",
         "1\xe2\x80\x93"
         "9",
         true},
        {"{\"N\":1}", "1 2", false}, {"{\"N\":0}", "none", true}, {"{\"N\":1}", "\xd9\xa3", true},
        {"{\"N\":1}", "\xc2\xb2", false}, {"{\"N\":1}", "a1b", true});
}

static void every_mark_is_needed_besides_the_interrobang(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("count:punctuation", {"{}", "What?! A, b; c: d. E! F?", true},
                      {"{}", "What!? A, b; c: d. E! F?", true}, {"{}", "What?! A, b; c: d.", false},
                      {"{}", "A, b; c: d. E! F?", false},
                      {"{}", "\xe2\x80\xbd A, b; c: d. E! F?", true},
                      {"{}", "\xe2\x80\xbd A, b; c: d.", false}, {"{}", "?!?! , ; : .", true},
                      {"{}", "!?! ?, ; : .", true}, {"{}", "!!?? , ; : .", true});
}

static void every_nth_word_is_japanese_or_a_number(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE(
        "count:words_japanese",
        {"{\"N\":2}", "one \xe7\x8a\xac two \xe3\x81\x84\xe3\x81\xac", true},
        {"{\"N\":2}", "one two", false}, {"{\"N\":3}", "one two", true},
        {"{\"N\":2}", "one 42!", true}, {"{\"N\":2}", "one \xe2\x91\xa0", true},
        {"{\"N\":2}", "one \xc2\xbd", false}, {"{\"N\":2}", "one --", true},
        {"{\"N\":2}", "one x\xe7\x8a\xacx", true}, {"{\"N\":2}", "one \xed\x95\x9c", false},
        {"{\"N\":2}", "one \xef\xbd\xb2", false}, {"{\"N\":1}", "\xe7\x8a\xac two", false});
    instruction_refuses("count:words_japanese", "{\"N\":0}", "N: 0, expected 1 or more");
}

static void keywords_occur_one_two_three_five_and_seven_times(void **state)
{
    (void)state;
#define KEYS                                                                                       \
    "{\"keyword1\":\"ant\",\"keyword2\":\"Bee\",\"keyword3\":\"cow\",\"keyword4\":\"dog\","        \
    "\"keyword5\":\"elk\"}"
    INSTRUCTION_JUDGE(
        "count:keywords_multiple",
        {KEYS, "ANT bee beehive cowcow cow dogdogdog dog Dog elkelkelkelkelkelk elk", true},
        {KEYS, "ant bee bee cow cow cow dog dog dog dog dog elk", false},
        {KEYS,
         "ant want bee bee cow cow cow dog dog dog dog dog elk elk elk elk elk elk "
         "elk",
         false});
    instruction_refuses("count:keywords_multiple",
                        "{\"keyword1\":\"a\",\"keyword2\":\" \",\"keyword3\":\"c\","
                        "\"keyword4\":\"d\",\"keyword5\":\"e\"}",
                        "keyword2: blank");
}

static void stop_words_are_a_share_of_all_words(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE(
        "ratio:stop_words", {"{\"percentage\":50}", "The dog", true},
        {"{\"percentage\":49}", "The dog", false}, {"{\"percentage\":33.4}", "the big dog", true},
        {"{\"percentage\":0}", "dogs bark", true}, {"{\"percentage\":0}", "don't", false},
        {"{\"percentage\":99}", "don't", false}, {"{\"percentage\":100}", "don't", true},
        {"{\"percentage\":100}", "?!", false},
        {"{\"percentage\":0}", "would could also upon", true},
        {"{\"percentage\":99}", "yourselves a", false});
    instruction_refuses("ratio:stop_words", "{\"percentage\":-1}", "percentage: -1");
}

// Two of the response's four distinct trigrams are in the reference.
static void overlap_is_of_distinct_character_trigrams(void **state)
{
    (void)state;
#define OVERLAP(p) "{\"reference_text\":\"abcd\",\"percentage\":" p "}"
    INSTRUCTION_JUDGE("ratio:overlap", {OVERLAP("50"), "abcdef", true},
                      {OVERLAP("52"), "abcdef", true}, {OVERLAP("48.0"), "abcdef", true},
                      {OVERLAP("53"), "abcdef", false}, {OVERLAP("47"), "abcdef", false},
                      {OVERLAP("100"), "abcd", true}, {OVERLAP("100"), "ABCD", false},
                      {OVERLAP("50"), "abcabcabc", false}, {OVERLAP("33"), "abcabcabc", true},
                      {OVERLAP("0"), "ab", false}, {OVERLAP("0"), "xyz", true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_includes_both_ends),
        cmocka_unit_test(unique_words_ignore_case_and_edges),
        cmocka_unit_test(conjunctions_differ_by_their_spelling),
        cmocka_unit_test(names_are_whole_words_of_the_list),
        cmocka_unit_test(numbers_are_runs_of_digits_without_punctuation),
        cmocka_unit_test(every_mark_is_needed_besides_the_interrobang),
        cmocka_unit_test(every_nth_word_is_japanese_or_a_number),
        cmocka_unit_test(keywords_occur_one_two_three_five_and_seven_times),
        cmocka_unit_test(stop_words_are_a_share_of_all_words),
        cmocka_unit_test(overlap_is_of_distinct_character_trigrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
