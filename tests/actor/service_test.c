// service_test.c: the real actor daemon against a learner played by the test over the real bus; its
// pages as a monitor sees them, before, during and after work.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <jansson.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/fs.h"
#include "proto/bus.h"
#include "proto/http.h"
#include "tests/model/tiny.h"

enum { WATCHDOG_S = 100, DEADLINE_MS = 60000, PARKED = 16, GROUP = 4, PAGE_MAX = 1 << 20 };

struct fixture {
    char dir[64], bus[96], socket[96], http[128];
    pid_t pid;
    int leash;    // the daemon ends when this closes, so a failed test leaves nobody behind
    FILE *log;
    uv_loop_t loop;
    uv_timer_t timer;
    // the learner
    struct bus_server *server;
    struct tiny model;
    bool corrupt;        // weights are sent with a wrong hash
    bool work;           // leases are answered with groups
    uint64_t version;    // newest
    uint64_t next_id;    // of a sample
    size_t submitted;
    struct bus_request *parked[PARKED];
    size_t n_parked;
    bool closed;
};

// ---- the actor ----

static void launch(struct fixture *f, const char *http)
{
    int leash[2], log[2];
    assert_int_equal(pipe2(leash, O_CLOEXEC), 0);
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        char leash_env[] = "CARAVAN_SUPERVISOR_FD=100";
        char *env[] = {leash_env, NULL};
        char *argv[] = {(char *)ACTOR, "--connect", f->bus,    "--http", (char *)http,
                        "--slots",     "8",         "--kv-mb", "1",      "--threads",
                        "1",           "--name",    "actor-7", NULL};
        if (dup2(leash[0], 100) == 100 && dup2(log[1], 2) == 2) {
            execve(argv[0], argv, env);
        }
        _exit(127);
    }
    close(leash[0]);
    close(log[1]);
    f->leash = leash[1];
    f->log = fdopen(log[0], "r");
    assert_non_null(f->log);
}

// Until the pages are served; the address is what the daemon says.
static void start_actor(struct fixture *f, const char *http)
{
    char line[4096];
    launch(f, http);
    while (fgets(line, sizeof line, f->log)) {
        const char *at = strstr(line, " HTTP_READY http=");
        if (at && sscanf(at, " HTTP_READY http=%127s", f->http) == 1) {
            return;
        }
        print_message("%s", line);
    }
    fail_msg("the daemon ended before it served its pages");
}

