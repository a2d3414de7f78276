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

#include "common/clock.h"
#include "common/fs.h"
#include "messages.h"
#include "proto/bus.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/sockfile.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <uv.h>

enum { DEADLINE_MS = 20000, MANY = 512 };

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick;
    char dir[64], address[96];
    struct bus_server *server;
    struct bus_client *client;
    // what the handler saw and what it does
    enum { ANSWER, PARK, REFUSE, BAD_REPLY } mode;
    struct bus_request *parked[MANY];
    size_t n_parked, n_requests;
    uint64_t ids[MANY];    // of requests, by arrival
    // what the callbacks saw
    size_t n_replies;
    enum err err;
    char text[1024];
    uint64_t version;
    bool server_closed, client_closed;
};

// ---- turning the loop ----
static void on_tick(uv_timer_t *t)
{
    (void)t;    // only wakes uv_run, so that a missing event becomes a failure and not a hang
}

#define RUN_UNTIL(f, cond)                                                                         \
    do {                                                                                           \
        uint64_t end_ms = clock_mono_ms() + DEADLINE_MS;                                           \
        while (!(cond)) {                                                                          \
            if (clock_mono_ms() > end_ms) {                                                        \
                fail_msg("still waiting for " #cond);                                              \
            }                                                                                      \
            uv_run(&(f)->loop, UV_RUN_ONCE);                                                       \
        }                                                                                          \
    } while (0)

static void set_true(void *arg)
{
    *(bool *)arg = true;
}

// ---- the learner's part ----
static void answer(struct fixture *f, struct bus_request *r)
{
    const struct msg *m = bus_request_msg(r);
    struct msg reply = {.type = msg_reply_type(m->type)};
    (void)f;
    if (m->type == MSG_WAIT_VERSION) {
        reply.version.newest_version = m->wait_version.have_version + 1;
    } else if (m->type == MSG_HEARTBEAT) {
        reply.heartbeat_reply.newest_version = m->heartbeat.waits_ms + 1;
    } else {
        fail_msg("unexpected %s", msg_type_name(m->type));
    }
    bus_reply(r, &reply);
}

static void handler(void *arg, struct bus_request *r)
{
    struct fixture *f = arg;
    assert_true(f->n_requests < MANY);
    f->ids[f->n_requests++] = bus_request_msg(r)->request_id;
    struct msg impossible = {.type = MSG_WEIGHTS_CHUNK};
    impossible.weights_chunk.offset = 1;
    switch (f->mode) {
    case ANSWER:
        answer(f, r);
        break;
    case PARK:
        f->parked[f->n_parked++] = r;
        break;
    case REFUSE:
        bus_reply_fault(r, ERR_DENIED, "the token does not match");
        break;
    case BAD_REPLY:
        bus_reply(r, &impossible);
        break;
    }
}

static void start_server(struct fixture *f, const char *address)
{
    struct why why = {""};
    if (bus_server_create(&f->loop, address, handler, f, &f->server, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

static void stop_server(struct fixture *f)
{
    f->server_closed = false;
    f->n_parked = 0;
    bus_server_close(f->server, set_true, &f->server_closed);
    RUN_UNTIL(f, f->server_closed);
    bus_server_destroy(f->server);
    f->server = NULL;
}

// ---- the actor's part ----
static void start_client(struct fixture *f)
{
    struct why why = {""};
    enum err e = bus_client_create(&f->loop, bus_server_address(f->server), &f->client, &why);
    if (e == ERR_OK) {
        e = bus_client_set_wait(f->client, bus_server_wait_address(f->server), &why);
    }
    if (e != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

static void stop_client(struct fixture *f)
{
    f->client_closed = false;
    bus_client_close(f->client, set_true, &f->client_closed);
    RUN_UNTIL(f, f->client_closed);
    bus_client_destroy(f->client);
    f->client = NULL;
}

static void on_reply(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct fixture *f = arg;
    f->n_replies++;
    f->err = e;
    snprintf(f->text, sizeof f->text, "%s", text);
    assert_int_equal(e == ERR_OK, reply != NULL);
    if (reply != NULL) {
        f->version = reply->type == MSG_VERSION ? reply->version.newest_version
                                                : reply->heartbeat_reply.newest_version;
    }
}

static void call(struct fixture *f, const struct msg *m, uint32_t timeout_ms)
{
    struct why why = {""};
    if (bus_client_call(f->client, m, timeout_ms, on_reply, f, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

// do: answered with waits_ms + 1; wait: answered with have_version + 1.
static struct msg do_request(uint32_t n)
{
    struct msg m = {.type = MSG_HEARTBEAT};
    m.heartbeat.waits_ms = n;
    return m;
}

static struct msg wait_request(uint64_t n)
{
    struct msg m = {.type = MSG_WAIT_VERSION};
    m.wait_version.have_version = n;
    return m;
}

// ---- setup ----
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(f->dir, sizeof f->dir, "/tmp/caravan-bus-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->address, sizeof f->address, "ipc://%s/bus", f->dir);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    uv_timer_init(&f->loop, &f->tick);
    uv_timer_start(&f->tick, on_tick, 50, 50);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->client != NULL) {
        stop_client(f);
    }
    if (f->server != NULL) {
        stop_server(f);
    }
    uv_close((uv_handle_t *)&f->tick, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);    // fails when a handle was left open
    assert_int_equal(fs_remove_tree(f->dir, NULL), ERR_OK);
    free(f);
    return 0;
}

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
    expect_fault(f, &r, "\x83\0\x02\x01\x01\x02\x07", 7, ERR_VERSION,
                 "wire version 2, this build speaks 1");
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
    stop_server(f);
    start_server(f, "tcp://127.0.0.1:0");
    cannot_start(f, bus_server_address(f->server), ERR_BUSY, bus_server_address(f->server));
    // The first server is not disturbed by the attempts.
    start_client(f);
    struct msg m = do_request(1);
    call(f, &m, 5000);
    RUN_UNTIL(f, f->n_replies == 1);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
