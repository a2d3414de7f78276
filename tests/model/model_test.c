// Tests of weights, forward and backward against the naive model of tiny.h, and of what makes
// log-probs comparable: the same bits alone, packed, chunked, paged, and on any number of threads.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "model/rope.h"
#include "tests/model/tiny.h"

enum { CONTEXT = 256 };

static struct device *open_device(struct pool *pool)
{
    struct device *d = NULL;
    struct why why = {""};
    if (device_open("cpu", pool, &d, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return d;
}

static struct model *make_model(struct device *d, const struct model_config *c, size_t train_rows)
{
    const struct model_limits l = {.max_rows = 512,
                                   .max_index = 4096,
                                   .max_outs = 512,
                                   .train_rows = train_rows,
                                   .max_context = CONTEXT};
    struct model *m = NULL;
    struct why why = {""};
    assert_int_equal(model_create(d, c, &l, &m, &why), ERR_OK);
    return m;
}

// ---- a training problem: groups of tokens and one coefficient per out ----

enum { MAX_OUTS = 256 };

struct problem {
    uint32_t prompt[2][CONTEXT];
    uint32_t comp[2][2][CONTEXT];
    size_t n_prompt[2], n_comp[2][2];
    size_t n_groups;
    double coef[MAX_OUTS];    // L = sum coef * logp, in batch order
    double temperature;
};

static void small_problem(struct problem *p, const struct tiny *t)
{
    *p = (struct problem){
        .n_groups = 2, .n_prompt = {5, 3}, .n_comp = {{4, 3}, {6, 1}}, .temperature = 0.7f};
    struct rng r = rng_make(5, 5);
    for (size_t g = 0; g < 2; g++) {
        tiny_tokens(t, 100 + g, p->prompt[g], p->n_prompt[g]);
        for (size_t i = 0; i < 2; i++) {
            tiny_tokens(t, 200 + 2 * g + i, p->comp[g][i], p->n_comp[g][i]);
        }
    }
    for (size_t i = 0; i < MAX_OUTS; i++) {
        p->coef[i] = (double)(float)(2 * rng_f64(&r) - 1);
    }
}

static void pack_problem(const struct problem *p, struct batch *b)
{
    batch_init(b);
    for (size_t g = 0; g < p->n_groups; g++) {
        const struct batch_completion c[] = {{p->comp[g][0], p->n_comp[g][0]},
                                             {p->comp[g][1], p->n_comp[g][1]}};
        assert_int_equal(batch_add_group(b, p->prompt[g], p->n_prompt[g], c, 2), ERR_OK);
    }
}

// Log-probs (and entropies) of all outs in batch order by the naive model, each completion in a
// sequence of its own.
static size_t naive_scores(const struct problem *p, const struct tiny *t, const double *params,
                           double *logp, double *entropy)
{
    size_t V = (size_t)t->config.vocab, out = 0;
    double *logits = calloc(CONTEXT * V, sizeof *logits);
    assert_non_null(logits);
    for (size_t g = 0; g < p->n_groups; g++) {
        for (size_t i = 0; i < 2; i++) {
            uint32_t seq[2 * CONTEXT];
            size_t P = p->n_prompt[g], n = P + p->n_comp[g][i];
            assert_true(n <= CONTEXT);
            memcpy(seq, p->prompt[g], P * sizeof *seq);
            memcpy(seq + P, p->comp[g][i], p->n_comp[g][i] * sizeof *seq);
            naive_logits(&t->config, &t->params, params, seq, n, logits);
            for (size_t j = P; j < n; j++, out++) {
                logp[out] = naive_logp(logits + (j - 1) * V, V, p->temperature, seq[j],
                                       entropy != NULL ? &entropy[out] : NULL);
            }
        }
    }
    free(logits);
    return out;
}

static double naive_loss(const struct problem *p, const struct tiny *t, const double *params)
{
    double logp[MAX_OUTS], sum = 0;
    size_t n = naive_scores(p, t, params, logp, NULL);
    for (size_t i = 0; i < n; i++) {
        sum += p->coef[i] * logp[i];
    }
    return sum;
}

static void fixed_coefficients(void *arg, size_t first, size_t n, const float *logp,
                               const float *entropy, float *coef)
{
    (void)logp;
    (void)entropy;
    const struct problem *p = arg;
    for (size_t i = 0; i < n; i++) {
        coef[i] = (float)p->coef[first + i];
    }
}

// Gradients of the problem by model_train, downloaded (free()).
static float *train(struct device *d, const struct tiny *t, struct problem *p)
{
    struct why why = {""};
    struct weights *w = tiny_weights(t, d, true);
    struct model *m = make_model(d, &t->config, 256);
    struct batch b;
    pack_problem(p, &b);
    size_t bytes = t->params.total * sizeof(float);
    void *grads = NULL;
    float *host = malloc(bytes);
    assert_non_null(host);
    assert_int_equal(d->ops->alloc(d, bytes, &grads, &why), ERR_OK);
    enum err e =
        model_train(m, w, &b, (float)p->temperature, fixed_coefficients, p, grads, NULL, &why);
    if (e != ERR_OK) {
        fail_msg("%s", why.text);
    }
    d->ops->download(d, host, grads, bytes);
    d->ops->release(d, grads);
    batch_fini(&b);
    model_destroy(m);
    weights_destroy(w);
    return host;
}

static void assert_close(double got, double want, double tolerance, const char *what, size_t i)
{
    if (!(fabs(got - want) <= tolerance)) {
        fail_msg("%s[%zu]: %.9g, expected %.9g", what, i, got, want);
    }
}

// ---- forward ----

static void check_forward(bool tied, enum dtype dt)
{
    struct tiny t;
    struct problem p;
    struct batch b;
    struct why why = {""};
    tiny_init(&t, tied, dt, 1);
    small_problem(&p, &t);
    pack_problem(&p, &b);
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d, false);
    struct model *m = make_model(d, &t.config, 0);
    float logp[MAX_OUTS], entropy[MAX_OUTS];
    double want[MAX_OUTS], want_entropy[MAX_OUTS];
    assert_int_equal(model_score(m, w, &b, (float)p.temperature, logp, entropy, NULL, &why),
                     ERR_OK);
    assert_int_equal(naive_scores(&p, &t, t.rounded, want, want_entropy), b.n_out);
    for (size_t i = 0; i < b.n_out; i++) {
        assert_close((double)logp[i], want[i], 2e-5, "logp", i);
        assert_close((double)entropy[i], want_entropy[i], 2e-5, "entropy", i);
    }
    batch_fini(&b);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

static void forward_agrees_with_the_formulas(void **state)
{
    (void)state;
    check_forward(true, DTYPE_BF16);
    check_forward(false, DTYPE_BF16);
    check_forward(true, DTYPE_F32);
}

static void logits_agree_with_the_formulas_beyond_one_key_block(void **state)
{
    (void)state;
    enum { N = 150 };
    struct tiny t;
    struct why why = {""};
    uint32_t tokens[N];
    tiny_init(&t, false, DTYPE_BF16, 2);
    tiny_tokens(&t, 9, tokens, N);
    size_t V = (size_t)t.config.vocab;
    double *want = calloc(N * V, sizeof *want);
    float *got = calloc(V, sizeof *got);
    assert_true(want && got);
    naive_logits(&t.config, &t.params, t.rounded, tokens, N, want);
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d, false);
    struct model *m = make_model(d, &t.config, 0);
    struct batch b;
    batch_init(&b);
    const struct batch_completion c = {tokens + 1, N - 1};
    assert_int_equal(batch_add_group(&b, tokens, 1, &c, 1), ERR_OK);
    for (size_t i = 0; i < b.n_out; i += 37) {
        assert_int_equal(model_logits(m, w, &b, i, got, &why), ERR_OK);
        for (size_t v = 0; v < V; v++) {
            assert_close((double)got[v], want[i * V + v], 2e-5, "logit", v);
        }
    }
    assert_int_equal(model_logits(m, w, &b, b.n_out, got, &why), ERR_INVALID);
    free(want);
    free(got);
    batch_fini(&b);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

// ---- backward ----

// Central differences in double of every single parameter: nothing of the backward pass can hide
// behind a norm.
static void check_gradients(bool tied, enum dtype dt)
{
    struct tiny t;
    struct problem p;
    tiny_init(&t, tied, dt, 3);
    small_problem(&p, &t);
    struct device *d = open_device(NULL);
    float *got = train(d, &t, &p);
    double *want = calloc(t.params.total, sizeof *want);
    assert_non_null(want);
    const double h = 1e-5;
    for (size_t i = 0; i < t.params.total; i++) {
        double x = t.rounded[i];
        t.rounded[i] = x + h;
        double up = naive_loss(&p, &t, t.rounded);
        t.rounded[i] = x - h;
        want[i] = (up - naive_loss(&p, &t, t.rounded)) / (2 * h);
        t.rounded[i] = x;
    }
    for (size_t i = 0; i < t.params.n; i++) {
        const struct param *q = &t.params.params[i];
        double largest = 0;
        for (size_t j = q->offset; j < q->offset + q->count; j++) {
            largest = fmax(largest, fabs(want[j]));
        }
        assert_true(largest > 0);
        for (size_t j = q->offset; j < q->offset + q->count; j++) {
            assert_close((double)got[j], want[j], 2e-5 * largest, q->name, j - q->offset);
        }
    }
    free(want);
    free(got);
    device_close(d);
    tiny_fini(&t);
}

static void gradients_of_a_tied_model_agree_with_central_differences(void **state)
{
    (void)state;
    check_gradients(true, DTYPE_BF16);
}

static void gradients_of_an_untied_model_agree_with_central_differences(void **state)
{
    (void)state;
    check_gradients(false, DTYPE_F32);
}

// Derivatives along random directions: the same check at lengths over several key blocks and head
// chunks.
static void gradients_of_long_sequences_agree_along_directions(void **state)
{
    (void)state;
    struct tiny t;
    static struct problem p;
    tiny_init(&t, true, DTYPE_BF16, 4);
    small_problem(&p, &t);
    p.n_groups = 1;
    p.n_prompt[0] = 70;
    p.n_comp[0][0] = 100;
    p.n_comp[0][1] = 60;
    p.temperature = 1;
    tiny_tokens(&t, 31, p.prompt[0], 70);
    tiny_tokens(&t, 32, p.comp[0][0], 100);
    tiny_tokens(&t, 33, p.comp[0][1], 60);
    struct device *d = open_device(NULL);
    float *got = train(d, &t, &p);
    double *moved = calloc(t.params.total, sizeof *moved);
    double *dir = calloc(t.params.total, sizeof *dir);
    assert_true(moved && dir);
    double norm = 0;
    for (size_t i = 0; i < t.params.total; i++) {
        norm += (double)got[i] * (double)got[i];
    }
    struct rng r = rng_make(77, 0);
    const double h = 1e-6;
    for (int k = 0; k < 12; k++) {
        double dot = 0, loss[2];
        for (size_t i = 0; i < t.params.total; i++) {
            dir[i] = 2 * rng_f64(&r) - 1;
            dot += dir[i] * (double)got[i];
        }
        for (int s = 0; s < 2; s++) {
            for (size_t i = 0; i < t.params.total; i++) {
                moved[i] = t.rounded[i] + (s == 0 ? h : -h) * dir[i];
            }
            loss[s] = naive_loss(&p, &t, moved);
        }
        assert_close(dot, (loss[0] - loss[1]) / (2 * h), 2e-5 * sqrt(norm), "direction", (size_t)k);
    }
    free(moved);
    free(dir);
    free(got);
    device_close(d);
    tiny_fini(&t);
}

// Masters live elsewhere: forward and backward must both use the rounded weights, or gradient and
// loss disagree.
static void the_gradient_is_taken_at_the_rounded_weights(void **state)
{
    (void)state;
    struct tiny bf16, exact;
    struct problem p;
    tiny_init(&bf16, true, DTYPE_BF16, 3);
    tiny_init(&exact, true, DTYPE_F32, 3);    // the same masters, unrounded
    small_problem(&p, &bf16);
    struct device *d = open_device(NULL);
    float *at_rounded = train(d, &bf16, &p);
    float *at_masters = train(d, &exact, &p);
    for (size_t i = 0; i < exact.params.total;
         i++) {    // an f32 model whose masters are the rounded values
        ((float *)exact.blob)[i] = (float)bf16.rounded[i];
    }
    float *at_rounded_f32 = train(d, &exact, &p);
    size_t differ = 0;
    for (size_t i = 0; i < exact.params.total; i++) {
        assert_memory_equal(&at_rounded[i], &at_rounded_f32[i], sizeof(float));
        differ += at_rounded[i] != at_masters[i];
    }
    assert_true(differ > exact.params.total / 2);
    free(at_rounded);
    free(at_masters);
    free(at_rounded_f32);
    device_close(d);
    tiny_fini(&bf16);
    tiny_fini(&exact);
}

static void gradients_have_the_same_bits_on_one_and_two_threads(void **state)
{
    (void)state;
    struct tiny t;
    struct problem p;
    struct pool *pool = NULL;
    struct why why = {""};
    tiny_init(&t, true, DTYPE_BF16, 3);
    small_problem(&p, &t);
    assert_int_equal(pool_create(2, &pool, &why), ERR_OK);
    struct device *one = open_device(NULL), *two = open_device(pool);
    float *a = train(one, &t, &p), *b = train(two, &t, &p);
    assert_memory_equal(a, b, t.params.total * sizeof *a);
    free(a);
    free(b);
    device_close(one);
    device_close(two);
    pool_destroy(pool);
    tiny_fini(&t);
}

static void gradients_are_added_to_what_is_there(void **state)
{
    (void)state;
    struct tiny t;
    struct problem p;
    struct why why = {""};
    tiny_init(&t, true, DTYPE_BF16, 3);
    small_problem(&p, &t);
    struct device *d = open_device(NULL);
    float *once = train(d, &t, &p);
    struct weights *w = tiny_weights(&t, d, true);
    struct model *m = make_model(d, &t.config, 64);
    struct batch b;
    pack_problem(&p, &b);
    size_t bytes = t.params.total * sizeof(float);
    void *grads = NULL;
    float *twice = malloc(bytes);
    assert_non_null(twice);
    assert_int_equal(d->ops->alloc(d, bytes, &grads, &why), ERR_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(model_train(m, w, &b, 0.7f, fixed_coefficients, &p, grads, NULL, &why),
                         ERR_OK);
    }
    d->ops->download(d, twice, grads, bytes);
    for (size_t i = 0; i < t.params.total; i++) {
        assert_close((double)twice[i], 2 * (double)once[i], 1e-4 * (1 + fabs((double)once[i])),
                     "gradient", i);
    }
    atomic_bool cancel = true;
    assert_int_equal(model_train(m, w, &b, 0.7f, fixed_coefficients, &p, grads, &cancel, &why),
                     ERR_CANCELLED);
    free(once);
    free(twice);
    d->ops->release(d, grads);
    batch_fini(&b);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

// ---- bits ----

enum { PROMPT = 70, LONG = 80, SHORT = 30, CACHE = 300 };

struct texts {
    uint32_t prompt[PROMPT], comp[2][LONG];
    size_t n[2];
};

static void make_texts(const struct tiny *t, struct texts *x)
{
    *x = (struct texts){.n = {LONG, SHORT}};
    tiny_tokens(t, 61, x->prompt, PROMPT);
    tiny_tokens(t, 62, x->comp[0], LONG);
    tiny_tokens(t, 63, x->comp[1], SHORT);
}

static void score_group(struct model *m, const struct weights *w, const struct texts *x,
                        size_t first, size_t n, float *logp)
{
    struct batch b;
    struct why why = {""};
    batch_init(&b);
    const struct batch_completion c[] = {{x->comp[0], x->n[0]}, {x->comp[1], x->n[1]}};
    assert_int_equal(batch_add_group(&b, x->prompt, PROMPT, c + first, n), ERR_OK);
    assert_int_equal(model_score(m, w, &b, 0.7f, logp, NULL, NULL, &why), ERR_OK);
    batch_fini(&b);
}

// Cache rows in a shuffled order, the way pages come to lie after a while.
static void shuffled_rows(int32_t *rows, size_t n, uint64_t seed)
{
    struct rng r = rng_make(seed, 3);
    for (size_t i = 0; i < n; i++) {
        rows[i] = (int32_t)i;
    }
    for (size_t i = n; i-- > 1;) {
        size_t j = rng_below(&r, (uint32_t)i + 1);
        int32_t x = rows[i];
        rows[i] = rows[j];
        rows[j] = x;
    }
}

// Prompt rows from..to of one pass; with_out: the last row predicts the first tokens of both
// completions.
static void prefill(struct model *m, const struct weights *w, struct kv_cache *kv,
                    const struct texts *x, const int32_t *rows, size_t from, size_t to,
                    float **logp)
{
    struct batch b;
    struct why why = {""};
    int32_t off = 0, row = 0;
    batch_init(&b);
    assert_int_equal(batch_add_index(&b, rows, to, &off), ERR_OK);
    for (size_t j = from; j < to; j++) {
        assert_int_equal(batch_add_row(&b, (int32_t)x->prompt[j], (int32_t)j, rows[j], off,
                                       (int32_t)j + 1, &row),
                         ERR_OK);
    }
    struct sample_spec spec[2];
    struct sample_out out[2];
    for (size_t i = 0; i < 2; i++) {
        spec[i] = (struct sample_spec){.temperature = 0.7f, .top_p = 1};
        if (to == PROMPT) {
            assert_int_equal(batch_add_out(&b, row, (int32_t)x->comp[i][0]), ERR_OK);
        }
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, out, NULL, &why), ERR_OK);
    for (size_t i = 0; i < b.n_out; i++) {
        assert_int_equal(out[i].token, (int32_t)x->comp[i][0]);
        logp[i][0] = out[i].logp;
    }
    batch_fini(&b);
}

// Step s: token s of each unfinished completion goes in, token s + 1 is scored.
static void decode_step(struct model *m, const struct weights *w, struct kv_cache *kv,
                        const struct texts *x, int32_t seq_rows[2][PROMPT + LONG], size_t s,
                        float **logp)
{
    struct batch b;
    struct why why = {""};
    struct sample_spec spec[2];
    struct sample_out out[2];
    size_t who[2];
    batch_init(&b);
    for (size_t i = 0; i < 2; i++) {
        if (s + 1 >= x->n[i]) {
            continue;
        }
        size_t pos = PROMPT + s;
        int32_t off = 0, row = 0;
        assert_int_equal(batch_add_index(&b, seq_rows[i], pos + 1, &off), ERR_OK);
        assert_int_equal(batch_add_row(&b, (int32_t)x->comp[i][s], (int32_t)pos, seq_rows[i][pos],
                                       off, (int32_t)pos + 1, &row),
                         ERR_OK);
        who[b.n_out] = i;
        spec[b.n_out] = (struct sample_spec){.temperature = 0.7f, .top_p = 1};
        assert_int_equal(batch_add_out(&b, row, (int32_t)x->comp[i][s + 1]), ERR_OK);
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, out, NULL, &why), ERR_OK);
    for (size_t i = 0; i < b.n_out; i++) {
        logp[who[i]][s + 1] = out[i].logp;
    }
    batch_fini(&b);
}

// The whole group through a cache: prompt in chunks, then token by token. logp (LONG + SHORT) in
// the order of score_group.
static void decode_group(struct model *m, const struct weights *w, const struct texts *x,
                         size_t chunk, uint64_t seed, float *logp)
{
    struct kv_cache *kv = NULL;
    struct why why = {""};
    int32_t rows[CACHE], seq_rows[2][PROMPT + LONG];
    float *parts[2] = {logp, logp + LONG};
    assert_int_equal(kv_cache_create(m, CACHE, &kv, &why), ERR_OK);
    shuffled_rows(rows, CACHE, seed);
    for (size_t i = 0; i < 2; i++) {
        memcpy(seq_rows[i], rows, PROMPT * sizeof *rows);    // shared
        memcpy(seq_rows[i] + PROMPT, rows + PROMPT + i * LONG, LONG * sizeof *rows);
    }
    for (size_t from = 0; from < PROMPT; from += chunk) {
        prefill(m, w, kv, x, rows, from, MIN(from + chunk, PROMPT), parts);
    }
    for (size_t s = 0; s + 1 < LONG; s++) {
        decode_step(m, w, kv, x, seq_rows, s, parts);
    }
    kv_cache_destroy(kv);
}

static void check_bits(struct pool *pool, float *want)
{
    struct tiny t;
    struct texts x;
    float got[LONG + SHORT];
    tiny_init(&t, true, DTYPE_BF16, 8);
    make_texts(&t, &x);
    struct device *d = open_device(pool);
    struct weights *w = tiny_weights(&t, d, false);
    struct model *m = make_model(d, &t.config, 0);
    score_group(m, w, &x, 0, 2, got);
    if (pool == NULL) {
        memcpy(want, got, sizeof got);
    }
    assert_memory_equal(got, want, sizeof got);
    score_group(m, w, &x, 0, 1, got);    // each sequence alone
    assert_memory_equal(got, want, LONG * sizeof *got);
    score_group(m, w, &x, 1, 1, got);
    assert_memory_equal(got, want + LONG, SHORT * sizeof *got);
    const size_t chunks[] = {PROMPT, 1, 7, 33, 64, 69};
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        memset(got, 0, sizeof got);
        decode_group(m, w, &x, chunks[i], i, got);
        assert_memory_equal(got, want, sizeof got);
    }
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

static void decode_packed_and_single_passes_give_the_same_bits(void **state)
{
    (void)state;
    float want[LONG + SHORT];
    struct pool *pool = NULL;
    struct why why = {""};
    check_bits(NULL, want);
    for (size_t i = 0; i < LONG + SHORT; i++) {
        assert_true(want[i] < 0 && isfinite(want[i]));
    }
    assert_int_equal(pool_create(2, &pool, &why), ERR_OK);
    check_bits(pool, want);
    pool_destroy(pool);
}

// Instruction sets are one numerics_id: an actor on an older machine must not look like a stale
// one.
static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    static const char *const kinds[] = {"cpu-portable", "cpu-avx2", "cpu-avx512"};
    struct tiny t;
    struct texts x;
    struct why why = {""};
    float want[LONG + SHORT] = {0}, got[LONG + SHORT];
    tiny_init(&t, false, DTYPE_BF16, 8);
    make_texts(&t, &x);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct device *d = NULL;
        enum err e = device_open(kinds[i], NULL, &d, &why);
        if (e == ERR_UNSUPPORTED) {
            continue;    // this CPU lacks it
        }
        assert_int_equal(e, ERR_OK);
        struct weights *w = tiny_weights(&t, d, false);
        struct model *m = make_model(d, &t.config, 0);
        score_group(m, w, &x, 0, 2, got);
        if (i == 0) {
            memcpy(want, got, sizeof got);
        }
        assert_memory_equal(got, want, sizeof got);
        model_destroy(m);
        weights_destroy(w);
        device_close(d);
    }
    tiny_fini(&t);
}

