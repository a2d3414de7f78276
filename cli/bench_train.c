// bench_train.c: `caravan bench train`: what an optimiser step costs.
//
// The learner's trainer makes whole steps: micro-batches forward and backward under the clipped
// GRPO loss, global-norm clipping, AdamW on the masters, rounding. The sequences share nothing: a
// prompt of one token and an answer of the rest. tokens_per_s counts all tokens of the sequences
// over forward, backward and optimiser; publish_s, the packing of the new version, stands apart. A
// turn begins when the files of the version before are written.
//
// Behaviour log-probs are those of the untrained model and the learning rate is tiny, so that
// ratios stay at 1 and no token is clipped. What the tokens are has no influence on the time.
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench.h"
#include "cli/bench_products.h"
#include "common/fs.h"
#include "learner/publish.h"
#include "learner/trainer.h"

struct options {
    struct bench_options common;
    int64_t sequences, tokens, micro;
    bool recompute;
};

static const struct arg args[] = {
    BENCH_MODEL_ARGS,
    {"sequences", ARG_INT, offsetof(struct options, sequences), 1, 4096, "N",
     "of a step, all different (default 8)"},
    {"tokens", ARG_INT, offsetof(struct options, tokens), 2, 131072, "N",
     "of each sequence (default 256)"},
    {"micro", ARG_INT, offsetof(struct options, micro), 1, 1e6, "N",
     "tokens of a micro-batch (default 640, that of optim.micro_batch_tokens)"},
    {"recompute", ARG_FLAG, offsetof(struct options, recompute), 0, 0, NULL,
     "keep the inputs of layers alone, as optim.recompute"},
    BENCH_TURN_ARGS,
    BENCH_ROOFLINE_ARG,
    {0},
};

enum figure {
    TOKENS_PER_S,
    SECONDS,
    FORWARD_BACKWARD_S,
    OPTIMISER_S,
    PUBLISH_S,
    CPU_SECONDS,
    TOKENS_PER_CPU_S,
    OTHERS,
    PEAK_MIB,
    PLAIN
};
enum { PRODUCTS_S = PLAIN, PRODUCTS_SHARE, PRODUCTS_CPU_SHARE, PRODUCTS_GFLOPS, FIGURES };

static const struct bench_figure figures[FIGURES] = {
    [TOKENS_PER_S] = {"tokens_per_s", 1},
    [SECONDS] = {"seconds", 6},
    [FORWARD_BACKWARD_S] = {"forward_backward_s", 6},
    [OPTIMISER_S] = {"optimiser_s", 6},
    [PUBLISH_S] = {"publish_s", 6},
    [CPU_SECONDS] = {"cpu_seconds", 6},
    [TOKENS_PER_CPU_S] = {"tokens_per_cpu_s", 1},
    [OTHERS] = {"others", 3},
    [PEAK_MIB] = {"peak_mib", 0},
    [PRODUCTS_S] = {"products_s", 6},
    [PRODUCTS_SHARE] = {"products_share", 3},
    [PRODUCTS_CPU_SHARE] = {"products_cpu_share", 3},
    [PRODUCTS_GFLOPS] = {"products_gflops", 1},
};

struct train {
    const struct options *o;
    struct conf conf;
    struct source *source;
    struct pool *pool;
    struct device *device;
    char *dir;    // of the published versions; removed at the end
    struct publish *publish;
    struct trainer *trainer;
    struct bench_products *products;
    uint32_t *tokens;    // (sequences, tokens)
    float *logprobs;     // (sequences, tokens - 1)
    struct train_group *groups;
    struct train_sample *samples;
    uint64_t step;    // done
    size_t peak;      // bytes, of the steps so far
    bool replayed;    // products were run alone: their buffers do not count
};

// ---- the batch ----

