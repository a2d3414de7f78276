// conf_test.c: a typing mistake in a config file is found before the run begins, and is named.

#include "tests/common/check.h"

#include "common/conf.h"
#include "common/conf_table.h"

static struct conf parsed(const char *text)
{
    struct conf c;
    struct why why = {{0}};
    if (conf_parse(text, strlen(text), "config.yaml", &c, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return c;
}

static void note_difference(void *arg, const char *key, const char *was, const char *now,
                            bool frozen)
{
    (void)frozen;
    int *n = arg;
    print_message("differs: %s: %s, %s\n", key, was, now);
    (*n)++;
}

static void assert_equal_conf(const struct conf *a, const struct conf *b)
{
    int n = 0;
    conf_diff(a, b, note_difference, &n);
    assert_int_equal(n, 0);
}

// ---- the table

static void every_row_has_its_words_and_stands_in_its_section(void **state)
{
    (void)state;
    size_t section = 0;
    for (size_t i = 0; i < conf_n_rows; i++) {
        const struct conf_row *row = &conf_rows[i];
        const char *dot = strchr(row->key, '.');
        size_t len = dot != NULL ? (size_t)(dot - row->key) : 0;
        while (section < conf_n_sections && (strlen(conf_sections[section].name) != len ||
                                             strncmp(conf_sections[section].name, row->key, len))) {
            section++;    // never goes back: rows of a section stand together
        }
        assert_true(section < conf_n_sections);
        assert_true(strlen(row->help) > 15);
        assert_ptr_equal(conf_row_find(row->key), row);
        assert_true(row->offset + row->size <= sizeof(struct conf));
    }
}

static void no_two_rows_share_a_member(void **state)
{
    (void)state;
    for (size_t i = 0; i < conf_n_rows; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct conf_row *a = &conf_rows[i], *b = &conf_rows[j];
            assert_true(a->offset >= b->offset + b->size || b->offset >= a->offset + a->size);
        }
    }
}

static void the_manual_parses_to_the_defaults(void **state)
{
    (void)state;
    struct conf defaults;
    conf_defaults(&defaults);
    char *manual = conf_manual();
    assert_non_null(manual);
    struct conf read = parsed(manual);
    assert_equal_conf(&defaults, &read);
    for (size_t i = 0; i < conf_n_rows; i++) {
        const char *dot = strchr(conf_rows[i].key, '.');
        char line[80];
        (void)snprintf(line, sizeof line, "\n%s%s: ", dot ? "  " : "",
                       dot ? dot + 1 : conf_rows[i].key);
        assert_contains(manual, line);
    }
    for (const char *p = manual; *p != '\0';) {
        size_t len = strcspn(p, "\n");
        assert_true(len <= 100);
        p += len + 1;
    }
    free(manual);
}

static void the_defaults_are_the_documented_ones(void **state)
{
    (void)state;
    struct conf c;
    conf_defaults(&c);
    assert_int_equal(c.group_size, 8);
    assert_int_equal(c.staleness_max, 1);
    assert_true(c.clip_low == 0.2 && c.clip_high == 0.272 && c.lr == 2e-5);
    assert_int_equal(c.advantage, CONF_ADV_MEAN_STD);
    assert_string_equal(c.task_kind, "mixed");
    assert_string_equal(c.http, "127.0.0.1:0");
}

static void every_value_survives_printing_and_reading(void **state)
{
    (void)state;
    struct conf c;
    conf_defaults(&c);
    for (size_t i = 0; i < conf_n_rows; i++) {
        const struct conf_row *row = &conf_rows[i];
        char text[CONF_VALUE_BYTES] = "";
        switch (row->type) {
        case CONF_TYPE_TEXT:
            (void)snprintf(text, sizeof text, "%s",
                           strcmp(row->key, "learner.http") == 0 ? "[::1]:65535"
                           : strcmp(row->key, "reward.shaping") == 0
                               ? "[{\"id\": \"a'b\", \"weight\": -0.5}]"
                           : strcmp(row->key, "learner.listen") == 0
                               ? "ipc://a \"b\" \\ c"
                               : "\xc3\xa9 'x': #\\ \"y\" {z} ~ \xf0\x9f\x90\xab");
            break;
        case CONF_TYPE_CHOICE:
        case CONF_TYPE_ENUM:
            for (size_t k = 0; row->names[k] != NULL; k++) {
                (void)snprintf(text, sizeof text, "%s", row->names[k]);
            }
            break;
        case CONF_TYPE_SEED:
            (void)snprintf(text, sizeof text, "9223372036854775807");
            break;
        case CONF_TYPE_INT:
            (void)snprintf(text, sizeof text, "%.0f", row->max);
            break;
        case CONF_TYPE_NUM:
            (void)snprintf(text, sizeof text, "%.17g", row->min + (row->max - row->min) / 3);
            break;
        case CONF_TYPE_FLAG:
            (void)snprintf(text, sizeof text, "false");
            break;
        }
        struct why why = {{0}};
        if (conf_set(&c, row->key, text, "test", &why) != ERR_OK) {
            fail_msg("%s", why.text);
        }
    }
    char *text = conf_print(&c);
    assert_non_null(text);
    struct conf back = parsed(text);
    assert_equal_conf(&c, &back);
    free(text);
}

// ---- traps

struct trap {
    const char *yaml;
    const char *says;
};

static void expect_traps(const struct trap *traps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct conf c;
        memset(&c, 0x5a, sizeof c);
        struct conf before = c;
        struct why why = {{0}};
        enum err e = conf_parse(traps[i].yaml, strlen(traps[i].yaml), "config.yaml", &c, &why);
        if (e == ERR_OK) {
            fail_msg("accepted: %s", traps[i].yaml);
        }
        if (strstr(why.text, traps[i].says) == NULL) {
            fail_msg("for %s: \"%s\" does not contain \"%s\"", traps[i].yaml, why.text,
                     traps[i].says);
        }
        assert_memory_equal(&c, &before, sizeof c);    // nothing half read
    }
}

