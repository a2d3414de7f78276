// compute.h: the thread that owns the engine, and the letters between it and the loop.
#ifndef CARAVAN_ACTOR_COMPUTE_H
#define CARAVAN_ACTOR_COMPUTE_H

#include "actor/engine.h"
#include "actor/outbox.h"

typedef struct uv_loop_s uv_loop_t;
struct compute;

// Loop thread callbacks.
struct compute_events {
    void (*sample)(void *arg, struct outgoing *o);           // a finished sample; ownership moves
    void (*released)(void *arg, const struct weights *w);    // nobody uses w any more
    void (*wants)(void *arg,
                  uint64_t version);    // queued work is pinned to a version that is not loaded
    // The first token under newly swapped weights, at this Unix time.
    void (*decoded)(void *arg, uint64_t version, uint64_t at_us);
    void (*failed)(void *arg, enum err e, const char *text);    // the engine cannot go on
    void *arg;
};

struct compute_options {
    const char *device_kind;
    int threads;    // 0 = cores
    struct model_config config;
    struct engine_limits limits;
    uint64_t seed;
};

MUST_CHECK enum err compute_create(uv_loop_t *loop, const struct compute_options *o,
                                   const struct compute_events *ev, struct compute **out,
                                   struct why *why);
// Letters to the engine, in order. work is copied.
MUST_CHECK enum err compute_add(struct compute *c, const struct msg_group *g,
                                const uint32_t *stop_ids, size_t n_stop);
MUST_CHECK enum err compute_abandon(struct compute *c, uint64_t sample_id);
MUST_CHECK enum err compute_weights(struct compute *c, const struct weights *w, uint64_t version,
                                    bool newest);    // newest: swap; else for pinned work only
const struct engine_stats *compute_stats(const struct compute *c);
void compute_close(
    struct compute *c);    // cancels the pass, joins the thread, closes the loop handle
void compute_destroy(struct compute *c);    // NULL is fine

#endif
