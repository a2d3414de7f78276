// pyregex_literal_test.c: plain text is found where the engine finds it. The engine gets the same
// text in a group, which it alone can read.
#include "tests/verifier/support.h"

#include "verifier/pyregex.h"
#include "verifier/pyregex_literal.h"

struct search {
    struct scratch *scratch;
    const char *text, *subject;
    bool before, after;
    unsigned flags;
    size_t plain, engine;
};

static struct pyspan pattern(const struct search *s, const char *open, const char *close)
{
    char bytes[128];
    snprintf(bytes, sizeof bytes, "%s%s%s%s%s", s->before ? "\\b" : "", open, s->text, close,
             s->after ? "\\b" : "");
    return pytext_literal(s->scratch, bytes);
}

static void run_search(void *arg)
{
    struct search *s = arg;
    struct pyregex_literal literal;
    struct pyspan plain = pattern(s, "", ""), grouped = pattern(s, "(?:", ")");
    assert_true(pyregex_literal_read(s->scratch, plain, s->flags & PYREGEX_IGNORECASE, &literal));
    assert_false(pyregex_literal_read(s->scratch, grouped, false, &literal));
    struct pyspan subject = pytext_literal(s->scratch, s->subject);
    s->plain = pyregex_count(s->scratch, pyregex_compile(s->scratch, plain, s->flags), subject);
    s->engine = pyregex_count(s->scratch, pyregex_compile(s->scratch, grouped, s->flags), subject);
}

static size_t count(const char *text, const char *subject, unsigned flags, bool before, bool after)
{
    struct scratch scratch;
    scratch_init(&scratch, 16u << 20);
    struct search s = {&scratch, text, subject, before, after, flags, 0, 0};
    struct why why = {{0}};
    assert_int_equal(scratch_run(&scratch, run_search, &s, &why), ERR_OK);
    scratch_fini(&scratch);
    if (s.plain != s.engine) {
        fail_msg("\"%s\" in \"%s\", flags %u: %zu, by the engine %zu", text, subject, flags,
                 s.plain, s.engine);
    }
    return s.plain;
}

static void plain_text_is_found_where_the_engine_finds_it(void **state)
{
    (void)state;
    static const char *const texts[] = {"a",        "aa", "a b",      "k",           "I",  "s",
                                        "\xcf\x83", "-",  "ab",       " ",           "a-", "#",
                                        "\n",       "5_", "\xc3\x9f", "\xef\xac\x86"};
    static const char *const subjects[] = {
        "",
        "a",
        "aaa aA Aa",
        "a b A  B a\nb",
        "\xe2\x84\xaa k K is I\xc4\xb1\xc4\xb0 \xc5\xbfS",
        "\xce\xa3\xcf\x83\xcf\x82 \xe1\xba\x9e\xc3\x9f"
        "ss \xef\xac\x85",
        "a-a --a- ab_ab 5_5 #a#",
        "a\xcc\x81 \xe0\xa4\x95\xe0\xa4\xbe"
        "a",
    };
    size_t found = 0;
    for (size_t i = 0; i < ARRAY_LEN(texts) * ARRAY_LEN(subjects) * 8; i++) {
        const char *text = texts[i / 8 % ARRAY_LEN(texts)];
        const char *subject = subjects[i / 8 / ARRAY_LEN(texts)];
        found += count(text, subject, i & 1 ? PYREGEX_IGNORECASE : 0, i & 2, i & 4);
    }
    assert_true(found > 100);
}

static void letters_of_one_set_are_the_same_when_case_is_ignored(void **state)
{
    (void)state;
    assert_int_equal(count("i", "iI\xc4\xb0\xc4\xb1", PYREGEX_IGNORECASE, false, false), 4);
    assert_int_equal(count("\xc5\xbf", "sS\xc5\xbf", PYREGEX_IGNORECASE, false, false), 3);
    assert_int_equal(
        count("\xc2\xb5", "\xc2\xb5\xce\xbc\xce\x9c", PYREGEX_IGNORECASE, false, false), 3);
    assert_int_equal(count("\xc3\x9f", "ss SS", PYREGEX_IGNORECASE, false, false), 0);
    assert_int_equal(count("i", "iI\xc4\xb0\xc4\xb1", 0, false, false), 1);
}

// \b needs a word character on exactly one side.
static void an_edge_has_a_word_on_one_side(void **state)
{
    (void)state;
    assert_int_equal(count("red", "red redder bored red_ -red-", 0, true, true), 2);
    assert_int_equal(count("-", "- a-b -", 0, true, true), 1);
    assert_int_equal(count("aa", "aaa", 0, false, true), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_is_found_where_the_engine_finds_it),
        cmocka_unit_test(letters_of_one_set_are_the_same_when_case_is_ignored),
        cmocka_unit_test(an_edge_has_a_word_on_one_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
