// coordinator_samples.c: a sample arrives.
//
// Whoever brings it first wins, of whatever attempt: the random numbers of a sample depend on its
// id only, so attempts under the same weights are equal anyway. The content is checked before
// anything changes, since what is accepted here is trained on: lengths, finite log-probs, segments
// that cover exactly the forward positions, versions that exist.
//
// Positions and versions (P prompt tokens, n completion tokens): the forward pass ran over
// positions 0 … P + n - 2, the last token is never fed back. Completion token j came out of
// position P - 1 + j, so a segment [from, end) matters for the tokens when end > P - 1.
#include <math.h>
#include <stdlib.h>

#include "learner/coordinator_internal.h"

static enum err check_tokens(const struct msg_submit_sample *m, const struct ledger_group *g,
                             struct why *why)
{
    unsigned long long id = m->sample_id;
    if (m->n_tokens == 0 || m->n_tokens > g->sampling.max_tokens) {
        return why_set(why, ERR_INVALID, "sample %llu: %zu tokens, expected 1 to %u", id,
                       m->n_tokens, g->sampling.max_tokens);
    }
    if (m->n_logprobs != m->n_tokens) {
        return why_set(why, ERR_INVALID, "sample %llu: %zu log-probs for %zu tokens", id,
                       m->n_logprobs, m->n_tokens);
    }
    for (size_t i = 0; i < m->n_logprobs; i++) {
        if (!isfinite(m->logprobs[i]) || m->logprobs[i] > 1e-3f) {
            return why_set(why, ERR_INVALID,
                           "sample %llu: log-prob %zu is %g, expected a finite number up to 0", id,
                           i, (double)m->logprobs[i]);
        }
    }
    if (m->finish != MSG_FINISH_STOP && m->finish != MSG_FINISH_LENGTH) {
        return why_set(why, ERR_INVALID, "sample %llu: finish %u, expected 1 (stop) or 2 (length)",
                       id, m->finish);
    }
    if (!hash_equal(m->payload, msg_sample_hash(m))) {
        return why_set(why, ERR_CORRUPT, "sample %llu: payload hash does not match the content",
                       id);
    }
    return ERR_OK;
}

static enum err check_segments(const struct coordinator *c, const struct msg_submit_sample *m,
                               const struct ledger_group *g, struct ledger_receipt *r,
                               struct why *why)
{
    unsigned long long id = m->sample_id;
    uint64_t last = g->n_prompt + m->n_tokens - 1, before = 0;
    if (m->pinned_version != g->pinned_version) {
        return why_set(why, ERR_INVALID, "sample %llu: pinned to version %llu, leased with %llu",
                       id, (unsigned long long)m->pinned_version,
                       (unsigned long long)g->pinned_version);
    }
    r->oldest_version = UINT64_MAX;
    r->newest_version = 0;
    for (size_t i = 0; i < m->n_segments; i++) {
        const struct msg_segment *s = &m->segments[i];
        if (s->end <= before || s->end > last) {
            return why_set(why, ERR_INVALID,
                           "sample %llu: segment %zu ends at %u, expected %llu to %llu", id, i,
                           s->end, (unsigned long long)before + 1, (unsigned long long)last);
        }
        if (s->version < c->base_version || s->version > c->durable_version ||
            (i > 0 && s->version < m->segments[i - 1].version)) {
            return why_set(why, ERR_INVALID,
                           "sample %llu: segment %zu ran under version %llu, expected %llu to %llu "
                           "and no older than the one before",
                           id, i, (unsigned long long)s->version,
                           (unsigned long long)c->base_version,
                           (unsigned long long)c->durable_version);
        }
        if (g->pinned_version != 0 && s->version != g->pinned_version) {
            return why_set(why, ERR_INVALID,
                           "sample %llu: segment %zu ran under version %llu, pinned to %llu", id, i,
                           (unsigned long long)s->version, (unsigned long long)g->pinned_version);
        }
        if (s->end + (uint64_t)1 > g->n_prompt) {
            r->oldest_version = MIN(r->oldest_version, s->version);
            r->newest_version = MAX(r->newest_version, s->version);
        }
        before = s->end;
    }
    if (before != last) {
        return why_set(why, ERR_INVALID,
                       "sample %llu: segments cover %llu positions, expected %llu", id,
                       (unsigned long long)before, (unsigned long long)last);
    }
    return ERR_OK;
}

