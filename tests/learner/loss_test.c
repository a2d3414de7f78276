// loss_test.c: claims about the clipped surrogate, the estimators of the KL and their gradients.
//
// Golden numbers come from tests/data, larger sets from CARAVAN_REFERENCE. The gradient is compared
// with the slope of the loss, so the two cannot be wrong together without a golden number noticing.

#include "learner/loss.h"

#include "reference.h"

enum { CAP = 512 };

static const struct loss_params DAPO = {.clip_low = 0.2, .clip_high = 0.272};
static const char *const KL_NAMES[] = {"k1", "k2", "k3", "k4"};    // enum conf_kl

// One golden case, flattened; masked entries may hold anything.
struct golden {
    struct loss_params p;
    size_t n, counted;
    double logp[CAP], old[CAP], ref[CAP], adv[CAP], mask[CAP], grad[CAP];
    double loss, clip_fraction;
};

static void check_double(const struct golden *g, const char *name, double tolerance)
{
    double loss = 0, clipped = 0, n = g->counted ? (double)g->counted : 1;
    for (size_t i = 0; i < g->n; i++) {
        if (g->mask[i] == 0) {
            assert_true(g->grad[i] == 0);
            continue;
        }
        struct loss_token t = loss_token(&g->p, g->logp[i], g->old[i], g->ref[i], g->adv[i]);
        assert_close(t.dlogp / n, g->grad[i], tolerance, name, i);
        loss += t.loss;
        clipped += t.clipped;
    }
    assert_close(loss / n, g->loss, tolerance, name, 10000);
    assert_close(clipped / n, g->clip_fraction, tolerance, name, 10001);
}

// The form that training uses: f32 in and out.
static void check_float(const struct golden *g, const char *name, double tolerance)
{
    float logp[CAP], old[CAP], ref[CAP], coef[CAP];
    uint8_t mask[CAP];
    struct loss_sums sums = {0};
    for (size_t i = 0; i < g->n; i++) {
        logp[i] = (float)g->logp[i];
        old[i] = (float)g->old[i];
        ref[i] = (float)g->ref[i];
        mask[i] = g->mask[i] != 0;
        coef[i] = NAN;
    }
    double n = g->counted ? (double)g->counted : 1;
    loss_tokens(&g->p, g->n, logp, old, ref, g->adv, NULL, mask, n, coef, &sums);
    for (size_t i = 0; i < g->n; i++) {
        assert_close((double)coef[i], g->grad[i], tolerance, name, i);
    }
    assert_int_equal(sums.tokens, g->counted);
    assert_close(sums.loss / n, g->loss, tolerance, name, 10000);
    assert_close((double)sums.clipped / n, g->clip_fraction, tolerance, name, 10001);
}

static void read_columns(struct golden *g, const json_t *in, const json_t *grad)
{
    g->n = golden_flatten(json_object_get(in, "new"), g->logp, CAP);
    assert_int_equal(golden_flatten(json_object_get(in, "old"), g->old, CAP), g->n);
    assert_int_equal(golden_flatten(json_object_get(in, "ref"), g->ref, CAP), g->n);
    assert_int_equal(golden_flatten(json_object_get(in, "adv"), g->adv, CAP), g->n);
    assert_int_equal(golden_flatten(json_object_get(in, "mask"), g->mask, CAP), g->n);
    assert_int_equal(golden_flatten(grad, g->grad, CAP), g->n);
    for (size_t i = 0; i < g->n; i++) {
        g->counted += g->mask[i] != 0;
    }
}

static void golden_numbers_are_met(void **state)
{
    (void)state;
    json_t *root = golden_load("tests/data/learner/losses.json");
    json_t *cases = json_object_get(root, "cases");
    assert_int_equal(json_array_size(cases), 3);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *c = json_array_get(cases, i);
        struct golden g = {.p = {.clip_low = golden_get(c, "clip_low"),
                                 .clip_high = golden_get(c, "clip_high"),
                                 .kl_beta = golden_get(c, "beta"),
                                 .kl = CONF_KL_K3}};
        read_columns(&g, c, json_object_get(c, "grad"));
        g.loss = golden_get(c, "loss");
        g.clip_fraction = golden_get(c, "clip_fraction");
        const char *name = json_string_value(json_object_get(c, "name"));
        check_double(&g, name, 1e-12);
        check_float(&g, name, 1e-5);
    }
    json_decref(root);
}

// What we compute: clip, token mean, with any KL, without dual clip and corrections.
static bool implemented(const json_t *params)
{
    const char *kind = json_string_value(json_object_get(params, "kind"));
    const json_t *agg = json_object_get(params, "agg");
    return strcmp(kind, "clip") == 0 && !json_object_get(params, "dual_clip") &&
           !json_object_get(params, "correction") &&
           strcmp(json_string_value(json_object_get(agg, "mode")), "token_mean") == 0;
}

