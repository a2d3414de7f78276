// score_body_fuzz.c: any bytes as the body of POST /score. What is refused has a text that names a
// place; what is taken has every promise of score_body.h: texts within their limits, a finish, and
// JSON where JSON is promised.
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "proto/msg.h"
#include "verifier/score_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct score_text t)
{
    if (t.data != NULL) {
        json_t *v = json_loadb(t.data, t.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        CHECK(v != NULL);
        json_decref(v);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct score_body b = {0};
    struct why why = {""};
    enum err e = score_body_parse((const char *)data, size, &b, &why);
    if (e) {
        CHECK(b.items == NULL);
        CHECK(strncmp(why.text, "body", 4) == 0 || strncmp(why.text, "items", 5) == 0);
        return 0;
    }
    size_t len = 0;
    CHECK(b.n <= SCORE_BODY_ITEMS);
    for (size_t i = 0; i < b.n; i++) {
        const struct score_request *r = &b.items[i].request;
        CHECK(r->response.data != NULL && r->response.len <= SCORE_TEXT_MAX);
        CHECK(r->dataset.data != NULL || r->checks.data != NULL);
        CHECK(r->finish == MSG_FINISH_STOP || r->finish == MSG_FINISH_LENGTH);
        CHECK(!r->only_read);
        check_json(r->dataset);
        check_json(r->checks);
        check_json(r->ground_truth);
        check_json(r->reward);
        len += r->dataset.len + r->checks.len + r->ground_truth.len + r->reward.len +
               r->prompt.len + r->response.len;
    }
    CHECK(len == b.len_bytes);
    score_body_fini(&b);
    return 0;
}