static enum err make_batch(struct train *t, struct why *why)
{
    size_t n = (size_t)t->o->sequences, T = (size_t)t->o->tokens;
    size_t vocab = (size_t)source_config(t->source)->vocab;
    t->tokens = malloc(n * T * sizeof *t->tokens);
    t->logprobs = malloc(n * T * sizeof *t->logprobs);
    t->groups = calloc(n, sizeof *t->groups);
    t->samples = calloc(n, sizeof *t->samples);
    if (!t->tokens || !t->logprobs || !t->groups || !t->samples) {
        return why_set(why, ERR_NOMEM, "no memory for %zu sequences of %zu tokens", n, T);
    }
    for (size_t i = 0; i < n * T; i++) {
        t->tokens[i] = (uint32_t)((100 + i * 7919) % MIN(vocab, 40000));
    }
    for (size_t i = 0; i < n; i++) {
        t->samples[i] = (struct train_sample){.sample_id = i + 1,
                                              .tokens = t->tokens + i * T + 1,
                                              .logprobs = t->logprobs + i * (T - 1),
                                              .n_tokens = T - 1,
                                              .advantage = i % 2 ? 1 : -1};
        t->groups[i] = (struct train_group){t->tokens + i * T, 1, &t->samples[i], 1};
    }
    return ERR_OK;
}

// By a model of its own, gone before the trainer takes its memory.
static enum err score_batch(struct train *t, double *load_s, json_t **facts, struct why *why)
{
    struct localmodel m;
    size_t T = (size_t)t->o->tokens;
    enum err e = bench_open_model(&t->o->common, &m, load_s, why);
    if (!e && T > (size_t)source_config(m.source)->max_positions) {
        e = why_set(why, ERR_LIMIT, "--tokens: %zu exceed the model's context of %d", T,
                    source_config(m.source)->max_positions);
    }
    if (!e) {
        t->source = m.source;
        e = make_batch(t, why);
    }
    for (size_t i = 0; !e && i < (size_t)t->o->sequences; i++) {
        e = localmodel_score(&m, t->tokens + i * T, T, 1, t->logprobs + i * (T - 1), why);
    }
    if (!e) {
        *facts = bench_facts("train", &t->o->common, &m);
        e = *facts ? ERR_OK : why_set(why, ERR_NOMEM, "no memory for figures");
    }
    t->source = NULL;
    localmodel_close(&m);
    return e;
}

// ---- the trainer ----

static enum err make_dir(struct train *t, struct why *why)
{
    const char *tmp = getenv("TMPDIR");
    t->dir = fs_path("%s/caravan-bench-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    if (!t->dir || !mkdtemp(t->dir)) {
        free(t->dir);
        t->dir = NULL;
        return why_set(why, ERR_IO, "cannot make a temporary folder: %m");
    }
    return ERR_OK;
}

static enum err make_trainer(struct train *t, struct why *why)
{
    const struct options *o = t->o;
    enum dtype dtype = DTYPE_BF16;
    conf_defaults(&t->conf);
    t->conf.max_prompt_tokens = 1;
    t->conf.max_tokens = o->tokens - 1;
    t->conf.micro_batch_tokens = o->micro;
    t->conf.recompute = o->recompute;
    t->conf.lr = 1e-8;
    t->conf.warmup_steps = 0;
    enum err e = localmodel_dtype(o->common.dtype, &dtype, why);
    t->conf.dtype = dtype == DTYPE_F32 ? CONF_DTYPE_F32 : CONF_DTYPE_BF16;
    int threads = o->common.threads ? (int)o->common.threads : pool_cores();
    e = e ? e : source_open(o->common.model, &t->source, why);
    e = e ? e : pool_create(threads, &t->pool, why);
    e = e ? e : device_open(o->common.device, t->pool, &t->device, why);
    e = e ? e : make_dir(t, why);
    e = e ? e
          : publish_create(t->dir, source_params(t->source), dtype, 1, NULL, NULL, &t->publish,
                           why);
    e = e ? e : trainer_create(t->device, t->source, &t->conf, t->publish, &t->trainer, why);
    if (!e) {
        source_rest(t->source);
    }
    return !e && o->common.roofline ? bench_products_attach(t->device, &t->products, why) : e;
}

