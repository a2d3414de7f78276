// buf.c: growth of the byte buffer.
//
// The capacity doubles, so n appended bytes cost O(n) copies in all. One byte beyond the data is
// always kept for a NUL, so that text built here can be handed to C functions without another copy;
// that byte is counted neither in len nor against max.

#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX ((size_t)1 << 30)
#define FIRST_CAP ((size_t)64)

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max != 0 ? MIN(max, SIZE_MAX - 1) : DEFAULT_MAX};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = 0;
    b->cap = 0;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data != NULL) {
        b->data[0] = '\0';
    }
}

enum err buf_reserve(struct buf *b, size_t extra)
{
    size_t max = b->max != 0 ? b->max : DEFAULT_MAX;    // a zeroed struct is an empty buffer
    if (b->len > max || extra > max - b->len) {
        return ERR_LIMIT;
    }
    size_t need = b->len + extra + 1;
    if (need <= b->cap) {
        return ERR_OK;
    }
    size_t cap = MAX(b->cap, FIRST_CAP);
    while (cap < need) {
        cap = cap > max / 2 ? max + 1 : cap * 2;
    }
    uint8_t *data = realloc(b->data, cap);
    if (data == NULL) {
        return ERR_NOMEM;
    }
    b->data = data;
    b->cap = cap;
    b->data[b->len] = '\0';
    return ERR_OK;
}

enum err buf_append(struct buf *b, const void *data, size_t len)
{
    enum err e = buf_reserve(b, len);
    if (e != ERR_OK) {
        return e;
    }
    if (len > 0) {
        memcpy(b->data + b->len, data, len);
    }
    b->len += len;
    b->data[b->len] = '\0';
    return ERR_OK;
}

enum err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);

    enum err e = n < 0 ? ERR_INVALID : buf_reserve(b, (size_t)n);
    if (e == ERR_OK) {
        (void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return e;
}

char *buf_take(struct buf *b)
{
    if (b->data == NULL && buf_reserve(b, 0) != ERR_OK) {
        return NULL;
    }
    char *text = (char *)b->data;
    b->data = NULL;
    b->len = 0;
    b->cap = 0;
    return text;
}
