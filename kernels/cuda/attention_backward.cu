// attention_backward.cu: gradients of attention, probabilities recomputed from the saved
// log-sum-exp.
//
//     p_j = exp(s_j - lse);  dp_j = dout . v_j;  ds_j = p_j * (dp_j - dout . out) * scale
//     dq = sum_j ds_j k_j;   dk_j += sum over queries ds_j q;   dv_j += sum over queries p_j dout
//
// Three kernels, so that every sum has one owner and one order:
//   list_runs   rows that follow one another and share a list are a run; the key rows of each lie in
//               low..high
//   dq          a block per row and key head, walking its keys as forward does
//   dkv         a block per key row and key head: searches the lists of all runs for its row, and for
//               each place found takes the run's queries that see it, rows ascending, then heads
// The search reads the lists of those runs whose range holds the row: in a training batch, those of
// one group.

#include "kernels/cuda/attn.h"

enum { QUERIES = 64, RUN_THREADS = 256 };

struct run {
    int32_t first, end;    // rows
    int32_t longest;       // kv_len
    int32_t low, high;     // key rows
};

struct runs {
    int32_t n;
    int32_t rows;    // the largest key row + 1
};

struct back_args {
    struct attn_shape n;
    size_t R, ldq, ldkv, ldo, lddq, lddkv;
    float scale;
    const float *q, *k, *v, *out, *dout, *lse;
    struct attn_keys keys;
    float *dq, *dk, *dv;
    float *delta;    // (R, H): dout . out
    struct runs *runs;
    struct run *run;
};

// ---- runs
DEVICE bool starts_run(const struct attn_keys *keys, size_t r)
{
    return r == 0 || keys->kv_off[r] != keys->kv_off[r - 1];
}

DEVICE void fill_run(const struct back_args *a, size_t r, struct run *out)
{
    struct run run = {(int32_t)r, (int32_t)r, 0, 0, 0};
    do {
        int32_t len = a->keys.kv_len[run.end];
        run.longest = len > run.longest ? len : run.longest;
        run.end++;
    } while ((size_t)run.end < a->R && !starts_run(&a->keys, (size_t)run.end));
    *out = run;
}

// Range of the key rows of one run, by the threads of a warp; low and high: (RUN_THREADS) shared.
DEVICE void fill_range(const struct back_args *a, struct run *run, int32_t *low, int32_t *high)
{
    const unsigned tid = thread_index(), lane = tid % WARP;
    const int32_t *list = a->keys.kv_index + a->keys.kv_off[run->first];
    low[tid] = high[tid] = list[0];
    for (int32_t j = (int32_t)lane; j < run->longest; j += WARP) {
        low[tid] = list[j] < low[tid] ? list[j] : low[tid];
        high[tid] = list[j] > high[tid] ? list[j] : high[tid];
    }
    sync_warp();
    if (lane == 0) {
        for (unsigned i = 1; i < WARP; i++) {
            low[tid] = low[tid + i] < low[tid] ? low[tid + i] : low[tid];
            high[tid] = high[tid + i] > high[tid] ? high[tid + i] : high[tid];
        }
        run->low = low[tid];
        run->high = high[tid];
    }
    sync_warp();
}

// One block. Each thread counts the runs that start in its part of the rows, then writes them.
KERNEL(list_runs, struct back_args, RUN_THREADS)
{
    SHARED int32_t count[RUN_THREADS], low[RUN_THREADS], high[RUN_THREADS];
    const size_t tid = thread_index(), part = (a->R + RUN_THREADS - 1) / RUN_THREADS;
    const size_t from = tid * part < a->R ? tid * part : a->R;
    const size_t to = from + part < a->R ? from + part : a->R;
    count[tid] = 0;
    for (size_t r = from; r < to; r++) {
        count[tid] += starts_run(&a->keys, r);
    }
    sync_block();
    int32_t at = 0;
    for (size_t i = 0; i < tid; i++) {
        at += count[i];
    }
    if (tid == RUN_THREADS - 1) {
        a->runs->n = at + count[tid];
    }
    for (size_t r = from; r < to; r++) {
        if (starts_run(&a->keys, r)) {
            fill_run(a, r, &a->run[at++]);
        }
    }
    sync_block();
    int32_t most = 0;
    for (int32_t i = (int32_t)tid / WARP; i < a->runs->n; i += RUN_THREADS / WARP) {
        fill_range(a, &a->run[i], low, high);
        most = a->run[i].high > most ? a->run[i].high : most;
    }
    count[tid] = most;
    sync_block();
    for (size_t i = 0; tid == 0 && i < RUN_THREADS; i++) {
        most = count[i] > most ? count[i] : most;
    }
    if (tid == 0) {
        a->runs->rows = most + 1;
    }
}

