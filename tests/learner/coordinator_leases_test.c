// coordinator_leases_test.c: claims about what is handed out and what comes back: admission, leases
// and how they end, submitted samples.
//
// One rule at a time, each in a world of its own (coordinator_world.h): messages go in by plain
// calls, time passes when the test says so, and a transaction is durable when the test pumps it.
// Scoring and batches: coordinator_batch_test.c; restarts, evaluation and the random run:
// coordinator_recovery_test.c.
#include <math.h>

#include "tests/learner/coordinator_world.h"

// ---- leases ----

static void a_lease_is_told_only_when_durable(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    assert_int_equal(world_lease(w, 1, 6, 1), ERR_OK);
    assert_int_equal(w->n_work, 0);
    world_drain(w);
    assert_int_equal(w->n_work, 1);
    assert_int_equal(w->n_held, 6);    // one group of 4, two samples of the next
    assert_int_equal(rig_int(&w->r, "SELECT count(*) FROM samples WHERE owner IS NOT NULL"), 6);
    assert_int_equal(rig_int(&w->r, "SELECT count(*) FROM samples"), 8);
    world_check(w);
    world_end(w);
}

static void strangers_get_no_work(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    assert_int_equal(world_lease(w, 9, 6, 1), ERR_DENIED);
    assert_int_equal(world_lease(w, 2, 6, 1), ERR_DENIED);    // a verifier
    assert_int_equal(world_lease(w, 1, 0, 1), ERR_INVALID);
    assert_int_equal(rig_int(&w->r, "SELECT count(*) FROM samples"), 0);
    world_end(w);
}

// Rule 5: with staleness_max 1 and 4 groups a step, 8 groups may be alive.
static void admission_stops_at_the_bound(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    lease_all(w);
    assert_int_equal(w->n_held, 8 * 4);
    assert_int_equal(world_status(w).groups_admissible, 0);
    world_check(w);
    world_end(w);
}

static void a_synchronous_run_leases_nothing_while_a_step_runs(void **state)
{
    (void)state;
    struct world *w = begin();
    w->conf.staleness_max = 0;
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    lease_all(w);
    assert_int_equal(w->n_held, 16);
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, true);
    assert_non_null(w->step);
    assert_int_equal(world_lease(w, 1, 64, 1), ERR_NOT_FOUND);
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_drain(w);
    assert_int_equal(w->told_version, 2);
    assert_int_equal(world_lease(w, 1, 64, 1), ERR_NOT_FOUND);    // still has the old weights
    assert_int_equal(world_lease(w, 1, 64, 2), ERR_OK);
    world_check(w);
    world_end(w);
}

static void an_actor_with_old_weights_gets_only_the_oldest_groups(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    lease_all(w);
    world_submit_all(w, 5);
    (void)world_score_all(w, 2, true);
    // Version 2; the second batch commits at once.
    assert_int_equal(world_finish_step(w), ERR_OK);
    world_drain(w);
    assert_int_equal(world_finish_step(w), ERR_OK);    // version 3
    world_drain(w);
    assert_int_equal(world_lease(w, 1, 64, 1), ERR_NOT_FOUND);
    assert_int_equal(world_lease(w, 1, 64, 2), ERR_OK);
    world_drain(w);
    assert_int_equal(w->n_held, 4 * 4);    // with version 2: the four groups that train at 3
    lease_all(w);
    assert_int_equal(w->n_held, 8 * 4);
    world_end(w);
}

static void a_full_journal_slows_the_source(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    w->room = 0;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_FULL);
    assert_int_equal(world_submit(w, &w->held[0], 5, 1, 0, &why), ERR_FULL);
    // Not received.
    assert_int_equal(world_verdict(w, 2, 1, 1, MSG_OUTCOME_ZERO, 0), ERR_INVALID);
    w->room = WORLD_QUEUE;
    OK(world_submit(w, &w->held[0], 5, 1, 0, &why));
    world_check(w);
    world_end(w);
}

