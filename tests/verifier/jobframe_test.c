// jobframe_test.c: the pipe format between pool and worker: what is written is read, and nothing
// else is.
#include "tests/verifier/support.h"

#include <math.h>
#include <stdlib.h>

#include "verifier/jobframe.h"

static void a_job_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    struct score_request in = {.dataset = support_text("\"d\""),
                               .ground_truth = {"a\0b", 3},
                               .reward = {"{}", 2},
                               .response = support_text("r"),
                               .finish = 2,
                               .only_read = true},
                         out;
    assert_int_equal(jobframe_put_job(&b, 77, &in), ERR_OK);
    assert_int_equal(jobframe_length(b.data), b.len - JOBFRAME_HEAD_BYTES);
    uint64_t id = 0;
    assert_int_equal(jobframe_get_job(b.data + 4, b.len - 4, &id, &out), ERR_OK);
    assert_int_equal(id, 77);
    assert_int_equal(out.finish, 2);
    assert_true(out.only_read);
    assert_int_equal(out.ground_truth.len, 3);
    assert_memory_equal(out.ground_truth.data, "a\0b", 3);
    assert_int_equal(out.reward.len, 2);
    assert_int_equal(out.checks.len, 0);
    assert_memory_equal(out.response.data, "r", 1);
    for (size_t cut = 0; cut < b.len - 4; cut++) {
        assert_int_equal(jobframe_get_job(b.data + 4, cut, &id, &out), ERR_CORRUPT);
    }
    buf_fini(&b);
}

static void put_scored(struct buf *b, double reward, double value)
{
    struct score_component c = {.id = "some:check", .version = "3", .value = value, .weight = -2.5};
    struct score_result r = {
        .outcome = SCORE_SCORED, .reward = reward, .components = &c, .n_components = 1};
    assert_int_equal(jobframe_put_result(b, 9, &r), ERR_OK);
}

static void a_result_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    put_scored(&b, 1, 0.25);
    struct jobframe_reply r;
    assert_int_equal(jobframe_get_reply(b.data + 4, b.len - 4, &r), ERR_OK);
    assert_int_equal(r.kind, JOBFRAME_RESULT);
    assert_int_equal(r.job, 9);
    assert_int_equal(r.result.n_components, 1);
    assert_string_equal(r.result.components[0].id, "some:check");
    assert_true(r.result.components[0].value == 0.25);
    assert_true(r.result.components[0].weight == -2.5);
    score_result_fini(&r.result);
    for (size_t cut = 0; cut < b.len - 4; cut++) {
        assert_int_equal(jobframe_get_reply(b.data + 4, cut, &r), ERR_CORRUPT);
    }
    buf_fini(&b);
}

// A compromised worker may write anything of the right shape; it must at least not hand out
// impossible rewards.
static void impossible_results_are_corrupt(void **state)
{
    (void)state;
    static const double rewards[] = {0, -2e9, 2e9, NAN, INFINITY};
    struct jobframe_reply r;
    for (size_t i = 0; i < ARRAY_LEN(rewards); i++) {
        struct buf b;
        buf_init(&b, 0);
        put_scored(&b, rewards[i], 1);
        assert_int_equal(jobframe_get_reply(b.data + 4, b.len - 4, &r), ERR_CORRUPT);
        buf_fini(&b);
    }
    struct buf b;
    buf_init(&b, 0);
    put_scored(&b, 1, 1.5);
    assert_int_equal(jobframe_get_reply(b.data + 4, b.len - 4, &r), ERR_CORRUPT);
    buf_clear(&b);
    struct score_result silent = {.outcome = SCORE_UNSCORED};
    assert_int_equal(jobframe_put_result(&b, 1, &silent), ERR_OK);
    assert_int_equal(jobframe_get_reply(b.data + 4, b.len - 4, &r), ERR_CORRUPT);
    buf_fini(&b);
}

static void oversized_texts_are_refused(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    struct score_request in = {.response = {"", SCORE_TEXT_MAX + 1u}};
    assert_int_equal(jobframe_put_job(&b, 1, &in), ERR_LIMIT);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_comes_out_as_it_went_in),
        cmocka_unit_test(a_result_comes_out_as_it_went_in),
        cmocka_unit_test(impossible_results_are_corrupt),
        cmocka_unit_test(oversized_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
