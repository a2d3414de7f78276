// mathfun.h: exp and log of this back end. glibc picks its own by CPU at run time, so its last bits
// are not ours to promise; these are the same operations in the same order on every path.
//
// exp   x = n ln2 + r with |r| <= ln2/2; e^r by a polynomial of degree 6 (Chebyshev fit of
//       (e^r - 1 - r) / r^2, relative error 8e-9), times 2^n. Largest error measured: 1.04 ulp.
//       Below -87.33 the result is 0 (it would be subnormal), above 88.37 it saturates at 2.4e38:
//       softmax never goes there, and 1 / (1 + 2.4e38) is 0 enough for silu. NaN stays NaN.
// log   in double: x = m 2^e with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)) by
//       its series to the 21st power, error below 1e-15. Only a few scalars per row need it.
#ifndef CARAVAN_KERNELS_CPU_MATHFUN_H
#define CARAVAN_KERNELS_CPU_MATHFUN_H

#include "kernels/cpu/vec.h"

static inline v16 v16_exp(v16 x)
{
    const v16 magic = v16_set1(12582912.0f);    // 1.5 * 2^23: a sum with it is rounded to integer
    v16 c = v16_min(v16_set1(88.37f), x);
    v16 t = v16_fma(c, v16_set1(0x1.715476p+0f), magic);
    v16 n = v16_sub(t, magic);
    v16 r = v16_fnma(n, v16_set1(0x1.62e4p-1f), c);
    r = v16_fnma(n, v16_set1(0x1.7f7d1cp-20f), r);
    v16 p = v16_fma(v16_set1(0x1.6d10fep-10f), r, v16_set1(0x1.120b64p-7f));
    p = v16_fma(p, r, v16_set1(0x1.55551ap-5f));
    p = v16_fma(p, r, v16_set1(0x1.5554dep-3f));
    p = v16_fma(p, r, v16_set1(0.5f));
    v16 e = v16_fma(v16_mul(r, r), p, r);
    e = v16_add(e, v16_set1(1.0f));
    return v16_zero_below(x, -87.33f, v16_mul(e, v16_pow2_from_magic(t)));
}

// One value by the same polynomial.
static inline float mathfun_exp(float x)
{
    float t[LANES];
    v16_store(t, v16_exp(v16_set1(x)));
    return t[0];
}

// x > 0, finite and normal; 0 gives -inf, a NaN stays one.
static inline double mathfun_log(double x)
{
    if (!(x > 0.0)) {
        return x == 0.0 ? -INFINITY : NAN;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (bits >> 52 == 0x7ff) {
        return x;
    }
    // e such that m = x / 2^e lies in [sqrt(1/2), sqrt(2)): 0x3fe6a09e667f3bcd is sqrt(1/2)
    int64_t e = (int64_t)(bits - 0x3fe6a09e667f3bcdu) >> 52;
    bits -= (uint64_t)e << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1.0) / (m + 1.0);
    double z = s * s;
    double p = 1.0 / 21.0;
    for (int k = 19; k >= 3; k -= 2) {
        p = p * z + 1.0 / k;
    }
    double de = (double)e;
    return de * 0x1.62e42fefa3800p-1 + (de * 0x1.ef35793c76730p-45 + (2.0 * s + 2.0 * s * (z * p)));
}

#endif
