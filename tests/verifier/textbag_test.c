// textbag_test.c: equal texts share a number, different ones never do.
#include "tests/verifier/support.h"

#include "verifier/textbag.h"

static struct scratch scratch;

static void in_scratch(void (*fn)(void *arg))
{
    scratch_init(&scratch, 64u << 20);
    assert_int_equal(scratch_run(&scratch, fn, NULL, NULL), ERR_OK);
    scratch_fini(&scratch);
}

static void count_words(void *arg)
{
    (void)arg;
    struct textbag bag = {.scratch = &scratch};
    struct pylist words = pytext_split(&scratch, pytext_literal(&scratch, "a b a ab a b"));
    for (size_t i = 0; i < words.n; i++) {
        ++*textbag_at(&bag, words.v[i]);
    }
    assert_int_equal(bag.n, 3);
    assert_int_equal(*textbag_at(&bag, pytext_literal(&scratch, "a")), 3);
    assert_int_equal(*textbag_at(&bag, pytext_literal(&scratch, "b")), 2);
    assert_int_equal(*textbag_at(&bag, pytext_literal(&scratch, "ab")), 1);
    assert_int_equal(*textbag_at(&bag, pytext_literal(&scratch, "ba")), 0);
}

static void equal_texts_share_a_number(void **state)
{
    (void)state;
    in_scratch(count_words);
}

static void count_empty(void *arg)
{
    (void)arg;
    struct textbag bag = {.scratch = &scratch};
    *textbag_at(&bag, (struct pyspan){0}) = 7;
    assert_int_equal(*textbag_at(&bag, pytext_literal(&scratch, "")), 7);
    assert_int_equal(bag.n, 1);
}

// A word that was all punctuation is empty once stripped; it counts as a word.
static void the_empty_text_is_a_text(void **state)
{
    (void)state;
    in_scratch(count_empty);
}

static void count_many(void *arg)
{
    (void)arg;
    enum { N = 10000 };
    static uint32_t cp[N];
    struct textbag bag = {.scratch = &scratch};
    for (size_t i = 0; i < N; i++) {
        cp[i] = (uint32_t)i;
        *textbag_at(&bag, (struct pyspan){&cp[i], 1}) = i;
    }
    assert_int_equal(bag.n, N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(*textbag_at(&bag, (struct pyspan){&cp[i], 1}), i);
    }
}

static void numbers_survive_growth(void **state)
{
    (void)state;
    in_scratch(count_many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_texts_share_a_number),
        cmocka_unit_test(the_empty_text_is_a_text),
        cmocka_unit_test(numbers_survive_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
