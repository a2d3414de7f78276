// workslot.c: a process, two pipes and one timer as a small state machine.
//
// A worker's end has two halves that come in any order: the exit status, and the end of its output
// (a last reply may still be in the pipe when the status is already known). Only when both are
// there is the cause settled. Then the handles are closed, and only when all are closed is `gone`
// called: until that moment libuv may still hold the frame being written.
//
// Nothing is inherited: the environment is empty, the folder is /, stderr is /dev/null, the session
// is its own (so Ctrl-C in a terminal reaches the daemon alone; a worker dies with its parent
// anyway). The child is spawned by uv_spawn, that is fork and exec at once.
#include "verifier/workslot.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define REAP_MS 5000    // from SIGKILL or end of input until the slot stops being patient

static void settle(struct workslot *s);

static const char *signal_name(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},   {SIGILL, "SIGILL"},
        {SIGABRT, "SIGABRT"}, {SIGSYS, "SIGSYS"},   {SIGKILL, "SIGKILL"}, {SIGXCPU, "SIGXCPU"},
        {SIGXFSZ, "SIGXFSZ"}, {SIGPIPE, "SIGPIPE"}, {SIGTERM, "SIGTERM"}, {SIGTRAP, "SIGTRAP"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].number == number) {
            return names[i].name;
        }
    }
    return "a signal";
}

static void set_end(struct workslot *s, enum workslot_end end, const char *cause)
{
    s->end = end;
    (void)snprintf(s->cause, sizeof s->cause, "%s", cause);
}

static void on_reap_late(uv_timer_t *t)
{
    struct workslot *s = t->data;
    (void)uv_process_kill(&s->process, SIGKILL);
    s->eof = s->eof || s->exited;    // whoever still holds the pipe, the worker is gone
    if (!s->exited) {
        (void)uv_timer_start(t, on_reap_late, REAP_MS, 0);
    }
    settle(s);
}

// From here on only exit, end of output and closed handles count.
static void end_worker(struct workslot *s, enum workslot_end end, const char *cause)
{
    s->state = WORKSLOT_ENDING;
    set_end(s, end, cause);
    if (!s->exited) {
        (void)uv_process_kill(&s->process, SIGKILL);
    }
    (void)uv_timer_start(&s->timer, on_reap_late, REAP_MS, 0);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct workslot *s = h->data;
    if (--s->open_handles > 0) {
        return;
    }
    s->state = WORKSLOT_EMPTY;
    s->events->gone(s->owner, s, s->end, s->cause);
}

static void close_handles(struct workslot *s)
{
    uv_timer_stop(&s->timer);
    s->open_handles = 3;
    uv_close((uv_handle_t *)&s->process, on_handle_closed);
    uv_close((uv_handle_t *)&s->to, on_handle_closed);
    uv_close((uv_handle_t *)&s->from, on_handle_closed);
}

// Closes the books once the exit status and the end of the output are both known.
static void settle(struct workslot *s)
{
    if (s->exited && s->eof && s->open_handles == 0) {
        s->state = WORKSLOT_ENDING;
        close_handles(s);
    }
}

static void on_exit(uv_process_t *p, int64_t status, int number)
{
    struct workslot *s = p->data;
    s->exited = true;
    if (s->state != WORKSLOT_ENDING) {
        char cause[SCORE_CAUSE_BYTES];
        if (number == SIGSYS) {
            (void)snprintf(cause, sizeof cause, "sandbox SIGSYS");
        } else if (number != 0) {
            (void)snprintf(cause, sizeof cause, "crash %s", signal_name(number));
        } else {
            (void)snprintf(cause, sizeof cause, "crash exit %d", (int)status);
        }
        // A worker that reported a failed step has already given its cause.
        if (s->cause[0] == 0) {
            set_end(s, s->state == WORKSLOT_STARTING ? WORKSLOT_END_START : WORKSLOT_END_EXIT,
                    cause);
        }
        (void)uv_timer_start(&s->timer, on_reap_late, REAP_MS, 0);
    }
    settle(s);
}

static void take_reply(struct workslot *s, struct jobframe_reply *r)
{
    if (s->state == WORKSLOT_STARTING && r->kind == JOBFRAME_READY &&
        r->level == (uint8_t)s->level) {
        uv_timer_stop(&s->timer);
        s->state = WORKSLOT_IDLE;
        s->events->ready(s->owner, s);
    } else if (s->state == WORKSLOT_STARTING && r->kind == JOBFRAME_FAILED) {
        set_end(s, WORKSLOT_END_START, r->text);    // its exit follows
    } else if (s->state == WORKSLOT_BUSY && r->kind == JOBFRAME_RESULT && r->job == s->job &&
               !s->writing) {
        uv_timer_stop(&s->timer);
        s->state = WORKSLOT_IDLE;
        s->events->result(s->owner, s, &r->result);
    } else if (s->state == WORKSLOT_STARTING) {
        end_worker(s, WORKSLOT_END_START, "the worker did not confirm its sandbox level");
    } else {
        end_worker(s, WORKSLOT_END_GARBAGE, "unexpected reply from the worker");
    }
    score_result_fini(&r->result);
}

