// kit.h: what the kernel tests share: a device of every kind this machine has, random arrays on a
// device, and the plain double-precision forms of the ops.
//
// "cuda-emulated" is the CUDA back end compiled for the host (kernels/cuda/emulate.h): always there,
// unless CARAVAN_SKIP_EMULATED is set.
// "cuda" is a GPU. Device memory may therefore be out of reach: tests read it through kit_get.
#ifndef CARAVAN_TESTS_KERNELS_KIT_H
#define CARAVAN_TESTS_KERNELS_KIT_H

#include <stdint.h>

#include "common/rng.h"
#include "kernels/device.h"

enum { KIT_CPU_KINDS = 3, KIT_KINDS = 5 };
// "cpu-portable", "cpu-avx2", "cpu-avx512", then "cuda-emulated", "cuda"
extern const char *const kit_kinds[KIT_KINDS];

// A device with its own pool (threads >= 1), or NULL where the machine lacks the set or the GPU.
struct device *kit_open(const char *kind, int threads);
void kit_close(struct device *d);
// Runs a claim on a device of every kind there is.
void kit_on_every_kind(void (*claim)(struct device *d));

void *kit_alloc(struct device *d, size_t bytes);
float *kit_zeros(struct device *d, size_t n);
// Uniform in (-scale, scale).
float *kit_random(struct device *d, size_t n, uint64_t seed, float scale);
float *kit_put(struct device *d, const float *host, size_t n);
int32_t *kit_put_ints(struct device *d, const int32_t *host, size_t n);
float *kit_get(struct device *d, const float *src, size_t n);    // host copy, free()
void *kit_get_bytes(struct device *d, const void *src, size_t bytes);
double *kit_get_wide(struct device *d, const float *src, size_t n);
void kit_fill(float *host, size_t n, uint64_t seed, float scale);
size_t kit_below(uint64_t seed, uint64_t i, size_t n);    // random in 0..n-1

// Packs (N, K) host floats as t (rounded to bf16 where t says so; `rounded`, if not NULL, gets the
// values that were packed).
void *kit_pack(struct device *d, enum dtype t, size_t N, size_t K, const float *w, float *rounded);
void *kit_pack_transposed(struct device *d, enum dtype t, size_t N, size_t K, const float *w);

// |got - want| <= tol * (|want| + scale) for all; fails the test naming `what` and the index.
void kit_close_to(const char *what, size_t n, const float *got, const double *want, double tol,
                  double scale);
void kit_same_bits(const char *what, size_t n, const float *a, const float *b);
// The same for results that still lie on a device.
void kit_close_on(struct device *d, const char *what, size_t n, const float *got,
                  const double *want, double tol, double scale);
void kit_same_on(struct device *d, const char *what, size_t n, const float *a, const float *b);
void kit_release(struct device *d, size_t n, void *const *all);

// Attention in double: out (R, H, D), lse (R, H). With dout: dq (R, H, D) and dk, dv (rows, G, D)
// +=.
struct kit_attention {
    size_t R, H, G, D, rows;
    double scale;
    const double *q, *k, *v;
    const int32_t *index, *off, *len;
    int32_t window;    // 0 = all keys
};
void kit_attention(const struct kit_attention *a, double *out, double *lse);
void kit_attention_backward(const struct kit_attention *a, const double *out, const double *lse,
                            const double *dout, double *dq, double *dk, double *dv);
double *kit_widen(const float *x, size_t n);    // free()

// cos and sin of pos / 10000^(2i/D) into table (positions, D/2, 2), host memory.
void kit_rope_table(size_t positions, size_t D, float *table);

#endif
