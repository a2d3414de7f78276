// coordinator_test.c: claims about the state machine, one rule at a time, and a random run of everything at once.
#include <math.h>

#include "tests/learner/coordinator_world.h"

static struct world world;    // a megabyte of remembered acknowledgements: not for the stack

static struct world *begin(void)
{
    struct world *w = &world;
    world_init(w);
    return w;
}

static struct world *begin_with_peers(void)
{
    struct world *w = begin();
    world_begin(w);
    world_hello(w, 1, MSG_ROLE_ACTOR);
    world_hello(w, 2, MSG_ROLE_VERIFIER);
    return w;
}

// Leases all there is for actor 1.
static void lease_all(struct world *w)
{
    while (world_lease(w, 1, 64, w->told_version) == ERR_OK) {
        world_drain(w);
    }
}

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
    assert_int_equal(world_finish_step(w),
                     ERR_OK);    // version 2; the second batch commits at once
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
    assert_int_equal(world_verdict(w, 2, 1, 1, MSG_OUTCOME_ZERO, 0),
                     ERR_INVALID);    // not received
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
    world_heartbeat(w, 1, ids, 3, &n_abandon,
                    &unknown);    // at once: the same heartbeat twice, as far as time goes
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
    assert_int_equal(coordinator_lease_score(w->c, &other, w->now_ms, &jobs, &n),
                     ERR_NOT_FOUND);    // version 1 is pinned
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
        assert_int_equal(world_verdict(w, turns[i], id, i + 1, MSG_OUTCOME_UNSCORED, 0),
                         ERR_OK);    // the same verdict again does not count
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

// Dropping equal rewards is right only within bounds: after replace_max batches' worth the run goes on with what there is.
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

// Staleness 0: everything decoded under version 1 trains at version 1 or never, so one slow sample is worth waiting for, but not for ever.
static void a_group_at_risk_is_waited_for_and_then_dropped(void **state)
{
    (void)state;
    struct world *w = begin();
    struct why why;
    w->conf.staleness_max = 0;
    w->conf.groups_per_step = 1;
    w->conf.group_size = 4;
    world_begin(w);
    // With a bound of one group nothing can be at risk beside a ready one; a restart with a smaller bound than the groups were admitted under brings it about.
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
    assert_int_equal(world_drops(w, "stale"),
                     8 * 4);    // decoded under version 1, the next step starts from 2
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

#include "tests/learner/coordinator_random.h"

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
        cmocka_unit_test(jobs_go_only_where_the_check_is_known),
        cmocka_unit_test(a_group_is_scored_by_one_version_of_a_check),
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
