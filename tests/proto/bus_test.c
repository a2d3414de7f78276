// bus_test.c: the bus between one server and its clients on one loop, over ipc and loopback tcp.
//
// Nothing sleeps: each test turns the loop until something has happened or DEADLINE_MS have passed.
// A raw NNG socket plays the peers that do not speak our protocol.
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus_fixture.h"
#include "common/clock.h"
#include "common/fs.h"
#include "messages.h"
#include "proto/bus.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/sockfile.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

// ---- requests and replies ----
static void a_request_gets_its_reply(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    struct msg m = do_request(41);
    call(f, &m, 5000);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_OK);
    assert_int_equal(f->version, 42);
    m = wait_request(7);
    call(f, &m, 5000);
    RUN_UNTIL(f, f->n_replies == 2);
    assert_int_equal(f->version, 8);
    assert_int_not_equal(f->ids[0], f->ids[1]);
    assert_int_equal(bus_server_malformed(f->server), 0);
}

static void tcp_port_zero_is_resolved_and_the_next_port_waits(void **state)
{
    struct fixture *f = *state;
    int do_port = 0, wait_port = 0;
    start_server(f, "tcp://127.0.0.1:0");
    assert_int_equal(sscanf(bus_server_address(f->server), "tcp://127.0.0.1:%d", &do_port), 1);
    assert_int_equal(sscanf(bus_server_wait_address(f->server), "tcp://127.0.0.1:%d", &wait_port),
                     1);
    assert_true(do_port > 0);
    assert_int_equal(wait_port, do_port + 1);
    start_client(f);
    struct msg m = do_request(1), w = wait_request(1);
    call(f, &m, 5000);
    call(f, &w, 5000);
    RUN_UNTIL(f, f->n_replies == 2);
    assert_int_equal(f->err, ERR_OK);
}

// Long polls stand beside the work: they must not hold it up.
static void parked_requests_do_not_delay_others(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    struct msg w = wait_request(1);
    f->mode = PARK;
    call(f, &w, 60000);
    call(f, &w, 60000);
    RUN_UNTIL(f, f->n_parked == 2);
    f->mode = ANSWER;
    for (uint32_t i = 0; i < 100; i++) {
        struct msg m = do_request(i);
        call(f, &m, 5000);
        RUN_UNTIL(f, f->n_replies == i + 1);
        assert_int_equal(f->version, i + 1);
    }
    answer(f, f->parked[1]);
    answer(f, f->parked[0]);
    RUN_UNTIL(f, f->n_replies == 102);
    assert_int_equal(f->n_requests, 102);
}

// There are 256 places for parked requests: the ones above wait in the transport and are served as
// places become free.
static void more_requests_than_places_are_all_answered(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    f->mode = PARK;
    for (uint32_t i = 0; i < 300; i++) {
        struct msg w = wait_request(i);
        call(f, &w, 60000);
    }
    RUN_UNTIL(f, f->n_parked == 256);
    f->mode = ANSWER;
    for (size_t i = 0; i < 256; i++) {
        answer(f, f->parked[i]);
    }
    RUN_UNTIL(f, f->n_replies == 300);
    assert_int_equal(f->err, ERR_OK);
    assert_int_equal(f->n_requests, 300);
}

static void a_large_message_passes_both_ways(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    static uint64_t held[LIMIT_HELD];
    struct msg m = do_request(9);
    m.heartbeat.held = held;
    m.heartbeat.n_held = LIMIT_HELD;
    call(f, &m, 10000);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->version, 10);
}

static void a_refusal_arrives_as_code_and_text(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    f->mode = REFUSE;
    struct msg m = do_request(1);
    call(f, &m, 5000);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_DENIED);
    assert_string_equal(f->text, "the token does not match");
}

// A learner's mistake must reach the caller as an error, not as silence.
static void a_reply_that_cannot_be_encoded_arrives_as_fault(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    f->mode = BAD_REPLY;
    struct msg m = do_request(1);
    call(f, &m, 5000);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_INVALID);
    assert_non_null(strstr(f->text, "WEIGHTS_CHUNK: bytes: 0 at offset 1"));
}

