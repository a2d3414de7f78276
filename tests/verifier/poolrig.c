// poolrig.c: see poolrig.h. All waiting is for events of the loop; a watchdog ends a test that
// waits in vain.
#include "tests/verifier/poolrig.h"

#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#define WATCHDOG_S 90

static void on_ready(void *arg, enum err e, enum sandbox_level level, const char *text)
{
    struct poolrig *r = arg;
    assert_false(r->ready);
    r->ready = true;
    r->ready_err = e;
    r->level = level;
    snprintf(r->ready_text, sizeof r->ready_text, "%s", text);
}

struct workpool_config poolrig_config(enum conf_sandbox sandbox)
{
    return (struct workpool_config){.worker_binary = PROBE_WORKER,
                                    .n_workers = 1,
                                    .sandbox = sandbox,
                                    .deadline_ms = 60000,
                                    .recycle_jobs = 1000};
}

void poolrig_open(struct poolrig *r, const struct workpool_config *c)
{
    *r = (struct poolrig){0};
    struct why why = {{0}};
    alarm(WATCHDOG_S);
    r->loop = malloc(sizeof *r->loop);
    assert_int_equal(uv_loop_init(r->loop), 0);
    assert_int_equal(workpool_create(r->loop, c, on_ready, r, &r->pool, &why), ERR_OK);
    while (!r->ready) {
        uv_run(r->loop, UV_RUN_ONCE);
    }
}

static void on_done(void *arg, const struct score_result *result, uint32_t elapsed_us)
{
    struct poolrig_verdict *v = arg;
    assert_false(v->done);
    v->done = true;
    v->outcome = result->outcome;
    v->reward = result->reward;
    v->elapsed_us = elapsed_us;
    snprintf(v->cause, sizeof v->cause, "%s", result->cause);
}

void poolrig_submit(struct poolrig *r, const char *response, struct poolrig_verdict *v)
{
    *v = (struct poolrig_verdict){0};
    struct score_request req = {.response = support_text(response)};
    struct why why = {{0}};
    assert_int_equal(workpool_submit(r->pool, &req, 0, on_done, v, &why), ERR_OK);
}

void poolrig_wait(struct poolrig *r, const struct poolrig_verdict *v)
{
    while (!v->done) {
        uv_run(r->loop, UV_RUN_ONCE);
    }
}

struct poolrig_verdict poolrig_run(struct poolrig *r, const char *response)
{
    struct poolrig_verdict v;
    poolrig_submit(r, response, &v);
    poolrig_wait(r, &v);
    return v;
}

static void on_closed(void *arg)
{
    ((struct poolrig *)arg)->closed = true;
}

void poolrig_close(struct poolrig *r)
{
    workpool_close(r->pool, on_closed, r);
    uv_run(r->loop, UV_RUN_DEFAULT);
    assert_true(r->closed);
    workpool_destroy(r->pool);
    assert_int_equal(uv_loop_close(r->loop), 0);
    free(r->loop);
    alarm(0);
}
