// coordinator.c: the frame of the state machine: entries, transactions, callbacks.
//
// Every entry of coordinator.h follows one pattern: note the time, check the request against
// memory, change memory and write the same change into a transaction, send it, settle. settle makes
// the decisions that may now be due (a group is complete, a batch can be formed, an evaluation is
// over, a stop rule holds) until nothing moves any more, and then calls the service back. Since
// memory leads and the sink keeps the order, an event never waits for the disk; only its answer
// does.
//
// A sink without room stops decisions, not entries that change nothing: a refused entry (ERR_FULL)
// leaves memory as it was, a postponed decision is made by the next settle.
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "learner/coordinator_internal.h"

int64_t coordinator_wall(const struct coordinator *c)
{
    return (int64_t)c->now_ms + c->wall_offset_ms;
}

void coordinator_clock(struct coordinator *c, uint64_t now_ms)
{
    c->now_ms = MAX(c->now_ms, now_ms);
}

// ---- transactions ----

void coordinator_fail(struct coordinator *c)
{
    c->failed = true;
}

bool coordinator_can_send(const struct coordinator *c)
{
    return !c->failed && c->sink.room(c->sink.arg) > 0;
}

struct ledger_txn *coordinator_txn(struct coordinator *c)
{
    struct ledger_txn *t = ledger_txn_create(coordinator_wall(c));
    if (t == NULL) {
        coordinator_fail(c);
    }
    return t;
}

struct pending *coordinator_pending(struct coordinator *c, enum pending_kind kind)
{
    struct pending *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->c = c;
    p->kind = kind;
    p->next = c->pending;
    if (p->next != NULL) {
        p->next->prev = p;
    }
    c->pending = p;
    return p;
}

static void free_pending(struct pending *p)
{
    if (p->prev != NULL) {
        p->prev->next = p->next;
    } else {
        p->c->pending = p->next;
    }
    if (p->next != NULL) {
        p->next->prev = p->prev;
    }
    ledger_arena_free(&p->memory);
    json_decref(p->json);
    free(p);
}

void coordinator_cancel(struct pending *p)
{
    free_pending(p);
}

static void complete_work(struct coordinator *c, struct pending *p, enum err e)
{
    for (size_t g = 0; e == ERR_OK && g < p->n_groups; g++) {
        for (size_t i = 0; i < p->groups[g].n_samples; i++) {
            struct sample *s = coordinator_sample(c, p->groups[g].sample_ids[i]);
            if (s != NULL && s->state == LEDGER_GENERATING && s->attempt == p->groups[g].attempt) {
                s->lease.told = true;
            }
        }
    }
    p->work(p->fn_arg, e, p->groups, e == ERR_OK ? p->n_groups : 0);
}

static void on_done(void *arg, enum err e, const struct ledger_txn *t)
{
    struct pending *p = arg;
    struct coordinator *c = p->c;
    if (e != ERR_OK) {
        coordinator_fail(c);
    }
    switch (p->kind) {
    case PENDING_NONE:
        break;
    case PENDING_ACK:
        p->ack(p->fn_arg, e, p->status);
        break;
    case PENDING_REPEAT: {
        enum msg_ack status = ledger_txn_repeat_status(t);
        c->totals.duplicates += status == MSG_ACK_DUPLICATE;
        c->totals.superseded += status == MSG_ACK_SUPERSEDED;
        c->totals.unknown += status == MSG_ACK_UNKNOWN;
        p->ack(p->fn_arg, e, status);
        break;
    }
    case PENDING_WORK:
        complete_work(c, p, e);
        break;
    case PENDING_STEP:
        if (e == ERR_OK) {
            c->step->durable = true;
            c->step_news = true;
        }
        break;
    case PENDING_PASSED:
        if (e == ERR_OK) {
            c->ops.no_signal(c->ops.arg, p->step, p->json);
        }
        break;
    case PENDING_DONE:
        if (e == ERR_OK) {
            c->durable_version = p->version;
            c->ops.version(c->ops.arg, p->version);
            c->work_news[MSG_ROLE_ACTOR] = true;
        }
        break;
    case PENDING_EVAL_DONE:
        if (e == ERR_OK) {
            p->eval.by_kind = p->json;
            c->ops.eval_done(c->ops.arg, &p->eval);
        }
        break;
    }
    free_pending(p);
    coordinator_settle(c);
}

void coordinator_send(struct coordinator *c, struct ledger_txn *t, struct pending *p)
{
    if (p == NULL) {
        p = coordinator_pending(c, PENDING_NONE);
    }
    enum err e = t == NULL || p == NULL ? ERR_NOMEM
                 : !ledger_txn_ok(t)    ? ERR_NOMEM
                                        : c->sink.send(c->sink.arg, t, on_done, p);
    if (e == ERR_OK) {
        return;
    }
    // Entries ask for room first, so this is the end of the run: memory is ahead of a ledger that
    // will not follow.
    LOG_ERROR("LEDGER_REFUSED", "code=\"%s\"", err_text(e));
    coordinator_fail(c);
    ledger_txn_destroy(t);
    if (p != NULL) {
        if (p->ack != NULL) {
            p->ack(p->fn_arg, e, MSG_ACK_UNKNOWN);
        } else if (p->work != NULL) {
            p->work(p->fn_arg, e, NULL, 0);
        }
        free_pending(p);
    }
}

