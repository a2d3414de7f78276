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

// ---- templates that mean harm ----

static json_t *variables(void)
{
    json_t *vars =
        json_pack("{s:[{s:s, s:s}], s:i}", "messages", "role", "user", "content", "hi", "n", 3);
    assert_non_null(vars);
    return vars;
}

static void expect_refusal(const char *source, size_t len, const struct jinja_limits *limits,
                           enum err code, const char *text)
{
    json_t *vars = variables();
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    assert_int_equal(buf_append(&out, "kept", 4), ERR_OK);
    enum err e = render(source, len, vars, limits, &out, &why);
    if (e != code || strstr(why.text, text) == NULL) {
        fail_msg("%.60s: %s, '%s'; expected %s, '%s'", source, err_text(e), why.text,
                 err_text(code), text);
    }
    assert_int_equal(out.len, 4);
    buf_fini(&out);
    json_decref(vars);
}

// Found while reading, so that a run does not stop at its thousandth prompt, and with the line.
static void what_is_not_supported_is_named_while_parsing(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        enum err code;
        const char *text;
    } cases[] = {
        {"a\n{% for m in messages %}\n{{ m }}", ERR_INVALID,
         "chat template:3: {% for %} of line 2 without {% endfor %}"},
        {"{% if n %}\n{% macro m() %}{% endif %}", ERR_INVALID,
         "chat template:2: unexpected {% endif %}"},
        {"{% if false %}\n\n{{ 1 | frobnicate }}{% endif %}", ERR_UNSUPPORTED,
         "chat template:3: the filter 'frobnicate' is not supported"},
        {"{% if false %}{{ 1 is\nfrobbed }}{% endif %}", ERR_UNSUPPORTED,
         "chat template:2: the test 'frobbed' is not supported"},
        {"{% include 'other' %}", ERR_UNSUPPORTED, "the tag {% include %} is not supported"},
        {"{% extends 'other' %}", ERR_UNSUPPORTED, "the tag {% extends %} is not supported"},
        {"{% for a in b recursive %}{% endfor %}", ERR_UNSUPPORTED, "recursive loops"},
        {"{% if 0 %}{{ cycler(1, 2) }}{% endif %}", ERR_UNSUPPORTED, "the function cycler"},
        {"{{ 1 + }}", ERR_INVALID, "chat template:1: expected an expression, found '}}'"},
        {"{{ 'a }}", ERR_INVALID, "a string without its closing '"},
        {"{{ 99999999999999999999 }}", ERR_UNSUPPORTED, "does not fit 64 bits"},
        {"{{ s."
         "00000000000000000000000000000000000000000000000000000000000000000000000000000000 }}",
         ERR_UNSUPPORTED, "the number 0000"},
        {"{{ 010 }}", ERR_UNSUPPORTED, "the number 010"},
        {"{% raw %}x", ERR_INVALID, "{% raw %} without {% endraw %}"},
        {"{# x", ERR_INVALID, "a comment without #}"},
        {"{{ (1] }}", ERR_INVALID, "unexpected ']'"},
        {"{{ 1 ! 2 }}", ERR_INVALID, "unexpected '!'"},
        {"{{ \x01 }}", ERR_INVALID, "unexpected byte 1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct jinja_template *t = NULL;
        struct why why = {""};
        enum err e =
            jinja_parse(cases[i].source, strlen(cases[i].source), "chat template", &t, &why);
        if (e != cases[i].code || strstr(why.text, cases[i].text) == NULL) {
            fail_msg("%s: %s, '%s'", cases[i].source, err_text(e), why.text);
        }
    }
}

