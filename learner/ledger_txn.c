// ledger_txn.c: a transaction in memory: a list of writes that owns copies of everything it names.
//
// The loop thread builds one per event (a lease, a submitted sample, a step) and sends it to the
// journal thread; nothing in it points back into the loop's state, so the two threads share
// nothing. Puts do not fail: an allocation that finds no memory marks the arena, and applying the
// transaction reports it.
#include <stdlib.h>
#include <string.h>

#include "learner/ledger_internal.h"

struct ledger_txn *ledger_txn_create(int64_t at_ms)
{
    struct ledger_txn *t = calloc(1, sizeof *t);
    if (t != NULL) {
        t->last = &t->first;
        t->at_ms = at_ms;
        t->repeat_status = MSG_ACK_UNKNOWN;
    }
    return t;
}

void ledger_txn_destroy(struct ledger_txn *t)
{
    if (t != NULL) {
        ledger_arena_free(&t->arena);
        free(t);
    }
}

bool ledger_txn_ok(const struct ledger_txn *t)
{
    return !t->arena.failed;
}

size_t ledger_txn_len(const struct ledger_txn *t)
{
    return t->len;
}

enum msg_ack ledger_txn_repeat_status(const struct ledger_txn *t)
{
    return t->repeat_status;
}

// A fresh write at the end of the list. Out of memory: a scratch one that is not in the list, so
// that callers need no branch.
static struct ledger_write *put(struct ledger_txn *t, enum ledger_write_kind kind)
{
    static _Thread_local struct ledger_write scratch;
    struct ledger_write *w = ledger_arena_alloc(&t->arena, sizeof *w);
    if (w == NULL) {
        memset(&scratch, 0, sizeof scratch);
        return &scratch;
    }
    w->kind = kind;
    *t->last = w;
    t->last = &w->next;
    t->len++;
    return w;
}

static struct msg_text copy(struct ledger_txn *t, const char *s)
{
    return ledger_arena_text(&t->arena, msg_text_of(s));
}

static struct msg_text copy_reason(struct ledger_txn *t, const char *s)
{
    struct msg_text r = msg_text_of(s);
    r.len = MIN(r.len, (size_t)LEDGER_REASON_BYTES - 1);
    return ledger_arena_text(&t->arena, r);
}

void ledger_put_meta(struct ledger_txn *t, const char *key, const char *value)
{
    struct ledger_write *w = put(t, WRITE_META);
    w->key = copy(t, key);
    w->now = copy(t, value);
}

void ledger_put_config_change(struct ledger_txn *t, const char *key, const char *was,
                              const char *now)
{
    struct ledger_write *w = put(t, WRITE_CONFIG_CHANGE);
    w->key = copy(t, key);
    w->was = copy(t, was);
    w->now = copy(t, now);
}

void ledger_put_counter(struct ledger_txn *t, const char *name, int64_t value)
{
    struct ledger_write *w = put(t, WRITE_COUNTER);
    w->key = copy(t, name);
    w->value = value;
}

void ledger_put_group(struct ledger_txn *t, const struct ledger_group *g)
{
    struct ledger_arena *a = &t->arena;
    struct ledger_write *w = put(t, WRITE_GROUP);
    w->group = *g;
    w->group.prompt = ledger_arena_copy(a, g->prompt, g->n_prompt * sizeof *g->prompt);
    w->group.prompt_text = ledger_arena_text(a, g->prompt_text);
    w->group.dataset = ledger_arena_text(a, g->dataset);
    w->group.checks = ledger_arena_text(a, g->checks);
    w->group.ground_truth = ledger_arena_text(a, g->ground_truth);
    w->group.kind = ledger_arena_text(a, g->kind);
    w->group.needs = ledger_arena_text(a, g->needs);
}

void ledger_put_lease(struct ledger_txn *t, uint64_t sample_id, uint32_t attempt,
                      struct msg_incarnation owner, uint64_t lease_version, const char *reason)
{
    struct ledger_write *w = put(t, WRITE_LEASE);
    w->sample_id = sample_id;
    w->attempt = attempt;
    w->owner = owner;
    w->version = lease_version;
    w->now = copy_reason(t, reason);
}

void ledger_put_receipt(struct ledger_txn *t, const struct ledger_receipt *r)
{
    struct ledger_arena *a = &t->arena;
    struct ledger_write *w = put(t, WRITE_RECEIPT);
    w->receipt = *r;
    w->receipt.tokens = ledger_arena_copy(a, r->tokens, r->n_tokens * sizeof *r->tokens);
    w->receipt.logprobs = ledger_arena_copy(a, r->logprobs, r->n_tokens * sizeof *r->logprobs);
    w->receipt.segments = ledger_arena_copy(a, r->segments, r->n_segments * sizeof *r->segments);
    w->receipt.response = ledger_arena_text(a, r->response);
}

