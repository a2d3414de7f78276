// rubric.c: JSON texts become tasks and groups.
//
// One reader for everything a row can say, so that a verdict, `caravan data check` and the daemon
// refuse the same mistakes in the same words. Lists of checks form one group; each dataset name
// forms one; each shaping check of the policy forms one of its own.
#include "verifier/rubric.h"

#include <math.h>
#include <string.h>

#include "common/json.h"
#include "verifier/checkargs.h"
#include "verifier/registry.h"

#define WEIGHT_MAX 1e6

static void free_json(void *value)
{
    json_decref(value);
}

const json_t *rubric_json(struct scratch *a, const char *text, size_t len, const char *name)
{
    json_t *value = NULL;
    struct why why = {{0}};
    enum err e = json_parse(text, len, name, &value, &why);
    if (e) {
        scratch_fail(a, e, "%s", why.text);
    }
    scratch_defer(a, free_json, value);
    return value;
}

static const char *json_text(struct scratch *a, const json_t *v)
{
    if (!v || json_is_null(v)) {
        return "";
    }
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) {
        scratch_fail(a, ERR_NOMEM, "out of memory");
    }
    scratch_defer(a, free, text);
    return text;
}

// ---- tasks and groups ----

static struct rubric_task *add_task(struct rubric_reader *p)
{
    struct rubric *rubric = &p->rubric;
    if (rubric->n_tasks == SCORE_MAX_COMPONENTS) {
        scratch_fail(p->scratch, ERR_LIMIT, "more than %d checks", SCORE_MAX_COMPONENTS);
    }
    rubric->tasks = scratch_grow(p->scratch, rubric->tasks, rubric->n_tasks, rubric->n_tasks + 1,
                                 &p->tasks_cap, sizeof *rubric->tasks);
    struct rubric_task *t = &rubric->tasks[rubric->n_tasks++];
    *t = (struct rubric_task){.weight = 1};
    rubric->groups[rubric->n_groups - 1].n++;
    return t;
}

struct rubric_group *rubric_open_group(struct rubric_reader *p, enum rubric_fold fold)
{
    struct rubric *rubric = &p->rubric;
    if (rubric->n_groups == SCORE_MAX_COMPONENTS) {
        scratch_fail(p->scratch, ERR_LIMIT, "more than %d verifiers", SCORE_MAX_COMPONENTS);
    }
    rubric->groups = scratch_grow(p->scratch, rubric->groups, rubric->n_groups,
                                  rubric->n_groups + 1, &p->groups_cap, sizeof *rubric->groups);
    struct rubric_group *g = &rubric->groups[rubric->n_groups++];
    *g = (struct rubric_group){.first = rubric->n_tasks, .fold = p->has_fold ? p->fold : fold};
    return g;
}

static bool rubric_plugin(struct rubric_reader *p, const char *id, size_t len, const json_t *kwargs,
                          const json_t *truth)
{
    const struct score_resolver *r = p->resolver;
    struct rubric_task found = {.weight = 1};
    if (!r || !r->find(r->arg, id, len, &found.plugin, &found.id, &found.version)) {
        return false;
    }
    found.kwargs = json_text(p->scratch, kwargs);
    found.truth_json = json_text(p->scratch, truth);
    *add_task(p) = found;
    return true;
}

static const char *string_of(struct rubric_reader *p, const json_t *v, const char *name,
                             size_t *len)
{
    if (!json_is_string(v)) {
        scratch_fail(p->scratch, ERR_INVALID, "%s: expected a string", name);
    }
    *len = json_string_length(v);
    return json_string_value(v);
}

static void read_truth(struct rubric_reader *p, struct rubric_task *t, const json_t *truth)
{
    if (!json_is_string(truth)) {
        scratch_fail(p->scratch, ERR_INVALID, "%s: ground_truth: expected a JSON string",
                     t->row->id);
    }
    t->truth = pytext_decode(p->scratch, json_string_value(truth), json_string_length(truth));
}

