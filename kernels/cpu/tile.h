// tile.h: the register tiles of the two matrix products, as macros over rows and panels.
//
// A tile keeps rows x panels accumulators of 16 lanes in registers while it walks the reduction.
// They are named variables (c<row>_<panel>) and not an array, because GCC 12 keeps arrays of
// vectors in memory and halves the speed. EACH_6(M, p) expands M(0, p) … M(5, p); OVER_2(EACH_6, M)
// does so for panels 0 and 1.
#ifndef CARAVAN_KERNELS_CPU_TILE_H
#define CARAVAN_KERNELS_CPU_TILE_H

#include "kernels/cpu/vec.h"

// clang-format off
#define EACH_1(M, ...) M(0, __VA_ARGS__)
#define EACH_2(M, ...) EACH_1(M, __VA_ARGS__) M(1, __VA_ARGS__)
#define EACH_3(M, ...) EACH_2(M, __VA_ARGS__) M(2, __VA_ARGS__)
#define EACH_4(M, ...) EACH_3(M, __VA_ARGS__) M(3, __VA_ARGS__)
#define EACH_5(M, ...) EACH_4(M, __VA_ARGS__) M(4, __VA_ARGS__)
#define EACH_6(M, ...) EACH_5(M, __VA_ARGS__) M(5, __VA_ARGS__)
#define EACH_7(M, ...) EACH_6(M, __VA_ARGS__) M(6, __VA_ARGS__)
#define EACH_8(M, ...) EACH_7(M, __VA_ARGS__) M(7, __VA_ARGS__)
#define EACH_9(M, ...) EACH_8(M, __VA_ARGS__) M(8, __VA_ARGS__)
#define EACH_10(M, ...) EACH_9(M, __VA_ARGS__) M(9, __VA_ARGS__)
#define EACH_11(M, ...) EACH_10(M, __VA_ARGS__) M(10, __VA_ARGS__)
#define EACH_12(M, ...) EACH_11(M, __VA_ARGS__) M(11, __VA_ARGS__)

#define OVER_1(EACH, M) EACH(M, 0)
#define OVER_2(EACH, M) EACH(M, 0) EACH(M, 1)
#define OVER_4(EACH, M) EACH(M, 0) EACH(M, 1) EACH(M, 2) EACH(M, 3)
#define PANELS_1(M) M(0)
#define PANELS_2(M) M(0) M(1)
#define PANELS_4(M) M(0) M(1) M(2) M(3)

#define TILE_DECLARE(r, p) v16 c##r##_##p = v16_zero();

// One step of row r: x times the weights w0, w1, … of the panels. The factor x lives for its row
// only: with panels in the outer loop the factors of all rows would be alive at once.
#define TILE_STEP_1(r, x, w) { const v16 b = v16_set1(x); TILE_ADD(r, 0, w) }
#define TILE_STEP_2(r, x, w) { const v16 b = v16_set1(x); TILE_ADD(r, 0, w) TILE_ADD(r, 1, w) }
#define TILE_STEP_4(r, x, w) { const v16 b = v16_set1(x); TILE_ADD(r, 0, w) TILE_ADD(r, 1, w)      \
                                                          TILE_ADD(r, 2, w) TILE_ADD(r, 3, w) }
#define TILE_ADD(r, p, w) v16_accumulate(&c##r##_##p, b, w##p);
// clang-format on

// The largest tile: AVX-512 has 32 registers of 16 lanes, AVX2 16 of 8.
#if defined(CPU_ISA_AVX512)
#define TILE_MAX_ROWS 12
#define TILE_MAX_PANELS 2
#else
#define TILE_MAX_ROWS 6
#define TILE_MAX_PANELS 1
#endif
enum { TILE_MAX_COLS = TILE_MAX_PANELS * LANES };

// The macros above for it.
#define TILE_JOIN_(a, b) a##b
#define TILE_JOIN(a, b) TILE_JOIN_(a, b)
#define TILE_EACH TILE_JOIN(EACH_, TILE_MAX_ROWS)
#define TILE_OVER TILE_JOIN(OVER_, TILE_MAX_PANELS)
#define TILE_PANELS TILE_JOIN(PANELS_, TILE_MAX_PANELS)
#define TILE_STEP TILE_JOIN(TILE_STEP_, TILE_MAX_PANELS)

// Steps in a turn of the loops that are unrolled by hand: enough that a step of AVX2's tile is 20
// instructions and hardly more. Instructions are what counts: beside another hyperthread, 21 where
// it was 23 gave 1.07 to 1.09 times the rate.
enum { TILE_TURN = 8 };

#if defined(CPU_ISA_AVX2)
#include "kernels/cpu/tile_avx2.h"
#endif

#endif
