// score_http_test.c: the real daemon as a program in another language sees it: POST /score and the
// pages, over sockets.
//
// Workers that hang on demand (probe_worker.c: the response "spin") stand for slow checks.
#include "tests/verifier/support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "proto/http.h"
#include "proto/http_socket.h"
#include "verifier/score_body.h"
#include "verifier/score_http.h"

enum { WATCHDOG_S = 110, TIMEOUT_MS = 60000, ANSWER_MAX = 4 << 20, MAX_ARGS = 16 };

struct server {
    pid_t pid;
    int leash;    // the daemon ends when this closes, so a failed test leaves nobody behind
    FILE *log;
    char address[64];
};

static void launch(struct server *s, const char *const *args)
{
    int leash[2], log[2];
    char *argv[MAX_ARGS] = {(char *)VERIFIER};
    for (size_t i = 0; args[i] && i + 2 < MAX_ARGS; i++) {
        argv[i + 1] = (char *)args[i];
    }
    alarm(WATCHDOG_S);
    *s = (struct server){0};
    assert_int_equal(pipe2(leash, O_CLOEXEC), 0);
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        char leash_env[] = "CARAVAN_SUPERVISOR_FD=100";
        char *env[] = {leash_env, NULL};
        if (dup2(leash[0], 100) == 100 && dup2(log[1], 2) == 2) {
            execve(argv[0], argv, env);
        }
        _exit(127);
    }
    close(leash[0]);
    close(log[1]);
    s->leash = leash[1];
    s->log = fdopen(log[0], "r");
    assert_non_null(s->log);
}

// Reads the log until the daemon is ready.
static void start(struct server *s, const char *const *args)
{
    char line[4096];
    launch(s, args);
    while (fgets(line, sizeof line, s->log)) {
        const char *at = strstr(line, " HTTP_READY http=");
        if (at && sscanf(at, " HTTP_READY http=%63s", s->address) == 1) {
            return;
        }
    }
    fail_msg("the daemon ended before it was ready");
}

