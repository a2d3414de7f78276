// daemon.c: who may ask a daemon to stop, and what happens when it does not.
//
//   SIGINT, SIGTERM ──byte──▶ guard thread ──uv_async──▶ loop thread: stop(cause), once
//   supervisor's pipe ─EOF──▶      │
//                                  └── 4 s after the first request without daemon_finished:
//                                      ERROR line, _exit(1)
//
// The guard is a thread of its own, and neither signals nor the supervisor's pipe go through the
// loop, because the case that matters is the one where the loop does not run: it waits for a
// compute thread that hangs. Then the guard still sees that the supervisor is gone, and still ends
// the process. A daemon never outlives its run.
//
// The signal handler only calls what POSIX allows there: clock_gettime, write, _exit, and atomic
// loads and stores. A terminal sends Ctrl-C to the whole group and the supervisor may pass it on as
// SIGTERM, so the same wish can arrive twice within a moment: a "second" signal is one that comes
// at least 300 ms after the first.

#include "common/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "common/log.h"

#define STOP_LIMIT_MS 4000
#define SECOND_SIGNAL_MS 300

enum note { NOTE_SIGNAL = 's', NOTE_STOP = 'p', NOTE_FINISHED = 'f' };

struct daemon {
    daemon_stop_fn *stop;
    void *arg;
    uv_async_t async;
    bool stop_called;      // loop thread only
    bool finished;         // loop thread only
    bool handle_closed;    // loop thread only
    pthread_t guard;
    int notes[2];         // pipe to the guard, non-blocking on the writing side
    int supervisor_fd;    // -1: none
    atomic_bool asked;
    char cause[64];    // written once, by whoever sets `asked` first
    atomic_bool cause_ready;
    struct sigaction old_int, old_term;
};

// The handler's world: one daemon per process.
static atomic_int handler_fd = -1;
static _Atomic uint64_t first_signal_ms;

static void on_signal(int number)
{
    (void)number;
    int saved_errno = errno;
    uint64_t now = clock_mono_ms();
    uint64_t first = 0;
    if (atomic_compare_exchange_strong(&first_signal_ms, &first, now)) {
        char note = NOTE_SIGNAL;
        ssize_t ignored = write(atomic_load(&handler_fd), &note, 1);
        (void)ignored;
    } else if (now - first >= SECOND_SIGNAL_MS) {
        _exit(130);
    }
    errno = saved_errno;
}

static void tell_guard(struct daemon *d, enum note what)
{
    char note = (char)what;
    ssize_t n;
    do {
        n = write(d->notes[1], &note, 1);
    } while (n < 0 && errno == EINTR);
}

// The first cause wins; the loop is told.
static void ask_to_stop(struct daemon *d, const char *cause)
{
    if (!atomic_exchange(&d->asked, true)) {
        (void)snprintf(d->cause, sizeof d->cause, "%s", cause);
        atomic_store(&d->cause_ready, true);
        (void)uv_async_send(&d->async);
    }
}

static void on_async(uv_async_t *async)
{
    struct daemon *d = async->data;
    if (atomic_load(&d->cause_ready) && !d->stop_called) {
        d->stop_called = true;
        d->stop(d->arg, d->cause);
    }
}

