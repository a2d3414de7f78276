// attention_test.c: attention over index lists, forward and backward, on every kind of device. The
// double-precision form in kit.c is the oracle; its own gradients are checked by central
// differences first, so that oracle and kernel cannot share a mistake.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit.h"

// Two groups: a prompt of `prompt` rows shared by `forks` completions of `own` rows each; batch
// rows are key rows.
struct scene {
    size_t R, rows, H, G, D;
    int32_t *index, *off, *len;
    size_t n_index;
    int32_t window;
    float *q, *k, *v, *dout;    // host
};

static void add_row(struct scene *s, size_t off, size_t len)
{
    s->off[s->R] = (int32_t)off;
    s->len[s->R] = (int32_t)len;
    s->R++;
}

static struct scene scene_make(size_t groups, size_t prompt, size_t forks, size_t own, size_t H,
                               size_t G, size_t D)
{
    size_t total = groups * (prompt + forks * own);
    struct scene s = {.H = H, .G = G, .D = D, .rows = total};
    s.index = malloc(groups * (forks + 1) * (prompt + own) * sizeof *s.index);
    s.off = malloc(total * sizeof *s.off);
    s.len = malloc(total * sizeof *s.len);
    for (size_t i = 0; i < groups; i++) {
        size_t base = s.R;
        for (size_t f = 0; f <= forks; f++) {    // fork 0 is the prompt itself
            size_t off = s.n_index, first = f == 0 ? 0 : prompt, n = prompt + (f == 0 ? 0 : own);
            for (size_t j = 0; j < n; j++) {
                size_t row = j < prompt ? base + j : base + prompt + (f - 1) * own + j - prompt;
                s.index[s.n_index++] = (int32_t)row;
            }
            for (size_t j = first; j < n; j++) {
                add_row(&s, off, j + 1);
            }
        }
    }
    assert_int_equal(s.R, total);
    s.q = malloc(total * H * D * sizeof(float));
    s.dout = malloc(total * H * D * sizeof(float));
    s.k = malloc(total * G * D * sizeof(float));
    s.v = malloc(total * G * D * sizeof(float));
    kit_fill(s.q, total * H * D, 1, 1.5f);
    kit_fill(s.dout, total * H * D, 2, 1.0f);
    kit_fill(s.k, total * G * D, 3, 1.5f);
    kit_fill(s.v, total * G * D, 4, 1.0f);
    return s;
}

static void scene_free(struct scene *s)
{
    free(s->index);
    free(s->off);
    free(s->len);
    free(s->q);
    free(s->k);
    free(s->v);
    free(s->dout);
}

struct wanted {
    double *q, *k, *v, *dout, *out, *lse, *dq, *dk, *dv;
};

static struct wanted wanted_make(const struct scene *s)
{
    size_t nq = s->R * s->H * s->D, nk = s->rows * s->G * s->D;
    struct wanted w = {.q = kit_widen(s->q, nq), .k = kit_widen(s->k, nk)};
    w.v = kit_widen(s->v, nk);
    w.dout = kit_widen(s->dout, nq);
    w.out = calloc(nq, sizeof(double));
    w.lse = calloc(s->R * s->H, sizeof(double));
    w.dq = calloc(nq, sizeof(double));
    w.dk = calloc(nk, sizeof(double));
    w.dv = calloc(nk, sizeof(double));
    return w;
}

static void wanted_free(struct wanted *w)
{
    double *all[] = {w->q, w->k, w->v, w->dout, w->out, w->lse, w->dq, w->dk, w->dv};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        free(all[i]);
    }
}

static struct kit_attention reference(const struct scene *s, const struct wanted *w)
{
    return (struct kit_attention){.R = s->R,
                                  .H = s->H,
                                  .G = s->G,
                                  .D = s->D,
                                  .rows = s->rows,
                                  .scale = 0.3,
                                  .q = w->q,
                                  .k = w->k,
                                  .v = w->v,
                                  .index = s->index,
                                  .off = s->off,
                                  .len = s->len,
                                  .window = s->window};
}

