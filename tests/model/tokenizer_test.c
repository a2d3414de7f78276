// tokenizer_test.c: splitting, merging, special tokens, bytes that are not text, and equality with
// the reference vectors.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "model/bytelevel.h"
#include "model/source.h"
#include "model/tokenizer.h"
#include "model/tokenizer_spec.h"
#include "model/utf8.h"
#include "tests/model/model_files.h"

static struct tokenizer *from_json(const char *json)
{
    struct tokenizer_spec *spec = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    if (tokenizer_json_parse(json, strlen(json), "tokenizer.json", &spec, &why) != ERR_OK ||
        tokenizer_create(spec, &t, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    tokenizer_spec_destroy(spec);
    return t;
}

// Ids as text: "19 8 9".
static void expect_ids(const struct tokenizer *t, const char *text, size_t len, bool special,
                       const char *want)
{
    struct token_ids ids = {0};
    struct buf got;
    struct why why = {""};
    buf_init(&got, 0);
    if (tokenizer_encode(t, text, len, special, &ids, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(buf_printf(&got, "%s", ""), ERR_OK);
    for (size_t i = 0; i < ids.n; i++) {
        assert_int_equal(buf_printf(&got, "%s%u", i == 0 ? "" : " ", ids.ids[i]), ERR_OK);
    }
    assert_string_equal((const char *)got.data, want);
    buf_fini(&got);
    token_ids_fini(&ids);
}

static void merges_follow_rank_and_stop_at_words(void **state)
{
    (void)state;
    struct tokenizer *t = from_json(FILES_TOKENIZER_JSON);
    static const struct {
        const char *text, *ids;
    } cases[] = {
        {"hello", "19"},
        {"hello hello", "19 20"},
        {"hell", "18"},
        {"lll", "17 5"},
        {"hello's", "19 23"},
        {"12", "8 9"},            // digits stand alone although "12" is a token and a merge
        {"  1", "21 8"},          // both blanks, since the digit was set apart first
        {"  hello", "7 20"},      // but before a letter the last blank goes with the word
        {"h\xc3\xa9", "3 22"},    // two bytes of one letter merge
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_ids(t, cases[i].text, strlen(cases[i].text), true, cases[i].ids);
    }
    tokenizer_destroy(t);
}

// Untrusted text must not be able to end a turn.
static void special_tokens_are_text_unless_asked_for(void **state)
{
    (void)state;
    struct tokenizer *t = from_json(FILES_TOKENIZER_JSON);
    static const char text[] = "he<|im_end|>hello<tool>";
    expect_ids(t, text, sizeof text - 1, true, "16 2 19 26");
    // What has tokens remains.
    expect_ids(t, text, sizeof text - 1, false, "16 14 4 19 26");
    tokenizer_destroy(t);
}

static void added_tokens_match_longest_first(void **state)
{
    (void)state;
    struct tokenizer *t = from_json("{\"added_tokens\":[{\"id\":2,\"content\":\"ab\"},{\"id\":3,"
                                    "\"content\":\"abab\"},{\"id\":4,\"content\":\"abc\","
                                    "\"special\":true}],\"pre_tokenizer\":{\"type\":\"ByteLevel\","
                                    "\"add_prefix_space\":false},\"decoder\":"
                                    "{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\","
                                    "\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}}");
    expect_ids(t, "ababab", 6, true, "3 2");
    expect_ids(t, "abaabc", 6, true, "2 0 4");
    // A special token in untrusted text is passed over as a whole, whatever begins like it.
    expect_ids(t, "abaabc", 6, false, "2 0 0 1");
    tokenizer_destroy(t);
}

static void bytes_without_a_token_vanish_and_others_survive(void **state)
{
    (void)state;
    struct tokenizer *t = from_json(FILES_TOKENIZER_JSON);
    expect_ids(t, "hze", 3, true, "16");     // the neighbours become adjacent and merge
    expect_ids(t, "\xff", 1, true, "24");    // not UTF-8, but a byte with a token
    expect_ids(t, "l\xff\xffl", 4, true, "5 24 24 5");    // a word of its own
    expect_ids(t, "\xe2\x82", 2, true, "");
    expect_ids(t, "h\0e", 3, true, "3 4");    // here the regex keeps them apart
    tokenizer_destroy(t);
}

static void decoding_repairs_text_and_keeps_bytes(void **state)
{
    (void)state;
    struct tokenizer *t = from_json(FILES_TOKENIZER_JSON);
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    const uint32_t ids[] = {1, 19, 10, 20, 22, 24, 2};
    assert_int_equal(tokenizer_decode(t, ids, 7, false, &out, &why), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    assert_string_equal((char *)out.data,
                        "<|im_start|>hello\xEF\xBF\xBD hello\xc3\xa9\xEF\xBF\xBD<|im_end|>");
    buf_clear(&out);
    assert_int_equal(tokenizer_decode_bytes(t, ids, 7, true, &out, &why), ERR_OK);
    assert_int_equal(out.len, 15);
    assert_memory_equal(out.data, "hello\xc3 hello\xc3\xa9\xff", 15);
    const uint32_t wrong[] = {3, 27};
    assert_int_equal(tokenizer_decode(t, wrong, 2, false, &out, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "token id 27 (number 1) is not in 0..26"));
    assert_int_equal(out.len, 15);    // untouched on failure
    buf_fini(&out);
    tokenizer_destroy(t);
}

// The sizes of U+FFFD parts are prescribed: a sequence ends before the first byte that cannot
// continue it.
static void malformed_utf8_splits_into_maximal_parts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len, bad;
    } cases[] = {
        {"\x80", 1, 1},         {"\xc0\x80", 2, 1},         {"\xe2\x82", 2, 2},
        {"\xe2\x28", 2, 1},     {"\xe0\x80\x80", 3, 1},     {"\xed\xa0\x80", 3, 1},
        {"\xf0\x9f\x92", 3, 3}, {"\xf4\x90\x80\x80", 4, 1}, {"\xf5\x80", 2, 1},
        {"\xff", 1, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t cp;
        size_t bad = 0;
        assert_int_equal(utf8_next((const uint8_t *)cases[i].bytes, cases[i].len, &cp, &bad), 0);
        assert_int_equal(bad, cases[i].bad);
    }
    uint32_t cp;
    size_t bad;
    assert_int_equal(utf8_next((const uint8_t *)"\xf0\x9f\x92\xa1", 4, &cp, &bad), 4);
    assert_int_equal(cp, 0x1F4A1);
}

static void the_byte_alphabet_is_a_bijection(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i, back[4];
        char text[4];
        size_t n = 0, len = bytelevel_encode(&byte, 1, text);
        assert_true(bytelevel_decode(text, len, back, &n));
        assert_int_equal(n, 1);
        assert_int_equal(back[0], byte);
    }
    uint8_t out[8];
    size_t n;
    assert_true(bytelevel_decode("\xc4\xa0", 2, out, &n) && out[0] == ' ');
    assert_false(bytelevel_decode(" ", 1, out, &n));
    assert_false(bytelevel_decode("\xc5\x84", 2, out, &n));    // U+0144: one past the alphabet
    assert_false(bytelevel_decode("\xc4", 1, out, &n));
}

// A quadratic merge would take hours for these; ctest's time limit is the judge.
static void a_megabyte_without_a_break_is_encoded(void **state)
{
    (void)state;
    struct tokenizer *t = from_json(FILES_TOKENIZER_JSON);
    static const char *const patterns[] = {"l", "hello", " ", "<", "1", "\xff", "\n", "l'"};
    enum { N = 1000000 };
    char *text = malloc(N);
    assert_non_null(text);
    for (size_t p = 0; p < ARRAY_LEN(patterns); p++) {
        struct token_ids ids = {0};
        struct why why = {""};
        for (size_t i = 0; i < N; i++) {
            text[i] = patterns[p][i % strlen(patterns[p])];
        }
        if (tokenizer_encode(t, text, N, true, &ids, &why) != ERR_OK) {
            fail_msg("%s", why.text);
        }
        assert_true(ids.n >= N / 5);
        token_ids_fini(&ids);
    }
    free(text);
    tokenizer_destroy(t);
}

// A vocabulary whose merges arrive at a special token: text that nobody vouches for must not.
static void merges_do_not_make_special_tokens(void **state)
{
    (void)state;
    struct tokenizer *t =
        from_json("{\"added_tokens\":[{\"id\":2,\"content\":\"ab\",\"special\":true}],"
                  "\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"decoder\":{\"type\":\"ByteLevel\"},"
                  "\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,"
                  "\"ab\":2,\"ba\":3},\"merges\":[\"a b\",\"b a\"]}}");
    expect_ids(t, "ab", 2, true, "2");
    expect_ids(t, "ab", 2, false, "0 1");
    expect_ids(t, "aba", 3, false, "0 3");
    tokenizer_destroy(t);
}

// Bytes that are no UTF-8 fall back to byte tokens one by one; only the first run gets a blank.
static void sentencepiece_keeps_bytes_that_are_no_text(void **state)
{
    (void)state;
    struct tokenizer *t = from_json("{\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"_\"},"
                                    "\"pre_tokenizer\":null,\"decoder\":"
                                    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":"
                                    "\"ByteFallback\"},{\"type\":\"Fuse\"}]},\"model\":"
                                    "{\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"?\","
                                    "\"vocab\":{\"?\":0,\"_\":1,\"a\":2,"
                                    "\"<0xFF>\":3,\"<0xC3>\":4,\"<0xA9>\":5},\"merges\":[]}}");
    expect_ids(t,
               "a\xff"
               "a",
               3, true, "1 2 3 2");
    expect_ids(t, "\xc3\xa9\xc3", 3, true, "1 4 5 4");
    expect_ids(t, "a\xfe\xfe", 3, true, "1 2 0 0");
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    const uint32_t ids[] = {2, 4, 5, 3, 2, 4, 5};
    assert_int_equal(tokenizer_decode_bytes(t, ids, 7, false, &out, &why), ERR_OK);
    assert_int_equal(out.len, 7);
    assert_memory_equal(out.data,
                        "a\xc3\xa9\xff"
                        "a\xc3\xa9",
                        7);
    buf_fini(&out);
    tokenizer_destroy(t);
}

// What may be shown after each id, and what only the end can settle.
static void a_stream_never_shows_part_of_a_character(void **state)
{
    (void)state;
    struct tokenizer *t = from_json(FILES_TOKENIZER_JSON);
    struct token_stream *s = NULL;
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    assert_int_equal(token_stream_create(t, true, &s), ERR_OK);
    // 3 "h", 10 "\xc3", 11 "\xa9", 24 "\xff", 1 and 2 special
    static const struct {
        uint32_t id;
        const char *shown;
    } steps[] = {{1, ""},
                 {3, "h"},
                 {10, "h"},
                 {11, "h\xc3\xa9"},
                 {10, "h\xc3\xa9"},
                 {2, "h\xc3\xa9"},
                 {24, "h\xc3\xa9\xEF\xBF\xBD\xEF\xBF\xBD"}};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        assert_int_equal(token_stream_push(s, steps[i].id, &out, &why), ERR_OK);
        assert_int_equal(out.len, strlen(steps[i].shown));
        assert_true(out.len == 0 || memcmp(out.data, steps[i].shown, out.len) == 0);
    }
    buf_clear(&out);
    assert_int_equal(token_stream_push(s, 27, &out, &why), ERR_INVALID);
    assert_int_equal(token_stream_push(s, 10, &out, &why), ERR_OK);    // goes on
    assert_int_equal(out.len, 0);
    assert_int_equal(token_stream_finish(s, &out, &why), ERR_OK);
    assert_int_equal(out.len, 3);
    token_stream_destroy(s);
    buf_fini(&out);
    tokenizer_destroy(t);
}

// A token written with a real blank is not the token of the byte 20, although both decode to one.
static void literal_tokens_do_not_take_part_in_merges(void **state)
{
    (void)state;
    struct tokenizer *t =
        from_json("{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                  "\"decoder\":{\"type\":\"ByteLevel\"},"
                  "\"model\":{\"type\":\"BPE\",\"vocab\":{\" \":0,\"Ġ\":1,\"a\":2,\"Ġa\":3,\" "
                  "a\":4},\"merges\":[\"Ġ a\"]}}");
    expect_ids(t, " a ", 3, true, "3 1");
    tokenizer_destroy(t);
}

static void a_split_pattern_without_end_is_an_error(void **state)
{
    (void)state;
    struct tokenizer *t = from_json("{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{"
                                    "\"type\":\"Split\",\"behavior\":\"Isolated\","
                                    "\"pattern\":{\"Regex\":\"(a|aa)+$\"}},{\"type\":\"ByteLevel\","
                                    "\"add_prefix_space\":false,\"use_regex\":false}]},"
                                    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":"
                                    "\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}");
    struct token_ids ids = {0};
    struct why why = {""};
    static const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    assert_int_equal(tokenizer_encode(t, text, sizeof text - 1, true, &ids, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "split pattern"));
    assert_int_equal(ids.n, 0);
    token_ids_fini(&ids);
    tokenizer_destroy(t);
}

static void stop_ids_are_all_ways_to_end(void **state)
{
    (void)state;
    char *dir = files_temp_dir();
    struct source *s = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    files_tiny_folder(dir, NULL);
    if (source_open(dir, &s, &why) != ERR_OK || source_tokenizer(s, &t, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    uint32_t stop[8] = {0};
    assert_int_equal(tokenizer_stop_ids(t, stop, 8), 2);
    assert_int_equal(stop[0], 2);
    assert_int_equal(stop[1], 0);
    assert_int_equal(tokenizer_stop_ids(t, stop, 1), 1);
    assert_int_equal(tokenizer_vocab(t), 32);    // ids past the last token are the model's padding
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(tokenizer_decode(t, (const uint32_t[]){31}, 1, false, &out, &why), ERR_OK);
    assert_int_equal(out.len, 0);
    buf_fini(&out);
    tokenizer_destroy(t);
    source_close(s);
    files_remove(dir);
}

static void ids_past_the_model_are_refused(void **state)
{
    (void)state;
    struct tokenizer_spec *spec = NULL;
    struct why why = {""};
    const struct model_config c = {.vocab = 20};
    assert_int_equal(
        tokenizer_json_parse(FILES_TOKENIZER_JSON, strlen(FILES_TOKENIZER_JSON), "t", &spec, &why),
        ERR_OK);
    assert_int_equal(tokenizer_spec_finish(spec, &c, "t", &why), ERR_CORRUPT);
    assert_non_null(
        strstr(why.text, "token \"<tool>\" has id 26, but the model's vocabulary ends at 19"));
    tokenizer_spec_destroy(spec);
}

// ---- reference vectors ----

struct reference {
    const struct tokenizer *t;
    bool special;    // are special tokens recognised
    const char *file;
    int checked;
};

static void expect_bytes(const struct reference *r, int line, const char *what,
                         const struct buf *got, const json_t *want)
{
    if (got->len != json_string_length(want) ||
        (got->len > 0 && memcmp(got->data, json_string_value(want), got->len) != 0)) {
        fail_msg("%s:%d: %s differs", r->file, line, what);
    }
}

static void check_case(void *arg, const json_t *line, int number)
{
    struct reference *r = arg;
    const json_t *text = json_object_get(line, "text"), *want = json_object_get(line, "ids");
    struct token_ids ids = {0};
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    size_t n = json_array_size(want);
    uint32_t *wanted = calloc(n + 1, sizeof *wanted);
    assert_non_null(wanted);
    for (size_t i = 0; i < n; i++) {
        wanted[i] = (uint32_t)json_integer_value(json_array_get(want, i));
    }
    if (text != NULL) {
        bool alone = json_is_true(json_object_get(line, "add_special"));
        assert_int_equal(
            (alone ? tokenizer_encode_alone : tokenizer_encode)(
                r->t, json_string_value(text), json_string_length(text), r->special, &ids, &why),
            ERR_OK);
        if (ids.n != n || (n > 0 && memcmp(ids.ids, wanted, n * sizeof *wanted) != 0)) {
            fail_msg("%s:%d: ids differ", r->file, number);
        }
    }
    for (int skip = 0; skip < 2; skip++) {
        const json_t *decoded = json_object_get(line, skip ? "decoded_skip_special" : "decoded");
        if (decoded != NULL) {
            buf_clear(&out);
            assert_int_equal(tokenizer_decode(r->t, wanted, n, skip, &out, &why), ERR_OK);
            expect_bytes(r, number, skip ? "decoded_skip_special" : "decoded", &out, decoded);
        }
    }
    r->checked++;
    free(wanted);
    buf_fini(&out);
    token_ids_fini(&ids);
}

static void check_files(const struct tokenizer *t, const char *prefix)
{
    static const char *const kinds[] = {"tokenizer_cases", "plain_cases", "decode_cases"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char file[96];
        (void)snprintf(file, sizeof file, "tokenizer/%s%s.jsonl", prefix, kinds[i]);
        struct reference r = {t, i != 1, file, 0};
        files_each_case(file, check_case, &r);
        assert_true(r.checked > 20);
    }
}

static void smollm2_agrees_with_the_reference(void **state)
{
    (void)state;
    (void)files_env("CARAVAN_REFERENCE");
    struct source *s = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    if (source_open(files_env("CARAVAN_MODEL"), &s, &why) != ERR_OK ||
        source_tokenizer(s, &t, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    check_files(t, "");
    tokenizer_destroy(t);
    source_close(s);
}

static void tokenizer_files_agree_with_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *prefix;
    } cases[] = {
        {"smollm2", ""},
        {"tiny-smollm", "tiny-smollm."},
        {"tiny-qwen2", "tiny-qwen2."},
        {"tiny-llama3", "tiny-llama3."},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char name[96], *path, *json = NULL;
        size_t len = 0;
        struct why why = {""};
        (void)snprintf(name, sizeof name, "tokenizer/%s/tokenizer.json", cases[i].folder);
        path = files_path(files_env("CARAVAN_REFERENCE"), name);
        if (fs_read_file(path, 1 << 24, &json, &len, &why) != ERR_OK) {
            fail_msg("%s", why.text);
        }
        struct tokenizer *t = from_json(json);
        check_files(t, cases[i].prefix);
        tokenizer_destroy(t);
        free(json);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_follow_rank_and_stop_at_words),
        cmocka_unit_test(special_tokens_are_text_unless_asked_for),
        cmocka_unit_test(added_tokens_match_longest_first),
        cmocka_unit_test(bytes_without_a_token_vanish_and_others_survive),
        cmocka_unit_test(decoding_repairs_text_and_keeps_bytes),
        cmocka_unit_test(malformed_utf8_splits_into_maximal_parts),
        cmocka_unit_test(the_byte_alphabet_is_a_bijection),
        cmocka_unit_test(a_megabyte_without_a_break_is_encoded),
        cmocka_unit_test(merges_do_not_make_special_tokens),
        cmocka_unit_test(sentencepiece_keeps_bytes_that_are_no_text),
        cmocka_unit_test(a_stream_never_shows_part_of_a_character),
        cmocka_unit_test(literal_tokens_do_not_take_part_in_merges),
        cmocka_unit_test(a_split_pattern_without_end_is_an_error),
        cmocka_unit_test(stop_ids_are_all_ways_to_end),
        cmocka_unit_test(ids_past_the_model_are_refused),
        cmocka_unit_test(smollm2_agrees_with_the_reference),
        cmocka_unit_test(tokenizer_files_agree_with_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
