// mathfun_test.c: exp and log are part of the numbers that actor and learner must agree on; their
// accuracy is stated in mathfun.h and held here.
//
// The accuracy of exp is measured against double precision over the whole range that is used, log
// likewise; the edges (NaN, overflow, zero) are fixed values that no path may change.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cpu/mathfun.h"
#include "kernels/device.h"

static double ulp_of(double x)
{
    return ldexp(1.0, ilogb(x) - 23);
}

static void exp_is_within_1_05_ulp(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int i = 0; i < 400000; i++) {
        float x = -87.3f + 175.6f * (float)i / 400000.0f;
        double want = exp((double)x);
        worst = fmax(worst, fabs((double)mathfun_exp(x) - want) / ulp_of(want));
    }
    print_message("exp: largest error %.3f ulp\n", worst);
    assert_true(worst < 1.05);
}

// softmax needs exp(0) = 1 exactly: the largest token's weight.
static void exp_at_its_edges(void **state)
{
    (void)state;
    assert_true(mathfun_exp(0.0f) == 1.0f);
    assert_true(mathfun_exp(-INFINITY) == 0.0f);
    assert_true(mathfun_exp(-88.0f) == 0.0f);
    assert_true(mathfun_exp(INFINITY) > 2e38f);
    assert_true(isnan(mathfun_exp(NAN)));
}

static void log_is_accurate_to_its_last_digits(void **state)
{
    (void)state;
    for (int i = 1; i < 200000; i++) {
        double x = ldexp(0.5 + (double)i / 200000.0, i % 250 - 120);
        double want = log(x), got = mathfun_log(x);
        assert_true(fabs(got - want) <= 4e-16 * fabs(want) + 2e-16);
    }
    assert_true(mathfun_log(1.0) == 0.0);
    assert_true(isinf(mathfun_log(0.0)));
    assert_true(isinf(mathfun_log((double)INFINITY)));
    assert_true(isnan(mathfun_log((double)NAN)));
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(bf16_from_f32(1.0f), 0x3f80);
    assert_int_equal(bf16_from_f32(vec_from_bits(0x3f808000)), 0x3f80);    // tie: to even
    assert_int_equal(bf16_from_f32(vec_from_bits(0x3f818000)), 0x3f82);    // tie: to even, upwards
    assert_int_equal(bf16_from_f32(vec_from_bits(0x3f808001)), 0x3f81);
    assert_int_equal(bf16_from_f32(vec_from_bits(0x7f7fffff)), 0x7f80);    // overflows to infinity
    assert_int_equal(bf16_from_f32(-INFINITY), 0xff80);
    assert_true(isnan(bf16_to_f32(bf16_from_f32(vec_from_bits(0x7f800001)))));
    for (uint32_t u = 0; u < 0x7f80; u++) {
        assert_int_equal(bf16_from_f32(bf16_to_f32((uint16_t)u)), u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_1_05_ulp),
        cmocka_unit_test(exp_at_its_edges),
        cmocka_unit_test(log_is_accurate_to_its_last_digits),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
