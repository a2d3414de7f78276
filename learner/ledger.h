// ledger.h: the run's book of account: one SQLite database (WAL, synchronous=FULL) that says what
// became of every sample, step and version.
//
// Three ways in:
//   writing   a `struct ledger_txn` is filled with ledger_put_… calls on any thread (it owns copies
//             of everything) and applied as one atomic unit. While a learner runs, the journal
//             thread (journal.h) does that; at start and in tools ledger_write does it at once.
//   reading   the ledger_load_…/ledger_each_… calls below, on the caller's own connection
//             (ledger_open_read): WAL lets readers in beside the writer.
//   SQL       anyone: the schema and its views are documented in docs/ledger.md and do not need
//             this header.
//
// A `struct ledger` is one connection and belongs to one thread at a time. Every call blocks on
// disk.
//
// The states of a sample: generating → received → scored → consumed (by a step or an evaluation) or
// dropped (with a reason); live = the first three. `transitions` is append-only; ledger_audit
// compares it with the states, the step membership and the acknowledged ids.
#ifndef CARAVAN_LEARNER_LEDGER_H
#define CARAVAN_LEARNER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/hash.h"
#include "learner/trainer.h"
#include "proto/msg.h"

#define LEDGER_SCHEMA 3           // PRAGMA user_version; another one is ERR_VERSION
#define LEDGER_REASON_BYTES 96    // a drop reason or cause with its NUL; longer ones are cut
// Completion lengths are counted in buckets: 0 = unknown (never received), else 1 + floor(log2(n)),
// the last one open.
#define LEDGER_LENGTH_BUCKETS 16

enum ledger_purpose { LEDGER_TRAIN, LEDGER_EVAL };    // "train", "eval" in the database
enum ledger_state {
    LEDGER_GENERATING,
    LEDGER_RECEIVED,
    LEDGER_SCORED,
    LEDGER_CONSUMED,
    LEDGER_DROPPED,
    LEDGER_STATE_COUNT
};
const char *ledger_state_name(enum ledger_state s);    // "generating" …, as in the database
size_t ledger_length_bucket(uint64_t n_tokens);

// ---- opening ----
struct ledger;
// Opens for writing; creates the file with schema when absent (then ledger_exists was false). One
// writer at a time (the run folder's lock sees to it).
MUST_CHECK enum err ledger_open(const char *path, struct ledger **out, struct why *why);
// For reading, beside a writer. ERR_NOT_FOUND when there is none.
MUST_CHECK enum err ledger_open_read(const char *path, struct ledger **out, struct why *why);
void ledger_close(struct ledger *l);    // NULL is fine

// ---- writing ----
struct ledger_txn;
// at_ms: wall clock of everything in it. NULL when out of memory.
struct ledger_txn *ledger_txn_create(int64_t at_ms);
void ledger_txn_destroy(struct ledger_txn *t);
// false: a put ran out of memory; applying it gives ERR_NOMEM.
bool ledger_txn_ok(const struct ledger_txn *t);
size_t ledger_txn_len(const struct ledger_txn *t);    // writes in it

// Facts about the whole run, as (key, value) texts in table meta: run_id, seed, model_hash,
// tokenizer_hash, data_hash, dtype, config (YAML), created_ms … Freely chosen keys; a second put of
// the same key replaces the value.
void ledger_put_meta(struct ledger_txn *t, const char *key, const char *value);
void ledger_put_config_change(struct ledger_txn *t, const char *key, const char *was,
                              const char *now);
// Sets a counter that must outlive a restart.
void ledger_put_counter(struct ledger_txn *t, const char *name, int64_t value);