static void two_heartbeats_without_it_end_a_lease(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    size_t n_abandon = 0;
    bool unknown = true;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    uint64_t ids[4];
    for (size_t i = 0; i < 4; i++) {
        ids[i] = w->held[i].id;
    }
    world_heartbeat(w, 1, ids, 3, &n_abandon, &unknown);
    assert_false(unknown);
    // At once: the same heartbeat twice, as far as time goes.
    world_heartbeat(w, 1, ids, 3, &n_abandon, &unknown);
    assert_int_equal(world_status(w).samples_leased, 4);
    world_tick(w, 1000);
    world_heartbeat(w, 1, ids, 3, &n_abandon, &unknown);
    assert_int_equal(n_abandon, 0);
    assert_int_equal(world_status(w).samples_leased, 3);
    assert_int_equal(world_status(w).samples_unleased, 1);
    w->n_held = 0;
    world_hello(w, 3, MSG_ROLE_ACTOR);
    assert_int_equal(world_lease(w, 3, 1, 1), ERR_OK);
    world_drain(w);
    assert_int_equal(w->held[0].id, ids[3]);
    assert_int_equal(w->held[0].attempt, 2);
    world_heartbeat(w, 1, ids, 4, &n_abandon, &unknown);    // the first owner claims it after all
    assert_int_equal(n_abandon, 1);
    assert_int_equal(world_status(w).reissued, 1);
    world_check(w);
    world_end(w);
}

static void a_heartbeat_before_the_reply_is_no_miss(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    size_t n_abandon = 0;
    bool unknown = true;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);    // not durable: not told
    for (int i = 0; i < 5; i++) {
        world_tick(w, 1000);
        world_heartbeat(w, 1, NULL, 0, &n_abandon, &unknown);
    }
    assert_int_equal(world_status(w).samples_leased, 4);
    world_drain(w);
    world_end(w);
}

// A dead actor must not cost a whole lease: ten heartbeats of silence are enough to tell.
static void a_silent_actor_loses_its_leases(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    w->conf.lease_ms = 60000;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    world_tick(w, 10000);
    assert_int_equal(world_status(w).samples_leased, 4);
    world_tick(w, 1);
    assert_int_equal(world_status(w).samples_leased, 0);
    world_check(w);
    world_end(w);
}

// An actor that hangs but goes on sending heartbeats must not hold a sample for ever.
static void a_lease_ends_at_last_though_it_is_named(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    size_t n_abandon = 0;
    bool unknown = true;
    assert_int_equal(world_lease(w, 1, 1, 1), ERR_OK);
    world_drain(w);
    uint64_t id = w->held[0].id;
    for (int i = 0; i < 160; i++) {
        world_tick(w, 1000);
        world_heartbeat(w, 1, &id, 1, &n_abandon, &unknown);
        assert_int_equal(n_abandon, 0);
    }
    world_tick(w, 1000);
    world_heartbeat(w, 1, &id, 1, &n_abandon, &unknown);
    assert_int_equal(n_abandon, 1);
    assert_int_equal(world_status(w).samples_leased, 0);
    world_end(w);
}

static void a_sample_that_never_comes_is_dropped_at_last(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    w->lose_replies = true;
    for (int i = 0; i < 9; i++) {
        world_hello(w, 1, MSG_ROLE_ACTOR);
        (void)world_lease(w, 1, 4, 1);
        world_drain(w);
        world_tick(w, 10001);
    }
    assert_int_equal(world_drops(w, "attempts"), 4);
    world_check(w);
    world_end(w);
}

// ---- submits ----

static void the_first_durable_submit_wins(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    struct held h = w->held[0];
    OK(world_submit(w, &h, 5, 1, 0, &why));
    OK(world_submit(w, &h, 5, 1, 0, &why));    // again, before the first is durable
    assert_int_equal(w->n_acks, 0);
    world_pump(w, 1);
    assert_int_equal(w->last_ack, MSG_ACK_OK);
    world_drain(w);
    assert_int_equal(w->last_ack, MSG_ACK_DUPLICATE);
    OK(world_submit(w, &h, 5, 1, 1, &why));    // other tokens
    world_drain(w);
    assert_int_equal(w->last_ack, MSG_ACK_SUPERSEDED);
    h.id = 4000;
    OK(world_submit(w, &h, 5, 1, 0, &why));
    world_drain(w);
    assert_int_equal(w->last_ack, MSG_ACK_UNKNOWN);
    world_check(w);
    world_end(w);
}