// ---- time and loss ----
static void a_call_without_a_learner_times_out(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    assert_int_equal(bus_client_create(&f->loop, f->address, &f->client, &why), ERR_OK);
    struct msg m = do_request(1);
    uint64_t start = clock_mono_ms();
    call(f, &m, 300);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_TIMEOUT);
    assert_non_null(strstr(f->text, "HEARTBEAT: no connection within 300 ms (ipc://"));
    assert_in_range(clock_mono_ms() - start, 298, 5000);
}

static void a_call_to_a_silent_learner_times_out(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    f->mode = PARK;
    struct msg m = do_request(1);
    call(f, &m, 300);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_TIMEOUT);
    assert_non_null(strstr(f->text, "no reply within 300 ms"));
    assert_int_equal(f->n_requests, 1);
}

// A reply can be lost although both sides live; the repeat carries the same id, so the learner
// knows it.
static void silence_repeats_the_request_with_its_id(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    f->mode = PARK;
    struct msg m = do_request(5);
    call(f, &m, 15000);
    RUN_UNTIL(f, f->n_requests == 1);
    f->mode = ANSWER;
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_OK);
    assert_int_equal(f->version, 6);
    assert_int_equal(f->n_requests, 2);
    assert_int_equal(f->ids[0], f->ids[1]);
}

static void calls_survive_a_restart(struct fixture *f, const char *address)
{
    char bound[128];
    start_server(f, address);
    snprintf(bound, sizeof bound, "%s", bus_server_address(f->server));
    start_client(f);
    f->mode = PARK;
    struct msg m = do_request(5), w = wait_request(50);
    call(f, &m, 15000);
    call(f, &w, 60000);
    RUN_UNTIL(f, f->n_requests == 2);
    stop_server(f);
    f->mode = ANSWER;
    start_server(f, bound);
    RUN_UNTIL(f, f->n_replies == 2);
    assert_int_equal(f->err, ERR_OK);
    assert_int_equal(f->n_requests, 4);
    assert_int_equal(f->ids[0] + f->ids[1], f->ids[2] + f->ids[3]);
}

// The learner is killed and started again: the actors' calls go on as if it had been slow.
static void pending_calls_survive_a_learner_restart_over_ipc(void **state)
{
    struct fixture *f = *state;
    calls_survive_a_restart(f, f->address);
}

static void pending_calls_survive_a_learner_restart_over_tcp(void **state)
{
    calls_survive_a_restart(*state, "tcp://127.0.0.1:0");
}

static void a_client_may_start_before_its_learner(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    assert_int_equal(bus_client_create(&f->loop, f->address, &f->client, &why), ERR_OK);
    struct msg m = do_request(1);
    call(f, &m, 15000);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    start_server(f, f->address);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_OK);
}

static void a_parked_call_follows_the_wait_endpoint(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    start_server(f, f->address);
    assert_int_equal(bus_client_create(&f->loop, f->address, &f->client, &why), ERR_OK);
    struct msg w = wait_request(3);
    assert_int_equal(bus_client_call(f->client, &w, 100, on_reply, f, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "no wait endpoint yet"));
    assert_int_equal(bus_client_set_wait(f->client, "ipc:///nowhere/at.all", &why), ERR_OK);
    call(f, &w, 15000);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    const char *right = bus_server_wait_address(f->server);
    assert_int_equal(bus_client_set_wait(f->client, right, &why), ERR_OK);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->version, 4);
}

// ---- closing ----
static void closing_a_client_ends_its_calls_first(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    f->mode = PARK;
    struct msg m = do_request(1), w = wait_request(1);
    call(f, &m, 60000);
    call(f, &w, 60000);
    RUN_UNTIL(f, f->n_requests == 2);
    bus_client_close(f->client, set_true, &f->client_closed);
    assert_int_equal(f->n_replies, 2);
    assert_int_equal(f->err, ERR_CLOSED);
    assert_int_equal(bus_client_call(f->client, &m, 100, on_reply, f, NULL), ERR_CLOSED);
    RUN_UNTIL(f, f->client_closed);
    bus_client_destroy(f->client);
    f->client = NULL;
}

