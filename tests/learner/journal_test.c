// journal_test.c: claims about the ledger thread: order, group commit, bounds, failure, and the
// kill hook.
//
// Group commit may change how many transactions share an fsync, never their order nor the meaning
// of a completion. The kills are real: a forked child ends itself at a given write, and the parent
// reads what is on disk.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "learner/journal.h"
#include "tests/learner/ledger_rig.h"

struct bench {
    struct rig r;
    uv_loop_t loop;
    struct journal *j;
    size_t n_done, n_failed_calls;
    enum err first_error;
    uint64_t order[4096];
    bool closed;
};

struct ticket {
    struct bench *b;
    uint64_t n;
};

static void on_failed(void *arg, enum err e, const char *text)
{
    struct bench *b = arg;
    assert_true(text[0] != '\0');
    assert_int_not_equal(e, ERR_OK);
    b->n_failed_calls++;
}

static void on_closed(void *arg)
{
    ((struct bench *)arg)->closed = true;
}

static void bench_open(struct bench *b, size_t capacity)
{
    struct why why;
    memset(b, 0, sizeof *b);
    rig_open(&b->r);
    assert_int_equal(uv_loop_init(&b->loop), 0);
    OK(journal_create(&b->loop, b->r.l, capacity, on_failed, b, &b->j, &why));
}

// Writes what is left and ends; the loop returns because its last handle is closed.
static void bench_close(struct bench *b)
{
    journal_close(b->j, on_closed, b);
    assert_int_equal(uv_run(&b->loop, UV_RUN_DEFAULT), 0);
    assert_true(b->closed);
    journal_destroy(b->j);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    rig_close(&b->r);
}

static void on_done(void *arg, enum err e, const struct ledger_txn *t)
{
    struct ticket *k = arg;
    assert_non_null(t);
    k->b->order[k->b->n_done++] = k->n;
    if (e != ERR_OK && k->b->first_error == ERR_OK) {
        k->b->first_error = e;
    }
    free(k);
}

static enum err send_txn(struct bench *b, struct ledger_txn *t, uint64_t n)
{
    struct ticket *k = malloc(sizeof *k);
    *k = (struct ticket){b, n};
    enum err e = journal_send(b->j, t, on_done, k);
    if (e != ERR_OK) {
        free(k);
        ledger_txn_destroy(t);
    }
    return e;
}

static enum err send_counter(struct bench *b, uint64_t n)
{
    struct ledger_txn *t = ledger_txn_create(1);
    ledger_put_counter(t, "n", (int64_t)n);
    return send_txn(b, t, n);
}

static void run_until(struct bench *b, size_t n_done)
{
    while (b->n_done < n_done) {
        (void)uv_run(&b->loop, UV_RUN_ONCE);
    }
}

// An acknowledgement must not overtake the row it stands for.
static void completions_come_in_the_order_sent(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 4096);
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(send_counter(&b, i), ERR_OK);
    }
    run_until(&b, 2000);
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(b.order[i], i);
    }
    assert_int_equal(b.first_error, ERR_OK);
    assert_int_equal(rig_int(&b.r, "SELECT value FROM counters WHERE name = 'n'"), 1999);
    bench_close(&b);
}

// One fsync for many transactions is what makes synchronous=FULL affordable.
static void waiting_transactions_share_a_commit(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 4096);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(send_counter(&b, i), ERR_OK);
    }
    run_until(&b, 1000);
    struct journal_stats s = journal_get_stats(b.j);
    assert_int_equal(s.transactions, 1000);
    assert_true(s.commits < 500);
    bench_close(&b);
}

// At the moment a completion runs, another connection (another process, after a kill) must see the
// rows.
static void look(void *arg, enum err e, const struct ledger_txn *t)
{
    (void)t;
    struct bench *b = arg;
    struct why why;
    struct ledger *other = NULL;
    int64_t n = 0;
    assert_int_equal(e, ERR_OK);
    OK(ledger_open_read(b->r.path, &other, &why));
    OK(ledger_get_counter(other, "seen", &n, &why));
    assert_int_equal(n, 5);
    ledger_close(other);
    b->n_done++;
}

static void a_completion_means_durable(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 8);
    struct ledger_txn *t = ledger_txn_create(1);
    ledger_put_counter(t, "seen", 5);
    assert_int_equal(journal_send(b.j, t, look, &b), ERR_OK);
    assert_int_equal(b.n_done, 0);    // never from inside send
    run_until(&b, 1);
    bench_close(&b);
}

static void a_full_journal_refuses_and_recovers(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 4);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(send_counter(&b, i), ERR_OK);
    }
    assert_int_equal(journal_room(b.j), 0);
    assert_int_equal(send_counter(&b, 9), ERR_FULL);
    run_until(&b, 4);
    assert_int_equal(journal_room(b.j), 4);
    assert_int_equal(send_counter(&b, 10), ERR_OK);
    run_until(&b, 5);
    bench_close(&b);
}