// True when the supervisor's end is gone. What it writes is not for us and is thrown away.
static bool supervisor_gone(int fd)
{
    char scratch[256];
    ssize_t n = read(fd, scratch, sizeof scratch);
    return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

static void *guard_main(void *arg)
{
    struct daemon *d = arg;
    struct pollfd fds[2] = {
        {.fd = d->notes[0], .events = POLLIN},
        {.fd = d->supervisor_fd, .events = POLLIN},    // poll skips a descriptor of -1
    };
    uint64_t end_ms = 0;    // 0: nobody has asked
    for (;;) {
        uint64_t now = clock_mono_ms();
        if (end_ms != 0 && now >= end_ms) {
            LOG_ERROR("DAEMON_STOP_TIMEOUT", "cause=\"%s\" waited_ms=%d", d->cause, STOP_LIMIT_MS);
            _exit(1);
        }
        int wait_ms = end_ms == 0 ? -1 : (int)(end_ms - now);
        if (poll(fds, 2, wait_ms) <= 0) {
            continue;
        }
        char note = 0;
        if (fds[0].revents != 0 && read(d->notes[0], &note, 1) == 1) {
            if (note == NOTE_FINISHED) {
                return NULL;
            }
            if (note == NOTE_SIGNAL) {
                ask_to_stop(d, "signal");
            }
        }
        if (fds[1].revents != 0 && supervisor_gone(d->supervisor_fd)) {
            fds[1].fd = -1;
            ask_to_stop(d, "supervisor gone");
        }
        if (end_ms == 0 && atomic_load(&d->cause_ready)) {
            end_ms = clock_mono_ms() + STOP_LIMIT_MS;
        }
    }
}

// The descriptor that the supervisor left for us, or -1.
static enum err find_supervisor(int *out, struct why *why)
{
    const char *text = getenv("CARAVAN_SUPERVISOR_FD");
    if (text == NULL) {
        *out = -1;
        return ERR_OK;
    }
    char *end = NULL;
    errno = 0;
    long fd = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || fd > INT32_MAX) {
        return why_set(why, ERR_INVALID,
                       "CARAVAN_SUPERVISOR_FD: '%s', expected the number of an open descriptor",
                       text);
    }
    int flags = fcntl((int)fd, F_GETFL);
    if (flags < 0) {
        return why_set(why, ERR_INVALID, "CARAVAN_SUPERVISOR_FD: descriptor %ld: %m", fd);
    }
    // Our own children must not inherit it. Non-blocking, so that a false alarm of poll cannot park
    // the guard.
    (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl((int)fd, F_SETFL, flags | O_NONBLOCK);
    *out = (int)fd;
    return ERR_OK;
}

static void release(struct daemon *d)
{
    close(d->notes[0]);
    close(d->notes[1]);
    free(d);
}

static void on_failed_create_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static int start_guard(struct daemon *d)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&d->guard, NULL, guard_main, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0) {
        pthread_setname_np(d->guard, "guard");
    }
    return rc;
}

static void install_handlers(struct daemon *d)
{
    atomic_store(&first_signal_ms, 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    sigaction(SIGINT, &action, &d->old_int);
    sigaction(SIGTERM, &action, &d->old_term);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);    // for good: a peer that hangs up is an error code
}

enum err daemon_create(uv_loop_t *loop, daemon_stop_fn *stop, void *arg, struct daemon **out,
                       struct why *why)
{
    int supervisor_fd = -1;
    enum err e = find_supervisor(&supervisor_fd, why);
    if (e != ERR_OK) {
        return e;
    }
    struct daemon *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return why_set(why, ERR_NOMEM, "out of memory for the daemon's frame");
    }
    d->stop = stop;
    d->arg = arg;
    d->supervisor_fd = supervisor_fd;
    d->async.data = d;
    if (pipe2(d->notes, O_CLOEXEC) != 0) {
        free(d);
        return why_set(why, ERR_IO, "cannot make a pipe: %m");
    }
    int none = -1;
    if (!atomic_compare_exchange_strong(&handler_fd, &none, d->notes[1])) {
        release(d);
        return why_set(why, ERR_EXISTS, "this process already has a daemon");
    }
    int rc = uv_async_init(loop, &d->async, on_async);
    if (rc != 0) {
        atomic_store(&handler_fd, -1);
        release(d);
        return why_set(why, ERR_IO, "cannot add a wake-up handle to the loop: %s", uv_strerror(rc));
    }
    rc = start_guard(d);
    if (rc != 0) {
        atomic_store(&handler_fd, -1);
        uv_close((uv_handle_t *)&d->async, on_failed_create_closed);
        errno = rc;
        return why_set(why, ERR_NOMEM, "cannot start the guard thread: %m");
    }
    install_handlers(d);
    *out = d;
    return ERR_OK;
}

void daemon_stop(struct daemon *d, const char *cause)
{
    ask_to_stop(d, cause);
    tell_guard(d, NOTE_STOP);    // starts its clock
}

static void on_closed(uv_handle_t *handle)
{
    struct daemon *d = handle->data;
    d->handle_closed = true;
}

void daemon_finished(struct daemon *d)
{
    if (d->finished) {
        return;
    }
    d->finished = true;
    tell_guard(d, NOTE_FINISHED);
    pthread_join(d->guard, NULL);    // it uses the handle; it leaves at once
    uv_close((uv_handle_t *)&d->async, on_closed);
}

void daemon_destroy(struct daemon *d)
{
    if (d == NULL) {
        return;
    }
    CHECK(d->finished && d->handle_closed);
    sigaction(SIGINT, &d->old_int, NULL);
    sigaction(SIGTERM, &d->old_term, NULL);
    atomic_store(&handler_fd, -1);
    release(d);
}
