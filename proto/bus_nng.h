// bus_nng.h: what both sides of the bus share of NNG. Internal to proto; only bus_*.c include it.
//
// Small enough to be inline, and in one place because each of them works around or relies on
// something that NNG 1.5.2 does: the bound on received messages, the ownership of a message in an
// aio, the search for a counter.
#ifndef CARAVAN_PROTO_BUS_NNG_H
#define CARAVAN_PROTO_BUS_NNG_H

#include <nng/nng.h>
#include <string.h>

#include "common/buf.h"
#include "proto/limits.h"

// What a transport accepts: a message and NNG's own header. A peer that announces more is
// disconnected before a byte of it is read.
#define BUS_RECV_MAX ((size_t)LIMIT_MESSAGE_BYTES + 64)

// A fresh NNG message holding these bytes; NULL when out of memory.
static inline nng_msg *bus_nng_message(const void *data, size_t len)
{
    nng_msg *m;
    if (nng_msg_alloc(&m, 0) != 0) {
        return NULL;
    }
    if (nng_msg_append(m, data, len) != 0) {
        nng_msg_free(m);
        return NULL;
    }
    return m;
}

// Frees the message that a finished operation left in the aio, if any.
static inline void bus_nng_drop(nng_aio *aio)
{
    nng_msg *m = nng_aio_get_msg(aio);
    if (m != NULL) {
        nng_aio_set_msg(aio, NULL);
        nng_msg_free(m);
    }
}

// One counter of the listener or dialer (kind) with this id, 0 when there is none. Searched by
// hand: nng_stat_find_listener and _dialer of 1.5.2 return the first of all.
static inline uint64_t bus_nng_counter(nng_stat *stats, const char *kind, int id, const char *name)
{
    for (nng_stat *s = nng_stat_child(stats); s != NULL; s = nng_stat_next(s)) {
        nng_stat *its_id = nng_stat_find(s, "id"), *counter = nng_stat_find(s, name);
        if (strcmp(nng_stat_name(s), kind) == 0 && its_id != NULL && counter != NULL &&
            nng_stat_value(its_id) == (uint64_t)id) {
            return nng_stat_value(counter);
        }
    }
    return 0;
}

#endif
