// loss.h: the policy loss per token, with what is added to it and how tokens are weighed. With x =
// logp, the log-prob under the weights being trained, and A the advantage:
//
//   r = exp(x - behaviour)                         importance ratio
//   clip   max(-A r, -A clip(r, 1 - lo, 1 + hi))   PPO with two bounds (DAPO, Yu et al. 2025);
//                                                  dL/dx = clipped ? 0 : -A r
//          with dual_clip c: at most -A c where A < 0 (Ye et al. 2020), without gradient there
//   cispo  -A w x, w = min(r, 1 + hi) constant     every token keeps a gradient, -A w (MiniMax-M1,
//                                                  2025)
//   gspo   as clip with r = exp(mean over the row of x - behaviour), the same for all its tokens
//                                                  (Zheng et al. 2025); dL/dx is what one token adds
//                                                  to the gradient of its whole row
//
//   L = that + beta k                              dL/dx likewise; d = clamp(x - ref, -40, 40)
//   k1 = d                 dk/dx = 1               (Schulman 2020, "Approximating KL divergence")
//   k2 = d^2 / 2                   d
//   k3 = exp(-d) - 1 + d           1 - exp(-d)
//   k4 = r d                       r + r d         differentiated through the token's ratio: the mean
//                                                  is the divergence's gradient, also off-policy
//
// Log-ratios are cut at +50 (r = 5e21): beyond that only a broken behaviour log-prob can be, and a
// finite gradient that the global clip shrinks is better than an infinite one. Where d is clamped
// its own gradient is 0. At A = 0 the policy's loss and gradient are 0 whatever r is.
//
// A token's share of the batch is 1 / divisor; batcher.h has the divisors of the aggregations.
#ifndef CARAVAN_LEARNER_LOSS_H
#define CARAVAN_LEARNER_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"

struct loss_params {
    double clip_low, clip_high;    // 0.2, 0.272
    double kl_beta;                // 0 = no KL term, ref is not read
    enum conf_kl kl;
    enum conf_policy policy;
    double dual_clip;    // 0 = off; not of cispo
};

// One token. row_log_ratio: the mean of logp - behaviour over its completion, read by gspo only.
struct loss_point {
    double logp, behaviour, ref, advantage, row_log_ratio;
};

struct loss_token {
    double loss;     // the policy's + beta k
    double dlogp;    // dL/dx
    double ratio;    // r
    double kl;       // k; 0 when beta is 0
    // A clip bound decides (dual_clip aside): no gradient from the policy's loss, or a cut weight.
    bool clipped;
};

struct loss_token loss_token(const struct loss_params *p, const struct loss_point *x);

// Tokens with one value each; every pointer that is not marked must be there.
struct loss_rows {
    const float *logp, *behaviour;
    const float *ref;        // NULL when kl_beta is 0
    const float *entropy;    // or NULL
    const double *advantage, *divisor;
    const double *row_log_ratio;    // NULL but for gspo
    const uint8_t *mask;            // NULL = all count; where 0, nothing of the token is read
};

// Running sums over tokens that carry loss, in the order they were added.
struct loss_sums {
    double loss;    // each over its divisor
    double ratio, kl, entropy;
    double ratio_max;
    uint64_t tokens, clipped;
};

// coef[i] = (f32) (dL_i/dlogp_i / divisor_i), `=`, 0 where masked; sums `+=`.
void loss_tokens(const struct loss_params *p, size_t n, const struct loss_rows *rows, float *coef,
                 struct loss_sums *sums);
// row_log_ratio (n) = of consecutive completions: row_tokens[i] is the length of token i's.
void loss_row_ratios(size_t n, const float *logp, const float *behaviour, const size_t *row_tokens,
                     double *row_log_ratio);

#endif
