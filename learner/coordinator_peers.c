// coordinator_peers.c: who is there, what they hold, and when a lease ends.
//
// A lease ends in one of three ways, and what it covered is free again at once:
// - not held: its owner sent two heartbeats, at least half a heartbeat interval apart, that do not
//   name it (a reply that was lost, a slot that was given up);
// - silent: its owner was not heard of for ten heartbeats, or lease_ms if that is shorter (a crash,
//   a cut cable). Should it come back before anybody took the work over, it has its lease again;
// - overtime: a score job after lease_ms (a verifier kills its workers long before that), a sample
//   after 16 of them.
// Naming a sample in heartbeats renews its lease: a long answer is not an error. What bounds it in
// practice is the staleness rule (coordinator_batch.c).
//
// After a restart of the learner the owners are known from the ledger by incarnation only. They get
// as long to come back; a heartbeat that names a sample keeps its lease, also before the process
// has said hello again.
#include <stdlib.h>
#include <string.h>

#include "learner/coordinator_internal.h"

static void set_name(char out[LIMIT_NAME_BYTES + 1], struct msg_text t)
{
    size_t len = MIN(t.len, (size_t)LIMIT_NAME_BYTES);
    if (len > 0) {
        memcpy(out, t.data, len);
    }
    out[len] = '\0';
}

struct peer *coordinator_peer(const struct coordinator *c, struct msg_incarnation id)
{
    for (size_t i = 0; i < c->n_peers; i++) {
        if (msg_incarnation_equal(c->peers[i]->incarnation, id)) {
            return c->peers[i];
        }
    }
    return NULL;
}

bool coordinator_alive(const struct coordinator *c, const struct peer *p, uint64_t now_ms)
{
    uint64_t silence_ms = 10 * (uint64_t)c->config.heartbeat_ms;
    return now_ms <= p->heard_ms + MIN(silence_ms, (uint64_t)c->conf->lease_ms);
}

void coordinator_free_peer(struct peer *p)
{
    ledger_arena_free(&p->memory);
    free(p);
}

// Forgets processes that hold nothing and were not heard of for ten lease times.
static void forget_silent(struct coordinator *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n_peers; i++) {
        struct peer *p = c->peers[i];
        if (p->leases == 0 && c->now_ms - p->heard_ms > 10 * (uint64_t)c->conf->lease_ms) {
            coordinator_free_peer(p);
        } else {
            c->peers[kept++] = p;
        }
    }
    c->n_peers = kept;
}

struct peer *coordinator_add_peer(struct coordinator *c, struct msg_incarnation id,
                                  enum msg_role role)
{
    if (c->n_peers >= COORDINATOR_PEERS_MAX) {
        return NULL;
    }
    struct peer **grown = realloc(c->peers, (c->n_peers + 1) * sizeof(struct peer *));
    if (grown == NULL) {
        return NULL;
    }
    c->peers = grown;
    struct peer *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->incarnation = id;
    p->role = role;
    p->heard_ms = c->now_ms;
    c->peers[c->n_peers++] = p;
    return p;
}

enum err coordinator_hello(struct coordinator *c, const struct msg_hello *h, uint64_t now_ms,
                           struct why *why)
{
    coordinator_clock(c, now_ms);
    if (h->role != MSG_ROLE_ACTOR && h->role != MSG_ROLE_VERIFIER) {
        return why_set(why, ERR_INVALID, "hello: role %u, expected 1 (actor) or 2 (verifier)",
                       h->role);
    }
    forget_silent(c);
    struct peer *p = coordinator_peer(c, h->incarnation);
    if (p != NULL && p->role != (enum msg_role)h->role) {
        return why_set(why, ERR_INVALID, "hello: this incarnation had another role before");
    }
    if (p == NULL) {
        p = coordinator_add_peer(c, h->incarnation, (enum msg_role)h->role);
        if (p == NULL) {
            return why_set(why, ERR_LIMIT, "hello: %zu processes are known already, at most %d",
                           c->n_peers, COORDINATOR_PEERS_MAX);
        }
    }
    struct ledger_arena memory = {0};
    struct msg_check *checks = ledger_arena_alloc(&memory, h->n_checks * sizeof *checks);
    for (size_t i = 0; checks != NULL && i < h->n_checks; i++) {
        checks[i].name = ledger_arena_text(&memory, h->checks[i].name);
        checks[i].version = ledger_arena_text(&memory, h->checks[i].version);
    }
    if (memory.failed) {
        ledger_arena_free(&memory);
        return ERR_NOMEM;
    }
    struct ledger_arena old_memory = p->memory;
    const struct msg_check *old = p->checks;
    size_t n_old = p->n_checks;
    p->memory = memory;
    p->checks = checks;
    p->n_checks = h->n_checks;
    coordinator_repin(c, p, old, n_old);
    ledger_arena_free(&old_memory);
    set_name(p->name, h->name);
    set_name(p->detail, h->detail);
    p->heard_ms = c->now_ms;
    p->greeted = true;
    return ERR_OK;
}

