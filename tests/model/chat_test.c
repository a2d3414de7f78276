// chat_test.c: chat templates: which sources are recognised, and what is rendered.
//
// A template is a program in a model file; three families are recognised by what they say, however
// they spell it, and everything else is refused instead of rendered nearly right. Reference
// renderings are used where CARAVAN_REFERENCE is set.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "model/chat.h"
#include "model/source.h"
#include "model/tokenizer.h"
#include "model/tokenizer_spec.h"
#include "tests/model/model_files.h"

#define CHATML                                                                                     \
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] " \
    "+ '<|im_end|>' + "                                                                            \
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

static struct chat_template *create(const char *source)
{
    struct chat_template *c = NULL;
    struct why why = {""};
    if (chat_template_create(source, strlen(source), "<eos>", &c, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return c;
}

static struct chat_message say(const char *role, const char *content)
{
    return (struct chat_message){role, content, strlen(content)};
}

static void expect(const struct chat_template *c, const struct chat_message *m, size_t n,
                   bool prompt, const char *want)
{
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    assert_int_equal(chat_template_render(c, m, n, prompt, &out, &why), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    assert_string_equal((const char *)out.data, want);
    buf_fini(&out);
}

#define SYSTEM "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

static void smollm2_writes_its_system_prompt_unless_one_comes_first(void **state)
{
    (void)state;
    struct chat_template *c = create(FILES_SMOLLM2_TEMPLATE);
    assert_string_equal(chat_template_name(c), "smollm2");
    assert_string_equal(chat_template_end_of_turn(c), "<|im_end|>");
    const struct chat_message user = say("user", " hi ");
    expect(c, &user, 1, true,
           "<|im_start|>system\n" SYSTEM
           "<|im_end|>\n<|im_start|>user\n hi <|im_end|>\n<|im_start|>assistant\n");
    const struct chat_message silent[] = {say("system", ""), say("user", "hi")};
    expect(c, silent, 2, false, "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n");
    const struct chat_message late[] = {say("tool", "x"), say("system", "y")};
    expect(c, late, 2, false,
           "<|im_start|>system\n" SYSTEM
           "<|im_end|>\n<|im_start|>tool\nx<|im_end|>\n<|im_start|>system\ny<|im_end|>\n");
    expect(c, NULL, 0, true, "<|im_start|>assistant\n");
    chat_template_destroy(c);
}

static void plain_chatml_adds_nothing(void **state)
{
    (void)state;
    struct chat_template *c = create(CHATML);
    const struct chat_message user = say("user", "hi");
    expect(c, &user, 1, true, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    chat_template_destroy(c);
}

static void content_may_hold_any_bytes(void **state)
{
    (void)state;
    struct chat_template *c = create(CHATML);
    const struct chat_message m = {"user", "a\0b{{x}}", 8};
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    assert_int_equal(chat_template_render(c, &m, 1, false, &out, &why), ERR_OK);
    assert_int_equal(out.len, strlen("<|im_start|>user\n") + 8 + strlen("<|im_end|>\n"));
    buf_fini(&out);
    chat_template_destroy(c);
}

// The same template in other spellings is the same template.
static void spelling_does_not_matter(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        "{%for message in messages%}{{ "
        "\"<|im_start|>\"+message.role+\"\\n\"+message.content+\"<|im_end|>\"+\"\\n\" }}"
        "{%endfor%}{%if add_generation_prompt%}{{\"<|im_start|>assistant\\n\"}}{%endif%}",
        "{% for message in messages %}\n"
        "    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
        "'\\n' -}}\n"
        "{% endfor %}\n"
        "{# the prompt #}\n"
        "{% if add_generation_prompt %}\n"
        "    {{- '<|im_start|>assistant\\n' -}}\n"
        "{% endif %}\n",
        CHATML "\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
        struct chat_template *c = create(spellings[i]);
        assert_string_equal(chat_template_name(c), "chatml");
        chat_template_destroy(c);
    }
}

// What renders otherwise, however little, must not pass for a known template.
static void other_templates_are_refused(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "",
        "{{ messages }}",
        "{% for message in messages %}",
        "{{",
        "{% if '",
        CHATML " ",
        CHATML "\n\n\n",    // two are removed: one by trim_blocks, one at the end
        "\n" CHATML,
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
        "message['content'] + '<|im_end|>'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
        "message['content'] + '<|im_end|>' + "
        "'\n'}} {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif "
        "%}",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n\x02+\x01' + "
        "message['content'] + "
        "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
        "'<|im_start|>assistant\n' }}{% endif %}",
    };
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        struct chat_template *c = NULL;
        struct why why = {""};
        if (chat_template_create(sources[i], strlen(sources[i]), NULL, &c, &why) !=
            ERR_UNSUPPORTED) {
            fail_msg("source %zu was accepted", i);
        }
    }
    struct chat_template *c = NULL;
    struct why why = {""};
    assert_int_equal(chat_template_create("{{x}}", 5, NULL, &c, &why), ERR_UNSUPPORTED);
    assert_non_null(
        strstr(why.text, "supported are the templates of SmolLM2, plain ChatML and Tulu"));
}

static void tulu_ends_answers_with_eos(void **state)
{
    (void)state;
    struct chat_template *c =
        create("{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' "
               "+ message['content'] + '\n' }}"
               "{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}"
               "{% elif message['role'] == 'assistant' %}{% if not loop.last %}"
               "{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}{% else %}"
               "{{ '<|assistant|>\n'  + message['content'] + eos_token }}{% endif %}{% endif %}"
               "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% "
               "endfor %}");
    const struct chat_message m[] = {say("user", "a"), say("assistant", "b"), say("tool", "?"),
                                     say("user", "c"), say("assistant", "d")};
    expect(c, m, 5, false,
           "<|user|>\na\n<|assistant|>\nb<eos>\n<|user|>\nc\n<|assistant|>\nd<eos>");
    expect(c, m, 1, true, "<|user|>\na\n<|assistant|>\n");
    expect(c, m, 0, true, "");
    chat_template_destroy(c);
}

// A model without a known template still tokenizes text; only chats are refused.
static void an_unknown_template_is_reported_when_a_chat_is_rendered(void **state)
{
    (void)state;
    char *dir = files_temp_dir();
    struct source *s = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    struct token_ids ids = {0};
    files_tiny_folder(
        dir, &(struct files_change){.text_key = "chat_template.jinja", .text = "{{ messages }}"});
    assert_int_equal(source_open(dir, &s, &why), ERR_OK);
    assert_int_equal(source_tokenizer(s, &t, &why), ERR_OK);
    assert_int_equal(tokenizer_encode(t, "hello", 5, true, &ids, &why), ERR_OK);
    const struct chat_message user = say("user", "hello");
    assert_int_equal(tokenizer_chat_ids(t, &user, 1, true, &ids, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "not recognised"));
    assert_int_equal(ids.n, 1);
    token_ids_fini(&ids);
    tokenizer_destroy(t);
    source_close(s);
    files_remove(dir);
}

// ---- reference vectors ----

static void check_chat(void *arg, const json_t *line, int number)
{
    const struct tokenizer *t = arg;
    const json_t *messages = json_object_get(line, "messages"), *each,
                 *want = json_object_get(line, "ids");
    bool prompt = json_is_true(json_object_get(line, "add_generation_prompt"));
    size_t n = json_array_size(messages), i;
    struct chat_message *m = calloc(n + 1, sizeof *m);
    struct buf text;
    struct token_ids ids = {0};
    struct why why = {""};
    buf_init(&text, 0);
    assert_non_null(m);
    json_array_foreach(messages, i, each)
    {
        const json_t *content = json_object_get(each, "content");
        m[i] = (struct chat_message){json_string_value(json_object_get(each, "role")),
                                     json_string_value(content), json_string_length(content)};
    }
    assert_int_equal(tokenizer_chat_text(t, m, n, prompt, &text, &why), ERR_OK);
    const json_t *expected = json_object_get(line, "text");
    if (text.len != json_string_length(expected) ||
        memcmp(text.data, json_string_value(expected), text.len) != 0) {
        fail_msg("line %d: the text differs", number);
    }
    assert_int_equal(tokenizer_chat_ids(t, m, n, prompt, &ids, &why), ERR_OK);
    assert_int_equal(ids.n, json_array_size(want));
    json_array_foreach(want, i, each)
    {
        if (ids.ids[i] != json_integer_value(each)) {
            fail_msg("line %d: id %zu is %u", number, i, ids.ids[i]);
        }
    }
    token_ids_fini(&ids);
    buf_fini(&text);
    free(m);
}

static void check_model(const char *model, const char *cases)
{
    struct source *s = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    if (source_open(model, &s, &why) != ERR_OK || source_tokenizer(s, &t, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    files_each_case(cases, check_chat, t);
    tokenizer_destroy(t);
    source_close(s);
}

static void smollm2_chats_agree_with_the_reference(void **state)
{
    (void)state;
    (void)files_env("CARAVAN_REFERENCE");
    check_model(files_env("CARAVAN_MODEL"), "tokenizer/chat_cases.jsonl");
}

static void tiny_chats_agree_with_the_reference(void **state)
{
    (void)state;
    char *path = files_path(files_env("CARAVAN_REFERENCE"), "models/llama");
    check_model(path, "tokenizer/tiny-smollm.chat_cases.jsonl");
    free(path);
}

static void tulu_chats_agree_with_the_reference(void **state)
{
    (void)state;
    const char *reference = files_env("CARAVAN_REFERENCE");
    char *path = files_path(reference, "tokenizer/tiny-smollm/tokenizer.json"), *json = NULL,
         *jinja = NULL;
    char *template_path = files_path(reference, "tokenizer/tulu_template.jinja");
    size_t len = 0, jinja_len = 0;
    struct tokenizer_spec *spec = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    if (fs_read_file(path, 1 << 20, &json, &len, &why) != ERR_OK ||
        fs_read_file(template_path, 1 << 20, &jinja, &jinja_len, &why) != ERR_OK ||
        tokenizer_json_parse(json, len, path, &spec, &why) != ERR_OK ||
        tokenizer_spec_template(spec, jinja, jinja_len, template_path, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    spec->eos_id = 2;
    assert_int_equal(tokenizer_create(spec, &t, &why), ERR_OK);
    files_each_case("tokenizer/tiny-smollm.tulu_chat_cases.jsonl", check_chat, t);
    tokenizer_destroy(t);
    tokenizer_spec_destroy(spec);
    free(json);
    free(jinja);
    free(path);
    free(template_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_writes_its_system_prompt_unless_one_comes_first),
        cmocka_unit_test(plain_chatml_adds_nothing),
        cmocka_unit_test(content_may_hold_any_bytes),
        cmocka_unit_test(spelling_does_not_matter),
        cmocka_unit_test(other_templates_are_refused),
        cmocka_unit_test(tulu_ends_answers_with_eos),
        cmocka_unit_test(an_unknown_template_is_reported_when_a_chat_is_rendered),
        cmocka_unit_test(smollm2_chats_agree_with_the_reference),
        cmocka_unit_test(tiny_chats_agree_with_the_reference),
        cmocka_unit_test(tulu_chats_agree_with_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
