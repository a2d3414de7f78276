// pytext_test.c: characters, patterns and JSON as Python sees them, where C libraries would see
// them otherwise.
#include "tests/verifier/support.h"

#include "verifier/pyjson.h"
#include "verifier/pyregex.h"

static struct scratch scratch;

static int start(void **state)
{
    (void)state;
    scratch_init(&scratch, 256u << 20);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    scratch_fini(&scratch);
    return 0;
}

static struct pyspan text(const char *s)
{
    return pytext_literal(&scratch, s);
}

static void whitespace_has_29_members(void **state)
{
    (void)state;
    size_t n = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        n += py_isspace(c);
    }
    assert_int_equal(n, 29);
    assert_true(py_isspace(0x1C) && py_isspace(0x85) && py_isspace(0x3000));
    assert_false(py_isspace(0x200B) || py_isspace(0xFEFF) || py_isspace(0x180E));
}

static void marks_are_no_word_characters_but_fractions_are(void **state)
{
    (void)state;
    assert_true(py_isword('_') && py_isword(0xBD) && py_isword(0x4E00) && py_isword(0xB2));
    assert_false(py_isword(0x301) || py_isword(0x200D) || py_isword('-'));
    assert_true(py_isdecimal(0x663));
    assert_false(py_isdecimal(0xB2) || py_isdecimal(0xBD));
}

static void lower_changes_lengths_and_knows_the_final_sigma(void **state)
{
    (void)state;
    static const char *const t[][2] = {
        {"\xc4\xb0X", "i\xcc\x87x"},
        {"\xce\x9f\xce\xa3", "\xce\xbf\xcf\x82"},
        {"\xce\xa3\xce\x9f", "\xcf\x83\xce\xbf"},
        {"\xce\x9f\xce\xa3'\xce\x9f", "\xce\xbf\xcf\x83'\xce\xbf"},
        {"\xe2\x84\xaa", "k"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct pyspan got = pytext_lower(&scratch, text(t[i][0]));
        assert_true(pyspan_equal(got, text(t[i][1])));
    }
}

static void well_formed_text_survives_a_round_trip(void **state)
{
    (void)state;
    const char *s = "a\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf";
    struct pyspan t = text(s);
    assert_int_equal(t.n, 7);
    assert_string_equal(pytext_encode(&scratch, t, NULL), s);
}

struct search {
    const char *pattern, *subject;
    unsigned flags;
    bool found;
    size_t count;
};

static void run_search(void *arg)
{
    struct search *s = arg;
    const struct pyregex *re = pyregex_compile(&scratch, text(s->pattern), s->flags);
    s->found = pyregex_found(&scratch, re, text(s->subject));
    s->count = pyregex_count(&scratch, re, text(s->subject));
}

static enum err search(const char *pattern, unsigned flags, const char *subject, bool *found,
                       struct why *why)
{
    struct search s = {.pattern = pattern, .subject = subject, .flags = flags};
    enum err e = scratch_run(&scratch, run_search, &s, why);
    *found = s.found;
    return e;
}

// Matches do not overlap, and an empty one may follow a match at its end, as in findall.
static void matches_are_counted_as_findall_does(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *subject;
        size_t count;
    } t[] = {
        {"aa", "aaaaa", 2}, {"a*", "baac", 4}, {"\\b", "ab c", 4}, {"x", "", 0}, {"", "ab", 3}};
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct search s = {.pattern = t[i].pattern, .subject = t[i].subject};
        struct why why = {{0}};
        assert_int_equal(scratch_run(&scratch, run_search, &s, &why), ERR_OK);
        assert_int_equal(s.count, t[i].count);
    }
}

static void upper_expands_ligatures_and_the_sharp_s(void **state)
{
    (void)state;
    assert_true(pyspan_is(pytext_upper(&scratch, text("stra\xc3\x9f"
                                                      "e")),
                          "STRASSE"));
    assert_true(pyspan_is(pytext_upper(&scratch, text("\xef\xac\x83")), "FFI"));
    assert_true(pyspan_isupper(text("A1\xe2\x85\xa3")));
    assert_false(pyspan_isupper(text("123")) || pyspan_isupper(text("A\xc7\x85")));
    assert_true(pyspan_islower(text("a1\xc2\xaa")));
}

