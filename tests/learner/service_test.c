// service_test.c: the real daemon and its ledger, against an actor and a verifier played by the test
// over the real bus.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "kernels/device.h"
#include "proto/bus.h"
#include "proto/http.h"
#include "proto/limits.h"
#include "tiny_model.h"

// A client that is closed while it still dials leaves NNG's reaper something to do at exit.
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so";
}

enum { DEADLINE_MS = 60000, CALL_MS = 30000, COPY_MAX = 1 << 20 };

// One learner, one client. The answer of the last call is copied out of the callback.
struct fixture {
    uv_loop_t loop;
    char dir[64], address[96], config[96];
    pid_t pid;
    int leash;    // our end of the supervisor's pipe
    struct bus_client *bus;
    struct msg_incarnation me;
    // the last answer
    bool answered;
    enum err err;
    char text[LIMIT_FAULT_BYTES + 1];
    enum msg_type type;
    struct msg reply;    // flat fields only; arrays are copied below
    uint64_t groups[64], samples[64][8];
    size_t n_groups, n_samples, n_prompt[64];
    uint64_t pinned[64];
    char wait_address[LIMIT_NAME_BYTES + 1], run_id[LIMIT_NAME_BYTES + 1];
    char response[256], ground_truth[256];
    uint64_t sample_id;
    uint32_t attempt;
    uint8_t *bytes;
    size_t n_bytes;
};

// ---- the process ----

static void write_config(struct fixture *f, const char *more)
{
    char text[2048];
    snprintf(text, sizeof text,
             "run_dir: %s/run\nmodel:\n  path: %s/model\ndata:\n  tasks_n: 64\n  eval_n: 0\n  "
             "max_prompt_tokens: 400\nrollout:\n  group_size: 2\n  groups_per_step: 2\n  "
             "max_tokens: 8\n  staleness_max: 1\noptim:\n  micro_batch_tokens: 1024\n%s",
             f->dir, f->dir, more);
    assert_int_equal(fs_write_file(f->config, text, strlen(text), NULL), ERR_OK);
}

