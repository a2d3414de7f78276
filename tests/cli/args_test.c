// args_test.c: command lines are read strictly and complaints name what was expected.
//
// A guess at a mistyped option starts the wrong run, so nothing is guessed: every wrong word is
// refused, and the complaint goes to stderr with the exit code for wrong usage.
#include "tests/common/check.h"

#include "cli/args.h"

struct options {
    bool json;
    const char *out;
    int64_t n;
    double lr;
    struct arg_list set;
};

static const struct arg args[] = {
    {"json", ARG_FLAG, offsetof(struct options, json), 0, 0, NULL, "flag"},
    {"out", ARG_TEXT, offsetof(struct options, out), 0, 0, "DIR", "text"},
    {"n", ARG_INT, offsetof(struct options, n), 1, 100, "N", "integer"},
    {"lr", ARG_NUM, offsetof(struct options, lr), 0, 1, "X", "number"},
    {"set", ARG_LIST, offsetof(struct options, set), 0, 0, "K=V", "list"},
    {0},
};

static const struct command command = {.name = "test",
                                       .synopsis = "WORD [WORD]",
                                       .help = "a command",
                                       .args = args,
                                       .min_words = 1,
                                       .max_words = 2};

// Splits at blanks and parses; -1 is what a good line gives.
static int parse(const char *line, struct options *o, struct words *w)
{
    static char copy[512];
    char *argv[32] = {NULL}, *save = NULL;
    int argc = 0;
    snprintf(copy, sizeof copy, "test %s", line);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        argv[argc++] = word;
    }
    *o = (struct options){.n = 7, .lr = 0.5};
    return args_parse(&command, argc, argv, o, w);
}

static void options_stand_anywhere_and_take_either_form(void **state)
{
    (void)state;
    struct options o;
    struct words w;
    assert_int_equal(
        parse("--n 12 run --json --lr=0.25 other --out dir --set a=1 --set=b=2", &o, &w), -1);
    assert_int_equal(w.n, 2);
    assert_string_equal(w.v[0], "run");
    assert_string_equal(w.v[1], "other");
    assert_true(o.json);
    assert_int_equal(o.n, 12);
    assert_true(o.lr == 0.25);
    assert_string_equal(o.out, "dir");
    assert_int_equal(o.set.n, 2);
    assert_string_equal(o.set.v[1], "b=2");
}

static void what_is_not_given_keeps_its_default(void **state)
{
    (void)state;
    struct options o;
    struct words w;
    assert_int_equal(parse("run", &o, &w), -1);
    assert_int_equal(o.n, 7);
    assert_true(o.lr == 0.5);
    assert_null(o.out);
}

// A typing error must not start a run of hours with a default.
static void nothing_is_guessed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           "run --n",      "run --n 0",     "run --n 101", "run --n 1x",
        "run --n=",   "run --n +5",   "run --lr nan",  "run --lr 2",  "run --lr 0.1x",
        "run --nn 5", "run --json=1", "run two three",
    };
    struct options o;
    struct words w;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (parse(bad[i], &o, &w) != CLI_USAGE) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    struct options o;
    struct words w;
    assert_int_equal(parse("-- --n", &o, &w), -1);
    assert_string_equal(w.v[0], "--n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere_and_take_either_form),
        cmocka_unit_test(what_is_not_given_keeps_its_default),
        cmocka_unit_test(nothing_is_guessed),
        cmocka_unit_test(two_dashes_end_the_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
