// workslot.c: a process, two pipes and one timer as a small state machine.
//
// A worker's end has two halves that come in any order: the exit status, and the end of its output
// (a last reply may still be in the pipe when the status is already known). Only when both are
// there is the cause settled. Then the handles are closed, and only when all are closed is `gone`
// called: until that moment libuv may still hold the frames being written.
//
// Nothing is inherited: the environment is empty, the folder is /, stderr is /dev/null, the session
// is its own (so Ctrl-C in a terminal reaches the daemon alone; a worker dies with its parent
// anyway). The child is spawned by uv_spawn, that is fork and exec at once.
#include "verifier/workslot.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define REAP_MS 5000    // from SIGKILL or end of input until the slot stops being patient
#define GATHER_MAX (4 * (JOBFRAME_JOB_MAX + JOBFRAME_HEAD_BYTES))
#define KEEP_BYTES (1u << 20)    // of a buffer between writes

static void settle(struct workslot *s);

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
    bool failed_start = s->state == WORKSLOT_STARTING && end != WORKSLOT_END_STOP;
    s->state = WORKSLOT_ENDING;
    set_end(s, failed_start ? WORKSLOT_END_START : end, cause);
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
            (void)snprintf(cause, sizeof cause, "crash %s", sandbox_signal_name(number));
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
    bool starting = s->state == WORKSLOT_STARTING;
    if (starting && r->kind == JOBFRAME_READY && r->level == (uint8_t)s->level) {
        uv_timer_stop(&s->timer);
        s->state = WORKSLOT_UP;
        s->events->ready(s->owner, s, r);
    } else if (r->kind == JOBFRAME_FAILED && r->text[0]) {
        // Its exit follows.
        set_end(s, starting ? WORKSLOT_END_START : WORKSLOT_END_EXIT, r->text);
    } else if (starting) {
        end_worker(s, WORKSLOT_END_START, "the worker did not confirm its sandbox level");
    } else if ((r->kind != JOBFRAME_RESULT && r->kind != JOBFRAME_ASK) ||
               !s->events->reply(s->owner, s, r)) {
        end_worker(s, WORKSLOT_END_GARBAGE, "unexpected reply from the worker");
    }
    jobframe_reply_fini(r);
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
    if (s->state == WORKSLOT_UP) {
        s->events->batch(s->owner, s);
    }
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

static void give_back(struct buf *b)
{
    if (b->cap > KEEP_BYTES) {
        buf_fini(b);
        buf_init(b, GATHER_MAX);
    }
    buf_clear(b);
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

void workslot_init(struct workslot *s, uv_loop_t *loop, const struct workslot_events *events,
                   void *owner)
{
    memset(s, 0, sizeof *s);
    s->events = events;
    s->owner = owner;
    buf_init(&s->gathered, GATHER_MAX);
    buf_init(&s->writing, GATHER_MAX);
    (void)uv_timer_init(loop, &s->timer);
    s->timer.data = s;
}

static int spawn(struct workslot *s, uv_loop_t *loop, const struct workslot_launch *launch)
{
    char memory[24], cpu[24];
    (void)snprintf(memory, sizeof memory, "%u", (unsigned)launch->memory_mb);
    (void)snprintf(cpu, sizeof cpu, "%u", (unsigned)launch->cpu_s);
    const char *group = launch->group_fd < 0 ? "none" : "join";
    const char *args[] = {launch->binary,
                          "--sandbox",
                          sandbox_level_name(launch->level),
                          "--memory-mb",
                          memory,
                          "--cpu-s",
                          cpu,
                          "--group",
                          group,
                          launch->host ? "--host" : NULL,
                          launch->host,
                          NULL};
    char *no_environment[] = {NULL};
    uv_stdio_container_t stdio[5] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&s->to},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&s->from},
        {.flags = UV_IGNORE},
    };
    int n_stdio = 3;
    const int more[] = {launch->host ? launch->host_fd : -1, launch->group_fd};
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        if (more[i] >= 0) {
            stdio[n_stdio].flags = UV_INHERIT_FD;
            stdio[n_stdio++].data.fd = more[i];
        }
    }
    uv_process_options_t options = {
        .file = launch->binary,
        .args = (char **)args,
        .env = no_environment,
        .cwd = "/",
        .exit_cb = on_exit,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = n_stdio,
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
    s->is_writing = s->exited = s->eof = false;
    s->n_in = 0;
    buf_clear(&s->gathered);
    buf_clear(&s->writing);
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

enum err workslot_put(struct workslot *s, const struct buf *frame)
{
    CHECK(s->state == WORKSLOT_UP);
    return buf_append(&s->gathered, frame->data, frame->len);
}

static void on_written(uv_write_t *w, int status)
{
    (void)status;    // a failed write is followed by the worker's end
    struct workslot *s = w->data;
    s->is_writing = false;
    give_back(&s->writing);
    workslot_flush(s);
}

void workslot_flush(struct workslot *s)
{
    if (s->state != WORKSLOT_UP || s->is_writing || s->gathered.len == 0) {
        return;
    }
    struct buf now = s->gathered;
    s->gathered = s->writing;
    s->writing = now;
    buf_clear(&s->gathered);
    uv_buf_t b = uv_buf_init((char *)now.data, (unsigned)now.len);
    s->is_writing = uv_write(&s->write, (uv_stream_t *)&s->to, &b, 1, on_written) == 0;
    if (!s->is_writing) {
        end_worker(s, WORKSLOT_END_EXIT, "crash: the worker's pipe is closed");
    }
}

void workslot_deadline(struct workslot *s, uint32_t ms)
{
    s->deadline_ms = ms;
    if (ms == 0) {
        uv_timer_stop(&s->timer);
        return;
    }
    uv_update_time(s->timer.loop);
    (void)uv_timer_start(&s->timer, on_deadline, ms, 0);
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
    buf_fini(&s->gathered);
    buf_fini(&s->writing);
    uv_close((uv_handle_t *)&s->timer, closed);
}