static void close_all(struct train *t)
{
    struct why why;
    bench_products_detach(t->products);
    trainer_destroy(t->trainer);
    publish_destroy(t->publish);
    if (t->dir && fs_remove_tree(t->dir, &why)) {
        fprintf(stderr, "caravan bench train: %s\n", why.text);
    }
    free(t->dir);
    device_close(t->device);
    pool_destroy(t->pool);
    source_close(t->source);
    free(t->tokens);
    free(t->logprobs);
    free(t->groups);
    free(t->samples);
}

// ---- turns ----

static enum err step(struct train *t, struct train_result *r, struct why *why)
{
    struct train_step s = {.step = t->step + 1,
                           .version = t->step,
                           .new_version = t->step + 1,
                           .groups = t->groups,
                           .n_groups = (size_t)t->o->sequences};
    train_hyper_at(&t->conf, s.step, &s.hyper);
    enum err e = publish_flush(t->publish, why);
    e = e ? e : trainer_step(t->trainer, &s, r, bench_halt(), why);
    t->step += !e;
    return e;
}

// Wall and processor time are of the whole turn, publication included.
static enum err turn(void *arg, double *row, struct why *why)
{
    struct train *t = arg;
    struct train_result r;
    struct bench_window w;
    enum err e = publish_flush(t->publish, why);
    if (t->replayed) {
        bench_peak_restart();
    }
    bench_window_open(&w);
    e = e ? e : step(t, &r, why);
    if (e) {
        return e;
    }
    struct bench_usage u = bench_window_close(&w);
    row[SECONDS] = r.forward_backward_s + r.optimiser_s;
    row[TOKENS_PER_S] = (double)(t->o->sequences * t->o->tokens) / row[SECONDS];
    row[FORWARD_BACKWARD_S] = r.forward_backward_s;
    row[OPTIMISER_S] = r.optimiser_s;
    row[PUBLISH_S] = r.publish_s;
    row[CPU_SECONDS] = u.cpu;
    row[TOKENS_PER_CPU_S] = (double)(t->o->sequences * t->o->tokens) / u.cpu;
    row[OTHERS] = u.others;
    t->peak = MAX(t->peak, bench_peak_bytes());
    row[PEAK_MIB] = (double)t->peak / (1 << 20);
    if (t->products) {
        bench_products_record(t->products, true);
        e = step(t, &r, why);
        bench_products_record(t->products, false);
        struct bench_span alone = bench_products_replay(t->products);
        t->replayed = true;
        row[PRODUCTS_S] = alone.wall;
        row[PRODUCTS_SHARE] = alone.wall / row[SECONDS];
        row[PRODUCTS_CPU_SHARE] = alone.cpu / u.cpu;
        row[PRODUCTS_GFLOPS] = 1e-9 * bench_products_flop(t->products) / row[PRODUCTS_S];
    }
    return e;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.common = bench_defaults, .sequences = 8, .tokens = 256, .micro = 640};
    struct words words;
    struct why why = {""};
    json_t *facts = NULL;
    double load_s = 0;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    struct train t = {.o = &o};
    bench_catch_signals();
    enum err e = score_batch(&t, &load_s, &facts, &why);
    e = e ? e : make_trainer(&t, &why);
    if (!e) {
        json_object_set_new(facts, "sequences", json_integer(o.sequences));
        json_object_set_new(facts, "tokens", json_integer(o.tokens));
        json_object_set_new(facts, "micro", json_integer(o.micro));
        json_object_set_new(facts, "load_s", json_real(load_s));
        e = bench_turns("train: optimiser steps of the learner", json_incref(facts), figures,
                        t.products ? FIGURES : PLAIN, &o.common, turn, &t, &why);
    }
    json_decref(facts);
    close_all(&t);
    return bench_exit(self, e, &why);
}

const struct command bench_train = {
    .name = "bench train",
    .synopsis = "--model M [--sequences N] [--tokens N] [--micro N] [options]",
    .help = "what an optimiser step of the learner costs",
    .more =
        "Forward, backward, clipping and AdamW; tokens_per_s counts these. publish_s is the "
        "packing of the new version, peak_mib the most memory that the process has held so far, "
        "--roofline left out.",
    .args = args,
    .run = run,
};
