// world.h: real processes in a scratch folder, with a tiny model and tasks that it half solves.
//
// Everything waits for an event with a deadline: the end of a process (pidfd), or a condition that
// is looked at every few milliseconds. A deadline that passes fails the test and kills what it
// started.
#ifndef CARAVAN_TESTS_SYSTEM_WORLD_H
#define CARAVAN_TESTS_SYSTEM_WORLD_H

#include "tests/common/check.h"

#include <sys/types.h>

#include <jansson.h>

#include "common/buf.h"

enum { WORLD_DEADLINE_MS = 120000 };

// Group set-up and tear-down: a scratch folder as working folder, with
//   tiny/          the model (tests/tools/make_tiny_model.c)
//   talker/        one that hardly ever ends an answer by itself
//   commas.jsonl   "no commas": answers of 8 tokens pass about half of the time
//   words.jsonl    "at least 9 words": so do answers of 200 characters
//   run.yaml       6 steps of 2 groups of 4 on commas.jsonl, one actor, one verifier
int world_enter(void **state);
int world_leave(void **state);
const char *world_source(void);    // the folder in which the test was started: the source root

// A command line like a shell's, split at blanks; "caravan" and its siblings are those beside this
// test. Words of the form NAME=VALUE in front set the environment.
struct process {
    pid_t pid;
    int pidfd;
    char out[64];    // file with its stdout and stderr
};
struct process world_spawn(const char *fmt, ...) PRINTF_LIKE(1, 2);
// Its exit status, or 128 + the signal that ended it.
int world_wait(struct process *p, int deadline_ms);
char *world_output(const struct process *p);    // free()
void world_signal(const struct process *p, int signal);
// spawn, wait; *out (may be NULL) is what it printed (free()).
int world_run(char **out, const char *fmt, ...) PRINTF_LIKE(2, 3);
// The same with text on stdin.
int world_pipe(const char *input, char **out, const char *fmt, ...) PRINTF_LIKE(3, 4);

typedef bool world_condition(void *arg);
// What the daemons of all runs said last, for whoever reads why a test failed.
void world_print_ends_of_logs(void);
void world_until(world_condition *fn, void *arg, const char *what);

// A child of p by the name of its program ("caravan-actor"); 0 when there is none now.
pid_t world_child(const struct process *p, const char *program);
bool world_alive(pid_t pid);
// Rows of RUN/metrics.jsonl that are steps, passed ones too: how many now, and the sum of one
// number over them.
size_t world_steps(const char *run);
double world_sum(const char *run, const char *key);
// Until the run has done so many steps.
void world_until_steps(const char *run, size_t steps);
// `caravan audit` finds nothing, and no log of the run holds a sanitizer's report. Returns what it
// printed (free()).
char *world_audit_clean(const char *run);

#endif
