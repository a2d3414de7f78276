// kit.c: see kit.h. Everything here is the plainest form of the arithmetic, so that a reader can
// check it against the formula at a glance.

#include "kit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cuda/ops.h"

const char *const kit_kinds[KIT_KINDS] = {"cpu-portable", "cpu-avx2", "cpu-avx512", "cuda-emulated",
                                          "cuda"};

static const struct device_ops *emulated_ops;    // of the last emulated device

static enum err open_kind(const char *kind, struct pool *pool, struct device **d, struct why *why)
{
    if (strcmp(kind, "cuda-emulated") != 0) {
        return device_open(kind, pool, d, why);
    }
    if (getenv("CARAVAN_SKIP_EMULATED") != NULL) {
        return ERR_UNSUPPORTED;
    }
    enum err e = cuda_open(pool, d, why);
    emulated_ops = e == ERR_OK ? (*d)->ops : NULL;
    return e;
}

struct device *kit_open(const char *kind, int threads)
{
    struct pool *pool;
    struct device *d;
    struct why why;
    assert_int_equal(pool_create(threads, &pool, &why), ERR_OK);
    enum err e = open_kind(kind, pool, &d, &why);
    if (e != ERR_OK) {
        assert_int_equal(e, ERR_UNSUPPORTED);
        pool_destroy(pool);
        return NULL;
    }
    return d;
}

void kit_close(struct device *d)
{
    struct pool *pool = d->pool;
    if (d->ops == emulated_ops) {
        cuda_close(d);
    } else {
        device_close(d);
    }
    pool_destroy(pool);
}

void kit_on_every_kind(void (*claim)(struct device *d))
{
    int seen = 0;
    for (int i = 0; i < KIT_KINDS; i++) {
        struct device *d = kit_open(kit_kinds[i], 2);
        if (d != NULL) {
            claim(d);
            kit_close(d);
            seen++;
        }
    }
    assert_true(seen > 0);
}

void *kit_alloc(struct device *d, size_t bytes)
{
    void *p = NULL;
    assert_int_equal(d->ops->alloc(d, bytes, &p, NULL), ERR_OK);
    return p;
}

float *kit_zeros(struct device *d, size_t n)
{
    return kit_alloc(d, n * sizeof(float));
}

void kit_fill(float *host, size_t n, uint64_t seed, float scale)
{
    struct rng r = rng_make(seed, 1);
    for (size_t i = 0; i < n; i++) {
        host[i] = (float)(2.0 * rng_f64(&r) - 1.0) * scale;
    }
}

float *kit_put(struct device *d, const float *host, size_t n)
{
    float *p = kit_zeros(d, n);
    d->ops->upload(d, p, host, n * sizeof *p);
    return p;
}

int32_t *kit_put_ints(struct device *d, const int32_t *host, size_t n)
{
    int32_t *p = kit_alloc(d, n * sizeof *p);
    d->ops->upload(d, p, host, n * sizeof *p);
    return p;
}

float *kit_random(struct device *d, size_t n, uint64_t seed, float scale)
{
    float *host = malloc((n + 1) * sizeof *host);
    kit_fill(host, n, seed, scale);
    float *p = kit_put(d, host, n);
    free(host);
    return p;
}

float *kit_get(struct device *d, const float *src, size_t n)
{
    float *host = malloc((n + 1) * sizeof *host);
    d->ops->download(d, host, src, n * sizeof *host);
    return host;
}

void *kit_get_bytes(struct device *d, const void *src, size_t bytes)
{
    void *host = malloc(bytes + 1);
    d->ops->download(d, host, src, bytes);
    return host;
}

double *kit_get_wide(struct device *d, const float *src, size_t n)
{
    float *host = kit_get(d, src, n);
    double *wide = kit_widen(host, n);
    free(host);
    return wide;
}

void kit_release(struct device *d, size_t n, void *const *all)
{
    for (size_t i = 0; i < n; i++) {
        d->ops->release(d, all[i]);
    }
}

size_t kit_below(uint64_t seed, uint64_t i, size_t n)
{
    return rng_philox(seed, i, 7).v[0] % n;
}

void *kit_pack(struct device *d, enum dtype t, size_t N, size_t K, const float *w, float *rounded)
{
    uint16_t *h = malloc(N * K * sizeof *h + 2);
    for (size_t i = 0; i < N * K; i++) {
        h[i] = bf16_from_f32(w[i]);
        if (rounded != NULL) {
            rounded[i] = t == DTYPE_BF16 ? bf16_to_f32(h[i]) : w[i];
        }
    }
    const void *src = t == DTYPE_BF16 ? (const void *)h : (const void *)w;
    void *p = kit_alloc(d, d->ops->packed_bytes(t, N, K));
    d->ops->pack(d, t, N, K, src, p);
    free(h);
    return p;
}

