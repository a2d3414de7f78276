// cuda_pass_test.c: whole passes of a small transformer on the CUDA back end, emulated and, where
// there is one, on a GPU: log-probs are those of the CPU to the bit, gradients agree and repeat.
//
// What single ops cannot show: that ops hand each other their results through device memory alone,
// and that queued work is complete when the model reads it.

#include "tests/model/problem.h"

#include "kit.h"

static const char *const kinds[] = {"cuda-emulated", "cuda"};

static void score_on(struct device *d, const struct tiny *t, const struct texts *x, float *logp)
{
    struct weights *w = tiny_weights(t, d);
    struct model *m = make_model(d, &t->config, 0);
    score_group(m, w, x, 0, 2, logp);
    model_destroy(m);
    weights_destroy(w);
}

static void log_probs_of_a_pass_have_the_bits_of_the_cpu(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {    // windows, biases, norms of heads …
        struct tiny t;
        struct texts x;
        float want[LONG + SHORT], got[LONG + SHORT];
        tiny_init_as(&t, &tiny_variants[i], i % 2 == 0, i % 3 == 0 ? DTYPE_BF16 : DTYPE_F32, 8);
        make_texts(&t, &x);
        struct device *cpu = kit_open("cpu-portable", 1);
        score_on(cpu, &t, &x, want);
        kit_close(cpu);
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            struct device *d = kit_open(kinds[k], 1);
            if (d != NULL) {
                score_on(d, &t, &x, got);
                kit_same_bits(kinds[k], LONG + SHORT, got, want);
                kit_close(d);
            }
        }
        tiny_fini(&t);
    }
}

static void check_gradients(struct device *d, const char *kind, const struct tiny *t,
                            struct problem *p, const float *want)
{
    float *once = train(d, t, p), *again = train(d, t, p);
    kit_same_bits(kind, t->params.total, once, again);
    for (size_t i = 0; i < t->params.n; i++) {
        const struct param *q = &t->params.params[i];
        double largest = 0;
        for (size_t j = q->offset; j < q->offset + q->count; j++) {
            largest = fmax(largest, fabs((double)want[j]));
        }
        for (size_t j = q->offset; j < q->offset + q->count; j++) {
            assert_close((double)once[j], (double)want[j], 1e-5 * largest + 1e-9, q->name,
                         j - q->offset);
        }
    }
    free(once);
    free(again);
}

static void gradients_agree_with_the_cpu_and_repeat(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        struct tiny t;
        struct problem p;
        tiny_init_as(&t, &tiny_variants[i], true, DTYPE_BF16, 3);
        small_problem(&p, &t);
        struct device *cpu = kit_open("cpu-portable", 1);
        float *want = train(cpu, &t, &p);
        kit_close(cpu);
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            struct device *d = kit_open(kinds[k], 1);
            if (d != NULL) {
                check_gradients(d, kinds[k], &t, &p, want);
                kit_close(d);
            }
        }
        free(want);
        tiny_fini(&t);
    }
}

// An actor's reload thread packs weights through a device of its own; the compute thread reads them
// through another.
static void weights_filled_through_one_device_are_read_through_another(void **state)
{
    (void)state;
    struct tiny t;
    struct texts x;
    float want[LONG + SHORT], got[LONG + SHORT];
    tiny_init(&t, true, DTYPE_BF16, 8);
    make_texts(&t, &x);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct device *one = kit_open(kinds[k], 1), *two = kit_open(kinds[k], 1);
        if (one == NULL) {
            continue;
        }
        score_on(one, &t, &x, want);
        struct weights *w = tiny_weights(&t, two);
        struct model *m = make_model(one, &t.config, 0);
        score_group(m, w, &x, 0, 2, got);
        kit_same_bits(kinds[k], LONG + SHORT, got, want);
        model_destroy(m);
        weights_destroy(w);
        kit_close(one);
        kit_close(two);
    }
    tiny_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_probs_of_a_pass_have_the_bits_of_the_cpu),
        cmocka_unit_test(gradients_agree_with_the_cpu_and_repeat),
        cmocka_unit_test(weights_filled_through_one_device_are_read_through_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
