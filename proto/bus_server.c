// bus_server.c: the learner's side of the bus: two REP sockets, many contexts, one loop thread.
//
// A context is one conversation slot: receive a request, hold it as long as the handler likes, send
// the reply, receive again. A slot's life is the state in `struct bus_request`:
//
//   LISTENING --request--> HELD --bus_reply--> REPLYING --sent or failed--> LISTENING
//
// N_WAIT slots bound the long polls that can be parked, N_DO the requests whose reply waits for a
// disk. When all slots of an endpoint are taken, further requests stay in NNG's pipes, one per
// connection, and the clients wait: back-pressure without a queue of ours. The aio callbacks run on
// NNG's threads and only put the slot into a mailbox; a slot has one operation at a time, so a box
// of one place per slot never fills.
//
// NNG 1.5.2 has a fault that would deafen a learner: a peer that disconnects before the listener
// has written its 8 bytes of handshake (a client killed at the wrong moment, a port scan) ends the
// accept loop for ever, while the kernel goes on accepting. It leaves a trace in the listener's
// counter "other", as harmless faults do. So a timer looks at that counter; when it has moved, a
// connection of our own must raise the counter "accept" within PROBE_TICKS, or the listener is
// closed and made anew (its clients reconnect and repeat their requests).
//
// A message that does not decode, is no request, or came to the wrong endpoint is answered with
// FAULT and counted. A reply to a peer that has gone is dropped by NNG; a peer that does not read
// its replies loses the slot's reply after SEND_MS.
#include "proto/bus.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "common/rng.h"
#include "proto/bus_address.h"
#include "proto/bus_hangup.h"
#include "proto/bus_nng.h"
#include "proto/pack.h"
#include "proto/sockfile.h"

enum {
    N_DO = 32,
    N_WAIT = 256,
    N_SLOTS = N_DO + N_WAIT,
    SEND_MS = 10000,
    PORT_TRIES = 16,
    QUIET_PORTS = 16384,    // as many ports, from this one on: Linux gives away 32768 and above
    GUARD_MS = 250,
    PROBE_TICKS = 4,
};

enum slot_state { SLOT_IDLE, SLOT_LISTENING, SLOT_HELD, SLOT_REPLYING };

struct bus_request {
    struct bus_server *server;
    nng_ctx ctx;
    nng_aio *aio;
    bool has_ctx, waits;
    enum slot_state state;
    nng_pipe pipe;     // while HELD: the connection it came over
    struct msg msg;    // while HELD
};

// One of the two endpoints and what its guard knows.
struct post {
    nng_socket sock;
    nng_listener listener;
    bool open, deaf;    // deaf: has no listener at the moment
    char address[BUS_ADDRESS_SIZE];
    struct bus_address parsed;
    uint64_t faults, accepted;    // counters at the last look
    nng_socket probe;
    int probe_ticks;    // left for the probe; 0 = none is out
};

