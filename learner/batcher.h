// batcher.h: a training step cut into micro-batches, a prompt standing once for as many of its
// completions as fit beside it.
//
//   groups A (prompt 4; completions 3 5 2) and B (prompt 2; completions 9 9), at most 14 rows:
//     micro-batch 0: A: prompt + 3 + 5 + 2      1: B: prompt + 9      2: B: prompt again + 9
//
// The cut is a function of the step alone (samples and hyper.micro_batch_tokens), never of memory
// or threads: a step run again is cut the same and gives the same gradient bits.
#ifndef CARAVAN_LEARNER_BATCHER_H
#define CARAVAN_LEARNER_BATCHER_H

#include "learner/trainer.h"
#include "model/batch.h"

// A completion of n tokens is counted as n rows and n outs (it has one row less: its last token is
// a target only). Index entries of a micro-batch are bounded by rows * BATCHER_INDEX_PER_ROW.
enum { BATCHER_INDEX_PER_ROW = 64 };

// What the machine was planned for and the model allows; a step outside is ERR_LIMIT or
// ERR_INVALID.
struct batcher_limits {
    size_t max_rows;       // of one training pass
    size_t max_context;    // positions of one sequence
    uint32_t vocab;
    bool reference;    // an initial policy is held: kl_beta > 0 is possible
};

// A prompt and the kept samples [first, first + n) of its group.
struct batcher_piece {
    size_t group, first, n;
};

struct batcher_plan {
    const struct train_step *step;    // borrowed
    size_t n_micro;
    size_t *micro;    // (n_micro + 1) first piece of each micro-batch
    struct batcher_piece *pieces;
    size_t *kept;    // sample indices inside their groups
    // Of all samples that are not masked, with an advantage or without: what tokens are divided by.
    uint64_t tokens;    // completion tokens
    uint64_t samples;
};

// Checks every value of the step and makes the plan. Left out of the passes: masked samples, empty
// ones and, when kl_beta is 0, samples whose advantage is exactly 0 (they carry no gradient, but
// they count in the divisors, as a mean over all wants it). A single sequence
// longer than micro_batch_tokens gets a micro-batch of its own, up to max_rows.
MUST_CHECK enum err batcher_plan_create(const struct train_step *s, const struct batcher_limits *l,
                                        struct batcher_plan *out, struct why *why);
void batcher_plan_destroy(struct batcher_plan *p);    // also fine on a zeroed struct

// What the loss of a token of sample s is divided by (hyper.aggregate), so that a step's loss is the
// sum over its tokens:
//   token_mean   tokens                        the mean over all tokens
//   seq_mean     samples * (tokens of s)       the mean over samples of the mean over their tokens
//   dr_grpo      samples * hyper.max_tokens    the same with a length that does not depend on s
double batcher_divisor(const struct batcher_plan *p, const struct train_sample *s);

// One micro-batch with the values that the loss needs beside it, per out. Reused from one to the
// next.
struct micro_batch {
    struct batch rows;
    size_t n, cap;            // outs
    float *behaviour;         // (n) log-probs
    float *ref;               // (n) room for log-probs of the initial policy
    float *policy;            // (n) room for log-probs of the policy, before the pass that trains
    double *advantage;        // (n)
    double *divisor;          // (n)
    size_t *row_tokens;       // (n) tokens of the completion
    double *row_log_ratio;    // (n) room, see loss.h
    uint8_t *fresh;           // (n) behaviour must agree bit for bit
};

void micro_batch_init(struct micro_batch *m);
void micro_batch_fini(struct micro_batch *m);
MUST_CHECK enum err micro_batch_fill(struct micro_batch *m, const struct batcher_plan *p,
                                     size_t index, struct why *why);

#endif
