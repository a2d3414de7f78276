// head.c: the language-model head and the choice of a token in one pass: logits are formed a block
// of the vocabulary at a time, turned into that block's statistics while they are in cache, and
// forgotten.
//
//   a task   up to 64 rows times one block of 1024 columns: 256 KB of logits in this thread's
//            scratch; each row leaves max, sum and dot of the block, and 16 numbers about its
//            pieces of 64: their sums for a draw, their largest logits for a greedy choice
//   then     per row: combine, find block and piece, form the 64 logits of that piece again (one
//            row of x times four panels: the same chains of fmaf, so the same bits) and settle
//            the token
//
// Written out, 64 rows of 49152 logits are 12.6 MB, as many bytes as a quarter of the weights that
// made them; what is formed again is 1/768 of a row. A row whose draw truncates needs all of its
// logits, more than once: such rows go through gemm and sample.

#include "kernels/cpu/vocab.h"

struct head_args {
    enum dtype t;
    size_t R, V, C, ldx, n_blocks, panel, rows, row_chunks;
    const float *x;
    const char *packed;
    const struct sample_spec *spec;
    struct sample_out *out;
    float *scratch;               // (threads, HEAD_TASK_ROWS, VOCAB_BLOCK)
    struct vocab_stats *stats;    // (R, n_blocks)
    float *pieces;                // (R, n_blocks, VOCAB_PIECES)
    float *at_target;             // (R) logits of the targets
};

static bool is_greedy(const struct sample_spec *s)
{
    return s->target < 0 && s->temperature == 0.0f;
}

static bool is_draw(const struct sample_spec *s)
{
    return s->target < 0 && s->temperature != 0.0f;
}

static bool truncates(const struct sample_spec *s, size_t V)
{
    return is_draw(s) &&
           ((s->top_k > 0 && (size_t)s->top_k < V) || s->top_p < 1.0f || s->min_p > 0.0f);
}

static float temperature_of(const struct sample_spec *s)
{
    return s->temperature == 0.0f ? 1.0f : s->temperature;
}

// Logits of n columns from column `first` for `rows` rows from row r.
static void form(const struct head_args *a, size_t r, size_t rows, size_t first, size_t n,
                 float *out, size_t ldo)
{
    OP(gemm_columns)
    (a->t, rows, n, a->C, a->x + r * a->ldx, a->ldx, a->packed + first / LANES * a->panel, out,
     ldo);
}

static void largest_of_pieces(const float *x, size_t n, float *pieces)
{
    for (size_t first = 0; first < n; first += VOCAB_PIECE) {
        float t[VOCAB_PIECE];
        pieces[first / VOCAB_PIECE] = vocab_load(x + first, MIN(n - first, (size_t)VOCAB_PIECE), t);
    }
}

static void block_task(void *arg, size_t chunk, int thread)
{
    const struct head_args *a = arg;
    size_t b = chunk / a->row_chunks, first = chunk % a->row_chunks * a->rows;
    size_t rows = MIN(a->R - first, a->rows), n = vocab_block_len(a->V, b);
    float *logits = a->scratch + (size_t)thread * HEAD_TASK_ROWS * VOCAB_BLOCK;
    form(a, first, rows, b * VOCAB_BLOCK, n, logits, VOCAB_BLOCK);
    for (size_t i = 0; i < rows; i++) {
        size_t r = first + i;
        const struct sample_spec *s = &a->spec[r];
        const float *x = logits + i * VOCAB_BLOCK;
        float t[VOCAB_BLOCK], *pieces = a->pieces + (r * a->n_blocks + b) * VOCAB_PIECES;
        a->stats[r * a->n_blocks + b] =
            vocab_block_stats(x, n, temperature_of(s), t, is_draw(s) ? pieces : NULL);
        if (is_greedy(s)) {
            largest_of_pieces(x, n, pieces);
        } else if (s->target >= 0 && (size_t)s->target / VOCAB_BLOCK == b) {
            a->at_target[r] = x[(size_t)s->target % VOCAB_BLOCK];
        }
    }
}

struct choice {
    int32_t token;
    float logit;
};

// Forms piece `p` (counted from the start of the row) again; returns how many logits it has.
static size_t form_piece(const struct head_args *a, size_t r, size_t p, float x[VOCAB_PIECE])
{
    size_t first = p * VOCAB_PIECE, n = MIN(a->V - first, (size_t)VOCAB_PIECE);
    form(a, r, 1, first, n, x, VOCAB_PIECE);
    return n;
}

