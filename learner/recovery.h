// recovery.h: brings an opened run to where its ledger says it is. Parts of run_open, which see the
// run's folder, ledger, trainer and publish open and nothing else begun.
#ifndef CARAVAN_LEARNER_RECOVERY_H
#define CARAVAN_LEARNER_RECOVERY_H

#include "learner/run.h"

// Loads the newest checkpoint that can be read, runs the done steps after it again and publishes
// every version on the way. Sets checkpoint_step, steps_rerun, recovery_s. ERR_MISMATCH: a version
// has other weights than recorded (`why` names it).
MUST_CHECK enum err recovery_resume(struct run *r, struct why *why);
// Goes on from the newest checkpoint (or the model) as a new branch under a new version number.
MUST_CHECK enum err recovery_branch(struct run *r, struct why *why);
// Removes folders under checkpoints/ that the ledger does not name: what a crash left of a
// checkpoint that was being written or had been forgotten.
void recovery_remove_orphans(const struct run *r);

#endif
