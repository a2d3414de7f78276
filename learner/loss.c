// loss.c: loss and gradient of one completion token, and the loop over many.
//
// Log-probs come in as f32 (they are compared with the actor's bit for bit elsewhere) and the
// coefficient leaves as f32, because that is what the backward pass takes. In between everything is
// double: one exp per token costs nothing beside a 49152-wide softmax, and metrics summed over
// thousands of tokens stay exact enough to compare between runs.
//
// The normaliser divides here, per token, and is the same for every micro-batch of a step: the
// gradient of a batch then does not depend on how it was cut, except for rounding.
//
// exp is libm's. Gradients are promised bit-equal on one machine only, so its choice of code path
// by CPU does no harm; log-probs never pass through here.

#include "learner/loss.h"

#include <math.h>

#include "common/base.h"

#define LOG_RATIO_MAX 50.0
#define KL_DIFF_MAX 40.0

struct kl_term {
    double value, slope;
};

static struct kl_term kl_estimate(enum conf_kl kind, double diff, double ratio)
{
    bool inside = fabs(diff) <= KL_DIFF_MAX;
    double d = inside ? diff : copysign(KL_DIFF_MAX, diff), slope = inside ? 1 : 0;
    switch (kind) {
    case CONF_KL_K1:
        return (struct kl_term){d, slope};
    case CONF_KL_K2:
        return (struct kl_term){d * d / 2, slope * d};
    case CONF_KL_K3:
        return (struct kl_term){expm1(-d) + d, slope * -expm1(-d)};
    case CONF_KL_K4:
        return (struct kl_term){ratio * d, ratio * (slope + d)};
    }
    CHECK(!"an estimator");
    return (struct kl_term){0, 0};
}

struct loss_token loss_token(const struct loss_params *p, double logp, double behaviour, double ref,
                             double advantage)
{
    struct loss_token t = {0};
    double log_ratio = logp - behaviour;
    t.ratio = exp(log_ratio < LOG_RATIO_MAX ? log_ratio : LOG_RATIO_MAX);
    if (advantage != 0) {
        double low = 1 - p->clip_low, high = 1 + p->clip_high;
        double bounded = t.ratio < low ? low : t.ratio > high ? high : t.ratio;
        double free_loss = -advantage * t.ratio;
        double clipped_loss = -advantage * bounded;
        t.clipped = clipped_loss > free_loss;
        t.loss = t.clipped ? clipped_loss : free_loss;
        t.dlogp = t.clipped ? 0 : free_loss;    // d(-A r)/dx = -A r
    }
    if (p->kl_beta != 0) {
        struct kl_term k = kl_estimate(p->kl, logp - ref, t.ratio);
        t.kl = k.value;
        t.loss += p->kl_beta * k.value;
        t.dlogp += p->kl_beta * k.slope;
    }
    return t;
}

void loss_tokens(const struct loss_params *p, size_t n, const float *logp, const float *behaviour,
                 const float *ref, const double *advantage, const float *entropy,
                 const uint8_t *mask, double normaliser, float *coef, struct loss_sums *sums)
{
    CHECK(ref || p->kl_beta == 0);
    for (size_t i = 0; i < n; i++) {
        if (mask && !mask[i]) {
            coef[i] = 0;
            continue;
        }
        struct loss_token t = loss_token(p, (double)logp[i], (double)behaviour[i],
                                         ref ? (double)ref[i] : 0, advantage[i]);
        coef[i] = (float)(t.dlogp / normaliser);
        sums->loss += t.loss;
        sums->ratio += t.ratio;
        sums->kl += t.kl;
        sums->entropy += entropy ? (double)entropy[i] : 0;
        sums->ratio_max = t.ratio > sums->ratio_max ? t.ratio : sums->ratio_max;
        sums->tokens++;
        sums->clipped += t.clipped;
    }
}