static void strict_values_refuse_what_only_looks_like_one(void **state)
{
    (void)state;
    static const struct trap traps[] = {
        {"rollout:\n  group_size: 12abc\n", "config.yaml:2: rollout.group_size: value '12abc', "
                                            "expected an integer in 2..1024 (samples)"},
        {"rollout:\n  group_size: 010", "value '010'"},
        {"rollout:\n  group_size: 0x10", "value '0x10'"},
        {"rollout:\n  group_size: +8", "value '+8'"},
        {"rollout:\n  group_size: 8.0", "value '8.0'"},
        {"rollout:\n  group_size: 8e0", "value '8e0'"},
        {"rollout:\n  group_size: 1_0", "value '1_0'"},
        {"rollout:\n  group_size: 8 9", "value '8 9'"},
        {"rollout:\n  staleness_max: -1", "expected an integer in 0..64 (versions)"},
        {"rollout:\n  staleness_max: -0", "value '-0'"},
        {"rollout:\n  staleness_max: 65", "value '65'"},
        {"rollout:\n  staleness_max: 99999999999999999999", "value '99999999999999999999'"},
        {"rollout:\n  group_size: \"8\"", "no quotes"},
        {"rollout:\n  group_size:", "no value"},
        {"rollout:\n  group_size: ~", "no value"},
        {"rollout:\n  group_size: []", "a list, expected an integer"},
        {"rollout:\n  group_size: {a: 1}", "a map, expected an integer"},
        {"rollout:\n  group_size: !!int 8", "tag"},
        {"seed: -1", "value '-1'"},
        {"seed: 9223372036854775808", "value '9223372036854775808'"},
        {"seed: 1.5", "value '1.5'"},
        {"optim:\n  lr: nan", "value 'nan', expected a number in 0..1"},
        {"optim:\n  lr: .nan", "value '.nan'"},
        {"optim:\n  lr: inf", "value 'inf'"},
        {"optim:\n  lr: 1e999", "value '1e999'"},
        {"optim:\n  lr: 2e-5x", "value '2e-5x'"},
        {"optim:\n  lr: 0x1p-3", "value '0x1p-3'"},
        {"optim:\n  lr: .5", "value '.5'"},
        {"optim:\n  lr: 5.", "value '5.'"},
        {"optim:\n  lr: 1,5", "value '1,5'"},
        {"optim:\n  lr: 2", "value '2'"},
        {"data:\n  shuffle: maybe", "value 'maybe', expected true or false"},
        {"data:\n  shuffle: yes", "value 'yes'"},
        {"data:\n  shuffle: True", "value 'True'"},
        {"data:\n  shuffle: 1", "value '1'"},
        {"data:\n  tasks: maths", "expected math, constraints or mixed"},
        {"loss:\n  advantage: Mean", "expected mean or mean_std"},
        {"model:\n  path: \"a\\0b\"", "NUL"},
        {"model:\n  path: \"a\\nb\"", "control characters"},
        {"model:\n  path: null", "\"\" is an empty one"},
    };
    expect_traps(traps, ARRAY_LEN(traps));
}

