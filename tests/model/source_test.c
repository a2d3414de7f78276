// source_test.c: models on disk: what opens, what is refused and in which words, and that the
// numbers read are the published ones.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "model/gguf.h"
#include "model/source.h"
#include "model/tokenizer.h"
#include "tests/model/model_files.h"
#include "tests/model/sha256.h"

struct fixture {
    char *dir, *gguf;
    struct source *s;
    struct why why;
};

static enum err open_gguf(struct fixture *f, const struct files_change *change)
{
    struct buf file;
    buf_init(&file, 0);
    files_tiny_gguf(&file, change);
    *f = (struct fixture){.dir = files_temp_dir()};
    f->gguf = files_path(f->dir, "tiny.gguf");
    files_write(f->dir, "tiny.gguf", file.data, file.len);
    buf_fini(&file);
    return source_open(f->gguf, &f->s, &f->why);
}

static enum err open_folder(struct fixture *f, const struct files_change *change)
{
    *f = (struct fixture){.dir = files_temp_dir()};
    files_tiny_folder(f->dir, change);
    return source_open(f->dir, &f->s, &f->why);
}

static void fini(struct fixture *f)
{
    source_close(f->s);
    free(f->gguf);
    files_remove(f->dir);
}

static size_t find(const struct source *s, const char *name)
{
    int i = param_table_find(source_params(s), name);
    assert_true(i >= 0);
    return (size_t)i;
}

static float *read_tensor(const struct source *s, const char *name, struct why *why)
{
    size_t i = find(s, name);
    float *x = malloc(source_params(s)->params[i].count * sizeof *x);
    assert_non_null(x);
    if (source_read(s, i, x, why) != ERR_OK) {
        fail_msg("%s", why->text);
    }
    return x;
}

static void a_gguf_file_gives_the_config_it_states(void **state)
{
    (void)state;
    struct fixture f;
    if (open_gguf(&f, NULL) != ERR_OK) {
        fail_msg("%s", f.why.text);
    }
    const struct model_config *c = source_config(f.s);
    assert_string_equal(source_format(f.s), "gguf");
    assert_string_equal(c->family, "llama");
    assert_int_equal(c->vocab, 265);
    assert_int_equal(c->hidden, 32);
    assert_int_equal(c->ffn, 64);
    assert_int_equal(c->layers, 2);
    assert_int_equal(c->heads, 2);
    assert_int_equal(c->kv_heads, 1);
    assert_int_equal(c->head_dim, 16);
    assert_int_equal(c->max_positions, 128);
    assert_true(c->rope_theta == 5000.0f && c->rms_eps == 1e-5f && !c->tied);
    assert_int_equal(c->bos_id, 1);
    assert_int_equal(c->n_eos, 1);
    assert_int_equal(c->eos_ids[0], 2);
    for (size_t i = 0; i < source_params(f.s)->n; i++) {
        free(read_tensor(f.s, source_params(f.s)->params[i].name, &f.why));
    }
    fini(&f);
}

// The converter interleaves the halves of each head; a model read without undoing it computes
// nonsense that looks like a model.
static void q_rows_return_to_the_half_split_order_and_v_rows_stay(void **state)
{
    (void)state;
    struct gguf *g = NULL;
    struct fixture f;
    assert_int_equal(open_gguf(&f, NULL), ERR_OK);
    assert_int_equal(gguf_open(f.gguf, &g, &f.why), ERR_OK);
    const struct gguf_tensor *stored = gguf_tensor_find(g, "blk.1.attn_q.weight");
    assert_non_null(stored);
    float *q = read_tensor(f.s, "model.layers.1.self_attn.q_proj.weight", &f.why);
    for (size_t head = 0; head < 2; head++) {
        for (size_t j = 0; j < 8; j++) {
            for (size_t half = 0; half < 2; half++) {
                float row[32];
                memcpy(row, stored->data + (head * 16 + 2 * j + half) * sizeof row, sizeof row);
                assert_memory_equal(q + (head * 16 + half * 8 + j) * 32, row, sizeof row);
            }
        }
    }
    free(q);
    float *o = read_tensor(f.s, "model.layers.1.self_attn.o_proj.weight", &f.why), row[32];
    stored = gguf_tensor_find(g, "blk.1.attn_output.weight");
    stored->type->read(stored->data + 3 * sizeof(uint16_t) * 32, 32, row);
    assert_memory_equal(o + 3 * 32, row, sizeof row);
    free(o);
    gguf_close(g);
    fini(&f);
}

