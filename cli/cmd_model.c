// cmd_model.c: models on disk before anything is trained on them: `caravan model info` and `caravan
// model check`.
//
// Each is a command of its own with options and help; `caravan model` finds it by the next word.
// info says what a model is and what a run of it takes in memory (plan.h), from the headers of its
// files alone. check reads every value and prints a line for each problem. Neither writes anything.
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/plan.h"
#include "common/pool.h"
#include "model/source.h"

// ---- info ----

struct info_options {
    int64_t rows, slots, kv_mb;
    const char *dtype;
};

static const struct arg info_args[] = {
    {"rows", ARG_INT, offsetof(struct info_options, rows), 1, 1e6, "N",
     "rows of one training pass, as optim.micro_batch_tokens (default: a run's)"},
    {"slots", ARG_INT, offsetof(struct info_options, slots), 1, 4096, "N",
     "samples that an actor decodes at once, as actor.slots (default: a run's)"},
    {"kv-mb", ARG_INT, offsetof(struct info_options, kv_mb), 1, 1048576, "N",
     "an actor's KV cache in MiB, as actor.kv_mb (default: a run's)"},
    {"dtype", ARG_TEXT, offsetof(struct info_options, dtype), 0, 0, "T",
     "published weights, as model.dtype: bf16 (default) or f32"},
    {0},
};

static void configure(const struct info_options *o, struct conf *c)
{
    conf_defaults(c);
    c->dtype = strcmp(o->dtype, "f32") == 0 ? CONF_DTYPE_F32 : CONF_DTYPE_BF16;
    c->micro_batch_tokens = o->rows ? o->rows : c->micro_batch_tokens;
    c->actor_slots = o->slots ? o->slots : c->actor_slots;
    c->actor_kv_mb = o->kv_mb ? o->kv_mb : c->actor_kv_mb;
}

static enum err write_out(const struct buf *text, struct why *why)
{
    return fwrite(text->data, 1, text->len, stdout) == text->len && fflush(stdout) == 0
               ? ERR_OK
               : why_set(why, ERR_IO, "writing the answer: %s", err_text(ERR_IO));
}

static int run_info(const struct command *self, int argc, char **argv)
{
    struct info_options o = {.dtype = "bf16"};
    struct words words;
    struct why why;
    struct conf c;
    struct source *s = NULL;
    struct buf text;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (strcmp(o.dtype, "bf16") != 0 && strcmp(o.dtype, "f32") != 0) {
        return cli_complain(self, "--dtype: '%s', expected bf16 or f32", o.dtype);
    }
    configure(&o, &c);
    buf_init(&text, 0);
    enum err e = source_open(words.v[0], &s, &why);
    if (!e && (source_describe(s, &text) || plan_memory(&c, source_config(s), &text))) {
        e = why_set(&why, ERR_NOMEM, "out of memory");
    }
    e = e ? e : write_out(&text, &why);
    source_close(s);
    buf_fini(&text);
    return e ? cli_fail(self, &why) : CLI_OK;
}

static const struct command info = {
    .name = "model info",
    .synopsis = "PATH",
    .help = "what a GGUF file or Hugging Face folder holds, and the memory that a run of it takes",
    .more = "The plan is that of caravan run --check with a run's defaults; the options change it.",
    .args = info_args,
    .min_words = 1,
    .max_words = 1,
    .run = run_info,
};

// ---- check ----

struct check_options {
    int64_t threads;
};

static const struct arg check_args[] = {
    {"threads", ARG_INT, offsetof(struct check_options, threads), 0, 256, "N",
     "compute threads, 0 = all cores"},
    {0},
};

static void print_problem(void *arg, const char *text)
{
    (void)arg;
    printf("%s\n", text);
}

static int run_check(const struct command *self, int argc, char **argv)
{
    struct check_options o = {0};
    struct words words;
    struct why why;
    struct pool *pool = NULL;
    struct source_findings f;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    enum err e = pool_create(o.threads ? (int)o.threads : pool_cores(), &pool, &why);
    e = e ? e : source_check(words.v[0], pool, print_problem, NULL, &f, &why);
    pool_destroy(pool);
    if (e) {
        return cli_fail(self, &why);
    }
    printf("%s: %zu tensors, %.2f M values read, %zu problem%s\n", words.v[0], f.n_tensors,
           (double)f.n_values / 1e6, f.n_problems, f.n_problems == 1 ? "" : "s");
    if (fflush(stdout) || ferror(stdout)) {
        (void)why_set(&why, ERR_IO, "writing the answer: %s", err_text(ERR_IO));
        return cli_fail(self, &why);
    }
    return f.n_problems ? CLI_FAILED : CLI_OK;
}

static const struct command check = {
    .name = "model check",
    .synopsis = "PATH",
    .help = "read all of a model and say what is wrong with it",
    .more = "One line per problem: a tensor that is missing, misshapen, of a type that is not read "
            "or not part\nof the model, a value that is not finite, a tokenizer that cannot be "
            "used; then a summary. Exit\nstatus 1 when there is a problem.",
    .args = check_args,
    .min_words = 1,
    .max_words = 1,
    .run = run_check,
};

// ---- model ----

static const struct arg no_args[] = {{0}};

static int run(const struct command *self, int argc, char **argv)
{
    static const struct command *const parts[] = {&info, &check};
    struct words words;
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(parts); i++) {
        if (strcmp(argv[1], strchr(parts[i]->name, ' ') + 1) == 0) {
            return parts[i]->run(parts[i], argc - 1, argv + 1);
        }
    }
    int rc = args_parse(self, argc, argv, NULL, &words);
    return rc >= 0 ? rc : cli_complain(self, "'%s', expected info or check", words.v[0]);
}

const struct command cmd_model = {
    .name = "model",
    .synopsis = "info PATH | check PATH",
    .help = "what a model on disk is and needs; what is wrong with it",
    .more = "caravan model info --help and caravan model check --help say more.",
    .args = no_args,
    .min_words = 1,
    .max_words = ARGS_WORDS,
    .run = run,
};
