// rubric_suite.c: data sets whose ground truth lists the instructions of its row.
//
// "ifeval": {"instruction_id": [...], "kwargs": [{...}|null, ...]}, a list of one such object, or a
// JSON string holding either. Each row keeps the reward of its data set: the share of instructions
// that hold.
#include "verifier/rubric.h"

static void rubric_lists(struct rubric_reader *p, const json_t *obj)
{
    const json_t *ids = json_object_get(obj, "instruction_id"),
                 *kwargs = json_object_get(obj, "kwargs");
    size_t n = json_array_size(ids);
    if (n == 0 || json_array_size(kwargs) != n) {
        scratch_fail(
            p->scratch, ERR_INVALID,
            "ifeval: ground_truth: expected instruction_id and kwargs, two lists of one length");
    }
    for (size_t i = 0; i < n; i++) {
        struct rubric_task *t =
            rubric_add_check(p, json_array_get(ids, i), json_array_get(kwargs, i), NULL);
        if (t->row && t->row->kind != CHECK_INSTRUCTION) {
            scratch_fail(p->scratch, ERR_INVALID, "%s: is not an instruction", t->id);
        }
    }
}

void rubric_suite(struct rubric_reader *p, const struct check_row *suite, const json_t *truth)
{
    (void)suite;
    if (json_is_string(truth)) {
        truth = rubric_json(p->scratch, json_string_value(truth), json_string_length(truth),
                            "ifeval: ground_truth");
    }
    if (json_array_size(truth) == 1) {
        truth = json_array_get(truth, 0);
    }
    if (!json_is_object(truth)) {
        scratch_fail(p->scratch, ERR_INVALID,
                     "ifeval: ground_truth: expected an object, or a list of one");
    }
    (void)rubric_open_group(p, RUBRIC_MEAN);
    rubric_lists(p, truth);
}
