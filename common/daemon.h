// daemon.h: what the three daemons share around their libuv loop: signals, the supervisor's pipe,
// orderly stop.
//
// SIGINT/SIGTERM, or end-of-file on the supervisor pipe (descriptor number in the environment
// variable CARAVAN_SUPERVISOR_FD, inherited from `caravan run`), call `stop` once on the loop
// thread; a second signal, 300 ms or more after the first, exits at once with 130. The daemon has 4
// s from `stop` until daemon_finished, then the process exits by itself with an ERROR line (a hung
// compute thread must not leave an orphan). SIGPIPE is ignored.
#ifndef CARAVAN_COMMON_DAEMON_H
#define CARAVAN_COMMON_DAEMON_H

#include "common/err.h"

typedef struct uv_loop_s uv_loop_t;
struct daemon;
// cause: "signal", "supervisor gone", or what daemon_stop was given.
typedef void daemon_stop_fn(void *arg, const char *cause);

MUST_CHECK enum err daemon_create(uv_loop_t *loop, daemon_stop_fn *stop, void *arg,
                                  struct daemon **out, struct why *why);
void daemon_stop(struct daemon *d, const char *cause);    // as if a signal had come; loop thread
// The stop is complete: closes the handles so that uv_run can return. Then daemon_destroy after
// uv_run.
void daemon_finished(struct daemon *d);
void daemon_destroy(struct daemon *d);

#endif