void *kit_pack_transposed(struct device *d, enum dtype t, size_t N, size_t K, const float *w)
{
    void *packed = kit_pack(d, t, N, K, w, NULL);
    void *p = kit_alloc(d, d->ops->packed_bytes(t, K, N));
    d->ops->transpose(d, t, N, K, packed, p);
    d->ops->release(d, packed);
    return p;
}

void kit_close_to(const char *what, size_t n, const float *got, const double *want, double tol,
                  double scale)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - want[i]) <= tol * (fabs(want[i]) + scale))) {
            fail_msg("%s[%zu] = %.9g, expected %.9g", what, i, (double)got[i], want[i]);
        }
    }
}

void kit_same_bits(const char *what, size_t n, const float *a, const float *b)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof *a) != 0) {
            fail_msg("%s[%zu] = %a on one side, %a on the other", what, i, (double)a[i],
                     (double)b[i]);
        }
    }
}

void kit_close_on(struct device *d, const char *what, size_t n, const float *got,
                  const double *want, double tol, double scale)
{
    float *host = kit_get(d, got, n);
    kit_close_to(what, n, host, want, tol, scale);
    free(host);
}

void kit_same_on(struct device *d, const char *what, size_t n, const float *a, const float *b)
{
    float *x = kit_get(d, a, n), *y = kit_get(d, b, n);
    kit_same_bits(what, n, x, y);
    free(x);
    free(y);
}

double *kit_widen(const float *x, size_t n)
{
    double *w = malloc((n + 1) * sizeof *w);
    for (size_t i = 0; i < n; i++) {
        w[i] = (double)x[i];
    }
    return w;
}

static double dot(const double *x, const double *y, size_t n)
{
    double s = 0.0;
    for (size_t i = 0; i < n; i++) {
        s += x[i] * y[i];
    }
    return s;
}

static int32_t first_key(const struct kit_attention *a, size_t r)
{
    return a->window > 0 && a->len[r] > a->window ? a->len[r] - a->window : 0;
}

void kit_attention(const struct kit_attention *a, double *out, double *lse)
{
    for (size_t r = 0; r < a->R; r++) {
        for (size_t h = 0; h < a->H; h++) {
            size_t g = h / (a->H / a->G), at = (r * a->H + h) * a->D;
            const int32_t *list = a->index + a->off[r];
            double sum = 0.0;
            memset(out + at, 0, a->D * sizeof *out);
            for (int32_t j = first_key(a, r); j < a->len[r]; j++) {
                size_t key = ((size_t)list[j] * a->G + g) * a->D;
                double p = exp(a->scale * dot(a->q + at, a->k + key, a->D));
                sum += p;
                for (size_t i = 0; i < a->D; i++) {
                    out[at + i] += p * a->v[key + i];
                }
            }
            for (size_t i = 0; i < a->D; i++) {
                out[at + i] /= sum;
            }
            lse[r * a->H + h] = log(sum);
        }
    }
}

void kit_attention_backward(const struct kit_attention *a, const double *out, const double *lse,
                            const double *dout, double *dq, double *dk, double *dv)
{
    memset(dq, 0, a->R * a->H * a->D * sizeof *dq);
    for (size_t r = 0; r < a->R; r++) {
        for (size_t h = 0; h < a->H; h++) {
            size_t g = h / (a->H / a->G), at = (r * a->H + h) * a->D;
            const int32_t *list = a->index + a->off[r];
            double delta = dot(dout + at, out + at, a->D);
            for (int32_t j = first_key(a, r); j < a->len[r]; j++) {
                size_t key = ((size_t)list[j] * a->G + g) * a->D;
                double s = a->scale * dot(a->q + at, a->k + key, a->D);
                double p = exp(s - lse[r * a->H + h]);
                double ds = p * (dot(dout + at, a->v + key, a->D) - delta) * a->scale;
                for (size_t i = 0; i < a->D; i++) {
                    dq[at + i] += ds * a->k[key + i];
                    dk[key + i] += ds * a->q[at + i];
                    dv[key + i] += p * dout[at + i];
                }
            }
        }
    }
}

void kit_rope_table(size_t positions, size_t D, float *table)
{
    for (size_t i = 0; i < positions * D / 2; i++) {
        double angle =
            (double)(i / (D / 2)) * pow(10000.0, -2.0 * (double)(i % (D / 2)) / (double)D);
        table[2 * i] = (float)cos(angle);
        table[2 * i + 1] = (float)sin(angle);
    }
}
