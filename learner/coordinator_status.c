// coordinator_status.c: what /status and /healthz say about the state machine. Reads only.
//
// In: the state in memory. Out: a struct of counters and the list of waits, worst first. Loop
// thread; it scans the live groups and touches neither ledger nor disk.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "learner/coordinator_internal.h"

void coordinator_get_status(const struct coordinator *c, uint64_t now_ms,
                            struct coordinator_status *out)
{
    *out = c->totals;
    out->version = c->durable_version;
    out->step = c->last_done;
    out->branch = c->branch;
    out->training = c->step != NULL;
    out->training_step = c->step != NULL ? c->step->train.step : 0;
    out->groups_live = coordinator_live_groups(c, LEDGER_TRAIN);
    out->groups_ready = coordinator_ready_groups(c);
    out->groups_bound = ((uint64_t)c->conf->staleness_max + 1) * (uint64_t)c->conf->groups_per_step;
    uint64_t bound = coordinator_bound(c);
    out->groups_admissible =
        bound > out->groups_live && c->stopping == NULL && !coordinator_exhausted(c)
            ? bound - out->groups_live
            : 0;
    for (size_t g = 0; g < c->n_groups; g++) {
        for (uint32_t i = 0; i < c->groups[g]->row.n_samples; i++) {
            const struct sample *s = &c->groups[g]->samples[i];
            bool leased = s->lease.owner != NULL;
            out->samples_unleased += s->state == LEDGER_GENERATING && !leased;
            out->samples_leased += s->state == LEDGER_GENERATING && leased;
            out->jobs_queued += s->state == LEDGER_RECEIVED && !leased;
            out->jobs_leased += s->state == LEDGER_RECEIVED && leased;
        }
    }
    out->replaced_this_step = (uint64_t)c->replaced;
    if (c->n_evals > 0) {
        const struct eval *v = &c->evals[0];
        uint64_t open = 0;
        for (size_t g = 0; g < c->n_groups; g++) {
            open += c->groups[g]->row.eval_id == v->id &&
                    c->groups[g]->samples[0].state < LEDGER_SCORED;
        }
        out->eval_id = v->id;
        out->eval_n = v->n;
        out->eval_done = v->n_issued - open;
    }
    out->ordinal = c->next_ordinal;
    out->epoch = c->next_ordinal / c->config.n_train;
    out->first_lease_ms = c->first_lease_ms;
    out->run_minutes =
        ((double)c->run_ms_before + (c->first_lease_ms > 0 && now_ms > c->first_lease_ms
                                         ? (double)(now_ms - c->first_lease_ms)
                                         : 0.0)) /
        60000.0;
    for (size_t i = 0; i < c->n_peers; i++) {
        bool alive = c->peers[i]->greeted && coordinator_alive(c, c->peers[i], now_ms);
        out->actors += alive && c->peers[i]->role == MSG_ROLE_ACTOR;
        out->verifiers += alive && c->peers[i]->role == MSG_ROLE_VERIFIER;
    }
    out->stopping = c->stopping;
}

// ---- waits ----

struct waits {
    const struct coordinator *c;
    uint64_t now_ms;
    struct coordinator_wait *out;
    size_t n, cap;
};

// Adds a wait; overdue after `patience` lease times (0: never).
static void PRINTF_LIKE(5, 6) add_wait(struct waits *w, const char *who, uint64_t since_ms,
                                       uint64_t patience, const char *fmt, ...)
{
    if (w->n == w->cap) {
        return;
    }
    struct coordinator_wait *x = &w->out[w->n++];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(x->what, sizeof x->what, fmt, args);
    va_end(args);
    (void)snprintf(x->who, sizeof x->who, "%.*s", (int)sizeof x->who - 1, who);
    x->since_ms = since_ms;
    uint64_t waited = w->now_ms - MIN(since_ms, w->now_ms);
    x->overdue = patience > 0 && waited > patience * (uint64_t)w->c->conf->lease_ms;
}

