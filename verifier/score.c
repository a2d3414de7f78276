// score.c: from a request to a verdict.
//
// The rubric (rubric.c) says what is asked; here each task is judged on the decoded response and leaves
// one component, and the values fold into the reward.
//
// Loose mode accepts when any of eight variants of the response does: as it is; without '*';
// without its first line, its last line, both; and these three without '*'. Lines end at \n only.
// Variants without lines are stripped first and '*' is removed after; blank variants are skipped,
// as a blank response fails every instruction.
#include "verifier/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "verifier/rubric.h"

struct run {
    struct scratch *scratch;
    const struct score_request *req;
    const struct score_resolver *resolver;
    struct pyspan response;
    struct score_component *components;
    size_t n_components;
    double reward;
    const char *check;    // being run
};

static bool is_stopped(const struct score_request *req)
{
    return req->finish != SCORE_FINISH_LENGTH;
}

// ---- one task ----

static double run_variant(struct run *r, const struct rubric_task *t, struct pyspan response)
{
    if (t->row->kind == CHECK_INSTRUCTION && pyspan_blank(response)) {
        return 0;
    }
    const struct check c = {.scratch = r->scratch,
                            .response = response,
                            .truth = t->truth,
                            .args = t->args,
                            .stopped = is_stopped(r->req)};
    return t->row->measure ? t->row->measure(&c) : t->row->holds(&c);
}

// The response and its three cuts: without the first line, the last line, both.
static void cut_lines(struct pyspan s, struct pyspan out[4])
{
    size_t first = pyspan_find(s, '\n', 0);
    size_t last = s.n;
    while (last > 0 && s.cp[last - 1] != '\n') {
        last--;
    }
    size_t from = MIN(first + 1, s.n), to = last > 0 ? last - 1 : 0;
    out[0] = s;
    out[1] = pyspan_strip(pyspan_slice(s, from, s.n));
    out[2] = pyspan_strip(pyspan_slice(s, 0, to));
    out[3] = pyspan_strip(pyspan_slice(s, MIN(from, to), to));
}

static double run_loose(struct run *r, const struct rubric_task *t, struct pyspan response)
{
    struct pyspan cuts[4];
    cut_lines(response, cuts);
    double value = 0;
    for (size_t i = 0; i < ARRAY_LEN(cuts) && value == 0; i++) {
        value = run_variant(r, t, cuts[i]);
        if (value == 0) {
            value = run_variant(r, t, pytext_without(r->scratch, cuts[i], '*'));
        }
    }
    return value;
}

static double run_plugin(struct run *r, const struct rubric_task *t)
{
    const struct score_plugin_input in = {
        .response = r->req->response,
        .prompt = r->req->prompt,
        .ground_truth = {t->truth_json, strlen(t->truth_json)},
        .kwargs = {t->kwargs, strlen(t->kwargs)},
        .stopped = is_stopped(r->req),
    };
    double value = 0;
    struct why why = {{0}};
    enum err e = r->resolver->run(r->resolver->arg, t->plugin, &in, &value, &why);
    if (e) {
        scratch_fail(r->scratch, e, "%s", why.text);
    }
    if (!(value >= 0 && value <= 1)) {
        scratch_fail(r->scratch, ERR_INVALID, "%g is no value between 0 and 1", value);
    }
    return value;
}

static void run_task(struct run *r, const struct rubric_task *t, struct pyspan response)
{
    r->check = t->id;
    double value = !t->row    ? run_plugin(r, t)
                   : t->loose ? run_loose(r, t, response)
                              : run_variant(r, t, response);
    struct score_component *c = &r->components[r->n_components++];
    *c = (struct score_component){.value = value, .weight = t->weight};
    strncpy(c->id, t->id, sizeof c->id - 1);
    strncpy(c->version, t->version, sizeof c->version - 1);
    r->check = NULL;
}

// ---- groups ----

static struct pyspan after_last(struct scratch *a, struct pyspan s, const char *mark)
{
    struct pylist parts = pytext_split_by(a, s, mark);
    return parts.v[parts.n - 1];
}

static struct pyspan without(struct scratch *a, struct pyspan s, const char *part)
{
    return pytext_replace(a, s, pytext_literal(a, part), (struct pyspan){0});
}

static struct pyspan prepare(struct scratch *a, struct pyspan s, enum rubric_text text)
{
    switch (text) {
    case RUBRIC_TEXT_AS_IS:
        break;
    case RUBRIC_TEXT_AFTER_ASSISTANT:
        return pyspan_strip(after_last(a, s, "<|assistant|>\n"));
    case RUBRIC_TEXT_ANSWER:
        s = pyspan_strip(without(a, s, "<|assistant|>"));
        s = after_last(a, s, "</think>");
        return pyspan_strip(without(a, without(a, s, "<answer>"), "</answer>"));
    }
    return s;
}

