// service_test.c: the real daemon with real workers, against a learner played by the test over the
// real bus.
#include "tests/verifier/support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/bus.h"
#include "proto/limits.h"

#include <uv.h>

#define WATCHDOG_S 90
#define MAX_VERDICTS 64

// The learner: hands out jobs from a list, answers everything, remembers what it heard.
struct learner {
    uv_loop_t loop;
    struct bus_server *bus;
    char folder[64], address[128];
    uv_process_t daemon;
    uv_pipe_t leash;
    bool exited;
    int64_t exit_status;
    int exit_signal;
    // script
    const struct msg_score_job *jobs;
    size_t n_jobs;
    unsigned refuse_verdicts;    // so many are answered with a fault first
    enum err refusal;
    bool unknown_once;    // the next heartbeat is answered "unknown"
    uint64_t abandon;     // named in heartbeat replies; 0 = none
    // record
    unsigned hellos, heartbeats, parked, verdict_messages;
    struct msg_incarnation incarnation;
    size_t n_checks_offered;
    bool offers_gsm8k, offers_plugin;
    char detail[64];
    uint64_t held_in_heartbeat;
    double jobs_stat;
    struct bus_request *parked_lease;
    size_t n_verdicts;
    struct {
        uint64_t sample_id;
        uint32_t attempt, outcome;
        double reward;
        char cause[128];
        size_t n_components;
    } verdicts[MAX_VERDICTS];
};

static void answer_hello(struct learner *l, struct bus_request *req)
{
    const struct msg_hello *h = &bus_request_msg(req)->hello;
    assert_int_equal(h->role, MSG_ROLE_VERIFIER);
    if (l->hellos++ > 0) {
        assert_true(msg_incarnation_equal(l->incarnation, h->incarnation));
    }
    l->incarnation = h->incarnation;
    l->n_checks_offered = h->n_checks;
    for (size_t i = 0; i < h->n_checks; i++) {
        l->offers_gsm8k = l->offers_gsm8k || strcmp(h->checks[i].name.data, "gsm8k") == 0;
        l->offers_plugin = l->offers_plugin || strcmp(h->checks[i].name.data, "probe:do") == 0;
    }
    snprintf(l->detail, sizeof l->detail, "%s", h->detail.data);
    struct msg reply = {.type = MSG_WELCOME,
                        .welcome = {.run_id = msg_text_of("test"),
                                    .wait_address = msg_text_of(bus_server_wait_address(l->bus)),
                                    .model_config = msg_text_of("{}"),
                                    .dtype = 0,
                                    .newest_version = 1,
                                    .heartbeat_ms = 50}};
    bus_reply(req, &reply);
}

static void answer_lease(struct learner *l, struct bus_request *req)
{
    const struct msg_lease_score *m = &bus_request_msg(req)->lease_score;
    size_t n = MIN(l->n_jobs, (size_t)m->max_jobs);
    assert_true(bus_request_waits(req));
    if (n == 0) {
        l->parked++;
        l->parked_lease = req;
        return;
    }
    struct msg reply = {.type = MSG_SCORE_WORK,
                        .score_work = {.jobs = l->jobs, .n_jobs = n, .newest_version = 1}};
    l->jobs += n;
    l->n_jobs -= n;
    bus_reply(req, &reply);
}

static void answer_verdict(struct learner *l, struct bus_request *req)
{
    const struct msg_submit_verdict *v = &bus_request_msg(req)->submit_verdict;
    l->verdict_messages++;
    if (l->refuse_verdicts > 0) {
        l->refuse_verdicts--;
        bus_reply_fault(req, l->refusal, "not now");
        return;
    }
    assert_true(l->n_verdicts < MAX_VERDICTS);
    l->verdicts[l->n_verdicts].sample_id = v->sample_id;
    l->verdicts[l->n_verdicts].attempt = v->attempt;
    l->verdicts[l->n_verdicts].outcome = v->outcome;
    l->verdicts[l->n_verdicts].reward = v->reward;
    l->verdicts[l->n_verdicts].n_components = v->n_components;
    snprintf(l->verdicts[l->n_verdicts].cause, 128, "%s", v->cause.data);
    l->n_verdicts++;
    struct msg reply = {.type = MSG_ACK, .ack = {.status = MSG_ACK_OK, .newest_version = 1}};
    bus_reply(req, &reply);
}

