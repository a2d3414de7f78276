// model_files.c: see model_files.h. Files are put together byte by byte and not by the code under
// test, so that a mistake shared by writer and reader does not hide. Whatever cannot be made fails
// the test at once; folders are temporary and removed by their owner.
#include "tests/model/model_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "kernels/device.h"
#include "model/bytelevel.h"
#include "model/source_impl.h"

enum { VOCAB = 3 + 256 + 6, HIDDEN = 32, FFN = 64, LAYERS = 2, HEAD_DIM = 16 };

static void put(struct buf *b, const void *bytes, size_t len)
{
    assert_int_equal(buf_append(b, bytes, len), ERR_OK);
}

static void put_u32(struct buf *b, uint32_t v)
{
    put(b, &v, sizeof v);
}

static void put_u64(struct buf *b, uint64_t v)
{
    put(b, &v, sizeof v);
}

static void put_text(struct buf *b, const char *text, size_t len)
{
    put_u64(b, len);
    put(b, text, len);
}

static void put_zeros(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put(b, "", 1);
    }
}

// ---- GGUF ----

void gguf_maker_init(struct gguf_maker *m)
{
    *m = (struct gguf_maker){0};
    buf_init(&m->values, 0);
    buf_init(&m->infos, 0);
    buf_init(&m->data, 0);
}

void gguf_maker_fini(struct gguf_maker *m)
{
    buf_fini(&m->values);
    buf_fini(&m->infos);
    buf_fini(&m->data);
}

void gguf_put_raw(struct gguf_maker *m, const char *key, uint32_t type, const void *bytes,
                  size_t len)
{
    put_text(&m->values, key, strlen(key));
    put_u32(&m->values, type);
    put(&m->values, bytes, len);
    m->n_values++;
}

void gguf_put_u32(struct gguf_maker *m, const char *key, uint32_t value)
{
    gguf_put_raw(m, key, GGUF_U32, &value, sizeof value);
}

void gguf_put_f32(struct gguf_maker *m, const char *key, float value)
{
    gguf_put_raw(m, key, GGUF_F32, &value, sizeof value);
}

void gguf_put_text(struct gguf_maker *m, const char *key, const char *value)
{
    gguf_put_raw(m, key, GGUF_STRING, "", 0);
    put_text(&m->values, value, strlen(value));
}

static void put_array(struct gguf_maker *m, const char *key, uint32_t element, size_t n)
{
    gguf_put_raw(m, key, GGUF_ARRAY, &element, sizeof element);
    put_u64(&m->values, n);
}

void gguf_put_texts(struct gguf_maker *m, const char *key, const char *const *values, size_t n)
{
    put_array(m, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) {
        put_text(&m->values, values[i], strlen(values[i]));
    }
}

void gguf_put_i32s(struct gguf_maker *m, const char *key, const int32_t *values, size_t n)
{
    put_array(m, key, GGUF_I32, n);
    put(&m->values, values, n * sizeof *values);
}

void gguf_put_f32s(struct gguf_maker *m, const char *key, const float *values, size_t n)
{
    put_array(m, key, GGUF_F32, n);
    put(&m->values, values, n * sizeof *values);
}

void gguf_put_bool(struct gguf_maker *m, const char *key, bool value)
{
    gguf_put_raw(m, key, GGUF_BOOL, &(uint8_t){value}, 1);
}

void gguf_put_tensor(struct gguf_maker *m, const char *name, uint32_t type, uint32_t n_dims,
                     const uint64_t *dims, const void *bytes, size_t len)
{
    put_text(&m->infos, name, strlen(name));
    put_u32(&m->infos, n_dims);
    put(&m->infos, dims, n_dims * sizeof *dims);
    put_u32(&m->infos, type);
    put_u64(&m->infos, m->data.len);
    put(&m->data, bytes, len);
    put_zeros(&m->data, (32 - m->data.len % 32) % 32);
    m->n_tensors++;
}

void gguf_make(const struct gguf_maker *m, struct buf *file)
{
    put(file, "GGUF", 4);
    put_u32(file, 3);
    put_u64(file, m->n_tensors);
    put_u64(file, m->n_values);
    put(file, m->values.data, m->values.len);
    put(file, m->infos.data, m->infos.len);
    put_zeros(file, (32 - file->len % 32) % 32);
    put(file, m->data.data, m->data.len);
}

// ---- the tiny GGUF model ----

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void maybe_u32(struct gguf_maker *m, const struct files_change *c, const char *key,
                      uint32_t value)
{
    if (!same(c->omit, key)) {
        gguf_put_u32(m, key, same(c->key, key) ? c->value : value);
    }
}

