// math_check_test.c: the checks "math" and "math_equiv" as a data row names them: which answers
// hold, and that what cannot be decided is unscored. The parts have tests of their own
// (minerva_test, mathstring_test, mathscope_test, extract_test, math_*_test).
#include "tests/verifier/support.h"

struct answer {
    const char *truth, *response;    // JSON string, text
    enum score_outcome want;
};

static void judge(const char *check, const struct answer *x)
{
    struct score_request req = {.dataset = support_text(check),
                                .ground_truth = support_text(x->truth),
                                .response = support_text(x->response)};
    struct score_result r;
    score_request_run(&req, &r);
    if (r.outcome != x->want) {
        fail_msg("%s %s on \"%s\": %s %s", check, x->truth, x->response,
                 score_outcome_name(r.outcome), r.cause);
    }
    assert_true((r.outcome == SCORE_UNSCORED) == (r.cause[0] != 0));
    score_result_fini(&r);
}

#define JUDGE_ALL(check, table)                                                                    \
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {                                                \
        judge("\"" check "\"", &(table)[i]);                                                       \
    }

// ---- math: as Tülu 3 looks for answers ----

static void math_takes_the_box_or_the_final_sentence(void **state)
{
    (void)state;
    static const struct answer t[] = {
        {"\"12\"", "so \\boxed{12}", SCORE_SCORED},
        {"\"12\"", "\\boxed{11} Final Answer: The final answer is 12. I hope it is correct.",
         SCORE_SCORED},
        {"\"12\"", "from $11$ we get $12$", SCORE_SCORED},
        {"\"12\"", "12", SCORE_SCORED},
        {"\"12\"", "It is 12", SCORE_ZERO},
        {"\"12\"", "\\boxed{12} and \\boxed{13}", SCORE_ZERO},
        {"\"12\"", "\\boxed{12}\n<|assistant|>\n13", SCORE_ZERO},
        {"\"12\"", "", SCORE_ZERO},
    };
    JUDGE_ALL("math", t);
}

static void math_compares_expressions_by_mathematics(void **state)
{
    (void)state;
    static const struct answer t[] = {
        {"\"\\\\frac{3}{4}\"", "\\boxed{\\frac{6}{8}}", SCORE_SCORED},
        {"\"\\\\frac{3}{4}\"", "\\boxed{0.75}", SCORE_SCORED},
        {"\"\\\\frac{3}{4}\"", "\\boxed{0.74}", SCORE_ZERO},
        {"\"\\\\frac{5}{3}\"", "\\boxed{1\\frac{2}{3}}", SCORE_SCORED},
        {"\"(x+1)(x-1)\"", "$x^2-1$", SCORE_SCORED},
        {"\"(x+1)(x-1)\"", "$x^2+1$", SCORE_ZERO},
        {"\"2\\\\sqrt{3}\"", "\\boxed{\\sqrt{12}}", SCORE_SCORED},
        {"\"12500\"", "\\boxed{12{,}500}", SCORE_SCORED},
        {"\"ab\"", "\\boxed{ba}", SCORE_SCORED},
        {"\"12_3\"", "\\boxed{12_4}", SCORE_ZERO},
        {"\"12_3\"", "\\boxed{12}", SCORE_SCORED},
        {"\"12\"", "\\boxed{12_3}", SCORE_ZERO},
        {"\"\\\\log 6\"", "\\boxed{\\ln(6)}", SCORE_SCORED},
        {"\"C\"", "\\boxed{C)}", SCORE_SCORED},
        {"\"\\\\pm 6\"", "\\framebox{x=\\pm 6}", SCORE_SCORED},
        {"\"3\"", "the angle is a = 3.0.", SCORE_SCORED},
        {"\"\\\\frac{2}{7}\"", "\\boxed{\\frac{2}{0}}", SCORE_ZERO},
    };
    JUDGE_ALL("math", t);
}

// The original cannot compare these by mathematics either.
static void math_compares_the_rest_as_text(void **state)
{
    (void)state;
    static const struct answer t[] = {
        {"\"(1,2)\"", "\\boxed{\\left(1, 2\\right)}", SCORE_SCORED},
        {"\"(1,2)\"", "\\boxed{(1.0, 2)}", SCORE_ZERO},
        {"\"\\\\{1,2\\\\}\"", "\\boxed{\\{2,1\\}}", SCORE_ZERO},
        {"\"5\\\\%\"", "\\boxed{5}", SCORE_SCORED},
        {"\"5\\\\%\"", "\\boxed{0.05}", SCORE_ZERO},
        {"\"x \\\\le 5\"", "\\boxed{x\\le5}", SCORE_SCORED},
        {"\"x \\\\le 5\"", "\\boxed{5 \\ge x}", SCORE_ZERO},
        {"\"\\\\text{odd}\"", "\\boxed{\\text{odd}}", SCORE_SCORED},
        {"\"team\"", "\\boxed{meat}", SCORE_ZERO},
        {"\"n^2+1\"", "\\boxed{N^2+1}", SCORE_ZERO},
        {"\"2000\"", "\\boxed{2e3}", SCORE_ZERO},
        {"\"7\"", "\\boxed{7^{\\text{th}}}", SCORE_ZERO},
    };
    JUDGE_ALL("math", t);
}

