// progress.h: what `caravan run` shows while it runs: on a terminal a block that is redrawn in
// place, anywhere else one line for every step. Notes (a process died, …) go above the block.
//
// In: /status documents as they are fetched, and metrics.jsonl of the run folder. Out: stdout,
// which belongs to this module while it exists. One thread; nothing here waits for the learner.
#ifndef CARAVAN_CLI_PROGRESS_H
#define CARAVAN_CLI_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"

struct progress;

// tty: stdout is a terminal. show false: only notes. Steps that metrics.jsonl in run_dir holds
// already are not shown again.
MUST_CHECK enum err progress_create(const char *run_dir, bool tty, bool show,
                                    struct progress **out);
void progress_destroy(struct progress *p);    // leaves the block as it stands; NULL is fine
// A fresh /status, or NULL when there is none (the learner starts). Call it a few times a second.
void progress_update(struct progress *p, const json_t *status);
void progress_note(struct progress *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
