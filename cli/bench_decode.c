// bench_decode.c: `caravan bench decode`: how fast sequences grow side by side.
//
// The engine that actors run decodes n samples of n different prompts, so that nothing is shared. A
// turn reads all prompts in one pass, then makes `steps` passes of one token for every sequence;
// only these are timed, one by one. tokens_per_s is by the median pass, so that a pass which met
// other work on the machine does not count; mean_tokens_per_s is by all of them.
//
// What the tokens are has no influence on the time. No token ends a sample.
#include <stdlib.h>

#include "actor/engine.h"
#include "actor/pages.h"
#include "cli/bench.h"
#include "cli/bench_products.h"
#include "common/clock.h"

struct options {
    struct bench_options common;
    int64_t sequences, prompt, steps;
};

static const struct arg args[] = {
    BENCH_MODEL_ARGS,
    {"sequences", ARG_INT, offsetof(struct options, sequences), 1, 1024, "N",
     "decoded side by side (default 64)"},
    {"prompt", ARG_INT, offsetof(struct options, prompt), 1, 65536, "N",
     "tokens of each prompt (default 64)"},
    {"steps", ARG_INT, offsetof(struct options, steps), 1, 65536, "N",
     "passes that are timed, a token each (default 32)"},
    BENCH_TURN_ARGS,
    BENCH_ROOFLINE_ARG,
    {0},
};

enum figure {
    TOKENS_PER_S,
    MEAN_TOKENS_PER_S,
    STEP_MS,
    SECONDS,
    CPU_SECONDS,
    TOKENS_PER_CPU_S,
    OTHERS,
    PLAIN
};
enum { PRODUCTS_MS = PLAIN, PRODUCTS_SHARE, PRODUCTS_CPU_SHARE, PRODUCTS_GFLOPS, FIGURES };

static const struct bench_figure figures[FIGURES] = {
    [TOKENS_PER_S] = {"tokens_per_s", 1},
    [MEAN_TOKENS_PER_S] = {"mean_tokens_per_s", 1},
    [STEP_MS] = {"step_ms", 3},
    [SECONDS] = {"seconds", 6},
    [CPU_SECONDS] = {"cpu_seconds", 6},
    [TOKENS_PER_CPU_S] = {"tokens_per_cpu_s", 1},
    [OTHERS] = {"others", 3},
    [PRODUCTS_MS] = {"products_ms", 3},
    [PRODUCTS_SHARE] = {"products_share", 3},
    [PRODUCTS_CPU_SHARE] = {"products_cpu_share", 3},
    [PRODUCTS_GFLOPS] = {"products_gflops", 1},
};

struct decode {
    const struct options *o;
    struct localmodel m;
    struct engine *engine;
    struct bench_products *products;    // NULL without --roofline
    uint32_t *prompt;                   // (o->prompt)
    double *step_s;                     // (o->steps)
    uint64_t next_id;
};

static void on_sample(void *arg, const struct engine_sample *s)
{
    (void)arg;
    (void)s;
}

static enum err add_sample(struct decode *d, struct why *why)
{
    uint32_t vocab = (uint32_t)source_config(d->m.source)->vocab;
    uint64_t id = ++d->next_id;
    for (uint32_t i = 0; i < (uint32_t)d->o->prompt; i++) {
        d->prompt[i] = (100 + i * 7 + (uint32_t)id) % MIN(vocab, 1000u);
    }
    struct msg_group g = {
        .group_id = id,
        .prompt = d->prompt,
        .n_prompt = (size_t)d->o->prompt,
        .sample_ids = &id,
        .n_samples = 1,
        .attempt = 1,
        .sampling = {.max_tokens = (uint32_t)d->o->steps + 1, .temperature = 1, .top_p = 1}};
    return engine_add(d->engine, &g, NULL, 0, why);
}

static enum err pass(struct decode *d, struct why *why)
{
    int worked = 0;
    enum err e = engine_step(d->engine, bench_halt(), &worked, why);
    CHECK(e || worked);
    return e;
}

// One more turn, whose middle pass is noted and then run without the rest of it.
static enum err measure_products(struct decode *d, double *row, struct why *why)
{
    double cpu = 0;
    enum err e = ERR_OK;
    for (int64_t i = 0; !e && i < d->o->sequences; i++) {
        e = add_sample(d, why);
    }
    e = e ? e : pass(d, why);
    for (int64_t i = 0; !e && i < d->o->steps; i++) {
        if (i == d->o->steps / 2) {
            bench_products_record(d->products, true);
        }
        e = pass(d, why);
        bench_products_record(d->products, false);
    }
    for (int64_t i = 0; !e && i < d->o->steps; i++) {
        struct bench_span s = bench_products_replay(d->products);
        d->step_s[i] = s.wall;
        cpu += s.cpu;
    }
    if (!e) {
        double s = bench_spread(d->step_s, (size_t)d->o->steps).median;
        row[PRODUCTS_MS] = 1e3 * s;
        row[PRODUCTS_SHARE] = row[PRODUCTS_MS] / row[STEP_MS];
        row[PRODUCTS_CPU_SHARE] = cpu / row[CPU_SECONDS];
        row[PRODUCTS_GFLOPS] = 1e-9 * bench_products_flop(d->products) / s;
    }
    return e;
}