// The last reply of a run is where daemons decide to stop.
static void both_sides_may_close_from_their_callbacks(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    struct msg m = do_request(1);
    f->mode = PARK;
    call(f, &m, 60000);
    RUN_UNTIL(f, f->n_parked == 1);
    call(f, &m, 60000);
    RUN_UNTIL(f, f->n_parked == 2);
    f->close_on_reply = true;
    answer(f, f->parked[0]);
    RUN_UNTIL(f, f->client_closed);
    assert_int_equal(f->n_replies, 2);    // one answered, one closed
    bus_client_destroy(f->client);
    start_client(f);
    f->mode = CLOSE;
    call(f, &m, 60000);
    RUN_UNTIL(f, f->server_closed);
    bus_server_destroy(f->server);
    f->server = NULL;
    assert_int_equal(f->n_replies, 2);
    stop_client(f);
    assert_int_equal(f->err, ERR_CLOSED);
}

// Work leased to a process that has died would lie idle until its heartbeats are missed.
static void a_parked_request_knows_when_its_client_is_gone(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    start_client(f);
    f->mode = PARK;
    struct msg w = wait_request(1);
    call(f, &w, 60000);
    RUN_UNTIL(f, f->n_parked == 1);
    assert_true(bus_request_alive(f->parked[0]));
    stop_client(f);
    RUN_UNTIL(f, !bus_request_alive(f->parked[0]));
    start_client(f);
    call(f, &w, 60000);
    RUN_UNTIL(f, f->n_parked == 2);
    assert_true(bus_request_alive(f->parked[1]));
    assert_false(bus_request_alive(f->parked[0]));
    answer(f, f->parked[0]);    // reaches nobody and does no harm
    answer(f, f->parked[1]);
    RUN_UNTIL(f, f->n_replies == 2);
    assert_int_equal(f->err, ERR_OK);
}

static void pending_calls_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    assert_int_equal(bus_client_create(&f->loop, f->address, &f->client, &why), ERR_OK);
    struct msg m = do_request(1);
    size_t n = 0;
    while (bus_client_call(f->client, &m, 60000, on_reply, f, &why) == ERR_OK) {
        assert_true(++n < 100000);
    }
    assert_int_equal(n, 1024);
    assert_non_null(strstr(why.text, "1024 calls are pending"));
    stop_client(f);
    assert_int_equal(f->n_replies, n);
}

static void what_is_no_request_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    assert_int_equal(bus_client_create(&f->loop, f->address, &f->client, &why), ERR_OK);
    struct msg m = {.type = MSG_ACK};
    assert_int_equal(bus_client_call(f->client, &m, 100, on_reply, f, &why), ERR_INVALID);
    assert_string_equal(why.text, "ACK: is no request");
    m = do_request(1);
    m.heartbeat.n_stats = LIMIT_STATS + 1;
    assert_int_equal(bus_client_call(f->client, &m, 100, on_reply, f, &why), ERR_LIMIT);
    assert_string_equal(why.text, "HEARTBEAT: stats: 65 elements, at most 64");
    assert_int_equal(f->n_replies, 0);
}

// ---- peers that do not speak our protocol ----
struct raw {
    nng_socket sock;
    nng_aio *aio;
    atomic_bool done;
};

static void raw_done(void *arg)
{
    atomic_store((atomic_bool *)arg, true);
}

static void raw_open(struct raw *r, const char *address)
{
    atomic_init(&r->done, false);
    assert_int_equal(nng_req0_open(&r->sock), 0);
    assert_int_equal(nng_socket_set_ms(r->sock, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), 0);
    // Once is enough: dialing again while the test closes the socket would be the case of
    // bus_guard_test.c.
    assert_int_equal(nng_socket_set_ms(r->sock, NNG_OPT_RECONNMINT, 60000), 0);
    assert_int_equal(nng_dial(r->sock, address, NULL, 0), 0);
    assert_int_equal(nng_aio_alloc(&r->aio, raw_done, &r->done), 0);
    nng_aio_set_timeout(r->aio, DEADLINE_MS);
}

