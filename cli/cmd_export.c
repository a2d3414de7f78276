// cmd_export.c: a Hugging Face folder from a run's weights, or from any model that we read.
//
// In: RUN and a version that is still on disk (the newest by default), or --model with a GGUF file
// or a Hugging Face folder. Out: a folder that other tools load: config, weights, tokenizer, chat
// template.
//
// A run's weights are written as they were published, in the run's own dtype; only with --model is
// there a choice. Needs memory for one flat copy of the weights. Neither run nor model is changed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/localmodel.h"
#include "cli/settings.h"
#include "common/fs.h"
#include "learner/ledger.h"

struct options {
    const char *model, *out, *dtype;
    int64_t version;
};

static const struct arg args[] = {
    {"out", ARG_TEXT, offsetof(struct options, out), 0, 0, "DIR", "the folder to write"},
    {"model", ARG_TEXT, offsetof(struct options, model), 0, 0, "M",
     "GGUF file or HF folder instead of a run"},
    {"version", ARG_INT, offsetof(struct options, version), 1, 9e15, "V",
     "policy version of the run (default: the newest)"},
    {"dtype", ARG_TEXT, offsetof(struct options, dtype), 0, 0, "T",
     "with --model: bf16 (default) or f32; a run has its own"},
    {0},
};

static enum err newest_version(const char *run, int64_t *version, struct why *why)
{
    struct ledger *l;
    struct ledger_heads h;
    char *db = fs_path("%s/ledger.db", run);
    enum err e = db ? ledger_open_read(db, &l, why) : why_set(why, ERR_NOMEM, "out of memory");
    free(db);
    if (e) {
        return e;
    }
    e = ledger_get_heads(l, &h, why);
    ledger_close(l);
    if (!e) {
        *version = (int64_t)h.newest_version;
    }
    return e;
}

static enum err read_version(const char *run, const struct source *s, enum dtype t, int64_t version,
                             void **flat, struct why *why)
{
    const struct param_table *p = source_params(s);
    char *path = fs_path("%s/weights/v%06lld.safetensors", run, (long long)version);
    void *out = malloc(p->total * dtype_size(t));
    enum err e = path && out ? ERR_OK : why_set(why, ERR_NOMEM, "no memory for the weights");
    if (!e && !fs_exists(path)) {
        e = why_set(why, ERR_NOT_FOUND,
                    "%s: version %lld is not on disk (checkpoint.keep_versions)", run,
                    (long long)version);
    }
    e = e ? e : safetensors_read_flat(path, p, t, out, why);
    free(path);
    if (e) {
        free(out);
        return e;
    }
    *flat = out;
    return ERR_OK;
}

static enum err export_run(const char *run, struct options *o, struct why *why)
{
    struct conf c;
    struct source *s = NULL;
    void *flat = NULL;
    struct arg_list none = {0};
    enum err e = settings_from_run(run, &none, &c, why);
    e = e ? e : source_open(c.model, &s, why);
    e = e ? e : source_set_template(s, c.chat_template, why);
    if (!e && !o->version) {
        e = newest_version(run, &o->version, why);
    }
    if (!e) {
        enum dtype t = c.dtype == CONF_DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
        e = read_version(run, s, t, o->version, &flat, why);
        e = e ? e : source_export(s, o->out, t, flat, why);
    }
    if (!e) {
        printf("%s: version %lld of %s\n", o->out, (long long)o->version, run);
    }
    free(flat);
    source_close(s);
    return e;
}

static enum err export_model(const struct options *o, struct why *why)
{
    struct source *s = NULL;
    void *flat = NULL;
    enum dtype t;
    enum err e = localmodel_dtype(o->dtype, &t, why);
    e = e ? e : source_open(o->model, &s, why);
    e = e ? e : localmodel_flat(s, t, &flat, why);
    e = e ? e : source_export(s, o->out, t, flat, why);
    if (!e) {
        printf("%s: %s\n", o->out, o->model);
    }
    free(flat);
    source_close(s);
    return e;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.dtype = "bf16"};
    struct words words;
    struct why why;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!o.out) {
        return cli_complain(self, "--out DIR is missing");
    }
    if (words.n == (o.model != NULL)) {
        return cli_complain(self, "give a run folder or --model M");
    }
    enum err e = o.model ? export_model(&o, &why) : export_run(words.v[0], &o, &why);
    return e ? cli_fail(self, &why) : CLI_OK;
}

const struct command cmd_export = {
    .name = "export",
    .synopsis = "RUN | --model M --out DIR [--version V]",
    .help = "write a Hugging Face folder",
    .args = args,
    .max_words = 1,
    .run = run,
};
