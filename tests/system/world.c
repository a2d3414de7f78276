// world.c: see world.h.
#include "tests/system/world.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "common/clock.h"

extern char **environ;

enum { MAX_WORDS = 64, LOOK_MS = 5 };

static unsigned n_processes;
static pid_t started[4096];    // to be killed at the end, whatever happened

// ---- processes ----

static char *bin_path(const char *program)
{
    static char folder[4096];
    if (!folder[0]) {
        ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
        assert_true(n > 0);
        folder[n] = '\0';
        *strrchr(folder, '/') = '\0';
    }
    return fs_path("%s/%s", folder, program);
}

static void become(char **words, const char *out, int input)
{
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int null = input >= 0 ? input : open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    size_t i = 0;
    for (char *equals;
         words[i] && isupper((unsigned char)words[i][0]) && (equals = strchr(words[i], '=')); i++) {
        *equals = '\0';
        setenv(words[i], equals + 1, 1);
    }
    bool ours = strncmp(words[i], "caravan", 7) == 0 || strcmp(words[i], "make_tiny_model") == 0;
    if (ours) {
        char *path = bin_path(words[i]);
        execv(path, words + i);
    } else {
        execvp(words[i], words + i);
    }
    _exit(127);
}

static struct process spawn_words(char *line, int input)
{
    char *words[MAX_WORDS + 1] = {0}, *save = NULL;
    size_t n = 0;
    for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        assert_true(n < MAX_WORDS);
        words[n++] = w;
    }
    struct process p;
    assert_true(n_processes < ARRAY_LEN(started));
    snprintf(p.out, sizeof p.out, "out-%u.txt", n_processes);
    p.pid = fork();
    assert_true(p.pid >= 0);
    if (p.pid == 0) {
        become(words, p.out, input);
    }
    started[n_processes++] = p.pid;
    p.pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0);
    assert_true(p.pidfd >= 0);
    return p;
}

static char *format(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static char *format(const char *fmt, va_list ap)
{
    char *line = NULL;
    assert_true(vasprintf(&line, fmt, ap) >= 0);
    return line;
}

struct process world_spawn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *line = format(fmt, ap);
    va_end(ap);
    struct process p = spawn_words(line, -1);
    free(line);
    return p;
}

char *world_output(const struct process *p)
{
    char *text;
    size_t len;
    struct why why;
    if (fs_read_file(p->out, 64 << 20, &text, &len, &why)) {
        fail_msg("%s", why.text);
    }
    return text;
}

