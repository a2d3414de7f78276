// loss_test.c: claims about the clipped surrogate, the estimators of the KL and their gradients.
//
// Golden numbers come from tests/data, larger sets from CARAVAN_REFERENCE. The gradient is compared
// with the slope of the loss, so the two cannot be wrong together without a golden number noticing.

#include "learner/loss.h"

#include "reference.h"

enum { CAP = 512 };

static const struct loss_params DAPO = {.clip_low = 0.2, .clip_high = 0.272};
static const char *const KL_NAMES[] = {"k1", "k2", "k3", "k4"};    // enum conf_kl

// A token that is a row of its own.
static struct loss_token token(const struct loss_params *p, double logp, double old, double ref,
                               double advantage)
{
    struct loss_point x = {logp, old, ref, advantage, logp - old};
    return loss_token(p, &x);
}

// One golden case, flattened: n entries in rows of `width`; masked entries may hold anything.
struct golden {
    struct loss_params p;
    size_t n, width, counted;
    double logp[CAP], old[CAP], ref[CAP], adv[CAP], mask[CAP], grad[CAP], divisor[CAP];
    double loss, clip_fraction;    // NAN: not said
};

static double row_log_ratio(const struct golden *g, size_t i)
{
    double sum = 0, n = 0;
    for (size_t k = i - i % g->width; k < i - i % g->width + g->width; k++) {
        sum += g->mask[k] != 0 ? g->logp[k] - g->old[k] : 0;
        n += g->mask[k] != 0;
    }
    return sum / n;
}

static void check_clipped(const struct golden *g, double clipped, const char *name,
                          double tolerance)
{
    if (!isnan(g->clip_fraction)) {
        double n = g->counted ? (double)g->counted : 1;
        assert_close(clipped / n, g->clip_fraction, tolerance, name, 10001);
    }
}

static void check_double(const struct golden *g, const char *name, double tolerance)
{
    double loss = 0, clipped = 0;
    for (size_t i = 0; i < g->n; i++) {
        if (g->mask[i] == 0) {
            assert_true(g->grad[i] == 0);
            continue;
        }
        struct loss_point x = {g->logp[i], g->old[i], g->ref[i], g->adv[i], row_log_ratio(g, i)};
        struct loss_token t = loss_token(&g->p, &x);
        assert_close(t.dlogp / g->divisor[i], g->grad[i], tolerance, name, i);
        loss += t.loss / g->divisor[i];
        clipped += t.clipped;
    }
    assert_close(loss, g->loss, tolerance, name, 10000);
    check_clipped(g, clipped, name, tolerance);
}

// The form that training uses: f32 in and out.
static void check_float(const struct golden *g, const char *name, double tolerance)
{
    float logp[CAP], old[CAP], ref[CAP], coef[CAP];
    double ratio[CAP];
    uint8_t mask[CAP];
    struct loss_sums sums = {0};
    for (size_t i = 0; i < g->n; i++) {
        logp[i] = (float)g->logp[i];
        old[i] = (float)g->old[i];
        ref[i] = (float)g->ref[i];
        mask[i] = g->mask[i] != 0;
        ratio[i] = mask[i] ? row_log_ratio(g, i) : NAN;
        coef[i] = NAN;
    }
    struct loss_rows rows = {.logp = logp,
                             .behaviour = old,
                             .ref = ref,
                             .advantage = g->adv,
                             .divisor = g->divisor,
                             .row_log_ratio = ratio,
                             .mask = mask};
    loss_tokens(&g->p, g->n, &rows, coef, &sums);
    for (size_t i = 0; i < g->n; i++) {
        assert_close((double)coef[i], g->grad[i], tolerance, name, i);
    }
    assert_int_equal(sums.tokens, g->counted);
    assert_close(sums.loss, g->loss, tolerance, name, 10000);
    check_clipped(g, (double)sums.clipped, name, tolerance);
}

