// bench_products.c: a table of ops that notes products on their way to the real one.
//
// The table is the first member of the recorder, so that an op finds its recorder from the device
// that it is called with. Products of new ops that hide a gemm inside them are to be noted here too.
#include "cli/bench_products.h"

#include <stdlib.h>

struct product {
    bool dw;    // gemm_dw: out = dw, w = dy
    enum dtype t;
    enum gemm_mode mode;
    size_t R, N, K, ldx, ld;    // ld: of out, or of dy
    const float *x;
    const void *w;
    float *out;
};

struct bench_products {
    struct device_ops ops;
    const struct device_ops *real;
    struct device *device;
    bool on;
    struct product *v;
    size_t n, cap;
};

static struct bench_products *recorder_of(const struct device *d)
{
    return (struct bench_products *)(uintptr_t)d->ops;
}

static void note(struct bench_products *p, struct product product)
{
    if (!p->on) {
        return;
    }
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 1024;
        p->v = realloc(p->v, p->cap * sizeof *p->v);
        CHECK(p->v != NULL);
    }
    p->v[p->n++] = product;
}

static void noted_gemm(struct device *d, enum dtype t, enum gemm_mode mode, size_t R, size_t N,
                       size_t K, const float *x, size_t ldx, const void *packed, float *out,
                       size_t ldo)
{
    struct bench_products *p = recorder_of(d);
    note(p, (struct product){false, t, mode, R, N, K, ldx, ldo, x, packed, out});
    p->real->gemm(d, t, mode, R, N, K, x, ldx, packed, out, ldo);
}

// Noted as the product alone, its logits written out.
static void noted_head_sample(struct device *d, enum dtype t, size_t R, size_t V, size_t C,
                              const float *x, size_t ldx, const void *packed, float *logits,
                              const struct sample_spec *spec, struct sample_out *out)
{
    struct bench_products *p = recorder_of(d);
    note(p, (struct product){false, t, GEMM_SET, R, V, C, ldx, V, x, packed, logits});
    p->real->head_sample(d, t, R, V, C, x, ldx, packed, logits, spec, out);
}

static void noted_gemm_dw(struct device *d, size_t R, size_t N, size_t K, const float *dy,
                          size_t ldy, const float *x, size_t ldx, float *dw)
{
    struct bench_products *p = recorder_of(d);
    note(p, (struct product){true, DTYPE_F32, GEMM_ADD, R, N, K, ldx, ldy, x, dy, dw});
    p->real->gemm_dw(d, R, N, K, dy, ldy, x, ldx, dw);
}

enum err bench_products_attach(struct device *d, struct bench_products **out, struct why *why)
{
    struct bench_products *p = calloc(1, sizeof *p);
    if (!p) {
        return why_set(why, ERR_NOMEM, "no memory for a recorder");
    }
    p->device = d;
    p->real = d->ops;
    p->ops = *d->ops;
    p->ops.gemm = noted_gemm;
    p->ops.head_sample = noted_head_sample;
    p->ops.gemm_dw = noted_gemm_dw;
    d->ops = &p->ops;
    *out = p;
    return ERR_OK;
}

void bench_products_detach(struct bench_products *p)
{
    if (p) {
        p->device->ops = p->real;
        free(p->v);
        free(p);
    }
}

void bench_products_record(struct bench_products *p, bool on)
{
    p->n = on ? 0 : p->n;
    p->on = on;
}

size_t bench_products_count(const struct bench_products *p)
{
    return p->n;
}

double bench_products_flop(const struct bench_products *p)
{
    double flop = 0;
    for (size_t i = 0; i < p->n; i++) {
        flop += 2.0 * (double)p->v[i].R * (double)p->v[i].N * (double)p->v[i].K;
    }
    return flop;
}

struct bench_span bench_products_replay(const struct bench_products *p)
{
    struct device *d = p->device;
    struct bench_span from = bench_now();
    for (size_t i = 0; i < p->n; i++) {
        const struct product *g = &p->v[i];
        if (g->dw) {
            p->real->gemm_dw(d, g->R, g->N, g->K, g->w, g->ld, g->x, g->ldx, g->out);
        } else {
            p->real->gemm(d, g->t, g->mode, g->R, g->N, g->K, g->x, g->ldx, g->w, g->out, g->ld);
        }
    }
    return bench_since(from);
}
