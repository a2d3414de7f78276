// The fused head: what it gives is what gemm and then sample give, bit by bit, whichever rows stand
// together, however many threads share the work, and on every instruction set. A log-prob of an
// actor that decodes 64 rows must be that of a learner that scores one.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit.h"

enum { MAX_ROWS = 130 };

struct head {
    size_t R, V, C;
    enum dtype t;
    float *x;
    void *packed;
    struct sample_spec spec[MAX_ROWS];
};

// Rows of every kind: draws at several temperatures, greedy ones, targets, and (mixed) draws that
// truncate.
static void make_specs(struct head *h, uint64_t seed, bool mixed)
{
    for (size_t r = 0; r < h->R; r++) {
        struct sample_spec s = {.temperature = 1.0f, .top_p = 1.0f, .target = -1};
        s.u = (float)kit_below(seed, 7 * r, 1 << 20) / (float)(1 << 20);
        switch (kit_below(seed, 7 * r + 1, mixed ? 6 : 4)) {
        case 0:
            s.temperature = 0.7f;
            break;
        case 1:
            s.temperature = 0.0f;
            break;
        case 2:
            s.target = (int32_t)kit_below(seed, 7 * r + 2, h->V);
            break;
        case 4:
            s.top_k = 1 + (int32_t)kit_below(seed, 7 * r + 3, 40);
            break;
        case 5:
            s.top_p = 0.9f;
            s.min_p = 0.01f;
            break;
        default:
            break;
        }
        h->spec[r] = s;
    }
}

static void open_head(struct device *d, struct head *h, uint64_t seed)
{
    float *w = malloc(h->V * h->C * sizeof *w);
    assert_non_null(w);
    kit_fill(w, h->V * h->C, seed, 1.0f);
    h->x = kit_random(d, h->R * h->C, seed + 1, 1.0f);
    h->packed = kit_pack(d, h->t, h->V, h->C, w, NULL);
    free(w);
}

static void close_head(struct device *d, struct head *h)
{
    d->ops->release(d, h->x);
    d->ops->release(d, h->packed);
}

static void fused(struct device *d, const struct head *h, size_t first, size_t n,
                  struct sample_out *out)
{
    float *logits = kit_zeros(d, n * h->V);
    d->ops->head_sample(d, h->t, n, h->V, h->C, h->x + first * h->C, h->C, h->packed, logits,
                        h->spec + first, out);
    d->ops->release(d, logits);
}

static void apart(struct device *d, const struct head *h, struct sample_out *out)
{
    float *logits = kit_zeros(d, h->R * h->V);
    d->ops->gemm(d, h->t, GEMM_SET, h->R, h->V, h->C, h->x, h->C, h->packed, logits, h->V);
    d->ops->sample(d, h->R, h->V, logits, h->V, h->spec, out);
    d->ops->release(d, logits);
}

static void same(const char *what, const struct sample_out *a, const struct sample_out *b, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        if (memcmp(&a[r], &b[r], sizeof a[r]) != 0) {
            fail_msg("%s: row %zu: token %d logp %a entropy %a, not %d %a %a", what, r, a[r].token,
                     (double)a[r].logp, (double)a[r].entropy, b[r].token, (double)b[r].logp,
                     (double)b[r].entropy);
        }
    }
}

// Vocabularies around the sizes of lanes, pieces and blocks.
static const size_t vocabularies[] = {1, 15, 16, 63, 64, 65, 1000, 1023, 1024, 1025, 1100, 5003};

static void it_has_the_bits_of_gemm_and_sample(void **state)
{
    (void)state;
    for (size_t k = 0; k < KIT_KINDS; k++) {
        int most = k < KIT_CPU_KINDS ? 3 : 1;    // threads mean something to a CPU
        for (int threads = 1; threads <= most; threads++) {
            struct device *d = kit_open(kit_kinds[k], threads);
            size_t step = strcmp(kit_kinds[k], "cuda-emulated") == 0 ? 3 : 1;    // it is slow
            for (size_t i = 0; d != NULL && i < ARRAY_LEN(vocabularies); i += step) {
                struct head h = {.V = vocabularies[i], .t = i % 3 ? DTYPE_BF16 : DTYPE_F32};
                struct sample_out a[MAX_ROWS], b[MAX_ROWS];
                h.R = 1 + kit_below(50, i, MAX_ROWS);
                h.C = 1 + kit_below(51, i, 90);
                open_head(d, &h, 100 + i);
                make_specs(&h, 200 + i, i % 2 == 0);
                fused(d, &h, 0, h.R, a);
                apart(d, &h, b);
                same(kit_kinds[k], a, b, h.R);
                close_head(d, &h);
            }
            if (d != NULL) {
                kit_close(d);
            }
        }
    }
}

