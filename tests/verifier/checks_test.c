// checks_test.c: what each check accepts, one table row per rule; and that every doubtful request
// ends unscored, with its cause.
#include "tests/verifier/support.h"

#include "verifier/registry.h"

struct verdict_case {
    const char *checks;    // JSON; NULL: dataset and truth decide
    const char *dataset, *truth;
    const char *response;
    enum score_outcome want;
};

static void judge(const struct verdict_case *c)
{
    struct score_request req = {.checks = support_text(c->checks ? c->checks : ""),
                                .dataset = support_text(c->dataset ? c->dataset : ""),
                                .ground_truth = support_text(c->truth ? c->truth : ""),
                                .response = support_text(c->response)};
    struct score_result r;
    score_request_run(&req, &r);
    if (r.outcome != c->want) {
        print_message("%s %s %s on \"%s\": %s %s\n", c->checks ? c->checks : "",
                      c->dataset ? c->dataset : "", c->truth ? c->truth : "", c->response,
                      score_outcome_name(r.outcome), r.cause);
    }
    assert_int_equal(r.outcome, c->want);
    assert_true((r.outcome == SCORE_UNSCORED) == (r.cause[0] != 0));
    score_result_fini(&r);
}

#define JUDGE_ALL(table)                                                                           \
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {                                                \
        judge(&table[i]);                                                                          \
    }

static void gsm8k_compares_the_last_number_as_text(void **state)
{
    (void)state;
#define G(truth, response, want)                                                                   \
    {                                                                                              \
        NULL, "\"gsm8k\"", truth, response, want                                                   \
    }
    static const struct verdict_case t[] = {
        G("\"8\"", "3 + 5 = 8", SCORE_SCORED),
        G("\"8\"", "it is 8.", SCORE_SCORED),
        G("\"8\"", "8.00", SCORE_ZERO),
        G("\"0.5\"", "half: 0.5", SCORE_SCORED),
        G("\".5\"", "x.5", SCORE_SCORED),
        G("\"-4\"", "so -4", SCORE_SCORED),
        G("\"-7\"", "2-7", SCORE_SCORED),
        G("\"1234567\"", "1,234,567 apples", SCORE_SCORED),
        G("\"3\"", "1,2,3", SCORE_SCORED),
        G("\"12\"", "1,2,x", SCORE_SCORED),
        G("\"123\"", "1,2,3", SCORE_ZERO),
        G("\"nothing\"", "Nothing", SCORE_SCORED),
        G("\"7\"", "", SCORE_ZERO),
        G("\"+7\"", "+7", SCORE_SCORED),
        G("\" 7\"", "7", SCORE_ZERO),
        G("\"\xd9\xa3\"", "\xd9\xa3", SCORE_SCORED),
    };
    JUDGE_ALL(t);
}

static void gsm8k_of_the_release_gives_signs_to_decimals_only(void **state)
{
    (void)state;
#define R(truth, response, want)                                                                   \
    {                                                                                              \
        NULL, "\"gsm8k@tulu3\"", truth, response, want                                             \
    }
    static const struct verdict_case t[] = {
        R("\"4\"", "so -4", SCORE_SCORED),
        R("\"-4\"", "so -4", SCORE_ZERO),
        R("\"-4.5\"", "so -4.5", SCORE_SCORED),
        R("\"-.5\"", "so -.5", SCORE_SCORED),
        R("\"7\"", "9-7.", SCORE_SCORED),
        R("\"6500\"", "6,500 bricks", SCORE_SCORED),
        R("\"none left\"", "1\n<|assistant|>\n None left ", SCORE_SCORED),
        R("\"2\"", "2\n<|assistant|> 3", SCORE_ZERO),
        R("\"2\"", "2\n<|assistant|>\n", SCORE_ZERO),
    };
    JUDGE_ALL(t);
}

static void string_equality_ignores_outer_whitespace_only(void **state)
{
    (void)state;
    static const struct verdict_case t[] = {
        {NULL, "\"string_equality\"", "\"red fox\"", " red fox\n", SCORE_SCORED},
        {NULL, "\"string_equality\"", "\"red fox\\u3000\"", "red fox", SCORE_SCORED},
        {NULL, "\"string_equality\"", "\"red fox\"", "red  fox", SCORE_ZERO},
        {NULL, "\"string_equality\"", "\"red fox\"", "Red fox", SCORE_ZERO},
        {NULL, "[\"string_equality\"]", "[\"red fox\"]", "red fox", SCORE_SCORED},
    };
    JUDGE_ALL(t);
}

