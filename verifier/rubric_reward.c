// rubric_reward.c: the reward policy of a run: how values combine, what an answer that was cut short
// gets, and checks that shape every row's reward.
//
// The policy comes from the run's configuration, not from data, but it travels as text like
// everything else and is read with the same suspicion. Keys: score.h.
#include "verifier/rubric.h"

#include <math.h>
#include <string.h>

#define REWARD_MAX 1e6

static double number(struct rubric_reader *p, const json_t *policy, const char *key,
                     double fallback)
{
    const json_t *v = json_object_get(policy, key);
    if (!v || json_is_null(v)) {
        return fallback;
    }
    if (!json_is_number(v) || !(fabs(json_number_value(v)) <= REWARD_MAX)) {
        scratch_fail(p->scratch, ERR_INVALID, "reward: %s: expected a number of at most 1e6", key);
    }
    return json_number_value(v);
}

static void read_combine(struct rubric_reader *p, const json_t *v)
{
    static const char *const names[] = {
        [RUBRIC_ALL] = "all", [RUBRIC_MEAN] = "mean", [RUBRIC_SUM] = "sum"};
    if (!v || json_is_null(v)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (json_is_string(v) && strcmp(json_string_value(v), names[i]) == 0) {
            p->has_fold = true;
            p->fold = (enum rubric_fold)i;
            return;
        }
    }
    scratch_fail(p->scratch, ERR_INVALID, "reward: combine: expected all, mean or sum");
}

void rubric_reward(struct rubric_reader *p, const json_t *policy)
{
    static const char *const keys[] = {"combine", "scale", "unstopped", "shaping"};
    if (!policy || json_is_null(policy)) {
        return;
    }
    if (!json_is_object(policy)) {
        scratch_fail(p->scratch, ERR_INVALID, "reward: expected an object");
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)policy, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
            known = known || strcmp(key, keys[i]) == 0;
        }
        if (!known) {
            scratch_fail(p->scratch, ERR_INVALID,
                         "reward: %.40s: unknown key, expected combine, scale, unstopped or "
                         "shaping",
                         key);
        }
    }
    read_combine(p, json_object_get(policy, "combine"));
    p->rubric.scale = number(p, policy, "scale", 1);
    p->rubric.unstopped = number(p, policy, "unstopped", NAN);
    p->rubric.replaces_unstopped = !isnan(p->rubric.unstopped);
}

void rubric_shaping(struct rubric_reader *p, const json_t *policy)
{
    const json_t *list = json_object_get(policy, "shaping");
    if (!list || json_is_null(list)) {
        return;
    }
    if (!json_is_array(list)) {
        scratch_fail(p->scratch, ERR_INVALID, "reward: shaping: expected a list of checks");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        rubric_open_group(p, RUBRIC_SUM)->fold = RUBRIC_SUM;
        rubric_check(p, json_array_get(list, i), NULL);
    }
}
