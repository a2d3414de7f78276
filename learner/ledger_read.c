// ledger_read.c: queries over the ledger for recovery, tools and status: heads, checkpoints,
// versions, evaluations, counts, rows for people.
//
// Nothing here is cached: every call prepares its statement, runs it and gives it back. They run at
// start, in tools, and on the status page's own connection, never per token.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learner/ledger_internal.h"

// Ends a query loop: finalizes and turns everything but SQLITE_DONE/SQLITE_ROW into an error.
static enum err query_end(struct ledger *l, sqlite3_stmt *s, int rc, struct why *why)
{
    enum err e =
        rc == SQLITE_DONE || rc == SQLITE_ROW ? ERR_OK : ledger_fail(l, rc, why, "reading");
    sqlite3_finalize(s);
    return e;
}

enum err ledger_get_meta(struct ledger *l, const char *key, char **value, struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(l, "SELECT value FROM meta WHERE key = ?1", &s, why);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    int rc = sqlite3_step(s);
    char *copy = NULL;
    if (rc == SQLITE_ROW) {
        struct msg_text t = ledger_column_text(s, 0);
        copy = malloc(t.len + 1);
        if (copy != NULL) {
            memcpy(copy, t.data, t.len);
            copy[t.len] = '\0';
        }
    }
    e = query_end(l, s, rc, why);
    if (e != ERR_OK) {
        return e;
    }
    if (rc == SQLITE_DONE) {
        return why_set(why, ERR_NOT_FOUND, "%s: meta has no %s", l->path, key);
    }
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    *value = copy;
    return ERR_OK;
}

enum err ledger_get_counter(struct ledger *l, const char *name, int64_t *value, struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(l, "SELECT value FROM counters WHERE name = ?1", &s, why);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(s);
    int64_t v = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    e = query_end(l, s, rc, why);
    if (e == ERR_OK) {
        *value = v;
    }
    return e;
}

enum err ledger_get_heads(struct ledger *l, struct ledger_heads *out, struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(
        l,
        "WITH b AS (SELECT * FROM branches ORDER BY branch DESC LIMIT 1)\n"
        "SELECT (SELECT coalesce(max(sample_id), 0) + 1 FROM samples), (SELECT "
        "coalesce(max(group_id), 0) + 1 FROM groups), (SELECT coalesce(max(eval_id), 0) + 1 FROM "
        "evals),\n"
        "  (SELECT coalesce(max(ordinal) + 1, 0) FROM groups WHERE purpose = 'train'),\n"
        "  1 + max((SELECT coalesce(max(version), 0) FROM versions), (SELECT "
        "coalesce(max(new_version), 0) FROM steps)),\n"
        "  b.branch, (SELECT coalesce(max(version), 0) FROM versions WHERE branch = b.branch), "
        "b.first_version, b.fork_step,\n"
        "  (SELECT coalesce(max(step), b.fork_step) FROM steps WHERE branch = b.branch),\n"
        "  (SELECT coalesce(max(step), b.fork_step) FROM steps WHERE branch = b.branch AND state "
        "IN ('done', 'passed')) FROM b",
        &s, why);
    if (e != ERR_OK) {
        return e;
    }
    int rc = sqlite3_step(s);
    struct ledger_heads h = {0};
    if (rc == SQLITE_ROW) {
        uint64_t *const fields[] = {&h.next_sample,    &h.next_group,   &h.next_eval,
                                    &h.next_ordinal,   &h.next_version, &h.branch,
                                    &h.newest_version, &h.base_version, &h.base_step,
                                    &h.last_step,      &h.last_done};
        for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
            *fields[i] = ledger_column_u64(s, (int)i);
        }
    }
    e = query_end(l, s, rc, why);
    if (e == ERR_OK && rc != SQLITE_ROW) {
        e = why_set(why, ERR_CORRUPT, "%s: table branches is empty", l->path);
    }
    if (e == ERR_OK) {
        *out = h;
    }
    return e;
}

enum err ledger_get_checkpoint(struct ledger *l, size_t before, struct ledger_checkpoint *out,
                               struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e =
        ledger_prepare(l,
                       "SELECT step, version, dir FROM checkpoints WHERE gone = 0 AND branch = "
                       "(SELECT max(branch) FROM branches) ORDER BY step DESC LIMIT 1 OFFSET ?1",
                       &s, why);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)before);
    int rc = sqlite3_step(s);
    struct ledger_checkpoint c = {0};
    if (rc == SQLITE_ROW) {
        c.step = ledger_column_u64(s, 0);
        c.version = ledger_column_u64(s, 1);
        (void)snprintf(c.dir, sizeof c.dir, "%s", ledger_column_text(s, 2).data);
    }
    e = query_end(l, s, rc, why);
    if (e == ERR_OK && rc == SQLITE_DONE) {
        return why_set(why, ERR_NOT_FOUND, "%s: no checkpoint recorded", l->path);
    }
    if (e == ERR_OK) {
        *out = c;
    }
    return e;
}