// After a write that failed nothing may be acknowledged: memory is ahead of the disk.
static void a_failed_write_fails_everything_after_it(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 64);
    assert_int_equal(send_counter(&b, 1), ERR_OK);
    run_until(&b, 1);
    struct ledger_txn *bad = ledger_txn_create(1);
    ledger_put_drop(bad, 12345, LEDGER_SCORED, "stale");    // no such sample
    assert_int_equal(send_txn(&b, bad, 2), ERR_OK);
    assert_int_equal(send_counter(&b, 3), ERR_OK);
    run_until(&b, 3);
    assert_int_equal(b.first_error, ERR_CORRUPT);
    assert_int_equal(b.n_failed_calls, 1);
    assert_int_equal(journal_room(b.j), 0);
    assert_int_equal(send_counter(&b, 4), ERR_CLOSED);
    assert_int_equal(rig_int(&b.r, "SELECT value FROM counters WHERE name = 'n'"), 1);
    bench_close(&b);
}

static void closing_writes_what_was_sent(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 64);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(send_counter(&b, i), ERR_OK);
    }
    journal_close(b.j, on_closed, &b);
    assert_int_equal(send_counter(&b, 99), ERR_CLOSED);
    assert_int_equal(uv_run(&b.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(b.n_done, 20);
    assert_true(b.closed);
    journal_destroy(b.j);
    assert_int_equal(rig_int(&b.r, "SELECT value FROM counters WHERE name = 'n'"), 19);
    assert_int_equal(uv_loop_close(&b.loop), 0);
    rig_close(&b.r);
}

// ---- the kill hook: a child process dies at a commit, the parent looks at what it left ----

// Sends one transaction at a time; writes a byte into the pipe for each completion.
static void child_main(const char *path, int fd, const char *kill_at)
{
    struct bench b = {0};
    struct why why;
    (void)setenv("CARAVAN_TEST_KILL_AT_WRITE", kill_at, 1);
    if (ledger_open(path, &b.r.l, &why) != ERR_OK || uv_loop_init(&b.loop) != 0 ||
        journal_create(&b.loop, b.r.l, 8, on_failed, &b, &b.j, &why) != ERR_OK) {
        _exit(3);
    }
    for (uint64_t i = 1; i <= 5; i++) {
        if (send_counter(&b, i) != ERR_OK) {
            _exit(4);
        }
        run_until(&b, i);
        if (write(fd, "x", 1) != 1) {
            _exit(5);
        }
    }
    _exit(0);
}

static void a_kill_loses_only_what_was_not_told(void **state)
{
    (void)state;
    for (int kill_at = 1; kill_at <= 6; kill_at++) {
        struct rig r;
        char text[16], byte;
        int fds[2], status = 0, told = 0;
        rig_open(&r);
        ledger_close(r.l);
        r.l = NULL;
        (void)snprintf(text, sizeof text, "%d", kill_at);
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)close(fds[0]);
            child_main(r.path, fds[1], text);
        }
        (void)close(fds[1]);
        while (read(fds[0], &byte, 1) == 1) {
            told++;
        }
        (void)close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct why why;
        int64_t n = 0;
        OK(ledger_open(r.path, &r.l, &why));
        OK(ledger_get_counter(r.l, "n", &n, &why));
        assert_int_equal(told, (kill_at - 1) / 2);    // commits whose completion ran
        assert_int_equal(n, kill_at / 2);             // even: it died just after a commit
        rig_close(&r);
    }
}

static void a_malformed_kill_hook_is_refused(void **state)
{
    (void)state;
    struct rig r;
    struct why why;
    uv_loop_t loop;
    struct journal *j = NULL;
    rig_open(&r);
    assert_int_equal(uv_loop_init(&loop), 0);
    const char *const bad[] = {"0", "x", "3x", "-1", " 4", "99999999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        (void)setenv("CARAVAN_TEST_KILL_AT_WRITE", bad[i], 1);
        assert_int_equal(journal_create(&loop, r.l, 8, on_failed, NULL, &j, &why), ERR_INVALID);
        assert_non_null(strstr(why.text, "CARAVAN_TEST_KILL_AT_WRITE"));
    }
    (void)unsetenv("CARAVAN_TEST_KILL_AT_WRITE");
    assert_int_equal(uv_loop_close(&loop), 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completions_come_in_the_order_sent),
        cmocka_unit_test(waiting_transactions_share_a_commit),
        cmocka_unit_test(a_completion_means_durable),
        cmocka_unit_test(a_full_journal_refuses_and_recovers),
        cmocka_unit_test(a_failed_write_fails_everything_after_it),
        cmocka_unit_test(closing_writes_what_was_sent),
        cmocka_unit_test(a_kill_loses_only_what_was_not_told),
        cmocka_unit_test(a_malformed_kill_hook_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
