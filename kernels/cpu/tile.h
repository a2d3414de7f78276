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
#define EACH_1(M, p) M(0, p)
#define EACH_2(M, p) EACH_1(M, p) M(1, p)
#define EACH_3(M, p) EACH_2(M, p) M(2, p)
#define EACH_4(M, p) EACH_3(M, p) M(3, p)
#define EACH_5(M, p) EACH_4(M, p) M(4, p)
#define EACH_6(M, p) EACH_5(M, p) M(5, p)
#define EACH_7(M, p) EACH_6(M, p) M(6, p)
#define EACH_8(M, p) EACH_7(M, p) M(7, p)
#define EACH_9(M, p) EACH_8(M, p) M(8, p)
#define EACH_10(M, p) EACH_9(M, p) M(9, p)
#define EACH_11(M, p) EACH_10(M, p) M(10, p)
#define EACH_12(M, p) EACH_11(M, p) M(11, p)

#define OVER_1(EACH, M) EACH(M, 0)
#define OVER_2(EACH, M) EACH(M, 0) EACH(M, 1)
#define OVER_4(EACH, M) EACH(M, 0) EACH(M, 1) EACH(M, 2) EACH(M, 3)
#define PANELS_1(M) M(0)
#define PANELS_2(M) M(0) M(1)
#define PANELS_4(M) M(0) M(1) M(2) M(3)

#define TILE_DECLARE(r, p) v16 c##r##_##p = v16_zero();
// clang-format on

// The largest tile: AVX-512 has 32 registers of 16 lanes, AVX2 16 of 8.
#if defined(CPU_ISA_AVX512)
#define TILE_MAX_ROWS 12
#define TILE_MAX_PANELS 2
#else
#define TILE_MAX_ROWS 6
#define TILE_MAX_PANELS 1
#endif

#endif