// A group and its samples, issued: ids first_sample … first_sample + n_samples - 1, state
// generating, attempt 0 (not leased yet).
struct ledger_group {
    uint64_t group_id;
    enum ledger_purpose purpose;
    uint64_t eval_id;       // 0 for training
    uint64_t ordinal;       // n-th draw of training data (0-based, over all epochs), or index in
                            // the evaluation set
    uint64_t task_index;    // row of the data file
    uint64_t epoch;
    const uint32_t *prompt;
    size_t n_prompt;
    struct msg_text prompt_text, dataset, checks, ground_truth;    // as in msg_score_job
    struct msg_text kind;     // for statistics: "sum1", "no_comma", …
    struct msg_text needs;    // names of the checks that score it, separated by newlines
    struct msg_sampling sampling;
    uint64_t pinned_version;
    uint64_t first_sample;
    uint32_t n_samples;
};
void ledger_put_group(struct ledger_txn *t, const struct ledger_group *g);

// The sample is leased to `owner` as `attempt` (1-based); lease_version: the oldest weights the
// owner may still use for it. From attempt 2 on a transition generating → generating with `reason`
// says why it was issued again.
void ledger_put_lease(struct ledger_txn *t, uint64_t sample_id, uint32_t attempt,
                      struct msg_incarnation owner, uint64_t lease_version, const char *reason);
// generating → received, with everything that was submitted, and the acknowledgement.
struct ledger_receipt {
    uint64_t sample_id;
    uint32_t attempt;
    struct msg_incarnation owner;
    const uint32_t *tokens;
    const float *logprobs;
    size_t n_tokens;
    const struct msg_segment *segments;
    size_t n_segments;
    uint32_t finish;    // enum msg_finish
    struct hash128 payload;
    struct msg_text response;                   // detokenised
    uint64_t oldest_version, newest_version;    // over the completion tokens
};
void ledger_put_receipt(struct ledger_txn *t, const struct ledger_receipt *r);
// A repeated submit of a sample that is not generating any more. Applying it decides: OK never,
// DUPLICATE (same payload), SUPERSEDED (another payload, or dropped before any came), UNKNOWN (no
// such sample); it counts them, and the result is read with ledger_txn_repeat_status. At most one
// per txn.
void ledger_put_repeat(struct ledger_txn *t, uint64_t sample_id, struct hash128 payload);
enum msg_ack ledger_txn_repeat_status(const struct ledger_txn *t);
// received → received: a verdict "unscored" that is tried again (tries so far: `tries`).
void ledger_put_retry(struct ledger_txn *t, uint64_t sample_id, uint32_t tries, const char *cause);
// received → scored.
struct ledger_verdict {
    uint64_t sample_id;
    uint32_t outcome;    // MSG_OUTCOME_SCORE or MSG_OUTCOME_ZERO
    double reward;
    // "" or why the reward is not the verifier's ("truncated", "unscored:timeout").
    const char *cause;
    const struct msg_component *components;
    size_t n_components;
    uint32_t elapsed_us;
};
void ledger_put_verdict(struct ledger_txn *t, const struct ledger_verdict *v);
// live → dropped(reason). `from` is the state it is in; applying fails with ERR_CORRUPT when the
// ledger disagrees.
void ledger_put_drop(struct ledger_txn *t, uint64_t sample_id, enum ledger_state from,
                     const char *reason);

// A step, committed before it runs. `s` carries ids, advantages, fresh, masked, versions and hyper
// (its tokens are not stored again). With no_signal the step is passed: version == new_version, its
// samples are consumed here and now, and no ledger_put_step_done follows. branch: as in struct
// ledger_heads.
void ledger_put_step(struct ledger_txn *t, uint64_t branch, const struct train_step *s,
                     bool no_signal, const char *stats_json);
// Its result: samples scored → consumed, versions gets (new_version, parent version, step,
// weights_hash).
void ledger_put_step_done(struct ledger_txn *t, uint64_t branch, uint64_t step,
                          struct hash128 weights_hash, const char *metrics_json);
// The first version of a run or a branch; later ones come with ledger_put_step_done.
void ledger_put_version(struct ledger_txn *t, uint64_t version, uint64_t parent, uint64_t step,
                        struct hash128 weights_hash, uint64_t branch);
// A checkpoint that is durable on disk already.
void ledger_put_checkpoint(struct ledger_txn *t, uint64_t step, uint64_t version, const char *dir,
                           uint64_t branch);
