// mathscope_test.c: what counts as one number or one expression, and what does not.
#include "tests/verifier/textspan.h"

#include "verifier/mathscope.h"

#define ASSERT_EACH(t, want)                                                                       \
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {                                                    \
        if (mathscope_is_expression(pytext_literal(a, (t)[i])) != (want)) {                        \
            fail_msg("\"%s\"", (t)[i]);                                                            \
        }                                                                                          \
    }

TEXTSPAN_TEST(numbers_are_expressions)
{
    static const char *const t[] = {"0",
                                    "-17",
                                    "2.50",
                                    "12,500",
                                    "1{,}250",
                                    "12,\\!500",
                                    "12\\,500\\,000",
                                    "12 500",
                                    "1, 250",
                                    "1\\frac{3}{4}",
                                    "1 3/4",
                                    "1011_2",
                                    "(77)_{8}",
                                    "3 : 4",
                                    "0.5",
                                    "1.5\\times 10^{-3}"};
    ASSERT_EACH(t, true);
}

TEXTSPAN_TEST(formulas_are_expressions)
{
    static const char *const t[] = {"x^2+3x-1",
                                    "ab",
                                    "\\frac{a}{b}",
                                    "\\dfrac 12",
                                    "2\\sqrt[3]{5}",
                                    "\\sqrt7",
                                    "\\left(t+1\\right)\\left(t-1\\right)",
                                    "|x-2|",
                                    "\\log_{2} 8",
                                    "\\sin x",
                                    "5!",
                                    "\\binom{6}{2}",
                                    "2\\pm\\sqrt{3}",
                                    "\\lfloor 2.5 \\rfloor",
                                    "3\\,\\pi",
                                    "\\sum_{i=1}^{3} i",
                                    "B",
                                    "00.25",
                                    "2.5.",
                                    "an+1",
                                    "(B)",
                                    "B.",
                                    "B)"};
    ASSERT_EACH(t, true);
}

TEXTSPAN_TEST(a_unit_at_the_end_does_not_count)
{
    static const char *const yes[] = {"12\\text{ cm}", "12\\,\\text{cm} "};
    static const char *const no[] = {"\\text{ cm}", "12\\text{ cm} or so", "12\\text{ cm",
                                     "\\text{a} 12\\text{ b}"};
    ASSERT_EACH(yes, true);
    ASSERT_EACH(no, false);
}

TEXTSPAN_TEST(other_things_are_not)
{
    static const char *const t[] = {"",
                                    "  ",
                                    "1,2",
                                    "12,50",
                                    "1,2500",
                                    "(1, 2)",
                                    "[1, 2)",
                                    "\\{1\\}",
                                    "x = 5",
                                    "x < 5",
                                    "x \\le 5",
                                    "5\\%",
                                    "5%",
                                    "\\$5",
                                    "30^\\circ",
                                    "\\begin{pmatrix} 1 \\end{pmatrix}",
                                    "\\text{odd}",
                                    "odd",
                                    "5 apples",
                                    "007",
                                    "5.",
                                    ".5",
                                    "2.5.5",
                                    "2**3",
                                    "\\left[1",
                                    "2]",
                                    "\\sqrt[3]]{5}",
                                    "x \xe2\x89\xa4 5",
                                    "\\"};
    ASSERT_EACH(t, false);
}

TEXTSPAN_TEST(what_can_be_taken_in_two_ways_is_not)
{
    static const char *const t[] = {"2e-1",        "3.5e6",          "4E2",  "7^{th}", "7th",
                                    "2\\text{nd}", "7^{\\text{th}}", "an 8", "3st"};
    ASSERT_EACH(t, false);
}

TEXTSPAN_TEST(a_numeral_may_leave_out_the_base_of_the_truth)
{
    static const struct {
        const char *truth, *answer;
        bool want;
    } t[] = {{"210_3", "210", true},    {"210_{3}", " 210 ", true}, {"4B_{12}", "4B", true},
             {"210_3", "210_3", false}, {"210_3", "21", false},     {"210", "210", false},
             {"210_{x}", "210", false}, {"210_", "210", false},     {"210_{123}", "210", false},
             {"x_1", "x", false},       {"_3", "", false},          {"210", "210_3", false}};
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        assert_int_equal(mathscope_leaves_out_base(pytext_literal(a, t[i].truth),
                                                   pytext_literal(a, t[i].answer)),
                         t[i].want);
    }
}

TEXTSPAN_TEST(words_are_one_text_group)
{
    static const char *const yes[] = {"\\text{odd}", " \\text{ (A) }", "\\text{not odd}"};
    static const char *const no[] = {
        "odd",      "\\text{}", "\\text{12}", "\\text{a} b", "\\textbf{a}", "\\text{\\mathrm{a}}",
        "\\text{a", ""};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        assert_true(mathscope_is_words(pytext_literal(a, yes[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        assert_false(mathscope_is_words(pytext_literal(a, no[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_expressions),
        cmocka_unit_test(formulas_are_expressions),
        cmocka_unit_test(a_unit_at_the_end_does_not_count),
        cmocka_unit_test(other_things_are_not),
        cmocka_unit_test(what_can_be_taken_in_two_ways_is_not),
        cmocka_unit_test(a_numeral_may_leave_out_the_base_of_the_truth),
        cmocka_unit_test(words_are_one_text_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
