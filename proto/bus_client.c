// bus_client.c: calls to the learner that survive lost connections, lost replies and restarts.
//
// A call is an encoded request, a deadline and a callback. Its life, all on the loop thread:
//
//   SENDING --sent--> RECEIVING --reply--> callback
//      ^                  | silence: RETRY_…_MS, then twice that …     | connection lost
//      +------------------+<-------------- PAUSED (PAUSE_MS) <----------+
//
// SENDING waits for a connection, which NNG dials again and again (50 … 500 ms between tries), so a
// learner that restarts simply answers later. Each attempt carries the same request id and the same
// bytes; the learner's side is idempotent. A late reply to an earlier attempt is discarded by NNG,
// which is why the silence doubles: a learner that needs 3 s per reply is still heard. NNG's own
// resending is off (it repeats parked polls every minute). Deadlines and pauses are the aio's own
// timeouts, so no timer handles exist.
//
// NNG 1.5.2 stops dialing for ever when a connection breaks before its handshake (the learner is
// killed at the wrong moment). A call that finds no connection for STALL_MS therefore replaces the
// dialer.
//
// Every call has its own context and aio. An aio callback runs on NNG's thread and only puts the
// call into a mailbox, which has a place for each of the CALLS_MAX calls.
#include "proto/bus.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "proto/bus_address.h"
#include "proto/bus_hangup.h"
#include "proto/bus_nng.h"
#include "proto/pack.h"

enum {
    CALLS_MAX = 1024,
    RETRY_DO_MS = 2000,
    RETRY_FETCH_MS = 15000,    // a chunk of weights over a slow line is not silence
    RETRY_WAIT_MS = LIMIT_LONG_POLL_MS + 2000,
    PAUSE_MS = 50,
    REDIAL_MIN_MS = 50,
    REDIAL_MAX_MS = 500,
    STALL_MS = 1500,
};

enum call_state { CALL_SENDING, CALL_RECEIVING, CALL_PAUSED };

struct call {
    struct bus_client *client;
    struct call *prev, *next;
    enum msg_type type;
    uint64_t id;
    struct buf bytes;
    uint32_t timeout_ms;
    uint64_t deadline_ms, silence_ms;
    bus_reply_fn *fn;
    void *arg;
    enum call_state state;
    nng_ctx ctx;
    bool has_ctx, was_sent;
    nng_aio *aio;
};

struct endpoint {
    nng_socket sock;
    nng_dialer dialer;
    bool open, dials;
    uint64_t dialed_ms;    // when the dialer was started
    struct bus_address address;
};

struct bus_client {
    uv_loop_t *loop;
    struct endpoint to_do, to_wait;
    struct call *calls;
    size_t n_calls;
    uint64_t last_id;
    struct mailbox *box;
    bool closing, closed;
    struct bus_hangup *hangup;    // while closing
    uint64_t patience_ms;         // until when it is waited for
    uv_timer_t closer;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

// ---- endpoints ----
static int start_dialer(struct endpoint *p)
{
    char text[BUS_ADDRESS_SIZE];
    bool ipc = p->address.ipc;
    nng_dialer d;
    bus_address_format(&p->address, text);
    int rv = nng_dialer_create(&d, p->sock, text);
    if (rv != 0) {
        return rv;
    }
    (void)((rv = nng_dialer_set_size(d, NNG_OPT_RECVMAXSZ, BUS_RECV_MAX)) != 0 ||
           (rv = nng_dialer_set_ms(d, NNG_OPT_RECONNMINT, REDIAL_MIN_MS)) != 0 ||
           (rv = nng_dialer_set_ms(d, NNG_OPT_RECONNMAXT, REDIAL_MAX_MS)) != 0 ||
           (rv = ipc ? 0 : nng_dialer_set_bool(d, NNG_OPT_TCP_KEEPALIVE, true)) != 0 ||
           (rv = nng_dialer_start(d, NNG_FLAG_NONBLOCK)) != 0);
    if (rv != 0) {
        nng_dialer_close(d);
        return rv;
    }
    p->dialer = d;
    p->dials = true;
    p->dialed_ms = clock_mono_ms();
    return 0;
}

static enum err dial(const struct bus_address *a, struct endpoint *out, struct why *why)
{
    char text[BUS_ADDRESS_SIZE];
    struct endpoint p = {.open = true, .address = *a};
    bus_address_format(a, text);
    if (!a->ipc && a->port == 0) {
        return why_set(why, ERR_INVALID, "%s: port 0 cannot be connected to", text);
    }
    int rv = nng_req0_open(&p.sock);
    if (rv != 0) {
        return why_set(why, ERR_IO, "%s: open: %s", text, nng_strerror(rv));
    }
    if ((rv = nng_socket_set_ms(p.sock, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE)) != 0 ||
        (rv = start_dialer(&p)) != 0) {
        nng_close(p.sock);
        return why_set(why, ERR_IO, "%s: dial: %s", text, nng_strerror(rv));
    }
    *out = p;
    return ERR_OK;
}

// Replaces a dialer that has had STALL_MS and holds no connection.
static void redial(struct endpoint *p)
{
    nng_stat *stats;
    if (p->dials) {
        if (clock_mono_ms() < p->dialed_ms + STALL_MS || nng_stats_get(&stats) != 0) {
            return;
        }
        uint64_t pipes = bus_nng_counter(stats, "dialer", nng_dialer_id(p->dialer), "pipes");
        nng_stats_free(stats);
        if (pipes > 0) {    // connected, but busy
            return;
        }
        nng_dialer_close(p->dialer);
        p->dials = false;
    }
    (void)start_dialer(p);    // on failure the next stalled call tries again
}

// Of all endpoints together.
static struct bus_hangup *hang_up(struct endpoint *const *p, size_t n)
{
    nng_socket socks[BUS_HANGUP_MAX];
    size_t n_open = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i]->open) {
            socks[n_open++] = p[i]->sock;
            p[i]->open = false;
        }
    }
    return bus_hangup_start(socks, n_open);
}

