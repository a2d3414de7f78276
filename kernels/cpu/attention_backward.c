// attention_backward.c: gradients of attention, probabilities recomputed block by block from the
// saved log-sum-exp.
//
//     p_j = exp(s_j - lse);  dp_j = dout . v_j;  ds_j = p_j * (dp_j - dout . out) * scale
//     dq = sum_j ds_j k_j;   dk_j += sum over queries ds_j q;   dv_j += sum over queries p_j dout
//
// dk and dv rows are shared between queries, so a task must own the rows it adds to: it owns one
// key head of one *component*, a run of rows whose lists touch no key row of the others (in a
// training batch: one group of completions with its prompt). Inside, queries are taken in the order
// of rows, then heads, so an element's additions come in one order however the batch falls into
// components, and no T x T matrix is ever held.
//
// A tile of 48 queries meets a block of 64 keys in five matrix products, (48, 64) each way, with
// D in stretches of 64 columns:
//
//     S = Q K^T    dP = dO V^T    dQ += dS K    dK += dS^T Q    dV += P^T dO
//
// All operands are copied into matrices of rows of 64 floats, zeros where D ends early: then one
// register tile (tile.h) computes all five. Scores are summed in an order of their own, one chain
// of fmaf over D, and not in the forward pass's: they need to be right, not equal.

#include "kernels/cpu/attn.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/turn.h"

enum {
    COMPONENTS_MAX = 256,
    WIDTH = 64,    // floats in a row of every matrix here
};

struct component {
    size_t first, end;    // batch rows
    int32_t low, high;    // key rows they touch lie in low..high
};

struct back_args {
    size_t R, H, G, D, ldq, ldkv, ldo, lddq, lddkv;
    float scale;
    const float *q, *k, *v, *out, *dout, *lse;
    const struct attn_keys *keys;
    float *dq, *dk, *dv;
    size_t n_components;
    struct component component[COMPONENTS_MAX];
};

struct back_tile {
    size_t n;    // queries
    const float *q[TILE_QUERIES], *dout[TILE_QUERIES];
    float *dq[TILE_QUERIES];
    float lse[TILE_QUERIES], delta[TILE_QUERIES];
    size_t seen[TILE_QUERIES], len[TILE_QUERIES];    // keys seen .. len - 1
    size_t longest;                                  // of len
};

// A tile and a block: the operands of the five products, and the result of one.
struct back_block {
    float q[TILE_QUERIES][WIDTH], dout[TILE_QUERIES][WIDTH];    // a stretch of columns of Q and dO,
    float k[KEY_BLOCK][WIDTH];                                  // of K,
    float kt[WIDTH][WIDTH], vt[WIDTH][WIDTH];                   // and of K and V, turned
    // S, then P; dP, then dS: by query, then key. Their tiles of columns may stand out, see below.
    float p[TILE_QUERIES + 1][WIDTH], ds[TILE_QUERIES + 1][WIDTH];
    float sums[WIDTH + TILE_MAX_ROWS][WIDTH];
};
_Static_assert((int)KEY_BLOCK == (int)WIDTH && TILE_QUERIES % TILE_MAX_ROWS == 0,
               "rows of matrices");

// ---- products of small matrices, all with rows of WIDTH floats

