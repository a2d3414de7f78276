// jsonl_test.c: reading lines from hostile input.
//
// A script sends thousands of lines; one bad line must cost itself only, be named by its number,
// and not exhaust memory, however long it is.
#include "tests/common/check.h"

#include "cli/jsonl.h"

static FILE *input(const char *text, size_t len)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    rewind(f);
    return f;
}

static void lines_are_numbered_and_the_last_needs_no_newline(void **state)
{
    (void)state;
    struct jsonl_reader r;
    struct why why;
    json_t *v;
    const char text[] = "\n{\"a\":1}\n \r\n{\"a\":2}";
    FILE *f = input(text, sizeof text - 1);
    jsonl_reader_init(&r, f, "in");
    assert_int_equal(jsonl_next(&r, &v, &why), ERR_OK);
    assert_int_equal(r.number, 2);
    json_decref(v);
    assert_int_equal(jsonl_next(&r, &v, &why), ERR_OK);
    assert_int_equal(r.number, 4);
    json_decref(v);
    assert_int_equal(jsonl_next(&r, &v, &why), ERR_CLOSED);
    jsonl_reader_fini(&r);
    fclose(f);
}

// One endless line must cost itself, not the machine's memory, and not the lines after it.
static void a_line_over_the_limit_is_passed_over(void **state)
{
    (void)state;
    struct jsonl_reader r;
    struct why why;
    json_t *v;
    const char text[] = "{\"a\":\"0123456789012345678901234567890123456789\"}\n{\"a\":2}\n";
    FILE *f = input(text, sizeof text - 1);
    jsonl_reader_init(&r, f, "in");
    r.line.max = 16;
    assert_int_equal(jsonl_next(&r, &v, &why), ERR_LIMIT);
    assert_contains(why.text, "in:1");
    assert_int_equal(jsonl_next(&r, &v, &why), ERR_OK);
    json_decref(v);
    jsonl_reader_fini(&r);
    fclose(f);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    (void)state;
    struct jsonl_reader r;
    struct why why;
    json_t *v;
    const char text[] = "{\"a\":\"\xff\"}\n\0\n{\"a\":1}{\n";
    FILE *f = input(text, sizeof text - 1);
    jsonl_reader_init(&r, f, "in");
    for (int i = 0; i < 3; i++) {
        assert_int_not_equal(jsonl_next(&r, &v, &why), ERR_OK);
    }
    assert_int_equal(jsonl_next(&r, &v, &why), ERR_CLOSED);
    jsonl_reader_fini(&r);
    fclose(f);
}

static void ids_outside_the_vocabulary_are_named(void **state)
{
    (void)state;
    struct why why;
    uint32_t *ids;
    size_t n;
    static const char *const bad[] = {"{\"ids\":[1,10]}",  "{\"ids\":[-1,1]}",
                                      "{\"ids\":[1,2.0]}", "{\"ids\":[1,\"2\"]}",
                                      "{\"ids\":{}}",      "{}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *v = json_loads(bad[i], 0, NULL);
        assert_int_equal(jsonl_get_ids(v, "in:1", 10, 1, &ids, &n, &why), ERR_INVALID);
        assert_contains(why.text, "in:1: ids");
        json_decref(v);
    }
    json_t *v = json_loads("{\"ids\":[0,9]}", 0, NULL);
    assert_int_equal(jsonl_get_ids(v, "in:1", 10, 1, &ids, &n, &why), ERR_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[1], 9);
    free(ids);
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_numbered_and_the_last_needs_no_newline),
        cmocka_unit_test(a_line_over_the_limit_is_passed_over),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(ids_outside_the_vocabulary_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
