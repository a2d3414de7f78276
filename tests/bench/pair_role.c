// pair_role.c: what the daemons compute, without their network, files and waiting.
//
// decode  The actor's engine with 64 slots: eight groups of eight samples, prompts of 47 tokens,
//         completions of 64. The groups start staggered, so that every eighth pass one of them ends
//         and the next is prefilled: the steady state of continuous batching. A unit of work is
//         eight passes, and any eight in a row hold the same work. Tokens are those drawn.
// train   The trainer's step: micro-batches of one group each (a prompt of 47, eight completions
//         of 59, the prompt shared: 511 rows), then gradient norm, AdamW, rounding and packing. A
//         unit is one step. Tokens are rows, as in the learner's figures.
//
// Not included: loading a new version into the actor (once a step), the ledger, the verifier.
// What the tokens are has no influence on the time; the learning rate is small enough that the
// weights stay sane.

#include "tests/bench/pair_role.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "actor/engine.h"
#include "cli/bench.h"
#include "learner/optim.h"
#include "tests/bench/kit.h"

enum {
    GROUPS = 8,
    SAMPLES = 8,
    PROMPT = 47,
    DECODED = 64,    // tokens of a decoded completion
    TRAINED = 59,    // of a trained one
    KV_MB = 320,
    PREFILL_ROWS = 256,
    TRAIN_ROWS = 512,
    CONTEXT = PROMPT + DECODED,
};

// One unit of work. *tokens += what it did; ERR_CANCELLED: halted on the way.
typedef enum err unit_fn(void *role, uint64_t *tokens, struct why *why);

// ---- decode

struct decode {
    struct kit_model m;
    struct engine *engine;
    const atomic_bool *halt;
    uint64_t next_id;
    size_t finished;    // samples of the present pass
};

static void on_sample(void *arg, const struct engine_sample *s)
{
    struct decode *d = arg;
    (void)s;
    d->finished++;
}

static enum err add_group(struct decode *d, uint32_t max_tokens, struct why *why)
{
    uint32_t prompt[PROMPT];
    uint64_t ids[SAMPLES];
    for (uint32_t i = 0; i < PROMPT; i++) {
        prompt[i] = (i * 7 + (uint32_t)d->next_id) % 1000;
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        ids[i] = ++d->next_id;
    }
    struct msg_group g = {.group_id = d->next_id,
                          .prompt = prompt,
                          .n_prompt = PROMPT,
                          .sample_ids = ids,
                          .n_samples = SAMPLES,
                          .attempt = 1,
                          .sampling = {.max_tokens = max_tokens, .temperature = 1, .top_p = 1}};
    return engine_add(d->engine, &g, NULL, 0, why);
}

static enum err decode_pass(struct decode *d, struct why *why)
{
    int worked = 0;
    d->finished = 0;
    enum err e = engine_step(d->engine, NULL, &worked, why);
    for (size_t i = 0; !e && i < d->finished / SAMPLES; i++) {
        e = add_group(d, DECODED, why);
    }
    return e;
}

static enum err decode_unit(void *role, uint64_t *tokens, struct why *why)
{
    struct decode *d = role;
    const struct engine_stats *stats = engine_get_stats(d->engine);
    uint64_t before = atomic_load(&stats->decode_tokens);
    for (int i = 0; i < DECODED / GROUPS; i++) {
        if (atomic_load(d->halt)) {
            return ERR_CANCELLED;
        }
        enum err e = decode_pass(d, why);
        if (e) {
            return e;
        }
    }
    *tokens += atomic_load(&stats->decode_tokens) - before;
    return ERR_OK;
}

