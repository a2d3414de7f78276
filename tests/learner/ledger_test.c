// ledger_test.c: claims about the ledger: what is written reads back, a sample has one fate, and
// the audit sees every kind of damage.
//
// Damage is done with SQL behind the ledger's back, one relation at a time, since an audit that has
// never failed proves nothing.
#include "tests/learner/ledger_rig.h"

static enum err write_one(struct rig *r, struct ledger_txn *t)
{
    struct why why;
    enum err e = ledger_write(r->l, t, &why);
    ledger_txn_destroy(t);
    return e;
}

// Recovery trains on what it reads: one bit off would be another step.
static void a_committed_step_reads_back_bit_for_bit(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    rig_open(&r);
    rig_stepped(&r, false);
    struct ledger_step *s = NULL;
    OK(ledger_load_step(r.l, 0, 1, &s, &why));
    struct train_step want = rig_step(1, 1);
    assert_false(s->done);
    assert_false(s->no_signal);
    assert_int_equal(s->train.version, 1);
    assert_int_equal(s->train.new_version, 2);
    assert_memory_equal(&s->train.hyper, &want.hyper, offsetof(struct train_hyper, kl_estimator));
    assert_int_equal(s->train.hyper.policy, want.hyper.policy);
    assert_int_equal(s->train.n_groups, 1);
    const struct train_group *g = &s->train.groups[0];
    assert_int_equal(g->n_samples, 2);
    assert_int_equal(g->n_prompt, 3);
    assert_memory_equal(g->prompt, rig_prompt, sizeof rig_prompt);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(g->samples[i].sample_id, rig_members[i].sample_id);
        assert_memory_equal(&g->samples[i].advantage, &rig_members[i].advantage, sizeof(double));
        assert_int_equal(g->samples[i].fresh, rig_members[i].fresh);
        assert_int_equal(g->samples[i].masked, rig_members[i].masked);
        assert_int_equal(g->samples[i].n_tokens, 4);
        assert_memory_equal(g->samples[i].tokens, rig_tokens, sizeof rig_tokens);
        assert_memory_equal(g->samples[i].logprobs, rig_logprobs, sizeof rig_logprobs);
    }
    ledger_step_free(s);
    assert_int_equal(ledger_load_step(r.l, 0, 2, &s, &why), ERR_NOT_FOUND);
    rig_close(&r);
}

static void live_samples_read_back_with_their_group(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    rig_open(&r);
    rig_stepped(&r, false);
    struct ledger_live *v = NULL;
    OK(ledger_load_live(r.l, &v, &why));
    assert_int_equal(v->n_groups, 1);
    assert_int_equal(v->n_samples, 4);
    assert_int_equal(v->groups[0].task_index, 41);
    assert_int_equal(v->groups[0].sampling.max_tokens, 8);
    assert_float_equal(v->groups[0].sampling.min_p, 0.125f, 0);
    assert_string_equal(v->groups[0].prompt_text.data, "What is 2 + 3?");
    assert_string_equal(v->groups[0].needs.data, "gsm8k");
    const struct ledger_live_sample *s = &v->samples[0];
    assert_int_equal(s->state, LEDGER_SCORED);
    assert_int_equal(s->step, 1);
    assert_true(s->reward == 1.0);
    assert_int_equal(s->receipt.segments[0].end, 6);
    assert_string_equal(s->receipt.response.data, "2 + 3 = 5");
    assert_int_equal(s->n_components, 1);
    assert_string_equal(v->components[s->first_component].id.data, "gsm8k");
    assert_int_equal(v->samples[2].step, 0);
    assert_int_equal(v->samples[3].state, LEDGER_GENERATING);
    assert_true(v->samples[3].has_owner && msg_incarnation_equal(v->samples[3].owner, rig_name(1)));
    ledger_live_free(v);
    rig_close(&r);
}

