// sandbox_test.c: what the walls refuse, as tables: one per level for the system-call filter, and
// one for the namespaces behind it.
//
// Each row was chosen because its success would let a worker read, reach or signal something. The
// control (level none) shows that the probes themselves work. Levels that this machine cannot give
// are skipped, by name.
#include "tests/verifier/poolrig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_IS_LIMITED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEMORY_IS_LIMITED 0
#endif
#endif
#ifndef MEMORY_IS_LIMITED
#define MEMORY_IS_LIMITED 1
#endif

static const char *const denied[] = {
    "open",
    "create",
    "unlink",
    "socket",
    "socket_unix",
    "fork",
    "thread",
    "kill_parent",
    "kill_all",
    "tgkill",
    "exec",
    "ptrace",
    "process_vm",
    "mmap_exec",
    "mprotect_exec",
    "write_elsewhere",
    "read_elsewhere",
    "dup",
    "prctl",
    "setrlimit",
    "unshare",
    "mount",
    "bpf",
    "io_uring",
    "sleep",
    "connect",
    "proc_of_others",
    "grandchild",
    "fork_bomb",
};

// What is not a refused call but an end.
static const struct {
    const char *what, *cause;
} ended[] = {
    {"spin", "timeout after 1000 ms"},
    {"flood", "reply from the worker"},    // oversized, or no reply at all
    {"crash", "crash SIGSEGV"},
};

static void deny_table(enum conf_sandbox sandbox, enum sandbox_level level)
{
    struct poolrig r;
    struct workpool_config c = poolrig_config(sandbox);
    c.deadline_ms = 1000;
    c.memory_mb = 128;
    poolrig_open(&r, &c);
    if (r.ready_err) {
        print_message("level %s: %s\n", sandbox_level_name(level), r.ready_text);
        poolrig_close(&r);
        skip();
    }
    assert_int_equal(r.level, level);
    for (size_t i = 0; i < ARRAY_LEN(denied); i++) {
        struct poolrig_verdict v = poolrig_run(&r, denied[i]);
        if (strcmp(v.cause, "sandbox SIGSYS") != 0) {
            print_message("%s: %s %s\n", denied[i], score_outcome_name(v.outcome), v.cause);
        }
        assert_string_equal(v.cause, "sandbox SIGSYS");
    }
    for (size_t i = 0; i < ARRAY_LEN(ended); i++) {
        struct poolrig_verdict v = poolrig_run(&r, ended[i].what);
        assert_int_equal(v.outcome, SCORE_UNSCORED);
        assert_non_null(strstr(v.cause, ended[i].cause));
    }
    if (MEMORY_IS_LIMITED) {
        struct poolrig_verdict v = poolrig_run(&r, "memory_bomb");
        assert_non_null(strstr(v.cause, "crash SIG"));
    }
    assert_int_equal(poolrig_run(&r, "mmap").outcome, SCORE_SCORED);
    // abort() is the worker's own business and told apart from a refused call. The first process of
    // a pid namespace is immune to its own SIGABRT; there abort() ends by its trap instruction.
    struct poolrig_verdict v = poolrig_run(&r, "abort");
    assert_non_null(strstr(v.cause, level == SANDBOX_FULL ? "crash SIG" : "crash SIGABRT"));
    poolrig_close(&r);
}

static void seccomp_kills_every_forbidden_call(void **state)
{
    (void)state;
    deny_table(CONF_SANDBOX_SECCOMP, SANDBOX_SECCOMP);
}

static void full_kills_every_forbidden_call(void **state)
{
    (void)state;
    deny_table(CONF_SANDBOX_FULL, SANDBOX_FULL);
}

static void without_a_sandbox_the_probes_succeed(void **state)
{
    (void)state;
    static const char *const work[] = {"kill_parent", "mmap_exec", "mprotect_exec",
                                       "ptrace",      "prctl",     "sleep"};
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_NONE);
    poolrig_open(&r, &c);
    for (size_t i = 0; i < ARRAY_LEN(work); i++) {
        assert_int_equal(poolrig_run(&r, work[i]).outcome, SCORE_SCORED);
    }
    poolrig_close(&r);
}

