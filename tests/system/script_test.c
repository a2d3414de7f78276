// script_test.c: the commands for scripts: one answer line for each line, in the same order.
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

static json_t *answers(int status, const char *input, const char *command)
{
    char *out;
    int rc = world_pipe(input, &out, "%s", command);
    if (rc != status) {
        fail_msg("%s: status %d\n%s", command, rc, out);
    }
    json_t *list = lines_of(out);
    free(out);
    return list;
}

static const char *text_at(const json_t *list, size_t i, const char *key)
{
    const char *s = json_string_value(json_object_get(json_array_get(list, i), key));
    return s ? s : "";
}

static void text_goes_to_ids_and_back(void **state)
{
    (void)state;
    json_t *a =
        answers(0, "{\"text\":\"na\\u00efve, <|im_end|>\"}\n", "caravan tokenize --model tiny");
    char *ids = json_dumps(json_array_get(a, 0), JSON_COMPACT);
    json_t *b = answers(0, ids, "caravan detokenize --model tiny");
    assert_string_equal(text_at(b, 0, "text"), "na\xc3\xafve, <|im_end|>");
    free(ids);
    json_decref(a);
    json_decref(b);
}

// A script that feeds thousands of lines must not lose its place because of one of them.
static void a_bad_line_is_answered_and_the_others_work(void **state)
{
    (void)state;
    json_t *a = answers(1,
                        "{\"text\":\"a\"}\n"
                        "nonsense\n"
                        "\n"
                        "[1]\n"
                        "{\"ids\":[1]}\n"
                        "{\"text\":\"b\"}",
                        "caravan tokenize --model tiny");
    assert_int_equal(json_array_size(a), 5);
    assert_non_null(json_object_get(json_array_get(a, 0), "ids"));
    assert_contains(text_at(a, 1, "error"), "stdin:2");
    assert_contains(text_at(a, 2, "error"), "stdin:4: expected an object");
    assert_contains(text_at(a, 3, "error"), "stdin:5: expected text or messages");
    assert_non_null(json_object_get(json_array_get(a, 4), "ids"));
    json_decref(a);
}

static bool same_float(const json_t *a, const json_t *b)
{
    return json_is_real(a) && (float)json_real_value(a) == (float)json_real_value(b);
}

// The engine decodes token by token, the scorer runs the whole text at once: one definition of
// log-probability, so the same bits.
static void generated_log_probs_are_scored_ones(void **state)
{
    (void)state;
    json_t *g = answers(0, "{\"ids\":[1,50,60,70],\"max_tokens\":30,\"seed\":7}\n",
                        "caravan generate --model tiny");
    json_t *ids = json_pack("[i,i,i,i]", 1, 50, 60, 70);
    json_array_extend(ids, json_object_get(json_array_get(g, 0), "ids"));
    json_t *in = json_pack("{s:o}", "ids", ids);
    char *line = json_dumps(in, JSON_COMPACT);
    json_t *s = answers(0, line, "caravan logprobs --model tiny");
    const json_t *was = json_object_get(json_array_get(g, 0), "logprobs");
    const json_t *now = json_object_get(json_array_get(s, 0), "logprobs");
    assert_int_equal(json_array_size(now), json_array_size(ids) - 1);
    assert_true(json_array_size(was) > 0);
    for (size_t i = 0; i < json_array_size(was); i++) {
        assert_true(same_float(json_array_get(was, i), json_array_get(now, i + 3)));
    }
    free(line);
    json_decref(in);
    json_decref(g);
    json_decref(s);
}

static void equal_seeds_give_equal_answers(void **state)
{
    (void)state;
    json_t *a = answers(0,
                        "{\"ids\":[1,50],\"max_tokens\":40,\"seed\":7}\n"
                        "{\"ids\":[1,50],\"max_tokens\":40,\"seed\":8}\n"
                        "{\"ids\":[1,50],\"max_tokens\":40,\"seed\":7}\n"
                        "{\"ids\":[1,50],\"max_tokens\":40,\"temperature\":0}\n",
                        "caravan generate --model talker");
    const json_t *first = json_object_get(json_array_get(a, 0), "ids");
    assert_false(json_equal(first, json_object_get(json_array_get(a, 1), "ids")));
    assert_true(json_equal(first, json_object_get(json_array_get(a, 2), "ids")));
    assert_false(json_equal(first, json_object_get(json_array_get(a, 3), "ids")));
    json_decref(a);
}

