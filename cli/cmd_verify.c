// cmd_verify.c: verdicts, by the same sandboxed workers that a verifier runs.
//
// Three parts. A reader thread turns lines into jobs and waits, through a semaphore, while WINDOW
// of them are unanswered; the loop thread owns the pool and gets jobs through a mailbox; answers
// are put into a ring at their line's place and printed as soon as all earlier ones are. With
// --list nothing is read: the registry is printed.
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "cli/commands.h"
#include "cli/jsonl.h"
#include "common/mailbox.h"
#include "common/pool.h"
#include "proto/msg.h"
#include "verifier/checkargs.h"
#include "verifier/registry.h"
#include "verifier/workpool.h"

enum { WINDOW = 256 };

struct options {
    const char *sandbox, *reward, *plugins;
    int64_t workers, deadline_ms;
    bool list;
};

static const struct arg args[] = {
    {"sandbox", ARG_TEXT, offsetof(struct options, sandbox), 0, 0, "LEVEL",
     "auto, full, seccomp or none (default auto: the best that works, never none)"},
    {"workers", ARG_INT, offsetof(struct options, workers), 0, 256, "N",
     "worker processes, 0 = cores (default 0)"},
    {"deadline-ms", ARG_INT, offsetof(struct options, deadline_ms), 1, 3600000, "N",
     "wall time of one line, then its worker is killed (default 5000)"},
    {"reward", ARG_TEXT, offsetof(struct options, reward), 0, 0, "JSON",
     "reward policy: combine, scale, unstopped, shaping (default: none)"},
    {"plugins", ARG_TEXT, offsetof(struct options, plugins), 0, 0, "DIR",
     "folder of verifiers of your own (default: none)"},
    {"list", ARG_FLAG, offsetof(struct options, list), 0, 0, NULL,
     "print every check with its arguments, and do nothing else"},
    {0},
};

// A line on its way. in is NULL for a line that could not be read: why says so.
struct line {
    size_t at;
    json_t *in;
    struct why why;
};

struct verify {
    uv_loop_t loop;
    uv_thread_t reader;
    uv_sem_t room;
    struct mailbox *box;
    struct workpool *pool;
    struct score_text reward;    // the policy
    struct answer {
        struct verify *owner;
        json_t *out;
        struct why why;
        bool done;
    } ring[WINDOW];
    size_t taken, printed;    // lines that came from the reader; that were printed
    bool read_all, failed, closing;
    struct why pool_why;
};

// ---- reader thread ----

// The box has room for WINDOW lines and the end, so a send cannot fail while it is open.
static void read_lines(void *arg)
{
    struct verify *v = arg;
    struct jsonl_reader r;
    enum err e = ERR_OK;
    jsonl_reader_init(&r, stdin, "stdin");
    for (size_t at = 0; e != ERR_CLOSED; at++) {
        uv_sem_wait(&v->room);
        struct line *l = calloc(1, sizeof *l);
        CHECK(l);
        l->at = at;
        e = jsonl_next(&r, &l->in, &l->why);
        if (e == ERR_CLOSED) {
            l->at = SIZE_MAX;
        }
        if (mailbox_send(v->box, l)) {
            json_decref(l->in);
            free(l);
            break;
        }
    }
    jsonl_reader_fini(&r);
}

// ---- loop thread ----

static void on_closed(void *arg)
{
    struct verify *v = arg;
    mailbox_close(v->box);
}

static void finish_if_over(struct verify *v)
{
    if (v->read_all && v->printed == v->taken && !v->closing) {
        v->closing = true;
        workpool_close(v->pool, on_closed, v);
    }
}

static void print_ready(struct verify *v)
{
    while (v->printed < v->taken && v->ring[v->printed % WINDOW].done) {
        struct answer *a = &v->ring[v->printed % WINDOW];
        v->failed |= !a->out;
        v->failed |= !jsonl_print(a->out, &a->why);
        a->out = NULL;
        a->done = false;
        v->printed++;
        uv_sem_post(&v->room);
    }
    finish_if_over(v);
}

