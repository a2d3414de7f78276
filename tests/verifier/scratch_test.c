// scratch_test.c: memory that ends with its job, and failures that end where they should.
#include "tests/verifier/support.h"

#include "verifier/scratch.h"

static void count_up(void *n)
{
    ++*(int *)n;
}

struct attempt {
    struct scratch *scratch;
    int cleaned;
    size_t bytes;
};

static void take_too_much(void *arg)
{
    struct attempt *a = arg;
    scratch_defer(a->scratch, count_up, &a->cleaned);
    memset(scratch_alloc(a->scratch, a->bytes), 1, a->bytes);
    (void)scratch_array(a->scratch, SIZE_MAX / 2, 4);
    fail();
}

static void running_out_is_a_failure_with_a_text(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s, 8u << 20);
    struct attempt a = {.scratch = &s, .bytes = 3u << 20};
    for (int i = 1; i <= 3; i++) {
        struct why why = {{0}};
        assert_int_equal(scratch_run(&s, take_too_much, &a, &why), ERR_LIMIT);
        assert_string_equal(why.text, "the check needs more than 8 MiB");
        assert_int_equal(a.cleaned, i - 1);
        scratch_reset(&s);
        assert_int_equal(a.cleaned, i);
    }
    scratch_fini(&s);
}

static void fail_inside(void *arg)
{
    scratch_fail(arg, ERR_INVALID, "inner %d", 7);
}

static void fail_outside(void *arg)
{
    struct why why = {{0}};
    enum err e = scratch_run(arg, fail_inside, arg, &why);
    assert_string_equal(why.text, "inner 7");
    scratch_fail(arg, e, "outer: %s", why.text);
}

// Callers put the place in front of a failure's text by running a part of the work on its own.
static void a_failure_ends_the_innermost_run(void **state)
{
    (void)state;
    struct scratch s;
    struct why why = {{0}};
    scratch_init(&s, 1u << 20);
    assert_int_equal(scratch_run(&s, fail_outside, &s, &why), ERR_INVALID);
    assert_string_equal(why.text, "outer: inner 7");
    assert_null(s.exit);
    scratch_fini(&s);
}

static void growing_keeps_what_was_there(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s, 64u << 20);
    size_t cap = 0, *v = NULL;
    for (size_t n = 0; n < 100000; n++) {
        v = scratch_grow(&s, v, n, n + 1, &cap, sizeof *v);
        v[n] = n * n;
    }
    for (size_t n = 0; n < 100000; n++) {
        assert_int_equal(v[n], n * n);
    }
    scratch_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_out_is_a_failure_with_a_text),
        cmocka_unit_test(a_failure_ends_the_innermost_run),
        cmocka_unit_test(growing_keeps_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
