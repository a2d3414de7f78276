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

// Rows `first` to `first + n` of W (N, K), a multiple of 16 before them.
struct pack_args {
    bool bf16;
    size_t n, K;
    size_t words, panel_words;    // to write; of a whole panel
    const void *w;                // (n, K)
    uint32_t *packed;             // the panel of the first row
};

DEVICE uint32_t element(const struct pack_args *a, size_t row, size_t k)
{
    size_t at = row * a->K + k;
    return a->bf16 ? ((const uint16_t *)a->w)[at] : ((const uint32_t *)a->w)[at];
}

KERNEL(pack, struct pack_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i >= a->words) {
        return;
    }
    size_t step = i % a->panel_words / PANEL;
    size_t row = i / a->panel_words * PANEL + i % PANEL;
    uint32_t word = 0;
    if (row < a->n && a->bf16) {
        word = element(a, row, 2 * step);
        word |= 2 * step + 1 < a->K ? element(a, row, 2 * step + 1) << 16 : 0;
    } else if (row < a->n) {
        word = element(a, row, step);
    }
    a->packed[i] = word;
}

static size_t depth_words(enum dtype t, size_t K)
{
    return t == DTYPE_BF16 ? (K + 1) / 2 : K;
}

void cuda_pack(struct device *d, enum dtype t, size_t N, size_t K, const void *w, void *packed)
{
    struct cuda_device *c = cuda_of(d);
    size_t row_bytes = K * (t == DTYPE_BF16 ? 2 : 4);
    size_t most = div_up(STAGE_BYTES / row_bytes + 1, PANEL) * PANEL;
    size_t chunk = N < most ? N : most;
    void *stage = cuda_scratch(c, chunk * row_bytes);
    for (size_t r = 0; r < N; r += chunk) {
        size_t n = N - r < chunk ? N - r : chunk;
        struct pack_args a = {t == DTYPE_BF16, n, K, 0, depth_words(t, K) * PANEL, stage, NULL};
        a.words = div_up(n, PANEL) * a.panel_words;
        a.packed = (uint32_t *)packed + r / PANEL * a.panel_words;
        rt_put(c, stage, (const char *)w + r * row_bytes, n * row_bytes);
        LAUNCH(c, pack, div_up(a.words, THREADS), THREADS, 0, a);
    }
    rt_finish(c);    // another device of this process may read them next
}

// ---- panels of W into panels of W^T
struct turn_args {
    bool bf16;
    size_t N, K;    // of W
    size_t words;
    size_t panel_words, panel_words_t;
    const uint32_t *packed;
    uint32_t *packed_t;
};

// Element (n, k) of W as bits.
DEVICE uint32_t packed_element(const struct turn_args *a, size_t n, size_t k)
{
    const uint32_t *panel = a->packed + n / PANEL * a->panel_words + n % PANEL;
    if (!a->bf16) {
        return panel[k * PANEL];
    }
    uint32_t pair = panel[k / 2 * PANEL];
    return k % 2 == 0 ? pair & 0xffffu : pair >> 16;
}

KERNEL(transpose, struct turn_args, THREADS)
{
    size_t i = global_index(THREADS);
    if (i >= a->words) {
        return;
    }
    size_t step = i % a->panel_words_t / PANEL;
    size_t k = i / a->panel_words_t * PANEL + i % PANEL;
    uint32_t word = 0;
    if (k < a->K && a->bf16) {
        word = packed_element(a, 2 * step, k);
        word |= 2 * step + 1 < a->N ? packed_element(a, 2 * step + 1, k) << 16 : 0;
    } else if (k < a->K) {
        word = packed_element(a, step, k);
    }
    a->packed_t[i] = word;
}

void cuda_transpose(struct device *d, enum dtype t, size_t N, size_t K, const void *packed,
                    void *packed_t)
{
    struct turn_args a = {t == DTYPE_BF16,     N, K, 0, 0, 0, (const uint32_t *)packed,
                          (uint32_t *)packed_t};
    a.panel_words = depth_words(t, K) * PANEL;
    a.panel_words_t = depth_words(t, N) * PANEL;
    a.words = div_up(K, PANEL) * a.panel_words_t;
    LAUNCH(cuda_of(d), transpose, div_up(a.words, THREADS), THREADS, 0, a);
}
