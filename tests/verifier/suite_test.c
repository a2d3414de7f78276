// suite_test.c: labels of dataset "ifeval" in every form that data sets use, what is done to the
// response first, and the release's variant.
#include "tests/verifier/support.h"

struct suite_case {
    const char *truth, *response;
    double reward;    // UNSCORED: none
    const char *cause;
};

#define UNSCORED -1.0

static void judge(const char *dataset, const struct suite_case *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct score_request req = {.dataset = support_text(dataset),
                                    .ground_truth = support_text(t[i].truth),
                                    .response = support_text(t[i].response)};
        struct score_result r;
        score_request_run(&req, &r);
        double got = r.outcome == SCORE_UNSCORED ? UNSCORED : r.reward;
        if (!(got - t[i].reward < 1e-9 && t[i].reward - got < 1e-9) ||
            !strstr(r.cause, t[i].cause ? t[i].cause : "")) {
            fail_msg("%s on \"%s\": %g %s, expected %g %s", t[i].truth, t[i].response, got, r.cause,
                     t[i].reward, t[i].cause ? t[i].cause : "");
        }
        score_result_fini(&r);
    }
}

#define JUDGE(dataset, ...)                                                                        \
    do {                                                                                           \
        static const struct suite_case cases[] = {__VA_ARGS__};                                    \
        judge("\"" dataset "\"", cases, ARRAY_LEN(cases));                                         \
    } while (0)

#define NO_COMMAS "{\"func_name\":\"validate_no_commas\",\"N\":null,\"options\":null}"

static void a_function_stands_in_three_forms(void **state)
{
    (void)state;
    JUDGE("ifeval", {NO_COMMAS, "none", 1, NULL}, {NO_COMMAS, "one, two", 0, NULL},
          {"\"{\\\"func_name\\\":\\\"validate_end\\\",\\\"end_phrase\\\":\\\"end\\\"}\"", "the end",
           1, NULL},
          {"\"{'func_name': 'validate_end', 'end_phrase': \\\"it's\\\", 'N': None}\"", "so it's", 1,
           NULL},
          {"[" NO_COMMAS "]", "none", 1, NULL});
}

static void several_instructions_stand_in_five_forms(void **state)
{
    (void)state;
#define TWO                                                                                        \
    "{\"instruction_id\":[\"punctuation:no_comma\",\"keywords:word_once\"],"                       \
    "\"kwargs\":[null,{\"keyword\":\"sun\",\"N\":null}]}"
#define TWO_QUOTED                                                                                 \
    "{\\\"instruction_id\\\":[\\\"punctuation:no_comma\\\",\\\"keywords:word_once\\\"],"           \
    "\\\"kwargs\\\":[null,{\\\"keyword\\\":\\\"sun\\\"}]}"
#define TWO_LITERAL                                                                                \
    "{'instruction_id': ['punctuation:no_comma', 'keywords:word_once'], "                          \
    "'kwargs': [None, {'keyword': 'sun', 'N': None}]}"
    JUDGE("ifeval", {TWO, "the sun", 1, NULL}, {TWO, "the sun, yes", 0.5, NULL},
          {TWO, "yes, the moon", 0, NULL}, {"[" TWO "]", "the moon", 0.5, NULL},
          {"\"" TWO_QUOTED "\"", "the moon", 0.5, NULL},
          {"[\"" TWO_QUOTED "\"]", "the moon", 0.5, NULL},
          {"\"[" TWO_LITERAL "]\"", "the moon", 0.5, NULL},
          {"\"['{\\\"instruction_id\\\": [\\\"punctuation:no_comma\\\"], \\\"kwargs\\\": [{}]}']\"",
           "the moon", 1, NULL},
          {TWO, "", 0, NULL}, {TWO, " \n", 0, NULL});
}

