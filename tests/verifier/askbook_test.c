// askbook_test.c: first the questions, then the same request with their answers.
#include "tests/verifier/support.h"

#include "verifier/askbook.h"

#define ROW                                                                                        \
    "[{\"id\":\"mine:a\",\"kwargs\":{\"k\":1},\"weight\":2},{\"id\":\"punctuation:no_comma\","     \
    "\"weight\":0.5},{\"id\":\"mine:b\",\"weight\":1}]"

static struct askbook book;

static struct score_result run(const char *checks, const char *answers, bool may_ask)
{
    struct score_request req = {.checks = support_text(checks),
                                .ground_truth = support_text("\"t\""),
                                .answers = support_text(answers),
                                .response = support_text("no"),
                                .may_ask = may_ask};
    struct score_result r;
    askbook_run(&book, &req, &r);
    return r;
}

static void expect_unscored(const char *checks, const char *answers, bool may_ask,
                            const char *cause)
{
    struct score_result r = run(checks, answers, may_ask);
    assert_int_equal(book.n_calls, 0);
    assert_int_equal(r.outcome, SCORE_UNSCORED);
    if (!strstr(r.cause, cause)) {
        print_message("%s\n", r.cause);
    }
    assert_non_null(strstr(r.cause, cause));
    score_result_fini(&r);
}

static void questions_come_in_the_order_of_the_row(void **state)
{
    (void)state;
    struct score_result r = run(ROW, "", true);
    score_result_fini(&r);
    assert_int_equal(book.n_calls, 2);
    assert_memory_equal(book.calls[0].check.data, "mine:a", 6);
    assert_memory_equal(book.calls[0].kwargs.data, "{\"k\":1}", 7);
    assert_memory_equal(book.calls[0].ground_truth.data, "\"t\"", 3);
    assert_memory_equal(book.calls[1].check.data, "mine:b", 6);
    assert_int_equal(book.calls[1].kwargs.len, 0);
}

static void answers_make_the_verdict(void **state)
{
    (void)state;
    struct score_result r = run(ROW,
                                "[{\"id\":\"mine:a\",\"version\":\"1+x\",\"value\":0.5},"
                                "{\"id\":\"mine:b\",\"version\":\"2+y\",\"value\":1}]",
                                false);
    assert_int_equal(book.n_calls, 0);
    assert_int_equal(r.outcome, SCORE_SCORED);
    assert_true(r.reward == 2.5);
    assert_int_equal(r.n_components, 3);
    assert_string_equal(r.components[0].version, "1+x");
    assert_string_equal(r.components[2].version, "2+y");
    score_result_fini(&r);
}

static void what_nobody_answers_is_unscored(void **state)
{
    (void)state;
    expect_unscored("[{\"id\":\"mine:a\"}]", "", false, "unknown check \"mine:a\"");
    expect_unscored("[{\"id\":\"mine:a\"}]", "[{\"id\":\"mine:a\",\"unknown\":true}]", false,
                    "unknown check \"mine:a\"");
    expect_unscored("[{\"id\":\"mine:a\"}]", "[]", false, "unknown check \"mine:a\"");
    expect_unscored("[{\"id\":\"mine:a\"}]",
                    "[{\"id\":\"mine:a\",\"version\":\"1\",\"undecided\":\"too hot\"}]", false,
                    "mine:a: too hot");
    expect_unscored("[{\"id\":\"mine:a\"}]", "{", false, "malformed answers");
    expect_unscored("[{\"id\":\"no name\"}]", "", true, "unknown check \"no name\"");
    // A built-in check that cannot be read spares the plug-ins the question.
    expect_unscored("[{\"id\":\"mine:a\"},{\"id\":\"length_constraints:number_words\"}]", "", true,
                    "num_words");
}

static void a_request_that_is_only_read_asks_for_names(void **state)
{
    (void)state;
    struct score_request req = {.checks =
                                    support_text("[{\"id\":\"mine:a\",\"kwargs\":{\"k\":1}}]"),
                                .only_read = true,
                                .may_ask = true};
    struct score_result r;
    askbook_run(&book, &req, &r);
    score_result_fini(&r);
    assert_int_equal(book.n_calls, 1);
    assert_int_equal(book.calls[0].kwargs.len, 0);
    req.may_ask = false;
    req.answers =
        support_text("[{\"id\":\"mine:a\",\"version\":\"1\",\"undecided\":\"only read\"}]");
    askbook_run(&book, &req, &r);
    assert_int_equal(r.outcome, SCORE_ZERO);
    score_result_fini(&r);
}

static void too_many_questions_are_an_unknown_check(void **state)
{
    (void)state;
    char row[2048] = "[";
    for (int i = 0; i <= JOBFRAME_MAX_CALLS; i++) {
        size_t n = strlen(row);
        snprintf(row + n, sizeof row - n, "%s{\"id\":\"mine:%d\"}", i ? "," : "", i);
    }
    strcat(row, "]");
    expect_unscored(row, "", true, "unknown check \"mine:16\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_come_in_the_order_of_the_row),
        cmocka_unit_test(answers_make_the_verdict),
        cmocka_unit_test(what_nobody_answers_is_unscored),
        cmocka_unit_test(a_request_that_is_only_read_asks_for_names),
        cmocka_unit_test(too_many_questions_are_an_unknown_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
