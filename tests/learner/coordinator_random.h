// coordinator_random.h: thousands of random events on one world; a part of
// coordinator_recovery_test.c, in a file of its own for its length.
//
// Two to four actors with their own weights lease, finish, repeat, contradict, forget and die;
// verifiers score, fail and repeat; the disk lags behind by a random number of transactions; the
// trainer takes its time; the learner is killed now and then and rebuilt from what was durable.
// Every few hundred events the ledger is audited and compared with memory, and every
// acknowledgement ever given is looked up. world_step checks each step against the ledger and the
// staleness bound.
#ifndef CARAVAN_TESTS_LEARNER_COORDINATOR_RANDOM_H
#define CARAVAN_TESTS_LEARNER_COORDINATOR_RANDOM_H

#include "tests/learner/coordinator_world.h"

struct life {
    struct world *w;
    struct rng rng;
    uint8_t next_name;
    uint8_t actors[3], verifiers[2];
    uint64_t weights[3];    // of each actor
    uint64_t jobs[64];
    uint32_t job_attempts[64];
    size_t n_jobs;
    size_t n_crashes, n_submits, n_refused;
};

static uint32_t roll(struct life *f, uint32_t n)
{
    return rng_below(&f->rng, n);
}

static void life_greet(struct life *f)
{
    for (size_t i = 0; i < ARRAY_LEN(f->actors); i++) {
        world_hello(f->w, f->actors[i], MSG_ROLE_ACTOR);
    }
    for (size_t i = 0; i < ARRAY_LEN(f->verifiers); i++) {
        world_hello(f->w, f->verifiers[i], MSG_ROLE_VERIFIER);
    }
}

static void life_lease(struct life *f)
{
    struct world *w = f->w;
    size_t i = roll(f, ARRAY_LEN(f->actors));
    if (roll(f, 4) != 0) {
        f->weights[i] = w->told_version;
    }
    w->lose_replies = roll(f, 20) == 0;
    enum err e = world_lease(w, f->actors[i], 1 + roll(f, 12), f->weights[i]);
    assert_true(e == ERR_OK || e == ERR_NOT_FOUND || e == ERR_FULL);
    if (e == ERR_OK) {    // told now or never, so that the test knows which actor it was
        world_pump(w, w->n_queue);
    }
}

static void life_submit(struct life *f)
{
    struct world *w = f->w;
    struct why why;
    if (w->n_held == 0) {
        return;
    }
    size_t i = roll(f, (uint32_t)w->n_held);
    struct held h = w->held[i];
    uint64_t newest = w->told_version;
    uint32_t salt = roll(f, 30) == 0, n = 1 + roll(f, 16);
    n = (uint32_t)(h.id % 16) + 1;    // attempts of one sample are equal, as they are in life
    enum err e = world_submit(w, &h, n, roll(f, 2) == 0 ? newest : h.version, salt, &why);
    f->n_submits++;
    f->n_refused += e != ERR_OK;
    if (e != ERR_OK && e != ERR_FULL) {
        fail_msg("sample %llu: %s", (unsigned long long)h.id, why.text);
    }
    if (e == ERR_OK && roll(f, 8) != 0) {    // otherwise it is sent again later
        w->held[i] = w->held[--w->n_held];
    }
}

static void life_heartbeat(struct life *f)
{
    struct world *w = f->w;
    uint64_t ids[WORLD_HELD];
    size_t n = 0, n_abandon = 0;
    bool unknown = false;
    uint8_t name = f->actors[roll(f, ARRAY_LEN(f->actors))];
    for (size_t i = 0; i < w->n_held; i++) {
        if (w->held[i].actor == name) {
            ids[n++] = w->held[i].id;
        }
    }
    world_heartbeat(w, name, ids, n, &n_abandon, &unknown);
    if (unknown) {
        world_hello(w, name, MSG_ROLE_ACTOR);
    }
}

static void life_actor_dies(struct life *f)
{
    struct world *w = f->w;
    size_t a = roll(f, ARRAY_LEN(f->actors));
    for (size_t i = 0; i < w->n_held;) {
        if (w->held[i].actor == f->actors[a]) {
            w->held[i] = w->held[--w->n_held];
        } else {
            i++;
        }
    }
    f->actors[a] = f->next_name = (uint8_t)(f->next_name == 255 ? 10 : f->next_name + 1);
    world_hello(w, f->actors[a], MSG_ROLE_ACTOR);
}