static void hang_up_one(struct endpoint *p)
{
    bus_hangup_forget(hang_up(&p, 1));
}

static struct endpoint *endpoint_of(const struct call *k)
{
    return msg_waits(k->type) ? &k->client->to_wait : &k->client->to_do;
}

// ---- one call ----
static void on_aio(void *arg)    // NNG's thread
{
    struct call *k = arg;
    CHECK(mailbox_send(k->client->box, k) == ERR_OK);
}

static void call_free(struct call *k)
{
    if (k->has_ctx) {
        nng_ctx_close(k->ctx);
    }
    nng_aio_free(k->aio);
    buf_fini(&k->bytes);
    free(k);
}

static void call_unlink(struct call *k)
{
    struct bus_client *c = k->client;
    if (k->prev != NULL) {
        k->prev->next = k->next;
    } else {
        c->calls = k->next;
    }
    if (k->next != NULL) {
        k->next->prev = k->prev;
    }
    c->n_calls--;
}

static void call_finish(struct call *k, enum err e, const struct msg *reply, const char *text)
{
    bus_reply_fn *fn = k->fn;
    void *arg = k->arg;
    call_unlink(k);
    call_free(k);
    fn(arg, e, reply, text);    // may make calls, or close the client
}

static void call_pause(struct call *k)
{
    k->state = CALL_PAUSED;
    nng_aio_set_timeout(k->aio, NNG_DURATION_INFINITE);
    nng_sleep_aio(PAUSE_MS, k->aio);
}

static void call_timed_out(struct call *k)
{
    struct why why;
    char address[BUS_ADDRESS_SIZE];
    bus_address_format(&endpoint_of(k)->address, address);
    why_set(&why, ERR_TIMEOUT, "%s: %s within %u ms (%s)", msg_type_name(k->type),
            k->was_sent ? "no reply" : "no connection", k->timeout_ms, address);
    call_finish(k, ERR_TIMEOUT, NULL, why.text);
}

// One more try, or the end when the deadline has passed (a millisecond early counts: clocks round).
static void call_attempt(struct call *k)
{
    uint64_t now = clock_mono_ms();
    if (now + 1 >= k->deadline_ms) {
        call_timed_out(k);
        return;
    }
    if (!k->has_ctx) {
        k->has_ctx = nng_ctx_open(&k->ctx, endpoint_of(k)->sock) == 0;
    }
    nng_msg *m = k->has_ctx ? bus_nng_message(k->bytes.data, k->bytes.len) : NULL;
    if (m == NULL) {    // out of memory
        call_pause(k);
        return;
    }
    k->state = CALL_SENDING;
    nng_aio_set_msg(k->aio, m);
    nng_aio_set_timeout(k->aio, (nng_duration)MIN(k->deadline_ms - now, (uint64_t)STALL_MS + 1));
    nng_ctx_send(k->ctx, k->aio);
}

