// pages.h: which rows of the KV cache belong to whom. Pages of 16 rows, a stack of free ones,
// reservations so that a promise of space is kept.
#ifndef CARAVAN_ACTOR_PAGES_H
#define CARAVAN_ACTOR_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { PAGE_ROWS = 16 };

struct pages {
    int32_t *free;    // stack of free pages
    size_t n_free, n_total;
};

// The rows of one sequence part (a prompt, or a completion), in order of position.
struct page_list {
    int32_t *page;
    size_t n;
};

MUST_CHECK enum err pages_init(struct pages *p, size_t n_rows);    // whole pages only
void pages_fini(struct pages *p);
size_t pages_for(size_t rows);    // pages that hold so many rows
// All or nothing: ERR_FULL leaves both untouched.
MUST_CHECK enum err pages_take(struct pages *p, size_t rows, struct page_list *out);
void pages_give(struct pages *p, struct page_list *l);    // also empties l; fine on an empty list
static inline int32_t page_row(const struct page_list *l, size_t i)
{
    return l->page[i / PAGE_ROWS] * PAGE_ROWS + (int32_t)(i % PAGE_ROWS);
}

#endif
