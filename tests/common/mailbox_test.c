// mailbox_test.c: nothing is lost, nothing arrives twice, and a full box slows its senders.

#include "tests/common/check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <uv.h>

#include "common/mailbox.h"

#define N_SENDERS 4
#define N_EACH 2000

static int items[N_SENDERS][N_EACH];

static void items_arrive_in_order(void **state)
{
    (void)state;
    struct mailbox *m = NULL;
    assert_int_equal(mailbox_create(3, &m), ERR_OK);
    for (int round = 0; round < 5; round++) {
        assert_int_equal(mailbox_send(m, &items[0][0]), ERR_OK);
        assert_int_equal(mailbox_send(m, &items[0][1]), ERR_OK);
        assert_int_equal(mailbox_len(m), 2);
        assert_ptr_equal(mailbox_try_recv(m), &items[0][0]);
        assert_ptr_equal(mailbox_wait(m, 0), &items[0][1]);
        assert_null(mailbox_try_recv(m));
    }
    mailbox_close(m);
    mailbox_destroy(m);
    mailbox_destroy(NULL);
}

static void a_full_box_refuses_and_loses_nothing(void **state)
{
    (void)state;
    struct mailbox *m = NULL;
    assert_int_equal(mailbox_create(2, &m), ERR_OK);
    assert_int_equal(mailbox_capacity(m), 2);
    assert_int_equal(mailbox_send(m, &items[0][0]), ERR_OK);
    assert_int_equal(mailbox_send(m, &items[0][1]), ERR_OK);
    assert_int_equal(mailbox_send(m, &items[0][2]), ERR_FULL);
    assert_ptr_equal(mailbox_try_recv(m), &items[0][0]);
    assert_int_equal(mailbox_send(m, &items[0][2]), ERR_OK);
    assert_ptr_equal(mailbox_try_recv(m), &items[0][1]);
    assert_ptr_equal(mailbox_try_recv(m), &items[0][2]);
    mailbox_close(m);
    mailbox_destroy(m);
}

static void a_closed_box_gives_what_is_left_and_takes_nothing(void **state)
{
    (void)state;
    struct mailbox *m = NULL;
    assert_int_equal(mailbox_create(2, &m), ERR_OK);
    assert_int_equal(mailbox_send(m, &items[0][0]), ERR_OK);
    mailbox_close(m);
    mailbox_close(m);
    assert_int_equal(mailbox_send(m, &items[0][1]), ERR_CLOSED);
    assert_ptr_equal(mailbox_wait(m, 60000), &items[0][0]);
    assert_null(mailbox_wait(m, 60000));    // at once: waiting for the closed would be for ever
    mailbox_destroy(m);
}

static void a_box_without_room_cannot_be_made(void **state)
{
    (void)state;
    struct mailbox *m = NULL;
    assert_int_equal(mailbox_create(0, &m), ERR_INVALID);
    assert_null(m);
}

static void a_wait_ends_when_its_time_is_over(void **state)
{
    (void)state;
    struct mailbox *m = NULL;
    assert_int_equal(mailbox_create(1, &m), ERR_OK);
    assert_null(mailbox_wait(m, 1));
    mailbox_close(m);
    mailbox_destroy(m);
}

struct sender {
    pthread_t thread;
    struct mailbox *box;
    int *own;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    for (int i = 0; i < N_EACH; i++) {
        while (mailbox_send(s->box, &s->own[i]) == ERR_FULL) {
            sched_yield();
        }
    }
    return NULL;
}

static void start_senders(struct sender s[N_SENDERS], struct mailbox *m)
{
    memset(items, 0, sizeof items);
    for (int i = 0; i < N_SENDERS; i++) {
        s[i] = (struct sender){.box = m, .own = items[i]};
        assert_int_equal(pthread_create(&s[i].thread, NULL, send_all, &s[i]), 0);
    }
}

static void join_senders(struct sender s[N_SENDERS])
{
    for (int i = 0; i < N_SENDERS; i++) {
        pthread_join(s[i].thread, NULL);
    }
    for (int i = 0; i < N_SENDERS * N_EACH; i++) {
        assert_int_equal(items[i / N_EACH][i % N_EACH], 1);
    }
}

static void many_senders_reach_a_waiting_thread(void **state)
{
    (void)state;
    struct mailbox *m = NULL;
    struct sender senders[N_SENDERS];
    assert_int_equal(mailbox_create(8, &m), ERR_OK);
    start_senders(senders, m);
    for (int i = 0; i < N_SENDERS * N_EACH; i++) {
        int *item = mailbox_wait(m, 30000);
        assert_non_null(item);
        (*item)++;
    }
    join_senders(senders);
    mailbox_close(m);
    mailbox_destroy(m);
}

struct loop_end {
    struct mailbox *box;
    int got;
};

static void on_wake(void *arg)
{
    struct loop_end *end = arg;
    for (int *item; (item = mailbox_try_recv(end->box)) != NULL;) {
        (*item)++;
        end->got++;
    }
    if (end->got == N_SENDERS * N_EACH) {
        mailbox_close(end->box);
    }
}

static void many_senders_reach_a_loop_which_ends_when_the_box_is_closed(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct loop_end end = {0};
    struct sender senders[N_SENDERS];
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(mailbox_create_uv(8, &loop, on_wake, &end, &end.box), ERR_OK);
    start_senders(senders, end.box);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(end.got, N_SENDERS * N_EACH);
    join_senders(senders);
    mailbox_destroy(end.box);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_arrive_in_order),
        cmocka_unit_test(a_full_box_refuses_and_loses_nothing),
        cmocka_unit_test(a_closed_box_gives_what_is_left_and_takes_nothing),
        cmocka_unit_test(a_box_without_room_cannot_be_made),
        cmocka_unit_test(a_wait_ends_when_its_time_is_over),
        cmocka_unit_test(many_senders_reach_a_waiting_thread),
        cmocka_unit_test(many_senders_reach_a_loop_which_ends_when_the_box_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