static void heads_count_on_from_the_largest_ids(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    struct ledger_heads h;
    rig_open(&r);
    OK(ledger_get_heads(r.l, &h, &why));
    assert_int_equal(h.next_sample, 1);
    assert_int_equal(h.newest_version, 0);
    assert_int_equal(h.base_version, 1);
    rig_stepped(&r, false);
    OK(ledger_get_heads(r.l, &h, &why));
    assert_int_equal(h.next_sample, 5);
    assert_int_equal(h.next_group, 2);
    assert_int_equal(h.next_ordinal, 1);
    assert_int_equal(h.newest_version, 1);
    assert_int_equal(h.next_version, 3);    // the undone step has reserved 2
    assert_int_equal(h.last_step, 1);
    assert_int_equal(h.last_done, 0);
    rig_close(&r);
}

static void an_honest_ledger_balances(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    struct ledger_counts n;
    rig_open(&r);
    assert_int_equal(rig_audit(&r), 0);
    rig_stepped(&r, true);
    assert_int_equal(rig_audit(&r), 0);
    OK(ledger_get_counts(r.l, &n, &why));
    assert_int_equal(n.issued, 4);
    assert_int_equal(n.by_state[LEDGER_CONSUMED], 2);
    assert_int_equal(n.by_state[LEDGER_SCORED], 1);
    assert_int_equal(n.by_state[LEDGER_GENERATING], 1);
    assert_int_equal(rig_int(&r, "SELECT difference FROM balance"), 0);
    rig_close(&r);
}

// The unique row is the last defence: whatever memory believes, SQLite says no, and nothing of the
// transaction stays.
static void a_sample_is_never_consumed_twice(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    rig_stepped(&r, true);
    struct train_step again = rig_step(2, 2);
    struct ledger_txn *t = ledger_txn_create(3000);
    ledger_put_meta(t, "witness", "1");
    ledger_put_step(t, 0, &again, false, "{}");
    assert_int_equal(write_one(&r, t), ERR_CORRUPT);
    assert_int_equal(rig_int(&r, "SELECT count(*) FROM steps"), 1);
    assert_int_equal(rig_int(&r, "SELECT count(*) FROM meta WHERE key = 'witness'"), 0);
    rig_close(&r);
}

static void a_change_from_another_state_is_refused(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    rig_stepped(&r, true);
    struct ledger_receipt p = rig_receipt(1);    // consumed already
    struct ledger_txn *t = ledger_txn_create(3000);
    ledger_put_receipt(t, &p);
    assert_int_equal(write_one(&r, t), ERR_CORRUPT);
    t = ledger_txn_create(3000);
    ledger_put_drop(t, 3, LEDGER_RECEIVED, "stale");    // it is scored
    assert_int_equal(write_one(&r, t), ERR_CORRUPT);
    t = ledger_txn_create(3000);
    ledger_put_lease(t, 4, 3, rig_name(2), 1, "silent");    // attempt 2 comes first
    assert_int_equal(write_one(&r, t), ERR_CORRUPT);
    t = ledger_txn_create(3000);
    ledger_put_step_done(t, 0, 1, hash_bytes("x", 1), "{}");    // done already
    assert_int_equal(write_one(&r, t), ERR_CORRUPT);
    t = ledger_txn_create(3000);
    ledger_put_drop(t, 4, LEDGER_GENERATING, "stale");
    assert_int_equal(write_one(&r, t), ERR_OK);
    p = rig_receipt(4);    // too late
    t = ledger_txn_create(3000);
    ledger_put_receipt(t, &p);
    assert_int_equal(write_one(&r, t), ERR_CORRUPT);
    assert_int_equal(rig_audit(&r), 0);
    rig_close(&r);
}

static enum msg_ack repeat(struct rig *r, uint64_t id, struct hash128 payload)
{
    struct why why;
    struct ledger_txn *t = ledger_txn_create(4000);
    ledger_put_repeat(t, id, payload);
    OK(ledger_write(r->l, t, &why));
    enum msg_ack status = ledger_txn_repeat_status(t);
    ledger_txn_destroy(t);
    return status;
}