static void policy_losses_agree_with_reference(void **state)
{
    (void)state;
    json_t *root = reference_load("losses/policy_loss.json");
    json_t *cases = json_object_get(root, "cases");
    size_t met = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *c = json_array_get(cases, i), *params = json_object_get(c, "params");
        if (!implemented(params)) {
            continue;
        }
        json_t *beta = json_object_get(params, "beta");
        struct golden g = {.p = {.clip_low = golden_get(params, "clip_low"),
                                 .clip_high = golden_get(params, "clip_high")}};
        if (beta) {
            g.p.kl_beta = golden_number(beta);
            g.p.kl = (enum conf_kl)(golden_get(params, "kl") - 1);
        }
        read_columns(&g, json_object_get(c, "inputs"), json_object_get(c, "grad_new"));
        g.loss = golden_get(c, "loss");
        g.clip_fraction = golden_get(json_object_get(c, "metrics"), "clip_fraction");
        const char *name = json_string_value(json_object_get(c, "name"));
        check_double(&g, name, 1e-10);
        check_float(&g, name, 1e-5);
        met++;
    }
    json_decref(root);
    assert_true(met >= 24);
}

// The reference numbers with A = 0: what is left is the KL term.
static void kl_estimators_agree_with_reference(void **state)
{
    (void)state;
    json_t *root = reference_load("losses/kl.json");
    json_t *rows = json_object_get(root, "rows");
    assert_true(json_array_size(rows) > 0);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        double d = golden_get(row, "d"), ratio = golden_get(row, "ratio");
        for (size_t k = 0; k < ARRAY_LEN(KL_NAMES); k++) {
            const struct loss_params p = {0.2, 0.272, 1, (enum conf_kl)k};
            char grad[16];
            snprintf(grad, sizeof grad, "%s_grad", KL_NAMES[k]);
            struct loss_token t = loss_token(&p, d, d - log(ratio), 0, 0);
            assert_close(t.kl, golden_get(row, KL_NAMES[k]), 1e-10, KL_NAMES[k], i);
            assert_close(t.dlogp, golden_get(row, grad), 1e-10, grad, i);
        }
    }
    json_decref(root);
}

// By hand, at d = ln 2 and a ratio of 1/2 (exp(-d) = 1/2, ln 2 = 0.693147…).
static void kl_estimators_are_what_they_are_called(void **state)
{
    (void)state;
    const double ln2 = 0.69314718055994531;
    const double value[] = {ln2, 0.24022650695910071, ln2 - 0.5, ln2 / 2};
    const double slope[] = {1, ln2, 0.5, 0.5 + ln2 / 2};
    for (size_t k = 0; k < ARRAY_LEN(KL_NAMES); k++) {
        const struct loss_params p = {0.2, 0.272, 2, (enum conf_kl)k};
        struct loss_token t = loss_token(&p, -1, -1 + ln2, -1 - ln2, 0);
        assert_close(t.kl, value[k], 1e-15, KL_NAMES[k], 0);
        assert_close(t.loss, 2 * value[k], 1e-15, KL_NAMES[k], 1);
        assert_close(t.dlogp, 2 * slope[k], 1e-15, KL_NAMES[k], 2);
    }
}

