// backward_test.c: gradients agree with central differences of the naive model of tiny.h, have the
// same bits for every number of threads, and add to what is there.
//
// Differences are taken on a loss with a known coefficient per log-prob (problem.h), parameter by
// parameter for small problems and along random directions for long ones.
#include "tests/model/problem.h"

// Central differences in double of every single parameter: nothing of the backward pass can hide
// behind a norm. The seed is one whose gradients are well conditioned: one unit in the last place of
// the weights moves them by 3e-6 of a tensor's largest entry at most, where with seed 3 a tensor of
// qwen2 moves by 8e-6, in exact arithmetic, which leaves too little of the tolerance to rounding.
static void check_gradients(const struct tiny_variant *v, bool tied, enum dtype dt)
{
    struct tiny t;
    struct problem p;
    print_message("%s, %s\n", v->label, tied ? "tied" : "untied");
    tiny_init_as(&t, v, tied, dt, 23);
    small_problem(&p, &t);
    p.n_groups = v == &tiny_variants[0] ? 2 : 1;    // packing is the same for all: once is enough
    struct device *d = open_device(NULL);
    float *got = train(d, &t, &p);
    double *want = calloc(t.params.total, sizeof *want);
    assert_non_null(want);
    const double h = 1e-5;
    for (size_t i = 0; i < t.params.total; i++) {
        double x = t.rounded[i];
        t.rounded[i] = x + h;
        double up = naive_loss(&p, &t, t.rounded);
        t.rounded[i] = x - h;
        want[i] = (up - naive_loss(&p, &t, t.rounded)) / (2 * h);
        t.rounded[i] = x;
    }
    for (size_t i = 0; i < t.params.n; i++) {
        const struct param *q = &t.params.params[i];
        double largest = 0;
        for (size_t j = q->offset; j < q->offset + q->count; j++) {
            largest = fmax(largest, fabs(want[j]));
        }
        assert_true(largest > 0);
        for (size_t j = q->offset; j < q->offset + q->count; j++) {
            assert_close((double)got[j], want[j], 2e-5 * largest, q->name, j - q->offset);
        }
    }
    free(want);
    free(got);
    device_close(d);
    tiny_fini(&t);
}

static void gradients_of_tied_models_agree_with_central_differences(void **state)
{
    (void)state;
    check_gradients(&tiny_variants[0], true, DTYPE_BF16);
    for (size_t i = 1; i < TINY_VARIANTS; i += 2) {
        check_gradients(&tiny_variants[i], true, DTYPE_BF16);
    }
}

static void gradients_of_untied_models_agree_with_central_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i += 2) {
        check_gradients(&tiny_variants[i], false, DTYPE_F32);
    }
}

// Derivatives along random directions: the same check at lengths over several key blocks and head
// chunks.
static void check_directions(const struct tiny_variant *v)
{
    struct tiny t;
    static struct problem p;
    print_message("%s\n", v->label);
    tiny_init_as(&t, v, true, DTYPE_BF16, 4);
    t.config.window = v->window > 0 ? 80 : 0;    // across key blocks
    small_problem(&p, &t);
    p.n_groups = 1;
    p.n_prompt[0] = 20;
    p.n_comp[0][0] = 130;
    p.n_comp[0][1] = 100;
    p.temperature = 1;
    tiny_tokens(&t, 31, p.prompt[0], 20);
    tiny_tokens(&t, 32, p.comp[0][0], 130);
    tiny_tokens(&t, 33, p.comp[0][1], 100);
    struct device *d = open_device(NULL);
    float *got = train(d, &t, &p);
    double *moved = calloc(t.params.total, sizeof *moved);
    double *dir = calloc(t.params.total, sizeof *dir);
    assert_true(moved && dir);
    double norm = 0;
    for (size_t i = 0; i < t.params.total; i++) {
        norm += (double)got[i] * (double)got[i];
    }
    struct rng r = rng_make(77, 0);
    const double h = 1e-6;
    for (int k = 0; k < 12; k++) {
        double dot = 0, loss[2];
        for (size_t i = 0; i < t.params.total; i++) {
            dir[i] = 2 * rng_f64(&r) - 1;
            dot += dir[i] * (double)got[i];
        }
        for (int s = 0; s < 2; s++) {
            for (size_t i = 0; i < t.params.total; i++) {
                moved[i] = t.rounded[i] + (s == 0 ? h : -h) * dir[i];
            }
            loss[s] = naive_loss(&p, &t, moved);
        }
        assert_close(dot, (loss[0] - loss[1]) / (2 * h), 2e-5 * sqrt(norm), "direction", (size_t)k);
    }
    free(moved);
    free(dir);
    free(got);
    device_close(d);
    tiny_fini(&t);
}

static void gradients_of_long_sequences_agree_along_directions(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        check_directions(&tiny_variants[i]);
    }
}

// More rows than W^T is made of at a time, and a last block that is none of full panels.
static void gradients_of_large_vocabularies_agree_along_directions(void **state)
{
    (void)state;
    const struct tiny_variant large = {
        .label = "llama, 4133 words", .family = "llama", .vocab = 4133};
    check_directions(&large);
}

