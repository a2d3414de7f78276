// workpool.c: which job runs where, and what happens when a worker is lost.
//
// Jobs wait in one queue. A job that lost its worker stays with the slot and runs on the process
// that replaces it: a fresh one by construction. The frame written to a worker is the job's own
// memory, so a retry writes the same bytes again.
//
// The sandbox level is settled by the first worker: `auto` tries full, and if that worker cannot
// close its walls (no user namespaces, say) a new process tries seccomp. Nothing below seccomp is
// ever tried. All other workers must confirm the settled level. Later start failures (memory
// pressure, a replaced binary) are retried with a growing pause; after START_TRIES in a row waiting
// jobs are answered as unscored, so that nobody waits for ever and nothing is scored outside the
// walls.
#include "verifier/workpool.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "verifier/workslot.h"

#define START_MS 20000
#define START_TRIES 5
#define START_PAUSE_MS 200
// Processor seconds a worker may use beyond what its jobs' deadlines allow.
#define SIGKILL_GRACE_S 60

struct job {
    struct job *next;
    uint64_t id;
    struct buf frame;
    uint32_t deadline_ms;
    uint64_t started_ns;    // 0: not yet
    unsigned losses;        // workers it has cost
    workpool_done_fn *done;
    void *arg;
};

struct queue {
    struct job *first, **last;
    uint32_t n;
};

struct member {
    struct workslot slot;
    struct workpool *pool;
    struct job *job;       // running, or waiting for this slot's next process
    uint32_t jobs_done;    // by the present process
    uv_timer_t pause;      // before the next start after a failed one
};

struct workpool {
    uv_loop_t *loop;
    struct workpool_config c;
    char *binary;
    struct member *members;
    struct queue waiting;
    enum sandbox_level level;
    bool settled, broken, closing;
    uint32_t start_failures;    // in a row
    char fallback[SCORE_CAUSE_BYTES + 64];
    char start_cause[SCORE_CAUSE_BYTES];
    workpool_ready_fn *ready;
    void *ready_arg;
    void (*closed)(void *arg);
    void *closed_arg;
    uint32_t open;    // timers not yet closed
    uint64_t next_job;
    struct workpool_stats stats;
};

// ---- jobs ----

static void queue_push(struct queue *q, struct job *j)
{
    j->next = NULL;
    *q->last = j;
    q->last = &j->next;
    q->n++;
}

static struct job *queue_pop(struct queue *q)
{
    struct job *j = q->first;
    if (j) {
        q->first = j->next;
        q->last = q->first ? q->last : &q->first;
        q->n--;
    }
    return j;
}

static void finish_job(struct workpool *p, struct job *j, const struct score_result *result)
{
    uint64_t us = j->started_ns ? (clock_mono_ns() - j->started_ns) / 1000 : 0;
    p->stats.jobs_total++;
    p->stats.unscored_total += result->outcome == SCORE_UNSCORED;
    j->done(j->arg, result, (uint32_t)MIN(us, UINT32_MAX));
    buf_fini(&j->frame);
    free(j);
}

static void fail_job(struct workpool *p, struct job *j, const char *cause)
{
    struct score_result result = {0};
    score_unscored(&result, cause);
    finish_job(p, j, &result);
    score_result_fini(&result);
}

static void start_job(struct member *m, struct job *j)
{
    m->job = j;
    j->started_ns = j->started_ns ? j->started_ns : clock_mono_ns();
    workslot_run(&m->slot, j->id, &j->frame, j->deadline_ms);
}

static void dispatch(struct workpool *p)
{
    for (uint32_t i = 0; i < p->c.n_workers && p->waiting.first && !p->closing; i++) {
        if (p->members[i].slot.state == WORKSLOT_IDLE) {
            start_job(&p->members[i], queue_pop(&p->waiting));
        }
    }
}

// ---- workers ----

static void launch(struct member *m)
{
    struct workpool *p = m->pool;
    uint64_t cpu_s = (uint64_t)p->c.deadline_ms * p->c.recycle_jobs / 1000 + SIGKILL_GRACE_S;
    struct workslot_launch l = {
        .binary = p->binary,
        .level = p->level,
        .memory_mb = p->c.memory_mb,
        .cpu_s = (uint32_t)MIN(cpu_s, 1u << 30),
        .start_ms = START_MS,
    };
    m->jobs_done = 0;
    workslot_start(&m->slot, &l);
}

