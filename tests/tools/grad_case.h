// grad_case.h: a loss over given token sequences with given old log-probs, as golden files describe
// it, so that a gradient can be computed here and compared with one from elsewhere.
//
// Two file forms are recognised by their fields:
//   {"sequences", "prompt_lens", "mask", "weights_A", "old_logprobs_B", "ref_logprobs_B",
//    "advantages_B", "is_weight_B"}
//     loss "A": -sum_i weights[i] * logp[i] at temperature 1
//     loss "B": the clipped loss below at temperature 0.7, clip 0.2 / 0.272, beta 0.05
//   {"sequences", "prompt_lens", "mask", "advantages_per_sequence",
//    "<loss>": {"temperature", "beta", "clip_low", "clip_high", "old_logprobs", "ref_logprobs"} …}
//     losses "dapo" and "dapo_kl"
// Per-token arrays are in packed order: all tokens of sequence 0, then of sequence 1, …
//   r = exp(new - old),  d = new - ref
//   L = sum_i mask[i] * (max(-A r, -A clip(r, 1 - low, 1 + high)) * is_weight
//                        + beta * (expm1(-d) + d)) / sum(mask)
#ifndef CARAVAN_TESTS_TOOLS_GRAD_CASE_H
#define CARAVAN_TESTS_TOOLS_GRAD_CASE_H

#include "model/model.h"
#include "model/source.h"

enum { GRAD_CASE_LOSSES = 2 };

struct grad_loss {
    const char *name;
    double temperature, beta, clip_low, clip_high;
    bool linear;                                           // loss A
    double *weight, *advantage, *old, *ref, *is_weight;    // (n_tokens), owned; those the loss uses
};

struct grad_case {
    size_t n_sequences, n_tokens;
    uint32_t *tokens;    // (n_tokens) packed
    size_t *len;         // (n_sequences)
    double *mask;        // (n_tokens)
    struct grad_loss losses[GRAD_CASE_LOSSES];
    size_t n_losses;
    size_t *out_token;    // (n_tokens - n_sequences) packed index of the token that out i scores
};

MUST_CHECK enum err grad_case_read(const char *path, struct grad_case *out, struct why *why);
void grad_case_fini(struct grad_case *c);
// Every token but each sequence's first becomes an out, in packed order.
MUST_CHECK enum err grad_case_batch(const struct grad_case *c, struct batch *b);
// Adds the losses of outs first .. first + n - 1 to *sum (may be NULL); coef (n) = dL/dlogp.
void grad_case_loss(const struct grad_case *c, const struct grad_loss *l, size_t first, size_t n,
                    const float *logp, float *coef, double *sum);

// All parameters of a source as one flat f32 array (free()).
MUST_CHECK enum err grad_case_read_flat(const struct source *s, float **out, struct why *why);
// Weights of one dtype from a flat f32 array.
MUST_CHECK enum err grad_case_weights(struct device *d, const struct model_config *c,
                                      const struct param_table *p, const float *flat, enum dtype t,
                                      struct weights **out, struct why *why);

struct grad_result {
    float *grads;    // host, flat (free())
    float *logp;     // (outs), host (free())
    double loss;
};
// One model_train over the whole case.
MUST_CHECK enum err grad_case_run(struct device *d, const struct model_config *c,
                                  const struct weights *w, const struct grad_case *k,
                                  const struct grad_loss *l, struct grad_result *out,
                                  struct why *why);

#endif