// min_p 1 leaves the most likely token alone, so it is greedy whatever the seed: said in the line, or
// once for all lines.
static void min_p_is_taken_from_the_line_or_the_command(void **state)
{
    (void)state;
    json_t *a = answers(0,
                        "{\"ids\":[1,50],\"max_tokens\":40,\"temperature\":0}\n"
                        "{\"ids\":[1,50],\"max_tokens\":40,\"min_p\":1,\"seed\":7}\n"
                        "{\"ids\":[1,50],\"max_tokens\":40,\"seed\":7}\n",
                        "caravan generate --model talker");
    json_t *b = answers(0,
                        "{\"ids\":[1,50],\"seed\":9}\n"
                        "{\"ids\":[1,50],\"min_p\":0,\"seed\":7}\n",
                        "caravan generate --model talker --max-tokens 40 --min-p 1");
    const json_t *greedy = json_object_get(json_array_get(a, 0), "ids");
    const json_t *free_one = json_object_get(json_array_get(a, 2), "ids");
    assert_true(json_equal(greedy, json_object_get(json_array_get(a, 1), "ids")));
    assert_false(json_equal(greedy, free_one));
    assert_true(json_equal(greedy, json_object_get(json_array_get(b, 0), "ids")));
    assert_true(json_equal(free_one, json_object_get(json_array_get(b, 1), "ids")));
    const json_t *kept = json_object_get(json_array_get(a, 1), "kept_mass");
    assert_true(json_real_value(kept) > 0 && json_real_value(kept) < 1);
    assert_true(json_real_value(json_object_get(json_array_get(a, 2), "kept_mass")) == 1);
    json_decref(a);
    json_decref(b);
}

static void requests_outside_the_model_are_refused(void **state)
{
    (void)state;
    json_t *a = answers(1,
                        "{\"ids\":[1,259],\"max_tokens\":4}\n"
                        "{\"ids\":[1],\"max_tokens\":1024}\n"
                        "{\"ids\":[1],\"max_tokens\":0}\n"
                        "{\"ids\":[],\"max_tokens\":4}\n"
                        "{\"ids\":[1],\"max_tokens\":4,\"temperature\":-1}\n"
                        "{\"ids\":[1],\"max_tokens\":4}\n"
                        "{\"ids\":[1],\"max_tokens\":4,\"min_p\":1.5}\n",
                        "caravan generate --model tiny");
    assert_contains(text_at(a, 0, "error"), "ids[1]: expected an integer in 0..258");
    assert_contains(text_at(a, 1, "error"), "the model's context of 1024");
    assert_contains(text_at(a, 2, "error"), "max_tokens");
    assert_contains(text_at(a, 3, "error"), "ids");
    assert_contains(text_at(a, 4, "error"), "temperature");
    assert_non_null(json_object_get(json_array_get(a, 5), "text"));
    assert_contains(text_at(a, 6, "error"), "min_p");
    json_decref(a);
}

static void verdicts_come_in_the_order_of_their_lines(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    for (int i = 0; i < 600; i++) {
        assert_int_equal(
            buf_printf(&b,
                       "{\"dataset\":\"gsm8k\",\"ground_truth\":\"%d\",\"prompt\":\"?\","
                       "\"response\":\"so it is %d\"}\n",
                       i, i % 3 ? i : i + 1),
            ERR_OK);
    }
    json_t *a = answers(0, (char *)b.data, "caravan verify --workers 2");
    assert_int_equal(json_array_size(a), 600);
    for (size_t i = 0; i < 600; i++) {
        assert_string_equal(text_at(a, i, "outcome"), i % 3 ? "score" : "zero");
    }
    json_decref(a);
    buf_fini(&b);
}