#define C(check, response, want)                                                                   \
    {                                                                                              \
        "[" check "]", NULL, NULL, response, want                                                  \
    }

static void commas_are_ascii(void **state)
{
    (void)state;
#define NC "{\"id\":\"punctuation:no_comma\",\"kwargs\":{}}"
    static const struct verdict_case t[] = {
        C(NC, "no such mark", SCORE_SCORED),
        C(NC, "one, two", SCORE_ZERO),
        C(NC, "wide\xef\xbc\x8c mark", SCORE_SCORED),
        C(NC, " \n", SCORE_ZERO),
        C(NC, "", SCORE_ZERO),
    };
    JUDGE_ALL(t);
}

static void words_are_runs_of_letters_digits_and_underscores(void **state)
{
    (void)state;
#define NW(n, rel)                                                                                 \
    "{\"id\":\"length_constraints:number_words\",\"kwargs\":{\"num_words\":" #n                    \
    ",\"relation\":\"" rel "\"}}"
    static const struct verdict_case t[] = {
        C(NW(3, "at least"), "well-to-do", SCORE_SCORED),
        C(NW(4, "at least"), "well-to-do", SCORE_ZERO),
        C(NW(2, "less than"), "word", SCORE_SCORED),
        C(NW(1, "less than"), "word", SCORE_ZERO),
        C(NW(2, "at least"), "a_b", SCORE_ZERO),
        C(NW(2, "at least"), "nai\xcc\x88ve", SCORE_SCORED),
        C(NW(1, "at least"), "\xe2\x9c\xa8", SCORE_ZERO),
        C(NW(2.0, "at least"), "two words", SCORE_SCORED),
    };
    JUDGE_ALL(t);
}

static void keywords_are_patterns_found_anywhere(void **state)
{
    (void)state;
#define KW(list) "{\"id\":\"keywords:existence\",\"kwargs\":{\"keywords\":" list "}}"
    static const struct verdict_case t[] = {
        C(KW("[\"sun\"]"), "Sunday", SCORE_SCORED),
        C(KW("[\"sun\",\"moon\"]"), "Sunday", SCORE_ZERO),
        C(KW("[\"x.z\"]"), "xyz", SCORE_SCORED),
        C(KW("[\"k\"]"), "\xe2\x84\xaa", SCORE_SCORED),
        C(KW("[\"i\"]"), "\xc4\xb1", SCORE_SCORED),
        C(KW("[\"gr\\u00fc\\u00dfe\"]"), "GR\xc3\x9cSSE", SCORE_ZERO),
        C(KW("[\"a b\"]"), "a\nb", SCORE_ZERO),
        C(KW("[\"C++\"]"), "ccc", SCORE_SCORED),
        C(KW("[\"(open\"]"), "open", SCORE_UNSCORED),
        C(KW("[\"*star\"]"), "star", SCORE_UNSCORED),
        C(KW("[\"(?i)a\"]"), "a", SCORE_UNSCORED),
        C(KW("[]"), "a", SCORE_UNSCORED),
        C(KW("\"sun\""), "sun", SCORE_UNSCORED),
    };
    JUDGE_ALL(t);
}

static void quotation_wants_straight_quotes_at_both_ends(void **state)
{
    (void)state;
#define QU "{\"id\":\"startend:quotation\",\"kwargs\":{}}"
    static const struct verdict_case t[] = {
        C(QU, " \"said so\"\n", SCORE_SCORED),
        C(QU, "\"\"", SCORE_SCORED),
        C(QU, "\"", SCORE_ZERO),
        C(QU, "\"open", SCORE_ZERO),
        C(QU, "\"said so\".", SCORE_ZERO),
        C(QU, "\xe2\x80\x9csaid so\xe2\x80\x9d", SCORE_ZERO),
    };
    JUDGE_ALL(t);
}

