// weightslab.h: the packed weights of one version in memory that several processes of one machine
// see: the learner writes, actors map and decode from it, nobody copies.
//
// A slab is an anonymous file (memfd_create) of fixed size: one page of header, then the forward
// panels. It has no name in any file system and goes with the last process that holds it, so nothing
// is left behind by a crash, and the size of /dev/shm does not matter. Processes of the same user
// reach it as /proc/PID/fd/N; a struct weightslab_name says which, and travels in a message.
//
//   writer   create ─▶ claim ─▶ fill ─▶ finish ─▶ … claim: false while a reader holds it ─▶ fill …
//   reader             map, once per slab ─▶ hold(version) ─▶ decode ─▶ drop ─▶ … ─▶ unmap
//
// Who may touch it is a kernel matter: claim takes an exclusive lock on the file, hold a shared one
// (flock on an open file of the reader's own). A reader that dies loses its lock with its life, a
// writer that dies leaves a slab that is not whole, which no reader takes. The file is sealed: its
// size cannot change, so a mapped page cannot vanish, and nobody but the creator can write.
//
// Any thread, one at a time per object. Linux only, like the rest.
#ifndef CARAVAN_MODEL_WEIGHTSLAB_H
#define CARAVAN_MODEL_WEIGHTSLAB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/hash.h"
#include "kernels/device.h"

struct weights_sums;    // model.h

// What both sides must agree on before a byte is used.
struct weightslab_layout {
    const char *numerics_id;    // of the device; panels of one id have one layout
    enum dtype dtype;
    size_t panel_bytes;    // weights_panel_bytes
};

// Everything here comes from another process and is checked against what is found.
struct weightslab_name {
    uint64_t pid;
    uint32_t fd;
    struct hash128 owner;    // random, one per life of the writer
};

// ---- writer
struct weightslab;
// The memory is there, zeroed and mapped when this returns: that takes a tenth of a second per 100
// MB, divided among the threads of pool (may be NULL). ERR_UNSUPPORTED: a kernel before 5.1.
MUST_CHECK enum err weightslab_create(const struct weightslab_layout *l, struct hash128 owner,
                                      struct pool *pool, struct weightslab **out, struct why *why);
void weightslab_destroy(struct weightslab *s);    // NULL is fine; readers keep what they mapped
// False: a reader holds it. True: it is nobody's but ours until finish, and states no version.
bool weightslab_claim(struct weightslab *s);
// The panels are complete: readers may take them. sums: weights_fed_sums.
void weightslab_finish(struct weightslab *s, uint64_t version, struct hash128 hash,
                       const struct weights_sums *sums);
void weightslab_abandon(struct weightslab *s);    // the claim was in vain: there is nothing to take
void *weightslab_panels(struct weightslab *s);
struct weightslab_name weightslab_name(const struct weightslab *s);

// ---- reader
struct weightview;
// ERR_NOT_FOUND: the name does not lead to a slab (another host, another user, a process that is
// gone). ERR_DENIED: to one of another user. ERR_MISMATCH: to one of another layout, size or owner.
// Nothing is opened that is not a slab by its name.
MUST_CHECK enum err weightview_map(const struct weightslab_name *n,
                                   const struct weightslab_layout *l, struct weightview **out,
                                   struct why *why);
void weightview_unmap(struct weightview *v);    // drops it first; NULL is fine
bool weightview_is(const struct weightview *v, const struct weightslab_name *n);
bool weightview_of(const struct weightview *v, struct hash128 owner);
// Holds the version that the slab has now, until dropped. ERR_BUSY: it is being written.
// ERR_MISMATCH: it has another version or hash than these, or is not whole. *sums are what
// the panels must sum to (weights_sum): whoever decodes from them checks that first.
MUST_CHECK enum err weightview_hold(struct weightview *v, uint64_t version, struct hash128 hash,
                                    struct weights_sums *sums, struct why *why);
void weightview_drop(struct weightview *v);
void *weightview_panels(const struct weightview *v);    // read-only memory

#endif
