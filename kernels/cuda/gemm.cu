// gemm.cu: out = x W^T (or +=) on packed weights, every output element one chain of fmaf over k.
//
// The chain is what device.h demands and what makes a row's bits independent of its neighbours: no
// split over k, no tensor cores (they add in an order of their own). So speed comes from rows and
// columns, in four shapes that differ in nothing but who computes which element:
//
//   few rows (up to 16)    a block owns 32 columns; its four warps share the weights of a step and
//                          take every fourth row each. Bound by the chain's latency and by the bytes
//                          of W.
//   tiles                  a block owns 32 x 32, 64 x 64 or 128 x 128 elements, a thread 2 x 4, 4 x 4
//                          or 8 x 8 of them. The largest tile that still gives every multiprocessor
//                          work is taken.
//
// Weights and rows go through shared memory, STEP values of k at a time; the next step is fetched
// into registers while this one is computed.

#include "kernels/cuda/math.h"
#include "kernels/cuda/ops.h"

enum {
    STEP = 16,
    TILE_MAX = 128,    // rows or columns of a block
    OWN_MAX = 8,       // rows or columns of a thread
    FETCH_MAX = 8,     // values of x, or of W, that a thread fetches per step
    PAD = 4,           // keeps rows of shared memory aligned and off one another's banks
    FEW_THREADS = 128,
    FEW_COLUMNS = 32,
    FEW_WARPS = FEW_THREADS / WARP,
    FEW_ROWS = 16,
    FEW_STEP = 64,
};

struct gemm_args {
    size_t R, N, K, ldx, ldo, panel_words;
    bool add;
    const float *x;
    const uint32_t *w;
    float *out;
};

// One shape of tile: rows and columns of a block, rows and columns of a thread.
struct shape {
    unsigned rows, columns, own_rows, own_columns;
};

// What one thread holds of the step to come.
struct fetched {
    float x[FETCH_MAX];
    uint32_t w[FETCH_MAX];
};

DEVICE void fetch(const struct gemm_args *a, const struct shape s, bool bf16, size_t row,
                  size_t column, size_t k, struct fetched *f)
{
    const unsigned threads = s.rows / s.own_rows * (s.columns / s.own_columns);
    const unsigned words = bf16 ? STEP / 2 * PANEL : STEP * PANEL;    // of a panel's step
    const unsigned tid = thread_index();
    const size_t depth = bf16 ? (a->K + 1) / 2 : a->K, first = bf16 ? k / 2 : k;
    UNROLL
    for (unsigned i = 0; i < s.rows * STEP / threads; i++) {
        unsigned e = i * threads + tid;
        size_t r = row + e / STEP, at = k + e % STEP;
        f->x[i] = r < a->R && at < a->K ? a->x[r * a->ldx + at] : 0.0f;
    }
    UNROLL
    for (unsigned i = 0; i < s.columns / PANEL * words / threads; i++) {
        unsigned e = i * threads + tid;
        size_t panel = column / PANEL + e / words, at = first + e % words / PANEL;
        bool inside = panel * PANEL < a->N && at < depth;
        f->w[i] = inside ? a->w[panel * a->panel_words + first * PANEL + e % words] : 0;
    }
}

struct ALIGNED16 tile_memory {
    float x[STEP][TILE_MAX + PAD], w[STEP][TILE_MAX + PAD];
};

DEVICE void stage(const struct shape s, bool bf16, const struct fetched *f, struct tile_memory *m)
{
    const unsigned threads = s.rows / s.own_rows * (s.columns / s.own_columns);
    const unsigned words = bf16 ? STEP / 2 * PANEL : STEP * PANEL;
    const unsigned tid = thread_index();
    UNROLL
    for (unsigned i = 0; i < s.rows * STEP / threads; i++) {
        unsigned e = i * threads + tid;
        m->x[e % STEP][e / STEP] = f->x[i];
    }
    UNROLL
    for (unsigned i = 0; i < s.columns / PANEL * words / threads; i++) {
        unsigned e = i * threads + tid;
        unsigned column = e / words * PANEL + e % PANEL, at = e % words / PANEL;
        if (bf16) {
            m->w[2 * at][column] = bf16_low(f->w[i]);
            m->w[2 * at + 1][column] = bf16_high(f->w[i]);
        } else {
            m->w[at][column] = from_bits(f->w[i]);
        }
    }
}

