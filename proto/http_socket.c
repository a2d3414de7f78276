// http_socket.c: the sockets under http.c and http_get.c.
//
// We bind ourselves instead of letting libmicrohttpd do it, for three reasons: errors that name
// address and cause, the port that "0" became, and a unix socket whose mode is 0600 from its first
// moment (fchmod before bind gives the file its mode on Linux; chmod afterwards would leave a gap).
#include "proto/http_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/sockfile.h"

enum { BACKLOG = 64 };

// HOST:PORT or [IPV6]:PORT. host: without brackets, shown: as written.
static enum err split(const char *address, char host[HTTP_ADDRESS_SIZE],
                      char shown[HTTP_ADDRESS_SIZE], const char **port, struct why *why)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - address);
    if (len == 0 || len > HTTP_ADDRESS_SIZE - sizeof ":65535") {
        return why_set(why, ERR_INVALID, "http address '%s': expected HOST:PORT", address);
    }
    const char *p = colon + 1;
    size_t digits = strlen(p);
    if (digits == 0 || digits > 5 || strspn(p, "0123456789") != digits ||
        (p[0] == '0' && digits > 1) || strtoul(p, NULL, 10) > 65535) {
        return why_set(why, ERR_INVALID, "http address '%s': port '%s' is not in 0..65535", address,
                       p);
    }
    bool six = address[0] == '[' && address[len - 1] == ']';
    snprintf(shown, HTTP_ADDRESS_SIZE, "%.*s", (int)len, address);
    snprintf(host, HTTP_ADDRESS_SIZE, "%.*s", (int)len - (six ? 2 : 0), address + (six ? 1 : 0));
    if (host[0] == 0 || (!six && strchr(host, ':') != NULL)) {
        return why_set(why, ERR_INVALID, "http address '%s': '%s' is no host", address, shown);
    }
    *port = p;
    return ERR_OK;
}

static enum err resolve(const char *address, const char *host, const char *port, bool passive,
                        struct addrinfo **out, struct why *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
    int rc = getaddrinfo(host, port, &hints, out);
    return rc == 0
               ? ERR_OK
               : why_set(why, ERR_NOT_FOUND, "http address '%s': %s", address, gai_strerror(rc));
}

static enum err bind_err(int cause)
{
    return cause == EADDRINUSE ? ERR_BUSY : cause == EACCES ? ERR_DENIED : ERR_IO;
}

static unsigned bound_port(int fd)
{
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        return 0;
    }
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

bool http_socket_is_loopback(int fd)
{
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        return false;
    }
    if (a.ss_family == AF_INET) {
        return ntohl(((struct sockaddr_in *)&a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    return a.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&a)->sin6_addr);
}

enum err http_socket_listen(const char *address, int *fd, char bound[HTTP_ADDRESS_SIZE],
                            struct why *why)
{
    char host[HTTP_ADDRESS_SIZE], shown[HTTP_ADDRESS_SIZE];
    const char *port = "";
    struct addrinfo *list = NULL;
    enum err e = split(address, host, shown, &port, why);
    if (e != ERR_OK || (e = resolve(address, host, port, true, &list, why)) != ERR_OK) {
        return e;
    }
    int cause = 0, one = 1;
    int s = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(s, list->ai_addr, list->ai_addrlen) != 0 || listen(s, BACKLOG) != 0) {
        cause = errno;
    }
    freeaddrinfo(list);
    if (cause != 0) {
        if (s >= 0) {
            close(s);
        }
        return why_set(why, bind_err(cause), "http address '%s': %s", address, strerror(cause));
    }
    snprintf(bound, HTTP_ADDRESS_SIZE, "%.*s:%u", HTTP_ADDRESS_SIZE - 8, shown, bound_port(s));
    *fd = s;
    return ERR_OK;
}

enum err http_socket_listen_unix(const char *path, int *fd, struct why *why)
{
    struct sockaddr_un a;
    enum err e = sockfile_address(path, &a, why);
    if (e != ERR_OK || (e = sockfile_make_way(path, why)) != ERR_OK) {
        return e;
    }
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0 || fchmod(s, 0600) != 0 || bind(s, (const struct sockaddr *)&a, sizeof a) != 0 ||
        listen(s, BACKLOG) != 0) {
        int cause = errno;
        if (s >= 0) {
            close(s);
        }
        return why_set(why, bind_err(cause), "%s: %s", path, strerror(cause));
    }
    *fd = s;
    return ERR_OK;
}

enum err http_socket_wait(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = events};
        int left = now >= deadline_ms ? 0 : (int)MIN(deadline_ms - now, (uint64_t)1000000);
        int rc = poll(&p, 1, left);
        if (rc > 0) {
            return ERR_OK;
        }
        if (left == 0) {
            return ERR_TIMEOUT;
        }
    }
}

// Connects one socket; returns 0 or the cause as errno.
static int connect_one(int s, const struct sockaddr *a, socklen_t len, uint64_t deadline_ms)
{
    if (connect(s, a, len) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return errno;
    }
    if (http_socket_wait(s, POLLOUT, deadline_ms) != ERR_OK) {
        return ETIMEDOUT;
    }
    int cause = 0;
    socklen_t n = sizeof cause;
    return getsockopt(s, SOL_SOCKET, SO_ERROR, &cause, &n) == 0 ? cause : errno;
}

static enum err connect_to(const char *address, const struct sockaddr *a, socklen_t len,
                           uint64_t deadline_ms, int *fd, struct why *why)
{
    int s = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int cause = s < 0 ? errno : connect_one(s, a, len, deadline_ms);
    if (cause == 0) {
        *fd = s;
        return ERR_OK;
    }
    if (s >= 0) {
        close(s);
    }
    bool absent = cause == ECONNREFUSED || cause == ENOENT;
    return why_set(why,
                   absent               ? ERR_NOT_FOUND
                   : cause == ETIMEDOUT ? ERR_TIMEOUT
                                        : ERR_IO,
                   "%s: %s", address, absent ? "nobody listens there" : strerror(cause));
}

enum err http_socket_connect(const char *address, uint64_t deadline_ms, int *fd, struct why *why)
{
    enum err e;
    if (strchr(address, '/') != NULL) {
        struct sockaddr_un u;
        e = sockfile_address(address, &u, why);
        return e != ERR_OK ? e
                           : connect_to(address, (const struct sockaddr *)&u, sizeof u, deadline_ms,
                                        fd, why);
    }
    char host[HTTP_ADDRESS_SIZE], shown[HTTP_ADDRESS_SIZE];
    const char *port = "";
    struct addrinfo *list = NULL;
    e = split(address, host, shown, &port, why);
    if (e != ERR_OK || (e = resolve(address, host, port, false, &list, why)) != ERR_OK) {
        return e;
    }
    e = ERR_NOT_FOUND;
    for (struct addrinfo *a = list; a != NULL && e != ERR_OK; a = a->ai_next) {
        e = connect_to(address, a->ai_addr, a->ai_addrlen, deadline_ms, fd, why);
    }
    freeaddrinfo(list);
    return e;
}
