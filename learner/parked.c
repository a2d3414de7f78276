// parked.c: a plain array; a few dozen actors and verifiers park one request each.
#include "learner/parked.h"

bool parked_add(struct parked *p, struct bus_request *r, uint64_t deadline_ms)
{
    if (p->n == PARKED_MAX) {
        return false;
    }
    p->slot[p->n].request = r;
    p->slot[p->n++].deadline_ms = deadline_ms;
    return true;
}

// Nobody would read the answer: work given to it would wait for its lease to end.
static bool drop(struct bus_request *r)
{
    bus_reply_fault(r, ERR_CLOSED, "the connection is gone");
    return true;
}

void parked_retry(struct parked *p, enum msg_type type, uint64_t now_ms, parked_try_fn *fn,
                  void *arg)
{
    size_t kept = 0, n = p->n;
    for (size_t i = 0; i < n; i++) {
        struct bus_request *r = p->slot[i].request;
        bool taken = false;
        if (bus_request_msg(r)->type == type) {
            taken = bus_request_alive(r) ? fn(arg, r, now_ms >= p->slot[i].deadline_ms) : drop(r);
        }
        if (!taken) {
            p->slot[kept++] = p->slot[i];
        }
    }
    p->n = kept;
}
