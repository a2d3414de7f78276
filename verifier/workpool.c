// workpool.c: requests in, verdicts out, over one crew of workers and one crew for each plug-in.
//
// A request is a JOB for the workers. Most come back as a RESULT. Where checks of plug-ins are
// involved the worker answers with an ASK; its questions go as CALLs to the plug-ins' crews, all at
// once, and when the last has come back the same request goes out again with the answers. What a
// plug-in cannot or will not decide is an answer too: the worker makes the unscored verdict of it.
// Nothing but texts passes through here: the pool never looks into a row or a response.
#include "verifier/workpool.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "verifier/cgroup.h"

#define START_MS 20000
#define SWEEP_MS 100    // killed processes leave their groups a moment after they are reaped

struct request {
    struct workpool *pool;
    struct request *next;    // among those that are held
    workpool_done_fn *done;
    void *arg;
    uint32_t deadline_ms;
    uint64_t asked_ns;    // 0: not yet; else when the first run began
    struct buf frame;     // while plug-ins are asked
    struct question {
        struct request *request;
        char check[SCORE_ID_BYTES], version[SCORE_VERSION_BYTES];
        struct score_text kwargs, ground_truth;    // into texts
        json_t *answer;
    } * questions;
    size_t n_questions, n_open;
    char *texts;
};

struct workpool {
    uv_loop_t *loop;
    struct workpool_config c;
    char *binary, *cgroup;    // cgroup: NULL where there are none
    struct crew *crew;
    struct plugins *plugins;
    bool closing, told;
    enum sandbox_level level;
    char text[256];
    workpool_ready_fn *ready;
    void *ready_arg;
    void (*closed)(void *arg);
    void *closed_arg;
    int open;                // parts still to close
    struct request *held;    // ask, and wait for the first look at the plug-ins
    uint64_t jobs_total, unscored_total;
};

// ---- requests ----

static void request_fini(struct request *r)
{
    for (size_t i = 0; i < r->n_questions; i++) {
        json_decref(r->questions[i].answer);
    }
    free(r->questions);
    free(r->texts);
    buf_fini(&r->frame);
    free(r);
}

static void answer_request(struct request *r, const struct score_result *result, uint32_t us)
{
    struct workpool *p = r->pool;
    p->jobs_total++;
    p->unscored_total += result->outcome == SCORE_UNSCORED;
    if (r->asked_ns) {
        us = (uint32_t)MIN((clock_mono_ns() - r->asked_ns) / 1000, UINT32_MAX);
    }
    r->done(r->arg, result, us);
    request_fini(r);
}

static void fail_request(struct request *r, const char *cause)
{
    struct score_result result = {0};
    score_unscored(&result, cause);
    answer_request(r, &result, 0);
    score_result_fini(&result);
}

// ---- questions ----

static void on_reply(void *arg, struct buf *frame, struct jobframe_reply *reply, uint32_t us);

// The same request with the answers.
static void run_again(struct request *r)
{
    struct workpool *p = r->pool;
    uint64_t job;
    struct score_request req;
    json_t *answers = json_array();
    for (size_t i = 0; i < r->n_questions; i++) {
        (void)json_array_append(answers, r->questions[i].answer);
    }
    char *text = json_dumps(answers, JSON_COMPACT);
    json_decref(answers);
    struct buf frame;
    buf_init(&frame, JOBFRAME_JOB_MAX + JOBFRAME_HEAD_BYTES);
    enum err e = text ? ERR_OK : ERR_NOMEM;
    e = e ? e
          : jobframe_get_job(r->frame.data + JOBFRAME_HEAD_BYTES,
                             r->frame.len - JOBFRAME_HEAD_BYTES, &job, &req);
    if (!e) {
        req.answers = (struct score_text){text, strlen(text)};
        req.may_ask = false;
        e = jobframe_put_job(&frame, 0, &req);
    }
    e = e ? e : crew_submit(p->crew, &frame, r->deadline_ms, on_reply, r);
    free(text);
    buf_fini(&frame);
    if (e) {
        fail_request(r, e == ERR_CLOSED ? "stopped" : err_text(e));
    }
}

static void settle_question(struct question *q, json_t *answer)
{
    struct request *r = q->request;
    q->answer = answer;
    if (--r->n_open == 0) {
        run_again(r);
    }
}

static json_t *undecided(const struct question *q, const char *why)
{
    return json_pack("{s:s, s:s, s:s}", "id", q->check, "version", q->version, "undecided", why);
}

