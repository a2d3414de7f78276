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
// What a scorer keeps: pipes 0 and 1 (2 is /dev/null), its own memory, the clock. The allow-list
// has no way to make a descriptor, so read and write can reach nothing else. mmap must be anonymous
// and never executable; abort() may signal itself, nobody else. Anything not listed kills the
// process with SIGSYS, which the pool reports as its own cause.
//
// Filters stack: every call must pass all of them. So the filter under which a shared object is
// loaded allows what loading needs and what the later ones allow, and the last one takes the files
// away again. What was forked by the object's own constructor would outlive that filter's birth; a
// host that has children after loading is refused.
//
// AddressSanitizer: RLIMIT_AS is left out (shadow memory is mapped up front), sigaltstack,
// sched_yield and a few queries are added to the list; workers leave by _exit, so the leak checker,
// which would need clone and ptrace, never starts.
#include "verifier/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
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
#include <sys/stat.h>
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

#define TMPFS_FLAGS (MS_NOSUID | MS_NODEV)
#define NEW_ROOT "/proc"

// Everything below a folder of the old root, read-only, in the new one; a link stays a link. What
// the machine does not have is left out.
static int show(const char *path)
{
    char at[64], target[256];
    struct stat st;
    (void)snprintf(at, sizeof at, NEW_ROOT "%s", path);
    if (lstat(path, &st) != 0) {
        return 0;
    }
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0) {
            return -1;
        }
        target[n] = 0;
        return symlink(target, at);
    }
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
    int made = S_ISDIR(st.st_mode) ? mkdir(at, 0755) : open(at, O_CREAT | O_WRONLY | O_EXCL, 0644);
    if (made < 0 || (!S_ISDIR(st.st_mode) && close(made) != 0)) {
        return -1;
    }
    if (mount(path, at, NULL, MS_BIND | MS_REC, NULL) != 0) {
        return -1;
    }
    return (int)syscall(SYS_mount_setattr, AT_FDCWD, at, AT_RECURSIVE, &attr, sizeof attr);
}

// The plug-in's file, from descriptor 3, so that no path of the old root is needed for it.
static int copy_plugin(void)
{
    char chunk[16384];
    ssize_t n = -1;
    int fd = mkdir(NEW_ROOT "/plugin", 0755) == 0
                 ? open(NEW_ROOT SANDBOX_PLUGIN_PATH, O_CREAT | O_WRONLY | O_EXCL | O_CLOEXEC, 0755)
                 : -1;
    if (fd < 0) {
        return -1;
    }
    for (off_t at = 0; (n = pread(3, chunk, sizeof chunk, at)) > 0; at += n) {
        if (write(fd, chunk, (size_t)n) != n) {
            n = -1;
            break;
        }
    }
    int rc = fchmod(fd, 0755);
    return close(fd) == 0 && n == 0 ? rc : -1;
}

static int furnish_root(const struct sandbox *s)
{
    static const char *const libraries[] = {"/usr", "/lib", "/lib64", "/etc/ld.so.cache"};
    static const char *const for_programs[] = {"/bin", "/etc/alternatives", "/dev/null",
                                               "/dev/urandom"};
    if (copy_plugin() != 0 || mkdir(NEW_ROOT "/etc", 0755) != 0) {
        return -1;
    }
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(libraries) && rc == 0; i++) {
        rc = show(libraries[i]);
    }
    if (s->role == SANDBOX_OBJECT || rc != 0) {
        return rc;
    }
    rc = mkdir(NEW_ROOT "/dev", 0755) != 0 ? -1 : mkdir(NEW_ROOT "/tmp", 01777);
    for (size_t i = 0; i < ARRAY_LEN(for_programs) && rc == 0; i++) {
        rc = show(for_programs[i]);
    }
    return rc != 0 ? rc
                   : mount("none", NEW_ROOT "/tmp", "tmpfs", TMPFS_FLAGS | MS_NOEXEC,
                           "size=16m,nr_inodes=1k,mode=1777");
}

