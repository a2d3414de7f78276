// parked.h: long polls that wait for something to happen: a bounded list with deadlines. Loop
// thread only.
#ifndef CARAVAN_LEARNER_PARKED_H
#define CARAVAN_LEARNER_PARKED_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/bus.h"

enum { PARKED_MAX = 512 };

struct parked {
    struct {
        struct bus_request *request;
        uint64_t deadline_ms;
    } slot[PARKED_MAX];
    size_t n;
};

// false: the list is full, the request is still the caller's.
bool parked_add(struct parked *p, struct bus_request *r, uint64_t deadline_ms);
// Offers every parked request of one type, oldest first, to fn; it returns true when it has taken
// (answered) the request. One whose client is gone is dropped. fn must not park or retry.
typedef bool parked_try_fn(void *arg, struct bus_request *r, bool expired);
void parked_retry(struct parked *p, enum msg_type type, uint64_t now_ms, parked_try_fn *fn,
                  void *arg);

#endif
