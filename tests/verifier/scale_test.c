// scale_test.c: no text makes a check slow. An eighth of a MiB of whatever a scan likes least (its marks
// over and over, never closed, on one line or on many) is judged in a time that only a scan of
// quadratic cost would exceed, by a factor of ten and more.
//
// Processor time is measured, so a busy machine does not matter.
#include "tests/verifier/support.h"

#include <stdlib.h>
#include <time.h>

#include "verifier/registry.h"

#define TEXT_BYTES ((size_t)128 << 10)
#define SECONDS_MAX 1.0    // a build with sanitizers takes a tenth of it

static double seconds(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static json_t *plain_value(enum check_arg_type type)
{
    switch (type) {
    case CHECK_ARG_INT:
        return json_integer(2);
    case CHECK_ARG_NUMBER:
        return json_real(0.5);
    case CHECK_ARG_BOOL:
        return json_true();
    case CHECK_ARG_STR:
        return json_string("at least a");
    case CHECK_ARG_STR_LIST:
        return json_pack("[s, s]", "a.b", "*");
    case CHECK_ARG_RELATION:
        return json_string("less than");
    case CHECK_ARG_END:
        break;
    }
    return NULL;
}

static char *plain_checks(const struct check_row *row)
{
    json_t *kwargs = json_object();
    for (size_t i = 0; row->args[i].type != CHECK_ARG_END; i++) {
        json_object_set_new(kwargs, row->args[i].name, plain_value(row->args[i].type));
    }
    json_t *checks = json_pack("[{s:s, s:o}]", "id", row->id, "kwargs", kwargs);
    char *text = json_dumps(checks, 0);
    assert_non_null(text);
    json_decref(checks);
    return text;
}

static void fill(char *text, const char *piece)
{
    size_t n = strlen(piece);
    for (size_t i = 0; i < TEXT_BYTES; i++) {
        text[i] = piece[i % n];
    }
}

static void judge(const struct check_row *row, const char *text, const char *piece)
{
    char *checks = row->kind == CHECK_TRUTH ? NULL : plain_checks(row);
    char dataset[SCORE_ID_BYTES + 2];
    snprintf(dataset, sizeof dataset, "\"%s\"", row->id);
    struct score_request req = {.response = {text, TEXT_BYTES}};
    if (checks) {
        req.checks = support_text(checks);
    } else {
        req.dataset = support_text(dataset);
        req.ground_truth = support_text("\"2\"");
    }
    double start = seconds();
    struct score_result r;
    score_request_run(&req, &r);
    double took = seconds() - start;
    if (took > SECONDS_MAX) {
        fail_msg("%s on \"%s\" over and over: %.1f s", row->id, piece, took);
    }
    score_result_fini(&r);
    free(checks);
}

static void no_text_makes_a_check_slow(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "a",     "a ",   " ",     "\n",     "a\n",          "*",    "* ",       "*\n",
        "***\n", "[",    "[\n",   "<<",     "<<\n",         "\"",   "' ",       "(",
        ". ",    "A. ",  "...",   "Mr. A ", "a.b.",         "1.",   "1,",       "!?",
        "- ",    "#",    "P.S. ", "$",      "\\boxed{",     "{",    "-a-",      "at a\n",
        "<",     "I'm ", "\r",    ",\"",    "\xe2\x80\xa8", "\xff", "\xc4\xb0", "\xf0\x9f\x98\x80",
    };
    char *text = malloc(TEXT_BYTES);
    assert_non_null(text);
    const struct check_row *row;
    for (size_t i = 0; (row = registry_at(i)) != NULL; i++) {
        for (size_t p = 0; p < ARRAY_LEN(pieces) && row->kind != CHECK_SUITE; p++) {
            fill(text, pieces[p]);
            judge(row, text, pieces[p]);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_text_makes_a_check_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
