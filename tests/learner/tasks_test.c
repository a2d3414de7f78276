// tasks_test.c: claims about reading, counting and drawing tasks.

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

#include "common/fs.h"
#include "learner/tasks.h"
#include "model/source.h"
#include "proto/limits.h"
#include "tiny_model.h"

#define USER(text) "\"messages\": [{\"role\": \"user\", \"content\": \"" text "\"}]"
#define GOOD "{" USER("1+1?") ", \"ground_truth\": \"2\", \"dataset\": \"gsm8k\"}"

static struct {
    char dir[64], model[96], file[96];
    struct source *source;
    struct tokenizer *tokenizer;
} world;

static const struct tasks_limits roomy = {.max_prompt_tokens = 1000};

static int open_world(void **state)
{
    (void)state;
    strcpy(world.dir, "/tmp/tasks_testXXXXXX");
    assert_non_null(mkdtemp(world.dir));
    snprintf(world.model, sizeof world.model, "%s/model", world.dir);
    snprintf(world.file, sizeof world.file, "%s/rows.jsonl", world.dir);
    tiny_model_make(world.model, "1");
    assert_int_equal(source_open(world.model, &world.source, NULL), ERR_OK);
    assert_int_equal(source_tokenizer(world.source, &world.tokenizer, NULL), ERR_OK);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    tokenizer_destroy(world.tokenizer);
    source_close(world.source);
    return fs_remove_tree(world.dir, NULL) != ERR_OK;
}

static enum err load(const char *text, const struct tasks_limits *l, struct tasks **out,
                     struct why *why)
{
    assert_int_equal(fs_write_file(world.file, text, strlen(text), NULL), ERR_OK);
    return tasks_load(world.file, world.tokenizer, l, out, why);
}

static struct tasks *must_load(const char *text, const struct tasks_limits *l)
{
    struct tasks *t = NULL;
    struct why why = {""};
    if (load(text, l, &t, &why)) {
        fail_msg("%s", why.text);
    }
    return t;
}

// ---- rows ----

static void rows_keep_what_the_verifier_needs(void **state)
{
    (void)state;
    struct tasks *t = must_load(
        "\n  \r\n{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": "
        "\"user\", \"content\": \"2+2?\"}], \"ground_truth\": \"4\", \"dataset\": \"gsm8k\", "
        "\"kind\": \"sum1\"}\n"
        "{" USER("Write.") ", \"ground_truth\": {\"instruction_id\": [\"a:b\", \"c:d\"], "
                           "\"kwargs\": [null, {}]}, \"dataset\": \"ifeval\"}\n"
                           "{" USER("Write.") ", \"checks\": [{\"id\": \"x:y\", \"kwargs\": {}}], "
                                              "\"dataset\": null}\n"
                                              "{" USER(
                                                  "Both.") ", \"dataset\": [\"gsm8k\", "
                                                           "\"ifeval\"], \"ground_truth\": [\"7\", "
                                                           "{\"instruction_id\": [\"p:q\"], "
                                                           "\"kwargs\": [null]}], \"unknown\": 1}",
        &roomy);
    assert_int_equal(tasks_count(t), 4);
    const struct task *a = tasks_get(t, 0), *b = tasks_get(t, 1), *c = tasks_get(t, 2),
                      *d = tasks_get(t, 3);
    assert_string_equal(a->prompt_text, "2+2?");
    assert_string_equal(a->dataset, "\"gsm8k\"");
    assert_string_equal(a->ground_truth, "\"4\"");
    assert_string_equal(a->kind, "sum1");
    assert_string_equal(a->needs, "gsm8k");
    assert_string_equal(b->needs, "ifeval\na:b\nc:d");
    assert_string_equal(b->kind, "ifeval");
    assert_string_equal(c->needs, "x:y");
    assert_string_equal(c->dataset, "");
    assert_string_equal(d->needs, "gsm8k\nifeval\np:q");
    assert_true(a->n_prompt > strlen("<|im_start|>"));    // the template is around it
    tasks_destroy(t);
}

