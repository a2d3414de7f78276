// advantage.h: from the rewards of one group to advantages (GRPO, Shao et al. 2024; mean-only as in
// Dr. GRPO, Liu et al. 2025).
//
// A pure function, any thread. It is called where a complete group is judged (coordinator_batch.c);
// the values are stored in the ledger with the step, so that a step run again uses the same ones.
#ifndef CARAVAN_LEARNER_ADVANTAGE_H
#define CARAVAN_LEARNER_ADVANTAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"

// out[i] = r_i - mean, or (r_i - mean) / (population std + 1e-8). A group whose rewards are all
// equal gets exact zeros. n >= 1. Returns whether the group carries a signal.
bool advantage_group(enum conf_advantage kind, const double *rewards, size_t n, double *out);

#endif
