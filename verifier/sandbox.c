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
// What the worker keeps: pipes 0 and 1 (2 is /dev/null), its own memory, the clock. The allow-list
// has no way to make a descriptor, so read and write can reach nothing else. mmap must be anonymous
// and never executable; abort() may signal itself, nobody else. Anything not listed kills the
// process with SIGSYS, which the pool reports as its own cause.
//
// AddressSanitizer: RLIMIT_AS is left out (shadow memory is mapped up front), sigaltstack,
// sched_yield and a few queries are added to the list; workers leave by _exit, so the leak checker,
// which would need clone and ptrace, never starts.
#include "verifier/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

// Each step returns 0 or -1 with errno.

static int close_descriptors(const struct sandbox *s)
{
    (void)s;
    return (int)syscall(SYS_close_range, 3u, ~0u, 0u);
}

static int forget_environment(const struct sandbox *s)
{
    (void)s;
    return clearenv() == 0 ? chdir("/") : -1;
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
    pid_t child = fork();
    if (child > 0) {
        follow_child(child);
    }
    return child;
}

// An empty tmpfs becomes the root, mounted over /proc because that folder surely exists (the maps
// above were written there): pivot_root(".", ".") stacks the old root on the new one, from where it
// is detached.
static int empty_root(const struct sandbox *s)
{
    (void)s;
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", flags, "size=4k,nr_inodes=2,mode=555") != 0 ||
        chdir("/proc") != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) {
        return -1;
    }
    return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL);
}

static int forbid_dump(const struct sandbox *s)
{
    (void)s;
    return prctl(PR_SET_DUMPABLE, 0);
}

static int set_limits(const struct sandbox *s)
{
    if (!WITH_ASAN && limit(RLIMIT_AS, s->memory_bytes) != 0) {
        return -1;
    }
    if (limit(RLIMIT_CPU, s->cpu_s) != 0 || limit(RLIMIT_FSIZE, 0) != 0 ||
        limit(RLIMIT_MEMLOCK, 0) != 0 || limit(RLIMIT_NPROC, 0) != 0) {
        return -1;
    }
    return limit(RLIMIT_NOFILE, 0);
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

static int allow(scmp_filter_ctx ctx, int call)
{
    return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0);
}

static struct scmp_arg_cmp equals(unsigned arg, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){arg, SCMP_CMP_EQ, value, 0};
}

static struct scmp_arg_cmp bits(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){arg, SCMP_CMP_MASKED_EQ, mask, value};
}

// Calls with conditions on their arguments, all of which must hold.
static int allow_bounded(scmp_filter_ctx ctx)
{
    const struct {
        int call;
        unsigned n;
        struct scmp_arg_cmp when[2];
    } rules[] = {
        {SCMP_SYS(read), 1, {equals(0, 0)}},
        {SCMP_SYS(write), 1, {equals(0, 1)}},
        {SCMP_SYS(write), 1, {equals(0, 2)}},
        {SCMP_SYS(mmap), 2, {bits(2, PROT_EXEC, 0), bits(3, MAP_ANONYMOUS, MAP_ANONYMOUS)}},
        {SCMP_SYS(tgkill), 2, {equals(0, (scmp_datum_t)getpid()), equals(2, SIGABRT)}},
        {SCMP_SYS(rt_sigaction), 1, {equals(0, SIGABRT)}},
    };
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(rules) && !rc; i++) {
        rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].call, rules[i].n, rules[i].when);
    }
    return rc;
}

static int load_filter(const struct sandbox *s)
{
    (void)s;
    static const int plain[] = {
        SCMP_SYS(munmap),          SCMP_SYS(mremap),       SCMP_SYS(brk),
        SCMP_SYS(madvise),         SCMP_SYS(futex),        SCMP_SYS(exit),
        SCMP_SYS(exit_group),      SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(restart_syscall), SCMP_SYS(getpid),       SCMP_SYS(gettid),
        SCMP_SYS(clock_gettime),   SCMP_SYS(gettimeofday),
    };
    static const int sanitizer[] = {SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield),
                                    SCMP_SYS(getrusage), SCMP_SYS(rt_sigaction)};
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!ctx) {
        errno = ENOMEM;
        return -1;
    }
    int rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    rc = rc ? rc : allow_bounded(ctx);
    for (size_t i = 0; i < ARRAY_LEN(plain) && !rc; i++) {
        rc = allow(ctx, plain[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(sanitizer) && !rc && WITH_ASAN; i++) {
        rc = allow(ctx, sanitizer[i]);
    }
    // The filter context is not released: its allocations must not be returned by calls that the
    // filter then sees for the first time.
    rc = rc ? rc : seccomp_load(ctx);
    errno = rc < 0 ? -rc : errno;
    return rc < 0 ? -1 : 0;
}

enum { ALL = 7, WALLED = 6, FULL = 4 };    // bits 1 << enum sandbox_level

static const struct {
    const char *name;
    int (*run)(const struct sandbox *s);
    unsigned levels;
} STEPS[SANDBOX_STEP_COUNT] = {
    [SANDBOX_STEP_DESCRIPTORS] = {"close descriptors", close_descriptors, ALL},
    [SANDBOX_STEP_ENVIRONMENT] = {"forget environment and folder", forget_environment, ALL},
    [SANDBOX_STEP_CORE] = {"forbid core files", forbid_core, ALL},
    [SANDBOX_STEP_USER_NAMESPACE] = {"user namespace", enter_user_namespace, FULL},
    [SANDBOX_STEP_NAMESPACES] = {"mount, pid, net, ipc, uts, cgroup namespaces", enter_namespaces,
                                 FULL},
    [SANDBOX_STEP_PROCESS] = {"process in the pid namespace", fork_into_pid_namespace, FULL},
    [SANDBOX_STEP_PARENT] = {"die with the parent", die_with_parent, ALL},
    [SANDBOX_STEP_ROOT] = {"empty read-only root", empty_root, FULL},
    [SANDBOX_STEP_DUMPABLE] = {"forbid tracing and dumps", forbid_dump, ALL},
    [SANDBOX_STEP_LIMITS] = {"resource limits", set_limits, ALL},
    [SANDBOX_STEP_CAPABILITIES] = {"drop capabilities", drop_capabilities, WALLED},
    [SANDBOX_STEP_PRIVILEGES] = {"no new privileges", forbid_privileges, WALLED},
    [SANDBOX_STEP_FILTER] = {"system-call filter", load_filter, WALLED},
};

enum err sandbox_enter(const struct sandbox *s, struct why *why)
{
    for (size_t i = 0; i < ARRAY_LEN(STEPS); i++) {
        bool wanted = (STEPS[i].levels & (1u << s->level)) != 0 && (s->skip & (1u << i)) == 0;
        if (wanted && STEPS[i].run(s) != 0) {
            return why_set(why, ERR_DENIED, "sandbox step \"%s\": %s", STEPS[i].name,
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
