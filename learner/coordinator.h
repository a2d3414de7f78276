// coordinator.h: the learner's state machine: what is generated, by whom, what is scored, which
// groups make the next step.
//
// No sockets, no files, no clock: the service hands in messages, step results and the monotonic
// time, and gets calls back through coordinator_ops; every change is a ledger transaction sent to a
// ledger_sink. Loop thread only. Memory leads, the ledger follows in order; whatever a peer is told
// (a lease, an acknowledgement, a new version, a step to run) is told only when the transaction
// behind it is durable. A sink that fails ends the run: nothing is called back any more.
//
// Admission (groups of training): while live groups < (staleness_max + 1) * groups_per_step, and
// only for an actor whose weights are new enough that the group cannot pass the bound: with v =
// version that the next batch trains at and r = live groups ahead that no step has taken yet,
// have_version >= v + r / groups_per_step - staleness_max.
//
// The service's part:
// - ledger, checkpoint, versions: after a start or recovery call coordinator_create, then
//   coordinator_start;
// - announce only coordinator_newest_version in replies;
// - call coordinator_tick about every 100 ms;
// - park lease requests that got ERR_NOT_FOUND or ERR_FULL and try them again on ops.work, until
//   their time is up.
#ifndef CARAVAN_LEARNER_COORDINATOR_H
#define CARAVAN_LEARNER_COORDINATOR_H

#include <jansson.h>

#include "common/buf.h"
#include "learner/journal.h"

// What the task source says about one row. Borrowed until the next call.
struct coordinator_task {
    uint64_t task_index, epoch;
    const uint32_t *prompt;
    size_t n_prompt;
    struct msg_text prompt_text, dataset, checks, ground_truth, kind;
    // Names of the checks that score it, separated by newlines; "" = any verifier.
    struct msg_text needs;
};

struct coordinator_eval {
    uint64_t eval_id, version, step;
    uint64_t n, n_scored;
    double reward_mean;
    json_t *by_kind;    // {"sum1": {"n": 12, "reward": 0.25}, …}; borrowed
};

// Called at the end of the coordinator call in which they became due; they may call the coordinator
// again. All required.
struct coordinator_ops {
    void *arg;
    // The ordinal-th draw of training data (0-based and endless, the same task for the same ordinal
    // after a restart) or the ordinal-th evaluation task (< n_eval).
    enum err (*task)(void *arg, enum ledger_purpose purpose, uint64_t ordinal,
                     struct coordinator_task *out);
    // Appends the text of a completion without special tokens; refuses ids outside the vocabulary.
    // The submit is then refused.
    enum err (*detokenise)(void *arg, const uint32_t *tokens, size_t n, struct buf *out,
                           struct why *why);
    void (*work)(void *arg, enum msg_role role);    // parked leases of this role may succeed now
    // The step is in the ledger: run it, then call coordinator_step_done. s stays valid until then.
    // stats: figures of the batch for metrics.jsonl (borrowed):
    //   groups, samples, tokens, batch_reward_mean, reward_by_kind, length_mean, stop_rate,
    //   truncated, age {"0": n, …}, fresh, zero_spread, replaced, kept_zero_spread,
    //   reward_mean (all answers since the last step: the batch and the replaced groups)
    void (*step)(void *arg, const struct train_step *s, const json_t *stats);
    void (*no_signal)(void *arg, uint64_t step, const json_t *stats);    // a step was passed
    void (*version)(void *arg, uint64_t version);                        // recorded: announce it
    // An evaluation needs it (publish_pin, publish_unpin); balanced.
    void (*pin)(void *arg, uint64_t version, bool pinned);
    void (*eval_done)(void *arg, const struct coordinator_eval *e);
    // A stop rule was reached and the last evaluation is over; once: "steps", "epochs", "minutes",
    // "asked".
    void (*finished)(void *arg, const char *cause);
};

