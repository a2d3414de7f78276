// http.c: /status, /metrics and /healthz over HTTP, on loopback and on a unix socket in the run
// folder.
//
// libmicrohttpd does the protocol, one polling thread per listener; the handler given by the daemon
// makes the answer from a snapshot. We read nothing but GET and HEAD requests without a body, so a
// request has no effect and needs no token. Bounds: CONNECTIONS at once, IDLE_S without a byte,
// CONNECTION_BYTES for all headers of a request (libmicrohttpd answers 431 or 414 itself),
// PATH_BYTES for the path.
#include "proto/http.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <microhttpd.h>

#include "proto/http_socket.h"

enum { CONNECTIONS = 32, IDLE_S = 10, CONNECTION_BYTES = 16 << 10, PATH_BYTES = 512 };

struct http_server {
    http_handler_fn *handler;
    void *arg;
    struct MHD_Daemon *tcp, *local;
    char address[HTTP_ADDRESS_SIZE];
    char *socket_path;
};

static enum MHD_Result send_reply(struct MHD_Connection *c, struct http_reply *r)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(r->len, r->body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(r->body);
        return MHD_NO;
    }
    const char *type = r->content_type != NULL ? r->content_type : "text/plain; charset=utf-8";
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    if (r->status == 405) {
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    unsigned status = r->status >= 200 && r->status <= 599 ? (unsigned)r->status : 500;
    enum MHD_Result queued = MHD_queue_response(c, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result send_text(struct MHD_Connection *c, int status, const char *text)
{
    struct http_reply r = {.status = status, .body = strdup(text), .len = strlen(text)};
    return r.body == NULL ? MHD_NO : send_reply(c, &r);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **per_request)
{
    struct http_server *s = cls;
    static const char seen;
    (void)version;
    (void)upload;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return send_text(c, 405, "only GET and HEAD\n");
    }
    if (strlen(url) > PATH_BYTES) {
        return send_text(c, 414, "path too long\n");
    }
    if (*per_request == NULL) {    // headers only; libmicrohttpd wants replies at the next call
        *per_request = (void *)(uintptr_t)&seen;
        return MHD_YES;
    }
    if (*upload_len != 0) {
        return MHD_NO;    // a body: drop the connection instead of reading it
    }
    struct http_reply r = {.status = 500};
    s->handler(s->arg, url, &r);
    return send_reply(c, &r);
}

static enum err serve(struct http_server *s, int fd, const char *where, struct MHD_Daemon **out,
                      struct why *why)
{
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request, s,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES, MHD_OPTION_END);
    if (d ==
        NULL) {    // fd may be left open: libmicrohttpd does not say, and closing twice is worse
        return why_set(why, ERR_IO, "http %s: cannot start", where);
    }
    *out = d;
    return ERR_OK;
}

static enum err start_unix(struct http_server *s, const char *path, struct why *why)
{
    int fd = -1;
    char *copy = strdup(path);
    if (copy == NULL) {
        return why_set(why, ERR_NOMEM, "http %s: out of memory", path);
    }
    enum err e = http_socket_listen_unix(path, &fd, why);
    if (e != ERR_OK) {
        free(copy);
        return e;
    }
    s->socket_path = copy;
    return serve(s, fd, path, &s->local, why);
}

enum err http_server_create(const char *address, const char *socket_path, http_handler_fn *handler,
                            void *arg, struct http_server **out, struct why *why)
{
    bool tcp = address != NULL && address[0] != 0;
    if (!tcp && socket_path == NULL) {
        return why_set(why, ERR_INVALID, "http: neither an address nor a socket path");
    }
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return why_set(why, ERR_NOMEM, "http: out of memory");
    }
    s->handler = handler;
    s->arg = arg;
    enum err e = ERR_OK;
    int fd = -1;
    if (tcp && (e = http_socket_listen(address, &fd, s->address, why)) == ERR_OK) {
        e = serve(s, fd, address, &s->tcp, why);
    }
    if (e == ERR_OK && socket_path != NULL) {
        e = start_unix(s, socket_path, why);
    }
    if (e != ERR_OK) {
        http_server_destroy(s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

const char *http_server_address(const struct http_server *s)
{
    return s->address;
}

void http_server_destroy(struct http_server *s)
{
    if (s == NULL) {
        return;
    }
    if (s->socket_path != NULL) {
        unlink(s->socket_path);    // before the socket closes: no client finds a dead file
        free(s->socket_path);
    }
    if (s->tcp != NULL) {
        MHD_stop_daemon(s->tcp);
    }
    if (s->local != NULL) {
        MHD_stop_daemon(s->local);
    }
    free(s);
}
