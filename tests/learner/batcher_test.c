// batcher_test.c: claims about cutting a step into micro-batches, and about what is refused.
//
// A micro-batch must hold each completion beside its prompt and stay within its rows; the cut
// decides the order of additions, so it is part of what makes a step repeatable.

#include "learner/batcher.h"

#include "reference.h"

enum { MAX_SAMPLES = 16, MAX_TOKENS = 64, MAX_GROUPS = 8 };

static const uint32_t TOKENS[MAX_TOKENS] = {1, 2, 3};
static const float LOGPROBS[MAX_TOKENS] = {-1, -2};
static const struct batcher_limits LIMITS = {
    .max_rows = 64, .max_context = 48, .vocab = 100, .reference = true};

struct step {
    struct train_step s;
    struct train_group groups[MAX_GROUPS];
    struct train_sample samples[MAX_GROUPS][MAX_SAMPLES];
};

static void step_init(struct step *t, int64_t micro_batch_tokens)
{
    *t = (struct step){.s = {.step = 7, .version = 7, .new_version = 8}};
    t->s.hyper = (struct train_hyper){.temperature = 1, .micro_batch_tokens = micro_batch_tokens};
    t->s.groups = t->groups;
}

// Adds a group of n samples with the given completion lengths and advantage 1.
static void step_add(struct step *t, size_t n_prompt, size_t n, const size_t *lengths)
{
    size_t g = t->s.n_groups++;
    t->groups[g] = (struct train_group){TOKENS, n_prompt, t->samples[g], n};
    for (size_t i = 0; i < n; i++) {
        t->samples[g][i] = (struct train_sample){.sample_id = 100 * g + i,
                                                 .tokens = TOKENS,
                                                 .logprobs = LOGPROBS,
                                                 .n_tokens = lengths[i],
                                                 .advantage = 1};
    }
}

static void plan(const struct step *t, struct batcher_plan *p)
{
    struct why why = {""};
    if (batcher_plan_create(&t->s, &LIMITS, p, &why)) {
        fail_msg("%s", why.text);
    }
}

static void refused(const struct step *t, enum err expected, const char *word)
{
    struct batcher_plan p;
    struct why why = {""};
    assert_int_equal(batcher_plan_create(&t->s, &LIMITS, &p, &why), expected);
    if (!strstr(why.text, word)) {
        fail_msg("\"%s\" does not say \"%s\"", why.text, word);
    }
}

static void small_groups_share_a_micro_batch(void **state)
{
    (void)state;
    struct step t;
    struct batcher_plan p;
    step_init(&t, 40);
    step_add(&t, 4, 3, (const size_t[]){3, 5, 2});
    step_add(&t, 2, 2, (const size_t[]){9, 9});
    plan(&t, &p);
    assert_int_equal(p.n_micro, 1);
    assert_int_equal(p.micro[1] - p.micro[0], 2);
    assert_int_equal(p.tokens, 28);
    batcher_plan_destroy(&p);
}

// Tearing a group costs its prompt again; a fresh micro-batch costs nothing.
static void a_group_that_fits_is_not_torn(void **state)
{
    (void)state;
    struct step t;
    struct batcher_plan p;
    step_init(&t, 20);
    step_add(&t, 4, 3, (const size_t[]){3, 5, 2});
    step_add(&t, 4, 2, (const size_t[]){5, 5});
    plan(&t, &p);
    assert_int_equal(p.n_micro, 2);
    assert_int_equal(p.pieces[0].n, 3);
    assert_int_equal(p.pieces[1].n, 2);
    batcher_plan_destroy(&p);
}

static void a_larger_group_is_split_with_its_prompt_again(void **state)
{
    (void)state;
    struct step t;
    struct batcher_plan p;
    struct micro_batch m;
    step_init(&t, 12);
    step_add(&t, 4, 5, (const size_t[]){4, 4, 4, 4, 4});
    plan(&t, &p);
    assert_int_equal(p.n_micro, 3);
    micro_batch_init(&m);
    const size_t samples[] = {2, 2, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(micro_batch_fill(&m, &p, i, NULL), ERR_OK);
        assert_int_equal(p.pieces[i].n, samples[i]);
        assert_int_equal(m.n, 4 * samples[i]);
        assert_int_equal(m.rows.n_rows, 4 + 3 * samples[i]);
        assert_true(m.rows.n_rows <= 12);
    }
    micro_batch_fini(&m);
    batcher_plan_destroy(&p);
}

static void a_long_sequence_gets_a_micro_batch_of_its_own(void **state)
{
    (void)state;
    struct step t;
    struct batcher_plan p;
    step_init(&t, 10);
    step_add(&t, 4, 3, (const size_t[]){2, 20, 2});
    plan(&t, &p);
    assert_int_equal(p.n_micro, 3);
    batcher_plan_destroy(&p);
}

// Zero advantage means zero gradient: no row is spent, but the mean of the loss is over those
// tokens too.
static void samples_without_gradient_are_left_out_but_counted(void **state)
{
    (void)state;
    struct step t;
    struct batcher_plan p;
    step_init(&t, 40);
    step_add(&t, 4, 4, (const size_t[]){3, 5, 7, 0});
    t.samples[0][1].advantage = 0;
    t.samples[0][2].masked = true;
    plan(&t, &p);
    assert_int_equal(p.pieces[0].n, 1);
    assert_int_equal(p.kept[0], 0);
    assert_int_equal(p.tokens, 8);
    batcher_plan_destroy(&p);

    t.s.hyper.kl_beta = 0.1;    // now the KL term pulls at it
    plan(&t, &p);
    assert_int_equal(p.pieces[0].n, 2);
    batcher_plan_destroy(&p);
}

