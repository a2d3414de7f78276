// export_test.c: the exported folder: what went in comes out, from either format, and nothing old
// is left to mislead a reader.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "model/safetensors.h"
#include "model/source.h"
#include "model/tokenizer.h"
#include "tests/model/model_files.h"
#include "tests/model/sha256.h"

struct fixture {
    char *dir, *model, *out;
    struct source *s;
    float *flat;
    struct why why;
};

static void load(struct fixture *f)
{
    if (source_open(f->model, &f->s, &f->why) != ERR_OK) {
        fail_msg("%s", f->why.text);
    }
    const struct param_table *p = source_params(f->s);
    f->flat = malloc(p->total * sizeof *f->flat);
    assert_non_null(f->flat);
    for (size_t i = 0; i < p->n; i++) {
        assert_int_equal(source_read(f->s, i, f->flat + p->params[i].offset, &f->why), ERR_OK);
    }
}

static void init(struct fixture *f, bool gguf, const struct files_change *change)
{
    *f = (struct fixture){.dir = files_temp_dir()};
    f->model = files_path(f->dir, "model");
    f->out = files_path(f->dir, "deep/out");
    if (gguf) {
        struct buf file;
        buf_init(&file, 0);
        files_tiny_gguf(&file, change);
        files_write(f->dir, "model", file.data, file.len);
        buf_fini(&file);
    } else {
        assert_int_equal(fs_make_dirs(f->model, &f->why), ERR_OK);
        files_tiny_folder(f->model, change);
    }
    load(f);
}

static void fini(struct fixture *f)
{
    source_close(f->s);
    free(f->flat);
    free(f->model);
    free(f->out);
    files_remove(f->dir);
}

#define as_f32(blob)                                                                               \
    (struct export_options)                                                                        \
    {                                                                                              \
        .type = "F32", .flat = (blob), .flat_dtype = DTYPE_F32                                     \
    }

static void export(struct fixture *f)
{
    if (source_export(f->s, f->out, &as_f32(f->flat), &f->why) != ERR_OK) {
        fail_msg("%s", f->why.text);
    }
}

static void expect_same_config(const struct model_config *a, const struct model_config *b)
{
    assert_string_equal(a->family, b->family);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->hidden, b->hidden);
    assert_int_equal(a->ffn, b->ffn);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->max_positions, b->max_positions);
    assert_true(a->rope_theta == b->rope_theta && a->rms_eps == b->rms_eps && a->tied == b->tied);
    assert_int_equal(a->bos_id, b->bos_id);
    assert_int_equal(a->pad_id, b->pad_id);
    assert_int_equal(a->n_eos, b->n_eos);
    assert_memory_equal(a->eos_ids, b->eos_ids, (size_t)a->n_eos * sizeof *a->eos_ids);
}

static void an_export_is_the_same_model_from_either_format(void **state)
{
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        struct fixture f, back = {0};
        init(&f, gguf, NULL);
        export(&f);
        back.model = f.out;
        load(&back);
        assert_string_equal(source_format(back.s), "safetensors");
        expect_same_config(source_config(f.s), source_config(back.s));
        assert_memory_equal(f.flat, back.flat, source_params(f.s)->total * sizeof *f.flat);
        assert_true(hash_equal(source_tokenizer_hash(f.s), source_tokenizer_hash(back.s)));
        source_close(back.s);
        free(back.flat);
        fini(&f);
    }
}

static void an_export_from_gguf_encodes_and_chats_alike(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, true, NULL);
    export(&f);
    struct source *back = NULL;
    struct tokenizer *a = NULL, *b = NULL;
    assert_int_equal(source_open(f.out, &back, &f.why), ERR_OK);
    if (source_tokenizer(f.s, &a, &f.why) != ERR_OK ||
        source_tokenizer(back, &b, &f.why) != ERR_OK) {
        fail_msg("%s", f.why.text);
    }
    const struct chat_message m = {"user", "hello  12 h\xc3\xa9llo\x01<|im_end|>\xff", 23};
    struct token_ids x = {0}, y = {0};
    assert_int_equal(tokenizer_chat_ids(a, &m, 1, true, &x, &f.why), ERR_OK);
    assert_int_equal(tokenizer_chat_ids(b, &m, 1, true, &y, &f.why), ERR_OK);
    assert_true(x.n > 20 && x.n == y.n);
    assert_memory_equal(x.ids, y.ids, x.n * sizeof *x.ids);
    token_ids_fini(&x);
    token_ids_fini(&y);
    tokenizer_destroy(a);
    tokenizer_destroy(b);
    source_close(back);
    fini(&f);
}