static void repeats_are_told_apart_by_payload(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    struct ledger_counts n;
    rig_open(&r);
    rig_stepped(&r, true);
    struct hash128 same = rig_receipt(1).payload, other = hash_bytes("other", 5);
    assert_int_equal(repeat(&r, 1, same), MSG_ACK_DUPLICATE);
    assert_int_equal(repeat(&r, 1, same), MSG_ACK_DUPLICATE);
    assert_int_equal(repeat(&r, 1, other), MSG_ACK_SUPERSEDED);
    assert_int_equal(repeat(&r, 99, other), MSG_ACK_UNKNOWN);
    OK(ledger_get_counts(r.l, &n, &why));
    assert_int_equal(n.duplicates, 2);
    assert_int_equal(n.superseded, 1);
    assert_int_equal(n.unknown, 1);
    assert_int_equal(rig_audit(&r), 0);
    rig_close(&r);
}

static void a_step_without_signal_consumes_and_makes_no_version(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    struct ledger_heads h;
    rig_open(&r);
    rig_scored(&r);
    struct train_step s = rig_step(1, 1);
    s.new_version = 1;
    struct ledger_txn *t = ledger_txn_create(2000);
    ledger_put_step(t, 0, &s, true, "{}");
    assert_int_equal(write_one(&r, t), ERR_OK);
    OK(ledger_get_heads(r.l, &h, &why));
    assert_int_equal(h.last_done, 1);
    assert_int_equal(h.newest_version, 1);
    assert_int_equal(rig_int(&r, "SELECT count(*) FROM samples WHERE state = 'consumed'"), 2);
    assert_int_equal(rig_audit(&r), 0);
    rig_close(&r);
}

static void evaluations_consume_their_own_samples(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    struct ledger_eval *list = NULL;
    size_t n = 0;
    rig_open(&r);
    rig_stepped(&r, true);
    struct ledger_txn *t = ledger_txn_create(5000);
    ledger_put_eval(t, 1, 2, 1, 1);
    struct ledger_group g = rig_group(2, 5, 1);
    g.purpose = LEDGER_EVAL;
    g.eval_id = 1;
    g.ordinal = 0;
    g.pinned_version = 2;
    ledger_put_group(t, &g);
    ledger_put_lease(t, 5, 1, rig_name(1), 2, "");
    struct ledger_receipt p = rig_receipt(5);
    p.oldest_version = p.newest_version = 2;
    ledger_put_receipt(t, &p);
    ledger_put_verdict(
        t, &(struct ledger_verdict){
               .sample_id = 5, .outcome = MSG_OUTCOME_SCORE, .reward = 1.0, .cause = ""});
    ledger_put_eval_done(t, 1, 1, 1.0, "{\"sum1\":{\"n\":1,\"reward\":1.0}}");
    assert_int_equal(write_one(&r, t), ERR_OK);
    assert_int_equal(rig_audit(&r), 0);
    OK(ledger_list_evals(r.l, &list, &n, &why));
    assert_int_equal(n, 1);
    assert_true(list[0].done && list[0].n_scored == 1 && list[0].n_issued == 1 &&
                list[0].reward_mean == 1.0);
    free(list);
    rig_close(&r);
}

// A version number names one set of weights for ever; what was trained after the checkpoint is
// given up, and says so.
static void a_branch_gives_up_what_followed_the_checkpoint(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    struct ledger_heads h;
    struct ledger_checkpoint cp;
    struct ledger_version v;
    rig_open(&r);
    rig_stepped(&r, true);
    struct ledger_txn *t = ledger_txn_create(6000);
    ledger_put_checkpoint(t, 0, 1, "checkpoints/v000001", 0);
    ledger_put_branch(t, 0, 1, 1, 3, hash_bytes("one", 3));
    assert_int_equal(write_one(&r, t), ERR_OK);
    assert_int_equal(rig_audit(&r), 0);
    OK(ledger_get_heads(r.l, &h, &why));
    assert_int_equal(h.branch, 1);
    assert_int_equal(h.newest_version, 3);
    assert_int_equal(h.base_version, 3);
    assert_int_equal(h.last_step, 0);
    assert_int_equal(h.next_version, 4);
    assert_int_equal(
        rig_int(&r,
                "SELECT count(*) FROM samples WHERE state = 'dropped' AND reason = 'rolled_back'"),
        4);
    OK(ledger_get_checkpoint(r.l, 0, &cp, &why));
    assert_int_equal(cp.version, 3);    // the same weights under the branch's number
    assert_string_equal(cp.dir, "checkpoints/v000001");
    OK(ledger_get_version(r.l, 2, &v, &why));
    assert_int_equal(v.branch, 0);
    OK(ledger_get_version(r.l, 3, &v, &why));
    assert_int_equal(v.parent, 1);
    rig_close(&r);
}

