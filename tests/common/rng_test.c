// rng_test.c: Philox equals its published vectors, so a sample drawn today can be drawn again by
// any build.

#include "tests/common/check.h"

#include "common/rng.h"

// Known-answer vectors of Random123 for philox4x32 with 10 rounds.
static void philox_gives_the_published_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t key, lo, hi;
        uint32_t want[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x85a308d3243f6a88,
         0x0370734413198a2e,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rng_block b = rng_philox(cases[i].key, cases[i].lo, cases[i].hi);
        assert_memory_equal(b.v, cases[i].want, sizeof b.v);
    }
}

static void a_tokens_number_is_the_top_24_bits_of_its_block(void **state)
{
    (void)state;
    assert_true(rng_token_uniform(0, 0, 0) == (float)0x6627e8 / 16777216.0f);
    for (uint32_t pos = 0; pos < 1000; pos++) {
        float u = rng_token_uniform(7, 1ull << 40, pos);
        struct rng_block b = rng_philox(7, 1ull << 40, pos);
        assert_true(u >= 0.0f && u < 1.0f);
        assert_true((double)u * 16777216.0 == (double)(b.v[0] >> 8));
    }
}

// Shuffles use the run's seed too; they must not reuse the numbers that decide tokens.
static void a_stream_is_not_the_token_numbers(void **state)
{
    (void)state;
    struct rng r = rng_make(5, 0);
    struct rng_block token = rng_philox(5, 0, 0);
    assert_int_not_equal(rng_u32(&r), token.v[0]);
}

static void streams_repeat_and_differ_from_one_another(void **state)
{
    (void)state;
    struct rng a = rng_make(1, 2), again = rng_make(1, 2), other = rng_make(1, 3);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        uint32_t x = rng_u32(&a);
        assert_int_equal(x, rng_u32(&again));
        same += x == rng_u32(&other);
    }
    assert_int_equal(same, 0);
}

static void below_is_in_range_and_even(void **state)
{
    (void)state;
    struct rng r = rng_make(9, 0);
    int count[6] = {0};
    for (int i = 0; i < 60000; i++) {
        uint32_t v = rng_below(&r, 6);
        assert_true(v < 6);
        count[v]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 6; i++) {
        chi2 += (count[i] - 10000.0) * (count[i] - 10000.0) / 10000.0;
    }
    assert_true(chi2 < 20.5);    // 0.1 % point of chi-square with 5 degrees of freedom
    assert_int_equal(rng_below(&r, 1), 0);
    for (int i = 0; i < 1000; i++) {
        assert_true(rng_below(&r, 0x80000001u) <= 0x80000000u);
    }
}

static void doubles_fill_the_unit_interval(void **state)
{
    (void)state;
    struct rng r = rng_make(11, 4);
    double sum = 0, least = 1, most = 0;
    for (int i = 0; i < 10000; i++) {
        double x = rng_f64(&r);
        assert_true(x >= 0 && x < 1);
        sum += x;
        least = MIN(least, x);
        most = MAX(most, x);
    }
    assert_true(sum > 4900 && sum < 5100);
    assert_true(least < 0.01 && most > 0.99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(a_tokens_number_is_the_top_24_bits_of_its_block),
        cmocka_unit_test(a_stream_is_not_the_token_numbers),
        cmocka_unit_test(streams_repeat_and_differ_from_one_another),
        cmocka_unit_test(below_is_in_range_and_even),
        cmocka_unit_test(doubles_fill_the_unit_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
