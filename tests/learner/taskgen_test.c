// taskgen_test.c: claims about tasks from our own templates, with the verifier's own scoring as the
// judge of their ground truths.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/json.h"
#include "learner/taskgen.h"
#include "verifier/score.h"

enum { DRAWS = 100000 };

static const enum taskgen_kind kinds[] = {TASKGEN_MATH, TASKGEN_CONSTRAINTS, TASKGEN_MIXED};

// ---- rows ----

static void a_row_depends_on_its_name_alone(void **state)
{
    (void)state;
    struct taskgen_row a, b;
    for (uint64_t i = 0; i < 500; i++) {
        enum taskgen_kind kind = kinds[i % ARRAY_LEN(kinds)];
        memset(&a, 0x55, sizeof a);
        taskgen_make(kind, 7, i, i % 2, &a);
        taskgen_make(kind, 8, i + 1, false, &b);    // something else in between
        taskgen_make(kind, 7, i, i % 2, &b);
        assert_string_equal(a.prompt, b.prompt);
        assert_string_equal(a.ground_truth, b.ground_truth);
        assert_string_equal(a.kind, b.kind);
    }
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct hash128));
}

static struct hash128 *prompts(uint64_t seed, bool held_out, size_t n)
{
    struct hash128 *h = calloc(n, sizeof *h);
    for (size_t i = 0; i < n; i++) {
        struct taskgen_row r;
        taskgen_make(kinds[i % ARRAY_LEN(kinds)], seed, i, held_out, &r);
        h[i] = hash_bytes(r.prompt, strlen(r.prompt));
    }
    return h;
}

// Held-out accuracy means something only then; the seeds are the same and different ones.
static void no_held_out_prompt_is_ever_trained_on(void **state)
{
    (void)state;
    struct hash128 *held = prompts(1, true, DRAWS);
    qsort(held, DRAWS, sizeof *held, by_bytes);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct hash128 *train = prompts(seed, false, DRAWS);
        for (size_t i = 0; i < DRAWS; i++) {
            if (bsearch(&train[i], held, DRAWS, sizeof *held, by_bytes)) {
                fail_msg("seed %d, row %zu: a held-out prompt", (int)seed, i);
            }
        }
        free(train);
    }
    free(held);
}

static void every_line_is_a_row_of_the_data_format(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        struct taskgen_row r;
        struct buf line;
        struct why why = {""};
        json_t *o = NULL;
        buf_init(&line, 1 << 16);
        taskgen_make(kinds[i % ARRAY_LEN(kinds)], 3, i, false, &r);
        assert_int_equal(taskgen_print(&r, &line), ERR_OK);
        assert_int_equal(line.data[line.len - 1], '\n');
        if (json_parse((const char *)line.data, line.len - 1, "row", &o, &why)) {
            fail_msg("%s", why.text);
        }
        const json_t *m = json_array_get(json_object_get(o, "messages"), 0);
        assert_string_equal(json_string_value(json_object_get(m, "role")), "user");
        assert_string_equal(json_string_value(json_object_get(m, "content")), r.prompt);
        assert_non_null(json_object_get(o, "ground_truth"));
        assert_string_equal(json_string_value(json_object_get(o, "kind")), r.kind);
        json_decref(o);
        buf_fini(&line);
    }
}

static void the_three_kinds_have_names_and_no_other(void **state)
{
    (void)state;
    struct why why = {""};
    enum taskgen_kind kind = TASKGEN_MATH;
    assert_int_equal(taskgen_kind_parse("mixed", &kind, NULL), ERR_OK);
    assert_int_equal(kind, TASKGEN_MIXED);
    assert_int_equal(taskgen_kind_parse("maths", &kind, &why), ERR_INVALID);
    assert_int_equal(kind, TASKGEN_MIXED);
    assert_non_null(strstr(why.text, "maths"));
    assert_non_null(strstr(why.text, "math, constraints, mixed"));
}

// ---- answers ----

struct answer {
    char text[1024];
};

static const char *first_keyword(const json_t *kwargs)
{
    return json_string_value(json_array_get(json_object_get(kwargs, "keywords"), 0));
}

// Adds to good what meets an instruction, and makes bad what breaks it. Whatever is there meets the
// others: short, without commas.
static void answer_instruction(const char *id, const json_t *kwargs, struct answer *good,
                               struct answer *bad)
{
    char old[sizeof good->text];
    memcpy(old, good->text, sizeof old);
    size_t cap = sizeof good->text;
    if (strcmp(id, "punctuation:no_comma") == 0) {
        snprintf(bad->text, cap, "Well, no.");
    } else if (strcmp(id, "keywords:existence") == 0) {
        snprintf(good->text, cap, "%.500s %s", old, first_keyword(kwargs));
        snprintf(bad->text, cap, "Nothing of the kind.");
    } else if (strcmp(id, "length_constraints:number_words") == 0) {
        snprintf(bad->text, cap,
                 "one two three four five six seven eight nine ten eleven twelve "
                 "thirteen fourteen");
    } else if (strcmp(id, "detectable_format:title") == 0) {
        snprintf(good->text, cap, "<<Calm>> %.500s", old);
        snprintf(bad->text, cap, "A title: Calm.");
    } else if (strcmp(id, "detectable_content:postscript") == 0) {
        snprintf(good->text, cap, "%.500s\nP.S. Bye", old);
        snprintf(bad->text, cap, "Nothing follows.");
    } else if (strcmp(id, "detectable_format:json_format") == 0) {
        snprintf(good->text, cap, "{\"text\": \"%.500s\"}", old);
        snprintf(bad->text, cap, "text: calm");
    } else if (strcmp(id, "startend:end_checker") == 0) {
        snprintf(good->text, cap, "%.500s %s", old,
                 json_string_value(json_object_get(kwargs, "end_phrase")));
        snprintf(bad->text, cap, "It has no end");
    } else if (strcmp(id, "startend:quotation") == 0) {
        snprintf(good->text, cap, "\"%.500s\"", old);
        snprintf(bad->text, cap, "Unquoted.");
    } else {
        fail_msg("no answer is known for %s", id);
    }
}