static void errors_of_a_rendering_name_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *source, *text;
    } cases[] = {
        {"\n{{ raise_exception('no\nlunch') }}", "chat template:2: no lunch"},
        {"\n\n{{ messages[5].role }}", "chat template:3: list object has no element 5"},
        {"{{ missing.x }}", "chat template:1: 'missing' is undefined"},
        {"{{ messages.append(1) }}", "list.append would change the list"},
        {"{{ n + 'x' }}", "int + str: no such operation"},
        {"{{ n() }}", "a int cannot be called"},
        {"{{ n | tojson(frob=1) }}", "tojson: the argument frob is unknown"},
        {"{{ [1] | map('frob') | list }}", "the filter 'frob' is not supported"},
        {"{{ 9223372036854775807 + n }}", "more than 64 bits"},
        {"{{ 1 // 0 }}", "division by zero"},
        {"{% set n.x = 1 %}", "n is no namespace"},
        {"{{ [1] | map('string') }}", "a generator as text is not supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct jinja_template *t = NULL;
        json_t *vars = variables();
        struct buf out;
        struct why why = {""};
        buf_init(&out, 0);
        assert_int_equal(
            jinja_parse(cases[i].source, strlen(cases[i].source), "chat template", &t, &why),
            ERR_OK);
        assert_int_not_equal(jinja_render(t, vars, &day, &jinja_limits_default, &out, &why),
                             ERR_OK);
        if (strstr(why.text, cases[i].text) == NULL) {
            fail_msg("%s: '%s'", cases[i].source, why.text);
        }
        jinja_destroy(t);
        json_decref(vars);
        buf_fini(&out);
    }
}

static const struct jinja_limits small = {
    .steps = 1000 * 1000, .memory_bytes = (size_t)8 << 20, .output_bytes = (size_t)1 << 20};

// Each of these would run for hours or fill the memory; all must end at a limit, and soon.
static void no_template_runs_or_grows_without_end(void **state)
{
    (void)state;
    static const struct {
        const char *source, *text;
    } cases[] = {
        {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", ""},
        {"{% set r = range(1000) %}{% for a in r %}{% for b in r %}{% if 1 and 1 and 1 and 1 "
         "and 1 and 1 and 1 %}{% endif %}{% endfor %}{% endfor %}",
         "more than 1000000 steps"},
        {"{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", "nested more than"},
        {"{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}", "nested more than"},
        {"{% set s = 'x' * 999 %}{% for a in range(9999) %}{{ s }}{% endfor %}",
         "more than 1048576 bytes of output"},
        {"{{ 'x' * 9999999999 }}", ""},
        {"{{ [1] * 9999999999 }}", ""},
        {"{{ ('x' * 99999).replace('', 'y' * 9999) }}", ""},
        {"{{ range(100000) | list * 99 }}", ""},
        {"{{ range(-5, 9999999999) }}", "range: more than 100000 items"},
        {"{% set ns = namespace(t='x') %}{% for a in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% "
         "endfor %}",
         "more than 8 MiB"},
        {"{% set ns = namespace(l=[]) %}{% for a in range(9999) %}{% set ns.l = [ns.l] %}{% endfor "
         "%}{{ ns.l }}",
         "nested more than"},
        {"{% set ns = namespace(l=[]) %}{% for a in range(9999) %}{% set ns.l = [ns.l] %}{% endfor "
         "%}{{ ns.l | tojson }}",
         "nested more than"},
        {"{% set ns = namespace(l=[], m=[]) %}{% for a in range(9999) %}{% set ns.l = [ns.l] %}{% "
         "set ns.m = [ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
         "nested more than"},
        {"{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}", "nested more than"},
        {"{% set s = 'ab' * 99999 %}{% for a in range(9999) %}{{ 'b' * 9999 in s }}{% endfor %}",
         ""},
        {"{% set s = 'a' * 99999 %}{{ s.rfind('a' * 50000 ~ 'b') }}", "steps"},
        {"{% set s = 'a' * 99999 %}{% for a in range(999) %}{{ s == s ~ '' }}{% endfor %}", ""},
        {"{{ range(9999) | unique | list | length }}", "steps"},
        {"{% set c = 'x' * 9999 %}{{ c | trim(c ~ 'y') }}", "steps"},
        {"{{ ('a' * 9999) | indent(9999999999) }}", ""},
        {"{{ '%999999999d' % n }}", "a width or precision over"},
        {"{{ 'a'.ljust(9999999999) }}", ""},
        {"{{ {'a': 1} | tojson(indent=99999999) }}", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_refusal(cases[i].source, strlen(cases[i].source), &small, ERR_LIMIT, cases[i].text);
    }
}

// The front, `open` 10,000 times, the middle, `close` 10,000 times, the back.
static void expect_too_deep(const char *front, const char *open, const char *middle,
                            const char *close, const char *back)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(buf_printf(&b, "%s", front), ERR_OK);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf_printf(&b, "%s", open), ERR_OK);
    }
    assert_int_equal(buf_printf(&b, "%s", middle), ERR_OK);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf_printf(&b, "%s", close), ERR_OK);
    }
    assert_int_equal(buf_printf(&b, "%s", back), ERR_OK);
    struct jinja_template *t = NULL;
    struct why why = {""};
    enum err e = jinja_parse((const char *)b.data, b.len, "chat template", &t, &why);
    if (e != ERR_LIMIT) {
        fail_msg("%s%s%s: %s, %s", front, open, close, err_text(e), why.text);
    }
    buf_fini(&b);
}

