// jinja_work.h: memory and limits of one parse or one rendering, and the way out when one is
// passed.
//
// Everything a template makes comes from one arena and is released with it; what cannot go on
// leaves through jinja_fail, from any depth, to the jinja_work_run that started it. So the
// interpreter's functions return values and have no error paths.
//
// One thread. Three things bound a hostile template: bytes (jinja_alloc), steps (jinja_step) and
// depth of recursion (jinja_enter), which also bounds the stack.
#ifndef CARAVAN_MODEL_JINJA_WORK_H
#define CARAVAN_MODEL_JINJA_WORK_H

#include <setjmp.h>
#include <stdint.h>

#include "common/err.h"

struct jinja_block;

struct jinja_work {
    const char *name;    // of the template, for messages
    int line;            // where the work is; 0 = nowhere
    struct jinja_block *blocks;
    size_t used_bytes, max_bytes;
    uint64_t steps, max_steps;
    int depth, max_depth;
    jmp_buf *escape;
    enum err failure;
    struct why why;
};

void jinja_work_fini(struct jinja_work *w);
// Calls fn(arg). ERR_OK when it returns; otherwise what jinja_fail was given.
MUST_CHECK enum err jinja_work_run(struct jinja_work *w, void (*fn)(void *arg), void *arg,
                                   struct why *why);

// The rest only inside jinja_work_run. Never NULL; aligned for every type; not zeroed.
void *jinja_alloc(struct jinja_work *w, size_t bytes);
void *jinja_zeroed(struct jinja_work *w, size_t bytes);
void *jinja_array(struct jinja_work *w, size_t n, size_t size);    // overflow checked
// Room for one more item after `used`: a larger copy when *cap is reached, which doubles.
void *jinja_grow(struct jinja_work *w, void *items, size_t used, size_t *cap, size_t size);
void jinja_step(struct jinja_work *w, uint64_t n);
void jinja_scan(struct jinja_work *w, size_t bytes);    // the steps of looking at so many bytes
void jinja_enter(struct jinja_work *w);                 // around every recursion
void jinja_leave(struct jinja_work *w);

// "NAME:LINE: text"; control characters in the text become blanks.
_Noreturn void jinja_fail(struct jinja_work *w, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
