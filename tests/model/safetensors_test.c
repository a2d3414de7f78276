// safetensors_test.c: the safetensors container and the flat weights files of a run.
//
// The container is small and its header is JSON from outside: lengths, offsets and depths are
// bounded before they are used. Flat files are the run's own weights and must come back bit for
// bit.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "model/safetensors.h"
#include "model/source.h"
#include "tests/model/model_files.h"

static enum err parse(const char *header, size_t zeros, struct why *why)
{
    struct buf file;
    struct safetensors *s = NULL;
    buf_init(&file, 0);
    files_safetensors(&file, header, zeros);
    // Its own allocation, so that a sanitizer sees one byte too many.
    uint8_t *exact = malloc(file.len);
    assert_non_null(exact);
    memcpy(exact, file.data, file.len);
    enum err e = safetensors_parse(exact, file.len, "f", &s, why);
    safetensors_close(s);
    free(exact);
    buf_fini(&file);
    return e;
}

static void tensors_are_found_by_name_with_shape_and_bytes(void **state)
{
    (void)state;
    struct buf file;
    struct safetensors *s = NULL;
    struct why why = {""};
    buf_init(&file, 0);
    files_safetensors(&file,
                      "{\"__metadata__\":{\"format\":\"pt\"},"
                      "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[2,26]},"
                      "\"a\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]}}   ",
                      26);
    if (safetensors_parse(file.data, file.len, "f", &s, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(safetensors_n_tensors(s), 2);
    assert_null(safetensors_find(s, "c"));
    const struct safetensors_tensor *b = safetensors_find(s, "b");
    assert_non_null(b);
    assert_string_equal(b->dtype, "F32");
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->shape[1], 3);
    assert_ptr_equal(b->data, file.data + file.len - 24);
    safetensors_close(s);
    buf_fini(&file);
}

static void headers_that_do_not_describe_the_file_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t zeros;
        const char *says;
        enum err e;
    } cases[] = {
        {"[]", 0, "not a JSON object", ERR_CORRUPT},
        {"{\"a\":", 0, "not valid JSON", ERR_INVALID},
        {"{\"a\":1}", 0, "tensor a: expected an object", ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, "duplicate", ERR_INVALID},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
         "unknown dtype \"F33\"", ERR_UNSUPPORTED},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype is not a string", ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "not a size",
         ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "not a size",
         ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "at most 8", ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4,
         "larger than the file", ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "span 8 bytes",
         ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 8, "lie outside",
         ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 8, "lie outside",
         ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", 8, "lie outside",
         ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "unused bytes",
         ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8,
         "4 bytes after the last", ERR_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, "tensor b: overlaps another tensor", ERR_CORRUPT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {""};
        enum err e = parse(cases[i].header, cases[i].zeros, &why);
        if (e != cases[i].e || strstr(why.text, cases[i].says) == NULL ||
            strncmp(why.text, "f: ", 3) != 0) {
            fail_msg("case %zu: %s: %s", i, err_text(e), why.text);
        }
    }
}

static void header_lengths_are_checked_before_use(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {UINT64_MAX, (uint64_t)1 << 32, 200000000, 99999999, 9};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        uint8_t file[16] = "........{}";
        struct safetensors *s = NULL;
        struct why why = {""};
        memcpy(file, &lengths[i], 8);
        assert_int_not_equal(safetensors_parse(file, sizeof file, "f", &s, &why), ERR_OK);
        assert_non_null(strstr(why.text, "f: a header of"));
    }
    struct safetensors *s = NULL;
    struct why why = {""};
    assert_int_equal(safetensors_parse((const uint8_t *)"1234567", 7, "f", &s, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "too short"));
}

static void a_deep_header_is_refused_before_it_costs_a_stack(void **state)
{
    (void)state;
    char *deep = malloc(100001);
    struct why why = {""};
    assert_non_null(deep);
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    assert_int_equal(parse(deep, 0, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "nested deeper"));
    free(deep);
}

// ---- flat weights ----

struct flat {
    char *dir, *path;
    struct param_table params;
    uint8_t *bytes;
    size_t len;
};

static void flat_init(struct flat *f, enum dtype t)
{
    struct model_config c = {.family = "llama",
                             .vocab = 20,
                             .hidden = 8,
                             .ffn = 12,
                             .layers = 2,
                             .heads = 2,
                             .kv_heads = 1,
                             .head_dim = 4,
                             .max_positions = 16,
                             .rope_theta = 100,
                             .rms_eps = 1e-5f,
                             .bos_id = -1,
                             .pad_id = -1};
    *f = (struct flat){.dir = files_temp_dir()};
    f->path = files_path(f->dir, "v.safetensors");
    assert_int_equal(param_table_create(&c, &f->params, NULL), ERR_OK);
    f->len = f->params.total * dtype_size(t);
    f->bytes = malloc(f->len);
    assert_non_null(f->bytes);
    for (size_t i = 0; i < f->len; i++) {
        f->bytes[i] = (uint8_t)(i * 31 % 113);
    }
}

