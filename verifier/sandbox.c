// sandbox.c: containment as a list.
//
// Read STEPS from top to bottom: that is the order in which a worker walls itself in, and each line
// says at which levels it applies. The order is not free. Descriptors first, so that nothing after
// them is shared. The user namespace before the others, because it gives an ordinary user the right
// to make them. /proc/self/uid_map must be written while the process is still dumpable and /proc
// still there. The pid namespace begins with the next child, so the process forks, and the parent
// only waits. Capabilities are dropped after the mounts that need them, the filter comes last
// because it forbids all of the above.
//
// The files and the system calls that are left stand in sandbox_files.c and sandbox_filter.c.
// AddressSanitizer: RLIMIT_AS is left out (shadow memory is mapped up front).
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "verifier/sandbox_steps.h"

// Each step returns 0 or -1 with errno.

static int close_descriptors(const struct sandbox *s)
{
    unsigned first = s->role == SANDBOX_SCORER ? 3 : 4;
    return (int)syscall(SYS_close_range, first, ~0u, 0u);
}

static int forget_environment(const struct sandbox *s)
{
    (void)s;
    return clearenv() == 0 ? chdir("/") : -1;
}

static int reset_signals(const struct sandbox *s)
{
    (void)s;
    sigset_t none;
    for (int i = 1; i < NSIG; i++) {
        if (!WITH_ASAN) {
            (void)signal(i, SIG_DFL);    // fails for the two that cannot be changed
        }
    }
    (void)umask(0077);
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int limit(int resource, rlim_t value)
{
    struct rlimit r = {value, value};
    return setrlimit((__rlimit_resource_t)resource, &r);
}

static int forbid_core(const struct sandbox *s)
{
    (void)s;
    return limit(RLIMIT_CORE, 0);
}

static int write_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t n = write(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    errno = saved;
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

// Our user and group become "nobody" inside, and no other identity exists there.
static int enter_user_namespace(const struct sandbox *s)
{
    (void)s;
    char users[64], groups[64];
    (void)snprintf(users, sizeof users, "65534 %u 1", (unsigned)geteuid());
    (void)snprintf(groups, sizeof groups, "65534 %u 1", (unsigned)getegid());
    if (unshare(CLONE_NEWUSER) != 0 || write_proc("/proc/self/setgroups", "deny") != 0) {
        return -1;
    }
    return write_proc("/proc/self/uid_map", users) != 0 ? -1
                                                        : write_proc("/proc/self/gid_map", groups);
}

static int enter_namespaces(const struct sandbox *s)
{
    (void)s;
    return unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                   CLONE_NEWCGROUP);
}

static int die_with_parent(const struct sandbox *s)
{
    (void)s;
    return prctl(PR_SET_PDEATHSIG, SIGKILL);
}

// The outer process: holds no pipe, waits for the child and ends as it did.
static _Noreturn void follow_child(pid_t child)
{
    close(0);
    close(1);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        sigset_t all;
        sigfillset(&all);
        signal(WTERMSIG(status), SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &all, NULL);
        kill(getpid(), WTERMSIG(status));
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 255);
}

static int fork_into_pid_namespace(const struct sandbox *s)
{
    if (die_with_parent(s) != 0) {
        return -1;
    }
    // The outer process keeps the other end for as long as it lives: it may be killed before the
    // child has asked to die with it, and the child would then wait for jobs for ever.
    int alive[2];
    if (pipe2(alive, O_CLOEXEC) != 0) {
        return -1;
    }
    // Without the handlers of pthread_atfork: libuv's would close descriptors by their old numbers.
    pid_t child = _Fork();
    if (child > 0) {
        close(alive[0]);
        follow_child(child);
    }
    close(alive[1]);
    if (child == 0) {
        struct pollfd outer = {.fd = alive[0]};
        if (die_with_parent(s) != 0 || poll(&outer, 1, 0) != 0) {
            _exit(255);
        }
    }
    close(alive[0]);
    return child;
}

static int forbid_dump(const struct sandbox *s)
{
    (void)s;
    return prctl(PR_SET_DUMPABLE, 0);
}

// A program is a world of its own: it may open files and start processes, within bounds. An
// object's host may open files while it loads, and fork always: its filter sees to both.
static int set_limits(const struct sandbox *s)
{
    static const struct {
        int resource;
        rlim_t value[3];    // by role
    } limits[] = {
        {RLIMIT_FSIZE, {0, 0, 16u << 20}},
        {RLIMIT_MEMLOCK, {0, 0, 0}},
        {RLIMIT_NPROC, {0, 64, 64}},
        {RLIMIT_NOFILE, {32, 32, 64}},
    };
    if (!WITH_ASAN && limit(RLIMIT_AS, s->memory_bytes) != 0) {
        return -1;
    }
    int rc = limit(RLIMIT_CPU, s->cpu_s);
    for (size_t i = 0; i < ARRAY_LEN(limits) && rc == 0; i++) {
        // Below level full the processes of the whole user count, and the filter is the wall.
        bool shared = limits[i].resource == RLIMIT_NPROC && s->role == SANDBOX_OBJECT &&
                      s->level != SANDBOX_FULL;
        rc = shared ? 0 : limit(limits[i].resource, limits[i].value[s->role]);
    }
    return rc;
}