static void lists_split_and_join_like_str(void **state)
{
    (void)state;
    struct pylist words = pytext_split(&scratch, text("  a\xe2\x80\xa8 b\tc "));
    assert_int_equal(words.n, 3);
    struct pylist lines = pytext_splitlines(&scratch, text("a\r\nb\n\nc\xe2\x80\xa8"));
    assert_int_equal(lines.n, 4);
    assert_true(pyspan_is(lines.v[1], "b") && lines.v[2].n == 0);
    struct pylist parts = pytext_split_by(&scratch, text("aXXXb"), "XX");
    assert_int_equal(parts.n, 2);
    assert_true(pyspan_is(parts.v[1], "Xb"));
    assert_true(pyspan_is(pytext_join(&scratch, parts, text("-")), "a-Xb"));
    assert_true(pyspan_is(pytext_ascii_folded(&scratch, text("Caf\xc3\xa9 \xc2\xbd")), "Cafe 12"));
}

// Long needles go another way than short ones; both must skip hits between code points.
static void search_finds_needles_of_any_length(void **state)
{
    (void)state;
    char hay[400], needle[80];
    memset(hay, 'a', sizeof hay - 1);
    memset(needle, 'a', sizeof needle - 1);
    hay[sizeof hay - 1] = needle[sizeof needle - 1] = 0;
    needle[70] = 'b';
    assert_int_equal(pyspan_search(text(hay), text(needle), 0), PYSPAN_NONE);
    hay[370] = 'b';
    assert_int_equal(pyspan_search(text(hay), text(needle), 0), 300);
    assert_int_equal(pyspan_search(text(hay), text("ab"), 0), 369);
    assert_int_equal(pyspan_search(text(hay), text(""), 399), 399);
    assert_int_equal(pyspan_search(text(hay), text(""), 400), PYSPAN_NONE);
}

static void patterns_mean_what_they_mean_in_python(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        unsigned flags;
        const char *subject;
        bool found;
    } t[] = {
        {"a\\Z", 0, "a\n", false},
        {"a$", 0, "a\n", true},
        {"^b", 0, "a\nb", false},
        {"^b", PYREGEX_MULTILINE, "a\nb", true},
        {"a.b", 0, "a\rb", true},
        {"a.b", 0, "a\nb", false},
        {"a\\vb", 0,
         "a\x0b"
         "b",
         true},
        {"a\\vb", 0, "a\nb", false},
        {"\\s", 0, "\x1c", true},
        {"\\s", 0, "\xe1\xa0\x8e", false},
        {"x{,2}y", 0, "xxy", true},
        {"^x{,2}y", 0, "xxxy", false},
        {"x{y", 0, "x{y", true},
        {"[[:alpha:]]", 0, "a]", true},
        {"[[:alpha:]]", 0, "a", false},
        {"\\bl\\b", 0, "a-l-b", true},
        {"\\bl\\b", 0, "a_l", false},
        {"caf\\b", 0, "caf\xc3\xa9", false},
        {"[^\xc4\xb1]", PYREGEX_IGNORECASE, "I", false},
        {"[\xc4\xa8-\xc4\xb2]", PYREGEX_IGNORECASE, "i", true},
        {"\xc5\xbf", PYREGEX_IGNORECASE, "S", true},
        {"\xef\xac\x86", PYREGEX_IGNORECASE, "\xef\xac\x85", true},
        {"(?<=a)b(?!c)", 0, "abd", true},
        {"a++a", 0, "aaa", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        bool found = !t[i].found;
        struct why why = {{0}};
        enum err e = search(t[i].pattern, t[i].flags, t[i].subject, &found, &why);
        if (e || found != t[i].found) {
            print_message("%s on %s: %d %s\n", t[i].pattern, t[i].subject, found, why.text);
        }
        assert_int_equal(e, ERR_OK);
        assert_int_equal(found, t[i].found);
    }
}

static void malformed_or_unknown_patterns_are_refused(void **state)
{
    (void)state;
    static const char *const t[] = {"(",     ")",       "[a",   "*a",     "a**",      "a{2}{3}",
                                    "^*",    "\\",      "\\q",  "\\1",    "(?P<n>a)", "(?i)a",
                                    "[z-a]", "[\\d-z]", "\\x4", "a{3,2}", "(?#c)"};
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        bool found = false;
        struct why why = {{0}};
        assert_int_equal(search(t[i], 0, "a", &found, &why), ERR_INVALID);
        assert_non_null(strstr(why.text, "regular expression: "));
    }
}

