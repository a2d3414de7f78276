// coordinator_stats.c: figures of a batch (for metrics.jsonl and the ledger) and of an evaluation.
//
// In: the groups of a batch, or the scored samples of an evaluation, as the coordinator holds them
// in memory. Out: JSON objects whose members coordinator.h lists. Only figures: nothing here
// decides what is trained. Loop thread, in memory.
#include "learner/coordinator_internal.h"

// Adds a reward to {kind: {"n", "sum"}}.
static bool add_kind(json_t *kinds, struct msg_text kind, double reward)
{
    json_t *key = kind.len > 0 ? json_stringn(kind.data, kind.len) : json_string("other");
    if (key == NULL) {
        key = json_string("other");    // not UTF-8
    }
    const char *name = json_string_value(key);
    if (name == NULL) {
        return false;
    }
    json_t *k = json_object_get(kinds, name);
    if (k == NULL) {
        k = json_pack("{s:i, s:f}", "n", 0, "reward", 0.0);
        if (json_object_set_new(kinds, name, k) != 0) {
            json_decref(key);
            return false;
        }
    }
    int rc =
        json_object_set_new(k, "n", json_integer(json_integer_value(json_object_get(k, "n")) + 1));
    rc |= json_object_set_new(k, "reward",
                              json_real(json_real_value(json_object_get(k, "reward")) + reward));
    json_decref(key);
    return rc == 0;
}

// From sums to means.
static void finish_kinds(json_t *kinds)
{
    const char *name;
    json_t *k;
    json_object_foreach(kinds, name, k)
    {
        json_int_t n = json_integer_value(json_object_get(k, "n"));
        (void)json_object_set_new(
            k, "reward", json_real(json_real_value(json_object_get(k, "reward")) / (double)n));
    }
}

static bool add_age(json_t *ages, uint64_t age)
{
    char key[24];
    (void)snprintf(key, sizeof key, "%llu", (unsigned long long)age);
    return json_object_set_new(
               ages, key, json_integer(json_integer_value(json_object_get(ages, key)) + 1)) == 0;
}

json_t *coordinator_batch_stats(const struct coordinator *c, struct group *const *groups, size_t n,
                                uint64_t version)
{
    json_t *kinds = json_object(), *ages = json_object();
    uint64_t samples = 0, tokens = 0, stopped = 0, fresh = 0, kept = 0, straddling = 0,
             length_max = 0;
    double reward = 0.0;
    bool good = kinds != NULL && ages != NULL;
    for (size_t g = 0; g < n; g++) {
        kept += groups[g]->zero_spread;
        for (uint32_t i = 0; i < groups[g]->row.n_samples; i++) {
            const struct sample *s = &groups[g]->samples[i];
            if (s->state != LEDGER_SCORED) {
                continue;
            }
            const struct ledger_receipt *r = &s->receipt;
            samples++;
            tokens += r->n_tokens;
            length_max = MAX(length_max, (uint64_t)r->n_tokens);
            stopped += r->finish == MSG_FINISH_STOP;
            fresh += r->oldest_version == version && r->newest_version == version;
            straddling += r->oldest_version != r->newest_version;
            reward += s->reward;
            good = good && add_kind(kinds, groups[g]->row.kind, s->reward) &&
                   add_age(ages, version - r->oldest_version);
        }
    }
    finish_kinds(kinds);
    double count = samples > 0 ? (double)samples : 1.0;
    json_t *out = json_pack(
        "{s:I, s:I, s:I, s:f, s:o, s:f, s:I, s:f, s:I, s:o, s:I, s:I, s:I, s:I, s:I}", "groups",
        (json_int_t)n, "samples", (json_int_t)samples, "tokens", (json_int_t)tokens,
        "batch_reward_mean", reward / count, "reward_by_kind", kinds, "length_mean",
        (double)tokens / count, "length_max", (json_int_t)length_max, "stop_rate",
        (double)stopped / count, "truncated", (json_int_t)(samples - stopped), "age", ages, "fresh",
        (json_int_t)fresh, "straddling", (json_int_t)straddling, "zero_spread",
        (json_int_t)c->totals.zero_spread, "replaced", (json_int_t)c->replaced, "kept_zero_spread",
        (json_int_t)kept);
    double all = (double)(samples + c->replaced_samples);
    good =
        good && out != NULL &&
        json_object_set_new(out, "reward_mean",
                            json_real(all > 0.0 ? (reward + c->replaced_reward) / all : 0.0)) == 0;
    if (!good) {
        json_decref(out);
        return NULL;
    }
    return out;
}

json_t *coordinator_eval_stats(const struct coordinator *c, uint64_t eval_id, uint64_t *n_scored,
                               double *reward_mean)
{
    json_t *kinds = json_object();
    uint64_t n = 0;
    double sum = 0.0;
    bool good = kinds != NULL;
    for (size_t g = 0; g < c->n_groups; g++) {
        const struct group *group = c->groups[g];
        for (uint32_t i = 0; group->row.eval_id == eval_id && i < group->row.n_samples; i++) {
            if (group->samples[i].state == LEDGER_SCORED) {
                n++;
                sum += group->samples[i].reward;
                good = good && add_kind(kinds, group->row.kind, group->samples[i].reward);
            }
        }
    }
    if (!good) {
        json_decref(kinds);
        return NULL;
    }
    finish_kinds(kinds);
    *n_scored = n;
    *reward_mean = n > 0 ? sum / (double)n : 0.0;
    return kinds;
}
