// score.c: from a request to a verdict.
//
// Two halves. The plan: JSON texts become a list of tasks (row, parsed arguments, mode,
// ground-truth string), or the request is unscored with a cause that names the place. The run: each
// task is judged on the decoded response and leaves one component.
//
// Loose mode accepts when any of eight variants of the response does: as it is; without '*';
// without its first line, its last line, both; and these three without '*'. Lines end at \n only.
// Variants without lines are stripped first and '*' is removed after; blank variants are skipped,
// as a blank response fails every instruction.
#include "verifier/score.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "verifier/checkargs.h"
#include "verifier/registry.h"

struct task {
    const struct check_row *row;
    struct check_arg args[CHECK_MAX_ARGS];
    struct pytext truth;
    bool loose;
};

struct plan {
    struct task *tasks;
    size_t n;
    // Tasks [group_end[i-1], group_end[i]) must all hold to earn one point: one group for `checks`,
    // one per dataset name.
    size_t group_end[SCORE_MAX_COMPONENTS];
    size_t n_groups;
};

static void plan_fini(struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        checkargs_fini(p->tasks[i].args);
        pytext_fini(&p->tasks[i].truth);
    }
    free(p->tasks);
}

static enum err plan_add(struct plan *p, const struct check_row *row, struct task **out,
                         struct why *why)
{
    if (p->n == SCORE_MAX_COMPONENTS) {
        return why_set(why, ERR_LIMIT, "more than %d checks", SCORE_MAX_COMPONENTS);
    }
    if (p->n == 0) {
        p->tasks = calloc(SCORE_MAX_COMPONENTS, sizeof *p->tasks);
        if (!p->tasks) {
            return ERR_NOMEM;
        }
    }
    *out = &p->tasks[p->n++];
    (*out)->row = row;
    return ERR_OK;
}

static enum err plan_close_group(struct plan *p, struct why *why)
{
    if (p->n_groups == SCORE_MAX_COMPONENTS) {
        return why_set(why, ERR_LIMIT, "more than %d verifiers", SCORE_MAX_COMPONENTS);
    }
    p->group_end[p->n_groups++] = p->n;
    return ERR_OK;
}

static enum err find_row(const char *id, size_t len, const struct check_row **out, struct why *why)
{
    *out = registry_find(id, len);
    return *out ? ERR_OK : why_set(why, ERR_NOT_FOUND, "unknown check \"%.60s\"", id);
}

static enum err plan_truth(struct plan *p, const struct check_row *row, const json_t *truth,
                           struct why *why)
{
    if (!json_is_string(truth)) {
        return why_set(why, ERR_INVALID, "%s: ground_truth: expected a JSON string", row->id);
    }
    struct task *t = NULL;
    enum err e = plan_add(p, row, &t, why);
    return e ? e : pytext_decode(json_string_value(truth), json_string_length(truth), &t->truth);
}

static enum err plan_instruction(struct plan *p, const json_t *id, const json_t *kwargs, bool loose,
                                 struct why *why)
{
    if (!json_is_string(id)) {
        return why_set(why, ERR_INVALID, "id: expected a string");
    }
    const struct check_row *row;
    enum err e = find_row(json_string_value(id), json_string_length(id), &row, why);
    if (e) {
        return e;
    }
    if (row->kind != CHECK_INSTRUCTION) {
        return why_set(why, ERR_INVALID, "%s: is not an instruction", row->id);
    }
    struct task *t = NULL;
    e = plan_add(p, row, &t, why);
    if (e) {
        return e;
    }
    t->loose = loose;
    e = checkargs_parse(row, kwargs, t->args, why);
    return e ? why_prefix(why, e, "%s", row->id) : ERR_OK;
}

// {"instruction_id": [...], "kwargs": [...]}
static enum err plan_instruction_lists(struct plan *p, const json_t *obj, struct why *why)
{
    const json_t *ids = json_object_get(obj, "instruction_id"),
                 *kwargs = json_object_get(obj, "kwargs");
    size_t n = json_array_size(ids);
    if (n == 0 || json_array_size(kwargs) != n) {
        return why_set(
            why, ERR_INVALID,
            "ifeval: ground_truth: expected instruction_id and kwargs, two lists of one length");
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        e = plan_instruction(p, json_array_get(ids, i), json_array_get(kwargs, i), false, why);
    }
    return e;
}

