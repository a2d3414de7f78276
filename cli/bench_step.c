// bench_step.c: `caravan bench step`: how long a step of a whole run takes, all daemons at work.
//
// Writes tasks and a configuration into a folder, starts `caravan run` on it (learner, actor,
// verifier) and reads RUN/metrics.jsonl when it has ended. A step's seconds are those from the end
// of the step before to its own end. The first `skip` steps are left out: memory is taken then, and
// nothing was written ahead.
//
// Every answer has exactly `tokens` tokens (rollout.ignore_eos), so that runs can be compared. The
// tasks are sums; the reward is right or wrong plus the answer's length in characters, which hardly
// ever is the same twice: every group carries a signal, and no step is short because of the model.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/bench.h"
#include "common/conf.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/rng.h"

enum { TASKS = 256, PATH_BYTES = 4096, OUTPUT_SHOWN = 8192 };

struct options {
    struct bench_options common;
    const char *run;
    int64_t skip, groups, samples, tokens, staleness, actor_threads, learner_threads;
};

static const struct arg args[] = {
    {"model", ARG_TEXT, offsetof(struct bench_options, model), 0, 0, "M", "GGUF file or HF folder"},
    {"device", ARG_TEXT, offsetof(struct bench_options, device), 0, 0, "KIND",
     "of learner and actor (default cpu: the best there is)"},
    {"dtype", ARG_TEXT, offsetof(struct bench_options, dtype), 0, 0, "T",
     "published weights: bf16 or f32 (default bf16)"},
    {"actor-threads", ARG_INT, offsetof(struct options, actor_threads), 0, 256, "N",
     "compute threads of the actor, 0 = cores (default 0)"},
    {"learner-threads", ARG_INT, offsetof(struct options, learner_threads), 0, 256, "N",
     "compute threads of the learner, 0 = cores (default 0)"},
    {"groups", ARG_INT, offsetof(struct options, groups), 1, 4096, "N",
     "prompts of a step (default 8)"},
    {"samples", ARG_INT, offsetof(struct options, samples), 2, 1024, "N",
     "answers to each prompt (default 8)"},
    {"tokens", ARG_INT, offsetof(struct options, tokens), 1, 65536, "N",
     "of each answer, exactly (default 64)"},
    {"staleness", ARG_INT, offsetof(struct options, staleness), 0, 64, "N",
     "versions that answers may be old; 0: decode and train in turn (default 1)"},
    {"skip", ARG_INT, offsetof(struct options, skip), 1, 1000, "N",
     "steps before those that are measured (default 2)"},
    {"run", ARG_TEXT, offsetof(struct options, run), 0, 0, "DIR",
     "folder of the run, kept (default: a temporary one)"},
    {"repeats", ARG_INT, offsetof(struct bench_options, repeats), 1, BENCH_REPEATS, "N",
     "steps that are measured (default 5)"},
    {"json", ARG_FLAG, offsetof(struct bench_options, json), 0, 0, NULL,
     "one JSON line for each step instead of a table"},
    {0},
};

// The figures of a step row, under the names that metrics.jsonl has for them.
static const struct bench_figure figures[] = {
    {"seconds", 3}, {"wait_s", 3}, {"forward_backward_s", 3}, {"optimiser_s", 3}, {"publish_s", 3},
    {"tokens", 0},  {"rows", 0},   {"length_mean", 2},        {"reward_mean", 3},
};

struct run {
    const struct options *o;
    char *base;    // a temporary folder to remove, or NULL
    char *dir, *tasks, *config, *output;
    double others;
};

// ---- what is run ----

static enum err write_tasks(const struct run *r, struct why *why)
{
    struct buf text;
    struct rng rng = rng_make(1, 1);
    enum err e = ERR_OK;
    buf_init(&text, 0);
    for (int i = 0; !e && i < TASKS; i++) {
        unsigned a = 10 + (unsigned)rng_below(&rng, 90), b = 10 + (unsigned)rng_below(&rng, 90);
        e = buf_printf(&text,
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"What is %u + %u? Reply "
                       "with the number only.\"}],\"ground_truth\":\"%u\",\"checks\":[{\"id\":"
                       "\"gsm8k\",\"weight\":1},{\"id\":\"shape:characters_over\",\"kwargs\":{"
                       "\"free\":0,\"limit\":%lld},\"weight\":1}]}\n",
                       a, b, a + b, (long long)r->o->tokens * 16);
    }
    e = e ? why_set(why, e, "writing tasks: %s", err_text(e))
          : fs_write_file(r->tasks, text.data, text.len, why);
    buf_fini(&text);
    return e;
}

