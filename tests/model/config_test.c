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

#include "model/config.h"

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
        cmocka_unit_test(what_is_not_computed_is_refused_by_field),
        cmocka_unit_test(other_architectures_are_told_what_is_supported),
        cmocka_unit_test(printed_config_reads_back_equal),
        cmocka_unit_test(parameter_table_has_the_documented_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
