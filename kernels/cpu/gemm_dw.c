// gemm_dw.c: dw (N, K) += dy^T x, the weight gradients: a third of the work of training.
//
// The reduction runs over rows, so both operands are read across their rows; they are copied first
// into the shapes the tile wants. A pass takes up to 1024 rows and 768 columns of x:
//   1. x -> panels of 16 columns, each (rows, 16)
//   2. a task owns 48 rows of dw: copies its 48 columns of dy -> blocks (rows, rows of a tile), then
//      takes panel by panel. A panel is walked a stretch of up to 320 rows at a time, 20 KB that stay
//      in L1 while the blocks pass by; the sums (48, 16) stay there too and reach dw, which lies in
//      memory, once.
// An element of dw gets, per pass, the sum of one chain of fmaf from 0 per stretch; who computes it
// has no influence on that order. Stretches are of one length, for starting a tile costs what ten
// rows do.

#include "kernels/cpu/ops.h"
#include "kernels/cpu/tile.h"

enum {
    DW_STRETCH = 320,    // most rows of a chain
    DW_PACK_X = 32,      // rows of x in a task that copies
    DW_AHEAD = 12,       // rows of dy fetched ahead of their copying
    // Floats that copy the factors of a tile in one move; the next row covers what is too much.
    DW_MOVE = TILE_MAX_ROWS > LANES / 2 ? LANES : LANES / 2,
};

struct dw_args {
    size_t R, N, K, ldy, ldx;    // R rows and K columns of this pass
    size_t ldw;
    size_t stretch, panel;    // rows of a chain; floats from panel to panel
    const float *dy, *x;
    float *dw;
    float *panels, *blocks;
};

// clang-format off
#define STEP(r, _) TILE_STEP(r, y[k * TILE_MAX_ROWS + r], x)
#define X_LOAD(p) const v16 x##p = v16_load(x + k * LANES + p * panel);
#define STORE(r, p) { float *s = sums + r * TILE_MAX_COLS + p * LANES;                             \
                      v16_store(s, first ? c##r##_##p : v16_add(v16_load(s), c##r##_##p)); }
// clang-format on

// sums (rows of a tile, panels * 16) =, or +=, the chains over R rows. x: panels `panel` floats
// apart; y (R, rows of a tile).
static void dw_tile(size_t R, const float *y, const float *x, size_t panel, bool first, float *sums)
{
    TILE_OVER(TILE_EACH, TILE_DECLARE)
    size_t k = 0;
#if defined(CPU_ISA_AVX2)
    if (R >= TILE_TURN) {
        k = R - R % TILE_TURN;
        TILE6_BY_COLUMN(k, y, 24, x, 64);
    }
#endif
    for (; k < R; k++) {
        TILE_PANELS(X_LOAD)
        TILE_EACH(STEP, )
    }
    TILE_OVER(TILE_EACH, STORE)
}

// Row by row: rows are read from end to end, and a panel's rows follow one another.
static void pack_x_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct dw_args *a = arg;
    size_t first = chunk * DW_PACK_X, end = MIN(a->R, first + DW_PACK_X);
    for (size_t r = first; r < end; r++) {
        const float *from = a->x + r * a->ldx;
        float *to = a->panels + r * LANES;
        size_t k = 0;
        for (; k + LANES <= a->K; k += LANES, to += a->panel) {
            v16_store(to, v16_load(from + k));
        }
        if (k < a->K) {
            v16_store(to, v16_load_n(from + k, a->K - k));
        }
    }
}

// n values of a row of dy, 0 < n <= TILE_MAX_ROWS, and zeros behind them.
static void pack_row(float *to, const float *from, size_t n)
{
    if (n == TILE_MAX_ROWS) {
        memcpy(to, from, TILE_MAX_ROWS * sizeof *to);
        return;
    }
    memset(to, 0, TILE_MAX_ROWS * sizeof *to);
    memcpy(to, from, n * sizeof *to);
}

// Brings n floats of each of the rows first .. last - 1 nearer, a line at a time: rows lie too far
// apart for the hardware to guess.
static inline void prefetch_rows(const float *from, size_t ld, size_t first, size_t last, size_t n)
{
    for (size_t i = first; i < last; i++) {
        for (size_t j = 0; j < n; j += LANES) {
            __builtin_prefetch(from + i * ld + j);
        }
        __builtin_prefetch(from + i * ld + n - 1);    // rows need not begin with a line
    }
}

