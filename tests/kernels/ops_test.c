// ops_test.c: every op on every kind of device against its formula in double precision. Shapes are
// random and mostly no multiples of 16, since the edges of tiles and panels are where such code
// goes wrong.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit.h"

static void check_gemm(struct device *d, enum dtype t, enum gemm_mode mode, size_t R, size_t N,
                       size_t K)
{
    size_t ldx = K + 3, ldo = N + 5, seed = R * 1000 + N + K;
    float *hx = malloc(R * ldx * sizeof *hx), *hw = malloc(N * K * sizeof *hw);
    kit_fill(hx, R * ldx, seed, 1.0f);
    kit_fill(hw, N * K, seed + 1, 1.0f);
    float *x = kit_put(d, hx, R * ldx);
    void *w = kit_pack(d, t, N, K, hw, hw);
    float *out = kit_random(d, R * ldo, seed + 2, 1.0f);
    float *before = kit_get(d, out, R * ldo);
    d->ops->gemm(d, t, mode, R, N, K, x, ldx, w, out, ldo);
    float *got = kit_get(d, out, R * ldo);
    for (size_t r = 0; r < R; r++) {
        double want[512];
        for (size_t n = 0; n < N; n++) {
            want[n] = mode == GEMM_ADD ? (double)before[r * ldo + n] : 0.0;
            for (size_t k = 0; k < K; k++) {
                want[n] += (double)hx[r * ldx + k] * (double)hw[n * K + k];
            }
        }
        kit_close_to("gemm", N, got + r * ldo, want, 2e-6, sqrt((double)K));
        kit_same_bits("beyond N", ldo - N, got + r * ldo + N, before + r * ldo + N);
    }
    d->ops->release(d, x);
    d->ops->release(d, w);
    d->ops->release(d, out);
    free(hx);
    free(hw);
    free(before);
    free(got);
}

static void gemm_of(struct device *d)
{
    for (size_t R = 1; R <= 70; R++) {
        size_t N = 1 + kit_below(1, R, 150), K = 1 + kit_below(2, R, 90);
        check_gemm(d, R % 2 == 0 ? DTYPE_BF16 : DTYPE_F32, R % 3 == 0 ? GEMM_ADD : GEMM_SET, R, N,
                   K);
    }
    check_gemm(d, DTYPE_BF16, GEMM_SET, 3, 128, 64);
    check_gemm(d, DTYPE_BF16, GEMM_ADD, 37, 1, 1);
    check_gemm(d, DTYPE_F32, GEMM_SET, 1, 200, 7);
}

static void gemm_is_the_product(void **state)
{
    (void)state;
    kit_on_every_kind(gemm_of);
}

// Actors read panels that a learner packed, and backward reads panels made from panels: the layout
// is a contract between ops and processes, not one op's business.
static void layout_of(struct device *d)
{
    bool cpu = strncmp(d->ops->numerics_id, "cpu-", 4) == 0;
    for (size_t i = 0; i < 16; i++) {
        size_t N = 1 + kit_below(5, i, 70), K = i < 4 ? 16 * (1 + i) : 1 + kit_below(6, i, 70);
        size_t panels = (N + 15) / 16, words = (K + 1) / 2;
        float *w = malloc(N * K * sizeof *w);
        kit_fill(w, N * K, i, 1.0f);
        void *packed_bf16 = kit_pack(d, DTYPE_BF16, N, K, w, NULL);
        void *packed_f32 = kit_pack(d, DTYPE_F32, N, K, w, NULL);
        uint16_t *bf16 = kit_get_bytes(d, packed_bf16, panels * words * 64);
        float *f32 = kit_get(d, packed_f32, panels * K * 16);
        assert_int_equal(d->ops->packed_bytes(DTYPE_BF16, N, K), panels * words * 64);
        assert_int_equal(d->ops->packed_bytes(DTYPE_F32, N, K), panels * K * 64);
        for (size_t n = 0; n < panels * 16; n++) {
            for (size_t k = 0; k < 2 * words; k++) {
                float x = n < N && k < K ? w[n * K + k] : 0;
                size_t at = cpu ? n % 16 / 4 * 8 + k % 2 * 4 + n % 4 : n % 16 * 2 + k % 2;
                assert_int_equal(bf16[(n / 16 * words + k / 2) * 32 + at], bf16_from_f32(x));
                assert_true(k >= K || f32[(n / 16 * K + k) * 16 + n % 16] == x);
            }
        }
        d->ops->release(d, packed_bf16);
        d->ops->release(d, packed_f32);
        free(bf16);
        free(f32);
        free(w);
    }
}

