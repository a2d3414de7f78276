// cmd_logprobs.c: log-probability of each token given those before it.
//
// In: lines {"ids", "temperature"} on stdin; out: lines {"logprobs"} with one value less than ids,
// since nothing stands before the first (jsonl.h). The forward pass is the one of actor and
// learner, so the values can be compared with recorded ones bit for bit.
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/jsonl.h"
#include "cli/localmodel.h"

struct options {
    const char *model, *dtype;
    int64_t threads;
};

static const struct arg args[] = {
    {"model", ARG_TEXT, offsetof(struct options, model), 0, 0, "M", "GGUF file or HF folder"},
    {"dtype", ARG_TEXT, offsetof(struct options, dtype), 0, 0, "T",
     "f32: the weights as they are (default); bf16: rounded as in a run"},
    {"threads", ARG_INT, offsetof(struct options, threads), 0, 256, "N",
     "compute threads, 0 = all cores"},
    {0},
};

static json_t *answer(void *arg, const json_t *in, const char *where, struct why *why)
{
    struct localmodel *m = arg;
    double temperature = 1;
    uint32_t *ids = NULL;
    size_t n = 0;
    json_t *out = NULL;
    size_t vocab = (size_t)source_config(m->source)->vocab;
    enum err e = json_opt_num(in, "temperature", 1e-3, 1e3, where, &temperature, why);
    e = e ? e : jsonl_get_ids(in, where, vocab, 1, &ids, &n, why);
    float *logp = e ? NULL : calloc(n, sizeof *logp);
    if (!e && !logp) {
        e = why_set(why, ERR_NOMEM, "%s: out of memory", where);
    }
    if (!e && (e = localmodel_score(m, ids, n, (float)temperature, logp, why))) {
        e = why_prefix(why, e, "%s", where);
    }
    if (!e && !(out = json_pack("{s:o}", "logprobs", jsonl_floats(logp, n - 1)))) {
        (void)why_set(why, ERR_NOMEM, "%s: out of memory", where);
    }
    free(logp);
    free(ids);
    return out;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.dtype = "f32"};
    struct words words;
    struct why why;
    struct localmodel m = {0};
    enum dtype t;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!o.model) {
        return cli_complain(self, "--model is missing");
    }
    if (localmodel_dtype(o.dtype, &t, &why) || localmodel_open(o.model, &m, &why) ||
        localmodel_load(&m, t, (int)o.threads, &why)) {
        localmodel_close(&m);
        return cli_fail(self, &why);
    }
    rc = jsonl_run(answer, &m);
    localmodel_close(&m);
    return rc;
}

const struct command cmd_logprobs = {
    .name = "logprobs",
    .synopsis = "--model M < LINES",
    .help = "log-probability of each token given those before it",
    .more = "in:   {\"ids\": [1, 2, …], \"temperature\": 1}\n"
            "out:  {\"logprobs\": […]}, one value less than ids: the first token has none",
    .args = args,
    .run = run,
};
