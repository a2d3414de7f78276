// engine.h: continuous batching: turns leased groups into finished samples, one forward pass at a
// time.
//
// The engine is owned by one compute thread (engine_step and everything else here is called on it;
// actor/service.c runs that thread). It knows no network and no clock: work goes in with
// engine_add, finished samples come out through a callback, weights are handed over with
// engine_swap between two passes.
//
//   group arrives ─▶ its prompt is prefilled once, in chunks ─▶ first token of every sample is
//   drawn from the last prompt row
//                 ─▶ up to `slots` samples decode one token per pass, sharing the prompt's KV rows
//                 ─▶ finished (stop or length) ─▶ callback
//
// A sample takes a slot only when the pages for all its tokens are reserved, so a running sample is
// never evicted and never prefilled again. Versions are recorded per forward position, run-length
// coded from position 0, prompt included (proto/msg.h, msg_segment).
#ifndef CARAVAN_ACTOR_ENGINE_H
#define CARAVAN_ACTOR_ENGINE_H

#include <stdatomic.h>
#include <stdint.h>

#include "model/model.h"
#include "proto/msg.h"

struct engine;

enum { ENGINE_SLABS = 4 };    // sets of weights that an engine can hold

struct engine_limits {
    size_t slots;           // samples decoded in one pass
    size_t prefill_rows;    // prompt rows in one pass
    size_t kv_bytes;        // KV cache
    size_t max_context;     // positions of one sequence, at most the model's
};

// A finished sample; the arrays are valid during the callback.
struct engine_sample {
    uint64_t sample_id, group_id;
    uint32_t attempt;
    const uint32_t *tokens;
    const float *logprobs;
    size_t n_tokens;
    // Probability that top-k, top-p and min-p left to choose from, mean over the tokens; 1: all.
    double kept_mass;
    const struct msg_segment *segments;
    size_t n_segments;
    uint32_t finish;    // enum msg_finish
    uint64_t pinned_version;
};
typedef void engine_done_fn(void *arg, const struct engine_sample *s);

// Counters for people; written by the compute thread, read by any.
struct engine_stats {
    atomic_uint_fast64_t decode_tokens, prefill_tokens, passes, samples_finished, samples_abandoned,
        swaps;
    atomic_uint_fast64_t samples_waiting, slots_busy, kv_pages_used, kv_pages_total, version,
        busy_us;
    atomic_uint_fast64_t straddling;            // finished samples that saw more than one version
    atomic_uint_fast64_t held[ENGINE_SLABS];    // versions of the weights it holds, 0 = none
    // Sum over decoded tokens of the probability that top-k, top-p and min-p left, in millionths;
    // over decode_tokens: its mean.
    atomic_uint_fast64_t kept_mass_e6;
};

MUST_CHECK enum err engine_create(struct device *d, const struct model_config *c,
                                  const struct engine_limits *l, uint64_t seed,
                                  engine_done_fn *done, void *arg, struct engine **out,
                                  struct why *why);
void engine_destroy(struct engine *e);    // NULL is fine; does not destroy the weights it was given
const struct engine_stats *engine_get_stats(const struct engine *e);

// Takes a copy of a leased group. ERR_LIMIT: it can never run here (context or KV cache too small;
// `why` says by how much). ERR_INVALID: token ids outside the vocabulary, bad sampling values.
MUST_CHECK enum err engine_add(struct engine *e, const struct msg_group *g,
                               const uint32_t *stop_ids, size_t n_stop, struct why *why);
// Stops working on a sample, wherever it is; unknown ids are ignored.
void engine_abandon(struct engine *e, uint64_t sample_id);
// `w` becomes the newest version: from the next pass on every sample that is not pinned runs under
// it. The engine borrows w until engine_release hands it back.
void engine_swap(struct engine *e, const struct weights *w, uint64_t version);
// `w` serves only groups pinned to `version` (it may be the same weights as the newest).
void engine_pin(struct engine *e, const struct weights *w, uint64_t version);
// Weights that no sample and no future pass needs any more, or NULL: the caller may refill them.
// Call until NULL.
const struct weights *engine_release(struct engine *e);
// A pinned version that queued work needs and nobody has given yet; 0 = none.
uint64_t engine_wants_version(const struct engine *e);
// Runs one forward pass. *worked = 0: there was nothing to do. ERR_CANCELLED when *cancel became
// true.
MUST_CHECK enum err engine_step(struct engine *e, const atomic_bool *cancel, int *worked,
                                struct why *why);
size_t engine_live(const struct engine *e);    // samples not finished yet

#endif
