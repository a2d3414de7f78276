// reward_policy_test.c: what of a run's configuration travels with its scoring jobs.
#include "tests/common/check.h"

#include "learner/reward_policy.h"

static struct conf conf_of(const char *const keys[][2], size_t n)
{
    struct conf c;
    struct why why = {{0}};
    conf_defaults(&c);
    for (size_t i = 0; i < n; i++) {
        if (conf_set(&c, keys[i][0], keys[i][1], "test", &why)) {
            fail_msg("%s", why.text);
        }
    }
    return c;
}

static struct reward_policy policy_of(const char *const keys[][2], size_t n)
{
    struct conf c = conf_of(keys, n);
    struct reward_policy p;
    struct why why = {{0}};
    if (reward_policy_init(&c, &p, &why)) {
        fail_msg("%s", why.text);
    }
    return p;
}

static void defaults_travel_as_nothing(void **state)
{
    (void)state;
    struct reward_policy p = policy_of(NULL, 0);
    assert_string_equal(p.train, "");
    assert_string_equal(p.eval, "");
    assert_string_equal(p.needs, "");
    reward_policy_fini(&p);
}

// An evaluation is a measurement: a format bonus or a length penalty would blur what it says.
static void evaluations_combine_but_are_not_shaped(void **state)
{
    (void)state;
    static const char *const keys[][2] = {
        {"reward.combine", "mean"},
        {"reward.scale", "10"},
        {"reward.truncated", "fixed"},
        {"reward.shaping", "[{\"id\":\"shape:stopped\",\"weight\":0.5},{\"id\":\"x:y\"}]"},
    };
    struct reward_policy p = policy_of(keys, ARRAY_LEN(keys));
    assert_string_equal(p.eval, "{\"combine\":\"mean\"}");
    assert_string_equal(p.train,
                        "{\"combine\":\"mean\",\"scale\":10.0,\"unstopped\":-10.0,\"shaping\":["
                        "{\"id\":\"shape:stopped\",\"weight\":0.5},{\"id\":\"x:y\"}]}");
    assert_string_equal(p.needs, "shape:stopped\nx:y");
    reward_policy_fini(&p);
}

static void shaping_without_ids_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"{}", "[", "[7]", "[{\"id\":\"\"}]", "[{\"id\":\"a\\nb\"}]"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct conf c = conf_of(NULL, 0);
        struct reward_policy p;
        struct why why = {{0}};
        (void)snprintf(c.shaping, sizeof c.shaping, "%s", bad[i]);
        assert_int_not_equal(reward_policy_init(&c, &p, &why), ERR_OK);
        assert_contains(why.text, "reward.shaping");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_travel_as_nothing),
        cmocka_unit_test(evaluations_combine_but_are_not_shaped),
        cmocka_unit_test(shaping_without_ids_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