// clang-format off
#define X_LOAD(p) const v16 x##p = v16_load(x + k * WIDTH + p * LANES);
#define STEP_BY_ROW(r, _) TILE_STEP(r, y[r * WIDTH + k], x)
#define STEP_BY_COLUMN(r, _) TILE_STEP(r, y[k * WIDTH + r], x)
#define STORE(r, p) { float *o = out + r * WIDTH + p * LANES;                                      \
                      v16_store(o, add ? v16_add(v16_load(o), c##r##_##p) : c##r##_##p); }
// START: the first steps, where there is a faster way for them, as in gemm.c; it moves k on.
#define PRODUCT(name, START, STEP)                                                                 \
    static void name(size_t steps, const float *y, const float *x, bool add, float *out)           \
    {                                                                                              \
        TILE_OVER(TILE_EACH, TILE_DECLARE)                                                         \
        size_t k = 0;                                                                              \
        START                                                                                      \
        for (; k < steps; k++) {                                                                   \
            TILE_PANELS(X_LOAD)                                                                    \
            TILE_EACH(STEP, )                                                                      \
        }                                                                                          \
        TILE_OVER(TILE_EACH, STORE)                                                                \
    }
#if defined(CPU_ISA_AVX2)
#define START_BY_ROW                                                                               \
    if (steps >= TILE_TURN) {                                                                      \
        k = steps - steps % TILE_TURN;                                                             \
        TILE6_BY_ROW(k, y, WIDTH, x, 256);                                                         \
    }
#define START_BY_COLUMN                                                                            \
    if (steps >= TILE_TURN) {                                                                      \
        k = steps - steps % TILE_TURN;                                                             \
        TILE6_BY_COLUMN(k, y, 256, x, 256);                                                        \
    }
_Static_assert(WIDTH * sizeof(float) == 256, "a row, from one step to the next");
#else
#define START_BY_ROW
#define START_BY_COLUMN
#endif

PRODUCT(tile_yx, START_BY_ROW, STEP_BY_ROW)           // out = y x, y (rows of a tile, steps)
PRODUCT(tile_ytx, START_BY_COLUMN, STEP_BY_COLUMN)    // out = y^T x, y (steps, rows of a tile)
// clang-format on

// out (rows, cols) = y x, x (steps, cols); `add`: += instead. Rounded up, rows and cols, to tiles.
static void multiply(size_t rows, size_t cols, size_t steps, const float *y, const float *x,
                     bool add, float *out)
{
    for (size_t c = 0; c < cols; c += TILE_MAX_COLS) {
        for (size_t r = 0; r < rows; r += TILE_MAX_ROWS) {
            tile_yx(steps, y + r * WIDTH, x + c, add, out + r * WIDTH + c);
        }
    }
}

// out (rows, cols) = y^T x, y (steps, rows). The last tile may stand out of y's rows, into those
// that follow: it makes rows of out that nobody reads.
static void multiply_turned(size_t rows, size_t cols, size_t steps, const float *y, const float *x,
                            float *out)
{
    for (size_t c = 0; c < cols; c += TILE_MAX_COLS) {
        for (size_t r = 0; r < rows; r += TILE_MAX_ROWS) {
            tile_ytx(steps, y + r, x + c, false, out + r * WIDTH + c);
        }
    }
}

// Columns at .. at + cols - 1 of n rows, and zeros up to WIDTH.
static void gather(size_t n, const float *const *rows, size_t at, size_t cols, float *to)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < WIDTH; c += LANES) {
            size_t part = c < cols ? MIN(cols - c, (size_t)LANES) : 0;
            v16_store(to + i * WIDTH + c, v16_load_n(rows[i] + at + c, part));
        }
    }
}

// to = from^T, from (n, WIDTH); n is rounded up to 4.
static void turn(size_t n, const float *from, float *to)
{
    for (size_t i = 0; i < n; i += 4) {
        for (size_t c = 0; c < WIDTH; c += 4) {
            turn4(from + i * WIDTH + c, WIDTH * sizeof *from, to + c * WIDTH + i,
                  WIDTH * sizeof *to);
        }
    }
}

// row[0 .. cols - 1] += sums
static void add_to(float *row, const float *sums, size_t cols)
{
    for (size_t c = 0; c < cols; c += LANES) {
        size_t part = MIN(cols - c, (size_t)LANES);
        v16_store_n(row + c, v16_add(v16_load_n(row + c, part), v16_load(sums + c)), part);
    }
}

// ---- a tile against a block

static float dot(const float *x, const float *y, size_t D)
{
    v16 acc = v16_zero();
    for (size_t i = 0; i < D; i += LANES) {
        size_t n = MIN(D - i, (size_t)LANES);
        acc = v16_fma(v16_load_n(x + i, n), v16_load_n(y + i, n), acc);
    }
    return v16_sum(acc);
}

