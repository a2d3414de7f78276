// pack.cu: device memory, and weights into the panels that gemm and embed read (ops.h).
//
// A matrix comes from the host row by row, as many rows at a time as scratch memory of 16 MiB holds,
// and is put in order on the device, one thread per 32-bit word of the result.

#include "kernels/cuda/math.h"
#include "kernels/cuda/ops.h"

enum { THREADS = 256 };
static const size_t STAGE_BYTES = (size_t)16 << 20;

// ---- memory
enum err cuda_alloc(struct device *d, size_t bytes, void **out, struct why *why)
{
    void *p = NULL;
    enum err e = rt_alloc(cuda_of(d), bytes, &p, why);
    if (e == ERR_OK) {
        rt_zero(cuda_of(d), p, bytes);
        *out = p;
    }
    return e;
}

void cuda_release(struct device *d, void *p)
{
    if (p != NULL) {
        rt_free(cuda_of(d), p);
    }
}

void cuda_upload(struct device *d, void *dst, const void *host, size_t bytes)
{
    rt_put(cuda_of(d), dst, host, bytes);
}

void cuda_download(struct device *d, void *host, const void *src, size_t bytes)
{
    rt_get(cuda_of(d), host, src, bytes);
}

void cuda_copy(struct device *d, void *dst, const void *src, size_t bytes)
{
    rt_copy(cuda_of(d), dst, src, bytes);
}

void cuda_zero(struct device *d, void *dst, size_t bytes)
{
    rt_zero(cuda_of(d), dst, bytes);
}

// ---- panels
size_t cuda_packed_bytes(enum dtype t, size_t N, size_t K)
{
    size_t depth = t == DTYPE_BF16 ? K + K % 2 : K, width = t == DTYPE_BF16 ? 2 : 4;
    return div_up(N, PANEL) * PANEL * depth * width;
}

// Rows `first` to `first + n` of a host matrix (rows, width). Packed plainly, rows are output
// columns; transposed, they are steps of the reduction.
struct pack_args {
    bool bf16;
    size_t first, n, rows, width;
    size_t words;          // to write
    size_t panel_words;    // of a whole panel
    const void *w;         // (n, width)
    uint32_t *packed;
};

DEVICE uint32_t element(const struct pack_args *a, size_t row, size_t column)
{
    size_t at = row * a->width + column;
    return a->bf16 ? ((const uint16_t *)a->w)[at] : ((const uint32_t *)a->w)[at];
}

KERNEL(pack, struct pack_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i >= a->words) {
        return;
    }
    size_t panel = i / a->panel_words, step = i % a->panel_words / PANEL;
    size_t row = panel * PANEL + i % PANEL;
    uint32_t word = 0;
    if (row < a->n && a->bf16) {
        word = element(a, row, 2 * step);
        word |= 2 * step + 1 < a->width ? element(a, row, 2 * step + 1) << 16 : 0;
    } else if (row < a->n) {
        word = element(a, row, step);
    }
    a->packed[(a->first / PANEL) * a->panel_words + i] = word;
}

KERNEL(pack_transposed, struct pack_args, THREADS)
{
    size_t i = global_index(THREADS), steps = a->bf16 ? (a->n + 1) / 2 : a->n;
    if (i >= a->words) {
        return;
    }
    size_t panel = i / (steps * PANEL), step = i / PANEL % steps;
    size_t column = panel * PANEL + i % PANEL;
    uint32_t word = 0;
    if (column < a->width && a->bf16) {
        word = element(a, 2 * step, column);
        word |= 2 * step + 1 < a->n ? element(a, 2 * step + 1, column) << 16 : 0;
    } else if (column < a->width) {
        word = element(a, step, column);
    }
    size_t before = a->bf16 ? a->first / 2 : a->first;
    a->packed[panel * a->panel_words + (before + step) * PANEL + i % PANEL] = word;
}

static void pack_rows(struct device *d, enum dtype t, bool transposed, size_t rows, size_t width,
                      const void *w, void *packed)
{
    struct cuda_device *c = cuda_of(d);
    bool bf16 = t == DTYPE_BF16;
    size_t row_bytes = width * (bf16 ? 2 : 4);
    size_t most = div_up(STAGE_BYTES / row_bytes + 1, PANEL) * PANEL;    // keeps panels and pairs
    size_t chunk = rows < most ? rows : most;
    void *stage = cuda_scratch(c, chunk * row_bytes);
    size_t depth = transposed ? rows : width;
    size_t panel_words = (bf16 ? (depth + 1) / 2 : depth) * PANEL;
    for (size_t r = 0; r < rows; r += chunk) {
        size_t n = rows - r < chunk ? rows - r : chunk;
        struct pack_args a = {bf16, r, n, rows, width, 0, panel_words, stage, (uint32_t *)packed};
        rt_put(c, stage, (const char *)w + r * row_bytes, n * row_bytes);
        if (transposed) {
            a.words = div_up(width, PANEL) * PANEL * (bf16 ? (n + 1) / 2 : n);
            LAUNCH(c, pack_transposed, div_up(a.words, THREADS), THREADS, 0, a);
        } else {
            a.words = div_up(n, PANEL) * panel_words;
            LAUNCH(c, pack, div_up(a.words, THREADS), THREADS, 0, a);
        }
    }
    rt_finish(c);    // another device of this process may read them next
}

void cuda_pack(struct device *d, enum dtype t, size_t N, size_t K, const void *w, void *packed)
{
    pack_rows(d, t, false, N, K, w, packed);
}

void cuda_pack_transposed(struct device *d, enum dtype t, size_t N, size_t K, const void *w,
                          void *packed)
{
    pack_rows(d, t, true, N, K, w, packed);
}
