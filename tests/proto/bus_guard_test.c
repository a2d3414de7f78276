// bus_guard_test.c: connections that break in NNG's handshake, on either side, must not end the
// service.
//
// NNG 1.5.2 never frees the connections that wait at a listener which has stopped accepting (two
// descriptors and some kilobytes per renewal, inside the library). The suppression below hides
// exactly this program's reports of leaks in libnng; all other tests of the bus run without it.
#include "bus_fixture.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/sockfile.h"

const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so";
}

// Connects and leaves at once, before the listener has said anything.
static void touch(const char *path)
{
    struct sockaddr_un a;
    assert_int_equal(sockfile_address(path, &a, NULL), ERR_OK);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    (void)connect(fd, (struct sockaddr *)&a, sizeof a);    // refused when the backlog is full
    close(fd);
}

// A client killed at the wrong moment ends NNG's accept loop; the learner must notice and listen
// again.
static void peers_that_leave_in_the_handshake_do_not_deafen_the_learner(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    f->mode = PARK;
    struct msg w = wait_request(1), m = do_request(1);
    call(f, &w, 60000);
    RUN_UNTIL(f, f->n_parked == 1);
    RUN_UNTIL(f, (touch(f->address + 6), bus_server_renewals(f->server) > 0));
    f->mode = ANSWER;
    answer(f, f->parked[0]);
    RUN_UNTIL(f, f->n_replies == 1);    // the other endpoint was not touched
    stop_client(f);
    start_client(f);
    call(f, &m, 15000);
    RUN_UNTIL(f, f->n_replies == 2);
    assert_int_equal(f->err, ERR_OK);
}

// The mirror image: whatever answers for a learner that is just dying may end NNG's dialing for
// ever. The client must find the next learner all the same; 2 s are enough for it to give its
// dialer up at least once.
static void a_learner_that_drops_every_handshake_does_not_end_the_dialing(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    struct sockaddr_un a;
    assert_int_equal(sockfile_address(f->address + 6, &a, NULL), ERR_OK);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), n = 0;
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(bus_client_create(&f->loop, f->address, &f->client, &why), ERR_OK);
    struct msg m = do_request(1);
    call(f, &m, 20000);
    for (uint64_t end_ms = clock_mono_ms() + 2000; clock_mono_ms() < end_ms;) {
        int peer = accept(fd, NULL, NULL);
        if (peer >= 0) {
            close(peer);
            n++;
        }
        uv_run(&f->loop, UV_RUN_NOWAIT);
        poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10);
    }
    assert_true(n > 0);
    assert_int_equal(f->n_replies, 0);
    close(fd);
    start_server(f, f->address);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bus_fixture_setup, bus_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(peers_that_leave_in_the_handshake_do_not_deafen_the_learner),
        TEST(a_learner_that_drops_every_handshake_does_not_end_the_dialing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
