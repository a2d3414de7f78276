// gemm.c: out = x W^T (or +=) on packed weights, every output element one chain of fmaf over k.
//
// Weights lie in panels of 16 output columns (pack.c). A tile of rows x panels accumulators walks k
// once: per k it needs one broadcast of x per row and 16 weights per panel. The chain of an element
// never leaves its lane, so which rows share a tile changes nothing in its bits.
//
//   many rows   AVX2: 6 rows x 1 panel = 12 accumulators of 8 lanes, enough independent chains to
//               hide the latency of fmaf; AVX-512: 12 rows x 2 panels. Rows are dealt out evenly
//               (13 = 7 + 6), never leaving a tile of one row behind.
//   few rows    bound by the bytes of W: several panels at once, as streams of their own, so that
//               there are chains enough.
//
// bf16 weights come in lines of two steps, ordered so that interleaving with zeros, one instruction
// that also loads, widens either step.
//
// Work is one line of units, a block of rows (its x fits L2) times the widest tile's panels: panel
// by panel through a span of weights, a few MB that stay in the last cache, for one block of rows
// after the other, then the next span. So a thread fetches x and the pages of out, whose rows lie far
// apart, once per span. A task is a piece of that line and may end in another block of rows.

#include "kernels/cpu/ops.h"
#include "kernels/cpu/tile.h"

enum { LINE = 64, AHEAD = 32 * LINE };    // bytes; a step of a tile reads a line of each panel
enum { SPAN_BYTES = 4 << 20 };

struct tile_args {
    size_t K, ldx, ldo;
    size_t panel;    // distance between panels in bytes
    const float *x;
    const char *w;
    const char *fetch;    // what is prefetched at the first step, for the first panel,
    size_t stride;        // and how far on at each further step, in bytes
    float *out;
    bool add;
};

typedef void tile_fn(const struct tile_args *t);