static void take_input(struct workslot *s)
{
    size_t at = 0;
    while (s->state != WORKSLOT_ENDING && s->n_in - at >= JOBFRAME_HEAD_BYTES) {
        size_t len = jobframe_length(s->in + at);
        struct jobframe_reply reply = {0};
        if (len > JOBFRAME_REPLY_MAX) {
            end_worker(s, WORKSLOT_END_GARBAGE, "oversized reply from the worker");
            break;
        }
        if (s->n_in - at - JOBFRAME_HEAD_BYTES < len) {
            break;
        }
        if (jobframe_get_reply(s->in + at + JOBFRAME_HEAD_BYTES, len, &reply)) {
            end_worker(s, WORKSLOT_END_GARBAGE, "malformed reply from the worker");
            break;
        }
        at += JOBFRAME_HEAD_BYTES + len;
        take_reply(s, &reply);
    }
    s->n_in -= at;
    memmove(s->in, s->in + at, s->n_in);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct workslot *s = h->data;
    if (s->state == WORKSLOT_ENDING) {
        s->n_in = 0;    // read on to the end, keep nothing
    }
    *out = uv_buf_init((char *)s->in + s->n_in, (unsigned)(sizeof s->in - s->n_in));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct workslot *s = stream->data;
    if (n < 0) {
        s->eof = true;
        (void)uv_read_stop(stream);
        settle(s);
    } else if (s->state != WORKSLOT_ENDING) {
        s->n_in += (size_t)n;
        take_input(s);
    }
}

static void on_start_late(uv_timer_t *t)
{
    end_worker(t->data, WORKSLOT_END_START, "the worker took too long to start");
}

static void on_deadline(uv_timer_t *t)
{
    struct workslot *s = t->data;
    char cause[SCORE_CAUSE_BYTES];
    (void)snprintf(cause, sizeof cause, "timeout after %u ms", (unsigned)s->deadline_ms);
    end_worker(s, WORKSLOT_END_DEADLINE, cause);
}

static void on_written(uv_write_t *w, int status)
{
    (void)status;    // a failed write is followed by the worker's end
    ((struct workslot *)w->data)->writing = false;
}

void workslot_init(struct workslot *s, uv_loop_t *loop, const struct workslot_events *events,
                   void *owner)
{
    memset(s, 0, sizeof *s);
    s->events = events;
    s->owner = owner;
    (void)uv_timer_init(loop, &s->timer);
    s->timer.data = s;
}

static int spawn(struct workslot *s, uv_loop_t *loop, const struct workslot_launch *launch)
{
    char memory[24], cpu[24];
    (void)snprintf(memory, sizeof memory, "%u", (unsigned)launch->memory_mb);
    (void)snprintf(cpu, sizeof cpu, "%u", (unsigned)launch->cpu_s);
    const char *args[] = {launch->binary,
                          "--sandbox",
                          sandbox_level_name(launch->level),
                          "--memory-mb",
                          memory,
                          "--cpu-s",
                          cpu,
                          NULL};
    char *no_environment[] = {NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&s->to},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&s->from},
        {.flags = UV_IGNORE},
    };
    uv_process_options_t options = {
        .file = launch->binary,
        .args = (char **)args,
        .env = no_environment,
        .cwd = "/",
        .exit_cb = on_exit,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
    };
    return uv_spawn(loop, &s->process, &options);
}

void workslot_start(struct workslot *s, const struct workslot_launch *launch)
{
    CHECK(s->state == WORKSLOT_EMPTY);
    uv_loop_t *loop = s->timer.loop;
    s->state = WORKSLOT_STARTING;
    s->level = launch->level;
    s->end = WORKSLOT_END_EXIT;
    s->cause[0] = 0;
    s->writing = s->exited = s->eof = false;
    s->n_in = 0;
    (void)uv_pipe_init(loop, &s->to, 0);
    (void)uv_pipe_init(loop, &s->from, 0);
    s->to.data = s->from.data = s->process.data = s->write.data = s;
    int rc = spawn(s, loop, launch);
    s->process.data = s;
    if (rc == 0) {
        (void)uv_timer_start(&s->timer, on_start_late, launch->start_ms, 0);
        rc = uv_read_start((uv_stream_t *)&s->from, on_alloc, on_read);
        s->eof = rc != 0;
    } else {
        s->exited = s->eof = true;
    }
    if (rc != 0) {
        char cause[SCORE_CAUSE_BYTES];
        (void)snprintf(cause, sizeof cause, "%.80s: %s", launch->binary, uv_strerror(rc));
        end_worker(s, WORKSLOT_END_START, cause);
        settle(s);
    }
}

void workslot_run(struct workslot *s, uint64_t job, const struct buf *frame, uint32_t deadline_ms)
{
    CHECK(s->state == WORKSLOT_IDLE);
    s->state = WORKSLOT_BUSY;
    s->job = job;
    s->deadline_ms = deadline_ms;
    uv_update_time(s->timer.loop);
    (void)uv_timer_start(&s->timer, on_deadline, deadline_ms, 0);
    uv_buf_t b = uv_buf_init((char *)frame->data, (unsigned)frame->len);
    s->writing = uv_write(&s->write, (uv_stream_t *)&s->to, &b, 1, on_written) == 0;
    if (!s->writing) {
        end_worker(s, WORKSLOT_END_EXIT, "crash: the worker's pipe is closed");
    }
}

void workslot_kill(struct workslot *s)
{
    if (s->state != WORKSLOT_EMPTY && s->state != WORKSLOT_ENDING) {
        end_worker(s, WORKSLOT_END_STOP, "stopped");
    }
}

void workslot_close(struct workslot *s, uv_close_cb closed)
{
    CHECK(s->state == WORKSLOT_EMPTY);
    uv_close((uv_handle_t *)&s->timer, closed);
}