static void panels_stand_where_they_should(void **state)
{
    (void)state;
    kit_on_every_kind(layout_of);
}

// dX = dY W uses the same gemm on the transposed panels: (N, K) packed as (K, N).
static void transposed_of(struct device *d)
{
    for (size_t i = 0; i < 24; i++) {
        size_t N = 1 + kit_below(3, i, 70), K = 1 + kit_below(4, i, 70);
        enum dtype t = i % 2 == 0 ? DTYPE_BF16 : DTYPE_F32;
        float *w = malloc(N * K * sizeof *w), *wt = malloc(N * K * sizeof *wt);
        kit_fill(w, N * K, i, 1.0f);
        for (size_t n = 0; n < N; n++) {
            for (size_t k = 0; k < K; k++) {
                wt[k * N + n] = w[n * K + k];
            }
        }
        void *a = kit_pack_transposed(d, t, N, K, w), *b = kit_pack(d, t, K, N, wt, NULL);
        size_t bytes = d->ops->packed_bytes(t, K, N);
        void *bytes_a = kit_get_bytes(d, a, bytes), *bytes_b = kit_get_bytes(d, b, bytes);
        assert_memory_equal(bytes_a, bytes_b, bytes);
        free(bytes_a);
        free(bytes_b);
        d->ops->release(d, a);
        d->ops->release(d, b);
        free(w);
        free(wt);
    }
}

static void transposed_panels_pack_the_transpose(void **state)
{
    (void)state;
    kit_on_every_kind(transposed_of);
}

static void embed_of(struct device *d)
{
    for (int i = 0; i < 4; i++) {
        enum dtype t = i % 2 == 0 ? DTYPE_BF16 : DTYPE_F32;
        size_t V = 37, C = 19 + (size_t)i, R = 50;
        float *w = malloc(V * C * sizeof *w);
        int32_t ids[50];
        kit_fill(w, V * C, 5, 1.0f);
        void *p = kit_pack(d, t, V, C, w, w);
        for (size_t r = 0; r < R; r++) {
            ids[r] = (int32_t)kit_below(6, r, V);
        }
        int32_t *dev_ids = kit_put_ints(d, ids, R);
        float *out = kit_zeros(d, R * C);
        d->ops->embed(d, t, R, V, C, p, dev_ids, out);
        float *got = kit_get(d, out, R * C);
        for (size_t r = 0; r < R; r++) {
            kit_same_bits("embed", C, got + r * C, w + (size_t)ids[r] * C);
        }
        d->ops->release(d, p);
        d->ops->release(d, dev_ids);
        d->ops->release(d, out);
        free(got);
        free(w);
    }
}

static void embed_reads_the_rows_that_were_packed(void **state)
{
    (void)state;
    kit_on_every_kind(embed_of);
}

