// verdicts_test.c: the stored verdicts of the original checkers are reproduced.
//
// The reference set is large and lives outside the repository: CARAVAN_REFERENCE names the folder
// that holds verdicts/. Without it the tests are skipped; small cases that always run are in the
// tests of each family. Verdicts must agree exactly, but for checks that stand in for a trained
// model or a dictionary: at least 99 of 100 for the number of sentences, 97 for languages, 90 for
// verbs and syllables. Each test prints the ids that differ, and the first cases.
#include "tests/verifier/support.h"

#include <math.h>
#include <stdlib.h>

#include "verifier/registry.h"

#define MAX_IDS 256
#define SHOWN 5
#define NAME_BYTES 96

struct id_tally {
    char id[NAME_BYTES];
    size_t cases, wrong;
    char first[SHOWN][NAME_BYTES];
};

struct tally {
    struct id_tally ids[MAX_IDS];
    size_t n;
};

static struct id_tally *tally_at(struct tally *t, const char *id)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->ids[i].id, id) == 0) {
            return &t->ids[i];
        }
    }
    assert_in_range(t->n, 0, MAX_IDS - 1);
    snprintf(t->ids[t->n].id, NAME_BYTES, "%s", id);
    return &t->ids[t->n++];
}

static void tally_note(struct tally *t, const char *id, const json_t *row, bool agrees)
{
    struct id_tally *at = tally_at(t, id);
    at->cases++;
    if (!agrees) {
        if (at->wrong < SHOWN) {
            const char *name = json_string_value(json_object_get(row, "id"));
            snprintf(at->first[at->wrong], NAME_BYTES, "%s", name ? name : "unnamed");
        }
        at->wrong++;
    }
}

// The share of verdicts that must agree.
static double share_wanted(const char *id)
{
    static const struct {
        const char *id;
        double share;
    } estimates[] = {
        {"length_constraints:number_sentences", 0.99},
        {"language:response_language", 0.97},
        {"change_case:english_capital", 0.97},
        {"change_case:english_lowercase", 0.97},
        {"validate_response_language", 0.97},
        {"words:start_verb", 0.90},
        {"words:odd_even_syllables", 0.90},
    };
    for (size_t i = 0; i < ARRAY_LEN(estimates); i++) {
        if (strcmp(id, estimates[i].id) == 0) {
            return estimates[i].share;
        }
    }
    return 1;
}

static bool report(const char *name, const struct tally *t)
{
    size_t cases = 0, wrong = 0;
    bool good = true;
    for (size_t i = 0; i < t->n; i++) {
        const struct id_tally *at = &t->ids[i];
        cases += at->cases;
        wrong += at->wrong;
        bool enough = (double)(at->cases - at->wrong) >= share_wanted(at->id) * (double)at->cases;
        good = good && enough;
        if (at->wrong > 0) {
            print_message("%s: %s: %zu/%zu wrong%s:", name, at->id, at->wrong, at->cases,
                          enough ? "" : ", TOO MANY");
            for (size_t k = 0; k < at->wrong && k < SHOWN; k++) {
                print_message(" %s", at->first[k]);
            }
            print_message("\n");
        }
    }
    print_message("%s: %zu cases, %zu wrong\n", name, cases, wrong);
    assert_true(cases > 0);
    return good;
}

typedef void row_fn(const json_t *row, struct tally *t);

// Calls fn for each line of verdicts/NAME; skips the test when there is no reference.
static void agree(const char *name, row_fn *fn)
{
    const char *root = getenv("CARAVAN_REFERENCE");
    char path[4096];
    if (!root) {
        skip();
    }
    snprintf(path, sizeof path, "%s/verdicts/%s", root, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    struct tally *t = calloc(1, sizeof *t);
    assert_non_null(t);
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0;) {
        json_t *row = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        fn(row, t);
        json_decref(row);
    }
    free(line);
    fclose(f);
    bool good = report(name, t);
    free(t);
    assert_true(good);
}

static const char *string_at(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    assert_non_null(s);
    return s;
}

static void compare(const json_t *row, const char *id, struct score_request *req, double want,
                    struct tally *t)
{
    const json_t *response = json_object_get(row, "response");
    req->response = (struct score_text){json_string_value(response), json_string_length(response)};
    struct score_result r;
    score_request_run(req, &r);
    tally_note(t, id, row, r.outcome != SCORE_UNSCORED && fabs(r.reward - want) < 1e-9);
    score_result_fini(&r);
}

