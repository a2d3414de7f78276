// pluginline_test.c: what a program may say, what it may not, and how it is asked.
#include "tests/verifier/support.h"

#include <stdlib.h>

#include "verifier/pluginline.h"

static enum err hello(const char *line, struct why *why)
{
    static struct jobframe_check checks[JOBFRAME_MAX_CHECKS];
    size_t n;
    return pluginline_get_hello(line, strlen(line), checks, &n, why);
}

#define CHECKS(x) "{\"caravan_plugin\":1,\"checks\":[" x "]}"

static void a_hello_names_checks(void **state)
{
    (void)state;
    struct jobframe_check checks[JOBFRAME_MAX_CHECKS];
    size_t n = 0;
    struct why why;
    const char *line =
        CHECKS("{\"id\":\"my:check\",\"version\":\"1.2\",\"doc\":\"words\",\"new\":0},"
               "{\"id\":\"b\",\"version\":\"3\"}");
    assert_int_equal(pluginline_get_hello(line, strlen(line), checks, &n, &why), ERR_OK);
    assert_int_equal(n, 2);
    assert_string_equal(checks[0].id, "my:check");
    assert_string_equal(checks[0].version, "1.2");
    assert_string_equal(checks[0].doc, "words");
    assert_string_equal(checks[1].doc, "");
}

static void a_bad_hello_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *line, *why;
    } cases[] = {
        {"hello", "expected"},
        {"[]", "not a JSON object"},
        {"{\"caravan_plugin\":2,\"checks\":[]}", "caravan_plugin"},
        {CHECKS(""), "offers 0 checks"},
        {CHECKS("7"), "expected id and version"},
        {CHECKS("{\"id\":\"a b\",\"version\":\"1\"}"), "letters, digits"},
        {CHECKS("{\"id\":\"\",\"version\":\"1\"}"), "letters, digits"},
        {CHECKS("{\"id\":\"a\",\"version\":\"\"}"), "a: version"},
        {CHECKS("{\"id\":\"a\",\"version\":\"12345678901234567890123\"}"), "a: version"},
        {CHECKS("{\"id\":\"a\",\"version\":\"1\",\"doc\":\"two\\nlines\"}"), "a: doc"},
        {CHECKS("{\"id\":\"a\",\"version\":\"1\"},{\"id\":\"a\",\"version\":\"1\"}"), "a: offered"},
        {CHECKS("{\"id\":\"a\\u0000\",\"version\":\"1\"}"), ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {{0}};
        assert_int_not_equal(hello(cases[i].line, &why), ERR_OK);
        if (!strstr(why.text, cases[i].why)) {
            print_message("%s: %s\n", cases[i].line, why.text);
        }
        assert_non_null(strstr(why.text, cases[i].why));
    }
}

static enum err reply(const char *line, double *value, struct why *why)
{
    return pluginline_get_reply(line, strlen(line), 7, value, why);
}

static void a_reply_is_a_value_or_a_reason(void **state)
{
    (void)state;
    double v = -1;
    struct why why = {{0}};
    assert_int_equal(reply("{\"job\":7,\"value\":0.25}", &v, &why), ERR_OK);
    assert_true(v == 0.25);
    assert_int_equal(reply("{\"job\":7,\"value\":1}", &v, &why), ERR_OK);
    assert_int_equal(reply("{\"job\":7,\"undecided\":\"no idea\"}", &v, &why), ERR_UNSUPPORTED);
    assert_string_equal(why.text, "no idea");
    static const char *const bad[] = {
        "",
        "{}",
        "{\"job\":8,\"value\":1}",
        "{\"job\":7}",
        "{\"job\":7,\"value\":1.5}",
        "{\"job\":7,\"value\":-1}",
        "{\"job\":7,\"value\":true}",
        "{\"job\":7,\"value\":1,\"undecided\":\"x\"}",
        "{\"job\":7,\"value\":1,\"value\":0}",
        "{\"job\":7,\"value\":1} {}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(reply(bad[i], &v, &why), ERR_CORRUPT);
    }
}

static void a_request_is_one_line_of_clean_json(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 16);
    const struct score_plugin_input in = {.response = {"a\n\xff\"", 4},
                                          .prompt = support_text("p"),
                                          .ground_truth = support_text(""),
                                          .kwargs = support_text("{\"k\":[1]}"),
                                          .stopped = true};
    assert_int_equal(pluginline_put_request(&b, 7, support_text("my:check"), &in), ERR_OK);
    assert_int_equal(b.data[b.len - 1], '\n');
    json_t *v = json_loadb((char *)b.data, b.len, 0, NULL);
    assert_non_null(v);
    assert_string_equal(json_string_value(json_object_get(v, "response")), "a\n\xEF\xBF\xBD\"");
    assert_true(json_is_null(json_object_get(v, "ground_truth")));
    assert_true(json_is_true(json_object_get(v, "stopped")));
    assert_int_equal(json_integer_value(json_object_get(v, "job")), 7);
    assert_int_equal(
        json_integer_value(json_array_get(json_object_get(json_object_get(v, "kwargs"), "k"), 0)),
        1);
    json_decref(v);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_names_checks),
        cmocka_unit_test(a_bad_hello_is_refused_with_its_reason),
        cmocka_unit_test(a_reply_is_a_value_or_a_reason),
        cmocka_unit_test(a_request_is_one_line_of_clean_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
