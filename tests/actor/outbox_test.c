// outbox_test.c: claims about what an actor holds.
//
// A finished sample is the actor's only valuable: it must be offered until the learner has
// acknowledged it, once at a time, and never when the learner has said that nobody wants it.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "actor/outbox.h"

static struct outgoing *finished(uint64_t id)
{
    uint32_t token = 3;
    float logprob = -0.5f;
    struct msg_segment seg = {.version = 1, .end = 4};
    struct outgoing *o = outgoing_copy(&(struct engine_sample){.sample_id = id,
                                                               .attempt = 1,
                                                               .tokens = &token,
                                                               .logprobs = &logprob,
                                                               .n_tokens = 1,
                                                               .segments = &seg,
                                                               .n_segments = 1});
    assert_non_null(o);
    return o;
}

// Heartbeats name what is held: a sample must stay named from its lease until the learner has it.
static void held_until_acknowledged(void **state)
{
    (void)state;
    struct outbox b = {0};
    uint64_t ids[] = {7, 8};
    assert_int_equal(outbox_hold(&b, ids, 2), ERR_OK);
    assert_true(outbox_put(&b, finished(7)));
    assert_true(outbox_holds(&b, 7));
    struct outgoing *o = outbox_next(&b);
    assert_int_equal(o->msg.sample_id, 7);
    outbox_done(&b, o);
    assert_false(outbox_holds(&b, 7));
    assert_true(outbox_holds(&b, 8));
    assert_null(outbox_next(&b));
    outbox_fini(&b);
}

// A lease that was taken away must not be submitted as ours.
static void abandoned_samples_do_not_leave(void **state)
{
    (void)state;
    struct outbox b = {0};
    uint64_t id = 7;
    assert_int_equal(outbox_hold(&b, &id, 1), ERR_OK);
    outbox_drop(&b, 7);
    assert_false(outbox_put(&b, finished(7)));
    assert_null(outbox_next(&b));
    assert_int_equal(b.n_outgoing, 0);
    outbox_fini(&b);
}

// One call per sample at a time, in the order in which they finished.
static void in_flight_samples_are_not_offered_again(void **state)
{
    (void)state;
    struct outbox b = {0};
    uint64_t ids[] = {1, 2};
    assert_int_equal(outbox_hold(&b, ids, 2), ERR_OK);
    outbox_put(&b, finished(2));
    outbox_put(&b, finished(1));
    struct outgoing *first = outbox_next(&b);
    assert_int_equal(first->msg.sample_id, 2);
    first->in_flight = true;
    assert_int_equal(outbox_next(&b)->msg.sample_id, 1);
    first->in_flight = false;
    assert_ptr_equal(outbox_next(&b), first);
    outbox_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_until_acknowledged),
        cmocka_unit_test(abandoned_samples_do_not_leave),
        cmocka_unit_test(in_flight_samples_are_not_offered_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
