// run_test.c: whole runs of `caravan run` with a tiny model, from the first lease to the summary.
#include "tests/system/world.h"

#include <signal.h>

// The plainest story: a run ends, says so, leaves a model behind, and its books balance.
static void a_short_run_ends_complete_and_audits_clean(void **state)
{
    (void)state;
    char *out;
    int rc = world_run(&out, "caravan run run.yaml --set run_dir=plain");
    if (rc != 0) {
        fail_msg("status %d\n%s", rc, out);
    }
    assert_contains(out, "step 6 ");
    assert_contains(out, "The run in plain is complete.");
    assert_contains(out, "held-out ");
    assert_contains(out, "plain/model  (a Hugging Face folder)");
    free(out);
    assert_int_equal(world_steps("plain"), 6);
    free(world_audit_clean("plain"));
    assert_int_equal(world_pipe("{\"ids\":[1,5,9],\"max_tokens\":4}\n", &out,
                                "caravan generate --model plain/model"),
                     0);
    assert_contains(out, "\"finish_reason\"");
    free(out);
    assert_int_equal(world_run(&out, "caravan samples plain --step 3"), 0);
    assert_contains(out, "reward");
    free(out);
    assert_int_equal(world_run(&out, "caravan status plain"), 0);
    assert_contains(out, "consumed");
    free(out);
    assert_int_equal(world_run(&out, "caravan export plain --version 2 --out two"), 0);
    free(out);
    assert_int_equal(world_run(&out, "caravan run run.yaml --set run_dir=plain"), 1);
    assert_contains(out, "there is a run already");
    free(out);
}

// Bit-equality is the project's claim about log-probs; 10,000 tokens would show an exception.
static void a_synchronous_run_agrees_bit_for_bit(void **state)
{
    (void)state;
    char *out;
    int rc = world_run(&out, "caravan run run.yaml --set run_dir=sync --set model.path=talker "
                             "--set rollout.staleness_max=0 "
                             "--set rollout.group_size=8 --set rollout.groups_per_step=8 "
                             "--set rollout.max_tokens=60 --set stop.steps=8 --set data.eval_n=0 "
                             "--set data.train=words.jsonl --set loss.replace_max=0 "
                             "--set actor.slots=32");
    if (rc != 0) {
        fail_msg("status %d\n%s", rc, out);
    }
    free(out);
    free(world_audit_clean("sync"));
    assert_true(world_sum("sync", "logprob_mismatched_tokens") == 0);
    assert_true(world_sum("sync", "logprob_compared_tokens") >= 10000);
}

// Speed is compared at equal lengths: an answer that ends early would make a step look fast.
static void without_an_end_token_all_answers_are_of_full_length(void **state)
{
    (void)state;
    char *out;
    int rc = world_run(&out, "caravan run run.yaml --set run_dir=full --set stop.steps=2 --set "
                             "data.eval_n=0 --set rollout.ignore_eos=true");
    if (rc != 0) {
        fail_msg("status %d\n%s", rc, out);
    }
    free(out);
    assert_int_equal(world_steps("full"), 2);
    assert_true(world_sum("full", "length_mean") == 2 * 8);
    assert_true(world_sum("full", "stop_rate") == 0);
}

// Actor and learner may stand on different machines of one kind; the log-probs must not tell.
static void an_actor_without_vector_instructions_agrees_bit_for_bit(void **state)
{
    (void)state;
    char *out;
    int rc = world_run(&out, "caravan run run.yaml --set run_dir=plainly --set stop.steps=3 --set "
                             "data.eval_n=0 --set actor.device=cpu-portable");
    if (rc != 0) {
        fail_msg("status %d\n%s", rc, out);
    }
    free(out);
    assert_true(world_sum("plainly", "logprob_mismatched_tokens") == 0);
    assert_true(world_sum("plainly", "logprob_compared_tokens") > 0);
    assert_int_equal(world_run(&out, "caravan run run.yaml --set learner.device=gpu"), 1);
    assert_contains(out, "learner.device");
    free(out);
}

struct ages {
    const char *run;
    size_t seen[8];
    double straddling;
    size_t timed;    // steps that say how long their version took to be decoded with
};

static void read_ages(struct ages *a)
{
    char *path = fs_path("%s/metrics.jsonl", a->run), *line = NULL;
    FILE *f = fopen(path, "re");
    size_t cap = 0;
    *a = (struct ages){.run = a->run};
    while (f && getline(&line, &cap, f) > 0) {
        json_t *row = json_loads(line, 0, NULL), *age = json_object_get(row, "age"), *n;
        const char *key;
        json_object_foreach(age, key, n)
        {
            size_t k = strtoul(key, NULL, 10);
            assert_true(k < ARRAY_LEN(a->seen));
            a->seen[k] += (size_t)json_integer_value(n);
        }
        a->straddling += json_number_value(json_object_get(row, "straddling"));
        a->timed += json_is_number(json_object_get(row, "publish_to_decode_ms"));
        json_decref(row);
    }
    if (f) {
        fclose(f);
    }
    free(line);
    free(path);
}