static void an_end_phrase_needs_no_word_boundary(void **state)
{
    (void)state;
#define EN(phrase) "{\"id\":\"startend:end_checker\",\"kwargs\":{\"end_phrase\":" phrase "}}"
    static const struct verdict_case t[] = {
        C(EN("\"Over and out.\""), "fine. OVER AND OUT.\n", SCORE_SCORED),
        C(EN("\" out.\""), "fine, \"Out.\"\"", SCORE_SCORED),
        C(EN("\"out\""), "without", SCORE_SCORED),
        C(EN("\"out.\""), "out", SCORE_ZERO),
        C(EN("\"\\\"out\\\"\""), "he said \"out\"", SCORE_ZERO),
        C(EN("\"\\u039f\\u0394\\u039f\\u03a3\""), "\xce\xbf\xce\xb4\xce\xbf\xcf\x82", SCORE_SCORED),
    };
    JUDGE_ALL(t);
}

static void json_is_what_python_reads(void **state)
{
    (void)state;
#define JS "{\"id\":\"detectable_format:json_format\",\"kwargs\":{}}"
    static const struct verdict_case t[] = {
        C(JS, "{\"a\": [1, 2.5e3, null]}", SCORE_SCORED),
        C(JS, "```json\n{}\n```", SCORE_SCORED),
        C(JS, "```\n[]```", SCORE_SCORED),
        C(JS, "```JSON```json\n1```", SCORE_ZERO),
        C(JS, "NaN", SCORE_SCORED),
        C(JS, "[-Infinity]", SCORE_SCORED),
        C(JS, "\"\\ud800\"", SCORE_SCORED),
        C(JS, "{\"a\":1,\"a\":2}", SCORE_SCORED),
        C(JS, "\xe2\x80\x83[1]\xe3\x80\x80", SCORE_SCORED),
        C(JS, "[1,]", SCORE_ZERO),
        C(JS, "{a: 1}", SCORE_ZERO),
        C(JS, "{'a': 1}", SCORE_ZERO),
        C(JS, "[01]", SCORE_ZERO),
        C(JS, "Sure: {}", SCORE_ZERO),
        C(JS, "{} {}", SCORE_ZERO),
        C(JS, "[1\xc2\xa0]", SCORE_ZERO),
        C(JS, "\xef\xbb\xbf{}", SCORE_ZERO),
    };
    JUDGE_ALL(t);
}

static void postscript_markers_have_their_own_patterns(void **state)
{
    (void)state;
#define PS(marker)                                                                                 \
    "{\"id\":\"detectable_content:postscript\",\"kwargs\":{\"postscript_marker\":\"" marker "\"}}"
    static const struct verdict_case t[] = {
        C(PS("P.S."), "Bye.\nP.S. I left.", SCORE_SCORED),
        C(PS("P.S."), "p. s. spaced", SCORE_SCORED),
        C(PS("P.S."), "P.P.S. counts", SCORE_SCORED),
        C(PS("P.S."), "PS: no dots", SCORE_ZERO),
        C(PS("P.S."), "p.  s. two spaces", SCORE_ZERO),
        C(PS("P.P.S"), "P.P.S needs no last dot", SCORE_SCORED),
        C(PS("P.P.S"), "P.S. is not enough", SCORE_ZERO),
        C(PS("Note:"), "NOTE: a marker of one's own", SCORE_SCORED),
        C(PS("P.P.S."), "pxpxsx", SCORE_SCORED),
        C(PS("[oops"), "oops", SCORE_UNSCORED),
    };
    JUDGE_ALL(t);
}

static void a_title_stands_on_one_line(void **state)
{
    (void)state;
#define TI "{\"id\":\"detectable_format:title\",\"kwargs\":{}}"
    static const struct verdict_case t[] = {
        C(TI, "<<Night Train>>\nIt left at ten.", SCORE_SCORED),
        C(TI, "text before <<x>> and after", SCORE_SCORED),
        C(TI, "1 << 2 and 3 >> 1", SCORE_SCORED),
        C(TI, "<<>> then <<x>>", SCORE_SCORED),
        C(TI, "<<two\nlines>>", SCORE_ZERO),
        C(TI, "<<>>", SCORE_ZERO),
        C(TI, "<< >>", SCORE_ZERO),
        C(TI, "<<>>>>", SCORE_ZERO),
        C(TI, "<one>", SCORE_ZERO),
        C(TI, "<<open", SCORE_ZERO),
        C(TI, "plain\n<<late>>", SCORE_SCORED),
    };
    JUDGE_ALL(t);
}