// clang-format off
#define ROW_POINTER(r, p) const float *const x##r = t->x + r * t->ldx;
#define STORE(r, p) { float *o = t->out + r * t->ldo + p * LANES;                                  \
                      v16_store(o, t->add ? v16_add(v16_load(o), c##r##_##p) : c##r##_##p); }

#define W_POINTER_BF16(p)                                                                          \
    const uint16_t *w##p = (const uint16_t *)(const void *)(t->w + p * t->panel);
#define W_FIRST(p) const v16 even##p = v16_bf16_first(w##p);
#define W_SECOND(p) const v16 odd##p = v16_bf16_second(w##p);
#define W_NEXT(p) w##p += 2 * LANES;
#define W_FETCH(p) __builtin_prefetch(fetch + p * t->panel);
#define STEP_EVEN(r, panels) TILE_STEP_##panels(r, x##r[k], even)
#define STEP_ODD(r, panels) TILE_STEP_##panels(r, x##r[k + 1], odd)

// START: the first steps, all at once, where a tile has a faster way for them; it moves k, the
// panels' pointers and `fetch` on.
#define TILE_BF16_FROM(NAME, ROWS, PANELS, START)                                                  \
    static void NAME(const struct tile_args *t)                                                    \
    {                                                                                              \
        OVER_##PANELS(EACH_##ROWS, TILE_DECLARE)                                                   \
        EACH_##ROWS(ROW_POINTER, 0)                                                                \
        PANELS_##PANELS(W_POINTER_BF16)                                                            \
        const char *fetch = t->fetch;                                                              \
        size_t k = 0;                                                                              \
        START                                                                                      \
        for (; k + 1 < t->K; k += 2) {                                                             \
            { PANELS_##PANELS(W_FIRST) EACH_##ROWS(STEP_EVEN, PANELS) }                            \
            { PANELS_##PANELS(W_SECOND) EACH_##ROWS(STEP_ODD, PANELS) }                            \
            PANELS_##PANELS(W_FETCH)                                                               \
            fetch += t->stride;                                                                    \
            PANELS_##PANELS(W_NEXT)                                                                \
        }                                                                                          \
        if (k < t->K) {                                                                            \
            PANELS_##PANELS(W_FIRST) EACH_##ROWS(STEP_EVEN, PANELS)                                \
        }                                                                                          \
        OVER_##PANELS(EACH_##ROWS, STORE)                                                          \
    }

#define TILE_BF16(ROWS, PANELS) TILE_BF16_FROM(bf16_##ROWS##x##PANELS, ROWS, PANELS, )

#define W_POINTER_F32(p) const float *w##p = (const float *)(const void *)(t->w + p * t->panel);
#define W_F32(p) const v16 even##p = v16_load(w##p);
#define W_NEXT_F32(p) w##p += LANES;

#define TILE_F32(ROWS, PANELS)                                                                     \
    static void f32_##ROWS##x##PANELS(const struct tile_args *t)                                   \
    {                                                                                              \
        OVER_##PANELS(EACH_##ROWS, TILE_DECLARE)                                                   \
        EACH_##ROWS(ROW_POINTER, 0)                                                                \
        PANELS_##PANELS(W_POINTER_F32)                                                             \
        const char *fetch = t->fetch;                                                              \
        for (size_t k = 0; k < t->K; k++) {                                                        \
            PANELS_##PANELS(W_FETCH)                                                               \
            fetch += t->stride;                                                                    \
            PANELS_##PANELS(W_F32)                                                                 \
            EACH_##ROWS(STEP_EVEN, PANELS)                                                         \
            PANELS_##PANELS(W_NEXT_F32)                                                            \
        }                                                                                          \
        OVER_##PANELS(EACH_##ROWS, STORE)                                                          \
    }

#define TILE(ROWS, PANELS) TILE_BF16(ROWS, PANELS) TILE_F32(ROWS, PANELS)

TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1)
TILE(1, 4)
TILE_F32(6, 1)
#if defined(CPU_ISA_AVX2)
#define START_6X1(FETCH)                                                                           \
    if (t->K >= TILE_TURN) {                                                                       \
        k = t->K - t->K % TILE_TURN;                                                               \
        TILE6_BF16(k, t->x, t->ldx, w0, FETCH, fetch, t->stride);                                  \
        w0 += k * LANES;                                                                           \
    }
// A tile that walks its panel alone prefetches every line of it, one of several its part.
TILE_BF16_FROM(bf16_6x1_alone, 6, 1, START_6X1(TILE6_FETCH_ALL))
TILE_BF16_FROM(bf16_6x1, 6, 1, START_6X1(TILE6_FETCH_HALF))
#else
TILE_BF16(6, 1)
#endif
#if defined(CPU_ISA_AVX512)
TILE(7, 1) TILE(8, 1) TILE(9, 1) TILE(10, 1) TILE(11, 1) TILE(12, 1)
TILE(2, 4) TILE(3, 4) TILE(4, 4) TILE(5, 4) TILE(6, 4)
TILE(6, 2) TILE(7, 2) TILE(8, 2) TILE(9, 2) TILE(10, 2) TILE(11, 2) TILE(12, 2)
#else
TILE(2, 2)
#endif

#define ROW(ROWS, WIDE) { bf16_##ROWS##x1, f32_##ROWS##x1,                                         \
                          bf16_##ROWS##x##WIDE, f32_##ROWS##x##WIDE, WIDE }
#if defined(CPU_ISA_AVX2)
#define ROW_6_FEW { bf16_6x1_alone, f32_6x1, bf16_6x1_alone, f32_6x1, 1 }
#else
#define ROW_6_FEW ROW(6, 1)
#endif
    // clang-format on

    // By rows: the tile of one panel and the widest. `wide_few` is for products of at most 6 rows,
    // `wide_many` for the blocks of larger ones.
    struct tile_set {
    tile_fn *bf16, *f32, *wide_bf16, *wide_f32;
    size_t panels;    // of the wide ones
};

#if defined(CPU_ISA_AVX512)
static const struct tile_set few[] = {ROW(1, 4), ROW(2, 4), ROW(3, 4),
                                      ROW(4, 4), ROW(5, 4), ROW(6, 4)};
static const struct tile_set many[] = {
    [5] = ROW(6, 2),  [6] = ROW(7, 2),   [7] = ROW(8, 2),  [8] = ROW(9, 2),
    [9] = ROW(10, 2), [10] = ROW(11, 2), [11] = ROW(12, 2)};
#else
static const struct tile_set few[] = {ROW(1, 4), ROW(2, 2), ROW(3, 1),
                                      ROW(4, 1), ROW(5, 1), ROW_6_FEW};
static const struct tile_set many[] = {
    [2] = ROW(3, 1), [3] = ROW(4, 1), [4] = ROW(5, 1), [5] = ROW(6, 1)};
#endif

struct gemm_args {
    enum dtype t;
    bool add;
    size_t R, N, K, ldx, ldo, panel;
    size_t n_panels, rows, row_blocks;
    // What tasks are cut from: the widest tile's panels times a block of rows.
    size_t units;    // of a row block
    size_t span;     // units that meet a row block one after the other
    struct cpu_cut cut;
    const float *x;
    const char *packed;
    float *out;
};

// One tile of `rows` x `panels` at (r, p), with t's prefetching. The last panel may have fewer than
// 16 columns: it goes through a buffer.
static void run_tile(const struct gemm_args *a, struct tile_args *t, tile_fn *fn, size_t r,
                     size_t rows, size_t p, size_t panels)
{
    t->K = a->K;
    t->ldx = a->ldx;
    t->panel = a->panel;
    t->x = a->x + r * a->ldx;
    t->w = a->packed + p * a->panel;
    t->out = a->out + r * a->ldo + p * LANES;
    t->ldo = a->ldo;
    t->add = a->add;
    size_t width = MIN(a->N - p * LANES, panels * LANES);
    if (width == panels * LANES) {
        fn(t);
        return;
    }
    float buffer[TILE_MAX_ROWS][LANES * 4];
    float *out = t->out;
    t->out = buffer[0];
    t->ldo = LANES * 4;
    t->add = false;
    fn(t);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < width; j++) {
            float *o = out + i * a->ldo + j;
            *o = a->add ? *o + buffer[i][j] : buffer[i][j];
        }
    }
}

// While the tiles of a block of rows walk a panel, each prefetches its part of the next one, so that
// memory is busy all the time and not for one tile in ten; the first panel, and any that a single
// tile walks, is prefetched by its first tile a little ahead.
static struct tile_args prefetching(const struct gemm_args *a, size_t p, size_t i, size_t tiles,
                                    bool first, const char *next)
{
    size_t steps = a->panel / LINE, part = cpu_div_up(LINE, tiles);
    const char *panel = a->packed + p * a->panel;
    if (i == 0 && (first || tiles == 1)) {
        return (struct tile_args){.fetch = panel + AHEAD, .stride = LINE};
    }
    if (tiles == 1 || next == NULL) {
        return (struct tile_args){.fetch = panel};    // nothing to fetch: what is there
    }
    return (struct tile_args){.fetch = next + i * part * steps, .stride = part};
}

// Rows first .. last - 1 times panels begin .. end - 1.
static void run_tiles(const struct gemm_args *a, size_t first, size_t last, size_t begin,
                      size_t end)
{
    const struct tile_set *sets = last - first < ARRAY_LEN(few) + 1 ? few : many;
    size_t tiles = cpu_div_up(last - first, TILE_MAX_ROWS);
    size_t widest = sets[(last - first) / tiles - 1].panels;
    for (size_t p = begin, width = 1; p < end; p += width) {
        size_t r = first;
        width = end - p >= widest ? widest : 1;
        bool wide = width > 1;
        const char *next = end - p >= 2 * width ? a->packed + (p + width) * a->panel : NULL;
        for (size_t i = 0; i < tiles; i++) {
            size_t rows = (last - r) / (tiles - i);
            const struct tile_set *s = &sets[rows - 1];
            tile_fn *fn = a->t == DTYPE_BF16 ? (wide ? s->wide_bf16 : s->bf16)
                                             : (wide ? s->wide_f32 : s->f32);
            struct tile_args t = prefetching(a, p, i, tiles, p == begin, next);
            run_tile(a, &t, fn, r, rows, p, width);
            r += rows;
        }
    }
}

static void gemm_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct gemm_args *a = arg;
    size_t at = cpu_cut_start(&a->cut, chunk), end = cpu_cut_start(&a->cut, chunk + 1);
    while (at < end) {
        size_t span = at / (a->span * a->row_blocks) * a->span;    // its first unit
        size_t width = MIN(a->span, a->units - span), in_span = at - span * a->row_blocks;
        size_t row = in_span / width * a->rows, unit = span + in_span % width;
        size_t n = MIN(span + width - unit, end - at);
        run_tiles(a, row, MIN(a->R, row + a->rows), unit * TILE_MAX_PANELS,
                  MIN(a->n_panels, (unit + n) * TILE_MAX_PANELS));
        at += n;
    }
}