static bool every_age_and_50_straddlers_timed(void *arg)
{
    struct ages *a = arg;
    read_ages(a);
    return a->seen[0] > 0 && a->seen[1] > 0 && a->seen[2] > 0 && a->straddling >= 50 &&
           a->timed > 0;
}

// Answers that see several sets of weights are where version bookkeeping can go wrong: every age up
// to the bound must occur, none above it, and the audit must find the same bits for all of them.
static void a_paced_run_straddles_swaps_and_audits_clean(void **state)
{
    (void)state;
    struct ages a = {.run = "paced"};
    struct process p = world_spawn(
        "caravan run run.yaml --set run_dir=paced --set model.path=talker "
        "--set data.train=words.jsonl --set rollout.staleness_max=2 --set rollout.max_tokens=300 "
        "--set rollout.groups_per_step=4 --set loss.replace_max=0 --set data.eval_n=0 "
        "--set stop.steps=0");
    world_until(every_age_and_50_straddlers_timed, &a,
                "ages 0, 1, 2, 50 straddling samples and publish_to_decode_ms");
    world_signal(&p, SIGINT);
    assert_int_equal(world_wait(&p, 8000), 130);
    read_ages(&a);
    assert_int_equal(a.seen[3], 0);
    char *out = world_audit_clean("paced");
    assert_contains(out, " 0 skipped");
    free(out);
    assert_true(world_sum("paced", "logprob_mismatched_tokens") == 0);
}

static bool top_shows_all_roles(void *arg)
{
    char *out;
    int rc = world_run(&out, "caravan top %s", (const char *)arg);
    bool yes = rc == 0 && strstr(out, "actor-0") != NULL && strstr(out, "verifier-0") != NULL;
    free(out);
    return yes;
}

// What people look at while a run lives, without a terminal.
static void a_living_run_can_be_watched(void **state)
{
    (void)state;
    char *out;
    struct process p = world_spawn("caravan run run.yaml --set run_dir=live --set stop.steps=0");
    world_until_steps("live", 3);
    world_until(top_shows_all_roles, "live", "caravan top shows an actor and a verifier");
    assert_int_equal(world_run(&out, "caravan status live --json"), 0);
    assert_contains(out, "\"phase\"");
    free(out);
    assert_int_equal(world_run(&out, "curl -s --unix-socket live/http.sock http://x/metrics"), 0);
    assert_contains(out, "# TYPE");
    free(out);
    assert_int_equal(world_run(&out, "curl -s --unix-socket live/actor-0.sock http://x/status"), 0);
    assert_contains(out, "\"role\": \"actor\"");
    free(out);
    world_signal(&p, SIGINT);
    assert_int_equal(world_wait(&p, 8000), 130);
    out = world_output(&p);
    assert_contains(out, "caravan run --resume live");
    free(out);
}

// What the defaults leave out: a truncating sampler, a falling learning rate, the KL term, one ratio
// for an answer. The
// books and the log-probs are as clean as ever, and what is off-policy now is said aloud.
static void other_options_audit_clean_too(void **state)
{
    (void)state;
    char *out;
    int rc = world_run(&out, "caravan run run.yaml --set run_dir=other --set rollout.min_p=0.05 "
                             "--set optim.schedule=cosine --set optim.lr_min_ratio=0.1 "
                             "--set optim.warmup_steps=1 --set loss.kl_beta=0.02 "
                             "--set loss.kl_estimator=k2 --set loss.policy=gspo "
                             "--set loss.aggregate=seq_mean --set loss.dual_clip=3");
    if (rc != 0) {
        fail_msg("status %d\n%s", rc, out);
    }
    free(out);
    free(world_audit_clean("other"));
    assert_true(world_sum("other", "logprob_mismatched_tokens") == 0);
    assert_true(world_sum("other", "kl") > 0);
    assert_int_equal(world_run(&out, "grep -c SAMPLER_TRUNCATES other/log/learner.log"), 0);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_run_ends_complete_and_audits_clean),
        cmocka_unit_test(a_synchronous_run_agrees_bit_for_bit),
        cmocka_unit_test(without_an_end_token_all_answers_are_of_full_length),
        cmocka_unit_test(an_actor_without_vector_instructions_agrees_bit_for_bit),
        cmocka_unit_test(a_paced_run_straddles_swaps_and_audits_clean),
        cmocka_unit_test(a_living_run_can_be_watched),
        cmocka_unit_test(other_options_audit_clean_too),
    };
    return cmocka_run_group_tests(tests, world_enter, world_leave);
}
