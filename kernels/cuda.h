// cuda.h: how device_open reaches the CUDA back end: cuda/ where it is built, no_cuda.c everywhere
// else. Private to kernels/.
//
// The declarations are the same in both builds, so that device.c needs no #ifdef: which file
// answers is decided by the build. On a build without CUDA, opening is ERR_UNSUPPORTED and the
// other two are never reached.
#ifndef CARAVAN_KERNELS_CUDA_H
#define CARAVAN_KERNELS_CUDA_H

#include "kernels/device.h"

MUST_CHECK enum err cuda_device_open(struct pool *pool, struct device **out, struct why *why);
void cuda_device_close(struct device *d);
const char *cuda_device_isa(const struct device *d);

#endif
