// http.h: the small HTTP face of a daemon (libmicrohttpd, one internal thread per listener) and a
// client for our own CLI.
//
// http_server_create is read-only: GET and HEAD, one document for each request, no state between
// them. It is for people and monitoring (/status, /metrics, /healthz); nothing of a run depends on
// it. The handler runs on a thread of the server and sees snapshots only.
//
// http_server_create_posting takes POSTs as well, and can ask for a bearer token. A POST whose body
// is complete becomes an exchange: its connection sleeps until somebody, on any thread, answers it.
// Limits of a POST are in struct http_posting; one over them is answered 413 (from Content-Length
// before the body is sent, or after what is sent without one was read and thrown away; at twice the
// limit the connection is dropped).
#ifndef CARAVAN_PROTO_HTTP_H
#define CARAVAN_PROTO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct http_server;
struct http_reply {
    int status;                  // 200, 404, 503 …
    const char *content_type;    // static text
    char *body;                  // malloc'd by the handler, freed by the server
    size_t len;
    const char *allow;         // of a 405: static text; NULL: "GET, HEAD"
    unsigned retry_after_s;    // 0: no such header
};
// Called on the HTTP thread for GET (and HEAD) requests: read a snapshot under its own short lock,
// never wait for the loop. path: without query.
typedef void http_handler_fn(void *arg, const char *path, struct http_reply *out);

// address: "HOST:PORT" (port 0 = any free), "[::1]:0", or "" for none; socket_path: a unix socket,
// or NULL. At least one of them.
MUST_CHECK enum err http_server_create(const char *address, const char *socket_path,
                                       http_handler_fn *handler, void *arg,
                                       struct http_server **out, struct why *why);
struct http_exchange;    // one POST, from its last byte to its answer

// Called on the HTTP thread with the whole body, borrowed during the call. Must lead to exactly one
// http_exchange_reply, inside the call or later.
typedef void http_post_fn(void *arg, struct http_exchange *x, const char *path, const char *body,
                          size_t len);
// Called on the HTTP thread with the headers, before any of the body is taken: false with *out
// filled (404, 405, 503 …) refuses.
typedef bool http_accept_fn(void *arg, const char *path, struct http_reply *out);

struct http_posting {
    http_handler_fn *handler;    // GET and HEAD
    http_accept_fn *accept;
    http_post_fn *post;
    void *arg;
    size_t body_max;       // bytes of one body
    size_t bodies_max;     // bytes of all bodies that are being received; over it: 503
    uint32_t upload_ms;    // a body must be complete after so long, or its connection is dropped
    uint32_t idle_s;       // a connection without a byte for so long is dropped; 0: 10
    // Every page but /healthz asks for "Authorization: Bearer TOKEN" (else 401), unless the bound
    // address is loopback. Copied; NULL: only loopback can be bound (ERR_DENIED).
    const char *token;
};

MUST_CHECK enum err http_server_create_posting(const char *address, const struct http_posting *p,
                                               struct http_server **out, struct why *why);
// Any thread, once per exchange, which is not to be touched afterwards. The body changes hands.
void http_exchange_reply(struct http_exchange *x, const struct http_reply *r);
// Whether the client has closed its side, so that nobody waits for the answer (which must be given
// all the same). Any thread.
bool http_exchange_is_gone(const struct http_exchange *x);

// "127.0.0.1:41234" as bound, "" when only the socket.
const char *http_server_address(const struct http_server *s);
// Waits for running handlers, and up to a second for answers on their way; removes the socket file.
// Every exchange must have been answered, and a post handler that still comes must answer at once.
void http_server_destroy(struct http_server *s);

// GET over "HOST:PORT" or a unix socket path (contains '/'); whole body of at most max bytes,
// NUL-terminated past len (free()). Blocking, with one deadline for everything but name resolution.
// ERR_NOT_FOUND: nobody listens; ERR_TIMEOUT; ERR_LIMIT: a longer body; ERR_CLOSED: it ended early;
// ERR_CORRUPT: no HTTP. Any status is ERR_OK.
MUST_CHECK enum err http_get(const char *address, const char *path, uint32_t timeout_ms, size_t max,
                             int *status, char **body, size_t *len, struct why *why);

#endif
