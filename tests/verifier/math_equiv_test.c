// math_equiv_test.c: what counts as the same mathematical object, what does not, and what nobody
// can tell within the limits.
#include "tests/verifier/support.h"

#include <stdlib.h>
#include <time.h>

#include <flint/flint.h>

#include "verifier/math/equiv.h"

struct pair {
    const char *truth, *answer;
};

struct call {
    struct scratch *scratch;
    struct pyspan truth, answer;
    enum math_verdict verdict;
    const char *why;
    enum math_style style;
};

static struct scratch scratch;

static int start(void **state)
{
    (void)state;
    scratch_init(&scratch, 256u << 20);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    scratch_fini(&scratch);
    flint_cleanup();
    return 0;
}

static void run(void *arg)
{
    struct call *c = arg;
    c->verdict = math_equiv(c->scratch, c->truth, c->answer, c->style, &c->why);
}

static enum math_verdict verdict_in(enum math_style style, struct pyspan truth,
                                    struct pyspan answer)
{
    struct call c = {.scratch = &scratch, .truth = truth, .answer = answer, .style = style};
    struct why why = {{0}};
    assert_int_equal(scratch_run(&scratch, run, &c, &why), ERR_OK);
    assert_true((c.verdict == MATH_UNDECIDED) == (c.why != NULL));
    return c.verdict;
}

static enum math_verdict verdict(struct pyspan truth, struct pyspan answer)
{
    return verdict_in(MATH_EVERYDAY, truth, answer);
}

static void expect(const struct pair *t, size_t n, enum math_verdict want)
{
    for (size_t i = 0; i < n; i++) {
        struct pyspan x = pytext_literal(&scratch, t[i].truth),
                      y = pytext_literal(&scratch, t[i].answer);
        enum math_verdict forth = verdict(x, y), back = verdict(y, x);
        if (forth != want || back != want) {
            print_message("%s and %s: %d and %d\n", t[i].truth, t[i].answer, forth, back);
        }
        assert_int_equal(forth, want);
        assert_int_equal(back, want);
        scratch_reset(&scratch);
    }
}

static void one_number_has_many_spellings(void **state)
{
    (void)state;
    static const struct pair t[] = {
        {"0.5", "\\frac{1}{2}"},
        {"1/2", "\\frac12"},
        {"1\\frac12", "3/2"},
        {"2 1/4", "2.25"},
        {"1,234,567", "1234567"},
        {"1{,}000", "10^3"},
        {"0.\\overline{3}", "1/3"},
        {"0.1\\overline{6}", "1/6"},
        {"1.5e3", "1500"},
        {"2.5\\times 10^{-2}", "0.025"},
        {"\\sqrt{8}", "2\\sqrt2"},
        {"\\sqrt[3]{-27}", "-3"},
        {"\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}"},
        {"\\sqrt{3+2\\sqrt2}", "1+\\sqrt2"},
        {"\\sin\\frac{\\pi}{6}", "1/2"},
        {"\\ln 8", "3\\ln 2"},
        {"\\log_2 8", "3"},
        {"e^{i\\pi}", "-1"},
        {"\\binom{5}{2}", "10"},
        {"4!", "24"},
        {"|-3|", "3"},
        {"\\lfloor 2.7 \\rfloor", "2"},
        {"1011_2", "11"},
        {"50\\%", "0.5"},
        {"\\$12", "12"},
        {"12\\text{ cm}", "12"},
        {"(2+3i)(2-3i)", "13"},
        {"2^{10}", "1024"},
        {"12", "12}"},
        {"00.5", "1/2"},
        {"\xc2\xbd", "0.5"},
        {"\xe2\x88\x9a"
         "9",
         "3"},
    };
    expect(t, ARRAY_LEN(t), MATH_EQUAL);
}

