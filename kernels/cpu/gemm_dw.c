// gemm_dw.c: dw (N, K) += dy^T x, the weight gradients: a third of the work of training.
//
// The reduction runs over rows, so both operands are read across their rows; they are copied first
// into the shapes the tile wants. Rows are taken 256 at a time and columns of x 512 at a time:
//   1. x (256, 512) -> 32 panels of 16 columns, each (256, 16): 16 KB that stay in L1
//   2. a task owns 48 rows of dw: copies its 48 columns of dy -> blocks (256, rows of a tile), then
//      runs tile by tile over the panels
// An element of dw gets, per 256 rows, one chain of fmaf from 0 added to it; who computes it has no
// influence on that order.

#include "kernels/cpu/ops.h"
#include "kernels/cpu/tile.h"

enum { DW_BLOCK = 48 };    // rows of dw per task: a multiple of every tile height

struct dw_args {
    size_t R, N, K, ldy, ldx;    // R rows and K columns of this pass
    size_t ldw;
    const float *dy, *x;
    float *dw;
    float *panels;
};

// clang-format off
#define STEP(r, panels) JOIN(TILE_STEP_, panels)(r, y[r], x)
#define X_LOAD(p) const v16 x##p = v16_load(x + p * panel);
#define STORE(r, p) v16_store(out + r * LANES * TILE_MAX_PANELS + p * LANES, c##r##_##p);
// clang-format on
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define ROWS_EACH JOIN(EACH_, TILE_MAX_ROWS)
#define OVER_PANELS JOIN(OVER_, TILE_MAX_PANELS)
#define PANELS JOIN(PANELS_, TILE_MAX_PANELS)

// out (rows of a tile, panels * 16) = the chains over R rows. x: panels `panel` floats apart; y (R,
// rows of a tile).
static void dw_tile(size_t R, const float *y, const float *x, size_t panel, float *out)
{
    OVER_PANELS(ROWS_EACH, TILE_DECLARE)
    for (size_t r = 0; r < R; r++) {
        PANELS(X_LOAD)
        ROWS_EACH(STEP, TILE_MAX_PANELS)
        y += TILE_MAX_ROWS;
        x += LANES;
    }
    OVER_PANELS(ROWS_EACH, STORE)
}

static void pack_x_task(void *arg, size_t p, int thread)
{
    (void)thread;
    const struct dw_args *a = arg;
    size_t n = MIN(a->K - p * LANES, (size_t)LANES);
    float *to = a->panels + p * DW_ROWS * LANES;
    for (size_t r = 0; r < a->R; r++) {
        v16_store(to + r * LANES, v16_load_n(a->x + r * a->ldx + p * LANES, n));
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

// Columns first..first+47 of dy as blocks (R, TILE_MAX_ROWS), zeros past N up to the end of a
// block. Row by row, so that each line of dy is fetched once.
static void pack_dy(const struct dw_args *a, size_t first, size_t end, float *to)
{
    for (size_t r = 0; r < a->R; r++) {
        const float *from = a->dy + r * a->ldy;
        for (size_t n = first; n < end; n += TILE_MAX_ROWS) {
            pack_row(to + (n - first) * a->R + r * TILE_MAX_ROWS, from + n,
                     MIN(end - n, (size_t)TILE_MAX_ROWS));
        }
    }
}

static void add_tile(const struct dw_args *a, size_t n, size_t k, const float *tile)
{
    size_t rows = MIN(a->N - n, (size_t)TILE_MAX_ROWS);
    size_t cols = MIN(a->K - k, (size_t)TILE_MAX_PANELS * LANES);
    for (size_t i = 0; i < rows; i++) {
        float *dw = a->dw + (n + i) * a->ldw + k;
        for (size_t j = 0; j < cols; j += LANES) {
            size_t m = MIN(cols - j, (size_t)LANES);
            v16 c = v16_load(tile + i * LANES * TILE_MAX_PANELS + j);
            v16_store_n(dw + j, v16_add(v16_load_n(dw + j, m), c), m);
        }
    }
}

static void dw_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct dw_args *a = arg;
    float dy[DW_ROWS * DW_BLOCK];
    float tile[TILE_MAX_ROWS * TILE_MAX_PANELS * LANES];
    size_t first = chunk * DW_BLOCK, end = MIN(a->N, first + DW_BLOCK);
    pack_dy(a, first, end, dy);
    for (size_t k = 0; k < a->K; k += TILE_MAX_PANELS * LANES) {
        for (size_t n = first; n < end; n += TILE_MAX_ROWS) {
            dw_tile(a->R, dy + (n - first) * a->R, a->panels + k * DW_ROWS, DW_ROWS * LANES, tile);
            add_tile(a, n, k, tile);
        }
    }
}

void OP(gemm_dw)(struct device *d, size_t R, size_t N, size_t K, const float *dy, size_t ldy,
                 const float *x, size_t ldx, float *dw)
{
    for (size_t r = 0; r < R; r += DW_ROWS) {
        for (size_t k = 0; k < K; k += DW_COLS) {
            struct dw_args a = {.R = MIN(R - r, (size_t)DW_ROWS), .N = N, .ldy = ldy, .ldx = ldx};
            a.K = MIN(K - k, (size_t)DW_COLS);
            a.ldw = K;
            a.dy = dy + r * ldy;
            a.x = x + r * ldx + k;
            a.dw = dw + k;
            a.panels = ((struct cpu_device *)d)->dw_panels;
            cpu_run(d, cpu_div_up(a.K, LANES), pack_x_task, &a);
            cpu_run(d, cpu_div_up(N, (size_t)DW_BLOCK), dw_task, &a);
        }
    }
}
