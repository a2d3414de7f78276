// pages_test.c: claims about the page allocator.
//
// Two owners of one cache row would mix the keys of two samples without any error to see; half an
// allocation could wait for ever for its other half.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "actor/pages.h"

// Two owners of one row would mix two samples' keys.
static void no_row_has_two_owners(void **state)
{
    (void)state;
    struct pages p;
    struct page_list a, b;
    assert_int_equal(pages_init(&p, 4 * PAGE_ROWS), ERR_OK);
    assert_int_equal(pages_take(&p, PAGE_ROWS + 1, &a), ERR_OK);
    assert_int_equal(pages_take(&p, 2 * PAGE_ROWS, &b), ERR_OK);
    char seen[4 * PAGE_ROWS] = {0};
    for (size_t i = 0; i < 2 * PAGE_ROWS; i++) {
        assert_false(seen[page_row(&a, i)]++);
        assert_false(seen[page_row(&b, i)]++);
    }
    pages_give(&p, &a);
    pages_give(&p, &b);
    pages_fini(&p);
}

// A half-served sample could neither run nor wait.
static void taking_is_all_or_nothing(void **state)
{
    (void)state;
    struct pages p;
    struct page_list a, b = {0};
    assert_int_equal(pages_init(&p, 3 * PAGE_ROWS + 5), ERR_OK);
    assert_int_equal(p.n_total, 3);
    assert_int_equal(pages_take(&p, 2 * PAGE_ROWS, &a), ERR_OK);
    assert_int_equal(pages_take(&p, 2 * PAGE_ROWS, &b), ERR_FULL);
    assert_int_equal(p.n_free, 1);
    assert_null(b.page);
    pages_give(&p, &a);
    assert_int_equal(pages_take(&p, 3 * PAGE_ROWS, &b), ERR_OK);
    pages_give(&p, &b);
    pages_fini(&p);
}

// One-token completions need no rows at all.
static void nothing_costs_nothing(void **state)
{
    (void)state;
    struct pages p;
    struct page_list a;
    assert_int_equal(pages_init(&p, PAGE_ROWS), ERR_OK);
    assert_int_equal(pages_take(&p, 0, &a), ERR_OK);
    assert_int_equal(p.n_free, 1);
    pages_give(&p, &a);
    pages_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_row_has_two_owners),
        cmocka_unit_test(taking_is_all_or_nothing),
        cmocka_unit_test(nothing_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
