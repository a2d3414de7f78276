// coordinator_batch_test.c: claims about the way from received samples to a step: who scores what,
// which groups are complete and usable, what is too old, which batch is committed.
//
// One rule at a time, each in a world of its own (coordinator_world.h). What is leased and
// submitted before that: coordinator_leases_test.c.
#include "tests/learner/coordinator_world.h"

// ---- scoring ----

static void jobs_go_only_where_the_check_is_known(void **state)
{
    (void)state;
    struct world *w = begin();
    struct why why;
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    struct msg_check check = {msg_text_of("gsm8k"), msg_text_of("1")};
    struct msg_hello h = {
        .role = MSG_ROLE_VERIFIER, .incarnation = rig_name(2), .checks = &check, .n_checks = 1};
    OK(coordinator_hello(w->c, &h, w->now_ms, &why));
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    world_submit_all(w, 5);
    const struct msg_score_job *jobs = NULL;
    size_t n = 0;
    struct msg_lease_score m = {.incarnation = rig_name(2), .max_jobs = 8};
    assert_int_equal(coordinator_lease_score(w->c, &m, w->now_ms, &jobs, &n), ERR_NOT_FOUND);
    struct coordinator_wait waits[16];
    size_t n_waits = coordinator_waits(w->c, w->now_ms, waits, 16);
    bool named = false;
    for (size_t i = 0; i < n_waits; i++) {
        named = named || strstr(waits[i].what, "check string") != NULL;
    }
    assert_true(named);
    world_hello(w, 4, MSG_ROLE_VERIFIER);
    assert_int_equal(world_score_all(w, 4, true), 4);
    world_end(w);
}

static void a_group_is_scored_by_one_version_of_a_check(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    struct msg_check check = {msg_text_of("string"), msg_text_of("2")};
    struct msg_hello h = {
        .role = MSG_ROLE_VERIFIER, .incarnation = rig_name(5), .checks = &check, .n_checks = 1};
    OK(coordinator_hello(w->c, &h, w->now_ms, &why));
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    world_submit_all(w, 5);
    const struct msg_score_job *jobs = NULL;
    size_t n = 0;
    struct msg_lease_score one = {.incarnation = rig_name(2), .max_jobs = 1},
                           other = {.incarnation = rig_name(5), .max_jobs = 8};
    assert_int_equal(coordinator_lease_score(w->c, &one, w->now_ms, &jobs, &n), ERR_OK);
    uint64_t id = jobs[0].sample_id;
    // Version 1 is pinned.
    assert_int_equal(coordinator_lease_score(w->c, &other, w->now_ms, &jobs, &n), ERR_NOT_FOUND);
    assert_int_equal(world_verdict(w, 2, id, 1, MSG_OUTCOME_SCORE, 1), ERR_OK);
    world_drain(w);
    assert_int_equal(coordinator_lease_score(w->c, &other, w->now_ms, &jobs, &n), ERR_NOT_FOUND);
    world_crash(w);    // the pin outlives a restart: it is in the verdict
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    OK(coordinator_hello(w->c, &h, w->now_ms, &why));
    assert_int_equal(coordinator_lease_score(w->c, &other, w->now_ms, &jobs, &n), ERR_NOT_FOUND);
    assert_int_equal(world_score_all(w, 2, true), 3);
    world_end(w);
}

static void a_replaced_version_hands_its_groups_on(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    world_submit_all(w, 5);
    const struct msg_score_job *jobs = NULL;
    size_t n = 0;
    struct msg_lease_score one = {.incarnation = rig_name(2), .max_jobs = 1};
    assert_int_equal(coordinator_lease_score(w->c, &one, w->now_ms, &jobs, &n), ERR_OK);
    assert_int_equal(world_verdict(w, 2, jobs[0].sample_id, 1, MSG_OUTCOME_SCORE, 1), ERR_OK);
    world_drain(w);
    // The verifier that scored by version 1 now offers version 2, and nobody version 1.
    struct msg_check check = {msg_text_of("string"), msg_text_of("2")};
    struct msg_hello h = {
        .role = MSG_ROLE_VERIFIER, .incarnation = rig_name(2), .checks = &check, .n_checks = 1};
    OK(coordinator_hello(w->c, &h, w->now_ms, &why));
    assert_int_equal(world_score_all(w, 2, true), 3);
    world_end(w);
}