// Each kind of mistake says where it is, which field, and what was expected there.
static void a_malformed_row_is_named_by_file_line_and_field(void **state)
{
    (void)state;
    static const struct {
        const char *row, *says[2];
        enum err e;
    } cases[] = {
        {"{", {"not valid JSON"}, ERR_INVALID},
        {"[1]", {"expected an object"}, ERR_INVALID},
        {"{\"a\": 1, \"a\": 2}", {"duplicate"}, ERR_INVALID},
        {"{\"ground_truth\": \"2\", \"dataset\": \"gsm8k\"}", {"messages:", "list"}, ERR_INVALID},
        {"{\"messages\": []}", {"messages:", "1..256"}, ERR_INVALID},
        {"{\"messages\": \"hi\"}", {"messages:"}, ERR_INVALID},
        {"{\"messages\": [{\"role\": \"user\"}]}", {"messages[0]:", "content"}, ERR_INVALID},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [\"x\"]}]}",
         {"messages[0]:", "strings"},
         ERR_INVALID},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\\u0000b\"}]}",
         {"messages[0]:", "NUL"},
         ERR_INVALID},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
         "\"content\": \"b\"}]}",
         {"\"assistant\"", "\"user\""},
         ERR_INVALID},
        {"{" USER("a") ", \"ground_truth\": \"2\"}", {"dataset: missing"}, ERR_INVALID},
        {"{" USER("a") ", \"dataset\": \"gsm8k\"}", {"ground_truth: missing"}, ERR_INVALID},
        {"{" USER("a") ", \"dataset\": \"gsm8k\", \"ground_truth\": null}",
         {"ground_truth: missing"},
         ERR_INVALID},
        {"{" USER("a") ", \"dataset\": 3, \"ground_truth\": \"2\"}",
         {"dataset: expected a string"},
         ERR_INVALID},
        {"{" USER("a") ", \"dataset\": \"\", \"ground_truth\": \"2\"}",
         {"dataset: expected a string"},
         ERR_INVALID},
        {"{" USER("a") ", \"dataset\": \"a\\nb\", \"ground_truth\": \"2\"}",
         {"dataset:", "one line"},
         ERR_INVALID},
        {"{" USER("a") ", \"dataset\": [], \"ground_truth\": \"2\"}",
         {"dataset: the list is empty"},
         ERR_INVALID},
        {"{" USER("a") ", \"dataset\": [\"gsm8k\", 1], \"ground_truth\": [\"2\", \"3\"]}",
         {"dataset: expected a string"},
         ERR_INVALID},
        {"{" USER("a") ", \"dataset\": [\"gsm8k\", \"gsm8k\"], \"ground_truth\": \"2\"}",
         {"ground_truth: expected a list of 2"},
         ERR_INVALID},
        {"{" USER("a") ", \"dataset\": \"ifeval\", \"ground_truth\": \"7\"}",
         {"ground_truth:", "instructions of dataset ifeval"},
         ERR_INVALID},
        {"{" USER("a") ", \"dataset\": \"ifeval\", \"ground_truth\": {\"kwargs\": []}}",
         {"ground_truth:", "instruction_id or func_name"},
         ERR_INVALID},
        {"{" USER("a") ", \"dataset\": \"ifeval\", \"ground_truth\": {\"instruction_id\": [5]}}",
         {"ground_truth.instruction_id: expected a string"},
         ERR_INVALID},
        {"{" USER("a") ", \"checks\": {}}", {"checks: expected a list"}, ERR_INVALID},
        {"{" USER("a") ", \"checks\": []}", {"checks: expected a list"}, ERR_INVALID},
        {"{" USER("a") ", \"checks\": [{\"id\": \"a\"}, {\"kwargs\": {}}]}",
         {"checks[1].id: expected a string"},
         ERR_INVALID},
        {"{" USER("a") ", \"checks\": [7]}", {"checks[0].id: expected a string"}, ERR_INVALID},
        {"{" USER("a") ", \"dataset\": \"gsm8k\", \"ground_truth\": \"2\", \"kind\": 4}",
         {"kind"},
         ERR_INVALID},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}", {"JSON"}, ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[1024];
        struct tasks *t = NULL;
        struct why why = {""};
        snprintf(text, sizeof text, "%s\n\n%s\n%s\n", GOOD, cases[i].row, GOOD);
        enum err e = load(text, &roomy, &t, &why);
        bool named = strstr(why.text, "rows.jsonl:3: ") != NULL;
        for (size_t k = 0; k < 2 && cases[i].says[k]; k++) {
            named = named && strstr(why.text, cases[i].says[k]);
        }
        if (e != cases[i].e || !named || t) {
            fail_msg("%s\n  gave %s: %s", cases[i].row, err_text(e), why.text);
        }
    }
}

