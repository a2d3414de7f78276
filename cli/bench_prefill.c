// bench_prefill.c: `caravan bench prefill`: how fast prompts are read.
//
// A turn runs `sequences` different prompts through the model in passes of at most `rows` tokens, as
// an actor reads the prompts of its leases: keys and values are kept, no logits are made. With
// --score the log-prob of every next token is made as well: what scoring given answers costs.
#include <stdlib.h>

#include "cli/bench.h"
#include "cli/bench_products.h"
#include "common/clock.h"

struct options {
    struct bench_options common;
    int64_t sequences, prompt, rows;
    bool score;
};

static const struct arg args[] = {
    BENCH_MODEL_ARGS,
    {"sequences", ARG_INT, offsetof(struct options, sequences), 1, 4096, "N",
     "prompts, all different (default 64)"},
    {"prompt", ARG_INT, offsetof(struct options, prompt), 1, 65536, "N",
     "tokens of each prompt (default 64)"},
    {"rows", ARG_INT, offsetof(struct options, rows), 1, 65536, "N",
     "most tokens of a pass (default 512)"},
    {"score", ARG_FLAG, offsetof(struct options, score), 0, 0, NULL,
     "also the log-prob of every next token"},
    BENCH_TURN_ARGS,
    BENCH_ROOFLINE_ARG,
    {0},
};

enum figure { TOKENS_PER_S, SECONDS, CPU_SECONDS, TOKENS_PER_CPU_S, OTHERS, PLAIN };
enum { PRODUCTS_S = PLAIN, PRODUCTS_SHARE, PRODUCTS_CPU_SHARE, PRODUCTS_GFLOPS, FIGURES };

static const struct bench_figure figures[FIGURES] = {
    [TOKENS_PER_S] = {"tokens_per_s", 1},
    [SECONDS] = {"seconds", 6},
    [CPU_SECONDS] = {"cpu_seconds", 6},
    [TOKENS_PER_CPU_S] = {"tokens_per_cpu_s", 1},
    [OTHERS] = {"others", 3},
    [PRODUCTS_S] = {"products_s", 6},
    [PRODUCTS_SHARE] = {"products_share", 3},
    [PRODUCTS_CPU_SHARE] = {"products_cpu_share", 3},
    [PRODUCTS_GFLOPS] = {"products_gflops", 1},
};

struct prefill {
    const struct options *o;
    struct localmodel m;
    struct kv_cache *kv;
    struct batch batch;
    int32_t *index;               // (o->prompt)
    struct sample_spec *spec;     // (o->rows)
    struct sample_out *result;    // (o->rows)
    struct bench_products *products;
};

static size_t rows_of_pass(const struct options *o)
{
    return (size_t)MIN(o->rows, o->sequences * o->prompt);
}

static int32_t token_at(const struct prefill *p, size_t sequence, size_t pos)
{
    size_t vocab = MIN((size_t)source_config(p->m.source)->vocab, 1000);
    return (int32_t)((100 + pos * 7 + sequence) % vocab);
}

// Row `at` of all prompts laid end to end; its keys are the rows of its prompt up to itself.
static enum err add_row(struct prefill *p, size_t at, int32_t keys_off)
{
    size_t T = (size_t)p->o->prompt, pos = at % T;
    int32_t row = 0;
    enum err e = batch_add_row(&p->batch, token_at(p, at / T, pos), (int32_t)pos, (int32_t)at,
                               keys_off, (int32_t)pos + 1, &row);
    if (!e && p->o->score && pos + 1 < T) {
        e = batch_add_out(&p->batch, row, token_at(p, at / T, pos + 1));
    }
    return e;
}

static enum err fill(struct prefill *p, size_t first, size_t n)
{
    size_t T = (size_t)p->o->prompt;
    int32_t off = 0;
    enum err e = ERR_OK;
    batch_clear(&p->batch);
    for (size_t at = first; !e && at < first + n; at++) {
        if (at == first || at % T == 0) {
            for (size_t i = 0; i < T; i++) {
                p->index[i] = (int32_t)(at / T * T + i);
            }
            e = batch_add_index(&p->batch, p->index, T, &off);
        }
        e = e ? e : add_row(p, at, off);
    }
    return e;
}

static enum err read_all(struct prefill *p, struct why *why)
{
    size_t total = (size_t)(p->o->sequences * p->o->prompt), most = rows_of_pass(p->o);
    enum err e = ERR_OK;
    for (size_t first = 0; !e && first < total; first += most) {
        e = fill(p, first, MIN(most, total - first));
        e = e ? why_set(why, e, "batch: %s", err_text(e))
              : model_forward(p->m.model, p->m.weights, p->kv, &p->batch, p->spec, p->result,
                              bench_halt(), why);
    }
    return e;
}

