// worker.h: the life of a worker process: close the sandbox, say READY, then one job at a time
// until the pipe ends.
//
// A worker is a process of its own, started by workslot.c, with pipes as standard input and output.
// It trusts neither the responses nor the rows, and nobody trusts it: what it can still do after
// the sandbox is closed is compute, read and write its two pipes, and leave.
#ifndef CARAVAN_VERIFIER_WORKER_H
#define CARAVAN_VERIFIER_WORKER_H

#include "verifier/askbook.h"

// Fills either *out or book->calls (n_calls > 0): askbook_run, or a test's own.
typedef void worker_score_fn(struct askbook *book, const struct score_request *req,
                             struct score_result *out);

// argv: --sandbox none|seccomp|full --memory-mb N --cpu-s N --group none|join, all required, then
// perhaps --host object|program with the plug-in's file as descriptor 3. With join the next
// descriptor is the list of a control group. Reads jobs (jobframe.h) from descriptor 0
// and writes replies to 1. Never returns: leaves by _exit with 0 at the end of input, 2 for a bad
// command line or input, 3 when the sandbox could not be closed or the plug-in not be loaded.
_Noreturn void worker_run(int argc, char **argv, worker_score_fn *score);

#endif