static bool read_version(sqlite3_stmt *s, struct ledger_version *v)
{
    v->version = ledger_column_u64(s, 0);
    v->parent = ledger_column_u64(s, 1);
    v->step = ledger_column_u64(s, 2);
    v->branch = ledger_column_u64(s, 4);
    return hash_from_hex(ledger_column_text(s, 3).data, &v->weights_hash);
}

enum err ledger_get_version(struct ledger *l, uint64_t version, struct ledger_version *out,
                            struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(
        l, "SELECT version, parent, step, weights_hash, branch FROM versions WHERE version = ?1",
        &s, why);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)version);
    int rc = sqlite3_step(s);
    struct ledger_version v = {0};
    bool good = rc != SQLITE_ROW || read_version(s, &v);
    e = query_end(l, s, rc, why);
    if (e == ERR_OK && rc == SQLITE_DONE) {
        return why_set(why, ERR_NOT_FOUND, "%s: version %llu is not recorded", l->path,
                       (unsigned long long)version);
    }
    if (e == ERR_OK && !good) {
        e = why_set(why, ERR_CORRUPT, "%s: version %llu: weights_hash is not 32 hex digits",
                    l->path, (unsigned long long)version);
    }
    if (e == ERR_OK) {
        *out = v;
    }
    return e;
}

// Reads all rows of a query into a growing array of `size` bytes each.
static enum err read_list(struct ledger *l, const char *sql, size_t size,
                          bool (*read)(sqlite3_stmt *, void *), void **out, size_t *n,
                          struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(l, sql, &s, why);
    if (e != ERR_OK) {
        return e;
    }
    uint8_t *list = NULL;
    size_t len = 0, cap = 0;
    int rc = sqlite3_step(s);
    for (; rc == SQLITE_ROW && e == ERR_OK; rc = sqlite3_step(s)) {
        if (len == cap) {
            cap = cap == 0 ? 64 : 2 * cap;
            void *grown = realloc(list, cap * size);
            if (grown == NULL) {
                e = ERR_NOMEM;
                break;
            }
            list = grown;
        }
        memset(list + len * size, 0, size);
        if (!read(s, list + len * size)) {
            e = why_set(why, ERR_CORRUPT, "%s: row %zu of \"%s\" does not read", l->path, len, sql);
            break;
        }
        len++;
    }
    enum err q = query_end(l, s, rc, e == ERR_OK ? why : NULL);
    e = e == ERR_OK ? q : e;
    if (e != ERR_OK) {
        free(list);
        return e;
    }
    *out = list;
    *n = len;
    return ERR_OK;
}

static bool read_version_row(sqlite3_stmt *s, void *out)
{
    return read_version(s, out);
}

enum err ledger_list_versions(struct ledger *l, struct ledger_version **out, size_t *n,
                              struct why *why)
{
    void *list = NULL;
    enum err e = read_list(
        l, "SELECT version, parent, step, weights_hash, branch FROM versions ORDER BY version",
        sizeof **out, read_version_row, &list, n, why);
    if (e == ERR_OK) {
        *out = list;
    }
    return e;
}

static bool read_eval_row(sqlite3_stmt *s, void *out)
{
    struct ledger_eval *v = out;
    v->eval_id = ledger_column_u64(s, 0);
    v->version = ledger_column_u64(s, 1);
    v->step = ledger_column_u64(s, 2);
    v->n = ledger_column_u64(s, 3);
    v->n_scored = ledger_column_u64(s, 4);
    v->reward_mean = sqlite3_column_double(s, 5);
    v->done = sqlite3_column_int(s, 6) != 0;
    v->ended = sqlite3_column_int(s, 7) != 0;
    v->n_issued = ledger_column_u64(s, 8);
    return true;
}

enum err ledger_list_evals(struct ledger *l, struct ledger_eval **out, size_t *n, struct why *why)
{
    void *list = NULL;
    enum err e = read_list(l,
                           "SELECT eval_id, version, step, n, n_scored, reward_mean, state = "
                           "'done', state = 'ended', (SELECT count(*) FROM groups g WHERE "
                           "g.eval_id = evals.eval_id) FROM evals ORDER BY eval_id",
                           sizeof **out, read_eval_row, &list, n, why);
    if (e == ERR_OK) {
        *out = list;
    }
    return e;
}

