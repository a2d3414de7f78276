// json_test.c: hostile documents are refused with the place and the reason; values are never
// guessed.

#include "tests/common/check.h"

#include "common/json.h"

static enum err parse(const char *text, json_t **out, struct why *why)
{
    return json_parse(text, strlen(text), "tasks.jsonl:12", out, why);
}

static json_t *good(const char *text)
{
    json_t *value = NULL;
    struct why why = {{0}};
    if (parse(text, &value, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return value;
}

static void a_text_nested_ten_thousand_deep_is_refused(void **state)
{
    (void)state;
    size_t n = 10000;
    char *text = malloc(2 * n);
    assert_non_null(text);
    memset(text, '[', n);
    memset(text + n, ']', n);
    json_t *value = NULL;
    struct why why;
    assert_int_equal(json_parse(text, 2 * n, "deep", &value, &why), ERR_LIMIT);
    assert_contains(why.text, "deep");
    assert_contains(why.text, "64");
    size_t fits = JSON_MAX_DEPTH;
    assert_int_equal(json_parse(text + n - fits, 2 * fits, "deep", &value, &why), ERR_OK);
    json_decref(value);
    free(text);
}

static void brackets_in_strings_are_no_depth(void **state)
{
    (void)state;
    char text[400] = "[\"\\\"";
    memset(text + strlen(text), '[', 200);
    strcat(text, "\"]");
    json_decref(good(text));
}

static void what_is_not_json_is_refused_with_its_line(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "{",
                                      "nan",      "{\"a\":1}x",
                                      "[1,]",     "\"\\ud800\"",
                                      "1e999",    "99999999999999999999",
                                      "\"\xff\"", "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *value = NULL;
        struct why why;
        assert_int_equal(parse(bad[i], &value, &why), ERR_INVALID);
        assert_contains(why.text, "tasks.jsonl:12: not valid JSON: line 1");
        assert_null(value);
    }
}

static void fields_of_the_right_kind_are_read(void **state)
{
    (void)state;
    json_t *o =
        good("{\"s\":\"x\",\"i\":-3,\"n\":0.5,\"whole\":2,\"b\":true,\"nul\":\"a\\u0000b\"}");
    struct why why;
    const char *s = NULL;
    int64_t i = 0;
    double n = 0;
    bool b = false;
    assert_int_equal(json_get_str(o, "s", "w", &s, &why), ERR_OK);
    assert_string_equal(s, "x");
    assert_int_equal(json_get_int(o, "i", -3, 3, "w", &i, &why), ERR_OK);
    assert_int_equal(i, -3);
    assert_int_equal(json_get_num(o, "n", 0, 1, "w", &n, &why), ERR_OK);
    assert_true(n == 0.5);
    assert_int_equal(json_get_num(o, "whole", 0, 3, "w", &n, &why), ERR_OK);
    assert_true(n == 2);
    assert_int_equal(json_opt_bool(o, "b", "w", &b, &why), ERR_OK);
    assert_true(b);
    json_decref(o);
}

static void wrong_fields_are_named_with_what_stood_there(void **state)
{
    (void)state;
    json_t *o = good("{\"f\":1.0,\"s\":\"12\",\"big\":65,\"l\":[],\"z\":null,\"long\":\""
                     "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee\"}");
    struct why why;
    int64_t i = 77;
    const char *s = NULL;
    bool b = false;
    assert_int_equal(json_get_int(o, "f", 0, 9, "rows:3", &i, &why), ERR_INVALID);
    assert_string_equal(why.text, "rows:3: \"f\": 1, expected an integer in 0..9");
    assert_int_equal(json_get_int(o, "s", 0, 20, "rows:3", &i, &why), ERR_INVALID);
    assert_contains(why.text, "the string \"12\"");
    assert_int_equal(json_get_int(o, "big", 0, 64, "rows:3", &i, &why), ERR_INVALID);
    assert_contains(why.text, "65, expected an integer in 0..64");
    assert_int_equal(json_get_int(o, "gone", 0, 64, "rows:3", &i, &why), ERR_INVALID);
    assert_contains(why.text, "missing");
    assert_int_equal(json_get_str(o, "l", "rows:3", &s, &why), ERR_INVALID);
    assert_contains(why.text, "a list, expected a string");
    assert_int_equal(json_get_int(o, "long", 0, 64, "rows:3", &i, &why), ERR_INVALID);
    assert_contains(why.text, "dddddddddd...\"");
    assert_int_equal(json_opt_bool(o, "s", "rows:3", &b, &why), ERR_INVALID);
    assert_contains(why.text, "true or false");
    assert_int_equal(i, 77);
    assert_null(s);
    json_decref(o);
}

static void an_absent_or_null_optional_field_changes_nothing(void **state)
{
    (void)state;
    json_t *o = good("{\"z\":null}");
    struct why why;
    const char *s = "kept";
    int64_t i = 5;
    double n = 6;
    bool b = true;
    assert_int_equal(json_opt_str(o, "z", "w", &s, &why), ERR_OK);
    assert_int_equal(json_opt_int(o, "gone", 0, 1, "w", &i, &why), ERR_OK);
    assert_int_equal(json_opt_num(o, "z", 0, 1, "w", &n, &why), ERR_OK);
    assert_int_equal(json_opt_bool(o, "gone", "w", &b, &why), ERR_OK);
    assert_string_equal(s, "kept");
    assert_int_equal(i, 5);
    assert_true(n == 6 && b);
    json_decref(o);
}

static void what_is_not_an_object_has_no_fields(void **state)
{
    (void)state;
    json_t *list = good("[1]");
    struct why why;
    const char *s = NULL;
    assert_int_equal(json_get_str(list, "k", "w", &s, &why), ERR_INVALID);
    assert_contains(why.text, "a list, expected an object");
    assert_int_equal(json_opt_str(list, "k", "w", &s, &why), ERR_INVALID);
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_nested_ten_thousand_deep_is_refused),
        cmocka_unit_test(brackets_in_strings_are_no_depth),
        cmocka_unit_test(what_is_not_json_is_refused_with_its_line),
        cmocka_unit_test(fields_of_the_right_kind_are_read),
        cmocka_unit_test(wrong_fields_are_named_with_what_stood_there),
        cmocka_unit_test(an_absent_or_null_optional_field_changes_nothing),
        cmocka_unit_test(what_is_not_an_object_has_no_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
