// coordinator_batch.c: from scored samples to a committed step, and from the step's result to
// consumed samples.
//
// A group is complete when none of its samples is generating or received. Fewer than two scored
// samples: there is nothing to compare, the rest is dropped(too_few). Equal rewards (no advantage
// that is not masked): dropped(no_spread) and replaced by admission, at most replace_max batches'
// worth between two commits; further ones are kept and take their place in the batch, as in plain
// GRPO. A batch of only such groups is a step without signal: it is recorded, its samples are
// consumed, nothing is trained.
//
// Before a batch is committed at version v:
// - stale: a sample older than v - staleness_max cannot be trained any more: dropped(stale).
//   Admission makes this rare.
// - at risk: an incomplete group that holds tokens (or may hold them: a leased sample counts with
//   the weights its actor had) of version v - staleness_max must be in this batch or never. The
//   learner waits for it, at most one lease time; what is still missing then is dropped(stale) and
//   the rest of the group goes in.
//
// The batch takes the groups with the oldest tokens, and lists them by id: the order is part of
// what the step is a function of.
#include <stdlib.h>
#include <string.h>

#include "learner/advantage.h"
#include "learner/coordinator_internal.h"

// ---- complete groups ----

static size_t count_state(const struct group *g, enum ledger_state state)
{
    size_t n = 0;
    for (uint32_t i = 0; i < g->row.n_samples; i++) {
        n += g->samples[i].state == state;
    }
    return n;
}

static bool is_masked(const struct coordinator *c, const struct sample *s)
{
    return c->conf->truncated == CONF_TRUNC_MASK && s->receipt.finish == MSG_FINISH_LENGTH;
}

// Advantages of the scored samples in their order; the return says whether one that is trained
// differs from 0. out: row.n_samples doubles.
static bool advantages(const struct coordinator *c, const struct group *g, double *out)
{
    double rewards[LIMIT_SAMPLES_PER_GROUP];
    size_t n = 0, k = 0;
    bool signal = false;
    for (uint32_t i = 0; i < g->row.n_samples && n < LIMIT_SAMPLES_PER_GROUP; i++) {
        if (g->samples[i].state == LEDGER_SCORED) {
            rewards[n++] = g->samples[i].reward;
        }
    }
    if (n == 0 || !advantage_group(c->conf->advantage, rewards, n, out)) {
        memset(out, 0, n * sizeof *out);
        return false;
    }
    for (uint32_t i = 0; i < g->row.n_samples && k < n; i++) {
        if (g->samples[i].state == LEDGER_SCORED) {
            signal = signal || (out[k] != 0.0 && !is_masked(c, &g->samples[i]));
            k++;
        }
    }
    return signal;
}

static void drop_state(struct coordinator *c, struct ledger_txn *t, struct group *g,
                       enum ledger_state state, const char *reason)
{
    for (uint32_t i = 0; i < g->row.n_samples; i++) {
        if (g->samples[i].state == state) {
            coordinator_drop(c, t, &g->samples[i], reason);
        }
    }
}

static void count_zero_spread(struct coordinator *c, struct ledger_txn *t, uint64_t n)
{
    c->totals.zero_spread += n;
    ledger_put_counter(t, "zero_spread_groups", (int64_t)c->totals.zero_spread);
}

// The batch shows only groups that carry a signal; reward_mean counts the others too.
static void count_replaced_rewards(struct coordinator *c, const struct group *g)
{
    for (uint32_t i = 0; i < g->row.n_samples; i++) {
        if (g->samples[i].state == LEDGER_SCORED) {
            c->replaced_reward += g->samples[i].reward;
            c->replaced_samples++;
        }
    }
}

static void review_group(struct coordinator *c, struct ledger_txn *t, struct group *g)
{
    double out[LIMIT_SAMPLES_PER_GROUP];
    size_t scored = count_state(g, LEDGER_SCORED);
    g->ready = g->zero_spread = false;
    if (scored < 2) {
        drop_state(c, t, g, LEDGER_SCORED, "too_few");
        return;
    }
    g->ready = true;
    g->risk_since_ms = 0;
    if (advantages(c, g, out)) {
        return;
    }
    if (c->replaced < c->conf->replace_max * c->conf->groups_per_step) {
        c->replaced++;
        count_replaced_rewards(c, g);
        ledger_put_counter(t, "replaced_groups", c->replaced);
        count_zero_spread(c, t, 1);
        g->ready = false;
        drop_state(c, t, g, LEDGER_SCORED, "no_spread");
    } else {
        g->zero_spread = true;    // counted when it is committed: a restart reviews it again
    }
}