enum err ledger_get_counts(struct ledger *l, struct ledger_counts *out, struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(
        l,
        "SELECT (SELECT count(*) FROM transitions WHERE from_state IS NULL), (SELECT count(*) FROM "
        "steps WHERE state IN ('done', 'passed')),\n"
        "  (SELECT count(*) FROM steps WHERE state = 'passed'), (SELECT count(*) FROM transitions "
        "WHERE from_state = 'generating' AND to_state = 'generating'),\n"
        "  coalesce((SELECT value FROM counters WHERE name = 'submits_duplicate'), 0),\n"
        "  coalesce((SELECT value FROM counters WHERE name = 'submits_superseded'), 0),\n"
        "  coalesce((SELECT value FROM counters WHERE name = 'submits_unknown'), 0)",
        &s, why);
    if (e != ERR_OK) {
        return e;
    }
    struct ledger_counts c = {0};
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        uint64_t *const fields[] = {&c.issued,     &c.steps_done, &c.no_signal_steps, &c.reissued,
                                    &c.duplicates, &c.superseded, &c.unknown};
        for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
            *fields[i] = ledger_column_u64(s, (int)i);
        }
    }
    e = query_end(l, s, rc, why);
    e = e == ERR_OK
            ? ledger_prepare(l, "SELECT state, count(*) FROM samples GROUP BY state", &s, why)
            : e;
    if (e != ERR_OK) {
        return e;
    }
    for (rc = sqlite3_step(s); rc == SQLITE_ROW; rc = sqlite3_step(s)) {
        enum ledger_state state = ledger_state_of(ledger_column_text(s, 0).data);
        if (state < LEDGER_STATE_COUNT) {
            c.by_state[state] = ledger_column_u64(s, 1);
        }
    }
    e = query_end(l, s, rc, why);
    if (e == ERR_OK) {
        *out = c;
    }
    return e;
}

enum err ledger_each_drop(struct ledger *l, ledger_drop_fn *fn, void *arg, struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(l, "SELECT reason, bucket, n FROM drops", &s, why);
    if (e != ERR_OK) {
        return e;
    }
    int rc = sqlite3_step(s);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(s)) {
        fn(arg, ledger_column_text(s, 0).data, (size_t)sqlite3_column_int(s, 1),
           ledger_column_u64(s, 2));
    }
    return query_end(l, s, rc, why);
}

enum err ledger_branch_of_step(struct ledger *l, uint64_t step, uint64_t *branch, struct why *why)
{
    sqlite3_stmt *s = NULL;
    // Walk from the present branch towards the first one until the step lies after the fork.
    enum err e =
        ledger_prepare(l,
                       "WITH RECURSIVE chain(branch, parent, fork_step) AS (SELECT branch, parent, "
                       "fork_step FROM branches WHERE branch = (SELECT max(branch) FROM branches)\n"
                       "  UNION ALL SELECT b.branch, b.parent, b.fork_step FROM branches b JOIN "
                       "chain ON b.branch = chain.parent)\n"
                       "SELECT branch FROM chain WHERE ?1 > fork_step OR parent IS NULL ORDER BY "
                       "branch DESC LIMIT 1",
                       &s, why);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)step);
    int rc = sqlite3_step(s);
    uint64_t b = rc == SQLITE_ROW ? ledger_column_u64(s, 0) : 0;
    e = query_end(l, s, rc, why);
    if (e == ERR_OK) {
        *branch = b;
    }
    return e;
}

#define ROW_QUERY                                                                                  \
    "SELECT s.sample_id, s.group_id, g.task_index, g.epoch, m.step, g.eval_id, s.state, "          \
    "g.prompt_text, c.response, g.kind, g.dataset, g.ground_truth, s.reason, s.cause, g.prompt, "  \
    "c.tokens, c.logprobs, c.segments, s.finish, s.outcome, s.reward, m.advantage, "               \
    "s.oldest_version, s.newest_version, g.pinned_version, g.temperature, m.fresh, m.masked\n"     \
    "FROM samples s JOIN groups g USING(group_id) LEFT JOIN completions c USING(sample_id) LEFT "  \
    "JOIN step_samples m USING(sample_id) "

