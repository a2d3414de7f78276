// model_test.c: the commands about models on disk: what info and check print and how they end, and
// that a model that went through the other format computes the same.
#include "tests/system/world.h"

#include "common/fs.h"

static void expect(int status, const char *command, const char *const *says)
{
    char *out;
    int rc = world_run(&out, "%s", command);
    if (rc != status) {
        fail_msg("%s: status %d, expected %d\n%s", command, rc, status, out);
    }
    for (size_t i = 0; says[i] != NULL; i++) {
        if (strstr(out, says[i]) == NULL) {
            fail_msg("%s: no \"%s\" in\n%s", command, says[i], out);
        }
    }
    free(out);
}

#define EXPECT(status, command, ...)                                                               \
    expect(status, command, (const char *const[]){__VA_ARGS__, NULL})

static void expect_same_scores(const char *model)
{
    char *a, *b, *command = fs_path("caravan logprobs --model %s", model);
    const char *ask = "{\"ids\":[1,50,60,7,8,9]}\n";
    assert_non_null(command);
    assert_int_equal(world_pipe(ask, &a, "caravan logprobs --model tiny"), 0);
    assert_int_equal(world_pipe(ask, &b, "%s", command), 0);
    assert_string_equal(a, b);
    free(command);
    free(a);
    free(b);
}

static void a_model_computes_the_same_in_every_format(void **state)
{
    (void)state;
    EXPECT(0, "caravan export --model tiny --out t.gguf --format gguf", "t.gguf: tiny");
    EXPECT(0, "caravan export --model t.gguf --out back", "back: t.gguf");
    EXPECT(0, "caravan export --model tiny --out wide --dtype f32 --shard-gb 0.00001", "wide");
    assert_true(fs_exists("wide/model.safetensors.index.json"));
    expect_same_scores("t.gguf");
    expect_same_scores("back");
    expect_same_scores("wide");
}

static void info_says_what_a_model_is_and_needs(void **state)
{
    (void)state;
    EXPECT(0, "caravan model info tiny", "model     tiny: llama, ", "M parameters in", "context ",
           "stored    safetensors, 1 file: BF16", "tokenizer byte-level BPE", "template  ",
           "learner  ", "masters", "gradients", "moments", "actor ", "KV cache 320",
           "on this machine");
    EXPECT(0, "caravan model info tiny --slots 8 --kv-mb 1000 --rows 100 --dtype f32",
           "KV cache 1000");
    EXPECT(0, "caravan model info tiny --kv-mb 1048576", "; NOT ENOUGH MEMORY",
           "on this machine: NOT ENOUGH");
    EXPECT(1, "caravan model info nowhere", "nowhere: no such file or folder");
    EXPECT(2, "caravan model", "usage: caravan model info PATH | check PATH");
    EXPECT(2, "caravan model look tiny", "'look', expected info or check");
    EXPECT(2, "caravan model info tiny --dtype f8", "--dtype: 'f8', expected bf16 or f32");
}

static void check_has_a_line_for_each_problem(void **state)
{
    (void)state;
    struct why why;
    char *weights;
    size_t len;
    EXPECT(0, "caravan model check tiny", "tensors, ", "0 problems");
    EXPECT(0, "caravan export --model tiny --out sick --dtype f32", "sick");
    assert_int_equal(fs_read_file("sick/model.safetensors", 1 << 22, &weights, &len, &why), ERR_OK);
    memset(weights + len - 4, 0xFF, 4);    // the last value becomes a NaN
    assert_int_equal(fs_write_file("sick/model.safetensors", weights, len, &why), ERR_OK);
    assert_int_equal(fs_write_file("sick/tokenizer.json", "{", 1, &why), ERR_OK);
    free(weights);
    EXPECT(1, "caravan model check sick", "sick/model.safetensors: tensor ", "is NaN",
           "sick/tokenizer.json: not valid JSON", "2 problems");
    EXPECT(1, "caravan model check nowhere", "nowhere: no such file or folder", "1 problem\n");
}

static void exports_that_cannot_be_are_explained(void **state)
{
    (void)state;
    EXPECT(2, "caravan export --model tiny --out x --format onnx", "'onnx', expected hf or gguf");
    EXPECT(2, "caravan export --model tiny --out x --dtype q4", "'q4', expected bf16, f16 or f32");
    EXPECT(2, "caravan export --model tiny", "--out PATH is missing");
    EXPECT(1, "caravan export --model tiny --out tiny", "tiny: is the model itself");
    EXPECT(1, "caravan export --model tiny --out run.yaml/x", "run.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_computes_the_same_in_every_format),
        cmocka_unit_test(info_says_what_a_model_is_and_needs),
        cmocka_unit_test(check_has_a_line_for_each_problem),
        cmocka_unit_test(exports_that_cannot_be_are_explained),
    };
    return cmocka_run_group_tests(tests, world_enter, world_leave);
}