// ---- dq
struct dq_memory {
    float *q, *dout, *dq;    // (heads, D)
    float *ds;               // (heads, 64)
    float *delta;            // (heads)
};

DEVICE struct dq_memory divide_dq(size_t heads, size_t D)
{
    struct dq_memory m;
    m.q = shared_memory();
    m.dout = m.q + heads * D;
    m.dq = m.dout + heads * D;
    m.ds = m.dq + heads * D;
    m.delta = m.ds + heads * KEY_BLOCK;
    return m;
}

DEVICE void load_query(const struct back_args *a, const struct attn_block *b,
                       const struct dq_memory *m)
{
    const size_t D = a->n.D, half = thread_index() / LANES, lane = thread_index() % LANES;
    for (size_t i = thread_index(); i < b->heads * D; i += ATTN_THREADS) {
        m->q[i] = a->q[b->r * a->ldq + b->h * D + i];
        m->dout[i] = a->dout[b->r * a->ldo + b->h * D + i];
        m->dq[i] = 0.0f;
    }
    sync_block();
    for (size_t i = 0; i < (b->heads + ATTN_HALVES - 1) / ATTN_HALVES; i++) {
        size_t h = i * ATTN_HALVES + half, own = h < b->heads ? h : 0;
        const float *out = a->out + b->r * a->ldo + (b->h + own) * D;
        float delta = lanes_sum(lane_dot(m->dout + own * D, out, D, lane));
        if (lane == 0 && h < b->heads) {
            m->delta[h] = delta;
            a->delta[b->r * a->n.H + b->h + h] = delta;
        }
    }
    sync_block();
}

DEVICE void slopes(const struct back_args *a, const struct attn_block *b, const struct dq_memory *m,
                   const size_t *row, size_t n)
{
    const size_t D = a->n.D, half = thread_index() / LANES, lane = thread_index() % LANES;
    for (size_t j = half; j < (n + ATTN_HALVES - 1) / ATTN_HALVES * ATTN_HALVES; j += ATTN_HALVES) {
        const float *k = a->k + row[j] * a->ldkv + b->g * D;
        const float *v = a->v + row[j] * a->ldkv + b->g * D;
        for (size_t h = 0; h < b->heads; h++) {
            float s = lanes_sum(lane_dot(m->q + h * D, k, D, lane)) * a->scale;
            float dp = lanes_sum(lane_dot(m->dout + h * D, v, D, lane));
            if (lane == 0) {
                float p = exp_f32(s - a->lse[b->r * a->n.H + b->h + h]);
                m->ds[h * KEY_BLOCK + j] = p * (dp - m->delta[h]) * a->scale;
            }
        }
    }
}

KERNEL(attention_dq, struct back_args, ATTN_THREADS)
{
    SHARED size_t row[KEY_BLOCK];
    const struct attn_block b = attn_block(&a->n, block_index());
    const struct dq_memory m = divide_dq(b.heads, a->n.D);
    const size_t D = a->n.D, len = (size_t)a->keys.kv_len[b.r];
    const int32_t *list = a->keys.kv_index + a->keys.kv_off[b.r];
    load_query(a, &b, &m);
    const size_t seen = attn_first(&a->keys, len);
    for (size_t first = seen / KEY_BLOCK * KEY_BLOCK; first < len; first += KEY_BLOCK) {
        const size_t n = attn_load_rows(list, first, len, row);
        const size_t skip = seen > first ? seen - first : 0;
        slopes(a, &b, &m, row, n);
        sync_block();
        for (size_t i = thread_index(); i < b.heads * D; i += ATTN_THREADS) {
            const float *ds = m.ds + i / D * KEY_BLOCK, *k = a->k + b.g * D + i % D;
            float acc = m.dq[i];
            UNROLL
            for (size_t j = skip; j < n; j++) {
                acc = fmaf(ds[j], k[row[j] * a->ldkv], acc);
            }
            m.dq[i] = acc;
        }
        sync_block();
    }
    for (size_t i = thread_index(); i < b.heads * D; i += ATTN_THREADS) {
        a->dq[b.r * a->lddq + b.h * D + i] = m.dq[i];
    }
}

