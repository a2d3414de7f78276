// rubric_suite.c: data sets whose ground truth lists the instructions of its row.
//
// "ifeval" labels come in two kinds. One function (RLVR-IF, Tülu 3): {"func_name": …, its arguments,
// null for those of other functions}. Several instructions (later sets): {"instruction_id": [...],
// "kwargs": [{...}|null, ...]}, or a list of one such object; the reward is the share that holds.
// Either stands as JSON, as a string of JSON, or as a string with the repr() of Python.
//
// The response is prepared as the training code prepares it: reasoning and answer tags removed.
// "ifeval@tulu3" follows the code released with Tülu 3, functions only: the text after the last
// assistant mark, and the functions' first form where they changed.
#include "verifier/rubric.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "verifier/pyliteral.h"
#include "verifier/registry.h"

#define WHERE "ifeval: ground_truth"
#define RELEASE "@tulu3"

// JSON first: a Python literal that is also JSON means the same.
static const json_t *read_text(struct scratch *a, const json_t *v)
{
    json_t *value = NULL;
    struct why why;
    enum err e = json_parse(json_string_value(v), json_string_length(v), WHERE, &value, &why);
    if (e == ERR_LIMIT) {
        scratch_fail(a, e, "%s", why.text);
    }
    json_decref(value);
    return e ? pyliteral_parse(a, json_string_value(v), json_string_length(v), WHERE)
             : rubric_json(a, json_string_value(v), json_string_length(v), WHERE);
}

static void add_instructions(struct rubric_reader *p, const json_t *label)
{
    const json_t *ids = json_object_get(label, "instruction_id"),
                 *kwargs = json_object_get(label, "kwargs");
    size_t n = json_array_size(ids);
    if (n == 0 || json_array_size(kwargs) != n) {
        scratch_fail(p->scratch, ERR_INVALID,
                     WHERE ": expected instruction_id and kwargs, two lists of one length");
    }
    for (size_t i = 0; i < n; i++) {
        struct rubric_task *t =
            rubric_add_check(p, json_array_get(ids, i), json_array_get(kwargs, i), NULL);
        if (t->row && t->row->kind != CHECK_INSTRUCTION) {
            scratch_fail(p->scratch, ERR_INVALID, "%s: is not an instruction", t->id);
        }
    }
}

static void free_json(void *value)
{
    json_decref(value);
}

// The row "NAME@tulu3", where the release had a rule of its own.
static const json_t *release_name(struct rubric_reader *p, const json_t *name)
{
    char id[SCORE_ID_BYTES];
    int n = snprintf(id, sizeof id, "%s" RELEASE, json_string_value(name));
    if (n < 0 || (size_t)n >= sizeof id || !registry_find(id, (size_t)n)) {
        return name;
    }
    json_t *v = json_string(id);
    if (!v) {
        scratch_fail(p->scratch, ERR_NOMEM, "out of memory");
    }
    scratch_defer(p->scratch, free_json, v);
    return v;
}

static void add_function(struct rubric_reader *p, const json_t *label, bool release)
{
    const json_t *name = json_object_get(label, "func_name");
    json_t *kwargs = json_copy((json_t *)label);
    if (!kwargs) {
        scratch_fail(p->scratch, ERR_NOMEM, "out of memory");
    }
    scratch_defer(p->scratch, free_json, kwargs);
    (void)json_object_del(kwargs, "func_name");
    bool named = json_is_string(name);
    struct rubric_task *t =
        rubric_add_check(p, named && release ? release_name(p, name) : name, kwargs, NULL);
    if (t->row && t->row->kind != CHECK_FUNCTION) {
        scratch_fail(p->scratch, ERR_INVALID, "%s: is not a function of ifeval", t->id);
    }
}

void rubric_suite(struct rubric_reader *p, const struct check_row *suite, const json_t *truth)
{
    bool release = strstr(suite->id, RELEASE) != NULL;
    if (json_is_string(truth)) {
        truth = read_text(p->scratch, truth);
    }
    if (json_array_size(truth) == 1) {
        truth = json_array_get(truth, 0);
    }
    if (json_is_string(truth)) {    // a list of one string of JSON
        truth = read_text(p->scratch, truth);
    }
    if (!json_is_object(truth)) {
        scratch_fail(p->scratch, ERR_INVALID, WHERE ": expected an object, or a list of one");
    }
    struct rubric_group *g = rubric_open_group(p, RUBRIC_MEAN);
    g->text = release ? RUBRIC_TEXT_AFTER_ASSISTANT : RUBRIC_TEXT_ANSWER;
    if (json_object_get(truth, "func_name")) {
        add_function(p, truth, release);
    } else if (release) {
        scratch_fail(p->scratch, ERR_INVALID, WHERE ": expected func_name");
    } else {
        add_instructions(p, truth);
    }
}
