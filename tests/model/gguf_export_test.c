// gguf_export_test.c: models as GGUF files: there and back is the same model, and the file is laid
// out as readers of the format expect it.

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

static char *make_folder(const char *dir, const struct files_change *change)
{
    char *path = files_path(dir, "folder");
    assert_int_equal(fs_make_dirs(path, NULL), ERR_OK);
    files_tiny_folder(path, change);
    return path;
}

static char *make_gguf(const char *dir)
{
    struct buf file;
    buf_init(&file, 0);
    files_tiny_gguf(&file, NULL);
    files_write(dir, "in.gguf", file.data, file.len);
    buf_fini(&file);
    return files_path(dir, "in.gguf");
}

static struct source *open_model(const char *path)
{
    struct source *s = NULL;
    struct why why = {""};
    if (source_open(path, &s, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return s;
}

static void export_to(const struct source *s, enum export_format format, const char *type,
                      const char *path)
{
    struct why why = {""};
    struct export_options o = {.format = format, .type = type};
    if (source_export(s, path, &o, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

static enum err append(void *arg, const void *bytes, size_t len, struct why *why)
{
    (void)why;
    return buf_append(arg, bytes, len);
}

static bool has_eos(const struct model_config *c, int32_t id)
{
    for (int32_t i = 0; i < c->n_eos; i++) {
        if (c->eos_ids[i] == id) {
            return true;
        }
    }
    return false;
}

static void expect_equal_models(const struct source *a, const struct source *b, enum dtype t)
{
    const struct model_config *x = source_config(a), *y = source_config(b);
    assert_int_equal(x->vocab, y->vocab);
    assert_int_equal(x->heads, y->heads);
    assert_int_equal(x->kv_heads, y->kv_heads);
    assert_int_equal(x->head_dim, y->head_dim);
    assert_int_equal(x->max_positions, y->max_positions);
    assert_true(x->rope_theta == y->rope_theta && x->rms_eps == y->rms_eps && x->tied == y->tied);
    assert_int_equal(x->n_eos, y->n_eos);
    for (int32_t i = 0; i < x->n_eos; i++) {    // the tokenizer's own comes first
        assert_true(has_eos(y, x->eos_ids[i]));
    }
    struct buf p, q;
    buf_init(&p, 0);
    buf_init(&q, 0);
    assert_int_equal(source_stream(a, t, NULL, append, &p, NULL), ERR_OK);
    assert_int_equal(source_stream(b, t, NULL, append, &q, NULL), ERR_OK);
    assert_int_equal(p.len, q.len);
    assert_memory_equal(p.data, q.data, p.len);
    buf_fini(&p);
    buf_fini(&q);
}

// Both ways, so that rows that were interleaved for one reader and not put back by the other show.
static void there_and_back_is_the_same_model(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        enum dtype t;
    } types[] = {{"F32", DTYPE_F32}, {"BF16", DTYPE_BF16}};
    for (size_t i = 0; i < 2 * ARRAY_LEN(types); i++) {
        bool from_gguf = i % 2;
        char *dir = files_temp_dir(), *out = files_path(dir, "out.gguf"),
             *back = files_path(dir, "back");
        char *in = from_gguf ? make_gguf(dir) : make_folder(dir, NULL);
        struct source *a = open_model(in);
        export_to(a, EXPORT_GGUF, types[i / 2].type, out);
        struct source *b = open_model(out);
        assert_string_equal(source_format(b), "gguf");
        export_to(b, EXPORT_HF, types[i / 2].type, back);
        struct source *c = open_model(back);
        expect_equal_models(a, b, types[i / 2].t);
        expect_equal_models(a, c, types[i / 2].t);
        // A folder can keep an added token out of the vocabulary, a GGUF file cannot.
        assert_true(!from_gguf || hash_equal(source_tokenizer_hash(a), source_tokenizer_hash(b)));
        assert_true(hash_equal(source_tokenizer_hash(b), source_tokenizer_hash(c)));
        source_close(a);
        source_close(b);
        source_close(c);
        free(in);
        free(out);
        free(back);
        files_remove(dir);
    }
}

static void the_tokenizer_in_the_file_encodes_and_chats_alike(void **state)
{
    (void)state;
    char *dir = files_temp_dir(), *in = make_folder(dir, NULL), *out = files_path(dir, "out.gguf");
    struct source *a = open_model(in);
    export_to(a, EXPORT_GGUF, "BF16", out);
    struct source *b = open_model(out);
    struct tokenizer *t[2] = {NULL};
    struct why why = {""};
    if (source_tokenizer(a, &t[0], &why) != ERR_OK || source_tokenizer(b, &t[1], &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    const struct chat_message m = {"user", "hello  12 h\xc3\xa9llo<tool><|im_end|> 's\n", 31};
    struct token_ids ids[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tokenizer_chat_ids(t[i], &m, 1, true, &ids[i], &why), ERR_OK);
        tokenizer_destroy(t[i]);
    }
    assert_true(ids[0].n > 10 && ids[0].n == ids[1].n);
    assert_memory_equal(ids[0].ids, ids[1].ids, ids[0].n * sizeof *ids[0].ids);
    token_ids_fini(&ids[0]);
    token_ids_fini(&ids[1]);
    source_close(a);
    source_close(b);
    free(in);
    free(out);
    files_remove(dir);
}

// llama.cpp computes with one-dimensional tensors as F32, whatever the matrices are.
static void vectors_are_f32_and_matrices_as_asked(void **state)
{
    (void)state;
    static const char *const types[] = {"F16", "BF16", "F32"};
    static const int64_t file_types[] = {1, 32, 0};
    for (size_t k = 0; k < ARRAY_LEN(types); k++) {
        char *dir = files_temp_dir(), *in = make_gguf(dir), *out = files_path(dir, "out.gguf");
        struct source *s = open_model(in);
        struct gguf *g = NULL;
        struct why why = {""};
        int64_t file_type = -1;
        export_to(s, EXPORT_GGUF, types[k], out);
        assert_int_equal(gguf_open(out, &g, &why), ERR_OK);
        assert_int_equal(gguf_n_tensors(g), source_params(s)->n);
        for (size_t i = 0; i < gguf_n_tensors(g); i++) {
            const struct gguf_tensor *t = gguf_tensor_at(g, i);
            assert_string_equal(t->type->name, t->n_dims == 1 ? "F32" : types[k]);
            assert_true(t->n_dims == 1 || t->n_dims == 2);
        }
        assert_int_equal(gguf_get_int(g, "general.file_type", 0, 99, &file_type, &why), ERR_OK);
        assert_int_equal(file_type, file_types[k]);
        gguf_close(g);
        source_close(s);
        free(in);
        free(out);
        files_remove(dir);
    }
}

// ---- families ----

static const struct model_config sizes = {.vocab = 32,
                                          .hidden = 24,
                                          .ffn = 16,
                                          .layers = 2,
                                          .heads = 4,
                                          .kv_heads = 2,
                                          .head_dim = 8,
                                          .max_positions = 64,
                                          .rope_theta = 5000,
                                          .rms_eps = 1e-5f,
                                          .tied = true,
                                          .bos_id = 1,
                                          .pad_id = -1,
                                          .eos_ids = {2, 0},
                                          .n_eos = 2};

// Writes a folder of c with a different value in every place.
static char *make_family(const char *dir, const struct model_config *c)
{
    char *path = files_path(dir, "family"), *weights = files_path(dir, "family/model.safetensors");
    struct param_table p = {0};
    struct why why = {""};
    assert_int_equal(fs_make_dirs(path, NULL), ERR_OK);
    if (param_table_create(c, &p, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    float *flat = malloc(p.total * sizeof *flat);
    assert_non_null(flat);
    for (size_t i = 0; i < p.total; i++) {
        flat[i] = (float)i / 16;
    }
    assert_int_equal(safetensors_write_flat(weights, &p, DTYPE_F32, flat, NULL, NULL), ERR_OK);
    char *config = model_config_print(c, DTYPE_F32);
    files_write(path, "config.json", config, strlen(config));
    files_write(path, "tokenizer.json", FILES_TOKENIZER_JSON, strlen(FILES_TOKENIZER_JSON));
    static const char named[] = "{\"eos_token\":\"<|im_end|>\"}";
    files_write(path, "tokenizer_config.json", named, strlen(named));
    free(config);
    free(flat);
    free(weights);
    param_table_destroy(&p);
    return path;
}

// Biases, norms of heads, norms behind, windows, scaled positions: each has its name in both
// formats, and only the llama architecture interleaves.
static void every_family_goes_there_and_back(void **state)
{
    (void)state;
    struct model_config c[8];
    size_t n = 0;
    static const char *const names[] = {"llama", "mistral", "qwen2", "qwen3", "olmo2"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        c[n] = sizes;
        (void)snprintf(c[n++].family, sizeof c[0].family, "%s", names[i]);
    }
    c[1].window = 8;
    c[n] = c[0];
    c[n].tied = false;
    c[n++].rope = (struct rope_scaling){ROPE_LLAMA3, 8, 1, 4, 32};
    for (size_t i = 0; i < n; i++) {
        char *dir = files_temp_dir(), *in = make_family(dir, &c[i]);
        char *out = files_path(dir, "out.gguf"), *back = files_path(dir, "back");
        struct source *a = open_model(in);
        export_to(a, EXPORT_GGUF, "F32", out);
        struct source *b = open_model(out);
        export_to(b, EXPORT_HF, "F32", back);
        struct source *d = open_model(back);
        expect_equal_models(a, b, DTYPE_F32);
        expect_equal_models(a, d, DTYPE_F32);
        assert_string_equal(source_config(d)->family, c[i].family);
        assert_int_equal(source_config(d)->window, c[i].window);
        assert_int_equal(source_config(d)->rope.type, c[i].rope.type);
        assert_true(source_config(d)->rope.factor == c[i].rope.factor);
        source_close(a);
        source_close(b);
        source_close(d);
        free(in);
        free(out);
        free(back);
        files_remove(dir);
    }
}

// Which layers a window is for, a qwen2 file cannot say.
static void a_window_without_a_key_is_refused(void **state)
{
    (void)state;
    struct model_config c = sizes;
    (void)snprintf(c.family, sizeof c.family, "qwen2");
    c.window = 8;
    c.window_from = 1;
    char *dir = files_temp_dir(), *in = make_family(dir, &c), *out = files_path(dir, "out.gguf");
    struct source *s = open_model(in);
    struct why why = {""};
    struct export_options o = {.format = EXPORT_GGUF};
    assert_int_equal(source_export(s, out, &o, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "qwen2 files have no key for a sliding window"));
    source_close(s);
    free(in);
    free(out);
    files_remove(dir);
}

// ---- tokenizers ----

// A split without a name would load everywhere and tokenise wrongly.
static void a_split_without_a_name_is_refused(void **state)
{
    (void)state;
    static const char split[] =
        "{\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\","
        "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a-z]+\"},\"behavior\":"
        "\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
        "\"trim_offsets\":true,\"use_regex\":false}]},\"post_processor\":null,\"decoder\":{"
        "\"type\":"
        "\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},"
        "\"merges\":[\"a b\"]}}";
    char *dir = files_temp_dir();
    char *in =
        make_folder(dir, &(struct files_change){.text_key = "tokenizer.json", .text = split});
    char *out = files_path(dir, "out.gguf");
    struct source *s = open_model(in);
    struct why why = {""};
    struct export_options o = {.format = EXPORT_GGUF};
    assert_int_equal(source_export(s, out, &o, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "out.gguf: the tokenizer's way to split text has no name"));
    assert_false(fs_exists(out));
    source_close(s);
    free(in);
    free(out);
    files_remove(dir);
}

static void without_a_tokenizer_there_is_no_gguf(void **state)
{
    (void)state;
    char *dir = files_temp_dir();
    char *in = make_folder(dir, &(struct files_change){.omit = "tokenizer.json"});
    char *out = files_path(dir, "out.gguf");
    struct source *s = open_model(in);
    struct why why = {""};
    struct export_options o = {.format = EXPORT_GGUF};
    assert_int_equal(source_export(s, out, &o, &why), ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "tokenizer.json"));
    assert_false(fs_exists(out));
    source_close(s);
    free(in);
    free(out);
    files_remove(dir);
}

// ---- published models (CARAVAN_REFERENCE) ----

static void reference_folders_go_there_and_back(void **state)
{
    (void)state;
    static const char *const folders[] = {"llama", "llama3", "mistral", "olmo2",
                                          "qwen2", "qwen3",  "sharded"};
    const char *reference = files_env("CARAVAN_REFERENCE");
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        char *dir = files_temp_dir(), *path = fs_path("%s/models/%s", reference, folders[i]);
        char *out = files_path(dir, "out.gguf"), *back = files_path(dir, "back");
        struct source *a = open_model(path);
        export_to(a, EXPORT_GGUF, "BF16", out);
        struct source *b = open_model(out);
        export_to(b, EXPORT_HF, "BF16", back);
        struct source *c = open_model(back);
        expect_equal_models(a, b, DTYPE_BF16);
        expect_equal_models(a, c, DTYPE_BF16);
        source_close(a);
        source_close(b);
        source_close(c);
        free(path);
        free(out);
        free(back);
        files_remove(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back_is_the_same_model),
        cmocka_unit_test(the_tokenizer_in_the_file_encodes_and_chats_alike),
        cmocka_unit_test(vectors_are_f32_and_matrices_as_asked),
        cmocka_unit_test(every_family_goes_there_and_back),
        cmocka_unit_test(a_window_without_a_key_is_refused),
        cmocka_unit_test(a_split_without_a_name_is_refused),
        cmocka_unit_test(without_a_tokenizer_there_is_no_gguf),
        cmocka_unit_test(reference_folders_go_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