static void flat_fini(struct flat *f)
{
    param_table_destroy(&f->params);
    free(f->bytes);
    free(f->path);
    files_remove(f->dir);
}

static void flat_weights_come_back_bit_for_bit(void **state)
{
    (void)state;
    for (int t = DTYPE_BF16; t <= DTYPE_F32; t++) {
        struct flat f;
        struct why why = {""};
        flat_init(&f, (enum dtype)t);
        static const char *const metadata[] = {"version", "42", "note", "\"quoted\"\n", NULL};
        if (safetensors_write_flat(f.path, &f.params, (enum dtype)t, f.bytes, metadata, &why) !=
            ERR_OK) {
            fail_msg("%s", why.text);
        }
        uint8_t *back = calloc(1, f.len);
        assert_non_null(back);
        if (safetensors_read_flat(f.path, &f.params, (enum dtype)t, back, &why) != ERR_OK) {
            fail_msg("%s", why.text);
        }
        assert_memory_equal(back, f.bytes, f.len);
        free(back);
        flat_fini(&f);
    }
}

static void equal_weights_give_equal_aligned_files(void **state)
{
    (void)state;
    struct flat f;
    struct why why = {""};
    char *a = NULL, *b = NULL;
    size_t a_len = 0, b_len = 0;
    flat_init(&f, DTYPE_BF16);
    assert_int_equal(safetensors_write_flat(f.path, &f.params, DTYPE_BF16, f.bytes, NULL, &why),
                     ERR_OK);
    assert_int_equal(fs_read_file(f.path, 1 << 20, &a, &a_len, &why), ERR_OK);
    assert_int_equal(safetensors_write_flat(f.path, &f.params, DTYPE_BF16, f.bytes, NULL, &why),
                     ERR_OK);
    assert_int_equal(fs_read_file(f.path, 1 << 20, &b, &b_len, &why), ERR_OK);
    assert_int_equal(a_len, b_len);
    assert_memory_equal(a, b, a_len);
    assert_int_equal((a_len - f.len) % 8, 0);
    free(a);
    free(b);
    flat_fini(&f);
}

static void flat_weights_of_another_model_are_refused(void **state)
{
    (void)state;
    struct flat f;
    struct why why = {""};
    flat_init(&f, DTYPE_BF16);
    assert_int_equal(safetensors_write_flat(f.path, &f.params, DTYPE_BF16, f.bytes, NULL, &why),
                     ERR_OK);
    uint8_t *untouched = calloc(1, f.len);
    uint8_t *flat = calloc(1, f.len * 2);
    assert_non_null(untouched);
    assert_non_null(flat);
    assert_int_equal(safetensors_read_flat(f.path, &f.params, DTYPE_F32, flat, &why), ERR_MISMATCH);
    assert_non_null(strstr(why.text, "dtype BF16, expected F32"));
    f.params.params[2].rows++;
    assert_int_equal(safetensors_read_flat(f.path, &f.params, DTYPE_BF16, flat, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "shape [8, 8], expected [9, 8]"));
    f.params.params[2].rows--;
    f.params.n--;
    assert_int_equal(safetensors_read_flat(f.path, &f.params, DTYPE_BF16, flat, &why), ERR_CORRUPT);
    f.params.n++;
    f.params.params[0].name[0] = 'M';
    assert_int_equal(safetensors_read_flat(f.path, &f.params, DTYPE_BF16, flat, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "is missing"));
    assert_memory_equal(flat, untouched, f.len);
    free(flat);
    free(untouched);
    flat_fini(&f);
}

static void a_flat_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct flat f;
    struct why why = {""};
    char *data = NULL;
    size_t len = 0;
    flat_init(&f, DTYPE_BF16);
    assert_int_equal(safetensors_write_flat(f.path, &f.params, DTYPE_BF16, f.bytes, NULL, &why),
                     ERR_OK);
    assert_int_equal(fs_read_file(f.path, 1 << 20, &data, &len, &why), ERR_OK);
    for (size_t cut = 0; cut < len; cut += 1 + cut / 50) {
        files_write(f.dir, "cut", data, cut);
        char *path = files_path(f.dir, "cut");
        assert_int_not_equal(safetensors_read_flat(path, &f.params, DTYPE_BF16, f.bytes, &why),
                             ERR_OK);
        assert_non_null(strstr(why.text, "cut"));
        free(path);
    }
    free(data);
    flat_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_found_by_name_with_shape_and_bytes),
        cmocka_unit_test(headers_that_do_not_describe_the_file_are_refused),
        cmocka_unit_test(header_lengths_are_checked_before_use),
        cmocka_unit_test(a_deep_header_is_refused_before_it_costs_a_stack),
        cmocka_unit_test(flat_weights_come_back_bit_for_bit),
        cmocka_unit_test(equal_weights_give_equal_aligned_files),
        cmocka_unit_test(flat_weights_of_another_model_are_refused),
        cmocka_unit_test(a_flat_file_cut_anywhere_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