static void rmsnorm_case(struct device *d, size_t R, size_t C)
{
    size_t ld = C + 2;
    float *x = kit_random(d, R * ld, C, 2.0f), *w = kit_random(d, C, C + 1, 1.0f);
    float *out = kit_zeros(d, R * ld), *rstd = kit_zeros(d, R);
    float *dy = kit_random(d, R * ld, C + 2, 1.0f), *dx = kit_random(d, R * ld, C + 3, 1.0f);
    float *dw = kit_random(d, C, C + 4, 1.0f);
    double *dx0 = kit_get_wide(d, dx, R * ld), *dw_want = kit_get_wide(d, dw, C);
    double *hx = kit_get_wide(d, x, R * ld), *hw = kit_get_wide(d, w, C);
    double *hdy = kit_get_wide(d, dy, R * ld);
    d->ops->rmsnorm(d, R, C, x, ld, w, 1e-5f, out, ld, rstd);
    d->ops->rmsnorm_backward(d, R, C, x, ld, w, rstd, dy, ld, dx, ld, dw);
    double *y = malloc(C * sizeof *y);
    for (size_t r = 0; r < R; r++) {
        double ss = 0.0, c = 0.0;
        for (size_t i = 0; i < C; i++) {
            ss += hx[r * ld + i] * hx[r * ld + i];
        }
        double s = 1.0 / sqrt(ss / (double)C + 1e-5);
        for (size_t i = 0; i < C; i++) {
            double n = hx[r * ld + i] * s, g = hdy[r * ld + i];
            y[i] = n * hw[i];
            c += g * hw[i] * n / (double)C;
            dw_want[i] += g * n;
        }
        kit_close_on(d, "rmsnorm", C, out + r * ld, y, 1e-6, 1e-3);
        for (size_t i = 0; i < C; i++) {
            double n = hx[r * ld + i] * s;
            y[i] = dx0[r * ld + i] + s * (hdy[r * ld + i] * hw[i] - n * c);
        }
        kit_close_on(d, "rmsnorm dx", C, dx + r * ld, y, 3e-6, 1.0);
    }
    kit_close_on(d, "rmsnorm dw", C, dw, dw_want, 3e-6, 2.0);
    void *all[] = {x, w, out, rstd, dy, dx, dw};
    kit_release(d, ARRAY_LEN(all), all);
    void *host[] = {y, dx0, dw_want, hx, hw, hdy};
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        free(host[i]);
    }
}

static void rmsnorm_of(struct device *d)
{
    rmsnorm_case(d, 1, 1);
    rmsnorm_case(d, 7, 33);
    rmsnorm_case(d, 70, 576);
}

static void rmsnorm_and_its_gradients(void **state)
{
    (void)state;
    kit_on_every_kind(rmsnorm_of);
}

static void rope_of(struct device *d)
{
    const size_t R = 9, heads = 3, D = 20, ld = heads * D + 1, positions = 40;
    float *table = malloc(positions * D * sizeof *table);
    kit_rope_table(positions, D, table);
    float *dev_table = kit_put(d, table, positions * D);
    float *x = kit_random(d, R * ld, 3, 1.0f);
    float *x0 = kit_get(d, x, R * ld);
    int32_t pos[9];
    for (size_t r = 0; r < R; r++) {
        pos[r] = (int32_t)kit_below(9, r, positions);
    }
    int32_t *dev_pos = kit_put_ints(d, pos, R);
    d->ops->rope(d, R, heads, D, x, ld, dev_pos, dev_table, 0);
    float *turned = kit_get(d, x, R * ld);
    for (size_t r = 0; r < R; r++) {
        for (size_t i = 0; i < heads * D; i++) {
            size_t h = i / D, e = i % D, j = e % (D / 2);
            double angle = (double)pos[r] * pow(10000.0, -2.0 * (double)j / (double)D);
            double a = (double)x0[r * ld + h * D + j], b = (double)x0[r * ld + h * D + j + D / 2];
            double want =
                e < D / 2 ? a * cos(angle) - b * sin(angle) : b * cos(angle) + a * sin(angle);
            kit_close_to("rope", 1, turned + r * ld + i, &want, 1e-6, 1.0);
        }
    }
    d->ops->rope(d, R, heads, D, x, ld, dev_pos, dev_table, 1);
    double *back = kit_widen(x0, R * ld);
    kit_close_on(d, "rope there and back", R * ld, x, back, 1e-6, 1.0);
    d->ops->release(d, dev_table);
    d->ops->release(d, dev_pos);
    d->ops->release(d, x);
    free(table);
    free(x0);
    free(turned);
    free(back);
}

static void rope_turns_pairs_and_back(void **state)
{
    (void)state;
    kit_on_every_kind(rope_of);
}

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

