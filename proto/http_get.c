// http_get.c: the client for our own status pages: one GET, one reply, one deadline for all of it.
//
// The peer is a Caravan daemon, but a mistyped port may lead anywhere, so every byte is bounded:
// HEADER_BYTES of header, `max` bytes of body, and poll(2) with the time that is left before each
// read and write. We ask for "Connection: close" and understand a body with Content-Length or one
// that ends with the connection; chunked bodies, which our server never sends, are refused by name.
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "proto/http.h"
#include "proto/http_socket.h"

enum { HEADER_BYTES = 16 << 10, READ_BYTES = 16 << 10 };

#define NO_LENGTH SIZE_MAX

struct get {
    const char *address;
    uint64_t deadline_ms;
    int fd;
    struct buf in;    // everything received
    struct why *why;
};

static enum err send_all(struct get *g, const char *data, size_t len)
{
    while (len > 0) {
        if (http_socket_wait(g->fd, POLLOUT, g->deadline_ms) != ERR_OK) {
            return why_set(g->why, ERR_TIMEOUT, "%s: no answer in time", g->address);
        }
        ssize_t n = send(g->fd, data, len, MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return why_set(g->why, ERR_IO, "%s: send: %s", g->address, strerror(errno));
        }
    }
    return ERR_OK;
}

// Appends what arrives next, at most `most` bytes; *ended when the peer closed.
static enum err receive(struct get *g, size_t most, bool *ended)
{
    char chunk[READ_BYTES];
    for (;;) {
        if (http_socket_wait(g->fd, POLLIN, g->deadline_ms) != ERR_OK) {
            return why_set(g->why, ERR_TIMEOUT, "%s: no answer in time", g->address);
        }
        ssize_t n = recv(g->fd, chunk, MIN(most, sizeof chunk), 0);
        if (n >= 0) {
            *ended = n == 0;
            enum err e = buf_append(&g->in, chunk, (size_t)n);
            return e == ERR_OK ? e : why_set(g->why, e, "%s: %s", g->address, err_text(e));
        }
        if (errno != EAGAIN && errno != EINTR) {
            return why_set(g->why, ERR_IO, "%s: receive: %s", g->address, strerror(errno));
        }
    }
}

// Receives until the blank line; *header_len includes it.
static enum err receive_header(struct get *g, size_t *header_len)
{
    bool ended = false;
    for (;;) {
        const uint8_t *end = g->in.len == 0 ? NULL : memmem(g->in.data, g->in.len, "\r\n\r\n", 4);
        if (end != NULL) {
            *header_len = (size_t)(end - g->in.data) + 4;
            return ERR_OK;
        }
        if (ended || g->in.len >= HEADER_BYTES) {
            return why_set(g->why, ERR_CORRUPT, "%s: the answer is no HTTP (%zu bytes)", g->address,
                           g->in.len);
        }
        enum err e = receive(g, HEADER_BYTES - g->in.len, &ended);
        if (e != ERR_OK) {
            return e;
        }
    }
}

static bool parse_length(const char *s, size_t *out)
{
    size_t v = 0, n = strspn(s, "0123456789");
    if (n == 0 || n > 15 || s[n + strspn(s + n, " \t")] != 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        v = v * 10 + (size_t)(s[i] - '0');
    }
    *out = v;
    return true;
}

// "HTTP/1.1 200 OK": exactly three digits, 100 … 599.
static bool parse_status(const char *line, int *status)
{
    const char *d = line + 9;
    if (strlen(line) < 12 ||
        (memcmp(line, "HTTP/1.1 ", 9) != 0 && memcmp(line, "HTTP/1.0 ", 9) != 0) ||
        !isdigit((unsigned char)d[0]) || !isdigit((unsigned char)d[1]) ||
        !isdigit((unsigned char)d[2]) || (d[3] != ' ' && d[3] != 0)) {
        return false;
    }
    *status = (d[0] - '0') * 100 + (d[1] - '0') * 10 + (d[2] - '0');
    return *status >= 100 && *status <= 599;
}