static void memory_ends_at_the_limit(void **state)
{
    (void)state;
    if (!MEMORY_IS_LIMITED) {
        skip();    // AddressSanitizer maps terabytes
    }
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    c.memory_mb = 256;
    poolrig_open(&r, &c);
    assert_int_equal(poolrig_run(&r, "memory").outcome, SCORE_ZERO);
    poolrig_close(&r);
}

// ---- after all that ----

static size_t count_entries(const char *folder)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

// Processes whose parent is this one.
static size_t count_children(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[300], line[512];
        int pid, parent;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        FILE *f = e->d_name[0] >= '0' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (f) {
            bool read = fgets(line, sizeof line, f) != NULL;
            const char *rest = read ? strrchr(line, ')') : NULL;
            n += rest && sscanf(line, "%d", &pid) == 1 && sscanf(rest, ") %*c %d", &parent) == 1 &&
                 parent == getpid();
            fclose(f);
        }
    }
    closedir(d);
    return n;
}

static size_t resident_kib(void)
{
    char line[256];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) && sscanf(line, "VmRSS: %zu", &kib) != 1) {
    }
    fclose(f);
    return kib;
}

// Good jobs and bad ones in any order; what each costs is given back.
static void many_mixed_jobs_leave_nothing_behind(void **state)
{
    (void)state;
    enum { AHEAD = 64 };
    static const char *const bad[] = {"crash", "exit", "garbage", "fork", "other_job"};
    static struct poolrig_verdict v[AHEAD];
    size_t n = getenv("CARAVAN_LONG") ? 100000 : 5000, children = count_children();
    struct poolrig r;
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    c.n_workers = 2;
    c.queue_max = AHEAD;
    poolrig_open(&r, &c);
    alarm(1200);
    size_t descriptors = 0, resident = 0, unscored = 0, expected = 0;
    for (size_t i = 0; i < n + AHEAD; i++) {
        struct poolrig_verdict *at = &v[i % AHEAD];
        if (i >= AHEAD) {
            poolrig_wait(&r, at);
            unscored += at->outcome == SCORE_UNSCORED;
        }
        if (i == n / 5) {
            descriptors = count_entries("/proc/self/fd");
            resident = resident_kib();
        }
        if (i < n) {
            bool is_bad = i % 97 == 13;
            expected += is_bad;
            poolrig_submit(&r, is_bad ? bad[i / 97 % ARRAY_LEN(bad)] : "fine", at);
        }
    }
    assert_int_equal(unscored, expected);    // no innocent job was lost with a guilty one
    assert_true(count_entries("/proc/self/fd") <= descriptors + 6);    // a worker is starting
    if (MEMORY_IS_LIMITED) {
        assert_true(resident_kib() <= resident + 1024);
    }
    poolrig_close(&r);
    assert_int_equal(count_children(), children);
}

// ---- one wall at a time: a forked child takes some steps and then tries things; it reports by its
// exit status ----

enum { CHILD_NO_SANDBOX = 99, CHILD_OK = 0 };

static int run_child(unsigned skip_steps, enum sandbox_level level, int (*body)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sandbox s = {
            .level = level, .memory_bytes = (uint64_t)1 << 40, .cpu_s = 60, .skip = skip_steps};
        _exit(sandbox_enter(&s, NULL) ? CHILD_NO_SANDBOX : body());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool fails_with(long rc, int want)
{
    return rc < 0 && errno == want;
}

static long connect_to_loopback(void)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof a);
}

// What the namespaces alone refuse, the filter left out. Returns the number of the first wall that
// gives.
static int try_namespaces(void)
{
    if (!fails_with(access("/etc/passwd", F_OK), ENOENT) ||
        !fails_with(access("/proc/self", F_OK), ENOENT)) {
        return 1;
    }
    if (!fails_with(open("/file", O_CREAT | O_WRONLY, 0600), EROFS) ||
        !fails_with(mkdir("/folder", 0700), EROFS)) {
        return 2;
    }
    if (!fails_with(connect_to_loopback(), ENETUNREACH)) {
        return 3;
    }
    if (getpid() != 1 || getppid() != 0) {
        return 4;
    }
    if (geteuid() != 65534 || !fails_with(setuid(0), EINVAL)) {
        return 5;
    }
    if (!fails_with(mount("none", "/", "tmpfs", 0, NULL), EPERM) ||
        !fails_with(sethostname("x", 1), EPERM)) {
        return 6;
    }
    return CHILD_OK;
}