static void texts_over_the_wire_limits_are_refused_at_load(void **state)
{
    (void)state;
    struct tasks *t = NULL;
    struct why why = {""};
    size_t len = LIMIT_TEXT_BYTES + 10;
    char *row = malloc(len + 200), *at = row;
    at += sprintf(at, "{" USER("a") ", \"dataset\": \"gsm8k\", \"ground_truth\": \"");
    memset(at, '7', len);
    strcpy(at + len, "\"}");
    assert_int_equal(load(row, &roomy, &t, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "rows.jsonl:1: ground_truth: "));
    free(row);
    char name[400];
    snprintf(name, sizeof name, "{" USER("a") ", \"ground_truth\": \"2\", \"dataset\": \"%0200d\"}",
             0);
    assert_int_equal(load(name, &roomy, &t, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "dataset: "));
}

// Long prompts do not end a load: they are left out, and counted for the log.
static void prompts_over_the_limit_are_refused_and_counted(void **state)
{
    (void)state;
    struct tasks_limits tight = {.max_prompt_tokens = 70};
    struct tasks *t = must_load(
        GOOD
        "\n"
        "{" USER("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") ", \"ground_truth\": \"2\", "
                                                               "\"dataset\": \"gsm8k\"}\n" GOOD,
        &tight);
    assert_int_equal(tasks_count(t), 2);
    assert_int_equal(tasks_refused(t), 1);
    tasks_destroy(t);

    struct why why = {""};
    tight.max_prompt_tokens = 5;
    assert_int_equal(load(GOOD "\n" GOOD, &tight, &t, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "2 over the prompt limit"));
    assert_int_equal(load("", &roomy, &t, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "no usable row"));
    assert_int_equal(tasks_load("/nowhere/rows.jsonl", world.tokenizer, &roomy, &t, &why),
                     ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "/nowhere/rows.jsonl"));
}

static void rows_after_the_limit_are_not_read(void **state)
{
    (void)state;
    struct tasks_limits two = {.max_prompt_tokens = 1000, .max_rows = 2};
    struct tasks *t = must_load(GOOD "\n" GOOD "\nnot JSON\n", &two);
    assert_int_equal(tasks_count(t), 2);
    tasks_destroy(t);
}

// The hash is what keeps a run to its data: any change that matters shows.
static void the_hash_tells_data_apart(void **state)
{
    (void)state;
    static const char *const texts[] = {
        GOOD,
        GOOD "\n" GOOD,
        "{" USER("1+2?") ", \"ground_truth\": \"2\", \"dataset\": \"gsm8k\"}",
        "{" USER("1+1?") ", \"ground_truth\": \"3\", \"dataset\": \"gsm8k\"}",
        "{" USER("1+1?") ", \"ground_truth\": \"2\", \"dataset\": \"string_equality\"}",
    };
    struct hash128 h[ARRAY_LEN(texts)];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct tasks *t = must_load(texts[i], &roomy);
        h[i] = tasks_hash(t);
        tasks_destroy(t);
        for (size_t k = 0; k < i; k++) {
            assert_false(hash_equal(h[i], h[k]));
        }
    }
    struct tasks *t = must_load("\n" GOOD "\n\n", &roomy);    // blank lines do not matter
    assert_true(hash_equal(tasks_hash(t), h[0]));
    tasks_destroy(t);
}

