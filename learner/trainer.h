// trainer.h: the compute side of the learner: policy masters, moments, gradients and the optimiser step.
//
// Every function here blocks and belongs to the one compute thread, except where said. A step is a deterministic function of (state before, struct train_step): the ledger
// commits the train_step first, recovery calls trainer_step again with what the ledger holds and compares weight hashes.
#ifndef CARAVAN_LEARNER_TRAINER_H
#define CARAVAN_LEARNER_TRAINER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/hash.h"
#include "kernels/device.h"
#include "model/config.h"
#include "model/source.h"

// What a step depends on besides samples. Stored as JSON with the batch, so that a re-run uses the values of then, whatever the config says now.
struct train_hyper {
    double lr;    // already scheduled for this step
    double beta1, beta2, eps, weight_decay, grad_clip;
    double clip_low, clip_high, kl_beta;
    double temperature;
    int64_t micro_batch_tokens;
};
// The values of conf at optimiser step `step` (1-based): warm-up from lr/warmup to lr over warmup_steps, then constant or linear to 0 at stop_steps.
void train_hyper_at(const struct conf *c, uint64_t step, struct train_hyper *out);
char *train_hyper_print(const struct train_hyper *h);    // JSON, doubles round-trip (free())
MUST_CHECK enum err train_hyper_parse(const char *json, size_t len, struct train_hyper *out, struct why *why);

struct train_sample {
    uint64_t sample_id;
    const uint32_t *tokens;     // the completion
    const float *logprobs;      // behaviour log-probs, same length
    size_t n_tokens;
    double advantage;
    bool fresh;                 // every position ran under the version that this step starts from: its log-probs must agree bit for bit
    bool masked;                // counts in its group's statistics, carries no loss (truncated: mask)
};

struct train_group {
    const uint32_t *prompt;
    size_t n_prompt;
    const struct train_sample *samples;
    size_t n_samples;
};

struct train_step {
    uint64_t step;              // 1-based
    uint64_t version;           // weights it starts from; it makes new_version
    uint64_t new_version;
    struct train_hyper hyper;
    const struct train_group *groups;
    size_t n_groups;
};

struct train_result {
    struct hash128 weights_hash;    // of the published blob of new_version
    double loss, grad_norm, entropy, kl;      // token means over trained tokens (kl: k3 to the initial policy, 0 when off)
    double ratio_mean, ratio_max, clip_fraction;
    uint64_t tokens;                // completion tokens in the loss
    uint64_t rows;                  // forward rows, prompts once per group
    uint64_t compared_tokens, mismatched_tokens;    // of fresh samples: learner's against actors' log-probs, bit for bit
    double forward_backward_s, optimiser_s, publish_s;
};

struct trainer;
struct publish;    // publish.h

// Opens the model's weights into f32 masters and publishes them as first_version (hash in *hash). Memory is planned here, once.
MUST_CHECK enum err trainer_create(struct device *d, const struct source *s, const struct conf *c, struct publish *p, struct trainer **out, struct why *why);
void trainer_destroy(struct trainer *t);
size_t trainer_memory(const struct model_config *m, const struct conf *c);    // bytes, for the memory plan
// Publishes the present masters under `version` and returns the hash.
MUST_CHECK enum err trainer_publish(struct trainer *t, uint64_t version, struct hash128 *hash, struct why *why);
// One optimiser step: loss = DAPO token-level clipped objective (+ beta * k3 KL), summed over all trained tokens and divided by their number over the whole batch; global-norm clipping; AdamW on
// the masters (decay on matrices only); rounding and publication of new_version. ERR_CANCELLED: state undefined, reload a checkpoint before going on.
MUST_CHECK enum err trainer_step(struct trainer *t, const struct train_step *s, struct train_result *out, const atomic_bool *cancel, struct why *why);
// Checkpoint folder: policy.bin, moments.bin (raw f32, checksummed) and state.json (step, version, optimiser step count, hashes). Complete and fsynced at return, built under a temporary name.
MUST_CHECK enum err trainer_save(struct trainer *t, const char *dir, uint64_t step, uint64_t version, struct why *why);
MUST_CHECK enum err trainer_load(struct trainer *t, const char *dir, uint64_t *step, uint64_t *version, struct why *why);    // does not publish

#endif
