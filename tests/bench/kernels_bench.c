// kernels_bench: speed of the kernels at the shapes of SmolLM2-135M (hidden 576, feed-forward 1536,
// key/value 192, vocabulary 49152).
//
//     kernels_bench [DEVICE ...] [-t THREADS] [-o gemm|gemm_dw|attention|rest|wake]
// Default: cpu-avx2 and cpu-avx512, one thread, all ops.
//
// wake: how long the pool takes from the posting of work until all its threads run, with threads
// that still look for work and with threads that sleep. A pass posts once for most ops of each layer.
//
// Prints GFLOP/s (a fused multiply-add is two) and, for products with few rows, GB/s of weights.
// Each figure is the best of several short runs, and with one thread the clock is that thread's
// processor time, so that neighbours on the same cores spoil it less.

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/rng.h"
#include "kernels/device.h"

enum { HIDDEN = 576, FFN = 1536, KV = 192, VOCAB = 49152, RUNS = 7 };

struct shape {
    const char *name;
    size_t N, K;
};

static const struct shape shapes[] = {
    {"q, o", HIDDEN, HIDDEN}, {"k, v", KV, HIDDEN},    {"gate, up", FFN, HIDDEN},
    {"down", HIDDEN, FFN},    {"head", VOCAB, HIDDEN},
};
static const size_t rows[] = {1, 8, 64, 512};

static bool wall_clock;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(wall_clock ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Ops may only be queued: what is timed ends with a read of the result.
static void finish(struct device *d, const void *result)
{
    float first;
    d->ops->download(d, &first, result, sizeof first);
}

static void *alloc(struct device *d, size_t bytes)
{
    void *p = NULL;
    CHECK(d->ops->alloc(d, bytes, &p, NULL) == ERR_OK);
    return p;
}

static float *random_floats(struct device *d, size_t n)
{
    float *p = alloc(d, n * sizeof *p), *host = malloc(n * sizeof *host);
    CHECK(host != NULL);
    struct rng r = rng_make(n, 1);
    for (size_t i = 0; i < n; i++) {
        host[i] = (float)rng_f64(&r) - 0.5f;
    }
    d->ops->upload(d, p, host, n * sizeof *p);
    free(host);
    return p;
}

// Packed weights; their memory must have been written, or all pages would be one page of zeros.
static void *random_weights(struct device *d, size_t N, size_t K)
{
    uint16_t *host = malloc(N * K * sizeof *host);
    CHECK(host != NULL);
    struct rng r = rng_make(N, 2);
    for (size_t i = 0; i < N * K; i++) {
        host[i] = bf16_from_f32((float)rng_f64(&r) - 0.5f);
    }
    void *p = alloc(d, d->ops->packed_bytes(DTYPE_BF16, N, K));
    d->ops->pack(d, DTYPE_BF16, N, K, host, p);
    free(host);
    return p;
}

struct job {
    struct device *d;
    const struct shape *s;
    size_t R;
    float *x, *y, *dw;
    void *w;
};

typedef void job_fn(const struct job *j);

static void run_gemm(const struct job *j)
{
    j->d->ops->gemm(j->d, DTYPE_BF16, GEMM_SET, j->R, j->s->N, j->s->K, j->x, j->s->K, j->w, j->y,
                    j->s->N);
}

static void run_dw(const struct job *j)
{
    j->d->ops->gemm_dw(j->d, j->R, j->s->N, j->s->K, j->y, j->s->N, j->x, j->s->K, j->dw);
}

// Seconds of one call: the best of RUNS batches of some milliseconds.
static double best(job_fn *fn, const struct job *j, double expected)
{
    int repeat = expected > 4e-3 ? 1 : (int)(4e-3 / expected) + 1;
    double least = 1e9;
    for (int i = 0; i < RUNS; i++) {
        uint64_t from = now_ns();
        for (int k = 0; k < repeat; k++) {
            fn(j);
        }
        finish(j->d, j->y);
        double s = (double)(now_ns() - from) * 1e-9 / repeat;
        least = s < least ? s : least;
    }
    return least;
}

static void bench_products(struct device *d, const char *kind, bool dw)
{
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        const struct shape *s = &shapes[i];
        struct job j = {.d = d, .s = s};
        j.x = random_floats(d, rows[3] * s->K);
        j.y = random_floats(d, rows[3] * s->N);
        j.dw = dw ? random_floats(d, s->N * s->K) : NULL;
        j.w = random_weights(d, s->N, s->K);
        for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
            j.R = rows[r];
            double flop = 2.0 * (double)(j.R * s->N * s->K);
            double sec = best(dw ? run_dw : run_gemm, &j, flop / 60e9);
            printf("%-12s %-8s %-9s N %5zu K %4zu R %3zu  %7.1f GFLOP/s", kind,
                   dw ? "gemm_dw" : "gemm", s->name, s->N, s->K, j.R, flop / sec * 1e-9);
            if (!dw && j.R <= 8) {
                printf("  %6.1f GB/s", 2.0 * (double)(s->N * s->K) / sec * 1e-9);
            }
            printf("\n");
        }
        void *all[] = {j.x, j.y, j.dw, j.w};
        for (size_t k = 0; k < ARRAY_LEN(all); k++) {
            d->ops->release(d, all[k]);
        }
    }
}