static enum err turn(void *arg, double *row, struct why *why)
{
    struct decode *d = arg;
    struct bench_window w;
    double tokens = (double)d->o->sequences;
    enum err e = ERR_OK;
    for (int64_t i = 0; !e && i < d->o->sequences; i++) {
        e = add_sample(d, why);
    }
    e = e ? e : pass(d, why);
    bench_window_open(&w);
    for (int64_t i = 0; !e && i < d->o->steps; i++) {
        double from = clock_mono_s();
        e = pass(d, why);
        d->step_s[i] = clock_mono_s() - from;
    }
    if (e) {
        return e;
    }
    CHECK(engine_live(d->engine) == 0);
    struct bench_usage u = bench_window_close(&w);
    double step_s = bench_spread(d->step_s, (size_t)d->o->steps).median;
    row[TOKENS_PER_S] = tokens / step_s;
    row[MEAN_TOKENS_PER_S] = tokens * (double)d->o->steps / u.wall;
    row[STEP_MS] = 1e3 * step_s;
    row[SECONDS] = u.wall;
    row[CPU_SECONDS] = u.cpu;
    row[TOKENS_PER_CPU_S] = tokens * (double)d->o->steps / u.cpu;
    row[OTHERS] = u.others;
    return d->products ? measure_products(d, row, why) : ERR_OK;
}

static enum err open_engine(struct decode *d, struct why *why)
{
    const struct options *o = d->o;
    const struct model_config *c = source_config(d->m.source);
    size_t n = (size_t)o->sequences, prompt = (size_t)o->prompt, steps = (size_t)o->steps;
    size_t rows = n * (pages_for(prompt) + pages_for(steps)) * PAGE_ROWS;
    const struct engine_limits l = {.slots = n,
                                    .prefill_rows = n * prompt,
                                    .kv_bytes = MAX(rows, 2 * PAGE_ROWS) * kv_cache_row_bytes(c),
                                    .max_context = prompt + steps + 1};
    enum err e = engine_create(d->m.device, c, &l, 1, on_sample, d, &d->engine, why);
    if (e) {
        return e;
    }
    engine_swap(d->engine, d->m.weights, 1);
    d->prompt = malloc(prompt * sizeof *d->prompt);
    d->step_s = malloc(steps * sizeof *d->step_s);
    if (!d->prompt || !d->step_s) {
        return why_set(why, ERR_NOMEM, "no memory for a prompt");
    }
    return o->common.roofline ? bench_products_attach(d->m.device, &d->products, why) : ERR_OK;
}

static enum err measure(struct decode *d, double load_s, struct why *why)
{
    const struct options *o = d->o;
    json_t *facts = bench_facts("decode", &o->common, &d->m);
    if (!facts) {
        return why_set(why, ERR_NOMEM, "no memory for figures");
    }
    json_object_set_new(facts, "sequences", json_integer(o->sequences));
    json_object_set_new(facts, "prompt", json_integer(o->prompt));
    json_object_set_new(facts, "steps", json_integer(o->steps));
    json_object_set_new(facts, "load_s", json_real(load_s));
    return bench_turns("decode: passes of one token for each sequence", facts, figures,
                       d->products ? FIGURES : PLAIN, &o->common, turn, d, why);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.common = bench_defaults, .sequences = 64, .prompt = 64, .steps = 32};
    struct words words;
    struct why why = {""};
    double load_s = 0;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    struct decode d = {.o = &o};
    bench_catch_signals();
    enum err e = bench_open_model(&o.common, &d.m, &load_s, &why);
    e = e ? e : open_engine(&d, &why);
    e = e ? e : measure(&d, load_s, &why);
    bench_products_detach(d.products);
    engine_destroy(d.engine);
    free(d.prompt);
    free(d.step_s);
    localmodel_close(&d.m);
    return bench_exit(self, e, &why);
}

const struct command bench_decode = {
    .name = "bench decode",
    .synopsis = "--model M [--sequences N] [--prompt N] [--steps N] [options]",
    .help = "tokens a second of the engine that actors run",
    .more = "Every sequence has a prompt of its own. tokens_per_s is by the median pass, "
            "mean_tokens_per_s by all of them; others is the share of the machine that other "
            "processes used.",
    .args = args,
    .run = run,
};