static void on_called(void *arg, struct buf *frame, struct jobframe_reply *reply, uint32_t us)
{
    struct question *q = arg;
    (void)frame;
    (void)us;
    const struct score_result *v = &reply->result;
    bool decided = reply->kind == JOBFRAME_RESULT && v->outcome != SCORE_UNSCORED;
    if (decided && (v->reward < 0 || v->reward > 1)) {
        settle_question(q, undecided(q, "the plug-in's value is not between 0 and 1"));
    } else if (decided) {
        settle_question(q, json_pack("{s:s, s:s, s:f}", "id", q->check, "version", q->version,
                                     "value", v->reward));
    } else {
        settle_question(
            q, undecided(q, reply->kind == JOBFRAME_RESULT ? v->cause : "the plug-in asks back"));
    }
}

static void put_question(struct question *q, const struct score_request *req)
{
    struct workpool *p = q->request->pool;
    const char *version = NULL;
    struct crew *crew = plugins_find(p->plugins, q->check, strlen(q->check), &version);
    if (!crew) {
        settle_question(q, json_pack("{s:s, s:b}", "id", q->check, "unknown", 1));
        return;
    }
    (void)snprintf(q->version, sizeof q->version, "%s", version);
    if (req->only_read) {
        settle_question(q, undecided(q, "only read"));
        return;
    }
    struct score_plugin_input in = {.response = req->response,
                                    .prompt = req->prompt,
                                    .ground_truth = q->ground_truth,
                                    .kwargs = q->kwargs,
                                    .stopped = req->finish != SCORE_FINISH_LENGTH};
    struct buf frame;
    buf_init(&frame, JOBFRAME_JOB_MAX + JOBFRAME_HEAD_BYTES);
    enum err e = jobframe_put_call(&frame, 0, (struct score_text){q->check, strlen(q->check)}, &in);
    e = e ? e : crew_submit(crew, &frame, q->request->deadline_ms, on_called, q);
    buf_fini(&frame);
    if (e) {
        settle_question(q, undecided(q, e == ERR_CLOSED ? "the plug-in is stopped" : err_text(e)));
    }
}

// n_open holds one more than the questions until all are put: no answer ends the request early.
static void put_questions(struct request *r)
{
    uint64_t job;
    struct score_request req;
    if (jobframe_get_job(r->frame.data + JOBFRAME_HEAD_BYTES, r->frame.len - JOBFRAME_HEAD_BYTES,
                         &job, &req)) {
        fail_request(r, "a request that cannot be read again");
        return;
    }
    r->n_open = r->n_questions + 1;
    for (size_t i = 0; i < r->n_questions; i++) {
        put_question(&r->questions[i], &req);
    }
    if (--r->n_open == 0) {
        run_again(r);
    }
}

// Copies the worker's questions: they point into the reply.
static bool take_questions(struct request *r, const struct jobframe_reply *reply)
{
    size_t bytes = 0;
    for (size_t i = 0; i < reply->n_calls; i++) {
        bytes += reply->calls[i].kwargs.len + reply->calls[i].ground_truth.len;
    }
    r->questions = calloc(reply->n_calls, sizeof *r->questions);
    r->texts = malloc(bytes + 1);
    if (!r->questions || !r->texts) {
        return false;
    }
    char *at = r->texts;
    for (size_t i = 0; i < reply->n_calls; i++) {
        const struct jobframe_call *c = &reply->calls[i];
        struct question *q = &r->questions[r->n_questions++];
        q->request = r;
        memcpy(q->check, c->check.data, c->check.len);
        q->kwargs = (struct score_text){memcpy(at, c->kwargs.data, c->kwargs.len), c->kwargs.len};
        at += c->kwargs.len;
        q->ground_truth = (struct score_text){memcpy(at, c->ground_truth.data, c->ground_truth.len),
                                              c->ground_truth.len};
        at += c->ground_truth.len;
    }
    return true;
}

static void on_asked(struct request *r, struct buf *frame, const struct jobframe_reply *reply,
                     uint32_t us)
{
    struct workpool *p = r->pool;
    if (p->closing || !p->plugins || r->n_questions > 0 || !take_questions(r, reply)) {
        fail_request(r, p->closing                      ? "stopped"
                        : !p->plugins || r->n_questions ? "the worker asks without leave"
                                                        : "out of memory");
        return;
    }
    r->asked_ns = clock_mono_ns() - (uint64_t)us * 1000;
    r->frame = *frame;
    *frame = (struct buf){0};
    if (!plugins_settled(p->plugins)) {
        r->next = p->held;
        p->held = r;
        return;
    }
    put_questions(r);
}

