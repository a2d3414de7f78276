// config_test.c: config.json parsing and the parameter table.
//
// Every release of transformers writes the fields a little differently; what would change the
// mathematics and is not computed here must be refused by its name.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/family.h"
#include "tests/model/tiny.h"

static const char base[] =
    "\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\","
    "\"vocab_size\":300,\"intermediate_size\":48,\"num_hidden_layers\":2,"
    "\"rms_norm_eps\":1e-05,\"max_position_embeddings\":128";

static enum err parse(const char *extra, struct model_config *c, struct why *why)
{
    char text[2048];
    int n = snprintf(text, sizeof text, "{%s,%s}", base, extra);
    return model_config_parse(text, (size_t)n, "config.json", c, why);
}

#define SIZES "\"hidden_size\":32,\"num_attention_heads\":4"

static void old_style_config_is_read_with_implied_sizes(void **state)
{
    (void)state;
    struct model_config c;
    struct why why = {""};
    assert_int_equal(parse(SIZES
                           ",\"rope_theta\":50000.0,\"rope_scaling\":null,"
                           "\"tie_word_embeddings\":true,\"eos_token_id\":2,\"bos_token_id\":1",
                           &c, &why),
                     ERR_OK);
    assert_int_equal(c.head_dim, 8);
    assert_int_equal(c.kv_heads, 4);    // as many as heads when not given
    assert_true(c.rope_theta == 50000.0f && c.tied);
    assert_int_equal(c.bos_id, 1);
    assert_int_equal(c.pad_id, -1);
    assert_int_equal(c.n_eos, 1);
    assert_int_equal(c.eos_ids[0], 2);
}

static void new_style_config_is_read(void **state)
{
    (void)state;
    struct model_config c;
    struct why why = {""};
    assert_int_equal(parse(SIZES
                           ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1234.5},"
                           "\"head_dim\":24,\"num_key_value_heads\":2,\"eos_token_id\":[2,7],"
                           "\"dtype\":\"bfloat16\"",
                           &c, &why),
                     ERR_OK);
    assert_true(c.rope_theta == 1234.5f && !c.tied);
    assert_int_equal(c.head_dim, 24);
    assert_int_equal(c.kv_heads, 2);
    assert_int_equal(c.n_eos, 2);
    assert_int_equal(c.eos_ids[1], 7);
}

// A config.json of another family: the least it needs, and `extra`.
static enum err parse_as(const char *family, const char *extra, struct model_config *c,
                         struct why *why)
{
    char text[2048];
    int n = snprintf(text, sizeof text,
                     "{\"model_type\":\"%s\",\"vocab_size\":300,\"intermediate_size\":48,"
                     "\"num_hidden_layers\":4,\"hidden_size\":64,\"num_attention_heads\":32,"
                     "\"rms_norm_eps\":1e-05,\"max_position_embeddings\":128%s}",
                     family, extra);
    return model_config_parse(text, (size_t)n, "config.json", c, why);
}

#define LLAMA3                                                                                     \
    "\"rope_type\":\"llama3\",\"factor\":32.0,\"low_freq_factor\":1.0,"                            \
    "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192"

static void scaled_positions_are_read_in_both_styles(void **state)
{
    (void)state;
    static const char *const styles[] = {
        SIZES ",\"rope_theta\":500000.0,\"rope_scaling\":{" LLAMA3 "}",
        SIZES ",\"rope_parameters\":{\"rope_theta\":500000.0," LLAMA3 "}",
        SIZES ",\"rope_theta\":500000.0,\"rope_scaling\":{" LLAMA3 "},\"rope_parameters\":{" LLAMA3
              "}",
    };
    for (size_t i = 0; i < ARRAY_LEN(styles); i++) {
        struct model_config c;
        struct why why = {""};
        assert_int_equal(parse(styles[i], &c, &why), ERR_OK);
        assert_int_equal(c.rope.type, ROPE_LLAMA3);
        assert_true(c.rope_theta == 500000 && c.rope.factor == 32);
        assert_true(c.rope.low == 1 && c.rope.high == 4);
        assert_int_equal(c.rope.original_positions, 8192);
    }
}

