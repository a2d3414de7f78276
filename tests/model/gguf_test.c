// gguf_test.c: the GGUF container and the number formats. Files are made in memory: a stranger's
// file may lie about every count in it, and each lie must be answered with a sentence.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/gguf.h"
#include "tests/model/model_files.h"

static void metadata_of_every_kind_is_read_back(void **state)
{
    (void)state;
    struct gguf_maker m;
    struct buf file;
    struct gguf *g = NULL;
    struct why why = {""};
    gguf_maker_init(&m);
    buf_init(&file, 0);
    const char *const words[] = {"a", "", "ccc"};
    const int8_t minus = -7;
    gguf_put_u32(&m, "n", 42);
    gguf_put_raw(&m, "minus", GGUF_I8, &minus, 1);
    gguf_put_f32(&m, "x", 0.25f);
    gguf_put_text(&m, "name", "tiny");
    gguf_put_texts(&m, "words", words, 3);
    gguf_make(&m, &file);
    if (gguf_parse(file.data, file.len, "t", &g, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    int64_t n = 0;
    double x = 0;
    struct gguf_text text;
    assert_int_equal(gguf_get_int(g, "n", 0, 100, &n, &why), ERR_OK);
    assert_int_equal(n, 42);
    assert_int_equal(gguf_get_int(g, "minus", -10, 100, &n, &why), ERR_OK);
    assert_int_equal(n, -7);
    assert_int_equal(gguf_get_num(g, "x", &x, &why), ERR_OK);
    assert_true(x == 0.25);
    assert_int_equal(gguf_get_text(g, "name", &text, &why), ERR_OK);
    assert_int_equal(text.len, 4);
    const struct gguf_value *v = NULL;
    assert_int_equal(gguf_get_array(g, "words", GGUF_STRING, &v, &why), ERR_OK);
    assert_int_equal(v->count, 3);
    size_t pos = 0;
    for (size_t i = 0; i < 3; i++) {
        text = gguf_next_text(v, &pos);
        assert_int_equal(text.len, strlen(words[i]));
    }
    assert_int_equal(gguf_get_int(g, "n", 0, 10, &n, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "t: key n: 42 is not in 0..10"));
    assert_int_equal(gguf_get_int(g, "name", 0, 10, &n, &why), ERR_CORRUPT);
    assert_int_equal(gguf_get_int(g, "absent", 0, 10, &n, &why), ERR_NOT_FOUND);
    gguf_close(g);
    buf_fini(&file);
    gguf_maker_fini(&m);
}

// Every prefix of a file is a truncated file: none may be read past its end, none may be accepted.
static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct buf file;
    buf_init(&file, 0);
    files_tiny_gguf(&file, NULL);
    size_t end = file.len - 31;    // the last tensor is followed by padding
    for (size_t len = 0; len < end; len += len < 6000 ? 1 : 97) {
        // Its own allocation, so that a sanitizer sees one byte too many.
        uint8_t *cut = malloc(len + 1);
        struct gguf *g = NULL;
        struct why why = {""};
        assert_non_null(cut);
        memcpy(cut, file.data, len);
        if (gguf_parse(cut, len, "cut", &g, &why) == ERR_OK) {
            fail_msg("a file cut at %zu of %zu was accepted", len, file.len);
        }
        assert_non_null(strstr(why.text, "cut"));
        free(cut);
    }
    buf_fini(&file);
}

// A header as numbers: magic, version, counts; then `rest`.
struct raw {
    const char *rest;
    size_t len;
    uint64_t n_tensors, n_values;
    uint32_t version;
    const char *says;
    enum err e;
};

#define REST(text) text, sizeof text - 1

static void lying_headers_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct raw cases[] = {
        {REST(""), 0, 0, 2, "GGUF version 2, expected 3", ERR_VERSION},
        {REST(""), 0, 0, 0x03000000, "big-endian", ERR_UNSUPPORTED},
        {REST(""), UINT64_MAX, 0, 3, "at most 65536", ERR_LIMIT},
        {REST(""), 0, 60000, 3, "60000 metadata entries do not fit", ERR_CORRUPT},
        {REST("\xff\xff\xff\xff\xff\xff\xff\xff|more text here"), 0, 1, 3, "a metadata key",
         ERR_CORRUPT},
        {REST("\x01\0\0\0\0\0\0\0k\x0d\0\0\0"), 0, 1, 3, "value type 13 is not in 0..12",
         ERR_CORRUPT},
        {REST("\x01\0\0\0\0\0\0\0k\x09\0\0\0\x09\0\0\0\x01\0\0\0\0\0\0\0"), 0, 1, 3,
         "array of arrays", ERR_UNSUPPORTED},
        {REST("\x01\0\0\0\0\0\0\0k\x09\0\0\0\x0a\0\0\0\xff\xff\xff\xff\xff\xff\xff\x1f"), 0, 1, 3,
         "values of u64 do not fit", ERR_CORRUPT},
        {REST("\x01\0\0\0\0\0\0\0k\x09\0\0\0\x08\0\0\0\xff\xff\xff\xff\xff\xff\xff\x1f"), 0, 1, 3,
         "a string", ERR_CORRUPT},
        {REST("\x01\0\0\0\0\0\0\0k\0\0\0\0\x05\x01\0\0\0\0\0\0\0k\0\0\0\0\x05"), 0, 2, 3,
         "key k appears twice", ERR_CORRUPT},
        {REST("\x01\0\0\0\0\0\0\0t\x09\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0"), 1, 0, 3,
         "tensor t: 9 dimensions, expected 1..4", ERR_CORRUPT},
        {REST("\x01\0\0\0\0\0\0\0t\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), 1, 0, 3, "dimension 0 is 0",
         ERR_CORRUPT},
        {REST("\x01\0\0\0\0\0\0\0t\x01\0\0\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0\0\0\0\0"), 1, 0, 3,
         "no more than the file could hold", ERR_CORRUPT},
        {REST("\x01\0\0\0\0\0\0\0t\x01\0\0\0\x20\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0"), 1, 0, 3,
         "type 10 (Q2_K) cannot be read; supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, "
         "Q5_1, "
         "Q4_K, Q5_K, Q6_K",
         ERR_UNSUPPORTED},
        {REST("\x01\0\0\0\0\0\0\0t\x01\0\0\0\x21\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0"), 1, 0, 3,
         "rows of 33 elements are not whole blocks of 32 (Q8_0)", ERR_CORRUPT},
        {REST("\x01\0\0\0\0\0\0\0t\x01\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), 1, 0, 3,
         "lie outside the 0 bytes of tensor data", ERR_CORRUPT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf file;
        struct gguf *g = NULL;
        struct why why = {""};
        buf_init(&file, 0);
        assert_int_equal(buf_append(&file, "GGUF", 4), ERR_OK);
        assert_int_equal(buf_append(&file, &cases[i].version, 4), ERR_OK);
        assert_int_equal(buf_append(&file, &cases[i].n_tensors, 8), ERR_OK);
        assert_int_equal(buf_append(&file, &cases[i].n_values, 8), ERR_OK);
        assert_int_equal(buf_append(&file, cases[i].rest, cases[i].len), ERR_OK);
        enum err e = gguf_parse(file.data, file.len, "f.gguf", &g, &why);
        if (e != cases[i].e || strstr(why.text, "f.gguf") == NULL ||
            strstr(why.text, cases[i].says) == NULL) {
            fail_msg("case %zu: %s: %s", i, err_text(e), why.text);
        }
        buf_fini(&file);
    }
}

static void expect_tensors(void (*fill)(struct gguf_maker *), const char *says)
{
    struct gguf_maker m;
    struct buf file;
    struct gguf *g = NULL;
    struct why why = {""};
    gguf_maker_init(&m);
    buf_init(&file, 0);
    fill(&m);
    gguf_make(&m, &file);
    enum err e = gguf_parse(file.data, file.len, "f", &g, &why);
    if (e != ERR_CORRUPT || strstr(why.text, says) == NULL) {
        fail_msg("%s: \"%s\", expected \"%s\"", err_text(e), why.text, says);
    }
    buf_fini(&file);
    gguf_maker_fini(&m);
}

static const uint64_t eight[1] = {8};
static const float zeros[8];

static void twice(struct gguf_maker *m)
{
    gguf_put_tensor(m, "t", 0, 1, eight, zeros, sizeof zeros);
    gguf_put_tensor(m, "t", 0, 1, eight, zeros, sizeof zeros);
}

static void overlapping(struct gguf_maker *m)
{
    gguf_put_tensor(m, "a", 0, 1, eight, zeros, sizeof zeros);
    gguf_put_tensor(m, "b", 0, 1, eight, zeros, sizeof zeros);
    memset(m->infos.data + m->infos.len - 8, 0, 8);    // offset of b
}

static void misaligned(struct gguf_maker *m)
{
    gguf_put_tensor(m, "a", 0, 1, eight, zeros, sizeof zeros);
    gguf_put_tensor(m, "b", 0, 1, eight, zeros, sizeof zeros);
    gguf_put_tensor(m, "c", 0, 1, eight, zeros, sizeof zeros);
    m->infos.data[m->infos.len - 8] = 36;
}

static void odd_alignment(struct gguf_maker *m)
{
    gguf_put_u32(m, "general.alignment", 24);
}

static void no_alignment(struct gguf_maker *m)
{
    gguf_put_u32(m, "general.alignment", 0);
}

static void tensors_that_share_or_shift_bytes_are_refused(void **state)
{
    (void)state;
    expect_tensors(twice, "tensor t appears twice");
    expect_tensors(overlapping, "overlaps");
    expect_tensors(misaligned, "tensor c: offset 36 is not a multiple of 32");
    expect_tensors(odd_alignment, "general.alignment: 24 is not a power of two");
    expect_tensors(no_alignment, "general.alignment: 0 is not in");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_of_every_kind_is_read_back),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(lying_headers_are_refused_with_a_sentence),
        cmocka_unit_test(tensors_that_share_or_shift_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
