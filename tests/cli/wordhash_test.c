// wordhash_test.c: which texts have the same words.
//
// Overlap is counted in words: a copy that differs in case, accents' encoding or punctuation must
// still be seen as a copy, and texts that differ must not be taken for one.
#include "tests/common/check.h"

#include "cli/wordhash.h"

static void add(struct wordhash *w, const char *text)
{
    assert_int_equal(wordhash_add(w, text, strlen(text)), ERR_OK);
}

static bool same(const char *a, const char *b)
{
    struct wordhash x = {0}, y = {0};
    add(&x, a);
    add(&y, b);
    bool equal = x.len == y.len && memcmp(x.v, y.v, x.len * sizeof *x.v) == 0;
    wordhash_fini(&x);
    wordhash_fini(&y);
    return equal;
}

static size_t count(const char *text, size_t len)
{
    struct wordhash w = {0};
    assert_int_equal(wordhash_add(&w, text, len), ERR_OK);
    size_t n = w.n_words;
    wordhash_fini(&w);
    return n;
}

static void copies_in_another_dress_are_equal(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"How many Apples?", "how  many\tapples"},
        {"caf\xc3\xa9", "CAFE\xcc\x81"},               // composed or not
        {"a\xcc\xa3\xcc\x81", "a\xcc\x81\xcc\xa3"},    // marks in either order
        {"stra\xc3\x9f"
         "e",
         "STRASSE"},
        {"x\xc2\xb2 + 1", "x2 1"},
        {"\xef\xbd\x81\xef\xbd\x82", "ab"},                          // full width
        {"hy\xc2\xadphen", "hyphen"},                                // soft hyphen
        {"z\xe2\x80\x8bwj", "zwj"},                                  // zero-width space
        {"\xd0\x9f\xd1\x80\xd0\xb8", "\xd0\xbf\xd1\x80\xd0\xb8"},    // Cyrillic case
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (!same(pairs[i][0], pairs[i][1])) {
            fail_msg("not equal: %s, %s", pairs[i][0], pairs[i][1]);
        }
    }
}

static void other_words_are_not_equal(void **state)
{
    (void)state;
    assert_false(same("one two", "two one"));
    assert_false(same("onetwo", "one two"));
    assert_false(same("caf\xc3\xa9", "cafe"));
    assert_false(same("7", "8"));
}

static void each_han_character_and_kana_is_a_word(void **state)
{
    (void)state;
    const char text[] = "\xe7\x8c\xab\xe3\x81\x8c 3\xe5\x8c\xb9ok";    // neko ga 3 hiki ok
    assert_int_equal(count(text, sizeof text - 1), 5);
    assert_true(same("\xe3\x81\x8c", "\xe3\x81\x8b\xe3\x82\x99"));    // a voiced kana is one word
    assert_int_equal(count("\xe3\x81\x8b\xe3\x82\x99\xe3\x81\x8b", 9), 2);
}

// Bytes from outside: NULs and broken UTF-8 divide words and do no harm.
static void bytes_that_are_no_text_divide(void **state)
{
    (void)state;
    assert_int_equal(count("a\0b", 3), 2);
    assert_int_equal(count("a\xff\xc3"
                           "b\xe2\x82",
                           6),
                     2);
    assert_int_equal(count("", 0), 0);
    assert_int_equal(count(" ?! \xe2\x82\xac", 7), 0);
}

static void an_endless_word_is_cut(void **state)
{
    (void)state;
    char text[3 * WORDHASH_WORD_MAX + 1];
    memset(text, 'a', sizeof text);
    assert_int_equal(count(text, sizeof text), 4);
    // Marks without end behind one letter.
    char marks[1 + 2 * 2 * WORDHASH_WORD_MAX];
    marks[0] = 'a';
    for (size_t i = 1; i + 1 < sizeof marks; i += 2) {
        memcpy(marks + i, i % 4 == 1 ? "\xcc\x81" : "\xcc\xa3", 2);
    }
    assert_int_equal(count(marks, sizeof marks), 3);
}

// Two texts are kept apart: no n-gram may run from one into the other.
static void texts_end_with_a_mark(void **state)
{
    (void)state;
    struct wordhash w = {0};
    add(&w, "one two");
    add(&w, "three");
    assert_int_equal(w.len, 5);
    assert_int_equal(w.n_words, 3);
    assert_int_equal(w.v[2], 0);
    assert_int_equal(w.v[4], 0);
    wordhash_clear(&w);
    assert_int_equal(w.len + w.n_words, 0);
    wordhash_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_in_another_dress_are_equal),
        cmocka_unit_test(other_words_are_not_equal),
        cmocka_unit_test(each_han_character_and_kana_is_a_word),
        cmocka_unit_test(bytes_that_are_no_text_divide),
        cmocka_unit_test(an_endless_word_is_cut),
        cmocka_unit_test(texts_end_with_a_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