void coordinator_review(struct coordinator *c)
{
    for (size_t i = 0; i < c->n_groups && coordinator_can_send(c); i++) {
        struct group *g = c->groups[i];
        if (g->row.purpose != LEDGER_TRAIN || g->ready || g->committed ||
            count_state(g, LEDGER_GENERATING) > 0 || count_state(g, LEDGER_RECEIVED) > 0 ||
            count_state(g, LEDGER_SCORED) == 0) {
            continue;
        }
        struct ledger_txn *t = coordinator_txn(c);
        if (t == NULL) {
            return;
        }
        review_group(c, t, g);
        if (ledger_txn_len(t) > 0) {
            coordinator_send(c, t, NULL);
        } else {
            ledger_txn_destroy(t);
        }
    }
}

size_t coordinator_ready_groups(const struct coordinator *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_groups; i++) {
        n += c->groups[i]->ready;
    }
    return n;
}

// ---- staleness ----

// The oldest version among what the sample holds or may come to hold; UINT64_MAX: no token yet.
static uint64_t oldest_of(const struct sample *s)
{
    if (s->state == LEDGER_RECEIVED || s->state == LEDGER_SCORED) {
        return s->receipt.oldest_version;
    }
    return s->state == LEDGER_GENERATING && s->lease.owner != NULL ? s->lease_version : UINT64_MAX;
}

static uint64_t oldest_in(const struct group *g)
{
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < g->row.n_samples; i++) {
        oldest = MIN(oldest, oldest_of(&g->samples[i]));
    }
    return oldest;
}

static bool too_old(const struct coordinator *c, uint64_t oldest, uint64_t at_version)
{
    return oldest < at_version && at_version - oldest > (uint64_t)c->conf->staleness_max;
}

// Drops what has passed the bound. A leased sample is judged when it arrives: its actor may have
// swapped weights before the first token.
static bool drop_stale(struct coordinator *c)
{
    struct ledger_txn *t = NULL;
    for (size_t i = 0; i < c->n_groups; i++) {
        struct group *g = c->groups[i];
        for (uint32_t k = 0; k < g->row.n_samples; k++) {
            struct sample *s = &g->samples[k];
            bool has_tokens = s->state == LEDGER_RECEIVED || s->state == LEDGER_SCORED;
            if (g->row.purpose != LEDGER_TRAIN || g->committed || !has_tokens ||
                !too_old(c, oldest_of(s), c->version)) {
                continue;
            }
            t = t != NULL ? t : coordinator_txn(c);
            if (t == NULL) {
                return false;
            }
            coordinator_drop(c, t, s, "stale");
            g->ready = false;    // to be reviewed again
        }
    }
    if (t != NULL) {
        coordinator_send(c, t, NULL);
    }
    return t != NULL;
}

// True: some group is worth waiting for. Groups whose wait is over lose what is missing.
static bool wait_for_risky(struct coordinator *c, bool *dropped)
{
    bool wait = false;
    *dropped = false;
    for (size_t i = 0; i < c->n_groups && coordinator_can_send(c); i++) {
        struct group *g = c->groups[i];
        bool incomplete = count_state(g, LEDGER_GENERATING) + count_state(g, LEDGER_RECEIVED) > 0;
        if (g->row.purpose != LEDGER_TRAIN || g->committed || g->ready || !incomplete ||
            !too_old(c, oldest_in(g), c->version + 1)) {
            g->risk_since_ms = 0;
            continue;
        }
        if (g->risk_since_ms == 0) {
            g->risk_since_ms = MAX(c->now_ms, (uint64_t)1);
        }
        if (c->now_ms - g->risk_since_ms < (uint64_t)c->conf->lease_ms) {
            wait = true;
            continue;
        }
        struct ledger_txn *t = coordinator_txn(c);
        if (t == NULL) {
            return true;
        }
        drop_state(c, t, g, LEDGER_GENERATING, "stale");
        drop_state(c, t, g, LEDGER_RECEIVED, "stale");
        coordinator_send(c, t, NULL);
        *dropped = true;
    }
    return wait;
}

