// supervisor.c: uv_spawn with the right descriptors, and the end in bounded time.
//
// A child's descriptors: 0 /dev/null, 1 and 2 the log file, 3 the pipe. uv_spawn is fork and exec
// in one call, and this process uses no NNG, so the rule against forking beside NNG holds.
//
// A timer per child starts it again; one timer ends the patience at the stop. `stopped` comes when
// the last exit callback has run and all handles are closed.
#include "cli/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "common/fs.h"

#define PIPE_FD 3
#define TAIL_BYTES 65536

extern char **environ;

struct child {
    struct supervisor *owner;
    char name[64];
    char *program, *log;
    char *argv[SUPERVISOR_ARGS + 2];
    uv_process_t process;
    uv_timer_t timer;
    bool alive;    // the process
    bool open;     // its handle
    int64_t status;
    int signal;
    unsigned starts;
    uint64_t started_ms;
    off_t log_from;    // where the log stood at the last start
};

struct supervisor {
    uv_loop_t *loop;
    char *log_dir, *bin_dir;
    supervisor_ended_fn *ended;
    void *arg;
    int pipe_read, pipe_write;
    struct child *children[SUPERVISOR_CHILDREN];
    size_t n;
    bool stopping;
    uv_timer_t patience;
    supervisor_stopped_fn *stopped;
    void *stopped_arg;
    size_t handles;    // timers that still have to close
};

// ---- creation ----

static char *folder_of_this_program(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) {
        return NULL;
    }
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    *slash = '\0';
    return strdup(path);
}

enum err supervisor_create(uv_loop_t *loop, const char *log_dir, supervisor_ended_fn *ended,
                           void *arg, struct supervisor **out, struct why *why)
{
    struct supervisor *s = calloc(1, sizeof *s);
    int fds[2];
    if (!s || !(s->log_dir = strdup(log_dir)) || !(s->bin_dir = folder_of_this_program()) ||
        pipe2(fds, O_CLOEXEC)) {
        supervisor_destroy(s);
        return why_set(why, ERR_NOMEM, "the supervisor could not be set up: %s", strerror(errno));
    }
    s->loop = loop;
    s->ended = ended;
    s->arg = arg;
    s->pipe_read = fds[0];
    s->pipe_write = fds[1];
    uv_timer_init(loop, &s->patience);
    s->patience.data = s;
    s->handles = 1;
    *out = s;
    return ERR_OK;
}

static void child_free(struct child *c)
{
    for (size_t i = 0; c->argv[i]; i++) {
        free(c->argv[i]);
    }
    free(c->program);
    free(c->log);
    free(c);
}

void supervisor_destroy(struct supervisor *s)
{
    if (!s) {
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        child_free(s->children[i]);
    }
    if (s->pipe_read > 0) {
        close(s->pipe_read);
        close(s->pipe_write);
    }
    free(s->log_dir);
    free(s->bin_dir);
    free(s);
}

enum err supervisor_add(struct supervisor *s, const char *name, const char *program, size_t *child,
                        struct why *why)
{
    struct child *c = s->n < SUPERVISOR_CHILDREN ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        return why_set(why, ERR_LIMIT, "%s: no room for more than %d processes", name,
                       SUPERVISOR_CHILDREN);
    }
    snprintf(c->name, sizeof c->name, "%s", name);
    c->owner = s;
    c->program = fs_path("%s/%s", s->bin_dir, program);
    c->log = fs_path("%s/%s.log", s->log_dir, name);
    c->argv[0] = strdup(program);
    if (!c->program || !c->log || !c->argv[0]) {
        child_free(c);
        return why_set(why, ERR_NOMEM, "%s: out of memory", name);
    }
    if (access(c->program, X_OK)) {
        enum err e = why_set(why, ERR_NOT_FOUND, "%s: %s (it belongs beside caravan)", c->program,
                             strerror(errno));
        child_free(c);
        return e;
    }
    uv_timer_init(s->loop, &c->timer);
    c->timer.data = c;
    s->handles++;
    s->children[s->n] = c;
    *child = s->n++;
    return ERR_OK;
}

enum err supervisor_set_args(struct supervisor *s, size_t child, const char *const *args)
{
    struct child *c = s->children[child];
    char *fresh[SUPERVISOR_ARGS + 1] = {0};
    for (size_t i = 0; args[i]; i++) {
        CHECK(i < SUPERVISOR_ARGS);
        if (!(fresh[i] = strdup(args[i]))) {
            while (i-- > 0) {
                free(fresh[i]);
            }
            return ERR_NOMEM;
        }
    }
    for (size_t i = 1; c->argv[i]; i++) {
        free(c->argv[i]);
    }
    memcpy(c->argv + 1, fresh, sizeof fresh);
    return ERR_OK;
}

// ---- start ----

static void on_exit_of_child(uv_process_t *process, int64_t status, int signal);

static size_t index_of(const struct child *c)
{
    size_t i = 0;
    while (c->owner->children[i] != c) {
        i++;
    }
    return i;
}

// Our environment and the descriptor's number. Test hooks (CARAVAN_TEST_…) belong to the first
// start: a child that a hook has killed must be able to come back.
static char **child_environment(bool again)
{
    size_t n = 0, k = 0;
    while (environ[n]) {
        n++;
    }
    char **env = calloc(n + 2, sizeof *env);
    for (size_t i = 0; env && i < n; i++) {
        if (strncmp(environ[i], "CARAVAN_SUPERVISOR_FD=", 22) != 0 &&
            !(again && strncmp(environ[i], "CARAVAN_TEST_", 13) == 0)) {
            env[k++] = environ[i];
        }
    }
    if (env) {
        static char descriptor[] = "CARAVAN_SUPERVISOR_FD=3";
        env[k] = descriptor;
    }
    return env;
}

