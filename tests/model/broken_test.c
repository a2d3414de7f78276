// broken_test.c: model files that are not what they say, as a whole: cut anywhere, nested without
// end. Whatever a stranger's folder holds, the answer is a sentence that names the file.
//
// Files are shortened from the end, so that each cut is one call and no writing. Cuts are sampled;
// with CARAVAN_LONG every byte is one.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "model/source.h"
#include "tests/model/model_files.h"

static void refuse(const char *path, const char *named, const char *what, size_t at)
{
    struct source *s = NULL;
    struct why why = {""};
    enum err e = source_open(path, &s, &why);
    if (e == ERR_OK) {
        source_close(s);
        fail_msg("%s %zu: accepted", what, at);
    }
    if (strstr(why.text, named) == NULL || e == ERR_NOMEM) {
        fail_msg("%s %zu: %s: %s", what, at, err_text(e), why.text);
    }
}

// Cuts path, which is len bytes long, ever shorter, and expects model to be refused each time, with
// `named` in the message.
static void refuse_cuts(const char *path, size_t len, size_t sampled, const char *model,
                        const char *named)
{
    size_t step = getenv("CARAVAN_LONG") != NULL ? 1 : sampled;
    for (size_t cut = len; cut > 0;) {
        cut -= cut > 16 ? MIN(step, cut - 16) : 1;
        assert_int_equal(truncate(path, (off_t)cut), 0);
        refuse(model, named, "cut at", cut);
    }
}

static void a_gguf_model_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct buf file;
    buf_init(&file, 0);
    files_tiny_gguf(&file, NULL);
    char *dir = files_temp_dir(), *path = files_path(dir, "cut.gguf");
    files_write(dir, "cut.gguf", file.data, file.len);
    refuse_cuts(path, file.len - 31, 89, path, "cut.gguf");    // 31: padding at the end
    free(path);
    files_remove(dir);
    buf_fini(&file);
}

static size_t file_size(const char *path)
{
    char *whole = NULL;
    size_t len = 0;
    struct why why = {""};
    if (fs_read_file(path, 1 << 20, &whole, &len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    free(whole);
    return len;
}

static void each_file_of_a_folder_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "generation_config.json",
                                        "model.safetensors"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *dir = files_temp_dir(), *path = files_path(dir, names[i]);
        files_tiny_folder(dir, NULL);
        refuse_cuts(path, file_size(path), 23, dir, names[i]);
        free(path);
        files_remove(dir);
    }
}

static void a_shard_and_the_index_cut_anywhere_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"model-00002-of-00005.safetensors",
                                        "model.safetensors.index.json"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *dir = files_temp_dir(), *in = files_path(dir, "in"), *out = files_path(dir, "out");
        char *path = files_path(out, names[i]);
        struct source *s = NULL;
        struct why why = {""};
        const struct export_options in_five = {.shard_bytes = 700, .type = "F32"};
        assert_int_equal(fs_make_dirs(in, &why), ERR_OK);
        files_tiny_folder(in, NULL);
        assert_int_equal(source_open(in, &s, &why), ERR_OK);
        assert_int_equal(source_export(s, out, &in_five, &why), ERR_OK);
        source_close(s);
        refuse_cuts(path, file_size(path), 31, out, names[i]);
        free(path);
        free(in);
        free(out);
        files_remove(dir);
    }
}

static void json_nested_ten_thousand_deep_costs_a_sentence_and_no_stack(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "generation_config.json",
                                        "model.safetensors.index.json", "model.safetensors"};
    enum { DEPTH = 10000 };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct buf deep;
        buf_init(&deep, 0);
        char *dir = files_temp_dir();
        uint64_t header = strcmp(names[i], "model.safetensors") == 0 ? 5 * DEPTH : 0;
        files_tiny_folder(dir, &(struct files_change){.omit = "model.safetensors"});
        if (header != 0) {
            assert_int_equal(buf_append(&deep, &header, sizeof header), ERR_OK);
        } else if (i < 2) {
            files_tiny_folder(dir, NULL);
        }
        for (int d = 0; d < DEPTH; d++) {
            assert_int_equal(buf_append(&deep, "{\"a\":", 5), ERR_OK);
        }
        files_write(dir, names[i], deep.data, deep.len);
        struct source *s = NULL;
        struct why why = {""};
        assert_int_equal(source_open(dir, &s, &why), ERR_LIMIT);
        assert_non_null(strstr(why.text, "nested deeper than 64"));
        assert_non_null(strstr(why.text, names[i]));
        files_remove(dir);
        buf_fini(&deep);
    }
}

static void a_header_of_four_gigabytes_is_refused_unread(void **state)
{
    (void)state;
    char *dir = files_temp_dir();
    uint64_t header = (uint64_t)4 << 30;
    uint8_t file[64] = {0};
    memcpy(file, &header, sizeof header);
    files_tiny_folder(dir, NULL);
    files_write(dir, "model.safetensors", file, sizeof file);
    struct source *s = NULL;
    struct why why = {""};
    assert_int_equal(source_open(dir, &s, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "model.safetensors: a header of 4294967296 bytes, at most"));
    files_remove(dir);
}

// A file is replaced by something that is none.
static void folders_and_pipes_are_no_files(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *dir = files_temp_dir(), *path = files_path(dir, names[i]);
        struct why why = {""};
        files_tiny_folder(dir, &(struct files_change){.omit = names[i]});
        assert_int_equal(fs_make_dirs(path, &why), ERR_OK);
        refuse(dir, "a folder, expected a regular file", names[i], 0);
        free(path);
        files_remove(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gguf_model_cut_anywhere_is_refused),
        cmocka_unit_test(each_file_of_a_folder_cut_anywhere_is_refused),
        cmocka_unit_test(a_shard_and_the_index_cut_anywhere_are_refused),
        cmocka_unit_test(json_nested_ten_thousand_deep_costs_a_sentence_and_no_stack),
        cmocka_unit_test(a_header_of_four_gigabytes_is_refused_unread),
        cmocka_unit_test(folders_and_pipes_are_no_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