// ---- the batch ----

static int by_age(const void *a, const void *b)
{
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    uint64_t ox = oldest_in(x), oy = oldest_in(y);
    return ox != oy ? (ox < oy ? -1 : 1)
                    : (x->row.group_id < y->row.group_id ? -1 : x->row.group_id > y->row.group_id);
}

static int by_id(const void *a, const void *b)
{
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    return x->row.group_id < y->row.group_id ? -1 : x->row.group_id > y->row.group_id;
}

static bool is_fresh(const struct sample *s, uint64_t version)
{
    for (size_t i = 0; i < s->receipt.n_segments; i++) {
        if (s->receipt.segments[i].version != version) {
            return false;
        }
    }
    return true;
}

static bool fill_group(const struct coordinator *c, struct ledger_arena *a, const struct group *g,
                       uint64_t version, struct train_group *out)
{
    double adv[LIMIT_SAMPLES_PER_GROUP];
    size_t n = count_state(g, LEDGER_SCORED), k = 0;
    struct train_sample *samples = ledger_arena_alloc(a, n * sizeof *samples);
    if (samples == NULL) {
        return false;
    }
    (void)advantages(c, g, adv);
    for (uint32_t i = 0; i < g->row.n_samples; i++) {
        const struct sample *s = &g->samples[i];
        if (s->state == LEDGER_SCORED) {
            samples[k] = (struct train_sample){.sample_id = s->id,
                                               .tokens = s->receipt.tokens,
                                               .logprobs = s->receipt.logprobs,
                                               .n_tokens = s->receipt.n_tokens,
                                               .advantage = adv[k],
                                               .fresh = is_fresh(s, version),
                                               .masked = is_masked(c, s)};
            k++;
        }
    }
    *out = (struct train_group){g->row.prompt, g->row.n_prompt, samples, n};
    return true;
}

void coordinator_free_step(struct step *s)
{
    if (s != NULL) {
        ledger_step_free(s->loaded);
        ledger_arena_free(&s->memory);
        json_decref(s->stats);
        free(s);
    }
}

static struct step *build_step(struct coordinator *c, struct group *const *chosen, size_t n,
                               bool no_signal)
{
    struct step *s = calloc(1, sizeof *s);
    struct train_group *groups =
        s != NULL ? ledger_arena_alloc(&s->memory, n * sizeof *groups) : NULL;
    bool good = groups != NULL;
    for (size_t i = 0; good && i < n; i++) {
        good = fill_group(c, &s->memory, chosen[i], c->version, &groups[i]);
    }
    if (good) {
        s->train = (struct train_step){.step = c->last_step + 1,
                                       .version = c->version,
                                       .new_version = no_signal ? c->version : c->next_version,
                                       .groups = groups,
                                       .n_groups = n};
        train_hyper_at(c->conf, s->train.step, &s->train.hyper);
        s->stats = coordinator_batch_stats(c, chosen, n, c->version);
        good = s->stats != NULL;
    }
    if (!good) {
        coordinator_free_step(s);
        return NULL;
    }
    return s;
}

static void commit(struct coordinator *c, struct group *const *chosen, size_t n)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        n_kept += chosen[i]->zero_spread;
    }
    bool no_signal = n_kept == n;
    struct step *s = build_step(c, chosen, n, no_signal);
    struct ledger_txn *t = coordinator_txn(c);
    struct pending *p = coordinator_pending(c, no_signal ? PENDING_PASSED : PENDING_STEP);
    char *stats = s != NULL ? json_dumps(s->stats, JSON_COMPACT) : NULL;
    if (t == NULL || p == NULL || stats == NULL) {
        ledger_txn_destroy(t);
        coordinator_free_step(s);
        free(stats);
        coordinator_fail(c);
        return;
    }
    ledger_put_step(t, c->branch, &s->train, no_signal, stats);
    free(stats);
    count_zero_spread(c, t, n_kept);
    c->replaced = 0;
    c->replaced_reward = 0.0;
    c->replaced_samples = 0;
    ledger_put_counter(t, "replaced_groups", 0);
    c->last_step = s->train.step;
    for (size_t i = 0; i < n; i++) {
        chosen[i]->ready = false;
        chosen[i]->committed = !no_signal;
        for (uint32_t k = 0; k < chosen[i]->row.n_samples; k++) {
            struct sample *m = &chosen[i]->samples[k];
            if (m->state == LEDGER_SCORED && no_signal) {
                coordinator_move(c, m, LEDGER_CONSUMED);
            }
        }
    }
    if (no_signal) {
        p->step = s->train.step;
        p->json = json_incref(s->stats);
        c->last_done = c->last_step;
        c->totals.no_signal_steps++;
        c->work_news[MSG_ROLE_ACTOR] = true;
        coordinator_free_step(s);
        c->idle_since_ms = c->now_ms;
    } else {
        c->next_version++;
        c->step = s;
    }
    coordinator_send(c, t, p);
}

