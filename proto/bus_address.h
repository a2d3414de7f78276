// bus_address.h: ipc://PATH and tcp://HOST:PORT, taken apart and put together. Internal to proto;
// knows no NNG.
//
// In: text from a configuration, a command line or a WELCOME. Out: its parts, checked: a path that
// fits a unix socket, a port in 0..65535. The wait endpoint follows from the do endpoint by one
// rule on both sides, so only one address is ever configured. Pure functions; no name is resolved
// here.
#ifndef CARAVAN_PROTO_BUS_ADDRESS_H
#define CARAVAN_PROTO_BUS_ADDRESS_H

#include <stdbool.h>

#include "common/err.h"
#include "proto/limits.h"

enum { BUS_ADDRESS_SIZE = LIMIT_NAME_BYTES };    // with the NUL: an address must fit WELCOME

struct bus_address {
    bool ipc;
    char host[BUS_ADDRESS_SIZE];    // the path of an ipc address; brackets of an IPv6 address
                                    // included
    unsigned port;
};

MUST_CHECK enum err bus_address_parse(const char *text, struct bus_address *out, struct why *why);
void bus_address_format(const struct bus_address *a, char out[BUS_ADDRESS_SIZE]);
// The "wait" endpoint that goes with a "do" endpoint.
struct bus_address bus_address_neighbour(const struct bus_address *a);
// The wait address as a client reaches it, given the do address that worked: a wildcard host
// becomes the do host, a relative ipc path is taken from the do path's folder.
struct bus_address bus_address_reach(const struct bus_address *wait,
                                     const struct bus_address *to_do);

#endif