static enum err decode_open(struct decode *d, const struct pair_options *o, struct why *why)
{
    const struct engine_limits limits = {GROUPS * SAMPLES, PREFILL_ROWS, (size_t)KV_MB << 20,
                                         CONTEXT};
    enum err e = kit_model_open(&d->m, o->model, o->device, 1, why);
    if (e) {
        return e;
    }
    free(d->m.flat);
    d->m.flat = NULL;
    e = engine_create(d->m.device, source_config(d->m.source), &limits, 1, on_sample, d, &d->engine,
                      why);
    if (!e) {
        engine_swap(d->engine, d->m.weights, 1);
    }
    for (uint32_t i = 1; !e && i <= GROUPS; i++) {
        e = add_group(d, i * DECODED / GROUPS, why);
    }
    for (int i = 0; !e && i < 2; i++) {    // pages touched, groups staggered
        uint64_t tokens = 0;
        e = decode_unit(d, &tokens, why);
    }
    return e;
}

static void decode_close(struct decode *d)
{
    engine_destroy(d->engine);
    kit_model_close(&d->m);
}

// ---- train

struct train {
    struct kit_model m;
    struct model *model;
    struct batch batch;
    struct optim optim;
    float *masters, *grads;    // device
    void *blob;
    size_t blob_bytes;
    int micro_batches;
    const atomic_bool *halt;
};

static void push_and_pull(void *arg, size_t first, size_t n, const float *logp,
                          const float *entropy, float *coef)
{
    (void)arg;
    (void)logp;
    (void)entropy;
    for (size_t i = 0; i < n; i++) {
        coef[i] = ((first + i) / TRAINED % 2 ? 1.0f : -1.0f) / TRAIN_ROWS;
    }
}

static enum err update(struct train *t, struct why *why)
{
    const struct train_hyper h = {
        .lr = 1e-8, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .grad_clip = 1};
    double norm = optim_grad_norm(&t->optim, t->grads);
    optim_step(&t->optim, &h, optim_clip_scale(norm, h.grad_clip), t->masters, t->grads, DTYPE_BF16,
               t->blob, NULL);
    struct hash128 hash;
    weights_begin(t->m.weights);
    enum err e = weights_feed(t->m.weights, t->blob, t->blob_bytes, why);
    return e ? e : weights_end(t->m.weights, &hash, why);
}

static enum err train_unit(void *role, uint64_t *tokens, struct why *why)
{
    struct train *t = role;
    enum err e = ERR_OK;
    t->m.device->ops->zero(t->m.device, t->grads,
                           source_params(t->m.source)->total * sizeof(float));
    for (int i = 0; !e && i < t->micro_batches; i++) {
        e = model_train(t->model, t->m.weights, &t->batch, 1, push_and_pull, NULL, t->grads,
                        t->halt, why);
    }
    e = e ? e : update(t, why);
    if (!e) {
        *tokens += (uint64_t)t->micro_batches * t->batch.n_rows;
    }
    return e;
}

static enum err make_group(struct batch *b)
{
    uint32_t tokens[PROMPT + TRAINED + SAMPLES];
    struct batch_completion c[SAMPLES];
    for (uint32_t i = 0; i < ARRAY_LEN(tokens); i++) {
        tokens[i] = i * 7 % 1000;
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        c[i] = (struct batch_completion){tokens + PROMPT + i, TRAINED};
    }
    return batch_add_group(b, tokens, PROMPT, c, SAMPLES);
}

static enum err train_alloc(struct train *t, struct why *why)
{
    struct device *d = t->m.device;
    const struct param_table *params = source_params(t->m.source);
    size_t bytes = params->total * sizeof(float);
    void *masters = NULL, *grads = NULL;
    enum err e = d->ops->alloc(d, bytes, &masters, why);
    t->masters = masters;
    e = e ? e : d->ops->alloc(d, bytes, &grads, why);
    t->grads = grads;
    e = e ? e : optim_init(&t->optim, d, params, why);
    e = e ? e : optim_reserve(&t->optim, why);
    t->blob_bytes = weights_blob_bytes(source_config(t->m.source), DTYPE_BF16);
    t->blob = malloc(t->blob_bytes);
    CHECK(t->blob != NULL);
    if (!e) {
        d->ops->upload(d, t->masters, t->m.flat, bytes);
        free(t->m.flat);
        t->m.flat = NULL;
    }
    return e;
}

