// jobframe_fuzz.c: both ends of the worker's pipe reading arbitrary bytes.
#include <stdint.h>

#include "verifier/jobframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t job;
    struct score_request req;
    if (jobframe_get_job(data, size, &job, &req) == ERR_OK) {
        CHECK(req.response.len <= size && req.answers.len <= size);
    }
    struct score_text check;
    struct score_plugin_input in;
    if (jobframe_get_call(data, size, &job, &check, &in) == ERR_OK) {
        CHECK(check.len < SCORE_ID_BYTES && in.response.len <= size);
    }
    struct jobframe_reply reply;
    if (jobframe_get_reply(data, size, &reply) == ERR_OK) {
        CHECK(reply.n_calls <= JOBFRAME_MAX_CALLS && reply.n_checks <= JOBFRAME_MAX_CHECKS);
        jobframe_reply_fini(&reply);
    }
    return 0;
}
