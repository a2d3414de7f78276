// stream_test.c: tensors out of a source by rows and as a stream, whatever the format, the type and
// the number of threads; and source_check, which looks at all of it.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/pool.h"
#include "common/rng.h"
#include "model/quant.h"
#include "model/source.h"
#include "tests/model/model_files.h"

static char *make_model(const char *dir, bool gguf, const struct files_change *change)
{
    char *path = files_path(dir, gguf ? "m.gguf" : "m");
    struct why why = {""};
    if (gguf) {
        struct buf file;
        buf_init(&file, 0);
        files_tiny_gguf(&file, change);
        files_write(dir, "m.gguf", file.data, file.len);
        buf_fini(&file);
    } else {
        assert_int_equal(fs_make_dirs(path, &why), ERR_OK);
        files_tiny_folder(path, change);
    }
    return path;
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

// All values, tensor by tensor.
static float *read_all(const struct source *s)
{
    const struct param_table *p = source_params(s);
    struct why why = {""};
    float *flat = malloc(p->total * sizeof *flat);
    assert_non_null(flat);
    for (size_t i = 0; i < p->n; i++) {
        if (source_read(s, i, flat + p->params[i].offset, &why) != ERR_OK) {
            fail_msg("%s", why.text);
        }
    }
    return flat;
}

static enum err append(void *arg, const void *bytes, size_t len, struct why *why)
{
    (void)why;
    return buf_append(arg, bytes, len);
}

// ---- the stream ----

static void expect_stream(const struct source *s, enum dtype t, struct pool *pool)
{
    struct buf got;
    struct why why = {""};
    float *want = read_all(s);
    size_t n = source_params(s)->total;
    buf_init(&got, 0);
    if (source_stream(s, t, pool, append, &got, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(got.len, n * dtype_size(t));
    for (size_t i = 0; i < n; i++) {
        uint16_t narrow = bf16_from_f32(want[i]);
        const void *expected = t == DTYPE_BF16 ? (const void *)&narrow : (const void *)&want[i];
        if (memcmp(got.data + i * dtype_size(t), expected, dtype_size(t)) != 0) {
            fail_msg("value %zu differs", i);
        }
    }
    free(want);
    buf_fini(&got);
}

// The learner starts from this blob, and its hash names the version: threads must not change it.
static void the_stream_is_all_tensors_in_table_order(void **state)
{
    (void)state;
    struct pool *pool = NULL;
    assert_int_equal(pool_create(3, &pool, NULL), ERR_OK);
    for (int gguf = 0; gguf < 2; gguf++) {
        char *dir = files_temp_dir(), *path = make_model(dir, gguf, NULL);
        struct source *s = open_model(path);
        expect_stream(s, DTYPE_F32, NULL);
        expect_stream(s, DTYPE_F32, pool);
        expect_stream(s, DTYPE_BF16, NULL);
        expect_stream(s, DTYPE_BF16, pool);
        source_close(s);
        free(path);
        files_remove(dir);
    }
    pool_destroy(pool);
}

// Pages are dropped behind the stream; a second reader must find the same values.
static void a_source_can_be_streamed_again(void **state)
{
    (void)state;
    char *dir = files_temp_dir(), *path = make_model(dir, false, NULL);
    struct source *s = open_model(path);
    expect_stream(s, DTYPE_F32, NULL);
    expect_stream(s, DTYPE_F32, NULL);
    source_close(s);
    free(path);
    files_remove(dir);
}

static enum err stop_at_third(void *arg, const void *bytes, size_t len, struct why *why)
{
    (void)bytes;
    (void)len;
    return ++*(int *)arg == 3 ? why_set(why, ERR_CANCELLED, "enough") : ERR_OK;
}

static void a_sink_that_fails_ends_the_stream(void **state)
{
    (void)state;
    char *dir = files_temp_dir(), *path = make_model(dir, false, NULL);
    struct source *s = open_model(path);
    struct why why = {""};
    int calls = 0;
    assert_int_equal(source_stream(s, DTYPE_F32, NULL, stop_at_third, &calls, &why), ERR_CANCELLED);
    assert_string_equal(why.text, "enough");
    assert_int_equal(calls, 3);
    source_close(s);
    free(path);
    files_remove(dir);
}

// Of the same type as asked for or not: nothing passes unseen.
static void the_stream_names_what_is_not_finite(void **state)
{
    (void)state;
    static const struct {
        bool gguf;
        enum dtype t;
        const char *poison, *says;
    } cases[] = {
        {false, DTYPE_F32, "model.layers.0.mlp.up_proj.weight",
         "m/model.safetensors: tensor model.layers.0.mlp.up_proj.weight: element [0, 5] is "
         "infinite"},
        {false, DTYPE_BF16, "model.norm.weight", "tensor model.norm.weight: element [0, 5] is inf"},
        {true, DTYPE_F32, "blk.1.attn_q.weight", "q_proj.weight: element [0, 5] is NaN"},
        {true, DTYPE_BF16, "output_norm.weight",
         "m.gguf: tensor model.norm.weight: element [0, 5]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *dir = files_temp_dir();
        char *path =
            make_model(dir, cases[i].gguf, &(struct files_change){.poison = cases[i].poison});
        struct source *s = open_model(path);
        struct buf got;
        struct why why = {""};
        buf_init(&got, 0);
        assert_int_equal(source_stream(s, cases[i].t, NULL, append, &got, &why), ERR_CORRUPT);
        if (strstr(why.text, cases[i].says) == NULL) {
            fail_msg("case %zu: %s", i, why.text);
        }
        buf_fini(&got);
        source_close(s);
        free(path);
        files_remove(dir);
    }
}

// ---- rows ----

static void rows_are_those_of_the_tensor_in_every_type(void **state)
{
    (void)state;
    static const char *const types[] = {"F32", "F16", "BF16"};
    char *dir = files_temp_dir(), *path = make_model(dir, true, NULL);
    struct source *s = open_model(path);
    const struct param_table *p = source_params(s);
    struct why why = {""};
    float *all = read_all(s);
    for (size_t i = 0; i < p->n; i++) {
        const struct param *t = &p->params[i];
        size_t first = t->rows / 3, n = t->rows - first;
        for (size_t k = 0; k < ARRAY_LEN(types); k++) {
            const struct quant *q = quant_by_name(types[k]);
            uint8_t *got = malloc(n * t->cols * 4), *want = malloc(n * t->cols * 4);
            assert_true(got != NULL && want != NULL);
            assert_int_equal(source_rows(s, i, first, n, q, got, &why), ERR_OK);
            q->write(all + t->offset + first * t->cols, n * t->cols, want);
            assert_memory_equal(got, want, n * t->cols * q->block_bytes);
            free(got);
            free(want);
        }
    }
    free(all);
    source_close(s);
    free(path);
    files_remove(dir);
}

// ---- blocks of 256 ----

// Random blocks; the scales, which are the halves at `at`, are small.
static void put_blocks(struct gguf_maker *m, const char *name, const struct param *p,
                       const struct quant *q, size_t at, struct buf *raw)
{
    static const uint16_t scale = 0x1400;    // 2^-10
    struct rng r = rng_make(7, p->offset);
    size_t bytes = p->count / q->block * q->block_bytes;
    buf_init(raw, 0);
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)rng_u32(&r);
        assert_int_equal(buf_append(raw, &byte, 1), ERR_OK);
    }
    for (size_t b = 0; q->block > 1 && b < bytes; b += q->block_bytes) {
        memcpy(raw->data + b + at, &scale, 2);
        memcpy(raw->data + b + (at == 0 ? 2 : at), &scale, 2);
    }
    for (size_t i = 0; q->block == 1 && i < bytes; i += 4) {
        memcpy(raw->data + i, &(float){1}, 4);
    }
    const uint64_t dims[] = {p->cols, p->rows};
    gguf_put_tensor(m, name, q->ggml_id, p->rows == 1 ? 1 : 2, dims, raw->data, raw->len);
}

static void put_keys(struct gguf_maker *m, const struct model_config *c)
{
    gguf_put_text(m, "general.architecture", "llama");
    gguf_put_u32(m, "llama.block_count", (uint32_t)c->layers);
    gguf_put_u32(m, "llama.context_length", (uint32_t)c->max_positions);
    gguf_put_u32(m, "llama.embedding_length", (uint32_t)c->hidden);
    gguf_put_u32(m, "llama.feed_forward_length", (uint32_t)c->ffn);
    gguf_put_u32(m, "llama.attention.head_count", (uint32_t)c->heads);
    gguf_put_f32(m, "llama.attention.layer_norm_rms_epsilon", c->rms_eps);
}

// The row of the folder's order that a file's row r is, for q and k.
static size_t turned(const struct param *p, size_t r, size_t D)
{
    bool turns = p->kind == PARAM_Q || p->kind == PARAM_K;
    return turns ? r / D * D + r % 2 * (D / 2) + r % D / 2 : r;
}

static void k_quants_are_read_row_by_row(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        size_t at;
    } types[] = {{"Q4_K", 0}, {"Q5_K", 0}, {"Q6_K", 208}};
    const struct model_config c = {.family = "llama",
                                   .vocab = 3,
                                   .hidden = 256,
                                   .ffn = 512,
                                   .layers = 1,
                                   .heads = 4,
                                   .kv_heads = 4,
                                   .head_dim = 64,
                                   .max_positions = 16,
                                   .rope_theta = 10000,
                                   .rms_eps = 1e-5f,
                                   .tied = true,
                                   .bos_id = -1,
                                   .pad_id = -1};
    struct param_table p = {0};
    struct gguf_maker m;
    struct buf raw[16], file;
    assert_int_equal(param_table_create(&c, &p, NULL), ERR_OK);
    assert_true(p.n <= ARRAY_LEN(raw));
    gguf_maker_init(&m);
    put_keys(&m, &c);
    for (size_t i = 0; i < p.n; i++) {
        const struct param *x = &p.params[i];
        size_t k = i % ARRAY_LEN(types);
        put_blocks(&m, x->gguf, x, quant_by_name(x->vector ? "F32" : types[k].type), types[k].at,
                   &raw[i]);
    }
    buf_init(&file, 0);
    gguf_make(&m, &file);
    char *dir = files_temp_dir(), *path = files_path(dir, "k.gguf");
    files_write(dir, "k.gguf", file.data, file.len);
    struct source *s = open_model(path);
    float *all = read_all(s);
    for (size_t i = 0; i < p.n; i++) {
        const struct param *x = &p.params[i];
        const struct quant *q = quant_by_name(x->vector ? "F32" : types[i % 3].type);
        size_t blocks = x->cols / q->block;
        for (size_t r = 0; r < x->rows; r++) {
            float want[512];
            q->read(raw[i].data + r * blocks * q->block_bytes, blocks, want);
            assert_memory_equal(all + x->offset + turned(x, r, 64) * x->cols, want,
                                x->cols * sizeof *want);
        }
        buf_fini(&raw[i]);
    }
    expect_stream(s, DTYPE_BF16, NULL);
    source_close(s);
    free(all);
    free(path);
    files_remove(dir);
    buf_fini(&file);
    gguf_maker_fini(&m);
    param_table_destroy(&p);
}

// ---- source_check ----

static void collect(void *arg, const char *text)
{
    assert_int_equal(buf_printf(arg, "%s\n", text), ERR_OK);
}

static struct source_findings check(const char *path, struct buf *problems)
{
    struct source_findings f = {0};
    struct why why = {""};
    buf_init(problems, 0);
    if (source_check(path, NULL, collect, problems, &f, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(buf_append(problems, "", 1), ERR_OK);
    return f;
}

static void a_good_model_has_no_problems(void **state)
{
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        char *dir = files_temp_dir(), *path = make_model(dir, gguf, NULL);
        struct source *s = open_model(path);
        struct buf problems;
        struct source_findings f = check(path, &problems);
        assert_string_equal((const char *)problems.data, "");
        assert_int_equal(f.n_problems, 0);
        assert_int_equal(f.n_tensors, source_params(s)->n);
        assert_int_equal(f.n_values, source_params(s)->total);
        buf_fini(&problems);
        source_close(s);
        free(path);
        files_remove(dir);
    }
}

// One wrong thing must not hide the next.
static void every_problem_has_its_line(void **state)
{
    (void)state;
    static const struct {
        bool gguf;
        struct files_change change;
        const char *lines[6];
    } cases[] = {
        {false,
         {.omit = "model.norm.weight",
          .reshape = "model.layers.0.mlp.up_proj.weight",
          .poison = "model.layers.0.self_attn.v_proj.weight",
          .extra = "model.layers.0.self_attn.q_proj.bias",
          .type = "model.layers.0.self_attn.o_proj.weight",
          .text_key = "tokenizer.json",
          .text = "{"},
         {"model.norm.weight is missing", "up_proj.weight: shape [13, 8], expected [12, 8]",
          "v_proj.weight: element [0, 5] is inf", "q_proj.bias is not part of",
          "o_proj.weight: dtype I32 cannot be read", "tokenizer.json"}},
        {true,
         {.omit = "blk.0.attn_k.weight",
          .reshape = "blk.1.ffn_up.weight",
          .poison = "output_norm.weight",
          .extra = "blk.0.attn_q.bias",
          .text_key = "tokenizer.ggml.model",
          .text = "rwkv"},
         {"blk.0.attn_k.weight is missing", "blk.1.ffn_up.weight: dimensions [32, 65, 1, 1]",
          "model.norm.weight: element [0, 5] is NaN", "blk.0.attn_q.bias is not part of",
          "tokenizer.ggml.model: \"rwkv\" is not supported", NULL}},
        {false, {.text_key = "config.json", .text = "{}"}, {"model_type"}},
        {false, {.omit = "model.safetensors"}, {"neither model.safetensors nor"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *dir = files_temp_dir(), *path = make_model(dir, cases[i].gguf, &cases[i].change);
        struct buf problems;
        struct source_findings f = check(path, &problems);
        size_t n = 0;
        while (n < ARRAY_LEN(cases[i].lines) && cases[i].lines[n] != NULL) {
            if (strstr((const char *)problems.data, cases[i].lines[n]) == NULL) {
                fail_msg("case %zu: no \"%s\" in\n%s", i, cases[i].lines[n],
                         (const char *)problems.data);
            }
            n++;
        }
        if (f.n_problems != n) {
            fail_msg("case %zu: %zu problems\n%s", i, f.n_problems, (const char *)problems.data);
        }
        buf_fini(&problems);
        free(path);
        files_remove(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stream_is_all_tensors_in_table_order),
        cmocka_unit_test(a_source_can_be_streamed_again),
        cmocka_unit_test(a_sink_that_fails_ends_the_stream),
        cmocka_unit_test(the_stream_names_what_is_not_finite),
        cmocka_unit_test(rows_are_those_of_the_tensor_in_every_type),
        cmocka_unit_test(k_quants_are_read_row_by_row),
        cmocka_unit_test(a_good_model_has_no_problems),
        cmocka_unit_test(every_problem_has_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