// Masters live elsewhere: forward and backward must both use the rounded weights, or gradient and
// loss disagree.
static void the_gradient_is_taken_at_the_rounded_weights(void **state)
{
    (void)state;
    struct tiny bf16, exact;
    struct problem p;
    tiny_init(&bf16, true, DTYPE_BF16, 3);
    tiny_init(&exact, true, DTYPE_F32, 3);    // the same masters, unrounded
    small_problem(&p, &bf16);
    struct device *d = open_device(NULL);
    float *at_rounded = train(d, &bf16, &p);
    float *at_masters = train(d, &exact, &p);
    for (size_t i = 0; i < exact.params.total;
         i++) {    // an f32 model whose masters are the rounded values
        ((float *)exact.blob)[i] = (float)bf16.rounded[i];
    }
    float *at_rounded_f32 = train(d, &exact, &p);
    size_t differ = 0;
    for (size_t i = 0; i < exact.params.total; i++) {
        assert_memory_equal(&at_rounded[i], &at_rounded_f32[i], sizeof(float));
        differ += at_rounded[i] != at_masters[i];
    }
    assert_true(differ > exact.params.total / 2);
    free(at_rounded);
    free(at_masters);
    free(at_rounded_f32);
    device_close(d);
    tiny_fini(&bf16);
    tiny_fini(&exact);
}

static void gradients_have_the_same_bits_on_one_and_two_threads(void **state)
{
    (void)state;
    struct pool *pool = NULL;
    struct why why = {""};
    assert_int_equal(pool_create(2, &pool, &why), ERR_OK);
    struct device *one = open_device(NULL), *two = open_device(pool);
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        struct tiny t;
        struct problem p;
        tiny_init_as(&t, &tiny_variants[i], true, DTYPE_BF16, 3);
        small_problem(&p, &t);
        float *a = train(one, &t, &p), *b = train(two, &t, &p);
        assert_memory_equal(a, b, t.params.total * sizeof *a);
        free(a);
        free(b);
        tiny_fini(&t);
    }
    device_close(one);
    device_close(two);
    pool_destroy(pool);
}

// Memory for time, and nothing else: whoever turns it on in the middle of a run must not see it in
// the weights.
static void recomputed_activations_give_the_same_bits(void **state)
{
    (void)state;
    struct device *d = open_device(NULL);
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        struct tiny t;
        struct problem p;
        tiny_init_as(&t, &tiny_variants[i], true, DTYPE_BF16, 3);
        small_problem(&p, &t);
        struct model *m = make_model_of(d, &t.config, 64, true);
        float *kept = train(d, &t, &p), *again = train_in(m, d, &t, &p);
        assert_memory_equal(kept, again, t.params.total * sizeof *kept);
        free(kept);
        free(again);
        model_destroy(m);
        tiny_fini(&t);
    }
    device_close(d);
}

// A trainer keeps one model for all versions: backward must never read the W^T of an earlier one, or
// what one of another type left at its edges.
static void gradients_do_not_depend_on_what_a_model_trained_before(void **state)
{
    (void)state;
    struct device *d = open_device(NULL);
    for (size_t i = 0; i < 2 * TINY_VARIANTS; i++) {
        struct tiny t[2];
        struct problem p;
        for (uint64_t k = 0; k < 2; k++) {
            tiny_init_as(&t[k], &tiny_variants[i / 2], i % 2 == 0, k ? DTYPE_BF16 : DTYPE_F32, k);
        }
        small_problem(&p, &t[0]);
        struct model *m = make_model(d, &t[0].config, 256);
        for (size_t step = 0; step < 4; step++) {
            const struct tiny *version = &t[step % 2];
            float *want = train(d, version, &p), *got = train_in(m, d, version, &p);
            assert_memory_equal(got, want, version->params.total * sizeof *want);
            free(want);
            free(got);
        }
        model_destroy(m);
        tiny_fini(&t[0]);
        tiny_fini(&t[1]);
    }
    device_close(d);
}

static void gradients_are_added_to_what_is_there(void **state)
{
    (void)state;
    struct tiny t;
    struct problem p;
    struct why why = {""};
    tiny_init(&t, true, DTYPE_BF16, 3);
    small_problem(&p, &t);
    struct device *d = open_device(NULL);
    float *once = train(d, &t, &p);
    struct weights *w = tiny_weights(&t, d);
    struct model *m = make_model(d, &t.config, 64);
    struct batch b;
    pack_problem(&p, &b);
    size_t bytes = t.params.total * sizeof(float);
    void *grads = NULL;
    float *twice = malloc(bytes);
    assert_non_null(twice);
    assert_int_equal(d->ops->alloc(d, bytes, &grads, &why), ERR_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(model_train(m, w, &b, 0.7f, fixed_coefficients, &p, grads, NULL, &why),
                         ERR_OK);
    }
    d->ops->download(d, twice, grads, bytes);
    for (size_t i = 0; i < t.params.total; i++) {
        assert_close((double)twice[i], 2 * (double)once[i], 1e-4 * (1 + fabs((double)once[i])),
                     "gradient", i);
    }
    atomic_bool cancel = true;
    assert_int_equal(model_train(m, w, &b, 0.7f, fixed_coefficients, &p, grads, &cancel, &why),
                     ERR_CANCELLED);
    free(once);
    free(twice);
    d->ops->release(d, grads);
    batch_fini(&b);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_tied_models_agree_with_central_differences),
        cmocka_unit_test(gradients_of_untied_models_agree_with_central_differences),
        cmocka_unit_test(gradients_of_long_sequences_agree_along_directions),
        cmocka_unit_test(gradients_of_large_vocabularies_agree_along_directions),
        cmocka_unit_test(the_gradient_is_taken_at_the_rounded_weights),
        cmocka_unit_test(gradients_have_the_same_bits_on_one_and_two_threads),
        cmocka_unit_test(recomputed_activations_give_the_same_bits),
        cmocka_unit_test(gradients_do_not_depend_on_what_a_model_trained_before),
        cmocka_unit_test(gradients_are_added_to_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