static enum err turn(void *arg, double *row, struct why *why)
{
    struct prefill *p = arg;
    struct bench_window w;
    bench_window_open(&w);
    enum err e = read_all(p, why);
    if (e) {
        return e;
    }
    struct bench_usage u = bench_window_close(&w);
    row[TOKENS_PER_S] = (double)(p->o->sequences * p->o->prompt) / u.wall;
    row[SECONDS] = u.wall;
    row[CPU_SECONDS] = u.cpu;
    row[TOKENS_PER_CPU_S] = (double)(p->o->sequences * p->o->prompt) / u.cpu;
    row[OTHERS] = u.others;
    if (p->products) {
        bench_products_record(p->products, true);
        e = read_all(p, why);
        bench_products_record(p->products, false);
        struct bench_span alone = bench_products_replay(p->products);
        row[PRODUCTS_S] = alone.wall;
        row[PRODUCTS_SHARE] = alone.wall / u.wall;
        row[PRODUCTS_CPU_SHARE] = alone.cpu / u.cpu;
        row[PRODUCTS_GFLOPS] = 1e-9 * bench_products_flop(p->products) / row[PRODUCTS_S];
    }
    return e;
}

static enum err make_ready(struct prefill *p, struct why *why)
{
    const struct options *o = p->o;
    size_t rows = rows_of_pass(o), prompt = (size_t)o->prompt;
    // A pass may begin and end inside a prompt.
    const struct model_limits l = {
        .max_rows = rows, .max_index = rows + 2 * prompt, .max_outs = rows, .max_context = prompt};
    enum err e = model_create(p->m.device, source_config(p->m.source), &l, &p->m.model, why);
    e = e ? e : kv_cache_create(p->m.model, (size_t)o->sequences * prompt, &p->kv, why);
    p->index = malloc(prompt * sizeof *p->index);
    p->spec = malloc(rows * sizeof *p->spec);
    p->result = malloc(rows * sizeof *p->result);
    if (!e && (!p->index || !p->spec || !p->result)) {
        e = why_set(why, ERR_NOMEM, "no memory for a pass of %zu rows", rows);
    }
    for (size_t i = 0; !e && i < rows; i++) {
        p->spec[i] = (struct sample_spec){.temperature = 1, .top_p = 1};
    }
    return !e && o->common.roofline ? bench_products_attach(p->m.device, &p->products, why) : e;
}

static enum err measure(struct prefill *p, double load_s, struct why *why)
{
    const struct options *o = p->o;
    json_t *facts = bench_facts("prefill", &o->common, &p->m);
    if (!facts) {
        return why_set(why, ERR_NOMEM, "no memory for figures");
    }
    json_object_set_new(facts, "sequences", json_integer(o->sequences));
    json_object_set_new(facts, "prompt", json_integer(o->prompt));
    json_object_set_new(facts, "rows", json_integer((json_int_t)rows_of_pass(o)));
    json_object_set_new(facts, "score", json_boolean(o->score));
    json_object_set_new(facts, "load_s", json_real(load_s));
    return bench_turns("prefill: prompts read into the cache", facts, figures,
                       p->products ? FIGURES : PLAIN, &o->common, turn, p, why);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.common = bench_defaults, .sequences = 64, .prompt = 64, .rows = 512};
    struct words words;
    struct why why = {""};
    double load_s = 0;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    struct prefill p = {.o = &o};
    batch_init(&p.batch);
    bench_catch_signals();
    enum err e = bench_open_model(&o.common, &p.m, &load_s, &why);
    e = e ? e : make_ready(&p, &why);
    e = e ? e : measure(&p, load_s, &why);
    bench_products_detach(p.products);
    batch_fini(&p.batch);
    kv_cache_destroy(p.kv);
    free(p.index);
    free(p.spec);
    free(p.result);
    localmodel_close(&p.m);
    return bench_exit(self, e, &why);
}

const struct command bench_prefill = {
    .name = "bench prefill",
    .synopsis = "--model M [--sequences N] [--prompt N] [--rows N] [--score] [options]",
    .help = "tokens a second at which prompts are read, or scored",
    .more = "No logits are made, as when an actor reads a prompt; --score makes the log-prob of "
            "every next token.",
    .args = args,
    .run = run,
};
