// pool.h: a team of compute threads for data-parallel loops. One owner thread calls pool_run; the
// calling thread works too.
//
// Chunks are handed out dynamically, so results must not depend on which thread ran a chunk (the
// kernels' rule anyway). Waiting threads spin for at most 50 microseconds, which bridges what stands
// between two ops of a pass, then sleep on a futex: a team that spins for long beside another daemon
// on the same cores costs more than it gains. Every thread sets FTZ/DAZ before its first chunk
// (pool_set_fpu does it for the owner).
#ifndef CARAVAN_COMMON_POOL_H
#define CARAVAN_COMMON_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct pool;
// thread in 0..n_threads-1, for scratch memory.
typedef void pool_fn(void *arg, size_t chunk, int thread);

// n_threads: 1..256, the caller included.
MUST_CHECK enum err pool_create(int n_threads, struct pool **out, struct why *why);
void pool_destroy(struct pool *p);
int pool_threads(const struct pool *p);
// Runs fn for chunk = 0..n_chunks-1, returns when all are done. p may be NULL: runs inline.
void pool_run(struct pool *p, size_t n_chunks, pool_fn *fn, void *arg);
// Sets flush-to-zero and denormals-are-zero on the calling thread (no-op where the CPU has none).
void pool_set_fpu(void);
int pool_cores(void);    // cores this process may use (affinity), at least 1

#endif
