// cmd_data.c: files of rows before they are trained on: `caravan data check` and `caravan data
// decontaminate`.
//
// Each is a command of its own with options and help; `caravan data` finds it by the next word.
// Findings and sums go to stdout, lines that cannot be read to stderr (for check they are findings).
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/data_check.h"
#include "cli/decontaminate.h"
#include "cli/ngrams.h"
#include "common/pool.h"

// ---- check ----

enum { SUMS_LISTED = 20 };

struct check_options {
    const char *sandbox, *plugins;
    int64_t workers, deadline_ms;
};

static const struct arg check_args[] = {
    {"sandbox", ARG_TEXT, offsetof(struct check_options, sandbox), 0, 0, "LEVEL",
     "auto, full, seccomp or none (default auto: the best that works, never none)"},
    {"workers", ARG_INT, offsetof(struct check_options, workers), 0, DATA_CHECK_WINDOW, "N",
     "worker processes, 0 = cores (default 0)"},
    {"deadline-ms", ARG_INT, offsetof(struct check_options, deadline_ms), 1, 3600000, "N",
     "wall time of one row's check, then its worker is killed (default 5000)"},
    {"plugins", ARG_TEXT, offsetof(struct check_options, plugins), 0, 0, "DIR",
     "folder of verifiers of your own (default: none)"},
    {0},
};

static void print_sums(const char *path, struct data_check_sums *s)
{
    printf("%s: %zu rows, %zu problems; %zu reference answers, %zu pass\n", path, s->rows,
           s->problems, s->references, s->references_passed);
    if (s->problems) {
        printf("by cause\n");
        tally_print(&s->causes, SUMS_LISTED, stdout);
    }
    if (s->checks.len) {
        printf("by check\n");
        tally_print(&s->checks, SUMS_LISTED, stdout);
    }
}

static int run_check(const struct command *self, int argc, char **argv)
{
    struct check_options o = {.sandbox = "auto", .plugins = "", .deadline_ms = 5000};
    struct words words;
    struct why why;
    enum conf_sandbox level;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!conf_sandbox_parse(o.sandbox, &level)) {
        return cli_complain(self, "--sandbox: '%s', expected auto, full, seccomp or none",
                            o.sandbox);
    }
    size_t workers = o.workers ? (size_t)o.workers : MIN((size_t)pool_cores(), DATA_CHECK_WINDOW);
    const struct workpool_config c = {.n_workers = (uint32_t)workers,
                                      .sandbox = level,
                                      .deadline_ms = (uint32_t)o.deadline_ms,
                                      .recycle_jobs = 10000,
                                      .plugins = o.plugins};
    struct data_check_sums sums;
    enum err e = data_check_run(words.v[0], &c, stdout, &sums, &why);
    if (!e && sums.rows == 0) {
        e = why_set(&why, ERR_INVALID, "%s: no rows", words.v[0]);
    }
    if (!e) {
        print_sums(words.v[0], &sums);
    }
    bool in_order = sums.problems == 0;
    data_check_sums_fini(&sums);
    if (!e && (fflush(stdout) || ferror(stdout))) {
        e = why_set(&why, ERR_IO, "writing the answer: %s", err_text(ERR_IO));
    }
    return e ? cli_fail(self, &why) : in_order ? CLI_OK : CLI_FAILED;
}

static const struct command check = {
    .name = "data check",
    .synopsis = "FILE",
    .help = "put every training row to the verifiers that it names",
    .more = "One line per problem, FILE:LINE: field: what, then sums; exit status 1 when there is "
            "one. A row's reference_answer, where it has one, must get a reward above 0.",
    .args = check_args,
    .min_words = 1,
    .max_words = 1,
    .run = run_check,
};

// ---- decontaminate ----

struct clean_options {
    struct arg_list evals;
    const char *out, *report;
    int64_t n;
    double threshold;
};

