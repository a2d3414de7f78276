// coordinator_internal.h: the state behind coordinator.h and what its source files call of one
// another.
//
//   coordinator.c            create, tick, sending transactions, calling back
//   coordinator_restore.c    the state rebuilt from the ledger
//   coordinator_peers.c      hello, heartbeats, leases that end
//   coordinator_admission.c  which groups are issued and to whom
//   coordinator_samples.c    submitted samples
//   coordinator_scoring.c    score jobs and verdicts
//   coordinator_batch.c      complete groups, the batch, the step's result
//   coordinator_stats.c      figures of a batch and of an evaluation
//   coordinator_eval.c       evaluations and stop rules
//   coordinator_status.c     what /status shows
//
// Groups are kept only while a sample of theirs is alive; the rest of history is in the ledger. A
// few hundred live groups are normal, so lists are scanned, not indexed.
#ifndef CARAVAN_LEARNER_COORDINATOR_INTERNAL_H
#define CARAVAN_LEARNER_COORDINATOR_INTERNAL_H

#include "learner/coordinator.h"
#include "learner/ledger_arena.h"
#include "learner/reward_policy.h"
#include "proto/limits.h"

enum {
    COORDINATOR_PEERS_MAX = 1024,
    // A sample that was leased so often and never came is dropped("attempts").
    COORDINATOR_ATTEMPTS_MAX = 8,
    // A lease that is named in every heartbeat ends after so many lease times all the same.
    COORDINATOR_RENEWALS_MAX = 16,
    // Verdicts "unscored" before a sample is dropped: two retries.
    COORDINATOR_TRIES_MAX = 3,
};

struct peer {
    struct msg_incarnation incarnation;
    enum msg_role role;
    bool greeted;    // said hello to this process; false after a restart until it does
    char name[LIMIT_NAME_BYTES + 1], detail[LIMIT_NAME_BYTES + 1];
    uint64_t heard_ms;
    struct ledger_arena memory;    // of checks
    struct msg_check *checks;
    size_t n_checks;
    char waits_for[LIMIT_NAME_BYTES + 1];
    uint64_t waits_since_ms;
    uint64_t have_version;    // actors: newest weights it said it has
    size_t leases;            // samples or jobs it holds
};

// A lease of a sample to an actor or of a job to a verifier.
struct lease {
    struct peer *owner;    // NULL: not leased
    uint64_t since_ms;     // when it was granted
    bool told;             // the owner has been told (durable), so it must name it in heartbeats
    uint64_t missed_ms;    // first heartbeat that did not name it; 0 = none
    bool named;            // scratch of one heartbeat
};

struct sample {
    uint64_t id;
    struct group *group;
    enum ledger_state state;
    uint32_t attempt, tries;
    struct lease lease;                   // generating: the actor; received: the verifier
    struct msg_incarnation last_owner;    // of the newest attempt, also after its lease ended
    bool has_last_owner;
    uint64_t lease_version;
    bool overtime;    // its last lease ran out of renewals: naming it does not bring it back
    const char *reissue_reason;    // static text
    struct msg_incarnation last_verifier;
    bool has_last_verifier;
    uint64_t received_ms;
    struct ledger_arena memory;       // of receipt
    struct ledger_receipt receipt;    // from received on
    double reward;
    bool committed;    // member of the running step
};

struct pin {    // the version of a check that scores this group
    char name[LIMIT_NAME_BYTES + 1], version[LIMIT_NAME_BYTES + 1];
};

struct group {
    struct ledger_group row;    // texts and prompt in memory
    struct ledger_arena memory;
    struct sample *samples;    // row.n_samples of them
    struct pin *pins;
    size_t n_pins;
    bool ready;          // complete, usable, not committed
    bool zero_spread;    // ready and kept although it carries no signal
    bool committed;
    uint64_t risk_since_ms;    // the learner waits for it, 0 = it does not
};

struct eval {
    uint64_t id, version, step, n, n_issued;
};

struct step {                   // the committed step
    struct train_step train;    // points into memory and into samples
    struct ledger_arena memory;
    struct ledger_step *loaded;    // after a restart: train is its
    json_t *stats;
    bool durable, handed_over, done_sent;
};

// What a durable transaction sets off. All pending ones are linked, so that destroy can free them.
enum pending_kind {
    PENDING_NONE,
    PENDING_ACK,
    PENDING_REPEAT,
    PENDING_WORK,
    PENDING_STEP,
    PENDING_PASSED,
    PENDING_DONE,
    PENDING_EVAL_DONE
};
struct pending {
    struct pending *prev, *next;
    struct coordinator *c;
    enum pending_kind kind;
    void *fn_arg;
    coordinator_ack_fn *ack;
    coordinator_work_fn *work;
    enum msg_ack status;
    struct ledger_arena memory;
    struct msg_group *groups;    // PENDING_WORK
    size_t n_groups;
    uint64_t version, step;    // PENDING_DONE, PENDING_PASSED
    json_t *json;              // PENDING_PASSED: stats, PENDING_EVAL_DONE: by kind
    struct coordinator_eval eval;
};

struct coordinator {
    struct coordinator_config config;
    const struct conf *conf;
    struct reward_policy policy;
    char *needs;    // of the task being issued, with the policy's
    struct coordinator_ops ops;
    struct ledger_sink sink;
    bool failed, started;
    uint64_t now_ms;
    int64_t wall_offset_ms;    // wall - monotonic

    struct peer **peers;
    size_t n_peers;
    struct group **groups;    // by id
    size_t n_groups, cap_groups;
    struct eval *evals;    // running ones, oldest first
    size_t n_evals;
    uint64_t evaluated_version;    // newest version an evaluation was begun for; 0 = none

