// coordinator_restore.c: the state machine as the ledger left it.
//
//   generating, leased      its owner keeps it as if heard of now, to come back and name it
//   generating, not leased  free
//   received                a score job again; verdicts that were under way are lost or arrive
//                           late, and the first one counts
//   scored                  stays; its group is reviewed again when the run starts
//   a committed step        is handed to the trainer first, read back from the ledger
//   running evaluations     go on with the tasks that have no group yet
// Nothing is written here: what the ledger says is the state.
#include <stdlib.h>
#include <string.h>

#include "learner/coordinator_internal.h"

static enum err restore_counts(struct coordinator *c, struct ledger *l, struct why *why)
{
    struct ledger_counts n;
    enum err e = ledger_get_counts(l, &n, why);
    if (e != ERR_OK) {
        return e;
    }
    struct coordinator_status *t = &c->totals;
    t->issued = n.issued;
    memcpy(t->by_state, n.by_state, sizeof t->by_state);
    t->duplicates = n.duplicates;
    t->superseded = n.superseded;
    t->unknown = n.unknown;
    t->reissued = n.reissued;
    t->no_signal_steps = n.no_signal_steps;
    int64_t zero_spread = 0;
    e = ledger_get_counter(l, "zero_spread_groups", &zero_spread, why);
    e = e == ERR_OK ? ledger_get_counter(l, "replaced_groups", &c->replaced, why) : e;
    e = e == ERR_OK ? ledger_get_counter(l, "run_ms", &c->run_ms_before, why) : e;
    t->zero_spread = (uint64_t)zero_spread;
    return e;
}

static void count_drop(void *arg, const char *reason, size_t bucket, uint64_t n)
{
    coordinator_count_drop(arg, reason, bucket, n);
}

static enum err restore_heads(struct coordinator *c, struct ledger *l, struct why *why)
{
    struct ledger_heads h;
    enum err e = ledger_get_heads(l, &h, why);
    if (e != ERR_OK) {
        return e;
    }
    if (h.newest_version == 0) {
        return why_set(why, ERR_INVALID, "the ledger has no version on branch %llu yet",
                       (unsigned long long)h.branch);
    }
    c->next_sample = h.next_sample;
    c->next_group = h.next_group;
    c->next_eval = h.next_eval;
    c->next_ordinal = h.next_ordinal;
    c->next_version = h.next_version;
    c->branch = h.branch;
    c->base_version = h.base_version;
    c->version = c->durable_version = h.newest_version;
    c->last_step = h.last_step;
    c->last_done = h.last_done;
    if (h.last_step == h.last_done) {
        return ERR_OK;
    }
    c->step = calloc(1, sizeof *c->step);
    if (c->step == NULL) {
        return ERR_NOMEM;
    }
    e = ledger_load_step(l, h.branch, h.last_step, &c->step->loaded, why);
    if (e == ERR_OK) {
        c->step->train = c->step->loaded->train;
        c->step->durable = true;
    }
    return e;
}