// ---- math_equiv: our own ----

static void math_equiv_finds_the_answer_where_it_stands(void **state)
{
    (void)state;
    static const struct answer t[] = {
        {"\"12\"", "It is 12", SCORE_SCORED},
        {"\"-12\"", "The answer is -12\\!. That is all.", SCORE_SCORED},
        {"\"\\\\frac{2}{3}\"", "\\boxed{0.666...}", SCORE_SCORED},
        {"\"\\\\frac{2}{3}\"", "The answer is 0.666...", SCORE_SCORED},
        {"\"12\"", "The answer is 12...", SCORE_SCORED},
        {"\"12\"", "The answer is 12 apples, of 20.", SCORE_SCORED},
        {"\"12\"", "<think>\\boxed{13}</think> $12$", SCORE_SCORED},
        {"\"12\"", "\\boxed{11}. The final answer is 12.", SCORE_SCORED},
        {"\"12\"", "\\boxed{12} and \\boxed{13}", SCORE_ZERO},
        {"\"12\"", "I do not know what the result of that could be", SCORE_ZERO},
        {"\"12\"", "", SCORE_ZERO},
    };
    JUDGE_ALL("math_equiv", t);
}

static void math_equiv_compares_everything_by_mathematics(void **state)
{
    (void)state;
    static const struct answer t[] = {
        {"\"\\\\{1,2\\\\}\"", "\\boxed{2} and \\boxed{1}", SCORE_SCORED},
        {"\"\\\\{1,2\\\\}\"", "\\boxed{\\{1,2,3\\}}", SCORE_ZERO},
        {"\"(1,2)\"", "\\boxed{(1.0, 2)}", SCORE_SCORED},
        {"\"(1,2)\"", "\\boxed{(2,1)}", SCORE_ZERO},
        {"\"[0,1)\"", "\\boxed{x \\in [0,1)}", SCORE_SCORED},
        {"\"[0,1)\"", "\\boxed{[0,1]}", SCORE_ZERO},
        {"\"x \\\\le 5\"", "\\boxed{5 \\ge x}", SCORE_SCORED},
        {"\"x \\\\le 5\"", "\\boxed{x < 5}", SCORE_ZERO},
        {"\"5\\\\%\"", "\\boxed{0.05}", SCORE_SCORED},
        {"\"\\\\text{(B)}\"", "The answer is B.", SCORE_SCORED},
        {"\"\\\\text{odd}\"", "\\boxed{\\text{even}}", SCORE_ZERO},
        {"\"\\\\begin{pmatrix} 1 \\\\\\\\ 2 \\\\end{pmatrix}\"",
         "$\\begin{bmatrix} 1 \\\\ 2 \\end{bmatrix}$", SCORE_SCORED},
        {"\"\\\\frac{1}{3}\"", "\\boxed{0.3333}", SCORE_ZERO},
        {"\"12\"", "\\boxed{!!)(}", SCORE_ZERO},
        {"\"\\\\emptyset\"", "\\boxed{\\emptyset\\emptyset}", SCORE_ZERO},
        {"\"\\\\emptyset\"", "\\boxed{\\ldots}", SCORE_ZERO},
        {"\"12_3\"", "\\boxed{12}", SCORE_ZERO},
        {"\"\\\\log 6\"", "\\boxed{\\ln(6)}", SCORE_ZERO},
        {"\"2000\"", "\\boxed{2e3}", SCORE_SCORED},
        {"\"7\"", "\\boxed{7^{\\text{th}}}", SCORE_SCORED},
    };
    JUDGE_ALL("math_equiv", t);
}

// ---- both ----

static void what_cannot_be_decided_is_unscored(void **state)
{
    (void)state;
    static const struct answer t[] = {
        {"\"2^{3^{4^5}}\"", "\\boxed{3^{2^{4^5}}}", SCORE_UNSCORED},
        {"\"2^{3^{4^5}}\"", "\\boxed{2^{3^{4^5}}}", SCORE_SCORED},
    };
    JUDGE_ALL("math", t);
    JUDGE_ALL("math_equiv", t);
}

// A candidate that holds settles the matter, whatever the other would have cost.
static void an_undecided_candidate_does_not_hide_a_right_one(void **state)
{
    (void)state;
    static const struct answer t[] = {
        {"\"\\\\frac{1}{2}\"",
         "\\boxed{2^{3^{4^5}}} Final Answer: The final answer is $\\frac{2}{4}$. I hope it is "
         "correct.",
         SCORE_SCORED},
    };
    JUDGE_ALL("math", t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(math_takes_the_box_or_the_final_sentence),
        cmocka_unit_test(math_compares_expressions_by_mathematics),
        cmocka_unit_test(math_compares_the_rest_as_text),
        cmocka_unit_test(math_equiv_finds_the_answer_where_it_stands),
        cmocka_unit_test(math_equiv_compares_everything_by_mathematics),
        cmocka_unit_test(what_cannot_be_decided_is_unscored),
        cmocka_unit_test(an_undecided_candidate_does_not_hide_a_right_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