static void life_score(struct life *f)
{
    struct world *w = f->w;
    if (f->n_jobs > 0 && roll(f, 4) != 0) {
        size_t i = roll(f, (uint32_t)f->n_jobs);
        uint32_t luck = roll(f, 20);
        enum msg_outcome outcome = luck == 0   ? MSG_OUTCOME_UNSCORED
                                   : luck < 10 ? MSG_OUTCOME_SCORE
                                               : MSG_OUTCOME_ZERO;
        enum err e = world_verdict(w, f->verifiers[roll(f, 2)], f->jobs[i], f->job_attempts[i],
                                   outcome, outcome == MSG_OUTCOME_SCORE);
        // invalid: the receipt was lost in a crash.
        assert_true(e == ERR_OK || e == ERR_FULL || e == ERR_INVALID);
        if (roll(f, 10) != 0) {
            f->n_jobs--;
            f->jobs[i] = f->jobs[f->n_jobs];
            f->job_attempts[i] = f->job_attempts[f->n_jobs];
        }
        return;
    }
    const struct msg_score_job *jobs = NULL;
    size_t n = 0;
    struct msg_lease_score m = {.incarnation = rig_name(f->verifiers[roll(f, 2)]),
                                .max_jobs = 1 + roll(f, 8)};
    if (coordinator_lease_score(w->c, &m, w->now_ms, &jobs, &n) == ERR_OK) {
        for (size_t i = 0; i < n && f->n_jobs < ARRAY_LEN(f->jobs); i++) {
            f->jobs[f->n_jobs] = jobs[i].sample_id;
            f->job_attempts[f->n_jobs++] = jobs[i].attempt;
        }
    }
}

static void life_crash(struct life *f)
{
    struct world *w = f->w;
    world_pump(w, roll(f, (uint32_t)w->n_queue + 1));
    world_crash(w);
    f->n_crashes++;
    for (size_t i = 0; i < w->n_held;) {    // an actor holds only what it was told; with world_pump
                                            // in life_lease that is all of it
        i++;
    }
    life_greet(f);
}

static void life_event(struct life *f)
{
    struct world *w = f->w;
    uint32_t what = roll(f, 1000);
    if (what < 150) {
        life_lease(f);
    } else if (what < 450) {
        life_submit(f);
    } else if (what < 750) {
        life_score(f);
    } else if (what < 830) {
        life_heartbeat(f);
    } else if (what < 930) {
        world_pump(w, 1 + roll(f, 20));
    } else if (what < 960) {
        world_tick(w, roll(f, 400));
    } else if (what < 990) {
        if (w->step != NULL) {
            enum err e = world_finish_step(w);
            assert_true(e == ERR_OK || e == ERR_FULL);
        }
    } else if (what < 994) {
        life_actor_dies(f);
    } else if (what < 997) {
        life_crash(f);
    } else if (what < 998) {
        world_tick(w, 11000);
    } else {
        w->room = 1 + roll(f, WORLD_QUEUE);    // a slow disk now and then
    }
    if (w->n_queue + 8 > WORLD_QUEUE) {
        world_pump(w, 64);
    }
}

static void live(uint64_t seed, int64_t staleness, int n_events)
{
    struct world *w = begin();
    struct life f = {.w = w,
                     .rng = rng_make(seed, 1),
                     .next_name = 12,
                     .actors = {10, 11, 12},
                     .verifiers = {1, 2},
                     .weights = {1, 1, 1}};
    w->conf.staleness_max = staleness;
    w->conf.group_size = 2 + (int64_t)roll(&f, 5);
    w->conf.groups_per_step = 1 + (int64_t)roll(&f, 5);
    w->conf.replace_max = (int64_t)roll(&f, 3);
    w->conf.truncated = (enum conf_truncated)roll(&f, 3);
    w->conf.unscored = roll(&f, 2) == 0 ? CONF_UNSCORED_DROP : CONF_UNSCORED_ZERO;
    w->conf.eval_every = 3;
    w->n_eval = 4;
    world_begin(w);
    life_greet(&f);
    for (int i = 0; i < n_events; i++) {
        life_event(&f);
        if (i % 1000 == 999) {
            world_check(w);
        }
    }
    world_check(w);
    struct coordinator_status s = world_status(w);
    print_message(
        "  seed %llu, staleness %lld: %llu samples, %llu consumed, %llu dropped (%llu stale), %llu "
        "steps, %zu evaluations, %zu crashes, %llu duplicates, %llu superseded, %llu reissued\n",
        (unsigned long long)seed, (long long)staleness, (unsigned long long)s.issued,
        (unsigned long long)s.by_state[LEDGER_CONSUMED],
        (unsigned long long)s.by_state[LEDGER_DROPPED], (unsigned long long)world_drops(w, "stale"),
        (unsigned long long)s.step, w->n_evals, f.n_crashes, (unsigned long long)s.duplicates,
        (unsigned long long)s.superseded, (unsigned long long)s.reissued);
    assert_true(s.step > 0 && f.n_crashes > 0 && s.duplicates > 0);    // it was a life
    assert_int_equal(
        rig_int(&w->r, "SELECT count(*) FROM (SELECT sample_id FROM transitions WHERE to_state = "
                       "'consumed' GROUP BY sample_id HAVING count(*) > 1)"),
        0);
    world_end(w);
}

static void a_random_life_loses_nothing_and_consumes_nothing_twice(void **state)
{
    (void)state;
    const char *long_run = getenv("CARAVAN_LONG");
    int n_events = long_run != NULL && long_run[0] != '\0' ? 40000 : 4000;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        live(seed, (int64_t)(seed % 3), n_events);
    }
}

#endif