static void read_columns(struct golden *g, const json_t *in, const json_t *grad)
{
    g->n = golden_flatten(json_object_get(in, "new"), g->logp, CAP);
    assert_int_equal(golden_flatten(json_object_get(in, "old"), g->old, CAP), g->n);
    assert_int_equal(golden_flatten(json_object_get(in, "ref"), g->ref, CAP), g->n);
    assert_int_equal(golden_flatten(json_object_get(in, "adv"), g->adv, CAP), g->n);
    assert_int_equal(golden_flatten(json_object_get(in, "mask"), g->mask, CAP), g->n);
    assert_int_equal(golden_flatten(grad, g->grad, CAP), g->n);
    const json_t *first = json_array_get(json_object_get(in, "new"), 0);
    g->width = json_is_array(first) ? json_array_size(first) : g->n;
    for (size_t i = 0; i < g->n; i++) {
        g->counted += g->mask[i] != 0;
    }
    for (size_t i = 0; i < g->n; i++) {
        g->divisor[i] = g->counted ? (double)g->counted : 1;
    }
}

// The divisors of the other aggregations of the reference (losses/README: agg).
static void read_aggregation(struct golden *g, const json_t *agg)
{
    const char *mode = json_string_value(json_object_get(agg, "mode"));
    double rows = (double)(g->n / g->width), used = 0;
    for (size_t row = 0; row < g->n; row += g->width) {
        double n = 0;
        for (size_t i = row; i < row + g->width; i++) {
            n += g->mask[i] != 0;
        }
        used += n > 0;
        for (size_t i = row; i < row + g->width; i++) {
            g->divisor[i] = strncmp(mode, "seq_mean", 8) == 0 ? n
                            : strcmp(mode, "constant") == 0   ? golden_get(agg, "value")
                            : strcmp(mode, "dr_grpo") == 0    ? golden_get(agg, "max_tokens")
                                                              : g->divisor[i];
        }
    }
    bool by_row = strncmp(mode, "seq_mean", 8) == 0 || strcmp(mode, "dr_grpo") == 0;
    for (size_t i = 0; i < g->n && by_row; i++) {
        g->divisor[i] *= strcmp(mode, "seq_mean_nonempty") == 0 ? used : rows;
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

// What we compute: three policies, with any KL, without corrections for another sampler.
static bool implemented(const json_t *params, enum conf_policy *policy)
{
    static const char *const names[] = {"clip", "cispo", "gspo"};
    const char *kind = json_string_value(json_object_get(params, "kind"));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(kind, names[i]) == 0) {
            *policy = (enum conf_policy)i;
            return !json_object_get(params, "correction");
        }
    }
    return false;
}

static double or_zero(const json_t *v)
{
    return v ? golden_number(v) : 0;
}

static void policy_losses_agree_with_reference(void **state)
{
    (void)state;
    json_t *root = reference_load("losses/policy_loss.json");
    json_t *cases = json_object_get(root, "cases");
    size_t met = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *c = json_array_get(cases, i), *params = json_object_get(c, "params");
        enum conf_policy policy;
        if (!implemented(params, &policy)) {
            continue;
        }
        json_t *beta = json_object_get(params, "beta");
        struct golden g = {.p = {.clip_low = or_zero(json_object_get(params, "clip_low")),
                                 .clip_high = golden_get(params, "clip_high"),
                                 .policy = policy,
                                 .dual_clip = or_zero(json_object_get(params, "dual_clip"))}};
        if (beta) {
            g.p.kl_beta = golden_number(beta);
            g.p.kl = (enum conf_kl)(golden_get(params, "kl") - 1);
        }
        read_columns(&g, json_object_get(c, "inputs"), json_object_get(c, "grad_new"));
        read_aggregation(&g, json_object_get(params, "agg"));
        g.loss = golden_get(c, "loss");
        json_t *clipped = json_object_get(json_object_get(c, "metrics"), "clip_fraction");
        g.clip_fraction = clipped ? golden_number(clipped) : NAN;
        const char *name = json_string_value(json_object_get(c, "name"));
        check_double(&g, name, 1e-10);
        check_float(&g, name, 1e-5);
        met++;
    }
    json_decref(root);
    assert_true(met >= 60);
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
            const struct loss_params p = {0.2, 0.272, 1, (enum conf_kl)k, CONF_POLICY_CLIP, 0};
            char grad[16];
            snprintf(grad, sizeof grad, "%s_grad", KL_NAMES[k]);
            struct loss_token t = token(&p, d, d - log(ratio), 0, 0);
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
        const struct loss_params p = {0.2, 0.272, 2, (enum conf_kl)k, CONF_POLICY_CLIP, 0};
        struct loss_token t = token(&p, -1, -1 + ln2, -1 - ln2, 0);
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
            const struct loss_params l = {0.2, 0.272, 1, (enum conf_kl)k, CONF_POLICY_CLIP, 0};
            struct loss_token t = token(&l, log(p[i]), log(p[i]), log(q[i]), 0);
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

