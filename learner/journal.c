// journal.c: group commit.
//
// The thread waits for one transaction, then takes whatever else is in the mailbox (at most 256),
// applies all of them inside one SQLite transaction and commits once. Under load the batches grow
// by themselves: while one fsync runs, the next batch gathers. Completions travel back through a
// second mailbox. Both have the capacity given at create, and the loop counts what is on its way: a
// transaction is accepted only while fewer than `capacity` are out, so the thread never finds the
// return box full and never waits for the loop.
//
//   loop                      thread                             loop
//   send ──────▶ [inbox] ──▶ begin, apply × n, commit ──▶ [outbox] ──▶ done(arg, ERR_OK), destroy
//
// After the first error nothing more is written: every transaction comes back with that error, in
// order, and the loop hears `failed` once.
#include "learner/journal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mailbox.h"

enum { GROUP_COMMIT_MAX = 256 };

struct entry {    // one transaction on its way there and back
    struct ledger_txn *txn;
    ledger_done_fn *done;
    void *arg;
    enum err result;
};

struct journal {
    // loop thread
    size_t capacity, pending;
    bool closing, told, closed_called;
    journal_failed_fn *failed;
    void *failed_arg;
    void (*closed)(void *arg);
    void *closed_arg;
    // both
    struct mailbox *in, *out;
    pthread_t thread;
    atomic_uint_fast64_t transactions, commits, commit_ns;
    // journal thread; the loop reads `error` and `why` only after an entry came back with an error,
    // which the mailbox's lock orders
    struct ledger *ledger;
    enum err error;
    struct why why;
    uint64_t kill_at;    // test hook; 0 = off
    uint64_t n_kill_points;
};

// An entry that ends the thread: made at create, so that closing needs no memory.
static struct entry close_entry;

static void kill_point(struct journal *j)
{
    if (j->kill_at != 0 && ++j->n_kill_points == j->kill_at) {
        (void)kill(getpid(), SIGKILL);
    }
}

static enum err write_batch(struct journal *j, struct entry **batch, size_t n)
{
    enum err e = ledger_begin(j->ledger, &j->why);
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        e = ledger_apply(j->ledger, batch[i]->txn, &j->why);
    }
    if (e != ERR_OK) {
        return e;
    }
    uint64_t start = clock_mono_ns();
    kill_point(j);
    e = ledger_commit(j->ledger, &j->why);
    if (e == ERR_OK) {
        kill_point(j);
    }
    (void)atomic_fetch_add(&j->commit_ns, clock_mono_ns() - start);
    (void)atomic_fetch_add(&j->commits, 1);
    (void)atomic_fetch_add(&j->transactions, n);
    return e;
}

static void *journal_main(void *arg)
{
    struct journal *j = arg;
    for (bool open = true; open;) {
        struct entry *batch[GROUP_COMMIT_MAX];
        size_t n = 0;
        for (struct entry *e = mailbox_wait(j->in, 60000); e != NULL;
             e = n < GROUP_COMMIT_MAX ? mailbox_try_recv(j->in) : NULL) {
            if (e == &close_entry) {
                open = false;
                break;
            }
            batch[n++] = e;
        }
        if (n > 0 && j->error == ERR_OK) {
            j->error = write_batch(j, batch, n);
        }
        for (size_t i = 0; i < n; i++) {
            batch[i]->result = j->error;
            CHECK(mailbox_send(j->out, batch[i]) == ERR_OK);    // at most `capacity` are out
        }
    }
    CHECK(mailbox_send(j->out, &close_entry) == ERR_OK);
    return NULL;
}

static void finish_close(struct journal *j)
{
    CHECK(pthread_join(j->thread, NULL) == 0);
    mailbox_close(j->in);
    mailbox_close(j->out);
    j->closed_called = true;
    j->closed(j->closed_arg);
}