// A tmpfs becomes the root, mounted over /proc because that folder surely exists (the maps above
// were written there): pivot_root(".", ".") stacks the old root on the new one, from where it is
// detached. For a scorer it stays empty.
static int change_root(const struct sandbox *s)
{
    bool empty = s->role == SANDBOX_SCORER;
    const unsigned long flags = TMPFS_FLAGS | (empty ? MS_NOEXEC : 0);
    const char *size = empty ? "size=4k,nr_inodes=2,mode=555" : "size=72m,nr_inodes=64,mode=755";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", NEW_ROOT, "tmpfs", flags, size) != 0 || (!empty && furnish_root(s) != 0) ||
        chdir(NEW_ROOT) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
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

// ---- Landlock ----

// Files by what may be done with them, as far as this kernel knows.
static uint64_t handled_files(int abi)
{
    uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;    // version 1
    all |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    all |= abi >= 3 ? 1ull << 14 : 0;    // truncate
    all |= abi >= 5 ? 1ull << 15 : 0;    // device ioctl
    return all;
}

static int open_beneath(int ruleset, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    struct stat st;
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        return errno == ENOENT ? 0 : -1;
    }
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        rule.allowed_access &= LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                               LANDLOCK_ACCESS_FS_WRITE_FILE;
    }
    long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
    return (int)rc;
}

// Nothing but reading, and running, below `readable`; all but running below `writable`. NULL: none.
static int restrict_files(const char *const *readable, const char *const *writable)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
    }
    const uint64_t read =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    // Version 4 adds TCP, version 6 abstract sockets and signals to the outside; all are denied.
    const uint64_t attr[3] = {handled_files((int)abi), abi >= 4 ? 3 : 0, abi >= 6 ? 3 : 0};
    size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, attr, size, 0);
    if (ruleset < 0) {
        return -1;
    }
    int rc = 0;
    for (size_t i = 0; readable && readable[i] && rc == 0; i++) {
        rc = open_beneath(ruleset, readable[i], read);
    }
    for (size_t i = 0; writable && writable[i] && rc == 0; i++) {
        rc = open_beneath(ruleset, writable[i], attr[0] & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE);
    }
    rc = rc ? rc : (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    close(ruleset);
    return rc;
}

static int enter_landlock(const struct sandbox *s)
{
    static const char *const libraries[] = {"/usr",    "/lib", "/lib64", "/etc/ld.so.cache",
                                            "/plugin", NULL};
    static const char *const system[] = {"/usr", "/lib",    "/lib64",       "/bin",
                                         "/etc", "/plugin", "/dev/urandom", NULL};
    static const char *const own[] = {"/tmp", "/dev/null", NULL};
    switch (s->role) {
    case SANDBOX_SCORER:
        return 0;    // sealed below
    case SANDBOX_OBJECT:
        return restrict_files(libraries, NULL);
    case SANDBOX_PROGRAM:
        return restrict_files(system, own);
    }
    return 0;
}

static int seal_files(const struct sandbox *s)
{
    return s->role == SANDBOX_PROGRAM ? 0 : restrict_files(NULL, NULL);
}

// ---- filters ----

static struct scmp_arg_cmp equals(unsigned arg, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){arg, SCMP_CMP_EQ, value, 0};
}

static struct scmp_arg_cmp bits(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){arg, SCMP_CMP_MASKED_EQ, mask, value};
}

struct rule {
    int call;
    unsigned n;    // conditions on arguments, all of which must hold
    struct scmp_arg_cmp when[2];
};

static int allow_rules(scmp_filter_ctx ctx, const struct rule *rules, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].call, rules[i].n, rules[i].when);
    }
    return rc;
}

static int allow_calls(scmp_filter_ctx ctx, const int *calls, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
    }
    return rc;
}

