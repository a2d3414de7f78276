// err_test.c: the text a tired human reads is complete, on one line and never overflows.

#include "tests/common/check.h"

#include "common/err.h"

static void every_code_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int a = ERR_OK; a <= ERR_FULL; a++) {
        assert_true(strlen(err_text((enum err)a)) > 0);
        for (int b = ERR_OK; b < a; b++) {
            assert_string_not_equal(err_text((enum err)a), err_text((enum err)b));
        }
    }
    assert_non_null(err_text((enum err)9999));
}

static void a_why_returns_its_code_and_needs_no_place(void **state)
{
    (void)state;
    struct why why;
    assert_int_equal(why_set(&why, ERR_LIMIT, "%s: %d", "x", 7), ERR_LIMIT);
    assert_string_equal(why.text, "x: 7");
    assert_int_equal(why_set(NULL, ERR_IO, "x"), ERR_IO);
    assert_int_equal(why_prefix(NULL, ERR_IO, "x"), ERR_IO);
}

static void a_prefix_says_where_it_happened(void **state)
{
    (void)state;
    struct why why;
    (void)why_set(&why, ERR_INVALID, "reason");
    assert_int_equal(why_prefix(&why, ERR_INVALID, "file:%d", 3), ERR_INVALID);
    assert_string_equal(why.text, "file:3: reason");
}

// Names from outside may be of any length and contain line breaks or terminal escapes.
static void hostile_text_is_cut_and_stays_on_one_line(void **state)
{
    (void)state;
    struct why why;
    char big[5000];
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    (void)why_set(&why, ERR_INVALID, "%s", big);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    (void)why_prefix(&why, ERR_INVALID, "%s", big);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    (void)why_set(&why, ERR_INVALID, "a\nb\x1b[2Jc");
    assert_string_equal(why.text, "a?b?[2Jc");
}

static void a_why_may_quote_itself(void **state)
{
    (void)state;
    struct why why;
    (void)why_set(&why, ERR_INVALID, "inner");
    (void)why_set(&why, ERR_INVALID, "outer (%s)", why.text);
    assert_string_equal(why.text, "outer (inner)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_text_of_its_own),
        cmocka_unit_test(a_why_returns_its_code_and_needs_no_place),
        cmocka_unit_test(a_prefix_says_where_it_happened),
        cmocka_unit_test(hostile_text_is_cut_and_stays_on_one_line),
        cmocka_unit_test(a_why_may_quote_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
