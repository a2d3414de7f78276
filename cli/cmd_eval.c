// cmd_eval.c: greedy accuracy of a model on held-out tasks, all in this process: the actors' engine
// writes the answers, the verifiers' worker pool checks them.
//
// The tasks are those that a run holds out, and bf16 is what a run publishes, so the figure for a
// run's first model is the run's own evaluation of version 1.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "actor/engine.h"
#include "cli/commands.h"
#include "cli/jsonl.h"
#include "cli/localmodel.h"
#include "common/clock.h"
#include "common/pool.h"
#include "learner/run.h"
#include "verifier/workpool.h"

struct options {
    const char *model, *kind, *data, *dtype, *chat_template;
    int64_t n, max_tokens, max_prompt, threads, slots, kv_mb;
    bool json;
};

static const struct arg args[] = {
    {"model", ARG_TEXT, offsetof(struct options, model), 0, 0, "M", "GGUF file or HF folder"},
    {"chat-template", ARG_TEXT, offsetof(struct options, chat_template), 0, 0, "T",
     "format of messages: tulu, llama3 … or a Jinja file, instead of the model's own"},
    {"kind", ARG_TEXT, offsetof(struct options, kind), 0, 0, "KIND",
     "math, constraints or mixed (default mixed)"},
    {"data", ARG_TEXT, offsetof(struct options, data), 0, 0, "FILE",
     "RLVR JSONL instead of tasks from our own templates"},
    {"n", ARG_INT, offsetof(struct options, n), 1, 1e6, "N", "tasks (default 200)"},
    {"max-tokens", ARG_INT, offsetof(struct options, max_tokens), 1, 1e5, "N",
     "longest answer (default 40)"},
    {"max-prompt-tokens", ARG_INT, offsetof(struct options, max_prompt), 1, 1e5, "N",
     "longer prompts are left out (default 1024)"},
    {"dtype", ARG_TEXT, offsetof(struct options, dtype), 0, 0, "T",
     "bf16: as in a run (default); f32: the weights as they are"},
    {"threads", ARG_INT, offsetof(struct options, threads), 0, 256, "N",
     "compute threads, 0 = all cores"},
    {"slots", ARG_INT, offsetof(struct options, slots), 1, 4096, "N",
     "answers written at once (default 64)"},
    {"kv-mb", ARG_INT, offsetof(struct options, kv_mb), 1, 1 << 20, "N",
     "MiB for keys and values (default 320)"},
    {"json", ARG_FLAG, offsetof(struct options, json), 0, 0, NULL,
     "also each answer, one JSON object a line"},
    {0},
};

struct result {
    struct evaluation *owner;
    struct buf response;
    enum msg_finish finish;
    enum score_outcome outcome;
    double reward;
    bool answered;
};

struct evaluation {
    const struct options *o;
    struct localmodel m;
    struct tasks *tasks;
    struct engine *engine;
    struct result *results;
    size_t n, n_scored;
    uv_loop_t loop;
    struct workpool *pool;
    struct why why;
    enum err err;
};

static void on_sample(void *arg, const struct engine_sample *s)
{
    struct evaluation *v = arg;
    struct result *r = &v->results[s->sample_id];
    enum err e =
        tokenizer_decode(v->m.tokenizer, s->tokens, s->n_tokens, true, &r->response, &v->why);
    r->finish = (enum msg_finish)s->finish;
    r->answered = !e;
    v->err = v->err ? v->err : e;
}

