// coordinator_admission.c: which groups are issued, and which samples an actor gets.
//
// Order of service: evaluation before training; samples that are free again or were never leased,
// oldest group first; then new groups.
//
// The bound (staleness = version a sample trains at - version of its oldest token) is kept by never
// starting work that could pass it. Groups are consumed about oldest first, groups_per_step of them
// per version. With v = the version the next batch trains at and r = live groups ahead that no step
// has taken yet, a group trains at version v + r / groups_per_step at the latest, so whoever
// generates it must have at least v + r / groups_per_step - staleness_max. Example: 8 groups a
// step, staleness_max 1, version 5, trainer idle: groups 0..7 may be decoded under version 4,
// groups 8..15 need version 5, and a 17th group is not admitted. With staleness_max 0 this is the
// synchronous loop: 8 groups, and nothing is leased while the step runs.
#include <string.h>

#include "common/log.h"
#include "learner/coordinator_internal.h"

size_t coordinator_live_groups(const struct coordinator *c, enum ledger_purpose purpose)
{
    size_t n = 0;
    for (size_t g = 0; g < c->n_groups; g++) {
        bool alive = false;
        for (uint32_t i = 0;
             c->groups[g]->row.purpose == purpose && i < c->groups[g]->row.n_samples; i++) {
            alive = alive || coordinator_live(&c->groups[g]->samples[i]);
        }
        n += alive;
    }
    return n;
}

bool coordinator_exhausted(const struct coordinator *c)
{
    return c->conf->stop_epochs > 0 &&
           c->next_ordinal / c->config.n_train >= (uint64_t)c->conf->stop_epochs;
}

uint64_t coordinator_bound(const struct coordinator *c)
{
    uint64_t per_step = (uint64_t)c->conf->groups_per_step;
    uint64_t bound = ((uint64_t)c->conf->staleness_max + 1) * per_step;
    if (c->conf->stop_steps > 0) {    // nothing is generated for steps that will not be
        uint64_t stop = (uint64_t)c->conf->stop_steps;
        bound = MIN(bound, (stop > c->last_done ? stop - c->last_done : 0) * per_step);
    }
    return bound;
}

// Weights an actor must have for the training group with `ahead` groups before it.
static uint64_t version_needed(const struct coordinator *c, uint64_t ahead)
{
    uint64_t trains_at =
        c->version + (c->step != NULL) + ahead / (uint64_t)c->conf->groups_per_step;
    uint64_t slack = (uint64_t)c->conf->staleness_max;
    return MAX(trains_at > slack ? trains_at - slack : 1, c->base_version);
}

static bool issue(struct coordinator *c, struct ledger_txn *t, struct ledger_group *row)
{
    row->group_id = c->next_group;
    row->first_sample = c->next_sample;
    struct group *g = coordinator_new_group(c, row);
    if (g == NULL) {
        coordinator_fail(c);
        return false;
    }
    ledger_put_group(t, row);
    c->next_group++;
    c->next_sample += row->n_samples;
    c->totals.issued += row->n_samples;
    c->totals.by_state[LEDGER_GENERATING] += row->n_samples;
    return true;
}

// A training answer also meets the policy's shaping checks, so its verifier must offer them.
static bool join_needs(struct coordinator *c, struct ledger_group *row)
{
    if (row->purpose != LEDGER_TRAIN || c->policy.needs[0] == '\0') {
        return true;
    }
    free(c->needs);
    c->needs = NULL;
    if (asprintf(&c->needs, "%.*s\n%s", (int)row->needs.len, row->needs.data, c->policy.needs) <
        0) {
        c->needs = NULL;
        return false;
    }
    row->needs = msg_text_of(c->needs);
    return true;
}

static bool draw(struct coordinator *c, enum ledger_purpose purpose, uint64_t ordinal,
                 struct ledger_group *row)
{
    struct coordinator_task task = {0};
    enum err e = c->ops.task(c->ops.arg, purpose, ordinal, &task);
    if (e != ERR_OK || task.n_prompt == 0) {
        if (!c->source_failed) {
            LOG_ERROR("TASK_SOURCE", "ordinal=%llu code=\"%s\"", (unsigned long long)ordinal,
                      err_text(e != ERR_OK ? e : ERR_INVALID));
        }
        c->source_failed = true;
        return false;
    }
    c->source_failed = false;
    *row = (struct ledger_group){.purpose = purpose,
                                 .ordinal = ordinal,
                                 .task_index = task.task_index,
                                 .epoch = task.epoch,
                                 .prompt = task.prompt,
                                 .n_prompt = task.n_prompt,
                                 .prompt_text = task.prompt_text,
                                 .dataset = task.dataset,
                                 .checks = task.checks,
                                 .ground_truth = task.ground_truth,
                                 .kind = task.kind,
                                 .needs = task.needs};
    return join_needs(c, row);
}

