// math.h: the scalar arithmetic of the CUDA kernels: the same operations in the same order as
// kernels/cpu/mathfun.h and vec.h have lane by lane, so that forward results are the same bits.
//
// Fused multiply-add stands only where fmaf is written: nvcc runs with -fmad=false, divisions and
// square roots are correctly rounded, and -ftz=true flushes subnormals as the CPU's threads do.
#ifndef CARAVAN_KERNELS_CUDA_MATH_H
#define CARAVAN_KERNELS_CUDA_MATH_H

#include "kernels/cuda/rt.h"

enum { LANES = 16 };

DEVICE uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

DEVICE float from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

// The first or second bf16 of a word, widened.
DEVICE float bf16_low(uint32_t pair)
{
    return from_bits(pair << 16);
}

DEVICE float bf16_high(uint32_t pair)
{
    return from_bits(pair & 0xffff0000u);
}

DEVICE float larger(float a, float b)    // b when either is NaN or both are equal
{
    return a > b ? a : b;
}

// e^x, see mathfun.h for the polynomial and its limits.
DEVICE float exp_f32(float x)
{
    const float magic = 12582912.0f;    // 1.5 * 2^23: a sum with it is rounded to integer
    float c = 88.37f < x ? 88.37f : x;
    float t = fmaf(c, 0x1.715476p+0f, magic);
    float n = t - magic;
    float r = fmaf(-n, 0x1.62e4p-1f, c);
    r = fmaf(-n, 0x1.7f7d1cp-20f, r);
    float p = fmaf(0x1.6d10fep-10f, r, 0x1.120b64p-7f);
    p = fmaf(p, r, 0x1.55551ap-5f);
    p = fmaf(p, r, 0x1.5554dep-3f);
    p = fmaf(p, r, 0.5f);
    float e = fmaf(r * r, p, r) + 1.0f;
    e *= from_bits((bits_of(t) << 23) + 0x3f800000u);
    return x < -87.33f ? 0.0f : e;
}

// x > 0, finite and normal; 0 gives -inf, a NaN stays one. See mathfun.h.
DEVICE double log_f64(double x)
{
    if (!(x > 0.0)) {
        return x == 0.0 ? -(double)INFINITY : (double)NAN;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (bits >> 52 == 0x7ff) {
        return x;
    }
    int64_t e = (int64_t)(bits - 0x3fe6a09e667f3bcdu) >> 52;
    bits -= (uint64_t)e << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1.0) / (m + 1.0);
    double z = s * s;
    double p = 1.0 / 21.0;
    UNROLL
    for (int k = 19; k >= 3; k -= 2) {
        p = p * z + 1.0 / k;
    }
    double de = (double)e;
    return de * 0x1.62e42fefa3800p-1 + (de * 0x1.ef35793c76730p-45 + (2.0 * s + 2.0 * s * (z * p)));
}

// Lane `lane` of a dot product over n elements.
DEVICE float lane_dot(const float *x, const float *y, size_t n, size_t lane)
{
    float acc = 0.0f;
    UNROLL
    for (size_t i = lane; i < n; i += LANES) {
        acc = fmaf(x[i], y[i], acc);
    }
    return acc;
}

DEVICE size_t global_index(size_t threads)
{
    return block_index() * threads + thread_index();
}

#endif
