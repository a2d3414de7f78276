// statusview_test.c: what people see of a run, from a /status that may lack anything.
//
// The learner may be older, newer or just starting, so every field can be missing. Expected texts
// are spelled out: what people see is the contract here.
#include "tests/common/check.h"

#include "cli/statusview.h"

static char *spark(const char *values, size_t columns)
{
    struct buf b;
    buf_init(&b, 0);
    json_t *v = json_loads(values, 0, NULL);
    assert_int_equal(spark_append(&b, v, columns), ERR_OK);
    json_decref(v);
    char *text = buf_take(&b);
    assert_non_null(text);
    return text;
}

static void a_trend_line_spans_from_least_to_largest(void **state)
{
    (void)state;
    char *s = spark("[0, 0.5, 1]", 10);
    assert_string_equal(s, "▁▅█");
    free(s);
}

// Noise of a hundredth must not look like a breakthrough.
static void small_changes_look_small(void **state)
{
    (void)state;
    char *s = spark("[0.50, 0.51, 0.50]", 10);
    assert_string_equal(s, "▁▂▁");
    free(s);
}

static void more_values_than_columns_are_averaged(void **state)
{
    (void)state;
    char *s = spark("[0, 0, 1, 1]", 2);
    assert_string_equal(s, "▁█");
    free(s);
}

static void no_values_give_no_line(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(spark_append(&b, NULL, 10), ERR_OK);
    assert_int_equal(b.len, 0);
    buf_fini(&b);
}

static void numbers_and_times_are_short(void **state)
{
    (void)state;
    char t[STATUS_NUMBER_BYTES];
    status_count(t, 0);
    assert_string_equal(t, "0");
    status_count(t, 3.14159);
    assert_string_equal(t, "3.1");
    status_count(t, 412.4);
    assert_string_equal(t, "412");
    status_count(t, 12345);
    assert_string_equal(t, "12.3k");
    status_duration(t, 59.9);
    assert_string_equal(t, "59 s");
    status_duration(t, 252);
    assert_string_equal(t, "4:12");
    status_duration(t, 3852);
    assert_string_equal(t, "1:04:12");
}

static void a_value_is_found_by_its_path(void **state)
{
    (void)state;
    json_t *o = json_pack("{s:{s:{s:f}}, s:s}", "a", "b", "c", 2.5, "name", "x");
    assert_true(status_num(o, "a.b.c") == 2.5);
    assert_true(status_num(o, "a.b.d") == 0);
    assert_string_equal(status_str(o, "name"), "x");
    assert_string_equal(status_str(o, "a.name"), "");
    json_decref(o);
}

// An older learner, or one that has just started, leaves fields out.
static void an_empty_status_prints_without_a_crash(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    json_t *o = json_object();
    assert_int_equal(status_print(&b, o, true), ERR_OK);
    assert_contains((char *)b.data, "no step yet");
    json_decref(o);
    buf_fini(&b);
}

static void waits_that_are_overdue_are_always_shown(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    json_t *o = json_loads("{\"waits\":[{\"who\":\"learner\",\"what\":\"an actor\",\"since_s\":61,"
                           "\"overdue\":true},{\"who\":\"learner\",\"what\":\"nothing much\","
                           "\"since_s\":1,\"overdue\":false}]}",
                           0, NULL);
    assert_int_equal(status_print(&b, o, false), ERR_OK);
    assert_contains((char *)b.data, "OVERDUE    learner waits for an actor (61.0 s)");
    assert_null(strstr((char *)b.data, "nothing much"));
    json_decref(o);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trend_line_spans_from_least_to_largest),
        cmocka_unit_test(small_changes_look_small),
        cmocka_unit_test(more_values_than_columns_are_averaged),
        cmocka_unit_test(no_values_give_no_line),
        cmocka_unit_test(numbers_and_times_are_short),
        cmocka_unit_test(a_value_is_found_by_its_path),
        cmocka_unit_test(an_empty_status_prints_without_a_crash),
        cmocka_unit_test(waits_that_are_overdue_are_always_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
