// Drawing and scoring tokens: what is kept, what is drawn for which u, and that scoring a token
// later gives the bits it was drawn with.
//
// The golden cases (vectors.json and cases.json below $CARAVAN_REFERENCE/sampling) are used where
// that variable is set; cases with repetition penalties, which this op does not have, are passed
// over.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "kit.h"

static const struct sample_spec PLAIN = {.temperature = 1.0f, .top_p = 1.0f, .target = -1};

static struct sample_out one(struct device *d, const float *host, size_t V, struct sample_spec spec)
{
    struct sample_out out;
    float *logits = kit_put(d, host, V);
    d->ops->sample(d, 1, V, logits, V, &spec, &out);
    d->ops->release(d, logits);
    return out;
}

// The tokens drawn over a grid of u: probs[i] += 1 / steps.
static void histogram(struct device *d, const float *logits, size_t V, struct sample_spec spec,
                      size_t steps, double *probs)
{
    memset(probs, 0, V * sizeof *probs);
    for (size_t i = 0; i < steps; i++) {
        spec.u = (float)(((double)i + 0.5) / (double)steps);
        int32_t token = one(d, logits, V, spec).token;
        assert_true(token >= 0 && (size_t)token < V);
        probs[token] += 1.0 / (double)steps;
    }
}

static void greedy_of(struct device *d)
{
    float x[40] = {0};
    x[7] = x[31] = 2.0f;
    struct sample_spec spec = PLAIN;
    spec.temperature = 0.0f;
    spec.u = 0.99f;
    struct sample_out out = one(d, x, 40, spec);
    assert_int_equal(out.token, 7);
    double sum = 2.0 * exp(2.0) + 38.0;
    assert_true(fabs((double)out.logp - log(exp(2.0) / sum)) < 1e-6);
    assert_true(out.kept == 1.0f);
}

static void greedy_takes_the_lowest_of_the_largest(void **state)
{
    (void)state;
    kit_on_every_kind(greedy_of);
}

static void draws_of(struct device *d)
{
    const float x[4] = {logf(0.1f), logf(0.2f), -INFINITY, logf(0.7f)};
    const struct {
        float u;
        int32_t token;
    } cases[] = {{0.0f, 0},    {0.0999f, 0}, {0.1001f, 1},
                 {0.2999f, 1}, {0.3001f, 3}, {0.99999994f, 3}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sample_spec spec = PLAIN;
        spec.u = cases[i].u;
        assert_int_equal(one(d, x, 4, spec).token, cases[i].token);
    }
}

static void draws_follow_the_probabilities_in_vocabulary_order(void **state)
{
    (void)state;
    kit_on_every_kind(draws_of);
}

// Across vocabulary blocks: the block of the token is found by sums, and impossible tokens are
// never drawn.
static void large_vocabulary_of(struct device *d)
{
    enum { V = 5000 };
    float *x = malloc(V * sizeof *x);
    for (size_t i = 0; i < V; i++) {
        x[i] = -INFINITY;
    }
    x[3] = x[1500] = x[1501] = x[4999] = 1.0f;
    double *p = malloc(V * sizeof *p);
    histogram(d, x, V, PLAIN, 16, p);
    assert_true(p[3] == 0.25 && p[1500] == 0.25 && p[1501] == 0.25 && p[4999] == 0.25);
    struct sample_spec spec = PLAIN;
    spec.top_k = 3;    // a tie: the lowest indices stay
    histogram(d, x, V, spec, 12, p);
    assert_true(fabs(p[3] - 1.0 / 3.0) < 1e-9 && fabs(p[1501] - 1.0 / 3.0) < 1e-9);
    assert_true(p[4999] == 0.0);
    assert_true(one(d, x, V, spec).kept == 0.75f);
    spec.top_p = 0.5f;    // of the three: two
    histogram(d, x, V, spec, 12, p);
    assert_true(p[3] == 0.5 || fabs(p[3] - 0.5) < 1e-9);
    assert_true(p[1501] == 0.0);
    assert_true(one(d, x, V, spec).kept == 0.5f);
    free(p);
    free(x);
}