// Through the option table, so that a value is held to its range as in a file.
static enum err make_conf(const struct run *r, struct conf *c, struct why *why)
{
    const struct options *o = r->o;
    const char *const texts[][2] = {
        {"run_dir", r->dir},
        {"data.train", r->tasks},
        {"model.path", o->common.model},
        {"model.dtype", o->common.dtype},
        {"learner.device", o->common.device},
        {"actor.device", o->common.device},
        {"rollout.ignore_eos", "true"},
        {"optim.lr", "1e-6"},
    };
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"rollout.group_size", o->samples},
        {"rollout.groups_per_step", o->groups},
        {"rollout.max_tokens", o->tokens},
        {"rollout.staleness_max", o->staleness},
        {"actor.threads", o->actor_threads},
        {"learner.threads", o->learner_threads},
        {"stop.steps", o->skip + o->common.repeats},
        {"data.eval_n", 0},
        {"data.max_prompt_tokens", 256},    // of ours; the default may exceed a small context
        {"loss.replace_max", 0},
        {"checkpoint.every_steps", 0},
        {"checkpoint.every_s", 0},
        {"checkpoint.keep_versions", 1},
    };
    enum err e = ERR_OK;
    conf_defaults(c);
    for (size_t i = 0; !e && i < ARRAY_LEN(texts); i++) {
        e = conf_set(c, texts[i][0], texts[i][1], "bench", why);
    }
    for (size_t i = 0; !e && i < ARRAY_LEN(numbers); i++) {
        char text[24];
        snprintf(text, sizeof text, "%lld", (long long)numbers[i].value);
        e = conf_set(c, numbers[i].key, text, "bench", why);
    }
    return e ? e : conf_check(c, "bench", why);
}

static enum err write_config(const struct run *r, struct why *why)
{
    struct conf c;
    enum err e = make_conf(r, &c, why);
    char *text = e ? NULL : conf_print(&c);
    if (!e) {
        e = text ? fs_write_file(r->config, text, strlen(text), why)
                 : why_set(why, ERR_NOMEM, "out of memory");
    }
    free(text);
    return e;
}

