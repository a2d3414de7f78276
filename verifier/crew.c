// crew.c: which job runs where, and what happens when a worker is lost.
//
// Jobs wait in one queue and move to a worker's window as late as its window allows. What lost its
// worker stays with the member (`suspects`) and runs on the process that replaces it. The frame is
// the job's own memory until it is answered, so a retry writes the same bytes again.
//
// The sandbox level is settled by the first worker: `auto` tries full, and if that worker cannot
// close its walls (no user namespaces, say) a new process tries seccomp. Nothing below seccomp is
// ever tried. All other workers must confirm the settled level. Later start failures (memory
// pressure, a replaced binary) are retried with a growing pause; after START_TRIES in a row waiting
// jobs are answered as unscored, so that nobody waits for ever and nothing is scored outside the
// walls.
#include "verifier/crew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "verifier/cgroup.h"
#include "verifier/workslot.h"

#define START_TRIES 5
#define START_PAUSE_MS 200
// Processor seconds a worker may use beyond what its jobs' deadlines allow.
#define CPU_GRACE_S 60

// Of a worker's control group: processes, and memory beside what it may map.
#define GROUP_PIDS 8
#define GROUP_PROGRAM_PIDS 80
#define GROUP_SPARE_BYTES (96u << 20)

#define WINDOW_NS 1000000    // of work ahead
#define WINDOW_MAX 64        // jobs
#define WINDOW_BYTES (256u << 10)

struct job {
    struct job *next;
    uint64_t id;
    struct buf frame;
    uint32_t deadline_ms;
    uint64_t started_ns;    // 0: not yet
    unsigned losses;        // workers it has cost
    crew_done_fn *done;
    void *arg;
};

struct queue {
    struct job *first, **last;
    uint32_t n;
    size_t bytes;
};

struct member {
    struct workslot slot;
    struct crew *crew;
    struct queue window;      // written to the worker, oldest first
    struct queue suspects;    // lost a worker together; each runs alone
    uint32_t sent;            // jobs of the present process
    double job_ns;            // what one takes, smoothed
    uint64_t since_ns;        // the last reply, or the first job after a pause
    uint32_t answered;        // in this batch
    char group[48];           // its control group; "": none
    uv_timer_t pause;         // before the next start after a failed one
};

struct crew {
    uv_loop_t *loop;
    struct crew_config c;
    struct member *members;
    uint32_t n_members;    // one more than n_workers
    struct queue waiting;
    enum sandbox_level level;
    bool settled, broken, retiring, closing;
    uint32_t start_failures;    // in a row
    char fallback[SCORE_CAUSE_BYTES + 64];
    char start_cause[SCORE_CAUSE_BYTES];
    crew_ready_fn *ready;
    void *ready_arg;
    void (*closed)(void *arg);
    void *closed_arg;
    uv_prepare_t flush;    // active while something may be gathered
    uint32_t open;         // handles not yet closed
    uint64_t next_job;
    struct crew_stats stats;
};

// ---- jobs ----

static void queue_init(struct queue *q)
{
    *q = (struct queue){0};
    q->last = &q->first;
}

static void queue_push(struct queue *q, struct job *j)
{
    j->next = NULL;
    *q->last = j;
    q->last = &j->next;
    q->n++;
    q->bytes += j->frame.len;
}

static struct job *queue_pop(struct queue *q)
{
    struct job *j = q->first;
    if (j) {
        q->first = j->next;
        q->last = q->first ? q->last : &q->first;
        q->n--;
        q->bytes -= j->frame.len;
    }
    return j;
}

// Puts all of `front` before what is in q.
static void queue_prepend(struct queue *q, struct queue *front)
{
    if (front->n == 0) {
        return;
    }
    *front->last = q->first;
    q->last = q->first ? q->last : front->last;
    q->first = front->first;
    q->n += front->n;
    q->bytes += front->bytes;
    queue_init(front);
}