static int end(struct server *s)
{
    char line[4096];
    int status = -1;
    while (fgets(line, sizeof line, s->log)) {
        print_message("%s", line);    // ctest shows it when the test fails
    }
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    fclose(s->log);
    close(s->leash);
    alarm(0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void stop(struct server *s)
{
    assert_int_equal(kill(s->pid, SIGTERM), 0);
    assert_int_equal(end(s), 0);
}

static const char *const plain[] = {"--http", "127.0.0.1:0", "--workers", "1", NULL};
static const char *const two[] = {"--http",         "127.0.0.1:0", "--workers", "2",
                                  "--recycle-jobs", "1000000",     NULL};
static const char *const probes[] = {
    "--http",     "127.0.0.1:0",    "--workers", "1", "--deadline-ms", "300", "--worker-binary",
    PROBE_WORKER, "--recycle-jobs", "1000",      NULL};
static const char *const hanging[] = {
    "--http",  "127.0.0.1:0",     "--workers",  "1", "--deadline-ms",
    "3600000", "--worker-binary", PROBE_WORKER, NULL};

// ---- requests ----

static int dial(const struct server *s)
{
    int fd = -1;
    struct why why = {""};
    if (http_socket_connect(s->address, clock_mono_ms() + TIMEOUT_MS, &fd, &why)) {
        fail_msg("%s", why.text);
    }
    return fd;
}

static void say(int fd, const char *text)
{
    for (size_t len = strlen(text); len > 0;) {
        assert_int_equal(http_socket_wait(fd, POLLOUT, clock_mono_ms() + TIMEOUT_MS), ERR_OK);
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0) {
            assert_true(errno == EAGAIN || errno == EINTR);
            continue;
        }
        text += n;
        len -= (size_t)n;
    }
}

static int post(const struct server *s, const char *headers, const char *body)
{
    char head[512];
    int fd = dial(s);
    snprintf(
        head, sizeof head,
        "POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
        headers, strlen(body));
    say(fd, head);
    say(fd, body);
    return fd;
}

// The whole answer (free()); the status and where the body begins.
static char *hear(int fd, int *status, const char **body)
{
    char *answer = malloc(ANSWER_MAX);
    size_t got = 0;
    ssize_t n = 1;
    assert_non_null(answer);
    while (n > 0) {
        assert_int_equal(http_socket_wait(fd, POLLIN, clock_mono_ms() + TIMEOUT_MS), ERR_OK);
        n = recv(fd, answer + got, ANSWER_MAX - 1 - got, 0);
        got += n > 0 ? (size_t)n : 0;
    }
    answer[got] = 0;
    close(fd);
    *body = strstr(answer, "\r\n\r\n");
    if (sscanf(answer, "HTTP/1.1 %d ", status) != 1 || !*body) {
        fail_msg("no answer: \"%s\"", answer);
    }
    *body += 4;
    return answer;
}

static void expect(int fd, int expected, const char *says)
{
    int status = 0;
    const char *body;
    char *answer = hear(fd, &status, &body);
    if (status != expected || !strstr(answer, says)) {
        fail_msg("got \"%s\", expected %d and \"%s\"", answer, expected, says);
    }
    free(answer);
}

static char *page(const struct server *s, const char *path)
{
    int status = 0;
    char *body = NULL;
    size_t len = 0;
    struct why why = {""};
    if (http_get(s->address, path, TIMEOUT_MS, ANSWER_MAX, &status, &body, &len, &why)) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(status, 200);
    return body;
}

static void wait_for_metric(const struct server *s, const char *line)
{
    bool found = false;
    while (!found) {
        char *text = page(s, "/metrics");
        found = strstr(text, line) != NULL;
        free(text);
    }
}

static void expect_on(const struct server *s, const char *path, const char *text)
{
    char *body = page(s, path);
    if (!strstr(body, text)) {
        fail_msg("%s: \"%s\" is not in \"%s\"", path, text, body);
    }
    free(body);
}

// ---- scoring ----

static void verdicts_come_in_the_order_of_the_items(void **state)
{
    (void)state;
    struct server s;
    start(&s, plain);
    int status = 0;
    const char *body;
    char *answer = hear(
        post(
            &s, "",
            "{\"items\":[{\"dataset\":\"gsm8k\",\"ground_truth\":\"42\",\"response\":\"it is 42\"},"
            "{\"dataset\":\"gsm8k\",\"ground_truth\":\"42\",\"response\":\"41\"},"
            "{\"dataset\":\"nowhere\",\"ground_truth\":\"42\",\"response\":\"42\"},"
            "{\"checks\":[{\"id\":\"punctuation:no_comma\",\"weight\":0.5}],\"response\":\"a b\"},"
            "{\"checks\":[{\"id\":\"punctuation:no_comma\"}],\"response\":\"a b\","
            "\"finish\":\"length\",\"reward\":{\"unstopped\":-10}}]}"),
        &status, &body);
    assert_int_equal(status, 200);
    json_t *got = json_loads(body, 0, NULL);
    json_t *results = json_object_get(got, "results");
    static const struct {
        const char *outcome, *id;
        double reward;
    } expected[] = {{"score", "gsm8k", 1},
                    {"zero", "gsm8k", 0},
                    {"unscored", NULL, 0},
                    {"score", "punctuation:no_comma", 0.5},
                    {"score", "punctuation:no_comma", -10}};
    assert_int_equal(json_array_size(results), ARRAY_LEN(expected));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        const json_t *r = json_array_get(results, i), *reward = json_object_get(r, "reward");
        const json_t *c = json_array_get(json_object_get(r, "components"), 0);
        const char *cause = json_string_value(json_object_get(r, "cause"));
        assert_string_equal(json_string_value(json_object_get(r, "outcome")), expected[i].outcome);
        if (expected[i].id) {
            assert_true(json_is_real(reward) && json_real_value(reward) == expected[i].reward);
            assert_string_equal(json_string_value(json_object_get(c, "id")), expected[i].id);
            assert_true(json_is_string(json_object_get(c, "version")));
            assert_true(json_is_real(json_object_get(c, "value")));
            assert_true(json_is_real(json_object_get(c, "weight")));
            assert_string_equal(cause, "");
        } else {
            assert_true(json_is_null(reward) && c == NULL);    // never a quiet 0
            assert_string_equal(cause, "unknown check \"nowhere\"");
        }
    }
    json_decref(got);
    free(answer);
    expect(post(&s, "", "[]"), 200, "{\"results\":[]}");
    stop(&s);
}

static char *repeated(const char *item, size_t n)
{
    size_t len = strlen(item);
    char *text = malloc(n * (len + 1) + 2);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) {
        text[i * (len + 1)] = i ? ',' : '[';
        memcpy(text + i * (len + 1) + 1, item, len);
    }
    strcpy(text + n * (len + 1), "]");
    return text;
}

