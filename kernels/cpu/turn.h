// turn.h: 4 x 4 words, or half words, turned by 90 degrees, from which larger transposes are made.
// Private to kernels/.
//
// In vectors of 16 bytes, which every machine has.
#ifndef CARAVAN_KERNELS_CPU_TURN_H
#define CARAVAN_KERNELS_CPU_TURN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint32_t words4 __attribute__((vector_size(16)));
typedef uint16_t halves8 __attribute__((vector_size(16)));

// Interleaved: the first four of each, the last four.
static inline halves8 zip_first(halves8 a, halves8 b)
{
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
static inline halves8 zip_last(halves8 a, halves8 b)
{
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

static inline words4 load4(const void *p)
{
    words4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store4(void *p, words4 v)
{
    memcpy(p, &v, sizeof v);
}

// to[i][j] = from[j][i] for i, j = 0 .. 3. Row j of `from` starts `from_stride` bytes after row
// j - 1, rows of `to` likewise.
static inline void turn4(const void *from, size_t from_stride, void *to, size_t to_stride)
{
    const char *in = from;
    char *out = to;
    words4 a = load4(in), b = load4(in + from_stride);
    words4 c = load4(in + 2 * from_stride), d = load4(in + 3 * from_stride);
    words4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    words4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    words4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    words4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store4(out, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
    store4(out + to_stride, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
    store4(out + 2 * to_stride, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
    store4(out + 3 * to_stride, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

#endif
