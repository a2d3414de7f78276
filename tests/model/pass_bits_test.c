// pass_bits_test.c: what makes log-probs comparable between actor and learner: a token's score has
// the same bits alone, packed beside others, in prefill chunks, over scattered cache rows, on any
// number of threads and on every instruction set, and a draw reports the score of its token.
#include "tests/model/problem.h"

// Cache rows in a shuffled order, the way pages come to lie after a while.
static void shuffled_rows(int32_t *rows, size_t n, uint64_t seed)
{
    struct rng r = rng_make(seed, 3);
    for (size_t i = 0; i < n; i++) {
        rows[i] = (int32_t)i;
    }
    for (size_t i = n; i-- > 1;) {
        size_t j = rng_below(&r, (uint32_t)i + 1);
        int32_t x = rows[i];
        rows[i] = rows[j];
        rows[j] = x;
    }
}

// Prompt rows from..to of one pass; with_out: the last row predicts the first tokens of both
// completions.
static void prefill(struct model *m, const struct weights *w, struct kv_cache *kv,
                    const struct texts *x, const int32_t *rows, size_t from, size_t to,
                    float **logp)
{
    struct batch b;
    struct why why = {""};
    int32_t off = 0, row = 0;
    batch_init(&b);
    assert_int_equal(batch_add_index(&b, rows, to, &off), ERR_OK);
    for (size_t j = from; j < to; j++) {
        assert_int_equal(batch_add_row(&b, (int32_t)x->prompt[j], (int32_t)j, rows[j], off,
                                       (int32_t)j + 1, &row),
                         ERR_OK);
    }
    struct sample_spec spec[2];
    struct sample_out out[2];
    for (size_t i = 0; i < 2; i++) {
        spec[i] = (struct sample_spec){.temperature = 0.7f, .top_p = 1};
        if (to == PROMPT) {
            assert_int_equal(batch_add_out(&b, row, (int32_t)x->comp[i][0]), ERR_OK);
        }
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, out, NULL, &why), ERR_OK);
    for (size_t i = 0; i < b.n_out; i++) {
        assert_int_equal(out[i].token, (int32_t)x->comp[i][0]);
        logp[i][0] = out[i].logp;
    }
    batch_fini(&b);
}

// Step s: token s of each unfinished completion goes in, token s + 1 is scored.
static void decode_step(struct model *m, const struct weights *w, struct kv_cache *kv,
                        const struct texts *x, int32_t seq_rows[2][PROMPT + LONG], size_t s,
                        float **logp)
{
    struct batch b;
    struct why why = {""};
    struct sample_spec spec[2];
    struct sample_out out[2];
    size_t who[2];
    batch_init(&b);
    for (size_t i = 0; i < 2; i++) {
        if (s + 1 >= x->n[i]) {
            continue;
        }
        size_t pos = PROMPT + s;
        int32_t off = 0, row = 0;
        assert_int_equal(batch_add_index(&b, seq_rows[i], pos + 1, &off), ERR_OK);
        assert_int_equal(batch_add_row(&b, (int32_t)x->comp[i][s], (int32_t)pos, seq_rows[i][pos],
                                       off, (int32_t)pos + 1, &row),
                         ERR_OK);
        who[b.n_out] = i;
        spec[b.n_out] = (struct sample_spec){.temperature = 0.7f, .top_p = 1};
        assert_int_equal(batch_add_out(&b, row, (int32_t)x->comp[i][s + 1]), ERR_OK);
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, out, NULL, &why), ERR_OK);
    for (size_t i = 0; i < b.n_out; i++) {
        logp[who[i]][s + 1] = out[i].logp;
    }
    batch_fini(&b);
}

// The whole group through a cache: prompt in chunks, then token by token. logp (LONG + SHORT) in
// the order of score_group.
static void decode_group(struct model *m, const struct weights *w, const struct texts *x,
                         size_t chunk, uint64_t seed, float *logp)
{
    struct kv_cache *kv = NULL;
    struct why why = {""};
    int32_t rows[CACHE], seq_rows[2][PROMPT + LONG];
    float *parts[2] = {logp, logp + LONG};
    assert_int_equal(kv_cache_create(m, CACHE, &kv, &why), ERR_OK);
    shuffled_rows(rows, CACHE, seed);
    for (size_t i = 0; i < 2; i++) {
        memcpy(seq_rows[i], rows, PROMPT * sizeof *rows);    // shared
        memcpy(seq_rows[i] + PROMPT, rows + PROMPT + i * LONG, LONG * sizeof *rows);
    }
    for (size_t from = 0; from < PROMPT; from += chunk) {
        prefill(m, w, kv, x, rows, from, MIN(from + chunk, PROMPT), parts);
    }
    for (size_t s = 0; s + 1 < LONG; s++) {
        decode_step(m, w, kv, x, seq_rows, s, parts);
    }
    kv_cache_destroy(kv);
}