static void on_reply(void *arg, struct buf *frame, struct jobframe_reply *reply, uint32_t us)
{
    struct request *r = arg;
    if (reply->kind == JOBFRAME_ASK) {
        on_asked(r, frame, reply, us);
    } else {
        answer_request(r, &reply->result, us);
    }
}

// ---- life ----

static void tell(struct workpool *p, enum err e)
{
    if (p->ready && !p->told) {
        p->told = true;
        p->ready(p->ready_arg, e, p->level, p->text);
    }
}

static void on_plugins(void *arg)
{
    struct workpool *p = arg;
    if (!plugins_settled(p->plugins)) {
        return;    // in the first look: one of several
    }
    bool first = !p->told;
    while (p->held && !p->closing) {
        struct request *r = p->held;
        p->held = r->next;
        put_questions(r);
    }
    tell(p, ERR_OK);
    if (!first && p->c.checks_changed && !p->closing) {
        p->c.checks_changed(p->ready_arg);
    }
}

static void crew_config_of(const struct workpool *p, struct crew_config *out)
{
    *out = (struct crew_config){.binary = p->binary,
                                .n_workers = p->c.n_workers,
                                .deadline_ms = p->c.deadline_ms,
                                .recycle_jobs = p->c.recycle_jobs,
                                .memory_mb = p->c.memory_mb,
                                .start_ms = START_MS,
                                .sandbox = p->c.sandbox,
                                .cgroup = p->cgroup};
}

static void start_plugins(struct workpool *p)
{
    static const enum conf_sandbox settled[] = {[SANDBOX_NONE] = CONF_SANDBOX_NONE,
                                                [SANDBOX_SECCOMP] = CONF_SANDBOX_SECCOMP,
                                                [SANDBOX_FULL] = CONF_SANDBOX_FULL};
    struct plugins_config c = {.folder = p->c.plugins};
    struct why why = {{0}};
    crew_config_of(p, &c.crew);
    c.crew.sandbox = settled[p->level];
    enum err e = plugins_create(p->loop, &c, on_plugins, p, &p->plugins, &why);
    if (e) {
        (void)snprintf(p->text, sizeof p->text, "%.250s", why.text);
        tell(p, e);
    }
}

static void on_ready(void *arg, enum err e, enum sandbox_level level, const char *text,
                     const struct jobframe_check *checks, size_t n_checks)
{
    struct workpool *p = arg;
    (void)checks;
    (void)n_checks;
    p->level = level;
    (void)snprintf(p->text, sizeof p->text, "%s", text);
    if (e || !p->c.plugins || p->closing) {
        tell(p, e);
    } else {
        start_plugins(p);
    }
}

char *workpool_default_binary(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) {
        return NULL;
    }
    path[n] = 0;
    char *slash = strrchr(path, '/');
    return slash ? fs_path("%.*s/caravan-verify-worker", (int)(slash - path), path) : NULL;
}

static enum err check_config(const struct workpool_config *c, struct why *why)
{
    if (c->n_workers < 1 || c->n_workers > 256) {
        return why_set(why, ERR_INVALID, "verifier workers: %u is not in 1..256",
                       (unsigned)c->n_workers);
    }
    if (c->deadline_ms < 1 || c->recycle_jobs < 1) {
        return why_set(why, ERR_INVALID,
                       "verifier deadline_ms %u, recycle_jobs %u: expected 1 or more",
                       (unsigned)c->deadline_ms, (unsigned)c->recycle_jobs);
    }
    struct stat st;
    if (c->plugins && c->plugins[0] && (stat(c->plugins, &st) != 0 || !S_ISDIR(st.st_mode))) {
        return why_set(why, ERR_NOT_FOUND, "plug-ins: %s: no such folder", c->plugins);
    }
    if (c->worker_binary && access(c->worker_binary, X_OK) != 0) {
        return why_set(why, ERR_NOT_FOUND, "%s: not an executable worker", c->worker_binary);
    }
    return ERR_OK;
}

static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &now, NULL);
    }
}

