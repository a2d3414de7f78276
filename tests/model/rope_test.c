// rope_test.c: the rotary table is the correctly rounded cosine and sine of every angle, however
// far out the position is; an error there would grow with the length of the context.
#include "model/rope.h"
#include "tests/model/problem.h"

static void rope_table_is_the_correctly_rounded_cos_and_sin(void **state)
{
    (void)state;
    enum { N = 20000, D = 64 };
    static float table[N * D];
    rope_table(N, D, 100000, &(struct rope_scaling){0}, table);
    for (size_t pos = 0; pos < N; pos += 13) {
        for (size_t i = 0; i < D / 2; i++) {
            double angle = (double)pos * pow(100000, -2.0 * (double)i / D);
            // libm's pow is off by some 1e-16 of the exponent, which the position multiplies
            assert_close((double)table[(pos * D / 2 + i) * 2], cos(angle), 3.1e-8, "cos", pos);
            assert_close((double)table[(pos * D / 2 + i) * 2 + 1], sin(angle), 3.1e-8, "sin", pos);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rope_table_is_the_correctly_rounded_cos_and_sin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