static json_t *components_of(const struct score_result *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_components; i++) {
        const struct score_component *c = &r->components[i];
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:f}", "id", c->id, "version",
                                                  c->version, "value", c->value, "weight",
                                                  c->weight)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static void on_verdict(void *arg, const struct score_result *r, uint32_t elapsed_us)
{
    struct answer *a = arg;
    (void)elapsed_us;
    a->out = json_pack("{s:s, s:f, s:s, s:o*}", "outcome", score_outcome_name(r->outcome), "reward",
                       r->reward, "cause", r->cause, "components", components_of(r));
    if (!a->out) {
        (void)why_set(&a->why, ERR_NOMEM, "out of memory");
    }
    a->done = true;
    print_ready(a->owner);
}

// A JSON value as the text that a data row would hold; "" when it is absent.
static char *dump(const json_t *v)
{
    return v && !json_is_null(v) ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("");
}

static struct score_text text_of(const char *s)
{
    return (struct score_text){.data = s, .len = strlen(s)};
}

static enum err text_field(const json_t *in, const char *key, const char *where, bool required,
                           struct score_text *out, struct why *why)
{
    const json_t *v = json_object_get(in, key);
    *out = (struct score_text){.data = "", .len = 0};
    if (!v && !required) {
        return ERR_OK;
    }
    if (!json_is_string(v)) {
        return why_set(why, ERR_INVALID, "%s: %s: %s, expected a string", where, key,
                       v ? "not a string" : "missing");
    }
    *out = (struct score_text){.data = json_string_value(v), .len = json_string_length(v)};
    return ERR_OK;
}

static enum err finish_field(const json_t *in, const char *where, uint32_t *out, struct why *why)
{
    const json_t *v = json_object_get(in, "finish");
    const char *text = json_is_string(v) ? json_string_value(v) : "";
    if (v && strcmp(text, "stop") != 0 && strcmp(text, "length") != 0) {
        return why_set(why, ERR_INVALID, "%s: finish: expected \"stop\" or \"length\"", where);
    }
    *out = strcmp(text, "length") == 0 ? MSG_FINISH_LENGTH : MSG_FINISH_STOP;
    return ERR_OK;
}

static enum err submit(struct verify *v, struct answer *a, const json_t *in, size_t number)
{
    struct score_request req = {0};
    char where[64];
    snprintf(where, sizeof where, "answer %zu", number + 1);
    if (!json_object_get(in, "dataset") && !json_object_get(in, "checks")) {
        return why_set(&a->why, ERR_INVALID, "%s: expected dataset or checks", where);
    }
    enum err e = text_field(in, "response", where, true, &req.response, &a->why);
    e = e ? e : text_field(in, "prompt", where, false, &req.prompt, &a->why);
    e = e ? e : finish_field(in, where, &req.finish, &a->why);
    if (e) {
        return e;
    }
    char *dataset = dump(json_object_get(in, "dataset"));
    char *checks = dump(json_object_get(in, "checks"));
    char *truth = dump(json_object_get(in, "ground_truth"));
    if (dataset && checks && truth) {
        req.dataset = text_of(dataset);
        req.checks = text_of(checks);
        req.ground_truth = text_of(truth);
        req.reward = v->reward;
        e = workpool_submit(v->pool, &req, 0, on_verdict, a, &a->why);
    } else {
        e = why_set(&a->why, ERR_NOMEM, "%s: out of memory", where);
    }
    free(dataset);
    free(checks);
    free(truth);
    return e;
}

static void on_lines(void *arg)
{
    struct verify *v = arg;
    for (struct line *l; (l = mailbox_try_recv(v->box));) {
        if (l->at == SIZE_MAX) {
            v->read_all = true;
        } else {
            struct answer *a = &v->ring[v->taken++ % WINDOW];
            *a = (struct answer){.owner = v, .why = l->why};
            a->done = !l->in || submit(v, a, l->in, l->at) != ERR_OK;
        }
        json_decref(l->in);
        free(l);
    }
    print_ready(v);
}

