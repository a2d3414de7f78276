// ledger_load.c: what recovery reads back whole: a committed step as the trainer takes it, and
// everything that is alive.
//
// Both become plain structs in one arena. A step read back is equal to the one that was committed,
// bit for bit: the same samples in the same order, the same advantages (SQLite keeps doubles as
// they are) and the hyper-parameters of then, so that running it again gives the same weights.
#include <stdlib.h>
#include <string.h>

#include "learner/ledger_internal.h"

struct holder {    // a result and the arena it lives in
    struct ledger_arena arena;
    union {
        struct ledger_step step;
        struct ledger_live live;
    };
};

void ledger_step_free(struct ledger_step *s)
{
    if (s != NULL) {
        struct holder *h = s->memory;
        ledger_arena_free(&h->arena);
        free(h);
    }
}

void ledger_live_free(struct ledger_live *live)
{
    if (live != NULL) {
        struct holder *h = live->memory;
        ledger_arena_free(&h->arena);
        free(h);
    }
}

static const uint32_t *copy_words(struct ledger_arena *a, sqlite3_stmt *s, int i, size_t *n)
{
    size_t bytes = (size_t)sqlite3_column_bytes(s, i) & ~(size_t)3;
    *n = bytes / 4;
    return ledger_arena_copy(a, sqlite3_column_blob(s, i), bytes);
}

static enum err end_query(struct ledger *l, sqlite3_stmt *s, int rc, enum err e, struct why *why)
{
    if (e == ERR_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) {
        e = ledger_fail(l, rc, why, "reading");
    }
    sqlite3_finalize(s);
    return e;
}

static enum err count_rows(struct ledger *l, const char *sql, uint64_t a, uint64_t b, size_t *n,
                           struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(l, sql, &s, why);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)a);
    (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)b);
    int rc = sqlite3_step(s);
    *n = rc == SQLITE_ROW ? (size_t)sqlite3_column_int64(s, 0) : 0;
    return end_query(l, s, rc, ERR_OK, why);
}

// ---- a step ----

static enum err load_step_head(struct ledger *l, uint64_t branch, uint64_t step,
                               struct ledger_step *out, struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(l,
                                "SELECT version, new_version, state, hyper, weights_hash FROM "
                                "steps WHERE branch = ?1 AND step = ?2",
                                &s, why);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)branch);
    (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)step);
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        out->train.step = step;
        out->train.version = ledger_column_u64(s, 0);
        out->train.new_version = ledger_column_u64(s, 1);
        out->branch = branch;
        const char *state = ledger_column_text(s, 2).data;
        out->no_signal = strcmp(state, "passed") == 0;
        out->done = sqlite3_column_type(s, 4) == SQLITE_TEXT;
        if (out->done && !hash_from_hex(ledger_column_text(s, 4).data, &out->weights_hash)) {
            e = why_set(why, ERR_CORRUPT, "%s: step %llu: weights_hash is not 32 hex digits",
                        l->path, (unsigned long long)step);
        }
        struct msg_text hyper = ledger_column_text(s, 3);
        if (e == ERR_OK) {
            e = train_hyper_parse(hyper.data, hyper.len, &out->train.hyper, why);
            e = e == ERR_OK
                    ? e
                    : why_prefix(why, e, "%s: step %llu", l->path, (unsigned long long)step);
        }
    } else if (rc == SQLITE_DONE) {
        e = why_set(why, ERR_NOT_FOUND, "%s: step %llu of branch %llu is not recorded", l->path,
                    (unsigned long long)step, (unsigned long long)branch);
    }
    return end_query(l, s, rc, e, why);
}

