// ledger_statements.c: the SQL of the writing side, one prepared statement per row of the table.
//
// What they have in common: a change of a sample's state names the state it must come from, so that
// an UPDATE which hits no row shows that memory and ledger disagree (ledger_apply.c).
#include "learner/ledger_internal.h"

const char *const ledger_statements[SQL_COUNT] = {
    [SQL_META] = "INSERT INTO meta VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
    [SQL_CONFIG_CHANGE] = "INSERT INTO config_changes(at_ms, key, was, now) VALUES(?1, ?2, ?3, ?4)",
    [SQL_COUNTER] = "INSERT INTO counters VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
    [SQL_COUNTER_ADD] =
        "INSERT INTO counters VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = value + ?2",
    [SQL_GROUP] = "INSERT INTO groups VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
                  "?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
    [SQL_SAMPLE] =
        "INSERT INTO samples(sample_id, group_id, idx, state) VALUES(?1, ?2, ?3, 'generating')",
    [SQL_TRANSITION] = "INSERT INTO transitions(sample_id, from_state, to_state, reason, step, "
                       "eval_id, at_ms) VALUES(?1, ?2, ?3, ?4, NULL, NULL, ?5)",
    [SQL_LEASE] = "UPDATE samples SET attempt = ?2, owner = ?3, lease_version = ?4 WHERE sample_id "
                  "= ?1 AND state = 'generating' AND attempt = ?2 - 1",
    [SQL_RECEIPT] =
        "UPDATE samples SET state = 'received', attempt = ?2, owner = ?3, n_tokens = ?4, finish = "
        "?5, payload = ?6, oldest_version = ?7, newest_version = ?8,"
        " received_ms = ?9 WHERE sample_id = ?1 AND state = 'generating' AND attempt >= ?2",
    [SQL_COMPLETION] = "INSERT INTO completions VALUES(?1, ?2, ?3, ?4, ?5)",
    [SQL_ACK_OK] =
        "INSERT INTO acks(sample_id, payload, status, first_ms) VALUES(?1, ?2, 'ok', ?3)",
    [SQL_REPEAT_FIND] = "SELECT payload FROM samples WHERE sample_id = ?1",
    [SQL_REPEAT_SAME] = "UPDATE acks SET repeats = repeats + 1 WHERE sample_id = ?1 AND payload = "
                        "?2 AND status = 'ok'",
    [SQL_REPEAT_OTHER] =
        "INSERT INTO acks(sample_id, payload, status, repeats, first_ms) VALUES(?1, ?2, "
        "'superseded', 0, ?3) ON CONFLICT DO UPDATE SET repeats = repeats + 1",
    [SQL_RETRY] = "UPDATE samples SET tries = ?2 WHERE sample_id = ?1 AND state = 'received'",
    [SQL_VERDICT] = "UPDATE samples SET state = 'scored', outcome = ?2, reward = ?3, cause = ?4, "
                    "elapsed_us = ?5, scored_ms = ?6 WHERE sample_id = ?1 AND state = 'received'",
    [SQL_COMPONENT] = "INSERT INTO verdict_components VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_DROP] =
        "UPDATE samples SET state = 'dropped', reason = ?3 WHERE sample_id = ?1 AND state = ?2",
    [SQL_STEP] = "INSERT INTO steps(branch, step, version, new_version, state, n_samples, hyper, "
                 "stats, committed_ms, done_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [SQL_STEP_SAMPLE] = "INSERT INTO step_samples SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE "
                        "EXISTS(SELECT 1 FROM samples WHERE sample_id = ?1 AND state = 'scored')",
    [SQL_STEP_TRANSITIONS] = "INSERT INTO transitions(sample_id, from_state, to_state, step, "
                             "at_ms) SELECT sample_id, 'scored', 'consumed', step, ?3"
                             " FROM step_samples WHERE branch = ?1 AND step = ?2 ORDER BY position",
    [SQL_STEP_CONSUME] =
        "UPDATE samples SET state = 'consumed' WHERE state = 'scored' AND sample_id IN (SELECT "
        "sample_id FROM step_samples WHERE branch = ?1 AND step = ?2)",
    [SQL_STEP_DONE] = "UPDATE steps SET state = 'done', done_ms = ?3, weights_hash = ?4, metrics = "
                      "?5 WHERE branch = ?1 AND step = ?2 AND state = 'committed'",
    [SQL_STEP_VERSION] = "INSERT INTO versions SELECT new_version, version, step, weights_hash, "
                         "branch, ?3 FROM steps WHERE branch = ?1 AND step = ?2",
    [SQL_VERSION] = "INSERT INTO versions VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_CHECKPOINT] = "INSERT INTO checkpoints VALUES(?1, ?2, ?3, ?4, 0, ?5) ON CONFLICT DO "
                       "UPDATE SET step = ?3, version = ?4, gone = 0, at_ms = ?5",
    [SQL_CHECKPOINT_GONE] = "UPDATE checkpoints SET gone = 1 WHERE dir = ?1",
    [SQL_EVAL] = "INSERT INTO evals(eval_id, version, step, n, state, begun_ms) VALUES(?1, ?2, ?3, "
                 "?4, 'running', ?5)",
    [SQL_EVAL_DONE] = "UPDATE evals SET state = 'done', n_scored = ?2, reward_mean = ?3, by_kind = "
                      "?4, done_ms = ?5 WHERE eval_id = ?1 AND state = 'running'",
    [SQL_EVAL_TRANSITIONS] = "INSERT INTO transitions(sample_id, from_state, to_state, eval_id, "
                             "at_ms) SELECT s.sample_id, 'scored', 'consumed', ?1, ?2"
                             " FROM samples s JOIN groups g USING(group_id) WHERE g.eval_id = ?1 "
                             "AND s.state = 'scored' ORDER BY s.sample_id",
    [SQL_EVAL_CONSUME] = "UPDATE samples SET state = 'consumed' WHERE state = 'scored' AND "
                         "group_id IN (SELECT group_id FROM groups WHERE eval_id = ?1)",
};