static int end_actor(struct fixture *f)
{
    char line[4096];
    int status = -1;
    while (fgets(line, sizeof line, f->log)) {
        print_message("%s", line);    // ctest shows it when the test fails
    }
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    f->pid = 0;
    fclose(f->log);
    close(f->leash);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

// ---- the learner ----

static void reply_welcome(struct fixture *f, struct bus_request *r)
{
    char *config = model_config_print(&f->model.config, f->model.t);
    assert_non_null(config);
    struct msg m = {.type = MSG_WELCOME,
                    .welcome = {.run_id = msg_text_of("played"),
                                .wait_address = msg_text_of(bus_server_wait_address(f->server)),
                                .model_config = msg_text_of(config),
                                .dtype = CONF_DTYPE_BF16,
                                .newest_version = f->version,
                                .seed = 5,
                                .heartbeat_ms = 100}};
    bus_reply(r, &m);
    free(config);
}

static void reply_chunk(struct fixture *f, struct bus_request *r)
{
    const struct msg_fetch_weights *w = &bus_request_msg(r)->fetch_weights;
    size_t total = f->model.params.total * dtype_size(f->model.t), offset = (size_t)w->offset;
    assert_true(offset < total);
    size_t n = MIN(total - offset, MIN((size_t)w->max_bytes, (size_t)3000));    // several chunks
    const char *bytes = (const char *)f->model.blob + offset;
    struct hash128 hash = hash_bytes(f->model.blob, total), chunk = hash_bytes(bytes, n);
    chunk.bytes[0] ^= f->corrupt;
    struct msg m = {.type = MSG_WEIGHTS_CHUNK,
                    .weights_chunk = {.version = f->version,
                                      .total_bytes = total,
                                      .offset = offset,
                                      .bytes = {bytes, n},
                                      .chunk_hash = chunk,
                                      .weights_hash = hash}};
    bus_reply(r, &m);
}

static void park(struct fixture *f, struct bus_request *r)
{
    assert_true(f->n_parked < PARKED);
    f->parked[f->n_parked++] = r;
}

static void reply_work(struct fixture *f, struct bus_request *r)
{
    static const uint32_t prompt[] = {3, 14, 15, 9, 2, 6};
    uint64_t ids[GROUP];
    for (size_t i = 0; i < GROUP; i++) {
        ids[i] = ++f->next_id;
    }
    struct msg_group g = {
        .group_id = f->next_id,
        .prompt = prompt,
        .n_prompt = ARRAY_LEN(prompt),
        .sample_ids = ids,
        .n_samples = GROUP,
        .attempt = 1,
        .sampling = {.max_tokens = 40, .temperature = 1, .top_p = 1, .min_p = 0.5f},
        .lease_ms = 60000};
    struct msg m = {.type = MSG_GENERATE_WORK,
                    .generate_work = {.groups = &g, .n_groups = 1, .newest_version = f->version}};
    bus_reply(r, &m);
}

static void handler(void *arg, struct bus_request *r)
{
    struct fixture *f = arg;
    struct msg m = {0};
    switch (bus_request_msg(r)->type) {
    case MSG_HELLO:
        reply_welcome(f, r);
        return;
    case MSG_FIND_WEIGHTS:    // in no slab
        m = (struct msg){
            .type = MSG_WEIGHTS_FOUND,
            .weights_found = {.version = f->version,
                              .weights_hash = hash_bytes(
                                  f->model.blob, f->model.params.total * dtype_size(f->model.t))}};
        bus_reply(r, &m);
        return;
    case MSG_FETCH_WEIGHTS:
        reply_chunk(f, r);
        return;
    case MSG_LEASE_GENERATE:
        if (f->work) {
            reply_work(f, r);
        } else {
            park(f, r);
        }
        return;
    case MSG_WAIT_VERSION:
        park(f, r);
        return;
    case MSG_SUBMIT_SAMPLE:
        f->submitted++;
        m = (struct msg){.type = MSG_ACK, .ack = {MSG_ACK_OK, f->version}};
        bus_reply(r, &m);
        return;
    default:
        m = (struct msg){.type = MSG_HEARTBEAT_REPLY,
                         .heartbeat_reply = {.newest_version = f->version}};
        bus_reply(r, &m);
        return;
    }
}

static void start_learner(struct fixture *f)
{
    struct why why = {""};
    if (bus_server_create(&f->loop, f->bus, handler, f, &f->server, &why)) {
        fail_msg("%s", why.text);
    }
}

static void set_closed(void *arg)
{
    ((struct fixture *)arg)->closed = true;
}

static void on_timer(uv_timer_t *t)
{
    (void)t;
}

#define RUN_UNTIL(f, cond)                                                                         \
    do {                                                                                           \
        uint64_t deadline = clock_mono_ms() + DEADLINE_MS;                                         \
        while (!(cond)) {                                                                          \
            assert_true(clock_mono_ms() < deadline);                                               \
            uv_run(&(f)->loop, UV_RUN_ONCE);                                                       \
        }                                                                                          \
    } while (0)

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/actor-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->bus, sizeof f->bus, "ipc://%s/bus", f->dir);
    snprintf(f->socket, sizeof f->socket, "%s/actor.sock", f->dir);
    tiny_init(&f->model, true, DTYPE_BF16, 5);
    f->version = 1;
    assert_int_equal(uv_loop_init(&f->loop), 0);
    uv_timer_init(&f->loop, &f->timer);
    uv_timer_start(&f->timer, on_timer, 10, 10);    // so that conditions are looked at
    alarm(WATCHDOG_S);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->pid > 0) {
        assert_int_equal(kill(f->pid, SIGTERM), 0);
        assert_int_equal(end_actor(f), 0);
    }
    if (f->server) {
        bus_server_close(f->server, set_closed, f);
        RUN_UNTIL(f, f->closed);
        bus_server_destroy(f->server);
    }
    uv_close((uv_handle_t *)&f->timer, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(fs_remove_tree(f->dir, NULL), ERR_OK);
    tiny_fini(&f->model);
    free(f);
    alarm(0);
    return 0;
}

