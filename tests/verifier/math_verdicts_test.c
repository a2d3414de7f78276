// math_verdicts_test.c: the stored verdicts on answers of GSM8K and MATH.
//
// The reference set lives outside the repository: CARAVAN_REFERENCE names the folder that holds
// verdicts/. Without it the tests are skipped; the small cases that always run are in
// minerva_test.c, mathstring_test.c and math_check_test.c.
#include "tests/verifier/support.h"

#include <stdio.h>
#include <stdlib.h>

#include "verifier/mathstring.h"
#include "verifier/minerva.h"

struct tally {
    struct scratch scratch;
    size_t cases, wrong;
    const json_t *row;
    void (*judge)(struct tally *t);
};

static struct pyspan field(struct tally *t, const char *name)
{
    const json_t *v = json_object_get(t->row, name);
    return pytext_decode(&t->scratch, json_string_value(v), json_string_length(v));
}

static bool flag(const struct tally *t, const char *name)
{
    return json_is_true(json_object_get(t->row, name));
}

static void judge_row(void *arg)
{
    struct tally *t = arg;
    t->cases++;
    t->judge(t);
}

static void note(struct tally *t, bool ours, bool theirs)
{
    if (ours != theirs) {
        t->wrong++;
        print_message("%s: %s\n", json_string_value(json_object_get(t->row, "id")),
                      ours ? "holds, expected not" : "does not hold, expected to");
    }
}

// Calls judge for each line of verdicts/NAME; skips the test when there is no reference.
static struct tally each_line(const char *name, void (*judge)(struct tally *t))
{
    const char *root = getenv("CARAVAN_REFERENCE");
    char path[4096];
    if (!root) {
        skip();
    }
    snprintf(path, sizeof path, "%s/verdicts/%s", root, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    struct tally t = {.judge = judge};
    scratch_init(&t.scratch, (size_t)64 << 20);
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0;) {
        json_t *row = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        t.row = row;
        assert_int_equal(scratch_run(&t.scratch, judge_row, &t, NULL), ERR_OK);
        scratch_reset(&t.scratch);
        json_decref(row);
    }
    free(line);
    fclose(f);
    scratch_fini(&t.scratch);
    print_message("%s: %zu cases, %zu wrong\n", name, t.cases, t.wrong);
    assert_true(t.cases > 0);
    return t;
}

// The later version of the original, whose symbolic check never succeeds: text alone. Where it
// finds nothing it also takes the response as it stands.
static void by_strings(struct tally *t)
{
    struct pyspan response = field(t, "response"), truth = field(t, "ground_truth");
    struct minerva_answers answers = minerva_extract(&t->scratch, response);
    bool holds = answers.whole && mathstring_equal(&t->scratch, response, truth);
    for (size_t i = 0; i < answers.n; i++) {
        holds = holds || mathstring_equal(&t->scratch, answers.v[i], truth);
    }
    note(t, holds, flag(t, "pass_strings"));
}

// What the check that `dataset` (JSON) names says about the row.
static enum score_outcome outcome(const struct tally *t, const char *dataset)
{
    const json_t *response = json_object_get(t->row, "response");
    char *truth = json_dumps(json_object_get(t->row, "ground_truth"), JSON_ENCODE_ANY);
    struct score_request req = {
        .dataset = support_text(dataset),
        .ground_truth = support_text(truth),
        .response = {json_string_value(response), json_string_length(response)}};
    struct score_result r;
    score_request_run(&req, &r);
    enum score_outcome got = r.outcome;
    score_result_fini(&r);
    free(truth);
    return got;
}

static void by_release(struct tally *t)
{
    note(t, outcome(t, "\"gsm8k@tulu3\"") == SCORE_SCORED, flag(t, "pass"));
}

// An unscored row counts as wrong whatever the original says.
static void by_math(struct tally *t)
{
    enum score_outcome got = outcome(t, "\"math\"");
    bool theirs = flag(t, "pass_tulu");
    note(t, got == SCORE_UNSCORED ? !theirs : got == SCORE_SCORED, theirs);
}

// Rows that both originals accept; the others are no cases.
static void by_math_equiv(struct tally *t)
{
    if (flag(t, "pass_tulu") && flag(t, "pass_mathverify")) {
        note(t, outcome(t, "\"math_equiv\"") == SCORE_SCORED, true);
    } else {
        t->cases--;
    }
}

static void gsm8k_of_the_release_is_reproduced(void **state)
{
    (void)state;
    assert_int_equal(each_line("gsm8k_dev.jsonl", by_release).wrong, 0);
}

static void strings_alone_reproduce_the_later_version(void **state)
{
    (void)state;
    assert_int_equal(each_line("math_dev.jsonl", by_strings).wrong, 0);
}

// docs/verifier-differences.md says what the rest is and who is right there.
static void math_agrees_with_the_release_but_for_3_percent(void **state)
{
    (void)state;
    struct tally t = each_line("math_dev.jsonl", by_math);
    assert_true(100 * t.wrong <= 3 * t.cases);
}

static void math_equiv_accepts_what_both_originals_accept_but_for_3_percent(void **state)
{
    (void)state;
    struct tally t = each_line("math_dev.jsonl", by_math_equiv);
    assert_true(100 * t.wrong <= 3 * t.cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gsm8k_of_the_release_is_reproduced),
        cmocka_unit_test(strings_alone_reproduce_the_later_version),
        cmocka_unit_test(math_agrees_with_the_release_but_for_3_percent),
        cmocka_unit_test(math_equiv_accepts_what_both_originals_accept_but_for_3_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
