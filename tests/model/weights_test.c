// weights_test.c: weights arrive as a blob in pieces of any size, and only a whole one counts;
// values that training should never produce do not break sampling.
#include "tests/model/problem.h"

static void check_pieces(const struct tiny_variant *v)
{
    struct tiny t;
    struct texts x;
    struct why why = {""};
    tiny_init_as(&t, v, false, DTYPE_BF16, 8);
    make_texts(&t, &x);
    struct device *d = open_device(NULL);
    struct model *m = make_model(d, &t.config, 0);
    size_t total = weights_blob_bytes(&t.config, DTYPE_BF16);
    assert_int_equal(total, t.params.total * 2);
    uint8_t *shifted = malloc(total + 1);    // pieces at odd addresses
    assert_non_null(shifted);
    memcpy(shifted + 1, t.blob, total);
    float want[LONG + SHORT], got[LONG + SHORT];
    struct weights *whole = tiny_weights(&t, d);
    score_group(m, whole, &x, 0, 2, want);
    const size_t most[] = {1, 3, 100, 1000, total};
    for (size_t i = 0; i < ARRAY_LEN(most); i++) {
        struct weights *w = NULL;
        struct hash128 hash;
        struct rng r = rng_make(1, i);
        assert_int_equal(weights_create(d, &t.config, DTYPE_BF16, &w, &why), ERR_OK);
        weights_begin(w);
        assert_int_equal(weights_feed(w, shifted, 77, &why), ERR_OK);    // an abandoned transfer
        weights_begin(w);
        for (size_t at = 0; at < total;) {
            size_t piece = 1 + rng_below(&r, (uint32_t)most[i]);
            size_t n = MIN(piece, total - at);
            assert_int_equal(weights_feed(w, shifted + 1 + at, n, &why), ERR_OK);
            at += n;
        }
        assert_int_equal(weights_end(w, &hash, &why), ERR_OK);
        assert_true(hash_equal(hash, hash_bytes(t.blob, total)));
        score_group(m, w, &x, 0, 2, got);
        assert_memory_equal(got, want, sizeof got);
        weights_destroy(w);
    }
    free(shifted);
    weights_destroy(whole);
    model_destroy(m);
    device_close(d);
    tiny_fini(&t);
}

static void weights_fed_in_any_pieces_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        check_pieces(&tiny_variants[i]);
    }
}

// Learner and actors compute from one slab: the panels must be the same wherever they stand, and
// whoever takes them over from memory must be able to tell that they are.
static void panels_in_memory_of_the_callers_are_the_same(void **state)
{
    (void)state;
    struct tiny t;
    struct texts x;
    struct why why = {""};
    struct hash128 hash;
    for (int tied = 0; tied < 2; tied++) {
        tiny_init(&t, tied, tied ? DTYPE_BF16 : DTYPE_F32, 8);
        make_texts(&t, &x);
        struct pool *pool = NULL;
        assert_int_equal(pool_create(2, &pool, &why), ERR_OK);
        struct device *d = open_device(pool);
        struct model *m = make_model(d, &t.config, 0);
        struct weights *own = tiny_weights(&t, d), *w = NULL, *reader = NULL;
        size_t total = weights_blob_bytes(&t.config, t.t), bytes;
        float want[LONG + SHORT], got[LONG + SHORT];
        score_group(m, own, &x, 0, 2, want);

        bytes = weights_panel_bytes(d, &t.config, t.t);
        uint8_t *panels = aligned_alloc(64, (bytes + 63) / 64 * 64);
        assert_non_null(panels);
        memset(panels, 0, bytes);
        assert_int_equal(weights_create_in(d, &t.config, t.t, panels, &w, &why), ERR_OK);
        weights_begin(w);
        size_t at = 0;
        for (size_t n; (n = weights_wants(w)) > 0; at += n) {
            assert_int_equal(weights_feed(w, (char *)t.blob + at, n, &why), ERR_OK);
        }
        assert_int_equal(at, total);
        assert_int_equal(weights_end(w, &hash, &why), ERR_OK);
        assert_true(hash_equal(hash, hash_bytes(t.blob, total)));
        score_group(m, w, &x, 0, 2, got);
        assert_memory_equal(got, want, sizeof got);

        assert_int_equal(weights_create_in(d, &t.config, t.t, panels, &reader, &why), ERR_OK);
        score_group(m, reader, &x, 0, 2, got);
        assert_memory_equal(got, want, sizeof got);
        const struct weights_sums *sums = weights_fed_sums(w);
        for (size_t i = 0; i < WEIGHTS_STRIPES; i++) {
            assert_true(weights_sum(reader, i) == sums->stripe[i]);
        }
        for (size_t i = 0; i < bytes; i += 997) {
            size_t piece = i >> 16;
            panels[i] ^= 1;
            assert_true(weights_sum(reader, piece % WEIGHTS_STRIPES) !=
                        sums->stripe[piece % WEIGHTS_STRIPES]);
            panels[i] ^= 1;
        }

        assert_int_equal(weights_place(w, NULL, &why), ERR_OK);
        weights_begin(w);
        assert_int_equal(weights_feed(w, t.blob, total, &why), ERR_OK);
        assert_int_equal(weights_end(w, &hash, &why), ERR_OK);
        memset(panels, 0xff, bytes);
        score_group(m, w, &x, 0, 2, got);
        assert_memory_equal(got, want, sizeof got);
        weights_destroy(reader);
        weights_destroy(w);
        weights_destroy(own);
        model_destroy(m);
        device_close(d);
        pool_destroy(pool);
        free(panels);
        tiny_fini(&t);
    }
}