// ---- dk, dv
DEVICE bool row_sees(const struct back_args *a, size_t r, int32_t j)
{
    const size_t len = (size_t)a->keys.kv_len[r];
    return (size_t)j < len && (size_t)j >= attn_first(&a->keys, len);
}

struct dkv_memory {
    float *k, *v, *dk, *dv;    // (D)
    float *p, *ds;             // (QUERIES)
};

// Queries first..first+63 of a run, numbered row by row, head by head, against key j of its list.
DEVICE void key_queries(const struct back_args *a, const struct dkv_memory *m, size_t g,
                        const struct run *run, int32_t j, size_t first)
{
    const size_t D = a->n.D, half = thread_index() / LANES, lane = thread_index() % LANES;
    const size_t all = (size_t)(run->end - run->first) * a->n.share;
    for (size_t i = half; i < QUERIES; i += ATTN_HALVES) {
        const size_t at = first + i < all ? first + i : all - 1;
        const size_t r = (size_t)run->first + at / a->n.share, h = g * a->n.share + at % a->n.share;
        const bool sees = first + i < all && row_sees(a, r, j);
        // Both halves of a warp meet in the sums, so neither may skip them.
        float s = lane_dot(a->q + r * a->ldq + h * D, m->k, sees ? D : 0, lane);
        float dp = lane_dot(a->dout + r * a->ldo + h * D, m->v, sees ? D : 0, lane);
        s = lanes_sum(s) * a->scale;
        dp = lanes_sum(dp);
        if (lane == 0) {
            float p = sees ? exp_f32(s - a->lse[r * a->n.H + h]) : 0.0f;
            m->p[i] = p;
            m->ds[i] = sees ? p * (dp - a->delta[r * a->n.H + h]) * a->scale : 0.0f;
        }
    }
    sync_block();
    const size_t n = all - first < QUERIES ? all - first : QUERIES;
    for (size_t e = thread_index(); e < 2 * D; e += ATTN_THREADS) {
        const bool is_k = e < D;
        const float *coef = is_k ? m->ds : m->p, *from = is_k ? a->q : a->dout;
        const size_t ld = is_k ? a->ldq : a->ldo, d = is_k ? e : e - D;
        float *to = is_k ? m->dk + d : m->dv + d, acc = *to;
        for (size_t i = 0; i < n; i++) {
            const size_t r = (size_t)run->first + (first + i) / a->n.share;
            const size_t h = g * a->n.share + (first + i) % a->n.share;
            acc = fmaf(coef[i], from[r * ld + h * D + d], acc);
        }
        *to = acc;
    }
    sync_block();
}

// Whether any row of queries first..first+63 sees key j. The same answer for all threads.
DEVICE bool any_sees(const struct back_args *a, const struct run *run, int32_t j, size_t first,
                     int *flag)
{
    const size_t r = (size_t)run->first + first / a->n.share + thread_index();
    const size_t last = (size_t)run->first + (first + QUERIES - 1) / a->n.share;
    if (thread_index() == 0) {
        *flag = 0;
    }
    sync_block();
    if (r <= last && r < (size_t)run->end && row_sees(a, r, j)) {
        *flag = 1;
    }
    sync_block();
    const bool any = *flag != 0;
    sync_block();
    return any;
}

// A run in which the row was found at position j of the list.
DEVICE void key_in_run(const struct back_args *a, const struct dkv_memory *m, size_t g,
                       const struct run *run, int32_t j, int *flag)
{
    const size_t all = (size_t)(run->end - run->first) * a->n.share;
    for (size_t first = 0; first < all; first += QUERIES) {
        if (any_sees(a, run, j, first, flag)) {
            key_queries(a, m, g, run, j, first);
        }
    }
}

