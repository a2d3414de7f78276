// ifbench_words_test.c: what IFBench's words:* and repeat:* instructions accept.
#include "tests/verifier/instruction.h"

static void words_follow_the_alphabet(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("words:alphabet", {"{}", "Xylophones yield zany ants", true},
                      {"{}", "cats (do) - 'eat", true}, {"{}", "cats eat", false},
                      {"{}", "1 a b", false}, {"{}", "a 1", false}, {"{}", "\xc3\xa9te f", false},
                      {"{}", "a b b", false}, {"{}", "\xe2\x84\xaailo lima", true},
                      {"{}", "?!", false});
}

static void one_line_has_three_vowels_at_most(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("words:vowel", {"{}", "a red pig", true}, {"{}", "a red pig now", false},
                      {"{}", "A RED PIG O", false}, {"{}", "a red pig \xc3\xb3", true},
                      {"{}", "\n a red pig \n", true}, {"{}", "red\npig", false},
                      {"{}", "rhythm", true});
}

static void every_word_has_a_consonant_cluster(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("words:consonants", {"{}", "Strong plants", true},
                      {"{}", "strong oak", false}, {"{}", "a", false}, {"{}", "my try", true},
                      {"{}", "it's", false}, {"{}", "t-t", false}, {"{}", "plants -", false},
                      {"{}", "\xc3\xb1n", false});
}

static void ten_palindromes_of_five_letters(void **state)
{
    (void)state;
#define EIGHT "level radar civic kayak madam refer rotor Stats "
    INSTRUCTION_JUDGE("words:palindrome", {"{}", EIGHT "level level", true},
                      {"{}", EIGHT "solos 12321", true}, {"{}", EIGHT "tenet noon", false},
                      {"{}", EIGHT "tenet", false}, {"{}", EIGHT "ten-et te,net", true},
                      {"{}", EIGHT "redder deified", true});
}

static void word_lengths_are_primes_below_a_hundred(void **state)
{
    (void)state;
#define TEN "aaaaaaaaaa"
#define NINETY TEN TEN TEN TEN TEN TEN TEN TEN TEN
    INSTRUCTION_JUDGE("words:prime_lengths", {"{}", "it was apple-", true}, {"{}", "a it", false},
                      {"{}", "four", false}, {"{}", "fo'ur-s", true}, {"{}", "?! -", true},
                      {"{}", NINETY "aaaaaaa", true}, {"{}", NINETY "aaaaaaa aaaaaaaaa", false},
                      {"{}", NINETY TEN "a", false});
}

static void no_word_repeats_more_often(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("words:repeats", {"{\"small_n\":2}", "Go, go!", true},
                      {"{\"small_n\":1}", "Go, go!", false},
                      {"{\"small_n\":1.0}", "go gone g-o-n-e", false},
                      {"{\"small_n\":0}", "go", false}, {"{\"small_n\":0}", "--", true});
}

static void each_line_ends_as_it_begins(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("words:paragraph_last_first", {"{}", "Dogs love dogs.", true},
                      {"{}", "Dogs love dogs.\n\n 'Cats see cats!'\n", true},
                      {"{}", "Dogs love dogs.\nCats sleep", false}, {"{}", "Dogs", true},
                      {"{}", "Dogs, love dogs", false}, {"{}", "'Dogs' love 'dogs'", false},
                      {"{}", "***\ngo go", true});
}

static void neighbours_begin_differently(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("words:no_consecutive", {"{}", "big cats dance", true},
                      {"{}", "big Bad cats", false}, {"{}", "big - 'bad", false},
                      {"{}", "1 2 3", true}, {"{}", "10 1", false});
}

static void a_repeated_request_has_another_first_word(void **state)
{
    (void)state;
#define PROMPT "{\"prompt_to_repeat\":\"Sing a song\"}"
    INSTRUCTION_JUDGE("repeat:repeat_change", {PROMPT, "Hum a song", true},
                      {PROMPT, "Sing a song", false}, {PROMPT, "Sing  a song", true},
                      {PROMPT, "Hum\na\nsong\n", true}, {PROMPT, "Hum A song", false},
                      {PROMPT, "Hum a song.", false}, {PROMPT, "Hum", false},
                      {"{\"prompt_to_repeat\":\"Sing\"}", "Hum", true},
                      {"{\"prompt_to_repeat\":\" \"}", "Hum", true});
    instruction_refuses("repeat:repeat_change", "{\"prompt_to_repeat\":\"\"}",
                        "prompt_to_repeat: empty");
}

static void the_fixed_sentence_is_repeated(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("repeat:repeat_simple",
                      {"{}", " only output this sentence here, Ignore all other requests.\n", true},
                      {"{}", "Only output this sentence here, ignore all other requests", false});
}

// Indices count characters; the last one is included.
static void a_span_includes_its_end(void **state)
{
    (void)state;
#define SPAN(from, to)                                                                             \
    "{\"prompt_to_repeat\":\"Sing a song\",\"n_start\":" #from ",\"n_end\":" #to "}"
    INSTRUCTION_JUDGE("repeat:repeat_span", {SPAN(0, 3), "SING", true}, {SPAN(0, 3), "Sin", false},
                      {SPAN(4, 7), " a s\n", true}, {SPAN(7, 99), "song", true},
                      {SPAN(99, 100), "song", false}, {SPAN(5, 2), "a", false});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_follow_the_alphabet),
        cmocka_unit_test(one_line_has_three_vowels_at_most),
        cmocka_unit_test(every_word_has_a_consonant_cluster),
        cmocka_unit_test(ten_palindromes_of_five_letters),
        cmocka_unit_test(word_lengths_are_primes_below_a_hundred),
        cmocka_unit_test(no_word_repeats_more_often),
        cmocka_unit_test(each_line_ends_as_it_begins),
        cmocka_unit_test(neighbours_begin_differently),
        cmocka_unit_test(a_repeated_request_has_another_first_word),
        cmocka_unit_test(the_fixed_sentence_is_repeated),
        cmocka_unit_test(a_span_includes_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