static void many_requests_are_served_at_once(void **state)
{
    (void)state;
    enum { REQUESTS = 30, ITEMS = 200 };
    struct server s;
    int fds[REQUESTS];
    start(&s, two);
    wait_for_metric(&s, "caravan_verifier_workers 2\n");
    for (int i = 0; i < REQUESTS; i++) {
        char item[96];
        snprintf(item, sizeof item,
                 "{\"dataset\":\"gsm8k\",\"ground_truth\":\"%d\",\"response\":\"7\"}", i);
        char *body = repeated(item, ITEMS);
        fds[i] = post(&s, "", body);
        free(body);
    }
    for (int i = 0; i < REQUESTS; i++) {
        int status = 0;
        const char *body;
        char *answer = hear(fds[i], &status, &body);
        assert_int_equal(status, 200);
        size_t n = 0;
        for (const char *at = body; (at = strstr(at, i == 7 ? "\"reward\":1.0" : "\"reward\":0.0"));
             at++) {
            n++;
        }
        assert_int_equal(n, ITEMS);
        free(answer);
    }
    expect_on(&s, "/metrics", "caravan_verifier_items_total 6000\n");
    stop(&s);
}

#define SPIN "{\"dataset\":\"gsm8k\",\"response\":\"spin\"}"
#define FINE "{\"dataset\":\"gsm8k\",\"response\":\"fine\"}"

// Items of all requests take turns: a batch of thousands does not block the trainer beside it.
static void a_small_request_overtakes_a_large_one(void **state)
{
    (void)state;
    struct server s;
    start(&s, probes);
    char *body = repeated(SPIN, 100);    // 0.9 s each, with its retries
    int large = post(&s, "", body);
    free(body);
    wait_for_metric(&s, "caravan_verifier_requests_waiting 1\n");
    expect(post(&s, "", "[" FINE "]"), 200, "\"outcome\":\"score\"");
    assert_int_equal(http_socket_wait(large, POLLIN, clock_mono_ms()), ERR_TIMEOUT);
    expect_on(&s, "/metrics", "caravan_verifier_requests_waiting 1\n");
    stop(&s);
    expect(large, 503, "the verifier stops");
}

// What hangs is killed, and the rest of its request is scored all the same.
static void a_hanging_item_is_unscored_and_told_apart(void **state)
{
    (void)state;
    struct server s;
    start(&s, probes);
    expect(post(&s, "", "[" SPIN "," FINE "]"), 200,
           "[{\"outcome\":\"unscored\",\"reward\":null,\"cause\":\"timeout after 300 ms\","
           "\"components\":[]},{\"outcome\":\"score\",\"reward\":1.0,");
    expect_on(&s, "/metrics", "caravan_verifier_unscored_total{cause=\"timeout\"} 1\n");
    expect_on(&s, "/metrics", "caravan_verifier_unscored_total{cause=\"request\"} 0\n");
    wait_for_metric(&s, "caravan_verifier_retries_total 2\n");
    stop(&s);
}