static enum err plan_ifeval(struct plan *p, const json_t *truth, struct why *why)
{
    json_t *parsed = NULL;
    if (json_is_string(truth)) {
        enum err e = json_parse(json_string_value(truth), json_string_length(truth),
                                "ifeval: ground_truth", &parsed, why);
        if (e) {
            return e;
        }
        truth = parsed;
    }
    if (json_array_size(truth) == 1) {
        truth = json_array_get(truth, 0);
    }
    enum err e = json_is_object(truth)
                     ? plan_instruction_lists(p, truth, why)
                     : why_set(why, ERR_INVALID,
                               "ifeval: ground_truth: expected an object, or a list of one");
    json_decref(parsed);
    return e;
}

static enum err plan_verifier(struct plan *p, const json_t *name, const json_t *truth,
                              struct why *why)
{
    if (!json_is_string(name)) {
        return why_set(why, ERR_INVALID, "dataset: expected a string or a list of strings");
    }
    const struct check_row *row;
    enum err e = find_row(json_string_value(name), json_string_length(name), &row, why);
    if (e) {
        return e;
    }
    switch (row->kind) {
    case CHECK_TRUTH:
        e = plan_truth(p, row, truth, why);
        break;
    case CHECK_SUITE:
        e = plan_ifeval(p, truth, why);
        break;
    case CHECK_INSTRUCTION:
        e = why_set(why, ERR_INVALID, "dataset: %s is an instruction, it belongs into checks",
                    row->id);
        break;
    }
    return e ? e : plan_close_group(p, why);
}

static enum err plan_dataset(struct plan *p, const json_t *dataset, const json_t *truth,
                             struct why *why)
{
    if (!json_is_array(dataset)) {
        return plan_verifier(p, dataset, truth, why);
    }
    size_t n = json_array_size(dataset);
    bool single = n == 1 && !json_is_array(truth);
    if (n == 0 || (!single && json_array_size(truth) != n)) {
        return why_set(why, ERR_INVALID,
                       "dataset: %zu names need a ground_truth list of the same length", n);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        e = plan_verifier(p, json_array_get(dataset, i), single ? truth : json_array_get(truth, i),
                          why);
    }
    return e;
}

static enum err read_mode(const json_t *check, bool *loose, struct why *why)
{
    const json_t *mode = json_object_get(check, "mode");
    const char *text = json_is_string(mode) ? json_string_value(mode) : "";
    if (mode && strcmp(text, "strict") != 0 && strcmp(text, "loose") != 0) {
        return why_set(why, ERR_INVALID, "mode: expected \"strict\" or \"loose\"");
    }
    *loose = strcmp(text, "loose") == 0;
    return ERR_OK;
}

static enum err plan_check(struct plan *p, const json_t *check, const json_t *truth,
                           struct why *why)
{
    if (!json_is_object(check)) {
        return why_set(why, ERR_INVALID, "expected an object with id and kwargs");
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)check, key, value)
    {
        if (strcmp(key, "id") != 0 && strcmp(key, "kwargs") != 0 && strcmp(key, "mode") != 0) {
            return why_set(why, ERR_INVALID, "%.40s: unknown key, expected id, kwargs or mode",
                           key);
        }
    }
    bool loose = false;
    enum err e = read_mode(check, &loose, why);
    if (e) {
        return e;
    }
    const json_t *id = json_object_get(check, "id"), *kwargs = json_object_get(check, "kwargs");
    const struct check_row *row =
        json_is_string(id) ? registry_find(json_string_value(id), json_string_length(id)) : NULL;
    if (!row || row->kind != CHECK_TRUTH) {
        return plan_instruction(p, id, kwargs, loose, why);
    }
    if (loose || json_object_size(kwargs) > 0) {
        return why_set(why, ERR_INVALID, "%s: takes neither kwargs nor a loose mode", row->id);
    }
    return plan_truth(p, row, truth, why);
}

static enum err plan_checks(struct plan *p, const json_t *checks, const json_t *truth,
                            struct why *why)
{
    size_t n = json_array_size(checks);
    if (n == 0) {
        return why_set(why, ERR_INVALID, "checks: expected a list of at least one check");
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        e = plan_check(p, json_array_get(checks, i), truth, why);
        if (e) {
            return why_prefix(why, e, "checks[%zu]", i);
        }
    }
    return plan_close_group(p, why);
}

static enum err parse_text(struct score_text t, const char *name, json_t **out, struct why *why)
{
    *out = NULL;
    return t.len == 0 ? ERR_OK : json_parse(t.data, t.len, name, out, why);
}

static enum err check_sizes(const struct score_request *req, struct why *why)
{
    const struct score_text texts[] = {req->dataset, req->checks, req->ground_truth, req->prompt,
                                       req->response};
    static const char *const names[] = {"dataset", "checks", "ground_truth", "prompt", "response"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (texts[i].len > SCORE_TEXT_MAX) {
            return why_set(why, ERR_LIMIT, "%s: %zu bytes, at most %u", names[i], texts[i].len,
                           SCORE_TEXT_MAX);
        }
    }
    return ERR_OK;
}

