// pack.c: weights into panels of 16 output columns, the layout that gemm and embed read, and from
// these panels into those of W^T, which backward reads.
//
// f32: panel p is (K, 16): w[16 p + lane][k] at k * 16 + lane. bf16: lines of two steps, 64 bytes, an
// odd K ending with a step of zeros; a line has for each four columns their four elements of the
// even step, then those of the odd one (cpu_bf16_at). Interleaved with zeros, the halves of its
// 16-byte groups are the 16 floats of one step, in order, whatever the width of the vectors. Columns
// past N are zeros.
//
// Packing is turning a matrix by 90 degrees, pieces of 4 rows and 16 bytes at a time; what is left
// at odd depths and in a last panel that is not full goes element by element. W^T is made from the
// panels and not from W: a tile of 16 x 16 elements is one contiguous piece in both, so nothing is
// read or written in smaller parts than eight cache lines. Panels are independent, tiles too: the
// threads share nothing but the work.
//
// Not compiled per instruction set: it moves bytes, and vectors of 16 bytes, which every machine
// has, keep up with memory.

#include "kernels/cpu/ops.h"
#include "kernels/cpu/turn.h"

#include <string.h>

enum {
    PANEL = 16,
    LINE_BYTES = PANEL * sizeof(uint32_t),    // a step of f32, two of bf16
    PANELS_PER_TASK = 4
};

// ---- W into panels

struct pack_args {
    enum dtype t;
    size_t N, K;
    const char *w;
    char *packed;
};

static size_t lines_of(enum dtype t, size_t K)
{
    return t == DTYPE_BF16 ? (K + 1) / 2 : K;
}

size_t cpu_packed_bytes(enum dtype t, size_t N, size_t K)
{
    return cpu_div_up(N, PANEL) * lines_of(t, K) * LINE_BYTES;
}

// 16 bytes of 4 rows -> 16 bytes, those of 4 columns, of 4 lines.
static void pack_4_lines(enum dtype t, const char *rows, size_t row_bytes, char *to)
{
    if (t == DTYPE_F32) {
        turn4(rows, row_bytes, to, LINE_BYTES);
        return;
    }
    halves8 a = (halves8)load4(rows), b = (halves8)load4(rows + row_bytes);
    halves8 c = (halves8)load4(rows + 2 * row_bytes), d = (halves8)load4(rows + 3 * row_bytes);
    words4 ab = (words4)zip_first(a, b), cd = (words4)zip_first(c, d);
    store4(to, __builtin_shufflevector(ab, cd, 0, 4, 1, 5));
    store4(to + LINE_BYTES, __builtin_shufflevector(ab, cd, 2, 6, 3, 7));
    ab = (words4)zip_last(a, b);
    cd = (words4)zip_last(c, d);
    store4(to + 2 * LINE_BYTES, __builtin_shufflevector(ab, cd, 0, 4, 1, 5));
    store4(to + 3 * LINE_BYTES, __builtin_shufflevector(ab, cd, 2, 6, 3, 7));
}

// Steps `first` and later of a panel of `columns` columns, element by element.
static void pack_rest(enum dtype t, size_t first, size_t K, size_t columns, const char *rows,
                      char *panel)
{
    size_t size = dtype_size(t), depth = lines_of(t, K) * (t == DTYPE_BF16 ? 2 : 1);
    for (size_t k = first; k < depth; k++) {
        for (size_t lane = 0; lane < PANEL; lane++) {
            char *to = panel + (t == DTYPE_BF16 ? cpu_bf16_at(k, lane) : k * PANEL + lane) * size;
            if (k < K && lane < columns) {
                memcpy(to, rows + (lane * K + k) * size, size);
            } else {
                memset(to, 0, size);
            }
        }
    }
}

static void pack_panel(const struct pack_args *a, size_t p)
{
    size_t size = dtype_size(a->t), lines = lines_of(a->t, a->K), line = 0;
    size_t columns = MIN(a->N - p * PANEL, (size_t)PANEL), row_bytes = a->K * size;
    const char *rows = a->w + p * PANEL * row_bytes;
    char *panel = a->packed + p * lines * LINE_BYTES;
    if (columns == PANEL && row_bytes == lines * sizeof(uint32_t)) {
        for (; line + 4 <= lines; line += 4) {
            for (size_t lane = 0; lane < PANEL; lane += 4) {
                pack_4_lines(a->t, rows + lane * row_bytes + line * sizeof(uint32_t), row_bytes,
                             panel + line * LINE_BYTES + lane * sizeof(uint32_t));
            }
        }
    }
    pack_rest(a->t, line * sizeof(uint32_t) / size, a->K, columns, rows, panel);
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
    const char *packed;
    char *packed_t;
};

// One tile: `in` has columns n of W in lines of two steps k, `out` gets columns k in lines of two
// steps n: eight lines each.
static void turn_tile_bf16(const char *in, char *out)
{
    for (size_t k = 0; k < PANEL; k += 4) {
        for (size_t n = 0; n < PANEL; n += 4) {
            const char *from = in + k / 2 * LINE_BYTES + n * sizeof(uint32_t);
            char *to = out + n / 2 * LINE_BYTES + k * sizeof(uint32_t);
            halves8 a = (halves8)load4(from);                 // k (n, n + 1, …), k + 1
            halves8 b = (halves8)load4(from + LINE_BYTES);    // k + 2, k + 3
            halves8 even = zip_first(a, b), odd = zip_last(a, b);
            store4(to, (words4)zip_first(even, odd));                // n (k, k + 1, …), n + 1
            store4(to + LINE_BYTES, (words4)zip_last(even, odd));    // n + 2, n + 3
        }
    }
}

static void turn_tile_f32(const char *in, char *out)
{
    for (size_t k = 0; k < PANEL; k += 4) {
        for (size_t n = 0; n < PANEL; n += 4) {
            turn4(in + k * LINE_BYTES + n * sizeof(float), LINE_BYTES,
                  out + n * LINE_BYTES + k * sizeof(float), LINE_BYTES);
        }
    }
}

// Tile (p, q): columns 16 p … of W, depth 16 q …; at the edges lines are missing in either.
static void turn_tile(const struct turn_args *a, size_t p, size_t q)
{
    size_t whole = lines_of(a->t, PANEL);    // lines of a tile
    size_t in_lines = lines_of(a->t, a->K), out_lines = lines_of(a->t, a->N);
    size_t in_n = MIN(in_lines - q * whole, whole), out_n = MIN(out_lines - p * whole, whole);
    const char *in = a->packed + (p * in_lines + q * whole) * LINE_BYTES;
    char *out = a->packed_t + (q * out_lines + p * whole) * LINE_BYTES;
    char whole_in[PANEL * LINE_BYTES], whole_out[PANEL * LINE_BYTES];
    bool edge = in_n < whole || out_n < whole;
    if (edge) {
        memset(whole_in, 0, sizeof whole_in);
        memcpy(whole_in, in, in_n * LINE_BYTES);
    }
    if (a->t == DTYPE_BF16) {
        turn_tile_bf16(edge ? whole_in : in, edge ? whole_out : out);
    } else {
        turn_tile_f32(edge ? whole_in : in, edge ? whole_out : out);
    }
    if (edge) {
        memcpy(out, whole_out, out_n * LINE_BYTES);
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
