// workpool.h: N sandboxed worker processes that score requests; the way to score anything that a
// model wrote.
//
// On the libuv loop thread of its owner: the verifier daemon runs it beside the bus, `caravan
// verify` on a loop of its own. (The name leaves `pool` to common/pool.h, the compute threads.) A
// job has a wall deadline, then SIGKILL. A crash, a time-out, a refused system call or garbage from
// a worker costs that worker; the job is tried again on a fresh one, twice, and is then unscored
// with the last cause. A worker is replaced after recycle_jobs jobs. SIGPIPE is set to ignored if
// the program left it at its default.
//
// With a folder of plug-ins, checks that are not built in are answered by these (plugins.h), each
// in processes of its own; rows may mix all kinds. While the folder is looked at for the first time,
// rows that need a plug-in wait.
#ifndef CARAVAN_VERIFIER_WORKPOOL_H
#define CARAVAN_VERIFIER_WORKPOOL_H

#include "verifier/crew.h"
#include "verifier/plugins.h"

#define WORKPOOL_RETRIES CREW_RETRIES

struct workpool;

struct workpool_config {
    const char *worker_binary;    // NULL: caravan-verify-worker in the folder of this executable
    uint32_t n_workers;           // 1..256
    // auto: full, and where that cannot be had seccomp; never none by itself.
    enum conf_sandbox sandbox;
    uint32_t deadline_ms;     // of a job whose submit names none; 1 or more
    uint32_t recycle_jobs;    // 1 or more
    uint32_t queue_max;       // jobs waiting for a worker; 0: 4 * n_workers
    uint32_t memory_mb;       // of one worker; 0: 1024
    const char *plugins;      // a folder; NULL or "": none
    // Called when the plug-ins' checks have changed; NULL is fine. arg: that of `ready`.
    void (*checks_changed)(void *arg);
};

// Of the workers for built-in checks; jobs and unscored count requests of every kind.
struct workpool_stats {
    uint32_t workers, busy, queued;    // now; workers counts those that are ready
    uint64_t jobs_total, unscored_total, retries_total, restarts_total;
};

// Called once: ERR_OK with the level that the workers confirmed (text: why a better one was not
// had, or "") after the first look at the plug-ins, or an error and its text, after which the pool
// accepts no jobs.
typedef void workpool_ready_fn(void *arg, enum err e, enum sandbox_level level, const char *text);
// Called exactly once for a submitted job; *result is valid during the call. elapsed_us: from its
// first start, retries included.
typedef void workpool_done_fn(void *arg, const struct score_result *result, uint32_t elapsed_us);

// Starts the first worker; `ready` may be NULL. Jobs may be submitted at once.
MUST_CHECK enum err workpool_create(uv_loop_t *loop, const struct workpool_config *c,
                                    workpool_ready_fn *ready, void *arg, struct workpool **out,
                                    struct why *why);
// Copies the request. deadline_ms 0: the configured one. ERR_FULL: the queue is full, try after a
// `done`; ERR_CLOSED: closing, or no worker could be started (why has the cause); ERR_LIMIT: a text
// over SCORE_TEXT_MAX. `done` is never called from inside this call.
MUST_CHECK enum err workpool_submit(struct workpool *p, const struct score_request *req,
                                    uint32_t deadline_ms, workpool_done_fn *done, void *arg,
                                    struct why *why);
struct workpool_stats workpool_stats(const struct workpool *p);
const struct plugins *workpool_plugins(const struct workpool *p);    // NULL: none
// Kills the workers; unfinished jobs get an unscored result ("stopped"). Then `closed` on the loop
// thread, then workpool_destroy.
void workpool_close(struct workpool *p, void (*closed)(void *arg), void *arg);
void workpool_destroy(struct workpool *p);    // NULL is fine; closed pools only

// Path of the worker beside this executable (free()); NULL when it cannot be told.
char *workpool_default_binary(void);

#endif
