// score_body_test.c: what POST /score takes for a request, and how it says that something is none.
#include "tests/verifier/support.h"

#include <stdlib.h>

#include "proto/msg.h"
#include "verifier/score_body.h"

static struct score_body read_body(const char *text)
{
    struct score_body b = {0};
    struct why why = {""};
    if (score_body_parse(text, strlen(text), &b, &why)) {
        fail_msg("%s", why.text);
    }
    return b;
}

static void expect_error(const char *text, size_t len, enum err expected, const char *says)
{
    struct score_body b = {0};
    struct why why = {""};
    enum err e = score_body_parse(text, len, &b, &why);
    if (e != expected || strncmp(why.text, says, strlen(says)) != 0) {
        fail_msg("%.60s: got %s \"%s\", expected %s \"%s\"", text, err_text(e), why.text,
                 err_text(expected), says);
    }
    assert_null(b.items);
}

static void expect_text(struct score_text t, const char *text)
{
    assert_int_equal(t.len, strlen(text));
    assert_memory_equal(t.data, text, t.len);
}

static void an_item_becomes_a_request(void **state)
{
    (void)state;
    struct score_body b = read_body(
        "{\"items\": [{\"dataset\": \"gsm8k\", \"checks\": [ {\"id\": \"a\"} ], \"ground_truth\": "
        "{\"n\": [1, 2.5]}, \"prompt\": \"p\", \"response\": \"r\\u0000\xc3\xa9\", \"finish\": "
        "\"length\", \"reward\": {\"scale\": 10}}]}");
    assert_int_equal(b.n, 1);
    const struct score_request *r = &b.items[0].request;
    expect_text(r->dataset, "\"gsm8k\"");
    expect_text(r->checks, "[{\"id\":\"a\"}]");
    expect_text(r->ground_truth, "{\"n\":[1,2.5]}");
    expect_text(r->reward, "{\"scale\":10}");
    expect_text(r->prompt, "p");
    assert_int_equal(r->response.len, 4);
    assert_memory_equal(r->response.data, "r\0\xc3\xa9", 4);
    assert_int_equal(r->finish, MSG_FINISH_LENGTH);
    assert_int_equal(b.len_bytes, 7 + 12 + 13 + 12 + 1 + 4);
    score_body_fini(&b);
}

static void a_bare_list_will_do_and_so_will_an_empty_one(void **state)
{
    (void)state;
    struct score_body b =
        read_body("[{\"dataset\": [\"a\", \"b\"], \"response\": \"\"},"
                  " {\"checks\": [], \"response\": \"x\", \"finish\": \"stop\"}]");
    assert_int_equal(b.n, 2);
    expect_text(b.items[0].request.dataset, "[\"a\",\"b\"]");
    expect_text(b.items[0].request.response, "");
    assert_int_equal(b.items[0].request.finish, MSG_FINISH_STOP);
    expect_text(b.items[1].request.checks, "[]");
    assert_int_equal(b.items[1].request.finish, MSG_FINISH_STOP);
    score_body_fini(&b);
    b = read_body("{\"items\": []}");
    assert_int_equal(b.n, 0);
    score_body_fini(&b);
}

// Columns of a table have a value in every row.
static void null_counts_as_absent(void **state)
{
    (void)state;
    struct score_body b =
        read_body("[{\"dataset\": \"a\", \"checks\": null, \"ground_truth\": null,"
                  " \"prompt\": null, \"response\": \"x\", \"finish\": null, "
                  "\"reward\": null}]");
    const struct score_request *r = &b.items[0].request;
    assert_int_equal(r->checks.len + r->ground_truth.len + r->prompt.len + r->reward.len, 0);
    assert_int_equal(r->finish, MSG_FINISH_STOP);
    score_body_fini(&b);
}