// Beyond the limit a client is told to come again, before it sends its body; and whoever waits is
// answered when the daemon is stopped, not left with a dead connection.
static void too_many_requests_are_sent_away_and_a_stop_answers_all(void **state)
{
    (void)state;
    struct server s;
    int fds[SCORE_HTTP_REQUESTS];
    start(&s, hanging);
    for (int i = 0; i < SCORE_HTTP_REQUESTS; i++) {
        fds[i] = post(&s, "", "[" SPIN "," SPIN "]");
    }
    wait_for_metric(&s, "caravan_verifier_requests_waiting 32\n");
    int fd = dial(&s);
    say(fd, "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    expect(fd, 503, "Retry-After: 1\r\n");
    expect_on(&s, "/metrics", "caravan_verifier_requests_total{status=\"503\"} 1\n");
    stop(&s);
    for (int i = 0; i < SCORE_HTTP_REQUESTS; i++) {
        expect(fds[i], 503, "the verifier stops");
    }
}

// A trainer that was killed must not keep the workers busy for nobody: a minute and a half, here.
static void the_rest_of_a_request_is_given_up_with_its_client(void **state)
{
    (void)state;
    struct server s;
    start(&s, probes);
    char *body = repeated(SPIN, 100);
    int fd = post(&s, "", body);
    wait_for_metric(&s, "caravan_verifier_requests_waiting 1\n");
    close(fd);
    wait_for_metric(&s, "caravan_verifier_requests_total{status=\"499\"} 1\n");
    expect_on(&s, "/metrics", "caravan_verifier_requests_waiting 0\n");
    expect(post(&s, "", "[" FINE "]"), 200, "\"outcome\":\"score\"");
    stop(&s);
    free(body);
}

static void many_clients_that_went_away_do_no_harm(void **state)
{
    (void)state;
    struct server s;
    start(&s, plain);
    char *body = repeated("{\"dataset\":\"gsm8k\",\"ground_truth\":\"1\",\"response\":\"1\"}", 500);
    for (int i = 0; i < 10; i++) {
        close(post(&s, "", body));
    }
    free(body);
    expect(post(&s, "", "[]"), 200, "{\"results\":[]}");
    wait_for_metric(&s, "caravan_verifier_requests_waiting 0\n");
    stop(&s);
}

// ---- refusals ----

static void wrong_requests_are_told_what_is_wrong(void **state)
{
    (void)state;
    struct server s;
    start(&s, plain);
    expect(post(&s, "", "[{\"dataset\":\"gsm8k\",\"response\":1}]"), 400,
           "{\"error\":\"items[0].response: a number, expected a string\"}");
    expect(post(&s, "", "nonsense"), 400, "{\"error\":\"body: not valid JSON");
    expect(post(&s, "", "[{\"dataset\":\"gsm8k\",\"response\":\"\xc3(\"}]"), 400, "not valid JSON");
    expect(post(&s, "", "[{\"dataset\":\"gsm8k\",\"response\":\"\",\"\xc3\xa9\":0}]"), 400,
           "no such field");
    char *body = repeated("{}", SCORE_BODY_ITEMS + 1);
    expect(post(&s, "", body), 400, "items[4096]: 4097 items, at most 4096");
    free(body);
    int fd = dial(&s);
    say(fd, "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 33554433\r\n\r\n");
    expect(fd, 413, "a body over 33554432 bytes");
    fd = dial(&s);
    say(fd, "GET /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(fd, 405, "Allow: POST\r\n");
    fd = dial(&s);
    say(fd, "POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    expect(fd, 405, "Allow: GET, HEAD\r\n");
    fd = dial(&s);
    say(fd, "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    expect(fd, 404, "try POST /score");
    fd = dial(&s);
    say(fd, "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(fd, 404, "POST /score, or try");
    expect_on(&s, "/metrics", "caravan_verifier_requests_total{status=\"400\"} 5\n");
    stop(&s);
}

static void other_machines_need_the_token(void **state)
{
    (void)state;
    struct server s;
    char dir[64] = "/tmp/caravan-score-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *file = fs_path("%s/token", dir);
    assert_int_equal(fs_write_file(file, "between us", 10, NULL), ERR_OK);
    launch(&s, (const char *const[]){"--http", "0.0.0.0:0", NULL});
    assert_int_equal(end(&s), 1);
    start(&s, (const char *const[]){"--http", "0.0.0.0:0", "--workers", "1", "--token-file", file,
                                    NULL});
    expect(post(&s, "", "[]"), 401, "WWW-Authenticate: Bearer\r\n");
    expect(post(&s, "Authorization: Bearer between\r\n", "[]"), 401, "expected Authorization");
    expect(post(&s, "Authorization: Bearer between us\r\n", "[]"), 200, "{\"results\":[]}");
    expect_on(&s, "/healthz", "ok\n");
    stop(&s);
    free(file);
    assert_int_equal(fs_remove_tree(dir, NULL), ERR_OK);
}

static void a_daemon_needs_a_learner_or_an_address(void **state)
{
    (void)state;
    struct server s;
    launch(&s, (const char *const[]){"--workers", "1", NULL});
    assert_int_equal(end(&s), 2);
    launch(&s, (const char *const[]){"--http", "127.0.0.1:x", NULL});
    assert_int_equal(end(&s), 1);
    launch(&s, (const char *const[]){"--http", "127.0.0.1:0", "--worker-binary", "/none", NULL});
    assert_int_equal(end(&s), 1);
}

// HTTP does not wait for the learner that the daemon was also given.
static void a_learner_may_be_away(void **state)
{
    (void)state;
    struct server s;
    start(&s, (const char *const[]){"--http", "127.0.0.1:0", "--connect",
                                    "ipc:///tmp/caravan-no-learner-here", "--workers", "1", NULL});
    expect(post(&s, "", "[{\"dataset\":\"gsm8k\",\"ground_truth\":\"1\",\"response\":\"1\"}]"), 200,
           "\"reward\":1.0");
    stop(&s);
}

// ---- pages ----

static void pages_tell_what_is_offered_and_what_was_done(void **state)
{
    (void)state;
    struct server s;
    start(&s, plain);
    expect(post(&s, "",
                "[{\"dataset\":\"gsm8k\",\"ground_truth\":\"1\",\"response\":\"1\"},"
                "{\"dataset\":\"gsm8k\",\"ground_truth\":1,\"response\":\"1\"}]"),
           200, "results");
    expect_on(&s, "/healthz", "ok\n");
    static const char *const lines[] = {
        "# TYPE caravan_verifier_jobs_total counter\ncaravan_verifier_jobs_total 2\n",
        "caravan_verifier_unscored_total{cause=\"request\"} 1\n",
        "caravan_verifier_job_seconds_bucket{le=\"+Inf\"} 2\n",
        "caravan_verifier_job_seconds_count 2\n",
        "caravan_verifier_worker_restarts_total 0\n",
        "caravan_verifier_requests_total{status=\"200\"} 1\n"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        expect_on(&s, "/metrics", lines[i]);
    }
    char *text = page(&s, "/status");
    json_t *v = json_loads(text, 0, NULL);
    assert_true(json_is_true(json_object_get(v, "ready")));
    assert_true(json_is_null(json_object_get(v, "learner")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(v, "requests"), "items")),
                     2);
    json_decref(v);
    free(text);
    text = page(&s, "/checks");
    v = json_loads(text, 0, NULL);
    free(text);
    bool found = false;
    size_t i;
    json_t *row;
    json_array_foreach(v, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "id")),
                   "length_constraints:number_words") == 0) {
            const json_t *arg = json_array_get(json_object_get(row, "args"), 0);
            assert_string_equal(json_string_value(json_object_get(row, "kind")), "instruction");
            assert_string_equal(json_string_value(json_object_get(arg, "name")), "num_words");
            assert_string_equal(json_string_value(json_object_get(arg, "type")), "integer");
            assert_true(json_is_true(json_object_get(arg, "required")));
            found = true;
        }
    }
    assert_true(found);
    json_decref(v);
    stop(&s);
}

