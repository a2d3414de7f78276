// tile_avx2.h: the steps of AVX2's large tile, 6 rows x 1 panel, in assembly. Part of tile.h.
//
// The tile needs all 16 registers: 12 accumulators, the 16 weights of a step, a factor and zeros.
// Compilers hold two factors at once, run out, and move accumulators to and fro. More instructions
// than needed show where the core is shared with another hyperthread and half of a front end is what
// limits the tile.
//
// The macros set the variables c0_0 … c5_0 that TILE_DECLARE made: they start chains and do not go
// on with them. They take n steps, a multiple of TILE_TURN and not 0. Everything else is as in
// TILE_STEP_1: the chain of an element never leaves its lane, a step is one fused multiply-add.
#ifndef CARAVAN_KERNELS_CPU_TILE_AVX2_H
#define CARAVAN_KERNELS_CPU_TILE_AVX2_H

#include "kernels/cpu/vec.h"

// clang-format off
#define TILE6_SUMS                                                                                 \
    [a0] "=&x"(c0_0.a), [b0] "=&x"(c0_0.b), [a1] "=&x"(c1_0.a), [b1] "=&x"(c1_0.b),                \
    [a2] "=&x"(c2_0.a), [b2] "=&x"(c2_0.b), [a3] "=&x"(c3_0.a), [b3] "=&x"(c3_0.b),                \
    [a4] "=&x"(c4_0.a), [b4] "=&x"(c4_0.b), [a5] "=&x"(c5_0.a), [b5] "=&x"(c5_0.b)
#define TILE6_ZERO(r)                                                                              \
    "vxorps %[a" #r "], %[a" #r "], %[a" #r "]\n\t"                                                \
    "vxorps %[b" #r "], %[b" #r "], %[b" #r "]\n\t"
#define TILE6_ZEROS                                                                                \
    TILE6_ZERO(0) TILE6_ZERO(1) TILE6_ZERO(2) TILE6_ZERO(3) TILE6_ZERO(4) TILE6_ZERO(5)
#define TILE6_LOOP ".p2align 5\n0:\n\t"
#define TILE6_LOOP_END "dec %[turns]\n\tjnz 0b\n\t"

// Row r of a step: the factor at `from` times the weights, which are in ymm12 and ymm13.
#define TILE6_ROW(r, from)                                                                         \
    "vbroadcastss " from ", %%ymm15\n\t"                                                           \
    "vfmadd231ps %%ymm12, %%ymm15, %[a" #r "]\n\t"                                                 \
    "vfmadd231ps %%ymm13, %%ymm15, %[b" #r "]\n\t"

