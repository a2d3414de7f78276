// ifeval_test.c: what IFEval's instructions accept; a few more are in checks_test.c.
#include "tests/verifier/instruction.h"

static void keyword_matches_are_counted_without_overlap(void **state)
{
    (void)state;
#define FREQ(word, n, rel)                                                                         \
    "{\"keyword\":\"" word "\",\"frequency\":" #n ",\"relation\":\"" rel "\"}"
    INSTRUCTION_JUDGE(
        "keywords:frequency", {FREQ("sun", 2, "at least"), "Sunny SUNDAY", true},
        {FREQ("sun", 3, "at least"), "Sunny SUNDAY", false},
        {FREQ("sun", 2, "less than"), "Sunny day", true},
        {FREQ("sun", 2, "less than"), "sun sun", false},
        {FREQ("aba", 2, "at least"), "ababa", false}, {FREQ("a.c", 1, "at least"), "abc", true},
        {FREQ("  sun ", 1, "at least"), "sunset", true}, {FREQ("sun", 0, "at least"), "x", true});
    instruction_refuses("keywords:frequency", FREQ("sun", 1, "at most"), "relation");
    instruction_refuses("keywords:frequency", "{\"keyword\":\"sun\",\"frequency\":1}", "relation");
    instruction_refuses("keywords:frequency", FREQ("sun", -1, "at least"), "frequency");
}

// A word boundary behind a dot needs a word character there.
static void forbidden_words_are_whole_words(void **state)
{
    (void)state;
#define FORBID(list) "{\"forbidden_words\":[" list "]}"
    INSTRUCTION_JUDGE(
        "keywords:forbidden_words", {FORBID("\"red\""), "Red fox", false},
        {FORBID("\"red\""), "a redder fox", true}, {FORBID("\"blue\",\"red\""), "well-red", false},
        {FORBID("\"red\""), "red_fox", true}, {FORBID("\"a.m.\""), "9 a.m. now", true},
        {FORBID("\"a.m.\""), "9 a.m.x", false}, {FORBID("\"r.d\""), "rid of it", false});
}

static void letters_are_counted_in_lower_case(void **state)
{
    (void)state;
#define LETTER(c, n, rel)                                                                          \
    "{\"letter\":\"" c "\",\"let_frequency\":" #n ",\"let_relation\":\"" rel "\"}"
    INSTRUCTION_JUDGE("keywords:letter_frequency", {LETTER("a", 2, "at least"), "Ab a", true},
                      {LETTER("A", 3, "at least"), "Ab a", false},
                      {LETTER("a", 2, "less than"), "Ab", true},
                      {LETTER("#", 2, "at least"), "# and #", true},
                      {LETTER("k", 1, "at least"), "\xe2\x84\xaa", true},
                      {LETTER("s", 1, "at least"), "\xc5\xbf", false});
    instruction_refuses("keywords:letter_frequency", LETTER("ab", 1, "at least"), "letter");
    instruction_refuses("keywords:letter_frequency", LETTER("", 1, "at least"), "letter");
}

static void three_stars_separate_paragraphs(void **state)
{
    (void)state;
#define PARTS(n) "{\"num_paragraphs\":" #n "}"
    INSTRUCTION_JUDGE("length_constraints:number_paragraphs", {PARTS(2), "one\n***\ntwo", true},
                      {PARTS(2), "***\none***two\n***", true}, {PARTS(3), "one***two", false},
                      {PARTS(2), "one****two", true}, {PARTS(2), "one******two", false},
                      {PARTS(2), "one\n* * *\ntwo", false}, {PARTS(3), "a ***bold*** word", true},
                      {PARTS(1), "one", true}, {PARTS(2), "one *** \n *** two", false});
}

static void a_paragraph_begins_with_a_word(void **state)
{
    (void)state;
#define NTH(n, i, word)                                                                            \
    "{\"num_paragraphs\":" #n ",\"nth_paragraph\":" #i ",\"first_word\":\"" word "\"}"
    INSTRUCTION_JUDGE(
        "length_constraints:nth_paragraph_first_word", {NTH(2, 2, "home"), "a\n\nHome, now", true},
        {NTH(2, 1, "home"), "a\n\nHome", false}, {NTH(3, 2, "home"), "a\n\nHome", false},
        {NTH(2, 2, "home"), "a\n\n\nhome", true}, {NTH(1, 1, "home"), "\n\nhome", false},
        {NTH(1, 1, "home"), "''\"home\" is", true}, {NTH(1, 1, "home"), "\"'home", false},
        {NTH(1, 1, "home"), "home: sweet", false}, {NTH(1, 1, "home"), "**home**", false},
        {NTH(1, 1, "home?"), "home?", false}, {NTH(2, 2, "b"), "a\r\n\r\nb", false},
        {NTH(2, 2, "\\u03c3\\u03c3"), "a\n\n\xce\xa3\xce\xa3", true});
    instruction_refuses("length_constraints:nth_paragraph_first_word", NTH(1, 0, "home"),
                        "nth_paragraph");
}