static void call_receive(struct call *k)
{
    uint64_t now = clock_mono_ms();
    uint64_t left = k->deadline_ms > now ? k->deadline_ms - now : 1;
    k->was_sent = true;
    k->state = CALL_RECEIVING;
    nng_aio_set_timeout(k->aio, (nng_duration)MIN(left, k->silence_ms));
    nng_ctx_recv(k->ctx, k->aio);
}

static void call_replied(struct call *k)
{
    struct msg reply = {.type = MSG_NONE};
    struct why why = {""};
    nng_msg *m = nng_aio_get_msg(k->aio);
    enum err e = pack_decode(nng_msg_body(m), nng_msg_len(m), &reply, &why);
    bus_nng_drop(k->aio);
    if (e == ERR_OK && reply.type == MSG_FAULT) {    // its id is 0 when the request was unreadable
        call_finish(k, (enum err)reply.fault.code, NULL, reply.fault.text.data);
    } else if (e == ERR_OK &&
               (reply.type != msg_reply_type(k->type) || reply.request_id != k->id)) {
        why_set(&why, ERR_CORRUPT, "%s: answered with %s for request %llu, expected %s for %llu",
                msg_type_name(k->type), msg_type_name(reply.type),
                (unsigned long long)reply.request_id, msg_type_name(msg_reply_type(k->type)),
                (unsigned long long)k->id);
        call_finish(k, ERR_CORRUPT, NULL, why.text);
    } else if (e == ERR_OK) {
        call_finish(k, ERR_OK, &reply, "");
    } else {
        call_finish(k, e, NULL, why.text);
    }
    msg_free(&reply);
}

static void call_failed(struct call *k, int rv)
{
    if (rv == NNG_ECLOSED) {    // the endpoint was replaced: go on with the new one
        nng_ctx_close(k->ctx);
        k->has_ctx = false;
        k->was_sent = false;
        call_attempt(k);
    } else if (rv == NNG_ETIMEDOUT) {
        if (k->state == CALL_RECEIVING) {
            k->silence_ms *= 2;
        } else {
            redial(endpoint_of(k));
        }
        call_attempt(k);
    } else {    // mostly NNG_ECONNRESET: the learner went away
        call_pause(k);
    }
}

static void on_wake(void *arg)
{
    struct bus_client *c = arg;
    struct call *k = NULL;
    while ((k = mailbox_try_recv(c->box)) != NULL) {    // empty at once when a callback closes us
        int rv = nng_aio_result(k->aio);
        if (k->state == CALL_PAUSED) {
            call_attempt(k);
        } else if (rv != 0) {
            bus_nng_drop(k->aio);
            call_failed(k, rv);
        } else if (k->state == CALL_SENDING) {
            call_receive(k);
        } else {
            call_replied(k);
        }
    }
}

// ---- the client ----
enum err bus_client_create(uv_loop_t *loop, const char *address, struct bus_client **out,
                           struct why *why)
{
    struct bus_address a;
    enum err e = bus_address_parse(address, &a, why);
    if (e != ERR_OK) {
        return e;
    }
    struct bus_client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return why_set(why, ERR_NOMEM, "bus client: out of memory");
    }
    c->loop = loop;
    if ((e = dial(&a, &c->to_do, why)) != ERR_OK) {
        free(c);
        return e;
    }
    if ((e = mailbox_create_uv(CALLS_MAX, loop, on_wake, c, &c->box)) != ERR_OK) {
        hang_up_one(&c->to_do);
        free(c);
        return why_set(why, e, "bus client: mailbox: %s", err_text(e));
    }
    *out = c;
    return ERR_OK;
}

enum err bus_client_set_wait(struct bus_client *c, const char *address, struct why *why)
{
    struct bus_address told, a;
    struct endpoint p;
    enum err e = bus_address_parse(address, &told, why);
    if (e != ERR_OK) {
        return e;
    }
    if (c->closing) {
        return why_set(why, ERR_CLOSED, "bus client: closed");
    }
    a = bus_address_reach(&told, &c->to_do.address);
    if (c->to_wait.open && a.ipc == c->to_wait.address.ipc && a.port == c->to_wait.address.port &&
        strcmp(a.host, c->to_wait.address.host) == 0) {
        return ERR_OK;
    }
    if ((e = dial(&a, &p, why)) != ERR_OK) {
        return e;
    }
    hang_up_one(&c->to_wait);    // its calls fail with NNG_ECLOSED and continue on the new one
    c->to_wait = p;
    return ERR_OK;
}