static void answer_heartbeat(struct learner *l, struct bus_request *req)
{
    const struct msg_heartbeat *m = &bus_request_msg(req)->heartbeat;
    l->heartbeats++;
    l->held_in_heartbeat = m->n_held ? m->held[0] : 0;
    for (size_t i = 0; i < m->n_stats; i++) {
        if (strcmp(m->stats[i].name.data, "verify_jobs_total") == 0) {
            l->jobs_stat = m->stats[i].value;
        }
    }
    struct msg reply = {.type = MSG_HEARTBEAT_REPLY,
                        .heartbeat_reply = {.newest_version = 1,
                                            .unknown = l->unknown_once,
                                            .abandon = &l->abandon,
                                            .n_abandon = l->abandon != 0}};
    l->unknown_once = false;
    bus_reply(req, &reply);
}

static void on_request(void *arg, struct bus_request *req)
{
    struct learner *l = arg;
    switch (bus_request_msg(req)->type) {
    case MSG_HELLO:
        answer_hello(l, req);
        break;
    case MSG_LEASE_SCORE:
        answer_lease(l, req);
        break;
    case MSG_SUBMIT_VERDICT:
        answer_verdict(l, req);
        break;
    case MSG_HEARTBEAT:
        answer_heartbeat(l, req);
        break;
    default:
        fail_msg("%s from a verifier", msg_type_name(bus_request_msg(req)->type));
    }
}

static void on_exit_of_daemon(uv_process_t *p, int64_t status, int number)
{
    struct learner *l = p->data;
    l->exited = true;
    l->exit_status = status;
    l->exit_signal = number;
}

static void listen_on_bus(struct learner *l)
{
    struct why why = {{0}};
    alarm(WATCHDOG_S);
    *l = (struct learner){0};
    strcpy(l->folder, "/tmp/caravan-verifier-XXXXXX");
    assert_non_null(mkdtemp(l->folder));
    snprintf(l->address, sizeof l->address, "ipc://%s/bus", l->folder);
    assert_int_equal(uv_loop_init(&l->loop), 0);
    assert_int_equal(bus_server_create(&l->loop, l->address, on_request, l, &l->bus, &why), ERR_OK);
}

// The daemon hangs on a pipe to the test, as it does under a supervisor: a test that fails leaves
// nobody behind.
static void spawn_daemon(struct learner *l, char *args[])
{
    char *env[] = {"CARAVAN_SUPERVISOR_FD=3", NULL};
    assert_int_equal(uv_pipe_init(&l->loop, &l->leash, 0), 0);
    uv_stdio_container_t stdio[4] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&l->leash},
    };
    uv_process_options_t options = {.file = args[0],
                                    .args = args,
                                    .env = env,
                                    .exit_cb = on_exit_of_daemon,
                                    .stdio = stdio,
                                    .stdio_count = 4};
    l->daemon.data = l;
    assert_int_equal(uv_spawn(&l->loop, &l->daemon, &options), 0);
}

static void start_daemon(struct learner *l, const char *sandbox)
{
    char *args[] = {(char *)VERIFIER, "--connect", l->address,  "--workers",     "2",
                    "--deadline-ms",  "20000",     "--sandbox", (char *)sandbox, NULL};
    spawn_daemon(l, args);
}

#define UNTIL(l, condition)                                                                        \
    while (!(condition)) {                                                                         \
        uv_run(&(l)->loop, UV_RUN_ONCE);                                                           \
    }

static void on_bus_closed(void *arg)
{
    (void)arg;
}