// ---- groups and samples ----

bool coordinator_live(const struct sample *s)
{
    return s->state <= LEDGER_SCORED;
}

struct sample *coordinator_sample(const struct coordinator *c, uint64_t sample_id)
{
    size_t lo = 0, hi = c->n_groups;    // groups are sorted by first_sample too
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct ledger_group *row = &c->groups[mid]->row;
        if (sample_id < row->first_sample) {
            hi = mid;
        } else if (sample_id - row->first_sample >= row->n_samples) {
            lo = mid + 1;
        } else {
            return &c->groups[mid]->samples[sample_id - row->first_sample];
        }
    }
    return NULL;
}

struct group *coordinator_new_group(struct coordinator *c, const struct ledger_group *row)
{
    if (c->n_groups == c->cap_groups) {
        size_t cap = MAX((size_t)64, 2 * c->cap_groups);
        struct group **grown = realloc(c->groups, cap * sizeof(struct group *));
        if (grown == NULL) {
            return NULL;
        }
        c->groups = grown;
        c->cap_groups = cap;
    }
    struct group *g = calloc(1, sizeof *g);
    struct sample *samples = calloc(row->n_samples, sizeof *samples);
    if (g == NULL || samples == NULL) {
        free(g);
        free(samples);
        return NULL;
    }
    struct ledger_arena *a = &g->memory;
    g->row = *row;
    g->row.prompt = ledger_arena_copy(a, row->prompt, row->n_prompt * sizeof *row->prompt);
    struct msg_text *const texts[] = {&g->row.prompt_text,  &g->row.dataset, &g->row.checks,
                                      &g->row.ground_truth, &g->row.kind,    &g->row.needs};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        *texts[i] = ledger_arena_text(a, *texts[i]);
    }
    g->samples = samples;
    if (a->failed) {
        coordinator_forget_group(g);
        return NULL;
    }
    for (uint32_t i = 0; i < row->n_samples; i++) {
        samples[i].id = row->first_sample + i;
        samples[i].group = g;
    }
    c->groups[c->n_groups++] = g;
    return g;
}

void coordinator_forget_group(struct group *g)
{
    for (uint32_t i = 0; i < g->row.n_samples; i++) {
        ledger_arena_free(&g->samples[i].memory);
    }
    free(g->samples);
    free(g->pins);
    ledger_arena_free(&g->memory);
    free(g);
}

void coordinator_reap(struct coordinator *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n_groups; i++) {
        struct group *g = c->groups[i];
        bool alive = false;
        for (uint32_t k = 0; k < g->row.n_samples; k++) {
            alive = alive || coordinator_live(&g->samples[k]);
        }
        if (alive) {
            c->groups[kept++] = g;
        } else {
            coordinator_forget_group(g);
        }
    }
    c->n_groups = kept;
}

void coordinator_move(struct coordinator *c, struct sample *s, enum ledger_state to)
{
    c->totals.by_state[s->state]--;
    c->totals.by_state[to]++;
    s->state = to;
    coordinator_unlease(s);
}

void coordinator_count_drop(struct coordinator *c, const char *reason, size_t bucket, uint64_t n)
{
    struct coordinator_status *t = &c->totals;
    size_t i = 0;
    while (i < t->n_drops && strcmp(t->drops[i].reason, reason) != 0) {
        i++;
    }
    if (i == t->n_drops) {
        if (i == COORDINATOR_REASONS) {
            i--;    // the last entry collects the rest
            reason = "other";
        } else {
            t->n_drops++;
        }
        size_t len = MIN(strlen(reason), (size_t)LEDGER_REASON_BYTES - 1);
        memcpy(t->drops[i].reason, reason, len);
        t->drops[i].reason[len] = '\0';
    }
    t->drops[i].n += n;
    t->drops[i].by_length[MIN(bucket, (size_t)LEDGER_LENGTH_BUCKETS - 1)] += n;
}

void coordinator_drop(struct coordinator *c, struct ledger_txn *t, struct sample *s,
                      const char *reason)
{
    ledger_put_drop(t, s->id, s->state, reason);
    coordinator_count_drop(
        c, reason, s->state == LEDGER_GENERATING ? 0 : ledger_length_bucket(s->receipt.n_tokens),
        1);
    coordinator_move(c, s, LEDGER_DROPPED);
    c->work_news[MSG_ROLE_ACTOR] = true;    // its credit is back
}

// ---- decisions and callbacks ----