static void keys_are_known_and_stand_once(void **state)
{
    (void)state;
    static const struct trap traps[] = {
        {"seed: 1\nrollout:\n  groupsize: 8\n",
         "config.yaml:3: unknown key 'rollout.groupsize', did you mean 'rollout.group_size'?"},
        {"group_size: 8", "did you mean 'rollout.group_size'?"},
        {"rolout:\n  group_size: 8", "did you mean 'rollout'?"},
        {"optim:\n  temperature: 1", "did you mean 'rollout.temperature'?"},
        {"zzzzzzzzzzzzzzzz: 1", "config --print"},
        {"rollout.group_size: 8", "unknown key"},
        {"seed: 1\nseed: 1", "config.yaml:2: seed: stands twice, first in line 1"},
        {"seed: 1\n\"seed\": 2", "stands twice"},
        {"optim:\n  lr: 0\nseed: 1\noptim:\n  lr: 0", "config.yaml:4: optim: stands twice"},
        {"optim:\n  lr: 0\n  lr: 0", "config.yaml:3: optim.lr: stands twice, first in line 2"},
        {"rollout: 8", "expected the keys of the section"},
        {"rollout:\n  rollout:\n    group_size: 8", "unknown key 'rollout.rollout'"},
        {"[1]: 2", "a list as a key"},
        {"<<: {seed: 1}", "unknown key '<<'"},
        {"rollout: &x\n  group_size: *x", "a map, expected an integer"},
        {"? {a: b}\n: 1", "a map as a key"},
        {"\"seed\\0x\": 1", "unknown key"},
        {"\"\": 1", "unknown key ''"},
    };
    expect_traps(traps, ARRAY_LEN(traps));
}

static void what_is_not_one_yaml_map_is_refused(void **state)
{
    (void)state;
    static const struct trap traps[] = {
        {"- 1\n", "config.yaml:1: a list, expected keys and values"},
        {"hello", "a value, expected keys and values"},
        {"seed: 1\n---\nseed: 2\n", "a second YAML document"},
        {"seed: 1\n  x: 2\n", "config.yaml:2: not valid YAML"},
        {"seed: [1", "not valid YAML"},
        {"\tseed: 1", "not valid YAML"},
        {"seed: *gone", "not valid YAML"},
        {"seed: \xff\xfe\xff", "not valid YAML"},
        {"seed: \x01", "not valid YAML"},
    };
    expect_traps(traps, ARRAY_LEN(traps));
}

static void rules_between_keys_are_held(void **state)
{
    (void)state;
    static const struct trap traps[] = {
        {"learner:\n  listen: tcp://0.0.0.0:5555", "config.yaml: learner.token_file: not set"},
        {"learner:\n  listen: tcp://127.example.org:5555", "learner.token_file"},
        {"learner:\n  listen: tcp://localhost:65535", "1..65534"},
        {"learner:\n  listen: tcp://localhost:0", "1..65534"},
        {"learner:\n  listen: tcp://localhost", "tcp://HOST:PORT"},
        {"learner:\n  listen: tcp://:80", "tcp://HOST:PORT"},
        {"learner:\n  listen: tcp://::1:80", "tcp://HOST:PORT"},
        {"learner:\n  listen: http://localhost:80", "ipc://PATH"},
        {"learner:\n  http: localhost", "HOST:PORT"},
        {"learner:\n  http: localhost:80x", "HOST:PORT"},
        {"learner:\n  http: localhost:65536", "0..65535"},
        {"learner:\n  http: \"\"", "HOST:PORT"},
        {"optim:\n  schedule: linear", "stop.steps"},
        {"optim:\n  schedule: cosine", "'optim.schedule: cosine' has fallen"},
        {"optim:\n  lr_min_ratio: 1.5", "optim.lr_min_ratio"},
        {"loss:\n  kl_estimator: k5", "loss.kl_estimator"},
        {"loss:\n  dual_clip: 0.5", "loss.dual_clip: 0.5"},
        {"loss:\n  dual_clip: 3\n  policy: cispo", "loss.dual_clip: 3"},
        {"loss:\n  policy: ppo", "loss.policy"},
        {"learner:\n  device: gpu", "learner.device"},
        {"learner:\n  device: cuda", "actor.device: value 'cpu'"},
        {"actor:\n  device: cuda", "and that is 'cpu'"},
        {"eval:\n  every_steps: 5\ndata:\n  eval_n: 0", "data.eval_n"},
        {"run_dir: "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaa",
         "at most 90"},
    };
    expect_traps(traps, ARRAY_LEN(traps));
    (void)parsed("learner:\n  listen: tcp://127.0.0.1:5555");
    (void)parsed("learner:\n  listen: tcp://[::1]:5555");
    (void)parsed("learner:\n  listen: tcp://localhost:5555");
    (void)parsed("learner:\n  listen: tcp://10.0.0.1:5555\n  token_file: secret");
    (void)parsed("optim:\n  schedule: linear\nstop:\n  steps: 10");
    (void)parsed("optim:\n  schedule: cosine\n  lr_min_ratio: 0.1\nstop:\n  steps: 10");
    (void)parsed("loss:\n  dual_clip: 3\n  aggregate: dr_grpo");
    (void)parsed("learner:\n  device: cuda\nactor:\n  device: cuda");
    (void)parsed("learner:\n  device: cuda\nactor:\n  count: 0");
    (void)parsed("learner:\n  device: cpu-portable\nactor:\n  device: cpu-avx2");
}

