// bus.h: requests and replies between daemons over NNG; only bus_*.c know NNG.
//
// The learner listens on two addresses: ADDRESS ("do": answered at once) and its neighbour ("wait":
// long polls). For ipc://PATH the neighbour is ipc://PATH.wait, for tcp://HOST:PORT it is PORT+1.
// Handlers and callbacks run on the libuv loop thread; NNG's own threads only fill a mailbox. Sizes
// are limited on every listener and dialer (LIMIT_MESSAGE_BYTES); a message that does not decode is
// answered with FAULT and counted. NNG must not live in a process that forks without exec.
#ifndef CARAVAN_PROTO_BUS_H
#define CARAVAN_PROTO_BUS_H

#include "proto/msg.h"

typedef struct uv_loop_s uv_loop_t;

// ---- learner side ----
struct bus_server;
struct bus_request;    // one request waiting for its reply
typedef void bus_handler_fn(void *arg, struct bus_request *req);

// Binds both endpoints. ERR_BUSY when an address is in use, naming it. A stale ipc socket file is
// replaced, a live one is not.
MUST_CHECK enum err bus_server_create(uv_loop_t *loop, const char *address, bus_handler_fn *handler,
                                      void *arg, struct bus_server **out, struct why *why);
// As bound (a tcp port 0 is resolved).
const char *bus_server_address(const struct bus_server *s);
const char *bus_server_wait_address(const struct bus_server *s);
uint64_t bus_server_malformed(const struct bus_server *s);    // messages refused so far
// Listeners replaced because NNG had stopped accepting.
uint64_t bus_server_renewals(const struct bus_server *s);
const struct msg *bus_request_msg(const struct bus_request *r);    // valid until the reply
// Came in on the "wait" endpoint.
bool bus_request_waits(const struct bus_request *r);
// False once the connection it came over is gone: a reply would reach nobody (the client repeats
// the request on its next connection). Ask before work is given to a parked request.
bool bus_request_alive(const struct bus_request *r);
// Encodes and sends; consumes r whatever happens. An unencodable reply is sent as FAULT. Loop
// thread.
void bus_reply(struct bus_request *r, const struct msg *reply);
void bus_reply_fault(struct bus_request *r, enum err code, const char *text);
// Stops listening, drops parked requests (their handler must not reply any more), calls closed on
// the loop thread when all NNG work has ended; then destroy.
void bus_server_close(struct bus_server *s, void (*closed)(void *arg), void *arg);
void bus_server_destroy(struct bus_server *s);    // NULL is fine

// ---- actor, verifier and cli side ----
struct bus_client;
// reply valid during the call; FAULT arrives as its code with text.
typedef void bus_reply_fn(void *arg, enum err e, const struct msg *reply, const char *text);

// address: the "do" endpoint. Connects in the background, again and again; calls wait for the
// connection until their deadline.
MUST_CHECK enum err bus_client_create(uv_loop_t *loop, const char *address, struct bus_client **out,
                                      struct why *why);
// The "wait" endpoint, once WELCOME told it. May be called again with the same or another address.
MUST_CHECK enum err bus_client_set_wait(struct bus_client *c, const char *address, struct why *why);
// Sends *m (encoded before return) on the do or wait endpoint by its type and calls fn exactly
// once: with the reply, or ERR_TIMEOUT after timeout_ms, or ERR_CLOSED. Until then the layer
// repeats the request with the same id (at least once: the learner's side is idempotent).
MUST_CHECK enum err bus_client_call(struct bus_client *c, const struct msg *m, uint32_t timeout_ms,
                                    bus_reply_fn *fn, void *arg, struct why *why);
// Pending calls get ERR_CLOSED first.
void bus_client_close(struct bus_client *c, void (*closed)(void *arg), void *arg);
void bus_client_destroy(struct bus_client *c);

// True for ipc:// and loopback tcp:// addresses; any other address needs a token file.
bool bus_address_is_local(const char *address);
// Checks the form of an address (scheme, host, port 0..65534); a numeric message otherwise.
MUST_CHECK enum err bus_address_check(const char *address, struct why *why);

#endif