static void finish_job(struct crew *c, struct job *j, struct jobframe_reply *reply)
{
    uint64_t us = j->started_ns ? (clock_mono_ns() - j->started_ns) / 1000 : 0;
    c->stats.jobs_total++;
    c->stats.unscored_total +=
        reply->kind == JOBFRAME_RESULT && reply->result.outcome == SCORE_UNSCORED;
    j->done(j->arg, &j->frame, reply, (uint32_t)MIN(us, UINT32_MAX));
    buf_fini(&j->frame);
    free(j);
}

static void fail_job(struct crew *c, struct job *j, const char *cause)
{
    struct jobframe_reply reply = {.kind = JOBFRAME_RESULT, .job = j->id};
    score_unscored(&reply.result, cause);
    finish_job(c, j, &reply);
    jobframe_reply_fini(&reply);
}

// ---- windows ----

static uint32_t window_of(const struct member *m)
{
    double n = m->job_ns > 0 ? WINDOW_NS / m->job_ns : 1;
    return n >= WINDOW_MAX ? WINDOW_MAX : n < 1 ? 1 : (uint32_t)n;
}

static bool may_take(const struct member *m)
{
    return m->slot.state == WORKSLOT_UP && m->suspects.n == 0 &&
           m->sent < m->crew->c.recycle_jobs && m->window.n < window_of(m) &&
           (m->window.n == 0 || m->window.bytes < WINDOW_BYTES);
}

static void on_flush(uv_prepare_t *h)
{
    struct crew *c = h->data;
    uv_prepare_stop(h);
    for (uint32_t i = 0; i < c->n_members; i++) {
        workslot_flush(&c->members[i].slot);
    }
}

static void send_job(struct member *m, struct job *j)
{
    uint64_t now = clock_mono_ns();
    j->started_ns = j->started_ns ? j->started_ns : now;
    if (workslot_put(&m->slot, &j->frame)) {
        fail_job(m->crew, j, "out of memory");
        return;
    }
    m->sent++;
    queue_push(&m->window, j);
    if (m->window.n == 1) {
        m->since_ns = now;
        workslot_deadline(&m->slot, j->deadline_ms);
    }
    (void)uv_prepare_start(&m->crew->flush, on_flush);
}

// Of two that may take a job: the one with less to do, and of two idle ones the one that is nearer
// to its replacement, so that they do not all come to it together.
static bool is_better(const struct member *a, const struct member *b)
{
    return a->window.n != b->window.n ? a->window.n < b->window.n : a->sent > b->sent;
}

static uint32_t count_busy(const struct crew *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_members; i++) {
        n += c->members[i].window.n > 0;
    }
    return n;
}

// Who gets the next job; one member more than may work at a time stands ready for one that is being
// replaced.
static struct member *least_busy(struct crew *c)
{
    struct member *best = NULL;
    bool all_work = count_busy(c) >= c->c.n_workers;
    for (uint32_t i = 0; i < c->n_members; i++) {
        struct member *m = &c->members[i];
        if (may_take(m) && !(all_work && m->window.n == 0) && (!best || is_better(m, best))) {
            best = m;
        }
    }
    return best;
}

static void dispatch(struct crew *c)
{
    for (uint32_t i = 0; i < c->n_members && !c->closing; i++) {
        struct member *m = &c->members[i];
        if (m->slot.state == WORKSLOT_UP && m->window.n == 0 && m->suspects.n > 0) {
            send_job(m, queue_pop(&m->suspects));
        }
    }
    struct member *m;
    while (c->waiting.first && !c->closing && (m = least_busy(c)) != NULL) {
        send_job(m, queue_pop(&c->waiting));
    }
}

static void close_if_done(struct crew *c)
{
    uint32_t held = c->waiting.n;
    for (uint32_t i = 0; i < c->n_members; i++) {
        held += c->members[i].window.n + c->members[i].suspects.n;
    }
    if (c->retiring && held == 0 && !c->closing) {
        crew_close(c, c->closed, c->closed_arg);
    }
}

