// score.cu: from rows of logits to tokens, log-probabilities and entropies; and the gradient of a
// log-probability. The definition is that of kernels/cpu/vocab.h; log-probs, entropies and draws
// without truncation have the CPU's bits.
//
//   vocab_stats   a block per 1024 logits of a row: their maximum, then sums of exp(d) and exp(d) d
//   finish_rows   a block per row: combines them in double, in order; draws (draw.h); scores
// `sample` and `score` are the same two kernels, so a token scored later gets the bits it was drawn
// with.

#include <stdlib.h>

#include "kernels/cuda/draw.h"

enum { STATS_THREADS = 128, STATS_WARPS = 4, BACK_THREADS = 256 };

struct row_out {
    int32_t token;
    float logp, entropy, kept, lse;
};

struct score_args {
    size_t V, ldl, n_blocks;
    const float *logits;
    const struct sample_spec *spec;    // (R) device
    struct vocab_stats *stats;         // (R, n_blocks)
    struct row_out *out;               // (R) device
};

DEVICE float temperature_of(const struct sample_spec *s)
{
    return s->temperature == 0.0f ? 1.0f : s->temperature;
}

// ---- statistics of a vocabulary block
struct stats_memory {
    float e[VOCAB_BLOCK], d[VOCAB_BLOCK], top[STATS_WARPS];
};

DEVICE float stats_max(struct stats_memory *m, const float *x, size_t n)
{
    const unsigned tid = thread_index();
    float max = -INFINITY;
    for (size_t i = tid; i < n; i += STATS_THREADS) {
        max = larger(max, x[i]);
    }
    max = warp_max(max);
    if (tid % WARP == 0) {
        m->top[tid / WARP] = max;
    }
    sync_block();
    max = -INFINITY;
    for (unsigned w = 0; w < STATS_WARPS; w++) {
        max = larger(max, m->top[w]);
    }
    return max;
}

KERNEL(vocab_stats, struct score_args, STATS_THREADS)
{
    SHARED struct stats_memory m;
    const size_t r = block_index() / a->n_blocks, b = block_index() % a->n_blocks;
    const size_t first = b * VOCAB_BLOCK, tid = thread_index();
    const size_t n = a->V - first < VOCAB_BLOCK ? a->V - first : VOCAB_BLOCK;
    const float *x = a->logits + r * a->ldl + first, T = temperature_of(&a->spec[r]);
    struct vocab_stats s = {stats_max(&m, x, n), 0.0f, 0.0f};
    for (size_t i = tid; i < n; i += STATS_THREADS) {
        m.d[i] = vocab_distance(x[i], s.max, T);
        m.e[i] = exp_f32(m.d[i]);
    }
    sync_block();
    if (tid < WARP) {    // both halves compute the same
        UNROLL
        for (size_t i = tid % LANES; i < n; i += LANES) {
            s.sum += m.e[i];
            s.dot = fmaf(m.e[i], m.d[i], s.dot);
        }
        s.sum = lanes_sum(s.sum);
        s.dot = lanes_sum(s.dot);
    }
    if (!(s.max > -INFINITY)) {
        s.sum = s.dot = s.max == -INFINITY ? 0.0f : NAN;
    }
    if (tid == 0) {
        a->stats[block_index()] = s;
    }
}

// ---- a row
// Loads the statistics; max, S and A of the row.
DEVICE void combine(const struct row_view *r, const struct vocab_stats *stats)
{
    struct row_memory *m = r->m;
    for (size_t b = thread_index(); b < r->n_blocks; b += ROW_THREADS) {
        m->stats[b] = stats[b];
    }
    sync_block();
    if (thread_index() == 0) {
        m->max = -INFINITY;
        for (size_t b = 0; b < r->n_blocks; b++) {
            m->max = m->stats[b].max > m->max ? m->stats[b].max : m->max;
        }
    }
    sync_block();
    for (size_t b = thread_index(); b < r->n_blocks; b += ROW_THREADS) {
        m->factor[b] = (double)exp_f32((m->stats[b].max - m->max) / r->T);
    }
    sync_block();
    if (thread_index() == 0) {
        m->S = m->A = 0.0;
        for (size_t b = 0; b < r->n_blocks; b++) {
            const struct vocab_stats *s = &m->stats[b];
            if (s->sum != 0.0f) {
                double f = m->factor[b], up = (double)((s->max - m->max) / r->T);
                m->S += f * (double)s->sum;
                m->A += f * ((double)s->dot + (double)s->sum * up);
            }
        }
    }
    sync_block();
}

KERNEL(finish_rows, struct score_args, ROW_THREADS)
{
    SHARED struct row_memory m;
    const size_t row = block_index();
    const struct sample_spec spec = a->spec[row];
    struct row_view r = {a->logits + row * a->ldl, a->V, a->n_blocks, temperature_of(&spec), &m};
    combine(&r, a->stats + row * a->n_blocks);
    float kept;
    const size_t token = draw_token(&r, &spec, &kept);
    if (thread_index() == 0) {
        const double log_S = log_f64(m.S), T = (double)r.T;
        const double h = log_S - m.A / m.S;
        struct row_out out;
        out.token = (int32_t)token;
        out.logp = (float)(((double)r.x[token] - (double)m.max) / T - log_S);
        out.entropy = h < 0.0 ? 0.0f : (float)h;
        out.kept = kept;
        out.lse = (float)((double)m.max / T + log_S);
        a->out[row] = out;
    }
}