// The arguments' failure gets the check's id in front.
struct parse_call {
    struct scratch *scratch;
    const struct check_row *row;
    const json_t *kwargs;
    const struct check_arg *args;
};

static void parse_args(void *arg)
{
    struct parse_call *call = arg;
    call->args = checkargs_parse(call->scratch, call->row, call->kwargs);
}

static const struct check_arg *parse_named(struct scratch *a, const struct check_row *row,
                                           const json_t *kwargs)
{
    struct parse_call call = {.scratch = a, .row = row, .kwargs = kwargs};
    struct why why = {{0}};
    enum err e = scratch_run(a, parse_args, &call, &why);
    if (e) {
        scratch_fail(a, e, "%s: %s", row->id, why.text);
    }
    return call.args;
}

struct rubric_task *rubric_add_check(struct rubric_reader *p, const json_t *id,
                                     const json_t *kwargs, const json_t *truth)
{
    size_t len;
    const char *name = string_of(p, id, "id", &len);
    const struct check_row *row = registry_find(name, len);
    if (!row) {
        if (!rubric_plugin(p, name, len, kwargs, truth)) {
            scratch_fail(p->scratch, ERR_NOT_FOUND, "unknown check \"%.60s\"", name);
        }
        return &p->rubric.tasks[p->rubric.n_tasks - 1];
    }
    if (row->kind == CHECK_SUITE) {
        scratch_fail(p->scratch, ERR_INVALID, "%s: is a data set's name, it belongs into dataset",
                     row->id);
    }
    struct rubric_task *t = add_task(p);
    t->row = row;
    t->id = row->id;
    t->version = row->version;
    t->args = parse_named(p->scratch, row, kwargs);
    if (row->kind == CHECK_TRUTH) {
        read_truth(p, t, truth);
    }
    return t;
}

// ---- lists of checks ----

static void read_mode(struct rubric_reader *p, const json_t *mode, struct rubric_task *t)
{
    const char *text = json_is_string(mode) ? json_string_value(mode) : "";
    if (mode && strcmp(text, "strict") != 0 && strcmp(text, "loose") != 0) {
        scratch_fail(p->scratch, ERR_INVALID, "mode: expected \"strict\" or \"loose\"");
    }
    t->loose = strcmp(text, "loose") == 0;
    if (t->loose && !(t->row && t->row->kind == CHECK_INSTRUCTION)) {
        scratch_fail(p->scratch, ERR_INVALID, "%s: has no loose mode", t->id);
    }
}

void rubric_check(struct rubric_reader *p, const json_t *check, const json_t *truth)
{
    static const char *const keys[] = {"id", "kwargs", "mode", "weight", "gate"};
    if (!json_is_object(check)) {
        scratch_fail(p->scratch, ERR_INVALID, "expected an object with id and kwargs");
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)check, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
            known = known || strcmp(key, keys[i]) == 0;
        }
        if (!known) {
            scratch_fail(p->scratch, ERR_INVALID,
                         "%.40s: unknown key, expected id, kwargs, mode, weight or gate", key);
        }
    }
    struct rubric_task *t =
        rubric_add_check(p, json_object_get(check, "id"), json_object_get(check, "kwargs"), truth);
    read_mode(p, json_object_get(check, "mode"), t);
    const json_t *weight = json_object_get(check, "weight"), *gate = json_object_get(check, "gate");
    if (weight && !(json_is_number(weight) && fabs(json_number_value(weight)) <= WEIGHT_MAX)) {
        scratch_fail(p->scratch, ERR_INVALID, "weight: expected a number of at most 1e6");
    }
    if (gate && !json_is_boolean(gate)) {
        scratch_fail(p->scratch, ERR_INVALID, "gate: expected true or false");
    }
    t->weighed = weight != NULL;
    t->weight = weight ? json_number_value(weight) : 1;
    t->gate = json_is_true(gate);
}

struct check_call {
    struct rubric_reader *reader;
    const json_t *check, *truth;
};

static void rubric_one(void *arg)
{
    const struct check_call *call = arg;
    rubric_check(call->reader, call->check, call->truth);
}