// ---- leases ----

void coordinator_lease(struct coordinator *c, struct sample *s, struct peer *p, bool told)
{
    coordinator_unlease(s);
    s->overtime = false;
    s->lease = (struct lease){.owner = p, .since_ms = c->now_ms, .told = told};
    p->leases++;
}

void coordinator_unlease(struct sample *s)
{
    if (s->lease.owner != NULL) {
        s->lease.owner->leases--;
        s->lease.owner = NULL;
        coordinator_unpin_checks(s->group);
    }
}

static void end_lease(struct coordinator *c, struct sample *s, const char *reason)
{
    coordinator_unlease(s);
    s->reissue_reason = reason;
    c->work_news[s->state == LEDGER_GENERATING ? MSG_ROLE_ACTOR : MSG_ROLE_VERIFIER] = true;
}

void coordinator_expire(struct coordinator *c)
{
    for (size_t g = 0; g < c->n_groups; g++) {
        for (uint32_t i = 0; i < c->groups[g]->row.n_samples; i++) {
            struct sample *s = &c->groups[g]->samples[i];
            if (s->lease.owner == NULL) {
                continue;
            }
            uint64_t age_ms = c->now_ms - s->lease.since_ms, lease_ms = (uint64_t)c->conf->lease_ms;
            uint64_t renewals = s->state == LEDGER_RECEIVED ? 1 : COORDINATOR_RENEWALS_MAX;
            if (!coordinator_alive(c, s->lease.owner, c->now_ms)) {
                end_lease(c, s, "silent");
            } else if (age_ms > lease_ms * renewals) {
                end_lease(c, s, "overtime");
                s->overtime = true;
            }
        }
    }
}

// Marks what the heartbeat names; an id that is no lease of p goes into abandon. A sample that p
// held last and nobody has leased since is its own again.
static void mark_held(struct coordinator *c, struct peer *p, const struct msg_heartbeat *m,
                      uint64_t *abandon, size_t *n_abandon)
{
    for (size_t i = 0; i < m->n_held; i++) {
        struct sample *s = coordinator_sample(c, m->held[i]);
        bool wanted = s != NULL &&
                      s->state == (p->role == MSG_ROLE_ACTOR ? LEDGER_GENERATING : LEDGER_RECEIVED);
        if (wanted && s->lease.owner == NULL && !s->overtime && p->role == MSG_ROLE_ACTOR &&
            s->has_last_owner && msg_incarnation_equal(s->last_owner, p->incarnation)) {
            coordinator_lease(c, s, p, true);
        }
        if (wanted && s->lease.owner == p) {
            s->lease.named = true;
        } else {
            abandon[(*n_abandon)++] = m->held[i];
        }
    }
}

static void end_unnamed(struct coordinator *c, const struct peer *p)
{
    for (size_t g = 0; g < c->n_groups; g++) {
        for (uint32_t i = 0; i < c->groups[g]->row.n_samples; i++) {
            struct sample *s = &c->groups[g]->samples[i];
            struct lease *l = &s->lease;
            if (l->owner != p || !l->told) {
                continue;
            }
            if (l->named) {
                l->missed_ms = 0;
            } else if (l->missed_ms == 0) {
                l->missed_ms = MAX(c->now_ms, (uint64_t)1);
            } else if (c->now_ms - l->missed_ms >= c->config.heartbeat_ms / 2) {
                end_lease(c, s, "not held");
            }
            l->named = false;
        }
    }
}

void coordinator_heartbeat(struct coordinator *c, const struct msg_heartbeat *m, uint64_t now_ms,
                           const uint64_t **abandon, size_t *n_abandon, bool *unknown)
{
    coordinator_clock(c, now_ms);
    ledger_arena_free(&c->handed_out);
    *abandon = NULL;
    *n_abandon = 0;
    *unknown = true;
    struct peer *p = coordinator_peer(c, m->incarnation);
    if (p == NULL) {
        return;
    }
    uint64_t *list = ledger_arena_alloc(&c->handed_out, m->n_held * sizeof *list);
    if (list == NULL) {
        return;
    }
    p->heard_ms = c->now_ms;
    set_name(p->waits_for, m->waits_for);
    p->waits_since_ms = c->now_ms - MIN((uint64_t)m->waits_ms, c->now_ms);
    mark_held(c, p, m, list, n_abandon);
    end_unnamed(c, p);
    *abandon = list;
    *unknown = !p->greeted;
    coordinator_settle(c);
}
