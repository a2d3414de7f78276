// jinja_test.c: the template interpreter against cases that jinja2 rendered (tests/data/chat, made
// by tests/tools/chat_cases.py), and against templates that mean harm.
//
// A prompt that differs from the model's by one blank trains something else, so every case is
// compared to the byte; what the peer refuses must be refused here too.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/json.h"
#include "model/jinja.h"

static const struct tm day = {
    .tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_wday = 5, .tm_yday = 207};

static enum err render(const char *source, size_t len, const json_t *vars,
                       const struct jinja_limits *limits, struct buf *out, struct why *why)
{
    struct jinja_template *t = NULL;
    enum err e = jinja_parse(source, len, "chat template", &t, why);
    e = e == ERR_OK ? jinja_render(t, vars, &day, limits, out, why) : e;
    jinja_destroy(t);
    return e;
}

// ---- cases of the peer ----

static int n_bad;

static void check_case(const json_t *line, const json_t *vars, int number)
{
    const json_t *source = json_object_get(line, "template"), *text = json_object_get(line, "text");
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    enum err e = render(json_string_value(source), json_string_length(source), vars,
                        &jinja_limits_default, &out, &why);
    bool same = e == ERR_OK && text != NULL && out.len == json_string_length(text) &&
                (out.len == 0 || memcmp(out.data, json_string_value(text), out.len) == 0);
    if (text == NULL ? e == ERR_OK : !same) {
        print_error("line %d: %s\n  expected %s\n  got      %.*s%s\n", number,
                    json_string_value(source), text != NULL ? json_string_value(text) : "an error",
                    (int)out.len, out.data == NULL ? "" : (const char *)out.data,
                    e != ERR_OK ? why.text : "");
        n_bad++;
    }
    buf_fini(&out);
}

// A line without a template holds the variables of those that follow.
static int check_file(const char *path)
{
    char *data = NULL;
    size_t len = 0;
    struct why why = {""};
    int number = 0, n = 0;
    json_t *vars = NULL;
    assert_int_equal(fs_read_file(path, 4 << 20, &data, &len, &why), ERR_OK);
    n_bad = 0;
    for (char *p = data, *end; (end = strchr(p, '\n')) != NULL; p = end + 1) {
        json_t *line = NULL;
        assert_int_equal(json_parse(p, (size_t)(end - p), path, &line, &why), ERR_OK);
        json_t *own = json_object_get(line, "vars");
        number++;
        if (json_object_get(line, "template") == NULL) {
            json_decref(vars);
            vars = json_incref(own);
        } else {
            check_case(line, own != NULL ? own : vars, number);
            n++;
        }
        json_decref(line);
    }
    json_decref(vars);
    free(data);
    assert_int_equal(n_bad, 0);
    return n;
}

static void expressions_and_statements_are_those_of_the_peer(void **state)
{
    (void)state;
    assert_true(check_file("tests/data/chat/expressions.jsonl") > 650);
}

static void whole_templates_render_as_with_the_peer(void **state)
{
    (void)state;
    assert_true(check_file("tests/data/chat/families.jsonl") > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_and_statements_are_those_of_the_peer),
        cmocka_unit_test(whole_templates_render_as_with_the_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