// ---- pages ----

static char *get(const struct fixture *f, const char *path, int want)
{
    char *body = NULL;
    size_t len = 0;
    int status = 0;
    struct why why = {""};
    if (http_get(f->http, path, DEADLINE_MS, PAGE_MAX, &status, &body, &len, &why)) {
        fail_msg("%s: %s", path, why.text);
    }
    if (status != want) {
        fail_msg("%s: %d %s", path, status, body);
    }
    return body;
}

static bool healthy(const struct fixture *f)
{
    char *body = NULL;
    size_t len = 0;
    int status = 0;
    assert_int_equal(
        http_get(f->http, "/healthz", DEADLINE_MS, PAGE_MAX, &status, &body, &len, NULL), ERR_OK);
    assert_true(status == 200 || status == 503);
    assert_int_equal(strcmp(body, "ok\n") == 0, status == 200);
    free(body);
    return status == 200;
}

static json_t *status(const struct fixture *f)
{
    char *body = get(f, "/status", 200);
    json_t *v = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(v);
    free(body);
    return v;
}

static double number(const struct fixture *f, const char *part, const char *name)
{
    json_t *v = status(f);
    double x = json_number_value(json_object_get(json_object_get(v, part), name));
    json_decref(v);
    return x;
}

static const char *text(const json_t *v, const char *name)
{
    const char *s = json_string_value(json_object_get(v, name));
    return s ? s : "";
}

// A start that hangs is the first thing one wants to look at: the pages are there before the
// learner is.
static void pages_are_served_while_the_learner_is_waited_for(void **state)
{
    struct fixture *f = *state;
    start_actor(f, f->socket);
    assert_string_equal(f->http, f->socket);
    char *health = get(f, "/healthz", 503);
    assert_non_null(strstr(health, "connecting"));
    free(health);
    json_t *v = status(f);
    assert_string_equal(text(v, "phase"), "connecting");
    assert_string_equal(text(v, "name"), "actor-7");
    json_decref(v);
    start_learner(f);
    RUN_UNTIL(f, healthy(f));
    v = status(f);
    assert_string_equal(text(json_object_get(v, "learner"), "run_id"), "played");
    assert_string_equal(text(json_object_get(v, "learner"), "address"), f->bus);
    json_decref(v);
}

static void status_follows_the_work(void **state)
{
    struct fixture *f = *state;
    start_learner(f);
    start_actor(f, f->socket);
    RUN_UNTIL(f, healthy(f));
    RUN_UNTIL(f, number(f, "weights", "version") == 1);
    json_t *v = status(f);
    assert_string_equal(text(v, "phase"), "idle");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(v, "slots"), "total")), 8);
    assert_non_null(strstr(text(v, "device"), "cpu"));
    json_decref(v);
    f->work = true;
    while (f->n_parked > 0) {    // what was parked while there was no work: leases, the long poll
        struct bus_request *r = f->parked[--f->n_parked];
        if (bus_request_msg(r)->type == MSG_LEASE_GENERATE) {
            reply_work(f, r);
        } else {
            f->version = 2;    // and a new version, fetched and swapped in while samples decode
            struct msg m = {.type = MSG_VERSION, .version = {f->version}};
            bus_reply(r, &m);
        }
    }
    assert_int_equal(f->version, 2);
    RUN_UNTIL(f, f->submitted >= 60 && number(f, "weights", "version") == 2);
    RUN_UNTIL(f, number(f, "weights", "swaps") >= 2 && number(f, "samples", "finished") >= 60);
    v = status(f);
    const json_t *tokens = json_object_get(v, "tokens");
    double decoded = json_number_value(json_object_get(tokens, "decoded"));
    double kept = json_number_value(json_object_get(tokens, "kept_mass"));
    assert_true(decoded >= 60 * 40);
    assert_true(json_number_value(json_object_get(tokens, "decode_per_s")) > 0);
    assert_true(kept > 0 && kept < 1);    // min_p cuts
    const json_t *held = json_object_get(json_object_get(v, "weights"), "held");
    assert_true(json_array_size(held) >= 1);
    assert_int_equal(json_integer_value(json_array_get(held, json_array_size(held) - 1)), 2);
    json_decref(v);
    char *metrics = get(f, "/metrics", 200);
    const char *line = strstr(metrics, "\ncaravan_actor_decode_tokens_total ");
    assert_non_null(line);
    assert_true(strtod(strchr(line, ' '), NULL) >= decoded);
    free(metrics);
    free(get(f, "/", 404));
    free(get(f, "/nothing", 404));
}