static void start(struct fixture *f, const char *how, const char *what)
{
    int ends[2];
    char fd[16];
    assert_int_equal(pipe(ends), 0);
    snprintf(fd, sizeof fd, "%d", ends[0]);
    f->pid = fork();
    if (f->pid == 0) {
        close(ends[1]);
        setenv("CARAVAN_SUPERVISOR_FD", fd, 1);
        execl(LEARNER, LEARNER, how, what, (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    f->leash = ends[1];
}

static int wait_exit(struct fixture *f)
{
    int status = 0;
    for (uint64_t end = clock_mono_ms() + DEADLINE_MS; clock_mono_ms() < end;) {
        if (waitpid(f->pid, &status, WNOHANG) == f->pid) {
            f->pid = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        uv_sleep(5);
    }
    fail_msg("the learner does not end");
    return -1;
}

static void connect_client(struct fixture *f)
{
    struct why why = {""};
    if (bus_client_create(&f->loop, f->address, &f->bus, &why)) {
        fail_msg("%s", why.text);
    }
}

static int setup_with(void **state, const char *more)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/learner_testXXXXXX");
    assert_non_null(mkdtemp(f->dir));
    char *model = fs_path("%s/model", f->dir), *token = fs_path("%s/token", f->dir);
    snprintf(f->address, sizeof f->address, "ipc://%s/run/bus", f->dir);
    snprintf(f->config, sizeof f->config, "%s/run.yaml", f->dir);
    tiny_model_make(model, "1");
    assert_int_equal(fs_write_file(token, "s3cret\n", 7, NULL), ERR_OK);
    char extra[256];
    snprintf(extra, sizeof extra, more, token);
    write_config(f, extra);
    free(model);
    free(token);
    f->bytes = malloc(COPY_MAX);
    f->me = msg_incarnation_random();
    assert_int_equal(uv_loop_init(&f->loop), 0);
    start(f, "--config", f->config);
    connect_client(f);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, "%.0s");
}

static int setup_with_token(void **state)
{
    return setup_with(state, "learner:\n  token_file: %s\n");
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void disconnect(struct fixture *f)
{
    bool closed = false;
    bus_client_close(f->bus, on_closed, &closed);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(closed);
    bus_client_destroy(f->bus);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    disconnect(f);
    if (f->pid) {
        kill(f->pid, SIGKILL);
        wait_exit(f);
    }
    close(f->leash);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f->bytes);
    int failed = fs_remove_tree(f->dir, NULL) != ERR_OK;
    free(f);
    return failed;
}

// ---- calls ----

static void copy_text(char *out, size_t cap, struct msg_text t)
{
    snprintf(out, cap, "%.*s", (int)t.len, t.len ? t.data : "");
}

static void copy_groups(struct fixture *f, const struct msg_generate_work *w)
{
    f->n_groups = w->n_groups;
    f->n_samples = 0;
    for (size_t i = 0; i < w->n_groups && i < ARRAY_LEN(f->groups); i++) {
        f->groups[i] = w->groups[i].group_id;
        f->n_prompt[i] = w->groups[i].n_prompt;
        f->pinned[i] = w->groups[i].pinned_version;
        f->n_samples += w->groups[i].n_samples;
        for (size_t k = 0; k < w->groups[i].n_samples && k < 8; k++) {
            f->samples[i][k] = w->groups[i].sample_ids[k];
        }
    }
}

static void on_reply(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct fixture *f = arg;
    f->answered = true;
    f->err = e;
    snprintf(f->text, sizeof f->text, "%s", text ? text : "");
    f->type = e ? MSG_FAULT : reply->type;
    if (e) {
        return;
    }
    f->reply = *reply;
    if (reply->type == MSG_WELCOME) {
        copy_text(f->wait_address, sizeof f->wait_address, reply->welcome.wait_address);
        copy_text(f->run_id, sizeof f->run_id, reply->welcome.run_id);
    } else if (reply->type == MSG_GENERATE_WORK) {
        copy_groups(f, &reply->generate_work);
    } else if (reply->type == MSG_SCORE_WORK && reply->score_work.n_jobs) {
        const struct msg_score_job *j = &reply->score_work.jobs[0];
        f->sample_id = j->sample_id;
        f->attempt = j->attempt;
        copy_text(f->response, sizeof f->response, j->response);
        copy_text(f->ground_truth, sizeof f->ground_truth, j->ground_truth);
    } else if (reply->type == MSG_WEIGHTS_CHUNK) {
        f->n_bytes = reply->weights_chunk.bytes.len;
        assert_true(f->n_bytes <= COPY_MAX);
        memcpy(f->bytes, reply->weights_chunk.bytes.data, f->n_bytes);
    }
}

static enum err ask(struct fixture *f, const struct msg *m)
{
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    struct why why = {""};
    f->answered = false;
    if (bus_client_call(f->bus, m, CALL_MS, on_reply, f, &why)) {
        fail_msg("%s", why.text);
    }
    while (!f->answered) {
        assert_true(clock_mono_ms() < end);
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    return f->err;
}

static const char *numerics(void)
{
    struct device *d = NULL;
    assert_int_equal(device_open("cpu", NULL, &d, NULL), ERR_OK);
    const char *id = d->ops->numerics_id;
    device_close(d);
    return id;
}

static enum err hello(struct fixture *f, enum msg_role role, const char *id, const char *token)
{
    const struct msg_check check = {msg_text_of("gsm8k"), msg_text_of("1")};
    struct msg m = {.type = MSG_HELLO,
                    .hello = {.role = role,
                              .incarnation = f->me,
                              .name = msg_text_of("player"),
                              .numerics_id = msg_text_of(id),
                              .token = msg_text_of(token),
                              .checks = role == MSG_ROLE_VERIFIER ? &check : NULL,
                              .n_checks = role == MSG_ROLE_VERIFIER,
                              .detail = msg_text_of("test")}};
    enum err e = ask(f, &m);
    if (!e) {
        assert_int_equal(bus_client_set_wait(f->bus, f->wait_address, NULL), ERR_OK);
    }
    return e;
}

static void must_greet(struct fixture *f, enum msg_role role)
{
    if (hello(f, role, role == MSG_ROLE_ACTOR ? numerics() : "", "")) {
        fail_msg("%s", f->text);
    }
}

static enum err lease(struct fixture *f, uint32_t max, uint32_t timeout_ms)
{
    return ask(f, &(struct msg){.type = MSG_LEASE_GENERATE,
                                .lease_generate = {.incarnation = f->me,
                                                   .max_samples = max,
                                                   .have_version = 1,
                                                   .timeout_ms = timeout_ms}});
}

static enum err fetch(struct fixture *f, uint64_t version, uint64_t offset, uint32_t max)
{
    return ask(f, &(struct msg){.type = MSG_FETCH_WEIGHTS,
                                .fetch_weights = {f->me, version, offset, max}});
}

static enum err submit(struct fixture *f, uint64_t id, size_t n_prompt, uint32_t first_token)
{
    const uint32_t tokens[] = {first_token, 3 + 'k', 2};
    const float logprobs[] = {-1, -2, -3};
    const struct msg_segment all = {1, (uint32_t)n_prompt + 2};
    struct msg m = {.type = MSG_SUBMIT_SAMPLE,
                    .submit_sample = {.incarnation = f->me,
                                      .sample_id = id,
                                      .attempt = 1,
                                      .tokens = tokens,
                                      .n_tokens = 3,
                                      .logprobs = logprobs,
                                      .n_logprobs = 3,
                                      .segments = &all,
                                      .n_segments = 1,
                                      .finish = MSG_FINISH_STOP}};
    m.submit_sample.payload = msg_sample_hash(&m.submit_sample);
    return ask(f, &m);
}

// ---- who comes in ----

static void a_welcome_says_what_an_actor_needs(void **state)
{
    struct fixture *f = *state;
    must_greet(f, MSG_ROLE_ACTOR);
    assert_int_equal(strlen(f->run_id), 32);
    assert_int_equal(f->reply.welcome.newest_version, 1);
    assert_true(f->reply.welcome.heartbeat_ms > 0);
    assert_non_null(strstr(f->wait_address, "bus.wait"));
}

// Their log-probs could never agree, and every ratio would be wrong.
static void an_actor_of_other_numerics_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(hello(f, MSG_ROLE_ACTOR, "abacus-1", ""), ERR_MISMATCH);
    assert_non_null(strstr(f->text, "abacus-1"));
    assert_non_null(strstr(f->text, numerics()));
}

static void strangers_get_neither_weights_nor_a_hearing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fetch(f, 0, 0, 1000), ERR_DENIED);
    assert_int_equal(submit(f, 1, 10, 'a'), ERR_DENIED);
    assert_int_equal(hello(f, MSG_ROLE_ACTOR, numerics(), ""), ERR_DENIED);
    assert_int_equal(hello(f, MSG_ROLE_ACTOR, numerics(), "s3cres"), ERR_DENIED);
    assert_int_equal(hello(f, MSG_ROLE_ACTOR, numerics(), "s3cret1"), ERR_DENIED);
    assert_non_null(strstr(f->text, "token_file"));
    assert_int_equal(fetch(f, 0, 0, 1000), ERR_DENIED);
    assert_int_equal(hello(f, MSG_ROLE_ACTOR, numerics(), "s3cret"), ERR_OK);
    assert_int_equal(fetch(f, 0, 0, 1000), ERR_OK);
}

