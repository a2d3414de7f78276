// workpool_test.c: a worker may crash, hang, lie or vanish; the pool answers every job once, and
// the next job never notices.
#include "tests/verifier/poolrig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

static void expect_unscored(struct poolrig *r, const char *what, const char *cause)
{
    struct workpool_stats before = workpool_stats(r->pool);
    struct poolrig_verdict v = poolrig_run(r, what);
    if (strcmp(v.cause, cause) != 0) {
        print_message("%s: %s \"%s\", expected \"%s\"\n", what, score_outcome_name(v.outcome),
                      v.cause, cause);
    }
    assert_int_equal(v.outcome, SCORE_UNSCORED);
    assert_string_equal(v.cause, cause);
    struct workpool_stats after = workpool_stats(r->pool);
    assert_int_equal(after.retries_total - before.retries_total, WORKPOOL_RETRIES);
    assert_int_equal(after.unscored_total - before.unscored_total, 1);
    assert_int_equal(poolrig_run(r, "fine").outcome, SCORE_SCORED);
}

static void a_worker_that_misbehaves_costs_only_its_job(void **state)
{
    (void)state;
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    poolrig_open(&r, &c);
    assert_int_equal(r.ready_err, ERR_OK);
    expect_unscored(&r, "crash", "crash SIGSEGV");
    expect_unscored(&r, "exit", "crash exit 7");
    expect_unscored(&r, "garbage", "malformed reply from the worker");
    expect_unscored(&r, "oversize", "oversized reply from the worker");
    expect_unscored(&r, "other_job", "unexpected reply from the worker");
    poolrig_close(&r);
}

static void a_hanging_job_is_killed_at_its_deadline(void **state)
{
    (void)state;
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    c.deadline_ms = 150;
    poolrig_open(&r, &c);
    struct poolrig_verdict v = poolrig_run(&r, "spin");
    assert_int_equal(v.outcome, SCORE_UNSCORED);
    assert_string_equal(v.cause, "timeout after 150 ms");
    assert_true(v.elapsed_us >= 3 * 149000);
    poolrig_close(&r);
}

static void a_lost_job_is_retried_on_a_fresh_worker(void **state)
{
    (void)state;
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    poolrig_open(&r, &c);
    assert_int_equal(poolrig_run(&r, "count").outcome, SCORE_SCORED);
    assert_int_equal(poolrig_run(&r, "crash_unless_fresh").outcome, SCORE_SCORED);
    struct workpool_stats s = workpool_stats(r.pool);
    assert_int_equal(s.retries_total, 1);
    assert_int_equal(s.restarts_total, 1);
    assert_int_equal(s.unscored_total, 0);
    poolrig_close(&r);
}

static void workers_are_replaced_after_their_share_of_jobs(void **state)
{
    (void)state;
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    c.recycle_jobs = 3;
    poolrig_open(&r, &c);
    for (int i = 0; i < 7; i++) {
        assert_int_equal((int)poolrig_run(&r, "count").reward, i % 3 + 1);
    }
    poolrig_close(&r);
}

static void a_full_queue_refuses(void **state)
{
    (void)state;
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    c.queue_max = 2;
    c.n_workers = 2;
    poolrig_open(&r, &c);
    struct poolrig_verdict v[8] = {{0}};
    struct score_request req = {.response = support_text("fine")};
    struct why why = {{0}};
    size_t n = 0;
    for (; n < 8 && workpool_stats(r.pool).queued < 2; n++) {
        poolrig_submit(&r, "fine", &v[n]);
    }
    assert_int_equal(workpool_submit(r.pool, &req, 0, NULL, NULL, &why), ERR_FULL);
    for (size_t i = 0; i < n; i++) {
        poolrig_wait(&r, &v[i]);
        assert_int_equal(v[i].outcome, SCORE_SCORED);
    }
    poolrig_close(&r);
}

static void closing_answers_what_is_unfinished(void **state)
{
    (void)state;
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    poolrig_open(&r, &c);
    struct poolrig_verdict running, waiting;
    poolrig_submit(&r, "spin", &running);
    poolrig_submit(&r, "fine", &waiting);
    poolrig_close(&r);
    assert_true(running.done && waiting.done);
    assert_string_equal(running.cause, "stopped");
    assert_string_equal(waiting.cause, "stopped");
}

static void large_texts_pass(void **state)
{
    (void)state;
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    poolrig_open(&r, &c);
    char *text = malloc(SCORE_TEXT_MAX + 1u);
    memset(text, 'a', SCORE_TEXT_MAX);
    text[SCORE_TEXT_MAX] = 0;
    assert_int_equal(poolrig_run(&r, text).outcome, SCORE_SCORED);
    assert_int_equal(poolrig_run(&r, "fine").outcome, SCORE_SCORED);
    free(text);
    poolrig_close(&r);
}

static void write_script(char path[], const char *body)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, body, strlen(body)), (ssize_t)strlen(body));
    assert_int_equal(fchmod(fd, 0755), 0);
    close(fd);
}