enum err workpool_create(uv_loop_t *loop, const struct workpool_config *c, workpool_ready_fn *ready,
                         void *arg, struct workpool **out, struct why *why)
{
    enum err e = check_config(c, why);
    if (e) {
        return e;
    }
    struct workpool *p = calloc(1, sizeof *p);
    if (p) {
        p->binary = c->worker_binary ? realpath(c->worker_binary, NULL) : workpool_default_binary();
    }
    if (!p || !p->binary) {
        workpool_destroy(p);
        return why_set(why, ERR_NOMEM, "verifier workers: out of memory, or no path to the worker");
    }
    p->loop = loop;
    p->c = *c;
    p->c.queue_max = c->queue_max ? c->queue_max : 4 * c->n_workers;
    p->c.memory_mb = c->memory_mb ? c->memory_mb : 1024;
    p->c.plugins = c->plugins && c->plugins[0] ? c->plugins : NULL;
    p->ready = ready;
    p->ready_arg = arg;
    p->cgroup = cgroup_base();
    cgroup_sweep(p->cgroup, CREW_GROUP_PREFIX, 0);    // of a predecessor that was killed
    ignore_sigpipe();
    struct crew_config crew;
    crew_config_of(p, &crew);
    e = crew_create(loop, &crew, on_ready, p, &p->crew);
    if (e) {
        workpool_destroy(p);
        return why_set(why, e, "verifier workers: %s", err_text(e));
    }
    *out = p;
    return ERR_OK;
}

enum err workpool_submit(struct workpool *p, const struct score_request *req, uint32_t deadline_ms,
                         workpool_done_fn *done, void *arg, struct why *why)
{
    uint32_t queued = crew_stats(p->crew).queued;
    if (queued >= p->c.queue_max) {
        return why_set(why, ERR_FULL, "verifier workers: %u jobs are waiting already",
                       (unsigned)queued);
    }
    struct score_request own = *req;
    own.may_ask = p->c.plugins != NULL;
    own.answers = (struct score_text){"", 0};
    struct request *r = calloc(1, sizeof *r);
    struct buf frame;
    buf_init(&frame, JOBFRAME_JOB_MAX + JOBFRAME_HEAD_BYTES);
    enum err e = r ? jobframe_put_job(&frame, 0, &own) : ERR_NOMEM;
    if (!e) {
        *r = (struct request){.pool = p, .done = done, .arg = arg, .deadline_ms = deadline_ms};
        e = p->closing ? ERR_CLOSED : crew_submit(p->crew, &frame, deadline_ms, on_reply, r);
    }
    buf_fini(&frame);
    if (e) {
        free(r);
        return e == ERR_CLOSED ? why_set(why, e, "verifier workers: %s",
                                         p->closing ? "closing" : crew_cause(p->crew))
               : e == ERR_LIMIT
                   ? why_set(why, e, "verifier job: a text over %u bytes", SCORE_TEXT_MAX)
                   : why_set(why, e, "verifier job: %s", err_text(e));
    }
    return ERR_OK;
}

struct workpool_stats workpool_stats(const struct workpool *p)
{
    struct crew_stats c = crew_stats(p->crew);
    return (struct workpool_stats){.workers = c.workers,
                                   .busy = c.busy,
                                   .queued = c.queued,
                                   .jobs_total = p->jobs_total,
                                   .unscored_total = p->unscored_total,
                                   .retries_total = c.retries_total,
                                   .restarts_total = c.restarts_total};
}

const struct plugins *workpool_plugins(const struct workpool *p)
{
    return p->plugins;
}

static void on_part_closed(void *arg)
{
    struct workpool *p = arg;
    if (--p->open == 0) {
        p->closed(p->closed_arg);
    }
}

void workpool_close(struct workpool *p, void (*closed)(void *arg), void *arg)
{
    p->closing = true;
    p->closed = closed;
    p->closed_arg = arg;
    p->open = p->plugins ? 2 : 1;
    while (p->held) {
        struct request *r = p->held;
        p->held = r->next;
        fail_request(r, "stopped");
    }
    // The workers first: a plug-in's answer then finds nobody to go to, and its request is unscored.
    crew_close(p->crew, on_part_closed, p);
    if (p->plugins) {
        plugins_close(p->plugins, on_part_closed, p);
    }
}

void workpool_destroy(struct workpool *p)
{
    if (p) {
        crew_destroy(p->crew);
        plugins_destroy(p->plugins);
        cgroup_sweep(p->cgroup, CREW_GROUP_PREFIX, SWEEP_MS);
        free(p->binary);
        free(p->cgroup);
        free(p);
    }
}