static void finish(struct learner *l)
{
    UNTIL(l, l->exited);
    bus_server_close(l->bus, on_bus_closed, l);
    uv_close((uv_handle_t *)&l->daemon, NULL);
    uv_close((uv_handle_t *)&l->leash, NULL);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    bus_server_destroy(l->bus);
    assert_int_equal(uv_loop_close(&l->loop), 0);
    rmdir(l->folder);
    alarm(0);
}

static void stop_daemon(struct learner *l)
{
    assert_int_equal(uv_process_kill(&l->daemon, SIGTERM), 0);
    UNTIL(l, l->exited);
    assert_int_equal(l->exit_status, 0);
    assert_int_equal(l->exit_signal, 0);
    finish(l);
}

#define GSM8K(id, response_text, truth)                                                            \
    {                                                                                              \
        .sample_id = (id), .attempt = 1, .dataset = {"\"gsm8k\"", 7},                              \
        .ground_truth = {truth, sizeof(truth) - 1},                                                \
        .response = {response_text, sizeof(response_text) - 1}, .finish = MSG_FINISH_STOP,         \
        .lease_ms = 60000                                                                          \
    }

static void leased_jobs_come_back_as_verdicts(void **state)
{
    (void)state;
    static const struct msg_score_job jobs[] = {
        GSM8K(11, "it is 4", "\"4\""), GSM8K(12, "it is 5", "\"4\""), GSM8K(13, "it is 4", "4"),
        GSM8K(14, "4", "\"4\""),       GSM8K(15, "4", "\"4\""),       GSM8K(16, "4", "\"4\""),
        GSM8K(17, "4", "\"4\"")};
    struct learner l;
    listen_on_bus(&l);
    l.jobs = jobs;
    l.n_jobs = ARRAY_LEN(jobs);
    start_daemon(&l, "auto");
    UNTIL(&l,
          l.n_verdicts == ARRAY_LEN(jobs) && l.heartbeats > 0 && l.jobs_stat >= ARRAY_LEN(jobs));
    assert_true(l.offers_gsm8k && l.n_checks_offered >= 11);
    assert_true(strcmp(l.detail, "sandbox=full") == 0 || strcmp(l.detail, "sandbox=seccomp") == 0);
    uint32_t outcomes[18] = {0};
    for (size_t i = 0; i < l.n_verdicts; i++) {
        assert_in_range(l.verdicts[i].sample_id, 11, 17);
        assert_int_equal(outcomes[l.verdicts[i].sample_id], 0);
        outcomes[l.verdicts[i].sample_id] = l.verdicts[i].outcome;
        assert_int_equal(l.verdicts[i].n_components,
                         l.verdicts[i].outcome == MSG_OUTCOME_UNSCORED ? 0 : 1);
    }
    assert_int_equal(outcomes[11], MSG_OUTCOME_SCORE);
    assert_int_equal(outcomes[12], MSG_OUTCOME_ZERO);
    assert_int_equal(outcomes[13], MSG_OUTCOME_UNSCORED);
    stop_daemon(&l);
}

static void an_unacknowledged_verdict_is_sent_again(void **state)
{
    (void)state;
    static const struct msg_score_job jobs[] = {GSM8K(21, "4", "\"4\"")};
    struct learner l;
    listen_on_bus(&l);
    l.jobs = jobs;
    l.n_jobs = 1;
    l.refuse_verdicts = 2;
    l.refusal = ERR_FULL;
    start_daemon(&l, "auto");
    UNTIL(&l, l.n_verdicts == 1);
    assert_int_equal(l.verdict_messages, 3);
    stop_daemon(&l);
}