struct coordinator_config {
    const struct conf *conf;     // valid for its lifetime
    uint64_t n_train, n_eval;    // tasks; n_train >= 1
    uint32_t heartbeat_ms;       // as told in WELCOME
};

struct coordinator;
// Rebuilds the state from the ledger (only read here, in the call; a fresh one gives a fresh
// state). Leased samples get a grace period of lease_ms from now_ms, received ones are queued for
// scoring, scored groups stay; a committed step that is not done is handed to ops.step first, after
// coordinator_start. The newest version must be in the ledger (ledger_put_version, or a branch).
MUST_CHECK enum err coordinator_create(const struct coordinator_config *config,
                                       const struct coordinator_ops *ops, struct ledger *l,
                                       struct ledger_sink sink, uint64_t now_ms, int64_t wall_ms,
                                       struct coordinator **out, struct why *why);
// Completions still to come must not arrive any more.
void coordinator_destroy(struct coordinator *c);
// Call it once: begins the evaluation before the first step, and the step that was left over.
void coordinator_start(struct coordinator *c, uint64_t now_ms);
// Leases expire, silent owners lose theirs, stale waits end, steps and evaluations begin, time is
// up. wall_ms stamps the ledger's rows from here on.
void coordinator_tick(struct coordinator *c, uint64_t now_ms, int64_t wall_ms);
// As a stop rule: no more admission, last evaluation, finished("asked").
void coordinator_stop_asked(struct coordinator *c, uint64_t now_ms);

// ---- peers ----
// A process said hello (again). A second hello of the same incarnation updates name and checks and
// keeps its leases. ERR_LIMIT: more than 1024 known processes.
MUST_CHECK enum err coordinator_hello(struct coordinator *c, const struct msg_hello *h,
                                      uint64_t now_ms, struct why *why);

// Work for an actor. ERR_OK: fn will be called once, with the groups when the lease is durable
// (valid during the call). ERR_NOT_FOUND: nothing now. ERR_FULL: the journal is full. Both: park.
// ERR_DENIED: unknown incarnation or not an actor, say hello. ERR_INVALID: max_samples is 0. A
// failed run calls fn with the error and n = 0.
typedef void coordinator_work_fn(void *arg, enum err e, const struct msg_group *groups, size_t n);
MUST_CHECK enum err coordinator_lease_generate(struct coordinator *c,
                                               const struct msg_lease_generate *m, uint64_t now_ms,
                                               coordinator_work_fn *fn, void *arg);

// ERR_OK: fn will be called once when the effect is durable, with the acknowledgement. ERR_INVALID,
// ERR_LIMIT: the content is refused with `why`, nothing changed (answer FAULT). ERR_FULL: the
// journal is full (answer FAULT ERR_FULL or try again: nothing changed). An incarnation that never
// said hello may submit.
typedef void coordinator_ack_fn(void *arg, enum err e, enum msg_ack status);
MUST_CHECK enum err coordinator_submit_sample(struct coordinator *c,
                                              const struct msg_submit_sample *m, uint64_t now_ms,
                                              coordinator_ack_fn *fn, void *arg, struct why *why);
MUST_CHECK enum err coordinator_submit_verdict(struct coordinator *c,
                                               const struct msg_submit_verdict *m, uint64_t now_ms,
                                               coordinator_ack_fn *fn, void *arg, struct why *why);

// An actor's weights became newer, told by its WAIT_VERSION: its lease request, which may be parked
// and names older ones, counts as made with these. Unknown incarnations are ignored.
void coordinator_has_version(struct coordinator *c, struct msg_incarnation incarnation,
                             uint64_t version);

// Jobs for a verifier, only of checks it offers. *jobs is valid until the next call on c.
// ERR_NOT_FOUND: nothing now, park. ERR_DENIED: unknown incarnation or not a verifier.
MUST_CHECK enum err coordinator_lease_score(struct coordinator *c, const struct msg_lease_score *m,
                                            uint64_t now_ms, const struct msg_score_job **jobs,
                                            size_t *n);