static double objective(const struct kit_attention *a, const struct wanted *w)
{
    double sum = 0.0;
    kit_attention(a, w->out, w->lse);
    for (size_t i = 0; i < a->R * a->H * a->D; i++) {
        sum += w->out[i] * w->dout[i];
    }
    return sum;
}

static void check_slope(const struct kit_attention *a, const struct wanted *w, double *x,
                        const double *grad, size_t n)
{
    for (size_t t = 0; t < 12; t++) {
        size_t i = kit_below(11, t, n);
        double keep = x[i], h = 1e-5;
        x[i] = keep + h;
        double up = objective(a, w);
        x[i] = keep - h;
        double down = objective(a, w);
        x[i] = keep;
        assert_true(fabs((up - down) / (2.0 * h) - grad[i]) < 1e-7 * (1.0 + fabs(grad[i])));
    }
}

static void check_oracle(int32_t window)
{
    struct scene s = scene_make(2, 3, 2, 4, 4, 2, 5);
    struct wanted w = wanted_make(&s);
    s.window = window;
    struct kit_attention a = reference(&s, &w);
    kit_attention(&a, w.out, w.lse);
    kit_attention_backward(&a, w.out, w.lse, w.dout, w.dq, w.dk, w.dv);
    check_slope(&a, &w, w.q, w.dq, s.R * s.H * s.D);
    check_slope(&a, &w, w.k, w.dk, s.rows * s.G * s.D);
    check_slope(&a, &w, w.v, w.dv, s.rows * s.G * s.D);
    wanted_free(&w);
    scene_free(&s);
}

static void the_oracle_agrees_with_central_differences(void **state)
{
    (void)state;
    check_oracle(0);
    check_oracle(3);
}

static void check_scene(struct device *d, const struct scene *s)
{
    size_t nq = s->R * s->H * s->D, nk = s->rows * s->G * s->D;
    struct wanted w = wanted_make(s);
    struct kit_attention a = reference(s, &w);
    kit_attention(&a, w.out, w.lse);
    kit_attention_backward(&a, w.out, w.lse, w.dout, w.dq, w.dk, w.dv);
    struct attn_keys keys = {kit_put_ints(d, s->index, s->n_index), kit_put_ints(d, s->off, s->R),
                             kit_put_ints(d, s->len, s->R), s->window};
    float *q = kit_put(d, s->q, nq), *k = kit_put(d, s->k, nk), *v = kit_put(d, s->v, nk);
    float *dout = kit_put(d, s->dout, nq), *out = kit_random(d, nq, 5, 9.0f);
    float *lse = kit_zeros(d, s->R * s->H), *dq = kit_random(d, nq, 6, 9.0f);
    float *dk = kit_random(d, nk, 7, 1.0f), *dv = kit_random(d, nk, 8, 1.0f);
    double *dk0 = kit_get_wide(d, dk, nk), *dv0 = kit_get_wide(d, dv, nk);
    for (size_t i = 0; i < nk; i++) {    // += onto what was there
        w.dk[i] += dk0[i];
        w.dv[i] += dv0[i];
    }
    free(dk0);
    free(dv0);
    size_t ldq = s->H * s->D, ldkv = s->G * s->D;
    d->ops->attention(d, s->R, s->H, s->G, s->D, 0.3f, q, ldq, k, v, ldkv, &keys, out, ldq, lse);
    d->ops->attention_backward(d, s->R, s->H, s->G, s->D, 0.3f, q, ldq, k, v, ldkv, &keys, out,
                               dout, ldq, lse, dq, ldq, dk, dv, ldkv);
    kit_close_on(d, "attention", nq, out, w.out, 4e-6, 0.3);
    kit_close_on(d, "lse", s->R * s->H, lse, w.lse, 2e-6, 1.0);
    kit_close_on(d, "dq", nq, dq, w.dq, 1e-5, 0.5);
    kit_close_on(d, "dk", nk, dk, w.dk, 1e-5, 1.0);
    kit_close_on(d, "dv", nk, dv, w.dv, 1e-5, 1.0);
    void *all[] = {q,
                   k,
                   v,
                   dout,
                   out,
                   lse,
                   dq,
                   dk,
                   dv,
                   (void *)(uintptr_t)keys.kv_index,
                   (void *)(uintptr_t)keys.kv_off,
                   (void *)(uintptr_t)keys.kv_len};
    kit_release(d, ARRAY_LEN(all), all);
    wanted_free(&w);
}

