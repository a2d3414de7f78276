// family_files_test.c: every family in both file formats: a folder and a GGUF file of the same tiny
// model give the configuration and the values they were made from, and what is exported reads back.
//
// Names and layouts of the GGUF files are written out here again, as llama.cpp's converter has them,
// rather than taken from the table that is tested.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "model/family.h"
#include "model/source.h"
#include "tests/model/model_files.h"
#include "tests/model/tiny.h"

static void ok(enum err e, const struct why *why)
{
    if (e != ERR_OK) {
        fail_msg("%s: %s", err_text(e), why->text);
    }
}

// What was made is what is read: configuration, and every value.
static void assert_reads_as(const char *path, const struct tiny *t)
{
    struct source *s = NULL;
    struct why why = {""};
    ok(source_open(path, &s, &why), &why);
    assert_memory_equal(source_config(s), &t->config, sizeof t->config);
    assert_int_equal(source_params(s)->n, t->params.n);
    for (size_t i = 0; i < t->params.n; i++) {
        const struct param *p = &t->params.params[i];
        assert_string_equal(source_params(s)->params[i].name, p->name);
        float *x = malloc(p->count * sizeof *x);
        assert_non_null(x);
        ok(source_read(s, i, x, &why), &why);
        if (memcmp(x, t->masters + p->offset, p->count * sizeof *x) != 0) {
            fail_msg("%s: %s was not read as it was written", path, p->name);
        }
        free(x);
    }
    source_close(s);
}

// ---- folders ----

static void check_folder(const struct tiny_variant *v, bool tied)
{
    struct tiny t;
    struct why why = {""};
    char *dir = files_temp_dir(), *out = files_path(dir, "out");
    char *weights = files_path(dir, "model.safetensors");
    tiny_init_as(&t, v, tied, DTYPE_F32, 11);
    char *config = model_config_print(&t.config, DTYPE_F32);
    assert_non_null(config);
    files_write(dir, "config.json", config, strlen(config));
    ok(safetensors_write_flat(weights, &t.params, DTYPE_F32, t.blob, NULL, &why), &why);
    assert_reads_as(dir, &t);
    struct source *s = NULL;
    ok(source_open(dir, &s, &why), &why);
    const struct export_options o = {.type = "F32", .flat = t.blob, .flat_dtype = DTYPE_F32};
    ok(source_export(s, out, &o, &why), &why);
    source_close(s);
    assert_reads_as(out, &t);
    free(config);
    free(weights);
    free(out);
    files_remove(dir);
    tiny_fini(&t);
}

static void a_folder_of_every_family_reads_and_exports_as_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        print_message("%s\n", tiny_variants[i].label);
        check_folder(&tiny_variants[i], i % 2 == 0);
    }
}

// ---- GGUF ----

struct change {
    const char *key;    // this key below the architecture's name is `value`
    uint32_t value;
    const char *omit;     // no tensor of this name
    const char *extra;    // one more tensor of this name, of head_dim / 2 ones
    const char *arch;     // another architecture
    float divisor;        // the last of rope_freqs.weight
};

static void gguf_name(const struct param *p, char out[64])
{
    static const char *const names[PARAM_KINDS] = {
        [PARAM_EMBED] = "token_embd.weight",   [PARAM_FINAL_NORM] = "output_norm.weight",
        [PARAM_HEAD] = "output.weight",        [PARAM_ATTN_NORM] = "attn_norm.weight",
        [PARAM_Q] = "attn_q.weight",           [PARAM_K] = "attn_k.weight",
        [PARAM_V] = "attn_v.weight",           [PARAM_Q_BIAS] = "attn_q.bias",
        [PARAM_K_BIAS] = "attn_k.bias",        [PARAM_V_BIAS] = "attn_v.bias",
        [PARAM_Q_NORM] = "attn_q_norm.weight", [PARAM_K_NORM] = "attn_k_norm.weight",
        [PARAM_O] = "attn_output.weight",      [PARAM_FFN_NORM] = "ffn_norm.weight",
        [PARAM_GATE] = "ffn_gate.weight",      [PARAM_UP] = "ffn_up.weight",
        [PARAM_DOWN] = "ffn_down.weight",
    };
    const char *name = names[p->kind];
    if (strstr(p->name, "post_feedforward_layernorm") != NULL) {
        name = "post_ffw_norm.weight";
    } else if (p->kind == PARAM_ATTN_NORM && strstr(p->name, "post_attention") != NULL) {
        name = "post_attention_norm.weight";
    }
    if (p->layer < 0) {
        snprintf(out, 64, "%s", name);
    } else {
        snprintf(out, 64, "blk.%d.%s", p->layer, name);
    }
}