static void a_draw_reports_the_score_of_its_token(void **state)
{
    (void)state;
    struct tiny t;
    struct texts x;
    struct why why = {""};
    tiny_init(&t, true, DTYPE_BF16, 8);
    make_texts(&t, &x);
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d, false);
    struct model *m = make_model(d, &t.config, 0);
    struct kv_cache *kv = NULL;
    struct batch b;
    batch_init(&b);
    assert_int_equal(kv_cache_create(m, CACHE, &kv, &why), ERR_OK);
    assert_int_equal(batch_add_group(&b, x.prompt, PROMPT, NULL, 0), ERR_OK);
    struct sample_spec spec[3];
    struct sample_out drawn[3], scored[3];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(batch_add_out(&b, PROMPT - 1, -1), ERR_OK);
        spec[i] = (struct sample_spec){
            .temperature = i == 0 ? 0 : 1, .top_p = 1, .target = 5, .u = 0.3f * (float)i};
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, drawn, NULL, &why), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        b.target[i] = drawn[i].token;
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, scored, NULL, &why), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(scored[i].token, drawn[i].token);
        assert_memory_equal(&scored[i].logp, &drawn[i].logp, sizeof(float));
        assert_true(drawn[0].logp >= drawn[i].logp);    // greedy is the likeliest
    }
    atomic_bool cancel = true;
    assert_int_equal(model_forward(m, w, kv, &b, spec, scored, &cancel, &why), ERR_CANCELLED);
    batch_fini(&b);
    kv_cache_destroy(kv);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