// Memory, the clock, the end: what every filter of ours allows.
static int allow_computing(scmp_filter_ctx ctx)
{
    static const int plain[] = {
        SCMP_SYS(munmap),          SCMP_SYS(mremap),       SCMP_SYS(brk),
        SCMP_SYS(madvise),         SCMP_SYS(futex),        SCMP_SYS(exit),
        SCMP_SYS(exit_group),      SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(restart_syscall), SCMP_SYS(getpid),       SCMP_SYS(gettid),
        SCMP_SYS(clock_gettime),   SCMP_SYS(gettimeofday),
    };
    static const int sanitizer[] = {SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield),
                                    SCMP_SYS(getrusage), SCMP_SYS(rt_sigaction)};
    const struct rule memory[] = {
        {SCMP_SYS(mmap), 2, {bits(2, PROT_EXEC, 0), bits(3, MAP_ANONYMOUS, MAP_ANONYMOUS)}},
        {SCMP_SYS(rt_sigaction), 1, {equals(0, SIGABRT)}},
    };
    int rc = allow_calls(ctx, plain, ARRAY_LEN(plain));
    rc = rc ? rc : allow_rules(ctx, memory, ARRAY_LEN(memory));
    return rc || !WITH_ASAN ? rc : allow_calls(ctx, sanitizer, ARRAY_LEN(sanitizer));
}

static int allow_pipes(scmp_filter_ctx ctx)
{
    const struct rule pipes[] = {
        {SCMP_SYS(read), 1, {equals(0, 0)}},
        {SCMP_SYS(write), 1, {equals(0, 1)}},
        {SCMP_SYS(write), 1, {equals(0, 2)}},
        {SCMP_SYS(tgkill), 2, {equals(0, (scmp_datum_t)getpid()), equals(2, SIGABRT)}},
    };
    return allow_rules(ctx, pipes, ARRAY_LEN(pipes));
}

// One more process for one call, and its last filter.
static int allow_forking(scmp_filter_ctx ctx)
{
    static const int plain[] = {SCMP_SYS(wait4), SCMP_SYS(set_robust_list), SCMP_SYS(getppid)};
    const struct rule rules[] = {
        {SCMP_SYS(clone), 1, {equals(0, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)}},
        {SCMP_SYS(prctl), 2, {equals(0, PR_SET_PDEATHSIG), equals(1, SIGKILL)}},
        {SCMP_SYS(seccomp), 1, {equals(0, SECCOMP_SET_MODE_FILTER)}},
    };
    int rc = allow_calls(ctx, plain, ARRAY_LEN(plain));
    rc = rc ? rc : allow_rules(ctx, rules, ARRAY_LEN(rules));
    // The process for the call is not this one: its abort() finds its signal refused, not a wall.
    const struct scmp_arg_cmp other = {0, SCMP_CMP_NE, (scmp_datum_t)getpid(), 0};
    return rc ? rc
              : seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(tgkill), 1, &other);
}

// What the dynamic loader does, and what the steps after it need. Files can be read only.
static int allow_loading(scmp_filter_ctx ctx)
{
    static const int plain[] = {
        SCMP_SYS(close),       SCMP_SYS(fstat),
        SCMP_SYS(newfstatat),  SCMP_SYS(pread64),
        SCMP_SYS(lseek),       SCMP_SYS(mmap),
        SCMP_SYS(mprotect),    SCMP_SYS(access),
        SCMP_SYS(faccessat),   SCMP_SYS(faccessat2),
        SCMP_SYS(readlink),    SCMP_SYS(readlinkat),
        SCMP_SYS(getrandom),   SCMP_SYS(arch_prctl),
        SCMP_SYS(read),        SCMP_SYS(getcwd),
        SCMP_SYS(sigaltstack), SCMP_SYS(landlock_restrict_self),
        SCMP_SYS(prctl),       SCMP_SYS(landlock_create_ruleset),
        SCMP_SYS(rseq),        SCMP_SYS(sched_getaffinity),
    };
    const scmp_datum_t writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
    const struct rule rules[] = {
        {SCMP_SYS(openat), 1, {bits(2, writing, 0)}}, {SCMP_SYS(open), 1, {bits(1, writing, 0)}},
        {SCMP_SYS(rt_sigaction), 0, {{0}}},           {SCMP_SYS(setrlimit), 0, {{0}}},
        {SCMP_SYS(prlimit64), 1, {equals(0, 0)}},
    };
    int rc = allow_calls(ctx, plain, ARRAY_LEN(plain));
    return rc ? rc : allow_rules(ctx, rules, ARRAY_LEN(rules));
}

static scmp_filter_ctx new_filter(uint32_t otherwise)
{
    scmp_filter_ctx ctx = seccomp_init(otherwise);
    if (!ctx) {
        errno = ENOMEM;
    } else if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0) {
        errno = EINVAL;
        return NULL;
    }
    return ctx;
}

