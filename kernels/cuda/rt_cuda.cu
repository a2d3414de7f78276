// rt_cuda.cu: the runtime of rt.h on a GPU, and the three functions that the loader looks up.
//
// One stream per device, on the first GPU that CUDA_VISIBLE_DEVICES leaves visible. Memory, and with
// it device pointers, belongs to the process: an actor's reload thread fills weights through a
// device of its own, and the compute thread's device reads them once upload or pack has returned.
//
// cuBLAS is used for weight gradients alone. It is opened at the first of them, with a workspace of
// our own and without atomics, so that the same sizes give the same bits run to run.

#include "kernels/cuda/ops.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>

enum { OLDEST_MAJOR = 7, OLDEST_MINOR = 5 };
static const size_t BLAS_WORKSPACE = (size_t)32 << 20;

struct rt {
    cudaStream_t stream;
    cublasHandle_t blas;    // NULL until it is needed
    void *workspace;
};

static struct rt *rt_of(const struct cuda_device *d)
{
    return (struct rt *)d->rt;
}

void rt_fail(const struct cuda_device *d, const char *text)
{
    fprintf(stderr, "cuda: %s, after %s\n", text, d->last);
    abort();
}

static void must(const struct cuda_device *d, cudaError_t e)
{
    if (e != cudaSuccess) {
        rt_fail(d, cudaGetErrorString(e));
    }
}

// ---- start and stop
static enum err unusable(cudaError_t e, struct why *why)
{
    (void)cudaGetLastError();    // it would come back at the next call
    int driver = 0, runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    if (driver == 0) {
        return why_set(why, ERR_UNSUPPORTED, "device cuda: this machine has no NVIDIA driver");
    }
    if (e == cudaErrorInsufficientDriver) {
        return why_set(why, ERR_UNSUPPORTED,
                       "device cuda: the driver knows CUDA %d.%d, this build needs %d.%d",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    }
    return why_set(why, e == cudaErrorMemoryAllocation ? ERR_NOMEM : ERR_UNSUPPORTED,
                   "device cuda: %s", cudaGetErrorString(e));
}

enum err rt_start(struct cuda_device *d, struct why *why)
{
    struct cudaDeviceProp p;
    int n = 0;
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e == cudaSuccess) {
        e = n == 0 ? cudaErrorNoDevice : cudaGetDeviceProperties(&p, 0);
    }
    if (e != cudaSuccess) {
        return unusable(e, why);
    }
    if (p.major < OLDEST_MAJOR || (p.major == OLDEST_MAJOR && p.minor < OLDEST_MINOR)) {
        return why_set(why, ERR_UNSUPPORTED,
                       "device cuda: %s has compute capability %d.%d, "
                       "%d.%d is the least",
                       p.name, p.major, p.minor, OLDEST_MAJOR, OLDEST_MINOR);
    }
    struct rt *rt = (struct rt *)calloc(1, sizeof *rt);
    if (rt == NULL) {
        return why_set(why, ERR_NOMEM, "device cuda: out of memory");
    }
    e = cudaStreamCreateWithFlags(&rt->stream, cudaStreamNonBlocking);
    if (e != cudaSuccess) {
        free(rt);
        return unusable(e, why);
    }
    d->rt = rt;
    d->multiprocessors = (size_t)p.multiProcessorCount;
    snprintf(d->name, sizeof d->name, "%.40s, sm_%d%d", p.name, p.major, p.minor);
    return ERR_OK;
}

void rt_stop(struct cuda_device *d)
{
    struct rt *rt = rt_of(d);
    must(d, cudaStreamSynchronize(rt->stream));
    if (rt->blas != NULL) {
        (void)cublasDestroy(rt->blas);
        (void)cudaFree(rt->workspace);
    }
    (void)cudaStreamDestroy(rt->stream);
    free(rt);
}

// ---- memory
enum err rt_alloc(struct cuda_device *d, size_t bytes, void **out, struct why *why)
{
    void *p = NULL;
    cudaError_t e = cudaMalloc(&p, bytes > 0 ? bytes : 1);
    if (e == cudaSuccess) {
        *out = p;
        return ERR_OK;
    }
    if (e != cudaErrorMemoryAllocation) {
        rt_fail(d, cudaGetErrorString(e));
    }
    (void)cudaGetLastError();
    size_t left = 0, all = 0;
    (void)cudaMemGetInfo(&left, &all);
    return why_set(why, ERR_NOMEM,
                   "device cuda: cannot allocate %zu bytes; %zu of %zu bytes are free", bytes, left,
                   all);
}