static bool note_row(void *arg, const struct ledger_row *row)
{
    uint64_t *n = arg;
    assert_string_equal(row->prompt.data, "What is 2 + 3?");
    assert_string_equal(row->response.data, "2 + 3 = 5");
    assert_int_equal(row->n_tokens, 4);
    assert_true(row->advantage == rig_members[*n].advantage);
    assert_int_equal(row->sample_id, rig_members[(*n)++].sample_id);
    return true;
}

static void the_samples_of_a_step_can_be_shown(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    uint64_t n = 0;
    rig_open(&r);
    rig_stepped(&r, true);
    OK(ledger_each_in_step(r.l, 1, note_row, &n, &why));
    assert_int_equal(n, 2);
    rig_close(&r);
}

static void drops_are_counted_by_reason_and_length_count(void *arg, const char *reason,
                                                         size_t bucket, uint64_t n)
{
    int *seen = arg;
    if (strcmp(reason, "stale") == 0) {
        assert_int_equal(bucket, ledger_length_bucket(4));
        *seen += (int)n;
    } else {
        assert_string_equal(reason, "attempts");
        assert_int_equal(bucket, 0);
        *seen += 10 * (int)n;
    }
}

static void drops_are_counted_by_reason_and_length(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    int seen = 0;
    rig_open(&r);
    rig_scored(&r);
    struct ledger_txn *t = ledger_txn_create(2000);
    ledger_put_drop(t, 1, LEDGER_SCORED, "stale");
    ledger_put_drop(t, 2, LEDGER_SCORED, "stale");
    ledger_put_drop(t, 4, LEDGER_GENERATING, "attempts");
    assert_int_equal(write_one(&r, t), ERR_OK);
    OK(ledger_each_drop(r.l, drops_are_counted_by_reason_and_length_count, &seen, &why));
    assert_int_equal(seen, 12);
    assert_int_equal(ledger_length_bucket(0), 0);
    assert_int_equal(ledger_length_bucket(1), 1);
    assert_int_equal(ledger_length_bucket(255), 8);
    assert_int_equal(ledger_length_bucket(256), 9);
    assert_int_equal(ledger_length_bucket(UINT64_MAX), LEDGER_LENGTH_BUCKETS - 1);
    rig_close(&r);
}

// ---- the audit can fail ----

struct named {
    const char *relation;
    int n;
};

static void count_named(void *arg, const char *relation, const char *text)
{
    struct named *want = arg;
    assert_true(text[0] != '\0');
    want->n += strcmp(relation, want->relation) == 0;
}