void ledger_put_repeat(struct ledger_txn *t, uint64_t sample_id, struct hash128 payload)
{
    struct ledger_write *w = put(t, WRITE_REPEAT);
    w->sample_id = sample_id;
    w->hash = payload;
}

void ledger_put_retry(struct ledger_txn *t, uint64_t sample_id, uint32_t tries, const char *cause)
{
    struct ledger_write *w = put(t, WRITE_RETRY);
    w->sample_id = sample_id;
    w->tries = tries;
    w->now = copy_reason(t, cause);
}

void ledger_put_verdict(struct ledger_txn *t, const struct ledger_verdict *v)
{
    struct ledger_arena *a = &t->arena;
    struct ledger_write *w = put(t, WRITE_VERDICT);
    w->verdict = *v;
    w->verdict.cause = copy_reason(t, v->cause).data;
    struct msg_component *c = ledger_arena_alloc(a, v->n_components * sizeof *c);
    for (size_t i = 0; c != NULL && i < v->n_components; i++) {
        c[i] = (struct msg_component){ledger_arena_text(a, v->components[i].id),
                                      ledger_arena_text(a, v->components[i].version),
                                      v->components[i].value, v->components[i].weight};
    }
    w->verdict.components = c;
}

void ledger_put_drop(struct ledger_txn *t, uint64_t sample_id, enum ledger_state from,
                     const char *reason)
{
    struct ledger_write *w = put(t, WRITE_DROP);
    w->sample_id = sample_id;
    w->from = from;
    w->now = copy_reason(t, reason);
}

void ledger_put_step(struct ledger_txn *t, uint64_t branch, const struct train_step *s,
                     bool no_signal, const char *stats_json)
{
    struct ledger_write *w = put(t, WRITE_STEP);
    w->branch = branch;
    w->step = s->step;
    w->version = s->version;
    w->new_version = s->new_version;
    w->no_signal = no_signal;
    w->was = copy(t, stats_json);
    char *hyper = train_hyper_print(&s->hyper);
    if (hyper == NULL) {
        t->arena.failed = true;
        return;
    }
    w->now = copy(t, hyper);
    free(hyper);
    size_t n = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        n += s->groups[g].n_samples;
    }
    w->members = ledger_arena_alloc(&t->arena, n * sizeof *w->members);
    if (w->members == NULL) {
        return;
    }
    for (size_t g = 0; g < s->n_groups; g++) {
        for (size_t i = 0; i < s->groups[g].n_samples; i++) {
            const struct train_sample *m = &s->groups[g].samples[i];
            w->members[w->n_members++] =
                (struct ledger_put_sample){m->sample_id, m->advantage, m->fresh, m->masked};
        }
    }
}

void ledger_put_step_done(struct ledger_txn *t, uint64_t branch, uint64_t step,
                          struct hash128 weights_hash, const char *metrics_json)
{
    struct ledger_write *w = put(t, WRITE_STEP_DONE);
    w->branch = branch;
    w->step = step;
    w->hash = weights_hash;
    w->now = copy(t, metrics_json);
}

void ledger_put_version(struct ledger_txn *t, uint64_t version, uint64_t parent, uint64_t step,
                        struct hash128 weights_hash, uint64_t branch)
{
    struct ledger_write *w = put(t, WRITE_VERSION);
    w->version = version;
    w->parent = parent;
    w->step = step;
    w->hash = weights_hash;
    w->branch = branch;
}

void ledger_put_checkpoint(struct ledger_txn *t, uint64_t step, uint64_t version, const char *dir,
                           uint64_t branch)
{
    struct ledger_write *w = put(t, WRITE_CHECKPOINT);
    w->step = step;
    w->version = version;
    w->branch = branch;
    w->key = copy(t, dir);
}

void ledger_put_checkpoint_gone(struct ledger_txn *t, const char *dir)
{
    put(t, WRITE_CHECKPOINT_GONE)->key = copy(t, dir);
}

void ledger_put_eval(struct ledger_txn *t, uint64_t eval_id, uint64_t version, uint64_t step,
                     uint64_t n)
{
    struct ledger_write *w = put(t, WRITE_EVAL);
    w->eval_id = eval_id;
    w->version = version;
    w->step = step;
    w->n = n;
}

void ledger_put_eval_done(struct ledger_txn *t, uint64_t eval_id, uint64_t n_scored,
                          double reward_mean, const char *by_kind_json)
{
    struct ledger_write *w = put(t, WRITE_EVAL_DONE);
    w->eval_id = eval_id;
    w->n = n_scored;
    w->reward_mean = reward_mean;
    w->now = copy(t, by_kind_json);
}

void ledger_put_branch(struct ledger_txn *t, uint64_t step, uint64_t version, uint64_t branch,
                       uint64_t new_version, struct hash128 weights_hash)
{
    struct ledger_write *w = put(t, WRITE_BRANCH);
    w->step = step;
    w->version = version;
    w->branch = branch;
    w->new_version = new_version;
    w->hash = weights_hash;
}