// Families mean different things by the same silence.
static void each_family_has_its_own_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *family, *extra;
        int32_t kv_heads, head_dim, window, window_from;
    } cases[] = {
        {"llama", "", 32, 2, 0, 0},
        {"llama", ",\"sliding_window\":16", 32, 2, 0, 0},    // not a field of that family
        {"mistral", "", 8, 2, 4096, 0},
        {"mistral", ",\"sliding_window\":null,\"num_key_value_heads\":null", 32, 2, 0, 0},
        {"mistral", ",\"sliding_window\":16,\"head_dim\":6", 8, 6, 16, 0},
        {"qwen2", ",\"sliding_window\":16,\"max_window_layers\":1", 32, 2, 0, 0},
        {"qwen2", ",\"sliding_window\":16,\"max_window_layers\":1,\"use_sliding_window\":true", 32,
         2, 16, 1},
        {"qwen2", ",\"sliding_window\":16,\"use_sliding_window\":true", 32, 2, 0, 0},    // from 28
        {"qwen2", ",\"sliding_window\":null,\"use_sliding_window\":true", 32, 2, 0, 0},
        {"qwen2", ",\"max_window_layers\":0,\"use_sliding_window\":true", 32, 2, 4096, 0},
        {"qwen2",
         ",\"sliding_window\":16,\"use_sliding_window\":true,\"layer_types\":[\"full_attention\","
         "\"full_attention\",\"full_attention\",\"sliding_attention\"]",
         32, 2, 16, 3},
        {"qwen3", ",\"num_key_value_heads\":8", 8, 128, 0, 0},
        {"qwen3",
         ",\"head_dim\":null,\"layer_types\":[\"full_attention\",\"full_attention\","
         "\"full_attention\",\"full_attention\"]",
         32, 2, 0, 0},
        {"olmo2", "", 32, 2, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config c;
        struct why why = {""};
        if (parse_as(cases[i].family, cases[i].extra, &c, &why) != ERR_OK) {
            fail_msg("%s%s: %s", cases[i].family, cases[i].extra, why.text);
        }
        assert_string_equal(c.family, cases[i].family);
        assert_int_equal(c.kv_heads, cases[i].kv_heads);
        assert_int_equal(c.head_dim, cases[i].head_dim);
        assert_int_equal(c.window, cases[i].window);
        assert_int_equal(c.window_from, cases[i].window_from);
    }
}

static void what_a_family_does_not_compute_is_refused_by_field(void **state)
{
    (void)state;
#define TYPES(a, b) ",\"layer_types\":[\"" a "\",\"" a "\",\"" b "\",\"" b "\"]"
    static const struct {
        const char *family, *extra, *named;
        enum err e;
    } cases[] = {
        {"qwen3", ",\"attention_bias\":true", "attention_bias: true", ERR_UNSUPPORTED},
        {"olmo2", ",\"attention_bias\":true", "attention_bias: true", ERR_UNSUPPORTED},
        {"olmo2", TYPES("full_attention", "sliding_attention"), "layer_types", ERR_INVALID},
        {"qwen2", TYPES("full_attention", "sliding_attention"), "layer_types", ERR_INVALID},
        {"mistral", TYPES("full_attention", "sliding_attention"), "layer_types", ERR_INVALID},
        {"qwen2", ",\"use_sliding_window\":true" TYPES("sliding_attention", "full_attention"),
         "layer_types[2]", ERR_UNSUPPORTED},
        {"qwen2", TYPES("full_attention", "chunked_attention"), "\"chunked_attention\"",
         ERR_UNSUPPORTED},
        {"qwen2", ",\"layer_types\":[\"full_attention\"]", "list of 4", ERR_INVALID},
        {"qwen2", ",\"layer_types\":[1,2,3,4]", "layer_types[0]", ERR_UNSUPPORTED},
        {"qwen2", ",\"use_sliding_window\":1", "use_sliding_window", ERR_INVALID},
        {"mistral", ",\"sliding_window\":0", "sliding_window", ERR_INVALID},
        {"qwen2", ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0}", "\"yarn\"",
         ERR_UNSUPPORTED},
        {"qwen3", ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1.0}}",
         "rope_parameters: full_attention", ERR_UNSUPPORTED},
        {"llama", ",\"rope_parameters\":{\"partial_rotary_factor\":0.5}", "partial_rotary_factor",
         ERR_UNSUPPORTED},
        {"llama", ",\"rope_scaling\":{" LLAMA3 "},\"rope_parameters\":{}", "differ", ERR_INVALID},
        {"llama", ",\"rope_scaling\":7", "rope_scaling", ERR_INVALID},
        {"llama",
         ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
         "\"high_freq_factor\":1,\"original_max_position_embeddings\":64}",
         "low_freq_factor 4", ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config c;
        struct why why = {""};
        enum err e = parse_as(cases[i].family, cases[i].extra, &c, &why);
        if (e != cases[i].e || strstr(why.text, cases[i].named) == NULL) {
            fail_msg("%s%s: %s: %s", cases[i].family, cases[i].extra, err_text(e), why.text);
        }
    }
}

