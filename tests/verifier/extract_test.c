// extract_test.c: which part of a response is its answer. Texts are invented; each table is one
// habit of models.
#include "tests/verifier/textspan.h"

#include "verifier/extract.h"
#include "verifier/mathrun.h"

struct pair {
    const char *in, *out;    // out NULL: no answer
};

static void assert_answers(struct scratch *a, const struct pair *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pyspan got;
        bool found = extract_answer(a, pytext_literal(a, t[i].in), &got);
        const char *text = found ? pytext_encode(a, got, NULL) : "(none)";
        const char *want = t[i].out ? t[i].out : "(none)";
        if (strcmp(text, want) != 0) {
            fail_msg("\"%s\": \"%s\", expected \"%s\"", t[i].in, text, want);
        }
    }
}

#define ASSERT_ANSWERS(t) assert_answers(a, t, ARRAY_LEN(t))

TEXTSPAN_TEST(the_last_box_is_the_answer)
{
    static const struct pair t[] = {
        {"First \\boxed{3}. No: \\boxed{4}.", "4"},
        {"$$\\boxed{\\frac{2}{7}}$$ since $7>2$", "\\frac{2}{7}"},
        {"\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"},
        {"\\boxed{\\left\\{4\\right.}", "\\left\\{4\\right."},
        {"\\fbox{9}", "9"},
        {"\\framebox{9}", "9"},
        {"\\boxed 12 units$ more", "12 units"},
        {"The answer is 5. So $\\boxed{6}$.", "6"},
        {"\\boxed{7.}", "7"},
        {"{ \\boxed{7} }", "7"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(boxes_in_boxes_are_one)
{
    static const struct pair t[] = {
        {"\\boxed{\\boxed{7}}", "{7}"},
        {"\\boxed{x = \\boxed{7}}", "x = {7}"},
        {"\\boxed \\boxed{7}", "7"},
        {"\\fbox{\\text{so } \\boxed{7} \\fbox{8}}", "\\text{so } {7} {8}"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(joined_boxes_are_one_answer)
{
    static const struct pair t[] = {
        {"\\boxed{2} and \\boxed{3}", "2,3"},
        {"$\\boxed{2}$, $\\boxed{3}$, and $\\boxed{5}$", "2,3,5"},
        {"\\boxed{2} \\text{ or } \\boxed{3}", "2,3"},
        {"\\boxed{1}. Then \\boxed{2} and \\boxed{3}", "2,3"},
        {"\\boxed{2} or rather \\boxed{3}", "3"},
        {"\\boxed{2} \\boxed{3}", "3"},
        {"\\boxed{4} and \\boxed{4}", "4"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(a_box_that_does_not_close_counts_when_no_other_does)
{
    static const struct pair t[] = {
        {"\\boxed{-36", "-36"},
        {"\\boxed{-36$ in all\nor more", "-36"},
        {"\\boxed{\\boxed{8", "8"},
        {"\\boxed{8} then \\boxed{9", "8"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(an_empty_box_is_no_answer)
{
    static const struct pair t[] = {
        {"\\boxed{}", NULL},
        {"\\boxed{ } 17", NULL},
        {"\\boxed{.}", NULL},
        {"\\boxed{}. Final answer: 17", "17"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(a_final_answer_beats_a_box)
{
    static const struct pair t[] = {
        {"\\boxed{3}. The final answer is 4.", "4"},
        {"Final Answer: The final answer is $x+1$. I hope it is correct. \\boxed{3}", "x+1"},
        {"**Final Answer**\n\n\\boxed{8}", "8"},
        {"The final answer is:\n\n$$8$$\n", "8"},
        {"The final answer is \\[\n8\n\\]", "8"},
        {"the final answer is $\\boxed{8}$ and not \\boxed{9}", "8"},
        {"final answer: 8\nCheck: $2^3 = 8.0$", "8"},
        {"The final answer is in the box: \\boxed{5}", "5"},
        {"The final answer is below.\n\\boxed{5}", "5"},
        {"My final answers vary. \\boxed{5}", "5"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(words_announce_an_answer)
{
    static const struct pair t[] = {
        {"The answer is 42.", "42"},
        {"The answer is: 42 apples. There were 50.", "42"},
        {"**Answer:** 3/4", "3/4"},
        {"Answer: $x = 2$ or $x = -2$", "x = 2,x = -2"},
        {"The answer is 3 and 4", "3 and 4"},
        {"The answer is $5$ since $3 + 2 = 5$", "5"},
        {"The answer is 5 since $3 + 2 = 5$", "5"},
        {"The answers are \\(1\\), \\(2\\) and \\(3\\).", "3"},
        {"We see $1+1=2$.\n#### 1,250", "1,250"},
        {"The answer is approximately 3.14", "3.14"},
        {"The answer is a 24", "24"},
        {"The answer is (B).", "(B)"},
        {"The answer is C.", "C"},
        {"The answer is blue.", "blue"},
        {"The correct option is (D).", "(D)"},
        {"The answer is - 7.", "- 7"},
        {"The answer is \xe2\x88\x92 7", "\xe2\x88\x92 7"},
        {"The answer is the sum 3 + 4", "3 + 4"},
        {"The answer issued in 1999 was 5", "5"},
        {"The answer is 3. No, the answer is 4.", "4"},
        {"So my answer would be -\\frac{1}{2}", "-\\frac{1}{2}"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(marked_mathematics_is_next)
{
    static const struct pair t[] = {
        {"from $a = 1$ we get $b = 2$.", "b = 2"},
        {"hence \\(2\\pi\\) and that is all", "2\\pi"},
        {"hence \\[2\\pi\\] and that is all", "2\\pi"},
        {"$$7$$", "7"},
        {"it costs \\$5, so $n = 3$", "n = 3"},
        {"it costs $5 each, so $n = 3$", "n = 3"},
        {"we get $n = 3$ and that is it$", "n = 3"},
        {"so $B$$", "B"},
        {"between $5$ and $7$", "7"},
        {"so $x = 1$ or $x = 2$.", "x = 1,x = 2"},
        {"so $x = 1$ and $y = 2$.", "y = 2"},
        {"\\begin{align*}\nx &= 2\\\\\n&= 5\n\\end{align*}", "5"},
        {"\\begin{equation}x + 1\\end{equation} is it", "x + 1"},
        {"$$\\begin{aligned} x &= 2 + 3 \\\\ &= 5 \\end{aligned}$$", "5"},
        {"\\[\\begin{align*} x &= 2 + 3 \\\\ &= 5. \\\\ \\end{align*}\\]", "5"},
        {"$20\\text{ miles per hour}$", "20\\text{ miles per hour}"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(prose_gives_its_last_run)
{
    static const struct pair t[] = {
        {"So we get 1/4 as the result", "1/4"},
        {"3 apples and 4 pears make 7 fruits in all.", "7"},
        {"We have 12 left, 5 of them red", "5"},
        {"She pays 1,250 dollars", "1,250"},
        {"It is \\frac{1}{2} of it", "\\frac{1}{2}"},
        {"Thus x = 5", "x = 5"},
        {"the point (3, 4) is it", "(3, 4)"},
        {"it equals - 5 here", "- 5"},
        {"Items:\n- 5 pears", "5"},
        {"it is -5", "-5"},
        {"so that makes 20 percent", "20 percent"},
        {"the 27th one", "27th"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(dollars_may_be_money)
{
    static const struct pair t[] = {
        {"Two at $4 and one at $9 cost 2 * $4 + $9 = $17", "17"},
        {"60/4=$15 for lunch, $20-$15=$5 are left.\n5", "5"},
        {"She pays $40 - $12 = $28 for it.\n**28**", "28"},
        {"The answer is $12 + $5 = $17.", "17"},
        {"It costs $5 in all, so she has $x", "5"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(of_a_computation_the_result_counts)
{
    static const struct pair t[] = {
        {"Then 3 + 4 = 7 of them", "7"},
        {"so 2 * 3 = 6 = 12 / 2", "12 / 2"},
        {"so x + 2 = 6", "x + 2 = 6"},
        {"so 2x = 6", "2x = 6"},
        {"that is 9 250 of them", "9 250"},
        {"step 1 11232", "11232"},
        {"all 2 1/2", "2 1/2"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(a_short_response_is_its_own_answer)
{
    static const struct pair t[] = {
        {" [-2, 11) ", "[-2, 11)"},
        {"= 2+25", "2+25"},
        {"D", "D"},
        {"even", "even"},
        {"\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}",
         "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}"},
        {"", NULL},
        {" . ", NULL},
        {"I could not find out how to do this one, sorry", NULL},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(only_what_is_said_counts)
{
    static const struct pair t[] = {
        {"<think>\\boxed{1}</think>\\boxed{2}", "2"},
        {"\\boxed{1}</think> The answer is 2", "2"},
        {"<think>\\boxed{1}", NULL},
        {"<think>x</think>\\boxed{2} <think>\\boxed{3}", NULL},
        {"\\boxed{1}<|assistant|>\n2", "2"},
        {"<answer> 2 </answer>", "2"},
        {"<think>a</think> \\boxed{1} <answer>\\boxed{2}</answer> \\boxed{3}", "2"},
        {"$x < 5$", "x < 5"},
    };
    ASSERT_ANSWERS(t);
}

TEXTSPAN_TEST(prose_is_told_from_formulas)
{
    static const char *const prose[] = {" we get ", " and so on and on", "the sum of these is",
                                        " or "};
    static const char *const formulas[] = {"x = 2 \\text{ and so on}",
                                           "\\sin x + \\log y",
                                           "20 percent",
                                           "ab + cd",
                                           "sqrt(2)/2",
                                           "yesyes"};
    for (size_t i = 0; i < ARRAY_LEN(prose); i++) {
        assert_true(mathrun_is_prose(pytext_literal(a, prose[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(formulas); i++) {
        assert_false(mathrun_is_prose(pytext_literal(a, formulas[i])));
    }
}

// 10^5 of anything that opens: a second look at the rest for each would take minutes.
TEXTSPAN_TEST(openings_without_an_end_take_linear_time)
{
    static const char *const pieces[] = {
        "\\boxed{",    "\\boxed ",        "$",       "$ ",       "$x$ and ",    "\\(",
        "\\[",         "\\text{",         "{",       "\\",       "answer ",     "final answer is",
        "answer is ",  "#### ",           "<think>", "<answer>", "\\boxed{1},", "answer is$",
        "answer:\n\n", "final answer \n", "1, ",     "((",       "a 1 ",        "\\begin{",
        ".",
    };
    struct pyspan answer;
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        (void)extract_answer(a, textspan_repeated(a, pieces[i], 100000, "4"), &answer);
        (void)extract_answer(a, textspan_repeated(a, pieces[i], 100000, "}}4$"), &answer);
        scratch_reset(a);
    }
    assert_true(extract_answer(a, textspan_repeated(a, "\\boxed{", 100000, "4}"), &answer));
    textspan_assert(a, answer, "4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_box_is_the_answer),
        cmocka_unit_test(boxes_in_boxes_are_one),
        cmocka_unit_test(joined_boxes_are_one_answer),
        cmocka_unit_test(a_box_that_does_not_close_counts_when_no_other_does),
        cmocka_unit_test(an_empty_box_is_no_answer),
        cmocka_unit_test(a_final_answer_beats_a_box),
        cmocka_unit_test(words_announce_an_answer),
        cmocka_unit_test(marked_mathematics_is_next),
        cmocka_unit_test(prose_gives_its_last_run),
        cmocka_unit_test(dollars_may_be_money),
        cmocka_unit_test(of_a_computation_the_result_counts),
        cmocka_unit_test(a_short_response_is_its_own_answer),
        cmocka_unit_test(only_what_is_said_counts),
        cmocka_unit_test(prose_is_told_from_formulas),
        cmocka_unit_test(openings_without_an_end_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
