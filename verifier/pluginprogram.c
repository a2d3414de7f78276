// pluginprogram.c: one child process and two pipes, one line out, one line in.
//
// The host is process 1 of its namespace: when it ends, the program and whatever it started end
// with it. So a deadline needs no work here, the pool kills the host. Reads and writes block; a
// program that writes before it is asked fills its pipe and waits, or breaks the protocol by
// answering the wrong number.
#include "verifier/pluginprogram.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "verifier/pluginline.h"
#include "verifier/sandbox.h"

enum { FROM = 3, TO = 4, KEEP_BYTES = 1 << 20, LINGER_NS = 50000000 };

static pid_t program;
static char input[PLUGINLINE_MAX];
static size_t n_input, taken;
static uint64_t next_job;
static struct buf request;

static _Noreturn void become(const char *path, const int to[2], const int from[2])
{
    char *const argv[] = {(char *)(uintptr_t)path, NULL};
    char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                          "LANG=C.UTF-8",
                          "HOME=/tmp",
                          "TMPDIR=/tmp",
                          "PYTHONDONTWRITEBYTECODE=1",
                          NULL};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && dup2(to[0], 0) == 0 && dup2(from[1], 1) == 1 &&
        close_range(3, ~0u, 0) == 0 && chdir("/tmp") == 0 && sandbox_program_filter()) {
        execve(path, argv, envp);
    }
    _exit(127);
}

// The program has ended or will not go on: its last words. Its pipes close a moment before its
// status is known; there is no call left to sleep with.
static enum err last_words(struct why *why)
{
    int status = 0;
    pid_t ended = 0;
    for (uint64_t until = clock_mono_ns() + LINGER_NS; ended == 0 && clock_mono_ns() < until;) {
        ended = waitpid(program, &status, WNOHANG);
    }
    if (ended != program) {
        return why_set(why, ERR_CLOSED, "the program closed its output");
    }
    if (WIFSIGNALED(status)) {
        return why_set(why, ERR_CLOSED, "the program ended by %s",
                       sandbox_signal_name(WTERMSIG(status)));
    }
    return why_set(why, ERR_CLOSED, "the program ended with status %d%s", WEXITSTATUS(status),
                   WEXITSTATUS(status) == 127 ? ": could it be run?" : "");
}

// The next line without its end, valid until the next call.
static enum err read_line(const char **line, size_t *len, struct why *why)
{
    memmove(input, input + taken, n_input - taken);
    n_input -= taken;
    taken = 0;
    for (size_t looked = 0;;) {
        char *end = memchr(input + looked, '\n', n_input - looked);
        if (end) {
            *line = input;
            *len = (size_t)(end - input);
            taken = *len + 1;
            return ERR_OK;
        }
        looked = n_input;
        if (n_input == sizeof input) {
            return why_set(why, ERR_LIMIT, "the program wrote a line over %u bytes",
                           PLUGINLINE_MAX);
        }
        ssize_t n = read(FROM, input + n_input, sizeof input - n_input);
        if (n <= 0) {
            return last_words(why);
        }
        n_input += (size_t)n;
    }
}

// Moves the host's ends to the numbers that the last filter knows. Descriptor 3 is the plug-in's
// file until here, and the program has its own copy.
static bool place_pipes(int to[2], int from[2])
{
    close(3);
    close(to[0]);
    close(from[1]);
    int high_from = fcntl(from[0], F_DUPFD, 16), high_to = fcntl(to[1], F_DUPFD, 16);
    if (high_from < 0 || high_to < 0) {
        return false;
    }
    close(from[0]);
    close(to[1]);
    bool placed = dup2(high_from, FROM) == FROM && dup2(high_to, TO) == TO;
    return close_range(5, ~0u, 0) == 0 && placed;
}

enum err pluginprogram_start(const char *path, struct jobframe_check *checks, size_t *n,
                             struct why *why)
{
    int to[2], from[2];
    const char *line;
    size_t len;
    buf_init(&request, 16 * (size_t)SCORE_TEXT_MAX);
    (void)signal(SIGPIPE, SIG_IGN);
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
        return why_set(why, ERR_IO, "pipe: %s", strerror(errno));
    }
    program = fork();
    if (program == 0) {
        (void)signal(SIGPIPE, SIG_DFL);
        become(path, to, from);
    }
    if (program < 0 || !place_pipes(to, from)) {
        return why_set(why, ERR_IO, "cannot start the program: %s", strerror(errno));
    }
    enum err e = read_line(&line, &len, why);
    if (!e && (e = pluginline_get_hello(line, len, checks, n, why)) != ERR_OK) {
        e = why_prefix(why, e, "its first line");
    }
    return e;
}

static bool write_request(void)
{
    for (size_t at = 0; at < request.len;) {
        ssize_t n = write(TO, request.data + at, request.len - at);
        if (n <= 0) {
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

enum err pluginprogram_run(struct score_text check, const struct score_plugin_input *in,
                           struct score_result *out, struct why *why)
{
    const char *line;
    size_t len;
    double value = 0;
    uint64_t job = ++next_job;
    *out = (struct score_result){0};
    if (request.cap > KEEP_BYTES) {
        buf_fini(&request);
        buf_init(&request, 16 * (size_t)SCORE_TEXT_MAX);
    }
    buf_clear(&request);
    enum err e = pluginline_put_request(&request, job, check, in);
    if (e) {
        score_unscored(out, "a request that is too long for the program");
        return ERR_OK;
    }
    e = write_request() ? read_line(&line, &len, why) : last_words(why);
    if (e) {
        return e;
    }
    e = pluginline_get_reply(line, len, job, &value, why);
    if (e == ERR_CORRUPT) {
        return why_prefix(why, e, "the program's reply");
    }
    if (e) {
        score_unscored(out, why->text);
        return ERR_OK;
    }
    out->outcome = value > 0 ? SCORE_SCORED : SCORE_ZERO;
    out->reward = value;
    while (waitpid(-1, NULL, WNOHANG) > 0) {    // what the program left behind
    }
    return ERR_OK;
}
