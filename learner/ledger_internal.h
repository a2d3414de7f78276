// ledger_internal.h: what the ledger's source files share: the connection with its prepared
// statements, and the form of a transaction in memory.
//
// A transaction is a list of writes with everything they point to in one arena, so that it can
// cross to the journal thread as one pointer. The connection keeps prepared statements by number.
// Only ledger*.c and the tests that look into the database include this.
#ifndef CARAVAN_LEARNER_LEDGER_INTERNAL_H
#define CARAVAN_LEARNER_LEDGER_INTERNAL_H

#include <sqlite3.h>

#include "learner/ledger.h"
#include "learner/ledger_arena.h"

extern const char ledger_schema_sql[];

// Statements of the writing side, prepared at first use; their SQL is in ledger_statements.c.
enum ledger_sql {
    SQL_META,
    SQL_CONFIG_CHANGE,
    SQL_COUNTER,
    SQL_COUNTER_ADD,
    SQL_GROUP,
    SQL_SAMPLE,
    SQL_TRANSITION,
    SQL_LEASE,
    SQL_RECEIPT,
    SQL_COMPLETION,
    SQL_ACK_OK,
    SQL_REPEAT_FIND,
    SQL_REPEAT_SAME,
    SQL_REPEAT_OTHER,
    SQL_RETRY,
    SQL_VERDICT,
    SQL_COMPONENT,
    SQL_DROP,
    SQL_STEP,
    SQL_STEP_SAMPLE,
    SQL_STEP_TRANSITIONS,
    SQL_STEP_CONSUME,
    SQL_STEP_DONE,
    SQL_STEP_VERSION,
    SQL_VERSION,
    SQL_CHECKPOINT,
    SQL_CHECKPOINT_GONE,
    SQL_EVAL,
    SQL_EVAL_DONE,
    SQL_EVAL_TRANSITIONS,
    SQL_EVAL_CONSUME,
    SQL_COUNT,
};

extern const char *const ledger_statements[SQL_COUNT];

struct ledger {
    sqlite3 *db;
    sqlite3_stmt *prepared[SQL_COUNT];
    bool in_transaction;
    char path[512];
};

// Turns an SQLite failure into an error with the file and SQLite's own text: ERR_FULL for a full
// disk, ERR_IO, ERR_BUSY, ERR_CORRUPT …
enum err ledger_fail(struct ledger *l, int rc, struct why *why, const char *doing);
// Prepares a statement for reading (the caller finalizes it).
MUST_CHECK enum err ledger_prepare(struct ledger *l, const char *sql, sqlite3_stmt **out,
                                   struct why *why);
enum ledger_state ledger_state_of(const char *name);    // LEDGER_STATE_COUNT for an unknown one
// Columns as they are stored. The text and blob forms point into the statement's row.
struct msg_text ledger_column_text(sqlite3_stmt *s, int i);
uint64_t ledger_column_u64(sqlite3_stmt *s, int i);
// Decodes the 12-byte segments of a blob into the arena. false: not a whole number of them, or out
// of memory.
bool ledger_segments(struct ledger_arena *a, sqlite3_stmt *s, int i, const struct msg_segment **out,
                     size_t *n);
void ledger_incarnation_hex(struct msg_incarnation id, char out[33]);
bool ledger_incarnation_parse(const char *hex, struct msg_incarnation *out);
// The branch that step `step` of the present branch belongs to.
MUST_CHECK enum err ledger_branch_of_step(struct ledger *l, uint64_t step, uint64_t *branch,
                                          struct why *why);

// ---- a transaction in memory ----
enum ledger_write_kind {
    WRITE_META,
    WRITE_CONFIG_CHANGE,
    WRITE_COUNTER,
    WRITE_GROUP,
    WRITE_LEASE,
    WRITE_RECEIPT,
    WRITE_REPEAT,
    WRITE_RETRY,
    WRITE_VERDICT,
    WRITE_DROP,
    WRITE_STEP,
    WRITE_STEP_DONE,
    WRITE_VERSION,
    WRITE_CHECKPOINT,
    WRITE_CHECKPOINT_GONE,
    WRITE_EVAL,
    WRITE_EVAL_DONE,
    WRITE_BRANCH,
};

struct ledger_put_sample {    // a row of step_samples
    uint64_t sample_id;
    double advantage;
    bool fresh, masked;
};

struct ledger_write {
    enum ledger_write_kind kind;
    struct ledger_write *next;
    // Members are used as the kind needs them; texts and arrays live in the transaction's arena.
    uint64_t sample_id, step, version, parent, branch, new_version, eval_id, n;
    int64_t value;
    uint32_t attempt, tries;
    enum ledger_state from;
    struct msg_incarnation owner;
    struct hash128 hash;
    struct msg_text key, was, now;    // key/value texts, reason, directory, JSON
    double reward_mean;
    bool no_signal;
    struct ledger_put_sample *members;
    size_t n_members;
    union {
        struct ledger_group group;
        struct ledger_receipt receipt;
        struct ledger_verdict verdict;
    };
};

struct ledger_txn {
    struct ledger_arena arena;
    struct ledger_write *first, **last;
    size_t len;
    int64_t at_ms;
    enum msg_ack repeat_status;
};

#endif