// Differences where the loss is smooth; the kinks of clipping are not sampled. What cispo holds
// constant is held constant here too.
static void gradient_is_the_slope_of_the_loss(void **state)
{
    (void)state;
    const double h = 1e-6;
    for (int i = 0; i < 1200; i++) {
        const struct loss_params p = {0.2,
                                      0.272,
                                      0.1,
                                      (enum conf_kl)(i / 200 % 4),
                                      i < 800 ? CONF_POLICY_CLIP : CONF_POLICY_GSPO,
                                      i >= 400 && i < 800 ? 1.1 : 0};
        double x = -0.013 * (i % 200), old = x + 0.004 * (i % 97) - 0.19;
        double ref = x - 0.3 + 0.003 * (i % 200);
        double a = i % 3 - 1.0;
        double up = token(&p, x + h, old, ref, a).loss;
        double down = token(&p, x - h, old, ref, a).loss;
        assert_close(token(&p, x, old, ref, a).dlogp, (up - down) / (2 * h), 1e-7, "slope",
                     (size_t)i);
    }
}

// The gradient of a row's loss with respect to each of its tokens, by differences: through the mean
// that all of them share.
static void a_gspo_row_has_the_gradient_of_its_mean_ratio(void **state)
{
    (void)state;
    enum { N = 5 };
    const struct loss_params p = {.clip_low = 0.2, .clip_high = 0.3, .policy = CONF_POLICY_GSPO};
    const float old[N] = {-1, -0.5F, -2, -0.25F, -3};
    const size_t row[N] = {3, 3, 3, 2, 2};
    const double adv[N] = {1, 1, 1, -0.5, -0.5}, divisor[N] = {6, 6, 6, 4, 4};    // seq_mean
    for (size_t k = 0; k < N; k++) {
        double side[2];
        float coef[N];
        const float h = 0.0009765625F;
        for (int s = 0; s < 3; s++) {
            float logp[N] = {-1.125F, -0.375F, -1.875F, -0.25F, -2.75F};
            double ratio[N];
            struct loss_sums sums = {0};
            logp[k] += s < 2 ? (s ? h : -h) : 0;
            loss_row_ratios(N, logp, old, row, ratio);
            struct loss_rows rows = {.logp = logp,
                                     .behaviour = old,
                                     .advantage = adv,
                                     .divisor = divisor,
                                     .row_log_ratio = ratio};
            loss_tokens(&p, N, &rows, coef, &sums);
            if (s < 2) {
                side[s] = sums.loss;
            }
        }
        assert_close((double)coef[k], (side[1] - side[0]) / (2 * (double)h), 1e-6, "coef", k);
        assert_true(coef[k] != 0);
    }
}

// Where clip lets a token go, cispo keeps it, with a weight that has stopped growing.
static void cispo_keeps_every_token(void **state)
{
    (void)state;
    const struct loss_params p = {.clip_low = 0.2, .clip_high = 0.5, .policy = CONF_POLICY_CISPO};
    struct loss_token t = token(&p, -1, -3, 0, 1);
    assert_true(t.clipped && t.dlogp == -1.5);
    assert_close(t.loss, 1.5, 1e-15, "loss", 0);    // -A w x = -1 * 1.5 * -1
    t = token(&p, -1, -1, 0, -2);
    assert_true(!t.clipped && t.dlogp == 2 && t.loss == -2);
    t = token(&p, -3, -1, 0, 1);    // no bound below
    assert_true(!t.clipped);
    assert_close(t.dlogp, -exp(-2), 1e-15, "dlogp", 0);
    t = token(&p, -1, -3, 0, 0);
    assert_true(t.loss == 0 && t.dlogp == 0);
}