static void swiglu_of(struct device *d)
{
    const size_t R = 5, F = 39, ld = 41, n = R * ld;
    const float far_out[] = {-200.0f, 200.0f};
    float *gate = kit_random(d, n, 1, 8.0f), *up = kit_random(d, n, 2, 1.0f);
    d->ops->upload(d, gate, far_out, sizeof far_out);
    float *dout = kit_random(d, n, 3, 1.0f), *out = kit_zeros(d, n);
    float *g0 = kit_get(d, gate, n), *u0 = kit_get(d, up, n), *dy0 = kit_get(d, dout, n);
    d->ops->swiglu(d, R, F, gate, up, ld, out, ld);
    d->ops->swiglu_backward(d, R, F, gate, up, ld, dout, ld, gate, up, ld);    // in place
    float *y = kit_get(d, out, n), *dgate = kit_get(d, gate, n), *dup = kit_get(d, up, n);
    float *again = kit_get(d, dout, n);    // out once more
    for (size_t i = 0; i < n; i++) {
        if (i % ld >= F) {
            assert_true(again[i] == dy0[i]);    // rows end at F
            continue;
        }
        double g = (double)g0[i], u = (double)u0[i], dy = (double)dy0[i], h = 1e-6;
        double want = silu(g) * u;
        double want_gate = dy * u * (silu(g + h) - silu(g - h)) / (2.0 * h);
        double want_up = dy * silu(g);
        kit_close_to("swiglu", 1, &y[i], &want, 1e-6, 1e-3);
        assert_true(again[i] == y[i]);
        kit_close_to("dgate", 1, &dgate[i], &want_gate, 1e-6, 1e-2);
        kit_close_to("dup", 1, &dup[i], &want_up, 1e-6, 1e-3);
    }
    void *all[] = {gate, up, dout, out};
    kit_release(d, ARRAY_LEN(all), all);
    void *host[] = {g0, u0, dy0, y, dgate, dup, again};
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        free(host[i]);
    }
}

static void swiglu_and_its_gradients_in_place(void **state)
{
    (void)state;
    kit_on_every_kind(swiglu_of);
}

static void rows_of(struct device *d)
{
    const size_t C = 21, ldx = 23, ldo = 24;
    const int32_t row[] = {3, 0, 3, 1};
    int32_t *dev_row = kit_put_ints(d, row, 4);
    float *x = kit_random(d, 4 * ldx, 1, 1.0f), *out = kit_random(d, 5 * ldo, 2, 1.0f);
    float *before = kit_get(d, out, 5 * ldo), *hx = kit_get(d, x, 4 * ldx);
    float *dev_before = kit_put(d, before, 5 * ldo);
    d->ops->scatter_add_rows(d, 4, C, x, ldx, dev_row, out, ldo);
    float *after = kit_get(d, out, 5 * ldo);
    for (size_t i = 0; i < C; i++) {
        float want = (before[3 * ldo + i] + hx[i]) + hx[2 * ldx + i];
        kit_same_bits("row named twice", 1, &after[3 * ldo + i], &want);
        want = before[i] + hx[ldx + i];
        kit_same_bits("row named once", 1, &after[i], &want);
    }
    kit_same_bits("row not named", ldo, after + 2 * ldo, before + 2 * ldo);
    d->ops->gather_rows(d, 4, C, dev_before, ldo, dev_row, out, ldo);
    kit_same_on(d, "gathered", C, out, dev_before + 3 * ldo);
    kit_same_on(d, "gathered", C, out + ldo, dev_before);
    const int32_t other[] = {4, 2, 0, 1};
    d->ops->upload(d, dev_row, other, sizeof other);
    d->ops->scatter_rows(d, 4, C, x, ldx, dev_row, out, ldo);
    kit_same_on(d, "scattered", C, out + 4 * ldo, x);
    kit_same_on(d, "scattered", C, out + 2 * ldo, x + ldx);
    void *all[] = {dev_row, x, out, dev_before};
    kit_release(d, ARRAY_LEN(all), all);
    free(before);
    free(after);
    free(hx);
}

static void rows_move_and_add_where_the_list_says(void **state)
{
    (void)state;
    kit_on_every_kind(rows_of);
}

static void check_sums(struct device *d, size_t R, size_t N)
{
    size_t ld = N + 3;
    float *x = kit_random(d, R * ld, 1, 1.0f), *b = kit_random(d, N, 2, 1.0f);
    float *before = kit_get(d, x, R * ld), *sum = kit_get(d, b, N);
    float *b0 = kit_get(d, b, N);
    d->ops->bias(d, R, N, b, x, ld);
    float *after = kit_get(d, x, R * ld);
    for (size_t r = 0; r < R; r++) {
        for (size_t i = 0; i < ld; i++) {
            float want = i < N ? before[r * ld + i] + b0[i] : before[r * ld + i];
            kit_same_bits("bias", 1, after + r * ld + i, &want);
        }
        for (size_t i = 0; i < N; i++) {
            sum[i] += after[r * ld + i];    // rows ascending, onto what is there
        }
    }
    d->ops->bias_backward(d, R, N, x, ld, b);
    float *db = kit_get(d, b, N);
    kit_same_bits("db", N, db, sum);
    float *out = kit_put(d, before, R * ld);
    d->ops->add(d, R * ld, x, out);
    float *added = kit_get(d, out, R * ld);
    for (size_t i = 0; i < R * ld; i++) {
        float want = before[i] + after[i];
        kit_same_bits("add", 1, added + i, &want);
    }
    void *all[] = {x, b, out};
    kit_release(d, ARRAY_LEN(all), all);
    void *host[] = {before, sum, b0, after, db, added};
    for (size_t i = 0; i < ARRAY_LEN(host); i++) {
        free(host[i]);
    }
}

