// probe_worker.c: a worker whose score function does what the response says: the attacker of the
// sandbox and pool tests.
//
// It shares everything with the real worker but the scoring. A probe that survives a forbidden call
// reports it: score = the call succeeded, zero = it failed with an errno (named in the component).
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "verifier/jobframe.h"
#include "verifier/worker.h"

__attribute__((visibility("default"))) const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:detect_leaks=0:allocator_may_return_null="
           "1";
}

static unsigned jobs_done;

static long try_exec(void)
{
    char *const argv[] = {"/bin/true", NULL};
    return execve(argv[0], argv, argv + 1);
}

static long map(int protection)
{
    void *p = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -1 : 0;
}

static long make_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -1 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static long raise_limit(void)
{
    struct rlimit r = {64, 64};
    return setrlimit(RLIMIT_NOFILE, &r);
}

// -1 when some descriptor beyond the three standard ones is open.
static long inherited_descriptors(void)
{
    for (int fd = 3; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            return -1;
        }
    }
    return 0;
}

static long inherited_surroundings(void)
{
    extern char **environ;
    char folder[64];
    bool clean =
        (!environ || !environ[0]) && getcwd(folder, sizeof folder) && strcmp(folder, "/") == 0;
    return clean ? 0 : -1;
}

static long connect_out(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof a);
}

static long read_proc_of_others(void)
{
    char path[64], byte;
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
    int fd = open(path, O_RDONLY);
    return fd < 0 ? -1 : read(fd, &byte, 1);
}

// A child that outlives the job, with the pipe in its hands.
static long keep_grandchild(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    return pid;
}

static long fork_bomb(void)
{
    for (;;) {
        if (fork() < 0) {
            return -1;
        }
    }
}

// The forbidden calls, by name; -2: no such probe.
static long attempt(const char *what)
{
    struct {
        const char *name;
        long (*run)(void);
    } const calls[] = {{"exec", try_exec},
                       {"mprotect_exec", make_executable},
                       {"setrlimit", raise_limit},
                       {"connect", connect_out},
                       {"proc_of_others", read_proc_of_others},
                       {"grandchild", keep_grandchild},
                       {"fork_bomb", fork_bomb}};
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        if (strcmp(what, calls[i].name) == 0) {
            return calls[i].run();
        }
    }
#define PROBE(name, call)                                                                          \
    if (strcmp(what, name) == 0) {                                                                 \
        return (long)(call);                                                                       \
    }
    PROBE("open", open("/etc/passwd", O_RDONLY))
    PROBE("create", open("/tmp/probe", O_CREAT | O_WRONLY, 0600))
    PROBE("unlink", unlink("/nowhere"))
    PROBE("socket", socket(AF_INET, SOCK_STREAM, 0))
    PROBE("socket_unix", socket(AF_UNIX, SOCK_STREAM, 0))
    PROBE("fork", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
    PROBE("thread",
          syscall(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0, 0,
                  0, 0))
    PROBE("kill_parent", kill(getppid(), 0))
    PROBE("kill_all", kill(-1, 0))
    PROBE("tgkill", syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1))
    PROBE("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL))
    PROBE("process_vm", syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0))
    PROBE("mmap", map(PROT_READ | PROT_WRITE))
    PROBE("mmap_exec", map(PROT_READ | PROT_WRITE | PROT_EXEC))
    PROBE("write_elsewhere", write(7, "x", 1))
    PROBE("read_elsewhere", read(7, NULL, 0))
    PROBE("dup", dup(0))
    PROBE("prctl", prctl(PR_SET_DUMPABLE, 1))
    PROBE("unshare", unshare(CLONE_NEWNET))
    PROBE("mount", syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL))
    PROBE("bpf", syscall(SYS_bpf, 0, NULL, 0))
    PROBE("io_uring", syscall(SYS_io_uring_setup, 1, NULL))
    PROBE("sleep", usleep(1))
    PROBE("inherited_descriptors", inherited_descriptors())
    PROBE("inherited_surroundings", inherited_surroundings())
    return -2;
}

static void crash(void)
{
    volatile uintptr_t nowhere = 16;
    *(volatile int *)nowhere = 1;
}

static void send_raw(const void *data, size_t len)
{
    ssize_t n = write(1, data, len);
    (void)n;
}

static void send_result_of_another_job(void)
{
    struct buf b;
    struct score_result r = {.outcome = SCORE_SCORED, .reward = 1};
    buf_init(&b, 0);
    if (jobframe_put_result(&b, 999999, &r) == ERR_OK) {
        send_raw(b.data, b.len);
    }
}

static void misbehave(const char *what)
{
    if (strcmp(what, "crash") == 0 || (strcmp(what, "crash_unless_fresh") == 0 && jobs_done > 1)) {
        crash();
    } else if (strcmp(what, "abort") == 0) {
        abort();
    } else if (strcmp(what, "exit") == 0) {
        _exit(7);
    } else if (strcmp(what, "spin") == 0) {
        for (volatile unsigned i = 0;; i++) {
        }
    } else if (strcmp(what, "garbage") == 0) {
        send_raw("\x05\0\0\0hello", 9);
    } else if (strcmp(what, "oversize") == 0) {
        send_raw("\xff\xff\xff\x7f", 4);
    } else if (strcmp(what, "flood") == 0) {
        static char chunk[1 << 16];
        for (size_t sent = 0; sent < (size_t)1 << 30; sent += sizeof chunk) {
            send_raw(chunk, sizeof chunk);
        }
    } else if (strcmp(what, "memory_bomb") == 0) {
        for (;;) {
            char *p = malloc(1 << 20);
            if (!p) {
                abort();
            }
            memset(p, 1, 1 << 20);
        }
    } else if (strcmp(what, "other_job") == 0) {
        send_result_of_another_job();
    }
}

static void probe(struct askbook *book, const struct score_request *req, struct score_result *out)
{
    (void)book;
    char what[64] = {0};
    memcpy(what, req->response.data, MIN(req->response.len, sizeof what - 1));
    jobs_done++;
    misbehave(what);
    *out = (struct score_result){.outcome = SCORE_SCORED, .reward = 1};
    if (strcmp(what, "count") == 0) {
        out->reward = jobs_done;
        return;
    }
    if (strcmp(what, "memory") == 0) {
        char *p = malloc((size_t)2 << 30);
        out->outcome = p ? SCORE_SCORED : SCORE_ZERO;
        out->reward = p ? 1 : 0;
        free(p);
        return;
    }
    long rc = attempt(what);
    if (rc == -2) {
        return;
    }
    out->outcome = rc >= 0 ? SCORE_SCORED : SCORE_ZERO;
    out->reward = rc >= 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    worker_run(argc, argv, probe);
}