static bool read_row(struct ledger_arena *a, sqlite3_stmt *s, struct ledger_row *r)
{
    int i = 0;
    uint64_t *const ids[] = {&r->sample_id, &r->group_id, &r->task_index,
                             &r->epoch,     &r->step,     &r->eval_id};
    for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
        *ids[k] = ledger_column_u64(s, i++);
    }
    r->state = ledger_state_of(ledger_column_text(s, i++).data);
    struct msg_text *const texts[] = {&r->prompt,       &r->response, &r->kind, &r->dataset,
                                      &r->ground_truth, &r->reason,   &r->cause};
    for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
        *texts[k] = ledger_column_text(s, i++);
    }
    // Blobs are copied: SQLite does not promise them the alignment of a float.
    size_t bytes = (size_t)sqlite3_column_bytes(s, i);
    r->prompt_tokens = ledger_arena_copy(a, sqlite3_column_blob(s, i++), bytes);
    r->n_prompt = bytes / 4;
    bytes = (size_t)sqlite3_column_bytes(s, i);
    r->tokens = ledger_arena_copy(a, sqlite3_column_blob(s, i++), bytes);
    r->n_tokens = bytes / 4;
    bool good = (size_t)sqlite3_column_bytes(s, i) == bytes && bytes % 4 == 0;
    r->logprobs = ledger_arena_copy(a, sqlite3_column_blob(s, i++), bytes);
    good = good && ledger_segments(a, s, i++, &r->segments, &r->n_segments);
    const char *finish = ledger_column_text(s, i++).data,
               *outcome = ledger_column_text(s, i++).data;
    r->finish = strcmp(finish, "stop") == 0     ? MSG_FINISH_STOP
                : strcmp(finish, "length") == 0 ? MSG_FINISH_LENGTH
                                                : 0;
    r->outcome = strcmp(outcome, "score") == 0  ? MSG_OUTCOME_SCORE
                 : strcmp(outcome, "zero") == 0 ? MSG_OUTCOME_ZERO
                                                : 0;
    r->reward = sqlite3_column_double(s, i++);
    r->advantage = sqlite3_column_double(s, i++);
    r->oldest_version = ledger_column_u64(s, i++);
    r->newest_version = ledger_column_u64(s, i++);
    r->pinned_version = ledger_column_u64(s, i++);
    r->temperature = (float)sqlite3_column_double(s, i++);
    r->fresh = sqlite3_column_int(s, i++) != 0;
    r->masked = sqlite3_column_int(s, i++) != 0;
    return good && !a->failed;
}

static enum err each_row(struct ledger *l, const char *sql, uint64_t a, uint64_t b,
                         ledger_row_fn *fn, void *arg, struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(l, sql, &s, why);
    if (e != ERR_OK) {
        return e;
    }
    if (sqlite3_bind_parameter_count(s) >= 1) {
        (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)a);
    }
    if (sqlite3_bind_parameter_count(s) >= 2) {
        (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)b);
    }
    int rc = sqlite3_step(s);
    for (bool more = true; rc == SQLITE_ROW && more && e == ERR_OK;
         rc = more ? sqlite3_step(s) : rc) {
        struct ledger_arena memory = {0};
        struct ledger_row row = {0};
        if (read_row(&memory, s, &row)) {
            more = fn(arg, &row);
        } else {
            e = why_set(why, ERR_CORRUPT, "%s: sample %llu: its blobs do not read", l->path,
                        (unsigned long long)row.sample_id);
            more = false;
        }
        ledger_arena_free(&memory);
    }
    enum err q = query_end(l, s, rc, e == ERR_OK ? why : NULL);
    return e == ERR_OK ? q : e;
}

enum err ledger_each_in_step(struct ledger *l, uint64_t step, ledger_row_fn *fn, void *arg,
                             struct why *why)
{
    uint64_t branch = 0;
    enum err e = ledger_branch_of_step(l, step, &branch, why);
    return e == ERR_OK
               ? each_row(l, ROW_QUERY "WHERE m.branch = ?1 AND m.step = ?2 ORDER BY m.position",
                          branch, step, fn, arg, why)
               : e;
}

enum err ledger_each_in_eval(struct ledger *l, uint64_t eval_id, ledger_row_fn *fn, void *arg,
                             struct why *why)
{
    return each_row(l, ROW_QUERY "WHERE g.eval_id = ?1 ORDER BY g.ordinal, s.sample_id", eval_id, 0,
                    fn, arg, why);
}

enum err ledger_each_received(struct ledger *l, ledger_row_fn *fn, void *arg, struct why *why)
{
    return each_row(l, ROW_QUERY "WHERE c.sample_id IS NOT NULL ORDER BY s.sample_id", 0, 0, fn,
                    arg, why);
}
