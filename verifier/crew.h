// crew.h: some worker processes of one kind and the jobs they share. Internal to the verifier:
// workpool.h is the way in.
//
// A worker gets a window of jobs ahead, about a millisecond of work by what its last jobs took, so
// that small checks cost no round trip each and a slow one has nobody waiting behind it. The
// deadline of a job starts when it is the oldest unanswered one of its worker. A worker that is
// lost with several jobs in its window leaves it open whose fault that was: these jobs run again
// one at a time, and only a job that loses a worker while it is alone is counted for it. After
// CREW_RETRIES more tries it is unscored with the last cause. One worker more than n_workers is kept
// ready, so that replacing one, after recycle_jobs or a loss, makes nobody wait.
#ifndef CARAVAN_VERIFIER_CREW_H
#define CARAVAN_VERIFIER_CREW_H

#include "common/conf.h"
#include "verifier/jobframe.h"
#include "verifier/sandbox.h"

#define CREW_RETRIES 2
#define CREW_GROUP_PREFIX "worker-"    // of its workers' control groups

typedef struct uv_loop_s uv_loop_t;
struct crew;

struct crew_config {
    const char *binary;    // borrowed
    uint32_t n_workers, deadline_ms, recycle_jobs, memory_mb, start_ms;
    enum conf_sandbox sandbox;    // auto: full, and where that cannot be had seccomp
    const char *host;             // NULL, or the kind of plug-in (workslot.h) …
    int host_fd;                  // … and its file; the crew owns the descriptor
    const char *cgroup;           // cgroup_base, borrowed; NULL: none
};

struct crew_stats {
    uint32_t workers, busy, queued;    // now; workers counts those that are up
    uint64_t jobs_total, unscored_total, retries_total, restarts_total;
};

// Called once: ERR_OK with the level that the first worker confirmed and the checks it offers
// (text: why a better level was not had, or ""), or an error and its text, after which the crew
// accepts no jobs.
typedef void crew_ready_fn(void *arg, enum err e, enum sandbox_level level, const char *text,
                           const struct jobframe_check *checks, size_t n_checks);
// Called exactly once for a submitted frame with its RESULT or ASK; a job that got none gets an
// unscored RESULT. `frame` is the job's own: the callee may take its bytes and leave it empty.
typedef void crew_done_fn(void *arg, struct buf *frame, struct jobframe_reply *reply,
                          uint32_t elapsed_us);

MUST_CHECK enum err crew_create(uv_loop_t *loop, const struct crew_config *c, crew_ready_fn *ready,
                                void *arg, struct crew **out);
// Takes the frame (JOB or CALL; its number is overwritten) and leaves *frame empty. `done` is never
// called from inside this call. ERR_CLOSED: closing, or no worker could be started.
MUST_CHECK enum err crew_submit(struct crew *c, struct buf *frame, uint32_t deadline_ms,
                                crew_done_fn *done, void *arg);
struct crew_stats crew_stats(const struct crew *c);
const char *crew_cause(const struct crew *c);    // of the last failed start, or ""
// No more jobs; when the last one is answered, as crew_close.
void crew_retire(struct crew *c, void (*closed)(void *arg), void *arg);
// Kills the workers; unfinished jobs are unscored ("stopped"). Then `closed` on the loop thread,
// which may destroy the crew.
void crew_close(struct crew *c, void (*closed)(void *arg), void *arg);
void crew_destroy(struct crew *c);    // NULL is fine; closed crews only

#endif