int world_wait(struct process *p, int deadline_ms)
{
    struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};
    int status, n;
    uint64_t end = clock_mono_ms() + (uint64_t)deadline_ms;
    do {
        int64_t left = (int64_t)(end - clock_mono_ms());
        n = poll(&fd, 1, (int)MAX(left, 0));
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        char *text = world_output(p);
        kill(p->pid, SIGKILL);
        fail_msg("a process did not end in %d ms; it said:\n%s", deadline_ms, text);
    }
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    close(p->pidfd);
    p->pidfd = -1;
    for (unsigned i = 0; i < n_processes; i++) {
        if (started[i] == p->pid) {
            started[i] = 0;    // the number may be another's soon
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void world_signal(const struct process *p, int signal)
{
    assert_int_equal(kill(p->pid, signal), 0);
}

static int finish(struct process *p, char **out)
{
    int rc = world_wait(p, WORLD_DEADLINE_MS);
    if (out) {
        *out = world_output(p);
    }
    return rc;
}

int world_run(char **out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *line = format(fmt, ap);
    va_end(ap);
    struct process p = spawn_words(line, -1);
    free(line);
    return finish(&p, out);
}

int world_pipe(const char *input, char **out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *line = format(fmt, ap);
    va_end(ap);
    struct why why;
    assert_int_equal(fs_write_file("stdin.txt", input, strlen(input), &why), ERR_OK);
    int fd = open("stdin.txt", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct process p = spawn_words(line, fd);
    close(fd);
    free(line);
    return finish(&p, out);
}

void world_print_ends_of_logs(void)
{
    enum { END = 3000 };
    glob_t logs;
    if (glob("*/log/*.log", 0, NULL, &logs) != 0) {
        return;
    }
    for (size_t i = 0; i < logs.gl_pathc; i++) {
        char *data = NULL;
        size_t len = 0;
        if (!fs_read_file(logs.gl_pathv[i], 64 << 20, &data, &len, NULL)) {
            print_message("---- %s\n%s\n", logs.gl_pathv[i], data + (len > END ? len - END : 0));
        }
        free(data);
    }
    globfree(&logs);
}

void world_until(world_condition *fn, void *arg, const char *what)
{
    uint64_t end = clock_mono_ms() + WORLD_DEADLINE_MS;
    while (!fn(arg)) {
        if (clock_mono_ms() > end) {
            world_print_ends_of_logs();
            fail_msg("waited %d ms in vain: %s", WORLD_DEADLINE_MS, what);
        }
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
}

// ---- looking at processes ----

// Parent and program of a process, from /proc; false when it is gone or a zombie.
static bool look_at(pid_t pid, pid_t *parent, char *program, size_t cap)
{
    char *path = fs_path("/proc/%d/stat", (int)pid), *exe = fs_path("/proc/%d/exe", (int)pid);
    char text[1024], target[4096], state = 'Z';
    int fd = open(path, O_RDONLY | O_CLOEXEC), ppid = 0;
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    bool ok = n > 0;
    if (ok) {
        text[n] = '\0';
        char *end = strrchr(text, ')');
        ok = end && sscanf(end + 1, " %c %d", &state, &ppid) == 2 && state != 'Z';
    }
    n = ok ? readlink(exe, target, sizeof target - 1) : -1;
    if (n > 0) {
        target[n] = '\0';
        const char *slash = strrchr(target, '/');
        snprintf(program, cap, "%.200s", slash ? slash + 1 : target);
        *parent = ppid;
    }
    free(path);
    free(exe);
    return n > 0;
}

bool world_alive(pid_t pid)
{
    pid_t parent;
    char program[256];
    return look_at(pid, &parent, program, sizeof program);
}

pid_t world_child(const struct process *p, const char *program)
{
    DIR *d = opendir("/proc");
    pid_t found = 0;
    assert_non_null(d);
    for (struct dirent *e; !found && (e = readdir(d));) {
        pid_t pid = (pid_t)atoi(e->d_name), parent;
        char name[256];
        if (pid > 0 && look_at(pid, &parent, name, sizeof name) && parent == p->pid &&
            strcmp(name, program) == 0) {
            found = pid;
        }
    }
    closedir(d);
    return found;
}

// ---- looking at runs ----

static void each_step(const char *run, const char *key, size_t *n, double *sum)
{
    char *path = fs_path("%s/metrics.jsonl", run), *line = NULL;
    FILE *f = fopen(path, "re");
    size_t cap = 0;
    *n = 0;
    *sum = 0;
    while (f && getline(&line, &cap, f) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        if (json_object_get(row, "step")) {    // not the row of an evaluation
            ++*n;
            *sum += key ? json_number_value(json_object_get(row, key)) : 0;
        }
        json_decref(row);
    }
    if (f) {
        fclose(f);
    }
    free(line);
    free(path);
}

size_t world_steps(const char *run)
{
    size_t n;
    double sum;
    each_step(run, NULL, &n, &sum);
    return n;
}

double world_sum(const char *run, const char *key)
{
    size_t n;
    double sum;
    each_step(run, key, &n, &sum);
    return sum;
}

struct goal {
    const char *run;
    size_t steps;
};

static bool has_steps(void *arg)
{
    const struct goal *g = arg;
    return world_steps(g->run) >= g->steps;
}

void world_until_steps(const char *run, size_t steps)
{
    struct goal g = {run, steps};
    world_until(has_steps, &g, "steps in metrics.jsonl");
}

// A daemon that a sanitizer ended is started again by its supervisor, so the run alone does not
// show it; its log does.
static void logs_are_free_of_sanitizer_reports(const char *run)
{
    char *folder = fs_path("%s/log", run);
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char *path = fs_path("%s/%s", folder, e->d_name), *text;
        size_t len;
        struct why why;
        if (e->d_name[0] != '.' && fs_read_file(path, 64 << 20, &text, &len, &why) == ERR_OK) {
            if (strstr(text, "Sanitizer") || strstr(text, "runtime error:")) {
                (void)fputs(text, stderr);    // cmocka cuts its messages
                fail_msg("%s: a sanitizer's report", path);
            }
            free(text);
        }
        free(path);
    }
    closedir(d);
    free(folder);
}

char *world_audit_clean(const char *run)
{
    logs_are_free_of_sanitizer_reports(run);
    char *out;
    int rc = world_run(&out, "caravan audit %s --threads 1 --kv-mb 16", run);
    if (rc != 0) {
        fail_msg("caravan audit %s: status %d\n%s", run, rc, out);
    }
    assert_contains(out, " 0 violations");
    assert_contains(out, "log-probs  0 of ");
    return out;
}

// ---- the folder ----

static void write_text(const char *path, const char *text)
{
    struct why why;
    if (fs_write_file(path, text, strlen(text), &why)) {
        fail_msg("%s", why.text);
    }
}

static void write_tasks(const char *path, const char *instruction, const char *kwargs)
{
    struct buf b;
    buf_init(&b, 0);
    for (int i = 0; i < 32; i++) {
        assert_int_equal(
            buf_printf(&b,
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"note %d\"}],\"dataset\":"
                       "\"ifeval\",\"ground_truth\":{\"instruction_id\":[\"%s\"],\"kwargs\":[%s]},"
                       "\"kind\":\"%s\"}\n",
                       i, instruction, kwargs, strchr(instruction, ':') + 1),
            ERR_OK);
    }
    write_text(path, (char *)b.data);
    buf_fini(&b);
}

static const char run_yaml[] = "model: {path: tiny}\n"
                               "data: {train: commas.jsonl, eval: commas.jsonl, eval_n: 8, "
                               "max_prompt_tokens: 50}\n"
                               "rollout: {group_size: 4, groups_per_step: 2, max_tokens: 8, "
                               "lease_ms: 2000}\n"
                               "optim: {lr: 1.0e-3}\n"
                               "stop: {steps: 6}\n"
                               "checkpoint: {every_steps: 2, keep_versions: 1000}\n"
                               "learner: {threads: 1}\n"
                               "actor: {threads: 1, slots: 8, kv_mb: 8}\n"
                               "verifier: {workers: 1, sandbox: auto}\n";

static char source[4096];

const char *world_source(void)
{
    return source;
}

// A peer that dies in NNG's handshake makes the bus renew its listener or dialer, which loses a few
// KB inside the library (proto/bus.h). A daemon built with sanitizers would end with an error for
// it, and with it the run. Leaks of our own still count.
static void forgive_leaks_of_nng(void)
{
    char *full = realpath(".", NULL), options[4200];
    assert_non_null(full);
    write_text("lsan.supp", "leak:libnng.so\n");
    (void)snprintf(options, sizeof options, "suppressions=%s/lsan.supp:print_suppressions=0", full);
    assert_int_equal(setenv("LSAN_OPTIONS", options, 1), 0);
    free(full);
}

int world_enter(void **state)
{
    if (!getcwd(source, sizeof source)) {
        return -1;
    }
    if (scratch_enter(state)) {
        return -1;
    }
    signal(SIGPIPE, SIG_IGN);
    forgive_leaks_of_nng();
    write_tasks("commas.jsonl", "punctuation:no_comma", "{}");
    write_tasks("words.jsonl", "length_constraints:number_words",
                "{\"num_words\":9,\"relation\":\"at least\"}");
    write_text("run.yaml", run_yaml);
    return world_run(NULL, "make_tiny_model tiny") ||
           world_run(NULL, "make_tiny_model talker 2 0.2");
}

int world_leave(void **state)
{
    for (unsigned i = 0; i < n_processes; i++) {
        if (started[i]) {
            kill(started[i], SIGKILL);
        }
    }
    return scratch_leave(state);
}
