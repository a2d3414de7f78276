// coordinator_scoring.c: score jobs out, verdicts in.
//
// Every received sample that is not leased to a verifier is a queued job; there is no second queue
// to keep in step. Jobs go oldest group first, only to a verifier that offers every check the task
// needs, and all samples of a group are scored by one version of each check: the first job's
// verifier pins the versions, and until a verdict has come in, a pin goes when the last job under
// it ends.
//
// A verdict "unscored" (a crash, a time-out, a refused call) is tried again on another verifier if
// there is one, twice at most; then the sample is dropped(unscored:CAUSE), or gets zero where the
// configuration says so. It never becomes a quiet 0.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learner/coordinator_internal.h"

// Walks the names in `needs`, one a line. false at the end.
static bool next_need(struct msg_text *rest, struct msg_text *name)
{
    while (rest->len > 0 && rest->data[0] == '\n') {
        rest->data++;
        rest->len--;
    }
    if (rest->len == 0) {
        return false;
    }
    const char *end = memchr(rest->data, '\n', rest->len);
    name->data = rest->data;
    name->len = end != NULL ? (size_t)(end - rest->data) : rest->len;
    rest->data += name->len;
    rest->len -= name->len;
    return true;
}

static bool text_is(struct msg_text t, const char *s)
{
    return strlen(s) == t.len && memcmp(s, t.data, t.len) == 0;
}

static const struct pin *pin_of(const struct group *g, struct msg_text name)
{
    for (size_t i = 0; i < g->n_pins; i++) {
        if (text_is(name, g->pins[i].name)) {
            return &g->pins[i];
        }
    }
    return NULL;
}

static const struct msg_check *offer_of(const struct peer *p, struct msg_text name,
                                        const struct pin *pin)
{
    for (size_t i = 0; i < p->n_checks; i++) {
        const struct msg_check *k = &p->checks[i];
        if (k->name.len == name.len && memcmp(k->name.data, name.data, name.len) == 0 &&
            (pin == NULL || text_is(k->version, pin->version))) {
            return k;
        }
    }
    return NULL;
}

bool coordinator_offers(const struct peer *p, const struct group *g)
{
    struct msg_text rest = g->row.needs, name;
    while (next_need(&rest, &name)) {
        if (offer_of(p, name, pin_of(g, name)) == NULL) {
            return false;
        }
    }
    return p->role == MSG_ROLE_VERIFIER && p->greeted;
}

bool coordinator_unoffered(const struct coordinator *c, const struct group *g, char *out,
                           size_t cap)
{
    struct msg_text rest = g->row.needs, name;
    while (next_need(&rest, &name)) {
        bool offered = false;
        for (size_t i = 0; i < c->n_peers; i++) {
            const struct peer *p = c->peers[i];
            offered =
                offered || (p->role == MSG_ROLE_VERIFIER && coordinator_alive(c, p, c->now_ms) &&
                            offer_of(p, name, pin_of(g, name)) != NULL);
        }
        if (!offered) {
            (void)snprintf(out, cap, "%.*s", (int)MIN(name.len, (size_t)LIMIT_NAME_BYTES),
                           name.data);
            return true;
        }
    }
    return false;
}

static bool pin_checks(struct group *g, const struct peer *p)
{
    struct msg_text rest = g->row.needs, name;
    size_t n = 0;
    while (next_need(&rest, &name)) {
        n++;
    }
    if (g->n_pins > 0 || n == 0) {
        return true;
    }
    g->pins = calloc(n, sizeof *g->pins);
    if (g->pins == NULL) {
        return false;
    }
    rest = g->row.needs;
    while (next_need(&rest, &name)) {
        const struct msg_check *k = offer_of(p, name, NULL);
        struct pin *pin = &g->pins[g->n_pins++];
        memcpy(pin->name, name.data, MIN(name.len, sizeof pin->name - 1));
        memcpy(pin->version, k->version.data, MIN(k->version.len, sizeof pin->version - 1));
    }
    return true;
}

static bool anyone_offers(const struct coordinator *c, const struct pin *pin)
{
    for (size_t i = 0; i < c->n_peers; i++) {
        const struct peer *p = c->peers[i];
        if (p->role == MSG_ROLE_VERIFIER && offer_of(p, msg_text_of(pin->name), pin) != NULL) {
            return true;
        }
    }
    return false;
}

static bool is_in(const struct msg_check *list, size_t n, const struct pin *pin)
{
    for (size_t i = 0; i < n; i++) {
        if (text_is(list[i].name, pin->name) && text_is(list[i].version, pin->version)) {
            return true;
        }
    }
    return false;
}