static double fold(const struct score_component *c, size_t n, enum rubric_fold how)
{
    double sum = 0, weights = 0;
    bool all = true;
    for (size_t i = 0; i < n; i++) {
        sum += c[i].weight * c[i].value;
        weights += c[i].weight;
        all = all && c[i].value == 1;
    }
    switch (how) {
    case RUBRIC_ALL:
        return all ? 1 : 0;
    case RUBRIC_MEAN:
        return weights != 0 ? sum / weights : 0;
    case RUBRIC_SUM:
        break;
    }
    return sum;
}

static void run_rubric(struct run *r, const struct rubric *p)
{
    r->components = scratch_array(r->scratch, p->n_tasks + 1, sizeof *r->components);
    bool open = true;
    for (size_t g = 0; g < p->n_groups; g++) {
        const struct rubric_group *group = &p->groups[g];
        const struct score_component *values = &r->components[r->n_components];
        struct pyspan response = prepare(r->scratch, r->response, group->text);
        for (size_t i = group->first; i < group->first + group->n; i++) {
            run_task(r, &p->tasks[i], response);
            open = open && !(p->tasks[i].gate && r->components[r->n_components - 1].value == 0);
        }
        double value = fold(values, group->n, group->fold);
        r->reward += g < p->first_shaping ? p->scale * value : value;
    }
    r->reward = open ? r->reward : 0;
    if (p->replaces_unstopped && !is_stopped(r->req)) {
        r->reward = p->unstopped;
    }
}

// ---- requests ----

static void run_request(void *arg)
{
    struct run *r = arg;
    const struct rubric *rubric = rubric_make(r->scratch, r->req, r->resolver);
    if (!r->req->only_read) {
        r->response = pytext_decode(r->scratch, r->req->response.data, r->req->response.len);
        run_rubric(r, rubric);
        if (!(fabs(r->reward) <= SCORE_REWARD_MAX)) {
            scratch_fail(r->scratch, ERR_LIMIT, "reward %g is out of range", r->reward);
        }
    }
}

static enum err copy_out(const struct run *r, struct score_result *out)
{
    out->components = malloc((r->n_components + 1) * sizeof *out->components);
    if (!out->components) {
        return ERR_NOMEM;
    }
    if (r->n_components > 0) {
        memcpy(out->components, r->components, r->n_components * sizeof *out->components);
    }
    out->n_components = r->n_components;
    out->reward = r->reward;
    out->outcome = r->reward != 0 ? SCORE_SCORED : SCORE_ZERO;
    return ERR_OK;
}

// Kept from call to call: a worker scores thousands of answers.
static struct scratch *job_scratch(void)
{
    static struct scratch scratch;
    if (scratch.max_bytes == 0) {
        scratch_init(&scratch, SCORE_SCRATCH_MAX);
    }
    return &scratch;
}

void score_request_resolve(const struct score_request *req, const struct score_resolver *resolver,
                           struct score_result *out)
{
    *out = (struct score_result){0};
    struct why why = {{0}};
    struct run run = {.scratch = job_scratch(), .req = req, .resolver = resolver};
    enum err e = scratch_run(run.scratch, run_request, &run, &why);
    if (e && run.check) {
        e = why_prefix(&why, e, "%s", run.check);
    }
    e = e ? e : copy_out(&run, out);
    scratch_reset(run.scratch);
    if (e) {
        score_unscored(out, why.text[0] ? why.text : err_text(e));
    }
}

void score_request_run(const struct score_request *req, struct score_result *out)
{
    score_request_resolve(req, NULL, out);
}

// Copies as much of `text` as fits, whole characters only; control and malformed bytes become '?'.
static void copy_line(char *out, size_t cap, const char *text)
{
    size_t n = 0, left = strlen(text);
    while (left > 0) {
        utf8proc_int32_t c;
        utf8proc_ssize_t used = utf8proc_iterate((const uint8_t *)text, (utf8proc_ssize_t)left, &c);
        bool plain = used > 0 && c >= 0x20 && c != 0x7F;
        size_t len = plain ? (size_t)used : 1;
        if (n + len + 1 > cap) {
            break;
        }
        memcpy(out + n, plain ? text : "?", len);
        n += len;
        text += MAX(used, 1);
        left -= (size_t)MAX(used, 1);
    }
    out[n] = 0;
}

void score_unscored(struct score_result *out, const char *cause)
{
    char line[SCORE_CAUSE_BYTES] = {0};
    copy_line(line, sizeof line, cause[0] ? cause : "unknown cause");
    score_result_fini(out);
    out->outcome = SCORE_UNSCORED;
    memcpy(out->cause, line, sizeof line);
}

void score_result_fini(struct score_result *r)
{
    free(r->components);
    *r = (struct score_result){0};
}

const char *score_outcome_name(enum score_outcome o)
{
    switch (o) {
    case SCORE_SCORED:
        return "score";
    case SCORE_ZERO:
        return "zero";
    case SCORE_UNSCORED:
        return "unscored";
    }
    return "unscored";
}