// What a process still holds. *abandon (valid until the next call on c): ids it named that are not
// its own any more. *unknown: it shall say hello again (its leases are kept meanwhile).
void coordinator_heartbeat(struct coordinator *c, const struct msg_heartbeat *m, uint64_t now_ms,
                           const uint64_t **abandon, size_t *n_abandon, bool *unknown);

// ---- trainer ----
// The step of ops.step has run and its weights can be served. metrics_json goes into the ledger.
// When durable: ops.version, and the next step may begin. ERR_FULL: try again. ERR_INVALID: no step
// is running.
MUST_CHECK enum err coordinator_step_done(struct coordinator *c, const struct train_result *r,
                                          const char *metrics_json, uint64_t now_ms);
// A checkpoint is durable on disk (dir: relative to the run folder), or was removed. ERR_FULL: try
// again.
MUST_CHECK enum err coordinator_checkpoint(struct coordinator *c, uint64_t step, uint64_t version,
                                           const char *dir);
MUST_CHECK enum err coordinator_checkpoint_gone(struct coordinator *c, const char *dir);

// ---- for status ----
uint64_t coordinator_newest_version(const struct coordinator *c);    // newest durable one
#define COORDINATOR_REASONS 48    // distinct drop reasons told apart; the rest is "other"
struct coordinator_drop {
    char reason[LEDGER_REASON_BYTES];
    uint64_t n, by_length[LEDGER_LENGTH_BUCKETS];
};
struct coordinator_status {
    uint64_t version, step, branch;    // newest version, last done step
    bool training;                     // a step is running
    uint64_t training_step;
    uint64_t issued, by_state[LEDGER_STATE_COUNT];    // all samples ever; issued = sum of by_state
    // Training groups: live, complete and usable, further ones that may be admitted.
    uint64_t groups_live, groups_ready, groups_admissible;
    uint64_t groups_bound;    // (staleness_max + 1) * groups_per_step
    uint64_t samples_unleased, samples_leased, jobs_queued, jobs_leased;
    // Since this start, except reissued … unknown: since the run began.
    uint64_t reissued, duplicates, superseded, unknown, retries;
    uint64_t zero_spread, replaced_this_step, no_signal_steps;
    uint64_t eval_id, eval_n, eval_done;    // running evaluation; 0 when none
    uint64_t epoch, ordinal;
    uint64_t first_lease_ms;     // monotonic, 0 = none yet
    double run_minutes;          // since the first lease, over all starts
    size_t actors, verifiers;    // heard of within lease_ms
    size_t n_drops;
    struct coordinator_drop drops[COORDINATOR_REASONS];
    const char *stopping;    // NULL, or the stop rule that was reached
};
void coordinator_get_status(const struct coordinator *c, uint64_t now_ms,
                            struct coordinator_status *out);
// What waits for what and since when; worst first. The service adds the bus's own waits.
struct coordinator_wait {
    char who[64];      // "learner", "actor actor-0", "verifier verifier-1"
    char what[192];    // "3 of 8 groups", "group 17, last chance before it is stale", "a verifier
                       // that offers gsm8k"
    uint64_t since_ms;    // monotonic
    bool overdue;         // longer than it should: /healthz says 503
};
size_t coordinator_waits(const struct coordinator *c, uint64_t now_ms, struct coordinator_wait *out,
                         size_t cap);
// Processes heard of, for /status. Pointers valid until the next call on c.
struct coordinator_peer {
    const char *name, *detail;
    struct msg_incarnation incarnation;
    enum msg_role role;
    uint64_t heard_ms;
    size_t leases;
    bool alive;
};
size_t coordinator_peers(const struct coordinator *c, uint64_t now_ms, struct coordinator_peer *out,
                         size_t cap);

#endif
