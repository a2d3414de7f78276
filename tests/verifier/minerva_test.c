// minerva_test.c: where the MATH verifier of Tülu 3 finds its candidates, and how it makes them
// plain. The oddities are part of the rule: runs that name it expect its verdicts.
#include "tests/verifier/textspan.h"

#include "verifier/minerva.h"

struct pair {
    const char *in, *out;
};

// The candidates of a response, joined by " | ".
static void assert_candidates(struct scratch *a, const char *response, const char *want)
{
    struct minerva_answers r = minerva_extract(a, pytext_literal(a, response));
    struct pyspan joined = pytext_join(a, (struct pylist){r.v, r.n}, pytext_literal(a, " | "));
    textspan_assert(a, joined, want);
}

static void assert_all_candidates(struct scratch *a, const struct pair *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_candidates(a, t[i].in, t[i].out);
    }
}

TEXTSPAN_TEST(the_last_box_is_a_candidate_as_it_stands)
{
    static const struct pair t[] = {
        {"so \\boxed{ 7 } then \\boxed{ 8 cm}.", " 8 cm"},
        {"\\boxed{\\frac{a}{b}} is it", "\\frac{a}{b}"},
        {"\\boxed{\\boxed{3}}", "3"},
        {"\\boxed{}", ""},
        {"$\\boxed 5 cm$ and 4", "5 cm"},
        {"\\boxed 5", "5"},
    };
    assert_all_candidates(a, t, ARRAY_LEN(t));
}

TEXTSPAN_TEST(a_box_that_does_not_close_gives_nothing)
{
    static const struct pair t[] = {
        {"\\boxed{\\frac{1}{2", "\\frac{1{2"},
        {"\\fbox{6}", "\\fbox{6}"},
        {"$6$ in \\boxed[x]{7}", "6"},
        {"$6$ and $7$ in \\boxed{8", "7"},
    };
    assert_all_candidates(a, t, ARRAY_LEN(t));
}

TEXTSPAN_TEST(the_sentence_of_the_prompt_gives_a_second_candidate)
{
    static const struct pair t[] = {
        {"Final Answer: The final answer is $9$. I hope it is correct.", "9"},
        {"\\boxed{8} Final Answer: The final answer is $9$. I hope it is correct.", "8 | 9"},
        {"Final Answer: The final answer is 9. I hope it is correct! Bye.", "9"},
        {"Final Answer: The final answer is 1 Final Answer: The final answer is 2. I hope it is "
         "correct.",
         "1FinalAnswer:Thefinalansweris2"},
        {"Final Answer: The final answer is 1.\nFinal Answer: The final answer is 2. I hope it is "
         "correct.",
         "2"},
    };
    assert_all_candidates(a, t, ARRAY_LEN(t));
}

TEXTSPAN_TEST(a_response_that_ends_in_a_space_completes_the_sentence)
{
    static const struct pair t[] = {
        {"Final Answer: The final answer is 9. ", "9"},
        {"Final Answer: The final answer is 9 ", ""},
        {"Final Answer: The final answer is 9.", "FinalAnswer:Thefinalansweris9."},
        {"Final Answer: The final answer is 9.\n ", "FinalAnswer:Thefinalansweris9.\n"},
    };
    assert_all_candidates(a, t, ARRAY_LEN(t));
}

TEXTSPAN_TEST(dollars_count_only_without_box_and_sentence)
{
    static const struct pair t[] = {
        {"we get $x = 3$ and $y = 4$.", "4"}, {"from $3$ to $4", "to"}, {"$$", ""},
        {"it costs $4", "itcosts4"},          {"\\boxed{1} $2$", "1"},
    };
    assert_all_candidates(a, t, ARRAY_LEN(t));
    assert_true(minerva_extract(a, pytext_literal(a, "plain 5")).whole);
    assert_false(minerva_extract(a, pytext_literal(a, "$5$")).whole);
}

TEXTSPAN_TEST(normalising_follows_the_order_of_the_rule)
{
    static const struct pair t[] = {
        {"y = x = 12", "12"},
        {"a banana split", "banansplit"},
        {"12 square inches", "12"},
        {"15\\text{ m}", "15"},
        {"3\\text{ and }4", "34"},
        {"3,\\text{ and }x", "3,x"},
        {"40^\\circ", "40"},
        {"\\$3{,}250", "3250"},
        {"1,234", "1234"},
        {"1,234.5", "1,234.5"},
        {"see $5$ or $6$", "5"},
        {"see $5\n$6", "see5\n6"},
        {"$1$\n$2$ x", "1\n2"},
        {"\\text{(B)}", "(B)"},
        {"\\textbf{(B)}", "(B)"},
        {"\\text{a\n}", "\\text{a\n}"},
        {"\\text{\\text{q}}", "\\text{q}"},
        {"\\boxed{{4}}", "{4}"},
        {"\\frac12", "\\frac{1}{2}"},
        {"\\frac1{23}", "\\frac{1}{{}23}"},
        {"\\sqrt7", "\\sqrt{7}"},
        {"tissue", "tis"},
        {"12\xc2\xb2,", "12\xc2\xb2"},
        {",", ","},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        textspan_assert(a, minerva_normalize(a, pytext_literal(a, t[i].in)), t[i].out);
    }
}

// 10^5 openings without an end: a look at the rest of the text for each would take minutes.
TEXTSPAN_TEST(openings_without_an_end_take_linear_time)
{
    static const char *const pieces[] = {
        "\\text{",
        "\\boxed{",
        "$\n",
        "\n",
        "Final Answer: The final answer is",
        "\\boxed ",
        "{\\textbf{\\overline{",
        "frac",
        "sqrt",
        "\\text{ ",
        "\\sqrt\\frac",
        "a b",
    };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct pyspan s = textspan_repeated(a, pieces[i], 100000, "4");
        struct minerva_answers r = minerva_extract(a, s);
        assert_in_range(r.n, 1, 2);
        (void)minerva_normalize(a, s);
        scratch_reset(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_box_is_a_candidate_as_it_stands),
        cmocka_unit_test(a_box_that_does_not_close_gives_nothing),
        cmocka_unit_test(the_sentence_of_the_prompt_gives_a_second_candidate),
        cmocka_unit_test(a_response_that_ends_in_a_space_completes_the_sentence),
        cmocka_unit_test(dollars_count_only_without_box_and_sentence),
        cmocka_unit_test(normalising_follows_the_order_of_the_rule),
        cmocka_unit_test(openings_without_an_end_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