static void maybe_text(struct gguf_maker *m, const struct files_change *c, const char *key,
                       const char *text)
{
    if (!same(c->omit, key)) {
        gguf_put_text(m, key, same(c->text_key, key) ? c->text : text);
    }
}

// A tensor of the given type with small, finite, varied values.
static void maybe_tensor(struct gguf_maker *m, const struct files_change *c, const char *name,
                         const char *type, uint64_t rows, uint64_t cols)
{
    const struct quant *q = quant_by_name(type);
    if (same(c->omit, name)) {
        return;
    }
    rows += same(c->reshape, name);
    struct buf data;
    buf_init(&data, 0);
    for (uint64_t i = 0; i < rows * cols / q->block; i++) {
        uint8_t block[64];
        for (size_t k = 0; k < sizeof block; k++) {
            block[k] = (uint8_t)(i * 7 + k * 13);
        }
        float x = (float)(i % 97) / 64 - 0.5f;
        uint16_t small = 0x2800, bf16 = bf16_from_f32(x);    // 0x2800: 2^-5 in half precision
        memcpy(block,
               q->block == 1 && q->block_bytes == 4 ? (const void *)&x
               : strcmp(type, "BF16") == 0          ? (const void *)&bf16
                                                    : (const void *)&small,
               q->block_bytes == 4 ? 4 : 2);
        if (q->block_bytes == 20 || q->block_bytes == 24) {    // Q4_1 and Q5_1 have two
            memcpy(block + 2, &small, 2);
        }
        put(&data, block, q->block_bytes);
    }
    if (same(c->poison, name)) {
        uint32_t nan = 0x7FC00000;
        memcpy(data.data + 5 * sizeof nan, &nan, sizeof nan);
    }
    uint64_t dims[2] = {cols, rows};
    gguf_put_tensor(m, name, same(c->type, name) ? 10 : q->ggml_id, rows == 1 ? 1 : 2, dims,
                    data.data, data.len);
    buf_fini(&data);
}

static void put_tensors(struct gguf_maker *m, const struct files_change *c)
{
    maybe_tensor(m, c, "token_embd.weight", "Q8_0", VOCAB, HIDDEN);
    for (int layer = 0; layer < LAYERS; layer++) {
        static const struct {
            const char *name, *type;
            uint64_t rows, cols;
        } tensors[] = {
            {"attn_norm", "F32", 1, HIDDEN},         {"attn_q", "F32", HIDDEN, HIDDEN},
            {"attn_k", "Q4_1", HEAD_DIM, HIDDEN},    {"attn_v", "F16", HEAD_DIM, HIDDEN},
            {"attn_output", "BF16", HIDDEN, HIDDEN}, {"ffn_norm", "F32", 1, HIDDEN},
            {"ffn_gate", "Q4_0", FFN, HIDDEN},       {"ffn_up", "Q5_0", FFN, HIDDEN},
            {"ffn_down", "Q5_1", HIDDEN, FFN},
        };
        for (size_t i = 0; i < ARRAY_LEN(tensors); i++) {
            char name[64];
            (void)snprintf(name, sizeof name, "blk.%d.%s.weight", layer, tensors[i].name);
            maybe_tensor(m, c, name, tensors[i].type, tensors[i].rows, tensors[i].cols);
        }
    }
    maybe_tensor(m, c, "output_norm.weight", "F32", 1, HIDDEN);
    maybe_tensor(m, c, "output.weight", "Q8_0", VOCAB, HIDDEN);
    if (c->extra != NULL) {
        maybe_tensor(m, c, c->extra, "F32", 1, HIDDEN);
    }
}

static void put_vocabulary(struct gguf_maker *m, const struct files_change *c)
{
    static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    static const char *const merged[] = {"he", "ll", "hell", "hello", "Ġhello", "ĠĠ"};
    static const char *const merges[] = {"h e", "l l", "he ll", "hell o", "Ġ hello", "Ġ Ġ"};
    static char letters[256][3];
    const char *tokens[VOCAB];
    int32_t types[VOCAB];
    for (size_t i = 0; i < VOCAB; i++) {
        types[i] = i < 3 ? 3 : 1;
        if (i < 3) {
            tokens[i] = special[i];
        } else if (i < 3 + 256) {
            uint8_t byte = (uint8_t)(i - 3);
            letters[byte][bytelevel_encode(&byte, 1, letters[byte])] = '\0';
            tokens[i] = letters[byte];
        } else {
            tokens[i] = merged[i - 3 - 256];
        }
    }
    if (!same(c->omit, "tokenizer.ggml.tokens")) {
        gguf_put_texts(m, "tokenizer.ggml.tokens", tokens, VOCAB);
    }
    gguf_put_i32s(m, "tokenizer.ggml.token_type", types, VOCAB);
    gguf_put_texts(m, "tokenizer.ggml.merges", merges, ARRAY_LEN(merges));
}