static void a_large_vocabulary_is_drawn_like_a_small_one(void **state)
{
    (void)state;
    kit_on_every_kind(large_vocabulary_of);
}

static int by_size(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return *x < *y ? 1 : *x > *y ? -1 : 0;
}

// Random logits of many blocks against sorting.
static void truncation_of(struct device *d)
{
    enum { V = 3333 };
    float x[V], sorted[V];
    for (uint64_t seed = 0; seed < 20; seed++) {
        kit_fill(x, V, seed, 5.0f);
        memcpy(sorted, x, sizeof x);
        qsort(sorted, V, sizeof *sorted, by_size);
        struct sample_spec spec = PLAIN;
        spec.top_k = seed % 2 == 0 ? 1 + (int32_t)kit_below(seed, 1, 200) : 0;
        spec.top_p = seed % 3 == 0 ? 1.0f : 0.05f + 0.9f * (float)kit_below(seed, 2, 100) / 100.0f;
        size_t k = spec.top_k > 0 ? (size_t)spec.top_k : V, n = 0;
        spec.min_p = seed % 4 < 2 ? 0.0f : expf(-8.0f * (float)kit_below(seed, 3, 100) / 100.0f);
        double all = 0.0, first = 0.0, sum = 0.0;
        for (size_t i = 0; i < V; i++) {
            double w = exp((double)sorted[i]);
            all += w;
            first += i < k ? w : 0.0;
        }
        while (n < k && (spec.top_p >= 1.0f || n == 0 || sum < (double)spec.top_p * first) &&
               exp((double)sorted[n] - (double)sorted[0]) >= (double)spec.min_p) {
            sum += exp((double)sorted[n++]);
        }
        spec.u = 0.37f;
        struct sample_out out = one(d, x, V, spec);
        assert_true(fabs((double)out.kept - sum / all) < 2e-6);
        double below = 0.0;    // the CDF over kept tokens must step over u at the token drawn
        for (size_t i = 0; i < (size_t)out.token; i++) {
            below += x[i] >= sorted[n - 1] ? exp((double)x[i]) / sum : 0.0;
        }
        assert_true(x[out.token] >= sorted[n - 1]);
        assert_true(below <= 0.37 + 1e-5);
        assert_true(below + exp((double)x[out.token]) / sum >= 0.37 - 1e-5);
    }
}

static void truncation_keeps_what_sorting_would_keep(void **state)
{
    (void)state;
    kit_on_every_kind(truncation_of);
}

// Min-p is a distance below the largest logit, in units of the temperature. The threshold itself
// stays, all of its ties stay, and whatever top-k and top-p have taken away does not come back.
static void min_p_keeps_what_is_near_the_most_likely(void **state)
{
    (void)state;
    for (int kind = 0; kind < KIT_KINDS; kind++) {
        struct device *d = kit_open(kit_kinds[kind], 1);
        if (d == NULL) {
            continue;
        }
        const float x[6] = {logf(0.1f), logf(0.4f), -INFINITY, logf(0.2f), logf(0.1f), logf(0.2f)};
        double p[6];
        struct sample_spec spec = PLAIN;
        spec.min_p = 0.4f;    // 0.1 is a quarter of 0.4, 0.2 a half
        histogram(d, x, 6, spec, 16, p);
        assert_true(p[0] == 0.0 && p[2] == 0.0 && p[4] == 0.0);
        assert_true(p[1] == 0.5 && p[3] == 0.25 && p[5] == 0.25);
        assert_true(fabs((double)one(d, x, 6, spec).kept - 0.8) < 1e-6);
        spec.temperature = 2.0f;    // roots of the ratios: 0.5 and 0.71
        spec.min_p = 0.6f;
        histogram(d, x, 6, spec, 16, p);
        assert_true(p[0] == 0.0 && p[1] > 0.0 && p[3] > 0.0 && p[5] > 0.0);
        spec.top_k = 2;    // the tie of 3 and 5: the lower index
        histogram(d, x, 6, spec, 16, p);
        assert_true(p[1] > 0.0 && p[3] > 0.0 && p[5] == 0.0);
        spec.min_p = 0.8f;
        histogram(d, x, 6, spec, 16, p);
        assert_true(p[1] == 1.0);
        spec = PLAIN;
        spec.min_p = 1.0f;    // the largest alone, with everything equal to it
        const float tie[4] = {3.0f, 0.0f, 3.0f, 2.99999f};
        histogram(d, tie, 4, spec, 16, p);
        assert_true(p[0] == 0.5 && p[2] == 0.5);
        kit_close(d);
    }
}