static enum err call_create(struct bus_client *c, const struct msg *m, struct call **out,
                            struct why *why)
{
    struct call *k = calloc(1, sizeof *k);
    if (k == NULL || nng_aio_alloc(&k->aio, on_aio, k) != 0) {
        free(k);
        return why_set(why, ERR_NOMEM, "%s: out of memory", msg_type_name(m->type));
    }
    struct msg copy = *m;    // borrows: never freed
    k->client = c;
    k->type = m->type;
    copy.request_id = k->id = ++c->last_id;
    buf_init(&k->bytes, 2 * (size_t)LIMIT_MESSAGE_BYTES);
    enum err e = pack_encode(&copy, &k->bytes, why);
    if (e != ERR_OK) {
        call_free(k);
        return e;
    }
    *out = k;
    return ERR_OK;
}

enum err bus_client_call(struct bus_client *c, const struct msg *m, uint32_t timeout_ms,
                         bus_reply_fn *fn, void *arg, struct why *why)
{
    struct call *k = NULL;
    bool waits = msg_waits(m->type);
    if (msg_reply_type(m->type) == MSG_NONE) {
        return why_set(why, ERR_INVALID, "%s: is no request", msg_type_name(m->type));
    }
    if (c->closing) {
        return why_set(why, ERR_CLOSED, "%s: the bus client is closed", msg_type_name(m->type));
    }
    if (waits && !c->to_wait.open) {
        return why_set(why, ERR_INVALID, "%s: no wait endpoint yet", msg_type_name(m->type));
    }
    if (c->n_calls == CALLS_MAX) {
        return why_set(why, ERR_FULL, "%s: %d calls are pending", msg_type_name(m->type),
                       CALLS_MAX);
    }
    enum err e = call_create(c, m, &k, why);
    if (e != ERR_OK) {
        return e;
    }
    k->timeout_ms = timeout_ms;
    k->deadline_ms = clock_mono_ms() + MAX(timeout_ms, 20u);    // at least one attempt
    k->silence_ms = waits                          ? RETRY_WAIT_MS
                    : m->type == MSG_FETCH_WEIGHTS ? RETRY_FETCH_MS
                                                   : RETRY_DO_MS;
    k->fn = fn;
    k->arg = arg;
    k->next = c->calls;
    if (c->calls != NULL) {
        c->calls->prev = k;
    }
    c->calls = k;
    c->n_calls++;
    call_attempt(k);
    return ERR_OK;
}

static void on_timer_closed(uv_handle_t *h)
{
    struct bus_client *c = h->data;
    c->closed = true;
    if (c->on_closed != NULL) {
        c->on_closed(c->on_closed_arg);    // may destroy c
    }
}

static void on_closer(uv_timer_t *t)
{
    struct bus_client *c = t->data;
    bool done = bus_hangup_done(c->hangup);
    if (!done && clock_mono_ms() < c->patience_ms) {
        return;
    }
    if (!done) {
        LOG_WARN("BUS_HANGUP_STALLED", "waited_ms=%d", BUS_HANGUP_PATIENCE_MS);
    }
    bus_hangup_forget(c->hangup);
    uv_close((uv_handle_t *)t, on_timer_closed);
}

void bus_client_close(struct bus_client *c, void (*closed)(void *arg), void *arg)
{
    CHECK(!c->closing);
    c->closing = true;
    c->on_closed = closed;
    c->on_closed_arg = arg;
    for (struct call *k = c->calls; k != NULL; k = k->next) {
        nng_aio_stop(k->aio);    // waits for its callback, which only fills the mailbox
        bool sent = k->state == CALL_SENDING && nng_aio_result(k->aio) == 0;
        if (k->state != CALL_PAUSED && !sent) {
            bus_nng_drop(k->aio);
        }
    }
    while (mailbox_try_recv(c->box) != NULL) {
    }
    while (c->calls != NULL) {
        call_finish(c->calls, ERR_CLOSED, NULL, "the bus client was closed");
    }
    struct endpoint *const both[] = {&c->to_wait, &c->to_do};
    c->hangup = hang_up(both, ARRAY_LEN(both));
    c->patience_ms = clock_mono_ms() + BUS_HANGUP_PATIENCE_MS;
    mailbox_close(c->box);
    // A later turn of the loop: by then the mailbox's handle is closed and both can be freed
    // together.
    CHECK(uv_timer_init(c->loop, &c->closer) == 0);
    c->closer.data = c;
    CHECK(uv_timer_start(&c->closer, on_closer, 1, 1) == 0);
}

void bus_client_destroy(struct bus_client *c)
{
    if (c == NULL) {
        return;
    }
    CHECK(c->closed);
    mailbox_destroy(c->box);
    free(c);
}
