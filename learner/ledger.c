// ledger.c: opening the database, transactions, and what the other ledger files share.
//
// WAL with synchronous=FULL: a commit is one fsync of the log, readers never block the writer, and
// after a power cut exactly the committed transactions are there. The journal folds many small
// transactions into one SQLite transaction, so the fsync is paid once per batch. The database file
// is made under a temporary name with its schema inside and then renamed: a ledger.db without
// tables cannot exist, whenever the process dies.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "learner/ledger_internal.h"

static const char *const state_names[LEDGER_STATE_COUNT] = {"generating", "received", "scored",
                                                            "consumed", "dropped"};

const char *ledger_state_name(enum ledger_state s)
{
    return (unsigned)s < LEDGER_STATE_COUNT ? state_names[s] : "unknown";
}

enum ledger_state ledger_state_of(const char *name)
{
    for (int i = 0; name != NULL && i < LEDGER_STATE_COUNT; i++) {
        if (strcmp(name, state_names[i]) == 0) {
            return (enum ledger_state)i;
        }
    }
    return LEDGER_STATE_COUNT;
}

size_t ledger_length_bucket(uint64_t n_tokens)
{
    size_t bucket = 0;
    for (; n_tokens > 0 && bucket < LEDGER_LENGTH_BUCKETS - 1; n_tokens >>= 1) {
        bucket++;
    }
    return bucket;
}

enum err ledger_fail(struct ledger *l, int rc, struct why *why, const char *doing)
{
    enum err e = ERR_IO;
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        e = ERR_NOMEM;
        break;
    case SQLITE_FULL:
        e = ERR_FULL;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        e = ERR_BUSY;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT:
    case SQLITE_ERROR:
        e = ERR_CORRUPT;
        break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        e = ERR_DENIED;
        break;
    case SQLITE_CANTOPEN:
        e = ERR_NOT_FOUND;
        break;
    default:
        break;
    }
    return why_set(why, e, "%s: %s: %s", l->path, doing,
                   l->db != NULL ? sqlite3_errmsg(l->db) : sqlite3_errstr(rc));
}

static enum err run_sql(struct ledger *l, const char *sql, const char *doing, struct why *why)
{
    int rc = sqlite3_exec(l->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ERR_OK : ledger_fail(l, rc, why, doing);
}

enum err ledger_prepare(struct ledger *l, const char *sql, sqlite3_stmt **out, struct why *why)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(l->db, sql, -1, &s, NULL);
    if (rc != SQLITE_OK) {
        return ledger_fail(l, rc, why, "preparing a query");
    }
    *out = s;
    return ERR_OK;
}

static enum err read_int(struct ledger *l, const char *sql, int64_t *out, struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(l, sql, &s, why);
    if (e != ERR_OK) {
        return e;
    }
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(s, 0);
    } else {
        e = rc == SQLITE_DONE ? why_set(why, ERR_NOT_FOUND, "%s: no row", l->path)
                              : ledger_fail(l, rc, why, "reading");
    }
    sqlite3_finalize(s);
    return e;
}

static enum err connect_db(const char *path, int flags, struct ledger **out, struct why *why)
{
    struct ledger *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return ERR_NOMEM;
    }
    if (snprintf(l->path, sizeof l->path, "%s", path) >= (int)sizeof l->path) {
        free(l);
        return why_set(why, ERR_LIMIT, "%s: path is longer than %zu bytes", path,
                       sizeof l->path - 1);
    }
    int rc = sqlite3_open_v2(path, &l->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        enum err e = ledger_fail(l, rc, why, "opening");
        ledger_close(l);
        return e;
    }
    sqlite3_extended_result_codes(l->db, 1);
    (void)sqlite3_busy_timeout(l->db, 5000);
    *out = l;
    return ERR_OK;
}

// A new ledger appears whole: the schema goes into PATH.new, which is renamed when it is on disk.
static enum err create_file(const char *path, struct why *why)
{
    char *fresh = fs_path("%s.new", path);
    if (fresh == NULL) {
        return ERR_NOMEM;
    }
    (void)unlink(fresh);
    struct ledger *l = NULL;
    enum err e = connect_db(fresh, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &l, why);
    if (e == ERR_OK) {
        e = run_sql(l, "PRAGMA synchronous=FULL; BEGIN;", "creating", why);
        e = e == ERR_OK ? run_sql(l, ledger_schema_sql, "creating the schema", why) : e;
        char version[64];
        (void)snprintf(version, sizeof version, "PRAGMA user_version=%d; COMMIT;", LEDGER_SCHEMA);
        e = e == ERR_OK ? run_sql(l, version, "creating the schema", why) : e;
        ledger_close(l);
    }
    if (e == ERR_OK && rename(fresh, path) != 0) {
        e = why_set(why, ERR_IO, "%s: cannot rename to %s: %s", fresh, path, strerror(errno));
    }
    free(fresh);
    return e;
}

