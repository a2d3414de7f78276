// checks_fuzz.c: hostile data rows and hostile responses; whatever comes in, a verdict comes out.
//
// The input is dataset, checks, ground truth and response, separated by NUL bytes. The verdict must
// be coherent, and an answer must survive the pipe format.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "verifier/jobframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct score_text next(const uint8_t **data, size_t *left)
{
    const uint8_t *start = *data;
    const uint8_t *nul = *left ? memchr(start, 0, *left) : NULL;
    size_t len = nul ? (size_t)(nul - start) : *left;
    *data += nul ? len + 1 : len;
    *left -= nul ? len + 1 : len;
    return (struct score_text){(const char *)start, len};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1024) {
        return 0;
    }
    struct score_request req = {0};
    req.dataset = next(&data, &size);
    req.checks = next(&data, &size);
    req.ground_truth = next(&data, &size);
    req.response = (struct score_text){(const char *)data, size};
    struct score_result r;
    score_request_run(&req, &r);
    CHECK((r.outcome == SCORE_UNSCORED) == (r.cause[0] != 0));
    CHECK((r.outcome == SCORE_SCORED) == (r.reward != 0));
    struct buf b;
    buf_init(&b, 0);
    CHECK(jobframe_put_result(&b, 1, &r) == ERR_OK);
    struct jobframe_reply reply;
    CHECK(jobframe_get_reply(b.data + JOBFRAME_HEAD_BYTES, b.len - JOBFRAME_HEAD_BYTES, &reply) ==
          ERR_OK);
    CHECK(reply.result.n_components == r.n_components && strcmp(reply.result.cause, r.cause) == 0);
    score_result_fini(&reply.result);
    buf_fini(&b);
    score_result_fini(&r);
    return 0;
}