static enum err restore_evals(struct coordinator *c, struct ledger *l, struct why *why)
{
    struct ledger_eval *list = NULL;
    size_t n = 0;
    enum err e = ledger_list_evals(l, &list, &n, why);
    if (e != ERR_OK) {
        return e;
    }
    c->evals = calloc(n + 1, sizeof *c->evals);
    for (size_t i = 0; c->evals != NULL && i < n; i++) {
        if (list[i].version >= c->base_version && !list[i].ended) {
            c->evaluated_version = MAX(c->evaluated_version, list[i].version);
        }
        if (!list[i].done && !list[i].ended) {
            c->evals[c->n_evals++] = (struct eval){list[i].eval_id, list[i].version, list[i].step,
                                                   list[i].n, list[i].n_issued};
        }
    }
    free(list);
    return c->evals == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err copy_receipt(struct sample *s, const struct ledger_receipt *r)
{
    struct ledger_arena *a = &s->memory;
    s->receipt = *r;
    s->receipt.tokens = ledger_arena_copy(a, r->tokens, r->n_tokens * sizeof *r->tokens);
    s->receipt.logprobs = ledger_arena_copy(a, r->logprobs, r->n_tokens * sizeof *r->logprobs);
    s->receipt.segments = ledger_arena_copy(a, r->segments, r->n_segments * sizeof *r->segments);
    s->receipt.response = ledger_arena_text(a, r->response);
    return a->failed ? ERR_NOMEM : ERR_OK;
}

static enum err restore_sample(struct coordinator *c, struct sample *s,
                               const struct ledger_live_sample *m, struct why *why)
{
    s->state = m->state;
    s->attempt = m->attempt;
    s->tries = m->tries;
    s->lease_version = m->lease_version;
    s->reward = m->reward;
    s->received_ms = c->now_ms;
    s->last_owner = m->owner;
    s->has_last_owner = m->has_owner;
    if (m->receipt.tokens != NULL && copy_receipt(s, &m->receipt) != ERR_OK) {
        return ERR_NOMEM;
    }
    if (m->step != 0) {
        s->committed = s->group->committed = true;
    }
    if (m->state != LEDGER_GENERATING || !m->has_owner || m->attempt == 0) {
        return ERR_OK;
    }
    struct peer *p = coordinator_peer(c, m->owner);
    if (p == NULL) {
        p = coordinator_add_peer(c, m->owner, MSG_ROLE_ACTOR);
    }
    if (p == NULL) {
        return why_set(why, ERR_LIMIT, "more than %d processes hold leases", COORDINATOR_PEERS_MAX);
    }
    coordinator_lease(c, s, p, true);
    return ERR_OK;
}

// A group with a verdict keeps the versions of the checks that gave it.
static enum err restore_pins(struct group *g, const struct ledger_live *live,
                             const struct ledger_live_sample *m)
{
    if (g->n_pins > 0 || m->n_components == 0) {
        return ERR_OK;
    }
    g->pins = calloc(m->n_components, sizeof *g->pins);
    if (g->pins == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < m->n_components; i++) {
        const struct msg_component *k = &live->components[m->first_component + i];
        struct pin *p = &g->pins[g->n_pins++];
        memcpy(p->name, k->id.data, MIN(k->id.len, sizeof p->name - 1));
        memcpy(p->version, k->version.data, MIN(k->version.len, sizeof p->version - 1));
    }
    return ERR_OK;
}

static enum err restore_live(struct coordinator *c, struct ledger *l, struct why *why)
{
    struct ledger_live *live = NULL;
    enum err e = ledger_load_live(l, &live, why);
    if (e != ERR_OK) {
        return e;
    }
    size_t at = 0;
    for (size_t i = 0; e == ERR_OK && i < live->n_groups; i++) {
        struct group *g = coordinator_new_group(c, &live->groups[i]);
        if (g == NULL) {
            e = ERR_NOMEM;
            break;
        }
        for (uint32_t k = 0; e == ERR_OK && k < g->row.n_samples; k++, at++) {
            const struct ledger_live_sample *m = &live->samples[at];
            if (at >= live->n_samples || m->sample_id != g->row.first_sample + k) {
                e = why_set(why, ERR_CORRUPT, "group %llu: its samples are not %llu to %llu",
                            (unsigned long long)g->row.group_id,
                            (unsigned long long)g->row.first_sample,
                            (unsigned long long)(g->row.first_sample + g->row.n_samples - 1));
                break;
            }
            e = restore_sample(c, &g->samples[k], m, why);
            e = e == ERR_OK ? restore_pins(g, live, m) : e;
        }
    }
    ledger_live_free(live);
    return e;
}

enum err coordinator_restore(struct coordinator *c, struct ledger *l, struct why *why)
{
    enum err e = restore_heads(c, l, why);
    e = e == ERR_OK ? restore_counts(c, l, why) : e;
    e = e == ERR_OK ? ledger_each_drop(l, count_drop, c, why) : e;
    e = e == ERR_OK ? restore_evals(c, l, why) : e;
    return e == ERR_OK ? restore_live(c, l, why) : e;
}
