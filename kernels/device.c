// device.c: opening devices by name, and what all of them share: element types and the RoPE table.
//
// The table is made on the host in double precision with our own exp, log, sine and cosine, because
// libm's differ between machines in the last bits and the table is part of the forward pass. Angles
// go up to some 10^5 radians: the multiple of pi/2 is taken away in three pieces, the first of 33
// bits so that its product with the multiple (below 2^20) is exact; the rest, at most pi/4, goes
// through Taylor series whose first left-out term is below 1e-16. Plain multiplications and
// additions only, so every compiler gives the same bits (no contraction, CMakeLists.txt).

#include "kernels/device.h"

#include <string.h>

#include "kernels/cpu/device.h"
#include "kernels/cpu/mathfun.h"
#include "kernels/cuda.h"

size_t dtype_size(enum dtype t)
{
    return t == DTYPE_BF16 ? 2 : 4;
}

uint16_t bf16_from_f32(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(u >> 16 |
                          0x40u);    // a NaN whose payload lies below must not become infinity
    }
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

float bf16_to_f32(uint16_t x)
{
    return vec_from_bits((uint32_t)x << 16);
}

enum err device_open(const char *kind, struct pool *pool, struct device **out, struct why *why)
{
    if (strcmp(kind, "cuda") == 0) {
        return cuda_device_open(pool, out, why);
    }
    static const char *const cpus[] = {"cpu", "cpu-portable", "cpu-avx2", "cpu-avx512"};
    for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
        if (strcmp(kind, cpus[i]) == 0) {
            return cpu_device_open(kind, pool, out, why);
        }
    }
    return why_set(why, ERR_INVALID,
                   "device %.32s: expected cpu, cpu-portable, cpu-avx2, cpu-avx512 or cuda", kind);
}

static bool is_cpu(const struct device *d)
{
    return strncmp(d->ops->numerics_id, "cpu-", 4) == 0;
}

void device_close(struct device *d)
{
    if (d == NULL) {
        return;
    }
    if (is_cpu(d)) {
        cpu_device_close(d);
    } else {
        cuda_device_close(d);
    }
}

const char *device_isa(const struct device *d)
{
    return is_cpu(d) ? cpu_device_isa(d) : cuda_device_isa(d);
}

// e^x for |x| <= 40 or so: x = n ln2 + r, Taylor to r^17.
static double exp_double(double x)
{
    double n = (double)(int64_t)(x * 0x1.71547652b82fep+0 + (x < 0.0 ? -0.5 : 0.5));
    double r = (x - n * 0x1.62e42fefa3800p-1) - n * 0x1.ef35793c76730p-45;
    double sum = 1.0;
    for (int k = 17; k >= 1; k--) {
        sum = 1.0 + sum * r / k;
    }
    for (int64_t i = (int64_t)n; i < 0; i++) {
        sum *= 0.5;
    }
    for (int64_t i = (int64_t)n; i > 0; i--) {
        sum *= 2.0;
    }
    return sum;
}

// 1 / (k (k + 1)) and 1 / (k (k - 1)): the ratios between terms of the two series, from k = 2.
static const double sine_ratio[] = {1.0 / 6,   1.0 / 20,  1.0 / 42,  1.0 / 72, 1.0 / 110,
                                    1.0 / 156, 1.0 / 210, 1.0 / 272, 1.0 / 342};
static const double cosine_ratio[] = {1.0 / 2,   1.0 / 12,  1.0 / 30,  1.0 / 56, 1.0 / 90,
                                      1.0 / 132, 1.0 / 182, 1.0 / 240, 1.0 / 306};

// 0 <= x < 2^20
static void sincos_double(double x, double *sine, double *cosine)
{
    int64_t n = (int64_t)(x * 0x1.45f306dc9c883p-1 + 0.5);
    double dn = (double)n;
    double r =
        ((x - dn * 0x1.921fb54400000p+0) - dn * 0x1.0b4611a600000p-34) - dn * 0x1.3198a2e037073p-69;
    double z = r * r, s = 1.0, c = 1.0;
    for (size_t k = ARRAY_LEN(sine_ratio); k-- > 0;) {
        s = 1.0 - s * z * sine_ratio[k];
        c = 1.0 - c * z * cosine_ratio[k];
    }
    s *= r;
    switch (n & 3) {
    case 0:
        *sine = s;
        *cosine = c;
        break;
    case 1:
        *sine = c;
        *cosine = -s;
        break;
    case 2:
        *sine = -s;
        *cosine = -c;
        break;
    default:
        *sine = -c;
        *cosine = s;
        break;
    }
}

void device_rope_table(size_t positions, size_t D, float theta, float *table)
{
    CHECK(D % 2 == 0 && positions <= DEVICE_MAX_POSITIONS && theta >= 1.0f);
    double log_theta = mathfun_log((double)theta);
    for (size_t i = 0; i < D / 2; i++) {
        double inv_freq = exp_double(-2.0 * (double)i / (double)D * log_theta);
        for (size_t pos = 0; pos < positions; pos++) {
            double sine, cosine;
            sincos_double((double)pos * inv_freq, &sine, &cosine);
            table[pos * D + 2 * i] = (float)cosine;
            table[pos * D + 2 * i + 1] = (float)sine;
        }
    }
}