static enum err load(struct evaluation *v, struct why *why)
{
    struct tasks_limits limits = {.max_prompt_tokens = (size_t)v->o->max_prompt,
                                  .max_rows = (size_t)v->o->n};
    enum taskgen_kind kind;
    enum dtype t;
    enum err e = localmodel_dtype(v->o->dtype, &t, why);
    e = e ? e : taskgen_kind_parse(v->o->kind, &kind, why);
    e = e ? e : localmodel_open(v->o->model, &v->m, why);
    e = e ? e : localmodel_template(&v->m, v->o->chat_template, why);
    if (!e) {
        e = v->o->data ? tasks_load(v->o->data, v->m.tokenizer, &limits, &v->tasks, why)
                       : tasks_generate(kind, (size_t)v->o->n, RUN_EVAL_SEED, true, v->m.tokenizer,
                                        &limits, &v->tasks, why);
    }
    e = e ? e : localmodel_load(&v->m, t, (int)v->o->threads, why);
    if (e) {
        return e;
    }
    v->n = tasks_count(v->tasks);
    v->results = calloc(v->n, sizeof *v->results);
    for (size_t i = 0; v->results && i < v->n; i++) {
        v->results[i].owner = v;
        buf_init(&v->results[i].response, 0);
    }
    return v->results ? ERR_OK : why_set(why, ERR_NOMEM, "out of memory");
}

static enum err add_task(struct evaluation *v, size_t i, const uint32_t *stop, size_t n_stop,
                         struct why *why)
{
    const struct task *t = tasks_get(v->tasks, i);
    uint64_t id = i;
    struct msg_group g = {
        .group_id = i + 1,
        .prompt = t->prompt,
        .n_prompt = t->n_prompt,
        .sample_ids = &id,
        .n_samples = 1,
        .attempt = 1,
        .sampling = {.max_tokens = (uint32_t)v->o->max_tokens, .temperature = 0, .top_p = 1}};
    return engine_add(v->engine, &g, stop, n_stop, why);
}

static enum err generate(struct evaluation *v, struct why *why)
{
    const struct model_config *c = source_config(v->m.source);
    uint32_t stop[32];
    size_t n_stop = tokenizer_stop_ids(v->m.tokenizer, stop, ARRAY_LEN(stop));
    struct engine_limits l = {.slots = (size_t)v->o->slots,
                              .prefill_rows = 256,
                              .kv_bytes = (size_t)v->o->kv_mb << 20,
                              .max_context = (size_t)(v->o->max_prompt + v->o->max_tokens)};
    enum err e = engine_create(v->m.device, c, &l, 0, on_sample, v, &v->engine, why);
    if (e) {
        return e;
    }
    engine_swap(v->engine, v->m.weights, 1);
    for (size_t i = 0; i < v->n && !e; i++) {
        e = add_task(v, i, stop, n_stop, why);
    }
    while (!e && engine_live(v->engine)) {
        int worked;
        e = engine_step(v->engine, NULL, &worked, why);
    }
    if (!e && v->err) {
        *why = v->why;
        e = v->err;
    }
    return e;
}

// ---- scoring ----

static void on_pool_closed(void *arg)
{
    (void)arg;
}

static void on_verdict(void *arg, const struct score_result *s, uint32_t elapsed_us)
{
    struct result *r = arg;
    struct evaluation *v = r->owner;
    (void)elapsed_us;
    r->outcome = s->outcome;
    r->reward = s->reward;
    if (++v->n_scored == v->n) {
        workpool_close(v->pool, on_pool_closed, v);
    }
}

static struct score_text text_of(const char *s)
{
    return (struct score_text){.data = s, .len = strlen(s)};
}

static enum err submit(struct evaluation *v, size_t i, struct why *why)
{
    const struct task *t = tasks_get(v->tasks, i);
    struct result *r = &v->results[i];
    struct score_request q = {.dataset = text_of(t->dataset),
                              .checks = text_of(t->checks),
                              .ground_truth = text_of(t->ground_truth),
                              .prompt = text_of(t->prompt_text),
                              .response = {.data = r->response.len ? (char *)r->response.data : "",
                                           .len = r->response.len},
                              .finish = (uint32_t)r->finish};
    return workpool_submit(v->pool, &q, 0, on_verdict, r, why);
}