static void placeholders_stand_in_brackets_on_one_line(void **state)
{
    (void)state;
#define HOLES(n) "{\"num_placeholders\":" #n "}"
    INSTRUCTION_JUDGE("detectable_content:number_placeholders", {HOLES(2), "[a] []", true},
                      {HOLES(2), "[[a]]", false}, {HOLES(1), "[a\nb]", false},
                      {HOLES(1), "[a\n[b]", true}, {HOLES(0), "none", true});
}

static void bullets_are_lines_with_a_star_or_a_dash(void **state)
{
    (void)state;
#define BULLETS(n) "{\"num_bullets\":" #n "}"
    INSTRUCTION_JUDGE("detectable_format:number_bullet_lists", {BULLETS(3), "* a\n  - b\n*c", true},
                      {BULLETS(1), "* a\n* b", false}, {BULLETS(2), "---\n-5", true},
                      {BULLETS(0), "**bold** x", true}, {BULLETS(0), "\xe2\x80\xa2 a", true},
                      {BULLETS(1), "*\n* swallowed", true}, {BULLETS(1), "\n\n \t* a", true},
                      {BULLETS(0), "a * b - c", true}, {BULLETS(0), "*", true},
                      {BULLETS(2), "* a\n\n\n* b", true});
}

static void one_of_three_answers_occurs(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("detectable_format:constrained_response",
                      {"{}", "So: My answer is maybe. Or so.", true},
                      {"{}", "my answer is yes.", false}, {"{}", "My answer is no", false});
}

static void highlights_hold_text_between_stars(void **state)
{
    (void)state;
#define MARKED(n) "{\"num_highlights\":" #n "}"
    INSTRUCTION_JUDGE(
        "detectable_format:number_highlighted_sections", {MARKED(2), "*a* and *b c*", true},
        {MARKED(1), "**a**", true}, {MARKED(2), "**a**", false}, {MARKED(1), "* *", false},
        {MARKED(1), "*a\nb*", false}, {MARKED(2), "*a*b*", false}, {MARKED(2), "**a** *b*", true});
}

static void sections_have_a_heading_and_a_number(void **state)
{
    (void)state;
#define HEADS(word, n) "{\"section_spliter\":\"" word "\",\"num_sections\":" #n "}"
    INSTRUCTION_JUDGE(
        "detectable_format:multiple_sections", {HEADS("Part", 2), "Part 1\na\nPart 1\nb", true},
        {HEADS("Part", 3), "Part 1\na\nPart 2\nb", false}, {HEADS("Part", 1), "part 1", false},
        {HEADS("Part", 1), "Part  1", false}, {HEADS(" Part ", 1), "xPart1", true},
        {HEADS("Part", 1), "Part \xd9\xa3", true}, {HEADS("Part", 1), "Part one", false});
}

static void six_stars_separate_two_responses(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("combination:two_responses", {"{}", "one\n******\ntwo", true},
                      {"{}", "one****** one", false}, {"{}", "one*******two", true},
                      {"{}", "one************two", false}, {"{}", "******one******two", true},
                      {"{}", "******one", false}, {"{}", "a******b******c", false},
                      {"{}", "one", false});
}

static void the_prompt_is_repeated_first(void **state)
{
    (void)state;
#define PROMPT "{\"prompt_to_repeat\":\" Say Hi \"}"
    INSTRUCTION_JUDGE("combination:repeat_prompt", {PROMPT, "say hi. Hi!", true},
                      {PROMPT, "\nSAY HI", true}, {PROMPT, "I say hi", false},
                      {PROMPT, "say  hi", false});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyword_matches_are_counted_without_overlap),
        cmocka_unit_test(forbidden_words_are_whole_words),
        cmocka_unit_test(letters_are_counted_in_lower_case),
        cmocka_unit_test(three_stars_separate_paragraphs),
        cmocka_unit_test(a_paragraph_begins_with_a_word),
        cmocka_unit_test(placeholders_stand_in_brackets_on_one_line),
        cmocka_unit_test(bullets_are_lines_with_a_star_or_a_dash),
        cmocka_unit_test(one_of_three_answers_occurs),
        cmocka_unit_test(highlights_hold_text_between_stars),
        cmocka_unit_test(sections_have_a_heading_and_a_number),
        cmocka_unit_test(six_stars_separate_two_responses),
        cmocka_unit_test(the_prompt_is_repeated_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