// Why there are four: over the tokens of a policy of three, the mean value of k1, k3 and k4 is the
// divergence, and the mean gradient of k2 and k4 with respect to a logit is the divergence's; k1's
// is 0, so as a loss it holds nothing.
static void means_over_a_policy_tell_the_estimators_apart(void **state)
{
    (void)state;
    const double p[3] = {0.5, 0.3, 0.2}, q[3] = {0.2, 0.3, 0.5};
    double kl = 0, kl_grad = 0, value[4] = {0}, grad[4] = {0};
    for (size_t i = 0; i < 3; i++) {
        kl += p[i] * log(p[i] / q[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        double dlogp = (i == 0) - p[0];    // of log p[i] with respect to logit 0
        kl_grad += p[i] * dlogp * log(p[i] / q[i]);
        for (size_t k = 0; k < 4; k++) {
            const struct loss_params l = {0.2, 0.272, 1, (enum conf_kl)k};
            struct loss_token t = loss_token(&l, log(p[i]), log(p[i]), log(q[i]), 0);
            value[k] += p[i] * t.kl;
            grad[k] += p[i] * t.dlogp * dlogp;
        }
    }
    assert_close(value[CONF_KL_K1], kl, 1e-14, "k1", 0);
    assert_close(value[CONF_KL_K3], kl, 1e-14, "k3", 0);
    assert_close(value[CONF_KL_K4], kl, 1e-14, "k4", 0);
    assert_close(grad[CONF_KL_K1], 0, 1e-14, "k1 gradient", 0);
    assert_close(grad[CONF_KL_K2], kl_grad, 1e-14, "k2 gradient", 0);
    assert_close(grad[CONF_KL_K4], kl_grad, 1e-14, "k4 gradient", 0);
    assert_true(fabs(grad[CONF_KL_K3] - kl_grad) > 1e-3);
}

// Differences where the loss is smooth; the kinks of clipping are not sampled.
static void gradient_is_the_slope_of_the_loss(void **state)
{
    (void)state;
    const double h = 1e-6;
    for (int i = 0; i < 800; i++) {
        const struct loss_params p = {0.2, 0.272, 0.1, (enum conf_kl)(i / 200)};
        double x = -0.013 * (i % 200), old = x + 0.004 * (i % 97) - 0.19;
        double ref = x - 0.3 + 0.003 * (i % 200);
        double a = i % 3 - 1.0;
        double up = loss_token(&p, x + h, old, ref, a).loss;
        double down = loss_token(&p, x - h, old, ref, a).loss;
        assert_close(loss_token(&p, x, old, ref, a).dlogp, (up - down) / (2 * h), 1e-7, "slope",
                     (size_t)i);
    }
}

// A token that already moved far enough in its direction is left alone; one that moved against it
// is not.
static void clipping_stops_only_progress(void **state)
{
    (void)state;
    struct loss_token t = loss_token(&DAPO, -1, -1.5, 0, 1);
    assert_true(t.clipped && t.dlogp == 0);
    assert_close(t.loss, -1.272, 1e-12, "loss", 0);
    t = loss_token(&DAPO, -1.5, -1, 0, -1);
    assert_true(t.clipped && t.dlogp == 0);
    t = loss_token(&DAPO, -1.5, -1, 0, 1);
    assert_true(!t.clipped && t.dlogp < 0);
    t = loss_token(&DAPO, -1, -1.5, 0, -1);
    assert_true(!t.clipped && t.dlogp > 0);
}

static void equal_policies_give_ratio_one(void **state)
{
    (void)state;
    struct loss_token t = loss_token(&DAPO, -0.7, -0.7, 0, 0.5);
    assert_true(t.ratio == 1 && t.loss == -0.5 && t.dlogp == -0.5 && !t.clipped);
}

// One absurd behaviour log-prob must not make the whole gradient infinite.
static void absurd_ratios_stay_finite(void **state)
{
    (void)state;
    const float logp[] = {-0.25F, -1e6F}, old[] = {-1e6F, -0.25F};
    const double adv[] = {-1, -1};
    float coef[2];
    struct loss_sums sums = {0};
    loss_tokens(&DAPO, 2, logp, old, NULL, adv, NULL, NULL, 2, coef, &sums);
    assert_true(isfinite(coef[0]) && isfinite(coef[1]) && isfinite(sums.loss));
    assert_true(coef[0] > 0 && coef[1] == 0);
}

static void masked_tokens_are_not_even_read(void **state)
{
    (void)state;
    const float logp[] = {NAN, -1, INFINITY}, old[] = {INFINITY, -1, NAN};
    const float entropy[] = {NAN, 2, NAN};
    const double adv[] = {NAN, 1, 1};
    const uint8_t mask[] = {0, 1, 0};
    float coef[3] = {7, 7, 7};
    struct loss_sums sums = {0};
    loss_tokens(&DAPO, 3, logp, old, logp, adv, entropy, mask, 4, coef, &sums);
    assert_true(coef[0] == 0 && coef[1] == -0.25F && coef[2] == 0);
    assert_true(sums.tokens == 1 && sums.entropy == 2 && sums.ratio == 1 && sums.loss == -1);
}

// Cutting a batch anywhere gives the same gradient: the normaliser is the batch's, not the part's.
static void parts_add_up_to_the_whole(void **state)
{
    (void)state;
    const float logp[] = {-1, -0.5F, -2, -0.1F}, old[] = {-1.1F, -0.4F, -2.2F, -0.3F};
    const double adv[] = {1, 1, -1, -1};
    float whole[4], parts[4];
    struct loss_sums a = {0}, b = {0};
    loss_tokens(&DAPO, 4, logp, old, NULL, adv, NULL, NULL, 4, whole, &a);
    loss_tokens(&DAPO, 3, logp, old, NULL, adv, NULL, NULL, 4, parts, &b);
    loss_tokens(&DAPO, 1, logp + 3, old + 3, NULL, adv + 3, NULL, NULL, 4, parts + 3, &b);
    assert_memory_equal(whole, parts, sizeof whole);
    assert_memory_equal(&a, &b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_numbers_are_met),
        cmocka_unit_test(policy_losses_agree_with_reference),
        cmocka_unit_test(kl_estimators_agree_with_reference),
        cmocka_unit_test(kl_estimators_are_what_they_are_called),
        cmocka_unit_test(means_over_a_policy_tell_the_estimators_apart),
        cmocka_unit_test(gradient_is_the_slope_of_the_loss),
        cmocka_unit_test(clipping_stops_only_progress),
        cmocka_unit_test(equal_policies_give_ratio_one),
        cmocka_unit_test(absurd_ratios_stay_finite),
        cmocka_unit_test(masked_tokens_are_not_even_read),
        cmocka_unit_test(parts_add_up_to_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
