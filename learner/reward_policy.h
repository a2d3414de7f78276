// reward_policy.h: the reward.* keys of a run's configuration as what travels with scoring jobs.
//
// The verifier applies the policy, because only it sees a check's value; the learner only says
// which policy holds and which further checks it needs a verifier to offer. Evaluations measure
// correctness: they combine checks as training does, but take no scale, shaping or penalty. Built
// once at start; read-only afterwards, so any thread may read it.
#ifndef CARAVAN_LEARNER_REWARD_POLICY_H
#define CARAVAN_LEARNER_REWARD_POLICY_H

#include "common/conf.h"

struct reward_policy {
    char *train, *eval;    // JSON objects, or "" where every key has its default
    char *needs;           // ids of the shaping checks, one a line; "" without any
};

// ERR_INVALID: reward.shaping is no list of checks; `why` names the place. On failure *out is
// untouched; otherwise the caller owns it (reward_policy_fini).
MUST_CHECK enum err reward_policy_init(const struct conf *c, struct reward_policy *out,
                                       struct why *why);
void reward_policy_fini(struct reward_policy *p);

#endif