DEVICE void step(const struct shape s, const struct tile_memory *m, unsigned k, unsigned row,
                 unsigned column, float acc[OWN_MAX][OWN_MAX])
{
    float x[OWN_MAX], w[OWN_MAX];
    UNROLL
    for (unsigned i = 0; i < s.own_rows; i++) {
        x[i] = m->x[k][row + i];
    }
    UNROLL
    for (unsigned j = 0; j < s.own_columns; j++) {
        w[j] = m->w[k][column + j];
    }
    UNROLL
    for (unsigned i = 0; i < s.own_rows; i++) {
        UNROLL
        for (unsigned j = 0; j < s.own_columns; j++) {
            acc[i][j] = fmaf(x[i], w[j], acc[i][j]);
        }
    }
}

DEVICE void tile(const struct gemm_args *a, const struct shape s, bool bf16)
{
    SHARED struct tile_memory m;
    const unsigned across = s.columns / s.own_columns;
    const size_t row_blocks = (a->R + s.rows - 1) / s.rows;
    const size_t row = block_index() % row_blocks * s.rows;    // neighbours share weights
    const size_t column = block_index() / row_blocks * s.columns;
    const unsigned own_row = thread_index() / across * s.own_rows;
    const unsigned own_column = thread_index() % across * s.own_columns;
    float acc[OWN_MAX][OWN_MAX] = {{0.0f}};
    struct fetched f;
    fetch(a, s, bf16, row, column, 0, &f);
    for (size_t k = 0; k < a->K; k += STEP) {
        sync_block();
        stage(s, bf16, &f, &m);
        sync_block();
        if (k + STEP <= a->K) {
            fetch(a, s, bf16, row, column, k + STEP, &f);
            UNROLL
            for (unsigned i = 0; i < STEP; i++) {
                step(s, &m, i, own_row, own_column, acc);
            }
        } else {    // no padded steps: the chain ends where K does
            for (unsigned i = 0; i < a->K - k; i++) {
                step(s, &m, i, own_row, own_column, acc);
            }
        }
    }
    UNROLL
    for (unsigned i = 0; i < s.own_rows; i++) {
        UNROLL
        for (unsigned j = 0; j < s.own_columns; j++) {
            size_t r = row + own_row + i, n = column + own_column + j;
            if (r < a->R && n < a->N) {
                float *o = a->out + r * a->ldo + n;
                *o = a->add ? *o + acc[i][j] : acc[i][j];
            }
        }
    }
}

#define TILE(name, bf16, rows, columns, own_rows, own_columns)                                     \
    KERNEL(name, struct gemm_args, (rows) / (own_rows) * ((columns) / (own_columns)))              \
    {                                                                                              \
        const struct shape s = {rows, columns, own_rows, own_columns};                             \
        tile(a, s, bf16);                                                                          \
    }

TILE(gemm_32_bf16, true, 32, 32, 2, 4)
TILE(gemm_32_f32, false, 32, 32, 2, 4)
TILE(gemm_64_bf16, true, 64, 64, 4, 4)
TILE(gemm_64_f32, false, 64, 64, 4, 4)
TILE(gemm_128_bf16, true, 128, 128, 8, 8)
TILE(gemm_128_f32, false, 128, 128, 8, 8)

// ---- few rows
enum {
    FEW_WORDS = FEW_COLUMNS * FEW_STEP,    // of a step, f32
    FEW_FETCH = FEW_WORDS / FEW_THREADS,
    FEW_OWN = FEW_ROWS / FEW_WARPS,
};

struct few_fetched {
    uint32_t w[FEW_FETCH];
    float x[FEW_ROWS * FEW_STEP / FEW_THREADS];
};

