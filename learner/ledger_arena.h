// ledger_arena.h: memory that is freed all at once: a transaction on its way to disk, a step or the
// live samples read back. Not thread-safe.
//
// An arena grows in blocks and frees nothing before the end. A failed allocation is remembered in
// `failed`, so that a long series of copies is checked once, where it is handed over.
#ifndef CARAVAN_LEARNER_LEDGER_ARENA_H
#define CARAVAN_LEARNER_LEDGER_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/msg.h"

struct ledger_arena {
    struct ledger_block *blocks;
    bool failed;    // an allocation found no memory; sticky
};

// Zeroed memory aligned to 16; NULL when out of memory (then failed is set). size 0 gives a valid
// pointer.
void *ledger_arena_alloc(struct ledger_arena *a, size_t size);
void *ledger_arena_copy(struct ledger_arena *a, const void *data, size_t size);
// NUL-terminated past len; empty when out of memory.
struct msg_text ledger_arena_text(struct ledger_arena *a, struct msg_text t);
void ledger_arena_free(struct ledger_arena *a);    // empty again

#endif
