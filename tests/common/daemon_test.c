// daemon_test.c: a daemon stops when it is asked, when its supervisor is gone, and also when it
// hangs.
//
// Each case runs a small daemon in a child process and watches it from outside: what it says on a
// pipe (stdout and stderr together), and how it ends. Every wait has a deadline.

#include "tests/common/check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <uv.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/log.h"

enum behaviour {
    STOPS_CLEANLY,      // finishes as soon as it is asked
    STOPS_BY_ITSELF,    // asks itself, twice
    NEVER_FINISHES,     // the loop lives, the work does not end
    LOOP_HANGS,         // the loop thread itself is stuck before anything happens
};

struct child {
    pid_t pid;
    int output;        // what the child writes
    int supervisor;    // our end of its supervisor pipe
    char text[4096];
    size_t len;
};

// ---- inside the child

static struct daemon *the_daemon;
static enum behaviour how;
static int n_stops;

static void on_stop(void *arg, const char *cause)
{
    (void)arg;
    n_stops++;
    printf("stop:%s\n", cause);
    fflush(stdout);
    if (how == STOPS_CLEANLY || how == STOPS_BY_ITSELF) {
        daemon_finished(the_daemon);
    }
}

static void run_child(void)
{
    struct why why = {{0}};
    uv_loop_t loop;
    uv_loop_init(&loop);
    log_setup("child", LOG_LEVEL_INFO);
    if (daemon_create(&loop, on_stop, NULL, &the_daemon, &why) != ERR_OK) {
        printf("why:%s\n", why.text);
        fflush(stdout);
        _exit(9);
    }
    struct daemon *second = NULL;
    if (daemon_create(&loop, on_stop, NULL, &second, &why) != ERR_EXISTS) {
        _exit(8);
    }
    if (how == STOPS_BY_ITSELF) {
        daemon_stop(the_daemon, "work is done");
        daemon_stop(the_daemon, "again");
    }
    printf("ready\n");
    fflush(stdout);
    while (how == LOOP_HANGS) {
        pause();
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    daemon_destroy(the_daemon);
    _exit(n_stops == 1 && uv_loop_close(&loop) == 0 ? 0 : 7);
}

// ---- the watching side

static struct child start(enum behaviour behaviour)
{
    struct child c = {0};
    int out[2], sup[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(sup, O_CLOEXEC), 0);
    c.pid = fork();
    assert_true(c.pid >= 0);
    if (c.pid == 0) {
        close(sup[1]);
        dup2(out[1], STDOUT_FILENO);
        dup2(out[1], STDERR_FILENO);
        close(out[0]);
        close(out[1]);
        char number[16];
        (void)snprintf(number, sizeof number, "%d", sup[0]);
        setenv("CARAVAN_SUPERVISOR_FD", number, 1);
        how = behaviour;
        run_child();
    }
    close(out[1]);
    close(sup[0]);
    c.output = out[0];
    c.supervisor = sup[1];
    return c;
}

// Waits at most wait_ms for output or its end; false at the end.
static bool read_more(struct child *c, int wait_ms)
{
    struct pollfd p = {.fd = c->output, .events = POLLIN};
    if (poll(&p, 1, wait_ms) <= 0) {
        return true;
    }
    ssize_t n = read(c->output, c->text + c->len, sizeof c->text - 1 - c->len);
    if (n > 0) {
        c->len += (size_t)n;
        c->text[c->len] = '\0';
    }
    return n > 0;
}

static void wait_for_text(struct child *c, const char *what)
{
    uint64_t end = clock_mono_ms() + 20000;
    while (strstr(c->text, what) == NULL) {
        if (!read_more(c, 100) || clock_mono_ms() > end) {
            kill(c->pid, SIGKILL);
            fail_msg("no \"%s\" in \"%s\"", what, c->text);
        }
    }
}

// Reads to the end and gives the wait status. A child that does not end is killed, which the status
// then shows.
static int finish(struct child *c)
{
    uint64_t end = clock_mono_ms() + 20000;
    while (read_more(c, 100)) {
        if (clock_mono_ms() > end) {
            kill(c->pid, SIGKILL);
        }
    }
    int status = -1;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    close(c->output);
    if (c->supervisor >= 0) {
        close(c->supervisor);
    }
    return status;
}

static void expect_exit(struct child *c, int code)
{
    int status = finish(c);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code) {
        fail_msg("status 0x%x, expected exit code %d; it said: %s", status, code, c->text);
    }
}