// ---- workers ----

// A worker without its group still has the sandbox's own limits: a group that cannot be made is
// no reason to score nothing.
static int open_group(struct member *m)
{
    static uint64_t made;
    const struct crew_config *c = &m->crew->c;
    bool program = c->host && strcmp(c->host, "program") == 0;
    int fd = -1;
    m->group[0] = 0;
    if (c->cgroup) {
        (void)snprintf(m->group, sizeof m->group, CREW_GROUP_PREFIX "%d-%llu", (int)getpid(),
                       (unsigned long long)++made);
        if (cgroup_make(c->cgroup, m->group, ((uint64_t)c->memory_mb << 20) + GROUP_SPARE_BYTES,
                        program ? GROUP_PROGRAM_PIDS : GROUP_PIDS, &fd, NULL)) {
            cgroup_remove(c->cgroup, m->group);
            m->group[0] = 0;
        }
    }
    return fd;
}

static void close_group(struct member *m)
{
    if (m->group[0]) {
        cgroup_remove(m->crew->c.cgroup, m->group);
        m->group[0] = 0;
    }
}

static void launch(struct member *m)
{
    struct crew *c = m->crew;
    int group = open_group(m);
    uint64_t cpu_s = (uint64_t)c->c.deadline_ms * c->c.recycle_jobs / 1000 + CPU_GRACE_S;
    struct workslot_launch l = {
        .binary = c->c.binary,
        .level = c->level,
        .memory_mb = c->c.memory_mb,
        .cpu_s = (uint32_t)MIN(cpu_s, 1u << 30),
        .start_ms = c->c.start_ms,
        .host = c->c.host,
        .host_fd = c->c.host_fd,
        .group_fd = group,
    };
    m->sent = 0;
    workslot_start(&m->slot, &l);
    if (group >= 0) {
        close(group);
    }
}

static void on_pause_over(uv_timer_t *t)
{
    launch(t->data);
}

static void fail_waiting(struct crew *c, const char *cause)
{
    char text[SCORE_CAUSE_BYTES];
    (void)snprintf(text, sizeof text, "no worker: %.100s", cause);
    // Only what waits now: a callback may submit again.
    for (uint32_t n = c->waiting.n; n > 0 && c->waiting.first; n--) {
        fail_job(c, queue_pop(&c->waiting), text);
    }
    for (uint32_t i = 0; i < c->n_members; i++) {
        struct member *m = &c->members[i];
        for (uint32_t n = m->suspects.n; n > 0 && m->slot.state != WORKSLOT_UP; n--) {
            fail_job(c, queue_pop(&m->suspects), text);
        }
    }
    close_if_done(c);
}

static void on_ready(void *owner, struct workslot *s, const struct jobframe_reply *ready)
{
    (void)s;
    struct member *m = owner;
    struct crew *c = m->crew;
    c->start_failures = 0;
    if (!c->settled) {
        c->settled = true;
        for (uint32_t i = 1; i < c->n_members; i++) {
            launch(&c->members[i]);
        }
        if (c->ready) {
            c->ready(c->ready_arg, ERR_OK, c->level, c->fallback, ready->checks, ready->n_checks);
        }
    }
    dispatch(c);
}

static bool on_reply(void *owner, struct workslot *s, struct jobframe_reply *reply)
{
    struct member *m = owner;
    if (!m->window.first || m->window.first->id != reply->job) {
        return false;
    }
    struct job *j = queue_pop(&m->window);
    m->answered++;
    workslot_deadline(s, m->window.first ? m->window.first->deadline_ms : 0);
    finish_job(m->crew, j, reply);
    return true;
}