DEVICE void few_fetch(const struct gemm_args *a, bool bf16, unsigned own, size_t column, size_t k,
                      struct few_fetched *f)
{
    const unsigned words = bf16 ? FEW_STEP / 2 * PANEL : FEW_STEP * PANEL;
    const size_t depth = bf16 ? (a->K + 1) / 2 : a->K, first = bf16 ? k / 2 : k;
    const unsigned tid = thread_index();
    UNROLL
    for (unsigned i = 0; i < FEW_COLUMNS / PANEL * words / FEW_THREADS; i++) {
        unsigned e = i * FEW_THREADS + tid;
        size_t panel = column / PANEL + e / words, at = first + e % words / PANEL;
        bool inside = panel * PANEL < a->N && at < depth;
        f->w[i] = inside ? a->w[panel * a->panel_words + first * PANEL + e % words] : 0;
    }
    UNROLL
    for (unsigned i = 0; i < own * FEW_WARPS * FEW_STEP / FEW_THREADS; i++) {
        unsigned e = i * FEW_THREADS + tid;
        size_t r = e / FEW_STEP, at = k + e % FEW_STEP;
        f->x[i] = r < a->R && at < a->K ? a->x[r * a->ldx + at] : 0.0f;
    }
}

struct ALIGNED16 few_memory {
    uint32_t w[FEW_WORDS];    // as packed, panel after panel
    float x[FEW_ROWS][FEW_STEP];
};

DEVICE void few_stage(bool bf16, unsigned own, const struct few_fetched *f, struct few_memory *m)
{
    const unsigned tid = thread_index();
    UNROLL
    for (unsigned i = 0; i < (bf16 ? FEW_FETCH / 2 : FEW_FETCH); i++) {
        m->w[i * FEW_THREADS + tid] = f->w[i];
    }
    UNROLL
    for (unsigned i = 0; i < own * FEW_WARPS * FEW_STEP / FEW_THREADS; i++) {
        unsigned e = i * FEW_THREADS + tid;
        m->x[e / FEW_STEP][e % FEW_STEP] = f->x[i];
    }
}

DEVICE void few_step(const struct few_memory *m, unsigned own, unsigned k, float w,
                     float acc[FEW_OWN])
{
    const unsigned warp = thread_index() / WARP;
    UNROLL
    for (unsigned i = 0; i < own; i++) {
        acc[i] = fmaf(m->x[warp + i * FEW_WARPS][k], w, acc[i]);
    }
}

DEVICE void few_chain(const struct few_memory *m, bool bf16, unsigned own, unsigned n,
                      float acc[FEW_OWN])
{
    const unsigned lane = thread_index() % WARP;
    const unsigned words = bf16 ? FEW_STEP / 2 * PANEL : FEW_STEP * PANEL;
    const uint32_t *w = m->w + lane / PANEL * words + lane % PANEL;
    unsigned k = 0;
    if (bf16) {
        UNROLL
        for (; k + 1 < n; k += 2) {
            uint32_t pair = w[k / 2 * PANEL];
            few_step(m, own, k, bf16_low(pair), acc);
            few_step(m, own, k + 1, bf16_high(pair), acc);
        }
        if (k < n) {
            few_step(m, own, k, bf16_low(w[k / 2 * PANEL]), acc);
        }
        return;
    }
    UNROLL
    for (; k < n; k++) {
        few_step(m, own, k, from_bits(w[k * PANEL]), acc);
    }
}

// own: rows per warp.
DEVICE void few(const struct gemm_args *a, bool bf16, unsigned own)
{
    SHARED struct few_memory m;
    const size_t column = block_index() * FEW_COLUMNS;
    float acc[FEW_OWN] = {0.0f};
    struct few_fetched f;
    few_fetch(a, bf16, own, column, 0, &f);
    for (size_t k = 0; k < a->K; k += FEW_STEP) {
        sync_block();
        few_stage(bf16, own, &f, &m);
        sync_block();
        if (k + FEW_STEP <= a->K) {
            few_fetch(a, bf16, own, column, k + FEW_STEP, &f);
            few_chain(&m, bf16, own, FEW_STEP, acc);
        } else {
            few_chain(&m, bf16, own, (unsigned)(a->K - k), acc);
        }
    }
    const size_t n = column + thread_index() % WARP;
    UNROLL
    for (unsigned i = 0; i < own; i++) {
        size_t r = thread_index() / WARP + i * FEW_WARPS;
        if (r < a->R && n < a->N) {
            float *o = a->out + r * a->ldo + n;
            *o = a->add ? *o + acc[i] : acc[i];
        }
    }
}

