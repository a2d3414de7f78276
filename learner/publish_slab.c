// publish_slab.c: a handful of slabs and which one is the newest version's.
//
// Whether a slab is free is asked of the kernel (weightslab_claim), not kept in books: actors come,
// go and crash without telling. The lock guards the list and the newest version's name; it is not
// held while a slab is made, which takes a quarter of a second, or filled.

#include "learner/publish_slab.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "model/model.h"
#include "proto/msg.h"

struct publish_slabs {
    struct device *device;
    struct weightslab_layout layout;
    struct hash128 owner;

    pthread_mutex_t lock;
    struct weightslab *slabs[PUBLISH_SLABS];
    size_t n;
    struct weightslab *newest;    // NULL: the newest version has no slab
    uint64_t version;             // of newest
    struct hash128 hash;

    // train thread
    bool failed;       // no memory: not tried again
    bool exhausted;    // said so
};

enum err publish_slabs_create(struct device *d, const struct model_config *c, enum dtype t,
                              struct publish_slabs **out, struct why *why)
{
    if (!d->ops->unified) {
        return why_set(why, ERR_UNSUPPORTED, "weight slab: device memory cannot be shared");
    }
    struct publish_slabs *p = calloc(1, sizeof *p);
    if (!p) {
        return why_set(why, ERR_NOMEM, "weight slab: out of memory");
    }
    p->device = d;
    p->layout = (struct weightslab_layout){d->ops->numerics_id, t, weights_panel_bytes(d, c, t)};
    struct msg_incarnation random = msg_incarnation_random();
    memcpy(p->owner.bytes, random.bytes, sizeof p->owner.bytes);
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    *out = p;
    return ERR_OK;
}

void publish_slabs_destroy(struct publish_slabs *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        weightslab_destroy(p->slabs[i]);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

// One more, claimed; NULL when there are enough, memory is short, or somebody who looks through
// /proc locked it first: it then counts like any other slab that a reader holds.
static struct weightslab *make(struct publish_slabs *p)
{
    struct why why = {""};
    struct weightslab *s = NULL;
    if (p->failed || p->n == PUBLISH_SLABS) {
        return NULL;
    }
    if (weightslab_create(&p->layout, p->owner, p->device->pool, &s, &why)) {
        LOG_WARN("SLAB_UNAVAILABLE", "slabs=%zu cause=\"%s\"", p->n, why.text);
        p->failed = true;
        return NULL;
    }
    bool claimed = weightslab_claim(s);
    pthread_mutex_lock(&p->lock);
    p->slabs[p->n++] = s;
    pthread_mutex_unlock(&p->lock);
    return claimed ? s : NULL;
}

struct weightslab *publish_slab_claim(struct publish_slabs *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->slabs[i] != p->newest && weightslab_claim(p->slabs[i])) {
            p->exhausted = false;
            return p->slabs[i];
        }
    }
    struct weightslab *s = make(p);
    if (!s && !p->exhausted) {
        p->exhausted = true;
        LOG_WARN("SLABS_EXHAUSTED", "slabs=%zu version_after=%llu", p->n,
                 (unsigned long long)p->version);
    }
    return s;
}

void publish_slab_finish(struct publish_slabs *p, struct weightslab *slab, uint64_t version,
                         struct hash128 hash, const struct weights_sums *sums)
{
    if (slab) {
        weightslab_finish(slab, version, hash, sums);
    }
    pthread_mutex_lock(&p->lock);
    p->newest = slab;
    p->version = version;
    p->hash = hash;
    pthread_mutex_unlock(&p->lock);
}

void publish_slab_reserve(struct publish_slabs *p)
{
    struct weightslab *s = p->n == 1 ? make(p) : NULL;
    if (s) {
        weightslab_abandon(s);
    }
}

bool publish_slab_find(struct publish_slabs *p, uint64_t version, struct weightslab_name *name,
                       struct hash128 *hash)
{
    pthread_mutex_lock(&p->lock);
    bool found = p->newest && p->version == version;
    if (found) {
        *name = weightslab_name(p->newest);
        *hash = p->hash;
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

size_t publish_slabs_count(struct publish_slabs *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->n;
    pthread_mutex_unlock(&p->lock);
    return n;
}
