// gguf_tokenizer_test.c: the same tokenizer from GGUF metadata and from tokenizer.json is the same:
// the hash of the description says so. The files of tests/data/tokenizer are turned into metadata
// here as a converter does it.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "model/bytetoken.h"
#include "model/pretokenize.h"
#include "model/source_impl.h"
#include "model/tokenizer.h"
#include "tests/model/model_files.h"

enum { UNKNOWN = 2, CONTROL = 3, USER = 4, BYTE = 6, MAX_TOKENS = 1024 };

static struct tokenizer_spec *from_json(const char *kind)
{
    char *path = fs_path("tests/data/tokenizer/%s.json", kind), *text = NULL;
    size_t len = 0;
    struct tokenizer_spec *spec = NULL;
    struct why why = {""};
    assert_non_null(path);
    if (fs_read_file(path, 1 << 24, &text, &len, &why) != ERR_OK ||
        tokenizer_json_parse(text, len, path, &spec, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    free(text);
    free(path);
    return spec;
}

static char *text_of(const struct tokenizer_spec *s, uint32_t id)
{
    size_t len;
    const char *text = tokenizer_spec_text(s, id, &len);
    return strndup(text, len);
}

static void put_tokens(struct gguf_maker *m, const struct tokenizer_spec *s)
{
    const char *texts[MAX_TOKENS];
    int32_t types[MAX_TOKENS];
    assert_true(s->n_tokens <= MAX_TOKENS);
    for (uint32_t id = 0; id < s->n_tokens; id++) {
        uint32_t flags = s->tokens[id].flags;
        texts[id] = text_of(s, id);
        types[id] =
            (int32_t)id == s->model_unk   ? UNKNOWN
            : (flags & SPEC_SPECIAL) != 0 ? CONTROL
            : (flags & SPEC_ADDED) != 0   ? USER
            : s->alphabet == SPEC_CHARS && bytetoken_value(texts[id], strlen(texts[id])) >= 0 ? BYTE
                                                                                              : 1;
    }
    gguf_put_texts(m, "tokenizer.ggml.tokens", texts, s->n_tokens);
    gguf_put_i32s(m, "tokenizer.ggml.token_type", types, s->n_tokens);
    for (uint32_t id = 0; id < s->n_tokens; id++) {
        free((char *)(uintptr_t)texts[id]);
    }
}

static void put_merges(struct gguf_maker *m, const struct tokenizer_spec *s)
{
    const char *texts[4 * MAX_TOKENS];
    assert_true(s->n_merges <= ARRAY_LEN(texts));
    for (size_t i = 0; i < s->n_merges; i++) {
        char *left = text_of(s, s->merges[i].left), *right = text_of(s, s->merges[i].right);
        texts[i] = fs_path("%s %s", left, right);
        free(left);
        free(right);
    }
    gguf_put_texts(m, "tokenizer.ggml.merges", texts, s->n_merges);
    for (size_t i = 0; i < s->n_merges; i++) {
        free((char *)(uintptr_t)texts[i]);
    }
}

// Scores as SentencePiece gives them: the sooner a token was made, the better.
static void scores_of(const struct tokenizer_spec *s, float *scores)
{
    for (size_t id = 0; id < s->n_tokens; id++) {
        scores[id] = -1e6f;
    }
    for (size_t i = s->n_merges; i-- > 0;) {
        scores[s->merges[i].result] = -(float)i;
    }
}

// The description in metadata; fails the test or returns the error.
static enum err read_back(const struct gguf_maker *m, const struct model_config *config,
                          struct tokenizer_spec **out, struct why *why)
{
    struct buf file;
    struct source s = {.path = (char *)(uintptr_t) "t.gguf", .config = *config};
    buf_init(&file, 0);
    gguf_make(m, &file);
    assert_int_equal(gguf_parse(file.data, file.len, "t.gguf", &s.gguf, why), ERR_OK);
    enum err e = gguf_model_spec(&s, out, why);
    gguf_close(s.gguf);
    buf_fini(&file);
    return e;
}

static void expect_equal(const char *kind, struct tokenizer_spec *want, const struct gguf_maker *m,
                         const struct model_config *config)
{
    struct tokenizer_spec *got = NULL;
    struct why why = {""};
    if (read_back(m, config, &got, &why) != ERR_OK) {
        fail_msg("%s: %s", kind, why.text);
    }
    assert_int_equal(got->n_merges, want->n_merges);
    want->n_stop = got->n_stop = 0;    // of the model, not of the tokenizer
    if (!hash_equal(tokenizer_spec_hash(want), tokenizer_spec_hash(got))) {
        fail_msg("%s: another tokenizer", kind);
    }
    tokenizer_spec_destroy(got);
}

static void names_of_splits_mean_what_their_models_do(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *pre;
        bool bos, eos;    // said in the file
    } cases[] = {
        {"gpt2", "gpt-2", true, true},         {"smollm", "smollm", false, false},
        {"llama3", "llama-bpe", false, false},    // BOS without being told
        {"qwen2", "qwen2", false, false},      {"gpt-4o", "gpt-4o", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer_spec *want = from_json(cases[i].kind);
        struct gguf_maker m;
        struct model_config config = {.vocab = (int32_t)want->n_tokens, .n_eos = 1};
        gguf_maker_init(&m);
        gguf_put_text(&m, "tokenizer.ggml.model", "gpt2");
        gguf_put_text(&m, "tokenizer.ggml.pre", cases[i].pre);
        put_tokens(&m, want);
        put_merges(&m, want);
        if (cases[i].bos) {
            gguf_put_bool(&m, "tokenizer.ggml.add_bos_token", true);
        }
        if (cases[i].eos) {
            gguf_put_bool(&m, "tokenizer.ggml.add_eos_token", true);
        }
        expect_equal(cases[i].kind, want, &m, &config);
        gguf_maker_fini(&m);
        tokenizer_spec_destroy(want);
    }
}

static void put_sentencepiece(struct gguf_maker *m, const struct tokenizer_spec *s)
{
    float scores[MAX_TOKENS];
    scores_of(s, scores);
    gguf_put_text(m, "tokenizer.ggml.model", "llama");
    put_tokens(m, s);
    gguf_put_f32s(m, "tokenizer.ggml.scores", scores, s->n_tokens);
}

static void scores_say_the_same_as_merges(void **state)
{
    (void)state;
    struct tokenizer_spec *want = from_json("llama2");
    struct gguf_maker m;
    const struct model_config config = {
        .vocab = (int32_t)want->n_tokens, .bos_id = 1, .eos_ids = {2}, .n_eos = 1};
    gguf_maker_init(&m);
    put_sentencepiece(&m, want);
    expect_equal("llama2", want, &m, &config);
    gguf_maker_fini(&m);
    tokenizer_spec_destroy(want);
}

static void without_a_blank_in_front_none_is_taken_back(void **state)
{
    (void)state;
    struct tokenizer_spec *s = from_json("llama2"), *got = NULL;
    struct gguf_maker m;
    const struct model_config config = {.vocab = (int32_t)s->n_tokens, .bos_id = -1};
    struct why why = {""};
    gguf_maker_init(&m);
    put_sentencepiece(&m, s);
    gguf_put_bool(&m, "tokenizer.ggml.add_space_prefix", false);
    assert_int_equal(read_back(&m, &config, &got, &why), ERR_OK);
    assert_int_equal(got->n_norms, 1);
    assert_int_equal(got->norms[0].kind, SPEC_REPLACE);
    assert_int_equal(got->decoder.strip, 0);
    assert_int_equal(got->n_prefix, 0);    // no BOS is known
    tokenizer_spec_destroy(got);
    gguf_maker_fini(&m);
    tokenizer_spec_destroy(s);
}

static enum err join_word(void *arg, const uint8_t *word, size_t len)
{
    return buf_printf(arg, "%.*s|", (int)len, (const char *)word);
}

// A model without a name for its split gets the four passes of "default": punctuation, GPT-2's,
// numbers without their blank, digits in threes.
static void unnamed_splits_are_the_default(void **state)
{
    (void)state;
    struct tokenizer_spec *s = from_json("gpt2"), *got = NULL;
    struct gguf_maker m;
    const struct model_config config = {.vocab = (int32_t)s->n_tokens, .bos_id = -1};
    struct why why = {""};
    gguf_maker_init(&m);
    gguf_put_text(&m, "tokenizer.ggml.model", "gpt2");
    put_tokens(&m, s);
    put_merges(&m, s);
    assert_int_equal(read_back(&m, &config, &got, &why), ERR_OK);
    struct pretokenizer *p = NULL;
    struct buf words;
    buf_init(&words, 0);
    assert_int_equal(pretokenizer_create(got->steps, got->n_steps, &p, &why), ERR_OK);
    static const char text[] = "a+b 12345  it's";
    assert_int_equal(pretokenizer_split(p, (const uint8_t *)text, sizeof text - 1, true, join_word,
                                        &words, &why),
                     ERR_OK);
    assert_string_equal((const char *)words.data, "a|+|b| |123|45| | it|'|s|");
    buf_fini(&words);
    pretokenizer_destroy(p);
    tokenizer_spec_destroy(got);
    gguf_maker_fini(&m);
    tokenizer_spec_destroy(s);
}

static void expect_refused(const struct gguf_maker *m, const struct tokenizer_spec *s,
                           enum err wanted, const char *says)
{
    struct tokenizer_spec *got = NULL;
    const struct model_config config = {.vocab = (int32_t)s->n_tokens, .bos_id = -1};
    struct why why = {""};
    enum err e = read_back(m, &config, &got, &why);
    if (e != wanted || strstr(why.text, says) == NULL || strncmp(why.text, "t.gguf: ", 8) != 0) {
        fail_msg("%s: \"%s\", expected \"%s\"", err_text(e), why.text, says);
    }
}

static void wrong_vocabularies_are_refused(void **state)
{
    (void)state;
    struct tokenizer_spec *s = from_json("llama2");
    float scores[MAX_TOKENS];
    scores_of(s, scores);
    for (int i = 0; i < 6; i++) {
        struct gguf_maker m;
        gguf_maker_init(&m);
        gguf_put_text(&m, "tokenizer.ggml.model", i == 0 ? "t5" : i == 1 ? "gpt2" : "llama");
        put_tokens(&m, s);
        switch (i) {
        case 0:
            expect_refused(&m, s, ERR_UNSUPPORTED, "\"t5\" is not supported, expected \"gpt2\"");
            break;
        case 1:
            gguf_put_text(&m, "tokenizer.ggml.pre", "tekken");
            expect_refused(&m, s, ERR_UNSUPPORTED,
                           "key tokenizer.ggml.pre: \"tekken\" is not supported, expected one of "
                           "default, gpt-2");
            break;
        case 2:
            expect_refused(&m, s, ERR_NOT_FOUND, "tokenizer.ggml.scores is missing");
            break;
        case 3:
            gguf_put_f32s(&m, "tokenizer.ggml.scores", scores, s->n_tokens - 1);
            expect_refused(&m, s, ERR_CORRUPT, "scores for");
            break;
        case 4:
            scores[7] = NAN;
            gguf_put_f32s(&m, "tokenizer.ggml.scores", scores, s->n_tokens);
            expect_refused(&m, s, ERR_CORRUPT, "the score of token 7 is not a number");
            break;
        default:
            gguf_put_u32(&m, "tokenizer.ggml.add_space_prefix", 1);
            expect_refused(&m, s, ERR_CORRUPT, "add_space_prefix: expected a boolean");
            break;
        }
        gguf_maker_fini(&m);
    }
    tokenizer_spec_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_splits_mean_what_their_models_do),
        cmocka_unit_test(scores_say_the_same_as_merges),
        cmocka_unit_test(without_a_blank_in_front_none_is_taken_back),
        cmocka_unit_test(unnamed_splits_are_the_default),
        cmocka_unit_test(wrong_vocabularies_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