static void rubric_checks(struct rubric_reader *p, const json_t *checks, const json_t *truth)
{
    size_t n = json_array_size(checks);
    if (n == 0) {
        scratch_fail(p->scratch, ERR_INVALID, "checks: expected a list of at least one check");
    }
    size_t group = p->rubric.n_groups;
    (void)rubric_open_group(p, RUBRIC_ALL);
    for (size_t i = 0; i < n; i++) {
        struct check_call call = {p, json_array_get(checks, i), truth};
        struct why why = {{0}};
        enum err e = scratch_run(p->scratch, rubric_one, &call, &why);
        if (e) {
            scratch_fail(p->scratch, e, "checks[%zu]: %s", i, why.text);
        }
        if (p->rubric.tasks[i].weighed && !p->has_fold) {
            p->rubric.groups[group].fold = RUBRIC_SUM;
        }
    }
}

// ---- data sets ----

static void rubric_verifier(struct rubric_reader *p, const json_t *name, const json_t *truth)
{
    size_t len;
    const char *id = string_of(p, name, "dataset", &len);
    const struct check_row *row = registry_find(id, len);
    if (row && row->kind == CHECK_SUITE) {
        rubric_suite(p, row, truth);
        return;
    }
    if (row && row->kind != CHECK_TRUTH) {
        scratch_fail(p->scratch, ERR_INVALID,
                     "dataset: %s is an instruction, it belongs into checks", row->id);
    }
    (void)rubric_open_group(p, RUBRIC_ALL);
    (void)rubric_add_check(p, name, NULL, truth);
}

static void rubric_dataset(struct rubric_reader *p, const json_t *dataset, const json_t *truth)
{
    if (!json_is_array(dataset)) {
        rubric_verifier(p, dataset, truth);
        return;
    }
    size_t n = json_array_size(dataset);
    bool single = n == 1 && !json_is_array(truth);
    if (n == 0 || (!single && json_array_size(truth) != n)) {
        scratch_fail(p->scratch, ERR_INVALID,
                     "dataset: %zu names need a ground_truth list of the same length", n);
    }
    for (size_t i = 0; i < n; i++) {
        rubric_verifier(p, json_array_get(dataset, i), single ? truth : json_array_get(truth, i));
    }
}

// ---- the whole request ----

static const json_t *parse_text(struct scratch *a, struct score_text t, const char *name)
{
    return t.len == 0 ? NULL : rubric_json(a, t.data, t.len, name);
}

static void check_sizes(struct scratch *a, const struct score_request *req)
{
    const struct score_text texts[] = {req->dataset, req->checks, req->ground_truth,
                                       req->reward,  req->prompt, req->response};
    static const char *const names[] = {"dataset", "checks", "ground_truth",
                                        "reward",  "prompt", "response"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (texts[i].len > SCORE_TEXT_MAX) {
            scratch_fail(a, ERR_LIMIT, "%s: %zu bytes, at most %u", names[i], texts[i].len,
                         SCORE_TEXT_MAX);
        }
    }
}

struct rubric *rubric_make(struct scratch *a, const struct score_request *req,
                           const struct score_resolver *resolver)
{
    check_sizes(a, req);
    struct rubric_reader *p = scratch_zeroed(a, sizeof *p);
    *p = (struct rubric_reader){.scratch = a, .resolver = resolver, .rubric = {.scale = 1}};
    const json_t *checks = parse_text(a, req->checks, "checks");
    const json_t *dataset = parse_text(a, req->dataset, "dataset");
    const json_t *truth = parse_text(a, req->ground_truth, "ground_truth");
    const json_t *policy = parse_text(a, req->reward, "reward");
    rubric_reward(p, policy);
    if (checks && !json_is_null(checks)) {
        rubric_checks(p, checks, truth);
    } else if (dataset) {
        rubric_dataset(p, dataset, truth);
    } else {
        scratch_fail(a, ERR_INVALID, "the request names neither checks nor a dataset");
    }
    p->rubric.first_shaping = p->rubric.n_groups;
    rubric_shaping(p, policy);
    return &p->rubric;
}