static void unscored_is_tried_twice_more_elsewhere_and_then_dropped(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    world_hello(w, 3, MSG_ROLE_VERIFIER);
    assert_int_equal(world_lease(w, 1, 1, 1), ERR_OK);
    world_drain(w);
    world_submit_all(w, 5);
    const struct msg_score_job *jobs = NULL;
    size_t n = 0;
    const uint8_t turns[] = {2, 3, 2};
    for (uint32_t i = 0; i < 3; i++) {
        struct msg_lease_score m = {.incarnation = rig_name(turns[i]), .max_jobs = 8},
                               same = {.incarnation = rig_name(i > 0 ? turns[i - 1] : 9),
                                       .max_jobs = 8};
        assert_int_equal(coordinator_lease_score(w->c, &same, w->now_ms, &jobs, &n),
                         i > 0 ? ERR_NOT_FOUND : ERR_DENIED);
        assert_int_equal(coordinator_lease_score(w->c, &m, w->now_ms, &jobs, &n), ERR_OK);
        assert_int_equal(jobs[0].attempt, i + 1);
        uint64_t id = jobs[0].sample_id;
        assert_int_equal(world_verdict(w, turns[i], id, i + 1, MSG_OUTCOME_UNSCORED, 0), ERR_OK);
        // The same verdict again does not count.
        assert_int_equal(world_verdict(w, turns[i], id, i + 1, MSG_OUTCOME_UNSCORED, 0), ERR_OK);
        world_drain(w);
        assert_int_equal(w->last_ack, MSG_ACK_DUPLICATE);
    }
    assert_int_equal(world_drops(w, "unscored:timeout"), 1);
    assert_int_equal(world_status(w).retries, 2);
    world_check(w);
    world_end(w);
}

static void unscored_is_zero_only_where_the_configuration_says_so(void **state)
{
    (void)state;
    struct world *w = begin();
    w->conf.unscored = CONF_UNSCORED_ZERO;
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    assert_int_equal(world_lease(w, 1, 1, 1), ERR_OK);
    world_drain(w);
    world_submit_all(w, 5);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(world_verdict(w, 2, 1, i, MSG_OUTCOME_UNSCORED, 0), ERR_OK);
    }
    world_drain(w);
    assert_int_equal(rig_int(&w->r, "SELECT count(*) FROM samples WHERE state = 'scored' AND "
                                    "reward = 0 AND cause = 'unscored:timeout'"),
                     1);
    world_check(w);
    world_end(w);
}

static void a_truncated_answer_earns_what_the_configuration_says(void **state)
{
    (void)state;
    for (int kind = CONF_TRUNC_SCORE; kind <= CONF_TRUNC_MASK; kind++) {
        struct world *w = begin();
        struct why why;
        w->conf.truncated = (enum conf_truncated)kind;
        w->conf.groups_per_step = 1;
        world_begin(w);
        world_hello(w, 1, MSG_ROLE_ACTOR);
        world_hello(w, 2, MSG_ROLE_VERIFIER);
        assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
        world_drain(w);
        for (size_t i = 0; i < 4; i++) {
            OK(world_submit(w, &w->held[i], i == 0 ? 16 : 5, 1, 0, &why));
            world_drain(w);
        }
        assert_int_equal(world_score_all(w, 2, true), kind == CONF_TRUNC_ZERO ? 3 : 4);
        assert_non_null(w->step);
        const struct train_sample *first = &w->step->groups[0].samples[0];
        assert_int_equal(first->masked, kind == CONF_TRUNC_MASK);
        assert_int_equal(rig_int(&w->r, "SELECT reward FROM samples WHERE sample_id = 1"),
                         kind == CONF_TRUNC_ZERO ? 0 : 1);
        world_check(w);
        world_end(w);
    }
}

// ---- groups and steps ----

static void a_full_batch_becomes_a_step(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    lease_all(w);
    world_submit_all(w, 5);
    assert_null(w->step);
    (void)world_score_all(w, 2, true);
    assert_non_null(w->step);
    assert_int_equal(w->step->step, 1);
    assert_int_equal(w->step->version, 1);
    assert_int_equal(w->step->new_version, 2);
    assert_int_equal(w->step->n_groups, 4);
    assert_int_equal(w->step->groups[0].samples[0].sample_id, 1);    // the oldest groups
    assert_true(w->step->groups[0].samples[0].fresh);
    double sum = 0;
    for (size_t i = 0; i < 4; i++) {
        sum += w->step->groups[0].samples[i].advantage;
    }
    assert_true(sum < 1e-12 && sum > -1e-12);
    assert_int_equal(world_finish_step(w), ERR_OK);
    assert_int_equal(w->versions_told, 0);    // not durable yet
    world_drain(w);
    assert_int_equal(w->told_version, 2);
    assert_int_equal(world_status(w).by_state[LEDGER_CONSUMED], 16);
    assert_int_equal(w->step->step, 2);    // the next batch was ready
    assert_false(w->step->groups[0].samples[0].fresh);
    world_check(w);
    world_end(w);
}