#define FEW(name, bf16, own)                                                                       \
    KERNEL(name, struct gemm_args, FEW_THREADS)                                                    \
    {                                                                                              \
        few(a, bf16, own);                                                                         \
    }

FEW(gemm_few_1_bf16, true, 1)
FEW(gemm_few_1_f32, false, 1)
FEW(gemm_few_2_bf16, true, 2)
FEW(gemm_few_2_f32, false, 2)
FEW(gemm_few_4_bf16, true, 4)
FEW(gemm_few_4_f32, false, 4)

static void launch_few(struct cuda_device *c, bool bf16, const struct gemm_args *args)
{
    const struct gemm_args a = *args;
    const size_t blocks = div_up(a.N, FEW_COLUMNS), own = div_up(a.R, FEW_WARPS);
    if (bf16 && own == 1) {
        LAUNCH(c, gemm_few_1_bf16, blocks, FEW_THREADS, 0, a);
    } else if (bf16 && own == 2) {
        LAUNCH(c, gemm_few_2_bf16, blocks, FEW_THREADS, 0, a);
    } else if (bf16) {
        LAUNCH(c, gemm_few_4_bf16, blocks, FEW_THREADS, 0, a);
    } else if (own == 1) {
        LAUNCH(c, gemm_few_1_f32, blocks, FEW_THREADS, 0, a);
    } else if (own == 2) {
        LAUNCH(c, gemm_few_2_f32, blocks, FEW_THREADS, 0, a);
    } else {
        LAUNCH(c, gemm_few_4_f32, blocks, FEW_THREADS, 0, a);
    }
}

static size_t tiles(const struct gemm_args *a, size_t side)
{
    return div_up(a->R, side) * div_up(a->N, side);
}

static void launch_tiles(struct cuda_device *c, bool bf16, const struct gemm_args *args)
{
    const struct gemm_args a = *args;
    const size_t enough = c->multiprocessors;
    if (tiles(&a, 128) >= enough) {
        if (bf16) {
            LAUNCH(c, gemm_128_bf16, tiles(&a, 128), 256, 0, a);
        } else {
            LAUNCH(c, gemm_128_f32, tiles(&a, 128), 256, 0, a);
        }
    } else if (tiles(&a, 64) >= enough) {
        if (bf16) {
            LAUNCH(c, gemm_64_bf16, tiles(&a, 64), 256, 0, a);
        } else {
            LAUNCH(c, gemm_64_f32, tiles(&a, 64), 256, 0, a);
        }
    } else if (bf16) {
        LAUNCH(c, gemm_32_bf16, tiles(&a, 32), 128, 0, a);
    } else {
        LAUNCH(c, gemm_32_f32, tiles(&a, 32), 128, 0, a);
    }
}

void cuda_gemm(struct device *d, enum dtype t, enum gemm_mode mode, size_t R, size_t N, size_t K,
               const float *x, size_t ldx, const void *packed, float *out, size_t ldo)
{
    CHECK(N > 0 && K > 0);
    if (R == 0) {
        return;
    }
    bool bf16 = t == DTYPE_BF16;
    size_t panel_words = cuda_packed_bytes(t, PANEL, K) / sizeof(uint32_t);
    struct gemm_args a = {
        R, N, K, ldx, ldo, panel_words, mode == GEMM_ADD, x, (const uint32_t *)packed, out};
    if (R <= FEW_ROWS) {
        launch_few(cuda_of(d), bf16, &a);
    } else {
        launch_tiles(cuda_of(d), bf16, &a);
    }
}

void cuda_gemm_dw(struct device *d, size_t R, size_t N, size_t K, const float *dy, size_t ldy,
                  const float *x, size_t ldx, float *dw)
{
    if (R > 0) {
        rt_gemm_dw(cuda_of(d), R, N, K, dy, ldy, x, ldx, dw);
    }
}