static enum err parse_header(struct get *g, size_t header_len, int *status, size_t *length)
{
    char text[HEADER_BYTES + 1];
    memcpy(text, g->in.data, header_len);
    text[header_len] = 0;
    char *next = NULL, *line = strtok_r(text, "\r\n", &next);
    if (line == NULL || !parse_status(line, status)) {
        return why_set(g->why, ERR_CORRUPT, "%s: the answer is no HTTP", g->address);
    }
    *length = NO_LENGTH;
    while ((line = strtok_r(NULL, "\r\n", &next)) != NULL) {
        char *colon = strchr(line, ':');
        if (colon == NULL) {
            continue;
        }
        *colon = 0;
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        if (strcasecmp(line, "Transfer-Encoding") == 0) {
            return why_set(g->why, ERR_UNSUPPORTED, "%s: transfer encoding '%s'", g->address,
                           value);
        }
        if (strcasecmp(line, "Content-Length") == 0 && !parse_length(value, length)) {
            return why_set(g->why, ERR_CORRUPT, "%s: content length '%s'", g->address, value);
        }
    }
    return ERR_OK;
}

static enum err receive_body(struct get *g, size_t header_len, size_t length, size_t max)
{
    if (length != NO_LENGTH && length > max) {
        return why_set(g->why, ERR_LIMIT, "%s: a body of %zu bytes, at most %zu", g->address,
                       length, max);
    }
    for (bool ended = false; !ended;) {
        size_t got = g->in.len - header_len;
        if (got > (length != NO_LENGTH ? length : max)) {
            return why_set(g->why, ERR_LIMIT, "%s: a body over %zu bytes", g->address,
                           length != NO_LENGTH ? length : max);
        }
        if (got == length) {
            return ERR_OK;
        }
        size_t most = (length != NO_LENGTH ? length : max + 1) - got;
        enum err e = receive(g, most, &ended);
        if (e != ERR_OK) {
            return e;
        }
    }
    size_t got = g->in.len - header_len;
    if (length != NO_LENGTH) {
        return why_set(g->why, ERR_CLOSED, "%s: closed after %zu of %zu bytes", g->address, got,
                       length);
    }
    return ERR_OK;
}

static enum err exchange(struct get *g, const char *path, size_t max, int *status, size_t *skip)
{
    char request[1200];
    const char *host = strchr(g->address, '/') != NULL ? "localhost" : g->address;
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
    if (n < 0 || (size_t)n >= sizeof request) {
        return why_set(g->why, ERR_LIMIT, "%s: path of %zu bytes", g->address, strlen(path));
    }
    size_t length = NO_LENGTH;
    enum err e = send_all(g, request, (size_t)n);
    if (e != ERR_OK || (e = receive_header(g, skip)) != ERR_OK ||
        (e = parse_header(g, *skip, status, &length)) != ERR_OK) {
        return e;
    }
    return receive_body(g, *skip, length, max);
}

enum err http_get(const char *address, const char *path, uint32_t timeout_ms, size_t max,
                  int *status, char **body, size_t *len, struct why *why)
{
    struct get g = {.address = address, .deadline_ms = clock_mono_ms() + timeout_ms, .why = why};
    if (path[0] != '/' || strpbrk(path, " \t\r\n") != NULL) {
        return why_set(why, ERR_INVALID, "'%s' is no path of a page", path);
    }
    max = MIN(max, (size_t)1 << 30);
    enum err e = http_socket_connect(address, g.deadline_ms, &g.fd, why);
    if (e != ERR_OK) {
        return e;
    }
    size_t skip = 0;
    int code = 0;
    buf_init(&g.in, HEADER_BYTES + max + READ_BYTES);
    e = exchange(&g, path, max, &code, &skip);
    close(g.fd);
    char *copy = NULL;
    if (e == ERR_OK && (copy = malloc(g.in.len - skip + 1)) == NULL) {
        e = why_set(why, ERR_NOMEM, "%s: out of memory", address);
    }
    if (e == ERR_OK) {
        *len = g.in.len - skip;
        memcpy(copy, g.in.data + skip, *len);
        copy[*len] = 0;
        *status = code;
        *body = copy;
    }
    buf_fini(&g.in);
    return e;
}
