// pages.c: a stack of page numbers. Taking is all or nothing, because a half-served sample could
// neither run nor wait without blocking others.
#include "actor/pages.h"

#include <stdlib.h>

enum err pages_init(struct pages *p, size_t n_rows)
{
    size_t n = n_rows / PAGE_ROWS;
    int32_t *stack = calloc(n ? n : 1, sizeof *stack);
    if (!stack) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        stack[i] = (int32_t)(n - 1 - i);
    }
    *p = (struct pages){.free = stack, .n_free = n, .n_total = n};
    return ERR_OK;
}

void pages_fini(struct pages *p)
{
    free(p->free);
    *p = (struct pages){0};
}

size_t pages_for(size_t rows)
{
    return (rows + PAGE_ROWS - 1) / PAGE_ROWS;
}

enum err pages_take(struct pages *p, size_t rows, struct page_list *out)
{
    size_t n = pages_for(rows);
    if (n > p->n_free) {
        return ERR_FULL;
    }
    int32_t *page = calloc(n ? n : 1, sizeof *page);
    if (!page) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        page[i] = p->free[--p->n_free];
    }
    *out = (struct page_list){.page = page, .n = n};
    return ERR_OK;
}

void pages_give(struct pages *p, struct page_list *l)
{
    for (size_t i = l->n; i-- > 0;) {
        p->free[p->n_free++] = l->page[i];
    }
    free(l->page);
    *l = (struct page_list){0};
}