// The filter context is not released: its allocations must not be returned by calls that the filter
// then sees for the first time.
static int install(scmp_filter_ctx ctx, int rc)
{
    rc = rc ? rc : seccomp_load(ctx);
    errno = rc < 0 ? -rc : errno;
    return rc < 0 ? -1 : 0;
}

static int load_filter(const struct sandbox *s)
{
    scmp_filter_ctx ctx = new_filter(SCMP_ACT_KILL_PROCESS);
    if (!ctx) {
        return -1;
    }
    int rc = allow_computing(ctx);
    rc = rc ? rc : allow_pipes(ctx);
    rc = rc || s->role != SANDBOX_OBJECT ? rc : allow_forking(ctx);
    if (s->role == SANDBOX_PROGRAM) {
        const struct rule program[] = {{SCMP_SYS(read), 1, {equals(0, 3)}},
                                       {SCMP_SYS(write), 1, {equals(0, 4)}},
                                       {SCMP_SYS(wait4), 0, {{0}}}};
        rc = rc ? rc : allow_rules(ctx, program, ARRAY_LEN(program));
    }
    return install(ctx, rc);
}

// ---- the call's filter, made before the walls as bytes, for it is installed once for every call

static struct sock_filter call_code[512];
static struct sock_fprog call_program = {0, call_code};

// Through a pipe: files cannot be written any more. The code is far smaller than a pipe's buffer.
static int export_filter(scmp_filter_ctx ctx)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return -1;
    }
    int rc = seccomp_export_bpf(ctx, fds[1]);
    close(fds[1]);
    ssize_t n = rc ? -1 : read(fds[0], call_code, sizeof call_code);
    close(fds[0]);
    if (n <= 0 || (size_t)n >= sizeof call_code) {
        errno = E2BIG;
        return -1;
    }
    call_program.len = (unsigned short)((size_t)n / sizeof call_code[0]);
    return 0;
}

// abort() finds its own signal refused and goes on to its trap: a crash, not a broken wall.
static int make_call_filter(void)
{
    scmp_filter_ctx ctx = new_filter(SCMP_ACT_KILL_PROCESS);
    int rc = ctx ? allow_computing(ctx) : -1;
    rc = rc ? rc : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(tgkill), 0);
    rc = rc ? -1 : export_filter(ctx);
    seccomp_release(ctx);
    return rc;
}

bool sandbox_enter_call(void)
{
    return call_program.len == 0 ||
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &call_program) == 0;
}

static int filter_loading(const struct sandbox *s)
{
    if (s->role != SANDBOX_OBJECT) {
        return 0;
    }
    scmp_filter_ctx ctx = make_call_filter() == 0 ? new_filter(SCMP_ACT_KILL_PROCESS) : NULL;
    if (!ctx) {
        return -1;
    }
    int rc = allow_loading(ctx);
    rc = rc ? rc : allow_computing(ctx);
    rc = rc ? rc : allow_pipes(ctx);
    return install(ctx, rc ? rc : allow_forking(ctx));
}