void ledger_put_checkpoint_gone(struct ledger_txn *t, const char *dir);
// An evaluation: n greedy samples, one per task, pinned to `version`. Done: its scored samples are
// consumed by it.
void ledger_put_eval(struct ledger_txn *t, uint64_t eval_id, uint64_t version, uint64_t step,
                     uint64_t n);
void ledger_put_eval_done(struct ledger_txn *t, uint64_t eval_id, uint64_t n_scored,
                          double reward_mean, const char *by_kind_json);
// Resume as a branch from the checkpoint (step, version): every live sample and every sample
// consumed by later steps of the present branch is dropped(rolled_back), those steps are marked
// abandoned, unfinished evaluations are ended, and new_version (never used before, same weights as
// `version`) starts branch `branch`.
void ledger_put_branch(struct ledger_txn *t, uint64_t step, uint64_t version, uint64_t branch,
                       uint64_t new_version, struct hash128 weights_hash);

// Applies t at once, in a transaction of its own.
MUST_CHECK enum err ledger_write(struct ledger *l, struct ledger_txn *t, struct why *why);
// The same in pieces, so that the journal puts many txns into one transaction: begin, apply…,
// commit. A failed apply or commit has rolled everything back since begin.
MUST_CHECK enum err ledger_begin(struct ledger *l, struct why *why);
MUST_CHECK enum err ledger_apply(struct ledger *l, struct ledger_txn *t, struct why *why);
MUST_CHECK enum err ledger_commit(struct ledger *l, struct why *why);

// ---- reading ----
// *value: free(). ERR_NOT_FOUND when there is none.
MUST_CHECK enum err ledger_get_meta(struct ledger *l, const char *key, char **value,
                                    struct why *why);
// *value is 0 for a counter that was never set.
MUST_CHECK enum err ledger_get_counter(struct ledger *l, const char *name, int64_t *value,
                                       struct why *why);

// Where the run stands.
struct ledger_heads {
    uint64_t next_sample, next_group, next_eval;    // ids never used
    uint64_t next_ordinal;                          // training draws done
    uint64_t next_version;    // 1 + the largest version in versions, steps or pins
    uint64_t branch;          // present branch (0 = the first)
    // newest version of the present branch that is recorded; 0 = none yet
    uint64_t newest_version;
    // where the present branch starts: version 1 and step 0, or the fork
    uint64_t base_version, base_step;
    uint64_t last_step;    // newest committed step of the present branch
    uint64_t last_done;    // newest done (or passed) one; last_step or last_step - 1
};
MUST_CHECK enum err ledger_get_heads(struct ledger *l, struct ledger_heads *out, struct why *why);

struct ledger_checkpoint {
    uint64_t step, version;
    char dir[512];    // relative to the run folder, as given
};
// The newest checkpoint of the present branch; ERR_NOT_FOUND when there is none (then a resume
// starts from the model and version 1). `before` skips that many newer ones.
MUST_CHECK enum err ledger_get_checkpoint(struct ledger *l, size_t before,
                                          struct ledger_checkpoint *out, struct why *why);
struct ledger_version {
    uint64_t version, parent, step, branch;
    struct hash128 weights_hash;
};
// ERR_NOT_FOUND when it was never recorded.
MUST_CHECK enum err ledger_get_version(struct ledger *l, uint64_t version,
                                       struct ledger_version *out, struct why *why);
// All of them, ascending; *out: free().
MUST_CHECK enum err ledger_list_versions(struct ledger *l, struct ledger_version **out, size_t *n,
                                         struct why *why);

// A committed step as the trainer takes it; everything is owned by it.
struct ledger_step {
    struct train_step train;
    uint64_t branch;
    bool done;         // weights_hash is set
    bool no_signal;    // nothing to run
    struct hash128 weights_hash;
    void *memory;    // private
};
// ERR_NOT_FOUND when the branch has no such step.
MUST_CHECK enum err ledger_load_step(struct ledger *l, uint64_t branch, uint64_t step,
                                     struct ledger_step **out, struct why *why);
