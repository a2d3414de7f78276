// gguf_vocab_test.c: tokenizers of every kind through GGUF metadata and back: equal ids, or refused
// with the reason. The tokenizers and texts are those of tests/data/tokenizer.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/json.h"
#include "model/gguf_vocab.h"
#include "model/source_impl.h"
#include "model/tokenizer.h"
#include "tests/model/model_files.h"

static char *read_data(const char *kind, const char *suffix, size_t *len)
{
    char *path = fs_path("tests/data/tokenizer/%s%s", kind, suffix), *text = NULL;
    struct why why = {""};
    assert_non_null(path);
    if (fs_read_file(path, 1 << 22, &text, len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    free(path);
    return text;
}

static struct tokenizer_spec *read_spec(const char *kind)
{
    size_t len = 0;
    char *text = read_data(kind, ".json", &len);
    struct tokenizer_spec *s = NULL;
    struct why why = {""};
    if (tokenizer_json_parse(text, len, kind, &s, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    free(text);
    // What tokenizer_config.json would name: what the tokenizer itself puts around a text.
    s->bos_id = s->n_prefix > 0 ? (int32_t)s->prefix[0] : -1;
    s->eos_id = s->n_suffix > 0 ? (int32_t)s->suffix[0] : -1;
    return s;
}

static struct model_config config_of(const struct tokenizer_spec *s)
{
    return (struct model_config){
        .family = "llama", .vocab = (int32_t)s->n_tokens, .bos_id = s->bos_id, .pad_id = -1};
}

// Writes s into a GGUF file without tensors and reads it back.
static enum err through_gguf(const struct tokenizer_spec *s, struct tokenizer_spec **out,
                             struct why *why)
{
    struct gguf_writer w;
    struct fs_writer *f = NULL;
    struct model_config c = config_of(s);
    char *dir = files_temp_dir(), *path = files_path(dir, "vocab.gguf");
    gguf_writer_init(&w);
    enum err e = gguf_vocab_put(&w, s, &c, path, why);
    if (e == ERR_OK) {
        struct source source = {.path = path, .config = c};
        assert_int_equal(fs_writer_open(path, &f, why), ERR_OK);
        assert_int_equal(gguf_writer_begin(&w, f, why), ERR_OK);
        assert_int_equal(fs_writer_commit(f, why), ERR_OK);
        if (gguf_open(path, &source.gguf, why) != ERR_OK) {
            fail_msg("%s", why->text);
        }
        if (s->eos_id >= 0) {    // what gguf_config.c reads from the file
            source.config.eos_ids[source.config.n_eos++] = s->eos_id;
        }
        if (gguf_model_spec(&source, out, why) != ERR_OK) {
            fail_msg("%s", why->text);
        }
        gguf_close(source.gguf);
    }
    gguf_writer_fini(&w);
    free(path);
    files_remove(dir);
    return e;
}

static struct tokenizer *finish(struct tokenizer_spec *s)
{
    struct tokenizer *t = NULL;
    struct model_config c = config_of(s);
    struct why why = {""};
    if (tokenizer_spec_finish(s, &c, "spec", &why) != ERR_OK ||
        tokenizer_create(s, &t, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return t;
}

static void expect_equal_ids(const char *kind, const struct tokenizer *a, const struct tokenizer *b,
                             const char *text, size_t len, int mode)
{
    const struct tokenizer *t[2] = {a, b};
    struct token_ids ids[2] = {{0}, {0}};
    struct why why = {""};
    for (int i = 0; i < 2; i++) {
        enum err e = mode == 2 ? tokenizer_encode_alone(t[i], text, len, true, &ids[i], &why)
                               : tokenizer_encode(t[i], text, len, mode == 1, &ids[i], &why);
        assert_int_equal(e, ERR_OK);
    }
    bool equal = ids[0].n == ids[1].n;
    for (size_t i = 0; equal && i < ids[0].n; i++) {
        equal = ids[0].ids[i] == ids[1].ids[i];
    }
    if (!equal) {
        fail_msg("%s: \"%.*s\" (mode %d): %zu and %zu ids, or others", kind, (int)len, text, mode,
                 ids[0].n, ids[1].n);
    }
    token_ids_fini(&ids[0]);
    token_ids_fini(&ids[1]);
}

// Metaspace with "first" leaves a text alone that begins with a blank, and what follows an added
// token; GGUF's SentencePiece does not.
static bool is_left_out(const struct tokenizer_spec *s, const char *text)
{
    if (s->n_steps == 0 || s->steps[0].kind != SPEC_METASPACE ||
        s->steps[0].prepend == SPEC_NEVER) {
        return false;
    }
    bool out = text[0] == ' ' || strstr(text, SPEC_SPACE_MARK) != NULL;
    for (size_t id = 0; id < s->n_tokens; id++) {
        size_t len = 0;
        const char *added = tokenizer_spec_text(s, id, &len);
        out = out || ((s->tokens[id].flags & SPEC_ADDED) != 0 &&
                      memmem(text, strlen(text), added, len) != NULL);
    }
    return out;
}

static void expect_equal_texts(const char *kind, const struct tokenizer_spec *s,
                               const struct tokenizer *a, const struct tokenizer *b)
{
    size_t len = 0, n = 0;
    char *all = read_data(kind, ".cases.jsonl", &len);
    for (char *line = all; *line != '\0';) {
        size_t end = strcspn(line, "\n");
        json_t *value = NULL;
        assert_int_equal(json_parse(line, end, kind, &value, NULL), ERR_OK);
        const json_t *text = json_object_get(value, "text");
        bool compared = json_is_string(text) && !is_left_out(s, json_string_value(text));
        for (int mode = 0; compared && mode < 3; mode++, n++) {
            expect_equal_ids(kind, a, b, json_string_value(text), json_string_length(text), mode);
        }
        json_decref(value);
        line += end + (line[end] == '\n');
    }
    assert_true(n > 30);
    free(all);
}

static void plain_added(struct tokenizer_spec *s)
{
    for (size_t id = 0; id < s->n_tokens; id++) {
        s->tokens[id].flags &=
            ~(uint32_t)(SPEC_LSTRIP | SPEC_RSTRIP | SPEC_SINGLE_WORD | SPEC_NORMALIZED);
    }
}

static void tokenizers_come_back_with_equal_ids_or_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *refused;
    } cases[] = {
        {"smollm", NULL},
        {"gpt2", NULL},
        {"llama3", NULL},
        {"olmo2", NULL},
        {"qwen2", NULL},
        {"gpt-4o", NULL},
        {"neox", NULL},
        {"llama2", NULL},
        {"mistral", NULL},
        {"never", NULL},
        {"metaspace", "more to a text than SentencePiece"},    // no byte fallback
        {"metaspace-fused", "more to a text than SentencePiece"},
        {"partial", "way to split text has no name in GGUF"},
        {"digits", "way to split text has no name in GGUF"},
        {"gpt2-prefix", "way to split text has no name in GGUF"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tokenizer_spec *a = read_spec(cases[i].kind), *b = NULL;
        struct why why = {""};
        plain_added(a);
        enum err e = through_gguf(a, &b, &why);
        if (cases[i].refused != NULL) {
            assert_int_equal(e, ERR_UNSUPPORTED);
            if (strstr(why.text, cases[i].refused) == NULL) {
                fail_msg("%s: %s", cases[i].kind, why.text);
            }
        } else if (e != ERR_OK) {
            fail_msg("%s: %s", cases[i].kind, why.text);
        } else {
            struct tokenizer *x = finish(a), *y = finish(b);
            expect_equal_texts(cases[i].kind, a, x, y);
            tokenizer_destroy(x);
            tokenizer_destroy(y);
        }
        tokenizer_spec_destroy(a);
        tokenizer_spec_destroy(b);
    }
}

static void added_tokens_that_take_blanks_along_are_refused(void **state)
{
    (void)state;
    struct tokenizer_spec *s = read_spec("olmo2"), *back = NULL;
    struct why why = {""};
    assert_int_equal(through_gguf(s, &back, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "(<left>) has lstrip, rstrip, single_word"));
    tokenizer_spec_destroy(s);
}

// Scores order tokens, not pairs: with one merge fewer they say something else.
static void merges_that_scores_cannot_express_are_refused(void **state)
{
    (void)state;
    struct tokenizer_spec *s = read_spec("llama2"), *back = NULL;
    struct why why = {""};
    plain_added(s);
    assert_true(s->n_merges > 100);
    s->n_merges--;
    assert_int_equal(through_gguf(s, &back, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "merges are not those of a SentencePiece vocabulary"));
    tokenizer_spec_destroy(s);
}

static void other_tokens_around_a_text_are_refused(void **state)
{
    (void)state;
    struct tokenizer_spec *s = read_spec("smollm"), *back = NULL;
    struct why why = {""};
    plain_added(s);
    assert_int_equal(tokenizer_spec_affix(s, false, 5, "smollm", &why), ERR_OK);
    assert_int_equal(through_gguf(s, &back, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "other tokens than BOS and EOS"));
    tokenizer_spec_destroy(s);
}

// A model's vocabulary is often larger than its tokenizer's.
static void ids_without_a_token_become_unused_ones(void **state)
{
    (void)state;
    struct tokenizer_spec *s = read_spec("smollm"), *back = NULL;
    struct model_config c = config_of(s);
    struct why why = {""};
    size_t n = s->n_tokens, len = 0;
    plain_added(s);
    c.vocab += 3;
    assert_int_equal(tokenizer_spec_finish(s, &c, "smollm", &why), ERR_OK);
    assert_int_equal(through_gguf(s, &back, &why), ERR_OK);
    assert_int_equal(back->n_tokens, n + 3);
    const char *text = tokenizer_spec_text(back, n + 2, &len);
    char want[32];
    assert_int_equal(snprintf(want, sizeof want, "[PAD%zu]", n + 2), len);
    assert_memory_equal(text, want, len);
    tokenizer_spec_destroy(s);
    tokenizer_spec_destroy(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizers_come_back_with_equal_ids_or_are_refused),
        cmocka_unit_test(added_tokens_that_take_blanks_along_are_refused),
        cmocka_unit_test(merges_that_scores_cannot_express_are_refused),
        cmocka_unit_test(other_tokens_around_a_text_are_refused),
        cmocka_unit_test(ids_without_a_token_become_unused_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