// ---- many at once ----

struct reader {
    const struct fixture *f;
    pthread_t thread;
    atomic_int *left;
    size_t good;
};

static void *read_pages(void *arg)
{
    struct reader *r = arg;
    static const struct {
        const char *path;
        int status;
    } pages[] = {{"/status", 200}, {"/metrics", 200}, {"/healthz", 200}, {"/no", 404}};
    for (size_t i = 0; i < 40; i++) {
        char *body = NULL;
        size_t len = 0;
        int code = 0;
        enum err e = http_get(r->f->http, pages[i % 4].path, DEADLINE_MS, PAGE_MAX, &code, &body,
                              &len, NULL);
        json_t *v = e == ERR_OK && i % 4 == 0 ? json_loads(body, 0, NULL) : NULL;
        r->good += e == ERR_OK && code == pages[i % 4].status && (i % 4 != 0 || v);
        json_decref(v);
        free(body);
    }
    atomic_fetch_sub(r->left, 1);
    return NULL;
}

static void many_may_ask_while_samples_are_decoded(void **state)
{
    struct fixture *f = *state;
    f->work = true;
    start_learner(f);
    start_actor(f, "127.0.0.1:0");
    RUN_UNTIL(f, f->submitted >= 4 && healthy(f));
    struct reader readers[8];
    atomic_int left = ARRAY_LEN(readers);
    size_t before = f->submitted;
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        readers[i] = (struct reader){.f = f, .left = &left};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_pages, &readers[i]), 0);
    }
    RUN_UNTIL(f, atomic_load(&left) == 0);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_int_equal(readers[i].good, 40);
    }
    RUN_UNTIL(f, f->submitted >= before + 8);    // and the work goes on
}

// Trouble that the actor survives does not pass unseen.
static void refused_weights_are_shown_and_survived(void **state)
{
    struct fixture *f = *state;
    f->corrupt = true;
    start_learner(f);
    start_actor(f, f->socket);
    RUN_UNTIL(f, number(f, "troubles", "count") >= 2);
    json_t *v = status(f);
    assert_string_equal(text(v, "phase"), "loading");
    const json_t *last = json_object_get(json_object_get(v, "troubles"), "last");
    assert_string_equal(text(last, "event"), "WEIGHTS_CHUNK_REFUSED");
    json_decref(v);
    assert_false(healthy(f));
    f->corrupt = false;
    RUN_UNTIL(f, healthy(f));
}

static void a_stopped_actor_takes_its_socket_along(void **state)
{
    struct fixture *f = *state;
    start_learner(f);
    start_actor(f, f->socket);
    RUN_UNTIL(f, healthy(f));
    assert_true(fs_exists(f->socket));
    assert_int_equal(kill(f->pid, SIGTERM), 0);
    assert_int_equal(end_actor(f), 0);
    assert_false(fs_exists(f->socket));
}

// Killed, it leaves the file behind; the next one must not stumble over it.
static void a_dead_socket_is_no_obstacle(void **state)
{
    struct fixture *f = *state;
    int killed;
    start_actor(f, f->socket);
    assert_int_equal(kill(f->pid, SIGKILL), 0);
    assert_int_equal(waitpid(f->pid, &killed, 0), f->pid);
    fclose(f->log);
    close(f->leash);
    assert_true(fs_exists(f->socket));
    start_actor(f, f->socket);
    free(get(f, "/status", 200));
}

static void a_place_that_cannot_be_served_ends_the_start(void **state)
{
    struct fixture *f = *state;
    launch(f, "/nowhere/at/all.sock");
    assert_int_equal(end_actor(f), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_are_served_while_the_learner_is_waited_for),
        TEST(status_follows_the_work),
        TEST(many_may_ask_while_samples_are_decoded),
        TEST(refused_weights_are_shown_and_survived),
        TEST(a_stopped_actor_takes_its_socket_along),
        TEST(a_dead_socket_is_no_obstacle),
        TEST(a_place_that_cannot_be_served_ends_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
