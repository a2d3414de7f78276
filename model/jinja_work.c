// jinja_work.c: a chain of blocks, three counters and one longjmp.
//
// setjmp stands in jinja_work_run alone, whose frame holds nothing that changes between the two
// returns. Most renderings fit the first block.

#include "model/jinja_work.h"

#include <inttypes.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK_BYTES ((size_t)16 << 10)
#define LARGEST_BLOCK_BYTES ((size_t)1 << 20)
#define ALIGNMENT alignof(max_align_t)
#define BYTES_PER_STEP 64

struct jinja_block {
    struct jinja_block *before;
    size_t cap, used;
    alignas(max_align_t) unsigned char data[];
};

void jinja_work_fini(struct jinja_work *w)
{
    while (w->blocks != NULL) {
        struct jinja_block *b = w->blocks;
        w->blocks = b->before;
        free(b);
    }
}

enum err jinja_work_run(struct jinja_work *w, void (*fn)(void *arg), void *arg, struct why *why)
{
    jmp_buf here;
    w->escape = &here;
    if (setjmp(here) == 0) {
        fn(arg);
        w->escape = NULL;
        return ERR_OK;
    }
    w->escape = NULL;
    return why_set(why, w->failure, "%s", w->why.text);
}

void jinja_fail(struct jinja_work *w, enum err e, const char *fmt, ...)
{
    CHECK(w->escape != NULL);
    int n = w->line > 0 ? snprintf(w->why.text, sizeof w->why.text, "%s:%d: ", w->name, w->line)
                        : snprintf(w->why.text, sizeof w->why.text, "%s: ", w->name);
    size_t used = MIN((size_t)MAX(n, 0), sizeof w->why.text - 1);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(w->why.text + used, sizeof w->why.text - used, fmt, args);
    va_end(args);
    for (char *p = w->why.text; *p != '\0'; p++) {
        *p = (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p;
    }
    w->failure = e;
    longjmp(*w->escape, 1);
}

void *jinja_alloc(struct jinja_work *w, size_t bytes)
{
    if (bytes > w->max_bytes - w->used_bytes) {
        jinja_fail(w, ERR_LIMIT, "the template needs more than %zu MiB of memory",
                   w->max_bytes >> 20);
    }
    size_t size = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct jinja_block *b = w->blocks;
    if (b == NULL || b->cap - b->used < size) {
        size_t cap = b == NULL ? FIRST_BLOCK_BYTES : MIN(2 * b->cap, LARGEST_BLOCK_BYTES);
        cap = MAX(cap, size);
        b = malloc(sizeof *b + cap);
        if (b == NULL) {
            jinja_fail(w, ERR_NOMEM, "out of memory");
        }
        *b = (struct jinja_block){.before = w->blocks, .cap = cap};
        w->blocks = b;
    }
    void *p = b->data + b->used;
    b->used += size;
    w->used_bytes += MIN(size, w->max_bytes - w->used_bytes);
    return p;
}

void *jinja_zeroed(struct jinja_work *w, size_t bytes)
{
    void *p = jinja_alloc(w, bytes);
    memset(p, 0, bytes);
    return p;
}

void *jinja_array(struct jinja_work *w, size_t n, size_t size)
{
    return jinja_alloc(w, n > SIZE_MAX / 2 / size ? SIZE_MAX / 2 : n * size);
}

void *jinja_grow(struct jinja_work *w, void *items, size_t used, size_t *cap, size_t size)
{
    if (used < *cap) {
        return items;
    }
    size_t more = MAX(2 * *cap, (size_t)4);
    void *grown = jinja_array(w, more, size);
    if (used > 0) {
        memcpy(grown, items, used * size);
    }
    *cap = more;
    return grown;
}

void jinja_step(struct jinja_work *w, uint64_t n)
{
    if (n > w->max_steps - w->steps) {
        jinja_fail(w, ERR_LIMIT, "more than %" PRIu64 " steps: does the template end?",
                   w->max_steps);
    }
    w->steps += n;
}

void jinja_scan(struct jinja_work *w, size_t bytes)
{
    jinja_step(w, bytes / BYTES_PER_STEP);
}

void jinja_enter(struct jinja_work *w)
{
    if (w->depth >= w->max_depth) {
        jinja_fail(w, ERR_LIMIT, "nested more than %d deep", w->max_depth);
    }
    w->depth++;
}

void jinja_leave(struct jinja_work *w)
{
    w->depth--;
}