// Tasks: none so small that handing it out shows, none so large that a thread that is held up in it
// holds up the others. Costs are in multiplications; fetching a weight from memory counts as five.
static void cut_tasks(const struct device *d, struct gemm_args *a)
{
    enum { LEAST = 250000, MOST = 8000000 };
    size_t unit = (MIN(a->R, a->rows) + 5) * a->K * LANES * TILE_MAX_PANELS;
    a->units = cpu_div_up(a->n_panels, TILE_MAX_PANELS);
    a->span = MAX(SPAN_BYTES / (TILE_MAX_PANELS * a->panel), (size_t)1);
    a->cut = cpu_cut_plan(d, a->units * a->row_blocks, cpu_div_up(LEAST, unit), MOST / unit);
}

void OP(gemm_columns)(enum dtype t, size_t R, size_t N, size_t K, const float *x, size_t ldx,
                      const void *packed, float *out, size_t ldo)
{
    struct gemm_args a = {.t = t, .R = R, .N = N, .K = K, .ldx = ldx, .ldo = ldo};
    a.panel = cpu_packed_bytes(t, LANES, K);
    a.x = x;
    a.packed = packed;
    a.out = out;
    run_tiles(&a, 0, R, 0, cpu_div_up(N, LANES));
}

void OP(gemm)(struct device *d, enum dtype t, enum gemm_mode mode, size_t R, size_t N, size_t K,
              const float *x, size_t ldx, const void *packed, float *out, size_t ldo)
{
    CHECK(N > 0 && K > 0);
    if (R == 0) {
        return;
    }
    struct gemm_args a = {.t = t, .add = mode == GEMM_ADD, .R = R, .N = N, .K = K};
    a.ldx = ldx;
    a.ldo = ldo;
    a.panel = cpu_packed_bytes(t, LANES, K);
    a.x = x;
    a.packed = packed;
    a.out = out;
    // x rows of a task: about 192 KB, and a whole number of full tiles where there are several
    size_t fit = MAX((size_t)49152 / K, (size_t)2 * TILE_MAX_ROWS);
    a.row_blocks = cpu_div_up(R, fit);
    a.rows = cpu_div_up(cpu_div_up(R, a.row_blocks), TILE_MAX_ROWS) * TILE_MAX_ROWS;
    a.row_blocks = cpu_div_up(R, a.rows);
    a.n_panels = cpu_div_up(N, LANES);
    cut_tasks(d, &a);
    cpu_run(d, a.cut.tasks, gemm_task, &a);
}
