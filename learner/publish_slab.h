// publish_slab.h: the slabs in which the newest weights stand for every process of this machine: the
// learner's own forward passes and the actors'. publish.h serves everybody else.
//
// The train thread claims a free slab, fills it and finishes it; the loop thread looks versions up.
// As many slabs exist as were needed at once: the newest version's, the one being filled, one that
// an actor has not let go of yet, one that an evaluation is pinned to. When all are held, or memory
// does not suffice, there is no slab for a version, and actors fetch it in chunks: nobody waits.
#ifndef CARAVAN_LEARNER_PUBLISH_SLAB_H
#define CARAVAN_LEARNER_PUBLISH_SLAB_H

#include "model/config.h"
#include "model/weightslab.h"

enum { PUBLISH_SLABS = 4 };

struct publish_slabs;
// d is borrowed, for its pool: the train thread's. ERR_UNSUPPORTED: the device's memory is not this
// process's.
MUST_CHECK enum err publish_slabs_create(struct device *d, const struct model_config *c,
                                         enum dtype t, struct publish_slabs **out, struct why *why);
void publish_slabs_destroy(struct publish_slabs *p);    // NULL is fine

// ---- train thread
// A slab that neither the newest version nor a reader needs; NULL: there is none.
struct weightslab *publish_slab_claim(struct publish_slabs *p);
// It is the newest version from here on. slab, sums NULL: the newest version has no slab.
void publish_slab_finish(struct publish_slabs *p, struct weightslab *slab, uint64_t version,
                         struct hash128 hash, const struct weights_sums *sums);
// Makes the second slab, which the next version will need, where there is one only.
void publish_slab_reserve(struct publish_slabs *p);

// ---- any thread
// The slab of the newest version, if this is it.
bool publish_slab_find(struct publish_slabs *p, uint64_t version, struct weightslab_name *name,
                       struct hash128 *hash);
size_t publish_slabs_count(struct publish_slabs *p);

#endif
