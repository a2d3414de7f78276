// rt_host.c: the runtime of rt.h on the host: device memory is ordinary memory and work is done when
// it is queued. For tests of the kernels where there is no GPU.

#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/ops.h"

enum { ALIGNMENT = 256, MULTIPROCESSORS = 3 };    // few, so that small tests meet every tile
static const size_t MEMORY = (size_t)1 << 40;

enum err rt_start(struct cuda_device *d, struct why *why)
{
    (void)why;
    d->multiprocessors = MULTIPROCESSORS;
    snprintf(d->name, sizeof d->name, "emulated");
    return ERR_OK;
}

void rt_stop(struct cuda_device *d)
{
    (void)d;
}

void rt_fail(const struct cuda_device *d, const char *text)
{
    fprintf(stderr, "cuda (emulated): %s, after %s\n", text, d->last);
    abort();
}

enum err rt_alloc(struct cuda_device *d, size_t bytes, void **out, struct why *why)
{
    (void)d;
    void *p =
        bytes > MEMORY ? NULL : aligned_alloc(ALIGNMENT, div_up(bytes + 1, ALIGNMENT) * ALIGNMENT);
    if (p == NULL) {
        return why_set(why, ERR_NOMEM, "device cuda (emulated): cannot allocate %zu bytes", bytes);
    }
    *out = p;
    return ERR_OK;
}

void rt_free(struct cuda_device *d, void *p)
{
    (void)d;
    free(p);
}

void rt_zero(struct cuda_device *d, void *p, size_t bytes)
{
    (void)d;
    memset(p, 0, bytes);
}

void rt_copy(struct cuda_device *d, void *dst, const void *src, size_t bytes)
{
    (void)d;
    memmove(dst, src, bytes);
}

void rt_put(struct cuda_device *d, void *dst, const void *host, size_t bytes)
{
    (void)d;
    memcpy(dst, host, bytes);
}

void rt_get(struct cuda_device *d, void *host, const void *src, size_t bytes)
{
    (void)d;
    memcpy(host, src, bytes);
}

void rt_finish(struct cuda_device *d)
{
    (void)d;
}

void rt_gemm_dw(struct cuda_device *d, size_t R, size_t N, size_t K, const float *dy, size_t ldy,
                const float *x, size_t ldx, float *dw)
{
    (void)d;
    for (size_t n = 0; n < N; n++) {
        for (size_t k = 0; k < K; k++) {
            float acc = 0.0f;
            for (size_t r = 0; r < R; r++) {
                acc = fmaf(dy[r * ldy + n], x[r * ldx + k], acc);
            }
            dw[n * K + k] += acc;
        }
    }
}

void rt_launched(struct cuda_device *d, const char *kernel)
{
    d->last = kernel;
}

unsigned rt_grid(size_t n_blocks)
{
    CHECK(n_blocks <= INT32_MAX);
    return (unsigned)n_blocks;
}