// Rows 0 .. rows - 1 of a task's DW_TASK columns `from` as blocks `block` floats apart. Writes a
// few floats past row `rows` of each block, and reads as many past its columns.
static void pack_whole(const struct dw_args *a, const float *from, size_t rows, size_t block,
                       float *to)
{
    for (size_t r = 0; r < rows; r++) {
        if (r + DW_AHEAD < rows) {
            prefetch_rows(from, a->ldy, DW_AHEAD, DW_AHEAD + 1, DW_TASK);
        }
#pragma GCC unroll 8
        for (size_t i = 0; i < DW_TASK / TILE_MAX_ROWS; i++) {
            memcpy(to + i * block, from + i * TILE_MAX_ROWS, DW_MOVE * sizeof *to);
        }
        from += a->ldy;
        to += TILE_MAX_ROWS;
    }
}

// Columns first..end-1 of dy as blocks (R, TILE_MAX_ROWS), zeros past N up to the end of a
// block. Row by row, so that each line of dy is fetched once.
static void pack_dy(const struct dw_args *a, size_t first, size_t end, float *to)
{
    const float *from = a->dy + first;
    size_t whole = end - first == DW_TASK ? a->R - 1 : 0;
    pack_whole(a, from, whole, a->R * TILE_MAX_ROWS, to);
    for (size_t r = whole; r < a->R; r++) {
        for (size_t n = 0; n < end - first; n += TILE_MAX_ROWS) {
            pack_row(to + n * a->R + r * TILE_MAX_ROWS, from + r * a->ldy + n,
                     MIN(end - first - n, (size_t)TILE_MAX_ROWS));
        }
    }
}

// dw (n rows, m <= TILE_MAX_COLS columns) += sums
static void add_sums(float *dw, size_t ldw, size_t n, size_t m, const float *sums)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < m; j += LANES) {
            size_t part = MIN(m - j, (size_t)LANES);
            v16 c = v16_load(sums + i * TILE_MAX_COLS + j);
            float *at = dw + i * ldw + j;
            v16_store_n(at, v16_add(v16_load_n(at, part), c), part);
        }
    }
}

static void dw_task(void *arg, size_t chunk, int thread)
{
    const struct dw_args *a = arg;
    float sums[DW_TASK * TILE_MAX_COLS];
    float *dy = a->blocks + (size_t)thread * DW_ROWS * DW_TASK;
    size_t first = chunk * DW_TASK, end = MIN(a->N, first + DW_TASK), n = end - first;
    pack_dy(a, first, end, dy);
    for (size_t k = 0; k < a->K; k += TILE_MAX_COLS) {
        float *dw = a->dw + first * a->ldw + k;
        size_t cols = MIN(a->K - k, (size_t)TILE_MAX_COLS);
        const float *x = a->panels + k / LANES * a->panel;
        for (size_t r = 0; r < a->R; r += a->stretch) {
            size_t rows = MIN(a->R - r, a->stretch);
            for (size_t i = 0; i < n; i += TILE_MAX_ROWS) {
                if (r + rows == a->R) {
                    prefetch_rows(dw, a->ldw, i, MIN(n, i + TILE_MAX_ROWS), cols);
                }
                dw_tile(rows, dy + i * a->R + r * TILE_MAX_ROWS, x + r * LANES, a->panel, r == 0,
                        sums + i * TILE_MAX_COLS);
            }
        }
        add_sums(dw, a->ldw, n, cols, sums);
    }
}

// Rows of each chain but the last: as few chains as may be, of whole turns of a tile's loop.
static size_t stretch_of(size_t R)
{
    size_t even = cpu_div_up(R, cpu_div_up(R, (size_t)DW_STRETCH));
    return cpu_div_up(even, (size_t)TILE_TURN) * TILE_TURN;
}

void OP(gemm_dw)(struct device *d, size_t R, size_t N, size_t K, const float *dy, size_t ldy,
                 const float *x, size_t ldx, float *dw)
{
    for (size_t r = 0; r < R; r += DW_ROWS) {
        for (size_t k = 0; k < K; k += DW_COLS) {
            struct dw_args a = {.R = MIN(R - r, (size_t)DW_ROWS), .N = N, .ldy = ldy, .ldx = ldx};
            a.K = MIN(K - k, (size_t)DW_COLS);
            a.ldw = K;
            a.stretch = stretch_of(a.R);
            a.panel = (a.R | 1) * LANES;    // odd: not all panels' rows in one set of L1
            a.dy = dy + r * ldy;
            a.x = x + r * ldx + k;
            a.dw = dw + k;
            a.panels = ((struct cpu_device *)d)->dw_panels;
            a.blocks = ((struct cpu_device *)d)->dw_blocks;
            cpu_run(d, cpu_div_up(a.R, (size_t)DW_PACK_X), pack_x_task, &a);
            cpu_run(d, cpu_div_up(N, (size_t)DW_TASK), dw_task, &a);
        }
    }
}
