// cmd_detokenize.c: token ids to text.
//
// In: lines {"ids": […]} on stdin; out: lines {"text"} in the same order (jsonl.h). Special tokens
// are kept unless "skip_special" is true, and invalid UTF-8 becomes U+FFFD, since JSON cannot hold
// it. Only the tokenizer of the model is used, no weights.
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/jsonl.h"
#include "cli/localmodel.h"

struct options {
    const char *model;
};

static const struct arg args[] = {
    {"model", ARG_TEXT, offsetof(struct options, model), 0, 0, "M", "GGUF file or HF folder"},
    {0},
};

static json_t *answer(void *arg, const json_t *in, const char *where, struct why *why)
{
    const struct localmodel *m = arg;
    bool skip = false;
    uint32_t *ids = NULL;
    size_t n = 0;
    struct buf text;
    json_t *out = NULL;
    buf_init(&text, 0);
    enum err e = json_opt_bool(in, "skip_special", where, &skip, why);
    e = e ? e : jsonl_get_ids(in, where, tokenizer_vocab(m->tokenizer), 0, &ids, &n, why);
    e = e ? e : tokenizer_decode(m->tokenizer, ids, n, skip, &text, why);
    if (!e) {
        out = json_pack("{s:o}", "text", jsonl_text((const char *)text.data, text.len));
        if (!out) {
            (void)why_set(why, ERR_NOMEM, "%s: out of memory", where);
        }
    }
    free(ids);
    buf_fini(&text);
    return out;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    struct words words;
    struct why why;
    struct localmodel m = {0};
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!o.model) {
        return cli_complain(self, "--model is missing");
    }
    if (localmodel_open(o.model, &m, &why)) {
        return cli_fail(self, &why);
    }
    rc = jsonl_run(answer, &m);
    localmodel_close(&m);
    return rc;
}

const struct command cmd_detokenize = {
    .name = "detokenize",
    .synopsis = "--model M < LINES",
    .help = "token ids to text",
    .more = "in:   {\"ids\": [1, 2, …], \"skip_special\": false}\n"
            "out:  {\"text\": \"…\"}, invalid UTF-8 as U+FFFD",
    .args = args,
    .run = run,
};
