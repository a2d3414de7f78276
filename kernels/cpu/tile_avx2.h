// tile_avx2.h: the steps of AVX2's large tile, 6 rows x 1 panel, in assembly.
//
// The tile needs all 16 registers: 12 accumulators, the 16 weights of a step, a factor and a
// constant. Compilers hold two factors at once, run out, and move accumulators to and fro: a sixth
// more instructions than needed, which costs 3 to 9 % of a product; most of that where the core is
// shared with another hyperthread: half of a front end is then what limits the tile.
//
// The macros set the variables c0_0 … c5_0 that TILE_DECLARE made: they start chains and do not go
// on with them. Everything else is as in TILE_STEP_1: the chain of an element never leaves its lane,
// and every step is one fused multiply-add.
#ifndef CARAVAN_KERNELS_CPU_TILE_AVX2_H
#define CARAVAN_KERNELS_CPU_TILE_AVX2_H

#include "kernels/cpu/vec.h"

// Byte masks that take the low bf16 of each 32-bit word to its upper half. A shift would do as
// well, but on the two ports that multiply.
static const uint8_t tile6_low[32] __attribute__((aligned(32))) = {
    0x80, 0x80, 0, 1, 0x80, 0x80, 4, 5, 0x80, 0x80, 8, 9, 0x80, 0x80, 12, 13,
    0x80, 0x80, 0, 1, 0x80, 0x80, 4, 5, 0x80, 0x80, 8, 9, 0x80, 0x80, 12, 13};
static const uint32_t tile6_high = 0xffff0000u;

// clang-format off
#define TILE6_ZERO(r) "vxorps %[a" #r "], %[a" #r "], %[a" #r "]\n\t"                              \
                      "vxorps %[b" #r "], %[b" #r "], %[b" #r "]\n\t"
#define TILE6_START TILE6_ZERO(0) TILE6_ZERO(1) TILE6_ZERO(2)                                      \
                    TILE6_ZERO(3) TILE6_ZERO(4) TILE6_ZERO(5)
#define TILE6_SUMS [a0] "=&x"(c0_0.a), [b0] "=&x"(c0_0.b), [a1] "=&x"(c1_0.a),                     \
                   [b1] "=&x"(c1_0.b), [a2] "=&x"(c2_0.a), [b2] "=&x"(c2_0.b),                     \
                   [a3] "=&x"(c3_0.a), [b3] "=&x"(c3_0.b), [a4] "=&x"(c4_0.a),                     \
                   [b4] "=&x"(c4_0.b), [a5] "=&x"(c5_0.a), [b5] "=&x"(c5_0.b)

#define TILE6_LOOP ".p2align 5\n0:\n\t"
#define TILE6_LOOP_END "dec %[left]\n\tjnz 0b\n\t"

// The weights of a step are in ymm12 and ymm13; the factor of row r is at `from`.
#define TILE6_ROW(r, from) "vbroadcastss " from ", %%ymm15\n\t"                                    \
                           "vfmadd231ps %%ymm12, %%ymm15, %[a" #r "]\n\t"                          \
                           "vfmadd231ps %%ymm13, %%ymm15, %[b" #r "]\n\t"

