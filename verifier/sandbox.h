// sandbox.h: the walls around a worker, built by the worker itself before it reads its first byte
// of input.
//
// Containment is one ordered list of steps (sandbox.c). A step that fails ends the worker: nothing
// is skipped, nothing "best effort", but for Landlock, which older kernels do not have. The level
// is what the parent asked for or nothing at all; falling back from full to seccomp is the parent's
// decision (crew.h), made with a new process.
//   none     descriptors, environment, limits; for debugging only
//   seccomp  + no capabilities, no_new_privs, Landlock, a system-call allow-list: no open, socket,
//            clone, exec, kill
//   full     + user, mount, pid, net, ipc, uts and cgroup namespaces and an empty read-only root
// What stands inside depends on the role:
//   scorer   built-in checks: the walls as above
//   object   hosts a shared object: it is loaded (`load`) before the last filter, behind walls that
//            let it read libraries and nothing else; then these close too. The filter lets the host
//            fork, and nothing but fork.
//   program  hosts an executable, level full only: the root holds a read-only view of /usr and an
//            empty /tmp; the program gets a filter of its own (sandbox_program_filter)
#ifndef CARAVAN_VERIFIER_SANDBOX_H
#define CARAVAN_VERIFIER_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum sandbox_level { SANDBOX_NONE, SANDBOX_SECCOMP, SANDBOX_FULL };
enum sandbox_role { SANDBOX_SCORER, SANDBOX_OBJECT, SANDBOX_PROGRAM };

enum sandbox_step {
    SANDBOX_STEP_DESCRIPTORS,
    SANDBOX_STEP_ENVIRONMENT,
    SANDBOX_STEP_SIGNALS,
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
    SANDBOX_STEP_LANDLOCK,
    SANDBOX_STEP_LOAD_FILTER,
    SANDBOX_STEP_LOAD,
    SANDBOX_STEP_SEAL,
    SANDBOX_STEP_NO_DESCRIPTORS,
    SANDBOX_STEP_FILTER,
    SANDBOX_STEP_COUNT,
};

struct sandbox {
    enum sandbox_level level;
    uint64_t memory_bytes;     // address space; not applied under AddressSanitizer, which reserves
                               // terabytes
    uint32_t cpu_s;            // processor seconds over the whole life, then SIGKILL
    enum sandbox_role role;    // the plug-in's file is descriptor 3 where there is one
    // object and program: runs behind the walls, before the last filter; false: `why` says what is
    // wrong with the plug-in.
    bool (*load)(void *arg, struct why *why);
    void *load_arg;
    unsigned skip;    // bits of enum sandbox_step left out: for tests that look at one wall alone;
                      // 0 otherwise
};

// Where the plug-in's file is while `load` runs.
#define SANDBOX_PLUGIN_PATH "/plugin/run"              // level full
#define SANDBOX_PLUGIN_DESCRIPTOR "/proc/self/fd/3"    // below it

// Runs the steps of the level in order. The calling process must have one thread. Level full forks
// (the pid namespace needs a child): the call returns in the child, while the original process
// waits and then ends as the child did, by the same signal or exit status. On an error some steps
// have been taken: report and exit. `why` names step and cause.
MUST_CHECK enum err sandbox_enter(const struct sandbox *s, struct why *why);

// In a process forked by an object's host, for one call: no input, no output, no more processes;
// memory, the clock and the end are left. False: the process must not go on.
bool sandbox_enter_call(void);
// In the process that will become the program: the last step before exec.
bool sandbox_program_filter(void);

const char *sandbox_level_name(enum sandbox_level level);    // "none", "seccomp", "full"
bool sandbox_level_parse(const char *name, enum sandbox_level *out);
const char *sandbox_signal_name(int number);    // "SIGSEGV"; "a signal" for rare ones

#endif