static void the_model_may_come_from_the_command_line_but_must_come(void **state)
{
    (void)state;
    struct conf c = parsed("seed: 1");
    struct why why;
    assert_int_equal(conf_check(&c, "config.yaml", &why), ERR_INVALID);
    assert_contains(why.text, "config.yaml: model.path: not set");
    assert_int_equal(conf_set(&c, "model.path", "m.gguf", "--model", &why), ERR_OK);
    assert_int_equal(conf_check(&c, "config.yaml", &why), ERR_OK);
}

static void too_long_texts_are_refused(void **state)
{
    (void)state;
    struct conf c;
    struct why why;
    static char big[(256 << 10) + 2];
    memset(big, '#', sizeof big - 1);
    assert_int_equal(conf_parse(big, sizeof big - 1, "big.yaml", &c, &why), ERR_LIMIT);
    assert_contains(why.text, "big.yaml");

    conf_defaults(&c);
    memset(big, 'm', CONF_STR - 1);
    big[CONF_STR - 1] = '\0';
    assert_int_equal(conf_set(&c, "model.path", big, "w", &why), ERR_OK);
    big[CONF_STR - 1] = 'm';
    big[CONF_STR] = '\0';
    assert_int_equal(conf_set(&c, "model.path", big, "w", &why), ERR_INVALID);
    assert_contains(why.text, "at most 511 bytes");
    memset(big, 'k', 3000);
    big[3000] = '\0';
    assert_int_equal(conf_set(&c, big, "1", "w", &why), ERR_NOT_FOUND);
}

// A file of brackets is the classic way to exhaust a parser's stack.
static void deep_yaml_is_an_error_and_not_a_crash(void **state)
{
    (void)state;
    static char deep[60000];
    struct conf c;
    struct why why;
    memset(deep, '[', sizeof deep);
    assert_int_not_equal(conf_parse(deep, sizeof deep, "deep.yaml", &c, &why), ERR_OK);
    memset(deep, '{', sizeof deep);
    assert_int_not_equal(conf_parse(deep, sizeof deep, "deep.yaml", &c, &why), ERR_OK);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff",
                                      "\xc0\x80",
                                      "\xed\xa0\x80",
                                      "a\xc3",
                                      "\xf4\x90\x80\x80",
                                      "\xe2\x80\xa8",
                                      "\xc2\x85",
                                      "a\tb",
                                      "\x7f",
                                      "\xef\xbb\xbf",
                                      "\xf8\x88\x80\x80\x80"};
    struct conf c;
    struct why why;
    conf_defaults(&c);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(conf_set(&c, "model.path", bad[i], "w", &why), ERR_INVALID);
    }
    assert_string_equal(c.model, "");
}

// ---- what is accepted

static void a_file_changes_only_what_it_names(void **state)
{
    (void)state;
    struct conf want;
    conf_defaults(&want);
    want.group_size = 4;
    want.lr = 1e-4;
    want.shuffle = false;
    want.sandbox = CONF_SANDBOX_NONE;
    (void)snprintf(want.model, sizeof want.model, "m.gguf");
    // A section whose keys are all commented out.
    struct conf got = parsed("# comment\nmodel: {path: m.gguf}\nrollout:\n  group_size: 4\noptim:\n"
                             "  lr: 1E-4\ndata:\n  shuffle: false\nverifier:\n  sandbox: none\n"
                             "eval:\n");
    assert_equal_conf(&want, &got);
    conf_defaults(&want);
    got = parsed("");
    assert_equal_conf(&want, &got);
    got = parsed("# nothing\n---\n");
    assert_equal_conf(&want, &got);
}

