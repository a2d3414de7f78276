// sandbox_filter.c: the system calls that are left, as lists.
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
// AddressSanitizer: sigaltstack, sched_yield and a few queries are added to the list; workers leave
// by _exit, so the leak checker, which would need clone and ptrace, never starts.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "verifier/sandbox_steps.h"

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

int sandbox_filter_last(const struct sandbox *s)
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

int sandbox_filter_loading(const struct sandbox *s)
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