static int raw_exchange(struct fixture *f, struct raw *r, const void *bytes, size_t len)
{
    nng_msg *m;
    assert_int_equal(nng_msg_alloc(&m, 0), 0);
    assert_int_equal(nng_msg_append(m, bytes, len), 0);
    assert_int_equal(nng_sendmsg(r->sock, m, 0), 0);
    atomic_store(&r->done, false);
    nng_recv_aio(r->sock, r->aio);
    RUN_UNTIL(f, atomic_load(&r->done));
    return nng_aio_result(r->aio);
}

static void raw_close(struct raw *r)
{
    nng_aio_free(r->aio);
    nng_close(r->sock);
}

static void expect_fault(struct fixture *f, struct raw *r, const void *bytes, size_t len,
                         enum err code, const char *says)
{
    struct msg reply;
    struct why why = {""};
    uint64_t before = bus_server_malformed(f->server);
    assert_int_equal(raw_exchange(f, r, bytes, len), 0);
    nng_msg *m = nng_aio_get_msg(r->aio);
    assert_int_equal(pack_decode(nng_msg_body(m), nng_msg_len(m), &reply, &why), ERR_OK);
    nng_msg_free(m);
    assert_int_equal(reply.type, MSG_FAULT);
    assert_int_equal(reply.fault.code, code);
    if (strstr(reply.fault.text.data, says) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", reply.fault.text.data, says);
    }
    msg_free(&reply);
    assert_int_equal(bus_server_malformed(f->server), before + 1);
}

static void expect_fault_for(struct fixture *f, struct raw *r, enum msg_type type, const char *says)
{
    struct buf b;
    struct msg m = messages_example(type);
    buf_init(&b, 0);
    assert_int_equal(pack_encode(&m, &b, NULL), ERR_OK);
    expect_fault(f, r, b.data, b.len, ERR_INVALID, says);
    buf_fini(&b);
}

static void garbage_is_answered_with_fault_and_counted(void **state)
{
    struct fixture *f = *state;
    struct raw r;
    start_server(f, f->address);
    raw_open(&r, f->address);
    expect_fault(f, &r, "hello", 5, ERR_CORRUPT, "expected a map");
    expect_fault(f, &r, "", 0, ERR_CORRUPT, "ends too early");
    expect_fault(f, &r, "\xdf\xff\xff\xff\xff", 5, ERR_CORRUPT, "4294967295");
    expect_fault(f, &r, "\x83\0\x04\x01\x01\x02\x07", 7, ERR_VERSION,
                 "wire version 4, this build speaks 3");
    expect_fault_for(f, &r, MSG_VERSION, "VERSION: is no request");
    expect_fault_for(f, &r, MSG_WAIT_VERSION, "WAIT_VERSION: belongs on the wait endpoint");
    assert_int_equal(f->n_requests, 0);    // the handler saw none of them
    raw_close(&r);
    raw_open(&r, bus_server_wait_address(f->server));
    expect_fault_for(f, &r, MSG_HEARTBEAT, "HEARTBEAT: belongs on the do endpoint");
    raw_close(&r);
}

static void refuses_oversize(struct fixture *f, const char *address)
{
    struct raw r;
    start_server(f, address);
    char *big = calloc(1, LIMIT_MESSAGE_BYTES + 4096);
    assert_non_null(big);
    raw_open(&r, bus_server_address(f->server));
    assert_int_equal(raw_exchange(f, &r, big, LIMIT_MESSAGE_BYTES + 4096), NNG_ECONNRESET);
    free(big);
    raw_close(&r);
    start_client(f);
    struct msg m = do_request(1);
    call(f, &m, 5000);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_OK);
    assert_int_equal(f->n_requests, 1);
}

// Nobody reads what a peer announces beyond the limit; it loses the connection, the others notice
// nothing.
static void an_oversize_message_costs_its_sender_the_connection_over_ipc(void **state)
{
    struct fixture *f = *state;
    refuses_oversize(f, f->address);
}

static void an_oversize_message_costs_its_sender_the_connection_over_tcp(void **state)
{
    refuses_oversize(*state, "tcp://127.0.0.1:0");
}

