// buf_test.c: growth, the limit, and who owns the memory.

#include "tests/common/check.h"

#include "common/buf.h"

static void appended_bytes_come_back_in_order(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf_printf(&b, "%d,", i % 10), ERR_OK);
    }
    assert_int_equal(b.len, 20000);
    assert_memory_equal(b.data, "0,1,2,3,", 8);
    assert_int_equal(b.data[b.len], 0);
    buf_fini(&b);
}

static void growth_past_the_limit_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    assert_int_equal(buf_append(&b, "12345678", 8), ERR_OK);
    assert_int_equal(buf_append(&b, "9", 1), ERR_LIMIT);
    assert_int_equal(buf_printf(&b, "x"), ERR_LIMIT);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_LIMIT);
    assert_int_equal(b.len, 8);
    assert_string_equal((char *)b.data, "12345678");
    buf_fini(&b);
}

static void taken_memory_belongs_to_the_caller(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    char *empty = buf_take(&b);
    assert_string_equal(empty, "");
    free(empty);
    assert_int_equal(buf_append(&b, "abc", 3), ERR_OK);
    char *text = buf_take(&b);
    assert_int_equal(b.len, 0);
    assert_null(b.data);
    assert_string_equal(text, "abc");
    free(text);
    buf_fini(&b);
}

static void a_zeroed_buffer_is_an_empty_one(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_fini(&b);
    assert_int_equal(buf_append(&b, NULL, 0), ERR_OK);
    assert_int_equal(buf_append(&b, "x", 1), ERR_OK);
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal((char *)b.data, "");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_bytes_come_back_in_order),
        cmocka_unit_test(growth_past_the_limit_is_refused_and_changes_nothing),
        cmocka_unit_test(taken_memory_belongs_to_the_caller),
        cmocka_unit_test(a_zeroed_buffer_is_an_empty_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
