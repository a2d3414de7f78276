// mathstring_test.c: which ways of writing an answer the string rule of MATH forgives.
#include "tests/verifier/textspan.h"

#include "verifier/mathstring.h"

struct pair {
    const char *x, *y;
};

static bool same(struct scratch *a, struct pair p)
{
    bool xy = mathstring_equal(a, pytext_literal(a, p.x), pytext_literal(a, p.y));
    assert_int_equal(xy, mathstring_equal(a, pytext_literal(a, p.y), pytext_literal(a, p.x)));
    return xy;
}

#define ASSERT_EACH(t, want)                                                                       \
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {                                                    \
        if (same(a, (t)[i]) != (want)) {                                                           \
            fail_msg("\"%s\" and \"%s\"", (t)[i].x, (t)[i].y);                                     \
        }                                                                                          \
    }

TEXTSPAN_TEST(habits_of_writing_do_not_count)
{
    static const struct pair t[] = {
        {"\\dfrac{1}{3}", "\\tfrac{1}{3}"},
        {"\\left( 2, \\infty \\right)", "(2,\\infty)"},
        {"a\\\\b", "a\\b"},
        {"4\n5", "4 5"},
        {"7\\!0", "70"},
        {"90^\\circ", "90"},
        {"\\$8", "8"},
        {"8\\%", "8"},
        {"12\\text{ miles}", "12"},
        {"x = 6", "6"},
        {"(.5, 1)", "(.5,1)"},
        {".25", "0.25"},
        {"\\frac{.5}{2}", "\\frac{0.5}{2}"},
        {"1 + .5", "1+0.5"},
    };
    ASSERT_EACH(t, true);
}

TEXTSPAN_TEST(arguments_without_braces_are_braced)
{
    static const struct pair t[] = {
        {"\\frac34", "\\frac{3}{4}"}, {"\\frac3{14}", "\\frac{3}{14}"},
        {"2\\sqrt5", "2\\sqrt{5}"},   {"\\sqrt\\sqrt{2}x", "\\sqrt\\sqrt{2}x"},
        {"3/4", "\\frac{3}{4}"},      {"-3/4", "\\frac{-3}{4}"},
        {"0.5", "\\frac12"},          {"1/2", "0.5"},
    };
    ASSERT_EACH(t, true);
}

TEXTSPAN_TEST(it_knows_no_mathematics)
{
    static const struct pair t[] = {
        {"0.50", "0.5"},          {"2/4", "1/2"},
        {"(1,2)", "(2,1)"},       {"-\\frac{3}{4}", "\\frac{-3}{4}"},
        {"x=6", "y=7"},           {"abc = 6", "6"},
        {"x=y=6", "6"},           {"+3/4", "\\frac{3}{4}"},
        {"03/4", "\\frac{3}{4}"},
    };
    ASSERT_EACH(t, false);
}

// What cannot be read is compared raw: even a space counts then.
TEXTSPAN_TEST(a_text_that_cannot_be_read_equals_only_itself)
{
    static const struct pair same_texts[] = {
        {"a/b", "a/b"}, {"5\\frac", "5\\frac"}, {"\\text{ a}\\text{ b}", "\\text{ a}\\text{ b}"}};
    static const struct pair other_texts[] = {
        {"a/b", "a / b"},
        {"5\\frac", "5 \\frac"},
        {"5\\sqrt", "5 \\sqrt"},
        {"5\\text{ m}\\text{ m}", "5"},
    };
    struct pyspan plain;
    ASSERT_EACH(same_texts, true);
    ASSERT_EACH(other_texts, false);
    assert_false(mathstring_plain(a, pytext_literal(a, "a/b"), &plain));
    assert_true(mathstring_plain(a, pytext_literal(a, "a/b/c"), &plain));
}

// A single character after a \frac stops the bracing of all of them.
TEXTSPAN_TEST(a_short_fraction_leaves_all_as_they_are)
{
    struct pyspan plain;
    assert_true(mathstring_plain(a, pytext_literal(a, "\\frac12+\\frac3"), &plain));
    textspan_assert(a, plain, "\\frac12+\\frac3");
}

TEXTSPAN_TEST(integers_are_those_of_python)
{
    struct pyspan plain;
    assert_true(mathstring_plain(a, pytext_literal(a, "1_0/\xd9\xa3"), &plain));
    textspan_assert(a, plain, "1_0/\xd9\xa3");
    assert_false(mathstring_plain(a, pytext_literal(a, "1__0/3"), &plain));
    assert_false(mathstring_plain(a, pytext_literal(a, "-/3"), &plain));
    assert_false(mathstring_plain(a, textspan_repeated(a, "7", 4301, "/3"), &plain));
    assert_true(mathstring_plain(a, textspan_repeated(a, "7", 4300, "/3"), &plain));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(habits_of_writing_do_not_count),
        cmocka_unit_test(arguments_without_braces_are_braced),
        cmocka_unit_test(it_knows_no_mathematics),
        cmocka_unit_test(a_text_that_cannot_be_read_equals_only_itself),
        cmocka_unit_test(a_short_fraction_leaves_all_as_they_are),
        cmocka_unit_test(integers_are_those_of_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
