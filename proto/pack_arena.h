// pack_arena.h: where the arrays and texts of one decoded message live. Internal to proto.
//
// A decoded message points into its arena only, and freeing the chain frees all of it (msg.c).
// Belongs to the thread that decodes, then to whoever owns the message.
#ifndef CARAVAN_PROTO_PACK_ARENA_H
#define CARAVAN_PROTO_PACK_ARENA_H

#include <stddef.h>

// Zeroed memory of `size` bytes, aligned to 16, owned by the chain *arena (NULL = empty chain).
// NULL when out of memory.
void *pack_arena_alloc(void **arena, size_t size);
void pack_arena_free(void *arena);    // NULL is fine

#endif
