// model_test.c: a model's memory is what its plan says, and limits that cannot be met are refused
// by name before anything runs.
//
// What it computes: forward_test.c, backward_test.c and pass_bits_test.c.
#include "tests/model/problem.h"

// ---- memory plans ----

static size_t allocated;
static const struct device_ops *real_ops;

static enum err counting_alloc(struct device *d, size_t bytes, void **out, struct why *why)
{
    allocated += bytes;
    return real_ops->alloc(d, bytes, out, why);
}

static enum err failing_alloc(struct device *d, size_t bytes, void **out, struct why *why)
{
    (void)d;
    (void)out;
    return why_set(why, ERR_NOMEM, "%zu bytes: out of memory", bytes);
}

static void assert_plan(size_t planned, size_t used)
{
    assert_true(planned >= used);
    assert_true(planned <= used + used / 4 + 4096);
}

// `caravan run --check` promises memory from these numbers before anything is allocated.
static void memory_plans_cover_what_is_allocated(void **state)
{
    (void)state;
    struct tiny t;
    struct device *d = open_device(NULL);
    struct why why = {""};
    real_ops = d->ops;
    struct device_ops ops = *d->ops;
    ops.alloc = counting_alloc;
    struct device counted = {.ops = &ops, .pool = d->pool, .state = d->state};
    for (size_t i = 0; i < 8 * TINY_VARIANTS; i++) {
        bool tied = i % 2 == 0, training = i / 2 % 2 == 1;
        enum dtype dt = i / 4 % 2 == 0 ? DTYPE_BF16 : DTYPE_F32;
        tiny_init_as(&t, &tiny_variants[i / 8], tied, dt, 8);
        allocated = 0;
        struct weights *w = tiny_weights(&t, &counted);
        assert_plan(weights_memory(&t.config, dt), allocated);
        const struct model_limits l = {.max_rows = 40,
                                       .max_index = 500,
                                       .max_outs = 7,
                                       .train_rows = training ? 50 : 0,
                                       .weights = dt,
                                       .max_context = 99};
        struct model *m = NULL;
        allocated = 0;
        assert_int_equal(model_create(&counted, &t.config, &l, &m, &why), ERR_OK);
        assert_plan(model_memory(&t.config, &l), allocated);
        struct kv_cache *kv = NULL;
        allocated = 0;
        assert_int_equal(kv_cache_create(m, 11, &kv, &why), ERR_OK);
        assert_int_equal(allocated, 11 * kv_cache_row_bytes(&t.config));
        kv_cache_destroy(kv);
        model_destroy(m);
        weights_destroy(w);
        tiny_fini(&t);
    }
    device_close(d);
}

static void a_device_without_memory_is_an_error(void **state)
{
    (void)state;
    struct tiny t;
    struct device *d = open_device(NULL);
    struct why why = {""};
    tiny_init(&t, true, DTYPE_BF16, 8);
    struct device_ops ops = *d->ops;
    ops.alloc = failing_alloc;
    struct device empty = {.ops = &ops, .pool = d->pool, .state = d->state};
    struct weights *w = NULL;
    struct model *m = NULL;
    const struct model_limits l = {.max_rows = 1, .max_index = 1, .max_context = 1};
    assert_int_equal(weights_create(&empty, &t.config, DTYPE_BF16, &w, &why), ERR_NOMEM);
    assert_non_null(strstr(why.text, "weights"));
    assert_int_equal(model_create(&empty, &t.config, &l, &m, &why), ERR_NOMEM);
    assert_non_null(strstr(why.text, "model"));
    assert_true(w == NULL && m == NULL);
    device_close(d);
    tiny_fini(&t);
}

// ---- what is refused ----

