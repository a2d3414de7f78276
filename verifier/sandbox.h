// sandbox.h: the walls around a worker, built by the worker itself before it reads its first byte
// of input.
//
// Containment is one ordered list of steps (sandbox.c). A step that fails ends the worker: nothing
// is skipped, nothing "best effort". The level is what the parent asked for or nothing at all;
// falling back from full to seccomp is the parent's decision (workpool.h), made with a new process.
//   none     descriptors, environment, limits; for debugging only
//   seccomp  + no capabilities, no_new_privs, a system-call allow-list: no open, socket, clone,
//            exec, kill
//   full     + user, mount, pid, net, ipc, uts and cgroup namespaces and an empty read-only root
#ifndef CARAVAN_VERIFIER_SANDBOX_H
#define CARAVAN_VERIFIER_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum sandbox_level { SANDBOX_NONE, SANDBOX_SECCOMP, SANDBOX_FULL };

enum sandbox_step {
    SANDBOX_STEP_DESCRIPTORS,
    SANDBOX_STEP_ENVIRONMENT,
    SANDBOX_STEP_CORE,
    SANDBOX_STEP_USER_NAMESPACE,
    SANDBOX_STEP_NAMESPACES,
    SANDBOX_STEP_PROCESS,
    SANDBOX_STEP_PARENT,
    SANDBOX_STEP_ROOT,
    SANDBOX_STEP_DUMPABLE,
    SANDBOX_STEP_LIMITS,
    SANDBOX_STEP_CAPABILITIES,
    SANDBOX_STEP_PRIVILEGES,
    SANDBOX_STEP_FILTER,
    SANDBOX_STEP_COUNT,
};

struct sandbox {
    enum sandbox_level level;
    uint64_t memory_bytes;    // address space; not applied under AddressSanitizer, which reserves
                              // terabytes
    uint32_t cpu_s;           // processor seconds over the whole life, then SIGKILL
    unsigned skip;    // bits of enum sandbox_step left out: for tests that look at one wall alone;
                      // 0 otherwise
};

// Runs the steps of the level in order. The calling process must have one thread. Level full forks
// (the pid namespace needs a child): the call returns in the child, while the original process
// waits and then ends as the child did, by the same signal or exit status. On an error some steps
// have been taken: report and exit. `why` names step and cause.
MUST_CHECK enum err sandbox_enter(const struct sandbox *s, struct why *why);

const char *sandbox_level_name(enum sandbox_level level);    // "none", "seccomp", "full"
bool sandbox_level_parse(const char *name, enum sandbox_level *out);

#endif