static const struct arg clean_args[] = {
    {"eval", ARG_LIST, offsetof(struct clean_options, evals), 0, 0, "FILE",
     "rows to keep out of training, JSON lines; again and again"},
    {"out", ARG_TEXT, offsetof(struct clean_options, out), 0, 0, "CLEAN",
     "where the training rows go that stay"},
    {"report", ARG_TEXT, offsetof(struct clean_options, report), 0, 0, "REPORT",
     "where a line for each covered eval row goes"},
    {"n", ARG_INT, offsetof(struct clean_options, n), 1, NGRAMS_N_MAX, "N",
     "words of an n-gram (default 8)"},
    {"threshold", ARG_NUM, offsetof(struct clean_options, threshold), 0, 1, "X",
     "contaminated: more than this share of the words (default 0.5)"},
    {0},
};

static double percent(size_t part, size_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

// True: an eval row is contaminated.
static bool print_counts(const struct clean_options *o, const struct decontaminate_result *r)
{
    bool any = false;
    for (size_t i = 0; i < o->evals.n; i++) {
        const struct decontaminate_counts *c = &r->evals[i];
        printf("%s: %zu rows, %zu contaminated (%.2f %%); %zu covered by all training rows "
               "together; %zu shorter than %d words, %zu without words\n",
               o->evals.v[i], c->rows, c->contaminated, percent(c->contaminated, c->rows),
               c->contaminated_by_all, c->short_rows, (int)o->n, c->wordless);
        any = any || c->contaminated > 0;
    }
    printf("training rows: %zu, %zu contaminate, %zu unusable, %zu clean\n", r->train_rows,
           r->removed, r->unusable, r->train_rows - r->removed - r->unusable);
    return any;
}

static int run_decontaminate(const struct command *self, int argc, char **argv)
{
    struct clean_options o = {.n = 8, .threshold = 0.5};
    struct words words;
    struct why why;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (o.evals.n == 0) {
        return cli_complain(self, "--eval: missing (a file of the rows to keep out of training)");
    }
    struct decontaminate_result result;
    const struct decontaminate_options d = {.evals = o.evals.v,
                                            .n_evals = o.evals.n,
                                            .train = words.v[0],
                                            .out = o.out,
                                            .report = o.report,
                                            .n = (size_t)o.n,
                                            .threshold = o.threshold,
                                            .complaints = stderr};
    if (decontaminate_run(&d, &result, &why)) {
        return cli_fail(self, &why);
    }
    bool any = print_counts(&o, &result);
    rc = result.unusable || (any && !o.out) ? CLI_FAILED : CLI_OK;
    decontaminate_result_fini(&result);
    return rc;
}

static const struct command decontaminate = {
    .name = "data decontaminate",
    .synopsis = "--eval FILE [--eval FILE…] [--out CLEAN] [--report REPORT] TRAIN",
    .help = "find and remove training rows that give evaluation rows away",
    .more = "An eval row is contaminated when more than the threshold of its words lie in n-grams "
            "that it shares with one training row; that training row is left out of CLEAN.\n"
            "Rows hold messages, prompt, question or text. Exit status 1: a training row cannot be "
            "used, or something is contaminated and no --out was given.",
    .args = clean_args,
    .min_words = 1,
    .max_words = 1,
    .run = run_decontaminate,
};

// ---- data ----

static const struct arg no_args[] = {{0}};

static int run(const struct command *self, int argc, char **argv)
{
    static const struct command *const parts[] = {&check, &decontaminate};
    struct words words;
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(parts); i++) {
        if (strcmp(argv[1], strchr(parts[i]->name, ' ') + 1) == 0) {
            return parts[i]->run(parts[i], argc - 1, argv + 1);
        }
    }
    int rc = args_parse(self, argc, argv, NULL, &words);
    return rc >= 0 ? rc : cli_complain(self, "'%s', expected check or decontaminate", words.v[0]);
}

const struct command cmd_data = {
    .name = "data",
    .synopsis = "check FILE | decontaminate --eval FILE TRAIN",
    .help = "check rows against their verifiers; keep evaluation rows out of them",
    .more = "caravan data check --help and caravan data decontaminate --help say more.",
    .args = no_args,
    .min_words = 1,
    .max_words = ARGS_WORDS,
    .run = run,
};