static int forbid_descriptors(const struct sandbox *s)
{
    return s->role == SANDBOX_PROGRAM ? 0 : limit(RLIMIT_NOFILE, 0);
}

static int drop_capabilities(const struct sandbox *s)
{
    (void)s;
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    return (int)syscall(SYS_capset, &head, none);
}

static int forbid_privileges(const struct sandbox *s)
{
    (void)s;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

// ---- the list ----

// `why` of a failed load is the plug-in's, not a wall's.
static struct why load_why;

static int load_plugin(const struct sandbox *s)
{
    load_why.text[0] = 0;
    if (s->role == SANDBOX_SCORER) {
        return 0;
    }
    if (s->role == SANDBOX_OBJECT && prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        return -1;
    }
    return s->load(s->load_arg, &load_why) ? 0 : -1;
}

enum { ALL = 7, WALLED = 6, FULL = 4 };    // bits 1 << enum sandbox_level

static const struct {
    const char *name;
    int (*run)(const struct sandbox *s);
    unsigned levels;
} STEPS[SANDBOX_STEP_COUNT] = {
    [SANDBOX_STEP_DESCRIPTORS] = {"close descriptors", close_descriptors, ALL},
    [SANDBOX_STEP_ENVIRONMENT] = {"forget environment and folder", forget_environment, ALL},
    [SANDBOX_STEP_SIGNALS] = {"reset signals", reset_signals, ALL},
    [SANDBOX_STEP_CORE] = {"forbid core files", forbid_core, ALL},
    [SANDBOX_STEP_USER_NAMESPACE] = {"user namespace", enter_user_namespace, FULL},
    [SANDBOX_STEP_NAMESPACES] = {"mount, pid, net, ipc, uts, cgroup namespaces", enter_namespaces,
                                 FULL},
    [SANDBOX_STEP_PROCESS] = {"process in the pid namespace", fork_into_pid_namespace, FULL},
    [SANDBOX_STEP_PARENT] = {"die with the parent", die_with_parent, ALL},
    [SANDBOX_STEP_ROOT] = {"read-only root", sandbox_change_root, FULL},
    [SANDBOX_STEP_DUMPABLE] = {"forbid tracing and dumps", forbid_dump, ALL},
    [SANDBOX_STEP_LIMITS] = {"resource limits", set_limits, ALL},
    [SANDBOX_STEP_CAPABILITIES] = {"drop capabilities", drop_capabilities, WALLED},
    [SANDBOX_STEP_PRIVILEGES] = {"no new privileges", forbid_privileges, WALLED},
    [SANDBOX_STEP_LANDLOCK] = {"file access", sandbox_restrict_files, WALLED},
    [SANDBOX_STEP_LOAD_FILTER] = {"filter for loading", sandbox_filter_loading, WALLED},
    [SANDBOX_STEP_LOAD] = {"load the plug-in", load_plugin, ALL},
    [SANDBOX_STEP_SEAL] = {"no file access", sandbox_seal_files, WALLED},
    [SANDBOX_STEP_NO_DESCRIPTORS] = {"no descriptors", forbid_descriptors, ALL},
    [SANDBOX_STEP_FILTER] = {"system-call filter", sandbox_filter_last, WALLED},
};

enum err sandbox_enter(const struct sandbox *s, struct why *why)
{
    if (s->role == SANDBOX_PROGRAM && s->level != SANDBOX_FULL) {
        return why_set(why, ERR_UNSUPPORTED, "a program needs sandbox level full, this is %s",
                       sandbox_level_name(s->level));
    }
    for (size_t i = 0; i < ARRAY_LEN(STEPS); i++) {
        bool wanted = (STEPS[i].levels & (1u << s->level)) != 0 && (s->skip & (1u << i)) == 0;
        if (wanted && STEPS[i].run(s) != 0) {
            return i == SANDBOX_STEP_LOAD && load_why.text[0]
                       ? why_set(why, ERR_INVALID, "%s", load_why.text)
                       : why_set(why, ERR_DENIED, "sandbox step \"%s\": %s", STEPS[i].name,
                                 strerror(errno));
        }
    }
    return ERR_OK;
}

static const char *const LEVEL_NAMES[] = {"none", "seccomp", "full"};

const char *sandbox_level_name(enum sandbox_level level)
{
    return (size_t)level < ARRAY_LEN(LEVEL_NAMES) ? LEVEL_NAMES[level] : "unknown";
}

bool sandbox_level_parse(const char *name, enum sandbox_level *out)
{
    for (size_t i = 0; i < ARRAY_LEN(LEVEL_NAMES); i++) {
        if (strcmp(name, LEVEL_NAMES[i]) == 0) {
            *out = (enum sandbox_level)i;
            return true;
        }
    }
    return false;
}

const char *sandbox_signal_name(int number)
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