static void files_of_a_folder_are_carried_over_byte_for_byte(void **state)
{
    (void)state;
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "generation_config.json", "chat_template.jinja"};
    struct fixture f;
    init(&f, false, NULL);
    export(&f);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *from = files_path(f.model, names[i]), *to = files_path(f.out, names[i]), *a = NULL,
             *b = NULL;
        size_t n = 0, m = 0;
        assert_int_equal(fs_read_file(from, 1 << 20, &a, &n, &f.why), ERR_OK);
        assert_int_equal(fs_read_file(to, 1 << 20, &b, &m, &f.why), ERR_OK);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
        free(a);
        free(b);
        free(from);
        free(to);
    }
    fini(&f);
}

// Who loads the trained model must prompt it in the format that it was trained in.
static void an_export_carries_the_template_that_was_chosen(void **state)
{
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        struct fixture f, back = {0};
        init(&f, gguf, NULL);
        assert_int_equal(source_set_template(f.s, "tulu", &f.why), ERR_OK);
        export(&f);
        back.model = f.out;
        load(&back);
        assert_true(hash_equal(source_tokenizer_hash(f.s), source_tokenizer_hash(back.s)));
        struct tokenizer *t = NULL;
        struct buf text;
        buf_init(&text, 0);
        const struct chat_message m = {"user", "hi", 2};
        assert_int_equal(source_tokenizer(back.s, &t, &f.why), ERR_OK);
        assert_int_equal(tokenizer_chat_text(t, &m, 1, true, &text, &f.why), ERR_OK);
        static const char want[] = "<|user|>\nhi\n<|assistant|>\n";
        assert_int_equal(text.len, sizeof want - 1);
        assert_memory_equal(text.data, want, text.len);
        buf_fini(&text);
        tokenizer_destroy(t);
        source_close(back.s);
        free(back.flat);
        fini(&f);
    }
}

// A chat template left behind by another model would win over the one just written.
static void a_second_export_replaces_the_first_whole(void **state)
{
    (void)state;
    struct fixture f, g;
    struct source *back = NULL;
    init(&f, false, NULL);
    init(&g, true, NULL);
    export(&f);
    free(g.out);
    g.out = f.out;
    export(&g);
    char *jinja = files_path(f.out, "chat_template.jinja");
    assert_false(fs_exists(jinja));
    free(jinja);
    if (source_open(f.out, &back, &f.why) != ERR_OK) {
        fail_msg("%s", f.why.text);
    }
    assert_true(hash_equal(source_tokenizer_hash(back), source_tokenizer_hash(g.s)));
    source_close(back);
    g.out = NULL;
    fini(&g);
    fini(&f);
}

static void weights_are_written_in_the_type_asked_for(void **state)
{
    (void)state;
    struct fixture f;
    struct source *back = NULL;
    init(&f, false, NULL);
    size_t n = source_params(f.s)->total;
    uint16_t *bf16 = malloc(n * sizeof *bf16);
    assert_non_null(bf16);
    for (size_t i = 0; i < n; i++) {
        bf16[i] = bf16_from_f32(f.flat[i]);
    }
    assert_int_equal(source_export(f.s, f.out,
                                   &(struct export_options){
                                       .type = "BF16", .flat = bf16, .flat_dtype = DTYPE_BF16},
                                   &f.why),
                     ERR_OK);
    assert_int_equal(source_open(f.out, &back, &f.why), ERR_OK);
    const struct param *p = &source_params(back)->params[1];
    float *x = malloc(p->count * sizeof *x);
    assert_non_null(x);
    assert_int_equal(source_read(back, 1, x, &f.why), ERR_OK);
    for (size_t i = 0; i < p->count; i++) {
        assert_true(x[i] == bf16_to_f32(bf16[p->offset + i]));
    }
    free(x);
    free(bf16);
    source_close(back);
    fini(&f);
}