// Searches one run's list for the row, ATTN_THREADS positions at a time.
DEVICE void key_in_list(const struct back_args *a, const struct dkv_memory *m, size_t g,
                        const struct run *run, int32_t row, int *flag)
{
    const int32_t *list = a->keys.kv_index + a->keys.kv_off[run->first];
    for (int32_t from = 0; from < run->longest; from += ATTN_THREADS) {
        const int32_t j = from + (int32_t)thread_index();
        if (thread_index() == 0) {
            *flag = 0;
        }
        sync_block();
        if (j < run->longest && list[j] == row) {
            *flag = 1;
        }
        sync_block();
        const bool any = *flag != 0;
        sync_block();
        for (int32_t k = from; any && k < from + ATTN_THREADS && k < run->longest; k++) {
            if (list[k] == row) {
                key_in_run(a, m, g, run, k, flag);
            }
        }
    }
}

DEVICE void key_row(const struct back_args *a, const struct dkv_memory *m, size_t g, int32_t row,
                    bool *near, int *flag)
{
    const int32_t n = a->runs->n;
    for (int32_t first = 0; first < n; first += ATTN_THREADS) {
        const int32_t own = first + (int32_t)thread_index();
        near[thread_index()] = own < n && a->run[own].low <= row && row <= a->run[own].high;
        sync_block();
        for (int32_t i = 0; i < ATTN_THREADS; i++) {
            if (near[i]) {
                const struct run run = a->run[first + i];
                key_in_list(a, m, g, &run, row, flag);
            }
        }
        sync_block();
    }
}

KERNEL(attention_dkv, struct back_args, ATTN_THREADS)
{
    SHARED bool near[ATTN_THREADS];
    SHARED int flag;
    const size_t D = a->n.D, tid = thread_index();
    struct dkv_memory m;
    m.k = shared_memory();
    m.v = m.k + D;
    m.dk = m.v + D;
    m.dv = m.dk + D;
    m.p = m.dv + D;
    m.ds = m.p + QUERIES;
    const size_t all = (size_t)a->runs->rows * a->n.G;
    for (size_t b = block_index(); b < all; b += block_count()) {
        const size_t row = b / a->n.G, g = b % a->n.G;
        for (size_t i = tid; i < D; i += ATTN_THREADS) {
            m.k[i] = a->k[row * a->ldkv + g * D + i];
            m.v[i] = a->v[row * a->ldkv + g * D + i];
            m.dk[i] = a->dk[row * a->lddkv + g * D + i];
            m.dv[i] = a->dv[row * a->lddkv + g * D + i];
        }
        sync_block();
        key_row(a, &m, g, (int32_t)row, near, &flag);
        for (size_t i = tid; i < D; i += ATTN_THREADS) {
            a->dk[row * a->lddkv + g * D + i] = m.dk[i];
            a->dv[row * a->lddkv + g * D + i] = m.dv[i];
        }
        sync_block();
    }
}

void cuda_attention_backward(struct device *d, size_t R, size_t H, size_t G, size_t D, float scale,
                             const float *q, size_t ldq, const float *k, const float *v,
                             size_t ldkv, const struct attn_keys *keys, const float *out,
                             const float *dout, size_t ldo, const float *lse, float *dq,
                             size_t lddq, float *dk, float *dv, size_t lddkv)
{
    struct cuda_device *c = cuda_of(d);
    if (R == 0) {
        return;
    }
    char *at = (char *)cuda_scratch(c, (R * (H + 6) + 64) * 4 + 3 * 256);
    struct back_args a = {attn_shape(H, G, D),
                          R,
                          ldq,
                          ldkv,
                          ldo,
                          lddq,
                          lddkv,
                          scale,
                          q,
                          k,
                          v,
                          out,
                          dout,
                          lse,
                          *keys,
                          dq,
                          dk,
                          dv,
                          NULL,
                          NULL,
                          NULL};
    a.delta = (float *)cuda_piece(&at, R * H * sizeof(float));
    a.runs = (struct runs *)cuda_piece(&at, sizeof *a.runs);
    a.run = (struct run *)cuda_piece(&at, R * sizeof *a.run);
    size_t dq_floats = a.n.most * (3 * D + KEY_BLOCK + 1), dkv_floats = 4 * D + 2 * QUERIES;
    LAUNCH(c, list_runs, 1, RUN_THREADS, 0, a);
    LAUNCH(c, attention_dq, R * G * a.n.parts, ATTN_THREADS, dq_floats * sizeof(float), a);
    LAUNCH(c, attention_dkv, c->multiprocessors * 16, ATTN_THREADS, dkv_floats * sizeof(float), a);
}
