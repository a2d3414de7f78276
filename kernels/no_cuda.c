// no_cuda.c: the CUDA back end of a build that has none. It refuses to open, so the other two are
// never reached with a device of its own.

#include "kernels/cuda.h"

enum err cuda_device_open(struct pool *pool, struct device **out, struct why *why)
{
    (void)pool;
    (void)out;
    return why_set(why, ERR_UNSUPPORTED, "device cuda: not built in");
}

void cuda_device_close(struct device *d)
{
    CHECK(d == NULL);
}

const char *cuda_device_isa(const struct device *d)
{
    CHECK(d == NULL);
    return "none";
}