static enum err score(struct evaluation *v, struct why *why)
{
    struct workpool_config c = {.n_workers = (uint32_t)pool_cores(),
                                .sandbox = CONF_SANDBOX_AUTO,
                                .deadline_ms = 5000,
                                .recycle_jobs = 10000,
                                .queue_max = (uint32_t)v->n};
    if (uv_loop_init(&v->loop)) {
        return why_set(why, ERR_NOMEM, "cannot make an event loop");
    }
    enum err e = workpool_create(&v->loop, &c, NULL, NULL, &v->pool, why);
    if (e) {
        uv_loop_close(&v->loop);
        return e;
    }
    for (size_t i = 0; i < v->n && !e; i++) {
        e = submit(v, i, why);
    }
    if (e) {
        workpool_close(v->pool, on_pool_closed, v);
    }
    uv_run(&v->loop, UV_RUN_DEFAULT);
    workpool_destroy(v->pool);
    uv_loop_close(&v->loop);
    return e;
}

// ---- report ----

static void print_answers(const struct evaluation *v)
{
    struct why why;
    for (size_t i = 0; i < v->n; i++) {
        const struct task *t = tasks_get(v->tasks, i);
        const struct result *r = &v->results[i];
        (void)why_set(&why, ERR_INVALID, "task %zu: not UTF-8", i);
        (void)jsonl_print(
            json_pack("{s:s, s:s, s:o, s:s, s:f, s:s}", "kind", t->kind, "prompt", t->prompt_text,
                      "response", jsonl_text((char *)r->response.data, r->response.len), "outcome",
                      score_outcome_name(r->outcome), "reward", r->reward, "finish_reason",
                      r->finish == MSG_FINISH_STOP ? "stop" : "length"),
            &why);
    }
}

static void print_kinds(const struct evaluation *v)
{
    for (size_t i = 0; i < v->n; i++) {
        const char *kind = tasks_get(v->tasks, i)->kind;
        size_t n = 0, k = 0;
        double sum = 0;
        while (strcmp(tasks_get(v->tasks, k)->kind, kind) != 0) {
            k++;
        }
        if (k < i) {
            continue;    // told already
        }
        for (; k < v->n; k++) {
            if (strcmp(tasks_get(v->tasks, k)->kind, kind) == 0) {
                n++;
                sum += v->results[k].reward;
            }
        }
        printf("  %-20s %.3f  of %zu\n", kind, sum / (double)n, n);
    }
}

static void report(const struct evaluation *v, double seconds)
{
    double sum = 0;
    size_t unscored = 0;
    for (size_t i = 0; i < v->n; i++) {
        sum += v->results[i].reward;
        unscored += v->results[i].outcome == SCORE_UNSCORED;
    }
    if (v->o->json) {
        print_answers(v);
        printf("{\"accuracy\":%.6f,\"n\":%zu,\"unscored\":%zu}\n", sum / (double)v->n, v->n,
               unscored);
        return;
    }
    printf("accuracy %.3f on %zu %s tasks, greedy, at most %lld tokens (%.1f s)",
           sum / (double)v->n, v->n, v->o->data ? v->o->data : v->o->kind,
           (long long)v->o->max_tokens, seconds);
    if (unscored) {
        printf("; %zu could not be scored and count as wrong", unscored);
    }
    printf("\n");
    print_kinds(v);
}

static void evaluation_fini(struct evaluation *v)
{
    for (size_t i = 0; v->results && i < v->n; i++) {
        buf_fini(&v->results[i].response);
    }
    free(v->results);
    engine_destroy(v->engine);
    tasks_destroy(v->tasks);
    localmodel_close(&v->m);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.kind = "mixed",
                        .dtype = "bf16",
                        .n = 200,
                        .max_tokens = 40,
                        .max_prompt = 1024,
                        .slots = 64,
                        .kv_mb = 320};
    struct words words;
    struct why why;
    struct evaluation v = {.o = &o};
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!o.model) {
        return cli_complain(self, "--model is missing");
    }
    double start = clock_mono_s();
    enum err e = load(&v, &why);
    e = e ? e : generate(&v, &why);
    e = e ? e : score(&v, &why);
    if (!e) {
        report(&v, clock_mono_s() - start);
    }
    evaluation_fini(&v);
    return e ? cli_fail(self, &why) : CLI_OK;
}

const struct command cmd_eval = {
    .name = "eval",
    .synopsis = "--model M [--kind KIND | --data FILE] [--n N] [--max-tokens N]",
    .help = "greedy accuracy of any model on held-out tasks",
    .args = args,
    .run = run,
};