// One row of the batch; consecutive rows of one group share its struct.
static enum err load_step_row(struct ledger *l, struct ledger_arena *a, sqlite3_stmt *s,
                              struct train_group *groups, size_t *n_groups, uint64_t *last_group,
                              struct train_sample *m, struct why *why)
{
    uint64_t group_id = ledger_column_u64(s, 0);
    if (*n_groups == 0 || group_id != *last_group) {
        struct train_group *g = &groups[(*n_groups)++];
        g->prompt = copy_words(a, s, 1, &g->n_prompt);
        g->samples = m;
        *last_group = group_id;
    }
    groups[*n_groups - 1].n_samples++;
    size_t n_logprobs = 0;
    m->sample_id = ledger_column_u64(s, 2);
    m->tokens = copy_words(a, s, 3, &m->n_tokens);
    const uint32_t *bits = copy_words(a, s, 4, &n_logprobs);
    m->logprobs = (const float *)(const void *)bits;
    m->advantage = sqlite3_column_double(s, 5);
    m->fresh = sqlite3_column_int(s, 6) != 0;
    m->masked = sqlite3_column_int(s, 7) != 0;
    if (a->failed) {
        return ERR_NOMEM;
    }
    if (n_logprobs != m->n_tokens || m->n_tokens == 0) {
        return why_set(why, ERR_CORRUPT, "%s: sample %llu: %zu tokens, %zu log-probs", l->path,
                       (unsigned long long)m->sample_id, m->n_tokens, n_logprobs);
    }
    return ERR_OK;
}

static enum err load_step_samples(struct ledger *l, struct ledger_arena *a, struct ledger_step *out,
                                  struct why *why)
{
    size_t n = 0;
    enum err e = count_rows(l, "SELECT count(*) FROM step_samples WHERE branch = ?1 AND step = ?2",
                            out->branch, out->train.step, &n, why);
    if (e != ERR_OK) {
        return e;
    }
    struct train_sample *samples = ledger_arena_alloc(a, n * sizeof *samples);
    struct train_group *groups = ledger_arena_alloc(a, n * sizeof *groups);
    if (samples == NULL || groups == NULL) {
        return ERR_NOMEM;
    }
    sqlite3_stmt *s = NULL;
    e = ledger_prepare(
        l,
        "SELECT s.group_id, g.prompt, s.sample_id, c.tokens, c.logprobs, m.advantage, m.fresh, "
        "m.masked FROM step_samples m JOIN samples s USING(sample_id)\n"
        "  JOIN groups g USING(group_id) JOIN completions c USING(sample_id) WHERE m.branch = ?1 "
        "AND m.step = ?2 ORDER BY m.position",
        &s, why);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)out->branch);
    (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)out->train.step);
    size_t i = 0, n_groups = 0;
    uint64_t last_group = 0;
    int rc = sqlite3_step(s);
    for (; rc == SQLITE_ROW && e == ERR_OK && i < n; i++) {
        e = load_step_row(l, a, s, groups, &n_groups, &last_group, &samples[i], why);
        rc = e == ERR_OK ? sqlite3_step(s) : rc;
    }
    e = end_query(l, s, rc, e, why);
    if (e == ERR_OK && i != n) {
        e = why_set(why, ERR_CORRUPT, "%s: step %llu: %zu of its %zu samples have a completion",
                    l->path, (unsigned long long)out->train.step, i, n);
    }
    out->train.groups = groups;
    out->train.n_groups = n_groups;
    return e;
}

enum err ledger_load_step(struct ledger *l, uint64_t branch, uint64_t step,
                          struct ledger_step **out, struct why *why)
{
    struct holder *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return ERR_NOMEM;
    }
    h->step.memory = h;
    enum err e = load_step_head(l, branch, step, &h->step, why);
    e = e == ERR_OK ? load_step_samples(l, &h->arena, &h->step, why) : e;
    if (e != ERR_OK) {
        ledger_step_free(&h->step);
        return e;
    }
    *out = &h->step;
    return ERR_OK;
}

// ---- everything alive ----

#define LIVE_GROUPS                                                                                \
    "(SELECT DISTINCT group_id FROM samples WHERE state IN ('generating', 'received', 'scored'))"

static struct msg_text copy_text(struct ledger_arena *a, sqlite3_stmt *s, int i)
{
    return ledger_arena_text(a, ledger_column_text(s, i));
}