static void on_pause_over(uv_timer_t *t)
{
    launch(t->data);
}

static void fail_waiting(struct workpool *p, const char *cause)
{
    char text[SCORE_CAUSE_BYTES];
    (void)snprintf(text, sizeof text, "no worker: %.100s", cause);
    // Only what waits now: a callback may submit again.
    for (uint32_t n = p->waiting.n; n > 0 && p->waiting.first; n--) {
        fail_job(p, queue_pop(&p->waiting), text);
    }
    for (uint32_t i = 0; i < p->c.n_workers; i++) {
        struct member *m = &p->members[i];
        if (m->job && m->slot.state != WORKSLOT_BUSY) {
            struct job *j = m->job;
            m->job = NULL;
            fail_job(p, j, text);
        }
    }
}

static void on_ready(void *owner, struct workslot *s)
{
    (void)s;
    struct member *m = owner;
    struct workpool *p = m->pool;
    p->start_failures = 0;
    if (!p->settled) {
        p->settled = true;
        for (uint32_t i = 1; i < p->c.n_workers; i++) {
            launch(&p->members[i]);
        }
        if (p->ready) {
            p->ready(p->ready_arg, ERR_OK, p->level, p->fallback);
        }
    }
    if (m->job && !p->closing) {
        start_job(m, m->job);
    } else {
        dispatch(p);
    }
}

static void on_result(void *owner, struct workslot *s, struct score_result *result)
{
    struct member *m = owner;
    struct workpool *p = m->pool;
    struct job *j = m->job;
    m->job = NULL;
    if (++m->jobs_done >= p->c.recycle_jobs) {
        workslot_kill(s);
    }
    finish_job(p, j, result);
    dispatch(p);
}

// The first worker failed to start: another level, or the end.
static void settle_level(struct member *m, const char *cause)
{
    struct workpool *p = m->pool;
    if (p->c.sandbox == CONF_SANDBOX_AUTO && p->level == SANDBOX_FULL) {
        (void)snprintf(p->fallback, sizeof p->fallback, "full is not to be had: %.120s", cause);
        p->level = SANDBOX_SECCOMP;
        launch(m);
        return;
    }
    p->broken = true;
    if (p->ready) {
        p->ready(p->ready_arg, ERR_UNSUPPORTED, p->level, cause);
    }
    fail_waiting(p, cause);
}

static void lose_job(struct member *m, const char *cause)
{
    struct job *j = m->job;
    if (j && ++j->losses > WORKPOOL_RETRIES) {
        m->job = NULL;
        fail_job(m->pool, j, cause);
    } else if (j) {
        m->pool->stats.retries_total++;
    }
}

static void check_closed(struct workpool *p);

static void on_gone(void *owner, struct workslot *s, enum workslot_end end, const char *why)
{
    (void)s;
    struct member *m = owner;
    struct workpool *p = m->pool;
    char cause[SCORE_CAUSE_BYTES];
    (void)snprintf(cause, sizeof cause, "%s", why);
    if (p->closing) {
        check_closed(p);
        return;
    }
    p->stats.restarts_total++;
    if (end != WORKSLOT_END_START) {
        lose_job(m, cause);
        if (!p->closing) {
            launch(m);
        }
        return;
    }
    (void)snprintf(p->start_cause, sizeof p->start_cause, "%s", cause);
    if (!p->settled) {
        settle_level(m, cause);
        return;
    }
    if (++p->start_failures >= START_TRIES) {
        fail_waiting(p, cause);
    }
    if (!p->closing) {
        uint64_t pause = (uint64_t)START_PAUSE_MS << MIN(p->start_failures, 5u);
        (void)uv_timer_start(&m->pause, on_pause_over, pause, 0);
    }
}

static const struct workslot_events EVENTS = {
    .ready = on_ready, .result = on_result, .gone = on_gone};

// ---- life ----

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