// groups, prompt, forks, own, H, G, D, window
static const size_t scenes[][8] = {
    {1, 1, 0, 0, 1, 1, 16},        {1, 70, 0, 0, 9, 3, 64},  {2, 30, 2, 40, 4, 2, 24},
    {3, 5, 3, 7, 6, 6, 5},         {1, 64, 1, 65, 2, 1, 80}, {1, 20, 0, 0, 50, 1, 8},
    {300, 1, 0, 0, 1, 1, 16},         // more components than are told apart
    {2, 30, 2, 40, 4, 2, 24, 1},      // only the row itself
    {1, 70, 0, 0, 9, 3, 64, 5},       // inside one block, and across two
    {1, 140, 2, 60, 2, 1, 20, 64},    // a block long, but anywhere
    {1, 200, 0, 0, 2, 2, 16, 100},    // whole blocks fall out of sight
    {1, 70, 1, 9, 2, 1, 16, 500},     // longer than everything
};

static void attention_of(struct device *d)
{
    for (size_t j = 0; j < ARRAY_LEN(scenes); j++) {
        const size_t *c = scenes[j];
        struct scene s = scene_make(c[0], c[1], c[2], c[3], c[4], c[5], c[6]);
        s.window = (int32_t)c[7];
        check_scene(d, &s);
        scene_free(&s);
    }
}

static void attention_and_its_gradients(void **state)
{
    (void)state;
    kit_on_every_kind(attention_of);
}

// Scores far apart: the running maximum must be carried, or exp overflows.
static void check_large_scores(struct device *d)
{
    struct scene s = scene_make(1, 140, 0, 0, 1, 1, 16);
    for (size_t i = 0; i < s.rows * 16; i++) {
        s.k[i] *= (float)(i / 16 % 7) * 40.0f;
    }
    float *q = kit_put(d, s.q, s.R * 16), *k = kit_put(d, s.k, s.rows * 16);
    float *v = kit_put(d, s.v, s.rows * 16), *out = kit_zeros(d, s.R * 16);
    struct attn_keys keys = {kit_put_ints(d, s.index, s.n_index), kit_put_ints(d, s.off, s.R),
                             kit_put_ints(d, s.len, s.R), 0};
    d->ops->attention(d, s.R, 1, 1, 16, 1.0f, q, 16, k, v, 16, &keys, out, 16, NULL);
    float *host = kit_get(d, out, s.R * 16);
    for (size_t i = 0; i < s.R * 16; i++) {
        assert_true(fabs((double)host[i]) <= 1.0);
    }
    free(host);
    void *all[] = {q,
                   k,
                   v,
                   out,
                   (void *)(uintptr_t)keys.kv_index,
                   (void *)(uintptr_t)keys.kv_off,
                   (void *)(uintptr_t)keys.kv_len};
    kit_release(d, ARRAY_LEN(all), all);
    scene_free(&s);
}

static void large_scores_stay_finite(void **state)
{
    (void)state;
    kit_on_every_kind(check_large_scores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oracle_agrees_with_central_differences),
        cmocka_unit_test(attention_and_its_gradients),
        cmocka_unit_test(large_scores_stay_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