static void depth_of_a_template_does_not_become_depth_of_the_stack(void **state)
{
    (void)state;
    expect_too_deep("{{ ", "(", "1", ")", " }}");
    expect_too_deep("{{ ", "[", "1", "]", " }}");
    expect_too_deep("{{ ", "{1:", "1", "}", " }}");
    expect_too_deep("{{ ", "f(", "1", ")", " }}");
    expect_too_deep("{{ ", "x[", "1", "]", " }}");
    expect_too_deep("", "{% if 1 %}", "", "{% endif %}", "");
    expect_too_deep("", "{% for a in b %}", "", "{% endfor %}", "");
    expect_too_deep("", "{% set a %}", "", "{% endset %}", "");
    expect_too_deep("{{ x", "", "", ".x", " }}");
    expect_too_deep("{{ x", "", "", "[0]", " }}");
    expect_too_deep("{{ x", "", "", " | trim", " }}");
    expect_too_deep("{{ x", "", "", "()", " }}");
    expect_too_deep("{{ 1", "", "", " + 1", " }}");
    expect_too_deep("{{ 1", "", "", " ~ 1", " }}");
    expect_too_deep("{{ 1", "", "", " and 1", " }}");
    expect_too_deep("{{ 1", "", "", " if 1 else 1", " }}");
    expect_too_deep("{{ ", "- ", "1", "", " }}");
    expect_too_deep("{{ ", "not ", "1", "", " }}");
    expect_too_deep("{% for ", "(", "a", ")", " in b %}{% endfor %}");
}

// The limits leave room for what real templates need.
static void ordinary_nesting_passes(void **state)
{
    (void)state;
    struct buf source, out;
    json_t *vars = variables();
    struct why why = {""};
    buf_init(&source, 0);
    buf_init(&out, 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(buf_printf(&source, "{%% if n == 3 %%}"), ERR_OK);
    }
    assert_int_equal(buf_printf(&source, "{{ %.*s1%.*s", 60,
                                "((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((", 60,
                                "))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))"),
                     ERR_OK);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(buf_printf(&source, " + 1"), ERR_OK);
    }
    assert_int_equal(buf_printf(&source, " }}"), ERR_OK);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(buf_printf(&source, "{%% endif %%}"), ERR_OK);
    }
    enum err e =
        render((const char *)source.data, source.len, vars, &jinja_limits_default, &out, &why);
    if (e != ERR_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(out.len, 3);
    assert_memory_equal(out.data, "201", 3);
    json_decref(vars);
    buf_fini(&source);
    buf_fini(&out);
}

// Contents are bytes of the outside: counted and cut without being UTF-8.
static void bytes_that_are_no_utf8_pass_through(void **state)
{
    (void)state;
    static const char source[] =
        "{{ c | length }}{{ c[0] }}{{ c[::-1] }}{{ c | upper }}{{ c.strip() }}";
    json_t *vars = json_object();
    struct buf out;
    struct why why = {""};
    buf_init(&out, 0);
    assert_int_equal(json_object_set_new(vars, "c", json_stringn_nocheck("\xff\xc3 a", 4)), 0);
    if (render(source, sizeof source - 1, vars, &jinja_limits_default, &out, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    static const char expected[] = "4"
                                   "\xff"
                                   "a \xc3\xff"
                                   "\xff\xc3 A"
                                   "\xff\xc3 a";
    assert_int_equal(out.len, sizeof expected - 1);
    assert_memory_equal(out.data, expected, out.len);
    json_decref(vars);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_and_statements_are_those_of_the_peer),
        cmocka_unit_test(whole_templates_render_as_with_the_peer),
        cmocka_unit_test(what_is_not_supported_is_named_while_parsing),
        cmocka_unit_test(errors_of_a_rendering_name_the_line),
        cmocka_unit_test(no_template_runs_or_grows_without_end),
        cmocka_unit_test(depth_of_a_template_does_not_become_depth_of_the_stack),
        cmocka_unit_test(ordinary_nesting_passes),
        cmocka_unit_test(bytes_that_are_no_utf8_pass_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
