// export_test.c: the exported folder: what went in comes out, from either format, and nothing old
// is left to mislead a reader.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "model/source.h"
#include "model/tokenizer.h"
#include "tests/model/model_files.h"

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

static void export(struct fixture *f)
{
    if (source_export(f->s, f->out, DTYPE_F32, f->flat, &f->why) != ERR_OK) {
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
    assert_int_equal(source_export(f.s, f.out, DTYPE_BF16, bf16, &f.why), ERR_OK);
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
    assert_int_not_equal(source_export(f.s, under, DTYPE_F32, f.flat, &f.why), ERR_OK);
    assert_non_null(strstr(f.why.text, "file"));
    free(under);
    fini(&f);
}

static void without_a_tokenizer_nothing_is_exported_from_gguf(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, true, &(struct files_change){.omit = "tokenizer.ggml.tokens"});
    assert_int_equal(source_export(f.s, f.out, DTYPE_F32, f.flat, &f.why), ERR_NOT_FOUND);
    assert_non_null(strstr(f.why.text, "tokenizer.ggml.tokens"));
    assert_false(fs_exists(f.out));
    fini(&f);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