static void an_export_that_cannot_be_written_says_where(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, true, NULL);
    files_write(f.dir, "file", "", 0);
    char *under = files_path(f.dir, "file/out");
    assert_int_not_equal(source_export(f.s, under, &as_f32(f.flat), &f.why), ERR_OK);
    assert_non_null(strstr(f.why.text, "file"));
    free(under);
    fini(&f);
}

static void without_a_tokenizer_nothing_is_exported_from_gguf(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, true, &(struct files_change){.omit = "tokenizer.ggml.tokens"});
    assert_int_equal(source_export(f.s, f.out, &as_f32(f.flat), &f.why), ERR_NOT_FOUND);
    assert_non_null(strstr(f.why.text, "tokenizer.ggml.tokens"));
    assert_false(fs_exists(f.out));
    fini(&f);
}

// ---- types, shards, the config ----

static struct source *open_path(const char *path)
{
    struct source *s = NULL;
    struct why why = {""};
    if (source_open(path, &s, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return s;
}

static void export_as(const struct source *s, const char *path, const struct export_options *o)
{
    struct why why = {""};
    if (source_export(s, path, o, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

static char *read_file(const char *dir, const char *name, size_t *len)
{
    char *path = files_path(dir, name), *data = NULL;
    struct why why = {""};
    if (fs_read_file(path, 1 << 24, &data, len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    free(path);
    return data;
}

// What a model holds, as one blob.
static enum err append(void *arg, const void *bytes, size_t len, struct why *why)
{
    (void)why;
    return buf_append(arg, bytes, len);
}

static void expect_equal_values(const struct source *a, const struct source *b, enum dtype t)
{
    struct buf x, y;
    buf_init(&x, 0);
    buf_init(&y, 0);
    assert_int_equal(source_stream(a, t, NULL, append, &x, NULL), ERR_OK);
    assert_int_equal(source_stream(b, t, NULL, append, &y, NULL), ERR_OK);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    buf_fini(&x);
    buf_fini(&y);
}

// A bf16 folder comes out as the same bytes, tensor for tensor; here even as the same file.
static void a_bf16_folder_is_exported_byte_for_byte(void **state)
{
    (void)state;
    static const char *const names[] = {"model.safetensors", "config.json", "tokenizer.json"};
    struct fixture f;
    init(&f, false, NULL);
    char *again = files_path(f.dir, "again");
    export_as(f.s, f.out, &(struct export_options){.type = "BF16"});
    struct source *bf16 = open_path(f.out);
    export_as(bf16, again, &(struct export_options){.type = "BF16"});
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t n = 0, m = 0;
        char *a = read_file(f.out, names[i], &n), *b = read_file(again, names[i], &m);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
        free(a);
        free(b);
    }
    expect_equal_values(f.s, bf16, DTYPE_BF16);
    source_close(bf16);
    free(again);
    fini(&f);
}

static void f16_holds_what_fits_and_refuses_the_rest_by_name(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, false, NULL);
    export_as(f.s, f.out, &(struct export_options){.type = "F16"});
    struct source *back = open_path(f.out);
    const struct param *p = &source_params(f.s)->params[1];
    float x[64];
    assert_int_equal(source_read(back, 1, x, &f.why), ERR_OK);
    for (size_t i = 0; i < p->count; i++) {
        assert_true(x[i] == f.flat[p->offset + i]);    // steps of 1/64: exact
    }
    source_close(back);
    f.flat[p->offset + 3] = 65520;
    struct export_options o = {.type = "F16", .flat = f.flat, .flat_dtype = DTYPE_F32};
    assert_int_equal(source_export(f.s, f.out, &o, &f.why), ERR_LIMIT);
    assert_non_null(strstr(f.why.text, p->name));
    assert_non_null(strstr(f.why.text, "element [0, 3] is 65520, too large for F16"));
    char *config = files_path(f.out, "config.json");
    assert_false(fs_exists(config));    // what is not whole does not look so
    free(config);
    fini(&f);
}

static void expect_files(const char *dir, const char *const *names, size_t n, bool there)
{
    for (size_t i = 0; i < n; i++) {
        char *path = files_path(dir, names[i]);
        if (fs_exists(path) != there) {
            fail_msg("%s: %s", path, there ? "missing" : "left over");
        }
        free(path);
    }
}

static void shards_keep_their_limit_and_replace_one_another(void **state)
{
    (void)state;
    static const char *const five[] = {
        "model-00001-of-00005.safetensors", "model-00002-of-00005.safetensors",
        "model-00003-of-00005.safetensors", "model-00004-of-00005.safetensors",
        "model-00005-of-00005.safetensors", "model.safetensors.index.json"};
    static const char *const two[] = {"model-00001-of-00002.safetensors",
                                      "model-00002-of-00002.safetensors"};
    static const char *const one[] = {"model.safetensors"};
    struct fixture f;
    init(&f, false, NULL);
    export_as(f.s, f.out, &(struct export_options){.type = "F32", .shard_bytes = 700});
    expect_files(f.out, five, 6, true);
    // The embedding alone is larger than the limit: 32 * 8 * 4 bytes. All others keep it.
    for (size_t i = 0; i < 5; i++) {
        size_t len = 0;
        char *data = read_file(f.out, five[i], &len);
        uint64_t header;
        memcpy(&header, data, sizeof header);
        assert_true(i == 0 ? len - 8 - header == 1024 : len - 8 - header <= 700);
        free(data);
    }
    struct source *back = open_path(f.out);
    expect_equal_values(f.s, back, DTYPE_F32);
    source_close(back);
    export_as(f.s, f.out, &(struct export_options){.type = "F32", .shard_bytes = 2500});
    expect_files(f.out, five, 5, false);
    expect_files(f.out, two, 2, true);
    export_as(f.s, f.out, &(struct export_options){.type = "F32"});
    expect_files(f.out, two, 2, false);
    expect_files(f.out, five + 5, 1, false);
    expect_files(f.out, one, 1, true);
    fini(&f);
}

// The index as transformers reads it: every tensor, the file it is in, and the bytes of all.
static void the_index_names_every_tensor(void **state)
{
    (void)state;
    struct fixture f;
    size_t len = 0;
    json_t *root = NULL;
    init(&f, false, NULL);
    export_as(f.s, f.out, &(struct export_options){.type = "BF16", .shard_bytes = 700});
    char *text = read_file(f.out, "model.safetensors.index.json", &len);
    assert_int_equal(json_parse(text, len, "index", &root, &f.why), ERR_OK);
    const struct param_table *p = source_params(f.s);
    const json_t *map = json_object_get(root, "weight_map");
    assert_int_equal(json_object_size(map), p->n);
    for (size_t i = 0; i < p->n; i++) {
        assert_true(json_is_string(json_object_get(map, p->params[i].name)));
    }
    const json_t *total = json_object_get(json_object_get(root, "metadata"), "total_size");
    assert_int_equal(json_integer_value(total), p->total * 2);
    json_decref(root);
    free(text);
    fini(&f);
}

// All else in a config survives, whatever it means to others.
static void a_config_changes_in_its_dtype_only(void **state)
{
    (void)state;
#define SIZES                                                                                      \
    "\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\","   \
    "\"vocab_size\":32,\"hidden_size\":8,\"intermediate_size\":12,\"num_hidden_layers\":1,"        \
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"max_position_embeddings\":64,"          \
    "\"rms_norm_eps\":1e-06,\"tie_word_embeddings\":true"
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{" SIZES ", \"torch_dtype\" :\t\"float32\" , \"x\": [1e2, \"dtype\"]}\n",
         "{" SIZES ", \"torch_dtype\" :\t\"float16\" , \"x\": [1e2, \"dtype\"]}\n"},
        {"{\"dtype\":null," SIZES ",\"a\":{\"dtype\":\"int4\",\"b\\\"}\":2}}",
         "{\"dtype\":\"float16\"," SIZES ",\"a\":{\"dtype\":\"int4\",\"b\\\"}\":2}}"},
        {" {" SIZES "}", " {\n  \"torch_dtype\": \"float16\"," SIZES "}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        size_t len = 0;
        init(&f, false, &(struct files_change){.text_key = "config.json", .text = cases[i].in});
        export_as(f.s, f.out, &(struct export_options){.type = "F16"});
        char *text = read_file(f.out, "config.json", &len);
        assert_string_equal(text, cases[i].out);
        free(text);
        fini(&f);
    }
}

static void a_gguf_config_names_the_type_that_was_written(void **state)
{
    (void)state;
    static const struct {
        const char *type, *says;
    } cases[] = {{"BF16", "\"torch_dtype\": \"bfloat16\""},
                 {"F16", "\"torch_dtype\": \"float16\""},
                 {"F32", "\"torch_dtype\": \"float32\""}};
    struct fixture f;
    init(&f, true, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = 0;
        export_as(f.s, f.out, &(struct export_options){.type = cases[i].type});
        char *text = read_file(f.out, "config.json", &len);
        assert_non_null(strstr(text, cases[i].says));
        free(text);
    }
    fini(&f);
}

static void a_folder_without_generation_config_gets_one(void **state)
{
    (void)state;
    struct fixture f;
    size_t len = 0;
    init(&f, false, &(struct files_change){.omit = "generation_config.json"});
    export(&f);
    char *text = read_file(f.out, "generation_config.json", &len);
    assert_non_null(strstr(text, "\"eos_token_id\": 2"));
    free(text);
    fini(&f);
}

static void a_model_is_not_exported_onto_itself(void **state)
{
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        struct fixture f;
        init(&f, gguf, NULL);
        struct export_options o = {.format = gguf ? EXPORT_GGUF : EXPORT_HF};
        assert_int_equal(source_export(f.s, f.model, &o, &f.why), ERR_INVALID);
        assert_non_null(strstr(f.why.text, "is the model itself"));
        source_close(open_path(f.model));
        fini(&f);
    }
}

// ---- a run's weights ----

static void published_weights_take_the_place_of_the_models_own(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, true, NULL);
    const struct param_table *p = source_params(f.s);
    char *weights = files_path(f.dir, "v000001.safetensors");
    for (size_t i = 0; i < p->total; i++) {
        f.flat[i] = (float)(i % 251) / 8;
    }
    assert_int_equal(safetensors_write_flat(weights, p, DTYPE_F32, f.flat, NULL, &f.why), ERR_OK);
    assert_int_equal(source_use_weights(f.s, weights, &f.why), ERR_OK);
    export_as(f.s, f.out, &(struct export_options){.type = "F32"});
    struct source *back = open_path(f.out);
    for (size_t i = 0; i < p->n; i++) {
        float *x = malloc(p->params[i].count * sizeof *x);
        assert_non_null(x);
        assert_int_equal(source_read(back, i, x, &f.why), ERR_OK);
        assert_memory_equal(x, f.flat + p->params[i].offset, p->params[i].count * sizeof *x);
        free(x);
    }
    source_close(back);
    free(weights);
    fini(&f);
}

static void weights_of_another_model_change_nothing(void **state)
{
    (void)state;
    struct fixture f, other;
    init(&f, true, NULL);
    init(&other, false, NULL);
    char *weights = files_path(other.model, "model.safetensors");
    assert_int_equal(source_use_weights(f.s, weights, &f.why), ERR_CORRUPT);
    assert_non_null(strstr(f.why.text, "model.safetensors: tensor "));
    assert_int_equal(source_use_weights(f.s, "no/such/file", &f.why), ERR_NOT_FOUND);
    export(&f);
    struct source *back = open_path(f.out);
    expect_equal_values(f.s, back, DTYPE_F32);
    source_close(back);
    free(weights);
    fini(&other);
    fini(&f);
}

// ---- published numbers (CARAVAN_MODEL, CARAVAN_REFERENCE) ----

static json_t *published(void)
{
    char *path = files_path(files_env("CARAVAN_REFERENCE"), "smollm2/gguf_dequant.json"), *text;
    size_t len = 0;
    json_t *root = NULL;
    struct why why = {""};
    if (fs_read_file(path, 1 << 24, &text, &len, &why) != ERR_OK ||
        json_parse(text, len, path, &root, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    free(text);
    free(path);
    return root;
}

static void expect_digest(const void *data, size_t len, const json_t *root, const char *key)
{
    char hex[65];
    sha256_hex(data, len, hex);
    assert_string_equal(hex, json_string_value(json_object_get(root, key)));
}

// The bytes of an exported folder, not what our reader makes of them.
static void the_export_of_smollm2_has_the_published_digests(void **state)
{
    (void)state;
    struct source *s = open_path(files_env("CARAVAN_MODEL"));
    json_t *root = published();
    const json_t *all = json_object_get(root, "all_tensors"), *each;
    char *dir = files_temp_dir(), *file = files_path(dir, "model.safetensors");
    struct safetensors *t = NULL;
    struct why why = {""};
    export_as(s, dir, &(struct export_options){.type = "F32"});
    assert_int_equal(safetensors_open(file, &t, &why), ERR_OK);
    assert_int_equal(safetensors_n_tensors(t), json_array_size(all));
    size_t i;
    json_array_foreach(all, i, each)
    {
        const struct safetensors_tensor *x =
            safetensors_find(t, json_string_value(json_object_get(each, "hf_name")));
        assert_non_null(x);
        expect_digest(x->data, x->bytes, each, "sha256_f32");
    }
    safetensors_close(t);
    export_as(s, dir, &(struct export_options){.type = "BF16"});
    assert_int_equal(safetensors_open(file, &t, &why), ERR_OK);
    struct buf bf16;
    buf_init(&bf16, 0);
    for (i = 0; i < safetensors_n_tensors(t); i++) {
        const struct safetensors_tensor *x = safetensors_tensor_at(t, i);
        assert_int_equal(buf_append(&bf16, x->data, x->bytes), ERR_OK);
    }
    expect_digest(bf16.data, bf16.len, json_object_get(root, "whole_model"), "sha256_bf16");
    buf_fini(&bf16);
    safetensors_close(t);
    json_decref(root);
    source_close(s);
    free(file);
    files_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_is_the_same_model_from_either_format),
        cmocka_unit_test(an_export_from_gguf_encodes_and_chats_alike),
        cmocka_unit_test(an_export_carries_the_template_that_was_chosen),
        cmocka_unit_test(files_of_a_folder_are_carried_over_byte_for_byte),
        cmocka_unit_test(a_second_export_replaces_the_first_whole),
        cmocka_unit_test(weights_are_written_in_the_type_asked_for),
        cmocka_unit_test(an_export_that_cannot_be_written_says_where),
        cmocka_unit_test(without_a_tokenizer_nothing_is_exported_from_gguf),
        cmocka_unit_test(a_bf16_folder_is_exported_byte_for_byte),
        cmocka_unit_test(f16_holds_what_fits_and_refuses_the_rest_by_name),
        cmocka_unit_test(shards_keep_their_limit_and_replace_one_another),
        cmocka_unit_test(the_index_names_every_tensor),
        cmocka_unit_test(a_config_changes_in_its_dtype_only),
        cmocka_unit_test(a_gguf_config_names_the_type_that_was_written),
        cmocka_unit_test(a_folder_without_generation_config_gets_one),
        cmocka_unit_test(a_model_is_not_exported_onto_itself),
        cmocka_unit_test(published_weights_take_the_place_of_the_models_own),
        cmocka_unit_test(weights_of_another_model_change_nothing),
        cmocka_unit_test(the_export_of_smollm2_has_the_published_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