// Fail closed: what no check can judge is unscored, with a cause, and never a quiet zero.
static void verdicts_say_why_there_is_none(void **state)
{
    (void)state;
    json_t *a =
        answers(1,
                "{\"checks\":[{\"id\":\"punctuation:no_comma\",\"kwargs\":{}}],\"response\":\"none "
                "here\"}\n"
                "{\"dataset\":\"no_such_check\",\"ground_truth\":\"1\",\"response\":\"x\"}\n"
                "{\"response\":\"x\"}\n"
                "{\"dataset\":\"gsm8k\",\"ground_truth\":\"1\"}\n",
                "caravan verify --workers 1");
    assert_string_equal(text_at(a, 0, "outcome"), "score");
    assert_string_equal(text_at(a, 1, "outcome"), "unscored");
    assert_contains(text_at(a, 1, "cause"), "no_such_check");
    assert_contains(text_at(a, 2, "error"), "dataset or checks");
    assert_contains(text_at(a, 3, "error"), "response");
    json_decref(a);
}

static void tasks_are_a_function_of_their_seed(void **state)
{
    (void)state;
    char *one, *again, *other;
    assert_int_equal(world_run(&one, "caravan tasks --kind mixed --n 50 --seed 3"), 0);
    assert_int_equal(world_run(&again, "caravan tasks --kind mixed --n 50 --seed 3"), 0);
    assert_int_equal(world_run(&other, "caravan tasks --kind mixed --n 50 --seed 4"), 0);
    assert_string_equal(one, again);
    assert_string_not_equal(one, other);
    json_t *rows = lines_of(one);
    assert_int_equal(json_array_size(rows), 50);
    assert_true(json_is_array(json_object_get(json_array_get(rows, 0), "messages")));
    json_decref(rows);
    free(one);
    free(again);
    free(other);
}

static void the_example_configuration_is_the_manual(void **state)
{
    (void)state;
    char *manual, *example, *path = fs_path("%s/deploy/example.yaml", world_source());
    size_t len;
    struct why why;
    assert_int_equal(world_run(&manual, "caravan config --print"), 0);
    if (fs_read_file(path, 1 << 20, &example, &len, &why)) {
        fail_msg("%s", why.text);
    }
    if (strcmp(manual, example) != 0) {
        fail_msg("deploy/example.yaml is not what `caravan config --print` writes");
    }
    free(manual);
    free(example);
    free(path);
    path = fs_path("%s/deploy/quickstart.yaml", world_source());
    char *out;
    assert_int_equal(world_run(&out, "caravan config --check %s --set model.path=tiny", path), 0);
    free(out);
    free(path);
}

static void a_plan_is_printed_and_nothing_started(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(world_run(&out, "caravan run run.yaml --check --set run_dir=plan"), 0);
    assert_contains(out, "learner");
    assert_contains(out, "KV cache");
    assert_contains(out, "longest prompt");
    assert_false(fs_exists("plan"));
    free(out);
}

static void a_model_is_evaluated_and_exported(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(
        world_run(&out, "caravan eval --model tiny --data commas.jsonl --n 6 --max-tokens 8"), 0);
    assert_contains(out, "accuracy 0.000 on 6 ");    // greedy, it writes nothing but commas
    free(out);
    assert_int_equal(world_run(&out, "caravan export --model tiny --out again"), 0);
    free(out);
    json_t *a = answers(0, "{\"ids\":[1,50,60]}\n", "caravan logprobs --model tiny");
    json_t *b = answers(0, "{\"ids\":[1,50,60]}\n", "caravan logprobs --model again");
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_goes_to_ids_and_back),
        cmocka_unit_test(a_bad_line_is_answered_and_the_others_work),
        cmocka_unit_test(generated_log_probs_are_scored_ones),
        cmocka_unit_test(equal_seeds_give_equal_answers),
        cmocka_unit_test(min_p_is_taken_from_the_line_or_the_command),
        cmocka_unit_test(requests_outside_the_model_are_refused),
        cmocka_unit_test(verdicts_come_in_the_order_of_their_lines),
        cmocka_unit_test(verdicts_say_why_there_is_none),
        cmocka_unit_test(tasks_are_a_function_of_their_seed),
        cmocka_unit_test(the_example_configuration_is_the_manual),
        cmocka_unit_test(a_plan_is_printed_and_nothing_started),
        cmocka_unit_test(a_model_is_evaluated_and_exported),
    };
    return cmocka_run_group_tests(tests, world_enter, world_leave);
}