// A verdict that the learner can never accept must not be repeated for ever, and must not be named
// as held.
static void a_verdict_refused_for_its_content_is_let_go(void **state)
{
    (void)state;
    static const struct msg_score_job jobs[] = {GSM8K(31, "4", "\"4\"")};
    struct learner l;
    listen_on_bus(&l);
    l.jobs = jobs;
    l.n_jobs = 1;
    l.refuse_verdicts = 1000;
    l.refusal = ERR_INVALID;
    start_daemon(&l, "auto");
    UNTIL(&l, l.verdict_messages == 1);
    unsigned seen = l.heartbeats;
    UNTIL(&l, l.heartbeats >= seen + 3);
    assert_int_equal(l.verdict_messages, 1);
    assert_int_equal(l.held_in_heartbeat, 0);
    stop_daemon(&l);
}

static void an_unknown_verifier_says_hello_again_and_keeps_its_work(void **state)
{
    (void)state;
    static const struct msg_score_job jobs[] = {GSM8K(41, "4", "\"4\"")};
    struct learner l;
    listen_on_bus(&l);
    l.jobs = jobs;
    l.n_jobs = 1;
    l.refuse_verdicts = 1000000;    // so that the verdict stays held
    l.refusal = ERR_FULL;
    start_daemon(&l, "auto");
    UNTIL(&l, l.held_in_heartbeat == 41);
    l.unknown_once = true;
    UNTIL(&l, l.hellos == 2);    // answer_hello holds that the incarnation is the same
    l.refuse_verdicts = 0;
    UNTIL(&l, l.n_verdicts == 1);
    assert_int_equal(l.verdicts[0].sample_id, 41);
    stop_daemon(&l);
}

static void abandoned_work_is_not_submitted(void **state)
{
    (void)state;
    static const struct msg_score_job jobs[] = {GSM8K(51, "4", "\"4\"")};
    struct learner l;
    listen_on_bus(&l);
    l.jobs = jobs;
    l.n_jobs = 1;
    l.refuse_verdicts = 1000000;
    l.refusal = ERR_FULL;
    start_daemon(&l, "auto");
    UNTIL(&l, l.held_in_heartbeat == 51);
    l.abandon = 51;
    UNTIL(&l, l.held_in_heartbeat == 0);
    unsigned messages = l.verdict_messages, seen = l.heartbeats;
    UNTIL(&l, l.heartbeats >= seen + 10);
    assert_int_equal(l.verdict_messages, messages);
    stop_daemon(&l);
}

// A sample leased twice (the first reply was lost, or the learner restarted) is scored once, for
// the newer attempt.
static void a_sample_leased_again_keeps_one_place(void **state)
{
    (void)state;
    struct msg_score_job jobs[] = {GSM8K(61, "4", "\"4\""), GSM8K(61, "4", "\"4\"")};
    jobs[1].attempt = 2;
    struct learner l;
    listen_on_bus(&l);
    l.jobs = jobs;
    l.n_jobs = 2;
    start_daemon(&l, "auto");
    UNTIL(&l, l.n_verdicts == 1 && l.jobs_stat >= 1 && l.held_in_heartbeat == 0);
    assert_int_equal(l.verdicts[0].attempt, 2);
    assert_int_equal((int)l.jobs_stat, 1);
    stop_daemon(&l);
}

static void a_missing_worker_ends_the_daemon_before_hello(void **state)
{
    (void)state;
    struct learner l;
    listen_on_bus(&l);
    char *args[] = {(char *)VERIFIER,  "--connect",       l.address,
                    "--worker-binary", "/nowhere/worker", NULL};
    spawn_daemon(&l, args);
    finish(&l);
    assert_int_equal(l.exit_status, 1);
    assert_int_equal(l.hellos, 0);
}

// Process ids of a process's children, from /proc.
static size_t children_of(int pid, int *out, size_t cap)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = 0;
    while (n < cap && fscanf(f, "%d", &out[n]) == 1) {
        n++;
    }
    fclose(f);
    return n;
}

static void a_daemon_ends_with_its_supervisor(void **state)
{
    (void)state;
    struct learner l;
    listen_on_bus(&l);
    start_daemon(&l, "auto");
    UNTIL(&l, l.heartbeats > 0);
    uv_shutdown_t down;
    assert_int_equal(uv_shutdown(&down, (uv_stream_t *)&l.leash, NULL), 0);
    finish(&l);
    assert_int_equal(l.exit_status, 0);
}

