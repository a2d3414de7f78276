// loss.h: the policy loss per token: DAPO's clipped surrogate (Yu et al. 2025; PPO's with two clip
// bounds) plus beta times an estimate of the KL divergence to the initial policy. With x = logp, the
// log-prob under the weights being trained:
//
//   r  = exp(x - behaviour)                      importance ratio
//   Ls = max(-A r, -A clip(r, 1 - lo, 1 + hi))   surrogate, as a loss
//   d  = clamp(x - ref, -40, 40)
//   L  = Ls + beta k                             dL/dx = (clipped ? 0 : -A r) + beta dk/dx
//
//   k1 = d                 dk/dx = 1             (Schulman 2020, "Approximating KL divergence")
//   k2 = d^2 / 2                   d
//   k3 = exp(-d) - 1 + d           1 - exp(-d)
//   k4 = r d                       r + r d       differentiated through the ratio: the mean is the
//                                                gradient of the divergence, also off-policy
//
// x - behaviour is cut at +50 (r = 5e21): beyond that only a broken behaviour log-prob can be, and
// a finite gradient that the global clip shrinks is better than an infinite one. Where d is clamped
// its own gradient is 0. At A = 0 the surrogate and its gradient are 0 whatever r is.
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
};

struct loss_token {
    double loss;     // Ls + beta k
    double dlogp;    // dL/dx
    double ratio;    // r
    double kl;       // k; 0 when beta is 0
    bool clipped;    // the clipped branch decides: no gradient from the surrogate
};

struct loss_token loss_token(const struct loss_params *p, double logp, double behaviour, double ref,
                             double advantage);

// Running sums over tokens that carry loss, in the order they were added.
struct loss_sums {
    double loss, ratio, kl, entropy;
    double ratio_max;
    uint64_t tokens, clipped;
};

// n tokens with one value each. ref may be NULL when kl_beta is 0, entropy may be NULL. mask NULL =
// all count; where mask[i] is 0 nothing of token i is read and coef[i] = 0. coef[i] = (f32)
// (dL_i/dlogp_i / normaliser), `=`; sums `+=`. normaliser: trained tokens of the whole batch.
void loss_tokens(const struct loss_params *p, size_t n, const float *logp, const float *behaviour,
                 const float *ref, const double *advantage, const float *entropy,
                 const uint8_t *mask, double normaliser, float *coef, struct loss_sums *sums);

#endif
