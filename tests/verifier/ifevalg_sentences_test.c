// ifevalg_sentences_test.c: the later training suite's instructions on sentences and word tokens.
#include "tests/verifier/instruction.h"

static void hyphens_join_sentences(void **state)
{
    (void)state;
#define HYPHENS "detectable_format:sentence_hyphens"
    INSTRUCTION_JUDGE(HYPHENS, {"{}", "We go.-You stay.", true}, {"{}", "We go. You stay.", false},
                      {"{}", "We go.- You stay.", false}, {"{}", "well-known things.", false},
                      {"{}", "One sentence only.", true}, {"{}", " One.", false});
}

static void a_token_has_its_place(void **state)
{
    (void)state;
#define PLACE(word, n, m) "{\"keyword\":\"" word "\",\"n\":" #n ",\"m\":" #m "}"
#define POSITION "keywords:keyword_specific_position"
    INSTRUCTION_JUDGE(POSITION, {PLACE("late", 2, 3), "We go, now. It's late.", true},
                      {PLACE("late", 2, 2), "We go, now. It's late.", false},
                      {PLACE(",", 1, 3), "We go, now. It's late.", true},
                      {PLACE("Late", 2, 3), "We go, now. It's late.", false},
                      {PLACE("late", 3, 1), "We go, now. It's late.", false},
                      {PLACE("late", 2, 9), "We go, now. It's late.", false});
    instruction_refuses(POSITION, PLACE("late", 0, 1), "n: 0");
    instruction_refuses(POSITION, PLACE("late", 1, 0), "m: 0");
    instruction_refuses(POSITION, PLACE("", 1, 1), "keyword");
}

static void a_text_ends_as_it_starts(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("keywords:start_end", {"{}", "Home is where I feel at home", true},
                      {"{}", "Home is where I feel at home.", false}, {"{}", "home", false},
                      {"{}", "? what ?", true});
}

static void every_sentence_has_the_same_edge(void **state)
{
    (void)state;
#define FIRST "{\"first_word\":\" we\"}"
#define LAST "{\"last_word\":\"Now\"}"
    INSTRUCTION_JUDGE("first_word:first_word_sent", {FIRST, "We go. WE stay!", true},
                      {FIRST, "We go. You stay!", false}, {FIRST, "We, too.", false},
                      {FIRST, "We go!!", false});
    INSTRUCTION_JUDGE("last_word:last_word_sent", {LAST, "Go now. Stay (now)!", true},
                      {LAST, "Go now. Stay then.", false}, {LAST, "Go now!!", false},
                      {LAST, "Go n.o.w", true});
    instruction_refuses("first_word:first_word_sent", "{\"first_word\":\"\"}", "first_word");
}

// The final dot is a token.
static void three_paragraphs_are_composed(void **state)
{
    (void)state;
#define COMPOSED(n, m) "{\"n_sent\":" #n ",\"n_words\":" #m "}"
    INSTRUCTION_JUDGE("count:counting_composition",
                      {COMPOSED(1, 3), "We go.\n***\nYou stay.\n***\nThey run.", true},
                      {COMPOSED(1, 2), "We go.\n***\nYou stay.\n***\nThey run.", false},
                      {COMPOSED(1, 3), "We go.\n***\nYou stay.", false},
                      {COMPOSED(2, 3), "We go. I go.***We go. I go.***We go. I go.", true},
                      {COMPOSED(1, 3), "We go.***You stay.***They run.***", false});
    instruction_refuses("count:counting_composition", COMPOSED(0, 1), "n_sent: 0");
}

static void no_token_occurs_twice(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("count:count_unique", {"{}", "The cat saw the dog.", true},
                      {"{}", "the cat saw the dog", false}, {"{}", "one, two, three", false},
                      {"{}", "Go. Stay.", false});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hyphens_join_sentences),
        cmocka_unit_test(a_token_has_its_place),
        cmocka_unit_test(a_text_ends_as_it_starts),
        cmocka_unit_test(every_sentence_has_the_same_edge),
        cmocka_unit_test(three_paragraphs_are_composed),
        cmocka_unit_test(no_token_occurs_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
