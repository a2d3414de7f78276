// http.c: pages over HTTP, on TCP and on a unix socket in the run folder.
//
// libmicrohttpd does the protocol, one polling thread per listener; the handler given by the daemon
// makes the answer from a snapshot. Of GET and HEAD requests we read no body, so such a request has
// no effect and needs no token; a server that takes POSTs (http_post.c) asks for one where others
// reach it. Bounds: CONNECTIONS at once, IDLE_S without a byte, CONNECTION_BYTES for all headers of
// a request (libmicrohttpd answers 431 or 414 itself), PATH_BYTES for the path.
#include "proto/http.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "proto/http_post.h"
#include "proto/http_socket.h"

// A server that takes POSTs keeps connections asleep: it can say 503 only with some to spare.
enum {
    CONNECTIONS = 32,
    POSTING_CONNECTIONS = 128,
    IDLE_S = 10,
    CONNECTION_BYTES = 16 << 10,
    PATH_BYTES = 512
};

static const char page_seen;    // marks a GET whose headers were seen

struct http_server {
    http_handler_fn *handler;
    void *arg;
    struct MHD_Daemon *tcp, *local;
    char address[HTTP_ADDRESS_SIZE];
    char *socket_path;
    char *token;                 // NULL: none is asked for
    struct http_posts *posts;    // NULL: GET and HEAD only
};

enum MHD_Result http_post_send(struct MHD_Connection *c, const struct http_reply *r)
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
        MHD_add_response_header(response, "Allow", r->allow != NULL ? r->allow : "GET, HEAD");
    }
    if (r->status == 401) {
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    }
    if (r->retry_after_s > 0) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u", r->retry_after_s);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    unsigned status = r->status >= 200 && r->status <= 599 ? (unsigned)r->status : 500;
    enum MHD_Result queued = MHD_queue_response(c, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result send_text(struct MHD_Connection *c, int status, const char *text)
{
    struct http_reply r = {.status = status, .body = strdup(text), .len = strlen(text)};
    return r.body == NULL ? MHD_NO : http_post_send(c, &r);
}

// Every byte that was given is looked at, whatever the first wrong one: the time tells the length of
// the guess only.
static bool token_is(const char *given, const char *token)
{
    size_t n = strlen(token), len = strlen(given);
    volatile unsigned char differ = len != n;
    for (size_t i = 0; i < len; i++) {
        differ |= (unsigned char)(given[i] ^ token[i % (n + 1)]);
    }
    return differ == 0;
}

static bool allowed(const struct http_server *s, struct MHD_Connection *c, const char *url)
{
    static const char scheme[] = "Bearer ";
    if (s->token == NULL || strcmp(url, "/healthz") == 0) {
        return true;
    }
    const char *given = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    return given != NULL && strncasecmp(given, scheme, sizeof scheme - 1) == 0 &&
           token_is(given + sizeof scheme - 1, s->token);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **per_request)
{
    struct http_server *s = cls;
    (void)version;
    bool post = s->posts != NULL && strcmp(method, "POST") == 0;
    if (*per_request == NULL && !allowed(s, c, url)) {
        return send_text(c, 401, "expected Authorization: Bearer TOKEN\n");
    }
    if (!post && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return send_text(c, 405, "only GET and HEAD\n");
    }
    if (strlen(url) > PATH_BYTES) {
        return send_text(c, 414, "path too long\n");
    }
    if (post) {
        return http_post_request(s->posts, c, url, upload, upload_len, per_request);
    }
    if (*per_request == NULL) {    // headers only; libmicrohttpd wants replies at the next call
        *per_request = (void *)(uintptr_t)&page_seen;
        return MHD_YES;
    }
    if (*upload_len != 0) {
        return MHD_NO;    // a body: drop the connection instead of reading it
    }
    struct http_reply r = {.status = 500};
    s->handler(s->arg, url, &r);
    return http_post_send(c, &r);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **per_request,
                         enum MHD_RequestTerminationCode how)
{
    (void)cls;
    (void)c;
    (void)how;
    if (*per_request != NULL && *per_request != &page_seen) {
        http_post_completed(*per_request);
    }
    *per_request = NULL;
}

static enum err serve(struct http_server *s, int fd, uint32_t idle_s, const char *where,
                      struct MHD_Daemon **out, struct why *why)
{
    unsigned flags = MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD |
                     (s->posts != NULL ? MHD_ALLOW_SUSPEND_RESUME : 0);
    unsigned connections = s->posts != NULL ? POSTING_CONNECTIONS : CONNECTIONS;
    struct MHD_Daemon *d = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(idle_s > 0 ? idle_s : IDLE_S),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
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
    return serve(s, fd, IDLE_S, path, &s->local, why);
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
        e = serve(s, fd, IDLE_S, address, &s->tcp, why);
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

enum err http_server_create_posting(const char *address, const struct http_posting *p,
                                    struct http_server **out, struct why *why)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL || (s->posts = http_posts_create(p)) == NULL) {
        free(s);
        return why_set(why, ERR_NOMEM, "http: out of memory");
    }
    s->handler = p->handler;
    s->arg = p->arg;
    int fd = -1;
    enum err e = http_socket_listen(address, &fd, s->address, why);
    if (e == ERR_OK && !http_socket_is_loopback(fd)) {
        if (p->token == NULL) {
            e = why_set(why, ERR_DENIED, "http address '%s': others reach it, so a token is needed",
                        address);
        } else if ((s->token = strdup(p->token)) == NULL) {
            e = why_set(why, ERR_NOMEM, "http: out of memory");
        }
        if (e != ERR_OK) {
            close(fd);
        }
    }
    e = e != ERR_OK ? e : serve(s, fd, p->idle_s, address, &s->tcp, why);
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
    if (s->posts != NULL) {
        http_posts_settle(s->posts);
    }
    if (s->tcp != NULL) {
        MHD_stop_daemon(s->tcp);
    }
    if (s->local != NULL) {
        MHD_stop_daemon(s->local);
    }
    http_posts_destroy(s->posts);
    free(s->token);
    free(s);
}