static void an_error_names_item_and_field(void **state)
{
    (void)state;
#define ITEM1 "[{\"dataset\":\"a\",\"response\":\"x\"},{\"dataset\":\"a\",\"response\":\"x\","
    static const struct {
        const char *text, *says;
    } cases[] = {
        {ITEM1 "\"finish\":\"end\"}]", "items[1].finish: a string, expected \"stop\" or"},
        {ITEM1 "\"finish\":2}]", "items[1].finish: a number, expected \"stop\" or"},
        {ITEM1 "\"checks\":{}}]", "items[1].checks: an object, expected a list of objects"},
        {ITEM1 "\"checks\":[\"a\"]}]", "items[1].checks: a list, expected a list of objects"},
        {ITEM1 "\"reward\":[]}]", "items[1].reward: a list, expected an object"},
        {ITEM1 "\"prompt\":[]}]", "items[1].prompt: a list, expected a string"},
        {ITEM1 "\"answer\":\"4\"}]", "items[1].answer: no such field, expected dataset"},
        {"[{\"dataset\":true,\"response\":\"x\"}]", "items[0].dataset: true, expected a string or"},
        {"[{\"dataset\":[1],\"response\":\"x\"}]",
         "items[0].dataset: a list, expected a string or"},
        {"[{\"dataset\":\"a\"}]", "items[0].response: missing, expected a string"},
        {"[{\"dataset\":\"a\",\"response\":null}]", "items[0].response: null, expected a string"},
        {"[{\"dataset\":\"a\",\"response\":3.5}]", "items[0].response: a number, expected"},
        {"[{\"response\":\"a\"}]", "items[0].dataset: missing, and so is checks"},
        {"[{\"dataset\":\"a\",\"response\":\"x\"},false]", "items[1]: false, expected an object"},
        {"{\"items\":{}}", "items: an object, expected a list of items"},
        {"{\"items\":[],\"n\":0}", "body: expected no key but \"items\""},
        {"{}", "items: missing, expected a list of items"},
        {"\"x\"", "body: a string, expected a list of items"},
        {"", "body: not valid JSON"},
        {"[{\"dataset\":\"a\",\"dataset\":\"b\"}]", "body: not valid JSON"},
        {"[{\"dataset\":\"a\",\"response\":\"\xff\"}]", "body: not valid JSON: line 1 column"},
        {"[{\"dataset\":\"a\",\"response\":\"\\ud800\"}]", "body: not valid JSON: line 1 column"},
        {"[] []", "body: not valid JSON"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_error(cases[i].text, strlen(cases[i].text), ERR_INVALID, cases[i].says);
    }
    char deep[200] = "";
    memset(deep, '[', 100);
    expect_error(deep, 100, ERR_LIMIT, "body: line 1: JSON nested deeper");
}

static char *repeated(const char *piece, size_t n, const char *before, const char *after)
{
    size_t len = strlen(piece), at = strlen(before);
    char *text = malloc(at + n * (len + 1) + strlen(after) + 1);
    assert_non_null(text);
    memcpy(text, before, at);
    for (size_t i = 0; i < n; i++) {
        memcpy(text + at, piece, len);
        at += len;
        text[at++] = ',';
    }
    strcpy(text + at - 1, after);
    return text;
}

static void limits_hold(void **state)
{
    (void)state;
    static const char item[] = "{\"dataset\":\"a\",\"response\":\"x\"}";
    char *text = repeated(item, SCORE_BODY_ITEMS, "[", "]");
    struct score_body b = read_body(text);
    assert_int_equal(b.n, SCORE_BODY_ITEMS);
    score_body_fini(&b);
    free(text);
    text = repeated(item, SCORE_BODY_ITEMS + 1, "[", "]");
    expect_error(text, strlen(text), ERR_LIMIT, "items[4096]: 4097 items, at most 4096");
    free(text);
    text = repeated("{}", SCORE_BODY_VALUES / 2 + 1, "[", "]");
    expect_error(text, strlen(text), ERR_LIMIT, "body: over 262144 JSON values");
    free(text);
    text =
        repeated("xxxxxxx", SCORE_TEXT_MAX / 8 + 1, "[{\"dataset\":\"a\",\"response\":\"", "\"}]");
    expect_error(text, strlen(text), ERR_LIMIT,
                 "items[0].response: 2097159 bytes, at most 2097152");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_becomes_a_request),
        cmocka_unit_test(a_bare_list_will_do_and_so_will_an_empty_one),
        cmocka_unit_test(null_counts_as_absent),
        cmocka_unit_test(an_error_names_item_and_field),
        cmocka_unit_test(limits_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
