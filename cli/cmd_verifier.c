// cmd_verifier.c: for authors of plug-ins: runs a plug-in over cases with known answers, behind the
// same walls as in a run.
//
// The file is copied into a folder of its own, which a pool of one worker then watches: what is
// tried here is what a verifier would do with it.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "cli/commands.h"
#include "cli/jsonl.h"
#include "common/fs.h"
#include "verifier/workpool.h"

#define FILE_MAX ((size_t)64 << 20)

struct options {
    const char *sandbox;
    int64_t deadline_ms;
};

static const struct arg args[] = {
    {"sandbox", ARG_TEXT, offsetof(struct options, sandbox), 0, 0, "LEVEL",
     "auto, full, seccomp or none (default auto)"},
    {"deadline-ms", ARG_INT, offsetof(struct options, deadline_ms), 1, 3600000, "N",
     "wall time of one case (default 2000)"},
    {0},
};

struct bench {
    uv_loop_t loop;
    struct workpool *pool;
    char folder[32];
    char *copy;
    bool ready, closed;
    struct why why;
};

struct verdict {
    bool done;
    enum score_outcome outcome;
    double value;
    char cause[SCORE_CAUSE_BYTES];
};

static void on_ready(void *arg, enum err e, enum sandbox_level level, const char *text)
{
    struct bench *b = arg;
    (void)level;
    b->ready = true;
    if (e) {
        (void)why_set(&b->why, e, "%s", text);
    }
}

static void on_verdict(void *arg, const struct score_result *r, uint32_t us)
{
    struct verdict *v = arg;
    (void)us;
    *v = (struct verdict){.done = true, .outcome = r->outcome, .value = r->reward};
    memcpy(v->cause, r->cause, sizeof v->cause);
}

static void on_closed(void *arg)
{
    ((struct bench *)arg)->closed = true;
}

// ---- the bench ----

static enum err copy_plugin(struct bench *b, const char *path, struct why *why)
{
    char *data = NULL;
    size_t len = 0;
    struct stat st;
    const char *slash = strrchr(path, '/');
    enum err e = fs_read_file(path, FILE_MAX, &data, &len, why);
    if (e) {
        return e;
    }
    strcpy(b->folder, "/tmp/caravan-plugin-XXXXXX");
    if (!mkdtemp(b->folder)) {
        free(data);
        return why_set(why, ERR_IO, "%s: %s", b->folder, strerror(errno));
    }
    b->copy = fs_path("%s/%s", b->folder, slash ? slash + 1 : path);
    e = b->copy ? fs_write_file(b->copy, data, len, why) : ERR_NOMEM;
    if (!e && stat(path, &st) == 0 && chmod(b->copy, st.st_mode & 0777) != 0) {
        e = why_set(why, ERR_IO, "%s: %s", b->copy, strerror(errno));
    }
    free(data);
    return e;
}

static enum err open_bench(struct bench *b, const struct workpool_config *c, struct why *why)
{
    if (uv_loop_init(&b->loop)) {
        return why_set(why, ERR_NOMEM, "cannot make an event loop");
    }
    enum err e = workpool_create(&b->loop, c, on_ready, b, &b->pool, why);
    if (e) {
        return e;
    }
    while (!b->ready) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
    if (b->why.text[0]) {
        *why = b->why;
        return ERR_UNSUPPORTED;
    }
    const struct plugins *plugins = workpool_plugins(b->pool);
    struct plugins_check first;
    const char *refusal = plugins_refusal_at(plugins, 0);
    if (refusal) {
        return why_set(why, ERR_INVALID, "%s", refusal);
    }
    return plugins_check_at(plugins, 0, &first)
               ? ERR_OK
               : why_set(why, ERR_INVALID, "neither a NAME.so nor a file that may be executed");
}

static void close_bench(struct bench *b)
{
    if (b->pool) {
        workpool_close(b->pool, on_closed, b);
        uv_run(&b->loop, UV_RUN_DEFAULT);
        workpool_destroy(b->pool);
        (void)uv_loop_close(&b->loop);
    }
    if (b->copy) {
        (void)unlink(b->copy);
        free(b->copy);
    }
    if (b->folder[0]) {
        (void)rmdir(b->folder);
    }
}

// ---- cases ----

static char *dump(const json_t *v)
{
    return v && !json_is_null(v) ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("");
}

static struct score_text text_in(const json_t *in, const char *key)
{
    const json_t *v = json_object_get(in, key);
    return json_is_string(v) ? (struct score_text){json_string_value(v), json_string_length(v)}
                             : (struct score_text){"", 0};
}

static enum err check_case(const json_t *in, const char *where, struct why *why)
{
    const json_t *expect = json_object_get(in, "expect");
    const char *word = json_string_value(expect);
    if (!json_is_string(json_object_get(in, "response"))) {
        return why_set(why, ERR_INVALID, "%s: response: expected a string", where);
    }
    if (!json_is_number(expect) && (!word || strcmp(word, "undecided") != 0)) {
        return why_set(why, ERR_INVALID, "%s: expect: expected a number or \"undecided\"", where);
    }
    return ERR_OK;
}