static const struct damage {
    const char *relation, *sql;
} damages[] = {
    {"balance", "UPDATE samples SET state = 'dropped', reason = 'x' WHERE sample_id = 3"},
    {"state_counts", "UPDATE samples SET state = 'received' WHERE sample_id = 3"},
    {"issued_once", "INSERT INTO transitions(sample_id, from_state, to_state, at_ms) VALUES(3, "
                    "NULL, 'generating', 1)"},
    {"issued_once", "INSERT INTO transitions(sample_id, from_state, to_state, at_ms) VALUES(77, "
                    "NULL, 'generating', 1)"},
    {"last_transition", "UPDATE samples SET state = 'generating' WHERE sample_id = 3"},
    {"transition_chain", "INSERT INTO transitions(sample_id, from_state, to_state, at_ms) "
                         "VALUES(4, 'scored', 'consumed', 1)"},
    {"transition_chain", "DROP TRIGGER transitions_no_delete; DELETE FROM transitions WHERE "
                         "sample_id = 1 AND to_state = 'received'"},
    {"transition_kind", "INSERT INTO transitions(sample_id, from_state, to_state, at_ms) VALUES(4, "
                        "'generating', 'scored', 1)"},
    {"drop_reason", "UPDATE samples SET reason = 'stale' WHERE sample_id = 3"},
    {"consumed_once", "INSERT INTO transitions(sample_id, from_state, to_state, step, at_ms) "
                      "VALUES(1, 'scored', 'consumed', 1, 1)"},
    {"step_membership", "DELETE FROM step_samples WHERE sample_id = 1"},
    {"step_membership", "UPDATE samples SET state = 'scored' WHERE sample_id = 1"},
    {"step_membership", "UPDATE steps SET state = 'abandoned'"},
    {"consuming_step",
     "INSERT INTO steps SELECT branch, 2, 2, 3, 'done', 1, hyper, stats, 1, 1, weights_hash, NULL "
     "FROM steps; UPDATE step_samples SET step = 2 WHERE sample_id = 1"},
    {"step_size", "UPDATE steps SET n_samples = 5"},
    {"step_order", "UPDATE step_samples SET step = 7; UPDATE steps SET step = 7"},
    {"step_order",
     "INSERT INTO steps SELECT branch, 2, 2, 3, 'done', 0, hyper, stats, 1, 1, weights_hash, NULL "
     "FROM steps; UPDATE steps SET state = 'committed' WHERE step = 1"},
    {"eval_membership", "UPDATE groups SET purpose = 'eval', eval_id = 9"},
    {"acknowledged", "DELETE FROM acks WHERE sample_id = 3"},
    {"acknowledged", "INSERT INTO acks VALUES(4, 'abc', 'ok', 0, 1)"},
    {"acknowledged", "UPDATE samples SET payload = 'abc' WHERE sample_id = 2"},
    {"completion", "DELETE FROM completions WHERE sample_id = 3"},
    {"completion", "UPDATE completions SET tokens = x'01000000' WHERE sample_id = 1"},
    {"completion", "UPDATE samples SET reward = NULL WHERE sample_id = 1"},
    {"groups", "UPDATE groups SET n_samples = 3"},
    {"groups", "UPDATE samples SET idx = 2 WHERE sample_id = 1"},
    {"versions",
     "UPDATE versions SET weights_hash = '00000000000000000000000000000000' WHERE version = 2"},
    {"versions", "DELETE FROM versions WHERE version = 1"},
    {"versions", "UPDATE samples SET newest_version = 5 WHERE sample_id = 3"},
    {"fresh", "UPDATE samples SET newest_version = 2 WHERE sample_id = 1"},
    {"foreign_keys", "INSERT INTO verdict_components VALUES(88, 0, 'a', '1', 0, 1)"},
};

static void the_audit_names_every_broken_relation(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        struct rig r;
        struct why why;
        uint64_t n = 0;
        struct named want = {damages[i].relation, 0};
        rig_open(&r);
        rig_stepped(&r, true);
        rig_sql(&r, "PRAGMA foreign_keys=OFF");
        rig_sql(&r, damages[i].sql);
        OK(ledger_audit(r.l, count_named, &want, &n, &why));
        if (want.n == 0) {
            fail_msg("not seen by %s: %s", damages[i].relation, damages[i].sql);
        }
        assert_true(n > 0);
        rig_close(&r);
    }
}

static void history_cannot_be_edited_by_accident(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    rig_stepped(&r, true);
    const char *const edits[] = {"UPDATE transitions SET at_ms = 0", "DELETE FROM transitions",
                                 "DELETE FROM samples WHERE sample_id = 1"};
    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        assert_int_not_equal(sqlite3_exec(r.l->db, edits[i], NULL, NULL, NULL), SQLITE_OK);
    }
    rig_close(&r);
}

// ---- files ----

static void another_schema_and_other_files_are_refused(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    struct ledger *l = NULL;
    rig_open(&r);
    rig_sql(&r, "PRAGMA user_version = 9");
    assert_int_equal(ledger_open_read(r.path, &l, &why), ERR_VERSION);
    assert_non_null(strstr(why.text, "schema 9"));
    char other[128];
    (void)snprintf(other, sizeof other, "%s/other.db", r.dir);
    assert_int_equal(ledger_open_read(other, &l, &why), ERR_NOT_FOUND);
    OK(fs_write_file(other, "this is not a database, but long enough to look at", 50, &why));
    assert_int_equal(ledger_open(other, &l, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "other.db"));
    rig_close(&r);
}