// What would be computed wrongly must be refused by name, so that nobody trains a different model
// than they loaded.
static void what_is_not_computed_is_refused_by_field(void **state)
{
    (void)state;
    static const struct {
        const char *extra, *named;
        enum err e;
    } cases[] = {
        {SIZES ",\"attention_bias\":true", "attention_bias", ERR_UNSUPPORTED},
        {SIZES ",\"mlp_bias\":true", "mlp_bias", ERR_UNSUPPORTED},
        {SIZES ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0}", "low_freq_factor",
         ERR_INVALID},
        {SIZES ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}", "linear", ERR_UNSUPPORTED},
        {SIZES ",\"rope_parameters\":{\"rope_type\":\"yarn\"}", "yarn", ERR_UNSUPPORTED},
        {SIZES ",\"quantization_config\":{\"bits\":4}", "quantization_config", ERR_UNSUPPORTED},
        {"\"num_attention_heads\":4", "hidden_size", ERR_INVALID},
        {"\"hidden_size\":\"32\",\"num_attention_heads\":4", "hidden_size", ERR_INVALID},
        {"\"hidden_size\":0,\"num_attention_heads\":4", "hidden_size", ERR_INVALID},
        {"\"hidden_size\":34,\"num_attention_heads\":4", "head_dim", ERR_INVALID},
        {SIZES ",\"head_dim\":7", "head_dim", ERR_INVALID},
        {SIZES ",\"num_key_value_heads\":3", "num_key_value_heads", ERR_INVALID},
        {SIZES ",\"eos_token_id\":300", "eos_token_id", ERR_INVALID},
        {SIZES ",\"eos_token_id\":[1,2,3,4,5,6,7,8,9]", "eos_token_id", ERR_LIMIT},
        {SIZES ",\"rope_theta\":-1.0", "rope_theta", ERR_INVALID},
        {SIZES ",\"tie_word_embeddings\":1", "tie_word_embeddings", ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config c;
        struct why why = {""};
        enum err e = parse(cases[i].extra, &c, &why);
        if (e != cases[i].e || strstr(why.text, cases[i].named) == NULL) {
            fail_msg("%s: %s: %s", cases[i].extra, err_text(e), why.text);
        }
    }
}

static void other_architectures_are_told_what_is_supported(void **state)
{
    (void)state;
    struct model_config c;
    struct why why = {""};
    const char gpt[] = "{\"model_type\":\"gpt2\"}";
    assert_int_equal(model_config_parse(gpt, strlen(gpt), "m/config.json", &c, &why),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "m/config.json"));
    assert_non_null(strstr(why.text, "gpt2"));
    assert_non_null(strstr(why.text, "supported: llama"));
    const char none[] = "{}";
    assert_int_equal(model_config_parse(none, strlen(none), "m/config.json", &c, &why),
                     ERR_INVALID);
    assert_non_null(strstr(why.text, "model_type"));
    const char list[] = "[]";
    assert_int_equal(model_config_parse(list, strlen(list), "m/config.json", &c, &why),
                     ERR_INVALID);
}

static void printed_config_reads_back_equal(void **state)
{
    (void)state;
    struct model_config c;
    struct why why = {""};
    assert_int_equal(parse(SIZES ",\"rope_theta\":100000,\"eos_token_id\":[2,7,11],\"head_dim\":12,"
                                 "\"pad_token_id\":2,\"tie_word_embeddings\":true",
                           &c, &why),
                     ERR_OK);
    c.rms_eps = 1.0f / 3;    // a value without a short decimal
    char *text = model_config_print(&c, DTYPE_BF16);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"torch_dtype\": \"bfloat16\""));
    struct model_config back;
    assert_int_equal(model_config_parse(text, strlen(text), "printed", &back, &why), ERR_OK);
    assert_memory_equal(&c, &back, sizeof c);
    free(text);
}

static void every_family_prints_what_reads_back_equal(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        struct tiny t;
        struct model_config back;
        struct why why = {""};
        tiny_init_as(&t, &tiny_variants[i], true, DTYPE_F32, 1);
        char *text = model_config_print(&t.config, DTYPE_F32);
        assert_non_null(text);
        if (model_config_parse(text, strlen(text), "printed", &back, &why) != ERR_OK) {
            fail_msg("%s", why.text);
        }
        assert_memory_equal(&t.config, &back, sizeof back);
        free(text);
        tiny_fini(&t);
    }
}