static void deliver(struct coordinator *c)
{
    static const enum msg_role roles[] = {MSG_ROLE_ACTOR, MSG_ROLE_VERIFIER};
    if (c->step_news && c->step != NULL && c->step->durable && !c->step->handed_over) {
        c->step_news = false;
        c->step->handed_over = true;
        c->ops.step(c->ops.arg, &c->step->train, c->step->stats);
    }
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (c->work_news[roles[i]]) {
            c->work_news[roles[i]] = false;
            c->ops.work(c->ops.arg, roles[i]);
        }
    }
    if (c->stopping != NULL && !c->finish_told && c->step == NULL && c->n_evals == 0 &&
        c->pending == NULL) {
        c->finish_told = true;
        c->ops.finished(c->ops.arg, c->stopping);
    }
}

void coordinator_settle(struct coordinator *c)
{
    if (!c->started || c->delivering) {
        return;    // the outer settle goes round again
    }
    c->delivering = true;
    for (bool again = true; again && !c->failed;) {
        coordinator_review(c);
        coordinator_check_stop(c);
        coordinator_try_step(c);
        coordinator_check_evals(c);
        coordinator_reap(c);
        deliver(c);
        again = c->step_news || c->work_news[MSG_ROLE_ACTOR] || c->work_news[MSG_ROLE_VERIFIER];
    }
    c->delivering = false;
}

// ---- life ----

enum err coordinator_create(const struct coordinator_config *config,
                            const struct coordinator_ops *ops, struct ledger *l,
                            struct ledger_sink sink, uint64_t now_ms, int64_t wall_ms,
                            struct coordinator **out, struct why *why)
{
    struct coordinator *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->config = *config;
    c->conf = config->conf;
    c->ops = *ops;
    c->sink = sink;
    c->now_ms = now_ms;
    c->wall_offset_ms = wall_ms - (int64_t)now_ms;
    c->idle_since_ms = now_ms;
    enum err e = config->n_train == 0 ? why_set(why, ERR_INVALID, "no training tasks")
                                      : reward_policy_init(c->conf, &c->policy, why);
    e = e != ERR_OK ? e : coordinator_restore(c, l, why);
    if (e != ERR_OK) {
        coordinator_destroy(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

void coordinator_destroy(struct coordinator *c)
{
    if (c == NULL) {
        return;
    }
    while (c->pending != NULL) {
        free_pending(c->pending);
    }
    reward_policy_fini(&c->policy);
    free(c->needs);
    coordinator_free_step(c->step);
    for (size_t i = 0; i < c->n_groups; i++) {
        coordinator_forget_group(c->groups[i]);
    }
    for (size_t i = 0; i < c->n_peers; i++) {
        coordinator_free_peer(c->peers[i]);
    }
    free(c->groups);
    free(c->peers);
    free(c->evals);
    ledger_arena_free(&c->handed_out);
    free(c);
}

void coordinator_start(struct coordinator *c, uint64_t now_ms)
{
    CHECK(!c->started);
    coordinator_clock(c, now_ms);
    c->started = true;
    for (size_t i = 0; i < c->n_evals; i++) {
        c->ops.pin(c->ops.arg, c->evals[i].version, true);
    }
    if (c->evaluated_version == 0 && c->last_step == 0) {
        coordinator_begin_eval(c);
    }
    c->step_news = c->step != NULL;
    coordinator_settle(c);
}

void coordinator_tick(struct coordinator *c, uint64_t now_ms, int64_t wall_ms)
{
    coordinator_clock(c, now_ms);
    c->wall_offset_ms = wall_ms - (int64_t)now_ms;
    if (c->started && !c->failed) {
        coordinator_expire(c);
        coordinator_settle(c);
    }
}

void coordinator_stop_asked(struct coordinator *c, uint64_t now_ms)
{
    coordinator_clock(c, now_ms);
    if (c->stopping == NULL) {
        c->stopping = "asked";
        coordinator_begin_eval(c);
    }
    coordinator_settle(c);
}

uint64_t coordinator_newest_version(const struct coordinator *c)
{
    return c->durable_version;
}

enum err coordinator_checkpoint(struct coordinator *c, uint64_t step, uint64_t version,
                                const char *dir)
{
    if (!coordinator_can_send(c)) {
        return ERR_FULL;
    }
    struct ledger_txn *t = coordinator_txn(c);
    if (t == NULL) {
        return ERR_NOMEM;
    }
    ledger_put_checkpoint(t, step, version, dir, c->branch);
    coordinator_send(c, t, NULL);
    return ERR_OK;
}

enum err coordinator_checkpoint_gone(struct coordinator *c, const char *dir)
{
    if (!coordinator_can_send(c)) {
        return ERR_FULL;
    }
    struct ledger_txn *t = coordinator_txn(c);
    if (t == NULL) {
        return ERR_NOMEM;
    }
    ledger_put_checkpoint_gone(t, dir);
    coordinator_send(c, t, NULL);
    return ERR_OK;
}