static void loose_mode_forgives_stars_and_outer_lines(void **state)
{
    (void)state;
#define LOOSE_QU "{\"id\":\"startend:quotation\",\"kwargs\":{},\"mode\":\"loose\"}"
#define LOOSE_NC "{\"id\":\"punctuation:no_comma\",\"kwargs\":null,\"mode\":\"loose\"}"
    static const struct verdict_case t[] = {
        C(LOOSE_QU, "**\"bold\"**", SCORE_SCORED),
        C(QU, "**\"bold\"**", SCORE_ZERO),
        C(LOOSE_QU, "Here it is:\n\"text\"", SCORE_SCORED),
        C(LOOSE_QU, "\"text\"\nHope it helps", SCORE_SCORED),
        C(LOOSE_QU, "Here:\n*\"text\"*\nBye", SCORE_SCORED),
        C(LOOSE_QU, "a\nb\n\"text\"\nc", SCORE_ZERO),
        C(LOOSE_NC, "Yes, sure\nplain", SCORE_SCORED),
        C(LOOSE_NC, "Yes, sure", SCORE_ZERO),
        C(LOOSE_NC, "  \n ", SCORE_ZERO),
        C("{\"id\":\"punctuation:no_comma\",\"kwargs\":{},\"mode\":\"lose\"}", "x", SCORE_UNSCORED),
    };
    JUDGE_ALL(t);
}

static void an_ifeval_row_earns_the_share_that_holds(void **state)
{
    (void)state;
#define TWO                                                                                        \
    "{\"instruction_id\":[\"punctuation:no_comma\",\"startend:quotation\"],\"kwargs\":[null,{}]}"
#define IE(truth, response, want)                                                                  \
    {                                                                                              \
        NULL, "\"ifeval\"", truth, response, want                                                  \
    }
    static const struct verdict_case t[] = {
        IE(TWO, "\"fine\"", SCORE_SCORED),
        IE("[" TWO "]", "\"fine\"", SCORE_SCORED),
        IE(TWO, "\"not, fine\"", SCORE_SCORED),
        IE(TWO, "not, fine", SCORE_ZERO),
        IE("\"{\\\"instruction_id\\\":[\\\"punctuation:no_comma\\\"],\\\"kwargs\\\":[{\\\"num_"
           "words\\\":null}]}\"",
           "fine", SCORE_SCORED),
        IE("\"not json\"", "fine", SCORE_UNSCORED),
        IE("[]", "fine", SCORE_UNSCORED),
        IE("{\"instruction_id\":[\"punctuation:no_comma\"],\"kwargs\":[]}", "fine", SCORE_UNSCORED),
        IE("{\"instruction_id\":[\"gsm8k\"],\"kwargs\":[{}]}", "fine", SCORE_UNSCORED),
        IE("{\"instruction_id\":[7],\"kwargs\":[{}]}", "fine", SCORE_UNSCORED),
    };
    JUDGE_ALL(t);
}

static struct score_result run_text(const char *dataset, const char *checks, const char *truth,
                                    const char *response)
{
    struct score_request req = {.dataset = support_text(dataset),
                                .checks = support_text(checks),
                                .ground_truth = support_text(truth),
                                .response = support_text(response)};
    struct score_result r;
    score_request_run(&req, &r);
    return r;
}

static void a_request_that_is_only_read_judges_nothing(void **state)
{
    (void)state;
    struct score_request req = {.dataset = support_text("\"gsm8k\""),
                                .ground_truth = support_text("\"7\""),
                                .response = support_text("7"),
                                .only_read = true};
    struct score_result r;
    score_request_run(&req, &r);
    assert_int_equal(r.outcome, SCORE_ZERO);
    assert_int_equal(r.n_components, 0);
    score_result_fini(&r);
    req.ground_truth = support_text("7");
    score_request_run(&req, &r);
    assert_int_equal(r.outcome, SCORE_UNSCORED);
    assert_non_null(strstr(r.cause, "ground_truth"));
    score_result_fini(&r);
}