static void answers_of(const struct taskgen_row *r, struct answer *good, struct answer *bad)
{
    json_t *truth = json_loads(r->ground_truth, JSON_DECODE_ANY, NULL);
    assert_non_null(truth);
    if (json_is_string(truth)) {
        snprintf(good->text, sizeof good->text, "The answer is %s.", json_string_value(truth));
        snprintf(bad->text, sizeof bad->text, "The answer is %s1.", json_string_value(truth));
    } else {
        const json_t *ids = json_object_get(truth, "instruction_id"),
                     *kwargs = json_object_get(truth, "kwargs"), *id;
        size_t i;
        snprintf(good->text, sizeof good->text, "Calm");
        json_array_foreach(ids, i, id)
        {
            answer_instruction(json_string_value(id), json_array_get(kwargs, i), good, bad);
        }
    }
    json_decref(truth);
}

static struct score_text text(const char *s)
{
    return (struct score_text){s, strlen(s)};
}

static void must_score(const struct taskgen_row *r, const char *response, enum score_outcome want)
{
    char dataset[32];
    struct score_result out;
    snprintf(dataset, sizeof dataset, "\"%s\"", r->dataset);
    struct score_request req = {.dataset = text(dataset),
                                .ground_truth = text(r->ground_truth),
                                .reward = text("{\"combine\":\"all\"}"),
                                .prompt = text(r->prompt),
                                .response = text(response)};
    score_request_run(&req, &out);
    if (out.outcome != want) {
        fail_msg("%s: %s %s\n  prompt:   %s\n  truth:    %s\n  response: %s", r->kind,
                 score_outcome_name(out.outcome), out.cause, r->prompt, r->ground_truth, response);
    }
    score_result_fini(&out);
}

// A task that nothing can meet, or that everything meets, carries no signal, ever.
static void every_task_can_be_met_and_missed(void **state)
{
    (void)state;
    static const char *const expected[] = {"sum1",    "diff1",     "prod1",     "sum2",
                                           "diff2",   "story1",    "story2",    "no_comma",
                                           "keyword", "few_words", "title",     "postscript",
                                           "json",    "ending",    "quotation", "two_constraints"};
    size_t seen[ARRAY_LEN(expected)] = {0};
    for (uint64_t i = 0; i < 6000; i++) {
        struct taskgen_row r;
        struct answer good = {""}, bad = {""};
        taskgen_make(kinds[i % ARRAY_LEN(kinds)], 5, i, i % 4 == 0, &r);
        answers_of(&r, &good, &bad);
        must_score(&r, good.text, SCORE_SCORED);
        must_score(&r, bad.text, SCORE_ZERO);
        size_t k = 0;
        while (k < ARRAY_LEN(expected) && strcmp(expected[k], r.kind) != 0) {
            k++;
        }
        if (k == ARRAY_LEN(expected)) {
            fail_msg("unknown kind %s", r.kind);
        }
        seen[k]++;
    }
    for (size_t k = 0; k < ARRAY_LEN(expected); k++) {
        if (!seen[k]) {
            fail_msg("no task of kind %s", expected[k]);
        }
    }
}

// What a prompt asks for is what its ground truth checks: sums are sums.
static void arithmetic_is_right(void **state)
{
    (void)state;
    size_t checked = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        struct taskgen_row r;
        int a, b, n = 0;
        char op;
        taskgen_make(TASKGEN_MATH, 9, i, false, &r);
        const char *digits = strpbrk(r.prompt, "0123456789");
        assert_non_null(digits);
        if (strncmp(r.kind, "story", 5) == 0 ||
            sscanf(digits, "%d %c %d%n", &a, &op, &b, &n) != 3) {
            continue;
        }
        char want[32];
        snprintf(want, sizeof want, "\"%d\"", op == '+' ? a + b : op == '-' ? a - b : a * b);
        assert_string_equal(r.ground_truth, want);
        checked++;
    }
    assert_true(checked > 1500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_depends_on_its_name_alone),
        cmocka_unit_test(no_held_out_prompt_is_ever_trained_on),
        cmocka_unit_test(every_line_is_a_row_of_the_data_format),
        cmocka_unit_test(the_three_kinds_have_names_and_no_other),
        cmocka_unit_test(every_task_can_be_met_and_missed),
        cmocka_unit_test(arithmetic_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
