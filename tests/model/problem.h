// problem.h: what the tests of the transformer share: devices and models of one shape, a training
// problem with its naive answer, and a group of texts.
//
// A problem is groups of tokens and one coefficient per scored token; its loss is the sum of
// coefficient times log-prob, so that the gradient with respect to every log-prob is known. The
// naive answer comes from tiny.h, in double. Everything is small enough to be differentiated by
// brute force; whatever goes wrong fails the test at once.
#ifndef CARAVAN_TESTS_MODEL_PROBLEM_H
#define CARAVAN_TESTS_MODEL_PROBLEM_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "tests/model/tiny.h"

enum { CONTEXT = 256 };

static inline struct device *open_device(struct pool *pool)
{
    struct device *d = NULL;
    struct why why = {""};
    const char *kind = getenv("CARAVAN_TEST_DEVICE");    // "cuda" runs these claims on a GPU
    if (device_open(kind != NULL ? kind : "cpu", pool, &d, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return d;
}

static inline struct model *make_model_of(struct device *d, const struct model_config *c,
                                          size_t train_rows, bool recompute)
{
    const struct model_limits l = {.max_rows = 512,
                                   .max_index = 4096,
                                   .max_outs = 512,
                                   .train_rows = train_rows,
                                   .weights = DTYPE_F32,    // or bf16
                                   .max_context = CONTEXT,
                                   .recompute = recompute};
    struct model *m = NULL;
    struct why why = {""};
    assert_int_equal(model_create(d, c, &l, &m, &why), ERR_OK);
    return m;
}

static inline struct model *make_model(struct device *d, const struct model_config *c,
                                       size_t train_rows)
{
    return make_model_of(d, c, train_rows, false);
}

// ---- a training problem: groups of tokens and one coefficient per out ----

enum { MAX_OUTS = 256 };

struct problem {
    uint32_t prompt[2][CONTEXT];
    uint32_t comp[2][2][CONTEXT];
    size_t n_prompt[2], n_comp[2][2];
    size_t n_groups;
    double coef[MAX_OUTS];    // L = sum coef * logp, in batch order
    double temperature;
};

static inline void small_problem(struct problem *p, const struct tiny *t)
{
    *p = (struct problem){
        .n_groups = 2, .n_prompt = {5, 3}, .n_comp = {{4, 3}, {6, 1}}, .temperature = 0.7f};
    struct rng r = rng_make(5, 5);
    for (size_t g = 0; g < 2; g++) {
        tiny_tokens(t, 100 + g, p->prompt[g], p->n_prompt[g]);
        for (size_t i = 0; i < 2; i++) {
            tiny_tokens(t, 200 + 2 * g + i, p->comp[g][i], p->n_comp[g][i]);
        }
    }
    for (size_t i = 0; i < MAX_OUTS; i++) {
        p->coef[i] = (double)(float)(2 * rng_f64(&r) - 1);
    }
}

static inline void pack_problem(const struct problem *p, struct batch *b)
{
    batch_init(b);
    for (size_t g = 0; g < p->n_groups; g++) {
        const struct batch_completion c[] = {{p->comp[g][0], p->n_comp[g][0]},
                                             {p->comp[g][1], p->n_comp[g][1]}};
        assert_int_equal(batch_add_group(b, p->prompt[g], p->n_prompt[g], c, 2), ERR_OK);
    }
}

// Log-probs (and entropies) of all outs in batch order by the naive model, each completion in a
// sequence of its own.
static inline size_t naive_scores(const struct problem *p, const struct tiny *t,
                                  const double *params, double *logp, double *entropy)
{
    size_t V = (size_t)t->config.vocab, out = 0;
    double *logits = calloc(CONTEXT * V, sizeof *logits);
    assert_non_null(logits);
    for (size_t g = 0; g < p->n_groups; g++) {
        for (size_t i = 0; i < 2; i++) {
            uint32_t seq[2 * CONTEXT];
            size_t P = p->n_prompt[g], n = P + p->n_comp[g][i];
            assert_true(n <= CONTEXT);
            memcpy(seq, p->prompt[g], P * sizeof *seq);
            memcpy(seq + P, p->comp[g][i], p->n_comp[g][i] * sizeof *seq);
            naive_logits(&t->config, &t->params, params, seq, n, logits);
            for (size_t j = P; j < n; j++, out++) {
                logp[out] = naive_logp(logits + (j - 1) * V, V, p->temperature, seq[j],
                                       entropy != NULL ? &entropy[out] : NULL);
            }
        }
    }
    free(logits);
    return out;
}

static inline double naive_loss(const struct problem *p, const struct tiny *t, const double *params)
{
    double logp[MAX_OUTS], sum = 0;
    size_t n = naive_scores(p, t, params, logp, NULL);
    for (size_t i = 0; i < n; i++) {
        sum += p->coef[i] * logp[i];
    }
    return sum;
}

static inline void fixed_coefficients(void *arg, size_t first, size_t n, const float *logp,
                                      const float *entropy, float *coef)
{
    (void)logp;
    (void)entropy;
    const struct problem *p = arg;
    for (size_t i = 0; i < n; i++) {
        coef[i] = (float)p->coef[first + i];
    }
}

// Gradients of the problem by model_train in m, downloaded (free()).
static inline float *train_in(struct model *m, struct device *d, const struct tiny *t,
                              struct problem *p)
{
    struct why why = {""};
    struct weights *w = tiny_weights(t, d);
    struct batch b;
    pack_problem(p, &b);
    size_t bytes = t->params.total * sizeof(float);
    void *grads = NULL;
    float *host = malloc(bytes);
    assert_non_null(host);
    assert_int_equal(d->ops->alloc(d, bytes, &grads, &why), ERR_OK);
    enum err e =
        model_train(m, w, &b, (float)p->temperature, fixed_coefficients, p, grads, NULL, &why);
    if (e != ERR_OK) {
        fail_msg("%s", why.text);
    }
    d->ops->download(d, host, grads, bytes);
    d->ops->release(d, grads);
    batch_fini(&b);
    weights_destroy(w);
    return host;
}

// The same in a model of its own.
static inline float *train(struct device *d, const struct tiny *t, struct problem *p)
{
    struct model *m = make_model(d, &t->config, 256);
    float *grads = train_in(m, d, t, p);
    model_destroy(m);
    return grads;
}

static inline void assert_close(double got, double want, double tolerance, const char *what,
                                size_t i)
{
    if (!(fabs(got - want) <= tolerance)) {
        fail_msg("%s[%zu]: %.9g, expected %.9g", what, i, got, want);
    }
}

// ---- a group of texts: one prompt, two completions ----

enum { PROMPT = 70, LONG = 80, SHORT = 30, CACHE = 300 };

struct texts {
    uint32_t prompt[PROMPT], comp[2][LONG];
    size_t n[2];
};

static inline void make_texts(const struct tiny *t, struct texts *x)
{
    *x = (struct texts){.n = {LONG, SHORT}};
    tiny_tokens(t, 61, x->prompt, PROMPT);
    tiny_tokens(t, 62, x->comp[0], LONG);
    tiny_tokens(t, 63, x->comp[1], SHORT);
}

static inline void score_group(struct model *m, const struct weights *w, const struct texts *x,
                               size_t first, size_t n, float *logp)
{
    struct batch b;
    struct why why = {""};
    batch_init(&b);
    const struct batch_completion c[] = {{x->comp[0], x->n[0]}, {x->comp[1], x->n[1]}};
    assert_int_equal(batch_add_group(&b, x->prompt, PROMPT, c + first, n), ERR_OK);
    assert_int_equal(model_score(m, w, &b, 0.7f, logp, NULL, NULL, &why), ERR_OK);
    batch_fini(&b);
}

#endif