// ---- generated ----

static void held_out_tasks_are_pairwise_different_as_long_as_there_are_some(void **state)
{
    (void)state;
    struct tasks *t = NULL;
    struct why why = {""};
    assert_int_equal(tasks_generate(TASKGEN_MIXED, 300, 1, true, world.tokenizer, &roomy, &t, &why),
                     ERR_OK);
    assert_int_equal(tasks_count(t), 300);
    for (size_t i = 0; i < 300; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(tasks_get(t, i)->prompt_text, tasks_get(t, k)->prompt_text);
        }
    }
    tasks_destroy(t);
    // Far more than there are: it ends, with what there is.
    assert_int_equal(
        tasks_generate(TASKGEN_MATH, 20000, 1, true, world.tokenizer, &roomy, &t, &why), ERR_OK);
    assert_true(tasks_count(t) > 300 && tasks_count(t) < 20000);
    tasks_destroy(t);
}

// ---- order ----

enum { ROWS = 50 };

static struct tasks *fifty(void)
{
    struct tasks *t = NULL;
    assert_int_equal(
        tasks_generate(TASKGEN_MIXED, ROWS, 3, false, world.tokenizer, &roomy, &t, NULL), ERR_OK);
    return t;
}

static void without_shuffle_rows_come_in_order_for_ever(void **state)
{
    (void)state;
    struct tasks *t = fifty();
    uint64_t epoch;
    for (uint64_t i = 0; i < 3 * ROWS; i++) {
        assert_int_equal(tasks_draw(t, false, 1, i, &epoch), i % ROWS);
        assert_int_equal(epoch, i / ROWS);
    }
    tasks_destroy(t);
}

// Every epoch shows every task once, in an order of its own.
static void each_epoch_is_a_permutation(void **state)
{
    (void)state;
    struct tasks *t = fifty();
    size_t order[4][ROWS];
    for (uint64_t e = 0; e < 4; e++) {
        bool seen[ROWS] = {false};
        for (uint64_t i = 0; i < ROWS; i++) {
            uint64_t epoch;
            order[e][i] = tasks_draw(t, true, 1, e * ROWS + i, &epoch);
            assert_int_equal(epoch, e);
            assert_true(order[e][i] < ROWS);
            assert_false(seen[order[e][i]]);
            seen[order[e][i]] = true;
        }
        for (uint64_t k = 0; k < e; k++) {
            assert_memory_not_equal(order[e], order[k], sizeof order[e]);
        }
    }
    tasks_destroy(t);
}

// After a restart the same ordinal is the same task, in whatever order the draws are asked for.
static void draws_are_reproducible_and_depend_on_the_seed(void **state)
{
    (void)state;
    struct tasks *a = fifty(), *b = fifty();
    uint64_t epoch;
    size_t differs = 0, n = 4 * ROWS;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t there = (i * 77) % n;
        size_t row = tasks_draw(a, true, 1, there, &epoch);
        assert_int_equal(row, tasks_draw(b, true, 1, there, &epoch));
        differs += row != tasks_draw(b, true, 2, there, &epoch);
        assert_int_equal(row, tasks_draw(b, true, 1, there, &epoch));
    }
    assert_true(differs > n / 2);
    tasks_destroy(a);
    tasks_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_keep_what_the_verifier_needs),
        cmocka_unit_test(a_malformed_row_is_named_by_file_line_and_field),
        cmocka_unit_test(texts_over_the_wire_limits_are_refused_at_load),
        cmocka_unit_test(prompts_over_the_limit_are_refused_and_counted),
        cmocka_unit_test(rows_after_the_limit_are_not_read),
        cmocka_unit_test(the_hash_tells_data_apart),
        cmocka_unit_test(held_out_tasks_are_pairwise_different_as_long_as_there_are_some),
        cmocka_unit_test(without_shuffle_rows_come_in_order_for_ever),
        cmocka_unit_test(each_epoch_is_a_permutation),
        cmocka_unit_test(draws_are_reproducible_and_depend_on_the_seed),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