static bool issue_eval(struct coordinator *c, struct ledger_txn *t)
{
    for (size_t i = 0; i < c->n_evals; i++) {
        struct eval *v = &c->evals[i];
        struct ledger_group row;
        if (v->n_issued >= v->n) {
            continue;
        }
        if (!draw(c, LEDGER_EVAL, v->n_issued, &row)) {
            return false;
        }
        int64_t max_tokens =
            c->conf->eval_max_tokens > 0 ? c->conf->eval_max_tokens : c->conf->max_tokens;
        row.eval_id = v->id;
        row.pinned_version = v->version;
        row.sampling = (struct msg_sampling){
            .max_tokens = (uint32_t)max_tokens, .temperature = 0.0f, .top_p = 1.0f, .top_k = 0};
        row.n_samples = 1;
        v->n_issued++;
        return issue(c, t, &row);
    }
    return false;
}

static bool issue_train(struct coordinator *c, struct ledger_txn *t, uint64_t have_version)
{
    size_t live = coordinator_live_groups(c, LEDGER_TRAIN), untaken = 0;
    if (c->stopping != NULL || live >= coordinator_bound(c) || coordinator_exhausted(c)) {
        return false;
    }
    for (size_t g = 0; g < c->n_groups; g++) {
        untaken += c->groups[g]->row.purpose == LEDGER_TRAIN && !c->groups[g]->committed;
    }
    struct ledger_group row;
    if (have_version < version_needed(c, untaken) ||
        !draw(c, LEDGER_TRAIN, c->next_ordinal, &row)) {
        return false;
    }
    const struct conf *f = c->conf;
    row.sampling = (struct msg_sampling){.max_tokens = (uint32_t)f->max_tokens,
                                         .temperature = (float)f->temperature,
                                         .top_p = (float)f->top_p,
                                         .top_k = (uint32_t)f->top_k,
                                         .min_p = (float)f->min_p};
    row.n_samples = (uint32_t)f->group_size;
    c->next_ordinal++;
    return issue(c, t, &row);
}

// ---- one lease request ----

struct handout {
    struct coordinator *c;
    struct ledger_txn *t;
    struct peer *actor;
    struct ledger_arena *memory;
    uint64_t have_version;
    size_t left;         // samples the actor still has room for
    size_t n_prompts;    // prompt tokens in the message
    struct msg_group *groups;
    size_t n_groups;
};

// The msg_group for samples of g at this attempt: the last one if it fits, else a new one. NULL: no
// room in the message.
static struct msg_group *group_for(struct handout *h, struct group *g, uint32_t attempt)
{
    struct msg_group *last = h->n_groups > 0 ? &h->groups[h->n_groups - 1] : NULL;
    if (last != NULL && last->group_id == g->row.group_id && last->attempt == attempt) {
        return last;
    }
    // A token takes at most 5 bytes on the wire; the largest message must hold all prompts and ids.
    enum { PROMPTS_MAX = LIMIT_MESSAGE_BYTES / 5 / 4 * 3 };
    if (h->n_groups == LIMIT_GROUPS_PER_LEASE ||
        (h->n_groups > 0 && h->n_prompts + g->row.n_prompt > PROMPTS_MAX)) {
        return NULL;
    }
    h->n_prompts += g->row.n_prompt;
    uint64_t *ids = ledger_arena_alloc(h->memory, g->row.n_samples * sizeof *ids);
    uint32_t *prompt =
        ledger_arena_copy(h->memory, g->row.prompt, g->row.n_prompt * sizeof *prompt);
    if (ids == NULL || prompt == NULL) {
        return NULL;
    }
    last = &h->groups[h->n_groups++];
    *last = (struct msg_group){.group_id = g->row.group_id,
                               .prompt = prompt,
                               .n_prompt = g->row.n_prompt,
                               .sample_ids = ids,
                               .attempt = attempt,
                               .sampling = g->row.sampling,
                               .pinned_version = g->row.pinned_version,
                               .lease_ms = (uint32_t)h->c->conf->lease_ms};
    return last;
}