// With the other samplers and over several blocks, every path draws the same token and reports the
// same bits.
static void min_p_is_the_same_on_every_path(void **state)
{
    (void)state;
    enum { V = 3000, R = 40 };
    struct sample_out first[R], out[R];
    int opened = 0;
    for (int kind = 0; kind < KIT_KINDS; kind++) {
        struct device *d = kit_open(kit_kinds[kind], 2);
        if (d == NULL) {
            continue;
        }
        float *logits = kit_random(d, R * V, 7, 4.0f);
        struct sample_spec spec[R];
        for (size_t r = 0; r < R; r++) {
            spec[r] = PLAIN;
            spec[r].temperature = 0.5f + (float)(r % 4) * 0.3f;
            spec[r].u = ((float)r + 0.5f) / R;
            spec[r].min_p = 0.001f * (float)(1 + r * r);
            spec[r].min_p = spec[r].min_p > 1.0f ? 1.0f : spec[r].min_p;
            spec[r].top_k = r % 3 == 0 ? 50 : 0;
            spec[r].top_p = r % 5 == 0 ? 0.7f : 1.0f;
        }
        d->ops->sample(d, R, V, logits, V, spec, out);
        for (size_t r = 0; r < R; r++) {
            assert_true(out[r].kept > 0.0f && out[r].kept < 1.0f);
            if (opened == 0) {
                first[r] = out[r];
            }
            assert_int_equal(out[r].token, first[r].token);
            kit_same_bits("kept", 1, &out[r].kept, &first[r].kept);
            kit_same_bits("logp", 1, &out[r].logp, &first[r].logp);
        }
        opened++;
        d->ops->release(d, logits);
        kit_close(d);
    }
    assert_true(opened > 0);
}

// The definition of a log-probability is one: whoever computes it, however many rows are beside it.
static void scoring_gives_the_bits_of_sampling(void **state)
{
    (void)state;
    enum { V = 2500, R = 20 };
    for (int kind = 0; kind < KIT_KINDS; kind++) {
        struct device *d = kit_open(kit_kinds[kind], 2);
        if (d == NULL) {
            continue;
        }
        float *logits = kit_random(d, R * V, 1, 4.0f);
        struct sample_spec spec[R];
        struct sample_out drawn[R], scored[R];
        int32_t target[R];
        float logp[R], entropy[R], lse[R];
        for (size_t r = 0; r < R; r++) {
            spec[r] = PLAIN;
            spec[r].temperature = 0.7f;
            spec[r].u = (float)r / R;
            spec[r].top_k = (int32_t)(r % 3) * 10;
        }
        d->ops->sample(d, R, V, logits, V, spec, drawn);
        for (size_t r = 0; r < R; r++) {
            target[r] = spec[r].target = drawn[r].token;
        }
        d->ops->score(d, R, V, logits, V, 0.7f, target, logp, entropy, lse);
        for (size_t r = 0; r < R; r++) {
            d->ops->sample(d, 1, V, logits + r * V, V, &spec[r], &scored[r]);
            kit_same_bits("logp", 1, &logp[r], &drawn[r].logp);
            kit_same_bits("logp", 1, &logp[r], &scored[r].logp);
            kit_same_bits("entropy", 1, &entropy[r], &drawn[r].entropy);
        }
        d->ops->release(d, logits);
        kit_close(d);
    }
}

