// fetch.h: the weights' way from the learner into the engine: which version next, its chunks, the
// hand-over between two passes.
//
//   WAIT_VERSION long poll, hints in other replies ─▶ newest ─▶ FETCH_WEIGHTS chunk by chunk
//     ─▶ reload.c packs and checks the hash ─▶ compute_weights ─▶ loaded
//
// One version at a time; work that is pinned to an older version goes first. A version that is gone
// is replaced by the newest. Loop thread only; whatever fails is asked for again by fetch_more.
#ifndef CARAVAN_ACTOR_FETCH_H
#define CARAVAN_ACTOR_FETCH_H

#include "actor/compute.h"
#include "actor/reload.h"
#include "proto/bus.h"

struct fetch {
    // set by the owner
    struct bus_client *bus;
    struct compute *compute;
    struct reload *reload;    // NULL until the model is known: nothing is fetched
    struct msg_incarnation incarnation;
    void (*on_loaded)(void *arg);    // `loaded` has changed
    // Something failed that will be tried again, with the event of the log and its cause.
    void (*on_trouble)(void *arg, const char *event, const char *text);
    void *arg;
    bool stopping;
    // for everybody to read
    uint64_t newest;                    // that the learner has told of
    uint64_t loaded;                    // that samples are decoded with; 0 = none yet
    uint64_t version, offset, total;    // under way, and its bytes; 0 = none
    // private
    uint64_t pinned;    // wanted by pinned work; 0 = none
    bool for_newest, begun, chunk_call, wait_call;
};

void fetch_saw(struct fetch *f, uint64_t newest);    // a hint; older ones are ignored
// The learner's word after a hello: after a roll-back it may be lower than what we had.
void fetch_reset(struct fetch *f, uint64_t newest);
void fetch_pinned(struct fetch *f, uint64_t version);    // queued work waits for this version
// Goes on with whatever is to be done: next chunk, next version, long poll. Any time.
void fetch_more(struct fetch *f);
void fetch_on_reloaded(void *arg, const struct reload_outcome *o);    // reload_events.done

#endif
