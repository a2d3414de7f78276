// journal.h: the ledger thread. Takes transactions from a bounded mailbox, puts as many as are
// waiting into one SQLite transaction (group commit: one fsync for all of them), and calls each
// one's completion on the loop thread, in the order they were sent, when it is durable.
//
// Threads: journal_send, completions and close run on the loop thread; the ledger connection
// belongs to the journal thread from create to destroy. A failed write (disk full, I/O error, a
// relation that does not hold) is fatal to the run: that transaction and every later one complete
// with the error, `failed` is called once, and the service stops. Nothing is acknowledged that is
// not on disk.
//
// Test hook: CARAVAN_TEST_KILL_AT_WRITE=N makes the process SIGKILL itself at its N-th commit
// (1-based): odd N just before commit (N+1)/2, even N just after commit N/2 and before any
// completion. Documented in docs/ledger.md; a malformed value is refused at create.
#ifndef CARAVAN_LEARNER_JOURNAL_H
#define CARAVAN_LEARNER_JOURNAL_H

#include "learner/ledger.h"

typedef struct uv_loop_s uv_loop_t;

// Called once per accepted transaction. ERR_OK: durable. t is valid during the call (results:
// ledger_txn_repeat_status) and destroyed afterwards.
typedef void ledger_done_fn(void *arg, enum err e, const struct ledger_txn *t);

// Where the coordinator sends its transactions: the journal, or a test.
struct ledger_sink {
    void *arg;
    // ERR_OK: ownership of t moved, done (may be NULL) will be called later, never from inside
    // send. ERR_FULL, ERR_CLOSED (failed or closing): t is still the caller's.
    enum err (*send)(void *arg, struct ledger_txn *t, ledger_done_fn *done, void *done_arg);
    size_t (*room)(void *arg);    // how many sends will be taken now; 0 after a failure
};

struct journal;
typedef void journal_failed_fn(void *arg, enum err e, const char *text);    // loop thread, once
MUST_CHECK enum err journal_create(uv_loop_t *loop, struct ledger *l, size_t capacity,
                                   journal_failed_fn *failed, void *arg, struct journal **out,
                                   struct why *why);
struct ledger_sink journal_sink(struct journal *j);
MUST_CHECK enum err journal_send(struct journal *j, struct ledger_txn *t, ledger_done_fn *done,
                                 void *done_arg);
size_t journal_room(struct journal *j);
size_t journal_pending(struct journal *j);    // sent, completion not called yet
struct journal_stats {
    uint64_t transactions, commits;    // transactions / commits = mean size of a group commit
    double commit_s;                   // seconds spent in commits
};
struct journal_stats journal_get_stats(struct journal *j);    // any thread
// Writes what was sent, calls the completions, then `closed` on the loop thread; the ledger is the
// caller's again. Call it at most once.
void journal_close(struct journal *j, void (*closed)(void *arg), void *arg);
// After closed, and after the loop has gone round once more (its handle closes then; uv_run has
// returned, say). NULL is fine.
void journal_destroy(struct journal *j);

#endif
