// cmd_generate.c: completions, by the same engine that actors run.
//
// Requests are answered one by one. An engine serves one seed and has a cache of fixed size, so a
// request with another seed or a longer text gets a new engine; a list of equal requests keeps one.
#include <stdlib.h>
#include <string.h>

#include "actor/engine.h"
#include "cli/commands.h"
#include "cli/jsonl.h"
#include "cli/localmodel.h"
#include "proto/limits.h"

enum { FIRST_ROWS = 512, PREFILL_ROWS = 256 };

struct request {
    uint32_t *ids;
    size_t n;
    int64_t max_tokens, seed, sample_id, top_k;
    double temperature, top_p, min_p;
};

struct options {
    const char *model, *dtype, *chat_template;
    int64_t threads;
    struct request unsaid;    // what a line does not say
};

static const struct arg args[] = {
    {"model", ARG_TEXT, offsetof(struct options, model), 0, 0, "M", "GGUF file or HF folder"},
    {"chat-template", ARG_TEXT, offsetof(struct options, chat_template), 0, 0, "T",
     "format of messages: tulu, llama3 … or a Jinja file, instead of the model's own"},
    {"dtype", ARG_TEXT, offsetof(struct options, dtype), 0, 0, "T",
     "f32: the weights as they are (default); bf16: rounded as in a run"},
    {"threads", ARG_INT, offsetof(struct options, threads), 0, 256, "N",
     "compute threads, 0 = all cores"},
    {"max-tokens", ARG_INT, offsetof(struct options, unsaid.max_tokens), 1, 1 << 17, "N",
     "of lines that do not say (default 128); likewise the following"},
    {"temperature", ARG_NUM, offsetof(struct options, unsaid.temperature), 0, 1e3, "X",
     "0 is greedy (default 1)"},
    {"top-k", ARG_INT, offsetof(struct options, unsaid.top_k), 0, 1 << 20, "N",
     "only the N most likely tokens; 0 is off (default)"},
    {"top-p", ARG_NUM, offsetof(struct options, unsaid.top_p), 1e-6, 1, "X",
     "only the most likely tokens that have this probability together (default 1: off)"},
    {"min-p", ARG_NUM, offsetof(struct options, unsaid.min_p), 0, 1, "X",
     "only tokens at least X times as probable as the most likely one (default 0: off)"},
    {0},
};

struct generator {
    struct localmodel m;
    struct engine *engine;
    uint64_t seed;
    size_t rows;    // of the engine's cache
    struct request unsaid;
    json_t *out;    // of the request at hand
    struct why why;
    uint32_t stop[LIMIT_STOP_IDS];
    size_t n_stop;
};

static void on_sample(void *arg, const struct engine_sample *s)
{
    struct generator *g = arg;
    struct buf text;
    buf_init(&text, 0);
    if (tokenizer_decode(g->m.tokenizer, s->tokens, s->n_tokens, true, &text, &g->why) == ERR_OK) {
        g->out =
            json_pack("{s:o, s:o, s:o, s:s, s:f}", "ids", jsonl_ids(s->tokens, s->n_tokens), "text",
                      jsonl_text((const char *)text.data, text.len), "logprobs",
                      jsonl_floats(s->logprobs, s->n_tokens), "finish_reason",
                      s->finish == MSG_FINISH_STOP ? "stop" : "length", "kept_mass", s->kept_mass);
        if (!g->out) {
            (void)why_set(&g->why, ERR_NOMEM, "out of memory");
        }
    }
    buf_fini(&text);
}

static enum err prepare(struct generator *g, const struct request *r, struct why *why)
{
    const struct model_config *c = source_config(g->m.source);
    size_t context = (size_t)c->max_positions, need = r->n + (size_t)r->max_tokens;
    if (need > context) {
        return why_set(why, ERR_LIMIT,
                       "%zu prompt tokens and max_tokens %lld exceed the model's context of %zu",
                       r->n, (long long)r->max_tokens, context);
    }
    if (g->engine && g->seed == (uint64_t)r->seed && need <= g->rows) {
        return ERR_OK;
    }
    size_t rows = MAX(g->rows, (size_t)FIRST_ROWS);
    while (rows < need) {
        rows *= 2;
    }
    struct engine_limits l = {.slots = 1,
                              .prefill_rows = PREFILL_ROWS,
                              .kv_bytes = (rows + 32) * kv_cache_row_bytes(c),
                              .max_context = MIN(rows, context)};
    engine_destroy(g->engine);
    g->engine = NULL;
    enum err e =
        engine_create(g->m.device, c, &l, (uint64_t)r->seed, on_sample, g, &g->engine, why);
    if (!e) {
        engine_swap(g->engine, g->m.weights, 1);
        g->seed = (uint64_t)r->seed;
        g->rows = rows;
    }
    return e;
}