static void trl_gets_its_rewards(void **state)
{
    (void)state;
    if (system("python3 -c pass >/dev/null 2>&1") != 0) {
        print_message("skipped: there is no python3\n");
        skip();
    }
    struct server s;
    char command[256];
    start(&s, plain);
    snprintf(command, sizeof command,
             "CARAVAN_VERIFIER=%s python3 tests/verifier/trl_reward.py "
             "deploy/examples/trl_reward.py >/dev/null",
             s.address);
    assert_int_equal(system(command), 0);
    stop(&s);
}

// A verifier that serves a learner as well says how it stands with it.
static void status_tells_of_the_learner(void **state)
{
    (void)state;
    struct http_reply r;
    struct score_snapshot s = {.ready = true, .start_ms = clock_mono_ms()};
    s.learner = (struct score_learner){true, true, clock_mono_ms() - 1500, 3};
    score_pages_render(&s, "/status", &r);
    json_t *v = json_loads(r.body, 0, NULL), *l = json_object_get(v, "learner");
    assert_true(json_is_true(json_object_get(l, "greeted")));
    assert_int_equal(json_integer_value(json_object_get(l, "held")), 3);
    double heard_s = json_real_value(json_object_get(l, "heard_s"));
    assert_true(heard_s >= 1.5 && heard_s < 100);
    json_decref(v);
    free(r.body);
    score_pages_render(&s, "/metrics", &r);
    assert_non_null(strstr(r.body, "\ncaravan_verifier_jobs_held 3\n"));
    free(r.body);

    struct server daemon;
    static const char *const nobody[] = {
        "--http", "127.0.0.1:0", "--workers", "1", "--connect", "ipc:///tmp/caravan-nobody", NULL};
    start(&daemon, nobody);
    char *text = page(&daemon, "/status");
    v = json_loads(text, 0, NULL);
    free(text);
    l = json_object_get(v, "learner");
    assert_true(json_is_false(json_object_get(l, "greeted")));
    assert_true(json_is_null(json_object_get(l, "heard_s")));
    json_decref(v);
    stop(&daemon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_come_in_the_order_of_the_items),
        cmocka_unit_test(many_requests_are_served_at_once),
        cmocka_unit_test(a_small_request_overtakes_a_large_one),
        cmocka_unit_test(a_hanging_item_is_unscored_and_told_apart),
        cmocka_unit_test(too_many_requests_are_sent_away_and_a_stop_answers_all),
        cmocka_unit_test(the_rest_of_a_request_is_given_up_with_its_client),
        cmocka_unit_test(many_clients_that_went_away_do_no_harm),
        cmocka_unit_test(wrong_requests_are_told_what_is_wrong),
        cmocka_unit_test(other_machines_need_the_token),
        cmocka_unit_test(a_daemon_needs_a_learner_or_an_address),
        cmocka_unit_test(a_learner_may_be_away),
        cmocka_unit_test(pages_tell_what_is_offered_and_what_was_done),
        cmocka_unit_test(status_tells_of_the_learner),
        cmocka_unit_test(trl_gets_its_rewards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
