// reload.h: turns weight chunks into packed weights on a thread of its own, while decoding goes on.
//
// The loop thread feeds one version at a time: reload_begin, reload_chunk in order of offset, and
// gets one outcome back through `done` on the loop thread. At most RELOAD_SLABS sets of weights
// exist: the one in use, the spare that is being filled, and, while an evaluation is pinned to an
// older version, that one.
#ifndef CARAVAN_ACTOR_RELOAD_H
#define CARAVAN_ACTOR_RELOAD_H

#include "model/model.h"

enum { RELOAD_SLABS = 3 };

typedef struct uv_loop_s uv_loop_t;
struct reload;

struct reload_outcome {
    enum err err;               // ERR_OK: weights are whole and their hash is the announced one
    struct weights *weights;    // when ERR_OK: owned by reload; given back with reload_recycle
    uint64_t version;
    char text[256];    // what went wrong
};
// Loop thread.
struct reload_events {
    void (*done)(void *arg, const struct reload_outcome *o);
    void (*room)(void *arg);    // reload_has_room has said no and would now say yes
    void *arg;
};

// device_kind: as for device_open; the thread opens a device of its own, without a pool.
MUST_CHECK enum err reload_create(uv_loop_t *loop, const char *device_kind,
                                  const struct model_config *c, enum dtype t,
                                  const struct reload_events *ev, struct reload **out,
                                  struct why *why);
// ERR_BUSY: a version is being filled, or every slab is in use. Exactly one outcome follows each
// success.
MUST_CHECK enum err reload_begin(struct reload *r, uint64_t version, struct hash128 hash,
                                 struct why *why);
// A chunk will be taken at once. False: ev.room is called when that has changed.
bool reload_has_room(struct reload *r);
// Copies the bytes. ERR_FULL: there is no room.
MUST_CHECK enum err reload_chunk(struct reload *r, const void *bytes, size_t len);
void reload_abort(struct reload *r);    // the outcome comes at once: ERR_CANCELLED, or ERR_OK if it
                                        // was whole already
// Nobody uses w any more: one slab is kept as the spare, a second one is freed.
void reload_recycle(struct reload *r, const struct weights *w);
bool reload_active(const struct reload *r);
size_t reload_slabs(const struct reload *r);    // that exist now
// Stops the thread, closes the loop handles (run the loop once more before reload_destroy).
void reload_close(struct reload *r);
void reload_destroy(struct reload *r);    // frees all weights; NULL is fine

#endif