// The lowest index of the row's largest logit.
static struct choice choose_greedy(const struct head_args *a, size_t r, const struct vocab_row *row)
{
    const float *pieces = a->pieces + r * a->n_blocks * VOCAB_PIECES;
    size_t p = 0, n_pieces = cpu_div_up(a->V, VOCAB_PIECE);
    while (p + 1 < n_pieces && pieces[p] != row->max) {
        p++;
    }
    p = pieces[p] == row->max ? p : 0;
    float x[VOCAB_PIECE];
    size_t n = form_piece(a, r, p, x), i = 0;
    while (i + 1 < n && x[i] != row->max) {
        i++;
    }
    i = x[i] == row->max ? i : 0;
    return (struct choice){(int32_t)(p * VOCAB_PIECE + i), x[i]};
}

static struct choice choose_draw(const struct head_args *a, size_t r, const struct vocab_row *row)
{
    float x[VOCAB_PIECE], e[VOCAB_PIECE];
    struct vocab_mark m;
    if (!vocab_find_block(row, a->spec[r].u, &m)) {
        form_piece(a, r, 0, x);
        return (struct choice){0, x[0]};
    }
    vocab_find_piece(row, a->pieces + (r * a->n_blocks + m.block) * VOCAB_PIECES, &m);
    size_t p = m.block * VOCAB_PIECES + m.piece, n = form_piece(a, r, p, x);
    struct vocab_stats s = row->stats[m.block];
    vocab_load(x, n, e);
    vocab_exp(e, n, row->T, &s, NULL);
    size_t i = vocab_find_token(row, e, n, &m);
    return (struct choice){(int32_t)(p * VOCAB_PIECE + i), x[i]};
}

static void finish_task(void *arg, size_t r, int thread)
{
    (void)thread;
    const struct head_args *a = arg;
    const struct sample_spec *s = &a->spec[r];
    struct vocab_row row = vocab_row(a->V, temperature_of(s), a->stats + r * a->n_blocks);
    struct choice c = {s->target, a->at_target[r]};
    if (is_greedy(s)) {
        c = choose_greedy(a, r, &row);
    } else if (is_draw(s)) {
        c = choose_draw(a, r, &row);
    }
    a->out[r] = (struct sample_out){.token = c.token,
                                    .logp = vocab_logp(&row, c.logit),
                                    .entropy = vocab_entropy(&row),
                                    .kept = 1.0f};
}

// Rows of a task: their x fits L2 beside a few panels, and every thread has work.
static size_t task_rows(const struct device *d, const struct head_args *a)
{
    size_t fit = MAX((size_t)49152 / a->C, (size_t)16), threads = (size_t)pool_threads(d->pool);
    size_t chunks = cpu_div_up(4 * threads, a->n_blocks);    // so that there are tasks enough
    return MIN(MIN(fit, (size_t)HEAD_TASK_ROWS), MAX(cpu_div_up(a->R, chunks), (size_t)4));
}

static void run_fused(struct device *d, struct head_args *a)
{
    a->rows = task_rows(d, a);
    a->row_chunks = cpu_div_up(a->R, a->rows);
    cpu_run(d, a->n_blocks * a->row_chunks, block_task, a);
    cpu_run(d, a->R, finish_task, a);
}

void OP(head_sample)(struct device *d, enum dtype t, size_t R, size_t V, size_t C, const float *x,
                     size_t ldx, const void *packed, float *logits, const struct sample_spec *spec,
                     struct sample_out *out)
{
    CHECK(V >= 1 && V <= DEVICE_MAX_VOCAB && C > 0);
    struct cpu_device *c = (struct cpu_device *)d;
    struct head_args a = {.t = t, .V = V, .C = C, .ldx = ldx, .packed = packed};
    a.n_blocks = cpu_div_up(V, VOCAB_BLOCK);
    a.panel = cpu_packed_bytes(t, LANES, C);
    a.scratch = c->logits;
    a.stats = c->stats;
    a.pieces = c->pieces;
    a.at_target = c->at_target;
    size_t most = STATS_MAX / a.n_blocks, r = 0;
    while (r < R) {
        CHECK(spec[r].target < 0 || (size_t)spec[r].target < V);
        bool whole = truncates(&spec[r], V);
        size_t end = r + 1;
        while (end < R && truncates(&spec[end], V) == whole && (whole || end - r < most)) {
            CHECK(spec[end].target < 0 || (size_t)spec[end].target < V);
            end++;
        }
        if (whole) {
            OP(gemm)(d, t, GEMM_SET, end - r, V, C, x + r * ldx, ldx, packed, logits, V);
            OP(sample)(d, end - r, V, logits, V, spec + r, out + r);
        } else {
            a.R = end - r;
            a.x = x + r * ldx;
            a.spec = spec + r;
            a.out = out + r;
            run_fused(d, &a);
        }
        r = end;
    }
}
