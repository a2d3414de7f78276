// advantage_test.c: claims about group-relative advantages.
//
// Advantages are the only way a reward reaches the weights. The exact zeros matter: a group of
// equal rewards is recognised by them. Larger sets of reference numbers are used where
// CARAVAN_REFERENCE is set.

#include "learner/advantage.h"

#include "reference.h"

// The sign of a zero mean must not matter, nor rounding of the mean: such groups are left out of
// training.
static void equal_rewards_carry_no_signal(void **state)
{
    (void)state;
    const double rewards[] = {0.1, 0.1, 0.1, 0.1, 0.1, 0.1};
    double out[6];
    for (int kind = CONF_ADV_MEAN; kind <= CONF_ADV_MEAN_STD; kind++) {
        assert_false(advantage_group((enum conf_advantage)kind, rewards, 6, out));
        for (size_t i = 0; i < 6; i++) {
            assert_true(out[i] == 0 && !signbit(out[i]));
        }
    }
}

static void a_single_sample_has_no_advantage(void **state)
{
    (void)state;
    const double reward = 1;
    double out = 7;
    assert_false(advantage_group(CONF_ADV_MEAN_STD, &reward, 1, &out));
    assert_true(out == 0);
}

static void advantages_are_centred(void **state)
{
    (void)state;
    const double rewards[] = {1, 0, 0, 0};
    double out[4];
    assert_true(advantage_group(CONF_ADV_MEAN, rewards, 4, out));
    assert_true(out[0] == 0.75 && out[1] == -0.25 && out[2] == -0.25 && out[3] == -0.25);
}

// mean/std gives a prompt that is almost always solved the same weight as one at even odds.
static void standard_deviation_evens_out_difficulty(void **state)
{
    (void)state;
    const double rewards[] = {1, 0, 0, 0};
    double out[4], squares = 0;
    assert_true(advantage_group(CONF_ADV_MEAN_STD, rewards, 4, out));
    assert_close(out[0], 1.7320507675688803, 1e-10, "advantage", 0);
    for (size_t i = 0; i < 4; i++) {
        squares += out[i] * out[i];
    }
    assert_close(squares / 4, 1, 1e-7, "variance", 0);
}

static void agrees_with_reference(void **state)
{
    (void)state;
    json_t *root = reference_load("losses/advantages.json");
    json_t *groups = json_object_get(root, "groups");
    assert_true(json_array_size(groups) > 0);
    for (size_t g = 0; g < json_array_size(groups); g++) {
        json_t *group = json_array_get(groups, g);
        double scores[256], centred[256], scaled[256], out[256];
        size_t n = golden_flatten(json_object_get(group, "scores"), scores, 256);
        golden_flatten(json_object_get(group, "centered"), centred, 256);
        golden_flatten(json_object_get(group, "std_population"), scaled, 256);
        bool zero = json_is_true(json_object_get(group, "zero_spread"));
        assert_true(advantage_group(CONF_ADV_MEAN, scores, n, out) != zero);
        for (size_t i = 0; i < n; i++) {
            assert_close(out[i], centred[i], 1e-10, "centered", g * 1000 + i);
        }
        assert_true(advantage_group(CONF_ADV_MEAN_STD, scores, n, out) != zero);
        for (size_t i = 0; i < n; i++) {
            assert_close(out[i], scaled[i], 1e-10, "std_population", g * 1000 + i);
        }
    }
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_rewards_carry_no_signal),
        cmocka_unit_test(a_single_sample_has_no_advantage),
        cmocka_unit_test(advantages_are_centred),
        cmocka_unit_test(standard_deviation_evens_out_difficulty),
        cmocka_unit_test(agrees_with_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