static void expressions_are_equal_when_their_difference_vanishes(void **state)
{
    (void)state;
    static const struct pair t[] = {
        {"(x+1)^2", "x^2+2x+1"},
        {"\\frac{x^2-1}{x-1}", "x+1"},
        {"\\sin^2 x + \\cos^2 x", "1"},
        {"\\sin 2x", "2\\sin x\\cos x"},
        {"\\sqrt{x^2}", "|x|"},
        {"2^{x+1}", "2\\cdot 2^x"},
        {"y = 2x+1", "2x - y + 1 = 0"},
        {"x > 3", "3 < x"},
        {"x > 3", "-x < -3"},
        {"x = 5", "5"},
        {"x = y = 5", "5"},
        {"y = 5", "x = y = 5"},
        {"y = 5", "2 + 3 = 4 + 1 = 5"},
        {"\\tan x", "\\frac{\\sin x}{\\cos x}"},
    };
    expect(t, ARRAY_LEN(t), MATH_EQUAL);
}

static void structures_are_compared_part_by_part(void **state)
{
    (void)state;
    static const struct pair t[] = {
        {"\\{1,2,3\\}", "3, 1, 2"},
        {"\\pm 4", "4, -4"},
        {"(1,2)", "(1.0, \\frac{4}{2})"},
        {"x \\in [0,3)", "0 \\le x < 3"},
        {"(-\\infty,2]\\cup[5,\\infty)", "[5,\\infty)\\cup(-\\infty,2]"},
        {"\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{bmatrix}1\\\\ \\frac42\\end{bmatrix}"},
        {"\\text{(B)}", "B"},
        {"\\text{Even}", "even"},
        {"\\text{yes}", "Yes"},
        {"\\mathbb{R}", "(-\\infty,\\infty)"},
        {"3:4", "6:8"},
        {"[55,136)", "[55, 136)"},
        {"[2,3)", "(1,3)\\cap[2,4]"},
        {"\\{2\\}", "(1,2]\\cap[2,4]"},
        {"\\emptyset", "(1,2)\\cap(2,4]"},
        {"C", "C)"},
        {"\\text{(C)}", "C)"},
    };
    expect(t, ARRAY_LEN(t), MATH_EQUAL);
}

