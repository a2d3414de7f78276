// ledger_apply.c: from a transaction in memory to rows.
//
// Every change of a sample's state is an UPDATE that names the state it must come from, followed by
// its row in `transitions`; an UPDATE that hits no row means that memory and ledger disagree, and
// the whole transaction fails (ERR_CORRUPT). So the ledger never follows a mistaken coordinator
// quietly.
#include <stdio.h>
#include <string.h>

#include "learner/ledger_internal.h"

// One statement being filled: get, bind…, then run. `rc` is sticky.
struct row {
    struct ledger *l;
    sqlite3_stmt *s;
    int rc;
};

static struct row row_begin(struct ledger *l, enum ledger_sql which)
{
    struct row r = {l, l->prepared[which], SQLITE_OK};
    if (r.s == NULL) {
        r.rc = sqlite3_prepare_v3(l->db, ledger_statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                                  &l->prepared[which], NULL);
        r.s = l->prepared[which];
    }
    return r;
}

static void bind_int(struct row *r, int i, uint64_t v)
{
    if (r->rc == SQLITE_OK) {
        r->rc = sqlite3_bind_int64(r->s, i, (sqlite3_int64)v);
    }
}

static void bind_real(struct row *r, int i, double v)
{
    if (r->rc == SQLITE_OK) {
        r->rc = sqlite3_bind_double(r->s, i, v);
    }
}

static void bind_bytes(struct row *r, int i, struct msg_text t)
{
    if (r->rc == SQLITE_OK) {
        r->rc = sqlite3_bind_text64(r->s, i, t.data != NULL ? t.data : "", t.len, SQLITE_STATIC,
                                    SQLITE_UTF8);
    }
}

static void bind_str(struct row *r, int i, const char *s)
{
    if (s != NULL) {
        bind_bytes(r, i, msg_text_of(s));
    } else if (r->rc == SQLITE_OK) {
        r->rc = sqlite3_bind_null(r->s, i);
    }
}

static void bind_blob(struct row *r, int i, const void *data, size_t len)
{
    if (r->rc == SQLITE_OK) {
        r->rc = sqlite3_bind_blob64(r->s, i, len > 0 ? data : "", len, SQLITE_STATIC);
    }
}

static void bind_hash(struct row *r, int i, struct hash128 h)
{
    char hex[HASH_HEX_LEN + 1];
    hash_hex(h, hex);
    if (r->rc == SQLITE_OK) {
        r->rc = sqlite3_bind_text(r->s, i, hex, -1, SQLITE_TRANSIENT);
    }
}

static void bind_owner(struct row *r, int i, struct msg_incarnation id)
{
    struct hash128 h;
    memcpy(h.bytes, id.bytes, sizeof h.bytes);
    bind_hash(r, i, h);
}

// Runs a statement that returns no rows. changed (may be NULL): rows it touched.
static enum err row_run(struct row *r, const char *doing, int64_t *changed, struct why *why)
{
    int rc = r->rc == SQLITE_OK ? sqlite3_step(r->s) : r->rc;
    enum err e = rc == SQLITE_DONE ? ERR_OK : ledger_fail(r->l, rc, why, doing);
    if (e == ERR_OK && changed != NULL) {
        *changed = sqlite3_changes64(r->l->db);
    }
    if (r->s != NULL) {
        (void)sqlite3_reset(r->s);
        (void)sqlite3_clear_bindings(r->s);
    }
    return e;
}

// Runs an UPDATE of one sample that must find it in the state it names.
static enum err row_run_one(struct row *r, const char *doing, uint64_t sample_id, struct why *why)
{
    int64_t changed = 0;
    enum err e = row_run(r, doing, &changed, why);
    if (e == ERR_OK && changed != 1) {
        e = why_set(why, ERR_CORRUPT, "%s: %s: sample %llu is not in the state expected",
                    r->l->path, doing, (unsigned long long)sample_id);
    }
    return e;
}

static enum err transition(struct ledger *l, uint64_t sample_id, const char *from, const char *to,
                           const char *reason, int64_t at_ms, struct why *why)
{
    struct row r = row_begin(l, SQL_TRANSITION);
    bind_int(&r, 1, sample_id);
    bind_str(&r, 2, from);
    bind_str(&r, 3, to);
    bind_str(&r, 4, reason);
    bind_int(&r, 5, (uint64_t)at_ms);
    return row_run(&r, "recording a transition", NULL, why);
}

