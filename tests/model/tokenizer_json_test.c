// tokenizer_json_test.c: tokenizer.json that cannot be read is refused by the field that is wrong,
// and what is printed is read as the same.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "model/tokenizer_spec.h"
#include "tests/model/model_files.h"

static void what_would_change_the_ids_is_refused_by_field(void **state)
{
    (void)state;
    static const struct {
        const char *was, *now, *says;
    } cases[] = {
        {"\"type\":\"BPE\"", "\"type\":\"WordPiece\"", "expected BPE"},
        {"\"dropout\":null", "\"dropout\":0.1", "dropout"},
        {"\"unk_token\":null", "\"unk_token\":\"<unk>\"", "unk_token \"<unk>\" is not in"},
        {"\"unk_token\":null", "\"byte_fallback\":true", "byte_fallback: true"},
        {"\"unk_token\":null", "\"end_of_word_suffix\":\"</w>\"", "end_of_word_suffix"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}",
         "normalizer: \"Lowercase\" is not supported here, expected null, NFC, Prepend, Replace"},
        {"\"normalizer\":null",
         "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"b\"}",
         "normalizer Replace: pattern"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\"}",
         "normalizer: a Sequence without a list"},
        {"\"post_processor\":null",
         "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
         "\"id\":"
         "\"b\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"b\":{\"ids\":[27]}}}",
         "id 27, which belongs before a text, is not in the vocabulary"},
        {"\"post_processor\":null",
         "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[],\"special_tokens\":{}}",
         "one Sequence"},
        {"\"post_processor\":null", "\"post_processor\":{\"type\":\"BertProcessing\"}",
         "post_processor: \"BertProcessing\""},
        {"\"Digits\"", "\"Whitespace\"", "pre_tokenizer: \"Whitespace\" is not supported here"},
        {"\"Digits\"", "\"ByteLevel\"", "ByteLevel to be the last step"},
        {"\"Digits\"", "\"Metaspace\"", "Metaspace: replacement"},
        {"\"type\":\"Digits\"",
         "\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"",
         "prepend_scheme: \"last\" is not supported here, expected always, first or never"},
        {"\"type\":\"Digits\"",
         "\"type\":\"Split\",\"behavior\":\"MergedWithNext\",\"pattern\":{\"String\":\"a\"}",
         "behavior: \"MergedWithNext\""},
        {"\"id\":26", "\"id\":25", "id 25 belongs to two tokens"},
        {"\"content\":\"<tool>\"", "\"content\":\"<|im_end|>\"",
         "added_tokens: \"<|im_end|>\" has the ids 2 and 26"},
        {"{\"type\":\"ByteLevel\"}", "{\"type\":\"WordPiece\"}", "decoder"},
        {"\"h e\"", "\"h z\"", "merge 0 (\"h\" \"z\"): the right part is not in the vocabulary"},
        {"\"h e\"", "\"h o\"", "the result is not in the vocabulary"},
        {"\"h e\"", "\"he\"", "model.merges[0]"},
        {"\"h e\"", "7", "model.merges[0]"},
        {"\"12\":25", "\"12\":24", "id 24 belongs to two tokens"},
        {"\"12\":25", "\"12\":-1", "id -1 is not in"},
        {"\"12\":25", "\"12\":4000000000", "is not in"},
        {"\"12\":25", "\"12\":\"25\"", "expected an integer id"},
        {"\"12\":25", "\"\":25", "has 0 bytes"},
        {"\"content\":\"<|im_end|>\"", "\"content\":\"<end>\"", "id 2 belongs to two tokens"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer_spec *spec = NULL;
        struct why why = {""};
        struct buf json;
        buf_init(&json, 0);
        const char *at = strstr(FILES_TOKENIZER_JSON, cases[i].was);
        assert_non_null(at);
        assert_int_equal(
            buf_append(&json, FILES_TOKENIZER_JSON, (size_t)(at - FILES_TOKENIZER_JSON)), ERR_OK);
        assert_int_equal(buf_printf(&json, "%s%s", cases[i].now, at + strlen(cases[i].was)),
                         ERR_OK);
        enum err e = tokenizer_json_parse((const char *)json.data, json.len, "t.json", &spec, &why);
        if (e == ERR_OK || strstr(why.text, cases[i].says) == NULL ||
            strncmp(why.text, "t.json: ", 8) != 0) {
            fail_msg("case %zu: %s: %s", i, err_text(e), why.text);
        }
        buf_fini(&json);
    }
}

// SPEC_CHARS has its own ways to be wrong: the decoder is where they show.
static void decoders_out_of_the_known_order_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *decoder, *says;
    } cases[] = {
        {"null", "decoder: null is not supported here, expected one"},
        {"{\"type\":\"ByteLevel\"}", "decoder: \"ByteLevel\""},
        {"{\"type\":\"WordPiece\"}", "decoder: \"WordPiece\""},
        {"{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"ByteFallback\"}]}",
         "decoder: \"ByteFallback\""},
        {"{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Strip\",\"content\":\" \",\"start\":1,"
         "\"stop\":0}]}",
         "decoder: \"Strip\""},
        {"{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":"
         "\" \",\"start\":1,\"stop\":1}]}",
         "\"stop\": 1, expected an integer in 0..0"},
        {"{\"type\":\"Sequence\",\"decoders\":[]}", "decoder: \"Sequence\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer_spec *spec = NULL;
        struct why why = {""};
        char json[512];
        (void)snprintf(
            json, sizeof json,
            "{\"pre_tokenizer\":null,\"decoder\":%s,\"model\":{\"type\":\"BPE\",\"vocab\":"
            "{\"a\":0},\"merges\":[]}}",
            cases[i].decoder);
        enum err e = tokenizer_json_parse(json, strlen(json), "t.json", &spec, &why);
        if (e == ERR_OK || strstr(why.text, cases[i].says) == NULL) {
            fail_msg("case %zu: %s: %s", i, err_text(e), why.text);
        }
    }
}

// The parser of JSON recurses: what is nested without end must not reach it.
static void a_file_nested_ten_thousand_deep_is_refused(void **state)
{
    (void)state;
    struct tokenizer_spec *spec = NULL;
    struct why why = {""};
    char json[20000];
    memset(json, '[', 10000);
    memset(json + 10000, ']', 10000);
    assert_int_equal(tokenizer_json_parse(json, sizeof json, "t.json", &spec, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "nested deeper"));
}

static void a_printed_tokenizer_is_the_same_tokenizer(void **state)
{
    (void)state;
    struct tokenizer_spec *a = NULL, *b = NULL;
    struct why why = {""};
    assert_int_equal(
        tokenizer_json_parse(FILES_TOKENIZER_JSON, strlen(FILES_TOKENIZER_JSON), "a", &a, &why),
        ERR_OK);
    char *text = tokenizer_json_print(a);
    assert_non_null(text);
    if (tokenizer_json_parse(text, strlen(text), "b", &b, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    assert_true(hash_equal(tokenizer_spec_hash(a), tokenizer_spec_hash(b)));
    b->tokens[5].flags ^= SPEC_SPECIAL;
    assert_false(hash_equal(tokenizer_spec_hash(a), tokenizer_spec_hash(b)));
    free(text);
    tokenizer_spec_destroy(a);
    tokenizer_spec_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_change_the_ids_is_refused_by_field),
        cmocka_unit_test(decoders_out_of_the_known_order_are_refused),
        cmocka_unit_test(a_file_nested_ten_thousand_deep_is_refused),
        cmocka_unit_test(a_printed_tokenizer_is_the_same_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