static void take_completions(void *arg)
{
    struct journal *j = arg;
    for (struct entry *e = mailbox_try_recv(j->out); e != NULL; e = mailbox_try_recv(j->out)) {
        if (e == &close_entry) {
            finish_close(j);
            return;
        }
        j->pending--;
        if (e->result != ERR_OK && !j->told) {
            j->told = true;
            j->failed(j->failed_arg, e->result, j->why.text);
        }
        if (e->done != NULL) {
            e->done(e->arg, e->result, e->txn);
        }
        ledger_txn_destroy(e->txn);
        free(e);
    }
}

static enum err read_kill_hook(uint64_t *out, struct why *why)
{
    const char *s = getenv("CARAVAN_TEST_KILL_AT_WRITE");
    if (s == NULL || s[0] == '\0') {
        *out = 0;
        return ERR_OK;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(s, &end, 10);
    if (s[0] < '1' || s[0] > '9' || *end != '\0' || errno != 0) {
        return why_set(why, ERR_INVALID,
                       "CARAVAN_TEST_KILL_AT_WRITE: \"%s\" is not a whole number from 1", s);
    }
    *out = n;
    return ERR_OK;
}

enum err journal_create(uv_loop_t *loop, struct ledger *l, size_t capacity,
                        journal_failed_fn *failed, void *arg, struct journal **out, struct why *why)
{
    struct journal *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return ERR_NOMEM;
    }
    *j = (struct journal){.capacity = capacity, .failed = failed, .failed_arg = arg, .ledger = l};
    enum err e = read_kill_hook(&j->kill_at, why);
    e = e == ERR_OK ? mailbox_create(capacity + 1, &j->in) : e;    // + 1: the closing entry
    if (e != ERR_OK) {
        free(j);
        return e;
    }
    e = mailbox_create_uv(capacity + 1, loop, take_completions, j, &j->out);
    if (e == ERR_OK) {
        int rc = pthread_create(&j->thread, NULL, journal_main, j);
        if (rc == 0) {
            *out = j;
            return ERR_OK;
        }
        e = why_set(why, ERR_NOMEM, "cannot start the ledger thread: %s", strerror(rc));
        mailbox_close(j->out);    // its handle closes with the loop; the box itself stays for it
    }
    mailbox_close(j->in);
    mailbox_destroy(j->in);
    free(j);
    return e;
}

enum err journal_send(struct journal *j, struct ledger_txn *t, ledger_done_fn *done, void *done_arg)
{
    if (j->closing || j->told) {
        return ERR_CLOSED;
    }
    if (j->pending >= j->capacity) {
        return ERR_FULL;
    }
    struct entry *e = malloc(sizeof *e);
    if (e == NULL) {
        return ERR_NOMEM;
    }
    *e = (struct entry){t, done, done_arg, ERR_OK};
    enum err sent = mailbox_send(j->in, e);
    if (sent != ERR_OK) {
        free(e);
        return sent;
    }
    j->pending++;
    return ERR_OK;
}

size_t journal_room(struct journal *j)
{
    return j->closing || j->told ? 0 : j->capacity - j->pending;
}

size_t journal_pending(struct journal *j)
{
    return j->pending;
}

static enum err sink_send(void *arg, struct ledger_txn *t, ledger_done_fn *done, void *done_arg)
{
    return journal_send(arg, t, done, done_arg);
}

static size_t sink_room(void *arg)
{
    return journal_room(arg);
}

struct ledger_sink journal_sink(struct journal *j)
{
    return (struct ledger_sink){j, sink_send, sink_room};
}

struct journal_stats journal_get_stats(struct journal *j)
{
    return (struct journal_stats){atomic_load(&j->transactions), atomic_load(&j->commits),
                                  (double)atomic_load(&j->commit_ns) * 1e-9};
}

void journal_close(struct journal *j, void (*closed)(void *arg), void *arg)
{
    CHECK(!j->closing);
    j->closing = true;
    j->closed = closed;
    j->closed_arg = arg;
    CHECK(mailbox_send(j->in, &close_entry) == ERR_OK);
}

void journal_destroy(struct journal *j)
{
    if (j == NULL) {
        return;
    }
    CHECK(j->closed_called);
    mailbox_destroy(j->in);
    mailbox_destroy(j->out);
    free(j);
}