static enum err make_plan(const struct score_request *req, struct plan *p, struct why *why)
{
    json_t *dataset = NULL, *checks = NULL, *truth = NULL;
    enum err e = check_sizes(req, why);
    e = e ? e : parse_text(req->checks, "checks", &checks, why);
    e = e ? e : parse_text(req->dataset, "dataset", &dataset, why);
    e = e ? e : parse_text(req->ground_truth, "ground_truth", &truth, why);
    if (!e && checks && !json_is_null(checks)) {
        e = plan_checks(p, checks, truth, why);
    } else if (!e && dataset) {
        e = plan_dataset(p, dataset, truth, why);
    } else if (!e) {
        e = why_set(why, ERR_INVALID, "the request names neither checks nor a dataset");
    }
    json_decref(dataset);
    json_decref(checks);
    json_decref(truth);
    return e;
}

static enum err run_variant(const struct task *t, struct pyspan response, bool *pass,
                            struct why *why)
{
    if (t->row->kind == CHECK_INSTRUCTION && pyspan_blank(response)) {
        *pass = false;
        return ERR_OK;
    }
    struct check_input in = {
        .response = response, .truth = pytext_span(&t->truth), .args = t->args};
    return t->row->run(&in, pass, why);
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

static enum err run_task(const struct task *t, struct pyspan response, bool *pass, struct why *why)
{
    if (!t->loose) {
        return run_variant(t, response, pass, why);
    }
    struct pyspan cuts[4];
    cut_lines(response, cuts);
    *pass = false;
    for (size_t i = 0; i < ARRAY_LEN(cuts) && !*pass; i++) {
        enum err e = run_variant(t, cuts[i], pass, why);
        struct pytext bare = {0};
        if (!e && !*pass) {
            e = pytext_without(cuts[i], '*', &bare);
            e = e ? e : run_variant(t, pytext_span(&bare), pass, why);
            pytext_fini(&bare);
        }
        if (e) {
            return e;
        }
    }
    return ERR_OK;
}

static enum err run_plan(const struct plan *p, struct pyspan response, struct score_result *out,
                         struct why *why)
{
    out->components = calloc(p->n, sizeof *out->components);
    if (!out->components) {
        return ERR_NOMEM;
    }
    out->n_components = p->n;
    double reward = 0;
    for (size_t g = 0, i = 0; g < p->n_groups; g++) {
        bool all = true;
        for (; i < p->group_end[g]; i++) {
            const struct task *t = &p->tasks[i];
            bool pass = false;
            enum err e = run_task(t, response, &pass, why);
            if (e) {
                return why_prefix(why, e, "%s", t->row->id);
            }
            struct score_component *c = &out->components[i];
            strncpy(c->id, t->row->id, sizeof c->id - 1);
            strncpy(c->version, t->row->version, sizeof c->version - 1);
            c->value = pass ? 1 : 0;
            all = all && pass;
        }
        reward += all ? 1 : 0;
    }
    out->reward = reward;
    out->outcome = reward > 0 ? SCORE_SCORED : SCORE_ZERO;
    return ERR_OK;
}

void score_request_run(const struct score_request *req, struct score_result *out)
{
    *out = (struct score_result){0};
    struct why why = {{0}};
    struct plan plan = {0};
    struct pytext response = {0};
    enum err e = make_plan(req, &plan, &why);
    e = e ? e : pytext_decode(req->response.data, req->response.len, &response);
    e = e ? e : run_plan(&plan, pytext_span(&response), out, &why);
    if (e) {
        score_unscored(out, why.text[0] ? why.text : err_text(e));
    }
    pytext_fini(&response);
    plan_fini(&plan);
}

// Copies as much of `text` as fits, whole characters only; control and malformed bytes become '?'.
static void copy_line(char *out, size_t cap, const char *text)
{
    struct pytext t = {0};
    size_t n = 0;
    if (pytext_decode(text, strlen(text), &t)) {
        out[0] = 0;
        return;
    }
    for (size_t i = 0; i < t.n; i++) {
        uint32_t c = t.cp[i] < 0x20 || t.cp[i] == 0x7F || t.cp[i] == 0xFFFD ? '?' : t.cp[i];
        size_t len;
        char *bytes = pyspan_encode((struct pyspan){&c, 1}, &len);
        if (!bytes || n + len + 1 > cap) {
            free(bytes);
            break;
        }
        memcpy(out + n, bytes, len);
        n += len;
        free(bytes);
    }
    out[n] = 0;
    pytext_fini(&t);
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