static void a_heartbeat_of_nobody_is_asked_for_a_hello(void **state)
{
    struct fixture *f = *state;
    struct msg m = {.type = MSG_HEARTBEAT, .heartbeat = {.incarnation = f->me}};
    assert_int_equal(ask(f, &m), ERR_OK);
    assert_true(f->reply.heartbeat_reply.unknown);
    must_greet(f, MSG_ROLE_ACTOR);
    assert_int_equal(ask(f, &m), ERR_OK);
    assert_false(f->reply.heartbeat_reply.unknown);
}

static void a_lease_needs_a_hello_in_the_right_role(void **state)
{
    struct fixture *f = *state;
    must_greet(f, MSG_ROLE_VERIFIER);
    assert_int_equal(lease(f, 8, 100), ERR_DENIED);
    assert_non_null(strstr(f->text, "say hello"));
}

// ---- weights ----

static void weights_come_in_checked_pieces(void **state)
{
    struct fixture *f = *state;
    struct hash_state *h = hash_create();
    uint64_t at = 0, total = 1;
    struct hash128 whole = {{0}};
    must_greet(f, MSG_ROLE_ACTOR);
    for (; at < total; at += f->n_bytes) {
        assert_int_equal(fetch(f, 1, at, 50000), ERR_OK);
        const struct msg_weights_chunk *c = &f->reply.weights_chunk;
        assert_true(f->n_bytes > 0 && f->n_bytes <= 50000);
        assert_int_equal(c->offset, at);
        assert_true(hash_equal(c->chunk_hash, hash_bytes(f->bytes, f->n_bytes)));
        hash_update(h, f->bytes, f->n_bytes);
        total = c->total_bytes;
        whole = c->weights_hash;
    }
    assert_int_equal(at, total);
    assert_true(hash_equal(hash_final(h), whole));
    hash_destroy(h);
    assert_int_equal(fetch(f, 1, total, 1000), ERR_OK);    // past the end: nothing
    assert_int_equal(f->n_bytes, 0);
    assert_int_equal(fetch(f, 99, 0, 1000), ERR_NOT_FOUND);
    assert_non_null(strstr(f->text, "99"));
}

