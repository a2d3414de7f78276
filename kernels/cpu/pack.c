// pack.c: weights into panels of 16 output columns, the layout that gemm and embed read.
//
// f32: panel p is (K, 16): w[16 p + lane][k] at k * 16 + lane. bf16: words of two, (K / 2, 16): k
// even in the low half, k + 1 in the high half, an odd K ending with a zero. Columns past N are
// zeros. The panel is written in order; the transposed form reads rows of W in stretches of several
// panels, since there the stretch is what is contiguous. Not compiled per instruction set: it moves
// bytes.

#include "kernels/cpu/ops.h"

#include <string.h>

enum { PANEL = 16, PANELS_PER_TASK = 4 };

struct pack_args {
    enum dtype t;
    bool transposed;
    size_t N, K;      // of the packed matrix: N output columns, K reduced
    size_t stride;    // elements between rows of w
    const char *w;
    char *packed;
};

size_t cpu_packed_bytes(enum dtype t, size_t N, size_t K)
{
    size_t depth = t == DTYPE_BF16 ? K + K % 2 : K;
    return cpu_div_up(N, PANEL) * PANEL * depth * dtype_size(t);
}

// Element (n, k) of the packed matrix as bits.
static uint32_t element(const struct pack_args *a, size_t n, size_t k)
{
    size_t at = a->transposed ? k * a->stride + n : n * a->stride + k;
    if (a->t == DTYPE_F32) {
        uint32_t u;
        memcpy(&u, a->w + at * 4, 4);
        return u;
    }
    uint16_t h;
    memcpy(&h, a->w + at * 2, 2);
    return h;
}

static void pack_step(const struct pack_args *a, size_t p, size_t k, uint32_t *to)
{
    size_t first = p * PANEL, n = MIN(a->N - first, (size_t)PANEL);
    uint32_t word[PANEL] = {0};
    for (size_t i = 0; i < n; i++) {
        word[i] = element(a, first + i, k);
    }
    if (a->t == DTYPE_BF16 && k + 1 < a->K) {
        for (size_t i = 0; i < n; i++) {
            word[i] |= element(a, first + i, k + 1) << 16;
        }
    }
    memcpy(to, word, sizeof word);
}

static void pack_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct pack_args *a = arg;
    size_t panel_bytes = cpu_packed_bytes(a->t, PANEL, a->K), step = a->t == DTYPE_BF16 ? 2 : 1;
    size_t first = chunk * PANELS_PER_TASK;
    size_t end = MIN(cpu_div_up(a->N, PANEL), first + PANELS_PER_TASK);
    for (size_t k = 0; k < a->K; k += step) {
        for (size_t p = first; p < end; p++) {
            uint32_t *panel = (uint32_t *)(void *)(a->packed + p * panel_bytes);
            pack_step(a, p, k, panel + k / step * PANEL);
        }
    }
}

void cpu_pack(struct device *d, enum dtype t, size_t N, size_t K, const void *w, void *packed)
{
    struct pack_args a = {t, false, N, K, K, w, packed};
    cpu_run(d, cpu_div_up(cpu_div_up(N, PANEL), PANELS_PER_TASK), pack_task, &a);
}

void cpu_pack_transposed(struct device *d, enum dtype t, size_t N, size_t K, const void *w,
                         void *packed)
{
    struct pack_args a = {t, true, K, N, K, w, packed};
    cpu_run(d, cpu_div_up(cpu_div_up(K, PANEL), PANELS_PER_TASK), pack_task, &a);
}
