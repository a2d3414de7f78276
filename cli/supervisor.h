// supervisor.h: child processes of `caravan run`: start, log, stop. What to do when one dies is the
// caller's decision.
//
// Children run in sessions of their own (a Ctrl-C in the terminal reaches the supervisor alone) and
// inherit the reading end of a pipe whose other end only the supervisor has: when it dies, even by
// SIGKILL, they see the end of file and leave (common/daemon.h). Loop thread only.
#ifndef CARAVAN_CLI_SUPERVISOR_H
#define CARAVAN_CLI_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { SUPERVISOR_CHILDREN = 160, SUPERVISOR_ARGS = 32, SUPERVISOR_STOP_MS = 4500 };

typedef struct uv_loop_s uv_loop_t;
struct supervisor;

// A child has ended: by `signal`, or with exit `status` when signal is 0. Never called while
// stopping.
typedef void supervisor_ended_fn(void *arg, size_t child, int64_t status, int signal);
// Every child is gone, after supervisor_stop.
typedef void supervisor_stopped_fn(void *arg);

MUST_CHECK enum err supervisor_create(uv_loop_t *loop, const char *log_dir,
                                      supervisor_ended_fn *ended, void *arg,
                                      struct supervisor **out, struct why *why);
void supervisor_destroy(struct supervisor *s);    // after `stopped` and uv_run; NULL is fine

// A child that does not run yet. program: beside this executable. Its output is appended to
// LOG_DIR/NAME.log.
MUST_CHECK enum err supervisor_add(struct supervisor *s, const char *name, const char *program,
                                   size_t *child, struct why *why);
// Arguments after the program name; copied, NULL-terminated. For the next start.
MUST_CHECK enum err supervisor_set_args(struct supervisor *s, size_t child,
                                        const char *const *args);
MUST_CHECK enum err supervisor_start(struct supervisor *s, size_t child, struct why *why);
// Starts it in delay_ms, from a timer. A start that fails is reported as `ended` with status 127.
void supervisor_start_later(struct supervisor *s, size_t child, uint64_t delay_ms);
// SIGTERM to all, SIGKILL after SUPERVISOR_STOP_MS, then `stopped`, once.
void supervisor_stop(struct supervisor *s, supervisor_stopped_fn *stopped, void *arg);
void supervisor_kill(struct supervisor *s);    // SIGKILL to all, now; while stopping

const char *supervisor_name(const struct supervisor *s, size_t child);
bool supervisor_running(const struct supervisor *s, size_t child);
unsigned supervisor_starts(const struct supervisor *s, size_t child);
uint64_t supervisor_age_ms(const struct supervisor *s, size_t child);    // since the last start
// The last ERROR line that the child logged since its last start, else its last line (free()); NULL
// when there is none.
char *supervisor_last_words(const struct supervisor *s, size_t child);

#endif