static void without_an_output_tensor_the_head_is_tied(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(open_gguf(&f, &(struct files_change){.omit = "output.weight"}), ERR_OK);
    assert_true(source_config(f.s)->tied);
    assert_int_equal(param_table_find(source_params(f.s), "lm_head.weight"), -1);
    fini(&f);
}

static void wrong_gguf_models_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct files_change change;
        const char *says;
        enum err e;
    } cases[] = {
        {{.omit = "blk.1.ffn_up.weight"}, "tensor blk.1.ffn_up.weight is missing", ERR_CORRUPT},
        {{.omit = "token_embd.weight"}, "tensor token_embd.weight is missing", ERR_CORRUPT},
        {{.reshape = "blk.0.attn_k.weight"},
         "tensor blk.0.attn_k.weight: dimensions [32, 17, 1, 1], expected [32, 16",
         ERR_CORRUPT},
        {{.extra = "blk.0.attn_q.bias"},
         "tensor blk.0.attn_q.bias is not part of a llama model",
         ERR_UNSUPPORTED},
        {{.type = "blk.0.ffn_down.weight"},
         "type 10 (Q2_K) cannot be read; supported are",
         ERR_UNSUPPORTED},
        {{.omit = "llama.block_count"}, "key llama.block_count is missing", ERR_NOT_FOUND},
        {{.omit = "general.architecture"}, "key general.architecture is missing", ERR_NOT_FOUND},
        {{.text_key = "general.architecture", .text = "mamba"},
         "\"mamba\" is not supported",
         ERR_UNSUPPORTED},
        {{.key = "llama.block_count", .value = 3},
         "tensor blk.2.attn_norm.weight is missing",
         ERR_CORRUPT},
        {{.key = "llama.block_count", .value = 100000}, "num_hidden_layers: 100000", ERR_INVALID},
        {{.key = "llama.attention.head_count", .value = 0},
         "llama.attention.head_count: 0 is not in",
         ERR_CORRUPT},
        {{.key = "llama.attention.head_count", .value = 3}, "is not a multiple of", ERR_CORRUPT},
        {{.key = "llama.attention.head_count_kv", .value = 2},
         "attn_k.weight: dimensions",
         ERR_CORRUPT},
        {{.key = "llama.rope.dimension_count", .value = 8},
         "llama.rope.dimension_count: 8 is not in 16..16",
         ERR_CORRUPT},
        {{.key = "split.count", .value = 3},
         "key split.count: one of 3 parts of a model",
         ERR_UNSUPPORTED},
        {{.key = "llama.expert_count", .value = 8},
         "llama.expert_count: 8 is not supported",
         ERR_UNSUPPORTED},
        {{.key = "llama.vocab_size", .value = 264},
         "llama.vocab_size: 264 is not in 265..265",
         ERR_CORRUPT},
        {{.text_key = "llama.rope.scaling.type", .text = "yarn"},
         "\"yarn\" is not supported",
         ERR_UNSUPPORTED},
        {{.key = "tokenizer.ggml.eos_token_id", .value = 265},
         "eos_token_id: 265 is not in 0..264",
         ERR_CORRUPT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        enum err e = open_gguf(&f, &cases[i].change);
        if (e != cases[i].e || strstr(f.why.text, cases[i].says) == NULL ||
            strstr(f.why.text, "tiny.gguf") == NULL) {
            fail_msg("case %zu: %s: %s", i, err_text(e), f.why.text);
        }
        fini(&f);
    }
}

static void a_nan_is_named_with_its_tensor_and_place(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(open_gguf(&f, &(struct files_change){.poison = "blk.0.ffn_norm.weight"}),
                     ERR_OK);
    float x[32];
    enum err e =
        source_read(f.s, find(f.s, "model.layers.0.post_attention_layernorm.weight"), x, &f.why);
    assert_int_equal(e, ERR_CORRUPT);
    assert_non_null(strstr(
        f.why.text, "model.layers.0.post_attention_layernorm.weight: element [0, 5] is NaN"));
    fini(&f);
}

static void a_folder_gives_config_tensors_and_all_eos_ids(void **state)
{
    (void)state;
    struct fixture f;
    if (open_folder(&f, NULL) != ERR_OK) {
        fail_msg("%s", f.why.text);
    }
    const struct model_config *c = source_config(f.s);
    assert_string_equal(source_format(f.s), "safetensors");
    assert_int_equal(c->vocab, 32);
    assert_true(c->tied);
    assert_int_equal(c->n_eos, 2);
    assert_int_equal(c->eos_ids[0], 2);
    assert_int_equal(c->eos_ids[1], 0);
    size_t index = find(f.s, "model.layers.0.self_attn.q_proj.weight");
    float *q = read_tensor(f.s, "model.layers.0.self_attn.q_proj.weight", &f.why);
    // In the order of the file: nothing is permuted.
    assert_true(q[17] == (float)index + 17.0f / 64);
    free(q);
    fini(&f);
}