void coordinator_repin(struct coordinator *c, const struct peer *p, const struct msg_check *old,
                       size_t n_old)
{
    for (size_t g = 0; g < c->n_groups; g++) {
        for (size_t i = 0; i < c->groups[g]->n_pins; i++) {
            struct pin *pin = &c->groups[g]->pins[i];
            const struct msg_check *k = offer_of(p, msg_text_of(pin->name), NULL);
            if (k != NULL && is_in(old, n_old, pin) && !anyone_offers(c, pin)) {
                memset(pin->version, 0, sizeof pin->version);
                memcpy(pin->version, k->version.data,
                       MIN(k->version.len, sizeof pin->version - 1));
            }
        }
    }
}

void coordinator_unpin_checks(struct group *g)
{
    for (uint32_t i = 0; i < g->row.n_samples; i++) {
        const struct sample *s = &g->samples[i];
        if (s->state == LEDGER_SCORED || s->state == LEDGER_CONSUMED ||
            (s->state == LEDGER_RECEIVED && s->lease.owner != NULL)) {
            return;
        }
    }
    free(g->pins);
    g->pins = NULL;
    g->n_pins = 0;
}

// After an "unscored" the same verifier gets the job again only if nobody else could take it.
static bool another_could(const struct coordinator *c, const struct sample *s)
{
    for (size_t i = 0; i < c->n_peers; i++) {
        const struct peer *p = c->peers[i];
        if (coordinator_alive(c, p, c->now_ms) &&
            !msg_incarnation_equal(p->incarnation, s->last_verifier) &&
            coordinator_offers(p, s->group)) {
            return true;
        }
    }
    return false;
}

static void fill_job(const struct coordinator *c, const struct sample *s, struct msg_score_job *job)
{
    const struct ledger_group *g = &s->group->row;
    *job = (struct msg_score_job){
        .sample_id = s->id,
        .attempt = s->tries + 1,
        .dataset = g->dataset,
        .checks = g->checks,
        .ground_truth = g->ground_truth,
        .reward = msg_text_of(g->purpose == LEDGER_TRAIN ? c->policy.train : c->policy.eval),
        .prompt = g->prompt_text,
        .response = s->receipt.response,
        .finish = s->receipt.finish,
        .deadline_ms = (uint32_t)c->conf->verifier_deadline_ms,
        .lease_ms = (uint32_t)c->conf->lease_ms};
}

enum err coordinator_lease_score(struct coordinator *c, const struct msg_lease_score *m,
                                 uint64_t now_ms, const struct msg_score_job **jobs, size_t *n)
{
    coordinator_clock(c, now_ms);
    ledger_arena_free(&c->handed_out);
    struct peer *p = coordinator_peer(c, m->incarnation);
    if (p == NULL || p->role != MSG_ROLE_VERIFIER || !p->greeted) {
        return ERR_DENIED;
    }
    p->heard_ms = c->now_ms;
    if (c->failed || !c->started) {
        return ERR_NOT_FOUND;
    }
    size_t max = MIN((size_t)m->max_jobs, (size_t)LIMIT_JOBS_PER_LEASE), count = 0, bytes = 0;
    struct msg_score_job *list = ledger_arena_alloc(&c->handed_out, max * sizeof *list);
    for (size_t g = 0; list != NULL && g < c->n_groups && count < max; g++) {
        for (uint32_t i = 0; i < c->groups[g]->row.n_samples && count < max; i++) {
            struct sample *s = &c->groups[g]->samples[i];
            if (s->state != LEDGER_RECEIVED || s->lease.owner != NULL ||
                !coordinator_offers(p, s->group)) {
                continue;
            }
            if (s->has_last_verifier && msg_incarnation_equal(s->last_verifier, p->incarnation) &&
                another_could(c, s)) {
                continue;
            }
            struct msg_score_job job;
            fill_job(c, s, &job);
            bytes += job.dataset.len + job.checks.len + job.ground_truth.len + job.reward.len +
                     job.prompt.len + job.response.len + 256;
            if ((count > 0 && bytes > LIMIT_MESSAGE_BYTES / 2) || !pin_checks(s->group, p)) {
                max = count;
                break;
            }
            coordinator_lease(c, s, p, true);
            list[count++] = job;
        }
    }
    if (count == 0) {
        return ERR_NOT_FOUND;
    }
    *jobs = list;
    *n = count;
    return ERR_OK;
}

// ---- verdicts ----

static enum err check_verdict(const struct msg_submit_verdict *m, struct why *why)
{
    unsigned long long id = m->sample_id;
    if (m->outcome < MSG_OUTCOME_SCORE || m->outcome > MSG_OUTCOME_UNSCORED) {
        return why_set(
            why, ERR_INVALID,
            "verdict of sample %llu: outcome %u, expected 1 (score), 2 (zero) or 3 (unscored)", id,
            m->outcome);
    }
    if (!isfinite(m->reward) || fabs(m->reward) > 1e6) {
        return why_set(why, ERR_INVALID,
                       "verdict of sample %llu: reward %g, expected a number from -1e6 to 1e6", id,
                       m->reward);
    }
    if (m->outcome == MSG_OUTCOME_ZERO && m->reward != 0.0) {
        return why_set(why, ERR_INVALID, "verdict of sample %llu: outcome zero with reward %g", id,
                       m->reward);
    }
    for (size_t i = 0; i < m->n_components; i++) {
        if (!isfinite(m->components[i].value) || !isfinite(m->components[i].weight)) {
            return why_set(why, ERR_INVALID, "verdict of sample %llu: component %zu is not finite",
                           id, i);
        }
    }
    return ERR_OK;
}