// Nothing more will come: the epochs are over and every group that is alive is ready.
static bool is_last_batch(const struct coordinator *c, size_t ready)
{
    return coordinator_exhausted(c) && ready > 0 &&
           ready == coordinator_live_groups(c, LEDGER_TRAIN);
}

static bool form_batch(struct coordinator *c)
{
    size_t want = (size_t)c->conf->groups_per_step, ready = coordinator_ready_groups(c), n = 0;
    bool dropped = false;
    if (drop_stale(c)) {
        return true;
    }
    if (ready < want && !is_last_batch(c, ready)) {
        return false;
    }
    bool wait = wait_for_risky(c, &dropped);
    if (dropped || wait) {
        return dropped;
    }
    struct group **chosen = malloc(ready * sizeof(struct group *));
    if (chosen == NULL) {
        coordinator_fail(c);
        return false;
    }
    for (size_t i = 0; i < c->n_groups; i++) {
        if (c->groups[i]->ready) {
            chosen[n++] = c->groups[i];
        }
    }
    qsort(chosen, n, sizeof(struct group *), by_age);
    n = MIN(n, want);
    qsort(chosen, n, sizeof(struct group *), by_id);
    commit(c, chosen, n);
    free(chosen);
    return true;
}

void coordinator_try_step(struct coordinator *c)
{
    // Dropping may complete groups, a passed step may be followed by the next: go on until nothing
    // moves.
    for (bool moved = true;
         moved && c->step == NULL && c->stopping == NULL && coordinator_can_send(c);) {
        moved = form_batch(c);
        if (moved) {
            coordinator_review(c);
            coordinator_check_stop(c);
        }
    }
}

enum err coordinator_step_done(struct coordinator *c, const struct train_result *r,
                               const char *metrics_json, uint64_t now_ms)
{
    coordinator_clock(c, now_ms);
    struct step *s = c->step;
    if (s == NULL || !s->handed_over) {
        return ERR_INVALID;
    }
    if (!coordinator_can_send(c)) {
        return ERR_FULL;
    }
    struct ledger_txn *t = coordinator_txn(c);
    struct pending *p = coordinator_pending(c, PENDING_DONE);
    if (t == NULL || p == NULL) {
        ledger_txn_destroy(t);
        return ERR_NOMEM;
    }
    ledger_put_step_done(t, c->branch, s->train.step, r->weights_hash,
                         metrics_json != NULL ? metrics_json : "{}");
    ledger_put_counter(t, "run_ms", (int64_t)coordinator_run_ms(c));
    p->version = s->train.new_version;
    p->step = s->train.step;
    c->version = s->train.new_version;
    c->last_done = s->train.step;
    c->step = NULL;
    c->idle_since_ms = c->now_ms;
    for (size_t i = 0; i < c->n_groups; i++) {
        struct group *g = c->groups[i];
        for (uint32_t k = 0; g->committed && k < g->row.n_samples; k++) {
            if (g->samples[k].state == LEDGER_SCORED) {
                coordinator_move(c, &g->samples[k], LEDGER_CONSUMED);
            }
        }
    }
    if (c->conf->eval_every > 0 && c->last_done % (uint64_t)c->conf->eval_every == 0) {
        coordinator_put_eval(c, t);
    }
    coordinator_free_step(s);
    coordinator_send(c, t, p);
    coordinator_settle(c);
    return ERR_OK;
}