static void on_batch(void *owner, struct workslot *s)
{
    struct member *m = owner;
    struct crew *c = m->crew;
    if (m->answered > 0) {
        uint64_t now = clock_mono_ns();
        double each = (double)(now - m->since_ns) / m->answered;
        m->job_ns = m->job_ns > 0 ? 0.75 * m->job_ns + 0.25 * each : each;
        m->since_ns = now;
        m->answered = 0;
    }
    if (m->sent >= c->c.recycle_jobs && m->window.n == 0) {
        workslot_kill(s);
    }
    dispatch(c);
    close_if_done(c);
}

// The first worker failed to start: another level, or the end.
static void settle_level(struct member *m, const char *cause)
{
    struct crew *c = m->crew;
    if (c->c.sandbox == CONF_SANDBOX_AUTO && c->level == SANDBOX_FULL) {
        (void)snprintf(c->fallback, sizeof c->fallback, "full is not to be had: %.120s", cause);
        c->level = SANDBOX_SECCOMP;
        launch(m);
        return;
    }
    c->broken = true;
    if (c->ready) {
        c->ready(c->ready_arg, ERR_UNSUPPORTED, c->level, cause, NULL, 0);
    }
    fail_waiting(c, cause);
}

// A job that was alone with the worker is to blame; several are suspects.
static void lose_window(struct member *m, const char *cause)
{
    struct job *alone = m->window.n == 1 ? m->window.first : NULL;
    if (alone && ++alone->losses > CREW_RETRIES) {
        fail_job(m->crew, queue_pop(&m->window), cause);
    } else if (alone) {
        m->crew->stats.retries_total++;
    }
    queue_prepend(&m->suspects, &m->window);
}

static void check_closed(struct crew *c);

static void on_gone(void *owner, struct workslot *s, enum workslot_end end, const char *why)
{
    (void)s;
    struct member *m = owner;
    struct crew *c = m->crew;
    char cause[SCORE_CAUSE_BYTES];
    (void)snprintf(cause, sizeof cause, "%s", why);
    m->answered = 0;
    close_group(m);
    if (c->closing) {
        check_closed(c);
        return;
    }
    c->stats.restarts_total++;
    if (end != WORKSLOT_END_START) {
        lose_window(m, cause);
        close_if_done(c);
        if (!c->closing) {
            launch(m);
        }
        return;
    }
    (void)snprintf(c->start_cause, sizeof c->start_cause, "%s", cause);
    if (!c->settled) {
        settle_level(m, cause);
        return;
    }
    if (++c->start_failures >= START_TRIES) {
        fail_waiting(c, cause);
    }
    if (!c->closing) {
        uint64_t pause = (uint64_t)START_PAUSE_MS << MIN(c->start_failures, 5u);
        (void)uv_timer_start(&m->pause, on_pause_over, pause, 0);
    }
}

static const struct workslot_events EVENTS = {
    .ready = on_ready, .reply = on_reply, .batch = on_batch, .gone = on_gone};

// ---- life ----

static enum sandbox_level first_level(enum conf_sandbox want)
{
    return want == CONF_SANDBOX_NONE      ? SANDBOX_NONE
           : want == CONF_SANDBOX_SECCOMP ? SANDBOX_SECCOMP
                                          : SANDBOX_FULL;
}

enum err crew_create(uv_loop_t *loop, const struct crew_config *config, crew_ready_fn *ready,
                     void *arg, struct crew **out)
{
    struct crew *c = calloc(1, sizeof *c);
    if (c) {
        c->n_members = config->n_workers + 1;
        c->members = calloc(c->n_members, sizeof *c->members);
    }
    if (!c || !c->members) {
        free(c);
        return ERR_NOMEM;
    }
    c->loop = loop;
    c->c = *config;
    c->ready = ready;
    c->ready_arg = arg;
    c->level = first_level(config->sandbox);
    queue_init(&c->waiting);
    (void)uv_prepare_init(loop, &c->flush);
    uv_unref((uv_handle_t *)&c->flush);
    c->flush.data = c;
    c->open = 1;
    for (uint32_t i = 0; i < c->n_members; i++) {
        struct member *m = &c->members[i];
        m->crew = c;
        queue_init(&m->window);
        queue_init(&m->suspects);
        workslot_init(&m->slot, loop, &EVENTS, m);
        (void)uv_timer_init(loop, &m->pause);
        m->pause.data = m;
        c->open += 2;
    }
    launch(&c->members[0]);
    *out = c;
    return ERR_OK;
}