static double reward_of(const char *dataset, const char *checks, const char *truth,
                        const char *policy, const char *response, uint32_t finish)
{
    struct score_request req = {.dataset = support_text(dataset),
                                .checks = support_text(checks),
                                .ground_truth = support_text(truth),
                                .reward = support_text(policy),
                                .response = support_text(response),
                                .finish = finish};
    struct score_result r;
    score_request_run(&req, &r);
    if (r.outcome == SCORE_UNSCORED) {
        print_message("%s\n", r.cause);
    }
    assert_int_not_equal(r.outcome, SCORE_UNSCORED);
    double reward = r.reward;
    score_result_fini(&r);
    return reward;
}

#define NEAR(a, b) assert_true((a) - (b) < 1e-9 && (b) - (a) < 1e-9)

static void weights_gates_and_policies_make_the_reward(void **state)
{
    (void)state;
#define WEIGHED                                                                                    \
    "[{\"id\":\"punctuation:no_comma\",\"weight\":0.25},{\"id\":\"startend:quotation\","           \
    "\"weight\":2}]"
#define GATED                                                                                      \
    "[{\"id\":\"punctuation:no_comma\",\"gate\":true,\"weight\":0},"                               \
    "{\"id\":\"startend:quotation\",\"weight\":1}]"
#define SHAPING(x) "{\"scale\":10,\"shaping\":[" x "]}"
    NEAR(reward_of("", WEIGHED, "", "", "no quotes", 1), 0.25);
    NEAR(reward_of("", WEIGHED, "", "", "\"quotes\"", 1), 2.25);
    NEAR(reward_of("", WEIGHED, "", "{\"combine\":\"mean\"}", "\"quotes\"", 1), 1);
    NEAR(reward_of("", WEIGHED, "", "{\"combine\":\"all\"}", "no quotes", 1), 0);
    NEAR(reward_of("", GATED, "", "", "\"a b\"", 1), 1);
    NEAR(reward_of("", GATED, "", "", "\"a, b\"", 1), 0);
    NEAR(reward_of("\"ifeval\"", "", TWO, "", "\"a, b\"", 1), 0.5);
    NEAR(reward_of("\"ifeval\"", "", TWO, "{\"combine\":\"all\"}", "\"a, b\"", 1), 0);
    NEAR(reward_of("\"gsm8k\"", "", "\"4\"", "{\"scale\":10}", "4", 1), 10);
    NEAR(reward_of("\"gsm8k\"", "", "\"4\"", "{\"unstopped\":-10}", "4", 1), 1);
    NEAR(reward_of("\"gsm8k\"", "", "\"4\"", "{\"unstopped\":-10}", "4", 2), -10);
    NEAR(reward_of("\"gsm8k\"", "", "\"4\"",
                   SHAPING("{\"id\":\"shape:words_over\",\"kwargs\":{\"free\":2,\"limit\":6},"
                           "\"weight\":-2}"),
                   "a b c 4", 1),
         9);
    NEAR(reward_of("\"gsm8k\"", "", "\"4\"",
                   SHAPING("{\"id\":\"shape:stopped\",\"gate\":true,\"weight\":0}"), "4", 2),
         0);
}

static void shaping_checks_measure_form_and_length(void **state)
{
    (void)state;
#define ONE(id, kwargs) "[{\"id\":\"" id "\",\"kwargs\":" kwargs ",\"weight\":1}]"
#define TA ONE("shape:think_answer", "{}")
    NEAR(reward_of("", TA, "", "", " <think>a</think>\n<answer>b</answer>", 1), 1);
    NEAR(reward_of("", TA, "", "", "<think>a</think>x<answer>b</answer>", 1), 0);
    NEAR(reward_of("", TA, "", "", "<think> </think><answer>b</answer>", 1), 0);
    NEAR(reward_of("", TA, "", "", "<answer>b</answer><think>a</think>", 1), 0);
    NEAR(reward_of("", TA, "", "", "<think>a</think><answer>b</answer></answer>", 1), 0);
    NEAR(reward_of("", ONE("shape:tags", "{\"names\":[\"plan\"]}"), "", "", "<plan>a</plan>", 1),
         1);
    NEAR(reward_of("", ONE("shape:characters_over", "{\"free\":0,\"limit\":8}"), "", "", "abcd", 1),
         0.5);
    NEAR(reward_of("", ONE("shape:repetition", "{\"n\":2}"), "", "", "a b a b a b", 1), 0.6);
    NEAR(reward_of("", ONE("shape:repetition", "{\"n\":2}"), "", "", "a", 1), 0);
}