static void a_wait_for_a_version_ends_with_the_newest(void **state)
{
    struct fixture *f = *state;
    must_greet(f, MSG_ROLE_ACTOR);
    struct msg m = {.type = MSG_WAIT_VERSION, .wait_version = {f->me, 0, 15000}};
    assert_int_equal(ask(f, &m), ERR_OK);    // at once: there is a newer one
    assert_int_equal(f->reply.version.newest_version, 1);
    uint64_t start_ms = clock_mono_ms();
    m.wait_version = (struct msg_wait_version){f->me, 1, 300};
    assert_int_equal(ask(f, &m), ERR_OK);
    assert_true(clock_mono_ms() - start_ms >= 250);
    assert_int_equal(f->reply.version.newest_version, 1);
}

// ---- work ----

static void leases_stop_at_the_bound_and_then_wait(void **state)
{
    struct fixture *f = *state;
    size_t samples = 0;
    must_greet(f, MSG_ROLE_ACTOR);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(lease(f, 4, 300), ERR_OK);
        assert_true(f->n_samples <= 4);
        samples += f->n_samples;
        if (f->n_groups == 0) {
            break;
        }
        assert_true(f->n_prompt[0] > 0);
        assert_int_equal(f->pinned[0], 0);
    }
    assert_int_equal(f->n_groups, 0);        // the last one waited, and was told "nothing yet"
    assert_int_equal(samples, 2 * 2 * 2);    // (staleness_max + 1) * groups_per_step * group_size
}