// Without it the loss of a disliked token grows with its ratio without end.
static void dual_clip_bounds_what_one_token_can_do(void **state)
{
    (void)state;
    const struct loss_params p = {.clip_low = 0.2, .clip_high = 0.2, .dual_clip = 3};
    struct loss_token t = token(&p, -1, -3, 0, -2);    // ratio e^2 = 7.4
    assert_true(t.loss == 6 && t.dlogp == 0);
    t = token(&p, -1, -2, 0, -2);    // 2.7: below the bound
    assert_true(t.loss < 6 && t.dlogp > 0);
    t = token(&p, -1, -3, 0, 2);    // liked tokens are not its business
    assert_close(t.loss, -2.4, 1e-15, "loss", 0);
}

// A token that already moved far enough in its direction is left alone; one that moved against it
// is not.
static void clipping_stops_only_progress(void **state)
{
    (void)state;
    struct loss_token t = token(&DAPO, -1, -1.5, 0, 1);
    assert_true(t.clipped && t.dlogp == 0);
    assert_close(t.loss, -1.272, 1e-12, "loss", 0);
    t = token(&DAPO, -1.5, -1, 0, -1);
    assert_true(t.clipped && t.dlogp == 0);
    t = token(&DAPO, -1.5, -1, 0, 1);
    assert_true(!t.clipped && t.dlogp < 0);
    t = token(&DAPO, -1, -1.5, 0, -1);
    assert_true(!t.clipped && t.dlogp > 0);
}

static void equal_policies_give_ratio_one(void **state)
{
    (void)state;
    struct loss_token t = token(&DAPO, -0.7, -0.7, 0, 0.5);
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
    const double two[] = {2, 2};
    struct loss_rows rows = {.logp = logp, .behaviour = old, .advantage = adv, .divisor = two};
    loss_tokens(&DAPO, 2, &rows, coef, &sums);
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
    const double four[] = {NAN, 4, NAN};
    struct loss_rows rows = {.logp = logp,
                             .behaviour = old,
                             .ref = logp,
                             .entropy = entropy,
                             .advantage = adv,
                             .divisor = four,
                             .mask = mask};
    loss_tokens(&DAPO, 3, &rows, coef, &sums);
    assert_true(coef[0] == 0 && coef[1] == -0.25F && coef[2] == 0);
    assert_true(sums.tokens == 1 && sums.entropy == 2 && sums.ratio == 1 && sums.loss == -0.25);
}

// Cutting a batch anywhere gives the same gradient: divisors are the batch's, not the part's.
static void parts_add_up_to_the_whole(void **state)
{
    (void)state;
    const float logp[] = {-1, -0.5F, -2, -0.1F}, old[] = {-1.1F, -0.4F, -2.2F, -0.3F};
    const double adv[] = {1, 1, -1, -1};
    float whole[4], parts[4];
    struct loss_sums a = {0}, b = {0};
    const double four[] = {4, 4, 4, 4};
    struct loss_rows rows = {.logp = logp, .behaviour = old, .advantage = adv, .divisor = four};
    loss_tokens(&DAPO, 4, &rows, whole, &a);
    loss_tokens(&DAPO, 3, &rows, parts, &b);
    rows.logp += 3;
    rows.behaviour += 3;
    rows.advantage += 3;
    loss_tokens(&DAPO, 1, &rows, parts + 3, &b);
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
        cmocka_unit_test(a_gspo_row_has_the_gradient_of_its_mean_ratio),
        cmocka_unit_test(cispo_keeps_every_token),
        cmocka_unit_test(dual_clip_bounds_what_one_token_can_do),
        cmocka_unit_test(clipping_stops_only_progress),
        cmocka_unit_test(equal_policies_give_ratio_one),
        cmocka_unit_test(absurd_ratios_stay_finite),
        cmocka_unit_test(masked_tokens_are_not_even_read),
        cmocka_unit_test(parts_add_up_to_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
