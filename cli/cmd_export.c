// cmd_export.c: a model for other tools, from a run's weights or from any model that we read.
//
// In: RUN and a version that is still on disk (the newest by default), or --model with a GGUF file
// or a Hugging Face folder. Out: a Hugging Face folder (config, weights, tokenizer, chat template),
// or one GGUF file.
//
// Weights go from file to file a MiB at a time: memory does not grow with the model. Neither run nor
// model is changed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/settings.h"
#include "common/fs.h"
#include "learner/ledger.h"
#include "model/source.h"

struct options {
    const char *model, *out, *format, *dtype;
    int64_t version;
    double shard_gb;
};

static const struct arg args[] = {
    {"out", ARG_TEXT, offsetof(struct options, out), 0, 0, "PATH", "the folder or file to write"},
    {"format", ARG_TEXT, offsetof(struct options, format), 0, 0, "F",
     "hf (default): a Hugging Face folder; gguf: one file for llama.cpp"},
    {"dtype", ARG_TEXT, offsetof(struct options, dtype), 0, 0, "T",
     "bf16, f16 or f32 (default: what the run publishes; with --model bf16)"},
    {"shard-gb", ARG_NUM, offsetof(struct options, shard_gb), 1e-6, 1e6, "GB",
     "most tensors in one file of a folder, in 1e9 bytes (default 5)"},
    {"model", ARG_TEXT, offsetof(struct options, model), 0, 0, "M",
     "GGUF file or HF folder instead of a run"},
    {"version", ARG_INT, offsetof(struct options, version), 1, 9e15, "V",
     "policy version of the run (default: the newest)"},
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

static enum err use_version(const char *run, struct source *s, int64_t version, struct why *why)
{
    char *path = fs_path("%s/weights/v%06lld.safetensors", run, (long long)version);
    enum err e = path ? ERR_OK : why_set(why, ERR_NOMEM, "out of memory");
    if (!e && !fs_exists(path)) {
        e = why_set(why, ERR_NOT_FOUND,
                    "%s: version %lld is not on disk (checkpoint.keep_versions)", run,
                    (long long)version);
    }
    e = e ? e : source_use_weights(s, path, why);
    free(path);
    return e;
}

// Opens the run's model with the weights of o->version, which is set if it is 0.
static enum err open_run(const char *run, struct options *o, struct export_options *x,
                         struct source **out, struct why *why)
{
    struct conf c;
    struct arg_list none = {0};
    struct source *s = NULL;
    enum err e = settings_from_run(run, &none, &c, why);
    e = e ? e : source_open(c.model, &s, why);
    e = e ? e : source_set_template(s, c.chat_template, why);
    if (!e && !o->version) {
        e = newest_version(run, &o->version, why);
    }
    e = e ? e : use_version(run, s, o->version, why);
    if (e) {
        source_close(s);
        return e;
    }
    if (!x->type) {
        x->type = c.dtype == CONF_DTYPE_BF16 ? "BF16" : "F32";
    }
    *out = s;
    return ERR_OK;
}

static enum err export_to(const char *run, struct options *o, struct export_options *x,
                          struct why *why)
{
    struct source *s = NULL;
    enum err e = run ? open_run(run, o, x, &s, why) : source_open(o->model, &s, why);
    e = e ? e : source_export(s, o->out, x, why);
    source_close(s);
    if (!e && run) {
        printf("%s: version %lld of %s\n", o->out, (long long)o->version, run);
    } else if (!e) {
        printf("%s: %s\n", o->out, o->model);
    }
    return e;
}

// False: no such name.
static bool read_format(const char *text, enum export_format *out)
{
    *out = strcmp(text, "gguf") == 0 ? EXPORT_GGUF : EXPORT_HF;
    return strcmp(text, "gguf") == 0 || strcmp(text, "hf") == 0;
}

static bool read_dtype(const char *text, const char **out)
{
    static const struct {
        const char *text, *type;
    } types[] = {{"bf16", "BF16"}, {"f16", "F16"}, {"f32", "F32"}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].text, text) == 0) {
            *out = types[i].type;
            return true;
        }
    }
    return false;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.format = "hf", .shard_gb = 5};
    struct export_options x = {0};
    struct words words;
    struct why why;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!o.out) {
        return cli_complain(self, "--out PATH is missing");
    }
    if (words.n == (o.model != NULL)) {
        return cli_complain(self, "give a run folder or --model M");
    }
    if (!read_format(o.format, &x.format)) {
        return cli_complain(self, "--format: '%s', expected hf or gguf", o.format);
    }
    if (o.dtype && !read_dtype(o.dtype, &x.type)) {
        return cli_complain(self, "--dtype: '%s', expected bf16, f16 or f32", o.dtype);
    }
    x.shard_bytes = (uint64_t)(o.shard_gb * 1e9);
    enum err e = export_to(o.model ? NULL : words.v[0], &o, &x, &why);
    return e ? cli_fail(self, &why) : CLI_OK;
}

const struct command cmd_export = {
    .name = "export",
    .synopsis = "RUN | --model M --out PATH [--format hf|gguf] [--dtype T] [--version V]",
    .help = "write a Hugging Face folder or a GGUF file",
    .args = args,
    .max_words = 1,
    .run = run,
};
