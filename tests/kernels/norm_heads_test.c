// norm_heads_test.c: the norm of single heads: bit for bit the norm of a row, gradients by their
// formula in double, on every instruction set; one set of bits forward, gradients that do not depend
// on threads.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit.h"

struct shape {
    size_t R, heads, D;
};

// One head is a whole row; D = 1 and widths beside multiples of 16; more columns than one chunk.
static const struct shape shapes[] = {
    {1, 1, 1}, {7, 3, 24}, {40, 4, 128}, {9, 1, 201}, {150, 2, 6}};

static void for_every_shape(void (*fn)(struct device *d, const struct shape *s))
{
    int seen = 0;
    for (int i = 0; i < KIT_KINDS; i++) {
        struct device *d = kit_open(kit_kinds[i], 2);
        for (size_t j = 0; d != NULL && j < ARRAY_LEN(shapes); j++) {
            fn(d, &shapes[j]);
        }
        if (d != NULL) {
            kit_close(d);
            seen++;
        }
    }
    assert_true(seen > 0);
}

// The norm of a head must be that of a row of its own, bit for bit: both are called RMSNorm.
static void norm_equals_rows(struct device *d, const struct shape *s)
{
    size_t R = s->R, heads = s->heads, D = s->D, C = heads * D, ld = C + 5, ldk = C + 3;
    float *x = kit_random(d, R * ld, D, 2.0f), *w = kit_random(d, D, D + 1, 1.0f);
    float *before = kit_get(d, x, R * ld), *kept = kit_zeros(d, R * ldk);
    float *rstd = kit_zeros(d, R * heads), *want = kit_zeros(d, D), *want_rstd = kit_zeros(d, 1);
    float *again = kit_put(d, before, R * ld), *came = kit_put(d, before, R * ld);
    d->ops->norm_heads(d, R, heads, D, x, ld, w, 1e-5f, kept, ldk, rstd);
    for (size_t r = 0; r < R; r++) {
        for (size_t h = 0; h < heads; h++) {
            const float *in = came + r * ld + h * D;
            d->ops->rmsnorm(d, 1, D, in, D, w, 1e-5f, want, D, want_rstd);
            kit_same_on(d, "norm_heads", D, x + r * ld + h * D, want);
            kit_same_on(d, "rstd", 1, rstd + r * heads + h, want_rstd);
            kit_same_on(d, "kept", D, kept + r * ldk + h * D, in);
        }
        kit_same_on(d, "beyond the heads", ld - C, x + r * ld + C, came + r * ld + C);
    }
    d->ops->norm_heads(d, R, heads, D, again, ld, w, 1e-5f, NULL, 0, NULL);
    kit_same_on(d, "without what backward needs", R * ld, again, x);
    void *all[] = {x, w, kept, rstd, want, want_rstd, again, came};
    kit_release(d, ARRAY_LEN(all), all);
    free(before);
}

static void a_head_is_normed_like_a_row_of_its_own(void **state)
{
    (void)state;
    for_every_shape(norm_equals_rows);
}