static enum err check_schema(struct ledger *l, struct why *why)
{
    int64_t version = 0;
    enum err e = read_int(l, "PRAGMA user_version", &version, why);
    if (e == ERR_OK && version != LEDGER_SCHEMA) {
        e = why_set(why, ERR_VERSION, "%s: ledger schema %lld, this build reads %d", l->path,
                    (long long)version, LEDGER_SCHEMA);
    }
    return e;
}

enum err ledger_open(const char *path, struct ledger **out, struct why *why)
{
    if (!fs_exists(path)) {
        enum err e = create_file(path, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    struct ledger *l = NULL;
    enum err e = connect_db(path, SQLITE_OPEN_READWRITE, &l, why);
    if (e != ERR_OK) {
        return e;
    }
    e = check_schema(l, why);
    if (e == ERR_OK) {
        e = run_sql(l,
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
                    "PRAGMA wal_autocheckpoint=2000;",
                    "setting up", why);
    }
    if (e != ERR_OK) {
        ledger_close(l);
        return e;
    }
    *out = l;
    return ERR_OK;
}

enum err ledger_open_read(const char *path, struct ledger **out, struct why *why)
{
    if (!fs_exists(path)) {
        return why_set(why, ERR_NOT_FOUND, "%s: no ledger there", path);
    }
    struct ledger *l = NULL;
    // Read-write first: after a kill the log has to be recovered, which a read-only connection
    // cannot do. query_only keeps the promise.
    enum err e = connect_db(path, SQLITE_OPEN_READWRITE, &l, NULL);
    if (e != ERR_OK) {
        e = connect_db(path, SQLITE_OPEN_READONLY, &l, why);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = check_schema(l, why);
    e = e == ERR_OK ? run_sql(l, "PRAGMA query_only=ON;", "setting up", why) : e;
    if (e != ERR_OK) {
        ledger_close(l);
        return e;
    }
    *out = l;
    return ERR_OK;
}

void ledger_close(struct ledger *l)
{
    if (l == NULL) {
        return;
    }
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(l->prepared[i]);
    }
    sqlite3_close(l->db);
    free(l);
}

enum err ledger_begin(struct ledger *l, struct why *why)
{
    enum err e = run_sql(l, "BEGIN IMMEDIATE", "beginning a transaction", why);
    l->in_transaction = e == ERR_OK;
    return e;
}

enum err ledger_commit(struct ledger *l, struct why *why)
{
    enum err e = run_sql(l, "COMMIT", "committing", why);
    if (e != ERR_OK && !sqlite3_get_autocommit(l->db)) {
        (void)sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
    }
    l->in_transaction = false;
    return e;
}

enum err ledger_write(struct ledger *l, struct ledger_txn *t, struct why *why)
{
    enum err e = ledger_begin(l, why);
    if (e == ERR_OK) {
        e = ledger_apply(l, t, why);
    }
    return e == ERR_OK ? ledger_commit(l, why) : e;
}

struct msg_text ledger_column_text(sqlite3_stmt *s, int i)
{
    const char *p = (const char *)sqlite3_column_text(s, i);
    return p == NULL ? (struct msg_text){"", 0}
                     : (struct msg_text){p, (size_t)sqlite3_column_bytes(s, i)};
}

uint64_t ledger_column_u64(sqlite3_stmt *s, int i)
{
    return (uint64_t)sqlite3_column_int64(s, i);
}

bool ledger_segments(struct ledger_arena *a, sqlite3_stmt *s, int i, const struct msg_segment **out,
                     size_t *n)
{
    const uint8_t *p = sqlite3_column_blob(s, i);
    size_t bytes = (size_t)sqlite3_column_bytes(s, i);
    struct msg_segment *seg = ledger_arena_alloc(a, bytes / 12 * sizeof *seg);
    if (bytes % 12 != 0 || seg == NULL) {
        return false;
    }
    for (size_t k = 0; k < bytes / 12; k++) {
        memcpy(&seg[k].version, p + 12 * k, 8);
        memcpy(&seg[k].end, p + 12 * k + 8, 4);
    }
    *out = seg;
    *n = bytes / 12;
    return true;
}

void ledger_incarnation_hex(struct msg_incarnation id, char out[33])
{
    struct hash128 h;
    memcpy(h.bytes, id.bytes, sizeof h.bytes);
    hash_hex(h, out);
}

bool ledger_incarnation_parse(const char *hex, struct msg_incarnation *out)
{
    struct hash128 h;
    if (hex == NULL || !hash_from_hex(hex, &h)) {
        return false;
    }
    memcpy(out->bytes, h.bytes, sizeof out->bytes);
    return true;
}