static void a_committed_step_is_handed_over_after_its_commit(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    lease_all(w);
    world_submit_all(w, 5);
    for (uint64_t id = 1; id <= 16; id++) {
        assert_int_equal(world_verdict(w, 2, id, 1, MSG_OUTCOME_SCORE, (double)(id % 2)), ERR_OK);
    }
    assert_null(w->step);
    struct train_result result = {0};
    assert_int_equal(coordinator_step_done(w->c, &result, "{}", w->now_ms), ERR_INVALID);
    world_drain(w);
    assert_non_null(w->step);
    (void)why;
    world_check(w);
    world_end(w);
}

// Dropping equal rewards is right only within bounds: after replace_max batches' worth the run goes
// on with what there is.
static void zero_spread_groups_are_replaced_within_bounds(void **state)
{
    (void)state;
    struct world *w = begin();
    w->conf.replace_max = 1;    // 4 groups
    w->conf.stop_steps = 0;
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
        world_drain(w);
        world_submit_all(w, 5);
        (void)world_score_all(w, 2, false);
    }
    assert_int_equal(world_drops(w, "no_spread"), 16);
    assert_int_equal(world_status(w).groups_live, 0);    // all credit is back
    for (int i = 0; i < 4; i++) {
        assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
        world_drain(w);
        world_submit_all(w, 5);
        (void)world_score_all(w, 2, i == 3);    // three more without, one with a signal
    }
    assert_int_equal(world_drops(w, "no_spread"), 16);
    assert_non_null(w->step);
    assert_int_equal(w->step->n_groups, 4);
    assert_int_equal(world_status(w).zero_spread, 7);
    world_crash(w);
    assert_int_equal(world_status(w).zero_spread, 7);    // and not more for having been restarted
    world_check(w);
    world_end(w);
}

static void a_step_without_any_signal_is_passed(void **state)
{
    (void)state;
    struct world *w = begin();
    w->conf.replace_max = 0;
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    lease_all(w);
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, false);
    world_drain(w);
    assert_int_equal(w->n_no_signal, 2);
    assert_null(w->step);
    assert_int_equal(coordinator_newest_version(w->c), 1);
    assert_int_equal(world_status(w).step, 2);
    assert_int_equal(world_status(w).by_state[LEDGER_CONSUMED], 32);
    world_check(w);
    world_end(w);
}

static void a_group_with_one_scored_sample_left_is_dropped(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    world_submit_all(w, 5);
    for (uint64_t id = 1; id <= 3; id++) {
        for (uint32_t i = 1; i <= 3; i++) {
            assert_int_equal(world_verdict(w, 2, id, i, MSG_OUTCOME_UNSCORED, 0), ERR_OK);
        }
    }
    assert_int_equal(world_verdict(w, 2, 4, 1, MSG_OUTCOME_SCORE, 1), ERR_OK);
    world_drain(w);
    assert_int_equal(world_drops(w, "too_few"), 1);
    assert_int_equal(world_status(w).groups_live, 0);
    world_check(w);
    world_end(w);
}

// ---- staleness ----

// Staleness 0: everything decoded under version 1 trains at version 1 or never, so one slow sample
// is worth waiting for, but not for ever.
static void a_group_at_risk_is_waited_for_and_then_dropped(void **state)
{
    (void)state;
    struct world *w = begin();
    struct why why;
    w->conf.staleness_max = 0;
    w->conf.groups_per_step = 1;
    w->conf.group_size = 4;
    world_begin(w);
    // With a bound of one group nothing can be at risk beside a ready one; a restart with a smaller
    // bound than the groups were admitted under brings it about.
    w->conf.staleness_max = 2;
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    assert_int_equal(world_lease(w, 1, 8, 1), ERR_OK);    // groups 1 and 2
    world_drain(w);
    w->conf.staleness_max = 0;
    for (size_t i = 0; i < 4; i++) {
        OK(world_submit(w, &w->held[i], 5, 1, 0, &why));
    }
    for (size_t i = 4; i < 7; i++) {    // three of four of group 2
        OK(world_submit(w, &w->held[i], 5, 1, 0, &why));
    }
    world_drain(w);
    (void)world_score_all(w, 2, true);
    assert_null(w->step);    // group 1 is ready, group 2 would be stale after it
    struct coordinator_wait waits[16];
    size_t n = coordinator_waits(w->c, w->now_ms, waits, 16);
    bool named = false;
    for (size_t i = 0; i < n; i++) {
        named = named || strstr(waits[i].what, "group 2: its last chance") != NULL;
    }
    assert_true(named);
    uint64_t held = w->held[7].id;
    size_t n_abandon = 0;
    bool unknown = false;
    for (int i = 0; i < 9; i++) {
        world_tick(w, 1000);
        world_heartbeat(w, 1, &held, 1, &n_abandon, &unknown);
        world_drain(w);
    }
    assert_null(w->step);
    world_tick(w, 1000);
    world_drain(w);
    assert_non_null(w->step);
    assert_int_equal(world_drops(w, "stale"), 1);
    world_heartbeat(w, 1, &held, 1, &n_abandon, &unknown);
    assert_int_equal(n_abandon, 1);
    world_check(w);
    world_end(w);
}