// Copies the content into the sample's own memory; the text comes from the tokenizer.
static enum err keep(struct coordinator *c, struct sample *s, const struct msg_submit_sample *m,
                     const struct ledger_receipt *checked, struct why *why)
{
    struct buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    enum err e = c->ops.detokenise(c->ops.arg, m->tokens, m->n_tokens, &text, why);
    if (e != ERR_OK) {
        buf_fini(&text);
        return e;
    }
    struct ledger_arena *a = &s->memory;
    s->receipt = (struct ledger_receipt){
        .sample_id = s->id,
        .attempt = m->attempt,
        .owner = m->incarnation,
        .tokens = ledger_arena_copy(a, m->tokens, m->n_tokens * sizeof *m->tokens),
        .logprobs = ledger_arena_copy(a, m->logprobs, m->n_tokens * sizeof *m->logprobs),
        .n_tokens = m->n_tokens,
        .segments = ledger_arena_copy(a, m->segments, m->n_segments * sizeof *m->segments),
        .n_segments = m->n_segments,
        .finish = m->finish,
        .payload = m->payload,
        .response = ledger_arena_text(a, (struct msg_text){(const char *)text.data, text.len}),
        .oldest_version = checked->oldest_version,
        .newest_version = checked->newest_version};
    buf_fini(&text);
    if (a->failed) {
        ledger_arena_free(a);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

static struct pending *ack_later(struct coordinator *c, enum pending_kind kind, enum msg_ack status,
                                 coordinator_ack_fn *fn, void *arg)
{
    struct pending *p = coordinator_pending(c, kind);
    if (p != NULL) {
        p->status = status;
        p->ack = fn;
        p->fn_arg = arg;
    }
    return p;
}

static enum err repeat(struct coordinator *c, const struct msg_submit_sample *m,
                       coordinator_ack_fn *fn, void *arg)
{
    struct ledger_txn *t = coordinator_txn(c);
    struct pending *p = ack_later(c, PENDING_REPEAT, MSG_ACK_UNKNOWN, fn, arg);
    if (t == NULL || p == NULL) {
        ledger_txn_destroy(t);
        return ERR_NOMEM;
    }
    ledger_put_repeat(t, m->sample_id, m->payload);
    coordinator_send(c, t, p);
    return ERR_OK;
}

enum err coordinator_submit_sample(struct coordinator *c, const struct msg_submit_sample *m,
                                   uint64_t now_ms, coordinator_ack_fn *fn, void *arg,
                                   struct why *why)
{
    coordinator_clock(c, now_ms);
    struct peer *from = coordinator_peer(c, m->incarnation);
    if (from != NULL) {
        from->heard_ms = c->now_ms;
    }
    if (!coordinator_can_send(c)) {
        return why_set(why, ERR_FULL, "the ledger's queue is full");
    }
    struct sample *s = coordinator_sample(c, m->sample_id);
    if (s == NULL || s->state != LEDGER_GENERATING) {
        return repeat(c, m, fn, arg);
    }
    if (m->attempt == 0 || m->attempt > s->attempt) {
        return why_set(why, ERR_INVALID, "sample %llu: attempt %u, leased %u times",
                       (unsigned long long)s->id, m->attempt, s->attempt);
    }
    struct ledger_receipt checked = {0};
    enum err e = check_tokens(m, &s->group->row, why);
    e = e == ERR_OK ? check_segments(c, m, &s->group->row, &checked, why) : e;
    e = e == ERR_OK ? keep(c, s, m, &checked, why) : e;
    if (e != ERR_OK) {
        return e;
    }
    struct ledger_txn *t = coordinator_txn(c);
    struct pending *p = ack_later(c, PENDING_ACK, MSG_ACK_OK, fn, arg);
    if (t == NULL || p == NULL) {
        ledger_txn_destroy(t);
        return ERR_NOMEM;
    }
    ledger_put_receipt(t, &s->receipt);
    coordinator_move(c, s, LEDGER_RECEIVED);
    s->received_ms = c->now_ms;
    if (m->finish == MSG_FINISH_LENGTH && c->conf->truncated == CONF_TRUNC_ZERO &&
        s->group->row.purpose == LEDGER_TRAIN) {
        s->reward = 0.0;    // nothing to check
        ledger_put_verdict(t, &(struct ledger_verdict){.sample_id = s->id,
                                                       .outcome = MSG_OUTCOME_ZERO,
                                                       .cause = "truncated"});
        coordinator_move(c, s, LEDGER_SCORED);
    }
    c->work_news[MSG_ROLE_VERIFIER] = true;
    coordinator_send(c, t, p);
    coordinator_settle(c);
    return ERR_OK;
}