// spec (R) and out (R) on the host.
static void score_rows(struct cuda_device *c, size_t R, size_t V, const float *logits, size_t ldl,
                       const struct sample_spec *spec, struct row_out *out)
{
    CHECK(V >= 1 && V <= (size_t)MAX_BLOCKS * VOCAB_BLOCK);
    struct score_args a = {V, ldl, div_up(V, VOCAB_BLOCK), logits, NULL, NULL, NULL};
    size_t stats_bytes = R * a.n_blocks * sizeof *a.stats;
    for (size_t r = 0; r < R; r++) {
        CHECK(spec[r].target < 0 || (size_t)spec[r].target < V);
    }
    char *at = (char *)cuda_scratch(c, stats_bytes + R * (sizeof *spec + sizeof *out) + 3 * 256);
    struct sample_spec *device_spec = (struct sample_spec *)cuda_piece(&at, R * sizeof *spec);
    a.stats = (struct vocab_stats *)cuda_piece(&at, stats_bytes);
    a.out = (struct row_out *)cuda_piece(&at, R * sizeof *out);
    a.spec = device_spec;
    rt_put(c, device_spec, spec, R * sizeof *spec);
    LAUNCH(c, vocab_stats, R * a.n_blocks, STATS_THREADS, 0, a);
    LAUNCH(c, finish_rows, R, ROW_THREADS, 0, a);
    rt_get(c, out, a.out, R * sizeof *out);
}

void cuda_sample(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
                 const struct sample_spec *spec, struct sample_out *out)
{
    struct row_out *rows = (struct row_out *)malloc((R + 1) * sizeof *rows);
    CHECK(rows != NULL);
    score_rows(cuda_of(d), R, V, logits, ldl, spec, rows);
    for (size_t r = 0; r < R; r++) {
        out[r].token = rows[r].token;
        out[r].logp = rows[r].logp;
        out[r].entropy = rows[r].entropy;
        out[r].kept = rows[r].kept;
    }
    free(rows);
}

// Logits are stored: memory that a GPU has, and what makes one kernel of the head's product.
void cuda_head_sample(struct device *d, enum dtype t, size_t R, size_t V, size_t C, const float *x,
                      size_t ldx, const void *packed, float *logits, const struct sample_spec *spec,
                      struct sample_out *out)
{
    cuda_gemm(d, t, GEMM_SET, R, V, C, x, ldx, packed, logits, V);
    cuda_sample(d, R, V, logits, V, spec, out);
}

void cuda_score(struct device *d, size_t R, size_t V, const float *logits, size_t ldl,
                float temperature, const int32_t *target, float *logp, float *entropy, float *lse)
{
    struct row_out *rows = (struct row_out *)malloc((R + 1) * sizeof *rows);
    struct sample_spec *spec = (struct sample_spec *)calloc(R + 1, sizeof *spec);
    CHECK(rows != NULL && spec != NULL);
    for (size_t r = 0; r < R; r++) {
        CHECK(target[r] >= 0);
        spec[r].temperature = temperature;
        spec[r].top_p = 1.0f;
        spec[r].top_k = 0;
        spec[r].target = target[r];
        spec[r].u = 0.0f;
    }
    score_rows(cuda_of(d), R, V, logits, ldl, spec, rows);
    for (size_t r = 0; r < R; r++) {
        logp[r] = rows[r].logp;
        lse[r] = rows[r].lse;
        if (entropy != NULL) {
            entropy[r] = rows[r].entropy;
        }
    }
    free(rows);
    free(spec);
}

// ---- backward
struct back_row {
    int32_t target;
    float lse, coef;
};

struct back_args {
    size_t R, V, ldl;
    float T;
    float *logits;
    const struct back_row *row;
};

KERNEL(score_backward, struct back_args, BACK_THREADS)
{
    const size_t i = global_index(BACK_THREADS);
    if (i >= a->R * a->V) {
        return;
    }
    const size_t r = i / a->V, token = i % a->V;
    const struct back_row row = a->row[r];
    float *x = a->logits + r * a->ldl + token, coef = row.coef / a->T;
    float g = -coef * exp_f32(*x / a->T - row.lse);
    *x = token == (size_t)row.target ? g + coef : g;
}

void cuda_score_backward(struct device *d, size_t R, size_t V, float *logits, size_t ldl,
                         float temperature, const int32_t *target, const float *lse,
                         const float *coef)
{
    struct cuda_device *c = cuda_of(d);
    struct back_row *host = (struct back_row *)malloc((R + 1) * sizeof *host);
    CHECK(host != NULL);
    for (size_t r = 0; r < R; r++) {
        CHECK(target[r] >= 0 && (size_t)target[r] < V);
        host[r].target = target[r];
        host[r].lse = lse[r];
        host[r].coef = coef[r];
    }
    struct back_row *rows = (struct back_row *)cuda_scratch(c, (R + 1) * sizeof *rows);
    struct back_args a = {R, V, ldl, temperature == 0.0f ? 1.0f : temperature, logits, rows};
    rt_put(c, rows, host, R * sizeof *rows);
    LAUNCH(c, score_backward, div_up(R * V, BACK_THREADS), BACK_THREADS, 0, a);
    free(host);
}
