// http.h: the small HTTP face of a daemon (libmicrohttpd, one internal thread per listener) and a
// client for our own CLI.
//
// Read-only: GET and HEAD, one document for each request, no state between them. It is for people
// and monitoring (/status, /metrics, /healthz); nothing of a run depends on it. The handler runs on
// a thread of the server and sees snapshots only.
#ifndef CARAVAN_PROTO_HTTP_H
#define CARAVAN_PROTO_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct http_server;
struct http_reply {
    int status;                  // 200, 404, 503 …
    const char *content_type;    // static text
    char *body;                  // malloc'd by the handler, freed by the server
    size_t len;
};
// Called on the HTTP thread for GET (and HEAD) requests: read a snapshot under its own short lock,
// never wait for the loop. path: without query.
typedef void http_handler_fn(void *arg, const char *path, struct http_reply *out);

// address: "HOST:PORT" (port 0 = any free), "[::1]:0", or "" for none; socket_path: a unix socket,
// or NULL. At least one of them.
MUST_CHECK enum err http_server_create(const char *address, const char *socket_path,
                                       http_handler_fn *handler, void *arg,
                                       struct http_server **out, struct why *why);
// "127.0.0.1:41234" as bound, "" when only the socket.
const char *http_server_address(const struct http_server *s);
// Waits for running handlers; removes the socket file.
void http_server_destroy(struct http_server *s);

// GET over "HOST:PORT" or a unix socket path (contains '/'); whole body of at most max bytes,
// NUL-terminated past len (free()). Blocking, with one deadline for everything but name resolution.
// ERR_NOT_FOUND: nobody listens; ERR_TIMEOUT; ERR_LIMIT: a longer body; ERR_CLOSED: it ended early;
// ERR_CORRUPT: no HTTP. Any status is ERR_OK.
MUST_CHECK enum err http_get(const char *address, const char *path, uint32_t timeout_ms, size_t max,
                             int *status, char **body, size_t *len, struct why *why);

#endif
