// parked_test.c: claims about long polls that wait. The bus is replaced at link time: a request here
// is a type, a life and a place to note the answer.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

#include "learner/parked.h"

struct bus_request {
    struct msg msg;
    bool dead, expired;
    int tries;
    enum err fault;
};

const struct msg *bus_request_msg(const struct bus_request *r)
{
    return &r->msg;
}

bool bus_request_alive(const struct bus_request *r)
{
    return !r->dead;
}

void bus_reply_fault(struct bus_request *r, enum err code, const char *text)
{
    assert_non_null(text);
    r->fault = code;
}

static struct bus_request *order[PARKED_MAX];
static size_t n_order;
static int room;    // how many requests may be taken

static bool try_request(void *arg, struct bus_request *r, bool expired)
{
    assert_ptr_equal(arg, order);
    r->tries++;
    r->expired = expired;
    order[n_order++] = r;
    return expired || room-- > 0;
}

static void retry(struct parked *p, enum msg_type type, uint64_t now_ms, int may_take)
{
    n_order = 0;
    room = may_take;
    parked_retry(p, type, now_ms, try_request, order);
}

static struct bus_request request(enum msg_type type)
{
    return (struct bus_request){.msg = {.type = type}};
}

static void the_longest_waiting_is_served_first_and_the_rest_keep_their_order(void **state)
{
    (void)state;
    static struct parked p;
    struct bus_request r[4];
    for (size_t i = 0; i < 4; i++) {
        r[i] = request(MSG_LEASE_GENERATE);
        assert_true(parked_add(&p, &r[i], 1000));
    }
    retry(&p, MSG_LEASE_GENERATE, 0, 2);
    assert_int_equal(p.n, 2);
    assert_int_equal(n_order, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_equal(order[i], &r[i]);
    }
    retry(&p, MSG_LEASE_GENERATE, 0, 0);
    assert_ptr_equal(order[0], &r[2]);
    assert_ptr_equal(order[1], &r[3]);
}

static void other_kinds_are_left_alone(void **state)
{
    (void)state;
    static struct parked p;
    struct bus_request a = request(MSG_LEASE_SCORE), b = request(MSG_WAIT_VERSION);
    assert_true(parked_add(&p, &a, 1000));
    assert_true(parked_add(&p, &b, 1000));
    retry(&p, MSG_WAIT_VERSION, 0, 9);
    assert_int_equal(a.tries, 0);
    assert_int_equal(b.tries, 1);
    assert_int_equal(p.n, 1);
    assert_ptr_equal(p.slot[0].request, &a);
}

// Everybody gets an answer in the end, if only "nothing yet".
static void time_is_up_at_the_deadline_and_not_before(void **state)
{
    (void)state;
    static struct parked p;
    struct bus_request early = request(MSG_LEASE_SCORE), late = request(MSG_LEASE_SCORE);
    assert_true(parked_add(&p, &early, 500));
    assert_true(parked_add(&p, &late, 501));
    retry(&p, MSG_LEASE_SCORE, 499, 0);
    assert_int_equal(p.n, 2);
    retry(&p, MSG_LEASE_SCORE, 500, 0);
    assert_true(early.expired && !late.expired);
    assert_int_equal(p.n, 1);
    assert_ptr_equal(p.slot[0].request, &late);
}

// Work that is given to a client who has hung up would be lost until its lease ends.
static void whoever_has_hung_up_is_offered_nothing(void **state)
{
    (void)state;
    static struct parked p;
    struct bus_request gone = request(MSG_LEASE_GENERATE), here = request(MSG_LEASE_GENERATE);
    gone.dead = true;
    assert_true(parked_add(&p, &gone, 1000));
    assert_true(parked_add(&p, &here, 1000));
    retry(&p, MSG_LEASE_GENERATE, 0, 1);
    assert_int_equal(gone.tries, 0);
    assert_int_equal(gone.fault, ERR_CLOSED);    // consumed, or it would leak
    assert_int_equal(here.tries, 1);
    assert_int_equal(p.n, 0);
}

static void a_full_list_refuses_and_takes_again_when_there_is_room(void **state)
{
    (void)state;
    static struct parked p;
    static struct bus_request r[PARKED_MAX];
    struct bus_request more = request(MSG_LEASE_SCORE);
    for (size_t i = 0; i < PARKED_MAX; i++) {
        r[i] = request(MSG_LEASE_SCORE);
        assert_true(parked_add(&p, &r[i], 1000));
    }
    assert_false(parked_add(&p, &more, 1000));
    retry(&p, MSG_LEASE_SCORE, 0, 1);
    assert_true(parked_add(&p, &more, 1000));
    assert_ptr_equal(p.slot[0].request, &r[1]);
    assert_ptr_equal(p.slot[PARKED_MAX - 1].request, &more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_waiting_is_served_first_and_the_rest_keep_their_order),
        cmocka_unit_test(other_kinds_are_left_alone),
        cmocka_unit_test(time_is_up_at_the_deadline_and_not_before),
        cmocka_unit_test(whoever_has_hung_up_is_offered_nothing),
        cmocka_unit_test(a_full_list_refuses_and_takes_again_when_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
