// device.c: opening devices by name, and what all of them share.
//
// A name is tried against the CPU back end, which knows several, and "cuda". The conversions
// between bf16 and f32 stand here because every back end and the readers of model files must round
// the same way: to nearest, ties to even, NaN stays NaN.

#include "kernels/device.h"

#include <string.h>

#include "kernels/cpu/device.h"
#include "kernels/cuda.h"

size_t dtype_size(enum dtype t)
{
    return t == DTYPE_BF16 ? 2 : 4;
}

// Both cases are formed, so that a loop of it becomes one of vectors.
static inline uint16_t round_to_bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    uint32_t even = u + 0x7fffu + (u >> 16 & 1u);
    // A NaN whose payload lies below must not become infinity.
    return (uint16_t)(((u & 0x7fffffffu) > 0x7f800000u ? u | 0x400000u : even) >> 16);
}

uint16_t bf16_from_f32(float x)
{
    return round_to_bf16(x);
}

void bf16_from_floats(const float *x, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = round_to_bf16(x[i]);
    }
}

float bf16_to_f32(uint16_t x)
{
    uint32_t u = (uint32_t)x << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
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