static enum err read_request(const struct generator *g, const json_t *in, const char *where,
                             struct request *r, struct why *why)
{
    struct token_ids ids = {0};
    enum err e = ERR_OK;
    *r = g->unsaid;
    e = e ? e : json_opt_int(in, "max_tokens", 1, 1 << 17, where, &r->max_tokens, why);
    e = e ? e : json_opt_int(in, "seed", 0, INT64_MAX, where, &r->seed, why);
    e = e ? e : json_opt_int(in, "sample_id", 0, INT64_MAX, where, &r->sample_id, why);
    e = e ? e : json_opt_int(in, "top_k", 0, 1 << 20, where, &r->top_k, why);
    e = e ? e : json_opt_num(in, "temperature", 0, 1e3, where, &r->temperature, why);
    e = e ? e : json_opt_num(in, "top_p", 1e-6, 1, where, &r->top_p, why);
    e = e ? e : json_opt_num(in, "min_p", 0, 1, where, &r->min_p, why);
    if (e) {
        return e;
    }
    if (json_object_get(in, "ids")) {
        return jsonl_get_ids(in, where, (size_t)source_config(g->m.source)->vocab, 1, &r->ids,
                             &r->n, why);
    }
    e = localmodel_prompt(&g->m, in, where, true, &ids, why);
    if (e) {
        token_ids_fini(&ids);
        return e;
    }
    r->ids = ids.ids;
    r->n = ids.n;
    return ERR_OK;
}

static enum err complete(struct generator *g, const struct request *r, struct why *why)
{
    enum err e = prepare(g, r, why);
    if (e) {
        return e;
    }
    uint64_t id = (uint64_t)r->sample_id;
    struct msg_group group = {.group_id = 1,
                              .prompt = r->ids,
                              .n_prompt = r->n,
                              .sample_ids = &id,
                              .n_samples = 1,
                              .attempt = 1,
                              .sampling = {.max_tokens = (uint32_t)r->max_tokens,
                                           .temperature = (float)r->temperature,
                                           .top_p = (float)r->top_p,
                                           .top_k = (uint32_t)r->top_k,
                                           .min_p = (float)r->min_p}};
    e = engine_add(g->engine, &group, g->stop, g->n_stop, why);
    while (!e && engine_live(g->engine)) {
        int worked;
        e = engine_step(g->engine, NULL, &worked, why);
    }
    if (e) {
        engine_destroy(g->engine);
        g->engine = NULL;
        return e;
    }
    if (!g->out) {
        *why = g->why;
    }
    return ERR_OK;
}

static json_t *answer(void *arg, const json_t *in, const char *where, struct why *why)
{
    struct generator *g = arg;
    struct request r;
    g->out = NULL;
    enum err e = read_request(g, in, where, &r, why);
    if (!e && (e = complete(g, &r, why))) {
        (void)why_prefix(why, e, "%s", where);
    }
    free(r.ids);
    return g->out;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.dtype = "f32",
                        .unsaid = {.max_tokens = 128, .temperature = 1, .top_p = 1}};
    struct words words;
    struct why why;
    struct generator g = {0};
    enum dtype t;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!o.model) {
        return cli_complain(self, "--model is missing");
    }
    if (localmodel_dtype(o.dtype, &t, &why) || localmodel_open(o.model, &g.m, &why) ||
        localmodel_template(&g.m, o.chat_template, &why) ||
        localmodel_load(&g.m, t, (int)o.threads, &why)) {
        localmodel_close(&g.m);
        return cli_fail(self, &why);
    }
    g.unsaid = o.unsaid;
    g.n_stop = tokenizer_stop_ids(g.m.tokenizer, g.stop, ARRAY_LEN(g.stop));
    rc = jsonl_run(answer, &g);
    engine_destroy(g.engine);
    localmodel_close(&g.m);
    return rc;
}

const struct command cmd_generate = {
    .name = "generate",
    .synopsis = "--model M < LINES",
    .help = "completions with their log-probabilities",
    .more = "in:   {\"ids\": [1, 2, …] or \"messages\": […], \"max_tokens\": 128, "
            "\"temperature\": 1, \"top_p\": 1, \"top_k\": 0,\n"
            "       \"min_p\": 0, \"seed\": 0, \"sample_id\": 0}; temperature 0 is greedy. The "
            "seed and sample id "
            "of a run give its answer again.\n"
            "out:  {\"ids\": […], \"text\": \"…\", \"logprobs\": […], \"finish_reason\": \"stop\" "
            "or \"length\",\n"
            "       \"kept_mass\": probability that top_k, top_p and min_p left, mean over the "
            "tokens}",
    .args = args,
    .run = run,
};