static void namespaces_alone_leave_nothing_to_reach(void **state)
{
    (void)state;
    unsigned leave_out = 1u << SANDBOX_STEP_FILTER | 1u << SANDBOX_STEP_LIMITS |
                         1u << SANDBOX_STEP_SEAL | 1u << SANDBOX_STEP_NO_DESCRIPTORS;
    int rc = run_child(leave_out, SANDBOX_FULL, try_namespaces);
    if (rc == CHILD_NO_SANDBOX) {
        skip();
    }
    assert_int_equal(rc, CHILD_OK);
}

static int try_limits(void)
{
    if (!fails_with(open("/dev/null", O_RDONLY), EMFILE) || !fails_with(dup(0), EMFILE)) {
        return 1;
    }
    return fcntl(3, F_GETFD) >= 0 ? 2 : CHILD_OK;
}

static void limits_alone_allow_no_descriptor(void **state)
{
    (void)state;
    assert_int_equal(run_child(1u << SANDBOX_STEP_FILTER, SANDBOX_SECCOMP, try_limits), CHILD_OK);
}

static int try_capabilities(void)
{
    return fails_with(chroot("/"), EPERM) && fails_with(sethostname("x", 1), EPERM) ? CHILD_OK : 1;
}

static void capabilities_alone_leave_root_powerless(void **state)
{
    (void)state;
    assert_int_equal(run_child(1u << SANDBOX_STEP_FILTER, SANDBOX_SECCOMP, try_capabilities),
                     CHILD_OK);
}

static int do_nothing(void)
{
    return CHILD_OK;
}

// A step that cannot be taken ends the worker: here the descriptor limit is spent before /proc can
// be written.
static void a_failing_step_is_an_error_that_names_it(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sandbox s = {.level = SANDBOX_SECCOMP,
                            .cpu_s = 60,
                            .memory_bytes = (uint64_t)1 << 40,
                            .skip = 1u << SANDBOX_STEP_FILTER};
        struct why why = {{0}};
        enum err first = sandbox_enter(&s, &why);
        s.level = SANDBOX_FULL;    // no descriptors are left, so the maps cannot be written
        s.skip = 0;
        enum err second = sandbox_enter(&s, &why);
        _exit(first == ERR_OK && second == ERR_DENIED &&
                      strstr(why.text, "sandbox step \"user namespace\"")
                  ? CHILD_OK
                  : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == CHILD_OK);
}

static void level_names_round_trip(void **state)
{
    (void)state;
    for (int i = SANDBOX_NONE; i <= SANDBOX_FULL; i++) {
        enum sandbox_level level;
        assert_true(sandbox_level_parse(sandbox_level_name((enum sandbox_level)i), &level));
        assert_int_equal(level, i);
    }
    enum sandbox_level level = SANDBOX_FULL;
    assert_false(sandbox_level_parse("auto", &level));
    assert_int_equal(run_child(0, SANDBOX_NONE, do_nothing), CHILD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seccomp_kills_every_forbidden_call),
        cmocka_unit_test(full_kills_every_forbidden_call),
        cmocka_unit_test(without_a_sandbox_the_probes_succeed),
        cmocka_unit_test(memory_ends_at_the_limit),
        cmocka_unit_test(many_mixed_jobs_leave_nothing_behind),
        cmocka_unit_test(namespaces_alone_leave_nothing_to_reach),
        cmocka_unit_test(limits_alone_allow_no_descriptor),
        cmocka_unit_test(capabilities_alone_leave_root_powerless),
        cmocka_unit_test(a_failing_step_is_an_error_that_names_it),
        cmocka_unit_test(level_names_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