// ---- attention
struct attn_job {
    struct device *d;
    size_t T;
    struct attn_keys keys;
    float *q, *k, *v, *out, *lse, *dq, *dk, *dv;
};

static void attn_once(const struct attn_job *a, bool backward)
{
    const struct device_ops *o = a->d->ops;
    if (!backward) {
        o->attention(a->d, a->T, 9, 3, 64, 0.125f, a->q, HIDDEN, a->k, a->v, KV, &a->keys, a->out,
                     HIDDEN, a->lse);
    } else {
        o->attention_backward(a->d, a->T, 9, 3, 64, 0.125f, a->q, HIDDEN, a->k, a->v, KV, &a->keys,
                              a->out, a->q, HIDDEN, a->lse, a->dq, HIDDEN, a->dk, a->dv, KV);
    }
}

// One causal sequence of 512: 4 (forward) and 10 (backward) operations per pair and element.
static void bench_attention(struct device *d, const char *kind)
{
    struct attn_job a = {.d = d, .T = 512};
    int32_t *index = alloc(d, a.T * 4), *off = alloc(d, a.T * 4), *len = alloc(d, a.T * 4);
    int32_t host[512] = {0};
    for (size_t i = 0; i < a.T; i++) {
        host[i] = (int32_t)i;
    }
    d->ops->upload(d, index, host, sizeof host);
    for (size_t i = 0; i < a.T; i++) {
        host[i]++;
    }
    d->ops->upload(d, len, host, sizeof host);
    a.keys = (struct attn_keys){index, off, len, 0};
    a.q = random_floats(d, a.T * HIDDEN);
    a.k = random_floats(d, a.T * KV);
    a.v = random_floats(d, a.T * KV);
    a.out = random_floats(d, a.T * HIDDEN);
    a.lse = random_floats(d, a.T * 9);
    a.dq = random_floats(d, a.T * HIDDEN);
    a.dk = random_floats(d, a.T * KV);
    a.dv = random_floats(d, a.T * KV);
    for (int backward = 0; backward < 2; backward++) {
        double least = 1e9;
        for (int i = 0; i < RUNS; i++) {
            uint64_t from = now_ns();
            attn_once(&a, backward != 0);
            finish(d, a.out);
            double s = (double)(now_ns() - from) * 1e-9;
            least = s < least ? s : least;
        }
        double flop = (backward ? 10.0 : 4.0) * 9 * 64 * (double)(a.T * (a.T + 1) / 2);
        printf("%-12s %-18s T %zu  %7.2f ms %7.1f GFLOP/s\n", kind,
               backward ? "attention_backward" : "attention", a.T, least * 1e3,
               flop / least * 1e-9);
    }
    void *all[] = {index, off, len, a.q, a.k, a.v, a.out, a.lse, a.dq, a.dk, a.dv};
    for (size_t k = 0; k < ARRAY_LEN(all); k++) {
        d->ops->release(d, all[k]);
    }
}