static void load_group_row(struct ledger_arena *a, sqlite3_stmt *s, struct ledger_group *g)
{
    g->group_id = ledger_column_u64(s, 0);
    g->purpose = strcmp(ledger_column_text(s, 1).data, "eval") == 0 ? LEDGER_EVAL : LEDGER_TRAIN;
    g->eval_id = ledger_column_u64(s, 2);
    g->ordinal = ledger_column_u64(s, 3);
    g->task_index = ledger_column_u64(s, 4);
    g->epoch = ledger_column_u64(s, 5);
    g->first_sample = ledger_column_u64(s, 6);
    g->n_samples = (uint32_t)sqlite3_column_int64(s, 7);
    g->prompt = copy_words(a, s, 8, &g->n_prompt);
    g->prompt_text = copy_text(a, s, 9);
    g->dataset = copy_text(a, s, 10);
    g->checks = copy_text(a, s, 11);
    g->ground_truth = copy_text(a, s, 12);
    g->kind = copy_text(a, s, 13);
    g->needs = copy_text(a, s, 14);
    g->sampling.max_tokens = (uint32_t)sqlite3_column_int64(s, 15);
    g->sampling.temperature = (float)sqlite3_column_double(s, 16);
    g->sampling.top_p = (float)sqlite3_column_double(s, 17);
    g->sampling.top_k = (uint32_t)sqlite3_column_int64(s, 18);
    g->sampling.min_p = (float)sqlite3_column_double(s, 19);
    g->pinned_version = ledger_column_u64(s, 20);
}

static enum err load_live_groups(struct ledger *l, struct ledger_arena *a, struct ledger_live *out,
                                 struct why *why)
{
    size_t n = 0;
    enum err e =
        count_rows(l, "SELECT count(*) FROM groups WHERE group_id IN " LIVE_GROUPS, 0, 0, &n, why);
    out->groups = ledger_arena_alloc(a, n * sizeof *out->groups);
    if (e != ERR_OK || out->groups == NULL) {
        return e != ERR_OK ? e : ERR_NOMEM;
    }
    sqlite3_stmt *s = NULL;
    e = ledger_prepare(
        l,
        "SELECT group_id, purpose, eval_id, ordinal, task_index, epoch, first_sample, n_samples, "
        "prompt, prompt_text, dataset, checks, ground_truth, kind, needs,\n"
        "  max_tokens, temperature, top_p, top_k, min_p, pinned_version FROM groups WHERE group_id "
        "IN " LIVE_GROUPS " ORDER BY group_id",
        &s, why);
    if (e != ERR_OK) {
        return e;
    }
    int rc = sqlite3_step(s);
    for (; rc == SQLITE_ROW && out->n_groups < n; rc = sqlite3_step(s)) {
        load_group_row(a, s, &out->groups[out->n_groups++]);
    }
    return end_query(l, s, rc, a->failed ? ERR_NOMEM : ERR_OK, why);
}

static bool load_sample_row(struct ledger_arena *a, sqlite3_stmt *s, struct ledger_live_sample *m)
{
    m->sample_id = ledger_column_u64(s, 0);
    m->group_id = ledger_column_u64(s, 1);
    m->state = ledger_state_of(ledger_column_text(s, 2).data);
    m->attempt = (uint32_t)sqlite3_column_int64(s, 3);
    m->has_owner = ledger_incarnation_parse((const char *)sqlite3_column_text(s, 4), &m->owner);
    m->lease_version = ledger_column_u64(s, 5);
    m->tries = (uint32_t)sqlite3_column_int64(s, 6);
    m->outcome = strcmp(ledger_column_text(s, 7).data, "score") == 0 ? MSG_OUTCOME_SCORE
                 : sqlite3_column_type(s, 7) == SQLITE_NULL          ? 0
                                                                     : MSG_OUTCOME_ZERO;
    m->reward = sqlite3_column_double(s, 8);
    m->step = ledger_column_u64(s, 9);
    struct ledger_receipt *r = &m->receipt;
    r->sample_id = m->sample_id;
    r->attempt = m->attempt;
    r->owner = m->owner;
    if (sqlite3_column_type(s, 10) == SQLITE_NULL) {
        return m->state < LEDGER_STATE_COUNT &&
               (m->state == LEDGER_GENERATING || m->state == LEDGER_DROPPED);
    }
    size_t n_logprobs = 0;
    r->tokens = copy_words(a, s, 10, &r->n_tokens);
    const uint32_t *bits = copy_words(a, s, 11, &n_logprobs);
    r->logprobs = (const float *)(const void *)bits;
    bool good =
        ledger_segments(a, s, 12, &r->segments, &r->n_segments) && n_logprobs == r->n_tokens;
    r->response = copy_text(a, s, 13);
    r->finish =
        strcmp(ledger_column_text(s, 14).data, "length") == 0 ? MSG_FINISH_LENGTH : MSG_FINISH_STOP;
    r->oldest_version = ledger_column_u64(s, 15);
    r->newest_version = ledger_column_u64(s, 16);
    return good && m->state < LEDGER_STATE_COUNT &&
           hash_from_hex(ledger_column_text(s, 17).data, &r->payload);
}

