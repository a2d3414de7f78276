// emulate.h: CUDA kernels on the host, so that they can be checked where there is no GPU.
//
// Blocks run one after another on the calling thread. The threads of a block are fibers of
// emulate.c: one runs until it meets a barrier or a shuffle, then the next, until all wait for the
// same thing. That is a legal schedule of a GPU, and emulate_order chooses between several: a kernel
// that forgot a barrier gives different results under different orders, which a test looks for.
// Static shared memory is an ordinary static variable, since only one block runs at a time; one
// process thread at a time may run kernels.
//
// Private to kernels/cuda/ and its tests; rt.h includes it in place of the real thing.
#ifndef CARAVAN_KERNELS_CUDA_EMULATE_H
#define CARAVAN_KERNELS_CUDA_EMULATE_H

#include <stddef.h>

#define DEVICE static inline
#define SHARED static
#define ALIGNED16 __attribute__((aligned(16)))
#define UNROLL

#define KERNEL(name, type, max_threads)                                                            \
    static void name##_body(const type *a);                                                        \
    static void name(const void *a)                                                                \
    {                                                                                              \
        name##_body(a);                                                                            \
    }                                                                                              \
    static void name##_body(const type *a)

#define LAUNCH(d, name, n_blocks, n_threads, shared_bytes, args)                                   \
    do {                                                                                           \
        if ((n_blocks) > 0) {                                                                      \
            emulate_launch(name, rt_grid(n_blocks), (unsigned)(n_threads), (shared_bytes),         \
                           &(args));                                                               \
            rt_launched(d, #name);                                                                 \
        }                                                                                          \
    } while (0)

enum { EMULATE_MAX_THREADS = 1024 };
enum emulate_order { EMULATE_ASCENDING, EMULATE_DESCENDING, EMULATE_STRIDED };

// How the threads of a block take turns from now on.
void emulate_set_order(enum emulate_order order);

typedef void emulate_fn(const void *args);
void emulate_launch(emulate_fn *kernel, unsigned n_blocks, unsigned n_threads, size_t shared_bytes,
                    const void *args);

// ---- inside a kernel
unsigned thread_index(void);
size_t block_index(void);
size_t block_count(void);
void sync_block(void);
void sync_warp(void);
float shuffle_xor(float v, unsigned mask);
float lanes_sum(float v);
float warp_max(float v);
float *shared_memory(void);    // filled with NaN before each block

#endif