// ---- weights ----

static void weights_fed_in_any_pieces_are_the_same(void **state)
{
    (void)state;
    struct tiny t;
    struct texts x;
    struct why why = {""};
    tiny_init(&t, false, DTYPE_BF16, 8);
    make_texts(&t, &x);
    struct device *d = open_device(NULL);
    struct model *m = make_model(d, &t.config, 0);
    size_t total = weights_blob_bytes(&t.config, DTYPE_BF16);
    assert_int_equal(total, t.params.total * 2);
    uint8_t *shifted = malloc(total + 1);    // pieces at odd addresses
    assert_non_null(shifted);
    memcpy(shifted + 1, t.blob, total);
    float want[LONG + SHORT], got[LONG + SHORT];
    struct weights *whole = tiny_weights(&t, d, false);
    score_group(m, whole, &x, 0, 2, want);
    const size_t most[] = {1, 3, 100, 1000, total};
    for (size_t i = 0; i < ARRAY_LEN(most); i++) {
        struct weights *w = NULL;
        struct hash128 hash;
        struct rng r = rng_make(1, i);
        assert_int_equal(weights_create(d, &t.config, DTYPE_BF16, i % 2 == 1, &w, &why), ERR_OK);
        weights_begin(w);
        assert_int_equal(weights_feed(w, shifted, 77, &why), ERR_OK);    // an abandoned transfer
        weights_begin(w);
        for (size_t at = 0; at < total;) {
            size_t piece = 1 + rng_below(&r, (uint32_t)most[i]);
            size_t n = MIN(piece, total - at);
            assert_int_equal(weights_feed(w, shifted + 1 + at, n, &why), ERR_OK);
            at += n;
        }
        assert_int_equal(weights_end(w, &hash, &why), ERR_OK);
        assert_true(hash_equal(hash, hash_bytes(t.blob, total)));
        score_group(m, w, &x, 0, 2, got);
        assert_memory_equal(got, want, sizeof got);
        weights_destroy(w);
    }
    free(shifted);
    weights_destroy(whole);
    model_destroy(m);
    device_close(d);
    tiny_fini(&t);
}

