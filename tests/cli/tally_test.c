// tally_test.c: sums of a report stay short, and nothing that was counted is missing from them.
#include "tests/common/check.h"

#include "cli/tally.h"

static char *printed(struct tally *t, size_t most)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    tally_print(t, most, f);
    fclose(f);
    return text;
}

static void the_most_frequent_stand_first_and_the_rest_is_one_line(void **state)
{
    (void)state;
    struct tally *t = calloc(1, sizeof *t);
    static const char *const texts[] = {"b", "a", "a", "bb", "c", "b", "a"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        tally_add(t, texts[i], strlen(texts[i]));
    }
    tally_add(t, "cut", 1);    // len decides: "c"
    char *text = printed(t, 3);
    assert_string_equal(text, "       3  a\n       2  b\n       2  c\n       1  (others)\n");
    free(text);
    tally_fini(t);
    free(t);
}

// A file in which every line fails in its own way must not fill the memory.
static void texts_beyond_the_limit_are_counted_together(void **state)
{
    (void)state;
    struct tally *t = calloc(1, sizeof *t);
    for (int i = 0; i < 2 * TALLY_MAX; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        tally_add(t, text, strlen(text));
    }
    tally_add(t, "0", 1);
    assert_int_equal(t->len, TALLY_MAX);
    char *text = printed(t, 1);
    assert_string_equal(text, "       2  0\n     511  (others)\n");
    free(text);
    tally_fini(t);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_frequent_stand_first_and_the_rest_is_one_line),
        cmocka_unit_test(texts_beyond_the_limit_are_counted_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