static void score_and_its_gradient(struct device *d, size_t V, float T)
{
    enum { R = 3 };
    float *logits = kit_random(d, R * V, V, 5.0f);
    const int32_t target[R] = {0, (int32_t)V - 1, (int32_t)V / 2};
    const float coef[R] = {1.0f, -0.5f, 0.0f};
    float logp[R], entropy[R], lse[R];
    double *x = kit_get_wide(d, logits, R * V), *grad = malloc(R * V * sizeof *grad);
    d->ops->score(d, R, V, logits, V, T, target, logp, entropy, lse);
    d->ops->score_backward(d, R, V, logits, V, T, target, lse, coef);
    for (size_t r = 0; r < R; r++) {
        double sum = 0.0, h = 0.0;
        for (size_t i = 0; i < V; i++) {
            sum += exp(x[r * V + i] / (double)T);
        }
        for (size_t i = 0; i < V; i++) {
            double p = exp(x[r * V + i] / (double)T) / sum;
            h -= p * log(p);
            grad[r * V + i] =
                (double)coef[r] * ((i == (size_t)target[r] ? 1.0 : 0.0) - p) / (double)T;
        }
        double want[3] = {x[r * V + (size_t)target[r]] / (double)T - log(sum), h, log(sum)};
        kit_close_to("logp", 1, &logp[r], &want[0], 1e-6, 1.0);
        kit_close_to("entropy", 1, &entropy[r], &want[1], 1e-6, 1.0);
        kit_close_to("lse", 1, &lse[r], &want[2], 1e-6, 1.0);
    }
    kit_close_on(d, "dlogits", R * V, logits, grad, 3e-6, 0.05);
    d->ops->release(d, logits);
    free(x);
    free(grad);
}

static void scores_and_gradients_follow_the_formula(void **state)
{
    (void)state;
    for (int kind = 0; kind < KIT_KINDS; kind++) {
        struct device *d = kit_open(kit_kinds[kind], 2);
        if (d != NULL) {
            score_and_its_gradient(d, 1, 1.0f);
            score_and_its_gradient(d, 1023, 0.7f);
            score_and_its_gradient(d, 9001, 1.0f);
            kit_close(d);
        }
    }
}

// A broken model must not take the process down: some token inside the vocabulary, and a
// log-probability that shows it.
static void nan_logits_of(struct device *d)
{
    float x[3000];
    kit_fill(x, 3000, 1, 1.0f);
    x[1700] = NAN;
    struct sample_spec spec = PLAIN;
    for (int i = 0; i < 5; i++) {
        spec.u = 0.2f * (float)i;
        spec.min_p = i == 4 ? 0.5f : 0.0f;
        spec.top_k = i == 1 ? 5 : 0;
        spec.top_p = i == 2 ? 0.5f : 1.0f;
        spec.temperature = i == 3 ? 0.0f : 1.0f;
        struct sample_out out = one(d, x, 3000, spec);
        assert_true(out.token >= 0 && out.token < 3000);
        assert_true(isnan(out.logp));
    }
    for (size_t i = 0; i < 3000; i++) {
        x[i] = -INFINITY;
    }
    assert_true(one(d, x, 3000, PLAIN).token < 3000);
    spec.min_p = 0.5f;
    assert_true(one(d, x, 3000, spec).token < 3000);
}

static void nan_logits_give_a_token_and_a_nan(void **state)
{
    (void)state;
    kit_on_every_kind(nan_logits_of);
}

// ---- golden cases
static json_t *load(const char *name)
{
    char path[4096];
    json_error_t error;
    (void)snprintf(path, sizeof path, "%s/sampling/%s", getenv("CARAVAN_REFERENCE"), name);
    json_t *j = json_load_file(path, 0, &error);
    if (j == NULL) {
        fail_msg("%s: %s", path, error.text);
    }
    return j;
}