static void wrong_folders_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct files_change change;
        const char *says;
    } cases[] = {
        {{.omit = "config.json"}, "config.json"},
        {{.omit = "model.safetensors"},
         "neither model.safetensors nor model.safetensors.index.json"},
        {{.omit = "model.norm.weight"}, "tensor model.norm.weight is missing"},
        {{.reshape = "model.embed_tokens.weight"}, "shape [33, 8], expected [32, 8]"},
        {{.reshape = "model.norm.weight"}, "shape [16], expected [8]"},
        {{.extra = "model.layers.0.self_attn.q_proj.bias"},
         "q_proj.bias is not part of a llama model"},
        {{.type = "model.norm.weight"}, "dtype I32 cannot be read; supported are F32, F16, BF16"},
        {{.text_key = "config.json", .text = "{}"}, "model_type"},
        {{.text_key = "config.json", .text = "[[[[[[[["}, "config.json"},
        {{.text_key = "generation_config.json", .text = "{\"eos_token_id\":32}"},
         "generation_config.json"},
        {{.text_key = "generation_config.json", .text = "{\"eos_token_id\":[\"2\"]}"},
         "generation_config.json"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        enum err e = open_folder(&f, &cases[i].change);
        if (e == ERR_OK || strstr(f.why.text, cases[i].says) == NULL ||
            strstr(f.why.text, f.dir) == NULL) {
            fail_msg("case %zu: %s: %s", i, err_text(e), f.why.text);
        }
        fini(&f);
    }
}

static void tensors_that_nobody_reads_may_be_there(void **state)
{
    (void)state;
    static const char *const names[] = {"lm_head.weight",
                                        "model.layers.0.self_attn.rotary_emb.inv_freq"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct fixture f;
        assert_int_equal(open_folder(&f, &(struct files_change){.extra = names[i]}), ERR_OK);
        fini(&f);
    }
}

// Log-probs of given ids need no tokenizer, so weights open without one; asking for it says what is
// wrong.
static void weights_open_without_a_usable_tokenizer(void **state)
{
    (void)state;
    static const struct {
        struct files_change change;
        const char *says;
    } cases[] = {
        {{.omit = "tokenizer.json"}, "tokenizer.json"},
        {{.text_key = "tokenizer.json", .text = "{\"model\":{\"type\":\"Unigram\"}}"},
         "expected BPE"},
        {{.text_key = "tokenizer_config.json", .text = "{"}, "tokenizer_config.json"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        struct tokenizer *t = NULL;
        assert_int_equal(open_folder(&f, &cases[i].change), ERR_OK);
        assert_int_not_equal(source_tokenizer(f.s, &t, &f.why), ERR_OK);
        assert_null(t);
        assert_non_null(strstr(f.why.text, cases[i].says));
        fini(&f);
    }
}

static void what_is_not_there_is_named(void **state)
{
    (void)state;
    struct source *s = NULL;
    struct why why = {""};
    assert_int_equal(source_open("no/such/model.gguf", &s, &why), ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "no/such/model.gguf"));
    char *dir = files_temp_dir(), *path = files_path(dir, "text.gguf");
    files_write(dir, "text.gguf", "hello", 5);
    assert_int_equal(source_open(path, &s, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "expected \"GGUF\""));
    files_write(dir, "text.gguf", "", 0);
    assert_int_equal(source_open(path, &s, &why), ERR_CORRUPT);
    free(path);
    files_remove(dir);
}