    uint64_t next_sample, next_group, next_eval, next_ordinal, next_version;
    uint64_t branch, base_version;
    uint64_t version, durable_version;    // newest: decided, durable
    uint64_t last_step;                   // newest committed or passed
    uint64_t last_done;                   // newest done or passed
    struct step *step;                    // NULL: the trainer is idle
    uint64_t idle_since_ms;
    int64_t replaced;             // zero-spread groups replaced since the last commit
    double replaced_reward;       // sum of rewards in those groups; 0 again after a restart
    uint64_t replaced_samples;    // and their scored samples

    struct pending *pending;
    bool work_news[MSG_ROLE_VERIFIER + 1], step_news;
    bool delivering;

    bool source_failed;
    const char *stopping;
    bool finish_told;
    uint64_t first_lease_ms;
    int64_t run_ms_before;    // of earlier starts

    // Counts kept up as events happen: issued, by_state, drops, reissued …
    struct coordinator_status totals;
    struct ledger_arena handed_out;
};

// ---- coordinator.c ----
int64_t coordinator_wall(const struct coordinator *c);
bool coordinator_can_send(const struct coordinator *c);    // a transaction would be taken now
// NULL when out of memory (the run has failed then).
struct ledger_txn *coordinator_txn(struct coordinator *c);
// Sends t (consumed in every case). p (may be NULL, consumed) is what happens when it is durable.
void coordinator_send(struct coordinator *c, struct ledger_txn *t, struct pending *p);
// NULL when out of memory.
struct pending *coordinator_pending(struct coordinator *c, enum pending_kind kind);
void coordinator_cancel(struct pending *p);    // one that will not be sent
void coordinator_fail(struct coordinator *c);
// Every entry ends with this: follow-up decisions, then callbacks.
void coordinator_settle(struct coordinator *c);
void coordinator_clock(struct coordinator *c, uint64_t now_ms);    // the time of the present call
// NULL when its group is not alive.
struct sample *coordinator_sample(const struct coordinator *c, uint64_t sample_id);
// NULL when out of memory; appended.
struct group *coordinator_new_group(struct coordinator *c, const struct ledger_group *row);
void coordinator_reap(struct coordinator *c);    // frees groups without a live sample
bool coordinator_live(const struct sample *s);
void coordinator_move(struct coordinator *c, struct sample *s, enum ledger_state to);    // counts
void coordinator_drop(struct coordinator *c, struct ledger_txn *t, struct sample *s,
                      const char *reason);
void coordinator_count_drop(struct coordinator *c, const char *reason, size_t bucket, uint64_t n);
void coordinator_forget_group(struct group *g);

// ---- coordinator_restore.c ----
MUST_CHECK enum err coordinator_restore(struct coordinator *c, struct ledger *l, struct why *why);

// ---- coordinator_peers.c ----
struct peer *coordinator_peer(const struct coordinator *c, struct msg_incarnation id);
// NULL: full or out of memory.
struct peer *coordinator_add_peer(struct coordinator *c, struct msg_incarnation id,
                                  enum msg_role role);
bool coordinator_alive(const struct coordinator *c, const struct peer *p, uint64_t now_ms);
void coordinator_lease(struct coordinator *c, struct sample *s, struct peer *p, bool told);
void coordinator_unlease(struct sample *s);
void coordinator_expire(struct coordinator *c);
void coordinator_free_peer(struct peer *p);

// ---- coordinator_admission.c ----
// Live training groups that may exist now.
uint64_t coordinator_bound(const struct coordinator *c);
size_t coordinator_live_groups(const struct coordinator *c, enum ledger_purpose purpose);
bool coordinator_exhausted(const struct coordinator *c);    // stop.epochs: no more tasks are drawn

// ---- coordinator_scoring.c ----
// p can score samples of g now.
bool coordinator_offers(const struct peer *p, const struct group *g);
// The first check of g that no verifier of any version offers: its name in out; false when there is
// none.
bool coordinator_unoffered(const struct coordinator *c, const struct group *g, char *out,
                           size_t cap);
// A verifier has said hello again and no longer offers all of `old`: a plug-in was replaced. Groups
// pinned to a version that nobody offers any more go on with the version that took its place;
// verdicts say which one it was.
void coordinator_repin(struct coordinator *c, const struct peer *p, const struct msg_check *old,
                       size_t n_old);
// After a job's lease ended: the pins go with the last job when nothing is scored yet.
void coordinator_unpin_checks(struct group *g);

// ---- coordinator_batch.c ----
void coordinator_review(struct coordinator *c);      // groups that became complete
void coordinator_try_step(struct coordinator *c);    // commits a batch when there is one
size_t coordinator_ready_groups(const struct coordinator *c);
void coordinator_free_step(struct step *s);

// ---- coordinator_stats.c ----
// NULL when out of memory.
json_t *coordinator_batch_stats(const struct coordinator *c, struct group *const *groups, size_t n,
                                uint64_t version);
json_t *coordinator_eval_stats(const struct coordinator *c, uint64_t eval_id, uint64_t *n_scored,
                               double *reward_mean);

// ---- coordinator_eval.c ----
// An evaluation of the newest version, unless it was evaluated already: into t, or at once (unless
// the ledger's queue is full).
void coordinator_put_eval(struct coordinator *c, struct ledger_txn *t);
void coordinator_begin_eval(struct coordinator *c);
void coordinator_check_evals(struct coordinator *c);    // the ones that are over
void coordinator_check_stop(struct coordinator *c);
double coordinator_run_ms(const struct coordinator *c);

#endif
