// coordinator_recovery_test.c: claims about runs that are interrupted, evaluated and ended, and a
// random run of everything at once.
//
// A crash (world_crash) throws away what was not durable and builds a new coordinator from the
// ledger, as a kill -9 of the learner would. The random run stands in coordinator_random.h.
#include "tests/learner/coordinator_random.h"

// ---- recovery ----

static void a_restart_keeps_the_leases_of_those_who_come_back(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    size_t n_abandon = 0;
    bool unknown = false;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    uint64_t ids[] = {1, 2, 3, 4};
    world_crash(w);
    assert_int_equal(world_status(w).samples_leased, 4);
    world_heartbeat(w, 1, ids, 4, &n_abandon, &unknown);
    assert_true(unknown);    // say hello again
    assert_int_equal(n_abandon, 0);
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_DENIED);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_tick(w, 9000);
    world_heartbeat(w, 1, ids, 4, &n_abandon, &unknown);
    assert_false(unknown);
    world_tick(w, 9000);
    assert_int_equal(world_status(w).samples_leased, 4);
    OK(world_submit(w, &w->held[0], 5, 1, 0, &why));
    world_drain(w);
    assert_int_equal(w->last_ack, MSG_ACK_OK);
    world_check(w);
    world_end(w);
}

static void a_restart_issues_again_what_nobody_claims(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    world_crash(w);
    world_tick(w, 10001);
    assert_int_equal(world_status(w).samples_leased, 0);
    world_hello(w, 6, MSG_ROLE_ACTOR);
    w->n_held = 0;
    assert_int_equal(world_lease(w, 6, 4, 1), ERR_OK);
    world_drain(w);
    assert_int_equal(w->held[0].id, 1);
    assert_int_equal(w->held[0].attempt, 2);
    world_check(w);
    world_end(w);
}

static void a_lease_that_was_never_told_is_given_again(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_crash(w);    // before the commit: the samples do not exist
    world_hello(w, 1, MSG_ROLE_ACTOR);
    assert_int_equal(world_status(w).issued, 0);
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    assert_int_equal(w->held[0].id, 1);
    assert_int_equal(w->held[0].attempt, 1);
    world_check(w);
    world_end(w);
}

static void a_restart_scores_what_was_received(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    lease_all(w);
    world_submit_all(w, 5);
    world_crash(w);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    assert_int_equal(world_score_all(w, 2, true), 32);
    assert_non_null(w->step);
    world_check(w);
    world_end(w);
}

static void a_restart_hands_the_same_step_over_first(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    lease_all(w);
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, true);
    assert_non_null(w->step);
    uint64_t before[64];
    size_t n = w->n_step_samples;
    memcpy(before, w->step_samples, n * sizeof *before);
    world_crash(w);
    assert_non_null(w->step);    // checked against the ledger by world_step
    assert_int_equal(w->step->step, 1);
    assert_int_equal(w->n_step_samples, n);
    assert_memory_equal(w->step_samples, before, n * sizeof *before);
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_drain(w);
    assert_int_equal(w->told_version, 2);
    assert_int_equal(world_status(w).by_state[LEDGER_CONSUMED], 16);
    assert_int_equal(w->step->step, 2);
    world_check(w);
    world_end(w);
}

// ---- evaluation and stop ----

static void evaluation_comes_first_and_is_pinned(void **state)
{
    (void)state;
    struct world *w = begin();
    w->n_eval = 5;
    w->conf.stop_steps = 1;
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    assert_int_equal(w->pins, 1);
    assert_int_equal(world_lease(w, 1, 64, 1), ERR_OK);
    world_drain(w);
    assert_int_equal(w->n_held, 5 + 4 * 4);    // a run of one step needs four groups
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(w->held[i].pinned, 1);
    }
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, true);
    assert_int_equal(w->n_evals, 1);
    assert_int_equal(w->eval.n_scored, 5);
    assert_int_equal(w->eval.version, 1);
    assert_int_equal(w->pins, 0);
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_drain(w);
    assert_int_equal(w->pins, 1);    // the last evaluation, of version 2
    assert_int_equal(w->n_finished, 0);
    lease_all(w);
    assert_int_equal(w->n_held, 5);
    assert_int_equal(w->held[0].pinned, 2);
    world_crash(w);    // an evaluation goes on after a restart
    assert_int_equal(w->pins, 1);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, true);
    world_drain(w);
    assert_int_equal(w->n_evals, 2);
    assert_int_equal(w->eval.version, 2);
    assert_int_equal(w->n_finished, 1);
    assert_string_equal(w->finished, "steps");
    assert_int_equal(rig_int(&w->r, "SELECT count(*) FROM evals WHERE state = 'done'"), 2);
    world_check(w);
    world_end(w);
}

