// cuda.h: how device_open reaches the CUDA back end: cuda/ where it is built, no_cuda.c everywhere
// else. Private to kernels/.
#ifndef CARAVAN_KERNELS_CUDA_H
#define CARAVAN_KERNELS_CUDA_H

#include "kernels/device.h"

MUST_CHECK enum err cuda_device_open(struct pool *pool, struct device **out, struct why *why);
void cuda_device_close(struct device *d);
const char *cuda_device_isa(const struct device *d);

#endif
