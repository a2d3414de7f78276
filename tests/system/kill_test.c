// kill_test.c: SIGKILL of every role and of the supervisor in the middle of a run, and of the
// learner at its ledger's writes. After each the run goes on, and the books say that nothing was
// lost twice.
#include "tests/system/world.h"

#include <signal.h>

static bool all_children_gone(void *arg)
{
    const pid_t *pid = arg;
    return !world_alive(pid[0]) && !world_alive(pid[1]) && !world_alive(pid[2]);
}

static void ends_complete(struct process *p, const char *run, const char *said)
{
    int rc = world_wait(p, WORLD_DEADLINE_MS);
    char *out = world_output(p);
    if (rc != 0) {
        print_message("%s\n", out);
        world_print_ends_of_logs();
        fail_msg("status %d", rc);
    }
    assert_contains(out, "complete.");
    if (said) {
        assert_contains(out, said);
    }
    free(out);
    free(world_audit_clean(run));
}

// Kills one child after `steps` steps; the supervisor starts it again, the run ends as if nothing
// had been.
static void kill_one(const char *program, const char *run, const char *said)
{
    struct process p =
        world_spawn("caravan run run.yaml --set run_dir=%s --set stop.steps=40", run);
    world_until_steps(run, 4);
    pid_t pid = world_child(&p, program);
    assert_true(pid > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    ends_complete(&p, run, said);
    assert_true(world_steps(run) >= 40);
}

static void a_killed_actor_is_replaced(void **state)
{
    (void)state;
    kill_one("caravan-actor", "actor", "actor-0 was killed by signal 9");
}

static void a_killed_verifier_is_replaced(void **state)
{
    (void)state;
    kill_one("caravan-verifier", "verifier", "verifier-0 was killed by signal 9");
}

// Steps after the newest checkpoint are run again; run_open compares their weight hashes with the
// recorded ones and would refuse to go on.
static void a_killed_learner_resumes_and_reproduces_its_weights(void **state)
{
    (void)state;
    kill_one("caravan-learner", "learner", "the learner was killed by signal 9");
}

static void a_killed_supervisor_leaves_no_orphans_and_its_run_resumes(void **state)
{
    (void)state;
    struct process p = world_spawn("caravan run run.yaml --set run_dir=all --set stop.steps=0");
    world_until_steps("all", 4);
    pid_t children[3] = {world_child(&p, "caravan-learner"), world_child(&p, "caravan-actor"),
                         world_child(&p, "caravan-verifier")};
    assert_true(children[0] > 0 && children[1] > 0 && children[2] > 0);
    world_signal(&p, SIGKILL);
    assert_int_equal(world_wait(&p, WORLD_DEADLINE_MS), 128 + SIGKILL);
    world_until(all_children_gone, children, "learner, actor and verifier leave");
    free(world_audit_clean("all"));
    size_t steps = world_steps("all");
    p = world_spawn("caravan run --resume all --set stop.steps=%zu", steps + 5);
    ends_complete(&p, "all", "The run in all is complete.");
    assert_true(world_steps("all") >= steps + 4);
}

static void an_interrupted_run_stops_in_time_and_resumes(void **state)
{
    (void)state;
    struct process p = world_spawn("caravan run run.yaml --set run_dir=stop --set stop.steps=0");
    world_until_steps("stop", 3);
    world_signal(&p, SIGTERM);
    assert_int_equal(world_wait(&p, 5500), 130);    // 5 s, and half a one for a busy machine
    p = world_spawn("caravan run --resume stop --set stop.steps=30");
    ends_complete(&p, "stop", NULL);
}

// Returns false when the run had fewer writes than n.
static bool killed_at_write(unsigned n)
{
    char run[32];
    snprintf(run, sizeof run, "write-%u", n);
    struct process p = world_spawn("CARAVAN_TEST_KILL_AT_WRITE=%u caravan run run.yaml --set "
                                   "run_dir=%s --set stop.steps=3 --set data.eval_n=2",
                                   n, run);
    int rc = world_wait(&p, WORLD_DEADLINE_MS);
    char *out = world_output(&p), *audit;
    if (rc != 0 || strstr(out, "complete.") == NULL) {
        fail_msg("write %u: status %d\n%s", n, rc, out);
    }
    bool killed = strstr(out, "the learner was killed by signal 9") != NULL;
    free(out);
    rc = world_run(&audit, "caravan audit %s --books-only", run);
    if (rc != 0) {
        fail_msg("write %u: %s", n, audit);
    }
    free(audit);
    struct why why;
    assert_int_equal(fs_remove_tree(run, &why), ERR_OK);
    return killed;
}

// Before and after each commit of a short run. Some of them always; all with CARAVAN_LONG.
static void a_learner_killed_at_any_ledger_write_recovers(void **state)
{
    (void)state;
    static const unsigned some[] = {1, 2, 3, 4, 6, 9, 14, 21, 32};
    if (getenv("CARAVAN_LONG")) {
        for (unsigned n = 1; killed_at_write(n); n++) {
        }
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        assert_true(killed_at_write(some[i]) || some[i] > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_actor_is_replaced),
        cmocka_unit_test(a_killed_verifier_is_replaced),
        cmocka_unit_test(a_killed_learner_resumes_and_reproduces_its_weights),
        cmocka_unit_test(a_killed_supervisor_leaves_no_orphans_and_its_run_resumes),
        cmocka_unit_test(an_interrupted_run_stops_in_time_and_resumes),
        cmocka_unit_test(a_learner_killed_at_any_ledger_write_recovers),
    };
    return cmocka_run_group_tests(tests, world_enter, world_leave);
}