static void compare_check(const json_t *row, const json_t *id, const json_t *kwargs,
                          const char *mode, bool want, struct tally *t)
{
    json_t *checks = json_pack("[{s:O, s:O, s:s}]", "id", id, "kwargs", kwargs, "mode", mode);
    char *text = json_dumps(checks, 0);
    assert_non_null(text);
    struct score_request req = {.checks = support_text(text)};
    compare(row, json_string_value(id), &req, want, t);
    free(text);
    json_decref(checks);
}

// `id` is what the tally is kept for.
static void compare_dataset(const json_t *row, const char *dataset, const char *id,
                            const json_t *truth, double want, struct tally *t)
{
    char *text = json_dumps(truth, JSON_ENCODE_ANY);
    char name[NAME_BYTES];
    assert_non_null(text);
    snprintf(name, sizeof name, "\"%s\"", dataset);
    struct score_request req = {.dataset = support_text(name), .ground_truth = support_text(text)};
    compare(row, id, &req, want, t);
    free(text);
}

static void instruction_row(const json_t *row, struct tally *t)
{
    compare_check(row, json_object_get(row, "instruction_id"), json_object_get(row, "kwargs"),
                  "strict", json_is_true(json_object_get(row, "pass")), t);
}

static void loose_row(const json_t *row, struct tally *t)
{
    static const char *const modes[] = {"strict", "loose"};
    const json_t *ids = json_object_get(row, "instruction_id_list"),
                 *kwargs = json_object_get(row, "kwargs");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
            compare_check(row, json_array_get(ids, i), json_array_get(kwargs, i), modes[m],
                          json_is_true(json_array_get(json_object_get(row, modes[m]), i)), t);
        }
    }
}

static void multi_row(const json_t *row, struct tally *t)
{
    compare_dataset(row, "ifeval", "several", json_object_get(row, "ground_truth"),
                    json_number_value(json_object_get(row, "score")), t);
}

static void function_row(const json_t *row, struct tally *t)
{
    const char *name = string_at(row, "func_name");
    const json_t *label = json_object_get(row, "gt");
    char released[NAME_BYTES];
    snprintf(released, sizeof released, "%s@tulu3", name);
    compare_dataset(row, "ifeval", name, label, json_is_true(json_object_get(row, "pass_head")), t);
    compare_dataset(row, "ifeval@tulu3", released, label,
                    json_is_true(json_object_get(row, "pass_t3")), t);
}

static void gsm8k_row(const json_t *row, struct tally *t)
{
    const json_t *truth = json_object_get(row, "ground_truth");
    compare_dataset(row, "gsm8k", "gsm8k", truth, json_is_true(json_object_get(row, "pass_head")),
                    t);
    if (registry_find("gsm8k@tulu3", strlen("gsm8k@tulu3"))) {
        compare_dataset(row, "gsm8k@tulu3", "gsm8k@tulu3", truth,
                        json_is_true(json_object_get(row, "pass")), t);
    }
}

static void raises_row(const json_t *row, struct tally *t)
{
    compare_check(row, json_object_get(row, "instruction_id"), json_object_get(row, "kwargs"),
                  "strict", false, t);
}

static void ifeval_verdicts_agree(void **state)
{
    (void)state;
    agree("ifeval_dev.jsonl", instruction_row);
}

static void loose_verdicts_agree(void **state)
{
    (void)state;
    agree("ifeval_loose_dev.jsonl", loose_row);
}

static void ifbench_verdicts_agree(void **state)
{
    (void)state;
    agree("ifbench_dev.jsonl", instruction_row);
}

static void verdicts_of_the_later_suite_agree(void **state)
{
    (void)state;
    agree("ifevalg_dev.jsonl", instruction_row);
}

static void shares_of_several_instructions_agree(void **state)
{
    (void)state;
    agree("ifevalg_multi_dev.jsonl", multi_row);
}

static void verdicts_of_training_functions_agree_in_both_versions(void **state)
{
    (void)state;
    agree("if_train_dev.jsonl", function_row);
}

static void gsm8k_verdicts_agree_in_both_versions(void **state)
{
    (void)state;
    agree("gsm8k_dev.jsonl", gsm8k_row);
}

static void what_raised_an_error_is_not_satisfied(void **state)
{
    (void)state;
    agree("raises_dev.jsonl", raises_row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ifeval_verdicts_agree),
        cmocka_unit_test(loose_verdicts_agree),
        cmocka_unit_test(ifbench_verdicts_agree),
        cmocka_unit_test(verdicts_of_the_later_suite_agree),
        cmocka_unit_test(shares_of_several_instructions_agree),
        cmocka_unit_test(verdicts_of_training_functions_agree_in_both_versions),
        cmocka_unit_test(gsm8k_verdicts_agree_in_both_versions),
        cmocka_unit_test(what_raised_an_error_is_not_satisfied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