static void style_decides_about_logarithms_and_case(void **state)
{
    (void)state;
    static const struct {
        struct pair pair;
        enum math_verdict everyday, symbolic;
    } t[] = {
        {{"\\log 2", "\\ln 2"}, MATH_DIFFERENT, MATH_EQUAL},
        {{"\\log 100", "2"}, MATH_EQUAL, MATH_DIFFERENT},
        {{"\\log_{10} 100", "2"}, MATH_EQUAL, MATH_EQUAL},
        {{"X^2+1", "x^2+1"}, MATH_EQUAL, MATH_DIFFERENT},
        {{"\\text{No one}", "\\text{no one}"}, MATH_EQUAL, MATH_EQUAL},
        {{"(B)", "(b)"}, MATH_EQUAL, MATH_EQUAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct pyspan x = pytext_literal(&scratch, t[i].pair.truth),
                      y = pytext_literal(&scratch, t[i].pair.answer);
        assert_int_equal(verdict_in(MATH_EVERYDAY, x, y), t[i].everyday);
        assert_int_equal(verdict_in(MATH_SYMBOLIC, x, y), t[i].symbolic);
        assert_int_equal(verdict_in(MATH_SYMBOLIC, y, x), t[i].symbolic);
        scratch_reset(&scratch);
    }
}

static void units_are_converted_or_ignored(void **state)
{
    (void)state;
    static const struct pair same[] = {
        {"3\\text{ m}", "300\\text{ cm}"},       {"\\frac12\\text{ L}", "500\\text{ ml}"},
        {"2\\text{ m}^2", "20000\\text{ cm}^2"}, {"2\\text{ hours}", "120\\text{ min}"},
        {"\\$3", "300\\text{ cents}"},           {"7\\text{ in}", "7 inches"},
        {"7\\text{ apples}", "7\\text{ m}"},     {"7", "7\\text{ m}"},
        {"7\\text{ m}", "7\\text{ m}^2"},
    };
    static const struct pair other[] = {
        {"3\\text{ m}", "3\\text{ cm}"},       {"3\\text{ m}", "3\\text{ kg}"},
        {"2\\text{ m}^2", "200\\text{ cm}^2"}, {"4:15\\text{ a.m.}", "4:15\\text{ p.m.}"},
        {"\\$3", "3\\text{ cents}"},
    };
    expect(same, ARRAY_LEN(same), MATH_EQUAL);
    expect(other, ARRAY_LEN(other), MATH_DIFFERENT);
}

// What a model nearly got right must not be rewarded.
static void near_misses_are_different(void **state)
{
    (void)state;
    static const struct pair t[] = {
        {"1/3", "0.3333"},
        {"\\pi", "3.14159265358979"},
        {"\\sqrt2", "1.41421356237"},
        {"(1,2)", "(2,1)"},
        {"[1,2]", "(1,2)"},
        {"[55,136)", "[55,137)"},
        {"(1,2]", "1,2"},
        {"x > 3", "x \\ge 3"},
        {"x > 3", "x < 3"},
        {"\\{1,2\\}", "\\{1,2,3\\}"},
        {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}"},
        {"(x+1)^2", "x^2+1"},
        {"\\sqrt{x^2}", "x"},
        {"1011_2", "1011"},
        {"777_2", "777"},
        {"even", "odd"},
        {"even", "neve"},
        {"A", "B"},
        {"10^{10}", "10^{10}+1"},
        {"2x = 4", "4"},
        {"(-\\infty,2]\\cup[5,\\infty)", "[5,\\infty)"},
        {"\\sin 1", "0.8414709848"},
        {"y = 3", "y \\ne 3"},
        {"1/0", "2"},
        {"k = 9", "x = 9"},
        {"k = 9", "x = y = 9"},
        {"\\frac{x}{x-x}", "x"},
        {"(-\\infty,4)", "(-\\infty,3]\\cap[5,\\infty)"},
        {"(-\\infty,3]\\cup[5,\\infty)", "(-\\infty,3]\\cap[5,\\infty)"},
        {"(1,2)", "(1,3)\\cap[2,4]"},
        {"\\log 2", "\\ln 2"},
    };
    expect(t, ARRAY_LEN(t), MATH_DIFFERENT);
}

static void what_is_out_of_reach_is_undecided(void **state)
{
    (void)state;
    static const struct pair t[] = {
        {"9^{9^{9^9}}", "9^{9^{9^8}}"},
        {"(10^9)!", "(10^9)! + 1"},
        {"3.14\\ldots", "\\pi"},
        {"1/0", "2/0"},
        {"f(g(x))", "h(x)"},
        {"f(x) = 3", "2f(x) = 4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        assert_int_equal(
            verdict(pytext_literal(&scratch, t[i].truth), pytext_literal(&scratch, t[i].answer)),
            MATH_UNDECIDED);
        scratch_reset(&scratch);
    }
}

// Depth, length and towers: an answer may be anything, and a verdict must come at once. The bound
// is far above what it takes, for the sake of sanitizers and busy machines.
static void hostile_answers_return(void **state)
{
    (void)state;
    static const char *const pieces[] = {"(", "{", "\\frac{1}{", "\\sqrt{", "-", "x^",
                                         "9", "!", "\\left(",    "1+",      "|", "\\begin{matrix}",
                                         "[", "a,"};
    enum { PIECES = 15000 };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        size_t len = strlen(pieces[i]);
        char *text = malloc(PIECES * len + 1);
        assert_non_null(text);
        for (size_t k = 0; k < PIECES; k++) {
            memcpy(text + k * len, pieces[i], len);
        }
        clock_t before = clock();
        enum math_verdict v =
            verdict(pytext_literal(&scratch, "5"), pytext_decode(&scratch, text, PIECES * len));
        assert_true(v == MATH_DIFFERENT || v == MATH_UNDECIDED);
        assert_true((clock() - before) / CLOCKS_PER_SEC < 5);
        free(text);
        scratch_reset(&scratch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_number_has_many_spellings),
        cmocka_unit_test(expressions_are_equal_when_their_difference_vanishes),
        cmocka_unit_test(structures_are_compared_part_by_part),
        cmocka_unit_test(style_decides_about_logarithms_and_case),
        cmocka_unit_test(units_are_converted_or_ignored),
        cmocka_unit_test(near_misses_are_different),
        cmocka_unit_test(what_is_out_of_reach_is_undecided),
        cmocka_unit_test(hostile_answers_return),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
