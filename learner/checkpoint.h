// checkpoint.h: the optimiser's state on disk.
//
//   DIR/policy.bin    masters, raw little-endian f32 in table order
//   DIR/moments.bin   m, then v, the same way; empty before the first update
//   DIR/state.json    format, step, version, optimiser_steps, parameters, XXH3-128 of both files
//
// A folder is complete or absent: it is built as DIR.tmp, everything is fsynced, then renamed.
#ifndef CARAVAN_LEARNER_CHECKPOINT_H
#define CARAVAN_LEARNER_CHECKPOINT_H

#include <stdatomic.h>
#include <stdint.h>

#include "learner/optim.h"

// What a checkpoint holds. optim gives device, table, moments and their step count.
struct checkpoint {
    struct optim *optim;    // borrowed
    float *masters;         // device, borrowed
    uint64_t step;          // of the run
    uint64_t version;       // of the weights that the masters round to
};

// Blocks on disk. A folder of that name is replaced, whole. cancel (NULL = never) is looked at
// between windows of 8 MiB: ERR_CANCELLED leaves nothing behind.
MUST_CHECK enum err checkpoint_save(const struct checkpoint *c, const char *dir,
                                    const atomic_bool *cancel, struct why *why);
// Sizes and checksums are verified before anything in memory changes: on failure the state is what
// it was. Sets step, version, masters, moments and optim->steps.
MUST_CHECK enum err checkpoint_load(struct checkpoint *c, const char *dir, struct why *why);

#endif
