// cmd_samples.c: prompts, answers and rewards of a step or of an evaluation, from the ledger.
//
// Reads the ledger only, beside a learner that may be running. For people: a few answers, one under
// the other; with --json one object for each sample, tokens, log-probs and version segments
// included, for scripts.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/jsonl.h"
#include "cli/settings.h"
#include "common/fs.h"
#include "learner/ledger.h"

struct options {
    int64_t step, eval, n;
    bool json;
};

static const struct arg args[] = {
    {"step", ARG_INT, offsetof(struct options, step), 1, 9e15, "N",
     "samples that step N trained on"},
    {"eval", ARG_INT, offsetof(struct options, eval), 1, 9e15, "N",
     "answers of evaluation N instead"},
    {"n", ARG_INT, offsetof(struct options, n), 1, 9e15, "K", "at most K of them"},
    {"json", ARG_FLAG, offsetof(struct options, json), 0, 0, NULL, "one JSON object a line"},
    {0},
};

struct printer {
    const struct options *o;
    int64_t n;
    uint64_t group;
    bool failed;
};

static json_t *text(const struct msg_text *t)
{
    return jsonl_text(t->data, t->len);
}

static json_t *segments_json(const struct ledger_row *r)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < r->n_segments; i++) {
        json_array_append_new(list,
                              json_pack("{s:I, s:I}", "version", (json_int_t)r->segments[i].version,
                                        "end", (json_int_t)r->segments[i].end));
    }
    return list;
}

static json_t *row_json(const struct ledger_row *r)
{
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "sample_id",
                          (json_int_t)r->sample_id, "group_id", (json_int_t)r->group_id,
                          "task_index", (json_int_t)r->task_index, "step", (json_int_t)r->step,
                          "state", ledger_state_name(r->state), "kind", text(&r->kind), "prompt",
                          text(&r->prompt), "response", text(&r->response), "ground_truth",
                          text(&r->ground_truth), "dataset", text(&r->dataset));
    json_t *rest = json_pack(
        "{s:f, s:f, s:s, s:o, s:b, s:I, s:I, s:o, s:o, s:o, s:o}", "reward", r->reward, "advantage",
        r->advantage, "finish_reason", r->finish == MSG_FINISH_STOP ? "stop" : "length", "cause",
        text(&r->cause), "fresh", r->fresh, "oldest_version", (json_int_t)r->oldest_version,
        "newest_version", (json_int_t)r->newest_version, "prompt_ids",
        jsonl_ids(r->prompt_tokens, r->n_prompt), "ids", jsonl_ids(r->tokens, r->n_tokens),
        "logprobs", jsonl_floats(r->logprobs, r->n_tokens), "segments", segments_json(r));
    if (!o || !rest || json_object_update(o, rest)) {
        json_decref(o);
        o = NULL;
    }
    json_decref(rest);
    return o;
}

static void print_text(const char *label, const struct msg_text *t)
{
    printf("%s", label);
    for (size_t i = 0; i < t->len; i++) {
        unsigned char c = (unsigned char)t->data[i];
        if (c == '\n') {
            fputs("\n         ", stdout);
        } else {
            putchar(c < ' ' || c == 0x7f ? ' ' : c);    // no escape sequences of a model's making
        }
    }
    putchar('\n');
}

static bool print_row(void *arg, const struct ledger_row *r)
{
    struct printer *p = arg;
    struct why why;
    if (p->n == p->o->n) {
        return false;
    }
    if (p->o->json) {
        (void)why_set(&why, ERR_NOMEM, "sample %llu: out of memory or not UTF-8",
                      (unsigned long long)r->sample_id);
        json_t *o = row_json(r);
        p->failed |= !o;
        p->failed |= !jsonl_print(o, &why);
    } else {
        if (p->n == 0 || r->group_id != p->group) {
            printf("\n");
            print_text("prompt   ", &r->prompt);
            print_text("truth    ", &r->ground_truth);
        }
        printf("#%-7llu reward %.2f  advantage %+.2f  %zu tokens, %s, version%s %llu",
               (unsigned long long)r->sample_id, r->reward, r->advantage, r->n_tokens,
               r->finish == MSG_FINISH_STOP ? "stop" : "length",
               r->oldest_version == r->newest_version ? "" : "s",
               (unsigned long long)r->oldest_version);
        if (r->oldest_version != r->newest_version) {
            printf("..%llu", (unsigned long long)r->newest_version);
        }
        printf("%s%.*s%s\n", r->cause.len ? "  (" : "", (int)r->cause.len,
               r->cause.len ? r->cause.data : "", r->cause.len ? ")" : "");
        print_text("         ", &r->response);
    }
    p->group = r->group_id;
    p->n++;
    return true;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.n = INT64_MAX};
    struct words words;
    struct why why;
    struct ledger *l = NULL;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if ((o.step != 0) == (o.eval != 0)) {
        return cli_complain(self, "give --step N or --eval N");
    }
    struct printer p = {.o = &o};
    char *db = fs_path("%s/ledger.db", words.v[0]);
    enum err e =
        db ? settings_check_run(words.v[0], &why) : why_set(&why, ERR_NOMEM, "out of memory");
    e = e ? e : ledger_open_read(db, &l, &why);
    free(db);
    if (!e) {
        e = o.step ? ledger_each_in_step(l, (uint64_t)o.step, print_row, &p, &why)
                   : ledger_each_in_eval(l, (uint64_t)o.eval, print_row, &p, &why);
        ledger_close(l);
    }
    if (!e && p.n == 0) {
        e = why_set(&why, ERR_NOT_FOUND, "%s: no samples of %s %lld", words.v[0],
                    o.step ? "step" : "evaluation", (long long)(o.step ? o.step : o.eval));
    }
    return e ? cli_fail(self, &why) : p.failed ? CLI_FAILED : CLI_OK;
}

const struct command cmd_samples = {
    .name = "samples",
    .synopsis = "RUN --step N [--n K] [--json]",
    .help = "prompts, answers and rewards of a step",
    .args = args,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