static void a_file_on_disk_is_read_and_an_absent_one_named(void **state)
{
    (void)state;
    struct conf c;
    struct why why;
    const char text[] = "seed: 5\n\nrollout:\n  max_tokens: 0\n";
    assert_int_equal(fs_write_file("run.yaml", text, 8, &why), ERR_OK);
    assert_int_equal(conf_load("run.yaml", &c, &why), ERR_OK);
    assert_int_equal(c.seed, 5);
    assert_int_equal(fs_write_file("run.yaml", text, strlen(text), &why), ERR_OK);
    assert_int_equal(conf_load("run.yaml", &c, &why), ERR_INVALID);
    assert_contains(why.text, "run.yaml:4: rollout.max_tokens: value '0'");
    assert_int_equal(conf_load("absent.yaml", &c, &why), ERR_NOT_FOUND);
    assert_contains(why.text, "absent.yaml");
}

static void overrides_are_as_strict_as_the_file(void **state)
{
    (void)state;
    struct conf c;
    struct why why;
    conf_defaults(&c);
    assert_int_equal(conf_set(&c, "rollout.group_size", "16", "--set", &why), ERR_OK);
    assert_int_equal(c.group_size, 16);
    assert_int_equal(conf_set(&c, "rollout.group_size", "1", "--set", &why), ERR_INVALID);
    assert_contains(why.text,
                    "--set: rollout.group_size: value '1', expected an integer in 2..1024");
    assert_int_equal(conf_set(&c, "rollout.group_sise", "4", "--set", &why), ERR_NOT_FOUND);
    assert_contains(why.text, "'rollout.group_size'");
    assert_int_equal(c.group_size, 16);
}

static void a_value_can_be_asked_for(void **state)
{
    (void)state;
    struct conf c;
    char text[64], two[2];
    conf_defaults(&c);
    assert_int_equal(conf_get(&c, "loss.clip_low", text, sizeof text), ERR_OK);
    assert_string_equal(text, "0.2");
    assert_int_equal(conf_get(&c, "model.dtype", text, sizeof text), ERR_OK);
    assert_string_equal(text, "bf16");
    assert_int_equal(conf_get(&c, "model.dtyp", text, sizeof text), ERR_NOT_FOUND);
    assert_int_equal(conf_get(&c, "model.dtype", two, sizeof two), ERR_LIMIT);
}

struct seen {
    int n, n_frozen;
    char key[64], was[64], now[64];
};

static void note(void *arg, const char *key, const char *was, const char *now, bool frozen)
{
    struct seen *s = arg;
    s->n++;
    s->n_frozen += frozen;
    (void)snprintf(s->key, sizeof s->key, "%s", key);
    (void)snprintf(s->was, sizeof s->was, "%s", was);
    (void)snprintf(s->now, sizeof s->now, "%s", now);
}

static void a_diff_tells_what_may_change_at_resume(void **state)
{
    (void)state;
    struct conf was, now;
    struct seen s = {0};
    conf_defaults(&was);
    now = was;
    conf_diff(&was, &now, note, &s);
    assert_int_equal(s.n, 0);
    now.lr = 1e-6;
    conf_diff(&was, &now, note, &s);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.n_frozen, 0);
    assert_string_equal(s.key, "optim.lr");
    assert_string_equal(s.was, "2e-05");
    assert_string_equal(s.now, "1e-06");
    static const char *const frozen[] = {"seed",        "model.path",
                                         "model.dtype", "model.chat_template",
                                         "data.train",  "rollout.group_size"};
    for (size_t i = 0; i < ARRAY_LEN(frozen); i++) {
        assert_true(conf_row_find(frozen[i])->frozen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_its_words_and_stands_in_its_section),
        cmocka_unit_test(no_two_rows_share_a_member),
        cmocka_unit_test(the_manual_parses_to_the_defaults),
        cmocka_unit_test(the_defaults_are_the_documented_ones),
        cmocka_unit_test(every_value_survives_printing_and_reading),
        cmocka_unit_test(strict_values_refuse_what_only_looks_like_one),
        cmocka_unit_test(keys_are_known_and_stand_once),
        cmocka_unit_test(what_is_not_one_yaml_map_is_refused),
        cmocka_unit_test(rules_between_keys_are_held),
        cmocka_unit_test(the_model_may_come_from_the_command_line_but_must_come),
        cmocka_unit_test(too_long_texts_are_refused),
        cmocka_unit_test(deep_yaml_is_an_error_and_not_a_crash),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(a_file_changes_only_what_it_names),
        cmocka_unit_test(a_file_on_disk_is_read_and_an_absent_one_named),
        cmocka_unit_test(overrides_are_as_strict_as_the_file),
        cmocka_unit_test(a_value_can_be_asked_for),
        cmocka_unit_test(a_diff_tells_what_may_change_at_resume),
    };
    return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}