// First durable submit wins; whatever comes later is told so, and changes nothing.
static void a_sample_is_taken_once(void **state)
{
    struct fixture *f = *state;
    must_greet(f, MSG_ROLE_ACTOR);
    assert_int_equal(lease(f, 2, 1000), ERR_OK);
    assert_true(f->n_samples >= 2);
    uint64_t id = f->samples[0][0];
    size_t n_prompt = f->n_prompt[0];
    assert_int_equal(submit(f, id, n_prompt, 4000), ERR_INVALID);    // outside the vocabulary
    assert_int_equal(submit(f, id, n_prompt, 3 + 'o'), ERR_OK);
    assert_int_equal(f->reply.ack.status, MSG_ACK_OK);
    assert_int_equal(submit(f, id, n_prompt, 3 + 'o'), ERR_OK);
    assert_int_equal(f->reply.ack.status, MSG_ACK_DUPLICATE);
    assert_int_equal(submit(f, id, n_prompt, 3 + 'x'), ERR_OK);
    assert_int_equal(f->reply.ack.status, MSG_ACK_SUPERSEDED);
    assert_int_equal(submit(f, 123456, n_prompt, 3 + 'o'), ERR_OK);
    assert_int_equal(f->reply.ack.status, MSG_ACK_UNKNOWN);
}

static void messages_that_are_no_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    char *socket_path = fs_path("%s/run/http.sock", f->dir), *body = NULL;
    must_greet(f, MSG_ROLE_ACTOR);
    struct why why = {""};
    struct msg m = {.type = MSG_ACK};
    enum err e =
        bus_client_call(f->bus, &m, 1000, on_reply, f, &why);    // the client knows already
    assert_int_not_equal(e, ERR_OK);
    int status = 0;
    size_t len = 0;
    assert_int_equal(http_get(socket_path, "/status", 5000, 1 << 20, &status, &body, &len, &why),
                     ERR_OK);    // nobody was hurt
    free(body);
    free(socket_path);
}

// ---- what people see ----

static void get(struct fixture *f, const char *path, int want, char **body)
{
    char *socket_path = fs_path("%s/run/http.sock", f->dir);
    size_t len = 0;
    int status = 0;
    struct why why = {""};
    if (http_get(socket_path, path, 5000, 16 << 20, &status, body, &len, &why)) {
        fail_msg("%s: %s", path, why.text);
    }
    assert_int_equal(status, want);
    free(socket_path);
}

static void the_status_pages_show_the_run(void **state)
{
    struct fixture *f = *state;
    char *body = NULL;
    json_t *o = NULL;
    must_greet(f, MSG_ROLE_ACTOR);
    get(f, "/status", 200, &body);
    assert_int_equal(json_parse(body, strlen(body), "status", &o, NULL), ERR_OK);
    assert_string_equal(json_string_value(json_object_get(o, "run_id")), f->run_id);
    assert_string_equal(json_string_value(json_object_get(o, "phase")), "training");
    json_decref(o);
    free(body);
    get(f, "/metrics", 200, &body);
    assert_non_null(strstr(body, "caravan_policy_version 1\n"));
    free(body);
    get(f, "/healthz", 200, &body);
    assert_string_equal(body, "ok\n");
    free(body);
    get(f, "/favicon.ico", 404, &body);
    assert_non_null(strstr(body, "/status"));
    free(body);
}

// ---- the end, and after it ----

static void a_signal_ends_it_in_order_and_a_resume_knows_the_samples(void **state)
{
    struct fixture *f = *state;
    char id[33], *status_file = fs_path("%s/run/status.json", f->dir),
                 *run = fs_path("%s/run", f->dir);
    must_greet(f, MSG_ROLE_ACTOR);
    snprintf(id, sizeof id, "%.32s", f->run_id);
    assert_int_equal(lease(f, 2, 1000), ERR_OK);
    uint64_t sample = f->samples[0][0];
    size_t n_prompt = f->n_prompt[0];
    assert_int_equal(submit(f, sample, n_prompt, 3 + 'o'), ERR_OK);
    disconnect(f);
    uint64_t start_ms = clock_mono_ms();
    kill(f->pid, SIGTERM);
    assert_int_equal(wait_exit(f), 130);
    assert_true(clock_mono_ms() - start_ms < 5000);
    assert_true(fs_exists(status_file));
    start(f, "--resume", run);
    connect_client(f);
    must_greet(f, MSG_ROLE_ACTOR);
    assert_string_equal(f->run_id, id);
    assert_int_equal(submit(f, sample, n_prompt, 3 + 'o'), ERR_OK);
    assert_int_equal(f->reply.ack.status, MSG_ACK_DUPLICATE);    // acknowledged before: durable
    free(status_file);
    free(run);
}