void rt_free(struct cuda_device *d, void *p)
{
    must(d, cudaFree(p));    // waits for the device
}

void rt_finish(struct cuda_device *d)
{
    must(d, cudaStreamSynchronize(rt_of(d)->stream));
}

void rt_zero(struct cuda_device *d, void *p, size_t bytes)
{
    must(d, cudaMemsetAsync(p, 0, bytes, rt_of(d)->stream));
}

void rt_copy(struct cuda_device *d, void *dst, const void *src, size_t bytes)
{
    must(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, rt_of(d)->stream));
}

void rt_put(struct cuda_device *d, void *dst, const void *host, size_t bytes)
{
    must(d, cudaMemcpyAsync(dst, host, bytes, cudaMemcpyHostToDevice, rt_of(d)->stream));
    rt_finish(d);
}

void rt_get(struct cuda_device *d, void *host, const void *src, size_t bytes)
{
    must(d, cudaMemcpyAsync(host, src, bytes, cudaMemcpyDeviceToHost, rt_of(d)->stream));
    rt_finish(d);
}

// ---- launches
void *rt_stream(const struct cuda_device *d)
{
    return rt_of(d)->stream;
}

void rt_launched(struct cuda_device *d, const char *kernel)
{
    d->last = kernel;
    must(d, cudaGetLastError());
}

unsigned rt_grid(size_t n_blocks)
{
    CHECK(n_blocks <= INT32_MAX);
    return (unsigned)n_blocks;
}

// ---- cuBLAS
static void blas_must(const struct cuda_device *d, cublasStatus_t s)
{
    if (s != CUBLAS_STATUS_SUCCESS) {
        char text[128];
        snprintf(text, sizeof text, "cuBLAS: %s", cublasGetStatusString(s));
        rt_fail(d, text);
    }
}

static cublasHandle_t blas_of(const struct cuda_device *d)
{
    struct rt *rt = rt_of(d);
    if (rt->blas == NULL) {
        must(d, cudaMalloc(&rt->workspace, BLAS_WORKSPACE));
        blas_must(d, cublasCreate(&rt->blas));
        blas_must(d, cublasSetStream(rt->blas, rt->stream));
        blas_must(d, cublasSetWorkspace(rt->blas, rt->workspace, BLAS_WORKSPACE));
        blas_must(d, cublasSetMathMode(rt->blas, CUBLAS_PEDANTIC_MATH));    // f32 is f32, not TF32
        blas_must(d, cublasSetAtomicsMode(rt->blas, CUBLAS_ATOMICS_NOT_ALLOWED));
    }
    return rt->blas;
}

// Row-major (R, K) is column-major (K, R): dw^T (K, N) += x^T (K, R) dy (R, N).
void rt_gemm_dw(struct cuda_device *d, size_t R, size_t N, size_t K, const float *dy, size_t ldy,
                const float *x, size_t ldx, float *dw)
{
    const float one = 1.0f;
    CHECK(R <= INT32_MAX && N <= INT32_MAX && K <= INT32_MAX && ldy <= INT32_MAX &&
          ldx <= INT32_MAX);
    blas_must(d, cublasSgemm(blas_of(d), CUBLAS_OP_N, CUBLAS_OP_T, (int)K, (int)N, (int)R, &one, x,
                             (int)ldx, dy, (int)ldy, &one, dw, (int)K));
    d->last = "gemm_dw";
}

// ---- what the loader looks up
extern "C" {
#define EXPORT __attribute__((visibility("default")))

EXPORT enum err caravan_cuda_open(struct pool *pool, struct device **out, struct why *why)
{
    return cuda_open(pool, out, why);
}

EXPORT void caravan_cuda_close(struct device *d)
{
    cuda_close(d);
}

EXPORT const char *caravan_cuda_isa(const struct device *d)
{
    return cuda_isa(d);
}
}