// Leases the free samples of g, as many as there is room for. A sample that was leased too often is
// dropped instead.
static void hand_out(struct handout *h, struct group *g)
{
    struct coordinator *c = h->c;
    for (uint32_t i = 0; i < g->row.n_samples && h->left > 0; i++) {
        struct sample *s = &g->samples[i];
        if (s->state != LEDGER_GENERATING || s->lease.owner != NULL) {
            continue;
        }
        if (s->attempt >= COORDINATOR_ATTEMPTS_MAX) {
            coordinator_drop(c, h->t, s, "attempts");
            continue;
        }
        struct msg_group *m = group_for(h, g, s->attempt + 1);
        if (m == NULL) {
            h->left = 0;
            return;
        }
        ((uint64_t *)(uintptr_t)m->sample_ids)[m->n_samples++] = s->id;
        s->attempt++;
        s->last_owner = h->actor->incarnation;
        s->has_last_owner = true;
        s->lease_version = g->row.pinned_version != 0 ? g->row.pinned_version : h->have_version;
        ledger_put_lease(h->t, s->id, s->attempt, h->actor->incarnation, s->lease_version,
                         s->reissue_reason != NULL ? s->reissue_reason : "lease ended");
        c->totals.reissued += s->attempt > 1;
        coordinator_lease(c, s, h->actor, false);
        h->left--;
    }
}

static void hand_out_existing(struct handout *h, enum ledger_purpose purpose)
{
    struct coordinator *c = h->c;
    uint64_t ahead = 0;
    for (size_t g = 0; g < c->n_groups && h->left > 0; g++) {
        struct group *group = c->groups[g];
        if (group->row.purpose != purpose || group->committed) {
            continue;
        }
        if (purpose == LEDGER_EVAL ||
            (c->stopping == NULL && h->have_version >= version_needed(c, ahead))) {
            hand_out(h, group);
        }
        ahead++;
    }
}

static void note_first_lease(struct coordinator *c)
{
    if (c->first_lease_ms == 0) {
        c->first_lease_ms = MAX(c->now_ms, (uint64_t)1);
    }
}

void coordinator_has_version(struct coordinator *c, struct msg_incarnation incarnation,
                             uint64_t version)
{
    struct peer *p = coordinator_peer(c, incarnation);
    if (p != NULL) {
        p->have_version = MAX(p->have_version, version);
    }
}

enum err coordinator_lease_generate(struct coordinator *c, const struct msg_lease_generate *m,
                                    uint64_t now_ms, coordinator_work_fn *fn, void *arg)
{
    coordinator_clock(c, now_ms);
    struct peer *p = coordinator_peer(c, m->incarnation);
    if (p == NULL || p->role != MSG_ROLE_ACTOR || !p->greeted) {
        return ERR_DENIED;
    }
    p->heard_ms = c->now_ms;
    if (m->max_samples == 0) {
        return ERR_INVALID;
    }
    if (c->failed || !c->started) {
        return ERR_NOT_FOUND;
    }
    if (!coordinator_can_send(c)) {
        return ERR_FULL;
    }
    struct ledger_txn *t = coordinator_txn(c);
    struct pending *w = coordinator_pending(c, PENDING_WORK);
    struct msg_group *groups =
        w != NULL ? ledger_arena_alloc(&w->memory, LIMIT_GROUPS_PER_LEASE * sizeof *groups) : NULL;
    if (t == NULL || groups == NULL) {
        ledger_txn_destroy(t);
        return ERR_NOMEM;    // w is freed with the coordinator
    }
    struct handout h = {c,
                        t,
                        p,
                        &w->memory,
                        MIN(MAX(m->have_version, p->have_version), c->durable_version),
                        MIN((size_t)m->max_samples, (size_t)4096),
                        0,
                        groups,
                        0};
    hand_out_existing(&h, LEDGER_EVAL);
    while (h.left > 0 && h.n_groups < LIMIT_GROUPS_PER_LEASE && issue_eval(c, t)) {
        hand_out(&h, c->groups[c->n_groups - 1]);
    }
    hand_out_existing(&h, LEDGER_TRAIN);
    while (h.left > 0 && h.n_groups < LIMIT_GROUPS_PER_LEASE && issue_train(c, t, h.have_version)) {
        hand_out(&h, c->groups[c->n_groups - 1]);
    }
    w->work = fn;
    w->fn_arg = arg;
    w->groups = h.groups;
    w->n_groups = h.n_groups;
    if (h.n_groups == 0) {    // nothing to hand out; drops, if any, are still written
        w->kind = PENDING_NONE;
        w->work = NULL;
        if (ledger_txn_len(t) > 0) {
            coordinator_send(c, t, w);
            coordinator_settle(c);
        } else {
            ledger_txn_destroy(t);
            coordinator_cancel(w);
        }
        return c->source_failed ? ERR_INVALID : ERR_NOT_FOUND;
    }
    note_first_lease(c);
    coordinator_send(c, t, w);
    coordinator_settle(c);
    return ERR_OK;
}