static void a_reader_reads_beside_the_writer_and_cannot_write(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    struct ledger *reader = NULL;
    struct ledger_counts n;
    rig_open(&r);
    rig_scored(&r);
    OK(ledger_open_read(r.path, &reader, &why));
    OK(ledger_begin(r.l, &why));    // a write is under way
    OK(ledger_get_counts(reader, &n, &why));
    assert_int_equal(n.issued, 4);
    OK(ledger_commit(r.l, &why));
    struct ledger_txn *t = ledger_txn_create(1);
    ledger_put_meta(t, "a", "b");
    assert_int_not_equal(ledger_write(reader, t, &why), ERR_OK);
    ledger_txn_destroy(t);
    ledger_close(reader);
    rig_close(&r);
}

static void a_full_disk_fails_whole_transactions(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    rig_open(&r);
    rig_scored(&r);
    rig_sql(&r, "PRAGMA max_page_count = 60");    // SQLite's own way of running out of disk
    enum err e = ERR_OK;
    uint64_t id = 2;
    for (; e == ERR_OK && id < 1000; id++) {
        struct ledger_group g = rig_group(id, 5 + 8 * (id - 2), 8);
        struct ledger_txn *t = ledger_txn_create(1);
        ledger_put_group(t, &g);
        e = ledger_write(r.l, t, &why);
        ledger_txn_destroy(t);
    }
    assert_int_equal(e, ERR_FULL);
    assert_non_null(strstr(why.text, "ledger.db"));
    assert_int_equal(rig_audit(&r), 0);
    rig_close(&r);
}

static void meta_and_counters_keep_their_last_value(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    char *value = NULL;
    int64_t n = 0;
    rig_open(&r);
    struct ledger_txn *t = ledger_txn_create(1);
    ledger_put_meta(t, "run_id", "one");
    ledger_put_meta(t, "run_id", "two");
    ledger_put_counter(t, "run_ms", 7);
    ledger_put_counter(t, "run_ms", 9);
    ledger_put_config_change(t, "optim.lr", "1e-5", "2e-5");
    assert_int_equal(write_one(&r, t), ERR_OK);
    OK(ledger_get_meta(r.l, "run_id", &value, &why));
    assert_string_equal(value, "two");
    free(value);
    assert_int_equal(ledger_get_meta(r.l, "nothing", &value, &why), ERR_NOT_FOUND);
    OK(ledger_get_counter(r.l, "run_ms", &n, &why));
    assert_int_equal(n, 9);
    OK(ledger_get_counter(r.l, "never", &n, &why));
    assert_int_equal(n, 0);
    assert_int_equal(rig_int(&r, "SELECT count(*) FROM config_changes"), 1);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_committed_step_reads_back_bit_for_bit),
        cmocka_unit_test(live_samples_read_back_with_their_group),
        cmocka_unit_test(heads_count_on_from_the_largest_ids),
        cmocka_unit_test(an_honest_ledger_balances),
        cmocka_unit_test(a_sample_is_never_consumed_twice),
        cmocka_unit_test(a_change_from_another_state_is_refused),
        cmocka_unit_test(repeats_are_told_apart_by_payload),
        cmocka_unit_test(a_step_without_signal_consumes_and_makes_no_version),
        cmocka_unit_test(evaluations_consume_their_own_samples),
        cmocka_unit_test(a_branch_gives_up_what_followed_the_checkpoint),
        cmocka_unit_test(the_samples_of_a_step_can_be_shown),
        cmocka_unit_test(drops_are_counted_by_reason_and_length),
        cmocka_unit_test(the_audit_names_every_broken_relation),
        cmocka_unit_test(history_cannot_be_edited_by_accident),
        cmocka_unit_test(another_schema_and_other_files_are_refused),
        cmocka_unit_test(a_reader_reads_beside_the_writer_and_cannot_write),
        cmocka_unit_test(a_full_disk_fails_whole_transactions),
        cmocka_unit_test(meta_and_counters_keep_their_last_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