static void a_blob_of_the_wrong_size_is_refused(void **state)
{
    (void)state;
    struct tiny t;
    struct why why = {""};
    struct hash128 hash;
    tiny_init(&t, true, DTYPE_F32, 8);
    struct device *d = open_device(NULL);
    struct weights *w = NULL;
    size_t total = weights_blob_bytes(&t.config, DTYPE_F32);
    assert_int_equal(weights_create(d, &t.config, DTYPE_F32, &w, &why), ERR_OK);
    weights_begin(w);
    assert_int_equal(weights_feed(w, t.blob, total - 4, &why), ERR_OK);
    assert_int_equal(weights_end(w, &hash, &why), ERR_CORRUPT);
    assert_int_equal(weights_feed(w, t.blob, 5, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "blob"));
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

// Training can diverge. The numbers are lost then, but tokens must stay tokens and nothing may
// crash.
static void weights_of_nan_still_draw_tokens_of_the_vocabulary(void **state)
{
    (void)state;
    struct tiny t;
    struct texts x;
    struct why why = {""};
    tiny_init(&t, true, DTYPE_BF16, 8);
    make_texts(&t, &x);
    for (size_t i = 0; i < t.params.total; i++) {
        ((uint16_t *)t.blob)[i] = i % 3 == 0 ? 0x7fc0 : 0x7f80;    // NaN, infinity
    }
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d);
    struct model *m = make_model(d, &t.config, 0);
    struct kv_cache *kv = NULL;
    struct batch b;
    batch_init(&b);
    assert_int_equal(kv_cache_create(m, CACHE, &kv, &why), ERR_OK);
    assert_int_equal(batch_add_group(&b, x.prompt, PROMPT, NULL, 0), ERR_OK);
    struct sample_spec spec[4];
    struct sample_out out[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(batch_add_out(&b, PROMPT - 1, -1), ERR_OK);
        spec[i] = (struct sample_spec){.temperature = i == 0 ? 0 : 1,
                                       .top_p = i == 2 ? 0.5f : 1,
                                       .top_k = i == 3 ? 5 : 0,
                                       .u = 0.999f};
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, out, NULL, &why), ERR_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_in_range(out[i].token, 0, t.config.vocab - 1);
    }
    batch_fini(&b);
    kv_cache_destroy(kv);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_fed_in_any_pieces_are_the_same),
        cmocka_unit_test(panels_in_memory_of_the_callers_are_the_same),
        cmocka_unit_test(a_blob_of_the_wrong_size_is_refused),
        cmocka_unit_test(weights_of_nan_still_draw_tokens_of_the_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