static void learner_waits(struct waits *w)
{
    const struct coordinator *c = w->c;
    if (c->failed) {
        add_wait(w, "learner", c->now_ms, 1, "the ledger: writing failed, the run stops");
    } else if (!coordinator_can_send(c)) {
        add_wait(w, "learner", c->now_ms, 1, "the ledger: its queue is full");
    }
    if (c->source_failed) {
        add_wait(w, "learner", c->idle_since_ms, 1, "the task source: it gives no task");
    }
    if (c->step == NULL && c->stopping == NULL) {
        add_wait(w, "learner", c->idle_since_ms, 2, "groups: %zu of %lld are ready",
                 coordinator_ready_groups(c), (long long)c->conf->groups_per_step);
    }
    for (size_t g = 0; g < c->n_groups; g++) {
        if (c->groups[g]->risk_since_ms > 0) {
            add_wait(w, "learner", c->groups[g]->risk_since_ms, 2,
                     "group %llu: its last chance before it is stale",
                     (unsigned long long)c->groups[g]->row.group_id);
        }
    }
    if (c->n_evals > 0) {
        add_wait(w, "learner", c->idle_since_ms, 0, "evaluation %llu of version %llu",
                 (unsigned long long)c->evals[0].id, (unsigned long long)c->evals[0].version);
    }
}

// Samples that wait for an actor or for a verifier; one line each, with the longest wait.
static void sample_waits(struct waits *w)
{
    const struct coordinator *c = w->c;
    uint64_t since = UINT64_MAX;
    size_t n = 0;
    char check[LIMIT_NAME_BYTES + 1] = "", missing[LIMIT_NAME_BYTES + 1] = "";
    uint64_t missing_since = UINT64_MAX;
    for (size_t g = 0; g < c->n_groups; g++) {
        for (uint32_t i = 0; i < c->groups[g]->row.n_samples; i++) {
            const struct sample *s = &c->groups[g]->samples[i];
            if (s->state != LEDGER_RECEIVED || s->lease.owner != NULL) {
                continue;
            }
            n++;
            since = MIN(since, s->received_ms);
            if (s->received_ms < missing_since &&
                coordinator_unoffered(c, c->groups[g], check, sizeof check)) {
                missing_since = s->received_ms;
                memcpy(missing, check, sizeof missing);
            }
        }
    }
    if (missing_since != UINT64_MAX) {
        add_wait(w, "learner", missing_since, 1, "a verifier that offers check %s", missing);
    } else if (n > 0) {
        add_wait(w, "learner", since, 1, "a verifier for %zu answers", n);
    }
}

static void peer_waits(struct waits *w)
{
    const struct coordinator *c = w->c;
    size_t alive[MSG_ROLE_VERIFIER + 1] = {0};
    uint64_t heard[MSG_ROLE_VERIFIER + 1] = {0};
    for (size_t i = 0; i < c->n_peers; i++) {
        const struct peer *p = c->peers[i];
        bool is_alive = coordinator_alive(c, p, w->now_ms);
        alive[p->role] += is_alive;
        heard[p->role] = MAX(heard[p->role], p->heard_ms);
        if (is_alive && p->waits_for[0] != '\0') {
            char who[64];
            (void)snprintf(who, sizeof who, "%s %.48s",
                           p->role == MSG_ROLE_ACTOR ? "actor" : "verifier", p->name);
            add_wait(w, who, p->waits_since_ms, 0, "%.128s", p->waits_for);
        }
    }
    if (alive[MSG_ROLE_ACTOR] == 0) {
        add_wait(w, "learner", MAX(heard[MSG_ROLE_ACTOR], c->idle_since_ms), 1,
                 "an actor: none is connected");
    }
    if (alive[MSG_ROLE_VERIFIER] == 0) {
        add_wait(w, "learner", MAX(heard[MSG_ROLE_VERIFIER], c->idle_since_ms), 1,
                 "a verifier: none is connected");
    }
}

size_t coordinator_waits(const struct coordinator *c, uint64_t now_ms, struct coordinator_wait *out,
                         size_t cap)
{
    struct waits w = {c, now_ms, out, 0, cap};
    learner_waits(&w);
    sample_waits(&w);
    peer_waits(&w);
    size_t front = 0;    // overdue ones first, otherwise in the order found
    for (size_t i = 0; i < w.n; i++) {
        if (out[i].overdue) {
            struct coordinator_wait x = out[i];
            memmove(&out[front + 1], &out[front], (i - front) * sizeof *out);
            out[front++] = x;
        }
    }
    return w.n;
}

size_t coordinator_peers(const struct coordinator *c, uint64_t now_ms, struct coordinator_peer *out,
                         size_t cap)
{
    size_t n = MIN(c->n_peers, cap);
    for (size_t i = 0; i < n; i++) {
        const struct peer *p = c->peers[i];
        out[i] = (struct coordinator_peer){p->name,
                                           p->detail,
                                           p->incarnation,
                                           p->role,
                                           p->heard_ms,
                                           p->leases,
                                           coordinator_alive(c, p, now_ms)};
    }
    return n;
}