static enum err apply_texts(struct ledger *l, const struct ledger_txn *t,
                            const struct ledger_write *w, struct why *why)
{
    if (w->kind == WRITE_META) {
        struct row r = row_begin(l, SQL_META);
        bind_bytes(&r, 1, w->key);
        bind_bytes(&r, 2, w->now);
        return row_run(&r, "writing meta", NULL, why);
    }
    if (w->kind == WRITE_COUNTER) {
        struct row r = row_begin(l, SQL_COUNTER);
        bind_bytes(&r, 1, w->key);
        bind_int(&r, 2, (uint64_t)w->value);
        return row_run(&r, "writing a counter", NULL, why);
    }
    struct row r = row_begin(l, SQL_CONFIG_CHANGE);
    bind_int(&r, 1, (uint64_t)t->at_ms);
    bind_bytes(&r, 2, w->key);
    bind_bytes(&r, 3, w->was);
    bind_bytes(&r, 4, w->now);
    return row_run(&r, "recording a configuration change", NULL, why);
}

static enum err apply_group(struct ledger *l, const struct ledger_txn *t,
                            const struct ledger_group *g, struct why *why)
{
    struct row r = row_begin(l, SQL_GROUP);
    bind_int(&r, 1, g->group_id);
    bind_str(&r, 2, g->purpose == LEDGER_EVAL ? "eval" : "train");
    if (g->eval_id > 0) {
        bind_int(&r, 3, g->eval_id);
    }
    bind_int(&r, 4, g->ordinal);
    bind_int(&r, 5, g->task_index);
    bind_int(&r, 6, g->epoch);
    bind_int(&r, 7, g->first_sample);
    bind_int(&r, 8, g->n_samples);
    bind_blob(&r, 9, g->prompt, g->n_prompt * sizeof *g->prompt);
    bind_bytes(&r, 10, g->prompt_text);
    bind_bytes(&r, 11, g->dataset);
    bind_bytes(&r, 12, g->checks);
    bind_bytes(&r, 13, g->ground_truth);
    bind_bytes(&r, 14, g->kind);
    bind_bytes(&r, 15, g->needs);
    bind_int(&r, 16, g->sampling.max_tokens);
    bind_real(&r, 17, (double)g->sampling.temperature);
    bind_real(&r, 18, (double)g->sampling.top_p);
    bind_int(&r, 19, g->sampling.top_k);
    bind_real(&r, 20, (double)g->sampling.min_p);
    bind_int(&r, 21, g->pinned_version);
    bind_int(&r, 22, (uint64_t)t->at_ms);
    enum err e = row_run(&r, "issuing a group", NULL, why);
    for (uint32_t i = 0; e == ERR_OK && i < g->n_samples; i++) {
        struct row s = row_begin(l, SQL_SAMPLE);
        bind_int(&s, 1, g->first_sample + i);
        bind_int(&s, 2, g->group_id);
        bind_int(&s, 3, i);
        e = row_run(&s, "issuing a sample", NULL, why);
        e = e == ERR_OK
                ? transition(l, g->first_sample + i, NULL, "generating", NULL, t->at_ms, why)
                : e;
    }
    return e;
}

static enum err apply_lease(struct ledger *l, const struct ledger_txn *t,
                            const struct ledger_write *w, struct why *why)
{
    struct row r = row_begin(l, SQL_LEASE);
    bind_int(&r, 1, w->sample_id);
    bind_int(&r, 2, w->attempt);
    bind_owner(&r, 3, w->owner);
    bind_int(&r, 4, w->version);
    enum err e = row_run_one(&r, "leasing", w->sample_id, why);
    if (e == ERR_OK && w->attempt > 1) {
        e = transition(l, w->sample_id, "generating", "generating", w->now.data, t->at_ms, why);
    }
    return e;
}

static enum err apply_completion(struct ledger *l, const struct ledger_receipt *r, struct why *why)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs are little-endian");
    struct ledger_arena a = {0};
    uint8_t *packed = ledger_arena_alloc(&a, r->n_segments * 12);
    if (packed == NULL) {
        return why_set(why, ERR_NOMEM, "%s: %zu segments", l->path, r->n_segments);
    }
    for (size_t i = 0; i < r->n_segments; i++) {
        memcpy(packed + 12 * i, &r->segments[i].version, 8);
        memcpy(packed + 12 * i + 8, &r->segments[i].end, 4);
    }
    struct row c = row_begin(l, SQL_COMPLETION);
    bind_int(&c, 1, r->sample_id);
    bind_blob(&c, 2, r->tokens, r->n_tokens * sizeof *r->tokens);
    bind_blob(&c, 3, r->logprobs, r->n_tokens * sizeof *r->logprobs);
    bind_blob(&c, 4, packed, r->n_segments * 12);
    bind_bytes(&c, 5, r->response);
    enum err e = row_run(&c, "storing a completion", NULL, why);
    ledger_arena_free(&a);
    return e;
}