// Row 2j + s of a head is row s * D / 2 + j of the folder's.
static float *interleaved(const struct param *p, const float *x, size_t D)
{
    float *out = malloc(p->count * sizeof *out);
    assert_non_null(out);
    for (size_t r = 0; r < p->rows; r++) {
        size_t within = r % D, from = r - within + within % 2 * (D / 2) + within / 2;
        memcpy(out + r * p->cols, x + from * p->cols, p->cols * sizeof *out);
    }
    return out;
}

static void put_tensors(struct gguf_maker *m, const struct tiny *t, bool rotary_order,
                        const struct change *c)
{
    size_t D = (size_t)t->config.head_dim;
    for (size_t i = 0; i < t->params.n; i++) {
        const struct param *p = &t->params.params[i];
        const float *x = t->masters + p->offset;
        char name[64];
        gguf_name(p, name);
        if (c->omit != NULL && strcmp(c->omit, name) == 0) {
            continue;
        }
        bool turn = rotary_order && (p->kind == PARAM_Q || p->kind == PARAM_K);
        float *turned = turn ? interleaved(p, x, D) : NULL;
        const uint64_t dims[] = {p->cols, p->rows};
        gguf_put_tensor(m, name, 0, p->rows == 1 ? 1 : 2, dims, turn ? turned : x,
                        p->count * sizeof *x);
        free(turned);
    }
    float ones[3] = {1, 1, 1};
    const uint64_t half = D / 2;
    assert_int_equal(half, ARRAY_LEN(ones));
    if (c->extra != NULL) {
        gguf_put_tensor(m, c->extra, 0, 1, &half, ones, sizeof ones);
    }
    if (t->config.rope.type == ROPE_LLAMA3) {    // 6, 63, 628 positions of 64: kept, between, all
        double periods = 64 * pow(1000, -2.0 / 6) / (2 * acos(-1));
        double smooth = (periods - 1) / 3;
        ones[1] = (float)(1 / ((1 - smooth) / 8 + smooth));
        ones[2] = c->divisor > 0 ? c->divisor : 8;
        gguf_put_tensor(m, "rope_freqs.weight", 0, 1, &half, ones, sizeof ones);
    }
}

static void put_u32(struct gguf_maker *m, const char *arch, const char *key, uint32_t value,
                    const struct change *c)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    if (c->key == NULL || strcmp(c->key, key) != 0) {
        gguf_put_u32(m, full, value);
    }
}

static void make_gguf(const struct tiny *t, const struct change *c, const char *dir)
{
    struct gguf_maker m;
    struct buf file;
    const struct model_config *k = &t->config;
    const char *arch = strcmp(k->family, "mistral") == 0 ? "llama" : k->family;
    char key[96];
    gguf_maker_init(&m);
    buf_init(&file, 0);
    gguf_put_text(&m, "general.architecture", c->arch != NULL ? c->arch : arch);
    put_u32(&m, arch, "block_count", (uint32_t)k->layers, c);
    put_u32(&m, arch, "context_length", (uint32_t)k->max_positions, c);
    put_u32(&m, arch, "embedding_length", (uint32_t)k->hidden, c);
    put_u32(&m, arch, "feed_forward_length", (uint32_t)k->ffn, c);
    put_u32(&m, arch, "attention.head_count", (uint32_t)k->heads, c);
    put_u32(&m, arch, "attention.head_count_kv", (uint32_t)k->kv_heads, c);
    put_u32(&m, arch, "attention.key_length", (uint32_t)k->head_dim, c);
    put_u32(&m, arch, "attention.value_length", (uint32_t)k->head_dim, c);
    if (k->window > 0 && k->window_from == 0) {
        put_u32(&m, arch, "attention.sliding_window", (uint32_t)k->window, c);
    }
    if (k->rope.type == ROPE_LLAMA3) {
        put_u32(&m, arch, "rope.scaling.original_context_length",
                (uint32_t)k->rope.original_positions, c);
    }
    if (c->key != NULL) {
        snprintf(key, sizeof key, "%s.%s", arch, c->key);
        gguf_put_u32(&m, key, c->value);
    }
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    gguf_put_f32(&m, key, k->rope_theta);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    gguf_put_f32(&m, key, k->rms_eps);
    put_tensors(&m, t, strcmp(arch, "llama") == 0, c);
    gguf_make(&m, &file);
    files_write(dir, "m.gguf", file.data, file.len);
    buf_fini(&file);
    gguf_maker_fini(&m);
}

