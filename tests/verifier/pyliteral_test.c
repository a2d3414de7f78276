// pyliteral_test.c: labels that Python wrote are read as Python reads them, or refused with a place.
#include "tests/verifier/support.h"

#include <stdlib.h>

#include "verifier/pyliteral.h"

struct parse {
    struct scratch *scratch;
    const char *text;
    size_t len;
    char *out;    // compact JSON
};

static void run_parse(void *arg)
{
    struct parse *p = arg;
    const json_t *v = pyliteral_parse(p->scratch, p->text, p->len, "label");
    p->out = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
}

static enum err parse(const char *text, size_t len, char **out, struct why *why)
{
    struct scratch s;
    scratch_init(&s, 16u << 20);
    struct parse p = {.scratch = &s, .text = text, .len = len};
    enum err e = scratch_run(&s, run_parse, &p, why);
    *out = p.out;
    scratch_fini(&s);
    return e;
}

static void literals_become_json(void **state)
{
    (void)state;
    static const char *const t[][2] = {
        {"[{'a': ['x:y'], 'b': [None, {'n': 3}]}]", "[{\"a\":[\"x:y\"],\"b\":[null,{\"n\":3}]}]"},
        {"(1, 2.5, -3, True, False)", "[1,2.5,-3,true,false]"},
        {"(1,)", "[1]"},
        {"()", "[]"},
        {" [ 1 , 2 , ] ", "[1,2]"},
        {"{'k': 'it\\'s', \"j\": \"a\\n\\x41\\u00e9\"}",
         "{\"k\":\"it's\",\"j\":\"a\\nA\xc3\xa9\"}"},
        {"'a' \"b\"", "\"ab\""},
        {"r'\\d' u'x'", "\"\\\\dx\""},
        {"'''two\nlines'''", "\"two\\nlines\""},
        {"'\\q\\101'", "\"\\\\qA\""},
        {"'\\ud800'", "\"\xef\xbf\xbd\""},
        {"1_000", "1000"},
        {"1e3", "1000.0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        char *out = NULL;
        struct why why = {{0}};
        if (parse(t[i][0], strlen(t[i][0]), &out, &why)) {
            fail_msg("%s: %s", t[i][0], why.text);
        }
        assert_string_equal(out, t[i][1]);
        free(out);
    }
}

static void anything_else_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const t[] = {
        "",      "[",      "[1",          "[1 2]", "{'a'}",     "{1: 2}",     "{'a': 1",
        "'open", "'a\nb'", "'\\x4'",      "nan",   "f()",       "1 + 2",      "[1]]",
        "[,]",   "{,}",    "(1)",         "--1",   "{'a' 'b'}", "[1,,2]",     "'a', 'b'",
        "[1}",   "{'a':}", "{'\\x00':1}", "1e999", "None None", "__import__", "\"",
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        char *out = NULL;
        struct why why = {{0}};
        if (parse(t[i], strlen(t[i]), &out, &why) != ERR_INVALID) {
            fail_msg("%s was read as %s", t[i], out);
        }
        assert_non_null(strstr(why.text, "label: neither JSON nor a Python literal: "));
    }
}

static void depth_is_bounded_without_recursion(void **state)
{
    (void)state;
    char deep[200000], *out = NULL;
    struct why why = {{0}};
    memset(deep, '[', sizeof deep);
    assert_int_equal(parse(deep, sizeof deep, &out, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "nested deeper than 64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_become_json),
        cmocka_unit_test(anything_else_is_refused_with_its_place),
        cmocka_unit_test(depth_is_bounded_without_recursion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
