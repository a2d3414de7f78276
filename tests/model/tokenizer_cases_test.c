// tokenizer_cases_test.c: every kind of tokenizer against what the `tokenizers` package makes of
// the same file and text (tests/data/tokenizer, made by tests/tools/make_tokenizer_cases.py): ids,
// decoded text, and the text that grows id by id. And the writer: what it prints has the same cases
// and the same hash.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/json.h"
#include "model/tokenizer.h"
#include "model/tokenizer_spec.h"
#include "model/utf8.h"

static const char *const kinds[] = {
    "gpt2",   "gpt2-prefix", "neox",   "smollm",  "digits", "olmo2",     "llama3",         "qwen2",
    "gpt-4o", "partial",     "llama2", "mistral", "never",  "metaspace", "metaspace-fused"};

static char *read_file(const char *kind, const char *ending, size_t *len)
{
    char *path = fs_path("tests/data/tokenizer/%s%s", kind, ending), *text = NULL;
    struct why why = {""};
    assert_non_null(path);
    if (fs_read_file(path, 1 << 24, &text, len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    free(path);
    return text;
}

static struct tokenizer_spec *read_spec(const char *text, size_t len, const char *where)
{
    struct tokenizer_spec *spec = NULL;
    struct why why = {""};
    if (tokenizer_json_parse(text, len, where, &spec, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return spec;
}

static struct tokenizer *make(const struct tokenizer_spec *spec)
{
    struct tokenizer *t = NULL;
    struct why why = {""};
    if (tokenizer_create(spec, &t, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return t;
}

struct line {
    const struct tokenizer *t;
    const char *kind;
    int number;
    const json_t *fields;
    struct token_ids want;
};

static void expect_text(const struct line *l, const char *what, const struct buf *got,
                        const json_t *want)
{
    if (got->len != json_string_length(want) ||
        (got->len > 0 && memcmp(got->data, json_string_value(want), got->len) != 0)) {
        fail_msg("%s:%d: %s: \"%.*s\", expected \"%s\"", l->kind, l->number, what, (int)got->len,
                 (const char *)got->data, json_string_value(want));
    }
}

static void check_encoding(const struct line *l)
{
    const json_t *text = json_object_get(l->fields, "text");
    struct token_ids ids = {0};
    struct why why = {""};
    if (text == NULL) {
        return;
    }
    bool alone = json_is_true(json_object_get(l->fields, "alone"));
    bool special = json_is_true(json_object_get(l->fields, "special"));
    if ((alone ? tokenizer_encode_alone : tokenizer_encode)(l->t, json_string_value(text),
                                                            json_string_length(text), special, &ids,
                                                            &why) != ERR_OK) {
        fail_msg("%s:%d: %s", l->kind, l->number, why.text);
    }
    size_t same = 0;
    while (same < ids.n && same < l->want.n && ids.ids[same] == l->want.ids[same]) {
        same++;
    }
    if (same < ids.n || same < l->want.n) {
        fail_msg("%s:%d: \"%s\": id number %zu is %d, expected %d", l->kind, l->number,
                 json_string_value(text), same, same < ids.n ? (int)ids.ids[same] : -1,
                 same < l->want.n ? (int)l->want.ids[same] : -1);
    }
    token_ids_fini(&ids);
}

// What has appeared after each id is whole characters, and in the end the same text.
static void check_stream(const struct line *l, bool skip, const struct buf *whole)
{
    struct token_stream *s = NULL;
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    assert_int_equal(token_stream_create(l->t, skip, &s), ERR_OK);
    for (int round = 0; round < 2; round++) {    // a finished stream begins anew
        buf_clear(&out);
        for (size_t i = 0; i < l->want.n; i++) {
            assert_int_equal(token_stream_push(s, l->want.ids[i], &out, &why), ERR_OK);
            if (utf8_valid_prefix(out.data, out.len) != out.len) {
                fail_msg("%s:%d: a character is cut after id number %zu", l->kind, l->number, i);
            }
        }
        assert_int_equal(token_stream_finish(s, &out, &why), ERR_OK);
        assert_int_equal(out.len, whole->len);
        if (out.len > 0) {
            assert_memory_equal(out.data, whole->data, out.len);
        }
    }
    token_stream_destroy(s);
    buf_fini(&out);
}

static void check_decoding(const struct line *l)
{
    const json_t *whole = json_object_get(l->fields, "decoded");
    const json_t *skip = json_object_get(l->fields, "decoded_skip_special");
    whole = whole != NULL ? whole : json_object_get(l->fields, "text");
    skip = skip != NULL ? skip : whole;
    for (int k = 0; k < 2; k++) {
        struct buf out;
        struct why why = {""};
        buf_init(&out, 0);
        assert_int_equal(tokenizer_decode(l->t, l->want.ids, l->want.n, k == 1, &out, &why),
                         ERR_OK);
        expect_text(l, k == 1 ? "decoded_skip_special" : "decoded", &out, k == 1 ? skip : whole);
        check_stream(l, k == 1, &out);
        buf_fini(&out);
    }
}

static int check_cases(const struct tokenizer *t, const char *kind)
{
    size_t len = 0;
    char *text = read_file(kind, ".cases.jsonl", &len);
    struct line l = {.t = t, .kind = kind};
    for (char *p = text; *p != '\0'; l.number++) {
        char *end = strchr(p, '\n');
        json_t *fields = NULL, *id;
        struct why why = {""};
        size_t i;
        assert_non_null(end);
        assert_int_equal(json_parse(p, (size_t)(end - p), kind, &fields, &why), ERR_OK);
        l.fields = fields;
        l.want.n = 0;
        json_array_foreach(json_object_get(fields, "ids"), i, id)
        {
            assert_int_equal(token_ids_push(&l.want, (uint32_t)json_integer_value(id)), ERR_OK);
        }
        check_encoding(&l);
        check_decoding(&l);
        json_decref(fields);
        p = end + 1;
    }
    token_ids_fini(&l.want);
    free(text);
    return l.number;
}

static void every_kind_agrees_with_its_original(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t len = 0;
        char *json = read_file(kinds[i], ".json", &len);
        struct tokenizer_spec *spec = read_spec(json, len, kinds[i]);
        struct tokenizer *t = make(spec);
        assert_true(check_cases(t, kinds[i]) > 150);
        tokenizer_destroy(t);
        tokenizer_spec_destroy(spec);
        free(json);
    }
}

static void what_the_writer_prints_is_the_same_tokenizer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t len = 0;
        char *json = read_file(kinds[i], ".json", &len);
        struct tokenizer_spec *spec = read_spec(json, len, kinds[i]);
        char *printed = tokenizer_json_print(spec);
        assert_non_null(printed);
        struct tokenizer_spec *again = read_spec(printed, strlen(printed), "printed");
        if (!hash_equal(tokenizer_spec_hash(spec), tokenizer_spec_hash(again))) {
            fail_msg("%s: the printed tokenizer is another one", kinds[i]);
        }
        struct tokenizer *t = make(again);
        assert_true(check_cases(t, kinds[i]) > 150);
        tokenizer_destroy(t);
        tokenizer_spec_destroy(spec);
        tokenizer_spec_destroy(again);
        free(printed);
        free(json);
    }
}

// Quadratic work anywhere (added tokens and the white space around them, normalising, splitting,
// merging) would take minutes for these; ten seconds of processor time are more than sanitizers
// need.
static void a_megabyte_of_anything_is_soon_encoded(void **state)
{
    (void)state;
    static const char *const units[] = {" ",
                                        "a",
                                        "the ",
                                        "1",
                                        "<",
                                        "<right> ",
                                        "\n <both>",
                                        "\xE2\x96\x81",
                                        "\xF0\x9F\x91\x8D",
                                        "\xff",
                                        "e\xCC\x81"};
    static const char *const some[] = {"neox", "olmo2", "llama2", "mistral", "metaspace-fused"};
    enum { N = 1000000 };
    char *text = malloc(N);
    assert_non_null(text);
    for (size_t i = 0; i < ARRAY_LEN(some) * ARRAY_LEN(units); i++) {
        const char *kind = some[i / ARRAY_LEN(units)], *unit = units[i % ARRAY_LEN(units)];
        size_t json_len = 0, len = 0, unit_len = strlen(unit);
        char *json = read_file(kind, ".json", &json_len);
        struct tokenizer_spec *spec = read_spec(json, json_len, kind);
        struct tokenizer *t = make(spec);
        struct token_ids ids = {0};
        struct why why = {""};
        for (; len + unit_len <= N; len += unit_len) {
            memcpy(text + len, unit, unit_len);
        }
        clock_t start = clock();
        if (tokenizer_encode(t, text, len, true, &ids, &why) != ERR_OK) {
            fail_msg("%s: %s", kind, why.text);
        }
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        if (seconds > 10) {
            fail_msg("%s: a megabyte of \"%s\": %.1f s", kind, unit, seconds);
        }
        token_ids_fini(&ids);
        tokenizer_destroy(t);
        tokenizer_spec_destroy(spec);
        free(json);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_agrees_with_its_original),
        cmocka_unit_test(what_the_writer_prints_is_the_same_tokenizer),
        cmocka_unit_test(a_megabyte_of_anything_is_soon_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
