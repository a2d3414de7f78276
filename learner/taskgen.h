// taskgen.h: procedural tasks with verifiable answers: arithmetic, short word problems, and writing
// under constraints.
//
// A row is a pure function of (kind, seed, index, part): the same anywhere, any time. Training and
// held-out rows come from one space of prompts that is divided by a hash of the prompt text (one
// part in eight is held out), so a held-out prompt can never be a training prompt, whatever the
// seeds.
#ifndef CARAVAN_LEARNER_TASKGEN_H
#define CARAVAN_LEARNER_TASKGEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

enum taskgen_kind { TASKGEN_MATH, TASKGEN_CONSTRAINTS, TASKGEN_MIXED };

struct taskgen_row {
    char kind[32];             // for statistics: "sum1", "no_comma", "two_constraints"
    char prompt[512];          // the user's message
    char dataset[16];          // "gsm8k" or "ifeval"
    char ground_truth[512];    // JSON: "7" with quotes, or {"instruction_id": […], "kwargs": […]}
};

// "math", "constraints", "mixed"; anything else is ERR_INVALID naming the three.
MUST_CHECK enum err taskgen_kind_parse(const char *text, enum taskgen_kind *out, struct why *why);
void taskgen_make(enum taskgen_kind kind, uint64_t seed, uint64_t index, bool held_out,
                  struct taskgen_row *out);
// Appends the row as one line of RLVR JSONL: messages, ground_truth, dataset, kind.
MUST_CHECK enum err taskgen_print(const struct taskgen_row *r, struct buf *out);

#endif
