// train_hyper.h: what an optimiser step depends on besides its samples and the state before it.
//
// Stored as JSON with the batch in the ledger, so that a step run again uses the values of then,
// whatever the configuration says now.
#ifndef CARAVAN_LEARNER_TRAIN_HYPER_H
#define CARAVAN_LEARNER_TRAIN_HYPER_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"

struct train_hyper {
    double lr;    // already scheduled for this step
    double beta1, beta2, eps, weight_decay;
    double grad_clip;    // largest global gradient norm; 0 = no clipping
    double clip_low, clip_high, kl_beta;
    double temperature;            // > 0
    double dual_clip;              // 0 = off
    int64_t micro_batch_tokens;    // rows of one forward/backward pass
    int64_t max_tokens;            // of a completion, for dr_grpo
    enum conf_kl kl_estimator;
    enum conf_policy policy;
    enum conf_aggregate aggregate;
};

// The values of conf at optimiser step `step` (1-based). With W = warmup_steps, S = stop_steps,
// m = lr_min_ratio and p = min(1, (step - 1 - W) / (S - W)), the part of the way that is done:
//   step <= W   lr * step / W
//   constant    lr
//   linear      lr * (m + (1 - m) (1 - p))
//   cosine      lr * (m + (1 - m) (1 + cos(pi p)) / 2)
// lr at step W + 1, still above m lr at step S, and m lr from then on: no step of a run has a rate
// of 0. Without a stop (S <= W) both are constant.
void train_hyper_at(const struct conf *c, uint64_t step, struct train_hyper *out);
// JSON in which doubles round-trip (free()); NULL when out of memory.
char *train_hyper_print(const struct train_hyper *h);
// Reads it back; a missing, unknown or out-of-range member is an error naming it.
MUST_CHECK enum err train_hyper_parse(const char *json, size_t len, struct train_hyper *out,
                                      struct why *why);

#endif