static enum err apply_receipt(struct ledger *l, const struct ledger_txn *t,
                              const struct ledger_receipt *r, struct why *why)
{
    struct row s = row_begin(l, SQL_RECEIPT);
    bind_int(&s, 1, r->sample_id);
    bind_int(&s, 2, r->attempt);
    bind_owner(&s, 3, r->owner);
    bind_int(&s, 4, r->n_tokens);
    bind_str(&s, 5, r->finish == MSG_FINISH_LENGTH ? "length" : "stop");
    bind_hash(&s, 6, r->payload);
    bind_int(&s, 7, r->oldest_version);
    bind_int(&s, 8, r->newest_version);
    bind_int(&s, 9, (uint64_t)t->at_ms);
    enum err e = row_run_one(&s, "receiving", r->sample_id, why);
    e = e == ERR_OK ? apply_completion(l, r, why) : e;
    e = e == ERR_OK ? transition(l, r->sample_id, "generating", "received", NULL, t->at_ms, why)
                    : e;
    if (e != ERR_OK) {
        return e;
    }
    struct row a = row_begin(l, SQL_ACK_OK);
    bind_int(&a, 1, r->sample_id);
    bind_hash(&a, 2, r->payload);
    bind_int(&a, 3, (uint64_t)t->at_ms);
    return row_run(&a, "acknowledging", NULL, why);
}

static enum err count_one(struct ledger *l, const char *name, struct why *why)
{
    struct row r = row_begin(l, SQL_COUNTER_ADD);
    bind_str(&r, 1, name);
    bind_int(&r, 2, 1);
    return row_run(&r, "counting", NULL, why);
}

static enum err apply_repeat(struct ledger *l, struct ledger_txn *t, const struct ledger_write *w,
                             struct why *why)
{
    char hex[HASH_HEX_LEN + 1];
    hash_hex(w->hash, hex);
    struct row f = row_begin(l, SQL_REPEAT_FIND);
    bind_int(&f, 1, w->sample_id);
    int rc = f.rc == SQLITE_OK ? sqlite3_step(f.s) : f.rc;
    bool known = rc == SQLITE_ROW;
    bool same = known && sqlite3_column_type(f.s, 0) == SQLITE_TEXT &&
                strcmp((const char *)sqlite3_column_text(f.s, 0), hex) == 0;
    if (f.s != NULL) {
        (void)sqlite3_reset(f.s);
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return ledger_fail(l, rc, why, "looking up a repeated sample");
    }
    t->repeat_status = !known ? MSG_ACK_UNKNOWN : same ? MSG_ACK_DUPLICATE : MSG_ACK_SUPERSEDED;
    if (!known) {
        return count_one(l, "submits_unknown", why);
    }
    struct row r = row_begin(l, same ? SQL_REPEAT_SAME : SQL_REPEAT_OTHER);
    bind_int(&r, 1, w->sample_id);
    bind_hash(&r, 2, w->hash);
    if (!same) {
        bind_int(&r, 3, (uint64_t)t->at_ms);
    }
    enum err e = row_run(&r, "counting a repeat", NULL, why);
    return e == ERR_OK ? count_one(l, same ? "submits_duplicate" : "submits_superseded", why) : e;
}

static enum err apply_verdict(struct ledger *l, const struct ledger_txn *t,
                              const struct ledger_verdict *v, struct why *why)
{
    struct row r = row_begin(l, SQL_VERDICT);
    bind_int(&r, 1, v->sample_id);
    bind_str(&r, 2, v->outcome == MSG_OUTCOME_SCORE ? "score" : "zero");
    bind_real(&r, 3, v->reward);
    bind_str(&r, 4, v->cause[0] != '\0' ? v->cause : NULL);
    bind_int(&r, 5, v->elapsed_us);
    bind_int(&r, 6, (uint64_t)t->at_ms);
    enum err e = row_run_one(&r, "scoring", v->sample_id, why);
    for (size_t i = 0; e == ERR_OK && i < v->n_components; i++) {
        struct row c = row_begin(l, SQL_COMPONENT);
        bind_int(&c, 1, v->sample_id);
        bind_int(&c, 2, i);
        bind_bytes(&c, 3, v->components[i].id);
        bind_bytes(&c, 4, v->components[i].version);
        bind_real(&c, 5, v->components[i].value);
        bind_real(&c, 6, v->components[i].weight);
        e = row_run(&c, "storing a verdict", NULL, why);
    }
    return e == ERR_OK ? transition(l, v->sample_id, "received", "scored",
                                    v->cause[0] != '\0' ? v->cause : NULL, t->at_ms, why)
                       : e;
}