static void each_check_leaves_a_component_with_its_version(void **state)
{
    (void)state;
    struct score_result r = run_text("\"gsm8k\"", "[" NC "," QU "]", "", "\"a, b\"");
    assert_int_equal(r.outcome, SCORE_ZERO);
    assert_int_equal(r.n_components, 2);
    assert_string_equal(r.components[0].id, "punctuation:no_comma");
    assert_string_equal(r.components[0].version,
                        registry_find("punctuation:no_comma", 20)->version);
    assert_true(r.components[0].value < 0.5);
    assert_true(r.components[1].value > 0.5);
    score_result_fini(&r);
}

static void rewards_of_several_verifiers_are_summed(void **state)
{
    (void)state;
    struct score_result r = run_text("[\"gsm8k\",\"string_equality\",\"ifeval\"]", "",
                                     "[\"4\",\"x\"," TWO "]", "\"is 4\"");
    assert_int_equal(r.outcome, SCORE_SCORED);
    assert_true(r.reward > 1.99 && r.reward < 2.01);
    assert_int_equal(r.n_components, 4);
    score_result_fini(&r);
}

static void doubtful_requests_are_unscored_and_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *dataset, *checks, *truth, *cause;
    } t[] = {
        {"", "", "", "neither checks nor a dataset"},
        {"\"tarot\"", "", "\"1\"", "unknown check \"tarot\""},
        {"\"gsm8k\"", "", "", "gsm8k: ground_truth"},
        {"\"gsm8k\"", "", "4", "gsm8k: ground_truth"},
        {"gsm8k", "", "\"4\"", "dataset: not valid JSON"},
        {"[\"gsm8k\",\"gsm8k\"]", "", "[\"4\"]", "dataset: 2 names"},
        {"\"punctuation:no_comma\"", "", "\"\"", "belongs into checks"},
        {"", "{}", "", "checks: expected a list"},
        {"", "[]", "", "checks: expected a list"},
        {"", "[{\"id\":\"tarot\"}]", "", "checks[0]: unknown check \"tarot\""},
        {"", "[{\"kwargs\":{}}]", "", "checks[0]: id"},
        {"", "[{\"id\":\"ifeval\"}]", "", "checks[0]: ifeval: is a data set's name"},
        {"", "[{\"id\":\"shape:stopped\",\"mode\":\"loose\"}]", "", "has no loose mode"},
        {"", "[{\"id\":\"shape:stopped\",\"weight\":\"1\"}]", "", "weight: expected a number"},
        {"", "[{\"id\":\"shape:words_over\",\"kwargs\":{\"free\":3,\"limit\":3}}]", "",
         "limit: 3 is not over free: 3"},
        {"", "[{\"id\":\"punctuation:no_comma\",\"kwarg\":{}}]", "",
         "checks[0]: kwarg: unknown key"},
        {"", "[{\"id\":\"punctuation:no_comma\",\"kwargs\":{\"n\":1}}]", "",
         "punctuation:no_comma: n: unknown argument"},
        {"", "[{\"id\":\"punctuation:no_comma\",\"kwargs\":[]}]", "", "kwargs: a list"},
        {"", "[" NW(-1, "at least") "]", "", "num_words: -1"},
        {"", "[" NW(1.5, "at least") "]", "", "num_words: 1.5"},
        {"", "[" NW("1", "at least") "]", "", "num_words: a string"},
        {"", "[" NW(1, "at most") "]", "", "relation: expected"},
        {"",
         "[{\"id\":\"length_constraints:number_words\",\"kwargs\":{\"num_words\":1,\"relation\":"
         "null}}]",
         "", "relation: missing"},
        {"", "[{\"id\":\"gsm8k\",\"kwargs\":{\"n\":1}}]", "\"4\"", "gsm8k: n: unknown argument"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct score_result r = run_text(t[i].dataset, t[i].checks, t[i].truth, "4");
        if (!strstr(r.cause, t[i].cause)) {
            print_message("cause \"%s\", expected \"%s\"\n", r.cause, t[i].cause);
        }
        assert_int_equal(r.outcome, SCORE_UNSCORED);
        assert_non_null(strstr(r.cause, t[i].cause));
        score_result_fini(&r);
    }
}