static void epochs_end_with_what_there_is(void **state)
{
    (void)state;
    struct world *w = begin();
    w->n_train = 6;
    w->conf.stop_epochs = 1;
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    lease_all(w);
    assert_int_equal(w->n_held, 24);
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, true);
    assert_int_equal(w->step->n_groups, 4);
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_drain(w);
    assert_int_equal(w->step->n_groups, 2);
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_drain(w);
    assert_string_equal(w->finished, "epochs");
    world_check(w);
    world_end(w);
}

static void minutes_are_counted_from_the_first_lease_over_restarts(void **state)
{
    (void)state;
    struct world *w = begin();
    w->conf.stop_minutes = 10;
    w->conf.lease_ms = 3600000;
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    world_tick(w, 3600000);    // waiting for an actor costs nothing
    assert_int_equal(w->n_finished, 0);
    lease_all(w);
    world_submit_all(w, 5);
    world_tick(w, 6 * 60000);
    (void)world_score_all(w, 2, true);
    assert_int_equal(world_finish_step(w), ERR_OK);    // six minutes are written down with it
    world_drain(w);
    world_crash(w);
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    lease_all(w);
    world_tick(w, 3 * 60000);
    assert_int_equal(w->n_finished, 0);
    world_tick(w, 61000);
    world_drain(w);
    assert_string_equal(w->finished, "minutes");
    assert_int_equal(world_lease(w, 1, 64, w->told_version), ERR_NOT_FOUND);
    world_check(w);
    world_end(w);
}

static void a_stop_waits_for_the_running_step(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    lease_all(w);
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, true);
    coordinator_stop_asked(w->c, w->now_ms);
    world_drain(w);
    assert_int_equal(w->n_finished, 0);
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_drain(w);
    assert_int_equal(w->n_finished, 1);
    assert_null(w->step);    // the second batch stays alive for a resume
    assert_int_equal(world_status(w).by_state[LEDGER_SCORED], 16);
    world_check(w);
    world_end(w);
}

static void a_ledger_that_fails_ends_the_run(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    OK(world_submit(w, &w->held[0], 5, 1, 0, &why));
    struct queued q = w->queue[0];    // its completion says that the disk is full
    w->n_queue = 0;
    q.done(q.arg, ERR_FULL, q.txn);
    ledger_txn_destroy(q.txn);
    assert_int_equal(w->last_error, ERR_FULL);
    assert_int_equal(world_submit(w, &w->held[1], 5, 1, 0, &why), ERR_FULL);
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_NOT_FOUND);
    struct coordinator_wait waits[4];
    assert_true(coordinator_waits(w->c, w->now_ms, waits, 4) > 0);
    assert_non_null(strstr(waits[0].what, "ledger"));
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_keeps_the_leases_of_those_who_come_back),
        cmocka_unit_test(a_restart_issues_again_what_nobody_claims),
        cmocka_unit_test(a_lease_that_was_never_told_is_given_again),
        cmocka_unit_test(a_restart_scores_what_was_received),
        cmocka_unit_test(a_restart_hands_the_same_step_over_first),
        cmocka_unit_test(evaluation_comes_first_and_is_pinned),
        cmocka_unit_test(epochs_end_with_what_there_is),
        cmocka_unit_test(minutes_are_counted_from_the_first_lease_over_restarts),
        cmocka_unit_test(a_stop_waits_for_the_running_step),
        cmocka_unit_test(a_ledger_that_fails_ends_the_run),
        cmocka_unit_test(a_random_life_loses_nothing_and_consumes_nothing_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
