// trainer.h: the compute side of the learner: policy masters, moments, gradients, the optimiser
// step.
//
// Every function here blocks and belongs to the one compute thread, except where said. A step is a
// deterministic function of (state before, struct train_step): the ledger commits the train_step
// first, recovery calls trainer_step again with what the ledger holds and compares weight hashes.
#ifndef CARAVAN_LEARNER_TRAINER_H
#define CARAVAN_LEARNER_TRAINER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/hash.h"
#include "kernels/device.h"
#include "learner/saver.h"
#include "learner/train_hyper.h"
#include "model/config.h"
#include "model/source.h"

struct train_sample {
    uint64_t sample_id;
    const uint32_t *tokens;    // the completion
    const float *logprobs;     // behaviour log-probs, same length
    size_t n_tokens;
    double advantage;
    bool fresh;    // every position ran under the version that this step starts from: its log-probs
                   // must agree bit for bit
    bool masked;    // counts in its group's statistics, carries no loss (truncated: mask)
};

struct train_group {
    const uint32_t *prompt;
    size_t n_prompt;
    const struct train_sample *samples;
    size_t n_samples;
};

struct train_step {
    uint64_t step;       // 1-based
    uint64_t version;    // weights it starts from; it makes new_version
    uint64_t new_version;
    struct train_hyper hyper;
    const struct train_group *groups;
    size_t n_groups;
};

struct train_result {
    struct hash128 weights_hash;    // of the published blob of new_version
    double loss;                    // aggregated as hyper says
    double grad_norm;               // before clipping
    // Means over scored tokens; kl: the estimate (loss.h) to the initial policy, 0 when off.
    double entropy, kl;
    double ratio_mean, ratio_max, clip_fraction;    // over scored tokens
    uint64_t tokens;           // completion tokens in the loss: of all samples that are not masked
    uint64_t scored_tokens;    // of these, run forward and backward; the rest has advantage 0
    uint64_t rows;             // forward rows, prompts once per group
    uint64_t compared_tokens, mismatched_tokens;    // of fresh scored samples: learner's against
                                                    // actors' log-probs, bit for bit
    double forward_backward_s, optimiser_s, publish_s;
    double save_wait_s;     // waited for a checkpoint that was being saved
    uint64_t updated_us;    // wall clock: the optimiser had rounded the last weight
};

struct trainer;
struct publish;          // publish.h
struct publish_slabs;    // publish_slab.h

// Reads the model's weights into f32 masters. s is needed only here. Nothing is published yet. The
// rest of what trainer_memory counts is taken by the first step, so that the first version can be
// served before. p must outlive the trainer.
MUST_CHECK enum err trainer_create(struct device *d, const struct source *s, const struct conf *c,
                                   struct publish *p, struct trainer **out, struct why *why);
void trainer_destroy(struct trainer *t);    // NULL is fine
// Before the first version: published weights also stand in slabs, where the trainer reads them
// itself. s must outlive the trainer. Without it they stand in memory of the trainer's.
void trainer_share(struct trainer *t, struct publish_slabs *s);
// Bytes at the peak (state, weights, activations), for the memory plan; and of these, the copy of the
// rounded weights that a learner on another device keeps on the host. Any thread.
size_t trainer_memory(const struct model_config *m, const struct conf *c);
size_t trainer_copy_memory(const struct model_config *m, const struct conf *c);
// Rounds the present masters and publishes them under `version`; *hash = of the blob.
MUST_CHECK enum err trainer_publish(struct trainer *t, uint64_t version, struct hash128 *hash,
                                    struct why *why);
// The hash that publishing the present masters would have.
MUST_CHECK enum err trainer_hash(struct trainer *t, struct hash128 *hash, struct why *why);
// One optimiser step: the policy loss (+ beta * KL, loss.h) of all tokens that are not masked, each
// with its share of the whole batch (batcher_divisor); global-norm clipping; AdamW on the masters (decay on matrices only); rounding and publication of new_version.
// A step in which no sample carries a gradient leaves masters, moments and the optimiser's step
// count as they are and publishes the same weights (scored_tokens 0). On failure, ERR_CANCELLED
// included, the state is as before and nothing is published. cancel is looked at between layers and
// micro-batches, not during the update; NULL = never.
MUST_CHECK enum err trainer_step(struct trainer *t, const struct train_step *s,
                                 struct train_result *out, const atomic_bool *cancel,
                                 struct why *why);
// Begins to save the present state as a checkpoint folder (checkpoint.h), on a thread of its own;
// see saver.h for done and cancel. The update of the next step waits for it, as do
// trainer_save_wait, trainer_load and trainer_destroy.
MUST_CHECK enum err trainer_save_begin(struct trainer *t, const char *dir, uint64_t step,
                                       uint64_t version, const atomic_bool *cancel,
                                       saver_done_fn *done, void *arg, struct why *why);
void trainer_save_wait(struct trainer *t);
// Takes over a checkpoint after verifying it; on failure the state is as before. Does not publish.
MUST_CHECK enum err trainer_load(struct trainer *t, const char *dir, uint64_t *step,
                                 uint64_t *version, struct why *why);

#endif