struct bus_server {
    uv_loop_t *loop;
    bus_handler_fn *handler;
    void *arg;
    struct post to_do, to_wait;
    uint64_t renewals;
    uv_timer_t guard;
    struct bus_request slots[N_SLOTS];
    struct mailbox *box;
    struct buf scratch;    // encoded replies
    uint64_t malformed;
    bool closing, closed;
    struct bus_hangup *hangup;    // while closing
    uint64_t patience_ms;         // until when it is waited for
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

// ---- binding ----
static enum err nng_err(int rv)
{
    switch (rv) {
    case NNG_ENOMEM:
        return ERR_NOMEM;
    case NNG_EADDRINUSE:
        return ERR_BUSY;
    case NNG_EPERM:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

// Starts a listener on the post's socket and address; *port is the port that was bound.
static enum err start_listener(struct post *p, int *port, struct why *why)
{
    nng_listener l;
    bool ipc = p->parsed.ipc;
    if (ipc) {
        enum err e = sockfile_make_way(p->parsed.host, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    int rv = nng_listener_create(&l, p->sock, p->address);
    if (rv != 0) {
        return why_set(why, nng_err(rv), "%s: listen: %s", p->address, nng_strerror(rv));
    }
    (void)((rv = nng_listener_set_size(l, NNG_OPT_RECVMAXSZ, BUS_RECV_MAX)) != 0 ||
           (rv = ipc ? nng_listener_set_int(l, NNG_OPT_IPC_PERMISSIONS, 0600)
                     : nng_listener_set_bool(l, NNG_OPT_TCP_KEEPALIVE, true)) != 0 ||
           (rv = nng_listener_start(l, 0)) != 0 ||
           (rv = ipc ? 0 : nng_listener_get_int(l, NNG_OPT_TCP_BOUND_PORT, port)) != 0);
    if (rv != 0) {
        nng_listener_close(l);
        return why_set(why, nng_err(rv), "%s: listen: %s", p->address, nng_strerror(rv));
    }
    p->listener = l;
    p->faults = p->accepted = 0;
    return ERR_OK;
}

// Opens a REP socket listening on *a, whose port 0 becomes the port that was bound.
static enum err listen_on(struct bus_address *a, struct post *out, struct why *why)
{
    struct post p = {.open = true, .parsed = *a};
    bus_address_format(a, p.address);
    int rv = nng_rep0_open(&p.sock), port = (int)a->port;
    if (rv != 0) {
        return why_set(why, nng_err(rv), "%s: open: %s", p.address, nng_strerror(rv));
    }
    enum err e = start_listener(&p, &port, why);
    if (e != ERR_OK) {
        nng_close(p.sock);
        return e;
    }
    a->port = p.parsed.port = (unsigned)port;
    bus_address_format(a, p.address);
    *out = p;
    return ERR_OK;
}

// Of all posts together.
static struct bus_hangup *close_posts(struct post *const *p, size_t n)
{
    nng_socket socks[BUS_HANGUP_MAX];
    size_t n_open = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i]->probe_ticks > 0) {
            socks[n_open++] = p[i]->probe;
            p[i]->probe_ticks = 0;
        }
        if (p[i]->open) {
            socks[n_open++] = p[i]->sock;
            p[i]->open = false;
        }
    }
    return bus_hangup_start(socks, n_open);
}

static enum err bind_pair(struct bus_server *s, const struct bus_address *wanted, struct why *why)
{
    struct bus_address a = *wanted;
    enum err e = listen_on(&a, &s->to_do, why);
    if (e != ERR_OK) {
        return e;
    }
    struct bus_address b = bus_address_neighbour(&a);
    if (b.port > 65535) {
        e = why_set(why, ERR_BUSY, "port %u has no next port", a.port);
    } else {
        e = listen_on(&b, &s->to_wait, why);
    }
    if (e != ERR_OK) {
        nng_close(s->to_do.sock);    // at once: the address is free again on return
        s->to_do.open = false;
    }
    return e;
}

// A free port may have a taken neighbour: then another free port is tried. Where thousands of
// connections have ended within the last minute the ports that the system gives away have hardly any
// free neighbours, so every other try is below those.
static enum err bind_both(struct bus_server *s, const struct bus_address *a, struct why *why)
{
    bool any = !a->ipc && a->port == 0;
    struct rng r = rng_make((uint64_t)getpid(), clock_mono_ns());
    enum err e = bind_pair(s, a, why);
    for (int i = 1; any && e == ERR_BUSY && i < PORT_TRIES; i++) {
        struct bus_address other = *a;
        other.port = i % 2 != 0 ? QUIET_PORTS + rng_below(&r, QUIET_PORTS) : 0;
        e = bind_pair(s, &other, why);
    }
    return e;
}

// ---- the life of a slot ----
static void on_aio(void *arg)    // NNG's thread
{
    struct bus_request *r = arg;
    CHECK(mailbox_send(r->server->box, r) == ERR_OK);
}

static void slot_listen(struct bus_request *r)
{
    r->state = SLOT_LISTENING;
    nng_aio_set_timeout(r->aio, NNG_DURATION_INFINITE);
    nng_ctx_recv(r->ctx, r->aio);
}

static void slot_send(struct bus_request *r)
{
    struct bus_server *s = r->server;
    msg_free(&r->msg);
    nng_msg *m = bus_nng_message(s->scratch.data, s->scratch.len);
    if (m == NULL) {    // out of memory: the client asks again
        slot_listen(r);
        return;
    }
    r->state = SLOT_REPLYING;
    nng_aio_set_msg(r->aio, m);
    nng_aio_set_timeout(r->aio, SEND_MS);
    nng_ctx_send(r->ctx, r->aio);
}

void bus_reply(struct bus_request *r, const struct msg *reply)
{
    struct bus_server *s = r->server;
    struct why why = {""};
    struct msg m = *reply;    // borrows: never freed
    CHECK(r->state == SLOT_HELD);
    m.request_id = r->msg.request_id;
    buf_clear(&s->scratch);
    enum err e = pack_encode(&m, &s->scratch, &why);
    if (e == ERR_OK) {
        slot_send(r);
    } else {
        bus_reply_fault(r, e, why.text);
    }
}

void bus_reply_fault(struct bus_request *r, enum err code, const char *text)
{
    struct bus_server *s = r->server;
    struct msg m = {.type = MSG_FAULT, .request_id = r->msg.request_id};
    CHECK(r->state == SLOT_HELD && code != ERR_OK);
    m.fault = (struct msg_fault){(uint32_t)code, msg_text_of(text)};
    m.fault.text.len = MIN(m.fault.text.len, (size_t)LIMIT_FAULT_BYTES);
    buf_clear(&s->scratch);
    if (pack_encode(&m, &s->scratch, NULL) == ERR_OK) {
        slot_send(r);
    } else {    // out of memory
        msg_free(&r->msg);
        slot_listen(r);
    }
}

static enum err admit(const struct bus_request *r, struct why *why)
{
    const char *name = msg_type_name(r->msg.type);
    if (msg_reply_type(r->msg.type) == MSG_NONE) {
        return why_set(why, ERR_INVALID, "%s: is no request", name);
    }
    if (msg_waits(r->msg.type) != r->waits) {
        return why_set(why, ERR_INVALID, "%s: belongs on the %s endpoint", name,
                       r->waits ? "do" : "wait");
    }
    return ERR_OK;
}

static void slot_received(struct bus_request *r)
{
    struct bus_server *s = r->server;
    nng_msg *m = nng_aio_get_msg(r->aio);
    struct why why = {""};
    r->state = SLOT_HELD;
    r->pipe = nng_msg_get_pipe(m);
    enum err e = pack_decode(nng_msg_body(m), nng_msg_len(m), &r->msg, &why);
    bus_nng_drop(r->aio);
    if (e == ERR_OK) {
        e = admit(r, &why);
    }
    if (e == ERR_OK) {
        s->handler(s->arg, r);
    } else {
        s->malformed++;
        bus_reply_fault(r, e, why.text);
    }
}

static void on_wake(void *arg)
{
    struct bus_server *s = arg;
    struct bus_request *r;
    while ((r = mailbox_try_recv(s->box)) != NULL) {
        if (r->state == SLOT_LISTENING && nng_aio_result(r->aio) == 0) {
            slot_received(r);    // the handler may close the server: then the box is empty
        } else {
            bus_nng_drop(r->aio);    // an unsent reply
            slot_listen(r);
        }
    }
}

// ---- the guard against deaf listeners ----
static void renew(struct bus_server *s, struct post *p)
{
    struct why why = {""};
    int port;
    if (!p->deaf) {
        nng_listener_close(p->listener);
        p->deaf = true;
        s->renewals++;
    }
    enum err e = start_listener(p, &port, &why);
    if (e == ERR_OK) {
        p->deaf = false;
        LOG_WARN("BUS_LISTENER_RENEWED", "address=%s", p->address);
    } else {    // tried again at the next tick
        LOG_ERROR("BUS_LISTENER_LOST", "address=%s cause=\"%s\"", p->address, why.text);
    }
}

static bool send_probe(struct post *p)
{
    if (nng_req0_open(&p->probe) != 0) {
        return false;
    }
    if (nng_dial(p->probe, p->address, NULL, NNG_FLAG_NONBLOCK) != 0) {
        nng_close(p->probe);
        return false;
    }
    return true;
}

static void guard_post(struct bus_server *s, struct post *p, nng_stat *stats)
{
    if (p->deaf) {
        renew(s, p);
        return;
    }
    int id = nng_listener_id(p->listener);
    uint64_t faults = bus_nng_counter(stats, "listener", id, "other");
    uint64_t accepted = bus_nng_counter(stats, "listener", id, "accept");
    if (p->probe_ticks == 0) {
        if (faults != p->faults && send_probe(p)) {
            p->faults = faults;
            p->accepted = accepted;
            p->probe_ticks = PROBE_TICKS;
        }
        return;
    }
    bool alive = accepted > p->accepted;
    if (alive || --p->probe_ticks == 0) {
        nng_close(p->probe);
        p->probe_ticks = 0;
        if (!alive) {
            renew(s, p);
        }
    }
}

static void on_guard(uv_timer_t *t)
{
    struct bus_server *s = t->data;
    nng_stat *stats;
    if (nng_stats_get(&stats) == 0) {
        guard_post(s, &s->to_do, stats);
        guard_post(s, &s->to_wait, stats);
        nng_stats_free(stats);
    }
}

// ---- create and close ----
static enum err open_slot(struct bus_server *s, struct bus_request *r, bool waits)
{
    r->server = s;
    r->waits = waits;
    int rv = nng_aio_alloc(&r->aio, on_aio, r);
    if (rv == 0 && (rv = nng_ctx_open(&r->ctx, waits ? s->to_wait.sock : s->to_do.sock)) == 0) {
        r->has_ctx = true;
    }
    return rv == 0 ? ERR_OK : nng_err(rv);
}

// Ends every operation and waits for its callback, which only fills the mailbox: bounded by
// microseconds.
static void stop_nng(struct bus_server *s)
{
    for (size_t i = 0; i < N_SLOTS; i++) {
        struct bus_request *r = &s->slots[i];
        if (r->aio != NULL) {
            nng_aio_stop(r->aio);
            bool sent = r->state == SLOT_REPLYING && nng_aio_result(r->aio) == 0;
            if (!sent) {
                bus_nng_drop(r->aio);
            }
        }
        if (r->has_ctx) {
            nng_ctx_close(r->ctx);
        }
        msg_free(&r->msg);
        r->state = SLOT_IDLE;
    }
    for (size_t i = 0; i < N_SLOTS; i++) {
        nng_aio_free(s->slots[i].aio);
    }
    struct post *const both[] = {&s->to_do, &s->to_wait};
    s->hangup = close_posts(both, ARRAY_LEN(both));
    s->patience_ms = clock_mono_ms() + BUS_HANGUP_PATIENCE_MS;
}

enum err bus_server_create(uv_loop_t *loop, const char *address, bus_handler_fn *handler, void *arg,
                           struct bus_server **out, struct why *why)
{
    struct bus_address a;
    enum err e = bus_address_parse(address, &a, why);
    if (e != ERR_OK) {
        return e;
    }
    struct bus_server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return why_set(why, ERR_NOMEM, "bus server: out of memory");
    }
    s->loop = loop;
    s->handler = handler;
    s->arg = arg;
    buf_init(&s->scratch, 2 * (size_t)LIMIT_MESSAGE_BYTES);
    e = bind_both(s, &a, why);
    for (size_t i = 0; e == ERR_OK && i < N_SLOTS; i++) {
        if ((e = open_slot(s, &s->slots[i], i >= N_DO)) != ERR_OK) {
            why_set(why, e, "%s: context %zu: %s", s->to_do.address, i, err_text(e));
        }
    }
    if (e == ERR_OK && (e = mailbox_create_uv(N_SLOTS, loop, on_wake, s, &s->box)) != ERR_OK) {
        why_set(why, e, "%s: mailbox: %s", s->to_do.address, err_text(e));
    }
    if (e != ERR_OK) {
        stop_nng(s);
        bus_hangup_forget(s->hangup);
        free(s);
        return e;
    }
    for (size_t i = 0; i < N_SLOTS; i++) {
        slot_listen(&s->slots[i]);
    }
    s->guard.data = s;
    CHECK(uv_timer_init(loop, &s->guard) == 0);
    CHECK(uv_timer_start(&s->guard, on_guard, GUARD_MS, GUARD_MS) == 0);
    *out = s;
    return ERR_OK;
}

const char *bus_server_address(const struct bus_server *s)
{
    return s->to_do.address;
}

const char *bus_server_wait_address(const struct bus_server *s)
{
    return s->to_wait.address;
}

uint64_t bus_server_malformed(const struct bus_server *s)
{
    return s->malformed;
}

uint64_t bus_server_renewals(const struct bus_server *s)
{
    return s->renewals;
}

const struct msg *bus_request_msg(const struct bus_request *r)
{
    return &r->msg;
}

bool bus_request_waits(const struct bus_request *r)
{
    return r->waits;
}

bool bus_request_alive(const struct bus_request *r)
{
    return nng_socket_id(nng_pipe_socket(r->pipe)) > 0;    // -1: no such pipe any more
}

static void on_timer_closed(uv_handle_t *h)
{
    struct bus_server *s = h->data;
    s->closed = true;
    if (s->on_closed != NULL) {
        s->on_closed(s->on_closed_arg);    // may destroy s
    }
}

static void on_closer(uv_timer_t *t)
{
    struct bus_server *s = t->data;
    bool done = bus_hangup_done(s->hangup);
    if (!done && clock_mono_ms() < s->patience_ms) {
        return;
    }
    if (!done) {
        LOG_WARN("BUS_HANGUP_STALLED", "waited_ms=%d", BUS_HANGUP_PATIENCE_MS);
    }
    bus_hangup_forget(s->hangup);
    uv_close((uv_handle_t *)t, on_timer_closed);
}

void bus_server_close(struct bus_server *s, void (*closed)(void *arg), void *arg)
{
    CHECK(!s->closing);
    s->closing = true;
    s->on_closed = closed;
    s->on_closed_arg = arg;
    stop_nng(s);
    while (mailbox_try_recv(s->box) != NULL) {
    }
    mailbox_close(s->box);
    // A later turn of the loop: by then the mailbox's handle is closed and both can be freed
    // together.
    CHECK(uv_timer_start(&s->guard, on_closer, 1, 1) == 0);
}

void bus_server_destroy(struct bus_server *s)
{
    if (s == NULL) {
        return;
    }
    CHECK(s->closed);
    mailbox_destroy(s->box);
    buf_fini(&s->scratch);
    free(s);
}