static void no_worker_outlives_a_killed_daemon(void **state)
{
    (void)state;
    struct learner l;
    listen_on_bus(&l);
    start_daemon(&l, "auto");
    UNTIL(&l, l.parked > 0 && l.heartbeats > 0);
    int workers[16];
    size_t n = children_of(l.daemon.pid, workers, 8);
    assert_true(n >= 1);
    // In a pid namespace the worker proper is a child of the process that the daemon started.
    for (size_t i = 0, direct = n; i < direct; i++) {
        n += children_of(workers[i], workers + n, ARRAY_LEN(workers) - n);
    }
    int handles[16];
    for (size_t i = 0; i < n; i++) {
        handles[i] = (int)syscall(SYS_pidfd_open, workers[i], 0);
        assert_true(handles[i] >= 0);
    }
    assert_int_equal(uv_process_kill(&l.daemon, SIGKILL), 0);
    for (size_t i = 0; i < n; i++) {
        struct pollfd p = {.fd = handles[i], .events = POLLIN};
        int ready;
        do {
            ready = poll(&p, 1, 10000);
        } while (ready < 0 && errno == EINTR);    // SIGCHLD of the daemon
        assert_int_equal(ready, 1);               // readable: the process has ended
        close(handles[i]);
    }
    finish(&l);
}

static void copy_file(const char *from, const char *to)
{
    char chunk[8192];
    ssize_t n;
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_WRONLY, 0644);
    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, chunk, sizeof chunk)) > 0) {
        assert_int_equal(write(out, chunk, (size_t)n), n);
    }
    close(in);
    close(out);
}

static void a_plugin_that_comes_later_is_offered_and_scores(void **state)
{
    (void)state;
    static const struct msg_score_job job = {.sample_id = 5,
                                             .attempt = 1,
                                             .checks = {"[{\"id\":\"probe:do\"}]", 19},
                                             .response = {"fine", 4},
                                             .finish = MSG_FINISH_STOP};
    struct learner l;
    char plugin[128];
    listen_on_bus(&l);
    snprintf(plugin, sizeof plugin, "%s/p.so", l.folder);
    char *args[] = {(char *)VERIFIER, "--connect", l.address, "--workers", "1",
                    "--plugins",      l.folder,    NULL};
    spawn_daemon(&l, args);
    UNTIL(&l, l.hellos == 1 && l.parked == 1);
    assert_false(l.offers_plugin);
    copy_file(PROBE_PLUGIN, plugin);
    UNTIL(&l, l.offers_plugin);
    assert_int_equal(l.hellos, 2);
    struct msg reply = {.type = MSG_SCORE_WORK,
                        .score_work = {.jobs = &job, .n_jobs = 1, .newest_version = 1}};
    bus_reply(l.parked_lease, &reply);
    UNTIL(&l, l.n_verdicts == 1);
    assert_int_equal(l.verdicts[0].outcome, MSG_OUTCOME_SCORE);
    assert_int_equal(l.verdicts[0].n_components, 1);
    unlink(plugin);
    stop_daemon(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_that_comes_later_is_offered_and_scores),
        cmocka_unit_test(leased_jobs_come_back_as_verdicts),
        cmocka_unit_test(an_unacknowledged_verdict_is_sent_again),
        cmocka_unit_test(a_verdict_refused_for_its_content_is_let_go),
        cmocka_unit_test(an_unknown_verifier_says_hello_again_and_keeps_its_work),
        cmocka_unit_test(abandoned_work_is_not_submitted),
        cmocka_unit_test(a_sample_leased_again_keeps_one_place),
        cmocka_unit_test(a_missing_worker_ends_the_daemon_before_hello),
        cmocka_unit_test(a_daemon_ends_with_its_supervisor),
        cmocka_unit_test(no_worker_outlives_a_killed_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