static enum err load_live_samples(struct ledger *l, struct ledger_arena *a, struct ledger_live *out,
                                  struct why *why)
{
    size_t n = 0;
    enum err e =
        count_rows(l, "SELECT count(*) FROM samples WHERE group_id IN " LIVE_GROUPS, 0, 0, &n, why);
    out->samples = ledger_arena_alloc(a, n * sizeof *out->samples);
    if (e != ERR_OK || out->samples == NULL) {
        return e != ERR_OK ? e : ERR_NOMEM;
    }
    sqlite3_stmt *s = NULL;
    e = ledger_prepare(
        l,
        "SELECT s.sample_id, s.group_id, s.state, s.attempt, s.owner, s.lease_version, s.tries, "
        "s.outcome, s.reward,\n"
        "  (SELECT p.step FROM step_samples m JOIN steps p USING(branch, step) WHERE m.sample_id = "
        "s.sample_id AND p.state = 'committed'),\n"
        "  c.tokens, c.logprobs, c.segments, c.response, s.finish, s.oldest_version, "
        "s.newest_version, s.payload\n"
        "  FROM samples s LEFT JOIN completions c USING(sample_id) WHERE s.group_id IN " LIVE_GROUPS
        " ORDER BY s.group_id, s.sample_id",
        &s, why);
    if (e != ERR_OK) {
        return e;
    }
    int rc = sqlite3_step(s);
    while (rc == SQLITE_ROW && e == ERR_OK && out->n_samples < n) {
        struct ledger_live_sample *m = &out->samples[out->n_samples++];
        if (!load_sample_row(a, s, m)) {
            e = a->failed ? ERR_NOMEM
                          : why_set(why, ERR_CORRUPT, "%s: sample %llu does not read", l->path,
                                    (unsigned long long)m->sample_id);
            break;
        }
        rc = sqlite3_step(s);
    }
    return end_query(l, s, rc, e, why);
}

static enum err load_components(struct ledger *l, struct ledger_arena *a, struct ledger_live *out,
                                struct why *why)
{
    size_t n = 0, i = 0, at = 0;
    enum err e = count_rows(l,
                            "SELECT count(*) FROM verdict_components JOIN samples USING(sample_id) "
                            "WHERE group_id IN " LIVE_GROUPS,
                            0, 0, &n, why);
    out->components = ledger_arena_alloc(a, n * sizeof *out->components);
    if (e != ERR_OK || out->components == NULL) {
        return e != ERR_OK ? e : ERR_NOMEM;
    }
    sqlite3_stmt *s = NULL;
    e = ledger_prepare(
        l,
        "SELECT sample_id, check_id, check_version, value, weight FROM verdict_components "
        "JOIN samples USING(sample_id) WHERE group_id IN " LIVE_GROUPS
        " ORDER BY group_id, sample_id, verdict_components.idx",
        &s, why);
    if (e != ERR_OK) {
        return e;
    }
    int rc = sqlite3_step(s);
    for (; rc == SQLITE_ROW && i < n; rc = sqlite3_step(s), i++) {
        uint64_t id = ledger_column_u64(s, 0);
        while (at < out->n_samples && out->samples[at].sample_id != id) {
            at++;
        }
        if (at == out->n_samples) {
            break;
        }
        if (out->samples[at].n_components++ == 0) {
            out->samples[at].first_component = i;
        }
        out->components[i] =
            (struct msg_component){copy_text(a, s, 1), copy_text(a, s, 2),
                                   sqlite3_column_double(s, 3), sqlite3_column_double(s, 4)};
    }
    return end_query(l, s, rc, a->failed ? ERR_NOMEM : ERR_OK, why);
}

enum err ledger_load_live(struct ledger *l, struct ledger_live **out, struct why *why)
{
    struct holder *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return ERR_NOMEM;
    }
    h->live.memory = h;
    enum err e = load_live_groups(l, &h->arena, &h->live, why);
    e = e == ERR_OK ? load_live_samples(l, &h->arena, &h->live, why) : e;
    e = e == ERR_OK ? load_components(l, &h->arena, &h->live, why) : e;
    if (e != ERR_OK) {
        ledger_live_free(&h->live);
        return e;
    }
    *out = &h->live;
    return ERR_OK;
}
