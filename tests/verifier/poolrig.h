// poolrig.h: runs a pool on a loop of its own, for tests that want a verdict back from a function
// call.
#ifndef CARAVAN_TESTS_VERIFIER_POOLRIG_H
#define CARAVAN_TESTS_VERIFIER_POOLRIG_H

#include "tests/verifier/support.h"

#include "verifier/workpool.h"

struct poolrig {
    struct uv_loop_s *loop;
    struct workpool *pool;
    bool ready, closed;
    enum err ready_err;
    enum sandbox_level level;
    char ready_text[256];
};

struct poolrig_verdict {
    bool done;
    enum score_outcome outcome;
    double reward;
    char cause[SCORE_CAUSE_BYTES];
    uint32_t elapsed_us;
};

// Creates the pool (workers: PROBE_WORKER unless c names one) and waits until it is ready or has
// given up.
void poolrig_open(struct poolrig *r, const struct workpool_config *c);
// v is written when done.
void poolrig_submit(struct poolrig *r, const char *response, struct poolrig_verdict *v);
void poolrig_wait(struct poolrig *r, const struct poolrig_verdict *v);
struct poolrig_verdict poolrig_run(struct poolrig *r, const char *response);    // submit and wait
void poolrig_close(struct poolrig *r);
// A configuration with one probe worker.
struct workpool_config poolrig_config(enum conf_sandbox sandbox);

#endif