// A keyword can be built to take for ever; the step limit turns that into an error within moments.
static void runaway_patterns_hit_a_limit(void **state)
{
    (void)state;
    char subject[64];
    memset(subject, 'a', sizeof subject - 1);
    subject[sizeof subject - 1] = 0;
    bool found = false;
    struct why why = {{0}};
    assert_int_equal(search("(a|aa)+[bc]", 0, subject, &found, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "limit"));
}

static bool json_valid(const char *s)
{
    return pyjson_valid(text(s));
}

static void json_grammar_is_strict_where_python_is(void **state)
{
    (void)state;
    static const char *const good[] = {"0",
                                       "-0",
                                       "1e999",
                                       "[]",
                                       "{}",
                                       "[[],{}]",
                                       " [1 , 2] ",
                                       "\"\"",
                                       "\"\\u00e9\\/\"",
                                       "true",
                                       "-1.0E+2",
                                       "Infinity",
                                       "{\"\":0}",
                                       "\"\x7f\"",
                                       "[NaN]",
                                       "\"\\uDC00\"",
                                       "{\"a\":{\"b\":[]}}"};
    static const char *const bad[] = {
        "",         " ",           "01",     "1.",      ".5",       "+1",        "1e",
        "[1 2]",    "[,]",         "{,}",    "{\"a\"}", "{\"a\":}", "{1:2}",     "[1}",
        "\"\\x\"",  "\"\\u12g4\"", "\"open", "nul",     "tru e",    "-",         "-NaN",
        "\"a\nb\"", "\"\t\"",      "[1]]",   "'a'",     "//c\n1",   "{\"a\":1,}"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(json_valid(good[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(json_valid(bad[i]));
    }
}

static bool brackets_valid(size_t depth)
{
    uint32_t *cp = scratch_array(&scratch, 2 * depth, sizeof *cp);
    for (size_t i = 0; i < depth; i++) {
        cp[i] = '[';
        cp[2 * depth - 1 - i] = ']';
    }
    return pyjson_valid((struct pyspan){cp, 2 * depth});
}

// CPython's reader recurses: somewhere near a thousand levels it gives up, and so must we, without
// using the stack for it.
static void nesting_ends_near_pythons_recursion_limit(void **state)
{
    (void)state;
    assert_true(brackets_valid(PYJSON_DEPTH_MAX));
    assert_false(brackets_valid(PYJSON_DEPTH_MAX + 1));
    assert_false(brackets_valid(1000000));
}

static void integers_over_4300_digits_are_refused_like_in_python(void **state)
{
    (void)state;
    char digits[PYJSON_INT_DIGITS + 8];
    memset(digits, '7', sizeof digits);
    digits[PYJSON_INT_DIGITS] = 0;
    assert_true(json_valid(digits));
    strcpy(digits + PYJSON_INT_DIGITS, "7");
    assert_false(json_valid(digits));
    strcpy(digits + PYJSON_INT_DIGITS, "7.0");
    assert_true(json_valid(digits));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whitespace_has_29_members),
        cmocka_unit_test(marks_are_no_word_characters_but_fractions_are),
        cmocka_unit_test(lower_changes_lengths_and_knows_the_final_sigma),
        cmocka_unit_test(upper_expands_ligatures_and_the_sharp_s),
        cmocka_unit_test(lists_split_and_join_like_str),
        cmocka_unit_test(search_finds_needles_of_any_length),
        cmocka_unit_test(matches_are_counted_as_findall_does),
        cmocka_unit_test(well_formed_text_survives_a_round_trip),
        cmocka_unit_test(patterns_mean_what_they_mean_in_python),
        cmocka_unit_test(malformed_or_unknown_patterns_are_refused),
        cmocka_unit_test(runaway_patterns_hit_a_limit),
        cmocka_unit_test(json_grammar_is_strict_where_python_is),
        cmocka_unit_test(nesting_ends_near_pythons_recursion_limit),
        cmocka_unit_test(integers_over_4300_digits_are_refused_like_in_python),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
