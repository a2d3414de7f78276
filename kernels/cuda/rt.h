// rt.h: the dialect in which the CUDA kernels are written, and the little they need of a runtime.
//
// A kernel is a function of one struct, passed by value at launch:
//
//     KERNEL(scale, struct scale_args, 256)    // at most 256 threads per block
//     {
//         size_t i = global_index(256);
//         if (i < a->n) { a->x[i] *= a->by; }
//     }
//     LAUNCH(d, scale, n_blocks, 256, 0, args);
//
// Blocks and threads have one dimension. Shared memory is SHARED (static) or shared_memory() (the
// bytes given at launch). sync_block(), sync_warp(), shuffle_xor() and the reductions built on it are the
// only ways for threads to meet; all threads of the block, or of the warp, must come there. There are no floating-point atomics, so
// results never depend on who came first.
//
// The sources are C that nvcc takes as C++. Compiled by a C compiler instead, KERNEL and LAUNCH come
// from emulate.h and the rt_ functions from rt_host.c: the same kernels then run on the host, thread
// by thread, and are tested where there is no GPU.
#ifndef CARAVAN_KERNELS_CUDA_RT_H
#define CARAVAN_KERNELS_CUDA_RT_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
#define _Noreturn __attribute__((noreturn))
extern "C" {
#endif
#include "kernels/device.h"
#ifdef __cplusplus
}
#endif

enum { WARP = 32 };

struct cuda_device;

// ---- kernels
#ifdef __CUDACC__

#define DEVICE static __device__ __forceinline__
#define SHARED static __shared__
#define ALIGNED16 __align__(16)
#define UNROLL _Pragma("unroll")

#define KERNEL(name, type, max_threads)                                                            \
    DEVICE void name##_body(const type *a);                                                        \
    static __global__ void __launch_bounds__(max_threads) name(const __grid_constant__ type a)     \
    {                                                                                              \
        name##_body(&a);                                                                           \
    }                                                                                              \
    DEVICE void name##_body(const type *a)

#define LAUNCH(d, name, n_blocks, n_threads, shared_bytes, args)                                   \
    do {                                                                                           \
        if ((n_blocks) > 0) {                                                                      \
            name<<<rt_grid(n_blocks), (unsigned)(n_threads), (shared_bytes),                       \
                   (cudaStream_t)rt_stream(d)>>>(args);                                            \
            rt_launched(d, #name);                                                                 \
        }                                                                                          \
    } while (0)

DEVICE unsigned thread_index(void)
{
    return threadIdx.x;
}
DEVICE size_t block_index(void)
{
    return blockIdx.x;
}
DEVICE size_t block_count(void)
{
    return gridDim.x;
}
DEVICE void sync_block(void)
{
    __syncthreads();
}
DEVICE void sync_warp(void)
{
    __syncwarp();
}
DEVICE float shuffle_xor(float v, unsigned mask)
{
    return __shfl_xor_sync(0xffffffffu, v, (int)mask);
}
// The fixed tree 8, 4, 2, 1 over the 16 lanes of each half of a warp: every lane gets the sum.
DEVICE float lanes_sum(float v)
{
    v += shuffle_xor(v, 8);
    v += shuffle_xor(v, 4);
    v += shuffle_xor(v, 2);
    return v + shuffle_xor(v, 1);
}
// Largest value of a warp, for every lane. A NaN may win or lose.
DEVICE float warp_max(float v)
{
    for (unsigned m = WARP / 2; m > 0; m /= 2) {
        v = fmaxf(v, shuffle_xor(v, m));
    }
    return v;
}
DEVICE float *shared_memory(void)
{
    extern __shared__ __align__(16) float rt_shared[];
    return rt_shared;
}

#else
#include "kernels/cuda/emulate.h"
#endif

// ---- the runtime: rt_cuda.cu on a GPU, rt_host.c in the emulation
// One stream per device; rt_start fills in rt, multiprocessors and name. What is queued runs in order; copies to and from the host have happened at
// return. Failures other than those of rt_start and rt_alloc are fatal: they print what failed after
// which kernel, and abort, as a failed CHECK does.
MUST_CHECK enum err rt_start(struct cuda_device *d, struct why *why);
void rt_stop(struct cuda_device *d);
_Noreturn void rt_fail(const struct cuda_device *d, const char *text);
MUST_CHECK enum err rt_alloc(struct cuda_device *d, size_t bytes, void **out, struct why *why);
void rt_free(struct cuda_device *d, void *p);
void rt_zero(struct cuda_device *d, void *p, size_t bytes);
void rt_copy(struct cuda_device *d, void *dst, const void *src, size_t bytes);    // on the device
void rt_put(struct cuda_device *d, void *dst, const void *host, size_t bytes);
void rt_get(struct cuda_device *d, void *host, const void *src, size_t bytes);
void rt_finish(struct cuda_device *d);    // waits until all that is queued is done
// dw (N, K) += dy (R, N)^T x (R, K), every sum in an order that the sizes alone decide.
void rt_gemm_dw(struct cuda_device *d, size_t R, size_t N, size_t K, const float *dy, size_t ldy,
                const float *x, size_t ldx, float *dw);

// used by LAUNCH
void *rt_stream(const struct cuda_device *d);
void rt_launched(struct cuda_device *d, const char *kernel);
unsigned rt_grid(size_t n_blocks);    // checks the range

#endif