// ---- the memory-bound ops
static void report(const char *kind, const char *what, double seconds)
{
    printf("%-12s %-28s %9.3f ms\n", kind, what, seconds * 1e3);
}

#define TIME(d_kind, what, call)                                                                   \
    do {                                                                                           \
        double least = 1e9;                                                                        \
        for (int i_ = 0; i_ < RUNS; i_++) {                                                        \
            uint64_t from_ = now_ns();                                                             \
            call;                                                                                  \
            finish(d, y);                                                                          \
            double s_ = (double)(now_ns() - from_) * 1e-9;                                         \
            least = s_ < least ? s_ : least;                                                       \
        }                                                                                          \
        report(d_kind, what, least);                                                               \
    } while (0)

static void bench_rest(struct device *d, const char *kind)
{
    enum { R = 64 };
    const struct device_ops *o = d->ops;
    float *logits = random_floats(d, (size_t)R * VOCAB), *w = random_floats(d, (size_t)VOCAB * 64);
    void *packed = alloc(d, o->packed_bytes(DTYPE_BF16, FFN, HIDDEN));
    uint16_t *host = calloc(FFN * HIDDEN, sizeof *host);
    CHECK(host != NULL);
    float *x = random_floats(d, 512 * FFN), *y = random_floats(d, 512 * FFN);
    struct sample_spec spec[R];
    struct sample_out out[R];
    int32_t target[R];
    float logp[R], entropy[R], lse[R];
    for (size_t i = 0; i < R; i++) {
        spec[i] = (struct sample_spec){.temperature = 1.0f, .top_p = 1.0f, .target = -1, .u = 0.5f};
        target[i] = (int32_t)i;
    }
    TIME(kind, "sample, 8 rows", o->sample(d, 8, VOCAB, logits, VOCAB, spec, out));
    spec[0].top_p = 0.9f;
    spec[0].top_k = 50;
    TIME(kind, "sample top-k top-p, 1 row", o->sample(d, 1, VOCAB, logits, VOCAB, spec, out));
    spec[0] = spec[1];
    spec[0].min_p = 0.1f;
    TIME(kind, "sample min-p, 1 row", o->sample(d, 1, VOCAB, logits, VOCAB, spec, out));
    TIME(kind, "score, 64 rows",
         o->score(d, R, VOCAB, logits, VOCAB, 1.0f, target, logp, entropy, lse));
    TIME(kind, "score_backward, 64 rows",
         o->score_backward(d, R, VOCAB, logits, VOCAB, 1.0f, target, lse, logp));
    TIME(kind, "rmsnorm 512 x 576",
         o->rmsnorm(d, 512, HIDDEN, x, HIDDEN, w, 1e-5f, y, HIDDEN, NULL));
    TIME(kind, "swiglu 512 x 1536", o->swiglu(d, 512, FFN, x, y, FFN, y, FFN));
    TIME(kind, "pack 1536 x 576 bf16", o->pack(d, DTYPE_BF16, FFN, HIDDEN, host, packed));
    TIME(kind, "transpose 1536 x 576 bf16", o->transpose(d, DTYPE_BF16, FFN, HIDDEN, packed, y));
    struct adamw a = {1e-5f, 0.9f, 0.95f, 1e-8f, 0.0f, 0.1f, 0.05f, 1.0f};
    size_t n = (size_t)VOCAB * 16;
    TIME(kind, "adamw, 0.79 M elements",
         o->adamw(d, n, &a, w, w + n, w + 2 * n, w + 3 * n, DTYPE_BF16, logits));
    TIME(kind, "sum_squares, 3.1 M elements", (void)o->sum_squares(d, 4 * n, w));
    free(host);
    void *all[] = {logits, w, packed, x, y};
    for (size_t k = 0; k < ARRAY_LEN(all); k++) {
        o->release(d, all[k]);
    }
}

