// buf.h: a growable byte buffer with a hard limit. Not thread-safe.
//
// For text and messages that are put together piece by piece: initialise with a bound, append, then
// read data and len or take the memory. Every append may fail (ERR_NOMEM, ERR_LIMIT) and leaves the
// content as it was. The bound is what keeps hostile or runaway input from filling the memory.
#ifndef CARAVAN_COMMON_BUF_H
#define CARAVAN_COMMON_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct buf {
    uint8_t *data;    // owned; NULL while empty
    size_t len;
    size_t cap;
    size_t max;    // growth past this is ERR_LIMIT
};

void buf_init(struct buf *b, size_t max);    // max 0 = 1 GiB
void buf_fini(struct buf *b);                // also fine on a zeroed struct
void buf_clear(struct buf *b);               // len = 0, keeps the memory
MUST_CHECK enum err buf_reserve(struct buf *b, size_t extra);
MUST_CHECK enum err buf_append(struct buf *b, const void *data, size_t len);
// Appends; no NUL counted in len, but data[len] is NUL.
MUST_CHECK enum err buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Hands the memory to the caller (free()), NUL-terminated; the buffer is empty afterwards. NULL
// only when out of memory.
char *buf_take(struct buf *b);

#endif
