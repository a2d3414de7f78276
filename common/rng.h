// rng.h: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
// counter-based, so a draw is a pure function of (key, counter) and needs no state to be saved,
// moved or replayed.
//
// Sampling uses this property directly: the number behind a token follows from seed, sample and
// position alone, so it is the same whoever generates the sample, in which order, and after how
// many restarts. struct rng is the same thing as a sequence, for code that wants one. Not
// cryptographic. Pure functions, any thread.
#ifndef CARAVAN_COMMON_RNG_H
#define CARAVAN_COMMON_RNG_H

#include <stdint.h>

struct rng_block {
    uint32_t v[4];
};

struct rng_block rng_philox(uint64_t key, uint64_t counter_lo, uint64_t counter_hi);

// The number that decides the token at completion position `pos` of `sample_id` in a run with
// `seed`: uniform in [0, 1), 24 bits, exact in float.
float rng_token_uniform(uint64_t seed, uint64_t sample_id, uint32_t pos);

// A small stream over one (key, stream) pair, for shuffles and generators.
struct rng {
    uint64_t key, stream, index;
};
struct rng rng_make(uint64_t key, uint64_t stream);
uint32_t rng_u32(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);    // uniform in 0..n-1 without bias; n > 0
double rng_f64(struct rng *r);                    // [0, 1), 53 bits

#endif