static void batches_beyond_the_limits_are_refused_by_name(void **state)
{
    (void)state;
    struct tiny t;
    tiny_init(&t, true, DTYPE_BF16, 8);
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d);
    struct model *m = make_model(d, &t.config, 0);
    static const struct {
        int32_t token, pos, kv_row, kv_off, kv_len, out_row, target;
        const char *named;
    } cases[] = {
        {37, 0, 0, 0, 1, 0, 1, "token 37"},      {-1, 0, 0, 0, 1, 0, 1, "token -1"},
        {0, CONTEXT, 0, 0, 1, 0, 1, "position"}, {0, -1, 0, 0, 1, 0, 1, "position"},
        {0, 0, 1, 0, 1, 0, 1, "kv_row 1"},       {0, 0, 0, 0, 2, 0, 1, "keys 0+2"},
        {0, 0, 0, 0, 0, 0, 1, "keys 0+0"},       {0, 0, 0, -1, 1, 0, 1, "keys -1+1"},
        {0, 0, 0, 0, 1, 1, 1, "row 1"},          {0, 0, 0, 0, 1, 0, 37, "target 37"},
        {0, 0, 0, 0, 1, 0, -1, "target -1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct batch b;
        struct why why = {""};
        float logp = 0;
        int32_t key = 0, off = 0, row = 0;
        batch_init(&b);
        assert_int_equal(batch_add_index(&b, &key, 1, &off), ERR_OK);
        assert_int_equal(batch_add_row(&b, cases[i].token, cases[i].pos, cases[i].kv_row,
                                       cases[i].kv_off, cases[i].kv_len, &row),
                         ERR_OK);
        assert_int_equal(batch_add_out(&b, cases[i].out_row, cases[i].target), ERR_OK);
        assert_int_not_equal(model_score(m, w, &b, 1, &logp, NULL, NULL, &why), ERR_OK);
        if (strstr(why.text, cases[i].named) == NULL) {
            fail_msg("expected \"%s\" in \"%s\"", cases[i].named, why.text);
        }
        batch_fini(&b);
    }
    struct batch empty;
    struct why why = {""};
    batch_init(&empty);
    assert_int_equal(model_score(m, w, &empty, 1, NULL, NULL, NULL, &why), ERR_LIMIT);
    assert_int_equal(model_score(m, w, &empty, 0, NULL, NULL, NULL, &why), ERR_INVALID);
    assert_int_equal(model_train(m, w, &empty, 1, NULL, NULL, NULL, NULL, &why), ERR_INVALID);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

// A family's weights may have the very sizes of another's; what they mean is different.
static void weights_of_another_family_are_refused(void **state)
{
    (void)state;
    struct tiny llama, mistral;
    struct why why = {""};
    float logp = 0;
    struct batch b;
    const uint32_t tokens[] = {1, 2};
    const struct batch_completion c = {tokens + 1, 1};
    tiny_init(&llama, true, DTYPE_BF16, 8);
    tiny_init_as(&mistral, &tiny_variants[2], true, DTYPE_BF16, 8);
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&mistral, d);
    struct model *m = make_model(d, &llama.config, 0);
    batch_init(&b);
    assert_int_equal(batch_add_group(&b, tokens, 1, &c, 1), ERR_OK);
    assert_int_equal(model_score(m, w, &b, 1, &logp, NULL, NULL, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "different configs"));
    batch_fini(&b);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&llama);
    tiny_fini(&mistral);
}

// Scratch for W^T is planned by the type of the weights: bigger ones would be written past its end.
static void weights_bigger_than_planned_do_not_train(void **state)
{
    (void)state;
    struct device *d = open_device(NULL);
    for (int f32 = 0; f32 < 2; f32++) {
        struct tiny t;
        struct problem p;
        struct batch b;
        struct why why = {""};
        struct model *m = NULL;
        void *grads = NULL;
        float logp[MAX_OUTS];
        tiny_init(&t, true, f32 ? DTYPE_F32 : DTYPE_BF16, 8);
        small_problem(&p, &t);
        pack_problem(&p, &b);
        const struct model_limits l = {
            .max_index = 512, .train_rows = 64, .weights = DTYPE_BF16, .max_context = CONTEXT};
        struct weights *w = tiny_weights(&t, d);
        assert_int_equal(model_create(d, &t.config, &l, &m, &why), ERR_OK);
        assert_int_equal(d->ops->alloc(d, t.params.total * sizeof(float), &grads, &why), ERR_OK);
        assert_int_equal(model_train(m, w, &b, 1, fixed_coefficients, &p, grads, NULL, &why),
                         f32 ? ERR_INVALID : ERR_OK);
        assert_true(!f32 || strstr(why.text, "weights of 4 bytes"));
        assert_int_equal(model_score(m, w, &b, 1, logp, NULL, NULL, &why), ERR_OK);
        d->ops->release(d, grads);
        model_destroy(m);
        weights_destroy(w);
        batch_fini(&b);
        tiny_fini(&t);
    }
    device_close(d);
}

static void impossible_limits_are_refused(void **state)
{
    (void)state;
    struct tiny t;
    tiny_init(&t, true, DTYPE_BF16, 8);
    struct device *d = open_device(NULL);
    const struct model_limits bad[] = {
        {.max_rows = 0, .max_index = 1, .max_outs = 1, .max_context = 1},
        {.max_rows = 1, .max_index = 0, .max_outs = 1, .max_context = 1},
        {.max_rows = 1, .max_index = 1, .max_outs = 1, .max_context = 513},
        {.max_rows = SIZE_MAX, .max_index = 1, .max_outs = 1, .max_context = 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct model *m = NULL;
        struct why why = {""};
        assert_int_equal(model_create(d, &t.config, &bad[i], &m, &why), ERR_INVALID);
        assert_null(m);
    }
    device_close(d);
    tiny_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_plans_cover_what_is_allocated),
        cmocka_unit_test(a_device_without_memory_is_an_error),
        cmocka_unit_test(batches_beyond_the_limits_are_refused_by_name),
        cmocka_unit_test(weights_of_another_family_are_refused),
        cmocka_unit_test(weights_bigger_than_planned_do_not_train),
        cmocka_unit_test(impossible_limits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