static void beside_of(struct device *d)
{
    struct head h = {.R = MAX_ROWS, .V = 3000, .C = 70, .t = DTYPE_BF16};
    struct sample_out all[MAX_ROWS], some[MAX_ROWS];
    open_head(d, &h, 1);
    make_specs(&h, 2, true);
    fused(d, &h, 0, h.R, all);
    for (size_t first = 0, n; first < h.R; first += n) {
        n = MIN(1 + kit_below(3, first, 20), h.R - first);
        fused(d, &h, first, n, some + first);
    }
    same("apart", all, some, h.R);
    close_head(d, &h);
}

static void rows_beside_it_change_nothing(void **state)
{
    (void)state;
    kit_on_every_kind(beside_of);
}

static void every_instruction_set_gives_the_same(void **state)
{
    (void)state;
    struct sample_out first[MAX_ROWS], out[MAX_ROWS];
    int n_sets = 0;
    for (size_t k = 0; k < KIT_KINDS; k++) {
        struct device *d = kit_open(kit_kinds[k], 1);
        if (d == NULL) {
            continue;
        }
        struct head h = {.R = 77, .V = 4100, .C = 83, .t = DTYPE_BF16};
        open_head(d, &h, 11);
        make_specs(&h, 12, true);
        fused(d, &h, 0, h.R, n_sets == 0 ? first : out);
        if (n_sets++ > 0) {
            same(kit_kinds[k], out, first, h.R);
        }
        close_head(d, &h);
        kit_close(d);
    }
    assert_true(n_sets > 0);
}

// With one column of ones, x is the temperature of the whole row: all logits are equal, and a draw
// must reach every token as u goes from 0 to 1, in order.
static void draws_of(struct device *d)
{
    enum { V = 2500, N = 100 };
    float *w = malloc(V * sizeof *w), ones[N];
    assert_non_null(w);
    for (size_t i = 0; i < V; i++) {
        w[i] = 1.0f;
    }
    struct head h = {
        .R = N, .V = V, .C = 1, .t = DTYPE_F32, .packed = kit_pack(d, DTYPE_F32, V, 1, w, NULL)};
    for (size_t r = 0; r < N; r++) {
        ones[r] = 1.0f;
        h.spec[r] = (struct sample_spec){.temperature = 1, .top_p = 1, .target = -1};
        h.spec[r].u = ((float)r + 0.5f) / N;
    }
    h.x = kit_put(d, ones, N);
    struct sample_out out[N];
    fused(d, &h, 0, N, out);
    for (size_t r = 0; r < N; r++) {
        int32_t want = (int32_t)((double)h.spec[r].u * V);
        assert_true(abs(out[r].token - want) <= 1);
        assert_true(fabs((double)out[r].logp + log(V)) < 1e-5);
    }
    free(w);
    close_head(d, &h);
}

static void draws_go_through_the_vocabulary_in_order(void **state)
{
    (void)state;
    kit_on_every_kind(draws_of);
}

static void nan_rows_of(struct device *d)
{
    struct head h = {.R = 3, .V = 1500, .C = 20, .t = DTYPE_BF16};
    struct sample_out clean[3], out[3];
    open_head(d, &h, 21);
    make_specs(&h, 22, false);
    for (size_t r = 0; r < 3; r++) {
        h.spec[r].target = -1;
        h.spec[r].temperature = 1;
    }
    fused(d, &h, 0, 3, clean);
    float *x = kit_get(d, h.x, 3 * h.C);
    x[h.C] = NAN;
    d->ops->upload(d, h.x, x, 3 * h.C * sizeof *x);
    fused(d, &h, 0, 3, out);
    same("before", &clean[0], &out[0], 1);
    same("after", &clean[2], &out[2], 1);
    assert_int_equal(out[1].token, 0);
    assert_true(isnan(out[1].logp));
    free(x);
    close_head(d, &h);
}

static void nan_rows_take_token_0_and_harm_nobody(void **state)
{
    (void)state;
    kit_on_every_kind(nan_rows_of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_the_bits_of_gemm_and_sample),
        cmocka_unit_test(rows_beside_it_change_nothing),
        cmocka_unit_test(every_instruction_set_gives_the_same),
        cmocka_unit_test(draws_go_through_the_vocabulary_in_order),
        cmocka_unit_test(nan_rows_take_token_0_and_harm_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
