// rng.c: Philox4x32 with ten rounds, and the two ways the project draws from it.
//
// A block is a pure function of a 64-bit key and a 128-bit counter, 4 x 32 bits out. Tokens are
// drawn at counter (sample id, position) under the run's seed, so the same sample gets the same
// numbers on any actor, in any batch, after any restart. Streams (shuffles, generators) count their
// own blocks; their key is set apart by a constant, so that a stream under the run's seed never
// meets the numbers that decide its tokens.

#include "common/rng.h"

#include "common/base.h"

#define ROUNDS 10
#define STREAM_KEY UINT64_C(0x73747265616d7321)    // "streams!"

struct rng_block rng_philox(uint64_t key, uint64_t counter_lo, uint64_t counter_hi)
{
    uint32_t k0 = (uint32_t)key;
    uint32_t k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter_lo;
    uint32_t c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi;
    uint32_t c3 = (uint32_t)(counter_hi >> 32);

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;    // golden ratio
        k1 += 0xBB67AE85u;    // sqrt(3) - 1
    }
    return (struct rng_block){{c0, c1, c2, c3}};
}

float rng_token_uniform(uint64_t seed, uint64_t sample_id, uint32_t pos)
{
    struct rng_block b = rng_philox(seed, sample_id, pos);
    return (float)(b.v[0] >> 8) * 0x1p-24f;
}

struct rng rng_make(uint64_t key, uint64_t stream)
{
    return (struct rng){.key = key ^ STREAM_KEY, .stream = stream};
}

uint32_t rng_u32(struct rng *r)
{
    struct rng_block b = rng_philox(r->key, r->index / 4, r->stream);
    return b.v[r->index++ % 4];
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    CHECK(n > 0);
    // The high half of u * n is uniform once the few low halves that would favour some results are
    // drawn again.
    uint32_t reject_below = (uint32_t)(-n) % n;
    for (;;) {
        uint64_t m = (uint64_t)rng_u32(r) * n;
        if ((uint32_t)m >= reject_below) {
            return (uint32_t)(m >> 32);
        }
    }
}

double rng_f64(struct rng *r)
{
    uint64_t hi = rng_u32(r);
    uint64_t lo = rng_u32(r);
    return (double)((hi << 21) | (lo >> 11)) * 0x1p-53;
}