// A folder may spread its tensors over files; the index names them, and only files of the folder
// itself.
static void an_index_names_the_files_of_a_sharded_model(void **state)
{
    (void)state;
    static const struct {
        const char *index, *says;
    } cases[] = {
        {"{\"weight_map\":{\"model.norm.weight\":\"part.safetensors\"}}", NULL},
        {"{\"weight_map\":{\"model.norm.weight\":\"../part.safetensors\"}}",
         "name of a file in this folder"},
        {"{\"weight_map\":{\"model.norm.weight\":\"/etc/hostname\"}}",
         "name of a file in this folder"},
        {"{\"weight_map\":{\"model.norm.weight\":\"..\"}}", "a folder, expected a regular file"},
        {"{\"weight_map\":{\"model.norm.weight\":\"part.safetensors\\u0000x\"}}",
         "name of a file in this folder"},
        {"{\"weight_map\":{\"model.norm.weight\":7}}", "name of a file in this folder"},
        {"{\"weight_map\":{\"model.norm.weight\":\"none.safetensors\"}}",
         "model.safetensors.index.json: tensor model.norm.weight: "},
        {"{\"weight_map\":{\"model.norm.weight\":\"none.safetensors\"}}",
         "none.safetensors: cannot open"},
        {"{\"weight_map\":{\"other.weight\":\"part.safetensors\"}}",
         "tensor other.weight is not in part.safetensors"},
        {"{\"weight_map\":[]}", "weight_map: expected an object of tensors and files"},
        {"{\"weight_map\":{}}", "weight_map: expected an object of tensors and files"},
        {"[]", "weight_map: expected an object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *dir = files_temp_dir();
        char *from = files_path(dir, "model.safetensors"),
             *to = files_path(dir, "part.safetensors");
        struct source *s = NULL;
        struct why why = {""};
        files_tiny_folder(dir, NULL);
        assert_int_equal(rename(from, to), 0);
        files_write(dir, "model.safetensors.index.json", cases[i].index, strlen(cases[i].index));
        enum err e = source_open(dir, &s, &why);
        if ((e == ERR_OK) != (cases[i].says == NULL) ||
            (cases[i].says != NULL && strstr(why.text, cases[i].says) == NULL)) {
            fail_msg("case %zu: %s: %s", i, err_text(e), why.text);
        }
        source_close(s);
        free(from);
        free(to);
        files_remove(dir);
    }
}

// ---- published numbers (CARAVAN_MODEL, CARAVAN_REFERENCE) ----

static void every_tensor_of_smollm2_has_the_published_digest(void **state)
{
    (void)state;
    const char *model = files_env("CARAVAN_MODEL");
    char *path = files_path(files_env("CARAVAN_REFERENCE"), "smollm2/gguf_dequant.json"),
         *text = NULL;
    size_t len = 0;
    json_t *root = NULL;
    struct why why = {""};
    struct source *s = NULL;
    if (fs_read_file(path, 1 << 24, &text, &len, &why) != ERR_OK ||
        json_parse(text, len, path, &root, &why) != ERR_OK ||
        source_open(model, &s, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    const json_t *all = json_object_get(root, "all_tensors"), *each;
    assert_int_equal(json_array_size(all), source_params(s)->n);
    size_t i;
    json_array_foreach(all, i, each)
    {
        const char *name = json_string_value(json_object_get(each, "hf_name"));
        float *x = read_tensor(s, name, &why);
        char hex[65];
        sha256_hex(x, source_params(s)->params[find(s, name)].count * sizeof *x, hex);
        if (strcmp(hex, json_string_value(json_object_get(each, "sha256_f32"))) != 0) {
            fail_msg("tensor %s: SHA-256 %s", name, hex);
        }
        free(x);
    }
    source_close(s);
    json_decref(root);
    free(text);
    free(path);
}

static void reference_folders_open(void **state)
{
    (void)state;
    static const char *const folders[] = {"models/llama", "models/sharded"};
    const char *reference = files_env("CARAVAN_REFERENCE");
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        char *path = files_path(reference, folders[i]);
        struct source *s = NULL;
        struct why why = {""};
        if (source_open(path, &s, &why) != ERR_OK) {
            fail_msg("%s", why.text);
        }
        for (size_t k = 0; k < source_params(s)->n; k++) {
            free(read_tensor(s, source_params(s)->params[k].name, &why));
        }
        source_close(s);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gguf_file_gives_the_config_it_states),
        cmocka_unit_test(q_rows_return_to_the_half_split_order_and_v_rows_stay),
        cmocka_unit_test(without_an_output_tensor_the_head_is_tied),
        cmocka_unit_test(wrong_gguf_models_are_refused_by_name),
        cmocka_unit_test(a_nan_is_named_with_its_tensor_and_place),
        cmocka_unit_test(a_folder_gives_config_tensors_and_all_eos_ids),
        cmocka_unit_test(wrong_folders_are_refused_by_name),
        cmocka_unit_test(tensors_that_nobody_reads_may_be_there),
        cmocka_unit_test(weights_open_without_a_usable_tokenizer),
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(an_index_names_the_files_of_a_sharded_model),
        cmocka_unit_test(every_tensor_of_smollm2_has_the_published_digest),
        cmocka_unit_test(reference_folders_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
