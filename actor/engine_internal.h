// engine_internal.h: the structs behind engine.h, shared by its two files:
//
//   engine.c        life: work and weights in and out
//   engine_pass.c   one forward pass: who takes part, what its rows are, what follows from it
//
// Compute thread only, except the counters.
#ifndef CARAVAN_ACTOR_ENGINE_INTERNAL_H
#define CARAVAN_ACTOR_ENGINE_INTERNAL_H

#include "actor/engine.h"
#include "actor/pages.h"
#include "proto/limits.h"

struct segments {
    struct msg_segment *seg;
    size_t n, cap;
};

enum sample_state { SAMPLE_PROMPT, SAMPLE_READY, SAMPLE_RUNNING, SAMPLE_OVER };

struct sample {
    uint64_t id;
    struct group *group;
    enum sample_state state;
    uint32_t *tokens;
    float *logprobs;
    size_t n, cap;
    double kept_mass;          // sum over the tokens
    struct segments segs;      // completion positions only; the prompt's stand in the group
    struct page_list pages;    // rows of completion positions
};

struct group {
    struct group *next;
    uint64_t id, pinned;
    uint32_t attempt;
    struct msg_sampling sampling;
    uint32_t *prompt;
    size_t n_prompt, prefilled;
    struct page_list pages;
    struct segments segs;
    uint32_t stop_ids[LIMIT_STOP_IDS];
    size_t n_stop;
    struct sample *samples;
    size_t n_samples, n_live;
};

struct slab {
    const struct weights *w;
    uint64_t version;
};

struct engine {
    struct model *model;
    struct kv_cache *kv;
    struct pages pages;
    struct engine_limits lim;
    uint64_t seed;
    engine_done_fn *done;
    void *done_arg;
    struct group *first, **last;    // FIFO of groups with live samples
    struct sample **running;        // (slots)
    size_t n_running, n_live;
    struct slab slab[ENGINE_SLABS];
    size_t n_slabs;
    uint64_t newest;
    // scratch of one pass
    struct batch batch;
    struct sample **out_sample;
    struct sample_spec *spec;
    struct sample_out *result;
    size_t max_outs;
    int32_t *index;    // (max_context)
    struct engine_stats stats;
};

static inline size_t completion_rows(const struct group *g)
{
    return g->sampling.max_tokens - 1;    // the last token is never a forward position
}

static inline uint64_t group_version(const struct engine *e, const struct group *g)
{
    return g->pinned ? g->pinned : e->newest;
}

const struct slab *engine_find_slab(const struct engine *e, uint64_t version);    // NULL: not here
// A sample has ended, finished or abandoned: slot and pages go back at once; the group goes with
// its last sample (engine_unlink_finished).
void engine_end_sample(struct engine *e, struct sample *s);
void engine_unlink_finished(struct engine *e);

#endif