// A list of what interpreters use. What is not on it fails with EPERM instead of killing: they
// probe. Processes and threads are allowed, new namespaces are not; clone3 hides its flags, so it
// "does not exist" and libraries fall back to clone.
bool sandbox_program_filter(void)
{
    static const int plain[] = {
        SCMP_SYS(read),
        SCMP_SYS(readv),
        SCMP_SYS(pread64),
        SCMP_SYS(write),
        SCMP_SYS(writev),
        SCMP_SYS(pwrite64),
        SCMP_SYS(open),
        SCMP_SYS(openat),
        SCMP_SYS(close),
        SCMP_SYS(close_range),
        SCMP_SYS(stat),
        SCMP_SYS(fstat),
        SCMP_SYS(lstat),
        SCMP_SYS(newfstatat),
        SCMP_SYS(statx),
        SCMP_SYS(statfs),
        SCMP_SYS(fstatfs),
        SCMP_SYS(access),
        SCMP_SYS(faccessat),
        SCMP_SYS(faccessat2),
        SCMP_SYS(readlink),
        SCMP_SYS(readlinkat),
        SCMP_SYS(getcwd),
        SCMP_SYS(chdir),
        SCMP_SYS(getdents64),
        SCMP_SYS(lseek),
        SCMP_SYS(ioctl),
        SCMP_SYS(fcntl),
        SCMP_SYS(dup),
        SCMP_SYS(dup2),
        SCMP_SYS(dup3),
        SCMP_SYS(pipe),
        SCMP_SYS(pipe2),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(select),
        SCMP_SYS(pselect6),
        SCMP_SYS(epoll_create1),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_wait),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(eventfd2),
        SCMP_SYS(mkdir),
        SCMP_SYS(mkdirat),
        SCMP_SYS(unlink),
        SCMP_SYS(unlinkat),
        SCMP_SYS(rmdir),
        SCMP_SYS(rename),
        SCMP_SYS(renameat),
        SCMP_SYS(renameat2),
        SCMP_SYS(ftruncate),
        SCMP_SYS(fsync),
        SCMP_SYS(fdatasync),
        SCMP_SYS(umask),
        SCMP_SYS(memfd_create),
        SCMP_SYS(mmap),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(mprotect),
        SCMP_SYS(madvise),
        SCMP_SYS(brk),
        SCMP_SYS(membarrier),
        SCMP_SYS(futex),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(get_robust_list),
        SCMP_SYS(rseq),
        SCMP_SYS(set_tid_address),
        SCMP_SYS(arch_prctl),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(rt_sigtimedwait),
        SCMP_SYS(tgkill),
        SCMP_SYS(kill),
        SCMP_SYS(getpid),
        SCMP_SYS(getppid),
        SCMP_SYS(gettid),
        SCMP_SYS(getpgid),
        SCMP_SYS(getpgrp),
        SCMP_SYS(getuid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getegid),
        SCMP_SYS(getresuid),
        SCMP_SYS(getresgid),
        SCMP_SYS(getgroups),
        SCMP_SYS(prlimit64),
        SCMP_SYS(getrlimit),
        SCMP_SYS(getrusage),
        SCMP_SYS(sysinfo),
        SCMP_SYS(uname),
        SCMP_SYS(sched_yield),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_getres),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(nanosleep),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(time),
        SCMP_SYS(times),
        SCMP_SYS(getrandom),
        SCMP_SYS(execve),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(wait4),
        SCMP_SYS(waitid),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(vfork),
        SCMP_SYS(fork),
    };
    const scmp_datum_t namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    const struct rule rules[] = {{SCMP_SYS(clone), 1, {bits(0, namespaces, 0)}}};
    scmp_filter_ctx ctx = new_filter(SCMP_ACT_ERRNO(EPERM));
    if (!ctx) {
        return false;
    }
    int rc = allow_calls(ctx, plain, ARRAY_LEN(plain));
    rc = rc ? rc : allow_rules(ctx, rules, ARRAY_LEN(rules));
    rc = rc ? rc : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return install(ctx, rc) == 0;
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
    [SANDBOX_STEP_ROOT] = {"read-only root", change_root, FULL},
    [SANDBOX_STEP_DUMPABLE] = {"forbid tracing and dumps", forbid_dump, ALL},
    [SANDBOX_STEP_LIMITS] = {"resource limits", set_limits, ALL},
    [SANDBOX_STEP_CAPABILITIES] = {"drop capabilities", drop_capabilities, WALLED},
    [SANDBOX_STEP_PRIVILEGES] = {"no new privileges", forbid_privileges, WALLED},
    [SANDBOX_STEP_LANDLOCK] = {"file access", enter_landlock, WALLED},
    [SANDBOX_STEP_LOAD_FILTER] = {"filter for loading", filter_loading, WALLED},
    [SANDBOX_STEP_LOAD] = {"load the plug-in", load_plugin, ALL},
    [SANDBOX_STEP_SEAL] = {"no file access", seal_files, WALLED},
    [SANDBOX_STEP_NO_DESCRIPTORS] = {"no descriptors", forbid_descriptors, ALL},
    [SANDBOX_STEP_FILTER] = {"system-call filter", load_filter, WALLED},
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