// The row's list of checks: the one that the case names, or the plug-in's first. With a weight, the
// reward is the value itself.
static char *checks_of(const struct bench *b, const json_t *in)
{
    struct plugins_check first = {.id = ""};
    const json_t *kwargs = json_object_get(in, "kwargs");
    const char *id = json_string_value(json_object_get(in, "check"));
    (void)plugins_check_at(workpool_plugins(b->pool), 0, &first);
    json_t *list = json_pack("[{s:s, s:O?, s:i}]", "id", id ? id : first.id, "kwargs", kwargs,
                             "weight", 1);
    char *text = list ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    return text;
}

static enum err run_case(struct bench *b, const json_t *in, struct verdict *v, struct why *why)
{
    char *checks = checks_of(b, in), *truth = dump(json_object_get(in, "ground_truth"));
    enum err e = checks && truth ? ERR_OK : why_set(why, ERR_NOMEM, "out of memory");
    if (!e) {
        struct score_request req = {
            .checks = {checks, strlen(checks)},
            .ground_truth = {truth, strlen(truth)},
            .prompt = text_in(in, "prompt"),
            .response = text_in(in, "response"),
            .finish = json_is_false(json_object_get(in, "stopped")) ? SCORE_FINISH_LENGTH : 0};
        *v = (struct verdict){0};
        e = workpool_submit(b->pool, &req, 0, on_verdict, v, why);
    }
    while (!e && !v->done) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
    free(checks);
    free(truth);
    return e;
}

static bool as_expected(const json_t *in, const struct verdict *v, const char *where)
{
    const json_t *expect = json_object_get(in, "expect");
    bool unscored = v->outcome == SCORE_UNSCORED;
    bool fits = json_is_number(expect)
                    ? !unscored && fabs(v->value - json_number_value(expect)) < 1e-9
                    : unscored;
    if (!fits && unscored) {
        printf("%s: expected %g, got undecided: %s\n", where, json_number_value(expect), v->cause);
    } else if (!fits && json_is_number(expect)) {
        printf("%s: expected %g, got %g\n", where, json_number_value(expect), v->value);
    } else if (!fits) {
        printf("%s: expected undecided, got %g\n", where, v->value);
    }
    return fits;
}

static enum err run_cases(struct bench *b, const char *path, size_t *n, size_t *failed,
                          struct why *why)
{
    FILE *f = fopen(path, "r");
    struct jsonl_reader r;
    enum err e = ERR_OK;
    if (!f) {
        return why_set(why, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    }
    jsonl_reader_init(&r, f, path);
    for (json_t *in = NULL; !e && (e = jsonl_next(&r, &in, why)) == ERR_OK; json_decref(in)) {
        char where[300];
        struct verdict v;
        (void)snprintf(where, sizeof where, "%.256s:%zu", path, r.number);
        e = check_case(in, where, why);
        e = e ? e : run_case(b, in, &v, why);
        if (!e) {
            ++*n;
            *failed += !as_expected(in, &v, where);
        }
    }
    jsonl_reader_fini(&r);
    fclose(f);
    return e == ERR_CLOSED ? ERR_OK : e;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.sandbox = "auto", .deadline_ms = 2000};
    struct words words;
    struct bench b = {.folder = ""};
    struct why why = {{0}};
    size_t n = 0, failed = 0;
    enum conf_sandbox level;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (strcmp(words.v[0], "test") != 0) {
        return cli_complain(self, "'%s': expected test", words.v[0]);
    }
    if (!conf_sandbox_parse(o.sandbox, &level)) {
        return cli_complain(self, "--sandbox: '%s', expected auto, full, seccomp or none",
                            o.sandbox);
    }
    enum err e = copy_plugin(&b, words.v[1], &why);
    struct workpool_config c = {.n_workers = 1,
                                .sandbox = level,
                                .deadline_ms = (uint32_t)o.deadline_ms,
                                .recycle_jobs = 1000,
                                .plugins = b.folder};
    e = e ? e : open_bench(&b, &c, &why);
    e = e ? e : run_cases(&b, words.v[2], &n, &failed, &why);
    if (!e) {
        struct plugins_check check;
        for (size_t i = 0; plugins_check_at(workpool_plugins(b.pool), i, &check); i++) {
            printf("%s version %s: %s\n", check.id, check.version, check.doc);
        }
        printf("%zu cases, %zu failed\n", n, failed);
    }
    close_bench(&b);
    return e ? cli_fail(self, &why) : failed ? CLI_FAILED : CLI_OK;
}

const struct command cmd_verifier = {
    .name = "verifier",
    .synopsis = "test PLUGIN CASES.jsonl",
    .help = "try a verifier of your own on cases with known answers",
    .more = "PLUGIN: NAME.so or an executable (docs/writing-a-verifier.md). A case: {\"response\": "
            "\"…\", \"expect\": 0…1 or \"undecided\", and, where wanted, \"check\", \"kwargs\", "
            "\"ground_truth\", \"prompt\", \"stopped\"}. Prints the cases that fail.",
    .args = args,
    .min_words = 3,
    .max_words = 3,
    .run = run,
};
