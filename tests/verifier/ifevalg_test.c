// ifevalg_test.c: what the later training suite's instructions accept.
#include "tests/verifier/instruction.h"

#include <stdlib.h>

static void a_prompt_is_copied(void **state)
{
    (void)state;
#define PROMPT "{\"prompt_to_repeat\":\" Say Hi\"}"
    INSTRUCTION_JUDGE("copy:copy", {PROMPT, "say hi\n", true}, {PROMPT, "say hi!", false});
    INSTRUCTION_JUDGE("copy:copying_simple", {PROMPT, "SAY HI", true}, {PROMPT, "say  hi", false});
#define COPIES(n) "{\"prompt_to_repeat\":\"Say Hi\",\"N\":" #n "}"
    INSTRUCTION_JUDGE("copy:copying_multiple", {COPIES(2), "say hi\n******\nSay Hi", true},
                      {COPIES(3), "say hi******say hi", false},
                      {COPIES(2), "say hi******say", false}, {COPIES(2), "say hi***say hi", false});
    instruction_refuses("copy:copying_multiple", COPIES(0), "N: 0");
}

static void a_span_ends_before_its_end(void **state)
{
    (void)state;
#define SPAN(from, to)                                                                             \
    "{\"prompt_to_repeat\":\"caf\\u00e9 at noon\",\"n_start\":" #from ",\"n_end\":" #to "}"
    INSTRUCTION_JUDGE("new:copy_span_idx", {SPAN(1, 4), "af\xc3\xa9", true},
                      {SPAN(1, 5), "AF\xc3\x89", true}, {SPAN(1, 3), "af\xc3\xa9", false},
                      {SPAN(8, 99), "noon", true});
    instruction_refuses("new:copy_span_idx", SPAN(0, 3), "n_start: 0");
}

static void a_phrase_returns_with_one_word_changed(void **state)
{
    (void)state;
#define PHRASE(n) "{\"phrase\":\"old dogs learn slowly\",\"small_n\":" #n "}"
    INSTRUCTION_JUDGE(
        "copy:repeat_phrase", {PHRASE(1), "old cats learn slowly", true},
        {PHRASE(2), "old cats learn slowly, old dogs run slowly", true},
        {PHRASE(1), "old cats learn slowly, old dogs run slowly", false},
        {PHRASE(1), "old cats run slowly", false}, {PHRASE(1), "old dogs learn slowly", false},
        {PHRASE(2), "old dogs learn slowly old dogs run slowly", true},
        {PHRASE(2), "old dogs run slowly old dogs learn slowly", false},
        {PHRASE(1), "Old cats learn slowly", false}, {PHRASE(1), "bold cats learn slowly", true},
        {PHRASE(1), "old\ncats learn slowly", false}, {PHRASE(1), "old cats\nlearn slowly", false},
        {PHRASE(1), "old\nold cats learn slowly", true},
        {PHRASE(1), "old x\nold cats learn slowly", true},
        {PHRASE(1), "old cats learn very slowly", false}, {PHRASE(1), "old  slowly", false},
        {PHRASE(1), "old slowly", false});
    INSTRUCTION_JUDGE("copy:repeat_phrase",
                      {"{\"phrase\":\" a  b c \",\"small_n\":1}", "a x c", true});
    instruction_refuses("copy:repeat_phrase", PHRASE(0), "small_n: 0");
    instruction_refuses("copy:repeat_phrase", "{\"phrase\":\" \",\"small_n\":1}", "phrase: blank");
    instruction_refuses("copy:repeat_phrase", "{\"phrase\":\"a b c.\",\"small_n\":1}", "phrase: a");
}

static void words_stand_in_brackets(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("detectable_format:square_brackets", {"{}", "[all] [of]\n[it]", true},
                      {"{}", "[all of]", false}, {"{}", "[all].", false}, {"{}", "[]", true},
                      {"{}", "[", false});
    INSTRUCTION_JUDGE("detectable_format:bigram_wrapping",
                      {"{}", "<<one two>> <<three four>>", true}, {"{}", "<<one two>> three", true},
                      {"{}", "<<one>> two", false}, {"{}", "one", true},
                      {"{}", "<<one two>>.", false});
}

static void neighbours_do_not_follow_in_the_alphabet(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("keywords:no_adjacent_consecutive", {"{}", "a cat and a dog", true},
                      {"{}", "a Big cat", false}, {"{}", "big ants", true}, {"{}", "1 2", false},
                      {"{}", "z a", true}, {"{}", "\xc4\xb0 z", false}, {"{}", "z \xc4\xb0", false},
                      {"{}", "\xc4\xb0", true});
}

static void one_palindrome_is_enough(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("keywords:palindrome", {"{}", "at noon we", true}, {"{}", "Noon we", false},
                      {"{}", "we saw a", true}, {"{}", "noon.", false}, {"{}", ".noon.", true});
}

static void the_first_and_the_last_word_are_named(void **state)
{
    (void)state;
#define FIRST "{\"first_word\":\" Well\"}"
#define LAST "{\"last_word\":\"Done \"}"
    INSTRUCTION_JUDGE("first_word:first_word_answer", {FIRST, "\nwell then", true},
                      {FIRST, "Well, then", false}, {FIRST, "Then well", false});
    INSTRUCTION_JUDGE("last_word:last_word_answer", {LAST, "it is done.", true},
                      {LAST, "it is **DONE**!", true}, {LAST, "done it", false},
                      {LAST, "it is do-ne", true}, {LAST, "it is done .", false});
    instruction_refuses("first_word:first_word_answer", "{\"first_word\":\"\"}", "first_word");
    instruction_refuses("last_word:last_word_answer", "{\"last_word\":\"\"}", "last_word");
}