// Reasoning and tags are no part of the answer that is judged.
static void the_answer_is_what_follows_the_reasoning(void **state)
{
    (void)state;
#define QUOTED "{\"func_name\":\"validate_quotation\"}"
    JUDGE("ifeval", {NO_COMMAS, "<think>well, so</think> none", 1, NULL},
          {NO_COMMAS, "<think>a</think>b,c</think>d", 1, NULL},
          {NO_COMMAS, "<think>never closed, so judged", 0, NULL},
          {QUOTED, "<|assistant|>\n \"a\" \n", 1, NULL},
          {QUOTED, "<think>x</think>\n<answer> \"a\" </answer>", 1, NULL},
          {QUOTED, "<answer>\"a\"</answer>.", 0, NULL},
          {TWO, "<think>sun, sun</think> sun", 1, NULL}, {TWO, "<think>sun</think>", 0, NULL});
}

// The released code cut at the assistant's mark only, and had other rules for some functions.
static void the_release_has_its_own_text_and_rules(void **state)
{
    (void)state;
    JUDGE("ifeval@tulu3", {QUOTED, "a <|assistant|>\n b <|assistant|>\n \"c\" ", 1, NULL},
          {QUOTED, "<|assistant|> \"c\"", 0, NULL}, {QUOTED, "<think></think>\"c\"", 0, NULL},
          {"{\"func_name\":\"validate_placeholders\",\"N\":3}", "none", 1, NULL},
          {"{\"func_name\":\"validate_choice\",\"options\":[\"yes\"]}", "yes sir", 0, NULL},
          {TWO, "sun", UNSCORED, "expected func_name"});
    JUDGE("ifeval", {"{\"func_name\":\"validate_placeholders\",\"N\":3}", "none", 0, NULL},
          {"{\"func_name\":\"validate_choice\",\"options\":[\"yes\"]}", "yes sir", 1, NULL});
}

static void a_list_of_checks_is_judged_as_it_stands(void **state)
{
    (void)state;
    struct score_request req = {.checks = support_text("[{\"id\":\"punctuation:no_comma\"}]"),
                                .response = support_text("<think>a, b</think> c")};
    struct score_result r;
    score_request_run(&req, &r);
    assert_int_equal(r.outcome, SCORE_ZERO);
    score_result_fini(&r);
}

static void unclear_labels_are_refused(void **state)
{
    (void)state;
    JUDGE("ifeval", {"\"['open\"", "x", UNSCORED, "ground_truth"},
          {"[]", "x", UNSCORED, "expected an object"},
          {"[{},{}]", "x", UNSCORED, "expected an object"}, {"7", "x", UNSCORED, "an object"},
          {"{}", "x", UNSCORED, "instruction_id"},
          {"{\"func_name\":\"validate_nothing\"}", "x", UNSCORED, "unknown check"},
          {"{\"func_name\":7}", "x", UNSCORED, "expected a string"},
          {"{\"func_name\":\"validate_end\"}", "x", UNSCORED, "end_phrase: missing"},
          {"{\"func_name\":\"validate_no_commas\",\"N\":1}", "x", UNSCORED, "N: unknown argument"},
          {"{\"func_name\":\"punctuation:no_comma\"}", "x", UNSCORED, "is not a function"},
          {"{\"instruction_id\":[\"validate_no_commas\"],\"kwargs\":[{}]}", "x", UNSCORED,
           "is not an instruction"},
          {"{\"instruction_id\":[\"punctuation:no_comma\"],\"kwargs\":[]}", "x", UNSCORED,
           "two lists of one length"},
          {"{\"instruction_id\":[],\"kwargs\":[]}", "x", UNSCORED, "two lists of one length"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_stands_in_three_forms),
        cmocka_unit_test(several_instructions_stand_in_five_forms),
        cmocka_unit_test(the_answer_is_what_follows_the_reasoning),
        cmocka_unit_test(the_release_has_its_own_text_and_rules),
        cmocka_unit_test(a_list_of_checks_is_judged_as_it_stands),
        cmocka_unit_test(unclear_labels_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
