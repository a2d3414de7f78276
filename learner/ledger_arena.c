// ledger_arena.c: blocks of at least 8 KiB, chained; large requests get a block of their own.
//
// A transaction holds some dozens of small texts and, for a received sample, three arrays of a few
// KiB; a recovery holds all live samples. Both are built once, read once and freed together, so
// nothing is ever freed singly. Failure is sticky instead of being returned by every copy: the one
// who applies the result checks it once.
#include "learner/ledger_arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct ledger_block {
    struct ledger_block *next;
    size_t used, size;
    _Alignas(16) uint8_t data[];
};

void *ledger_arena_alloc(struct ledger_arena *a, size_t size)
{
    enum { BLOCK = 8192 };
    if (size > SIZE_MAX / 2) {
        a->failed = true;
        return NULL;
    }
    size_t need = (size + 15) & ~(size_t)15;
    struct ledger_block *b = a->blocks;
    if (b == NULL || b->size - b->used < need) {
        size_t cap = MAX(need, (size_t)BLOCK);
        struct ledger_block *fresh = calloc(1, sizeof *fresh + cap);
        if (fresh == NULL) {
            a->failed = true;
            return NULL;
        }
        fresh->size = cap;
        if (b != NULL && cap > BLOCK) {    // keep filling the current block with small things
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            a->blocks = fresh;
        }
        b = fresh;
    }
    void *p = b->data + b->used;
    b->used += need;
    return p;
}

void *ledger_arena_copy(struct ledger_arena *a, const void *data, size_t size)
{
    void *p = ledger_arena_alloc(a, size);
    if (p != NULL && size > 0) {
        memcpy(p, data, size);
    }
    return p;
}

struct msg_text ledger_arena_text(struct ledger_arena *a, struct msg_text t)
{
    char *p = ledger_arena_alloc(a, t.len + 1);
    if (p == NULL) {
        return (struct msg_text){"", 0};
    }
    if (t.len > 0) {
        memcpy(p, t.data, t.len);
    }
    return (struct msg_text){p, t.len};
}

void ledger_arena_free(struct ledger_arena *a)
{
    while (a->blocks != NULL) {
        struct ledger_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    a->failed = false;
}
