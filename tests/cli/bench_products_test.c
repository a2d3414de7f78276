// bench_products_test.c: products are noted on their way, arrive unchanged, and can be run again.
//
// A recorder that lost or changed a product would make a share of the roofline look better or worse
// than it is, and nobody would see it.
#include "tests/common/check.h"

#include "cli/bench_products.h"

enum { R = 5, N = 32, K = 24 };

struct bench {
    struct device *d;
    float *x, *y, *dw;
    void *w;
};

static void *alloc(struct device *d, size_t bytes)
{
    void *p = NULL;
    struct why why;
    assert_int_equal(d->ops->alloc(d, bytes, &p, &why), ERR_OK);
    return p;
}

static float *filled(struct device *d, size_t n, float step)
{
    float *p = alloc(d, n * sizeof *p), *host = calloc(n, sizeof *host);
    assert_non_null(host);
    for (size_t i = 0; i < n; i++) {
        host[i] = step * (float)(i % 13) - 0.4f;
    }
    d->ops->upload(d, p, host, n * sizeof *p);
    free(host);
    return p;
}

static int open_bench(void **state)
{
    static struct bench b;
    struct why why;
    float w[N * K];
    if (device_open("cpu", NULL, &b.d, &why)) {
        return -1;
    }
    for (size_t i = 0; i < N * K; i++) {
        w[i] = 0.01f * (float)(i % 31);
    }
    b.x = filled(b.d, R * K, 0.1f);
    b.y = filled(b.d, R * N, 0.2f);
    b.dw = filled(b.d, N * K, 0.0f);
    b.w = alloc(b.d, b.d->ops->packed_bytes(DTYPE_F32, N, K));
    b.d->ops->pack(b.d, DTYPE_F32, N, K, w, b.w);
    *state = &b;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *b = *state;
    void *all[] = {b->x, b->y, b->dw, b->w};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        b->d->ops->release(b->d, all[i]);
    }
    device_close(b->d);
    return 0;
}

static struct bench_products *attached(struct bench *b)
{
    struct bench_products *p = NULL;
    struct why why;
    assert_int_equal(bench_products_attach(b->d, &p, &why), ERR_OK);
    return p;
}

static void product(struct bench *b, enum gemm_mode mode)
{
    b->d->ops->gemm(b->d, DTYPE_F32, mode, R, N, K, b->x, K, b->w, b->y, N);
}

static void only_what_runs_while_it_notes_is_counted(void **state)
{
    struct bench *b = *state;
    struct bench_products *p = attached(b);
    product(b, GEMM_SET);
    assert_int_equal(bench_products_count(p), 0);
    bench_products_record(p, true);
    product(b, GEMM_SET);
    b->d->ops->gemm_dw(b->d, R, N, K, b->y, N, b->x, K, b->dw);
    bench_products_record(p, false);
    product(b, GEMM_SET);
    assert_int_equal(bench_products_count(p), 2);
    assert_true(bench_products_flop(p) == 2 * 2.0 * R * N * K);
    bench_products_record(p, true);
    assert_int_equal(bench_products_count(p), 0);
    bench_products_detach(p);
}

// Through the recorder and in the replay: the same arguments give the same bits.
static void products_arrive_unchanged_and_run_again(void **state)
{
    struct bench *b = *state;
    float direct[R * N], noted[R * N], again[R * N], dw[N * K], dw_again[N * K];
    product(b, GEMM_SET);
    product(b, GEMM_ADD);
    b->d->ops->download(b->d, direct, b->y, sizeof direct);
    struct bench_products *p = attached(b);
    bench_products_record(p, true);
    product(b, GEMM_SET);
    product(b, GEMM_ADD);
    bench_products_record(p, false);
    b->d->ops->download(b->d, noted, b->y, sizeof noted);
    assert_memory_equal(noted, direct, sizeof direct);
    b->d->ops->zero(b->d, b->y, sizeof direct);
    struct bench_span s = bench_products_replay(p);
    assert_true(s.wall > 0);
    b->d->ops->download(b->d, again, b->y, sizeof again);
    assert_memory_equal(again, direct, sizeof direct);

    bench_products_record(p, true);
    b->d->ops->zero(b->d, b->dw, sizeof dw);
    b->d->ops->gemm_dw(b->d, R, N, K, b->y, N, b->x, K, b->dw);
    bench_products_record(p, false);
    b->d->ops->download(b->d, dw, b->dw, sizeof dw);
    b->d->ops->zero(b->d, b->dw, sizeof dw);
    (void)bench_products_replay(p);
    b->d->ops->download(b->d, dw_again, b->dw, sizeof dw);
    assert_memory_equal(dw_again, dw, sizeof dw);
    bench_products_detach(p);
}

static void a_detached_device_has_its_own_table_again(void **state)
{
    struct bench *b = *state;
    const struct device_ops *own = b->d->ops;
    struct bench_products *p = attached(b);
    assert_ptr_not_equal(b->d->ops, own);
    assert_string_equal(b->d->ops->numerics_id, own->numerics_id);
    bench_products_detach(p);
    assert_ptr_equal(b->d->ops, own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_runs_while_it_notes_is_counted),
        cmocka_unit_test(products_arrive_unchanged_and_run_again),
        cmocka_unit_test(a_detached_device_has_its_own_table_again),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
