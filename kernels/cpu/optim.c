// optim.c: the optimiser's element-wise work: the gradient's norm and AdamW.
//
// AdamW (Loshchilov & Hutter 2019), in the order of operations common to the frameworks:
//     g = grad * grad_scale;  p = p * (1 - lr wd);  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//     p = p - (lr / bias1) * m / (sqrt(v) / sqrt(bias2) + eps)
// It is bound by memory (four arrays read, three or four written), so it is cut into pieces of 64
// Ki elements for all threads and done in one pass, the rounded copy for publication included.

#include "kernels/cpu/ops.h"
#include "kernels/cpu/vec.h"

enum { SUM_BLOCK = 4096, ADAMW_BLOCK = 65536 };

struct sum_args {
    size_t n;
    const float *x;
    double *partials;
};

static void sum_task(void *arg, size_t block, int thread)
{
    (void)thread;
    const struct sum_args *a = arg;
    size_t first = block * SUM_BLOCK, n = MIN(a->n - first, (size_t)SUM_BLOCK);
    const float *x = a->x + first;
    v16 acc = v16_zero();
    for (size_t i = 0; i < n; i += LANES) {
        v16 v = v16_load_n(x + i, MIN(n - i, (size_t)LANES));
        acc = v16_fma(v, v, acc);
    }
    a->partials[block] = (double)v16_sum(acc);
}

double OP(sum_squares)(struct device *d, size_t n, const float *x)
{
    double sum = 0.0;
    const size_t pass = (size_t)PARTIALS_MAX * SUM_BLOCK;
    for (size_t i = 0; i < n; i += pass) {
        struct sum_args a = {MIN(n - i, pass), x + i, ((struct cpu_device *)d)->partials};
        size_t blocks = cpu_div_up(a.n, SUM_BLOCK);
        cpu_run(d, blocks, sum_task, &a);
        for (size_t b = 0; b < blocks; b++) {
            sum += a.partials[b];
        }
    }
    return sum;
}

struct adamw_args {
    size_t n;
    const struct adamw *a;
    float *p, *m, *v;
    const float *grad;
    enum dtype t;
    char *rounded;
};

static void round_to_bf16(char *to, const float *p, size_t n)
{
    uint16_t h[LANES];
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, p + i, sizeof u);
        uint32_t even = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
        h[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : even);
    }
    memcpy(to, h, n * sizeof *h);
}

static void adamw_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    const struct adamw_args *s = arg;
    const struct adamw *a = s->a;
    const v16 scale = v16_set1(a->grad_scale), decay = v16_set1(1.0f - a->lr * a->weight_decay);
    const v16 b1 = v16_set1(a->beta1), c1 = v16_set1(1.0f - a->beta1);
    const v16 b2 = v16_set1(a->beta2), c2 = v16_set1(1.0f - a->beta2);
    const v16 rate = v16_set1(a->lr / a->bias1), root2 = v16_set1(sqrtf(a->bias2));
    const v16 eps = v16_set1(a->eps);
    size_t end = MIN(s->n, (chunk + 1) * ADAMW_BLOCK);
    for (size_t i = chunk * ADAMW_BLOCK; i < end; i += LANES) {
        size_t n = MIN(end - i, (size_t)LANES);
        v16 g = v16_mul(v16_load_n(s->grad + i, n), scale);
        v16 m = v16_fma(v16_load_n(s->m + i, n), b1, v16_mul(c1, g));
        v16 v = v16_fma(v16_load_n(s->v + i, n), b2, v16_mul(v16_mul(c2, g), g));
        v16 bottom = v16_add(v16_div(v16_sqrt(v), root2), eps);
        v16 p = v16_mul(v16_load_n(s->p + i, n), decay);
        p = v16_fnma(rate, v16_div(m, bottom), p);
        v16_store_n(s->m + i, m, n);
        v16_store_n(s->v + i, v, n);
        v16_store_n(s->p + i, p, n);
        if (s->rounded != NULL && s->t == DTYPE_BF16) {
            round_to_bf16(s->rounded + i * sizeof(uint16_t), s->p + i, n);
        } else if (s->rounded != NULL) {
            memcpy(s->rounded + i * sizeof(float), s->p + i, n * sizeof(float));
        }
    }
}

void OP(adamw)(struct device *d, size_t n, const struct adamw *a, float *p, float *m, float *v,
               const float *grad, enum dtype t, void *rounded)
{
    struct adamw_args s = {n, a, p, m, v, grad, t, rounded};
    cpu_run(d, cpu_div_up(n, ADAMW_BLOCK), adamw_task, &s);
}
