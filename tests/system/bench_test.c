// bench_test.c: `caravan bench` on a tiny model: one line for each turn, and figures that hang
// together. No figure is held to a limit: tests never time anything.
#include "tests/system/world.h"

static json_t *lines_of(const char *text)
{
    json_t *list = json_array();
    char *copy = strdup(text), *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_t *v = json_loads(line, 0, NULL);
        if (!v) {
            fail_msg("not JSON: %s", line);
        }
        json_array_append_new(list, v);
    }
    free(copy);
    return list;
}

static json_t *lines_from(const char *input, const char *command)
{
    char *out;
    int rc = world_pipe(input, &out, "%s", command);
    if (rc != 0) {
        fail_msg("%s: status %d\n%s", command, rc, out);
    }
    json_t *list = lines_of(out);
    free(out);
    return list;
}

static double number(const json_t *lines, size_t i, const char *key)
{
    const json_t *v = json_object_get(json_array_get(lines, i), key);
    if (!json_is_number(v)) {
        fail_msg("line %zu: %s: no number", i, key);
    }
    return json_number_value(v);
}

static bool near(double a, double b)
{
    return a > 0.98 * b && a < 1.02 * b;
}

static void decoding_is_counted_in_passes(void **state)
{
    (void)state;
    json_t *l = lines_from("", "caravan bench decode --model tiny --sequences 5 --prompt 20 "
                               "--steps 40 --repeats 2 --threads 1 --json");
    assert_int_equal(json_array_size(l), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(number(l, i, "turn") == (double)i + 1);
        assert_true(number(l, i, "threads") == 1);
        assert_true(near(number(l, i, "mean_tokens_per_s") * number(l, i, "seconds"), 5 * 40));
        assert_true(number(l, i, "tokens_per_s") > 0);
    }
    json_decref(l);
}

// Prompts that a pass cuts in two are read as well, and scored.
static void prompts_are_read_in_passes_of_any_size(void **state)
{
    (void)state;
    json_t *l = lines_from("", "caravan bench prefill --model tiny --sequences 30 --prompt 70 "
                               "--rows 33 --repeats 2 --json --score --roofline");
    assert_int_equal(json_array_size(l), 2);
    assert_true(number(l, 1, "rows") == 33);
    assert_true(number(l, 1, "products_share") > 0);
    json_decref(l);
}

static void training_leaves_no_files(void **state)
{
    (void)state;
    json_t *l =
        lines_from("", "TMPDIR=. caravan bench train --model tiny --sequences 3 --tokens 50 "
                       "--micro 100 --repeats 2 --json --roofline");
    assert_int_equal(json_array_size(l), 2);
    assert_true(number(l, 0, "peak_mib") > 1);
    assert_true(number(l, 1, "products_gflops") > 0);
    json_decref(l);
    char *out;
    assert_int_equal(world_run(&out, "caravan bench train --model tiny --tokens 2000"), 1);
    assert_contains(out, "--tokens: 2000 exceed the model's context of 1024");
    free(out);
    assert_int_equal(world_run(&out, "ls"), 0);
    assert_null(strstr(out, "caravan-bench"));
    free(out);
}

// So that a script can let two programs take turns.
static void a_paced_bench_waits_for_a_line(void **state)
{
    (void)state;
    json_t *l = lines_from("\n\n\n", "caravan bench decode --model tiny --sequences 2 --paced "
                                     "--repeats 9");
    assert_int_equal(json_array_size(l), 4);
    assert_true(json_is_true(json_object_get(json_array_get(l, 0), "ready")));
    assert_true(number(l, 3, "turn") == 3);
    json_decref(l);
}

static void steps_of_a_run_have_answers_of_equal_length(void **state)
{
    (void)state;
    json_t *l = lines_from("", "caravan bench step --model tiny --groups 2 --samples 4 --tokens 12 "
                               "--skip 1 --repeats 3 --run kept --json");
    assert_int_equal(json_array_size(l), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(number(l, i, "tokens") == 2 * 4 * 12);
        assert_true(number(l, i, "length_mean") == 12);
        assert_true(number(l, i, "seconds") >= 0);
    }
    json_decref(l);
    assert_int_equal(world_steps("kept"), 4);
    free(world_audit_clean("kept"));
}

static void verdicts_are_counted(void **state)
{
    (void)state;
    struct why why;
    const char row[] = "{\"dataset\":\"gsm8k\",\"ground_truth\":\"7\",\"response\":\"It is 7.\"}\n";
    assert_int_equal(fs_write_file("rows.jsonl", row, strlen(row), &why), ERR_OK);
    char *out;
    assert_int_equal(
        world_run(&out, "caravan bench verify --rows rows.jsonl --seconds 0.1 --repeats 2"), 0);
    assert_contains(out, "jobs_per_s");
    assert_contains(out, "2 turns");
    free(out);
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *command, *says;
        int status;
    } cases[] = {
        {"caravan bench decode", "--model: missing", 1},
        {"caravan bench step", "--model: missing", 2},
        {"caravan bench verify", "--rows: missing", 2},
        {"caravan bench verify --rows nowhere", "nowhere: No such file", 1},
        {"caravan bench", "decode | prefill | train", 2},
        {"caravan bench sing", "'sing', expected decode", 2},
        {"caravan bench decode --model tiny --device gpu", "device gpu: expected cpu", 1},
        {"caravan bench train --model tiny --dtype f16", "'f16', expected bf16 or f32", 1},
        {"caravan bench step --model nowhere", "nowhere", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *out;
        assert_int_equal(world_run(&out, "%s", cases[i].command), cases[i].status);
        assert_contains(out, cases[i].says);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_is_counted_in_passes),
        cmocka_unit_test(prompts_are_read_in_passes_of_any_size),
        cmocka_unit_test(training_leaves_no_files),
        cmocka_unit_test(a_paced_bench_waits_for_a_line),
        cmocka_unit_test(steps_of_a_run_have_answers_of_equal_length),
        cmocka_unit_test(verdicts_are_counted),
        cmocka_unit_test(what_is_missing_is_said),
    };
    return cmocka_run_group_tests(tests, world_enter, world_leave);
}
