// fetch.h: the weights' way from the learner into the engine: which version next, its chunks, the
// hand-over between two passes.
//
//   WAIT_VERSION long poll, hints in other replies ─▶ newest ─▶ FIND_WEIGHTS
//     ─▶ in a slab of this machine: reload.c maps it ───────────────────┐
//     ─▶ else, or where that fails: FETCH_WEIGHTS chunk by chunk,       ├─▶ compute_weights ─▶ loaded
//        reload.c packs them ───────────────────────────────────────────┘
//
// Either way the version's hash is checked. One version at a time; work that is pinned to an older
// version goes first. A version that is gone is replaced by the newest. Loop thread only; whatever
// fails is asked for again by fetch_more.
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
    bool slabs;                      // may be mapped; false: chunks always
    void (*on_loaded)(void *arg);    // `loaded` has changed
    // Something failed that will be tried again, with the event of the log and its cause.
    void (*on_trouble)(void *arg, const char *event, const char *text);
    void *arg;
    bool stopping;
    // for everybody to read
    uint64_t newest;                    // that the learner has told of
    uint64_t loaded;                    // that samples are decoded with; 0 = none yet
    uint64_t version, offset, total;    // under way, and its bytes; 0 = none
    bool mapped;                        // `loaded` stands in a slab
    // From the optimiser's last write to the first token of `loaded`, ms; negative = not known.
    double publish_to_decode_ms;
    // private
    uint64_t pinned;                      // wanted by pinned work; 0 = none
    uint64_t updated_us, loaded_at_us;    // of the version under way, of `loaded`; 0 = not known
    uint64_t refused;                     // version whose slab would not do
    bool for_newest, begun, chunks, mapping, told;
    bool find_call, chunk_call, wait_call;
};

void fetch_saw(struct fetch *f, uint64_t newest);    // a hint; older ones are ignored
// The learner's word after a hello: after a roll-back it may be lower than what we had.
void fetch_reset(struct fetch *f, uint64_t newest);
void fetch_pinned(struct fetch *f, uint64_t version);    // queued work waits for this version
// Goes on with whatever is to be done: next chunk, next version, long poll. Any time.
void fetch_more(struct fetch *f);
// The first token of a newest version was decoded, at this Unix time.
void fetch_on_decoded(struct fetch *f, uint64_t version, uint64_t at_us);
void fetch_on_reloaded(void *arg, const struct reload_outcome *o);    // reload_events.done

#endif