static void on_ready(void *arg, enum err e, enum sandbox_level level, const char *text)
{
    struct verify *v = arg;
    if (e) {
        (void)why_set(&v->pool_why, e, "%s", text);
    } else if (level == SANDBOX_NONE) {
        fprintf(stderr, "caravan verify: WARNING: responses are checked without a sandbox\n");
    }
}

static enum err verify_run(struct verify *v, const struct workpool_config *c, struct why *why)
{
    if (uv_loop_init(&v->loop) || uv_sem_init(&v->room, WINDOW)) {
        return why_set(why, ERR_NOMEM, "cannot make an event loop");
    }
    enum err e = mailbox_create_uv(WINDOW + 1, &v->loop, on_lines, v, &v->box);
    if (e) {
        return why_set(why, e, "mailbox: %s", err_text(e));
    }
    e = workpool_create(&v->loop, c, on_ready, v, &v->pool, why);
    if (e) {
        return e;
    }
    if (uv_thread_create(&v->reader, read_lines, v)) {
        return why_set(why, ERR_NOMEM, "cannot start a thread");
    }
    uv_run(&v->loop, UV_RUN_DEFAULT);
    uv_thread_join(&v->reader);
    workpool_destroy(v->pool);
    mailbox_destroy(v->box);
    uv_sem_destroy(&v->room);
    uv_loop_close(&v->loop);
    return ERR_OK;
}

// ---- --list ----

static void print_row(const struct check_row *row)
{
    static const char *const kinds[] = {
        [CHECK_INSTRUCTION] = "instruction, strict or loose",
        [CHECK_FUNCTION] = "function",
        [CHECK_TRUTH] = "against ground_truth",
        [CHECK_SUITE] = "data set",
    };
    printf("%s  (version %s; %s)\n    %s\n", row->id, row->version, kinds[row->kind], row->doc);
    for (const struct check_arg_spec *a = row->args; a->type != CHECK_ARG_END; a++) {
        printf("    %s: %s%s%s\n", a->name, checkargs_type_name(a->type),
               a->fallback ? ", default " : "", a->fallback ? a->fallback : "");
    }
}

static int list_checks(void)
{
    for (size_t i = 0; registry_at(i); i++) {
        print_row(registry_at(i));
    }
    return CLI_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.sandbox = "auto", .reward = "", .plugins = "", .deadline_ms = 5000};
    struct words words;
    struct why why;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (o.list) {
        return list_checks();
    }
    enum conf_sandbox level;
    if (!conf_sandbox_parse(o.sandbox, &level)) {
        return cli_complain(self, "--sandbox: '%s', expected auto, full, seccomp or none",
                            o.sandbox);
    }
    struct workpool_config c = {.n_workers =
                                    o.workers ? (uint32_t)o.workers : (uint32_t)pool_cores(),
                                .sandbox = level,
                                .deadline_ms = (uint32_t)o.deadline_ms,
                                .recycle_jobs = 10000,
                                .queue_max = WINDOW,
                                .plugins = o.plugins};
    struct verify *v = calloc(1, sizeof *v);
    if (!v) {
        return cli_complain(self, "out of memory");
    }
    v->reward = text_of(o.reward);
    enum err e = verify_run(v, &c, &why);
    rc = e ? cli_fail(self, &why) : v->failed ? CLI_FAILED : CLI_OK;
    if (v->pool_why.text[0]) {
        rc = cli_fail(self, &v->pool_why);
    }
    free(v);
    return rc;
}

const struct command cmd_verify = {
    .name = "verify",
    .synopsis = "[--sandbox LEVEL] [--reward JSON] < LINES | --list",
    .help = "verdicts on responses, by sandboxed workers",
    .more = "in:   {\"dataset\": \"gsm8k\" (or a list) or \"checks\": [{\"id\", \"kwargs\"}…], "
            "\"ground_truth\": …, \"prompt\": \"…\", \"response\": \"…\", \"finish\": \"stop\" or "
            "\"length\"}\n"
            "out:  {\"outcome\": \"score\", \"zero\" or \"unscored\", \"reward\": 1.0, \"cause\": "
            "\"\", \"components\": [{\"id\", \"version\", \"value\", \"weight\"}…]}",
    .args = args,
    .run = run,
};
