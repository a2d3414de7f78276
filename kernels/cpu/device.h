// device.h: how device_open reaches the CPU back end. Private to kernels/.
//
// The back end is compiled three times from the same sources (portable, AVX2, AVX-512); opening
// picks one of the three tables of ops by name or by what the CPU can do. All three give the same
// bits in the forward pass.
#ifndef CARAVAN_KERNELS_CPU_DEVICE_H
#define CARAVAN_KERNELS_CPU_DEVICE_H

#include "kernels/device.h"

// kind: "cpu", "cpu-portable", "cpu-avx2", "cpu-avx512".
MUST_CHECK enum err cpu_device_open(const char *kind, struct pool *pool, struct device **out,
                                    struct why *why);
void cpu_device_close(struct device *d);
const char *cpu_device_isa(const struct device *d);

#endif