// Step k of rows that lie `ld` bytes apart, the last three from x3 on.
#define TILE6_STEP_X(k)                                                                            \
    TILE6_ROW(0, #k "*4(%[x0])") TILE6_ROW(1, #k "*4(%[x0], %[ld])")                               \
    TILE6_ROW(2, #k "*4(%[x0], %[ld], 2)") TILE6_ROW(3, #k "*4(%[x3])")                            \
    TILE6_ROW(4, #k "*4(%[x3], %[ld])") TILE6_ROW(5, #k "*4(%[x3], %[ld], 2)")
#define TILE6_LOW(line) "vmovdqu " #line "*64(%[w]), %%ymm12\n\t"                                  \
                        "vmovdqu " #line "*64+32(%[w]), %%ymm13\n\t"                               \
                        "vpshufb %[low], %%ymm12, %%ymm12\n\t"                                     \
                        "vpshufb %[low], %%ymm13, %%ymm13\n\t"
#define TILE6_HIGH(line) "vpand " #line "*64(%[w]), %%ymm14, %%ymm12\n\t"                          \
                         "vpand " #line "*64+32(%[w]), %%ymm14, %%ymm13\n\t"

// 4 * n steps, n > 0: x, rows `ldx` floats apart, times a panel of bf16 pairs. Each line of the
// panel prefetches at `fetch`, which moves on by `stride` bytes.
#define TILE6_BF16(n, x, ldx, panel, fetch, stride)                                                \
    do {                                                                                           \
        const float *x0_ = (x), *x3_ = x0_ + 3 * (ldx);                                            \
        const void *w_ = (panel);                                                                  \
        size_t n_ = (n);                                                                           \
        __asm__(TILE6_START                                                                        \
                "vpbroadcastd %[high], %%ymm14\n\t"                                                \
                TILE6_LOOP                                                                         \
                TILE6_LOW(0) TILE6_STEP_X(0) TILE6_HIGH(0) TILE6_STEP_X(1)                         \
                TILE6_LOW(1) TILE6_STEP_X(2) TILE6_HIGH(1) TILE6_STEP_X(3)                         \
                "prefetcht0 (%[f])\n\t"                                                            \
                "prefetcht0 (%[f], %[s])\n\t"                                                      \
                "lea (%[f], %[s], 2), %[f]\n\t"                                                    \
                "add $128, %[w]\n\t"                                                               \
                "add $16, %[x0]\n\t"                                                               \
                "add $16, %[x3]\n\t"                                                               \
                TILE6_LOOP_END                                                                     \
                : TILE6_SUMS, [x0] "+r"(x0_), [x3] "+r"(x3_), [w] "+r"(w_), [f] "+r"(fetch),       \
                  [left] "+r"(n_)                                                                  \
                : [ld] "r"(4 * (ldx)), [s] "r"(stride), [low] "m"(tile6_low),                      \
                  [high] "m"(tile6_high)                                                           \
                : "ymm12", "ymm13", "ymm14", "ymm15", "cc", "memory");                             \
    } while (0)

#define TILE6_WEIGHTS(k, w_bytes)                                                                  \
    "vmovups " #k "*" #w_bytes "(%[w]), %%ymm12\n\t"                                               \
    "vmovups " #k "*" #w_bytes "+32(%[w]), %%ymm13\n\t"
#define TILE6_STEP_Y(k, y_bytes, w_bytes)                                                          \
    TILE6_WEIGHTS(k, w_bytes)                                                                      \
    TILE6_ROW(0, #k "*" #y_bytes "(%[at])") TILE6_ROW(1, #k "*" #y_bytes "+4(%[at])")              \
    TILE6_ROW(2, #k "*" #y_bytes "+8(%[at])") TILE6_ROW(3, #k "*" #y_bytes "+12(%[at])")           \
    TILE6_ROW(4, #k "*" #y_bytes "+16(%[at])") TILE6_ROW(5, #k "*" #y_bytes "+20(%[at])")

// 4 * n steps, n > 0: six factors and 16 weights each. From one step to the next, y moves on by
// `y_bytes` and w by `w_bytes`, numerals here and below; both end up past what was read.
#define TILE6_COLUMNS(n, y, y_bytes, w_, w_bytes)                                                  \
    do {                                                                                           \
        size_t n_ = (n);                                                                           \
        __asm__(TILE6_START                                                                        \
                TILE6_LOOP                                                                         \
                TILE6_STEP_Y(0, y_bytes, w_bytes) TILE6_STEP_Y(1, y_bytes, w_bytes)                \
                TILE6_STEP_Y(2, y_bytes, w_bytes) TILE6_STEP_Y(3, y_bytes, w_bytes)                \
                "add $4*" #y_bytes ", %[at]\n\t"                                                   \
                "add $4*" #w_bytes ", %[w]\n\t"                                                    \
                TILE6_LOOP_END                                                                     \
                : TILE6_SUMS, [at] "+r"(y), [w] "+r"(w_), [left] "+r"(n_)                          \
                :                                                                                  \
                : "ymm12", "ymm13", "ymm15", "cc", "memory");                                      \
    } while (0)

// 4 * n steps, n > 0: x, rows `ldx` floats apart, times 16 weights each, `w_bytes` apart.
#define TILE6_ROWS(n, x, ldx, w_, w_bytes)                                                         \
    do {                                                                                           \
        const float *x0_ = (x), *x3_ = x0_ + 3 * (ldx);                                            \
        const void *from_ = (w_);                                                                  \
        size_t n_ = (n);                                                                           \
        __asm__(TILE6_START                                                                        \
                TILE6_LOOP                                                                         \
                TILE6_WEIGHTS(0, w_bytes) TILE6_STEP_X(0)                                          \
                TILE6_WEIGHTS(1, w_bytes) TILE6_STEP_X(1)                                          \
                TILE6_WEIGHTS(2, w_bytes) TILE6_STEP_X(2)                                          \
                TILE6_WEIGHTS(3, w_bytes) TILE6_STEP_X(3)                                          \
                "add $4*" #w_bytes ", %[w]\n\t"                                                    \
                "add $16, %[x0]\n\t"                                                               \
                "add $16, %[x3]\n\t"                                                               \
                TILE6_LOOP_END                                                                     \
                : TILE6_SUMS, [x0] "+r"(x0_), [x3] "+r"(x3_), [w] "+r"(from_), [left] "+r"(n_)     \
                : [ld] "r"(4 * (size_t)(ldx))                                                      \
                : "ymm12", "ymm13", "ymm15", "cc", "memory");                                      \
    } while (0)
// clang-format on

#endif
