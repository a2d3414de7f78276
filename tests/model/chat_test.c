// chat_test.c: chats as models were trained to see them: our own formats, templates that models
// bring, and what ends an answer.
//
// A model that is prompted in another format than it was trained on fails quietly, so renderings are
// compared to the byte; those of the peer are used where CARAVAN_REFERENCE is set.

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
#include "tests/model/model_files.h"

#define CHATML                                                                                     \
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] " \
    "+ '<|im_end|>' + "                                                                            \
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

static struct chat_template *create_named(const char *source, const char *bos, const char *eos)
{
    struct chat_template *c = NULL;
    struct why why = {""};
    const struct chat_tokens tokens = {.bos = bos, .eos = eos};
    if (chat_template_create(source, strlen(source), "test", &tokens, &c, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return c;
}

static struct chat_template *create(const char *source)
{
    return create_named(source, NULL, "<eos>");
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

// The same template in other spellings renders the same.
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
        const struct chat_message m[] = {say("user", "a"), say("assistant", "b")};
        expect(c, m, 2, true,
               "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
               "<|im_start|>assistant\n");
        chat_template_destroy(c);
    }
}

static const struct chat_message talk[] = {
    {"system", "S", 1}, {"user", "q", 1}, {"assistant", " a ", 3}, {"user", "r", 1}};

// The formats are what the models of these names were trained on; each is written down here once
// more, as text.
static void our_own_formats_are_those_of_the_models(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *end;
    } cases[] = {
        {"chatml",
         "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n "
         "a <|im_end|>\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n",
         "<|im_end|>"},
        {"llama2", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nq [/INST] a </s><s>[INST] r [/INST]", "</s>"},
        {"llama3",
         "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
         "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>"
         "<|start_header_id|>user<|end_header_id|>\n\nr<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\n",
         "<|eot_id|>"},
        {"mistral", "<s>[INST] S\n\nq[/INST]  a </s>[INST] r[/INST]", "</s>"},
        {"olmo2",
         "<s><|system|>\nS\n<|user|>\nq\n<|assistant|>\n a </s>\n<|user|>\nr\n<|assistant|>\n",
         "</s>"},
        {"tulu", "<|system|>\nS\n<|user|>\nq\n<|assistant|>\n a </s>\n<|user|>\nr\n<|assistant|>\n",
         "</s>"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_non_null(strstr(chat_builtin_names(), cases[i].name));
        struct chat_template *c = create_named(chat_builtin(cases[i].name), "<s>", "</s>");
        expect(c, talk, ARRAY_LEN(talk), true, cases[i].text);
        assert_string_equal(chat_template_end_of_turn(c), cases[i].end);
        chat_template_destroy(c);
    }
    assert_null(chat_builtin("nonsense"));
}

static void a_default_system_prompt_gives_way_to_one_that_is_said(void **state)
{
    (void)state;
    struct chat_template *c = create_named(chat_builtin("qwen2"), NULL, NULL);
    expect(c, talk + 1, 1, false,
           "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
           "<|im_start|>user\nq<|im_end|>\n");
    expect(c, talk, 2, false, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nq<|im_end|>\n");
    chat_template_destroy(c);
}

static void expect_failure(const struct chat_template *c, const struct chat_message *m, size_t n,
                           const char *text)
{
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    assert_int_equal(buf_append(&out, "kept", 4), ERR_OK);
    assert_int_equal(chat_template_render(c, m, n, true, &out, &why), ERR_INVALID);
    if (strstr(why.text, text) == NULL) {
        fail_msg("'%s' does not say '%s'", why.text, text);
    }
    assert_int_equal(out.len, 4);
    buf_fini(&out);
}

// What a template refuses, it says in its own words, and the user must see them.
static void a_template_can_refuse_a_chat(void **state)
{
    (void)state;
    struct chat_template *c = create_named(chat_builtin("mistral"), "<s>", "</s>");
    const struct chat_message twice[] = {say("user", "a"), say("user", "b")};
    expect_failure(c, twice, 2, "test:1: message 2 is of role user: user and assistant must take");
    chat_template_destroy(c);
    c = create("{{ raise_exception('only after\nlunch') }}");
    expect_failure(c, talk, 1, "test:1: only after lunch");
    assert_null(chat_template_end_of_turn(c));
    chat_template_destroy(c);
}

static void tokens_that_the_tokenizer_lacks_are_undefined(void **state)
{
    (void)state;
    struct chat_template *c =
        create_named("[{{ bos_token }}|{{ eos_token is defined }}|{{ tools is "
                     "none }}|{{ documents is none }}]",
                     "<s>", NULL);
    expect(c, talk, 1, false, "[<s>|False|True|True]");
    chat_template_destroy(c);
}

static void the_date_is_the_same_every_day(void **state)
{
    (void)state;
    struct chat_template *c = create("{{ strftime_now('%d %b %Y') }}");
    expect(c, talk, 1, false, "26 Jul 2024");
    chat_template_destroy(c);
}

// Only what follows the answer ends it, without the blanks around it.
static void the_end_of_a_turn_is_what_follows_the_answer(void **state)
{
    (void)state;
    static const struct {
        const char *source, *end;
    } cases[] = {
        {"{% for m in messages %}{{ m.content }} <end>\n{% endfor %}", "<end>"},
        {"{% for m in messages %}<s>{{ m.content }}{% endfor %}", NULL},
        {"{% for m in messages %}{{ m.content }}\n {% endfor %}", NULL},
        {"{{ messages[0].content }}<end>", NULL},
        {"{{ messages[1].content | trim ~ eos_token }}<tail>", "<eos><tail>"},
        {"nothing", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct chat_template *c = create(cases[i].source);
        const char *end = chat_template_end_of_turn(c);
        assert_int_equal(end == NULL, cases[i].end == NULL);
        assert_string_equal(end == NULL ? "" : end, cases[i].end == NULL ? "" : cases[i].end);
        chat_template_destroy(c);
    }
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

// A model with a template that is not supported still tokenizes text; only chats are refused.
static void a_template_that_is_not_supported_is_reported_when_a_chat_is_rendered(void **state)
{
    (void)state;
    char *dir = files_temp_dir();
    struct source *s = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    struct token_ids ids = {0};
    files_tiny_folder(dir, &(struct files_change){.text_key = "chat_template.jinja",
                                                  .text = "{% include 'x' %}"});
    assert_int_equal(source_open(dir, &s, &why), ERR_OK);
    assert_int_equal(source_tokenizer(s, &t, &why), ERR_OK);
    assert_int_equal(tokenizer_encode(t, "hello", 5, true, &ids, &why), ERR_OK);
    const struct chat_message user = say("user", "hello");
    assert_int_equal(tokenizer_chat_ids(t, &user, 1, true, &ids, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "chat template:1: the tag {% include %} is not supported"));
    assert_int_equal(ids.n, 1);
    token_ids_fini(&ids);
    tokenizer_destroy(t);
    source_close(s);
    files_remove(dir);
}

// Folders carry the template in one of three places; what is written for people to edit wins.
static void a_folder_may_keep_its_template_in_three_places(void **state)
{
    (void)state;
    static const char one[] = "{\"chat_template\": \"one {{ messages[0].content }}\"}";
    static const char many[] =
        "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"no\"}, "
        "{\"name\": \"default\", \"template\": \"many {{ messages[0].content }}\"}]}";
    static const char file[] = "file {{ messages[0].content }}";
    const struct {
        const char *config, *jinja, *want;
    } cases[] = {{one, NULL, "one S"}, {many, NULL, "many S"}, {many, file, "file S"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *dir = files_temp_dir(), *jinja = files_path(dir, "chat_template.jinja");
        struct source *s = NULL;
        struct tokenizer *t = NULL;
        struct buf text;
        struct why why = {""};
        buf_init(&text, 0);
        files_tiny_folder(dir, NULL);
        assert_int_equal(fs_remove_tree(jinja, &why), ERR_OK);
        files_write(dir, "tokenizer_config.json", cases[i].config, strlen(cases[i].config));
        if (cases[i].jinja != NULL) {
            files_write(dir, "chat_template.jinja", cases[i].jinja, strlen(cases[i].jinja));
        }
        assert_int_equal(source_open(dir, &s, &why), ERR_OK);
        assert_int_equal(source_tokenizer(s, &t, &why), ERR_OK);
        assert_int_equal(tokenizer_chat_text(t, talk, 1, true, &text, &why), ERR_OK);
        assert_int_equal(text.len, strlen(cases[i].want));
        assert_memory_equal(text.data, cases[i].want, text.len);
        buf_fini(&text);
        tokenizer_destroy(t);
        source_close(s);
        free(jinja);
        files_remove(dir);
    }
}

// `model.chat_template` and --chat-template: a name, a file, or a clear word.
static void another_template_can_take_the_place_of_the_models(void **state)
{
    (void)state;
    char *dir = files_temp_dir(), *jinja = files_path(dir, "my.jinja");
    struct source *s = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    struct buf text;
    buf_init(&text, 0);
    files_tiny_folder(dir, NULL);
    assert_int_equal(source_open(dir, &s, &why), ERR_OK);
    struct hash128 before = source_tokenizer_hash(s);
    assert_int_equal(source_set_template(s, "", &why), ERR_OK);
    assert_int_equal(source_set_template(s, "nonsense", &why), ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "'nonsense': neither a file nor one of chatml, llama2"));
    files_write(dir, "my.jinja", "\n{% for", 7);
    assert_int_equal(source_set_template(s, jinja, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "my.jinja:2: the template ends inside a tag"));
    assert_true(hash_equal(before, source_tokenizer_hash(s)));
    files_write(dir, "my.jinja", "<{{ messages[0].content }}>", 27);
    assert_int_equal(source_set_template(s, jinja, &why), ERR_OK);
    assert_false(hash_equal(before, source_tokenizer_hash(s)));
    assert_int_equal(source_tokenizer(s, &t, &why), ERR_OK);
    assert_int_equal(tokenizer_chat_text(t, talk, 1, true, &text, &why), ERR_OK);
    assert_int_equal(text.len, 3);
    assert_memory_equal(text.data, "<S>", 3);
    buf_fini(&text);
    tokenizer_destroy(t);
    source_close(s);
    free(jinja);
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

static void check_model(const char *model, const char *chat_template, const char *cases)
{
    struct source *s = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    if (source_open(model, &s, &why) != ERR_OK ||
        source_set_template(s, chat_template, &why) != ERR_OK ||
        source_tokenizer(s, &t, &why) != ERR_OK) {
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
    check_model(files_env("CARAVAN_MODEL"), "", "tokenizer/chat_cases.jsonl");
}

static void tiny_chats_agree_with_the_reference(void **state)
{
    (void)state;
    char *path = files_path(files_env("CARAVAN_REFERENCE"), "models/llama");
    check_model(path, "", "tokenizer/tiny-smollm.chat_cases.jsonl");
    check_model(path, "tulu", "tokenizer/tiny-smollm.tulu_chat_cases.jsonl");
    free(path);
}

// ---- renderings of the peer, as text ----

static void check_text(void *arg, const json_t *line, int number)
{
    const struct chat_template *c = arg;
    const json_t *messages = json_object_get(line, "messages"), *each;
    const json_t *expected = json_object_get(line, "text");
    size_t n = json_array_size(messages), i;
    struct chat_message *m = calloc(n + 1, sizeof *m);
    struct buf text;
    struct why why = {""};
    buf_init(&text, 0);
    assert_non_null(m);
    json_array_foreach(messages, i, each)
    {
        const json_t *content = json_object_get(each, "content");
        m[i] = (struct chat_message){json_string_value(json_object_get(each, "role")),
                                     json_string_value(content), json_string_length(content)};
    }
    bool prompt = json_is_true(json_object_get(line, "add_generation_prompt"));
    assert_int_equal(chat_template_render(c, m, n, prompt, &text, &why), ERR_OK);
    if (text.len != json_string_length(expected) ||
        memcmp(text.data, json_string_value(expected), text.len) != 0) {
        fail_msg("line %d: expected %s, got %.*s", number, json_string_value(expected),
                 (int)text.len, (const char *)text.data);
    }
    buf_fini(&text);
    free(m);
}

static char *read_reference(const char *relative)
{
    char *path = files_path(files_env("CARAVAN_REFERENCE"), relative), *text = NULL;
    size_t len = 0;
    struct why why = {""};
    if (fs_read_file(path, 1 << 20, &text, &len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    free(path);
    return text;
}

// The text of a key of a model's tokenizer_config.json.
static char *config_text(const char *model, const char *key)
{
    char name[256];
    struct why why = {""};
    json_t *config = NULL;
    (void)snprintf(name, sizeof name, "models/%s/tokenizer_config.json", model);
    char *text = read_reference(name);
    assert_int_equal(json_parse(text, strlen(text), name, &config, &why), ERR_OK);
    const char *value = json_string_value(json_object_get(config, key));
    char *copy = value == NULL ? NULL : strdup(value);
    json_decref(config);
    free(text);
    return copy;
}

// A model's own template, and our own format of that name, give what the peer recorded.
static void check_family(const char *cases, const char *model, const char *builtin)
{
    char *bos = config_text(model, "bos_token"), *eos = config_text(model, "eos_token");
    char *source = config_text(model, "chat_template");
    char name[256];
    (void)snprintf(name, sizeof name, "models/%s/chat_template.jinja", model);
    source = source != NULL ? source : read_reference(name);
    const char *const sources[] = {source, chat_builtin(builtin)};
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        struct chat_template *c = create_named(sources[i], bos, eos);
        files_each_case(cases, check_text, c);
        chat_template_destroy(c);
    }
    free(source);
    free(bos);
    free(eos);
}

static void templates_of_all_families_agree_with_the_reference(void **state)
{
    (void)state;
    check_family("tokenizer/chat_cases.jsonl", "llama", "smollm2");
    check_family("tokenizer/tiny-llama3.chat_cases.jsonl", "llama3", "llama3");
    check_family("tokenizer/tiny-qwen2.chat_cases.jsonl", "qwen2", "qwen2");
    check_family("tokenizer/tiny-smollm.tulu_chat_cases.jsonl", "mistral", "tulu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_writes_its_system_prompt_unless_one_comes_first),
        cmocka_unit_test(plain_chatml_adds_nothing),
        cmocka_unit_test(content_may_hold_any_bytes),
        cmocka_unit_test(spelling_does_not_matter),
        cmocka_unit_test(our_own_formats_are_those_of_the_models),
        cmocka_unit_test(a_default_system_prompt_gives_way_to_one_that_is_said),
        cmocka_unit_test(a_template_can_refuse_a_chat),
        cmocka_unit_test(tokens_that_the_tokenizer_lacks_are_undefined),
        cmocka_unit_test(the_date_is_the_same_every_day),
        cmocka_unit_test(a_folder_may_keep_its_template_in_three_places),
        cmocka_unit_test(another_template_can_take_the_place_of_the_models),
        cmocka_unit_test(the_end_of_a_turn_is_what_follows_the_answer),
        cmocka_unit_test(tulu_ends_answers_with_eos),
        cmocka_unit_test(a_template_that_is_not_supported_is_reported_when_a_chat_is_rendered),
        cmocka_unit_test(smollm2_chats_agree_with_the_reference),
        cmocka_unit_test(tiny_chats_agree_with_the_reference),
        cmocka_unit_test(templates_of_all_families_agree_with_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
