// reload.h: makes weights of a version ready on a thread of its own, while decoding goes on: maps the
// slab that the learner filled, or packs chunks.
//
// The loop thread asks for one version at a time: reload_map, or reload_begin and reload_chunk in
// order of offset, and gets one outcome back through `done` on the loop thread. At most RELOAD_SLABS
// sets of weights are in use or on their way: the newest, the next, and, while an evaluation is
// pinned to an older version, that one. Mapped slabs stay mapped when they are idle, since the
// learner fills them again; packed weights leave one spare.
#ifndef CARAVAN_ACTOR_RELOAD_H
#define CARAVAN_ACTOR_RELOAD_H

#include "model/model.h"
#include "model/weightslab.h"

enum { RELOAD_SLABS = 3 };

typedef struct uv_loop_s uv_loop_t;
struct reload;

struct reload_outcome {
    enum err err;               // ERR_OK: weights are whole and their hash is the announced one
    struct weights *weights;    // when ERR_OK: owned by reload; given back with reload_recycle
    bool mapped;                // they stand in a slab
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
// The same for a version in a slab of the learner's: no chunks follow. An outcome of ERR_CORRUPT,
// ERR_MISMATCH, ERR_BUSY …: not from this slab; the chunks are still there.
MUST_CHECK enum err reload_map(struct reload *r, uint64_t version, struct hash128 hash,
                               const struct weightslab_name *n, struct why *why);
// A chunk will be taken at once. False: ev.room is called when that has changed.
bool reload_has_room(struct reload *r);
// Copies the bytes. ERR_FULL: there is no room.
MUST_CHECK enum err reload_chunk(struct reload *r, const void *bytes, size_t len);
void reload_abort(struct reload *r);    // the outcome comes at once: ERR_CANCELLED, or ERR_OK if it
                                        // was whole already
// Nobody uses w any more: a mapped slab is let go of, so that the learner can fill it again; packed
// weights become the spare, or are freed where there is one.
void reload_recycle(struct reload *r, const struct weights *w);
bool reload_active(const struct reload *r);
size_t reload_packed(const struct reload *r);    // sets of weights in memory of this process
// Stops the thread, closes the loop handles (run the loop once more before reload_destroy).
void reload_close(struct reload *r);
void reload_destroy(struct reload *r);    // frees all weights; NULL is fine

#endif