static void a_late_group_in_time_is_trained_not_dropped(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    lease_all(w);                     // 8 groups under version 1
    struct held slow = w->held[0];    // of group 1
    memmove(w->held, w->held + 1, --w->n_held * sizeof *w->held);
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, true);
    assert_non_null(w->step);    // groups 2..5 go first: group 1 may still train at version 2
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_drain(w);
    assert_null(w->step);    // now groups 6, 7, 8 are ready, and group 1 is at risk
    OK(world_submit(w, &slow, 9, 2, 0, &why));    // it straddled the swap
    world_drain(w);
    (void)world_score_all(w, 2, true);
    assert_non_null(w->step);
    assert_int_equal(w->step->groups[0].samples[0].sample_id, slow.id);
    assert_int_equal(world_drops(w, "stale"), 0);
    world_check(w);
    world_end(w);
}

// A resume with a smaller bound leaves groups that were admitted under the larger one.
static void what_passed_the_bound_is_dropped_not_trained(void **state)
{
    (void)state;
    struct world *w = begin();
    w->conf.staleness_max = 2;
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    lease_all(w);
    assert_int_equal(w->n_held, 12 * 4);
    world_submit_all(w, 5);
    w->conf.staleness_max = 0;
    (void)world_score_all(w, 2, true);
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_drain(w);
    assert_null(w->step);
    // Decoded under version 1, the next step starts from 2.
    assert_int_equal(world_drops(w, "stale"), 8 * 4);
    struct coordinator_status s = world_status(w);
    for (size_t i = 0; i < s.n_drops; i++) {
        assert_int_equal(s.drops[i].by_length[ledger_length_bucket(5)], s.drops[i].n);
    }
    world_check(w);
    world_end(w);
}

// The groups of the running step are taken: they are not ahead of anybody.
static void work_for_the_next_step_is_leased_while_one_runs(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    assert_int_equal(world_lease(w, 1, 16, 1), ERR_OK);
    world_drain(w);
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, true);
    assert_non_null(w->step);
    assert_int_equal(world_lease(w, 1, 16, 1), ERR_OK);
    world_drain(w);
    assert_int_equal(w->n_held, 16);
    world_tick(w, 10001);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    w->n_held = 0;
    assert_int_equal(world_lease(w, 1, 16, 1), ERR_OK);    // again, with the weights it has
    world_drain(w);
    assert_int_equal(w->n_held, 16);
    assert_int_equal(w->held[0].attempt, 2);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_go_only_where_the_check_is_known),
        cmocka_unit_test(a_group_is_scored_by_one_version_of_a_check),
        cmocka_unit_test(a_replaced_version_hands_its_groups_on),
        cmocka_unit_test(unscored_is_tried_twice_more_elsewhere_and_then_dropped),
        cmocka_unit_test(unscored_is_zero_only_where_the_configuration_says_so),
        cmocka_unit_test(a_truncated_answer_earns_what_the_configuration_says),
        cmocka_unit_test(a_full_batch_becomes_a_step),
        cmocka_unit_test(a_committed_step_is_handed_over_after_its_commit),
        cmocka_unit_test(zero_spread_groups_are_replaced_within_bounds),
        cmocka_unit_test(a_step_without_any_signal_is_passed),
        cmocka_unit_test(a_group_with_one_scored_sample_left_is_dropped),
        cmocka_unit_test(a_group_at_risk_is_waited_for_and_then_dropped),
        cmocka_unit_test(a_late_group_in_time_is_trained_not_dropped),
        cmocka_unit_test(what_passed_the_bound_is_dropped_not_trained),
        cmocka_unit_test(work_for_the_next_step_is_leased_while_one_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