static enum err apply_retry(struct ledger *l, const struct ledger_txn *t,
                            const struct ledger_write *w, struct why *why)
{
    struct row r = row_begin(l, SQL_RETRY);
    bind_int(&r, 1, w->sample_id);
    bind_int(&r, 2, w->tries);
    enum err e = row_run_one(&r, "trying a verdict again", w->sample_id, why);
    return e == ERR_OK
               ? transition(l, w->sample_id, "received", "received", w->now.data, t->at_ms, why)
               : e;
}

static enum err apply_drop(struct ledger *l, const struct ledger_txn *t,
                           const struct ledger_write *w, struct why *why)
{
    struct row r = row_begin(l, SQL_DROP);
    bind_int(&r, 1, w->sample_id);
    bind_str(&r, 2, ledger_state_name(w->from));
    bind_bytes(&r, 3, w->now);
    enum err e = row_run_one(&r, "dropping", w->sample_id, why);
    return e == ERR_OK ? transition(l, w->sample_id, ledger_state_name(w->from), "dropped",
                                    w->now.data, t->at_ms, why)
                       : e;
}

// Moves the samples of a step from scored to consumed; `n` of them, no more and no fewer.
static enum err consume_step(struct ledger *l, uint64_t branch, uint64_t step, int64_t at_ms,
                             struct why *why)
{
    int64_t members = 0, consumed = 0;
    struct row t = row_begin(l, SQL_STEP_TRANSITIONS);
    bind_int(&t, 1, branch);
    bind_int(&t, 2, step);
    bind_int(&t, 3, (uint64_t)at_ms);
    enum err e = row_run(&t, "consuming a step's samples", &members, why);
    if (e != ERR_OK) {
        return e;
    }
    struct row c = row_begin(l, SQL_STEP_CONSUME);
    bind_int(&c, 1, branch);
    bind_int(&c, 2, step);
    e = row_run(&c, "consuming a step's samples", &consumed, why);
    if (e == ERR_OK && consumed != members) {
        e = why_set(why, ERR_CORRUPT, "%s: step %llu: %lld of its %lld samples are scored", l->path,
                    (unsigned long long)step, (long long)consumed, (long long)members);
    }
    return e;
}

static enum err apply_step(struct ledger *l, const struct ledger_txn *t,
                           const struct ledger_write *w, struct why *why)
{
    struct row r = row_begin(l, SQL_STEP);
    bind_int(&r, 1, w->branch);
    bind_int(&r, 2, w->step);
    bind_int(&r, 3, w->version);
    bind_int(&r, 4, w->new_version);
    bind_str(&r, 5, w->no_signal ? "passed" : "committed");
    bind_int(&r, 6, w->n_members);
    bind_bytes(&r, 7, w->now);
    bind_bytes(&r, 8, w->was);
    bind_int(&r, 9, (uint64_t)t->at_ms);
    if (w->no_signal) {
        bind_int(&r, 10, (uint64_t)t->at_ms);
    }
    enum err e = row_run(&r, "committing a step", NULL, why);
    for (size_t i = 0; e == ERR_OK && i < w->n_members; i++) {
        const struct ledger_put_sample *m = &w->members[i];
        struct row s = row_begin(l, SQL_STEP_SAMPLE);
        bind_int(&s, 1, m->sample_id);
        bind_int(&s, 2, w->branch);
        bind_int(&s, 3, w->step);
        bind_int(&s, 4, i);
        bind_real(&s, 5, m->advantage);
        bind_int(&s, 6, m->fresh);
        bind_int(&s, 7, m->masked);
        e = row_run_one(&s, "committing a step", m->sample_id, why);
    }
    return e == ERR_OK && w->no_signal ? consume_step(l, w->branch, w->step, t->at_ms, why) : e;
}