static void open_with_script(struct poolrig *r, enum conf_sandbox sandbox, const char *body)
{
    char path[] = "/tmp/caravan-worker-XXXXXX";
    write_script(path, body);
    struct workpool_config c = poolrig_config(sandbox);
    c.worker_binary = path;
    poolrig_open(r, &c);
    unlink(path);
}

static void a_worker_that_does_not_confirm_its_level_is_refused(void **state)
{
    (void)state;
    struct poolrig r;
    // READY with level none, where full was asked for.
    open_with_script(
        &r, CONF_SANDBOX_FULL,
        "#!/bin/sh\nprintf '\\006\\000\\000\\000\\002\\000\\000\\000\\000\\000'\nread x\n");
    assert_int_equal(r.ready_err, ERR_UNSUPPORTED);
    assert_non_null(strstr(r.ready_text, "did not confirm"));
    struct score_request req = {.response = support_text("fine")};
    struct why why = {{0}};
    assert_int_equal(workpool_submit(r.pool, &req, 0, NULL, NULL, &why), ERR_CLOSED);
    assert_non_null(strstr(why.text, "did not confirm"));
    poolrig_close(&r);
}

static void a_worker_that_starts_with_nonsense_is_refused(void **state)
{
    (void)state;
    struct poolrig r;
    open_with_script(&r, CONF_SANDBOX_SECCOMP,
                     "#!/bin/sh\nprintf '\\002\\000\\000\\000hm'\nread x\n");
    assert_int_equal(r.ready_err, ERR_UNSUPPORTED);
    assert_non_null(strstr(r.ready_text, "malformed"));
    poolrig_close(&r);
}

static void auto_falls_back_to_seccomp_and_says_why(void **state)
{
    (void)state;
    struct poolrig r;
    open_with_script(&r, CONF_SANDBOX_AUTO,
                     "#!/bin/sh\n[ \"$2\" = full ] && exit 3\nexec " PROBE_WORKER " \"$@\"\n");
    assert_int_equal(r.ready_err, ERR_OK);
    assert_int_equal(r.level, SANDBOX_SECCOMP);
    assert_non_null(strstr(r.ready_text, "crash exit 3"));
    assert_int_equal(poolrig_run(&r, "fine").outcome, SCORE_SCORED);
    poolrig_close(&r);
}

static void auto_never_ends_without_a_sandbox(void **state)
{
    (void)state;
    struct poolrig r;
    open_with_script(&r, CONF_SANDBOX_AUTO,
                     "#!/bin/sh\n[ \"$2\" = none ] || exit 3\nexec " PROBE_WORKER " \"$@\"\n");
    assert_int_equal(r.ready_err, ERR_UNSUPPORTED);
    poolrig_close(&r);
}

static void a_missing_worker_is_named(void **state)
{
    (void)state;
    struct why why = {{0}};
    struct workpool *p;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    c.worker_binary = "/nowhere/worker";
    assert_int_equal(workpool_create(&loop, &c, NULL, NULL, &p, &why), ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "/nowhere/worker"));
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_worker_inherits_nothing(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY);    // not close-on-exec, on purpose
    assert_true(fd >= 0);
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_NONE);
    poolrig_open(&r, &c);
    assert_int_equal(r.level, SANDBOX_NONE);
    assert_int_equal(poolrig_run(&r, "inherited_descriptors").outcome, SCORE_SCORED);
    assert_int_equal(poolrig_run(&r, "inherited_surroundings").outcome, SCORE_SCORED);
    poolrig_close(&r);
    close(fd);
}

// The worker is the only process that meets model output: what it can call should be in its own few
// libraries.
static void the_worker_links_neither_nng_nor_libuv(void **state)
{
    (void)state;
    FILE *f = fopen(VERIFY_WORKER, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t len = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(len);
    assert_int_equal(fread(bytes, 1, len, f), len);
    fclose(f);
    assert_non_null(memmem(bytes, len, "libseccomp.so", 13));
    assert_null(memmem(bytes, len, "libuv.so", 8));
    assert_null(memmem(bytes, len, "libnng.so", 9));
    assert_null(memmem(bytes, len, "libyaml", 7));
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_misbehaves_costs_only_its_job),
        cmocka_unit_test(a_hanging_job_is_killed_at_its_deadline),
        cmocka_unit_test(a_lost_job_is_retried_on_a_fresh_worker),
        cmocka_unit_test(workers_are_replaced_after_their_share_of_jobs),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(closing_answers_what_is_unfinished),
        cmocka_unit_test(large_texts_pass),
        cmocka_unit_test(a_worker_that_does_not_confirm_its_level_is_refused),
        cmocka_unit_test(a_worker_that_starts_with_nonsense_is_refused),
        cmocka_unit_test(auto_falls_back_to_seccomp_and_says_why),
        cmocka_unit_test(auto_never_ends_without_a_sandbox),
        cmocka_unit_test(a_missing_worker_is_named),
        cmocka_unit_test(a_worker_inherits_nothing),
        cmocka_unit_test(the_worker_links_neither_nng_nor_libuv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