static void keywords_are_counted(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("keywords:word_once", {"{\"keyword\":\"sun\"}", "Sunday", true},
                      {"{\"keyword\":\"sun\"}", "Sun, sun", false},
                      {"{\"keyword\":\"sun\"}", "moon", false},
                      {"{\"keyword\":\"s.n\"}", "a sin", true});
#define COUNT(n, rel) "{\"keyword\":\"sun\",\"frequency\":" #n ",\"relation\":\"" rel "\"}"
    INSTRUCTION_JUDGE("keywords:word_count_different_numbers",
                      {COUNT(2, "at least"), "Sun sun", true},
                      {COUNT(2, "less than"), "Sun sun", false}, {COUNT(0, "at least"), "x", true});
#define PAIR "{\"keyword1\":\"sun\",\"keyword2\":\"moon\"}"
    INSTRUCTION_JUDGE("count:count_increment_word", {PAIR, "Sun Moon moonlight", true},
                      {PAIR, "sun moon", false}, {PAIR, "sun sun moon moon", false});
    INSTRUCTION_JUDGE("keywords:exclude_word_harder",
                      {"{\"keyword\":\"sun\"}", "the sun shines", false},
                      {"{\"keyword\":\"sun\"}", "the Sun shines", true},
                      {"{\"keyword\":\"sun\"}", "sun and sun. A\tsun\nor sun", true});
    instruction_refuses("keywords:word_once", "{\"keyword\":\"\"}", "keyword");
}

static void two_paragraphs(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("paragraphs:paragraphs", {"{}", "a\n***\nb", true},
                      {"{}", "***\na\n***\nb", true}, {"{}", "a\n\nb", false},
                      {"{}", "a******b", false});
    INSTRUCTION_JUDGE("paragraphs:paragraphs2", {"{}", "a\n\nb", true}, {"{}", "a\n\nb\n\n", true},
                      {"{}", "a\n\n\n\nb", false}, {"{}", "a\n\nb\n\nc", false},
                      {"{}", "a\nb", false});
}

static void marks_and_letters_are_ascii(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("punctuation:punctuation_dot", {"{}", "no end\xe3\x80\x82", true},
                      {"{}", "3.5", false});
    INSTRUCTION_JUDGE("punctuation:punctuation_exclamation", {"{}", "no\xef\xbc\x81", true},
                      {"{}", "no!", false});
    INSTRUCTION_JUDGE("count:lowercase_counting", {"{\"N\":2}", "One two three", true},
                      {"{\"N\":1}", "One two three", false}, {"{\"N\":1}", "Don't A1 x_y", true},
                      {"{\"N\":1}", "\xc3\xa9t\xc3\xa9 b2 ok", true});
#define LETTERS(n, rel) "{\"N\":" #n ",\"relation\":\"" rel "\"}"
    INSTRUCTION_JUDGE("letters:letter_counting", {LETTERS(3, "at least"), "A1 b-Z", true},
                      {LETTERS(3, "at least"), "\xc3\xa9 ab@[`{", false},
                      {LETTERS(3, "less than"), "ab 12", true});
#define LETTER(c, n, rel)                                                                          \
    "{\"letter\":\"" c "\",\"let_frequency\":" #n ",\"let_relation\":\"" rel "\"}"
    INSTRUCTION_JUDGE("letters:letter_counting2", {LETTER("A", 2, "at least"), "a cAt", true},
                      {LETTER("a", 2, "less than"), "a cat", false});
    instruction_refuses("letters:letter_counting2", LETTER("#", 1, "at least"), "letter");
    instruction_refuses("letters:letter_counting", LETTERS(0, "at least"), "N: 0");
    instruction_refuses("count:lowercase_counting", "{\"N\":0}", "N: 0");
}

// The phrase's scan must not look at a line again for every start in it.
static void a_long_line_of_false_starts_is_read_once(void **state)
{
    (void)state;
    enum { COPIES = 500000 };
    char *text = malloc(COPIES * 2 + 1);
    assert_non_null(text);
    for (size_t i = 0; i < COPIES; i++) {
        text[2 * i] = 'a';
        text[2 * i + 1] = ' ';
    }
    memcpy(text + COPIES * 2 - 3, "\n c", 3);
    struct score_result r;
    assert_int_equal(instruction_outcome("copy:repeat_phrase",
                                         "{\"phrase\":\"a b c\",\"small_n\":1}",
                                         (struct score_text){text, COPIES * 2}, &r),
                     SCORE_ZERO);
    score_result_fini(&r);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_is_copied),
        cmocka_unit_test(a_span_ends_before_its_end),
        cmocka_unit_test(a_phrase_returns_with_one_word_changed),
        cmocka_unit_test(words_stand_in_brackets),
        cmocka_unit_test(neighbours_do_not_follow_in_the_alphabet),
        cmocka_unit_test(one_palindrome_is_enough),
        cmocka_unit_test(the_first_and_the_last_word_are_named),
        cmocka_unit_test(keywords_are_counted),
        cmocka_unit_test(two_paragraphs),
        cmocka_unit_test(marks_and_letters_are_ascii),
        cmocka_unit_test(a_long_line_of_false_starts_is_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
