// scratch.c: a chain of blocks, a list of cleanups, one longjmp.
//
// setjmp stands in scratch_run alone, whose frame holds nothing that changes between the two
// returns. Blocks double in size, so a verdict touches a handful of them; after a job that needed
// unusually much, all but the first are given back, because a worker lives for thousands of jobs.
#include "verifier/scratch.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK_BYTES ((size_t)256 << 10)
#define KEPT_BYTES ((size_t)4 << 20)
#define ALIGNMENT alignof(max_align_t)

struct scratch_block {
    struct scratch_block *next;
    size_t cap, used;
    alignas(max_align_t) unsigned char data[];
};

struct scratch_cleanup {
    struct scratch_cleanup *next;
    void (*fn)(void *object);
    void *object;
};

void scratch_init(struct scratch *s, size_t max_bytes)
{
    *s = (struct scratch){.max_bytes = max_bytes};
}

static void run_cleanups(struct scratch *s)
{
    while (s->cleanups) {
        struct scratch_cleanup *c = s->cleanups;
        s->cleanups = c->next;
        c->fn(c->object);
    }
}

static void free_after(struct scratch_block *b)
{
    while (b) {
        struct scratch_block *next = b->next;
        free(b);
        b = next;
    }
}

void scratch_reset(struct scratch *s)
{
    run_cleanups(s);
    size_t held = 0;
    for (struct scratch_block *b = s->first; b; b = b->next) {
        b->used = 0;
        held += b->cap;
    }
    if (held > KEPT_BYTES) {
        free_after(s->first->next);
        s->first->next = NULL;
    }
    s->now = s->first;
    s->used_bytes = 0;
}

void scratch_fini(struct scratch *s)
{
    run_cleanups(s);
    free_after(s->first);
    *s = (struct scratch){0};
}

enum err scratch_run(struct scratch *s, void (*fn)(void *arg), void *arg, struct why *why)
{
    jmp_buf here;
    jmp_buf *const outer = s->exit;
    s->exit = &here;
    if (setjmp(here) == 0) {
        fn(arg);
        s->exit = outer;
        return ERR_OK;
    }
    s->exit = outer;
    return why_set(why, s->failure, "%s", s->why.text);
}

void scratch_fail(struct scratch *s, enum err e, const char *format, ...)
{
    CHECK(s->exit);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(s->why.text, sizeof s->why.text, format, args);
    va_end(args);
    s->failure = e;
    longjmp(*s->exit, 1);
}

// The next block of the chain, if it is large enough, or a new one in its place.
static struct scratch_block *next_block(struct scratch *s, size_t bytes)
{
    struct scratch_block *b = s->now ? s->now->next : s->first;
    if (b && b->cap >= bytes) {
        return b;
    }
    size_t cap = s->now ? 2 * s->now->cap : FIRST_BLOCK_BYTES;
    cap = MAX(MIN(cap, s->max_bytes), bytes);
    struct scratch_block *fresh = malloc(sizeof *fresh + cap);
    if (!fresh) {
        scratch_fail(s, ERR_NOMEM, "out of memory");
    }
    *fresh = (struct scratch_block){.next = NULL, .cap = cap};
    free_after(b);
    *(s->now ? &s->now->next : &s->first) = fresh;
    return fresh;
}

void *scratch_alloc(struct scratch *s, size_t bytes)
{
    if (bytes > s->max_bytes - s->used_bytes) {
        scratch_fail(s, ERR_LIMIT, "the check needs more than %zu MiB", s->max_bytes >> 20);
    }
    size_t size = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!s->now || s->now->cap - s->now->used < size) {
        s->now = next_block(s, size);
    }
    void *p = s->now->data + s->now->used;
    s->now->used += size;
    s->used_bytes += MIN(size, s->max_bytes - s->used_bytes);
    return p;
}

void *scratch_zeroed(struct scratch *s, size_t bytes)
{
    void *p = scratch_alloc(s, bytes);
    memset(p, 0, bytes);
    return p;
}

void *scratch_array(struct scratch *s, size_t n, size_t size)
{
    return scratch_alloc(s, n > SIZE_MAX / size ? SIZE_MAX : n * size);
}

void *scratch_grow(struct scratch *s, void *old, size_t used, size_t want, size_t *cap, size_t size)
{
    if (want <= *cap) {
        return old;
    }
    size_t n = MAX(MAX(want, 8), *cap + *cap / 2);
    void *fresh = scratch_array(s, n, size);
    if (used > 0) {
        memcpy(fresh, old, used * size);
    }
    *cap = n;
    return fresh;
}

void scratch_defer(struct scratch *s, void (*fn)(void *object), void *object)
{
    struct scratch_cleanup *c = scratch_alloc(s, sizeof *c);
    *c = (struct scratch_cleanup){.next = s->cleanups, .fn = fn, .object = object};
    s->cleanups = c;
}