static void check_bits(const struct tiny_variant *v, int32_t window, struct pool *pool, float *want)
{
    struct tiny t;
    struct texts x;
    float got[LONG + SHORT];
    tiny_init_as(&t, v, true, DTYPE_BF16, 8);
    t.config.window = window;
    make_texts(&t, &x);
    struct device *d = open_device(pool);
    struct weights *w = tiny_weights(&t, d);
    struct model *m = make_model(d, &t.config, 0);
    score_group(m, w, &x, 0, 2, got);
    if (pool == NULL) {
        memcpy(want, got, sizeof got);
    }
    assert_memory_equal(got, want, sizeof got);
    score_group(m, w, &x, 0, 1, got);    // each sequence alone
    assert_memory_equal(got, want, LONG * sizeof *got);
    score_group(m, w, &x, 1, 1, got);
    assert_memory_equal(got, want + LONG, SHORT * sizeof *got);
    const size_t chunks[] = {PROMPT, 1, 7, 33, 64, 69};
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        memset(got, 0, sizeof got);
        decode_group(m, w, &x, chunks[i], i, got);
        assert_memory_equal(got, want, sizeof got);
    }
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

static void decode_packed_and_single_passes_give_the_same_bits(void **state)
{
    (void)state;
    struct pool *pool = NULL;
    struct why why = {""};
    assert_int_equal(pool_create(2, &pool, &why), ERR_OK);
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        const struct tiny_variant *v = &tiny_variants[i];
        const int32_t windows[] = {v->window, 64, 90};
        for (size_t k = 0; k < (v->window > 0 ? ARRAY_LEN(windows) : 1); k++) {
            float want[LONG + SHORT];
            check_bits(v, windows[k], NULL, want);
            for (size_t j = 0; j < LONG + SHORT; j++) {
                assert_true(want[j] < 0 && isfinite(want[j]));
            }
            check_bits(v, windows[k], pool, want);
        }
    }
    pool_destroy(pool);
}

// Instruction sets are one numerics_id: an actor on an older machine must not look like a stale
// one.
static void check_instruction_sets(const struct tiny_variant *v)
{
    static const char *const kinds[] = {"cpu-portable", "cpu-avx2", "cpu-avx512"};
    struct tiny t;
    struct texts x;
    struct why why = {""};
    float want[LONG + SHORT] = {0}, got[LONG + SHORT];
    tiny_init_as(&t, v, false, DTYPE_BF16, 8);
    make_texts(&t, &x);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct device *d = NULL;
        enum err e = device_open(kinds[i], NULL, &d, &why);
        if (e == ERR_UNSUPPORTED) {
            continue;    // this CPU lacks it
        }
        assert_int_equal(e, ERR_OK);
        struct weights *w = tiny_weights(&t, d);
        struct model *m = make_model(d, &t.config, 0);
        score_group(m, w, &x, 0, 2, got);
        if (i == 0) {
            memcpy(want, got, sizeof got);
        }
        assert_memory_equal(got, want, sizeof got);
        model_destroy(m);
        weights_destroy(w);
        device_close(d);
    }
    tiny_fini(&t);
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        check_instruction_sets(&tiny_variants[i]);
    }
}

static void a_draw_reports_the_score_of_its_token(void **state)
{
    (void)state;
    struct tiny t;
    struct texts x;
    struct why why = {""};
    tiny_init(&t, true, DTYPE_BF16, 8);
    make_texts(&t, &x);
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d);
    struct model *m = make_model(d, &t.config, 0);
    struct kv_cache *kv = NULL;
    struct batch b;
    batch_init(&b);
    assert_int_equal(kv_cache_create(m, CACHE, &kv, &why), ERR_OK);
    assert_int_equal(batch_add_group(&b, x.prompt, PROMPT, NULL, 0), ERR_OK);
    struct sample_spec spec[3];
    struct sample_out drawn[3], scored[3];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(batch_add_out(&b, PROMPT - 1, -1), ERR_OK);
        spec[i] = (struct sample_spec){
            .temperature = i == 0 ? 0 : 1, .top_p = 1, .target = 5, .u = 0.3f * (float)i};
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, drawn, NULL, &why), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        b.target[i] = drawn[i].token;
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, scored, NULL, &why), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(scored[i].token, drawn[i].token);
        assert_memory_equal(&scored[i].logp, &drawn[i].logp, sizeof(float));
        assert_true(drawn[0].logp >= drawn[i].logp);    // greedy is the likeliest
    }
    atomic_bool cancel = true;
    assert_int_equal(model_forward(m, w, kv, &b, spec, scored, &cancel, &why), ERR_CANCELLED);
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
        cmocka_unit_test(decode_packed_and_single_passes_give_the_same_bits),
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(a_draw_reports_the_score_of_its_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