static int spawn(struct child *c, int log, char **env)
{
    uv_stdio_container_t stdio[PIPE_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = log},
        {.flags = UV_INHERIT_FD, .data.fd = log},
        {.flags = UV_INHERIT_FD, .data.fd = c->owner->pipe_read}};
    uv_process_options_t o = {.exit_cb = on_exit_of_child,
                              .file = c->program,
                              .args = c->argv,
                              .env = env,
                              .flags = UV_PROCESS_DETACHED,
                              .stdio_count = PIPE_FD + 1,
                              .stdio = stdio};
    c->process.data = c;
    return uv_spawn(c->owner->loop, &c->process, &o);
}

static void on_failed_spawn_closed(uv_handle_t *h)
{
    (void)h;
}

enum err supervisor_start(struct supervisor *s, size_t child, struct why *why)
{
    struct child *c = s->children[child];
    struct stat st;
    int log = open(c->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) {
        return why_set(why, ERR_IO, "%s: %s", c->log, strerror(errno));
    }
    c->log_from = fstat(log, &st) == 0 ? st.st_size : 0;
    char **env = child_environment(c->starts > 0);
    int rc = env ? spawn(c, log, env) : UV_ENOMEM;
    free(env);
    close(log);
    if (rc) {
        if (env) {
            uv_close((uv_handle_t *)&c->process, on_failed_spawn_closed);
        }
        return why_set(why, ERR_IO, "%s could not be started: %s", c->program, uv_strerror(rc));
    }
    c->alive = c->open = true;
    c->starts++;
    c->started_ms = clock_mono_ms();
    return ERR_OK;
}

static void on_start_timer(uv_timer_t *t)
{
    struct child *c = t->data;
    struct supervisor *s = c->owner;
    struct why why;
    if (!s->stopping && !c->open && supervisor_start(s, index_of(c), &why)) {
        s->ended(s->arg, index_of(c), 127, 0);
    }
}

void supervisor_start_later(struct supervisor *s, size_t child, uint64_t delay_ms)
{
    uv_timer_start(&s->children[child]->timer, on_start_timer, delay_ms, 0);
}

// ---- end ----

static void on_timer_closed(uv_handle_t *h)
{
    struct child *c = h->data;
    if (--c->owner->handles == 0) {
        c->owner->stopped(c->owner->stopped_arg);
    }
}

static void on_patience_closed(uv_handle_t *h)
{
    struct supervisor *s = h->data;
    if (--s->handles == 0) {
        s->stopped(s->stopped_arg);
    }
}

// While stopping: once the last child is gone, the handles close, and the last of them says so.
static void finish_if_all_gone(struct supervisor *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->children[i]->open) {
            return;
        }
    }
    if (uv_is_closing((uv_handle_t *)&s->patience)) {
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        uv_close((uv_handle_t *)&s->children[i]->timer, on_timer_closed);
    }
    uv_close((uv_handle_t *)&s->patience, on_patience_closed);
}

static void on_process_closed(uv_handle_t *h)
{
    struct child *c = h->data;
    c->open = false;
    if (c->owner->stopping) {
        finish_if_all_gone(c->owner);
    } else {
        c->owner->ended(c->owner->arg, index_of(c), c->status, c->signal);
    }
}

static void on_exit_of_child(uv_process_t *process, int64_t status, int signal)
{
    struct child *c = process->data;
    c->alive = false;
    c->status = status;
    c->signal = signal;
    uv_close((uv_handle_t *)process, on_process_closed);
}

static void signal_all(struct supervisor *s, int signal)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->children[i]->alive) {
            (void)uv_process_kill(&s->children[i]->process, signal);
        }
    }
}

void supervisor_kill(struct supervisor *s)
{
    signal_all(s, SIGKILL);
}

static void on_patience_over(uv_timer_t *t)
{
    signal_all(t->data, SIGKILL);
}

void supervisor_stop(struct supervisor *s, supervisor_stopped_fn *stopped, void *arg)
{
    if (s->stopping) {
        return;
    }
    s->stopping = true;
    s->stopped = stopped;
    s->stopped_arg = arg;
    for (size_t i = 0; i < s->n; i++) {
        uv_timer_stop(&s->children[i]->timer);
    }
    signal_all(s, SIGTERM);
    uv_timer_start(&s->patience, on_patience_over, SUPERVISOR_STOP_MS, 0);
    finish_if_all_gone(s);
}

// ---- questions ----

const char *supervisor_name(const struct supervisor *s, size_t child)
{
    return s->children[child]->name;
}

bool supervisor_running(const struct supervisor *s, size_t child)
{
    return s->children[child]->alive;
}

unsigned supervisor_starts(const struct supervisor *s, size_t child)
{
    return s->children[child]->starts;
}

uint64_t supervisor_age_ms(const struct supervisor *s, size_t child)
{
    return clock_mono_ms() - s->children[child]->started_ms;
}

// The end of the log since the last start, at most TAIL_BYTES of it; NUL-terminated.
static char *read_tail(const struct child *c)
{
    struct stat st;
    int fd = open(c->log, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    off_t from = MAX(c->log_from, st.st_size - TAIL_BYTES);
    size_t len = st.st_size > from ? (size_t)(st.st_size - from) : 0;
    char *text = malloc(len + 1);
    ssize_t n = text ? pread(fd, text, len, from) : -1;
    close(fd);
    if (n <= 0) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

char *supervisor_last_words(const struct supervisor *s, size_t child)
{
    char *text = read_tail(s->children[child]), *last = NULL, *error = NULL, *save = NULL;
    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        last = line;
        error = strstr(line, " ERROR ") ? line : error;
    }
    char *found = error ? error : last;
    char *copy = found ? strdup(found) : NULL;
    free(text);
    return copy;
}
