// pack.c: weights into panels of 16 output columns, the layout that gemm and embed read, and from
// these panels into those of W^T, which backward reads.
//
// f32: panel p is (K, 16): w[16 p + lane][k] at k * 16 + lane. bf16: words of two, (K / 2, 16): k
// even in the low half, k + 1 in the high half, an odd K ending with a zero. Columns past N are
// zeros.
//
// In memory two bf16 of one row already stand as such a word, so packing either type is turning a
// matrix of words by 90 degrees, 4 x 4 words at a time; odd depths and the last panel's missing
// columns go word by word. W^T is made from the panels and not from W: a tile of 16 x 16 elements is
// one contiguous piece in both, so nothing is read or written in smaller parts than eight cache
// lines. Panels are independent, tiles too: the threads share nothing but the work.
//
// Not compiled per instruction set: it moves bytes, and vectors of 16 bytes, which every machine
// has, keep up with memory.

#include "kernels/cpu/ops.h"
#include "kernels/cpu/turn.h"

#include <string.h>

enum {
    PANEL = 16,
    ROW_BYTES = PANEL * sizeof(uint32_t),
    PANELS_PER_TASK = 4,
    TILE_WORDS = PANEL * PANEL
};

typedef uint16_t halves8 __attribute__((vector_size(16)));

// ---- W into panels

struct pack_args {
    enum dtype t;
    size_t N, K;
    const char *w;
    char *packed;
};

// Words of a panel in depth: pairs of bf16, or single f32.
static size_t depth_words(enum dtype t, size_t K)
{
    return t == DTYPE_BF16 ? (K + 1) / 2 : K;
}

size_t cpu_packed_bytes(enum dtype t, size_t N, size_t K)
{
    return cpu_div_up(N, PANEL) * PANEL * depth_words(t, K) * sizeof(uint32_t);
}

// The word at depth `step` of row n.
static uint32_t word_of(const struct pack_args *a, size_t n, size_t step)
{
    uint32_t word = 0;
    if (a->t == DTYPE_F32) {
        memcpy(&word, a->w + (n * a->K + step) * sizeof(float), sizeof word);
    } else {
        size_t elements = MIN(a->K - 2 * step, (size_t)2);    // an odd depth ends with one
        memcpy(&word, a->w + (n * a->K + 2 * step) * sizeof(uint16_t), elements * sizeof(uint16_t));
    }
    return word;
}

static void pack_panel(const struct pack_args *a, size_t p)
{
    size_t depth = depth_words(a->t, a->K), first = p * PANEL, step = 0;
    size_t columns = MIN(a->N - first, (size_t)PANEL), row_bytes = a->K * dtype_size(a->t);
    uint32_t *panel = (uint32_t *)(void *)a->packed + p * depth * PANEL;
    const char *rows = a->w + first * row_bytes;
    if (columns == PANEL && row_bytes == depth * sizeof(uint32_t)) {
        for (; step + 4 <= depth; step += 4) {
            for (size_t lane = 0; lane < PANEL; lane += 4) {
                turn4(rows + lane * row_bytes + step * sizeof(uint32_t), row_bytes,
                      panel + step * PANEL + lane, ROW_BYTES);
            }
        }
    }
    for (; step < depth; step++) {
        for (size_t lane = 0; lane < PANEL; lane++) {
            panel[step * PANEL + lane] = lane < columns ? word_of(a, first + lane, step) : 0;
        }
    }
}

static void pack_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct pack_args *a = arg;
    size_t end = MIN(cpu_div_up(a->N, PANEL), (chunk + 1) * PANELS_PER_TASK);
    for (size_t p = chunk * PANELS_PER_TASK; p < end; p++) {
        pack_panel(a, p);
    }
}

void cpu_pack(struct device *d, enum dtype t, size_t N, size_t K, const void *w, void *packed)
{
    struct pack_args a = {t, N, K, w, packed};
    cpu_run(d, cpu_div_up(cpu_div_up(N, PANEL), PANELS_PER_TASK), pack_task, &a);
}

// ---- panels of W into panels of W^T

struct turn_args {
    enum dtype t;
    size_t N, K;    // of W
    const uint32_t *packed;
    uint32_t *packed_t;
};

// One tile: `in` has the words (k, k + 1) of 16 columns n, `out` gets the words (n, n + 1) of 16
// columns k. Eight rows of 16 words each.
static void turn_tile_bf16(const uint32_t *in, uint32_t *out)
{
    for (size_t j = 0; j < PANEL / 2; j += 2) {
        for (size_t g = 0; g < PANEL; g += 4) {
            halves8 a = (halves8)load4(in + j * PANEL + g);
            halves8 b = (halves8)load4(in + (j + 1) * PANEL + g);
            words4 x = (words4)__builtin_shufflevector(a, a, 0, 2, 1, 3, 4, 6, 5, 7);
            words4 y = (words4)__builtin_shufflevector(b, b, 0, 2, 1, 3, 4, 6, 5, 7);
            store4(out + g / 2 * PANEL + 2 * j, __builtin_shufflevector(x, y, 0, 1, 4, 5));
            store4(out + (g / 2 + 1) * PANEL + 2 * j, __builtin_shufflevector(x, y, 2, 3, 6, 7));
        }
    }
}

static void turn_tile_f32(const uint32_t *in, uint32_t *out)
{
    for (size_t k = 0; k < PANEL; k += 4) {
        for (size_t n = 0; n < PANEL; n += 4) {
            turn4(in + k * PANEL + n, ROW_BYTES, out + n * PANEL + k, ROW_BYTES);
        }
    }
}

// Tile (p, q): columns 16 p … of W, depth 16 q …; at the edges rows are missing in either.
static void turn_tile(const struct turn_args *a, size_t p, size_t q)
{
    size_t step = depth_words(a->t, PANEL);    // rows of words in a tile
    size_t in_depth = depth_words(a->t, a->K), out_depth = depth_words(a->t, a->N);
    size_t in_rows = MIN(in_depth - q * step, step), out_rows = MIN(out_depth - p * step, step);
    const uint32_t *in = a->packed + (p * in_depth + q * step) * PANEL;
    uint32_t *out = a->packed_t + (q * out_depth + p * step) * PANEL;
    uint32_t whole_in[TILE_WORDS], whole_out[TILE_WORDS];
    bool edge = in_rows < step || out_rows < step;
    if (edge) {
        memset(whole_in, 0, sizeof whole_in);
        memcpy(whole_in, in, in_rows * PANEL * sizeof *in);
    }
    if (a->t == DTYPE_BF16) {
        turn_tile_bf16(edge ? whole_in : in, edge ? whole_out : out);
    } else {
        turn_tile_f32(edge ? whole_in : in, edge ? whole_out : out);
    }
    if (edge) {
        memcpy(out, whole_out, out_rows * PANEL * sizeof *out);
    }
}

static void turn_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct turn_args *a = arg;
    size_t end = MIN(cpu_div_up(a->N, PANEL), (chunk + 1) * PANELS_PER_TASK);
    for (size_t q = 0; q < cpu_div_up(a->K, PANEL); q++) {
        for (size_t p = chunk * PANELS_PER_TASK; p < end; p++) {
            turn_tile(a, p, q);
        }
    }
}

void cpu_transpose(struct device *d, enum dtype t, size_t N, size_t K, const void *packed,
                   void *packed_t)
{
    struct turn_args a = {t, N, K, packed, packed_t};
    cpu_run(d, cpu_div_up(cpu_div_up(N, PANEL), PANELS_PER_TASK), turn_task, &a);
}
