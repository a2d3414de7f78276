// jobframe_fuzz.c: both ends of the worker's pipe reading arbitrary bytes.
#include <stdint.h>

#include "verifier/jobframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t job;
    struct score_request req;
    if (jobframe_get_job(data, size, &job, &req) == ERR_OK) {
        CHECK(req.response.len <= size);
    }
    struct jobframe_reply reply;
    if (jobframe_get_reply(data, size, &reply) == ERR_OK) {
        score_result_fini(&reply.result);
    }
    return 0;
}