// A response is model output: bytes that are no text must not end in an error that drops the
// sample.
static void malformed_bytes_count_as_replacement_characters(void **state)
{
    (void)state;
    static const struct verdict_case t[] = {
        {NULL, "\"string_equality\"", "\"a\\ufffdb\"",
         "a\xff"
         "b",
         SCORE_SCORED},
        {NULL, "\"string_equality\"", "\"\\ufffd\\ufffd\\ufffd\"", "\xed\xa0\x80", SCORE_SCORED},
        {NULL, "\"string_equality\"", "\"\\ufffdx\"", "\xf0\x9f\x98x", SCORE_SCORED},
    };
    JUDGE_ALL(t);
}

static void causes_are_short_clean_lines(void **state)
{
    (void)state;
    struct score_result r = {0};
    char text[400] = "tab\there \xff ";
    size_t n = strlen(text);
    for (; n + 2 < sizeof text; n += 2) {
        memcpy(text + n, "\xc3\xa9", 3);
    }
    score_unscored(&r, text);
    assert_true(strlen(r.cause) < SCORE_CAUSE_BYTES && strlen(r.cause) > SCORE_CAUSE_BYTES - 4);
    assert_memory_equal(r.cause, "tab?here ? \xc3\xa9", 13);
    assert_int_equal((uint8_t)r.cause[strlen(r.cause) - 1], 0xA9);
    score_result_fini(&r);
}

static void ids_in_the_registry_are_unique(void **state)
{
    (void)state;
    assert_true(registry_count() >= 11);
    for (size_t i = 0; i < registry_count(); i++) {
        const struct check_row *row = registry_at(i);
        assert_ptr_equal(registry_find(row->id, strlen(row->id)), row);
        assert_true(strlen(row->id) < SCORE_ID_BYTES && strlen(row->version) < SCORE_VERSION_BYTES);
        assert_true(row->doc && row->doc[0]);
        assert_int_equal((row->holds != NULL) + (row->measure != NULL),
                         row->kind == CHECK_SUITE ? 0 : 1);
    }
    assert_null(registry_at(registry_count()));
    assert_null(registry_find("gsm8", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gsm8k_compares_the_last_number_as_text),
        cmocka_unit_test(gsm8k_of_the_release_gives_signs_to_decimals_only),
        cmocka_unit_test(string_equality_ignores_outer_whitespace_only),
        cmocka_unit_test(commas_are_ascii),
        cmocka_unit_test(words_are_runs_of_letters_digits_and_underscores),
        cmocka_unit_test(keywords_are_patterns_found_anywhere),
        cmocka_unit_test(quotation_wants_straight_quotes_at_both_ends),
        cmocka_unit_test(an_end_phrase_needs_no_word_boundary),
        cmocka_unit_test(json_is_what_python_reads),
        cmocka_unit_test(postscript_markers_have_their_own_patterns),
        cmocka_unit_test(a_title_stands_on_one_line),
        cmocka_unit_test(loose_mode_forgives_stars_and_outer_lines),
        cmocka_unit_test(an_ifeval_row_earns_the_share_that_holds),
        cmocka_unit_test(each_check_leaves_a_component_with_its_version),
        cmocka_unit_test(weights_gates_and_policies_make_the_reward),
        cmocka_unit_test(shaping_checks_measure_form_and_length),
        cmocka_unit_test(rewards_of_several_verifiers_are_summed),
        cmocka_unit_test(doubtful_requests_are_unscored_and_say_why),
        cmocka_unit_test(malformed_bytes_count_as_replacement_characters),
        cmocka_unit_test(causes_are_short_clean_lines),
        cmocka_unit_test(a_request_that_is_only_read_judges_nothing),
        cmocka_unit_test(ids_in_the_registry_are_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