static void gather_queries(const struct back_tile *t, size_t at, size_t cols, struct back_block *b)
{
    gather(t->n, t->q, at, cols, b->q[0]);
    gather(t->n, t->dout, at, cols, b->dout[0]);
}

// Scores and their gradients: S and dP, (queries, keys), into p and ds. q and dout are there if one
// stretch holds all their columns.
static void scores(const struct back_args *a, const struct back_tile *t, struct back_block *b,
                   const float *const *k, const float *const *v, size_t n)
{
    for (size_t c = 0; c < a->D; c += WIDTH) {
        size_t cols = MIN(a->D - c, (size_t)WIDTH);
        if (a->D > WIDTH) {
            gather_queries(t, c, cols, b);
        }
        gather(n, v, c, cols, b->k[0]);
        turn(n, b->k[0], b->vt[0]);
        gather(n, k, c, cols, b->k[0]);
        turn(n, b->k[0], b->kt[0]);
        multiply(t->n, n, cols, b->q[0], b->kt[0], c > 0, b->p[0]);
        multiply(t->n, n, cols, b->dout[0], b->vt[0], c > 0, b->ds[0]);
    }
}

// Row i of S and dP becomes that of P and dS: zeros for keys that the query does not see.
static void probabilities(const struct back_args *a, const struct back_tile *t, size_t i,
                          size_t first, size_t n, float *p, float *ds)
{
    size_t own = t->len[i] > first ? MIN(n, t->len[i] - first) : 0;
    size_t skip = t->seen[i] > first ? MIN(own, t->seen[i] - first) : 0;
    v16 scale = v16_set1(a->scale), lse = v16_set1(t->lse[i]), delta = v16_set1(t->delta[i]);
    for (size_t j = 0; j < skip; j++) {
        p[j] = -INFINITY;
    }
    for (size_t j = 0; j < n; j += LANES) {
        size_t part = j < own ? MIN(own - j, (size_t)LANES) : 0;
        v16 s = v16_mul(v16_load_fill(p + j, part, -INFINITY), scale);
        v16 e = v16_exp(v16_sub(s, lse));
        v16 dp = v16_load_n(ds + j, part);
        v16_store(p + j, e);
        v16_store(ds + j, v16_mul(v16_mul(e, v16_sub(dp, delta)), scale));
    }
}

static void add_gradients(const struct back_args *a, const struct back_tile *t,
                          struct back_block *b, const float *const *k, size_t g,
                          const int32_t *list, size_t n)
{
    for (size_t c = 0; c < a->D; c += WIDTH) {
        size_t cols = MIN(a->D - c, (size_t)WIDTH);
        if (a->D > WIDTH) {    // or they are there already
            gather_queries(t, c, cols, b);
            gather(n, k, c, cols, b->k[0]);
        }
        multiply(t->n, cols, n, b->ds[0], b->k[0], false, b->sums[0]);
        for (size_t i = 0; i < t->n; i++) {
            add_to(t->dq[i] + c, b->sums[i], cols);
        }
        multiply_turned(n, cols, t->n, b->ds[0], b->q[0], b->sums[0]);
        for (size_t j = 0; j < n; j++) {
            add_to(a->dk + (size_t)list[j] * a->lddkv + g * a->D + c, b->sums[j], cols);
        }
        multiply_turned(n, cols, t->n, b->p[0], b->dout[0], b->sums[0]);
        for (size_t j = 0; j < n; j++) {
            add_to(a->dv + (size_t)list[j] * a->lddkv + g * a->D + c, b->sums[j], cols);
        }
    }
}

static void run_tile(const struct back_args *a, struct back_tile *t, size_t g, const int32_t *list)
{
    struct back_block b;
    const float *k[KEY_BLOCK], *v[KEY_BLOCK];
    size_t start = attn_block(t->longest);
    for (size_t i = 0; i < t->n; i++) {
        start = MIN(start, attn_block(t->seen[i]));
    }
    if (a->D <= WIDTH) {
        gather_queries(t, 0, a->D, &b);
    }
    for (size_t first = start; first < t->longest; first += KEY_BLOCK) {
        size_t n = MIN(t->longest - first, (size_t)KEY_BLOCK);
        attn_rows(k, a->k + g * a->D, a->ldkv, list, first, n);
        attn_rows(v, a->v + g * a->D, a->ldkv, list, first, n);
        scores(a, t, &b, k, v, n);
        for (size_t i = 0; i < t->n; i++) {
            probabilities(a, t, i, first, n, b.p[i], b.ds[i]);
        }
        add_gradients(a, t, &b, k, g, list + first, n);
    }
    t->n = 0;
    t->longest = 0;
}

