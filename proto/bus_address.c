// bus_address.c: the form of a bus address, and how one address becomes two.
//
// A configuration names one address; the bus needs two endpoints. The second one follows from the
// first (PATH.wait, PORT+1), so that a person has one thing to write, one thing to open in a
// firewall rule and one thing to mistype. The learner binds what it is told, which may be 0.0.0.0
// or a path relative to its own folder: neither means the same to a client elsewhere, so a client
// reads the wait address in the light of the do address that it reached (bus_address_reach).
#include "proto/bus_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bus.h"
#include "proto/sockfile.h"

#define WAIT_SUFFIX ".wait"
enum { PORT_MAX = 65534 };    // the next port is used too

static enum err parse_ipc(const char *text, const char *path, struct bus_address *out,
                          struct why *why)
{
    size_t len = strlen(path), max = SOCKFILE_PATH_MAX - strlen(WAIT_SUFFIX);
    if (len == 0) {
        return why_set(why, ERR_INVALID, "%s: no path after ipc://", text);
    }
    if (len > max) {
        return why_set(why, ERR_LIMIT, "%s: a path of %zu bytes, at most %zu", text, len, max);
    }
    out->ipc = true;
    memcpy(out->host, path, len + 1);
    return ERR_OK;
}

// Full-string decimal without sign, blanks or leading zeros.
static bool parse_port(const char *s, unsigned *out)
{
    size_t len = strlen(s);
    if (len == 0 || len > 5 || strspn(s, "0123456789") != len || (s[0] == '0' && len > 1)) {
        return false;
    }
    unsigned long v = strtoul(s, NULL, 10);
    *out = (unsigned)v;
    return v <= PORT_MAX;
}

static bool host_is_valid(const char *host)
{
    struct in6_addr six;
    size_t len = strlen(host);
    if (host[0] == '[') {
        char bare[BUS_ADDRESS_SIZE];
        if (len < 3 || host[len - 1] != ']') {
            return false;
        }
        snprintf(bare, sizeof bare, "%.*s", (int)len - 2, host + 1);
        return inet_pton(AF_INET6, bare, &six) == 1;
    }
    return len > 0 && strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789.-_") == len;
}

static enum err parse_tcp(const char *text, const char *rest, struct bus_address *out,
                          struct why *why)
{
    const char *colon = strrchr(rest, ':');
    if (colon == NULL) {
        return why_set(why, ERR_INVALID, "%s: no port, expected tcp://HOST:PORT", text);
    }
    size_t len = (size_t)(colon - rest), max = BUS_ADDRESS_SIZE - sizeof "tcp://:65535";
    if (len > max) {
        return why_set(why, ERR_LIMIT, "%s: a host of %zu bytes, at most %zu", text, len, max);
    }
    memcpy(out->host, rest, len);
    out->host[len] = 0;
    if (!host_is_valid(out->host)) {
        return why_set(why, ERR_INVALID, "%s: '%s' is no host name or address", text, out->host);
    }
    if (!parse_port(colon + 1, &out->port)) {
        return why_set(why, ERR_INVALID, "%s: port '%s' is not in 0..%d", text, colon + 1,
                       PORT_MAX);
    }
    return ERR_OK;
}

enum err bus_address_parse(const char *text, struct bus_address *out, struct why *why)
{
    struct bus_address a = {.ipc = false};
    enum err e;
    if (strncmp(text, "ipc://", 6) == 0) {
        e = parse_ipc(text, text + 6, &a, why);
    } else if (strncmp(text, "tcp://", 6) == 0) {
        e = parse_tcp(text, text + 6, &a, why);
    } else {
        return why_set(why, ERR_INVALID, "%s: expected ipc://PATH or tcp://HOST:PORT", text);
    }
    if (e == ERR_OK) {
        *out = a;
    }
    return e;
}

void bus_address_format(const struct bus_address *a, char out[BUS_ADDRESS_SIZE])
{
    int n = a->ipc ? snprintf(out, BUS_ADDRESS_SIZE, "ipc://%s", a->host)
                   : snprintf(out, BUS_ADDRESS_SIZE, "tcp://%s:%u", a->host, a->port);
    CHECK(n > 0 && n < BUS_ADDRESS_SIZE);
}

struct bus_address bus_address_neighbour(const struct bus_address *a)
{
    struct bus_address n = *a;
    if (n.ipc) {
        memcpy(n.host + strlen(n.host), WAIT_SUFFIX, sizeof WAIT_SUFFIX);
    } else {
        n.port++;
    }
    return n;
}

struct bus_address bus_address_reach(const struct bus_address *wait,
                                     const struct bus_address *to_do)
{
    struct bus_address r = *wait;
    if (!r.ipc && (strcmp(r.host, "0.0.0.0") == 0 || strcmp(r.host, "[::]") == 0)) {
        memcpy(r.host, to_do->ipc ? "127.0.0.1" : to_do->host,
               to_do->ipc ? sizeof "127.0.0.1" : sizeof r.host);
    }
    const char *slash = strrchr(to_do->host, '/');
    if (r.ipc && to_do->ipc && r.host[0] != '/' && slash != NULL) {
        const char *base = strrchr(wait->host, '/');
        base = base == NULL ? wait->host : base + 1;
        char path[2 * BUS_ADDRESS_SIZE];
        snprintf(path, sizeof path, "%.*s/%s", (int)(slash - to_do->host), to_do->host, base);
        if (strlen(path) <= SOCKFILE_PATH_MAX) {
            memcpy(r.host, path, strlen(path) + 1);
        }
    }
    return r;
}

bool bus_address_is_local(const char *address)
{
    struct bus_address a;
    struct in_addr four;
    if (bus_address_parse(address, &a, NULL) != ERR_OK) {
        return false;
    }
    if (a.ipc || strcmp(a.host, "localhost") == 0 || strcmp(a.host, "[::1]") == 0) {
        return true;
    }
    // Only a numeric address counts: 127.example.org may resolve to anywhere.
    return inet_pton(AF_INET, a.host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

enum err bus_address_check(const char *address, struct why *why)
{
    struct bus_address a;
    return bus_address_parse(address, &a, why);
}