// Every aggregation divides by figures of the whole step: samples without an advantage count, masked
// ones do not.
static void divisors_are_those_of_the_step(void **state)
{
    (void)state;
    const double want[] = {3 + 5, 2 * 3, 2 * 50};
    for (int a = CONF_AGG_TOKEN_MEAN; a <= CONF_AGG_DR_GRPO; a++) {
        struct step t;
        struct batcher_plan p;
        struct micro_batch m;
        micro_batch_init(&m);
        step_init(&t, 40);
        step_add(&t, 4, 3, (const size_t[]){3, 5, 7});
        t.samples[0][1].advantage = 0;
        t.samples[0][2].masked = true;
        t.s.hyper.aggregate = (enum conf_aggregate)a;
        t.s.hyper.max_tokens = 50;
        plan(&t, &p);
        assert_int_equal(p.samples, 2);
        assert_true(batcher_divisor(&p, &t.samples[0][0]) == want[a]);
        assert_int_equal(micro_batch_fill(&m, &p, 0, NULL), ERR_OK);
        assert_int_equal(m.n, 3);
        for (size_t i = 0; i < m.n; i++) {
            assert_true(m.divisor[i] == want[a]);
            assert_int_equal(m.row_tokens[i], 3);
        }
        micro_batch_fini(&m);
        batcher_plan_destroy(&p);
    }
}

static void a_step_without_signal_has_no_micro_batch(void **state)
{
    (void)state;
    struct step t;
    struct batcher_plan p;
    step_init(&t, 40);
    step_add(&t, 4, 2, (const size_t[]){3, 5});
    t.samples[0][0].advantage = t.samples[0][1].advantage = 0;
    plan(&t, &p);
    assert_int_equal(p.n_micro, 0);
    assert_int_equal(p.tokens, 8);
    batcher_plan_destroy(&p);
}

static void columns_follow_the_outs(void **state)
{
    (void)state;
    struct step t;
    struct batcher_plan p;
    struct micro_batch m;
    step_init(&t, 40);
    step_add(&t, 2, 2, (const size_t[]){2, 1});
    t.samples[0][1].advantage = -3;
    t.samples[0][1].fresh = true;
    plan(&t, &p);
    micro_batch_init(&m);
    assert_int_equal(micro_batch_fill(&m, &p, 0, NULL), ERR_OK);
    assert_int_equal(m.n, 3);
    assert_true(m.advantage[0] == 1 && m.advantage[1] == 1 && m.advantage[2] == -3);
    assert_true(m.behaviour[0] == -1 && m.behaviour[1] == -2 && m.behaviour[2] == -1);
    assert_true(!m.fresh[0] && !m.fresh[1] && m.fresh[2]);
    micro_batch_fini(&m);
    batcher_plan_destroy(&p);
}

static void bad_values_are_named(void **state)
{
    (void)state;
    static const uint32_t alien[] = {1, 100};
    static const float broken[] = {-1, NAN};
    struct step t;
    step_init(&t, 40);
    step_add(&t, 4, 2, (const size_t[]){2, 2});
    struct step bad = t;
    bad.s.groups = bad.groups;
    bad.groups[0].samples = bad.samples[0];

    bad.samples[0][1].tokens = alien;
    refused(&bad, ERR_INVALID, "sample 1: token 1 is 100");
    bad.samples[0][1].tokens = TOKENS;
    bad.samples[0][1].logprobs = broken;
    refused(&bad, ERR_INVALID, "log-prob of token 1");
    bad.samples[0][1].logprobs = LOGPROBS;
    bad.samples[0][0].advantage = INFINITY;
    refused(&bad, ERR_INVALID, "sample 0: advantage is inf");
    bad.samples[0][0].advantage = 1;
    bad.groups[0].prompt = alien;
    bad.groups[0].n_prompt = 2;
    refused(&bad, ERR_INVALID, "prompt of group 0: token 1");
    bad.groups[0].n_prompt = 0;
    refused(&bad, ERR_INVALID, "empty prompt");
    bad.groups[0].prompt = TOKENS;
    bad.groups[0].n_prompt = 47;
    refused(&bad, ERR_LIMIT, "at most 48");
    bad.groups[0].n_prompt = 4;
    bad.s.hyper.micro_batch_tokens = 65;
    refused(&bad, ERR_LIMIT, "optim.micro_batch_tokens");
    bad.s.hyper.micro_batch_tokens = 40;
    bad.s.hyper.temperature = 0;
    refused(&bad, ERR_INVALID, "temperature");
}

static void a_kl_term_needs_the_initial_policy(void **state)
{
    (void)state;
    struct step t;
    struct batcher_plan p;
    struct batcher_limits l = LIMITS;
    l.reference = false;
    step_init(&t, 40);
    t.s.hyper.kl_beta = 0.1;
    assert_int_equal(batcher_plan_create(&t.s, &l, &p, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_groups_share_a_micro_batch),
        cmocka_unit_test(a_group_that_fits_is_not_torn),
        cmocka_unit_test(a_larger_group_is_split_with_its_prompt_again),
        cmocka_unit_test(a_long_sequence_gets_a_micro_batch_of_its_own),
        cmocka_unit_test(samples_without_gradient_are_left_out_but_counted),
        cmocka_unit_test(divisors_are_those_of_the_step),
        cmocka_unit_test(a_step_without_signal_has_no_micro_batch),
        cmocka_unit_test(columns_follow_the_outs),
        cmocka_unit_test(bad_values_are_named),
        cmocka_unit_test(a_kl_term_needs_the_initial_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
