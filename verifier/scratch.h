// scratch.h: memory of one verdict, and the way out when there can be none.
//
// A check is a pure function over texts. All it allocates comes from one scratch and is released
// with it, and whatever it cannot decide leaves through scratch_fail, from any depth, to the
// scratch_run that started it. So a check's code is its rule: no ownership, no error paths. What
// comes from other libraries is tied to the scratch by scratch_defer.
//
// One thread, the worker's. Blocks are kept from one job to the next; the total is bounded, and
// running out of it is a failure like any other (ERR_LIMIT).
#ifndef CARAVAN_VERIFIER_SCRATCH_H
#define CARAVAN_VERIFIER_SCRATCH_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct scratch_block;
struct scratch_cleanup;

struct scratch {
    struct scratch_block *first, *now;
    struct scratch_cleanup *cleanups;
    size_t used_bytes, max_bytes;
    jmp_buf *exit;    // of the innermost scratch_run
    enum err failure;
    struct why why;
};

void scratch_init(struct scratch *s, size_t max_bytes);
void scratch_fini(struct scratch *s);
// Runs the cleanups, newest first, and forgets every allocation; keeps the memory.
void scratch_reset(struct scratch *s);

// Calls fn(arg). ERR_OK when it returns; otherwise what scratch_fail was given, text in `why`.
// Calls may nest; a failure ends the innermost.
MUST_CHECK enum err scratch_run(struct scratch *s, void (*fn)(void *arg), void *arg,
                                struct why *why);

// The rest only inside scratch_run. Never NULL; aligned for every type; not zeroed. The memory
// lives until scratch_reset.
void *scratch_alloc(struct scratch *s, size_t bytes);
void *scratch_zeroed(struct scratch *s, size_t bytes);
// n * size with the overflow checked.
void *scratch_array(struct scratch *s, size_t n, size_t size);
// A larger array with the first `used` items of an old one (NULL when used is 0), of at least `want`
// items; grows by half at least, so that appending costs amortised constant time. *cap is both the
// old and the new capacity.
void *scratch_grow(struct scratch *s, void *old, size_t used, size_t want, size_t *cap,
                   size_t size);
// fn(object) at scratch_reset, also after a failure.
void scratch_defer(struct scratch *s, void (*fn)(void *object), void *object);

_Noreturn void scratch_fail(struct scratch *s, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
