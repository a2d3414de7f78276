// forward_test.c: log-probs and logits of the forward pass agree with the formulas, written out in
// double by the naive model of tiny.h.
//
// That the same token gets the same bits in every kind of pass is the subject of pass_bits_test.c.
#include "tests/model/problem.h"

static void check_forward(const struct tiny_variant *v, bool tied, enum dtype dt)
{
    struct tiny t;
    struct problem p;
    struct batch b;
    struct why why = {""};
    print_message("%s\n", v->label);
    tiny_init_as(&t, v, tied, dt, 1);
    small_problem(&p, &t);
    pack_problem(&p, &b);
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d);
    struct model *m = make_model(d, &t.config, 0);
    float logp[MAX_OUTS], entropy[MAX_OUTS];
    double want[MAX_OUTS], want_entropy[MAX_OUTS];
    assert_int_equal(model_score(m, w, &b, (float)p.temperature, logp, entropy, NULL, &why),
                     ERR_OK);
    assert_int_equal(naive_scores(&p, &t, t.rounded, want, want_entropy), b.n_out);
    for (size_t i = 0; i < b.n_out; i++) {
        assert_close((double)logp[i], want[i], 2e-5, "logp", i);
        assert_close((double)entropy[i], want_entropy[i], 2e-5, "entropy", i);
    }
    batch_fini(&b);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

static void forward_agrees_with_the_formulas(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        check_forward(&tiny_variants[i], true, DTYPE_BF16);
        check_forward(&tiny_variants[i], false, DTYPE_BF16);
        check_forward(&tiny_variants[i], true, DTYPE_F32);
    }
}

static void check_logits(const struct tiny_variant *v, int32_t window)
{
    enum { N = 150 };
    struct tiny t;
    struct why why = {""};
    uint32_t tokens[N];
    tiny_init_as(&t, v, false, DTYPE_BF16, 2);
    t.config.window = window;
    tiny_tokens(&t, 9, tokens, N);
    size_t V = (size_t)t.config.vocab;
    double *want = calloc(N * V, sizeof *want);
    float *got = calloc(V, sizeof *got);
    assert_true(want && got);
    naive_logits(&t.config, &t.params, t.rounded, tokens, N, want);
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d);
    struct model *m = make_model(d, &t.config, 0);
    struct batch b;
    batch_init(&b);
    const struct batch_completion c = {tokens + 1, N - 1};
    assert_int_equal(batch_add_group(&b, tokens, 1, &c, 1), ERR_OK);
    for (size_t i = 0; i < b.n_out; i += 37) {
        assert_int_equal(model_logits(m, w, &b, i, got, &why), ERR_OK);
        for (size_t k = 0; k < V; k++) {
            assert_close((double)got[k], want[i * V + k], 2e-5, "logit", k);
        }
    }
    assert_int_equal(model_logits(m, w, &b, b.n_out, got, &why), ERR_INVALID);
    free(want);
    free(got);
    batch_fini(&b);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

static void logits_agree_with_the_formulas_beyond_one_key_block(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        const struct tiny_variant *v = &tiny_variants[i];
        check_logits(v, v->window);
        check_logits(v, v->window > 0 ? 64 : 0);
        check_logits(v, v->window > 0 ? 90 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_agrees_with_the_formulas),
        cmocka_unit_test(logits_agree_with_the_formulas_beyond_one_key_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