static void a_blob_of_the_wrong_size_is_refused(void **state)
{
    (void)state;
    struct tiny t;
    struct why why = {""};
    struct hash128 hash;
    tiny_init(&t, true, DTYPE_F32, 8);
    struct device *d = open_device(NULL);
    struct weights *w = NULL;
    size_t total = weights_blob_bytes(&t.config, DTYPE_F32);
    assert_int_equal(weights_create(d, &t.config, DTYPE_F32, false, &w, &why), ERR_OK);
    weights_begin(w);
    assert_int_equal(weights_feed(w, t.blob, total - 4, &why), ERR_OK);
    assert_int_equal(weights_end(w, &hash, &why), ERR_CORRUPT);
    assert_int_equal(weights_feed(w, t.blob, 5, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "blob"));
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

// Training can diverge. The numbers are lost then, but tokens must stay tokens and nothing may
// crash.
static void weights_of_nan_still_draw_tokens_of_the_vocabulary(void **state)
{
    (void)state;
    struct tiny t;
    struct texts x;
    struct why why = {""};
    tiny_init(&t, true, DTYPE_BF16, 8);
    make_texts(&t, &x);
    for (size_t i = 0; i < t.params.total; i++) {
        ((uint16_t *)t.blob)[i] = i % 3 == 0 ? 0x7fc0 : 0x7f80;    // NaN, infinity
    }
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d, false);
    struct model *m = make_model(d, &t.config, 0);
    struct kv_cache *kv = NULL;
    struct batch b;
    batch_init(&b);
    assert_int_equal(kv_cache_create(m, CACHE, &kv, &why), ERR_OK);
    assert_int_equal(batch_add_group(&b, x.prompt, PROMPT, NULL, 0), ERR_OK);
    struct sample_spec spec[4];
    struct sample_out out[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(batch_add_out(&b, PROMPT - 1, -1), ERR_OK);
        spec[i] = (struct sample_spec){.temperature = i == 0 ? 0 : 1,
                                       .top_p = i == 2 ? 0.5f : 1,
                                       .top_k = i == 3 ? 5 : 0,
                                       .u = 0.999f};
    }
    assert_int_equal(model_forward(m, w, kv, &b, spec, out, NULL, &why), ERR_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_in_range(out[i].token, 0, t.config.vocab - 1);
    }
    batch_fini(&b);
    kv_cache_destroy(kv);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

// ---- memory plans ----

static size_t allocated;
static const struct device_ops *real_ops;

static enum err counting_alloc(struct device *d, size_t bytes, void **out, struct why *why)
{
    allocated += bytes;
    return real_ops->alloc(d, bytes, out, why);
}

static enum err failing_alloc(struct device *d, size_t bytes, void **out, struct why *why)
{
    (void)d;
    (void)out;
    return why_set(why, ERR_NOMEM, "%zu bytes: out of memory", bytes);
}

static void assert_plan(size_t planned, size_t used)
{
    assert_true(planned >= used);
    assert_true(planned <= used + used / 4 + 4096);
}

// `caravan run --check` promises memory from these numbers before anything is allocated.
static void memory_plans_cover_what_is_allocated(void **state)
{
    (void)state;
    struct tiny t;
    struct device *d = open_device(NULL);
    struct why why = {""};
    real_ops = d->ops;
    struct device_ops ops = *d->ops;
    ops.alloc = counting_alloc;
    struct device counted = {.ops = &ops, .pool = d->pool, .state = d->state};
    for (int i = 0; i < 4; i++) {
        bool tied = i % 2 == 0, training = i / 2 == 1;
        tiny_init(&t, tied, DTYPE_BF16, 8);
        allocated = 0;
        struct weights *w = tiny_weights(&t, &counted, training);
        assert_plan(weights_memory(&t.config, DTYPE_BF16, training), allocated);
        const struct model_limits l = {.max_rows = 40,
                                       .max_index = 500,
                                       .max_outs = 7,
                                       .train_rows = training ? 50 : 0,
                                       .max_context = 99};
        struct model *m = NULL;
        allocated = 0;
        assert_int_equal(model_create(&counted, &t.config, &l, &m, &why), ERR_OK);
        assert_plan(model_memory(&t.config, &l), allocated);
        struct kv_cache *kv = NULL;
        allocated = 0;
        assert_int_equal(kv_cache_create(m, 11, &kv, &why), ERR_OK);
        assert_int_equal(allocated, 11 * kv_cache_row_bytes(&t.config));
        kv_cache_destroy(kv);
        model_destroy(m);
        weights_destroy(w);
        tiny_fini(&t);
    }
    device_close(d);
}

static void a_device_without_memory_is_an_error(void **state)
{
    (void)state;
    struct tiny t;
    struct device *d = open_device(NULL);
    struct why why = {""};
    tiny_init(&t, true, DTYPE_BF16, 8);
    struct device_ops ops = *d->ops;
    ops.alloc = failing_alloc;
    struct device empty = {.ops = &ops, .pool = d->pool, .state = d->state};
    struct weights *w = NULL;
    struct model *m = NULL;
    const struct model_limits l = {.max_rows = 1, .max_index = 1, .max_context = 1};
    assert_int_equal(weights_create(&empty, &t.config, DTYPE_BF16, true, &w, &why), ERR_NOMEM);
    assert_non_null(strstr(why.text, "weights"));
    assert_int_equal(model_create(&empty, &t.config, &l, &m, &why), ERR_NOMEM);
    assert_non_null(strstr(why.text, "model"));
    assert_true(w == NULL && m == NULL);
    device_close(d);
    tiny_fini(&t);
}

// ---- what is refused ----

static void batches_beyond_the_limits_are_refused_by_name(void **state)
{
    (void)state;
    struct tiny t;
    tiny_init(&t, true, DTYPE_BF16, 8);
    struct device *d = open_device(NULL);
    struct weights *w = tiny_weights(&t, d, false);
    struct model *m = make_model(d, &t.config, 0);
    static const struct {
        int32_t token, pos, kv_row, kv_off, kv_len, out_row, target;
        const char *named;
    } cases[] = {
        {37, 0, 0, 0, 1, 0, 1, "token 37"},      {-1, 0, 0, 0, 1, 0, 1, "token -1"},
        {0, CONTEXT, 0, 0, 1, 0, 1, "position"}, {0, -1, 0, 0, 1, 0, 1, "position"},
        {0, 0, 1, 0, 1, 0, 1, "kv_row 1"},       {0, 0, 0, 0, 2, 0, 1, "keys 0+2"},
        {0, 0, 0, 0, 0, 0, 1, "keys 0+0"},       {0, 0, 0, -1, 1, 0, 1, "keys -1+1"},
        {0, 0, 0, 0, 1, 1, 1, "row 1"},          {0, 0, 0, 0, 1, 0, 37, "target 37"},
        {0, 0, 0, 0, 1, 0, -1, "target -1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct batch b;
        struct why why = {""};
        float logp = 0;
        int32_t key = 0, off = 0, row = 0;
        batch_init(&b);
        assert_int_equal(batch_add_index(&b, &key, 1, &off), ERR_OK);
        assert_int_equal(batch_add_row(&b, cases[i].token, cases[i].pos, cases[i].kv_row,
                                       cases[i].kv_off, cases[i].kv_len, &row),
                         ERR_OK);
        assert_int_equal(batch_add_out(&b, cases[i].out_row, cases[i].target), ERR_OK);
        assert_int_not_equal(model_score(m, w, &b, 1, &logp, NULL, NULL, &why), ERR_OK);
        if (strstr(why.text, cases[i].named) == NULL) {
            fail_msg("expected \"%s\" in \"%s\"", cases[i].named, why.text);
        }
        batch_fini(&b);
    }
    struct batch empty;
    struct why why = {""};
    batch_init(&empty);
    assert_int_equal(model_score(m, w, &empty, 1, NULL, NULL, NULL, &why), ERR_LIMIT);
    assert_int_equal(model_score(m, w, &empty, 0, NULL, NULL, NULL, &why), ERR_INVALID);
    assert_int_equal(model_train(m, w, &empty, 1, NULL, NULL, NULL, NULL, &why), ERR_INVALID);
    model_destroy(m);
    weights_destroy(w);
    device_close(d);
    tiny_fini(&t);
}

static void impossible_limits_are_refused(void **state)
{
    (void)state;
    struct tiny t;
    tiny_init(&t, true, DTYPE_BF16, 8);
    struct device *d = open_device(NULL);
    const struct model_limits bad[] = {
        {.max_rows = 0, .max_index = 1, .max_outs = 1, .max_context = 1},
        {.max_rows = 1, .max_index = 0, .max_outs = 1, .max_context = 1},
        {.max_rows = 1, .max_index = 1, .max_outs = 1, .max_context = 513},
        {.max_rows = SIZE_MAX, .max_index = 1, .max_outs = 1, .max_context = 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct model *m = NULL;
        struct why why = {""};
        assert_int_equal(model_create(d, &t.config, &bad[i], &m, &why), ERR_INVALID);
        assert_null(m);
    }
    device_close(d);
    tiny_fini(&t);
}

// ---- RoPE ----

static void rope_table_is_the_correctly_rounded_cos_and_sin(void **state)
{
    (void)state;
    enum { N = 20000, D = 64 };
    static float table[N * D];
    rope_table(N, D, 100000, table);
    for (size_t pos = 0; pos < N; pos += 13) {
        for (size_t i = 0; i < D / 2; i++) {
            double angle = (double)pos * pow(100000, -2.0 * (double)i / D);
            // libm's pow is off by some 1e-16 of the exponent, which the position multiplies
            assert_close((double)table[(pos * D / 2 + i) * 2], cos(angle), 3.1e-8, "cos", pos);
            assert_close((double)table[(pos * D / 2 + i) * 2 + 1], sin(angle), 3.1e-8, "sin", pos);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_agrees_with_the_formulas),
        cmocka_unit_test(logits_agree_with_the_formulas_beyond_one_key_block),
        cmocka_unit_test(gradients_of_a_tied_model_agree_with_central_differences),
        cmocka_unit_test(gradients_of_an_untied_model_agree_with_central_differences),
        cmocka_unit_test(gradients_of_long_sequences_agree_along_directions),
        cmocka_unit_test(the_gradient_is_taken_at_the_rounded_weights),
        cmocka_unit_test(gradients_have_the_same_bits_on_one_and_two_threads),
        cmocka_unit_test(gradients_are_added_to_what_is_there),
        cmocka_unit_test(decode_packed_and_single_passes_give_the_same_bits),
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(a_draw_reports_the_score_of_its_token),
        cmocka_unit_test(weights_fed_in_any_pieces_are_the_same),
        cmocka_unit_test(a_blob_of_the_wrong_size_is_refused),
        cmocka_unit_test(weights_of_nan_still_draw_tokens_of_the_vocabulary),
        cmocka_unit_test(memory_plans_cover_what_is_allocated),
        cmocka_unit_test(a_device_without_memory_is_an_error),
        cmocka_unit_test(batches_beyond_the_limits_are_refused_by_name),
        cmocka_unit_test(impossible_limits_are_refused),
        cmocka_unit_test(rope_table_is_the_correctly_rounded_cos_and_sin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
