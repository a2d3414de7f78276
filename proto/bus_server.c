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
// A message that does not decode, is no request, or came to the wrong endpoint is answered with
// FAULT and counted. A reply to a peer that has gone is dropped by NNG; a peer that does not read
// its replies loses the slot's reply after SEND_MS.
#include "proto/bus.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>

#include "common/mailbox.h"
#include "proto/bus_address.h"
#include "proto/bus_nng.h"
#include "proto/pack.h"
#include "proto/sockfile.h"

enum { N_DO = 32, N_WAIT = 256, N_SLOTS = N_DO + N_WAIT, SEND_MS = 10000, PORT_TRIES = 16 };

enum slot_state { SLOT_IDLE, SLOT_LISTENING, SLOT_HELD, SLOT_REPLYING };

struct bus_request {
    struct bus_server *server;
    nng_ctx ctx;
    nng_aio *aio;
    bool has_ctx, waits;
    enum slot_state state;
    struct msg msg;    // while HELD
};

struct bus_server {
    uv_loop_t *loop;
    bus_handler_fn *handler;
    void *arg;
    nng_socket do_sock, wait_sock;
    bool has_do, has_wait;
    char address[BUS_ADDRESS_SIZE], wait_address[BUS_ADDRESS_SIZE];
    struct bus_request slots[N_SLOTS];
    struct mailbox *box;
    struct buf scratch;    // encoded replies
    uint64_t malformed;
    bool closing, closed;
    uv_timer_t closer;
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

// Opens a REP socket listening on *a; a->port 0 becomes the port that was bound.
static enum err listen_on(struct bus_address *a, nng_socket *out, struct why *why)
{
    char text[BUS_ADDRESS_SIZE];
    nng_socket sock;
    nng_listener l;
    bus_address_format(a, text);
    if (a->ipc) {
        enum err e = sockfile_make_way(a->host, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    int rv = nng_rep0_open(&sock);
    if (rv != 0) {
        return why_set(why, nng_err(rv), "%s: open: %s", text, nng_strerror(rv));
    }
    int port = (int)a->port;
    (void)((rv = nng_listener_create(&l, sock, text)) != 0 ||
           (rv = nng_listener_set_size(l, NNG_OPT_RECVMAXSZ, BUS_RECV_MAX)) != 0 ||
           (rv = a->ipc ? nng_listener_set_int(l, NNG_OPT_IPC_PERMISSIONS, 0600)
                        : nng_listener_set_bool(l, NNG_OPT_TCP_KEEPALIVE, true)) != 0 ||
           (rv = nng_listener_start(l, 0)) != 0 ||
           (rv = a->ipc ? 0 : nng_listener_get_int(l, NNG_OPT_TCP_BOUND_PORT, &port)) != 0);
    if (rv != 0) {
        nng_close(sock);
        return why_set(why, nng_err(rv), "%s: listen: %s", text, nng_strerror(rv));
    }
    a->port = (unsigned)port;
    *out = sock;
    return ERR_OK;
}

static enum err bind_pair(struct bus_server *s, const struct bus_address *wanted, struct why *why)
{
    struct bus_address a = *wanted;
    enum err e = listen_on(&a, &s->do_sock, why);
    if (e != ERR_OK) {
        return e;
    }
    struct bus_address b = bus_address_neighbour(&a);
    if (b.port > 65535) {
        e = why_set(why, ERR_BUSY, "port %u has no next port", a.port);
    } else {
        e = listen_on(&b, &s->wait_sock, why);
    }
    if (e != ERR_OK) {
        nng_close(s->do_sock);
        return e;
    }
    s->has_do = s->has_wait = true;
    bus_address_format(&a, s->address);
    bus_address_format(&b, s->wait_address);
    return ERR_OK;
}

// A free port may have a taken neighbour: then another free port is tried.
static enum err bind_both(struct bus_server *s, const struct bus_address *a, struct why *why)
{
    bool any = !a->ipc && a->port == 0;
    enum err e = bind_pair(s, a, why);
    for (int i = 1; any && e == ERR_BUSY && i < PORT_TRIES; i++) {
        e = bind_pair(s, a, why);
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

// ---- create and close ----
static enum err open_slot(struct bus_server *s, struct bus_request *r, bool waits)
{
    r->server = s;
    r->waits = waits;
    int rv = nng_aio_alloc(&r->aio, on_aio, r);
    if (rv == 0 && (rv = nng_ctx_open(&r->ctx, waits ? s->wait_sock : s->do_sock)) == 0) {
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
    if (s->has_do) {
        nng_close(s->do_sock);
    }
    if (s->has_wait) {
        nng_close(s->wait_sock);
    }
    for (size_t i = 0; i < N_SLOTS; i++) {
        nng_aio_free(s->slots[i].aio);
    }
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
            why_set(why, e, "%s: context %zu: %s", s->address, i, err_text(e));
        }
    }
    if (e == ERR_OK && (e = mailbox_create_uv(N_SLOTS, loop, on_wake, s, &s->box)) != ERR_OK) {
        why_set(why, e, "%s: mailbox: %s", s->address, err_text(e));
    }
    if (e != ERR_OK) {
        stop_nng(s);
        free(s);
        return e;
    }
    for (size_t i = 0; i < N_SLOTS; i++) {
        slot_listen(&s->slots[i]);
    }
    *out = s;
    return ERR_OK;
}

const char *bus_server_address(const struct bus_server *s)
{
    return s->address;
}

const char *bus_server_wait_address(const struct bus_server *s)
{
    return s->wait_address;
}

uint64_t bus_server_malformed(const struct bus_server *s)
{
    return s->malformed;
}

const struct msg *bus_request_msg(const struct bus_request *r)
{
    return &r->msg;
}

bool bus_request_waits(const struct bus_request *r)
{
    return r->waits;
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
    CHECK(uv_timer_init(s->loop, &s->closer) == 0);
    s->closer.data = s;
    CHECK(uv_timer_start(&s->closer, on_closer, 1, 0) == 0);
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