static void every_name_that_is_called_supported_is(void **state)
{
    (void)state;
    const char *lists[] = {family_names(), family_gguf_names()};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        char names[256];
        size_t n = 0;
        snprintf(names, sizeof names, "%s", lists[i]);
        for (char *rest = names, *name; (name = strtok_r(rest, ", ", &rest)) != NULL; n++) {
            const struct family *f = i == 0 ? family_find(name) : family_find_gguf(name);
            assert_non_null(f);
            assert_string_equal(i == 0 ? f->name : f->gguf, name);
        }
        assert_int_equal(n, i == 0 ? 5 : 4);
    }
}

// The order is in checkpoints and hashes: it must not change, for any family.
static void layers_of_every_family_have_the_documented_order(void **state)
{
    (void)state;
    static const struct {
        size_t variant;
        const char *names[14];
    } cases[] = {
        {2,
         {"input_layernorm.weight", "self_attn.q_proj.weight", "self_attn.k_proj.weight",
          "self_attn.v_proj.weight", "self_attn.o_proj.weight", "post_attention_layernorm.weight",
          "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"}},
        {3,
         {"input_layernorm.weight", "self_attn.q_proj.weight", "self_attn.k_proj.weight",
          "self_attn.v_proj.weight", "self_attn.q_proj.bias", "self_attn.k_proj.bias",
          "self_attn.v_proj.bias", "self_attn.o_proj.weight", "post_attention_layernorm.weight",
          "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"}},
        {5,
         {"input_layernorm.weight", "self_attn.q_proj.weight", "self_attn.k_proj.weight",
          "self_attn.v_proj.weight", "self_attn.q_norm.weight", "self_attn.k_norm.weight",
          "self_attn.o_proj.weight", "post_attention_layernorm.weight", "mlp.gate_proj.weight",
          "mlp.up_proj.weight", "mlp.down_proj.weight"}},
        {6,
         {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight",
          "self_attn.q_norm.weight", "self_attn.k_norm.weight", "self_attn.o_proj.weight",
          "post_attention_layernorm.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight",
          "mlp.down_proj.weight", "post_feedforward_layernorm.weight"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tiny t;
        size_t n = 0;
        tiny_init_as(&t, &tiny_variants[cases[i].variant], false, DTYPE_F32, 1);
        for (; cases[i].names[n] != NULL; n++) {
            char want[96];
            snprintf(want, sizeof want, "model.layers.0.%s", cases[i].names[n]);
            assert_string_equal(t.params.params[1 + n].name, want);
        }
        assert_string_equal(t.params.params[1 + 2 * n].name, "model.norm.weight");
        tiny_fini(&t);
    }
}

static void parameter_table_has_the_documented_order(void **state)
{
    (void)state;
    struct model_config c;
    struct why why = {""};
    assert_int_equal(parse(SIZES ",\"num_key_value_heads\":2", &c, &why), ERR_OK);
    struct param_table t;
    assert_int_equal(param_table_create(&c, &t, &why), ERR_OK);
    assert_int_equal(t.n, 1 + 2 * 9 + 2);
    static const char *const names[] = {
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.0.self_attn.v_proj.weight",
        "model.layers.0.self_attn.o_proj.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.layers.0.mlp.gate_proj.weight",
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.1.input_layernorm.weight",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_string_equal(t.params[i].name, names[i]);
    }
    assert_string_equal(t.params[19].name, "model.norm.weight");
    assert_string_equal(t.params[20].name, "lm_head.weight");
    size_t offset = 0;
    for (size_t i = 0; i < t.n; i++) {
        assert_int_equal(t.params[i].offset, offset);
        assert_int_equal(t.params[i].count, t.params[i].rows * t.params[i].cols);
        assert_int_equal(param_table_find(&t, t.params[i].name), (int)i);
        offset += t.params[i].count;
    }
    assert_int_equal(t.total, offset);
    assert_int_equal(t.params[3].rows, 2 * 8);
    assert_int_equal(t.params[9].cols, 48);
    assert_int_equal(param_table_find(&t, "model.layers.2.mlp.up_proj.weight"), -1);
    param_table_destroy(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_style_config_is_read_with_implied_sizes),
        cmocka_unit_test(new_style_config_is_read),
        cmocka_unit_test(scaled_positions_are_read_in_both_styles),
        cmocka_unit_test(each_family_has_its_own_defaults),
        cmocka_unit_test(what_a_family_does_not_compute_is_refused_by_field),
        cmocka_unit_test(what_is_not_computed_is_refused_by_field),
        cmocka_unit_test(other_architectures_are_told_what_is_supported),
        cmocka_unit_test(printed_config_reads_back_equal),
        cmocka_unit_test(every_family_prints_what_reads_back_equal),
        cmocka_unit_test(every_name_that_is_called_supported_is),
        cmocka_unit_test(layers_of_every_family_have_the_documented_order),
        cmocka_unit_test(parameter_table_has_the_documented_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