static void a_signal_stops_it_once_and_cleanly(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        struct child c = start(STOPS_CLEANLY);
        wait_for_text(&c, "ready");
        kill(c.pid, signals[i]);
        expect_exit(&c, 0);
        assert_contains(c.text, "stop:signal\n");
    }
}

// No orphans after a kill -9 of the supervisor.
static void the_end_of_the_supervisor_stops_it(void **state)
{
    (void)state;
    struct child c = start(STOPS_CLEANLY);
    wait_for_text(&c, "ready");
    assert_int_equal(write(c.supervisor, "chatter", 7), 7);    // only its end means something
    close(c.supervisor);
    c.supervisor = -1;
    expect_exit(&c, 0);
    assert_contains(c.text, "stop:supervisor gone\n");
}

static void it_can_stop_itself_and_the_first_cause_counts(void **state)
{
    (void)state;
    struct child c = start(STOPS_BY_ITSELF);
    expect_exit(&c, 0);
    assert_contains(c.text, "stop:work is done\n");
    assert_null(strstr(c.text, "again"));
}

static void a_second_signal_ends_it_at_once(void **state)
{
    (void)state;
    struct child c = start(NEVER_FINISHES);
    wait_for_text(&c, "ready");
    uint64_t begin = clock_mono_ms();
    kill(c.pid, SIGTERM);
    wait_for_text(&c, "stop:signal");
    while (kill(c.pid, SIGTERM) == 0 && read_more(&c, 20)) {
        if (clock_mono_ms() > begin + 20000) {
            kill(c.pid, SIGKILL);
        }
    }
    uint64_t took_ms = clock_mono_ms() - begin;
    expect_exit(&c, 130);
    assert_true(took_ms >= 300);    // the same Ctrl-C often arrives twice
}

static void a_daemon_that_does_not_finish_ends_after_four_seconds(void **state)
{
    (void)state;
    struct child c = start(NEVER_FINISHES);
    wait_for_text(&c, "ready");
    uint64_t begin = clock_mono_ms();
    kill(c.pid, SIGINT);
    expect_exit(&c, 1);
    assert_contains(c.text, "ERROR child DAEMON_STOP_TIMEOUT cause=\"signal\"");
    assert_true(clock_mono_ms() - begin >= 3900);
}

// The loop waits for a compute thread that hangs, and then the supervisor dies.
static void not_even_a_hung_loop_leaves_an_orphan(void **state)
{
    (void)state;
    struct child c = start(LOOP_HANGS);
    wait_for_text(&c, "ready");
    close(c.supervisor);
    c.supervisor = -1;
    expect_exit(&c, 1);
    assert_contains(c.text, "DAEMON_STOP_TIMEOUT cause=\"supervisor gone\"");
}

static void a_wrong_descriptor_is_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "-1", "3x", " 3", "999", "99999999999999999999"};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct daemon *d = NULL;
        struct why why;
        setenv("CARAVAN_SUPERVISOR_FD", bad[i], 1);
        assert_int_equal(daemon_create(&loop, on_stop, NULL, &d, &why), ERR_INVALID);
        assert_contains(why.text, "CARAVAN_SUPERVISOR_FD");
        assert_null(d);
    }
    unsetenv("CARAVAN_SUPERVISOR_FD");
    assert_int_equal(uv_loop_close(&loop), 0);
    daemon_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_stops_it_once_and_cleanly),
        cmocka_unit_test(the_end_of_the_supervisor_stops_it),
        cmocka_unit_test(it_can_stop_itself_and_the_first_cause_counts),
        cmocka_unit_test(a_second_signal_ends_it_at_once),
        cmocka_unit_test(a_daemon_that_does_not_finish_ends_after_four_seconds),
        cmocka_unit_test(not_even_a_hung_loop_leaves_an_orphan),
        cmocka_unit_test(a_wrong_descriptor_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