static void sums_of(struct device *d)
{
    check_sums(d, 1, 1);
    check_sums(d, 150, 12);
    check_sums(d, 9, 201);    // more columns than one thread owns
    check_sums(d, 300, 512);
}

static void biases_and_streams_add_up(void **state)
{
    (void)state;
    kit_on_every_kind(sums_of);
}

static void check_dw(struct device *d, size_t R, size_t N, size_t K)
{
    size_t ldy = N + 1, ldx = K + 2;
    float *dy = kit_random(d, R * ldy, R, 1.0f), *x = kit_random(d, R * ldx, N, 1.0f);
    float *dw = kit_random(d, N * K, K, 1.0f);
    double *want = kit_get_wide(d, dw, N * K);
    double *hdy = kit_get_wide(d, dy, R * ldy), *hx = kit_get_wide(d, x, R * ldx);
    d->ops->gemm_dw(d, R, N, K, dy, ldy, x, ldx, dw);
    for (size_t r = 0; r < R; r++) {
        for (size_t n = 0; n < N; n++) {
            for (size_t k = 0; k < K; k++) {
                want[n * K + k] += hdy[r * ldy + n] * hx[r * ldx + k];
            }
        }
    }
    kit_close_on(d, "dw", N * K, dw, want, 2e-6, sqrt((double)R));
    free(hdy);
    free(hx);
    d->ops->release(d, dy);
    d->ops->release(d, x);
    d->ops->release(d, dw);
    free(want);
}

static void dw_of(struct device *d)
{
    for (size_t i = 0; i < 20; i++) {
        check_dw(d, 1 + kit_below(1, i, 30), 1 + kit_below(2, i, 120), 1 + kit_below(3, i, 100));
    }
    check_dw(d, 300, 20, 33);    // several passes over rows
    check_dw(d, 3, 13, 530);     // and over columns
}

static void gemm_dw_is_dy_transposed_times_x(void **state)
{
    (void)state;
    kit_on_every_kind(dw_of);
}

static void sum_squares_of(struct device *d)
{
    const size_t n = 4096 * 3 + 5;
    float *x = kit_random(d, n, 1, 1.0f);
    double want = 0.0, *hx = kit_get_wide(d, x, n);
    for (size_t i = 0; i < n; i++) {
        want += hx[i] * hx[i];
    }
    free(hx);
    double got = d->ops->sum_squares(d, n, x);
    assert_true(fabs(got - want) < 1e-6 * want);
    assert_true(d->ops->sum_squares(d, 0, x) == 0.0);
    d->ops->release(d, x);
}

static void sum_squares_adds_all(void **state)
{
    (void)state;
    kit_on_every_kind(sum_squares_of);
}