void ledger_step_free(struct ledger_step *s);    // NULL is fine

// One row per sample for people: `caravan samples`. Pointers live during the call.
struct ledger_row {
    uint64_t sample_id, group_id, task_index, epoch, step, eval_id;    // step, eval_id: 0 when none
    enum ledger_state state;
    struct msg_text prompt, response, kind, dataset, ground_truth, reason, cause;
    const uint32_t *prompt_tokens, *tokens;
    size_t n_prompt, n_tokens;
    const float *logprobs;
    const struct msg_segment *segments;
    size_t n_segments;
    uint32_t finish, outcome;    // 0 when not known yet
    double reward, advantage;
    uint64_t oldest_version, newest_version, pinned_version;
    float temperature;
    bool fresh, masked;
};
typedef bool ledger_row_fn(void *arg, const struct ledger_row *row);    // false stops
// The samples of a step of the present branch, in batch order.
MUST_CHECK enum err ledger_each_in_step(struct ledger *l, uint64_t step, ledger_row_fn *fn,
                                        void *arg, struct why *why);
MUST_CHECK enum err ledger_each_in_eval(struct ledger *l, uint64_t eval_id, ledger_row_fn *fn,
                                        void *arg, struct why *why);
// Every sample with tokens, by id (audit of log-probs).
MUST_CHECK enum err ledger_each_received(struct ledger *l, ledger_row_fn *fn, void *arg,
                                         struct why *why);
struct ledger_eval {
    uint64_t eval_id, version, step, n, n_issued, n_scored;    // n_issued: groups so far
    double reward_mean;
    bool done, ended;    // ended: given up by a branch
};
// *out: free().
MUST_CHECK enum err ledger_list_evals(struct ledger *l, struct ledger_eval **out, size_t *n,
                                      struct why *why);

struct ledger_counts {
    uint64_t issued, by_state[LEDGER_STATE_COUNT];
    uint64_t steps_done, no_signal_steps, reissued, duplicates, superseded, unknown;
};
MUST_CHECK enum err ledger_get_counts(struct ledger *l, struct ledger_counts *out, struct why *why);
typedef void ledger_drop_fn(void *arg, const char *reason, size_t length_bucket, uint64_t n);
// Drops by reason and length bucket.
MUST_CHECK enum err ledger_each_drop(struct ledger *l, ledger_drop_fn *fn, void *arg,
                                     struct why *why);

// Everything that is alive, for recovery: groups with at least one live sample and all of their
// samples (also the dropped ones), by id.
struct ledger_live_sample {
    uint64_t sample_id, group_id;
    enum ledger_state state;
    uint32_t attempt, tries;
    bool has_owner;
    struct msg_incarnation owner;
    uint64_t lease_version;
    struct ledger_receipt receipt;    // valid from received on
    uint32_t outcome;
    double reward;
    uint64_t step;                           // > 0: committed to that step, which is not done
    size_t first_component, n_components;    // of ledger_live.components
};
struct ledger_live {
    struct ledger_group *groups;
    size_t n_groups;
    struct ledger_live_sample *samples;    // in the order of groups, then of ids
    size_t n_samples;
    struct msg_component *components;
    void *memory;    // private
};
MUST_CHECK enum err ledger_load_live(struct ledger *l, struct ledger_live **out, struct why *why);
void ledger_live_free(struct ledger_live *live);

// ---- the check that can fail ----
// Compares transitions, states, step membership, evaluations, acknowledgements and versions with
// one another and calls fn once per broken relation
// ("sample 12: state consumed, last transition to scored"). *violations counts them; at most 100
// are reported per relation. ERR_OK also when there are some.
typedef void ledger_violation_fn(void *arg, const char *relation, const char *text);
MUST_CHECK enum err ledger_audit(struct ledger *l, ledger_violation_fn *fn, void *arg,
                                 uint64_t *violations, struct why *why);

#endif