static enum sandbox_level first_level(enum conf_sandbox want)
{
    return want == CONF_SANDBOX_NONE      ? SANDBOX_NONE
           : want == CONF_SANDBOX_SECCOMP ? SANDBOX_SECCOMP
                                          : SANDBOX_FULL;
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
        p->members = calloc(c->n_workers, sizeof *p->members);
        p->binary = c->worker_binary ? realpath(c->worker_binary, NULL) : workpool_default_binary();
    }
    if (!p || !p->members || !p->binary) {
        workpool_destroy(p);
        return why_set(why, ERR_NOMEM, "verifier workers: out of memory, or no path to the worker");
    }
    p->loop = loop;
    p->c = *c;
    p->c.queue_max = c->queue_max ? c->queue_max : 4 * c->n_workers;
    p->c.memory_mb = c->memory_mb ? c->memory_mb : 1024;
    p->ready = ready;
    p->ready_arg = arg;
    p->waiting.last = &p->waiting.first;
    p->level = first_level(c->sandbox);
    ignore_sigpipe();
    for (uint32_t i = 0; i < c->n_workers; i++) {
        struct member *m = &p->members[i];
        m->pool = p;
        workslot_init(&m->slot, loop, &EVENTS, m);
        (void)uv_timer_init(loop, &m->pause);
        m->pause.data = m;
        p->open += 2;
    }
    launch(&p->members[0]);
    *out = p;
    return ERR_OK;
}

enum err workpool_submit(struct workpool *p, const struct score_request *req, uint32_t deadline_ms,
                         workpool_done_fn *done, void *arg, struct why *why)
{
    if (p->closing || p->broken) {
        return why_set(why, ERR_CLOSED, "verifier workers: %s",
                       p->closing ? "closing" : p->start_cause);
    }
    if (p->waiting.n >= p->c.queue_max) {
        return why_set(why, ERR_FULL, "verifier workers: %u jobs are waiting already",
                       (unsigned)p->waiting.n);
    }
    struct job *j = calloc(1, sizeof *j);
    if (!j) {
        return ERR_NOMEM;
    }
    buf_init(&j->frame, JOBFRAME_JOB_MAX + JOBFRAME_HEAD_BYTES);
    j->id = ++p->next_job;
    j->deadline_ms = deadline_ms ? deadline_ms : p->c.deadline_ms;
    j->done = done;
    j->arg = arg;
    enum err e = jobframe_put_job(&j->frame, j->id, req);
    if (e) {
        buf_fini(&j->frame);
        free(j);
        return why_set(why, e, "verifier job: a text over %u bytes", SCORE_TEXT_MAX);
    }
    queue_push(&p->waiting, j);
    dispatch(p);
    return ERR_OK;
}

struct workpool_stats workpool_stats(const struct workpool *p)
{
    struct workpool_stats s = p->stats;
    s.queued = p->waiting.n;
    for (uint32_t i = 0; i < p->c.n_workers; i++) {
        enum workslot_state state = p->members[i].slot.state;
        s.workers += state == WORKSLOT_IDLE || state == WORKSLOT_BUSY;
        s.busy += state == WORKSLOT_BUSY;
    }
    return s;
}

static void on_timer_closed(uv_handle_t *h)
{
    struct workpool *p = ((struct member *)((struct workslot *)h->data)->owner)->pool;
    if (--p->open == 0) {
        p->closed(p->closed_arg);
    }
}

static void on_pause_closed(uv_handle_t *h)
{
    struct workpool *p = ((struct member *)h->data)->pool;
    if (--p->open == 0) {
        p->closed(p->closed_arg);
    }
}

// All processes gone: the jobs they held, then the timers.
static void check_closed(struct workpool *p)
{
    for (uint32_t i = 0; i < p->c.n_workers; i++) {
        if (p->members[i].slot.state != WORKSLOT_EMPTY) {
            return;
        }
    }
    for (uint32_t i = 0; i < p->c.n_workers; i++) {
        struct member *m = &p->members[i];
        if (m->job) {
            struct job *j = m->job;
            m->job = NULL;
            fail_job(p, j, "stopped");
        }
        workslot_close(&m->slot, on_timer_closed);
        uv_close((uv_handle_t *)&m->pause, on_pause_closed);
    }
}

void workpool_close(struct workpool *p, void (*closed)(void *arg), void *arg)
{
    p->closing = true;
    p->closed = closed;
    p->closed_arg = arg;
    while (p->waiting.first) {
        fail_job(p, queue_pop(&p->waiting), "stopped");
    }
    for (uint32_t i = 0; i < p->c.n_workers; i++) {
        uv_timer_stop(&p->members[i].pause);
        workslot_kill(&p->members[i].slot);
    }
    check_closed(p);
}

void workpool_destroy(struct workpool *p)
{
    if (p) {
        free(p->members);
        free(p->binary);
        free(p);
    }
}
