// loss.c: loss and gradient of one completion token, and the loop over many.
//
// Log-probs come in as f32 (they are compared with the actor's bit for bit elsewhere) and the
// coefficient leaves as f32, because that is what the backward pass takes. In between everything is
// double: one exp per token costs nothing beside a 49152-wide softmax, and metrics summed over
// thousands of tokens stay exact enough to compare between runs.
//
// The divisor is applied here, per token, and comes from the whole step: the gradient of a batch then
// does not depend on how it was cut, except for rounding.
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
    CHECK(false);
    return (struct kl_term){0, 0};
}

static double bounded_exp(double log_ratio)
{
    return exp(log_ratio < LOG_RATIO_MAX ? log_ratio : LOG_RATIO_MAX);
}

// clip and gspo: they differ in r alone.
static void add_clipped(const struct loss_params *p, double advantage, struct loss_token *t)
{
    double low = 1 - p->clip_low, high = 1 + p->clip_high;
    double bounded = t->ratio < low ? low : t->ratio > high ? high : t->ratio;
    double free_loss = -advantage * t->ratio;
    double clipped_loss = -advantage * bounded;
    t->clipped = clipped_loss > free_loss;
    t->loss = t->clipped ? clipped_loss : free_loss;
    t->dlogp = t->clipped ? 0 : free_loss;    // d(-A r)/dx = -A r
    double most = -advantage * p->dual_clip;
    if (p->dual_clip > 0 && advantage < 0 && t->loss > most) {
        t->loss = most;
        t->dlogp = 0;
    }
}

static void add_cispo(const struct loss_params *p, double advantage, double logp,
                      struct loss_token *t)
{
    double high = 1 + p->clip_high;
    t->clipped = t->ratio > high;
    t->dlogp = advantage != 0 ? -advantage * (t->clipped ? high : t->ratio) : 0;
    t->loss = advantage != 0 ? t->dlogp * logp : 0;
}

struct loss_token loss_token(const struct loss_params *p, const struct loss_point *x)
{
    struct loss_token t = {0};
    double own_ratio = bounded_exp(x->logp - x->behaviour);
    t.ratio = p->policy == CONF_POLICY_GSPO ? bounded_exp(x->row_log_ratio) : own_ratio;
    if (p->policy == CONF_POLICY_CISPO) {
        add_cispo(p, x->advantage, x->logp, &t);
    } else if (x->advantage != 0) {
        add_clipped(p, x->advantage, &t);
    }
    if (p->kl_beta != 0) {
        struct kl_term k = kl_estimate(p->kl, x->logp - x->ref, own_ratio);
        t.kl = k.value;
        t.loss += p->kl_beta * k.value;
        t.dlogp += p->kl_beta * k.slope;
    }
    return t;
}

void loss_tokens(const struct loss_params *p, size_t n, const struct loss_rows *rows, float *coef,
                 struct loss_sums *sums)
{
    CHECK(rows->ref || p->kl_beta == 0);
    CHECK(rows->row_log_ratio || p->policy != CONF_POLICY_GSPO);
    for (size_t i = 0; i < n; i++) {
        if (rows->mask && !rows->mask[i]) {
            coef[i] = 0;
            continue;
        }
        struct loss_point x = {.logp = (double)rows->logp[i],
                               .behaviour = (double)rows->behaviour[i],
                               .ref = rows->ref ? (double)rows->ref[i] : 0,
                               .advantage = rows->advantage[i],
                               .row_log_ratio = rows->row_log_ratio ? rows->row_log_ratio[i] : 0};
        struct loss_token t = loss_token(p, &x);
        coef[i] = (float)(t.dlogp / rows->divisor[i]);
        sums->loss += t.loss / rows->divisor[i];
        sums->ratio += t.ratio;
        sums->kl += t.kl;
        sums->entropy += rows->entropy ? (double)rows->entropy[i] : 0;
        sums->ratio_max = t.ratio > sums->ratio_max ? t.ratio : sums->ratio_max;
        sums->tokens++;
        sums->clipped += t.clipped;
    }
}

void loss_row_ratios(size_t n, const float *logp, const float *behaviour, const size_t *row_tokens,
                     double *row_log_ratio)
{
    for (size_t i = 0; i < n; i += row_tokens[i]) {
        size_t len = row_tokens[i];
        double sum = 0;
        CHECK(len > 0 && len <= n - i);
        for (size_t k = i; k < i + len; k++) {
            sum += (double)logp[k] - (double)behaviour[k];
        }
        for (size_t k = i; k < i + len; k++) {
            row_log_ratio[k] = sum / (double)len;
        }
    }
}