// kill -9 of `caravan run` must not leave orphans.
static void it_ends_when_its_supervisor_is_gone(void **state)
{
    struct fixture *f = *state;
    must_greet(f, MSG_ROLE_ACTOR);
    close(f->leash);
    f->leash = -1;
    assert_int_equal(wait_exit(f), 130);
}

static void scoring_work_carries_the_answer_and_the_truth(void **state)
{
    struct fixture *f = *state;
    must_greet(f, MSG_ROLE_ACTOR);
    // Arithmetic and writing are mixed; the verifier of this test offers gsm8k alone.
    bool scored = false;
    for (int i = 0; i < 4 && !scored; i++) {
        must_greet(f, MSG_ROLE_ACTOR);
        assert_int_equal(lease(f, 2, 300), ERR_OK);
        for (size_t g = 0; g < f->n_groups; g++) {
            for (size_t k = 0; k < 2; k++) {
                assert_int_equal(submit(f, f->samples[g][k], f->n_prompt[g], 3 + 'o'), ERR_OK);
            }
        }
        struct msg_incarnation actor = f->me;
        f->me = msg_incarnation_random();
        must_greet(f, MSG_ROLE_VERIFIER);
        struct msg m = {.type = MSG_LEASE_SCORE,
                        .lease_score = {.incarnation = f->me, .max_jobs = 1, .timeout_ms = 300}};
        f->sample_id = 0;
        assert_int_equal(ask(f, &m), ERR_OK);
        if (f->sample_id) {
            assert_string_equal(f->response, "ok");
            assert_true(f->ground_truth[0] == '"');
            const struct msg_component c = {msg_text_of("gsm8k"), msg_text_of("1"), 0, 1};
            struct msg v = {.type = MSG_SUBMIT_VERDICT,
                            .submit_verdict = {.incarnation = f->me,
                                               .sample_id = f->sample_id,
                                               .attempt = f->attempt,
                                               .outcome = MSG_OUTCOME_ZERO,
                                               .components = &c,
                                               .n_components = 1}};
            assert_int_equal(ask(f, &v), ERR_OK);
            assert_int_equal(f->reply.ack.status, MSG_ACK_OK);
            scored = true;
        }
        f->me = actor;
    }
    assert_true(scored);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(a_welcome_says_what_an_actor_needs),
        CLAIM(an_actor_of_other_numerics_is_refused),
        cmocka_unit_test_setup_teardown(strangers_get_neither_weights_nor_a_hearing,
                                        setup_with_token, teardown),
        CLAIM(a_heartbeat_of_nobody_is_asked_for_a_hello),
        CLAIM(a_lease_needs_a_hello_in_the_right_role),
        CLAIM(weights_come_in_checked_pieces),
        CLAIM(a_wait_for_a_version_ends_with_the_newest),
        CLAIM(leases_stop_at_the_bound_and_then_wait),
        CLAIM(a_sample_is_taken_once),
        CLAIM(scoring_work_carries_the_answer_and_the_truth),
        CLAIM(messages_that_are_no_requests_are_refused),
        CLAIM(the_status_pages_show_the_run),
        CLAIM(a_signal_ends_it_in_order_and_a_resume_knows_the_samples),
        CLAIM(it_ends_when_its_supervisor_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