static void adamw_of(struct device *d)
{
    const size_t n = 1003;
    struct adamw a = {.lr = 1e-2f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f};
    a.weight_decay = 0.1f;
    a.grad_scale = 0.5f;
    float *p = kit_random(d, n, 1, 1.0f), *m = kit_zeros(d, n), *v = kit_zeros(d, n);
    double *wp = kit_get_wide(d, p, n), *wm = kit_get_wide(d, m, n), *wv = kit_get_wide(d, v, n);
    uint16_t *rounded = kit_alloc(d, n * sizeof *rounded);
    float *copy = kit_zeros(d, n);
    for (int step = 1; step <= 3; step++) {
        float *g = kit_random(d, n, 10 + (uint64_t)step, 1.0f), *hg = kit_get(d, g, n);
        a.bias1 = (float)(1.0 - pow(0.9, step));
        a.bias2 = (float)(1.0 - pow(0.95, step));
        for (size_t i = 0; i < n; i++) {
            double gi = 0.5 * (double)hg[i];
            wm[i] = 0.9 * wm[i] + 0.1 * gi;
            wv[i] = 0.95 * wv[i] + 0.05 * gi * gi;
            wp[i] -= 1e-2 * 0.1 * wp[i];
            wp[i] -= 1e-2 * (wm[i] / (1.0 - pow(0.9, step))) /
                     (sqrt(wv[i] / (1.0 - pow(0.95, step))) + 1e-8);
        }
        d->ops->adamw(d, n, &a, p, m, v, g, DTYPE_BF16, rounded);
        d->ops->release(d, g);
        free(hg);
    }
    kit_close_on(d, "p", n, p, wp, 1e-5, 1e-2);
    kit_close_on(d, "m", n, m, wm, 1e-5, 1e-2);
    kit_close_on(d, "v", n, v, wv, 1e-5, 1e-2);
    uint16_t *bits = kit_get_bytes(d, rounded, n * sizeof *bits);
    float *hp = kit_get(d, p, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(bits[i], bf16_from_f32(hp[i]));
    }
    free(bits);
    free(hp);
    a.lr = 0.0f;    // nothing moves; the f32 copy is the parameter
    d->ops->adamw(d, n, &a, p, m, v, v, DTYPE_F32, copy);
    kit_same_on(d, "f32 copy", n, copy, p);
    void *all[] = {p, m, v, rounded, copy};
    kit_release(d, ARRAY_LEN(all), all);
    free(wp);
    free(wm);
    free(wv);
}

static void adamw_follows_the_paper(void **state)
{
    (void)state;
    kit_on_every_kind(adamw_of);
}

static void devices_are_named_and_refused_by_name(void **state)
{
    (void)state;
    struct device *d = NULL;
    struct why why;
    enum err e = device_open("cuda", NULL, &d, &why);    // as build and machine have it
    if (e != ERR_OK) {
        assert_int_equal(e, ERR_UNSUPPORTED);
        assert_true(strncmp(why.text, "device cuda: ", 13) == 0 && strlen(why.text) > 20);
        assert_null(d);
    }
    device_close(d);
    d = NULL;
    assert_int_equal(device_open("gpu", NULL, &d, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "gpu"));
    assert_null(d);
    assert_int_equal(device_open("cpu", NULL, &d, &why), ERR_OK);
    assert_non_null(device_isa(d));
    device_close(d);
    device_close(NULL);
}

static void memory_of(struct device *d)
{
    const size_t sizes[] = {0, 1, 65, 4 << 20, (9 << 20) + 3};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        unsigned char *p = kit_alloc(d, sizes[i]);
        assert_int_equal((uintptr_t)p % 64, 0);
        unsigned char *host = kit_get_bytes(d, p, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(host[j], 0);
        }
        free(host);
        d->ops->release(d, p);
    }
    struct why why;
    void *p = &why;
    assert_int_equal(d->ops->alloc(d, SIZE_MAX, &p, &why), ERR_NOMEM);
    assert_ptr_equal(p, &why);
    assert_non_null(strstr(why.text, "bytes"));
    d->ops->release(d, NULL);
}

static void memory_is_aligned_zeroed_and_refused_with_a_reason(void **state)
{
    (void)state;
    kit_on_every_kind(memory_of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_is_the_product),
        cmocka_unit_test(panels_stand_where_they_should),
        cmocka_unit_test(transposed_panels_pack_the_transpose),
        cmocka_unit_test(embed_reads_the_rows_that_were_packed),
        cmocka_unit_test(rmsnorm_and_its_gradients),
        cmocka_unit_test(rope_turns_pairs_and_back),
        cmocka_unit_test(swiglu_and_its_gradients_in_place),
        cmocka_unit_test(rows_move_and_add_where_the_list_says),
        cmocka_unit_test(biases_and_streams_add_up),
        cmocka_unit_test(gemm_dw_is_dy_transposed_times_x),
        cmocka_unit_test(sum_squares_adds_all),
        cmocka_unit_test(adamw_follows_the_paper),
        cmocka_unit_test(devices_are_named_and_refused_by_name),
        cmocka_unit_test(memory_is_aligned_zeroed_and_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