static void check_gguf(const struct tiny_variant *v, bool tied)
{
    struct tiny t;
    char *dir = files_temp_dir(), *path = files_path(dir, "m.gguf");
    tiny_init_as(&t, v, tied, DTYPE_F32, 12);
    make_gguf(&t, &(struct change){0}, dir);
    assert_reads_as(path, &t);
    free(path);
    files_remove(dir);
    tiny_fini(&t);
}

static void a_gguf_file_of_every_family_reads_as_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < TINY_VARIANTS; i++) {
        if (tiny_variants[i].window_from == 0) {    // GGUF has no word for windows in some layers
            print_message("%s\n", tiny_variants[i].label);
            check_gguf(&tiny_variants[i], i % 2 == 1);
        }
    }
}

// A key, a tensor or a divisor that means other maths must not be passed over.
static void what_a_gguf_file_has_in_excess_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        size_t variant;
        struct change change;
        enum err e;
        const char *named;
    } cases[] = {
        {0, {.arch = "gemma2"}, ERR_UNSUPPORTED, "\"gemma2\" is not supported; supported: llama,"},
        {0, {.extra = "blk.0.attn_q.bias"}, ERR_UNSUPPORTED, "tensor blk.0.attn_q.bias"},
        {0, {.extra = "rope_factors_long.weight"}, ERR_UNSUPPORTED, "rope_factors_long.weight"},
        {1, {.divisor = 7}, ERR_UNSUPPORTED, "rope_freqs.weight: element 1 is"},
        {1, {.divisor = 0.5f}, ERR_CORRUPT, "rope_freqs.weight: element 2 is 0.5"},
        {1,
         {.key = "rope.scaling.original_context_length", .value = 4096},
         ERR_UNSUPPORTED,
         "rope_freqs.weight: element 1"},
        {1,
         {.key = "attention.key_length", .value = 1 << 20},
         ERR_CORRUPT,
         "attention.value_length"},
        {2, {.key = "attention.sliding_window", .value = 1u << 30}, ERR_INVALID, "sliding_window"},
        {3, {.omit = "blk.1.attn_k.bias"}, ERR_CORRUPT, "tensor blk.1.attn_k.bias is missing"},
        {3,
         {.key = "attention.sliding_window", .value = 4},
         ERR_UNSUPPORTED,
         "key qwen2.attention.sliding_window: 4 is not supported, only 0 is"},
        {5, {.omit = "blk.0.attn_q_norm.weight"}, ERR_CORRUPT, "attn_q_norm.weight is missing"},
        {5, {.key = "expert_count", .value = 8}, ERR_UNSUPPORTED, "qwen3.expert_count: 8"},
        {6, {.omit = "blk.1.post_ffw_norm.weight"}, ERR_CORRUPT, "post_ffw_norm.weight is missing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tiny t;
        struct why why = {""};
        struct source *s = NULL;
        char *dir = files_temp_dir(), *path = files_path(dir, "m.gguf");
        tiny_init_as(&t, &tiny_variants[cases[i].variant], true, DTYPE_F32, 12);
        make_gguf(&t, &cases[i].change, dir);
        enum err e = source_open(path, &s, &why);
        if (e != cases[i].e || strstr(why.text, cases[i].named) == NULL) {
            fail_msg("case %zu: %s: %s", i, err_text(e), why.text);
        }
        assert_null(s);
        free(path);
        files_remove(dir);
        tiny_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_of_every_family_reads_and_exports_as_it_is),
        cmocka_unit_test(a_gguf_file_of_every_family_reads_as_it_is),
        cmocka_unit_test(what_a_gguf_file_has_in_excess_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
