// batch_test.c: the batch builder: rows, index lists and outs of packed groups.
//
// Sharing a prompt is expressed in index lists alone; a wrong entry lets a token see another's
// keys, which training would not report but learn from.

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/batch.h"

static void assert_ints(const int32_t *got, size_t n, const int32_t *want, size_t n_want)
{
    assert_int_equal(n, n_want);
    assert_memory_equal(got, want, n * sizeof *got);
}
#define ASSERT_INTS(got, n, ...)                                                                   \
    assert_ints(got, n, (const int32_t[]){__VA_ARGS__},                                            \
                sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void completions_share_the_rows_of_their_prompt(void **state)
{
    (void)state;
    struct batch b;
    batch_init(&b);
    const uint32_t prompt[] = {10, 11, 12}, first[] = {20, 21}, second[] = {30};
    const struct batch_completion c[] = {{first, 2}, {second, 1}};
    assert_int_equal(batch_add_group(&b, prompt, 3, c, 2), ERR_OK);
    ASSERT_INTS(b.token, b.n_rows, 10, 11, 12, 20);    // last tokens are targets only
    ASSERT_INTS(b.pos, b.n_rows, 0, 1, 2, 3);
    ASSERT_INTS(b.kv_row, b.n_rows, 0, 1, 2, 3);
    ASSERT_INTS(b.kv_len, b.n_rows, 1, 2, 3, 4);
    ASSERT_INTS(b.kv_off, b.n_rows, 0, 0, 0, 3);
    ASSERT_INTS(b.kv_index, b.n_index, 0, 1, 2, 0, 1, 2, 3);
    ASSERT_INTS(b.out_row, b.n_out, 2, 3, 2);
    ASSERT_INTS(b.target, b.n_out, 20, 21, 30);
    assert_int_equal(batch_group_rows(3, c, 2), 4);
    batch_fini(&b);
}

static void a_second_group_sees_only_itself(void **state)
{
    (void)state;
    struct batch b;
    batch_init(&b);
    const uint32_t prompt[] = {10, 11}, comp[] = {20, 21, 22};
    const struct batch_completion c[] = {{comp, 3}};
    assert_int_equal(batch_add_group(&b, prompt, 2, c, 1), ERR_OK);
    size_t rows = b.n_rows;
    assert_int_equal(batch_add_group(&b, prompt, 2, c, 1), ERR_OK);
    assert_int_equal(b.n_rows, 2 * rows);
    for (size_t r = rows; r < b.n_rows; r++) {
        for (int32_t j = 0; j < b.kv_len[r]; j++) {
            int32_t key = b.kv_index[b.kv_off[r] + j];
            assert_true(key >= (int32_t)rows && key <= (int32_t)r);
            assert_int_equal(b.pos[key], j);    // the j-th key stands at position j
        }
    }
    batch_clear(&b);
    assert_int_equal(b.n_rows + b.n_index + b.n_out, 0);
    batch_fini(&b);
}

static void an_empty_completion_adds_nothing(void **state)
{
    (void)state;
    struct batch b;
    batch_init(&b);
    const uint32_t prompt[] = {10, 11};
    const struct batch_completion c[] = {{NULL, 0}};
    assert_int_equal(batch_add_group(&b, prompt, 2, c, 1), ERR_OK);
    assert_int_equal(b.n_rows, 2);
    assert_int_equal(b.n_out, 0);
    batch_fini(&b);
}

static void a_refused_call_leaves_the_batch_as_it_was(void **state)
{
    (void)state;
    struct batch b;
    batch_init(&b);
    const uint32_t prompt[] = {10, 11};
    assert_int_equal(batch_add_group(&b, prompt, 2, NULL, 0), ERR_OK);
    assert_int_equal(batch_add_group(&b, prompt, 0, NULL, 0), ERR_INVALID);
    assert_int_equal(batch_add_group(&b, prompt, SIZE_MAX, NULL, 0), ERR_LIMIT);
    const struct batch_completion c[] = {{prompt, SIZE_MAX}};
    assert_int_equal(batch_add_group(&b, prompt, 2, c, 1), ERR_LIMIT);
    int32_t off = -7;
    assert_int_equal(batch_add_index(&b, NULL, SIZE_MAX, &off), ERR_LIMIT);
    assert_int_equal(off, -7);
    assert_int_equal(b.n_rows, 2);
    assert_int_equal(b.n_index, 2);
    batch_fini(&b);
}

static void decode_rows_name_any_cache_rows(void **state)
{
    (void)state;
    struct batch b;
    batch_init(&b);
    const int32_t pages[] = {9, 4, 7};
    int32_t off = 0, row = 0;
    assert_int_equal(batch_add_index(&b, pages, 3, &off), ERR_OK);
    assert_int_equal(batch_add_row(&b, 5, 2, 7, off, 3, &row), ERR_OK);
    assert_int_equal(batch_add_out(&b, row, -1), ERR_OK);
    assert_int_equal(batch_add_out(&b, row, -1), ERR_OK);    // the same row twice is two draws
    ASSERT_INTS(b.kv_index, b.n_index, 9, 4, 7);
    ASSERT_INTS(b.kv_row, b.n_rows, 7);
    ASSERT_INTS(b.out_row, b.n_out, 0, 0);
    batch_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completions_share_the_rows_of_their_prompt),
        cmocka_unit_test(a_second_group_sees_only_itself),
        cmocka_unit_test(an_empty_completion_adds_nothing),
        cmocka_unit_test(a_refused_call_leaves_the_batch_as_it_was),
        cmocka_unit_test(decode_rows_name_any_cache_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