// "unscored:CAUSE" with a cause that is a plain word: letters, digits and -_. only, at most 64.
static void unscored_reason(struct msg_text cause, char out[LEDGER_REASON_BYTES])
{
    char word[65];
    size_t n = 0;
    for (; n < cause.len && n < sizeof word - 1; n++) {
        char ch = cause.data[n];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                     (ch >= '0' && ch <= '9') || ch == '-' || ch == '.';
        word[n] = plain ? ch : '_';
    }
    word[n] = '\0';
    (void)snprintf(out, LEDGER_REASON_BYTES, "unscored:%s", n > 0 ? word : "unknown");
}

static void score(struct coordinator *c, struct ledger_txn *t, struct sample *s,
                  const struct msg_submit_verdict *m)
{
    struct ledger_verdict v = {.sample_id = s->id,
                               .outcome = m->outcome,
                               .reward = m->outcome == MSG_OUTCOME_ZERO ? 0.0 : m->reward,
                               .cause = "",
                               .components = m->components,
                               .n_components = m->n_components,
                               .elapsed_us = m->elapsed_us};
    ledger_put_verdict(t, &v);
    s->reward = v.reward;
    coordinator_move(c, s, LEDGER_SCORED);
}

static void unscored(struct coordinator *c, struct ledger_txn *t, struct sample *s,
                     const struct msg_submit_verdict *m)
{
    char reason[LEDGER_REASON_BYTES];
    unscored_reason(m->cause, reason);
    s->tries++;
    s->last_verifier = m->incarnation;
    s->has_last_verifier = true;
    if (s->tries < COORDINATOR_TRIES_MAX) {
        ledger_put_retry(t, s->id, s->tries, reason);
        coordinator_unlease(s);
        c->totals.retries++;
        c->work_news[MSG_ROLE_VERIFIER] = true;
        return;
    }
    if (c->conf->unscored == CONF_UNSCORED_ZERO) {
        s->reward = 0.0;
        ledger_put_verdict(t, &(struct ledger_verdict){.sample_id = s->id,
                                                       .outcome = MSG_OUTCOME_ZERO,
                                                       .cause = reason});
        coordinator_move(c, s, LEDGER_SCORED);
    } else {
        coordinator_drop(c, t, s, reason);
    }
}

enum err coordinator_submit_verdict(struct coordinator *c, const struct msg_submit_verdict *m,
                                    uint64_t now_ms, coordinator_ack_fn *fn, void *arg,
                                    struct why *why)
{
    coordinator_clock(c, now_ms);
    struct peer *from = coordinator_peer(c, m->incarnation);
    if (from != NULL) {
        from->heard_ms = c->now_ms;
    }
    enum err e = check_verdict(m, why);
    if (e != ERR_OK) {
        return e;
    }
    struct sample *s = coordinator_sample(c, m->sample_id);
    if (s != NULL && s->state == LEDGER_GENERATING) {
        return why_set(why, ERR_INVALID, "verdict of sample %llu, which has not been received",
                       (unsigned long long)m->sample_id);
    }
    if (!coordinator_can_send(c)) {
        return why_set(why, ERR_FULL, "the ledger's queue is full");
    }
    struct ledger_txn *t = coordinator_txn(c);
    struct pending *p = coordinator_pending(c, PENDING_ACK);
    if (t == NULL || p == NULL) {
        ledger_txn_destroy(t);
        return ERR_NOMEM;
    }
    p->ack = fn;
    p->fn_arg = arg;
    p->status = MSG_ACK_OK;
    bool late = s != NULL && s->state == LEDGER_RECEIVED && m->outcome == MSG_OUTCOME_UNSCORED &&
                m->attempt != s->tries + 1;
    if (m->sample_id >= c->next_sample || m->sample_id == 0) {
        p->status = MSG_ACK_UNKNOWN;
    } else if (s == NULL || s->state != LEDGER_RECEIVED || late) {
        p->status = MSG_ACK_DUPLICATE;    // told when the first one is durable: this empty
                                          // transaction queues behind it
    } else if (m->outcome == MSG_OUTCOME_UNSCORED) {
        unscored(c, t, s, m);
    } else {
        score(c, t, s, m);
    }
    coordinator_send(c, t, p);
    coordinator_settle(c);
    return ERR_OK;
}