static enum err apply_step_done(struct ledger *l, const struct ledger_txn *t,
                                const struct ledger_write *w, struct why *why)
{
    int64_t changed = 0;
    struct row r = row_begin(l, SQL_STEP_DONE);
    bind_int(&r, 1, w->branch);
    bind_int(&r, 2, w->step);
    bind_int(&r, 3, (uint64_t)t->at_ms);
    bind_hash(&r, 4, w->hash);
    bind_bytes(&r, 5, w->now);
    enum err e = row_run(&r, "finishing a step", &changed, why);
    if (e == ERR_OK && changed != 1) {
        e = why_set(why, ERR_CORRUPT, "%s: step %llu is not committed", l->path,
                    (unsigned long long)w->step);
    }
    e = e == ERR_OK ? consume_step(l, w->branch, w->step, t->at_ms, why) : e;
    if (e != ERR_OK) {
        return e;
    }
    struct row v = row_begin(l, SQL_STEP_VERSION);
    bind_int(&v, 1, w->branch);
    bind_int(&v, 2, w->step);
    bind_int(&v, 3, (uint64_t)t->at_ms);
    return row_run(&v, "recording a version", NULL, why);
}

static enum err apply_version(struct ledger *l, const struct ledger_txn *t,
                              const struct ledger_write *w, struct why *why)
{
    struct row r = row_begin(l, SQL_VERSION);
    bind_int(&r, 1, w->version);
    bind_int(&r, 2, w->parent);
    bind_int(&r, 3, w->step);
    bind_hash(&r, 4, w->hash);
    bind_int(&r, 5, w->branch);
    bind_int(&r, 6, (uint64_t)t->at_ms);
    return row_run(&r, "recording a version", NULL, why);
}

static enum err apply_checkpoint(struct ledger *l, const struct ledger_txn *t,
                                 const struct ledger_write *w, struct why *why)
{
    if (w->kind == WRITE_CHECKPOINT_GONE) {
        struct row g = row_begin(l, SQL_CHECKPOINT_GONE);
        bind_bytes(&g, 1, w->key);
        return row_run(&g, "forgetting a checkpoint", NULL, why);
    }
    struct row r = row_begin(l, SQL_CHECKPOINT);
    bind_int(&r, 1, w->branch);
    bind_bytes(&r, 2, w->key);
    bind_int(&r, 3, w->step);
    bind_int(&r, 4, w->version);
    bind_int(&r, 5, (uint64_t)t->at_ms);
    return row_run(&r, "recording a checkpoint", NULL, why);
}

static enum err apply_eval(struct ledger *l, const struct ledger_txn *t,
                           const struct ledger_write *w, struct why *why)
{
    struct row r = row_begin(l, SQL_EVAL);
    bind_int(&r, 1, w->eval_id);
    bind_int(&r, 2, w->version);
    bind_int(&r, 3, w->step);
    bind_int(&r, 4, w->n);
    bind_int(&r, 5, (uint64_t)t->at_ms);
    return row_run(&r, "beginning an evaluation", NULL, why);
}

static enum err apply_eval_done(struct ledger *l, const struct ledger_txn *t,
                                const struct ledger_write *w, struct why *why)
{
    int64_t changed = 0;
    struct row r = row_begin(l, SQL_EVAL_DONE);
    bind_int(&r, 1, w->eval_id);
    bind_int(&r, 2, w->n);
    bind_real(&r, 3, w->reward_mean);
    bind_bytes(&r, 4, w->now);
    bind_int(&r, 5, (uint64_t)t->at_ms);
    enum err e = row_run(&r, "ending an evaluation", &changed, why);
    if (e == ERR_OK && changed != 1) {
        e = why_set(why, ERR_CORRUPT, "%s: evaluation %llu is not running", l->path,
                    (unsigned long long)w->eval_id);
    }
    if (e != ERR_OK) {
        return e;
    }
    struct row m = row_begin(l, SQL_EVAL_TRANSITIONS);
    bind_int(&m, 1, w->eval_id);
    bind_int(&m, 2, (uint64_t)t->at_ms);
    e = row_run(&m, "ending an evaluation", NULL, why);
    if (e != ERR_OK) {
        return e;
    }
    struct row c = row_begin(l, SQL_EVAL_CONSUME);
    bind_int(&c, 1, w->eval_id);
    return row_run(&c, "ending an evaluation", NULL, why);
}

