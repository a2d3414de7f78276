// outbox.h: what this actor holds: leased sample ids, and finished samples until the learner has
// acknowledged them.
//
// Loop thread only. A sample is held from its lease until its acknowledgement; heartbeats name all
// held ids. Finished samples are kept whole and submitted again and again (the learner's side is
// idempotent), so neither a lost reply nor a learner restart loses one.
#ifndef CARAVAN_ACTOR_OUTBOX_H
#define CARAVAN_ACTOR_OUTBOX_H

#include <stdbool.h>

#include "actor/engine.h"

// A finished sample, owned copy.
struct outgoing {
    struct outgoing *next;
    struct msg_submit_sample msg;    // arrays owned; incarnation and payload filled at submission
    bool in_flight;
    unsigned tries;
};

struct outbox {
    uint64_t *held;
    size_t n_held, cap_held;
    struct outgoing *first;
    size_t n_outgoing;
};

// A heap copy of a finished sample (free with outgoing_free); NULL when out of memory. Any thread.
struct outgoing *outgoing_copy(const struct engine_sample *s);
void outgoing_free(struct outgoing *o);    // NULL is fine

void outbox_fini(struct outbox *b);
MUST_CHECK enum err outbox_hold(struct outbox *b, const uint64_t *ids, size_t n);
bool outbox_holds(const struct outbox *b, uint64_t id);
void outbox_drop(struct outbox *b,
                 uint64_t id);    // no longer held; a waiting copy that is not in flight is freed
// Takes ownership. A sample that is not held any more (its lease was abandoned) is freed and false
// returned.
bool outbox_put(struct outbox *b, struct outgoing *o);
struct outgoing *outbox_next(
    struct outbox *b);    // a finished sample that is not in flight, oldest first; NULL = none
// The learner has answered for o: it is forgotten.
void outbox_done(struct outbox *b, struct outgoing *o);

#endif