static enum err train_open(struct train *t, const struct pair_options *o, struct why *why)
{
    const struct model_limits limits = {.max_rows = 1,
                                        .max_index = TRAIN_ROWS * 8,
                                        .max_outs = 1,
                                        .train_rows = TRAIN_ROWS,
                                        .weights = DTYPE_BF16,
                                        .max_context = CONTEXT};
    t->micro_batches = o->micro_batches;
    batch_init(&t->batch);
    enum err e = kit_model_open(&t->m, o->model, o->device, 1, why);
    e = e ? e : model_create(t->m.device, source_config(t->m.source), &limits, &t->model, why);
    e = e ? e : make_group(&t->batch);
    e = e ? e : train_alloc(t, why);
    if (!e) {    // pages touched
        uint64_t tokens = 0;
        int planned = t->micro_batches;
        t->micro_batches = 1;
        e = train_unit(t, &tokens, why);
        t->micro_batches = planned;
    }
    return e;
}

static void train_close(struct train *t)
{
    if (t->m.device) {
        t->m.device->ops->release(t->m.device, t->masters);
        t->m.device->ops->release(t->m.device, t->grads);
    }
    optim_fini(&t->optim);
    free(t->blob);
    batch_fini(&t->batch);
    model_destroy(t->model);
    kit_model_close(&t->m);
}

// ---- orders

struct order {
    double seconds;
    int threads, nice;
};

static enum err read_order(const char *line, struct order *o, struct why *why)
{
    int n = sscanf(line, "run %lf %d %d", &o->seconds, &o->threads, &o->nice);
    return n == 3 ? ERR_OK : why_set(why, ERR_INVALID, "order '%.60s'", line);
}

// A team of the size that the order names; threads take the nice level of the one that makes them.
static enum err new_team(struct kit_model *m, const struct order *o, struct why *why)
{
    if (setpriority(PRIO_PROCESS, 0, o->nice)) {
        return why_set(why, ERR_DENIED, "nice %d: %m", o->nice);
    }
    pool_destroy(m->pool);
    m->pool = m->device->pool = NULL;
    enum err e = pool_create(o->threads, &m->pool, why);
    m->device->pool = m->pool;
    return e;
}

static enum err obey(const struct order *o, unit_fn *unit, void *role, struct why *why)
{
    struct bench_span from = bench_now();
    uint64_t tokens = 0;
    bool said = false;
    enum err e;
    while (!(e = unit(role, &tokens, why))) {
        struct bench_span s = bench_since(from);
        if (!said && s.wall >= o->seconds) {
            printf("ran %llu %.6f %.6f\n", (unsigned long long)tokens, s.wall, s.cpu);
            fflush(stdout);
            said = true;
        }
    }
    if (e == ERR_CANCELLED) {
        printf("idle %.6f\n", bench_since(from).cpu);
        fflush(stdout);
        e = ERR_OK;
    }
    return e;
}

static enum err serve(struct kit_model *m, unit_fn *unit, void *role, struct why *why)
{
    char line[128];
    enum err e = ERR_OK;
    printf("ready\n");
    fflush(stdout);
    while (!e && fgets(line, sizeof line, stdin)) {
        struct order o;
        e = read_order(line, &o, why);
        e = e ? e : new_team(m, &o, why);
        e = e ? e : obey(&o, unit, role, why);
    }
    return e;
}

enum err pair_role_run(const char *role, const struct pair_options *o, const atomic_bool *halt,
                       struct why *why)
{
    enum err e;
    pool_set_fpu();
    if (strcmp(role, "decode") == 0) {
        struct decode d = {.halt = halt};
        e = decode_open(&d, o, why);
        e = e ? e : serve(&d.m, decode_unit, &d, why);
        decode_close(&d);
    } else {
        struct train t = {.halt = halt};
        e = train_open(&t, o, why);
        e = e ? e : serve(&t.m, train_unit, &t, why);
        train_close(&t);
    }
    return e;
}