static enum err make_folder(struct run *r, struct why *why)
{
    const char *tmp = getenv("TMPDIR");
    if (r->o->run) {
        r->dir = strdup(r->o->run);
    } else {
        r->base = fs_path("%s/caravan-bench-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
        if (!r->base || !mkdtemp(r->base)) {
            free(r->base);
            r->base = NULL;
            return why_set(why, ERR_IO, "cannot make a temporary folder: %m");
        }
        r->dir = fs_path("%s/run", r->base);
    }
    r->tasks = r->dir ? fs_path("%s/bench-tasks.jsonl", r->dir) : NULL;
    r->config = r->dir ? fs_path("%s/bench.yaml", r->dir) : NULL;
    r->output = r->dir ? fs_path("%s/bench.out", r->dir) : NULL;
    if (!r->tasks || !r->config || !r->output) {
        return why_set(why, ERR_NOMEM, "out of memory");
    }
    return fs_make_dirs(r->dir, why);
}

// ---- running it ----

// In a process group of its own: Ctrl-C in a terminal reaches it through us, once.
static enum err start(const struct run *r, pid_t *pid, struct why *why)
{
    char *argv[] = {"caravan", "run", r->config, "--no-show", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    fflush(stdout);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, r->output, O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
    int rc = posix_spawn(pid, "/proc/self/exe", &files, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    errno = rc;
    return rc ? why_set(why, ERR_IO, "cannot start caravan run: %m") : ERR_OK;
}

static enum err show_output(const struct run *r, int status, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    struct why none;
    if (!fs_read_file(r->output, 16 << 20, &text, &len, &none)) {
        fprintf(stderr, "%s", text + (len > OUTPUT_SHOWN ? len - OUTPUT_SHOWN : 0));
    }
    free(text);
    return why_set(why, ERR_INVALID, "caravan run ended with status %d", status);
}

static enum err run_it(struct run *r, struct why *why)
{
    pid_t pid = 0;
    int status = 0;
    double busy = bench_machine_busy();
    struct bench_span from = bench_now();
    enum err e = start(r, &pid, why);
    if (e) {
        return e;
    }
    bool told = false;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        if (atomic_load(bench_halt()) && !told) {
            kill(pid, SIGTERM);
            told = true;
        }
    }
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    r->others = bench_others(busy, bench_since(from).wall, cpu);
    if (told) {
        return why_set(why, ERR_CANCELLED, "stopped");
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return code ? show_output(r, code, why) : ERR_OK;
}

// ---- its figures ----

// Rows of steps that were passed for lack of a signal have no weights_hash.
static bool is_step(const json_t *row)
{
    return json_is_string(json_object_get(row, "weights_hash"));
}

static enum err report_row(struct bench_report *report, const json_t *row, const json_t *before,
                           struct why *why)
{
    double v[ARRAY_LEN(figures)];
    v[0] = 1e-3 * (json_number_value(json_object_get(row, "time_ms")) -
                   json_number_value(json_object_get(before, "time_ms")));
    for (size_t i = 1; i < ARRAY_LEN(figures); i++) {
        v[i] = json_number_value(json_object_get(row, figures[i].name));
    }
    return bench_report_add(report, v, why);
}

static enum err report_rows(const struct run *r, struct bench_report *report, struct why *why)
{
    char *path = fs_path("%s/metrics.jsonl", r->dir), *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int64_t n = 0;
    json_t *before = NULL;
    enum err e = ERR_OK;
    FILE *f = path ? fopen(path, "re") : NULL;
    if (!f) {
        e = why_set(why, ERR_IO, "%s: %m", path ? path : "metrics.jsonl");
    }
    while (!e && (len = getline(&line, &cap, f)) > 0) {
        json_t *row = NULL;
        e = json_parse(line, (size_t)len, path, &row, why);
        if (!e && is_step(row)) {
            e = n++ < r->o->skip ? ERR_OK : report_row(report, row, before, why);
            json_decref(before);
            before = json_incref(row);
        }
        json_decref(row);
    }
    if (!e && n <= r->o->skip) {
        e = why_set(why, ERR_INVALID, "%s: %lld steps, more than %lld were expected", path,
                    (long long)n, (long long)r->o->skip);
    }
    json_decref(before);
    free(line);
    free(path);
    if (f) {
        fclose(f);
    }
    return e;
}

static enum err measure(struct run *r, struct why *why)
{
    const struct options *o = r->o;
    struct bench_report report;
    json_t *facts = bench_facts("step", &o->common, NULL);
    if (!facts) {
        return why_set(why, ERR_NOMEM, "no memory for figures");
    }
    json_object_set_new(facts, "model", json_string(o->common.model));
    json_object_set_new(facts, "device", json_string(o->common.device));
    json_object_set_new(facts, "groups", json_integer(o->groups));
    json_object_set_new(facts, "samples", json_integer(o->samples));
    json_object_set_new(facts, "answer_tokens", json_integer(o->tokens));
    json_object_set_new(facts, "staleness", json_integer(o->staleness));
    json_object_set_new(facts, "others", json_real(r->others));
    bench_report_begin(&report, "step: a run with learner, actor and verifier", facts, figures,
                       ARRAY_LEN(figures), o->common.json);
    enum err e = report_rows(r, &report, why);
    bench_report_end(&report);
    return e;
}

static void clean_up(struct run *r)
{
    struct why why;
    if (r->base && fs_remove_tree(r->base, &why)) {
        fprintf(stderr, "caravan bench step: %s\n", why.text);
    }
    free(r->base);
    free(r->dir);
    free(r->tasks);
    free(r->config);
    free(r->output);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.common = bench_defaults,
                        .skip = 2,
                        .groups = 8,
                        .samples = 8,
                        .tokens = 64,
                        .staleness = 1};
    struct words words;
    struct why why = {""};
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!o.common.model) {
        return cli_complain(self, "--model: missing (a GGUF file or a Hugging Face folder)");
    }
    struct run r = {.o = &o};
    bench_catch_signals();
    enum err e = make_folder(&r, &why);
    e = e ? e : write_tasks(&r, &why);
    e = e ? e : write_config(&r, &why);
    e = e ? e : run_it(&r, &why);
    e = e ? e : measure(&r, &why);
    clean_up(&r);
    return bench_exit(self, e, &why);
}

const struct command bench_step = {
    .name = "bench step",
    .synopsis = "--model M [--groups N] [--samples N] [--tokens N] [--staleness N] [options]",
    .help = "seconds a step of a whole run, all daemons at work",
    .more = "Runs `caravan run` on tasks of its own whose answers all have the same length, and "
            "shows the steps after the first few from its metrics.jsonl.",
    .args = args,
    .run = run,
};