enum err crew_submit(struct crew *c, struct buf *frame, uint32_t deadline_ms, crew_done_fn *done,
                     void *arg)
{
    if (c->closing || c->retiring || c->broken) {
        return ERR_CLOSED;
    }
    struct job *j = calloc(1, sizeof *j);
    if (!j) {
        return ERR_NOMEM;
    }
    *j = (struct job){.id = ++c->next_job,
                      .frame = *frame,
                      .deadline_ms = deadline_ms ? deadline_ms : c->c.deadline_ms,
                      .done = done,
                      .arg = arg};
    *frame = (struct buf){0};
    jobframe_renumber(&j->frame, j->id);
    queue_push(&c->waiting, j);
    dispatch(c);
    return ERR_OK;
}

struct crew_stats crew_stats(const struct crew *c)
{
    struct crew_stats s = c->stats;
    s.queued = c->waiting.n;
    for (uint32_t i = 0; i < c->n_members; i++) {
        const struct member *m = &c->members[i];
        s.workers += m->slot.state == WORKSLOT_UP;
    }
    s.workers = MIN(s.workers, c->c.n_workers);
    s.busy = count_busy(c);
    return s;
}

const char *crew_cause(const struct crew *c)
{
    return c->start_cause;
}

static void on_handle_closed(struct crew *c)
{
    if (--c->open == 0) {
        c->closed(c->closed_arg);
    }
}

static void on_timer_closed(uv_handle_t *h)
{
    on_handle_closed(((struct member *)((struct workslot *)h->data)->owner)->crew);
}

static void on_pause_closed(uv_handle_t *h)
{
    on_handle_closed(((struct member *)h->data)->crew);
}

static void on_flush_closed(uv_handle_t *h)
{
    on_handle_closed(h->data);
}

static void fail_all(struct crew *c, struct queue *q)
{
    while (q->first) {
        fail_job(c, queue_pop(q), "stopped");
    }
}

// All processes gone: the jobs they held, then the handles.
static void check_closed(struct crew *c)
{
    for (uint32_t i = 0; i < c->n_members; i++) {
        if (c->members[i].slot.state != WORKSLOT_EMPTY) {
            return;
        }
    }
    uv_close((uv_handle_t *)&c->flush, on_flush_closed);
    for (uint32_t i = 0; i < c->n_members; i++) {
        struct member *m = &c->members[i];
        fail_all(c, &m->window);
        fail_all(c, &m->suspects);
        workslot_close(&m->slot, on_timer_closed);
        uv_close((uv_handle_t *)&m->pause, on_pause_closed);
    }
}

void crew_close(struct crew *c, void (*closed)(void *arg), void *arg)
{
    c->closed = closed;
    c->closed_arg = arg;
    if (c->closing) {
        return;
    }
    c->closing = true;
    fail_all(c, &c->waiting);
    for (uint32_t i = 0; i < c->n_members; i++) {
        uv_timer_stop(&c->members[i].pause);
        workslot_kill(&c->members[i].slot);
    }
    check_closed(c);
}

void crew_retire(struct crew *c, void (*closed)(void *arg), void *arg)
{
    c->retiring = true;
    c->closed = closed;
    c->closed_arg = arg;
    close_if_done(c);
}

void crew_destroy(struct crew *c)
{
    if (!c) {
        return;
    }
    if (c->c.host) {
        close(c->c.host_fd);
    }
    free(c->members);
    free(c);
}