void files_tiny_gguf(struct buf *file, const struct files_change *change)
{
    static const struct files_change nothing = {0};
    const struct files_change *c = change == NULL ? &nothing : change;
    struct gguf_maker m;
    gguf_maker_init(&m);
    maybe_text(&m, c, "general.architecture", "llama");
    maybe_u32(&m, c, "llama.block_count", LAYERS);
    maybe_u32(&m, c, "llama.context_length", 128);
    maybe_u32(&m, c, "llama.embedding_length", HIDDEN);
    maybe_u32(&m, c, "llama.feed_forward_length", FFN);
    maybe_u32(&m, c, "llama.attention.head_count", HIDDEN / HEAD_DIM);
    maybe_u32(&m, c, "llama.attention.head_count_kv", 1);
    gguf_put_f32(&m, "llama.rope.freq_base", 5000);
    if (!same(c->omit, "llama.attention.layer_norm_rms_epsilon")) {
        gguf_put_f32(&m, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    }
    maybe_text(&m, c, "tokenizer.ggml.model", "gpt2");
    maybe_text(&m, c, "tokenizer.ggml.pre", "smollm");
    put_vocabulary(&m, c);
    maybe_u32(&m, c, "tokenizer.ggml.bos_token_id", 1);
    maybe_u32(&m, c, "tokenizer.ggml.eos_token_id", 2);
    maybe_u32(&m, c, "tokenizer.ggml.padding_token_id", 2);
    maybe_u32(&m, c, "tokenizer.ggml.unknown_token_id", 0);
    maybe_text(&m, c, "tokenizer.chat_template", FILES_SMOLLM2_TEMPLATE);
    if (c->key != NULL && memmem(m.values.data, m.values.len, c->key, strlen(c->key)) == NULL) {
        gguf_put_u32(&m, c->key, c->value);
    }
    if (c->text_key != NULL &&
        memmem(m.values.data, m.values.len, c->text_key, strlen(c->text_key)) == NULL) {
        gguf_put_text(&m, c->text_key, c->text);
    }
    put_tensors(&m, c);
    gguf_make(&m, file);
    gguf_maker_fini(&m);
}

// ---- the tiny folder ----

const char FILES_SMOLLM2_TEMPLATE[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}";

const char FILES_TOKENIZER_JSON[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
    "{\"id\":0,\"content\":\"<|endoftext|>\",\"special\":true,\"normalized\":false},"
    "{\"id\":1,\"content\":\"<|im_start|>\",\"special\":true,\"normalized\":false},"
    "{\"id\":2,\"content\":\"<|im_end|>\",\"special\":true,\"normalized\":false},"
    "{\"id\":26,\"content\":\"<tool>\",\"special\":false,\"normalized\":false}],"
    "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
    "{\"type\":\"Digits\",\"individual_digits\":true},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]}"
    ","
    "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"vocab\":{"
    "\"<|endoftext|>\":0,\"<|im_start|>\":1,\"<|im_end|>\":2,\"h\":3,\"e\":4,\"l\":5,\"o\":6,\"Ġ\":"
    "7,"
    "\"1\":8,\"2\":9,\"Ã\":10,\"©\":11,\"'\":12,\"s\":13,\"<\":14,\"Ċ\":15,\"he\":16,\"ll\":17,"
    "\"hell\":18,\"hello\":19,\"Ġhello\":20,\"ĠĠ\":21,\"Ã©\":22,\"'s\":23,\"ÿ\":24,\"12\":25},"
    "\"merges\":[\"h e\",\"l l\",\"he ll\",\"hell o\",\"Ġ hello\",\"Ġ Ġ\",\"Ã ©\",\"' s\",\"1 "
    "2\"]}}";

void files_safetensors(struct buf *file, const char *header, size_t zeros)
{
    put_text(file, header, strlen(header));
    put_zeros(file, zeros);
}

static const char folder_config[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\","
    "\"vocab_size\":32,\"hidden_size\":8,\"intermediate_size\":12,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"max_position_embeddings\":64,"
    "\"rms_norm_eps\":1e-06,\"rope_theta\":1000.0,\"tie_word_embeddings\":true,\"bos_token_id\":1,"
    "\"eos_token_id\":2,\"pad_token_id\":2}";

static void put_entry(struct buf *header, struct buf *data, const struct param *p,
                      const struct files_change *c, size_t index)
{
    size_t rows = p->rows + same(c->reshape, p->name), count = rows * p->cols, begin = data->len;
    for (size_t i = 0; i < count; i++) {
        float x = (float)index + (float)i / 64;
        put(data, &x, sizeof x);
    }
    if (same(c->poison, p->name)) {
        uint32_t infinity = 0xFF800000;
        memcpy(data->data + begin + 5 * sizeof infinity, &infinity, sizeof infinity);
    }
    char shape[64];
    if (param_is_vector(p)) {
        (void)snprintf(shape, sizeof shape, "%zu", count);
    } else {
        (void)snprintf(shape, sizeof shape, "%zu,%zu", rows, p->cols);
    }
    assert_int_equal(
        buf_printf(header, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                   header->len == 0 ? '{' : ',', p->name, same(c->type, p->name) ? "I32" : "F32",
                   shape, begin, data->len),
        ERR_OK);
}

static void write_weights(const char *dir, const struct files_change *c)
{
    struct model_config config;
    struct param_table params = {0};
    struct buf header, data, file;
    buf_init(&header, 0);
    buf_init(&data, 0);
    buf_init(&file, 0);
    assert_int_equal(
        model_config_parse(folder_config, sizeof folder_config - 1, "tiny", &config, NULL), ERR_OK);
    assert_int_equal(param_table_create(&config, &params, NULL), ERR_OK);
    for (size_t i = 0; i < params.n; i++) {
        if (!same(c->omit, params.params[i].name)) {
            put_entry(&header, &data, &params.params[i], c, i);
        }
    }
    if (c->extra != NULL) {
        struct param p = params.params[1];
        (void)snprintf(p.name, sizeof p.name, "%s", c->extra);
        put_entry(&header, &data, &p, c, 0);
    }
    put(&header, "}", 1);
    put_text(&file, (const char *)header.data, header.len);
    put(&file, data.data, data.len);
    files_write(dir, "model.safetensors", file.data, file.len);
    param_table_destroy(&params);
    buf_fini(&header);
    buf_fini(&data);
    buf_fini(&file);
}

static void write_text(const char *dir, const char *name, const char *text,
                       const struct files_change *c)
{
    if (!same(c->omit, name)) {
        const char *chosen = same(c->text_key, name) ? c->text : text;
        files_write(dir, name, chosen, strlen(chosen));
    }
}

void files_tiny_folder(const char *dir, const struct files_change *change)
{
    static const struct files_change nothing = {0};
    const struct files_change *c = change == NULL ? &nothing : change;
    if (!same(c->omit, "model.safetensors")) {
        write_weights(dir, c);
    }
    write_text(dir, "config.json", folder_config, c);
    write_text(dir, "tokenizer.json", FILES_TOKENIZER_JSON, c);
    write_text(dir, "tokenizer_config.json",
               "{\"bos_token\":\"<|im_start|>\",\"eos_token\":{\"content\":\"<|im_end|>\"}}", c);
    write_text(dir, "generation_config.json", "{\"eos_token_id\":[2,0]}", c);
    write_text(dir, "chat_template.jinja", FILES_SMOLLM2_TEMPLATE, c);
}

// ---- around tests ----

char *files_temp_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = fs_path("%s/caravan-test-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(dir);
    assert_non_null(mkdtemp(dir));
    return dir;
}

void files_remove(char *dir)
{
    struct why why = {""};
    if (fs_remove_tree(dir, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    free(dir);
}

char *files_path(const char *dir, const char *name)
{
    char *path = fs_path("%s/%s", dir, name);
    assert_non_null(path);
    return path;
}

void files_write(const char *dir, const char *name, const void *data, size_t len)
{
    char *path = files_path(dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    free(path);
}

const char *files_env(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL || value[0] == '\0') {
        print_message("%s is not set\n", name);
        skip();
    }
    return value;
}

void files_each_case(const char *relative, void (*fn)(void *arg, const json_t *line, int number),
                     void *arg)
{
    char *path = files_path(files_env("CARAVAN_REFERENCE"), relative), *text = NULL;
    size_t len = 0;
    struct why why = {""};
    if (fs_read_file(path, (size_t)64 << 20, &text, &len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    int number = 0;
    for (char *line = text; *line != '\0';) {
        char *end = strchr(line, '\n');
        size_t n = end == NULL ? strlen(line) : (size_t)(end - line);
        json_t *value = NULL;
        number++;
        if (json_parse(line, n, relative, &value, &why) != ERR_OK) {
            fail_msg("%s", why.text);
        }
        fn(arg, value, number);
        json_decref(value);
        line += n + (end != NULL);
    }
    assert_true(number > 0);
    free(text);
    free(path);
}
