// ledger_rig.h: what the tests of ledger, journal and coordinator share: a folder of their own and
// a small history to look at.
//
// The history is that of a run after one step: a group with its samples, receipts, verdicts and the
// result. Queries read the tables directly, so that a test does not trust the code it judges.
// Header only; every failure fails the test.
#ifndef CARAVAN_TESTS_LEARNER_LEDGER_RIG_H
#define CARAVAN_TESTS_LEARNER_LEDGER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "learner/ledger_internal.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        why.text[0] = '\0';                                                                        \
        enum err ok_ = (call);                                                                     \
        if (ok_ != ERR_OK) {                                                                       \
            fail_msg("%s: %s (%s)", #call, err_text(ok_), why.text);                               \
        }                                                                                          \
    } while (0)

struct rig {
    char dir[64], path[96];
    struct ledger *l;
};

static inline void rig_open(struct rig *r)
{
    struct why why;
    *r = (struct rig){0};
    (void)snprintf(r->dir, sizeof r->dir, "/tmp/caravan-ledger-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    (void)snprintf(r->path, sizeof r->path, "%s/ledger.db", r->dir);
    OK(ledger_open(r->path, &r->l, &why));
}

static inline void rig_close(struct rig *r)
{
    struct why why;
    ledger_close(r->l);
    OK(fs_remove_tree(r->dir, &why));
}

static inline void rig_sql(struct rig *r, const char *sql)
{
    char *text = NULL;
    if (sqlite3_exec(r->l->db, sql, NULL, NULL, &text) != SQLITE_OK) {
        fail_msg("%s: %s", sql, text);
    }
}

static inline int64_t rig_int(struct rig *r, const char *sql)
{
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_prepare_v2(r->l->db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return v;
}

static inline struct msg_incarnation rig_name(uint8_t n)
{
    struct msg_incarnation id = {{0}};
    id.bytes[15] = n;
    return id;
}

static inline void print_violation(void *arg, const char *relation, const char *text)
{
    (void)arg;
    print_message("  %s: %s\n", relation, text);
}

static inline uint64_t rig_audit(struct rig *r)
{
    struct why why;
    uint64_t n = 0;
    OK(ledger_audit(r->l, print_violation, NULL, &n, &why));
    return n;
}

static const uint32_t rig_prompt[] = {11, 12, 13};
static const uint32_t rig_tokens[] = {100, 101, 102, 2};
static const float rig_logprobs[] = {-0.5f, -1.25f, -3.0e-8f, -0.0f};
static const struct msg_segment rig_segments[] = {{1, 6}};

static inline struct ledger_group rig_group(uint64_t id, uint64_t first, uint32_t n)
{
    return (struct ledger_group){
        .group_id = id,
        .ordinal = id - 1,
        .task_index = 40 + id,
        .prompt = rig_prompt,
        .n_prompt = 3,
        .prompt_text = msg_text_of("What is 2 + 3?"),
        .dataset = msg_text_of("\"gsm8k\""),
        .ground_truth = msg_text_of("\"5\""),
        .kind = msg_text_of("sum1"),
        .needs = msg_text_of("gsm8k"),
        .sampling = {.max_tokens = 8, .temperature = 1.0f, .top_p = 1.0f, .min_p = 0.125f},
        .first_sample = first,
        .n_samples = n};
}

static inline struct ledger_receipt rig_receipt(uint64_t sample_id)
{
    return (struct ledger_receipt){.sample_id = sample_id,
                                   .attempt = 1,
                                   .owner = rig_name(1),
                                   .tokens = rig_tokens,
                                   .logprobs = rig_logprobs,
                                   .n_tokens = 4,
                                   .segments = rig_segments,
                                   .n_segments = 1,
                                   .finish = MSG_FINISH_STOP,
                                   .payload = hash_bytes(&sample_id, sizeof sample_id),
                                   .response = msg_text_of("2 + 3 = 5"),
                                   .oldest_version = 1,
                                   .newest_version = 1};
}

// Version 1; group 1 (samples 1..4) of which 1..3 are scored and 4 is generating.
static inline void rig_scored(struct rig *r)
{
    struct why why;
    struct ledger_txn *t = ledger_txn_create(1000);
    ledger_put_version(t, 1, 0, 0, hash_bytes("one", 3), 0);
    struct ledger_group g = rig_group(1, 1, 4);
    ledger_put_group(t, &g);
    for (uint64_t id = 1; id <= 4; id++) {
        ledger_put_lease(t, id, 1, rig_name(1), 1, "");
    }
    for (uint64_t id = 1; id <= 3; id++) {
        struct ledger_receipt p = rig_receipt(id);
        ledger_put_receipt(t, &p);
        struct msg_component k = {msg_text_of("gsm8k"), msg_text_of("1"), id == 1, 1};
        ledger_put_verdict(
            t, &(struct ledger_verdict){.sample_id = id,
                                        .outcome = id == 1 ? MSG_OUTCOME_SCORE : MSG_OUTCOME_ZERO,
                                        .reward = id == 1,
                                        .cause = "",
                                        .components = &k,
                                        .n_components = 1});
    }
    OK(ledger_write(r->l, t, &why));
    ledger_txn_destroy(t);
}

static struct train_sample rig_members[] = {
    {.sample_id = 1, .advantage = 1.0 / 3.0, .fresh = true},
    {.sample_id = 2, .advantage = -0.1, .fresh = true, .masked = true}};
static struct train_group rig_batch[] = {{.samples = rig_members, .n_samples = 2}};

static inline struct train_step rig_step(uint64_t step, uint64_t version)
{
    struct train_step s = {.step = step,
                           .version = version,
                           .new_version = version + 1,
                           .groups = rig_batch,
                           .n_groups = 1};
    struct conf c;
    conf_defaults(&c);
    train_hyper_at(&c, step, &s.hyper);
    return s;
}

// rig_scored, then step 1 takes samples 1 and 2; sample 3 stays scored.
static inline void rig_stepped(struct rig *r, bool done)
{
    struct why why;
    rig_scored(r);
    struct train_step s = rig_step(1, 1);
    struct ledger_txn *t = ledger_txn_create(2000);
    ledger_put_step(t, 0, &s, false, "{}");
    if (done) {
        ledger_put_step_done(t, 0, 1, hash_bytes("two", 3), "{\"loss\":0.5}");
    }
    OK(ledger_write(r->l, t, &why));
    ledger_txn_destroy(t);
}

#endif