static void add_query(const struct back_args *a, struct back_tile *t, size_t r, size_t h)
{
    size_t i = t->n++;
    const float *out = a->out + r * a->ldo + h * a->D;
    t->q[i] = a->q + r * a->ldq + h * a->D;
    t->dout[i] = a->dout + r * a->ldo + h * a->D;
    t->dq[i] = a->dq + r * a->lddq + h * a->D;
    t->lse[i] = a->lse[r * a->H + h];
    t->delta[i] = dot(t->dout[i], out, a->D);
    t->len[i] = (size_t)a->keys->kv_len[r];
    t->seen[i] = attn_first(a->keys, t->len[i]);
    t->longest = MAX(t->longest, t->len[i]);
    memset(t->dq[i], 0, a->D * sizeof(float));
}

static void task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct back_args *a = arg;
    const struct component *c = &a->component[chunk / a->G];
    size_t g = chunk % a->G, share = a->H / a->G;
    struct back_tile t;
    t.n = t.longest = 0;
    for (size_t first = c->first, end; first < c->end; first = end) {
        attn_run(a->keys, first, c->end, &end);
        const int32_t *list = a->keys->kv_index + a->keys->kv_off[first];
        for (size_t i = 0; i < (end - first) * share; i++) {
            add_query(a, &t, first + i / share, g * share + i % share);
            if (t.n == TILE_QUERIES) {
                run_tile(a, &t, g, list);
            }
        }
        if (t.n > 0) {
            run_tile(a, &t, g, list);
        }
    }
}

// Cuts the rows into components: a run of rows joins every earlier one whose range of key rows it
// meets, and all between.
static void find_components(struct back_args *a)
{
    const struct attn_keys *keys = a->keys;
    size_t n = 0;
    for (size_t first = 0, end; first < a->R; first = end) {
        size_t longest = attn_run(keys, first, a->R, &end);
        const int32_t *list = keys->kv_index + keys->kv_off[first];
        struct component c = {first, end, list[0], list[0]};
        for (size_t j = 1; j < longest; j++) {
            c.low = MIN(c.low, list[j]);
            c.high = MAX(c.high, list[j]);
        }
        size_t keep = 0;
        while (keep < n && (a->component[keep].high < c.low || a->component[keep].low > c.high)) {
            keep++;
        }
        if (keep == COMPONENTS_MAX) {
            keep--;    // full: the last one takes the rest
        }
        for (size_t i = keep; i < n; i++) {
            c.first = MIN(c.first, a->component[i].first);
            c.low = MIN(c.low, a->component[i].low);
            c.high = MAX(c.high, a->component[i].high);
        }
        a->component[keep] = c;
        n = keep + 1;
    }
    a->n_components = n;
}

void OP(attention_backward)(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                            const float *q, size_t ldq, const float *k, const float *v, size_t ldkv,
                            const struct attn_keys *keys, const float *out, const float *dout,
                            size_t ldo, const float *lse, float *dq, size_t lddq, float *dk,
                            float *dv, size_t lddkv)
{
    CHECK(G > 0 && H % G == 0);
    struct back_args a = {.R = R, .H = H, .G = G, .D = D, .ldq = ldq, .ldkv = ldkv, .ldo = ldo};
    a.lddq = lddq;
    a.lddkv = lddkv;
    a.scale = scale;
    a.q = q;
    a.k = k;
    a.v = v;
    a.out = out;
    a.dout = dout;
    a.lse = lse;
    a.keys = keys;
    a.dq = dq;
    a.dk = dk;
    a.dv = dv;
    find_components(&a);
    cpu_run(d, a.n_components * G, task, &a);
}