// ---- the pool
struct roll_call {
    int n_threads;
    atomic_int here;
    atomic_uint_fast64_t all_here_ns;
};

// Nobody leaves before all have come, so that every thread takes one chunk.
static void arrive(void *arg, size_t chunk, int thread)
{
    struct roll_call *c = arg;
    (void)chunk;
    (void)thread;
    if (atomic_fetch_add(&c->here, 1) + 1 == c->n_threads) {
        atomic_store(&c->all_here_ns, clock_mono_ns());
    }
    while (atomic_load(&c->here) < c->n_threads) {
        sched_yield();
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void wake_once(struct pool *p, int threads, const char *state, useconds_t rest_us)
{
    enum { CALLS = 2000 };
    static double us[CALLS];
    for (int i = 0; i < CALLS; i++) {
        struct roll_call c = {.n_threads = threads};
        if (rest_us) {
            usleep(rest_us);
        }
        uint64_t from = clock_mono_ns();
        pool_run(p, (size_t)threads, arrive, &c);
        us[i] = 1e-3 * (double)(atomic_load(&c.all_here_ns) - from);
    }
    qsort(us, CALLS, sizeof *us, by_size);
    printf("pool         %-28s %9.1f us  (least %.1f, 99 of 100 below %.1f)\n", state,
           us[CALLS / 2], us[0], us[CALLS * 99 / 100]);
}

static void bench_wake(int threads)
{
    struct pool *p = NULL;
    struct why why;
    if (threads < 2) {
        threads = pool_cores();
    }
    if (threads < 2 || pool_create(threads, &p, &why) != ERR_OK) {
        fprintf(stderr, "wake: at least two threads are needed\n");
        return;
    }
    char awake[64], asleep[64];
    snprintf(awake, sizeof awake, "wake, %d threads, awake", threads);
    snprintf(asleep, sizeof asleep, "wake, %d threads, asleep", threads);
    wake_once(p, threads, awake, 0);
    wake_once(p, threads, asleep, 300);
    pool_destroy(p);
}

static void bench(const char *kind, int threads, const char *op)
{
    struct pool *pool = NULL;
    struct device *d = NULL;
    struct why why;
    if (pool_create(threads, &pool, &why) != ERR_OK ||
        device_open(kind, pool, &d, &why) != ERR_OK) {
        fprintf(stderr, "%s\n", why.text);
    } else {
        if (op == NULL || strcmp(op, "gemm") == 0) {
            bench_products(d, kind, false);
        }
        if (op == NULL || strcmp(op, "gemm_dw") == 0) {
            bench_products(d, kind, true);
        }
        if (op == NULL || strcmp(op, "attention") == 0) {
            bench_attention(d, kind);
        }
        if (op == NULL || strcmp(op, "rest") == 0) {
            bench_rest(d, kind);
        }
    }
    device_close(d);
    pool_destroy(pool);
}

int main(int argc, char **argv)
{
    int threads = 1, kinds = 0;
    const char *op = NULL, *kind[8];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-t") == 0 && i + 1 < argc) {
            threads = atoi(argv[++i]);
        } else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc) {
            op = argv[++i];
        } else if (kinds < 8) {
            kind[kinds++] = argv[i];
        }
    }
    if (op == NULL || strcmp(op, "wake") == 0) {
        bench_wake(threads);
    }
    for (int i = 0; i < kinds; i++) {
        wall_clock = wall_clock || threads > 1 || strcmp(kind[i], "cuda") == 0;
    }
    if (kinds == 0) {
        kind[kinds++] = "cpu-avx2";
        kind[kinds++] = "cpu-avx512";
    }
    for (int i = 0; i < kinds; i++) {
        bench(kind[i], threads, op);
    }
    return 0;
}