static void an_earlier_attempt_may_still_win(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    assert_int_equal(world_lease(w, 1, 1, 1), ERR_OK);
    world_drain(w);
    struct held first = w->held[0];
    world_tick(w, 10001);
    world_hello(w, 3, MSG_ROLE_ACTOR);
    assert_int_equal(world_lease(w, 3, 1, 1), ERR_OK);
    world_drain(w);
    OK(world_submit(w, &first, 5, 1, 0, &why));
    world_drain(w);
    assert_int_equal(w->last_ack, MSG_ACK_OK);
    world_check(w);
    world_end(w);
}

// What is accepted is trained on, so every field is looked at first.
static void malformed_samples_change_nothing(void **state)
{
    (void)state;
    struct world *w = begin_with_peers();
    struct why why;
    assert_int_equal(world_lease(w, 1, 4, 1), ERR_OK);
    world_drain(w);
    uint32_t tokens[20] = {1, 2, 3};
    float logprobs[20] = {-1.0f, -2.0f, -0.5f};
    struct msg_segment seg[2] = {{1, 6}, {1, 7}};
    struct msg_submit_sample good = {.incarnation = rig_name(1),
                                     .sample_id = w->held[0].id,
                                     .attempt = 1,
                                     .tokens = tokens,
                                     .n_tokens = 3,
                                     .logprobs = logprobs,
                                     .n_logprobs = 3,
                                     .segments = seg,
                                     .n_segments = 1,
                                     .finish = MSG_FINISH_STOP};
    enum {
        NO_TOKENS,
        TOO_MANY,
        FEWER_LOGPROBS,
        NAN_LOGPROB,
        POSITIVE,
        FINISH,
        HASH,
        NO_SEGMENT,
        SHORT,
        LONG,
        VERSION_0,
        VERSION_9,
        PINNED,
        ATTEMPT,
        VOCABULARY,
        CASES
    };
    for (int i = 0; i < CASES; i++) {
        struct msg_submit_sample m = good;
        logprobs[1] = i == NAN_LOGPROB ? NAN : i == POSITIVE ? 0.5f : -2.0f;
        m.n_tokens = i == NO_TOKENS ? 0 : i == TOO_MANY ? 17 : 3;
        m.n_logprobs = i == FEWER_LOGPROBS ? 2 : m.n_tokens;
        m.finish = i == FINISH ? 7 : MSG_FINISH_STOP;
        m.n_segments = i == NO_SEGMENT ? 0 : i == LONG ? 2 : 1;
        seg[0].end = i == SHORT ? 5 : 6;
        seg[0].version = i == VERSION_0 ? 0 : i == VERSION_9 ? 9 : 1;
        m.pinned_version = i == PINNED ? 1 : 0;
        m.attempt = i == ATTEMPT ? 2 : 1;
        tokens[0] = i == VOCABULARY ? 5000 : 1;
        m.payload = msg_sample_hash(&m);
        m.payload.bytes[0] ^= i == HASH;
        enum err e = coordinator_submit_sample(w->c, &m, w->now_ms, world_on_ack, NULL, &why);
        if (e != ERR_INVALID && e != ERR_CORRUPT) {
            fail_msg("case %d was taken: %s", i, err_text(e));
        }
        assert_true(strlen(why.text) > 8);
    }
    assert_int_equal(w->n_queue, 0);
    assert_int_equal(world_status(w).by_state[LEDGER_RECEIVED], 0);
    world_check(w);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_told_only_when_durable),
        cmocka_unit_test(strangers_get_no_work),
        cmocka_unit_test(admission_stops_at_the_bound),
        cmocka_unit_test(a_synchronous_run_leases_nothing_while_a_step_runs),
        cmocka_unit_test(an_actor_with_old_weights_gets_only_the_oldest_groups),
        cmocka_unit_test(a_full_journal_slows_the_source),
        cmocka_unit_test(two_heartbeats_without_it_end_a_lease),
        cmocka_unit_test(a_heartbeat_before_the_reply_is_no_miss),
        cmocka_unit_test(a_silent_actor_loses_its_leases),
        cmocka_unit_test(a_lease_ends_at_last_though_it_is_named),
        cmocka_unit_test(a_sample_that_never_comes_is_dropped_at_last),
        cmocka_unit_test(the_first_durable_submit_wins),
        cmocka_unit_test(an_earlier_attempt_may_still_win),
        cmocka_unit_test(malformed_samples_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