// ---- addresses ----
static void cannot_start(struct fixture *f, const char *address, enum err code, const char *says)
{
    struct bus_server *s = NULL;
    struct why why = {""};
    enum err e = bus_server_create(&f->loop, address, handler, f, &s, &why);
    if (e != code || strstr(why.text, says) == NULL) {
        fail_msg("got %s \"%s\", expected %s \"%s\"", err_text(e), why.text, err_text(code), says);
    }
    assert_null(s);
}

static void a_second_learner_on_the_address_is_refused(void **state)
{
    struct fixture *f = *state;
    start_server(f, f->address);
    cannot_start(f, f->address, ERR_BUSY, "/bus: in use by another process");
    start_client(f);
    struct msg m = do_request(1);
    call(f, &m, 5000);
    RUN_UNTIL(f, f->n_replies == 1);    // the first server is not disturbed by the attempt
    stop_client(f);
    stop_server(f);
    start_server(f, "tcp://127.0.0.1:0");
    cannot_start(f, bus_server_address(f->server), ERR_BUSY, bus_server_address(f->server));
    start_client(f);
    call(f, &m, 5000);
    RUN_UNTIL(f, f->n_replies == 2);
    assert_int_equal(f->err, ERR_OK);
}

static void a_taken_wait_endpoint_leaves_nothing_bound(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/bus.wait", f->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    cannot_start(f, f->address, ERR_EXISTS, "bus.wait: exists and is no socket");
    assert_true(fs_exists(path));
    assert_int_equal(unlink(path), 0);
    start_server(f, f->address);
}

// kill -9 leaves the socket files; the next start must not need a person to remove them.
static void the_socket_file_of_a_dead_learner_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un a;
    assert_int_equal(sockfile_address(f->address + 6, &a, NULL), ERR_OK);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    close(fd);
    assert_true(fs_exists(f->address + 6));
    start_server(f, f->address);
    struct stat st;
    assert_int_equal(stat(f->address + 6, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    start_client(f);
    struct msg m = do_request(1);
    call(f, &m, 5000);
    RUN_UNTIL(f, f->n_replies == 1);
    assert_int_equal(f->err, ERR_OK);
}

static void a_client_needs_an_address_that_can_be_reached(void **state)
{
    struct fixture *f = *state;
    struct bus_client *c = NULL;
    struct why why = {""};
    assert_int_equal(bus_client_create(&f->loop, "tcp://127.0.0.1:0", &c, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "port 0"));
    assert_int_equal(bus_client_create(&f->loop, "bus", &c, &why), ERR_INVALID);
    assert_null(c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bus_fixture_setup, bus_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_request_gets_its_reply),
        TEST(tcp_port_zero_is_resolved_and_the_next_port_waits),
        TEST(parked_requests_do_not_delay_others),
        TEST(more_requests_than_places_are_all_answered),
        TEST(a_large_message_passes_both_ways),
        TEST(a_refusal_arrives_as_code_and_text),
        TEST(a_reply_that_cannot_be_encoded_arrives_as_fault),
        TEST(a_call_without_a_learner_times_out),
        TEST(a_call_to_a_silent_learner_times_out),
        TEST(silence_repeats_the_request_with_its_id),
        TEST(pending_calls_survive_a_learner_restart_over_ipc),
        TEST(pending_calls_survive_a_learner_restart_over_tcp),
        TEST(a_client_may_start_before_its_learner),
        TEST(a_parked_call_follows_the_wait_endpoint),
        TEST(closing_a_client_ends_its_calls_first),
        TEST(both_sides_may_close_from_their_callbacks),
        TEST(a_parked_request_knows_when_its_client_is_gone),
        TEST(pending_calls_are_bounded),
        TEST(what_is_no_request_is_not_sent),
        TEST(garbage_is_answered_with_fault_and_counted),
        TEST(an_oversize_message_costs_its_sender_the_connection_over_ipc),
        TEST(an_oversize_message_costs_its_sender_the_connection_over_tcp),
        TEST(a_second_learner_on_the_address_is_refused),
        TEST(a_taken_wait_endpoint_leaves_nothing_bound),
        TEST(the_socket_file_of_a_dead_learner_is_replaced),
        TEST(a_client_needs_an_address_that_can_be_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