static void norm_gradients(struct device *d, const struct shape *s)
{
    size_t R = s->R, heads = s->heads, D = s->D, C = heads * D, ld = C + 2;
    float *x = kit_random(d, R * C, D, 2.0f), *w = kit_random(d, D, D + 1, 1.0f);
    float *kept = kit_zeros(d, R * C), *rstd = kit_zeros(d, R * heads);
    float *dx = kit_random(d, R * ld, D + 2, 1.0f), *dw = kit_random(d, D, D + 3, 1.0f);
    double *dy = kit_get_wide(d, dx, R * ld), *want_dw = kit_get_wide(d, dw, D);
    double *hw = kit_get_wide(d, w, D);
    double *want = malloc(D * sizeof *want);
    d->ops->norm_heads(d, R, heads, D, x, C, w, 1e-5f, kept, C, rstd);
    d->ops->norm_heads_backward(d, R, heads, D, kept, C, w, rstd, dx, ld, dw);
    double *hkept = kit_get_wide(d, kept, R * C);
    for (size_t at = 0; at < R * heads; at++) {
        size_t r = at / heads, h = at % heads;
        const double *in = hkept + at * D;
        const double *g = dy + r * ld + h * D;
        double ss = 0.0, c = 0.0;
        for (size_t i = 0; i < D; i++) {
            ss += in[i] * in[i];
        }
        double scale = 1.0 / sqrt(ss / (double)D + 1e-5);
        for (size_t i = 0; i < D; i++) {
            c += g[i] * hw[i] * in[i] * scale / (double)D;
            want_dw[i] += g[i] * in[i] * scale;
        }
        for (size_t i = 0; i < D; i++) {
            want[i] = scale * (g[i] * hw[i] - in[i] * scale * c);
        }
        kit_close_on(d, "dx", D, dx + r * ld + h * D, want, 3e-6, 2.0);
    }
    kit_close_on(d, "dw", D, dw, want_dw, 3e-6, sqrt((double)(R * heads)) + 1.0);
    void *all[] = {x, w, kept, rstd, dx, dw};
    kit_release(d, ARRAY_LEN(all), all);
    free(hw);
    free(hkept);
    free(dy);
    free(want_dw);
    free(want);
}

static void gradients_of_head_norms_follow_the_formula(void **state)
{
    (void)state;
    for_every_shape(norm_gradients);
}

// The norm of every shape forward (out, rstd), then dx and dw: free().
static float *pass(struct device *d, size_t *n_forward, size_t *n)
{
    float *out = malloc(((size_t)1 << 20) * sizeof *out);
    size_t at[2] = {0, (size_t)1 << 19};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        size_t R = shapes[i].R, heads = shapes[i].heads, D = shapes[i].D, C = heads * D;
        float *x = kit_random(d, R * C, i, 2.0f), *w = kit_random(d, D, i + 50, 1.0f);
        float *kept = kit_zeros(d, R * C), *rstd = kit_zeros(d, R * heads);
        float *dx = kit_random(d, R * C, i + 60, 1.0f), *dw = kit_random(d, D, i + 70, 1.0f);
        d->ops->norm_heads(d, R, heads, D, x, C, w, 1e-6f, kept, C, rstd);
        d->ops->norm_heads_backward(d, R, heads, D, kept, C, w, rstd, dx, C, dw);
        d->ops->download(d, out + at[0], x, R * C * sizeof *x);
        d->ops->download(d, out + at[0] + R * C, rstd, R * heads * sizeof *x);
        d->ops->download(d, out + at[1], dx, R * C * sizeof *x);
        d->ops->download(d, out + at[1] + R * C, dw, D * sizeof *x);
        at[0] += R * C + R * heads;
        at[1] += R * C + D;
        void *all[] = {x, w, kept, rstd, dx, dw};
        kit_release(d, ARRAY_LEN(all), all);
    }
    *n_forward = at[0];
    memmove(out + at[0], out + ((size_t)1 << 19), (at[1] - ((size_t)1 << 19)) * sizeof *out);
    *n = at[0] + at[1] - ((size_t)1 << 19);
    return out;
}

static void forward_bits_are_one_and_gradients_ignore_threads(void **state)
{
    (void)state;
    size_t n_forward = 0, n = 0;
    struct device *portable = kit_open("cpu-portable", 1);
    float *want = pass(portable, &n_forward, &n);
    kit_close(portable);
    for (int i = 0; i < KIT_KINDS; i++) {
        float *one = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            struct device *d = kit_open(kit_kinds[i], threads);
            if (d == NULL) {
                break;
            }
            float *got = pass(d, &n_forward, &n);
            kit_close(d);
            kit_same_bits(kit_kinds[i], n_forward, got, want);
            if (one == NULL) {
                one = got;
                continue;
            }
            kit_same_bits("on other numbers of threads", n, got, one);
            free(got);
        }
        free(one);
    }
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_normed_like_a_row_of_its_own),
        cmocka_unit_test(gradients_of_head_norms_follow_the_formula),
        cmocka_unit_test(forward_bits_are_one_and_gradients_ignore_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