// Step k of a turn, where the factors of a row follow one another: rows lie `ld` bytes apart, the
// last three from y3 on.
#define TILE6_STEP_BY_ROW(k)                                                                       \
    TILE6_ROW(0, #k "*4(%[y0])") TILE6_ROW(1, #k "*4(%[y0], %[ld])")                               \
    TILE6_ROW(2, #k "*4(%[y0], %[ld], 2)") TILE6_ROW(3, #k "*4(%[y3])")                            \
    TILE6_ROW(4, #k "*4(%[y3], %[ld])") TILE6_ROW(5, #k "*4(%[y3], %[ld], 2)")

// Likewise where the factors of a step do, `bytes` after those of the step before.
#define TILE6_STEP_BY_COLUMN(k, bytes)                                                             \
    TILE6_ROW(0, #k "*" #bytes "(%[y])") TILE6_ROW(1, #k "*" #bytes "+4(%[y])")                    \
    TILE6_ROW(2, #k "*" #bytes "+8(%[y])") TILE6_ROW(3, #k "*" #bytes "+12(%[y])")                 \
    TILE6_ROW(4, #k "*" #bytes "+16(%[y])") TILE6_ROW(5, #k "*" #bytes "+20(%[y])")

// The weights of a step: 16 floats, or the first or the second step of a line of bf16 (pack.c), for
// which ymm14 holds zeros.
#define TILE6_F32(k, bytes)                                                                        \
    "vmovups " #k "*" #bytes "(%[w]), %%ymm12\n\t"                                                 \
    "vmovups " #k "*" #bytes "+32(%[w]), %%ymm13\n\t"
#define TILE6_FIRST(line)                                                                          \
    "vpunpcklwd " #line "*64(%[w]), %%ymm14, %%ymm12\n\t"                                          \
    "vpunpcklwd " #line "*64+32(%[w]), %%ymm14, %%ymm13\n\t"
#define TILE6_SECOND(line)                                                                         \
    "vpunpckhwd " #line "*64(%[w]), %%ymm14, %%ymm12\n\t"                                          \
    "vpunpckhwd " #line "*64+32(%[w]), %%ymm14, %%ymm13\n\t"
#define TILE6_LINE(line, k, k_next)                                                                \
    TILE6_FIRST(line) TILE6_STEP_BY_ROW(k) TILE6_SECOND(line) TILE6_STEP_BY_ROW(k_next)

// How a turn prefetches, per line of the panel or for every second one; `stride` is per line.
#define TILE6_FETCH_TWO                                                                            \
    "prefetcht0 (%[f])\n\t"                                                                        \
    "prefetcht0 (%[f], %[s])\n\t"                                                                  \
    "lea (%[f], %[s], 2), %[f]\n\t"
#define TILE6_FETCH_ALL TILE6_FETCH_TWO TILE6_FETCH_TWO
#define TILE6_FETCH_HALF                                                                           \
    "prefetcht0 (%[f])\n\t"                                                                        \
    "prefetcht0 (%[f], %[s], 2)\n\t"                                                               \
    "lea (%[f], %[s], 4), %[f]\n\t"

// y, rows `ldy` floats apart, times a panel of bf16.
#define TILE6_BF16(n, y, ldy, panel, FETCH, fetch, stride)                                         \
    do {                                                                                           \
        const float *y0_ = (y), *y3_ = y0_ + 3 * (ldy);                                            \
        const void *w_ = (panel);                                                                  \
        size_t turns_ = (n) / TILE_TURN;                                                           \
        __asm__(TILE6_ZEROS                                                                        \
                "vpxor %%ymm14, %%ymm14, %%ymm14\n\t"                                              \
                TILE6_LOOP                                                                         \
                TILE6_LINE(0, 0, 1) TILE6_LINE(1, 2, 3) TILE6_LINE(2, 4, 5) TILE6_LINE(3, 6, 7)    \
                FETCH                                                                              \
                "add $32, %[y0]\n\t"                                                               \
                "add $32, %[y3]\n\t"                                                               \
                "add $256, %[w]\n\t"                                                               \
                TILE6_LOOP_END                                                                     \
                : TILE6_SUMS, [y0] "+r"(y0_), [y3] "+r"(y3_), [w] "+r"(w_), [f] "+r"(fetch),       \
                  [turns] "+r"(turns_)                                                             \
                : [ld] "r"(4 * (size_t)(ldy)), [s] "r"((size_t)(stride))                           \
                : "ymm12", "ymm13", "ymm14", "ymm15", "cc", "memory");                             \
    } while (0)

// y, rows `ldy` floats apart, times 16 floats a step, `w_bytes` apart: a numeral, here and below.
#define TILE6_BY_ROW(n, y, ldy, weights, w_bytes)                                                  \
    do {                                                                                           \
        const float *y0_ = (y), *y3_ = y0_ + 3 * (ldy), *w_ = (weights);                           \
        size_t turns_ = (n) / TILE_TURN;                                                           \
        __asm__(TILE6_ZEROS                                                                        \
                TILE6_LOOP                                                                         \
                TILE6_F32(0, w_bytes) TILE6_STEP_BY_ROW(0)                                         \
                TILE6_F32(1, w_bytes) TILE6_STEP_BY_ROW(1)                                         \
                TILE6_F32(2, w_bytes) TILE6_STEP_BY_ROW(2)                                         \
                TILE6_F32(3, w_bytes) TILE6_STEP_BY_ROW(3)                                         \
                TILE6_F32(4, w_bytes) TILE6_STEP_BY_ROW(4)                                         \
                TILE6_F32(5, w_bytes) TILE6_STEP_BY_ROW(5)                                         \
                TILE6_F32(6, w_bytes) TILE6_STEP_BY_ROW(6)                                         \
                TILE6_F32(7, w_bytes) TILE6_STEP_BY_ROW(7)                                         \
                "add $32, %[y0]\n\t"                                                               \
                "add $32, %[y3]\n\t"                                                               \
                "add $8*" #w_bytes ", %[w]\n\t"                                                    \
                TILE6_LOOP_END                                                                     \
                : TILE6_SUMS, [y0] "+r"(y0_), [y3] "+r"(y3_), [w] "+r"(w_), [turns] "+r"(turns_)   \
                : [ld] "r"(4 * (size_t)(ldy))                                                      \
                : "ymm12", "ymm13", "ymm15", "cc", "memory");                                      \
    } while (0)

// Six factors a step, `y_bytes` apart, times 16 floats.
#define TILE6_BY_COLUMN(n, factors, y_bytes, weights, w_bytes)                                     \
    do {                                                                                           \
        const float *y_ = (factors), *w_ = (weights);                                              \
        size_t turns_ = (n) / TILE_TURN;                                                           \
        __asm__(TILE6_ZEROS                                                                        \
                TILE6_LOOP                                                                         \
                TILE6_F32(0, w_bytes) TILE6_STEP_BY_COLUMN(0, y_bytes)                             \
                TILE6_F32(1, w_bytes) TILE6_STEP_BY_COLUMN(1, y_bytes)                             \
                TILE6_F32(2, w_bytes) TILE6_STEP_BY_COLUMN(2, y_bytes)                             \
                TILE6_F32(3, w_bytes) TILE6_STEP_BY_COLUMN(3, y_bytes)                             \
                TILE6_F32(4, w_bytes) TILE6_STEP_BY_COLUMN(4, y_bytes)                             \
                TILE6_F32(5, w_bytes) TILE6_STEP_BY_COLUMN(5, y_bytes)                             \
                TILE6_F32(6, w_bytes) TILE6_STEP_BY_COLUMN(6, y_bytes)                             \
                TILE6_F32(7, w_bytes) TILE6_STEP_BY_COLUMN(7, y_bytes)                             \
                "add $8*" #y_bytes ", %[y]\n\t"                                                    \
                "add $8*" #w_bytes ", %[w]\n\t"                                                    \
                TILE6_LOOP_END                                                                     \
                : TILE6_SUMS, [y] "+r"(y_), [w] "+r"(w_), [turns] "+r"(turns_)                     \
                :                                                                                  \
                : "ymm12", "ymm13", "ymm15", "cc", "memory");                                      \
    } while (0)
// clang-format on

#endif