// Once per fork, so plain text with numbers put in instead of prepared statements.
static enum err apply_branch(struct ledger *l, const struct ledger_txn *t,
                             const struct ledger_write *w, struct why *why)
{
    char hex[HASH_HEX_LEN + 1];
    hash_hex(w->hash, hex);
    unsigned long long step = w->step, version = w->version, branch = w->branch,
                       fresh = w->new_version;
    long long at = (long long)t->at_ms;
    char *sql = sqlite3_mprintf(
        "INSERT INTO transitions(sample_id, from_state, to_state, reason, at_ms)\n"
        "  SELECT sample_id, state, 'dropped', 'rolled_back', %lld FROM samples WHERE state IN "
        "('generating', 'received', 'scored')\n"
        "  OR sample_id IN (SELECT m.sample_id FROM step_samples m JOIN steps p USING(branch, "
        "step) WHERE p.branch = %llu - 1 AND p.step > %llu AND p.state != 'abandoned')\n"
        "  ORDER BY sample_id;\n"
        "UPDATE samples SET state = 'dropped', reason = 'rolled_back' WHERE state IN "
        "('generating', 'received', 'scored')\n"
        "  OR sample_id IN (SELECT m.sample_id FROM step_samples m JOIN steps p USING(branch, "
        "step) WHERE p.branch = %llu - 1 AND p.step > %llu AND p.state != 'abandoned');\n"
        "UPDATE steps SET state = 'abandoned' WHERE branch = %llu - 1 AND step > %llu;\n"
        "UPDATE evals SET state = 'ended', done_ms = %lld WHERE state = 'running';\n"
        "INSERT INTO branches VALUES(%llu, %llu - 1, %llu, %llu, %llu, %lld);\n"
        "INSERT INTO versions VALUES(%llu, %llu, %llu, '%q', %llu, %lld);\n"
        "INSERT OR REPLACE INTO checkpoints SELECT %llu, dir, step, %llu, 0, at_ms FROM "
        "checkpoints WHERE branch = %llu - 1 AND step = %llu AND gone = 0;\n",
        at, branch, step, branch, step, branch, step, at, branch, branch, step, version, fresh, at,
        fresh, version, step, hex, branch, at, branch, fresh, branch, step);
    if (sql == NULL) {
        return ERR_NOMEM;
    }
    int rc = sqlite3_exec(l->db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return rc == SQLITE_OK ? ERR_OK : ledger_fail(l, rc, why, "beginning a branch");
}

static enum err apply_one(struct ledger *l, struct ledger_txn *t, const struct ledger_write *w,
                          struct why *why)
{
    switch (w->kind) {
    case WRITE_META:
    case WRITE_CONFIG_CHANGE:
    case WRITE_COUNTER:
        return apply_texts(l, t, w, why);
    case WRITE_GROUP:
        return apply_group(l, t, &w->group, why);
    case WRITE_LEASE:
        return apply_lease(l, t, w, why);
    case WRITE_RECEIPT:
        return apply_receipt(l, t, &w->receipt, why);
    case WRITE_REPEAT:
        return apply_repeat(l, t, w, why);
    case WRITE_RETRY:
        return apply_retry(l, t, w, why);
    case WRITE_VERDICT:
        return apply_verdict(l, t, &w->verdict, why);
    case WRITE_DROP:
        return apply_drop(l, t, w, why);
    case WRITE_STEP:
        return apply_step(l, t, w, why);
    case WRITE_STEP_DONE:
        return apply_step_done(l, t, w, why);
    case WRITE_VERSION:
        return apply_version(l, t, w, why);
    case WRITE_CHECKPOINT:
    case WRITE_CHECKPOINT_GONE:
        return apply_checkpoint(l, t, w, why);
    case WRITE_EVAL:
        return apply_eval(l, t, w, why);
    case WRITE_EVAL_DONE:
        return apply_eval_done(l, t, w, why);
    case WRITE_BRANCH:
        return apply_branch(l, t, w, why);
    }
    return why_set(why, ERR_INVALID, "unknown kind of write %d", (int)w->kind);
}

enum err ledger_apply(struct ledger *l, struct ledger_txn *t, struct why *why)
{
    CHECK(l->in_transaction);
    enum err e = t->arena.failed
                     ? why_set(why, ERR_NOMEM, "%s: a transaction ran out of memory", l->path)
                     : ERR_OK;
    for (const struct ledger_write *w = t->first; e == ERR_OK && w != NULL; w = w->next) {
        e = apply_one(l, t, w, why);
    }
    if (e != ERR_OK) {
        if (!sqlite3_get_autocommit(l->db)) {
            (void)sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
        }
        l->in_transaction = false;
    }
    return e;
}
