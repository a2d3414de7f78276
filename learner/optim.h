// optim.h: global-norm clipping, AdamW over the masters, and their rounding to the published type.
//
// Everything flat is in the order of the parameter table. Blocks; belongs to the compute thread.
// Results are bit-equal run to run and for every thread count on one instruction set.
#ifndef CARAVAN_LEARNER_OPTIM_H
#define CARAVAN_LEARNER_OPTIM_H

#include <stdbool.h>
#include <stdint.h>

#include "learner/train_hyper.h"
#include "model/config.h"

struct optim {
    struct device *device;               // borrowed
    const struct param_table *params;    // borrowed
    // First and second moments, device, params->total each; NULL until the first step.
    float *m, *v;
    void *stage;       // device: a piece of rounded values
    uint64_t steps;    // AdamW updates done, for the bias correction
};

// Small: the moments (zeros) are allocated by the first step or by optim_reserve, so that a start
// does not wait for them.
MUST_CHECK enum err optim_init(struct optim *o, struct device *d, const struct param_table *params,
                               struct why *why);
void optim_fini(struct optim *o);    // also fine on a zeroed struct
MUST_CHECK enum err optim_reserve(struct optim *o, struct why *why);

// L2 norm over all tensors together: squares summed per tensor, then in table order, in double.
double optim_grad_norm(const struct optim *o, const float *grads);
// min(1, max_norm / (norm + 1e-6)); 1 when max_norm is 0.
double optim_clip_scale(double norm, double max_norm);
// Weight decay applies to matrices only, not to norms.
bool optim_decays(const struct param *p);

// Given the rounded masters piece by piece, in order: n bytes on the host, in cache, for the time of
// the call.
struct optim_sink {
    void (*piece)(void *arg, const void *bytes, size_t n);
    void *arg;
};

// One AdamW update (Loshchilov & Hutter 2019) of masters (device, f32) from grads (device) times
// grad_scale. The masters rounded to t go to copy (host, params->total values) and to sink; either
// may be NULL. optim_reserve has succeeded before: this cannot fail half-way. Where device memory is
// not host memory and a sink is given there must be a copy.
void optim_step(struct optim *o, const struct train_hyper *h, double grad_scale, float *masters,
                const float *grads, enum dtype t, void *copy, const struct optim_sink *sink);
// The present masters (device) rounded to nearest even, likewise. The same bits as optim_step
// leaves.
MUST_CHECK enum err optim_round(const struct optim *o, const float *masters, enum dtype t,
                                void *copy, const struct optim_sink *sink, struct why *why);
// n bytes, from byte `offset` on, of the masters rounded to t; masters in host memory, which stand
// still. Any thread.
void optim_copy_rounded(const float *masters, enum dtype t, uint64_t offset, size_t n, void *out);

#endif