static double number(const json_t *j)
{
    if (json_is_string(j)) {
        return strcmp(json_string_value(j), "-inf") == 0 ? -(double)INFINITY : (double)INFINITY;
    }
    return json_number_value(j);
}

static double param(const json_t *params, const char *name, double otherwise)
{
    const json_t *j = json_object_get(params, name);
    return json_is_number(j) ? json_number_value(j) : otherwise;
}

static bool within_our_means(const json_t *c)
{
    const json_t *p = json_object_get(c, "params");
    return param(p, "repetition_penalty", 1.0) == 1.0 &&
           !json_is_true(json_object_get(c, "tie_at_boundary"));
}

static void check_golden(struct device *d, const float *x, size_t V, const json_t *c)
{
    const json_t *p = json_object_get(c, "params"), *probs = json_object_get(c, "probs"), *s;
    struct sample_spec spec = PLAIN;
    spec.temperature = (float)param(p, "temperature", 1.0);
    spec.top_k = (int32_t)param(p, "top_k", 0.0);
    spec.top_p = (float)param(p, "top_p", 1.0);
    spec.min_p = (float)param(p, "min_p", 0.0);
    double cdf = 0.0;
    for (size_t i = 0; i < V; i++) {    // drawn just inside both ends of its interval
        double w = number(json_array_get(probs, i));
        if (w > 1e-5) {
            spec.u = (float)(cdf + fmax(1e-3 * w, 2e-6));
            assert_int_equal(one(d, x, V, spec).token, i);
            spec.u = (float)(cdf + w - fmax(1e-3 * w, 2e-6));
            assert_int_equal(one(d, x, V, spec).token, i);
        }
        cdf += w;
    }
    size_t i;
    json_array_foreach(json_object_get(c, "sampled"), i, s)
    {
        double want = number(json_object_get(s, "logprob_temperature"));
        spec.target = (int32_t)json_integer_value(json_object_get(s, "id"));
        float logp = one(d, x, V, spec).logp;
        if (isinf(want)) {
            assert_true(isinf(logp));
        } else {
            assert_true(fabs((double)logp - want) <= 1e-6 * fmax(1.0, fabs(want)));
        }
    }
}

static void golden_cases(void **state)
{
    (void)state;
    if (getenv("CARAVAN_REFERENCE") == NULL) {
        skip();
    }
    json_t *vectors = load("vectors.json"), *cases = load("cases.json"), *c;
    size_t checked = 0, passed_over = 0, i;
    struct device *d = kit_open("cpu", 1);
    json_array_foreach(json_object_get(cases, "cases"), i, c)
    {
        const char *name = json_string_value(json_object_get(c, "vector"));
        json_t *v = json_object_get(json_object_get(vectors, "vectors"), name), *e;
        float x[4096];
        size_t V = json_array_size(v), j;
        assert_true(V > 0 && V <= ARRAY_LEN(x));
        json_array_foreach(v, j, e)
        {
            x[j] = (float)number(e);
        }
        if (within_our_means(c)) {
            check_golden(d, x, V, c);
            checked++;
        } else {
            passed_over++;
        }
    }
    print_message("golden cases: %zu checked, %zu passed over\n", checked, passed_over);
    assert_true(checked > 0);
    kit_close(d);
    json_decref(vectors);
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_lowest_of_the_largest),
        cmocka_unit_test(draws_follow_the_probabilities_in_vocabulary_order),
        cmocka_unit_test(a_large_vocabulary_is_drawn_like_a_small_one),
        cmocka_unit_test(truncation_keeps_what_sorting_would_keep),
        cmocka_unit_test(min_p_keeps_what_is_near_the_most_likely),
        cmocka_unit_test(min_p_is_the_same_on_every_path),
        cmocka_unit_test(scoring_gives_the_bits_of_sampling),
        cmocka_unit_test(scores_and_gradients_follow_the_formula),
        cmocka_unit_test(nan_logits_give_a_token_and_a_nan),
        cmocka_unit_test(golden_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
